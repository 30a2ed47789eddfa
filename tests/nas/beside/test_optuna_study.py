"""Ledgers in Optuna's studies, as Optuna, its plots and its dashboard read them."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nas.beside.optuna_study import distribution, mirror, shown
from nas.errors import UserError
from nas.ledger import Ledger, Trial
from nas.space import Choice
from tests.nas.beside.conftest import Narrow, begin


@pytest.fixture(scope="module")
def url(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with the study of the search, mirrored twice."""
    place = f"sqlite:///{tmp_path_factory.mktemp('studies')}/study.db"
    assert [mirror(folder, place, space=Narrow())[1] for _ in range(2)] == [10, 0]
    return place


@pytest.fixture
def study(url: str) -> optuna.Study:
    return optuna.load_study(study_name="narrow", storage=url)


def test_numbers_and_states_are_those_of_the_ledger(study: optuna.Study) -> None:
    assert [trial.user_attrs["trial"] for trial in study.trials] == [*range(10)]
    states = {trial.number: trial.state for trial in study.trials if trial.state != TrialState.COMPLETE}
    assert states == {2: TrialState.FAIL, 8: TrialState.PRUNED}
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE


def test_values_parameters_and_curves_are_there(study: optuna.Study) -> None:
    trial = study.trials[8]
    assert trial.params == {"depth 1": 1, "kind 1": "separable", "width 1": 4}
    assert trial.distributions["depth 1"] == IntDistribution(1, 3)
    assert (trial.value, trial.intermediate_values, trial.user_attrs["madds"]) == (0.25, {1: 0.2}, 2000)
    measured = [trial.user_attrs[name] for name in ("latency_ms", "batch_latency_ms", "peak_memory")]
    assert measured == [1.5, 64.0, 4096]
    assert study.trials[0].intermediate_values == {1: 0.3, 2: 0.5}
    assert study.best_value == max(t.value or 0 for t in study.trials if t.state == TrialState.COMPLETE)


def test_a_repeat_is_marked(study: optuna.Study) -> None:
    assert study.trials[9].user_attrs["same_as"] == 1
    assert study.trials[9].value == study.trials[1].value


def test_a_repeat_of_a_stopped_child_has_an_estimate_too_and_is_pruned(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "s")
    with Ledger(tmp_path / "s") as ledger:
        first = next(trial for trial in ledger.trials if trial.trial == 8)
        ledger.append(Trial(10, first.answers, first.key, first.network, first.reward, None, same_as=8, at=10.0))
    study, _ = mirror(tmp_path / "s", f"sqlite:///{tmp_path}/study.db", space=Narrow())
    assert [(study.trials[number].state, study.trials[number].value) for number in (8, 10)] == [
        (TrialState.PRUNED, 0.25)
    ] * 2


def test_options_at_equal_steps_are_a_range_and_others_a_category() -> None:
    assert distribution(Choice(16, 24, 32)) == IntDistribution(16, 32, step=8)
    assert distribution(Choice(0.1, 0.2, 0.3)) == FloatDistribution(0.1, 0.3, step=0.1)
    assert distribution(Choice(16, 32, 64)) == CategoricalDistribution((16, 32, 64))
    assert distribution(Choice(False, True)) == CategoricalDistribution((False, True))
    assert distribution(Choice((1, 2), None)) == CategoricalDistribution(("(1, 2)", "None"))


def test_a_search_that_went_on_adds_its_new_trials(tmp_path: Path) -> None:
    begin(tmp_path / "s", 3)
    url = f"sqlite:///{tmp_path}/study.db"
    assert mirror(tmp_path / "s", url, space=Narrow())[1] == 3
    begin(tmp_path / "s", 5)
    again, added = mirror(tmp_path / "s", url, space=Narrow())
    assert added == 2
    assert len(again.trials) == 5


def test_figures_named_as_other_attributes_stand_beside_them(boasted: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    (study, added), (_, again) = (mirror(boasted, url, space=Narrow()) for _ in range(2))
    assert (added, again) == (4, 0)
    assert [trial.user_attrs["trial"] for trial in study.trials] == [0, 1, 2, 3]
    assert "madds" not in study.trials[0].user_attrs
    assert [study.trials[0].user_attrs[name] for name in ("health/trial", "health/madds", "entropy")] == [0.5, 8, 0.25]


def test_optunas_own_plots_draw_it(study: optuna.Study) -> None:
    from matplotlib import pyplot as plt
    from optuna.visualization import matplotlib as plots

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for plot in (plots.plot_optimization_history, plots.plot_intermediate_values, plots.plot_param_importances):
            assert plot(study).has_data()
    plt.close("all")


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def dashboard(url: str) -> Iterator[str]:
    """optuna-dashboard itself, on a free port."""
    from optuna_dashboard import wsgi

    server = make_server("127.0.0.1", 0, wsgi(url), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_optuna_dashboard_shows_it(dashboard: str) -> None:
    def get(path: str) -> str:
        return str(urllib.request.urlopen(dashboard + path).read(), "utf-8")  # noqa: S310  our own

    assert "<html" in get("/dashboard/")
    (summary,) = json.loads(get("/api/studies"))["study_summaries"]
    assert summary["study_name"] == "narrow"
    detail = json.loads(get(f"/api/studies/{summary['study_id']}"))
    assert [trial["state"] for trial in detail["trials"]].count("Complete") == 8
    assert {"name": "depth 1"}.items() <= detail["union_search_space"][0].items()


def test_a_study_of_something_else_is_left_alone(folder: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/study.db"
    other = optuna.create_study(storage=url, study_name="narrow", direction="maximize")
    other.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=1)
    with pytest.raises(UserError, match="found a study 'narrow' of something else"):
        mirror(folder, url, space=Narrow())
    assert len(other.trials) == 1


def test_a_study_of_another_search_is_left_alone(url: str, tmp_path: Path) -> None:
    begin(tmp_path / "narrow", 2)
    with pytest.raises(UserError, match="of another search"):
        mirror(tmp_path / "narrow", url, space=Narrow())


def test_a_study_whose_parameters_were_named_otherwise_is_left_alone(folder: Path, tmp_path: Path) -> None:
    place = f"sqlite:///{tmp_path}/study.db"
    study, _ = mirror(folder, place, space=Narrow())
    known = json.loads(study.user_attrs["search"])
    study.set_user_attr("search", json.dumps({name: known[name] for name in known if name != "questions"}))
    with pytest.raises(UserError, match="of another search"):
        mirror(folder, place, space=Narrow())


@pytest.mark.parametrize("url", ["study.db", "sqlite:////no/such/folder/study.db", "oracel://x", "sqlite//x"])
def test_a_url_that_leads_nowhere_is_said(folder: Path, url: str) -> None:
    with pytest.raises(UserError, match="expected the URL of a database"):
        mirror(folder, url, space=Narrow())


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("oracel://me:secret@host/x", "oracel://me:***@host/x"),
        ("sqlite://me:secret@host/x", "sqlite://me:***@host/x"),
        ("mysql://me:secret@host:port/x", "mysql://..."),
        ("oracel:///x?host=h&user=me&password=secret", "oracel:///x"),
        ("oracel://me:se@secret@host/x", "oracel://..."),
    ],
)
def test_the_password_of_a_database_is_not_shown(folder: Path, url: str, seen: str) -> None:
    with pytest.raises(UserError, match="expected the URL of a database") as refused:
        mirror(folder, url, space=Narrow())
    assert f"found that {seen} cannot be opened" in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_database_without_a_password_is_shown_as_it_was_typed() -> None:
    assert shown("sqlite:///a b/study.db") == "sqlite:///a b/study.db"
