"""A cost that is not known is not 0: nobody is cheaper by it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from streams import Desk, chances, sigmoid

import fairlead as fl
from fairlead.reflection import Reflection, reflect
from fairlead.reflection.paired import Cost

SEED = 51
TASKS = 200


def costing(own: np.ndarray, other: np.ndarray, third: np.ndarray | None = None) -> tuple[Reflection, Cost]:
    """Three models that say the same, and what each asks for it."""
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, TASKS)
    prices = np.stack([own, other, third if third is not None else np.full(TASKS, math.nan)])
    desk = Desk(["own", "other", "third"], np.repeat(sigmoid(logit)[:, None], 3, axis=1), outcome)
    desk.extra = {"cost_usd": lambda task, model: prices[model, task]}
    found = reflect(model="own", **desk.arguments())
    return found, found["binary"].cost


def test_who_gives_no_cost_is_not_cheaper() -> None:
    for unknown in (math.nan, 0.0):
        found, cost = costing(np.ones(TASKS), np.full(TASKS, unknown), np.zeros(TASKS))
        assert cost.cheaper is None
        assert (cost.total, cost.per_answer, cost.known) == (TASKS, 1.0, TASKS)
        assert found.summary.cost_usd == TASKS
    _, cost = costing(np.ones(TASKS), np.full(TASKS, math.nan), np.full(TASKS, 0.5))
    assert (cost.cheaper, cost.cheaper_per_answer) == ("third", 0.5)


@pytest.mark.parametrize("unknown", [math.nan, 0.0])
def test_who_gives_no_cost_has_none_that_is_cheaper(unknown: float) -> None:
    found, cost = costing(np.full(TASKS, unknown), np.full(TASKS, 0.01))
    assert cost.cheaper is None
    assert cost.known == 0
    assert math.isnan(cost.total)
    assert math.isnan(cost.per_answer)
    assert cost.per_improvement is None
    assert math.isnan(found.summary.cost_usd)
    assert "cost not known" in str(found)
    assert " USD" not in str(found)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["summary"]["cost_usd"] is None


def test_they_are_compared_where_both_are_known() -> None:
    """Easy tasks are cheap; the other's cost is known of the dear ones only, where it is a tenth less."""
    own = np.where(np.arange(TASKS) % 3 == 0, 0.1, 1.0)
    other = np.where(np.arange(TASKS) % 3 == 0, math.nan, 0.9)
    found, cost = costing(own, other)
    assert found.summary.cost_per_scored < 0.9
    assert (cost.cheaper, cost.cheaper_per_answer) == ("other", pytest.approx(0.9))
    _, cost = costing(np.where(np.isnan(other), math.nan, 1.0), np.where(np.isnan(other), 0.01, 1.1))
    assert cost.cheaper is None
    # Of three tasks nothing follows.
    few = np.where(np.arange(TASKS) < 3, 0.5, math.nan)
    assert costing(own + 1, few)[1].cheaper is None


def test_what_is_known_in_part_is_told() -> None:
    found, cost = costing(np.where(np.arange(TASKS) < 50, 2.0, math.nan), np.full(TASKS, math.nan))
    assert (found.summary.cost_usd, found.summary.cost_n, found.summary.cost_per_scored) == (100.0, 50, 2.0)
    assert (cost.total, cost.known, cost.per_answer) == (100.0, 50, 2.0)
    assert "100 USD (2 a scored answer) for the 50 tasks whose cost is known" in str(found)
    free = np.where(np.arange(TASKS) < 50, 2.0, 0.0)  # a model that costs something has free answers too
    assert costing(free, free)[0].summary.cost_per_scored == 0.5


def test_a_fleet_that_was_told_no_costs(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path) as fleet:
        for name in ("dear", "untold"):
            fleet.add(name)
        for i in range(30):
            task = fl.Task(f"q{i}")
            fleet.record(task, fl.Forecast("dear", p=0.6, cost_usd=0.5))
            fleet.record(task, fl.Forecast("untold", p=0.6))
            fleet.settle(task, i % 2)
        assert fleet.reflect("dear")["binary"].cost.cheaper is None
        untold = fleet.reflect("untold")
    assert math.isnan(untold.summary.cost_usd)
    assert "cost not known" in str(untold)
