"""Settled forecasts with a known truth, as the columns of a journal's reader."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

BINARY, CATEGORICAL, NUMERIC = 0, 1, 2


@dataclass
class Desk:
    """Answers by task and model, put together into rows. NaN: did not answer."""

    models: list[str]
    answers: np.ndarray  # tasks x models
    outcome: np.ndarray
    per_round: int = 5
    kind: int = BINARY
    contexts: list[str] = field(default_factory=list)
    context: np.ndarray | None = None  # of each task
    extra: dict[str, Any] = field(default_factory=dict)

    def rows(self) -> dict[str, np.ndarray]:
        task, model = np.nonzero(~np.isnan(self.answers))
        value, outcome = self.answers[task, model], self.outcome[task]
        numeric = self.kind == NUMERIC
        n = len(task)
        p_true = np.where(outcome == 1, value, 1 - value)
        out = {
            "seq": np.arange(n, dtype=np.uint64),
            "time": (task // self.per_round * 10**9).astype(np.int64),
            "asked": np.zeros(n, dtype=np.int64),
            "task": task.astype(np.uint64),
            "model": model.astype(np.int32),
            "category": np.zeros(n, dtype=np.int32),
            "kind": np.full(n, self.kind, dtype=np.uint8),
            "scored": np.ones(n, dtype=np.uint8),
            "correct": np.zeros(n, dtype=np.uint8) if numeric else (p_true > 0.5).astype(np.uint8),
            "happened": np.zeros(n, dtype=np.uint8) if numeric else (outcome == 1).astype(np.uint8),
            "calls": np.ones(n, dtype=np.uint32),
            "failed": np.zeros(n, dtype=np.uint32),
            "value": value,
            "outcome": outcome.astype(float),
            "loss": (value - outcome) ** 2,
            "log_loss": np.full(n, np.nan) if numeric else -np.log(np.maximum(p_true, np.finfo(float).eps)),
            "shown": np.full(n, np.nan) if numeric else value,
            "cost_usd": np.zeros(n),
            "latency_ms": np.full(n, np.nan),
        }
        start, context = np.zeros(n + 1, dtype=np.uint32), np.empty(0, dtype=np.int32)
        if self.context is not None:
            start, context = np.arange(n + 1, dtype=np.uint32), self.context[task].astype(np.int32)
        out |= {"context_start": start, "context": context}
        out |= {name: np.asarray(column(task, model)) for name, column in self.extra.items()}
        return out

    def arguments(self) -> dict[str, Any]:
        """What `reflect` and `compare` take beside the model."""
        return {"rows": self.rows(), "models": self.models, "contexts": self.contexts}


def chances(rng: np.random.Generator, tasks: int, spread: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """True log-odds of tasks, and what happened."""
    logit = rng.normal(0, spread, tasks)
    return logit, (rng.random(tasks) < sigmoid(logit)).astype(float)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def joined(*parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rows of several desks without contexts, one after the other; their tasks are kept apart."""
    out: dict[str, np.ndarray] = {}
    first = 0
    moved = []
    for part in parts:
        moved.append(part | {"task": part["task"] + np.uint64(first)})
        first += int(part["task"].max()) + 1
    for name in moved[0]:
        if name not in ("context", "context_start"):
            out[name] = np.concatenate([part[name] for part in moved])
    return out
