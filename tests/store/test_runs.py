"""Runs, decisions that tell their shape, and alerts of rules as rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from fairlead.events import Event
from fairlead.store import Store
from fairlead.store.tables import PROJECTED, alerts, ensemble_decisions, model_health, runs

RUN = {
    "status": "timeout",
    "duration_ms": 812.5,
    "tokens": 900,
    "api_calls": 3,
    "cost_usd": 0.002500001,
    "cost_nanos": 2_500_001,
    "compute_s": 0.25,
    "memory_mb": 64.0,
    "error": "too late: \0",
}
DECISION = {
    "task": 1,
    "kind": "binary",
    "p": 0.6,
    "weights": {"a": 1.0},
    "disagreement": 0.1,
    "uncertainty": 0.9,
    "position_scale": 0.2,
    "cost_usd": 0.01,
    "strategy": "auto",
    "reasons": 8,
}
SHAPE = {"spread": 0.1, "entropy": 0.9, "divergence": None, "pairwise": 0.25, "low": 0.4, "high": 0.8, "chosen": "log"}
RULE = {
    "kind": "rule",
    "key": "p95 > 5 s | a",
    "rule": "p95 > 5 s",
    "state": "raised",
    "severity": "critical",
    "metric": "latency_p95_ms",
    "value": 6100.0,
    "threshold": 5000.0,
    "n": 40,
    "model": "a",
    "category": "rates",
    "message": "a is slow",
}


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as found:
        yield found


def everything(store: Store) -> Any:
    return {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}


def test_runs(store: Store) -> None:
    bare = {**dict.fromkeys(RUN), "status": "ok", "tokens": 0, "api_calls": 0, "error": ""}
    store.apply([Event(1, 5, "run", "scout", "rates", RUN), Event(2, 6, "run", "scout", None, bare)])
    first, second = store.query(select(runs).order_by(runs.c.seq))
    about = {"seq": 1, "timestamp": 5, "agent": "scout", "category": "rates"}
    assert first == about | RUN | {"error": "too late: \ufffd"}
    unknown = ("duration_ms", "cost_usd", "cost_nanos", "compute_s", "memory_mb", "error")
    assert [second[name] for name in unknown] == [None] * 6
    assert (second["status"], second["category"]) == ("ok", "")
    assert store.query(model_health) == []  # who ran need be no model
    found = store.query("SELECT agent, sum(cost_nanos) AS nanos, count(*) AS n FROM runs GROUP BY agent")
    assert found == [{"agent": "scout", "nanos": 2_500_001, "n": 2}]
    said = store.query("SELECT metadata ->> 'status' AS status FROM journal_entries WHERE event_type = 'run'")
    assert said == [{"status": "timeout"}, {"status": "ok"}]


def test_decisions_of_both_layouts(store: Store) -> None:
    own = {**DECISION, **SHAPE, "strategy": "mine", "chosen": "mine"}
    events = [
        Event(1, 1, "decision", None, None, DECISION),
        Event(2, 2, "decision", None, None, {**DECISION, **SHAPE}),
        Event(3, 3, "decision", None, None, own),
        Event(4, 4, "outcome", None, None, {"task": 1, "kind": "binary", "value": 1.0, "profit_usd": 2.5}),
    ]
    store.apply(events[:2])
    store.apply(events[2:])
    old, new, mine = store.query(select(ensemble_decisions).order_by(ensemble_decisions.c.seq))
    assert {name: old[name] for name in SHAPE} == dict.fromkeys(SHAPE)
    assert {name: new[name] for name in SHAPE} == SHAPE
    assert (mine["strategy"], mine["chosen"]) == ("mine", "mine")
    assert [row["profit_usd"] for row in (old, new, mine)] == [2.5] * 3
    before = everything(store)
    store.rebuild(events)
    assert everything(store) == before
    held = "SELECT count(*) AS n FROM ensemble_decisions WHERE answer BETWEEN low AND high"
    assert store.query(held) == [{"n": 2}]


def test_alerts_of_rules(store: Store) -> None:
    store.apply(
        [
            Event(1, 5, "alert", None, None, RULE),
            Event(2, 9, "alert", "b", None, {**RULE, "state": "cleared", "value": None}),
            Event(3, 9, "alert", None, None, {"kind": "rule", "key": 3, "status": "mine", "state": "x", "name": "own"}),
        ]
    )
    raised, cleared, odd = store.query(select(alerts).order_by(alerts.c.seq))
    assert (raised["name"], raised["status"], raised["severity"]) == ("p95 > 5 s", "raised", "critical")
    assert (raised["model_name"], raised["category"], raised["message"]) == ("a", "rates", "a is slow")
    assert (raised["value"], raised["threshold"]) == (6100.0, 5000.0)
    rest = {name: RULE[name] for name in ("kind", "key", "metric", "n", "model", "category")}
    assert raised["data"] == rest
    assert (cleared["status"], cleared["model_name"], cleared["value"]) == ("cleared", "b", None)
    assert (odd["name"], odd["status"], odd["data"]) == ("own", "mine", {"kind": "rule", "key": 3, "state": "x"})
    still = """
        SELECT data ->> 'key' AS key FROM alerts WHERE status = 'raised' AND NOT EXISTS (
            SELECT 1 FROM alerts later WHERE later.seq > alerts.seq AND later.data ->> 'key' = alerts.data ->> 'key')
    """
    assert store.query(still) == []
