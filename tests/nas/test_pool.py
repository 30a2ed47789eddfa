"""Pools: real Ray, on this machine and on a cluster of two nodes that have nothing but the toolkit in common."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from benchmarks.faults import marked
from controllers.evolution import Evolution
from controllers.random_search import RandomSearch
from nas import data, ledger
from nas.blocks import Block
from nas.cache import Pixels
from nas.cluster import ray
from nas.errors import UserError
from nas.layers import Conv, Layers
from nas.network import Images, Network
from nas.pool import TRIES, Job, Pool, RayPool, Serial, Training
from nas.recipe import RECIPES
from nas.reward import Result
from nas.search import search
from nas.space import Choice, Pick, Space
from search_spaces.chain import Chain

TOOLKIT = Path(__file__).parents[2]


class Cluster(NamedTuple):
    """A head without a core, which is the driver's node, and a second node with two."""

    address: str
    home: Path  # of the second node


@pytest.fixture(scope="module", autouse=True)
def cached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("folder")
    common = {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOOLKIT), "RAY_AUTH_MODE": "disabled"}
    with contextlib.ExitStack() as stack:
        head = ["--head", "--port=0", "--num-cpus=0", "--node-ip-address=127.0.0.2", "--include-dashboard=false"]
        log = stack.enter_context(_node(head, common | {"HOME": os.environ["HOME"]}, TOOLKIT))
        address = _found(log, r"--address='([\d.:]+)'")
        joins = [f"--address={address}", "--num-cpus=2", "--num-gpus=2", "--node-ip-address=127.0.0.3"]
        log = stack.enter_context(_node(joins, common | {"HOME": str(home)}, folder))
        _found(log, "(runtime started)")
        yield Cluster(address, home)


@contextlib.contextmanager
def _node(options: list[str], environment: dict[str, str], folder: Path) -> Iterator[Path]:
    """`ray start`, and the file where it says how far it is; ended with all its processes."""
    ports = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ray", ignore_cleanup_errors=True) as own:  # sockets: short
        log = Path(own, "log")
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            "--block",
            *options,
            *ports,
            f"--temp-dir={own}",
        ]
        command += ["--object-store-memory=100000000", "--disable-usage-stats"]
        with log.open("w") as out:
            node = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=out)
        try:
            yield log
        finally:
            node.terminate()
            node.wait(30)


def _found(log: Path, pattern: str) -> str:
    for _ in range(600):
        if found := re.search(pattern, log.read_text()):
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"{pattern} did not come: {log.read_text()}")


# --- spaces whose children go wrong ---


class Fates(Space):
    """Children of one block, which is built on the worker, and what becomes of its worker there."""

    fate = Choice("well", "killed once", "killed", "hung", "raised")
    width = Choice(4, 6, 8)

    def __init__(self, notes: Path) -> None:
        self.notes, self.driver = str(notes), os.getpid()

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block(fated, pick(self.width), extra=(pick(self.fate), self.notes, self.driver)),))

    def job(self, trial: int, fate: str) -> Job:
        return Job(trial, (trial % len(self.width.options), self.fate.options.index(fate)), seed=trial)


