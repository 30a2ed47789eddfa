"""What a search learnt: which options its controller came to prefer, the path it now likes best, which choices matter.

All of it is read from trials: what was asked, and what the controller would answer after it was told them.
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas import names
from nas.errors import UserError
from nas.ledger import FILE, Ledger, Trial
from nas.plot import Header, window_of
from nas.space import Candidate, Question, Space
from nas.statistics import Floats, bootstrap

MOST_ASKED = 5_000  # trials that preferences are counted over, evenly spread; others take long to build again
WALKS = 400  # random networks that show what uniform answers would give
MOMENTS = 40  # of a preference's curves
LEAST = 20  # networks; from fewer nothing is said of what matters
FOLDS, REPEATS = 5, 20  # of the cross-validation
STRENGTHS = np.logspace(-1, 4, 11)  # of the ridge regression

Ints = npt.NDArray[np.int64]
Asked = tuple[str, int | None, int | None]  # a question: its choice, and which one of these it is


class Preference(NamedTuple):
    """How often each option was answered, of one question or of all of one choice."""

    question: str
    options: tuple[str, ...]
    trials: Ints  # (moments,) the last trial of each window
    shares: Floats  # (moments, options) of the answers in that window; NaN where it was not asked
    uniform: Floats  # (options,) what uniform answers would give
    answers: int  # in the last window


class Importance(NamedTuple):
    """What share of the rewards' variance depends on a choice, out of sample, with its 95 % interval."""

    choice: str
    share: float
    interval: tuple[float, float]


class Importances(NamedTuple):
    """Of all choices, the greatest first, and what they explain together (out-of-sample R²)."""

    networks: int
    together: Importance
    choices: list[Importance]


class Step(NamedTuple):
    """One question of the path that a controller now likes best, with what it makes of each answer."""

    question: str
    answer: str
    values: dict[str, float]  # by option


# --- preferences ---


def preferences(space: Space, trials: Sequence[Trial]) -> tuple[list[Preference], list[Preference]]:
    """What was asked in windows of the trials: by choice, and by single question. Questions left open only.

    A window is as long as that of a running mean (`nas.plot.window_of`).
    Raises UserError if the answers are not this space's.
    """
    ordered = sorted(trials, key=lambda trial: trial.trial)
    if len(ordered) > MOST_ASKED:
        ordered = [ordered[place] for place in np.linspace(0, len(ordered) - 1, MOST_ASKED).astype(int)]
    if not ordered:
        return [], []
    asked = [space.replay(trial.answers, trial.trial) for trial in ordered]
    uniform = list(_uniform(space, ordered[-1].trial + 1))
    numbers = np.array([trial.trial for trial in ordered])
    by_choice, by_question = (_preferences(asked, uniform, numbers, each) for each in (False, True))
    return by_choice, by_question


def _preferences(
    asked: Sequence[Candidate], uniform: Sequence[Candidate], numbers: Ints, each: bool
) -> list[Preference]:
    window = min(window_of(len(asked)), len(asked))
    ends = np.unique(np.linspace(window, len(asked), MOMENTS).astype(int))
    drawn = _counts(uniform, each)
    return [
        _preference(which, counts, drawn.get(which), ends, window, numbers[ends - 1])
        for which, counts in _counts(asked, each).items()
    ]


class _Counts(NamedTuple):
    options: tuple[str, ...]
    answers: Floats  # (candidates, options)


def _counts(candidates: Sequence[Candidate], each: bool) -> dict[Asked, _Counts]:
    """How often each candidate answered each option, by question."""
    found: dict[Asked, _Counts] = {}
    for row, candidate in enumerate(candidates):
        for question, answer in candidate.decisions:
            which = _which(question) if each else (question.choice.name, None, None)
            if which not in found:
                options = tuple(map(str, question.choice.options))
                found[which] = _Counts(options, np.zeros((len(candidates), len(options))))
            found[which].answers[row, answer] += 1
    return dict(sorted(found.items(), key=lambda one: (one[0][1] or 0, one[0][2] or 0))) if each else found


def _which(question: Question) -> Asked:
    if question.link is None:
        return question.choice.name, question.occurrence, None
    return question.choice.name, question.anchors - 1, question.link


def _called(which: Asked) -> str:
    """A question for people, as "width 2", or "link 5 ← 3" for whether layer 5 takes the output of layer 3."""
    choice, place, link = which
    if link is not None and place is not None:
        return f"{choice} {place + 1} ← {link + 1}"
    return choice.replace("_", " ") + ("" if place is None else f" {place + 1}")


