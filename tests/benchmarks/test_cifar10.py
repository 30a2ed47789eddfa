"""The whole way on the digits, within seconds, and what is said of several runs."""

from __future__ import annotations

import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.cifar10 import Outcome, Terms, app, markdown, outcome
from nas.blocks import Block
from nas.data import load
from nas.errors import UserError
from nas.ledger import FILE, Trial, read
from nas.model.training import strong, trained
from nas.network import Network
from nas.reward import Result
from nas.space import Choice, Pick, Space
from nas.train import Resident
from search_spaces.chain import Chain

ONE = Outcome(
    "reinforce", 0, 120, 0.81, "network 1: 32 concat gap: conv width=16", 12_345, 6_789_000, 720.0, 1_080.0, 40.25,
    0.925, 10_000,
)  # fmt: skip
FACTS = {
    "hardware": {"cpu": "Z", "cores": 2, "gpu": None}, "code": {}, "versions": {}, "command": "c", "wall_seconds": 90.0,
}  # fmt: skip


class Tiny(Space):
    """Two small convolutions: hundreds of networks that train within hundredths of a second."""

    width = Choice(*range(4, 36))

    def build(self, pick: Pick) -> Network:
        """Two widths."""
        return Network(8, (Block("conv", pick(self.width)), Block("conv", pick(self.width), stride=2)))


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
    assert "| reinforce | 0 | 120 | 81.00 | 12,345 | 6,789,000 | 12.0 + 18.0 | 40.2 | 7.50 |" in text
    assert "reinforce: test error 7.00 % in the mean of 2 runs, 6.50 to 7.50." in text
    assert "random: test error 10.00 %, 95 % interval 9.43 to 10.60." in text  # Wilson, 9,000 of 10,000
    assert (  # pairs of the eight that trained, in their order
        "| random | 0 | 10 | 1 | 1 | 8 | 0.200, 0.600, 0.500, 0.500 | 0.300, 0.700, 0.700, 0.800 |" in text
    )
    assert "30 images to train on and 20 for validation in the search, 100 in full training" in text
    assert "reinforce with seed 1:\n\n```\n32 x 32 pixels\nconv width=24\n```\n\n![The network of" in text
    assert "of which 30 were asked for in all, 40 % of them for the search" in text


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Terms:
    """A run of four seconds, two of them for the search, is in its folder."""
    digits = load("digits", images=100)
    terms = Terms(Tiny(), digits, digits, tmp_path_factory.mktemp("run"), 4.0, 0.5, 1, "cpu", 0)
    network = Tiny().on(digits.images).walk(lambda question: question.legal[0]).network
    trained(network, Resident(digits, "cpu"), strong(digits, 1), 0, 1)  # the first loads much of torch
    outcome(terms, "random", 0)
    return terms


def copied(run: Terms, to: Path) -> Terms:
    """The same run in a folder of a test's own."""
    return replace(run, out=shutil.copytree(run.out, to / "copy"))


@pytest.mark.usefixtures("run")  # after it, torch has loaded what its first training needs
def test_a_small_run_searches_trains_and_tests_and_is_not_run_twice(tmp_path: Path) -> None:
    words = shlex.split(
        f"--space {__file__}:Tiny --data digits --images 100 --child-images 50 --minutes 0.05 --runs 1 --workers 0 "
        "--device cpu --out"
    )
    done = CliRunner().invoke(app, [*words, str(tmp_path)], catch_exceptions=False)
    assert done.exit_code == 0
    for name in ("reinforce", "random"):
        assert f"{name}: test error " in done.output
        assert (tmp_path / f"{name}-seed0" / "ledger.jsonl").is_file()
    for picture, begin in {"rewards.png": b"\x89PNG", "network.svg": b"<svg"}.items():
        assert (tmp_path / picture).read_bytes().startswith(begin)
        assert f"]({picture})" in (tmp_path / "cifar10.md").read_text()
    files = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*-seed0/*")}
    again = CliRunner().invoke(app, [*words, str(tmp_path)], catch_exceptions=False)
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*-seed0/*")} == files
    assert again.output == done.output  # the minutes too


def test_a_run_ends_in_time(run: Terms) -> None:
    done = outcome(run, "random", 0)
    assert 2.0 <= done.searching < 3.0
    assert 4.0 <= round(done.searching + done.training, 1) < 6.0
    assert done.epochs > 0


def test_a_run_that_was_stopped_in_its_training_goes_on_with_what_its_search_left(run: Terms, tmp_path: Path) -> None:
    terms = copied(run, tmp_path)
    terms.file("random", 0).unlink()
    again = outcome(terms, "random", 0)
    _, trials = read(terms.folder("random", 0))
    assert again.searching == round(max(trial.at for trial in trials), 1) == outcome(run, "random", 0).searching
    assert 4.0 <= round(again.searching + again.training, 1) < 6.0


def test_an_outcome_under_other_terms_is_refused(run: Terms) -> None:
    file = run.file("random", 0)
    others: list[tuple[dict[str, Any], str]] = [
        ({"seconds": 480.0}, "minutes 0.0666667, expected 8,"),
        ({"share": 0.25}, "share 0.5, expected 0.25,"),
        ({"epochs": 3}, "epochs 1, expected 3,"),
        ({"space": Chain()}, r"space Tiny\(\), expected Chain\(\),"),
        ({"children": load("digits", images=50)}, "child-images 100, expected 50,"),
        ({"device": "auto"}, "device cpu, expected auto,"),
    ]
    for changes, found in others:
        with pytest.raises(UserError, match=f"{file}: found the outcome of a run with {found} .*choose another --out"):
            outcome(replace(run, **changes), "random", 0)


def test_other_terms_are_refused_before_minutes_are_spent(run: Terms, tmp_path: Path) -> None:
    terms = copied(run, tmp_path)
    words = f"--space {__file__}:Tiny --data digits --images 100 --minutes 0.05 --runs 1 --workers 0 --device cpu --out"
    with pytest.raises(UserError, match="found the outcome of a run with minutes"):
        CliRunner().invoke(app, [*shlex.split(words), str(terms.out)], catch_exceptions=False)
    assert [folder.name for folder in terms.out.iterdir()] == ["random-seed0"]


@pytest.mark.parametrize("size", [0, 40, -2])
def test_a_torn_outcome_is_refused(run: Terms, tmp_path: Path, size: int) -> None:
    terms = copied(run, tmp_path)
    file = terms.file("random", 0)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UserError, match=r"outcome.json: found a file that cannot be used \(.*remove it, and the"):
        outcome(terms, "random", 0)


def test_a_search_that_leaves_no_second_for_training_in_full_is_an_error(run: Terms, tmp_path: Path) -> None:
    terms = replace(copied(run, tmp_path), seconds=0.5)
    terms.file("random", 0).unlink()
    with pytest.raises(UserError, match=r"found time limit: 0 s .* not a step was done, .* give more --minutes"):
        outcome(terms, "random", 0)
    assert (terms.folder("random", 0) / FILE).is_file()
