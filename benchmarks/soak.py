"""Long searches, many workers, many searches at once: `python -m benchmarks.soak`.

    python -m benchmarks.soak --part memory --controller random --trials 12800
    python -m benchmarks.soak --part workers --workers 64

memory: searches whose children are instant, as in `benchmarks/loop.py`, each trial in a ledger on the disk; the process
may grow by 1 KiB a trial beyond the ledger's line, for what is shown of a search looks at all its trials, and beyond
what Q-learning and Optuna's samplers keep of the answers, and not by a single file.
workers: the same search through Ray with two workers and with many more than there are cores, equal by its ledger; with
real children by `nas search`, for which a worker takes 0.4 GB, and with children that train nothing.
neighbours: several searches at once on this machine, each through a Ray of its own and in a folder of its own, with one
cache that is empty at first; each equal to the same search alone in one process, and nothing left behind.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from benchmarks.compare import Contender
from benchmarks.loop import IMAGES, SPACES, WINDOW, MadeUp, contenders, memory
from benchmarks.processes import anew_with_one_thread, command, run, side_by_side, watched
from controllers.evolution import Evolution
from controllers.optuna_search import OptunaSearch
from controllers.q_learning import QLearning
from nas import data, names
from nas.errors import UserError
from nas.ledger import RECORDS, Ledger, read
from nas.pool import Job, RayPool, Serial, Training
from nas.progress import Progress
from nas.report import checklist, grid, pairs, write_text
from nas.reward import Result, accuracy
from nas.search import Controller, Loop, search

BAR = 1024  # bytes a trial
FEW = 2  # workers
OPTUNA = 1_000  # trials of its samplers: each ask looks at all trials; of GP they take hours all the same
AMONG = ("reinforce", "q-learning", "posterior-sampling", "evolution", "random")  # the controllers of neighbours
SMALL = ("chain", "--data", "digits", "--device", "cpu", "--limit", "depth=3", "--limit", "input_size=8")


class Part(StrEnum):
    """What is put under load."""

    MEMORY = "memory"
    WORKERS = "workers"
    NEIGHBOURS = "neighbours"


# --- memory ---


class Grown(NamedTuple):
    """One search, from a fifth of its trials to its end."""

    space: str
    controller: str
    trials: int
    process: float  # bytes a trial by which the process has grown
    answers: float  # bytes a trial of these that the controller's memory of the answers has grown by
    ledger: float  # bytes a line
    handles: tuple[int, int]  # open files, at both ends

    @property
    def holds(self) -> bool:
        """Whether it keeps within the bar, and opens nothing for good."""
        return self.process - self.answers - self.ledger <= BAR and self.handles[0] == self.handles[1]


def grown(space: str, controller: str, trials: int, memory: Callable[[], int] = memory) -> Grown:
    """Search once, with instant children; memory: bytes of this process."""
    memory()  # which may begin to look
    importlib.import_module("scipy.stats")  # or the first look for what is wrong imports it, 80 MB
    kind, parameters = Contender(controller).made()
    here = names.space(space).on(IMAGES)
    answering = kind(here, 0, trials, **parameters)
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder)) as ledger:
        ledger.begin({})
        loop = Loop(
            here, answering, Serial(MadeUp()), ledger, accuracy,
            seed=0, window=WINDOW, trials=trials, patience=sys.maxsize,
        )  # fmt: skip
        fifth, before = max(1, trials // 5), (0, 0, 0)
        progress = Progress(Console(file=io.StringIO()), [], trials, here)  # as the command line has it
        for done, trial in enumerate(loop.run(), 1):
            progress.add(trial)
            if done == fifth:
                before = _held(answering, memory)
        after = _held(answering, memory)
        line = ledger.path.stat().st_size / trials
    process, answers, _ = ((b - a) / (trials - fifth) for a, b in zip(before, after, strict=True))
    return Grown(space, controller, trials, process, answers, line, (before[2], after[2]))


def living() -> int:
    """Bytes of Python's and numpy's objects in this process, without what allocators keep for later; slow."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


