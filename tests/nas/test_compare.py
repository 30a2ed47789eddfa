from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nas.compare import SETTLED, compare
from nas.errors import UserError
from nas.ledger import Ledger, Trial
from nas.preset import PRESETS
from nas.report import markdown, write
from nas.reward import Result

BUILT_IN = {"random": "RandomSearch", "evolution": "Evolution", "optuna": "OptunaSearch", "q-learning": "QLearning"}


def trained(number: int, accuracy: float, seconds: float = 0.5) -> Trial:
    result = Result((0.1, accuracy), (2.0, 1.0), 10, 100, seconds)
    return Trial(number, (number,), f"key{number}", "a network", accuracy, result, at=number + 1.0)


def repeat(number: int, first: int = 0) -> Trial:
    return Trial(number, (first,), f"key{first}", "a network", 0.1, None, same_as=first, at=number + 1.0)


def failed(number: int, error: str = "diverged") -> Trial:
    return Trial(number, (number,), f"key{number}", "a network", None, Result(error=error), error, at=number + 1.0)


def search(
    place: Path, trials: Sequence[Trial | float], controller: str = "random", seed: int = 0, **fields: Any
) -> Path:
    """The folder of a search; a number is a child of this accuracy."""
    folder = place / f"{controller}-{seed}-{'-'.join(map(str, fields.values()))}"
    header = {
        "space": "Chain()",
        "choices": {"width": ["16", "32"]},
        "limits": {},
        "controller": BUILT_IN.get(controller, controller),
        "parameters": {},
        "data": "digits",
        "training": 1000,
        "validation": 200,
        "fingerprint": "0a1b2c",
        "recipe": {"epochs": 2, "rate": 0.2},
        "reward": "accuracy",
        "seed": seed,
        "threads": 1,
        "child_timeout": None,
        "window": 8,
        "length": 60,
    }
    with Ledger(folder) as ledger:
        ledger.begin(header | fields)
        for number, trial in enumerate(trials):
            ledger.append(trial if isinstance(trial, Trial) else trained(number, trial))
    return folder


def end(folders: Sequence[Path], **options: Any) -> Any:
    """The figures at the end of the budget."""
    return compare(folders, **options)["after"][-1]


# --- figures ---


def test_a_preset_is_called_by_its_name_and_a_controller_says_what_is_not_its_default(tmp_path: Path) -> None:
    own = search(tmp_path, [0.5], "evolution", parameters={"population": 10, "sample": 10})
    other = search(tmp_path, [0.5], "q-learning", parameters=dict(PRESETS["metaqnn"].parameters))
    found = end([search(tmp_path, [0.5]), own, other])
    assert list(found["controllers"]) == ["random", "evolution (population 10)", "metaqnn"]


def test_the_validation_accuracies_of_chosen_networks_are_compared_in_percent(tmp_path: Path) -> None:
    random = [search(tmp_path, [0.5, best, 0.6], seed=seed) for seed, best in enumerate((0.7, 0.8, 0.9))]
    better = [search(tmp_path, [0.9, 0.5, 1.0], "evolution", seed) for seed in range(3)]
    found = end([*better, *random])
    assert found["after"] == "3 evaluations"
    assert list(found["controllers"]) == ["random", "evolution"]  # random search first
    assert found["controllers"]["random"]["mean"] == pytest.approx(80)
    assert found["controllers"]["random"]["deviation"] == pytest.approx(10)
    (test,) = found["paired"]
    assert (test["controller"], test["against"]) == ("evolution", "random")
    assert test["difference"] == pytest.approx(20)  # the mean of 30, 20 and 10
    assert (test["effect"], test["p"], test["pairs"]) == (1.0, None, 3)


def test_the_reward_chooses_and_the_accuracy_is_compared(tmp_path: Path) -> None:
    liked = Trial(1, (1,), "key1", "a network", -0.1, Result((0.4,), (0.1,), 10, 100, 0.5))
    disliked = Trial(0, (0,), "key0", "a network", -0.9, Result((0.7,), (0.9,), 10, 100, 0.5))
    found = compare([search(tmp_path, [disliked, liked], reward="negative-loss")])
    assert found["after"][0]["controllers"]["random"]["results"] == [40.0]
    assert "the highest reward (negative-loss)" in found["about"]


def test_trials_count_by_their_numbers_whatever_finished_first(tmp_path: Path) -> None:
    finished = [trained(2, 0.25), trained(0, 0.5), trained(1, 0.75)]
    found = compare([search(tmp_path, finished)])
    assert found["curves"]["evaluations"]["controllers"]["random"]["mean"] == [50, 75, 75]