def fated(block: Block, channels: int) -> Layers:
    """A convolution; each of its builds on a worker is noted with the worker's number."""
    fate, notes, driver = block.extra
    if os.getpid() != driver:
        with Path(str(notes)).open("a") as file:
            file.write(f"{fate} {os.getpid()}\n")
        times = Path(str(notes)).read_text().count(f"{fate} ")
        if fate == "killed" or (fate == "killed once" and times == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if fate == "hung":
            time.sleep(600)
        while fate == "met" and len(set(Path(str(notes)).read_text().splitlines())) < 4:
            time.sleep(0.1)
        if fate == "raised":
            raise RuntimeError("it raised")
    return (Conv(block.width),)


def noted(space: Fates) -> list[list[str]]:
    """[fate, process] of each build on a worker."""
    return [line.rsplit(" ", 1) for line in Path(space.notes).read_text().splitlines()]


class Light(Training):
    """Builds a child's layers and trains nothing, so that its workers come up without torch."""

    def ready(self) -> int:
        return 2**34

    def __call__(self, job: Job) -> Result:
        self.space.replay(job.answers).network.costs(Images(8, 1, 10))  # type: ignore[attr-defined]
        return Result((0.5,), (1.0,), params=os.getpid())


def training(space: Space, kind: type[Training] = Light, limit: float | None = None, device: str = "cpu") -> Training:
    digits = data.load("digits", images=100)
    return kind(space.on(digits.images), digits, RECIPES["quick"], device, threads=1, limit=limit)


@contextlib.contextmanager
def on(cluster: Cluster, trains: Training, workers: int | None = 1, **options: Any) -> Iterator[RayPool]:
    pool = RayPool(trains, workers, address=cluster.address, **options)
    try:
        yield pool
    finally:
        pool.close()


@pytest.fixture
def fates(tmp_path: Path) -> Fates:
    (tmp_path / "notes").touch()
    return Fates(tmp_path / "notes")


def results(pool: Pool, *jobs: Job) -> dict[int, Result]:
    for job in jobs:
        pool.submit(job)
    return dict(pool.wait() for _ in jobs)


# --- children ---


def test_a_search_is_the_same_in_this_process_and_on_one_worker_and_on_two(tmp_path: Path, cluster: Cluster) -> None:
    def trials(name: str, pool: Callable[[Training], Pool]) -> list[dict[str, Any]]:
        digits = data.load("digits", images=100)
        options: dict[str, Any] = {"trials": 8, "window": 4, "device": "cpu", "pool": pool}
        list(search(Chain(), RandomSearch, digits, tmp_path / name, **options))
        lines = [json.loads(line) for line in (tmp_path / name / ledger.FILE).read_text().splitlines()[1:]]
        lines.sort(key=lambda line: int(line["trial"]))
        return [{name: line[name] for name in line if name not in ("at", "seconds", "sum")} for line in lines]

    here = trials("serial", Serial)
    assert len({json.dumps(line.get("loss")) for line in here}) == 8
    assert trials("one", partial(RayPool, workers=1, address=cluster.address)) == here
    assert trials("two", partial(RayPool, workers=2, address=cluster.address)) == here


@dataclass
class Various(Light):
    """Trains nothing, but waits until as many workers are up as there are to be; accuracies differ."""

    notes: Path = Path()
    processes: int = 1

    def __call__(self, job: Job) -> Result:
        (self.notes / str(os.getpid())).touch()
        while len(list(self.notes.iterdir())) < self.processes:
            time.sleep(0.05)
        time.sleep(job.seed % 7 / 100)  # so that they end in another order than they began in
        return Result((job.seed % 1000 / 1000,), (1.0,))


def test_many_more_workers_than_cores_make_the_same_search(tmp_path: Path, cluster: Cluster) -> None:
    def trials(workers: int, pool: Callable[[Training], Pool]) -> list[tuple[Any, ...]]:
        def various(given: Training) -> Pool:
            notes = tmp_path / f"notes {workers}"
            notes.mkdir()
            return pool(Various(**vars(given), notes=notes, processes=workers))

        digits = data.load("digits", images=100)
        few = {"population": 9, "sample": 4}
        options: dict[str, Any] = {"trials": 60, "window": 12, "device": "cpu", "parameters": few}
        done = search(Chain(), Evolution, digits, tmp_path / f"{workers}", pool=various, **options)
        told = sorted(done, key=lambda trial: trial.trial)
        return [(trial.answers, trial.reward, trial.same_as) for trial in told]

    here = trials(1, Serial)
    assert trials(6, partial(RayPool, workers=6, address=cluster.address)) == here
    assert len(list((tmp_path / "notes 6").iterdir())) == 6


def test_a_child_is_trained_again_on_another_worker_when_its_own_is_killed(
    fates: Fates, cluster: Cluster, capfd: pytest.CaptureFixture[str]
) -> None:
    job = fates.job(0, "killed once")
    with on(cluster, training(fates, Training)) as pool:
        result = results(pool, job)[0]
    assert len({process for _, process in noted(fates)}) == 2
    assert result.error is None
    assert result.loss == training(fates, Training)(job).loss  # in this process
    assert capfd.readouterr() == ("", "")


def test_a_child_that_raises_is_a_failed_trial_and_its_worker_lives(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates, Training)) as pool:
        found = results(pool, fates.job(0, "raised"), fates.job(1, "well"))
    assert re.match("exception: .* found RuntimeError: it raised", found[0].error or "")
    assert found[1].error is None
    assert len({process for _, process in noted(fates)}) == 1


