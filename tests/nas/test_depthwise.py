"""Depthwise convolutions against torch's own, whatever way their gradients take."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas.blocks import Block
from nas.depthwise import Depthwise
from nas.layers import Conv, Shape
from nas.modules import sequence

KERNELS = [(1, 1), (3, 3), (5, 5), (7, 3), (3, 7), (5, 1), (1, 5)]


def pair(kernel: tuple[int, int], stride: int) -> tuple[Depthwise, nn.Conv2d]:
    """Ours, and torch's with the same weights."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    ours, torchs = Depthwise(6, kernel, stride), nn.Conv2d(6, 6, kernel, stride, padding, groups=6, bias=False)
    torchs.load_state_dict(ours.state_dict())
    return ours, torchs


def answers(module: nn.Module, x: Tensor) -> list[Tensor]:
    """The output for x, and the gradients of x and the weights for an output's that is the output."""
    x = x.clone().requires_grad_()
    module.zero_grad()
    out = module(x)
    out.backward(out.detach())
    assert x.grad is not None
    return [out.detach(), x.grad, *(weight.grad for weight in module.parameters() if weight.grad is not None)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [4, 8, 9])
def test_output_and_gradients_are_those_of_torch(kernel: tuple[int, int], stride: int, size: int) -> None:
    torch.manual_seed(0)
    ours, torchs = (module.double() for module in pair(kernel, stride))
    x = torch.randn(3, 6, size, size, dtype=torch.float64).contiguous(memory_format=torch.channels_last)
    for mine, expected in zip(answers(ours, x), answers(torchs, x), strict=True):
        assert torch.allclose(mine, expected, rtol=1e-5, atol=1e-5)  # strided ones are taken in float32


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("stride", [1, 2])
def test_under_autocast_they_are_those_of_torch_in_float32_but_for_rounding(
    kernel: tuple[int, int], stride: int
) -> None:
    torch.manual_seed(0)
    ours, torchs = pair(kernel, stride)
    x = torch.randn(3, 6, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(x).dtype == torch.bfloat16
        found = answers(ours, x)
    for mine, expected in zip(found, answers(torchs, x), strict=True):
        assert (mine - expected).abs().max() < 0.02 * expected.abs().max()


def test_an_input_that_needs_no_gradient_gets_none() -> None:
    ours, torchs = pair((5, 5), 1)
    x = torch.randn(2, 6, 8, 8)
    for module in (ours, torchs):
        module(x).sum().backward()
    assert ours.weight.grad is not None
    assert torchs.weight.grad is not None
    assert torch.allclose(ours.weight.grad, torchs.weight.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "channels", "ours"),
    [
        (Conv(8, 3, groups=8), 8, True),
        (Conv(8, 3), 8, False),
        (Conv(8, 3, groups=2), 8, False),
        (Conv(16, 3, groups=8), 8, False),
        (Conv(8, 3, dilation=2, groups=8), 8, False),
        (Conv(8, 3, groups=8, bias=True), 8, False),
        (Conv(1, 3), 1, False),  # of a grey image: no groups
    ],
    ids=str,
)
def test_layers_with_a_kernel_a_channel_are_these(layer: Conv, channels: int, ours: bool) -> None:
    (module,) = sequence((layer,), Shape(channels, 8))
    assert isinstance(module, Depthwise) is ours


def test_separable_and_inverted_blocks_have_them() -> None:
    for kind in ("separable", "inverted"):
        layers = Block(kind, 8, expansion=2).layers(4)
        assert isinstance(layers, tuple)
        assert [part for part in sequence(layers, Shape(4, 8)) if isinstance(part, Depthwise)]
