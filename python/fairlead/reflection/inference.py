"""Tests and intervals for losses that come in rounds and remember each other.

Outcomes that became known at the same moment are one piece of news, so tasks are summed by round; what is left of
autocorrelation between rounds is met by the series estimator of the long-run variance: the estimate is one projection
of the series, and its variance is the mean square of B projections on the smoothest directions orthogonal to it
(cosines), so that estimate / error follows Student's t with B degrees of freedom: exactly for Gaussian white noise, and
nearly for what is autocorrelated. Where 5 % are asked for, there are no more than 8 % false alarms with 40 rounds or
more whose lag-1 autocorrelation is .7, and 12 % with 20. With 10 rounds, the fewest that a mean is tested with, there
are 13 % where it is .5, and 22 % where it is .7: that is too little to tell autocorrelation by. (What no test of this
kind does well: a weak but slow component, autocorrelation .9, under twice as much noise gives up to 20 %.) U. Müller,
"A theory of robust long-run variance estimation" (J. Econometrics 141, 2007); E. Lazarus, D. Lewis, J. Stock, M.
Watson, "HAR inference: recommendations for practice" (JBES 36, 2018).

A series of rare events shows no variance until one comes, and then no test by what was seen can be right. So where
forecasts imply how much the values must vary (`Implied`), an error is no less than that, or than half of it where so
many events are to be expected that the series shows its variance by itself; and a series that never varied, of which
nothing is implied, has no error and no p-value, unless it is zero throughout.

B is their 0.4 T^(2/3) of T rounds for trends. For means, which are compared by the hundred and so need small p-values,
it may be up to twice that, where an autoregression of order 1 says that this biases the variance by at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fairlead.measure.student import t_quantile, t_tail

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ALPHA = 0.05
MIN_ROUNDS = 10  # of a test of a mean
_MANY_EVENTS = 50  # with as many expected, a test by the variance seen has 5 % false alarms; with 20 up to 8, with 5 12
MOST_BLOCKS = 1024  # longer series are summed over neighbouring rounds first: the smooth directions lose nothing


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or a slope with its error; p_value: of zero, two-sided; low, high: 95 % interval.

    NaN: too few rounds, or nearly all tasks in a few of them, or a value that never varied.
    """

    value: float
    low: float
    high: float
    p_value: float
    n: int
    rounds: int
    statistic: float = math.nan
    freedom: int = 0


@dataclass(frozen=True, slots=True)
class Implied:
    """How values must vary, one by one, by what forecasts say: each takes one of two values, `apart` from each other,
    the first with probability `chance`. NaN: not known."""

    chance: Floats
    apart: Floats

    def __getitem__(self, places: Ints | NDArray[np.bool_]) -> Implied:
        return Implied(self.chance[places], self.apart[places])

    @property
    def sure(self) -> bool:
        """Nothing may vary: what is not zero then never was, and no number of rounds is needed to tell."""
        return bool((self.chance * (1.0 - self.chance) * self.apart == 0.0).all())

    def moments(self) -> tuple[Floats, Floats]:
        """The variance and the fourth central moment of each value; 0 where not known."""
        even, square = self.chance * (1.0 - self.chance), self.apart * self.apart
        variance = np.nan_to_num(even * square)
        return variance, variance * np.nan_to_num((1.0 - 3.0 * even) * square)

    def variance(self) -> Floats:
        """The variance below which none is believed, of each value, were they independent of each other."""
        variance, fourth = self.moments()
        return variance * believed(float(variance.sum()), float(fourth.sum()))


def believed(variance: float, fourth: float) -> float:
    """The share of an implied variance below which none is believed, given sums of `Implied.moments`."""
    # Of n values with the same small chance of an event, the number of events is variance**2 / fourth.
    return 0.25 if variance**2 >= _MANY_EVENTS * fourth else 1.0


def normal_tail(z: float) -> float:
    """P(Z > z) of the standard normal distribution."""
    return 0.5 * math.erfc(z / math.sqrt(2.0))


