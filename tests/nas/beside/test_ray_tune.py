"""Real runs of Ray Tune: our controllers as its searcher, our child training as its trainable."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ray import tune
    from ray.tune.experiment import Trial
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
    from ray.tune.search import ConcurrencyLimiter

    from nas.beside.ray_tune import ControllerSearch, parameters_of, trainable

from nas.blocks import Block
from nas.cluster import connect
from nas.data import load
from nas.errors import UserError
from nas.network import Images, Network
from nas.recipe import Recipe
from nas.reward import Bounds
from nas.search import child_seed
from nas.space import Choice, Limit, Pick, Space
from nas.train import Resident, train
from search_spaces.chain import Chain
from tests.nas.beside.conftest import snippet

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
    with ExitStack() as stack:
        connect(None, 2, stack)
        yield


class Few(Space):
    """Three networks."""

    width = Choice(4, 8, 16)

    def build(self, pick: Pick) -> Network:
        """Ask for the width."""
        return Network(8, (Block("conv", pick(self.width)),))


def objective_of() -> Callable[[dict[str, Any]], None]:
    """A report a layer; the better the nearer the rate is to 0.01 and the deeper. It travels without this module."""

    def objective(config: dict[str, Any]) -> None:
        for step in range(config["layers"]["depth"]):
            tune.report({"value": -abs(math.log10(config["rate"]) + 2) + step})

    return objective


def twice() -> Callable[[dict[str, Any]], float]:
    """What depends on another parameter."""
    return lambda config: 2 * config["rate"]


def falling() -> Callable[[dict[str, Any]], None]:
    """Four reports, the first of them far above all others."""

    def objective(config: dict[str, Any]) -> None:
        for step in range(4):
            tune.report({"value": config["x"] + (step == 0)})

    return objective


def ended(scheduler: Any, folder: Path) -> tuple[list[float | None], list[dict[str, Any]]]:
    """What is told of eight such trials, one after the other, and their last results."""
    search, space = ControllerSearch("random", trials=8), {"x": tune.uniform(0, 1)}
    limited = ConcurrencyLimiter(search, 1)
    running = tuner(falling(), limited, folder, space, 8, metric="value", mode="max", scheduler=scheduler)
    results = running.fit()
    return [reward for *_, reward in search._told], [one.metrics for one in results]


class Pauses(FIFOScheduler):  # type: ignore[misc]
    """Pauses a trial after its second result where x is below a half, and then ends it."""

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        """PAUSE or CONTINUE."""
        return str(self.PAUSE if result["training_iteration"] == 2 and trial.config["x"] < 0.5 else self.CONTINUE)

    def choose_trial_to_run(self, controller: Any) -> Any:
        """None of those that were paused."""
        for trial in controller.get_trials():
            if trial.status == Trial.PAUSED:
                controller.stop_trial(trial)
        return super().choose_trial_to_run(controller)


def tuner(
    function: Any, search: Any, folder: Path, space: Any, samples: int, callbacks: Any = None, **options: Any
) -> Any:
    return tune.Tuner(
        function,
        param_space=space,
        tune_config=tune.TuneConfig(num_samples=samples, search_alg=search, reuse_actors=True, **options),
        run_config=tune.RunConfig(name="run", storage_path=str(folder), verbose=0, callbacks=callbacks),
    )


def test_a_plain_space_is_searched_with_a_limit_on_concurrency(cluster: None, tmp_path: Path) -> None:
    search, space = ControllerSearch("q-learning", trials=6), PLAIN | {"twice": tune.sample_from(twice())}
    running = tuner(objective_of(), ConcurrencyLimiter(search, 2), tmp_path, space, 6, metric="value", mode="max")
    results = running.fit()
    configs = [one.config for one in results]
    assert len(configs) == 6
    assert all(one["constant"] == 7 and one["layers"]["depth"] in (1, 2, 3) for one in configs)
    assert all(one["layers"]["width"] % 8 == 0 for one in configs)
    assert all(one["twice"] == 2 * one["rate"] for one in configs)  # which Tune computes
    told = [reward for _, _, reward in search._told]
    assert sorted(reward or 0.0 for reward in told) == sorted(one.metrics["value"] for one in results)


def test_children_are_trained_as_in_a_search_and_asha_ends_some(cluster: None, tmp_path: Path) -> None:
    data, recipe = load("digits", images=200), Recipe(epochs=4, rate=0.1)
    space = Chain().on(data.images)
    search = ControllerSearch("random", space=space, trials=6)
    asha = ASHAScheduler(max_t=4, grace_period=1, reduction_factor=2)
    running = tuner(
        trainable(Chain(), data, recipe, device="cpu"), ConcurrencyLimiter(search, 1), tmp_path, None, 6,
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


def test_a_trial_that_asha_ended_is_told_no_more_than_the_best_that_it_let_run(cluster: None, tmp_path: Path) -> None:
    told, last = ended(ASHAScheduler(max_t=4, grace_period=1, reduction_factor=2), tmp_path)
    expected, best = [], -math.inf
    for one in last:  # the first report is above one, all later ones are below
        if one["training_iteration"] == 4:
            best = max(best, one["value"])
        expected.append(min(one["value"], best))
    assert told == expected
    assert {one["training_iteration"] for one in last} == {1, 4}
    assert max(reward or 0.0 for reward in told) == best < 1


def test_a_trial_that_was_ended_while_it_was_paused_is_told_what_it_reported(cluster: None, tmp_path: Path) -> None:
    told, last = ended(Pauses(), tmp_path)
    assert [one["training_iteration"] for one in last] == [4 if one["config"]["x"] >= 0.5 else 2 for one in last]
    assert told == [one["config"]["x"] for one in last]  # each after its second report
    assert {one["training_iteration"] for one in last} == {2, 4}


class Interrupts(tune.Callback):  # type: ignore[misc]
    """Ctrl-C after the third trial, once."""

    def __init__(self, mark: Path) -> None:
        self.mark, self.done = mark, 0

    def on_trial_complete(self, *_: Any, **__: Any) -> None:
        self.done += 1
        if self.done == 3 and not self.mark.exists():
            self.mark.write_text("")
            os.kill(os.getpid(), signal.SIGINT)


def states(folder: Path) -> dict[str, Any]:
    """What the searcher saved last."""
    file = max((folder / "run").glob("searcher-state-*.pkl"))
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def test_a_run_that_was_interrupted_goes_on_with_what_was_told(cluster: None, tmp_path: Path) -> None:
    objective, space = objective_of(), {"rate": tune.uniform(0, 1), "layers": {"depth": tune.randint(1, 3)}}
    search = ConcurrencyLimiter(ControllerSearch("reinforce", trials=6), 1)
    running = tuner(
        objective, search, tmp_path, space, 6, metric="value", mode="max", callbacks=[Interrupts(tmp_path / "mark")]
    )
    first = [one.config for one in running.fit() if one.metrics]
    told = states(tmp_path)["told"]
    assert 3 <= len(told) < 6
    with pytest.raises(UserError, match=r"^Tuner\.restore: found no param_space"):
        tune.Tuner.restore(str(tmp_path / "run"), objective).fit()
    assert states(tmp_path)["told"] == told
    again = tune.Tuner.restore(str(tmp_path / "run"), objective, param_space=space).fit()
    configs = [one.config for one in again]
    assert len(configs) == 6
    assert all(config in configs for config in first)
    after = states(tmp_path)["told"]
    assert after[: len(told)] == told
    assert len(after) == 6


def test_readme_s_tuner_runs(cluster: None) -> None:
    place: dict[str, Any] = {}
    exec(snippet("ControllerSearch").replace("num_samples=50", "num_samples=1"), place)  # noqa: S102  our own
    assert place["results"].get_best_result().metrics["accuracy"] > 0


# --- without a run ---


def completed(search: ControllerSearch, name: str, value: float, length: int = 1, by_itself: bool = True) -> None:
    """As Tune says it: what ends a trial from outside is not a result before, and its last one is done all the same."""
    for iteration in range(1, length):
        search.on_trial_result(name, {"value": 2.0, "training_iteration": iteration, "done": False})
    if by_itself:
        search.on_trial_result(name, {"value": value, "training_iteration": length, "done": False})
    search.on_trial_complete(name, {"value": value, "training_iteration": length, "done": True})


def plain(controller: str = "reinforce", mode: str = "max", **parameters: Any) -> ControllerSearch:
    search = ControllerSearch(controller, trials=30, **parameters)
    assert search.set_search_properties("value", mode, PLAIN)
    return search


def limited(controller: str) -> ControllerSearch:
    """Over a space of ours whose depth grows with the trials."""
    space = Chain().on(Images(8, 1, 10), {"depth": Limit(2, 1, 5)})
    return ControllerSearch(controller, space=space, metric="value", mode="max", trials=30)


@pytest.mark.parametrize(("name", "made"), [("reinforce", plain), ("q-learning", plain), ("reinforce", limited)])
def test_a_saved_searcher_goes_on_as_if_it_had_not_been_left(
    name: str, made: Callable[[str], ControllerSearch], tmp_path: Path
) -> None:
    whole, left = made(name), made(name)
    for number in range(12):
        for search in (whole, left):
            assert search.suggest(str(number)) is not None
            if number:  # one is always under way
                completed(search, str(number - 1), number % 5, 2)
    for search in (whole, left):
        search.on_trial_result("11", {"value": 1.5, "training_iteration": 1})  # and paused
    left.save(str(tmp_path / "state"))
    again = made(name)
    again.restore(str(tmp_path / "state"))
    assert again.suggest("new") == whole.suggest("new")
    for search in (whole, again):
        search.on_trial_complete("11")
        completed(search, "new", 9.0, 1, by_itself=False)
    assert again._told == whole._told
    assert [reward for *_, reward in again._told][-2:] == [1.5, 4.0]
    for number in range(20, 26):
        assert again.suggest(str(number)) == whole.suggest(str(number))
        for search in (whole, again):
            completed(search, str(number), number % 4)


def test_a_searcher_restored_before_it_knows_the_param_space_saves_what_it_read_and_goes_on_when_it_does(
    tmp_path: Path,
) -> None:
    left, again = plain(), ControllerSearch("reinforce", trials=30)
    for number in range(5):
        left.suggest(str(number))
        completed(left, str(number), number)
    left.save(str(tmp_path / "state"))
    again.restore(str(tmp_path / "state"))
    with pytest.raises(UserError, match=r"^Tuner\.restore: found no param_space"):
        again.suggest("5")
    again.save(str(tmp_path / "saved"))
    assert (tmp_path / "saved").read_bytes() == (tmp_path / "state").read_bytes()
    again.set_search_properties("value", "max", PLAIN)
    assert again.suggest("5") == left.suggest("5")


def told(search: ControllerSearch, *trials: tuple[float, int, bool]) -> list[float | None]:
    """What the controller is told of trials of such values, lengths and ends."""
    for number, trial in enumerate(trials):
        search.suggest(str(number))
        completed(search, str(number), *trial)
    return [reward for *_, reward in search._told]


def test_a_trial_that_was_ended_early_is_told_no_more_than_the_best_of_the_longest() -> None:
    """The first was as long as any then; the second, ended as late as any, as by ASHA's max_t, is what counts."""
    trials = [(0.9, 1, False), (0.5, 3, False), (0.8, 2, False), (0.1, 2, False), (0.6, 3, False), (0.7, 1, False)]
    assert told(plain("random"), *trials) == [0.9, 0.5, 0.5, 0.1, 0.6, 0.6]


