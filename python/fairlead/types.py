"""The five records. All are frozen, validated when they are made, and turn into JSON and back with the same field
names.

What a record is made from is wider than what it holds (a datetime becomes nanoseconds, a list a tuple); the
`__init__` that type checkers see says so, the one that runs is the dataclass's own.

Source of the names and the order of fields: `cpp/include/fairlead/types.hpp`; a test holds the two together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeVar

from fairlead.errors import InvalidRecordError, NoForecastError
from fairlead.times import as_time

if TYPE_CHECKING:
    from datetime import date

Kind = Literal["binary", "categorical", "numeric"]
Tier = Literal["reasoning", "standard", "fast"]
Probabilities = float | tuple[float, ...] | dict[str, float]

KINDS: tuple[Kind, ...] = ("binary", "categorical", "numeric")
TIERS: tuple[Tier, ...] = ("reasoning", "standard", "fast")
SUM_TOLERANCE = 1e-3
ROUNDING = 1e-9  # so that three times 0.333 is within the tolerance
MAX_LABELS = 4096  # the core's Scoreboard::max_labels
MAX_TOKENS = 2**53
MAX_SLICES = 6  # besides category and regime: the core's Scoreboard::max_slices

_R = TypeVar("_R", bound="Record")
_V = TypeVar("_V")


class FrozenDict(dict[str, _V]):
    """A dictionary that cannot be changed, so that a frozen record is frozen all through; hashable and picklable."""

    __slots__ = ()

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("this mapping belongs to a record and cannot be changed; make a new record")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type, tuple[dict[str, _V]]]:
        return type(self), (dict(self),)


class Record:
    """What the five records share: JSON in and out."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types; what cannot be expressed in JSON (NaN) does not occur in a record."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}  # type: ignore[arg-type]

    def to_json(self) -> str:
        """The record as one JSON object."""
        return json.dumps(self.to_dict(), allow_nan=False)

    @classmethod
    def from_dict(cls: type[_R], values: Mapping[str, Any]) -> _R:
        """The record back from `to_dict`. Raises InvalidRecordError for a field it does not have, or lacks."""
        if not isinstance(values, Mapping):  # it came from JSON
            raise InvalidRecordError(f"{cls.__name__} must be an object, not {values!r}")
        known = {f.name: f for f in fields(cls)}  # type: ignore[arg-type]
        for name in values:
            if name not in known:
                raise InvalidRecordError(f"{cls.__name__} has no field {name!r}")
        for name, f in known.items():
            if name not in values and f.default is MISSING and f.default_factory is MISSING:
                raise InvalidRecordError(f"{cls.__name__} lacks the field {name!r}")
        return cls(**values)

    @classmethod
    def from_json(cls: type[_R], text: str) -> _R:
        """The record back from `to_json`. Raises InvalidRecordError for what is not JSON, and as `from_dict`."""
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise InvalidRecordError(f"{cls.__name__} is not JSON: {error}") from error
        return cls.from_dict(values)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value


def _name(value: object, where: str, *, empty: bool = False) -> str:
    if not isinstance(value, str) or (not value and not empty):
        raise InvalidRecordError(f"{where} is {value!r}, must be a {'' if empty else 'non-empty '}string")
    return str(value)


def _number(value: object, where: str, *, least: float = -math.inf, most: float = math.inf) -> float:
    """A finite float in [least, most]. Takes whatever has __float__, but no strings."""
    if isinstance(value, (str, bytes)):
        raise InvalidRecordError(f"{where} is {value!r}, must be a number")
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRecordError(f"{where} is {value!r}, must be a number") from error
    if math.isnan(number) or math.isinf(number):
        raise InvalidRecordError(f"{where} is {number}, must be finite")
    if not least <= number <= most:
        bounds = f"outside [{least:g}, {most:g}]" if most < math.inf else f"below {least:g}"
        raise InvalidRecordError(f"{where} is {number:g}, {bounds}")
    return number


def _optional(value: object, where: str, *, least: float = -math.inf, most: float = math.inf) -> float | None:
    return None if value is None else _number(value, where, least=least, most=most)


def _count(value: object, where: str) -> int:
    try:
        count = int(value.__index__())  # type: ignore[attr-defined]
    except AttributeError as error:
        raise InvalidRecordError(f"{where} is {value!r}, must be an integer") from error
    if not 0 <= count <= MAX_TOKENS:
        raise InvalidRecordError(f"{where} is {count}, {'below 0' if count < 0 else 'above 2**53'}")
    return count


