"""The loop: ask, train, tell, in the order of a virtual clock, so that any number of workers makes the same search."""

from __future__ import annotations

import heapq
import inspect
import logging
import math
import re
import time
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from threadpoolctl import threadpool_limits

from nas import machine
from nas.check import ADDRESS
from nas.cluster import sweep
from nas.errors import UserError, where
from nas.ledger import Ledger, Trial
from nas.network import Network
from nas.pool import Job, Pool, RayPool, Serial, Training
from nas.recipe import RECIPES, Recipe
from nas.reward import LARGEST, MEASURED, OF_REWARD, UNBOUND, Bounds, Priced, Result, Reward, accuracy, rewarded
from nas.sources import sources
from nas.space import Candidate, Child, Limit, Space, shorten
from nas.stop import Rule, bar_of, continued

if TYPE_CHECKING:
    from nas.data import Data

THREADS = 1  # of the CPU, a child; other numbers give other sums, so it is part of the search

BATCH = 64  # images whose latency is measured at once, where only a reward or a bound asks for latency

BLOCK = 3e5  # what a block costs beside its multiply-adds, in multiply-adds an image; sets only who is told when

IF_ANY = ("latency", *UNBOUND.every)  # of a header: there only if set, as a rule to stop by is

NAME = re.compile(r"[\w -]{1,20}")  # of a figure
FIGURES = 20  # of a controller, at most


class Controller(Protocol):
    """What answers: made as `Reinforce(space, seed, length, **parameters)`, a function of its seed and its tells.

    It may have a third method, `figures(self, trial: int) -> Mapping[str, float]`: what it says of itself after the ask
    of that trial, as in {"entropy": 0.71}; like ask it changes nothing. The ledger keeps it.
    """

    def ask(self, trial: int, pending: Sequence[Candidate]) -> Candidate:
        """A candidate for this trial, drawn from (seed, trial); changes nothing. pending: asked and not yet told."""

    def tell(self, trial: int, candidate: Candidate, reward: float | None) -> None:
        """Learn from a trial, repeats too; the reward is None for a failed child, an estimate for a stopped one."""


def search(
    space: Space,
    controller: Callable[..., Controller],
    data: Data,
    out: Path | str,
    *,
    trials: int = 200,
    parameters: Mapping[str, Any] | None = None,
    recipe: Recipe = RECIPES["quick"],
    reward: Reward = accuracy,
    seed: int = 0,
    window: int | None = None,
    limits: Mapping[str, Limit] | None = None,
    child_timeout: float | None = None,
    stop: Rule | None = None,
    latency: int | None = None,
    max_params: int | None = None,
    max_madds: int | None = None,
    max_latency_ms: float | None = None,
    device: str = "auto",
    pool: Callable[[Training], Pool] = RayPool,
    unique: float = math.inf,
    seconds: float = math.inf,
    device_seconds: float = math.inf,
    patience: int = 1_000,
) -> Generator[Trial, None, str]:
    """Search `out` on, or begin there: yields each new trial once it is on the disk; its value is why it ended.

    parameters: of the controller.  window: trials under way at once; the pool's unless set.
    limits: by choice, how its options grow with the trials.  child_timeout: seconds.
    stop: when children stop before their last epoch, one of `nas.stop`; None for never.
    latency: measure each network's before it is trained, and its peak memory, in batches of so many images too; where a
    reward or a bound needs it and it is None, of 64.
    max_params, max_madds, max_latency_ms: a network that costs more is refused before it is trained. The space that the
    controller gets knows them: what networks cost without being measured is looked at before they are asked for.
    pool: `Serial`, or `RayPool`, with arguments of its own as in partial(RayPool, workers=4).
    It ends after `trials`, repeats included, `unique` networks, `seconds`, interruptions left out, `device_seconds` of
    training, or `patience` repeats or refused networks in a row, whichever comes first. What a controller stretches
    over the search stretches over the fewer of `trials` and `unique`, as they are at its first start.
    Raises UserError if `out` holds another search, or for whatever else a user can mend.
    """
    parameters = dict(parameters or {})
    bounds = Bounds(max_params, max_madds, max_latency_ms)
    space = space.on(data.images, limits, bounds)
    latency = batch_of(latency, reward, bounds)
    header = _header(space, controller, data, parameters, recipe, reward, seed, child_timeout, stop, latency, bounds)
    with Ledger(Path(out)) as ledger, ExitStack() as stack:
        ledger.check(dict.fromkeys(("stop", *IF_ANY)) | header | ({"window": window} if window else {}))
        _say_changes(ledger, header["sources"])
        for trial in ledger.trials:
            _check_code(space, trial, ledger.path)
        length = int(min(trials, unique)) if ledger.header is None else ledger.header["length"]
        stack.enter_context(threadpool_limits(1, "blas"))  # a sum over more threads is another sum, and slower here
        answering = _made(controller, space, seed, length, parameters)
        sweep()
        done = len(ledger.trials) >= trials and {trial.trial for trial in ledger.trials} >= set(range(trials))
        # where all trials are recorded no worker is needed
        training = Training(space, data, recipe, device, THREADS, child_timeout, latency)
        workers = (Serial if done else pool)(training)
        stack.callback(workers.close)
        if ledger.header is None:
            ledger.begin(header | {"window": window or workers.window, "length": length} | _origin(data, device))
        assert ledger.header is not None
        loop = Loop(
            space, answering, workers, ledger, reward,
            seed=seed, window=ledger.header["window"], epochs=recipe.epochs, stop=stop,
            trials=trials, unique=unique, seconds=seconds, device_seconds=device_seconds, patience=patience,
        )  # fmt: skip
        return (yield from loop.run())


