"""The ways to train one list of children that `benchmarks.throughput` measures: ours, Ray Tune's and Optuna's.

All train the same networks from weights drawn alike, by the same recipe, on the same images, one thread a child on a
CPU. Ray Tune and Optuna are used as their documentation has it: Tune with a function, resources a trial and actors that
are used again; Optuna with a process a core and a study in a journal file that they share. With each of them there are
two trainings, that of a tutorial and that of somebody who knows torch well:

- documented: float32, a Dataset of images with torchvision's transforms, a DataLoader, one child at a time on a GPU.
- tuned: all images resized and normalised once a child as one tensor on the device, channels_last, bfloat16 autocast
  (but float32 on a CPU for networks with depthwise convolutions, which are slower in bfloat16 there), several children
  at once on a GPU.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nas.blocks import Block
from nas.cluster import alone, ray
from nas.data import Data
from nas.errors import UserError
from nas.network import Images, Network
from nas.pool import Job, RayPool, Training
from nas.recipe import Recipe
from nas.search import THREADS
from nas.space import Choice, Pick, Space


def chain(size: int, *blocks: tuple[str, int, int, int]) -> Network:
    """Blocks as (kind, width, kernel, stride)."""
    return Network(size, tuple(Block(kind, width, kernel, stride) for kind, width, kernel, stride in blocks))


CHILDREN = (
    chain(24, ("conv", 16, 3, 1), ("conv", 32, 3, 2)),
    chain(32, ("conv", 16, 3, 1), ("conv", 24, 3, 2), ("conv", 32, 3, 2)),
    chain(16, ("conv", 32, 3, 1), ("conv", 32, 5, 1), ("conv", 64, 3, 2)),
    chain(24, ("conv", 24, 3, 1), ("conv", 32, 3, 2), ("conv", 32, 3, 1), ("conv", 48, 3, 2)),
    chain(24, ("separable", 24, 3, 1), ("separable", 48, 3, 2)),
    chain(32, ("separable", 16, 3, 1), ("separable", 32, 5, 2), ("separable", 48, 3, 2)),
    chain(16, ("separable", 48, 3, 1), ("separable", 64, 5, 1), ("separable", 64, 3, 2)),
    chain(48, ("separable", 16, 3, 2), ("separable", 24, 3, 1), ("separable", 32, 3, 2), ("separable", 64, 3, 1)),
    chain(24, ("residual", 16, 3, 1), ("residual", 24, 3, 2)),
    chain(32, ("residual", 16, 3, 2), ("residual", 32, 3, 2)),
    chain(16, ("residual", 24, 3, 1), ("residual", 32, 3, 2), ("residual", 48, 3, 2)),
    chain(32, ("conv", 24, 3, 2), ("separable", 32, 3, 1), ("residual", 32, 3, 2)),
)


@dataclass(frozen=True)
class Terms:
    """What all ways share."""

    data: Data
    recipe: Recipe
    children: int  # the first so many
    seeds: int  # of each child
    device: str
    workers: int  # children at once, but for the documented ones on a GPU
    loaders: int  # worker processes of a DataLoader

    def jobs(self) -> list[tuple[int, int]]:
        """Child and seed of each training, in the order in which all ways begin them."""
        return [(child, seed) for seed in range(self.seeds) for child in range(self.children)]


class Trained(NamedTuple):
    """One child of one way; times are seconds since 1970."""

    child: int
    seed: int
    accuracy: float
    begun: float
    ended: float
    precision: str


# --- ours ---


class Listed(Space):
    """The list as a space: one question, which child."""

    child = Choice(*range(len(CHILDREN)))

    def build(self, pick: Pick) -> Network:
        """The child itself."""
        return CHILDREN[pick(self.child)]


def ours(terms: Terms) -> list[Trained]:
    """As a search has its children trained: jobs to a RayPool, results back."""
    space = Listed().on(terms.data.images)
    training = Training(space, terms.data, terms.recipe, terms.device, THREADS, None)
    jobs, found = terms.jobs(), []
    with closing(RayPool(training, terms.workers, terms.workers if terms.device == "cuda" else None)) as pool:
        for number, (child, seed) in enumerate(jobs):
            pool.submit(Job(number, (child,), seed))
        for _ in jobs:
            number, result = pool.wait()
            ended = time.time()
            if result.error:
                raise UserError(f"child {jobs[number][0]}: found {result.error}, expected it to train; see --images")
            child, seed = jobs[number]
            begun, kind = ended - result.seconds, result.precision or "float32"
            found.append(Trained(child, seed, result.accuracy[-1], begun, ended, kind))
    return found


# --- the peers' trainings ---


class Arrays(NamedTuple):
    """The images of a search, in memory. pixels: uint8 (N, H, W, C), as PIL has them; labels: int64 (N,)."""

    pixels: Any
    labels: Any
    valid_pixels: Any
    valid_labels: Any
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: Images


def arrays(data: Data) -> Arrays:
    """The images that are trained on, and those for validation."""
    train, valid = (np.ascontiguousarray(data.pixels[part].transpose(0, 2, 3, 1)) for part in (data.train, data.valid))
    return Arrays(train, data.labels[data.train], valid, data.labels[data.valid], data.mean, data.std, data.images)


Batches = Callable[[], Iterator[tuple[Any, Any]]]
Peer = Callable[[Arrays, Terms, int, int], Iterator[tuple[float, str]]]


def documented(given: Arrays, terms: Terms, child: int, seed: int) -> Iterator[tuple[float, str]]:
    """After each epoch, accuracy on the validation images, and "float32"."""
    from torch.utils.data import DataLoader
    from torchvision import transforms

    network, recipe, cuda = CHILDREN[child], terms.recipe, terms.device == "cuda"
    model = _model(network, given, seed, terms.device)
    resize = [transforms.Resize(network.input_size)] if network.input_size != given.images.size else []
    transform = transforms.Compose([*resize, transforms.ToTensor(), transforms.Normalize(given.mean, given.std)])
    loader: Any = partial(DataLoader, num_workers=terms.loaders, persistent_workers=terms.loaders > 0, pin_memory=cuda)
    train = loader(_Pictures(given.pixels, given.labels, transform), recipe.batch, shuffle=True, drop_last=True)
    valid = loader(_Pictures(given.valid_pixels, given.valid_labels, transform), 500)
    for accuracy in _epochs(model, recipe, lambda: iter(train), lambda: iter(valid), len(train), terms.device, False):
        yield accuracy, "float32"


class _Pictures:
    """Images one at a time, as torchvision's CIFAR10 gives them."""

    def __init__(self, pixels: Any, labels: Any, transform: Callable[[Any], Any]) -> None:
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.pixels[index].squeeze())), int(self.labels[index])