def test_the_curve_over_seconds_adds_up_what_children_took(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [trained(0, 0.5, 1.0), trained(1, 0.75, 3.0)])])["curves"]["seconds"]
    assert found["at"][-1] == 4.0
    steps = dict(zip(found["at"], found["controllers"]["random"]["mean"], strict=True))
    assert [steps[moment] for moment in (0.98, 1.0, 3.98, 4.0)] == [None, 50.0, 50.0, 75.0]


def test_repeats_and_failures_are_counted_and_failures_use_up_the_budget(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [0.5, repeat(1), failed(2), 0.75])])
    of = found["controllers"]["random"]
    assert (found["after"][0]["after"], of["repeats"], of["failed"]) == ("3 evaluations", 0.25, pytest.approx(1 / 3))
    assert of["wall_seconds"] == 4.0


def test_refused_networks_cost_nothing(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [0.5, failed(1, "refused: too large"), 0.75])])
    assert found["after"][-1]["after"] == "2 evaluations"
    assert found["controllers"]["random"]["repeats"] == 0.0


def test_searches_of_one_controller_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    samplers = [search(tmp_path, [0.5], "optuna", parameters={"sampler": name}) for name in ("tpe", "gp")]
    assert list(end(samplers)["controllers"]) == ["optuna (sampler tpe)", "optuna (sampler gp)"]
    own = [search(tmp_path, [0.5], "mine.Own"), search(tmp_path, [0.5])]
    assert list(end(own)["controllers"]) == ["random", "mine.Own"]


def test_all_are_tested_against_others_too(tmp_path: Path) -> None:
    folders = [search(tmp_path, [0.5], name) for name in ("random", "evolution", "optuna")]
    tests = end(folders, against=["evolution"])["paired"]
    assert {(test["controller"], test["against"]) for test in tests} == {
        ("evolution", "random"), ("optuna", "random"), ("optuna", "evolution"),
    }  # fmt: skip
    with pytest.raises(UserError, match="--against: found 'gp', expected one of random; evolution; optuna"):
        compare(folders, against=["gp"])


# --- budgets ---


def test_searches_with_unequal_budgets_are_refused_by_name(tmp_path: Path) -> None:
    short, long = search(tmp_path, [0.5, 0.75]), search(tmp_path, [0.5, repeat(1), 0.6, 0.7], "evolution")
    with pytest.raises(UserError) as error:
        compare([short, long])
    assert str(error.value) == (
        f"{short} (2): found searches with fewer different networks trained than 3, expected equal budgets; search on "
        "with --unique 3 and more --trials, or compare all by their first 2 with --budget 2"
    )


def test_a_budget_cuts_all_searches_to_their_first_networks(tmp_path: Path) -> None:
    folders = [search(tmp_path, [0.5, repeat(1), 0.6, 0.9]), search(tmp_path, [0.5, 0.75], "evolution")]
    found = compare(folders, budget=2)
    assert found["after"][0]["controllers"]["random"]["results"] == [60.0]
    assert found["controllers"]["random"]["repeats"] == pytest.approx(1 / 3)
    with pytest.raises(UserError, match=r"random-0-.* \(3\), .*evolution-0-.* \(2\): found .* than 5"):
        compare(folders, budget=5)


def test_what_came_after_an_unfinished_trial_does_not_count(tmp_path: Path) -> None:
    assert end([search(tmp_path, [trained(0, 0.5), trained(1, 0.6), trained(3, 0.9)])])["after"] == "2 evaluations"


def test_a_search_that_had_nothing_new_keeps_what_it_had_chosen(tmp_path: Path) -> None:
    settled = search(tmp_path, [0.9, *(repeat(number) for number in range(1, 1 + SETTLED))], "evolution")
    found = compare([settled, search(tmp_path, [0.5, 0.6, 0.7])])
    assert found["after"][0]["controllers"]["evolution"]["results"] == [90.0]
    assert f"{settled} ended before 3 networks, with {SETTLED} repeats in a row or more" in found["notes"][-1]
    assert found["controllers"]["evolution"]["ended"] == {"the last trials were all repeats": 1}


@pytest.mark.parametrize("trials", [[], [repeat(number) for number in range(SETTLED)]])
def test_a_search_without_a_network_cannot_be_compared(tmp_path: Path, trials: list[Trial]) -> None:
    with pytest.raises(UserError, match=r"\(0\): found searches with fewer different networks trained than 1"):
        compare([search(tmp_path, trials)])


# --- what a reader must know ---


def test_one_seed_has_no_interval_and_no_test(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [0.5]), search(tmp_path, [0.7], "evolution")])
    assert found["after"][0]["controllers"]["random"]["interval"] is found["after"][0]["paired"][0]["p"] is None
    said = "One seed: there are no deviations, intervals and tests. Search with 10 seeds or more."
    assert found["notes"] == [said]


