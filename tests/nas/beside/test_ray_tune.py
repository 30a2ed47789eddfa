"""Real runs of Ray Tune: our controllers as its searcher, our child training as its trainable."""

from __future__ import annotations

import json
import math
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search import ConcurrencyLimiter

    from nas.beside.ray_tune import ControllerSearch, parameters_of, trainable

from nas.data import load
from nas.errors import UserError
from nas.network import Images
from nas.recipe import Recipe
from nas.search import child_seed
from nas.train import Resident, train
from search_spaces.chain import Chain

pytestmark = pytest.mark.filterwarnings("default")  # of Ray's own

PLAIN = {
    "optimizer": tune.choice(["sgd", "adam"]),
    "rate": tune.loguniform(1e-4, 1.0),
    "layers": {"depth": tune.randint(1, 4), "width": tune.qrandint(8, 512, 8)},
    "grid": tune.grid_search([1, 2]),
    "constant": 7,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """Ray, once for all runs."""
    ray.init(num_cpus=2, include_dashboard=False, logging_level="error", configure_logging=False)
    yield
    ray.shutdown()


def objective(config: dict[str, Any]) -> None:
    """Two reports; the better the nearer the rate is to 0.01 and the deeper."""
    value = -abs(math.log10(config["rate"]) + 2) + config["layers"]["depth"]
    if config.get("fails"):
        raise RuntimeError("as it was told to")
    for step in range(2):
        tune.report({"value": value - 1 + step})


def tuner(function: Any, search: Any, folder: Path, space: Any, samples: int, **options: Any) -> Any:
    return tune.Tuner(
        function,
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=samples, search_alg=search, reuse_actors=True, **options),
        run_config=tune.RunConfig(name="run", storage_path=str(folder), verbose=0),
    )


def test_a_plain_space_is_searched_with_a_limit_on_concurrency(cluster: None, tmp_path: Path) -> None:
    search = ControllerSearch("q-learning", trials=6)
    running = tuner(
        objective, ConcurrencyLimiter(search, 2), tmp_path, PLAIN, 6, metric="value", mode="max", max_concurrent_trials=None
    )
    results = running.fit()
    configs = [one.config for one in results]
    assert len(configs) == 6
    assert all(one["constant"] == 7 and one["layers"]["depth"] in (1, 2, 3) for one in configs)
    assert all(one["layers"]["width"] % 8 == 0 for one in configs)
    told = [reward for _, _, reward in search._told]
    assert sorted(told) == sorted(one.metrics["value"] for one in results)


def test_children_are_trained_as_in_a_search_and_asha_ends_some(cluster: None, tmp_path: Path) -> None:
    data, recipe = load("digits", images=200), Recipe(epochs=4, rate=0.1)
    space = Chain().on(data.images)
    search = ControllerSearch("random", space=space, trials=6)
    asha = ASHAScheduler(max_t=4, grace_period=1, reduction_factor=2)
    running = tuner(
        trainable(Chain(), data, recipe, device="cpu"), search, tmp_path, None, 6,
        metric="accuracy", mode="max", scheduler=asha,
    )  # fmt: skip
    results = list(running.fit())
    assert not [one.error for one in results if one.error]
    whole = next(one for one in results if one.metrics["training_iteration"] == 4)
    network = space.replay(whole.config["answers"]).network
    alone = train(network, Resident(data, "cpu"), recipe, child_seed(0, network.key), 1, None)
    assert [round(value, 6) for value in whole.metrics_dataframe["accuracy"]] == list(alone.accuracy)
    assert any(one.metrics["training_iteration"] < 4 for one in results)
    assert len({one.metrics["network"] for one in results}) == 6
