from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas.blocks import Block
from nas.errors import UserError
from nas.model.gradcam import gradcam
from nas.model.saved import Exported, Model, load, save
from nas.network import Images, Network
from search_spaces.nasbench201 import NasBench201
from search_spaces.zoph import Zoph

IMAGES = Images(4, 1, 2)


def of(module: nn.Module, size: int = 4) -> Model:
    """A model of two classes whose module sees pixels in 0..1."""
    return Model(Exported(size, "own", "own"), module.eval(), Images(size, 1, 2), ("a", "b"), (0.0,), (1.0,))


def linear(*weights: list[float]) -> nn.Linear:
    layer = nn.Linear(len(weights[0]), len(weights), bias=False)
    layer.weight = nn.Parameter(torch.tensor(weights))
    return layer


class Bright(nn.Module):
    """Two maps: the image, and one minus it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, 1 - x], 1)


def corner() -> np.ndarray:
    """One image, dark but for its upper left pixel."""
    pixels = np.zeros((1, 1, 4, 4), np.uint8)
    pixels[0, 0, 0, 0] = 255
    return pixels


def test_heat_is_the_maps_weighted_by_their_mean_gradients() -> None:
    pooled = nn.Sequential(Bright(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear([1.0, 0.0], [-1.0, 2.0]))
    first, second = (gradcam(of(pooled), corner(), np.array([label])) for label in (0, 1))
    # class a: d logit / d A = (1, 0) / 16 everywhere: the heat is the image, a sixteenth, and that scaled to 1
    assert np.allclose(first.maps[0], corner()[0, 0] / 255, atol=1e-6)
    # class b: (-1, 2) / 16: where the image is 1 it is -1, so 0; elsewhere 2, scaled to 1
    assert np.allclose(second.maps[0], 1 - corner()[0, 0] / 255, atol=1e-6)
    assert first.positions == (4, 4)


def test_heat_that_speaks_against_a_class_alone_is_none() -> None:
    pooled = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear([1.0], [-1.0]))
    nn.init.ones_(pooled[0].weight)  # type: ignore[arg-type]
    assert gradcam(of(pooled), corner(), np.array([1])).maps.max() == 0


def test_a_network_without_maps_of_its_own_has_gradient_times_input() -> None:
    flat = nn.Sequential(nn.Flatten(), linear([2.0] * 16, [0.0] * 8 + [1.0] * 8))
    pixels = np.full((1, 1, 4, 4), 255, np.uint8)
    heat = gradcam(of(flat), pixels, np.array([1]))
    assert heat.layer == "the image"
    assert np.array_equal(heat.maps[0], np.repeat([[0.0], [0.0], [1.0], [1.0]], 4, axis=1))


def test_an_image_does_not_change_the_heat_of_another() -> None:
    pooled = nn.Sequential(Bright(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear([1.0, 0.0], [-1.0, 2.0]))
    both = gradcam(of(pooled), np.concatenate([corner(), 255 - corner()]), np.array([0, 1]))
    assert np.array_equal(both.maps[0], gradcam(of(pooled), corner(), np.array([0])).maps[0])


class InPlace(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mul_(2).mean((2, 3)) @ torch.tensor([[1.0, -1.0]])


def test_a_module_that_changes_its_input_has_heat_too() -> None:
    assert gradcam(of(InPlace()), corner(), np.array([0])).maps[0, 0, 0] == 1


@pytest.mark.parametrize(
    ("network", "positions"),
    [
        (Network(4, (Block("conv", 4),)), (4, 4)),
        (Network(4, (Block("conv", 4), Block("global_pool"), Block("dense", 8))), (4, 4)),
        (Network(4, (Block("conv", 4, stride=2), Block("conv", 4)), head="flatten"), (2, 2)),
        (Network(4, (Block("residual", 4, stride=2), Block("residual", 4, stride=2))), (2, 2)),
        (Network(4, (Block("conv", 4), Block("global_pool", inputs=(0,)), Block("conv", 2, inputs=(0,)))), (4, 4)),
        (Network(4, (Block("attention", 4), Block("max_pool", kernel=4, stride=4))), (4, 4)),
        (Network(4, (Block("dense", 8),)), (4, 4)),
        (Network(4, ()), (4, 4)),
    ],
)  # fmt: skip
def test_the_last_place_with_several_positions_is_taken(network: Network, positions: tuple[int, int]) -> None:
    made = Model(network, network.module(IMAGES).eval(), IMAGES, ("a", "b"), (0.3,), (0.3,))
    heat = gradcam(made, corner(), np.array([0]))
    assert heat.positions == positions
    assert heat.maps.shape == (1, 4, 4)


@pytest.mark.parametrize("space", [NasBench201(), Zoph()], ids=repr)
def test_networks_of_cells_and_skip_connections_have_heat(space: NasBench201 | Zoph) -> None:
    import random

    images = Images(8, 1, 2)
    network = space.on(images).sample(random.Random(1)).network
    made = Model(network, network.module(images).eval(), images, ("a", "b"), (0.3,), (0.3,))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 1, 8, 8), np.uint8)
    heat = gradcam(made, pixels, np.array([0, 1]))
    assert heat.positions > (1, 1)
    assert ((heat.maps >= 0) & (heat.maps <= 1)).all()
    assert heat.layer != "the image"


def test_maps_of_one_position_are_said() -> None:
    one = Network(1, (Block("conv", 2),))
    made = Model(one, one.module(Images(1, 1, 2)).eval(), Images(1, 1, 2), ("a", "b"), (0.0,), (1.0,))
    with pytest.raises(UserError, match=r"found a network whose maps all have one position"):
        gradcam(made, np.zeros((1, 1, 1, 1), np.uint8), np.array([0]))


def test_a_network_that_was_a_program_has_the_same_heat(trained: Callable[..., Model], tmp_path: Path) -> None:
    made = trained(Network(8, (Block("conv", 4), Block(twice))))
    save(made, tmp_path / "model", {}, "")
    pixels, labels = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8), np.uint8), np.array([0, 1, 2])
    before, after = gradcam(made, pixels, labels), gradcam(load(tmp_path / "model", trust=True), pixels, labels)
    assert np.allclose(after.maps, before.maps, atol=1e-5)
    assert after.positions == before.positions == (8, 8)


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def twice(block: Block, channels: int) -> nn.Module:
    return Twice()
