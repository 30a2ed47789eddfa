"""Real children, tiny ones: two widths and three depths on a hundred digits."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.children import (
    RECIPE,
    Remembered,
    Terms,
    app,
    every,
    figures,
    judged,
    known,
    on_test_images,
    search,
)
from benchmarks.compare import Contender
from nas import data, names
from nas.errors import UserError
from nas.ledger import Ledger, Trial, read
from nas.pool import Job, Training
from nas.reward import Result
from nas.search import child_seed

RANDOM, EVOLUTION = Contender("random"), Contender("evolution", ("population=2", "sample=2"))
SMALL = """
from nas import Block, Choice, Network, Pick, Space

class Small(Space):
    width = Choice(2, 4)
    depth = Choice(1, 2, 3)

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("conv", pick(self.width)),) * pick(self.depth))
"""

BROKEN = """
from nas import Choice, Pick, Space

class Child:
    input_size, key, written = 8, "key", "a network"

    def module(self, images):
        raise RuntimeError("no such layer")

class Broken(Space):
    width = Choice(2, 4)
    depth = Choice(1, 2, 3)

    def build(self, pick: Pick) -> Child:
        pick(self.width), pick(self.depth)
        return Child()
"""


@pytest.fixture
def terms(tmp_path: Path) -> Terms:
    (tmp_path / "small.py").write_text(SMALL)
    return Terms(tmp_path / "out", f"{tmp_path / 'small.py'}:Small", data.load("digits", images=100), budget=4)


def results(folder: Path) -> dict[str, Result | None]:
    """By network, what a search trained."""
    return {trial.key: trial.result for trial in read(folder)[1] if trial.same_as is None}


def accuracies(folder: Path) -> list[Any]:
    """What a search did, times aside."""
    return [(t.trial, t.answers, t.reward, t.same_as, t.result and t.result.loss) for t in read(folder)[1]]


def training(terms: Terms) -> Training:
    space = names.space(terms.space).on(terms.data.images)
    return Training(space, terms.data, RECIPE, "cpu", 1, None)


def run(terms: Terms, *words: object) -> str:
    """What the command prints."""
    given = ["--out", terms.out, "--space", terms.space, "--images", 100, "--budget", 4, "--workers", 1, *words]
    done = CliRunner().invoke(app, [str(word) for word in given])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.output


# --- one search ---


def test_a_budget_counts_networks_and_not_repeats(terms: Terms) -> None:
    folder, _ = search(terms, EVOLUTION, 0)
    assert folder == terms.out / "evolution-seed0"
    assert len(results(folder)) == 4


def test_schedules_stretch_over_the_budget(terms: Terms) -> None:
    assert read(search(terms, RANDOM, 0)[0])[0]["length"] == 4


def test_equal_children_of_one_seed_are_trained_once(terms: Terms) -> None:
    first, second = (results(search(terms, contender, 3)[0]) for contender in (RANDOM, EVOLUTION))
    common = first.keys() & second.keys()
    assert common  # 4 and 4 of 6 networks
    assert all(first[key] == second[key] for key in common)  # seconds too


def test_what_others_have_trained_changes_no_search(terms: Terms) -> None:
    folder, accuracy = search(terms, EVOLUTION, 3)
    alone = accuracies(folder)
    shutil.rmtree(folder)
    search(terms, RANDOM, 3)
    assert (search(terms, EVOLUTION, 3)[1], accuracies(folder)) == (accuracy, alone)


def test_a_search_that_has_ended_is_not_run_again(terms: Terms) -> None:
    folder, accuracy = search(terms, RANDOM, 0)
    before = (folder / "ledger.jsonl").read_bytes()
    assert search(terms, RANDOM, 0) == (folder, accuracy)
    assert (folder / "ledger.jsonl").read_bytes() == before


# --- what another search has trained ---


def planted(folder: Path, like: Path, key: str, **fields: Any) -> Result:
    """A search with one child, whose result no training gives; its header is another's but for some fields."""
    result = Result((0.123,), (9.0,), 1, 1, 77.0)
    header, _ = read(like)
    with Ledger(folder) as ledger:
        ledger.begin({name: value for name, value in (header | fields).items() if name not in ("format", "sum")})
        ledger.append(Trial(0, (0, 0), key, "a network", 0.123, result))
    return result


def test_a_child_that_another_search_has_trained_is_taken_from_its_ledger(terms: Terms) -> None:
    folder, _ = search(terms, RANDOM, 0)
    train = training(terms)
    shallow, deep = (train.space.replay(answers) for answers in ((0, 0), (0, 1)))
    result = planted(terms.out / "other-seed0", folder, shallow.key, controller="Other")
    pool = Remembered(train, folder)
    (folder / "ledger.jsonl").write_bytes((folder / "ledger.jsonl").read_bytes().splitlines(keepends=True)[0])
    assert pool(Job(0, (0, 0), 5)) == result
    assert pool(Job(1, (0, 1), 5)).loss == train(Job(1, (0, 1), 5)).loss
    assert deep.key not in known(folder)


