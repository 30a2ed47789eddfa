"""One network trained in full: a strong recipe, weights that are averages, and the weights kept."""

from __future__ import annotations

import copy
import itertools
import math
import time
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from nas.latency import on_threads
from nas.model.saved import weights_of
from nas.pool import Job, Training
from nas.recipe import Recipe
from nas.reward import Result
from nas.train import SLOWER, Attempt, Resident, TooLongError, costs, evaluate, failure, peak_memory, schedule

if TYPE_CHECKING:
    from nas.data import Data
    from nas.network import Images
    from nas.space import Child

EPOCHS = 12  # at least: on two CPU cores the digits, with all that they are compared with, then take a few minutes
TIMES = 4  # as many epochs as the search's children had, at least
AVERAGED = 0.05  # share of all steps, or of all seconds, over which weights are averaged
MOMENTS = 1_000  # steps of the rate where it goes by the seconds
FEW = 5_000  # images; with fewer, an epoch has more steps
RANK, FULL = "rank", "full"  # what a training is for: to choose by, or to keep
NORMS = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm)
UNNORMALISED = 0.1  # of SGD's rate, for networks without these (Simonyan & Zisserman 2015, section 3.1)
BLIND = 0.98  # of the loss of who sees no image: what has learnt something is below it
SETTLES = 2  # epochs at least before it is looked at whether a network learns: until then batch norms may not have


class Task(NamedTuple):
    """One training: what it is for, of which network, with which seed."""

    part: str  # RANK: on the training images; FULL: on these and the validation images
    key: str
    seed: int


@dataclass(frozen=True)
class Finished(Result):
    """A result with the weights that training led to; accuracy and loss are those of the end alone."""

    weights: bytes = b""  # as safetensors writes them; of a training in full
    rate: float | None = None  # the highest one; below the recipe's for want of norms, or if nothing was learnt at it
    epochs: float = 0.0  # how often it went over the images


@dataclass
class Finishing(Training):
    """Trains networks in full: called with a job, whose trial is a task's number. It travels to workers whole."""

    networks: Mapping[str, Child] = field(default_factory=dict)  # by key
    tasks: tuple[Task, ...] = ()

    def __call__(self, job: Job) -> Result:
        """Do one task."""
        task = self.tasks[job.trial]
        network, seed = self.networks[task.key], zlib.crc32(f"finish {task.seed} {task.key}".encode())
        whole = task.part == FULL
        return trained(network, self.prepare(), self.recipe, seed, self.threads, self.limit, whole)


def mirrors(data: Data) -> bool:
    """Whether mirrored images are of the same class; of grey ones, digits, letters and X-rays among them, few are."""
    return data.name == "fashion-mnist" or (data.images.channels > 1 and data.name != "svhn")


