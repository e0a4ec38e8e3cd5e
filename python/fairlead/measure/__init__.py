"""What is known of each model: ratings, windows, calibration, drift, pools and the scoreboard that holds them.

All are trackers: pure functions of the events they have seen. They read no clock and do no I/O.
"""

from __future__ import annotations

from fairlead._core import (
    ADWIN,
    BOA,
    CUSUM,
    DDM,
    EDDM,
    HDDM_A,
    HDDM_W,
    KSWIN,
    Breaker,
    Breakers,
    Calibration,
    Calibrator,
    CutScan,
    Elo,
    Experts,
    Glicko2,
    Hedge,
    KeyedPsi,
    KSchedule,
    MLPoly,
    PageHinkley,
    Psi,
    StreamingPsi,
    TrueSkill,
    WengLin,
    pool,
    pool_binary,
)
from fairlead.measure.rolling import RollingWindow
from fairlead.measure.scoreboard import Leaderboard, ModelRow, Window
from fairlead.measure.windows import Windows

__all__ = [
    "ADWIN",
    "BOA",
    "CUSUM",
    "DDM",
    "EDDM",
    "HDDM_A",
    "HDDM_W",
    "KSWIN",
    "Breaker",
    "Breakers",
    "Calibration",
    "Calibrator",
    "CutScan",
    "Elo",
    "Experts",
    "Glicko2",
    "Hedge",
    "KSchedule",
    "KeyedPsi",
    "Leaderboard",
    "MLPoly",
    "ModelRow",
    "PageHinkley",
    "Psi",
    "RollingWindow",
    "StreamingPsi",
    "TrueSkill",
    "WengLin",
    "Window",
    "Windows",
    "pool",
    "pool_binary",
]