def _uniform(space: Space, trials: int) -> Iterator[Candidate]:
    """Random networks, at trials from the first to the last, for limits change with them."""
    rng = random.Random(0)
    return (space.sample(rng, number * trials // WALKS) for number in range(WALKS))


def _preference(
    which: Asked, counts: _Counts, uniform: _Counts | None, ends: Ints, window: int, numbers: Ints
) -> Preference:
    sums = np.concatenate([np.zeros((1, len(counts.options))), counts.answers.cumsum(0)])
    within = sums[ends] - sums[ends - window]
    whole = within.sum(1, keepdims=True)
    shares = np.where(whole > 0, within / np.maximum(whole, 1), np.nan)
    drawn = uniform.answers.sum(0) if uniform else np.ones(len(counts.options))
    return Preference(_called(which), counts.options, numbers, shares, drawn / drawn.sum(), int(whole[-1, 0]))


# --- what matters ---


def importances(space: Space, trials: Sequence[Trial], seed: int = 0) -> Importances | None:
    """How much of the rewards' variance each choice explains, of networks that the fit has not seen; None with too few.

    A ridge regression on how often each option was answered is fitted to four fifths of the networks and judged on the
    rest, twenty times over. A choice's share is what the squared error grows by when its counts are those of other
    networks (permutation importance: Breiman, "Random Forests", 2001, section 10), as a share of the variance.
    Intervals are bootstraps over the networks: how sure so many make it.
    """
    trained = [trial for trial in trials if trial.scored and not trial.stopped]
    rewards = np.array([trial.reward for trial in trained], float)
    if len(trained) < LEAST or rewards.std() < 1e-12:
        return None
    counts = _counts([space.replay(trial.answers, trial.trial) for trial in trained], each=False)
    varied = {which[0]: of.answers for which, of in counts.items() if of.answers.std(0).any()}
    if not varied:
        return None
    errors, growth = _held_out(varied, rewards, np.random.default_rng(seed))
    variance = rewards.var()
    together = _share("all together", 1 - errors / variance)
    shares = [_share(choice.replace("_", " "), grown / variance) for choice, grown in growth.items()]
    return Importances(len(trained), together, sorted(shares, key=lambda one: -one.share))


def _share(choice: str, values: Floats) -> Importance:
    """values: (networks,), whose mean the share is."""
    interval = bootstrap(values)
    assert interval is not None
    return Importance(choice, float(values.mean()), interval)


def _held_out(
    counts: Mapping[str, Floats], rewards: Floats, rng: np.random.Generator
) -> tuple[Floats, dict[str, Floats]]:
    """Of each network, when it is held out: the squared error (networks,), and by choice what that grows by."""
    x = np.concatenate(list(counts.values()), axis=1)
    ends = np.cumsum([of.shape[1] for of in counts.values()])
    columns = {name: slice(end - of.shape[1], end) for (name, of), end in zip(counts.items(), ends, strict=True)}
    errors = np.zeros(len(x))
    growth = {name: np.zeros(len(x)) for name in counts}
    for _ in range(REPEATS):
        for held in np.array_split(rng.permutation(len(x)), FOLDS):
            rest = np.setdiff1d(np.arange(len(x)), held)
            mean, weights = ridge(x[rest], rewards[rest])
            missed = rewards[held] - mean - x[held] @ weights
            errors[held] += missed**2 / REPEATS
            for name, of in columns.items():
                moved = (x[rng.choice(rest, len(held))][:, of] - x[held][:, of]) @ weights[of]
                growth[name][held] += ((missed - moved) ** 2 - missed**2) / REPEATS
    return errors, growth


def ridge(x: Floats, values: Floats) -> tuple[float, Floats]:
    """Ridge regression on x (n, columns), each scaled to variance 1: values are about mean + x @ weights.

    Its strength is the one of `STRENGTHS` with the least error at values left out, each predicted from all others, in
    closed form: the error of the fit over 1 - its leverage (Allen, "The Relationship between Variable Selection and
    Data Augmentation and a Method for Prediction", 1974).
    """
    middle, scale = x.mean(0), np.where(x.std(0) > 1e-12, x.std(0), np.inf)
    left, size, right = np.linalg.svd((x - middle) / scale, full_matrices=False)
    centred = values - values.mean()
    kept = size**2 / (size**2 + STRENGTHS[:, None])  # (strengths, k), of each direction
    errors = centred - (kept * (left.T @ centred)) @ left.T
    leverages = kept @ (left.T**2) + 1 / len(x)
    best = int(((errors / np.maximum(1 - leverages, 1e-3)) ** 2).sum(1).argmin())
    inverse = size / (size**2 + STRENGTHS[best])
    weights: Floats = (right.T @ (inverse * (left.T @ centred))) / scale
    return float(values.mean() - middle @ weights), weights


# --- the controller's own view ---


def path(space: Space, header: Header, folder: Path) -> tuple[str, list[Step]] | None:
    """What the controller makes of each question on the path that it now likes best, and what its values are.

    The controller is made again and told the trials by the search's own loop, as when a search is resumed.
    None for one that is no built-in, or does not say what it prefers.
    """
    controller, trials = told(space, header, folder)
    prefers = getattr(controller, "prefers", None)
    if not callable(prefers):
        return None
    what, candidate, values = prefers(trials)
    steps = [
        Step(_called(_which(q)), str(q.choice.options[a]), {str(q.choice.options[i]): v for i, v in of.items()})
        for (q, a), of in zip(candidate.decisions, values, strict=True)
    ]
    return what, steps


def told(space: Space, header: Header, folder: Path) -> tuple[Any, int]:
    """The controller of this search after all trials up to the first that is missing; None if it is no built-in."""
    kind = next((kind for kind in names.controllers().values() if kind.__name__ == header["controller"]), None)
    if kind is None:
        return None, 0
    from nas.pool import Serial
    from nas.search import Loop

    def none_is_missing(_: object) -> Any:
        raise AssertionError

    try:
        controller = kind(space, header["seed"], header["length"], **header["parameters"])
    except (TypeError, UserError):  # of another version, or a header that says anything
        return None, 0
    with TemporaryDirectory() as copy:  # so that a search under way is not held up by a lock
        shutil.copyfile(folder / FILE, Path(copy) / FILE)
        with Ledger(Path(copy)) as trials:
            known = {trial.trial for trial in trials.trials}
            whole = next(number for number in range(len(known) + 1) if number not in known)
            loop = Loop(
                space, controller, Serial(none_is_missing), trials, none_is_missing, seed=header["seed"],
                window=header["window"], trials=whole, epochs=header["recipe"]["epochs"], patience=whole + 1,
            )  # fmt: skip
            for _ in loop.run():
                pass
    return controller, whole
