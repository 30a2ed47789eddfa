"""Many workers: simulated ones whose busy time is known by hand, and a cluster of two nodes."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.scale import (
    SEEDS,
    Busy,
    Durations,
    Lasting,
    Simulated,
    busy,
    busy_table,
    file_at,
    utilisation,
)
from nas.network import Images
from nas.pool import Job

ROOT = Path(__file__).parents[2]


def test_a_worker_alone_is_always_busy() -> None:
    assert busy(1, sigma=1.0, seed=0, each=20).share == pytest.approx(1)


def test_workers_with_equal_children_are_always_busy() -> None:
    assert busy(4, sigma=0.0, seed=0, each=21).share == pytest.approx(1)


def test_the_third_of_three_equal_children_leaves_the_other_of_two_workers_waiting() -> None:
    pool = Simulated(Durations(0.0), workers=2)
    for trial in range(3):
        pool.submit(Job(trial, (0, trial), seed=0))
    assert [pool.wait()[0] for _ in range(3)] == [0, 1, 2]
    assert (pool.now, pool.idle) == (2, 1)


def test_a_wider_window_keeps_workers_busier() -> None:
    narrow, wide = (busy(8, sigma=1.0, seed=0, each=30, window=window) for window in (1, 2))
    assert narrow.share < wide.share
    assert narrow.queued == wide.queued


def test_one_queue_for_all_children_is_a_window_as_wide_as_the_search() -> None:
    found = busy(8, sigma=1.0, seed=0, each=30, window=30)
    assert found.share == found.queued


def test_a_search_with_simulated_workers_repeats_exactly_with_its_seed() -> None:
    first, again, other = (busy(3, 0.5, seed, each=10).share for seed in (1, 1, 2))
    assert first == again != other


def test_children_are_predicted_within_thirty_percent_and_half_of_them_last_less_than_a_second() -> None:
    drawn = [Durations(1.0).seconds((0, ones)) for ones in range(1000)]
    assert all(0.7 * real <= predicted <= 1.3 * real for real, predicted in drawn)
    assert np.mean([real < 1 for real, _ in drawn]) == pytest.approx(0.5, abs=0.05)
    assert np.std(np.log([real for real, _ in drawn])) == pytest.approx(1, abs=0.1)


def test_the_loop_predicts_what_the_space_does() -> None:
    space = Durations(1.0)
    child = space.replay((3, 5)).network
    assert isinstance(child, Lasting)
    assert child.costs(Images(32, 3, 10)).madds == pytest.approx(1e9 * space.seconds((3, 5))[1])


def test_the_table_has_the_mean_and_the_extremes_over_the_seeds() -> None:
    assert [[search.share for search in found] for found in utilisation([(1, 0.5)], 3)] == [[pytest.approx(1)] * SEEDS]
    searches = [Busy(share, 0.95, [0.5, 9, 1.5]) for share in (0.7, 0.9, 0.95)]
    assert "\n| 8 | 0.5 | 0.850 | 0.900 | 0.700 | 0.950 | 0.950 | 0.50 | 1.50 |\n" in busy_table([searches], [(8, 0.5)])


def test_a_mapped_file_is_named_with_the_place_in_it(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(bytes(8192))
    mapped = np.memmap(tmp_path / "images", np.uint8, "r")
    inode = (tmp_path / "images").stat().st_ino
    assert file_at(mapped.ctypes.data + 4106).split()[1:] == [f"{inode}", "4106"]


def said(call: str) -> str:
    """What a function of the program gives, in a process of its own, for what Ray once set stays set."""
    command = [sys.executable, "-c", f"from benchmarks import scale; print(scale.{call})"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_calls_are_measured_in_thirds_here_on_the_disk_and_through_ray() -> None:
    lines = re.findall(r"^\| .*\| \d+\.\d+ \| \d+\.\d+ \| \d+\.\d+ \|$", said("calls_table(12)"), re.MULTILINE)
    assert len(lines) == 3


def test_a_clusters_nodes_share_the_workers_and_have_the_images_once() -> None:
    found = said("nodes_table(12, nodes=2, cores=2)")
    assert "\n| 1 | 1 | 1 |\n| 2 | 1 | 1 |\n" in found
    assert "\n| 2 workers on 2 nodes | " in found
