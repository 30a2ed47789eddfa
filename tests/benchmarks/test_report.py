from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare import Contender, Terms
from benchmarks.report import figures
from benchmarks.tables import Positions, Row, Table, load
from nas.report import Search, checklist, markdown
from nas.space import Choice

NAN = float("nan")
EACH = 10.0  # simulated seconds of an evaluation


def one(
    rewards: Sequence[float], results: Sequence[float], controller: str = "random", seed: int = 0, why: str = "done"
) -> Search:
    seconds = np.full(len(rewards), EACH)
    return Search(
        controller, seed, np.array(rewards), np.array(results), seconds, 2 * len(rewards), len(rewards), 0.002, 0.5, why
    )


def table(seconds: float | None = EACH) -> Table:
    """Four networks with the results 1, 2, 3 and 4; the best reward is worth 3."""
    space = Positions((Choice("a", "b", name="x"), Choice("a", "b", name="y")))
    rewards, results = (0.1, 0.2, 0.9, 0.8), (1.0, 2.0, 3.0, 4.0)
    rows = {
        answers: Row(f"{answers}", reward, result, seconds)
        for answers, reward, result in zip(itertools.product((0, 1), repeat=2), rewards, results, strict=True)
    }
    said = "estimates" if seconds else ""
    return Table("made", Path("somewhere/made.csv"), "5ha256", space, rows, "val", "test", said, percent=True)


def reported(searches: Sequence[Search], terms: Terms, seconds: float | None = EACH, against: str = "random") -> Any:
    rivals = [Contender(name) for name in dict.fromkeys(search.controller for search in searches)]
    facts = checklist("python -m benchmarks.compare made", 1.5)
    return figures(table(seconds), rivals, terms, searches, [against], facts)


def test_means_regrets_and_tests_are_those_of_the_chosen_networks() -> None:
    better = [one([0.1, 0.5], [1.0, 4.0], "evolution", seed) for seed in range(3)]
    random = [one([0.1, 0.5], [1.0, value], "random", seed) for seed, value in enumerate((1.0, 2.0, 3.0))]
    (end,) = reported([*random, *better], Terms(2, 2))["after"]
    assert end["after"] == "2 evaluations"
    assert end["controllers"]["random"] | {"interval": None} == {
        "mean": 2.0,
        "deviation": 1.0,
        "interval": None,
        "regret": 2.0,  # of the optimum of 4
        "optimum_found": 0.0,
        "highest_reward_found": 0.0,  # 0.9
        "seeds_with_a_result": 3,
        "results": [1.0, 2.0, 3.0],
    }
    assert end["controllers"]["evolution"]["interval"] == (4.0, 4.0)
    assert end["controllers"]["evolution"]["optimum_found"] == 1.0
    (test,) = end["paired"]
    assert (test["controller"], test["against"], test["difference"]) == ("evolution", "random", 2.0)
    assert (test["effect"], test["p"], test["pairs"]) == (1.0, None, 3)


def test_a_table_that_all_have_seen_to_its_end_is_said_to_be() -> None:
    whole = [0.1, 0.2, 0.3, 0.4]
    for terms in (Terms(50, 4), Terms(4, 4, seconds=1000.0)):
        assert [moment["after"] for moment in reported([one(whole, whole)], terms)["after"]] == ["all 4 networks"]


def test_one_seed_has_no_interval_and_no_test() -> None:
    found = reported([one([0.1], [1.0]), one([0.1], [2.0], "evolution")], Terms(1, 1))
    (end,) = found["after"]
    assert end["controllers"]["random"]["deviation"] is end["controllers"]["random"]["interval"] is None
    assert (end["paired"][0]["difference"], end["paired"][0]["p"], end["paired"][0]["effect"]) == (1.0, None, None)
    assert "One seed" in found["notes"][0]


def test_a_search_that_found_nothing_is_left_out_and_counted() -> None:
    searches = [one([NAN], [1.0], "evolution"), one([0.5], [3.0], "evolution", 1), *(one([NAN], [1.0]),) * 1]
    found = reported([*searches, one([NAN], [1.0], seed=1)], Terms(1, 1))
    (end,) = found["after"]
    assert (end["controllers"]["evolution"]["mean"], end["controllers"]["evolution"]["seeds_with_a_result"]) == (3.0, 1)
    assert (end["controllers"]["random"]["mean"], end["controllers"]["random"]["regret"]) == (None, None)
    assert end["paired"][0]["pairs"] == 0
    assert "| random | – | – | – | – | 0.0 % | 0.0 % |" in markdown(found)
    assert "Note: evolution has no result for 1 of 2 seeds, where no evaluation succeeded; mean," in markdown(found)
    assert end["controllers"]["evolution"]["optimum_found"] == 0.0  # 3 of 4


