"""One child on one device, from network to `Result`.

What was tried to make it fast on a CPU, with its figures, is at the head of `benchmarks/throughput.py`.
"""

from __future__ import annotations

import ctypes
import math
import sys
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from nas import machine
from nas.depthwise import Depthwise
from nas.latency import measured, on_threads
from nas.modules import initialise
from nas.network import Network
from nas.recipe import Recipe
from nas.reward import UNBOUND, Bounds, Result
from nas.stop import is_below

if TYPE_CHECKING:
    from nas.data import Data
    from nas.space import Child

SLOWER = 0.4  # of the rate, where a training begins again (Baker et al. 2017, section 5.1)


class Resident:
    """A data set where a device trains on it: uint8 on the device, or on the host if it does not fit there.

    device: "cpu", "cuda", or "auto" for a GPU where there is one. Raises UserError for "cuda" where there is none.
    """

    def __init__(self, data: Data, device: str) -> None:
        self.device = machine.device(device)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # the cache is mapped read-only, and nothing here writes to it
            self.pixels = torch.from_numpy(data.pixels)
        if self._fits(data.pixels.nbytes, 0.5):
            self.pixels = self.pixels.to(self.device)
        if self.device.type == "cpu":
            _keep_freed_memory()
        self.labels = torch.from_numpy(np.array(data.labels)).to(self.device)
        self.train = torch.from_numpy(np.array(data.train)).to(self.pixels.device)
        self.valid = torch.from_numpy(np.array(data.valid)).to(self.pixels.device)
        mean = torch.tensor(data.mean, device=self.device).view(1, -1, 1, 1)
        std = torch.tensor(data.std, device=self.device).view(1, -1, 1, 1)
        self.scale, self.shift = 1 / (255 * std), -mean / std
        self.images = data.images
        self._sized: dict[int, Tensor] = {}  # on a GPU, the pixels at the input sizes of children before

    def free(self) -> int:
        """Bytes of the GPU's memory that no other process has, 0 on a CPU; raises if the GPU is out of order."""
        self.labels[:1].tolist()
        if self.device.type == "cpu":
            return 0
        return int(torch.cuda.mem_get_info(self.device)[0]) + int(torch.cuda.memory_reserved(self.device))

    def batch(self, indices: Tensor, size: int | None = None) -> tuple[Tensor, Tensor]:
        """indices (B,): pixels uint8 (B, C, H, W) and labels int64 (B,), on the device.

        size: pixels a side wanted in the end; where all images lie there in that size, these are given. Without it, or
        where they do not, pixels are as the data have them.
        """
        pixels = (self.pixels if size is None else self._at(size))[indices]
        if pixels.device != self.device:
            pixels = pixels.pin_memory().to(self.device, non_blocking=True)
        return pixels, self.labels[indices.to(self.device)]

    def ready(self, pixels: Tensor, size: int) -> Tensor:
        """pixels uint8 (B, C, H, W) to float (B, C, size, size), resized in whole levels, normalised a channel."""
        x = resized(pixels.contiguous(memory_format=torch.channels_last), size)
        return torch.addcmul(self.shift, x, self.scale)

    def _at(self, size: int) -> Tensor:
        """All pixels at this size if they lie on a GPU and have room there, else as they are.

        On a CPU a batch is resized when it is needed: that takes 1 % of a step, and no memory in each worker.
        """
        if size not in self._sized:
            count, channels, height, width = self.pixels.shape
            as_it_is = (height, width) == (size, size) or self.pixels.device != self.device
            if as_it_is or not self._fits(count * channels * size**2, 0.1):
                self._sized[size] = self.pixels
            else:
                self._sized[size] = torch.cat([resized(part, size) for part in torch.split(self.pixels, 4096)])
        return self._sized[size]

    def _fits(self, size: int, share: float) -> bool:
        """Whether there is a GPU to train on, and so many bytes are less than this share of its free memory."""
        return self.device.type == "cuda" and size < share * torch.cuda.mem_get_info(self.device)[0]


