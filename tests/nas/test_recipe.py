"""Recipes: what the papers say is what is there."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from nas.errors import UserError
from nas.recipe import RECIPES, Recipe


def test_the_recipes_have_names_to_type() -> None:
    assert list(RECIPES) == ["quick", "zoph2017", "metaqnn", "nasbench201"]


def test_zoph2017_is_section_4_1() -> None:
    recipe = RECIPES["zoph2017"]
    assert (recipe.epochs, recipe.optimizer, recipe.momentum, recipe.rate, recipe.decay) == (50, "sgd", 0.9, 0.1, 1e-4)
    assert (recipe.schedule, recipe.crop, recipe.flip) == ("constant", 4, True)


def test_metaqnn_is_section_5_1() -> None:
    recipe = RECIPES["metaqnn"]
    assert (recipe.epochs, recipe.batch, recipe.optimizer, recipe.rate, recipe.init) == (
        20,
        128,
        "adam",
        1e-3,
        "xavier",
    )
    assert (recipe.schedule, recipe.step_epochs, recipe.step_factor, recipe.restarts) == ("step", 5, 0.2, 5)
    assert (recipe.crop, recipe.flip) == (0, False)


def test_nasbench201_is_table_1_at_12_epochs() -> None:
    recipe = RECIPES["nasbench201"]
    assert (recipe.epochs, recipe.batch, recipe.optimizer, recipe.momentum) == (12, 256, "sgd", 0.9)
    assert (recipe.rate, recipe.schedule, recipe.warmup, recipe.decay) == (0.1, "cosine", 0, 5e-4)
    assert (recipe.crop, recipe.flip) == (4, True)


def test_quick_is_one_epoch() -> None:
    assert RECIPES["quick"].epochs == 1


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        RECIPES["quick"].epochs = 2  # type: ignore[misc]


def test_equal_settings_are_equal_recipes() -> None:
    assert Recipe(rate=0.2, warmup=0.1) == RECIPES["quick"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "rmsprop"}, "found optimizer=rmsprop, expected one of sgd, adam"),
        ({"schedule": "cosinus"}, "found schedule=cosinus, expected one of cosine, constant, step"),
        ({"init": "zeros"}, "found init=zeros, expected one of he, xavier"),
        ({"class_weights": "even"}, "found class_weights=even, expected one of none, balanced"),
        ({"epochs": 0}, r"found epochs=0, expected 1 to 1,000,000"),
        ({"batch": 0}, "found batch=0, expected 1 to"),
        ({"step_epochs": 0}, "found step_epochs=0, expected 1 to"),
        ({"rate": -1.0}, "found rate=-1.0, expected 1e-12 to 1,000"),
        ({"rate": float("nan")}, "found rate=nan, expected 1e-12 to 1,000"),
        ({"warmup": 3.0}, "found warmup=3.0, expected 0 to 1"),
        ({"smoothing": 2.0}, "found smoothing=2.0, expected 0 to 1"),
        ({"crop": -1}, "found crop=-1, expected 0 to 1,000"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"recipe: {message}"):
        Recipe(**changes)
