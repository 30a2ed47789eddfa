"""A trained model's folder as a part of a page: its card, its figures and its pictures."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nas.errors import plain
from nas.pages.chart import NOTHING
from nas.space import shorten

WIDEST, MOST_BYTES = 1_000, 1_200_000  # of pictures: pixels, and bytes of all of them


def model(folder: Path) -> dict[str, Any] | None:
    """The model's card, figures and pictures, as far as they are there; None without a model."""
    if not (folder / "metrics.json").is_file() and not (folder / "README.md").is_file():
        return None
    pictures, wrong = _pictures(sorted((folder / "explain").glob("*.png")))
    return {"card": _card(folder / "README.md"), "figures": _figures(folder / "metrics.json"),
            "pictures": pictures, "wrong": wrong}  # fmt: skip


def _card(file: Path) -> Markup:
    """Its Markdown as HTML; HTML within stays text, and nothing is linked that would be loaded."""
    from markdown_it import MarkdownIt

    if not file.is_file():
        return NOTHING
    text = file.read_bytes()[:100_000].decode(errors="replace")
    lines = text.partition("\n---\n")[2] if text.startswith("---\n") else text  # without its fields for model hubs
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    return Markup(reader.render(plain(lines)))  # noqa: S704 - it escapes all that is no Markdown


def _figures(file: Path) -> list[tuple[str, str]]:
    """The single figures of a JSON file, by the way to each."""
    try:
        found = json.loads(file.read_bytes()[:5_000_000])
    except (OSError, ValueError, RecursionError):
        return []
    return list(itertools.islice(_leaves(found, ""), 200))


def _leaves(value: object, way: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{way} {name}".strip().replace("_", " "))
    elif isinstance(value, bool | int | float | str) and way:
        yield way, shorten(f"{value:.4g}" if isinstance(value, float) else str(value), 120)


def _pictures(paths: Sequence[Path]) -> tuple[list[tuple[str, Markup]], list[str]]:
    """(name, data) of each picture, decoded and written anew, small; and sentences on those that are none."""
    from PIL import Image

    found, wrong, left = [], [], MOST_BYTES
    for path in paths:
        try:
            with Image.open(path, formats=["PNG"]) as image:
                image.thumbnail((WIDEST, 4 * WIDEST))
                written = io.BytesIO()
                image.convert("RGB").save(written, "WEBP", quality=82)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            wrong.append(f"{path.name}: found no picture ({type(error).__name__}).")
            continue
        left -= len(written.getvalue())
        if left < 0:
            wrong.append(f"{path.name} is left out, for the page would be too large; it is in {path.parent}.")
            continue
        data = Markup("data:image/webp;base64,{}").format(base64.b64encode(written.getvalue()).decode())
        found.append((path.stem.replace("_", " ").replace("-", " "), data))
    return found, wrong
