"""Reflections on real forecasts. Nothing is tuned here."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead.reflection import compare, reflect
from fairlead.replays import ForecastTable, read_table

_spec = importlib.util.spec_from_file_location("real_data", Path(__file__).parents[2] / "benchmarks" / "real_data.py")
assert _spec is not None
assert _spec.loader is not None
real_data = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = real_data  # where its dataclasses look for themselves
_spec.loader.exec_module(real_data)


def settled(table: ForecastTable) -> dict[str, np.ndarray]:
    """A table of forecasts as the rows of a journal: one answer of each model to each task."""
    n = len(table.task)
    outcome = table.outcome[table.task]
    scored = ~table.failed & ~np.isnan(outcome)
    happened = np.nan_to_num(outcome).astype(np.int64)
    binary = table.kind == "binary"
    p = np.column_stack([1 - table.answer[:, 0], table.answer[:, 0]]) if binary else table.answer
    miss = p.copy()
    miss[np.arange(n), happened] -= 1
    top = p.argmax(axis=1)
    codes = np.full((n, len(table.dimensions)), -1)
    first = 0
    for i, dimension in enumerate(table.dimensions):
        code = dimension.codes[table.task]
        codes[:, i] = np.where(code < 0, -1, code + first)
        first += len(dimension.values)
    return {
        "time": table.outcome_time[table.task],
        "seq": np.argsort(np.argsort(table.outcome_time[table.task], kind="stable")),
        "task": table.task,
        "model": table.model,
        "kind": np.full(n, 0 if binary else 1),
        "scored": scored,
        "correct": scored & (top == happened),
        "happened": scored & ((happened == 1) if binary else (top == happened)),
        "calls": np.ones(n, dtype=np.int64),
        "failed": table.failed.astype(np.int64),
        "value": table.answer[:, 0] if binary else p.max(axis=1),
        "outcome": outcome,
        "loss": (miss**2).sum(axis=1) * (0.5 if binary else 1.0),
        "log_loss": -np.log(np.maximum(p[np.arange(n), happened], np.finfo(float).eps)),
        "shown": p[:, 1] if binary else p.max(axis=1),
        "cost_usd": table.cost_usd,
        "context_start": np.concatenate([[0], np.cumsum((codes >= 0).sum(axis=1))]),
        "context": codes[codes >= 0],
    }


def arguments(table: ForecastTable) -> dict[str, Any]:
    contexts = [f"{dimension.name}={value}" for dimension in table.dimensions for value in dimension.values]
    return {"rows": settled(table), "models": table.models, "contexts": contexts}


def test_tools_that_answer_questions(shared_data: Path) -> None:
    table = read_table(real_data.tools(shared_data))
    found = compare(**arguments(table))
    names = [row.model for row in found["binary"].standings]
    assert len(names) == 7
    assert names[0] == "claude-prediction-offline"
    retired = {s.models for s in found.suggestions if s.action == "retire"}
    assert retired == {("prediction-online-sme",), ("prediction-offline-sme",)}
    assert {(name,) for name in names[-2:]} == retired
    assert not [s for s in found.suggestions if s.action in ("ensemble", "retrain")]
    last = reflect(model=names[-1], **arguments(table))
    assert last.summary.cost_usd > 0
    assert last["binary"].cost.cheaper is not None
    assert {s.action for s in last.suggestions} == {"retire"}
    # 28 calls failed: they are counted and cost, and are scored nowhere.
    results = [reflect(model=name, **arguments(table)) for name in names]
    assert sum(r.summary.failures for r in results) == 28
    assert sum(r.summary.scored for r in results) == 2296 - 28
    json.dumps(found.to_dict(), allow_nan=False)


def test_one_model_of_flusight(shared_data: Path) -> None:
    table = read_table(real_data.flusight(shared_data), slices=["horizon"])
    found = reflect(model="UMass-trends_ensemble", **arguments(table))
    one = found["categorical"]
    assert (one.performance.n, one.performance.rounds) == (12_286, 65)
    answers = table.answer[table.model == table.models.index(found.model)]
    tasks = table.task[table.model == table.models.index(found.model)]
    happened = np.eye(5)[table.outcome[tasks].astype(int)]
    assert one.performance.brier == pytest.approx(((answers - happened) ** 2).sum(axis=1).mean())
    # One week is one piece of news: thousands of answers in 65 weeks do not make a certainty of small differences.
    assert one.calibration is not None
    assert one.calibration.z_p < 1e-9 < one.calibration.p_value
    assert one.trend.state == "stable"
    assert one.contexts.rows[0].context == "horizon=0"
    assert one.regret is not None
    assert one.regret.best == "PSI-PROF_beta"
    assert len(str(found).splitlines()) <= 40


def test_language_models_on_few_questions(shared_data: Path) -> None:
    table = read_table(real_data.language_models(shared_data))
    found = reflect(model="basic:llama-3.1-8B", **arguments(table))
    assert [s.action for s in found.suggestions] == ["recalibrate"]
    assert found["binary"].calibration is not None
    assert found["binary"].calibration.state == "overconfident"
    assert len(found["binary"].comparisons) == 32
    assert not any(paired.better for paired in found["binary"].comparisons)
