"""The images a search trains on: uint8 arrays, decoded once into a cache, with their fixed splits.

The test part is kept apart and comes out of `test_images` only; a data set without one of its own gives a stratified
sixth of its images. Of the rest, what the data set marks as validation images is that, else a stratified fifth, at most
5,000. The splits depend on the labels and on constants here, never on a search's seed.
"""
# ruff: noqa: PT028  test_images is no test

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from http.client import HTTPException
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from nas import cache, folder, npz
from nas.cache import Ints, Pixels
from nas.errors import UserError, near
from nas.folder import Progress
from nas.network import LARGEST_SIDE, Images

FORMAT = 1  # of a cache entry; one more whenever decoding or the test split changes
BLOCK = 512  # images decoded and written at a time; 77 MB at 224 pixels a side
TEST, PART, VALIDATION = 1, 2, 3  # what the three draws are seeded with
VALIDATION_IMAGES = 5000  # at most, and at most a fifth


class BuiltIn(NamedTuple):
    """A data set known by name. torchvision: its class there; by_hand: the files to put into the cache's downloads."""

    images: Images
    torchvision: str = ""
    by_hand: str = ""


IDX = ", ".join(
    f"{{0}}/raw/{part}-ubyte.gz"
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
)
BUILT_IN = {
    "digits": BuiltIn(Images(8, 1, 10)),  # bundled in scikit-learn
    "cifar10": BuiltIn(Images(32, 3, 10), "CIFAR10", "cifar-10-python.tar.gz"),
    "cifar100": BuiltIn(Images(32, 3, 100), "CIFAR100", "cifar-100-python.tar.gz"),
    "fashion-mnist": BuiltIn(Images(28, 1, 10), "FashionMNIST", IDX.format("FashionMNIST")),
    "mnist": BuiltIn(Images(28, 1, 10), "MNIST", IDX.format("MNIST")),
    "svhn": BuiltIn(Images(32, 3, 10), "SVHN", "train_32x32.mat and test_32x32.mat"),
}


@dataclass(frozen=True, eq=False)  # arrays have no one answer to ==
class Data:
    """Training and validation images of one data set, with their split. Arrays are read-only."""

    name: str  # as typed: "digits", "folder:photos"
    pixels: Pixels  # (N, C, H, W), memory-mapped
    labels: Ints  # (N,)
    train: Ints  # indices into pixels, ascending
    valid: Ints  # likewise; with `images` given, the two do not cover all of pixels
    classes: tuple[str, ...]
    native: int  # pixels a side, the shorter; of a folder the median short side of the files as they lie there
    mean: tuple[float, ...]  # a channel, in 0..1, over all of pixels, so that it does not depend on the split
    std: tuple[float, ...]  # likewise; 1.0 for a constant channel
    digest: str  # a hash of the pixels
    skipped: int  # unreadable files left out
    loaded: Mapping[str, Any] | None = None  # what `load` was given beside the name; None for data it did not load

    @property
    def images(self) -> Images:
        """What a space may know: native size, channels, number of classes."""
        return Images(self.native, self.pixels.shape[1], len(self.classes))

    @property
    def decoded(self) -> Images:
        """The same with the size that a network is shown them in: a folder's may have been scaled on the way."""
        return self.images._replace(size=min(self.pixels.shape[2:]))

    def in_memory(self) -> Data:
        """The same with the pixels in memory, to be sent to machines that do not have the cache."""
        return replace(self, pixels=np.array(self.pixels))

    def __getstate__(self) -> dict[str, Any]:
        """Mapped pixels travel as the name of their file, for processes of this machine."""
        file = getattr(self.pixels, "filename", None)
        return vars(self) | ({} if file is None else {"pixels": Path(file)})

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(state["pixels"], Path):
            state["pixels"] = np.load(state["pixels"], mmap_mode="r", allow_pickle=False)
        vars(self).update(state)

    @property
    def fingerprint(self) -> str:
        """A short hash of what decides results: pixels, labels, split."""
        digest = hashlib.sha256(f"{self.digest} {len(self.labels)} {len(self.train)} ".encode())
        for numbers in (self.labels, self.train, self.valid):
            digest.update(numbers.astype("<i8").tobytes())
        return digest.hexdigest()[:16]


