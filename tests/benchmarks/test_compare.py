from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.compare import Contender, Lookup, Terms, Timed, a_trial, app, contenders, search, searches, terms_of
from benchmarks.report import WARM
from benchmarks.tables import FILES, Positions, Row, Table, default_folder, load
from nas.errors import UserError
from nas.pool import Job
from nas.preset import PRESETS
from nas.reward import Result
from nas.search import figures_of
from nas.space import Choice
from search_spaces.nasbench201 import NasBench201

RANDOM, EVOLUTION = Contender("random"), Contender("evolution", ("population=5", "sample=3"))
LETTERS = "abc"
OPERATIONS = list(itertools.product(NasBench201.operation.options, repeat=6))


def made(positions: int = 4, seconds: float | None = 10.0) -> Table:
    """3^positions networks; the reward is the mean answer, and each result is the row's number."""
    space = Positions((Choice(*LETTERS, name="letter"),) * positions)
    rows = {
        answers: Row("".join(LETTERS[a] for a in answers), sum(answers) / (2 * positions), float(number), seconds)
        for number, answers in enumerate(itertools.product(range(3), repeat=positions))
    }
    return Table("made", Path("made.csv"), "", space, rows, "mean", "number", "made up" if seconds else "", False)


def plain(folder: Path) -> str:
    """A table of nine networks, as it is typed."""
    lines = [f"{first}{second},{first + second}" for first in range(3) for second in range(3)]
    (folder / "table.csv").write_text("\n".join(lines))
    return f"csv:{folder / 'table.csv'}"


