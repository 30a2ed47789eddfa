from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from nas import data
from nas.data import Data
from nas.errors import UserError
from nas.model import METRICS
from nas.model.images import part
from nas.model.saved import Model


def kept(folder: Path, tmp_path: Path, metrics: object) -> Path:
    """The model's folder with other metrics."""
    place = Path(shutil.copytree(folder, tmp_path / "model"))
    (place / METRICS).write_text(json.dumps(metrics))
    return place


def test_validation_images_are_what_a_model_of_training_images_has_not_seen(
    model: Model, folder: Path, digits: Data
) -> None:
    found = part(model, folder)
    assert found.what == "the 299 validation images of digits"
    assert np.array_equal(found.pixels, digits.pixels[digits.valid])
    assert np.array_equal(found.labels, digits.labels[digits.valid])


def test_a_model_of_these_too_is_shown_test_images(model: Model, folder: Path, tmp_path: Path) -> None:
    place = kept(folder, tmp_path, {"data": {"spec": "digits", "images": 200}, "trained_on": ["train", "valid"]})
    pixels, labels = data.test_images("digits")
    found = part(model, place)
    assert found.what == "the 299 test images of digits"
    assert np.array_equal(found.pixels, pixels)
    assert np.array_equal(found.labels, labels)
    seen = part(model, place, "validation")
    assert (seen.what, seen.seen, found.seen) == ("the 40 validation images of digits", "was", "")


def test_data_that_no_one_names_are_asked_for(model: Model, folder: Path, tmp_path: Path) -> None:
    place = kept(folder, tmp_path, {})
    with pytest.raises(UserError, match=r"found no data named in metrics.json, expected them; name them with --data"):
        part(model, place)
    (place / METRICS).unlink()
    with pytest.raises(UserError, match=r"metrics.json: found nothing there, .*, or name them with --data, as in"):
        part(model, place)
    assert len(part(model, place, data="digits").labels) == 299  # test images: those that it has not seen for sure
    assert part(model, place, "validation", data="digits").seen == "may have been"


def test_data_of_other_classes_are_refused(model: Model, folder: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", x=np.zeros((20, 8, 8), np.uint8), y=np.arange(20) % 2)
    with pytest.raises(UserError, match=r"found 2 classes and 1 channels, expected 10 and 1 as the model has"):
        part(model, folder, data=f"npz:{tmp_path / 'two.npz'}")


def test_damaged_metrics_are_said(model: Model, folder: Path, tmp_path: Path) -> None:
    place = kept(folder, tmp_path, {})
    (place / METRICS).write_text("{")
    with pytest.raises(UserError, match=r"metrics.json: found it damaged"):
        part(model, place)


def test_data_that_are_elsewhere_now_are_found_with_their_new_place(
    model: Model, folder: Path, digits: Data, tmp_path: Path
) -> None:
    np.savez(tmp_path / "gone.npz", x=digits.pixels[:200], y=digits.labels[:200])
    place = kept(folder, tmp_path, {"data": {"spec": f"npz:{tmp_path / 'gone.npz'}", "images": 100}})
    before = part(model, place)
    (tmp_path / "gone.npz").rename(tmp_path / "here.npz")
    with pytest.raises(UserError, match=r"elsewhere now, name the place, as in --data npz:/home/me/gone\.npz$"):
        part(model, place)
    again = part(model, place, data=f"npz:{tmp_path / 'here.npz'}")
    assert np.array_equal(again.labels, before.labels)  # of the same hundred images, not of all that are there
