"""Hours of a whole search: sums done by hand, and a short run on the digits."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks.hours import Schedule, drawn, hours, line, seconds, spread
from nas.errors import UserError
from nas.network import Images
from nas.pool import Serial
from nas.reward import Result
from nas.statistics import Floats
from search_spaces.chain import Chain
from search_spaces.metaqnn import MetaQnn

ROOT = Path(__file__).parents[2]


def test_the_networks_drawn_are_different_and_the_most_costly_come_first() -> None:
    found = drawn(MetaQnn(depth=4).on(Images(32, 3, 10)), 50)
    assert len({candidate.key for _, candidate in found}) == 50
    assert all(first >= second for (first, _), (second, _) in pairwise(found))


def test_more_networks_than_a_space_has_are_refused() -> None:
    with pytest.raises(UserError, match="found 13 different networks, expected 14; give fewer --networks"):
        drawn(MetaQnn(depth=1).on(Images(4, 3, 10)), 14)


def test_those_trained_are_spread_evenly_over_all() -> None:
    assert spread(3, 9) == [1, 4, 7]
    assert spread(4, 4) == [0, 1, 2, 3]


def test_a_line_is_found_again_and_never_falls_nor_begins_below_zero() -> None:
    madds = np.array([1e8, 1e9, 5e9])
    assert line(madds, 2e-3 + 3e-12 * madds) == pytest.approx((3e-12, 2e-3))
    assert line(madds, 3e-12 * madds) == pytest.approx((3e-12, 0), abs=1e-12)
    slope, constant = line(madds, np.array([3.0, 2.0, 1.0]))
    assert slope == 0
    assert 1 < constant < 3


def test_hours_are_seconds_an_image_of_all_networks_by_epochs_and_images_over_workers() -> None:
    every, some = np.array([1e9, 2e9, 3e9, 4e9]), np.array([1e9, 2e9, 4e9])
    schedule = Schedule(networks=4, epochs=3, images=1200)
    found = hours(every, some, some * 1e-9, schedule, workers=2)  # a second for each billion: 10 s an image in all
    assert found.fitted == pytest.approx(10 * 3 * 1200 / 2 / 3600)
    assert found.interval == pytest.approx((5, 5))
    assert found.mean == pytest.approx(4 * 7 / 3 * 3 * 1200 / 2 / 3600)
    assert hours(every, some, some * 1e-9, schedule, workers=2, saved=0.5).fitted == pytest.approx(2.5)


def test_children_that_do_not_lie_on_a_line_make_an_interval() -> None:
    every = np.linspace(1e8, 4e9, 40)
    some: Floats = every[::4]
    taken = some * 1e-9 * np.resize([0.7, 1.3], len(some))
    found = hours(every, some, taken, Schedule(40), workers=1)
    assert found.interval[0] < found.fitted < found.interval[1]


def test_a_child_that_fails_ends_it_by_name() -> None:
    candidates = [candidate for _, candidate in drawn(Chain().on(Images(8, 1, 10)), 2)]
    pool = Serial(lambda job: Result((0.5,), seconds=job.trial + 1.0))
    assert seconds(pool, candidates).tolist() == [1, 2]
    with pytest.raises(UserError, match="child 0: found out of memory, expected it to train"):
        seconds(Serial(lambda job: Result(error="out of memory")), candidates)


def test_a_short_run_prints_hours_with_their_interval_and_how_to_repeat_it(tmp_path: Path) -> None:
    words = ["metaqnn:depth=2", "--data", "digits", "--images", "200", "--children", "10", "--networks", "20"]
    words += ["--workers", "1", "--device", "cpu", "--saved", "0.5", "--out", str(tmp_path / "hours.md")]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hours", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text = (tmp_path / "hours.md").read_text()
    assert text.strip() in done.stdout
    assert "\n| none |" in text
    assert "\n| 50 % |" in text
    assert "20 networks of 20 epochs on 45,000 images, 1 at once" in text
    assert "--children 10 --networks 20" in text
