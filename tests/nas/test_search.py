"""The loop: who is asked after whom is told, and that nothing else than the results decides it."""

from __future__ import annotations

import gc
import math
import os
import random
import subprocess
import sys
import weakref
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from controllers.evolution import Evolution
from controllers.q_learning import QLearning
from controllers.random_search import RandomSearch
from controllers.reinforce import Reinforce
from nas import recorded
from nas.blocks import Block
from nas.data import load
from nas.errors import UserError
from nas.health import mend
from nas.ledger import FILE, RECORDS, Ledger, Trial, read, sealed, unsealed
from nas.network import Images, Network
from nas.pool import Job, Pool, Serial
from nas.recipe import RECIPES
from nas.reward import UNBOUND, Bounds, Result, Soft, accuracy
from nas.search import Controller, Loop, batch_of, child_seed, replayed, search
from nas.space import Candidate, Choice, Limit, Pick, Space
from nas.stop import Halving, is_below
from search_spaces.chain import Chain

HEADER: dict[str, Any] = {  # of searches whose conditions are no matter
    "space": "", "choices": {}, "controller": "", "parameters": {}, "data": "", "training": 1, "validation": 1,
    "fingerprint": "", "recipe": {"epochs": 1}, "reward": "", "seed": 0, "threads": 1,
    "child_timeout": None, "window": 1, "length": 1,
}  # fmt: skip

ROOT = Path(__file__).parents[2]
IMAGES = Images(1, 1, 2)


class Rows(Space):
    """One to three blocks of nothing, so virtual durations of about 1, 2 and 3; ten networks of each."""

    rows = Choice(1, 2, 3)
    label = Choice(*range(10))

    def build(self, pick: Pick) -> Network:
        return Network(1, (Block("identity", width=pick(self.label)),) * pick(self.rows))


class OwnChild:
    """A child that is no Network, and has no cost figures."""

    input_size = 1

    def __init__(self, key: str) -> None:
        self.key = key

    def __repr__(self) -> str:
        return f"OwnChild({self.key})"

    def module(self, images: Images) -> None:
        raise NotImplementedError


class OwnRows(Rows):
    """The same, but nothing is known of durations: each lasts one unit."""

    def build(self, pick: Pick) -> OwnChild:  # type: ignore[override]
        label = pick(self.label)
        return OwnChild(f"{pick(self.rows)} {label}")


class Scripted:
    """Answers as written down, and keeps a diary; a network is (rows, label)."""

    def __init__(self, script: Sequence[tuple[int, int]], space: Space | None = None) -> None:
        self.script, self.space = script, space or Rows().on(IMAGES)
        self.diary: list[str] = []
        self.rewards: dict[int, float | None] = {}
        self.asked: dict[int, Candidate] = {}

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        numbers = [number for number, candidate in self.asked.items() if any(candidate is p for p in pending)]
        self.diary.append(f"ask {trial}" + (f" while {', '.join(map(str, numbers))}" if numbers else ""))
        rows, label = self.script[trial]
        self.asked[trial] = self.space.replay((label, rows - 1))
        return self.asked[trial]

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        assert candidate == self.asked.setdefault(trial, candidate)  # it was asked in an earlier life if not in this
        self.diary.append(f"tell {trial}")
        self.rewards[trial] = reward


def looked_up(job: Job) -> Result:
    """A table of known results: accuracy 0.label, but label 8 diverges and label 9 is out of memory."""
    label, rows = job.answers
    if label >= 8:
        return Result(seconds=1.0, error="diverged: at once" if label == 8 else "out of memory: all of it")
    return Result((label / 10,), (1.0,), params=rows, madds=rows, seconds=1.0)


def drained(coming: Generator[Trial, None, str]) -> tuple[list[Trial], str]:
    """All that a search yields, and why it ended."""
    trials: list[Trial] = []
    while True:
        try:
            trials.append(next(coming))
        except StopIteration as end:
            return trials, str(end.value)


def run(
    folder: Path,
    controller: Controller,
    pool: Pool | Callable[[Job], Result] = looked_up,
    space: Space | None = None,
    **options: Any,
) -> tuple[list[Trial], str]:
    """Search the folder on, with window 2 and 10 trials if nothing else is said."""
    workers = Serial(pool) if callable(pool) else pool
    with Ledger(folder) as ledger:
        if ledger.header is None:
            ledger.begin(HEADER)
        chosen: dict[str, Any] = {"seed": 0, "window": 2, "trials": 10, "reward": accuracy} | options
        return drained(Loop(space or Rows().on(IMAGES), controller, workers, ledger, **chosen).run())


def in_order(folder: Path) -> list[Trial]:
    """The trials by number, times aside."""
    return sorted((replace(trial, at=0.0) for trial in read(folder)[1]), key=lambda trial: trial.trial)


class Trainer:
    """Looks results up, and counts who was trained."""

    def __init__(self, train: Callable[[Job], Result] = looked_up) -> None:
        self.train = train
        self.trained: list[int] = []

    def __call__(self, job: Job) -> Result:
        self.trained.append(job.trial)
        return self.train(job)


class Disordered:
    """A pool of so many workers, of which any may be the first to finish."""

    def __init__(self, workers: int, seed: int, train: Callable[[Job], Result] = looked_up) -> None:
        self.workers, self.window, self.train = workers, max(8, 2 * workers), train
        self.rng = random.Random(seed)
        self.queue: list[Job] = []

    def submit(self, job: Job) -> None:
        self.queue.append(job)

    def wait(self) -> tuple[int, Result]:
        job = self.queue.pop(self.rng.randrange(min(self.workers, len(self.queue))))
        return job.trial, self.train(job)

    def close(self) -> None:
        self.queue.clear()


# --- the virtual clock ---


def test_a_trial_is_asked_when_a_virtual_worker_is_free(tmp_path: Path) -> None:
    controller = Scripted([(3, 0), (1, 1), (1, 2), (1, 3), (1, 4)])
    run(tmp_path, controller, trials=5)
    assert controller.diary == [
        "ask 0", "ask 1 while 0",  # ends at 3 and 1
        "tell 1", "ask 2 while 0",  # ends at 2
        "tell 2", "ask 3 while 0",  # ends at 3, and a little later than 0: three times a classifier
        "tell 0", "ask 4 while 3",
        "tell 3", "tell 4",
    ]  # fmt: skip


def test_what_ends_together_is_told_by_number_before_the_next_is_asked(tmp_path: Path) -> None:
    space = OwnRows().on(IMAGES)
    controller = Scripted([(1, label) for label in range(5)], space)
    run(tmp_path, controller, space=space, trials=5)
    assert controller.diary == [
        "ask 0", "ask 1 while 0",
        "tell 0", "tell 1", "ask 2", "ask 3 while 2",
        "tell 2", "tell 3", "ask 4",
        "tell 4",
    ]  # fmt: skip


def test_with_window_one_each_trial_is_told_before_the_next(tmp_path: Path) -> None:
    controller = Scripted([(3, 0), (1, 1), (2, 2)])
    run(tmp_path, controller, trials=3, window=1)
    assert controller.diary == ["ask 0", "tell 0", "ask 1", "tell 1", "ask 2", "tell 2"]


