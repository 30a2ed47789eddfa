"""Our controllers in Optuna's studies: real studies, in memory and in SQLite."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import optuna
import pytest
from optuna.samplers import BaseSampler
from optuna.trial import Trial, TrialState

from nas.beside.optuna_sampler import ControllerSampler
from nas.errors import UserError
from tests.nas.beside.conftest import snippet


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    yield
    optuna.logging.set_verbosity(optuna.logging.INFO)


def flat(trial: Trial) -> float:
    """At most 0: at a rate of 0.01, 60 units and adam."""
    rate = trial.suggest_float("rate", 1e-5, 1.0, log=True)
    units = trial.suggest_int("units", 1, 200)
    kind = trial.suggest_categorical("kind", ["sgd", "adam", None])
    return -((math.log10(rate) + 2) ** 2) - ((units - 60) / 80) ** 2 - (kind != "adam")


def chained(trial: Trial) -> float:
    """One to five blocks; their kind decides whether there is a share to drop, best at 0.25."""
    depth, total = trial.suggest_int("depth", 1, 5), 0.0
    for layer in range(depth):
        kind = trial.suggest_categorical(f"kind {layer}", ["conv", "sep", "res"])
        width = trial.suggest_categorical(f"width {layer}", [16, 32, 64])
        total += {"conv": 0.5, "sep": 0.2, "res": 1.0}[kind] * {16: 0.4, 32: 1.0, 64: 0.7}[width]
        if kind == "res":
            total -= 0.3 * abs(trial.suggest_float(f"drop {layer}", 0, 1) - 0.25)
    return total - 0.12 * depth**2


def study_of(sampler: optuna.samplers.BaseSampler, direction: str = "maximize", **options: object) -> optuna.Study:
    return optuna.create_study(sampler=sampler, direction=direction, **options)  # type: ignore[arg-type]


def points(study: optuna.Study) -> list[dict[str, object]]:
    return [trial.params for trial in study.trials]


@pytest.mark.parametrize(
    "name", ["reinforce", "q-learning", "posterior-sampling", "evolution", "local", "random", "optuna:tpe"]
)
def test_every_controller_searches_an_objective_whose_questions_depend_on_answers(name: str) -> None:
    study = study_of(ControllerSampler(name, seed=0, trials=12))
    study.optimize(chained, n_trials=12)
    assert {trial.state for trial in study.trials} == {TrialState.COMPLETE}
    assert all(sum(name.startswith("kind") for name in p) == p["depth"] for p in points(study))


def test_reinforce_finds_better_than_random_sampling_on_branches() -> None:
    ours = study_of(ControllerSampler("reinforce", seed=0, trials=60))
    random = study_of(optuna.samplers.RandomSampler(seed=0))
    for study in (ours, random):
        study.optimize(chained, n_trials=60)
    assert ours.best_value > random.best_value + 0.2  # 1.8 and 1.2


def test_readme_s_study_runs() -> None:
    place: dict[str, Any] = {}
    exec(snippet("ControllerSampler"), place)  # noqa: S102  our own
    assert len(place["study"].trials) == 100


def test_minimising_is_maximising_the_negative() -> None:
    up = study_of(ControllerSampler("reinforce", seed=3))
    down = study_of(ControllerSampler("reinforce", seed=3), "minimize")
    up.optimize(flat, n_trials=20)
    down.optimize(lambda trial: -flat(trial), n_trials=20)
    assert points(up) == points(down)


def moved(factor: float, constant: float, trial: Trial) -> float:
    return factor * flat(trial) + constant


@pytest.mark.parametrize("name", ["reinforce", "q-learning", "posterior-sampling", "evolution"])
def test_a_constant_added_or_a_factor_changes_nothing(name: str) -> None:
    asked = []
    for factor, constant in ((1.0, 0.0), (1.0, 1000.0), (1e6, -3.0), (1e-6, 0.0)):
        study = study_of(ControllerSampler(name, seed=4))
        study.optimize(partial(moved, factor, constant), n_trials=28)
        asked.append(points(study))
    assert asked == 4 * asked[:1]


def test_q_learning_finds_better_than_random_sampling_however_the_objective_is_scaled() -> None:
    def objective(trial: Trial) -> float:
        return 1e4 + 1e3 * sum((trial.suggest_float(f"x{place}", -5, 5) - place) ** 2 for place in range(4))

    ours, by_chance = partial(ControllerSampler, "q-learning"), optuna.samplers.RandomSampler
    samplers: dict[str, Callable[..., BaseSampler]] = {"ours": ours, "random": by_chance}
    best: dict[str, list[float]] = {name: [] for name in samplers}
    for name, sampler in samplers.items():
        for seed in range(5):
            study = study_of(sampler(seed=seed), "minimize")
            study.optimize(objective, n_trials=100)
            best[name].append(study.best_value)
    assert median(best["ours"]) < 0.8 * median(best["random"])


@pytest.mark.parametrize("name", ["reinforce", "local"])
def test_a_study_loaded_from_its_storage_goes_on_as_if_it_had_not_been_left(name: str, tmp_path: Path) -> None:
    whole, url = study_of(ControllerSampler(name, seed=1)), f"sqlite:///{tmp_path}/study.db"
    whole.optimize(chained, n_trials=20)
    for part in (8, 12):
        sampler = ControllerSampler(name, seed=1)
        study_of(sampler, storage=url, study_name="s", load_if_exists=True).optimize(chained, n_trials=part)
    again = optuna.load_study(study_name="s", storage=url)
    assert points(again) == points(whole)


def test_a_pickled_sampler_goes_on_too() -> None:
    whole, parts = (study_of(ControllerSampler("q-learning", seed=2)) for _ in range(2))
    whole.optimize(flat, n_trials=16)
    parts.optimize(flat, n_trials=8)
    parts.sampler = pickle.loads(pickle.dumps(parts.sampler))
    parts.optimize(flat, n_trials=8)
    assert points(parts) == points(whole)


def test_a_sampler_that_was_used_searches_a_second_study_of_the_same_name_as_a_new_one_does() -> None:
    used = ControllerSampler("reinforce", seed=2)
    for sampler in (used, ControllerSampler("reinforce", seed=2)):
        study = study_of(sampler, study_name="s")
        study.optimize(chained, n_trials=12)
    second = study_of(used, study_name="s")
    second.optimize(chained, n_trials=12)
    assert points(second) == points(study)
    assert len(used._told) == 11  # the last is told when another is asked for


def test_a_sampler_knows_a_study_by_its_trials_however_often_it_is_loaded(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'study.db'}"
    whole = study_of(ControllerSampler("reinforce", seed=2))
    whole.optimize(chained, n_trials=12)
    sampler = ControllerSampler("reinforce", seed=2)
    study_of(sampler, storage=url, study_name="s")
    loaded = [optuna.load_study(study_name="s", storage=url, sampler=sampler) for _ in range(2)]
    known = []
    for number in range(12):
        loaded[number % 2].optimize(chained, n_trials=1)
        known.append(len(sampler._told))
    assert known == list(range(12))
    assert points(loaded[0]) == points(whole)


def test_the_same_trials_in_a_study_of_the_other_direction_are_told_anew() -> None:
    sampler = ControllerSampler("reinforce", seed=2)
    low = study_of(sampler, direction="minimize")
    low.optimize(chained, n_trials=12)
    for used in (sampler, ControllerSampler("reinforce", seed=2)):
        high = study_of(used, direction="maximize")
        high.add_trials(low.trials)
        chained(high.ask())
    assert sampler._best == used._best == max(trial.value for trial in low.trials if trial.value is not None)


def test_it_learns_from_trials_of_another_sampler() -> None:
    """After TPE's trials nothing is by lot: what the first asks for lies in what the controller answered."""
    study = study_of(optuna.samplers.TPESampler(seed=0))
    study.optimize(flat, n_trials=10)
    study.sampler = sampler = ControllerSampler("reinforce", seed=0)
    flat(study.ask())
    (candidate,) = sampler._asked.values()
    assert [question.choice.name.split(":")[0] for question in candidate.questions] == ["rate", "units", "kind"]
    assert len(sampler._told) == 10


