"""Files of arrays that are none: to add one, add its arrays, or its bytes, and a piece of what is said."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

X = np.arange(20 * 8 * 8, dtype=np.uint8).reshape(20, 8, 8)
Y = np.arange(20) % 2
PARTS = {"x_train": X, "y_train": Y, "x_test": X, "y_test": Y}


def with_nan() -> np.ndarray[Any, Any]:
    pixels = X / 255
    pixels[0, 0, 0] = np.nan
    return pixels


# What numpy.savez is given, and a piece of what is said.
ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "no arrays": (
        {},
        "found the arrays (none), expected x and y too; save x and y, or x_train, y_train and, if there …",
    ),
    "no labels": ({"x": X}, "found the arrays x, expected y too; save x and y, or …"),
    "no images": ({"y": Y}, "found the arrays y, expected x too; save x and y, or …"),
    "other names": (
        {"images": X, "labels": Y},
        "found the arrays images, labels, expected x and y too; save x and y, …",
    ),
    "names in capitals": ({"X": X, "Y": Y}, "found the arrays X, Y, expected x and y too; save x and y, or …"),
    "no names": ({"arr_0": X, "arr_1": Y}, "found the arrays arr_0, arr_1, expected x and y too; save x and y, or …"),
    "training images only": ({"x_train": X}, "found the arrays x_train, expected y_train too; save x and y, or …"),
    "test labels missing": (
        {"x_train": X, "y_train": Y, "x_test": X},
        "found the arrays x_train, y_train, x_test, expected y_test too; save x and y, or …",
    ),
    "validation images missing": (
        {**PARTS, "y_val": Y},
        "expected x_val too; save x and y, or x_train, y_train and, …",
    ),
    # images
    "float images": (
        {"x": X / 255, "y": Y},
        "found float64 in x, expected uint8; save (x * 255).round().astype('uint8')",
    ),
    "images of nan": ({"x": with_nan(), "y": Y}, "found float64 in x, expected uint8; save …"),
    "16 bit images": ({"x": X.astype(np.uint16), "y": Y}, "found uint16 in x, expected uint8; save …"),
    "signed images": ({"x": X.astype(np.int8), "y": Y}, "found int8 in x, expected uint8; save …"),
    "complex images": ({"x": X.astype(complex), "y": Y}, "found complex128 in x, expected uint8; save …"),
    "images of texts": ({"x": X.astype(str), "y": Y}, "found <U… in x, expected uint8; save …"),
    "images of bytes": ({"x": X.astype(bytes), "y": Y}, "found |S… in x, expected uint8; save …"),
    "images of truths": ({"x": X > 9, "y": Y}, "found bool in x, expected uint8; save …"),
    "images of times": ({"x": X.astype("datetime64[s]"), "y": Y}, "found datetime64[s] in x, expected uint8; save …"),
    "images of records": ({"x": np.zeros((20, 8, 8), "u1,u1"), "y": Y}, "in x, expected uint8; save …"),
    "images of objects": ({"x": X.astype(object), "y": Y}, "found pickled objects in x or y, expected numbers; save …"),
    "one number": ({"x": np.uint8(3), "y": Y}, "expected one label an image; save them so"),
    "one dimension": ({"x": X[:, 0, 0], "y": Y}, "found shape (20,), expected (N, H, W), (N, H, W, C) or (N, C, H, W)"),
    "two dimensions": ({"x": X.reshape(20, 64), "y": Y}, "found shape (20, 64), expected (N, H, W), …"),
    "five dimensions": (
        {"x": X.reshape(20, 8, 2, 2, 2), "y": Y},
        "found shape (20, 8, 2, 2, 2), expected (N, H, W), …",
    ),
    "thirty dimensions": (
        {"x": X.reshape(20, 8, 8, *[1] * 27), "y": Y},
        "found shape (20, 8, 8, 1, 1, …, expected (N, …",
    ),
    "two channels": (
        {"x": np.zeros((20, 8, 8, 2), np.uint8), "y": Y},
        "found shape (20, 8, 8, 2), expected (N, H, W), …",
    ),
    "four channels": (
        {"x": np.zeros((20, 8, 8, 4), np.uint8), "y": Y},
        "found shape (20, 8, 8, 4), expected (N, H, W), …",
    ),
    "either way round": (
        {"x": np.zeros((20, 3, 8, 3), np.uint8), "y": Y},
        "found shape (20, 3, 8, 3), which may be (N, H, W, C) or (N, C, H, W), expected only one C of 1 or 3; …",
    ),
    "zero images": (
        {"x": X[:0], "y": Y[:0]},
        "found shape (0, 8, 8), expected (N, H, W), … and no 0; reshape the array",
    ),
    "zero height": (
        {"x": X[:, :0], "y": Y},
        "found shape (20, 0, 8), expected (N, H, W), … and no 0; reshape the array",
    ),
    "zero width": (
        {"x": X[:, :, :0], "y": Y},
        "found shape (20, 8, 0), expected (N, H, W), … and no 0; reshape the array",
    ),
    "test images of another size": (
        {**PARTS, "x_test": X[:, :4]},
        "found images (C, H, W) (1, 4, 8) in x_test, expected (1, 8, 8) as in the training images; resize them …",
    ),
    "test images in colour": (
        {**PARTS, "x_test": np.zeros((20, 8, 8, 3), np.uint8)},
        "found images (C, H, W) (3, 8, 8) in x_test, expected (1, 8, 8) as in the training images; resize them …",
    ),
    "zero test images": ({**PARTS, "x_test": X[:0], "y_test": Y[:0]}, "x_test: found shape (0, 8, 8), expected …"),
    "float test images": ({**PARTS, "x_test": X / 255}, "found float64 in x_test, expected uint8; save …"),
    # labels
    "float labels": ({"x": X, "y": Y / 1}, "found float64 in y, expected whole numbers; save y.astype('int64')"),
    "labels of nan": ({"x": X, "y": Y * np.nan}, "found float64 in y, expected whole numbers; save y.astype('int64')"),
    "labels of texts": ({"x": X, "y": Y.astype(str)}, "found <U… in y, expected whole numbers; save y.astype('int64')"),
    "labels of truths": ({"x": X, "y": Y > 0}, "found bool in y, expected whole numbers; save y.astype('int64')"),
    "labels of objects": ({"x": X, "y": Y.astype(object)}, "found pickled objects in x or y, expected numbers; save …"),
    "labels of pickles": (
        {"x": X, "y": np.array([len] * 20)},
        "found pickled objects in x or y, expected numbers; …",
    ),
    "one label": (
        {"x": X, "y": np.int64(1)},
        "found shape () in y and (20, 8, 8) in x, expected one label an image; …",
    ),
    "a label too few": (
        {"x": X, "y": Y[1:]},
        "found shape (19,) in y and (20, 8, 8) in x, expected one label an image",
    ),
    "a label too many": ({"x": X, "y": np.append(Y, 0)}, "found shape (21,) in y and (20, 8, 8) in x, expected one …"),
    "labels one-hot": (
        {"x": X, "y": np.eye(2, dtype=int)[Y]},
        "found shape (20, 2) in y and (20, 8, 8) in x, expected …",
    ),
    "negative labels": (
        {"x": X, "y": Y - 1},
        "found 2 classes labelled -1 to 0 to train on, expected labels from 0 on …",
    ),
    "labels from 1 on": (
        {"x": X, "y": Y + 1},
        "found 2 classes labelled 1 to 2 to train on, expected labels from 0 on …",
    ),
    "labels with a gap": (
        {"x": X, "y": 2 * Y},
        "found 2 classes labelled 0 to 2 to train on, expected labels from 0 …",
    ),
    "enormous labels": ({"x": X, "y": Y.astype(np.uint64) + np.uint64(2**64 - 2)}, "found 2 classes labelled …"),
    "one class": ({"x": X, "y": 0 * Y}, "found one class (0), expected two or more; add images of another class"),
    "an image a class": (
        {"x": X, "y": np.arange(20)},
        "found too few training images in 0 (1), 1 (1), …, expected 3 or …",
    ),
    "two images": (
        {"x": X[:2], "y": Y[:2]},
        "found too few training images in 0 (1), 1 (1), expected 3 or more a class",
    ),
    "test labels of other classes": (
        {**PARTS, "y_test": Y + 5},
        "found labels 5 to 6 in y_test, expected 0 to 1, those of the training images; number the classes anew",
    ),
    "negative test labels": ({**PARTS, "y_test": Y - 1}, "found labels -1 to 0 in y_test, expected 0 to 1, those of …"),
    "float test labels": ({**PARTS, "y_test": Y / 1}, "found float64 in y_test, expected whole numbers; save …"),
    "test labels of another length": (
        {**PARTS, "y_test": Y[1:]},
        "found shape (19,) in y_test and (20, 8, 8) in x_test",
    ),
}


def saved() -> bytes:
    """A sound file."""
    file = io.BytesIO()
    np.savez_compressed(file, x=X, y=Y)
    return file.getvalue()


def header(text: str, version: tuple[int, int] = (1, 0)) -> bytes:
    """The start of an array's file, with this for what it says of itself."""
    written = text.encode("latin-1") + b"\n"
    length = struct.pack("<H", len(written)) if version == (1, 0) else struct.pack("<I", len(written))
    return np.lib.format.magic(*version) + length + written


