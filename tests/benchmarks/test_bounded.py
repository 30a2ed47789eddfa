"""Bounds that most networks are above, and what is said of searches under them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
from typer.testing import CliRunner

from benchmarks.bounded import Row, app, ground, searched, table


def test_the_bound_lets_the_share_of_random_networks_pass() -> None:
    bounded, _ = ground("chain", 0.5)
    free = bounded.on(bounded.images)
    passed = sum(bounded.is_within(free.sample(random.Random(seed))) for seed in range(400))
    assert 160 < passed < 240


def test_a_search_trains_as_many_networks_as_it_is_to_within_the_bound() -> None:
    name, refused, early, late, trained = searched("chain", "random", 0, 0.2, networks=5, trials=3)
    assert name == ("chain", "random", 0)
    assert (refused, trained) == (0.0, 5)
    assert 0 < early <= late < 1  # the first three trials are among the five


def test_rewards_are_held_against_random_search_seed_by_seed() -> None:
    first = Row("chain", "random", np.array([0.0, 0.1]), np.array([0.5, 0.6]), np.array([0.6, 0.7]), 0)
    other = Row("chain", "local", np.array([0.0, 0.0]), np.array([0.6, 0.7]), np.array([0.6, 0.7]), 1)
    lines = table([first, other], networks=5, trials=3).splitlines()
    assert lines[2] == "| chain | random | 5 % | 55.00 |  | 65.00 |  | 0 |"
    assert lines[3] == (
        "| chain | local | 0 % | 65.00 | +10.00 (+10.00 to +10.00) | 65.00 | +0.00 (+0.00 to +0.00) | 1 |"
    )


def test_the_table_and_how_to_repeat_it_are_written(tmp_path: Path) -> None:
    words = "--seeds 2 --networks 2 --trials 2 --space chain --controller random --workers 1 --out"
    done = CliRunner().invoke(app, [*words.split(), str(tmp_path / "b.md")], catch_exceptions=False)
    assert done.exit_code == 0
    written = (tmp_path / "b.md").read_text()
    assert "| chain | random | 0 % |" in written
    assert "10 % of random networks are within the bound" in written
