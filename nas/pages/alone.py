"""A drawing as a file of its own: over it what it shows and of which search, below it how it is read."""

from __future__ import annotations

import re
import textwrap

from markupsafe import Markup

from nas import names, summary
from nas.errors import UserError, plain
from nas.pages import learnt, tiles
from nas.pages.chart import NOTHING
from nas.pages.drawing import read_as, style
from nas.pages.page import Search, about, drawn_network, lacking, title
from nas.pages.repeat import controller
from nas.plot import window_of

MARGIN, LEAST = 20, 340  # pixels: around the drawing, and of its width
LETTER = 6.1  # pixels of a small letter at most, on average


def network(search: Search, number: int | None) -> tuple[int, str]:
    """The trial of this number, the best unless given, and the drawing of its network as a file.

    Raises UserError if there is no such trial, or none with a reward.
    """
    best = summary.best(search.trials, 1)
    if number is None and not best:
        raise lacking(search)
    found = best[0] if number is None else next((one for one in search.trials if one.trial == number), None)
    if found is None:
        raise UserError(
            f"--trial: found {number}, expected the number of one of the {len(search.trials)} trials that have finished"
        )
    image = drawn_network(search, found)
    reward = "" if found.reward is None else f": reward {found.reward:.4f}"
    return found.trial, alone(image, f"Network of trial {found.trial}{reward}", _of(search), read_as(image))


def lesson(search: Search, what: str) -> str:
    """What was learnt as a file: "preferences", "importance" or "path".

    Raises UserError where it cannot be had.
    """
    if search.space is None:
        raise UserError(
            f"{search.folder}: found a search of {search.header['space']} on {search.header['data']}, expected a "
            "built-in space and data that are there; name the space with --space, as in --space mine.py:Small"
        )
    image, name, below = {"preferences": _preferences, "importance": _importance, "path": _path}[what](search)
    return alone(image, name, _of(search), below)


def alone(image: Markup, name: str, of: str, below: str) -> str:
    """The image as a file with its colours, light and dark, on ground of its own; name, of, below: texts around it."""
    head, _, rest = image.partition(">")
    width, height = (int(one) for one in re.findall(r' (?:width|height)="(\d+)"', head)[:2])
    whole = max(width, LEAST)
    over, top = _lines(name, whole, MARGIN, 16, "title")
    more, top = _lines(of, whole, top, 11, "less")
    under, bottom = _lines(below, whole, top + 14 + height + 12, 11, "less")
    colours, inner = Markup(style()), Markup(rest.removesuffix("</svg>"))  # noqa: S704 - neither is a user's text
    written = Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" class="drawing" width="{0}" height="{1}" viewBox="0 0 {0} {1}" '
        'role="img" aria-label="{2}"><style>{3}</style><rect class="ground" width="{0}" height="{1}"/>{4}'
        '<g transform="translate({5} {6})">{7}</g></svg>\n'
    )
    texts, size = NOTHING.join([*over, *more, *under]), (whole + 2 * MARGIN, bottom + MARGIN)
    return plain(written.format(*size, name, colours, texts, MARGIN, top + 14, inner))


def _of(search: Search) -> str:
    return f"{title(search.header)} · {about(search.header, search.trials)}"


def _preferences(search: Search) -> tuple[Markup, str, str]:
    assert search.space is not None
    every = [tiles.preference(one) for one in learnt.preferences(search.space, search.trials)[0]]
    if not every:
        raise UserError(
            f"{search.folder}: found too little for --what preferences, expected trials with questions that leave "
            "something to decide"
        )
    window = window_of(min(len(search.trials), learnt.MOST_ASKED))
    below = (
        f"Shares of the answers in windows of {window} trials, by the last trial of each; at the right those of the "
        "last window. All questions of a choice count together. The bar at the left is what uniform answers would give."
    )
    return tiles.stacked(every), "Which options it came to prefer", below


def _importance(search: Search) -> tuple[Markup, str, str]:
    assert search.space is not None
    found = learnt.importances(search.space, search.trials)
    unsure = learnt.unsure(found)
    if found is None or unsure:
        raise UserError(
            f"{search.folder}: found too little for --what importance, expected rewards that the choices explain for "
            f"sure. {unsure} Search on, with more --trials"
        )
    below = (
        "What share of the rewards' variance a linear fit on how often each option was answered explains, for networks "
        "that it has not seen, and how much of it is lost without a choice; in brackets and as lines 95 % intervals, "
        f"as if the {found.networks} networks were drawn at random. Those that a controller asks for are not: then "
        "they are a rough guide."
    )
    return tiles.importance(found), "Which choices matter for the reward", below


def _path(search: Search) -> tuple[Markup, str, str]:
    assert search.space is not None
    found = learnt.path(search.space, search.header, search.folder)
    if found is None:
        able = " and ".join(name for name, kind in names.controllers().items() if hasattr(kind, "prefers"))
        raise UserError(
            f"{search.folder}: found the controller {controller(search.header)} for --what path, expected a built-in "
            f"one that can be made again from this search's ledger and says what it prefers, as {able} do"
        )
    what, steps = found
    below = (
        f"At each question, from the first to the last, the answer of the highest {what} as a dot, those of the other "
        "answers as ticks. The controller would answer so if it explored no more; such a network need not be one that "
        "was trained."
    )
    return tiles.path(steps, what), "The path that it now likes best", below


def _lines(text: str, width: int, top: int, size: int, kind: str) -> tuple[list[Markup], int]:
    """The text below `top`, in lines of so many pixels, and where the last ends. size: of letters, pixels."""
    lines = textwrap.wrap(text, int(11 * width / (LETTER * size)))
    high = size + 5
    placed = [
        Markup('<text class="{}" x="{}" y="{}">{}</text>').format(kind, MARGIN, top + high * number - 4, line)
        for number, line in enumerate(lines, 1)
    ]
    return placed, top + high * len(lines)
