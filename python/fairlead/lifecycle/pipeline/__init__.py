"""Managed models: what notices, retrains, proves, promotes, watches, and goes back."""

from __future__ import annotations

from fairlead.lifecycle.pipeline.answers import Prediction
from fairlead.lifecycle.pipeline.ledger import Step
from fairlead.lifecycle.pipeline.managed import NoChampionError
from fairlead.lifecycle.pipeline.pipeline import RetrainingPipeline
from fairlead.lifecycle.pipeline.policy import Policy
from fairlead.lifecycle.pipeline.state import TABLE, Event, IllegalStepError, Position, State, advance
from fairlead.lifecycle.pipeline.status import PipelineStatus
from fairlead.lifecycle.pipeline.surface import ManagedModel

__all__ = [
    "TABLE",
    "Event",
    "IllegalStepError",
    "ManagedModel",
    "NoChampionError",
    "PipelineStatus",
    "Policy",
    "Position",
    "Prediction",
    "RetrainingPipeline",
    "State",
    "Step",
    "advance",
]
