"""MobileNets."""

import pytest

from nas.blocks import Block
from nas.network import Images, Network
from nas.space import Question
from search_spaces.mobile import Mobile, scaled, strides


def test_answers_describe_a_network() -> None:
    answers = (0, 0, *(0, 0, 0, 0, 0), *(1, 1, 1, 1, 1), *(0, 2, 0, 0, 0), *(0, 0, 0, 0, 0))
    assert Mobile().on(Images(8, 1, 10)).replay(answers).network == Network(
        8,
        (
            Block("conv", 8),
            Block("inverted", 8, 3, 1, 3),
            Block("inverted", 16, 5, 2, 4, squeeze=4),
            Block("inverted", 16, 5, 1, 4, squeeze=4),
            Block("inverted", 24, 3, 1, 6),
            Block("inverted", 40, 3, 1, 3),
            Block("conv", 160, 1),
        ),
    )


@pytest.mark.parametrize(
    ("native", "sizes"),
    [(8, (8, 12, 16)), (28, (16, 24, 32, 48)), (32, (16, 24, 32, 48, 64)), (224, (128, 160, 192, 224))],
)
def test_input_sizes_lie_within_half_to_twice_the_native_one(native: int, sizes: tuple[int, ...]) -> None:
    question = Mobile().on(Images(native, 3, 10)).walk(lambda question: question.legal[0]).questions[0]
    assert tuple(question.choice.options[i] for i in question.legal) == sizes


@pytest.mark.parametrize(("side", "offered"), [(33, (2,)), (32, (1, 2)), (5, (1, 2)), (4, (1,))])
def test_large_maps_are_always_halved_and_small_ones_never(side: int, offered: tuple[int, ...]) -> None:
    assert strides(side) == offered


@pytest.mark.parametrize(("multiplier", "channels"), [(0.5, [8, 16, 24, 40]), (1.5, [24, 40, 64, 120])])
def test_widths_are_multiples_of_eight(multiplier: float, channels: list[int]) -> None:
    assert [scaled(width, multiplier) for width in (16, 24, 40, 80)] == channels  # 0.5 · 24 = 12, 0.5 · 40 = 20: up


def test_a_large_photograph_is_small_before_the_free_stages() -> None:
    def largest(question: Question) -> int:
        return question.legal[-1] if question.choice.name == "input_size" else question.legal[0]

    network = Mobile().on(Images(224, 3, 5)).walk(largest).network
    assert isinstance(network, Network)
    assert [stage.shape.size for stage in network.stages(3)] == [224, 112, 56, 28, 28, 28, 28]
