"""What a search found: its best networks, how sure their accuracies are, and what random sampling would have found."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nas.errors import UserError
from nas.ledger import Trial
from nas.network import KEY_VERSION
from nas.reward import COSTS, MEASURED
from nas.space import Candidate, Space
from nas.statistics import Floats

WALKS = 2_000  # random networks whose rewards are predicted
RIDGE = 1.0
FORETOLD = 50  # trained networks, before anything is said of random sampling: of fewer its best is badly foretold
NEAREST = 20  # trained networks among which a random network's luck is drawn


def described(written: str) -> list[str]:
    """A network as written, for people: its input first, then its blocks, equal ones in a row counted as one line.

    described("network 1: 8 concat gap: conv width=4; conv width=4") is ["8 x 8 pixels", "2 x conv width=4"].
    """
    start, _, blocks = written.removeprefix(f"network {KEY_VERSION}: ").partition(": ")
    if not written.startswith("network ") or len(start.split()) != 3:
        return [written]
    size, join, head = start.split()
    runs = [(block, len(list(run))) for block, run in itertools.groupby(blocks.split("; "))]
    lines = [f"{count} x {block}" if count > 1 else block for block, count in runs if block]
    ends = (["inputs added"] if join == "add" else []) + (["all positions classified"] if head == "flatten" else [])
    return [f"{size} x {size} pixels", *lines, *ends]


def best(trials: Sequence[Trial], most: int = 5) -> list[Trial]:
    """The networks with the highest rewards, each once, the earlier first where rewards are equal; none was stopped."""
    scored = [trial for trial in trials if trial.scored and not trial.stopped]
    return sorted(scored, key=lambda trial: (-(trial.reward or 0.0), trial.trial))[:most]


def kinds(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """The trials by what became of them, each in one kind.

    "trained" to the end and "stopped" before have rewards, "failed" and "refused" have none; all else is a "repeat".
    """
    found: dict[str, list[Trial]] = {kind: [] for kind in ("trained", "stopped", "repeat", "failed", "refused")}
    for trial in trials:
        found[_kind(trial)].append(trial)
    return found


def _kind(trial: Trial) -> str:
    if trial.same_as is not None:
        return "repeat"
    if trial.scored:
        return "stopped" if trial.stopped else "trained"
    return "refused" if trial.refused else "failed"


def saved(trials: Sequence[Trial], epochs: int) -> float:
    """The share of all epochs that stopping saved, of the networks that did not fail; epochs: of a whole training."""
    lengths = [len(trial.result.accuracy) for trial in trials if trial.scored and trial.result]
    return 1 - sum(lengths) / (epochs * len(lengths)) if lengths else 0.0


def front(trials: Sequence[Trial], cost: str) -> list[Trial]:
    """The networks for which no other has as high a validation accuracy at as low a cost, ascending in both.

    cost: one of `nas.reward.COSTS`. Of equals the earlier stands; stopped children and those without the cost do not.
    """
    found: list[Trial] = []
    for trial in sorted(whole(trials, cost), key=lambda trial: (_cost(trial, cost), -_accuracy(trial), trial.trial)):
        if not found or _accuracy(trial) > _accuracy(found[-1]):
            found.append(trial)
    return found


def smallest(trials: Sequence[Trial], images: int) -> Trial | None:
    """The network with the fewest parameters whose accuracy is within one standard error of the best one's.

    images: that the accuracies were measured on. The best one is that of the highest reward. None without any.
    """
    highest = best(trials, 1)
    if not highest:
        return None
    least = _accuracy(highest[0]) - standard_error(_accuracy(highest[0]), images)
    near = [trial for trial in whole(trials, "params") if _accuracy(trial) >= least]
    return min(near, key=lambda trial: (_cost(trial, "params"), -_accuracy(trial), trial.trial), default=None)


def smallest_said(trials: Sequence[Trial], images: int) -> str:
    """Which network is the smallest one, as far as the validation images can tell as good as the best, in words."""
    found, (first,) = smallest(trials, images), best(trials, 1)
    if found is None or found.result is None:
        return "no network's parameters are known"
    error = standard_error(_accuracy(first), images)
    if found.trial == first.trial:
        return f"within one standard error of the best, {error:.4f}, no network is smaller"
    return (
        f"the smallest network within one standard error of the best, {error:.4f}, is trial {found.trial}: validation "
        f"accuracy {_accuracy(found):.4f}, {found.result.params:,} parameters"
    )


def standard_error(accuracy: float, images: int) -> float:
    """Of an accuracy measured on so many images, with two more that are right and two that are wrong.

    So it is not 0 where all few images are right (Agresti & Coull 1998).
    """
    share = (accuracy * images + 2) / (images + 4)
    return math.sqrt(share * (1 - share) / (images + 4))


def lacking(folder: Path, cost: str) -> UserError:
    """What to say of a search in which no network has this cost."""
    mend = "measure it in another search, with --latency 64" if cost in MEASURED else "name another --cost"
    return UserError(f"{folder}: found no network with {COSTS[cost]} ({cost}), expected one at least; {mend}")


def whole(trials: Sequence[Trial], cost: str) -> list[Trial]:
    """The networks that were trained to their ends and whose cost of this name is known."""
    return [t for t in trials if t.scored and not t.stopped and t.result and t.result.cost(cost) is not None]


def _accuracy(trial: Trial) -> float:
    assert trial.result is not None
    return trial.result.accuracy[-1]


def _cost(trial: Trial, name: str) -> float:
    cost = trial.result.cost(name) if trial.result else None
    assert cost is not None
    return cost


def interval(accuracy: float, images: int) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy measured on so many images (Wilson 1927)."""
    z = 1.96
    middle = (accuracy + z * z / (2 * images)) / (1 + z * z / images)
    half = z / (1 + z * z / images) * math.sqrt(accuracy * (1 - accuracy) / images + z * z / (4 * images * images))
    return max(0.0, middle - half), min(1.0, middle + half)


