"""Runs of agents, and performance on a journal: what is read is what was lived."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import fairlead as fl
from fairlead.errors import InvalidRecordError
from fairlead.journal import read

NOW = 1_772_000_000 * 10**9


def test_runs_are_summed_by_agent() -> None:
    fleet = fl.Fleet(clock=lambda: NOW)
    fleet.record_run("crawler", "ok", duration_ms=100, tokens=5, cost_usd=0.5, memory_mb=64, api_calls=2, compute_s=1.5)
    fleet.record_run("crawler", "error", duration_ms=300, memory_mb=128, category="rates", error="no disk")
    fleet.record_run("crawler", "timeout")
    fleet.record_run("crawler", "cancelled")
    fleet.record_run("indexer")
    runs = fleet.runs()
    assert [row.agent for row in runs] == ["crawler", "indexer"]
    row = runs["crawler"]
    assert (row.calls, row.succeeded, row.failed, row.timeouts, row.cancelled) == (4, 1, 2, 1, 1)
    assert (row.success_rate, row.error_rate, row.timeout_rate) == (0.25, 0.5, 0.25)
    assert (row.tokens, row.cost_usd, row.api_calls, row.compute_s) == (5, 0.5, 2, 1.5)
    assert (row.memory_mb, row.memory_most_mb) == (96.0, 128.0)
    assert row.latency_mean_ms == pytest.approx(200.0)
    assert row.latency_p95_ms == pytest.approx(300.0, rel=1 / 129)
    assert (row.model, row.tokens_in, row.tokens_out, row.settled) == ("crawler", 5, 0, 0)
    assert math.isnan(runs["indexer"].memory_mb)
    assert [row.calls for row in fleet.runs("crawler", category="rates")] == [1]
    assert len(fleet.runs("nobody")) == 1
    assert fleet.runs("nobody")["nobody"].calls == 0
    assert str(runs).splitlines()[1].startswith("crawler     4    25.0%")
    assert runs.to_dicts()[1]["agent"] == "indexer"
    assert fleet.models == ()
    with pytest.raises(KeyError):
        runs["nobody"]


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"agent": ""}, "agent is ''"),
        ({"agent": 3}, "agent is 3"),
        ({"agent": "\ud800"}, "agent is"),
        ({"status": "fine"}, "status is 'fine', must be one of ok, error, timeout, cancelled"),
        ({"status": "erorr"}, "did you mean 'error'"),
        ({"duration_ms": -1}, "duration_ms is -1"),
        ({"duration_ms": math.nan}, "duration_ms is nan"),
        ({"memory_mb": math.inf}, "memory_mb is inf"),
        ({"cost_usd": -0.5}, "cost_usd is -0.5"),
        ({"cost_usd": 1e12}, "cost_usd is 1000000000000.0"),
        ({"compute_s": "1"}, "compute_s is '1'"),
        ({"tokens": 1.5}, "tokens is 1.5"),
        ({"tokens": -1}, "tokens is -1"),
        ({"api_calls": True}, "api_calls is True"),
        ({"error": 3}, "error is 3"),
        ({"category": 3}, "category is 3"),
        ({"time": "soon"}, "is 'soon'"),
    ],
)
def test_a_run_that_cannot_be_is_refused_and_leaves_no_trace(fault: dict[str, Any], words: str) -> None:
    fleet = fl.Fleet(clock=lambda: NOW)
    before = fleet._core.state()
    with pytest.raises(InvalidRecordError, match=words):
        fleet.record_run(**({"agent": "x", "status": "ok"} | fault))
    assert fleet._core.state() == before


def test_performance_and_runs_come_back_from_a_journal(tmp_path: Path) -> None:
    now = [NOW]
    clock = lambda: now[0]  # noqa: E731
    with fl.Fleet.open(tmp_path, clock=clock) as fleet:
        for model in ("a", "b"):
            fleet.add(model)
        for n in range(200):
            now[0] += 3600 * 10**9
            task = fl.Task(
                f"q{n}", category=("crypto", "rates")[n % 2], regime="wild" if n % 3 else "", expires_in_s=60.0 * n
            )
            fleet.record(task, fl.Forecast("a", p=0.6 + n % 4 / 10, latency_ms=100 + n))
            fleet.record(task, fl.Forecast("b", error="timeout: x") if n % 5 == 0 else fl.Forecast("b", p=0.4))
            if n % 7:
                fleet.settle(task, n % 2)
            fleet.record_run("crawler", "ok", duration_ms=n, memory_mb=n)
        table, runs, report = fleet.performances(window="30d"), fleet.runs(window="6h"), fleet.patterns()
        state = fleet._core.state()
    for _ in range(2):  # by the events, and by the snapshot that was written
        with fl.Fleet.open(tmp_path, clock=clock, snapshot_every=50) as fleet:
            assert fleet._core.state() == state
            assert str(fleet.performances(window="30d")) == str(table)
            assert fleet.performances(window="30d")["a"] == table["a"]
            assert fleet.runs(window="6h") == runs
            assert str(fleet.patterns()) == str(report)
            fleet._snapshots.take()  # type: ignore[union-attr]
    events = list(read(tmp_path, types=["run"]))
    assert len(events) == 200
    assert events[3].model == "crawler"
    with fl.Fleet.open(tmp_path, clock=clock) as fleet, pytest.raises(InvalidRecordError, match="only the fleet"):
        fleet.journal.append_bytes("run", 0, None, None, b"")  # type: ignore[union-attr]
