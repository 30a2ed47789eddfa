"""MobileNets: stages of inverted residual blocks, with a resolution and a width multiplier.

Howard et al., "MobileNets", 2017 (the two multipliers); Sandler et al., "MobileNetV2", CVPR 2018 (the block);
Howard et al., "Searching for MobileNetV3", ICCV 2019 (squeeze-and-excitation); Tan et al., "MnasNet", CVPR 2019
(each stage with a shape of its own).

Departs from the papers: four stages, and fewer channels, so that small images train in seconds; activations are ReLU
and ReLU6 throughout; the resolution multiplier is an input size from half to twice the native one.
"""

from nas.blocks import Block
from nas.network import Network
from nas.space import Choice, Pick, Space

STEM = 16
STAGES = (16, 24, 40, 80)
LAST = 320  # four times the last stage, as in MobileNetV2


class Mobile(Space):
    """Input size and width multiplier; then for each stage stride, expansion, kernel, blocks, squeeze-and-excitation.

    A stage's first block has its stride. Maps over 32 pixels a side are always halved, by the stem too, and maps of 4
    or fewer never.
    """

    input_size = Choice(8, 12, 16, 24, 32, 48, 64, 96, 128, 160, 192, 224)
    width_multiplier = Choice(0.5, 0.75, 1.0, 1.5)
    stride = Choice(1, 2)
    expansion = Choice(3, 4, 6)
    kernel = Choice(3, 5)
    depth = Choice(1, 2, 3, 4)
    squeeze = Choice(False, True)

    def build(self, pick: Pick) -> Network:
        """Ask for the two multipliers, then for each stage."""
        native = max(4, min(self.images.size, 224))
        size = pick(self.input_size, among=[s for s in self.input_size.options if native / 2 <= s <= native * 2])
        multiplier = pick(self.width_multiplier, state=size)
        stem = Block("conv", scaled(STEM, multiplier), stride=2 if size > 32 else 1)
        side = -(-size // stem.stride)
        blocks = [stem]
        for stage, width in enumerate(STAGES):
            stride = pick(self.stride, among=strides(side), state=(stage, side))
            side = -(-side // stride)
            blocks += self._stage(pick, (stage, side), scaled(width, multiplier), stride)
        blocks.append(Block("conv", scaled(LAST, multiplier), kernel=1))
        return Network(size, tuple(blocks))

    def _stage(self, pick: Pick, state: tuple[int, int], width: int, stride: int) -> list[Block]:
        expansion = pick(self.expansion, state=state)
        kernel = pick(self.kernel, state=state)
        depth = pick(self.depth, state=state)
        squeeze = 4 if pick(self.squeeze, state=state) else 0  # to a quarter, as in MobileNetV3
        first = Block("inverted", width, kernel, stride, expansion, squeeze=squeeze)
        return [first] + [Block("inverted", width, kernel, 1, expansion, squeeze=squeeze)] * (depth - 1)


def strides(side: int) -> tuple[int, ...]:
    """The strides offered to a map of so many pixels a side."""
    if side > 32:
        return (2,)
    return (1, 2) if side > 4 else (1,)


def scaled(channels: int, multiplier: float) -> int:
    """The channels times the multiplier, as the nearest multiple of 8, at least 8."""
    return max(8, int(channels * multiplier + 4) // 8 * 8)
