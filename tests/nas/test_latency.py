"""Latency and peak memory: what is counted by hand, and what a clock must do whatever the machine."""

import time
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from nas.blocks import Block
from nas.latency import LEAST, MOST, WARM, Measured, expected, measured, peak_memory, timed
from nas.network import Images, Network
from nas.reward import Result

CPU = torch.device("cpu")
IMAGE = torch.zeros(1, 1, 8, 8)  # 64 floats


@pytest.fixture(autouse=True)
def _forward_only() -> Iterator[None]:
    with torch.no_grad():
        yield


def conv(channels: int, width: int) -> nn.Conv2d:
    """3 × 3, the size stays."""
    return nn.Conv2d(channels, width, 3, padding=1, bias=False)


def chain(blocks: int) -> nn.Module:
    """Convolutions from 4 channels to 4, all of one cost, in a chain whose classifier is 10 × 4 + 10 floats."""
    return Network(8, (Block("conv", 4),) * blocks).module(Images(8, 4, 10)).eval()


def weights(module: nn.Module) -> int:
    return sum(tensor.nbytes for tensor in [*module.parameters(), *module.buffers()])


def test_peak_memory_is_image_weights_and_the_most_that_is_alive_at_once() -> None:
    # floats: an image of 64, weights of 9 × 4 and 9 × 4 × 8; alive at the second convolution: 4 × 64 in, 8 × 64 out
    module = nn.Sequential(conv(1, 4), nn.ReLU(), conv(4, 8)).eval()
    assert peak_memory(module, IMAGE) == 4 * (64 + 36 + 288 + 256 + 512)
    # and there before the first convolution's output is let go: as much again
    assert peak_memory(nn.Sequential(conv(1, 4), nn.ReLU()).eval(), IMAGE) == 4 * (64 + 36 + 256 + 256)


def test_what_lies_in_the_same_memory_is_counted_once() -> None:
    tied = conv(1, 1)
    assert peak_memory(nn.Sequential(nn.Flatten(), nn.Unflatten(1, (1, 8, 8))), IMAGE) == 4 * 64  # views of the image
    twice = nn.Sequential(tied, conv(1, 1)).eval()
    twice[1].weight = tied.weight
    assert peak_memory(twice, IMAGE) == 4 * (64 + 9 + 64 + 64)


def test_a_longer_chain_takes_more_for_its_weights_and_for_nothing_else() -> None:
    images = torch.zeros(1, 4, 8, 8)
    alive = {peak_memory(chain(blocks), images) - weights(chain(blocks)) for blocks in (3, 6, 12)}
    assert len(alive) == 1


def test_a_map_that_is_needed_later_is_kept_until_then() -> None:
    blocks = (Block("conv", 4),) * 4
    skipping = (*blocks, Block("conv", 4, inputs=(1, 4)))  # its weights are of 8 channels
    images = torch.zeros(1, 4, 8, 8)
    long, short = Network(8, skipping).module(Images(8, 4, 10)).eval(), chain(5)
    kept = (peak_memory(long, images) - weights(long)) - (peak_memory(short, images) - weights(short))
    assert kept >= 4 * 256


def test_the_median_stands_between_its_quartiles() -> None:
    calls: list[int] = []
    median, lower, upper = timed(lambda: calls.append(sum(range(20_000))), CPU)
    assert 0 < lower <= median <= upper
    assert WARM + LEAST <= len(calls) <= WARM + MOST


def test_time_in_which_others_have_the_core_is_not_counted_on_a_cpu() -> None:
    assert timed(lambda: time.sleep(0.005), CPU)[0] < 2.5  # ms


def test_time_in_which_it_works_is_counted() -> None:
    def work() -> None:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.003:
            pass

    assert timed(work, CPU)[1] >= 3.0


class Watched(nn.Module):
    """Notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.seen: set[tuple[object, ...]] = set()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear(x.flatten(1)[:, :2])
        self.seen.add((len(x), self.training, torch.get_num_threads(), torch.is_grad_enabled(), out.dtype))
        return out


@pytest.mark.parametrize(("precision", "kind"), [("float32", torch.float32), ("bfloat16", torch.bfloat16)])
def test_one_image_and_a_batch_are_measured_as_in_use_and_nothing_stays_changed(
    precision: str, kind: torch.dtype
) -> None:
    module, before = Watched(), torch.get_num_threads()
    torch.set_num_threads(2)
    figures = measured(module, (3, 8, 8), CPU, 7, precision)
    assert module.seen == {(1, False, 1, False, kind), (7, False, 1, False, kind)}
    assert module.training
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
    assert figures.peak_memory > 4 * (3 * 64 + 6)


def test_a_module_that_fails_while_it_is_measured_trains_on_as_it_did() -> None:
    module = Watched()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        measured(module, (1, 1, 1), CPU, 7, "float32")  # it looks at two values
    assert module.training


def test_the_figures_have_their_names_in_a_result() -> None:
    figures = Measured((1.0, 0.5, 2.0), (3.0, 2.5, 4.0), 100)
    assert Result(**figures._asdict()).cost("latency") == 1.0


def test_what_timing_takes_is_foretold_from_one_call() -> None:
    assert expected(0.001) == pytest.approx(0.028)  # three to warm up, and 25
    assert expected(0.1) == pytest.approx(1.3)  # three, and ten within a second
    assert expected(1.0) == pytest.approx(8.0)  # three, and five at least