@pytest.mark.parametrize("other", [{"seed": 1}, {"recipe": {"epochs": 9}}, {"fingerprint": "f"}], ids=str)
def test_what_was_trained_otherwise_is_not_taken(terms: Terms, other: dict[str, Any]) -> None:
    folder, _ = search(terms, RANDOM, 0)
    planted(terms.out / "other-seed0", folder, "key", **other)
    assert "key" not in known(folder)


def test_a_ledger_without_a_header_yet_is_passed_over(terms: Terms) -> None:
    folder, _ = search(terms, RANDOM, 0)
    (terms.out / "other-seed0").mkdir()
    (terms.out / "other-seed0" / "ledger.jsonl").write_bytes(b"")
    assert known(folder) == results(folder)


# --- test images ---


def test_test_images_stand_in_the_place_of_validation_images(terms: Terms) -> None:
    tested, (pixels, labels) = on_test_images(terms.data), data.test_images("digits")
    assert np.array_equal(tested.pixels[tested.valid], pixels)
    assert np.array_equal(tested.labels[tested.valid], labels)
    assert np.array_equal(tested.pixels[tested.train], terms.data.pixels[terms.data.train])
    assert (tested.mean, tested.std) == (terms.data.mean, terms.data.std)


def test_the_network_that_is_judged_is_the_chosen_one_trained_as_it_was(terms: Terms) -> None:
    folder, accuracy = search(terms, RANDOM, 2)
    chosen = max((trial for trial in read(folder)[1]), key=lambda trial: trial.reward or 0.0)
    job = Job(chosen.trial, chosen.answers, child_seed(2, chosen.key))
    train = training(terms)
    assert train(job).accuracy == (chosen.result and chosen.result.accuracy)
    assert accuracy == 100 * replace(train, data=on_test_images(terms.data), _resident=None)(job).accuracy[-1]


def test_where_all_children_failed_there_is_nothing_to_judge(terms: Terms) -> None:
    folder, _ = search(terms, RANDOM, 0)
    with Ledger(terms.out / "failed") as ledger:
        ledger.begin(read(folder)[0])
        ledger.append(Trial(0, (0, 0), "key", "a network", None, Result(error="diverged"), "diverged"))
    assert np.isnan(judged(terms, terms.out / "failed"))


def test_a_chosen_network_that_fails_when_it_is_trained_again_has_no_test_accuracy(terms: Terms) -> None:
    folder, accuracy = search(terms, RANDOM, 0)
    (terms.out / "broken.py").write_text(BROKEN)
    planted(terms.out / "broken", folder, "key")
    broken = replace(terms, space=f"{terms.out / 'broken.py'}:Broken")
    assert np.isnan(judged(broken, terms.out / "broken"))
    assert not np.isnan(accuracy)
    other, _ = search(terms, RANDOM, 1)
    found = figures([folder, other], 4, {folder: accuracy, other: np.nan})
    assert found["after"][-1]["controllers"]["random"]["seeds_with_a_result"] == 1
    assert any(note.startswith("1 of 2 searches have no test accuracy") for note in found["notes"])


# --- the command ---


def test_the_command_compares_validation_and_then_test_accuracy(terms: Terms) -> None:
    said = run(terms, "--controllers", "evolution", "--seeds", 2)
    assert "## After 4 evaluations: test accuracy of the network chosen by validation" in said
    validation, tests = json.loads((terms.out / "comparison.json").read_text())["after"]
    assert list(validation["controllers"]) == list(tests["controllers"]) == ["random", "evolution"]
    assert tests["paired"][0]["pairs"] == 2
    judgements = [judged(terms, terms.out / f"random-seed{seed}") for seed in range(2)]
    assert tests["controllers"]["random"]["results"] == judgements


def test_the_command_again_has_the_same_figures(terms: Terms) -> None:
    words = ("--controllers", "evolution", "--seeds", 2)
    first, again = run(terms, *words), run(terms, *words)
    assert first == again
    shutil.rmtree(terms.out)
    run(terms, *words, "--workers", 2)
    text = (terms.out / "comparison.md").read_text()
    assert first.partition("## What the searches did")[0] == text.partition("## What the searches did")[0]


def test_a_controller_with_nothing_new_is_compared_too(terms: Terms) -> None:
    said = run(terms, "--controllers", "random", "--seeds", 1, "--budget", 9, "--patience", 100)
    assert "ended before 9 networks, with 100 repeats in a row or more" in said


def test_every_controller_is_compared_unless_others_are_named() -> None:
    assert {"random", "reinforce", "q-learning", "evolution", "optuna:tpe", "optuna:cmaes", "optuna:gp"} <= {*every()}
    assert "optuna" not in every()


def test_a_space_that_does_not_exist_is_an_error(terms: Terms) -> None:
    with pytest.raises(UserError, match="space: found 'chian'; did you mean chain"):
        run(terms, "--controllers", "random", "--space", "chian")
