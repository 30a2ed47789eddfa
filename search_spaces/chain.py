"""The default: a chain of two to six convolutional blocks, for any image size."""

from nas.blocks import Block
from nas.network import Network
from nas.space import Choice, Pick, Space


class Chain(Space):
    """Input size from half to twice the native one; then for each block its type, kernel, width and stride.

    Photographs count as 64 pixels a side, images of fewer than 4 as 4. A stride of 2 is offered while the map has more
    than 4 pixels a side.
    """

    input_size = Choice(8, 12, 16, 32, 64, 128)
    depth = Choice(2, 3, 4, 5, 6)
    block = Choice("conv", "separable", "inverted", "residual")
    kernel = Choice(3, 5)
    width = Choice(16, 24, 32, 48, 64)
    stride = Choice(1, 2)

    def build(self, pick: Pick) -> Network:
        """Ask for the input size, the depth and each block; a tabular agent knows the layer, its side and its type."""
        native = max(4, min(self.images.size, 64))
        size = pick(self.input_size, among=[s for s in self.input_size.options if native / 2 <= s <= native * 2])
        depth = pick(self.depth)
        blocks, side = [], size
        for layer in range(depth):
            kind = pick(self.block, state=(layer, side))
            kernel = pick(self.kernel, state=(layer, side, kind))
            width = pick(self.width, state=(layer, side, kind))
            stride = pick(self.stride, among=(1, 2) if side > 4 else (1,), state=(layer, side, kind))
            blocks.append(Block(kind, width, kernel, stride, expansion=3 if kind == "inverted" else 1))
            side = -(-side // stride)
        return Network(size, tuple(blocks))