def test_a_window_wider_than_the_search_asks_all_at_once(tmp_path: Path) -> None:
    controller = Scripted([(3, 0), (1, 1), (2, 2)])
    run(tmp_path, controller, trials=3, window=9)
    assert controller.diary == ["ask 0", "ask 1 while 0", "ask 2 while 0, 1", "tell 1", "tell 2", "tell 0"]


CONTROLLERS: dict[str, Callable[[Space], Controller]] = {
    "random": lambda space: RandomSearch(space, 0, 40),
    "evolution": lambda space: Evolution(space, 0, 40, population=5, sample=2),
    "q-learning": lambda space: QLearning(space, 0, 40, replays=5),
    "reinforce": lambda space: Reinforce(space, 0, 40, batch=3, rate=0.1),
}

every_controller = pytest.mark.parametrize("make", CONTROLLERS.values(), ids=CONTROLLERS)


def searched(
    folder: Path, make: Callable[[Space], Controller], pool: Pool | None = None, **options: Any
) -> list[Trial]:
    """Forty trials with window 4; failures and repeats are among them."""
    space = Rows().on(IMAGES)
    run(folder, make(space), pool or Serial(looked_up), space, **({"trials": 40, "window": 4} | options))
    return in_order(folder)


@every_controller
def test_any_number_of_workers_finishing_in_any_order_makes_the_same_search(
    tmp_path: Path, make: Callable[[Space], Controller]
) -> None:
    serial = searched(tmp_path / "serial", make)
    assert [trial.trial for trial in serial] == list(range(40))
    assert any(trial.error for trial in serial)
    assert any(trial.same_as is not None for trial in serial)
    orders = set()
    for workers, seed in ((1, 0), (2, 1), (2, 2), (4, 3), (100, 4)):
        folder = tmp_path / f"{workers} {seed}"
        assert searched(folder, make, Disordered(workers, seed)) == serial
        orders.add(tuple(trial.trial for trial in read(folder)[1]))
    assert len(orders) > 2


def test_the_ledger_is_written_in_the_order_of_finishing(tmp_path: Path) -> None:
    class LastFirst(Disordered):
        def wait(self) -> tuple[int, Result]:
            job = self.queue.pop()
            return job.trial, self.train(job)

    trials, _ = run(tmp_path, Scripted([(1, 0), (1, 1), (1, 2)]), LastFirst(3, 0), trials=3, window=3)
    assert [trial.trial for trial in trials] == [trial.trial for trial in read(tmp_path)[1]] == [2, 1, 0]


def test_a_trial_is_on_the_disk_when_it_is_yielded(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.begin(HEADER)
        loop = Loop(Rows().on(IMAGES), Scripted([(1, 0), (1, 1)]), Serial(looked_up), ledger, accuracy,
                    seed=0, window=1, trials=2)  # fmt: skip
        for number, trial in enumerate(loop.run()):
            assert read(tmp_path)[1][number] == trial


# --- resuming ---


def cut(source: Path, folder: Path, kept: Sequence[int]) -> None:
    """A copy of a ledger with the header and these of its trials' lines, as a crash may leave it."""
    lines = (source / FILE).read_bytes().splitlines(keepends=True)
    folder.mkdir()
    (folder / FILE).write_bytes(b"".join([lines[0], *(lines[1 + line] for line in kept)]))


@every_controller
def test_a_search_killed_after_any_trial_goes_on_as_if_it_had_not_been(
    tmp_path: Path, make: Callable[[Space], Controller]
) -> None:
    whole = searched(tmp_path / "whole", make, Disordered(3, 0), trials=24)
    for finished in range(25):
        folder = tmp_path / f"after {finished}"
        cut(tmp_path / "whole", folder, range(finished))
        before = {trial.trial for trial in read(folder)[1]}
        trainer = Trainer()
        assert searched(folder, make, Disordered(2, finished, trainer), trials=24) == whole
        assert before.isdisjoint(trainer.trained)
        assert len(trainer.trained) == len(set(trainer.trained))


def test_a_search_goes_on_whichever_lines_it_finds(tmp_path: Path) -> None:
    make = CONTROLLERS["evolution"]
    whole = searched(tmp_path / "whole", make)
    for seed in range(20):
        rng = random.Random(seed)
        kept = rng.sample(range(40), rng.randrange(40))
        cut(tmp_path / "whole", tmp_path / f"{seed}", kept)
        assert searched(tmp_path / f"{seed}", make) == whole


def test_a_finished_search_run_again_trains_nothing(tmp_path: Path) -> None:
    make = CONTROLLERS["reinforce"]
    searched(tmp_path, make)
    content = (tmp_path / FILE).read_bytes()
    trainer = Trainer()
    searched(tmp_path, make, Serial(trainer))
    assert trainer.trained == []
    assert (tmp_path / FILE).read_bytes() == content


def test_recorded_trials_are_told_but_not_asked_again(tmp_path: Path) -> None:
    script = [(3, 0), (1, 1), (1, 2)]
    run(tmp_path, Scripted(script), trials=2)

    controller = Scripted(script)
    run(tmp_path, controller, trials=3)
    assert controller.diary == ["tell 1", "ask 2", "tell 2", "tell 0"]


@every_controller
def test_a_search_continued_with_more_trials_is_one_that_had_them_from_the_start(
    tmp_path: Path, make: Callable[[Space], Controller]
) -> None:
    for trials in (3, 20, 40):
        parts = searched(tmp_path / "parts", make, trials=trials)
    assert parts == searched(tmp_path / "whole", make)


class Other(Rows):
    """Rows whose code has changed for label 9 alone."""

    def __repr__(self) -> str:
        return "Rows()"

    def build(self, pick: Pick) -> Network:
        label = pick(self.label)
        return Network(1, (Block("identity", width=label + (label == 9)),) * pick(self.rows))


class Turned(Other):
    """Rows that asks for the rows first."""

    def build(self, pick: Pick) -> Network:
        rows = pick(self.rows)
        return Network(1, (Block("identity", width=pick(self.label)),) * rows)


@pytest.mark.parametrize(
    ("space", "found"),
    [
        (Other, "expected {other} (network 1: 1 concat gap: identity width=10) from its answers"),
        (Turned, "but its answers lead to none now: rows: found answer 9, expected one of 0 (1), 1 (2), 2 (3)"),
    ],
)
def test_a_space_whose_code_has_changed_is_found_before_anything_is_trained(
    tmp_path: Path, space: type[Space], found: str
) -> None:
    whole_search(tmp_path / "whole", trials=4)
    header, trials = read(tmp_path / "whole")
    changed, other = Rows().replay((9, 0)), Other().replay((9, 0)).key
    written = "network 1: 1 concat gap: identity width=9"
    del header["sources"]  # as of an older search
    with Ledger(tmp_path / "changed") as ledger:
        ledger.begin(header)
        ledger.append(replace(trials[3], answers=changed.answers, key=changed.key, network=written))  # 0 to 2 are not
    trainer = Trainer()
    with pytest.raises(UserError) as error:
        whole_search(tmp_path / "changed", trainer, space=space())
    assert trainer.trained == []
    path = tmp_path / "changed" / FILE
    assert str(error.value) == (
        f"{path}, trial 3: found network {changed.key} ({written}), {found.format(other=other)}; "
        "the space's code has changed since: restore it, or choose another --out"
    )


def test_code_of_ones_own_that_was_changed_is_said_by_its_name_though_all_networks_are_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole_search(tmp_path, trials=4)
    whole_search(tmp_path, trials=5)
    assert caplog.records == []
    path = tmp_path / FILE
    header, *lines = path.read_bytes().splitlines(keepends=True)
    begun = unsealed(header.rstrip(b"\n"))
    assert f"{__name__}.Rows" in begun["sources"]
    path.write_bytes(sealed(begun | {"sources": begun["sources"] | {f"{__name__}.Rows": "00000000"}}) + b"".join(lines))
    whole_search(tmp_path, trials=8)
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: found other code of {__name__}.Rows than this search began with; what is recorded stays as the "
        "old code made it; to search with the new code alone, choose another --out"
    ]


