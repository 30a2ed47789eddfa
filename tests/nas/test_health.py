"""Health, by hand where a few trials show it, and a verdict on searches as they go well and badly."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from nas.health import (
    advantage,
    collapse,
    failing,
    figures,
    health,
    in_order,
    mend,
    repeats,
    spread,
    standstill,
    verdict,
)
from nas.ledger import Trial
from nas.network import Network
from nas.reward import Bounds, Result
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
    trials = [*searched(different(49)), trial(49, "x", None), trial(50, "y", 0.75), trial(51, "y", 0.75, again=True)]
    gained = advantage(trials, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(gained[:50], NAN)
    assert gained[50:].tolist() == [0.75 - (1 - 0.5**50)] * 2  # a repeat is no further network


def test_health_is_that_of_the_last_trial_whatever_finished_last() -> None:
    trials = [trial(1, "a", again=True, figures={"entropy": 0.25}), trial(0, "a", figures={"entropy": 1.0})]
    assert [one.trial for one in in_order(trials)] == [0, 1]
    assert str(health(trials)) == "entropy 0.25, repeats 50 %"


def test_health_says_spread_and_advantage_where_they_are_known() -> None:
    trials = searched(different(50), lambda number: float(number % 2))
    assert str(health(trials, np.array([0.0, 0.5]))) == (
        "repeats 0 %, spread 0.505, advantage over random sampling +0.500"  # √(50 / 4 / 49); 1 - 0.5
    )


def test_the_advantage_at_the_end_is_the_end_of_its_curve() -> None:
    rng = random.Random(0)
    trials = searched(different(80), lambda number: rng.random())
    drawn = np.array([rng.random() for _ in range(50)])
    assert health(trials, drawn).advantage == advantage(trials, drawn)[-1]
    assert np.isnan(health(trials[:49], drawn).advantage)


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


def settled(figure: str, low: float, trials: int = 200, since: int = 60) -> list[Trial]:
    """Rewards that rise and networks that are all different, of a controller that says 1 and from some trial on low."""
    return [
        trial(number, str(number), number / trials, figures={figure: low if number >= since else 1.0})
        for number in range(trials)
    ]


def test_a_controller_whose_entropy_is_gone_has_collapsed_though_it_repeats_nothing() -> None:
    found = verdict(settled("entropy", 0.02), 200)
    assert found is not None
    assert found.short == "collapsed to a few networks"
    assert found.sentence == (
        "the controller has collapsed to a few networks since about trial 60: entropy 0.02 in the mean of the last 100 "
        "trials, where 1 is random; try a lower rate, more exploration, another controller or a larger space"
    )


@pytest.mark.parametrize(("figure", "low"), [("entropy", 0.2), ("uncertainty", 0.0), ("epsilon", 0.0), ("mine", 0.0)])
def test_a_figure_that_is_not_near_0_or_says_nothing_of_networks_is_no_collapse(figure: str, low: float) -> None:
    assert collapse(settled(figure, low), 200) is None


def test_an_entropy_that_goes_in_the_last_quarter_or_comes_back_is_no_collapse() -> None:
    assert collapse(settled("entropy", 0.0, 1_000, since=800), 1_000) is None
    assert collapse(settled("entropy", 0.0, 1_000, since=700), 1_000) is not None
    back = [*settled("entropy", 0.0), *(trial(n, str(n), 1.0, figures={"entropy": 0.5}) for n in range(200, 240))]
    assert collapse(back, 1_000) is None  # a mean of 0.2 in the last hundred


# --- failing ---


def failures(count: int, of: int, error: str = "out of memory: needed 9 GiB") -> list[Trial]:
    """The last ones of so many."""
    return [
        trial(number, str(number), None, error=f"{error}, {number}")
        if number >= of - count
        else trial(number, str(number), number)
        for number in range(of)
    ]


def test_a_search_in_which_nearly_all_fails_is_told_by_what() -> None:
    other = trial(200, "other", None, error="diverged: the validation loss is nan")
    found = verdict([*failures(85, 200), other], 1_000)
    assert found is not None
    assert found.short == "failing"
    assert found.sentence == (
        "the search is failing: 86 of the last 100 networks have no reward, 85 of them by an error as in "
        '"out of memory: needed 9 GiB, 199"; mend what fails, or leave it out of the space'
    )


def test_failing_is_told_from_eight_of_ten_networks_on() -> None:
    assert [failing(failures(count, of)) is not None for count, of in ((9, 9), (10, 10), (8, 10), (7, 10))] == [
        False, True, True, False,
    ]  # fmt: skip


def test_repeats_of_a_failure_are_no_further_failures() -> None:
    again = [trial(number, "0", None, again=True, error="diverged: at once") for number in range(10, 60)]
    assert failing([*failures(7, 10), *again]) is None


SLOW = f"refused: {Bounds(max_latency_ms=0.4).refusal(Result(latency_ms=(1.2559, 1.0, 2.0)))}"


def test_a_search_whose_networks_are_nearly_all_above_a_bound_fails_not_and_is_told_the_bound() -> None:
    found = verdict(
        [trial(n, str(n), 0.5) if n % 5 == 0 else trial(n, str(n), None, error=SLOW) for n in range(20)], 200
    )
    assert found is not None
    assert found.short == "refusing nearly all networks"
    assert found.sentence == (
        'of the last 20 networks 16 were refused and not trained, for they cost too much, as in "refused: found 1.2559 '
        'ms an image, expected at most 0.4, as --max-latency-ms says"; raise --max-latency-ms, or offer smaller '
        "networks"
    )
    assert mend([trial(0, "a", None, error=SLOW)]).endswith("raise --max-latency-ms, or offer smaller networks")


def test_failures_among_many_refusals_are_failures_of_what_was_trained() -> None:
    refused = [trial(number, str(number), None, error=SLOW) for number in range(100, 190)]
    found = verdict([*failures(10, 10), *refused], 1_000)
    assert found is not None
    assert "failing: 10 of the last 10 networks have no reward, 10 of them by" in found.sentence


def test_networks_that_cannot_be_built_are_failures_and_no_bound_is_to_be_raised() -> None:
    found = failing(failures(10, 10, "refused: block 1 (conv): found Conv(width=0)"))
    assert found is not None
    assert (found.short, found.sentence.rpartition("; ")[2]) == (
        "failing", "mend what fails, or leave it out of the space",
    )  # fmt: skip


# --- learning nothing ---


def noisy(rise: float, trials: int = 200, seed: int = 0) -> list[Trial]:
    """Rewards with a standard deviation of 0.1 that rise so much from the first trial to the last."""
    rng = random.Random(seed)
    return searched(different(trials), lambda number: rng.gauss(0.5 + rise * number / trials, 0.1))


def told(reward: Callable[[int, random.Random], float], trials: int = 200) -> float:
    """Of how many of a hundred searches with these rewards it is said that they learn nothing."""
    found = []
    for seed in range(100):
        rng = random.Random(seed)
        found.append(standstill([trial(number, str(number), reward(number, rng)) for number in range(trials)]))
    return sum(one is not None for one in found) / len(found)


def test_rewards_that_rise_are_learning() -> None:
    assert all(verdict(noisy(0.2, seed=seed), 200) is None for seed in range(20))


def test_rewards_that_stay_as_they_were_are_learning_nothing() -> None:
    assert told(lambda number, rng: rng.gauss(0.5, 0.1)) > 0.85  # 0.9 is expected


def test_what_is_learnt_at_once_or_early_in_a_long_search_is_learnt() -> None:
    assert told(lambda number, rng: rng.gauss(0.3 if number < 10 else 0.6, 0.25)) < 0.05
    assert told(lambda number, rng: rng.gauss(0.5 + 0.3 * min(1, number / 40), 0.1), trials=1_000) == 0


def test_a_few_very_bad_networks_do_not_hide_what_is_learnt() -> None:
    def reward(number: int, rng: random.Random) -> float:
        return 0.1 if rng.random() < 0.1 else rng.gauss(0.7 + 0.1 * min(1, number / 100), 0.03)

    assert told(reward) < 0.05


def test_the_sentence_has_the_medians_and_the_test() -> None:
    found = standstill(searched(different(100), lambda number: 0.5))
    assert found is not None
    assert (
        "the rewards of the last 25 trials, 0.5000 in the middle, are not clearly above the first 10, 0.5000 "
        "(test of ranks, p = 1.00);"
    ) in found.sentence


def test_a_best_that_random_networks_would_hardly_have_was_learnt() -> None:
    flat = searched(different(200), lambda number: 0.5)
    above, below = np.full(10_000, 0.25), np.full(10_000, 0.25)
    above[:5], below[:6] = 0.75, 0.75  # of 200, none is of these with the chance 0.9995^200 = 0.905, or 0.887
    assert standstill(flat, above) is None
    assert standstill(flat, below) is not None
    assert verdict(flat, 200, drawn=above) is None


def test_nothing_is_said_of_learning_before_a_hundred_trials() -> None:
    assert standstill(noisy(0.0, trials=99)) is None
    assert standstill(noisy(-0.5, trials=100)) is not None


def test_a_controller_that_still_explores_need_not_have_learnt() -> None:
    assert standstill(searched(different(200), figures={"epsilon": 0.6})) is None
    assert standstill(searched(different(200), figures={"epsilon": 0.4})) is not None


@pytest.mark.parametrize("rewards", [0, 9])
def test_too_few_rewards_say_nothing(rewards: int) -> None:
    trials = [
        trial(number, str(number), 0.5 if number < 100 or number >= 200 - rewards else None) for number in range(200)
    ]
    assert standstill(trials) is None


def test_no_trials_are_no_verdict() -> None:
    assert verdict([], 200) is None


def test_a_collapse_goes_before_learning_nothing() -> None:
    found = verdict(searched(COLLAPSED), 200)
    assert found is not None
    assert found.short == "collapsed to a few networks"
