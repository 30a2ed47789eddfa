"""Trained networks on the test images: figures, the table, and in words who won.

Accuracies are means over seeds. Their intervals are Wilson's, for the luck of the test images; differences are those of
the same images, with intervals for the luck of the images and, with several seeds, for that of training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nas.statistics import Floats, half_width
from nas.summary import interval

if TYPE_CHECKING:
    from nas.cache import Ints, Pixels
    from nas.model.saved import Model

Figures = dict[str, Any]

COLUMNS = (
    "network", "test accuracy", "95 %", "seeds", "precision", "recall", "F1", "parameters", "multiply-adds", "seconds",
)  # fmt: skip
OURS = "this search"
SURE = 3  # seeds; with fewer, too little is known of the luck of training to say who wins
BATCH = 500  # images


def predicted(model: Model, pixels: Pixels, device: torch.device) -> Ints:
    """Classes (N,) of images uint8 (N, C, H, W), by sums in float32 as a model's user has them."""
    model.module.to(device)
    parts = [torch.from_numpy(np.array(pixels[i : i + BATCH])) for i in range(0, len(pixels), BATCH)]
    classes: Ints = np.concatenate([model.logits(part.to(device)).argmax(1).cpu().numpy() for part in parts])
    return classes


def figures(labels: Ints, found: Sequence[Ints]) -> Figures:
    """What a network's seeds come to. labels (N,); found: by seed, predicted classes (N,).

    Precision, recall and F1 are means over the classes that are met or predicted, each class weighing alike.
    """
    from sklearn.metrics import precision_recall_fscore_support

    accuracies = [float((one == labels).mean()) for one in found]
    mean = float(np.mean(accuracies))
    each = [precision_recall_fscore_support(labels, one, average="macro", zero_division=0)[:3] for one in found]
    precision, recall, f1 = (float(value) for value in np.mean(each, axis=0))
    return {
        "accuracy": mean, "interval": list(interval(mean, len(labels))), "accuracies": accuracies,
        "precision": precision, "recall": recall, "f1": f1, "images": len(labels),
    }  # fmt: skip


def difference(labels: Ints, ours: Sequence[Ints], theirs: Sequence[Ints]) -> list[float]:
    """By how much our accuracy is higher than theirs on the same images, and the 95 % interval of that: three numbers.

    labels (N,); ours, theirs: by seed, predicted classes (N,). The interval is for the luck of the images, and of the
    seeds of those that have two or more.
    """
    hits = [_hits(labels, one) for one in (ours, theirs)]
    apart = hits[0].mean(0) - hits[1].mean(0)
    mean, images = float(apart.mean()), len(labels)
    if images < 2:
        return [mean, -1.0, 1.0]  # of one image nothing is known
    luck = [(float(apart.var(ddof=1)) / images, images - 1)]
    luck += [(float(one.mean(1).var(ddof=1)) / len(one), len(one) - 1) for one in hits if len(one) > 1]
    half = half_width(luck)
    return [mean, max(-1.0, mean - half), min(1.0, mean + half)]


def _hits(labels: Ints, found: Sequence[Ints]) -> Floats:
    """Whether each seed was right of each image, (seeds, N): 1 or 0."""
    return np.array([one == labels for one in found], np.float64)


def ordered(rows: Sequence[Figures]) -> list[Figures]:
    """The most accurate first, what failed last."""
    return sorted(rows, key=lambda row: -row.get("accuracy", -1.0))


def table(rows: Sequence[Figures]) -> list[list[str]]:
    """The rows as texts, one for each of COLUMNS; accuracies and the like in percent."""
    return [_row(row) for row in ordered(rows)]


def _row(row: Figures) -> list[str]:
    costs = [f"{row[name]:,}" if row.get(name) else "" for name in ("params", "madds")]
    if "accuracy" not in row:
        return [row["name"], "failed", "", "", "", "", "", *costs, ""]
    low, high = row["interval"]
    return [
        row["name"], _percent(row["accuracy"]), f"{_percent(low)}–{_percent(high)}",
        f"{_percent(min(row['accuracies']))}–{_percent(max(row['accuracies']))}",
        *(_percent(row[name]) for name in ("precision", "recall", "f1")), *costs, f"{row['seconds']:.1f}",
    ]  # fmt: skip