def _made(
    controller: Callable[..., Controller], space: Space, seed: int, length: int, parameters: Mapping[str, Any]
) -> Controller:
    """The controller; raises UserError for whatever its constructor raises."""
    try:
        return controller(space, seed, length, **parameters)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(
            f"controller {_named(controller)}: found {type(error).__name__}: {error} {where(error)}, expected a class "
            "made as Mine(space, seed, length, ...)"
        ) from error


def _header(
    space: Space,
    controller: Callable[..., Controller],
    data: Data,
    parameters: Mapping[str, Any],
    recipe: Recipe,
    reward: Reward,
    seed: int,
    child_timeout: float | None,
    stop: Rule | None,
    latency: int | None,
    bounds: Bounds,
) -> dict[str, Any]:
    """What a search is a function of, as its ledger's first line has it."""
    set_or_not = {"stop": stop and _named(stop), "latency": latency, **bounds.given}
    return {
        "space": repr(space),
        "choices": {name: choice.written for name, choice in space.choices.items()},
        "limits": {name: list(limit) for name, limit in space.limits.items()},
        "controller": _named(controller),
        "parameters": {name: _plain(value, name) for name, value in _bound(controller, parameters).items()},
        "data": data.name,
        "training": len(data.train),
        "validation": len(data.valid),
        "fingerprint": data.fingerprint,
        "recipe": asdict(recipe),
        "reward": _named(reward),
        "seed": seed,
        "threads": THREADS,
        "child_timeout": child_timeout,
        **{name: value for name, value in set_or_not.items() if value is not None},
        "sources": sources([space, *space.held(), controller, *parameters.values(), reward, stop]),
    }


def batch_of(latency: int | None, reward: Reward, bounds: Bounds) -> int | None:
    """Images in the batch whose latency is measured; None where nothing asks for latency or memory."""
    if latency is not None and latency < 1:
        raise UserError(f"latency: found batches of {latency} images, expected 1 or more; leave it out to measure none")
    needed = bounds.max_latency_ms is not None or (isinstance(reward, Priced) and reward.cost in MEASURED)
    return latency or (BATCH if needed else None)


def _origin(data: Data, device: str) -> dict[str, Any]:
    """How the data were loaded, for who loads them again, and what this machine is; nothing is refused for it."""
    gpu = None if device == "cpu" else machine.gpu()
    here = {"code": machine.code(), "versions": machine.versions(), "cpu": machine.cpu(), "gpu": gpu}
    return here | {"loaded": data.loaded and dict(data.loaded)}


def _named(thing: Any) -> str:
    """The name of a class or function; with its module's where it is the user's, for two files may share a name."""
    module = str(getattr(thing, "__module__", ""))
    name = str(getattr(thing, "__qualname__", None) or _plain(thing, type(thing).__name__))
    return name if module.partition(".")[0] in ("nas", "controllers") else f"{module}.{name}"


