"""Images in folders, one folder a class: which there are, what their headers say, their pixels.

Files may have any size, mode and EXIF orientation. Pixels are the upright centre square, scaled; they are grey if every
file is (alpha is dropped, 16 bits become 8), else RGB.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import stat
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from nas.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

Progress = Callable[[int, int], None]  # called with how many images are done and how many there are

EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # those of ImageFolder
UNREAD = (".gif", ".jp2", ".avif", ".heic", ".heif", ".tga", ".psd", ".svg")  # images too, named as unreadable
FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")  # by content; for others Pillow may run another program
GREY = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "I;16N")
OURS = {b"\xff\xd8\xff": "a JPEG", b"\x89PNG": "a PNG", b"II*\0": "a TIFF", b"MM\0*": "a TIFF"}  # by their beginnings
OTHERS = {
    b"GIF8": "a GIF", b"%PDF": "a PDF", b"%!PS": "a PostScript drawing", b"PK\3\4": "a zip archive",
    b"<svg": "an SVG drawing", b"<?xml": "XML", b"<!doctype html": "a web page (HTML)", b"<html": "a web page (HTML)",
}  # fmt: skip
BLOCK = 512  # headers read between two reports of progress


class Files(NamedTuple):
    """The images of a folder. parts: "train", and "valid" and "test" if there, each a list of (path, label)."""

    classes: tuple[str, ...]
    parts: dict[str, list[tuple[str, int]]]
    state: str  # a hash of the paths, sizes and times of change


def listing(path: Path) -> Files:
    """The images under `path`; classes are the sorted names of its folders, hidden files and folders are left out.

    `path/train` is respected where `path/val` or `path/test` lies beside it. Raises UserError for a folder without
    two classes, and for a class in val/ or test/ that train/ has not.
    """
    if not path.is_dir():
        raise UserError(f"folder:{path}: found no such folder, expected one folder a class in it; check the path")
    places = _places(path)
    classes = _folders(places["train"])
    if len(classes) < 2:
        found = f"one class folder ({classes[0]})" if classes else "no class folder"
        raise UserError(
            f"folder:{places['train']}: found {found}, expected two or more, each with the images of one class; "
            "give the folder that holds the class folders"
        )
    parts = {part: _labelled(place, classes) for part, place in places.items()}
    return Files(classes, parts, _state(parts))


def look(files: Files, progress: Progress | None = None) -> tuple[int, bool]:
    """The median short side in pixels, and whether all are grey, from the headers of all but the test images.

    Files whose header cannot be read are passed over here; `reader` lists them. Raises UserError if all are such.
    """
    paths = [path for part, found in files.parts.items() if part != "test" for path, _ in found]
    known = []
    with warnings.catch_warnings(action="ignore"):
        for start in range(0, len(paths), BLOCK):
            known += [header for header in map(_header, paths[start : start + BLOCK]) if header]
            if progress:
                progress(min(start + BLOCK, len(paths)), len(paths))
    if not known:
        raise UserError(f"{Path(paths[0]).parent}: found no readable image, expected files that Pillow can open")
    sides = sorted(side for side, _ in known)
    return sides[len(sides) // 2], all(grey for _, grey in known)


def reader(
    size: int, grey: bool, threads: int, unreadable: list[str]
) -> Callable[[Sequence[str]], tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]]:
    """A function from n paths to their images, uint8 (readable, C, size, size), and which were readable, bool (n,).

    What cannot be read is added to `unreadable`, with the reason.
    """

    def attempt(path: str) -> npt.NDArray[np.uint8] | str:
        try:
            return pixels(path, size, grey)
        except Exception as error:  # Pillow's plugins raise nearly anything at bytes they do not expect
            return f"{path}: {_instead(path, error)}"

    def read(paths: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.bool_]]:
        # Pillow warns of odd headers that it reads well all the same
        with warnings.catch_warnings(action="ignore"), ThreadPoolExecutor(threads) as pool:
            found = list((pool.map if threads > 1 else map)(attempt, paths))
        unreadable.extend(item for item in found if isinstance(item, str))
        images = [item for item in found if not isinstance(item, str)]
        readable = np.array([not isinstance(item, str) for item in found], dtype=bool)
        return np.array(images, dtype=np.uint8).reshape(-1, 1 if grey else 3, size, size), readable

    return read


def pixels(path: str, size: int, grey: bool) -> npt.NDArray[np.uint8]:
    """One file as uint8 (C, size, size), C 1 if `grey`, else 3: upright, its centre square, scaled (bilinear)."""
    from PIL import Image, ImageOps

    mode = "L" if grey else "RGB"
    _check_regular(path)
    with Image.open(path, formats=FORMATS) as file:
        file.draft(mode, (2 * size, 2 * size))  # a JPEG is decoded to a half, quarter or eighth where that is enough
        upright = ImageOps.exif_transpose(file)
        side = min(upright.size)
        left, top = (upright.width - side) // 2, (upright.height - side) // 2
        square = _eight_bits(upright.crop((left, top, left + side, top + side))).convert(mode)
    scaled = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR), dtype=np.uint8)
    return scaled[None] if grey else scaled.transpose(2, 0, 1)


def _instead(path: str, error: Exception) -> str:
    """What there is in place of an image that can be read: "nothing there", "an empty file", "a text, no image"."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return "nothing there" if isinstance(error, FileNotFoundError) else error.strerror
    with open(path, "rb") as file:  # noqa: PTH123  as in `_check_regular`
        start = file.read(BLOCK)
    ours = next((name for begin, name in OURS.items() if start.startswith(begin)), "")
    if "cannot identify" not in str(error):
        return f"{ours or 'an image'} that cannot be read ({error})"
    return f"{ours} that cannot be read (it breaks off or is damaged)" if ours else _no_image(start)


