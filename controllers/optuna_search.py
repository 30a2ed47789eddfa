"""Optuna's samplers as a controller, the baseline from outside: `OptunaSearch(..., sampler="tpe")`, see `SAMPLERS`.

Sources: Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019; TPE: Bergstra et
al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011, and Watanabe, "Tree-Structured Parzen Estimator",
arXiv:2304.11127; CMA-ES: Hansen, "The CMA Evolution Strategy: A Tutorial", arXiv:1604.00772; GP: Ament et al.,
"Unexpected Improvements to Expected Improvement for Bayesian Optimization", NeurIPS 2023.

Questions become parameters whose values are the answers, that is indices of options. Where a choice's options are
ascending numbers and the legal ones have no gap, "width 3" (the choice, and how often it was asked before) is an
integer from the first legal index to the last, which may be others at the next trial. Everything else, links too, is
categorical and names what is legal, as in "block 0 of 0,1,3", for Optuna lets no categorical change its options.

Every ask makes a fresh sampler, seeded by (seed, trial), and shows it the told trials in the order told, the pending
ones as running; then it is called as `optuna.trial.Trial` calls it. With a window of 1 a study does just the same, if
it is given such a sampler before each trial.

Failures are trials of state FAIL; only brute force looks at them, and does not come back to them. A stopped child is a
complete trial with its estimate (`nas.stop`), not a pruned one with the accuracy that it had. A repeat is one more
trial at the same place: it counts again in TPE's densities, in a generation of CMA-ES and in the GP's fit, and nothing
keeps these three from more of them. Pending trials are bad ones to TPE (its "constant liar"); GP looks for what
improves on them too (not in Optuna 4.5); brute force leaves them out; random and CMA-ES do not see them.

What to expect of a sampler:
- random, tpe: work on every question. TPE answers jointly what all complete trials were asked alike, the rest singly.
- gp, cmaes: model only what all complete trials were asked alike, CMA-ES of that only the integers, and answer the rest
  at random. If that common part shrinks after CMA-ES's first generation, all its answers are random from then on.
  After a thousand trials an ask of gp takes seconds.
- cmaes: writes its generation and distribution on the trial that is asked for, which a controller that is only told
  cannot have seen. So `tell` has it write them on the told trial: a trial belongs to the generation in which it is
  told, where a study with several trials under way drops those that come late.
- brute-force: tries every sequence of answers once, then answers at random. Under a limit that changes with the trials
  Optuna's tree of what was tried would contradict itself, so it is refused there.

Not offered: grid search, which must know all parameters beforehand; NSGA-II, NSGA-III and QMC, which keep parents or
their place in a sequence in the study; CMA-ES with margin, which needs the point it drew before it was rounded; TPE
with `group`, which answers jointly what only some trials were asked too, but from the range that the first of them had:
under a limit that grows, what becomes legal later is no longer answered (in Optuna 5.0). On `chain` it answers 21 of 21
questions jointly, where TPE alone answers 9 of 22.

Departs from Optuna's defaults: TPE is multivariate and has the constant liar in every version, as is the default in
Optuna 5; CMA-ES begins after 20 complete trials instead of 1, so that what all trials have in common is known by then.
"""

import random
import warnings
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from itertools import pairwise
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, BruteForceSampler, CmaEsSampler, GPSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from threadpoolctl import threadpool_limits

from nas.errors import UserError
from nas.space import Candidate, Choice, Question, Space

SAMPLERS: Mapping[str, Callable[[int], BaseSampler]] = {  # name -> from a seed to a fresh sampler
    "random": lambda seed: RandomSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True, constant_liar=True),
    "cmaes": lambda seed: CmaEsSampler(seed=seed, n_startup_trials=20, warn_independent_sampling=False),
    "gp": lambda seed: GPSampler(seed=seed),  # imports torch and scipy when first asked
    "brute-force": lambda seed: BruteForceSampler(seed=seed),
}
STUDY = "search"
DRAWS = 20  # of a candidate, to meet one that is within bounds: fewer than elsewhere, for each takes longer


