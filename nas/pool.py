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
from collections import Counter, deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from nas.cluster import connect, last_line, ray, reach
from nas.errors import UserError
from nas.gpu import MOST, Sharing, mps
from nas.recipe import Recipe
from nas.reward import Result
from nas.sources import is_library, is_users
from nas.space import Space

if TYPE_CHECKING:
    from nas.data import Data
    from nas.train import Resident

TRIES = 3  # of a child whose worker died
GRACE = 30.0  # seconds beyond a child's time limit
COMING = 600.0  # seconds until a worker is ready, on a disk however slow
NARROWEST = 8  # trials under way at once, at least, unless a search says otherwise
BEAT = 3.0  # seconds between two looks at whether Ray is there; where it is not, it ends this process after a while


_log = logging.getLogger("nas")


class Job(NamedTuple):
    """A child to train: all that a worker needs beyond what it has from its start."""

    trial: int
    answers: tuple[int, ...]
    seed: int
    work: float = 1.0  # predicted, in any unit
    bar: tuple[float, ...] = ()  # by epoch, the likelihood below which it is stopped


class Pool(Protocol):
    """Trains children, in any order, some of them at once."""

    workers: int
    window: int  # trials under way at once that a search has unless it says otherwise

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
    latency: int | None = None  # images in a batch whose latency is measured too, or None for no measurement

    _resident: Resident | None = None

    def prepare(self) -> Resident:
        """The data, on the device from the first call on."""
        from nas.train import Resident

        if self._resident is None:
            importlib.import_module("torch._dynamo")  # optimizers import it at their first step: 1 s of no child's time
            assert self.data is not None
            self._resident = Resident(self.data, self.device)
        return self._resident

    def ready(self) -> int:
        """Prepare, and see that the device works; gives the bytes of a GPU that no other process has, else 0."""
        return self.prepare().free()

    def __call__(self, job: Job) -> Result:
        """Build the network that the answers lead to and train it."""
        from nas.train import train

        network, bounds = self.space.replay(job.answers).network, self.space.bounds
        return train(
            network, self.prepare(), self.recipe, job.seed, self.threads, self.limit, job.bar, self.latency, bounds
        )