def verdict(rows: Sequence[Figures]) -> list[str]:
    """In plain words who won: the search's network against each of the others, and what failed."""
    ours = next(row for row in rows if row["name"] == OURS)
    same = [row for row in rows if row is not ours and row["key"] == ours["key"]]
    others = [row for row in rows if row is not ours and row not in same and "difference" in row]
    said = _compared(ours, others)
    said += [f"The {row['name']} came to the same network." for row in same]
    failed = [(row["name"], row["failed"]) for row in rows if row.get("failed")]
    said += [f"{name}: {count} seed{'s'[: count > 1]} failed, left out of its figures." for name, count in failed]
    return said + [f"{row['name']} failed: {row['error']}" for row in rows if "error" in row]


def _compared(ours: Figures, others: Sequence[Figures]) -> list[str]:
    """Our network against others."""
    if not others:
        return ["The search's network stands alone: nothing that it could be compared with was trained."]
    most = min(len(ours["accuracies"]), max(len(row["accuracies"]) for row in others))
    if most < SURE:
        return [_first(ours, others), _too_few(most)]
    few = [row for row in others if len(row["accuracies"]) < SURE]  # some of their seeds failed
    ahead = [row for row in others if row["difference"][1] > 0 and row not in few]
    behind = [row for row in others if row["difference"][2] < 0 and row not in few]
    level = [row for row in others if row not in (*few, *ahead, *behind)]
    wins = len(ahead) == len(others)
    said = [f"The search's network wins, with {_percent(ours['accuracy'])} % of the test images."] if wins else []
    said += [] if wins else [_first(ours, others), _doubt(behind, level)]
    said += [f"The search's network is ahead of {_listed(ahead)}."] if ahead else []
    said += [f"The search's network is behind {_listed(behind)}."] if behind else []
    said += [f"The search's network cannot be told from {_listed(level)}."] if level else []
    return said + [f"Too few seeds are left to compare it with {', '.join(row['name'] for row in few)}."] * bool(few)


def _first(ours: Figures, others: Sequence[Figures]) -> str:
    """Its place, by accuracies as they are shown."""
    best = max(others, key=lambda row: float(row["accuracy"]))
    mine, theirs = _percent(ours["accuracy"]), _percent(best["accuracy"])
    if mine == theirs:
        return f"The search's network and {best['name']} have the same test accuracy, {mine} %."
    if ours["accuracy"] > best["accuracy"]:
        return f"The search's network has the highest test accuracy, {mine} %."
    return f"The search's network has a test accuracy of {mine} %, {best['name']} has {theirs} %."


def _too_few(seeds: int) -> str:
    """Why nothing is said of who wins."""
    why = "one training says nothing of its luck" if seeds == 1 else "two trainings say little of their luck"
    return f"With {seeds_each(seeds)} that is no verdict: {why}; finish with {SURE} seeds or more for one."


def _doubt(behind: Sequence[Figures], level: Sequence[Figures]) -> str:
    """Why it is not said to win."""
    if behind:
        return "It does not win."
    if not level:
        return f"That is no verdict: not all were trained with {SURE} seeds."
    return (
        "It does not win: the interval of a difference holds 0, so that may be luck of the test images or of training."
    )


def seeds_each(seeds: int) -> str:
    """ "1 seed each", "3 seeds each"."""
    return f"{seeds} seed{'s'[: seeds != 1]} each"


def of_seeds(seeds: int) -> str:
    """What an accuracy is of: "of 1 seed", "means of 3 seeds"."""
    return f"means of {seeds} seeds" if seeds > 1 else "of 1 seed"


def _listed(rows: Sequence[Figures]) -> str:
    """Names with differences in points, ours less theirs, and their intervals."""
    return "; ".join(f"{row['name']} ({_apart(*row['difference'])})" for row in rows)


def _apart(mean: float, low: float, high: float) -> str:
    """A difference in points with its interval; an interval as wide as the scale says nothing."""
    known = (low, high) != (-1.0, 1.0)
    within = f"95 % interval {_points(low)} to {_points(high)}" if known else "too few seeds or images for an interval"
    return f"{_points(mean)} points, {within}"


def _points(share: float) -> str:
    return f"{round(100 * share, 2) + 0.0:+.2f}"  # without - before 0.00


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
