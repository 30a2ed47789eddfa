"""Presets: what the papers say is what is there, each stands for options that can be typed, and each searches."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest

from nas import names
from nas.data import load
from nas.pool import Serial
from nas.preset import PRESETS, Preset
from nas.recipe import RECIPES
from nas.reward import accuracy, cubed
from nas.search import search
from nas.space import Choice, Limit, Space
from search_spaces.chain import Chain
from search_spaces.metaqnn import MetaQnn
from search_spaces.zoph import Zoph

GROWING = Preset(limits={"depth": Limit(6, 2, 1600)}, length=12_800)


class Lettered(Space):
    depth = Choice("shallow", "deep")


def test_the_presets_have_names_to_type() -> None:
    assert list(PRESETS) == ["zoph2017", "metaqnn", "nasbench201-reinforce"]


def test_zoph2017_is_sections_3_2_and_4_1() -> None:
    preset = PRESETS["zoph2017"]
    kind, _ = names.controller(preset.controller)
    assert kind.__name__ == "Reinforce"
    assert preset.parameters.items() >= {"rate": 0.0006, "batch": 8, "hidden": 35, "layers": 2}.items()
    assert (names.recipe(preset.recipe).epochs, names.reward(preset.reward)) == (50, cubed)
    assert (preset.limits, preset.length) == ({"depth": Limit(6, 2, 1600)}, 12_800)


def test_metaqnn_is_sections_4_and_5() -> None:
    preset = PRESETS["metaqnn"]
    kind, _ = names.controller(preset.controller)
    assert kind.__name__ == "QLearning"
    assert preset.parameters.items() >= {"rate": 0.01, "discount": 1, "initial": 0.5, "replays": 100}.items()
    assert (preset.parameters["trace"], preset.parameters["schedule"]) == (0, "metaqnn")
    assert (names.recipe(preset.recipe), names.reward(preset.reward)) == (RECIPES["metaqnn"], accuracy)
    assert preset.limits == {}


def test_nasbench201_reinforce_is_that_of_the_released_code() -> None:
    preset = PRESETS["nasbench201-reinforce"]
    assert preset.parameters.items() >= {"rate": 0.001, "batch": 1, "layers": 0, "decay": 0.9}.items()
    assert (names.recipe(preset.recipe).epochs, names.reward(preset.reward)) == (12, accuracy)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_leaves_no_parameter_to_the_controllers_defaults(name: str) -> None:
    preset = PRESETS[name]
    kind, _ = names.controller(preset.controller)
    assert set(preset.parameters) == set(names.parameters(kind, beside=3))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_stands_for_options_that_mean_the_same(name: str) -> None:
    preset = PRESETS[name]
    words = shlex.split(preset.options())
    given = [(words[i].removeprefix("--"), words[i + 1]) for i in range(0, len(words), 2)]
    one = dict(given)
    settings = [value for option, value in given if option == "set"]
    assert names.controller(one["controller"], settings)[1] == preset.parameters
    assert (one["recipe"], one["reward"]) == (preset.recipe, preset.reward)
    assert names.limits(value for option, value in given if option == "limit") == preset.limits


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_what_it_follows_and_where_it_departs(name: str) -> None:
    assert re.match(r"Follows .*ICLR \d{4}", PRESETS[name].about)
    assert "\nDeparts from it" in PRESETS[name].about


def test_without_a_preset_a_search_has_its_own_defaults() -> None:
    parameters = inspect.signature(search).parameters
    assert names.recipe(Preset().recipe) == parameters["recipe"].default
    assert names.reward(Preset().reward) == parameters["reward"].default
    assert (Preset().limits, Preset().parameters) == ({}, {})


@pytest.mark.parametrize(
    ("length", "every"),
    [
        (12_800, 1600),  # as in the paper
        (200, 25),  # 8 times in the whole search, as 1,600 in 12,800
        (25_600, 3200),
        (6, 1),  # 0.75, but never less than a trial
    ],
)
def test_limits_are_scaled_to_the_length_of_the_search(length: int, every: int) -> None:
    assert GROWING.limits_of(Zoph(), length) == {"depth": Limit(6, 2, every)}


@pytest.mark.parametrize(("space", "limited"), [(Zoph(), 1), (Chain(), 1), (MetaQnn(), 0), (Lettered(), 0)], ids=repr)
def test_only_a_choice_of_numbers_is_limited(space: Space, limited: int) -> None:
    assert len(GROWING.limits_of(space, 12_800)) == limited


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_searches(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    space = Zoph()
    limits = preset.limits_of(space, 6)
    coming = search(
        space, names.controller(preset.controller)[0], load("digits", images=100), tmp_path,
        trials=6, parameters=preset.parameters, recipe=names.recipe(preset.recipe, epochs=1),
        reward=names.reward(preset.reward), limits=limits, window=2, device="cpu", pool=Serial,
    )  # fmt: skip
    trials = list(coming)
    assert [trial.error for trial in trials] == [None] * 6
    depths = {trial.trial: space.depth.options[trial.answers[0]] for trial in trials}
    assert all(depths[trial] <= limit.at(trial) for limit in limits.values() for trial in range(6))
