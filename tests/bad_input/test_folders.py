"""Folders of images that are none: to add one, add what is done to a sound folder, and a piece of what is said."""

import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from nas import data

PHOTOS = Path("photos")


def picture(path: Path | str, number: int = 0, size: tuple[int, int] = (8, 8), mode: str = "L", **how: Any) -> Path:
    """An image whose name says in which format."""
    at = PHOTOS / path
    at.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, number).save(at, **how)
    return at


def animals(count: int = 6, within: str = ".") -> Path:
    """Two classes of so many images each."""
    for kind in ("cat", "dog"):
        for number in range(count):
            picture(Path(within, kind, f"{number}.png"), number)
    return PHOTOS / within


def put(path: str, content: bytes = b"") -> Path:
    """A file, as it is."""
    at = PHOTOS / path
    at.parent.mkdir(parents=True, exist_ok=True)
    at.write_bytes(content)
    return at


def cut(path: str, size: int) -> None:
    """An image of noise, of which only so many bytes are there."""
    at = PHOTOS / path
    Image.effect_noise((64, 64), 50).save(at)
    at.write_bytes(at.read_bytes()[:size])


def claims(path: str, width: int, height: int) -> None:
    """A PNG whose header says so, and which ends there."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    put(path, b"\x89PNG\r\n\x1a\n" + chunk)


def link(path: str, to: str) -> Path:
    (PHOTOS / path).parent.mkdir(parents=True, exist_ok=True)
    (PHOTOS / path).symlink_to(to)
    return PHOTOS / path


def folder(path: str) -> Path:
    (PHOTOS / path).mkdir(parents=True)
    return PHOTOS / path


def pipes() -> None:
    """A pipe where each class's image should be."""
    for kind in ("cat", "dog"):
        os.mkfifo(folder(kind) / "0.png")


def spoilt() -> bytes:
    """A PNG with one byte changed."""
    picture("cat/0.png", 7, (64, 64))
    content = bytearray((PHOTOS / "cat/0.png").read_bytes())
    content[45] ^= 0xFF
    return bytes(content)


UNREADABLE = "found 1 files that cannot be read, expected images; mend or remove them, or go on without them with …"