def _bound(controller: Callable[..., Controller], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """All parameters beyond space, seed and length, defaults too: they are as much a part of the search."""
    try:
        bound = inspect.signature(controller).bind(None, 0, 0, **parameters)
    except TypeError as error:
        raise UserError(
            f"controller {_named(controller)}: found {error}, expected a class made as Mine(space, seed, length, ...)"
        ) from None
    bound.apply_defaults()
    return dict(list(bound.arguments.items())[3:])


def _plain(value: object, what: str) -> object:
    """A value as the header has it; raises UserError for one that is not written alike in every process."""
    if value is None or isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    written = repr(value)
    if ADDRESS.search(written) or written != repr(value):
        raise UserError(
            f"{what}: found {shorten(written)}, expected something that is written alike in every process, so that a "
            "search can go on in another; make its class a dataclass, or give it a __repr__"
        )
    return written


class _Told(NamedTuple):
    """What is kept of a trial that trained a network once it is told: all that a repeat needs."""

    trial: int
    reward: float | None
    error: str | None


class Loop:
    """One search, new or continued; `run` yields its trials as they finish.

    Trial t is asked when one of `window` virtual workers is free, after all trials that have virtually ended by then
    were told, and before any other is. How long a trial lasts there follows from its network alone, so the sequence of
    asks and tells is a function of space, controller, seed, window and results, and of no machine.
    """

    def __init__(
        self,
        space: Space,
        controller: Controller,
        pool: Pool,
        ledger: Ledger,
        reward: Reward,
        *,
        seed: int,
        window: int,
        trials: int,
        epochs: int = 1,
        stop: Rule | None = None,
        unique: float = math.inf,
        seconds: float = math.inf,
        device_seconds: float = math.inf,
        patience: int = 1_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.space, self.controller, self.pool, self.ledger, self.reward = space, controller, pool, ledger, reward
        self.seed, self.window, self.epochs, self.stop = seed, window, epochs, stop
        self.trials, self.unique, self.seconds, self.device_seconds = trials, unique, seconds, device_seconds
        self.patience, self.clock = patience, clock
        self.recorded = {trial.trial: trial for trial in ledger.trials}
        self.latest = max(self.recorded, default=-1)
        self.finished: dict[int, Trial] = {}  # by number, those that are not told yet or were at this moment
        self.pending: dict[int, Candidate] = {}  # asked and not told
        self.figures: dict[int, Mapping[str, float] | None] = {}  # what the controller said of itself at its asks
        self.results: list[Result] = []  # for the rule: of all networks told that did not fail, in the order told
        self.highest = -math.inf  # reward told
        self.known: dict[int, tuple[int, float]] = {}  # how many of these, and the highest, when a child was asked
        self.told: dict[str, _Told] = {}  # by the key of each network told
        self.under_way: dict[str, tuple[float, int]] = {}  # key -> virtual end, trial
        self.same: dict[int, int] = {}  # repeats of networks under way -> the trial that trains it
        self.ends: list[tuple[float, int]] = []  # heap of virtual ends of the pending trials
        self.now = 0.0  # on the virtual clock
        self.asked = self.trained = self.repeats = 0  # trials, networks trained, repeats in a row
        self.refused = 0  # new networks in a row
        self.spent = 0.0  # device seconds of told trials
        self.begun = clock() - max((trial.at for trial in ledger.trials), default=0.0)

    def run(self) -> Generator[Trial, None, str]:
        """Search until a budget ends or all is repeats; yields each trial once it is on the disk, says why it ended."""
        while True:
            while len(self.ends) < self.window and not self.why_done():
                yield from self._ask()
            if not self.ends:
                return self.why_done()
            self.now, _ = self.ends[0]
            while self.ends and self.ends[0][0] <= self.now:
                _, trial = heapq.heappop(self.ends)
                yield from self._finish(trial)
                self._tell(trial)
            self.finished = {trial: done for trial, done in self.finished.items() if trial in self.pending}

    def why_done(self) -> str:  # noqa: PLR0911 - a line a budget
        """Which budget has ended, as a sentence's end; empty while none has."""
        if self.asked >= self.trials:
            return f"all {self.trials} trials are done"
        if self.trained >= self.unique:
            return f"{self.unique:g} networks are trained"
        if self.repeats >= self.patience:
            return f"the last {self.repeats} trials were all repeats: the controller or the space has nothing new"
        if self.refused >= self.patience:
            return f"the last {self.refused} networks were all refused: what is asked of them is too much for the space"
        if self.clock() - self.begun >= self.seconds:
            return f"{self.seconds / 3600:g} hours are over"
        if self.spent >= self.device_seconds:
            return f"{self.device_seconds / 3600:g} device hours are spent"
        return ""

    def _ask(self) -> Iterator[Trial]:
        trial = self.asked
        candidate = self._candidate(trial)
        self.asked += 1
        key = candidate.key
        self.pending[trial] = candidate
        if key in self.told:
            self.repeats += 1
            yield from self._record(self._repeat(trial, self.told[key]))
            self._tell(trial)
        elif key in self.under_way:
            self.repeats += 1
            end, self.same[trial] = self.under_way[key]
            heapq.heappush(self.ends, (end, trial))
        else:
            self.repeats = 0
            yield from self._begin(trial, candidate)

    def _begin(self, trial: int, candidate: Candidate) -> Iterator[Trial]:
        """Send a new network to the pool; one that cannot be built, or costs too much, is a failed trial at once."""
        costs, refusal = self.space.priced(candidate.network)
        if refusal:
            yield from self._record(self._trial(trial, replace(costs, error=f"refused: {refusal}")))
            self._tell(trial)
            return
        end = self.now + self._duration(candidate.network, costs)
        self.trained += 1
        self.under_way[candidate.key] = (end, trial)
        heapq.heappush(self.ends, (end, trial))
        if trial in self.recorded:
            self.finished[trial] = self.recorded[trial]
        else:
            seed, work = child_seed(self.seed, candidate.key), end - self.now
            self.pool.submit(Job(trial, candidate.answers, seed, work, self._bar(trial)))

    def _bar(self, trial: int) -> tuple[float, ...]:
        """The bar of a child asked now; how much was told by now is kept, for its reward if it is stopped."""
        if self.stop is None or not self.results:
            return ()
        self.known[trial] = len(self.results), self.highest
        return bar_of(self.stop, self.results)

    def _candidate(self, trial: int) -> Candidate:
        """What the ledger has for this trial, else what the controller answers."""
        if trial in self.recorded:
            return replayed(self.space, self.recorded[trial], self.ledger.path)
        candidate = self._asked(trial)
        self.figures[trial] = figures_of(self.controller, trial)
        return candidate

    def _asked(self, trial: int) -> Candidate:
        try:
            candidate = self.controller.ask(trial, list(self.pending.values()))
            if isinstance(candidate, Candidate) and all(type(answer) is int for answer in candidate.answers):
                return candidate
            found = shorten(repr(candidate))
        except UserError:
            raise
        except Exception as error:
            found = f"{type(error).__name__}: {error} {where(error)}"
        raise UserError(
            f"{type(self.controller).__name__}.ask: found {found}, expected a candidate, as space.walk(answer, trial) "
            "gives"
        )

    def _finish(self, trial: int) -> Iterator[Trial]:
        """Wait until this trial's result is there, recording whatever arrives meanwhile."""
        if trial in self.same:
            yield from self._record(self._repeat(trial, self.finished[self.same.pop(trial)]))
        if trial not in self.finished and self.asked <= self.latest and not self.why_done():
            logging.getLogger("nas").warning(
                "%s: found no line of trial %d, but one of trial %d, which was asked after it had ended; expected both;"
                " its line was lost, and it is trained again", self.ledger.path, trial, self.latest,
            )  # fmt: skip
        while trial not in self.finished:
            arrived, result = self.pool.wait()
            yield from self._record(self._trial(arrived, result))

    def _tell(self, trial: int) -> None:
        candidate, done = self.pending.pop(trial), self.finished[trial]
        self.known.pop(trial, None)
        try:
            self.controller.tell(trial, candidate, done.reward)
        except UserError:
            raise
        except Exception as error:
            raise UserError(
                f"{type(self.controller).__name__}.tell: found {type(error).__name__}: {error} {where(error)}, "
                "expected it to learn from any reward, None too; mend it, and the same command goes on"
            ) from error
        if done.same_as is None:
            self.refused = 0 if done.trained else self.refused + 1
            if self.under_way.pop(candidate.key, None) and not done.trained:
                self.trained -= 1  # a worker refused it
            self.spent += done.result.seconds if done.result else 0.0
            if self.stop is not None and done.result and done.reward is not None:
                self.results.append(done.result)
                self.highest = max(self.highest, done.reward)
            if not (done.result and done.result.of_worker):
                self.told[candidate.key] = _Told(trial, done.reward, done.error)

    def _trial(self, number: int, result: Result) -> Trial:
        value = None
        if result.error is None:
            value = self._estimated(number, result) if result.bar else rewarded(self.reward, result)
            if not abs(value) <= LARGEST:
                said = f"{OF_REWARD} is {value}, expected a number within ±{LARGEST:g}"
                value, result = None, replace(result, error=said)
        return self._line(number, value, result.error, result)

    def _estimated(self, number: int, result: Result) -> float:
        """The reward of a stopped child, from what was told when it was asked; at most the highest of then."""
        count, highest = self.known[number]
        return min(rewarded(self.reward, continued(result, self.results[:count])), highest)

    def _repeat(self, number: int, first: Trial | _Told) -> Trial:
        return self._line(number, first.reward, first.error, same_as=first.trial)

    def _line(
        self,
        number: int,
        reward: float | None,
        error: str | None,
        result: Result | None = None,
        same_as: int | None = None,
    ) -> Trial:
        candidate, figures = self.pending[number], self.figures.pop(number, None)
        written = _written(candidate.network)
        return Trial(number, candidate.answers, candidate.key, written, reward, result, error, same_as, figures=figures)

    def _record(self, trial: Trial) -> Iterator[Trial]:
        if trial.trial in self.recorded:
            self.finished[trial.trial] = self.recorded[trial.trial]
            return
        trial = replace(trial, at=round(self.clock() - self.begun, 3))
        self.finished[trial.trial] = trial
        self.ledger.append(trial)
        yield trial

    def _duration(self, network: Child, costs: Result) -> float:
        """Virtual time: a constant a block and each multiply-add, times epochs; one unit where nothing is known."""
        if isinstance(network, Network) and costs.madds is not None:
            return self.epochs * (BLOCK * len(network.blocks) + costs.madds)
        return 1.0


def replayed(space: Space, trial: Trial, path: Path) -> Candidate:
    """The candidate of a recorded trial; raises UserError if its answers lead to another network now.

    path: of its ledger.
    """
    try:
        candidate = space.replay(trial.answers, trial.trial)
    except UserError as error:
        why, _, _ = str(error).partition("; ")  # what follows is advice to controllers
        found = f"found network {trial.key} ({shorten(trial.network)}), but its answers lead to none now: {why}"
        raise _changed(trial, path, found) from None
    if candidate.key != trial.key:
        now = _written(candidate.network)
        start = max(0, _alike(trial.network, now) - 40)  # a little before the first character that differs
        then, now = (f"{'… ' * bool(start)}{shorten(text[start:], 120)}" for text in (trial.network, now))
        found = f"found network {trial.key} ({then}), expected {candidate.key} ({now}) from its answers"
        raise _changed(trial, path, found)
    return candidate


def _say_changes(ledger: Ledger, now: Mapping[str, str]) -> None:
    """Name the user's code that was changed since the search began; an older ledger does not know it."""
    then = (ledger.header or {}).get("sources") or now
    changed = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    if changed:
        logging.getLogger("nas").warning(
            "%s: found other code of %s%s than this search began with; what is recorded stays as the old code made it;"
            " to search with the new code alone, choose another --out",
            ledger.path.parent, ", ".join(changed[:3]), " …" * (len(changed) > 3),
        )  # fmt: skip


def _check_code(space: Space, trial: Trial, path: Path) -> None:
    """Raise UserError if a recorded trial's answers lead to another network now, or its blocks to other layers."""
    network, result = replayed(space, trial, path).network, trial.result
    if result is None or result.params is None or not isinstance(network, Network):
        return
    costs = network.costs(space.images)
    if costs and costs != (result.params, result.madds):
        raise _changed(
            trial,
            path,
            f"found network {trial.key} ({shorten(trial.network)}) with {result.params:,} parameters and "
            f"{result.madds:,} multiply-adds, expected {costs.params:,} and {costs.madds:,}",
        )


def _changed(trial: Trial, path: Path, found: str) -> UserError:
    return UserError(
        f"{path}, trial {trial.trial}: {found}; the space's code has changed since: restore it, or choose another --out"
    )


def _alike(one: str, other: str) -> int:
    """How many characters they begin with alike."""
    return next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), 0)


