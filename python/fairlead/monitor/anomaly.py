"""Is a metric now what it was? Its newest pane against its own longer record.

The panes before, each as wide as the newest, say what is usual: their 20 % trimmed mean, and their spread by the
Winsorized variance, so that up to a fifth of them may have been anomalies themselves. Each is brought to a scale on
which it varies alike whatever its level: shares by the arc sine of their square root, latencies and costs by their
logarithm; each is weighed by what stands behind it. The variance of a share of n calls by chance is known, 1/4n, and
where the record varies no more than twice that, it counts as 8 degrees of freedom beside the record's own (where calls
fail together it varies more, and then the record alone counts); of all else the variance is in proportion to 1/n, but
half of it is taken to be the same for each pane. The statistic is that of a prediction, (new - usual) / error, compared
with Student's t with 0.6 (h - 1) degrees of freedom, h being the panes that are not trimmed (R. Wilcox, "Introduction
to Robust Estimation and Hypothesis Testing", ch. 4, has h - 1 for a mean; a prediction needs fewer, found by
simulation).

False alarms, measured: where panes are Gaussian never more than was asked for (with 29 panes before, at 1 % .7 %, at
.1 % .05 %). Tails that are heavier than the logarithm tames cost more at small levels: with Student's t with 5 degrees
of freedom 2.6 % for 1 % and .7 % for .1 %, with Laplace's distribution 4.4 % and 1.3 %. Panes that resemble their
neighbours, or a daily rhythm, are in the spread and make it less sensitive, not more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

from fairlead.measure.student import t_quantile, t_tail
from fairlead.monitor.metrics import METRICS, in_words
from fairlead.monitor.rules import plain
from fairlead.monitor.series import Point

MIN_BEFORE = 8
TRIM = 0.2
BY_CHANCE, PRIOR = 2.0, 8.0
"""A record of shares that varies no more than so many times what chance gives is taken together with that: the variance
by chance counts as so many degrees of freedom beside the record's own."""
TEST = "newest pane against a trimmed mean with Winsorized variance, t with 0.6 (h - 1) degrees of freedom"


