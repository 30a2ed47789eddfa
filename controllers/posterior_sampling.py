"""Posterior sampling of linear Q-values over questions and answers, in place of a table and of ε.

Sources: Osband, Van Roy & Wen, "Generalization and Exploration via Randomized Value Functions", ICML 2016 (randomised
least-squares value iteration); Thompson 1933; Matheron's rule for drawing from a posterior as in Wilson et al.,
"Efficiently Sampling Functions from Gaussian Process Posteriors", ICML 2020.

The value of a network is linear in what was answered to which question (a question is a choice and its occurrence),
with weaker terms for each pair of answers. With no reward before the end and a discount of 1, the values of two answers
in one state differ by their weights, so drawing weights from the posterior and answering each question with the highest
is one greedy walk of a sampled value function. `pool` such walks, each with weights of its own, are the agent's policy;
of their new networks, one draw of the posterior with pairs picks the one to train. Rewards enter as normal scores of
their ranks, so that no scale needs to be known.
Departs from the papers: least squares are solved once for whole networks, not question by question backwards; weights
are spread by `spread` beyond the posterior, for a pool that has something to choose from.
A failed child ranks below all others. A repeat tells it nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Container, Sequence
from functools import partial
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from nas.errors import UserError
from nas.space import Candidate, Question, Space

Floats = npt.NDArray[np.float64]
DRAWS = 100  # of a random network, where all that the agent would ask for is known
Term = tuple[str, int, int | None, int]  # a question (choice, occurrence or anchor, link) and an answer


class PosteriorSampling:
    """Random for the `first` networks; from then on greedy by sampled values."""

    def __init__(
        self,
        space: Space,
        seed: int,
        length: int,
        first: int = 10,
        pool: int = 100,
        noise: float = 0.1,
        pairs: float = 0.6,
        spread: float = 1.0,
        remember: int = 300,
    ) -> None:
        if not (first >= 2 and pool >= 1 and noise > 0 and 0 <= pairs <= 1 and spread >= 0 and remember >= first):
            raise UserError(
                f"posterior-sampling: found first={first}, pool={pool}, noise={noise}, pairs={pairs}, spread={spread}, "
                f"remember={remember}, expected first >= 2, pool >= 1, noise > 0, pairs in 0..1, spread >= 0, "
                "remember >= first"
            )
        self.space, self.seed, self.first, self.pool = space, seed, first, pool
        self.noise, self.pairs, self.spread, self.remember = noise, pairs, spread, remember
        self.terms: dict[Term, int] = {}  # each that was ever told -> its column
        self.told: dict[str, tuple[list[int], float]] = {}  # key -> columns and reward

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """The best by one sampled value function of the networks that many others lead to."""
        rng = random.Random(f"{self.seed} {trial}")
        if len(self.told) < self.first:
            return self.space.sample(rng, trial)
        draw = np.random.default_rng([self.seed, trial])
        rows, scores = self._memory()
        x = self._matrix(rows)
        known = {candidate.key for candidate in pending} | self.told.keys()
        found: dict[str, Candidate] = {}
        for weights in self._weights(x, scores, draw):
            candidate = self.space.walk(partial(self._greedy, weights, rng), trial)
            if candidate.key not in known:
                found.setdefault(candidate.key, candidate)
        if not found:
            return self._unknown(known, rng, trial)
        candidates = list(found.values())
        new = self._matrix([self._columns(candidate) for candidate in candidates])
        return candidates[int(np.argmax(sampled(x, scores, new, self.pairs, self.noise, draw)))]

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Remember a new network."""
        if candidate.key not in self.told:
            for question, answer in candidate.decisions:
                self.terms.setdefault(term(question, answer), len(self.terms))
            self.told[candidate.key] = (self._columns(candidate), -math.inf if reward is None else reward)

    def _unknown(self, known: Container[str], rng: random.Random, trial: int) -> Candidate:
        """A random network that is not known, if it is met soon."""
        for _ in range(DRAWS):
            candidate = self.space.sample(rng, trial)
            if candidate.key not in known:
                break
        return candidate

    def _memory(self) -> tuple[list[list[int]], Floats]:
        """Columns and scores of the networks learnt from: all, or the better half of them and the latest."""
        told = list(self.told.values())
        scores = normal_scores([reward for _, reward in told])
        chosen = list(range(len(told)))
        if len(told) > self.remember:
            half = self.remember // 2
            latest = list(range(len(told) - half, len(told)))
            best = np.argsort(-scores[:-half], kind="stable")[: self.remember - half].tolist()
            chosen = sorted(best) + latest
        return [told[i][0] for i in chosen], scores[chosen]

    def _weights(self, x: Floats, scores: Floats, draw: np.random.Generator) -> Floats:
        """(pool, terms): weights of the additive values, drawn from their posterior and spread beyond it."""
        prior = draw.standard_normal((self.pool, x.shape[1]))
        error = draw.standard_normal((self.pool, len(x))) * math.sqrt(self.noise)
        left = np.linalg.solve(x @ x.T + self.noise * np.eye(len(x)), (scores - prior @ x.T - error).T)
        drawn: Floats = prior + left.T @ x
        drawn += self.spread * drawn.std() * draw.standard_normal(drawn.shape)
        return drawn

    def _greedy(self, weights: Floats, rng: random.Random, question: Question) -> int:
        """The legal answer of the highest weight; what was never told has one from the prior."""
        columns = [self.terms.get(term(question, answer)) for answer in question.legal]
        values = [rng.gauss(0, 1) if column is None else weights[column] for column in columns]
        return question.legal[values.index(max(values))]

    def _columns(self, candidate: Candidate) -> list[int]:
        columns = (self.terms.get(term(question, answer)) for question, answer in candidate.decisions)
        return [column for column in columns if column is not None]

    def _matrix(self, rows: Sequence[Sequence[int]]) -> Floats:
        """(networks, terms): which terms a network has, scaled so that each network has length 1."""
        x = np.zeros((len(rows), len(self.terms)))
        for row, columns in zip(x, rows, strict=True):
            row[list(columns)] = 1 / math.sqrt(max(1, len(columns)))
        return x


def term(question: Question, answer: int) -> Term:
    """What a weight is for."""
    place = question.occurrence if question.link is None else question.anchors
    return question.choice.name, place, question.link, answer


def normal_scores(rewards: Sequence[float]) -> Floats:
    """The rewards as standard normal quantiles of their mean ranks (van der Waerden): three are -0.97, 0, 0.97.

    rank r of n, from 1, becomes the quantile of (r - 1/2) / n.
    """
    _, which, counts = np.unique(np.asarray(rewards), return_inverse=True, return_counts=True)
    shares = (np.cumsum(counts) - counts / 2) / len(rewards)
    quantile = NormalDist().inv_cdf
    return np.array([quantile(share) for share in shares])[which]


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
    across = np.linalg.solve(half, covariance(x, new))
    mean = across.T @ np.linalg.solve(half, scores)
    left = covariance(new, new) - across.T @ across
    drawn: Floats = mean + np.linalg.cholesky(left + 1e-6 * np.eye(len(new))) @ draw.standard_normal(len(new))
    return drawn
