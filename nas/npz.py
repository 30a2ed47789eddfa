"""Images and labels in an .npz file, as numpy.savez writes it: x and y, or x_train and y_train with others beside them.

x, x_train, x_val, x_test: uint8 (N, H, W), (N, H, W, C) or (N, C, H, W), where C is 1 or 3. y, ...: whole numbers (N,)
or (N, 1), classes from 0 on without a gap. x_val, y_val and x_test, y_test may be missing; other arrays are not read.
Nothing is unpacked before the headers are found in order, and never a pickle.
"""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nas.errors import UserError
from nas.network import Images

LARGEST = 8 * 2**30  # bytes of arrays; a file of a few megabytes may claim to unpack to any number
HARMLESS, DENSEST = 2**28, 100  # bytes of arrays that are unpacked from any file, else at most so many times its size
HEADER = 2**16  # bytes of an array's file that are read for its header

Header = tuple[tuple[int, ...], np.dtype[Any]]
Names = dict[str, tuple[str, str]]  # part -> the arrays of its images and of its labels
Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def state(path: Path) -> tuple[str, int, int]:
    """What changes when the file does. Raises UserError if there is none."""
    _check_there(path)
    stat = path.stat()
    return str(path), stat.st_size, stat.st_mtime_ns


def look(path: Path) -> Images:
    """Native size, channels, number of classes, from the labels and the header of the images."""
    x, y = _contents(path)["train"]
    with _told(path), zipfile.ZipFile(path) as archive, np.load(path, allow_pickle=False) as file:
        _, channels, height, width = _shape(f"npz:{path}: {x}", _header(archive, x))
        classes = _classes(path, _labels(file[f"{y}.npy"]))
    return Images(min(height, width), channels, len(classes))


def read(path: Path) -> tuple[tuple[str, ...], dict[str, Arrays]]:
    """The classes, and for "train" and, if there, "valid" and "test" images uint8 (N, C, H, W), labels int64 (N,)."""
    names = _contents(path)
    with _told(path), np.load(path, allow_pickle=False) as file:
        arrays = {
            part: (channels_first(file[f"{x}.npy"], f"npz:{path}: {x}"), _labels(file[f"{y}.npy"]))
            for part, (x, y) in names.items()
        }
    classes = _classes(path, arrays["train"][1])
    expected = arrays["train"][0].shape[1:]
    for part, (images, labels) in arrays.items():
        x, y = names[part]
        if images.shape[1:] != expected:
            raise UserError(
                f"npz:{path}: found images (C, H, W) {images.shape[1:]} in {x}, expected {expected} as in the training "
                "images; resize them before saving"
            )
        if labels.min() < 0 or labels.max() >= len(classes):
            raise UserError(
                f"npz:{path}: found labels {labels.min()} to {labels.max()} in {y}, expected 0 to {len(classes) - 1}, "
                "those of the training images; number the classes anew"
            )
    return classes, arrays


def channels_first(images: npt.NDArray[np.uint8], what: str) -> npt.NDArray[np.uint8]:
    """Images (N, H, W), (N, H, W, C) or (N, C, H, W), where C is 1 or 3, as a view (N, C, H, W).

    Raises UserError for other shapes, and where both the second and the last number may be C.
    """
    rank, shape = images.ndim, images.shape
    first, last = (rank == 4 and shape[axis] in (1, 3) for axis in (1, 3))
    if 0 in shape or not (rank == 3 or first or last):
        raise UserError(
            f"{what}: found shape {shape}, expected (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3 and no 0; "
            "reshape the array"
        )
    if first and last:
        raise UserError(
            f"{what}: found shape {shape}, which may be (N, H, W, C) or (N, C, H, W), expected only one C of 1 or 3; "
            "give grey images as (N, H, W), others with more than three pixels a side"
        )
    if rank == 3:
        return images[:, None]
    return images if first else images.transpose(0, 3, 1, 2)


