"""How every model is doing, and who is told: rules, alerts, trends, anomalies, health, and the report of it all.

Pure functions of performance records. `fleet.monitor` (in `fairlead.fleet.watching`) reads the records, logs the
alerts and tells who listens.
"""

from __future__ import annotations

from fairlead.monitor.alerts import RuleAlert
from fairlead.monitor.anomaly import Anomaly, anomaly_of
from fairlead.monitor.health import FleetHealth, HealthScore, health_of
from fairlead.monitor.metrics import METRICS, Metric
from fairlead.monitor.rules import DEFAULT_RULES, AnomalyRule, MetricRule, TrendRule
from fairlead.monitor.series import Point, series_of
from fairlead.monitor.trend import Trend, mann_kendall, trend_of

__all__ = [
    "DEFAULT_RULES",
    "METRICS",
    "Anomaly",
    "AnomalyRule",
    "FleetHealth",
    "HealthScore",
    "Metric",
    "MetricRule",
    "Point",
    "RuleAlert",
    "Trend",
    "TrendRule",
    "anomaly_of",
    "health_of",
    "mann_kendall",
    "series_of",
    "trend_of",
]
