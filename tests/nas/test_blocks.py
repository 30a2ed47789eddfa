"""Every block type: what is said of it against what its module does."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nas.blocks import KINDS, Block
from nas.errors import UserError
from nas.layers import Conv, Graph, Layers, Norm, Relu, Shape, SqueezeExcite, out_of
from nas.modules import Gate, SelfAttention, sequence
from nas.network import Images, Network

IMAGES = Images(7, 6, 3)
VARIANTS = (
    Block("", 6, heads=2),
    Block("", 8, 5, stride=2, heads=2),
    Block("", 8, (3, 5), expansion=3, dilation=3, squeeze=2, heads=4, dropout=0.5),
    Block("", 6, expansion=3, squeeze=4, heads=1),
)
BLOCKS = [replace(variant, kind=kind) for kind in KINDS for variant in VARIANTS]

every_block = pytest.mark.parametrize("block", BLOCKS, ids=str)


def layers_of(block: Block) -> Layers:
    layers = block.layers(6)
    assert isinstance(layers, tuple)
    return layers


def counted(module: nn.Module, images: Tensor) -> int:
    """Multiply-adds for one image, from what passes through the module's parts."""
    total = 0

    def count(part: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(part, nn.Conv2d):
            height, width = part.kernel_size
            total += out[0].numel() * height * width * part.in_channels // part.groups
        elif isinstance(part, nn.Linear):
            total += part.in_features * part.out_features
        elif isinstance(part, SelfAttention):
            positions = out.shape[2] * out.shape[3]
            total += 2 * positions * positions * out.shape[1]

    for part in module.modules():
        part.register_forward_hook(count)
    module(images)
    return total


@every_block
def test_a_block_gives_the_shape_it_promises(block: Block) -> None:
    layers = layers_of(block)
    expected = out_of(layers, Shape(6, 7))
    out = sequence(layers, Shape(6, 7))(torch.randn(2, 6, 7, 7))
    assert out.shape == (2, expected.channels, expected.size, expected.size)


@every_block
def test_the_gradient_reaches_every_parameter(block: Block) -> None:
    torch.manual_seed(0)
    module = Network(7, (block,)).module(IMAGES)
    for gate in (part for part in module.modules() if isinstance(part, Gate)):
        nn.init.ones_(gate.squeeze.bias)  # type: ignore[arg-type] # so that no hidden unit starts dead
    module(torch.randn(4, 6, 7, 7)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@every_block
def test_costs_are_those_of_the_module(block: Block) -> None:
    network = Network(7, (block,))
    module, costs = network.module(IMAGES), network.costs(IMAGES)
    assert costs is not None
    assert costs.params == sum(p.numel() for p in module.parameters())
    assert costs.madds == counted(module, torch.randn(2, 6, 7, 7))


@every_block
def test_torch_counts_two_operations_for_each_multiply_add(block: Block) -> None:
    network = Network(7, (block,))
    costs = network.costs(IMAGES)
    with FlopCounterMode(display=False) as counter:
        network.module(IMAGES)(torch.randn(1, 6, 7, 7))
    assert costs is not None
    assert counter.get_total_flops() == 2 * costs.madds


def test_a_block_leaves_its_input_as_it_was() -> None:
    for block in BLOCKS:
        images = torch.randn(2, 6, 7, 7)
        before = images.clone()
        sequence(layers_of(block), Shape(6, 7))(images)
        assert torch.equal(images, before), block


def test_conv_is_convolution_norm_and_relu() -> None:
    assert Block("conv", 8, 5, 2).layers(3) == (Conv(8, 5, 2), Norm(), Relu())


def test_dilated_has_holes_even_if_none_are_asked_for() -> None:
    assert Block("dilated", 8).layers(3) == (Conv(8, 3, dilation=2), Norm(), Relu())


def test_squeeze_divides_the_channels() -> None:
    assert Block("conv", 8, squeeze=4).layers(3) == (Conv(8, 3), Norm(), Relu(), SqueezeExcite(2))


def test_an_inverted_block_adds_its_input_where_the_shape_stays() -> None:
    (graph,) = layers_of(Block("inverted", 6, expansion=2))
    assert isinstance(graph, Graph)
    assert graph.nodes[0][0] == (0, ())
    assert not any(isinstance(layer, Graph) for layer in layers_of(Block("inverted", 6, stride=2)))
    assert not any(isinstance(layer, Graph) for layer in layers_of(Block("inverted", 8)))


def test_a_block_is_written_with_what_it_sets() -> None:
    assert str(Block("conv", 16)) == "conv width=16"
    assert str(Block("inverted", 16, 5, expansion=3, inputs=(0, 2))) == (
        "inverted width=16 kernel=5 expansion=3 inputs=(0, 2)"
    )


def test_an_unknown_block_type_is_an_error_that_names_the_known() -> None:
    with pytest.raises(
        UserError,
        match=r"found the block type 'cnov'; did you mean conv., expected one of conv, dilated, .* a function",
    ):
        Block("cnov", 8).layers(3)


def test_a_function_is_a_block_type() -> None:
    def halves(block: Block, channels: int) -> Layers:
        return (Conv(channels // 2),)

    assert Block(halves).layers(8) == (Conv(4),)


def test_the_library_holds_the_documented_types() -> None:
    assert list(KINDS) == [
        "conv", "dilated", "separable", "inverted", "residual", "bottleneck", "attention",
        "max_pool", "avg_pool", "identity", "dense", "global_pool",
    ]  # fmt: skip
