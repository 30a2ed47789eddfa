"""How the loop keeps many workers busy, and what Ray costs it: simulated workers, real ones, and several nodes.

The simulated workers have a clock of their own, so any number of them fits on one core and a run repeats exactly; the
loop is the real one. The nodes are Ray's on this one machine, each with an object store of its own.
"""

from __future__ import annotations

import heapq
import itertools
import json
import logging
import os
import random
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from benchmarks.compare import InMemory
from controllers.random_search import RandomSearch
from nas import data
from nas.blocks import Block
from nas.cluster import ray
from nas.data import Data
from nas.layers import Costs
from nas.ledger import Ledger
from nas.network import Images, Network
from nas.pool import Job, Pool, RayPool, Serial, Training
from nas.recipe import RECIPES
from nas.report import grid
from nas.reward import Result, accuracy
from nas.search import Loop
from nas.space import Choice, Pick, Space
from search_spaces.chain import Chain

MADDS = 1e9  # of a child that lasts one second; far more than what a block counts for beside them
WITHIN = 0.3  # a prediction is wrong by no more than this share
CASES = [(workers, sigma) for sigma in (0.5, 1.0) for workers in (2, 8, 64, 256)]
SEEDS = 10
EACH = 100  # trials a simulated worker
WORKERS = 2  # of the pool on this machine alone
NODES, CORES = 4, 16  # of the cluster, of each of its nodes


def calls(
    space: Space, pool: Pool, trials: int, window: int, ledger: Ledger | None = None, seed: int = 0
) -> list[float]:
    """Milliseconds a trial of a search by lot, all in all: in each third of it."""
    third, marks = trials // 3, [time.perf_counter()]
    loop = Loop(
        space, RandomSearch(space, seed, trials), pool, ledger or InMemory(), accuracy,
        seed=seed, window=window, trials=3 * third,
    )  # fmt: skip
    for done, _ in enumerate(loop.run(), 1):
        if done % third == 0:
            marks.append(time.perf_counter())
    return [1000 * (after - before) / third for before, after in itertools.pairwise(marks)]


# --- simulated workers ---


@dataclass(frozen=True)
class Lasting(Network):
    """A child of which no more is known than how long it is predicted to last."""

    seconds: float = 1.0

    def costs(self, images: Images) -> Costs:
        """So many multiply-adds."""
        return Costs(0, round(MADDS * self.seconds))


class Durations(Space):
    """A million children whose seconds are log-normal around one second and predicted within 30 %."""

    thousands = Choice(*range(1000))
    ones = Choice(*range(1000))

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def build(self, pick: Pick) -> Lasting:
        """A block for a name, and what is predicted."""
        thousands, ones = pick(self.thousands), pick(self.ones)
        _, predicted = self.seconds((thousands, ones))
        return Lasting(1, (Block("identity", 1000 * thousands + ones + 1),), seconds=predicted)

    def seconds(self, answers: Sequence[int]) -> tuple[float, float]:
        """How long a child really lasts, and how long it is predicted to."""
        rng = random.Random("{} {}".format(*answers))
        real = rng.lognormvariate(0, self.sigma)
        return real, real * rng.uniform(1 - WITHIN, 1 + WITHIN)


class Simulated:
    """So many workers on a clock that stands still while the loop thinks; the child that waits longest is next."""

    def __init__(self, space: Durations, workers: int) -> None:
        self.space, self.workers, self.window = space, workers, 2 * workers
        self.now = self.idle = 0.0  # seconds; the latter of all workers together
        self._queue: deque[Job] = deque()
        self._ends: list[tuple[float, int]] = []  # heap of the ends of what is trained, and its trials

    def submit(self, job: Job) -> None:
        """Take on a child."""
        self._queue.append(job)
        self._begin()

    def wait(self) -> tuple[int, Result]:
        """Turn the clock to the end of the next child that is done."""
        before, without = self.now, self.workers - len(self._ends)
        self.now, trial = heapq.heappop(self._ends)
        self.idle += without * (self.now - before)
        self._begin()
        return trial, Result((0.5,))

    def close(self) -> None:
        """Nothing is under way."""

    def _begin(self) -> None:
        while self._queue and len(self._ends) < self.workers:
            job = self._queue.popleft()
            seconds, _ = self.space.seconds(job.answers)
            heapq.heappush(self._ends, (self.now + seconds, job.trial))


