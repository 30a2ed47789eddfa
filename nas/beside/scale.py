"""The values of other tools' objectives, of any size, as rewards from 0 to 1, as those of a search are."""

from __future__ import annotations

import bisect


class Scale:
    """Values in their order, each between 0 and 1 by what was given before it; no size needs to be known.

    A value gets the share of the values given so far that are below it, where that lies between what its neighbours
    got, else the middle of these. So a later value changes no earlier one, and of two the higher is never given less:
    controllers that look at the order alone search as without it. An increasing function of all values, as adding a
    constant, changes nothing.
    """

    def __init__(self) -> None:
        self.values: list[float] = []  # each once, in their order
        self.rewards: list[float] = []  # of these

    def __call__(self, value: float | None) -> float | None:
        """The reward of a value, higher is better of, the same whenever it comes; None, a failure, stays one."""
        if value is None:
            return None
        place = bisect.bisect_left(self.values, value)
        if self.values[place : place + 1] != [value]:
            self.rewards.insert(place, self._between(place))
            self.values.insert(place, value)
        return self.rewards[place]

    def _between(self, place: int) -> float:
        low, high = [0.0, *self.rewards, 1.0][place : place + 2]
        share = (place + 0.5) / (len(self.values) + 1)
        return share if low < share < high else (low + high) / 2
