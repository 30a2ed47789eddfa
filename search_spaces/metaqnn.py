"""MetaQNN's space: chains of convolutions, poolings and fully connected layers, one question a layer.

Baker, Gupta, Naik & Raskar, "Designing Neural Network Architectures using Reinforcement Learning", ICLR 2017,
section 4.1 and table 1. Images enter in their native size. A kernel or window fits if it is at most the lower end of
the size's bin, [8, ∞), [4, 8) or [1, 4), whatever the true size: so the state alone tells what is legal.

Departs from the paper: nothing known. Where the released code does, it is not followed: there a window must be smaller
than the bin's lower end, global pooling comes after a 1 × 1 convolution to the classes with ReLU, dropouts are also
put after fully connected layers, and their number n counts the softmax.
"""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

from nas.blocks import Block
from nas.errors import UserError
from nas.layers import Conv, Dropout, Layers, Pool, Relu
from nas.network import Network
from nas.space import Choice, Pick, Space

CONVOLUTIONS = {f"conv {k}x{k} {width}": (k, width) for k in (1, 3, 5) for width in (64, 128, 256, 512)}
POOLINGS = {f"pool {k}x{k} stride {stride}": (k, stride) for k, stride in ((5, 3), (3, 2), (2, 2))}
DENSE = {f"dense {width}": width for width in (512, 256, 128)}


class State(NamedTuple):
    """What the paper's agent knows, and all that decides which layers are legal."""

    layer: str  # the last one, with its parameters
    depth: int  # layers so far
    smallest: int  # lower end of the size bin; 0 after a fully connected layer or global pooling
    dense: int  # fully connected layers so far


class MetaQnn(Space):
    """At most `depth` layers (the paper: 18 for CIFAR-10, 12 for SVHN), then softmax: one question for each of them.

    Choosing softmax classifies all channels and positions; after "gap", which counts as a layer, there is one position.
    """

    layer = Choice(*CONVOLUTIONS, *POOLINGS, *DENSE, "gap", "softmax")

    def __init__(self, depth: int = 18) -> None:
        if depth < 1:
            raise UserError(f"metaqnn: found depth {depth}, expected at least 1 layer")
        self.depth = depth

    def build(self, pick: Pick) -> Network:
        """Ask for one layer after the other until one is the softmax."""
        size, blocks = self.images.size, []
        state = State("start", 0, smallest_of_bin(size), 0)
        while (layer := pick(self.layer, among=legal(state, state.depth == self.depth), state=state)) != "softmax":
            if layer in POOLINGS:
                kernel, stride = POOLINGS[layer]
                size = (size - kernel) // stride + 1
            if layer != "gap":
                blocks.append(as_block(layer))
            flat = layer in DENSE or layer == "gap"
            state = State(layer, state.depth + 1, 0 if flat else smallest_of_bin(size), state.dense + (layer in DENSE))
        return Network(self.images.size, with_dropout(blocks), head="gap" if state.layer == "gap" else "flatten")


@cache
def legal(state: State, deepest: bool) -> tuple[str, ...]:
    """The layers that may come next; deepest: there is room for none."""
    if state.layer == "gap" or deepest:
        return ("softmax",)
    layers = ["softmax"]
    if state.dense == 0:
        layers += ["gap", *(name for name, (kernel, _) in CONVOLUTIONS.items() if kernel <= state.smallest)]
        layers += DENSE if state.smallest < 8 else ()
    if state.dense == 1:
        layers += (name for name, width in DENSE.items() if width <= DENSE[state.layer])
    if state.layer in CONVOLUTIONS:
        layers += (name for name, (kernel, _) in POOLINGS.items() if kernel <= state.smallest)
    return tuple(layers)


def smallest_of_bin(size: int) -> int:
    """The lower end of the bin that a representation of so many pixels a side falls into."""
    return next(edge for edge in (8, 4, 1) if size >= edge)


def as_block(layer: str) -> Block:
    """An option as a block."""
    if layer in CONVOLUTIONS:
        kernel, width = CONVOLUTIONS[layer]
        return Block(convolution, width, kernel)
    if layer in POOLINGS:
        window, stride = POOLINGS[layer]
        return Block(pooling, kernel=window, stride=stride)
    return Block("dense", DENSE[layer])


def with_dropout(blocks: list[Block]) -> tuple[Block, ...]:
    """Dropout after every second layer, the i-th of n with probability i / 2n."""
    n = len(blocks) // 2
    return tuple(
        block if number % 2 else replace(block, dropout=number / 2 / (2 * n)) for number, block in enumerate(blocks, 1)
    )


def convolution(block: Block, channels: int) -> Layers:
    """Convolution with bias, ReLU, dropout; no batch norm. Uses width, kernel, dropout."""
    return (Conv(block.width, block.kernel, bias=True), Relu(), *_dropout(block))


def pooling(block: Block, channels: int) -> Layers:
    """Max pooling without padding, dropout. Uses kernel, stride, dropout."""
    assert isinstance(block.kernel, int)
    return (Pool("max", block.kernel, block.stride, "valid"), *_dropout(block))


def _dropout(block: Block) -> Layers:
    return (Dropout(block.dropout),) if block.dropout else ()
