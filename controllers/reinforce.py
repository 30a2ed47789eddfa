"""REINFORCE: an LSTM answers one question after the other, or a table of logits each on its own.

Source: Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, sections 3.2 and 3.3.
Departs from the paper, for hundreds of children instead of thousands:
- a child's gain is the normal quantile of its reward's rank among those told, not its distance from a moving average;
- each update also makes the `best` networks so far likelier (priority-queue training: Abolafia et al., "Neural Program
  Synthesis with Priority Queue Training", 2018; self-imitation: Oh et al., ICML 2018);
- `screen` candidates are drawn from the policy, and one draw of a critic's posterior (`nas/critic.py`) picks the new
  one that is trained; not before `batch` different networks are told, so the first `batch` children are not screened;
- answers are by lot with the probability `explore`;
- the rate is 0.04 instead of 0.0006.
So the trained children are not plain samples of the policy; the update takes them as if they were, without a ratio of
probabilities. What is beyond the space's bounds is not picked, and where nothing is screened it is drawn again. Where
all that is drawn is known or beyond, a random network is asked.
The paper's rule is `rate=0.0006, baseline=average, best=0, explore=0, screen=1`, and `--preset zoph2017`. Whatever the
parameters: the input of a step is the last answer plus which choice is asked, for spaces whose next question depends on
the answers; candidates are scored again under the present weights when they are told, for a search runs ahead of its
updates; the average, of which the paper gives neither start nor decay, begins at the mean of the first batch, and its
decay is 0.9. An update is one step over the last `batch` told and the best; what the critic learns from is bounded too.
With `layers=0` each question has logits of its own, in place of the LSTM's, as in Dong & Yang, "NAS-Bench-201", ICLR
2020 (`--preset nasbench201-reinforce`).
A failed child counts as the lowest reward told by its update, and not at all before there is one. A repeat is told as
any other, and so is a stopped child, by its estimate (`nas.stop`).

What each part is worth, in points of the highest reward after 100 networks on NAS-Bench-201, and on random landscapes
`nk:8,3,1` and `nk:6,5,3`; 14 seeds cannot tell what is in brackets from nothing (`python -m benchmarks.ablation --seeds
14`; benchmarks/RESULTS.md): the critic 0.50, 5.0 (1.4); a policy that learns, beside the critic, 0.42 (1.1, 1.4), and
after 200 networks 0.12, 0.4, 3.2; ranks in place of the average (0.16, 0.2, -0.9); a rate of 0.04 in place of 0.02
(0.0, 0.9, 1.3), after 200 on `nk:6,5,3` 2.0; imitating the best (0.0, 1.3, -1.0), yet where there is no critic either,
their loss on `nk:8,3,1` is 6.4 in place of 5.0; answers by lot (0.0, 0.6, -0.8), on NAS-Bench-Macro 0.03; screening 48
samples in place of 8 0.09, 2.4 (1.9), where 128 would gain (0.05, 0.3, 0.7) and take over 50 ms an ask; all of it 1.3,
7.1 and 3.2 against the paper's rule.
Tried on the two landscapes, over 20 to 40 seeds, and not kept, for none was clearly better: clipped ratios over the
last 32 children in four steps an update (Schulman et al., "Proximal Policy Optimization Algorithms", 2017), four plain
steps an update, updates after 2 or 4 children, and an entropy bonus steered to a target, with and without lots.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.critic import Asked, Critic, asked, standing
from nas.errors import UserError
from nas.space import Candidate, Question, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float32]

BASELINES = ("ranks", "average")
SPREAD = 0.08  # weights begin uniform within ± this (Zoph & Le, section 4.1)


class Reinforce:
    """A policy, and its update after each `batch` children told.

    layers: of the LSTM, each of `hidden` units; with 0 the policy is a table, and `hidden` means nothing.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        length: int,
        rate: float = 0.04,
        batch: int = 8,
        hidden: int = 35,
        layers: int = 2,
        baseline: str = "ranks",
        decay: float = 0.9,
        best: int = 10,
        explore: float = 0.1,
        screen: int = 48,
    ) -> None:
        _check(
            rate=rate, batch=batch, hidden=hidden, layers=layers, baseline=baseline, decay=decay, best=best,
            explore=explore, screen=screen,
        )  # fmt: skip
        self.space, self.seed = space, seed
        self.rate, self.batch, self.baseline, self.decay = rate, batch, baseline, decay
        self.best, self.explore, self.screen = best, explore, screen
        self.policy: Policy | Logits = Policy(space, seed, hidden, layers) if layers else Logits()
        self.critic = Critic()
        self.average: float | None = None  # of rewards, moving
        self.lowest: float | None = None
        self.entropy = 1.0
        self.waiting: list[tuple[Candidate, float]] = []  # told since the last update, -∞ for a failure
        self.elite: list[tuple[Candidate, float]] = []  # the best told, the best first

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """Draw from the policy: one candidate, or as many as are screened, of whose new ones the critic picks one."""
        rng = random.Random(f"{self.seed} {trial}")
        thoughts = self.policy.thoughts()
        if self.screen == 1 or len(self.critic.told) < self.batch:
            return self.space.first_within(lambda: self._drawn(thoughts(), rng, trial))
        new = self.critic.new([self._drawn(thoughts(), rng, trial) for _ in range(self.screen)], pending)
        draw = np.random.default_rng([self.seed, trial])
        picked = self.critic.pick(self.space, new, *self.critic.memory(), draw) if new else None
        return picked or self.critic.by_lot(self.space, pending, rng, trial)

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Keep the child; with the last one of a batch, move the policy."""
        if self.screen > 1 or self.baseline == "ranks":
            self.critic.tell(candidate, reward)
        known = [value for value in (reward, self.lowest) if value is not None]
        self.lowest = min(known, default=None)
        if self.lowest is None:
            return
        if reward is not None:
            self._keep(candidate, reward)
        self.waiting.append((candidate, -math.inf if reward is None else reward))
        if len(self.waiting) == self.batch:
            self._update(self.lowest)
            self.waiting = []

    def figures(self, trial: int) -> dict[str, float]:
        """The policy's entropy over the networks of its last update, as a share of uniform answers': 0 is collapsed."""
        return {"entropy": self.entropy}

    def prefers(self, trial: int) -> tuple[str, Candidate, list[dict[int, float]]]:
        """The likeliest answer to each question in turn: what its values are, and those of each decision on the way."""
        thought = self.policy.thoughts()()
        values: list[dict[int, float]] = []

        def answer(question: Question) -> int:
            values.append(dict(zip(question.legal, thought.chances(question), strict=True)))
            given = max(values[-1], key=values[-1].__getitem__)
            thought.answered(question, given)
            return given

        return "probability", self.space.walk(answer, trial), values

    def _drawn(self, thought: Thought | Logits, rng: random.Random, trial: int) -> Candidate:
        """A walk of the policy, which answers by lot with the probability `explore`."""

        def answer(question: Question) -> int:
            chances = thought.chances(question)
            by_lot = self.explore and rng.random() < self.explore
            given = rng.choice(question.legal) if by_lot else drawn(question.legal, chances, rng)
            thought.answered(question, given)
            return given

        return self.space.walk(answer, trial)

    def _keep(self, candidate: Candidate, reward: float) -> None:
        """Put it among the best, if it is new and one of them."""
        if all(candidate.key != other.key for other, _ in self.elite):
            self.elite = sorted([*self.elite, (candidate, reward)], key=lambda kept: -kept[1])[: self.best]

    def _update(self, lowest: float) -> None:
        rewards = [max(reward, lowest) for _, reward in self.waiting]
        candidates = [candidate for candidate, _ in self.waiting + self.elite]
        gains = self._gains(rewards, lowest) + [1.0] * len(self.elite)
        self.entropy = self.policy.step(candidates, gains, self.rate)

    def _gains(self, rewards: Sequence[float], lowest: float) -> list[float]:
        if self.baseline == "ranks":
            return list(standing(rewards, [max(reward, lowest) for _, reward in self.critic.kept]))
        if self.average is None:
            self.average = float(np.mean(rewards))
        gains, self.average = advantages(rewards, self.average, self.decay)
        return gains


def drawn(answers: Sequence[int], chances: Sequence[float], rng: random.Random) -> int:
    """One of the answers, with these chances; quicker than `rng.choices` for a few."""
    left = rng.random()
    for answer, chance in zip(answers, chances, strict=True):
        left -= chance
        if left < 0:
            return answer
    return answers[-1]  # the chances' sum may be a hair below 1


def softmax(scores: Sequence[float]) -> list[float]:
    """The probabilities of these scores."""
    highest = max(scores)
    raised = [math.exp(score - highest) for score in scores]
    total = sum(raised)
    return [one / total for one in raised]


def advantages(rewards: Sequence[float], baseline: float, decay: float) -> tuple[list[float], float]:
    """Each reward less the exponential moving average of those before it, and the average after the last.

    Zoph & Le 2017, section 3.2:  R_k - b,  then  b <- decay · b + (1 - decay) · R_k.
    """
    gains = []
    for reward in rewards:
        gains.append(reward - baseline)
        baseline = decay * baseline + (1 - decay) * reward
    return gains, baseline


RANGES = {
    "rate": (1e-12, 100), "batch": (1, 1_000_000), "hidden": (1, 10_000), "layers": (0, 100), "decay": (0, 1),
    "best": (0, 1_000_000), "explore": (0, 1), "screen": (1, 100_000),
}  # fmt: skip


def _check(**given: Any) -> None:
    """Raise UserError for a parameter out of range."""
    for name, (least, most) in RANGES.items():
        if not least <= given[name] <= most:
            raise UserError(f"reinforce: found {name}={given[name]}, expected {least:g} to {most:,}")
    if given["baseline"] not in BASELINES:
        raise UserError(f"reinforce: found baseline={given['baseline']}, expected one of {', '.join(BASELINES)}")


class Policy:
    """The LSTM's weights, as numpy arrays whose memory torch parameters share.

    A step's input is the sum of two learnt vectors: of the last answer, and of what the step is for (a choice, or an
    anchor). Its output scores all options of all choices; those not legal here are left out of the softmax.
    A link is a sigmoid over the outputs at two anchors (Zoph & Le 2017, section 3.3):
        P(layer i takes layer j) = sigmoid(v · tanh(W_prev h_j + W_curr h_i)).
    """

    def __init__(self, space: Space, seed: int, hidden: int, layers: int) -> None:
        choices = list(space.choices.values())
        ends = list(itertools.accumulate(len(choice.options) for choice in choices))
        self.first = {choice.name: end - len(choice.options) for choice, end in zip(choices, ends, strict=True)}
        self.what = {choice.name: number for number, choice in enumerate(choices)}
        self.options, self.anchor = ends[-1] if ends else 1, len(choices)  # a softmax over none is no number
        self.hidden, self.layers = hidden, layers
        rng = np.random.default_rng([seed, 1])
        self.weights: dict[str, Floats] = {
            name: rng.uniform(-SPREAD, SPREAD, shape).astype(np.float32) for name, shape in self._shapes().items()
        }
        self._adam: Any = None

    def thoughts(self) -> Callable[[], Thought]:
        """Makes thoughts, each the way through another network, that work out once what they have in common."""
        return partial(Thought, self, beginning(self))

    @cached_property
    def fused(self) -> Fused:
        """The present weights for steps in numpy; made anew after each update."""
        return fused(self.weights, self.hidden, self.layers)

    def scoring(self, question: Question) -> tuple[Floats, Floats]:
        """The weights (legal, hidden) and biases (legal,) that score this question's legal answers."""
        known, asked = self.fused.scoring, (question.choice.name, question.legal)
        if asked not in known:
            rows = [self.first[question.choice.name] + given for given in question.legal]
            known[asked] = self.weights["out"][rows], self.weights["out_bias"][rows]
        return known[asked]

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        hidden = self.hidden
        shapes: dict[str, tuple[int, ...]] = {"answers": (self.options + 1, hidden), "whats": (self.anchor + 1, hidden)}
        for layer in range(self.layers):
            shapes |= {f"weight_{end}_l{layer}": (4 * hidden, hidden) for end in ("ih", "hh")}
            shapes |= {f"bias_{end}_l{layer}": (4 * hidden,) for end in ("ih", "hh")}
        shapes |= {"out": (self.options, hidden), "out_bias": (self.options,)}
        return shapes | {"previous": (hidden, hidden), "current": (hidden, hidden), "vector": (hidden,)}

    def log_probability(self, candidates: Sequence[Candidate]) -> Tensor:
        """log P of each candidate's answers under the present weights, float (B,), in one teacher-forced pass."""
        return self._scored(candidates)[0]

    def _scored(self, candidates: Sequence[Candidate]) -> tuple[Tensor, float]:
        """The same, and the mean entropy of the answers as a share of that of uniform ones."""
        import torch
        from torch.nn import functional as F

        w, lstm, batch = self._parameters, self._lstm, _batch(self, candidates)
        tokens, whats, targets, legal = (torch.from_numpy(array) for array in batch[:4])
        outputs, _ = lstm(w["answers"][tokens] + w["whats"][whats])  # (B, T, hidden)
        scores = outputs @ w["out"].T + w["out_bias"]  # (B, T, options)
        log_p = scores.masked_fill(~legal, -torch.inf).log_softmax(-1)
        answered = log_p.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        total: Tensor = torch.where(targets >= 0, answered, 0.0).sum(1)
        asked = log_p.detach()[targets >= 0]  # (questions, options)
        entropies = torch.special.entr(asked.exp()).sum(1) / legal[targets >= 0].sum(1).log()
        if len(batch.links):
            row, current, previous, given = torch.from_numpy(batch.links).unbind(1)
            mixed = outputs[row, previous] @ w["previous"].T + outputs[row, current] @ w["current"].T
            score = torch.tanh(mixed) @ w["vector"]
            total = total.index_add(0, row, F.logsigmoid((2 * given - 1) * score))
            yes = score.detach().sigmoid()
            both = torch.special.entr(yes) + torch.special.entr(1 - yes)
            entropies = torch.cat([entropies, both / math.log(2)])
        return total, float(entropies.mean()) if len(entropies) else 0.0

    def step(self, candidates: Sequence[Candidate], gains: Sequence[float], rate: float) -> float:
        """One step of Adam up the mean over the candidates of gain · log P (Zoph & Le 2017, section 3.2).

        Gives the mean entropy of the answers before it, as a share of that of uniform ones.
        """
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # two are many times slower on matrices this small
        log_p, entropy = self._scored(candidates)
        loss = -(torch.tensor(gains) * log_p).mean()
        if self._adam is None:
            self._adam = torch.optim.Adam(self._parameters.values(), rate)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        self.__dict__.pop("fused", None)
        torch.set_num_threads(threads)
        return entropy

    @cached_property
    def _parameters(self) -> dict[str, Any]:
        """The weights as torch parameters; a step of Adam moves the arrays in `weights` too."""
        import torch

        return {name: torch.nn.Parameter(torch.from_numpy(array)) for name, array in self.weights.items()}

    @cached_property
    def _lstm(self) -> Any:
        import torch

        lstm = torch.nn.LSTM(self.hidden, self.hidden, self.layers, batch_first=True)
        for name, parameter in self._parameters.items():
            if name.startswith(("weight_", "bias_")):
                setattr(lstm, name, parameter)
        return lstm


