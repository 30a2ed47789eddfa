"""What a search does when something dies, fails or runs out: `python -m benchmarks.faults`.

    python -m benchmarks.faults --out faults.md
    python -m benchmarks.faults --fault killed --times 100
    python -m benchmarks.faults --fault ctrl-c --fault "ctrl-c twice" --seed 1

Each fault is real: SIGKILL, a full file system, a cluster's node that is gone; what it happens to is a `nas search` on
the digits, or a search of 2,000 quick children, in processes of its own. The same command is then run again until it
ends, and its ledger held against that of a search to which nothing happened, without times and by number.
Nothing else should write to /dev/shm meanwhile, for files that appear there are blamed on searches, nor take gigabytes
of memory, for Ray's monitor looks at the whole machine's.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from benchmarks.processes import command, run
from benchmarks.victims import CUTS, FAULT, NOTES, is_ill
from nas.__main__ import SOON
from nas.errors import UserError
from nas.ledger import FILE, unsealed
from nas.report import checklist, grid, pairs, write_text

ROOT = Path(__file__).parents[1]
SEARCH = ("search", "benchmarks.victims:Victims", "--images", "200", "--epochs", "2", "--window", "8")
REAL = (*SEARCH, "--controller", "evolution", "--device", "cpu", "--workers", "2")
HERE = (*SEARCH, "--controller", "evolution", "--device", "cpu", "--workers", "0")
ILL = (*SEARCH, "--controller", "random", "--workers", "2")  # whose asks do not depend on what failed
EACH = 10  # kills of one search
TRIALS = 2_000  # of a long search
PATIENCE = 600.0  # seconds that any command may take
AFTER = 10.0  # seconds after which nothing may be left of a search
AT_ONCE = 5.0  # seconds that a second Ctrl-C may take, on a busy machine too

Line = Mapping[str, Any]


class Ended(NamedTuple):
    """What a command left."""

    status: int
    said: str  # to stderr


class Row(NamedTuple):
    """What became of the searches to which something happened."""

    fault: str
    tried: int
    lost: int = 0  # trials that were whole on the disk, and are not as they were in the end
    twice: int = 0  # trainings that began of what was whole on the disk by then
    equal: bool = True  # ledgers to the undisturbed one, without times
    wrong: tuple[str, ...] = ()  # what else should not have been
    skipped: str = ""  # why it was not tried

    @property
    def is_good(self) -> bool:
        """Whether nothing was lost, repeated or left behind."""
        return not self.lost and not self.twice and self.equal and not self.wrong


@dataclass
class Searched:
    """One search in a folder of its own, whose command can be run again; what was seen of it between runs."""

    folder: Path
    words: Sequence[str]  # for Python
    variables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        self.out, self.notes = self.folder / "out", self.folder / "notes"
        self.notes.touch()
        self.mark, self.shared = uuid.uuid4().hex, _shared_memory()
        self.short = Path("/tmp", f"f{self.mark[:8]}")  # noqa: S108  Ray's sockets have little room
        self.seen: dict[int, Line] = {}  # lines that were whole on the disk
        self.twice = 0
        self._before: tuple[set[str], int] = set(), 0  # finished at the start of a run, and notes there were

    def begin(self, *around: str) -> subprocess.Popen[bytes]:
        """Run the command, in a session of its own. around: a command that runs it."""
        self.look()
        self.short.mkdir(mode=0o700, exist_ok=True)
        temporary = {"RAY_TMPDIR": str(self.short), "TMPDIR": str(self.short), "NAS_MARK": self.mark}
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
        mine = {"PYTHONPATH": path, NOTES: str(self.notes)} | temporary
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                [*around, sys.executable, *self.words], cwd=self.folder, env={**os.environ, **mine, **self.variables},
                stdout=subprocess.DEVNULL, stderr=said, start_new_session=True,
            )  # fmt: skip

    def run(self, *around: str) -> Ended:
        """Run the command to its end."""
        return self.end(self.begin(*around))

    def end(self, process: subprocess.Popen[bytes]) -> Ended:
        """Wait for it."""
        status = process.wait(PATIENCE)
        self.look()
        return Ended(status, (self.folder / "said").read_text(errors="replace"))

    def killed_after(self, process: subprocess.Popen[bytes], seconds: float) -> bool:
        """Kill it then, if it has not ended by itself; whether it was killed."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
            return False
        process.kill()
        process.wait()
        self.look()
        return True

    def look(self) -> None:
        """Compare with what was there when the command was run last, and keep what is there now."""
        done, noted = self._before
        notes = self.notes.read_text().split()
        self.twice += sum(note in done for note in notes[noted:])
        lines = self.lines()
        self.seen |= {number: line for number, line in lines.items() if number not in self.seen}
        trained = [line for line in lines.values() if line["same_as"] is None]
        self._before = {str(line[name]) for line in trained for name in ("trial", "key")}, len(notes)

    def lines(self) -> dict[int, Line]:
        """The trials that are whole on the disk, by number, without times."""
        if not (self.out / FILE).exists():
            return {}
        whole = (self.out / FILE).read_bytes().rpartition(b"\n")[0].splitlines()[1:]
        records = map(unsealed, whole)
        return {line["trial"]: {name: line[name] for name in line if name not in ("at", "seconds")} for line in records}

    def reaches(self, process: subprocess.Popen[bytes], count: int) -> bool:
        """Wait until so many trials are on the disk; whether that was before the end."""
        book = self.out / FILE
        while process.poll() is None:
            if book.exists() and book.read_bytes().count(b"\n") > count:
                return True
            time.sleep(0.002)
        return False

    def lost(self) -> int:
        """Trials that were on the disk, and are no longer as they were."""
        now = self.lines()
        return sum(now.get(number) != line for number, line in self.seen.items())

    def left(self, within: float = AFTER) -> list[str]:
        """Processes and files that are still there of searches that ended, so many seconds later."""
        found: list[str] = []
        until = time.monotonic() + within
        while time.monotonic() < until:
            temporary = [file for file in self.short.glob("*") if not file.name.startswith("torchinductor_")]  # torch's
            files = [*temporary, *(Path("/dev/shm", name) for name in _shared_memory() - self.shared)]  # noqa: S108
            found = [f"process {number} is left" for number in marked(self.mark)] + [
                f"{file} is left{_within(file)}" for file in files
            ]
            if not found:
                break
            time.sleep(0.2)
        return found

    def close(self, within: float = AFTER) -> list[str]:
        """What is left; that is ended and removed."""
        found = self.left(within)
        for number in marked(self.mark):
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        shutil.rmtree(self.short, ignore_errors=True)
        return found


