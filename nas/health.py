"""Is a search healthy? Curves and a verdict, from its trials: repeats, spread, advantage over random sampling."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.ledger import Trial
from nas.space import Space
from nas.summary import NEAREST, expected_largest

Floats = npt.NDArray[np.float64]

LAST = 100  # trials that repeats and spread are over
SOME = 10  # rewards that a spread takes: that of fewer is their luck
ENOUGH = 60  # trials before which no collapse is told of
ENOUGH_TO_LEARN = 100  # and before which nothing is said of learning: a good search may need as many
FEW = 5  # networks
NEARLY_ALL = 0.8  # of the last trials, if they are of few networks
LATE = 0.75  # of the search's length: a controller that settles after it has collapsed to nobody's harm
NOISE = 1.64  # standard errors: random rewards differ by more, and upwards, once in twenty


@dataclass(frozen=True)
class Health:
    """How a search does at its last trial."""

    repeats: float  # share of the last hundred trials
    spread: float  # standard deviation of their rewards; NaN with fewer than ten
    figures: Mapping[str, float]  # what the controller last said of itself
    advantage: float = math.nan  # of the best reward over random sampling's expectation; NaN: unknown

    def __str__(self) -> str:
        said = [f"{name} {value:.2f}" for name, value in self.figures.items()]
        said.append(f"repeats {100 * self.repeats:.0f} %")
        if math.isfinite(self.spread):
            said.append(f"spread {self.spread:.3f}")
        if math.isfinite(self.advantage):
            said.append(f"advantage over random sampling {self.advantage:+.3f}")
        return ", ".join(said)


class Verdict(NamedTuple):
    """What is wrong with a search, in a few words after "is" or "are", and in a sentence with what to do."""

    short: str
    sentence: str


def health(trials: Sequence[Trial], drawn: Floats | None = None) -> Health:
    """The state after these trials, one at least; drawn: rewards of random networks, for the advantage."""
    ordered = in_order(trials)
    last = ordered[-LAST:]
    again = sum(trial.same_as is not None for trial in last) / len(last)
    latest = next((trial.figures for trial in reversed(last) if trial.figures), {})
    trained = sum(_is_trained(trial) for trial in ordered)
    gained = math.nan
    if drawn is not None and trained >= NEAREST:
        gained = float(np.nanmax(_rewards(ordered))) - expected_largest(drawn, trained)
    return Health(again, _deviation(_rewards(last)), latest, gained)


# --- curves: one value a finished trial, in the order of their numbers ---


def in_order(trials: Sequence[Trial]) -> list[Trial]:
    """The trials by number, whatever the order of finishing."""
    return sorted(trials, key=lambda trial: trial.trial)


def repeats(ordered: Sequence[Trial]) -> Floats:
    """At each trial the share of repeats in the last hundred, at first in fewer."""
    return _over_last(np.array([trial.same_as is not None for trial in ordered], float), np.mean)


def spread(ordered: Sequence[Trial]) -> Floats:
    """At each trial the standard deviation of the last hundred rewards, failures left out; NaN with fewer than ten."""
    return _over_last(_rewards(ordered), _deviation)


def figures(ordered: Sequence[Trial]) -> dict[str, Floats]:
    """By name, what the controller said of itself at each trial; NaN where it did not."""
    names = dict.fromkeys(name for trial in ordered for name in trial.figures or {})
    return {name: np.array([(trial.figures or {}).get(name, math.nan) for trial in ordered], float) for name in names}


def advantage(ordered: Sequence[Trial], drawn: Floats) -> Floats:
    """At each trial the best reward so far less what as many random networks are expected to have for their best.

    drawn: rewards of random networks, as from `nas.summary.random_rewards`.  NaN before twenty networks are trained.
    """
    trained = np.cumsum([_is_trained(trial) for trial in ordered])
    expected = {count: expected_largest(drawn, int(count)) for count in np.unique(trained) if count >= NEAREST}
    gained: Floats = np.fmax.accumulate(_rewards(ordered)) - [expected.get(count, math.nan) for count in trained]
    return gained


def _over_last(values: Floats, of: Callable[[Floats], float]) -> Floats:
    return np.array([of(values[max(0, end - LAST) : end]) for end in range(1, len(values) + 1)], float)


def _deviation(values: Floats) -> float:
    there = values[np.isfinite(values)]
    return float(there.std(ddof=1)) if len(there) >= SOME else math.nan


def _is_trained(trial: Trial) -> bool:
    return trial.same_as is None and trial.reward is not None


def _rewards(ordered: Sequence[Trial]) -> Floats:
    return np.array([trial.reward for trial in ordered], float)


# --- verdicts ---


def verdict(trials: Sequence[Trial], length: int, space: Space | None = None) -> Verdict | None:
    """What is wrong with this search of so many trials; None for nothing, or too early to say."""
    return collapse(trials, length, space) or standstill(trials)


def collapse(trials: Sequence[Trial], length: int, space: Space | None = None) -> Verdict | None:
    """Told if a few networks are nearly all of the last hundred trials, and were long before the search's end.

    length: trials that the search is to have.  space: if it is known that half of it is trained, nothing is amiss.
    """
    ordered = in_order(trials)
    keys = [trial.key for trial in ordered]
    few = _few(keys[-LAST:])
    if len(keys) < ENOUGH or not few:
        return None
    share = sum(key in few for key in keys[-LAST:]) / len(keys[-LAST:])
    since = _since(keys, few)
    if since >= LATE * max(length, len(keys)) or (space and 2 * len(set(keys)) >= space.count().number):
        return None
    said = ", ".join(f"{name} {value:.2f}" for name, value in health(ordered).figures.items())
    return Verdict(
        "collapsed to a few networks",
        f"the controller has collapsed to {_counted(len(few))} since about trial {since}: {100 * share:.0f} % of the "
        f"last {len(keys[-LAST:])} trials{f', {said}' if said else ''}; "
        "try a lower rate, more exploration, another controller or a larger space",
    )


def standstill(trials: Sequence[Trial]) -> Verdict | None:
    """Told if the last quarter's rewards are no better than the first quarter's, by Welch's test of means (1947).

    Not while a controller that says its epsilon answers mostly at random, as its schedule wants it.
    """
    ordered = in_order(trials)
    quarter = len(ordered) // 4
    first, last = (rewards[np.isfinite(rewards)] for rewards in map(_rewards, (ordered[:quarter], ordered[-quarter:])))
    if len(ordered) < ENOUGH_TO_LEARN or min(len(first), len(last)) < 2 or _explores(ordered[-quarter:]):
        return None
    noise = NOISE * math.sqrt(first.var(ddof=1) / len(first) + last.var(ddof=1) / len(last))
    if last.mean() - first.mean() > noise:
        return None
    return Verdict(
        "learning nothing",
        f"the controller is learning nothing, as random sampling and restarts do not either: the mean reward of the "
        f"last {quarter} trials, {last.mean():.4f}, is not above the first {quarter}'s, {first.mean():.4f}, by more "
        f"than their noise, {noise:.4f}; try more trials, a higher rate, another controller or another space",
    )


def _few(keys: Sequence[str]) -> set[str]:
    """The fewest networks that are nearly all of these; empty if that is more than a few."""
    found: set[str] = set()
    covered = 0
    for key, count in Counter(keys).most_common(FEW):
        found.add(key)
        covered += count
        if covered >= NEARLY_ALL * len(keys):
            return found
    return set()


def _since(keys: Sequence[str], few: set[str]) -> int:
    """Where these networks took over: from there on they are ahead of all others by the most trials."""
    excess = np.cumsum([1 if key in few else -1 for key in reversed(keys)])
    return len(keys) - 1 - int(excess.argmax())


def _explores(ordered: Sequence[Trial]) -> bool:
    said = figures(ordered).get("epsilon")
    return said is not None and float(np.nanmean(said)) > 0.5


def _counted(networks: int) -> str:
    return f"{networks} networks" if networks > 1 else "1 network"