class Moment:
    """The LSTM's state after some steps, and the moments that were reached from it."""

    __slots__ = ("after", "c", "chances", "h")

    def __init__(self, h: list[Floats], c: list[Floats]) -> None:
        self.h, self.c = h, c  # (hidden,) by layer
        self.after: dict[tuple[int, int], Moment] = {}  # by the answer before, and what the next step is for
        self.chances: dict[tuple[int, ...], list[float]] = {}  # by what is legal


class Thought:
    """The policy's way through one network's open questions, in numpy: a step costs microseconds.

    start: of another way of the same policy, so that what both have in common is worked out once.
    """

    def __init__(self, policy: Policy, start: Moment | None = None) -> None:
        self.policy = policy
        self.moment = start or beginning(policy)
        self.token = policy.options  # before any answer
        self.anchors: list[Floats] = []  # the output at each

    def chances(self, question: Question) -> list[float]:
        """The probability of each answer in question.legal."""
        while len(self.anchors) < question.anchors:
            self.anchors.append(self._step(self.policy.anchor))
        if question.link is not None:
            return self._link(self.anchors[question.link], self.anchors[question.anchors - 1])
        output = self._step(self.policy.what[question.choice.name])
        if question.legal not in self.moment.chances:
            weight, bias = self.policy.scoring(question)
            self.moment.chances[question.legal] = softmax((weight @ output + bias).tolist())
        return self.moment.chances[question.legal]

    def answered(self, question: Question, answer: int) -> None:
        """Remember the answer as the next step's input; links are not fed back."""
        if question.link is None:
            self.token = self.policy.first[question.choice.name] + answer

    def _link(self, previous: Floats, current: Floats) -> list[float]:
        w = self.policy.weights
        mixed = w["previous"] @ previous + w["current"] @ current
        yes = (math.tanh(w["vector"] @ np.tanh(mixed) / 2) + 1) / 2  # a sigmoid that does not overflow
        return [1 - yes, yes]

    def _step(self, what: int) -> Floats:
        way = self.token, what
        if way not in self.moment.after:
            self.moment.after[way] = step(self.policy, self.moment, *way)
        self.moment = self.moment.after[way]
        output: Floats = self.moment.h[-1]
        return output