def _names(values: Iterable[object], where: str) -> tuple[str, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise InvalidRecordError(f"{where} is {values!r}, must be a sequence of strings")
    names = tuple(_name(value, f"{where}[{i}]") for i, value in enumerate(values))
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidRecordError(f"{where} holds {twice!r} twice")
    return names


def _distribution(values: Mapping[str, object] | Iterable[object]) -> tuple[float, ...] | FrozenDict[float]:
    """Probabilities that sum to 1, renormalised; by label, or in the order of the task's labels."""
    named = isinstance(values, Mapping)
    items = list(values.items()) if isinstance(values, Mapping) else list(enumerate(values))
    if len(items) < 2:
        raise InvalidRecordError(f"p has {len(items)} entries, must be one number or have an entry for each label")
    if named:
        _names([key for key, _ in items], "labels of p")
    p = [_number(value, f"p[{key!r}]", least=0.0, most=1.0) for key, value in items]
    total = math.fsum(p)
    if abs(total - 1.0) > SUM_TOLERANCE + ROUNDING:
        raise InvalidRecordError(f"p sums to {total:g}, must sum to 1 within {SUM_TOLERANCE:g}")
    if abs(total - 1.0) > 1e-12:  # what is normalised stays as it is, so that JSON gives back the same record
        p = [x / total for x in p]
    return FrozenDict({str(key): x for (key, _), x in zip(items, p, strict=True)}) if named else tuple(p)


@dataclass(frozen=True, slots=True)
class Model(Record):
    """A member of the fleet: a language model behind an API, a classifier, an agent, a policy.

    Prices are USD per million tokens: of input, of output, of input read from a cache and written to one; where one of
    the last two is 0, such tokens cost what other input does. Raises InvalidRecordError for an empty name, an unknown
    tier or a negative price.

    >>> Model("gpt-4o", provider="openai", tier="reasoning", price_in=2.5, price_out=10).price_out
    10.0
    """

    name: str
    provider: str = ""
    tier: Tier = "standard"
    price_in: float = 0.0
    price_out: float = 0.0
    price_cached: float = 0.0
    tags: tuple[str, ...] = ()
    price_written: float = 0.0

    def __post_init__(self) -> None:
        self._set("name", _name(self.name, "name"))
        self._set("provider", _name(self.provider, "provider", empty=True))
        if self.tier not in TIERS:
            raise InvalidRecordError(f"tier is {self.tier!r}, must be one of {', '.join(TIERS)}")
        for price in ("price_in", "price_out", "price_cached", "price_written"):
            self._set(price, _number(getattr(self, price), price, least=0.0))
        self._set("tags", _names(self.tags, "tags"))

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types. Without `price_written` where there is none, as it was before there was one:
        old journals have the same record."""
        values = Record.to_dict(self)
        if not self.price_written:
            del values["price_written"]
        return values


@dataclass(frozen=True, slots=True)
class Task(Record):
    """A question that models answer.

    id: unique in the fleet. kind: `binary` (did it happen?), `categorical` (which of `labels`?), `numeric` (how much?).
    category, regime and every entry of slices are dimensions that score is kept by; those of slices may have any names
    but `category` and `regime`, which have a field of their own, and `overall`. stake_usd: what is at stake.
    expires_in_s: seconds from `time` until the answer is of no use. time: integer nanoseconds since the epoch, UTC (a
    datetime or an ISO string is converted); 0 = not given.

    Raises InvalidRecordError naming the field and the value.

    >>> task = Task("q-17", kind="categorical", labels=("up", "flat", "down"), category="rates")
    >>> Task.from_json(task.to_json()) == task
    True
    """

    id: str
    kind: Kind = "binary"
    category: str = ""
    text: str = ""
    labels: tuple[str, ...] = ()
    stake_usd: float = 0.0
    regime: str = ""
    expires_in_s: float | None = None
    slices: dict[str, str] = field(default_factory=dict)
    time: int = 0

    if TYPE_CHECKING:

        def __init__(
            self,
            id: str,
            kind: Kind = "binary",
            category: str = "",
            text: str = "",
            labels: Iterable[str] = (),
            stake_usd: float = 0.0,
            regime: str = "",
            expires_in_s: float | None = None,
            slices: Mapping[str, str] = ...,
            time: int | str | date = 0,
        ) -> None: ...

    def __post_init__(self) -> None:
        self._set("id", _name(self.id, "id"))
        if self.kind not in KINDS:
            raise InvalidRecordError(f"kind is {self.kind!r}, must be one of {', '.join(KINDS)}")
        for text in ("category", "text", "regime"):
            self._set(text, _name(getattr(self, text), text, empty=True))
        self._set("labels", _names(self.labels, "labels"))
        if len(self.labels) > MAX_LABELS:
            raise InvalidRecordError(f"labels has {len(self.labels)} entries, may have {MAX_LABELS}")
        if self.kind == "categorical" and len(self.labels) < 2:
            raise InvalidRecordError(f"labels is {self.labels!r}, a categorical task needs two or more")
        if self.kind != "categorical" and self.labels:
            raise InvalidRecordError(f"labels is {self.labels!r}, but the kind is {self.kind}")
        self._set("stake_usd", _number(self.stake_usd, "stake_usd", least=0.0))
        self._set("expires_in_s", _optional(self.expires_in_s, "expires_in_s", least=0.0))
        if not isinstance(self.slices, Mapping):
            raise InvalidRecordError(f"slices is {self.slices!r}, must map dimensions to values")
        slices = {_name(k, "slices"): _name(v, f"slices[{k!r}]") for k, v in self.slices.items()}
        self._set("slices", FrozenDict(slices))
        if len(self.slices) > MAX_SLICES:
            raise InvalidRecordError(f"slices has {len(self.slices)} dimensions, may have {MAX_SLICES}")
        for reserved in ("overall", "category", "regime"):
            if reserved in self.slices:
                instead = " for the score over all tasks: choose another name"
                if reserved != "overall":
                    instead = f": give Task({reserved}={self.slices[reserved]!r})"
                raise InvalidRecordError(f"slices has the dimension {reserved!r}, which is reserved{instead}")
        self._set("time", as_time(self.time))


@dataclass(frozen=True, slots=True)
class Forecast(Record):
    """One model's answer to one task, or the error it failed with.

    p: a probability (binary), or probabilities by label or in the order of the task's labels, summing to 1 within 1e-3
    and then renormalised (categorical). value: a finite number (numeric). confidence: the model's own, in [0, 1].
    error: not empty when the call failed; then there is no answer. time: as in Task.

    Raises InvalidRecordError naming the field and the value.

    >>> Forecast("gpt-4o", p=0.72, confidence=0.8, latency_ms=900, cost_usd=0.004).p
    0.72
    >>> Forecast("gpt-4o", p=1.3)
    Traceback (most recent call last):
    fairlead.errors.InvalidRecordError: p is 1.3, outside [0, 1]
    """

    model: str
    p: Probabilities | None = None
    value: float | None = None
    confidence: float | None = None
    latency_ms: float | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: float = 0.0
    error: str = ""
    time: int = 0

    if TYPE_CHECKING:

        def __init__(
            self,
            model: str,
            p: float | Iterable[float] | Mapping[str, float] | None = None,
            value: float | None = None,
            confidence: float | None = None,
            latency_ms: float | None = None,
            tokens_in: int = 0,
            tokens_out: int = 0,
            cost_usd: float = 0.0,
            error: str = "",
            time: int | str | date = 0,
        ) -> None: ...

    def __post_init__(self) -> None:
        self._set("model", _name(self.model, "model"))
        self._set("error", _name(self.error, "error", empty=True))
        given = [name for name in ("p", "value") if getattr(self, name) is not None]
        if self.error and given:
            raise InvalidRecordError(
                f"{given[0]} is {getattr(self, given[0])!r}, but error says the call failed: {self.error!r}"
            )
        if not self.error and len(given) != 1:
            raise InvalidRecordError(f"p is {self.p!r} and value is {self.value!r}: give exactly one, or an error")
        if self.p is not None:
            self._set("p", _probabilities(self.p))
        self._set("value", _optional(self.value, "value"))
        self._set("confidence", _optional(self.confidence, "confidence", least=0.0, most=1.0))
        self._set("latency_ms", _optional(self.latency_ms, "latency_ms", least=0.0))
        self._set("tokens_in", _count(self.tokens_in, "tokens_in"))
        self._set("tokens_out", _count(self.tokens_out, "tokens_out"))
        self._set("cost_usd", _number(self.cost_usd, "cost_usd", least=0.0))
        self._set("time", as_time(self.time))


def _probabilities(p: object) -> Probabilities:
    if isinstance(p, Mapping) or (
        isinstance(p, Iterable) and not isinstance(p, (str, bytes)) and getattr(p, "ndim", 1) > 0
    ):
        return _distribution(p)
    return _number(p, "p", least=0.0, most=1.0)


@dataclass(frozen=True, slots=True)
class Decision(Record):
    """The models' answers, combined.

    weights: by model, summing to 1. p: as in Forecast, by label for a categorical task. value: of a numeric task.
    disagreement: in [0, 1], 0 = all say the same. uncertainty: in [0, 1] for probabilities, 1 = anything may happen;
    for numbers the expected error, in the answer's unit. position_scale: in [0, 1], 1 = full size; below. cost_usd:
    spent on the answers. strategy: how they were combined, and chosen: what `auto` follows most, of others the same as
    strategy. time: as in Task.

    The position scale is |2p - 1| of a binary answer, the Kelly fraction at even odds, and sqrt(1 - uncertainty) of a
    categorical one, which of two labels is the same; 1 of a number, but 0 while none of the models was scored on one;
    times (1 - disagreement). It is 0 where `consensus` found none. Of this the fleet takes the part `Settings.kelly`
    (0.5: half Kelly); times 1 - drawdown / `Settings.drawdown_limit`, at least 0, where `Settings.capital_usd` is given
    and profits have fallen from their peak (`fleet.drawdown`); times 0.25 while it is in an emergency.

    The answers x_i of the models, by their weights w_i; p_ik is what one gives to class k of K, p_k what the decision
    does. None where it is not known, as of decisions from before there were these:

    - spread: the answers' standard deviation, sqrt(sum_i w_i (x_i - x)^2): of P(1), of all classes together, or of the
      number, in its unit.
    - entropy: of the decision, -sum_k p_k log p_k / log K, in [0, 1]. None for numbers.
    - divergence: sum_i w_i sum_k p_ik log(p_ik / p_k) / log K, which of linear pools is that of Jensen and Shannon, and
      in [0, 1] there. None for numbers.
    - pairwise: how likely two models that are drawn by weight name different classes as the likeliest; of numbers how
      far they are from one another, sum_ij w_i w_j |x_i - x_j|.
    - low, high: 90 % of such intervals hold the chance of class 1, of the likeliest class, or the number.

    The formulas stand in `cpp/src/scoreboard_decide.cpp` at `Scoreboard::describe`.

    An abstention has neither weights nor an answer: p and value are None, position_scale is 0, uncertainty 1, and
    reasons say why. `fleet.ask` gives it where nobody can be asked and nothing is known.
    """

    task: str
    weights: dict[str, float]
    p: float | dict[str, float] | None
    value: float | None
    disagreement: float
    uncertainty: float
    position_scale: float
    cost_usd: float
    strategy: str
    reasons: tuple[str, ...]
    time: int = 0
    spread: float | None = None
    entropy: float | None = None
    divergence: float | None = None
    pairwise: float | None = None
    low: float | None = None
    high: float | None = None
    chosen: str = ""

    def __post_init__(self) -> None:
        self._set("reasons", tuple(self.reasons))
        self._set("chosen", self.chosen or self.strategy)
        self._set("weights", FrozenDict(self.weights))
        if isinstance(self.p, dict):
            self._set("p", FrozenDict(self.p))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Decision:
        """As of every record; what comes from outside is validated, what the core decides is not once more."""
        decision = super(Decision, cls).from_dict(values)
        _name(decision.task, "task")
        _name(decision.strategy, "strategy")
        weights = [_number(w, f"weights[{m!r}]", least=0.0, most=1.0) for m, w in decision.weights.items()]
        if not weights:
            decision._check_abstention()
        elif abs(math.fsum(weights) - 1.0) > SUM_TOLERANCE:
            raise InvalidRecordError(f"weights sum to {math.fsum(weights):g}, must sum to 1")
        elif (decision.p is None) == (decision.value is None):
            raise InvalidRecordError(f"p is {decision.p!r} and value is {decision.value!r}: exactly one must be given")
        if decision.p is not None:
            _probabilities(decision.p)
        _optional(decision.value, "value")
        for name in ("disagreement", "position_scale"):
            _number(getattr(decision, name), name, least=0.0, most=1.0)
        for name in ("uncertainty", "cost_usd"):
            _number(getattr(decision, name), name, least=0.0)
        as_time(decision.time)
        decision._check_shape()
        return decision

    def _check_shape(self) -> None:
        number = self.value is not None
        for name in ("spread", "entropy", "divergence", "pairwise"):
            bounded = name == "entropy" or (name != "divergence" and not number)
            limit = 1.0 + ROUNDING if bounded else math.inf
            _optional(getattr(self, name), name, least=0.0, most=limit)
        least, most = (-math.inf, math.inf) if number else (-ROUNDING, 1.0 + ROUNDING)
        low, high = (_optional(getattr(self, name), name, least=least, most=most) for name in ("low", "high"))
        if (low is None) != (high is None) or (low is not None and high is not None and low > high):
            raise InvalidRecordError(f"low is {low!r} and high is {high!r}: an interval has both, low first")
        _name(self.chosen, "chosen")

    def _check_abstention(self) -> None:
        for name in ("p", "value"):
            if getattr(self, name) is not None:
                raise InvalidRecordError(f"{name} is {getattr(self, name)!r}, but weights is empty: nobody answered")
        if self.position_scale != 0.0:
            raise InvalidRecordError(f"position_scale is {self.position_scale!r}, must be 0 where nobody answered")

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), None where it is not known."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    @property
    def between(self) -> float | None:
        """How much of the uncertainty is between the models: of probabilities `disagreement`, of numbers `spread`."""
        return self.spread if self.p is None else self.disagreement

    @property
    def within(self) -> float:
        """How much of it is within them, whom one may believe and still not know: of probabilities what is left of the
        uncertainty without `between` (exact for linear pools; never below 0), of numbers all of it."""
        return self.uncertainty if self.p is None else max(self.uncertainty - self.disagreement, 0.0)

    @property
    def abstained(self) -> bool:
        """Whether nobody's answer went into it: there is none, and no position."""
        return not self.weights

    def __str__(self) -> str:
        if not self.weights:
            return f"{self.task}: abstains (position scale 0): {'; '.join(self.reasons)}"
        if isinstance(self.p, dict):
            answer = ", ".join(f"{label} {p:.3f}" for label, p in self.p.items())
        else:
            answer = f"{self.answer:.4g}"
        weights = ", ".join(f"{m} {w:.0%}" for m, w in sorted(self.weights.items(), key=lambda item: -item[1]))
        return (
            f"{self.task}: {answer} ({weights}; uncertainty {self.uncertainty:.2g}, disagreement "
            f"{self.disagreement:.2g}, position scale {self.position_scale:.2f}): {'; '.join(self.reasons)}"
        )

    @property
    def answer(self) -> float | dict[str, float]:
        """The combined answer: a probability, probabilities by label, or a number. Raises NoForecastError for an
        abstention, which has none."""
        answer = self.value if self.p is None else self.p
        if answer is None:
            raise NoForecastError(f"the decision on task {self.task!r} is to abstain: it has no answer")
        return answer


@dataclass(frozen=True, slots=True)
class Outcome(Record):
    """What happened.

    task: the task's id. value: 0 or 1 (or a bool) for a binary task, a label or its index for a categorical one, a
    number for a numeric one; None = it will never be known, and nobody is scored. time: when it became known, as in
    Task. profit_usd: what the decision earned or lost, if anything.

    >>> Outcome("q-17", value=1).to_json()
    '{"task": "q-17", "value": 1, "time": 0, "profit_usd": null}'
    """

    task: str
    value: float | str | None
    time: int = 0
    profit_usd: float | None = None

    if TYPE_CHECKING:

        def __init__(
            self,
            task: str,
            value: float | str | None,
            time: int | str | date = 0,
            profit_usd: float | None = None,
        ) -> None: ...

    def __post_init__(self) -> None:
        self._set("task", _name(self.task, "task"))
        if self.value is not None and not isinstance(self.value, str):
            number = _number(self.value, "outcome")
            self._set("value", int(number) if number.is_integer() else number)
        self._set("time", as_time(self.time))
        self._set("profit_usd", _optional(self.profit_usd, "profit_usd"))
