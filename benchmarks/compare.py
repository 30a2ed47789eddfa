"""Controllers side by side on a table of known results, over many seeds: `python -m benchmarks.compare --help`.

    python -m benchmarks.compare nasbench201 --controllers evolution,reinforce --budget 200 --seeds 200 --out runs/201

Each search is `nas.search.Loop`, as for real children; only its pool looks results up instead of training, and its
ledger stays in memory. Networks met again are free, so a budget of N is N different networks, failed ones among them.
The controller sees rewards alone; the network that a search chooses is that of its highest reward, the first of
several; what is compared is that network's result, which no search sees, unless the table has one score for both.
"""

from __future__ import annotations

import math
import random
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import typer
from rich.console import Console

from benchmarks.processes import command, run, side_by_side, watched
from benchmarks.report import WARM, figures
from benchmarks.tables import Table, load
from nas import names, report
from nas.errors import UserError
from nas.ledger import Ledger, Trial
from nas.machine import cores
from nas.pool import Job, Serial
from nas.preset import PRESETS
from nas.report import Search
from nas.reward import REWARDS, Result, Reward, accuracy
from nas.search import Controller, Loop

P = ParamSpec("P")
T = TypeVar("T")

RANDOM = "random"  # always among the controllers
TO_THE_END = 10  # repeats a network of the table: one random search in 22,000 misses the last, (1 - 1/n)^10n


class Contender(NamedTuple):
    """A controller or a preset as typed, and settings of it besides: "name=value"."""

    typed: str
    settings: tuple[str, ...] = ()
    seeds: int = sys.maxsize  # at most so many of the comparison's, the first of them

    def made(self) -> tuple[Callable[..., Controller], dict[str, Any]]:
        """Its class and its parameters, of a preset no more than these; raises UserError if there is none such."""
        name, _, own = self.typed.partition(":")
        if name not in PRESETS:
            return names.controller(self.typed, self.settings)
        kind, given = names.controller(f"{PRESETS[name].controller}:{own}", self.settings)
        return kind, {**PRESETS[name].parameters, **given}

    @property
    def reward(self) -> Reward:
        """What its controller is told of a row's reward: a preset's own function of it, else the row's itself."""
        name = self.typed.partition(":")[0]
        return REWARDS[PRESETS[name].reward] if name in PRESETS else accuracy


@dataclass(frozen=True)
class Terms:
    """What all searches of a comparison share."""

    budget: int  # different networks
    length: int  # trials that schedules stretch over
    seconds: float = math.inf  # simulated, of all evaluations together
    window: int = 1
    fail: float = 0.0  # share of the networks whose evaluation fails
    patience: int = 1_000  # repeats in a row that end a search


# --- one search ---


def search(table: Table, contender: Contender, seed: int, terms: Terms) -> Search:
    """Search a table once; the same arguments give the same evaluations."""
    begun = time.perf_counter()
    kind, parameters = contender.made()
    timed = Timed(kind(table.space, seed, terms.length, **parameters))
    loop = Loop(
        table.space, timed, Serial(Lookup(table, terms.fail)), InMemory(), contender.reward,
        seed=seed, window=terms.window, trials=sys.maxsize, unique=min(terms.budget, len(table)),
        device_seconds=terms.seconds, patience=terms.patience,
    )  # fmt: skip
    trials, spent, why = _all(loop.run(), timed)
    new = [trial for trial in trials if trial.same_as is None]
    rows = [table.rows[trial.answers] for trial in new]
    seconds = np.array([row.seconds for row in rows], float)
    within = int((seconds.cumsum() <= terms.seconds).sum()) if terms.seconds < math.inf else len(new)
    return Search(
        contender.typed,
        seed,
        np.array([row.reward if trial.scored else math.nan for trial, row in zip(new, rows, strict=True)][:within]),
        np.array([row.result for row in rows[:within]], float),
        seconds[:within],
        len(trials),
        len(trials) - len(new),
        a_trial(spent),
        time.perf_counter() - begun,
        _why(why, table, terms, len(new), float(seconds.sum())),
    )


class Lookup:
    """Trains nothing: a job's result is the table's row, or a failure, which depends on the child's seed alone."""

    def __init__(self, table: Table, fail: float = 0.0) -> None:
        self.rows, self.fail = table.rows, fail

    def __call__(self, job: Job) -> Result:
        """Look it up."""
        row = self.rows[job.answers]
        if self.fail and random.Random(job.seed).random() < self.fail:
            return Result(seconds=row.seconds or 0.0, error="exception: one of the share of --fail")
        return Result((row.reward,), seconds=row.seconds or 0.0)


class InMemory(Ledger):
    """A ledger of a search that is not kept: the loop has its trials, and no file is written."""

    def __init__(self) -> None:
        self.path = Path("in memory")
        self.header, self.trials = None, []

    def append(self, trial: Trial) -> None:
        """Keep nothing."""


