"""Values of any size as rewards from 0 to 1."""

from __future__ import annotations

import random

import pytest

from nas.beside.scale import Scale


def test_a_value_gets_the_share_of_those_below_it_and_the_same_when_it_comes_again() -> None:
    scale = Scale()
    assert [scale(value) for value in (5, 7, 3, 5, 6)] == [1 / 2, 3 / 4, 1 / 6, 1 / 2, 5 / 8]


def test_where_that_share_would_not_keep_the_order_it_gets_the_middle() -> None:
    """Of 5 after 0, 10, 20 and 30 the share is 0.3, and its neighbours have 0.5 and 0.75."""
    scale = Scale()
    assert [scale(value) for value in (0, 10, 20, 30, 5)] == [1 / 2, 3 / 4, 5 / 6, 7 / 8, 5 / 8]


def test_a_failure_stays_one() -> None:
    assert Scale()(None) is None


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e300])
def test_values_of_any_size_keep_their_order(size: float) -> None:
    scale, rng = Scale(), random.Random(0)
    values = [size * rng.uniform(-1, 1) for _ in range(1_000)]
    given = {value: scale(value) or 0.0 for value in values}
    rewards = [given[value] for value in sorted(values)]
    assert rewards == sorted(set(rewards))
    assert 0 < rewards[0] < 0.01
    assert 0.99 < rewards[-1] < 1


def test_ever_better_values_are_told_apart() -> None:
    scale = Scale()
    assert len({scale(value) for value in range(1_000)}) == 1_000
