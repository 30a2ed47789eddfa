"""Parameters as choices, and the space that asks as trials before did."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.beside.parameters import PARTS, Floats, Node, Parameter, Traced, Values, ranged
from nas.errors import UserError
from nas.network import Images

RNG = random.Random(0)


def test_sixteen_values_are_options_and_more_are_parted() -> None:
    few, many = ranged("n", 1, 16, 1), ranged("n", 1, 32, 1)
    assert [few.value(answer, RNG) for answer in few.choice.every] == [*range(1, 17)]
    assert {many.value(0, RNG) for _ in range(50)} == {1, 2}  # 32 values in 16 parts
    assert {many.value(15, RNG) for _ in range(50)} == {31, 32}


def test_a_log_range_of_floats_is_parted_in_its_logarithm() -> None:
    rate = ranged("rate", 1e-16, 1.0, log=True)
    assert len(rate.choice.options) == PARTS
    assert all(1e-16 <= rate.value(0, RNG) <= 1e-15 for _ in range(50))  # a part is a factor of ten
    assert [rate.answer(value) for value in (1e-16, 5e-16, 5e-15, 0.5, 1.0)] == [0, 0, 1, 15, 15]


def test_parts_of_integers_on_a_log_scale_have_a_value_each() -> None:
    """1 to 1,024 by a factor of 1.54 a part: the first parts would have less than an integer."""
    width = ranged("width", 1, 1024, 1, log=True)
    assert [width.answer(value) for value in (1, 2, 3, 1024)] == [0, 1, 1, len(width.choice.options) - 1]
    assert len(width.choice.options) < PARTS


@given(
    st.floats(-1e6, 1e6), st.floats(0, 1e6), st.sampled_from([None, 0.1, 1, 7]), st.booleans(), st.integers(0, 2**32)
)
def test_a_value_of_an_answer_leads_back_to_it(
    low: float, width: float, step: float | None, log: bool, seed: int
) -> None:
    low = abs(low) + 1e-3 if log else low
    parameter = ranged("x", low, low + width, step, log)
    rng = random.Random(seed)
    answer = rng.choice(parameter.choice.every)
    value = parameter.value(answer, rng)
    assert low <= value <= low + width + 1e-6 * abs(low + width)
    nearest = parameter.answer(value)
    assert nearest == answer or isinstance(parameter, Floats)  # where rounding puts an edge into the next part
    assert abs(nearest - answer) <= 1


def test_values_that_are_equal_but_of_other_types_are_told_apart() -> None:
    values = Values("v", [1, True, 1.0, None, "1"])
    assert [values.answer(value) for value in (1, True, 1.0, None, "1")] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("parameter", "last"),
    [
        (ranged("few", 1, 8, 1), 7), (ranged("tenths", 0.0, 1.0, 0.1), 10), (ranged("many", 1, 200, 1), PARTS - 1),
        (ranged("steps", 0.0, 100.0, 0.5), PARTS - 1), (ranged("floats", 0.0, 1.0), PARTS - 1),
        (ranged("log", 1e-3, 1.0, log=True), PARTS - 1), (ranged("one", 3, 3, 1), 0),
    ],
)  # fmt: skip
def test_a_value_beyond_a_range_is_its_nearest_one(parameter: Parameter, last: int) -> None:
    assert [parameter.answer(value) for value in (1e-9, 1e9, math.inf)] == [0, last, last]


def test_a_value_between_the_steps_of_a_range_is_the_nearer_one() -> None:
    tenths = ranged("tenths", 0.0, 1.0, 0.1)
    assert [tenths.answer(value) for value in (0.33, 0.36, 0.3)] == [3, 4, 3]  # and 3 * 0.1 is 0.30000000000000004


def test_what_one_answer_always_led_to_is_asked_after_it() -> None:
    """The depth decides after one width whether a second is asked, whatever the width was."""
    node = Node()
    for answers, name in (((0, 5), "rate"), ((0, 7), "rate"), ((1, 5), "width 2"), ((2, 6), "width 2")):
        node.learn(answers, name)
    assert node.next((0, 6)) == "rate"
    assert node.next((1, 9)) == "width 2"
    assert node.next((4, 5)) == "width 2"  # 2 is the nearest depth that was seen


def test_where_no_answer_alone_decides_the_most_alike_are_followed() -> None:
    node = Node()
    for answers, name in (((0, 0, 3), "a"), ((0, 1, 3), "b"), ((1, 0, 3), "b"), ((1, 1, 3), "a")):
        node.learn(answers, name)
    assert node.next((1, 1, 4)) == "a"


def test_a_space_asks_as_trials_before_did() -> None:
    depth, width, kind = ranged("depth", 1, 2, 1), ranged("width", 1, 3, 1), Values("kind", ["a", "b"])
    space = Traced([depth, width, kind])
    assert space.sample(random.Random(0)).questions == ()  # nothing is known
    space.trace([("depth", 0), ("width", 2)])
    space.trace([("depth", 1), ("kind", 1), ("width", 0)])
    asked = {tuple(q.choice.name for q in c.questions) for c in space.candidates()}
    assert asked == {("depth", "width"), ("depth", "kind", "width")}
    assert space.count().number == 3 + 2 * 3
    assert space.replay((1, 0, 2)).key == "depth = 1; kind = 0; width = 2"


def test_a_trial_that_broke_off_does_not_end_the_questions() -> None:
    space = Traced([ranged("depth", 1, 2, 1), ranged("width", 1, 3, 1)])
    space.trace([], ended=False)
    space.trace([("depth", 0)], ended=False)
    space.trace([("depth", 0), ("width", 0)])
    assert len(space.replay((0, 2)).questions) == 2


def test_a_point_is_no_network() -> None:
    with pytest.raises(UserError, match="expected a network"):
        Traced().sample(random.Random(0)).network.module(Images(8, 1, 10))
