"""The whole way on the digits, within seconds, and what is said of several runs."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from typer.testing import CliRunner

from benchmarks.cifar10 import Outcome, Terms, app, markdown
from nas.data import load
from nas.ledger import Trial
from nas.reward import Result
from search_spaces.chain import Chain

ONE = Outcome(
    "reinforce", 0, 120, 0.81, "network 1: 32 concat gap: conv width=16", 12_345, 6_789_000, 720.0, 1_080.0, 40, 0.925,
    10_000,
)  # fmt: skip
FACTS = {
    "hardware": {"cpu": "Z", "cores": 2, "gpu": None}, "code": {}, "versions": {}, "command": "c", "wall_seconds": 90.0,
}  # fmt: skip


def trials(*rewards: float | None) -> list[Trial]:
    """A search whose networks have these rewards, None for one that failed, and at its end a repeat of the first."""
    new = [
        Trial(number, (number,), f"{number:016x}", "n", reward, Result(), "diverged" if reward is None else None)
        for number, reward in enumerate(rewards)
    ]
    return [*new, replace(new[0], trial=len(new), result=None, same_as=0)]


def test_mean_and_range_of_each_controller_and_the_lowest_errors_network_are_said(tmp_path: Path) -> None:
    digits = load("digits", images=100)
    terms = Terms(Chain(), digits, replace(digits, train=digits.train[:30]), tmp_path, 1_800.0, 0.4, 1, "cpu", 0)
    others = [replace(ONE, seed=1, accuracy=0.935, network="network 1: 32 concat gap: conv width=24")]
    searches = [trials(0.5), trials(0.5), trials(0.1, 0.3, 0.5, 0.7, None, 0.6, 0.4, 0.2, 0.8)]
    text = markdown(terms, [ONE, *others, replace(ONE, controller="random", accuracy=0.9)], searches, FACTS)
    assert "| reinforce | 0 | 120 | 81.00 | 12,345 | 6,789,000 | 12.0 + 18.0 | 40 | 7.50 |" in text
    assert "reinforce: test error 7.00 % in the mean of 2 runs, 6.50 to 7.50." in text
    assert "random: test error 10.00 %, 95 % interval 9.43 to 10.60." in text  # Wilson, 9,000 of 10,000
    assert (  # pairs of the eight that trained, in their order
        "| random | 0 | 10 | 1 | 1 | 8 | 0.200, 0.600, 0.500, 0.500 | 0.300, 0.700, 0.700, 0.800 |" in text
    )
    assert "30 images to train on and 20 for validation in the search, 100 in full training" in text
    assert "reinforce with seed 1:\n\n```\n32 x 32 pixels\nconv width=24\n```" in text


def test_a_small_run_searches_trains_and_tests_and_is_not_run_twice(tmp_path: Path) -> None:
    words = shlex.split(
        "--data digits --images 100 --child-images 50 --minutes 0.05 --runs 1 --workers 0 --device cpu --out"
    )
    done = CliRunner().invoke(app, [*words, str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    for name in ("reinforce", "random"):
        assert f"{name}: test error " in done.output
        assert (tmp_path / f"{name}-seed0" / "ledger.jsonl").is_file()
    assert (tmp_path / "rewards.png").is_file()
    assert (tmp_path / "network.svg").read_text().startswith("<svg")
    files = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*-seed0/*")}
    CliRunner().invoke(app, [*words, str(tmp_path)], catch_exceptions=False)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*-seed0/*")} == files
