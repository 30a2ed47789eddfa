"""A child network as plain frozen data: its key, its cost figures, its torch module."""

from __future__ import annotations

from typing import NamedTuple


class Images(NamedTuple):
    """What a space may know of the data at hand: native size (pixels a side), channels, number of classes."""

    size: int
    channels: int
    classes: int
