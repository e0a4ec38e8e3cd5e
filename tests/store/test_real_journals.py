"""A fleet writes its journal, the store follows: live, after a kill, out of the archive. The rows are the same."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import fairlead as fl
from fairlead.journal import read
from fairlead.providers import Answer
from fairlead.store import Store, desk
from fairlead.store.tables import PROJECTED

DAY = 86_400 * 10**9


def rows(store: Store) -> Any:
    return {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}


def run(fleet: fl.Fleet, first: int, tasks: int) -> None:
    """So many tasks of all kinds: answered, decided, most of them settled."""
    names = ["a", "b", "c"]
    for name in names:
        if name not in [model.name for model in fleet.models]:
            fleet.add(fl.Model(name, provider="lab", tier="fast"))
    for n in range(first, first + tasks):
        kind = ("binary", "categorical", "numeric")[n % 3]
        labels = ("up", "flat", "down") if kind == "categorical" else ()
        category = ("politics", "", "é")[n % 7 % 3]
        task = fl.Task(f"q-{n}", kind=kind, category=category, labels=labels, slices={"horizon": str(n % 2)})  # type: ignore[arg-type]
        for i, name in enumerate(names):
            common: dict[str, Any] = {"latency_ms": 10.5 * n + i, "cost_usd": 0.001 * i, "tokens_in": n}
            if (n + i) % 11 == 0:
                fleet.record(task, fl.Forecast(name, error="timed out", **common))
            elif kind == "numeric":
                fleet.record(task, fl.Forecast(name, value=n / 7 + i, **common))
            elif kind == "binary":
                fleet.record(task, fl.Forecast(name, p=(n * 37 % 100) / 100, confidence=0.5, **common))
            else:
                fleet.record(
                    task, fl.Forecast(name, p={"up": 0.5, "down": 0.125 * i, "flat": 0.5 - 0.125 * i}, **common)
                )
        fleet.decide(task)
        if n % 5 == 0:
            continue
        if n % 13 == 0:
            fleet.void(task)
        else:
            outcome: Any = {"binary": n % 2, "categorical": "flat", "numeric": n / 9}[kind]
            fleet.settle(fl.Outcome(task.id, outcome, profit_usd=1.5))
    assert fleet.journal is not None
    fleet.journal.append("alert", {"severity": "high", "value": 3}, model="a")
    fleet.journal.append("training_run", {"run": "r1", "status": "done", "loss": 0.25}, model="b")
    fleet.journal.append("deployment", {"version": "v1", "stage": "live"}, model="b")
    fleet.journal.append("model_version", {"version": "v1", "digest": "ab"}, model="b")
    daily = {"name": "day", "limit": 5 * 10**9, "period": "daily", "scope": "all", "on_exhausted": "refuse"}
    assert fleet._core.budget_event(json.dumps(daily), 10**9) == 0
    route = fleet.route(f"q-{first}", pin="a")  # which is open
    fleet.called(route, Answer(fl.Forecast("a", p=0.5, cost_usd=0.002, latency_ms=812.5)))


@pytest.fixture
def clock() -> Any:
    now = iter(range(DAY, 2 * DAY, 10**6))  # all within an hour
    return lambda: next(now)


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as found:
        yield found


def test_followed_updated_and_rebuilt_are_the_same(tmp_path: Path, store: Store, place: str, clock: Any) -> None:
    folder = tmp_path / "desk"
    with fl.Fleet.open(folder, clock=clock) as fleet:
        with desk.follower(store, folder, poll="2ms") as writer:
            run(fleet, 0, 60)
            fleet.sync()
            assert writer.flush(60)
            assert writer.last_error is None
        run(fleet, 60, 30)
        fleet.sync()
        last = desk.update(folder, place)
        followed = rows(store)
        board = fleet.leaderboard()
    assert {name for name, found in followed.items() if not found} == {"runs"}  # no agent has run here
    assert desk.rebuild(folder, place) == last == len(followed["journal_entries"])
    assert rows(store) == followed
    # What the journal's own reader gives, in one piece.
    store.rebuild(read(folder), journal=store.state.journal)
    assert rows(store) == followed
    # And the scores are those of the fleet that wrote it.
    for row in board:
        found = [
            r
            for r in followed["model_performance"]
            if r["model_name"] == row.model and r["category"] == "" and r["window_length"] == DAY
        ]
        assert sum(r["calls"] for r in found) > 0
        scored = [r for r in found if r["kind"] != "numeric"]
        assert sum(r["brier_sum"] for r in scored) / sum(r["scored"] for r in scored) == pytest.approx(
            row.brier, rel=1e-12
        )
        assert sum(r["log_loss_sum"] for r in scored) / sum(r["scored"] for r in scored) == pytest.approx(
            row.log_loss, rel=1e-12
        )
        assert sum(r["correct"] for r in scored) / sum(r["scored"] for r in scored) == row.accuracy
        (numeric,) = (r for r in found if r["kind"] == "numeric")
        assert numeric["mae"] == pytest.approx(row.mae, rel=1e-12)


def test_a_killed_fleet(tmp_path: Path, store: Store, place: str, clock: Any) -> None:
    """The process dies with its follower, kill -9; what its journal holds is in the store after the next open."""
    folder = tmp_path / "desk"
    code = f"""
