"""Posterior sampling: scores and posteriors that can be worked out by hand, and the agent on two letters of three."""

import math

import numpy as np
import pytest

from controllers.posterior_sampling import Critic, PosteriorSampling, additive, normal_scores, sampled
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


def test_its_walks_lead_to_fewer_networks_as_it_learns() -> None:
    agent = PosteriorSampling(Four(), 0, 60)
    assert agent.figures(0) == {"variety": 1.0}
    for trial, candidate in enumerate(Four().candidates()):
        agent.tell(trial, candidate, planted(candidate))
    assert agent.figures(81)["variety"] < 0.8
    assert agent.figures(81) == agent.figures(81)


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
        critic.pick([networks[0], networks[-1]], x, scores, np.random.default_rng(seed)).key for seed in range(400)
    ]
    assert picked.count(networks[-1].key) == pytest.approx(200, abs=50)


def test_no_score_counts_less_than_minus_a_half() -> None:
    critic = Critic()
    for candidate, reward in zip(Four().candidates(), [0.1, 0.2, 0.3, None], strict=False):
        critic.tell(candidate, reward)
    assert critic.memory()[1] == pytest.approx([-0.3186, 0.3186, 1.1503, -0.5], abs=1e-4)  # of 3/8, 5/8, 7/8, 1/8


def test_weights_drawn_after_one_network_have_the_posterior_worked_out_by_hand() -> None:
    """One answer, covariance 1, noise 1, score 2: its weight has mean 2 / (1 + 1) and variance 1 - 1 / 2."""
    drawn = additive(np.ones((1, 1)), np.array([2.0]), 1.0, 4000, np.random.default_rng(0))
    assert drawn.shape == (4000, 1)
    assert drawn.mean() == pytest.approx(1.0, abs=0.05)
    assert drawn.var() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"pool": 0}, "found pool=0, expected at least 1"),
        ({"parts": -1}, "found parts=-1, expected at least 0"),
        ({"noise": 0.0}, "found noise=0.0, .* expected noise > 0"),
        ({"remember": 5}, "found .* first=10, remember=5, expected .* remember >= first"),
    ],
)
def test_a_parameter_out_of_range_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=f"posterior-sampling: {message}"):
        PosteriorSampling(Four(), 0, 10, **wrong)  # type: ignore[arg-type]
