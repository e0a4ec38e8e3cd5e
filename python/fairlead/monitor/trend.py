"""Is a metric getting better or worse? The Mann-Kendall test over the means of equal stretches of time.

Why this test. Panes of a metric are few (10 to some 60), of unequal weight, and latencies and costs have tails: a test
of ranks asks nothing of their distribution, and one pane with an outage moves it by one rank. Its power is 95 % of that
of a regression where the noise is Gaussian, and far more where it is not. What it does ask is independence; what
happens to a model today is likely to happen tomorrow, and neighbouring panes that resemble each other make plain
Mann-Kendall see a trend in 10 to 30 % of series without one. So the variance of S is taken times what an autoregression
of order 1 gives it, 1 + 2 sum (1 - k/T) rho^k, where rho is the lag-1 autocorrelation of the ranks about the Theil-Sen
line, corrected for its bias, (1 + 4 rho)/T, and never below 0; and S over its error is compared with Student's t with
2 (T - 2) degrees of freedom. (K. Hamed, A. Rao, "A modified Mann-Kendall trend test for autocorrelated data", J.
Hydrology 204, 1998, take all lags, each of which is noise in a short series; S. Yue, C. Wang, Water Resources
Management 18, 2004, say why the line comes off first.)

False alarms in % where 5 are asked for, of 4,000 series each, Gaussian and log-normal alike to within 1 (rho is the
autocorrelation of the series; `tests/monitor/test_trend.py` holds them to it), and how often a rise of 3 standard
deviations from the first pane to the last is seen:

    panes   rho 0   rho .3   rho .6   power, rho 0   rho .3
       12     2        6       11             58       46
       15     3        7       11             74       55
       30     3        6        8             98       84
       60     4        6        7            100       99

Several models or metrics at once are as many chances of a false alarm: `adjusted` holds the false discovery rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from fairlead.measure.rounds import benjamini_hochberg
from fairlead.measure.student import t_tail
from fairlead.monitor.metrics import METRICS, in_words
from fairlead.monitor.rules import plain
from fairlead.monitor.series import Point

State = Literal["improving", "stable", "degrading", "rising", "falling", "unknown"]

MIN_PANES = 10
TEST = "Mann-Kendall over panes, AR(1) variance, t with 2 (T - 2) degrees of freedom"


@dataclass(frozen=True, slots=True)
class Trend:
    """Where a metric is going.

    state: improving, stable or degrading; rising or falling for a metric of which neither is good; unknown with fewer
    than 10 panes. p_value: of no trend, two-sided, NaN where the metric never varied; adjusted: by the number of trends
    that were looked for together (Benjamini and Hochberg), which decides. tau: Kendall's, in [-1, 1]. rho:
    autocorrelation that was allowed for. per_day: Theil-Sen slope, the median of the slopes of all pairs; change: that
    over the whole stretch. first, last: values at its ends by the line. panes, n: how many, and how many calls or
    answers in them.
    """

    model: str
    metric: str
    state: State
    p_value: float
    adjusted: float
    tau: float
    rho: float
    per_day: float
    change: float
    first: float
    last: float
    panes: int
    n: int
    window: str = ""
    test: str = TEST

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types; None for NaN."""
        return plain(self)

    def __str__(self) -> str:
        if self.state == "unknown":
            return f"{self.model}: {self.metric} unknown, {self.panes} panes of {MIN_PANES}"
        moved = f"{in_words(self.metric, self.first)} to {in_words(self.metric, self.last)}"
        return f"{self.model}: {self.metric} {self.state}, {moved} (p = {self.adjusted:.2g}, {self.panes} panes)"


def trend_of(model: str, metric: str, points: Sequence[Point], window: str = "", alpha: float = 0.05) -> Trend:
    """The trend of a metric of one model, looked for alone.

    >>> points = [Point(day * 86_400 * 10**9, (day + 1) * 86_400 * 10**9, 50, 0.8 - 0.01 * day) for day in range(15)]
    >>> print(trend_of("a", "accuracy", points))
    a: accuracy degrading, 80.0 % to 66.0 % (p = 2.3e-05, 15 panes)
    """
    n = sum(point.n for point in points)
    size = len(points)
    if size < MIN_PANES:
        nan = math.nan
        return Trend(model, metric, "unknown", nan, nan, nan, nan, nan, nan, nan, nan, size, n, window)
    days = [0.5 * (point.start + point.end) / 86_400e9 for point in points]
    start = days[0]
    days = [day - start for day in days]
    values = [point.value for point in points]
    found = mann_kendall(days, values)
    p_value = found.p_value if min(values) < max(values) else math.nan  # what cannot show a trend is no test for one
    middle = _median([value - found.slope * day for value, day in zip(values, days, strict=True)])
    first, last = middle, middle + found.slope * days[-1]
    trend = Trend(
        model, metric, "stable", p_value, p_value, found.tau, found.rho, found.slope,
        last - first, first, last, size, n, window,
    )  # fmt: skip
    return _decided(trend, p_value, alpha)


