"""What a search costs beside training: `python -m benchmarks.loop`, on one core with one thread.

    python -m benchmarks.loop --trials 10000 --out loop.md

Each search is `nas.search.Loop` with a window of 8, as with up to four workers; its children are instant, its ledger
stays in memory. Their rewards are made up of the answers, noise included, so that a controller has something to learn,
settles, and repeats itself; long networks are the better ones, so that what it settles on is not the cheapest to ask.
"""

from __future__ import annotations

import os
import random
import shlex
import sys
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from benchmarks.compare import Contender, InMemory, Timed
from benchmarks.processes import ONE_THREAD, run, watched
from benchmarks.report import WARM
from nas import names
from nas.errors import UserError
from nas.network import Images
from nas.pool import Job, Serial
from nas.preset import PRESETS
from nas.report import checklist, pairs
from nas.reward import Result, accuracy
from nas.search import Loop

SPACES = ("chain", "metaqnn", "zoph:depth=15,shallowest=15", "zoph:depth=20,shallowest=20")
IMAGES = Images(32, 3, 10)
WINDOW = 8
HUNDRED = 100  # trials that a mean is over
MOMENTS = (100, 1_000, 10_000)
MOST = {"optuna": 1_000, "optuna:gp": 100}  # trials; later asks take too long to wait for
LONG = "zoph"  # spaces of over a hundred questions, on which an ask of gp or tpe takes seconds


class Cost(NamedTuple):
    """Of one trial, as a mean over the hundred that end with it."""

    controller: float  # milliseconds in ask, tell and figures: walks of the space and updates included
    loop: float  # milliseconds in the loop itself: keys, cost figures, order, records
    repeats: float  # share of the hundred


class Row(NamedTuple):
    """One controller on one space."""

    space: str
    controller: str
    costs: Mapping[int, Cost]  # by the number of trials


