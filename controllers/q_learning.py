"""Tabular Q-learning with ε-greedy exploration and replay: MetaQNN.

Source: Baker, Gupta, Naik & Raskar, "Designing Neural Network Architectures using Reinforcement Learning", ICLR 2017.
Departs from the paper: the table grows as states are met, in any space; defaults are for hundreds of trials instead of
thousands: a rate of 0.1, exploration over after four tenths of the search, repeats included, and a network's own reward
mixed into the target of each of its steps (`trace`, after Peng & Williams, "Incremental Multi-Step Q-Learning", 1996),
because the maximum over values seen once or twice is mostly luck. The paper's are `rate=0.01, trace=0,
schedule="metaqnn"`; under that schedule ε falls with the different networks, as there: trials less the repeats told,
so that a pending repeat counts until it is told.
A network beyond the space's bounds is drawn again. A failed child counts as the lowest reward told so far, once: it is
not replayed, for it may be no fault of its answers. Before there is a reward it does not count at all. A repeat is told
and replayed as any other, and so is a stopped child, by its estimate (`nas.stop`).

What each part is worth, in points of the highest reward after 100 networks on NAS-Bench-201, and on random landscapes
`nk:8,3,1` and `nk:6,5,3`; 14 seeds cannot tell what is in brackets from nothing (`python -m benchmarks.ablation --seeds
14`; benchmarks/RESULTS.md): the trace 0.58, 5.9 (-1.1); the short schedule 0.46, 6.8 (0.3); a rate of 0.1 in place of
0.01 (0.16, 1.3, -0.1), on NAS-Bench-Macro 0.17, and 0.5 is no better; 100 replays in place of ten (0.14), 2.0 (-1.4).
"""

import math
import random
from collections.abc import Hashable, Iterable, Mapping, Sequence

from nas.errors import UserError
from nas.space import Candidate, Question, Space


class Row(dict[int, float]):
    """The values of one question's answers, {legal answer: value}, and the best of them."""

    __slots__ = ("best", "steps")

    def __init__(self, values: Mapping[int, float] | None = None) -> None:
        super().__init__(values or {})
        self.best = max(self.values(), default=-math.inf)  # kept, for a tell asks for it thousands of times
        self.steps: dict[int, Step] = {}  # one for all networks that share it: a replay then finds it in the cache

    def allow(self, answers: Iterable[int], value: float) -> None:
        """Give this value to those answers that have none yet."""
        for answer in answers:
            if answer not in self:
                self[answer] = value
                self.best = max(self.best, value)


Step = tuple[Row, int]  # a question's row, and the answer given
QTable = dict[Hashable, Row]

MOST_REPLAYS = 100_000  # networks replayed after each trial: minutes

# (ε, for how many trials); only the proportions count, they are stretched over the search's length
SCHEDULES = {
    "metaqnn": ((1.0, 1500), *((e, 100) for e in (0.9, 0.8, 0.7)), *((e, 150) for e in (0.6, 0.5, 0.4, 0.3, 0.2, 0.1))),
    "short": ((1.0, 10), *((e, 4) for e in (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)), (0.1, 58)),
}