def test_a_short_trial_that_ended_by_itself_is_told_its_value_and_counts() -> None:
    trials = [(0.5, 3, True), (0.9, 1, True), (1.2, 1, False), (0.7, 2, False)]
    assert told(plain("random"), *trials) == [0.5, 0.9, 0.9, 0.7]


def test_what_failed_or_reported_nothing_is_a_failed_child() -> None:
    search = plain("random")
    for name in "abcd":
        search.suggest(name)
    search.on_trial_result("a", {"value": 0.5, "training_iteration": 1})
    search.on_trial_complete("a", error=True)
    search.on_trial_complete("b")  # ended before it began
    completed(search, "c", math.nan)
    completed(search, "d", np.float32(0.5))  # type: ignore[arg-type]  # as many trainables report
    completed(search, "never asked", 1.0)
    assert [reward for *_, reward in search._told] == [None, None, None, 0.5]


def test_minimising_is_maximising_the_negative() -> None:
    up, down = plain(), plain(mode="min")
    for number in range(20):
        assert up.suggest(str(number)) == down.suggest(str(number))
        completed(up, str(number), number % 7)
        completed(down, str(number), -(number % 7))


def test_a_constant_added_or_a_factor_changes_nothing() -> None:
    searches = [plain("q-learning") for _ in range(3)]
    for number in range(30):
        first, *others = [search.suggest(str(number)) for search in searches]
        assert others == [first, first]
        value = -abs(math.log10(first["rate"]) + 2)  # type: ignore[index, arg-type]
        for search, told in zip(searches, (value, value + 1000, 1e6 * value), strict=True):
            completed(search, str(number), told)