def test_a_long_network_is_shown_from_a_little_before_it_differs(tmp_path: Path) -> None:
    trial = Trial(
        0, (9, 2), "k", "network 1: 1 concat gap: " + 2 * "identity width=9; " + "identity width=8", 0.5, None
    )
    with pytest.raises(UserError) as error:
        replayed(Rows().on(IMAGES), trial, tmp_path)
    assert "found network k (… dth=9; identity width=9; identity width=8), expected" in str(error.value)


def test_a_line_that_was_lost_is_said_and_its_trial_trained_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make = CONTROLLERS["random"]
    whole = searched(tmp_path / "whole", make)
    lost = next(number for number, trial in enumerate(read(tmp_path / "whole")[1]) if trial.trained and number > 3)
    cut(tmp_path / "whole", tmp_path / "cut", [line for line in range(40) if line != lost])
    trainer = Trainer()
    assert searched(tmp_path / "cut", make, Serial(trainer)) == whole
    number = read(tmp_path / "whole")[1][lost].trial
    assert trainer.trained == [number]
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path / 'cut' / FILE}: found no line of trial {number}, but one of trial 39, which was asked after it "
        "had ended; expected both; its line was lost, and it is trained again"
    ]


def test_what_was_under_way_when_a_search_ended_is_no_lost_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make = CONTROLLERS["random"]
    searched(tmp_path / "whole", make, Disordered(4, 0))
    for finished in range(40):
        cut(tmp_path / "whole", tmp_path / f"{finished}", range(finished))
        searched(tmp_path / f"{finished}", make, trials=min(40, finished + 1))  # fewer than were asked before, too
        searched(tmp_path / f"{finished}", make)
    assert caplog.records == []


