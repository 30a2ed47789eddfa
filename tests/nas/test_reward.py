"""Rewards, by hand."""

from typing import Any

import pytest

from nas.errors import UserError
from nas.reward import (
    COSTS,
    REWARDS,
    UNBOUND,
    Bounds,
    Hard,
    Result,
    Soft,
    accuracy,
    balanced_accuracy,
    cubed,
    macro_f1,
    negative_loss,
)

COUNTS = ((8, 0, 0), (1, 1, 0), (2, 0, 3))  # true classes down, predicted ones across: 8, 2 and 5 images


def test_accuracy_is_the_last_epochs() -> None:
    assert accuracy(Result((0.5, 0.75, 0.25))) == 0.25


def test_cubed_is_the_highest_of_the_last_five_epochs() -> None:
    assert cubed(Result((0.9, 0.5, 0.1, 0.2, 0.3, 0.4))) == 0.125  # 0.9 is six epochs ago
    assert cubed(Result((0.1, 0.5))) == 0.125


def test_negative_loss_is_higher_for_a_lower_loss() -> None:
    assert negative_loss(Result((), (2.0, 0.5))) == -0.5


def test_balanced_accuracy_gives_each_class_one_vote() -> None:
    assert balanced_accuracy(Result(confusion=COUNTS)) == pytest.approx((8 / 8 + 1 / 2 + 3 / 5) / 3)
    assert balanced_accuracy(Result(confusion=((98, 0), (2, 0)))) == 0.5  # where accuracy is 0.98


def test_a_class_without_images_has_no_vote() -> None:
    assert balanced_accuracy(Result(confusion=((1, 1, 2), (0, 0, 0), (0, 0, 4)))) == pytest.approx((1 / 4 + 1) / 2)


def test_macro_f1_weighs_what_was_missed_and_what_was_wrongly_found() -> None:
    # 2 TP / (true + predicted): 16 / (8 + 11), 2 / (2 + 1), 6 / (5 + 3)
    assert macro_f1(Result(confusion=COUNTS)) == pytest.approx((16 / 19 + 2 / 3 + 6 / 8) / 3)
    assert macro_f1(Result(confusion=((3, 0), (0, 1)))) == 1.0
    assert macro_f1(Result(confusion=((0, 3), (1, 0)))) == 0.0


def test_a_class_neither_met_nor_predicted_is_left_out_of_f1() -> None:
    assert macro_f1(Result(confusion=((2, 0, 0), (0, 0, 0), (0, 0, 2)))) == 1.0
    assert macro_f1(Result(confusion=((2, 2, 0), (0, 0, 0), (0, 0, 2)))) == pytest.approx((4 / 6 + 0 + 1) / 3)


@pytest.mark.parametrize("name", REWARDS)
def test_a_perfect_child_is_worth_one_or_loses_nothing(name: str) -> None:
    perfect = Result((1.0,), (0.0,), confusion=((5, 0), (0, 7)))
    assert REWARDS[name](perfect) == (0.0 if name == "negative-loss" else 1.0)


def test_every_reward_has_a_name_to_type() -> None:
    assert list(REWARDS) == ["accuracy", "cubed", "negative-loss", "balanced-accuracy", "macro-f1"]


@pytest.mark.parametrize(
    ("error", "of_worker"),
    [(None, False), ("worker: it died", True), ("diverged: x", False), ("exception: the worker", False)],
)
def test_only_an_error_that_begins_with_worker_is_the_pools(error: str | None, of_worker: bool) -> None:
    assert Result(error=error).of_worker is of_worker


# --- prices and bounds ---


def child(madds: int) -> Result:
    return Result((0.25, 0.5), (1.0, 1.0), params=10, madds=madds, latency_ms=(4.0, 3.0, 5.0), peak_memory=1_000)


@pytest.mark.parametrize(
    ("madds", "soft", "hard"),
    [
        (100, 0.5, 0.5),  # at the target
        (200, 0.5 / 2**0.07, 0.25),  # twice as much
        (50, 0.5 * 2**0.07, 0.5),  # half
        (400, 0.5 / 4**0.07, 0.125),
    ],
)
def test_a_price_is_mnasnets(madds: int, soft: float, hard: float) -> None:
    assert Soft(100)(child(madds)) == pytest.approx(soft)
    assert Hard(100)(child(madds)) == pytest.approx(hard)


def test_twice_the_cost_must_bring_five_per_cent_more_accuracy_to_be_worth_as_much() -> None:
    twice = Result((0.5 * 1.05,), madds=200)
    assert Soft(100)(twice) == pytest.approx(Soft(100)(child(100)), rel=1e-3)


@pytest.mark.parametrize(("cost", "found"), [("params", 10), ("madds", 7), ("latency", 4.0), ("memory", 1_000)])
def test_each_cost_can_be_the_price(cost: str, found: float) -> None:
    assert child(7).cost(cost) == found
    assert Hard(target=found / 4, cost=cost)(child(7)) == 0.5 / 4


def test_a_price_is_written_with_all_that_it_is() -> None:
    assert repr(Soft(2e6)) == "Soft(target=2000000.0, cost='madds', alpha=-0.07, beta=-0.07)"
    assert repr(Hard(5, "latency")) == "Hard(target=5, cost='latency', alpha=0.0, beta=-1.0)"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "reward soft: found no target=, expected a number above 0 of multiply-adds, as in soft:target=2e6"),
        ({"target": 0}, "reward soft: found the target 0, expected a number above 0"),
        ({"target": -1}, "reward soft: found the target -1, expected a number above 0"),
        ({"target": float("nan")}, "reward soft: found no target=, expected a number above 0"),
        ({"target": float("inf")}, "reward soft: found the target inf, expected a number above 0"),
        ({"target": 1, "cost": "mads"}, "reward soft: found the cost 'mads'; did you mean madds?, expected one of"),
        ({"target": 1, "alpha": 0.1}, "reward soft: found alpha=0.1 and beta=-0.07, expected exponents from -100 to 0"),
        ({"target": 1, "beta": float("nan")}, "reward soft: found alpha=-0.07 and beta=nan, expected exponents"),
    ],
)
def test_a_price_that_is_none_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as error:
        Soft(**given)
    assert str(error.value).startswith(said)


@pytest.mark.parametrize("cost", COSTS)
def test_a_network_that_lacks_the_cost_has_no_reward(cost: str) -> None:
    with pytest.raises(UserError, match=f"found a network with None {COSTS[cost]}, expected a number above 0; name an"):
        Soft(1.0, cost)(Result((0.5,)))


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        (UNBOUND, ""),
        (Bounds(max_params=10, max_madds=7, max_latency_ms=4.0), ""),  # each exactly
        (Bounds(max_params=9), "found 10 parameters, expected at most 9, as --max-params says"),
        (Bounds(max_params=10, max_madds=6), "found 7 multiply-adds, expected at most 6, as --max-madds says"),
        (Bounds(max_latency_ms=3.5), "found 4.0 ms an image, expected at most 3.5, as --max-latency-ms says"),
    ],
)
def test_a_network_is_refused_by_the_first_bound_that_it_is_above(bounds: Bounds, said: str) -> None:
    assert bounds.refusal(child(7)) == said
    assert bounds.refusal(Result()) == ""  # nothing is known of it


@pytest.mark.parametrize("most", [0, -1, float("nan"), float("inf")])
def test_a_bound_that_is_none_is_refused(most: float) -> None:
    with pytest.raises(
        UserError, match=f"max_latency_ms: found {most}, expected a number above 0; leave it out for no"
    ):
        Bounds(max_latency_ms=most)
