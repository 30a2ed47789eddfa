"""Local search: move to the first better neighbour, start again at random where there is none.

Source: White et al., "Local Search is State of the Art for Neural Architecture Search Benchmarks", 2020 (its variant
that moves at the first improvement); Den Ottelander et al., "Local Search is a Remarkably Strong Baseline for Neural
Architecture Search", 2020. A neighbour is the candidate with another answer to one question.
Departs from the papers: it starts from one random network instead of the best of several; with more than one trial
under way it looks at as many neighbours at once, and at random networks when it has run out of them.
A network beyond the space's bounds is no neighbour. A failed child is one that is no better; a stopped one is as good
as its estimate (`nas.stop`). A repeat tells it nothing.
"""

import random
from collections.abc import Iterator, Sequence

from nas.space import Candidate, Space


class LocalSearch:
    """Climbs from one network; `length` means nothing to it."""

    def __init__(self, space: Space, seed: int, length: int) -> None:
        self.space, self.seed = space, seed
        self.seen: set[str] = set()
        self.top: float | None = None  # the reward of the network whose neighbours are tried; None for a fresh start
        self.untold: dict[str, Candidate] = {}  # those neighbours that were not told yet, in the order to be tried

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """The next neighbour that is not under way; a random network at a fresh start."""
        under_way = {candidate.key for candidate in pending}
        for key, neighbour in self.untold.items():
            if key not in under_way:
                now = self._now(neighbour, trial)
                if now.key not in under_way and now.key not in self.seen:
                    return now
        return self.space.sample(random.Random(f"{self.seed} {trial}"), trial)

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Move there if it is better; start afresh if that was the last neighbour."""
        if candidate.key in self.seen:
            return
        self.seen.add(candidate.key)
        self.untold.pop(candidate.key, None)
        if reward is not None and (self.top is None or reward > self.top):
            self.top = reward
            rng = random.Random(f"{self.seed} around {candidate.key}")
            around = filter(self.space.is_within, neighbours(self.space, candidate, rng, trial))
            self.untold = {neighbour.key: neighbour for neighbour in around if neighbour.key not in self.seen}
        if all(self._now(neighbour).key in self.seen for neighbour in self.untold.values()):
            self.top = None

    def _now(self, neighbour: Candidate, trial: int | None = None) -> Candidate:
        """It in the space as it is: more may be legal than when it was found, and another tool's space asks more."""
        return self.space.revise(neighbour, {}, random.Random(f"{self.seed} now {neighbour.key}"), trial)


def neighbours(space: Space, candidate: Candidate, rng: random.Random, trial: int | None = None) -> Iterator[Candidate]:
    """Every candidate with another answer to one question, in random order; what a change opens is drawn by `rng`."""
    moves = [
        (position, answer)
        for position, (question, given) in enumerate(zip(candidate.questions, candidate.answers, strict=True))
        for answer in question.legal
        if answer != given
    ]
    rng.shuffle(moves)
    for position, answer in moves:
        yield space.revise(candidate, {position: answer}, rng, trial)