class Serial:
    """One child after the other, in this process; `train` is a `Training` or any function of a job."""

    workers = 1
    window = NARROWEST

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

    workers: how many, or None for as many as the machine or cluster has cores, or as its GPUs have room for.
    per_gpu: how many share a GPU, or None to find out with the first children (`nas.gpu.Sharing`); None is 1
    where latency is measured, which on a GPU is wall time.
    address: of a running Ray cluster; None starts Ray on this machine alone, and ends it again in `close`.
    grace: seconds that a child may take beyond its time limit before its worker is taken for hung and ended.
    A child that runs out of memory beside others in its place, or out of time beside others on a GPU, is run again with
    a place to itself, and only that counts; on a GPU fewer share it from then on. Where others than this pool have the
    GPU's memory by then, it counts as the worker's failure, not the child's.
    Raises UserError if the training cannot travel, the cluster cannot be reached or has too few GPUs; `wait` raises it
    if no worker comes up, or for one raised on a worker.
    """

    def __init__(
        self,
        training: Training,
        workers: int | None = None,
        per_gpu: int | None = None,
        address: str | None = None,
        grace: float = GRACE,
    ) -> None:
        self._limit, self._grace = training.limit, grace
        self._sharing = Sharing(1 if per_gpu is None and training.latency else per_gpu)
        self._queue: deque[_Task] = deque()
        self._alone: deque[_Task] = deque()  # to be run with a place to themselves
        self._reserved: Place | None = None  # for the first of these
        self._resting: list[_Worker] = []  # not needed yet
        self._idle: deque[_Worker] = deque()
        self._awake: Counter[Place] = Counter()  # workers that are ready, or on their way
        self._barren: Counter[Place] = Counter()  # workers in a row that did not come up
        self._error: Exception = RuntimeError("none was started")  # of the last of these
        self._busy: Counter[Place] = Counter()  # children under way
        self._running: dict[Any, _Run] = {}  # by what Ray will have of it
        self._open = ExitStack()
        travelling = _by_value(replace(training, data=None) if address else training)
        try:
            if _shared(training.device, address, self._sharing):
                _say_without(self._open.enter_context(mps()))
            connect(address, workers, self._open)
            self._head: str = ray().get_runtime_context().gcs_address
            self._node: str = ray()._private.worker.global_worker.node.raylet_socket_name
            self._seen = time.monotonic()  # when it was there
            self.workers, wide, share = _shares(training.device, workers, self._sharing.most)
            self.window = max(NARROWEST, 2 * wide)
            data = ray().put(training.data.in_memory()) if address and training.data else None
            actor = ray().remote(Worker).options(scheduling_strategy="SPREAD", **share)
            device = training.device if training.device != "auto" else "cuda" if "num_gpus" in share else "cpu"
            self._new: Callable[[], Any] = partial(actor.remote, ray().put(travelling), device, data, _users_folders())
            for _ in range(self.workers):
                self._start()
        except BaseException:
            self.close()
            raise

    def submit(self, job: Job) -> None:
        """Take on a child; it waits until a worker is free."""
        self._queue.append(_Task(job))
        self._dispatch()

    def wait(self) -> tuple[int, Result]:
        """Block until any child submitted is done."""
        while True:
            self._dispatch()
            done, _ = ray().wait(list(self._running), num_returns=1, timeout=self._patience())
            if time.monotonic() - self._seen >= BEAT:
                self._see_head()
            outcome = self._collect(done[0]) if done else self._expire()
            if outcome is not None:
                return outcome

    def close(self) -> None:
        """End all that is under way, Ray with it, and MPS."""
        self._open.close()

    # --- from the start of a worker to its children ---

    def _start(self) -> None:
        """Begin a worker, which says where it is before it does anything there."""
        worker = _Worker(self._new())
        self._running[worker.actor.where.remote()] = _Run(worker)

    def _check(self, worker: _Worker, failed: _Task | None = None, result: Result | None = None) -> None:
        """Let a worker show that it is sound before it gets a child, or before a failure of its child counts."""
        self._running[worker.actor.ready.remote()] = _Run(worker, failed, result, time.monotonic() + COMING)

    def _dispatch(self) -> None:
        """Wake workers that there is room for, and give children to idle ones."""
        for worker in [*self._resting]:
            if self._awake[worker.place] < self._room(worker.place) and worker.place != self._reserved:
                self._resting.remove(worker)
                self._awake[worker.place] += 1
                self._check(worker)
        for worker in [*self._idle] if self._queue or self._alone else []:
            if worker not in self._idle:
                continue  # it made room for a child that is to be alone
            self._idle.remove(worker)
            task = self._next(worker.place)
            if task is None:
                self._idle.append(worker)
            else:
                self._send(worker, task)

    def _room(self, place: Place) -> float:
        """How many children may be under way there."""
        return self._sharing.level if place.gpus else math.inf

    def _next(self, place: Place) -> _Task | None:
        """What a worker there is to do."""
        if self._alone and self._reserved is None:
            self._reserved = place
        if place == self._reserved:
            return self._alone.popleft() if self._alone and not self._busy[place] else None
        return self._queue.popleft() if self._queue and self._busy[place] < self._room(place) else None

    def _send(self, worker: _Worker, task: _Task) -> None:
        place = worker.place
        if task.alone and place.gpus:
            self._clear(place)
        self._busy[place] += 1
        deadline = math.inf if self._limit is None else time.monotonic() + self._limit + self._grace
        run = _Run(worker, task, None, deadline, self._busy[place])
        if self._busy[place] > 1:
            for other in self._children(place):
                other.most = max(other.most, self._busy[place])
        self._running[worker.actor.train.remote(task.job)] = run

    def _clear(self, place: Place) -> None:
        """Start idle workers of a GPU anew, which then rest: even idle, each takes some of its memory."""
        for worker in [worker for worker in self._idle if worker.place == place]:
            self._idle.remove(worker)
            self._end(worker)
            self._start()

    def _children(self, place: Place) -> list[_Run]:
        return [run for run in self._running.values() if run.is_child and run.worker.place == place]

    def _patience(self) -> float:
        first = min((run.deadline for run in self._running.values()), default=math.inf)
        return min(BEAT, max(0.0, first - time.monotonic()))

    # --- what comes back ---

    def _collect(self, reference: Any) -> tuple[int, Result] | None:
        run = self._running.pop(reference)
        if run.is_child:
            self._leave(run)
        try:
            came = ray().get(reference)
        except ray().exceptions.RayError as error:
            self._see_head()
            return self._replace(run, error)
        if isinstance(came, Place):
            run.worker.place = came
            self._barren[NOWHERE] = 0
            self._resting.append(run.worker)
            self._give_up_barren()
            return None
        if isinstance(came, Result):
            return self._judge(run, came)
        self._barren[run.worker.place] = 0
        run.worker.was_up = True
        self._sharing.found(came)
        self._idle.append(run.worker)
        return (run.task.job.trial, self._blamed(run.result, came)) if run.task and run.result else None

    def _blamed(self, result: Result, free: int) -> Result:
        """A child's failure, or its worker's where memory ran out that others than this pool had; free: bytes now."""
        taken = self._sharing.taken(free)
        if not taken or not (result.error or "").startswith("out of memory"):
            return result
        return replace(result, error=f"worker: others had {taken / 2**30:.1f} GiB of the GPU's memory; {result.error}")

    def _see_head(self) -> None:
        """Raise UserError if Ray's head or its manager here is gone, before Ray ends this process for it."""
        try:
            reach(self._head)
            with socket.socket(socket.AF_UNIX) as manager:
                manager.connect(self._node)
            self._seen = time.monotonic()
        except OSError as error:
            raise UserError(
                f"Ray at {self._head}: found that it is gone ({error.strerror or error}), expected it to stay; start "
                "it anew where it is not the search's own, and the same command goes on"
            ) from None

    def _leave(self, run: _Run) -> None:
        """A child is no longer under way in its place."""
        self._busy[run.worker.place] -= 1
        if run.task and run.task.alone and not self._alone:
            self._reserved = None

    def _judge(self, run: _Run, result: Result) -> tuple[int, Result] | None:
        """What counts of a child that ended: a failure only when its worker is found sound after it."""
        worker, task = run.worker, run.task
        assert task is not None
        if result.error is None:
            if worker.place.gpus and worker.trained and not result.bar:  # its first child loads what is needed
                self._sharing.done(task.job.work, result.seconds, result.memory or 0, run.most)
            worker.trained += 1
            self._idle.append(worker)
            return task.job.trial, result
        if self._crowded(run, result):
            self._again_alone(run, task)
            self._check(worker)
        else:
            self._check(worker, task, result)
        return None

    def _crowded(self, run: _Run, result: Result) -> bool:
        """Whether the child may do better alone."""
        scarce = ("out of memory", "time limit") if run.worker.place.gpus else ("out of memory",)
        return run.most > 1 and (result.error or "").startswith(scarce)

    def _again_alone(self, run: _Run, task: _Task) -> None:
        """Run a child again with a place to itself; on a GPU, fewer share it from now on."""
        self._alone.append(task._replace(alone=True))
        if run.worker.place.gpus and self._sharing.crowded(run.most):
            _log.warning(
                "GPU: of %d children at once one ran out of memory or time; %d share it from now on, and none is lost",
                run.most, self._sharing.level,
            )  # fmt: skip

    def _replace(self, run: _Run, error: Exception) -> tuple[int, Result] | None:
        """Start another worker in place of one that died, and put its child back in the queue."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, UserError):
            raise cause from None
        self._end(run.worker)
        if run.task is None and not run.worker.was_up:
            self._start_again(run.worker.place, error)
            return None
        self._start()
        if run.task is None:
            return None
        while self._idle:  # where a machine is lost, all its workers are
            self._check(self._idle.popleft())
        if run.task.tried + 1 < TRIES:
            self._queue.appendleft(run.task._replace(tried=run.task.tried + 1, alone=False))
            return None
        why = last_line(error).partition(" Some common causes")[0]
        died = Result(error=f"worker: it died {TRIES} times with this child: {why}")
        return run.task.job.trial, run.result or died

    def _end(self, worker: _Worker) -> None:
        ray().kill(worker.actor)
        self._awake[worker.place] -= 1
        if worker.place == self._reserved and not self._busy[worker.place]:
            self._reserved = None  # another place may have to do

    def _start_again(self, place: Place, error: Exception) -> None:
        """Try again to start a worker, unless some in a row did not come up there."""
        self._barren[place] += 1
        self._error = error
        if self._barren[place] < TRIES:
            self._start()
        self._give_up_barren()

    def _give_up_barren(self) -> None:
        """End workers that rest where others did not come up; raises UserError if there is none left."""
        for worker in [worker for worker in self._resting if self._barren[worker.place] >= TRIES]:
            self._resting.remove(worker)
            ray().kill(worker.actor)
        if not self._running and not self._idle and not self._resting:
            raise UserError(
                f"workers: found that none comes up ({last_line(self._error)}), expected {self.workers}; "
                f"{_mend(self._error)}"
            )

    def _expire(self) -> tuple[int, Result] | None:
        """End a worker that is long past its child's time limit, or does not get ready."""
        now = time.monotonic()
        for reference, run in list(self._running.items()):
            if run.deadline > now:
                continue
            del self._running[reference]
            if not run.is_child or run.task is None:
                return self._replace(run, TimeoutError(f"it was not ready after {COMING:g} s"))
            self._leave(run)
            self._end(run.worker)
            self._start()
            hung = Result(error=f"time limit: {self._limit:g} s were allowed, and its worker hung")
            if not self._crowded(run, hung):
                return run.task.job.trial, hung
            self._again_alone(run, run.task)
        return None


