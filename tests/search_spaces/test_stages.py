"""Stages, and the ResNet-9 among them."""

import itertools
import random

import pytest

from nas.blocks import Block
from nas.errors import UserError
from nas.network import Images, Network
from nas.space import Question
from search_spaces.stages import Stages, halved

CIFAR = Images(32, 3, 10)


def answered(*options: object) -> Network:
    """The network that these options, in the order asked, lead to on CIFAR-10."""
    left = list(options)

    def answer(question: Question) -> int:
        given = question.choice.options.index(left.pop(0))
        assert given in question.legal
        return given

    network = Stages().on(CIFAR).walk(answer).network
    assert not left
    assert isinstance(network, Network)
    return network


def test_resnet_9_is_one_of_them_with_its_parameters() -> None:
    network = answered(
        64, 3,
        128, 3, "max_pool", 1, "residual", False,
        256, 3, "max_pool", 0,
        512, 3, "max_pool", 1, "residual", False,
    )  # fmt: skip
    pool = Block("max_pool", kernel=2, stride=2)
    assert network.blocks == (
        Block("conv", 64),
        *(Block("conv", 128), pool, Block("residual", 128)),
        *(Block("conv", 256), pool),
        *(Block("conv", 512), pool, Block("residual", 512)),
    )
    convolutions = 9 * (3 * 64 + 64 * 128 + 2 * 128 * 128 + 128 * 256 + 256 * 512 + 2 * 512 * 512)
    norms, classifier = 2 * (64 + 3 * 128 + 256 + 3 * 512), 512 * 10 + 10
    costs = network.costs(CIFAR)
    assert costs
    assert costs.params == convolutions + norms + classifier == 6_573_130


def test_a_stage_halves_the_map_by_a_stride_or_a_pooling_and_has_blocks_alike() -> None:
    network = answered(16, 2, 48, 5, "stride", 2, "inverted", True, 48, 3, "avg_pool", 1, "conv", False)
    assert network.blocks == (
        Block("conv", 16),
        Block("conv", 48, 5, stride=2),
        *(Block("inverted", 48, expansion=3, squeeze=8),) * 2,
        *(Block("conv", 48), Block("avg_pool", kernel=2, stride=2), Block("conv", 48)),
    )


def test_widths_never_shrink_at_most_treble_and_end_at_the_widest() -> None:
    for seed in range(50):
        network = Stages(widest=96).on(CIFAR).sample(random.Random(seed)).network
        assert isinstance(network, Network)
        widths = [block.width for block in network.blocks if block.width]
        assert all(before <= after <= 3 * before for before, after in itertools.pairwise(widths))
        assert widths[-1] <= 96


@pytest.mark.parametrize(("side", "after"), [(32, 16), (7, 4), (4, 2), (3, 3), (1, 1)])
def test_maps_are_halved_down_to_two_pixels(side: int, after: int) -> None:
    assert halved(side) == after


def test_a_large_photograph_is_made_64_pixels_a_side() -> None:
    network = Stages().on(Images(224, 3, 5)).sample(random.Random(0)).network
    assert isinstance(network, Network)
    assert network.input_size == 64


def test_a_widest_stage_below_16_channels_is_refused() -> None:
    with pytest.raises(UserError, match="stages: found widest=8, expected at least 16 channels"):
        Stages(widest=8)
