"""Our controllers as a Ray Tune `Searcher`, and our child training as a Tune trainable.

    space, data = Chain(), load("digits")
    tuner = tune.Tuner(
        trainable(space, data, RECIPES["quick"]),
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", num_samples=50, reuse_actors=True,
            search_alg=ControllerSearch("reinforce", space=space.on(data.images)),
        ),
    )

Without a space of ours it searches the Tuner's own `param_space`: choice, grid_search, randint, uniform, their log and
quantised forms, in dicts nested as one likes, made into choices as `nas.beside.parameters` says. What a `sample_from`
says of these Tune computes. What has no bounds, as `randn`, is refused, and so is what is open in a list or in a value
of a choice.

Values are told on a scale from 0 to 1 (`nas.beside.scale`): controllers need their order, and not their size.
Trials are told as they finish, so with several at once the search is the machine's affair, unlike `nas search`. A trial
is told its last value. Where a scheduler or a stop criterion ended it, in fewer iterations than the longest so far has,
that is never better than the best of those that ran as long, or ended by themselves. A failed one is a failed child. In
a space of ours a network already told is not trained again, nor one above the bounds that the space was given with
`space.on`, which is a failed child: the controller is told at once, and asked for another; the search ends after a
thousand such in a row. State is saved as text: what was told, in its order.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ray import tune
from ray.tune.result import TRAINING_ITERATION
from ray.tune.search import Searcher
from ray.tune.search.sample import Categorical, Domain, Float, Integer, LogUniform, Quantized, Uniform
from ray.tune.search.variant_generator import parse_spec_vars

from nas import names
from nas.beside.parameters import Parameter, Traced, Values, length, ranged
from nas.beside.scale import Scale
from nas.errors import UserError
from nas.pool import Training
from nas.recipe import RECIPES, Recipe
from nas.search import THREADS, child_seed
from nas.space import Candidate, Space, shorten

if TYPE_CHECKING:
    from nas.data import Data
    from nas.space import Child

ANSWERS = "answers"  # in the config of a trial of a space of ours
PATIENCE = 1_000  # repeats, or networks above bounds, in a row
DOTS = "."  # between the names of nested parameters


class Report(NamedTuple):
    """What a trial reported."""

    value: float | None  # of which higher is better; None where it is missing or no number
    iterations: int  # until then


class ControllerSearch(Searcher):  # type: ignore[misc]  # mypy does not follow into ray
    """A controller by its name, as on the command line, with its parameters.

    space: one of ours, on its images, with bounds on parameters and multiply-adds if need be; without it the Tuner's
    param_space.
    metric, mode: with a space of ours accuracy, the higher the better; without one, those of TuneConfig.
    trials: that what changes over a search, as ε, stretches over; give it what num_samples is.
    Raises UserError for an unknown controller or parameter, for no trials, for a bound on latency, which is not
    measured here, and for a param_space that cannot be asked for.
    """

    def __init__(
        self,
        controller: str = "reinforce",
        *,
        space: Space | None = None,
        metric: str | None = None,
        mode: str | None = None,
        seed: int = 0,
        trials: int = 100,
        **parameters: Any,
    ) -> None:
        if space is not None:
            metric, mode = metric or "accuracy", mode or "max"  # Tune asks a searcher with a space for its own
            _check_measured(space)
        super().__init__(metric=metric, mode=mode)
        self._metric, self._mode = metric, mode
        settings = [f"{name}={value}" for name, value in parameters.items()]
        self._controller, self._parameters = names.controller(controller, settings)
        self._seed, self._trials = seed, length(trials)
        self._own, self._space = space is not None, space
        self._paths: dict[str, tuple[tuple[str, ...], Parameter]] = {}  # of param_space, by name
        self._begin()

    def _begin(self) -> None:
        """The controller as it is before anything is told."""
        self._asked = 0  # trials
        self._told: list[tuple[int, tuple[int, ...], float | None]] = []  # trial, answers, reward; in the order told
        self._rewards: dict[str, float | None] = {}  # by key
        self._pending: dict[str, tuple[int, Candidate]] = {}  # by Tune's id
        self._last: dict[str, Report] = {}  # of those under way, by Tune's id
        self._longest = 0  # iterations of any trial so far
        self._best: dict[float, float] = {}  # value by iterations; by infinity of those that ended by themselves
        self._scale = Scale()
        self._unread: tuple[str, bytes] | None = None  # a saved state, and where it lay, of a space that is not known
        if self._space is not None:
            self._answering = self._controller(self._space, self._seed, self._trials, **self._parameters)

    # --- what Tune calls ---

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **_: Any) -> bool:
        """Take the metric, its direction and, without a space of ours, the parameters to search."""
        self._metric, self._mode = metric or self._metric, mode or self._mode
        if self._own:
            return not any(parse_spec_vars(config)[1:])
        if self._space is None:
            self._paths = parameters_of(config)
            space = Traced([parameter for _, parameter in self._paths.values()])
            space.trace([(name, 0) for name in self._paths])
            self._space, unread = space, self._unread
            self._begin()
            if unread:
                self._read(*unread, space)
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The config of the next trial: {"answers": [...]} in a space of ours; None while only known ones come.

        Raises UserError where there is nothing to search, or no network within the bounds of the space comes.
        """
        if self._unread:
            raise UserError(
                "Tuner.restore: found no param_space, which Tune does not keep, expected it as it was; give it again, "
                "as Tuner.restore(path, trainable, param_space=...)"
            )
        if self._space is None or self._metric is None:
            raise UserError(
                "ControllerSearch: found neither space= nor a param_space, or no metric; expected "
                'Tuner(..., param_space={"rate": tune.loguniform(1e-4, 1)}, '
                'tune_config=TuneConfig(metric="accuracy", mode="max", search_alg=...))'
            )
        above = 0
        for _ in range(PATIENCE):
            candidate = self._answering.ask(self._asked, [candidate for _, candidate in self._pending.values()])
            known, within = self._own and candidate.key in self._rewards, self._space.is_within(candidate)
            if within and not known:
                return self._suggested(trial_id, candidate)
            above += not within
            self._tell(self._asked, candidate, self._rewards.get(candidate.key))
            self._asked += 1
        if above == self._asked:
            raise UserError(
                f"ControllerSearch: found {above:,} networks in a row above {self._space.bounds}, expected one within; "
                "allow more in space.on(..., bounds=...), or take another space"
            )
        return str(Searcher.FINISHED)

    def _suggested(self, trial_id: str, candidate: Candidate) -> dict[str, Any] | None:
        if self._own and any(candidate.key == other.key for _, other in self._pending.values()):
            return None  # Tune asks again; by then it may be told
        self._pending[trial_id] = self._asked, candidate
        self._asked += 1
        if self._own:
            return {ANSWERS: list(candidate.answers)}
        config: dict[str, Any] = {}
        rng = random.Random(f"{self._seed} {self._asked} values")
        for (path, parameter), answer in zip(self._paths.values(), candidate.answers, strict=True):
            inner = config
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            inner[path[-1]] = parameter.value(answer, rng)
        return config

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Keep it, for a trial that is ended while it is paused completes without a result."""
        if trial_id in self._pending:
            self._last[trial_id] = self._reported(result)

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Tell the controller; what it did not ask for, or was told already, is nothing to it."""
        if trial_id in self._pending:
            trial, candidate = self._pending.pop(trial_id)
            known = self._last.pop(trial_id, None)
            last = self._reported(result) if result else known
            # Tune marks every last result as done; one that comes again is of a function that has returned
            alone = bool(result and result.get("done")) and last == known
            self._tell(trial, candidate, None if error or last is None else self._reward(last, alone))

    def save(self, checkpoint_path: str) -> None:
        """Write what was told, and what is under way, as JSON; what was read for a space not known yet as it was."""
        if self._unread:  # Tune saves once more after the error that says so
            Path(checkpoint_path).write_bytes(self._unread[1])
            return
        pending = {name: (trial, candidate.answers) for name, (trial, candidate) in self._pending.items()}
        state = {"asked": self._asked, "told": self._told, "pending": pending, "last": self._last}
        state |= {"longest": self._longest, "best": list(self._best.items())}
        Path(checkpoint_path).write_text(json.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Begin the controller anew and tell it all again; raises UserError for another space's or no state.

        Without a space `suggest` raises it, for of an error here Tune would only tell its log, and begin a new run.
        """
        text = Path(checkpoint_path).read_bytes()
        if self._space is None:
            self._unread = checkpoint_path, text
        else:
            self._read(checkpoint_path, text, self._space)

    def _read(self, origin: str, text: bytes, space: Space) -> None:
        try:
            state = json.loads(text)
            self._begin()
            for trial, answers, reward in state["told"]:
                self._tell(trial, space.replay(answers, trial), reward)
            self._pending = {name: (n, space.replay(given, n)) for name, (n, given) in state["pending"].items()}
            self._last = {name: Report(*given) for name, given in state["last"].items()}
            self._asked, self._longest, self._best = state["asked"], state["longest"], dict(state["best"])
        except (ValueError, KeyError, TypeError, IndexError, UserError) as problem:
            raise UserError(
                f"{origin}: found no state of a search of this space ({shorten(str(problem))}), expected what "
                "`save` wrote; give the same space, or begin a new run"
            ) from None

    # --- what the controller is told ---

    def _tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        self._told.append((trial, candidate.answers, reward))
        self._rewards[candidate.key] = reward
        self._answering.tell(trial, candidate, self._scale(reward))

    def _reported(self, result: Mapping[str, Any]) -> Report:
        value, iterations = result.get(self._metric or ""), result.get(TRAINING_ITERATION, 0)
        self._longest = max(self._longest, iterations)
        if not isinstance(value, Real) or not math.isfinite(value):
            return Report(None, iterations)
        return Report(float(value) if self._mode == "max" else -float(value), iterations)

    def _reward(self, last: Report, alone: bool) -> float | None:
        """The last value, as far as it may count; alone: whether the trial ended by itself."""
        value, length = last.value, math.inf if alone else last.iterations
        if value is None:
            return None
        if length >= self._longest:
            self._best[length] = max(value, self._best.get(length, value))
            return value
        return min(value, max((best for of, best in self._best.items() if of >= self._longest), default=value))


def _check_measured(space: Space) -> None:
    """Raise UserError for a bound on what only `nas search` measures."""
    if space.bounds.max_latency_ms is not None:
        raise UserError(
            f"space: found the bound {space.bounds}, expected none on latency, which is not measured in Tune; bound "
            "parameters or multiply-adds, or use `nas search`"
        )


def parameters_of(config: dict[str, Any]) -> dict[str, tuple[tuple[str, ...], Parameter]]:
    """What a param_space leaves open, by name: where it is in there, and as a choice."""
    _, domains, grids = parse_spec_vars(config)
    found: dict[str, tuple[tuple[str, ...], Parameter]] = {}
    for path, domain in [*domains, *grids]:
        name = DOTS.join(map(str, path))
        if name in found or not all(isinstance(key, str) for key in path):
            raise UserError(
                f"param_space: found {name} in a list, under a key that is no text, or twice, expected dicts with a "
                'key for each, as in {"first": tune.choice([1, 2]), "second": 2}; make lists of these in the trainable'
            )
        found[name] = path, _parameter(name, domain)
    if not found:
        raise UserError(
            "param_space: found nothing to search, expected one domain at least, as in "
            '{"rate": tune.loguniform(1e-4, 1)}; or give ControllerSearch(space=...)'
        )
    return found


def _parameter(name: str, domain: Domain) -> Parameter:
    """A domain of Tune's as a choice; raises UserError for what cannot be one."""
    sampler, step = domain.get_sampler(), None
    if isinstance(sampler, Quantized):
        sampler, step = sampler.sampler, sampler.q
    if isinstance(domain, Categorical):
        return Values(name, _settled(name, domain.categories))
    bounded = isinstance(domain, Float | Integer) and math.isfinite(domain.lower) and math.isfinite(domain.upper)
    if not bounded or not isinstance(sampler, Uniform | LogUniform):
        raise UserError(
            f"param_space: found {name} = {domain.domain_str}, expected choice, grid_search, randint, uniform, or a "
            "log or quantised form of these; compute what depends on others, or has no bounds, in the trainable"
        )
    log = isinstance(sampler, LogUniform)
    if isinstance(domain, Integer):
        last = domain.upper - (step is None)  # Tune's quantised ranges have their upper end in them
        return ranged(name, domain.lower, last, step or 1, log)
    return ranged(name, domain.lower, domain.upper, step, log)


def _settled(name: str, values: Sequence[Any]) -> Sequence[Any]:
    """The values of a choice; raises UserError where one leaves something open."""
    for value in values:
        if any(parse_spec_vars({name: value})[1:]):
            raise UserError(
                f"param_space: found a domain in a value of {name}, expected values that leave nothing open; give it "
                'a key beside, as in {"kind": tune.choice(["a", "b"]), "rate of a": tune.uniform(0, 1)}, and let the '
                "trainable look at it where it is needed"
            )
    return values


def trainable(
    space: Space, data: Data, recipe: Recipe = RECIPES["quick"], *, seed: int = 0, device: str = "auto"
) -> Callable[[dict[str, Any]], None]:
    """A Tune trainable: trains the child of config["answers"] and reports accuracy and loss after each epoch.

    It trains as `nas search` does, with the same result for the same seed, so that ASHA may end it after any epoch;
    `recipe.restarts` mean nothing to it. A diverged or failed child is a trial with an error. Wrap it in
    `tune.with_resources` for GPUs; with `TuneConfig(reuse_actors=True)` not every child waits for torch to load.
    """
    training = Training(space.on(data.images), data.in_memory(), recipe, device, THREADS, None)
    wrapped: Callable[[dict[str, Any]], None] = tune.with_parameters(_train, training=training, seed=seed)
    return wrapped


def _train(config: dict[str, Any], training: Training, seed: int) -> None:
    import torch

    network = training.space.replay(config[ANSWERS]).network
    written = getattr(network, "written", repr(network))
    torch.set_num_threads(training.threads)
    for accuracy, loss in _epochs(network, training, child_seed(seed, network.key)):
        tune.report({"accuracy": accuracy, "loss": loss, "network": written})


def _epochs(network: Child, training: Training, seed: int) -> Iterator[tuple[float, float]]:
    """Accuracy and loss on the validation images after each epoch; raises ArithmeticError where a child diverges."""
    from nas.train import Attempt, evaluate

    data, recipe = training.prepare(), training.recipe
    attempt = Attempt(network, data, recipe, recipe.rate, seed)
    for epoch in range(recipe.epochs):
        attempt.epoch(epoch, math.inf)
        counts, loss = evaluate(attempt.model, network.input_size, data)
        if not math.isfinite(loss):
            raise ArithmeticError(f"diverged: the validation loss is {loss} after epoch {epoch + 1}")
        yield float(counts.trace() / counts.sum()), loss