def beginning(policy: Policy) -> Moment:
    """Before any question."""
    nothing = policy.layers * [np.zeros(policy.hidden, policy.weights["out"].dtype)]
    return Moment(nothing, nothing)


def step(policy: Policy, moment: Moment, token: int, what: int) -> Moment:
    """One step of the LSTM."""
    fused = policy.fused
    gates = fused.answers[token] + fused.whats[what] + fused.state @ moment.h[0]
    state = [_cell(gates, moment.c[0])]
    for layer, (weight, bias) in enumerate(fused.deeper, 1):
        gates = weight @ np.concatenate((state[-1][0], moment.h[layer])) + bias
        state.append(_cell(gates, moment.c[layer]))
    return Moment([h for h, _ in state], [c for _, c in state])


def _cell(gates: Floats, c: Floats) -> tuple[Floats, Floats]:
    """The output and the cell's state (hidden,) of one layer, from its gates (4 · hidden,) as `Fused` has them."""
    hidden = len(c)
    gates = np.tanh(gates)
    opened = gates[: 3 * hidden]
    opened += 1
    opened *= 0.5
    c = opened[hidden : 2 * hidden] * c + opened[:hidden] * gates[3 * hidden :]
    return opened[2 * hidden :] * np.tanh(c), c


class Fused(NamedTuple):
    """The LSTM's weights as a step needs them: gates in the order input, forget, output, cell.

    Rows of the first three are halved, for sigmoid(x) = (tanh(x / 2) + 1) / 2, and tanh does not overflow.
    """

    answers: Floats  # (options + 1, 4 · hidden), what an answer adds to the first layer's gates
    whats: Floats  # (whats, 4 · hidden), what a step's purpose adds, and the biases
    state: Floats  # (4 · hidden, hidden), of the first layer's last output
    deeper: list[tuple[Floats, Floats]]  # of later layers: (4 · hidden, 2 · hidden) of input and last output; biases
    scoring: dict[tuple[str, tuple[int, ...]], tuple[Floats, Floats]]  # by choice and what is legal: weights, biases


