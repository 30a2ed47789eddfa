"""Well-known networks beside which a search's winner is judged, as plain data.

Departs from the papers: all take images at one size, and end in global pooling and a linear classifier. ResNet-20 has
projections as shortcuts where the shape changes (option B), not zeros. MobileNets leave out their first strides on
small images, so that 2 × 2 positions are left at least, and MobileNet V2 has ReLU for ReLU6 in its first and last
convolution and no dropout. The MLP has batch norm, for all are trained with one recipe, and at its rate the weights of
an MLP without run away.
"""

from __future__ import annotations

from collections.abc import Iterator

from nas.blocks import Block
from nas.layers import Layers, Linear, Norm, Relu
from nas.network import Images, Network

LARGEST = 224  # pixels a side that the papers' networks are made for
LARGEST_MLP = 32  # more would be weights on single pixels and little else


def peers(images: Images, size: int) -> dict[str, Network]:
    """The networks by name, for images of so many pixels a side."""
    side = min(size, LARGEST)
    deep = {"ResNet-18": resnet18(side)} if images.size >= 64 <= side else {"ResNet-20": resnet20(side)}
    return {
        "MLP": mlp(min(side, LARGEST_MLP)),
        "plain CNN": plain(side),
        **deep,
        "MobileNet V1": mobilenet_v1(side),
        "MobileNet V2": mobilenet_v2(side),
    }


def mlp(side: int) -> Network:
    """Two hidden layers of 512."""
    return Network(side, (Block(hidden, 512), Block(hidden, 512)))


def hidden(block: Block, channels: int) -> Layers:
    """Fully connected layer over all channels and positions, batch norm (Ioffe & Szegedy 2015), ReLU. Uses width."""
    return (Linear(block.width), Norm(), Relu())


def plain(side: int) -> Network:
    """Three stages of two convolutions, without shortcuts, and pooling between them (Simonyan & Zisserman 2015)."""
    pool = Block("max_pool", kernel=2, stride=2)
    stages = [(Block("conv", width), Block("conv", width)) for width in (32, 64, 128)]
    return Network(side, (*stages[0], pool, *stages[1], pool, *stages[2]))


def resnet20(side: int) -> Network:
    """He et al. 2016, section 4.2, with n = 3."""
    blocks = [Block("conv", 16)]
    for width in (16, 32, 64):
        blocks += [Block("residual", width, stride=1 if width == 16 else 2), *[Block("residual", width)] * 2]
    return Network(side, tuple(blocks))


def resnet18(side: int) -> Network:
    """He et al. 2016, table 1."""
    blocks = [Block("conv", 64, kernel=7, stride=2), Block("max_pool", stride=2)]
    for width in (64, 128, 256, 512):
        blocks += [Block("residual", width, stride=1 if width == 64 else 2), Block("residual", width)]
    return Network(side, tuple(blocks))


def mobilenet_v1(side: int) -> Network:
    """Howard et al. 2017, table 1."""
    halved = _halved(side, 5)
    stages = ((64, 1, False), (128, 2, True), (256, 2, True), (512, 6, True), (1024, 2, True))
    blocks = [Block("conv", 32, stride=next(halved))]
    for width, count, strided in stages:
        first = Block("separable", width, stride=next(halved) if strided else 1)
        blocks += [first, *[Block("separable", width)] * (count - 1)]
    return Network(side, tuple(blocks))


def mobilenet_v2(side: int) -> Network:
    """Sandler et al. 2018, table 2."""
    halved = _halved(side, 5)
    stages = (
        (1, 16, 1, False), (6, 24, 2, True), (6, 32, 3, True), (6, 64, 4, True), (6, 96, 3, False), (6, 160, 3, True),
        (6, 320, 1, False),
    )  # fmt: skip
    blocks = [Block("conv", 32, stride=next(halved))]
    for expansion, width, count, strided in stages:
        first = Block("inverted", width, stride=next(halved) if strided else 1, expansion=expansion)
        blocks += [first, *[Block("inverted", width, expansion=expansion)] * (count - 1)]
    return Network(side, (*blocks, Block("conv", 1280, kernel=1)))


def _halved(side: int, count: int) -> Iterator[int]:
    """So many strides of 2, of which the first are left out, as 1, while fewer than 2 pixels a side would be left."""
    kept = min(count, max(0, (side - 1).bit_length() - 1))
    return iter([1] * (count - kept) + [2] * kept)
