"""What a network takes where it runs: latency and peak memory of inference, measured on one device.

Latency is what a caller waits: from images that lie on the device until the logits are there, in the precision that
children train in, weights converted to it beforehand. On a CPU it is the time of one thread, whose clock stands still
while others have the core, for as many children train there as it has cores; on a GPU it is wall time until all kernels
are done. Peak memory is that of one image: the image, the weights, and what else is alive at the worst moment. On a GPU
the last is what torch's allocator gave out at most; a CPU's has no such count, so there it is the sum of the tensors
alive after each operation, and the scratch that a kernel takes and gives back within one is not in it.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

WARM = 3  # passes before the first that is timed: kernels are chosen, memory is taken
MOST, LEAST = 25, 5  # passes that are timed
LONGEST = 1.0  # seconds after which no more than the least are
Spread = tuple[float, float, float]  # median, lower and upper quartile, in ms


class Measured(NamedTuple):
    """The figures of one network, by their names in a result."""

    latency_ms: Spread  # of one image
    batch_latency_ms: Spread  # of a whole batch
    peak_memory: int  # bytes, of one image


@torch.no_grad()
def measured(
    module: nn.Module, shape: tuple[int, int, int], device: torch.device, batch: int, precision: str
) -> Measured:
    """The figures of a module on the device where it lies.

    shape: channels, height and width of an image.  batch: images at once, beside one.
    precision: "float32" or "bfloat16", as `nas.train.precision` gives it.
    """
    few, many = (torch.randn(n, *shape).to(device, memory_format=torch.channels_last) for n in (1, batch))
    was_training = module.training
    module.eval()
    try:
        # with more threads than one, a figure would say how many cores were idle just then
        with on_threads(1), torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            memory = peak_memory(module, few)
            return Measured(timed(lambda: module(few), device), timed(lambda: module(many), device), memory)
    finally:
        module.train(was_training)


def timed(run: Callable[[], object], device: torch.device) -> Spread:
    """How long a call takes, warmed up: median and quartiles in ms, to a tenth of a microsecond."""
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    for _ in range(WARM):
        run()
    _wait(device)
    times: list[float] = []
    begun = clock()
    while len(times) < LEAST or (len(times) < MOST and clock() - begun < LONGEST):
        start = clock()
        run()
        _wait(device)
        times.append(1e3 * (clock() - start))
    lower, median, upper = np.quantile(times, [0.25, 0.5, 0.75]).round(4).tolist()
    return median, lower, upper


def expected(seconds: float) -> float:
    """How long `timed` takes of a call of so many seconds."""
    return seconds * (WARM + min(MOST, max(LEAST, LONGEST / seconds)))


def peak_memory(module: nn.Module, images: Tensor) -> int:
    """Bytes that one pass takes at most, weights and images included; images: float (N, C, H, W), on its device."""
    held = [images, *module.parameters(), *module.buffers()]
    taken = _taken_of_gpu if images.device.type == "cuda" else _taken_of_cpu
    return int(sum(tensor.untyped_storage().nbytes() for tensor in _apart(held))) + taken(module, images, held)


def _taken_of_gpu(module: nn.Module, images: Tensor, _: list[Tensor]) -> int:
    _wait(images.device)
    before = torch.cuda.memory_allocated(images.device)
    torch.cuda.reset_peak_memory_stats(images.device)
    module(images)
    return int(torch.cuda.max_memory_allocated(images.device)) - int(before)


def _taken_of_cpu(module: nn.Module, images: Tensor, held: list[Tensor]) -> int:
    alive = _Alive(held)
    with alive:
        module(images)
    return alive.most


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that operations make, as long as anything refers to them."""

    def __init__(self, held: Iterable[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.most = 0
        self.known = weakref.WeakSet(tensor.untyped_storage() for tensor in held)  # views of these take nothing

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = operation(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and (storage := tensor.untyped_storage()) not in self.known:
                self.known.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return made

    def _add(self, size: int) -> None:
        self.now += size
        self.most = max(self.most, self.now)


def _apart(tensors: Iterable[Tensor]) -> list[Tensor]:
    """One of each that share their memory, as tied weights do."""
    return list({tensor.untyped_storage().data_ptr(): tensor for tensor in tensors}.values())


def _wait(device: torch.device) -> None:
    """Until all that was begun on the device is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch use so many threads of the CPU in here, and as many as before after it."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