def fused(weights: Mapping[str, Floats], hidden: int, layers: int) -> Fused:
    """These weights, for steps."""
    order = np.arange(4 * hidden).reshape(4, hidden)[[0, 1, 3, 2]].ravel()  # torch's is input, forget, cell, output
    halves = np.repeat(np.array([0.5, 0.5, 0.5, 1], np.float32), hidden)

    def rows(name: str, layer: int) -> Floats:
        given = weights[f"{name}_l{layer}"][order]
        return given * (halves[:, None] if given.ndim == 2 else halves)

    biases = [rows("bias_ih", layer) + rows("bias_hh", layer) for layer in range(layers)]
    first = rows("weight_ih", 0).T
    return Fused(
        weights["answers"] @ first,
        weights["whats"] @ first + biases[0],
        rows("weight_hh", 0),
        [(np.hstack([rows("weight_ih", n), rows("weight_hh", n)]), biases[n]) for n in range(1, layers)],
        {},
    )


class _Batch(NamedTuple):
    """Candidates as padded arrays over the steps of the LSTM; an anchor is a step without a target."""

    tokens: NDArray[np.int64]  # (B, T), the answer before each step
    whats: NDArray[np.int64]  # (B, T), what each step is for
    targets: NDArray[np.int64]  # (B, T), the option answered; -1 for anchors and padding
    legal: NDArray[np.bool_]  # (B, T, options)
    links: NDArray[np.int64]  # (links, 4): candidate, step of the layer, step of the earlier one, answer


