"""What the ablation says and refuses; its searches are those of `benchmarks.compare`."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.ablation import BUDGETS, TABLES, VARIANTS, Figure, Line, app, head, markdown, measured
from benchmarks.tables import Positions, Row, Table
from nas import names
from nas.errors import UserError
from nas.report import checklist
from nas.space import Choice


@pytest.mark.parametrize("controller", VARIANTS)
def test_each_setting_of_a_variant_is_another_than_the_default(controller: str) -> None:
    for settings in VARIANTS[controller].values():
        kind, given = names.controller(controller, settings)
        assert len(given) == len(settings)
        assert not [name for name, value in given.items() if names.parameters(kind, 3)[name].default == value]


def test_a_line_is_a_variant_and_a_column_a_table_at_a_budget() -> None:
    rewards = Figure(84.1, 0.1), Figure(84.2, 0.2), Figure(92.1, 0.3), Figure(92.2, 0.4)
    results = Figure(94.1, 0.01), Figure(94.2, 0.02), Figure(92.9, 0.03), Figure(93.0, 0.04)
    text = markdown([Line("reinforce", "as it is", rewards, results)])
    assert "| reinforce, highest reward, % | nasbench201 after 100 | nasbench201 after 200 | nasbench-macro" in text
    assert "| as it is | 84.100 ± 0.100 | 84.200 ± 0.200 | 92.100 ± 0.300 | 92.200 ± 0.400 |" in text
    assert "| reinforce, test accuracy, % | nasbench201 after 100 |" in text
    assert "| as it is | 94.100 ± 0.010 | 94.200 ± 0.020 | 92.900 ± 0.030 | 93.000 ± 0.040 |" in text
    assert len(TABLES) * len(BUDGETS) == 4


def test_a_variant_is_measured_by_its_highest_reward_and_what_that_networks_result_is() -> None:
    space = Positions((Choice("a", "b"),) * 3)  # which a budget of 100 knows to its end
    rows = {a: Row("", sum(a) / 10, 50.0 + a[0], None) for a in itertools.product((0, 1), repeat=3)}
    table = Table("made", Path("made.csv"), "", space, rows, "val", "test", "", percent=True)
    line = next(measured([table], 2, 1, ["q-learning"]))
    assert line.variant == "as it is"
    assert line.rewards == (Figure(30.0, 0.0),) * 2
    assert line.results == (Figure(51.0, 0.0),) * 2


def test_the_head_has_what_a_repetition_needs() -> None:
    table = Table("made", Path("somewhere/made.csv"), "5ha256", Positions(()), {}, "val", "test", "", percent=True)
    text = head([table], 20, checklist("python -m benchmarks.ablation --seeds 20", 90.0))
    for fact in ("`python -m benchmarks.ablation --seeds 20`", "20 seeds, 0 to 19", "made.csv, SHA-256 5ha256", "90 s"):
        assert fact in text
    for fact in ("nas-rl", "commit", "python", "torch", "numpy", "cores"):
        assert fact in text
    assert "somewhere" not in text  # the folder is this machine's


def test_a_controller_without_variants_is_refused(tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["--out", str(tmp_path), "-c", "evolution"]).exception
    assert isinstance(error, UserError)
    assert str(error) == (
        "--controller: found 'evolution', expected one with variants: reinforce, posterior-sampling, q-learning"
    )