def holm(p_values: Sequence[float] | Floats) -> Floats:
    """P-values adjusted so that one false alarm among all has probability alpha (S. Holm 1979); NaN is no test.

    >>> holm([0.01, 0.04, float("nan"), 0.03]).round(3).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    p = np.array(p_values, dtype=float)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factor = np.arange(len(order), 0, -1)
    p[order] = np.minimum(np.maximum.accumulate(p[order] * factor), 1.0) if len(order) else p[order]
    return p


def directions(rounds: float) -> int:
    """How many smooth directions the variance is taken from, the degrees of freedom of the test."""
    return max(4, int(0.4 * rounds ** (2.0 / 3.0)))


def most_directions(rounds: float) -> int:
    """Of a series that is not autocorrelated."""
    return directions(2.0**1.5 * rounds)


def autocorrelation(series: Floats, rounds: float) -> float:
    """Of a series whose mean is zero, the sample's lag-1 autocorrelation and an error of that more."""
    return _dot(series[1:], series[:-1]) / max(_dot(series, series), 1e-300) + 1.0 / math.sqrt(rounds)


def directions_for(rho: float, rounds: float) -> int:
    """The same, up to twice as many, by an autocorrelation."""
    most = most_directions(rounds)
    if rho <= 0.01:
        return most
    rho = min(rho, 0.99)
    # The relative bias of the variance is (pi B / T)^2 / 6 times 2 rho / (1 - rho)^2.
    return min(most, max(4, int(rounds * math.sqrt(0.05 * 6.0 / math.pi**2 * (1.0 - rho) ** 2 / (2.0 * rho)))))


def blocks(rounds: Ints) -> tuple[Ints, int]:
    """Numbers the rounds that hold anything from 0, neighbours together where there are more than 1024; how many."""
    kept = np.flatnonzero(np.bincount(rounds))
    size = len(kept)
    place = np.zeros(int(kept[-1]) + 1 if size else 0, dtype=np.int64)
    place[kept] = np.arange(size) if size <= MOST_BLOCKS else np.arange(size) * MOST_BLOCKS // size
    return place[rounds], min(size, MOST_BLOCKS)


def evenly(counts: Floats) -> float:
    """As how many rounds of equal size these count: where a few hold nearly all tasks, as few (Kish)."""
    return float(counts.sum()) ** 2 / _dot(counts, counts)


def by_round(values: Floats, rounds: Ints) -> tuple[Floats, Floats, int]:
    """Sums and counts of the rounds (or blocks of rounds) that hold anything, in their order; how many rounds."""
    block, size = blocks(rounds)
    sums: Floats = np.bincount(block, values, size).astype(np.float64)
    counts: Floats = np.bincount(block, minlength=size).astype(np.float64)
    return sums, counts, int(np.count_nonzero(np.bincount(rounds)))


def _basis(counts: Floats, trend: bool) -> Floats:
    """Orthonormal rows: the level, the trend if asked for, and the smoothest directions orthogonal to them.

    Rounds count by the tasks in them, and time is the number of tasks so far. Where a few rounds hold nearly all tasks,
    there are fewer directions than usual.
    """
    return _basis_of(counts.tobytes(), trend)


@lru_cache(maxsize=16)
def _basis_of(counts_bytes: bytes, trend: bool) -> Floats:
    counts = np.frombuffer(counts_bytes)
    at = (np.cumsum(counts) - 0.5 * counts) / float(counts.sum())
    even = evenly(counts)
    most = directions(even) if trend else most_directions(even)
    smooth = [np.cos(math.pi * j * at) for j in range(1, most + 1)]
    rows = [np.ones_like(at), *([at - 0.5] if trend else []), *smooth]
    root = np.sqrt(counts)
    found = np.empty((len(rows), len(counts)))
    size = 0
    # Gram and Schmidt, twice; not LAPACK's, whose bits depend on how many threads it takes.
    for row in rows:
        new = row * root
        length = math.sqrt(_dot(new, new))
        for _ in range(2):
            new = new - np.einsum("ij,i->j", found[:size], np.einsum("ij,j->i", found[:size], new))
        left = math.sqrt(_dot(new, new))
        if left > 1e-6 * length:
            found[size] = new / left
            size += 1
    return found[:size]


