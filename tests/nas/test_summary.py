"""What a search found, by hand or against what can be enumerated."""

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from controllers.evolution import Evolution
from nas.blocks import Block
from nas.ledger import Trial
from nas.network import Images, Network
from nas.reward import Bounds, Result
from nas.space import Candidate, Choice, Pick, Space
from nas.summary import (
    _nearest,
    best,
    described,
    expected_largest,
    front,
    interval,
    kinds,
    random_rewards,
    random_said,
    saved,
    smallest,
    smallest_said,
    standard_error,
)
from search_spaces.chain import Chain


class Five(Space):
    """Five widths of four each: 1,024 networks."""

    width = tuple(Choice(0, 1, 2, 3, name=f"width {place}") for place in range(5))

    def build(self, pick: Pick) -> Network:
        return Network(8, tuple(Block("identity", pick(width)) for width in self.width))


def trial(number: int, reward: float | None, same_as: int | None = None) -> Trial:
    return Trial(number, (), str(number), "", reward, None if same_as is not None else Result(), same_as=same_as)


def planted(candidate: Candidate) -> float:
    """0 to 1; of each answer the square, so that good networks are rare."""
    return sum(answer**2 for answer in candidate.answers) / 45


def as_trials(candidates: Sequence[Candidate]) -> list[Trial]:
    return [
        Trial(number, candidate.answers, candidate.key, "", planted(candidate), Result())
        for number, candidate in enumerate(candidates)
    ]


def of_random(trials: int) -> float:
    """The truth: of all networks the expected best of so many drawn at random."""
    return expected_largest(np.array([planted(candidate) for candidate in Five().candidates()]), trials)


def test_the_best_are_those_of_highest_reward_the_earlier_first() -> None:
    trials = [trial(0, 0.5), trial(3, 0.7), trial(2, None), trial(1, 0.7)]
    assert [t.trial for t in best(trials)] == [1, 3, 0]
    assert [t.trial for t in best(trials, 1)] == [1]


def test_a_network_is_among_the_best_once() -> None:
    assert [t.trial for t in best([trial(0, 0.5), trial(1, 0.5, same_as=0)])] == [0]


def test_a_stopped_child_is_never_among_the_best() -> None:
    stopped = replace(trial(0, 0.5), result=Result((0.3,), bar=(0.4,)))
    assert [t.trial for t in best([stopped, trial(1, 0.5), trial(2, 0.2)])] == [1, 2]
    assert best([stopped]) == []


def test_each_trial_is_of_one_kind() -> None:
    trials = [
        trial(0, 0.5), replace(trial(1, 0.5), result=Result((0.1,), bar=(0.2,))), trial(2, 0.5, same_as=0),
        replace(trial(3, None), error="diverged"), replace(trial(4, None), error="refused: too much"),
        replace(trial(5, None, same_as=3), error="diverged"), replace(trial(6, None, same_as=4), error="refused: it"),
    ]  # fmt: skip
    found = {kind: [one.trial for one in of] for kind, of in kinds(trials).items()}
    assert found == {"trained": [0], "stopped": [1], "repeat": [2, 5, 6], "failed": [3], "refused": [4]}


def test_the_epochs_saved_are_those_that_stopped_children_did_not_have() -> None:
    whole = replace(trial(0, 0.5), result=Result((0.1, 0.2, 0.3, 0.4)))
    stopped = replace(trial(1, 0.5), result=Result((0.1,), bar=(0.2,)))
    assert saved([whole, stopped, trial(2, 0.5, same_as=1), trial(3, None)], 4) == 3 / 8
    assert saved([trial(3, None)], 4) == 0


def test_there_may_be_no_best() -> None:
    assert best([trial(0, None)]) == []


def test_a_negative_reward_may_be_the_best() -> None:
    assert [t.trial for t in best([trial(0, -2.0), trial(1, -1.0), trial(2, 0.0)])] == [2, 1, 0]


@pytest.mark.parametrize(
    ("accuracy", "images", "low", "high"),
    [
        (0.5, 100, 0.4038, 0.5962),  # 0.5 ± 1.96 / 1.038416 · √(0.0025 + 0.00009604)
        (0.9, 1000, 0.8798, 0.9171),  # (0.9 + 0.0019208 ± 1.96 · √(0.00009 + 0.0000009604)) / 1.0038416
        (1.0, 100, 0.9630, 1.0),  # 100 / 103.8416
        (0.0, 10, 0.0, 0.2775),  # 3.8416 / 13.8416
    ],
)
def test_the_interval_is_wilsons(accuracy: float, images: int, low: float, high: float) -> None:
    assert interval(accuracy, images) == pytest.approx((low, high), abs=5e-5)