def strong(data: Data, epochs: int, flip: bool | None = None) -> Recipe:
    """How a network is trained in full on these images.

    Nesterov's momentum, a rate that rises and then falls by a cosine (Loshchilov & Hutter 2017), crops of an eighth and
    mirrored images (He et al. 2016), smoothed labels (Szegedy et al. 2016); what learns nothing by the third epoch
    begins again at a lower rate. flip: None for what suits the data.
    """
    mirrored = mirrors(data) if flip is None else flip
    return Recipe(
        epochs=epochs, batch=32 if len(data.train) < FEW else 128, rate=0.1, decay=5e-4, warmup=0.1,
        crop=max(1, max(data.pixels.shape[2:]) // 8), flip=mirrored, smoothing=0.1, restarts=4,
    )  # fmt: skip


def trained(
    network: Child,
    data: Resident,
    recipe: Recipe,
    seed: int,
    threads: int,
    limit: float | None = None,
    whole: bool = False,
    budgeted: bool = False,
) -> Finished:
    """Train a network from scratch, with its weights averaged; whatever goes wrong is an error in what it gives.

    As often as the recipe has restarts, it begins again at a lower rate where it learns nothing; if it does at none,
    the first that gave finite numbers is trained to its end. SGD has a tenth of the rate for networks without norms.
    whole: on the training and the validation images, and judged on none; else judged on the validation images.
    budgeted: for as many steps as there are in `limit` seconds, however fast they are, and not for the recipe's epochs;
    the rate and the average follow the share of the seconds that has passed, so that the rate is zero at their end
    (budgeted training, Li et al. 2020, section 3). The same seed then need not give the same weights.
    seed, threads, limit: as in `nas.train.train`.
    Raises ValueError for a budget without a limit.
    """
    if budgeted and limit is None:
        raise ValueError("trained: found budgeted=True without a limit, expected one, in seconds; give limit=")
    begun = time.perf_counter()
    deadline = math.inf if limit is None else begun + limit
    try:
        with on_threads(threads), torch.random.fork_rng([data.device] if data.device.type == "cuda" else []):
            images = _with_validation(data) if whole else data
            attempt = _attempt(_Budgeted if budgeted else _Averaged, network, images, recipe, seed, deadline)
            finished = _finished(attempt, network, whole)
    except Exception as error:
        finished = Finished(error=failure(error, limit))
    return replace(finished, seconds=round(time.perf_counter() - begun, 3), memory=peak_memory(data.device))


def _attempt(
    kind: type[_Averaged], network: Child, images: Resident, recipe: Recipe, seed: int, deadline: float
) -> _Averaged:
    """The first attempt that learns something, else the first that gave finite numbers, else the slowest; trained."""

    def fresh(again: int) -> _Averaged:
        return kind(network, images, recipe, recipe.rate * SLOWER**again, seed + again)

    chosen = recipe.restarts
    for again in range(recipe.restarts):
        attempt = fresh(again)
        if attempt.train(deadline, last=False):
            return attempt
        if attempt.is_finite():
            chosen = min(chosen, again)
    attempt = fresh(chosen)
    attempt.train(deadline)
    return attempt


def _finished(attempt: _Averaged, network: Child, whole: bool) -> Finished:
    model, data, epochs = attempt.average.module, attempt.data, int(attempt.average.n_averaged) / attempt.steps
    if not all(bool(value.isfinite().all()) for value in model.state_dict().values()):
        return Finished(error=f"diverged: a weight is no finite number after epoch {math.ceil(epochs)}")
    finished = Finished(weights=weights_of(model)) if whole else _judged(model, network.input_size, data)
    params, madds = costs(network, model, data)
    return replace(finished, params=params, madds=madds, precision=attempt.precision, epochs=epochs, rate=attempt.rate)


def _judged(model: nn.Module, size: int, data: Resident) -> Finished:
    counts, nats = evaluate(model, size, data)
    confusion = tuple(map(tuple, counts.tolist()))
    return Finished((round(float(counts.trace() / counts.sum()), 6),), (round(nats, 6),), confusion=confusion)


class _Averaged(Attempt):
    """A model on its way, and an exponential moving average of its weights (Polyak & Juditsky 1992, Tan & Le 2019).

    Running statistics of batch norms are averaged with them.
    """

    def __init__(self, network: Child, data: Resident, recipe: Recipe, rate: float, seed: int) -> None:
        super().__init__(network, data, recipe, rate, seed)
        if recipe.optimizer == "sgd" and not any(isinstance(part, NORMS) for part in self.model.modules()):
            self.rate *= UNNORMALISED
        self.steps = len(data.train) // self.batch  # in one epoch
        self.loss = torch.zeros((), device=data.device)  # sum over the steps of an epoch
        self.average = AveragedModel(self.model, use_buffers=True)
        self.remember(1 / max(1.0, AVERAGED * recipe.epochs * self.steps))

    def remember(self, passed: float) -> None:
        """Let the average keep exp(-passed) of itself at each step from now on."""
        self.average.multi_avg_fn = get_ema_multi_avg_fn(math.exp(-passed))  # type: ignore[no-untyped-call]

    def train(self, deadline: float, last: bool = True) -> bool:
        """All epochs of the recipe, and whether it learns; unless it is the last attempt, it ends where it does not.

        What a network learnt is looked at once, after the first epoch at the full rate, and each epoch whether its loss
        is a finite number. Raises TooLongError if the deadline passes.
        """
        full = max(SETTLES, math.ceil(self.recipe.warmup * self.recipe.epochs))
        for epoch in range(self.recipe.epochs):
            self.loss.zero_()
            self.epoch(epoch, deadline)
            if not last and (not self.is_finite() or (epoch == full and not self._learns())):
                return False
        return True

    def is_finite(self) -> bool:
        """Whether the losses of the last epoch are finite numbers."""
        return bool(self.loss.isfinite())

    def _learns(self) -> bool:
        """Whether the loss of the last epoch is below that of whoever only knows how frequent each class is."""
        smoothing, classes = self.recipe.smoothing, self.data.images.classes
        counts = torch.bincount(self.data.labels[self.data.train.to(self.data.device)], minlength=classes)
        shares = (1 - smoothing) * counts / counts.sum() + smoothing / classes
        blind = -float(torch.xlogy(shares, shares).sum())
        return float(self.loss) / self.steps < BLIND * blind

    def step(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """One step, and the average after it."""
        loss = super().step(pixels, labels)
        self.loss += loss
        self.average.update_parameters(self.model)
        return loss


class _Budgeted(_Averaged):
    """The same for some seconds instead of some epochs, on whatever machine: both rate and average go by the clock."""

    def train(self, deadline: float, last: bool = True) -> bool:
        """Until the deadline, so that no time is left to begin again; raises TooLongError if it leaves no step."""
        self.begun = self.before = time.perf_counter()
        self.seconds = deadline - self.begun
        with suppress(TooLongError):
            for epoch in itertools.count():
                self.epoch(epoch, deadline)
        if not self.average.n_averaged:
            raise TooLongError("not a step was done")
        return True

    def step(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """One step at the rate of this moment."""
        now = time.perf_counter()
        moment = round(MOMENTS * min(1.0, (now - self.begun) / self.seconds))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * schedule(replace(self.recipe, epochs=1), moment, MOMENTS)
        self.remember((now - self.before) / (AVERAGED * self.seconds))
        self.before = now
        return super().step(pixels, labels)


def _with_validation(data: Resident) -> Resident:
    """The same images, to train on all of them."""
    same = copy.copy(data)
    same.train = torch.cat([data.train, data.valid])
    return same


def loaded(network: Child, images: Images, weights: bytes) -> nn.Module:
    """The network's module with these weights, ready to be used."""
    from safetensors.torch import load

    module: nn.Module = network.module(images)
    module.load_state_dict(load(weights))
    return module.eval()
