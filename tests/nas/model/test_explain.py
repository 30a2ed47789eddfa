from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import Data
from nas.errors import UserError
from nas.model import EXPLAINED, NETWORK, pictures
from nas.model.explain import by_class, calibration, confused, confusion, explain, figures, mistakes
from nas.model.images import Part
from nas.model.predict import probabilities
from nas.model.saved import EXPLAINS, Model
from nas.network import Network

CLASSES = ("cat", "dog", "owl")
SHARES = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.3, 0.6, 0.1], [0.05, 0.9, 0.05]])
LABELS = np.array([0, 1, 1, 0])  # right, wrong, right, wrong


@pytest.fixture
def part(digits: Data) -> Part:
    return Part("validation images", "", digits.pixels[digits.valid], digits.labels[digits.valid])


def test_confusion_counts_true_classes_down_and_said_ones_across() -> None:
    assert confusion(LABELS, SHARES.argmax(1), 3).tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 0]]


def test_classes_have_what_is_found_and_what_is_right() -> None:
    cat, dog, owl = by_class(np.array([[3, 1, 0], [2, 0, 0], [0, 0, 0]]), CLASSES)
    assert (cat["accuracy"], cat["precision"], cat["images"], cat["said"]) == (0.75, 0.6, 4, 5)  # 3 / 4, 3 / 5
    assert (dog["accuracy"], dog["precision"]) == (0.0, 0.0)
    assert (owl["accuracy"], owl["precision"], owl["interval"]) == (None, None, None)


def test_what_is_confused_is_listed_by_how_often() -> None:
    pairs = confused(np.array([[9, 1, 0], [4, 9, 0], [0, 0, 9]]), CLASSES)
    assert pairs == [{"true": "dog", "said": "cat", "images": 4}, {"true": "cat", "said": "dog", "images": 1}]


def test_calibration_error_is_the_gap_of_each_bin_by_its_images() -> None:
    found = calibration(np.array([0.95, 0.95, 0.55, 0.65]), np.array([True, False, True, True]))
    # |1/2 - 0.95| * 2/4 + |1 - 0.55| * 1/4 + |1 - 0.65| * 1/4
    assert found["error"] == pytest.approx(0.225 + 0.1125 + 0.0875)
    assert [one["images"] for one in found["bins"]] == [0] * 5 + [1, 1, 0, 0, 2]
    assert found["bins"][9]["accuracy"] == 0.5
    assert found["bins"][9]["confidence"] == pytest.approx(0.95)


def test_confidence_on_the_border_of_two_bins_is_in_the_lower_one() -> None:
    found = calibration(np.array([0.5, 1.0]), np.array([True, True]))
    assert [one["images"] for one in found["bins"]] == [0, 0, 0, 0, 1, 0, 0, 0, 0, 1]


def test_a_calibrated_model_is_within_what_chance_makes_of_it() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 400)
    fair = calibration(confidence, rng.random(400) < confidence)
    boasting = calibration(confidence, rng.random(400) < confidence - 0.3)
    assert fair["error"] < fair["by_chance"] < 0.1 < boasting["error"]


def test_mistakes_are_listed_by_confidence() -> None:
    first, second = mistakes(SHARES, LABELS, CLASSES)
    assert first == {"image": 3, "true": "cat", "said": "dog", "confidence": 0.9, "of_true": 0.05}
    assert (second["image"], second["confidence"], second["of_true"]) == (1, 0.7, 0.2)


def test_a_folder_has_the_figures_and_their_pictures(model: Model, part: Part, tmp_path: Path) -> None:
    found = explain(model, part, tmp_path / "explain")
    names = ["classes", "confusion", "calibration", "mistakes", "gradcam"]
    assert [one["file"] for one in found["pictures"]] == [f"{name}.png" for name in names]
    assert {path.name for path in (tmp_path / "explain").iterdir()} == {"explain.json", *(f"{n}.png" for n in names)}
    assert json.loads((tmp_path / "explain" / "explain.json").read_text()) == found
    assert found["accuracy"] == 1 - found["wrong"] / found["images"]
    for name in names:
        with Image.open(tmp_path / "explain" / f"{name}.png") as picture:
            small = np.asarray(picture.convert("RGB").resize((60, 60)))
            assert len(np.unique(small.reshape(-1, 3), axis=0)) > 20, name
            assert min(picture.size) > 400, name


def test_where_nothing_is_wrong_the_least_sure_images_are_looked_at(model: Model, part: Part, tmp_path: Path) -> None:
    said = probabilities(model, part.pixels).argmax(1)
    found = explain(model, Part("all right", "", part.pixels, said), tmp_path / "explain")
    assert found["wrong"] == 0
    assert found["gradcam"]["of"] == "the images it is least sure of"
    assert not (tmp_path / "explain" / "mistakes.png").exists()


def test_a_network_without_maps_is_explained_but_for_these(
    trained: Callable[..., Model], part: Part, tmp_path: Path
) -> None:
    found = explain(trained(Network(1, ())), part, tmp_path / "explain")
    assert "all have one position" in found["gradcam"]["left_out"]
    assert not (tmp_path / "explain" / "gradcam.png").exists()


def test_what_users_put_beside_the_pictures_stays_when_they_are_drawn_again(
    model: Model, part: Part, tmp_path: Path
) -> None:
    explain(model, part, tmp_path / "explain")
    (tmp_path / "explain" / "notes.md").write_text("mine")
    said = probabilities(model, part.pixels).argmax(1)
    explain(model, Part("all right", "", part.pixels, said), tmp_path / "explain")
    there = {path.name for path in (tmp_path / "explain").iterdir()}
    assert there == {"notes.md", *EXPLAINS} - {"mistakes.png"}  # of which there are none now


def test_a_model_is_explained_anew_beside_what_users_left_of_an_older_one(
    model: Model, part: Part, tmp_path: Path
) -> None:
    (tmp_path / "model" / EXPLAINED).mkdir(parents=True)
    (tmp_path / "model" / NETWORK).touch()
    (tmp_path / "model" / EXPLAINED / "notes.md").touch()  # as `save` leaves it
    explain(model, part, tmp_path / "model" / EXPLAINED)
    assert {path.name for path in (tmp_path / "model" / EXPLAINED).iterdir()} == {"notes.md", *EXPLAINS}


def test_images_that_are_given_are_looked_at(model: Model, part: Part, tmp_path: Path) -> None:
    Image.fromarray(part.pixels[0, 0]).save(tmp_path / "seven.png")
    found = explain(model, part, tmp_path / "explain", [tmp_path / "seven.png"])
    assert found["gradcam"]["images"] == ["seven.png"]
    (tmp_path / "no.png").write_text("no image")
    with pytest.raises(
        UserError, match=r"no.png: found a text, no image that can be read, expected an image, JPEG, PNG"
    ):
        explain(model, part, tmp_path / "explain", [tmp_path / "no.png"])


def test_a_folder_of_something_else_is_left_alone(model: Model, part: Part, tmp_path: Path) -> None:
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(UserError, match=r"found something else, expected nothing, or explain.json in it"):
        explain(model, part, tmp_path)


def test_equal_figures_are_equal_pictures_and_names_are_no_formulas() -> None:
    found = {"of": "x", **figures(SHARES, LABELS, ("a $x_1$ \x1b", "b" * 99, "c"))}
    assert pictures.png(pictures.classes(found)) == pictures.png(pictures.classes(found))
    assert pictures.png(pictures.confusion(found))
