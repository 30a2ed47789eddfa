"""Neural architecture search by reinforcement learning."""

from nas.blocks import Block
from nas.network import Images, Network
from nas.space import Choice, Pick, Space

__all__ = ["Block", "Choice", "Images", "Network", "Pick", "Space"]
