"""What a search learnt: which options its controller came to prefer, the path it now likes best, which choices matter.

All of it is read from trials: what was asked, and what the controller would answer after it was told them.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas import names
from nas.blocks import Block
from nas.errors import UserError
from nas.ledger import FILE, Ledger, Trial
from nas.plot import Header, window_of
from nas.space import Candidate, Choice, Question, Space
from nas.statistics import Floats

MOST_ASKED = 5_000  # trials that preferences are counted over, evenly spread; others take long to build again
WALKS = 400  # random networks that show what uniform answers would give
MOMENTS = 40  # of a preference's curves
LEAST = 20  # networks; from fewer nothing is said of what matters
GROUPS, STUDENT = 20, 2.093  # of networks, left out in turn; and the 97.5 % point of Student's t of one less
STRENGTHS = np.array([0.1, 1.0, 10.0])  # of the ridge regression; stronger ones hide what few networks would show

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
    """What share of the rewards' variance a choice explains, out of sample, with its 95 % interval."""

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
                options = options_of(question.choice)
                found[which] = _Counts(options, np.zeros((len(candidates), len(options))))
            found[which].answers[row, answer] += 1
    return dict(sorted(found.items(), key=lambda one: (one[0][1] or 0, one[0][2] or 0))) if each else found


def options_of(choice: Choice[Any]) -> tuple[str, ...]:
    """Its options for people: texts and blocks plainly, all else as a ledger has it; equal ones numbered."""
    pairs = zip(choice.options, choice.written, strict=True)
    words = [str(option) if isinstance(option, str | Block) else written for option, written in pairs]
    counts = Counter(words)
    return tuple(f"{word} #{n}" if counts[word] > 1 else word for n, word in enumerate(words, 1))


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

    A ridge regression on how often each option was answered is fitted to 19 of 20 random groups of the networks and
    judged on the last, each group in turn. A choice's share is what the squared error grows by when its counts are at
    their mean, as a share of the error of the mean reward alone. Intervals are those of a jackknife: all of it, fits
    too, is done again without each group (Tukey, "Bias and Confidence in Not-quite Large Samples", 1958). They take
    networks as drawn at random, and end at 0 or above, for no share of the variance is less.
    """
    trained = [trial for trial in trials if trial.scored and not trial.stopped]
    rewards = np.array([trial.reward for trial in trained], float)
    if len(trained) < LEAST or rewards.std() < 1e-12:
        return None
    counts = _counts([space.replay(trial.answers, trial.trial) for trial in trained], each=False)
    varied = {which[0]: of.answers for which, of in counts.items() if of.answers.std(0).any()}
    if not varied:
        return None
    parts = _parts(np.concatenate(list(varied.values()), axis=1), rewards, np.random.default_rng(seed))
    owner = np.repeat(np.arange(len(varied)), [of.shape[1] for of in varied.values()])
    shares = _explained(parts, owner)
    less = np.array([_explained(np.delete(parts, group, axis=0), owner) for group in range(GROUPS)])
    half = STUDENT * np.sqrt((GROUPS - 1) * less.var(0))
    called = ["all together", *(choice.replace("_", " ") for choice in varied)]
    together, *each = (
        Importance(name, float(share), (float(share - wide), max(0.0, float(share + wide))))
        for name, share, wide in zip(called, shares, half, strict=True)
    )
    return Importances(len(trained), together, sorted(each, key=lambda one: -one.share))


def unsure(found: Importances | None) -> str:
    """Why nothing is said of which choices matter, in a sentence; empty where something is."""
    if found is None:
        return f"Of fewer than {LEAST} different networks with different rewards, nothing is said."
    if found.together.interval[0] > 0:
        return ""
    return (
        f"Of these {found.networks} networks nothing is said: all choices together explain nothing of the rewards for "
        "sure, by a linear fit on how often each option was answered, for networks that it has not seen."
    )


def _parts(x: Floats, rewards: Floats, rng: np.random.Generator) -> Floats:
    """Of each group of networks the sums of products of 1, the counts (n, columns) and the reward, these scaled.

    (groups, columns + 2, columns + 2). All that a fit or an error asks of the networks, however many.
    """
    scale = np.where(x.std(0) > 1e-12, x.std(0), np.inf)
    rows = np.column_stack([np.ones(len(x)), (x - x.mean(0)) / scale, (rewards - rewards.mean()) / rewards.std()])
    return np.array([rows[of].T @ rows[of] for of in np.array_split(rng.permutation(len(x)), GROUPS)])


def _explained(parts: Floats, owner: Ints) -> Floats:
    """The shares of all choices together, then of each: (1 + choices,).

    owner: each column's choice (columns,). Each group is judged by a fit to the others; the strength is the one of
    `STRENGTHS` with the least error.
    """
    others = parts.sum(0) - parts
    means, weights = ridges(others)  # weights (strengths, groups, columns)
    best = weights[_missed(parts, means, weights).argmin()]
    without = np.array([np.where(owner == choice, 0, best) for choice in range(owner[-1] + 1)])
    nothing, whole = _missed(parts, means, 0 * best), _missed(parts, means, best)
    lost = np.array([nothing - whole, *(_missed(parts, means, without) - whole)], float)
    return lost / np.maximum(nothing, 1e-9)  # the one network that differs may be in the group left out


def ridges(parts: Floats) -> tuple[Floats, Floats]:
    """Of sums of products (groups, ...) as of `_parts`, the means of all columns and ridge regressions' weights.

    (groups, columns + 2) and (strengths, groups, columns): the reward is about its mean + (counts - means) @ weights.
    """
    means = parts[:, 0] / parts[:, :1, 0]
    around = parts - parts[:, :1, :1] * means[:, :, None] * means[:, None, :]
    penalties = STRENGTHS[:, None, None, None] * np.eye(parts.shape[1] - 2)
    weights = np.linalg.solve(around[:, 1:-1, 1:-1] + penalties, around[:, 1:-1, -1:])[..., 0]
    return means, np.asarray(weights, np.float64)


def _missed(parts: Floats, means: Floats, weights: Floats) -> Floats:
    """The squared error of fits (..., groups, columns), each at its own group, in all (...).

    A network's row (1, counts, reward) times the line is by how much its reward is missed.
    """
    constant = means[:, -1:] - (means[:, 1:-1] * weights).sum(-1, keepdims=True)
    line = np.concatenate([-constant, -weights, np.ones_like(constant)], axis=-1)
    missed: Floats = ((line[..., None, :] @ parts)[..., 0, :] * line).sum((-2, -1))
    return missed


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
    return what, [_step(q, a, of) for (q, a), of in zip(candidate.decisions, values, strict=True)]


def _step(question: Question, answer: int, values: Mapping[int, float]) -> Step:
    options = options_of(question.choice)
    return Step(_called(_which(question)), options[answer], {options[one]: value for one, value in values.items()})


def told(space: Space, header: Header, folder: Path) -> tuple[Any, int]:
    """The controller of this search, told all trials up to the first that is missing, and how many these are.

    None and 0 if it is no built-in, or cannot be made of the header.
    """
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
