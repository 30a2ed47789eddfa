"""Where children train: in this process, or on Ray actors on one machine or many."""

from __future__ import annotations

import importlib
import logging
import math
import os
import pickle
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nas.errors import UserError
from nas.recipe import Recipe
from nas.reward import Result
from nas.space import Space

if TYPE_CHECKING:
    from nas.data import Data
    from nas.train import Resident

TRIES = 3  # of a child whose worker died
GRACE = 30.0  # seconds beyond a child's time limit


class Job(NamedTuple):
    """A child to train: all that a worker needs beyond what it has from its start."""

    trial: int
    answers: tuple[int, ...]
    seed: int


class Pool(Protocol):
    """Trains children, in any order, some of them at once."""

    workers: int

    def submit(self, job: Job) -> None:
        """Take on a child; it waits until a worker is free."""

    def wait(self) -> tuple[int, Result]:
        """Block until any child submitted is done; its trial and result."""

    def close(self) -> None:
        """End all that is under way and give everything back."""


@dataclass
class Training:
    """Trains the children of one search: called with a job, it gives a result. It travels to workers whole."""

    space: Space
    data: Data | None  # None while it travels apart
    recipe: Recipe
    device: str
    threads: int
    limit: float | None  # seconds a child, or None

    _resident: Resident | None = None

    def prepare(self) -> Resident:
        """The data, on the device from the first call on."""
        from nas.train import Resident

        if self._resident is None:
            importlib.import_module("torch._dynamo")  # optimizers import it at their first step: 1 s of no child's time
            assert self.data is not None
            self._resident = Resident(self.data, self.device)
        return self._resident

    def __call__(self, job: Job) -> Result:
        """Build the network that the answers lead to and train it."""
        from nas.train import train

        network = self.space.replay(job.answers).network
        return train(network, self.prepare(), self.recipe, job.seed, self.threads, self.limit)


class Serial:
    """One child after the other, in this process; `train` is a `Training` or any function of a job."""

    workers = 1

    def __init__(self, train: Callable[[Job], Result]) -> None:
        self._train = train
        self._queue: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        """Take on a child."""
        self._queue.append(job)

    def wait(self) -> tuple[int, Result]:
        """Train the oldest child."""
        job = self._queue.popleft()
        return job.trial, self._train(job)

    def close(self) -> None:
        """Nothing is under way."""
        self._queue.clear()


