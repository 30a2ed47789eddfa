"""NAS-Bench-201's network against the cost figures of the benchmark."""

import csv
import gzip
import random
from pathlib import Path

import pytest
import torch

from nas.layers import Costs, Graph
from nas.network import Images, Network
from nas.space import Candidate, Count
from search_spaces.nasbench201 import NasBench201

TABLE = Path(__file__).parents[3] / "shared" / "data" / "nasbench201_cifar10.csv.gz"
IMAGES = Images(32, 3, 10)


def candidate(ops: str) -> Candidate:
    return NasBench201().replay([NasBench201.operation.options.index(name) for name in ops.split("-")])


def network(ops: str) -> Network:
    child = candidate(ops).network
    assert isinstance(child, Network)
    return child


@pytest.mark.skipif(not TABLE.exists(), reason="the benchmark's table is not here")
def test_costs_are_the_benchmarks() -> None:
    with gzip.open(TABLE, "rt") as lines:
        rows = list(csv.DictReader(lines))
    chosen = [0, 1, 11, 284, 1462, 6111, *random.Random(0).sample(range(len(rows)), 60)]
    for row in (rows[index] for index in chosen):
        madds = round(float(row["mflops"]) * 1e6) - 10  # theirs counts the ten biases of the classifier too
        assert network(row["ops"]).costs(IMAGES) == Costs(round(float(row["params_m"]) * 1e6), madds)


def test_a_cell_of_shortcuts_costs_the_skeleton_alone() -> None:
    stem = 27 * 16 + 32
    reductions = sum(9 * w * 2 * w + 9 * 4 * w * w + 8 * w + 2 * w * w for w in (16, 32))
    costs = network("-".join(["skip_connect"] * 6)).costs(IMAGES)
    assert costs is not None
    assert costs.params == stem + reductions + 128 + 650  # last batch norm, classifier


def test_a_candidate_has_its_name_in_the_table() -> None:
    ops = "avg_pool_3x3-nor_conv_1x1-skip_connect-nor_conv_1x1-skip_connect-none"
    assert NasBench201().ops(candidate(ops)) == ops


def test_the_edges_stand_in_the_tables_order() -> None:
    ops = "nor_conv_1x1-skip_connect-none-none-nor_conv_3x3-avg_pool_3x3"
    layers = network(ops).blocks[1].layers(16)
    assert isinstance(layers, tuple)
    (graph,) = layers
    assert isinstance(graph, Graph)
    assert [[source for source, _ in edges] for edges in graph.nodes] == [[0], [0], [1, 2]]


def test_there_are_five_operations_on_six_edges() -> None:
    assert NasBench201().count() == Count(5**6, exact=True)


def test_the_relu_of_an_edge_does_not_reach_the_shortcut_beside_it() -> None:
    ops = "nor_conv_1x1-none-none-skip_connect-none-none"  # node 3 is the input, node 1 leads nowhere
    a_cell = network(ops).module(IMAGES).get_submodule("stages.1")
    images = torch.randn(1, 16, 8, 8)
    assert torch.equal(a_cell(images.clone()), images)


@pytest.mark.parametrize("size", [7, 8, 9, 28])
def test_maps_that_do_not_halve_evenly_are_rounded_up(size: int) -> None:
    child = NasBench201(cells=1).on(Images(size, 1, 10)).sample(random.Random(0)).network
    assert child.module(Images(size, 1, 10))(torch.randn(2, 1, size, size)).shape == (2, 10)
