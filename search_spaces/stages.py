"""Convolutional stages of small images, the ResNet-9 among them that learns CIFAR-10 within minutes of a GPU.

Page, "How to Train Your ResNet", 2018 (a convolution and a pooling a stage, residual blocks after some of them, at 64
to 512 channels); He et al., "Deep Residual Learning for Image Recognition", CVPR 2016 (the blocks, strides in place of
pooling); Hu et al., "Squeeze-and-Excitation Networks", CVPR 2018.

Departs from Page: ReLU follows the addition, as in He et al.; the classifier follows average pooling, unscaled.
"""

from nas.blocks import Block
from nas.errors import UserError
from nas.network import Network
from nas.space import Choice, Pick, Space

WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Stages(Space):
    """A stem's width and two to four stages: each widens and halves the map, then has up to three blocks alike.

    A stage is one to three times as wide as what comes before it, and at most `widest`. Maps of fewer than 4 pixels a
    side are not halved. Images of more than 64 pixels a side are made smaller.
    """

    stem = Choice(16, 32, 48, 64)
    depth = Choice(2, 3, 4)
    kernel = Choice(3, 5)
    reduction = Choice("stride", "max_pool", "avg_pool")
    blocks = Choice(0, 1, 2, 3)
    block = Choice("conv", "residual", "bottleneck", "inverted")
    squeeze = Choice(False, True)

    def __init__(self, widest: int = 512) -> None:
        if widest < WIDTHS[0]:
            raise UserError(f"stages: found widest={widest}, expected at least {WIDTHS[0]} channels")
        self.widest = widest
        self.width = Choice(*(width for width in WIDTHS if width <= widest))

    def build(self, pick: Pick) -> Network:
        """Ask for the stem, the depth and each stage; a tabular agent knows the stage, its width and its block."""
        side = size = min(self.images.size, 64)
        width = pick(self.stem, among=[width for width in self.stem.options if width <= self.widest])
        blocks = [Block("conv", width)]
        for stage in range(pick(self.depth)):
            allowed = [wider for wider in self.width.options if width <= wider <= 3 * width]
            width = pick(self.width, among=allowed, state=(stage, width))
            blocks += self._reduced(pick, (stage, width), side)
            blocks += self._alike(pick, (stage, width))
            side = halved(side)
        return Network(size, tuple(blocks))

    def _reduced(self, pick: Pick, state: tuple[int, int], side: int) -> list[Block]:
        kernel = pick(self.kernel, state=state)
        if halved(side) == side:
            return [Block("conv", state[1], kernel)]
        reduction = pick(self.reduction, state=state)
        if reduction == "stride":
            return [Block("conv", state[1], kernel, stride=2)]
        return [Block("conv", state[1], kernel), Block(reduction, kernel=2, stride=2)]

    def _alike(self, pick: Pick, state: tuple[int, int]) -> list[Block]:
        count = pick(self.blocks, state=state)
        if not count:
            return []
        kind = pick(self.block, state=state)
        squeeze = 8 if pick(self.squeeze, state=(*state, kind)) else 0
        return [Block(kind, state[1], expansion=3 if kind == "inverted" else 1, squeeze=squeeze)] * count


def halved(side: int) -> int:
    """The side of a map after a stage."""
    return side if side < 4 else -(-side // 2)