def test_nothing_of_a_trial_is_kept_in_memory_once_it_is_told_and_yielded(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.begin(HEADER)
        loop = Loop(Rows().on(IMAGES), RandomSearch(Rows().on(IMAGES), 0, 40), Serial(looked_up), ledger, accuracy,
                    seed=0, window=4, trials=40)  # fmt: skip
        kept = [(weakref.ref(trial), weakref.ref(trial.result or trial)) for trial in loop.run()]
        gc.collect()
        assert [trial() for trial, _ in kept] == [result() for _, result in kept] == [None] * 40
        assert loop.asked == 40  # it is still there itself


def test_a_search_under_a_growing_limit_goes_on_under_it(tmp_path: Path) -> None:
    space = Rows().on(IMAGES, {"rows": Limit(1, 1, 5)})

    def limited(folder: Path, trials: int) -> list[Trial]:
        run(folder, RandomSearch(space, 0, 15), space=space, trials=trials)
        return in_order(folder)

    whole = limited(tmp_path / "whole", 15)
    limited(tmp_path / "parts", 7)
    assert limited(tmp_path / "parts", 15) == whole
    assert [max(trial.answers[1] for trial in whole[start : start + 5]) for start in (0, 5, 10)] == [0, 1, 2]


# --- repeats and failures ---


def test_a_network_told_before_is_not_trained_again(tmp_path: Path) -> None:
    trainer = Trainer()
    controller = Scripted([(1, 5), (1, 5), (2, 3), (1, 5)])
    trials, _ = run(tmp_path, controller, trainer, trials=4, window=1)
    assert trainer.trained == [0, 2]
    assert [trial.same_as for trial in trials] == [None, 0, None, 0]
    assert [trial.result is None for trial in trials] == [False, True, False, True]
    assert controller.rewards == {0: 0.5, 1: 0.5, 2: 0.3, 3: 0.5}
    assert controller.diary[:4] == ["ask 0", "tell 0", "ask 1", "tell 1"]


def test_a_repeat_of_one_under_way_ends_with_that_one(tmp_path: Path) -> None:
    trainer = Trainer()
    controller = Scripted([(2, 5), (2, 5), (1, 3), (1, 4)])
    trials, _ = run(tmp_path, controller, trainer, trials=4, window=3)
    assert trainer.trained == [0, 2, 3]
    assert controller.diary == [
        "ask 0", "ask 1 while 0", "ask 2 while 0, 1",  # end at 2, 2 and 1
        "tell 2", "ask 3 while 0, 1",
        "tell 0", "tell 1", "tell 3",
    ]  # fmt: skip
    assert {trial.trial: trial.same_as for trial in trials} == {0: None, 1: 0, 2: None, 3: None}
    assert controller.rewards[1] == 0.5


def test_a_failed_child_is_a_line_with_an_error_and_is_remembered(tmp_path: Path) -> None:
    trainer = Trainer()
    controller = Scripted([(1, 8), (1, 8), (1, 9)])
    run(tmp_path, controller, trainer, trials=3, window=1)
    assert trainer.trained == [0, 2]
    assert controller.rewards == {0: None, 1: None, 2: None}
    assert [(trial.reward, trial.error, trial.same_as) for trial in read(tmp_path)[1]] == [
        (None, "diverged: at once", None),
        (None, "diverged: at once", 0),
        (None, "out of memory: all of it", None),
    ]


def test_a_workers_failure_is_not_remembered_against_the_network(tmp_path: Path) -> None:
    def dies_twice(job: Job) -> Result:
        return Result(error="worker: it died 3 times") if job.trial < 2 else looked_up(job)

    trainer = Trainer(dies_twice)
    trials, _ = run(tmp_path, Scripted([(1, 5)] * 4), trainer, trials=4, window=1)
    assert trainer.trained == [0, 1, 2]
    assert [(trial.reward, trial.same_as) for trial in trials] == [(None, None), (None, None), (0.5, None), (0.5, 2)]
    run(tmp_path, Scripted([(1, 5)] * 4), trainer, trials=4, window=1)
    assert trainer.trained == [0, 1, 2]


def test_a_repeat_under_way_fails_with_its_worker_and_the_next_is_trained(tmp_path: Path) -> None:
    trainer = Trainer(lambda job: Result(error="worker: gone") if job.trial == 0 else looked_up(job))
    trials, _ = run(tmp_path, Scripted([(1, 5)] * 4), trainer, trials=4, window=2)
    assert trainer.trained == [0, 2]
    assert [(t.trial, t.error, t.same_as) for t in trials[:2]] == [(0, "worker: gone", None), (1, "worker: gone", 0)]
    assert [(t.trial, t.reward, t.same_as) for t in trials[2:]] == [(2, 0.5, None), (3, 0.5, 2)]


@pytest.mark.parametrize("value", [1e300, float("nan"), float("inf"), -float("inf")])
def test_a_reward_that_is_no_finite_number_is_a_failure(tmp_path: Path, value: float) -> None:
    controller = Scripted([(1, 5), (1, 5)])
    run(tmp_path, controller, trials=2, window=1, reward=lambda result: value)
    first, second = read(tmp_path)[1]
    said = f"exception: the reward of this result is {value}, expected a number within ±1e+100"
    assert (first.reward, first.error) == (None, said)
    assert mend([first]) == f'the last error is "{said}": mend the reward'
    assert first.result is not None
    assert first.result.accuracy == (0.5,)
    assert (second.same_as, second.reward) == (0, None)
    assert controller.rewards == {0: None, 1: None}


@pytest.mark.parametrize(
    ("reward", "found"),
    [
        (lambda result: result.accuracy[7], "IndexError: tuple index out of range"),
        (lambda result: "high", "ValueError: could not convert string to float: 'high'"),
        (lambda result: None, "TypeError: float"),
    ],
)
def test_a_reward_that_gives_no_number_ends_the_search_until_it_is_mended(
    tmp_path: Path, reward: Any, found: str
) -> None:
    with pytest.raises(UserError, match=f"reward <lambda>: found {found}.*, expected a number for every result"):
        run(tmp_path, Scripted([(1, 5), (1, 6)]), trials=2, reward=reward)
    assert len(run(tmp_path, Scripted([(1, 5), (1, 6)]), trials=2)[0]) == 2


def test_a_network_that_cannot_be_built_is_refused_and_not_trained(tmp_path: Path) -> None:
    class Flawed(Rows):
        def build(self, pick: Pick) -> Network:
            label = pick(self.label)
            return Network(1, (Block("conv" if label == 7 else "identity", abs(label - 7)),) * pick(self.rows))

    space = Flawed().on(IMAGES)
    trainer = Trainer()
    controller = Scripted([(1, 7), (1, 7), (1, 3)], space)
    trials, why = run(tmp_path, controller, trainer, space, trials=9, unique=1)
    assert trainer.trained == [2]
    assert controller.diary == ["ask 0", "tell 0", "ask 1", "tell 1", "ask 2", "tell 2"]
    assert trials[0].error is not None
    assert trials[0].error.startswith("refused: block 1 (conv): found Conv(width=0")
    assert [(trial.reward, trial.same_as) for trial in trials] == [(None, None), (None, 0), (0.3, None)]
    assert why == "1 networks are trained"


def test_a_child_of_ones_own_is_written_as_it_shows_itself(tmp_path: Path) -> None:
    space = OwnRows().on(IMAGES)
    trials, _ = run(tmp_path, Scripted([(2, 4)], space), space=space, trials=1)
    assert (trials[0].key, trials[0].network) == ("2 4", "OwnChild(2 4)")


def test_a_child_is_trained_from_its_answers_and_a_seed_of_its_own(tmp_path: Path) -> None:
    jobs = []

    def train(job: Job) -> Result:
        jobs.append(job)
        return looked_up(job)

    trials, _ = run(tmp_path, Scripted([(1, 5), (2, 4)]), train, trials=2, seed=3)
    made = [(job.trial, job.answers, job.seed) for job in jobs]
    assert made == [(0, (5, 0), child_seed(3, trials[0].key)), (1, (4, 1), child_seed(3, trials[1].key))]


def test_the_seed_of_a_child_stays_what_it_was() -> None:
    assert child_seed(0, "cf42f5c3b73eecd3") == 4168041275  # CRC-32 of "0 cf42f5c3b73eecd3"
    assert child_seed(1, "cf42f5c3b73eecd3") != child_seed(0, "cf42f5c3b73eecd3")


# --- stopping ---


@dataclass(frozen=True)
class Mean:
    """A rule: who is below the mean of the first epoch stops after it."""

    def bar(self, told: Sequence[Result]) -> tuple[float, ...]:
        return (sum(one.accuracy[0] for one in told) / len(told),)


def two_epochs(job: Job) -> Result:
    """As looked up, with half the accuracy after the first of two epochs; its likelihood is its accuracy."""
    result = looked_up(job)
    if result.error:
        return result
    curve = (result.accuracy[0] / 2, result.accuracy[0])
    loss = tuple(-math.log(one or 1e-9) for one in curve)
    if is_below(loss[:1], job.bar):
        return replace(result, accuracy=curve[:1], loss=loss[:1], bar=job.bar)
    return replace(result, accuracy=curve, loss=loss)


def test_a_child_below_the_bar_of_its_ask_is_told_what_it_would_have_come_to(tmp_path: Path) -> None:
    trials, _ = run(tmp_path, Scripted([(1, 2), (1, 6), (1, 1)]), two_epochs, trials=3, window=1, stop=Mean())
    assert [trial.stopped for trial in trials] == [False, False, True]
    assert trials[2].result is not None
    assert (trials[2].result.accuracy, trials[2].result.bar) == ((0.05,), (0.2,))  # the mean of 0.1 and 0.3
    assert trials[2].reward == pytest.approx(0.1)  # twice as much, as with the two others
    assert trials[2].error is None


def test_what_is_told_after_a_child_was_asked_moves_neither_its_bar_nor_its_reward(tmp_path: Path) -> None:
    script = [(1, 2), (3, 6), (2, 0)]  # the last is asked when the first alone is told
    trials = searched_in(tmp_path, script, window=2)
    assert trials[2].result is not None
    assert (trials[2].result.bar, trials[2].reward) == ((0.1,), 0.2)


def searched_in(folder: Path, script: Sequence[tuple[int, int]], **options: Any) -> list[Trial]:
    run(folder, Scripted(script), two_epochs, trials=len(script), stop=Mean(), **options)
    return in_order(folder)


def test_a_repeat_of_a_stopped_child_has_its_reward(tmp_path: Path) -> None:
    controller = Scripted([(1, 2), (1, 6), (1, 1), (1, 1)])
    trials, _ = run(tmp_path, controller, two_epochs, trials=4, window=1, stop=Mean())
    assert (trials[3].same_as, trials[3].stopped) == (2, False)
    assert controller.rewards[3] == controller.rewards[2] == trials[3].reward


def test_the_reward_of_a_stopped_child_is_never_above_the_highest(tmp_path: Path) -> None:
    def of_small(result: Result) -> float:
        return result.accuracy[-1] / (1 + (result.params or 0))

    trials, _ = run(tmp_path, Scripted([(3, 6), (1, 1)]), two_epochs, trials=2, window=1, stop=Mean(), reward=of_small)
    assert trials[1].stopped
    assert trials[1].reward == trials[0].reward == pytest.approx(0.2)  # as one block it would have 0.6


def test_a_stopped_child_is_priced_at_its_own_cost(tmp_path: Path) -> None:
    price = Soft(target=1, cost="params", alpha=-1, beta=-1)  # accuracy / parameters, which are 1, 1 and 2
    trials, _ = run(
        tmp_path, Scripted([(2, 2), (2, 6), (3, 1)]), two_epochs, trials=3, window=1, stop=Mean(), reward=price
    )
    assert trials[2].stopped
    assert trials[1].reward == pytest.approx(0.6)
    assert trials[2].reward == pytest.approx(0.1 / 2)  # it would have come to 0.1, as without a price


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, "TypeError: 'NoneType' object is not iterable "),
        ((0.5, float("nan")), r"\(0.5, nan\)"),
        (ValueError("no idea"), r"ValueError: no idea \(test_search.py, line \d+\)"),
    ],
)
def test_a_rule_that_gives_no_accuracies_is_told_so(tmp_path: Path, said: Any, found: str) -> None:
    class Wrong:
        def bar(self, told: Sequence[Result]) -> Any:
            if isinstance(said, Exception):
                raise said
            return said

    with pytest.raises(UserError, match=rf"^Wrong.bar: found {found}.*, expected by epoch the least likelihood"):
        run(tmp_path, Scripted(DIFFERENT), two_epochs, trials=3, stop=Wrong())


