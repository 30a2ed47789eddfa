"""Trainings on a pool that looks results up: what is written, in what order, and what a dead worker comes to."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from nas.data import load
from nas.errors import UserError
from nas.model.lines import Lines
from nas.model.training import Finished, Finishing, Task, strong
from nas.model.trainings import Step, Trainings, recorded
from nas.pool import Job, Pool, Serial, Training
from nas.reward import Result
from nas.space import Space

RANK, FULL = Task("rank", "small", 0), Task("full", "large", 0)
WORK = {"small": 1.0, "large": 3.0}


def halved(key: str, result: Result) -> float | None:
    """A reward of the small network alone."""
    return result.accuracy[-1] / 2 if key == "small" and result.accuracy else None


def trainings(lines: Lines, asked: list[int], result: Result | None = None) -> Trainings:
    """Of two tasks; asked: their numbers as they are done."""

    def train(job: Job) -> Result:
        asked.append(job.trial)
        return result or (Finished((0.5,), (1.0,)) if job.trial == 0 else Finished(weights=b"weights", seconds=2.0))

    def pool(_: Training) -> Pool:
        return Serial(train)

    data = load("digits")
    training = Finishing(Space(), data, strong(data, 1), "cpu", 1, None, tasks=(RANK, FULL))
    return Trainings(lines, training, pool, {"small": "trial 1", "large": "MLP"}, WORK, (2, 4.0), halved)


def run(path: Path, tasks: Sequence[Task], result: Result | None = None) -> tuple[list[Step], list[int]]:
    asked: list[int] = []
    with Lines(path) as lines:
        if lines.header is None:
            lines.begin({})
        with trainings(lines, asked, result) as every:
            return list(every.run(tasks)), asked


def test_the_longest_is_done_first_and_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    steps, asked = run(tmp_path / "lines", [RANK, FULL])
    assert asked == [1, 0]
    assert [(step.name, step.done, step.total, step.share) for step in steps] == [
        ("MLP", 1, 2, 0.75), ("trial 1", 2, 2, 1.0),
    ]  # fmt: skip
    assert run(tmp_path / "lines", [RANK, FULL]) == ([], [])


def test_a_line_has_what_a_training_gave_and_the_checksum_of_its_weights(tmp_path: Path) -> None:
    run(tmp_path / "lines", [RANK, FULL])
    with Lines(tmp_path / "lines") as lines:
        full, rank = recorded(lines)
        assert (rank.task, rank.accuracy, rank.loss, rank.weights) == (RANK, 0.5, 1.0, None)
        assert (full.task, full.accuracy, full.seconds, full.weights) == (FULL, None, 2.0, "1ad27358")
        assert (rank.reward, full.reward) == (0.25, None)
        assert trainings(lines, []).weights(FULL) == b"weights"


def test_a_failure_is_a_training_like_any_other(tmp_path: Path) -> None:
    (step,), _ = run(tmp_path / "lines", [RANK], Finished(error="out of memory: 9 GiB"))
    assert step.trained.error == "out of memory: 9 GiB"
    assert run(tmp_path / "lines", [RANK]) == ([], [])


def test_a_workers_failure_ends_the_finish_and_is_not_remembered(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trial 1, seed 0: found worker: it died 3 times, expected its worker to live"):
        run(tmp_path / "lines", [RANK], Result(error="worker: it died 3 times"))
    assert run(tmp_path / "lines", [RANK])[1] == [0]


def test_a_line_that_is_no_training_is_refused(tmp_path: Path) -> None:
    with Lines(tmp_path / "lines") as lines:
        lines.begin({})
        lines.append({"part": "rank", "colour": "blue"})
        with pytest.raises(UserError, match=r"found a line that is no training \(.*colour"):
            recorded(lines)