def marked(mark: str) -> list[int]:
    """The processes that have this in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
    return found


def _within(folder: Path) -> str:
    """What lies in it, to find out who left it: the first of its files, or, without any, its folders."""
    there = sorted(folder.rglob("*"))
    names = [str(file.relative_to(folder)) for file in [f for f in there if not f.is_dir()] or there]
    return f", with {', '.join(names[:3])}" if names else ""


def _shared_memory() -> set[str]:
    with contextlib.suppress(OSError):
        names = os.listdir("/dev/shm")  # noqa: S108, PTH208
        pools = ("sem.mp-", "sem.loky-")  # Python's and joblib's; a search has none
        return {name for name in names if not name.startswith(pools)}
    return set()


class Stage:
    """Where searches are run: a folder, and the undisturbed ones that others are held against."""

    def __init__(self, folder: Path, seed: int, trials: int = 24) -> None:
        self.folder, self.rng, self.trials = folder, random.Random(seed), trials
        self.cache = folder / "cache"
        self._plain: dict[tuple[str, ...], tuple[dict[int, Line], float]] = {}
        self._number = 0

    def search(self, words: Sequence[str], trials: int | None = None, /, **variables: str) -> Searched:
        """A new one, of these words for `nas`."""
        return self.python(["-m", "nas", *words, "--trials", f"{trials or self.trials}", "--out", "out"], **variables)

    def soon(self) -> int:
        """A number of trials within such a search."""
        return self.rng.randrange(2, self.trials - 3)

    def quick(self, function: str, *arguments: object) -> Searched:
        """A new one by a function of `benchmarks.victims`."""
        typed = ", ".join(repr(str(argument)) for argument in ("out", *arguments))
        return self.python(["-c", f"from benchmarks import victims; victims.{function}({typed})"])

    def python(self, words: Sequence[str], **variables: str) -> Searched:
        """A new one, by any program."""
        self._number += 1
        return Searched(self.folder / f"{self._number}", words, {"NAS_CACHE": str(self.cache), **variables})

    def plain(self, searched: Searched) -> dict[int, Line]:
        """The ledger of the same command where nothing happened."""
        return self._undisturbed(searched)[0]

    def seconds(self, searched: Searched) -> float:
        """How long it took."""
        return self._undisturbed(searched)[1]

    def _undisturbed(self, searched: Searched) -> tuple[dict[int, Line], float]:
        words = tuple(searched.words)
        if words not in self._plain:
            alone = self.python(words)
            begun = time.monotonic()
            wrong = _wrong(alone.run())
            seconds = time.monotonic() - begun
            wrong += alone.close()
            if wrong:
                raise UserError(
                    f"undisturbed search: found {'; '.join(wrong)}, expected it to end well and to leave nothing; "
                    "run it by hand, and mend what it lacks"
                )
            self._plain[words] = alone.lines(), seconds
        return self._plain[words]

    def row(
        self,
        fault: str,
        tried: int,
        searches: Sequence[Searched],
        plain: Mapping[int, Line] | None = None,
        wrong: Sequence[str] = (),
    ) -> Row:
        """What became of these, which have ended; plain: the undisturbed ledger, if it is not of the same command."""
        left = [what for searched in searches for what in searched.close()]
        return Row(
            fault,
            tried,
            sum(searched.lost() for searched in searches),
            sum(searched.twice for searched in searches),
            all(searched.lines() == (plain or self.plain(searched)) for searched in searches),
            (*wrong, *left),
        )


def _wrong(ended: Ended, status: int = 0, sentence: str = "") -> list[str]:
    """What is not as it should be of a command's end: its status, and one message with these words."""
    found = [] if ended.status == status else [f"exit status {ended.status} instead of {status}"]
    once = not sentence or ended.said.count("nas: ") == 1
    if found or "Traceback" in ended.said or sentence not in ended.said or not once:
        found.append(f"it said {ended.said[-300:]!r}")
    return found


