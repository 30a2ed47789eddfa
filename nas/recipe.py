"""Recipes: how a child is trained, as plain frozen data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nas.errors import UserError

KNOWN = {
    "optimizer": ("sgd", "adam"),
    "schedule": ("cosine", "constant", "step"),
    "init": ("he", "xavier"),
    "class_weights": ("none", "balanced"),
}
RANGES: dict[str, tuple[float, float]] = {
    "epochs": (1, 1_000_000),
    "batch": (1, 1_000_000),
    "rate": (1e-12, 1_000),
    "momentum": (0, 1),
    "decay": (0, 1_000),
    "warmup": (0, 1),
    "step_epochs": (1, 1_000_000),
    "step_factor": (0, 1),
    "crop": (0, 1_000),
    "smoothing": (0, 1),
    "restarts": (0, 1_000),
}


@dataclass(frozen=True)
class Recipe:
    """The settings of one training; `--recipe quick:rate=0.02` sets single fields."""

    epochs: int = 1
    batch: int = 64  # images a step
    optimizer: str = "sgd"  # "sgd" with Nesterov momentum, or "adam"
    rate: float = 0.1  # the highest learning rate
    momentum: float = 0.9
    decay: float = 1e-4  # weight decay
    warmup: float = 0.0  # share of all steps in which the rate rises from 0
    schedule: str = "cosine"  # "cosine" to 0, "constant", or "step": × step_factor every step_epochs
    step_epochs: int = 5
    step_factor: float = 0.2
    crop: int = 0  # pixels of zero padding of which a random crop is taken
    flip: bool = False  # left and right, at random
    smoothing: float = 0.0  # of labels
    init: str = "he"  # "he" or "xavier"
    class_weights: str = "none"  # "balanced": each class weighs alike in the loss
    restarts: int = 0  # MetaQNN: begin again at 0.4 of the rate while the first epoch is no better than chance

    def __post_init__(self) -> None:
        for name, known in KNOWN.items():
            if getattr(self, name) not in known:
                raise UserError(f"recipe: found {name}={getattr(self, name)}, expected one of {', '.join(known)}")
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise UserError(f"recipe: found {name}={getattr(self, name)}, expected {low:g} to {high:,}")


RECIPES = {
    # For searches of minutes: few steps at a high rate, so that networks differ in how fast they learn.
    "quick": Recipe(rate=0.2, warmup=0.1),
    # Zoph & Le 2017, section 4.1: 50 epochs, Nesterov momentum, rate 0.1, weight decay 1e-4, crop and flip.
    "zoph2017": Recipe(epochs=50, batch=128, rate=0.1, decay=1e-4, schedule="constant", crop=4, flip=True),
    # Baker et al. 2017, section 5: 20 epochs, Adam 1e-3 × 0.2 every 5 epochs, batch 128, Xavier, restarts.
    "metaqnn": Recipe(
        epochs=20, batch=128, optimizer="adam", rate=1e-3, decay=0.0, schedule="step", init="xavier", restarts=5
    ),
    # Dong & Yang 2020, table 1, at the 12 epochs of their searches: Nesterov momentum, rate 0.1 to 0 by a cosine.
    "nasbench201": Recipe(epochs=12, batch=256, rate=0.1, decay=5e-4, crop=4, flip=True),
}


def named(fields: Mapping[str, Any]) -> str:
    """A recipe's fields as they would be typed: the built-in one that needs the fewest changes, with these."""
    every = {name: {f: v for f, v in fields.items() if vars(recipe).get(f) != v} for name, recipe in RECIPES.items()}
    name = min(every, key=lambda one: len(every[one]))
    changes = ",".join(f"{field}={value}" for field, value in every[name].items())
    return f"{name}:{changes}" if changes else name
