"""Drawings of what a search learnt: preferences over time, which choices matter, the path that a controller likes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from nas.errors import plain
from nas.pages.drawing import svg
from nas.pages.learnt import Importance, Importances, Preference, Step
from nas.space import shorten
from nas.statistics import Floats

WIDTH = 328  # pixels: what a phone has room for
TOP, BOTTOM, LEFT, RIGHT = 24, 112, 60, 172  # of a preference's area
ALONE = np.array([20, 48])  # the bar beside it
PITCH = 12  # pixels from label to label
KINDS = 7  # colours; where there are more options, the last stands for all the rest
MOST_STEPS = 30  # of a path
SCALE = 112, 92  # pixels: where the axis of importances and of values begins, and how wide it is


def preference(one: Preference) -> Markup:
    """A choice's answers over the trials, as parts of a whole; beside it what uniform answers would give."""
    options, shares, uniform = _few(one)
    edges = _edges(_filled(shares))  # (moments, options + 1)
    across = np.linspace(LEFT, RIGHT, len(edges)) if len(edges) > 1 else np.array([LEFT, RIGHT])
    if len(edges) == 1:
        edges = np.repeat(edges, 2, axis=0)
    alone = np.repeat(_edges(uniform[None]), 2, axis=0)
    parts = [_word(0, 13, one.question, "name"), _word(WIDTH, 13, _answers(one.answers), "less end")]
    for number, option in enumerate(options):
        for xs, ys in ((ALONE, alone), (across, edges)):
            parts.append(
                _area(xs, ys[:, number], ys[:, number + 1], number, f"{option}: {_percent(uniform[number])} at random")
            )
    seen = np.diff(np.concatenate([alone, edges])).max(0) > 0  # a limit may have kept an option out
    parts += _labels(options, edges[-1], seen)
    parts += [_word(12, 128, "random", "less"), _word(LEFT, 128, f"trial {one.trials[0]}", "less")]
    parts.append(Markup('<text class="less" transform="translate(11 {}) rotate(-90)">share</text>').format(BOTTOM))
    parts += [_word(RIGHT, 128, str(one.trials[-1]), "less end")] if len(one.trials) > 1 else []
    return svg(WIDTH, 134, parts, f"answers to {one.question} over the trials")


def stacked(tiles: Sequence[Markup]) -> Markup:
    """Drawings of preferences one below the other, as one."""
    parts = [Markup('<g transform="translate(0 {})">{}</g>').format(150 * n, tile) for n, tile in enumerate(tiles)]
    return svg(WIDTH, 150 * len(tiles), parts, "answers over the trials")


def importance(found: Importances) -> Markup:
    """A bar for each choice with its interval, what all of them explain together, and the axis."""
    rows = [found.together, *found.choices]
    high = max(0.05, *(one.interval[1] for one in rows))
    parts = [part for number, one in enumerate(rows) for part in _bar(one, 24 * number + 12 * (number > 0), high)]
    bottom = 24 * len(rows) + 12
    parts += _axis(bottom, ("0", f"{_percent(high)}"), "of the rewards’ variance")
    return svg(WIDTH, bottom + 34, parts, "what share of the rewards' variance each choice explains")


def path(steps: Sequence[Step], what: str) -> Markup:
    """A line for each question: where the values of its answers lie, the chosen one's as a dot, and its name.

    what: the values are.
    """
    shown = steps[:MOST_STEPS]
    values = [value for step in shown for value in step.values.values()] or [0.0]
    low, high = min(values), max(values)
    heads = ((0, "question", "less"), (sum(SCALE) + 12, "answer", "less"), (WIDTH, shorten(what, 12), "less end"))
    parts = [_word(x, 12, head, kind) for x, head, kind in heads]
    parts += [part for number, step in enumerate(shown, 1) for part in _step(step, 24 * number, low, high)]
    left = len(steps) - len(shown)
    parts += [_word(0, 24 * len(shown) + 40, f"… and {left} more questions", "less")] if left else []
    bottom = 24 * (len(shown) + bool(left)) + 28
    parts += _axis(bottom, (f"{low:.2f}", f"{high:.2f}"), what)
    return svg(WIDTH, bottom + 34, parts, "the path that the controller likes best")


# --- of preferences ---


def _few(one: Preference) -> tuple[list[str], Floats, Floats]:
    """Options, shares (moments, options) and uniform shares; the rarest options together as one where they are many."""
    if len(one.options) <= KINDS:
        return list(one.options), one.shares, one.uniform
    by_share = np.argsort(-np.nan_to_num(one.shares).sum(0), kind="stable")
    kept, rest = np.sort(by_share[: KINDS - 1]), by_share[KINDS - 1 :]
    shares = np.column_stack([one.shares[:, kept], one.shares[:, rest].sum(1)])
    uniform = np.append(one.uniform[kept], one.uniform[rest].sum())
    return [*(one.options[place] for place in kept), f"{len(rest)} others"], shares, uniform


def _filled(shares: Floats) -> Floats:
    """Where a question was not asked in a window, the shares before it; at the start, those after."""
    known = np.flatnonzero(np.isfinite(shares[:, 0]))
    latest = np.searchsorted(known, np.arange(len(shares)), side="right") - 1
    filled: Floats = shares[known[np.maximum(latest, 0)]]
    return filled


