"""Searches side by side."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info

from benchmarks.processes import ONE_THREAD, side_by_side


def threads() -> list[int]:
    """Of the libraries that numpy adds and multiplies with."""
    assert np.ones(1)
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


def test_one_worker_has_one_thread_for_sums_as_several_have() -> None:
    before = threads(), dict(os.environ)
    found = list(
        side_by_side(lambda: (threads(), {name: os.environ[name] for name in ONE_THREAD}), [()] * 2, workers=1)
    )
    assert found == [([1] * len(before[0]), ONE_THREAD)] * 2
    assert (threads(), dict(os.environ)) == before


def begin(folder: str) -> None:
    """Say which process this is, and work for longer than any test waits."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    code = (
        "from benchmarks.processes import side_by_side; from tests.benchmarks.test_processes import begin; "
        f"list(side_by_side(begin, [({str(tmp_path)!r},)] * 2, 2))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[2])
    try:
        until(lambda: len(list(tmp_path.iterdir())) == 2)
    finally:
        parent.kill()
        parent.wait()
    workers = [int(file.name) for file in tmp_path.iterdir()]
    until(lambda: not any(Path(f"/proc/{worker}/exe").exists() for worker in workers))


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for it."""
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_command_can_be_typed_again() -> None:
    code = "from benchmarks.processes import command; print(command('compare'))"
    words = [sys.executable, "-c", code, "csv:a b.csv", "-c", "random"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout == "python -m benchmarks.compare 'csv:a b.csv' -c random\n"
