"""Decoded images on disk: folders of arrays, each written under another name and then renamed, so whole or not there.

The cache is $NAS_CACHE, else $XDG_CACHE_HOME/nas, else ~/.cache/nas; all in it may be deleted at any time. An entry has
pixels.npy and test_pixels.npy, uint8 (N, C, H, W), memory-mapped when read; labels.npy and test_labels.npy, int64 (N,);
meta.json.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.errors import UserError

Pixels = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


class Entry(NamedTuple):
    """A cache entry, opened."""

    meta: dict[str, Any]
    pixels: Pixels
    labels: Ints
    test_pixels: Pixels
    test_labels: Ints


def root() -> Path:
    """The cache folder, which need not exist yet."""
    given = os.environ.get("NAS_CACHE")
    if given:
        return Path(given).absolute()
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "nas").absolute()
    except RuntimeError:
        raise UserError(
            "cache: found no home of this user, expected a folder for it; name one with NAS_CACHE"
        ) from None


def entry(name: str, write: Callable[[Path], None]) -> Entry:
    """Open the entry `name`; if it is not there, or damaged, let `write` make it in a folder given to it."""
    at = root() / name
    damaged = (OSError, ValueError, KeyError, TypeError)
    with contextlib.suppress(*damaged):
        return _opened(at)
    with writing(), _alone(at):
        with contextlib.suppress(*damaged):
            return _opened(at)  # another process was faster
        shutil.rmtree(at, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=root(), prefix=f".{name}-", ignore_cleanup_errors=True) as scratch:
            new = Path(scratch, "entry")
            new.mkdir()
            write(new)
            with contextlib.suppress(OSError):  # where locks do not work, another process's may lie there by now
                new.replace(at)
        return _opened(at)


def _opened(entry: Path) -> Entry:
    meta = json.loads((entry / "meta.json").read_text())
    missing = {"valid", "classes", "native", "mean", "std", "digest", "skipped"} - {*meta}
    if missing:
        raise KeyError(*missing)
    arrays = [np.load(entry / f"{name}pixels.npy", mmap_mode="r", allow_pickle=False) for name in ("", "test_")]
    labels = [np.load(entry / f"{name}labels.npy", allow_pickle=False) for name in ("", "test_")]
    for numbers in labels:
        numbers.flags.writeable = False
    return Entry(meta, arrays[0], labels[0], arrays[1], labels[1])


@contextlib.contextmanager
def _alone(entry: Path) -> Iterator[None]:
    """Let one process at a time download and decode; the system frees the lock of one that dies."""
    with entry.with_name(f".{entry.name}.lock").open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks: all decode, and the first one's entry stays
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Make the cache folder if need be, for this user alone; raises UserError where writing fails inside."""
    try:
        root().mkdir(mode=0o700, parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(
            f"the cache folder {root()} cannot be written ({error}); make room or allow writing there, "
            "or set NAS_CACHE to another folder"
        ) from error


def save(path: Path, blocks: Iterable[Pixels]) -> tuple[str, Ints]:
    """Write blocks (n, C, H, W) as one .npy; return a hash of it, and how often each value occurs, int64 (C, 256).

    How many images there are shows at the end only: numpy leaves room in the header to write that number anew.
    """
    digest, shape, count = hashlib.sha256(), (0,), 0
    histogram = np.zeros((0, 256), np.int64)
    with path.open("wb") as file:
        for images in blocks:
            if len(shape) == 1:
                shape, histogram = images.shape[1:], np.zeros((images.shape[1], 256), np.int64)
                _header(file, (0, *shape))
            for channel in range(len(histogram)):
                histogram[channel] += np.bincount(images[:, channel].ravel(), minlength=256)
            written = np.ascontiguousarray(images).tobytes()
            digest.update(written)
            file.write(written)
            count += len(images)
        file.seek(0)
        _header(file, (count, *shape))
    digest.update(repr((count, *shape)).encode())
    return digest.hexdigest(), histogram


def _header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def batches(pixels: Pixels, size: int = 256) -> Iterator[Pixels]:
    """So many images at a time, in memory."""
    for start in range(0, len(pixels), size):
        yield np.array(pixels[start : start + size])


def mean_and_std(histogram: Ints) -> tuple[list[float], list[float]]:
    """Of each channel, in 0..1, from how often it has each value, int64 (C, 256); a constant channel's std is 1.0."""
    values, counts = np.arange(256) / 255, histogram.sum(axis=1)
    mean = histogram @ values / counts
    variance = (histogram * (values - mean[:, None]) ** 2).sum(axis=1) / counts
    return mean.tolist(), np.where((histogram > 0).sum(axis=1) > 1, np.sqrt(variance), 1.0).tolist()
