from __future__ import annotations

import random
import re
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from nas.blocks import Block
from nas.data import native
from nas.errors import UserError
from nas.ledger import Ledger, Trial
from nas.network import Network
from nas.plot import (
    ADVANTAGE,
    SPREAD,
    aligned,
    band,
    band_captions,
    best_so_far,
    by_number,
    curves_of_health,
    grouped,
    labels,
    panels_of,
    plot,
    running_mean,
    title,
    window_of,
)
from nas.recipe import RECIPES
from nas.reward import Result
from nas.space import Choice, Pick, Space
from search_spaces.chain import Chain

NAN = float("nan")


def header(**fields: Any) -> dict[str, Any]:
    return {
        "space": "Chain()",
        "choices": {"width": ["16", "32"]},
        "controller": "Reinforce",
        "parameters": {},
        "data": "digits",
        "training": 1000,
        "validation": 200,
        "fingerprint": "0a1b2c",
        "recipe": {"epochs": 1, "rate": 0.2},
        "reward": "accuracy",
        "seed": 0,
        "threads": 1,
        "child_timeout": None,
        "window": 8,
        "length": 60,
    } | fields


def trained(number: int, reward: float) -> Trial:
    return Trial(number, (number,), f"key{number}", "a network", reward, Result((reward,), (1.0,), 10, 100, 0.5))


def repeat(number: int, first: int, reward: float) -> Trial:
    return Trial(number, (first,), f"key{first}", "a network", reward, None, same_as=first)


def failed(number: int, error: str = "diverged") -> Trial:
    return Trial(number, (number,), f"key{number}", "a network", None, Result(error=error), error)


def realistic(trials: int, seed: int) -> list[Trial]:
    """Rising rewards; every ninth trial fails, every seventh repeats one; neighbours finish in the other order."""
    rng = random.Random(seed)
    done: list[Trial] = []
    for number in range(trials):
        known = [trial for trial in done if trial.result and trial.reward is not None]
        if number % 9 == 4:
            done.append(failed(number))
        elif number % 7 == 6:
            first = rng.choice(known)
            done.append(repeat(number, first.trial, first.reward or 0.0))
        else:
            done.append(trained(number, round(min(0.98, 0.5 + 0.006 * number + rng.gauss(0, 0.08)), 3)))
    return [done[number ^ 1] if number ^ 1 < trials else done[number] for number in range(trials)]


def search(folder: Path, trials: list[Trial] | None = None, **fields: Any) -> Path:
    """The folder of a finished search with this header, of 60 realistic trials unless they are given."""
    with Ledger(folder) as ledger:
        ledger.begin(header(**fields))
        for trial in realistic(60, fields.get("seed", 0)) if trials is None else trials:
            ledger.append(trial)
    return folder


def one_of(name: str, trials: list[Trial] | None = None, **fields: Any) -> tuple[Path, dict[str, Any], list[Trial]]:
    return Path(name), header(**fields), trials or []


# --- numbers ---


def test_rewards_stand_by_their_trial_whatever_finished_first() -> None:
    assert by_number([trained(2, 0.5), failed(1), trained(0, 0.25)]) == [0.25, None, 0.5]


def test_a_trial_that_has_not_finished_has_no_reward() -> None:
    assert by_number([trained(0, 0.25), trained(3, 0.5)]) == [0.25, None, None, 0.5]


def test_a_search_without_trials_has_no_rewards() -> None:
    assert by_number([]) == []


def test_the_running_mean_is_over_the_last_trials_and_at_first_over_fewer() -> None:
    # 1/1, (1+2)/2, (2+6)/2, (6+0)/2
    assert running_mean([1, 2, 6, 0], window=2).tolist() == [1, 1.5, 4, 3]


def test_failed_trials_count_for_the_window_of_the_running_mean_and_not_for_the_mean() -> None:
    # nothing; 2; (2+4)/2; 4, for the window has left 2; 4; nothing
    means = running_mean([None, 2, 4, None, None, None], window=3)
    np.testing.assert_array_equal(means, [NAN, 2, 3, 3, 4, NAN])


