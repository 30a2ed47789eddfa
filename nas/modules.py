"""Layers, which are data, as torch modules."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas.depthwise import Depthwise
from nas.errors import UserError
from nas.layers import (
    Attention,
    Conv,
    Dropout,
    GlobalPool,
    Graph,
    Layer,
    Layers,
    Linear,
    Norm,
    Pool,
    Relu,
    Shape,
    SqueezeExcite,
)

if TYPE_CHECKING:
    from nas.network import Stage


class Child(nn.Module):
    """A network's stages, each taking the joined outputs of earlier ones: (N, C, S, S) to logits (N, classes)."""

    def __init__(self, stages: Sequence[Stage], join: str) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            sequence(stage.layers, stage.shape) if isinstance(stage.layers, tuple) else stage.layers for stage in stages
        )
        self.sources = [stage.sources for stage in stages]
        self.last = {source: number for number, stage in enumerate(stages) for source in stage.sources}
        self.join = join

    def forward(self, images: Tensor) -> Tensor:
        """images: float (N, C, S, S); gives logits (N, classes)."""
        outputs = {0: images}
        for number, (stage, sources) in enumerate(zip(self.stages, self.sources, strict=True)):
            joined = join([outputs[source] for source in sources], self.join)
            for source in sources:
                if self.last[source] == number:
                    del outputs[source]  # or inference would hold all maps until its end
            outputs[number + 1] = stage(joined)
        return outputs[len(self.stages)].flatten(1)


class Nodes(nn.Module):
    """A `Graph`: each node the sum of its edges, the last one the output."""

    def __init__(self, graph: Graph, shape: Shape) -> None:
        super().__init__()
        shapes = graph.shapes(shape)
        self.edges = nn.ModuleList(
            nn.ModuleList(sequence(layers, shapes[source]) for source, layers in edges) for edges in graph.nodes
        )
        self.sources = [[source for source, _ in edges] for edges in graph.nodes]

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to the last node's shape."""
        nodes = [x]
        for edges, sources in zip(self.edges, self.sources, strict=True):
            ends = [edge(nodes[source]) for edge, source in zip(edges, sources, strict=True)]  # type: ignore[call-overload]
            nodes.append(sum(ends[1:], ends[0]) if ends else torch.zeros_like(x))
        return nodes[-1]


class Gate(nn.Module):
    """Squeeze-and-excitation (Hu et al. 2018): (N, C, S, S) times a weight for each channel."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, hidden, 1)
        self.excite = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to the same."""
        means = x.mean((2, 3), keepdim=True)
        return x * torch.sigmoid(self.excite(F.relu(self.squeeze(means))))


class SelfAttention(nn.Module):
    """Multi-head self-attention over positions (Vaswani et al. 2017): (N, C, S, S) to the same."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, channels)
        self.project_in = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.project_out = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) to the same."""
        n, c, height, width = x.shape
        split = self.project_in(self.norm(x)).reshape(n, 3, self.heads, c // self.heads, height * width)
        query, key, value = split.transpose(-1, -2).unbind(1)  # each (N, heads, S², C / heads)
        mixed = F.scaled_dot_product_attention(query, key, value)
        out: Tensor = self.project_out(mixed.transpose(-1, -2).reshape(n, c, height, width))
        return out


def join(outputs: Sequence[Tensor], how: str) -> Tensor:
    """Outputs (N, C_i, S_i, S_i) as one: zeros fill up smaller maps, and for "add" missing channels too."""
    if len(outputs) == 1:
        return outputs[0]
    size = max(output.shape[-1] for output in outputs)
    channels = max(output.shape[1] for output in outputs)
    padded = [
        F.pad(x, (0, size - x.shape[-1], 0, size - x.shape[-1], 0, channels - x.shape[1] if how == "add" else 0))
        for x in outputs
    ]
    return torch.cat(padded, 1) if how == "concat" else torch.stack(padded).sum(0)


def sequence(layers: Layers, shape: Shape) -> nn.Sequential:
    """Layers for inputs of this shape, one after the other."""
    modules = []
    for layer in layers:
        modules.append(module(layer, shape))
        shape = layer.out(shape)
    for before, after in itertools.pairwise(modules):
        if isinstance(before, nn.BatchNorm2d) and isinstance(after, nn.ReLU | nn.Hardtanh):
            after.inplace = True  # only there: what comes in from outside may be another edge's or block's input too
    return nn.Sequential(*modules)


def module(layer: Layer, shape: Shape) -> nn.Module:  # noqa: PLR0911 - a line a layer
    """The torch module of one layer for inputs of this shape."""
    match layer:
        case Conv():
            return _conv(layer, shape)
        case Norm():
            return nn.BatchNorm2d(shape.channels)
        case Relu(cap):
            return nn.ReLU() if cap is None else nn.Hardtanh(0.0, cap)
        case Pool():
            return _pool(layer)
        case GlobalPool():
            return nn.AdaptiveAvgPool2d(1)
        case Linear(width):
            linear = nn.Linear(shape.channels * shape.size**2, width)
            return nn.Sequential(nn.Flatten(), linear, nn.Unflatten(1, (width, 1, 1)))
        case Dropout(share):
            return nn.Dropout(share)
        case SqueezeExcite(hidden):
            return Gate(shape.channels, hidden)
        case Attention(heads):
            return SelfAttention(shape.channels, heads)
        case Graph():
            return Nodes(layer, shape)
    raise UserError(f"found the layer {layer!r}, expected one of nas.layers; return a torch module instead")


def measured(module: nn.Module, shape: Shape) -> Shape:
    """The shape after a module, found by passing one image of zeros; raises UserError if it is no square map."""
    training = module.training
    with torch.no_grad():
        out = module.eval()(torch.zeros(1, shape.channels, shape.size, shape.size))
    module.train(training)
    if out.ndim != 4 or out.shape[-1] != out.shape[-2]:
        raise UserError(f"found an output of shape {tuple(out.shape)}, expected (N, channels, size, size)")
    return Shape(out.shape[1], out.shape[-1])


def initialise(module: nn.Module, how: str) -> None:
    """Draw all weights of convolutions and linear layers anew: "he" (He et al. 2015) or "xavier" (Glorot 2010)."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            if how == "he":
                nn.init.kaiming_normal_(part.weight, mode="fan_in", nonlinearity="relu")
            elif how == "xavier":
                nn.init.xavier_uniform_(part.weight)
            else:
                raise UserError(f"found the initialisation {how!r}, expected 'he' or 'xavier'")
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def _conv(layer: Conv, shape: Shape) -> nn.Conv2d:
    height, width = layer.sides
    if layer.groups == layer.width == shape.channels > 1 and layer.dilation == 1 and not layer.bias:
        return Depthwise(layer.width, layer.sides, layer.stride)
    padding = (layer.dilation * (height // 2), layer.dilation * (width // 2))
    return nn.Conv2d(
        shape.channels, layer.width, (height, width), layer.stride, padding, layer.dilation, layer.groups, layer.bias
    )


def _pool(layer: Pool) -> nn.Module:
    odd = layer.kernel % 2 == 1
    padding, ceil = (layer.kernel // 2 if odd else 0, not odd) if layer.padding == "same" else (0, False)
    if layer.kind == "max":
        return nn.MaxPool2d(layer.kernel, layer.stride, padding, ceil_mode=ceil)
    return nn.AvgPool2d(layer.kernel, layer.stride, padding, ceil_mode=ceil, count_include_pad=False)
