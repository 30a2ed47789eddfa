"""Layers as torch modules, on tensors that fit into the head."""

import pytest
import torch
from torch import Tensor, nn

from nas.errors import UserError
from nas.layers import Conv, GlobalPool, Graph, Layer, Norm, Pool, Relu, Shape
from nas.modules import Gate, SelfAttention, initialise, join, measured, module, sequence


def image(*rows: list[float]) -> Tensor:
    return torch.tensor([[rows]], dtype=torch.float32)


def test_concat_fills_up_smaller_maps_with_zeros() -> None:
    joined = join([image([1, 2], [3, 4]), image([5])], "concat")
    assert joined.tolist() == [[[[1, 2], [3, 4]], [[5, 0], [0, 0]]]]


def test_add_fills_up_missing_channels_too() -> None:
    two_channels = torch.tensor([[[[10.0]], [[20.0]]]])
    joined = join([image([1, 2], [3, 4]), two_channels], "add")
    assert joined.tolist() == [[[[11, 2], [3, 4]], [[20, 0], [0, 0]]]]


def test_one_input_is_joined_to_itself() -> None:
    alone = image([1, 2], [3, 4])
    assert join([alone], "add") is alone


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (Pool("max", 2, 2, "valid"), [[5]]),
        (Pool("max", 2, 2), [[5, 6], [8, 9]]),
        (Pool("max", 3, 2), [[5, 6], [8, 9]]),
        (Pool("average", 2, 2), [[3, 4.5], [7.5, 9]]),  # (1 + 2 + 4 + 5) / 4, (3 + 6) / 2, (7 + 8) / 2, 9
        (Pool("average", 3, 2), [[3, 4], [6, 7]]),  # corners of four values each: padding does not count
        (GlobalPool(), [[5]]),
    ],
    ids=str,
)
def test_pooling(pool: Layer, expected: list[list[float]]) -> None:
    out = module(pool, Shape(1, 3))(image([1, 2, 3], [4, 5, 6], [7, 8, 9]))
    assert out.tolist() == [[expected]]


@pytest.mark.parametrize("kind", ["max", "average"])
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (1, 2), (2, 2), (3, 1), (3, 2), (4, 4), (5, 2), (5, 3)])
def test_pooling_gives_the_size_it_promises(kind: str, kernel: int, stride: int) -> None:
    same, valid = Pool(kind, kernel, stride), Pool(kind, kernel, stride, "valid")
    for size in range(1, 9):
        for pool in (same, valid) if size >= kernel else (same,):
            out = module(pool, Shape(1, size))(torch.zeros(1, 1, size, size))
            assert out.shape[-1] == pool.out(Shape(1, size)).size


def test_relu_may_be_capped() -> None:
    assert module(Relu(), Shape(1, 1))(image([-1, 3, 9])).tolist() == [[[[0, 3, 9]]]]
    assert module(Relu(6), Shape(1, 1))(image([-1, 3, 9])).tolist() == [[[[0, 3, 6]]]]


def test_a_node_is_the_sum_of_its_edges() -> None:
    graph = Graph((((0, ()),), ((0, (Relu(),)), (0, ()), (1, ()))))
    assert module(graph, Shape(1, 1))(image([-1, 3])).tolist() == [[[[-2, 9]]]]  # relu(x) + x + x


def test_a_node_without_edges_is_zero() -> None:
    assert module(Graph(((), ((1, ()),))), Shape(1, 1))(image([-1, 3])).tolist() == [[[[0, 0]]]]


def test_relu_works_in_place_only_on_what_batch_norm_made() -> None:
    inplace = [m.inplace for m in sequence((Relu(), Conv(2), Norm(), Relu()), Shape(2, 4)) if isinstance(m, nn.ReLU)]
    assert inplace == [False, True]


def test_a_gate_of_zero_weights_halves_every_channel() -> None:
    gate = Gate(2, 1)
    for parameter in gate.parameters():
        nn.init.zeros_(parameter)
    assert gate(torch.tensor([[[[4.0]], [[6.0]]]])).tolist() == [[[[2]], [[3]]]]  # sigmoid(0) = 1/2


def test_attention_of_equal_positions_is_the_value_at_each() -> None:
    attention = SelfAttention(2, 2)
    out = attention(torch.tensor([[[[1.0]], [[3.0]]]]).expand(1, 2, 3, 3))
    value = attention.project_in.weight[4:, :, 0, 0] @ torch.tensor([-1.0, 1.0])  # layer norm of (1, 3)
    expected = attention.project_out.weight[:, :, 0, 0] @ value
    assert torch.allclose(out, expected.reshape(1, 2, 1, 1).expand(1, 2, 3, 3), atol=1e-4)


@pytest.mark.parametrize(("how", "deviation"), [("he", 0.05), ("xavier", 0.04)])
def test_initialisation_draws_weights_anew(how: str, deviation: float) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(800, 450)  # √(2 / 800) = 0.05, √(2 / (800 + 450)) = 0.04
    initialise(linear, how)
    assert linear.weight.std().item() == pytest.approx(deviation, rel=0.01)
    assert linear.bias.abs().sum() == 0


def test_an_unknown_initialisation_is_an_error() -> None:
    with pytest.raises(UserError, match="found the initialisation 'hee', expected 'he' or 'xavier'"):
        initialise(nn.Linear(2, 2), "hee")


def test_an_unknown_layer_is_an_error() -> None:
    with pytest.raises(UserError, match=r"expected one of nas\.layers; return a torch module instead"):
        module(object(), Shape(1, 1))  # type: ignore[arg-type]


def test_measuring_leaves_a_module_as_it_was() -> None:
    norm = nn.BatchNorm2d(3)
    assert measured(norm, Shape(3, 4)) == Shape(3, 4)
    assert norm.training
    assert norm.num_batches_tracked == torch.tensor(0)


def test_a_module_that_gives_no_square_map_is_an_error() -> None:
    with pytest.raises(UserError, match=r"found an output of shape \(1, 48\), expected \(N, channels, size, size\)"):
        measured(nn.Flatten(), Shape(3, 4))