def test_the_window_is_a_tenth_of_the_trials_and_ten_at_least() -> None:
    assert [window_of(trials) for trials in (1, 60, 109, 110, 2000)] == [10, 10, 10, 11, 200]


def test_the_best_so_far_never_falls_and_skips_failed_trials() -> None:
    np.testing.assert_array_equal(best_so_far([None, 0.25, 0.5, None, 0.375]), [NAN, 0.25, 0.5, 0.5, 0.5])


def test_the_best_so_far_of_negative_rewards_is_the_one_nearest_to_zero() -> None:
    assert best_so_far([-2.0, -1.0, -3.0]).tolist() == [-2, -1, -1]


def test_the_band_of_four_seeds_is_from_the_lowest_to_the_highest() -> None:
    low, high = band(np.array([[1.0, 8.0], [2.0, 7.0], [3.0, 6.0], [4.0, 5.0]]))
    assert (low.tolist(), high.tolist()) == ([1, 5], [4, 8])


def test_the_band_of_five_seeds_is_from_the_10_to_the_90_per_cent_quantile() -> None:
    low, high = band(np.array([[0.0], [10.0], [20.0], [30.0], [40.0]]))  # 10 % of the way through four gaps of 10: 4
    assert (low.tolist(), high.tolist()) == ([4], [36])


@pytest.mark.parametrize("seeds", [4, 5])
def test_the_band_has_a_gap_where_a_seed_has_no_value(seeds: int) -> None:
    curves = np.ones((seeds, 2))
    curves[0, 0] = NAN
    low, high = band(curves)
    np.testing.assert_array_equal([low, high], [[NAN, 1], [NAN, 1]])


def test_the_legend_says_which_band_it_is() -> None:
    assert band_captions([1, 1]) == []
    assert band_captions([1, 2]) == ["lowest to highest seed"]
    assert band_captions([5, 1]) == ["10–90 % of the seeds"]
    assert band_captions([4, 5]) == ["lowest to highest seed (10–90 % of 5 or more)"]


# --- groups and what they are called ---


def test_searches_that_differ_in_the_seed_alone_are_one_group() -> None:
    a, b = one_of("a", seed=0), one_of("b", seed=1)
    other, longer = one_of("c", controller="Evolution"), one_of("d", length=99)
    assert grouped([a, other, b, longer]) == [[a, b], [other], [longer]]


def test_a_search_and_its_copy_are_not_two_seeds() -> None:
    with pytest.raises(UserError, match=r"^b: found the search of a with the same seed 3, expected .* leave one out$"):
        grouped([one_of("a", seed=3), one_of("b", seed=3)])


def test_a_group_goes_as_far_as_all_its_seeds() -> None:
    long = one_of("a", [trained(0, 0.1), trained(1, 0.2), trained(2, 0.3)])
    short = one_of("b", [trained(1, 0.5), trained(0, 0.4)])
    assert aligned([long, short]) == [[0.1, 0.2], [0.4, 0.5]]


def test_labels_say_only_what_differs() -> None:
    assert labels([header(), header(controller="Evolution")]) == ["Reinforce", "Evolution"]
    assert labels([header(seed=0), header(seed=1, window=16)]) == ["window 8", "window 16"]
    assert labels([header(child_timeout=9), header()]) == ["child timeout 9", "child timeout None"]


def test_labels_name_a_parameter_of_the_controller_plainly_and_other_fields_with_where_they_are() -> None:
    faster = {"epochs": 1, "rate": 0.4}
    headers = [header(parameters={"rate": 0.01}), header(parameters={"rate": 0.02}, recipe=faster)]
    assert labels(headers) == ["rate 0.01, recipe rate 0.2", "rate 0.02, recipe rate 0.4"]


def test_labels_call_a_group_without_the_parameters_of_the_others_defaults() -> None:
    assert labels([header(), header(parameters={"rate": 0.01})]) == ["defaults", "rate 0.01"]


def test_labels_name_recipes_that_differ_in_much() -> None:
    far, near = (asdict(RECIPES[name]) | {"epochs": 3} for name in ("metaqnn", "quick"))
    assert labels([header(recipe=far), header(recipe=near)]) == ["recipe metaqnn:epochs=3", "recipe quick:epochs=3"]