@every_controller
def test_children_are_stopped_alike_by_any_workers_and_after_any_interruption(
    tmp_path: Path, make: Callable[[Space], Controller]
) -> None:
    def again(folder: Path, workers: int, seed: int) -> list[Trial]:
        return searched(folder, make, Disordered(workers, seed, two_epochs), trials=24, stop=Mean())

    whole = again(tmp_path / "whole", 3, 0)
    assert 2 <= sum(trial.stopped for trial in whole) <= 20
    assert again(tmp_path / "one", 1, 0) == again(tmp_path / "many", 9, 5) == whole
    for finished in range(24):
        cut(tmp_path / "whole", tmp_path / f"after {finished}", range(finished))
        assert again(tmp_path / f"after {finished}", 2, finished) == whole


def test_a_rule_of_ones_own_is_in_the_header_with_its_module(tmp_path: Path) -> None:
    whole_search(tmp_path, trials=2, stop=Mean())
    header = read(tmp_path)[0]
    assert header["stop"] == "tests.nas.test_search.Mean()"
    assert recorded.stop(header) is None  # whatever a built-in rule is called


def test_a_rule_is_in_the_header_and_stays(tmp_path: Path) -> None:
    whole_search(tmp_path, trials=2, stop=Halving())
    assert read(tmp_path)[0]["stop"] == "Halving(factor=3, first=2)"
    assert len(whole_search(tmp_path, trials=4, stop=Halving())[0]) == 2
    for other, found in ((None, "None"), (Halving(4), r"'Halving\(factor=4, first=2\)'")):
        with pytest.raises(UserError, match=rf"found a search with stop 'Halving\(.*\)', expected {found}"):
            whole_search(tmp_path, trials=4, stop=other)


def test_a_search_stops_real_children(tmp_path: Path) -> None:
    recipe = replace(RECIPES["quick"], epochs=3)
    rule = Halving(factor=100, first=1)
    coming = search(Chain(), RandomSearch, DIGITS, tmp_path, trials=16, recipe=recipe, stop=rule, window=1,
                    limits={"input_size": Limit(8), "depth": Limit(2)}, device="cpu", pool=Serial)  # fmt: skip
    trials, _ = drained(coming)
    lengths = {trial.stopped: len(trial.result.accuracy) for trial in trials if trial.result}
    assert lengths == {False: 3, True: 1}


# --- budgets ---

DIFFERENT = [(1, label) for label in range(8)] + [(2, label) for label in range(8)]


def test_it_ends_after_so_many_trials_repeats_included(tmp_path: Path) -> None:
    trials, why = run(tmp_path, Scripted([(1, 5)] * 3), trials=3)
    assert (len(trials), why) == (3, "all 3 trials are done")


def test_it_ends_after_so_many_networks(tmp_path: Path) -> None:
    trials, why = run(tmp_path, Scripted([(1, 5), (1, 5), (1, 6), (1, 6), (1, 7)]), unique=2, window=1)
    assert [trial.same_as for trial in trials] == [None, 0, None]
    assert why == "2 networks are trained"


def test_it_ends_after_so_many_repeats_in_a_row(tmp_path: Path) -> None:
    trials, why = run(tmp_path, Scripted([(1, 5), (1, 5), (1, 6), *[(1, 5), (1, 6)] * 5]), patience=3, window=1)
    assert [trial.same_as for trial in trials] == [None, 0, None, 0, 2, 0]
    assert why == "the last 3 trials were all repeats: the controller or the space has nothing new"


class Wide(Space):
    """Networks of one convolution: its weights and two of a norm a channel, then a classifier: 7, 12, ..., 52."""

    width = Choice(*range(1, 11))

    def build(self, pick: Pick) -> Network:
        return Network(1, (Block("conv", pick(self.width), kernel=1),))


class OfWidths:
    """Answers these widths, and keeps what it is told."""

    def __init__(self, *widths: int, bounds: Bounds = UNBOUND) -> None:
        self.widths, self.told, self.space = widths, list[float | None](), Wide().on(IMAGES, bounds=bounds)

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        return self.space.replay((self.widths[trial] - 1,))

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        self.told.append(reward)


def tenths(job: Job) -> Result:
    """A tenth for each channel."""
    return Result(((job.answers[0] + 1) / 10,), (1.0,), seconds=1.0)


def of_widths(
    folder: Path, *widths: int, pool: Callable[[Job], Result] = tenths, bounds: Bounds = UNBOUND, **options: Any
) -> Any:
    """The trials, why it ended, and what was told; window 1 unless it is given."""
    controller = OfWidths(*widths, bounds=bounds)
    chosen = {"trials": len(widths), "window": 1} | options
    return *run(folder, controller, pool, controller.space, **chosen), controller.told


def test_a_network_above_a_bound_is_refused_told_as_failed_and_not_trained(tmp_path: Path) -> None:
    trainer = Trainer(tenths)
    trials, why, told = of_widths(
        tmp_path, 3, 6, 6, 5, 4, pool=trainer, bounds=Bounds(max_params=27), unique=3, trials=9
    )
    assert trainer.trained == [0, 3, 4]
    assert told == [0.3, None, None, 0.5, 0.4]
    assert [trial.same_as for trial in trials] == [None, None, 1, None, None]
    assert trials[1].error == "refused: found 32 parameters, expected at most 27, as --max-params says"
    assert [(trial.refused, trial.trained) for trial in trials[:2]] == [(False, True), (True, False)]
    assert trials[1].result is not None
    assert (trials[1].result.params, trials[1].result.seconds) == (32, 0.0)
    assert why == "3 networks are trained"
    assert in_order(tmp_path) == [replace(trial, at=0.0) for trial in trials]