def test_a_search_goes_on_after_a_child_that_kills_its_worker_each_time(fates: Fates, cluster: Cluster) -> None:
    def light(trains: Training) -> RayPool:
        return RayPool(Light(*(getattr(trains, field.name) for field in fields(trains))), 1, address=cluster.address)

    fates.fate, fates.width = Choice("well", "killed"), Choice(4)
    digits, out = data.load("digits", images=100), Path(fates.notes).parent / "out"
    options: dict[str, Any] = {"trials": 3, "window": 1, "seed": 7, "device": "cpu", "pool": light}
    trials = list(search(fates, RandomSearch, digits, out, **options))
    assert [trial.answers[-1] for trial in trials] == [1, 0, 1]
    assert [trial.reward for trial in trials] == [None, 0.5, None]
    assert all(trial.result for trial in trials)  # the failure is not remembered: its network is tried again
    assert (trials[0].error or "").startswith(f"worker: it died {TRIES} times with this child: The actor is dead")
    assert [fate for fate, _ in noted(fates)].count("killed") == 2 * TRIES


def test_a_hung_child_is_out_of_time_and_its_worker_replaced(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates, limit=1.0), grace=0.5) as pool:
        found = results(pool, fates.job(0, "hung"), fates.job(1, "well"))
    assert found[0].error == "time limit: 1 s were allowed, and its worker hung"
    assert found[1].error is None
    assert len({process for _, process in noted(fates)}) == 2


def test_a_mistake_of_the_users_on_a_worker_is_raised_as_it_is(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates)) as pool, pytest.raises(UserError, match="width: found answer 7, expected one of"):
        results(pool, Job(0, (7, 0), seed=0))


# --- workers ---


class Starts(Space):
    """A space that only so many workers can unpickle; a line in `notes` for each that tries."""

    def __init__(self, notes: Path, sound: int) -> None:
        self.notes, self.sound = str(notes), sound

    def __reduce__(self) -> tuple[Callable[..., Space], tuple[str, int]]:
        return started, (self.notes, self.sound)

    def on(self, *_: object) -> Starts:
        return self

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", 4),))


def started(notes: str, sound: int) -> Space:
    with Path(notes).open("a") as file:
        file.write("x")
    if len(Path(notes).read_text()) > sound:
        raise OSError("no room")
    return Starts(Path(notes), sound)


def test_workers_that_cannot_start_end_the_search_after_some_tries(tmp_path: Path, cluster: Cluster) -> None:
    with on(cluster, training(Starts(tmp_path / "notes", sound=0))) as pool:
        wanted = r"workers: found that none comes up \(OSError: no room\), expected 1; the toolkit and"
        with pytest.raises(UserError, match=wanted):
            results(pool, Job(0, (), seed=0))
    assert (tmp_path / "notes").read_text() == TRIES * "x"


def test_a_search_does_without_workers_that_cannot_start_where_others_can(tmp_path: Path, cluster: Cluster) -> None:
    notes, children = tmp_path / "notes", iter(range(10_000))
    with on(cluster, training(Starts(notes, sound=1)), workers=2) as pool:
        while not notes.exists() or len(notes.read_text()) < 1 + TRIES:
            assert results(pool, Job(next(children), (), seed=0)).popitem()[1].error is None
        time.sleep(1)
        assert results(pool, *(Job(next(children), (), seed=0) for _ in range(100)))
    assert len(notes.read_text()) == 1 + TRIES


