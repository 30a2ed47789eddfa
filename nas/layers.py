"""The layers that blocks are made of, as data: each knows its output shape and its exact cost; no torch here.

Cost counts follow the usual convention: multiply-adds of convolutions, linear layers and attention products;
normalisation, activations, pooling and additions are free. `nas.modules` turns the same data into torch modules.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple, Protocol

from nas.errors import UserError


class Shape(NamedTuple):
    """What flows between layers: (N, channels, size, size)."""

    channels: int
    size: int


class Costs(NamedTuple):
    """Parameters, and multiply-adds for one image."""

    params: int
    madds: int


class Layer(Protocol):
    """One step from a shape to a shape."""

    def out(self, shape: Shape) -> Shape:
        """The shape after this layer."""

    def costs(self, shape: Shape) -> Costs:
        """The cost of this layer on one input of that shape."""


Layers = tuple[Layer, ...]


class Plain:
    """What a layer is unless it says otherwise: the shape stays, and nothing is counted."""

    def out(self, shape: Shape) -> Shape:
        """The shape after this layer."""
        return shape

    def costs(self, shape: Shape) -> Costs:
        """Nothing."""
        return Costs(0, 0)


@dataclass(frozen=True)
class Conv:
    """A convolution whose zero padding keeps the size: out = ⌈size / stride⌉. Kernels are odd."""

    width: int
    kernel: int | tuple[int, int] = 1
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    bias: bool = False  # what a norm would undo

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width of the kernel."""
        return self.kernel if isinstance(self.kernel, tuple) else (self.kernel, self.kernel)

    def out(self, shape: Shape) -> Shape:
        """⌈size / stride⌉; raises UserError for a width, kernel or stride that no convolution can have."""
        if not are_whole(self.width, self.stride, self.dilation, self.groups, *self.sides) or len(self.sides) != 2:
            raise UserError(f"found {self}, expected whole numbers, as kernel one or two of them")
        if self.dilation < 1 or self.groups < 1:
            raise UserError(f"found {self}, expected a dilation and groups of at least 1")
        if self.width < 1 or self.stride < 1 or any(side < 1 or side % 2 == 0 for side in self.sides):
            raise UserError(f"found {self}, expected a width and stride of at least 1 and odd kernels")
        return Shape(self.width, -(-shape.size // self.stride))

    def costs(self, shape: Shape) -> Costs:
        """Kernel × inputs a group × outputs, once a position; a bias an output if there is one."""
        height, width = self.sides
        weights = height * width * (shape.channels // self.groups) * self.width
        return Costs(weights + self.width * self.bias, weights * self.out(shape).size ** 2)


@dataclass(frozen=True)
class Norm(Plain):
    """Batch normalisation (Ioffe & Szegedy 2015)."""

    def costs(self, shape: Shape) -> Costs:
        """A scale and a shift a channel."""
        return Costs(2 * shape.channels, 0)


@dataclass(frozen=True)
class Relu(Plain):
    """max(0, x), capped if `cap` is given (MobileNet V2's ReLU6)."""

    cap: float | None = None


@dataclass(frozen=True)
class Pool(Plain):
    """Pooling; "same" padding gives ⌈size / stride⌉, "valid" none ⌈(size - kernel + 1) / stride⌉.

    Padding never counts. "same" takes an odd kernel, or one that equals the stride.
    """

    kind: str  # "max" or "average"
    kernel: int
    stride: int
    padding: str = "same"

    def out(self, shape: Shape) -> Shape:
        """See the class; raises UserError where the window does not fit."""
        if not are_whole(self.kernel, self.stride):
            raise UserError(f"found {self}, expected whole numbers as kernel and stride")
        if self.stride < 1 or self.kernel < 1 or (self.padding == "same" and not self._same()):
            raise UserError(f"found {self}, expected a stride of at least 1 and a kernel that is odd or equals it")
        if self.padding == "same":
            return Shape(shape.channels, -(-shape.size // self.stride))
        if shape.size < self.kernel:
            raise UserError(
                f"found an input of {shape.size} × {shape.size} for a {self.kernel} × {self.kernel} pooling without "
                "padding, expected one at least as large; offer pooling only where it fits"
            )
        return Shape(shape.channels, (shape.size - self.kernel) // self.stride + 1)

    def _same(self) -> bool:
        return self.kernel % 2 == 1 or self.kernel == self.stride


@dataclass(frozen=True)
class GlobalPool(Plain):
    """Global average pooling (Lin et al. 2014): (N, C, S, S) to (N, C, 1, 1)."""

    def out(self, shape: Shape) -> Shape:
        """One position."""
        return Shape(shape.channels, 1)


@dataclass(frozen=True)
class Linear:
    """A fully connected layer with bias over all channels and positions: (N, C, S, S) to (N, width, 1, 1)."""

    width: int

    def out(self, shape: Shape) -> Shape:
        """One position; raises UserError for a width under 1."""
        if not are_whole(self.width) or self.width < 1:
            raise UserError(f"found {self}, expected a width of at least 1, a whole number")
        return Shape(self.width, 1)

    def costs(self, shape: Shape) -> Costs:
        """Every input to every output, and a bias an output."""
        products = shape.channels * shape.size**2 * self.width
        return Costs(products + self.width, products)


@dataclass(frozen=True)
class Dropout(Plain):
    """Dropout of single values with this probability (Srivastava et al. 2014)."""

    share: float

    def out(self, shape: Shape) -> Shape:
        """Unchanged; raises UserError for what is no probability."""
        if not (isinstance(self.share, Real) and 0 <= self.share <= 1):
            raise UserError(f"found {self}, expected a share of 0 to 1")
        return shape


@dataclass(frozen=True)
class SqueezeExcite(Plain):
    """Channels weighted by a two-layer gate over their means (Hu et al. 2018)."""

    hidden: int

    def out(self, shape: Shape) -> Shape:
        """Unchanged; raises UserError for a gate of no units."""
        if not are_whole(self.hidden) or self.hidden < 1:
            raise UserError(f"found {self}, expected at least 1 hidden unit, a whole number")
        return shape

    def costs(self, shape: Shape) -> Costs:
        """Two linear layers with bias, once an image."""
        products = 2 * shape.channels * self.hidden
        return Costs(products + self.hidden + shape.channels, products)


@dataclass(frozen=True)
class Attention:
    """Multi-head self-attention over positions (Vaswani et al. 2017), layer-normalised first, no bias."""

    heads: int

    def out(self, shape: Shape) -> Shape:
        """Unchanged; raises UserError if the heads do not divide the channels."""
        if not are_whole(self.heads) or self.heads < 1 or shape.channels % self.heads:
            raise UserError(f"found {shape.channels} channels for {self.heads} heads, expected a multiple of the heads")
        return shape

    def costs(self, shape: Shape) -> Costs:
        """Query, key, value and output projections, and the two products of positions with positions."""
        positions = shape.size**2
        projections = 4 * shape.channels**2
        return Costs(
            projections + 2 * shape.channels, projections * positions + 2 * positions * positions * shape.channels
        )


@dataclass(frozen=True)
class Graph:
    """Nodes that each sum their edges; an edge is (earlier node, layers), node 0 the input, the last node the output.

    A node without edges is zero, in the shape of the input. All edges of a node end in one shape.
    """

    nodes: tuple[tuple[tuple[int, Layers], ...], ...]

    def shapes(self, shape: Shape) -> list[Shape]:
        """The shape of each node, the input's first; raises UserError where the edges of a node disagree."""
        shapes = [shape]
        for edges in self.nodes:
            ends = {out_of(layers, shapes[source]) for source, layers in edges} or {shape}
            if len(ends) > 1:
                raise UserError(f"found {sorted(ends)} at one node, expected all its edges to end in one shape")
            shapes.append(ends.pop())
        return shapes

    def out(self, shape: Shape) -> Shape:
        """The last node's."""
        return self.shapes(shape)[-1]

    def costs(self, shape: Shape) -> Costs:
        """All edges'."""
        shapes = self.shapes(shape)
        every = [costs_of(layers, shapes[source]) for edges in self.nodes for source, layers in edges]
        return Costs(sum(c.params for c in every), sum(c.madds for c in every))


def are_whole(*numbers: object) -> bool:
    """Whether these are whole numbers, numpy's among them."""
    return all(isinstance(number, Integral) for number in numbers)


def out_of(layers: Layers, shape: Shape) -> Shape:
    """The shape after these layers."""
    for layer in layers:
        shape = layer.out(shape)
    return shape


def costs_of(layers: Layers, shape: Shape) -> Costs:
    """The cost of these layers, one after the other."""
    params = madds = 0
    for layer in layers:
        cost = layer.costs(shape)
        params, madds, shape = params + cost.params, madds + cost.madds, layer.out(shape)
    return Costs(params, madds)
