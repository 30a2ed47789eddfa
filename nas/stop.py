"""When children stop before their last epoch: rules, and what is made of a child that was stopped.

A rule sets the bar of a child at the moment when it is asked, from what was told by then and nothing else, so that a
search stays a function of what it is told. A child is stopped after the epoch by which its highest likelihood is below
its bar, whatever the search's reward: where that is far from accuracy, as with a price on parameters, take no rule, or
one of your own. The likelihood is exp(-loss) on the validation images, the geometric mean of the probabilities that
their true classes were given: it is less a matter of chance than accuracy, which counts each image as 0 or 1. The
highest, for at high rates an epoch may be a bad one (`python -m benchmarks.stopping replay`).

A stopped child is no failed one. Its reward, told to the controller like any other, is an estimate: the search's reward
of its result with its curves continued (`continued`), and never more than the highest reward that was told when it was
asked. So controllers do not take it for worse than bad children that were trained to their ends, as they would by its
last accuracy, and it is never a search's best. Rewards of confusion counts see those of its last epoch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import NormalDist
from typing import Protocol

import numpy as np

from nas.errors import UserError, where
from nas.reward import Result
from nas.space import shorten
from nas.statistics import Floats

LEAST = 6  # children that a bar takes
RECENT = 1_000  # and the most, the last told: so that a bar costs no more late in a search than early


class Rule(Protocol):
    """A rule, as `search(stop=...)` takes it; its `repr`, parameters and all, is in the ledger's header."""

    def bar(self, told: Sequence[Result]) -> tuple[float, ...]:
        """By epoch, the least highest likelihood with which a child goes on, 0 for any; none beyond the last.

        told: the results of all networks told that did not fail, stopped ones too, in the order told.
        """


@dataclass(frozen=True)
class Halving:
    """After epochs first, first × factor, first × factor², ... the best 1 / factor of those that came so far go on.

    Source: Li et al., "A System for Massively Parallel Hyperparameter Tuning", 2020 (asynchronous successive halving).
    Departs from the paper: a child that does not go on at once never does; it is compared with those that were told
    when it was asked, six at least.
    """

    factor: float = 3
    first: int = 2

    def __post_init__(self) -> None:
        if self.factor <= 1 or self.first < 1:
            raise UserError(
                f"stop halving: found factor={self.factor:g} and first={self.first}, expected a factor above 1 and a "
                "first epoch of 1 or more"
            )

    def bar(self, told: Sequence[Result]) -> tuple[float, ...]:
        """At each of those epochs the highest likelihood so far that parts the best from the rest; at others none."""
        longest = max((len(one.accuracy) for one in told), default=0)
        bars = [0.0] * max(0, longest - 1)
        epoch = float(self.first)
        while epoch < longest:
            last = int(epoch) - 1
            reached = [likelihood(one.loss[: last + 1]) for one in told[-RECENT:] if len(one.loss) > last]
            if len(reached) >= LEAST:
                bars[last] = round(float(np.quantile(reached, 1 - 1 / self.factor)), 6)
            epoch *= self.factor
        return tuple(bars)


