"""The trainings of a finish: what the ledger has of them, and a pool that does the others."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from nas.errors import UserError
from nas.model.contest import Trained, as_trained
from nas.model.lines import FILE, Lines
from nas.model.training import Finished, Finishing, Task
from nas.pool import Job, Pool, Training
from nas.reward import Result
from nas.whole import whole_file


class Step(NamedTuple):
    """A training that has just finished, and how much is done."""

    trained: Trained
    name: str  # of its network
    done: int  # trainings, those of earlier runs too
    total: int
    share: float  # of all work, as it is predicted


class Trainings:
    """`run` does what is not done yet; `done` has it all. The pool is made when it is first needed.

    work: by key, of one training, in any unit.  total: how many trainings there will be, and their work.
    rewarded: by key and result the search's reward, or None.
    Raises UserError if the ledger's lines are no trainings, or if a worker fails.
    """

    def __init__(
        self,
        lines: Lines,
        training: Finishing,
        pool: Callable[[Training], Pool],
        names: Mapping[str, str],
        work: Mapping[str, float],
        total: tuple[int, float],
        rewarded: Callable[[str, Result], float | None],
    ) -> None:
        self.lines, self.training, self.names, self.work, self.total = lines, training, names, work, total
        self.rewarded = rewarded
        self.folder = lines.path.parent
        self.done = {trained.task: trained for trained in recorded(lines)}
        self._make = pool
        self._pool: Pool | None = None

    def run(self, tasks: Sequence[Task]) -> Iterator[Step]:
        """Do these, the longest first, so that none is left alone at the end."""
        waiting = [task for task in tasks if task not in self.done]
        if not waiting:
            return
        if self._pool is None:
            self._pool = self._make(self.training)
        for task in sorted(waiting, key=lambda task: -self.work[task.key]):
            self._pool.submit(Job(self.training.tasks.index(task), (), 0, self.work[task.key]))
        for _ in waiting:
            number, result = self._pool.wait()
            yield self._finished(self.training.tasks[number], result)

    def weights(self, task: Task) -> bytes:
        """The weights of a training in full; raises UserError if they are gone, or others."""
        return weights(self.folder, task, self.done[task].weights)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.close()

    def _finished(self, task: Task, result: Result) -> Step:
        if result.of_worker:
            raise UserError(
                f"{self.names[task.key]}, seed {task.seed}: found {result.error}, expected its worker to live; mend "
                "that, and the same command goes on"
            )
        trained = _trained(task, result, self.rewarded(task.key, result))
        if isinstance(result, Finished) and result.weights:
            self._keep(task, result.weights)
        self.lines.append(vars(trained))
        self.done[task] = trained
        return Step(trained, self.names[task.key], len(self.done), self.total[0], self._share())

    def _share(self) -> float:
        return min(1.0, sum(self.work.get(task.key, 0.0) for task in self.done) / self.total[1])

    def _keep(self, task: Task, weights: bytes) -> None:
        """Bring weights to the disk, before the line that says so."""
        path = weights_file(self.folder, task)
        with (
            whole_file(path, "room for the weights; make room, and the same command goes on") as unfinished,
            unfinished.open("wb") as file,
        ):
            file.write(weights)
            file.flush()
            os.fsync(file.fileno())


def weights_file(folder: Path, task: Task) -> Path:
    """Where the weights of a training lie: a name that any network's key gives."""
    key = hashlib.blake2b(task.key.encode(), digest_size=8).hexdigest()
    return folder / "weights" / f"{key}-{task.seed:d}.safetensors"


def weights(folder: Path, task: Task, checksum: str | None) -> bytes:
    """What `weights_file` has; raises UserError if it is gone, or has another checksum."""
    path = weights_file(folder, task)
    try:
        found = path.read_bytes()
        wrong = "" if _checksum(found) == checksum else "other weights"
    except OSError as error:
        wrong = str(error.strerror)
    if wrong:
        raise UserError(
            f"{path}: found {wrong}, expected the weights that were trained; remove {folder / FILE}, and the same "
            "command trains anew"
        )
    return found


def recorded(lines: Lines) -> list[Trained]:
    """The trainings that a ledger has; raises UserError for a line that is none."""
    try:
        return [as_trained(record) for record in lines.records if "outcome" not in record]
    except TypeError as error:
        raise UserError(
            f"{lines.path}: found a line that is no training ({error}), expected one of this version; remove "
            f"{lines.path} to begin anew"
        ) from None


def _trained(task: Task, result: Result, reward: float | None) -> Trained:
    weights, rate = (result.weights, result.rate) if isinstance(result, Finished) else (b"", None)
    return Trained(
        *task,
        accuracy=result.accuracy[-1] if result.accuracy else None,
        loss=result.loss[-1] if result.loss else None,
        params=result.params, madds=result.madds, seconds=result.seconds, memory=result.memory,
        precision=result.precision, error=result.error, weights=_checksum(weights) if weights else None,
        reward=reward, rate=rate,
    )  # fmt: skip


def _checksum(weights: bytes) -> str:
    return f"{zlib.crc32(weights):08x}"
