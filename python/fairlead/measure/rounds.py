"""Means of marks that come in rounds: how sure they are, and whether two of them differ.

Answers that were settled in one stretch of time share its news, so they are no independent results. Marks are
therefore summed by round, and errors are those of a mean over clusters: with s and n the sum and number of marks of a
round, and m the mean of all N, the variance of m is G / (G - 1) * sum (s - n m)^2 / N^2. Rounds count by how evenly
they are filled: G is N^2 / sum n^2, and m / error follows Student's t with G - 1 degrees of freedom, nearly (C. A.
Carter, K. T. Schnepel, D. G. Steigerwald, "Asymptotic behavior of a t-test robust to cluster heterogeneity", Review of
Economics and Statistics 99, 2017). With fewer than `MIN_ROUNDS` such rounds nothing is said.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from fairlead.measure.student import t_quantile, t_tail

MIN_ROUNDS = 4.0
"""Rounds, as evenly filled ones, from which on there is an error."""

Sums = Mapping[int, tuple[float, int]]
"""By round: the sum of marks, and how many."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, or a difference of two. error: its standard error; p_value: of zero, two-sided; n: marks; rounds: how
    many evenly filled ones these are worth. NaN: not known."""

    value: float
    error: float
    p_value: float
    n: int
    rounds: float

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Where it lies with this confidence."""
        if math.isnan(self.error):
            return math.nan, math.nan
        wide = self.error * t_quantile(self.rounds - 1.0, 0.5 * (1.0 - confidence))
        return self.value - wide, self.value + wide


@dataclass(frozen=True, slots=True)
class Share(Estimate):
    """A share of n independent calls."""

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's."""
        if not self.n:
            return math.nan, math.nan
        square = NormalDist().inv_cdf(0.5 * (1.0 + confidence)) ** 2 / self.n
        middle = (self.value + 0.5 * square) / (1.0 + square)
        wide = math.sqrt(square * (self.value * (1.0 - self.value) + 0.25 * square)) / (1.0 + square)
        return max(middle - wide, 0.0), min(middle + wide, 1.0)


def share(value: float, n: int) -> Share:
    """A share of n independent calls.

    >>> [round(end, 4) for end in share(0.5, 10).interval()]
    [0.2366, 0.7634]
    """
    error = math.sqrt(value * (1.0 - value) / n) if n else math.nan
    return Share(value if n else math.nan, error, math.nan, n, float(n))


def mean(sums: Sums, deviation: float = math.nan) -> Estimate:
    """The mean of all marks. deviation: the standard deviation of one mark, where it is known: the error is no less
    than if all marks were independent, so that a few rounds that happen to be alike prove nothing.

    >>> found = mean({1: (2.0, 10), 2: (3.0, 10), 3: (1.0, 10), 4: (2.0, 10)})
    >>> found.value, round(found.error, 4), found.rounds
    (0.2, 0.0408, 4.0)
    """
    n = sum(count for _, count in sums.values())
    if n == 0:
        return _unknown(math.nan, 0, 0.0)
    value = math.fsum(total for total, _ in sums.values()) / n
    rounds = _worth(sums, n)
    if rounds < MIN_ROUNDS:
        return _unknown(value, n, rounds)
    square = math.fsum((total - count * value) ** 2 for total, count in sums.values()) / n**2
    least = 0.0 if math.isnan(deviation) else deviation**2 / n
    return _estimate(value, max(square * rounds / (rounds - 1.0), least), n, rounds)


def difference(a: Sums, b: Sums, least: float = 0.0) -> Estimate:
    """The mean of `a` minus that of `b`, whose rounds are the same stretches of time: what moved both in one round is
    no news of either. least: the variance of the difference if all marks were independent.

    >>> a = {1: (2.0, 10), 2: (3.0, 10), 3: (1.0, 10), 4: (2.0, 10)}
    >>> gap = difference(a, {round: (total - 1.0, n) for round, (total, n) in a.items()})
    >>> gap.value, gap.p_value  # four signs that agree; a spread of zero tells no error
    (0.1, 0.125)
    """
    n, m = (sum(count for _, count in sums.values()) for sums in (a, b))
    if not n or not m:
        return _unknown(math.nan, min(n, m), 0.0)
    means = [math.fsum(total for total, _ in sums.values()) / count for sums, count in ((a, n), (b, m))]
    value = means[0] - means[1]
    rounds = min(_worth(a, n), _worth(b, m))
    if rounds < MIN_ROUNDS:
        return _unknown(value, min(n, m), rounds)
    none = (0.0, 0)
    square = 0.0
    for round in sorted({*a, *b}):
        (s, i), (t, k) = a.get(round, none), b.get(round, none)
        square += ((s - i * means[0]) / n - (t - k * means[1]) / m) ** 2
    return _estimate(value, max(square * rounds / (rounds - 1.0), least), min(n, m), rounds)


def _worth(sums: Sums, n: int) -> float:
    return n**2 / sum(count**2 for _, count in sums.values())


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted so that calling those at most q has a false discovery rate of q; NaN is no test.

    >>> [round(p, 3) for p in benjamini_hochberg([0.01, 0.04, float("nan"), 0.03])]
    [0.03, 0.04, nan, 0.04]
    """
    order = sorted((i for i, p in enumerate(p_values) if p == p), key=lambda i: p_values[i])
    out, least = [math.nan] * len(p_values), 1.0
    for rank in range(len(order), 0, -1):
        i = order[rank - 1]
        least = min(least, p_values[i] * len(order) / rank)
        out[i] = least
    return out


def _estimate(value: float, variance: float, n: int, rounds: float) -> Estimate:
    error = math.sqrt(variance)
    if error == 0.0 and value != 0.0:  # the same in every round: the chance that as many signs agree, and no error
        return Estimate(value, math.nan, 2.0 ** (1.0 - rounds), n, rounds)
    p_value = 2.0 * t_tail(abs(value) / error, rounds - 1.0) if error else 1.0
    return Estimate(value, error, p_value, n, rounds)


def _unknown(value: float, n: int, rounds: float) -> Estimate:
    return Estimate(value, math.nan, math.nan, n, rounds)