def test_a_network_that_a_worker_refuses_makes_room_for_another(tmp_path: Path) -> None:
    def slow(job: Job) -> Result:
        return Result(latency_ms=(5.0, 4.0, 6.0), error="refused: found 5 ms") if job.answers[0] > 3 else tenths(job)

    for window in (1, 3):
        folder = tmp_path / str(window)
        trials, why, told = of_widths(folder, 9, 8, 7, 6, 2, 1, pool=slow, unique=2, window=window)
        assert (len(trials), why) == (6, "all 6 trials are done")
        assert sorted(told, key=lambda reward: reward or 0) == [None, None, None, None, 0.1, 0.2]


def test_a_search_of_which_all_is_refused_ends(tmp_path: Path) -> None:
    bounds = Bounds(max_madds=1)
    trials, why, _ = of_widths(tmp_path, *[8, 9, 9, 10, 7, 6, 5], bounds=bounds, patience=4, trials=1_000)
    assert [trial.same_as for trial in trials] == [None, None, 1, None, None]  # repeats do not count
    assert why == "the last 4 networks were all refused: what is asked of them is too much for the space"


def test_a_trained_network_gives_patience_back(tmp_path: Path) -> None:
    trials, why, _ = of_widths(tmp_path, 8, 9, 1, 7, 6, 2, bounds=Bounds(max_params=12), patience=3)
    assert (len(trials), why) == (6, "all 6 trials are done")


def narrow(job: Job) -> Result:
    """A worker that refuses what has more than two channels."""
    return Result(latency_ms=(5.0, 4.0, 6.0), error="refused: found 5 ms") if job.answers[0] > 1 else tenths(job)


@pytest.mark.parametrize(("bounds", "child"), [(UNBOUND, narrow), (Bounds(max_params=12), tenths)])
@every_controller
def test_every_controller_goes_on_where_most_is_refused_and_is_the_same_after_an_interruption(
    tmp_path: Path, make: Callable[[Space], Controller], bounds: Bounds, child: Callable[[Job], Result]
) -> None:
    def searched(folder: Path, trials: int) -> list[Trial]:
        space = Wide().on(IMAGES, bounds=bounds)
        run(folder, make(space), child, space, trials=trials, window=4)
        return in_order(folder)

    whole = searched(tmp_path / "whole", 40)
    assert {None, 0.1, 0.2} >= {trial.reward for trial in whole} >= {0.1, 0.2}
    searched(tmp_path / "again", 17)
    assert searched(tmp_path / "again", 40) == whole


def test_bounds_and_what_is_measured_are_in_the_header_where_they_are_set(tmp_path: Path) -> None:
    names = ["latency", "max_params", "max_madds", "max_latency_ms"]
    whole_search(tmp_path / "none", trials=1)
    assert not {*names} & {*read(tmp_path / "none")[0]}
    whole_search(tmp_path / "all", trials=1, max_params=10**6, max_madds=10**7, max_latency_ms=1e6)
    assert [read(tmp_path / "all")[0][name] for name in names] == [64, 10**6, 10**7, 1e6]  # the last is measured
    assert len(whole_search(tmp_path / "all", trials=2, max_params=10**6, max_madds=10**7, max_latency_ms=1e6)[0]) == 1


def test_latency_is_measured_where_it_or_a_price_or_a_bound_asks_for_it() -> None:
    assert batch_of(None, Soft(100, "params"), Bounds(max_params=1, max_madds=1)) is None
    assert batch_of(None, Soft(100, "latency"), UNBOUND) == batch_of(None, Soft(100, "memory"), UNBOUND) == 64
    assert batch_of(None, accuracy, Bounds(max_latency_ms=1)) == 64
    assert batch_of(8, accuracy, UNBOUND) == batch_of(8, Soft(100, "latency"), UNBOUND) == 8
    with pytest.raises(UserError, match="latency: found batches of 0 images, expected 1 or more; leave it out"):
        batch_of(0, accuracy, UNBOUND)


def test_what_was_measured_is_never_measured_again(tmp_path: Path) -> None:
    options: dict[str, Any] = {"recipe": replace(RECIPES["quick"], epochs=1), "pool": Serial, "device": "cpu",
                               "latency": 2, "reward": Soft(5, "latency")}  # fmt: skip
    for trials in (1, 2):
        drained(search(Chain(), RandomSearch, DIGITS, tmp_path, trials=trials, window=1, **options))
        if trials == 1:
            before = read(tmp_path)[1][0]
    first, second = read(tmp_path)[1]
    assert first == before
    for trial in (first, second):
        assert trial.result is not None
        median, lower, upper = trial.result.latency_ms
        assert 0 < lower <= median <= upper
        assert trial.result.peak_memory is not None
        assert trial.result.params is not None
        assert trial.result.peak_memory > 4 * trial.result.params
        assert trial.reward == pytest.approx(trial.result.accuracy[-1] * (median / 5) ** -0.07)


def test_repeats_of_what_is_under_way_try_the_patience_too(tmp_path: Path) -> None:
    trials, _ = run(tmp_path, Scripted([(1, 5)] * 9), patience=2, window=9)
    assert len(trials) == 3


