from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from controllers.q_learning import QLearning
from controllers.random_search import RandomSearch
from controllers.reinforce import Reinforce
from nas import ledger, recorded
from nas.blocks import Block
from nas.data import load
from nas.errors import UserError
from nas.ledger import Trial
from nas.network import Images, Network
from nas.pages.learnt import STRENGTHS, importances, options_of, path, preferences, ridges, told
from nas.pool import Job, Serial
from nas.reward import Result
from nas.search import search
from nas.space import Choice, Pick, Space


class Two(Space):
    """Two questions of one choice, and one of another."""

    width = Choice(8, 16)
    kernel = Choice(1, 3, 5)

    def build(self, pick: Pick) -> Network:
        widths = [pick(self.width), pick(self.width)]
        kernel = pick(self.kernel)
        return Network(8, tuple(Block("conv", width, kernel) for width in widths))


def trial(number: int, answers: tuple[int, ...], reward: float | None = 0.5) -> Trial:
    result = Result((0.5,), (1.0,), 10, 100, 0.5) if reward is not None else Result(error="diverged")
    return Trial(number, answers, f"{answers}", "a network", reward, result)


def test_preferences_are_shares_of_the_answers_in_a_window_beside_uniform_ones() -> None:
    trials = [trial(n, (0, 0, 0) if n < 10 else (1, 1, 2)) for n in range(20)]
    by_choice, by_question = preferences(Two(), trials)
    width, kernel = by_choice
    assert (width.question, width.options) == ("width", ("8", "16"))
    assert list(width.trials[[0, -1]]) == [9, 19]
    assert width.shares[[0, -1]].tolist() == [[1, 0], [0, 1]]
    assert width.answers == 20  # two questions in each of ten trials
    assert kernel.shares[5].tolist() == [0.5, 0, 0.5]  # at trial 14: five of the one and five of the other
    assert np.allclose(width.uniform, 1 / 2, atol=0.08)
    assert np.allclose(kernel.uniform, 1 / 3, atol=0.08)
    assert [one.question for one in by_question] == ["width 1", "kernel 1", "width 2"]


def mine(block: Block, channels: int) -> tuple[()]:
    return ()


class Kinds(Space):
    """Blocks of one's own among the options."""

    kind = Choice("conv", mine, Block)
    less = Choice(lambda: 1, lambda: 2)

    def build(self, pick: Pick) -> Network:
        pick(self.less)
        return Network(8, (Block("conv", 8 if pick(self.kind) == "conv" else 16),))


def test_options_that_are_code_have_their_names_as_in_a_ledger_and_no_addresses() -> None:
    less, kind = preferences(Kinds(), [trial(n, (n % 2, n % 3)) for n in range(12)])[0]
    assert kind.options == ("conv", "test_learnt.mine", "blocks.Block")
    assert kind.options[1:] == tuple(Kinds.kind.written[1:])
    assert less.options == ("test_learnt.Kinds.<lambda> #1", "test_learnt.Kinds.<lambda> #2")


def test_blocks_as_options_are_as_in_a_network_and_those_of_ones_own_too() -> None:
    choice = Choice(Block("conv", 8), Block(mine, 16))
    assert options_of(choice) == ("conv width=8", "test_learnt.mine width=16")
    assert choice.written[1] == "test_learnt.mine width=16"  # alike in every process
    assert choice.written[0].startswith("Block(kind='conv', width=8, ")


def test_a_path_has_the_same_names_and_a_value_for_each_option(tmp_path: Path) -> None:
    def judged(job: Job) -> Result:
        return Result((0.5,), (1.0,), 1, 1, 0.1)

    list(search(Kinds(), QLearning, load("digits", images=40), tmp_path, trials=6, device="cpu",
                pool=lambda _: Serial(judged)))  # fmt: skip
    found = path(Kinds(), ledger.read(tmp_path)[0], tmp_path)
    assert found is not None
    assert [len(step.values) for step in found[1]] == [2, 3]
    assert list(found[1][1].values) == ["conv", "test_learnt.mine", "blocks.Block"]


