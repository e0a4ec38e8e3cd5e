"""The whole loop: replay and Fleet."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Size

import fairlead as fl


def replaying(tasks: int, models: int) -> Row:
    from fairlead.replays import read_table, replay

    rng = np.random.default_rng(7)
    truth = rng.random(tasks)
    noise = np.linspace(0.02, 0.4, models)
    frame_module = importlib.import_module("pandas")
    frame = frame_module.DataFrame(
        {
            "time": np.repeat(np.arange(tasks) // 50, models),
            "task": np.repeat(np.arange(tasks), models),
            "model": np.tile([f"m{i}" for i in range(models)], tasks),
            "category": np.repeat((np.arange(tasks) % 4).astype(str), models),
            "p": np.clip(truth[:, None] + noise * rng.normal(size=(tasks, models)), 0, 1).ravel(),
            "outcome": np.repeat((rng.random(tasks) < truth).astype(int), models),
        }
    )
    table = read_table(frame)

    def theirs() -> Any:
        grouped = frame.groupby("task")
        pooled, outcome = grouped["p"].mean(), grouped["outcome"].first()
        return ((pooled - outcome) ** 2).mean()

    error = abs(replay(table).strategies["mean"].brier - theirs())
    return Row(
        "Replay: record, decide by 5 strategies, settle, rate, score",
        "ns/forecast",
        tasks * models,
        lambda: replay(table),
        {},  # we know of no peer that does this
        f"{error:.0e}",
        "<= 500 ns",
    )


def fleet_from_python(tasks: int, models: int) -> Row:
    names = [f"m{i}" for i in range(models)]
    forecasts = [fl.Forecast(name, p=0.5 + i / 100) for i, name in enumerate(names)]

    def ours() -> fl.Fleet:
        fleet = fl.Fleet()
        for name in names:
            fleet.add(name)
        for t in range(tasks):
            task = fl.Task(str(t), category="a")
            for forecast in forecasts:
                fleet.record(task, forecast)
            fleet.decide(task)
            fleet.settle(task, t % 2)
        return fleet

    exact = sum((0.5 - t % 2) ** 2 for t in range(tasks)) / tasks
    error = abs(ours().leaderboard()["m0"].brier - exact)
    return Row(
        "Fleet from Python: a task of 20 models, recorded, decided, settled",
        "ns/forecast",
        tasks * models,
        ours,
        {},
        f"{error:.0e}",
    )


def rows(size: Size) -> Iterator[Row]:
    yield replaying(size.scaled(20_000), 15)
    yield fleet_from_python(size.scaled(2_000), 20)