class Clock:
    """Seconds, that pass only while a child trains."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def train(self, job: Job) -> Result:
        self.now += 10
        return looked_up(job)


def test_it_ends_after_so_many_seconds_and_waits_for_what_is_under_way(tmp_path: Path) -> None:
    clock = Clock()
    trials, why = run(tmp_path, Scripted(DIFFERENT), clock.train, clock=clock, seconds=25)
    assert [trial.at for trial in trials] == [10, 20, 30, 40]  # at 30 it is over, and one of two is under way
    assert why == "0.00694444 hours are over"


def test_an_interruption_is_left_out_of_the_seconds(tmp_path: Path) -> None:
    clock = Clock()
    run(tmp_path, Scripted(DIFFERENT), clock.train, clock=clock, trials=2)
    clock.now += 1_000_000
    trials, _ = run(tmp_path, Scripted(DIFFERENT), clock.train, clock=clock, seconds=35)
    assert [trial.at for trial in trials] == [30, 40]


def test_it_ends_after_so_many_seconds_of_training_failures_included(tmp_path: Path) -> None:
    trials, why = run(tmp_path, Scripted([(1, 8), *DIFFERENT]), device_seconds=2.5, window=1)
    assert len(trials) == 3  # of one second each
    assert why == "0.000694444 device hours are spent"


def test_a_repeat_costs_no_seconds_of_training(tmp_path: Path) -> None:
    trials, _ = run(tmp_path, Scripted([(1, 5)] * 9), device_seconds=1.5, trials=9, window=1)
    assert len(trials) == 9


def test_budgets_that_are_raised_let_the_search_go_on(tmp_path: Path) -> None:
    make = CONTROLLERS["evolution"]
    whole = searched(tmp_path / "whole", make)
    budgets: list[dict[str, Any]] = [{"unique": 4}, {"patience": 1}, {"device_seconds": 7}, {"unique": 12}]
    for budget in budgets:
        searched(tmp_path / "parts", make, **budget)
    assert len(in_order(tmp_path / "parts")) < 40
    assert searched(tmp_path / "parts", make) == whole


# --- the whole of it ---

DIGITS = load("digits", images=100)


def uncounted(job: Job) -> Result:
    """As looked up, without parameters and multiply-adds, which are made up there."""
    return replace(looked_up(job), params=None, madds=None)


def whole_search(folder: Path, train: Callable[[Job], Result] = uncounted, **options: Any) -> tuple[list[Trial], str]:
    chosen: dict[str, Any] = {"trials": 12, "controller": RandomSearch, "space": Rows()} | options
    space, controller = chosen.pop("space"), chosen.pop("controller")
    return drained(search(space, controller, DIGITS, folder, pool=lambda training: Serial(train), **chosen))


def test_the_header_says_what_the_search_is_a_function_of(tmp_path: Path) -> None:
    whole_search(tmp_path, controller=Evolution, parameters={"population": 5, "sample": 2}, seed=3,
                 limits={"rows": Limit(1, 1, 4)}, child_timeout=60.0)  # fmt: skip
    header, _ = read(tmp_path)
    recipe = header.pop("recipe")
    assert all(header.pop(name, "") != "" for name in RECORDS)
    assert recipe["epochs"] == 1
    assert recipe.keys() == vars(RECIPES["quick"]).keys()
    assert f"{__name__}.Rows.build" in header.pop("sources")
    assert header == {
        "format": 1,
        "space": "Rows()",
        "choices": {"rows": ["1", "2", "3"], "label": [str(label) for label in range(10)]},
        "limits": {"rows": [1, 1, 4]},
        "controller": "Evolution",
        "parameters": {"population": 5, "sample": 2},
        "data": "digits",
        "training": 80,
        "validation": 20,
        "fingerprint": DIGITS.fingerprint,
        "reward": "accuracy",
        "seed": 3,
        "threads": 1,
        "child_timeout": 60.0,
        "window": 8,
        "length": 12,
    }


def test_the_header_says_how_the_data_were_loaded(tmp_path: Path) -> None:
    whole_search(tmp_path, trials=1)
    loaded = {"images": 100, "largest": None, "image_size": None, "skip_corrupt": False}
    assert read(tmp_path)[0]["loaded"] == loaded


def test_the_window_is_the_pools_and_then_stays(tmp_path: Path) -> None:
    for workers, window in ((1, 8), (4, 8), (5, 10)):
        folder = tmp_path / str(workers)
        pool = Disordered(workers, 0, uncounted)
        drained(search(Rows(), RandomSearch, DIGITS, folder, trials=1, pool=lambda training, pool=pool: pool))  # type: ignore[misc]
        assert read(folder)[0]["window"] == window
    whole_search(tmp_path / "5")
    assert read(tmp_path / "5")[0]["window"] == 10


def test_the_length_is_that_of_the_first_start(tmp_path: Path) -> None:
    lengths = []

    class Long(RandomSearch):
        def __init__(self, space: Space, seed: int, length: int) -> None:
            super().__init__(space, seed, length)
            lengths.append(length)

    whole_search(tmp_path, controller=Long)
    whole_search(tmp_path, controller=Long, trials=15)
    assert lengths == [12, 12]
    assert len(in_order(tmp_path)) == 15
    whole_search(tmp_path / "unique", controller=Long, unique=5)
    assert lengths == [12, 12, 5]  # the fewer of trials and unique


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"seed": 1}, "seed 0, expected 1"),
        ({"controller": QLearning}, "controller 'RandomSearch', expected 'QLearning'"),
        ({"window": 3}, "window 8, expected 3"),
        ({"child_timeout": 5.0}, "child_timeout None, expected 5.0"),
        ({"max_params": 9}, "max_params None, expected 9"),
        ({"latency": 8}, "latency None, expected 8"),
        ({"reward": Soft(2e6)}, "reward 'accuracy', expected .Soft.target=2000000.0, cost=.*madds"),
        ({"stop": Halving()}, r"stop None, expected 'Halving\(factor=3, first=2\)'"),
        ({"recipe": RECIPES["metaqnn"]}, "recipe epochs 1, expected 20"),
        ({"limits": {"rows": Limit(1)}}, r"limits rows None, expected \[1, 0, 1\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, Mapping) else "",
)
def test_another_search_in_the_same_folder_is_refused(tmp_path: Path, options: dict[str, Any], found: str) -> None:
    whole_search(tmp_path, trials=1)
    content = (tmp_path / FILE).read_bytes()
    with pytest.raises(UserError, match=f"found a search with {found}"):
        whole_search(tmp_path, **options)
    assert (tmp_path / FILE).read_bytes() == content


def test_a_search_goes_on_on_another_machine_and_the_header_says_where_it_began(tmp_path: Path) -> None:
    whole_search(tmp_path / "here", trials=5)
    header, trials = read(tmp_path / "here")
    elsewhere = {"code": {"nas-rl": "0.0"}, "versions": {"python": "3.99"}, "cpu": "another", "gpu": "one"}
    for name, records in (("there", elsewhere), ("unrecorded", {})):  # older ledgers have none
        with Ledger(tmp_path / name) as ledger:
            ledger.begin({field: value for field, value in header.items() if field not in RECORDS} | records)
            for trial in trials:
                ledger.append(trial)
        whole_search(tmp_path / name)
        after, _ = read(tmp_path / name)
        assert {field: after[field] for field in RECORDS if field in after} == records
        assert len(in_order(tmp_path / name)) == 12


def test_what_a_child_on_the_cpu_was_trained_on_is_no_gpu(tmp_path: Path) -> None:
    whole_search(tmp_path, trials=1, device="cpu")
    assert read(tmp_path)[0]["gpu"] is None


@pytest.mark.parametrize(
    "options",
    [
        {"controller": Evolution, "parameters": {"sample": 99}},
        {"limits": {"colour": Limit(1)}},
    ],
    ids=["controller", "limit"],
)
def test_a_search_that_cannot_begin_leaves_nothing_behind(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        whole_search(tmp_path / "search", **options)
    assert list(tmp_path.iterdir()) == []


def test_a_search_stopped_between_two_trials_closes_its_pool_and_lock_and_goes_on(tmp_path: Path) -> None:
    closed = []

    class Closing(Serial):
        def close(self) -> None:
            closed.append(True)

    coming = search(Rows(), RandomSearch, DIGITS, tmp_path / "stopped", trials=12, pool=lambda _: Closing(uncounted))
    for _ in range(5):
        next(coming)
    coming.close()
    assert closed == [True]
    whole_search(tmp_path / "stopped")
    whole_search(tmp_path / "whole")
    assert in_order(tmp_path / "stopped") == in_order(tmp_path / "whole")


def test_a_search_trains_real_children(tmp_path: Path) -> None:
    class Tiny(Space):
        width = Choice(2, 4)

        def build(self, pick: Pick) -> Network:
            return Network(8, (Block("conv", pick(self.width)),))

    trials, why = drained(search(Tiny(), RandomSearch, DIGITS, tmp_path, trials=3, device="cpu", pool=Serial))
    assert why == "all 3 trials are done"
    assert all(trial.error is None and trial.reward is not None for trial in trials)
    trained = [trial.result for trial in trials if trial.result]
    assert [len(result.accuracy) for result in trained] == [1] * len(trained)


# With every controller, made-up results; then real children.
EVERYWHERE = """
import zlib
from nas import names
from nas.data import load
from nas.pool import Serial
from nas.reward import Result
from nas.search import search
from nas.space import Limit
from search_spaces.chain import Chain

