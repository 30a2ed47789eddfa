"""A critic: what is known of networks' values from those told, to screen many before one is trained.

Sources: Rasmussen & Williams, "Gaussian Processes for Machine Learning", 2006, chapter 2; Thompson 1933.
A network's value is linear in what was answered to which question, with weaker terms for each pair of answers; of all
these weights it keeps the normal posterior, and draws from it. Rewards enter as normal scores of their ranks, so that
no scale needs to be known. It is no controller's own: `posterior-sampling` and `reinforce` screen with the same one, so
that what differs between them is their policies, and what is found better for one is measured with both.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from nas.space import Candidate, Question, Space

Floats = npt.NDArray[np.float64]
DRAWS = 100  # of a random network, to meet one that is new
Asked = tuple[str, int, int | None]  # a question: its choice, its occurrence or anchor, its link
Term = tuple[str, int, int | None, int]  # the same and an answer


class Critic:
    """What is known of networks' values from those told: a normal posterior over answers and pairs of them.

    noise: variance of a score that answers do not explain.  pairs: their share of the rest.
    lowest: what a score counts at least.  remember: how many networks are learnt from, so that a draw costs the same at
    any trial.
    """

    def __init__(self, noise: float = 0.1, pairs: float = 0.6, lowest: float = -0.5, remember: int = 300) -> None:
        self.noise, self.pairs, self.lowest, self.remember = noise, pairs, lowest, remember
        self.terms: dict[Term, int] = {}  # each that was ever told -> its column
        self.told: set[str] = set()  # keys
        self.kept: list[tuple[list[int], float]] = []  # columns and rewards of those learnt from, -∞ for a failure

    def tell(self, candidate: Candidate, reward: float | None) -> None:
        """Learn from a new network; of those kept, the latest half stay, and the best of those before."""
        if candidate.key in self.told:
            return
        self.told.add(candidate.key)
        columns = _columns(candidate, self.terms)
        self.kept.append((columns, -math.inf if reward is None else reward))
        if len(self.kept) > self.remember:
            earlier = self.kept[: -(self.remember // 2)]
            worst = min(range(len(earlier)), key=lambda place: earlier[place][1])
            del self.kept[worst]

    def memory(self) -> tuple[Floats, Floats]:
        """(networks, terms) and scores (networks,) of those learnt from."""
        scores = np.maximum(normal_scores([reward for _, reward in self.kept]), self.lowest)
        return _matrix([columns for columns, _ in self.kept], len(self.terms)), scores

    def new(self, candidates: Iterable[Candidate], pending: Iterable[Candidate]) -> list[Candidate]:
        """Those that are neither told nor pending, each once."""
        waiting = {candidate.key for candidate in pending}
        found = {one.key: one for one in candidates}  # a key takes longer to make than to look for
        return [one for key, one in found.items() if key not in self.told and key not in waiting]

    def by_lot(self, space: Space, pending: Sequence[Candidate], rng: random.Random, trial: int) -> Candidate:
        """A random network that is new, if one is met soon."""
        for _ in range(DRAWS):
            candidate = space.sample(rng, trial)
            if self.new([candidate], pending):
                break
        return candidate

    def pick(
        self, space: Space, candidates: Sequence[Candidate], x: Floats, scores: Floats, draw: np.random.Generator
    ) -> Candidate | None:
        """The candidate within bounds of the highest value in one draw of the posterior after this memory.

        What was never told is as uncertain as it was at first. None where all are beyond the space's bounds.
        """
        terms = dict(self.terms)
        columns = [_columns(candidate, terms) for candidate in candidates]
        x = np.pad(x, ((0, 0), (0, len(terms) - x.shape[1])))
        values = sampled(x, scores, _matrix(columns, len(terms)), self.pairs, self.noise, draw)
        best_first = (candidates[place] for place in np.argsort(-values, kind="stable"))
        return next(filter(space.is_within, best_first), None)  # a cost takes long to make: few are looked at


def _columns(candidate: Candidate, terms: dict[Term, int]) -> list[int]:
    """The columns of a candidate's terms; what has none yet is given the next."""
    return [terms.setdefault(term(question, answer), len(terms)) for question, answer in candidate.decisions]


def _matrix(rows: Sequence[Sequence[int]], terms: int) -> Floats:
    """(networks, terms): which terms a network has, scaled so that each network has length 1."""
    x = np.zeros((len(rows), terms))
    for row, columns in zip(x, rows, strict=True):
        row[list(columns)] = 1 / math.sqrt(max(1, len(columns)))
    return x


def asked(question: Question) -> Asked:
    """Which of all questions it is."""
    return term(question, 0)[:3]


def term(question: Question, answer: int) -> Term:
    """What a weight is for."""
    place = question.occurrence if question.link is None else question.anchors
    return question.choice.name, place, question.link, answer


def normal_scores(rewards: Sequence[float]) -> Floats:
    """The rewards as standard normal quantiles of their mean ranks (van der Waerden): three are -0.97, 0, 0.97.

    rank r of n, from 1, becomes the quantile of (r - 1/2) / n.
    """
    return standing(rewards, rewards)


def standing(rewards: Sequence[float], others: Sequence[float]) -> Floats:
    """The normal quantile of each reward's rank among others: of (how many are lower + half of the equal) / all."""
    ranked = np.sort(np.asarray(others))
    lower, upto = (np.searchsorted(ranked, rewards, side) for side in ("left", "right"))
    room = 0.5 / len(ranked)
    shares = np.clip((lower + upto) / (2 * len(ranked)), room, 1 - room)
    quantile = NormalDist().inv_cdf
    return np.array([quantile(share) for share in shares.tolist()])


def sampled(x: Floats, scores: Floats, new: Floats, pairs: float, noise: float, draw: np.random.Generator) -> Floats:
    """One draw (N,) of the values of `new` networks from the posterior after `x` (n, terms) with `scores` (n,).

    Single answers and pairs of answers have independent normal weights, pairs the share `pairs` of the variance: their
    covariance is (1 - pairs) · s + pairs · s² with s the scalar product of two networks.
    """

    def covariance(a: Floats, b: Floats) -> Floats:
        s = a @ b.T
        both: Floats = (1 - pairs) * s + pairs * s * s
        return both

    half = np.linalg.cholesky(covariance(x, x) + noise * np.eye(len(x)))
    solved = np.linalg.solve(half, np.column_stack([covariance(x, new), scores]))  # once, for each costs as much
    across, mean = solved[:, :-1], solved[:, :-1].T @ solved[:, -1]
    left = covariance(new, new) - across.T @ across
    drawn: Floats = mean + np.linalg.cholesky(left + 1e-6 * np.eye(len(new))) @ draw.standard_normal(len(new))
    return drawn
