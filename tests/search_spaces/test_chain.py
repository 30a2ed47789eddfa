"""The default space."""

import random

import pytest

from nas.blocks import Block
from nas.network import Images, Network
from search_spaces.chain import Chain


def test_answers_describe_a_network() -> None:
    assert Chain().replay((2, 0, 1, 0, 2, 0, 2, 1, 0, 1)).network == Network(
        16, (Block("separable", 32), Block("inverted", 16, 5, 2, expansion=3))
    )


@pytest.mark.parametrize(
    ("native", "sizes"),
    [(8, (8, 12, 16)), (28, (16, 32)), (32, (16, 32, 64)), (64, (32, 64, 128)), (224, (32, 64, 128))],
)
def test_input_sizes_lie_within_half_to_twice_the_native_one(native: int, sizes: tuple[int, ...]) -> None:
    question = Chain().on(Images(native, 3, 10)).sample(random.Random(0)).questions[0]
    assert tuple(question.choice.options[i] for i in question.legal) == sizes


def test_maps_of_four_pixels_are_not_halved() -> None:
    candidate = Chain().on(Images(8, 1, 10)).walk(lambda question: question.legal[-1])
    strides = [q.legal for q in candidate.questions if q.choice.name == "stride"]
    assert strides == [(0, 1), (0, 1), (0,), (0,), (0,), (0,)]  # 16, 8, then 4 pixels a side


def test_it_is_too_large_to_enumerate() -> None:
    count = Chain().count()
    assert not count.exact
    assert count.number > 10**8