def test_the_highest_reward_is_found_or_not_whatever_it_is_worth() -> None:
    searches = [one([0.9, 0.8], [3.0, 4.0]), one([0.1, NAN], [1.0, 4.0], seed=1)]
    (end,) = reported(searches, Terms(2, 2))["after"]
    assert (end["controllers"]["random"]["highest_reward_found"], end["controllers"]["random"]["optimum_found"]) == (
        0.5,
        0,
    )
    assert "| found the optimum | found the highest reward |" in markdown(reported(searches, Terms(2, 2)))


def test_one_seed_of_one_controller_is_said_to_be_one() -> None:
    searches = [one([0.1], [1.0], seed=seed) for seed in range(2)] + [one([0.1], [1.0], "evolution")]
    contenders = [Contender("random"), Contender("evolution", seeds=1)]
    notes = figures(table(), contenders, Terms(1, 1), searches, ["random"], {})["notes"]
    assert notes[:2] == [
        "evolution has the first 1 of the 2 seeds; tests pair seeds that both have.",
        "One seed of evolution: there are no deviations, intervals and tests. Search with 10 seeds or more.",
    ]


def test_intervals_of_few_seeds_are_said_to_be_too_narrow() -> None:
    searches = [one([0.1], [1.0], seed=seed) for seed in range(10)]
    few = [one([0.1], [1.0], "evolution", seed) for seed in range(9)]
    assert reported(searches, Terms(1, 1))["notes"][:-1] == []  # the last is on simulated seconds
    narrow = "95 % intervals of so few are too narrow"
    (note,) = (note for note in reported([*searches, *few], Terms(1, 1))["notes"] if narrow in note)
    assert note.startswith("Fewer than 10 seeds of evolution: ")
    (note,) = (note for note in reported(searches[:2], Terms(1, 1))["notes"] if narrow in note)
    assert note.startswith("Fewer than 10 seeds: ")


def test_a_preset_that_is_told_another_reward_is_said_to_be() -> None:
    notes = reported([one([0.1], [1.0], name) for name in ("random", "metaqnn", "zoph2017")], Terms(1, 1))["notes"]
    assert [note for note in notes if "told" in note] == [
        "zoph2017 is told the preset's reward: cubed, of what the table has."
    ]


def test_cma_es_is_said_to_be_random_where_no_option_is_a_number() -> None:
    searches = [one([0.1], [1.0], name) for name in ("random", "optuna:tpe", "optuna:cmaes")]
    said = "optuna:cmaes answers at random: CMA-ES models numbers alone, and no option of this table is one."
    assert reported(searches, Terms(1, 1))["notes"].count(said) == 1
    numbers = replace(table(), space=Positions((Choice(1, 2, name="x"),) * 2))
    contenders = [Contender(search.controller) for search in searches]
    assert said not in figures(numbers, contenders, Terms(1, 1), searches, ["random"], {})["notes"]


def test_a_table_without_seconds_has_no_curve_over_them() -> None:
    assert reported([one([0.1], [1.0])], Terms(1, 1), seconds=None)["curves"]["seconds"] is None


def test_a_landscape_is_said_to_be_made_from_its_name_and_judged_in_percent() -> None:
    landscape = load("nk:3,2,1,5")
    found = figures(landscape, [Contender("random")], Terms(1, 1), [one([0.5], [50.0])], ["random"], {})
    assert found["table"] | {"optimum": 0, "result_of_the_highest_reward": 0} == {
        "name": "nk:3,2,1,5",
        "file": None,
        "sha256": None,
        "networks": 8,
        "reward": "the mean of the positions' worth",
        "result": "100 × the reward",
        "seconds": "",
        "optimum": 0,
        "result_of_the_highest_reward": 0,
    }
    assert found["conditions"] | {"ms a trial": ""} == {
        "search space and training": "nk:3,2,1,5, 8 networks, the same table for all",
        "table": "made from its name",
        "the search sees": "the mean of the positions' worth",
        "it is judged by": "100 × the reward",
        "baseline": "random search, the same seeds",
        "ms a trial": "",
    }
    assert found["about"].startswith(
        "Result of the chosen network (100 × the reward), which is the one with the highest reward (the mean of the "
        "positions' worth); the search sees nothing else."
    )


def test_the_report_has_all_that_a_repetition_needs() -> None:
    text = markdown(reported([one([0.1], [1.0], seed=seed) for seed in (5, 6)], Terms(1, 1, fail=0.05)))
    for fact in ("nas-rl", "torch", "numpy", "python", "cores", "`python -m benchmarks.compare made`", "5ha256"):
        assert fact in text
    for fact in ("made.csv", "budget 1, window 1, fail 0.05, length 1", "5 to 6", "| wall time | 1.5 s in all |"):
        assert fact in text
    assert "somewhere" not in text  # the folder is this machine's
    assert "The table's optimum is 4.0000, its highest reward is worth 3.0000." in text
