"""Charts as HTML: an area that stretches with the page, drawn by SVG, and beside it text that keeps its size.

The area is 1,000 × 1,000 units, whatever its size on the screen; lines keep their width there. Text is escaped by
`Markup.format`, wherever it comes from.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from nas.statistics import Floats

AREA = 1000
POINTS = 800  # of a line: more than a screen has pixels for it
DOTS = 3_000  # of one kind
NOTHING = Markup()


class Axis(NamedTuple):
    """What one side of a chart shows: from low to high, a logarithm of it if `log`."""

    low: float
    high: float
    label: str
    log: bool = False

    def place(self, values: Sequence[float] | Floats) -> Floats:
        """Where values lie, 0 for low and 1 for high."""
        low, high, given = np.array(self.low, float), np.array(self.high, float), np.asarray(values, float)
        if self.log:
            low, high, given = np.log(low), np.log(high), np.log(np.maximum(given, self.low))
        placed: Floats = (given - low) / max(high - low, 1e-300)
        return placed

    def ticks(self, most: int = 5) -> list[float]:
        """Round values from low to high, at most so many."""
        if self.log:
            return _powers(self.low, self.high, most)
        step = 10.0 ** math.floor(math.log10(max(self.high - self.low, 1e-12)))
        widths = [step * factor for factor in (0.1, 0.2, 0.5, 1, 2)]
        wide = next(w for w in widths if math.floor(self.high / w) - math.ceil(self.low / w) < most or w == widths[-1])
        first = math.ceil(self.low / wide - 1e-9)
        return [n * wide for n in range(first, math.floor(self.high / wide + 1e-9) + 1)]


def _powers(low: float, high: float, most: int) -> list[float]:
    """1, 2, 5, 10, ... between two numbers above 0, or powers of ten alone where these are enough."""
    tens = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [f * 10.0**ten for ten in tens for f in factors if low <= f * 10.0**ten <= high]
        if len(found) <= most:
            return found
    return found[:: math.ceil(len(found) / most)]


def around(values: Iterable[float], label: str, log: bool = False, low: float | None = None) -> Axis:
    """An axis with all finite values and a little room on it.  low: a value that it must reach down to."""
    known = [value for value in values if math.isfinite(value) and (value > 0 or not log)] or [1.0]
    known += [] if low is None else [low]
    if log:
        return Axis(min(known) / 1.25, max(known) * 1.25, label, log)
    room = 0.06 * (max(known) - min(known)) or 0.05 * abs(max(known)) or 0.5
    return Axis(min(known) if low is not None else min(known) - room, max(known) + room, label)


def said(value: float) -> str:
    """A number for people, in few letters: 0.93, 1,200, 25k, 3.1M."""
    for least, size, letter in ((1e12, 1e12, "T"), (1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= least:
            return f"{value / size:.3g}{letter}" if abs(value) < 1e15 else f"{value:.2g}"
    return f"{value:,.0f}" if value == round(value) else f"{value:.3g}"


def chart(
    name: str, x: Axis, y: Axis, marks: Iterable[Markup], points: Iterable[Markup] = (), low: bool = False
) -> Markup:
    """The chart. name: what it shows, for who cannot see it.  points: of `point`.  low: half as high as usual."""
    high, wide = y.ticks(3 if low else 5), x.ticks()
    up, across = y.place(high).tolist(), x.place(wide).tolist()
    grid = [Markup('<path class="grid" d="M0 {:.0f}H1000"/>').format(AREA * (1 - place)) for place in up]
    return Markup(
        '<div class="chart{low}" role="group" aria-label="{name}"><div class="label y">{y}</div><div class="area">'
        '<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" aria-hidden="true">{drawn}</svg>'
        '{points}{ticks}</div><div class="label x">{x}</div></div>'
    ).format(
        low=" low" if low else "", name=name, y=y.label, x=x.label, drawn=NOTHING.join([*grid, *marks]),
        points=NOTHING.join(points),
        ticks=NOTHING.join([*_ticks("y", "bottom", up, high), *_ticks("x", "left", across, wide)]),
    )  # fmt: skip


def _ticks(side: str, where: str, places: Sequence[float], values: Sequence[float]) -> list[Markup]:
    return [
        Markup('<i class="{}" style="{}:{:.1f}%">{}</i>').format(side, where, 100 * place, said(value))
        for place, value in zip(places, values, strict=True)
    ]


def line(x: Axis, y: Axis, xs: Floats, ys: Floats, kind: str, steps: bool = False) -> Markup:
    """A line through (xs, ys), each (n,); it breaks where y is NaN. steps: y stays until the next x."""
    keep = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), POINTS)).astype(int))
    across, up = AREA * x.place(xs[keep]), AREA * (1 - y.place(ys[keep]))
    written, before = [], False
    for a, b in zip(across, up, strict=True):
        if math.isfinite(b):
            begun = f"H{a:.1f}V{b:.1f}" if steps else f"L{a:.1f} {b:.1f}"
            written.append(begun if before else f"M{a:.1f} {b:.1f}h0")  # of no length: a dot where nothing follows
        before = math.isfinite(b)
    return Markup('<path class="line {}" d="{}"/>').format(kind, "".join(written))


def band(x: Axis, y: Axis, xs: Floats, lows: Floats, highs: Floats, kind: str) -> Markup:
    """What lies between two lines, as far as the axis goes."""
    keep = np.isfinite(lows) & np.isfinite(highs)
    across = AREA * x.place(xs[keep])
    edges = [AREA * (1 - np.clip(y.place(edge[keep]), 0, 1)) for edge in (highs, lows)]
    there = [f"{a:.1f} {b:.1f}" for a, b in zip(across, edges[0], strict=True)]
    back = [f"{a:.1f} {b:.1f}" for a, b in zip(across[::-1], edges[1][::-1], strict=True)]
    return Markup('<path class="band {}" d="{}"/>').format(kind, "M" + "L".join(there + back) + "Z" if there else "")


def dots(x: Axis, y: Axis, xs: Sequence[float], ys: Sequence[float], kind: str, tall: int = 0) -> Markup:
    """A dot each; of very many, some. tall: ticks of this height that stand there, of 1,000, in place of dots."""
    keep = np.unique(np.linspace(0, len(xs) - 1, min(len(xs), DOTS)).astype(int)) if len(xs) else np.array([], int)
    across, up = AREA * x.place(np.asarray(xs, float)[keep]), AREA * (1 - y.place(np.asarray(ys, float)[keep]))
    mark = f"v{-tall}" if tall else "h0"
    written = "".join(f"M{a:.1f} {b:.1f}{mark}" for a, b in zip(across, up, strict=True))
    return Markup('<path class="dots {}" d="{}"/>').format(kind, written)


def point(x: Axis, y: Axis, at: tuple[float, float], kind: str, text: str, focus: bool = False) -> Markup:
    """A dot that says something when it is pointed at, or has the focus. focus: whether the tab key goes there."""
    across, up = float(x.place([at[0]])[0]), float(y.place([at[1]])[0])
    side = "left" if across > 0.5 else "right"
    return Markup(
        '<span class="point {}"{} style="left:{:.2f}%;bottom:{:.2f}%"><span class="tip {}">{}</span></span>'
    ).format(kind, Markup(' tabindex="0"') if focus else "", 100 * across, 100 * up, side, text)


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """What each kind of mark is: (kind, text)."""
    items = [Markup('<li><i class="{}"></i>{}</li>').format(kind, text) for kind, text in entries]
    return Markup('<ul class="legend">{}</ul>').format(NOTHING.join(items))
