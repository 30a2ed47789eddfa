"""A child network as plain frozen data: its key, its cost figures, its torch module."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import TYPE_CHECKING, NamedTuple

from nas.blocks import Block
from nas.errors import UserError
from nas.layers import Costs, GlobalPool, Layers, Linear, Shape, costs_of, out_of

if TYPE_CHECKING:
    from torch import nn

LARGEST_SIDE = 4096  # pixels, of images and of what a network takes
MOST_BLOCKS = 3_000  # what has more was built by a loop that went astray
MOST_PARAMS, MOST_MADDS = 10**11, 10**15  # of a network: no memory holds the one, no week is enough for the other
KEY_VERSION = 1  # raise it when `Network.written` changes, for keys then change too


class Images(NamedTuple):
    """What a space may know of the data at hand: native size (pixels a side), channels, number of classes."""

    size: int
    channels: int
    classes: int


class Stage(NamedTuple):
    """One block in its place: where its input comes from, the shape of that, and what it is made of."""

    sources: tuple[int, ...]  # 0 for the image, i for the i-th stage
    shape: Shape
    layers: Layers | nn.Module


@dataclass(frozen=True)
class Network:
    """Images are resized to `input_size` squared, pass the blocks, and end in a linear classifier.

    Blocks stand in a chain unless their `inputs` say otherwise. Several inputs are joined by "concat" along the
    channels or by "add"; where they differ, zeros fill up the smaller maps, and for "add" the missing channels
    (Zoph & Le 2017, section 3.3). What no block takes as its input is joined before the classifier.
    head: "gap" pools globally before the classifier, "flatten" gives it every position.
    """

    input_size: int
    blocks: tuple[Block, ...]
    join: str = "concat"
    head: str = "gap"

    @cached_property
    def written(self) -> str:
        """The network as one line of text: version, input size, join, head, then each block with what it sets."""
        blocks = "; ".join(map(str, self.blocks))
        return f"network {KEY_VERSION}: {self.input_size} {self.join} {self.head}: {blocks}"

    @cached_property
    def key(self) -> str:
        """The network's name: the first 64 bits of BLAKE2b over `written`, as 16 hexadecimal digits.

        Two ways of writing one function are two keys; nothing is simplified first.
        """
        return hashlib.blake2b(self.written.encode(), digest_size=8).hexdigest()

    def stages(self, channels: int) -> tuple[Stage, ...]:
        """The blocks in their places, for images of so many channels; the last one joins the loose ends.

        Raises UserError where a network is not sound: no room left, an unknown block type, an input not yet there.
        """
        self._check()
        shapes = [Shape(channels, self.input_size)]
        stages = []
        for number, block in enumerate(self.blocks, 1):
            sources = (number - 1,) if block.inputs is None else block.inputs or (0,)
            if not all(0 <= source < number for source in sources):
                raise UserError(
                    f"block {number} ({block}): found inputs {sources}, expected numbers from 0 to {number - 1}"
                )
            shape = self._joined([shapes[source] for source in sources])
            try:
                layers = _few(block.layers(shape.channels))
                shapes.append(out_of(layers, shape) if isinstance(layers, tuple) else _measured(layers, shape))
            except UserError as error:
                raise UserError(f"block {number} ({block}): {error}") from None
            except Exception as error:  # of a block function, or a torch module, of one's own
                raise UserError(
                    f"block {number} ({block}): found {type(error).__name__}: {error}, expected layers"
                ) from error
            stages.append(Stage(sources, shape, layers))
        loose = self._loose_ends(stages)
        head: Layers = (GlobalPool(),) if self.head == "gap" else ()
        return (*stages, Stage(loose, self._joined([shapes[end] for end in loose]), head))

    def costs(self, images: Images) -> Costs | None:
        """Parameters and multiply-adds, exactly; None if a block is a torch module of one's own.

        Raises UserError as `stages` does.
        """
        params = madds = 0
        for stage in self._classified(images):
            if not isinstance(stage.layers, tuple):
                return None
            cost = costs_of(stage.layers, stage.shape)
            params, madds = params + cost.params, madds + cost.madds
        if params > MOST_PARAMS or madds > MOST_MADDS:
            raise UserError(
                f"found a network of {params:,} parameters and {madds:,} multiply-adds, expected at most "
                f"{MOST_PARAMS:,} and {MOST_MADDS:,}; offer smaller widths and inputs, or pool before what is wide"
            )
        return Costs(params, madds)

    def module(self, images: Images) -> nn.Module:
        """The torch module: float (N, channels, input_size, input_size) to logits (N, classes)."""
        from nas.modules import Child

        return Child(self._classified(images), self.join)

    def _classified(self, images: Images) -> tuple[Stage, ...]:
        *stages, last = self.stages(images.channels)
        assert isinstance(last.layers, tuple)
        return (*stages, last._replace(layers=(*last.layers, Linear(images.classes))))

    def _joined(self, shapes: Sequence[Shape]) -> Shape:
        channels = [shape.channels for shape in shapes]
        return Shape(sum(channels) if self.join == "concat" else max(channels), max(shape.size for shape in shapes))

    def _loose_ends(self, stages: Sequence[Stage]) -> tuple[int, ...]:
        taken = {source for stage in stages for source in stage.sources}
        return tuple(number for number in range(1, len(stages) + 1) if number not in taken) or (0,)

    def _check(self) -> None:
        if not isinstance(self.input_size, Integral) or self.input_size < 1:
            raise UserError(f"found a network with input size {self.input_size!r}, expected at least 1 pixel a side")
        if self.input_size > LARGEST_SIDE:
            raise UserError(
                f"found a network with input size {self.input_size}, expected at most {LARGEST_SIDE} pixels a side"
            )
        if not isinstance(self.blocks, tuple | list):
            raise UserError(
                f"found the blocks {self.blocks!r:.60}, expected a tuple of them, as in (Block('conv', 16),)"
            )
        if len(self.blocks) > MOST_BLOCKS:
            raise UserError(f"found a network of {len(self.blocks):,} blocks, expected at most {MOST_BLOCKS:,}")
        strange = [block for block in self.blocks if not isinstance(block, Block)]
        if strange:
            raise UserError(f"found the block {strange[0]!r:.100}, expected a Block, as in Block('conv', 16)")
        if self.join not in ("concat", "add"):
            raise UserError(f"found join={self.join!r}, expected 'concat' or 'add'")
        if self.head not in ("gap", "flatten"):
            raise UserError(f"found head={self.head!r}, expected 'gap' or 'flatten'")


def _few(layers: Layers | nn.Module) -> Layers | nn.Module:
    """The layers of a block; raises UserError for what is none, and for more than a whole network may have blocks."""
    if not isinstance(layers, tuple) and not callable(layers):
        raise UserError(f"found {layers!r:.100}, expected layers, as a tuple, or a torch module")
    if isinstance(layers, tuple) and len(layers) > MOST_BLOCKS:
        raise UserError(f"found {len(layers):,} layers, expected at most {MOST_BLOCKS:,}")
    return layers


def _measured(module: nn.Module, shape: Shape) -> Shape:
    """The shape after a torch module of one's own, found by passing one image of zeros."""
    from nas.modules import measured

    return measured(module, shape)
