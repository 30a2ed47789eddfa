"""NetworkSearch on the digits, and what of scikit-learn's own checks applies to images."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.utils import estimator_checks

from nas.beside.estimator import NetworkSearch
from nas.beside.frame import frame
from nas.blocks import Block
from nas.data import load
from nas.data import test_images as images_of
from nas.errors import UserError
from nas.ledger import Ledger, read
from nas.model import saved
from nas.model.images import part
from nas.model.searched import searched
from nas.network import Images, Network
from nas.recipe import Recipe
from tests.nas.beside.conftest import Narrow, snippet

DIGITS = load_digits()
WORDS = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
X, Y = DIGITS.images[:600], WORDS[DIGITS.target[:600]]
CALL = 'NetworkSearch("chain", "reinforce", '  # of README
SMALL: dict[str, Any] = {
    "space": Narrow(),
    "controller": "random",
    "trials": 2,
    "workers": 0,
    "device": "cpu",
    "recipe": "quick:batch=32",
}


@pytest.fixture(scope="module")
def fitted() -> NetworkSearch:
    return NetworkSearch(**SMALL).fit(X, Y)


def test_it_tells_digits_apart_by_their_labels(fitted: NetworkSearch) -> None:
    assert fitted.score(DIGITS.images[600:], WORDS[DIGITS.target[600:]]) > 0.5  # a guess has 0.1
    assert set(fitted.predict(X[:50])) <= set(WORDS)
    assert fitted.classes_.tolist() == sorted(WORDS)


def test_readme_s_classifier_tells_digits_apart() -> None:
    place: dict[str, Any] = {"SMALL": SMALL}
    exec(snippet("NetworkSearch").replace("trials=50", "**SMALL").replace(CALL, "NetworkSearch("), place)  # noqa: S102
    assert place["accuracy"] > 0.5


def test_probabilities_are_in_the_order_of_the_classes(fitted: NetworkSearch) -> None:
    shares = fitted.predict_proba(X[:7])
    assert shares.shape == (7, 10)
    assert np.allclose(shares.sum(1), 1)
    assert (fitted.classes_[shares.argmax(1)] == fitted.predict(X[:7])).all()


def test_images_of_another_kind_than_fit_saw_are_refused_for_their_scale_is_not_known(fitted: NetworkSearch) -> None:
    levels = (X / 16 * 255).astype(np.uint8)
    with pytest.raises(UserError, match=r"X: found uint8, expected numbers from 0 to 16, and not uint8, as `fit` had"):
        fitted.predict(levels)
    found = NetworkSearch(**SMALL).fit(levels, Y)
    with pytest.raises(UserError, match=r"X: found float64, expected uint8 as `fit` had, .*; convert X, or fit on"):
        found.predict(X)
    first = torch.from_numpy(levels[:5, None])
    shares = found.model_.logits(first).double().softmax(1).numpy()
    assert np.array_equal(found.predict_proba(levels[:5]), shares)  # taken as they are


def test_it_has_the_search_and_its_best_network(fitted: NetworkSearch) -> None:
    best = fitted.trials_.sort_values("reward", ascending=False).iloc[0]
    assert len(fitted.trials_) == 2
    assert best["key"] == fitted.best_network_.key
    assert best["depth 1"] == len(vars(fitted.best_network_)["blocks"])


def test_it_can_be_pickled(fitted: NetworkSearch) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict_proba(X[:5]) == fitted.predict_proba(X[:5])).all()


def test_rows_of_features_and_channels_first_are_the_same_images(fitted: NetworkSearch) -> None:
    rows = NetworkSearch(**SMALL, image_shape=(8, 8)).fit(X.reshape(600, 64), Y)
    first = NetworkSearch(**SMALL, layout="NCHW").fit(X[:, None], Y)
    assert (rows.predict_proba(X[:5].reshape(5, 64)) == fitted.predict_proba(X[:5])).all()
    assert (first.predict_proba(X[:5, None]) == fitted.predict_proba(X[:5])).all()
    assert rows.n_features_in_ == 64


def test_torch_has_as_many_threads_after_fit_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    found = NetworkSearch(**SMALL).fit(X, Y)
    found.predict(X[:5])
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == 3


def test_fit_goes_on_in_its_folder(tmp_path: Any) -> None:
    first = NetworkSearch(**SMALL, folder=tmp_path).fit(X, Y)
    more = clone(first).set_params(trials=3).fit(X, Y)
    assert more.trials_["at"][:2].tolist() == first.trials_["at"].tolist()
    assert len(more.trials_) == 3


def test_a_cross_validation_in_one_folder_is_told_in_words_of_python(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"as in this `fit`; a folder keeps one search: .* give another folder="
    ) as told:
        cross_val_score(NetworkSearch(**SMALL, folder=tmp_path), X, Y, cv=2, error_score="raise")
    assert "--" not in str(told.value)
    with Ledger(tmp_path), pytest.raises(UserError, match=r"another search writing here.* choose another folder=$"):
        NetworkSearch(**SMALL, folder=tmp_path).fit(X, Y)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> NetworkSearch:
    """Fitted in a folder, with its model saved there."""
    folder = tmp_path_factory.mktemp("kept")
    found = NetworkSearch(**SMALL | {"space": "chain"}, folder=folder).fit(X, Y)
    found.save(folder / "model")
    return found


@pytest.fixture(scope="module")
def home(kept: NetworkSearch) -> Path:
    """Its folder."""
    return Path(str(kept.folder))


def test_its_folder_has_the_images_that_the_search_had_and_a_sixth_apart(kept: NetworkSearch, home: Path) -> None:
    header = read(home)[0]
    data = load(header["data"])
    assert (header["data"], data.fingerprint) == (f"npz:{home}/arrays.npz", header["fingerprint"])
    assert (len(data.labels), len(images_of(header["data"])[1])) == (500, 100)
    assert np.array_equal(data.mean, kept.model_.mean)


def test_commands_take_its_folder(home: Path) -> None:
    """The table has columns by question without --space, and a finish finds its search."""
    assert "width 1" in frame(home)
    assert len(frame(home)) == len(searched(home).trials) == 2


def test_its_saved_network_says_the_same_of_images_it_has_not_seen(kept: NetworkSearch, home: Path) -> None:
    again = saved.load(home)
    unseen = part(again, home)
    assert unseen.what.startswith("the 100 test images")
    assert again.classes == tuple(kept.classes_)
    assert np.allclose(
        again.logits(torch.from_numpy(np.array(unseen.pixels))).softmax(1),
        kept.predict_proba(unseen.pixels[:, 0] / 255 * 16),
        atol=1e-5,
    )


def test_a_network_without_a_folder_is_saved_without_data(fitted: NetworkSearch, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    assert "zero" in (tmp_path / "model" / "README.md").read_text()
    with pytest.raises(UserError, match="found no data named"):
        part(saved.load(tmp_path), tmp_path)


def test_images_of_two_channels_are_searched_in_a_folder_too(tmp_path: Path) -> None:
    found = NetworkSearch(**SMALL, folder=tmp_path).fit(np.stack([X, X], 3), Y)
    assert read(tmp_path)[0]["data"] == "arrays"
    with pytest.raises(UserError, match="give the space on these in Python"):
        frame(tmp_path, Narrow())
    assert len(frame(tmp_path, Narrow().on(Images(8, 2, 10)))) == len(found.trials_)


class Broken(Network):
    """A network whose module cannot be made."""

    def module(self, images: Images) -> Any:
        """Fail."""
        raise ValueError("no")


def test_a_last_training_that_fails_is_said(fitted: NetworkSearch) -> None:
    found = copy.copy(fitted)
    found.best_network_ = Broken(8, (Block("conv", 4),))
    with pytest.raises(UserError, match="found that the best network failed when it was trained on all images"):
        found._trained(load("digits", images=100), Recipe(epochs=1))


APPLY: list[Callable[..., None]] = [
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_mixin_order,
    estimator_checks.check_valid_tag_types,
    estimator_checks.check_estimator_tags_renamed,
]


@pytest.mark.parametrize("check", APPLY, ids=lambda check: check.__name__)
def test_it_passes_the_checks_of_scikit_learn_that_pass_no_rows_of_features(check: Callable[..., None]) -> None:
    check("NetworkSearch", NetworkSearch(**SMALL))


def test_before_fit_it_predicts_nothing() -> None:
    with pytest.raises(NotFittedError):
        NetworkSearch().predict(X)


def test_after_a_fit_that_failed_it_predicts_nothing(fitted: NetworkSearch) -> None:
    never, before = NetworkSearch(**SMALL | {"space": "chian"}), copy.copy(fitted).set_params(space="chian")
    for found in (never, before):
        with pytest.raises(UserError, match="did you mean chain"):
            found.fit(X, Y)
        with pytest.raises(NotFittedError):
            found.predict(X)


@pytest.mark.parametrize(
    ("parameters", "images", "labels", "message"),
    [
        ({}, X.reshape(600, 64), Y, "found 64 features with image_shape=None"),
        ({"image_shape": (8, 9)}, X.reshape(600, 64), Y, r"image_shape=\(8, 9\)"),
        ({}, X[0, 0], Y, r"found float64 of shape \(8,\)"),
        ({}, np.where(X == 3, np.nan, X), Y, "found NaN or infinite values"),
        ({}, X[:, None], Y, r"found 8 channels of 1 x 8 pixels with layout='NHWC'"),
        ({"layout": "HWCN"}, X[..., None], Y, "expected one of NHWC, NCHW"),
        ({}, X, Y[:5], r"found the shape \(5,\), expected \(600,\)"),
        ({}, X, np.zeros(600, int), "found one class"),
        ({}, X.astype(str), Y, "expected numbers"),
        ({"controller": "reinfroce"}, X, Y, "did you mean reinforce"),
        ({"space": "chian"}, X, Y, "did you mean chain"),
        ({"parameters": {"raet": 1}, "controller": "reinforce"}, X, Y, "did you mean rate"),
        ({"device": "gpu"}, X, Y, "expected auto, cpu or cuda"),
    ],
)
def test_what_cannot_be_fitted_is_said(parameters: dict[str, Any], images: Any, labels: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        NetworkSearch(**{**SMALL, **parameters}).fit(images, labels)


def test_other_channels_than_fit_had_are_said(fitted: NetworkSearch) -> None:
    with pytest.raises(UserError, match="found 3 channels, expected 1"):
        fitted.predict(np.zeros((2, 8, 8, 3)))
