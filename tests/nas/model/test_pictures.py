"""What is said on pictures, with class names short and long."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from nas.model.pictures import confusion, heat, mistakes, png

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure
    from matplotlib.text import Text

NAMES = ("cat", "hippopotamuses", "chameleon_blue", "M" * 24)
PIXELS = np.zeros((12, 3, 8, 8), np.uint8)


def of_mistakes() -> Figure:
    pairs = itertools.islice(itertools.cycle(itertools.permutations(NAMES, 2)), 12)
    wrong = [{"image": i, "said": said, "true": true, "confidence": 1.0} for i, (said, true) in enumerate(pairs)]
    return mistakes(wrong, PIXELS)


def of_heat() -> Figure:
    maps = [np.ones((4, 8, 8), np.float32)] * 2
    return heat(PIXELS[:4], maps, [f"is {name}" for name in NAMES], [[(name, 1.0), ("wombats", 0.0)] for name in NAMES])


def titles(figure: Figure) -> list[Text]:
    figure.draw_without_rendering()
    return [axes.title for axes in figure.axes if axes.get_title()]


@pytest.mark.parametrize("draw", [of_mistakes, of_heat])
def test_what_is_said_over_images_touches_no_other_and_no_edge(draw: Callable[[], Figure]) -> None:
    figure = draw()
    boxes = [title.get_window_extent() for title in titles(figure)]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y1 <= figure.bbox.height for box in boxes)


def test_names_of_fourteen_letters_are_whole_and_as_large_as_short_ones() -> None:
    said = {title.get_text(): title.get_fontsize() for figure in (of_mistakes(), of_heat()) for title in titles(figure)}
    assert said["said hippopotamuses\nis chameleon_blue\n100 % sure"] == said["for wombats\n0 %"] == 8.5
    assert said["for hippopotamuses\n100 %"] == 8.5


def diagonal(count: int, name: str) -> Figure:
    """A confusion matrix of classes that are all called so, without mistakes."""
    return confusion({"confusion": (999 * np.eye(count, dtype=int)).tolist(), "classes": [{"name": name}] * count})


@pytest.mark.parametrize("name", ["i", "chameleon", "is" * 30, "M" * 60])
@pytest.mark.parametrize("count", [2, 3, 10, 60, 100])
def test_no_text_of_a_confusion_matrix_is_cut_off_or_touches_another(count: int, name: str) -> None:
    figure = diagonal(count, name)
    pixels = np.array(Image.open(io.BytesIO(png(figure))).convert("L"))
    assert all((edge == 255).all() for edge in (pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]))
    (axes,) = figure.axes
    labels = [*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label, axes.yaxis.label, *figure.texts]
    boxes = [label.get_window_extent() for label in labels]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("count", [2, 3, 10])
def test_half_of_a_confusion_matrix_and_more_is_cells_with_long_names_too(count: int) -> None:
    figure = diagonal(count, "american_staffordshire_terrier")
    figure.draw_without_rendering()
    cells, page = figure.axes[0].get_window_extent(), figure.bbox
    assert cells.width > 0.5 * page.width
    assert cells.height > 0.5 * page.height
