"""What a challenger must not do, however well it answers: be much slower or dearer, fail, be sure of what is not so, or
pay for a gain overall with one slice.

Each guardrail is a null, "the challenger stays within the limit, given the past", against which is bet as in the test
itself (`fairlead.lifecycle.proving.bets`): a challenger within the limits trips it with probability `alpha` at most,
over the whole trial and however often one looks. The limits leave room, so that of equal ones far fewer are tripped
(benchmarks/promotion.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.bets import Bets
from fairlead.lifecycle.proving.losses import Answer, Scale
from fairlead.lifecycle.proving.paired import level, number

BINS = 10
MOST_SLICES = 64
_KNOWN = 20  # latencies of the champion before its slowest are known
_SLOWEST = 0.05
_COST_CUT = 3.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model gave on one example. answer: the probabilities of all classes, or a number; None: the call failed.
    latency_ms, cost_usd: where they are known. Raises InvalidRecordError for negative or infinite ones."""

    answer: Answer
    latency_ms: float | None = None
    cost_usd: float | None = None

    def __post_init__(self) -> None:
        for name in ("latency_ms", "cost_usd"):
            value = getattr(self, name)
            try:
                good = value is None or 0.0 <= value < math.inf
            except TypeError:
                good = False
            if not good:
                raise InvalidRecordError(f"{name} is {value!r}, must be 0 or more, and finite")