def said(shape: object, descr: str = "|u1") -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}}}"


def alone() -> bytes:
    """One array in a file of its own."""
    file = io.BytesIO()
    np.save(file, X)
    return file.getvalue()


def zipped(x: bytes, how: int = zipfile.ZIP_DEFLATED, name: str = "x.npy") -> bytes:
    """A file with sound labels and these bytes for the images."""
    labels, file = io.BytesIO(), io.BytesIO()
    np.save(labels, Y)
    with zipfile.ZipFile(file, "w", how) as archive:
        archive.writestr(name, x)
        archive.writestr("y.npy", labels.getvalue())
    return file.getvalue()


def changed(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


BROKEN = "found a file that cannot be read (…), expected one that numpy.savez wrote; save it anew"

# What lies in the file, and a piece of what is said.
BYTES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", BROKEN),
    "a text": (lambda: b"x,y\n1,2\n", BROKEN),
    "a null": (lambda: b"\0", BROKEN),
    "zeros": (lambda: bytes(10_000), BROKEN),
    "noise": (lambda: bytes(range(256)) * 40, BROKEN),
    "a PNG": (lambda: b"\x89PNG\r\n\x1a\n", BROKEN),
    "a pickle": (lambda: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94.", BROKEN),
    "one array": (alone, BROKEN),
    "gzipped": (lambda: gzip.compress(saved()), BROKEN),
    "an empty zip": (
        lambda: b"PK\x05\x06" + bytes(18),
        "found the arrays (none), expected x and y too; save x and y, …",
    ),
    "the head alone": (lambda: saved()[:100], BROKEN),
    "without its end": (lambda: saved()[:-30], BROKEN),
    "half": (lambda: saved()[: len(saved()) // 2], BROKEN),
    "a byte changed in the pixels": (lambda: changed(saved(), 300), BROKEN),
    "a byte changed in the directory": (lambda: changed(saved(), saved().rfind(b"PK\x01\x02")), BROKEN),
    "a text for images": (lambda: zipped(b"not an array"), BROKEN),
    "nothing for images": (lambda: zipped(b""), BROKEN),
    "a header alone": (lambda: zipped(header(said((20, 8, 8)))), BROKEN),
    "a header cut off": (lambda: zipped(header(said((20, 8, 8)))[:20]), BROKEN),
    "a header of no Python": (lambda: zipped(header("{'descr': ")), BROKEN),
    "a header of code": (lambda: zipped(header("__import__('os').abort()")), BROKEN),
    "a header of a list": (lambda: zipped(header("[1, 2]")), BROKEN),
    "a header without shape": (lambda: zipped(header("{'descr': '|u1', 'fortran_order': False}")), BROKEN),
    "a header nested deep": (lambda: zipped(header("(" * 5000 + ")" * 5000)), BROKEN),
    "a header with quotes open": (lambda: zipped(header("'''" + "{" * 200)), BROKEN),
    "a header of many words": (lambda: zipped(header("{" + "'a': 1, " * 8000 + "}")), BROKEN),
    "a version to come": (lambda: zipped(b"\x93NUMPY\x09\x00" + bytes(100)), BROKEN),
    "a negative shape": (lambda: zipped(header(said((20, -8, 8)))), BROKEN),
    "a shape of floats": (lambda: zipped(header(said((20, 8.5, 8)))), BROKEN),
    "a shape of text": (lambda: zipped(header(said("'20'"))), BROKEN),
    "a shape of no tuple": (lambda: zipped(header(said(20))), BROKEN),
    "a shape of 10^60": (
        lambda: zipped(header(said((20, 10**30, 10**30)))),
        "found arrays of 20,000,000,…, expected at …",
    ),
    "a type of no name": (lambda: zipped(header(said((20, 8, 8), "|z9"))), BROKEN),
    "a type of objects": (
        lambda: zipped(header(said((20, 8, 8), "|O")) + b"\x80\x04."),
        "found pickled objects in x or y",
    ),
    "pixels missing": (lambda: zipped(header(said((20, 8, 8))) + bytes(100)), BROKEN),
    "a bomb": (
        lambda: zipped(header(said((20, 10_000, 10_000))) + bytes(1000)),
        "found arrays of 2,000,000,160 bytes, expected at most 268,435,456 in a file of its size; save fewer or …",
    ),
    "a bomb of bombs": (
        lambda: zipped(header(said((2**40, 2**20, 2**10)))),
        "expected at most 268,435,456 in a file of …",
    ),
    "lzma, a byte changed": (lambda: changed(zipped(bytes(range(256)) * 9, zipfile.ZIP_LZMA), 60), BROKEN),
    "bzip2, a byte changed": (lambda: changed(zipped(bytes(range(256)) * 9, zipfile.ZIP_BZIP2), 60), BROKEN),
    "another name's end": (lambda: zipped(b"", name="x.txt"), "found the arrays y, expected x too; save x and y, or …"),
    "a name outside": (
        lambda: zipped(b"", name="../x.npy"),
        "found the arrays ../x, y, expected x too; save x and y, …",
    ),
    "a name with an escape": (
        lambda: zipped(b"", name="\x1b[2J.npy"),
        r"found the arrays \x1b[2J, y, expected x too; …",
    ),
}

SEARCH = "search small.py:Small --workers 0 --device cpu --trials 2 --controller random --data npz:mine.npz"
SMALL = """
from nas import Block, Network, Space

class Small(Space):
    def build(self, pick):
        return Network(8, (Block("conv", 2),))
"""


@pytest.fixture(autouse=True)
def _small(refused: Callable[..., None]) -> None:
    Path("small.py").write_text(SMALL)


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_no_data_are_refused(refused: Callable[..., None], name: str) -> None:
    arrays, piece = ARRAYS[name]
    np.savez("mine.npz", **arrays)
    refused(SEARCH, piece)


@pytest.mark.parametrize("name", BYTES)
def test_a_file_that_holds_no_arrays_is_refused(refused: Callable[..., None], name: str) -> None:
    make, piece = BYTES[name]
    Path("mine.npz").write_bytes(make())
    refused(SEARCH, piece)


@pytest.mark.parametrize("option", ["--image-size 8", "--images 3", "--images 9999"])
def test_an_option_that_does_not_fit_the_file_is_refused(refused: Callable[..., None], option: str) -> None:
    Path("mine.npz").write_bytes(saved())
    refused(f"{SEARCH} {option}", f"{option.partition(' ')[0]}: found ")
