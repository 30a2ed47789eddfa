"""A search in TensorBoard: `tensorboard --logdir FOLDER/tensorboard`.

The run "search" has the reward, the best so far, repeats, spread, failures, the controller's figures of other names
and, of each child that was trained, its costs, all by trial. Each child that was trained is a run of its own, "trial
0012", with accuracy and loss by epoch. All of it is a view of the ledger: it is written anew at each start, so that
nothing is there twice however often a search was stopped, and a TensorBoard that is open is told to forget what it had.
Trials are written in the order of their numbers, as TensorBoard joins points in the order in which they come.

The files are written with tensorboardX, which Ray Tune brings and writes its own with; to look at them takes the
`tensorboard` package.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nas.beside.frame import costs
from nas.errors import UserError
from nas.health import LAST, health
from nas.ledger import Trial, read

if TYPE_CHECKING:
    from tensorboardX import SummaryWriter

FOLDER = "tensorboard"  # in the search's
FILES = "events.out.tfevents.*"


class Board:
    """Writes the trials of one search as they finish; what an earlier run wrote is written anew."""

    def __init__(self, folder: Path, old: Iterable[Trial] = ()) -> None:
        """folder: to write to; raises UserError if it cannot be.  old: trials that have finished already."""
        self.folder = folder
        self.waiting: dict[int, Trial] = {}  # finished before an earlier one
        self.ordered: list[Trial] = []  # the last that were written, for what is over the last hundred
        self.next, self.best = 0, -math.inf
        self._clear()
        self.search = self._writer("search")
        for trial in sorted(old, key=lambda trial: trial.trial):
            self.add(trial)

    def add(self, trial: Trial) -> None:
        """Write a finished trial, and those that waited for it."""
        self.waiting[trial.trial] = trial
        while self.next in self.waiting:
            self._write(self.waiting.pop(self.next))
            self.next += 1

    def close(self) -> None:
        """Write what waits for trials that never finished, and end."""
        for number in sorted(self.waiting):
            self._write(self.waiting.pop(number))
        self.search.close()

    def _write(self, trial: Trial) -> None:
        self.ordered = [*self.ordered[-LAST:], trial]
        if trial.reward is not None:
            self.best = max(self.best, trial.reward)
        for name, value in self._points(trial):
            if math.isfinite(value):
                self.search.add_scalar(name, value, trial.trial)
        self.search.flush()
        if trial.result and trial.result.accuracy:
            child = self._writer(f"trial {trial.trial:04}")
            for name, curve in (("accuracy", trial.result.accuracy), ("loss", trial.result.loss)):
                for epoch, value in enumerate(curve, 1):
                    child.add_scalar(f"child/{name}", value, epoch)
            child.close()

    def _points(self, trial: Trial) -> Generator[tuple[str, float]]:
        """Names and values at a trial; NaN for what is not there."""
        yield "search/reward", math.nan if trial.reward is None else trial.reward
        yield "search/best_so_far", self.best
        state = health(self.ordered)
        own = {"repeats": state.repeats, "spread": state.spread, "failed": float(trial.error is not None)}
        yield from ((f"health/{name}", value) for name, value in {**(trial.figures or {}), **own}.items())
        for name, cost in costs(trial.result).items():
            if isinstance(cost, int | float):
                yield f"cost/{name}", cost

    def _writer(self, run: str) -> SummaryWriter:
        from tensorboardX import SummaryWriter

        return SummaryWriter(str(self.folder / run), purge_step=0)  # what an open TensorBoard has from step 0 on goes

    def _clear(self) -> None:
        """Remove what an earlier run wrote, and nothing else."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for run in ("search", "trial [0-9]*"):
                for file in self.folder.glob(f"{run}/{FILES}"):
                    file.unlink()
        except OSError as error:
            raise UserError(
                f"{self.folder}: found {error.strerror}, expected a folder to write to; name another"
            ) from None


def export(folder: Path, out: Path | None = None) -> Path:
    """Write a search, running or finished, for TensorBoard; gives the folder written to, FOLDER/tensorboard unless out.

    Raises UserError if there is no search.
    """
    _, trials = read(folder)
    board = Board(out or folder / FOLDER, trials)
    board.close()
    return board.folder


def boarded(coming: Generator[Trial, None, str], folder: Path, old: Iterable[Trial]) -> Generator[Trial, None, str]:
    """The trials of a search as they come, each written on the way; old: those that were there before."""
    board: Board | None = None  # only once the search is known to go on, for one that is refused leaves nothing
    try:
        while True:
            try:
                trial = next(coming)
            except StopIteration as end:
                board = board or Board(folder / FOLDER, old)
                return str(end.value)
            board = board or Board(folder / FOLDER, old)
            board.add(trial)
            yield trial
    finally:
        coming.close()
        if board:
            board.close()