class Busy(NamedTuple):
    """One search with simulated workers."""

    share: float  # of the workers' time, from the first child's start to the last one's end, in which they train
    queued: float  # the same if all children wait in one queue from the first one's start on
    thirds: list[float]  # milliseconds a trial that the search really took, in each third of it


def busy(workers: int, sigma: float, seed: int, each: int = EACH, window: int = 2) -> Busy:
    """Search with so many workers.

    each: trials a worker.  window: in multiples of the workers.
    """
    space, trials = Durations(sigma), each * workers
    pool, queue = Simulated(space, workers), Simulated(space, workers)
    thirds = calls(space, pool, trials, window * workers, seed=seed)
    calls(space, queue, trials, trials, seed=seed)
    share, queued = (1 - of.idle / (workers * of.now) for of in (pool, queue))
    return Busy(share, queued, thirds)


def utilisation(cases: Sequence[tuple[int, float]] = CASES, each: int = EACH) -> Iterator[list[Busy]]:
    """For each number of workers and σ: a search with each of the seeds."""
    for workers, sigma in cases:
        yield [busy(workers, sigma, seed, each) for seed in range(SEEDS)]


def busy_table(found: Sequence[Sequence[Busy]], cases: Sequence[tuple[int, float]] = CASES) -> str:
    """The table, and what its figures are."""
    heads = ["workers", "σ", "busy", "median", "least", "most", "one queue"]
    heads += ["ms a trial, first third", "last third"]
    lines = []
    for (workers, sigma), searches in zip(cases, found, strict=True):
        shares = [search.share for search in searches]
        queued = fmean(search.queued for search in searches)
        cells = [f"{share:.3f}" for share in (fmean(shares), median(shares), min(shares), max(shares), queued)]
        cells += [f"{fmean(search.thirds[third] for search in searches):.2f}" for third in (0, -1)]
        lines.append([f"{workers}", f"{sigma:g}", *cells])
    said = (
        "The share of the workers' time in which they train, from the first child's start to the last one's end: mean, "
        f"median, least and most of {SEEDS} seeds; one queue: the mean if all children wait in one queue from the "
        "start, where a very long one that begins late leaves the others waiting as well. The workers are simulated, "
        f"{EACH} trials each, the window is twice their number; children's times are log-normal with this σ, predicted "
        f"within {WITHIN:.0%}. "
        "Milliseconds are what the loop, a random controller and the simulation took."
    )
    return f"{grid(heads, lines)}\n\n{said}"


# --- real workers ---


@dataclass
class Instant(Training):
    """Trains nothing."""

    def ready(self) -> int:
        """At once, and without torch; no GPU is asked."""
        return 0

    def __call__(self, job: Job) -> Result:
        """Half of the images are right, and the worker's number in place of a network's."""
        return Result((0.5,), params=os.getpid())


@dataclass
class Sighted(Instant):
    """Trains nothing and tells, in place of a result, what its worker sees."""

    def __call__(self, job: Job) -> Result:
        """Its node, its process, and where the images lie."""
        assert self.data is not None
        time.sleep(0.2)  # so that each worker gets some
        node = ray().get_runtime_context().get_node_id()
        return Result(error=json.dumps([node, os.getpid(), file_at(self.data.pixels.ctypes.data)]))


