from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas.errors import UserError
from nas.report import (
    Search,
    checklist,
    chosen,
    figures,
    incumbents,
    incumbents_at,
    markdown,
    moment,
    without_results,
    write,
)

NAN = float("nan")
NO_END = float("inf")
EACH = 10.0  # seconds of an evaluation


def one(
    rewards: Sequence[float], results: Sequence[float], controller: str = "random", seed: int = 0, why: str = "done"
) -> Search:
    seconds = np.full(len(rewards), EACH)
    return Search(
        controller,
        seed,
        np.array(rewards),
        np.array(results),
        seconds,
        2 * len(rewards),
        len(rewards),
        0.0005,
        0.5,
        why,
    )


def reported(searches: Sequence[Search], budget: int, references: Sequence[str] = ("random",), **options: Any) -> Any:
    names = dict.fromkeys(search.controller for search in searches)
    groups = {name: [search for search in searches if search.controller == name] for name in names}
    found = figures(groups, references, budget, **options)
    for of in found["controllers"].values():
        of["parameters"] = {}
    return found | {
        "name": "made",
        "about": "Made up.",
        "axes": {"result": "result", "seconds": "seconds"},
        "notes": [],
        "terms": {"budget": budget},
        "conditions": {"made": "up"},
        "checklist": checklist("the command", 1.5),
    }


# --- which network is chosen, and when ---


def test_the_first_of_the_highest_rewards_is_chosen() -> None:
    assert list(chosen(np.array([NAN, 0.2, 0.1, 0.2, NAN, 0.3]))) == [-1, 1, 1, 1, 1, 5]


def test_a_curve_shows_the_result_of_the_chosen_and_not_the_highest_result() -> None:
    search = one([0.1, 0.3, 0.2], [5.0, 1.0, 9.0])
    assert list(incumbents(search)) == [5.0, 1.0, 1.0]
    assert list(incumbents(search, 5)) == [5.0, 1.0, 1.0, 1.0, 1.0]
    assert list(incumbents(search, 1)) == [5.0]


def test_where_all_have_failed_nothing_is_chosen() -> None:
    assert np.isnan(incumbents(one([NAN, NAN], [1.0, 2.0]))).all()
    assert np.isnan(incumbents(one([], []), 3)).all()


def test_an_evaluation_counts_from_the_second_in_which_it_ends() -> None:
    search = one([0.1, 0.3], [5.0, 1.0])
    found = incumbents_at(search, np.array([9.0, 10.0, 19.0, 20.0, 99.0]))
    assert np.array_equal(found, [NAN, 5.0, 5.0, 1.0, 1.0], equal_nan=True)


# --- figures ---


def test_searches_are_paired_by_their_seeds_in_whatever_order_they_came() -> None:
    random = [one([0.5], [float(seed)], "random", seed) for seed in (2, 0, 1)]
    better = [one([0.5], [seed + 1.0], "evolution", seed) for seed in (1, 2, 0)]
    (end,) = reported([*random, *better], 1)["after"]
    assert end["controllers"]["random"]["results"] == [0.0, 1.0, 2.0]
    assert end["paired"][0]["interval"] == (1.0, 1.0)


def test_only_seeds_that_both_have_are_paired() -> None:
    (test,) = moment("all", {"random": {0: 1.0, 1: 5.0}, "local": {1: 7.0, 2: 0.0}}, ["random"])["paired"]
    assert (test["controller"], test["pairs"], test["difference"]) == ("local", 1, 2.0)


def test_controllers_without_a_common_seed_have_no_test() -> None:
    (test,) = moment("all", {"random": {0: 1.0}, "local": {1: 7.0}}, ["random"])["paired"]
    assert (test["pairs"], test["difference"], test["p"]) == (0, None, None)


def test_all_are_tested_against_each_reference_and_no_two_twice() -> None:
    results = {name: {0: 1.0, 1: 2.0} for name in ("random", "local", "evolution")}
    tests = moment("all", results, ["random", "local"])["paired"]
    assert [(test["controller"], test["against"]) for test in tests] == [
        ("local", "random"), ("evolution", "random"), ("evolution", "local"),
    ]  # fmt: skip


def test_results_are_given_on_the_way_to_a_budget_too() -> None:
    rewards = [number / 1000 for number in range(120)]
    found = reported([one(rewards, rewards, seed=seed) for seed in range(2)], 120)
    assert [moment["after"] for moment in found["after"]] == ["50 evaluations", "100 evaluations", "120 evaluations"]
    assert [moment["controllers"]["random"]["mean"] for moment in found["after"]] == [0.049, 0.099, 0.119]


