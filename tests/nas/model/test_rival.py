"""The random search beside a search: its terms, its budget, and which ones are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controllers.evolution import Evolution
from controllers.random_search import RandomSearch
from nas.data import load
from nas.errors import UserError
from nas.ledger import Trial, read
from nas.model import rival
from nas.model.searched import Search, searched
from nas.pool import Job, Pool, Serial, Training
from nas.recipe import RECIPES
from nas.reward import Result, cubed
from nas.search import Controller, search
from nas.space import Limit
from nas.stop import Halving
from search_spaces.chain import Chain


def looked_up(training: Training) -> Pool:
    """A pool in which a network's seed decides its accuracies, one an epoch."""

    def train(job: Job) -> Result:
        accuracy = job.seed % 1000 / 1000
        return Result((accuracy,) * training.recipe.epochs, (1 - accuracy,) * training.recipe.epochs)

    return Serial(train)


def left(folder: Path, kind: type[Controller] = Evolution, unique: int = 6, **options: object) -> Search:
    data = load("digits", images=200)
    for _ in search(Chain(), kind, data, folder, unique=unique, window=2, pool=looked_up, **options):  # type: ignore[arg-type]
        pass
    return searched(folder)


def made(found: Search, place: Path, baseline: Path | None = None) -> tuple[list[Trial], list[Trial]]:
    """What was new, and all."""
    if baseline:
        return [], rival.found(found, baseline)
    coming, new = rival.made(found, place, device="cpu", pool=looked_up), []
    while True:
        try:
            new.append(next(coming))
        except StopIteration as end:
            return new, end.value


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Search:
    recipe = replace(RECIPES["quick"], epochs=3)
    return left(tmp_path_factory.mktemp("search") / "one", recipe=recipe, reward=cubed, stop=Halving(), seed=3)


def test_a_random_search_is_made_on_the_same_terms_with_as_many_networks(found: Search, tmp_path: Path) -> None:
    new, trials = made(found, tmp_path / "random")
    header, _ = read(tmp_path / "random")
    assert (len(new), len(trials)) == (6, 6)
    assert header["controller"] == "RandomSearch"
    for name in ("space", "fingerprint", "recipe", "reward", "stop", "seed", "window", "length", "child_timeout"):
        assert header[name] == found.header[name], name


def test_one_that_is_made_is_not_made_again_and_a_part_of_one_is_gone_on_with(found: Search, tmp_path: Path) -> None:
    coming = rival.made(found, tmp_path, device="cpu", pool=looked_up)
    next(coming)
    coming.close()
    new, trials = made(found, tmp_path)
    assert (len(new), len(trials)) == (5, 6)
    assert made(found, tmp_path) == ([], trials)


def test_a_longer_baseline_counts_as_far_as_the_budget(found: Search, tmp_path: Path) -> None:
    recipe = replace(RECIPES["quick"], epochs=3)
    longer = left(tmp_path / "long", RandomSearch, 9, recipe=recipe, reward=cubed, stop=Halving())
    new, trials = made(found, tmp_path / "unused", longer.folder)
    assert (new, [trial.trial for trial in trials]) == ([], [0, 1, 2, 3, 4, 5])
    assert not (tmp_path / "unused").exists()


@pytest.mark.parametrize(("kind", "unique"), [(RandomSearch, 5), (Evolution, 6)])
def test_a_baseline_that_is_shorter_or_not_random_is_refused(
    found: Search, tmp_path: Path, kind: type[Controller], unique: int
) -> None:
    recipe = replace(RECIPES["quick"], epochs=3)
    other = left(tmp_path, kind, unique, recipe=recipe, reward=cubed, stop=Halving())
    said = f"found {unique} networks trained by {kind.__name__}, expected 6 by RandomSearch; give a random search with"
    with pytest.raises(UserError, match=said):
        made(found, tmp_path / "unused", other.folder)


def test_a_baseline_on_other_terms_is_refused(found: Search, tmp_path: Path) -> None:
    other = left(tmp_path, RandomSearch, recipe=replace(RECIPES["quick"], epochs=3))
    with pytest.raises(UserError, match=r"found .*reward accuracy.*, expected .*reward cubed"):
        made(found, tmp_path / "unused", other.folder)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"limits": {"depth": Limit(2, 0, 1)}, "stop": Halving()},
            r"with limits .*depth.*, expected none as in",
        ),
        ({}, r"found a search with stop none, expected Halving"),
        ({"stop": Halving(), "latency": 8}, r"found a search with latency 8, expected none"),
    ],
)
def test_a_baseline_with_other_limits_another_rule_or_measurements_is_refused(
    found: Search, tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    recipe = replace(RECIPES["quick"], epochs=3)
    other = left(tmp_path / "other", RandomSearch, recipe=recipe, reward=cubed, **options)
    with pytest.raises(UserError, match=said):
        made(found, tmp_path / "unused", other.folder)


def by_loss(result: Result) -> float:
    return -result.loss[-1]


def test_a_reward_of_ones_own_asks_for_a_baseline(tmp_path: Path) -> None:
    own = left(tmp_path / "own", reward=by_loss)
    with pytest.raises(
        UserError, match=r"with the reward .*by_loss, .*, expected a built-in one.*--no-random.* --baseline"
    ):
        made(own, tmp_path / "random")
