"""The critic: scores and posteriors that can be worked out by hand."""

import math

import numpy as np
import pytest

from nas.blocks import Block
from nas.critic import Critic, normal_scores, sampled, standing
from nas.network import Images, Network
from nas.reward import Bounds
from nas.space import Candidate, Choice, Pick, Space


class Four(Space):
    """81 networks."""

    letter = Choice("a", "b", "c")

    def build(self, pick: Pick) -> Network:
        return Network(8, tuple(Block("identity", extra=(pick(self.letter),)) for _ in range(4)))


class Two(Space):
    """A narrow and a wide network."""

    width = Choice(1, 2)

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width), 1),))


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


def test_the_critic_keeps_the_latest_half_and_the_best_before() -> None:
    critic, networks = Critic(remember=4), list(Four().candidates())
    for candidate, reward in zip(networks, [5.0, 1.0, 4.0, 2.0, 3.0, 0.0], strict=False):
        critic.tell(candidate, reward)
    assert [reward for _, reward in critic.kept] == [5.0, 4.0, 3.0, 0.0]
    assert critic.memory()[0].shape == (4, len(critic.terms))
    assert len(critic.told) == 6


def test_what_was_never_told_is_as_uncertain_as_at_first() -> None:
    """Told is "a" alone, and as middling; of letters never told one draw in two is better."""
    critic, networks = Critic(noise=0.01), list(Four().candidates())
    critic.tell(networks[0], 1.0)
    x, scores = critic.memory()
    picked = [
        critic.pick(Four(), [networks[0], networks[-1]], x, scores, np.random.default_rng(seed)) for seed in range(400)
    ]
    assert picked.count(networks[-1]) == pytest.approx(200, abs=50)


def test_the_best_within_bounds_is_picked_and_none_where_all_are_beyond() -> None:
    """A narrow network has 23 parameters, a wide one 36; of the two the wide one is told to be better."""
    critic, (narrow, wide) = Critic(noise=0.01), list(Two().candidates())
    for candidate, reward in ((narrow, 0.1), (wide, 0.9)):
        critic.tell(candidate, reward)

    def picked(most: int) -> Candidate | None:
        space = Two().on(Images(8, 1, 10), bounds=Bounds(max_params=most))
        return critic.pick(space, [narrow, wide], *critic.memory(), np.random.default_rng(0))

    assert [picked(36), picked(35), picked(22)] == [wide, narrow, None]


def test_no_score_counts_less_than_minus_a_half() -> None:
    critic = Critic()
    for candidate, reward in zip(Four().candidates(), [0.1, 0.2, 0.3, None], strict=False):
        critic.tell(candidate, reward)
    assert critic.memory()[1] == pytest.approx([-0.3186, 0.3186, 1.1503, -0.5], abs=1e-4)  # of 3/8, 5/8, 7/8, 1/8


def test_a_standing_is_the_normal_quantile_of_the_share_below() -> None:
    others = [0.1, 0.2, 0.2, 0.4]
    assert standing([0.2], others) == pytest.approx([0.0])  # one below, two equal: 2 of 4
    assert standing([0.1, 0.4], others) == pytest.approx([-1.1503, 1.1503], abs=1e-4)  # 1/8 and 7/8
    assert standing([9.0, -9.0], others) == pytest.approx([1.1503, -1.1503], abs=1e-4)  # no farther than the ends
