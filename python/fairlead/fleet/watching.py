"""`fleet.monitor`: looks at the rules, logs the alerts that are news, tells who listens. What it looks at and how it
decides is in `fairlead.monitor`."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import warnings
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Protocol, TypeVar

from fairlead._core import raise_status
from fairlead.errors import InvalidRecordError
from fairlead.fleet import checks
from fairlead.fleet.background import Background
from fairlead.fleet.listeners import Listeners
from fairlead.monitor.alerts import RuleAlert
from fairlead.monitor.anomaly import Anomaly, anomaly_of
from fairlead.monitor.health import WEIGHTS, FleetHealth, check_weights, fleet_health
from fairlead.monitor.metrics import metric_of
from fairlead.monitor.rules import DEFAULT_RULES, WINDOWS, AnyRule, check_rules, one_of
from fairlead.monitor.series import series_of
from fairlead.monitor.trend import Trend, adjusted, trend_of
from fairlead.monitor.watch import Look, Source, severity_order, turns
from fairlead.times import as_time

When = int | str | date
OnAlert = TypeVar("OnAlert", bound=Callable[[RuleAlert], Awaitable[object] | object])

WATCHED = ("accuracy", "quality", "error_rate", "latency_p95_ms", "cost_per_task_usd")
"""Metrics whose trends and anomalies are looked for unless others are named."""
_KEPT = 100
"""Alerts that `recent` holds."""
_ENOUGH = 5
"""Calls or answers in a pane that counts for a trend."""


class Keeper(Protocol):
    """What the compiled fleet has of alerts. Only `rule_alert` changes it: by an event of the journal."""

    def rule_alert(self, json: str, time: int) -> int: ...
    def raised_alerts(self) -> list[tuple[str, str, int]]: ...


class FleetMonitor:
    """Knows how every model of a fleet is doing, as `fleet.monitor`.

    `check` looks at the rules: call it as often as somebody should be told, or let `run` do it. It is not in the way of
    anything: nothing is looked at when a forecast is recorded. Rules are code: the journal does not keep them, so set
    them where the fleet is opened. Alerts are events: what is raised outlives the process, and nobody is told twice.
    """

    def __init__(self, core: Keeper, source: Source, clock: Callable[[], int]) -> None:
        self._core = core
        self._source = source
        self._clock = clock
        self._rules: tuple[AnyRule, ...] = DEFAULT_RULES
        self._weights: Mapping[str, float] = WEIGHTS
        self._listeners: Listeners[RuleAlert] = Listeners("rule alert")
        self._recent: deque[RuleAlert] = deque(maxlen=_KEPT)
        self._quiet: dict[str, int] = {}
        self._left_out: frozenset[str] = frozenset()  # what the last check could not raise
        self._lock = threading.Lock()

    @property
    def source(self) -> Source:
        """What it looks at."""
        return self._source

    # --- rules ---

    @property
    def rules(self) -> tuple[AnyRule, ...]:
        """What must hold: `MetricRule`, `AnomalyRule` and `TrendRule`; at first `DEFAULT_RULES`. Set it to change it.

        Raises InvalidRecordError for what is no rule, and for two rules of one name. Alerts of rules that are gone
        clear at the next check.
        """
        return self._rules

    @rules.setter
    def rules(self, rules: Iterable[AnyRule]) -> None:
        self._rules = check_rules(rules)

    @property
    def weights(self) -> Mapping[str, float]:
        """How much each part of a health score counts: answers, accuracy, skill, calibration, speed, cost. Set it to
        change it; what is not named counts nothing."""
        return self._weights

    @weights.setter
    def weights(self, weights: Mapping[str, float]) -> None:
        self._weights = check_weights(weights)

    # --- alerts ---

    def check(self, now: When | None = None) -> tuple[RuleAlert, ...]:
        """Looks at all rules, and gives the alerts that are news: raised, or cleared. Those who listen are told.

        now: the fleet's clock where it is not given. An alert is an event of the journal before anybody is told, so
        nobody is told twice. A process that dies between the two has told nobody: at most once, and the journal has it.

        At most 4,096 alerts are raised at once, of 16 KiB each: what does not fit is a RuntimeWarning, once, and is
        raised by the first check at which there is room.

        Raises JournalError, JournalFullError where the journal does not take an alert, which is then as if it had not
        been looked at; those before it are told.
        """
        told: list[RuleAlert] = []
        left_out: list[str] = []
        try:
            with self._lock:
                moment = self._moment(now)
                raised = {alert.key: alert for alert in self._raised()}
                quiet = dict(self._quiet)
                try:
                    found = turns(Look(self._source, moment).findings(self._rules), raised, quiet, moment)
                    for news in found:  # as far as it comes
                        try:
                            if self._log(news, moment):
                                told.append(news)
                        except ValueError:  # no room for it
                            left_out.append(news.key)
                    self._quiet = quiet
                    known, self._left_out = self._left_out, frozenset(left_out)
                finally:
                    self._recent.extend(told)
        finally:  # what the journal has is told, though it may refuse what comes after
            for news in told:
                self._listeners.tell(news)
        _warn_of([key for key in left_out if key not in known])
        return tuple(told)

    @property
    def alerts(self) -> tuple[RuleAlert, ...]:
        """Those that are raised, as of the last `check`, of this process or one before; worst first, then oldest."""
        return tuple(sorted(self._raised(), key=lambda alert: (severity_order(alert.severity), alert.since, alert.key)))

    @property
    def recent(self) -> tuple[RuleAlert, ...]:
        """The last alerts of this process, raised and cleared, oldest first; those before are in the journal."""
        return tuple(self._recent)

    def on_alert(self, callback: OnAlert) -> OnAlert:
        """Calls a function with each `RuleAlert` from now on, raised and cleared.

        A coroutine function runs on the caller's event loop, after the check that found the alert; where there is no
        loop, on one in a thread of its own. What it raises becomes a RuntimeWarning and stops nobody. Returns the
        function, so it may be used as a decorator.
        """
        self._listeners.add(callback)
        return callback

    def forget(self, callback: Callable[[RuleAlert], object]) -> None:
        """Calls it no more. Raises InvalidRecordError for one that was not given to `on_alert`."""
        self._listeners.remove(callback)

    def finish(self, timeout: float = 5.0) -> bool:
        """Waits for coroutines that are told on a loop of their own; whether they have ended."""
        return self._listeners.finish(timeout)

    def run(self, every: float | str | timedelta = "1m") -> Rounds:
        """Begins to check in the background: on the event loop that runs here, else on one in a thread, until `stop()`
        of what this returns, or until the fleet is gone; also with `with`.

        every: seconds, a span such as "30s", or a timedelta.
        """
        return Rounds(self, every).start()

    # --- reading ---

    def health(self, window: str = "24h", *, now: When | None = None) -> FleetHealth:
        """A score in [0, 1] for the fleet and each model, with its parts and their weights; see `HealthScore`."""
        one_of("window", window, WINDOWS)
        return fleet_health(tuple(self._source.rows(window, self._moment(now), None).values()), window, self._weights)

    def trends(
        self,
        metrics: Iterable[str] = WATCHED,
        *,
        window: str = "30d",
        fdr: float = 0.05,
        category: str | None = None,
        now: When | None = None,
    ) -> tuple[Trend, ...]:
        """Whether each metric of each model is improving, stable or degrading, by the test of `fairlead.monitor.trend`
        over the panes of a window; fdr: the false discovery rate among all of them."""
        names, moment = _metrics(metrics), self._moment(now)
        _panes_of(window)
        _share(fdr, "fdr")
        panes = self._source.panes(window, moment, category)
        found = [
            trend_of(model, metric, series_of(some, metric, _ENOUGH), window)
            for model, some in panes.items()
            for metric in names
        ]
        return adjusted(found, fdr)

    def anomalies(
        self,
        metrics: Iterable[str] = WATCHED,
        *,
        window: str = "24h",
        alpha: float = 0.001,
        category: str | None = None,
        now: When | None = None,
    ) -> tuple[Anomaly, ...]:
        """How the newest pane of each metric of each model lies beside those before it, by the test of
        `fairlead.monitor.anomaly`; all of them, also those that are as usual."""
        names, moment = _metrics(metrics), self._moment(now)
        _panes_of(window)
        _share(alpha, "alpha")
        panes = self._source.panes(window, moment, category)
        return tuple(
            anomaly_of(model, metric, series_of(some, metric), window, alpha)
            for model, some in panes.items()
            for metric in names
        )

    def __repr__(self) -> str:
        return f"<monitor of {len(self._rules)} rules, {len(self._core.raised_alerts())} alerts>"

    # --- inside ---

    def _raised(self) -> list[RuleAlert]:
        return [RuleAlert.from_json(json, time) for _, json, time in self._core.raised_alerts()]

    def _log(self, alert: RuleAlert, now: int) -> bool:
        """Whether it was news to the core."""
        status = self._core.rule_alert(checks.utf8(alert.to_json(), "message"), now)
        if status > 0:
            raise_status(status, f"alert {alert.key!r}")
        return status == 0

    def _moment(self, now: When | None) -> int:
        return checks.moment(self._clock) if now is None else as_time(now, "now")


class Rounds(Background):
    """Checks that are made in the background, until `stop`. What one of them raises is kept as `problem`; they go on
    all the same. Also a context manager."""

    name = "fairlead-monitor"

    def __init__(self, monitor: FleetMonitor, every: float | str | timedelta) -> None:
        super().__init__(every)
        self._monitor = weakref.ref(monitor)

    async def _rounds(self) -> None:
        failed = ""
        while (monitor := self._monitor()) is not None:
            try:
                monitor.check()
                failed = ""
            except Exception as error:  # there is nobody to raise it to, and the next check may succeed
                self.problem = error
                said, failed = failed, f"{type(error).__name__}: {error}"
                if failed != said:
                    _warn(f"a check in the background failed with {failed}; the next is in {self.every:g} s")
            del monitor  # it may go while it waits
            await asyncio.sleep(self.every)


def _warn(text: str) -> None:
    """A warning that nobody can catch stays one, also where warnings are errors."""
    with contextlib.suppress(Warning):
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def _warn_of(left_out: Sequence[str]) -> None:
    if left_out:
        n = len(left_out)
        were = f"{n:,} alerts were" if n > 1 else "1 alert was"
        warnings.warn(
            f"{were} not raised, {left_out[0]!r}{' first' if n > 1 else ''}: at most 4,096 are at once, of 16 KiB "
            "each; let rules say which models and categories they are for",
            RuntimeWarning,
            stacklevel=3,
        )


def _metrics(metrics: Iterable[str]) -> tuple[str, ...]:
    names = (metrics,) if isinstance(metrics, str) else tuple(metrics)
    for name in names:
        metric_of(name)
    return names


def _panes_of(window: str) -> None:
    one_of("window", window, WINDOWS)
    if window == "all":
        raise InvalidRecordError("window is 'all', which has no panes to compare")


def _share(value: object, field: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.0 < value < 1.0:
        raise InvalidRecordError(f"{field} is {value!r}, outside (0, 1)")
