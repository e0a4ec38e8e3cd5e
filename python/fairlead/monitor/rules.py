"""Rules: what must hold of a metric, else somebody is told.

Pure functions of a rule and a number. Which alerts are raised is kept by the core (`cpp/include/fairlead/alerts.hpp`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any, Literal

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.monitor.metrics import METRICS, Metric, in_words, metric_of

WINDOWS = ("1h", "6h", "24h", "7d", "30d", "all")
SEVERITIES = ("info", "warning", "critical")
RULE_SCOPES = ("model", "category", "fleet")
COMPARISONS = ("<", "<=", ">", ">=")
_MARGIN = 0.02  # of a share, from the threshold to where an alert clears
_RELATIVE = 0.10  # of other metrics


@dataclass(frozen=True, slots=True)
class MetricRule:
    """An alert where a metric compares so with a threshold over a window.

    metric: one of `fairlead.monitor.METRICS`. window: 1h, 6h, 24h, 7d, 30d or all. min_n: with fewer calls (of what is
    settled: answers) in the window nothing is raised. severity: info, warning or critical. scope: `"model"`: each
    model; `"category"`: each model in each category; `"fleet"`: all models together. models, categories: only these.

    Hysteresis: once raised, an alert clears where the metric reaches `clear`, on the good side of the threshold (by
    default 2 points off it for shares and 10 % for all else), or, where `quiet` is given, after so many checks in a row
    that the rule holds; and where nothing is left in the window. Quiet checks are counted anew in each process.

    confidence: for shares, raise only where the truth is past the threshold with this probability, by the one-sided
    Wilson bound: with .95, .66 of 30 is no proof of less than .70. None: the number as it is.

    name: by which it is known; else the rule in words. An alert of a rule whose name is not among the rules any more
    clears. recommendation: what to do, instead of the sentence that belongs to the metric.

    Raises InvalidRecordError for what cannot be honoured, such as an accuracy below 70, which is 7,000 %.

    >>> print(MetricRule("accuracy", "<", 0.70, window="24h"))
    accuracy < 70.0 % over 24h: warning, clears at 72.0 %
    """

    metric: str
    comparison: Literal["<", "<=", ">", ">="]
    threshold: float
    window: str = "24h"
    min_n: int = 20
    severity: Literal["info", "warning", "critical"] = "warning"
    scope: Literal["model", "category", "fleet"] = "model"
    models: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    clear: float | None = None
    quiet: int | None = None
    confidence: float | None = None
    name: str = ""
    recommendation: str = ""

    def __post_init__(self) -> None:
        metric = metric_of(self.metric)
        one_of("comparison", self.comparison, COMPARISONS)
        _within(metric, _number(self.threshold, "threshold"), self.threshold, "threshold")
        check_shared(self)
        if self.clear is None:
            object.__setattr__(self, "clear", _default_clear(self))
        else:
            _within(metric, _number(self.clear, "clear"), self.clear, "clear")
        if self.fires(self.clear):
            raise InvalidRecordError(
                f"clear is {self.clear!r}, where the rule {self.metric} {self.comparison} {self.threshold!r} still "
                "raises: it must be on the other side"
            )
        if self.confidence is not None:
            if metric.family != "share":
                raise InvalidRecordError(
                    f"confidence is {self.confidence!r}, but {self.metric} is no share, of which no bound is known"
                )
            if isinstance(self.confidence, bool) or not 0.5 <= _number(self.confidence, "confidence") < 1.0:
                raise InvalidRecordError(f"confidence is {self.confidence!r}, outside [0.5, 1)")
        if not self.name:
            object.__setattr__(self, "name", _name(self))

    @property
    def below(self) -> bool:
        """Whether it fires where the metric is too small."""
        return self.comparison in ("<", "<=")

    def fires(self, value: float | None) -> bool:
        """Whether a value is past the threshold; NaN never is."""
        if value is None:
            return False
        if self.comparison == "<":
            return value < self.threshold
        if self.comparison == "<=":
            return value <= self.threshold
        return value > self.threshold if self.comparison == ">" else value >= self.threshold

    def proven(self, value: float, n: int) -> bool:
        """Whether it is past the threshold with the confidence that is asked for."""
        if self.confidence is None or not self.fires(value):
            return self.fires(value)
        low, high = wilson(value, n, self.confidence)
        return self.fires(high if self.below else low)

    def clears(self, value: float) -> bool:
        """Whether a value is as good as an alert needs to clear."""
        assert self.clear is not None
        return value >= self.clear if self.below else value <= self.clear

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return plain(self)

    def __str__(self) -> str:
        assert self.clear is not None
        quiet = "" if self.quiet is None else f" or after {self.quiet} quiet check{'s' if self.quiet > 1 else ''}"
        return f"{self.name}: {self.severity}, clears at {in_words(self.metric, self.clear)}{quiet}"


@dataclass(frozen=True, slots=True)
class AnomalyRule:
    """An alert where the newest pane of a window is worse than those before it let expect (`fairlead.monitor.anomaly`).

    alpha: two-sided level of the test, for one metric of one model in one pane: with 50 models, 4 metrics, new panes
    every 2 hours (window 24h) and .001, expect about one false alarm a day. clear: a raised alert clears where the
    p-value is above it, 10 alpha by default. min_n: of the newest pane. All else as in `MetricRule`.

    >>> print(AnomalyRule("latency_p95_ms"))
    latency_p95_ms unusual within 24h (p <= 0.001): warning, clears at p > 0.01
    """

    metric: str
    window: str = "24h"
    alpha: float = 0.001
    min_n: int = 20
    severity: Literal["info", "warning", "critical"] = "warning"
    scope: Literal["model", "category", "fleet"] = "model"
    models: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    clear: float | None = None
    quiet: int | None = None
    name: str = ""
    recommendation: str = ""

    def __post_init__(self) -> None:
        _check_test(self, f"{self.metric} unusual within {self.window} (p <= {self.alpha!r})")

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return plain(self)

    def __str__(self) -> str:
        return f"{self.name}: {self.severity}, clears at p > {self.clear:.4g}"


@dataclass(frozen=True, slots=True)
class TrendRule:
    """An alert where a metric degrades over a window (`fairlead.monitor.trend`).

    alpha: false discovery rate among all models (and categories) that the rule is for. clear: a raised alert clears
    where the adjusted p-value is above it, 4 alpha by default, or where the metric improves. min_n: of a pane that
    counts. All else as in `MetricRule`.

    >>> print(TrendRule("accuracy"))
    accuracy degrading over 30d (p <= 0.05): info, clears at p > 0.2
    """

    metric: str
    window: str = "30d"
    alpha: float = 0.05
    min_n: int = 5
    severity: Literal["info", "warning", "critical"] = "info"
    scope: Literal["model", "category", "fleet"] = "model"
    models: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    clear: float | None = None
    quiet: int | None = None
    name: str = ""
    recommendation: str = ""

    def __post_init__(self) -> None:
        _check_test(self, f"{self.metric} degrading over {self.window} (p <= {self.alpha!r})")

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return plain(self)

    def __str__(self) -> str:
        return f"{self.name}: {self.severity}, clears at p > {self.clear:.4g}"


AnyRule = MetricRule | AnomalyRule | TrendRule


def wilson(share: float, n: int, confidence: float) -> tuple[float, float]:
    """Bounds of a share of n: the truth is above the first, and below the second, each with this probability. E.
    Wilson, "Probable inference, the law of succession, and statistical inference" (JASA 22, 1927).

    >>> low, high = wilson(0.66, 30, 0.95)
    >>> round(low, 2), round(high, 2)
    (0.51, 0.78)
    """
    z = _normal_quantile(confidence)
    middle, width = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return (middle - width) / (1 + z * z / n), (middle + width) / (1 + z * z / n)


@lru_cache(maxsize=64)
def _normal_quantile(confidence: float) -> float:
    return NormalDist().inv_cdf(confidence)


def check_rules(rules: object) -> tuple[AnyRule, ...]:
    """Rules as a tuple. Raises InvalidRecordError for what is none, and for two of one name."""
    if isinstance(rules, (str, bytes)) or not isinstance(rules, Iterable):
        raise InvalidRecordError(f"rules is {rules!r}, must be rules: [MetricRule('accuracy', '<', 0.7)]")
    given = tuple(rules)
    seen: set[str] = set()
    for rule in given:
        if not isinstance(rule, (MetricRule, AnomalyRule, TrendRule)):
            raise InvalidRecordError(f"rule is {rule!r}, must be a MetricRule, an AnomalyRule or a TrendRule")
        if rule.name in seen:
            raise InvalidRecordError(f"name is {rule.name!r}, which two rules have: give one of them another")
        seen.add(rule.name)
    return given


def _check_test(rule: Any, name: str) -> None:
    """What rules of tests have."""
    if metric_of(rule.metric).good == 0:
        raise InvalidRecordError(f"metric is {rule.metric!r}, of which neither more nor less is worse")
    if rule.window == "all":
        raise InvalidRecordError("window is 'all', which has no panes to compare")
    check_shared(rule)
    _number(rule.alpha, "alpha")
    if rule.clear is None:
        times = 10 if isinstance(rule, AnomalyRule) else 4
        object.__setattr__(rule, "clear", min(times * rule.alpha, max(rule.alpha, 0.5)))
    for field in ("alpha", "clear"):
        if not 0.0 < _number(getattr(rule, field), field) < 1.0:
            raise InvalidRecordError(f"{field} is {getattr(rule, field)!r}, outside (0, 1)")
    if rule.clear < rule.alpha:
        raise InvalidRecordError(f"clear is {rule.clear!r}, below alpha ({rule.alpha!r})")
    if not rule.name:
        object.__setattr__(rule, "name", name + where_of(rule))


def check_shared(rule: Any) -> None:
    """What all kinds of rules have: window, min_n, quiet, severity, scope, models, categories, name, recommendation."""
    one_of("window", rule.window, WINDOWS)
    if rule.quiet is not None:
        _count(rule.quiet, "quiet")
    _count(rule.min_n, "min_n")
    one_of("severity", rule.severity, SEVERITIES)
    one_of("scope", rule.scope, RULE_SCOPES)
    for field in ("models", "categories"):
        object.__setattr__(rule, field, _names(getattr(rule, field), field))
    if rule.scope == "fleet" and rule.models:
        raise InvalidRecordError(f"models is {rule.models!r}, but scope is 'fleet': all models together")
    for field in ("name", "recommendation"):
        if not isinstance(getattr(rule, field), str):
            raise InvalidRecordError(f"{field} is {getattr(rule, field)!r}, must be a string")


def plain(record: Any) -> dict[str, Any]:
    """The fields of a frozen record as plain JSON types: no tuples, None for NaN."""
    return {name: _plain(value) for name, value in asdict(record).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value


def one_of(field: str, value: object, known: tuple[str, ...]) -> None:
    """Raises InvalidRecordError where a value is none of those that are known."""
    if not isinstance(value, str) or value not in known:
        hint = did_you_mean(value, list(known)) if isinstance(value, str) else ""
        raise InvalidRecordError(f"{field} is {value!r}, must be one of {', '.join(known)}{hint}")


def where_of(rule: Any) -> str:
    """Whom a rule is for, in a few words; empty: each model."""
    parts = [", ".join(rule.models)] if rule.models else []
    parts += [", ".join(rule.categories)] if rule.categories else ["each category"] if rule.scope == "category" else []
    parts += ["the fleet"] if rule.scope == "fleet" else []
    return f" ({'; '.join(parts)})" if parts else ""


def _name(rule: MetricRule) -> str:
    return f"{rule.metric} {rule.comparison} {in_words(rule.metric, rule.threshold)} over {rule.window}{where_of(rule)}"


def _default_clear(rule: MetricRule) -> float:
    if METRICS[rule.metric].family == "share":
        margin = min(_MARGIN, 0.5 * max(min(rule.threshold, 1.0 - rule.threshold), 0.0))
    else:
        margin = _RELATIVE * abs(rule.threshold)
    if margin == 0.0 and rule.comparison in ("<=", ">="):
        return math.nextafter(rule.threshold, math.inf if rule.below else -math.inf)
    return rule.threshold + (margin if rule.below else -margin)


def _number(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InvalidRecordError(f"{field} is {value!r}, must be a finite number")
    return float(value)


def _within(metric: Metric, value: float, given: object, field: str) -> None:
    least, most = metric.bounds
    if least <= value <= most:
        return
    span = f"between {least:g} and {most:g}" if math.isfinite(most) else f"at least {least:g}"
    percent = f": did you mean {value / 100:g}" if most == 1.0 < value <= 100.0 else ""
    raise InvalidRecordError(f"{field} is {given!r}, but {metric.name} is {span}{percent}")


def _count(value: object, field: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidRecordError(f"{field} is {value!r}, must be an integer, at least 1")


def _names(value: object, field: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Iterable):
        raise InvalidRecordError(f"{field} is {value!r}, must be names")
    names = tuple(value)
    for name in names:
        if not isinstance(name, str) or not name:
            raise InvalidRecordError(f"{field} is {value!r}, must be names")
    return names


DEFAULT_RULES: tuple[AnyRule, ...] = (
    MetricRule("accuracy", "<", 0.70),
    MetricRule("success_rate", "<", 0.80),
    MetricRule("error_rate", ">", 0.15),
    MetricRule("latency_p95_ms", ">", 5000.0),
    MetricRule("cost_per_task_usd", ">", 1.00),
)
"""What holds until `fleet.monitor.rules` is set: of each model, over 24 hours, with 20 calls or settled answers."""