@dataclass(frozen=True, slots=True)
class Anomaly:
    """The newest pane of a metric beside those before it.

    state: worse, better (or different, where neither is good), usual, or unknown with fewer than 8 panes before.
    value, n: of the newest pane; usual: of those before; low, high: what is usual at this level. p_value: two-sided.
    """

    model: str
    metric: str
    state: Literal["worse", "better", "different", "usual", "unknown"]
    value: float
    usual: float
    low: float
    high: float
    p_value: float
    statistic: float
    panes: int
    n: int
    start: int = 0
    end: int = 0
    window: str = ""
    test: str = TEST

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types; None for NaN."""
        return plain(self)

    def __str__(self) -> str:
        if self.state == "unknown":
            return f"{self.model}: {self.metric} unknown, {self.panes} panes before of {MIN_BEFORE}"
        words = [in_words(self.metric, value) for value in (self.value, self.low, self.high)]
        within = f" within {self.window}" if self.window else ""
        said = f"{self.metric} {self.state}: {words[0]}, usual{within} {words[1]} to {words[2]}"
        return f"{self.model}: {said} (p = {self.p_value:.2g})"


def anomaly_of(model: str, metric: str, points: Sequence[Point], window: str = "", alpha: float = 0.001) -> Anomaly:
    """Whether the last of some points is unlike those before it.

    >>> hours = [Point(h, h + 1, 200, 0.05 + 0.01 * (h % 3)) for h in range(20)] + [Point(20, 21, 200, 0.40)]
    >>> found = anomaly_of("a", "error_rate", hours)
    >>> found.state, found.p_value < 1e-5
    ('worse', True)
    """
    if len(points) <= MIN_BEFORE:
        last = points[-1] if points else Point(0, 0, 0, math.nan)
        return _unknown(model, metric, last, max(len(points) - 1, 0), window)
    scale = _Scale(METRICS[metric].family)
    *before, last = points
    size = len(before)
    values = [scale.to(point) for point in before]
    typical = sorted(point.n for point in before)[size // 2]
    variances = [scale.variance(point.n, typical) for point in before]
    weights = [1.0 / variance for variance in variances]
    # The centre from values as they are, the spread from residuals in units of their error.
    centre = _trimmed(values, weights)
    residuals = sorted(
        (value - centre) / math.sqrt(variance) for value, variance in zip(values, variances, strict=True)
    )
    cut = int(TRIM * size)
    spread, freedom = _winsorized(residuals, cut), max(0.6 * (size - 2 * cut - 1), 1.0)
    if scale.known and spread <= BY_CHANCE:
        spread = max((spread * freedom + PRIOR) / (freedom + PRIOR), 1.0)
        freedom += PRIOR
    share = 1.15 / sum(weights)  # of the centre, by a trimmed mean
    error = math.sqrt(spread * (scale.variance(last.n, typical) + share))
    off = scale.to(last) - centre
    # A record that never varied says nothing of how it would.
    t = off / error if error > 1e-12 * max(abs(centre), 1e-300) else math.nan
    same = abs(off) <= 1e-9 * max(abs(centre), 1.0)
    p = min(1.0, 2.0 * t_tail(abs(t), freedom)) if t == t else (1.0 if same else math.nan)
    half = t_quantile(freedom, 0.5 * alpha) * error
    state: Literal["worse", "better", "different", "usual", "unknown"] = "usual"
    if p != p:
        state = "unknown"
    elif p <= alpha:
        good = METRICS[metric].good
        state = "different" if good == 0 else "better" if (off > 0) == (good > 0) else "worse"
    return Anomaly(
        model, metric, state, last.value, scale.back(centre), scale.back(centre - half), scale.back(centre + half),
        p, t, size, last.n, last.start, last.end, window,
    )  # fmt: skip


def _unknown(model: str, metric: str, last: Point, before: int, window: str) -> Anomaly:
    nan = math.nan
    return Anomaly(
        model, metric, "unknown", last.value, nan, nan, nan, nan, nan, before, last.n, last.start, last.end, window
    )


class _Scale:
    """Where values vary alike whatever their level."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.known = family == "share"

    def to(self, point: Point) -> float:
        if self.family == "share":  # F. Anscombe, Biometrika 35 (1948)
            events = point.value * point.n
            return math.asin(math.sqrt((events + 0.375) / (point.n + 0.75)))
        if self.family == "positive":
            return math.log(max(point.value, 1e-9))
        return point.value

    def back(self, value: float) -> float:
        if self.family == "share":
            return math.sin(min(max(value, 0.0), 0.5 * math.pi)) ** 2
        if self.family == "positive":
            return math.exp(min(value, 700.0))
        return value

    def variance(self, n: int, typical: int) -> float:
        if self.known:
            return 1.0 / (4 * n + 2)
        return 0.5 / n + 0.5 / typical


def _trimmed(values: Sequence[float], weights: Sequence[float]) -> float:
    order = sorted(range(len(values)), key=values.__getitem__)
    cut = int(TRIM * len(values))
    kept = order[cut : len(order) - cut]
    return sum(values[i] * weights[i] for i in kept) / sum(weights[i] for i in kept)


def _winsorized(ordered: Sequence[float], cut: int) -> float:
    """The variance of ordered values, as that of normal ones would come out."""
    size = len(ordered)
    low, high = ordered[cut], ordered[size - 1 - cut]
    values = [min(max(value, low), high) for value in ordered]
    mean = sum(values) / size
    return sum((value - mean) ** 2 for value in values) / (size - 1) / _shrunk(cut, size)


@lru_cache(maxsize=256)
def _shrunk(cut: int, size: int) -> float:
    """The variance of a standard normal variable that is Winsorized so."""
    if not cut:
        return 1.0
    tail = cut / size
    normal = NormalDist()
    z = normal.inv_cdf(1.0 - tail)
    return (1.0 - 2.0 * tail) - 2.0 * z * normal.pdf(z) + 2.0 * tail * z * z
