"""Other tools' parameters as choices, and a space that asks for them: what Optuna's and Ray Tune's users search.

A parameter of up to sixteen values is a choice of these. A wider range, and any range of floats, is parted into sixteen
equal parts, of its logarithm where it is searched on a log scale: the controller picks the part, and the value is drawn
in it by lot. So values stay as fine as they were, and what is learnt of one holds for its part.
"""

from __future__ import annotations

import bisect
import math
import random
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from nas.errors import UserError
from nas.network import Images
from nas.space import Choice, Pick, Space

PARTS = 16
END = ""  # the name of what comes after the last question


def length(trials: int) -> int:
    """The number of trials that a controller stretches over; raises UserError for none."""
    if not isinstance(trials, int) or trials < 1:
        raise UserError(
            f"trials: found {trials!r}, expected a whole number above 0, over which the controller stretches what "
            "changes in a search; give it as many as will be asked for"
        )
    return trials


class Parameter(Protocol):
    """A parameter as a choice, whose options stand for its values in their order."""

    @property
    def choice(self) -> Choice[Any]:
        """What is asked; its name is the parameter's."""

    def value(self, answer: int, rng: random.Random) -> Any:
        """A value that this answer stands for."""

    def answer(self, value: Any) -> int:
        """The answer that stands for this value."""


class Values:
    """A few values, each an option; ordered: whether they are a range, for controllers that look at the order."""

    def __init__(self, name: str, values: Sequence[Any], ordered: bool = False) -> None:
        self.values, self.ordered = list(values), ordered
        numbers = range(len(self.values))
        self.choice = Choice(*numbers if ordered else map(str, numbers), name=name)

    def value(self, answer: int, rng: random.Random) -> Any:
        """The value itself."""
        return self.values[answer]

    def answer(self, value: Any) -> int:
        """Its place: of 1, 1.0 and True that of its own type; in a range that of the nearest value.

        Raises ValueError for a value that is not there where there is no range.
        """
        if self.ordered:  # Optuna lets what is enqueued lie beyond a range or between its steps
            within = min(self.values[-1], max(self.values[0], value))
            return min(self.choice.every, key=lambda place: abs(self.values[place] - within))
        for place, one in enumerate(self.values):
            if type(one) is type(value) and (one is value or one == value):
                return place
        return self.values.index(value)


class Floats:
    """A range of floats, parted at `edges`, in numbers or, with log, in their logarithms."""

    def __init__(self, name: str, low: float, high: float, log: bool) -> None:
        self.low, self.high, self.log = low, high, log
        first, last = self._scaled(low), self._scaled(high)
        self.edges = [first + (last - first) * part / PARTS for part in range(PARTS + 1)]
        self.choice = Choice(*range(PARTS), name=name)

    def value(self, answer: int, rng: random.Random) -> float:
        """Drawn in the part, uniform on its scale."""
        drawn = rng.uniform(self.edges[answer], self.edges[answer + 1])
        return min(self.high, max(self.low, math.exp(drawn) if self.log else drawn))

    def answer(self, value: float) -> int:
        """The part that it lies in; of a value beyond the range the first or the last."""
        return min(PARTS - 1, max(0, bisect.bisect_right(self.edges, self._scaled(value)) - 1))

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


class Steps:
    """Many values at equal steps from `low` on: part i has those numbered from cuts[i] until before cuts[i + 1]."""

    def __init__(self, name: str, low: float, step: float, count: int, log: bool) -> None:
        self.low, self.step = low, step
        shares = [part / PARTS for part in range(PARTS + 1)]
        if log:
            whole = (low + count * step) / low
            cuts = [round(low * (whole**share - 1) / step) for share in shares]
        else:
            cuts = [round(count * share) for share in shares]
        self.cuts = sorted(set(cuts))  # at the low end of a log scale parts have less than a value
        self.choice = Choice(*range(len(self.cuts) - 1), name=name)

    def value(self, answer: int, rng: random.Random) -> float:
        """Drawn among those of the part."""
        return self.low + self.step * rng.randrange(self.cuts[answer], self.cuts[answer + 1])

    def answer(self, value: float) -> int:
        """The part that it lies in; of a value beyond the range the first or the last."""
        number = min(self.cuts[-1], max(0, (value - self.low) / self.step))
        return min(len(self.cuts) - 2, bisect.bisect_right(self.cuts, round(number)) - 1)