@pytest.mark.parametrize(
    ("counts", "budget", "seconds", "networks", "after"),
    [
        ((12, 12), 12, 1500.0, NO_END, "12 evaluations"),  # the seconds would have allowed more
        ((12, 9), 12, 90.0, NO_END, "90 simulated seconds or 12 evaluations"),
        ((8, 9), 12, 90.0, NO_END, "90 simulated seconds"),
        ((8, 8), 50, NO_END, 8, "all 8 networks"),
        ((8, 6), 50, NO_END, 8, "up to 8 evaluations"),  # one had nothing new
        ((8, 6), 8, NO_END, NO_END, "8 evaluations"),  # which keeps what it had chosen
        ((60, 60), 200, NO_END, 60, "all 60 networks"),
    ],
)
def test_the_end_is_what_was_reached(
    counts: tuple[int, int], budget: int, seconds: float, networks: float, after: str
) -> None:
    searches = [one([0.1] * count, [1.0] * count, seed=seed) for seed, count in enumerate(counts)]
    assert reported(searches, budget, seconds=seconds, networks=networks)["after"][-1]["after"] == after


def test_a_budget_of_seconds_compares_evaluations_that_all_have_reached() -> None:
    short, long = ([number / 1000 for number in range(count)] for count in (60, 110))
    found = reported([one(short, short), one(long, long, seed=1)], 1000, seconds=1100.0)
    assert [moment["after"] for moment in found["after"]] == ["50 evaluations", "1,100 simulated seconds"]
    assert len(found["curves"]["evaluations"]["at"]) == 60
    assert found["curves"]["seconds"]["at"][-1] == 1100.0


def test_on_the_way_is_before_the_end() -> None:
    found = reported([one([0.1] * 60, [1.0] * 60)], 200, networks=60)
    assert [moment["after"] for moment in found["after"]] == ["50 evaluations", "all 60 networks"]


def test_a_curve_has_its_mean_and_band_at_each_evaluation() -> None:
    found = reported([one([0.1, 0.2], [1.0, 2.0]), one([0.1, 0.2], [3.0, 6.0], seed=1)], 2)
    assert found["curves"]["evaluations"] == {
        "at": [1, 2],
        "controllers": {"random": {"mean": [2.0, 4.0], "low": [1.0, 2.0], "high": [3.0, 6.0]}},
    }
    assert found["curves"]["seconds"]["controllers"]["random"]["mean"][0] is None  # nothing has ended yet
    assert found["curves"]["seconds"]["controllers"]["random"]["mean"][-1] == 4.0


def test_without_an_optimum_there_is_no_regret() -> None:
    (end,) = reported([one([0.1], [1.0])], 1)["after"]
    assert end["controllers"]["random"]["regret"] is end["controllers"]["random"]["optimum_found"] is None


def test_the_costs_of_searching_are_reported() -> None:
    of = reported([one([0.1, NAN], [1.0, 2.0]), one([0.1, 0.2], [1.0, 2.0], seed=1)], 2)["controllers"]["random"]
    assert of == {
        "seeds": [0, 1],
        "parameters": {},
        "repeats": 0.5,  # two of four trials
        "failed": 0.25,
        "evaluations": 2.0,
        "seconds": 20.0,
        "ms_a_trial": pytest.approx(0.5),
        "wall_seconds": 1.0,
        "ended": {"done": 2},
    }


def test_evaluations_that_do_not_count_are_no_repeats() -> None:
    cut = one([0.1], [1.0])._replace(trials=10, repeats=1)  # by a limit on seconds, with a window
    assert reported([cut], 1)["controllers"]["random"]["repeats"] == 0.1


def test_searches_without_an_evaluation_have_no_shares_and_are_counted() -> None:
    none = [one([], [], seed=seed)._replace(trials=1) for seed in range(2)]
    found = reported([*none, one([0.1], [1.0], seed=2)], 1, seconds=5.0)
    assert found["controllers"]["random"]["evaluations"] == pytest.approx(1 / 3)
    assert reported(none, 1, seconds=5.0)["controllers"]["random"]["failed"] is None
    assert without_results({"random": none}) == [
        "random has no result for 2 of 2 seeds, where no evaluation succeeded.",
        "2 of 2 searches ended before their first evaluation.",
    ]


def test_searches_that_all_found_something_need_no_note() -> None:
    assert without_results({"random": [one([NAN, 0.1], [1.0, 2.0])]}) == []