@dataclass(frozen=True, slots=True)
class Guardrails:
    """The limits; None: not looked at. What nobody tells (no latency, no cost, no slices) is not looked at either.

    latency: the slowest twentieth of calls takes at most so many times as long as the champion's, and so does the usual
    call. cost: a call costs at
    most so many times as much, on average. errors: the share of failed calls is at most so much higher. calibration:
    the calibration error - how far the share of right answers is from what was claimed, of the likeliest class in ten
    bins - is at most so much higher. worst_slice: in no slice does the challenger lose more by this, where a loss is
    between 0 and 1 (of numbers: where `losses.CUT` usual differences are 1). alpha: the chance, of each, that
    a challenger within the limit trips it; that of slices is shared by all of them.

    >>> Guardrails(latency=2.0, cost=None).cost is None
    True
    """

    latency: float | None = 1.5
    cost: float | None = 1.5
    errors: float | None = 0.02
    calibration: float | None = 0.05
    worst_slice: float | None = 0.1
    alpha: float = 0.01

    def __post_init__(self) -> None:
        for name, low, high in (
            ("latency", 0.0, math.inf),
            ("cost", 0.0, math.inf),
            ("errors", -1.0, 1.0),
            ("calibration", -1.0, 1.0),
            ("worst_slice", -1.0, 1.0),
        ):
            value = getattr(self, name)
            if value is not None:
                number(value, name)
            if value is not None and not low < value < high:
                raise InvalidRecordError(f"{name} is {value!r}, must be between {low:g} and {high:g}, or None")
        level(self.alpha, "alpha")

    def as_dict(self) -> dict[str, Any]:
        """The limits, as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Guardrails:
        """Back from `as_dict`."""
        return cls(**values)


NO_GUARDRAILS = Guardrails(None, None, None, None, None)
"""None at all."""


@dataclass(frozen=True, slots=True)
class Check:
    """How one guardrail stands. value: of the challenger; champion: the same of the champion; both NaN where nothing is
    known. n: pairs looked at. p_value: of the null that the limit holds; valid at any time."""

    guardrail: str
    value: float
    champion: float
    limit: float
    n: int
    p_value: float
    tripped: bool
    message: str

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True, slots=True)
class Seen:
    """A pair as guardrails see it. gain: of the challenger, in [-1, 1]."""

    y: float
    champion: Reply
    challenger: Reply
    gain: float
    slices: Mapping[str, str] = field(default_factory=dict)


class Guard(Protocol):
    """One guardrail at work: a pure function of the pairs that it has seen."""

    def add(self, seen: Seen) -> None: ...
    def check(self) -> Check: ...
    def tripped(self) -> bool: ...
    def as_dict(self) -> dict[str, Any]: ...
    def restore(self, values: Mapping[str, Any]) -> None: ...


class _Slower:
    """Latency, in two ways, each with half of alpha. The usual call: the challenger takes more than `limit` times as
    long as the champion on the same task, in at most half of them. The slowest: how often either takes longer than
    `limit` times the champion's slowest twentieth so far; the challenger may do so in a twentieth of calls more than
    the champion, whose own share takes out what slows both down."""

    def __init__(self, limit: float, alpha: float) -> None:
        self.limit, self.alpha = limit, alpha
        self._usual, self._slowest = Bets(0.5), Bets(0.5 + 0.5 * _SLOWEST)
        self._champion, self._challenger = Scale(), Scale()

    def add(self, seen: Seen) -> None:
        one, other = seen.champion.latency_ms, seen.challenger.latency_ms
        if one is None or other is None:
            return
        self._usual.add(float(other > self.limit * one))
        if self._champion.n >= _KNOWN:
            longest = self.limit * self._champion.quantile(1.0 - _SLOWEST)
            self._slowest.add(0.5 + 0.5 * ((other > longest) - (one > longest)))
        self._champion.learn(one)
        self._challenger.learn(other)

    def tripped(self) -> bool:
        return self._usual.beaten(0.5 * self.alpha) or self._slowest.beaten(0.5 * self.alpha)

    def check(self) -> Check:
        usual = self._usual.log_most > self._slowest.log_most
        bets, share, what = (self._usual, 0.5, "usual call") if usual else (self._slowest, 0.95, "slowest twentieth")
        one, other = (scale.quantile(share) for scale in (self._champion, self._challenger))
        says = f"the {what} takes {other:.3g} ms, the champion's {one:.3g} ms (limit: {self.limit:g} times that)"
        p_value = min(1.0, 2.0 * bets.p_value)
        return _check("latency", self, self._usual, other, one, says, p_value)

    def as_dict(self) -> dict[str, Any]:
        return {
            "usual": self._usual.as_dict(),
            "slowest": self._slowest.as_dict(),
            "champion": self._champion.as_dict(),
            "challenger": self._challenger.as_dict(),
        }

    def restore(self, values: Mapping[str, Any]) -> None:
        self._usual, self._slowest = Bets.from_dict(values["usual"]), Bets.from_dict(values["slowest"])
        self._champion, self._challenger = (Scale.from_dict(values[name]) for name in ("champion", "challenger"))


class _Dearer:
    """Cost: the challenger's less `limit` times the champion's, by what is usual for that, cut at three times it."""

    def __init__(self, limit: float, alpha: float) -> None:
        self.limit, self.alpha = limit, alpha
        self._bets = Bets(0.5)
        self._usual = Scale()
        self._sums = [0.0, 0.0]

    def add(self, seen: Seen) -> None:
        one, other = seen.champion.cost_usd, seen.challenger.cost_usd
        if one is None or other is None:
            return
        excess, usual = other - self.limit * one, self._usual.value
        self._usual.learn(abs(excess))
        self._sums[0] += one
        self._sums[1] += other
        by = 0.0 if usual is None else min(max(excess / (_COST_CUT * usual), -1.0), 1.0)
        self._bets.add(0.5 + 0.5 * by)

    def tripped(self) -> bool:
        return self._bets.beaten(self.alpha)

    def check(self) -> Check:
        n = self._bets.n or math.nan
        one, other = (total / n for total in self._sums)
        says = f"a call costs {other:.4g} USD, the champion's {one:.4g} USD (limit: {self.limit:g} times that)"
        return _check("cost", self, self._bets, other, one, says)

    def as_dict(self) -> dict[str, Any]:
        return {"bets": self._bets.as_dict(), "usual": self._usual.as_dict(), "sums": list(self._sums)}

    def restore(self, values: Mapping[str, Any]) -> None:
        self._bets, self._usual = Bets.from_dict(values["bets"]), Scale.from_dict(values["usual"])
        self._sums = [float(total) for total in values["sums"]]


class _Failing:
    """Errors: the share of calls that fail, beyond the champion's."""

    def __init__(self, limit: float, alpha: float) -> None:
        self.limit, self.alpha = limit, alpha
        self._bets = Bets(0.5 + 0.5 * limit)
        self._failed = [0, 0]

    def add(self, seen: Seen) -> None:
        one, other = (reply.answer is None for reply in (seen.champion, seen.challenger))
        self._failed[0] += one
        self._failed[1] += other
        self._bets.add(0.5 + 0.5 * (other - one))

    def tripped(self) -> bool:
        return self._bets.beaten(self.alpha)

    def check(self) -> Check:
        n = self._bets.n or math.nan
        one, other = (count / n for count in self._failed)
        says = f"{other:.1%} of calls fail, of the champion's {one:.1%} (limit: {self.limit:.1%} more)"
        return _check("errors", self, self._bets, other, one, says)

    def as_dict(self) -> dict[str, Any]:
        return {"bets": self._bets.as_dict(), "failed": list(self._failed)}

    def restore(self, values: Mapping[str, Any]) -> None:
        self._bets = Bets.from_dict(values["bets"])
        self._failed = [int(count) for count in values["failed"]]


class _Calibrated:
    """A model's calibration error, without the upward bias of the usual estimate: of each answer, right or wrong less
    what was claimed, with the sign that the earlier ones in its bin have had."""

    def __init__(self) -> None:
        self.excess = [0.0] * BINS
        self.total, self.n = 0.0, 0

    def add(self, p: Any, y: float) -> float:
        values = [float(q) for q in p]
        claimed = max(values)
        miss = (values.index(claimed) == int(y)) - claimed
        b = min(int(claimed * BINS), BINS - 1)
        told = self.excess[b]
        self.excess[b] += miss
        error = miss if told > 0.0 else -miss if told < 0.0 else 0.0
        self.total += error
        self.n += 1
        return min(max(error, -1.0), 1.0)

    @property
    def error(self) -> float:
        return self.total / self.n if self.n else math.nan


