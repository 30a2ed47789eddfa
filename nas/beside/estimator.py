"""A search as a scikit-learn classifier: NetworkSearch().fit(X, y).predict(X).

X are images: (N, H, W), (N, H, W, C), (N, C, H, W) with layout="NCHW", or (N, features) with image_shape. Values of
uint8 are taken as they are, all others are scaled to 0..255 by the least and the greatest that `fit` saw, for children
train on uint8 images. y are labels of any kind. `fit` searches on a stratified four fifths of the images and the rest
for validation, as `nas search` does, then trains the best network anew on all of them.

It keeps scikit-learn's contract for parameters: `get_params`, `set_params`, `clone`. Those of its general checks that
fit rows of a few features do not apply to images; tests/nas/beside/test_estimator.py has the others.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from nas import names
from nas.cache import Ints, Pixels, mean_and_std
from nas.data import Data, check_classes, split
from nas.errors import UserError
from nas.network import LARGEST_SIDE
from nas.space import Space

if TYPE_CHECKING:
    import torch
    from torch import nn

    from nas.recipe import Recipe

LAYOUTS = ("NHWC", "NCHW")
ARRAYS = "arrays"  # what the ledger says of the data
BATCH = 500


class NetworkSearch(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # mypy does not follow into scikit-learn
    """Searches for a network that tells images apart, and is it.

    space: one of ours, or its name as on the command line.  controller: its name.  parameters: of the controller.
    trials: of the search.  recipe, reward: by name.  epochs: of each child, the recipe's unless given.
    final_epochs: of the best network's last training.  workers: Ray workers; 0 trains in this process.
    folder: where the search is kept, so that `fit` with the same images goes on there; None for nowhere.
    layout: of X with four dimensions.  image_shape: (H, W) or (H, W, C) of X with two.

    After `fit`: classes_, best_network_, module_ (torch), trials_ (a frame of the ledger), n_features_in_ where X is
    (N, features). Raises UserError for whatever a user can mend, at `fit` and `predict`.
    """

    def __init__(
        self,
        space: Space | str = "chain",
        controller: str = "reinforce",
        *,
        parameters: Mapping[str, Any] | None = None,
        trials: int = 50,
        recipe: str = "quick",
        reward: str = "accuracy",
        epochs: int | None = None,
        final_epochs: int = 10,
        workers: int | None = None,
        device: str = "auto",
        seed: int = 0,
        folder: Path | str | None = None,
        layout: str = "NHWC",
        image_shape: tuple[int, ...] | None = None,
    ) -> None:
        self.space, self.controller, self.parameters, self.trials = space, controller, parameters, trials
        self.recipe, self.reward, self.epochs, self.final_epochs = recipe, reward, epochs, final_epochs
        self.workers, self.device, self.seed, self.folder = workers, device, seed, folder
        self.layout, self.image_shape = layout, image_shape

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> Self:  # noqa: N803  scikit-learn's name
        """Search, then train the best network on all images. X: images, see the module; y: (N,) labels."""
        x, labels = self._images(X), np.asarray(y)
        if labels.shape != x.shape[:1]:
            raise UserError(
                f"y: found the shape {labels.shape}, expected ({len(x)},), one label for each image of X; give both"
            )
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        self.low_, self.high_ = (0.0, 255.0) if x.dtype == np.uint8 else (float(x.min()), float(x.max()))
        self.channels_ = x.shape[1]
        data = _data(self._scaled(x), numbers.astype(np.int64), tuple(map(str, self.classes_)))
        recipe = names.recipe(self.recipe, self.epochs)
        with ExitStack() as stack:
            folder = self.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="nas-"))
            self._search(data, recipe, Path(folder))
        self.mean_, self.std_ = data.mean, data.std
        self.module_ = _trained(self.best_network_, data, replace(recipe, epochs=self.final_epochs), self)
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:  # noqa: N803
        """The likeliest label of each image, (N,)."""
        shares = self.predict_proba(X)
        found: npt.NDArray[Any] = self.classes_[shares.argmax(1)]
        return found

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:  # noqa: N803
        """The probability of each label, (N, classes), in the order of classes_."""
        import torch

        check_is_fitted(self)
        x = self._images(X)
        if x.shape[1] != self.channels_:
            raise UserError(f"X: found {x.shape[1]} channels, expected {self.channels_} as `fit` had")
        pixels = torch.from_numpy(self._scaled(x))
        with torch.no_grad():
            logits = torch.cat([self._logits(part) for part in torch.split(pixels, BATCH)])
        return logits.double().softmax(1).cpu().numpy()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.two_d_array = self.image_shape is not None
        tags.non_deterministic = self.device != "cpu"
        return tags

    # --- X ---

    def _images(self, given: npt.ArrayLike) -> npt.NDArray[Any]:
        """X as (N, C, H, W), of its own type; raises UserError for what is no images."""
        x = np.asarray(given)
        if x.ndim == 2:
            x = self._unfolded(x)
        if x.ndim not in (3, 4) or not x.size or x.dtype.kind not in "uifb":
            raise UserError(
                f"X: found {x.dtype} of shape {x.shape}, expected numbers (N, H, W), (N, H, W, C), (N, C, H, W) with "
                'layout="NCHW", or (N, features) with image_shape=(H, W)'
            )
        if self.layout not in LAYOUTS:
            raise UserError(f"layout: found {self.layout!r}, expected one of {', '.join(LAYOUTS)}")
        x = x[:, None] if x.ndim == 3 else np.moveaxis(x, 3, 1) if self.layout == "NHWC" else x
        _, channels, height, width = x.shape
        if channels > min(height, width) or max(height, width) > LARGEST_SIDE:
            raise UserError(
                f"X: found {channels} channels of {height} x {width} pixels with layout={self.layout!r}, expected few "
                f"channels and at most {LARGEST_SIDE} pixels a side; give the other layout of {', '.join(LAYOUTS)}"
            )
        if x.dtype.kind == "f" and not np.isfinite(x).all():
            raise UserError("X: found NaN or infinite values, expected finite ones; replace them, or leave images out")
        return x

    def _unfolded(self, x: npt.NDArray[Any]) -> npt.NDArray[Any]:
        shape = self.image_shape
        if shape is None or len(shape) not in (2, 3) or math.prod(shape) != x.shape[1]:
            raise UserError(
                f"X: found {x.shape[1]} features with image_shape={shape}, expected images, or image_shape=(H, W) or "
                f"(H, W, C) with that product"
            )
        self.n_features_in_ = x.shape[1]
        layers = (*shape, 1)[:3]
        unfolded = x.reshape(len(x), *layers)
        return unfolded if self.layout == "NHWC" else np.moveaxis(unfolded, 3, 1)

    def _scaled(self, x: npt.NDArray[Any]) -> Pixels:
        """As uint8; beyond what `fit` saw, at its ends."""
        if x.dtype == np.uint8 and (self.low_, self.high_) == (0.0, 255.0):
            return np.ascontiguousarray(x)
        share = (x.astype(np.float64) - self.low_) / ((self.high_ - self.low_) or 1.0)
        scaled: Pixels = np.rint(255 * share.clip(0, 1)).astype(np.uint8)
        return scaled

    # --- the search, and what becomes of it ---

    def _search(self, data: Data, recipe: Recipe, folder: Path) -> None:
        from nas.beside.frame import framed, search
        from nas.pool import RayPool, Serial
        from nas.search import search as begin
        from nas.summary import best

        space = names.space(self.space) if isinstance(self.space, str) else self.space
        settings = [f"{name}={value}" for name, value in (self.parameters or {}).items()]
        kind, parameters = names.controller(self.controller, settings)
        for _ in begin(
            space, kind, data, folder, trials=self.trials, parameters=parameters, recipe=recipe,
            reward=names.reward(self.reward), seed=self.seed, device=names.device(self.device),
            pool=Serial if self.workers == 0 else partial(RayPool, workers=self.workers),
        ):  # fmt: skip
            pass
        found = search(folder, space.on(data.images))
        self.trials_ = framed(found)
        winners = best([trial for trial, _ in found.candidates], 1)
        if not winners:
            why = next((trial.error for trial, _ in found.candidates if trial.error), "no trial has ended")
            raise UserError(f"fit: found no child that trained ({why}), expected one at least; give more trials")
        self.best_network_ = next(c.network for trial, c in found.candidates if trial is winners[0])

    def _logits(self, pixels: torch.Tensor) -> torch.Tensor:
        from nas.train import resized

        device = next(self.module_.parameters()).device
        mean, std = (_by_channel(values, device) for values in (self.mean_, self.std_))
        x = resized(pixels.to(device), self.best_network_.input_size).float() / 255
        logits: torch.Tensor = self.module_((x - mean) / std).float()
        return logits


def _by_channel(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """A value a channel, (1, C, 1, 1)."""
    import torch

    return torch.tensor(values, device=device).view(1, -1, 1, 1)


def _data(pixels: Pixels, labels: Ints, classes: tuple[str, ...]) -> Data:
    """pixels: uint8 (N, C, H, W), of which a stratified fifth is for validation."""
    check_classes("y", classes, labels, least=2)
    train, valid = split(labels, 0, None, ARRAYS)
    counts = np.array([np.bincount(pixels[:, channel].ravel(), minlength=256) for channel in range(pixels.shape[1])])
    mean, std = mean_and_std(counts)
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()
    return Data(
        ARRAYS, pixels, labels, train, valid, classes, min(pixels.shape[2:]), tuple(mean), tuple(std), digest, skipped=0
    )


def _trained(network: Any, data: Data, recipe: Recipe, search: NetworkSearch) -> nn.Module:
    """The network trained on all images, training and validation ones."""
    import torch

    from nas.search import THREADS, child_seed
    from nas.train import Attempt, Resident

    whole = Resident(replace(data, train=np.arange(len(data.labels))), search.device)
    torch.set_num_threads(THREADS)  # as its children had, and so that beside others it does not wait for cores
    with torch.random.fork_rng([whole.device] if whole.device.type == "cuda" else []):
        attempt = Attempt(network, whole, recipe, recipe.rate, child_seed(search.seed, network.key))
        for epoch in range(recipe.epochs):
            attempt.epoch(epoch, math.inf)
    model: nn.Module = attempt.model.eval()
    return model
