"""Posterior sampling of linear Q-values over questions and answers, in place of a table and of ε.

Sources: Osband, Van Roy & Wen, "Generalization and Exploration via Randomized Value Functions", ICML 2016 (randomised
least-squares value iteration); Thompson 1933; Matheron's rule for drawing from a posterior as in Wilson et al.,
"Efficiently Sampling Functions from Gaussian Process Posteriors", ICML 2020.

The value of a network is linear in what was answered to which question (a question is a choice and its occurrence),
with weaker terms for each pair of answers. With no reward before the end and a discount of 1, where all networks answer
the same questions, the values of two answers in one state differ by their weights, so drawing weights from the
posterior and answering each question with the highest is one greedy walk of a sampled value function; where answers
open further questions, what those are worth is left to the screening. `pool` such walks, each with weights of its own,
are the agent's policy; of their new networks, one draw of the posterior with pairs picks the one to train. The weights
are drawn after random `parts` of what was told, from all of it to an eighth, so that walks lead to other places than
the best so far. Rewards enter as normal scores of their ranks, so that no scale needs to be known, and none counts less
than `lowest`: once many good networks are told, that a bad one ranks below them all says little of its answers.
Departs from the papers: least squares are solved once for whole networks, not question by question backwards; weights
are spread by `spread` beyond the posterior, for a pool that has something to choose from.
Where all that it would ask for is known, it asks for a random network. It learns from `remember` networks at most, the
best and the latest.
A failed child is among the lowest. A repeat tells it nothing.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from functools import partial
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from nas.errors import UserError
from nas.space import Candidate, Question, Space

Floats = npt.NDArray[np.float64]
SMALLEST = 8  # the smallest random part of what was told is of one in so many
FEW = 20  # walks that show how various they are
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
        lowest: float = -0.5,
        spread: float = 1.0,
        parts: int = 10,
        remember: int = 300,
    ) -> None:
        for name, value, least in (("first", first, 2), ("pool", pool, 1), ("spread", spread, 0), ("parts", parts, 0)):
            if value < least:
                raise UserError(f"posterior-sampling: found {name}={value}, expected at least {least}")
        if not (noise > 0 and 0 <= pairs <= 1 and remember >= first):
            raise UserError(
                f"posterior-sampling: found noise={noise}, pairs={pairs}, first={first}, remember={remember}, expected "
                "noise > 0, pairs in 0..1, remember >= first"
            )
        self.space, self.seed, self.first = space, seed, first
        self.pool, self.spread, self.parts = pool, spread, parts
        self.critic = Critic(noise, pairs, lowest, remember)

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """The best by one sampled value function of the networks that many others lead to."""
        rng = random.Random(f"{self.seed} {trial}")
        if len(self.critic.told) < self.first:
            return self.space.sample(rng, trial)
        draw = np.random.default_rng([self.seed, trial])
        memory = self.critic.memory()
        new = self.critic.new(self._walks(self.pool, *memory, draw, rng, trial), pending)
        if not new:
            return self.critic.by_lot(self.space, pending, rng, trial)
        return self.critic.pick(new, *memory, draw)

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Remember a new network."""
        self.critic.tell(candidate, reward)

    def figures(self, trial: int) -> dict[str, float]:
        """How many networks some of its walks lead to, as a share of the walks: 1 while all lead to others."""
        if len(self.critic.told) < self.first:
            return {"variety": 1.0}
        rng, draw = random.Random(f"{self.seed} {trial}"), np.random.default_rng([self.seed, trial])
        walks = self._walks(FEW, *self.critic.memory(), draw, rng, trial)
        return {"variety": len({candidate.key for candidate in walks}) / FEW}

    def _walks(
        self, count: int, x: Floats, scores: Floats, draw: np.random.Generator, rng: random.Random, trial: int
    ) -> list[Candidate]:
        """Samples of the policy: greedy walks, each by weights of its own."""
        drawn = self._weights(count, x, scores, draw)
        return [self.space.walk(partial(self._greedy, weights, rng), trial) for weights in drawn]

    def _weights(self, count: int, x: Floats, scores: Floats, draw: np.random.Generator) -> Floats:
        """(count, terms): weights of the additive values, drawn after random parts of the memory and spread beyond.

        Without parts, all after the whole memory.
        """
        drawn = []
        for size in np.bincount(np.arange(count) % (self.parts or 1)):
            share = SMALLEST ** -draw.uniform() if self.parts else 1.0
            part = draw.permutation(len(x))[: max(2, int(len(x) * share))]
            weights = additive(x[part], scores[part], self.critic.noise, size, draw)
            drawn.append(weights + self.spread * weights.std() * draw.standard_normal(weights.shape))
        return np.concatenate(drawn)

    def _greedy(self, weights: Floats, rng: random.Random, question: Question) -> int:
        """The legal answer of the highest weight; what was never told has one from the prior."""
        columns = [self.critic.terms.get(term(question, answer)) for answer in question.legal]
        values = [rng.gauss(0, 1) if column is None else weights[column] for column in columns]
        return question.legal[values.index(max(values))]


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
        found = {one.key: one for one in candidates if one.key not in self.told and one.key not in waiting}
        return list(found.values())

    def by_lot(self, space: Space, pending: Sequence[Candidate], rng: random.Random, trial: int) -> Candidate:
        """A random network that is new, if one is met soon."""
        for _ in range(DRAWS):
            candidate = space.sample(rng, trial)
            if self.new([candidate], pending):
                break
        return candidate

    def pick(self, candidates: Sequence[Candidate], x: Floats, scores: Floats, draw: np.random.Generator) -> Candidate:
        """The candidate of the highest value in one draw of the posterior after this memory.

        What was never told is as uncertain as it was at first.
        """
        terms = dict(self.terms)
        columns = [_columns(candidate, terms) for candidate in candidates]
        x = np.pad(x, ((0, 0), (0, len(terms) - x.shape[1])))
        values = sampled(x, scores, _matrix(columns, len(terms)), self.pairs, self.noise, draw)
        return candidates[int(np.argmax(values))]


def _columns(candidate: Candidate, terms: dict[Term, int]) -> list[int]:
    """The columns of a candidate's terms; what has none yet is given the next."""
    return [terms.setdefault(term(question, answer), len(terms)) for question, answer in candidate.decisions]


def _matrix(rows: Sequence[Sequence[int]], terms: int) -> Floats:
    """(networks, terms): which terms a network has, scaled so that each network has length 1."""
    x = np.zeros((len(rows), terms))
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


def additive(x: Floats, scores: Floats, noise: float, count: int, draw: np.random.Generator) -> Floats:
    """`count` draws (count, terms) of the weights of single answers after `x` (n, terms) with `scores` (n,).

    Matheron's rule: a draw of the prior, moved by what it and drawn noise miss of the scores.
    """
    prior = draw.standard_normal((count, x.shape[1]))
    missed = scores - prior @ x.T - math.sqrt(noise) * draw.standard_normal((count, len(x)))
    drawn: Floats = prior + np.linalg.solve(x @ x.T + noise * np.eye(len(x)), missed.T).T @ x
    return drawn


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
