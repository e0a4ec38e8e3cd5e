"""fairlead: whom to trust now. Rate a fleet of models from outcomes, combine their answers into one decision.

Importing this is light: numpy, pandas and the rest are imported by what needs them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fairlead._core import __version__
from fairlead.errors import (
    BudgetExhaustedError,
    FairleadError,
    InvalidRecordError,
    JournalDamagedError,
    JournalError,
    JournalFullError,
    JournalLockedError,
    JournalWarning,
    NoForecastError,
    StoreError,
    TableError,
    TaskEndedError,
    UnknownModelError,
    UnknownPriceError,
    UnknownTaskError,
)
from fairlead.fleet import Fleet
from fairlead.journal import Journal
from fairlead.measure import (
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
    Leaderboard,
    MLPoly,
    ModelRow,
    PageHinkley,
    Psi,
    RollingWindow,
    StreamingPsi,
    TrueSkill,
    WengLin,
    Window,
    Windows,
    pool,
    pool_binary,
)
from fairlead.policy import DEFAULT_STRATEGY, STRATEGIES, Answered, Strategy, TaskClassifier, TaskType
from fairlead.policy.route import Objective, Route, Rules
from fairlead.settings import Settings
from fairlead.types import Decision, Forecast, Model, Outcome, Task

if TYPE_CHECKING:
    from fairlead import attention, lifecycle, providers
    from fairlead.fleet.conformance import StrategyFault, check_strategy
    from fairlead.lifecycle import Examples, Schema, check_trainer, read_examples, trainers
    from fairlead.lifecycle.pipeline import RetrainingPipeline
    from fairlead.lifecycle.registry import Registry
    from fairlead.measure import drift, rolling
    from fairlead.measure.agreement import Agreement, agreement
    from fairlead.measure.audit import Audit
    from fairlead.measure.bradley_terry import BradleyTerry, BradleyTerryRatings
    from fairlead.measure.budget import Alert, Budget, BudgetReport, Budgets
    from fairlead.measure.contribution import Contribution, contribution
    from fairlead.measure.drift import DriftReport
    from fairlead.measure.patterns import Pattern, PatternReport
    from fairlead.measure.performance import Performance, PerformanceRow
    from fairlead.measure.ratings import PredictionScore, evaluate_ratings
    from fairlead.measure.returns import Returns, returns
    from fairlead.measure.spend import Spend, SpendForecast, SpendReport
    from fairlead.measure.sweep import SweepResult, sweep
    from fairlead.monitor import AnomalyRule, MetricRule, RuleAlert, TrendRule
    from fairlead.monitor.report import Report
    from fairlead.policy.cascade import Cascade, CascadeCurve, cascade_curve
    from fairlead.policy.prompt_model import LinearPromptModel, NearestPromptModel, PromptModel, load_prompt_model
    from fairlead.providers import ResponseCache
    from fairlead.providers.known_models import KnownModels, known_model, known_models
    from fairlead.providers.prices import Prices, PriceTable, load_prices
    from fairlead.reflection import Reflection, compare_folder, reflect, reflect_folder
    from fairlead.replays import ReplayResult, audits, replay
    from fairlead.store import Store

__all__ = [
    "ADWIN",
    "BOA",
    "CUSUM",
    "DDM",
    "DEFAULT_STRATEGY",
    "EDDM",
    "HDDM_A",
    "HDDM_W",
    "KSWIN",
    "STRATEGIES",
    "Agreement",
    "Alert",
    "AnomalyRule",
    "Answered",
    "Audit",
    "BradleyTerry",
    "BradleyTerryRatings",
    "Breaker",
    "Breakers",
    "Budget",
    "BudgetExhaustedError",
    "BudgetReport",
    "Budgets",
    "Calibration",
    "Calibrator",
    "Cascade",
    "CascadeCurve",
    "Contribution",
    "CutScan",
    "Decision",
    "DriftReport",
    "Elo",
    "Examples",
    "Experts",
    "FairleadError",
    "Fleet",
    "Forecast",
    "Glicko2",
    "Hedge",
    "InvalidRecordError",
    "Journal",
    "JournalDamagedError",
    "JournalError",
    "JournalFullError",
    "JournalLockedError",
    "JournalWarning",
    "KSchedule",
    "KeyedPsi",
    "KnownModels",
    "Leaderboard",
    "LinearPromptModel",
    "MLPoly",
    "MetricRule",
    "Model",
    "ModelRow",
    "NearestPromptModel",
    "NoForecastError",
    "Objective",
    "Outcome",
    "PageHinkley",
    "Pattern",
    "PatternReport",
    "Performance",
    "PerformanceRow",
    "PredictionScore",
    "PriceTable",
    "Prices",
    "PromptModel",
    "Psi",
    "Reflection",
    "Registry",
    "ReplayResult",
    "Report",
    "ResponseCache",
    "RetrainingPipeline",
    "Returns",
    "RollingWindow",
    "Route",
    "RuleAlert",
    "Rules",
    "Schema",
    "Settings",
    "Spend",
    "SpendForecast",
    "SpendReport",
    "Store",
    "StoreError",
    "Strategy",
    "StrategyFault",
    "StreamingPsi",
    "SweepResult",
    "TableError",
    "Task",
    "TaskClassifier",
    "TaskEndedError",
    "TaskType",
    "TrendRule",
    "TrueSkill",
    "UnknownModelError",
    "UnknownPriceError",
    "UnknownTaskError",
    "WengLin",
    "Window",
    "Windows",
    "__version__",
    "agreement",
    "attention",
    "audits",
    "cascade_curve",
    "check_strategy",
    "check_trainer",
    "compare_folder",
    "contribution",
    "drift",
    "evaluate_ratings",
    "known_model",
    "known_models",
    "lifecycle",
    "load_prices",
    "load_prompt_model",
    "pool",
    "pool_binary",
    "providers",
    "read_examples",
    "reflect",
    "reflect_folder",
    "replay",
    "returns",
    "rolling",
    "sweep",
    "trainers",
]


# What needs numpy, which would double the time to import fairlead, or is not always needed: name -> its module.
_LATER = {
    "Audit": "fairlead.measure.audit",
    "StrategyFault": "fairlead.fleet.conformance",
    "check_strategy": "fairlead.fleet.conformance",
    "DriftReport": "fairlead.measure.drift",
    "Agreement": "fairlead.measure.agreement",
    "agreement": "fairlead.measure.agreement",
    "Contribution": "fairlead.measure.contribution",
    "contribution": "fairlead.measure.contribution",
    "Returns": "fairlead.measure.returns",
    "returns": "fairlead.measure.returns",
    "SweepResult": "fairlead.measure.sweep",
    "sweep": "fairlead.measure.sweep",
    "Alert": "fairlead.measure.budget",
    "Budget": "fairlead.measure.budget",
    "BudgetReport": "fairlead.measure.budget",
    "Budgets": "fairlead.measure.budget",
    "Spend": "fairlead.measure.spend",
    "SpendForecast": "fairlead.measure.spend",
    "SpendReport": "fairlead.measure.spend",
    "Cascade": "fairlead.policy.cascade",
    "CascadeCurve": "fairlead.policy.cascade",
    "cascade_curve": "fairlead.policy.cascade",
    "AnomalyRule": "fairlead.monitor",
    "MetricRule": "fairlead.monitor",
    "RuleAlert": "fairlead.monitor",
    "TrendRule": "fairlead.monitor",
    "Report": "fairlead.monitor.report",
    "LinearPromptModel": "fairlead.policy.prompt_model",
    "NearestPromptModel": "fairlead.policy.prompt_model",
    "PromptModel": "fairlead.policy.prompt_model",
    "load_prompt_model": "fairlead.policy.prompt_model",
    "Prices": "fairlead.providers.prices",
    "PriceTable": "fairlead.providers.prices",
    "load_prices": "fairlead.providers.prices",
    "KnownModels": "fairlead.providers.known_models",
    "known_model": "fairlead.providers.known_models",
    "known_models": "fairlead.providers.known_models",
    "BradleyTerry": "fairlead.measure.bradley_terry",
    "BradleyTerryRatings": "fairlead.measure.bradley_terry",
    "Pattern": "fairlead.measure.patterns",
    "PatternReport": "fairlead.measure.patterns",
    "Performance": "fairlead.measure.performance",
    "PerformanceRow": "fairlead.measure.performance",
    "PredictionScore": "fairlead.measure.ratings",
    "evaluate_ratings": "fairlead.measure.ratings",
    "Reflection": "fairlead.reflection",
    "Examples": "fairlead.lifecycle",
    "Schema": "fairlead.lifecycle",
    "check_trainer": "fairlead.lifecycle",
    "read_examples": "fairlead.lifecycle",
    "Registry": "fairlead.lifecycle.registry",
    "RetrainingPipeline": "fairlead.lifecycle.pipeline",
    "compare_folder": "fairlead.reflection",
    "reflect": "fairlead.reflection",
    "reflect_folder": "fairlead.reflection",
    "audits": "fairlead.replays.audited",
    "replay": "fairlead.replays",
    "ReplayResult": "fairlead.replays",
    "ResponseCache": "fairlead.providers",
    "Store": "fairlead.store",
}
# Modules of functions, reached as `fairlead.drift`.
_MODULES = {
    "attention": "fairlead.attention",
    "drift": "fairlead.measure.drift",
    "lifecycle": "fairlead.lifecycle",
    "providers": "fairlead.providers",
    "rolling": "fairlead.measure.rolling",
    "trainers": "fairlead.lifecycle.trainers",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        return getattr(import_module(_LATER[name]), name)
    if name in _MODULES:
        return import_module(_MODULES[name])
    raise AttributeError(f"module 'fairlead' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