def tuned(given: Arrays, terms: Terms, child: int, seed: int) -> Iterator[tuple[float, str]]:
    """After each epoch, accuracy on the validation images, and what was computed in."""
    import torch

    from nas.train import precision

    network, recipe, device = CHILDREN[child], terms.recipe, torch.device(terms.device)
    model = _model(network, given, seed, terms.device).to(memory_format=torch.channels_last)
    pixels, valid_pixels = (
        _floats(part, network.input_size, given, device) for part in (given.pixels, given.valid_pixels)
    )
    labels, valid_labels = (torch.tensor(part, device=device) for part in (given.labels, given.valid_labels))
    steps = len(labels) // recipe.batch

    def train() -> Iterator[tuple[Any, Any]]:
        order = torch.randperm(len(labels), device=device)[: steps * recipe.batch]
        return ((pixels[some], labels[some]) for some in torch.split(order, recipe.batch))

    def valid() -> Iterator[tuple[Any, Any]]:
        return zip(torch.split(valid_pixels, 500), torch.split(valid_labels, 500), strict=True)

    low = precision(model, device)
    for accuracy in _epochs(model, recipe, train, valid, steps, terms.device, low == "bfloat16"):
        yield accuracy, low


def _floats(pixels: Any, size: int, given: Arrays, device: Any) -> Any:
    """(N, H, W, C) to float (N, C, size, size), channels_last on the device."""
    import torch
    from torch.nn import functional as F

    mean, std = (torch.tensor(part, device=device).view(1, -1, 1, 1) for part in (given.mean, given.std))
    x = torch.tensor(pixels, device=device).permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)
    if size != x.shape[-1]:
        x = F.interpolate(x, (size, size), mode="bilinear", antialias=True)
    return x.contiguous(memory_format=torch.channels_last)


def _model(network: Network, given: Arrays, seed: int, device: str) -> Any:
    """The child in torch's own layers, its weights drawn as ours are."""
    import torch

    from nas.depthwise import Depthwise
    from nas.modules import initialise

    if device == "cpu":
        torch.set_num_threads(THREADS)
    torch.manual_seed(seed)
    model = network.module(given.images)
    initialise(model, "he")
    for part in model.modules():
        if isinstance(part, Depthwise):
            part.__class__ = torch.nn.Conv2d  # type: ignore[assignment]
    return model.to(device)


