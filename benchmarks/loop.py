"""What a search costs beside training: `python -m benchmarks.loop`, on one core with one thread.

    python -m benchmarks.loop --trials 10000 --out loop.md
    python -m benchmarks.loop --part resume --trials 12800

Each search is `nas.search.Loop` with a window of 8, as with up to four workers; its children are instant, its ledger
stays in memory but where a search is resumed. Their rewards are made up of the answers, noise included, so that a
controller has something to learn, settles, and repeats itself; long networks are the better ones, so that what it
settles on is not the cheapest to ask. `benchmarks/scale.py` has the parts with many workers and with Ray.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from benchmarks import scale
from benchmarks.compare import Contender, InMemory, Timed
from benchmarks.processes import anew_with_one_thread, command, run, side_by_side, watched
from benchmarks.report import WARM
from nas import names
from nas.ledger import Ledger
from nas.network import Images
from nas.pool import Job, Serial
from nas.preset import PRESETS
from nas.report import checklist, grid, pairs, write_text
from nas.reward import Result, accuracy
from nas.search import Loop

SPACES = ("chain", "metaqnn", "zoph:depth=15,shallowest=15", "zoph:depth=20,shallowest=20")
IMAGES = Images(32, 3, 10)
WINDOW = 8
HUNDRED = 100  # trials that a mean is over
MOMENTS = (100, 1_000, 10_000)
MOST = {"optuna": 1_000, "optuna:gp": 100}  # trials; later asks take too long to wait for
LONG = "zoph"  # spaces of over a hundred questions, on which an ask of gp or tpe takes seconds


class Part(StrEnum):
    """What is measured."""

    COST = "cost"
    RESUME = "resume"
    BUSY = "busy"
    CALLS = "calls"
    NODES = "nodes"


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
    memory: float  # bytes a trial by which the process has grown since a fifth of the trials


class Resumed(NamedTuple):
    """A search that was ended after some trials, and run again to be one trial longer."""

    space: str
    controller: str
    trials: int
    writing: float  # seconds of the first run, each trial on the disk
    reading: float  # seconds until the ledger is read
    telling: float  # seconds from there until the trial that is new is done


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


# --- a trial's cost ---


def measured(space: str, controller: str, trials: int) -> Row:
    """Search once, and see what a trial costs at each of the moments."""
    _marks(space, controller, trials, WARM)  # untimed, so that what is imported meanwhile is no trial's cost
    marks = _marks(space, controller, trials, max(moments(controller, trials)))
    costs = {moment: _cost(marks, moment // HUNDRED) for moment in moments(controller, trials)}
    fifth, end = len(marks) // 5, len(marks) - 1
    return Row(space, controller, costs, (marks[end].memory - marks[fifth].memory) / (HUNDRED * (end - fifth)))


class _Mark(NamedTuple):
    """Where a search is after some hundreds of trials."""

    seconds: float
    thinking: float  # seconds, in ask, tell and figures
    children: float  # seconds, in making up results
    repeats: int
    memory: int  # bytes of the whole process


def _marks(space: str, controller: str, length: int, trials: int) -> list[_Mark]:
    """A mark at the start and after each hundred trials; length: what schedules stretch over."""
    children = MadeUp()
    loop, timed = _search(space, controller, length, trials, children, InMemory())
    repeats, marks = 0, [_Mark(time.perf_counter(), 0.0, 0.0, 0, memory())]
    for done, trial in enumerate(loop.run(), 1):
        repeats += trial.same_as is not None
        if done % HUNDRED == 0:
            marks.append(_Mark(time.perf_counter(), timed.seconds, children.seconds, repeats, memory()))
    return marks


def _search(
    space: str, controller: str, length: int, trials: int, children: MadeUp, ledger: Ledger
) -> tuple[Loop, Timed]:
    kind, parameters = Contender(controller).made()
    here = names.space(space).on(IMAGES)
    timed = Timed(kind(here, 0, length, **parameters))
    loop = Loop(
        here, timed, Serial(children), ledger, accuracy,
        seed=0, window=WINDOW, trials=trials, patience=sys.maxsize,
    )  # fmt: skip
    return loop, timed


def memory() -> int:
    """Bytes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


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


def cost_table(rows: Sequence[Row], trials: int) -> str:
    """The table, and what its figures are."""
    shown = [moment for moment in MOMENTS if moment <= trials]
    heads = ["space", "controller", *(f"at {moment:,}" for moment in shown), "loop", "repeats", "bytes"]
    said = [
        "Milliseconds a trial in ask, tell and figures, walks of the space and updates included, as a mean over the "
        "hundred trials that end with the one named. Beside it, at the last of these: the loop's own milliseconds a "
        "trial, and the share of repeats. Bytes: by which the process grows a trial, the trials themselves included, "
        "from a fifth of them on.",
        *_left_out([row.controller for row in rows], trials),
    ]
    long = {row.space for row in rows if row.space.startswith(LONG)}
    if long and not any(row.controller.startswith("optuna") for row in rows if row.space in long):
        said.append(f"Optuna's samplers are left out on {LONG}: with over a hundred questions, asks take seconds.")
    return "\n\n".join([grid(heads, [_line(row, shown) for row in rows]), *said])


