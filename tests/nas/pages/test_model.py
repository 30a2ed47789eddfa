from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.pages.model import WIDEST, model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "metrics.json").write_text(json.dumps({"test": {"accuracy": 0.97132, "n": [1, 2]}, "best_of": "mine"}))
    (tmp_path / "explain").mkdir()
    return tmp_path


def test_a_folder_without_a_model_has_no_part(tmp_path: Path) -> None:
    assert model(tmp_path) is None


def test_single_figures_are_named_by_the_way_to_them(folder: Path) -> None:
    found = model(folder)
    assert found is not None
    assert found["figures"] == [("test accuracy", "0.9713"), ("best of", "mine")]


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1e999", "\x00"])
def test_figures_that_cannot_be_read_are_none(folder: Path, text: str) -> None:
    (folder / "metrics.json").write_text(text)
    found = model(folder)
    assert found is not None
    assert found["figures"] == []


def test_of_a_card_markdown_is_shown_and_nothing_else_runs_or_is_loaded(folder: Path) -> None:
    card = "# Ours\n\n<b onclick=x()>a</b> [b](javascript:x()) ![c](http://evil.example/c.png)\n"
    (folder / "README.md").write_text(card)
    found = model(folder)
    assert found is not None
    html = str(found["card"])
    assert "<h3>Ours</h3>" in html
    assert "&lt;b onclick=x()&gt;" in html
    assert "<img" not in html
    assert 'href="javascript' not in html


def test_headings_of_a_card_are_below_those_of_its_page(folder: Path) -> None:
    (folder / "README.md").write_text("# a\n\n## b\n\nc\n---\n\n##### d\n")
    found = model(folder)
    assert found is not None
    assert str(found["card"]).split() == ["<h3>a</h3>", "<h4>b</h4>", "<h4>c</h4>", "<h6>d</h6>"]


def test_pictures_have_their_captions_in_the_order_of_explain_and_others_come_last(folder: Path) -> None:
    for name in ("a_b", "calibration", "classes"):
        Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "explain" / f"{name}.png")
    listed = [{"file": f"{name}.png", "caption": f"{name} of digits"} for name in ("classes", "gone", "calibration")]
    (folder / "explain" / "explain.json").write_text(json.dumps({"pictures": [*listed, 7, {"file": "a_b.png"}]}))
    found = model(folder)
    assert found is not None
    assert [caption for caption, _, _ in found["pictures"]] == ["classes of digits", "calibration of digits", "a b"]


@pytest.mark.parametrize("pictures", [None, 7, {"file": "../x.png"}, [{"file": [], "caption": {}}]])
def test_captions_that_cannot_be_read_are_the_names_of_the_files(folder: Path, pictures: object) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(folder / "explain" / "one.png")
    (folder / "explain" / "explain.json").write_text(json.dumps({"pictures": pictures}))
    found = model(folder)
    assert found is not None
    assert [caption for caption, _, _ in found["pictures"]] == ["one"]


def test_a_picture_is_written_anew_and_no_wider_than_a_page(folder: Path) -> None:
    Image.fromarray(np.zeros((10, 3 * WIDEST, 3), np.uint8)).save(folder / "explain" / "mistakes.png")
    (folder / "explain" / "two.png").write_bytes(b"no picture")
    found = model(folder)
    assert found is not None
    ((name, width, data),) = found["pictures"]
    assert (name, width) == ("mistakes", WIDEST)
    assert data.startswith("data:image/webp;base64,")
    assert found["wrong"] == ["two.png: found no picture (UnidentifiedImageError)."]


def test_a_picture_half_as_wide_is_shown_half_as_wide(folder: Path) -> None:
    Image.fromarray(np.zeros((10, 900, 3), np.uint8)).save(folder / "explain" / "one.png")
    found = model(folder)
    assert found is not None
    assert [width for _, width, _ in found["pictures"]] == [500]  # of 1,000, for 900 pixels of 1,800
