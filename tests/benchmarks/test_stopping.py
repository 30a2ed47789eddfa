"""Replaying rules on recorded curves: what is saved, who is chosen, and what is told, on curves made by hand."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.stopping import CURVES, Recorded, app, parsed, recorded, replayed, replays, row, spearman, written
from controllers.random_search import RandomSearch
from nas.data import load
from nas.errors import UserError
from nas.pool import Job, Serial
from nas.recipe import RECIPES
from nas.reward import Result
from nas.search import search
from nas.space import Limit
from nas.stop import Halving
from search_spaces.chain import Chain

LIMITS = {"input_size": Limit(8), "depth": Limit(2)}


def curve(number: int) -> Result:
    """Four epochs; the first eight children are below all others after each, and so is how they end."""
    accuracy = tuple((number + epoch) / 100 for epoch in range(4))
    return Result(accuracy, tuple(-math.log(one or 1e-9) for one in accuracy))  # their likelihoods are the same


def made(children: int = 40) -> Recorded:
    """Random children of the chain space, the later ones better."""
    space = Chain().on(load("digits").images, LIMITS)
    controller = RandomSearch(space, 0, children)
    drawn = [controller.ask(trial, []) for trial in range(children)]
    limits = {name: list(limit) for name, limit in LIMITS.items()}
    conditions: dict[str, object] = {"space": "Chain()", "limits": limits, "data": "digits", "images": [8, 1, 10]}
    conditions |= {"validation": 300, "recipe": {"epochs": 4}}
    return Recorded(conditions, {one.answers: curve(number) for number, one in enumerate(drawn)})


MADE = made()


def test_a_recorded_child_is_stopped_where_its_curve_falls_below_its_bar() -> None:
    answers = list(MADE.children)[10]  # 0.10, 0.11, 0.12, 0.13
    assert MADE.train(Job(0, answers, 0)).accuracy == (0.1, 0.11, 0.12, 0.13)
    bar = (0.1, 0.2, 0.0)
    stopped = MADE.train(Job(0, answers, 0, bar=bar))
    assert (stopped.accuracy, len(stopped.loss), stopped.bar) == ((0.1, 0.11), 2, bar)
    assert MADE.train(Job(0, answers, 0, bar=(0.1, 0.1, 0.1, 0.9))).bar == ()  # after the last epoch all is done


def test_without_a_rule_nothing_is_saved_and_the_best_is_chosen() -> None:
    (one,) = replays(MADE, 40, "none", [0])
    assert (one.saved, one.chosen) == (0.0, 0.42)
    assert one.told.tolist() == one.last.tolist() == one.final.tolist()


def test_with_a_rule_worse_children_are_stopped_and_the_best_is_chosen_all_the_same() -> None:
    (one,) = replays(MADE, 40, "halving:factor=2,first=1", [0])
    assert one.chosen == 0.42
    stopped = one.last < one.final
    assert one.saved == pytest.approx(((one.final - one.last) * 100).sum() / (4 * 40))  # 0.01 an epoch
    assert 5 < stopped.sum() < 30


def test_children_in_falling_order_save_most_from_when_six_are_told() -> None:
    space = MADE.space()
    falling = [space.replay(answers) for answers in reversed(list(MADE.children))]
    one = replayed(MADE, space, falling, "halving:factor=2,first=1")
    assert (one.last[:10] == one.final[:10]).all()  # asked before six were told
    assert one.last[20:] == pytest.approx(one.final[20:] - 0.03)  # stopped after one of four epochs


def test_the_same_seeds_give_the_same_orders() -> None:
    first, again = replays(MADE, 20, "none", [3, 4]), replays(MADE, 20, "prediction", [3, 4])
    assert [one.final.tolist() for one in first] == [one.final.tolist() for one in again]
    assert first[0].final.tolist() != first[1].final.tolist()


def test_a_row_is_the_difference_to_no_rule_in_the_same_orders() -> None:
    (plain,) = replays(MADE, 20, "none", [0])
    worse = plain._replace(saved=0.5, chosen=plain.chosen - 0.02)
    found = row(MADE, "some", [plain, worse], [plain, plain])
    assert (found.saved, found.same) == (0.25, 0.5)
    assert found.difference == pytest.approx(-1)  # percent
    assert found.interval == pytest.approx((-2, 0))
    assert found.told == pytest.approx(1)
    # Wilson's interval of 40 % of 300: (0.4 + z² / 600 ± z (0.4 · 0.6 / 300 + z² / 360,000)^½) / (1 + z² / 300).
    assert found.chosen == pytest.approx(40)
    assert found.around == pytest.approx((34.62, 45.64), abs=0.01)


def test_ranks_agree_and_disagree() -> None:
    assert spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 90])) == pytest.approx(1)
    assert spearman(np.array([1.0, 2, 3]), np.array([9.0, 5, 1])) == pytest.approx(-1)


def test_curves_are_recorded_from_ledgers_of_equal_conditions_together(tmp_path: Path) -> None:
    data = load("digits", images=100)
    recipe = replace(RECIPES["quick"], epochs=4)

    def by_trial(job: Job) -> Result:
        return curve(job.trial)

    for name, seed, stop in (("a", 0, None), ("b", 1, None), ("stopped", 2, Halving())):
        coming = search(Chain(), RandomSearch, data, tmp_path / name, trials=3, seed=seed, recipe=recipe, stop=stop,
                        limits=LIMITS, pool=lambda _: Serial(by_trial))  # fmt: skip
        assert len(list(coming)) == 3
    (one,) = recorded([tmp_path / "a", tmp_path / "b"])
    assert (len(one.children), one.epochs, one.conditions["images"]) == (6, 4, [8, 1, 10])
    assert parsed(written([one, one])) == [one, one]
    with pytest.raises(
        UserError, match=r"stopped: found the space Chain\(\) and the rule Halving\(factor=3, first=2\),"
    ):
        recorded([tmp_path / "stopped"])


def test_the_command_writes_a_row_for_each_rule(tmp_path: Path) -> None:
    (tmp_path / "curves.json").write_text(written([MADE]))
    options = ["replay", "--curves", str(tmp_path / "curves.json"), "--out", str(tmp_path / "out.md")]
    done = CliRunner().invoke(app, [*options, "-s", "halving:factor=2,first=1", "--orders", "2", "--workers", "1"])
    assert done.exit_code == 0
    text = (tmp_path / "out.md").read_text()
    assert "| digits | none | 0 % |" in text
    assert "| digits | halving:factor=2,first=1 | " in text
    assert "digits: 32 of 40 recorded children an order." in text


def test_curves_that_are_not_there_are_told_of(tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["replay", "--curves", str(tmp_path / "none.json")]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith(f"{tmp_path}/none.json: found No such file or directory, expected curves; record some")


@pytest.mark.skipif(not CURVES.is_file(), reason="no curves are recorded yet")
def test_the_recorded_curves_are_whole() -> None:
    assert CURVES.stat().st_size < 300_000
    for one in parsed(CURVES.read_text()):
        assert {len(result.accuracy) for result in one.children.values()} == {one.epochs}
        keys = {one.space().replay(answers).key for answers in one.children}
        assert len(keys) == len(one.children)
    assert json.loads(CURVES.read_text().partition("\n")[0])["space"] == "Chain()"
