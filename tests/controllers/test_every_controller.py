"""What every controller owes every space: legal answers, asks that change nothing, and a memory of tells alone."""

import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from nas import names
from nas.blocks import Block
from nas.network import Images, Network
from nas.reward import Bounds
from nas.search import Controller
from nas.space import Candidate, Choice, Limit, Pick, Space

IMAGES = Images(8, 1, 10)
TRIALS = 20
OPTUNA_TRIALS = 15  # it takes milliseconds a question
WINDOW = 4


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """For sums, as in a search: more are slower on matrices this small, and many times so on a busy machine."""
    with threadpool_limits(1, "blas"):
        yield


class Conditional(Space):
    """One to three layers, linked; a convolution has a width, never less than the last one's."""

    depth = Choice(1, 2, 3)
    kind = Choice("conv", "identity")
    width = Choice(8, 16, 24)

    def build(self, pick: Pick) -> Network:
        width, blocks = 0, []
        for layer in range(pick(self.depth)):
            pick.anchor()
            links = pick.links(range(layer), state=layer)
            kind = pick(self.kind, state=layer)
            if kind == "conv":
                width = pick(self.width, among=[w for w in self.width.options if w >= width], state=(layer, width))
            inputs = tuple(number + 1 for number, linked in enumerate(links) if linked)
            blocks.append(Block(kind, width, inputs=inputs))
        return Network(8, tuple(blocks))


class Fixed(Space):
    """Nothing to decide."""

    def build(self, pick: Pick) -> Network:
        return Network(8, ())


def limited(space: Space) -> Space:
    """The space under a depth that grows by one each five trials, where it has one."""
    depth = space.choices.get("depth")
    return space.on(IMAGES, {"depth": Limit(depth.options[0], 1, 5)} if depth else {})


SPACES: dict[str, Space] = {name: names.space(name).on(IMAGES) for name in names.spaces()}
SPACES |= {f"{name}, limited": limited(space) for name, space in SPACES.items() if "depth" in space.choices}
SPACES |= {"conditional": Conditional().on(IMAGES), "fixed": Fixed().on(IMAGES)}
CONTROLLERS = names.controllers()

every_controller = pytest.mark.parametrize("name", CONTROLLERS)
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


class Asked(NamedTuple):
    """That this was asked, while those were pending."""

    trial: int
    pending: tuple[Candidate, ...]
    candidate: Candidate


class Told(NamedTuple):
    """That this was told."""

    trial: int
    candidate: Candidate
    reward: float | None


def made(name: str, space: Space, seed: int = 0) -> Controller:
    controller: Controller = CONTROLLERS[name](space, seed, TRIALS)
    return controller


def reward_of(candidate: Candidate) -> float | None:
    """Anything from 0 to 1, the same for the same network; each fifth network fails."""
    number = zlib.crc32(candidate.key.encode())
    return None if number % 5 == 0 else number % 1000 / 1000


def history(controller: Controller, trials: int, times: int = 1) -> list[Asked | Told]:
    """A search with a window, told in an order of its own; each trial is asked so many times, and so is another."""
    events: list[Asked | Told] = []
    pending: dict[int, Candidate] = {}
    rng = random.Random(0)
    for trial in range(trials):
        waiting = tuple(pending.values())
        candidates = [controller.ask(trial, waiting) for _ in range(times)]
        assert all(candidate == candidates[0] for candidate in candidates)
        if times > 1:
            controller.ask(trial + 1, ())
        events.append(Asked(trial, waiting, candidates[0]))
        pending[trial] = candidates[0]
        while len(pending) >= WINDOW:
            told = rng.choice(list(pending))
            candidate = pending.pop(told)
            events.append(Told(told, candidate, reward_of(candidate)))
            controller.tell(*events[-1])
    return events


@cache
def searched(name: str, space: Space) -> list[Asked | Told]:
    """One search of each pair, for the two tests that look at it."""
    return history(made(name, space), OPTUNA_TRIALS if name == "optuna" else TRIALS)


@every_controller
def test_hardly_any_network_beyond_bounds_is_asked_for(name: str) -> None:
    """Of a bound that three of four random networks are above; a controller that does not look asks for over half."""
    trials, space = 15 if name == "optuna" else 40, SPACES["chain"]
    random_networks = [space.sample(random.Random(seed)) for seed in range(200)]
    costs = sorted(space.priced(candidate.network)[0].madds or 0 for candidate in random_networks)
    bounded = space.on(space.images, bounds=Bounds(max_madds=costs[50]))
    asked = [event.candidate for event in history(made(name, bounded), trials) if isinstance(event, Asked)]
    assert sum(not bounded.is_within(candidate) for candidate in asked) <= trials / 10


@every_space
@every_controller
def test_a_controller_is_a_function_of_its_seed_and_its_tells(name: str, space: Space) -> None:
    events = searched(name, space)
    trials = sum(isinstance(event, Asked) for event in events)
    assert history(made(name, space), trials, times=2) == events  # asking changed nothing
    resumed = made(name, space)
    for event in events:
        if isinstance(event, Told):
            resumed.tell(*event)
        elif event.trial % 5 == 4:  # one that was told, but not asked for what came before
            assert resumed.ask(event.trial, event.pending) == event.candidate