def ranged(name: str, low: float, high: float, step: float | None = None, log: bool = False) -> Parameter:
    """A range from low to high, both in it, at steps or, without, of floats; a few values, or parts."""
    if step is None and low < high:
        return Floats(name, low, high, log)
    count = 1 if step is None else math.floor((high - low) / step + 1e-9) + 1
    if count <= PARTS:
        return Values(name, [low + number * (step or 0) for number in range(count)], ordered=True)
    assert step is not None
    return Steps(name, low, step, count, log)


class Point(NamedTuple):
    """What a space of parameters builds: no network, but the name that a controller tells it by."""

    key: str
    input_size: int = 1

    def module(self, images: Images) -> Any:
        """Raise UserError: there is nothing to train."""
        raise UserError(f"{self.key}: found a point of another tool's space, expected a network; let that tool run it")


class Node:
    """A place in the tree of what was asked: what came next, after which answers."""

    def __init__(self) -> None:
        self.after: dict[str, Node] = {}  # by the name of what came next
        self.ways: dict[tuple[int, ...], str] = {}  # answers so far -> that name
        self._reason: tuple[int, dict[int, str]] | None = None
        self._sought = False  # since the last way was learnt

    def learn(self, answers: tuple[int, ...], name: str) -> Node:
        """What came next after these answers; the place there."""
        self.ways[answers] = name
        self._sought = False
        return self.after.setdefault(name, Node())

    def next(self, answers: tuple[int, ...]) -> str:
        """What came next after these answers, or what did after those most like them; END for nothing."""
        if answers in self.ways:
            return self.ways[answers]
        if len(self.after) < 2:
            return next(iter(self.after), END)
        if not self._sought:
            self._reason, self._sought = self._found(len(answers)), True
        if self._reason is None:
            return self.ways[max(self.ways, key=lambda given: sum(map(int.__eq__, given, answers)))]
        place, led = self._reason
        return led[min(led, key=lambda given: abs(given - answers[place]))]

    def _found(self, places: int) -> tuple[int, dict[int, str]] | None:
        """The answer that decides what comes next: its place, and what each value of it led to.

        One that always went with what came; of several the one of the fewest values, for each was seen the most often.
        """
        reasons = []
        for place in range(places):
            led = {given[place]: name for given, name in self.ways.items()}
            if all(led[given[place]] == name for given, name in self.ways.items()):
                reasons.append((place, led))
        return min(reasons, key=lambda reason: len(reason[1]), default=None)


class Traced(Space):
    """A space that asks for these parameters as trials before asked for them: which, in which order, after what.

    Nobody has written it down, for the objective of another tool asks as it runs; so it is as right as what was traced.
    """

    def __init__(self, parameters: Sequence[Parameter] = ()) -> None:
        self.parameters = {parameter.choice.name: parameter for parameter in parameters}
        self.asked = tuple(parameter.choice for parameter in parameters)  # where a controller looks for them
        self.root = Node()

    def trace(self, steps: Sequence[tuple[str, int]], ended: bool = True) -> None:
        """Learn what one trial asked, by name, and its answers; ended: whether it would have asked no more."""
        node = self.root
        answers = tuple(answer for _, answer in steps)
        for number, name in enumerate([*(name for name, _ in steps), *[END] * ended]):
            node = node.learn(answers[:number], name)

    def build(self, pick: Pick) -> Point:
        """Ask until nothing came next.

        A tabular agent knows no state but the question: in functions of five parameters and in chains of blocks,
        Q-learning with the answer before for its state found less in a hundred trials.
        """
        node, asked = self.root, list[str]()
        while name := node.next(tuple(pick.answers)):
            pick(self.parameters[name].choice, state=())
            asked.append(name)
            node = node.after[name]
        return Point("; ".join(f"{name} = {answer}" for name, answer in zip(asked, pick.answers, strict=True)))