# --- the driver dies ---


def killed(stage: Stage, times: int) -> Row:
    """SIGKILL at random instants of a real search, from its start on; every second search begins without a cache."""
    searches: list[Searched] = []
    wrong, tried = [], 0
    while tried < times:
        own = {"NAS_CACHE": str(stage.folder / f"cache{len(searches)}")} if len(searches) % 2 else {}
        searched = stage.search(REAL, **own)
        searches.append(searched)
        for _ in range(min(EACH, times - tried)):
            if not searched.killed_after(searched.begin(), stage.rng.uniform(0, stage.seconds(searched))):
                break
            tried += 1
        wrong += _wrong(searched.run())
    return stage.row("killed", tried, searches, wrong=wrong)


def line(stage: Stage, times: int) -> Row:
    """SIGKILL before, in and after each system call with which a line is written; times: lines, the header is one."""
    searches, wrong = [], []
    trials = max(24, times)
    whole = stage.quick("quick_search", trials, 0)
    for number in range(times):
        for place in CUTS:
            searched = stage.quick("dying_search", trials, number, place)
            ended = searched.run()
            lines = (searched.out / FILE).read_bytes().count(b"\n")
            if ended.status != -signal.SIGKILL or lines != number + (
                place in ("between write and sync", "after the sync")
            ):
                wrong.append(f"{place} of line {number}: exit status {ended.status}, {lines} lines")
            searched.words = whole.words
            wrong += _wrong(searched.run())
            searches.append(searched)
    return stage.row("line", len(searches), searches, wrong=wrong)


def long(stage: Stage, times: int, workers: int = 0, trials: int = TRIALS) -> Row:
    """SIGKILL at random trials of a long search of quick children, and every fourth time as it starts."""
    searched = stage.quick("quick_search", trials, workers)
    tried = 0
    for count in sorted(stage.rng.randrange(trials) for _ in range(times)):
        process, starts = searched.begin(), stage.rng.random() < 0.25
        if not starts:
            searched.reaches(process, count)
        tried += searched.killed_after(process, stage.rng.uniform(0, 2.0 if starts else 0.01))
    wrong = _wrong(searched.run())
    plain = stage.plain(stage.quick("quick_search", trials, 0))
    return stage.row(f"{trials:,} trials" + (" on Ray" if workers else ""), tried, [searched], plain, wrong)


