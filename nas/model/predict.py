"""Labels of images by a model, with their probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from nas.cache import Pixels, batches
from nas.model.images import decoded
from nas.model.saved import Model

AT_ONCE = 64  # files decoded before their labels are said


class Prediction(NamedTuple):
    """What a model says of one file."""

    file: Path
    labels: tuple[tuple[str, float], ...]  # the likeliest first, each with its probability; empty for what is no image
    error: str  # why there is no image in it, or ""


def predict(model: Model, files: Sequence[Path], top: int = 3) -> Iterator[Prediction]:
    """The `top` likeliest labels of each file, in order; a file without an image has an error, and the next is read."""
    for start in range(0, len(files), AT_ONCE):
        some = files[start : start + AT_ONCE]
        pixels, errors = decoded(some, model)
        rows = iter(probabilities(model, pixels))
        for file, error in zip(some, errors, strict=True):
            yield Prediction(file, () if error else _likeliest(model.classes, next(rows), top), error)


def probabilities(model: Model, pixels: Pixels) -> npt.NDArray[np.float64]:
    """pixels: uint8 (N, C, H, W); gives (N, K), rows that sum to 1."""
    parts = [model.logits(torch.from_numpy(part)).double().softmax(1).cpu().numpy() for part in batches(pixels)]
    return np.concatenate(parts) if parts else np.empty((0, len(model.classes)))


def _likeliest(classes: Sequence[str], row: npt.NDArray[np.float64], top: int) -> tuple[tuple[str, float], ...]:
    """Equal ones in the order of the classes."""
    order = np.argsort(-row, kind="stable")[:top]
    return tuple((classes[label], float(row[label])) for label in order)