def compare(*words: object) -> str:
    """What the command prints."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


# --- one search ---


def test_a_budget_counts_networks_and_not_repeats() -> None:
    done = search(made(), RANDOM, 0, Terms(budget=60, length=60))
    assert len(done.rewards) == len(set(done.results)) == 60
    assert done.trials > 60
    assert done.why == "60 networks are evaluated"


def test_the_same_search_twice_is_the_same() -> None:
    first, second = (search(made(), EVOLUTION, 3, Terms(budget=40, length=40, fail=0.2)) for _ in range(2))
    assert np.array_equal(first.rewards, second.rewards, equal_nan=True)
    assert np.array_equal(first.results, second.results)
    other = search(made(), EVOLUTION, 4, Terms(budget=40, length=40, fail=0.2))
    assert not np.array_equal(first.results, other.results)


def test_a_search_does_not_depend_on_results() -> None:
    table = made()
    reversed_ = {answers: row._replace(result=-row.result) for answers, row in table.rows.items()}
    other = Table(
        "other", table.path, "", table.space, reversed_, table.reward, table.result, table.seconds, table.percent
    )
    first, second = (search(one, EVOLUTION, 0, Terms(budget=40, length=40)) for one in (table, other))
    assert np.array_equal(first.results, -second.results)


def test_a_budget_above_the_table_ends_when_all_is_known() -> None:
    done = search(made(2), RANDOM, 0, Terms(budget=50, length=50))
    assert (len(done.rewards), done.why) == (9, "all 9 networks of the table are known")


def test_a_controller_with_nothing_new_ends_by_its_patience() -> None:
    done = search(made(), Contender("q-learning", ("schedule=short",)), 0, Terms(budget=81, length=1, patience=30))
    assert "the last 30 trials were all repeats" in done.why


@pytest.mark.parametrize("window", [1, 4])
def test_what_ends_after_the_simulated_seconds_does_not_count(window: int) -> None:
    done = search(made(), RANDOM, 0, Terms(budget=81, length=10, seconds=105.0, window=window))
    assert list(done.seconds) == [10.0] * 10
    assert len(done.rewards) == 10
    assert done.why == "105 simulated seconds are spent"


def test_what_the_seconds_cut_off_is_no_repeat() -> None:
    alone, many = (search(made(7), RANDOM, 0, Terms(81, 10, seconds=105.0, window=window)) for window in (1, 16))
    assert alone.repeats == many.repeats == 0
    assert many.trials > len(many.rewards)


def test_a_preset_is_told_its_own_reward_and_the_report_has_the_tables() -> None:
    preset, terms = Contender("zoph2017"), Terms(budget=10, length=10)
    assert preset.reward(Result((0.5,))) == 0.125
    table = made()
    assert set(search(table, preset, 0, terms).rewards) <= {row.reward for row in table.rows.values()}
    assert Contender("reinforce").reward(Result((0.5,))) == Contender("metaqnn").reward(Result((0.5,))) == 0.5


def test_a_search_that_leaves_networks_of_a_whole_table_out_says_how_many() -> None:
    done = search(made(2), Contender("q-learning", ("schedule=short",)), 0, Terms(budget=9, length=1, patience=5))
    assert f"; {9 - len(done.rewards)} of the table's 9 networks are not known" in done.why


def test_with_a_window_trials_are_asked_before_the_ones_before_are_told() -> None:
    terms = Terms(budget=40, length=40)
    one, many = search(made(), EVOLUTION, 0, terms), search(made(), EVOLUTION, 0, Terms(budget=40, length=40, window=8))
    assert np.array_equal(one.results[:5], many.results[:5])  # while both are random
    assert not np.array_equal(one.results, many.results)


def test_a_share_of_the_networks_fails_the_same_ones_each_time() -> None:
    table = made(7)
    failing = [
        {
            answers
            for number, answers in enumerate(table.rows)
            if Lookup(table, 0.1)(Job(0, answers, seed + number)).error
        }
        for seed in (0, 0, 10_000)
    ]
    assert failing[0] == failing[1] != failing[2]
    assert len(failing[0]) == pytest.approx(0.1 * 3**7, rel=0.2)


def test_failures_are_evaluations_that_cost_their_seconds() -> None:
    done = search(made(), RANDOM, 0, Terms(budget=80, length=80, fail=0.25))
    assert len(done.rewards) == 80
    assert 8 <= np.isnan(done.rewards).sum() <= 32
    assert done.seconds.sum() == 800.0


def test_a_controller_that_says_something_of_itself_is_heard_and_timed() -> None:
    controllers = [Contender(name).made()[0](made().space, 0, 10) for name in ("q-learning", "random")]
    speaking, silent = map(Timed, controllers)
    candidate = speaking.ask(0, [])
    speaking.tell(0, candidate, 0.5)
    spent = speaking.seconds
    assert figures_of(speaking, 1) == figures_of(controllers[0], 1)
    assert speaking.seconds > spent > 0
    assert figures_of(silent, 1) is None


def test_the_first_trials_of_a_long_search_are_left_out_of_a_trials_seconds() -> None:
    assert a_trial([9.0] * 9 + [10.0]) == 1.0  # 10 seconds for ten trials
    import_and_one_a_trial = [99.0 + number for number in range(1, 2 * WARM + 2)]
    assert a_trial(import_and_one_a_trial) == 1.0
    assert a_trial(import_and_one_a_trial[:-1]) > 2.0


# --- all of them ---


def test_processes_make_the_searches_that_one_process_makes() -> None:
    table, terms = made(), Terms(budget=20, length=20)
    alone, together = (
        {
            (s.controller, s.seed): list(s.results)
            for s in searches(table, [RANDOM, EVOLUTION], terms, range(2), workers)
        }
        for workers in (1, 2)
    )
    assert alone == together
    assert len(alone) == 4


def test_a_list_of_controllers_may_have_parameters_with_commas() -> None:
    found = contenders("evolution:population=10,sample=3,optuna:tpe,random, q-learning")
    assert [one.typed for one in found] == ["evolution:population=10,sample=3", "optuna:tpe", "random", "q-learning"]
    assert found[0].made()[1] == {"population": 10, "sample": 3}
    assert found[1].made()[1] == {"sampler": "tpe"}


def test_a_preset_is_its_controller_with_its_parameters() -> None:
    settings = ["zoph2017:rate=0.1", "metaqnn:trace=0.5"]
    _, paper, changed, other = contenders("zoph2017,metaqnn:replays=7,nasbench201-reinforce", settings)
    assert paper.made()[0].__name__ == "Reinforce"
    assert paper.made()[1] == {**PRESETS["zoph2017"].parameters, "rate": 0.1}
    assert changed.made()[1] == {**PRESETS["metaqnn"].parameters, "replays": 7, "trace": 0.5}
    assert other.made()[1] == PRESETS["nasbench201-reinforce"].parameters


def test_random_search_is_always_there_and_nothing_is_there_twice() -> None:
    assert [one.typed for one in contenders("evolution,evolution")] == ["random", "evolution"]


def test_a_setting_is_for_the_controllers_of_its_name() -> None:
    settings = ["evolution:sample=2", "q-learning:rate=0.5"]
    random, small, usual, learning = contenders("evolution:population=4,evolution,q-learning", settings)
    assert random.made()[1] == {}
    assert small.made()[1] == {"population": 4, "sample": 2}
    assert usual.made()[1] == {"sample": 2}
    assert learning.made()[1] == {"rate": 0.5}


@pytest.mark.parametrize(
    ("typed", "settings", "message"),
    [
        ("evolutoin", [], "controller: found 'evolutoin'; did you mean evolution"),
        ("evolution:size=3", [], "found the parameter size, expected one of population, sample"),
        ("evolution", ["reinforce:rate=1"], "--set: found 'reinforce:rate=1', expected controller:name=value with one"),
        ("evolution", ["sample=1"], "--set: found 'sample=1', expected controller:name=value"),
    ],
)
def test_controllers_and_settings_that_do_not_exist_are_refused(typed: str, settings: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        contenders(typed, settings)


# --- the command ---


def test_help_says_what_a_csv_must_look_like_and_how_a_parameter_is_set() -> None:
    said = " ".join(CliRunner().invoke(app, ["--help"]).output.replace("│", " ").split())
    for fact in ("two columns", "higher is better", "every combination of the options", "as reinforce:rate=0.1"):
        assert fact in said


@pytest.mark.parametrize(
    ("budget", "seconds", "length", "patience"),
    [
        (100, None, 100, 1000),
        (10_000, None, 6561, 65_610),  # all that the table has
        (None, 500.0, 50, 1000),
        (10_000, 1e9, 6561, 65_610),
    ],
)
def test_schedules_end_with_the_table_and_patience_lasts_to_its_end(
    budget: int | None, seconds: float | None, length: int, patience: int
) -> None:
    terms = terms_of(made(8), budget, seconds, 1, 0.0, None)
    assert (terms.length, terms.patience) == (length, patience)
    assert terms_of(made(8), budget, seconds, 1, 0.0, 7).patience == 7


def test_seconds_that_are_not_finite_are_refused() -> None:
    for seconds in (math.inf, math.nan):
        with pytest.raises(UserError, match=f"--simulated-seconds: found {seconds}, expected a finite number"):
            terms_of(made(), 5, seconds, 1, 0.0, None)


def test_seconds_below_one_evaluation_are_a_report_without_a_result(tmp_path: Path) -> None:
    cells = ["|" + "|+|".join(("{}~0", "{}~0|{}~1", "{}~0|{}~1|{}~2")).format(*ops) + "|" for ops in OPERATIONS]
    lines = ["arch,c10_val_12ep,c10_test_200ep,est_train_s_per_epoch,est_valid_s", *(f"{c},50,50,1,1" for c in cells)]
    (tmp_path / "cells.csv").write_text("\n".join(lines))
    words = [
        "-c",
        "reinforce",
        "--file",
        tmp_path / "cells.csv",
        "--simulated-seconds",
        1,
        "--seeds",
        2,
        "--workers",
        1,
    ]
    said = compare("nasbench201", *words, "--out", tmp_path)
    assert "Note: 4 of 4 searches ended before their first evaluation." in said
    assert "| random | – | – | – | – | 0.0 % | 0.0 % |" in said


def test_the_command_writes_figures_text_and_picture(tmp_path: Path) -> None:
    words = ["--controllers", "evolution", "--budget", 6, "--seeds", 3, "--workers", 1]
    said = compare(plain(tmp_path), *words, "--out", tmp_path / "out")
    assert "evolution − random" in said
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"comparison.{s}" for s in ("json", "md", "png")}
    figures = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert list(figures["controllers"]) == ["random", "evolution"]
    assert figures["controllers"]["evolution"]["seeds"] == [0, 1, 2]
    assert figures["controllers"]["evolution"]["parameters"] == {"population": 25, "sample": 10}


def test_the_command_says_what_one_seed_and_a_large_budget_mean(tmp_path: Path) -> None:
    words = ["--controllers", "random", "--budget", 50, "--seeds", 1, "--workers", 1, "--first-seed", 7]
    said = compare(plain(tmp_path), *words, "--out", tmp_path)
    assert "One seed: there are no deviations, intervals and tests." in said
    assert "The budget of 50 is larger than the table" in said
    assert "all 9 networks of the table are known (1)" in said
    assert "## After all 9 networks\n" in said
    assert json.loads((tmp_path / "comparison.json").read_text())["controllers"]["random"]["seeds"] == [7]


def test_a_preset_is_compared_under_its_name(tmp_path: Path) -> None:
    words = ["--controllers", "metaqnn", "--budget", 6, "--seeds", 1, "--workers", 1]
    assert "metaqnn − random" in compare(plain(tmp_path), *words, "--out", tmp_path)
    figures = json.loads((tmp_path / "comparison.json").read_text())
    assert figures["controllers"]["metaqnn"]["parameters"]["replays"] == 100


def test_scores_that_were_taken_as_percent_are_said_to_be(tmp_path: Path) -> None:
    words = ["--controllers", "random", "--budget", 6, "--seeds", 1, "--workers", 1]
    said = compare(plain(tmp_path), *words, "--out", tmp_path)
    assert "(score, taken as percent: all are 0 to 100, and one is above 1)" in said
    assert "the highest reward (score / 100)" in said


def test_a_slow_controller_may_have_fewer_seeds(tmp_path: Path) -> None:
    words = ["--controllers", "evolution", "--fewer", "evolution=2", "--budget", 5, "--seeds", 4, "--workers", 1]
    said = compare(plain(tmp_path), *words, "--out", tmp_path)
    assert "evolution has the first 2 of the 4 seeds" in said
    figures = json.loads((tmp_path / "comparison.json").read_text())
    assert figures["controllers"]["evolution"]["seeds"] == [0, 1]
    assert figures["controllers"]["random"]["seeds"] == [0, 1, 2, 3]
    assert figures["after"][0]["paired"][0]["pairs"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", 5, "--fewer", "evolution=2"], "--fewer: found 'evolution=2', expected controller=seeds with one"),
        (["--budget", 5, "--fewer", "random=0"], "--fewer: found 'random=0', expected controller=seeds"),
        (["--simulated-seconds", 100], r"found no times in csv:table.csv \(table.csv\), expected seconds for each"),
        (
            ["--simulated-seconds", "inf"],
            "--simulated-seconds: found inf, expected a finite number; give one, or a --b",
        ),
        ([], "budget: found none, expected --budget, --simulated-seconds or both"),
        (
            ["--budget", 5, "--against", "evolution"],
            "--against: found evolution, expected one of --controllers: random",
        ),
        (["--budget", 5, "--out", "/dev/null/x"], "/dev/null/x: found .*, expected a folder that can be written to"),
    ],
)
def test_the_command_refuses_what_cannot_be_compared(tmp_path: Path, words: list[object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        compare(plain(tmp_path), "--controllers", "random", "--seeds", 1, "--out", tmp_path / "out", *words)


def test_what_a_user_can_mend_is_one_sentence_and_status_2(tmp_path: Path) -> None:
    words = ["csv:nothing.csv", "--controllers", "random", "--budget", "5", "--seeds", "1", "--out", "out"]
    command = [sys.executable, "-m", "benchmarks.compare", *words]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("compare: nothing.csv: found No such file or directory, expected a table")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "least", "most"), [("nasbench201", 93.5, 93.9), ("nasbench-macro", 92.6, 92.85)], ids=str
)
def test_random_search_finds_on_the_shared_tables_what_it_is_known_to(name: str, least: float, most: float) -> None:
    if not (default_folder() / FILES[name]).is_file():
        pytest.skip(f"no {FILES[name]} in {default_folder()}: name the folder with NAS_TABLES")
    table = load(name)
    found = [search(table, RANDOM, seed, Terms(budget=100, length=100)) for seed in range(50)]
    chosen = [one.results[np.argmax(one.rewards)] for one in found]
    assert least < np.mean(chosen) < most  # 93.74 and 92.73 over 500 seeds; the mean of 50 is within 0.1 of it