def long_on_ray(stage: Stage, times: int) -> Row:
    """The same on Ray."""
    return long(stage, times, workers=2)


# --- a child or its worker goes wrong ---

ILLS = {  # what befalls every second child: how its error begins, None where there is none in the end; more options
    "worker killed": (None, ()),
    "hang": ("time limit: 20 s were allowed, and its worker hung", ("--child-timeout", "20")),
    "segfault": ("worker: it died 3 times with this child", ()),
    "host memory": ("out of memory: ", ()),
    "memory monitor": ("worker: it died 3 times with this child", ()),
    "gpu memory": ("out of memory: ", ()),
    "nan loss": ("diverged: the validation loss is nan", ()),
    "infinite loss": ("diverged: the validation loss is ", ()),
    "build": ("exception: RuntimeError: it raised while it was built", ()),
    "forward": ("exception: RuntimeError: it raised on the way forward", ()),
    "backward": ("exception: RuntimeError: it raised on the way back", ()),
}


def ill(name: str) -> Callable[[Stage, int], Row]:
    """A fault of every second child; times: searches."""
    error, more = ILLS[name]

    def befalls(stage: Stage, times: int) -> Row:
        words = (*ILL, *(() if name == "gpu memory" else ("--device", "cpu")))
        trials = 8 if name == "hang" else stage.trials  # 50 seconds each
        plain = stage.plain(stage.search(words, trials))
        expected = {
            number: _as_failed(line, error) if error and is_ill(line["key"]) else line for number, line in plain.items()
        }
        searches, wrong = [], []
        for _ in range(times):
            searched = stage.search((*words, *more), trials, **{FAULT: name}, **_watching(name))
            wrong += _wrong(searched.run())
            searches.append(searched)
        equal = all(_as_expected(searched.lines(), error) == expected for searched in searches)
        left = [what for searched in searches for what in searched.close()]
        tried = times * sum(is_ill(line["key"]) for line in plain.values())
        return Row(name, tried, 0, sum(searched.twice for searched in searches), equal, (*wrong, *left))

    befalls.__doc__ = f"{name}, of every second child; times: searches."
    return befalls


FAILED = ("trial", "answers", "key", "network", "same_as")


def _as_failed(line: Line, error: str) -> Line:
    """What is to stand in the ledger if this child fails so."""
    return {name: line[name] for name in FAILED} | {"reward": None, "error": error}


def _as_expected(lines: Mapping[int, Line], error: str | None) -> dict[int, Line]:
    """These, where an ill child's error, if it begins as it should, is only that beginning."""
    return {
        number: {**_as_failed(line, error), "reward": line["reward"]}
        if error and is_ill(line["key"]) and (line["error"] or "").startswith(error)
        else line
        for number, line in lines.items()
    }