def test_preferences_of_nothing_are_none() -> None:
    assert preferences(Two(), []) == ([], [])


def test_answers_of_another_space_are_refused() -> None:
    with pytest.raises(UserError, match="Two"):
        preferences(Two(), [trial(0, (0, 0, 0, 0))])


def told_by(effect: float, noise: float, networks: int) -> list[Trial]:
    """Trials whose reward is the kernel's answer times an effect, and chance."""
    rng = random.Random(0)
    drawn = [tuple(rng.randrange(n) for n in (2, 2, 3)) for _ in range(networks)]
    return [trial(n, answers, effect * answers[2] + noise * rng.random()) for n, answers in enumerate(drawn)]


def test_a_choice_that_decides_the_reward_explains_it_and_another_does_not() -> None:
    found = importances(Two(), told_by(effect=0.3, noise=0.01, networks=60))
    assert found is not None
    kernel, width = found.choices
    assert found.together.share > 0.99
    assert kernel.choice == "kernel"
    assert abs(kernel.share - found.together.share) < 0.001  # the one choice that matters explains it all
    assert kernel.interval[0] > 0.99
    assert abs(width.share) < 0.001


@pytest.mark.parametrize(("networks", "effect"), [(25, 1), (25, 0.5), (50, 1), (200, 1)])
def test_the_intervals_hold_the_true_shares_of_random_networks(networks: int, effect: float) -> None:
    matters = effect**2 * 2 / 3  # the variance of kernels 0, 1 and 2; that of chance is 1
    share = matters / (matters + 1)  # 0.4, or 1 / 7
    true = {"all together": share, "kernel": share, "width": 0}
    held, sure = dict.fromkeys(true, 0), dict.fromkeys(true, 0)
    for seed in range(60):
        rng = random.Random(seed)
        drawn = [tuple(rng.randrange(n) for n in (2, 2, 3)) for _ in range(networks)]
        trials = [trial(n, answers, effect * answers[2] + rng.gauss(0, 1)) for n, answers in enumerate(drawn)]
        found = importances(Two(), trials)
        assert found is not None
        for one in (found.together, *found.choices):
            held[one.choice] += one.interval[0] <= true[one.choice] <= one.interval[1]
            sure[one.choice] += one.interval[0] > 0
    assert min(held.values()) >= 52  # of 60; 57 are 95 %
    assert sure["width"] <= 2
    assert networks < 200 or sure["kernel"] == 60  # nor are they so wide that nothing is said


