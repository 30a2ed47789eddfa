"""The loop's overhead: what is measured, when, and how it is shown; how long anything takes is for the program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.loop import (
    MOST,
    Cost,
    MadeUp,
    Resumed,
    Row,
    app,
    conditions,
    contenders,
    cost_table,
    measured,
    moments,
    resume_table,
    resumed,
)
from benchmarks.processes import ONE_THREAD
from nas.errors import UserError
from nas.pool import Job
from nas.report import checklist

ROOT = Path(__file__).parents[2]
QUICK = ("-n", "100", "-p", "cost", "-p", "resume", "-s", "chain", "-c", "random", "-c", "metaqnn")


def reward(*answers: int, seed: int = 0) -> float:
    return MadeUp()(Job(0, answers, seed)).accuracy[-1]


def test_the_same_child_has_the_same_reward_and_another_seed_other_noise() -> None:
    assert reward(1, 2, 3) == reward(1, 2, 3)
    assert reward(1, 2, 3, seed=1) != reward(1, 2, 3)
    assert reward(1, 2, 3, seed=1) == pytest.approx(reward(1, 2, 3), abs=0.04)  # 8 standard deviations of 0.005


def test_rewards_are_of_the_answers_and_their_places() -> None:
    assert len({round(reward(*answers), 2) for answers in ((0, 0), (0, 1), (1, 0), (1, 1))}) > 1


def test_long_networks_have_higher_rewards() -> None:
    assert reward(*range(5)) < reward(*range(20)) < reward(*range(80)) < 1.05


def test_a_search_is_looked_at_after_100_1000_and_10000_trials() -> None:
    assert moments("random", 999) == [100]
    assert moments("random", 10_000) == [100, 1_000, 10_000]


def test_optunas_samplers_are_run_to_1000_trials_and_gp_to_fewer() -> None:
    assert moments("optuna:tpe", 10_000) == [100, 1_000]
    assert moments("optuna:gp", 10_000) == [100]
    assert MOST["optuna:gp"] == 100


def test_all_controllers_presets_and_samplers_are_measured() -> None:
    assert set(contenders("chain")) >= {"reinforce", "q-learning", "posterior-sampling", "zoph2017", "optuna:tpe"}
    assert not [name for name in contenders("zoph:depth=15") if name.startswith("optuna")]
    assert "optuna" not in contenders("chain")  # which without a sampler is tpe


def test_repeats_are_counted_over_the_last_hundred() -> None:
    row = measured("metaqnn:depth=1", "random", 100)  # softmax, gap or one convolution: 14 networks
    assert list(row.costs) == [100]
    assert row.costs[100].repeats >= 0.86
    assert row.costs[100].controller > 0


def test_a_moment_that_is_not_measured_is_a_dash_and_said() -> None:
    rows = [
        Row("chain", "random", {100: Cost(0.5, 0.25, 0.0), 1_000: Cost(1, 0.125, 0.5)}, 1024),
        Row("chain", "optuna:gp", {100: Cost(80, 0.25, 0.1)}, 900),
    ]
    text = cost_table(rows, 1_000)
    assert "| chain | random | 0.50 | 1.00 | 0.12 | 50 % | 1,024 |\n" in text
    assert "| chain | optuna:gp | 80.00 | – | 0.25 | 10 % | 900 |\n" in text
    assert "optuna:gp is measured to trial 100 only" in text


def test_the_conditions_say_where_it_was_measured_and_how() -> None:
    facts = checklist("python -m benchmarks.loop", 1.0)
    assert f"on {facts['hardware']['cpu']}, " in conditions(100, facts)
    assert conditions(100, facts).endswith("`python -m benchmarks.loop`")


def test_a_search_is_resumed_after_its_ledger_is_read_and_told() -> None:
    found = resumed("chain", "random", 20)
    assert found[:3] == ("chain", "random", 20)
    assert min(found[3:]) > 0
    assert "| chain | random | 12,800 | 9.0 | 1.0 | 2.0 | 3.0 |" in resume_table(
        [Resumed("chain", "random", 12_800, 9.0, 1.0, 2.0)], 12_800
    )


def test_the_table_is_printed_and_written(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ONE_THREAD}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.loop", *QUICK, "--out", str(tmp_path / "loop.md")],
        env=environment, cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    written = (tmp_path / "loop.md").read_text()
    assert written.split() == done.stdout.split()
    assert written.startswith("| space | controller | at 100 | loop | repeats | bytes |\n")
    assert "\n| space | controller | trials | first run, s | reading, s | telling, s | resumed after, s |\n" in written
    for name in ("random", "metaqnn"):
        assert written.count(f"\n| chain | {name} | ") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*QUICK, "-c", "rndom"], "controller: found 'rndom'; did you mean random?, expected one of "),
        ([*QUICK, "-s", "chian"], "space: found 'chian'; did you mean chain?, expected one of "),
        ([*QUICK, "--out", "/dev/null/loop.md"], "/dev/null/loop.md: found Not a directory, expected a file that can "),
    ],
    ids=["controller", "space", "out"],
)
def test_a_mistake_is_found_before_anything_is_measured(words: list[str], message: str) -> None:
    error = CliRunner().invoke(app, words).exception
    assert isinstance(error, UserError)
    assert str(error).startswith(message)


def test_fewer_than_a_hundred_trials_are_refused() -> None:
    assert CliRunner().invoke(app, ["-n", "99"]).exit_code == 2
