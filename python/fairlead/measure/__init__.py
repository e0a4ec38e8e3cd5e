"""What is known of each model: ratings, windows, calibration, drift, pools and the scoreboard that holds them.

All are trackers: pure functions of the events they have seen. They read no clock and do no I/O.
"""

from __future__ import annotations

from fairlead._core import (
    ADWIN,
    CUSUM,
    DDM,
    EDDM,
    HDDM_A,
    HDDM_W,
    KSWIN,
    Calibration,
    Elo,
    KeyedPsi,
    KSchedule,
    PageHinkley,
    Psi,
    StreamingPsi,
    pool,
)
from fairlead.measure.rolling import RollingWindow
from fairlead.measure.scoreboard import Leaderboard, ModelRow, Window

__all__ = [
    "ADWIN",
    "CUSUM",
    "DDM",
    "EDDM",
    "HDDM_A",
    "HDDM_W",
    "KSWIN",
    "Calibration",
    "Elo",
    "KSchedule",
    "KeyedPsi",
    "Leaderboard",
    "ModelRow",
    "PageHinkley",
    "Psi",
    "RollingWindow",
    "StreamingPsi",
    "Window",
    "pool",
]