class Timed:
    """A controller with all its methods, `figures` if it has that, and the seconds spent in them."""

    def __init__(self, controller: Controller) -> None:
        self.seconds = 0.0
        self.ask, self.tell = self._timed(controller.ask), self._timed(controller.tell)
        figures = getattr(controller, "figures", None)
        if callable(figures):
            self.figures = self._timed(figures)

    def _timed(self, method: Callable[P, T]) -> Callable[P, T]:
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            begun = time.perf_counter()
            try:
                return method(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - begun

        return timed


def a_trial(spent: Sequence[float]) -> float:
    """Mean seconds a trial, but for the first WARM where there are more than twice as many.

    spent: seconds in all, by the end of each trial.
    """
    if len(spent) <= 2 * WARM:
        return spent[-1] / len(spent)
    return (spent[-1] - spent[WARM - 1]) / (len(spent) - WARM)


def _all(coming: Generator[Trial, None, str], timed: Timed) -> tuple[list[Trial], list[float], str]:
    """All trials of a search, the seconds spent in its controller by the end of each, and why it ended."""
    trials: list[Trial] = []
    spent: list[float] = []
    while True:
        try:
            trials.append(next(coming))
        except StopIteration as end:
            return trials, [*spent[1:], timed.seconds], str(end.value)
        spent.append(timed.seconds)


def _why(loops: str, table: Table, terms: Terms, evaluated: int, seconds: float) -> str:
    """Why it ended, in the words of this program; else in the loop's."""
    if seconds >= terms.seconds:
        return f"{terms.seconds:,g} simulated seconds are spent"
    if evaluated >= len(table):
        return f"{report.every(evaluated)} of the table {'is' if evaluated == 1 else 'are'} known"
    if evaluated >= terms.budget:
        return f"{report.counted(evaluated, 'network')} {'is' if evaluated == 1 else 'are'} evaluated"
    left = f"; {len(table) - evaluated:,} of the table's {len(table):,} networks are not known"
    return loops + left * (terms.budget >= len(table))


# --- all of them ---


def searches(
    table: Table, contenders: Sequence[Contender], terms: Terms, seeds: Iterable[int], workers: int
) -> Iterator[Search]:
    """Every controller with every seed, in any order; with several workers in processes of one thread each."""
    tasks = tasks_of(contenders, seeds)
    return side_by_side(partial(_search, table, terms), tasks, workers)


def _search(table: Table, terms: Terms, contender: Contender, seed: int) -> Search:
    return search(table, contender, seed, terms)


def tasks_of(contenders: Sequence[Contender], seeds: Iterable[int]) -> list[tuple[Contender, int]]:
    """Which searches are made, seed by seed."""
    return [
        (contender, seed) for place, seed in enumerate(seeds) for contender in contenders if place < contender.seeds
    ]


def contenders(typed: str, settings: Iterable[str] = ()) -> list[Contender]:
    """The controllers of a list as typed, random search first unless it has another place, each one tried.

    "evolution:population=10,sample=3,optuna:tpe" are two: what has a "=" and no ":" before that goes with the last.
    settings: "controller:name=value", for each controller of that name.
    Raises UserError for one that does not exist or that nothing is set of.
    """
    listed: list[str] = []
    for part in filter(None, (part.strip() for part in typed.split(","))):
        if listed and "=" in part and ":" not in part.partition("=")[0]:
            listed[-1] += f",{part}"
        else:
            listed.append(part)
    if RANDOM not in listed:
        listed.insert(0, RANDOM)
    unused = list(settings)
    found = []
    for name in dict.fromkeys(listed):
        own = [setting for setting in settings if _is_of(setting, name)]
        unused = [setting for setting in unused if setting not in own]
        found.append(Contender(name, tuple(_setting(setting)[1] for setting in own)))
    if unused:
        raise UserError(
            f"--set: found {unused[0]!r}, expected controller:name=value with one of {', '.join(listed)} as controller"
        )
    for contender in found:
        contender.made()
    return found


def with_fewer(rivals: Sequence[Contender], fewer: Iterable[str]) -> list[Contender]:
    """The same, with fewer seeds for those that are in `fewer` as "controller=seeds".

    Raises UserError for one that is not among them or for what is no number.
    """
    wanted: dict[str, int] = {}
    typed = [rival.typed for rival in rivals]
    for part in fewer:
        name, _, count = part.rpartition("=")
        if name not in typed or not count.isdecimal() or int(count) < 1:
            raise UserError(
                f"--fewer: found {part!r}, expected controller=seeds with one of {', '.join(typed)} as controller, "
                "as in optuna:gp=20"
            )
        wanted[name] = int(count)
    return [rival._replace(seeds=wanted.get(rival.typed, rival.seeds)) for rival in rivals]


def _setting(typed: str) -> tuple[str, str]:
    """("reinforce", "rate=0.1") of "reinforce:rate=0.1"."""
    before, equals, value = typed.partition("=")
    controller, _, name = before.rpartition(":")
    return controller, f"{name}{equals}{value}"


def _is_of(setting: str, typed: str) -> bool:
    controller, _ = _setting(setting)
    return bool(controller) and (typed == controller or typed.startswith(f"{controller}:"))


# --- the command line ---

CONTROLLERS = (
    "As for `nas search`, with commas between; random is added. A preset's name stands for its controller with its "
    "parameters and reward, as zoph2017 is told the cube of the table's; its recipe and limits do not apply to a table."
)

TABLE = (
    "nasbench201, nasbench-macro, csv:PATH, or nk:POSITIONS,OPTIONS,TIES,SEED for a random landscape, as nk:8,3,2,0. "
    "A csv has two columns with a comma between, architectures as conv-3-16 and their scores, higher is better, and a "
    "row for every combination of the options that are found at each position; a line with the columns' names may come "
    "first."
)
SETTINGS = "A parameter of a controller, as reinforce:rate=0.1; may be repeated."
PATIENCE = (
    f"End a search after so many repeats in a row; {Terms.patience:,} unless given, and where the --budget is the "
    f"whole table or more, at least {TO_THE_END} for each of its networks."
)
FILE = (
    "The table's file; unless given, it is looked for in the folder that the environment variable NAS_TABLES names. "
    "For nasbench201 also the benchmark's own: NATS-Bench's folder or .pickle.pbz2 (pip install nats_bench) or "
    "NAS-Bench-201's .pth (pip install nas-bench-201); these are pickles, which can run anything: only those you trust."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=TABLE)],
    controllers: Annotated[str, typer.Option("--controllers", "-c", help=CONTROLLERS)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for comparison.json, .md and .png.")],
    seeds: Annotated[int, typer.Option(min=1, max=100_000, help="How many searches of each controller.")],
    budget: Annotated[int | None, typer.Option(min=1, help="Different networks a search; repeats are free.")] = None,
    simulated_seconds: Annotated[
        float | None, typer.Option(min=1e-9, help="Of training, a search; what ends later does not count.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help=FILE)] = None,
    dataset: Annotated[str | None, typer.Option(help="nasbench201: the columns' prefix, c10 unless given.")] = None,
    window: Annotated[int, typer.Option(min=1, help="Trials under way at once.")] = 1,
    fail: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the networks that fail.")] = 0.0,
    fewer: Annotated[
        list[str] | None,
        typer.Option(metavar="CONTROLLER=SEEDS", help="Fewer seeds for a slow one, as optuna:gp=20; may be repeated."),
    ] = None,
    first_seed: Annotated[int, typer.Option(min=0, max=2**62, help="The seeds are this one and those after it.")] = 0,
    against: Annotated[
        str, typer.Option(help="Controllers, with commas between, that all are tested against besides random.")
    ] = "",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="CONTROLLER:NAME=VALUE", help=SETTINGS)] = None,
    patience: Annotated[int | None, typer.Option(min=1, help=PATIENCE)] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Searches at once; all cores unless given.")
    ] = None,
) -> None:
    """Compare controllers on a table of known results; random search is always beside them."""
    begun = time.monotonic()
    found = load(table, file, dataset)
    rivals = with_fewer(contenders(controllers, settings or []), fewer or [])
    references = [RANDOM, *(one.typed for one in contenders(against) if one.typed != RANDOM)]
    _check_references(references, rivals)
    terms = terms_of(found, budget, simulated_seconds, window, fail, patience)
    for rival in rivals:
        kind, parameters = rival.made()
        kind(
            found.space, first_seed, terms.length, **parameters
        )  # a parameter out of range, before anything is written
    report.make_folder(out)
    numbers = range(first_seed, first_seed + seeds)
    done = watched(
        searches(found, rivals, terms, numbers, workers or cores()),
        len(tasks_of(rivals, numbers)),
        "nothing is written",
    )
    facts = report.checklist(command("compare"), time.monotonic() - begun)
    console.print(report.written(figures(found, rivals, terms, done, references, facts), out), markup=False)


