"""NAS-Bench-201's space: one cell of six edges with five operations each, in the benchmark's own network.

Dong & Yang, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search", ICLR 2020, section 2.1.

Departs from the paper: nothing known on images whose sides halve without a rest twice; on others the reduction's
average pooling keeps the rest, so that both of its branches end in one size.
"""

from collections.abc import Hashable

from nas.blocks import Block
from nas.errors import UserError
from nas.layers import Conv, Graph, Layers, Norm, Pool, Relu
from nas.network import Network
from nas.space import Candidate, Choice, Pick, Space

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))  # (node, earlier node), in the order asked


class NasBench201(Space):
    """Six operations, in the order of `EDGES`; `channels` in the first of three stages of `cells` cells.

    Channels double and the map halves between stages. 5^6 = 15,625 candidates.
    """

    operation = Choice("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")

    def __init__(self, channels: int = 16, cells: int = 5) -> None:
        if channels < 1 or cells < 1:
            raise UserError(f"nasbench201: found {channels} channels and {cells} cells, expected at least 1 of each")
        self.channels = channels
        self.cells = cells

    def build(self, pick: Pick) -> Network:
        """Ask for the operation of each edge; a tabular agent knows which it is and the operation before."""
        operations: tuple[str, ...] = ()
        for place in range(len(EDGES)):
            operations += (pick(self.operation, state=(place, *operations[-1:])),)
        first, second, third = (
            (Block(cell, width, extra=operations),) * self.cells
            for width in (self.channels, 2 * self.channels, 4 * self.channels)
        )
        blocks = (
            Block(stem, self.channels),
            *first,
            Block(reduction, 2 * self.channels, stride=2),
            *second,
            Block(reduction, 4 * self.channels, stride=2),
            *third,
            Block(activation),
        )
        return Network(self.images.size, blocks)

    def ops(self, candidate: Candidate) -> str:
        """A candidate's operations in the order of `EDGES`, joined by "-": its name in tables of the benchmark."""
        return "-".join(self.operation.options[answer] for answer in candidate.answers)


def cell(block: Block, channels: int) -> Layers:
    """Four nodes, each the sum of its edges from all earlier ones. Uses width, extra (the operations)."""
    edges = dict(zip(EDGES, block.extra, strict=True))
    return (
        Graph(
            tuple(
                tuple(
                    (source, _layers(operation, block.width))
                    for (end, source), operation in edges.items()
                    if end == node and operation != "none"
                )
                for node in (1, 2, 3)
            )
        ),
    )


def stem(block: Block, channels: int) -> Layers:
    """Convolution, batch norm. Uses width."""
    return (Conv(block.width, 3), Norm())


def reduction(block: Block, channels: int) -> Layers:
    """Basic residual block with ReLU first, its shortcut average-pooled and projected. Uses width, stride."""
    branch = (Relu(), Conv(block.width, 3, block.stride), Norm(), Relu(), Conv(block.width, 3), Norm())
    shortcut = (Pool("average", block.stride, block.stride), Conv(block.width))
    return (Graph((((0, shortcut), (0, branch)),)),)


def activation(block: Block, channels: int) -> Layers:
    """Batch norm, ReLU: what comes before the global pooling."""
    return (Norm(), Relu())


def _layers(operation: Hashable, width: int) -> Layers:
    match operation:
        case "nor_conv_1x1":
            return (Relu(), Conv(width, 1), Norm())
        case "nor_conv_3x3":
            return (Relu(), Conv(width, 3), Norm())
        case "avg_pool_3x3":
            return (Pool("average", 3, 1),)
    return ()
