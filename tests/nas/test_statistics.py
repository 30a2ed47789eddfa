from __future__ import annotations

import numpy as np
import pytest

from nas.statistics import bands, bootstrap, half_width, mann_whitney, paired, rank_biserial, wilcoxon


def test_the_interval_of_equal_values_is_that_value() -> None:
    assert bootstrap([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_the_interval_of_one_value_is_none() -> None:
    assert bootstrap([2.0]) is None


def test_the_interval_of_two_values_reaches_from_one_to_the_other() -> None:
    assert bootstrap([0.0, 1.0]) == (0.0, 1.0)  # a quarter of the resamples has the mean 0, a quarter 1


def test_the_interval_of_many_values_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, 400)
    interval = bootstrap(values)
    assert interval is not None
    half = 1.96 * values.std() / 20
    assert interval == pytest.approx((values.mean() - half, values.mean() + half), abs=0.01)


def test_the_band_of_many_curves_is_the_interval_of_their_mean_at_each_moment() -> None:
    values = np.random.default_rng(1).normal(10.0, 2.0, 400)
    low, high = bands(np.stack([values, np.full(400, 3.0)], axis=1))
    half = 1.96 * values.std() / 20
    assert (low[0], high[0]) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)
    assert (low[1], high[1]) == pytest.approx((3.0, 3.0))


def test_the_band_of_one_curve_is_that_curve() -> None:
    low, high = bands(np.array([[1.0, 5.0]]))
    assert (low.tolist(), high.tolist()) == ([1.0, 5.0], [1.0, 5.0])


def test_the_band_has_no_value_where_a_curve_has_none() -> None:
    low, high = bands(np.array([[np.nan, 1.0], [2.0, 1.0]]))
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (1.0, 1.0)


def test_the_same_values_give_the_same_interval() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    assert bootstrap(values) == bootstrap(values)


def test_a_narrower_share_gives_a_narrower_interval() -> None:
    values = [1.0, 2.0, 4.0, 8.0]
    wide, narrow = bootstrap(values), bootstrap(values, share=0.5)
    assert wide is not None
    assert narrow is not None
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_the_rank_biserial_correlation_is_the_difference_of_the_rank_sums() -> None:
    assert rank_biserial(np.array([1.0, 2.0, -3.0, 4.0])) == 0.4  # (1 + 2 + 4 - 3) / 10
    assert rank_biserial(np.array([1.0, 5.0])) == 1.0
    assert rank_biserial(np.array([-1.0, -5.0])) == -1.0


def test_equal_sizes_share_their_mean_rank_and_zeros_have_none() -> None:
    assert rank_biserial(np.array([0.0, 2.0, 2.0, -2.0, 3.0])) == 0.6  # ranks 2, 2, 2 and 4: (2 + 2 + 4 - 2) / 10
    assert rank_biserial(np.zeros(3)) == 0.0


def test_the_smallest_p_of_five_pairs_is_two_of_their_32_signs() -> None:
    assert wilcoxon(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == 2 / 32


def test_pairs_without_any_difference_have_p_1() -> None:
    assert wilcoxon(np.zeros(4)) == 1.0


def test_a_paired_comparison_has_difference_interval_p_and_effect() -> None:
    found = paired([2.0, 4.0, 6.0, 8.0, 10.0, 12.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])  # differences 1 to 6
    assert (found.pairs, found.difference, found.p, found.effect) == (6, 3.5, 2 / 64, 1.0)
    assert found.interval is not None
    assert 1.0 < found.interval[0] < 3.0 < found.interval[1] < 5.0


def test_one_pair_has_a_difference_and_neither_interval_nor_p() -> None:
    found = paired([3.0], [1.0])
    assert (found.pairs, found.difference, found.interval, found.p) == (1, 2.0, None, None)


def test_three_values_above_three_others_are_one_of_their_20_orders() -> None:
    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 1e9])
    assert mann_whitney(low, high) == pytest.approx(1 / 20)  # 6! / (3! 3!); how much higher does not matter
    assert mann_whitney(high, low) == 1.0


def test_equal_values_are_not_higher() -> None:
    assert mann_whitney(np.ones(10), np.ones(25)) == 1.0


def test_the_width_of_an_interval_is_students_with_welchs_degrees_of_freedom() -> None:
    assert half_width([(4.0, 1)]) == pytest.approx(2 * 12.7062, abs=1e-3)  # t of 1
    assert half_width([(1.0, 1), (1.0, 1)]) == pytest.approx(2**0.5 * 4.3027, abs=1e-3)  # t of (1 + 1)² / (1 + 1) = 2
    assert half_width([(1.0, 10**9), (0.0, 1)]) == pytest.approx(1.96, abs=1e-3)
    assert half_width([]) == half_width([(0.0, 3)]) == 0.0