def _epochs(
    model: Any, recipe: Recipe, train: Batches, valid: Batches, steps: int, device: str, low: bool
) -> Iterator[float]:
    """Accuracy on the validation images after each epoch; low: with bfloat16 autocast."""
    import torch
    from torch.nn import functional as F

    from nas.train import schedule

    optimizer = torch.optim.SGD(
        model.parameters(), recipe.rate, recipe.momentum, weight_decay=recipe.decay, nesterov=True
    )
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: schedule(recipe, step, steps))
    for _ in range(recipe.epochs):
        model.train()
        for x, y in train():
            with torch.autocast(device, torch.bfloat16, enabled=low):
                loss = F.cross_entropy(model(x.to(device, non_blocking=True)), y.to(device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        model.eval()
        hits = total = 0
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=low):
            for x, y in valid():
                hits = hits + (model(x.to(device)).argmax(1) == y.to(device)).sum()
                total += len(y)
        yield float(hits) / total


# --- Ray Tune ---


def ray_tune(peer: Peer, workers: int, terms: Terms) -> list[Trained]:
    """A trial a child, a function as trainable, actors used again; `workers` trials at once."""
    share = {"cpu": 1.0} if terms.device == "cpu" else {"cpu": 1.0, "gpu": 1 / workers}
    with alone(workers) as options, tempfile.TemporaryDirectory() as folder:
        ray().init("local", log_to_driver=False, logging_level="ERROR", **options)
        from ray import tune

        trainable = tune.with_parameters(partial(_trial, peer=peer), given=arrays(terms.data), terms=_light(terms))
        tuner = tune.Tuner(
            tune.with_resources(trainable, share),
            param_space={"job": tune.grid_search(terms.jobs())},
            tune_config=tune.TuneConfig(reuse_actors=True),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        )
        with contextlib.redirect_stdout(io.StringIO()):  # what verbose=0 leaves
            results = list(tuner.fit())
        ray().shutdown()
    lost = [result.error for result in results if result.error]
    if lost:
        raise UserError(f"Ray Tune: found {lost[0]}, expected all trials to train")
    return [Trained(*(result.metrics[name] for name in Trained._fields)) for result in results]


def _trial(config: dict[str, Any], *, given: Arrays, terms: Terms, peer: Peer) -> None:
    from ray import tune

    _imported()
    (child, seed), begun = config["job"], time.time()
    for accuracy, kind in peer(given, terms, child, seed):
        tune.report(Trained(child, seed, accuracy, begun, time.time(), kind)._asdict())


# --- Optuna ---


def optuna(peer: Peer, workers: int, terms: Terms) -> list[Trained]:
    """A trial a child, put into the study beforehand; `workers` processes take them from it."""
    import optuna as module

    with tempfile.TemporaryDirectory() as folder:
        study = _study(Path(folder))
        for child, seed in terms.jobs():
            study.enqueue_trial({"child": child, "seed": seed})
        spawning = multiprocessing.get_context("spawn")
        work = (Path(folder), peer, arrays(terms.data), _light(terms))
        processes = [spawning.Process(target=_optimize, args=work) for _ in range(workers)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        trials = study.get_trials(states=(module.trial.TrialState.COMPLETE,))
    if len(trials) < len(terms.jobs()):
        raise UserError(f"Optuna: found {len(trials)} trials done, expected {len(terms.jobs())}")
    return [Trained(*(trial.user_attrs[name] for name in Trained._fields)) for trial in trials]


def _study(folder: Path) -> Any:
    import optuna as module
    from optuna.storages.journal import JournalFileBackend

    module.logging.set_verbosity(module.logging.WARNING)
    storage = module.storages.JournalStorage(JournalFileBackend(str(folder / "journal.log")))
    return module.create_study(study_name="children", storage=storage, direction="maximize", load_if_exists=True)


def _optimize(folder: Path, peer: Peer, given: Arrays, terms: Terms) -> None:
    """One process: trials that wait, until none does."""
    import optuna as module

    _imported()
    study = _study(folder)

    def objective(trial: Any) -> float:
        if trial.number >= len(terms.jobs()):
            raise module.TrialPruned  # another process took the last one that waited
        child = trial.suggest_int("child", 0, terms.children - 1)
        seed, begun = trial.suggest_int("seed", 0, terms.seeds - 1), time.time()
        for epoch, (accuracy, kind) in enumerate(peer(given, terms, child, seed)):
            trial.report(accuracy, epoch)
            done = Trained(child, seed, accuracy, begun, time.time(), kind)
        for name, value in done._asdict().items():
            trial.set_user_attr(name, value)
        return done.accuracy

    while study.get_trials(deepcopy=False, states=(module.trial.TrialState.WAITING,)):
        study.optimize(objective, n_trials=1)


# --- all of them ---


def _light(terms: Terms) -> Terms:
    """Without the data, which travel as arrays."""
    return replace(terms, data=None)  # type: ignore[arg-type]


def _imported() -> None:
    """What a first child would import in its time."""
    for name in ("torch._dynamo", "torchvision.transforms", "torch.utils.data", "nas.train"):
        importlib.import_module(name)


def ways(terms: Terms) -> dict[str, Callable[[Terms], list[Trained]]]:
    """By name, in the order of the table."""
    alone = 1 if terms.device == "cuda" else terms.workers  # the documentation has a whole GPU a trial
    return {
        "ours": ours,
        "Ray Tune, documented": partial(ray_tune, documented, alone),
        "Optuna, documented": partial(optuna, documented, alone),
        "Ray Tune, tuned": partial(ray_tune, tuned, terms.workers),
        "Optuna, tuned": partial(optuna, tuned, terms.workers),
    }


def loaders(device: str, cores: int, workers: int) -> int:
    """Worker processes of a DataLoader: what cores there are beyond one a child, at most eight."""
    return min(8, max(0, cores - 1 if device == "cuda" else cores // workers - 1))
