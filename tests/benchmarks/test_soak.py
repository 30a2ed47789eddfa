"""Load: what is counted, and smaller numbers of what the program runs."""

from __future__ import annotations

import sys
import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.soak import (
    Grown,
    Searched,
    app,
    begun,
    ended,
    grown,
    is_same,
    left_in,
    length,
    memory_table,
    searched_table,
    size,
)
from controllers.random_search import RandomSearch
from controllers.reinforce import Reinforce
from nas.data import load
from nas.errors import UserError
from nas.ledger import Ledger, Trial
from nas.pool import Serial
from nas.reward import Result
from nas.search import search
from nas.space import Limit
from search_spaces.chain import Chain

HEADER: dict[str, Any] = {  # of searches whose conditions are no matter
    "space": "",
    "choices": {},
    "controller": "",
    "parameters": {},
    "data": "",
    "training": 1,
    "validation": 1,
    "fingerprint": "",
    "recipe": {"epochs": 1},
    "reward": "",
    "seed": 0,
    "threads": 1,
    "child_timeout": None,
    "window": 1,
    "length": 1,
}
TRIAL = Trial(0, (1,), "k", "n", 0.5, Result((0.5,), (1.0,), seconds=1.0), at=1.0)


def ledger(folder: Path, *trials: Trial, seed: int = 0, cpu: str = "one") -> Path:
    with Ledger(folder) as made:
        made.begin({**HEADER, "seed": seed, "cpu": cpu})
        for trial in trials:
            made.append(trial)
    return folder


def test_bytes_are_counted_once_and_with_all_that_a_thing_leads_to() -> None:
    text = "x" * 1000
    assert size([text, text]) == sys.getsizeof([1, 2]) + sys.getsizeof(text)
    assert size([(text,)]) == sys.getsizeof([1]) + sys.getsizeof((1,)) + sys.getsizeof(text)


def test_a_search_within_a_kibibyte_a_trial_beyond_its_ledger_and_its_memory_of_answers_holds() -> None:
    row = Grown("chain", "optuna", 1_000, 2514.0, 1000.0, 490.0, (13, 13))
    assert row.holds  # 1,024 bytes beyond
    assert not row._replace(process=2515.0).holds
    assert not row._replace(handles=(13, 14)).holds
    assert "| chain | optuna | 1,000 | 2,514 | 1,000 | 490 | 13 → 13 | yes |" in memory_table([row])


@pytest.mark.parametrize("controller", ["random", "metaqnn", "optuna:random"])
def test_a_search_grows_by_less_than_a_kibibyte_a_trial_and_opens_nothing_for_good(controller: str) -> None:
    grown("chain", controller, 250)  # what is made once is no trial's
    tracemalloc.start()
    try:
        row = grown("chain", controller, 250, memory=lambda: tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert row.holds, row
    assert row.ledger > 300
    assert (row.answers > 0) == (controller != "random")


def test_optunas_controllers_are_run_to_1000_trials() -> None:
    assert [length(name, 12_800) for name in ("random", "optuna:gp", "optuna")] == [12_800, 1_000, 1_000]


def test_searches_are_the_same_but_for_times_machines_and_the_order_of_lines(tmp_path: Path) -> None:
    later = replace(TRIAL, trial=1, at=9.0)
    one = ledger(tmp_path / "one", TRIAL, later)
    slow = replace(TRIAL, at=3.0, result=Result((0.5,), (1.0,), seconds=2.0))
    assert is_same(one, ledger(tmp_path / "other", later, slow, cpu="other"))
    assert not is_same(one, ledger(tmp_path / "seed", TRIAL, later, seed=1))
    assert not is_same(one, ledger(tmp_path / "fewer", TRIAL))
    assert not is_same(one, ledger(tmp_path / "loss", replace(TRIAL, result=Result((0.5,), (1.1,))), later))


def test_searches_at_once_do_not_disturb_each_other_and_leave_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    words = ["--images", "60", "-n", "4", "-w", "1"]
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:  # a socket's name has little room
        running = [
            begun(tmp_path / name, ["-c", name, *words], cache, Path(temporary)) for name in ("reinforce", "random")
        ]
        assert [ended(one) > 0 for one in running] == [True, True]
        assert left_in(Path(temporary)) == 0
    monkeypatch.setenv("NAS_CACHE", str(cache))
    digits, small = load("digits", images=60), {"depth": Limit(3), "input_size": Limit(8)}
    for name, kind in (("reinforce", Reinforce), ("random", RandomSearch)):
        alone = tmp_path / f"{name} alone"
        list(search(Chain(), kind, digits, alone, trials=4, limits=small, device="cpu", pool=Serial))
        assert is_same(tmp_path / name, alone)


def test_a_search_that_differs_is_said_to() -> None:
    assert "| many | 40 | 9 | 12 | no | 0 |" in searched_table([Searched("many", 40, (9.1, 12.0), False, 0)], "")


def test_a_controller_that_there_is_not_is_found_before_anything_runs() -> None:
    error = CliRunner().invoke(app, ["-c", "rndom"]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith("controller: found 'rndom'; did you mean random?")
