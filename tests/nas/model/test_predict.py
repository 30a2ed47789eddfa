from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.data import Data
from nas.errors import UserError
from nas.model.images import files
from nas.model.predict import predict, probabilities
from nas.model.saved import Model
from nas.network import Images


def drawn(digits: Data, place: Path, number: int, mode: str = "L") -> Path:
    """A validation image as a file."""
    Image.fromarray(digits.pixels[digits.valid[number], 0]).convert(mode).save(place)
    return place


def test_files_have_the_probabilities_of_their_pixels(model: Model, digits: Data, tmp_path: Path) -> None:
    named = [drawn(digits, tmp_path / f"{number}.png", number) for number in range(70)]  # more than are read at once
    found = list(predict(model, named, top=10))
    shares = probabilities(model, digits.pixels[digits.valid[:70]])
    assert [one.file for one in found] == named
    for one, row in zip(found, shares, strict=True):
        assert [share for _, share in one.labels] == sorted(row, reverse=True)
        assert one.labels[0][0] == digits.classes[row.argmax()]
        assert sum(share for _, share in one.labels) == pytest.approx(1)


def test_only_the_likeliest_are_said(model: Model, digits: Data, tmp_path: Path) -> None:
    (one,) = predict(model, [drawn(digits, tmp_path / "a.png", 0)], top=2)
    assert len(one.labels) == 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_colours_are_made_the_models_own(mode: str, model: Model, digits: Data, tmp_path: Path) -> None:
    plain, other = drawn(digits, tmp_path / "plain.png", 3), drawn(digits, tmp_path / "other.png", 3, mode)
    first, second = predict(model, [plain, other], top=10)
    assert dict(second.labels) == pytest.approx(dict(first.labels))


def test_an_image_is_brought_to_the_datas_size_first(model: Model, tmp_path: Path) -> None:
    for side in (8, 40):
        Image.new("L", (side, 2 * side), 120).save(tmp_path / f"{side}.png")  # grey all over, whatever its size
    first, second = predict(model, [tmp_path / "8.png", tmp_path / "40.png"])
    assert first.labels == second.labels


def test_an_image_on_its_side_is_turned(model: Model, digits: Data, tmp_path: Path) -> None:
    upright = Image.fromarray(digits.pixels[digits.valid[3], 0])
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    first, second = predict(model, [tmp_path / "upright.png", tmp_path / "turned.png"])
    assert first.labels == second.labels


def test_a_file_without_an_image_is_said_and_the_others_go_on(model: Model, digits: Data, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_text("no image")
    good = [drawn(digits, tmp_path / "a.png", 0), drawn(digits, tmp_path / "c.png", 1)]
    first, bad, gone, last = predict(model, [good[0], tmp_path / "b.png", tmp_path / "gone.png", good[1]])
    assert (bad.labels, bad.error) == ((), "a text, no image that can be read")
    assert (gone.labels, gone.error) == ((), "nothing there")
    assert [first, last] == list(predict(model, good))


def test_a_folder_stands_for_the_images_in_it(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "a.jpg", ".hidden.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert files([tmp_path, tmp_path / "notes.txt"]) == [
        tmp_path / "a.jpg", tmp_path / "b/2.PNG", tmp_path / "notes.txt",
    ]  # fmt: skip


def test_a_folder_without_an_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"found no image in it, expected files ending in"):
        files([tmp_path])


def test_images_of_two_channels_are_in_no_file(model: Model, tmp_path: Path) -> None:
    of_two = replace(model, images=Images(8, 2, 10), mean=(0.0, 0.0), std=(1.0, 1.0))
    with pytest.raises(UserError, match=r"found a model of images with 2 channels, expected 1 or 3"):
        list(predict(of_two, [tmp_path / "a.png"]))


def test_no_image_has_no_probabilities(model: Model) -> None:
    assert probabilities(model, np.empty((0, 1, 8, 8), np.uint8)).shape == (0, 10)