def _dot(x: Floats, y: Floats) -> float:
    return float(np.einsum("i,i->", x, y))


def _spread(series: Floats, smooth: Floats) -> float:
    """The mean square of the projections."""
    projections = np.einsum("ij,j->i", smooth, series)
    return _dot(projections, projections) / len(projections)


def mean(values: Floats, rounds: Ints, implied: Implied | None = None, *, least: int = MIN_ROUNDS) -> Estimate:
    """The mean of the values of tasks, and a test of its being zero. NaN is left out.

    implied: how each must vary if what is tested holds, as far as that is known.

    >>> mean(np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1])).value
    2.0
    """
    values, rounds, implied = _known(values, rounds, implied)
    sums, counts, size = by_round(values, rounds)
    n = len(values)
    if not n:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0, 0)
    value = float(sums.sum()) / n
    if size < least or evenly(counts) < 0.5 * least:
        return Estimate(value, math.nan, math.nan, math.nan, n, size)
    smooth = _basis(counts, False)[1:]
    if not len(smooth):
        return Estimate(value, math.nan, math.nan, math.nan, n, size)
    # The mean is taken out first: what is constant then has an error of exactly zero.
    rest = (sums - value * counts) / np.sqrt(counts)
    even = evenly(counts)
    smooth = smooth[: directions_for(autocorrelation(rest, even), even)]
    error = math.sqrt(_spread(rest, smooth) / n)
    if implied is not None:
        error = max(error, math.sqrt(float(implied.variance().sum())) / n)
    sure = implied is not None and implied.sure
    return _estimate(value, error, len(smooth), n, size, _noise(values), sure)


def slope(values: Floats, rounds: Ints, implied: Implied | None = None, *, least: int) -> Estimate:
    """The slope of the values over the tasks, for each 100 of them, and a test of its being zero. NaN is left out.

    implied: as for `mean`.
    """
    values, rounds, implied = _known(values, rounds, implied)
    sums, counts, size = by_round(values, rounds)
    n = len(values)
    if size < least or evenly(counts) < 0.5 * least:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n, size)
    smooth = _basis(counts, True)[2:]
    if not len(smooth):
        return Estimate(math.nan, math.nan, math.nan, math.nan, n, size)
    at = np.cumsum(counts) - 0.5 * counts
    at = at - _dot(at, counts) / n
    spread = _dot(at * at, counts)
    level = float(sums.sum()) / n
    series = (sums - level * counts) / np.sqrt(counts)
    value = _dot(at, sums - level * counts) / spread
    error = math.sqrt(_spread(series, smooth) / spread)
    if implied is not None:
        error = max(error, math.sqrt(_dot(at * at, by_round(implied.variance(), rounds)[0])) / spread)
    noise = 100.0 * _noise(values) / math.sqrt(spread / n)
    sure = implied is not None and implied.sure
    return _estimate(100.0 * value, 100.0 * error, len(smooth), n, size, noise, sure)


def _known(values: Floats, rounds: Ints, implied: Implied | None) -> tuple[Floats, Ints, Implied | None]:
    known = ~np.isnan(values)
    return values[known], rounds[known], None if implied is None else implied[known]


def _noise(values: Floats) -> float:
    """What rounding alone can put into a mean of the values."""
    return 1e-13 * float(np.max(np.abs(values)))


def _estimate(value: float, error: float, freedom: int, n: int, rounds: int, noise: float, sure: bool) -> Estimate:
    if error <= noise:  # a constant series
        zero = abs(value) <= noise
        if not zero and not sure:
            return Estimate(value, math.nan, math.nan, math.nan, n, rounds)
        return Estimate(value, value, value, 1.0 if zero else 0.0, n, rounds, 0.0 if zero else math.inf, freedom)
    t = value / error
    half = t_quantile(freedom) * error
    p = min(1.0, 2.0 * t_tail(abs(t), freedom))
    return Estimate(value, value - half, value + half, p, n, rounds, t, freedom)