class Worker:
    """The Ray actor: its process, its device context and its data outlive a child."""

    def __init__(self, training: bytes, device: str, data: Data | None, users_folders: list[str]) -> None:
        # Ray puts the driver's folders first, where a user's `search_spaces/` would hide the toolkit's
        sys.path[:] = [path for path in sys.path if path not in users_folders] + users_folders
        made: Training = pickle.loads(training)  # noqa: S301  made by the driver of this very search
        self._train = replace(made, device=device)
        if data is not None:
            self._train = replace(self._train, data=data)

    def where(self) -> Place:
        """The node, and the GPUs if it has a share of some; no device is touched."""
        context = ray().get_runtime_context()
        return Place(context.get_node_id(), tuple(context.get_accelerator_ids().get("GPU", [])))

    def ready(self) -> int:
        """Import torch and load the data, so that a child's time is its own; gives what `Training.ready` does.

        Raises if the device is out of order.
        """
        return self._train.ready()

    def train(self, job: Job) -> Result:
        """Train one child."""
        return self._train(job)


class Place(NamedTuple):
    """What workers share: a machine, or the GPUs of one."""

    node: str
    gpus: tuple[str, ...] = ()


NOWHERE = Place("")  # before a worker has said where it is


@dataclass
class _Worker:
    """An actor, and what is known of it."""

    actor: Any
    place: Place = NOWHERE
    was_up: bool = False
    trained: int = 0  # children