class RayPool:
    """Resident Ray actors, each training one child at a time; a worker that dies is replaced, its child run again.

    workers: how many, or None for as many as the machine or cluster has cores (GPUs, divided by `gpus_per_worker`).
    address: of a running Ray cluster; None starts Ray on this machine alone, and ends it again in `close`.
    grace: seconds that a child may take beyond its time limit before its worker is taken for hung and ended.
    Raises UserError if the training cannot travel, the cluster cannot be reached or has too few GPUs; `wait` raises it
    if no worker comes up, or for one raised on a worker.
    """

    def __init__(
        self,
        training: Training,
        workers: int | None = None,
        gpus_per_worker: float = 1.0,
        address: str | None = None,
        grace: float = GRACE,
    ) -> None:
        self._limit, self._grace = training.limit, grace
        self._queue: deque[tuple[Job, int]] = deque()  # with how often it was tried
        self._idle: deque[Any] = deque()
        self._running: dict[Any, _Run] = {}
        travelling = _by_value(replace(training, data=None) if address else training)
        _connect(address, workers)
        try:
            self.workers, share = _shares(training.device, workers, gpus_per_worker)
            data = ray().put(training.data.in_memory()) if address and training.data else None
            actor = ray().remote(Worker).options(**share)
            self._new: Callable[[], Any] = partial(actor.remote, ray().put(travelling), data, _users_folders())
            for _ in range(self.workers):
                self._start()
        except BaseException:
            self.close()
            raise

    def submit(self, job: Job) -> None:
        """Take on a child; it waits until a worker is free."""
        self._queue.append((job, 0))
        self._dispatch()

    def wait(self) -> tuple[int, Result]:
        """Block until any child submitted is done."""
        while True:
            self._dispatch()
            done, _ = ray().wait(list(self._running), num_returns=1, timeout=self._patience())
            outcome = self._collect(done[0]) if done else self._expire()
            if outcome is not None:
                return outcome

    def close(self) -> None:
        """End all that is under way, and Ray with it."""
        ray().shutdown()

    def _start(self, tried: int = 0) -> None:
        self._check(self._new(), tried)

    def _check(self, worker: Any, tried: int = 0) -> None:
        """Let a worker show that it is sound before it gets a child."""
        self._running[worker.ready.remote()] = _Run(worker, None, tried, None)

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            (job, tried), worker = self._queue.popleft(), self._idle.popleft()
            deadline = None if self._limit is None else time.monotonic() + self._limit + self._grace
            self._running[worker.train.remote(job)] = _Run(worker, job, tried, deadline)

    def _patience(self) -> float | None:
        deadlines = [run.deadline for run in self._running.values() if run.deadline is not None]
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _collect(self, reference: Any) -> tuple[int, Result] | None:
        run = self._running.pop(reference)
        try:
            result = ray().get(reference)
        except ray().exceptions.RayError as error:
            return self._replace(run, error)
        if run.job is not None and result.error:
            self._check(run.worker)  # a child's fault may have left the GPU unusable
        else:
            self._idle.append(run.worker)
        return (run.job.trial, result) if run.job else None

    def _replace(self, run: _Run, error: Exception) -> tuple[int, Result] | None:
        """Start another worker in place of one that died, and put its child back in the queue."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause from None
        ray().kill(run.worker)
        if run.job is None:
            self._start_again(run.tried + 1, error)
            return None
        self._start()
        while self._idle:  # where a machine is lost, all its workers are
            self._check(self._idle.popleft())
        if run.tried + 1 < TRIES:
            self._queue.appendleft((run.job, run.tried + 1))
            return None
        why = _last_line(error).partition(" Some common causes")[0]
        return run.job.trial, Result(error=f"worker: it died {TRIES} times with this child: {why}")

    def _start_again(self, tried: int, error: Exception) -> None:
        """Try again to start a worker, or do without it while there are others."""
        if tried < TRIES:
            self._start(tried)
        elif not self._running and not self._idle:
            raise UserError(
                f"workers: found that none comes up ({_last_line(error)}), expected {self.workers}; "
                "the toolkit and what the space imports must be installed wherever workers run"
            )

    def _expire(self) -> tuple[int, Result] | None:
        """End a worker that is long past its child's time limit."""
        now = time.monotonic()
        for reference, run in list(self._running.items()):
            if run.job is not None and run.deadline is not None and run.deadline <= now:
                del self._running[reference]
                ray().kill(run.worker)
                self._start()
                return run.job.trial, Result(error=f"time limit: {self._limit:g} s were allowed, and its worker hung")
        return None


class Worker:
    """The Ray actor: its process, its device context and its data outlive a child."""

    def __init__(self, training: bytes, data: Data | None, users_folders: list[str]) -> None:
        # Ray puts the driver's folders first, where a user's `search_spaces/` would hide the toolkit's
        sys.path[:] = [path for path in sys.path if path not in users_folders] + users_folders
        self._train: Training = pickle.loads(training)  # made by the driver of this very search
        if data is not None:
            self._train = replace(self._train, data=data)

    def ready(self) -> None:
        """Import torch and load the data, so that a child's time is its own; raises if the device is out of order."""
        self._train.prepare().labels[:1].tolist()

    def train(self, job: Job) -> Result:
        """Train one child."""
        return self._train(job)


class _Run(NamedTuple):
    """What a worker is busy with: a job, or its own start."""

    worker: Any
    job: Job | None
    tried: int
    deadline: float | None


_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": "^A worker died or was killed",  # what is to be said of it, a trial's error says
}