import os, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import fairlead as fl
from fairlead.store import Store, desk
from test_real_journals import run
times = iter(range(10**15, 2 * 10**15, 10**6))
fleet = fl.Fleet.open(sys.argv[1], clock=lambda: next(times))
writer = desk.follower(Store(sys.argv[2]), sys.argv[1], poll="1ms")
writer.start()
run(fleet, 0, 40)
writer.flush(60)
run(fleet, 40, 40)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code, folder, place], capture_output=True, check=False, timeout=120)
    assert done.returncode == -9, done.stderr
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.JournalWarning)  # of what the dead process left behind
        fleet = fl.Fleet.open(folder, clock=clock)
    with fleet:
        run(fleet, 80, 5)
    last = desk.update(folder, place)
    assert [event.seq for event in read(folder)] == list(range(1, last + 1))
    followed = rows(store)
    desk.rebuild(folder, place)
    assert rows(store) == followed


def test_out_of_the_archive(tmp_path: Path, store: Store, place: str, clock: Any) -> None:
    """Segments that were archived and removed: events come out of the archive as they were, and so do the rows."""
    pytest.importorskip("pyarrow")
    from fairlead.journal import archive
    from fairlead.journal.folder import segments

    folder = tmp_path / "desk"
    with fl.Fleet.open(folder, clock=clock, segment_bytes=1 << 16) as fleet:
        for n in range(6):
            run(fleet, n * 40, 40)
            assert fleet.journal is not None
            fleet.journal.append("custom", b"\x00\xff\n")
            fleet.journal.append("note", {"text": "é 😀", "deep": [1, {"a": None}]})
        fleet.sync()
    last = desk.update(folder, place)
    events = list(read(folder))
    before = rows(store)
    assert len(segments(folder)) > 2
    archive(folder)
    for segment in segments(folder)[:-1]:
        segment.path.unlink()
        segment.path.with_suffix(".idx").unlink(missing_ok=True)
    begins = segments(folder)[0].first
    assert begins > 100
    tail = desk.JournalTail(folder)
    again = tail.take(begins - 1)
    tail.close()
    for old, new in zip(events, again, strict=False):
        assert old == new
        assert list(old.data) == list(new.data)  # in the same order too: an event has one digest
    assert desk.rebuild(folder, place) == last
    assert rows(store) == before
    # A store that is behind the archive goes on from where it was.
    store.rebuild(events[: begins // 2], journal=store.state.journal)
    assert desk.update(folder, place) == last
    assert rows(store) == before
