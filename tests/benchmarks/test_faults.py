"""Faults: a few of them for real, and that what goes wrong is seen; `python -m benchmarks.faults` has them all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import faults
from benchmarks.faults import ILLS, Row, Searched, Stage, app, table
from benchmarks.victims import CUTS, is_ill
from nas.errors import UserError
from nas.ledger import FILE, sealed


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path, seed=0)


# --- faults ---


@pytest.mark.parametrize(("workers", "times"), [(0, 5), (2, 2)])
def test_a_search_killed_now_and_then_loses_and_repeats_nothing(stage: Stage, workers: int, times: int) -> None:
    row = faults.long(stage, times, workers, trials=200)
    assert row == Row(row.fault, row.tried)
    assert row.tried >= 1


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """One stage for several faults, so that what they are held against is searched once."""
    return Stage(tmp_path_factory.mktemp("faults"), seed=0, trials=20)


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The same of searches with few trials."""
    return Stage(tmp_path_factory.mktemp("short"), seed=0, trials=4)


@pytest.mark.parametrize("fault", ["segfault", "host memory"])
def test_a_childs_fault_is_its_own_trials_alone(short: Stage, fault: str) -> None:
    row = faults.ill(fault)(short, 1)
    assert row == Row(fault, row.tried)
    assert row.tried >= 2


def test_a_real_search_killed_at_any_instant_goes_on_to_the_same_ledger(short: Stage) -> None:
    row = faults.killed(short, 1)
    assert row == Row("killed", row.tried)


@pytest.mark.parametrize("fault", ["file size limit", "read-only folder", "disk full"])
def test_a_search_that_is_stopped_by_a_fault_goes_on_to_the_same_ledger(shared: Stage, fault: str) -> None:
    row = faults.FAULTS[fault][0](shared, 1)
    assert row.skipped or row == Row(fault, row.tried)


def test_some_children_are_ill_and_some_are_not() -> None:
    assert [is_ill(key) for key in ("00f4", "00f5", "00f6")] == [True, False, True]
    assert set(ILLS) <= set(faults.FAULTS)


# --- that what goes wrong is seen ---


LINES: list[dict[str, Any]] = [
    {"trial": 0, "key": "a", "same_as": None, "reward": 0.5, "at": 1.0},
    {"trial": 1, "key": "b", "same_as": None, "reward": 0.25, "at": 2.0},
    {"trial": 2, "key": "a", "same_as": 0, "reward": 0.5, "at": 3.0},
]


@pytest.fixture
def searched(tmp_path: Path) -> Iterator[Searched]:
    """A search of two trainings and a repeat, which ended; its command does nothing."""
    one = Searched(tmp_path / "search", ["-c", ""])
    one.out.mkdir()
    write(one, LINES)
    one.notes.write_text("a\nb\n")
    one.look()
    yield one
    shutil.rmtree(one.short, ignore_errors=True)


def write(searched: Searched, lines: list[dict[str, Any]], tail: bytes = b"") -> None:
    (searched.out / FILE).write_bytes(b"".join(map(sealed, [{"format": 1}, *lines])) + tail)


def test_an_untouched_ledger_lost_nothing(searched: Searched) -> None:
    write(searched, [{**line, "at": 9.0} for line in reversed(LINES)])  # times and order are no loss
    searched.look()
    assert (searched.lost(), searched.twice) == (0, 0)


def test_a_trial_that_is_gone_or_changed_is_lost(searched: Searched) -> None:
    write(searched, [LINES[0], LINES[2] | {"reward": 0.4}])
    assert searched.lost() == 2


def test_a_training_of_what_was_on_the_disk_is_counted(searched: Searched) -> None:
    searched.notes.write_text("a\nb\nb\nc\n")
    searched.look()
    assert searched.twice == 1


def test_a_training_of_what_was_not_whole_on_the_disk_is_none(searched: Searched) -> None:
    write(searched, LINES[:1], sealed(LINES[1])[:-1])
    searched.look()
    searched.notes.write_text("a\nb\nb\n")
    searched.look()
    assert searched.twice == 0


def test_processes_and_files_that_are_left_are_named_and_removed(searched: Searched) -> None:
    searched.words = ["-c", "import time; time.sleep(600)"]
    process = searched.begin()
    (searched.short / "file").touch()
    assert searched.close(within=0.5) == [f"process {process.pid} is left", f"{searched.short / 'file'} is left"]
    assert process.wait(10) < 0
    assert not searched.short.exists()


# --- the program ---


def test_the_table_says_what_was_wrong() -> None:
    rows = [Row("killed", 1_000), Row("node", 2, 1, 3, False, ("exit status 1", "a | b")), Row("x", 0, skipped="no")]
    facts = {"hardware": {"cpu": "Z", "cores": 2}, "code": {}, "versions": {}, "command": "c", "wall_seconds": 60.0}
    text = table(rows, facts)
    assert "| killed | 1,000 | 0 | 0 | yes | nothing |\n" in text
    assert "| node | 2 | 1 | 3 | no | exit status 1; a \\| b |\n" in text
    assert "| x | 0 | – | – | – | skipped: no |\n" in text
    assert [row.is_good for row in rows] == [True, False, True]


def test_a_search_killed_around_any_system_call_of_a_line_loses_and_repeats_nothing_says_the_table(
    tmp_path: Path,
) -> None:
    done = CliRunner().invoke(app, ["--fault", "line", "--times", "2", "--out", str(tmp_path / "faults.md")])
    assert done.exit_code == 0, done.output
    assert f"| line | {2 * len(CUTS)} | 0 | 0 | yes | nothing |\n" in (tmp_path / "faults.md").read_text()


def test_an_unknown_fault_is_refused() -> None:
    error = CliRunner().invoke(app, ["--fault", "kiled"]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith("--fault: found 'kiled', expected one of killed, line, ")
