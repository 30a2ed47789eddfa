"""What is said over small images, with class names short and long."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nas.model.pictures import heat, mistakes

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
