"""Health, by hand where a few trials show it, and a verdict on searches as they go well and badly."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nas.health import advantage, collapse, figures, health, in_order, repeats, spread, standstill, verdict
from nas.ledger import Trial
from nas.network import Network
from nas.reward import Result
from nas.space import Choice, Pick, Space

NAN = float("nan")


class Ten(Space):
    """Ten networks."""

    size = Choice(*range(8, 18))

    def build(self, pick: Pick) -> Network:
        return Network(pick(self.size), ())


def trial(number: int, key: str, reward: float | None = 0.5, again: bool = False, **fields: Any) -> Trial:
    return Trial(number, (), key, "", reward, None if again else Result(), same_as=0 if again else None, **fields)


def searched(keys: Sequence[str], reward: Callable[[int], float] = lambda number: 0.5, **fields: Any) -> list[Trial]:
    """A search that answered these networks, one after the other."""
    return [trial(number, key, reward(number), again=key in keys[:number], **fields) for number, key in enumerate(keys)]


def different(count: int) -> list[str]:
    return [f"network {number}" for number in range(count)]


# --- curves ---


def test_the_share_of_repeats_is_that_of_the_last_hundred_and_at_first_of_fewer() -> None:
    shares = repeats(searched(["a", "a", "b", "c", *["a"] * 100]))
    assert shares[:4].tolist() == [0, 1 / 2, 1 / 3, 1 / 4]
    assert shares[[99, 102, 103]].tolist() == [0.97, 0.99, 1]  # three were new; two have left; all have


def test_the_spread_is_the_standard_deviation_of_ten_rewards_or_more_failures_left_out() -> None:
    values = [0.0, None, *[0.0, 1.0] * 4, 1.0]
    spreads = spread([trial(number, str(number), value) for number, value in enumerate(values)])
    np.testing.assert_array_equal(spreads[:10], NAN)
    assert spreads[10] == pytest.approx((10 / 4 / 9) ** 0.5)  # five of each, each 0.5 from the mean


def test_the_spread_forgets_rewards_of_more_than_a_hundred_trials_ago() -> None:
    assert spread(searched(different(101), lambda number: 1.0 if number == 0 else 0.25))[[99, 100]].tolist() == [
        pytest.approx(0.075),  # 0.75 · √(0.01 · 0.99 · 100 / 99)
        0,
    ]


def test_figures_have_gaps_where_a_controller_said_nothing() -> None:
    curves = figures([trial(0, "a", figures={"entropy": 1.0}), trial(1, "b"), trial(2, "c", figures={"new": 0.25})])
    np.testing.assert_array_equal(curves["entropy"], [1, NAN, NAN])
    np.testing.assert_array_equal(curves["new"], [NAN, NAN, 0.25])


def test_the_advantage_is_the_best_less_the_expected_best_of_as_many_random_networks() -> None:
    trials = [*searched(different(19)), trial(19, "x", None), trial(20, "y", 0.75), trial(21, "y", 0.75, again=True)]
    gained = advantage(trials, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(gained[:20], NAN)
    assert gained[20:].tolist() == [0.75 - (1 - 0.5**20)] * 2  # a repeat is no further network


def test_health_is_that_of_the_last_trial_whatever_finished_last() -> None:
    trials = [trial(1, "a", again=True, figures={"entropy": 0.25}), trial(0, "a", figures={"entropy": 1.0})]
    assert [one.trial for one in in_order(trials)] == [0, 1]
    assert str(health(trials)) == "entropy 0.25, repeats 50 %"


def test_health_says_spread_and_advantage_where_they_are_known() -> None:
    trials = searched(different(20), lambda number: float(number % 2))
    assert str(health(trials, np.array([0.0, 0.5]))) == (
        "repeats 0 %, spread 0.513, advantage over random sampling +0.500"  # √(20 / 4 / 19); 1 - 0.5
    )


def test_the_advantage_at_the_end_is_the_end_of_its_curve() -> None:
    rng = random.Random(0)
    trials = searched(different(40), lambda number: rng.random())
    drawn = np.array([rng.random() for _ in range(50)])
    assert health(trials, drawn).advantage == advantage(trials, drawn)[-1]
    assert np.isnan(health(trials[:19], drawn).advantage)


# --- a collapse ---

COLLAPSED = [*different(50), *["a"] * 150]


def test_a_controller_that_answers_one_network_only_has_collapsed() -> None:
    found = collapse(searched(COLLAPSED, figures={"entropy": 0.004}), 200)
    assert found is not None
    assert found.short == "collapsed to a few networks"
    assert found.sentence == (
        "the controller has collapsed to 1 network since about trial 50: 100 % of the last 100 trials, entropy 0.00; "
        "try a lower rate, more exploration, another controller or a larger space"
    )


def test_a_collapse_to_several_networks_with_others_between_is_one() -> None:
    keys = [*different(40), *[key for number in range(20) for key in ("a", "b", "a", "b", "c", f"new {number}")]]
    found = collapse(searched(keys), len(keys))
    assert found is not None
    assert "collapsed to 3 networks since about trial 40: 83 % of the last 100 trials; try" in found.sentence


def test_a_collapse_is_told_of_from_sixty_trials_on() -> None:
    assert collapse(searched(["a"] * 59), 200) is None
    assert collapse(searched(["a"] * 60), 200) is not None


def test_repeats_of_many_networks_are_no_collapse() -> None:
    many = [f"network {number % 10}" for number in range(200)]  # five of them are half
    assert repeats(searched(many))[-1] == 1
    assert collapse(searched(many), 200) is None


def test_a_search_that_settles_in_its_last_quarter_has_not_collapsed() -> None:
    settled = searched([*different(800), *["a"] * 200])
    assert collapse(settled, 1_000) is None
    assert collapse(settled, 2_000) is not None  # with as many still to come it has


def test_a_space_that_is_nearly_all_known_leaves_nothing_but_repeats() -> None:
    five, four = different(5) * 40, different(4) * 50
    assert collapse(searched(five), 200) is not None
    assert collapse(searched(five), 200, Ten()) is None
    assert collapse(searched(four), 200, Ten()) is not None


# --- learning nothing ---


def noisy(rise: float, trials: int = 200, seed: int = 0) -> list[Trial]:
    """Rewards with a standard deviation of 0.1 that rise so much from the first trial to the last."""
    rng = random.Random(seed)
    return searched(different(trials), lambda number: rng.gauss(0.5 + rise * number / trials, 0.1))


def test_rewards_that_rise_are_learning() -> None:
    assert all(verdict(noisy(0.2, seed=seed), 200) is None for seed in range(20))  # 0.15 between quarters, noise 0.033


def test_rewards_that_stay_as_they_were_are_learning_nothing() -> None:
    found = [verdict(noisy(0.0, seed=seed), 200) for seed in range(20)]
    assert sum(one is None for one in found) <= 3  # one in twenty is expected
    assert {one.short for one in found if one} == {"learning nothing"}


def test_the_sentence_has_the_means_of_first_and_last_quarter_and_their_noise() -> None:
    found = standstill(searched(different(100), lambda number: 0.25 + number % 2 / 2))
    assert found is not None
    # both quarters: 13 of one value and 12 of the other, 0.5 apart; 1.64 · √(2 · 0.25 · 13 · 12 / (25 · 24) / 25)
    assert (
        "the mean reward of the last 25 trials, 0.5100, is not above the first 25's, 0.4900, by more than their noise, "
        "0.1183;"
    ) in found.sentence


def test_nothing_is_said_of_learning_before_a_hundred_trials() -> None:
    assert standstill(noisy(0.0, trials=99)) is None
    assert standstill(noisy(-0.5, trials=100)) is not None


def test_a_controller_that_still_explores_need_not_have_learnt() -> None:
    assert standstill(searched(different(200), figures={"epsilon": 0.6})) is None
    assert standstill(searched(different(200), figures={"epsilon": 0.4})) is not None


@pytest.mark.parametrize("reward", [None, 0.5])
def test_too_few_rewards_say_nothing(reward: float | None) -> None:
    trials = [trial(number, str(number), reward if number == 0 else None) for number in range(200)]
    assert verdict(trials, 200) is None


def test_no_trials_are_no_verdict() -> None:
    assert verdict([], 200) is None


def test_a_collapse_goes_before_learning_nothing() -> None:
    found = verdict(searched(COLLAPSED), 200)
    assert found is not None
    assert found.short == "collapsed to a few networks"