def names() -> tuple[str, ...]:
    """What may be typed as a data set."""
    return (*BUILT_IN, "folder:PATH", "npz:PATH")


def load(
    spec: str,
    *,
    images: int | None = None,
    largest: int | None = None,
    image_size: int | None = None,
    skip_corrupt: bool = False,
    progress: Progress | None = None,
) -> Data:
    """The data set `spec`, one of `names()`; the first time it is downloaded or decoded, later it is only opened.

    images: a stratified part of so many training images, validation taken from these; a validation part that the data
    set brings with it stays whole. largest: pixels a side beyond which a folder's images need not be kept; image_size:
    pixels a side of a folder's images, whatever largest and their own size. progress: called with how many images are
    done and how many there are, once over for a folder's headers and once for decoding.
    Raises UserError for whatever the user can mend.
    """
    entry = _entry(spec, largest, image_size, skip_corrupt, progress)
    meta = entry.meta
    train, valid = split(entry.labels, meta["valid"], images, spec)
    train.flags.writeable = valid.flags.writeable = False
    return Data(
        name=spec,
        pixels=entry.pixels,
        labels=entry.labels,
        train=train,
        valid=valid,
        classes=tuple(meta["classes"]),
        native=meta["native"],
        mean=tuple(meta["mean"]),
        std=tuple(meta["std"]),
        digest=meta["digest"],
        skipped=meta["skipped"],
        loaded={"images": images, "largest": largest, "image_size": image_size, "skip_corrupt": skip_corrupt},
    )


def test_images(
    spec: str,
    *,
    images: int | None = None,  # without effect; what `load` was given can be given here as it is
    largest: int | None = None,
    image_size: int | None = None,
    skip_corrupt: bool = False,
    progress: Progress | None = None,
) -> tuple[Pixels, Ints]:
    """The held-out test part, decoded as by `load`: uint8 (N, C, H, W), memory-mapped, and labels int64 (N,)."""
    entry = _entry(spec, largest, image_size, skip_corrupt, progress)
    return entry.test_pixels, entry.test_labels


def native(spec: str, progress: Progress | None = None) -> Images:
    """What a space may know of `spec`, equal to `load(spec).images` but without decoding an image."""
    kind, path = _parsed(spec)
    if kind == "folder":
        files = folder.listing(path)
        size, grey = _look(files, progress)
        return Images(size, 1 if grey else 3, len(files.classes))
    if kind == "npz":
        return npz.look(path)
    return BUILT_IN[spec].images


def summary(data: Data) -> str:
    """Classes, counts, split and bytes, in four lines; a fifth if files were left out."""
    used = np.concatenate([data.train, data.valid])
    counts = np.bincount(data.labels[used], minlength=len(data.classes))
    each = f"{counts.min():,} to {counts.max():,} images a class"
    if len(counts) <= 10:
        each = ", ".join(f"{name} {count:,}" for name, count in zip(data.classes, counts, strict=True))
    channels, height, width = data.pixels.shape[1:]
    lines = [
        f"{data.name}: {len(counts)} classes, {height} x {width} pixels, {channels} channel{'s'[: channels > 1]}",
        f"images: {len(used):,} ({each})",
        f"split: {len(data.train):,} to train on, {len(data.valid):,} for validation; test images are not touched",
        f"bytes: {len(used) * channels * height * width:,}",
    ]
    return "\n".join(lines + [f"left out: {data.skipped:,} files that cannot be read"] * (data.skipped > 0))


# --- splits ---