def _no_image(start: bytes) -> str:
    """What a file is that begins so and is no image."""
    if not start:
        return "an empty file"
    begun = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    known = next((name for begin, name in OTHERS.items() if begun.startswith(begin.lower())), "")
    if not known:
        known = "a text" if _is_text(start) else "unknown bytes"
    return f"{known}, no image that can be read"


def _is_text(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)  # which lets the last letter break off
    except UnicodeDecodeError:
        return False
    return b"\0" not in start


def _eight_bits(image: Image) -> Image:
    from PIL import Image

    if image.mode == "F":
        raise UserError("floating-point pixels, whose range is not known; save the file with 8 bits a channel")
    if not image.mode.startswith("I"):
        return image
    high = np.asarray(image).astype(np.int64) >> 8  # Pillow's own conversion cuts off at 255 instead
    return Image.fromarray(high.clip(0, 255).astype(np.uint8))


def _check_regular(path: str) -> None:
    """Raise UserError for what would be waited for without end, as a pipe is."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  a Path is slow to make, a hundred thousand times
        raise UserError("no regular file")


def _header(path: str) -> tuple[int, bool] | None:
    from PIL import Image

    try:
        _check_regular(path)
        with Image.open(path, formats=FORMATS) as file:
            return min(file.size), file.mode in GREY
    except Exception:  # as in `reader`
        return None


def _places(path: Path) -> dict[str, Path]:
    beside = {part: path / name for part, name in (("valid", "val"), ("test", "test")) if (path / name).is_dir()}
    return {"train": path / "train", **beside} if beside and (path / "train").is_dir() else {"train": path}


def _folders(path: Path) -> tuple[str, ...]:
    return tuple(sorted(at.name for at in path.iterdir() if at.is_dir() and not at.name.startswith(".")))


def _labelled(path: Path, classes: tuple[str, ...]) -> list[tuple[str, int]]:
    strange = [name for name in _folders(path) if name not in classes]
    if strange:
        raise UserError(
            f"folder:{path}: found the class {strange[0]!r}, expected only classes that train/ has; "
            "rename it, or give train/ images of it"
        )
    found = [(image, label) for label, name in enumerate(classes) for image in sorted(_images(path / name))]
    if not found:
        raise UserError(
            f"folder:{path}: found no image, expected files ending in {', '.join(EXTENSIONS)} in one folder a class; "
            "put them there, or remove the folder"
        )
    return found


def _images(path: Path) -> Iterator[str]:
    met = {_place(above) for above in path.absolute().parents}
    for at, folders, names in os.walk(path, followlinks=True):
        if _place(Path(at)) in met:
            raise UserError(
                f"folder:{at}: found a link to a folder around it, or met before, expected each image in one place; "
                "remove the link"
            )
        met.add(_place(Path(at)))
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (str(Path(at, n)) for n in names if is_image(n))


def is_image(name: str) -> bool:
    """Whether a file's name has the ending of an image, be it one that is read or not."""
    return name.lower().endswith(EXTENSIONS + UNREAD) and not name.startswith(".")


def _place(folder: Path) -> tuple[int, int]:
    """What is the same for a folder and for links to it."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def _state(parts: dict[str, list[tuple[str, int]]]) -> str:
    digest = hashlib.sha256()
    for part, found in parts.items():
        for path, label in found:
            try:
                status = Path(path).stat()
                seen = (status.st_size, status.st_mtime_ns)
            except OSError:  # a link to nowhere: `reader` will list it
                seen = (-1, -1)
            digest.update(repr((part, label, path, *seen)).encode())
    return digest.hexdigest()
