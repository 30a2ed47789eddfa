"""Zoph & Le's space."""

import random

import pytest

from nas.blocks import Block
from nas.network import Images, Network
from nas.space import Limit, Question
from search_spaces.zoph import Zoph


def test_answers_describe_a_network() -> None:
    # the depth is forced; then for each layer its links, height, width, filters
    answers = (0, *(1, 2, 0), *(0, 3, 3, 1), *(1, 1, 0, 0, 3))
    assert Zoph(depth=3).replay(answers).network == Network(
        32,
        (
            Block("conv", 24, (3, 5), inputs=()),
            Block("conv", 36, (7, 7), inputs=()),
            Block("conv", 64, (1, 1), inputs=(1, 2)),
        ),
        join="concat",
    )


def test_a_layer_without_links_takes_the_image_and_loose_ends_go_to_the_classifier() -> None:
    def no_links(question: Question) -> int:
        return 0

    network = Zoph(depth=3).walk(no_links).network
    assert isinstance(network, Network)
    *stages, last = network.stages(3)
    assert [stage.sources for stage in stages] == [(0,), (0,), (0,)]
    assert (last.sources, last.shape.channels) == ((1, 2, 3), 72)


@pytest.mark.parametrize(
    ("space", "questions"),
    [
        (Zoph(), 1 + 15 * 3 + 15 * 14 // 2),
        (Zoph(strides=True), 1 + 15 * 4 + 15 * 14 // 2),
        (Zoph(depth=20, strides=True), 1 + 20 * 4 + 20 * 19 // 2),
    ],
    ids=["15 layers", "with strides", "20 layers"],
)
def test_a_layer_has_three_or_four_tokens_and_a_link_for_each_earlier_one(space: Zoph, questions: int) -> None:
    assert len(space.walk(lambda question: question.legal[-1]).questions) == questions


def test_depth_grows_as_the_paper_has_it() -> None:
    space = Zoph().on(Images(32, 3, 10), {"depth": Limit(6, 2, 1600)})
    legal = [space.walk(lambda question: 0, trial).questions[0].legal for trial in (0, 1599, 1600, 12_800)]
    assert [[space.depth.options[i] for i in at] for at in legal] == [[6], [6], [6, 8], [6, 8, 10, 12, 14, 15]]


def test_depth_may_be_fixed() -> None:
    assert Zoph(depth=15, shallowest=15).depth.options == (15,)
    assert Zoph(depth=4).depth.options == (4,)


def test_what_a_tabular_agent_knows_does_not_grow_with_the_layers() -> None:
    # a row for the depth and each link; for each layer 1 for the height, 4 for the width, 16 for the filters
    sampled = [Zoph(depth=3).sample(random.Random(seed)) for seed in range(300)]
    rows = {(question.choice.name, question.state) for candidate in sampled for question in candidate.questions}
    assert len(rows) == 1 + (0 + 1 + 2) + 3 * (1 + 4 + 16)
