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
    assert (low, high) == pytest.approx((0.25 - 0.085, 0.25 + 0.085), abs=0.02)  # 1.96 √(¼ ¾ / 100)


def test_seeds_that_fail_on_different_images_count_by_their_share() -> None:
    apart, *_ = difference(LABELS, [LABELS, classes(1, 0, 1, 1)], [LABELS])
    assert apart == -0.125  # half of one image in four


def row(name: str, accuracy: float, apart: tuple[float, float, float] | None = None) -> Figures:
    figures = {
        "name": name,
        "key": name,
        "accuracy": accuracy,
        "accuracies": [accuracy],
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
        "The search's network has the highest accuracy, 90.00 %, but is not ahead of all: the interval of a difference "
        "holds 0.",
        "The search's network is ahead of MLP (+20.00 points, 95 % interval +10.00 to +30.00).",
        "These test images do not tell it from ResNet-20 (+10.00 points, 95 % interval -10.00 to +20.00).",
    ]


def test_a_network_that_is_beaten_is_said_to_be() -> None:
    said = verdict([row(OURS, 0.9), row("MLP", 0.95, (-0.05, -0.07, -0.03)), row("plain CNN", 0.7, (0.2, 0.1, 0.3))])
    assert said[0] == (
        "The search's network does not win: it is beaten by MLP (-5.00 points, 95 % interval -7.00 to -3.00)."
    )


def test_a_higher_accuracy_within_the_interval_is_no_win_either() -> None:
    assert verdict([row(OURS, 0.9), row("MLP", 0.91, (-0.01, -0.03, 0.01))])[0] == (
        "The search's network does not win: MLP has 91.00 %, it has 90.00 %, which is within the interval of their "
        "difference."
    )


def test_the_same_network_found_twice_is_no_rival() -> None:
    said = verdict(
        [row(OURS, 0.9), row("random search", 0.9, (0, 0, 0)) | {"key": OURS}, row("MLP", 0.5, (0.4, 0.3, 0.5))]
    )
    assert said[0].startswith("The search's network wins")
    assert said[-1] == "The random search came to the same network."


def test_what_failed_is_said_to_have_failed() -> None:
    lucky = row("plain CNN", 0.5, (0.4, 0.3, 0.5)) | {"failed": 1}
    assert verdict([row(OURS, 0.9), lucky])[-1] == "plain CNN: 1 of its seeds failed and count for nothing."
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