def _watching(name: str) -> dict[str, str]:
    """Ray's monitor of memory ends a worker where 4 GiB more are taken than now."""
    if name != "memory monitor":
        return {}
    figures = dict(line.split()[:2] for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = int(figures["MemTotal:"]), int(figures["MemAvailable:"])
    share = (total - free + 4 * 2**20) / total
    return {"RAY_memory_usage_threshold": f"{share:.3f}", "RAY_memory_monitor_refresh_ms": "50"}


# --- a cluster ---


@contextlib.contextmanager
def cluster(variables: Mapping[str, str]) -> Iterator[Any]:
    """A head without a core, which is the driver's, and a node of two."""
    before = dict(os.environ)
    os.environ.update({**variables, "RAY_AUTH_MODE": "disabled", "PYTHONPATH": str(ROOT)})
    from nas.cluster import ray

    ray()
    from ray.cluster_utils import Cluster

    options = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    try:
        made.add_node(num_cpus=2, object_store_memory=100 * 2**20)
        made.wait_for_nodes()
        yield made
    finally:
        made.shutdown()
        os.environ.clear()
        os.environ.update(before)


def _on_cluster(stage: Stage) -> Searched:
    searched = stage.search(REAL, RAY_AUTH_MODE="disabled")
    stage.plain(searched)
    return searched


def node(stage: Stage, times: int) -> Row:
    """A node of a cluster removed in the middle, and another one added."""
    searches, wrong = [], []
    for _ in range(times):
        searched = _on_cluster(stage)
        with cluster({NOTES: str(searched.notes)}) as made:
            searched.words = [*searched.words, "--address", made.address]
            process = searched.begin()
            searched.reaches(process, stage.soon())
            made.remove_node(list(made.worker_nodes)[0], allow_graceful=False)  # noqa: RUF015
            made.add_node(num_cpus=2, object_store_memory=100 * 2**20)
            wrong += _wrong(searched.end(process))
        searched.words = searched.words[:-2]
        searches.append(searched)
    return stage.row("node", times, searches, wrong=wrong)


def head(stage: Stage, times: int) -> Row:
    """Ray's head lost in the middle: a sentence, and the search goes on with the next one."""
    searches, wrong = [], []
    for _ in range(times):
        searched = _on_cluster(stage)
        plain = searched.words
        with cluster({NOTES: str(searched.notes)}) as made:
            searched.words = [*plain, "--address", made.address]
            process = searched.begin()
            searched.reaches(process, stage.soon())
            made.remove_node(made.head_node, allow_graceful=False)
            wrong += _wrong(searched.end(process), 2, "Ray at ")
        with cluster({NOTES: str(searched.notes)}) as made:
            searched.words = [*plain, "--address", made.address]
            wrong += _wrong(searched.run())
        searched.words = plain
        searches.append(searched)
    return stage.row("head", times, searches, wrong=wrong)


# --- files and clocks ---

# What a private mount needs; the first word says where it lies. 77: it is not permitted.
_SMALL = """
mount -t tmpfs -o size=8k none "$0" || exit 77
"$@"; echo $? > status; cp said first
mount -o remount,size=64m "$0"
"$@"; status=$?; cp -r "$0" copy; exit $status
"""
_READ_ONLY = """
mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" || exit 77
"$@"
"""


def _mounting(script: str, at: Path) -> list[str]:
    """A command that runs others with mounts of their own, which end with it."""
    mapped = ["--map-root-user"] if os.getuid() else []
    return ["unshare", *mapped, "--mount", "sh", "-c", script, str(at)]


def _may_mount() -> bool:
    with contextlib.suppress(OSError):
        mapped = ["--map-root-user"] if os.getuid() else []
        words = ["unshare", *mapped, "--mount", "sh", "-c", "mount -t tmpfs none /mnt"]
        return subprocess.run(words, check=False, capture_output=True).returncode == 0
    return False


def full(stage: Stage, times: int) -> Row:
    """A disk that has room for some lines only; then it is given more."""
    if not _may_mount():
        return Row("disk full", 0, skipped="no file system can be mounted here")
    searches, wrong = [], []
    for _ in range(times):
        searched = stage.search(HERE)
        stage.plain(searched)
        searched.out.mkdir()
        ended = searched.run(*_mounting(_SMALL, searched.out))
        shutil.copytree(searched.folder / "copy", searched.out, dirs_exist_ok=True)
        first = Ended(int((searched.folder / "status").read_text()), (searched.folder / "first").read_text())
        wrong += _wrong(first, 2, "found No space left on device, expected room for a line; make room, and the same")
        wrong += _wrong(ended)
        searches.append(searched)
    return stage.row("disk full", times, searches, wrong=wrong)


def limited(stage: Stage, times: int) -> Row:
    """A limit on the size of files, met in the middle of a line; then it is lifted."""
    searches, wrong = [], []
    for _ in range(times):
        searched = stage.search(HERE)
        stage.plain(searched)
        ended = searched.run("prlimit", f"--fsize={stage.rng.randrange(4_000, 12_000)}:unlimited")
        wrong += _wrong(ended, 2, "found File too large, expected room for a line; make room, and the same")
        wrong += _wrong(searched.run())
        searches.append(searched)
    return stage.row("file size limit", times, searches, wrong=wrong)


def read_only(stage: Stage, times: int) -> Row:
    """A folder that cannot be written, before a search begins and after some of it."""
    if not _may_mount():
        return Row("read-only folder", 0, skipped="no file system can be mounted here")
    searches, wrong = [], []
    for _ in range(times):
        searched = stage.search(HERE)
        around = _mounting(_READ_ONLY, searched.folder / "out")
        searched.out.mkdir()
        wrong += _wrong(searched.run(*around), 2, "found Read-only file system, expected a folder to write to")
        process = searched.begin()
        searched.reaches(process, stage.soon())
        searched.killed_after(process, 0)
        before = (searched.out / FILE).read_bytes()
        wrong += _wrong(searched.run(*around), 2, "found Read-only file system, expected a folder to write to")
        wrong += [] if (searched.out / FILE).read_bytes() == before else ["the ledger changed"]
        wrong += _wrong(searched.run())
        searches.append(searched)
    return stage.row("read-only folder", 2 * times, searches, wrong=wrong)


def locked(stage: Stage, times: int) -> Row:
    """A second search in the folder of a living one, which is then killed, and one at once after that."""
    searches, wrong = [], []
    for _ in range(times):
        searched = stage.search(REAL)
        process = searched.begin()
        searched.reaches(process, stage.soon())
        second = subprocess.run(
            process.args, cwd=searched.folder, env=_variables(process.pid), capture_output=True, text=True, check=False
        )
        wrong += _wrong(Ended(second.returncode, second.stderr), 2, "found another search writing here, expected none")
        searched.killed_after(process, 0)
        wrong += _wrong(searched.run())
        searches.append(searched)
    return stage.row("folder locked", times, searches, wrong=wrong)


def _variables(process: int) -> dict[bytes, bytes]:
    """The environment in which a process was begun."""
    pairs = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    return {name: value for name, _, value in (pair.partition(b"=") for pair in pairs) if name}


BACK = """
import os, time
now, back = time.time, float(os.environ["NAS_BACK"])
time.time = lambda: now() - back - 60 * time.monotonic()
"""


def clock(stage: Stage, times: int) -> Row:
    """Python's wall clock runs backwards, an hour a minute, and is a day earlier after the search was killed."""
    searches, wrong = [], []
    for _ in range(times):
        searched = stage.search(REAL)
        stage.plain(searched)
        (searched.folder / "sitecustomize.py").write_text(BACK)
        path = {"PYTHONPATH": os.pathsep.join([str(searched.folder), str(ROOT)])}
        searched.variables = {**searched.variables, **path, "NAS_BACK": "0"}
        process = searched.begin()
        searched.reaches(process, stage.soon())
        searched.killed_after(process, 0)
        searched.variables = {**searched.variables, "NAS_BACK": "86400"}
        wrong += _wrong(searched.run())
        at = [json.loads(line)["at"] for line in (searched.out / FILE).read_text().splitlines()[1:]]
        wrong += [] if at == sorted(at) and at[-1] < 3600 else [f"trials at {at}"]
        searches.append(searched)
    return stage.row("clock set back", times, searches, wrong=wrong)


# --- Ctrl-C ---


def interrupted(stage: Stage, times: int, twice: bool = False) -> Row:
    """Ctrl-C at random instants from one second on, as a terminal sends it; then the same command again."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background ignores it, and hands that on
    searches: list[Searched] = []
    wrong = []
    while len(searches) < times:
        searched = stage.search(REAL)
        process = searched.begin()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1 + stage.rng.uniform(0, max(1, stage.seconds(searched) - 2)))
            searched.close()  # it was faster than the undisturbed one
            continue
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            _listens(process)
            searched.look()
            os.killpg(process.pid, signal.SIGINT)
        begun, all_done = time.monotonic(), len(searched.seen) >= stage.trials
        if twice:
            time.sleep(SOON + stage.rng.uniform(0.01, 0.5))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGINT)
        ended = searched.end(process)
        lasted = time.monotonic() - begun
        if all_done and ended.status == 0:
            searched.close()  # nothing was left to be stopped
            continue
        wrong += _wrong(ended, 130)
        if twice and lasted > SOON + 0.5 + AT_ONCE:
            wrong.append(f"it took {lasted:.1f} s to end")
        if (searched.out / FILE).exists() and (searched.out / FILE).read_bytes().rpartition(b"\n")[2]:
            wrong.append("the ledger ends within a line")
        wrong += searched.left()
        wrong += _wrong(searched.run())
        searches.append(searched)
    return stage.row("ctrl-c twice" if twice else "ctrl-c", times, searches, wrong=wrong)


def _listens(process: subprocess.Popen[bytes]) -> None:
    """Wait until a command has handlers of its own: before, on a busy machine, it is not our program that ends."""
    while process.poll() is None:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt:"))
        if caught & 1 << signal.SIGTERM - 1:  # which Python does not catch by itself
            return
        time.sleep(0.01)


def interrupted_twice(stage: Stage, times: int) -> Row:
    """Ctrl-C twice: the second time it ends at once."""
    return interrupted(stage, times, twice=True)


# --- the command line ---

FAULTS: dict[str, tuple[Callable[[Stage, int], Row], int]] = {  # and how often each is tried unless --times says
    "killed": (killed, 100),
    "line": (line, 8),
    "long": (long, 100),
    "long on ray": (long_on_ray, 100),
    **{name: (ill(name), 1) for name in ILLS},
    "node": (node, 2),
    "head": (head, 2),
    "disk full": (full, 2),
    "file size limit": (limited, 3),
    "read-only folder": (read_only, 1),
    "folder locked": (locked, 2),
    "clock set back": (clock, 2),
    "ctrl-c": (interrupted, 10),
    "ctrl-c twice": (interrupted_twice, 10),
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


@app.command()
def main(
    faults: Annotated[
        list[str] | None, typer.Option("--fault", "-f", help=f"{', '.join(FAULTS)}; may be repeated; all unless given.")
    ] = None,
    times: Annotated[int | None, typer.Option("--times", "-n", min=1, help="How often each is tried.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the instants.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="A file for the table, as Markdown.")] = None,
) -> None:
    """Let real faults happen to real searches, and show what became of their ledgers; exit status 1 if any is wrong."""
    begun = time.monotonic()
    for fault in faults or ():
        if fault not in FAULTS:
            raise UserError(f"--fault: found {fault!r}, expected one of {', '.join(FAULTS)}")
    if out:
        write_text(out, "")
    rows = []
    for fault in faults or FAULTS:
        function, usual = FAULTS[fault]
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            rows.append(function(Stage(Path(folder), seed), times or usual))
        print(" | ".join(_cells(rows[-1])), file=sys.stderr, flush=True)
    text = table(rows, checklist(command("faults"), time.monotonic() - begun))
    console.print(text, markup=False)
    if out:
        write_text(out, f"{text}\n")
    raise typer.Exit(0 if all(row.is_good for row in rows) else 1)


def table(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """The table, what its figures are, and what a repetition needs to know."""
    heads = ["fault", "times tried", "trials lost", "trained twice", "ledger equal", "else wrong"]
    lines = [_cells(row) for row in rows]
    said = (
        "Lost: trials that were whole on the disk at some time, and were not as they were in the end. Trained twice: "
        "trainings that began of what was whole on the disk by then. Equal: to the ledger of the same search to which "
        "nothing happened, by number and without times; where children fail, but for these. Else wrong: exit status, "
        "message, processes and files left behind."
    )
    hardware = facts["hardware"]
    where = f"On {hardware['cpu']}, {hardware['cores']} cores, in {facts['wall_seconds'] / 60:.0f} min; "
    where += f"{pairs(facts['code'])}, {pairs(facts['versions'])}."
    return "\n\n".join([grid(heads, lines, words=1), said, where, f"`{facts['command']}`"])


def _cells(row: Row) -> list[str]:
    if row.skipped:
        return [row.fault, "0", "–", "–", "–", f"skipped: {row.skipped}"]
    wrong = "; ".join(row.wrong) or "nothing"
    return [row.fault, f"{row.tried:,}", f"{row.lost:,}", f"{row.twice:,}", "yes" if row.equal else "no", wrong]


if __name__ == "__main__":
    run(app, "faults")
