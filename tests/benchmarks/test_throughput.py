"""How throughput is measured and shown; how high it is, is for the program."""

from __future__ import annotations

import dataclasses
import math
import mmap
import os

import numpy as np
import pytest
import torch
from torch import nn
from typer.testing import CliRunner

from benchmarks.throughput import (
    RECIPE,
    Memory,
    Row,
    _plainly,
    app,
    descendants,
    least_seconds,
    markdown,
    measured,
    resident,
    steps,
    traffic,
)
from benchmarks.ways import CHILDREN, Listed, Terms, Trained, arrays, documented, loaders, tuned, ways
from nas.blocks import Block
from nas.data import load
from nas.depthwise import Depthwise
from nas.errors import UserError
from nas.network import Images, Network
from nas.report import checklist

DIGITS = load("digits", images=400)
TERMS = Terms(DIGITS, dataclasses.replace(RECIPE, epochs=2, batch=64), 2, 3, "cpu", 2, 0)
ROWS = [
    Row("ours", 8.0, 36.0, 0.35, 0.01, 2**31, 0.0, 2),
    Row("Ray Tune, documented", 6.0, 108.0, 0.345, 0.01, 2**31, 0.0, 0),
    Row("Optuna, documented", 4.0, 90.0, 0.36, 0.01, 2**31, 0.0, 0),
    Row("Optuna, tuned", 4.0, 54.0, 0.36, 0.01, 2**31, 0.0, 1),
]


def test_the_list_has_chains_of_three_kinds_in_several_sizes_and_widths() -> None:
    for kind in ("conv", "separable", "residual"):
        of_kind = [child for child in CHILDREN if all(block.kind == kind for block in child.blocks)]
        assert len({child.input_size for child in of_kind}) >= 3
        assert len({block.width for child in of_kind for block in child.blocks}) >= 3
    assert len({child.key for child in CHILDREN}) == len(CHILDREN)


def test_the_space_of_a_list_gives_each_child_for_its_number() -> None:
    space = Listed().on(DIGITS.images)
    assert [space.replay((number,)).network for number in range(len(CHILDREN))] == list(CHILDREN)