def _edges(shares: Floats) -> Floats:
    """(moments, options + 1): how far down each option begins and ends, in pixels."""
    sums = np.column_stack([np.zeros(len(shares)), shares.cumsum(1)])
    edges: Floats = TOP + (BOTTOM - TOP) * sums
    return edges


def _area(xs: Floats, tops: Floats, bottoms: Floats, number: int, text: str) -> Markup:
    there = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, tops, strict=True)]
    back = [f"{x:.1f} {y:.1f}" for x, y in zip(xs[::-1], bottoms[::-1], strict=True)]
    return Markup('<path class="share o{}" d="M{}Z"><title>{}</title></path>').format(
        number, "L".join(there + back), plain(text)
    )


def _labels(options: Sequence[str], edges: Floats, seen: npt.NDArray[np.bool_]) -> Iterator[Markup]:
    """Beside the last moment each option that is seen, with its colour and its share, near its area.

    edges: of the last moment (options + 1,); seen: whether an option has any area in the drawing (options,).
    """
    shares, numbers = np.diff(edges) / (BOTTOM - TOP), np.flatnonzero(seen).tolist()
    places = _apart(((edges[:-1] + edges[1:]) / 2)[seen])
    for number, y in zip(numbers, places.tolist(), strict=True):
        option, share = options[number], shares[number]
        yield Markup('<rect class="o{}" x="{}" y="{:.1f}" width="7" height="7"/>').format(number, RIGHT + 6, y - 3.5)
        yield Markup('<text x="{}" y="{:.1f}">{} <tspan class="less">{}</tspan></text>').format(
            RIGHT + 18, y + 4, plain(_fitted(option, 12)), _percent(share)
        )


def _apart(places: Floats) -> Floats:
    """The same places, moved where needed, so that each is PITCH below the one before and all lie within the area."""
    steps = PITCH * np.arange(len(places))
    low = np.maximum.accumulate(places - steps)
    moved: Floats = np.clip(low, TOP + PITCH / 2, BOTTOM - PITCH / 2 - steps[-1]) + steps
    return moved


def _answers(count: int) -> str:
    return f"{count:,} answers in the last window" if count else "not asked in the last window"


def _percent(share: float) -> str:
    return f"{round(100 * share)} %"  # an int, for there is no -0 %


# --- of importances and paths ---


def _bar(one: Importance, top: int, high: float) -> Iterator[Markup]:
    left, width = SCALE

    def at(value: float) -> float:
        return left + width * min(max(value, 0), high) / high

    low, upper = one.interval
    yield _word(0, top + 15, shorten(one.choice, 18), "name")
    yield Markup('<rect class="bar" x="{}" y="{}" width="{:.1f}" height="10"/>').format(
        left, top + 6, at(one.share) - left
    )
    yield Markup('<path class="whisker" d="M{0:.1f} {1}H{2:.1f}M{0:.1f} {3}v6M{2:.1f} {3}v6"/>').format(
        at(low), top + 11, at(upper), top + 8
    )
    yield Markup('<path class="axis" d="M{0} {1}v22"/>').format(left, top)
    text = f"{_percent(one.share)} ({round(100 * low)} to {round(100 * upper)})"
    yield _word(WIDTH, top + 15, text, "less end")


def _step(step: Step, top: int, low: float, high: float) -> Iterator[Markup]:
    left, width = SCALE

    def at(value: float) -> float:
        return left + width * (value - low) / (high - low or 1)

    each = ", ".join(f"{option} {value:.3f}" for option, value in step.values.items())
    yield _word(0, top + 16, _fitted(step.question, 15), "less")
    ticks = "".join(f"M{at(value):.1f} {top + 7}v9" for value in step.values.values())
    yield Markup('<path class="axis" d="M{} {}h{}"/>').format(left, top + 11.5, width)
    yield Markup('<path class="tick" d="{}"/>').format(ticks)
    value = step.values[step.answer]
    yield Markup('<circle class="chosen" cx="{:.1f}" cy="{}" r="4.5"><title>{}</title></circle>').format(
        at(value), top + 11.5, plain(each)
    )
    yield _word(left + width + 12, top + 16, _fitted(step.answer, 10), "answer")
    yield _word(WIDTH, top + 16, f"{value:.2f}", "less end")


def _axis(top: int, ends: tuple[str, str], name: str) -> Iterator[Markup]:
    """A line along `SCALE` with what its two ends stand for, and below it what is measured."""
    left, width = SCALE
    yield Markup('<path class="axis" d="M{0} {1}v-4v4h{2}v-4"/>').format(left, top, width)
    yield _word(left, top + 13, ends[0], "less")
    yield _word(left + width, top + 13, ends[1], "less end")
    yield _word(left, top + 28, name, "less")


def _fitted(text: str, most: int) -> str:
    """The text in at most so many letters; of a long one both ends, of the last more, for names begin with a module."""
    first = most // 3
    return text if len(text) <= most else f"{text[:first]}…{text[first + 1 - most :]}"


def _word(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(kind, x, y, plain(text))
