"""What a model gets right and wrong on labelled images, and where it looks: figures, and pictures of them.

Calibration is the expected calibration error over bins of equal width (Naeini et al. 2015; Guo et al., "On Calibration
of Modern Neural Networks", 2017, section 2): sum over bins of their share of images x |accuracy - mean confidence|.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.errors import UserError
from nas.model import EXPLANATION, NETWORK, pictures
from nas.model.gradcam import gradcam
from nas.model.images import Part, all_decoded
from nas.model.predict import probabilities
from nas.model.saved import EXPLAINS, in_place_of
from nas.statistics import Floats
from nas.summary import interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nas.cache import Ints, Pixels
    from nas.model.saved import Model

Figures = dict[str, Any]

BINS = 10
DRAWS = 2_000  # of calibrated models, for what chance makes of the calibration error
MISTAKES = 24  # shown
CONFUSED = 10  # pairs of classes listed
LOOKED_AT = 6  # images that Grad-CAM is drawn of
TWO = "the two likeliest classes"


def explain(model: Model, part: Part, folder: Path, files: Sequence[Path] = ()) -> Figures:
    """Write figures and pictures to a folder, in place of older ones there, and give the figures.

    Written are explain.json, which names the pictures with their captions, and classes.png, confusion.png,
    calibration.png, mistakes.png where there are any, and gradcam.png where the network has maps.
    What else lies there stays.  files: images that Grad-CAM is drawn of; unless given, the most confident mistakes.
    Raises UserError for a file without an image, and a folder that is something else or cannot be written.
    """
    shares = probabilities(model, part.pixels)
    seen = f", which it {part.seen} trained on too: unseen ones would come out worse" if part.seen else ""
    found = {"of": f"{part.what}{seen}", **figures(shares, part.labels, model.classes)}
    looked = _looked_at(model, part, shares, found, files)
    drawn = {
        "classes": pictures.classes(found),
        "confusion": pictures.confusion(found),
        "calibration": pictures.calibration(found),
    }
    if found["mistakes"]:
        drawn["mistakes"] = pictures.mistakes(found["mistakes"], part.pixels)
    try:
        found["gradcam"], drawn["gradcam"] = _grad_cam(model, looked)
    except UserError as error:
        found["gradcam"] = {"left_out": str(error)}
    captions = {name: pictures.caption(name, found) for name in drawn}
    found["pictures"] = [{"file": f"{name}.png", "caption": caption} for name, caption in captions.items()]
    with in_place_of(folder, (EXPLANATION, f"../{NETWORK}"), EXPLAINS) as new:
        for name, picture in drawn.items():
            (new / f"{name}.png").write_bytes(pictures.png(picture))
        (new / EXPLANATION).write_text(json.dumps(found, indent=1))
    return found


def figures(shares: Floats, labels: Ints, classes: Sequence[str]) -> Figures:
    """All that is told in numbers. shares: probabilities (N, K); labels: true classes (N,), N at least 1."""
    said = shares.argmax(1)
    counts = confusion(labels, said, len(classes))
    accuracy = float(np.mean(said == labels))
    return {
        "images": len(labels),
        "accuracy": accuracy,
        "interval": list(interval(accuracy, len(labels))),
        "classes": by_class(counts, classes),
        "confusion": counts.tolist(),
        "confused": confused(counts, classes),
        "calibration": calibration(shares.max(1), said == labels),
        "mistakes": mistakes(shares, labels, classes)[:MISTAKES],
        "wrong": int(np.count_nonzero(said != labels)),
    }


def confusion(labels: Ints, said: Ints, classes: int) -> Ints:
    """Counts (K true classes, K said ones)."""
    counts: Ints = np.bincount(labels * classes + said, minlength=classes * classes).reshape(classes, classes)
    return counts


def by_class(counts: Ints, classes: Sequence[str]) -> list[Figures]:
    """Of each class the share of its images that are found, with its 95 % interval, and of those said that are right.

    None where a class has no image, or is never said.
    """
    rows = []
    for label, name in enumerate(classes):
        hits, images, said = (int(one) for one in (counts[label, label], counts[label].sum(), counts[:, label].sum()))
        rows.append({
            "name": name, "images": images, "said": said,
            "accuracy": hits / images if images else None,
            "interval": list(interval(hits / images, images)) if images else None,
            "precision": hits / said if said else None,
        })  # fmt: skip
    return rows


def confused(counts: Ints, classes: Sequence[str]) -> list[Figures]:
    """Which class is most often said in place of which, the most frequent first."""
    wrong = counts - np.diag(counts.diagonal())
    order = np.argsort(-wrong, axis=None, kind="stable")[:CONFUSED]
    pairs = [divmod(int(cell), len(classes)) for cell in order]
    return [
        {"true": classes[true], "said": classes[said], "images": int(wrong[true, said])}
        for true, said in pairs
        if wrong[true, said]
    ]


def calibration(confidence: Floats, right: npt.NDArray[np.bool_], seed: int = 0) -> Figures:
    """How far confidence is from accuracy. confidence: of the likeliest class (N,), 0 to 1; right: whether it was it.

    "error" is the expected calibration error, "by_chance" what 95 % of such samples from a perfectly calibrated model
    would stay below: with few images no model has 0.
    """
    error, bins = _in_bins(confidence, right)
    rng = np.random.default_rng(seed)
    drawn = [_in_bins(confidence, rng.random(len(confidence)) < confidence)[0] for _ in range(DRAWS)]
    return {
        "error": error,
        "by_chance": float(np.quantile(drawn, 0.95)),
        "confidence": float(confidence.mean()),
        "bins": [
            {"low": i / BINS, "high": (i + 1) / BINS, "images": int(count), **_filled(int(count), total, hits)}
            for i, (count, total, hits) in enumerate(bins)
        ],
    }


def mistakes(shares: Floats, labels: Ints, classes: Sequence[str]) -> list[Figures]:
    """The images whose likeliest class is wrong, the most confident first; "image" is the place in the part."""
    said = shares.argmax(1)
    wrong = np.flatnonzero(said != labels)
    order = wrong[np.argsort(-shares[wrong, said[wrong]], kind="stable")]
    return [
        {
            "image": int(i), "true": classes[labels[i]], "said": classes[said[i]],
            "confidence": float(shares[i, said[i]]), "of_true": float(shares[i, labels[i]]),
        }
        for i in order
    ]  # fmt: skip


def _in_bins(confidence: Floats, right: npt.NDArray[np.bool_]) -> tuple[float, Floats]:
    """The calibration error, and of each bin (low, high] its images, the sum of their confidence, and hits."""
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    each = (np.ones(len(place)), confidence, right.astype(float))
    bins: Floats = np.stack([np.bincount(place, of, BINS) for of in each], 1).astype(float)
    return float(np.abs(bins[:, 2] - bins[:, 1]).sum() / len(confidence)), bins


def _filled(images: int, total: float, hits: float) -> Figures:
    if not images:
        return {"confidence": None, "accuracy": None, "interval": None}
    accuracy = float(hits) / images
    return {
        "confidence": float(total) / images, "accuracy": accuracy, "interval": list(interval(accuracy, images)),
    }  # fmt: skip


class Looked(NamedTuple):
    """Images that Grad-CAM is drawn of, each for two classes."""

    of: str
    classes: str  # which two, in words
    pixels: Pixels  # (M, C, H, W)
    shares: Floats  # (M, K)
    names: list[str]  # (M,)
    pairs: Ints  # (M, 2)


def _looked_at(model: Model, part: Part, shares: Floats, found: Figures, files: Sequence[Path]) -> Looked:
    """The files given, else the most confident mistakes, else what the model is least sure of."""
    if files:
        pixels = all_decoded(files, model)
        given = probabilities(model, pixels)
        return Looked("the images given", TWO, pixels, given, [file.name for file in files], _likeliest(given))
    chosen = [one["image"] for one in found["mistakes"][:LOOKED_AT]]
    least = np.argsort(shares.max(1), kind="stable")[:LOOKED_AT]
    places = np.array(chosen) if chosen else least
    labels, of = part.labels[places], shares[places]
    names = [f"is {model.classes[label]}" for label in labels]
    pixels = np.array(part.pixels[places])
    if not chosen:
        return Looked("the images it is least sure of", TWO, pixels, of, names, _likeliest(of))
    pairs = np.stack([of.argmax(1), labels], 1)
    return Looked("the most confident mistakes", "what is said and what is true", pixels, of, names, pairs)


def _likeliest(shares: Floats) -> Ints:
    """The two likeliest classes of each row, (M, 2)."""
    return np.argsort(-shares, axis=1, kind="stable")[:, :2]


def _grad_cam(model: Model, looked: Looked) -> tuple[Figures, Figure]:
    """Of each image the heat for its two classes, in figures and as a picture."""
    heats = [gradcam(model, looked.pixels, labels) for labels in looked.pairs.T]
    said = [
        [(model.classes[label], float(row[label])) for label in pair]
        for row, pair in zip(looked.shares, looked.pairs, strict=True)
    ]
    facts: Figures = {"of": looked.of, "classes": looked.classes, "images": looked.names}
    facts |= {"layer": heats[0].layer, "positions": list(heats[0].positions)}
    return facts, pictures.heat(looked.pixels, [heat.maps for heat in heats], looked.names, said)