def resized(pixels: Tensor, size: int) -> Tensor:
    """pixels uint8 (B, C, H, W) to uint8 (B, C, size, size): bilinear, over all pixels where it shrinks."""
    if pixels.shape[-2:] == (size, size):
        return pixels
    x = pixels if pixels.device.type == "cpu" else pixels.float()  # torch resizes uint8 on a CPU only
    x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return x if x.dtype == torch.uint8 else x.round_().clamp_(0, 255).to(torch.uint8)


def train(
    network: Child,
    data: Resident,
    recipe: Recipe,
    seed: int,
    threads: int,
    limit: float | None,
    bar: tuple[float, ...] = (),
    latency: int | None = None,
    bounds: Bounds = UNBOUND,
) -> Result:
    """Train a child from scratch and say how well it does on the validation images.

    seed: of weights, order, augmentation and dropout; on a CPU the same seed and threads give the same result.
    threads: of the CPU;  limit: seconds, or None.  Whatever goes wrong in the child is an error in the result.
    bar: by epoch, the likelihood below which the child is stopped (`nas.stop`); its result then has it.
    latency: measure it first, in batches of so many too; None for not.  bounds: what costs more is not trained.
    """
    begun = time.perf_counter()
    costs = Result()
    try:
        with on_threads(threads), torch.random.fork_rng([data.device] if data.device.type == "cuda" else []):
            costs = _costs_first(network, data, latency, bounds)
            if why := bounds.refusal(costs):
                result = replace(costs, error=f"refused: {why}")
            else:
                deadline = math.inf if limit is None else time.perf_counter() + limit
                result = _attempts(network, data, recipe, seed, deadline, bar)
    except Exception as error:
        result = Result(error=failure(error, limit))
    return replace(
        result, seconds=round(time.perf_counter() - begun, 3), memory=peak_memory(data.device),
        latency_ms=costs.latency_ms, batch_latency_ms=costs.batch_latency_ms, peak_memory=costs.peak_memory,
    )  # fmt: skip


def _costs_first(network: Child, data: Resident, latency: int | None, bounds: Bounds) -> Result:
    """What a fresh network costs, as far as anything asks before it is trained: its weights do not matter for that."""
    if latency is None and bounds == UNBOUND:
        return Result()
    model = network.module(data.images).to(data.device, memory_format=torch.channels_last)
    params, madds = costs(network, model, data)
    known = Result(params=params, madds=madds)
    if latency is None or bounds.refusal(known):
        return known
    shape = (data.images.channels, network.input_size, network.input_size)
    return replace(known, **measured(model, shape, data.device, latency, precision(model, data.device))._asdict())


def _attempts(
    network: Child, data: Resident, recipe: Recipe, seed: int, deadline: float, bar: tuple[float, ...]
) -> Result:
    """Begin again at a lower rate while the first epoch is no better than chance (Baker et al. 2017, section 5.1)."""
    rate = recipe.rate
    for attempt in range(recipe.restarts + 1):
        result = _attempt(network, data, recipe, rate, seed + attempt, deadline, bar, attempt < recipe.restarts)
        if result is not None:
            return result
        rate *= SLOWER
    raise AssertionError("the last attempt always gives a result")


def _attempt(
    network: Child,
    data: Resident,
    recipe: Recipe,
    rate: float,
    seed: int,
    deadline: float,
    bar: tuple[float, ...],
    may_restart: bool,
) -> Result | None:
    """One training from fresh weights; None if it may begin again and its first epoch was no better than chance."""
    training = Attempt(network, data, recipe, rate, seed)
    accuracy, loss = [], []
    for epoch in range(recipe.epochs):
        training.epoch(epoch, deadline)
        counts, nats = evaluate(training.model, network.input_size, data)
        accuracy.append(round(float(counts.trace() / counts.sum()), 6))
        loss.append(round(nats, 6))
        if not math.isfinite(nats):
            return Result(tuple(accuracy), error=f"diverged: the validation loss is {nats} after epoch {epoch + 1}")
        if epoch == 0 and may_restart and accuracy[0] <= 1 / data.images.classes + 0.05:  # 0.15 with ten classes
            return None
        if is_below(loss, bar):
            break
    params, madds = costs(network, training.model, data)
    missed = bar if len(accuracy) < recipe.epochs else ()
    confusion = tuple(map(tuple, counts.tolist()))
    return Result(
        tuple(accuracy), tuple(loss), params, madds,
        confusion=confusion, precision=training.precision, bar=missed,
    )  # fmt: skip


