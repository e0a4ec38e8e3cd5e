"""Testing by betting: what a gambler would have who bets against a mean, from which follows how sure we are.

`Bets(mean)` bets against "the mean of x, in [0, 1], is at most `mean`, given the past". From 1 it goes on by a factor
of 1 + g (x / mean - 1) with each x, for each of seven stakes g; what all stakes together have, weighted, is the
e-value. If the claim is true nobody can expect to win: E[e-value] <= 1 whenever one stops, and the e-value ever reaches
1 / alpha with probability alpha at most (Ville), however x depends on what came before.

Source: I. Waudby-Smith, A. Ramdas, "Estimating means of bounded random variables by betting" (JRSS B 86, 2024); the
mixture over fixed stakes in place of one that is learned, since it needs fewer x (benchmarks/promotion.py) and does not
depend on their order, so that a histogram has all of it. Wealth is kept as logarithms; x is rounded by nobody.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import add
from typing import Any

from fairlead.errors import InvalidRecordError

STAKES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 7 / 8)
"""What share of the wealth is staked; more than 1/8 finds large differences, less the small ones."""
WEIGHTS = (1 / 20, 1 / 20, 2 / 20, 4 / 20, 4 / 20, 4 / 20, 4 / 20)
"""What each stake begins with."""
_LOG_WEIGHTS = tuple(math.log(weight) for weight in WEIGHTS)


class Bets:
    """Bets against "the mean of x in [0, 1] is at most `mean`, given the past". Raises InvalidRecordError for a mean
    that is not between 0 and 1.

    >>> bets = Bets(0.5)
    >>> for x in (1, 1, 1, 1, 1, 1):
    ...     bets.add(x)
    >>> round(bets.e_value, 2), bets.n
    (12.4, 6)
    """

    __slots__ = ("_logs", "_most", "mean", "n")

    def __init__(self, mean: float) -> None:
        if not 0.0 < mean < 1.0:
            raise InvalidRecordError(f"mean is {mean!r}, must be between 0 and 1")
        self.mean = mean
        self.n = 0
        self._logs = list(_LOG_WEIGHTS)
        self._most = 0.0

    def add(self, x: float) -> None:
        """Goes on by one x in [0, 1]; InvalidRecordError for another."""
        if not 0.0 <= x <= 1.0:
            raise InvalidRecordError(f"x is {x!r}, must be from 0 to 1")
        self.n += 1
        odds = x / self.mean - 1.0
        if odds == 0.0:
            return
        self._logs = list(map(add, self._logs, _steps(odds)))
        self._most = max(self._most, log_sum(self._logs))

    @property
    def log_e_value(self) -> float:
        """The logarithm of the e-value: that of all wealth together."""
        return log_sum(self._logs)

    @property
    def e_value(self) -> float:
        """Wealth, of 1 at the beginning; infinite past 1e308."""
        log = self.log_e_value
        return math.exp(log) if log < 709.0 else math.inf

    @property
    def log_most(self) -> float:
        """The logarithm of the highest e-value so far, at least 0."""
        return self._most

    @property
    def p_value(self) -> float:
        """One over the highest e-value so far: valid whenever one looks."""
        return math.exp(-self._most)

    def beaten(self, alpha: float) -> bool:
        """Whether the claim is refuted at this level: the e-value has reached 1 / alpha."""
        return self._most >= -math.log(alpha)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types, to the bit."""
        return {"mean": self.mean, "n": self.n, "logs": list(self._logs), "most": self._most}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Bets:
        """Back from `as_dict`."""
        bets = cls(float(values["mean"]))
        bets.n = int(values["n"])
        bets._logs = [float(log) for log in values["logs"]]
        bets._most = float(values["most"])
        return bets


@lru_cache(maxsize=4096)
def _steps(odds: float) -> tuple[float, ...]:
    """What each stake's logarithm grows by. Kept, as right and wrong give but a few."""
    log1p = math.log1p
    return tuple([log1p(stake * odds) for stake in STAKES])


def least_mean(x: Iterable[tuple[float, int]], alpha: float) -> float:
    """The end of the confidence sequence: every smaller mean is refuted at level alpha by x of a histogram (x, how
    often). Rounded down to a multiple of 2**-24."""
    import numpy as np

    values, times = np.array(list(x), dtype=np.float64).reshape(-1, 2).T
    wanted, stakes, weights = -math.log(alpha), np.array(STAKES)[:, None], np.array(_LOG_WEIGHTS)
    low, high = 0.0, 1.0
    for _ in range(24):
        middle = 0.5 * (low + high)
        logs = weights + np.log(1.0 + stakes * (values / middle - 1.0)) @ times
        low, high = (middle, high) if log_sum(logs.tolist()) >= wanted else (low, middle)
    return low


def log_sum(logs: list[float]) -> float:
    """log(sum(exp(logs))), without overflow."""
    exp, most = math.exp, max(logs)
    return most + math.log(sum([exp(log - most) for log in logs]))
