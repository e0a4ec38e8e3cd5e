"""The life of a model: examples, training, versions, drift, trials, promotion and the way back."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairlead.lifecycle.failures import (
    Failure,
    LifecycleError,
    NanLossError,
    SchemaError,
    Stopped,
    TooFewExamplesError,
    TrainingError,
)

if TYPE_CHECKING:
    from fairlead.lifecycle.examples import CAPACITY, ExampleBuffer, Examples, Joined, read_examples
    from fairlead.lifecycle.schema import Schema
    from fairlead.lifecycle.signals import (
        Budget,
        DriftMonitor,
        DriftStatus,
        Facts,
        OnDrift,
        OnDrop,
        OnLabels,
        OnSchedule,
        QuietHours,
        Record,
        RetrainTrigger,
        Signal,
        Verdict,
    )
    from fairlead.lifecycle.trainer import Epoch, Report, Resumable, Trainer, parameters, quiet

# What needs numpy or a model's own package is imported when it is first asked for: name -> its module.
_LATER = {
    "CAPACITY": "examples",
    "ExampleBuffer": "examples",
    "Examples": "examples",
    "Joined": "examples",
    "read_examples": "examples",
    "Schema": "schema",
    "Epoch": "trainer",
    "Report": "trainer",
    "Resumable": "trainer",
    "Trainer": "trainer",
    "parameters": "trainer",
    "quiet": "trainer",
    "Budget": "signals",
    "DriftMonitor": "signals",
    "DriftStatus": "signals",
    "Facts": "signals",
    "OnDrift": "signals",
    "OnDrop": "signals",
    "OnLabels": "signals",
    "OnSchedule": "signals",
    "QuietHours": "signals",
    "Record": "signals",
    "RetrainTrigger": "signals",
    "Signal": "signals",
    "Verdict": "signals",
}

__all__ = [
    "CAPACITY",
    "Budget",
    "DriftMonitor",
    "DriftStatus",
    "Epoch",
    "ExampleBuffer",
    "Examples",
    "Facts",
    "Failure",
    "Joined",
    "LifecycleError",
    "NanLossError",
    "OnDrift",
    "OnDrop",
    "OnLabels",
    "OnSchedule",
    "QuietHours",
    "Record",
    "Report",
    "Resumable",
    "RetrainTrigger",
    "Schema",
    "SchemaError",
    "Signal",
    "Stopped",
    "TooFewExamplesError",
    "Trainer",
    "TrainingError",
    "Verdict",
    "parameters",
    "quiet",
    "read_examples",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return __all__
