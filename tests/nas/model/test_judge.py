"""Figures of few images, by hand; and what is said of who won."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.cache import Ints
from nas.model.judge import OURS, Figures, difference, figures, ordered, predicted, table, verdict
from nas.model.saved import Model
from nas.network import Images, Network


def classes(*numbers: int) -> Ints:
    return np.array(numbers, np.int64)


LABELS = classes(0, 0, 1, 1)


def test_accuracy_precision_recall_and_f1_are_means_over_seeds_and_classes() -> None:
    found = figures(LABELS, [classes(0, 0, 1, 1), classes(0, 0, 0, 1)])
    assert (found["accuracy"], found["accuracies"], found["images"]) == (0.875, [1.0, 0.75], 4)
    assert found["recall"] == pytest.approx((1 + (2 / 2 + 1 / 2) / 2) / 2)
    assert found["precision"] == pytest.approx((1 + (2 / 3 + 1 / 1) / 2) / 2)
    assert found["f1"] == pytest.approx((1 + (4 / 5 + 2 / 3) / 2) / 2)


def test_the_interval_is_that_of_the_mean_on_so_many_images() -> None:
    low, high = figures(LABELS, [classes(0, 0, 1, 0), classes(0, 1, 0, 0)])["interval"]  # 0.75 and 0.25
    assert low + high == pytest.approx(1)  # Wilson's is symmetric about a half,
    assert low == pytest.approx(0.5 - 0.35, abs=0.01)  # and ± 0.35 with four images


def test_a_class_that_is_never_predicted_has_a_precision_of_0() -> None:
    assert figures(LABELS, [classes(0, 0, 0, 0)])["precision"] == 0.25


def test_a_difference_is_that_of_the_same_images() -> None:
    ours, theirs = [classes(0, 0, 1, 1)], [classes(0, 0, 1, 1)]
    assert difference(LABELS, ours, theirs) == [0.0, 0.0, 0.0]
    assert difference(LABELS, ours, [classes(1, 1, 0, 0)]) == [1.0, 1.0, 1.0]
    apart, low, high = difference(np.tile(LABELS, 25), [np.tile(LABELS, 25)], [np.tile(classes(0, 0, 1, 0), 25)])
    assert apart == 0.25
    assert (low, high) == pytest.approx((0.25 - 0.0864, 0.25 + 0.0864), abs=1e-4)  # 1.984 √(¼ ¾ / 99), t of 99


def test_the_interval_of_a_difference_holds_the_luck_of_training() -> None:
    right, wrong = classes(0, 0, 1, 1), classes(1, 1, 0, 0)
    level = [classes(0, 1, 1, 0)] * 2  # each image is right or wrong with both seeds: no luck of training
    apart, low, high = difference(np.tile(LABELS, 250), [np.tile(right, 250), np.tile(wrong, 250)],
                                  [np.tile(one, 250) for one in level])  # fmt: skip
    assert apart == 0
    assert (low, high) == (-1.0, 1.0)  # two seeds, of 1 and 0: t of one, 12.7, times √(½ / 2), cut off at all images
    _, low, high = difference(np.tile(LABELS, 250), [np.tile(right, 250)], [np.tile(one, 250) for one in level])
    assert high - low < 0.07  # 2 * 1.96 √(¼ / 999)


def test_of_one_image_nothing_is_known() -> None:
    assert difference(LABELS[:1], [LABELS[:1]], [LABELS[2:3]]) == [1.0, -1.0, 1.0]


def test_seeds_that_fail_on_different_images_count_by_their_share() -> None:
    apart, *_ = difference(LABELS, [LABELS, classes(1, 0, 1, 1)], [LABELS])
    assert apart == -0.125  # half of one image in four


def row(name: str, accuracy: float, apart: tuple[float, float, float] | None = None, seeds: int = 3) -> Figures:
    figures = {
        "name": name,
        "key": name,
        "accuracy": accuracy,
        "accuracies": [accuracy] * seeds,
        "interval": [accuracy, accuracy],
    }
    figures |= {
        "precision": accuracy,
        "recall": accuracy,
        "f1": accuracy,
        "seconds": 1.0,
        "params": 1234,
        "madds": 5678,
    }
    return figures | ({} if apart is None else {"difference": list(apart)})


def test_a_winner_is_called_one_only_if_it_is_ahead_of_all() -> None:
    ahead, level = row("MLP", 0.7, (0.2, 0.1, 0.3)), row("ResNet-20", 0.8, (0.1, -0.1, 0.2))
    assert verdict([row(OURS, 0.9), ahead])[0] == "The search's network wins, with 90.00 % of the test images."
    said = verdict([row(OURS, 0.9), ahead, level])
    assert said == [
        "The search's network has the highest test accuracy, 90.00 %.",
        "It does not win: the interval of a difference holds 0, so that may be luck of the test images or of training.",
        "The search's network is ahead of MLP (+20.00 points, 95 % interval +10.00 to +30.00).",
        "The search's network cannot be told from ResNet-20 (+10.00 points, 95 % interval -10.00 to +20.00).",
    ]


def test_a_network_that_is_beaten_is_said_to_be() -> None:
    said = verdict([row(OURS, 0.9), row("MLP", 0.95, (-0.05, -0.07, -0.03)), row("plain CNN", 0.7, (0.2, 0.1, 0.3))])
    assert said == [
        "The search's network has a test accuracy of 90.00 %, MLP has 95.00 %.",
        "It does not win.",
        "The search's network is ahead of plain CNN (+20.00 points, 95 % interval +10.00 to +30.00).",
        "The search's network is behind MLP (-5.00 points, 95 % interval -7.00 to -3.00).",
    ]


def test_a_higher_accuracy_within_the_interval_is_no_win_either() -> None:
    assert verdict([row(OURS, 0.9), row("MLP", 0.91, (-0.01, -0.03, 0.01))])[:2] == [
        "The search's network has a test accuracy of 90.00 %, MLP has 91.00 %.",
        "It does not win: the interval of a difference holds 0, so that may be luck of the test images or of training.",
    ]


@pytest.mark.parametrize("theirs", [0.9, 0.90001, 0.89999])
def test_accuracies_that_are_shown_as_equal_are_said_to_be_equal(theirs: float) -> None:
    said = verdict([row(OURS, 0.9), row("MLP", theirs, (0.9 - theirs, -0.02, 0.02))])
    assert said[0] == "The search's network and MLP have the same test accuracy, 90.00 %."
    assert said[1].startswith("It does not win: ")


def test_no_points_are_no_minus() -> None:
    said = verdict([row(OURS, 0.9), row("MLP", 0.9, (-1e-17, -0.02, 0.02))])
    assert "MLP (+0.00 points, 95 % interval -2.00 to +2.00)" in said[-1]


@pytest.mark.parametrize(
    ("seeds", "why"),
    [(1, "With 1 seed each that is no verdict: one training says nothing of its luck"),
     (2, "With 2 seeds each that is no verdict: two trainings say little of their luck")],
)  # fmt: skip
def test_with_few_seeds_nobody_wins(seeds: int, why: str) -> None:
    said = verdict([row(OURS, 0.9, seeds=seeds), row("MLP", 0.7, (0.2, 0.1, 0.3))])
    assert said == [
        "The search's network has the highest test accuracy, 90.00 %.",
        f"{why}; finish with 3 seeds or more for one.",
    ]


def test_an_interval_as_wide_as_the_scale_is_not_shown() -> None:
    said = verdict([row(OURS, 0.9), row("MLP", 0.5, (0.4, -1.0, 1.0))])
    assert said[-1] == (
        "The search's network cannot be told from MLP (+40.00 points, too few seeds or images for an interval)."
    )


def test_one_that_lost_seeds_is_not_compared_and_hides_no_other() -> None:
    unlucky = row("MLP", 0.7, (0.2, -1.0, 1.0), seeds=2)
    said = verdict([row(OURS, 0.9), unlucky, row("plain CNN", 0.7, (0.2, 0.1, 0.3))])
    assert said == [
        "The search's network has the highest test accuracy, 90.00 %.",
        "That is no verdict: not all were trained with 3 seeds.",
        "The search's network is ahead of plain CNN (+20.00 points, 95 % interval +10.00 to +30.00).",
        "Too few seeds are left to compare it with MLP.",
    ]


def test_the_same_network_found_twice_is_no_rival() -> None:
    said = verdict(
        [row(OURS, 0.9), row("random search", 0.9, (0, 0, 0)) | {"key": OURS}, row("MLP", 0.5, (0.4, 0.3, 0.5))]
    )
    assert said[0].startswith("The search's network wins")
    assert said[-1] == "The random search came to the same network."


def test_what_failed_is_said_to_have_failed() -> None:
    lucky = row("plain CNN", 0.5, (0.4, 0.3, 0.5)) | {"failed": 1}
    assert verdict([row(OURS, 0.9), lucky])[-1] == "plain CNN: 1 seed failed, left out of its figures."
    failed = {"name": "MLP", "key": "MLP", "error": "out of memory"}
    said = verdict([row(OURS, 0.9), failed])
    assert said == [
        "The search's network stands alone: nothing that it could be compared with was trained.",
        "MLP failed: out of memory",
    ]
    assert ordered([failed, row(OURS, 0.1)])[1] is failed
    assert table([failed])[0][:2] == ["MLP", "failed"]


def test_the_table_has_the_most_accurate_first_in_percent() -> None:
    shown = table([row(OURS, 0.5), row("MLP", 0.925)])
    assert shown[0] == [
        "MLP", "92.50", "92.50–92.50", "92.50–92.50", "92.50", "92.50", "92.50", "1,234", "5,678", "1.0",
    ]  # fmt: skip
    assert shown[1][0] == OURS


def test_predictions_are_those_of_the_model_for_all_images() -> None:
    class Brightness(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            mean = x.mean((1, 2, 3))
            return torch.stack([1 - mean, mean], 1)

    model = Model(Network(2, ()), Brightness(), Images(2, 1, 2), ("dark", "light"), (0.0,), (1.0,))
    pixels = np.zeros((1001, 1, 2, 2), np.uint8)
    pixels[500:] = 255
    found = predicted(model, pixels, torch.device("cpu"))
    assert (found[:500].sum(), found[500:].sum()) == (0, 501)
