"""What is seen of work under way: a search's live line, a count of images. Light to import, for the command line."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.console import Console

from nas.errors import plain

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from nas.ledger import Trial
    from nas.space import Space

One = TypeVar("One")

EVERY = 50  # trials between two looks for what is wrong; later a fiftieth of all, for a look goes through all
FEW = 3  # networks trained in this run, before which no time left is told


class Terminal(Console):
    """A console that shows text and takes no commands from it: names and errors come from users' files."""

    def print(self, *things: Any, **options: Any) -> None:
        """Print, with control characters of texts written out."""
        super().print(*(plain(thing) if isinstance(thing, str) else thing for thing in things), **options)


class Live(ABC, Generic[One]):
    """Shows things as they come, on a terminal in one live line."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.status = console.status("starting workers ...") if console.is_terminal else None
        if self.status:
            self.status.start()

    @abstractmethod
    def add(self, one: One) -> None:
        """Show what has come."""

    @abstractmethod
    def so_far(self) -> str:
        """How much has come, as in "7 trials"."""

    def close(self) -> None:
        """Take the live line away."""
        if self.status:
            self.status.stop()


class Progress(Live["Trial"]):
    """A live line on a terminal; elsewhere a line now and then. Each new best is printed for good."""

    def __init__(
        self, console: Console, old: Sequence[Trial], trials: int, space: Space | None = None, unique: float = math.inf
    ) -> None:
        """old: what an earlier run left.  trials, unique: the search ends after so many trials, or networks.

        space: for the advantage over random sampling, and for telling of a collapse.
        """
        self.trials, self.space, self.unique = trials, space, unique
        self.finished: list[Trial] = []
        self.rewards: dict[int, float] = {}  # by trial
        self.latest = 0  # the highest number of a trial
        self.failed = self.networks = self.scored = self.stopped = self.refused = 0  # networks: failed ones too
        self.drawn: npt.NDArray[np.float64] | None = None  # rewards of random networks
        self.due = 0  # trained networks that the next estimate of these waits for: each time twice as many
        self.look = EVERY  # trials that the next look for what is wrong waits for
        self.said: set[str] = set()  # verdicts, in short
        for trial in old:
            self._count(trial)
        self.before = self.done, self.networks
        self.best = max(self.rewards.values(), default=float("-inf"))
        self.first = math.nan  # when the first network of this run was trained: what came before is start-up,
        self.quickest = math.inf  # all but so many seconds
        self.printed = -10.0
        super().__init__(console)

    @property
    def done(self) -> int:
        """Trials finished, by earlier runs too."""
        return len(self.finished)

    @property
    def length(self) -> int:
        """Trials that the search is to have, as far as is known."""
        return int(min(self.trials, self.unique))

    def add(self, trial: Trial) -> None:
        """Count a finished trial, and print it if it is the best so far or failed."""
        if self.done == self.before[0] > 0:  # only now is it sure that the search is not refused
            self.console.print(f"going on after {self.done} trials\n")
        self._count(trial)
        if trial.trained:
            self.first = time.monotonic() if math.isnan(self.first) else self.first
            self.quickest = min(self.quickest, trial.result.seconds if trial.result else 0.0)
        if trial.reward is not None and trial.reward > self.best:
            self.best = trial.reward
            text = f"trial {trial.trial:>4}  best so far {trial.reward:.4f}  {shown(trial.network)}"
            whole = not self.console.is_terminal
            self.console.print(text if whole else text[: self.console.width], markup=False, style="bold green")
        if trial.error and trial.same_as is None and not (trial.refused and self.refused > 1):  # many may be
            said = f"trial {trial.trial:>4}  {'' if trial.refused else 'failed: '}{trial.error}"
            self.console.print(said, markup=False, style="yellow")
        self._look()
        if self.status:
            self.status.update(self.line())
        elif time.monotonic() - self.printed > 10:
            self.printed = time.monotonic()
            self.console.print(self.line())

    def line(self) -> str:
        """Trials, or networks where these end the search; best, running mean, health, how many an hour, time left."""
        from nas.health import LAST, health

        passed = max(1e-9, time.monotonic() - self.first + self.quickest)
        of_trials = self.trials - self.done, self.done - self.before[0]
        of_networks = self.unique - self.networks, self.networks - self.before[1]
        known = of_networks[1] >= FEW
        seconds = min(passed * left / new if known else math.inf for left, new in (of_trials, of_networks))
        done, what, new = self.done, "trials", of_trials[1]
        if self.unique < self.trials:
            done, what, new = self.networks, "networks", of_networks[1]
        good = f"best {self.best:.4f}, {self._mean()}" if self.rewards else "no reward yet"
        failed = f", {self.failed} failed" if self.failed else ""
        refused = f", {self.refused} refused" if self.refused else ""
        stopped = f", {self.stopped} stopped" if self.stopped else ""
        return (
            f"{done} of {self.length} {what}{failed}{refused}{stopped}, {good}, "
            f"{health(self.finished[-LAST:])}, {self._advantage()}"
            f"{f'{3600 * new / passed:,.0f}' if known else '?'} an hour, {duration(seconds)} left"
        )

    def so_far(self) -> str:
        """Trials finished, by earlier runs too."""
        return f"{self.done} trials"

    def _count(self, trial: Trial) -> None:
        self.finished.append(replace(trial, network="", result=None))  # all that health and the estimate look at
        self.networks += trial.trained
        self.scored += trial.scored
        self.stopped += trial.stopped
        self.latest = max(self.latest, trial.trial)
        self.refused += trial.refused
        self.failed += trial.trained and not trial.scored
        if trial.reward is not None:
            self.rewards[trial.trial] = trial.reward

    def _mean(self) -> str:
        """Where the running mean in a picture of the same trials ends; failures among its last ones are left out."""
        from nas.plot import window_of

        window = range(self.latest + 1 - window_of(self.latest + 1), self.latest + 1)
        last = [self.rewards[number] for number in window if number in self.rewards]
        return f"running mean {sum(last) / len(last):.4f}" if last else f"no reward in the last {len(window)} trials"

    def _look(self) -> None:
        """Now and then estimate random sampling, and say once what is wrong, while something can be done about it."""
        from nas.health import verdict
        from nas.summary import FORETOLD, random_rewards

        if self.space and self.scored >= max(self.due, FORETOLD):
            self.due = 2 * self.scored
            self.drawn = random_rewards(self.space, self.finished)
        if self.done < self.look:
            return
        self.look = self.done + max(EVERY, self.done // EVERY)
        wrong = verdict(self.finished, self.length, self.space, self.drawn)
        if wrong and wrong.short not in self.said:
            self.said.add(wrong.short)
            self.console.print(wrong.sentence, markup=False, style="yellow")

    def _advantage(self) -> str:
        from nas.summary import expected_largest

        if self.drawn is None:
            return ""
        return f"advantage {self.best - expected_largest(self.drawn, self.scored):+.3f}, "


class Counting:
    """A live count of images decoded, shown only where there is something to decode."""

    def __init__(self, console: Console, what: str) -> None:
        self.what = what
        self.status = console.status(what)

    def __enter__(self) -> Counting:
        return self

    def __call__(self, done: int, total: int) -> None:
        self.status.update(f"{self.what} {done:,} of {total:,}")
        self.status.start()

    def __exit__(self, *_: object) -> None:
        self.status.stop()


def shown(written: str) -> str:
    """A network in one line."""
    from nas.space import shorten
    from nas.summary import described

    return shorten("; ".join(described(written)))


def duration(seconds: float) -> str:
    """Seconds for people: "9.5 s", "42 min", "2.0 h"."""
    if not math.isfinite(seconds):
        return "?"
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
