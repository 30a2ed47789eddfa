"""Optuna's samplers keep the contract of a controller, and are themselves under it."""

import math
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import Trial, TrialState

from controllers.optuna_search import SAMPLERS, OptunaSearch
from nas.blocks import Block
from nas.errors import UserError
from nas.network import Images, Network
from nas.space import Candidate, Choice, Limit, Pick, Question, Space
from search_spaces.chain import Chain

IMAGES = Images(8, 1, 10)


class Linked(Space):
    """One to three blocks whose widths never shrink, joined by links; "separable" has no kernel of 3."""

    depth = Choice(1, 2, 3)
    kind = Choice("conv", "separable")
    width = Choice(16, 32, 64)
    kernel = Choice(1, 3, 5)

    def build(self, pick: Pick) -> Network:
        """Ask for the depth, then for each block."""
        blocks: list[Block] = []
        width = 0
        for number in range(pick(self.depth)):
            links = pick.links(range(number))
            pick.anchor()
            kind = pick(self.kind)
            width = pick(self.width, among=[w for w in self.width.options if w >= width])
            kernel = pick(self.kernel, among=(1, 5) if kind == "separable" else (1, 3, 5))
            blocks.append(Block(kind, width, kernel, inputs=tuple(i + 1 for i, link in enumerate(links) if link)))
        return Network(8, tuple(blocks))


class Ordered(Space):
    """Six widths: nothing but numbers, asked always; what CMA-ES is made for."""

    width = Choice(*range(8, 136, 8))

    def build(self, pick: Pick) -> Network:
        """Ask for each width."""
        return Network(8, tuple(Block("conv", pick(self.width)) for _ in range(6)))


class Few(Space):
    """Two kinds of network, fifteen in all: what brute force is made for."""

    depth = Choice(1, 2)
    width = Choice(8, 16, 24)
    kind = Choice("conv", "separable")

    def build(self, pick: Pick) -> Network:
        """Ask for a kind where there is one block, else for a width each."""
        depth = pick(self.depth)
        kind = pick(self.kind) if depth == 1 else "conv"
        return Network(8, tuple(Block(kind, pick(self.width)) for _ in range(depth)))


SPACES = {"chain": Chain().on(IMAGES), "linked": Linked().on(IMAGES)}
TRIALS = dict.fromkeys(SAMPLERS, 45) | {"gp": 18}  # enough for each to learn: GP begins after 10, CMA-ES at 20


class Asked(NamedTuple):
    trial: int
    pending: tuple[Candidate, ...]
    candidate: Candidate


class Told(NamedTuple):
    trial: int
    candidate: Candidate
    reward: float | None


def told_to(controller: OptunaSearch, told: Sequence[Told]) -> OptunaSearch:
    for event in told:
        controller.tell(*event)
    return controller


def searched(
    controller: OptunaSearch, trials: int, window: int, reward: Callable[[Candidate], float | None]
) -> list[Asked | Told]:
    """A search that tells its pending trials in an order of its own."""
    rng = random.Random(0)
    events: list[Asked | Told] = []
    pending: dict[int, Candidate] = {}
    for trial in range(trials):
        if len(pending) == window:
            ended = rng.choice(list(pending))
            candidate = pending.pop(ended)
            events.append(Told(ended, candidate, reward(candidate)))
            controller.tell(*events[-1])
        events.append(Asked(trial, tuple(pending.values()), controller.ask(trial, list(pending.values()))))
        pending[trial] = events[-1].candidate
    return events


def small_reward(candidate: Candidate) -> float | None:
    """Fails for an eighth of the networks."""
    number = int(candidate.key, 16)
    return None if number % 8 == 0 else number % 1000 / 1000


def wide_at_32(candidate: Candidate) -> float:
    """Best, at 0, are residual blocks of width 32, four of them."""
    assert isinstance(candidate.network, Network)
    blocks = candidate.network.blocks
    lacks = [(block.kind != "residual") + abs(math.log2(block.width / 32)) for block in blocks]
    return -sum(lacks) / len(lacks) - abs(len(blocks) - 4) / 2


