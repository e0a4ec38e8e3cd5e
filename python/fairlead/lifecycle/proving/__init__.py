"""Proving a challenger: a test that may be looked at at any time, guardrails, a trial in stages, a watch afterwards."""

from __future__ import annotations

from fairlead.lifecycle.proving.bets import Bets
from fairlead.lifecycle.proving.canary import Arm, served_by
from fairlead.lifecycle.proving.guardrails import NO_GUARDRAILS, Check, Guardrails, Reply
from fairlead.lifecycle.proving.losses import LOSSES, LossName
from fairlead.lifecycle.proving.paired import PairedTest
from fairlead.lifecycle.proving.plan import Plan, Stage, Verdict
from fairlead.lifecycle.proving.trial import Trial
from fairlead.lifecycle.proving.unpaired import UnpairedTest
from fairlead.lifecycle.proving.validate import validate
from fairlead.lifecycle.proving.watch import Watch, WatchPlan

__all__ = [
    "LOSSES",
    "NO_GUARDRAILS",
    "Arm",
    "Bets",
    "Check",
    "Guardrails",
    "LossName",
    "PairedTest",
    "Plan",
    "Reply",
    "Stage",
    "Trial",
    "UnpairedTest",
    "Verdict",
    "Watch",
    "WatchPlan",
    "served_by",
    "validate",
]