def file_at(address: int) -> str:
    """The mapped file (device, inode) at an address of this process, and where in it."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, device, inode = line.split()[:5]
        first, last = (int(end, 16) for end in span.split("-"))
        if first <= address < last:
            return f"{device} {inode} {int(offset, 16) + address - first}"
    raise AssertionError("it lies nowhere")


def training(space: Space, data: Data | None, kind: type[Training] = Instant) -> Training:
    """What workers get; they have no need of a GPU."""
    return kind(space, data, RECIPES["quick"], "cpu", threads=1, limit=None)


class Place(NamedTuple):
    """Where a worker is, and where the images lie there: two that have the same place share their memory."""

    node: str
    process: int
    images: str


def places(pool: RayPool) -> set[Place]:
    """Of all workers of a pool of `Sighted` ones."""
    seen: set[Place] = set()
    trials = itertools.count()
    while len({place.process for place in seen}) < pool.workers:
        for _ in range(2 * pool.workers):
            pool.submit(Job(next(trials), (), seed=0))
        seen |= {Place(*json.loads(pool.wait()[1].error or "")) for _ in range(2 * pool.workers)}
    return seen


@contextmanager
def cluster(nodes: int, cores: int) -> Iterator[str]:
    """The address of a cluster on this machine: a head without a core, which is the driver's, and so many nodes."""
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray()
    from ray.cluster_utils import Cluster

    logging.getLogger("ray").setLevel(logging.ERROR)
    options = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
    try:
        for _ in range(nodes):
            made.add_node(num_cpus=cores, **options)
        made.wait_for_nodes()
        yield made.address
    finally:
        made.shutdown()


def calls_table(trials: int) -> str:
    """What a ledger's line on the disk costs, and a call through Ray."""
    images = data.load("digits", images=100)
    space = Chain().on(images.images)
    here = Serial(training(space, images))
    lines = {"instant children in this process": calls(space, here, trials, 8)}
    with tempfile.TemporaryDirectory() as folder, Ledger(Path(folder)) as ledger:
        ledger.begin({})
        lines["the same, each trial in a ledger and synced to the disk"] = calls(space, here, trials, 8, ledger)
    with closing(RayPool(training(space, images), WORKERS)) as pool:
        _begin(pool)
        lines[f"through Ray, {WORKERS} workers"] = calls(space, pool, trials, 8)
    return _thirds(lines, "Milliseconds a trial of a random search on chain, loop and controller included.")


def nodes_table(trials: int, nodes: int = NODES, cores: int = CORES) -> str:
    """Where a cluster's workers are, how many copies of the images there are, and what a trial costs with them."""
    images = data.load("digits")
    space, workers = Chain().on(images.images), nodes * cores // 2  # so that one node alone would have room for many
    with cluster(nodes, cores) as address:
        with closing(RayPool(training(space, images, Sighted), workers, address=address)) as pool:
            seen = places(pool)
        with closing(RayPool(training(space, images), workers, address=address)) as pool:
            _begin(pool)
            lines = {f"{workers} workers on {nodes} nodes": calls(space, pool, trials, 2 * workers)}
    counts = Counter(place.node for place in seen)
    copies = {node: len({place.images for place in seen if place.node == node}) for node in counts}
    found = [[f"{n}", f"{counts[node]}", f"{copies[node]}"] for n, node in enumerate(sorted(counts), 1)]
    said = (
        f"Workers that a cluster's nodes of {cores} cores have, all nodes on one machine, and places where the images "
        "lie there."
    )
    thirds = _thirds(lines, "Milliseconds a trial of a random search whose children are instant.")
    return f"{grid(['node', 'workers', 'copies of the images'], found)}\n\n{said}\n\n{thirds}"


def _begin(pool: Pool) -> None:
    """Wait until all workers are up."""
    up: set[int | None] = set()
    while len(up) < pool.workers:
        for trial in range(pool.workers):
            pool.submit(Job(trial, (), seed=0))
        up |= {pool.wait()[1].params for _ in range(pool.workers)}


def _thirds(lines: Mapping[str, Sequence[float]], said: str) -> str:
    cells = [[name, *(f"{part:.2f}" for part in parts)] for name, parts in lines.items()]
    return f"{grid(['ms a trial', 'first third', 'second', 'last'], cells)}\n\n{said}"