@cache
def ray() -> Any:
    """Ray, imported when first needed: it takes half a second."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    import ray as module

    return module


def _connect(address: str | None, workers: int | None) -> None:
    options = {} if address else _alone(workers or cores())
    try:
        _reach(address)
        ray().init(address or "local", logging_level=logging.ERROR, log_to_driver=False, **options)
    except (OSError, RuntimeError, ValueError) as error:
        found = _last_line(error.__cause__ or error)
        mend = "a cluster to join; start one with `ray start --head` and give its address, or leave out --address"
        raise UserError(
            f"Ray at {address}: found {found}, expected {mend}"
            if address
            else f"Ray on this machine: found {found}, expected it to start; --workers 0 does without it"
        ) from None


def _alone(cpus: int) -> dict[str, Any]:
    """Ray for this machine alone. Data lie in a mapped file and results are small: the least object store is enough."""
    options = {"num_cpus": cpus, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    if sys.platform == "linux":  # loopback outlives a change of network; 127.0.0.1 itself Ray would not take
        return options | {"_node_ip_address": "127.0.0.2"}
    return options


def _reach(address: str | None) -> None:
    """Raise OSError if nothing listens at host:port; Ray itself would wait for minutes."""
    host, _, port = (address or "").rpartition(":")
    if port.isdecimal() and "://" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


def cores() -> int:
    """The cores that this process may use, and that its container has time on."""
    usable = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(usable, int(quota) // int(period)))
    except (OSError, ValueError):  # no container's, or without a limit
        return usable


def _shares(device: str, workers: int | None, gpus_per_worker: float) -> tuple[int, dict[str, float]]:
    """How many workers there will be, and what each asks of Ray; GPUs only where there are some and they are wanted."""
    cluster = ray().cluster_resources()
    cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
    if device == "cuda" and not gpus:
        raise UserError("device cuda: found no GPU here, expected one; use --device cpu, or --address of a cluster")
    room, share = int(cpus), {}
    if gpus and device != "cpu":
        room, share = _on_gpus(int(gpus), gpus_per_worker), {"num_gpus": gpus_per_worker}
        if room < (workers or 1):
            raise UserError(
                f"{workers or 1} workers with {gpus_per_worker:g} GPUs each: found room for {room} on {gpus:g} GPUs; "
                "give fewer --workers, or a smaller --gpus-per-worker"
            )
    count = workers or max(1, room)
    return count, {"num_cpus": int(10_000 / math.ceil(count / cpus)) / 10_000, **share}  # Ray counts ten-thousandths


def _on_gpus(gpus: int, share: float) -> int:
    """How many workers have room; a share below one lies on a single GPU."""
    if share > 1 and share % 1:
        raise UserError(f"GPUs per worker: found {share:g}, expected a share of one, or a whole number of them")
    return gpus * int(1 / share) if share < 1 else int(gpus / share)


def _users_folders() -> list[str]:
    """Where this process finds the user's modules: its path but for libraries and the toolkit."""
    folders = {str(Path(folder).absolute()): None for folder in [*sys.path, os.curdir] if not _is_library(folder)}
    return [folder for folder in folders if Path(folder) != _TOOLKIT]


_TOOLKIT = Path(__file__).absolute().parents[1]
_STANDARD = Path(os.__file__).parent


def _is_library(path: str) -> bool:
    """Whether a file or folder belongs to Python or to what is installed with it, and so lies on every machine."""
    inside = Path(path)
    archive = inside.suffix == ".zip"
    return archive or inside.is_relative_to(_STANDARD) or bool({"site-packages", "dist-packages"} & {*inside.parts})


def _by_value(training: Training) -> bytes:
    """The training for workers that may see none of this machine's files: modules that are not installed go along."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and _is_users(module):
            ray().cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(ray().cloudpickle.dumps(training))
    except Exception as error:
        raise UserError(
            f"{type(training.space).__name__}: found that it cannot travel to workers ({_last_line(error)}), "
            "expected a space and modules that can be pickled; keep open files and locks out of them"
        ) from error


def _is_users(module: ModuleType) -> bool:
    file = getattr(module, "__file__", None) or ""
    ours = module.__name__.partition(".")[0] in ("nas", "search_spaces", "controllers", "benchmarks", "__main__")
    return Path(file).is_absolute() and not ours and not _is_library(file)


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
