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
Where all that it would ask for is known, or beyond bounds, it asks for a random network. It learns from `remember`
networks at most, the best and the latest.
Of its pool it picks the best within the space's bounds. A failed child is among the lowest. A stopped one has the rank
of its estimate (`nas.stop`). A repeat tells it nothing.

What each part is worth, in points of the highest reward after 100 networks on NAS-Bench-201, and on random landscapes
`nk:8,3,1` and `nk:6,5,3`; 14 seeds cannot tell what is in brackets from nothing (`python -m benchmarks.ablation --seeds
14`; benchmarks/RESULTS.md): screening a pool 0.56, 3.9 (-0.7); 100 walks in place of 20 0.19 (0.3, -1.0); a noise of
0.1 in place of 0.3 0.09 (-0.5, -2.1); parts (0.0, -0.5, -3.0); a lowest score (0.0, 0.0, -1.9); both of these (0.13,
-0.5, -1.0), after 200 on NAS-Bench-201 (0.17); spread (0.0, -0.5, -0.6), on NAS-Bench-Macro -0.05; pairs beside single
answers (0.06, 0.8, -0.8). On the most rugged, where parts of a network say least of the whole, it would rather do
better with less of what makes it explore.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from functools import partial

import numpy as np

from nas.critic import Asked, Critic, Floats, asked, term
from nas.errors import UserError
from nas.space import Candidate, Question, Space

SMALLEST = 8  # the smallest random part of what was told is of one in so many
MOST = 100_000  # of each number that the work of an ask or a tell grows with
FEW = 20  # walks that show how settled it is


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
        spread: float = 2.0,
        parts: int = 10,
        remember: int = 300,
    ) -> None:
        for name, value, least in (("first", first, 2), ("pool", pool, 1), ("spread", spread, 0), ("parts", parts, 0)):
            if value < least:
                raise UserError(f"posterior-sampling: found {name}={value}, expected at least {least}")
            if value > MOST:
                raise UserError(f"posterior-sampling: found {name}={value}, expected at most {MOST:,}")
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
        picked = self.critic.pick(self.space, new, *memory, draw) if new else None
        return picked or self.critic.by_lot(self.space, pending, rng, trial)

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Remember a new network."""
        self.critic.tell(candidate, reward)

    def figures(self, trial: int) -> dict[str, float]:
        """How various answers are that are greedy by draws of the posterior, without spread: 0 is settled.

        That is no collapse: what it asks for is new as long as its walks lead to anything new.
        """
        if len(self.critic.told) < self.first:
            return {"uncertainty": 1.0}
        rng, draw = random.Random(f"{self.seed} {trial}"), np.random.default_rng([self.seed, trial])
        weights = additive(*self.critic.memory(), self.critic.noise, FEW, draw)
        return {"uncertainty": entropy([self.space.walk(partial(self._greedy, each, rng), trial) for each in weights])}

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


def additive(x: Floats, scores: Floats, noise: float, count: int, draw: np.random.Generator) -> Floats:
    """`count` draws (count, terms) of the weights of single answers after `x` (n, terms) with `scores` (n,).

    Matheron's rule: a draw of the prior, moved by what it and drawn noise miss of the scores.
    """
    prior = draw.standard_normal((count, x.shape[1]))
    missed = scores - prior @ x.T - math.sqrt(noise) * draw.standard_normal((count, len(x)))
    drawn: Floats = prior + np.linalg.solve(x @ x.T + noise * np.eye(len(x)), missed.T).T @ x
    return drawn


def entropy(candidates: Sequence[Candidate]) -> float:
    """Mean over the questions of the entropy of their answers in several candidates, as a share of the highest."""
    answers: dict[Asked, list[int]] = {}
    highest: dict[Asked, float] = {}
    for candidate in candidates:
        for question, given in candidate.decisions:
            which = asked(question)
            answers.setdefault(which, []).append(given)
            highest[which] = max(highest.get(which, 0.0), math.log(len(question.legal)))
    shares = {which: np.unique(given, return_counts=True)[1] / len(given) for which, given in answers.items()}
    each = [-float((share * np.log(share)).sum()) / highest[which] for which, share in shares.items()]
    return float(np.mean(each)) if each else 0.0