class MadeUp:
    """Trains nothing: each answer in each place has a worth, and a child's accuracy grows with their sum."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, job: Job) -> Result:
        """The worths' sum, squeezed into 0 to 1, and noise of the child's seed."""
        begun = time.perf_counter()
        total = sum(zlib.crc32(b"%d %d" % step) / 2**32 for step in enumerate(job.answers))
        noise = random.Random(job.seed).gauss(0, 0.005)
        result = Result((total / (total + 10) + noise,))
        self.seconds += time.perf_counter() - begun
        return result


def measured(space: str, controller: str, trials: int) -> Row:
    """Search once, and see what a trial costs at each of the moments."""
    _search(space, controller, trials, WARM)  # untimed, so that what is imported meanwhile is no trial's cost
    marks = _search(space, controller, trials, max(moments(controller, trials)))
    return Row(space, controller, {moment: _cost(marks, moment // HUNDRED) for moment in moments(controller, trials)})


class _Mark(NamedTuple):
    """Where a search is after some hundreds of trials."""

    seconds: float
    thinking: float  # seconds, in ask, tell and figures
    children: float  # seconds, in making up results
    repeats: int


def _search(space: str, controller: str, length: int, trials: int) -> list[_Mark]:
    """A mark at the start and after each hundred trials; length: what schedules stretch over."""
    kind, parameters = Contender(controller).made()
    here = names.space(space).on(IMAGES)
    children, timed = MadeUp(), Timed(kind(here, 0, length, **parameters))
    loop = Loop(
        here, timed, Serial(children), InMemory(), accuracy,
        seed=0, window=WINDOW, trials=trials, patience=sys.maxsize,
    )  # fmt: skip
    repeats, marks = 0, [_Mark(time.perf_counter(), 0.0, 0.0, 0)]
    for done, trial in enumerate(loop.run(), 1):
        repeats += trial.same_as is not None
        if done % HUNDRED == 0:
            marks.append(_Mark(time.perf_counter(), timed.seconds, children.seconds, repeats))
    return marks


def _cost(marks: Sequence[_Mark], end: int) -> Cost:
    before, after = marks[end - 1], marks[end]
    thinking = after.thinking - before.thinking
    loop = after.seconds - before.seconds - thinking - (after.children - before.children)
    return Cost(1000 * thinking / HUNDRED, 1000 * loop / HUNDRED, (after.repeats - before.repeats) / HUNDRED)


def contenders(space: str) -> list[str]:
    """All: controllers with their defaults, the papers' presets, Optuna's samplers where questions are not too many."""
    from controllers.optuna_search import SAMPLERS

    own = [name for name in names.controllers() if name != "optuna"]
    return [*own, *PRESETS, *(f"optuna:{sampler}" for sampler in SAMPLERS if not space.startswith(LONG))]


def most(controller: str, trials: int) -> int:
    """How many trials of a search are run."""
    return min(trials, MOST.get(controller, MOST.get(controller.partition(":")[0], trials)))


def moments(controller: str, trials: int) -> list[int]:
    """The numbers of trials after which a search is looked at."""
    return [moment for moment in MOMENTS if moment <= most(controller, trials)]


def markdown(rows: Sequence[Row], trials: int, facts: Mapping[str, Any]) -> str:
    """The table, what its figures are, and what a repetition needs to know."""
    shown = [moment for moment in MOMENTS if moment <= trials]
    heads = ["space", "controller", *(f"at {moment:,}" for moment in shown), "loop", "repeats"]
    lines = [heads, ["---"] * 2 + ["---:"] * (len(heads) - 2), *(_line(row, shown) for row in rows)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    hardware = facts["hardware"]
    said = [
        "Milliseconds a trial in ask, tell and figures, walks of the space and updates included, as a mean over the "
        "hundred trials that end with the one named. Beside it, at the last of these: the loop's own milliseconds a "
        "trial, and the share of repeats.",
        *_left_out(rows, trials),
        f"One run of each, one thread, window {WINDOW}, schedules over {trials:,} trials, on {hardware['cpu']}, "
        f"{hardware['cores']} cores; {pairs(facts['code'])}, {pairs(facts['versions'])}.",
        f"`{facts['command']}`",
    ]
    return "\n\n".join([table, *said]) + "\n"


def _line(row: Row, shown: Sequence[int]) -> list[str]:
    last = row.costs[max(row.costs)]
    at = [f"{row.costs[moment].controller:.2f}" if moment in row.costs else "–" for moment in shown]
    return [row.space, row.controller, *at, f"{last.loop:.2f}", f"{100 * last.repeats:.0f} %"]


def _left_out(rows: Sequence[Row], trials: int) -> Iterator[str]:
    for controller in dict.fromkeys(row.controller for row in rows):
        if most(controller, trials) < trials:
            yield f"{controller} is measured to trial {most(controller, trials):,} only: later asks take too long."
    long = {row.space for row in rows if row.space.startswith(LONG)}
    if long and not any(row.controller.startswith("optuna") for row in rows if row.space in long):
        yield f"Optuna's samplers are left out on {LONG}: with over a hundred questions, asks take seconds."


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    trials: Annotated[int, typer.Option("--trials", "-n", min=HUNDRED, help="Of each search.")] = 1_000,
    spaces: Annotated[
        list[str] | None, typer.Option("--space", "-s", help=f"May be repeated; {', '.join(SPACES)} unless given.")
    ] = None,
    controllers: Annotated[
        list[str] | None,
        typer.Option(
            "--controller",
            "-c",
            help="A controller or a preset; may be repeated; all unless given, Optuna's not on zoph.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the table, as Markdown.")] = None,
) -> None:
    """Measure what asking, telling and the loop cost a trial, with children that train in no time."""
    begun = time.monotonic()
    tasks = [(space, controller) for space in spaces or SPACES for controller in controllers or contenders(space)]
    for space, controller in tasks:
        names.space(space), Contender(controller).made()
    if out:
        _written(out, "")
    rows = watched((measured(*task, trials) for task in tasks), len(tasks), "nothing is written")
    command = shlex.join(["python", "-m", "benchmarks.loop", *sys.argv[1:]])
    text = markdown(rows, trials, checklist(command, time.monotonic() - begun))
    console.print(text, markup=False)
    if out:
        _written(out, text)


def _written(out: Path, text: str) -> None:
    try:
        out.write_text(text)
    except OSError as error:
        raise UserError(
            f"{out}: found {error.strerror}, expected a file that can be written; choose another --out"
        ) from None


if __name__ == "__main__":
    if not ONE_THREAD.items() <= os.environ.items():  # libraries read them when they are imported
        words = [sys.executable, "-m", "benchmarks.loop", *sys.argv[1:]]
        os.execve(sys.executable, words, os.environ | ONE_THREAD)
    run(app, "loop")