class _Overconfident:
    """Calibration: the challenger's error less the champion's, answer by answer."""

    def __init__(self, limit: float, alpha: float) -> None:
        self.limit, self.alpha = limit, alpha
        self._bets = Bets(0.5 + 0.25 * limit)
        self._models = (_Calibrated(), _Calibrated())

    def add(self, seen: Seen) -> None:
        answers = [reply.answer for reply in (seen.champion, seen.challenger)]
        for answer in answers:
            if answer is None or isinstance(answer, (int, float)) or math.isnan(sum(answer)):
                return
        one, other = (model.add(answer, seen.y) for model, answer in zip(self._models, answers, strict=True))
        self._bets.add(0.5 + 0.25 * (other - one))

    def tripped(self) -> bool:
        return self._bets.beaten(self.alpha)

    def check(self) -> Check:
        one, other = (model.error for model in self._models)
        says = f"the calibration error is {other:.3f}, the champion's {one:.3f} (limit: {self.limit:g} more)"
        return _check("calibration", self, self._bets, other, one, says)

    def as_dict(self) -> dict[str, Any]:
        models = [{"excess": list(m.excess), "total": m.total, "n": m.n} for m in self._models]
        return {"bets": self._bets.as_dict(), "models": models}

    def restore(self, values: Mapping[str, Any]) -> None:
        self._bets = Bets.from_dict(values["bets"])
        for model, kept in zip(self._models, values["models"], strict=True):
            model.excess = [float(x) for x in kept["excess"]]
            model.total, model.n = float(kept["total"]), int(kept["n"])


class _Slices:
    """Worst slice: of every slice the loss, beyond the champion's. The k-th slice that shows up is held to a share of
    6 / (pi k) ** 2 of alpha, which together are all of it; after `MOST_SLICES` no more are watched."""

    def __init__(self, limit: float, alpha: float) -> None:
        self.limit, self.alpha = limit, alpha
        self._slices: dict[tuple[str, str], tuple[Bets, list[float]]] = {}
        self._tripped: tuple[str, str] | None = None

    def add(self, seen: Seen) -> None:
        for key in seen.slices.items():
            if key not in self._slices:
                if len(self._slices) == MOST_SLICES:
                    continue
                self._slices[key] = (Bets(0.5 + 0.5 * self.limit), [0.0])
            bets, total = self._slices[key]
            bets.add(0.5 - 0.5 * seen.gain)
            total[0] -= seen.gain
            if self._tripped is None and bets.beaten(self._share(key)):
                self._tripped = key

    def _share(self, key: tuple[str, str]) -> float:
        return self.alpha * 6.0 / (math.pi * (1 + list(self._slices).index(key))) ** 2

    def tripped(self) -> bool:
        return self._tripped is not None

    def check(self) -> Check:
        if not self._slices:
            return Check("worst_slice", math.nan, 0.0, self.limit, 0, 1.0, False, "worst_slice: no slices")
        # Of equal p-values, as at the beginning, the one where the challenger is worst.
        p_values = {key: min(1.0, self.alpha * found[0].p_value / self._share(key))
                    for key, found in self._slices.items()}  # fmt: skip
        means = {key: found[1][0] / found[0].n for key, found in self._slices.items()}
        key = self._tripped or min(self._slices, key=lambda key: (p_values[key], -means[key]))
        bets, _ = self._slices[key]
        how = f"loses {means[key]:.3f} more" if means[key] >= 0.0 else f"loses {-means[key]:.3f} less"
        says = f"in {key[0]}={key[1]} the challenger {how} than the champion (limit: {self.limit:g} more)"
        return _check("worst_slice", self, bets, means[key], 0.0, says, p_values[key])

    def as_dict(self) -> dict[str, Any]:
        slices = [[*key, bets.as_dict(), total[0]] for key, (bets, total) in self._slices.items()]
        return {"slices": slices, "tripped": None if self._tripped is None else list(self._tripped)}

    def restore(self, values: Mapping[str, Any]) -> None:
        self._slices = {
            (name, value): (Bets.from_dict(bets), [float(total)]) for name, value, bets, total in values["slices"]
        }
        self._tripped = None if values["tripped"] is None else (values["tripped"][0], values["tripped"][1])


def guards(limits: Guardrails) -> dict[str, Guard]:
    """The guardrails at work, by name."""
    made: dict[str, Guard] = {}
    for name, kind in _GUARDS.items():
        limit = getattr(limits, name)
        if limit is not None:
            made[name] = kind(limit, limits.alpha)
    return made


_GUARDS: dict[str, Any] = {
    "errors": _Failing,
    "latency": _Slower,
    "cost": _Dearer,
    "calibration": _Overconfident,
    "worst_slice": _Slices,
}


def _check(
    name: str, guard: Any, bets: Bets, value: float, champion: float, says: str, p_value: float | None = None
) -> Check:
    p_value = bets.p_value if p_value is None else p_value
    tripped = guard.tripped()
    message = (
        f"{name}: nothing to look at" if value != value else f"{name}: {says}, p {p_value:.2g} over {bets.n} pairs"
    )
    return Check(name, value, champion, guard.limit, bets.n, p_value, tripped, message)
