"""What the ablation says and refuses; its searches are those of `benchmarks.compare`."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.ablation import VARIANTS, Figure, Line, app, head, highest, markdown, measured
from benchmarks.compare import Contender
from benchmarks.tables import FILES, default_folder, load
from nas import names
from nas.errors import UserError
from nas.report import checklist

CHAINS = ["".join(letters) for letters in itertools.product("ab", repeat=3)]


@pytest.mark.parametrize("controller", VARIANTS)
def test_each_setting_of_a_variant_is_another_than_the_default(controller: str) -> None:
    for settings in VARIANTS[controller].values():
        kind, given = names.controller(controller, settings)
        assert len(given) == len(settings)
        assert not [name for name, value in given.items() if names.parameters(kind, 3)[name].default == value]


def test_a_line_is_a_variant_and_a_column_a_table_at_a_budget() -> None:
    rewards = {
        "nasbench201": (Figure(84.1, 0.1), Figure(84.2, 0.2)),
        "nk:8,3,1": (Figure(72.1, 0.3), Figure(72.2, 0.4)),
    }
    results = {"nasbench201": (Figure(94.1, 0.01), Figure(94.2, 0.02)), "nk:8,3,1": rewards["nk:8,3,1"]}
    text = markdown([Line("reinforce", "as it is", rewards, results)])
    assert "| reinforce, highest reward, % | nasbench201 after 100 | nasbench201 after 200 | nk:8,3,1 after 100" in text
    assert "| as it is | 84.100 ± 0.100 | 84.200 ± 0.200 | 72.100 ± 0.300 | 72.200 ± 0.400 |" in text
    assert "| reinforce, test accuracy, % | nasbench201 after 100 | nasbench201 after 200 |\n" in text
    assert "| as it is | 94.100 ± 0.010 | 94.200 ± 0.020 |\n" in text


def test_results_are_of_the_networks_with_the_highest_rewards() -> None:
    if not (default_folder() / FILES["nasbench-macro"]).is_file():
        pytest.skip(f"no {FILES['nasbench-macro']} in {default_folder()}: name the folder with NAS_TABLES")
    rewards, results = highest("nasbench-macro", Contender("random"), 0)
    for reward, result in zip(rewards, results, strict=True):
        assert result in [row.result for row in load("nasbench-macro").rows.values() if 100 * row.reward == reward]
    assert rewards[0] <= rewards[1]


def test_a_variant_is_measured_by_its_highest_reward_after_each_budget(tmp_path: Path) -> None:
    table = tmp_path / "made.csv"  # of eight networks, which a budget of 100 knows to its end
    table.write_text("".join(f"{arch},{reward}\n" for reward, arch in enumerate(CHAINS, 23)))
    line = next(measured([f"csv:{table}"], 2, 1, ["q-learning"]))
    assert line.variant == "as it is"
    assert line.rewards == {f"csv:{table}": [Figure(30.0, 0.0)] * 2}
    assert line.results == line.rewards


def test_a_landscape_without_its_seed_is_another_for_each_search() -> None:
    one, other = (highest("nk:3,2,1", Contender("random"), seed)[0] for seed in (0, 1))
    optima = [[load(f"nk:3,2,1,{seed}").optimum] * 2 for seed in (0, 1)]
    assert [one, other] == [pytest.approx(optimum) for optimum in optima]
    assert one != other


def test_the_head_has_what_a_repetition_needs(tmp_path: Path) -> None:
    table = tmp_path / "made.csv"
    table.write_text("a,1\nb,2\n")
    typed = [f"csv:{table}", "nk:3,2,1"]
    text = head(typed, 20, checklist("python -m benchmarks.ablation --seeds 20", 90.0))
    digest = hashlib.sha256(table.read_bytes()).hexdigest()
    for fact in ("`python -m benchmarks.ablation --seeds 20`", "20 seeds, 0 to 19", f"made.csv, SHA-256 {digest}"):
        assert fact in text
    for fact in (
        "nas-rl",
        "commit",
        "python",
        "torch",
        "numpy",
        "cores",
        "90 s",
        "nk:3,2,1: a random landscape for each",
    ):
        assert fact in text
    assert str(tmp_path) not in text  # the folder is this machine's


def test_a_controller_without_variants_is_refused(tmp_path: Path) -> None:
    error = CliRunner().invoke(app, ["--out", str(tmp_path), "-c", "optuna:tpe"]).exception
    assert isinstance(error, UserError)
    assert str(error) == (
        "--controller: found 'optuna:tpe', expected one with variants: reinforce, posterior-sampling, q-learning, "
        "random, evolution, local"
    )
