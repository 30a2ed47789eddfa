"""The block library: each block type is one function from a block's fields and its input channels to layers.

A block of one's own is such a function too, and needs no other change: `Block(my_block, 32)`. It may return a torch
module instead of layers; its cost is then counted when the child is trained, not before.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields
from inspect import isfunction
from typing import TYPE_CHECKING, Any, Union

from nas.errors import UserError, near
from nas.layers import Attention, Conv, Dropout, GlobalPool, Graph, Layers, Linear, Norm, Pool, Relu, SqueezeExcite

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Block:
    """One block of a network; fields that a kind does not name in its docstring mean nothing to it."""

    kind: str | BlockFunction  # a function of this module by name, or one's own
    width: int = 0  # output channels
    kernel: int | tuple[int, int] = 3  # pixels a side, odd
    stride: int = 1
    expansion: int = 1  # hidden channels of an inverted residual, as a multiple of its input's
    dilation: int = 1
    squeeze: int = 0  # squeeze-and-excitation with channels // squeeze hidden units; 0 for none
    heads: int = 4  # of self-attention
    dropout: float = 0.0  # share of values dropped
    extra: tuple[Hashable, ...] = ()  # what more a block function of one's own wants to know
    inputs: tuple[int, ...] | None = None  # 0 for the image, i for the i-th block; None for the one before

    @classmethod
    def read(cls, kind: object, values: Mapping[str, Any]) -> Block:
        """A block of a kind of this module, of fields that a file has; raises ValueError for what no block is."""
        if kind not in KINDS:
            raise ValueError(f"a block is {kind!r:.60}, which this version does not have")
        for name, value in values.items():
            several = isinstance(value, tuple) and name in ("kernel", "inputs")
            kinds = (float, int) if name == "dropout" else (int,)
            known = name in DEFAULTS and name != "extra" and (several or name != "inputs")
            if not known or not all(type(part) in kinds for part in (value if several else (value,))):
                raise ValueError(f"a block has {name} {value!r:.60}")
        return cls(str(kind), **values)

    @property
    def name(self) -> str:
        """The kind's name; of a function of one's own with its module's, so that it never is a built-in's."""
        if isinstance(self.kind, str):
            return self.kind
        if not callable(self.kind):
            return repr(self.kind)
        return f"{self.kind.__module__.rpartition('.')[2]}.{self.kind.__qualname__}"

    def __str__(self) -> str:
        values = vars(self)
        set_here = [f"{name}={values[name]}" for name, default in DEFAULTS.items() if values[name] != default]
        return " ".join([self.name, *set_here])

    def layers(self, channels: int) -> Layers | nn.Module:
        """What the block is made of for so many input channels; raises UserError for an unknown kind."""
        if callable(self.kind):
            return self.kind(self, channels)
        if self.kind not in KINDS:
            raise UserError(
                f"found the block type {self.kind!r}{near(str(self.kind), KINDS)}, expected one of {', '.join(KINDS)}, "
                "or a function"
            )
        return KINDS[self.kind](self, channels)


DEFAULTS = {field.name: field.default for field in fields(Block)[1:]}  # a name asks for them thousands of times
BlockFunction = Callable[[Block, int], Union[Layers, "nn.Module"]]


def conv(block: Block, channels: int) -> Layers:
    """Convolution, batch norm, ReLU. Uses width, kernel, stride, dilation, squeeze."""
    return (Conv(block.width, block.kernel, block.stride, block.dilation), Norm(), Relu(), *_gate(block, block.width))


def dilated(block: Block, channels: int) -> Layers:
    """A convolution with holes, twice as wide at least (Yu & Koltun 2016). Uses what `conv` uses."""
    return (
        Conv(block.width, block.kernel, block.stride, max(2, block.dilation)),
        Norm(),
        Relu(),
        *_gate(block, block.width),
    )


def separable(block: Block, channels: int) -> Layers:
    """Depthwise, then pointwise convolution (MobileNet V1, Howard et al. 2017). Uses width, kernel, stride, squeeze."""
    return (
        Conv(channels, block.kernel, block.stride, groups=channels),
        Norm(),
        Relu(),
        Conv(block.width),
        Norm(),
        Relu(),
        *_gate(block, block.width),
    )


def inverted(block: Block, channels: int) -> Layers:
    """Inverted residual with linear bottleneck (MobileNet V2, Sandler et al. 2018, table 1).

    Uses width, kernel, stride, expansion, squeeze (after the depthwise convolution, as MobileNet V3 has it).
    The shortcut is there where the shape stays.
    """
    hidden = channels * block.expansion
    widen: Layers = (Conv(hidden), Norm(), Relu(6)) if block.expansion > 1 else ()
    branch: Layers = (
        *widen,
        Conv(hidden, block.kernel, block.stride, groups=hidden),
        Norm(),
        Relu(6),
        *_gate(block, hidden),
        Conv(block.width),
        Norm(),
    )
    stays = block.stride == 1 and channels == block.width
    return (Graph((((0, ()), (0, branch)),)),) if stays else branch


def residual(block: Block, channels: int) -> Layers:
    """Basic residual block of two convolutions (ResNet v1, He et al. 2016, figure 5 left).

    Uses width, kernel, stride, squeeze (before the addition).
    """
    branch: Layers = (
        Conv(block.width, block.kernel, block.stride),
        Norm(),
        Relu(),
        Conv(block.width, block.kernel),
        Norm(),
        *_gate(block, block.width),
    )
    return (Graph((((0, _shortcut(block, channels)), (0, branch)),)), Relu())


def bottleneck(block: Block, channels: int) -> Layers:
    """Bottleneck residual block, hidden width a quarter (ResNet v1, He et al. 2016, figure 5 right).

    Uses width, kernel, stride (in the middle convolution), squeeze (before the addition).
    """
    hidden = max(1, block.width // 4)
    branch: Layers = (
        Conv(hidden),
        Norm(),
        Relu(),
        Conv(hidden, block.kernel, block.stride),
        Norm(),
        Relu(),
        Conv(block.width),
        Norm(),
        *_gate(block, block.width),
    )
    return (Graph((((0, _shortcut(block, channels)), (0, branch)),)), Relu())


def attention(block: Block, channels: int) -> Layers:
    """Self-attention over positions, added to its input, which a 1 × 1 convolution adapts where the shape changes.

    Uses width, stride, heads.
    """
    return (*_shortcut(block, channels), Graph((((0, ()), (0, (Attention(block.heads),))),)))


def max_pool(block: Block, channels: int) -> Layers:
    """Max pooling, padded. Uses kernel, stride."""
    return (Pool("max", _side(block), block.stride),)


def avg_pool(block: Block, channels: int) -> Layers:
    """Average pooling, padded, the padding not counted. Uses kernel, stride."""
    return (Pool("average", _side(block), block.stride),)


def identity(block: Block, channels: int) -> Layers:
    """Its input."""
    return ()


def dense(block: Block, channels: int) -> Layers:
    """Fully connected layer over all channels and positions, ReLU, dropout. Uses width, dropout."""
    return (Linear(block.width), Relu(), *((Dropout(block.dropout),) if block.dropout else ()))


def global_pool(block: Block, channels: int) -> Layers:
    """Global average pooling to one position."""
    return (GlobalPool(),)


def _gate(block: Block, channels: int) -> Layers:
    return (SqueezeExcite(max(1, channels // block.squeeze)),) if block.squeeze else ()


def _shortcut(block: Block, channels: int) -> Layers:
    """Nothing where the shape stays, else a strided 1 × 1 projection (ResNet's option B)."""
    return () if block.stride == 1 and block.width == channels else (Conv(block.width, 1, block.stride), Norm())


def _side(block: Block) -> int:
    return block.kernel if isinstance(block.kernel, int) else max(block.kernel)


KINDS: dict[str, BlockFunction] = {
    name: function
    for name, function in globals().items()
    if isfunction(function) and function.__module__ == __name__ and not name.startswith("_")
}
