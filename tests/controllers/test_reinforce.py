"""REINFORCE: its policy over a space small enough to be enumerated, and its gradient against the exact one."""

import copy
import math
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from controllers.reinforce import Logits, Policy, Reinforce, Thought, advantages
from nas.blocks import Block
from nas.critic import asked
from nas.errors import UserError
from nas.network import Images, Network
from nas.space import LINK, Candidate, Choice, Limit, Pick, Question, Space

PLAIN: dict[str, Any] = {"baseline": "average", "best": 0, "explore": 0.0, "screen": 1}  # the paper's rule


class Linked(Space):
    """Layers that take earlier ones; a convolution has a width, never less than the last one's.

    3 + 2 · 8 + 8 · 20 candidates: links times kinds and widths.
    """

    kind = Choice("conv", "identity")
    width = Choice(8, 16)

    def __init__(self, deepest: int = 3) -> None:
        self.depth = Choice(*range(1, deepest + 1))

    def build(self, pick: Pick) -> Network:
        width, blocks = 0, []
        for layer in range(pick(self.depth)):
            links = pick.links(range(layer))
            pick.anchor()
            kind = pick(self.kind)
            if kind == "conv":
                width = pick(self.width, among=[w for w in self.width.options if w >= width])
            inputs = tuple(number + 1 for number, linked in enumerate(links) if linked)
            blocks.append(Block(kind, width, inputs=inputs))
        return Network(8, tuple(blocks))


def sharpened(space: Space, factor: float, hidden: int = 8) -> Policy:
    """A policy that is far from uniform."""
    policy = Policy(space, seed=0, hidden=hidden, layers=2)
    policy.weights.update({name: weights * np.float32(factor) for name, weights in policy.weights.items()})
    return policy


def in_double(policy: Policy) -> Policy:
    """The same with weights of 64 bits, before torch has seen them."""
    policy.weights.update({name: weights.astype(np.float64) for name, weights in policy.weights.items()})
    return policy


def in_numpy_doubles(policy: Policy) -> Policy:
    """A copy that asks with 64 bits."""
    same = copy.copy(policy)
    same.weights = {name: weights.astype(np.float64) for name, weights in policy.weights.items()}
    return same


def thought_through(policy: Policy | Logits, candidate: Candidate) -> float:
    """log P of a candidate's answers, one step after the other in numpy."""
    thought = Thought(in_numpy_doubles(policy)) if isinstance(policy, Policy) else policy
    total = 0.0
    for question, given in candidate.decisions:
        chances = thought.chances(question)
        assert sum(chances) == pytest.approx(1)
        total += math.log(chances[question.legal.index(given)])
        thought.answered(question, given)
    return total


def probabilities(policy: Policy | Logits, candidates: Sequence[Candidate]) -> npt.NDArray[np.float64]:
    return np.exp([thought_through(policy, candidate) for candidate in candidates])


# --- the policy ---


@pytest.mark.parametrize("factor", [1, 8])
def test_probabilities_over_the_whole_space_sum_to_one(factor: float) -> None:
    candidates = list(Linked().candidates())
    assert len(candidates) == 179
    with torch.no_grad():
        p = sharpened(Linked(), factor).log_probability(candidates).double().exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-5)
    assert (float(p.max() / p.min()) > 1000) == (factor == 8)


@pytest.mark.parametrize("factor", [1, 8])
def test_asking_in_numpy_and_telling_in_torch_are_of_one_mind(factor: float) -> None:
    candidates = list(Linked().candidates())
    policy = sharpened(Linked(), factor)
    with torch.no_grad():
        told = policy.log_probability(candidates).tolist()
    assert [thought_through(policy, candidate) for candidate in candidates] == pytest.approx(told, abs=1e-4)


def test_candidates_are_asked_as_often_as_their_probability_says() -> None:
    candidates = list(Linked(2).candidates())
    controller = Reinforce(Linked(2), seed=0, length=0, hidden=8, **PLAIN)
    controller.policy = sharpened(Linked(2), 8)
    counts = Counter(controller.ask(trial, []).answers for trial in range(3000))
    for candidate, p in zip(candidates, probabilities(controller.policy, candidates), strict=True):
        assert counts[candidate.answers] == pytest.approx(3000 * p, abs=4 * math.sqrt(3000 * p) + 1)


