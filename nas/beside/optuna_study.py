"""A ledger mirrored into an Optuna study, for optuna-dashboard and Optuna's own plots.

A trial becomes a trial. Its parameters are the answers, named "width 3" by choice and which of its questions it is, as
options; those with one legal option too. Its value is the reward, its intermediate values the accuracy by epoch, its
user attributes the rest. A failed child is FAIL; a stopped one PRUNED, with its estimate; a repeat a trial of its own,
with its network's value, marked by "same_as". Times of day are not in a ledger: they are taken to end when its file was
last written.

Numbers at equal steps, all of a choice's options, are an integer or float range; other options are categorical, those
that are no numbers or texts as written. What was legal of them is not in the study: under one name Optuna wants one
distribution. Trials are added by their numbers, which are also a user attribute, for a running search may finish an
earlier one later; the same command again adds what is new.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from nas.beside.frame import Search, costs, figures, named, option, search
from nas.errors import UserError
from nas.ledger import FILE, RECORDS, Trial
from nas.space import Candidate, Choice, Space, shorten

OF_SEARCH = "search"  # the study's attribute that says which search it mirrors


def mirror(folder: Path, url: str, name: str | None = None, space: Space | None = None) -> tuple[Study, int]:
    """Bring a study up to date with the search in this folder: the study, and how many trials were added.

    url: of a database, as in sqlite:///study.db.  name: of the study, the folder's unless given.
    space: as it was searched, where it is no built-in one.
    Raises UserError for a URL that leads nowhere, and for a study of that name that is another's.
    """
    found = search(folder, space)
    with _quiet():
        return _mirrored_in(folder, found, url, name)


def _mirrored_in(folder: Path, found: Search, url: str, name: str | None) -> tuple[Study, int]:
    known = _known(found.header)
    study = _opened(url, name or folder.resolve().name)
    there = study.user_attrs.get(OF_SEARCH)
    if (there is None and study.trials) or there not in (None, known) or study.direction != StudyDirection.MAXIMIZE:
        other = "something else" if there is None else "another search"
        raise UserError(
            f"{shown(url)}: found a study {study.study_name!r} of {other}, expected that of {folder}, or none; give "
            "another --study"
        )
    if there is None:
        study.set_user_attr(OF_SEARCH, known)
        study.set_metric_names([f"reward ({found.header['reward']})"])
    old = {trial.user_attrs.get("trial") for trial in study.get_trials(deepcopy=False)}
    end = datetime.fromtimestamp((folder / FILE).stat().st_mtime)
    begun = end - timedelta(seconds=max((trial.at for trial, _ in found.candidates), default=0.0))
    new = [
        mirrored(trial, candidate, begun, known.stopped)
        for (trial, candidate), known in zip(found.candidates, found.trained, strict=True)
        if trial.trial not in old
    ]
    study.add_trials(new)
    return study, len(new)


def shown(url: str) -> str:
    """A database's URL as it may be seen: without its password, and without its query, which may have one too."""
    try:
        found = make_url(url).set(query={})
        if "@" not in (found.host or ""):
            return found.render_as_string(hide_password=True)
    except (ArgumentError, ValueError):
        pass
    return f"{url.partition('://')[0]}://..."  # where the password is, is not known


def _known(header: Mapping[str, Any]) -> str:
    """What a search is a function of, and how its questions are named in a study, as text."""
    known = {name: value for name, value in header.items() if name not in RECORDS}
    return json.dumps(known | {"questions": "from 1"}, sort_keys=True)


def _opened(url: str, name: str) -> Study:
    if "://" not in url:
        raise UserError(f"--optuna: found {url!r}, expected the URL of a database, as in sqlite:///study.db")
    try:
        return optuna.create_study(storage=url, study_name=name, direction="maximize", load_if_exists=True)
    except Exception as error:  # of SQLAlchemy and of the database's driver, which is another for each
        raise UserError(
            f"--optuna: found that {shown(url)} cannot be opened ({type(error).__name__}: {shorten(str(error))}), "
            "expected the URL of a database, as in sqlite:///study.db; make its folder, or install its driver"
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's messages, and its warning that names of metrics are experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def mirrored(trial: Trial, candidate: Candidate, begun: datetime, stopped: bool) -> FrozenTrial:
    """A trial as Optuna has it; begun: when the search did.  stopped: whether its value is an estimate."""
    params = {name: option(choice, answer) for name, choice, answer in named(candidate)}
    distributions = {name: distribution(choice) for name, choice, _ in named(candidate)}
    state = TrialState.PRUNED if stopped else TrialState.COMPLETE
    result = trial.result
    made = create_trial(
        state=TrialState.FAIL if trial.reward is None else state,
        value=trial.reward,
        params=params,
        distributions=distributions,
        user_attrs=_attributes(trial),
        intermediate_values=dict(enumerate(result.accuracy, 1)) if result else {},
    )
    made.datetime_complete = begun + timedelta(seconds=trial.at)
    made.datetime_start = made.datetime_complete - timedelta(seconds=result.seconds if result else 0)
    return made


def _attributes(trial: Trial) -> dict[str, Any]:
    found = {"trial": trial.trial, "key": trial.key, "network": trial.network, "same_as": trial.same_as}
    found |= {"error": trial.error, **costs(trial.result), **figures(trial)}
    return {name: value for name, value in found.items() if value is not None}


def distribution(choice: Choice[Any]) -> BaseDistribution:
    """Of all options of a choice."""
    options: list[Any] = [option(choice, answer) for answer in choice.every]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in options)
    steps = {round(high - low, 12) for low, high in pairwise(options)} if numbers else set()
    if len(steps) != 1 or min(steps) <= 0:
        return CategoricalDistribution(options)
    if all(isinstance(value, int) for value in options):
        return IntDistribution(options[0], options[-1], step=int(min(steps)))
    return FloatDistribution(options[0], options[-1], step=min(steps))
