"""Training one child: the same twice, whatever goes wrong an error in the result, and each part by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.blocks import Block
from nas.data import Data, load
from nas.errors import UserError
from nas.network import Images, Network
from nas.recipe import RECIPES, Recipe
from nas.reward import UNBOUND, Bounds, Result
from nas.stop import likelihood
from nas.train import Resident, _class_weights, _optimizer, augment, evaluate, precision, resized, schedule, train

SMALL = Network(8, (Block("conv", 8, dropout=0.1), Block("separable", 8, stride=2)))
RECIPE = Recipe(epochs=2, batch=32)
DIGITS = Resident(load("digits", images=200), "cpu")
WHOLE = Resident(load("digits"), "cpu")


def trained(
    network: Any = SMALL,
    recipe: Recipe = RECIPE,
    seed: int = 0,
    limit: float | None = None,
    bar: tuple[float, ...] = (),
    latency: int | None = None,
    bounds: Bounds = UNBOUND,
) -> Result:
    """On 160 digits, with 40 to validate."""
    return train(network, DIGITS, recipe, seed, 1, limit, bar, latency, bounds)


def outcome(result: Result) -> Result:
    """The result, time and what is measured aside."""
    return replace(result, seconds=0.0, latency_ms=(), batch_latency_ms=(), peak_memory=None)


@dataclass
class Own:
    """A child that is no Network; what it made is kept."""

    make: Callable[[Images], nn.Module]
    input_size: int = 8
    key: str = "own"
    modules: list[nn.Module] = field(default_factory=list)

    def module(self, images: Images) -> nn.Module:
        self.modules.append(self.make(images))
        return self.modules[-1]


class Constant(nn.Module):
    """The same logits for every image."""

    def __init__(self, images: Images) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(images.classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits.expand(len(x), -1)


class Raising(nn.Module):
    """Something goes wrong when images come."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1)
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


