"""Gathers the report of a fleet: of one that lives, and of a desk that is only read."""

from __future__ import annotations

import os
import time as _time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fairlead.errors import JournalWarning
from fairlead.fleet.watching import When
from fairlead.monitor.metrics import METRICS
from fairlead.monitor.report import Report, Spending, Standing
from fairlead.monitor.resources import ResourceUse, use_of_model, use_of_runner
from fairlead.monitor.rules import WINDOWS
from fairlead.monitor.series import series_of
from fairlead.monitor.watch import Look, broken
from fairlead.times import as_time

if TYPE_CHECKING:
    from fairlead.fleet.fleet import Fleet
    from fairlead.monitor.alerts import RuleAlert
    from fairlead.monitor.anomaly import Anomaly
    from fairlead.monitor.trend import Trend

DRAWN = ("quality", "latency_p95_ms")
_ENOUGH_TO_DRAW = 5
_BADLY_CALIBRATED, _ENOUGH_CALIBRATED = 0.10, 100
_RESOURCES = "30d"
_PATTERNS = 12


def make_report(fleet: Fleet, now: When | None = None, *, title: str = "Fleet report") -> Report:
    """Everything that is known of a fleet, at a time. It changes nothing, and raises no alert."""
    moment = fleet.now() if now is None else as_time(now, "now")
    monitor = fleet.monitor
    look = Look(monitor.source, moment)
    ratings = {row.model: row for row in fleet.leaderboard()}
    names = [model.name for model in fleet.models]
    by_rating = [name for name in ratings if name in names] + [name for name in names if name not in ratings]
    windows = {
        window: _in_order({row.model: row for row in fleet.performances(window=window, now=moment)}, by_rating)
        for window in WINDOWS
    }
    together = {window: fleet.performance(window=window, now=moment) for window in WINDOWS}
    alerts = monitor.alerts
    trends = monitor.trends(now=moment)
    anomalies = tuple(one for window in ("24h", "7d", "30d") for one in monitor.anomalies(window=window, now=moment))
    panes = {name: look.panes("30d").get(name, ()) for name in by_rating}
    found = broken(look.findings(monitor.rules), {alert.key for alert in alerts}, moment)
    resting = tuple(name for name in by_rating if fleet._core.breakers.until(name) is not None)
    notes: tuple[str, ...] = ()
    if together["all"].calls and not together["30d"].calls:
        notes = ("Nothing happened in the last 30 days; a report as of another time has more to tell.",)
    if fleet.managed:
        notes += tuple(str(pipeline.status()).partition("\n")[0] for pipeline in fleet.managed.values())
    return Report(
        time=moment,
        standings=tuple(
            Standing(name, ratings[name].elo if name in ratings else float("nan"), name in resting)
            for name in by_rating
        ),
        windows=windows,
        together=together,
        health=monitor.health(now=moment),
        alerts=alerts,
        broken=found,
        rules=monitor.rules,
        trends=trends,
        anomalies=anomalies,
        series={
            metric: {name: series_of(panes[name], metric, _ENOUGH_TO_DRAW) for name in by_rating} for metric in DRAWN
        },
        patterns=_patterns(fleet, moment),
        spending=_spending(fleet, moment),
        resources=_resources(fleet, windows[_RESOURCES], moment),
        recommendations=_recommendations((*alerts, *found), trends, anomalies, windows, resting),
        title=title,
        notes=notes,
    )


def report_folder(folder: str | os.PathLike[str], *, now: When | None = None) -> Report:
    """The report of the desk in a folder, which may be open in another process: it is only read. Rules are not in the
    journal, so it is looked at by the default ones; the alerts are those that were raised.

    Raises JournalError where there is no journal.
    """
    from fairlead._core import fold_desk  # not everywhere: the journal is POSIX
    from fairlead.fleet.fleet import Fleet

    core, found = fold_desk(os.fspath(folder))
    for warning in found["warnings"]:
        warnings.warn(warning, JournalWarning, stacklevel=2)
    fleet = Fleet.__new__(Fleet)
    fleet._build(core, _time.time_ns)
    return make_report(fleet, now, title=f"Fleet report: {os.fspath(folder)}")


def _in_order(rows: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: rows[name] for name in names if name in rows}


def _patterns(fleet: Fleet, now: int) -> tuple[Mapping[str, Any], ...]:
    """Where models are better or worse than the others, the surest first, but for what follows from how they do there
    in general."""
    found = [pattern for pattern in fleet.patterns(now=now, against="others") if pattern.beyond]
    return tuple({**asdict(pattern), "words": str(pattern)} for pattern in found[:_PATTERNS])


def _spending(fleet: Fleet, now: int) -> Spending:
    costs = fleet.costs
    return Spending(
        costs("model", "monthly", at=now),
        costs("category", "monthly", at=now),
        costs.forecast(now),
        fleet.budgets.state(now),
    )


def _resources(fleet: Fleet, rows: Mapping[str, Any], now: int) -> tuple[ResourceUse, ...]:
    models = [use_of_model(row, _RESOURCES) for row in rows.values() if row.calls]
    runners = [use_of_runner(row, _RESOURCES) for row in fleet.runs(window=_RESOURCES, now=now) if row.calls]
    return (*models, *runners)


def _recommendations(
    alerts: Sequence[RuleAlert],
    trends: Sequence[Trend],
    anomalies: Sequence[Anomaly],
    windows: Mapping[str, Mapping[str, Any]],
    resting: Sequence[str],
) -> tuple[str, ...]:
    """What to do, the most urgent first, each once."""
    found = [alert.recommendation for alert in alerts if alert.recommendation]
    found += [f"{name} is not asked, as its circuit breaker is open: look at its provider." for name in resting]
    told = {(alert.model, alert.metric) for alert in alerts}
    for one in anomalies:
        if one.state == "worse" and (one.model, one.metric) not in told:
            found.append(f"{one.model}'s {METRICS[one.metric].words} is unusual now: look at what it was asked lately.")
    for trend in trends:
        if trend.state == "degrading" and (trend.model, trend.metric) not in told:
            words = METRICS[trend.metric].words
            found.append(f"{trend.model}'s {words} has been getting worse: find out since when, and what changed.")
    for name, row in windows["all"].items():
        off = row.calibration_error
        if off > _BADLY_CALIBRATED and row.settled >= _ENOUGH_CALIBRATED:
            found.append(f"{name}'s probabilities are off by {off:.2f} on average: do not take them as they are.")
    for name, row in windows["30d"].items():
        if not row.calls and windows["all"][name].calls:
            found.append(f"{name} was not called in 30 days: remove it, or ask it now and then to know how it does.")
    return tuple(dict.fromkeys(found))
