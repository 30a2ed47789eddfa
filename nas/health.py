"""Is a search healthy? Curves and a verdict, from its trials: repeats, spread, advantage over random sampling."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from nas.ledger import Trial
from nas.reward import OF_REWARD
from nas.space import Space, shorten
from nas.statistics import Floats, mann_whitney
from nas.summary import FORETOLD, expected_largest

LAST = 100  # trials that repeats and spread are over
SOME = 10  # rewards that a spread takes, networks that a share of failures takes: that of fewer is their luck
ENOUGH = 60  # trials before which no collapse is told of
ENOUGH_TO_LEARN = 100  # and before which nothing is said of learning: a good search may need as many
FEW = 5  # networks
NEARLY_ALL = 0.8  # of the last trials, if they are of few networks, or if they failed
LATE = 0.75  # of the search's length: a controller that settles after it has collapsed to nobody's harm
SETTLING = "entropy"  # a figure that falls from 1 at random to 0, where one network is left
SETTLED = 0.1  # of it; good default searches of 200 on tables went down to 0.27
FIRST = 10  # rewards that learning is measured against: what was answered before there was much to learn from
ABOVE = re.compile(r"^refused: .*, as (--max-[a-z-]+) says$", re.DOTALL)  # the error of what a bound refused
LUCK = 0.1  # random rewards look like learning as often: less, and searches that learn fast are told that they do not


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
    trained = sum(trial.scored for trial in ordered)
    gained = math.nan
    if drawn is not None and trained >= FORETOLD:
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

    drawn: rewards of random networks, as from `nas.summary.random_rewards`.  NaN before fifty networks are trained.
    """
    trained = np.cumsum([trial.scored for trial in ordered])
    expected = {count: expected_largest(drawn, int(count)) for count in np.unique(trained) if count >= FORETOLD}
    gained: Floats = np.fmax.accumulate(_rewards(ordered)) - [expected.get(count, math.nan) for count in trained]
    return gained


def _over_last(values: Floats, of: Callable[[Floats], float]) -> Floats:
    return np.array([of(values[max(0, end - LAST) : end]) for end in range(1, len(values) + 1)], float)


def _deviation(values: Floats) -> float:
    there = _finite(values)
    return float(there.std(ddof=1)) if len(there) >= SOME else math.nan


def _finite(values: Floats) -> Floats:
    return values[np.isfinite(values)]


def _rewards(ordered: Sequence[Trial]) -> Floats:
    return np.array([trial.reward for trial in ordered], float)


# --- verdicts ---


def verdict(
    trials: Sequence[Trial], length: int, space: Space | None = None, drawn: Floats | None = None
) -> Verdict | None:
    """What is wrong with this search of so many trials; None for nothing, or too early to say.

    space: None if not known.  drawn: rewards of random networks, as from `nas.summary.random_rewards`, None if unknown.
    """
    return failing(trials) or collapse(trials, length, space) or standstill(trials, drawn)


def failing(trials: Sequence[Trial]) -> Verdict | None:
    """Told if nearly all of the last hundred networks, ten at least, failed, or cost more than a bound allows."""
    new = [trial for trial in in_order(trials) if trial.same_as is None]
    return _failing([trial for trial in new if not _bound(trial.error)][-LAST:]) or _refusing(new[-LAST:])


def _failing(networks: Sequence[Trial]) -> Verdict | None:
    """Told if nearly all of these failed, with what most of them failed by."""
    errors = [trial.error for trial in networks if trial.error]
    if not _nearly_all(errors, networks):
        return None
    ((kind, count),) = Counter(_kind(error) for error in errors).most_common(1)
    latest = next(error for error in reversed(errors) if _kind(error) == kind)
    return Verdict(
        "failing",
        f"the search is failing: {len(errors)} of the last {len(networks)} networks have no reward, {count} of them by "
        f'an error as in "{shorten(latest)}"; {_mend(latest)}',
    )


def _refusing(networks: Sequence[Trial]) -> Verdict | None:
    """Told if nearly all of these have no reward, with the bound that refused the most."""
    errors = [trial.error for trial in networks if trial.error]
    bounds = [_bound(error) for error in errors if _bound(error)]
    if not bounds or not _nearly_all(errors, networks):
        return None
    bound = Counter(bounds).most_common(1)[0][0]
    latest = next(error for error in reversed(errors) if _bound(error) == bound)
    return Verdict(
        "refusing nearly all networks",
        f"of the last {len(networks)} networks {len(bounds)} were refused and not trained, for they cost too much, as "
        f'in "{shorten(latest)}"; raise {bound}, or offer smaller networks',
    )


def _nearly_all(errors: Sequence[str], networks: Sequence[Trial]) -> bool:
    return len(networks) >= SOME and len(errors) >= NEARLY_ALL * len(networks)


def _bound(error: str | None) -> str:
    """The option whose bound refused a network, as "--max-params", by its error; empty where none did."""
    found = ABOVE.match(error or "")
    return found[1] if found else ""