def _held(controller: Controller, memory: Callable[[], int]) -> tuple[int, int, int]:
    """Bytes of this process, those of what the controller keeps of the answers, and open files."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what a larger sum took for a moment is no trial's
    return memory(), _answers(controller), len(list(Path("/proc/self/fd").iterdir()))


def _answers(controller: Controller) -> int:
    """Bytes of a memory of the answers that grows with the trials, of Q-learning's steps or of Optuna's trials."""
    if isinstance(controller, QLearning):  # the steps themselves are the table's
        return sum(sys.getsizeof(one) for memory in controller.memory for one in (memory, *memory))
    return size(controller.told) if isinstance(controller, OptunaSearch) else 0


def size(thing: object) -> int:
    """Bytes of an object and of all that it leads to, classes and code left out."""
    seen, coming, total = {id(thing)}, [thing], 0
    while coming:
        one = coming.pop()
        total += sys.getsizeof(one)
        for other in gc.get_referents(one):
            if id(other) not in seen and not isinstance(other, type | ModuleType | FunctionType):
                seen.add(id(other))
                coming.append(other)
    return total


def memory_table(rows: Sequence[Grown]) -> str:
    """The table, and what its figures are."""
    heads = ["space", "controller", "trials", "process", "of it answers", "a line", "files", "holds"]
    lines = [
        [row.space, row.controller, *_bytes(row), "{} → {}".format(*row.handles), "yes" if row.holds else "no"]
        for row in rows
    ]
    said = (
        "Bytes a trial by which the process of a search grows, from a fifth of its trials to its end; what of these a "
        "memory of the answers takes, of Q-learning to be replayed and of Optuna's samplers to be looked at; the bytes "
        "of a line of the ledger; open files. With --alive, that by which its living objects grow, without what "
        f"allocators keep. It holds where it grows by {BAR:,} bytes at most beyond that memory and that line, and no "
        "file stays open."
    )
    return f"{grid(heads, lines)}\n\n{said}"


def _bytes(row: Grown) -> list[str]:
    return [f"{figure:,.0f}" for figure in (row.trials, row.process, row.answers, row.ledger)]


# --- searches by the command line ---


class Run(NamedTuple):
    """A search by `nas search`, under way."""

    folder: Path
    process: subprocess.Popen[str]
    begun: float  # seconds, on a clock


def begun(folder: Path, words: Sequence[str], cache: Path, temporary: Path) -> Run:
    """Start a search in a folder, with this cache, and with its temporary files there."""
    own = {"NAS_CACHE": str(cache), "TMPDIR": str(temporary), "RAY_TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)}
    typed = [sys.executable, "-m", "nas", "search", *SMALL, *words, "--out", str(folder)]
    log = Path(f"{folder}.log").open("w")  # noqa: SIM115  the process has it
    with log:
        process = subprocess.Popen(typed, env=os.environ | own, stdout=log, stderr=log, text=True)
    return Run(folder, process, time.monotonic())


ROOT = Path(__file__).parents[1]


def ended(running: Run) -> float:
    """Wait for a search; its seconds. Raises UserError if it failed."""
    status = running.process.wait()
    if status:
        log = Path(f"{running.folder}.log").read_text().strip()
        raise UserError(f"{shlex.join(map(str, running.process.args))}: found exit status {status}, expected 0; {log}")  # type: ignore[arg-type]
    return time.monotonic() - running.begun


def is_same(one: Path, other: Path) -> bool:
    """Whether two searches are equal but for times, the order of their lines, and where they began."""
    return _timeless(one) == _timeless(other)


def _timeless(folder: Path) -> tuple[dict[str, Any], list[Any]]:
    header, trials = read(folder)
    told = [
        replace(trial, at=0.0, result=trial.result and replace(trial.result, seconds=0.0, memory=None))
        for trial in sorted(trials, key=lambda trial: trial.trial)
    ]
    return {name: value for name, value in header.items() if name not in RECORDS}, told


class Searched(NamedTuple):
    """A search beside the same one as it should be."""

    name: str
    trials: int
    seconds: tuple[float, float]  # as it should be, and under load
    same: bool
    left: int  # files left in the folder for temporary ones


def with_workers(few: int, many: int, trials: int, images: int) -> Searched:
    """One search of real children with few workers and with many, which must be the same: its window is given."""
    words = ["-c", "reinforce", "-n", f"{trials}", "--images", f"{images}", "--window", f"{2 * many}"]
    with tempfile.TemporaryDirectory(dir=SHORT) as kept:
        base = Path(kept)
        (base / "t").mkdir()
        little, much = (
            ended(begun(base / f"{count}", [*words, "-w", f"{count}"], base / "cache", base / "t"))
            for count in (few, many)
        )
        name = f"{many} workers in place of {few}, real children"
        return Searched(name, trials, (little, much), is_same(base / f"{few}", base / f"{many}"), left_in(base / "t"))


@dataclass
class Gathered(Training):
    """Trains nothing, but waits until all workers are up, and then a few milliseconds."""

    notes: Path = Path()  # a folder
    workers: int = 1

    def ready(self) -> int:
        """At once, and without torch."""
        return 0

    def __call__(self, job: Job) -> Result:
        """As made up; which child ends before which is left to the machine."""
        (self.notes / str(os.getpid())).touch()
        while len(list(self.notes.iterdir())) < self.workers:
            time.sleep(0.1)
        time.sleep(job.seed % 7 / 1000)
        return MadeUp()(job)


def with_light_workers(few: int, many: int, trials: int) -> Searched:
    """The same with children that train nothing."""
    with tempfile.TemporaryDirectory(dir=SHORT) as kept:
        base = Path(kept)
        little, much = (_light(base, count, 2 * many, trials) for count in (few, many))
        name = f"{many} workers in place of {few}, children that train nothing"
        return Searched(name, trials, (little, much), is_same(base / f"{few}", base / f"{many}"), 0)


def _light(base: Path, workers: int, window: int, trials: int) -> float:
    notes = base / f"notes {workers}"
    notes.mkdir()

    def pool(given: Training) -> RayPool:
        return RayPool(Gathered(**vars(given), notes=notes, workers=workers), workers)

    begun_at, digits = time.monotonic(), data.load("digits", images=100)
    coming = search(
        names.space("chain"), Evolution, digits, base / f"{workers}",
        trials=trials, window=window, device="cpu", pool=pool,
    )  # fmt: skip
    for _ in coming:
        pass
    return time.monotonic() - begun_at


def side_by_side_and_alone(searches: int, trials: int, images: int, workers: int = FEW) -> list[Searched]:
    """Searches with controllers and seeds of their own, all at once, and each of them alone."""
    found = []
    with tempfile.TemporaryDirectory(dir=SHORT) as kept:
        base = Path(kept)
        (base / "t").mkdir()
        typed = {
            f"{AMONG[number % len(AMONG)]} {number}": [
                *("-c", AMONG[number % len(AMONG)], "--seed", f"{number}"),
                *("-n", f"{trials}", "--images", f"{images}", "--window", f"{WINDOW}"),
            ]
            for number in range(searches)
        }
        together = {
            name: begun(base / name, [*words, "-w", f"{workers}"], base / "cache", base / "t")
            for name, words in typed.items()
        }
        try:
            seconds = {name: ended(running) for name, running in together.items()}
        finally:
            for running in together.values():
                running.process.send_signal(signal.SIGINT)  # those that still run, where one failed
                running.process.wait()
        left = left_in(base / "t")
        for name, words in typed.items():
            alone = ended(begun(base / f"{name} alone", [*words, "-w", "0"], base / "cache", base / "t"))
            same = is_same(base / name, base / f"{name} alone")
            found.append(Searched(name, trials, (alone, seconds[name]), same, left))
    return found


def left_in(temporary: Path) -> int:
    """Files and folders there, but for torch's cache."""
    return len([path for path in temporary.iterdir() if not path.name.startswith("torchinductor_")])