@dataclass(frozen=True)
class Prediction:
    """A child is stopped when it is as good as sure that it would not become the best.

    Its final accuracy is predicted by a line through those of the children told that were not stopped, six at least,
    against their highest likelihoods until the same epoch; `sure` is the probability, with normal errors of that line,
    that it is below the highest of them.
    Sources: Domhan et al., "Speeding up Automatic Hyperparameter Optimization of Deep Neural Networks by Extrapolation
    of Learning Curves", 2015 (the criterion); Baker et al., "Accelerating Neural Architecture Search using Performance
    Prediction", 2018 (regression on the curves of other children).
    Departs from the papers: the highest likelihood so far predicts alone, so that the bar is one number an epoch. There
    is none before epoch `first`: at high rates, one epoch says little, and errors are not normal.
    """

    sure: float = 0.95
    first: int = 2

    def __post_init__(self) -> None:
        if not 0 < self.sure < 1 or self.first < 1:
            raise UserError(
                f"stop prediction: found sure={self.sure:g} and first={self.first}, expected a probability above 0 and "
                "below 1, and a first epoch of 1 or more"
            )

    def bar(self, told: Sequence[Result]) -> tuple[float, ...]:
        """By epoch, the likelihood from which the line leads as many deviations below the highest as `sure` says."""
        whole = _whole(told)
        if len(whole) < LEAST:
            return ()
        x = np.exp(-np.minimum.accumulate([one.loss[:-1] for one in whole], axis=1))
        y = np.array([one.accuracy[-1:] for one in whole])
        slope = _slope(x, y)
        errors = y - y.mean() - slope * (x - x.mean(0))
        deviation = np.sqrt((errors**2).sum(0) / (len(y) - 2))
        least = y.max() - NormalDist().inv_cdf(self.sure) * deviation - y.mean()
        bars = np.where(slope > 0, x.mean(0) + least / np.where(slope > 0, slope, 1), 0)
        bars[: self.first - 1] = 0
        return tuple(bars.clip(0, x.max(0)).round(6).tolist())  # the best at an epoch always goes on


RULES: dict[str, type[Halving | Prediction]] = {"halving": Halving, "prediction": Prediction}


def bar_of(rule: Rule, told: Sequence[Result]) -> tuple[float, ...]:
    """The bar that a rule sets after these results; raises UserError if it is none."""
    try:
        bar = tuple(float(least) for least in rule.bar(told))
        if all(0 <= least <= 1 for least in bar):
            return bar
        found = shorten(repr(bar))
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {error} {where(error)}"
    raise UserError(
        f"{type(rule).__name__}.bar: found {found}, expected by epoch the least likelihood with which a child goes on, "
        "0 for any; mend it, and the same command goes on"
    )


def likelihood(loss: Sequence[float]) -> float:
    """The highest of the epochs with these losses, exp(-loss), to six digits."""
    return round(math.exp(-min(loss)), 6)


def is_below(loss: Sequence[float], bar: Sequence[float]) -> bool:
    """Whether a child with this loss by epoch is below its bar at the last of them."""
    return len(loss) <= len(bar) and likelihood(loss) < bar[len(loss) - 1]


def continued(result: Result, told: Sequence[Result]) -> Result:
    """A stopped child's result as if it had been trained to its end, by lines through the children told that were.

    Each later accuracy is predicted from the highest likelihood so far, each later loss from the lowest. There must be
    such a child.
    """
    whole, epochs = _whole(told), len(result.loss)
    accuracy, loss = np.array([one.accuracy for one in whole]), np.array([one.loss for one in whole])
    lowest, least = loss[:, :epochs].min(1), min(result.loss)
    accuracy = _led_on(math.exp(-least), np.exp(-lowest), accuracy[:, epochs:]).clip(0, 1)
    loss = _led_on(least, lowest, loss[:, epochs:])
    return replace(result, accuracy=(*result.accuracy, *accuracy.tolist()), loss=(*result.loss, *loss.tolist()))


def _whole(told: Sequence[Result]) -> list[Result]:
    """Of the children told, those that were not stopped, the last of them at most."""
    return [*islice((one for one in reversed(told) if not one.bar), RECENT)][::-1]


def _led_on(at: float, x: Floats, y: Floats) -> Floats:
    """What lines through x (n,) and the columns of y (n, k) lead to: (k,)."""
    rest: Floats = y.mean(0) + _slope(x[:, None], y) * (at - x.mean())
    return rest


def _slope(x: Floats, y: Floats) -> Floats:
    """Least-squares slopes of the columns of y over those of x, one of the two (n, k), the other (n, k) or (n, 1).

    At least 0, for what is better at first is not worse in the end but by chance; 0 where x does not vary.
    """
    dx, dy = x - x.mean(0), y - y.mean(0)
    squares = (dx * dx).sum(0)
    slope: Floats = np.where(squares > 0, (dx * dy).sum(0) / np.where(squares > 0, squares, 1), 0).clip(0)
    return slope