def test_reinforce_learns_on_a_plain_space() -> None:
    search = plain("reinforce")
    values = []
    for number in range(60):
        config = search.suggest(str(number))
        assert isinstance(config, dict)
        values.append(
            -abs(math.log10(config["rate"]) + 2) + config["layers"]["depth"] + (config["optimizer"] == "adam")
        )
        completed(search, str(number), values[-1])
    assert sum(values[-20:]) / 20 > sum(values[:20]) / 20 + 0.5


def test_a_network_that_is_known_is_not_trained_again_and_a_small_space_ends() -> None:
    search = ControllerSearch("random", space=Few(), metric="value", mode="max")
    configs = []
    for number in range(3):
        config = search.suggest(str(number))
        assert isinstance(config, dict)
        configs.append(config["answers"])
        completed(search, str(number), 0.5)
    assert sorted(configs) == [[0], [1], [2]]
    assert search.suggest("3") == "FINISHED"


TURNS = """
class Turns:
    def __init__(self, space, seed, length):
        self.space, self.told = space, []

    def ask(self, trial, pending):
        return self.space.walk(lambda question: question.legal[trial % len(question.legal)], trial)

    def tell(self, trial, candidate, reward):
        self.told.append((candidate.answers, reward))
"""


def taking_turns(folder: Path, bounds: Bounds) -> ControllerSearch:
    """Over the three networks in turn, by a controller that looks at no bound, as one cannot that always meets one."""
    (folder / "turns.py").write_text(TURNS)
    space = Few().on(Images(8, 1, 10), bounds=bounds)
    return ControllerSearch(f"{folder}/turns.py:Turns", space=space, metric="value", mode="max")