def test_a_pruned_trial_is_told_its_last_value_but_none_above_the_best() -> None:
    def objective(trial: Trial) -> float:
        trial.suggest_int("x", 0, 3)
        if trial.number == 1:
            trial.report(0.2, 1)
            trial.report(0.3, 2)
            raise optuna.TrialPruned
        if trial.number == 2:
            trial.report(0.9, 1)
            raise optuna.TrialPruned
        if trial.number == 3:
            raise optuna.TrialPruned
        if trial.number == 4:
            return math.nan
        return 0.5

    sampler = ControllerSampler("random", seed=0)
    study = study_of(sampler)
    study.optimize(objective, n_trials=6)
    rewards = [sampler._reward(trial, maximise=True) for trial in study.trials]
    assert rewards == [0.5, 0.3, 0.5, None, None, 0.5]


def test_trials_in_threads_are_all_told() -> None:
    sampler = ControllerSampler("q-learning", seed=0)
    study = study_of(sampler)
    study.optimize(chained, n_trials=24, n_jobs=3)
    assert len(study.trials) == 24
    chained(study.ask())
    assert sorted(sampler._told) == [*range(24)]


def test_what_is_enqueued_is_told_as_it_was_run() -> None:
    sampler = ControllerSampler("reinforce", seed=0)
    study = study_of(sampler)
    study.enqueue_trial({"rate": 0.01, "units": 60, "kind": "adam"})
    study.optimize(flat, n_trials=2)
    assert study.best_value == 0.0
    assert study.best_params == {"rate": 0.01, "units": 60, "kind": "adam"}


