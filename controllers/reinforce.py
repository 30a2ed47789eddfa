"""REINFORCE with a recurrent policy: an LSTM answers one question after the other.

Source: Zoph & Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, sections 3.2 and 3.3.
Departs from the paper: defaults are for hundreds of children instead of thousands (`rate=0.0006` is the paper's); the
input of a step is the last answer plus which choice is asked, for spaces whose next question depends on the answers;
candidates are scored again under the present weights when they are told, for a search runs ahead of its updates; the
baseline's decay, which the paper does not give, is 0.9.
A failed child counts as the lowest reward told so far, and not at all before there is one. A repeat is told as any
other.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nas.errors import UserError
from nas.space import Candidate, Question, Space

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SPREAD = 0.08  # weights begin uniform within ± this (Zoph & Le, section 4.1)


class Reinforce:
    """A policy, and its update after each `batch` children told."""

    def __init__(
        self,
        space: Space,
        seed: int,
        length: int,
        rate: float = 0.02,
        batch: int = 8,
        hidden: int = 35,
        layers: int = 2,
        decay: float = 0.9,
    ) -> None:
        for name, count in (("batch", batch), ("hidden", hidden), ("layers", layers)):
            if count < 1:
                raise UserError(f"reinforce: found {name}={count}, expected at least 1")
        if not rate > 0 or not 0 <= decay <= 1:
            raise UserError(f"reinforce: found rate={rate} and decay={decay}, expected above 0 and 0 to 1")
        self.space, self.seed = space, seed
        self.rate, self.batch, self.decay = rate, batch, decay
        self.policy = Policy(space, seed, hidden, layers)
        self.baseline: float | None = None
        self.lowest: float | None = None
        self.waiting: list[tuple[Candidate, float]] = []  # told since the last update

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """Draw each answer from the policy."""
        rng = random.Random(f"{self.seed} {trial}")
        thought = Thought(self.policy)

        def answer(question: Question) -> int:
            chances = thought.chances(question)
            given = rng.choices(question.legal, chances)[0]
            thought.answered(question, given)
            return given

        return self.space.walk(answer, trial)

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Keep the child; with the last one of a batch, take one step up the expected reward."""
        known = [value for value in (reward, self.lowest) if value is not None]
        self.lowest = min(known, default=None)
        reward = self.lowest if reward is None else reward
        if reward is None:
            return
        self.waiting.append((candidate, reward))
        if len(self.waiting) == self.batch:
            self._update()
            self.waiting = []

    def _update(self) -> None:
        candidates = [candidate for candidate, _ in self.waiting]
        rewards = [reward for _, reward in self.waiting]
        if self.baseline is None:
            self.baseline = float(np.mean(rewards))
        gains, self.baseline = advantages(rewards, self.baseline, self.decay)
        self.policy.step(candidates, gains, self.rate)


def advantages(rewards: Sequence[float], baseline: float, decay: float) -> tuple[list[float], float]:
    """Each reward less the exponential moving average of those before it, and the average after the last.

    Zoph & Le 2017, section 3.2:  R_k - b,  then  b <- decay · b + (1 - decay) · R_k.
    """
    gains = []
    for reward in rewards:
        gains.append(reward - baseline)
        baseline = decay * baseline + (1 - decay) * reward
    return gains, baseline


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
        self.weights: dict[str, NDArray[np.float32]] = {
            name: rng.uniform(-SPREAD, SPREAD, shape).astype(np.float32) for name, shape in self._shapes().items()
        }
        self._adam: Any = None

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
        import torch
        from torch.nn import functional as F

        w, lstm, batch = self._parameters, self._lstm, _batch(self, candidates)
        tokens, whats, targets, legal = (torch.from_numpy(array) for array in batch[:4])
        outputs, _ = lstm(w["answers"][tokens] + w["whats"][whats])  # (B, T, hidden)
        scores = outputs @ w["out"].T + w["out_bias"]  # (B, T, options)
        log_p = scores.masked_fill(~legal, -torch.inf).log_softmax(-1)
        answered = log_p.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1)
        total: Tensor = torch.where(targets >= 0, answered, 0.0).sum(1)
        if len(batch.links):
            row, current, previous, given = torch.from_numpy(batch.links).unbind(1)
            mixed = outputs[row, previous] @ w["previous"].T + outputs[row, current] @ w["current"].T
            total = total.index_add(0, row, F.logsigmoid((2 * given - 1) * (torch.tanh(mixed) @ w["vector"])))
        return total

    def step(self, candidates: Sequence[Candidate], gains: Sequence[float], rate: float) -> None:
        """One step of Adam up the mean over the candidates of gain · log P (Zoph & Le 2017, section 3.2)."""
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # two are many times slower on matrices this small
        loss = -(torch.tensor(gains) * self.log_probability(candidates)).mean()
        if self._adam is None:
            self._adam = torch.optim.Adam(self._parameters.values(), rate)
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        torch.set_num_threads(threads)

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


class Thought:
    """The policy's way through one network's open questions, in numpy: a step costs microseconds."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.h = np.zeros((policy.layers, policy.hidden), np.float32)
        self.c = np.zeros((policy.layers, policy.hidden), np.float32)
        self.token = policy.options  # before any answer
        self.anchors: list[NDArray[np.float32]] = []  # the output at each

    def chances(self, question: Question) -> list[float]:
        """The probability of each answer in question.legal."""
        w = self.policy.weights
        while len(self.anchors) < question.anchors:
            self.anchors.append(self._step(self.policy.anchor))
        if question.link is not None:
            mixed = w["previous"] @ self.anchors[question.link] + w["current"] @ self.anchors[question.anchors - 1]
            yes = 1 / (1 + math.exp(-float(w["vector"] @ np.tanh(mixed))))
            return [1 - yes, yes]
        output = self._step(self.policy.what[question.choice.name])
        rows = [self.policy.first[question.choice.name] + given for given in question.legal]
        scores = (w["out"][rows] @ output + w["out_bias"][rows]).astype(np.float64)
        raised = np.exp(scores - scores.max())
        return list(raised / raised.sum())

    def answered(self, question: Question, answer: int) -> None:
        """Remember the answer as the next step's input; links are not fed back."""
        if question.link is None:
            self.token = self.policy.first[question.choice.name] + answer

    def _step(self, what: int) -> NDArray[np.float32]:
        """One step of the LSTM (torch's order of gates: input, forget, cell, output)."""
        w, hidden = self.policy.weights, self.policy.hidden
        x: NDArray[np.float32] = w["answers"][self.token] + w["whats"][what]
        for layer in range(self.policy.layers):
            gates = w[f"weight_ih_l{layer}"] @ x + w[f"weight_hh_l{layer}"] @ self.h[layer]
            gates += w[f"bias_ih_l{layer}"] + w[f"bias_hh_l{layer}"]
            opened = 1 / (1 + np.exp(-gates))
            self.c[layer] *= opened[hidden : 2 * hidden]
            self.c[layer] += opened[:hidden] * np.tanh(gates[2 * hidden : 3 * hidden])
            x = self.h[layer] = opened[3 * hidden :] * np.tanh(self.c[layer])
        return x


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
