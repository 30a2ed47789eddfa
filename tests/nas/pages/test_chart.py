from __future__ import annotations

import numpy as np
import pytest

from nas.pages.chart import Axis, around, band, chart, dots, line, point, said

X, Y = Axis(0, 10, "trial"), Axis(0, 1, "reward")


@pytest.mark.parametrize(
    ("axis", "ticks"),
    [
        (Axis(0, 10, ""), [0, 5, 10]),
        (Axis(0.35, 0.95, ""), [0.4, 0.6, 0.8]),
        (Axis(0, 199, ""), [0, 50, 100, 150]),
        (Axis(900, 21_000, "", log=True), [1000, 2000, 5000, 10_000, 20_000]),
        (Axis(90, 4_100, "", log=True), [100, 200, 500, 1000, 2000]),
        (Axis(1, 1e9, "", log=True), [1, 100, 1e4, 1e6, 1e8]),
    ],
)
def test_ticks_are_round_and_few(axis: Axis, ticks: list[float]) -> None:
    assert axis.ticks() == pytest.approx(ticks)


def test_a_value_has_its_place_between_the_ends() -> None:
    assert Axis(2, 4, "").place([2, 3, 4]).tolist() == [0, 0.5, 1]
    assert Axis(1, 100, "", log=True).place([1, 10, 100]).tolist() == pytest.approx([0, 0.5, 1])


def test_an_axis_has_room_for_one_value_and_for_none() -> None:
    assert around([3.0], "").low < 3 < around([3.0], "").high
    assert around([], "", log=True).low < 1 < around([float("nan")], "").high


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.9333, "0.933"), (8, "8"), (9_280, "9,280"), (97_114, "97.1k"), (1_506_368, "1.51M"), (2e12, "2T")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert said(value) == text


def test_a_line_breaks_where_nothing_is_known() -> None:
    drawn = line(X, Y, np.array([0.0, 5, 6, 10]), np.array([1, np.nan, 0.5, 0]), "mean")
    assert 'd="M0.0 0.0h0M600.0 500.0h0L1000.0 1000.0"' in drawn


def test_a_line_of_steps_keeps_its_height_until_the_next() -> None:
    assert 'd="M0.0 500.0h0H1000.0V0.0"' in line(X, Y, np.array([0.0, 10]), np.array([0.5, 1]), "best", steps=True)


def test_a_band_stays_within_the_axis() -> None:
    assert 'd="M0.0 0.0L0.0 1000.0Z"' in band(X, Y, np.array([0.0]), np.array([-3.0]), np.array([3.0]), "s0")


def test_very_many_dots_are_some_of_them() -> None:
    assert dots(X, Y, [1] * 100_000, [0.5] * 100_000, "trained").count("M") == 3_000
    assert dots(X, Y, [], [], "trained").count("M") == 0


def test_ticks_stand_where_dots_would_be() -> None:
    assert 'd="M500.0 1000.0v-35"' in dots(X, Y, [5], [0], "failed", 35)


def test_text_is_text() -> None:
    drawn = chart('"><script>', X, Y._replace(label="<b>"), [], [point(X, Y, (1, 1), "front", "<i>")])
    assert "<script>" not in drawn
    assert "&lt;b&gt;" in drawn
    assert "&lt;i&gt;" in drawn