def test_a_child_is_not_blamed_for_workers_that_died_before_it_came(fates: Fates, cluster: Cluster) -> None:
    fates.fate = Choice("met")
    with on(cluster, training(fates), workers=4) as pool:
        together = results(pool, *(Job(trial, (0, 0), seed=0) for trial in range(4)))
        for process in {result.params for result in together.values()}:
            os.kill(process or 0, signal.SIGKILL)
        time.sleep(1)
        assert results(pool, Job(4, (0, 0), seed=0))[4].error is None


# --- places that children share ---


class Crowded(Light):
    """A child of an even trial is short of memory, or of time, wherever it is not alone in the end."""

    def __call__(self, job: Job) -> Result:
        gpus = ray().get_runtime_context().get_accelerator_ids()["GPU"]
        place = Path(self.space.notes).parent / f"place{''.join(gpus)}"  # type: ignore[attr-defined]
        place.mkdir(exist_ok=True)
        own = place / str(job.trial)
        own.touch()
        most = len(list(place.iterdir()))
        time.sleep(0.5)
        most = max(most, len(list(place.iterdir())))
        own.unlink()
        short = {0: "out of memory: 3 GiB", 2: "time limit: 1 s"}.get(job.trial % 4) if most > 1 else None
        return Result((0.5,), (float(most),), params=int(*gpus), seconds=0.3, memory=2**20, error=short)


def test_children_that_share_a_gpu_are_as_many_as_wanted(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates, Crowded, device="auto"), None, per_gpu=2) as pool:
        assert pool.workers == 4  # two on each of two
        found = results(pool, *(fates.job(2 * trial + 1, "well") for trial in range(12)))
    assert {result.params for result in found.values()} == {0, 1}
    assert max(result.loss[0] for result in found.values()) == 2.0


def test_a_child_short_of_memory_or_time_beside_others_on_a_gpu_is_run_again_alone(
    fates: Fates, cluster: Cluster
) -> None:
    with on(cluster, training(fates, Crowded, device="auto"), None, per_gpu=4) as pool:
        found = results(pool, *(fates.job(trial, "well") for trial in range(12)))
    assert [result.error for result in found.values()] == 12 * [None]
    assert all(found[trial].loss == (1.0,) for trial in range(0, 12, 2))


class Paired(Crowded):
    """The same, waiting for the other of its pair, 0 and 1, or 2 and 3, however late that one's worker comes."""

    def __call__(self, job: Job) -> Result:
        pair = Path(self.space.notes).parent / f"pair{job.trial // 2}"  # type: ignore[attr-defined]
        pair.mkdir(exist_ok=True)
        (pair / str(job.trial)).touch()
        until = time.monotonic() + 60
        while len(list(pair.iterdir())) < 2 and time.monotonic() < until:
            time.sleep(0.01)
        return super().__call__(job)


def test_on_a_cpu_too_a_child_short_of_memory_is_run_again_alone_but_not_one_short_of_time(
    fates: Fates, cluster: Cluster
) -> None:
    with on(cluster, training(fates, Paired), 2) as pool:
        found = results(pool, fates.job(0, "well"), fates.job(1, "well"))
        found |= results(pool, fates.job(2, "well"), fates.job(3, "well"))
    assert [found[trial].error for trial in range(4)] == [None, None, "time limit: 1 s", None]
    assert found[0].loss == (1.0,)


class Roomy(Light):
    """Children that take as long beside each other as alone."""

    def __call__(self, job: Job) -> Result:
        time.sleep(0.05)
        return Result((0.5,), (1.0,), seconds=0.05, memory=2**20)


def test_more_and_more_children_share_a_gpu_while_they_get_more_done(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates, Roomy, device="auto"), None) as pool:
        assert pool.workers == 16  # room for eight on each of two
        for first in range(0, 4_000, 200):  # on a busy machine, workers are late for the first ones
            results(pool, *(fates.job(trial, "well") for trial in range(first, first + 200)))
            if pool._sharing.level == 8:
                return
        assert pool._sharing.level == 8