class _Task(NamedTuple):
    """A job, and what it went through."""

    job: Job
    tried: int = 0  # workers that died with it
    alone: bool = False  # to have its place to itself


@dataclass
class _Run:
    """What a worker is busy with: a child, or to show where it is and that it is sound."""

    worker: _Worker
    task: _Task | None = None
    result: Result | None = None  # a failure that counts once its worker is found sound
    deadline: float = math.inf
    most: int = 0  # children that were under way in its place at once, itself among them

    @property
    def is_child(self) -> bool:
        return self.most > 0


def _shared(device: str, address: str | None, sharing: Sharing) -> bool:
    """Whether children will share a GPU of this machine; a cluster's machines are their keepers'."""
    return device != "cpu" and address is None and sharing.most > 1 and Path("/dev/nvidiactl").exists()


def _say_without(why: str) -> None:
    if why:
        _log.warning("GPU: children take turns instead of running beside each other: no MPS, %s", why)


def _shares(device: str, workers: int | None, per_gpu: int) -> tuple[int, int, dict[str, float]]:
    """How many workers there will be, how many a window is for, and what each asks of Ray.

    GPUs only where there are some and they are wanted. A window is the same however many share a GPU.
    """
    cluster = ray().cluster_resources()
    cpus, gpus = cluster.get("CPU", 1.0), cluster.get("GPU", 0.0)
    if device == "cuda" and not gpus:
        raise UserError("device cuda: found no GPU here, expected one; use --device cpu, or --address of a cluster")
    room, wide, share = int(cpus), int(cpus), {}
    if gpus and device != "cpu":
        room, wide, share = int(gpus) * per_gpu, int(gpus) * MOST, {"num_gpus": int(10_000 / per_gpu) / 10_000}
        if room < (workers or 1):
            raise UserError(
                f"{workers or 1} workers, {per_gpu} on a GPU: found room for {room} on {gpus:g} GPUs; "
                "give fewer --workers, or more --per-gpu"
            )
    count = workers or max(1, room)
    share["num_cpus"] = int(10_000 / math.ceil(count / cpus)) / 10_000  # Ray counts ten-thousandths
    return count, workers or wide, share


def _users_folders() -> list[str]:
    """Where this process finds the user's modules: its path but for libraries and the toolkit."""
    folders = {str(Path(folder).absolute()): None for folder in [*sys.path, os.curdir] if not is_library(folder)}
    return [folder for folder in folders if Path(folder) != _TOOLKIT]


_TOOLKIT = Path(__file__).absolute().parents[1]


def _by_value(training: Training) -> bytes:
    """The training for workers that may see none of this machine's files: modules that are not installed go along."""
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and module.__name__ != "__main__" and is_users(module):
            ray().cloudpickle.register_pickle_by_value(module)
    try:
        return bytes(ray().cloudpickle.dumps(training))
    except Exception as error:
        raise UserError(
            f"{type(training.space).__name__}: found that it cannot travel to workers ({last_line(error)}), "
            "expected a space and modules that can be pickled; keep open files and locks out of them"
        ) from error


def _mend(error: BaseException) -> str:
    """What to do where no worker comes up."""
    if "CUDA" in str(error):
        return (
            "see with nvidia-smi whether the GPU is sound and what else has its memory, and end that; "
            "or give --device cpu"
        )
    return "the toolkit and what the space imports must be installed wherever workers run"