@pytest.mark.parametrize(("seeds", "notes"), [(2, 1), (9, 1), (10, 0)])
def test_intervals_of_few_seeds_are_said_to_be_too_narrow(tmp_path: Path, seeds: int, notes: int) -> None:
    found = compare([search(tmp_path, [0.5], seed=seed) for seed in range(seeds)])
    assert len(found["notes"]) == notes
    assert all(
        note.startswith("Fewer than 10 seeds: 95 % intervals of so few are too narrow") for note in found["notes"]
    )


def test_without_random_search_nothing_is_tested_against_it(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [0.5], "evolution", seed) for seed in range(2)])
    assert found["after"][0]["paired"] == []
    assert found["notes"][1].startswith("No random search is among them, so nothing is tested against it.")


def test_seeds_that_differ_are_said_and_common_ones_are_paired(tmp_path: Path) -> None:
    random = [search(tmp_path, [0.5], seed=seed) for seed in (0, 1, 2)]
    found = compare([*random, *(search(tmp_path, [0.7], "evolution", seed) for seed in (2, 1, 7))])
    assert found["after"][0]["paired"][0]["pairs"] == 2
    assert found["notes"][1].startswith("Seeds are not the same for all: means are over each controller's own, tests")


def test_windows_that_differ_are_said(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [0.5]), search(tmp_path, [0.5], "evolution", window=1)])
    assert "The window is not the same for all searches: random 8, evolution 1." in found["notes"]


def test_what_searches_were_begun_with_is_shown_by_search_where_it_differs(tmp_path: Path) -> None:
    same: dict[str, Any] = {"cpu": "Zen", "versions": {"torch": "2.1"}}
    first = search(tmp_path, [0.5], **same, code={"nas-rl": "1.0"})
    second = search(tmp_path, [0.7], "evolution", **same, code={"nas-rl": "1.1", "commit": None})
    found = compare([first, second])
    assert found["conditions"]["cpu, of searches"] == "Zen"
    assert found["conditions"]["versions, of searches"] == "torch 2.1"
    assert found["conditions"]["gpu, of searches"] == "not recorded"
    assert found["conditions"]["code, of searches"] == f"nas-rl 1.0: {first}; nas-rl 1.1: {second}"
    assert found["notes"][-1].startswith("Not all searches were begun with the same code: seconds are not of one kind")


def test_searches_begun_with_the_same_need_no_note(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [0.5], seed=seed, cpu="Zen", gpu=None) for seed in range(10)])
    assert (found["conditions"]["gpu, of searches"], found["notes"]) == ("none", [])


@pytest.mark.parametrize(
    ("other", "found", "expected"),
    [
        ({"space": "MetaQnn()"}, "MetaQnn", "Chain"),
        ({"data": "mnist"}, "mnist", "digits"),
        ({"validation": 100}, "validation 100", "validation 200"),
        ({"fingerprint": "ffff"}, "fingerprint ffff", "fingerprint 0a1b2c"),
        ({"recipe": {"epochs": 5, "rate": 0.2}}, "recipe epochs 5", "recipe epochs 2"),
        ({"reward": "cubed"}, "reward cubed", "reward accuracy"),
        ({"child_timeout": 60}, "child timeout 60", "child timeout None"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_searches_under_other_conditions_are_refused(
    tmp_path: Path, other: dict[str, Any], found: str, expected: str
) -> None:
    first, second = search(tmp_path, [0.5]), search(tmp_path, [0.5], "evolution", **other)
    with pytest.raises(UserError) as error:
        compare([first, second])
    assert str(error.value) == (
        f"{second}: found {found}, expected {expected} as in {first}; "
        "compare searches of the same space, data, validation images, recipe and reward"
    )


def test_a_folder_given_twice_is_one_search_and_a_copy_is_an_error(tmp_path: Path) -> None:
    folder = search(tmp_path, [0.5])
    assert compare([folder, folder / ".." / folder.name])["controllers"]["random"]["seeds"] == [0]
    with pytest.raises(UserError, match=r"found the search of .* with the same seed 0"):
        compare([folder, search(tmp_path / "copy", [0.5])])


def test_the_report_has_all_that_a_repetition_needs(tmp_path: Path) -> None:
    found = compare([search(tmp_path, [0.5]), search(tmp_path, [0.7], "evolution")], command="nas compare a b")
    write(found, tmp_path / "out")
    text = (tmp_path / "out" / "comparison.md").read_text()
    assert text == markdown(found)
    for fact in ("`nas compare a b`", "epochs 2, rate 0.2", "fingerprint 0a1b2c", "200 for validation", "width 16/32"):
        assert fact in text
    assert "Validation accuracy, in percent, of the chosen network" in text
    assert "no search has touched test images" in text
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["name"] == "Chain · digits"
