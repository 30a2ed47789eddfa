"""Images that a model is shown: files of anyone's, and the parts of the data it was made of."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from nas.errors import UserError
from nas.folder import EXTENSIONS, is_image, reader
from nas.model import METRICS
from nas.model.saved import found

if TYPE_CHECKING:
    from nas.cache import Ints, Pixels
    from nas.data import Data
    from nas.model.saved import Model

PARTS = ("validation", "test")
KINDS = "JPEG, PNG, PPM, BMP, TIFF or WebP"


class Part(NamedTuple):
    """Labelled images of one data set."""

    what: str  # "the 287 validation images of digits"
    seen: str  # whether the model "was" trained on them, or "may have been"; empty where it was not
    pixels: Pixels  # (N, C, H, W)
    labels: Ints  # (N,)


def files(paths: Sequence[Path]) -> list[Path]:
    """The files that are named, there or not, and those in folders that are named that have an image's ending, sorted.

    Raises UserError for a folder without such a file.
    """
    return [file for path in paths for file in (_inside(path) if path.is_dir() else [path])]


def decoded(paths: Sequence[Path], model: Model) -> tuple[Pixels, list[str]]:
    """Files as uint8 (readable, C, H, W), and for each file why it could not be read, or "".

    They are decoded as those of a `folder:` are: upright, the centre square, in the size in which the model was tested,
    grey or colour as it has it. Raises UserError for a model whose images no file can hold.
    """
    size, channels, _ = model.images
    if channels not in (1, 3):
        raise UserError(
            f"found a model of images with {channels} channels, expected 1 or 3, as files of images have; "
            "give arrays to Model.logits in Python"
        )
    unreadable: list[str] = []
    pixels, readable = reader(size, channels == 1, 1, unreadable)([str(path) for path in paths])
    reasons = iter(unreadable)
    return pixels, [
        "" if fine else next(reasons).removeprefix(f"{path}: ") for path, fine in zip(paths, readable, strict=True)
    ]


def all_decoded(paths: Sequence[Path], model: Model) -> Pixels:
    """The same, of files that are all to be images: raises UserError for the first that is none."""
    pixels, errors = decoded(paths, model)
    for path, error in zip(paths, errors, strict=True):
        if error:
            raise UserError(
                f"{path}: found {error}, expected an image, {KINDS}; name another with --image, or leave it out"
            )
    return pixels


def part(model: Model, folder: Path, which: str | None = None, data: str | None = None) -> Part:
    """Validation or test images of the data that a model in this folder was made of, with their labels.

    which: "validation" or "test"; by default those that the model was not trained on, validation images if it can be.
    data: as typed, where they are now, instead of where metrics.json or the ledger beside the model say.
    Raises UserError where the data are not known, are gone, or are others.
    """
    from nas.data import test_images

    metrics = _metrics(found(folder))
    given = _given(found(folder), metrics, data)
    trained_on = metrics.get("trained_on")
    seen = "may have been" if trained_on is None else "was" if "valid" in trained_on else ""
    wanted = which or ("test" if seen else "validation")
    known = _loaded(given, moved=data is None)
    _check(model, known.classes, known.pixels.shape[1], given["spec"])
    if wanted == "test":
        pixels, labels = test_images(**given)
        return Part(f"the {len(labels):,} test images of {given['spec']}", "", pixels, labels)
    what = f"the {len(known.valid):,} validation images of {given['spec']}"
    return Part(what, seen, known.pixels[known.valid], known.labels[known.valid])


def _inside(folder: Path) -> list[Path]:
    every = (Path(at, name) for at, _, names in os.walk(folder) for name in names)
    kept = sorted(file for file in every if is_image(file.name))
    if not kept:
        raise UserError(
            f"{folder}: found no image in it, expected files ending in {', '.join(EXTENSIONS)}; name another folder"
        )
    return kept


def _metrics(place: Path) -> Mapping[str, Any]:
    """What metrics.json says; raises UserError if it is damaged, and is empty if there is none."""
    from nas.ledger import are_texts

    path = place / METRICS
    try:
        metrics = dict(json.loads(path.read_bytes())) if path.is_file() else {}
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if not are_texts(metrics.get("trained_on", [])):
        raise _damaged(path, f"trained_on is {metrics['trained_on']!r:.60}")
    if not _is_data(metrics.get("data")):
        raise _damaged(path, f"data is {metrics['data']!r:.200}")
    return metrics


def _is_data(said: object) -> bool:
    """Whether it is what `nas.data.load` can be given: a text, or its arguments by name; or nothing."""
    from nas.ledger import is_loading

    if not isinstance(said, dict):
        return said is None or isinstance(said, str)
    options = dict.fromkeys(("images", "largest", "image_size")) | {"skip_corrupt": False} | said
    return isinstance(options.pop("spec", None), str) and is_loading(options)


def _damaged(path: Path, why: str) -> UserError:
    return UserError(
        f"{path}: found it damaged ({why}), expected what `nas finish` writes there; restore it from a copy"
    )


def _given(place: Path, metrics: Mapping[str, Any], data: str | None) -> dict[str, Any]:
    """What `nas.data.load` is to be given; data: as typed, in place of where they were."""
    from nas.ledger import FILE, read

    said = metrics.get("data")
    if isinstance(said, dict):
        return said | ({"spec": data} if data else {})
    if data or said:
        return {"spec": data or said}
    if (place.parent / FILE).is_file():
        return {"spec": read(place.parent)[0]["data"]}
    mend = "name them with --data, as in --data digits or --data folder:/home/me/photos"
    if not (place / METRICS).is_file():
        raise UserError(
            f"{place / METRICS}: found nothing there, expected figures that name the model's data; restore it from a "
            f"copy, or {mend}"
        )
    raise UserError(f"{place}: found no data named in {METRICS}, expected them; {mend}")


def _loaded(given: Mapping[str, Any], moved: bool) -> Data:
    """The data. moved: whether they may be elsewhere than it is said; a refusal then tells how to name the place."""
    from nas.data import load

    try:
        return load(**given)
    except UserError as error:
        kind, _, path = given["spec"].partition(":")
        if not moved or not path:
            raise
        raise UserError(
            f"{error}; if the model's images are elsewhere now, name the place, as in --data "
            f"{kind}:/home/me/{Path(path).name}"
        ) from None


def _check(model: Model, classes: Sequence[str], channels: int, spec: str) -> None:
    if (len(classes), channels) != (model.images.classes, model.images.channels):
        raise UserError(
            f"{spec}: found {len(classes)} classes and {channels} channels, expected {model.images.classes} and "
            f"{model.images.channels} as the model has; name its own data with --data"
        )
