"""Posterior sampling: its weights by hand, and the agent on four letters of three."""

import numpy as np
import pytest

from controllers.posterior_sampling import PosteriorSampling, additive
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
