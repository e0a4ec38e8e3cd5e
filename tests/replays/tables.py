"""Tables of forecasts that depend on nothing but a seed, and a fleet driven through them by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd

import fairlead as fl

LABELS = ("no", "maybe", "yes")
KINDS = ("binary", "categorical", "numeric")


def a_table(kind: str, seed: int, tasks: int = 60, models: int = 5) -> pd.DataFrame:
    """Forecasts in time order: revisions, failures, absent models, late and missing outcomes, ties in time."""
    dice = np.random.default_rng(seed)
    skill = dice.uniform(0.2, 1.5, models)
    rows: list[dict[str, Any]] = []
    for task in range(tasks):
        opened = int(dice.integers(1, tasks // 2))
        missing = dice.random() < 0.1
        truth = {
            "binary": int(dice.integers(0, 2)),
            "categorical": int(dice.integers(0, 3)),
            "numeric": float(dice.normal(10, 4)),
        }[kind]
        common = {
            "task": f"q{task}",
            "category": dice.choice(["x", "y"]) if task % 4 else None,
            "horizon": str(task % 3),
            "outcome": None if missing else truth,
            "outcome_time": opened + int(dice.integers(3, 15)) if task % 5 else None,
        }
        for model in range(models):
            if dice.random() < 0.2:
                continue
            for later in range(1 + (dice.random() < 0.2)):
                answer: dict[str, float] = {}
                if kind == "binary":
                    shift = skill[model] * (2 * truth - 1)
                    answer["p"] = float(1 / (1 + math.exp(-dice.normal(shift, 1))))
                elif kind == "categorical":
                    # Counts of 64, so that no division rounds.
                    p = dice.multinomial(64, dice.dirichlet(np.eye(3)[truth] * skill[model] * 3 + 0.5)) / 64
                    answer |= dict(zip((f"p_{label}" for label in LABELS), map(float, p), strict=True))
                else:
                    answer["value"] = float(dice.normal(truth, 3 / skill[model]))
                failed = dice.random() < 0.08
                rows.append(
                    {"time": opened + later, "model": f"m{model}", **common}
                    | dict.fromkeys(answer, None if failed else 0.0)
                    | ({} if failed else answer)
                    | {"error": "timeout" if failed else None, "cost_usd": 0.25, "confidence": float(dice.random())}
                )
    frame = pd.DataFrame(rows).sort_values("time", kind="stable", ignore_index=True)
    return frame.astype({"outcome": float, "outcome_time": "Int64"})


def given_or_none(value: Any) -> Any:
    return None if pd.isna(value) else value


def by_hand(frame: pd.DataFrame, kind: str) -> tuple[fl.Fleet, dict[str, tuple[float, dict[str, Any]]]]:
    """Drives a fleet through the table in the documented order: at each time outcomes known by then, by when they
    became known, then forecasts, then the decisions on tasks whose last forecast this was.

    Returns it and, for each task that was decided and settled, in that order: the outcome and every decision.
    """
    fleet = fl.Fleet(clock=lambda: 0)
    times = sorted(frame.time.unique())
    last = frame.groupby("task").time.max()
    known = []
    for number, (task, rows) in enumerate(frame.groupby("task", sort=False)):
        outcome, when = given_or_none(rows.outcome.iloc[0]), given_or_none(rows.outcome_time.iloc[0])
        if when is None:
            when = min((time for time in times if time > last[task]), default=2**63 - 1)
        if outcome is not None:
            known.append((int(when), number, str(task), outcome))
    known.sort()
    for model in dict.fromkeys(frame.model):
        fleet.add(model)

    decided: dict[str, dict[str, Any]] = {}
    settled: dict[str, tuple[float, dict[str, Any]]] = {}

    def settle_until(now: int) -> None:
        while known and known[0][0] <= now:
            when, _, task, outcome = known.pop(0)
            fleet.settle(task, outcome, time=when)
            if task in decided:
                settled[task] = outcome, decided[task]

    for now in times:
        settle_until(now)
        rows = frame[frame.time == now]
        for row in rows.to_dict("records"):
            task = fl.Task(
                row["task"],
                kind=kind,
                labels=LABELS if kind == "categorical" else (),
                category=given_or_none(row["category"]) or "",
                slices={"horizon": row["horizon"]},
            )
            answer: dict[str, Any] = {"error": "timeout"}
            if given_or_none(row["error"]) is None:
                answer = {
                    "binary": lambda row=row: {"p": row["p"]},
                    "categorical": lambda row=row: {"p": tuple(row[f"p_{label}"] for label in LABELS)},
                    "numeric": lambda row=row: {"value": row["value"]},
                }[kind]()
            forecast = fl.Forecast(row["model"], cost_usd=0.25, confidence=row["confidence"], **answer)
            fleet.record(task, forecast)
        answered = set(frame[(frame.time <= now) & frame.error.isna()].task)
        for task in dict.fromkeys(rows.task):
            if last[task] == now and task in answered:
                decided[task] = {s: fleet.decide(task, strategy=s).answer for s in fl.STRATEGIES}
    settle_until(2**63 - 1)
    return fleet, settled


def vector(answer: Any, kind: str) -> np.ndarray:
    """A decision's answer as probabilities by class, or as the one number it is."""
    if kind == "binary":
        return np.array([1 - answer, answer])
    return np.array(list(answer.values())) if kind == "categorical" else np.array([answer])
