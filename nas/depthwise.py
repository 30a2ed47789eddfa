"""Depthwise convolutions that train fast on a CPU too.

oneDNN (3.13, as in torch 2.15) has fast kernels for the gradients of some depthwise convolutions, and plain loops for
the others. One core with AVX-512 bf16, 128 images of 64 channels, milliseconds, its way and the way taken here:

    gradient of the weights, 5 × 5, 16 × 16 pixels: float32 15.3, bfloat16 41.6; as kernels of 5 × 3: 3 and 2.5
    gradient of the input, 3 × 3, stride 2, 32 × 32 pixels: bfloat16 131; in float32: 7.4
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FAST = 3  # columns of a kernel whose gradient has a fast way


class Depthwise(nn.Conv2d):
    """Each channel with a kernel of its own: (N, C, H, W) to (N, C, ⌈H / stride⌉, ⌈W / stride⌉); kernels are odd."""

    def __init__(self, channels: int, kernel: tuple[int, int], stride: int) -> None:
        padding = (kernel[0] // 2, kernel[1] // 2)
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The same as nn.Conv2d, under autocast too."""
        if x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        weight: Tensor = self.weight
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            x, weight = x.to(kind), weight.to(kind)
        out: Tensor = _Convolution.apply(x, weight, self.stride[0])
        return out


class _Convolution(torch.autograd.Function):
    """Forward as it is, backward by the ways that are fast."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride = stride
        return F.conv2d(x, weight, None, stride, _padding(weight), groups=len(weight))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None]:
        (gradient,), (x, weight) = gradients, ctx.saved_tensors
        of_input = _of_input(gradient, x, weight, ctx.stride) if ctx.needs_input_grad[0] else None
        return of_input, _of_weight(gradient, x, weight, ctx.stride), None


def _of_input(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    three = (gradient, x, weight) if stride == 1 else (gradient.float(), x.float(), weight.float())
    return _gradient(0, *three, stride, _padding(weight)).to(x.dtype)


def _of_weight(gradient: Tensor, x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Three columns of the kernel at a time, as if they were a kernel of their own."""
    height, width = _padding(weight)
    if weight.shape[3] <= FAST:
        return _gradient(1, gradient, x, weight, stride, (height, width))
    out = torch.empty_like(weight)
    for first in range(0, weight.shape[3] - 2, 2):
        seen = F.pad(x, (width - first, 2 - width + first))  # what these columns meet, and as wide as x plus 2
        columns = slice(first, first + FAST)
        out[..., columns] = _gradient(1, gradient, seen, weight[..., columns].contiguous(), stride, (height, 0))
    return out


def _padding(weight: Tensor) -> tuple[int, int]:
    return weight.shape[2] // 2, weight.shape[3] // 2


def _gradient(which: int, gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
    """Of the input for 0, of the weight for 1."""
    wanted = (which == 0, which == 1, False)
    found = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, (stride, stride), padding, (1, 1), False, (0, 0), len(weight), wanted
    )
    out: Tensor = found[which]
    return out
