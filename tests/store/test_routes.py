"""Routes, calls and budgets as rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from fairlead.events import Event
from fairlead.store import Store
from fairlead.store.tables import PROJECTED, alerts, budgets, calls, routes

TASK = {"task": 1, "id": "q-1", "kind": "binary", "category": "rates", "labels": ()}
EXPECTED = {"propensity": 0.9, "quality": 0.75, "spread": 0.1, "cost_usd": 0.002, "latency_ms": 900.0}
ROUTE = {
    "task": 1,
    "attempt": 1,
    "type": "tool_use",
    "goal": "mix",
    **EXPECTED,
    "reserved_usd": 0.008,
    "reserved_nanos": 8_000_000,
    "reasons": ("best_expected", "unhealthy"),
    "runners_up": [{"model": "b", "quality": 0.7, "cost_usd": 0.001, "latency_ms": None}],
}
CALLED = {
    "task": 1,
    "attempt": 1,
    "end": "answered",
    "cost_usd": 0.002000001,
    "cost_nanos": 2_000_001,
    "latency_ms": 812.0,
    "first_token_ms": 90.5,
    "retry_after_ms": None,
    "tokens_in": 10,
    "tokens_out": 20,
    "tokens_cached": 5,
    "tokens_written": 3,
    "calls": 2,
}


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as found:
        yield found


def everything(store: Store) -> Any:
    return {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}


def test_a_route_and_its_call(store: Store) -> None:
    store.apply([Event(1, 5, "task", None, "rates", TASK), Event(2, 6, "route", "a", "rates", ROUTE)])
    store.apply([Event(3, 7, "called", "a", "rates", CALLED)])
    common = {"timestamp": 6, "task": 1, "attempt": 1, "task_id": "q-1", "model_name": "a", "category": "rates"}
    assert store.query(routes) == [
        {"seq": 2, **common, "task_type": "tool_use", "goal": "mix", **EXPECTED}
        | {"reserved_usd": 0.008, "reserved_nanos": 8_000_000, "reasons": ["best_expected", "unhealthy"]}
        | {"runners_up": ROUTE["runners_up"]}
    ]
    told = {name: value for name, value in CALLED.items() if name != "end"}
    assert store.query(calls) == [
        {"seq": 3, "timestamp": 7, "model_name": "a", "category": "rates", "ended": "answered", "failure": None} | told
    ]
    found = store.query("SELECT r.task_id, c.ended, c.calls FROM routes r JOIN calls c USING (task, attempt)")
    assert found == [{"task_id": "q-1", "ended": "answered", "calls": 2}]
    said = store.query("SELECT metadata ->> 'goal' AS goal FROM journal_entries WHERE event_type = 'route'")
    assert said == [{"goal": "mix"}]


def test_nobody_to_ask_and_a_cost_that_nobody_knows(store: Store) -> None:
    nobody = {**ROUTE, "attempt": 0, "type": "", **dict.fromkeys(EXPECTED), "reasons": ("nobody",), "runners_up": []}
    lost = {**CALLED, "end": "lost", "cost_usd": None, "cost_nanos": None, "latency_ms": None}
    store.apply([Event(1, 0, "route", None, None, nobody), Event(2, 0, "called", "a", None, lost)])
    route, call = store.query(routes)[0], store.query(calls)[0]
    assert (route["model_name"], route["task_id"], route["category"], route["task_type"]) == (None, None, "", "")
    assert (route["reasons"], route["runners_up"], route["quality"]) == (["nobody"], [], None)
    assert (call["cost_usd"], call["cost_nanos"], call["ended"]) == (None, None, "lost")


@pytest.mark.parametrize("cuts", [(), (2,), (3,), (2, 3, 4, 5)])
def test_a_call_that_ends_after_its_task(store: Store, cuts: tuple[int, ...]) -> None:
    events = [
        Event(1, 0, "task", None, "rates", TASK),
        Event(2, 1, "route", "a", "rates", ROUTE),
        Event(3, 2, "outcome", None, "rates", {"task": 1, "kind": "binary", "value": 1.0, "profit_usd": None}),
        Event(4, 3, "called", "a", "rates", CALLED),
        Event(5, 3, "route", "b", "rates", {**ROUTE, "attempt": 2}),
    ]
    for start, end in zip((0, *cuts), (*cuts, 5), strict=True):
        store.apply(events[start:end])
    found = everything(store)
    assert found["open_tasks"] == []
    assert [row["task_id"] for row in found["routes"]] == ["q-1", None]
    assert len(found["calls"]) == 1
    store.rebuild(events)
    assert everything(store) == found


def test_numbers_that_no_column_holds(store: Store) -> None:
    big = 2**64 - 1
    events = [
        Event(1, 0, "route", "a", None, {**ROUTE, "task": big, "quality": float("inf"), "spread": float("nan")}),
        Event(2, 0, "called", "x" * 400, None, {**CALLED, "task": big, "cost_nanos": -(2**63), "cost_usd": -9.2e9}),
    ]
    store.apply(events)
    route, call = store.query(routes)[0], store.query(calls)[0]
    assert (route["task"], route["quality"], route["spread"]) == (None, float("inf"), None)
    assert (call["task"], call["cost_nanos"], len(call["model_name"])) == (None, -(2**63), 255)
    before = everything(store)
    store.rebuild(events)
    assert everything(store) == before


def test_alerts_of_budgets(store: Store) -> None:
    told = {
        "kind": "budget",
        "budget": "day",
        "level": "warning",
        "number": 3,
        "limit": 2 * 10**9,
        "spent": 1_700_000_001,
    }
    store.apply(
        [
            Event(1, 5, "alert", None, None, told),
            Event(2, 6, "alert", "a", None, {"kind": "budget", "name": "x", "level": 3}),
        ]
    )
    first, second = store.query("SELECT * FROM alerts ORDER BY seq")
    assert (first["name"], first["severity"], first["value"], first["threshold"]) == (
        "day",
        "warning",
        1.700000001,
        2.0,
    )
    row, other = store.query(select(alerts).order_by(alerts.c.seq))
    assert row["data"] == {"kind": "budget", "number": 3, "limit": 2 * 10**9, "spent": 1_700_000_001}
    assert (second["name"], other["data"]) == ("x", {"kind": "budget", "level": 3})


def test_budgets_in_the_words_of_the_fleet(store: Store) -> None:
    day = {"name": "day", "limit": 2_500_000_000, "period": "daily", "scope": "model", "of": "a", "warning": 800_000}
    store.apply(
        [
            Event(1, 10, "budget", None, None, {"runs": [[0, 1]]}),
            Event(2, 20, "budget", None, None, {**day, "on_exhausted": "degrade"}),
            Event(3, 30, "budget", None, None, {**day, "name": "month", "on_exhausted": "queue"}),
        ]
    )
    store.apply([Event(4, 40, "budget", None, None, {"name": "day", "removed": True})])
    first, second = store.query(select(budgets).order_by(budgets.c.name))
    assert (first["limit_usd"], first["action"], first["status"], first["updated"]) == (2.5, "degrade", "removed", 40)
    assert (second["name"], second["status"], second["period"]) == ("month", "defined", "daily")
    assert second["data"] == {"scope": "model", "of": "a", "warning": 800_000}
    assert first["data"] == second["data"]
    store.apply([Event(5, 50, "budget", None, None, {**day, "limit": 1_000_000_000})])
    again = store.query(select(budgets).order_by(budgets.c.name))[0]
    assert (again["limit_usd"], again["status"], again["created"]) == (1.0, "defined", 20)