@every_space
@every_controller
def test_answers_are_legal_and_within_the_limits(name: str, space: Space) -> None:
    for trial, _, candidate in (event for event in searched(name, space) if isinstance(event, Asked)):
        assert space.replay(candidate.answers, trial) == candidate
        assert all(answer in q.legal for q, answer in zip(candidate.questions, candidate.answers, strict=True))
        for question, answer in zip(candidate.questions, candidate.answers, strict=True):
            if question.choice.name in space.limits:
                assert question.choice.options[answer] <= space.limits[question.choice.name].at(trial)


@every_controller
def test_another_seed_is_another_search(name: str) -> None:
    space = SPACES["chain"]
    first, second = (history(made(name, space, seed), 5) for seed in (0, 1))
    assert first != second


@every_controller
def test_repeats_and_failures_alone_are_borne(name: str) -> None:
    space = SPACES["conditional"]
    controller = made(name, space)
    first = controller.ask(0, ())
    for trial in range(OPTUNA_TRIALS):
        controller.tell(trial, first, None)
    for trial in range(OPTUNA_TRIALS, 2 * OPTUNA_TRIALS):
        controller.tell(trial, first, 0.5)
    assert space.replay(controller.ask(30, [first, first]).answers, 30)


@pytest.mark.parametrize("name", [name for name in CONTROLLERS if name != "optuna"])  # it has a test of its own
@settings(deadline=None, max_examples=25)
@given(rewards=st.lists(st.none() | st.floats(-1e6, 1e6), max_size=40), seed=st.integers(0, 2**32))
def test_whatever_is_told_the_next_answers_are_legal(name: str, rewards: Sequence[float | None], seed: int) -> None:
    space = SPACES["conditional"]
    controller = made(name, space, seed)
    for trial, reward in enumerate(rewards):
        controller.tell(trial, controller.ask(trial, ()), reward)
    candidate = controller.ask(len(rewards), ())
    assert space.replay(candidate.answers, len(rewards)) == candidate


class Planted(Space):
    """Six questions of four options: 4,096 networks, of which one is the best."""

    width = tuple(Choice(8, 16, 24, 32, name=f"width {place}") for place in range(6))

    def build(self, pick: Pick) -> Network:
        return Network(8, tuple(Block("identity", pick(width)) for width in self.width))


def worth(candidate: Candidate) -> float:
    """0 to 1, on average 1/2: the more, the nearer each answer is to 2, 1, 2, 1, ..."""
    return 1 - sum(abs(answer - (2 - place % 2)) for place, answer in enumerate(candidate.answers)) / 12


def late_mean(make: Callable[[], Controller], trials: int) -> float:
    """The mean reward of a search's last quarter, each trial told before the next."""
    controller, rewards = make(), []
    for trial in range(trials):
        candidate = controller.ask(trial, ())
        rewards.append(worth(candidate))
        controller.tell(trial, candidate, rewards[-1])
    return sum(rewards[-trials // 4 :]) / (trials // 4)


@pytest.mark.parametrize("name", [name for name in CONTROLLERS if name != "random"])
def test_it_beats_random_sampling_on_a_planted_reward_in_every_seed(name: str) -> None:
    space, trials, seeds = Planted().on(IMAGES), 60 if name == "optuna" else 200, range(3)
    for seed in seeds:
        learnt = late_mean(lambda seed=seed: CONTROLLERS[name](space, seed, trials), trials)  # type: ignore[misc]
        by_chance = late_mean(lambda seed=seed: CONTROLLERS["random"](space, seed, trials), trials)  # type: ignore[misc]
        assert learnt > by_chance + 0.1, (seed, learnt, by_chance)


def near_16(candidate: Candidate) -> float:
    """0 to 1, of `Conditional`: a third for each convolution that is 16 wide, a sixth for one of another width."""
    assert isinstance(candidate.network, Network)
    return sum(1 - abs(block.width - 16) / 16 for block in candidate.network.blocks if block.kind == "conv") / 3


def late_mean_as_in_a_search(name: str, trials: int, seed: int) -> float:
    """The mean worth of what is asked in the last quarter, eight trials under way and told in any order.

    What is told is noisy, and a fifth of the networks fail; a network always has the same result.
    """
    controller = CONTROLLERS[name](SPACES["conditional"], seed, trials)
    pending: dict[int, Candidate] = {}
    rng, asked = random.Random(seed), []
    for trial in range(trials):
        pending[trial] = controller.ask(trial, list(pending.values()))
        asked.append(near_16(pending[trial]))
        if len(pending) == 8:
            told = rng.choice(list(pending))
            candidate = pending.pop(told)
            luck = random.Random(f"{seed} {candidate.key}")
            failed, noise = luck.random() < 0.2, luck.gauss(0, 0.1)
            controller.tell(told, candidate, None if failed else near_16(candidate) + noise)
    return sum(asked[-trials // 4 :]) / (trials // 4)


@pytest.mark.parametrize("name", [name for name in CONTROLLERS if name != "random"])
def test_it_learns_where_questions_depend_on_answers_and_results_are_late_noisy_and_missing(name: str) -> None:
    trials, seeds = (60, range(3)) if name == "optuna" else (120, range(4))
    learnt, by_chance = (
        sum(late_mean_as_in_a_search(one, trials, seed) for seed in seeds) / len(seeds) for one in (name, "random")
    )
    assert learnt > by_chance + 0.1
