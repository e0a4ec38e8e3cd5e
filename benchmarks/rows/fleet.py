"""The whole loop: replay and Fleet."""

from __future__ import annotations

import importlib
import itertools
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Size

import fairlead as fl
from fairlead import _core


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


def one_call(n: int, *, journal: bool) -> Iterator[Row]:
    """What the caller pays: an answer to an open task; a task of one model from its record to its outcome."""
    where = "on a journal" if journal else "in memory"
    folder = tempfile.TemporaryDirectory()
    fleet = fl.Fleet.open(folder.name, sync="never", ring_bytes=1 << 28) if journal else fl.Fleet()
    weakref.finalize(fleet, folder.cleanup)
    fleet.add("a")
    task, forecast = fl.Task("open", category="c", time=1), fl.Forecast("a", p=0.25, time=1)
    turns = itertools.count()

    def record() -> None:
        for _ in range(n):
            fleet.record(task, forecast)

    def live() -> None:
        turn = next(turns)
        for i in range(n):
            task = fl.Task(f"{turn} {i}", category="c", time=1)
            fleet.record(task, forecast)
            fleet.settle(task, 1, time=2)

    record()
    live()
    row = fleet.leaderboard()["a"]
    error = abs(row.brier - 0.5625) + abs(row.calls - 2 * n)
    yield Row(f"Fleet.record from Python, {where}", "ns/call", n, record, {}, f"{error:.0e}")
    yield Row(f"A Task made, recorded and settled, {where}", "ns/task", n, live, {}, f"{error:.0e}")


def desks(events: int, models: int) -> Iterator[Row]:
    """Opening a desk: its journal folded through the Scoreboard, from the beginning and from a snapshot."""
    folder = tempfile.TemporaryDirectory()
    desk = f"{folder.name}/desk"
    tasks = events // (models + 2)
    with fl.Fleet.open(desk, sync="never", overflow="spill", snapshot_every=10**12) as fleet:
        forecasts = [fl.Forecast(f"m{i}", p=0.5 + i / 100, time=1) for i in range(models)]
        for forecast in forecasts:
            fleet.add(forecast.model)
        for t in range(tasks):
            task = fl.Task(str(t), category="abcd"[t % 4], time=t)
            for forecast in forecasts:
                fleet.record(task, forecast)
            fleet.settle(task, t % 2, time=t)
        state = fleet._core.state()
        fleet.sync()

    def folded(snapshots: bool) -> Any:
        core, found = _core.fold_desk(desk, snapshots=snapshots)
        assert core.state() == state
        return found["events"]

    n = folded(False)
    name = "Fleet: fold of a journal through the Scoreboard"
    yield Row(name, "ns/event", n, lambda: _core.fold_desk(desk, False), {}, "0", "<= 200 ns")
    _core.snapshot_desk(desk)
    assert folded(True) == 0
    name = f"Fleet: opening a desk of {n / 1e6:.1f} M events from its snapshot"
    yield Row(name, "ns", 1, lambda: _core.fold_desk(desk, True), {}, "0")


def rows(size: Size) -> Iterator[Row]:
    yield replaying(size.scaled(20_000), 15)
    yield fleet_from_python(size.scaled(2_000), 20)
    for journal in (False, True):
        yield from one_call(size.scaled(50_000), journal=journal)
    yield from desks(size.scaled(10_000_000), 20)
