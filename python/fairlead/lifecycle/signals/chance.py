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
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
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


def block_statistics(counts: NDArray[np.float64], shares: NDArray[np.float64], total: int) -> NDArray[np.float64]:
    """Pearson's chi-square of each block of a sample against the whole, over its expectation if values were
    independent. counts: of shape (blocks, bins), shares: of the whole of `total` values, of shape (bins,)."""
    used = shares > 0.0
    freedom = int(np.count_nonzero(used)) - 1
    size = counts.sum(axis=1)
    if freedom < 1:
        return np.ones(len(counts))
    expected = size[:, None] * shares[used]
    squares = ((counts[:, used] - expected) ** 2 / expected).sum(axis=1)
    found: NDArray[Any] = squares / (freedom * (1.0 - size / total))
    return found
