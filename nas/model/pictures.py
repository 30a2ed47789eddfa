"""Pictures of what a model does, 9 inches wide, as `nas plot` draws: classes, confusion, calibration, mistakes, heat.

Matplotlib is imported where it is needed, and only its objects are used: no pyplot, no window.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from nas.errors import plain
from nas.plot import COLOURS, GREY
from nas.space import shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nas.cache import Pixels

WIDTH = 9.0  # inches
BARS = 40  # classes in a picture of them; of more, the worst
COUNTED = 20  # classes up to which each cell of a confusion matrix has its count
NAMED = 60  # classes up to which its rows have names
COLUMNS = 6  # of small images
SIDE = 1.35  # inches that small images are wide at least, and what is said over them at most
RIGHT, WRONG, GLOW, PALE = COLOURS[0], COLOURS[1], COLOURS[5], "#8FB8D4"

Found = Mapping[str, Any]


def png(figure: Figure) -> bytes:
    """The picture as a PNG file; equal pictures are equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def caption(name: str, found: Found) -> str:
    """What is seen on one of the pictures, in a sentence or two; found: as `nas.model.explain` gives it."""
    of = found["of"]
    match name:
        case "classes":
            return f"The share of each class's images that the model finds, with 95 % intervals, on {of}."
        case "confusion":
            return f"What the model says (columns) of images of each class (rows), on {of}: blue right, orange wrong."
        case "calibration":
            known = found["calibration"]
            return (
                f"How often the model is right, by how sure it is, on {of}. Expected calibration error "
                f"{known['error']:.3f}; a perfectly calibrated model would be below {known['by_chance']:.3f} in 95 "
                "of 100 such samples."
            )
        case "mistakes":
            shown, every = len(found["mistakes"]), found["wrong"]
            return f"The {shown} most confident of {every} mistakes on {of}."
    facts = found["gradcam"]
    rows, columns = facts["positions"]
    how = "gradient x input, for it has no maps" if facts["layer"] == "the image" else "Grad-CAM"
    return (
        f"Which parts of {facts['of']} speak for {facts['classes']}: the more orange, the more ({how}, from {rows} x "
        f"{columns} positions at {facts['layer']})."
    )