# What lies there, made after `animals()` where "photos" is not made by the case alone, and a piece of what is said.
ALONE: dict[str, tuple[Callable[[], object], str]] = {
    "nothing": (PHOTOS.mkdir, "photos: found no class folder, expected two or more, each with the images of one class"),
    "a file": (lambda: PHOTOS.write_bytes(b""), "photos: found no such folder, expected one folder a class in it"),
    "a link to nowhere": (
        lambda: PHOTOS.symlink_to("nowhere"),
        "photos: found no such folder, expected one folder a …",
    ),
    "a link to itself": (lambda: PHOTOS.symlink_to("photos"), "photos: found no such folder, expected one folder a …"),
    "images without classes": (lambda: picture("0.png"), "photos: found no class folder, expected two or more, …"),
    "one class": (lambda: picture("cat/0.png"), "photos: found one class folder (cat), expected two or more, …"),
    "one class and a hidden one": (
        lambda: (picture("cat/0.png"), picture(".dog/0.png")),
        "photos: found one class folder (cat), expected two or more, each with the images of one class",
    ),
    "one class and a link to nowhere": (
        lambda: (picture("cat/0.png"), link("dog", "nowhere")),
        "photos: found one class folder (cat), expected two or more, each with the images of one class",
    ),
    "one class and a link to itself": (
        lambda: (picture("cat/0.png"), link("dog", "dog")),
        "photos: found one class folder (cat), expected two or more, each with the images of one class",
    ),
    "one class and a file": (
        lambda: (picture("cat/0.png"), put("dog", b"dog")),
        "photos: found one class folder (cat), expected two or more, each with the images of one class",
    ),
    "empty classes": (
        lambda: (folder("cat"), folder("dog")),
        "photos: found no image, expected files ending in .jpg, …",
    ),
    "classes of texts": (
        lambda: (put("cat/a.txt", b"cat"), put("dog/a.txt", b"dog")),
        "photos: found no image, expected files ending in .jpg, …",
    ),
    "an image a class": (
        lambda: animals(1),
        "found too few training images in cat (1), dog (1), expected 3 or more a class, so that training, validation …",
    ),
    "two images a class": (
        lambda: animals(2),
        "found too few training images in cat (2), dog (2), expected 3 or more a class, so that training, validation …",
    ),
    "nothing that can be read": (
        lambda: (put("cat/0.png", b"cat"), put("dog/0.png", b"dog")),
        "found no readable image, expected files that Pillow can open",
    ),
    "only pipes": (
        pipes,
        "found no readable image, expected files that Pillow can open",
    ),
    "a class only tested on": (
        lambda: (animals(within="train"), animals(within="test"), picture("test/owl/0.png")),
        "photos/test: found the class 'owl', expected only classes that train/ has; rename it, or give train/ images …",
    ),
    "a test part without images": (
        lambda: (animals(within="train"), folder("test/cat")),
        "photos/test: found no image, expected files ending in .jpg, …",
    ),
    "a validation part without classes": (
        lambda: (animals(within="train"), folder("val")),
        "photos/val: found no image, expected files ending in .jpg, …",
    ),
    "one class to train on": (
        lambda: (picture("train/cat/0.png"), animals(within="test")),
        "photos/train: found one class folder (cat), expected two or more, each with the images of one class",
    ),
    "an image a class to train on": (
        lambda: (animals(1, within="train"), animals(within="test")),
        "found too few training images in cat (1), dog (1), expected 2 or more a class, so that training, …",
    ),
    "a test part that cannot be read": (
        lambda: (animals(within="train"), put("test/cat/0.png", b"cat")),
        UNREADABLE,
    ),
}
AMONG: dict[str, tuple[Callable[[], object], str]] = {
    "an empty class": (
        (PHOTOS / "owl").mkdir,
        "found too few training images in owl (0), expected 3 or more",
    ),
    "a class of one image": (lambda: picture("owl/0.png"), "found too few training images in owl (1), expected 3 or …"),
    "a class of texts": (
        lambda: put("owl/owl.txt", b"owl"),
        "found too few training images in owl (0), expected 3 or …",
    ),
    "an empty file": (lambda: put("cat/x.png"), UNREADABLE),
    "a text": (lambda: put("cat/x.png", b"a cat"), UNREADABLE),
    "noise": (lambda: put("cat/x.jpg", bytes(range(256)) * 9), UNREADABLE),
    "zeros": (lambda: put("cat/x.jpg", bytes(4096)), UNREADABLE),
    "a drawing": (lambda: put("cat/x.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>"), UNREADABLE),
    "a page": (lambda: put("cat/x.jpg", b"<!doctype html><title>404</title>"), UNREADABLE),
    "PostScript": (lambda: put("cat/x.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n"), UNREADABLE),
    "a pickle": (lambda: put("cat/x.png", b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94."), UNREADABLE),
    "a GIF": (lambda: picture("cat/x.gif"), UNREADABLE.replace("png", "gif")),
    "a GIF by another name": (
        lambda: (picture("cat/x.gif"), (PHOTOS / "cat/x.gif").rename("photos/cat/x.png")),
        UNREADABLE,
    ),
    "the head of a PNG": (lambda: cut("cat/x.png", 20), UNREADABLE),
    "half a PNG": (lambda: cut("cat/x.png", 1000), UNREADABLE),
    "half a JPEG": (lambda: cut("cat/x.jpg", 800), UNREADABLE),
    "half a TIFF": (lambda: cut("cat/x.tif", 1000), UNREADABLE),
    "half a WebP": (lambda: cut("cat/x.webp", 500), UNREADABLE),
    "half a BMP": (lambda: cut("cat/x.bmp", 1000), UNREADABLE),
    "half a PGM": (lambda: cut("cat/x.pgm", 100), UNREADABLE),
    "a PNG with a wrong byte": (lambda: put("cat/x.png", spoilt()), UNREADABLE),
    "a PNG of 10^10 pixels": (lambda: claims("cat/x.png", 100_000, 100_000), UNREADABLE),
    "a PNG of no pixels": (lambda: claims("cat/x.png", 0, 0), UNREADABLE),
    "a PNG of one line": (lambda: claims("cat/x.png", 2**31 - 1, 1), UNREADABLE),
    "pixels that are no bytes": (lambda: picture("cat/x.tif", mode="F"), "floating-point pixels, whose range is not …"),
    "a link to nowhere": (lambda: link("cat/x.png", "nowhere.png"), UNREADABLE),
    "a link to itself": (lambda: link("cat/x.png", "x.png"), UNREADABLE),
    "a link to a device": (lambda: link("cat/x.png", "/dev/zero"), UNREADABLE),
    "a pipe": (lambda: os.mkfifo(PHOTOS / "cat/x.png"), UNREADABLE),
    "a name with an escape": (lambda: put("cat/\x1b[2J.png"), r"cat/\x1b[2J.png: an empty file"),
    "a name of two lines": (lambda: put("cat/a\nb.png"), UNREADABLE),
    "a name that is no text": (lambda: put("cat/\udcff.png"), r"cat/\udcff.png: an empty file"),
    "a folder that leads back": (
        lambda: link("cat/more", ".."),
        "cat/more: found a link to a folder around it, or met …",
    ),
    "a folder that leads to itself": (
        lambda: link("cat/more", "."),
        "cat/more: found a link to a folder around it, or …",
    ),
    "folders that lead back and forth": (
        lambda: [link(f"cat/{number}", "../..") for number in range(9)],
        "found a link to a folder around it, or met before, expected each image in one place; remove the link",
    ),
    "a folder twice": (
        lambda: (picture("cat/more/0.png"), link("cat/again", "more")),
        "found a link to a folder around it, or met before, expected each image in one place; remove the link",
    ),
    "a hundred texts": (lambda: [put(f"cat/x{n}.png") for n in range(100)], "found 100 files that cannot …and 80 more"),
}

# Odd, and sound: they are read. What is said of them, too.
SOUND: dict[str, tuple[Callable[[], object], str]] = {
    "one pixel": (
        lambda: [picture(f"{k}/{n}.png", n, (1, 1)) for k in ("cat", "dog") for n in range(6)],
        "1 x 1 pixels",
    ),
    "very large": (
        lambda: [picture(f"{k}/{n}.png", n, (4096, 4096), "1") for k in ("cat", "dog") for n in range(3)],
        "8 x 8 pixels",
    ),
    "of many sizes": (lambda: [picture(f"cat/s{n}.png", n, (1 + 9 * n, 30 - n)) for n in range(9)], "2 classes"),
    "one line": (lambda: picture("cat/x.png", 0, (5000, 1)), "2 classes"),
    "CMYK": (lambda: picture("cat/x.jpg", mode="CMYK"), "3 channels"),
    "a palette": (lambda: picture("cat/x.png", mode="P"), "3 channels"),
    "with alpha": (lambda: picture("cat/x.png", mode="RGBA"), "3 channels"),
    "grey with alpha": (lambda: picture("cat/x.png", mode="LA"), "1 channel"),
    "16 bits": (lambda: picture("cat/x.png", 40_000, mode="I;16"), "1 channel"),
    "black and white": (lambda: picture("cat/x.png", mode="1"), "1 channel"),
    "animated": (
        lambda: picture("cat/x.webp", mode="RGB", save_all=True, append_images=[Image.new("RGB", (8, 8), 9)]),
        "3 channels",
    ),
    "a folder named like an image": ((PHOTOS / "cat/x.png").mkdir, "images: 10 (cat 5, dog 5)"),
    "names in letters of all kinds": (
        lambda: [picture(f"größe 猫 \n\x1b[2J/{n}.png") for n in range(3)],
        "größe 猫 \n\x1b[2J 2",
    ),
    "names that are no text": (lambda: [picture(f"\udcff/{n}.png") for n in range(3)], "\udcff 2"),
    "a name in capitals": (lambda: (picture("cat/x.png"), (PHOTOS / "cat/x.png").rename("photos/cat/X.PNG")), "cat 6"),
}

SEARCH = "search small.py:Small --workers 0 --device cpu --trials 2 --controller random --data folder:photos"
SMALL = """
from nas import Block, Network, Space

class Small(Space):
    def build(self, pick):
        return Network(8, (Block("conv", 2),))
"""


@pytest.mark.parametrize("name", ALONE)
def test_a_folder_that_is_no_data_is_refused(refused: Callable[..., None], name: str) -> None:
    Path("small.py").write_text(SMALL)
    make, said = ALONE[name]
    make()
    refused(SEARCH, said)


@pytest.mark.parametrize("name", AMONG)
def test_a_file_that_is_no_image_is_refused_by_its_name(refused: Callable[..., None], name: str) -> None:
    Path("small.py").write_text(SMALL)
    animals()
    make, said = AMONG[name]
    make()
    refused(SEARCH, said)


@pytest.mark.parametrize("size", ["4097", "99999999", "0"])
def test_a_size_that_no_image_has_is_refused(refused: Callable[..., None], size: str) -> None:
    Path("small.py").write_text(SMALL)
    animals()
    refused(f"{SEARCH} --image-size {size}", "--image-size")


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("name", SOUND)
def test_an_odd_image_is_read_all_the_same(name: str) -> None:
    make, said = SOUND[name]
    if name not in ("one pixel", "very large"):
        animals()
    make()
    assert said in data.summary(data.load("folder:photos", largest=8))
