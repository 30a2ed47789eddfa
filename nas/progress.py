"""What is seen of work under way: a search's live line, a count of images. Light to import, for the command line."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from nas.ledger import Trial
    from nas.space import Space

EVERY = 50  # trials between two looks for a collapse, which go through all of them


class Progress:
    """A live line on a terminal; elsewhere a line now and then. Each new best is printed for good."""

    def __init__(self, console: Console, old: Sequence[Trial], trials: int, space: Space | None = None) -> None:
        """old: what an earlier run left.  trials: those of the whole search.  space: for telling of a collapse."""
        self.console, self.trials, self.space = console, trials, space
        self.finished = list(old)
        self.rewards = [trial.reward for trial in old if trial.reward is not None]
        self.failed, self.before, self.warned = 0, len(old), False
        self.best = max(self.rewards, default=float("-inf"))
        self.begun = time.monotonic()
        self.printed = -10.0
        if old:
            console.print(f"going on after {len(old)} trials\n")
        self.status = console.status("starting workers ...") if console.is_terminal else None
        if self.status:
            self.status.start()

    @property
    def done(self) -> int:
        """Trials finished, by earlier runs too."""
        return len(self.finished)

    def add(self, trial: Trial) -> None:
        """Count a finished trial, and print it if it is the best so far or failed."""
        self.finished.append(trial)
        self.failed += trial.error is not None and trial.same_as is None
        if trial.reward is not None:
            self.rewards.append(trial.reward)
        if trial.reward is not None and trial.reward > self.best:
            self.best = trial.reward
            text = f"trial {trial.trial:>4}  best so far {trial.reward:.4f}  {shown(trial.network)}"
            whole = not self.console.is_terminal
            self.console.print(text if whole else text[: self.console.width], markup=False, style="bold green")
        if trial.error and trial.same_as is None:
            self.console.print(f"trial {trial.trial:>4}  failed: {trial.error}", markup=False, style="yellow")
        if self.done % EVERY == 0:
            self._warn()
        if self.status:
            self.status.update(self.line())
        elif time.monotonic() - self.printed > 10:
            self.printed = time.monotonic()
            self.console.print(self.line())

    def line(self) -> str:
        """Trials, best, running mean, health, children an hour, time left."""
        from nas.health import LAST, health

        passed = max(1e-9, time.monotonic() - self.begun)
        rate = (self.done - self.before) / passed
        last = self.rewards[-max(10, self.trials // 10) :]
        mean = sum(last) / len(last) if last else float("nan")
        failed = f", {self.failed} failed" if self.failed else ""
        return (
            f"{self.done} of {self.trials} trials{failed}, best {self.best:.4f}, running mean {mean:.4f}, "
            f"{health(self.finished[-LAST:])}, "
            f"{3600 * rate:,.0f} an hour, {duration((self.trials - self.done) / rate)} left"
        )

    def close(self) -> None:
        """Take the live line away."""
        if self.status:
            self.status.stop()

    def _warn(self) -> None:
        """Say once that the controller has collapsed, while something can be done about it."""
        from nas.health import collapse

        found = None if self.warned else collapse(self.finished, self.trials, self.space)
        if found:
            self.warned = True
            self.console.print(found.sentence, markup=False, style="yellow")


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
