"""Shapes and costs of layers, by hand."""

import pytest

from nas.errors import UserError
from nas.layers import (
    Attention,
    Conv,
    Costs,
    Dropout,
    GlobalPool,
    Graph,
    Layer,
    Linear,
    Norm,
    Pool,
    Relu,
    Shape,
    SqueezeExcite,
    costs_of,
    out_of,
)


@pytest.mark.parametrize(
    ("layer", "shape", "out"),
    [
        (Conv(8, 3), Shape(2, 5), Shape(8, 5)),
        (Conv(8, 3, stride=2), Shape(2, 5), Shape(8, 3)),
        (Conv(8, (1, 7), stride=3), Shape(2, 7), Shape(8, 3)),
        (Conv(8, 3, dilation=4), Shape(2, 5), Shape(8, 5)),
        (Pool("max", 3, 2), Shape(2, 5), Shape(2, 3)),
        (Pool("average", 2, 2), Shape(2, 5), Shape(2, 3)),
        (Pool("max", 2, 2, "valid"), Shape(2, 5), Shape(2, 2)),
        (Pool("max", 5, 3, "valid"), Shape(2, 32), Shape(2, 10)),
        (GlobalPool(), Shape(2, 5), Shape(2, 1)),
        (Linear(7), Shape(2, 5), Shape(7, 1)),
        (Norm(), Shape(2, 5), Shape(2, 5)),
        (Relu(), Shape(2, 5), Shape(2, 5)),
        (Dropout(0.5), Shape(2, 5), Shape(2, 5)),
        (SqueezeExcite(1), Shape(2, 5), Shape(2, 5)),
        (Attention(2), Shape(2, 5), Shape(2, 5)),
    ],
)
def test_a_layer_knows_its_output_shape(layer: Layer, shape: Shape, out: Shape) -> None:
    assert layer.out(shape) == out


@pytest.mark.parametrize(
    ("layer", "params", "madds"),
    [
        (Conv(8, 3), 144, 144 * 16),  # 3 · 3 · 2 · 8, at each of 16 positions
        (Conv(8, 3, stride=2), 144, 144 * 4),
        (Conv(8, (1, 5)), 80, 80 * 16),
        (Conv(8, 3, groups=2), 72, 72 * 16),
        (Conv(8, 3, bias=True), 152, 144 * 16),
        (Linear(10), 330, 320),  # 2 · 4 · 4 · 10, and 10 biases
        (Norm(), 4, 0),
        (SqueezeExcite(3), 17, 12),  # 2 · 3 + 3 biases, 3 · 2 + 2 biases
        (Attention(1), 20, 16 * 16 + 2 * 16 * 16 * 2),  # 4 · 2 · 2 at 16 positions; 16 × 16 products twice; 4 of norm
        (Pool("max", 3, 1), 0, 0),
        (Relu(6), 0, 0),
    ],
)
def test_a_layer_knows_its_cost(layer: Layer, params: int, madds: int) -> None:
    assert layer.costs(Shape(2, 4)) == Costs(params, madds)


def test_layers_in_a_row_pass_their_shapes_on() -> None:
    layers = (Conv(8, 3, stride=2), Norm(), Linear(10))
    assert out_of(layers, Shape(2, 4)) == Shape(10, 1)
    assert costs_of(layers, Shape(2, 4)) == Costs(144 + 16 + 330, 144 * 4 + 320)


def test_a_graph_costs_what_its_edges_cost() -> None:
    graph = Graph((((0, (Conv(3, 1),)),), ((0, (Conv(3, 1),)), (1, ()))))
    assert graph.shapes(Shape(2, 4)) == [Shape(2, 4), Shape(3, 4), Shape(3, 4)]
    assert graph.costs(Shape(2, 4)) == Costs(12, 12 * 16)


def test_a_node_without_edges_has_the_shape_of_the_input() -> None:
    assert Graph(((),)).out(Shape(2, 4)) == Shape(2, 4)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Conv(8, 2), "expected a width and stride of at least 1 and odd kernels"),
        (Conv(0), "expected a width and stride of at least 1 and odd kernels"),
        (Linear(0), "expected a width of at least 1"),
        (Pool("max", 2, 1), "expected a stride of at least 1 and a kernel that is odd or equals it"),
        (Pool("max", 5, 3, "valid"), "found an input of 4 × 4 for a 5 × 5 pooling"),
        (Attention(3), "found 2 channels for 3 heads, expected a multiple of the heads"),
        (Graph((((0, ()), (0, (Conv(3),))),)), "expected all its edges to end in one shape"),
    ],
)
def test_an_impossible_layer_is_an_error(layer: Layer, message: str) -> None:
    with pytest.raises(UserError, match=message):
        layer.out(Shape(2, 4))