def _labels(array: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return array.reshape(-1).astype(np.int64)


def _classes(path: Path, labels: npt.NDArray[np.int64]) -> tuple[str, ...]:
    known = np.unique(labels)
    if known[0] != 0 or known[-1] != len(known) - 1:
        raise UserError(
            f"npz:{path}: found {len(known)} classes labelled {known[0]} to {known[-1]} to train on, expected "
            "labels from 0 on without a gap; number them anew, as np.unique(y, return_inverse=True)[1] does"
        )
    return tuple(str(label) for label in known)


def _contents(path: Path) -> Names:
    """Which arrays hold what, after a look at their headers. Raises UserError unless all can be used as they are."""
    _check_there(path)
    with _told(path), zipfile.ZipFile(path) as archive:
        names = _names(path, [name[:-4] for name in archive.namelist() if name.endswith(".npy")])
        headers = {name: _header(archive, name) for both in names.values() for name in both}
    size = sum(math.prod(shape) * dtype.itemsize for shape, dtype in headers.values())
    most = min(LARGEST, max(HARMLESS, DENSEST * path.stat().st_size))
    if size > most:
        raise UserError(
            f"npz:{path}: found arrays of {size:,} bytes, expected at most {most:,} in a file of its size; save fewer "
            "or smaller images, uncompressed, or lay them out as folder:PATH, which may be of any size"
        )
    for x, y in names.values():
        with _told(path):
            _check(f"npz:{path}", x, headers[x], y, headers[y])
    return names


def _names(path: Path, there: list[str]) -> Names:
    names = {"train": ("x", "y")}
    if "x_train" in there or "y_train" in there:
        names = {
            part: (f"x_{end}", f"y_{end}") for part, end in (("train", "train"), ("valid", "val"), ("test", "test"))
        }
    names = {part: both for part, both in names.items() if part == "train" or set(both) & set(there)}
    missing = [name for both in names.values() for name in both if name not in there]
    if missing:
        raise UserError(
            f"npz:{path}: found the arrays {', '.join(there) or '(none)'}, expected {' and '.join(missing)} too; save "
            "x and y, or x_train, y_train and, if there are, x_val, y_val, x_test, y_test"
        )
    return names


def _header(archive: zipfile.ZipFile, name: str) -> Header:
    with archive.open(f"{name}.npy") as packed:
        file = io.BytesIO(packed.read(HEADER))
    if np.lib.format.read_magic(file) == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(file)
    return shape, dtype


def _shape(what: str, images: Header) -> tuple[int, ...]:
    one_byte = np.broadcast_to(np.uint8(0), images[0])  # seen as if it had that shape
    return channels_first(one_byte, what).shape


def _check(spec: str, x: str, images: Header, y: str, labels: Header) -> None:
    (shape, dtype), (label_shape, label_dtype) = images, labels
    if dtype.hasobject or label_dtype.hasobject:
        raise UserError(f"{spec}: found pickled objects in {x} or {y}, expected numbers; save plain arrays")
    if dtype != np.uint8:
        raise UserError(
            f"{spec}: found {dtype} in {x}, expected uint8; save (x * 255).round().astype('uint8') if x lies in 0..1, "
            "x.round().astype('uint8') if in 0..255"
        )
    if label_dtype.kind not in "iu":
        raise UserError(f"{spec}: found {label_dtype} in {y}, expected whole numbers; save {y}.astype('int64')")
    if label_shape not in ((*shape[:1],), (*shape[:1], 1)):
        raise UserError(
            f"{spec}: found shape {label_shape} in {y} and {shape} in {x}, expected one label an image; save them so"
        )
    _shape(f"{spec}: {x}", images)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"npz:{path}: found no such file, expected one that numpy.savez wrote; check the path")


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # zipfile, its decompressors and numpy raise nearly anything at bytes they do not expect
        raise UserError(
            f"npz:{path}: found a file that cannot be read ({type(error).__name__}: {error!s:.300}), expected "
            "one that numpy.savez wrote; save it anew"
        ) from error