def test_a_link_is_zoph_and_les_sigmoid() -> None:
    policy = sharpened(Linked(), 8)
    candidate = Linked().walk(lambda question: question.legal[-1])
    thought, links = Thought(policy), []
    for question, given in candidate.decisions:
        chances = thought.chances(question)
        thought.answered(question, given)
        if question.link is not None:
            previous, current = thought.anchors[question.link], thought.anchors[-1]
            w = policy.weights
            score = w["vector"] @ np.tanh(w["previous"] @ previous + w["current"] @ current)
            links.append((question.link, chances[1], 1 / (1 + np.exp(-score))))
    assert [link for link, *_ in links] == [0, 0, 1]
    assert all(chance == pytest.approx(expected, abs=1e-6) for _, chance, expected in links)


def test_before_anything_is_told_the_policy_is_nearly_uniform() -> None:
    policy = Reinforce(Linked(), seed=0, length=0).policy
    assert isinstance(policy, Policy)
    assert Thought(policy).chances(Linked().walk(lambda q: q.legal[0]).questions[0]) == pytest.approx(
        [1 / 3] * 3, abs=0.04
    )
    assert all(abs(weights).max() <= 0.08 for weights in policy.weights.values())


# --- the gradient ---


@pytest.mark.parametrize("baseline", [0.0, 3.7])
def test_the_gradient_is_that_of_the_expected_reward_whatever_the_baseline(baseline: float) -> None:
    candidates = list(Linked(2).candidates())
    rewards = np.random.default_rng(0).uniform(0, 1, len(candidates))
    policy = in_double(sharpened(Linked(2), 8, hidden=5))
    log_p = policy.log_probability(candidates)
    gains = torch.from_numpy(rewards - baseline)
    parameters = policy._parameters
    (log_p.detach().exp() * gains * log_p).sum().backward()  # type: ignore[no-untyped-call] # the sum over c of P(c) (R(c) - b) ∇ log P(c)
    rng = np.random.default_rng(1)
    for name, weights in policy.weights.items():
        for _ in range(3):
            place = tuple(int(rng.integers(length)) for length in weights.shape)
            before, ends = weights[place], []
            for step in (1e-5, -1e-5):
                weights[place] = before + step
                ends.append(probabilities(policy, candidates) @ rewards)
            weights[place] = before
            exact = (ends[0] - ends[1]) / 2e-5
            assert float(parameters[name].grad[place]) == pytest.approx(exact, abs=1e-8, rel=1e-5), (name, place)


def test_steps_up_the_gradient_make_the_better_answers_likely() -> None:
    candidates = list(Linked(2).candidates())
    policy = Policy(Linked(2), seed=0, hidden=8, layers=1)
    before = probabilities(policy, candidates)
    for _ in range(100):
        policy.step(candidates[:2], [1.0, -1.0], rate=0.01)
    after = probabilities(policy, candidates)
    assert after[0] == pytest.approx(before[0] + before[1], abs=0.01)  # they differ in the last answer alone
    assert after[1] < before[1] / 100
    assert after.sum() == pytest.approx(1, abs=1e-5)


def test_the_number_of_threads_is_left_as_it_was() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        Policy(Linked(1), seed=0, hidden=4, layers=1).step(list(Linked(1).candidates()), [1.0] * 3, rate=0.1)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


# --- a table of logits in the LSTM's place ---


class Two(Space):
    """Two questions, of three answers and of two."""

    kernel = Choice(1, 3, 5)
    kind = Choice("conv", "identity")

    def build(self, pick: Pick) -> Network:
        kernel = pick(self.kernel)
        return Network(8, (Block(pick(self.kind), 8, kernel=kernel),))


def of_width(*legal: int, occurrence: int = 0) -> Question:
    """A question for one of three widths."""
    return Question(Choice(8, 16, 24, name="width"), legal, (), occurrence, 0, None)


def of_link(layer: int, earlier: int) -> Question:
    return Question(LINK, (0, 1), (), 0, layer, earlier)


def answering(question: Question, answer: int) -> Candidate:
    return Candidate(Network(8, ()), (question,), (answer,))


def test_chances_are_the_softmax_of_the_logits_of_what_is_legal() -> None:
    logits = Logits()
    logits.rows[asked(of_width(0, 1, 2))] = torch.tensor([1.0, 2.0, 5.0]).log()
    assert logits.chances(of_width(0, 1, 2)) == pytest.approx([1 / 8, 2 / 8, 5 / 8])
    assert logits.chances(of_width(0, 2)) == pytest.approx([1 / 6, 5 / 6])
    assert logits.chances(of_width(0, 2, occurrence=1)) == [1 / 2, 1 / 2]  # never met