def mend(trials: Sequence[Trial]) -> str:
    """What to do about a search in which no network has a reward, as a sentence's end."""
    wrong = failing(trials)
    if wrong:
        return wrong.sentence
    errors = [trial.error for trial in trials if trial.error]
    if not errors:
        return "give it more time, or go on with its own command if it was stopped"
    return f'the last error is "{shorten(errors[-1])}": {_mend(errors[-1])}'


def _mend(error: str) -> str:
    """What to do about the error of a network."""
    if bound := _bound(error):
        return f"raise {bound}, or offer smaller networks"
    if error.startswith("time limit"):
        return "raise --child-timeout, or offer smaller networks"
    return "mend the reward" if error.startswith(OF_REWARD) else "mend what fails, or leave it out of the space"


def collapse(trials: Sequence[Trial], length: int, space: Space | None = None) -> Verdict | None:
    """Told if a few networks are nearly all of the last hundred trials, and were long before the search's end.

    So it is if the controller's own entropy is near 0, for some never ask for a network that they know.
    length: trials that the search is to have.  space: if it is known that half of it is trained, nothing is amiss.
    """
    ordered = in_order(trials)
    late = LATE * max(length, len(ordered))
    found = [sign for sign in (_repeating(ordered), _settled(ordered)) if sign and sign[0] < late]
    if len(ordered) < ENOUGH or not found or _is_half_known(ordered, space):
        return None
    since, to, why = found[0]
    return Verdict(
        "collapsed to a few networks",
        f"the controller has collapsed to {to} since about trial {since}: {why}; "
        "try a lower rate, more exploration, another controller or a larger space",
    )


def standstill(trials: Sequence[Trial], drawn: Floats | None = None) -> Verdict | None:
    """Told if the last quarter's rewards are no better than the first ten, by Mann and Whitney's test of ranks (1947).

    Not while a controller that says its epsilon answers mostly at random, as its schedule wants it; nor where the best
    reward is one that as many random networks would hardly have: then it has learnt, and found what there was to find.
    drawn: rewards of random networks, None if unknown.
    """
    ordered = in_order(trials)
    last = ordered[-(len(ordered) // 4) :]
    before, now = _finite(_rewards(ordered))[:FIRST], _finite(_rewards(last))
    if len(ordered) < ENOUGH_TO_LEARN or min(len(before), len(now)) < FIRST or _explores(last):
        return None
    p = mann_whitney(before, now)
    if p <= LUCK or (drawn is not None and _is_ahead(ordered, drawn)):
        return None
    return Verdict(
        "learning nothing",
        f"the controller is learning nothing, as random sampling and restarts do not either: the rewards of the last "
        f"{len(last)} trials, {np.median(now):.4f} in the middle, are not clearly above the first {FIRST}, "
        f"{np.median(before):.4f} (test of ranks, p = {p:.2f}); "
        "try more trials, a higher rate, another controller or another space",
    )


def _kind(error: str) -> str:
    """ "out of memory" of "out of memory: needed 9.1 GiB"."""
    return error.partition(":")[0]


def _repeating(ordered: Sequence[Trial]) -> tuple[int, str, str] | None:
    """If the last hundred are nearly all of a few networks: since when, how many, and what shows it."""
    keys = [trial.key for trial in ordered]
    last = keys[-LAST:]
    few = _few(last)
    if not few:
        return None
    share = sum(key in few for key in last) / len(last)
    said = [f"{100 * share:.0f} % of the last {len(last)} trials"]
    said += [f"{name} {value:.2f}" for name, value in health(ordered).figures.items()]
    return _since([key in few for key in keys]), _counted(len(few)), ", ".join(said)


def _settled(ordered: Sequence[Trial]) -> tuple[int, str, str] | None:
    """The same if the controller's entropy is near 0 in the last hundred's mean."""
    values = figures(ordered).get(SETTLING, np.empty(0))
    last = _finite(values[-LAST:])
    if not len(last) or last.mean() > SETTLED:
        return None
    why = f"{SETTLING} {last.mean():.2f} in the mean of the last {len(last)} trials, where 1 is random"
    return _since(values <= SETTLED), "a few networks", why


def _is_half_known(ordered: Sequence[Trial], space: Space | None) -> bool:
    return space is not None and 2 * len({trial.key for trial in ordered}) >= space.count().number


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


def _since(so: Sequence[bool] | npt.NDArray[np.bool_]) -> int:
    """Where trials that are so took over: from there on they are ahead of those that are not by the most."""
    excess = np.where(so, 1, -1)[::-1].cumsum()
    return len(excess) - 1 - int(excess.argmax())


def _explores(ordered: Sequence[Trial]) -> bool:
    said = figures(ordered).get("epsilon")
    return said is not None and float(np.nanmean(said)) > 0.5


def _is_ahead(ordered: Sequence[Trial], drawn: Floats) -> bool:
    """Whether as many random networks would hardly have a best reward as high as this search's."""
    trained = sum(trial.scored for trial in ordered)
    return float((drawn < np.nanmax(_rewards(ordered))).mean() ** trained) >= 1 - LUCK


def _counted(networks: int) -> str:
    return f"{networks} networks" if networks > 1 else "1 network"
