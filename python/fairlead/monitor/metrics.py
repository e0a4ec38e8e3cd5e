"""The metrics that are watched: what each is counted over, which way is good, how it is written, what helps.

A metric is a number of a performance record (`fairlead.measure.performance`): any object with these attributes will do,
which is what `Measured` says. Nothing here reads a clock or changes anything.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, Protocol

from fairlead.errors import InvalidRecordError, did_you_mean

Family = Literal["share", "mean", "positive"]


class Measured(Protocol):
    """What is read of a performance record; NaN where there is nothing. Beside these the names of `METRICS`."""

    @property
    def model(self) -> str: ...
    @property
    def calls(self) -> int: ...
    @property
    def succeeded(self) -> int: ...
    @property
    def settled(self) -> int: ...
    @property
    def cost_usd(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    over: the field that counts what stands behind it. good: +1 where more is better, -1 where less is, 0 neither.
    family: how it varies: the share of `over` (0 to 1), a mean, or a positive number that varies by factors.
    unit: "%", "ms", "$" or "". words: what it is, in a sentence. cure: what to do where it is bad, a
    sentence with {model}, {where} and {other} in it.
    """

    name: str
    over: str
    good: int
    family: Family
    unit: str
    words: str
    cure: str

    @property
    def bounds(self) -> tuple[float, float]:
        """What it can be, at least and at most."""
        return _BOUNDS.get(self.name, (0.0, 1.0 if self.family == "share" else math.inf))


_BOUNDS: Mapping[str, tuple[float, float]] = {
    "brier": (0.0, 2.0),  # the sum over labels; of yes-no answers at most 1
    "quality": (-3.0, 1.0),  # surely wrong of two: 1 - 1 / .25
    "skill": (-2.0, 2.0),
    "confidence": (0.0, 1.0),
    "calibration_error": (0.0, 1.0),
}
_BETTER = "Let {other} answer{where} until {model} has recovered, or give {model} less weight there."
_CALIBRATE = "Take {model}'s probabilities{where} through the calibration adjustment or a pool, not as they are."
_PROVIDER = "Look at {model}'s errors and its provider's status; ask {other}{where} meanwhile."
_SLOW = "Give {model}'s calls{where} a deadline or hedge them; ask {other} where it is urgent."
_DEAR = "Set a budget for {model}, shorten its prompts{where}, or ask {other} first."
_LOOK = "Look at what {model} was asked{where} in this time."

_ALL = (
    Metric("accuracy", "settled", +1, "share", "%", "share of answers that were right", _BETTER),
    Metric("brier", "settled", -1, "mean", "", "Brier score", _BETTER),
    Metric("log_loss", "settled", -1, "mean", "", "log-loss", _CALIBRATE),
    Metric("quality", "settled", +1, "mean", "", "decision quality", _BETTER),
    Metric("skill", "settled", +1, "mean", "", "skill beside the other models", _BETTER),
    Metric("confidence", "settled", 0, "mean", "%", "mean confidence", _LOOK),
    Metric("calibration_error", "settled", -1, "mean", "", "expected calibration error", _CALIBRATE),
    Metric("success_rate", "calls", +1, "share", "%", "share of calls that succeeded", _PROVIDER),
    Metric("error_rate", "calls", -1, "share", "%", "share of calls that failed", _PROVIDER),
    Metric("timeout_rate", "calls", -1, "share", "%", "share of calls that ran out of time", _SLOW),
    Metric("latency_p50_ms", "calls", -1, "positive", "ms", "median latency", _SLOW),
    Metric("latency_p95_ms", "calls", -1, "positive", "ms", "95th percentile of latency", _SLOW),
    Metric("latency_p99_ms", "calls", -1, "positive", "ms", "99th percentile of latency", _SLOW),
    Metric("latency_mean_ms", "calls", -1, "positive", "ms", "mean latency", _SLOW),
    Metric("cost_per_task_usd", "succeeded", -1, "positive", "$", "cost of a task", _DEAR),
    Metric("cost_per_call_usd", "calls", -1, "positive", "$", "cost of a call", _DEAR),
    Metric("cost_usd", "calls", -1, "positive", "$", "cost", _DEAR),
    Metric("calls", "calls", 0, "positive", "", "calls", _LOOK),
    Metric("tokens_in", "calls", -1, "positive", "", "tokens that went in", _DEAR),
    Metric("tokens_out", "calls", -1, "positive", "", "tokens that came out", _DEAR),
)
METRICS: Mapping[str, Metric] = MappingProxyType({metric.name: metric for metric in _ALL})
"""By name. `cost_per_task_usd` is what a model's calls cost, the failed ones too, for each of its answers."""


def metric_of(name: object) -> Metric:
    """The metric of a name. Raises InvalidRecordError where there is none.

    >>> metric_of("accuracy").good
    1
    """
    found = METRICS.get(name) if isinstance(name, str) else None
    if found is None:
        hint = did_you_mean(name, list(METRICS)) if isinstance(name, str) else ""
        raise InvalidRecordError(f"metric is {name!r}, must be one of {', '.join(METRICS)}{hint}")
    return found


def reading(row: Measured | None, metric: str) -> tuple[float, int]:
    """The value of a metric in a record, and how many stand behind it; NaN and 0 where there is no record."""
    if row is None:
        return math.nan, 0
    n = int(getattr(row, METRICS[metric].over))
    if metric == "cost_per_task_usd":
        return (row.cost_usd / row.succeeded if row.succeeded else math.nan), n
    value: Any = getattr(row, metric)
    return float(value), n


def in_words(metric: str, value: float) -> str:
    """A value as people read it.

    >>> in_words("accuracy", 0.612), in_words("latency_p95_ms", 5250.0), in_words("cost_per_task_usd", 1.5)
    ('61.2 %', '5.25 s', '$1.50')
    """
    if math.isnan(value):
        return "-"
    unit = METRICS[metric].unit
    if unit == "%":
        return f"{100.0 * value:.1f} %"
    if unit == "ms":
        return f"{value / 1e3:,.2f} s" if value >= 1e3 else f"{value:.0f} ms"
    if unit == "$":
        return f"${value:,.2f}" if value >= 0.1 or value == 0.0 else f"${value:.2g}"
    return f"{value:,.0f}" if METRICS[metric].family == "positive" else f"{value:.3f}"
