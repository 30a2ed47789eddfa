"""Our controllers as an Optuna sampler: `optuna.create_study(sampler=ControllerSampler("reinforce"))`, no other change.

An objective asks as it runs, and a controller answers a whole candidate at once. So the sampler asks the controller
when a trial begins, in a space of what the trials before asked (`nas.beside.parameters.Traced`, which also says how
ranges become choices), and answers each `suggest` from that candidate. What nobody could foresee, at first everything,
is answered by lot. What the controller is told is what the objective did ask.

Trials are told in the order in which they finished, whoever made them: TPE before, `enqueue_trial`, `add_trial`, other
processes. The controller is a function of its seed and of these, so a study that is loaded from its storage goes on as
if it had not been left, and nothing of ours is stored in it. A parameter met for the first time, or with another range,
begins the controller anew, and all trials are told to it again. With `n_jobs` the order of finishing, and so the
search, is the threads' affair; trials of other processes are not seen while they run.

A controller is told values on a scale from 0 to 1 (`nas.beside.scale`): it needs their order, and not their size.
A pruned trial is told its last intermediate value, but never one better than the best complete trial has; without any,
as a failed one. A failed trial, or an infinite value, is a failed child to the controller.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from nas import names
from nas.beside.parameters import Parameter, Traced, Values, length, ranged
from nas.beside.scale import Scale
from nas.errors import UserError
from nas.space import Candidate

FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class ControllerSampler(BaseSampler):
    """A controller by its name, as on the command line, with its parameters: ControllerSampler("q-learning", rate=0.2).

    seed: None for another at each start.  trials: that what changes over a search, as ε, stretches over.
    Raises UserError for an unknown controller or parameter, and for no trials; in a study, for one of several
    objectives.
    """

    def __init__(
        self, controller: str = "reinforce", *, seed: int | None = None, trials: int = 100, **parameters: Any
    ) -> None:
        settings = [f"{name}={value}" for name, value in parameters.items()]
        self._controller, self._parameters = names.controller(controller, settings)
        self._seed = random.randrange(2**32) if seed is None else seed
        self._trials = length(trials)
        self._lock = threading.Lock()  # trials of n_jobs come in threads
        self._forget()

    def _forget(self) -> None:
        """Begin with a study of which nothing is known."""
        self._direction: StudyDirection | None = None
        self._known: dict[str, Parameter] = {}
        self._told: dict[int, FrozenTrial] = {}  # by number, in the order told
        self._asked: dict[int, Candidate] = {}  # by number, of trials under way
        self._begin()

    def _begin(self) -> None:
        """The controller as it is before anything is told."""
        self._space = Traced(list(self._known.values()))
        self._best: float | None = None  # reward of a complete trial
        self._scale = Scale()
        self._answering = self._controller(self._space, self._seed, self._trials, **self._parameters)

    # --- what Optuna calls ---

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Ask the controller for the whole trial; nothing is sampled jointly, for the objective may ask anything."""
        if len(study.directions) > 1:
            raise UserError(
                f"{study.study_name}: found {len(study.directions)} objectives, expected one, as controllers know one "
                "reward; return a weighted sum, or use one of Optuna's samplers"
            )
        with self._lock:
            self._catch_up(study)
            self._asked[trial.number] = self._ask(trial.number)
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The value of the controller's answer, drawn from (seed, trial, name); by lot where it foresaw no question."""
        parameter = parameter_of(param_name, param_distribution)
        rng = random.Random(f"{self._seed} {trial.number} {param_name}")
        answer = rng.choice(parameter.choice.every)
        candidate = self._asked.get(trial.number)
        for question, given in zip(candidate.questions, candidate.answers, strict=True) if candidate else ():
            if question.choice.name == parameter.choice.name:
                answer = given
        return parameter.value(answer, rng)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """It is no longer under way; it is told when the next one is asked for."""
        with self._lock:
            self._asked.pop(trial.number, None)

    def __getstate__(self) -> dict[str, Any]:
        """What it was made with: all else comes of the study."""
        return {name: vars(self)[name] for name in ("_controller", "_parameters", "_seed", "_trials")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())
        self._forget()

    # --- what the controller is told ---

    def _ask(self, trial: int) -> Candidate:
        try:
            candidate: Candidate = self._answering.ask(trial, list(self._asked.values()))
        except UserError:  # of one of the user's own that keeps answers for later
            raise UserError(
                f"{self._controller.__name__}: found answers kept for questions that the objective asks otherwise by "
                "now, expected a controller that answers as it is asked; let it keep candidates and `revise` them"
            ) from None
        return candidate

    def _catch_up(self, study: Study) -> None:
        """Tell all trials that have finished since the last time."""
        finished = {trial.number: trial for trial in study.get_trials(deepcopy=False, states=FINISHED)}
        if study.direction != self._direction or any(
            number not in finished or _finish(finished[number]) != _finish(trial)
            for number, trial in self._told.items()
        ):
            self._forget()  # what was told is another study's
            self._direction = study.direction
        new = sorted((trial for trial in finished.values() if trial.number not in self._told), key=_finish)
        met = {one.choice.name: one for trial in new for one in _parameters(trial)}
        untold = new
        if met.keys() - self._known.keys():
            self._known |= met
            self._begin()
            untold = [*self._told.values(), *new]
        for trial in untold:
            self._tell(trial, maximise=study.direction == StudyDirection.MAXIMIZE)
        self._told |= {trial.number: trial for trial in new}

    def _tell(self, trial: FrozenTrial, maximise: bool) -> None:
        steps = [
            (parameter.choice.name, parameter.answer(value))
            for parameter, value in zip(_parameters(trial), trial.params.values(), strict=True)
        ]
        self._space.trace(steps, ended=trial.state == TrialState.COMPLETE)
        alone = Traced(list(self._known.values()))  # where nothing else was asked, so that no other trial is replayed
        alone.trace(steps)
        candidate = alone.replay([given for _, given in steps])
        self._answering.tell(trial.number, candidate, self._scale(self._reward(trial, maximise)))

    def _reward(self, trial: FrozenTrial, maximise: bool) -> float | None:
        """What higher is better of; None for a failed trial."""
        pruned = trial.state == TrialState.PRUNED
        value = trial.intermediate_values.get(trial.last_step) if pruned and trial.last_step is not None else None
        value = trial.value if trial.state == TrialState.COMPLETE else value
        if value is None or not math.isfinite(value):
            return None
        reward = value if maximise else -value
        if pruned:
            return reward if self._best is None else min(reward, self._best)
        self._best = reward if self._best is None else max(reward, self._best)
        return reward


def parameter_of(name: str, distribution: BaseDistribution) -> Parameter:
    """One of Optuna's parameters; with another range it is another one."""
    named = f"{name}: {distribution!r}"
    if isinstance(distribution, CategoricalDistribution):
        return Values(named, distribution.choices)
    assert isinstance(distribution, IntDistribution | FloatDistribution)  # Optuna has no other
    return ranged(named, distribution.low, distribution.high, distribution.step, distribution.log)


def _parameters(trial: FrozenTrial) -> list[Parameter]:
    """In the order asked."""
    return [parameter_of(name, trial.distributions[name]) for name in trial.params]


def _finish(trial: FrozenTrial) -> tuple[float, int]:
    return trial.datetime_complete.timestamp() if trial.datetime_complete else 0.0, trial.number