def test_workers_beyond_the_room_on_gpus_are_refused(fates: Fates, cluster: Cluster) -> None:
    wanted = "3 workers, 1 on a GPU: found room for 2 on 2 GPUs; give fewer --workers, or more --per-gpu"
    with pytest.raises(UserError, match=wanted):
        RayPool(training(fates, device="auto"), 3, per_gpu=1, address=cluster.address)
    assert not ray().is_initialized()


@pytest.mark.parametrize("per_gpu", [1, 3])
def test_a_window_is_the_same_however_many_share_a_gpu(fates: Fates, cluster: Cluster, per_gpu: int) -> None:
    with on(cluster, training(fates, Roomy, device="auto"), None, per_gpu=per_gpu) as pool:
        assert (pool.workers, pool.window) == (2 * per_gpu, 32)


def test_where_latency_is_measured_children_share_a_gpu_only_if_told_to(fates: Fates, cluster: Cluster) -> None:
    measures = replace(training(fates, Roomy, device="auto"), latency=64)
    for per_gpu, workers in ((None, 2), (3, 6)):  # on two GPUs
        with on(cluster, measures, None, per_gpu=per_gpu) as pool:
            assert (pool.workers, pool.window) == (workers, 32)


def test_a_window_is_eight_or_twice_the_workers(fates: Fates, cluster: Cluster) -> None:
    for workers, window in ((2, 8), (5, 10)):
        with on(cluster, training(fates, Roomy), workers) as pool:
            assert pool.window == window


class Narrow(Light):
    """A child of trial 0 has no room while another worker lives on its GPU, busy or not."""

    def ready(self) -> int:
        self.place().mkdir(exist_ok=True)
        (self.place() / str(os.getpid())).touch()
        return 0

    def place(self) -> Path:
        gpus = ray().get_runtime_context().get_accelerator_ids()["GPU"]
        return Path(self.space.notes).parent / f"place{''.join(gpus)}"  # type: ignore[attr-defined]

    def __call__(self, job: Job) -> Result:
        again = self.place() / f"again{job.trial}"
        until = time.monotonic() + (30 if again.exists() else 0.5)  # for what was ended to be gone, on a busy machine
        again.touch()
        while len(self.alive()) > 1 and time.monotonic() < until:
            time.sleep(0.1)
        error = "out of memory: 3 GiB" if job.trial == 0 and len(self.alive()) > 1 else None
        return Result((0.5,), (1.0,), seconds=0.3, memory=2**20, error=error)

    def alive(self) -> list[str]:
        return [file.name for file in self.place().glob("[0-9]*") if Path("/proc", file.name).exists()]


def test_a_child_that_is_alone_on_a_gpu_has_it_even_from_idle_workers(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates, Narrow, device="auto"), None, per_gpu=4) as pool:
        found = results(pool, *(fates.job(trial, "well") for trial in range(12)))
    assert [result.error for result in found.values()] == 12 * [None]


class Full(Light):
    """A GPU without room for as much as a worker's start."""

    def ready(self) -> int:
        with Path(self.space.notes).open("a") as file:  # type: ignore[attr-defined]
            file.write("x")
        raise RuntimeError("CUDA error: out of memory")


def test_a_full_gpu_is_told_of_after_some_tries_on_each(fates: Fates, cluster: Cluster) -> None:
    wanted = r"none comes up \(.*CUDA error: out of memory\), expected 16; see with nvidia-smi whether .* --device cpu"
    with on(cluster, training(fates, Full, device="auto"), None) as pool, pytest.raises(UserError, match=wanted):
        results(pool, fates.job(0, "well"))
    assert Path(fates.notes).read_text() == "x" * 2 * TRIES


class Robbed(Light):
    """Another program takes the GPU's memory while a child trains."""

    robbed = False

    def ready(self) -> int:
        return 2**30 if self.robbed else 2**34

    def __call__(self, job: Job) -> Result:
        Robbed.robbed = True
        return Result(seconds=0.1, memory=2**20, error="out of memory: 3 GiB")


