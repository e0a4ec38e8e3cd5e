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
    BOA,
    Calibration,
    Elo,
    Experts,
    Hedge,
    Leaderboard,
    MLPoly,
    ModelRow,
    Psi,
    RollingWindow,
    StreamingPsi,
    Window,
    pool,
    pool_binary,
)
from fairlead.policy import DEFAULT_STRATEGY, STRATEGIES
from fairlead.settings import Settings
from fairlead.types import Decision, Forecast, Model, Outcome, Task

if TYPE_CHECKING:
    from fairlead.replays import ReplayResult, replay

__all__ = [
    "BOA",
    "DEFAULT_STRATEGY",
    "STRATEGIES",
    "Calibration",
    "Decision",
    "Elo",
    "Experts",
    "FairleadError",
    "Fleet",
    "Forecast",
    "Hedge",
    "InvalidRecordError",
    "Leaderboard",
    "MLPoly",
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
    "pool",
    "pool_binary",
    "replay",
]


# What needs numpy, which would double the time to import fairlead: name -> module that holds it.
_LATER = {"replay": "fairlead.replays", "ReplayResult": "fairlead.replays"}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'fairlead' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