def test_labels_leave_out_a_parameter_that_only_one_of_the_controllers_has_unless_it_differs_there() -> None:
    tables = header(controller="QLearning", parameters={"discount": 1.0})
    headers = [tables, header(parameters={"rate": 0.1, "decay": 0.9}), header(parameters={"rate": 0.2, "decay": 0.9})]
    assert labels(headers) == ["QLearning", "Reinforce, rate 0.1", "Reinforce, rate 0.2"]


def test_labels_leave_out_what_follows_from_the_space_or_the_data() -> None:
    other = header(space="MetaQnn(depth=9)", choices={"layer": ["conv"]}, data="mnist", fingerprint="ffff")
    assert labels([header(), other]) == ["Chain, digits", "MetaQnn(depth=9), mnist"]
    assert labels([header(), header(fingerprint="ffff")]) == ["fingerprint 0a1b2c", "fingerprint ffff"]


def test_labels_name_code_of_ones_own_only_where_nothing_else_differs_and_without_checksums() -> None:
    old, new, third = ({"sources": {"mine.Small.build": check, "mine.gate": check}} for check in ("0a", "0b", "0c"))
    assert labels([header(space="Small()", **old), header(space="Wide()", **new)]) == ["Small", "Wide"]
    assert labels([header(reward="mine.good", **old), header()]) == ["reward mine.good", "reward accuracy"]
    assert labels([header(**old), header(**new), header(**third)]) == ["defaults", "other code", "other code 2"]
    both = [header(**old), header(controller="Evolution", **old), header(controller="Evolution", **new)]
    assert labels(both) == ["Reinforce", "Evolution", "Evolution, other code"]


def test_what_a_search_was_begun_with_tells_no_groups_apart() -> None:
    assert labels([header(cpu="one"), header(cpu="another", versions={"torch": "2"})]) == ["defaults", "defaults"]
    one, other = one_of("a", seed=0, cpu="one"), one_of("b", seed=1, cpu="another")
    assert grouped([one, other]) == [[one, other]]


def test_labels_stay_short() -> None:
    far = header(data="folder:" + "long/" * 100, space=f"Space({'x' * 100})", controller="C" * 100)
    assert all(len(label) < 210 for label in labels([header(), far]))


def test_the_title_says_what_all_searches_share() -> None:
    assert title([header(seed=7)]) == "Chain · Reinforce · digits · seed 7"
    assert title([header(), header(controller="Evolution", seed=1)]) == "Chain · digits"


# --- pictures ---


