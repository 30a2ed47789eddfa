from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from nas import cache, data, npz
from nas.errors import UserError
from nas.network import Images

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(autouse=True)
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("NAS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entries(cached: Path, kind: str) -> list[str]:
    return [at.name for at in cached.iterdir() if kind in at.name and not at.name.endswith(".lock")]


def filled(value: int | tuple[int, int, int], width: int = 8, height: int = 8) -> Image.Image:
    return Image.new("L" if isinstance(value, int) else "RGB", (width, height), value)


def photos(path: Path, counts: dict[str, int]) -> Path:
    """Grey PNGs, 8 pixels a side: image 0 of a class is all 0, image 1 all 1, ..."""
    for name, count in counts.items():
        (path / name).mkdir(parents=True)
        for value in range(count):
            filled(value).save(path / name / f"{value}.png")
    return path


def saved(path: Path, **arrays: Any) -> str:
    np.savez(path / "images.npz", **arrays)
    return f"npz:{path / 'images.npz'}"


def grey(count: int) -> npt.NDArray[np.uint8]:
    return np.arange(count * 16, dtype=np.uint8).reshape(count, 4, 4)


# --- digits ---


def test_digits_gives_a_sixth_to_test_and_a_fifth_of_the_rest_to_validation() -> None:
    digits = data.load("digits")
    pixels, labels = data.test_images("digits")
    assert digits.images == data.native("digits") == Images(8, 1, 10)
    assert digits.classes == tuple("0123456789")
    assert len(labels) == 1797 // 6 == 299
    assert len(digits.valid) == 1498 // 5 == 299
    assert len(digits.train) == 1797 - 299 - 299
    assert pixels.shape == (299, 1, 8, 8)
    assert digits.pixels.max() == 255  # 16 in scikit-learn
    assert set(digits.train).isdisjoint(digits.valid)


def test_the_split_of_digits_is_the_same_for_ever() -> None:
    digits = data.load("digits")
    assert digits.valid[:5].tolist() == [0, 4, 7, 9, 20]
    assert digits.fingerprint == "1ca8e8b1fcb7f032"


def test_a_warm_load_imports_no_library_that_takes_seconds(cached: Path) -> None:
    data.load("digits")
    program = (
        "import sys; from nas import data; data.load('digits'); data.native('digits'); "
        "print(sorted({'torch', 'torchvision', 'sklearn', 'PIL', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert entries(cached, "digits") == ["digits-1"]


def test_a_damaged_entry_is_made_anew(cached: Path) -> None:
    before = data.load("digits").fingerprint
    (cached / "digits-1" / "pixels.npy").write_bytes(b"half of it")
    assert data.load("digits").fingerprint == before


def test_arrays_cannot_be_written_to() -> None:
    digits = data.load("digits")
    pixels, labels = data.test_images("digits")
    for array in (digits.pixels, digits.labels, digits.train, digits.valid, pixels, labels):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert isinstance(digits.pixels, np.memmap)


def test_summary_names_classes_counts_split_and_bytes(tmp_path: Path) -> None:
    spec = saved(tmp_path, x_train=grey(10), y_train=[0] * 6 + [1] * 4, x_test=grey(2), y_test=[0, 1])
    assert data.summary(data.load(spec)).splitlines() == [
        f"{spec}: 2 classes, 4 x 4 pixels, 1 channel",
        "images: 10 (0 6, 1 4)",
        "split: 8 to train on, 2 for validation; test images are not touched",
        "bytes: 160",
    ]


# --- splits ---


def test_shares_are_whole_parts_and_then_largest_remainders() -> None:
    assert data.shares(np.array([5, 3, 2]), wanted=5, least=1).tolist() == [3, 1, 1]  # 2.5, 1.5, 1.0
    assert data.shares(np.array([98, 1, 1]), wanted=10, least=1).tolist() == [8, 1, 1]  # 9.8, 0.1, 0.1
    assert data.shares(np.array([2, 2]), wanted=4, least=2).tolist() == [2, 2]


def test_a_part_of_the_images_is_stratified_and_split_in_turn() -> None:
    half = data.load("digits", images=100)
    counts = np.bincount(half.labels[np.concatenate([half.train, half.valid])])
    assert counts.sum() == 100
    assert set(counts) == {10}  # of 145 to 153 images a class
    assert len(half.valid) == 20
    assert np.bincount(half.labels[half.valid]).tolist() == [2] * 10
    assert half.fingerprint != data.load("digits").fingerprint


@pytest.mark.parametrize("images", [-1, 0, 19, 1499])
def test_more_images_than_there_are_or_fewer_than_two_a_class_are_refused(images: int) -> None:
    message = (
        f"--images: found {images}, expected between 20 .two for each of 10 classes. and 1498, the training images of"
    )
    with pytest.raises(UserError, match=message):
        data.load("digits", images=images)


def test_the_mean_is_of_all_images_and_a_constant_channel_has_std_one(tmp_path: Path) -> None:
    x = np.zeros((8, 4, 4, 3), np.uint8)
    x[..., 1] = 255
    x[::2, ..., 2] = 255  # half of the images
    spec = saved(tmp_path, x_train=x, y_train=[0, 1] * 4, x_test=x, y_test=[0, 1] * 4)
    images = data.load(spec)
    assert images.mean == pytest.approx((0, 1, 0.5))
    assert images.std == pytest.approx((1, 1, 0.5))
    assert data.load(spec, images=4).mean == images.mean


# --- what is typed ---


@pytest.mark.parametrize("spec", ["", "cifar", "folder:", "digits:8"])
def test_an_unknown_name_is_answered_with_those_there_are(spec: str) -> None:
    with pytest.raises(UserError, match=r"expected one of digits, cifar10, .*, folder:PATH, npz:PATH"):
        data.load(spec)
    with pytest.raises(UserError, match="expected one of digits"):
        data.native(spec)


def test_an_image_size_without_a_folder_is_refused() -> None:
    with pytest.raises(UserError, match="--image-size: found it with digits, expected it with folder:PATH only"):
        data.load("digits", image_size=8)


def test_the_cache_is_made_for_its_user_alone(cached: Path) -> None:
    data.load("digits")
    assert cached.stat().st_mode & 0o077 == 0


class Mark:
    """Leaves a file where it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.file,)


@pytest.mark.parametrize("name", ["pixels", "test_pixels", "labels", "test_labels"])
def test_a_pickle_put_into_the_cache_is_not_read(cached: Path, tmp_path: Path, name: str) -> None:
    before = data.load("digits")
    file = next(cached.glob(f"digits-*/{name}.npy"))
    np.save(file, np.array([Mark(tmp_path / "ran")]), allow_pickle=True)
    assert data.load("digits").fingerprint == before.fingerprint  # made anew
    assert not (tmp_path / "ran").exists()
    np.save(file, np.array([Mark(tmp_path / "ran")]), allow_pickle=True)
    np.load(file, allow_pickle=True)
    assert (tmp_path / "ran").exists()  # it would have run


def test_a_cache_that_cannot_be_written_is_told_with_the_variable_to_set(cached: Path) -> None:
    cached.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"cannot be written .*set NAS_CACHE"):
        data.load("digits")


def test_the_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert cache.root() == Path("/caches/nas")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.root() == Path.home() / ".cache" / "nas"


# --- torchvision ---


def idx(path: Path, array: npt.NDArray[np.uint8]) -> None:
    """LeCun's format: two zeros, 8 for uint8, the rank, each length big-endian, the bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = bytes([0, 0, 8, array.ndim]) + b"".join(length.to_bytes(4, "big") for length in array.shape)
    path.write_bytes(head + array.tobytes())


def test_mnist_put_there_by_hand_is_read_without_a_network(cached: Path) -> None:
    raw = cached / "downloads" / "MNIST" / "raw"
    for part, count in (("train", 40), ("t10k", 10)):
        idx(raw / f"{part}-images-idx3-ubyte", np.full((count, 28, 28), 51, np.uint8))
        idx(raw / f"{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    mnist = data.load("mnist")
    assert mnist.images == data.native("mnist") == Images(28, 1, 10)
    assert mnist.classes[3] == "3 - three"
    assert mnist.mean == pytest.approx((0.2,))
    assert (len(mnist.train), len(mnist.valid)) == (30, 10)  # one a class is more than a fifth
    assert data.test_images("mnist")[1].tolist() == list(range(10))


@pytest.mark.parametrize(("name", "by_hand"), [("cifar10", "cifar-10-python.tar.gz"), ("svhn", "train_32x32.mat")])
def test_a_failed_download_says_where_to_put_the_files_by_hand(cached: Path, name: str, by_hand: str) -> None:
    cached.mkdir()
    (cached / "downloads").write_text("a file where the folder should be")  # fails with and without a network
    with pytest.raises(UserError, match=f"{name}: found no whole copy in {cached}/downloads .*by hand {by_hand}"):
        data.load(name)
    assert entries(cached, name) == []


# --- npz ---


@pytest.mark.parametrize(
    ("shape", "native"),
    [
        ((6, 5, 4), (4, 1)),
        ((6, 5, 4, 1), (4, 1)),
        ((6, 5, 4, 3), (4, 3)),
        ((6, 3, 4, 5), (4, 3)),
        ((6, 1, 4, 5), (4, 1)),
    ],
)
def test_an_npz_may_hold_channels_nowhere_last_or_first(
    tmp_path: Path, shape: tuple[int, ...], native: tuple[int, int]
) -> None:
    spec = saved(tmp_path, x=np.zeros(shape, np.uint8), y=[0, 1] * 3)
    assert data.load(spec).images == data.native(spec) == Images(*native, 2)
    assert len(data.test_images(spec)[1]) == 2  # a sixth is one, but each class gives one


def test_channels_last_become_channels_first(tmp_path: Path) -> None:
    x = np.arange(4 * 5 * 6 * 3, dtype=np.uint16).astype(np.uint8).reshape(4, 5, 6, 3)
    images = data.load(saved(tmp_path, x_train=x, y_train=[[0], [1], [0], [1]], x_test=x, y_test=[0, 1, 0, 1]))
    np.testing.assert_array_equal(images.pixels[1, 2], x[1, :, :, 2])
    assert images.labels.tolist() == [0, 1, 0, 1]


def test_validation_images_of_an_npz_are_kept_whole(tmp_path: Path) -> None:
    parts = {"x_train": grey(6), "y_train": [0, 1] * 3, "x_val": grey(3), "y_val": [1, 1, 0]}
    spec = saved(tmp_path, **parts, x_test=grey(1), y_test=[1])
    images = data.load(spec, images=4)
    assert images.valid.tolist() == [6, 7, 8]
    assert images.labels[images.valid].tolist() == [1, 1, 0]
    assert np.bincount(images.labels[images.train]).tolist() == [2, 2]


GOOD = {"x": grey(8), "y": np.array([0, 1] * 4)}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": grey(8)}, "found the arrays x, expected y too"),
        ({}, r"found the arrays \(none\), expected x and y too"),
        ({"x_train": grey(8), "y_train": [0, 1] * 4, "x_test": grey(1)}, "expected y_test too"),
        (GOOD | {"x": grey(8) / 255}, "found float64 in x, expected uint8; save .x . 255..round"),
        (GOOD | {"x": grey(8).astype(np.int64)}, "found int64 in x, expected uint8"),
        (GOOD | {"x": np.array([{}] * 8)}, "found pickled objects in x or y"),
        (GOOD | {"y": np.array([None] * 8)}, "found pickled objects in x or y"),
        (GOOD | {"y": np.zeros(8)}, "found float64 in y, expected whole numbers"),
        (GOOD | {"y": np.array(["cat", "dog"] * 4)}, "found <U3 in y, expected whole numbers"),
        (
            GOOD | {"y": np.array([0, 1] * 3)},
            r"found shape \(6,\) in y and \(8, 4, 4\) in x, expected one label an image",
        ),
        (GOOD | {"y": np.eye(8, dtype=np.int64)}, r"found shape \(8, 8\) in y"),
        (GOOD | {"y": np.array([0, 2] * 4)}, "found 2 classes labelled 0 to 2 .*without a gap"),
        (GOOD | {"y": np.array([-1, 0] * 4)}, "found 2 classes labelled -1 to 0"),
        (GOOD | {"y": np.zeros(8, np.int64)}, "found one class"),
        (GOOD | {"y": np.array([0] * 6 + [1] * 2)}, r"too few training images in 1 \(2\), expected 3 or more"),
        (GOOD | {"x": grey(8).reshape(8, 16)}, r"found shape \(8, 16\), expected \(N, H, W\)"),
        (GOOD | {"x": grey(8).reshape(8, 2, 4, 2)}, r"found shape \(8, 2, 4, 2\)"),
        (GOOD | {"x": np.zeros((8, 0, 4), np.uint8)}, r"found shape \(8, 0, 4\).*no 0"),
        ({"x": np.zeros((0, 4, 4), np.uint8), "y": np.zeros(0, np.int64)}, "no 0"),
        (GOOD | {"x": np.zeros((8, 3, 9, 1), np.uint8)}, r"may be \(N, H, W, C\) or \(N, C, H, W\)"),
        (
            {"x_train": grey(8), "y_train": [0, 1] * 4, "x_test": grey(2), "y_test": [0, 2]},
            "found labels 0 to 2 in y_test, expected 0 to 1",
        ),
        (
            {"x_train": grey(8), "y_train": [0, 1] * 4, "x_test": grey(2)[:, :3], "y_test": [0, 1]},
            r"found images \(C, H, W\) \(1, 3, 4\) in x_test, expected \(1, 4, 4\)",
        ),
    ],
)
def test_an_npz_that_cannot_be_used_is_refused(
    tmp_path: Path, cached: Path, arrays: dict[str, Any], message: str
) -> None:
    spec = saved(tmp_path, **arrays)
    with pytest.raises(UserError, match=message):
        data.load(spec)
    assert entries(cached, "npz") == []


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + bytes(17)])
def test_a_file_that_is_no_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    for ask in (data.load, data.native):
        with pytest.raises(UserError, match=r"a\.npz: found a file that cannot be read .*numpy\.savez"):
            ask(f"npz:{tmp_path / 'a.npz'}")


