"""What a search shows while it is under way."""

from __future__ import annotations

import io
import re
import time
from dataclasses import replace

import pytest
from rich.console import Console

from nas.ledger import Trial
from nas.network import Network
from nas.plot import running_mean, window_of
from nas.progress import Counting, Progress, duration, shown
from nas.reward import Result
from nas.space import Choice, Pick, Space


def console(terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=300, force_terminal=terminal, highlight=False)


def written(where: Console) -> str:
    assert isinstance(where.file, io.StringIO)
    return where.file.getvalue()


class Small(Space):
    """Ten networks."""

    size = Choice(*range(8, 18))

    def build(self, pick: Pick) -> Network:
        return Network(pick(self.size), ())


def trial(
    number: int,
    reward: float | None,
    key: str = "",
    again: bool = False,
    error: str | None = None,
    answers: tuple[int, ...] = (),
) -> Trial:
    return Trial(
        number, answers, key or str(number), "network 1: 8 concat gap: conv width=4", reward,
        None if again else Result(), error, 0 if again else None, figures={"entropy": 0.41},
    )  # fmt: skip


def test_the_line_counts_stopped_children() -> None:
    whole = trial(0, 0.5)
    stopped = Trial(1, (), "1", "", 0.4, Result((0.2,), bar=(0.3,)))
    assert Progress(console(), [whole, stopped], 9).line().startswith("2 of 9 trials, 1 stopped, best 0.5000, ")


def test_the_line_says_how_far_how_good_and_how_healthy() -> None:
    progress = Progress(console(), [], 40)
    for number in range(9):
        progress.add(trial(number, 0.5))
    progress.add(trial(9, 0.5, again=True))
    assert progress.line().startswith(
        "10 of 40 trials, best 0.5000, running mean 0.5000, entropy 0.41, repeats 10 %, spread 0.000, "
    )
    assert progress.line().endswith(" left")


def test_the_running_mean_is_that_of_a_picture_of_the_same_trials() -> None:
    rewards = [None if number % 3 == 1 else number / 40 for number in range(26)]
    progress = Progress(console(), [], 400)
    for number, reward in enumerate(rewards):
        progress.add(trial(number, reward, error="diverged" if reward is None else None))
    expected = running_mean(rewards, window_of(26))[-1]
    assert f"running mean {expected:.4f}, " in progress.line()
    assert expected == pytest.approx((17 + 18 + 20 + 21 + 23 + 24) / 6 / 40)  # trials 16, 19, 22 and 25 failed
    for number in range(26, 36):
        progress.add(trial(number, None, error="diverged"))
    assert "best 0.6000, no reward in the last 10 trials, " in progress.line()


def test_failures_of_an_earlier_run_count_too() -> None:
    old = [trial(0, 0.5), trial(1, None, error="diverged"), trial(2, None, error="refused: too much")]
    assert Progress(console(), old, 9).line().startswith("3 of 9 trials, 1 failed, 1 refused, best 0.5000, ")


def test_before_the_first_reward_the_line_has_none() -> None:
    progress = Progress(console(), [], 40)
    progress.add(trial(0, None, error="diverged: at once"))
    assert progress.line().startswith("1 of 40 trials, 1 failed, no reward yet, entropy 0.41, ")


def test_new_bests_and_failures_are_printed_for_good() -> None:
    here = console()
    progress = Progress(here, [], 4)
    for one in (trial(0, 0.5), trial(1, 0.25), trial(2, None, error="diverged: at once"), trial(3, 0.75)):
        progress.add(one)
    lines = [line for line in written(here).splitlines() if line.startswith("trial")]
    assert lines == [
        "trial    0  best so far 0.5000  8 x 8 pixels; conv width=4",
        "trial    2  failed: diverged: at once",
        "trial    3  best so far 0.7500  8 x 8 pixels; conv width=4",
    ]
    assert "4 of 4 trials, 1 failed, " in progress.line()


def test_a_search_that_goes_on_counts_what_was_there() -> None:
    here = console()
    progress = Progress(here, [trial(0, 0.5), trial(1, 0.25)], 4)
    progress.add(trial(2, 0.375))
    assert written(here).startswith("going on after 2 trials\n")
    assert "best so far" not in written(here)
    assert progress.line().startswith("3 of 4 trials, best 0.5000, running mean 0.3750, ")


