"""Load: what is counted, and smaller numbers of what the program runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.loop import most
from benchmarks.soak import (
    Grown,
    Searched,
    app,
    grown,
    is_same,
    memory_table,
    searched_table,
    side_by_side_and_alone,
    size,
)
from nas.errors import UserError
from nas.ledger import Ledger, Trial
from nas.reward import Result

TRIAL = Trial(0, (1,), "k", "n", 0.5, Result((0.5,), (1.0,), seconds=1.0), at=1.0)


def ledger(folder: Path, *trials: Trial, seed: int = 0, cpu: str = "one") -> Path:
    with Ledger(folder) as made:
        made.begin({"seed": seed, "cpu": cpu})
        for trial in trials:
            made.append(trial)
    return folder


def test_bytes_are_counted_once_and_with_all_that_a_thing_leads_to() -> None:
    text = "x" * 1000
    assert size([text, text]) == sys.getsizeof([1, 2]) + sys.getsizeof(text)
    assert size([(text,)]) == sys.getsizeof([1]) + sys.getsizeof((1,)) + sys.getsizeof(text)


def test_a_search_within_a_kibibyte_a_trial_beyond_its_memory_of_answers_holds() -> None:
    row = Grown("chain", "optuna", 1_000, 2024.0, 1000.0, 490.0, (13, 13))
    assert row.holds  # 1,024 bytes beyond
    assert not row._replace(process=2025.0).holds
    assert not row._replace(handles=(13, 14)).holds
    assert "| chain | optuna | 1,000 | 2,024 | 1,000 | 490 | 13 → 13 | yes |" in memory_table([row])


@pytest.mark.parametrize("controller", ["random", "metaqnn", "optuna:random"])
def test_a_search_grows_by_less_than_a_kibibyte_a_trial_and_opens_nothing_for_good(controller: str) -> None:
    row = grown("chain", controller, 600)
    assert row.holds, row
    assert row.ledger > 300
    assert (row.answers > 0) == (controller == "optuna:random")


def test_optunas_controllers_are_run_to_1000_trials() -> None:
    assert [most(name, 12_800) for name in ("random", "optuna:tpe", "optuna")] == [12_800, 1_000, 1_000]


def test_searches_are_the_same_but_for_times_machines_and_the_order_of_lines(tmp_path: Path) -> None:
    later = replace(TRIAL, trial=1, at=9.0)
    one = ledger(tmp_path / "one", TRIAL, later)
    slow = replace(TRIAL, at=3.0, result=Result((0.5,), (1.0,), seconds=2.0))
    assert is_same(one, ledger(tmp_path / "other", later, slow, cpu="other"))
    assert not is_same(one, ledger(tmp_path / "seed", TRIAL, later, seed=1))
    assert not is_same(one, ledger(tmp_path / "fewer", TRIAL))
    assert not is_same(one, ledger(tmp_path / "loss", replace(TRIAL, result=Result((0.5,), (1.1,))), later))


def test_searches_at_once_do_not_disturb_each_other_and_leave_nothing_behind() -> None:
    found = side_by_side_and_alone(searches=2, trials=4, images=60, workers=1)
    assert [row.name for row in found] == ["reinforce 0", "q-learning 1"]
    assert all(row.same and row.left == 0 for row in found)


def test_a_search_that_differs_is_said_to() -> None:
    assert "| many | 40 | 9 | 12 | no | 0 |" in searched_table([Searched("many", 40, (9.1, 12.0), False, 0)], "")


def test_a_controller_that_there_is_not_is_found_before_anything_runs() -> None:
    error = CliRunner().invoke(app, ["-c", "rndom"]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith("controller: found 'rndom'; did you mean random?")