def test_an_npz_cut_or_changed_inside_is_refused(tmp_path: Path) -> None:
    path = Path(saved(tmp_path, **GOOD).removeprefix("npz:"))
    whole = path.read_bytes()
    place = whole.index(grey(8).tobytes())
    path.write_bytes(whole[:place] + b"\xff" + whole[place + 1 :])
    with pytest.raises(UserError, match=r"cannot be read .*CRC"):
        data.load(f"npz:{path}")


def test_a_missing_npz_is_refused(tmp_path: Path) -> None:
    for ask in (data.load, data.native):
        with pytest.raises(UserError, match="found no such file"):
            ask(f"npz:{tmp_path}")


def packed(path: Path, files: dict[str, bytes], after: int = 0) -> str:
    """An archive of these files, after so many bytes that are in none of them."""
    with path.open("wb") as file:
        file.truncate(after)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return f"npz:{path}"


def headed(shape: tuple[int, ...], size: int = 0) -> bytes:
    """The beginning of a .npy of uint8 with that shape, and so many zeros."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(size)


@pytest.mark.parametrize(("after", "most"), [(0, npz.HARMLESS), (npz.LARGEST // npz.DENSEST + 1, npz.LARGEST)])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, after: int, most: int) -> None:
    content = {"x.npy": headed((10**9, 32, 32)), "y.npy": headed((10**9,))}
    spec = packed(tmp_path / "bomb.npz", content, after)
    for ask in (data.load, data.native):
        with pytest.raises(UserError, match=f"found arrays of 1,025,000,000,000 bytes, expected at most {most:,} in"):
            ask(spec)


def test_a_header_is_not_unpacked_whole(tmp_path: Path) -> None:
    endless = b"\x93NUMPY\x02\x00" + (2**28).to_bytes(4, "little") + bytes(2**28)
    spec = packed(tmp_path / "bomb.npz", {"x.npy": endless, "y.npy": headed((8,), 8)})
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"cannot be read .*header"):
            data.native(spec)
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_the_array_that_is_read_is_the_one_that_was_checked(tmp_path: Path) -> None:
    x, y = headed((8, 4, 4), 128), headed((8,)) + bytes([0, 1] * 4)
    spec = packed(tmp_path / "two.npz", {"x": headed((10**6, 64, 64)), "x.npy": x, "y": b"none", "y.npy": y})
    assert data.native(spec) == data.load(spec).images == Images(4, 1, 2)


def test_a_changed_npz_is_read_anew(tmp_path: Path) -> None:
    assert data.load(saved(tmp_path, **GOOD)).pixels.shape[2:] == (4, 4)
    assert data.load(saved(tmp_path, x=np.zeros((9, 5, 5), np.uint8), y=[0, 1, 2] * 3)).pixels.shape[2:] == (5, 5)


# --- folders ---


def test_a_folder_has_its_sorted_folders_as_classes(tmp_path: Path) -> None:
    path = photos(tmp_path / "photos", {"dog": 6, "cat": 6})
    (path / ".hidden").mkdir()
    (path / "cat" / ".hidden.png").write_text("no image")
    (path / "cat" / "notes.txt").write_text("no image")
    (path / "dog" / "more").mkdir()
    filled(6).save(path / "dog" / "more" / "6.png")
    found = data.load(f"folder:{path}")
    assert found.classes == ("cat", "dog")
    assert found.images == data.native(f"folder:{path}") == Images(8, 1, 2)
    assert found.labels.tolist() == [0] * 5 + [1] * 6  # 13 images; a sixth, one of each class, is the test part
    assert len(found.valid) == 2
    assert found.pixels[found.labels == 1].max() == 6
    pixels, labels = data.test_images(f"folder:{path}")
    assert (pixels.shape, labels.tolist()) == ((2, 1, 8, 8), [0, 1])


def test_train_val_and_test_beside_one_another_are_respected(tmp_path: Path) -> None:
    path = tmp_path / "photos"
    for part, count in (("train", 4), ("val", 3), ("test", 2)):
        photos(path / part, {"cat": count, "dog": count})
    found = data.load(f"folder:{path}")
    assert found.pixels[found.train, 0, 0, 0].tolist() == [0, 1, 2, 3] * 2
    assert found.pixels[found.valid, 0, 0, 0].tolist() == [0, 1, 2] * 2
    pixels, labels = data.test_images(f"folder:{path}")
    assert (pixels[:, 0, 0, 0].tolist(), labels.tolist()) == ([0, 1] * 2, [0, 0, 1, 1])


def test_train_and_test_alone_leave_validation_to_a_fifth_of_train(tmp_path: Path) -> None:
    for part, count in (("train", 10), ("test", 2)):
        photos(tmp_path / "photos" / part, {"cat": count, "dog": count})
    found = data.load(f"folder:{tmp_path / 'photos'}")
    assert np.bincount(found.labels[found.valid]).tolist() == [2, 2]
    assert len(data.test_images(f"folder:{tmp_path / 'photos'}")[1]) == 4


def test_an_image_of_any_size_mode_and_orientation_becomes_its_upright_centre_square(tmp_path: Path) -> None:
    path = tmp_path / "photos"
    for part in ("train/a", "train/b", "test/a"):
        (path / part).mkdir(parents=True)
    red, blue, green = (255, 0, 0), (0, 0, 255), (0, 255, 0)
    wide = filled(red, 40, 20)
    wide.paste(filled(blue, 20, 10), (10, 10))  # the centre square is red above blue
    wide.save(path / "train/a/1.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side: to be turned clockwise
    wide.transpose(Image.Transpose.ROTATE_90).save(path / "train/a/2.png", exif=exif)
    wide.quantize(2).save(path / "train/a/3.png")
    wide.convert("RGBA").save(path / "train/a/4.tif")
    Image.fromarray(np.full((20, 30), 200 * 256, np.uint16)).save(path / "train/b/1.png")  # I;16
    filled(100, 20, 90).save(path / "train/b/2.png")
    filled(green, 300, 200).convert("CMYK").save(path / "test/a/1.jpg", quality=100)
    found = data.load(f"folder:{path}", image_size=4)
    assert found.pixels.shape == (6, 3, 4, 4)
    for image in found.pixels[:4]:
        assert image[:, 0].T.tolist() == [list(red)] * 4
        assert image[:, 3].T.tolist() == [list(blue)] * 4
    assert set(found.pixels[4].flat) == {200}
    assert set(found.pixels[5].flat) == {100}
    np.testing.assert_allclose(data.test_images(f"folder:{path}", image_size=4)[0][0, :, 0, 0], green, atol=3)


def test_images_are_kept_as_large_as_the_space_asks_but_not_larger_than_they_are(tmp_path: Path) -> None:
    spec = f"folder:{photos(tmp_path / 'photos', {'cat': 3, 'dog': 3})}"
    sides = {largest: data.load(spec, largest=largest).pixels.shape[2] for largest in (None, 4, 8, 128)}
    assert sides == {None: 8, 4: 4, 8: 8, 128: 8}
    assert data.load(spec, largest=4, image_size=16).pixels.shape[2] == 16
    assert data.load(spec, largest=4).native == 8
    with pytest.raises(UserError, match="--image-size: found 0, expected 1 to 4096 pixels a side"):
        data.load(spec, image_size=0)


def test_a_file_of_a_format_that_another_program_would_have_to_draw_is_no_image(tmp_path: Path) -> None:
    path = photos(tmp_path / "photos", {"cat": 3, "dog": 3})
    filled(0).save(path / "cat" / "drawn.png", format="EPS")  # Pillow would run Ghostscript
    with pytest.raises(
        UserError,
        match=r"found 1 files that cannot be read.*\n.*drawn\.png: a PostScript drawing, no image that can be read$",
    ):
        data.load(f"folder:{path}")


def test_native_size_is_the_median_of_the_short_sides(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number, (width, height) in enumerate([(10, 20), (31, 30), (300, 200)]):
            filled((1, 2, 3), width, height).save(tmp_path / "photos" / name / f"{number}.png")
    assert data.native(f"folder:{tmp_path / 'photos'}") == Images(30, 3, 2)
    assert data.load(f"folder:{tmp_path / 'photos'}").images == Images(30, 3, 2)


def test_all_unreadable_files_are_listed_at_once_or_left_out(tmp_path: Path, cached: Path) -> None:
    path = photos(tmp_path / "photos", {"cat": 6, "dog": 6})
    (path / "cat" / "bad.jpg").write_text("no image")
    (path / "cat" / "none.png").symlink_to("nowhere")
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)).save(whole, "png")
    (path / "dog" / "cut.png").write_bytes(whole.getvalue()[:1000])
    for _ in range(2):
        with pytest.raises(UserError, match=r"found 3 files .*--skip-corrupt:") as refused:
            data.load(f"folder:{path}")
        listed = [line.split(": ")[0] for line in str(refused.value).splitlines()[1:]]
        assert sorted(Path(line).name for line in listed) == ["bad.jpg", "cut.png", "none.png"]
        assert entries(cached, "folder") == []
    found = data.load(f"folder:{path}", skip_corrupt=True)
    assert len(found.labels) + len(data.test_images(f"folder:{path}", skip_corrupt=True)[1]) == 12
    assert found.skipped == 3
    assert data.summary(found).endswith("left out: 3 files that cannot be read")


def test_leaving_out_what_cannot_be_read_may_leave_too_little(tmp_path: Path, cached: Path) -> None:
    path = photos(tmp_path / "photos", {"cat": 4, "dog": 1})
    for number in range(4):
        (path / "dog" / f"bad{number}.png").write_text("no image")
    with pytest.raises(UserError, match=r"too few training images in dog \([01]\)"):
        data.load(f"folder:{path}", skip_corrupt=True)
    assert entries(cached, "folder") == []


def test_a_folder_with_one_class_is_refused(tmp_path: Path) -> None:
    path = photos(tmp_path / "photos", {"cat": 6})
    for ask in (data.load, data.native):
        with pytest.raises(UserError, match=r"found one class folder \(cat\), expected two or more"):
            ask(f"folder:{path}")


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found no class folder, expected two or more"):
        data.load(f"folder:{tmp_path}")


def test_class_folders_without_images_are_refused(tmp_path: Path) -> None:
    photos(tmp_path / "photos", {"cat": 0, "dog": 0})
    with pytest.raises(UserError, match=r"found no image, expected files ending in \.jpg, "):
        data.load(f"folder:{tmp_path / 'photos'}")


def test_a_class_with_too_few_images_is_named(tmp_path: Path) -> None:
    photos(tmp_path / "photos", {"cat": 5, "cow": 2, "dog": 0})
    with pytest.raises(UserError, match=r"too few training images in cow \(2\), dog \(0\), expected 3 or more"):
        data.load(f"folder:{tmp_path / 'photos'}")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="found no such folder"):
        data.load(f"folder:{tmp_path / 'nowhere'}")


def test_a_class_that_only_test_has_is_refused(tmp_path: Path) -> None:
    photos(tmp_path / "photos" / "train", {"cat": 4, "dog": 4})
    photos(tmp_path / "photos" / "test", {"cat": 4, "cow": 4})
    with pytest.raises(UserError, match="found the class 'cow', expected only classes that train/ has"):
        data.load(f"folder:{tmp_path / 'photos'}")


def test_a_folder_without_one_image_that_can_be_read_is_refused(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        (tmp_path / "photos" / name / "a.png").write_text("no image")
    with pytest.raises(UserError, match="found no readable image"):
        data.native(f"folder:{tmp_path / 'photos'}")


def test_a_changed_folder_is_decoded_anew(tmp_path: Path) -> None:
    path = photos(tmp_path / "photos", {"cat": 3, "dog": 3})
    before = data.load(f"folder:{path}").fingerprint
    assert data.load(f"folder:{path}").fingerprint == before
    for value in range(3):
        filled((200, 0, 0)).save(path / "cat" / f"{value}.png")
    after = data.load(f"folder:{path}")
    assert after.fingerprint != before
    assert after.images.channels == 3


def test_progress_counts_to_the_end_and_only_where_there_is_work(tmp_path: Path) -> None:
    path = photos(tmp_path / "photos", {"cat": 6, "dog": 6})
    (path / "cat" / "bad.jpg").write_text("no image")
    seen: list[tuple[int, int]] = []
    for _ in range(2):
        data.load(f"folder:{path}", skip_corrupt=True, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(13, 13), (11, 13), (13, 13)]  # headers; to search with; the test part


def test_processes_that_decode_at_once_do_not_hurt_one_another(tmp_path: Path, cached: Path) -> None:
    path = photos(tmp_path / "photos", {"cat": 40, "dog": 40})
    program = f"from nas import data; print(data.load('folder:{path}').fingerprint)"
    running = [subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {process.communicate()[0] for process in running}
    assert found == {data.load(f"folder:{path}").fingerprint + "\n"}
    (entry,) = entries(cached, "folder")
    assert json.loads((cached / entry / "meta.json").read_text())["classes"] == ["cat", "dog"]


# --- the copies beside the repository ---


@pytest.mark.skipif(not (SHARED / "mnist.npz").exists(), reason="no copy of MNIST in ../shared/data")
def test_mnist_as_an_npz() -> None:
    spec = f"npz:{SHARED / 'mnist.npz'}"
    mnist = data.load(spec)
    assert mnist.images == data.native(spec) == Images(28, 1, 10)
    assert mnist.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.mean == pytest.approx((33.3184 / 255,), abs=1e-6)
    assert mnist.std == pytest.approx((78.5675 / 255,), abs=1e-6)
    assert (len(mnist.train), len(mnist.valid)) == (55000, 5000)
    assert data.test_images(spec)[1][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


@pytest.mark.skipif(not (SHARED / "cifar10-jpeg.tar.xz").exists(), reason="no copy of CIFAR-10 in ../shared/data")
def test_cifar10_as_a_folder(tmp_path: Path) -> None:
    taken: dict[str, int] = {}
    with tarfile.open(SHARED / "cifar10-jpeg.tar.xz", "r|xz") as archive:
        for member in archive:
            kind = str(Path(member.name).parent)
            taken[kind] = taken.get(kind, 0) + member.isfile()
            if member.isfile() and taken[kind] <= 20:
                archive.extract(member, tmp_path, filter="data")
    spec = f"folder:{tmp_path}"
    cifar = data.load(spec)
    assert cifar.images == data.native(spec) == Images(32, 3, 10)
    assert cifar.classes[:3] == ("airplane", "automobile", "bird")
    assert (len(cifar.train), len(cifar.valid)) == (160, 40)
    assert np.bincount(data.test_images(spec)[1]).tolist() == [20] * 10


# --- between processes ---


def test_mapped_pixels_travel_as_the_name_of_their_file() -> None:
    digits = data.load("digits")
    sent = pickle.dumps(digits)
    assert len(sent) < 50_000 < digits.pixels.nbytes
    arrived = pickle.loads(sent)
    assert isinstance(arrived.pixels, np.memmap)
    assert (arrived.pixels == digits.pixels).all()
    assert arrived.fingerprint == digits.fingerprint


def test_pixels_in_memory_travel_whole() -> None:
    digits = data.load("digits").in_memory()
    assert not isinstance(digits.pixels, np.memmap)
    assert len(pickle.dumps(digits)) > digits.pixels.nbytes


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may become a user without a home")
@pytest.mark.parametrize(
    ("given", "found"), [("/some/where", "/some/where"), ("", "cache: found no home of this user")]
)
def test_a_user_without_a_home_names_the_cache(given: str, found: str) -> None:
    program = "import os; from nas.cache import root; os.setuid(54321); print(root())"
    without = {name: value for name, value in os.environ.items() if name not in ("HOME", "XDG_CACHE_HOME", "NAS_CACHE")}
    variables = without | ({"NAS_CACHE": given} if given else {})
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=False)
    assert found in done.stdout + done.stderr