def adjusted(trends: Sequence[Trend], fdr: float = 0.05) -> tuple[Trend, ...]:
    """Trends that were looked for together: of those that are then called improving or degrading, at most a share `fdr`
    is expected to be none (Y. Benjamini, Y. Hochberg, JRSS B 57, 1995). Those that are unknown, and metrics that never
    varied, do not count."""
    p = benjamini_hochberg([trend.p_value for trend in trends])
    return tuple(_decided(trend, one, fdr) for trend, one in zip(trends, p, strict=True))


@dataclass(frozen=True, slots=True)
class MannKendall:
    """S, tau, the slope of Theil and Sen in values per unit of time, rho and the two-sided p-value."""

    s: int
    tau: float
    slope: float
    rho: float
    p_value: float


def mann_kendall(times: Sequence[float], values: Sequence[float]) -> MannKendall:
    """The test, of a series in order of time; without NaN and with three values or more.

    >>> found = mann_kendall(range(12), [1, 2, 3, 5, 4, 6, 7, 9, 8, 10, 11, 12])
    >>> found.s, round(found.slope, 2), found.p_value < 0.01
    (62, 1.0, True)
    """
    size = len(values)
    s, slopes = 0, []
    for i in range(size - 1):
        low, begin = values[i], times[i]
        for j in range(i + 1, size):
            rise = values[j] - low
            s += (rise > 0) - (rise < 0)
            slopes.append(rise / (times[j] - begin))
    slope = _median(slopes)
    ties = [values.count(value) for value in set(values)]
    pairs = size * (size - 1)
    variance = (pairs * (2 * size + 5) - sum(t * (t - 1) * (2 * t + 5) for t in ties)) / 18.0
    if variance <= 0.0:  # all the same
        return MannKendall(0, 0.0, 0.0, 0.0, 1.0)
    rho = _autocorrelation([value - slope * time for value, time in zip(values, times, strict=True)])
    inflated = variance * (1.0 + 2.0 * sum((1.0 - k / size) * rho**k for k in range(1, size)))
    t = (abs(s) - 1) / math.sqrt(inflated) if s else 0.0
    tied = pairs / 2 - sum(t * (t - 1) / 2 for t in ties)
    return MannKendall(s, s / math.sqrt(tied * pairs / 2), slope, rho, min(1.0, 2.0 * t_tail(t, 2 * (size - 2))))


def _decided(trend: Trend, p: float, alpha: float) -> Trend:
    if trend.state == "unknown":
        return trend
    good = METRICS[trend.metric].good
    state: State = "stable"
    if p <= alpha and trend.tau != 0.0:
        if good == 0:
            state = "rising" if trend.tau > 0 else "falling"
        else:
            state = "improving" if (trend.tau > 0) == (good > 0) else "degrading"
    return replace(trend, adjusted=p, state=state)


def _autocorrelation(residuals: Sequence[float]) -> float:
    """Of the ranks at lag 1, its bias taken off; in [0, 0.95]."""
    size = len(residuals)
    ranks = _ranks(residuals)
    middle = 0.5 * (size - 1)
    square = sum((rank - middle) ** 2 for rank in ranks)
    if square == 0.0:
        return 0.0
    rho = sum((a - middle) * (b - middle) for a, b in pairwise(ranks)) / square
    return min(max(rho + (1.0 + 4.0 * rho) / size, 0.0), 0.95)


def _ranks(values: Sequence[float]) -> list[float]:
    """From 0; those that are alike share theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    begin = 0
    while begin < len(order):
        end = begin
        while end + 1 < len(order) and values[order[end + 1]] == values[order[begin]]:
            end += 1
        for i in order[begin : end + 1]:
            ranks[i] = 0.5 * (begin + end)
        begin = end + 1
    return ranks


def _median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else 0.5 * (ordered[half - 1] + ordered[half])
