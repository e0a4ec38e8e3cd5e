"""Who decides: ways to turn answers into one decision. Every one of them is a set of weights."""

from __future__ import annotations

from fairlead.policy.answered import Answered
from fairlead.policy.pooled import DEFAULT_STRATEGY, STRATEGIES, as_decision, strategy_index
from fairlead.policy.strategy import Strategy
from fairlead.policy.task_classifier import TaskClassifier, TaskExplanation, TaskType

__all__ = [
    "DEFAULT_STRATEGY",
    "STRATEGIES",
    "Answered",
    "Strategy",
    "TaskClassifier",
    "TaskExplanation",
    "TaskType",
    "as_decision",
    "strategy_index",
]