def _batch(policy: Policy, candidates: Sequence[Candidate]) -> _Batch:
    traces = [_trace(policy, candidate) for candidate in candidates]
    shape = len(candidates), max((len(steps) for steps, _ in traces), default=0) or 1
    batch = _Batch(
        np.zeros(shape, np.int64),
        np.zeros(shape, np.int64),
        np.full(shape, -1, np.int64),
        np.ones((*shape, policy.options), np.bool_),
        np.array([(row, *link) for row, (_, links) in enumerate(traces) for link in links], np.int64).reshape(-1, 4),
    )
    for row, (steps, _) in enumerate(traces):
        for column, (token, what, target, legal) in enumerate(steps):
            batch.tokens[row, column], batch.whats[row, column], batch.targets[row, column] = token, what, target
            if legal:
                batch.legal[row, column] = False
                batch.legal[row, column, legal] = True
    return batch


_Step = tuple[int, int, int, list[int]]  # token before, what for, target or -1, legal options


def _trace(policy: Policy, candidate: Candidate) -> tuple[list[_Step], list[tuple[int, int, int]]]:
    """The steps that a `Thought` takes through a candidate, and its links as (step, earlier step, answer)."""
    steps: list[_Step] = []
    links: list[tuple[int, int, int]] = []
    anchors: list[int] = []
    token = policy.options
    for question, given in candidate.decisions:
        while len(anchors) < question.anchors:
            anchors.append(len(steps))
            steps.append((token, policy.anchor, -1, []))
        if question.link is not None:
            links.append((anchors[question.anchors - 1], anchors[question.link], given))
            continue
        first = policy.first[question.choice.name]
        what = policy.what[question.choice.name]
        steps.append((token, what, first + given, [first + option for option in question.legal]))
        token = first + given
    return steps, links