def test_rewards_of_one_search_become_a_picture_of_900_by_500_at_twice_the_density(tmp_path: Path) -> None:
    plot([search(tmp_path / "a")], tmp_path / "reward.png", "rewards")
    with Image.open(tmp_path / "reward.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1800, 1000))


def test_several_searches_become_one_picture(tmp_path: Path) -> None:
    kinds = [("Reinforce", 5, 60), ("Evolution", 2, 40), ("RandomSearch", 1, 60)]
    folders = [
        search(tmp_path / f"{kind}{seed}", realistic(trials + seed, seed), controller=kind, seed=seed)
        for kind, seeds, trials in kinds
        for seed in range(seeds)
    ]
    plot(folders, tmp_path / "reward.png")
    with Image.open(tmp_path / "reward.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(picture.width * picture.height) or []}
    assert {(0, 114, 178), (213, 94, 0), (0, 158, 115)} <= colours  # one each


def test_the_same_ledgers_give_the_same_bytes(tmp_path: Path) -> None:
    folders = [search(tmp_path / str(seed), seed=seed) for seed in range(2)]
    for name in ("one.png", "two.png"):
        plot(folders, tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.parametrize(("name", "magic"), [("a.PNG", b"\x89PNG"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")])
def test_the_suffix_chooses_the_format(tmp_path: Path, name: str, magic: bytes) -> None:
    plot([search(tmp_path / "run", [trained(0, 0.5)])], tmp_path / "new" / name)
    assert (tmp_path / "new" / name).read_bytes().startswith(magic)


def test_nothing_but_the_picture_is_left(tmp_path: Path) -> None:
    plot([search(tmp_path / "run", [trained(0, 0.5)])], tmp_path / "new" / "reward.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["reward.png"]


def test_a_folder_given_twice_is_one_search(tmp_path: Path) -> None:
    folder = search(tmp_path / "run", [trained(0, 0.5), trained(1, 0.25)])
    plot([folder], tmp_path / "once.png")
    plot([folder, tmp_path / "run" / ".." / "run"], tmp_path / "twice.png")
    assert (tmp_path / "once.png").read_bytes() == (tmp_path / "twice.png").read_bytes()


def test_names_are_shown_as_they_are_and_never_read_as_formulas(tmp_path: Path) -> None:
    odd = [search(tmp_path / name, [trained(0, 0.5)], controller=name, data="npz:$\\x$") for name in ("_A", "$_{$")]
    plot(odd, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()  # which names in comments what it draws as outlines
    assert all(f"<!-- {said} -->" in text for said in ("Chain · npz:$\\x$ · seed 0", "_A (1 seed)", "$_{$ (1 seed)"))


def test_more_groups_than_colours_are_told_apart_by_marks(tmp_path: Path) -> None:
    trials = [trained(0, 0.5), trained(1, 0.25)]
    plot([search(tmp_path / str(n), trials, parameters={"rate": n}) for n in range(9)], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().count("rate 8 (1 seed)") == 1


def test_seeds_that_all_failed_as_far_as_they_go_leave_no_curve_and_no_warning(tmp_path: Path) -> None:
    late = search(tmp_path / "a", [failed(0), trained(1, 0.5)], seed=0)
    plot([late, search(tmp_path / "b", [trained(0, 0.5)], seed=1)], tmp_path / "a.png")


def test_importing_the_module_does_not_import_matplotlib_and_drawing_does_not_import_pyplot(tmp_path: Path) -> None:
    folder = search(tmp_path / "run", [trained(0, 0.5)])
    code = (
        "import sys; from pathlib import Path; from nas.plot import plot; assert 'matplotlib' not in sys.modules; "
        f"plot([Path({str(folder)!r})], Path({str(tmp_path / 'a.png')!r})); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


# --- health ---

LABELS = ("reward (accuracy)", "share", "spread", "advantage")


def said(folders: list[Path], what: str = "", space: Space | None = None) -> list[str]:
    """All that a picture says in words; matplotlib names in comments what it draws as outlines."""
    plot(folders, folders[0] / "a.svg", what, space)
    return re.findall("<!-- (.*) -->", (folders[0] / "a.svg").read_text())


def collapsed(trials: int = 100) -> list[Trial]:
    return [trained(0, 0.5), *(repeat(number, 0, 0.5) for number in range(1, trials))]


class Widths(Space):
    """Of the network that each trial here trains: the answers are its number alone."""

    width = Choice(*range(80))

    def build(self, pick: Pick) -> Network:
        return Network(8, (Block("identity", pick(self.width)),))


def test_one_search_is_drawn_with_its_health_below(tmp_path: Path) -> None:
    words = said([search(tmp_path / "a")])
    assert {"share", "spread", "reward (accuracy)", "repeats among the last 100", "best so far"} <= set(words)
    assert "(advantage over random sampling: shown from 50 networks on, where the space can be built again)" in words


@pytest.mark.parametrize(
    ("what", "shown"), [("", LABELS), ("rewards", LABELS[:1]), ("health", LABELS[1:])], ids=["", "rewards", "health"]
)
def test_what_chooses_the_panels(tmp_path: Path, what: str, shown: tuple[str, ...]) -> None:
    words = said([search(tmp_path / "a", realistic(80, 0))], what, Widths())
    assert [label for label in LABELS if label in words] == list(shown)


def test_several_searches_are_drawn_with_their_rewards_unless_health_is_asked_for(tmp_path: Path) -> None:
    folders = [search(tmp_path / str(seed), seed=seed) for seed in range(2)]
    assert "best so far" in said(folders)
    words = said(folders, "health")
    assert "best so far" not in words
    assert "lowest to highest seed" in words


def test_health_has_one_curve_a_group_that_knows_the_measure(tmp_path: Path) -> None:
    telling = [replace(one, figures={"entropy": 0.5}) for one in realistic(60, 0)]
    folders = [search(tmp_path / "a", telling), search(tmp_path / "b", controller="RandomSearch")]
    words = said(folders, "health")
    assert {"entropy", "Reinforce (1 seed)", "RandomSearch (1 seed)"} <= set(words)


def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path) -> None:
    assert any(
        line.startswith("The controller has collapsed to 1 network")
        for line in said([search(tmp_path / "a", collapsed())])
    )
    assert not any(line.startswith("The controller") for line in said([search(tmp_path / "b")]))


def test_of_several_searches_it_is_said_how_many_have_it(tmp_path: Path) -> None:
    folders = [search(tmp_path / str(seed), collapsed(), seed=seed) for seed in range(2)]
    folders.append(search(tmp_path / "2", seed=2))
    assert "2 of 3 collapsed to a few networks" in said(folders, "health")
    other = search(tmp_path / "other", collapsed(), controller="Evolution")
    words = said([*folders, other], "health")
    assert {"Reinforce: 2 of 3 collapsed to a few networks", "Evolution: collapsed to a few networks"} <= set(words)


def test_curves_of_health_stand_at_the_numbers_of_their_trials() -> None:
    curves = curves_of_health([trained(3, 0.5), repeat(1, 3, 0.5), failed(0)], None)
    np.testing.assert_array_equal(curves["repeats among the last 100"], [0, 0.5, NAN, 1 / 3])


def test_panels_have_what_controllers_say_between_repeats_and_spread() -> None:
    one, other = ["repeats", "entropy", SPREAD, ADVANTAGE], ["repeats", "epsilon", SPREAD]
    nothing = np.zeros(0)
    curves = [dict.fromkeys(names, nothing) for names in (other, one)]
    assert panels_of(curves) == ["repeats", "epsilon", "entropy", SPREAD, ADVANTAGE]


def test_a_search_of_one_trial_has_a_picture(tmp_path: Path) -> None:
    for what in ("", "health"):
        plot([search(tmp_path / f"run {what}", [trained(0, 0.5)])], tmp_path / "a.png", what)


def test_the_advantage_is_drawn_where_a_built_in_space_builds_what_was_recorded(tmp_path: Path) -> None:
    space = Chain().on(native("digits"))
    candidates = [space.sample(random.Random(number)) for number in range(55)]
    trials = [
        replace(trained(number, number / 55), answers=candidate.answers, key=candidate.key)
        for number, candidate in enumerate(candidates)
    ]
    choices = {name: [repr(option) for option in choice.options] for name, choice in space.choices.items()}
    assert "advantage" in said([search(tmp_path / "a", trials, choices=choices)])
    other = [replace(one, key="of other code") for one in trials]
    assert "advantage" not in said([search(tmp_path / "b", other, choices=choices)])


# --- cost ---


def costing(number: int, accuracy: float, params: int, latency: float | None = None) -> Trial:
    measured = () if latency is None else (latency, latency, latency)
    result = Result((accuracy,), (1.0,), params, 10 * params, 0.5, latency_ms=measured)
    return Trial(number, (number,), f"key{number}", "a network", accuracy, result)


FEW = [costing(0, 0.9, 500, 2.0), costing(1, 0.89, 100, 3.0), costing(2, 0.5, 50, 1.0), costing(3, 0.4, 600, 5.0)]


def said_of_costs(folders: list[Path], cost: str = "madds") -> list[str]:
    plot(folders, folders[0] / "a.svg", "pareto", cost=cost)
    return re.findall("<!-- (.*) -->", (folders[0] / "a.svg").read_text())


def test_accuracy_against_a_cost_has_the_front_the_best_and_the_smallest_as_good(tmp_path: Path) -> None:
    words = said_of_costs([search(tmp_path / "a", FEW)])
    assert {
        "validation accuracy",
        "multiply-adds",
        "network (4)",
        "Pareto front (3)",
        "highest reward (trial 0)",
    } <= set(words)
    assert "fewest parameters above that line (trial 1)" in words  # 0.9 - sqrt(0.9 · 0.1 / 200) = 0.879
    words = said_of_costs([tmp_path / "a"], "latency")
    assert {"ms an image (latency)", "Pareto front (2)"} <= set(words)


def test_several_searches_have_a_front_each_and_the_seeds_of_one_share_it(tmp_path: Path) -> None:
    folders = [search(tmp_path / str(seed), FEW[seed : seed + 2], seed=seed) for seed in range(2)]
    folders.append(search(tmp_path / "other", FEW, controller="Evolution", reward="cubed"))
    words = said_of_costs(folders)
    assert "Reinforce, reward accuracy (2 seeds): 3 of 4 on its Pareto front" in words
    assert "Evolution, reward cubed (1 seed): 3 of 4 on its Pareto front" in words


def test_a_search_that_lacks_the_cost_is_told_so(tmp_path: Path) -> None:
    folder = search(tmp_path / "a", [trained(0, 0.5)])
    said = "a: found no network with ms an image .latency., expected one at least; measure it in another search, with"
    with pytest.raises(UserError, match=said):
        said_of_costs([folder], "latency")
    nothing = replace(trained(0, 0.5), result=Result((0.5,), (1.0,)))
    with pytest.raises(UserError, match=r"found no network with multiply-adds \(madds\), .*; name another --cost"):
        said_of_costs([search(tmp_path / "b", [nothing])])


# --- what a user can mend ---


def test_a_picture_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"--what: found 'reward'; did you mean rewards\?, expected rewards, health or pareto; leave"
    ):
        plot([search(tmp_path / "a")], tmp_path / "a.png", "reward")


@pytest.mark.parametrize("name", ["reward.jpeg", "reward"])
def test_an_unknown_suffix_is_refused_with_those_possible(tmp_path: Path, name: str) -> None:
    suffix = Path(name).suffix
    with pytest.raises(UserError) as error:
        plot([tmp_path / "not read"], tmp_path / name)
    assert str(error.value) == (
        f"{tmp_path / name}: found the suffix {suffix!r}, expected one of .png, .svg, .pdf; "
        "name the picture reward.png, for example"
    )


def test_rewards_of_two_kinds_cannot_share_an_axis(tmp_path: Path) -> None:
    a, b = search(tmp_path / "a", [trained(0, 0.5)]), search(tmp_path / "b", [trained(0, 0.5)], reward="cubed")
    with pytest.raises(UserError) as error:
        plot([a, b], tmp_path / "a.png")
    assert str(error.value) == (
        f"{b}: found the reward cubed, expected accuracy as in {a}; they cannot share an axis: plot them apart"
    )


@pytest.mark.parametrize(
    ("trials", "mend"),
    [
        ([], "give it more time, or go on with its own command if it was stopped"),
        ([failed(0), failed(1)], 'the last error is "diverged": mend what fails'),
        ([failed(0, "time limit: 1 s were allowed")], 'the last error is "time limit: .*": raise --child-timeout'),
    ],
)
def test_a_search_without_a_reward_has_nothing_to_show_but_its_last_error_and_what_to_do(
    tmp_path: Path, trials: list[Trial], mend: str
) -> None:
    folders = [search(tmp_path / "a", [trained(0, 0.5)]), search(tmp_path / "b", trials, seed=1)]
    found = f"b: found no reward in {len(trials)} finished trials, expected one at least; {mend}"
    with pytest.raises(UserError, match=found):
        plot(folders, tmp_path / "a.png")


def test_a_folder_without_a_search_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no ledger\.jsonl"):
        plot([tmp_path], tmp_path / "a.png")


def test_a_place_that_cannot_be_written_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "new" / "a.png").mkdir(parents=True)
    with pytest.raises(UserError, match=r"a\.png: found Is a directory, expected a picture .* choose another --out$"):
        plot([search(tmp_path / "run", [trained(0, 0.5)])], tmp_path / "new" / "a.png")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