def test_one_network_that_differs_from_all_others_proves_nothing() -> None:
    answers = [(n % 2, n // 2 % 2, n % 3) for n in range(40)]
    found = importances(Two(), [trial(n, of, float(n == 7)) for n, of in enumerate(answers)])
    assert found is not None
    assert all(one.interval[0] <= 0 <= one.interval[1] for one in (found.together, *found.choices))


def test_where_rewards_are_chance_no_choice_explains_them_for_sure() -> None:
    found = importances(Two(), told_by(effect=0, noise=1, networks=60))
    assert found is not None
    assert found.together.interval[0] < 0.05
    assert all(one.interval[0] <= 0 for one in found.choices)


def test_of_too_few_networks_or_equal_rewards_nothing_is_said() -> None:
    assert importances(Two(), told_by(effect=1, noise=1, networks=19)) is None
    assert importances(Two(), told_by(effect=0, noise=0, networks=60)) is None


def test_a_ridge_of_sums_of_products_is_the_one_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(12, 3)) + 1, rng.normal(size=12)
    rows = np.column_stack([np.ones(12), x, y])
    means, weights = ridges((rows.T @ rows)[None])
    assert np.allclose(means[0], [1, *x.mean(0), y.mean()])
    free = rows[:, :4]  # the mean is a weight of its own, which nothing holds down
    for strength, found in zip(STRENGTHS, weights[:, 0], strict=True):
        expected = np.linalg.solve(free.T @ free + strength * np.diag([0, 1, 1, 1]), free.T @ y)
        assert np.allclose(found, expected[1:])


def kept(kind: type[QLearning] | type[Reinforce], out: Path, **bounds: Any) -> QLearning | Reinforce:
    """The controller of a search of 30 trials, one that the search itself has told."""
    made: list[QLearning | Reinforce] = []

    class Kept(kind):  # type: ignore[misc, valid-type]
        def __init__(self, space: Space, seed: int, length: int, rate: float = 0.05) -> None:
            super().__init__(space.on(space.images), seed, length, rate)  # it asks for what is beyond bounds too
            made.append(self)

    def judged(job: Job) -> Result:
        if job.trial % 7 == 3:
            return Result(error="diverged")
        return Result((0.2 * job.answers[0] + 0.1 * job.answers[2],), (1.0,), None, None, 0.1)

    Kept.__name__ = Kept.__qualname__ = kind.__name__
    Kept.__module__ = kind.__module__
    for _ in search(
        Two(), Kept, load("digits", images=40), out, trials=30, pool=lambda _: Serial(judged), device="cpu", **bounds
    ):
        pass
    return made[0]


def test_the_table_is_the_one_that_the_search_had_in_the_end(tmp_path: Path) -> None:
    own = kept(QLearning, tmp_path)
    header, _ = ledger.read(tmp_path)
    again, trials = told(Two(), header, tmp_path)
    assert trials == 30
    assert again.q == own.q  # type: ignore[union-attr]


def test_under_a_bound_too_what_was_refused_is_told_at_once(tmp_path: Path) -> None:
    own = kept(QLearning, tmp_path, max_params=800)
    header, trials = ledger.read(tmp_path)
    assert any(trial.refused for trial in trials)
    space = recorded.held(Two().on(Images(8, 1, 10)), header, trials, tmp_path)
    assert told(space, header, tmp_path)[0].q == own.q  # type: ignore[union-attr]


def test_the_best_path_answers_each_question_by_the_highest_value(tmp_path: Path) -> None:
    own = kept(QLearning, tmp_path)
    header, _ = ledger.read(tmp_path)
    found = path(Two(), header, tmp_path)
    assert found is not None
    what, steps = found
    assert what == "Q-value"
    assert [step.question for step in steps] == ["width 1", "width 2", "kernel 1"]
    assert steps[0].values == {"8": own.q["width", ()][0], "16": own.q["width", ()][1]}  # type: ignore[union-attr]
    assert all(step.values[step.answer] == max(step.values.values()) for step in steps)
    assert steps[0].answer == "16"  # a width of 16 is worth 0.2 more


def test_the_policys_path_has_its_probabilities(tmp_path: Path) -> None:
    own = kept(Reinforce, tmp_path)
    header, _ = ledger.read(tmp_path)
    found = path(Two(), header, tmp_path)
    assert found is not None
    what, steps = found
    assert what == "probability"
    assert all(abs(sum(step.values.values()) - 1) < 1e-6 for step in steps)
    _, _, expected = own.prefers(30)
    assert [list(step.values.values()) for step in steps] == [list(of.values()) for of in expected]


def test_a_controller_that_says_nothing_of_itself_has_no_path(tmp_path: Path) -> None:
    for _ in search(
        Two(), RandomSearch, load("digits", images=40), tmp_path, trials=3, device="cpu",
        pool=lambda _: Serial(lambda job: Result((0.5,), (1.0,))),
    ):  # fmt: skip
        pass
    header, _ = ledger.read(tmp_path)
    assert path(Two(), header, tmp_path) is None
    assert path(Two(), {**header, "controller": "mine.Own"}, tmp_path) is None


def test_a_trial_that_is_missing_ends_what_the_controller_is_told(tmp_path: Path) -> None:
    kept(QLearning, tmp_path)
    file = tmp_path / ledger.FILE
    lines = file.read_text().splitlines(keepends=True)
    header, trials = ledger.read(tmp_path)
    gone = next(number for number, one in enumerate(trials) if one.trial == 12)
    file.write_text("".join(line for number, line in enumerate(lines) if number != gone + 1))
    before = file.read_bytes()
    _, count = told(Two(), header, tmp_path)
    assert count == 12
    assert file.read_bytes() == before