def test_memory_that_others_took_is_not_held_against_a_network(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates, Robbed, device="auto"), 2, per_gpu=1) as pool:
        found = results(pool, fates.job(0, "well"))
    assert found[0].error == "worker: others had 15.0 GiB of the GPU's memory; out of memory: 3 GiB"
    assert found[0].of_worker


class Slow(Light):
    """The first worker never gets ready."""

    def ready(self) -> int:
        with contextlib.suppress(FileExistsError):
            Path(f"{self.space.notes}.met").mkdir()  # type: ignore[attr-defined]
            time.sleep(600)
        return 0


def test_a_worker_that_does_not_get_ready_is_replaced(
    fates: Fates, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nas.pool.COMING", 5.0)
    with on(cluster, training(fates, Slow), 1) as pool:
        assert results(pool, fates.job(0, "well"))[0].accuracy == (0.5,)


class Broken(Light):
    """The first child on each worker breaks its device, and that alone shows only afterwards."""

    broken = False

    def ready(self) -> int:
        if self.broken:
            raise RuntimeError("CUDA error: device lost")
        return 0

    def __call__(self, job: Job) -> Result:
        notes = Path(self.space.notes)  # type: ignore[attr-defined]
        with notes.open("a") as file:
            file.write("x")
        self.broken = len(notes.read_text()) == 1
        return Result(error="exception: CUDA error") if self.broken else Result((0.5,), (1.0,))


def test_a_child_whose_device_was_lost_is_run_again_on_another_worker(fates: Fates, cluster: Cluster) -> None:
    with on(cluster, training(fates, Broken), 1) as pool:
        assert results(pool, fates.job(0, "well"))[0].error is None
    assert len(Path(fates.notes).read_text()) == 2


def test_a_space_that_cannot_be_pickled_is_a_mistake_of_the_users(fates: Fates) -> None:
    fates.lock = threading.Lock()
    with pytest.raises(
        UserError, match=r"Fates: found that it cannot travel to workers \(.*lock.*\), expected a space"
    ):
        RayPool(training(fates), 1)


def test_a_cluster_that_is_lost_in_the_middle_ends_the_search_with_a_sentence(fates: Fates) -> None:
    mark, here = uuid.uuid4().hex, {"PATH": os.environ["PATH"], "PYTHONPATH": str(TOOLKIT), "HOME": os.environ["HOME"]}
    head = ["--head", "--port=0", "--num-cpus=1", "--node-ip-address=127.0.0.4", "--include-dashboard=false"]
    with _node(head, here | {"RAY_AUTH_MODE": "disabled", "NAS_MARK": mark}, TOOLKIT) as log:
        address = _found(log, r"--address='([\d.:]+)'")
        with on(Cluster(address, Path()), training(fates, Roomy)) as pool:
            results(pool, fates.job(0, "well"))
            for process in marked(mark):
                os.kill(process, signal.SIGKILL)
            with pytest.raises(UserError, match=f"Ray at {address}: found that it is gone .*, expected it to stay"):
                results(pool, *(fates.job(trial, "well") for trial in range(10_000)))


def test_a_cluster_that_is_not_there_is_said_to_be_missing(fates: Fates, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        gone = f"127.0.0.1:{server.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", gone)  # where auto leads
    for address in (gone, "auto"):
        with pytest.raises(UserError, match=f"Ray at {address}: found .*refused, expected a cluster to join; start"):
            RayPool(training(fates), 1, address=address)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="Linux's list of sockets")