def test_the_logits_gradient_is_that_worked_out_by_hand() -> None:
    """At chances of 1/3, 8 with gain 1 and 16 with gain -1/2: half of (2/3, -1/3, -1/3) - 1/2 · (-1/3, 2/3, -1/3)."""
    logits, question = Logits(), of_width(0, 1, 2)
    logits.step([answering(question, 0), answering(question, 1)], [1.0, -0.5], rate=0.1)
    row = logits.rows[asked(question)]
    assert row.grad is not None
    assert row.grad.tolist() == pytest.approx([-5 / 12, 1 / 3, 1 / 12])  # of what Adam makes small
    assert row.tolist() == pytest.approx([0.1, -0.1, -0.1])  # its first step is the rate, up or down


def test_a_step_moves_nothing_that_was_not_asked_or_not_legal() -> None:
    logits, other = Logits(), of_width(0, 1, 2, occurrence=1)
    logits.step([answering(other, 0)], [1.0], rate=0.1)
    before = logits.chances(other)
    logits.step([answering(of_width(1, 2), 1)], [1.0], rate=0.1)
    assert logits.rows[asked(of_width(1, 2))].tolist() == pytest.approx([0, 0.1, -0.1])
    assert logits.chances(other) == before


def test_a_link_has_logits_for_its_two_layers() -> None:
    logits = Logits()
    logits.step([answering(of_link(2, 1), 1)], [1.0], rate=1.0)
    assert logits.chances(of_link(2, 1))[1] == pytest.approx(math.e / (math.e + 1 / math.e))
    assert [logits.chances(of_link(*other)) for other in [(2, 0), (1, 0), (3, 1)]] == [[1 / 2, 1 / 2]] * 3


def test_with_logits_too_probabilities_over_the_whole_space_sum_to_one() -> None:
    candidates = list(Linked().candidates())
    logits = Logits()
    for _ in range(30):
        logits.step(candidates[100:101], [1.0], rate=0.1)
    p = probabilities(logits, candidates)
    assert p.sum() == pytest.approx(1)
    assert p.argmax() == 100


def test_a_network_told_to_be_good_becomes_likelier_and_the_entropy_falls_from_one() -> None:
    controller = Reinforce(Two(), seed=0, length=0, rate=0.1, batch=1, layers=0, **PLAIN)
    networks = list(Two().candidates())
    assert probabilities(controller.policy, networks) == pytest.approx([1 / 6] * 6)
    good, entropies = [], []
    for trial in range(20):
        controller.tell(2 * trial, networks[0], 1.0)
        controller.tell(2 * trial + 1, networks[5], 0.0)
        good.append(probabilities(controller.policy, networks)[0])
        entropies.append(controller.entropy)
    assert good == sorted(good)
    assert good[-1] > 0.9
    assert entropies[0] == pytest.approx(1, abs=0.01)
    assert entropies[-1] < 0.5


def test_the_first_child_of_a_batch_of_one_moves_nothing() -> None:
    controller = Reinforce(Two(), seed=0, length=0, rate=0.1, batch=1, layers=0, **PLAIN)
    networks = list(Two().candidates())
    controller.tell(0, networks[0], 0.5)  # its reward is its baseline
    assert probabilities(controller.policy, networks) == pytest.approx([1 / 6] * 6)
    controller.tell(1, networks[0], 0.6)
    assert probabilities(controller.policy, networks)[0] > 1 / 6


def test_asking_leaves_the_logits_as_they_are_and_keeps_the_limits() -> None:
    space = Linked().on(Images(8, 1, 10), {"depth": Limit(1)})
    controller = Reinforce(space, seed=0, length=0, batch=2, layers=0)
    assert isinstance(controller.policy, Logits)
    for trial in range(10):
        kept = {question: row.tolist() for question, row in controller.policy.rows.items()}
        candidate = controller.ask(trial, [])
        assert candidate == controller.ask(trial, [])
        assert candidate.answers[0] == 0  # a depth of 1
        assert {question: row.tolist() for question, row in controller.policy.rows.items()} == kept
        controller.tell(trial, candidate, float(sum(candidate.answers)))
    assert len(kept) == 2  # kind and width


# --- baseline, failures, batches ---


def test_advantages_are_rewards_less_the_average_of_those_before() -> None:
    gains, baseline = advantages([1.0, 0.0, 0.5], baseline=0.5, decay=0.5)
    assert gains == [0.5, -0.75, 0.125]  # less 0.5, then 0.75, then 0.375
    assert baseline == 0.4375


def test_the_average_may_be_of_one_reward_or_of_all_time() -> None:
    assert advantages([1.0, 0.25], 0.0, decay=0.0) == ([1.0, -0.75], 0.25)
    assert advantages([1.0, 0.25], 0.5, decay=1.0) == ([0.5, -0.25], 0.5)