def test_each_child_is_trained_with_each_seed() -> None:
    assert TERMS.jobs() == [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
    assert steps(TERMS) == 6 * 2 * (320 // 64)


@pytest.mark.parametrize("peer", [documented, tuned])
def test_a_peer_learns_to_read_digits(peer: object) -> None:
    terms = dataclasses.replace(TERMS, data=load("digits"), recipe=dataclasses.replace(TERMS.recipe, epochs=4))
    assert callable(peer)
    accuracies = [accuracy for accuracy, _ in peer(arrays(terms.data), terms, 0, 0)]
    assert len(accuracies) == 4
    assert accuracies[-1] > 0.3  # chance is 0.1


def test_peers_have_torchs_own_depthwise_convolutions() -> None:
    from benchmarks.ways import _model

    parts = list(_model(CHILDREN[4], arrays(DIGITS), 0, "cpu").modules())
    assert any(isinstance(part, nn.Conv2d) and part.groups > 1 for part in parts)
    assert not any(isinstance(part, Depthwise) for part in parts)


def test_peers_begin_with_our_weights() -> None:
    from benchmarks.ways import _model
    from nas.train import Attempt, Resident

    ours = Attempt(CHILDREN[4], Resident(DIGITS, "cpu"), TERMS.recipe, 0.1, 3).model
    peers = _model(CHILDREN[4], arrays(DIGITS), 3, "cpu")
    for name, weight in ours.state_dict().items():
        assert torch.equal(weight, peers.state_dict()[name])


def test_arrays_are_the_images_of_the_split() -> None:
    given = arrays(DIGITS)
    assert given.pixels.shape == (320, 8, 8, 1)
    assert np.array_equal(given.valid_pixels[3, :, :, 0], DIGITS.pixels[DIGITS.valid[3], 0])
    assert np.array_equal(given.labels, DIGITS.labels[DIGITS.train])


def trained(terms: Terms) -> list[Trained]:
    """Two children at once, three seconds each but the last."""
    return [
        Trained(child, seed, 0.5 + 0.1 * seed, 1e9 + 3 * seed, 1e9 + 3 * seed + 2 + child, "bfloat16")
        for child, seed in terms.jobs()
    ]


def lost(terms: Terms) -> list[Trained]:
    """One child short."""
    return trained(terms)[1:]


def test_time_runs_from_the_first_begin_to_the_last_end() -> None:
    row = measured("made up", trained, TERMS)
    assert row.seconds == 9
    assert row.accuracy == pytest.approx(0.6)
    assert row.error == pytest.approx(0.1 / math.sqrt(3))  # of 0.5, 0.6 and 0.7
    assert row.low == 2


def test_a_child_that_is_missing_is_told() -> None:
    with pytest.raises(UserError, match="made up: found 5 children trained, expected each of 6 once"):
        measured("made up", lost, TERMS)


def test_memory_is_that_of_the_processes_begun_here() -> None:
    assert os.getpid() in descendants(os.getppid())
    assert os.getpid() not in descendants(os.getpid())
    before = resident(os.getpid())
    with mmap.mmap(-1, 100 * 2**20) as held:  # new memory, where an array may get what was freed before
        np.frombuffer(held, np.uint8)[:] = 1
        assert resident(os.getpid()) - before > 90 * 2**20
    assert resident(0) == 0  # no process


def test_memory_is_looked_at_until_the_end() -> None:
    with Memory("cpu") as memory:
        pass
    assert not memory._thread.is_alive()


def test_the_bytes_of_a_step_by_hand() -> None:
    network = Network(8, (Block("conv", 4),))
    values = 4 * 64 + 10  # of convolution and classifier
    weights = 4 * 27 + 8 + 40 + 10  # kernels, norm, classifier, its bias
    assert traffic(network, Images(8, 3, 10), 2) == 2 * (10 * values + 4 * 3 * 64) + 28 * weights


def test_the_roofline_is_all_bytes_over_the_bandwidth() -> None:
    each = [traffic(CHILDREN[child], DIGITS.images, 64) for child in range(2)]
    assert least_seconds(TERMS, 1e9) == pytest.approx(3 * 2 * 5 * sum(each) / 1e9)


def test_rows_have_children_an_hour_and_ratios_to_the_better_peers() -> None:
    text = markdown(ROWS, TERMS, checklist("python -m benchmarks.throughput", 300.0))
    assert "| ours | 600 | 1.7 | 0.3500 ± 0.0100 | 2.0 | 2 of 2 | 8.0 |\n" in text  # 6 children in 36 s
    assert "Ours: 2.50 × the children an hour of Optuna, documented, the better of these; accuracy -0.0100." in text
    assert "Ours: 1.50 × the children an hour of Optuna, tuned, the better of these; accuracy -0.0100." in text
    assert "roofline" not in text


def test_with_a_gpu_there_is_a_roofline() -> None:
    speed = least_seconds(TERMS, 1.0) / 18  # the least is half of the 36 s
    text = markdown(ROWS[:1], TERMS, checklist("python -m benchmarks.throughput", 300.0), speed)
    assert "| 0.0 | 50.0 % |\n" in text
    assert "The roofline: " in text


def test_folders_of_this_machine_are_not_shown() -> None:
    assert _plainly(dataclasses.replace(DIGITS, name="folder:/home/somebody/photos")) == "folder:photos"
    assert _plainly(DIGITS) == "digits"


def test_loaders_have_the_cores_that_are_left() -> None:
    assert [loaders("cpu", 2, 2), loaders("cpu", 8, 2), loaders("cuda", 16, 8), loaders("cuda", 4, 8)] == [0, 3, 8, 3]


@pytest.mark.parametrize("way", ["ours", "Ray Tune, documented", "Optuna, tuned"])
def test_the_children_are_trained_by_real_ray_and_real_optuna(way: str) -> None:
    terms = dataclasses.replace(TERMS, children=1, seeds=2, workers=1)
    row = measured(way, ways(terms)[way], terms)
    assert row.startup > 0
    assert row.seconds > 0
    assert 0.1 < row.accuracy < 1
    assert row.memory > 50 * 2**20


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--device", "tpu"], "device: found 'tpu', expected cpu or cuda"),
        (["--way", "theirs"], "way: found 'theirs', expected one of ours; Ray Tune, documented; "),
        (["--data", "cifar"], "data: found 'cifar'; did you mean cifar10?, expected one of digits, "),
        (["--out", "/dev/null/t.md"], "/dev/null/t.md: found Not a directory, expected a file that can be written"),
    ],
)
def test_a_mistake_is_found_before_anything_is_measured(words: list[str], message: str) -> None:
    error = CliRunner().invoke(app, ["--data", "digits", "--images", "400", *words]).exception
    assert isinstance(error, UserError)
    assert str(error).startswith(message)
