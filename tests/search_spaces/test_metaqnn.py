"""MetaQNN's space against the counts of its Q-table."""

from collections.abc import Hashable

import pytest

from nas.blocks import Block
from nas.network import Images, Network
from nas.space import Question
from search_spaces.metaqnn import POOLINGS, MetaQnn, convolution, pooling


class Reached(Exception):  # noqa: N818 - it is no error
    """The walk has come to the first question beyond its prefix."""


def table(space: MetaQnn) -> dict[Hashable, tuple[int, ...]]:
    """The legal answers at every state that can be reached, found by walking one answer further at a time."""
    found: dict[Hashable, tuple[int, ...]] = {}
    expanded: set[tuple[Hashable, int]] = set()
    prefixes: list[tuple[tuple[int, ...], int]] = [((), space.images.size)]  # answers, size of the map
    while prefixes:
        prefix, size = prefixes.pop()
        question = question_after(space, prefix)
        found[question.state] = question.legal
        if len(question.legal) > 1 and (question.state, size) not in expanded:
            expanded.add((question.state, size))
            options = {answer: question.choice.options[answer] for answer in question.legal}
            prefixes += [((*prefix, a), pooled(name, size)) for a, name in options.items() if name != "softmax"]
    return found


def question_after(space: MetaQnn, prefix: tuple[int, ...]) -> Question:
    """The question that follows these answers, put or forced."""
    asked: list[Question] = []

    def answer(question: Question) -> int:
        asked.append(question)
        if len(asked) > len(prefix):
            raise Reached
        return prefix[len(asked) - 1]

    try:
        return space.walk(answer).questions[len(prefix)]
    except Reached:
        return asked[-1]


def pooled(layer: str, size: int) -> int:
    kernel, stride = POOLINGS.get(layer, (1, 1))
    return -(-(size - kernel + 1) // stride)


@pytest.mark.parametrize(("depth", "states", "pairs"), [(12, 381, 4394), (18, 621, 7280)])
def test_the_table_has_the_papers_states_and_actions(depth: int, states: int, pairs: int) -> None:
    rows = table(MetaQnn(depth))
    assert len(rows) == states
    assert sum(len(legal) for legal in rows.values()) == pairs


def options(*layers: str, size: int = 32, depth: int = 18) -> list[str]:
    """What is legal after these layers."""
    space = MetaQnn(depth).on(Images(size, 3, 10))
    question = question_after(space, tuple(map(space.layer.options.index, layers)))
    return [space.layer.options[answer] for answer in question.legal]


CONV3 = "conv 3x3 64"


def test_from_the_image_all_convolutions_and_both_ends_are_legal() -> None:
    assert options() == [*(f"conv {k}x{k} {w}" for k in (1, 3, 5) for w in (64, 128, 256, 512)), "gap", "softmax"]


def test_pooling_follows_convolutions_only() -> None:
    assert set(POOLINGS) <= set(options(CONV3))
    assert not set(POOLINGS) & set(options(CONV3, "pool 2x2 stride 2"))


def test_what_is_larger_than_the_bins_lower_end_is_not_legal() -> None:
    after = options(CONV3, "pool 2x2 stride 2", CONV3, size=14)  # 7 pixels a side
    assert "conv 5x5 64" not in after
    assert [name for name in after if name.startswith("pool")] == ["pool 3x3 stride 2", "pool 2x2 stride 2"]
    assert [name for name in options(CONV3, "pool 3x3 stride 2", "conv 1x1 64", size=8) if "pool" in name] == []


def test_fully_connected_layers_never_grow_and_are_two_at_most() -> None:
    small = (CONV3, "pool 2x2 stride 2")  # 4 pixels a side
    assert "dense 512" in options(*small, size=8)
    assert "dense 512" not in options(CONV3, size=8)
    assert options(*small, "dense 256", size=8) == ["dense 256", "dense 128", "softmax"]
    assert options(*small, "dense 256", "dense 128", size=8) == ["softmax"]


def test_after_global_pooling_or_at_the_last_depth_softmax_is_forced_and_recorded() -> None:
    assert options("gap") == ["softmax"]
    assert options(CONV3, depth=1) == ["softmax"]
    assert len(MetaQnn(1).replay((MetaQnn.layer.options.index(CONV3), 19)).answers) == 2


def test_answers_describe_a_network_with_growing_dropout() -> None:
    layers = [CONV3, "pool 5x5 stride 3", "conv 5x5 128", "pool 3x3 stride 2", "dense 128", "softmax"]
    network = MetaQnn().replay([MetaQnn.layer.options.index(layer) for layer in layers]).network
    assert network == Network(
        32,
        (
            Block(convolution, 64, 3),
            Block(pooling, kernel=5, stride=3, dropout=0.25),  # 1 / (2 · 2)
            Block(convolution, 128, 5),
            Block(pooling, kernel=3, stride=2, dropout=0.5),  # 2 / (2 · 2)
            Block("dense", 128),
        ),
        head="flatten",
    )
    assert isinstance(network, Network)
    costs = network.costs(Images(32, 3, 10))
    assert costs is not None
    # 32 pixels a side, 10 after the first pooling, 4 after the second
    assert costs.params == (27 * 64 + 64) + (25 * 64 * 128 + 128) + (128 * 16 * 128 + 128) + (128 * 10 + 10)
    assert costs.madds == 27 * 64 * 1024 + 25 * 64 * 128 * 100 + 128 * 16 * 128 + 128 * 10


def test_softmax_at_once_is_a_linear_classifier_and_gap_averages_first() -> None:
    assert MetaQnn().replay((19,)).network == Network(32, (), head="flatten")
    assert MetaQnn().replay((18, 19)).network == Network(32, (), head="gap")