class OptunaSearch:
    """Answers by one of Optuna's samplers; `length` means nothing to them."""

    def __init__(self, space: Space, seed: int, length: int, sampler: str = "tpe") -> None:
        if sampler not in SAMPLERS:
            raise UserError(
                f"sampler: found {sampler!r}, expected one of {', '.join(SAMPLERS)}; "
                "use sampler=tpe where nothing speaks for another"
            )
        growing = [name for name, limit in space.limits.items() if limit.step]
        if sampler == "brute-force" and growing:
            raise UserError(
                f"sampler brute-force: found a limit on {growing[0]} that changes with the trials, expected the same "
                "questions at every trial; leave the limit out, or use sampler=tpe"
            )
        self.space, self.seed, self.sampler = space, seed, sampler
        self.told: list[FrozenTrial] = []

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """A candidate by the sampler's answers, sampled again a few times while it is beyond the space's bounds."""
        seeds = self._seeds(trial)
        # GP is three times as fast on one core as on two, and answers alike on any machine.
        with _quiet(), threadpool_limits(1) if self.sampler == "gp" else nullcontext():
            return self.space.first_within(
                lambda: self.space.walk(self._asking(pending, seeds.getrandbits(32)).answer, trial), DRAWS
            )

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Add a complete trial, or a failed one."""
        state = TrialState.FAIL if reward is None else TrialState.COMPLETE
        marks = {}
        if self.sampler == "cmaes":
            with _quiet():
                marks = self._asking((), self._seeds(trial).getrandbits(32)).trial.system_attrs
        self.told.append(_frozen(len(self.told), candidate, state, reward, marks))

    def _seeds(self, trial: int) -> random.Random:
        return random.Random(f"{self.seed} {trial}")

    def _asking(self, pending: Sequence[Candidate], seed: int) -> "_Asking":
        numbered = enumerate(pending, len(self.told))
        running = [_frozen(number, candidate, TrialState.RUNNING) for number, candidate in numbered]
        return _Asking(SAMPLERS[self.sampler](seed), [*self.told, *running])


class _Asking:
    """One trial while it is asked for; it does to the sampler what `optuna.trial.Trial` does, but is in no study."""

    def __init__(self, sampler: BaseSampler, others: Sequence[FrozenTrial]) -> None:
        self.sampler = sampler
        self.trial = create_trial(state=TrialState.RUNNING)
        self.trial.number = len(others)
        # A fresh study, for an old one would show the sampler the trials that it had at the last ask.
        self.study = optuna.load_study(study_name=STUDY, storage=_Shown([*others, self.trial]), sampler=sampler)
        sampler.before_trial(self.study, self.trial)
        common = sampler.infer_relative_search_space(self.study, self.trial)
        self.jointly = sampler.sample_relative(self.study, self.trial, common)

    def answer(self, question: Question) -> int:
        """The answer sampled with others before, if there is one and it is legal here; else one of its own."""
        name, distribution = _parameter(question)
        value = self.jointly.get(name)
        if value not in question.legal:
            value = self.sampler.sample_independent(self.study, self.trial, name, distribution)
        self.trial.params[name], self.trial.distributions[name] = value, distribution
        return int(value)


class _Shown(InMemoryStorage):
    """What a sampler sees of a search: these trials, not copied; marks can only be left on the last one."""

    def __init__(self, trials: list[FrozenTrial]) -> None:
        super().__init__()
        self.trials = trials
        self.create_new_study([StudyDirection.MAXIMIZE], STUDY)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return [trial for trial in self.trials if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self.trials[-1].system_attrs[key] = value


def _frozen(
    number: int,
    candidate: Candidate,
    state: TrialState,
    reward: float | None = None,
    marks: dict[str, Any] | None = None,
) -> FrozenTrial:
    params, distributions = {}, {}
    for question, answer in candidate.decisions:
        name, distribution = _parameter(question)
        params[name], distributions[name] = answer, distribution
    trial = create_trial(state=state, value=reward, params=params, distributions=distributions, system_attrs=marks)
    trial.number = number
    return trial


def _parameter(question: Question) -> tuple[str, BaseDistribution]:
    first, last = question.legal[0], question.legal[-1]
    whole = last - first == len(question.legal) - 1 and _ascending(question.choice)
    return _named(f"{question.choice.name} {question.occurrence}", question.legal, whole)


@cache  # the same for all trials that ask it, or each would keep one
def _named(name: str, legal: tuple[int, ...], whole: bool) -> tuple[str, BaseDistribution]:
    """whole: for an integer from the first legal index to the last."""
    if whole:
        return name, IntDistribution(legal[0], legal[-1])
    return f"{name} of {','.join(map(str, legal))}", CategoricalDistribution(legal)


def _ascending(choice: Choice[Any]) -> bool:
    numbers = all(isinstance(option, int | float) and not isinstance(option, bool) for option in choice.options)
    return numbers and all(low < high for low, high in pairwise(choice.options))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's messages and its warnings that a sampler is experimental."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)
