"""NetworkSearch on the digits, and what of scikit-learn's own checks applies to images."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.utils import estimator_checks

from nas.beside.estimator import NetworkSearch
from nas.errors import UserError
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


def test_it_has_the_search_and_its_best_network(fitted: NetworkSearch) -> None:
    best = fitted.trials_.sort_values("reward", ascending=False).iloc[0]
    assert len(fitted.trials_) == 2
    assert best["key"] == fitted.best_network_.key
    assert best["depth 0"] == len(vars(fitted.best_network_)["blocks"])


def test_it_can_be_pickled(fitted: NetworkSearch) -> None:
    again = pickle.loads(pickle.dumps(fitted))
    assert (again.predict_proba(X[:5]) == fitted.predict_proba(X[:5])).all()


def test_rows_of_features_and_channels_first_are_the_same_images(fitted: NetworkSearch) -> None:
    rows = NetworkSearch(**SMALL, image_shape=(8, 8)).fit(X.reshape(600, 64), Y)
    first = NetworkSearch(**SMALL, layout="NCHW").fit(X[:, None], Y)
    assert (rows.predict_proba(X[:5].reshape(5, 64)) == fitted.predict_proba(X[:5])).all()
    assert (first.predict_proba(X[:5, None]) == fitted.predict_proba(X[:5])).all()
    assert rows.n_features_in_ == 64


def test_fit_goes_on_in_its_folder(tmp_path: Any) -> None:
    first = NetworkSearch(**SMALL, folder=tmp_path).fit(X, Y)
    more = clone(first).set_params(trials=3).fit(X, Y)
    assert more.trials_["at"][:2].tolist() == first.trials_["at"].tolist()
    assert len(more.trials_) == 3


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