def test_the_expected_largest_of_two_coins() -> None:
    assert expected_largest(np.array([0.0, 1.0]), 2) == 0.75  # 0 only if both are
    assert expected_largest(np.array([1.0, 0.0]), 2) == 0.75


def test_the_expected_largest_of_one_draw_is_the_mean() -> None:
    assert expected_largest(np.array([3.0, 0.0, 6.0]), 1) == pytest.approx(3)


def test_the_expected_largest_of_three_dice_throws() -> None:
    pips = np.arange(1.0, 7.0)
    throws = [max(a, b, c) for a in range(1, 7) for b in range(1, 7) for c in range(1, 7)]
    assert expected_largest(pips, 3) == pytest.approx(sum(throws) / 216)


def random_trials(trials: int, seed: int = 0) -> list[Trial]:
    return as_trials([Five().sample(random.Random(f"{seed} {number}")) for number in range(trials)])


def expected_of_random(space: Space, trials: list[Trial]) -> float | None:
    """The best reward that as many random networks would be expected to have, by what these trials say of them."""
    drawn = random_rewards(space, trials)
    return None if drawn is None else expected_largest(drawn, sum(trial.scored for trial in trials))


def test_random_rewards_are_those_of_networks_within_bounds() -> None:
    space = Chain().on(Images(8, 1, 10))
    drawn = [space.sample(random.Random(number)) for number in range(60)]
    madds = [space.priced(one.network)[0].madds or 0 for one in drawn]
    trials = [
        Trial(number, one.answers, one.key, "", cost / max(madds), Result())
        for number, (one, cost) in enumerate(zip(drawn, madds, strict=True))
    ]
    bounded = space.on(space.images, bounds=Bounds(max_madds=sorted(madds)[30]))
    every, within = random_rewards(space, trials), random_rewards(bounded, trials)
    assert every is not None
    assert within is not None
    assert 700 < len(within) < 1_300 < len(every) == 2_000  # the bound is about the median
    assert within.mean() < every.mean()
    assert random_rewards(space.on(space.images, bounds=Bounds(max_madds=min(madds) // 4)), trials) is None


def test_the_nearest_values_are_found_in_the_middle_and_at_both_ends() -> None:
    values = np.array([0.5, 0.1, 0.9, 0.3, 0.7])
    found = _nearest(values, np.array([0.0, 0.56, 1.0]), 2)
    assert found.tolist() == [[1, 3], [0, 4], [2, 4]]


def test_random_sampling_is_expected_to_find_what_it_finds_on_average() -> None:
    estimates = [expected_of_random(Five(), random_trials(60, seed)) for seed in range(8)]
    assert np.mean([e for e in estimates if e is not None]) == pytest.approx(of_random(60), abs=0.04)


def test_the_estimate_comes_from_a_search_that_was_no_random_one_too() -> None:
    space, candidates = Five(), list[Candidate]()
    controller = Evolution(space, 0, 100, population=20, sample=10)
    for number in range(100):
        candidates.append(controller.ask(number, []))
        controller.tell(number, candidates[-1], planted(candidates[-1]))
    trials = as_trials(candidates)
    found = max(t.reward or 0.0 for t in trials)
    estimate = expected_of_random(space, trials)
    assert estimate == pytest.approx(of_random(100), abs=0.05)
    assert estimate is not None
    assert estimate < found == 1.0


def test_the_same_trials_give_the_same_estimate() -> None:
    assert expected_of_random(Five(), random_trials(50)) == expected_of_random(Five(), random_trials(50))


def test_fewer_than_fifty_trained_networks_tell_nothing_of_random_sampling() -> None:
    trials = random_trials(50)
    assert expected_of_random(Five(), trials) is not None
    assert expected_of_random(Five(), trials[:49]) is None
    assert expected_of_random(Five(), [*trials[:49], trial(49, None), trial(50, 0.5, same_as=0)]) is None


@pytest.mark.parametrize("reward", [0.25, -2.0, 100.0])
def test_equal_rewards_give_an_estimate_that_is_that_reward(reward: float) -> None:
    trials = [replace(trial, reward=reward) for trial in random_trials(50)]
    assert expected_of_random(Five(), trials) == pytest.approx(reward)


def test_rewards_that_are_no_fractions_are_estimated_too() -> None:
    shifted = [replace(trial, reward=10 * (trial.reward or 0.0) - 20) for trial in random_trials(60)]
    assert expected_of_random(Five(), shifted) == pytest.approx(10 * of_random(60) - 20, abs=1)


def test_a_network_is_described_with_equal_blocks_counted() -> None:
    blocks = (Block("conv", 4), Block("conv", 4), Block("residual", 8, stride=2))
    assert described(Network(8, blocks).written) == ["8 x 8 pixels", "2 x conv width=4", "residual width=8 stride=2"]
    assert described(Network(8, (), join="add", head="flatten").written) == [
        "8 x 8 pixels",
        "inputs added",
        "all positions classified",
    ]
    assert described("something of one's own") == ["something of one's own"]


# --- costs ---


def costing(number: int, accuracy: float, params: int | None, reward: float | None = None) -> Trial:
    result = Result((0.1, accuracy), (1.0, 1.0), params=params, madds=100 * (params or 0))
    return Trial(number, (), str(number), "", accuracy if reward is None else reward, result)


def test_the_front_has_the_networks_that_no_other_beats_in_both() -> None:
    trials = [
        costing(0, 0.9, 50),
        costing(1, 0.5, 10),
        costing(2, 0.8, 50),  # as dear as 0, and worse
        costing(3, 0.5, 20),  # as good as 1, and dearer
        costing(4, 0.7, 30),
        costing(5, 0.6, 40),  # worse and dearer than 4
        costing(6, 0.9, 50),  # as 0, and later
    ]
    assert [one.trial for one in front(trials, "params")] == [1, 4, 0]
    assert [one.trial for one in front(trials, "madds")] == [1, 4, 0]


def test_the_front_leaves_out_what_has_no_such_cost_was_stopped_or_failed() -> None:
    stopped = replace(costing(1, 0.99, 1), result=Result((0.99,), params=1, bar=(1.0,)))
    trials = [costing(0, 0.9, 50), stopped, costing(2, 0.95, None), trial(3, None), trial(4, 0.9, same_as=0)]
    assert [one.trial for one in front(trials, "params")] == [0]
    assert front(trials, "latency") == []


def test_the_standard_error_is_that_of_a_share_with_two_images_more_either_way() -> None:
    assert standard_error(0.5, 96) == 0.05  # 50 of 100
    assert standard_error(1.0, 12) == pytest.approx((14 / 16 * 2 / 16 / 16) ** 0.5)


@pytest.mark.parametrize(
    ("accuracy", "found"),
    [(0.8688, 1), (0.8686, 3)],  # 0.9 - sqrt(92/104 · 12/104 / 104) = 0.8687
)
def test_the_smallest_network_within_one_standard_error_of_the_best(accuracy: float, found: int) -> None:
    smaller = costing(1, accuracy, 20)
    named = smallest([costing(0, 0.9, 50), smaller, costing(2, 0.5, 1), costing(3, 0.88, 40)], 100)
    assert named is not None
    assert named.trial == found


def test_of_equally_small_networks_the_more_accurate_is_named() -> None:
    named = smallest([costing(0, 0.9, 50), costing(1, 0.88, 20), costing(2, 0.89, 20)], 100)
    assert named is not None
    assert named.trial == 2


def test_the_best_is_that_of_the_highest_reward_whatever_its_accuracy() -> None:
    named = smallest([costing(0, 0.9, 50, reward=0.1), costing(1, 0.6, 20, reward=0.5), costing(2, 0.58, 10)], 100)
    assert named is not None
    assert named.trial == 2  # reward 0.58, so it is the best itself


def test_what_is_the_smallest_is_said_in_the_same_words_everywhere() -> None:
    first, smaller = costing(0, 0.9, 5000), costing(1, 0.88, 2000)
    error = f"{standard_error(0.9, 100):.4f}"
    assert smallest_said([first], 100) == f"within one standard error of the best, {error}, no network is smaller"
    assert smallest_said([first, smaller], 100) == (
        f"the smallest network within one standard error of the best, {error}, is trial 1: validation accuracy 0.8800, "
        "2,000 parameters"
    )
    assert smallest_said([costing(0, 0.9, None)], 100) == "no network's parameters are known"


def test_what_random_sampling_would_have_found_is_said_of_as_many_networks_as_were_scored() -> None:
    trials = [trial(0, 0.9), trial(1, None), trial(2, 0.5), trial(3, 0.9, same_as=0)]
    said = random_said(np.array([0.0, 1.0]), trials)  # of two draws the larger is 1 with probability 3/4
    assert said == (
        "random sampling would be expected to have found a reward of about 0.750 in as many trials, as estimated from "
        "these; this search found 0.9000"
    )


def test_nothing_is_the_smallest_of_nothing() -> None:
    assert smallest([trial(0, None)], 100) is None
    assert smallest([costing(0, 0.5, None)], 100) is None