# --- text and files ---


def test_nothing_is_minus_zero() -> None:
    assert "| 0.000 |" in markdown(reported([one([0.1], [2.0001])], 1, optimum=2.0))


def test_one_is_not_several() -> None:
    assert reported([one([0.1], [1.0])], 1, networks=1)["after"][0]["after"] == "the only network"
    assert reported([one([0.1], [1.0])], 1)["after"][0]["after"] == "1 evaluation"


def test_what_nobody_knows_has_no_column() -> None:
    known = one([0.1], [1.0])
    unknown = known._replace(seconds=np.array([NAN]), thinking=NAN)
    assert "| seconds | ms a trial |" in markdown(reported([known], 1, optimum=2.0))
    assert "| regret | found the optimum |" in markdown(reported([known], 1, optimum=2.0))
    text = markdown(reported([unknown], 1, timed=False))
    assert not any(head in text for head in ("| seconds |", "ms a trial", "regret", "optimum"))


def test_seeds_are_told_apart_where_they_differ() -> None:
    searches = [one([0.1], [1.0], seed=seed) for seed in (0, 1, 2)] + [one([0.1], [1.0], "local", 4)]
    text = markdown(reported(searches, 1))
    assert "Mean over 1 to 3 seeds" in text
    assert "| seeds | random: 0 to 2; local: 4 |" in text


def test_the_terminal_shows_no_checklist() -> None:
    found = reported([one([0.1], [1.0])], 1)
    assert "To repeat it" in markdown(found)
    assert "To repeat it" not in markdown(found, checklist=False)


def test_small_p_values_keep_their_digits() -> None:
    random = [one([0.5], [float(seed)], "random", seed) for seed in range(15)]
    better = [one([0.5], [2.0 * seed + 1], "evolution", seed) for seed in range(15)]
    assert "| +1.00 | 6.1e-05 | 15 |" in markdown(reported([*random, *better], 1))  # 2 / 2^15


def test_equal_pairs_are_no_evidence_and_are_counted_apart() -> None:
    found = [1.0] * 5 + [0.0] * 3
    searches = [one([0.5] * 60, [value] * 60, "local", seed) for seed, value in enumerate(found)]
    text = markdown(reported([*searches, *(one([0.5] * 60, [0.0] * 60, "random", seed) for seed in range(8))], 60))
    assert "| +1.00 | – | 8, 5 unequal |" in text
    assert text.count("Equal pairs are left out of it, and of the rank-biserial correlation.") == 1


def test_what_p_is_is_said_once_and_why_there_is_none() -> None:
    def text(seeds: int) -> str:
        names = ("random", "local", "evolution")
        searches = [
            one([0.5] * 60, [place + 1.0] * 60, name, s) for place, name in enumerate(names) for s in range(seeds)
        ]
        return markdown(reported(searches, 60))

    assert text(6).count("p is two-sided and not corrected for the number of tests.") == 1
    assert "| +1.00 | 0.031 | 6 |" in text(6)  # 2 / 2^6
    assert "fewer than 6 unequal pairs" not in text(6)
    assert "Equal pairs" not in text(6)
    assert "| +1.00 | – | 5 |" in text(5)
    assert (
        text(5).count("With fewer than 6 unequal pairs there is none: even the smallest possible is above 0.05.") == 1
    )
    assert "| – | – | 1 |" in text(1)
    assert "two-sided" not in markdown(reported([one([0.5], [1.0])], 1))


def test_a_command_cannot_break_the_table() -> None:
    found = reported([one([0.1], [1.0])], 1)
    assert r"| `compare 'a\|b'` |" in markdown(found | {"checklist": checklist("compare 'a|b'", 1.0)})


@pytest.mark.parametrize("optimum", [2.0, None])
@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("rewards", [[0.1, 0.5, 0.3], [NAN, NAN, NAN], [0.1], []])
def test_three_files_are_written(tmp_path: Path, rewards: list[float], timed: bool, optimum: float | None) -> None:
    found = reported([one(rewards, rewards, seed=s) for s in range(2)], len(rewards), timed=timed, optimum=optimum)
    write(found, tmp_path / "new" / "folder")
    picture, text, numbers = (tmp_path / "new" / "folder" / f"comparison.{s}" for s in ("png", "md", "json"))
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert text.read_text() == markdown(found)
    assert json.loads(numbers.read_text())["name"] == "made"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: found File exists, expected a folder that can be written to; choose"):
        write(reported([one([0.1], [1.0])], 1), tmp_path / "file")