def first(trial: int) -> Candidate:
    """Always the same network."""
    return next(Linked().candidates())


def test_the_policy_moves_with_the_last_one_of_a_batch() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=3)
    assert isinstance(controller.policy, Policy)
    now = controller.policy.weights
    start = {name: weights.copy() for name, weights in now.items()}
    for trial, moved in enumerate([False, False, True]):
        controller.tell(trial, first(trial), float(trial))
        assert any(not np.array_equal(now[name], start[name]) for name in start) is moved
    assert controller.waiting == []


def test_the_first_baseline_is_the_mean_of_the_first_batch() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=2, **PLAIN | {"decay": 0.5})
    controller.tell(0, first(0), 0.0)
    controller.tell(1, first(1), 1.0)
    assert controller.average == 0.625  # 0.5, then 0.25, then 0.625


def test_a_failed_child_counts_as_the_lowest_reward_told_by_its_update() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=5, **PLAIN | {"decay": 0.5})
    for trial, reward in enumerate([None, 0.75, 0.5, None, -1.0, None]):  # the first came before any reward
        controller.tell(trial, first(trial), reward)
    assert controller.average == -0.83125  # from -0.35, the mean of 0.75, 0.5, -1, -1, -1: 0.2, 0.35, -0.325, -0.6625


def test_failed_children_rank_with_the_lowest_however_many_they_are() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=9)
    networks = list(Linked().candidates())
    for trial, reward in enumerate([0.5, None, 0.25, None, None]):  # four share the lower four fifths: at 2/5
        controller.tell(trial, networks[trial], reward)
    gains = controller._gains([0.5, 0.25, 0.25, 0.25, 0.25], lowest=0.25)
    assert gains == pytest.approx([1.2816, *4 * [-0.2533]], abs=1e-4)  # normal quantiles of 9/10 and 4/10


def test_a_batch_of_equal_rewards_moves_nothing_by_much() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=2, **PLAIN)
    before = probabilities(controller.policy, [first(0)])
    for trial in range(20):
        controller.tell(trial, first(trial), 0.5)
    assert probabilities(controller.policy, [first(0)]) == pytest.approx(before)


# --- ranks, the best, screening ---


def test_each_of_the_best_networks_is_kept_once() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=99, best=2)
    networks = list(Linked().candidates())
    for trial, (network, reward) in enumerate([(0, 0.1), (1, 0.3), (0, 0.1), (2, 0.2), (1, 0.3), (3, None)]):
        controller.tell(trial, networks[network], reward)
    assert [(kept.key, reward) for kept, reward in controller.elite] == [
        (networks[1].key, 0.3),
        (networks[2].key, 0.2),
    ]


def test_the_best_become_likely_though_the_batch_says_nothing_of_them() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=2, best=1, screen=1)
    networks = list(Linked().candidates())
    before = probabilities(controller.policy, networks)
    controller.tell(0, networks[5], 1.0)
    for trial in range(1, 60):
        controller.tell(trial, networks[100 + trial], 0.5)
    after = probabilities(controller.policy, networks)
    assert after.argmax() == 5
    assert after[5] > 20 * before[5]


@pytest.mark.parametrize(("reward", "likelier"), [(-2.8, True), (-3.2, False)])
def test_the_best_counts_with_a_gain_of_one(reward: float, likelier: bool) -> None:
    """It is told with 1 and then r: gains of (1 - r) / 2 and -3 (1 - r) / 4, together -0.95 or -1.05, and its own."""
    controller = Reinforce(Two(), 0, 0, batch=2, layers=0, **PLAIN | {"decay": 0.5, "best": 1})
    network = next(Two().candidates())
    controller.tell(0, network, 1.0)
    controller.tell(1, network, reward)
    assert bool(probabilities(controller.policy, [network])[0] > 1 / 6) is likelier


def test_the_first_batch_is_not_screened() -> None:
    screening, plain = (Reinforce(Linked(), seed=0, length=0, batch=8, screen=screen) for screen in (48, 1))
    alike = []
    for trial, candidate in enumerate(list(Linked().candidates())[::18]):
        alike.append(screening.ask(trial, []).key == plain.ask(trial, []).key)
        screening.tell(trial, candidate, float(trial))
        plain.tell(trial, candidate, float(trial))
    assert alike == [True] * 8 + [False] * 2