def best(space: Space, sampler: str, trials: int, reward: Callable[[Candidate], float]) -> float:
    """The best reward of a search, mean over ten seeds."""
    searches = [searched(OptunaSearch(space, seed, trials, sampler), trials, 1, reward) for seed in range(10)]
    return sum(max(reward(e.candidate) for e in events) for events in searches) / len(searches)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_asking_changes_nothing(space: Space, sampler: str) -> None:
    trials = TRIALS[sampler]
    controller = OptunaSearch(space, 3, trials, sampler)
    *_, last = searched(controller, trials, 4, small_reward)
    assert isinstance(last, Asked)
    others = [controller.ask(trials + 1, []), controller.ask(trials + 2, [last.candidate])]
    assert controller.ask(last.trial, last.pending) == last.candidate
    assert [controller.ask(trials + 1, []), controller.ask(trials + 2, [last.candidate])] == others


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_trials_asked_at_the_same_moment_and_seeds_differ(sampler: str) -> None:
    asked = [OptunaSearch(SPACES["chain"], seed, 10, sampler).ask(trial, []) for seed in (0, 1) for trial in range(4)]
    assert len({candidate.answers for candidate in asked}) == 8


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_a_search_resumed_without_asking_goes_on_as_one_undisturbed(space: Space, sampler: str) -> None:
    trials = TRIALS[sampler]
    events = searched(OptunaSearch(space, 5, trials, sampler), trials, 3, small_reward)
    told = [event for event in events if isinstance(event, Told)]
    assert any(event.reward is None for event in told)
    assert [event.trial for event in told] != sorted(event.trial for event in told)
    resumed = told_to(OptunaSearch(space, 5, trials, sampler), told[: len(told) * 3 // 4])
    for event in events[events.index(told[len(told) * 3 // 4 - 1]) + 1 :]:
        if isinstance(event, Told):
            resumed.tell(*event)
        else:
            assert resumed.ask(event.trial, event.pending) == event.candidate


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "brute-force"])
def test_repeats_are_told_and_survive_a_resumption(sampler: str) -> None:
    events = searched(OptunaSearch(Few(), 1, 40, sampler), 40, 2, small_reward)
    told = [event for event in events if isinstance(event, Told)]
    assert len({event.candidate.key for event in told}) < len(told)
    last = events[-1]
    assert isinstance(last, Asked)
    assert told_to(OptunaSearch(Few(), 1, 40, sampler), told).ask(last.trial, last.pending) == last.candidate


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_study_given_the_same_samplers_asks_the_same(sampler: str) -> None:
    space, trials = SPACES["linked"], TRIALS[sampler]
    rewards = [None if trial % 7 == 3 else math.sin(trial) for trial in range(trials)]
    controller = OptunaSearch(space, 0, trials, sampler)
    study = optuna.create_study(direction="maximize")
    for number, reward in enumerate(rewards):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.sampler = SAMPLERS[sampler](random.Random(f"0 {number}").getrandbits(32))
        trial = study.ask()
        by_study = space.walk(suggested_by(trial), number)
        assert controller.ask(number, []) == by_study
        controller.tell(number, by_study, reward)
        study.tell(trial, reward, TrialState.FAIL if reward is None else TrialState.COMPLETE)


def suggested_by(trial: Trial) -> Callable[[Question], int]:
    """How one would write the questions of `Linked` with Optuna alone."""

    def answer(question: Question) -> int:
        name, legal = f"{question.choice.name} {question.occurrence}", question.legal
        if question.choice.name in {"depth", "width"} or (question.choice.name == "kernel" and legal == (0, 1, 2)):
            return trial.suggest_int(name, legal[0], legal[-1])
        return trial.suggest_categorical(f"{name} of {','.join(map(str, legal))}", legal)

    return answer


def test_tpe_finds_better_networks_than_random_answers() -> None:
    assert best(SPACES["chain"], "tpe", 60, wide_at_32) > best(SPACES["chain"], "random", 60, wide_at_32) + 0.1


def test_cmaes_learns_although_it_is_only_told() -> None:
    def narrow(candidate: Candidate) -> float:  # far from the middle, where its first generation lies
        return -float(sum(candidate.answers))

    assert best(Ordered(), "cmaes", 100, narrow) > best(Ordered(), "random", 100, narrow) + 3


def test_a_failed_child_is_a_failed_trial() -> None:
    controller = OptunaSearch(SPACES["linked"], 0, 10)
    controller.tell(0, controller.ask(0, []), None)
    controller.tell(1, controller.ask(1, []), 0.5)
    assert [(trial.state, trial.value) for trial in controller.told] == [
        (TrialState.FAIL, None),
        (TrialState.COMPLETE, 0.5),
    ]


def test_the_sampler_sees_pending_trials_as_running() -> None:
    controller = OptunaSearch(Few(), 0, 10, "random")
    one, other = Few().replay((0, 1, 2)), Few().replay((1, 0, 1))
    controller.tell(0, one, 0.5)
    shown = controller._asking([one, other], 3).study.trials
    assert [trial.state for trial in shown] == [TrialState.COMPLETE, *[TrialState.RUNNING] * 3]
    assert [trial.params for trial in shown[1:]] == [
        {"depth 0": 0, "kind 0 of 0,1": 1, "width 0": 2},
        {"depth 0": 1, "width 0": 0, "width 1": 1},
        {},  # the one that is asked for
    ]


def test_tpe_keeps_away_from_what_is_pending() -> None:
    controller = OptunaSearch(Ordered(), 0, 100)
    searched(controller, 40, 1, lambda candidate: -float(sum(candidate.answers)))
    favourite = controller.ask(40, [])
    assert controller.ask(40, [favourite] * 10) != favourite


@pytest.mark.parametrize("window", [1, 4])
def test_brute_force_asks_for_each_candidate_once(window: int) -> None:
    every = [candidate.answers for candidate in Few().candidates()]
    events = searched(OptunaSearch(Few(), 2, 100, "brute-force"), len(every), window, small_reward)
    asked = [event.candidate.answers for event in events if isinstance(event, Asked)]
    assert sorted(asked) == sorted(every)
    assert asked != every  # in an order of its seed


def test_brute_force_goes_on_when_all_is_tried() -> None:
    controller = OptunaSearch(Few(), 2, 100, "brute-force")
    for trial, candidate in enumerate(Few().candidates()):
        controller.tell(trial, candidate, 0.5)
    assert controller.ask(99, []).answers


def test_brute_force_is_refused_under_a_limit_that_changes() -> None:
    OptunaSearch(Few().on(IMAGES, {"depth": Limit(1)}), 0, 10, "brute-force")
    with pytest.raises(UserError, match="found a limit on depth that changes with the trials, expected the same"):
        OptunaSearch(Few().on(IMAGES, {"depth": Limit(1, 1, 10)}), 0, 10, "brute-force")


@pytest.mark.parametrize("sampler", ["random", "tpe", "cmaes", "gp"])
def test_the_others_work_under_a_limit_that_changes(sampler: str) -> None:
    space = Chain().on(IMAGES, {"depth": Limit(2, 1, 4), "width": Limit(16, 16, 4)})
    events = searched(OptunaSearch(space, 0, 30, sampler), 16 if sampler == "gp" else 40, 2, small_reward)
    depths = [len(event.candidate.network.blocks) for event in events if isinstance(event.candidate.network, Network)]
    assert max(depths[:4]) == 2
    assert max(depths) > 4


def test_an_unknown_sampler_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError) as error:
        OptunaSearch(Few(), 0, 10, "nsga2")
    assert str(error.value) == (
        "sampler: found 'nsga2', expected one of random, tpe, cmaes, gp, brute-force; "
        "use sampler=tpe where nothing speaks for another"
    )


def test_what_is_ordered_without_gap_is_an_integer_under_one_name_and_all_else_categorical() -> None:
    controller = OptunaSearch(Linked(), 0, 10)
    #                       depth 2; conv, 32, 3;  linked; separable, 64, 5
    controller.tell(0, Linked().replay((1, 0, 1, 1, 1, 1, 2, 2)), 0.5)
    controller.tell(1, Linked().replay((1, 0, 0, 1, 0, 0, 1, 0)), 0.5)
    assert [trial.distributions for trial in controller.told] == [
        {
            "depth 0": IntDistribution(0, 2),
            "kind 0 of 0,1": CategoricalDistribution((0, 1)),
            "width 0": IntDistribution(0, 2),
            "kernel 0": IntDistribution(0, 2),
            "link 0 of 0,1": CategoricalDistribution((0, 1)),
            "kind 1 of 0,1": CategoricalDistribution((0, 1)),
            "width 1": IntDistribution(1, 2),  # not below the 32 before
            "kernel 1 of 0,2": CategoricalDistribution((0, 2)),
        },
        {
            "depth 0": IntDistribution(0, 2),
            "kind 0 of 0,1": CategoricalDistribution((0, 1)),
            "width 0": IntDistribution(0, 2),
            "kernel 0": IntDistribution(0, 2),
            "link 0 of 0,1": CategoricalDistribution((0, 1)),
            "kind 1 of 0,1": CategoricalDistribution((0, 1)),
            "width 1": IntDistribution(0, 2),
            "kernel 1": IntDistribution(0, 2),
        },
    ]
    assert controller.told[0].params["kernel 1 of 0,2"] == 2  # the answer itself


@settings(max_examples=25, deadline=None)
@given(st.lists(st.none() | st.floats(allow_nan=False), min_size=12, max_size=16))
def test_tpe_takes_any_reward(rewards: list[float | None]) -> None:
    controller = OptunaSearch(Few(), 0, 20)
    for trial, reward in enumerate(rewards):
        controller.tell(trial, controller.ask(trial, []), reward)
    assert controller.ask(20, []).answers


def test_optuna_is_silent_and_is_left_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.DEBUG)
    filters = list(warnings.filters)
    for sampler in SAMPLERS:
        searched(OptunaSearch(SPACES["linked"], 0, 10, sampler), 30 if sampler == "cmaes" else 12, 1, small_reward)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == optuna.logging.DEBUG
    assert warnings.filters == filters
    optuna.logging.set_verbosity(before)


def test_random_and_tpe_do_without_torch() -> None:
    program = """
import sys
from controllers.optuna_search import OptunaSearch
from search_spaces.chain import Chain
for sampler in ("random", "tpe"):
    controller = OptunaSearch(Chain(), 0, 12, sampler)
    for trial in range(12):
        controller.tell(trial, controller.ask(trial, []), 0.5)
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
