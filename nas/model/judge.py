"""Trained networks on the test images: figures, the table, and in words who won.

Accuracies are means over seeds. Their intervals are Wilson's, for the luck of the test images; differences are those of
the same images, with percentile bootstraps over the images (`nas/statistics.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nas.statistics import Floats, bootstrap
from nas.summary import interval

if TYPE_CHECKING:
    from nas.cache import Ints, Pixels
    from nas.model.saved import Model

Figures = dict[str, Any]

COLUMNS = (
    "network", "test accuracy", "95 %", "seeds", "precision", "recall", "F1", "parameters", "multiply-adds", "seconds",
)  # fmt: skip
OURS = "this search"
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

    labels (N,); ours, theirs: by seed, predicted classes (N,).
    """
    apart = _hits(labels, ours) - _hits(labels, theirs)
    low, high = bootstrap(apart) or (-1.0, 1.0)  # of one image nothing is known
    return [float(apart.mean()), low, high]


def _hits(labels: Ints, found: Sequence[Ints]) -> Floats:
    """Of each image, the share of seeds that were right."""
    hits: Floats = np.mean([one == labels for one in found], axis=0, dtype=np.float64)
    return hits


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
    ahead = [row for row in others if row["difference"][1] > 0]
    behind = [row for row in others if row["difference"][2] < 0]
    level = [row for row in others if row not in ahead and row not in behind]
    higher = [row for row in others if row["difference"][0] < 0]
    said = [_first(ours, others, ahead, behind, higher)]
    said += [f"The search's network is ahead of {_listed(ahead)}."] if ahead else []
    said += [f"These test images do not tell it from {_listed(level)}."] if level else []
    said += [f"The {row['name']} came to the same network." for row in same]
    said += [
        f"{row['name']}: {row['failed']} of its seeds failed and count for nothing."
        for row in rows
        if row.get("failed")
    ]
    return said + [f"{row['name']} failed: {row['error']}" for row in rows if "error" in row]


def _first(
    ours: Figures,
    others: Sequence[Figures],
    ahead: Sequence[Figures],
    behind: Sequence[Figures],
    higher: Sequence[Figures],
) -> str:
    if behind:
        return f"The search's network does not win: it is beaten by {_listed(behind)}."
    if higher:
        best = max(higher, key=lambda row: float(row["accuracy"]))
        return (
            f"The search's network does not win: {best['name']} has {_percent(best['accuracy'])} %, it has "
            f"{_percent(ours['accuracy'])} %, which is within the interval of their difference."
        )
    if not others:
        return "The search's network stands alone: nothing that it could be compared with was trained."
    if len(ahead) == len(others):
        return f"The search's network wins, with {_percent(ours['accuracy'])} % of the test images."
    return (
        f"The search's network has the highest accuracy, {_percent(ours['accuracy'])} %, but is not ahead of all: the "
        "interval of a difference holds 0."
    )


def _listed(rows: Sequence[Figures]) -> str:
    """Names with differences in points, ours less theirs, and their intervals."""
    return "; ".join(
        f"{row['name']} ({100 * row['difference'][0]:+.2f} points, 95 % interval {100 * row['difference'][1]:+.2f} to "
        f"{100 * row['difference'][2]:+.2f})"
        for row in rows
    )


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"