def split(labels: Ints, given: int, images: int | None, spec: str) -> tuple[Ints, Ints]:
    """Indices to train on and for validation, both ascending; the last `given` labels are validation images already.

    Raises UserError if `images` is more than there are to train on, or fewer than two a class.
    """
    part = np.arange(len(labels) - given)
    classes = int(labels.max()) + 1
    if images is not None:
        if not 2 * classes <= images <= len(part):
            raise UserError(
                f"--images: found {images}, expected between {2 * classes} (two for each of {classes} classes) and "
                f"{len(part)}, the training images of {spec}; change it, or leave it out to use all"
            )
        part = stratified(labels[part], images, PART, least=2)
    if given:
        return part, np.arange(len(labels) - given, len(labels))
    wanted = max(classes, min(VALIDATION_IMAGES, len(part) // 5))
    valid = part[stratified(labels[part], wanted, VALIDATION)]
    return np.setdiff1d(part, valid, assume_unique=True), valid


def stratified(labels: Ints, wanted: int, seed: int, least: int = 1) -> Ints:
    """Ascending indices of `wanted` images: classes in proportion, each at least `least` times; `seed` draws which.

    Needs `least` images in each class, and `wanted` of at least `least` times the number of classes.
    """
    # raw numbers and a stable sort: numpy promises those to stay the same, but not its shuffles
    shuffled = np.argsort(np.random.PCG64(seed).random_raw(len(labels)), kind="stable")
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.sort(by_class[rank < np.repeat(shares(counts, wanted, least), counts)])


def shares(counts: Ints, wanted: int, least: int) -> Ints:
    """`wanted` dealt out in proportion to `counts`, each at least `least`: whole parts first, then largest remainders.

    shares([5, 3, 2], wanted=5, least=1) is [3, 1, 1]: 2.5, 1.5 and 1.0, and the first of two equal remainders gets it.
    """
    dealt, remainders = np.divmod(wanted * counts, counts.sum())
    dealt[np.argsort(-remainders, kind="stable")[: wanted - dealt.sum()]] += 1
    dealt = np.maximum(dealt, least)
    while dealt.sum() > wanted:
        dealt[np.argmax(dealt)] -= 1
    return dealt


def check_classes(spec: str, classes: tuple[str, ...], labels: Ints, least: int) -> None:
    """Raises UserError unless there are two classes and each has `least` images."""
    if len(classes) < 2:
        raise UserError(f"{spec}: found one class ({classes[0]}), expected two or more; add images of another class")
    counts = np.bincount(labels, minlength=len(classes))
    few = [f"{name} ({count})" for name, count in zip(classes, counts, strict=True) if count < least]
    if few:
        raise UserError(
            f"{spec}: found too few training images in {', '.join(few)}, expected {least} or more a class, so that "
            f"training, validation{' and test' if least > 2 else ''} get one each; add images, or remove the class"
        )


# --- into the cache ---


class Part(NamedTuple):
    """Images not decoded yet, or arrays as they came. items: uint8 (N, C, H, W), or paths (N,); labels: int64 (N,)."""

    items: npt.NDArray[Any]
    labels: Ints


class Source(NamedTuple):
    """A data set before it is in the cache. parts: "train" and "test", and "valid" if it marks validation images."""

    classes: tuple[str, ...]
    native: int
    parts: dict[str, Part]
    read: Callable[[Any], tuple[Pixels, npt.NDArray[np.bool_]]]  # some of the items -> their images; which had one
    unreadable: list[str]  # what `read` found no image in, with the reason


def _entry(
    spec: str, largest: int | None, image_size: int | None, skip_corrupt: bool, progress: Progress | None
) -> cache.Entry:
    kind, path = _parsed(spec)
    if image_size is not None and kind != "folder":
        raise UserError(f"--image-size: found it with {spec}, expected it with folder:PATH only; leave it out")
    make: Callable[[], Source]
    if kind == "folder":
        files = folder.listing(path)
        short, grey = _look(files, progress)
        size = _side(short, largest, image_size)
        name = f"folder-{_hash(files.state, size, skip_corrupt)}"
        make = partial(_from_folder, spec, files, short, size, grey)
    elif kind == "npz":
        name = f"npz-{_hash(*npz.state(path))}"
        make = partial(_from_npz, spec, path)
    else:
        name = f"{spec}-{FORMAT}"
        make = partial(_from_torchvision, spec) if BUILT_IN[spec].torchvision else _from_scikit_learn
    return cache.entry(name, partial(_write, make, spec, skip_corrupt, progress))


def _side(short: int, largest: int | None, image_size: int | None) -> int:
    side = min(largest or short, short) if image_size is None else image_size
    if not 1 <= side <= LARGEST_SIDE:
        raise UserError(f"--image-size: found {side}, expected 1 to {LARGEST_SIDE} pixels a side; give another")
    return side


def _parsed(spec: str) -> tuple[str, Path]:
    kind, _, path = spec.partition(":")
    if spec not in BUILT_IN and (kind not in ("folder", "npz") or not path):
        raise UserError(
            f"data: found {spec!r}{near(spec, names())}, expected one of {', '.join(names())}; see nas search --help"
        )
    try:
        return kind, Path(path).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"data: found {spec!r}, expected a path; ~ stands for no folder there, write it out") from None


def _hash(*facts: object) -> str:
    return hashlib.sha256(repr((FORMAT, *facts)).encode()).hexdigest()[:16]


def _write(make: Callable[[], Source], spec: str, skip_corrupt: bool, progress: Progress | None, entry: Path) -> None:
    source = make()
    labels: dict[str, list[Ints]] = {}
    blocks = {part: _blocks(source, part, labels, progress) for part in source.parts}
    digest, histogram = cache.save(entry / "pixels.npy", chain(blocks["train"], blocks.get("valid", ())))
    cache.save(entry / "test_pixels.npy", blocks["test"])
    if source.unreadable and not skip_corrupt:
        raise UserError(
            f"{spec}: found {len(source.unreadable)} files that cannot be read, expected images; mend or remove them, "
            "or go on without them with --skip-corrupt:\n  " + "\n  ".join(_first(source.unreadable))
        )
    kept = {part: np.concatenate(found) for part, found in labels.items()}
    check_classes(spec, source.classes, kept["train"], least=2)
    empty = [part for part, found in kept.items() if not len(found)]
    if empty:
        raise UserError(f"{spec}: found no readable {empty[0]} images, expected one or more; mend or add files")
    valid = kept.get("valid", kept["train"][:0])
    np.save(entry / "labels.npy", np.concatenate([kept["train"], valid]))
    np.save(entry / "test_labels.npy", kept["test"])
    mean, std = cache.mean_and_std(histogram)
    facts = {"classes": source.classes, "native": source.native, "valid": len(valid), "digest": digest}
    facts |= {"mean": mean, "std": std, "skipped": len(source.unreadable)}
    (entry / "meta.json").write_text(json.dumps(facts))


def _first(lines: list[str], most: int = 20) -> list[str]:
    """The first few, and how many more there are."""
    return lines[:most] + [f"and {len(lines) - most:,} more"] * (len(lines) > most)


def _blocks(source: Source, part: str, labels: dict[str, list[Ints]], progress: Progress | None) -> Iterator[Pixels]:
    """The images of a part, a block at a time; the labels of what can be read are added to `labels[part]`."""
    items, known = source.parts[part]
    total = sum(len(one.labels) for one in source.parts.values())
    for start in range(0, len(known), BLOCK):
        images, readable = source.read(items[start : start + BLOCK])
        labels.setdefault(part, []).append(known[start : start + BLOCK][readable])
        if progress:
            progress(sum(len(b) for found in labels.values() for b in found) + len(source.unreadable), total)
        yield images


# --- sources ---


def _from_arrays(spec: str, classes: tuple[str, ...], parts: dict[str, Part]) -> Source:
    short = min(parts["train"].items.shape[2:])
    return Source(classes, short, _with_test(spec, classes, parts), lambda x: (x, np.ones(len(x), bool)), [])


def _with_test(spec: str, classes: tuple[str, ...], parts: dict[str, Part]) -> dict[str, Part]:
    """The parts, with a stratified sixth of the training images as test part if there is none."""
    items, labels = parts["train"]
    check_classes(spec, classes, labels, least=2 if "test" in parts else 3)
    if "test" in parts:
        return parts
    test = stratified(labels, max(len(classes), len(labels) // 6), TEST)
    rest = np.setdiff1d(np.arange(len(labels)), test)
    return parts | {"train": Part(items[rest], labels[rest]), "test": Part(items[test], labels[test])}


def _from_scikit_learn() -> Source:
    from sklearn.datasets import load_digits

    found = load_digits()
    grey = np.rint(found.images * (255 / 16)).astype(np.uint8)  # they come as 0 to 16
    classes = tuple(str(name) for name in found.target_names)
    return _from_arrays("digits", classes, {"train": Part(grey[:, None], found.target.astype(np.int64))})


def _from_torchvision(name: str) -> Source:
    from torchvision import datasets

    make, downloads = getattr(datasets, BUILT_IN[name].torchvision), cache.root() / "downloads"
    which = [{"split": part} if name == "svhn" else {"train": part == "train"} for part in ("train", "test")]
    try:
        with warnings.catch_warnings(action="ignore"):  # of numpy, at the old pickles and .mat files
            found = [make(downloads, download=True, **kind) for kind in which]
    except (OSError, RuntimeError, ValueError, EOFError, HTTPException) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{name}: found no whole copy in {downloads} and could not download one ({reason}); remove what is damaged "
            f"there, and mend the network or put there by hand {BUILT_IN[name].by_hand}"
        ) from error
    parts = {"train": _torchvision_part(found[0]), "test": _torchvision_part(found[1])}
    classes = getattr(found[0], "classes", range(BUILT_IN[name].images.classes))
    return _from_arrays(name, tuple(str(one) for one in classes), parts)


def _torchvision_part(found: Any) -> Part:
    labels = found.labels if hasattr(found, "labels") else found.targets  # SVHN's, and all others'
    return Part(npz.channels_first(np.asarray(found.data), "images"), np.asarray(labels).astype(np.int64))


def _look(files: folder.Files, progress: Progress | None) -> tuple[int, bool]:
    """`folder.look`, kept in the cache: a hundred thousand headers take many seconds."""
    kept = cache.root() / f"look-{_hash(files.state)}.json"
    with contextlib.suppress(OSError, ValueError):
        short, grey = json.loads(kept.read_text())
        return int(short), bool(grey)
    found = folder.look(files, progress)
    with cache.writing(), tempfile.TemporaryDirectory(dir=cache.root(), prefix=".look-") as scratch:
        new = Path(scratch, "look")
        new.write_text(json.dumps(found))
        new.replace(kept)
    return found


def _from_folder(spec: str, files: folder.Files, short: int, size: int, grey: bool) -> Source:
    parts = {}
    for part, found in files.parts.items():
        paths, labels = zip(*found, strict=True)
        parts[part] = Part(np.array(paths, dtype=object), np.array(labels, dtype=np.int64))
    unreadable: list[str] = []
    threads = (
        (os.cpu_count() or 1) if short >= 100 else 1
    )  # small files lose more to the interpreter lock than they gain
    read = folder.reader(size, grey, threads, unreadable)
    return Source(files.classes, short, _with_test(spec, files.classes, parts), read, unreadable)


def _from_npz(spec: str, path: Path) -> Source:
    classes, arrays = npz.read(path)
    return _from_arrays(spec, classes, {part: Part(*both) for part, both in arrays.items()})