class QLearning:
    """Q-values by (question, state); MetaQNN, section 4."""

    def __init__(
        self,
        space: Space,
        seed: int,
        length: int,
        rate: float = 0.1,
        discount: float = 1.0,
        trace: float = 0.9,
        initial: float = 0.5,
        replays: int = 100,
        schedule: str = "short",
    ) -> None:
        if schedule not in SCHEDULES:
            raise UserError(f"q-learning: found schedule={schedule}, expected one of {', '.join(SCHEDULES)}")
        for name, share in (("rate", rate), ("discount", discount), ("trace", trace)):
            if not 0 <= share <= 1:
                raise UserError(f"q-learning: found {name}={share}, expected 0 to 1")
        if not 0 <= replays <= MOST_REPLAYS:
            raise UserError(f"q-learning: found replays={replays}, expected 0 to {MOST_REPLAYS:,}")
        if not -1e6 <= initial <= 1e6:
            raise UserError(f"q-learning: found initial={initial}, expected -1,000,000 to 1,000,000")
        self.space, self.seed, self.length = space, seed, length
        self.rate, self.discount, self.trace, self.initial = rate, discount, trace, initial
        self.replays, self.schedule = replays, schedule
        self.q: QTable = {}
        self.memory: list[tuple[list[Step], float]] = []
        self.lowest: float | None = None
        self.keys: set[str] = set()  # of the networks told, failed ones too
        self.repeats = 0  # told

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """Each answer greedy, or with probability ε uniform."""
        rng = random.Random(f"{self.seed} {trial}")
        chance = self._epsilon(trial)

        def answer(question: Question) -> int:
            if rng.random() < chance:
                return rng.choice(question.legal)
            row: Mapping[int, float] = self.q.get(state_of(question), {})
            best = max(row.get(given, self.initial) for given in question.legal)
            return rng.choice([given for given in question.legal if row.get(given, self.initial) == best])

        return self.space.first_within(lambda: self.space.walk(answer, trial))

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Update along the network, then along networks drawn from the memory."""
        key = candidate.key
        self.repeats += key in self.keys
        self.keys.add(key)
        self.lowest = min((value for value in (reward, self.lowest) if value is not None), default=None)
        if self.lowest is None:
            return
        steps = [self._step(question, given) for question, given in candidate.decisions]
        if reward is not None:
            self.memory.append((steps, reward))
        update(steps, self.lowest if reward is None else reward, self.rate, self.discount, self.trace)
        rng = random.Random(f"replay {self.seed} {len(self.memory)}")
        for steps_then, reward_then in rng.choices(self.memory, k=self.replays):
            update(steps_then, reward_then, self.rate, self.discount, self.trace)

    def figures(self, trial: int) -> dict[str, float]:
        """How likely an answer is to be random at this trial."""
        return {"epsilon": self._epsilon(trial)}

    def prefers(self, trial: int) -> tuple[str, Candidate, list[dict[int, float]]]:
        """The table's best path, of equal answers the first: what its values are, and those of each decision on it."""
        values: list[dict[int, float]] = []

        def answer(question: Question) -> int:
            row: Mapping[int, float] = self.q.get(state_of(question), {})
            values.append({given: row.get(given, self.initial) for given in question.legal})
            return max(values[-1], key=values[-1].__getitem__)

        return "Q-value", self.space.walk(answer, trial), values

    def _epsilon(self, trial: int) -> float:
        counted = trial - self.repeats if self.schedule == "metaqnn" else trial
        return epsilon(self.schedule, counted / max(1, self.length))

    def _step(self, question: Question, given: int) -> Step:
        """The table's row for this question, with a value for each of its legal answers, and the one given."""
        state = state_of(question)
        if state not in self.q:
            self.q[state] = Row()
        row = self.q[state]
        row.allow(question.legal, self.initial)
        return row.steps.setdefault(given, (row, given))


def epsilon(schedule: str, progress: float) -> float:
    """ε after this share of the search (MetaQNN, table 2); the last one from the end on."""
    stages = SCHEDULES[schedule]
    whole = sum(trials for _, trials in stages)
    end = 0.0
    for value, trials in stages:
        end += trials / whole
        if progress < end - 1e-9:
            return value
    return stages[-1][0]


def state_of(question: Question) -> Hashable:
    """What a row of the table is for: which choice is asked, and what is known of the state."""
    return question.choice.name, question.state


def update(steps: Sequence[Step], reward: float, rate: float = 0.01, discount: float = 1.0, trace: float = 0.0) -> None:
    """Move the values of one network's steps toward its reward, in place, the last step first.

    Baker et al. 2017, equation 3, with no reward before the end; G is the target, and `reward` that of the last step:
        Q(s, u) <- (1 - rate) Q(s, u) + rate · G
        G <- discount · [(1 - trace) max_u' Q(s', u') + trace · G], for the step before

    Raises KeyError for an answer that its row has no value for.
    """
    target, keep, others = reward, 1 - rate, 1 - trace
    for row, answer in reversed(steps):  # backwards, so that one pass takes the reward to the first question
        before = row[answer]
        row[answer] = value = keep * before + rate * target
        if value >= row.best:
            row.best = value
        elif before == row.best:
            row.best = max(row.values())
        target = discount * (others * row.best + trace * target)