def terms_of(
    table: Table, budget: int | None, seconds: float | None, window: int, fail: float, patience: int | None
) -> Terms:
    """Schedules stretch over the networks that the budget has room for, by the table's mean seconds if it has such."""
    if budget is None and seconds is None:
        raise UserError("budget: found none, expected --budget, --simulated-seconds or both")
    length = min(budget or len(table), len(table))
    if seconds is not None:
        if not math.isfinite(seconds):
            raise UserError(
                f"--simulated-seconds: found {seconds}, expected a finite number; give one, or a --budget alone"
            )
        table.need_seconds()
        length = min(length, math.ceil(seconds / table.mean_seconds))
    return Terms(budget or len(table), length, seconds or math.inf, window, fail, patience or _patience(table, budget))


def _patience(table: Table, budget: int | None) -> int:
    """Enough for random sampling to meet the last network of a table that is to be known to its end."""
    whole = budget is not None and budget >= len(table)
    return max(Terms.patience, TO_THE_END * len(table) * whole)


def _check_references(references: Sequence[str], rivals: Sequence[Contender]) -> None:
    typed = [rival.typed for rival in rivals]
    for name in references:
        if name not in typed:
            raise UserError(f"--against: found {name}, expected one of --controllers: {', '.join(typed)}")


if __name__ == "__main__":
    run(app, "compare")
