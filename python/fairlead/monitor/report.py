"""The report of a fleet: one record of how all its models are doing, as text, as JSON and as a page of HTML.

`Report` is plain data; `fleet.report()` (in `fairlead.fleet.reporting`) gathers it, `fairlead.monitor.report_text` and
`report_page` write it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fairlead.errors import InvalidRecordError
from fairlead.measure.calendar import time_text
from fairlead.monitor.metrics import Measured, reading

if TYPE_CHECKING:
    from fairlead.measure.budget import BudgetReport
    from fairlead.measure.spend import SpendForecast, SpendReport
    from fairlead.monitor.alerts import RuleAlert
    from fairlead.monitor.anomaly import Anomaly
    from fairlead.monitor.health import FleetHealth
    from fairlead.monitor.resources import ResourceUse
    from fairlead.monitor.rules import AnyRule
    from fairlead.monitor.series import Point
    from fairlead.monitor.trend import Trend

SHOWN = (
    "calls",
    "success_rate",
    "error_rate",
    "timeout_rate",
    "latency_p50_ms",
    "latency_p95_ms",
    "latency_p99_ms",
    "settled",
    "accuracy",
    "brier",
    "log_loss",
    "quality",
    "skill",
    "confidence",
    "calibration_error",
    "tokens_in",
    "tokens_out",
    "cost_usd",
    "cost_per_call_usd",
    "cost_per_task_usd",
)
"""Of each record, in this order."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One model of the fleet. elo: overall. resting: its circuit breaker, or its provider's, lets no call through."""

    model: str
    elo: float
    resting: bool = False


@dataclass(frozen=True, slots=True)
class Spending:
    """The money of this month: by model and category, what the whole month will cost, and the budgets."""

    by_model: SpendReport
    by_category: SpendReport
    forecast: SpendForecast
    budgets: BudgetReport


@dataclass(frozen=True, slots=True)
class Report:
    """How a fleet is doing. `print(report)` is for people, `as_dict` and `to_json` for programs, `to_html` and `save`
    for a page that needs nothing else.

    time: nanoseconds. windows: the record of each model over 1h, 6h, 24h, 7d, 30d and all time; together: of all
    models. alerts: that are raised; broken: rules that are broken now without one, as nobody has checked since. series:
    of metrics that are drawn, by model, oldest first. patterns: where a model stands out.
    """

    time: int
    standings: tuple[Standing, ...]
    windows: Mapping[str, Mapping[str, Measured]]
    together: Mapping[str, Measured]
    health: FleetHealth
    alerts: tuple[RuleAlert, ...]
    broken: tuple[RuleAlert, ...]
    rules: tuple[AnyRule, ...]
    trends: tuple[Trend, ...]
    anomalies: tuple[Anomaly, ...]
    series: Mapping[str, Mapping[str, Sequence[Point]]]
    patterns: tuple[Mapping[str, Any], ...]
    spending: Spending | None
    resources: tuple[ResourceUse, ...]
    recommendations: tuple[str, ...]
    title: str = "Fleet report"
    notes: tuple[str, ...] = field(default=())

    @property
    def models(self) -> tuple[str, ...]:
        """Those in the fleet, by rating."""
        return tuple(one.model for one in self.standings)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON types; None for NaN."""
        spending = self.spending
        return {
            "title": self.title,
            "time": self.time,
            "at": time_text(self.time),
            "models": [{"model": one.model, "elo": _plain(one.elo), "resting": one.resting} for one in self.standings],
            "health": self.health.as_dict(),
            "alerts": [alert.as_dict() for alert in self.alerts],
            "broken": [alert.as_dict() for alert in self.broken],
            "recommendations": list(self.recommendations),
            "windows": {window: [row_dict(row) for row in rows.values()] for window, rows in self.windows.items()},
            "fleet": {window: row_dict(row) for window, row in self.together.items()},
            "trends": [trend.as_dict() for trend in self.trends],
            "anomalies": [anomaly.as_dict() for anomaly in self.anomalies],
            "calibration": {
                row.model: [_plain(one) for one in bins_of(row)] for row in self.windows.get("all", {}).values()
            },
            "patterns": [_plain(dict(pattern)) for pattern in self.patterns],
            "spending": None
            if spending is None
            else {
                "by_model": _plain(spending.by_model.as_dict()),
                "by_category": _plain(spending.by_category.as_dict()),
                "forecast": _plain(spending.forecast.as_dict()),
                "budgets": _plain(spending.budgets.as_dict()),
            },
            "resources": [use.as_dict() for use in self.resources],
            "series": {
                metric: {
                    model: [{"start": p.start, "end": p.end, "n": p.n, "value": _plain(p.value)} for p in points]
                    for model, points in by_model.items()
                }
                for metric, by_model in self.series.items()
            },
            "rules": [{"kind": type(rule).__name__, **rule.as_dict()} for rule in self.rules],
            "notes": list(self.notes),
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """`as_dict` as strict JSON."""
        return json.dumps(self.as_dict(), ensure_ascii=False, allow_nan=False, indent=indent)

    def to_html(self) -> str:
        """One page of HTML that asks nothing of the network and runs no script; light or dark as its reader's."""
        from fairlead.monitor.report_page import render_report

        return render_report(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes it: by the ending of the path as `.html`, `.json` or `.txt`, in UTF-8. Gives the path.

        Raises InvalidRecordError for another ending, OSError where the file cannot be written.
        """
        place = Path(path)
        texts = {".html": self.to_html, ".htm": self.to_html, ".json": self.to_json, ".txt": self.__str__}
        if place.suffix.lower() not in texts:
            raise InvalidRecordError(f"path is {os.fspath(path)!r}, must end in .html, .json or .txt")
        text = texts[place.suffix.lower()]()
        place.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8", newline="\n")
        return place

    def __str__(self) -> str:
        from fairlead.monitor.report_text import report_text

        return report_text(self)

    def __repr__(self) -> str:
        return f"<Report of {len(self.models)} models at {time_text(self.time)}, {len(self.alerts)} alerts>"


def row_dict(row: Measured) -> dict[str, Any]:
    """A record's metrics as plain JSON types."""
    return {"model": row.model, **{name: _plain(value_of(row, name)) for name in SHOWN}}


def value_of(row: Measured, name: str) -> Any:
    """What a record says of a metric, or of what it counts."""
    return reading(row, name)[0] if name == "cost_per_task_usd" else getattr(row, name)


def bins_of(row: Measured) -> list[tuple[float, float, int]]:
    """Of its calibration: the mean probability, how often it came, and of how many; without empty bins."""
    found = []
    for one in getattr(row, "calibration", ()):
        n, mean_p, frequency = (
            (one[name] for name in ("n", "mean_p", "frequency")) if isinstance(one, dict) else one[:3]
        )
        if n:
            found.append((float(mean_p), float(frequency), int(n)))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value
