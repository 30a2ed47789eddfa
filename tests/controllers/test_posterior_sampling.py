"""Posterior sampling: its weights by hand, and the agent on four letters of three."""

import math

import numpy as np
import pytest

from benchmarks.tables import load
from controllers.posterior_sampling import PosteriorSampling, additive, entropy
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


def test_a_network_under_way_is_not_asked() -> None:
    """Of 81, 60 are told and 16 pending, the best of the rest among them."""
    networks = sorted(Four().candidates(), key=planted)
    agent = PosteriorSampling(Four(), 0, 60)
    for trial, candidate in enumerate(networks[:60]):
        agent.tell(trial, candidate, planted(candidate))
    left = {candidate.key for candidate in networks[60:65]}
    assert {agent.ask(trial, networks[65:]).key for trial in range(60, 80)} <= left


def test_weights_are_spread_by_so_many_of_their_own_deviations() -> None:
    x, scores = np.eye(3), np.array([1.0, 0.0, -1.0])
    close, wide = (
        PosteriorSampling(Four(), 0, 60, spread=spread, parts=0)._weights(2000, x, scores, np.random.default_rng(0))
        for spread in (0.0, 2.0)
    )
    added = (wide - close) / close.std()
    assert added.mean() == pytest.approx(0, abs=0.1)
    assert added.std() == pytest.approx(2, abs=0.1)


def test_its_uncertainty_falls_as_it_learns_in_a_space_of_thousands() -> None:
    space = load("nk:8,3,0,1").space
    agent = PosteriorSampling(space, 0, 100)
    assert agent.figures(0) == {"uncertainty": 1.0}
    said = []
    for trial in range(100):
        candidate = agent.ask(trial, [])
        agent.tell(trial, candidate, float(sum(candidate.answers)))
        said.append(agent.figures(trial)["uncertainty"])
    assert said[10] > 0.25
    assert np.mean(said[-10:]) < 0.25
    assert said[-1] == agent.figures(99)["uncertainty"]


def test_the_entropy_of_answers_is_a_mean_over_questions_as_a_share_of_the_highest() -> None:
    """Four questions of three answers: one half and half, the others all alike: log 2 / log 3 / 4."""
    alike, other = Four().replay([0, 1, 2, 0]), Four().replay([1, 1, 2, 0])
    assert entropy([alike, other]) == pytest.approx(math.log(2) / math.log(3) / 4)
    assert entropy([alike, alike]) == 0
    assert entropy([Four().replay([answer] * 4) for answer in range(3)]) == pytest.approx(1)


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
