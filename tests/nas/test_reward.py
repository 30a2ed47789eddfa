"""Rewards, by hand."""

import pytest

from nas.reward import REWARDS, Result, accuracy, balanced_accuracy, cubed, macro_f1, negative_loss

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
