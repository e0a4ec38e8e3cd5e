"""Signals of drift, and when to train again."""

from __future__ import annotations

from fairlead.lifecycle.signals.drift_monitor import DriftMonitor
from fairlead.lifecycle.signals.quiet import QuietHours
from fairlead.lifecycle.signals.status import DriftStatus, Level, Record, Signal
from fairlead.lifecycle.signals.triggers import (
    Budget,
    Facts,
    OnDrift,
    OnDrop,
    OnLabels,
    OnSchedule,
    RetrainTrigger,
    Rule,
    Verdict,
)

__all__ = [
    "Budget",
    "DriftMonitor",
    "DriftStatus",
    "Facts",
    "Level",
    "OnDrift",
    "OnDrop",
    "OnLabels",
    "OnSchedule",
    "QuietHours",
    "Record",
    "RetrainTrigger",
    "Rule",
    "Signal",
    "Verdict",
]