def test_ray_on_this_machine_listens_on_loopback_alone_and_leaves_its_files_and_token_to_its_user(
    tmp_path: Path,
) -> None:
    code = "from tests.nas.test_pool import search_here; search_here()"  # Ray's token stays with the process for good
    here = {name: value for name, value in os.environ.items() if name != "RAY_AUTH_MODE"}
    mine = {"HOME": str(tmp_path), "NAS_MARK": uuid.uuid4().hex, "NOTES": str(tmp_path / "notes")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOOLKIT, env=here | mine, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def search_here() -> None:
    """Train a child on Ray on this machine, and look at its sockets and files."""
    notes = Path(os.environ["NOTES"])
    notes.touch()
    fates = Fates(notes)
    with contextlib.closing(RayPool(training(fates), 1)) as pool:
        assert results(pool, fates.job(0, "well"))[0].error is None
        folder = Path(ray()._private.worker.global_worker.node.temp_dir).parent
        assert folder.stat().st_mode & 0o077 == 0
        assert Path("~/.ray/auth_token").expanduser().exists()
        assert Path("~/.ray").expanduser().stat().st_mode & 0o077 == 0
        found = listening([os.getpid(), *marked(os.environ["NAS_MARK"])])
        assert len(found) >= 5  # of the driver, a worker, Ray's server, its node's manager and object store
        assert {str(address) for address in found if not address.is_loopback} == set()
    assert eventually(lambda: not folder.exists())


def listening(processes: list[int]) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses at which these processes wait for connections, one a socket."""
    files = [file for one in processes for file in Path(f"/proc/{one}/fd").iterdir() if file.is_symlink()]
    mine = {str(file.readlink()) for file in files}
    found = []
    for line in (Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()).splitlines():
        _, local, _, state, *_, inode = line.split()[:10]
        if state == "0A" and f"socket:[{inode}]" in mine:
            words = bytes.fromhex(local.partition(":")[0])
            address = ipaddress.ip_address(b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4)))
            found.append(getattr(address, "ipv4_mapped", None) or address)
    return found


def test_nothing_is_kept_of_children_that_are_done(fates: Fates, cluster: Cluster) -> None:
    def kept() -> int:
        return len(ray()._private.worker.global_worker.core_worker.get_all_reference_counts())

    with on(cluster, training(fates), workers=2) as pool:
        results(pool, *(fates.job(trial, "well") for trial in range(20)))
        before = kept()
        results(pool, *(fates.job(trial, "well") for trial in range(200)))
        assert kept() <= before


# --- a cluster's other nodes ---


class Seen(Light):
    """A child's result is what its worker sees."""

    def __call__(self, job: Job) -> Result:
        assert self.data is not None
        node = ray().get_runtime_context().get_node_id()
        told = {"home": os.environ["HOME"], "folder": str(Path.cwd()), "process": os.getpid(), "node": node}
        told |= {"sum": int(self.data.pixels.sum()), "place": _place(self.data.pixels)}
        time.sleep(0.5)
        return Result(error=json.dumps(told))


def _place(pixels: Pixels) -> str:
    """The file that is mapped where an array lies, and where in it: the same for two processes that share it."""
    address = pixels.ctypes.data
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, _, offset, _, file = line.split()[:5]
        first, last = (int(end, 16) for end in span.split("-"))
        if first <= address < last:
            return f"{file} {int(offset, 16) + address - first}"
    raise AssertionError("it lies nowhere")


def test_the_data_go_to_each_node_once_and_need_no_file_there(
    fates: Fates, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    trains = training(fates, Seen)
    shutil.rmtree(tmp_path / "cache")
    with on(cluster, trains, workers=2) as pool:
        found = results(pool, *(fates.job(trial, "well") for trial in range(4)))
        driver = ray().get_runtime_context().get_node_id()
    seen = [json.loads(result.error or "") for result in found.values()]
    assert trains.data is not None
    assert {told["sum"] for told in seen} == {int(trains.data.pixels.sum())}
    assert len({told["process"] for told in seen}) == 2
    assert len({told["place"] for told in seen}) == 1
    assert {told["home"] for told in seen} == {str(cluster.home)}
    assert {told["folder"] for told in seen} != {str(Path.cwd())}
    assert driver not in {told["node"] for told in seen}


HELPER = """
from nas.layers import Conv, Norm, Relu

def strange(block, channels):
    import os
    from pathlib import Path
    Path(os.environ["HOME"], "built-here").touch()
    return (Conv(block.width, 1), Norm(), Relu())
"""
MINE = """
from pathlib import Path
from helper import strange
from nas import Block, Choice, Network, Space

class Small(Space):
    width = Choice(4, 8, 16)

    def build(self, pick):
        return Network(8, (Block(strange, pick(self.width)),))
"""


def nas(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nas", "search", *arguments, "--images", "100", "--out", "out"]
    variables = os.environ | {"PYTHONPATH": str(TOOLKIT)} | environment
    return subprocess.run(command, check=False, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)


def test_a_space_and_its_block_reach_a_node_that_does_not_have_their_files(tmp_path: Path, cluster: Cluster) -> None:
    (tmp_path / "helper.py").write_text(HELPER)
    gone = "for name in ('mine.py', 'helper.py'):\n    Path(__file__).with_name(name).unlink()\n"
    (tmp_path / "mine.py").write_text(MINE + gone)
    (tmp_path / "judge.py").write_text("def score(result):\n    return result.accuracy[-1] / 2\n")
    mine = ["mine.py:Small", "--controller", "random", "--reward", "judge:score", "--trials", "3", "--device", "cpu"]
    done = nas(tmp_path, *mine, "--address", cluster.address, "--workers", "1", RAY_AUTH_MODE="disabled")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mine.py").exists()
    assert (cluster.home / "built-here").exists()
    for trial in ledger.read(tmp_path / "out")[1]:
        assert trial.result is None or trial.reward == trial.result.accuracy[-1] / 2


# --- a user's folder ---


def test_a_users_folder_may_have_the_toolkits_names_and_its_modules_are_found(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text(HELPER.replace("    import os\n", "    import late\n    import os\n"))
    (tmp_path / "late.py").write_text("size = 3\n")
    (tmp_path / "mine.py").write_text("from search_spaces.chain import Chain\n" + MINE.replace("(Space)", "(Chain)"))
    for name in ("search_spaces", "controllers", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError('it hid the toolkit')\n")
    (tmp_path / "benchmarks.py").write_text("raise ImportError('it hid the toolkit')\n")
    done = nas(
        tmp_path, "mine.py:Small", "--controller", "random", "--workers", "1", "--trials", "3", HOME=str(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "built-here").exists()
    assert [trial.error for trial in ledger.read(tmp_path / "out")[1]] == [None] * 3


@pytest.mark.parametrize(
    ("sent", "times", "status"), [(signal.SIGINT, 1, 130), (signal.SIGINT, 2, 130), (signal.SIGTERM, 1, 143)]
)
def test_ctrl_c_and_sigterm_end_every_process_quietly_and_leave_no_file(
    tmp_path: Path, sent: signal.Signals, times: int, status: int
) -> None:
    mark = uuid.uuid4().hex
    command = [sys.executable, "-m", "nas", "search", "chain", "--controller", "random", "--workers", "2"]
    command += ["--trials", "100000", "--images", "100", "--out", "out"]
    short = Path(tempfile.mkdtemp(dir="/tmp", prefix="f"))  # sockets: short
    variables = os.environ | {"PYTHONPATH": str(TOOLKIT), "NAS_MARK": mark, "RAY_TMPDIR": str(short)}
    with (tmp_path / "said").open("w") as said:
        begun = subprocess.Popen(command, cwd=tmp_path, env=variables, start_new_session=True, stdout=said, stderr=said)
    book = tmp_path / "out" / ledger.FILE
    assert eventually(lambda: book.exists() and book.read_text().count("\n") > 3)
    for _ in range(times):
        if sent == signal.SIGINT:
            os.killpg(begun.pid, sent)  # as a terminal does
        else:
            begun.send_signal(sent)
        time.sleep(0.5)
    try:
        assert begun.wait(60) == status
    finally:
        begun.kill()  # else it would search on after a failure
        begun.wait()
    assert "Traceback" not in (tmp_path / "said").read_text()
    assert times == 2 or (tmp_path / "said").read_text().endswith("the same command goes on from here\n")
    assert eventually(lambda: marked(mark) == [])
    short.rmdir()  # raises if anything is in it
    ledger.read(tmp_path / "out")


def eventually(true: Callable[[], bool]) -> bool:
    for _ in range(1200):
        if true():
            return True
        time.sleep(0.1)
    return False
