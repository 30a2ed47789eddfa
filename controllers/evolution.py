"""Regularised evolution: mutate the best of a sample of the youngest.

Source: Real et al., "Regularized Evolution for Image Classifier Architecture Search", AAAI 2019, algorithm 1.
Departs from the paper: a mutation changes the answer to one question, in whatever space; one that leads to a network
seen before, or beyond the space's bounds, is drawn again, at most 20 times; population 25 and sample 10 instead of 100
and 25, for small budgets.
A failed child and a repeat do not enter the population; a stopped one does, with its estimate (`nas.stop`).
"""

import random
from collections import deque
from collections.abc import Sequence

from nas.errors import UserError
from nas.space import Candidate, Space

DRAWS = 20  # of a mutation, until it is a network not seen before


class Evolution:
    """Random until the population is full; from then on the oldest dies for each one told."""

    def __init__(self, space: Space, seed: int, length: int, population: int = 25, sample: int = 10) -> None:
        if not 1 <= sample <= population:
            raise UserError(f"evolution: found sample={sample}, expected 1 to population={population}")
        self.space, self.seed, self.sample = space, seed, sample
        self.population: deque[tuple[float, Candidate]] = deque(maxlen=population)
        self.seen: set[str] = set()
        self.trained: set[str] = set()  # those seen that did not fail

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """The fittest of a random sample, with one answer changed."""
        rng = random.Random(f"{self.seed} {trial}")
        if len(self.population) < (self.population.maxlen or 0):
            return self.space.sample(rng, trial)
        tournament = rng.sample(list(self.population), self.sample)
        _, parent = max(tournament, key=lambda member: member[0])
        under_way = {candidate.key for candidate in pending}
        for _ in range(DRAWS):
            child = mutate(self.space, parent, rng, trial)
            if child.key not in self.seen and child.key not in under_way and self.space.is_within(child):
                break
        return child

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """A new network that was trained joins the population."""
        if reward is not None and candidate.key not in self.trained:
            self.population.append((reward, candidate))
            self.trained.add(candidate.key)
        self.seen.add(candidate.key)


def mutate(space: Space, parent: Candidate, rng: random.Random, trial: int | None = None) -> Candidate:
    """The parent with another answer to one question, drawn uniformly; itself if it had nothing to decide."""
    positions = [position for position, question in enumerate(parent.questions) if len(question.legal) > 1]
    if not positions:
        return parent
    position = rng.choice(positions)
    others = [answer for answer in parent.questions[position].legal if answer != parent.answers[position]]
    return space.revise(parent, {position: rng.choice(others)}, rng, trial)
