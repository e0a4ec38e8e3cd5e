"""Student's distribution: tails and quantiles, to nine digits, without numpy."""

from __future__ import annotations

import math
from functools import lru_cache


def t_tail(t: float, freedom: float) -> float:
    """P(T > t) of Student's distribution.

    >>> round(t_tail(2.228139, 10), 4)
    0.025
    """
    if math.isnan(t):
        return math.nan
    half = 0.5 * _beta_share(freedom / (freedom + t * t), 0.5 * freedom, 0.5) if math.isfinite(t) else 0.0
    return half if t >= 0 else 1.0 - half


@lru_cache(maxsize=1024)
def t_quantile(freedom: float, tail: float = 0.025) -> float:
    """The t that is exceeded with probability ``tail``, below one half.

    >>> round(t_quantile(10), 4)
    2.2281
    """
    low, high = 0.0, 1.0
    while t_tail(high, freedom) > tail:
        high *= 2.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if t_tail(middle, freedom) > tail else (low, middle)
    return 0.5 * (low + high)


def _beta_share(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz's method)."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - _beta_share(1.0 - x, b, a)
    front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    tiny = 1e-300
    c, d = 1.0, 1.0 / max(1.0 - (a + b) * x / (a + 1.0), tiny)
    fraction = d
    for m in range(1, 1000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1.0 + step * d
            d = 1.0 / (d if abs(d) > tiny else tiny)
            c = 1.0 + step / c
            c = c if abs(c) > tiny else tiny
            fraction *= c * d
        if abs(c * d - 1.0) < 1e-15:
            break
    return math.exp(front) * fraction / a
