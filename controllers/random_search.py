"""Random search: every answer uniform among the legal ones; what every other controller is held against.

Source: Li & Talwalkar, "Random Search and Reproducibility for Neural Architecture Search", UAI 2019.
Failures, repeats and stopped children mean nothing to it.
"""

import random
from collections.abc import Sequence

from nas.space import Candidate, Space


class RandomSearch:
    """The smallest controller, and the one to copy."""

    def __init__(self, space: Space, seed: int, length: int) -> None:
        self.space, self.seed = space, seed

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """A candidate by uniform answers."""
        return self.space.sample(random.Random(f"{self.seed} {trial}"), trial)

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Learn nothing."""