def test_a_collapse_is_told_of_once_while_the_search_goes_on() -> None:
    here = console()
    progress = Progress(here, [], 1_000)
    for number in range(400):
        progress.add(trial(number, 0.5, key="a", again=number > 0))
    assert written(here).count("the controller has collapsed to 1 network since about trial 0: 100 % of the last") == 1


def test_that_nothing_is_learnt_is_said_once_too() -> None:
    here = console()
    progress = Progress(here, [], 1_000)
    for number in range(300):
        progress.add(trial(number, 0.5))
    assert written(here).count("the controller is learning nothing") == 1


def test_looks_for_what_is_wrong_are_fifty_trials_apart_and_later_a_fiftieth_of_the_trials() -> None:
    progress = Progress(console(), [trial(number, 0.5) for number in range(98)], 10_000)
    progress.add(trial(98, 0.5))
    assert progress.look == 99 + 50
    progress = Progress(console(), [trial(number, 0.5) for number in range(4_999)], 10_000)
    progress.add(trial(4_999, 0.5))
    assert progress.look == 5_000 + 100


def test_the_advantage_over_random_sampling_is_estimated_from_fifty_networks_on() -> None:
    space = Small()
    progress = Progress(console(), [], 200, space)
    for number in range(50):
        assert "advantage" not in (progress.line() if number else "")
        progress.add(trial(number, number / 100, answers=(number % 10,)))
    assert re.search(r", spread 0\.\d+, advantage [+-]0\.\d{3}, ", progress.line())
    first = progress.drawn
    for number in range(50, 100):
        assert progress.drawn is first  # until the networks have doubled
        progress.add(trial(number, number / 100, answers=(number % 10,)))
    assert progress.drawn is not first


def test_a_search_that_ends_by_its_networks_counts_them() -> None:
    progress = Progress(console(), [trial(0, 0.5), trial(1, 0.5, again=True)], 1_000, unique=10)
    for number in range(2, 5):
        progress.add(trial(number, None, error="refused: too large" if number == 4 else "diverged: at once"))
    assert progress.line().startswith("3 of 10 networks, 2 failed, 1 refused, ")  # one refused is none trained


def test_only_the_first_refused_network_has_a_line_for_there_may_be_many() -> None:
    here = console()
    progress = Progress(here, [], 10)
    for number in range(3):
        progress.add(trial(number, None, error=f"refused: too large {number}"))
    assert written(here).count("refused: ") == 1
    assert "trial    0  refused: too large 0" in written(here)


def test_the_time_left_is_until_the_first_of_trials_and_networks() -> None:
    progress = Progress(console(), [], 100, unique=98)
    for number in range(50):
        progress.add(trial(number, 0.5, again=number >= 10))
    progress.first -= 50  # a second a trial, five a network
    assert re.search(r"10 of 98 networks, .* (50|51) s left$", progress.line())


def test_the_time_left_is_told_from_three_networks_on_and_leaves_out_the_start() -> None:
    progress = Progress(console(), [], 40)
    time.sleep(0.5)  # workers start
    for number in range(4):
        progress.add(replace(trial(number, 0.5), result=Result(seconds=0.01)))
        assert progress.line().endswith("? an hour, ? left") == (number < 2)
    found = re.search(r" ([\d.]+) s left$", progress.line())
    assert found is not None
    assert float(found[1]) < 36 / 4 * 0.5


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_can_be_closed_on_a_terminal_and_elsewhere(terminal: bool) -> None:
    here = console(terminal)
    progress = Progress(here, [], 4)
    progress.add(trial(0, 0.5))
    progress.close()
    assert "best so far 0.5000" in written(here)


def test_nothing_is_counted_where_there_is_nothing_to_decode() -> None:
    here = console(terminal=True)
    with Counting(here, "decoding"):
        pass
    assert written(here) == ""


def test_images_are_counted_as_they_are_decoded() -> None:
    here = console(terminal=True)
    with Counting(here, "decoding") as counting:
        counting(1_000, 2_000)
    assert "decoding 1,000 of 2,000" in written(here)


def test_a_network_is_shown_in_one_line() -> None:
    assert shown("network 1: 8 concat gap: conv width=4; conv width=4") == "8 x 8 pixels; 2 x conv width=4"


def test_durations_are_for_people() -> None:
    assert [duration(seconds) for seconds in (1.25, 42, 600, 7_200, float("inf"))] == [
        "1.2 s", "42 s", "10 min", "2.0 h", "?",
    ]  # fmt: skip
