"""What the ablation says and refuses; its searches are those of `benchmarks.compare`."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.ablation import GROUPS, Line, app, head, highest, markdown, measured
from benchmarks.compare import Contender
from benchmarks.tables import FILES, default_folder, load
from nas import names
from nas.errors import UserError
from nas.report import checklist


@pytest.fixture
def table(tmp_path: Path) -> str:
    """Of 243 networks, with the scores 0.0, 0.1, ... 24.2, taken as percent."""
    file = tmp_path / "made.csv"
    chains = ["".join(letters) for letters in itertools.product("abc", repeat=5)]
    file.write_text("".join(f"{chain},{score / 10}\n" for score, chain in enumerate(chains)))
    return f"csv:{file}"


@pytest.mark.parametrize("group", [name for name in GROUPS if name != "controllers"])
def test_each_setting_of_a_line_is_another_than_the_default(group: str) -> None:
    (first, *others) = GROUPS[group].values()
    assert first == Contender(group)
    for contender in others:
        kind, given = names.controller(contender.typed, contender.settings)
        assert contender.typed == group
        assert len(given) == len(contender.settings) > 0
        assert not [name for name, value in given.items() if names.parameters(kind, 3)[name].default == value]


def test_the_first_line_has_means_and_the_others_what_they_differ_by_seed_by_seed() -> None:
    rewards = np.array([[80.0, 81.0], [90.0, 91.0]])  # two seeds, two budgets
    first = Line("reinforce", "as it is", {"nk:8,3,1": rewards}, {"nk:8,3,1": rewards})
    less = rewards - [[1.0, 0.0], [2.0, 0.0]]
    text = markdown([first, Line("reinforce", "no critic", {"nk:8,3,1": less}, {"nk:8,3,1": less})])
    assert text == (
        "| reinforce, highest reward | nk:8,3,1 after 100 | nk:8,3,1 after 200 |\n"
        "| --- | --- | --- |\n"
        "| as it is | 85.000 | 86.000 |\n"
        "| no critic | -1.500 (-2.000 to -1.000) | +0.000 (+0.000 to +0.000) |\n"
    )


def test_results_have_a_table_of_their_own_where_they_are_not_the_rewards() -> None:
    rewards, results = np.full((2, 2), 84.0), np.full((2, 2), 94.0)
    line = Line("q-learning", "as it is", {"one": rewards, "other": rewards}, {"one": results, "other": rewards})
    text = markdown([line])
    assert "| q-learning, highest reward | one after 100 | one after 200 | other after 100 |" in text
    assert "| q-learning, test accuracy | one after 100 | one after 200 |\n" in text
    assert "| as it is | 94.000 | 94.000 |\n" in text


def test_results_are_of_the_networks_with_the_highest_rewards() -> None:
    if not (default_folder() / FILES["nasbench-macro"]).is_file():
        pytest.skip(f"no {FILES['nasbench-macro']} in {default_folder()}: name the folder with NAS_TABLES")
    rewards, results = highest("nasbench-macro", Contender("random"), 0)
    for reward, result in zip(rewards, results, strict=True):
        assert result in [row.result for row in load("nasbench-macro").rows.values() if 100 * row.reward == reward]
    assert rewards[0] <= rewards[1]


def test_a_line_has_a_row_for_each_seed_in_their_order(table: str) -> None:
    line = next(measured([table], range(3, 5), 1, ["controllers"]))
    assert (line.group, line.words) == ("controllers", "random")
    each = [highest(table, Contender("random"), seed)[0] for seed in (3, 4)]
    assert line.rewards[table].tolist() == each
    assert line.results[table] == pytest.approx(line.rewards[table])
    assert each[0] != each[1]


def test_a_landscape_without_its_seed_is_another_for_each_search() -> None:
    one, other = (highest("nk:6,3,1", Contender("evolution"), seed)[0] for seed in (0, 1))
    for found, seed in ((one, 0), (other, 1)):
        values = [100 * row.reward for row in load(f"nk:6,3,1,{seed}").rows.values()]
        assert set(found) < set(values)
    assert not {*one} & {*other}


def test_the_head_has_what_a_repetition_needs(table: str, tmp_path: Path) -> None:
    text = head([table, "nk:6,3,1"], range(5, 25), checklist("python -m benchmarks.ablation --seeds 20", 90.0))
    digest = hashlib.sha256((tmp_path / "made.csv").read_bytes()).hexdigest()
    for fact in ("`python -m benchmarks.ablation --seeds 20`", "20 seeds, 5 to 24", f"made.csv, SHA-256 {digest}"):
        assert fact in text
    for fact in ("nas-rl", "commit", "python", "torch", "numpy", "cores", "90 s", "nk:6,3,1: a random landscape for"):
        assert fact in text
    assert str(tmp_path) not in text  # the folder is this machine's


def test_a_group_that_is_none_is_refused(tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["--out", str(tmp_path), "-g", "optuna:tpe"]).exception
    assert isinstance(error, UserError)
    assert str(error) == (
        "--group: found 'optuna:tpe', expected one of controllers, reinforce, posterior-sampling, q-learning"
    )


def test_a_table_that_the_budget_knows_to_its_end_is_refused(tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["--out", str(tmp_path), "-t", "nk:3,2,1"]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith("nk:3,2,1,0: found 8 networks, expected more than 200, for all would find the best")
