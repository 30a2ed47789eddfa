"""A search as a scikit-learn classifier: NetworkSearch().fit(X, y).predict(X).

X are images: (N, H, W), (N, H, W, C), (N, C, H, W) with layout="NCHW", or (N, features) with image_shape. Children
train on uint8 images: where `fit` saw uint8, values are taken as they are, and `predict` takes nothing else; all other
numbers are scaled to 0..255 by the least and the greatest that `fit` saw, and then `predict` takes no uint8. y are
labels of any kind. `fit` searches on a stratified four fifths of the images and the rest for validation, as `nas
search` does, then trains the best network anew on all of them, with its weights averaged.

With a folder the images lie beside the ledger as arrays.npz, with places in classes_ for labels, and a sixth of them is
kept apart from all of `fit`, so that `nas finish`, `nas report` and `nas export` have what they need. Images of other
than one or three channels cannot lie there: of such a search these commands have no images.

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
from nas.data import TEST, Data, check_classes, split, stratified
from nas.errors import UserError
from nas.ledger import FILE
from nas.network import LARGEST_SIDE
from nas.space import Space
from nas.whole import whole_file

if TYPE_CHECKING:
    from nas.model.saved import Model
    from nas.recipe import Recipe

LAYOUTS = ("NHWC", "NCHW")
ARRAYS = "arrays"  # what the ledger says of data that are nowhere
BESIDE = "arrays.npz"  # in the search's folder
BATCH = 500


class NetworkSearch(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # mypy does not follow into scikit-learn
    """Searches for a network that tells images apart, and is it.

    space: one of ours, or its name as on the command line.  controller: its name.  parameters: of the controller.
    trials: of the search.  recipe, reward: by name.  epochs: of each child, the recipe's unless given.
    final_epochs: of the best network's last training.  workers: Ray workers; 0 trains in this process.
    folder: where the search and its images are kept, so that `fit` with the same images goes on there, and commands
    can be used on it; None for nowhere.
    layout: of X with four dimensions.  image_shape: (H, W) or (H, W, C) of X with two.

    After `fit`: classes_, best_network_, model_ (nas.model.saved.Model), trials_ (a frame of the ledger),
    n_features_in_ where X is (N, features). Raises UserError for whatever a user can mend, at `fit` and `predict`.
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
        self.__dict__.pop("model_", None)  # where this `fit` fails, nothing is fitted
        x, labels = self._images(X), np.asarray(y)
        if labels.shape != x.shape[:1]:
            raise UserError(
                f"y: found the shape {labels.shape}, expected ({len(x)},), one label for each image of X; give both"
            )
        check_classification_targets(labels)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        self.uint8_, self.low_, self.high_ = x.dtype == np.uint8, float(x.min()), float(x.max())
        arrays = self._scaled(x), numbers.astype(np.int64)
        data, recipe = self._data(*arrays), names.recipe(self.recipe, self.epochs)
        with ExitStack() as stack:
            folder = self.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="nas-"))
            try:
                self._search(data, recipe, Path(folder))
            except UserError as error:
                raise _in_python(error) from None
        self.data_, self.images_ = data.name, len(data.labels)
        self.model_ = self._trained(data, replace(recipe, epochs=self.final_epochs))
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:  # noqa: N803
        """The likeliest label of each image, (N,)."""
        shares = self.predict_proba(X)
        found: npt.NDArray[Any] = self.classes_[shares.argmax(1)]
        return found

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:  # noqa: N803
        """The probability of each label, (N, classes), in the order of classes_."""
        import torch

        check_is_fitted(self, "model_")
        x = self._images(X)
        channels = self.model_.images.channels
        if x.shape[1] != channels:
            raise UserError(f"X: found {x.shape[1]} channels, expected {channels} as `fit` had")
        parts = torch.split(torch.from_numpy(self._scaled(x)), BATCH)
        logits = torch.cat([self.model_.logits(part) for part in parts])
        return logits.double().softmax(1).cpu().numpy()

    def save(self, folder: Path | str) -> None:
        """Write the network as a folder that `nas predict`, `nas export` and `nas explain` take.

        These take uint8 images; where X had other numbers, the least that `fit` saw is their 0, the greatest their 255.
        Raises UserError as `nas.model.saved.save` does.
        """
        from nas.model.saved import save

        check_is_fitted(self, "model_")
        named = {} if self.data_ == ARRAYS else {"data": self.data_, "trained_on": ["train", "valid"]}
        save(self.model_, Path(folder), named, _card(self.model_, self.images_))

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
        """As uint8; beyond what `fit` saw, at its ends. Raises UserError for uint8 where `fit` saw none, and others."""
        if (x.dtype == np.uint8) != self.uint8_:
            expected = "uint8" if self.uint8_ else f"numbers from {self.low_:g} to {self.high_:g}, and not uint8,"
            raise UserError(
                f"X: found {x.dtype}, expected {expected} as `fit` had, for the scale of others is not known; convert "
                "X, or fit on images like these"
            )
        if self.uint8_:
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

    def _data(self, pixels: Pixels, labels: Ints) -> Data:
        """What `fit` trains on; with a folder, the images lie there too, and a sixth of them is kept apart."""
        classes, name, rest = tuple(map(str, self.classes_)), ARRAYS, np.arange(len(labels))
        if self.folder is not None and pixels.shape[1] in (1, 3) and pixels.shape[3] > 3:
            check_classes("y", classes, labels, least=3)
            test = stratified(labels, max(len(classes), len(labels) // 6), TEST)
            rest = np.setdiff1d(rest, test)
            name = _laid(Path(self.folder), (pixels[rest], labels[rest]), (pixels[test], labels[test]))
        return _data(name, pixels[rest], labels[rest], classes)

    def _trained(self, data: Data, recipe: Recipe) -> Model:
        """The best network trained on all images of `data`, training and validation ones."""
        from nas.model.saved import Model
        from nas.model.training import loaded, trained
        from nas.search import THREADS, child_seed
        from nas.train import Resident

        # one thread as in the search: with two, networks as small took as long, and many times that on busy cores
        network, resident = self.best_network_, Resident(data, names.device(self.device))
        done = trained(network, resident, recipe, child_seed(self.seed, network.key), THREADS, whole=True)
        if done.error is not None:
            raise UserError(
                f"fit: found that the best network failed when it was trained on all images ({done.error}), expected "
                "its weights; change final_epochs or the recipe"
            )
        module = loaded(network, data.images, done.weights).to(resident.device)
        return Model(network, module, data.images, data.classes, data.mean, data.std)


def _in_python(error: UserError) -> UserError:
    """The same said with what `fit` has in place of options of the command line."""
    found, other, _ = str(error).rpartition(" as in this command; ")
    if other:
        return UserError(
            f"{found} as in this `fit`; a folder keeps one search: go on with it by the same images and parameters, or "
            "give another folder=, or folder=None for fits that differ, as those of a cross-validation"
        )
    return UserError(str(error).replace("--out", "folder="))


def _laid(folder: Path, rest: tuple[Pixels, Ints], test: tuple[Pixels, Ints]) -> str:
    """Write the images as BESIDE, once for a search, and give the data's name; raises UserError if it cannot be."""
    file = folder.absolute() / BESIDE
    if not (file.is_file() and (folder / FILE).is_file()):  # written anew, a file would be other data to the cache
        with whole_file(file, "a folder to write to; name another") as new:
            np.savez(new, x_train=rest[0], y_train=rest[1], x_test=test[0], y_test=test[1])
    return f"npz:{file}"


def _data(name: str, pixels: Pixels, labels: Ints, classes: tuple[str, ...]) -> Data:
    """pixels: uint8 (N, C, H, W), of which a stratified fifth is for validation; equal to what `load` makes of them."""
    check_classes("y", classes, labels, least=2)
    train, valid = split(labels, 0, None, name)
    counts = np.array([np.bincount(pixels[:, channel].ravel(), minlength=256) for channel in range(pixels.shape[1])])
    mean, std = mean_and_std(counts)
    digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes() + repr(pixels.shape).encode()).hexdigest()
    return Data(
        name, pixels, labels, train, valid, classes, min(pixels.shape[2:]), tuple(mean), tuple(std), digest, skipped=0
    )


def _card(model: Model, images: int) -> str:
    """The text of README.md."""
    from nas.summary import described

    network = getattr(model.network, "written", model.network.key)
    return "\n".join([
        "# A network for images", "",
        f"It tells {len(model.classes)} classes apart: {', '.join(model.classes)}. It was found by a search and then "
        f"trained on {images:,} images; how good it is on others was not measured here.", "",
        "## Network", "", "```", *described(network), "```", "",
        "## Limits", "",
        "It knows its own classes only: whatever an image shows, one of them is given. Its probabilities were not "
        "calibrated.",
    ]) + "\n"  # fmt: skip