def _written(network: Child) -> str:
    return str(getattr(network, "written", repr(network)))


def figures_of(controller: Controller, trial: int) -> dict[str, float] | None:
    """What a controller says of itself after this trial's ask, to four digits; None if it has no method `figures`.

    Raises UserError if it gives anything but short names with finite numbers.
    """
    figures = getattr(controller, "figures", None)
    if not callable(figures):
        return None
    try:
        said = figures(trial)
        if _are_figures(said):
            return {name: round(float(value), 4) for name, value in said.items()}
        found = repr(said)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        found = f"{type(error).__name__}: {error} {where(error)}"
    raise UserError(
        f"{type(controller).__name__}.figures: found {shorten(found)}, expected up to {FIGURES} names of up to 20 "
        "letters with finite numbers, as in {'entropy': 0.71}; mend it, or leave the method out"
    )


def _are_figures(said: object) -> bool:
    return (
        isinstance(said, Mapping)
        and len(said) <= FIGURES
        and all(
            isinstance(name, str) and NAME.fullmatch(name) and isinstance(value, Real) and math.isfinite(value)
            for name, value in said.items()
        )
    )


def child_seed(seed: int, key: str) -> int:
    """The seed of a child's training, from the search's seed and the network's key."""
    return zlib.crc32(f"{seed} {key}".encode())
