"""A trained model's folder as a part of a page: its card, its figures and its pictures."""

from __future__ import annotations

import base64
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from nas.errors import plain
from nas.model import CARD, EXPLAINED, EXPLANATION, METRICS
from nas.pages.chart import NOTHING
from nas.space import shorten

WIDEST, MOST_BYTES = 1_000, 1_200_000  # of pictures: pixels, and bytes of all of them
DRAWN = 1_800  # pixels that the widest pictures of `nas explain` have


def model(folder: Path) -> dict[str, Any] | None:
    """The model's card, figures and pictures, as far as they are there; None without a model."""
    if not (folder / METRICS).is_file() and not (folder / CARD).is_file():
        return None
    captions = _captions(folder / EXPLAINED)
    pictures, wrong = _pictures(captions)
    leaves = list(itertools.islice(_leaves(figures(folder / METRICS), ""), 200))
    return {"card": _card(folder / CARD), "figures": leaves, "pictures": pictures, "wrong": wrong}


def figures(file: Path) -> dict[str, Any]:
    """What a file of JSON holds; nothing where it is not there, or holds something else."""
    try:
        found = json.loads(file.read_bytes()[:5_000_000])
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _card(file: Path) -> Markup:
    """Its Markdown as HTML, headings two levels lower, for it stands in a section of a page.

    HTML within stays text, and nothing is linked that would be loaded.
    """
    from markdown_it import MarkdownIt

    if not file.is_file():
        return NOTHING
    text = file.read_bytes()[:100_000].decode(errors="replace")
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    tokens = reader.parse(plain(text))
    for heading in tokens:
        if heading.type in ("heading_open", "heading_close"):
            heading.tag = f"h{min(int(heading.tag[1]) + 2, 6)}"
    return Markup(reader.renderer.render(tokens, reader.options, {}))  # noqa: S704 - it escapes all that is no Markdown


def _leaves(value: object, way: str) -> Iterator[tuple[str, str]]:
    """The single figures, by the way to each."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _leaves(inner, f"{way} {name}".strip().replace("_", " "))
    elif isinstance(value, bool | int | float | str) and way:
        yield way, shorten(f"{value:.4g}" if isinstance(value, float) else str(value), 120)


def _captions(folder: Path) -> dict[Path, str]:
    """The pictures in a folder with what is seen on them, as `nas explain` wrote it, in its order; then all others."""
    there = {path.name: path for path in sorted(folder.glob("*.png"))}
    listed = figures(folder / EXPLANATION).get("pictures")
    said = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    captions = {str(one.get("file")): str(one.get("caption")) for one in said if "caption" in one}
    known = {there[name]: shorten(text, 600) for name, text in captions.items() if name in there}
    return known | {path: path.stem.replace("_", " ") for path in there.values() if path not in known}


def _pictures(captions: Mapping[Path, str]) -> tuple[list[tuple[str, int, Markup]], list[str]]:
    """(caption, width, data) of each picture, decoded and written anew, small; and sentences on those that are none.

    The width, in pixels of the page, gives all pictures letters of one size: a narrow one is not drawn out.
    """
    from PIL import Image

    found, wrong, left = [], [], MOST_BYTES
    for path, caption in captions.items():
        try:
            with Image.open(path, formats=["PNG"]) as image:
                width = min(WIDEST, image.width * WIDEST // DRAWN)
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
        found.append((caption, width, data))
    return found, wrong
