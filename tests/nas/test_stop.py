"""When children stop: each rule by hand, and what is made of a child that was stopped."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest

from nas.errors import UserError
from nas.reward import Result
from nas.stop import Halving, Prediction, Rule, continued, is_below, likelihood


def whole(*accuracy: float) -> Result:
    """A child trained to its end; its likelihood is its accuracy."""
    return Result(accuracy, tuple(-math.log(one or 1e-9) for one in accuracy))


def stopped(*accuracy: float) -> Result:
    return replace(whole(*accuracy), bar=(1.0,) * len(accuracy))


def test_a_child_is_below_its_bar_by_its_highest_likelihood_so_far() -> None:
    bar, half = (0.0, 0.5), 0.69  # e^-0.69 is 0.502
    assert not is_below([3.0], bar)
    assert is_below([3.0, 0.7], bar)
    assert is_below([0.7, 3.0], bar)
    assert not is_below([3.0, half], bar)
    assert not is_below([half, 3.0], bar)
    assert not is_below([3.0, 0.7, 3.0], bar)  # the third epoch has no bar


def test_a_likelihood_is_the_geometric_mean_of_the_probabilities_that_true_classes_were_given() -> None:
    loss = -(math.log(0.9) + math.log(0.4)) / 2  # the mean cross entropy of two images
    assert likelihood([5.0, loss]) == pytest.approx((0.9 * 0.4) ** 0.5)


# --- halving ---

# Twelve children of five epochs: the first have 0.01, 0.02, ... 0.12 after each.
TWELVE = [whole(*[number / 100] * 5) for number in range(1, 13)]


def test_the_better_half_goes_on_after_epochs_1_2_and_4() -> None:
    assert Halving(factor=2, first=1).bar(TWELVE) == (0.065, 0.065, 0.0, 0.065)  # between the sixth and the seventh


@pytest.mark.parametrize("rule", [Halving(2, 1), Prediction(0.5, 1)])
def test_a_bar_takes_the_last_thousand_children_and_no_more(rule: Halving | Prediction) -> None:
    recent = (TWELVE * 84)[-1000:]
    assert rule.bar([whole(*[0.9] * 5)] * 50 + recent) == rule.bar(recent)
    assert rule.bar([whole(*[0.9] * 5)] * 600 + recent[600:]) != rule.bar(recent[600:])  # here they are among these


def test_the_best_third_goes_on_after_epoch_3() -> None:
    assert list(Halving(factor=3, first=3).bar(TWELVE)) == pytest.approx([0, 0, 0.01 + 0.11 * 2 / 3, 0], abs=1e-6)


def test_children_that_did_not_come_so_far_do_not_count_there() -> None:
    told = [*TWELVE, *[stopped(0.0)] * 12]
    assert Halving(factor=2, first=1).bar(told) == (0.005, 0.065, 0.0, 0.065)


def test_with_fewer_than_six_that_came_so_far_there_is_no_bar() -> None:
    assert Halving(first=1).bar([]) == ()
    assert Halving(2, 1).bar(TWELVE[:5]) == (0.0,) * 4
    assert Halving(2, 1).bar([*TWELVE[:5], stopped(0.0)]) == (0.025, 0.0, 0.0, 0.0)


def test_an_epoch_that_was_worse_than_the_one_before_moves_no_bar() -> None:
    dipped = [replace(one, loss=(*one.loss[:3], 9.0, one.loss[4])) for one in TWELVE]
    assert Halving(2, 1).bar(dipped) == Halving(2, 1).bar(TWELVE)
    assert Prediction(0.5, 1).bar(dipped) == Prediction(0.5, 1).bar(TWELVE)


# --- prediction ---

# Accuracies after two epochs lie around those after one plus 0.2, 0.1 above or below in eight of ten: with 10 - 2
# degrees of freedom the deviation from that line is (8 × 0.01 / 8)^½ = 0.1. The highest is 0.9.
TEN = [whole(x, x + 0.2 + error) for x in (0.2, 0.6) for error in (0.1, 0.1, -0.1, -0.1, 0.0)]


@pytest.mark.parametrize(
    ("sure", "bar"),
    [
        (0.8413447, 0.6),  # one deviation: the line is at 0.9 - 0.1 there
        (0.9772499, 0.5),  # two
        (0.9986501, 0.4),  # three
        (0.5, 0.6),  # none: 0.7, but the best after one epoch goes on
    ],
)
def test_the_bar_is_where_the_line_is_so_many_deviations_below_the_highest(sure: float, bar: float) -> None:
    assert list(Prediction(sure, first=1).bar(TEN)) == pytest.approx([bar], abs=1e-5)


def test_stopped_children_do_not_move_the_line() -> None:
    assert Prediction(first=1).bar([*TEN, *[stopped(0.9)] * 5]) == Prediction(first=1).bar(TEN)


def test_with_fewer_than_six_whole_curves_there_is_no_line() -> None:
    assert Prediction(first=1).bar([*TEN[:5], *[stopped(0.5)] * 5]) == ()


def test_where_more_at_first_means_less_in_the_end_or_nothing_there_is_no_bar() -> None:
    falling = [whole(number / 10, 1 - number / 10) for number in range(10)]
    assert Prediction(first=1).bar(falling) == (0.0,)
    assert Prediction(first=1).bar([whole(0.1, number / 10) for number in range(10)]) == (0.0,)
    assert Prediction(first=1).bar([whole(0.1, 0.1)] * 10) == (0.0,)


def test_before_the_first_epoch_of_a_prediction_there_is_no_bar() -> None:
    three = [whole(0.1 * (number == 0), *one.accuracy) for number, one in enumerate(TEN)]
    assert Prediction(0.5, first=2).bar(three) == (0.0, 0.6)
    assert Prediction(0.5, first=9).bar(three) == (0.0, 0.0)


# --- all rules ---

every_rule = pytest.mark.parametrize("rule", [Halving(), Halving(4, 1), Prediction(), Prediction(0.5, 1)], ids=repr)


@every_rule
def test_whoever_is_best_after_each_epoch_goes_on(rule: Rule) -> None:
    rng = random.Random(0)
    for count in (10, 11, 30):
        told = [whole(*sorted(rng.random() for _ in range(6))) for _ in range(count)]
        best = [min(one.loss[epoch] for one in told) for epoch in range(6)]
        bar = rule.bar(told)
        assert not any(is_below(best[:epochs], bar) for epochs in range(1, 6))


@every_rule
def test_children_of_one_epoch_have_no_bar(rule: Rule) -> None:
    assert rule.bar([whole(0.5)] * 20) == ()


@pytest.mark.parametrize("parameters", [(1.0, 3), (0.5, 3), (2.0, 0)])
def test_a_halving_that_keeps_all_or_begins_before_the_first_epoch_is_refused(parameters: tuple[float, int]) -> None:
    with pytest.raises(
        UserError, match=r"stop halving: found factor=\S+ and first=\d, expected a factor above 1 and a"
    ):
        Halving(*parameters)


@pytest.mark.parametrize(("sure", "first"), [(0.0, 2), (1.0, 2), (95.0, 2), (0.5, 0)])
def test_what_is_no_probability_or_no_epoch_is_refused(sure: float, first: int) -> None:
    with pytest.raises(UserError, match=rf"stop prediction: found sure={sure:g} and first={first}, expected a probab"):
        Prediction(sure, first)


# --- what a stopped child is told ---


def test_a_stopped_child_goes_on_along_the_lines_through_those_that_were_not() -> None:
    told = [Result((0.2, 0.4, 0.5), (2.0, 1.0, 0.8)), Result((0.6, 0.6, 0.7), (1.0, 0.6, 0.4)), stopped(0.4)]
    like_second = continued(Result((0.1,), (1.0,), bar=(1.0,)), told)
    assert like_second.accuracy == pytest.approx((0.1, 0.6, 0.7))
    assert like_second.loss == pytest.approx((1.0, 0.6, 0.4))
    assert like_second.bar == (1.0,)
    between = -math.log((math.exp(-2) + math.exp(-1)) / 2)  # by its likelihood
    assert continued(Result((0.1,), (between,), bar=(1.0,)), told).accuracy == pytest.approx((0.1, 0.5, 0.6))
    assert continued(Result((0.1,), (1.5,), bar=(1.0,)), told).loss == pytest.approx((1.5, 0.8, 0.6))


def test_who_is_behind_is_not_led_ahead_and_no_accuracy_below_0() -> None:
    crossing = [whole(0.2, 0.7), whole(0.6, 0.5)]
    assert continued(stopped(0.1), crossing).accuracy == pytest.approx((0.1, 0.6))  # the mean, for the slope is falling
    assert continued(stopped(0.1), [whole(0.4, 0.2), whole(0.6, 0.6)]).accuracy == (0.1, 0.0)  # the line is at -0.4


def test_with_one_child_that_was_not_stopped_others_end_like_it() -> None:
    assert continued(stopped(0.1), [whole(0.4, 0.5)]).accuracy == (0.1, 0.5)
