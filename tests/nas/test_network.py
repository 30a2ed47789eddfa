"""Networks: keys, wiring, costs."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from nas.blocks import Block
from nas.errors import UserError
from nas.layers import Conv, Costs, Layers, Relu, Shape
from nas.network import Images, Network

IMAGES = Images(8, 3, 10)
NETWORK = Network(8, (Block("conv", 16), Block("conv", 24, 5, 2)))


def test_a_network_is_written_in_one_line() -> None:
    assert NETWORK.written == "network 1: 8 concat gap: conv width=16; conv width=24 kernel=5 stride=2"


def test_the_key_stays_what_it_was_in_old_ledgers() -> None:
    assert NETWORK.key == "cf42f5c3b73eecd3"  # BLAKE2b of the line above


def test_equal_networks_have_equal_keys() -> None:
    assert Network(8, (Block("conv", width=16, kernel=3), Block("conv", 24, 5, stride=2))).key == NETWORK.key


@pytest.mark.parametrize(
    "other",
    [
        replace(NETWORK, input_size=9),
        replace(NETWORK, join="add"),
        replace(NETWORK, head="flatten"),
        replace(NETWORK, blocks=NETWORK.blocks[::-1]),
        replace(NETWORK, blocks=(NETWORK.blocks[0], replace(NETWORK.blocks[1], inputs=(0,)))),
        replace(NETWORK, blocks=(NETWORK.blocks[0], replace(NETWORK.blocks[1], extra=("x",)))),
    ],
    ids=str,
)
def test_different_networks_have_different_keys(other: Network) -> None:
    assert other.key != NETWORK.key


def test_costs_are_those_of_blocks_and_classifier() -> None:
    convolutions = Costs(3 * 9 * 16 + 32 + 16 * 25 * 24 + 48, 3 * 9 * 16 * 64 + 16 * 25 * 24 * 16)
    assert NETWORK.costs(IMAGES) == Costs(convolutions.params + 250, convolutions.madds + 240)


def test_a_network_without_blocks_is_a_linear_classifier() -> None:
    assert Network(8, (), head="flatten").costs(IMAGES) == Costs(1930, 1920)  # 8 · 8 · 3 · 10, and 10 biases
    assert Network(8, (), head="gap").costs(IMAGES) == Costs(40, 30)


def test_blocks_stand_in_a_chain_unless_they_name_their_inputs() -> None:
    blocks = (Block("conv", 4), Block("conv", 5, inputs=()), Block("conv", 6, inputs=(1, 2)), Block("conv", 7))
    *stages, last = Network(8, blocks).stages(3)
    assert [stage.sources for stage in stages] == [(0,), (0,), (1, 2), (3,)]
    assert [stage.shape.channels for stage in stages] == [3, 3, 9, 6]
    assert (last.sources, last.shape) == ((4,), Shape(7, 8))


@pytest.mark.parametrize(("join", "channels"), [("concat", 13), ("add", 7)])
def test_loose_ends_are_joined_before_the_classifier(join: str, channels: int) -> None:
    blocks = (Block("conv", 4), Block("conv", 6, stride=2, inputs=(1,)), Block("conv", 7, inputs=(1,)))
    network = Network(8, blocks, join)
    last = network.stages(3)[-1]
    assert (last.sources, last.shape) == ((2, 3), Shape(channels, 8))
    assert network.module(IMAGES)(torch.randn(2, 3, 8, 8)).shape == (2, 10)


def test_an_input_that_several_blocks_take_reaches_each_unchanged() -> None:
    def relu(block: Block, channels: int) -> Layers:
        return (Relu(),)

    blocks = (Block(relu, inputs=(0,)), Block("identity", inputs=(0,)))
    module = Network(1, blocks, head="flatten").module(Images(1, 1, 2))
    classifier = module.get_submodule("stages.2.0.1")
    assert isinstance(classifier, nn.Linear)
    with torch.no_grad():
        classifier.weight.copy_(torch.eye(2))
        classifier.bias.zero_()
        assert module(torch.full((1, 1, 1, 1), -3.0)).tolist() == [[0.0, -3.0]]


def test_a_torch_module_of_ones_own_has_a_shape_but_no_cost() -> None:
    def strided(block: Block, channels: int) -> nn.Module:
        return nn.Conv2d(channels, 5, 2, 2)

    network = Network(8, (Block(strided), Block("conv", 6)))
    assert network.stages(3)[1].shape == Shape(5, 4)
    assert network.costs(IMAGES) is None
    assert network.module(IMAGES)(torch.randn(2, 3, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Network(0, ()), "found a network with input size 0, expected at least 1 pixel a side"),
        (Network(8, (), join="sum"), "found join='sum', expected 'concat' or 'add'"),
        (Network(8, (), head="max"), "found head='max', expected 'gap' or 'flatten'"),
        (Network(8, (Block("cnov", 8),)), r"block 1 \(cnov width=8\): found the block type 'cnov'"),
        (Network(8, (Block("conv", 8, inputs=(1,)),)), r"found inputs \(1,\), expected numbers from 0 to 0"),
        (Network(8, (Block("conv"),)), r"block 1 \(conv\): found Conv\(width=0.*expected a width"),
    ],
    ids=str,
)
def test_an_unsound_network_is_an_error_that_names_the_place(network: Network, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network.costs(IMAGES)


def test_a_block_function_of_ones_own_never_has_the_key_of_a_built_in() -> None:
    def conv(block: Block, channels: int) -> Layers:
        return (Conv(block.width),)

    assert Network(8, (Block(conv, 4),)).key != Network(8, (Block("conv", 4),)).key
