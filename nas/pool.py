"""Where children train: in this process, or on Ray actors on one machine or many."""

from __future__ import annotations

import importlib
import logging
import os
import pickle
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nas.errors import UserError
from nas.recipe import Recipe
from nas.reward import Result
from nas.space import Space

if TYPE_CHECKING:
    from nas.data import Data
    from nas.train import Resident

TRIES = 3  # of a child whose worker died
GRACE = 30.0  # seconds that a child may take beyond its limit before its worker is taken for hung


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
    Raises UserError if the cluster cannot be reached, has no GPU for device "cuda", or no worker comes up.
    """

    def __init__(
        self, training: Training, workers: int | None = None, gpus_per_worker: float = 1.0, address: str | None = None
    ) -> None:
        self._limit = training.limit
        self._queue: deque[tuple[Job, int]] = deque()  # with how often it was tried
        self._idle: deque[Any] = deque()
        self._running: dict[Any, _Run] = {}
        self._failed_starts = 0
        _connect(address, workers)
        self._gpus = _gpus(training.device, gpus_per_worker)
        self.workers = workers or _room(self._gpus)
        self._data = ray().put(training.data.in_memory()) if address and training.data else None
        self._training = _by_value(replace(training, data=None) if address else training)
        self._actor = ray().remote(Worker)
        for _ in range(self.workers):
            self._start()

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

    def _start(self) -> None:
        share = {"num_gpus": self._gpus} if self._gpus else {}
        cpus = min(1.0, ray().cluster_resources().get("CPU", 1.0) / self.workers)
        worker = self._actor.options(num_cpus=cpus, **share).remote(self._training, self._data, _driver_paths())
        self._running[worker.ready.remote()] = _Run(worker, None, 0, None)

    def _dispatch(self) -> None:
        while self._queue and self._idle:
            (job, tried), worker = self._queue.popleft(), self._idle.popleft()
            deadline = None if self._limit is None else time.monotonic() + self._limit + GRACE
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
        self._failed_starts = 0
        self._idle.append(run.worker)
        return (run.job.trial, result) if run.job else None

    def _replace(self, run: _Run, error: Exception) -> tuple[int, Result] | None:
        """Start another worker in place of one that died, and put its child back in the queue."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause
        ray().kill(run.worker)
        if run.job is None:
            self._failed_starts += 1
            if self._failed_starts >= TRIES:
                raise UserError(f"found that no worker comes up ({_last_line(error)}), expected {self.workers} of them")
        self._start()
        if run.job is None:
            return None
        if run.tried + 1 < TRIES:
            self._queue.appendleft((run.job, run.tried + 1))
            return None
        return run.job.trial, Result(error=f"worker: it died {TRIES} times with this child: {_last_line(error)}")

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

    def __init__(self, training: bytes, data: Data | None, driver_paths: list[str]) -> None:
        # Ray puts the driver's folders first, where a user's `search_spaces/` would hide the toolkit's
        sys.path[:] = [path for path in sys.path if path not in driver_paths]
        importlib.import_module("search_spaces")
        sys.path.extend(driver_paths)
        self._train: Training = pickle.loads(training)  # made by the driver of this very search
        if data is not None:
            self._train = replace(self._train, data=data)

    def ready(self) -> None:
        """Import torch and load the data, so that a child's time is its own."""
        self._train.prepare()

    def train(self, job: Job) -> Result:
        """Train one child."""
        return self._train(job)


class _Run(NamedTuple):
    """What a worker is busy with: a job, or its own start."""

    worker: Any
    job: Job | None
    tried: int
    deadline: float | None


def ray() -> Any:
    """Ray, imported when first needed: it takes half a second."""
    import ray as module

    return module


def _connect(address: str | None, workers: int | None) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    quiet = {"include_dashboard": False, "logging_level": logging.ERROR, "log_to_driver": False}
    try:
        if address is None:
            # the data lie in a mapped file and results are small: the object store stays at its least size
            ray().init("local", num_cpus=max(workers or 0, cores()), object_store_memory=100 * 2**20, **quiet)
        else:
            ray().init(address, logging_level=logging.ERROR, log_to_driver=False)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UserError(
            f"Ray at {address or 'this machine'}: found {_last_line(error)}, expected a cluster to join; "
            "start one with `ray start --head` and give its address, or leave out --address"
        ) from None


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0))


def _gpus(device: str, share: float) -> float:
    """The GPUs to ask of Ray for each worker: none where there are none, or none are wanted."""
    found = ray().cluster_resources().get("GPU", 0)
    if device == "cuda" and not found:
        raise UserError("device cuda: found no GPU here, expected one; use --device cpu, or --address of a cluster")
    return 0.0 if device == "cpu" or not found else share


def _room(gpus: float) -> int:
    resources = ray().cluster_resources()
    return max(1, int(resources.get("GPU", 0) / gpus if gpus else resources.get("CPU", 1)))


def _driver_paths() -> list[str]:
    """The folders that Ray adds to a worker's path on behalf of this process."""
    return [str(Path(sys.argv[0]).resolve().parent), str(Path.cwd())]


def _by_value(training: Training) -> bytes:
    """The training for workers that may see none of this machine's files: modules that are not installed go along."""
    for module in list(sys.modules.values()):
        if _is_users(module):
            ray().cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(ray().cloudpickle.dumps(training))
    except Exception as error:
        raise UserError(
            f"{type(training.space).__name__}: found that it cannot travel to workers ({_last_line(error)}), "
            "expected a space and modules that can be pickled; keep open files and locks out of them"
        ) from error


def _is_users(module: Any) -> bool:
    path, name = getattr(module, "__file__", None), module.__name__
    if path is None or name.split(".")[0] in ("nas", "search_spaces", "controllers", "benchmarks", "__main__"):
        return False
    return not any(Path(path).is_relative_to(prefix) for prefix in _INSTALLED)


_INSTALLED = {Path(p).resolve() for p in (*sysconfig.get_paths().values(), sys.prefix, sys.base_prefix)}


def _last_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[-1][:300]