def test_of_what_is_screened_none_is_pending() -> None:
    networks = list(Linked(2).candidates())
    controller = Reinforce(Linked(2), seed=0, length=0, batch=1)
    controller.tell(0, networks[0], 0.5)
    asked = {controller.ask(trial, networks[1:17]).key for trial in range(20)}
    assert len(networks) == 19
    assert asked == {networks[17].key, networks[18].key}


def test_of_what_is_screened_only_new_networks_are_asked() -> None:
    controller, space = Reinforce(Linked(), seed=0, length=0), Linked()
    asked = []
    for trial in range(100):
        candidate = controller.ask(trial, [])
        controller.tell(trial, candidate, float(sum(candidate.answers)))
        asked.append(candidate.key)
    assert len(set(asked[8:])) == 92
    assert len(list(space.candidates())) == 179


def test_the_critic_screens_for_what_it_has_learnt() -> None:
    """Of layers, the deepest are worth most: with a policy still uniform, all that is asked has three."""
    controller = Reinforce(Linked(), seed=0, length=0, batch=99)
    for trial, candidate in enumerate(list(Linked().candidates())[:100:2]):
        controller.tell(trial, candidate, float(candidate.answers[0]))
    controller.batch = 1
    assert {controller.ask(trial, []).answers[0] for trial in range(20)} == {2}


def test_the_entropy_is_one_for_uniform_answers_and_none_for_certain_ones() -> None:
    uniform = Policy(Linked(), seed=0, hidden=4, layers=1)
    uniform.weights.update({name: 0 * weights for name, weights in uniform.weights.items()})
    candidates = list(Linked().candidates())
    assert uniform.step(candidates, [0.0] * len(candidates), rate=0.1) == pytest.approx(1)
    certain = Policy(Linked(1), seed=0, hidden=4, layers=1)
    certain.weights["out_bias"][:] = np.arange(len(certain.weights["out_bias"])) * 100
    assert certain.step(list(Linked(1).candidates()), [0.0] * 3, rate=0.1) == pytest.approx(0, abs=1e-6)


def test_its_figure_is_the_entropy_of_the_last_batch() -> None:
    controller = Reinforce(Linked(), seed=0, length=0, batch=2)
    assert controller.figures(0) == {"entropy": 1.0}
    for trial in range(40):
        controller.tell(trial, first(trial), float(trial))
    assert controller.figures(40)["entropy"] < 0.5


# --- spaces at the edge ---


class Fixed(Space):
    """Nothing to decide."""

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("identity", 1),))


class OnlyLinks(Space):
    """No choices, and one link."""

    def build(self, pick: Pick) -> Network:
        anchors = [pick.anchor(), pick.anchor()]
        (link,) = pick.links(anchors[:1])
        return Network(8, (Block("identity", 1), Block("identity", 2, inputs=(int(link),))))


@pytest.mark.parametrize("layers", [0, 2])
@pytest.mark.parametrize("space", [Fixed(), OnlyLinks()], ids=["nothing", "links"])
def test_a_space_without_choices_can_be_asked_and_told(space: Space, layers: int) -> None:
    controller = Reinforce(space, seed=0, length=0, batch=2, layers=layers)
    for trial in range(6):
        candidate = controller.ask(trial, [])
        controller.tell(trial, candidate, float(sum(candidate.answers)))
    assert probabilities(controller.policy, list(space.candidates())).sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch": 0}, "found batch=0, expected 1 to"),
        ({"layers": -1}, "found layers=-1, expected 0 to"),
        ({"screen": 0}, "found screen=0, expected 1 to"),
        ({"rate": 0.0}, "found rate=0.0, expected 1e-12 to 100"),
        ({"decay": 1.5}, "found decay=1.5, expected 0 to 1"),
        ({"explore": -0.1}, "found explore=-0.1, expected 0 to 1"),
        ({"baseline": "mean"}, "found baseline=mean, expected one of ranks, average"),
    ],
)
def test_a_parameter_out_of_range_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"reinforce: {message}"):
        Reinforce(Linked(), 0, 10, **wrong)


def test_it_prefers_the_likeliest_answers_and_says_how_likely_they_are() -> None:
    agent = Reinforce(Linked(), 0, 100, layers=0)
    assert isinstance(agent.policy, Logits)
    depth = agent.space.sample(random.Random(0)).questions[0]
    agent.policy.rows[asked(depth)] = torch.log(torch.tensor([0.2, 0.7, 0.1], dtype=torch.float64))
    what, preferred, values = agent.prefers(0)
    assert what == "probability"
    assert preferred.answers[0] == 1
    assert values[0] == pytest.approx({0: 0.2, 1: 0.7, 2: 0.1})