def _line(row: Row, shown: Sequence[int]) -> list[str]:
    last = row.costs[max(row.costs)]
    at = [f"{row.costs[moment].controller:.2f}" if moment in row.costs else "–" for moment in shown]
    return [row.space, row.controller, *at, f"{last.loop:.2f}", f"{100 * last.repeats:.0f} %", f"{row.memory:,.0f}"]


def _left_out(controllers: Sequence[str], trials: int) -> Iterator[str]:
    for controller in dict.fromkeys(controllers):
        if most(controller, trials) < trials:
            yield f"{controller} is measured to trial {most(controller, trials):,} only: later asks take too long."


# --- a search that goes on ---


def resumed(space: str, controller: str, trials: int) -> Resumed:
    """Write a ledger of so many trials, and see how long it takes to come back to where it ended."""
    trials = most(controller, trials)
    with tempfile.TemporaryDirectory() as folder:
        with Ledger(Path(folder)) as ledger:
            ledger.begin({})
            writing = _seconds(_search(space, controller, trials, trials, MadeUp(), ledger)[0])
        begun = time.perf_counter()
        with Ledger(Path(folder)) as ledger:
            reading = time.perf_counter() - begun
            telling = _seconds(_search(space, controller, trials, trials + 1, MadeUp(), ledger)[0])
    return Resumed(space, controller, trials, writing, reading, telling)


def _seconds(loop: Loop) -> float:
    begun = time.perf_counter()
    for _ in loop.run():
        pass
    return time.perf_counter() - begun


def resume_table(rows: Sequence[Resumed], trials: int) -> str:
    """The table, and what its figures are."""
    heads = ["space", "controller", "trials", "first run, s", "reading, s", "telling, s", "resumed after, s"]
    lines = [
        [row.space, row.controller, f"{row.trials:,}"]
        + [f"{seconds:.1f}" for seconds in (row.writing, row.reading, row.telling, row.reading + row.telling)]
        for row in rows
    ]
    said = [
        "A search whose children are instant, each trial written to the disk; then, run again to be one trial longer, "
        "how long it takes until its ledger is read, and from there until all is told and the new trial is done.",
        *_left_out([row.controller for row in rows], trials),
    ]
    return "\n\n".join([grid(heads, lines), *said])


# --- the command line ---

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    trials: Annotated[int, typer.Option("--trials", "-n", min=HUNDRED, help="Of each search.")] = 1_000,
    parts: Annotated[list[Part] | None, typer.Option("--part", "-p", help="May be repeated; all unless given.")] = None,
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
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the tables, as Markdown.")] = None,
) -> None:
    """Measure what a search costs beside training, with children that train in no time.

    cost: asking, telling and the loop.  resume: coming back to where a search ended.  busy: how much of the time
    simulated workers train.  calls: a ledger's line, a call through Ray.  nodes: Ray on several nodes.
    """
    begun = time.monotonic()
    tasks = [(space, controller) for space in spaces or SPACES for controller in controllers or contenders(space)]
    for space, controller in tasks:
        names.space(space), Contender(controller).made()
    if out:
        write_text(out, "")
    texts = []
    for part in parts or list(Part):
        texts.append(_measured(part, tasks, trials))
        console.print(f"{texts[-1]}\n", markup=False)
    facts = checklist(command("loop"), time.monotonic() - begun)
    texts.append(conditions(trials, facts))
    console.print(texts[-1], markup=False)
    if out:
        write_text(out, "\n\n".join(texts) + "\n")


def _measured(part: Part, tasks: Sequence[tuple[str, str]], trials: int) -> str:
    """One part's table and what is to be said of it."""
    if part is Part.COST:
        return cost_table(_each(measured, tasks, trials), trials)
    if part is Part.RESUME:
        return resume_table(_each(resumed, tasks, trials), trials)
    if part is Part.BUSY:
        return scale.busy_table(watched(scale.utilisation(), len(scale.CASES), "nothing is written"))
    return scale.calls_table(trials) if part is Part.CALLS else scale.nodes_table(trials)


def _each(work: Callable[[str, str, int], Any], tasks: Sequence[tuple[str, str]], trials: int) -> list[Any]:
    """Each task in a process of its own, so that none has the memory of the one before; one after the other."""
    coming = (row for task in tasks for row in side_by_side(work, [(*task, trials)], workers=2))
    return watched(coming, len(tasks), "nothing is written")


def conditions(trials: int, facts: Mapping[str, Any]) -> str:
    """What a repetition needs to know; facts: as `nas.report.checklist` gives them."""
    hardware = facts["hardware"]
    return (
        f"One run of each, one thread, window {WINDOW}, schedules over {trials:,} trials, on {hardware['cpu']}, "
        f"{hardware['cores']} cores; {pairs(facts['code'])}, {pairs(facts['versions'])}.\n\n`{facts['command']}`"
    )


if __name__ == "__main__":
    anew_with_one_thread("loop")
    run(app, "loop")
