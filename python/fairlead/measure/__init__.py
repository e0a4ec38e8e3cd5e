"""What is known of each model: ratings, windows, calibration, drift, pools and the scoreboard that holds them.

All are trackers: pure functions of the events they have seen. They read no clock and do no I/O.
"""

from __future__ import annotations

from fairlead._core import BOA, Calibration, Elo, Experts, Hedge, MLPoly, Psi, StreamingPsi, pool, pool_binary
from fairlead.measure.rolling import RollingWindow
from fairlead.measure.scoreboard import Leaderboard, ModelRow, Window

__all__ = [
    "BOA",
    "Calibration",
    "Elo",
    "Experts",
    "Hedge",
    "Leaderboard",
    "MLPoly",
    "ModelRow",
    "Psi",
    "RollingWindow",
    "StreamingPsi",
    "Window",
    "pool",
    "pool_binary",
]
