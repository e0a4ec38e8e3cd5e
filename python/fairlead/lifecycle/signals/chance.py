"""How likely something is by chance, and how much neighbours in a series are alike."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def f_tail(x: float, above: float, below: float) -> float:
    """Chance that a variable of Fisher's F, of `above` and `below` degrees of freedom, exceeds x.

    By the continued fraction of the incomplete beta function (W. H. Press et al., "Numerical Recipes", 6.4).

    >>> round(f_tail(3.0, 9.0, 72.0), 5), f_tail(0.0, 1.0, 1.0)
    (0.0043, 1.0)
    """
    if not x > 0.0:
        return 1.0
    return _beta(below / (below + above * x), 0.5 * below, 0.5 * above)


def normal_tail(z: float) -> float:
    """Chance that a standard normal variable exceeds z."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def _beta(x: float, a: float, b: float) -> float:
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    tiny = 1e-300
    c, d = 1.0, 1.0 / (1.0 - (a + b) * x / (a + 1.0) or tiny)
    h = d
    for m in range(1, 500):
        for numerator in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 / (1.0 + numerator * d or tiny)
            c = 1.0 + numerator / c or tiny
            h *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return h


def inflation(series: NDArray[np.float64]) -> float:
    """By how much the variance of a sum of neighbours is above that of independent ones; at least 1.

    1 + 2 (r1 + r2 + ...) of the autocorrelations up to the first that chance would give (below 2 / sqrt(n)), at most up
    to a quarter of the length.

    >>> inflation(np.array([0.0, 1.0] * 50)), inflation(np.repeat([0.0, 1.0, 1.0, 0.0], 25)) > 10
    (1.0, True)
    """
    n = len(series)
    apart = series - series.mean() if n else series
    power = float(apart @ apart)
    if n < 16 or power <= 0.0:
        return 1.0
    least, found = 2.0 / math.sqrt(n), 1.0
    for lag in range(1, n // 4 + 1):
        r = float(apart[lag:] @ apart[:-lag]) / power
        if r <= least:
            break
        found += 2.0 * r
    return found


def block_inflation(means: NDArray[np.float64], length: int, variance: float) -> float:
    """The same from the means of successive blocks of a series, as far as it is proven; at least 1.

    By half the squared difference of neighbouring blocks (J. von Neumann, "Distribution of the ratio of the mean square
    successive difference to the variance", 1941), which a change of level does not blow up, of blocks of one to eight
    times the length.

    >>> block_inflation(np.array([0.0, 0.0, 1.0, 1.0] * 10), 32, 0.25) > 10.0
    True
    """
    found = 1.0
    for times in (1, 2, 4, 8):
        n = len(means) // times
        if n < 9 or variance <= 0.0:
            break
        longer = means[len(means) - n * times :].reshape(n, times).mean(axis=1)
        apart = np.diff(longer)
        ratio = 0.5 * float(apart @ apart) / (n - 1) * length * times / variance
        found = max(found, ratio / (1.0 + 1.5 * math.sqrt(3.0 / (n - 1))))
    return found


def apart(counts: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's chi-square of two samples over its expectation where both are of independent values of one
    distribution, so about 1. counts, other: by bin, of shape (..., bins)."""
    n, m = counts.sum(axis=-1, keepdims=True), other.sum(axis=-1, keepdims=True)
    both = counts + other
    shares = np.where(both > 0.0, both, 1.0) / (n + m)
    squares = ((counts / n - other / m) ** 2 / shares).sum(axis=-1)
    freedom = np.maximum(np.count_nonzero(both, axis=-1) - 1, 1)
    found: NDArray[Any] = squares / ((1.0 / n + 1.0 / m)[..., 0] * freedom)
    return found
