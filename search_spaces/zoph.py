"""Zoph & Le's space: convolutions of free filter shapes, with skip connections between any two of them.

Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, sections 3.3, 4.1 and figure 4.

Departs from the paper: a stride is the same for height and width, as maps are square here. Depth, which the paper
raises by schedule, is a question: under the limit depth=6+2/1600 it is 6 for the first 1,600 children, as there, and
then may be any of the depths reached; shallowest=15 fixes it at 15. The paper does not say how maps become the
classifier's input: here by global average pooling. Pooling layers (its last two results) are left out.
"""

from nas.blocks import Block
from nas.errors import UserError
from nas.network import Network
from nas.space import Choice, Pick, Space


class Zoph(Space):
    """`shallowest` to `depth` layers in steps of two; each takes any earlier ones, or the image if it takes none.

    Inputs are concatenated, smaller maps filled up with zeros, and what no layer takes goes to the classifier.
    strides: search strides of 1 to 3 too; without it all are 1.
    """

    filter_height = Choice(1, 3, 5, 7)
    filter_width = Choice(1, 3, 5, 7)
    stride = Choice(1, 2, 3)
    filters = Choice(24, 36, 48, 64)

    def __init__(self, depth: int = 15, shallowest: int = 6, strides: bool = False) -> None:
        if depth < 1 or shallowest < 1:
            raise UserError(f"zoph: found depth {depth} and shallowest {shallowest}, expected at least 1 layer")
        self.depth = Choice(*range(shallowest, depth, 2), depth)
        self.strides = strides

    def build(self, pick: Pick) -> Network:
        """Ask for the depth, then for each layer its inputs, filter shape, stride and number of filters."""
        blocks = []
        for layer in range(pick(self.depth)):
            pick.anchor()
            links = pick.links(range(layer), state=layer)
            height = pick(self.filter_height, state=layer)
            width = pick(self.filter_width, state=(layer, height))
            stride = pick(self.stride, state=(layer, height, width)) if self.strides else 1
            filters = pick(self.filters, state=(layer, height, width))
            inputs = tuple(earlier + 1 for earlier, linked in enumerate(links) if linked)
            blocks.append(Block("conv", filters, (height, width), stride, inputs=inputs))
        return Network(self.images.size, tuple(blocks), join="concat", head="gap")