class Logits:
    """A table in the LSTM's place: each question has logits of its own, one an option of its choice, which begin at 0.

    A question is a choice and its occurrence, or a link's two anchors; what was answered before changes nothing.
    """

    def __init__(self) -> None:
        self.rows: dict[Asked, Tensor] = {}  # by question, of those that an update met
        self._adams: dict[Asked, Any] = {}  # one a row, so that a row not asked does not move

    def thoughts(self) -> Callable[[], Logits]:
        """Makes thoughts: the table itself, for there is nothing to remember on the way."""
        return lambda: self

    def chances(self, question: Question) -> list[float]:
        """The probability of each answer in question.legal."""
        known = self.rows.get(asked(question))
        if known is None:
            return [1 / len(question.legal)] * len(question.legal)
        logits = known.tolist()
        return softmax([logits[option] for option in question.legal])

    def answered(self, question: Question, answer: int) -> None:
        """Nothing comes of it."""

    def step(self, candidates: Sequence[Candidate], gains: Sequence[float], rate: float) -> float:
        """The same as the LSTM's `step`, its gradient written down.

        ∂ log P / ∂ logit of an option = (1 if it was answered, else 0) - its chance; nothing where it is not legal.
        """
        slopes: dict[Asked, NDArray[np.float64]] = {}
        entropies = []
        for candidate, gain in zip(candidates, gains, strict=True):
            for question, given in candidate.decisions:
                slope = slopes.setdefault(asked(question), np.zeros(len(question.choice.options)))
                chances = self.chances(question)
                slope[given] += gain
                slope[list(question.legal)] -= gain * np.array(chances)
                entropies.append(-sum(p * math.log(p) for p in chances if p) / math.log(len(chances)))
        for row, slope in slopes.items():
            self._climb(row, slope / len(candidates), rate)
        return float(np.mean(entropies)) if entropies else 0.0

    def _climb(self, row: Asked, slope: NDArray[np.float64], rate: float) -> None:
        import torch

        if row not in self.rows:
            self.rows[row] = torch.zeros(len(slope), dtype=torch.float64)
            self._adams[row] = torch.optim.Adam([self.rows[row]], rate)
        self.rows[row].grad = torch.from_numpy(-slope)  # Adam descends
        self._adams[row].step()
