"""What TensorBoard's own reader finds of a search."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from nas.beside.tensorboard import Board, boarded, export
from nas.errors import UserError
from nas.ledger import Trial, begun, read
from nas.reward import Result
from tests.nas.beside.conftest import begin


def points(folder: Path, name: str) -> list[tuple[int, float]]:
    """The points of a curve of one run, (step, value), in the order in which they come."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def trial(number: int, reward: float | None, **more: object) -> Trial:
    return Trial(number, (), f"k{number}", "n", reward, Result((0.1, 0.2), (2.0, 1.0)), **more)  # type: ignore[arg-type]


def test_a_finished_ledger_has_curves_of_the_search_and_of_each_child(folder: Path, tmp_path: Path) -> None:
    out = export(folder, tmp_path / "board")
    rewards = {t.trial: t.reward for t in read(folder)[1] if t.reward is not None}
    assert points(out / "search", "search/reward") == [(n, round(rewards[n], 4)) for n in sorted(rewards)]
    assert points(out / "search", "health/failed")[2] == (2, 1.0)
    assert points(out / "search", "health/entropy") == [(8, 0.5)]
    for name, value in (("madds", 2000), ("latency_ms", 1.5), ("batch_latency_ms", 64.0), ("peak_memory", 4096)):
        assert (8, value) in points(out / "search", f"cost/{name}")
    assert points(out / "trial 0000", "child/accuracy") == [(1, 0.3), (2, 0.5)]
    assert sorted(path.name for path in out.iterdir()) == [
        "search",
        *(f"trial {n:04}" for n in (0, 1, 3, 4, 5, 6, 7, 8)),
    ]


def test_a_figure_named_as_the_searchs_own_is_not_drawn_into_it(boasted: Path, tmp_path: Path) -> None:
    out = export(boasted, tmp_path / "board")
    assert points(out / "search", "health/repeats") == [(number, 0) for number in range(4)]
    assert points(out / "search", "health/reward") == [(number, 9) for number in range(4)]


def test_trials_are_written_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    board = Board(tmp_path)
    for number, reward in ((1, 0.5), (0, 0.25), (3, 0.125), (2, None)):
        board.add(trial(number, reward))
    board.close()
    assert points(tmp_path / "search", "search/reward") == [(0, 0.25), (1, 0.5), (3, 0.125)]
    assert points(tmp_path / "search", "search/best_so_far") == [(0, 0.25), (1, 0.5), (2, 0.5), (3, 0.5)]


def test_what_waits_for_a_trial_that_never_came_is_written_at_the_end(tmp_path: Path) -> None:
    board = Board(tmp_path)
    board.add(trial(1, 0.5))
    board.close()
    assert points(tmp_path / "search", "search/reward") == [(1, 0.5)]


def coming(trials: list[Trial]) -> Generator[Trial, None, str]:
    yield from trials
    return "over"


def test_a_resumed_search_goes_on_without_doubled_points(tmp_path: Path) -> None:
    for trials in (3, 5, 5):
        _, old = begun(tmp_path)
        new = begin(tmp_path, trials)
        assert [*boarded(coming(new), tmp_path, old)] == new
    assert [step for step, _ in points(tmp_path / "tensorboard" / "search", "search/best_so_far")] == [*range(5)]
    assert len(points(tmp_path / "tensorboard" / "trial 0001", "child/loss")) == 2
    assert len([*(tmp_path / "tensorboard" / "search").iterdir()]) == 1


def test_a_tensorboard_that_is_open_forgets_what_it_had(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = Board(tmp_path, [trial(0, 0.25)])
    board.close()
    events = EventAccumulator(str(tmp_path / "search"))
    events.Reload()
    Board(tmp_path, [trial(0, 0.25), trial(1, 0.5)]).close()
    for _ in range(3):  # as TensorBoard does by itself every few seconds
        events.Reload()
    assert [event.step for event in events.Scalars("search/reward")] == [0, 1]


def test_a_search_that_is_refused_leaves_nothing(tmp_path: Path) -> None:
    def refused() -> Generator[Trial, None, str]:
        raise UserError("refused")
        yield trial(0, 0.5)

    with pytest.raises(UserError, match="refused"):
        next(boarded(refused(), tmp_path, []))
    assert not [*tmp_path.iterdir()]


def test_nothing_else_in_the_folder_is_removed(tmp_path: Path) -> None:
    (tmp_path / "search").mkdir()
    (tmp_path / "search" / "notes.txt").write_text("mine")
    Board(tmp_path, [trial(0, 0.25)]).close()
    assert (tmp_path / "search" / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="expected a folder to write to"):
        Board(tmp_path / "file")