def test_a_network_above_the_bounds_of_its_space_is_told_as_failed_and_not_trained(tmp_path: Path) -> None:
    space = Few().on(Images(8, 1, 10))
    params = [space.priced(space.replay([answer]).network)[0].params for answer in range(3)]
    search = taking_turns(tmp_path, Bounds(max_params=params[1]))
    for number in range(2):
        assert search.suggest(str(number)) == {"answers": [number]}
        completed(search, str(number), number + 0.5)
    assert search.suggest("2") == "FINISHED"  # the third is never suggested, and the others are known
    assert search._told[:5] == [(0, (0,), 0.5), (1, (1,), 1.5), (2, (2,), None), (3, (0,), 0.5), (4, (1,), 1.5)]


def test_where_no_network_is_within_the_bounds_it_is_said(tmp_path: Path) -> None:
    search = taking_turns(tmp_path, Bounds(max_params=1))
    with pytest.raises(
        UserError, match=r"found 1,000 networks in a row above max_params=1, expected one within; allow"
    ):
        search.suggest("a")
    with pytest.raises(UserError, match=r"found the bound max_latency_ms=3\.0, expected none on latency, which is not"):
        taking_turns(tmp_path, Bounds(max_latency_ms=3.0))


def test_a_network_under_way_is_waited_for() -> None:
    search = ControllerSearch("random", space=Few(), metric="value", mode="max", seed=1)
    asked = [search.suggest(str(number)) for number in range(20)]
    assert 0 < sum(config is not None for config in asked) <= 3


def test_ranges_of_tune_are_ranges_here() -> None:
    """Upper ends as Tune has them: of integers outside, of quantised ones inside."""
    found = parameters_of({
        "int": tune.randint(1, 4), "log": tune.lograndint(1, 9), "even": tune.qrandint(2, 8, 2),
        "tenths": tune.quniform(0.0, 0.5, 0.1), "deep": {"er": tune.choice([(1, 2), None])},
    })  # fmt: skip
    rng = random.Random(0)
    values = {name: [p.value(answer, rng) for answer in p.choice.every] for name, (_, p) in found.items()}
    assert values["int"] == [1, 2, 3]
    assert values["log"] == [*range(1, 9)]
    assert values["even"] == [2, 4, 6, 8]
    assert [round(value, 6) for value in values["tenths"]] == [0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert values["deep.er"] == [(1, 2), None]
    assert found["deep.er"][0] == ("deep", "er")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"x": tune.randn()}, "found x = "),
        ({"x": tune.sample_from(lambda: 1)}, "expected choice, grid_search, randint, uniform"),
        ({"x": 1}, "found nothing to search"),
        ({"x": [tune.choice(["a", "b"]), 2]}, r"found x\.0 in a list, .*; make lists of these in the trainable"),
        ({"x": {1: tune.choice(["a", "b"])}}, r"found x\.1 in a list, under a key that is no text, or twice"),
        ({"a.b": tune.choice([1, 2]), "a": {"b": tune.choice([3, 4])}}, r"found a\.b .* twice, expected dicts"),
        ({"x": tune.choice([{"w": tune.uniform(0, 1)}, 2])}, "found a domain in a value of x, expected values that"),
        ({"x": tune.grid_search([1, [tune.uniform(0, 1)]])}, "found a domain in a value of x, .*; give it a key"),
    ],
)
def test_a_param_space_that_cannot_be_asked_for_is_said(space: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        ControllerSearch().set_search_properties("value", "max", space)


def test_no_trials_are_refused() -> None:
    with pytest.raises(UserError, match=r"^trials: found 0, expected a whole number above 0"):
        ControllerSearch(trials=0)


def test_without_a_space_or_a_metric_it_says_what_it_needs() -> None:
    with pytest.raises(UserError, match="expected Tuner"):
        ControllerSearch().suggest("a")


@pytest.mark.parametrize("text", ["", "{}", '{"told": [[0, [99], 0.5]], "asked": 1, "best": null, "pending": {}}'])
def test_a_state_of_something_else_is_said(text: str, tmp_path: Path) -> None:
    (tmp_path / "state").write_text(text)
    with pytest.raises(UserError, match="found no state of a search of this space"):
        plain().restore(str(tmp_path / "state"))