def classes(found: Found) -> Figure:
    """A bar a class, the worst on top, with the interval; of many classes the worst."""
    rows = sorted((row for row in found["classes"] if row["images"]), key=lambda row: float(row["accuracy"]))
    rows = rows[:BARS]
    figure, (axes,) = _page([0.24 * len(rows) + 0.9])
    places = np.arange(len(rows))
    values = np.array([row["accuracy"] for row in rows])
    axes.barh(places, values, height=0.72, color=PALE)
    _intervals(axes, values, places, [row["interval"] for row in rows], "xerr")
    for place, row in enumerate(rows):
        axes.text(1.015, place, f"{100 * row['accuracy']:.1f} % of {row['images']:,}", va="center", fontsize=9)
    axes.set_yticks(places, [_named(row["name"], 24) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.grid(visible=False, axis="y")
    axes.axvline(found["accuracy"], color=GREY, linewidth=1, linestyle="--", zorder=0.5)
    left = sum(bool(row["images"]) for row in found["classes"]) - len(rows)
    more = f" ({left} better classes not shown)" if left else ""
    axes.set_title("how many of each class's images are found")
    axes.set_xlabel(f"share of the class's images that is found; dashed: of all images{more}")
    return figure


def confusion(found: Found) -> Figure:
    """True classes down, said ones across; each cell's colour is its share of its row."""
    counts = np.array(found["confusion"])
    count = len(counts)
    figure, (axes,) = _page([WIDTH])
    figure.set_layout_engine("compressed")  # as high as wide
    axes.imshow(_tinted(counts), interpolation="nearest")
    if count <= COUNTED:
        for true, said in np.argwhere(counts).tolist():
            axes.text(said, true, f"{counts[true, said]:,}", ha="center", va="center", fontsize=9 if count < 15 else 7)
    axes.grid(visible=False)
    axes.spines[:].set_visible(True)
    _sized(figure, axes, [_named(row["name"]) for row in found["classes"]])
    figure.suptitle("what is said of images of each class", fontsize=12)  # over the names too, where cells are few
    axes.set_ylabel("true class")
    axes.set_xlabel("said")
    return figure


def _sized(figure: Figure, axes: Axes, names: Sequence[str]) -> None:
    """Name the classes of a confusion matrix, if they are not too many, and give it room for that beside its cells."""
    count, long = len(names), 0.0  # inches of the longest name
    size = min(9.0, 385 / count)  # points; four fifths of a row
    if count <= NAMED:
        axes.set_yticks(range(count), names, fontsize=size)
        long = max(label.get_window_extent().width for label in axes.get_yticklabels()) / figure.dpi
    cells = min(max(3.0, 0.42 * count), WIDTH - 0.7 - long)
    flat = long < 0.9 * cells / count
    if count <= NAMED:
        axes.set_xticks(range(count), names, fontsize=size, rotation=0 if flat else 90)
    figure.set_size_inches(max(4.0, cells + 0.7 + long), cells + 0.9 + (0.1 if flat else long))


def calibration(found: Found) -> Figure:
    """Accuracy against confidence, a bin a point with its interval, and how many images each bin has."""
    known = found["calibration"]
    filled = [one for one in known["bins"] if one["images"]]
    figure, (axes, below) = _page([3.8, 1.3], width=6.0)
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    x = np.array([one["confidence"] for one in filled])
    y = np.array([one["accuracy"] for one in filled])
    _intervals(axes, y, x, [one["interval"] for one in filled], "yerr")
    axes.plot(x, y, color=RIGHT, marker="o", markersize=6, linestyle="")
    axes.set_ylim(-0.02, 1.02)
    axes.set_ylabel("share that is right")
    axes.set_title(f"how sure and how right: expected calibration error {known['error']:.3f}")
    width = known["bins"][0]["high"] - known["bins"][0]["low"]
    below.bar(
        [one["low"] + width / 2 for one in filled], [one["images"] for one in filled], 0.92 * width, color="#8FB8D4"
    )
    below.set_ylabel("images")
    below.set_xlim(0, 1)
    below.set_xlabel("probability of what the model says; dashed: well calibrated")
    figure.align_ylabels()
    return figure


def mistakes(wrong: Sequence[Found], pixels: Pixels) -> Figure:
    """Small images with what was said, how sure, and what is true. pixels: uint8 (N, C, H, W) of all images."""
    figure, tiles = _tiles("the most confident mistakes", len(wrong), COLUMNS, 0.56)
    for axes, one in zip(tiles, wrong, strict=True):
        _show(axes, pixels[one["image"]])
        _over(
            axes,
            f"said {_named(one['said'], 24)}",
            f"is {_named(one['true'], 24)}",
            f"{100 * one['confidence']:.0f} % sure",
        )
    return figure


def heat(
    pixels: Pixels,
    maps: Sequence[npt.NDArray[np.float32]],
    names: Sequence[str],
    said: Sequence[Sequence[tuple[str, float]]],
) -> Figure:
    """Each image, and beside it the same under each of its maps.

    pixels: uint8 (N, C, H, W); maps: each (N, H, W), 0 to 1; names: (N,); said: (N, maps), the class
    that each map is for with its probability.
    """
    together = 1 + len(maps)
    title = "what the model looks at: the more orange, the more it speaks for the class"
    figure, tiles = _tiles(title, len(pixels) * together, together, 0.42, groups=COLUMNS // together)
    for number, image in enumerate(pixels):
        alone, *others = tiles[number * together : (number + 1) * together]
        _show(alone, image)
        _over(alone, _named(names[number], 28), "")
        for axes, one, (name, share) in zip(others, maps, said[number], strict=True):
            _show(axes, image, grey=True)
            axes.imshow(_glow(one[number]), interpolation="bilinear")
            _over(axes, f"for {_named(name, 24)}", f"{100 * share:.0f} %")
    return figure


def _page(heights: Sequence[float], width: float = WIDTH) -> tuple[Figure, list[Axes]]:
    """An empty picture with panels of these heights, one above the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, sum(heights)), dpi=200, layout="constrained", facecolor="white")
    panels = list(figure.subplots(len(heights), height_ratios=heights, squeeze=False, sharex=True)[:, 0])
    for axes in panels:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#E6E6E6", linewidth=0.8)
        axes.set_axisbelow(True)
    return figure, panels


def _tiles(title: str, count: int, together: int, above: float, groups: int = 1) -> tuple[Figure, list[Axes]]:
    """So many places for small images, `together` beside each other and `groups` of those a row.

    above: inches for the lines over each.
    """
    from matplotlib.figure import Figure

    rows = math.ceil(count / (together * groups))
    ratios = ([1.0] * together + [0.2]) * groups  # a gap between groups
    side = WIDTH / sum(ratios[:-1])
    figure = Figure(figsize=(WIDTH, rows * (side + above) + 0.3), dpi=200, layout="constrained", facecolor="white")
    figure.suptitle(title, fontsize=12)
    grid = figure.subplots(rows, len(ratios) - 1, squeeze=False, width_ratios=ratios[:-1])
    for axes in grid.flat:
        axes.set_axis_off()
    kept = [column for column in range(len(ratios) - 1) if ratios[column] == 1]
    return figure, list(grid[:, kept].flat)[:count]


def _show(axes: Axes, image: Pixels, grey: bool = False) -> None:
    """image: uint8 (C, H, W), as colours where it has three channels."""
    if len(image) == 3 and not grey:
        axes.imshow(image.transpose(1, 2, 0), interpolation="nearest")
    else:
        axes.imshow(image.mean(0), cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _over(axes: Axes, *lines: str) -> None:
    """What is said over a small image, in type as small as its longest line needs."""
    title = axes.set_title("\n".join(lines), fontsize=8.5)
    inches = title.get_window_extent().width / axes.figure.dpi
    title.set_fontsize(8.5 * SIDE / max(SIDE, inches))


def _glow(heat: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """heat (H, W), 0 to 1, as red, green, blue and opacity (H, W, 4): what is cold is not covered."""
    from matplotlib.colors import to_rgb

    return np.concatenate([np.broadcast_to(to_rgb(GLOW), (*heat.shape, 3)), 0.85 * heat[..., None]], axis=2)


def _intervals(axes: Axes, values: Any, places: Any, bounds: Iterable[Sequence[float]], which: str) -> None:
    low, high = np.array(list(bounds)).T
    spread: dict[str, Any] = {which: np.clip(np.stack([values - low, high - values]), 0, None)}
    x, y = (values, places) if which == "xerr" else (places, values)
    axes.errorbar(x, y, **spread, fmt="none", ecolor=GREY, elinewidth=1.2, capsize=2.5)


def _tinted(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """(K, K, 3): white to blue for what is right, to orange for what is wrong, the commonest the deepest.

    A mistake's share of its row is small, so it has a scale of its own.
    """
    from matplotlib.colors import to_rgb

    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    diagonal = np.eye(len(counts), dtype=bool)
    wrong = np.where(diagonal, 0, shares)
    wrong = wrong / max(wrong.max(), 1e-9)
    depth = np.where(diagonal, 0.75 * shares, 0.85 * wrong)[..., None]
    tint = np.where(diagonal[..., None], to_rgb(RIGHT), to_rgb(WRONG))
    cells: npt.NDArray[np.float64] = 1 - depth * (1 - tint)
    return cells


def _named(text: str, longest: int = 18) -> str:
    """A name in letters, and no formula."""
    return shorten(plain(text).replace("\n", " "), longest).replace("$", r"\$")
