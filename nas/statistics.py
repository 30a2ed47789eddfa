"""How sure a comparison is: bootstrap intervals, the paired test of two controllers over their seeds, a rank test.

Sources: Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979 (the percentile interval); Wilcoxon,
"Individual Comparisons by Ranking Methods", 1945 (the signed-rank test, scipy's); Kerby, "The Simple Difference
Formula", 2014 (the rank-biserial correlation); Mann & Whitney, "On a Test of Whether one of Two Random Variables is
Stochastically Larger than the Other", 1947 (scipy's); Welch, "The Generalization of 'Student's' Problem when Several
Different Population Variances are Involved", 1947 (degrees of freedom).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

RESAMPLES = 10_000
LEAST = 6  # unequal pairs of a test: of fewer even the smallest p, 2^-(pairs - 1), is above 0.05
AT_ONCE = 1_000  # resamples drawn together, so that many seeds need little memory


class Paired(NamedTuple):
    """What pairs of values say of the first of each against the second; differences in the values' unit."""

    pairs: int
    unequal: int  # of them; p and effect are of these alone
    difference: float  # mean of first - second
    interval: tuple[float, float] | None  # its bootstrap 95 % interval; None with fewer than two pairs
    p: float | None  # two-sided Wilcoxon signed-rank test; None with fewer than LEAST unequal pairs
    effect: float | None  # rank-biserial: 1 where the first is always higher, -1 where always lower; None as interval


def bootstrap(
    values: Sequence[float] | Floats, share: float = 0.95, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float, float] | None:
    """The percentile bootstrap interval of the mean of values (n,); None for fewer than two of them.

    share: of the resampled means that lie within, the rest in equal parts below and above.
    """
    given = np.asarray(values, float)
    if len(given) < 2:
        return None
    rng = np.random.default_rng(seed)
    means = np.empty(resamples)
    for first in range(0, resamples, AT_ONCE):
        drawn = rng.integers(len(given), size=(min(AT_ONCE, resamples - first), len(given)))
        means[first : first + AT_ONCE] = given[drawn].mean(1)
    low, high = np.quantile(means, [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def half_width(means: Sequence[tuple[float, int]]) -> float:
    """Half the 95 % interval of a sum of independent means, by Student's t with Welch's degrees of freedom.

    means: of each its variance and its degrees of freedom, 1 or more; a sum of none, or of constants, has the width 0.
    """
    variance = sum(one for one, _ in means)
    if variance == 0:
        return 0.0
    from scipy import stats  # takes a second to import

    freedom = variance**2 / sum(one**2 / free for one, free in means)
    return float(stats.t.ppf(0.975, freedom) * variance**0.5)


def bands(curves: Floats, share: float = 0.95, resamples: int = 1_000, seed: int = 0) -> tuple[Floats, Floats]:
    """The same of curves (n, moments), at each moment: low and high (moments,), the mean itself if n is one.

    NaN where a curve has no value.
    """
    drawn = np.random.default_rng(seed).multinomial(len(curves), np.full(len(curves), 1 / len(curves)), resamples)
    low, high = np.quantile(drawn @ curves / len(curves), [(1 - share) / 2, (1 + share) / 2], axis=0)
    return low, high


def paired(first: Sequence[float] | Floats, second: Sequence[float] | Floats, seed: int = 0) -> Paired:
    """Compare two controllers by what each found with the same seeds, (n,) and (n,) with n at least 1."""
    differences = np.asarray(first, float) - np.asarray(second, float)
    unequal = int(np.count_nonzero(differences))
    return Paired(
        len(differences),
        unequal,
        float(differences.mean()),
        bootstrap(differences, seed=seed),
        wilcoxon(differences) if unequal >= LEAST else None,
        rank_biserial(differences) if len(differences) > 1 else None,
    )


def wilcoxon(differences: Floats) -> float:
    """The two-sided p of the signed-rank test on differences (n,), zeros left out; 1 where all are zero."""
    from scipy import stats  # takes a second to import

    unequal = differences[differences != 0]
    return float(stats.wilcoxon(unequal).pvalue) if len(unequal) else 1.0


def rank_biserial(differences: Floats) -> float:
    """(R+ - R-) / (R+ + R-), the sums of the ranks of |d| where d > 0 and where d < 0; 0 where all are zero.

    Equal |d| share the mean of their ranks.
    """
    unequal = differences[differences != 0]
    if not len(unequal):
        return 0.0
    _, place, counts = np.unique(abs(unequal), return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[place]
    return float((np.sign(unequal) * ranks).sum() / ranks.sum())


def mann_whitney(first: Floats, second: Floats) -> float:
    """The one-sided p of the rank test: small if the second (m,) tend to be higher than the first (n,), both non-empty.

    By their ranks alone, so that a few wild values weigh no more than others.
    """
    from scipy import stats  # takes a second to import

    return float(stats.mannwhitneyu(second, first, alternative="greater").pvalue)