SHORT = "/tmp"  # noqa: S108  the name of a socket of Ray's has little room


def searched_table(rows: Sequence[Searched], said: str) -> str:
    """The table, and what its figures are."""
    heads = ["search", "trials", "as it should be, s", "under load, s", "same ledger", "files left"]
    lines = [
        [row.name, *(f"{n:,.0f}" for n in (row.trials, *row.seconds)), "yes" if row.same else "no", f"{row.left}"]
        for row in rows
    ]
    return f"{grid(heads, lines)}\n\n{said}"


# --- the command line ---


def length(controller: str, trials: int) -> int:
    """How many trials of a search with instant children are run."""
    return min(trials, OPTUNA) if controller.startswith("optuna") else trials


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    parts: Annotated[list[Part] | None, typer.Option("--part", "-p", help="May be repeated; all unless given.")] = None,
    trials: Annotated[
        int, typer.Option("--trials", "-n", min=100, help="Of each search with instant children.")
    ] = 12_800,
    space: Annotated[str, typer.Option("--space", "-s", help="Of the searches with instant children.")] = SPACES[0],
    controllers: Annotated[
        list[str] | None,
        typer.Option("--controller", "-c", help="With instant children; may be repeated; all unless given."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Of the search with many and children that train nothing.")] = 64,
    real: Annotated[int, typer.Option(min=1, help="Of the search with many and real children.")] = 64,
    searches: Annotated[int, typer.Option(min=1, help="At once.")] = 10,
    children: Annotated[int, typer.Option(min=1, help="Trials of each search whose children are real.")] = 40,
    images: Annotated[int, typer.Option(min=50, help="That real children train on.")] = 200,
    alive: Annotated[
        bool, typer.Option("--alive", help="Count a process's living objects instead of its memory; slow.")
    ] = False,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the tables, as Markdown.")] = None,
) -> None:
    """Put searches under load; exit status 1 where something does not hold."""
    begun_at, texts, hold = time.monotonic(), [], True
    tasks = [(space, name, length(name, trials)) for name in controllers or contenders(space)]
    for _, name, _ in tasks:
        names.space(space), Contender(name).made()
    if out:
        write_text(out, "")
    for part in parts or list(Part):
        if part is Part.MEMORY:
            measured = partial(grown, memory=living if alive else memory)
            each = (row for task in tasks for row in side_by_side(measured, [task], workers=2))  # a process each
            rows = watched(each, len(tasks), "nothing is written")
            hold &= all(row.holds for row in rows)
            texts.append(memory_table(rows))
        else:
            found = _searched(part, workers, real, searches, children, images)
            hold &= all(row.same and not row.left for row in found)
            texts.append(searched_table(found, SAID[part]))
        console.print(f"{texts[-1]}\n", markup=False)
    texts.append(conditions(checklist(command("soak"), time.monotonic() - begun_at)))
    console.print(texts[-1], markup=False)
    if out:
        write_text(out, "\n\n".join(texts) + "\n")
    raise typer.Exit(0 if hold else 1)


def _searched(part: Part, workers: int, real: int, searches: int, children: int, images: int) -> list[Searched]:
    if part is Part.WORKERS:
        return [with_light_workers(FEW, workers, 20 * workers), with_workers(FEW, real, children, images)]
    return side_by_side_and_alone(searches, children, images)


SAID = {
    Part.WORKERS: "Seconds of the same search with few workers and with many, through Ray; whether its ledgers are the "
    "same but for times and the order of lines; files left in the temporary folder, but for torch's cache.",
    Part.NEIGHBOURS: "Seconds of each search alone, in one process, and beside the others, through Ray with two "
    "workers each; whether its ledgers are the same but for times and the order of lines; files that all left in the "
    "temporary folder, but for torch's cache.",
}


def conditions(facts: Mapping[str, Any]) -> str:
    """What a repetition needs to know; facts: as `nas.report.checklist` gives them."""
    hardware = facts["hardware"]
    return (
        f"One run of each, on {hardware['cpu']}, {hardware['cores']} cores; {pairs(facts['code'])}, "
        f"{pairs(facts['versions'])}.\n\n`{facts['command']}`"
    )


if __name__ == "__main__":
    anew_with_one_thread("soak")
    run(app, "soak")