def made_up(job):
    return Result((zlib.crc32(repr(job.answers).encode()) / 2**32,), (1.0,), seconds=1.0)

digits = load("digits", images=100)
small = {"input_size": Limit(8), "depth": Limit(2)}
for name, kind in names.controllers().items():
    list(search(Chain(), kind, digits, name, trials=25, limits=small, device="cpu", pool=lambda _: Serial(made_up)))
list(search(Chain(), kind, digits, "real", trials=3, limits=small, device="cpu", pool=Serial))
"""

PLACES: tuple[dict[str, Any], ...] = (
    {"env": {"PYTHONHASHSEED": "1", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "PYTHONUTF8": "0"}, "umask": 0o077},
    {"env": {"PYTHONHASHSEED": "2", "TZ": "America/St_Johns", "LC_ALL": "C.UTF-8", "COLUMNS": "9"}, "umask": 0o002},
)


def test_a_search_is_the_same_in_another_process_locale_time_zone_and_folder_with_another_umask_and_hash_seed(
    tmp_path: Path,
) -> None:
    def begun(number: int, env: dict[str, str], umask: int) -> subprocess.Popen[bytes]:
        (tmp_path / f"{number}").mkdir()
        own = {"PYTHONPATH": str(ROOT), "NAS_CACHE": str(tmp_path / "cache"), **env}
        return subprocess.Popen(
            [sys.executable, "-c", EVERYWHERE], cwd=tmp_path / f"{number}", env=os.environ | own, umask=umask
        )

    running = [begun(number, **place) for number, place in enumerate(PLACES)]
    assert [process.wait(300) for process in running] == [0, 0]
    one, other = (sorted(path.parent for path in tmp_path.glob(f"{number}/*/{FILE}")) for number in range(2))
    assert len(one) == len(other) == len(list((ROOT / "controllers").glob("[a-z]*.py"))) + 1
    for here, there in zip(one, other, strict=True):
        assert read(here)[0] == read(there)[0]
        assert timeless(here) == timeless(there)
        assert here.name == there.name


def timeless(folder: Path) -> list[Trial]:
    """The trials by number, all times aside."""
    return [replace(trial, result=trial.result and replace(trial.result, seconds=0.0)) for trial in in_order(folder)]


class Erring:
    """A controller whose ask gives something else."""

    def __init__(self, space: Space, seed: int, length: int, answer: Any = None) -> None:
        self.answer = answer

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer  # type: ignore[no-any-return]

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        pass


@pytest.mark.parametrize(
    ("answer", "found"), [(None, "None"), (ValueError("no idea"), r"ValueError: no idea \(test_search.py, line \d+\)")]
)
def test_a_controller_that_gives_no_candidate_is_told_so(tmp_path: Path, answer: Any, found: str) -> None:
    with pytest.raises(UserError, match=f"Erring.ask: found {found}, expected a candidate"):
        run(tmp_path, Erring(Rows(), 0, 1, answer), trials=1)


# --- what a controller says of itself ---


class Telling(RandomSearch):
    """Random search that says at which trial it is, and how often it was told."""

    def __init__(self, space: Space, seed: int, length: int) -> None:
        super().__init__(space, seed, length)
        self.told = 0

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        self.told += 1

    def figures(self, trial: int) -> Mapping[str, float]:
        return {"third": trial / 3, "told": self.told}


def test_the_ledger_has_what_the_controller_said_of_itself_when_it_was_asked(tmp_path: Path) -> None:
    trials = searched(tmp_path, lambda space: Telling(space, 0, 40))
    assert [trial.figures for trial in trials[:4]] == [
        {"third": 0, "told": 0}, {"third": 0.3333, "told": 0}, {"third": 0.6667, "told": 0}, {"third": 1, "told": 0},
    ]  # fmt: skip
    assert any(trial.same_as is not None for trial in trials)
    assert all(trial.figures for trial in trials)


def test_what_a_controller_says_depends_on_no_worker_and_no_interruption(tmp_path: Path) -> None:
    def make(space: Space) -> Telling:
        return Telling(space, 0, 40)

    whole = searched(tmp_path / "whole", make)
    assert searched(tmp_path / "disordered", make, Disordered(3, 1)) == whole
    for finished in (0, 1, 7, 39):
        cut(tmp_path / "disordered", tmp_path / f"after {finished}", range(finished))
        assert searched(tmp_path / f"after {finished}", make) == whole


def test_recorded_trials_keep_what_was_said_at_them(tmp_path: Path) -> None:
    class Mute(Telling):
        def figures(self, trial: int) -> Mapping[str, float]:
            return {}

    searched(tmp_path, lambda space: Telling(space, 0, 40), trials=10)
    before = in_order(tmp_path)
    trials = searched(tmp_path, lambda space: Mute(space, 0, 40), trials=11)
    assert trials[:10] == before
    assert trials[10].figures == {}


def test_a_controller_need_not_say_anything_of_itself(tmp_path: Path) -> None:
    searched(tmp_path, lambda space: RandomSearch(space, 0, 40), trials=2)
    assert b"figures" not in (tmp_path / FILE).read_bytes()


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (None, "None"),
        (0.5, "0.5"),
        ({"entropy": "high"}, "{'entropy': 'high'}"),
        ({"entropy": float("nan")}, "{'entropy': nan}"),
        ({"": 0.5}, "{'': 0.5}"),
        ({"a name of more than twenty letters": 0.5}, "{'a name of more than twenty letters': 0.5}"),
        ({3: 0.5}, "{3: 0.5}"),
        (ValueError("no idea"), r"ValueError: no idea \(test_search.py, line \d+\)"),
    ],
)
def test_figures_that_are_no_numbers_by_short_names_are_refused(tmp_path: Path, said: Any, found: str) -> None:
    class Babbling(RandomSearch):
        def figures(self, trial: int) -> Any:
            if isinstance(said, Exception):
                raise said
            return said

    with pytest.raises(
        UserError, match=f"Babbling.figures: found {found}, expected up to 20 names of up to 20 letters with "
    ):
        run(tmp_path, Babbling(Rows().on(IMAGES), 0, 1), trials=1)
    assert read(tmp_path)[1] == []