def random_rewards(space: Space, trials: Sequence[Trial], seed: int = 0) -> Floats | None:
    """Rewards of random networks, of 2,000 those within the space's bounds, estimated from this search's own trials.

    A ridge regression on how often each option was answered, of log odds where rewards are fractions, predicts them.
    What it leaves unexplained out of sample is drawn from the trained networks predicted nearest, for good networks
    vary less than bad ones. None with fewer than fifty networks trained, or twenty drawn within bounds.
    """
    trained = [trial for trial in trials if trial.scored]
    if len(trained) < FORETOLD:
        return None
    columns = {
        (name, option): number
        for number, (name, option) in enumerate((n, i) for n, c in space.choices.items() for i in c.every)
    }
    rng = random.Random(seed)
    known = _features((space.replay(trial.answers, trial.trial) for trial in trained), columns)
    free = space.on(space.images, space.limits)
    unknown = _features(filter(space.is_within, (free.sample(rng) for _ in range(WALKS))), columns)
    if len(unknown) < NEAREST:
        return None
    rewards = np.array([trial.reward for trial in trained], float)
    fractions = bool((rewards >= 0).all() and (rewards <= 1).all())
    predicted, held_out = _ridge(known, _log_odds(rewards) if fractions else rewards, unknown)
    nearest = _nearest(held_out, predicted, NEAREST)
    like = nearest[np.arange(len(unknown)), np.random.default_rng(seed).integers(NEAREST, size=len(unknown))]
    moved = np.clip(predicted, held_out.min(), held_out.max()) - held_out[like]
    return 1 / (1 + np.exp(-_log_odds(rewards)[like] - moved)) if fractions else rewards[like] + moved


def expected_largest(values: Floats, draws: int) -> float:
    """The mean of the largest of so many independent draws from these values.

    The i-th smallest of m is the largest of n draws with probability (i / m)^n - ((i - 1) / m)^n.
    """
    steps = (np.arange(len(values) + 1) / len(values)) ** draws
    return float((np.sort(values) * np.diff(steps)).sum())


def random_said(drawn: Floats, trials: Sequence[Trial]) -> str:
    """What random sampling would have found beside these trials, in words; drawn: as from `random_rewards`."""
    expected = expected_largest(drawn, sum(trial.scored for trial in trials))
    return (
        f"random sampling would be expected to have found a reward of about {expected:.3f} in as many trials, as "
        f"estimated from these; this search found {best(trials, 1)[0].reward:.4f}"
    )


def _features(candidates: Iterable[Candidate], columns: dict[tuple[str, int], int]) -> Floats:
    """How often each option was answered, (candidates, options)."""
    return np.array([_counts(candidate, columns) for candidate in candidates])  # none is kept: each takes 10 KB


def _counts(candidate: Candidate, columns: dict[tuple[str, int], int]) -> Floats:
    counts = np.zeros(len(columns))
    for question, answer in zip(candidate.questions, candidate.answers, strict=True):
        column = columns.get((question.choice.name, answer))
        if column is not None:
            counts[column] += 1
    return counts


def _nearest(values: Floats, to: Floats, count: int) -> npt.NDArray[np.intp]:
    """Where the nearest of the values are, (to, count), the nearest first; sorted once, for values may be thousands."""
    order = np.argsort(values)
    first = np.clip(np.searchsorted(values[order], to) - count, 0, max(0, len(values) - 2 * count))
    around = order[first[:, None] + np.arange(min(2 * count, len(values)))]
    distances = abs(to[:, None] - values[around])
    return np.take_along_axis(around, np.argsort(distances, axis=1)[:, :count], axis=1)


def _log_odds(fractions: Floats) -> Floats:
    clipped = np.clip(fractions, 0.005, 0.995)
    odds: Floats = np.log(clipped / (1 - clipped))
    return odds


def _ridge(known: Floats, values: Floats, unknown: Floats) -> tuple[Floats, Floats]:
    """Predictions for the unknown, and for each of the known from all the others."""
    middle, scale = known.mean(0), np.where(known.std(0) > 0, known.std(0), np.inf)
    x, new = (known - middle) / scale, (unknown - middle) / scale
    solved = np.linalg.inv(x.T @ x + RIDGE * np.eye(x.shape[1])) @ x.T
    mean = values.mean()
    weights = solved @ (values - mean)
    leverage = np.einsum("ij,ji->i", x, solved) + 1 / len(values)
    left_out = (values - mean - x @ weights) / np.maximum(1 - leverage, 0.1)
    return mean + new @ weights, values - left_out
