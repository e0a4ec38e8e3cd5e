"""fairlead: whom to trust now. Rate a fleet of models from outcomes, combine their answers into one decision.

Importing this is light: numpy, pandas and the rest are imported by what needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairlead._core import __version__
from fairlead.errors import (
    FairleadError,
    InvalidRecordError,
    NoForecastError,
    TableError,
    TaskEndedError,
    UnknownModelError,
    UnknownTaskError,
)
from fairlead.fleet import Fleet
from fairlead.measure import (
    Calibration,
    Elo,
    KeyedPsi,
    Leaderboard,
    ModelRow,
    Psi,
    RollingWindow,
    StreamingPsi,
    Window,
    pool,
)
from fairlead.policy import DEFAULT_STRATEGY, STRATEGIES
from fairlead.settings import Settings
from fairlead.types import Decision, Forecast, Model, Outcome, Task

if TYPE_CHECKING:
    from fairlead.measure import drift
    from fairlead.measure.drift import DriftReport
    from fairlead.replays import ReplayResult, replay

__all__ = [
    "DEFAULT_STRATEGY",
    "STRATEGIES",
    "Calibration",
    "Decision",
    "DriftReport",
    "Elo",
    "FairleadError",
    "Fleet",
    "Forecast",
    "InvalidRecordError",
    "KeyedPsi",
    "Leaderboard",
    "Model",
    "ModelRow",
    "NoForecastError",
    "Outcome",
    "Psi",
    "ReplayResult",
    "RollingWindow",
    "Settings",
    "StreamingPsi",
    "TableError",
    "Task",
    "TaskEndedError",
    "UnknownModelError",
    "UnknownTaskError",
    "Window",
    "__version__",
    "drift",
    "pool",
    "replay",
]


# What needs numpy, which would double the time to import fairlead: name -> module that holds it.
_LATER = {
    "DriftReport": "fairlead.measure.drift",
    "replay": "fairlead.replays",
    "ReplayResult": "fairlead.replays",
}
# Modules of functions, reached as `fairlead.drift`.
_MODULES = {"drift": "fairlead.measure.drift"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'fairlead' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
