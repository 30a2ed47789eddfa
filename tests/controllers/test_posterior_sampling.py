"""Posterior sampling: scores and posteriors that can be worked out by hand, and the agent on two letters of three."""

import math

import numpy as np
import pytest

from controllers.posterior_sampling import PosteriorSampling, normal_scores, sampled
from nas.blocks import Block
from nas.errors import UserError
from nas.network import Network
from nas.space import Candidate, Choice, Pick, Space


class Four(Space):
    """81 networks."""

    letter = Choice("a", "b", "c")

    def build(self, pick: Pick) -> Network:
        return Network(8, tuple(Block("identity", extra=(pick(self.letter),)) for _ in range(4)))


def planted(candidate: Candidate) -> float:
    """Each "c" is worth 1, and 2 more if it follows one."""
    pairs = zip(candidate.answers, candidate.answers[1:], strict=False)
    return float(sum(answer == 2 for answer in candidate.answers) + 2 * sum(a == b == 2 for a, b in pairs))


def test_scores_are_normal_quantiles_of_mean_ranks() -> None:
    assert normal_scores([0.5, 0.9, 0.1]) == pytest.approx([0, 0.9674, -0.9674], abs=1e-4)  # of 1/2, 5/6, 1/6
    assert normal_scores([3.0, 3.0]) == pytest.approx([0, 0])
    assert normal_scores([-math.inf, 1.0])[0] < 0


def test_scores_depend_on_the_order_of_rewards_alone() -> None:
    assert (normal_scores([1, 2, 4]) == normal_scores([-100, 0.3, 1e9])).all()


def test_the_posterior_of_one_network_told_is_worked_out_by_hand() -> None:
    """Scalar product 1: covariance 1, noise 1, score 2; so its value has mean 2 / (1 + 1) and variance 1 - 1 / 2."""
    one = np.ones((1, 1))
    draws = [sampled(one, np.array([2.0]), one, 0.5, 1.0, np.random.default_rng(seed))[0] for seed in range(4000)]
    assert np.mean(draws) == pytest.approx(1.0, abs=0.05)
    assert np.var(draws) == pytest.approx(0.5, abs=0.05)


def test_pairs_tell_apart_what_single_answers_cannot() -> None:
    """Exclusive or: the two answers are worth something only if they differ."""
    x = np.array([[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [0, 1, 0, 1]]) / math.sqrt(2)
    scores = np.array([-1.0, 1.0, 1.0, -1.0])
    drawn = [sampled(x, scores, x, 0.9, 0.001, np.random.default_rng(seed)) for seed in range(20)]
    assert np.sign(np.mean(drawn, 0)).tolist() == [-1, 1, 1, -1]


def test_it_finds_the_best_of_81_networks_within_thirty() -> None:
    for seed in range(5):
        agent = PosteriorSampling(Four(), seed, 30)
        best = 0.0
        for trial in range(30):
            candidate = agent.ask(trial, [])
            agent.tell(trial, candidate, planted(candidate))
            best = max(best, planted(candidate))
        assert best == 10  # four, and three pairs


def test_a_network_told_is_not_asked_again_while_others_are_left() -> None:
    agent = PosteriorSampling(Four(), 0, 60)
    keys = []
    for trial in range(60):
        candidate = agent.ask(trial, [])
        agent.tell(trial, candidate, planted(candidate))
        keys.append(candidate.key)
    assert len(set(keys[10:])) == 50


def test_it_learns_from_a_bounded_number_of_networks() -> None:
    agent = PosteriorSampling(Four(), 0, 60, remember=20)
    for trial, candidate in enumerate(list(Four().candidates())[:50]):
        agent.tell(trial, candidate, planted(candidate))
    rows, scores = agent._memory()
    assert len(rows) == len(scores) == 20
    assert scores.max() == normal_scores([planted(c) for c in list(Four().candidates())[:50]]).max()


def test_a_parameter_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match=r"found first=10, pool=0, .*, expected first >= 2, pool >= 1"):
        PosteriorSampling(Four(), 0, 10, pool=0)