class Attempt:
    """A model on its way: fresh weights, its optimizer, and one epoch after the other."""

    def __init__(self, network: Child, data: Resident, recipe: Recipe, rate: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.model = network.module(data.images)
        initialise(self.model, recipe.init)
        self.model.to(data.device, memory_format=torch.channels_last)
        self.precision = precision(self.model, data.device)
        self.optimizer = _optimizer(self.model, recipe, rate)
        self.size, self.data, self.recipe, self.rate = network.input_size, data, recipe, rate
        self.weight = _class_weights(data, recipe)
        self.batch = min(recipe.batch, len(data.train))

    def epoch(self, number: int, deadline: float) -> None:
        """One pass over the training images in a new order; what does not fill a last batch waits for the next."""
        self.model.train()
        train, size = self.data.train, None if self.recipe.crop else self.size
        order = train[torch.randperm(len(train)).to(train.device)]
        steps = len(train) // self.batch
        for step in range(steps):
            if time.perf_counter() > deadline:
                raise TooLongError(f"epoch {number + 1} of {self.recipe.epochs} was under way")
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * schedule(self.recipe, number * steps + step, steps)
            self.step(*self.data.batch(order[step * self.batch : (step + 1) * self.batch], size))

    def step(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """One step, and its loss in nats; pixels uint8 (B, C, H, W), labels int64 (B,)."""
        x = self.data.ready(augment(pixels, self.recipe.crop, self.recipe.flip), self.size)
        with autocast(self.data.device, self.precision):
            logits = self.model(x)
        loss = F.cross_entropy(logits.float(), labels, self.weight, label_smoothing=self.recipe.smoothing)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.detach()


@torch.no_grad()
def evaluate(model: nn.Module, size: int, data: Resident) -> tuple[Tensor, float]:
    """Counts int64 (K true classes, K predicted ones) and mean cross entropy in nats on the validation images."""
    model.eval()
    kind = precision(model, data.device)
    classes = data.images.classes
    counts = torch.zeros(classes * classes, dtype=torch.int64, device=data.device)
    loss = torch.zeros((), device=data.device)
    for indices in torch.split(data.valid, 500):
        pixels, labels = data.batch(indices, size)
        with autocast(data.device, kind):
            logits = model(data.ready(pixels, size)).float()
        loss += F.cross_entropy(logits, labels, reduction="sum")
        cell = labels * classes + logits.argmax(1)
        counts.scatter_add_(0, cell, torch.ones_like(cell))  # bincount would wait for a GPU, to see its largest
    return counts.view(classes, classes).cpu(), float(loss) / len(data.valid)


def schedule(recipe: Recipe, step: int, steps: int) -> float:
    """The share of the highest rate at this step of the whole training; steps: in one epoch."""
    whole = recipe.epochs * steps
    warm = recipe.warmup * whole
    if step < warm:
        return (step + 1) / (warm + 1)
    if recipe.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / (whole - warm)))
    if recipe.schedule == "step":
        return float(recipe.step_factor ** (step // steps // recipe.step_epochs))
    return 1.0


def augment(pixels: Tensor, crop: int, flip: bool) -> Tensor:
    """pixels uint8 (B, C, H, W), each shifted by up to `crop` pixels over zeros, and each second one mirrored."""
    if crop:
        n, _, height, width = pixels.shape
        padded = F.pad(pixels, (crop, crop, crop, crop))
        top, left = torch.randint(0, 2 * crop + 1, (2, n, 1), device=pixels.device)
        rows = top + torch.arange(height, device=pixels.device)  # (B, H)
        columns = left + torch.arange(width, device=pixels.device)  # (B, W)
        images = torch.arange(n, device=pixels.device).view(n, 1, 1)
        pixels = padded.permute(0, 2, 3, 1)[images, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if flip:
        mirrored = torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < 0.5
        pixels = torch.where(mirrored, pixels.flip(3), pixels)
    return pixels


class TooLongError(Exception):
    """The time limit of a child passed."""


def precision(model: nn.Module, device: torch.device) -> str:
    """What a model's convolutions and products compute in: "bfloat16" or "float32"; it follows from no measurement.

    bfloat16 on a GPU, and on a CPU with instructions for it, but for a model with convolutions in groups of another
    kind than `Depthwise`: oneDNN has no fast gradients for them in bfloat16.
    """
    if device.type == "cuda":
        return "bfloat16"
    grouped = any(
        isinstance(part, nn.Conv2d) and part.groups > 1 for part in model.modules() if type(part) is not Depthwise
    )
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() and not grouped else "float32"


def autocast(device: torch.device, kind: str) -> torch.autocast:
    """The context in which a model computes with this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=kind == "bfloat16")


def _keep_freed_memory() -> None:
    """Let glibc keep memory for the next step: giving it back and getting it anew takes a tenth of a float32 step."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mmap_threshold, trim_threshold = -3, -1  # as malloc.h names them
        mallopt(mmap_threshold, 2**30) or mallopt(mmap_threshold, 2**25)  # glibc before 2.35 takes no more
        mallopt(trim_threshold, 2**31 - 1)


def _optimizer(model: nn.Module, recipe: Recipe, rate: float, fused: bool = True) -> torch.optim.Optimizer:
    """fused: one pass over all weights."""
    if recipe.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), rate, weight_decay=recipe.decay, fused=fused)
    nesterov = recipe.momentum > 0
    return torch.optim.SGD(
        model.parameters(), rate, recipe.momentum, weight_decay=recipe.decay, nesterov=nesterov, fused=fused
    )


def _class_weights(data: Resident, recipe: Recipe) -> Tensor | None:
    """(K,) so that each class weighs alike, 1 on average over the images; None for no weights."""
    if recipe.class_weights != "balanced":
        return None
    counts = torch.bincount(data.labels[data.train.to(data.device)], minlength=data.images.classes).clamp(min=1)
    weights: Tensor = len(data.train) / (data.images.classes * counts.float())
    return weights


def costs(network: Child, model: nn.Module, data: Resident) -> tuple[int, int]:
    """Parameters and multiply-adds: from the network where it knows them, else counted on one image of zeros."""
    known = network.costs(data.images) if isinstance(network, Network) else None
    if known:
        return known
    one = torch.zeros(1, data.images.channels, network.input_size, network.input_size, device=data.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.eval().requires_grad_(False)  # or the counter fails where a view of a weight is given on
        model(one)
    return sum(p.numel() for p in model.parameters()), counter.get_total_flops() // 2


def peak_memory(device: torch.device) -> int | None:
    """Bytes that the child took of the GPU at most, and gives back to those beside it; None on a CPU."""
    if device.type != "cuda":
        return None
    taken = torch.cuda.max_memory_reserved(device)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(device)
    return int(taken)


def failure(error: Exception, limit: float | None) -> str:
    """What went wrong in a child, as a result's error says it; limit: seconds, or None."""
    if isinstance(error, TooLongError):
        return f"time limit: {limit:g} s were allowed, {error}"
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return f"out of memory: {_first_line(error)}"
    kind = "out of memory" if isinstance(error, RuntimeError) and "memory" in str(error) else "exception"
    return f"{kind}: {type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0][:300]
