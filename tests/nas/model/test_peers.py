"""Well-known networks against torchvision's and the papers' figures, and the one without a paper on images."""

from pathlib import Path

import numpy as np
import pytest
from torch import nn
from torchvision.models import mobilenet_v2 as torchvision_mobilenet_v2
from torchvision.models import resnet18 as torchvision_resnet18

from nas.data import load
from nas.layers import Costs
from nas.model.peers import mlp, mobilenet_v1, mobilenet_v2, peers, resnet18, resnet20
from nas.model.training import strong, trained
from nas.network import Images, Network
from nas.train import Resident

IMAGENET, CIFAR = Images(224, 3, 1000), Images(32, 3, 10)


def parameters(module: nn.Module) -> int:
    return sum(weights.numel() for weights in module.parameters())


def costs(network: Network, images: Images) -> Costs:
    found = network.costs(images)
    assert found is not None
    return found


def test_resnet_18_has_the_parameters_of_torchvisions() -> None:
    assert costs(resnet18(224), IMAGENET).params == parameters(torchvision_resnet18()) == 11_689_512


def test_mobilenet_v2_has_the_parameters_of_torchvisions() -> None:
    assert costs(mobilenet_v2(224), IMAGENET).params == parameters(torchvision_mobilenet_v2()) == 3_504_872


def test_mobilenet_v1_has_the_papers_parameters_and_multiply_adds() -> None:
    found = costs(mobilenet_v1(224), IMAGENET)
    assert (round(found.params / 1e6, 1), round(found.madds / 1e6)) == (4.2, 569)  # Howard et al. 2017, table 4


def test_resnet_20_has_the_papers_parameters() -> None:
    assert round(costs(resnet20(32), CIFAR).params / 1e6, 2) == 0.27  # He et al. 2016, table 6


def test_the_deep_residual_network_is_resnet_18_from_64_pixels_on() -> None:
    assert list(peers(Images(63, 3, 10), 63)) == ["MLP", "plain CNN", "ResNet-20", "MobileNet V1", "MobileNet V2"]
    assert list(peers(Images(64, 3, 10), 64)) == ["MLP", "plain CNN", "ResNet-18", "MobileNet V1", "MobileNet V2"]


@pytest.mark.parametrize(("side", "left"), [(8, 2), (28, 2), (32, 2), (33, 2), (64, 2), (96, 3), (224, 7)])
def test_mobilenets_leave_two_positions_a_side_at_least(side: int, left: int) -> None:
    for network in (mobilenet_v1(side), mobilenet_v2(side)):
        assert network.stages(3)[-1].shape.size == left


def test_every_peer_can_be_built_for_the_smallest_images() -> None:
    for network in peers(Images(1, 1, 2), 1).values():
        assert parameters(network.module(Images(1, 1, 2))) == costs(network, Images(1, 1, 2)).params


def test_no_peer_takes_larger_images_than_its_paper() -> None:
    found = peers(Images(1000, 3, 5), 500)
    assert {name: network.input_size for name, network in found.items()} == {
        "MLP": 32, "plain CNN": 224, "ResNet-18": 224, "MobileNet V1": 224, "MobileNet V2": 224,
    }  # fmt: skip


def test_an_mlp_trains_with_the_recipe_for_all_where_pixels_are_alike(tmp_path: Path) -> None:
    shades = np.arange(150) % 3  # dark, grey and bright images: without batch norm the weights overflow
    pixels = 40 + 80 * shades[:, None, None, None] + np.random.default_rng(0).integers(0, 40, (150, 32, 32, 3))
    np.savez(tmp_path / "shades.npz", x=pixels.astype(np.uint8), y=shades)
    data = load(f"npz:{tmp_path / 'shades.npz'}")
    for seed in range(3):
        found = trained(mlp(32), Resident(data, "cpu"), strong(data, 6), seed, 1)
        assert (found.error, found.accuracy) == (None, (1.0,))
