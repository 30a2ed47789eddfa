"""The commands for trained networks, on a model of the digits that nothing was taught."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

from nas.blocks import Block
from nas.data import load
from nas.model.saved import Model, save
from nas.network import Network
from tests.conftest import Nas


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search with a model in it."""
    digits, network = load("digits"), Network(8, (Block("conv", 4),))
    torch.manual_seed(0)
    made = Model(network, network.module(digits.images), digits.images, digits.classes, digits.mean, digits.std)
    place = tmp_path_factory.mktemp("search")
    save(made, place / "model", {"data": "digits", "trained_on": ["train"]}, "")
    return place


@pytest.fixture
def nas(nas: Nas, tmp_path: Path) -> Nas:
    """The command line, in a folder with two images and a text."""
    digits = load("digits")
    for number in (0, 1):
        Image.fromarray(digits.pixels[number, 0]).save(tmp_path / f"{number}.png")
    (tmp_path / "letter.png").write_text("dear")
    return nas


def test_predict_says_labels_and_probabilities(nas: Nas, folder: Path) -> None:
    done = nas("predict", folder, "0.png", "1.png", "--top", "2")
    assert (done.status, done.err) == (0, "")
    for number, line in enumerate(done.out.splitlines()):
        assert re.fullmatch(rf"{number}\.png  \d 0\.\d{{4}}  \d 0\.\d{{4}}", line)


def test_predict_goes_on_after_what_is_no_image_and_ends_with_2(nas: Nas, folder: Path) -> None:
    done = nas("predict", folder, ".", "gone.png", "--json")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [one["image"] for one in lines] == ["0.png", "1.png", "letter.png", "gone.png"]
    assert [len(one.get("labels", [])) for one in lines] == [3, 3, 0, 0]
    assert [one["error"] for one in lines[2:]] == ["a text, no image that can be read", "nothing there"]
    assert done.status == 2
    assert done.err.startswith("nas: found no image in 2 of 4 files, expected JPEG, PNG")
    assert "mend the paths where nothing is, save what is none anew as one of these, or leave them out" in done.err
    assert "letter.png: a text" in done.err
    assert "gone.png: nothing there" in done.err


def test_export_says_how_far_the_files_are_from_the_model(nas: Nas, folder: Path) -> None:
    done = nas("export", folder, "--onnx", "a.onnx", "--torch", "a.pt2")
    assert (done.status, done.err) == (0, "")
    told = (
        r"a\.{}: probabilities differ by at most \d\.\de[+-]\d\d from the model's, on 256 of the 299 validation images"
    )
    assert re.search(told.format("onnx"), done.out)
    assert re.search(told.format("pt2"), done.out)
    assert Path("a.onnx").is_file()
    assert Path("a.pt2").is_file()


def test_export_says_nothing_of_training_for_it_compares_two_forms_of_one_model(
    nas: Nas, folder: Path, tmp_path: Path
) -> None:
    place = Path(shutil.copytree(folder / "model", tmp_path / "model"))
    (place / "metrics.json").write_text(json.dumps({"data": "digits", "trained_on": ["train", "valid"]}))
    done = nas("export", place, "--torch", "a.pt2")
    assert done.out.replace("\n", " ").endswith("from the model's, on 256 of the 299 validation images of digits ")


def test_export_checks_on_images_that_are_given(nas: Nas, folder: Path) -> None:
    done = nas("export", folder / "model", "--torch", "a.pt2", "--image", "0.png", "--image", "1.png")
    assert done.status == 0
    assert "on the 2 images given" in done.out


def test_export_says_where_there_was_nothing_but_noise_to_check_on(nas: Nas, folder: Path, tmp_path: Path) -> None:
    place = Path(shutil.copytree(folder / "model", tmp_path / "model"))
    (place / "metrics.json").unlink()
    done = nas("export", place, "--torch", "a.pt2")
    assert done.status == 0
    assert "metrics.json: found nothing there" in done.out
    assert "on 256 images of noise, for its data were not to be had; give --data, or real ones with --image" in done.out


def test_explain_says_what_is_wrong_and_leaves_pictures(nas: Nas, folder: Path) -> None:
    done = nas("explain", folder, "--image", "0.png")
    assert (done.status, done.err) == (0, "")
    for text in (
        "on the 299 validation images of digits:",
        "accuracy 0.",
        "expected calibration error 0.",
        "right when said",
    ):
        assert text in done.out
    assert (folder / "model" / "explain" / "explain.json").is_file()
    assert "pictures and figures:" in done.out