@pytest.mark.parametrize(("value", "x"), [(99, 8), (-1, 1)])
def test_what_is_enqueued_beyond_a_range_is_told_as_its_nearest_value(value: int, x: int) -> None:
    """Optuna warns of it, and runs it."""
    sampler = ControllerSampler("q-learning", seed=0)
    study = study_of(sampler)
    study.enqueue_trial({"x": value})
    with pytest.warns(UserWarning, match="out of range"):
        study.optimize(lambda trial: trial.suggest_int("x", 1, 8), n_trials=1)
    assert 1 <= study.ask().suggest_int("x", 1, 8) <= 8
    assert study.best_params == {"x": value}
    (asked,) = sampler._space.root.after.values()
    assert [*asked.ways] == [(x - 1,)]  # the answers told


def test_what_is_enqueued_and_no_choice_fails_as_in_optuna_and_the_study_goes_on() -> None:
    study = study_of(ControllerSampler("reinforce", seed=0))
    study.enqueue_trial({"kind": "adma"})
    study.optimize(lambda trial: len(trial.suggest_categorical("kind", ["sgd", "adam"])), n_trials=4, catch=ValueError)
    assert [trial.state.name for trial in study.trials] == ["FAIL", "COMPLETE", "COMPLETE", "COMPLETE"]


def test_a_range_that_changes_is_another_parameter() -> None:
    """Widths that never shrink: the second range begins at the first one's value."""

    def objective(trial: Trial) -> float:
        first = trial.suggest_int("first", 1, 4)
        return first - trial.suggest_int("second", first, 8)

    study = study_of(ControllerSampler("reinforce", seed=0, batch=4))
    study.optimize(objective, n_trials=40)
    assert all(p["first"] <= p["second"] for p in points(study))  # type: ignore[operator]
    assert study.best_value == 0


def test_with_a_failure_before_the_first_question_the_next_trial_is_asked_for_all_the_same() -> None:
    def objective(trial: Trial) -> float:
        if trial.number == 2:
            raise RuntimeError("before it asks")
        return float(trial.suggest_int("x", 0, 3))

    sampler = ControllerSampler("reinforce", seed=0)
    study = study_of(sampler)
    study.optimize(objective, n_trials=4, catch=RuntimeError)
    study.ask().suggest_int("x", 0, 3)
    assert [len(candidate.questions) for candidate in sampler._asked.values()] == [1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ControllerSampler("reinfroce"), "did you mean reinforce"),
        (lambda: ControllerSampler("q-learning", raet=0.1), "did you mean rate"),
        (lambda: ControllerSampler("reinforce", rate=-1), "expected 1e-12 to 100"),
        (lambda: ControllerSampler("reinforce", trials=0), "^trials: found 0, expected a whole number above 0, over"),
        (lambda: ControllerSampler("reinforce", trials=2.5), "^trials: found 2.5, expected a whole number"),  # type: ignore[arg-type]
        (
            lambda: optuna.create_study(directions=["maximize"] * 2, sampler=ControllerSampler()).optimize(flat, 1),
            "found 2 objectives, expected one",
        ),
    ],
)
def test_what_cannot_be_is_said(make: Callable[[], object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make()


KEEPS = """
class Keeps:
    def __init__(self, space, seed, length):
        self.space, self.first = space, None

    def ask(self, trial, pending):
        return self.space.replay(self.first or ())

    def tell(self, trial, candidate, reward):
        self.first = self.first or candidate.answers
"""


def test_a_controller_of_ones_own_that_keeps_answers_is_told_how_to_follow_branches(tmp_path: Path) -> None:
    (tmp_path / "keeps.py").write_text(KEEPS)
    study = study_of(ControllerSampler(f"{tmp_path}/keeps.py:Keeps", seed=0))

    def objective(trial: Trial) -> float:
        return sum(trial.suggest_int(f"x{place}", 0, 3) for place in range(1 + trial.number))

    with pytest.raises(UserError, match=r"Keeps: found answers kept for .* let it keep candidates and `revise` them"):
        study.optimize(objective, n_trials=10)


@pytest.mark.parametrize("seed", range(5))
def test_local_search_climbs_where_questions_depend_on_answers(seed: int) -> None:
    ours, random = study_of(ControllerSampler("local", seed=seed)), study_of(ControllerSampler("random", seed=seed))
    for study in (ours, random):
        study.optimize(chained, n_trials=100)
    assert ours.best_value > random.best_value + 0.2  # 1.9 and 1.0, the medians of twenty
    assert len({str(trial.params) for trial in ours.trials}) > 90
