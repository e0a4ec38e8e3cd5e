"""How a fleet is doing, and who is told. The part of the façade that `Fleet` inherits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead._core import Fleet as CoreFleet
    from fairlead.fleet.watching import FleetMonitor
    from fairlead.monitor.report import Report

_first = threading.Lock()


class MonitoredFleet:
    """Rules, alerts, health and the report."""

    _core: CoreFleet
    _clock: Callable[[], int]
    _monitor: FleetMonitor | None = None

    @property
    def monitor(self) -> FleetMonitor:
        """Knows how every model is doing: `fleet.monitor.check()`, `fleet.monitor.on_alert(callback)`."""
        if self._monitor is None:
            from fairlead.fleet.performance_source import PerformanceSource
            from fairlead.fleet.watching import FleetMonitor

            with _first:  # of several threads one makes it, as it knows who listens
                if self._monitor is None:
                    self._monitor = FleetMonitor(self._core, PerformanceSource(self._core), self._clock)
        return self._monitor

    def report(self, *, now: int | str | date | None = None) -> Report:
        """How all models are doing, as one record: alerts, health, every window, trends, what is unusual, calibration,
        patterns, money, resources, and what to do. `print` it, `save("fleet.html")` it, or take `as_dict()`.

        It changes nothing and raises no alert: `fleet.monitor.check()` does. now: the fleet's clock if not given.
        """
        from fairlead.fleet.reporting import make_report

        return make_report(self, now)  # type: ignore[arg-type]  # what inherits this is a Fleet