class Diverging(Constant):
    """No logits are numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * math.nan


# --- the whole ---


def test_the_same_seed_gives_the_same_result_to_the_last_bit() -> None:
    first = trained()
    torch.manual_seed(99)
    trained(seed=1)
    assert outcome(trained()) == outcome(first)
    assert outcome(trained(seed=1)) != outcome(first)


def test_random_numbers_of_others_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    trained()
    assert torch.equal(torch.rand(3), expected)


def test_a_result_has_curves_costs_counts_and_seconds() -> None:
    result = trained()
    costs = SMALL.costs(DIGITS.images)
    assert costs is not None
    assert result.error is None
    assert (len(result.accuracy), len(result.loss)) == (2, 2)
    assert (result.params, result.madds) == (costs.params, costs.madds)
    assert result.seconds > 0


def test_the_confusion_counts_are_of_the_validation_images() -> None:
    result = trained()
    counts = np.array(result.confusion)
    labels = DIGITS.labels[DIGITS.valid]
    assert counts.sum(1).tolist() == torch.bincount(labels, minlength=10).tolist() == [4] * 10
    assert result.accuracy[-1] == pytest.approx(counts.trace() / counts.sum(), abs=1e-6)


def test_a_child_learns_to_read_digits() -> None:
    result = train(SMALL, WHOLE, Recipe(epochs=10, batch=32, warmup=0.1), 0, 1, None)
    assert result.accuracy[-1] > 0.85
    assert result.loss[-1] < result.loss[0]


@pytest.mark.parametrize("size", [4, 8, 13])
def test_images_are_resized_to_what_the_child_takes(size: int) -> None:
    assert trained(Network(size, (Block("conv", 4),)), RECIPES["quick"]).error is None


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 3}, {"batch": 16}, {"optimizer": "adam", "rate": 0.01}, {"rate": 0.05}, {"momentum": 0.5},
        {"decay": 0.1}, {"warmup": 0.5}, {"schedule": "constant"}, {"schedule": "step", "step_epochs": 1}, {"crop": 1},
        {"flip": True}, {"smoothing": 0.1}, {"init": "xavier"},
    ],
    ids=str,
)  # fmt: skip
def test_every_field_of_a_recipe_has_an_effect(changes: dict[str, Any]) -> None:
    assert outcome(trained(recipe=replace(RECIPE, **changes))) != outcome(trained())


def test_more_images_a_step_than_there_are_is_all_of_them() -> None:
    own = Own(Constant)
    assert trained(own, Recipe(batch=10_000)).error is None
    assert outcome(trained(own, Recipe(batch=10_000))) == outcome(trained(own, Recipe(batch=160)))


# --- what goes wrong ---


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ValueError("not today\nnor tomorrow"), "exception: ValueError: not today"),
        (RuntimeError("CUDA error: out of memory"), "out of memory: RuntimeError: CUDA error: out of memory"),
        (torch.OutOfMemoryError("9.1 GiB"), "out of memory: 9.1 GiB"),
        (MemoryError(), "out of memory: "),
        (RuntimeError("shapes"), "exception: RuntimeError: shapes"),
    ],
    ids=repr,
)
def test_an_exception_in_the_child_is_an_error_with_its_kind(error: Exception, message: str) -> None:
    result = trained(Own(lambda images: Raising(error)))
    assert result.error == message
    assert (result.accuracy, result.loss, result.params) == ((), (), None)
    assert result.seconds > 0


def test_stopping_by_hand_is_no_error_of_the_child() -> None:
    with pytest.raises(KeyboardInterrupt):
        trained(Own(lambda images: Raising(KeyboardInterrupt())))


def test_a_module_that_cannot_be_made_is_an_error() -> None:
    def make(images: Images) -> nn.Module:
        raise KeyError("width")

    assert trained(Own(make)).error == "exception: KeyError: 'width'"
    error = trained(Network(8, (Block("cnov", 8),))).error
    assert error is not None
    assert error.startswith("exception: UserError: block 1 (cnov width=8): found the block type 'cnov'")


def test_a_loss_that_is_no_number_ends_the_training() -> None:
    result = trained(Own(Diverging), replace(RECIPE, epochs=5))
    assert result.error == "diverged: the validation loss is nan after epoch 1"
    assert len(result.accuracy) == 1


@pytest.mark.parametrize("limit", [0.0, 1e-9])
def test_a_time_limit_ends_the_training(limit: float) -> None:
    result = trained(recipe=replace(RECIPE, epochs=7), limit=limit)
    assert result.error == f"time limit: {limit:g} s were allowed, epoch 1 of 7 was under way"


def test_a_time_limit_that_is_kept_changes_nothing() -> None:
    assert outcome(trained(limit=1000)) == outcome(trained())


# --- stopping ---


def test_a_child_stops_after_the_epoch_in_which_it_falls_below_its_bar() -> None:
    recipe = replace(RECIPE, epochs=4)
    whole, stopped = trained(recipe=recipe), trained(recipe=recipe, bar=(0.0, 1.0, 0.0))
    assert (stopped.accuracy, stopped.loss) == (whole.accuracy[:2], whole.loss[:2])
    assert (stopped.params, stopped.madds, stopped.error) == (whole.params, whole.madds, None)
    assert (stopped.bar, whole.bar) == ((0.0, 1.0, 0.0), ())


def test_a_child_that_reaches_its_bar_is_trained_as_if_it_had_none() -> None:
    whole = trained()
    assert outcome(trained(bar=(likelihood(whole.loss[:1]),))) == outcome(whole)


def test_after_the_last_epoch_there_is_nothing_to_stop() -> None:
    whole = trained()
    assert outcome(trained(bar=(0.0, 1.0, 1.0))) == outcome(whole)


def test_a_child_begins_again_before_it_is_held_against_its_bar() -> None:
    own = Own(Constant)
    result = trained(own, replace(RECIPES["metaqnn"], epochs=3, batch=160, restarts=2), bar=(1.0,))
    assert len(own.modules) == 3
    assert (len(result.accuracy), result.bar) == (1, (1.0,))


# --- restarts ---


def test_a_child_no_better_than_chance_begins_again_at_a_lower_rate() -> None:
    own = Own(Constant)
    result = trained(own, replace(RECIPES["metaqnn"], epochs=1, batch=160, restarts=2))
    assert result.error is None  # the last attempt counts, whatever it gives
    moved = [float(module.logits.detach().abs().max()) for module in own.modules if isinstance(module, Constant)]
    assert moved == pytest.approx([1e-3, 4e-4, 1.6e-4], rel=1e-3)  # Adam's first step is as long as the rate


def test_a_child_better_than_chance_does_not_begin_again() -> None:
    own = Own(SMALL.module)
    assert train(own, WHOLE, Recipe(batch=16, restarts=5), 0, 1, None).accuracy[0] > 0.15
    assert len(own.modules) == 1


def test_without_restarts_there_is_one_attempt() -> None:
    own = Own(Constant)
    trained(own)
    assert len(own.modules) == 1


# --- costs of one's own ---


def test_the_costs_of_a_child_of_ones_own_are_counted() -> None:
    own = Own(lambda images: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(256, 10)))
    result = trained(own, RECIPES["quick"])
    assert result.params == 4 * 9 + 4 + 256 * 10 + 10
    assert result.madds == 64 * 4 * 9 + 256 * 10


def test_counted_costs_are_those_that_a_network_knows() -> None:
    counted, known = trained(Own(SMALL.module), RECIPES["quick"]), trained(SMALL, RECIPES["quick"])
    assert outcome(counted) == outcome(known)


def test_a_child_that_gives_on_a_view_of_its_weights_has_costs_too() -> None:
    result = trained(Own(Constant), RECIPES["quick"])
    assert (result.error, result.params, result.madds) == (None, 10, 0)


# --- the parts ---


def data(labels: list[int], train: int, pixels: int = 0) -> Data:
    """Images of one grey each, of 2 x 2 pixels; the first `train` of them to train on."""
    indices = np.arange(len(labels))
    return Data(
        name="hand-made", pixels=np.full((len(labels), 1, 2, 2), pixels, np.uint8), labels=np.array(labels),
        train=indices[:train], valid=indices[train:], classes=tuple(map(str, range(max(labels) + 1))),
        native=2, mean=(0.5,), std=(0.25,), digest="", skipped=0,
    )  # fmt: skip


def test_balanced_weights_let_each_class_weigh_alike() -> None:
    resident = Resident(data([0, 0, 0, 0, 0, 0, 1, 1, 1, 1], train=8), "cpu")  # six of class 0, two of class 1
    weights = _class_weights(resident, Recipe(class_weights="balanced"))
    assert weights is not None
    assert weights.tolist() == pytest.approx([8 / 12, 8 / 4])
    assert _class_weights(resident, Recipe()) is None


def test_balanced_weights_have_an_effect_where_classes_are_uneven() -> None:
    resident = Resident(data([0, 0, 0, 1, 0, 1], train=4), "cpu")
    recipe = Recipe(batch=4, optimizer="sgd", rate=1.0)
    plain, balanced = (
        train(Own(Constant, 2), resident, replace(recipe, class_weights=weights), 0, 1, None)
        for weights in ("none", "balanced")
    )
    assert balanced.loss[-1] == pytest.approx(math.log(2), abs=1e-6)  # the two classes pull alike
    assert plain.loss != balanced.loss


def test_pixels_are_normalised_and_resized() -> None:
    resident = Resident(data([0, 1], train=1), "cpu")
    pixels = torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8)
    same = resident.ready(pixels, 2)
    assert same.flatten().tolist() == pytest.approx([-2, -1.2, -0.4, 2])  # (x / 255 - 0.5) / 0.25
    assert resident.ready(pixels, 5).shape == (1, 1, 5, 5)
    assert resident.ready(torch.full_like(pixels, 255), 7).flatten().tolist() == pytest.approx([2] * 49)
    assert resident.ready(pixels, 1).flatten().tolist() == pytest.approx([-0.4], abs=1.1 / 64)  # the mean, ± a level
    assert pixels.dtype == torch.uint8


@pytest.mark.parametrize("size", [4, 12, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_resized_once_are_those_resized_each_time(size: int, channels: int) -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (40, channels, 32, 32), dtype=torch.uint8)
    some = torch.tensor([30, 2, 17])
    once = resized(pixels, size)
    assert (once.dtype, once.shape) == (torch.uint8, (40, channels, size, size))
    assert torch.equal(once[some], resized(pixels[some], size))


def test_images_may_be_mirrored_before_they_are_resized_or_after() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    for size in (16, 24, 48):
        assert torch.equal(resized(pixels.flip(3), size), resized(pixels, size).flip(3))


def test_resizing_in_whole_levels_is_off_by_one_level_at_most() -> None:
    torch.manual_seed(0)
    pixels = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    for size in (16, 24, 48):
        exact = nn.functional.interpolate(pixels.float(), (size, size), mode="bilinear", antialias=True)
        assert (resized(pixels, size).float() - exact).abs().max() < 1.01


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(
        UserError, match="device cuda: found no GPU that torch can use here, expected one; use --device cpu"
    ):
        Resident(data([0, 1], train=1), "cuda")
    assert Resident(data([0, 1], train=1), "auto").device.type == "cpu"


def test_a_batch_is_not_resized_before_it_is_augmented() -> None:
    pixels, _ = DIGITS.batch(torch.tensor([5, 2]), size=16)
    assert pixels.shape == (2, 1, 8, 8)


def test_bfloat16_is_for_processors_that_have_it_and_for_no_foreign_convolutions_in_groups() -> None:
    here = "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"
    cpu = torch.device("cpu")
    assert precision(SMALL.module(DIGITS.images), cpu) == here  # with a separable block
    assert precision(nn.Sequential(nn.Conv2d(4, 8, 3)), cpu) == here
    assert precision(nn.Sequential(nn.Conv2d(4, 8, 3, groups=2)), cpu) == "float32"
    assert precision(nn.Conv2d(4, 8, 3, groups=2), torch.device("cuda")) == "bfloat16"
    assert trained().precision == here


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_fused_step_is_the_step(optimizer: str) -> None:
    weights = []
    for fused in (True, False):
        torch.manual_seed(0)
        model = nn.Linear(20, 10)
        steps = _optimizer(model, Recipe(optimizer=optimizer, decay=0.01), 0.1, fused)
        for _ in range(3):
            steps.zero_grad()
            model(torch.ones(2, 20)).square().sum().backward()
            steps.step()
        weights.append(model.weight.detach())
    assert torch.allclose(weights[0], weights[1], rtol=1e-5, atol=1e-6)


def test_a_batch_is_the_pixels_and_labels_of_some_images() -> None:
    pixels, labels = DIGITS.batch(torch.tensor([5, 2]))
    whole = load("digits", images=200)
    assert torch.equal(pixels, torch.tensor(whole.pixels[[5, 2]]))
    assert labels.tolist() == whole.labels[[5, 2]].tolist()


def test_evaluation_counts_true_classes_down_and_predicted_ones_across() -> None:
    resident = Resident(data([0, 0, 1, 2, 2, 2], train=1), "cpu")
    model = Constant(resident.images)
    with torch.no_grad():
        model.logits.copy_(torch.tensor([0.0, math.log(2), 0.0]))  # predicted: 1, with a half; the others a quarter
    counts, loss = evaluate(model, 2, resident)
    assert counts.tolist() == [[0, 1, 0], [0, 1, 0], [0, 3, 0]]
    assert loss == pytest.approx((4 * math.log(4) + math.log(2)) / 5)


@pytest.mark.parametrize(
    ("recipe", "step", "share"),
    [
        (Recipe(epochs=2), 0, 1.0),
        (Recipe(epochs=2), 2, 0.5 * (1 + math.sqrt(0.5))),  # a quarter of the way
        (Recipe(epochs=2), 4, 0.5),
        (Recipe(epochs=2), 6, 0.5 * (1 - math.sqrt(0.5))),
        (Recipe(epochs=2, warmup=0.25), 0, 1 / 3),
        (Recipe(epochs=2, warmup=0.25), 1, 2 / 3),
        (Recipe(epochs=2, warmup=0.25), 2, 1.0),
        (Recipe(epochs=2, warmup=0.25), 5, 0.5),
        (Recipe(epochs=2, warmup=0.25, schedule="constant"), 1, 2 / 3),
        (Recipe(epochs=9, schedule="constant"), 35, 1.0),
        (RECIPES["metaqnn"], 19, 1.0),  # the last of five epochs
        (RECIPES["metaqnn"], 20, 0.2),
        (RECIPES["metaqnn"], 40, 0.04),
        (RECIPES["metaqnn"], 79, 0.008),
    ],
)
def test_the_rate_goes_by_the_schedule(recipe: Recipe, step: int, share: float) -> None:
    assert schedule(recipe, step, steps=4) == pytest.approx(share)


FOUR = torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8)


def variants(crop: int, flip: bool) -> dict[tuple[int, ...], int]:
    """What 1,000 copies of four pixels become, and how often."""
    torch.manual_seed(0)
    out = augment(FOUR.expand(1000, 1, 2, 2), crop, flip)
    assert (out.shape, out.dtype) == ((1000, 1, 2, 2), torch.uint8)
    found, counts = torch.unique(out.flatten(1), dim=0, return_counts=True)
    return {tuple(row): count for row, count in zip(found.tolist(), counts.tolist(), strict=True)}


def test_nothing_to_do_leaves_images_as_they_are() -> None:
    assert variants(0, flip=False) == {(1, 2, 3, 4): 1000}


def test_every_second_image_is_mirrored_left_and_right() -> None:
    found = variants(0, flip=True)
    assert found.keys() == {(1, 2, 3, 4), (2, 1, 4, 3)}
    assert min(found.values()) > 430


def test_a_crop_shifts_over_zeros() -> None:
    assert variants(1, flip=False).keys() == {
        (0, 0, 0, 1), (0, 0, 1, 2), (0, 0, 2, 0),
        (0, 1, 0, 3), (1, 2, 3, 4), (2, 0, 4, 0),
        (0, 3, 0, 0), (3, 4, 0, 0), (4, 0, 0, 0),
    }  # fmt: skip


def test_all_channels_of_an_image_move_together() -> None:
    torch.manual_seed(0)
    coloured = torch.arange(1, 5, dtype=torch.uint8).view(1, 1, 2, 2) + torch.tensor([0, 10]).view(1, 2, 1, 1).byte()
    out = augment(coloured.expand(100, 2, 2, 2), 1, flip=True)
    shown = out[:, 0] > 0
    assert torch.equal(out[:, 1][shown], out[:, 0][shown] + 10)
    assert torch.equal(out[:, 1] > 0, shown)


def test_channels_last_images_are_augmented_alike() -> None:
    pixels = torch.randint(1, 255, (8, 3, 4, 4), dtype=torch.uint8)
    torch.manual_seed(0)
    first = augment(pixels, 2, flip=True)
    torch.manual_seed(0)
    assert torch.equal(augment(pixels.contiguous(memory_format=torch.channels_last), 2, flip=True), first)


# --- costs ---


def test_a_child_whose_latency_is_measured_trains_as_without() -> None:
    result = trained(latency=4)
    assert outcome(result) == outcome(trained())
    assert 0 < result.latency_ms[1] <= result.latency_ms[0] <= result.latency_ms[2]
    assert len(result.batch_latency_ms) == 3
    assert result.params is not None
    assert result.peak_memory is not None
    assert 4 * result.params < result.peak_memory < 100_000


def test_a_child_that_takes_too_long_is_refused_before_it_is_trained() -> None:
    network = Own(Constant)
    result = trained(network, latency=4, bounds=Bounds(max_latency_ms=1e-4))
    assert result.error is not None
    assert result.error.startswith(f"refused: found {result.latency_ms[0]} ms an image, expected at most 0.0001, as")
    assert (result.accuracy, result.params, result.madds) == ((), 10, 0)
    assert len(network.modules) == 1  # which was measured


def test_a_module_of_ones_own_is_counted_and_refused_before_it_is_measured() -> None:
    result = trained(Own(Constant), latency=4, bounds=Bounds(max_params=9))
    assert result.error == "refused: found 10 parameters, expected at most 9, as --max-params says"
    assert result.latency_ms == ()


def test_a_child_that_fails_when_it_is_measured_is_a_failed_child() -> None:
    result = trained(Own(lambda images: Raising(ValueError("no image"))), latency=4)
    assert result.error == "exception: ValueError: no image"


def test_a_child_that_diverges_has_its_latency() -> None:
    result = trained(recipe=replace(RECIPE, rate=1e3, batch=16), latency=4)
    assert len(result.latency_ms) == 3
