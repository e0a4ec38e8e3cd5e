"""Is the challenger better than the champion? A test on pairs that may be looked at after each of them.

The null is: given the past, the challenger is on average no better than the champion on the next example. Whatever
depends on whatever - tasks that are alike, difficulty that both share and that drifts, examples chosen by what came
before - the chance that a challenger of which this holds all the time is ever found better is `alpha` at most. What is
not promised: of one that is now better and now worse, and no better on the whole, a stretch where it is better may be
found, as it may truly be better there; and what was found need not hold afterwards. For that is the watch
(`fairlead.lifecycle.proving.watch`). Two models that are equal on the whole but have good and bad spells, each its own,
are such a case. Who wants to wait until spells have evened out, takes alpha to the power of the number of successive
pairs that tell the same: 0.05 ** 4 instead of 0.05 (benchmarks/promotion.py has figures).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.bets import Bets, least_mean

_STEPS = 512  # to which the confidence sequence rounds, outwards


class PairedTest:
    """An anytime-valid test of paired losses, by betting (`fairlead.lifecycle.proving.bets`).

    Each pair is the champion's loss and the challenger's on the same example; what counts is their difference, the
    gain, divided by `bound` and cut to [-1, 1]. Losses in [0, bound] are never cut, and the null is of their mean; of
    others it is of the mean of what is left.

    alpha: the level. margin: the null is a gain of at most this, in the loss's units; below 0 the test is whether the
    challenger is at worst that much worse. least, beta: the test is `futile` once a gain of `least` is refuted at level
    beta: a challenger that gains that much is given up with probability beta at most.

    Raises InvalidRecordError for alpha or beta outside (0, 1), a bound that is not positive, a margin or a least that
    is not within it, a least below the margin, and losses that are not finite.

    >>> test = PairedTest(alpha=0.05)
    >>> wrong = [(1, 0), (1, 0), (0, 0), (1, 0), (1, 0), (1, 0), (0, 1), (1, 0), (1, 0), (1, 0), (1, 0), (0, 0), (1, 0)]
    >>> for champion, challenger in wrong:
    ...     e_value = test.update(champion, challenger)
    >>> print(test)
    gain +0.6923 over 13 pairs (95 % at any time: -0.0628 to +0.9719), e-value 21.5 of 20 needed
    >>> test.better, round(test.p_value, 3)
    (True, 0.047)
    """

    __slots__ = ("_against", "_bins", "_for", "_total", "alpha", "beta", "bound", "least", "margin")

    def __init__(
        self, *, alpha: float = 0.05, least: float = 0.0, beta: float = 0.05, margin: float = 0.0, bound: float = 1.0
    ) -> None:
        for name, value in (("bound", bound), ("margin", margin), ("least", least)):
            number(value, name)
        if not 0.0 < bound < math.inf:
            raise InvalidRecordError(f"bound is {bound!r}, must be positive and finite")
        for name, value in (("margin", margin), ("least", least)):
            if not -bound < value < bound:
                raise InvalidRecordError(f"{name} is {value!r}, must be between -{bound:g} and {bound:g}")
        if least < margin:
            raise InvalidRecordError(f"least is {least!r}, must not be below the margin, {margin:g}")
        self.alpha = level(alpha, "alpha")
        self.beta = level(beta, "beta")
        self.bound, self.margin, self.least = float(bound), float(margin), float(least)
        self._for = Bets(0.5 + 0.5 * margin / bound)
        self._against = Bets(0.5 - 0.5 * least / bound)
        self._total = 0.0
        self._bins: dict[int, int] = {}

    def update(self, champion: float, challenger: float) -> float:
        """Goes on by one pair of losses. Returns the e-value."""
        try:
            gain = (champion - challenger) / self.bound
            if gain - gain != 0.0 and not (math.isfinite(champion) and math.isfinite(challenger)):
                raise ValueError
        except (TypeError, ValueError):
            bad, name = (challenger, "challenger") if _finite(champion) else (champion, "champion")
            raise InvalidRecordError(f"{name} is {bad!r}, must be a finite loss") from None
        self.add(min(max(gain, -1.0), 1.0))
        return self.e_value

    def update_many(self, champion: Iterable[float], challenger: Iterable[float]) -> float:
        """As `update` for each pair in turn, to the bit; nothing changes if one is refused. Returns the e-value."""
        one, other = list(champion), list(challenger)
        if len(one) != len(other):
            raise InvalidRecordError(f"challenger has {len(other)} losses, champion has {len(one)}")
        for name, losses in (("champion", one), ("challenger", other)):
            for i, loss in enumerate(losses):
                if not _finite(loss):
                    raise InvalidRecordError(f"{name}[{i}] is {loss!r}, must be a finite loss")
        for i in range(len(one)):
            self.update(float(one[i]), float(other[i]))
        return self.e_value

    def add(self, gain: float) -> None:
        """Goes on by one gain that is already divided by the bound; InvalidRecordError if it is not in [-1, 1]."""
        if not -1.0 <= gain <= 1.0:
            raise InvalidRecordError(f"gain is {gain!r}, must be from -1 to 1")
        self._for.add(0.5 + 0.5 * gain)
        self._against.add(0.5 - 0.5 * gain)
        self._total += gain
        steps = gain * _STEPS
        whole = math.floor(steps)
        key = 2 * whole + (whole != steps)  # odd: between two steps
        self._bins[key] = self._bins.get(key, 0) + 1

    @property
    def n(self) -> int:
        """How many pairs there were."""
        return self._for.n

    @property
    def gain(self) -> float:
        """By how much the challenger lost less, on average, after cutting; NaN without pairs."""
        return self.bound * self._total / self.n if self.n else math.nan

    @property
    def e_value(self) -> float:
        """The evidence that the challenger is better: it is found so at 1 / alpha."""
        return self._for.e_value

    @property
    def p_value(self) -> float:
        """One over the highest e-value so far: valid whenever one looks, as often as one likes."""
        return self._for.p_value

    @property
    def better(self) -> bool:
        """Whether the challenger was found better, now or earlier."""
        return self._for.beaten(self.alpha)

    @property
    def futile(self) -> bool:
        """Whether a gain of `least` or more is refuted."""
        return self._against.beaten(self.beta)

    def interval(self, level_: float = 0.95, /) -> tuple[float, float]:
        """The mean gain, with this confidence at all n together; half of the risk is on either side.

        In a drift: the mean given the past was above the low end at some time, and below the high end at some time.
        Source: the same bets against every mean, rounded outwards to 1/512 of the bound. Computed anew over what was
        seen, in some 0.5 ms for right and wrong, some 2 for finer losses.
        """
        alpha = 0.5 * (1.0 - level(level_, "level"))
        # Of each direction a histogram of x in [0, 1], rounded down.
        above = [(0.5 + 0.5 * (key // 2) / _STEPS, times) for key, times in sorted(self._bins.items())]
        below = [(0.5 - 0.5 * ((key + 1) // 2) / _STEPS, times) for key, times in sorted(self._bins.items())]
        low = 2.0 * least_mean(above, alpha) - 1.0
        high = 1.0 - 2.0 * least_mean(below, alpha)
        return self.bound * low, self.bound * high

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types; what is made from it goes on to the bit."""
        return {
            "alpha": self.alpha,
            "beta": self.beta,
            "least": self.least,
            "margin": self.margin,
            "bound": self.bound,
            "for": self._for.as_dict(),
            "against": self._against.as_dict(),
            "total": self._total,
            "bins": sorted([key, times] for key, times in self._bins.items()),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> PairedTest:
        """Back from `as_dict`."""
        test = cls(**{name: float(values[name]) for name in ("alpha", "beta", "least", "margin", "bound")})
        test._for, test._against = Bets.from_dict(values["for"]), Bets.from_dict(values["against"])
        test._total = float(values["total"])
        test._bins = {int(key): int(times) for key, times in values["bins"]}
        return test

    def __str__(self) -> str:
        if not self.n:
            return "no pairs yet"
        low, high = self.interval()
        return (
            f"gain {self.gain:+.4f} over {self.n} pairs (95 % at any time: {low:+.4f} to {high:+.4f}), "
            f"e-value {self.e_value:.3g} of {1.0 / self.alpha:.3g} needed"
        )


def level(value: Any, name: str) -> float:
    """A probability strictly between 0 and 1, or InvalidRecordError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < 1.0:
        raise InvalidRecordError(f"{name} is {value!r}, must be between 0 and 1")
    return float(value)


def number(value: Any, name: str) -> None:
    """Refuses what is no number: InvalidRecordError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRecordError(f"{name} is {value!r}, must be a number")


def _finite(loss: Any) -> bool:
    try:
        return math.isfinite(loss)
    except (TypeError, ValueError, OverflowError):
        return False
