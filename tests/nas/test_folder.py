"""What is said of a file that is no image; how images are found and decoded is looked at in test_data."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nas.folder import reader


def written(kind: str) -> bytes:
    """An image of noise as a file of this kind."""
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(buffer := io.BytesIO(), kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "an empty file"),
        (b"dear all,\n", "a text, no image that can be read"),
        ("Grüße".encode()[:3], "a text, no image that can be read"),  # of a letter of two bytes the first
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>", "a web page (HTML), no image that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing, no image that can be read"),
        (b"%PDF-1.7", "a PDF, no image that can be read"),
        (bytes(range(256)), "unknown bytes, no image that can be read"),
        (written("GIF"), "a GIF, no image that can be read"),
        (written("PNG")[:6], "a PNG that cannot be read (it breaks off or is damaged)"),
    ],
)
def test_what_is_there_in_place_of_an_image_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    wrong: list[str] = []
    reader(8, True, 1, wrong)([str(tmp_path / "a.png")])
    assert wrong == [f"{tmp_path / 'a.png'}: {said}"]


def test_half_a_jpeg_is_said_to_be_truncated(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(written("JPEG")[:1500])
    wrong: list[str] = []
    reader(8, True, 1, wrong)([str(tmp_path / "a.jpg")])
    assert "a.jpg: a JPEG that cannot be read (image file is truncated" in wrong[0]
