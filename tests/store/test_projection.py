"""Rows follow from the events alone: however they come in batches, whoever stops in between, on both databases."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from postgres_server import new_schema
from sqlalchemy import select

import fairlead as fl
from fairlead.events import Event
from fairlead.store import Store
from fairlead.store.tables import PROJECTED, metadata, model_performance, projection_state

Journal = Callable[..., list[Event]]
Rows = dict[str, list[dict[str, Any]]]


def rows(store: Store) -> Rows:
    """Every row of every table, by table, in the order of the keys."""
    return {table.name: store.query(select(table).order_by(*table.primary_key)) for table in metadata.sorted_tables}


def cut(events: list[Event], places: list[int]) -> list[list[Event]]:
    edges = sorted({0, len(events), *(place % (len(events) + 1) for place in places)})
    return [events[a:b] for a, b in pairwise(edges)]


@pytest.fixture
def store(place: str) -> Any:
    with Store(place) as found:
        yield found


def test_every_table_gets_rows(store: Store, journal: Journal) -> None:
    events = journal(1, 600)
    assert store.apply(events, journal="aa") == 600
    found = rows(store)
    assert [name for name, there in found.items() if not there] == []
    assert store.state.last_seq == 600
    assert store.state.journal == "aa"
    assert store.state.ends_with(events[-1])
    assert not store.state.ends_with(events[-2])


def test_batches_and_restarts_make_no_difference(store: Store, journal: Journal, place: str) -> None:
    for seed, n, places in ((1, 150, [1, 2, 3, 50, 51, 90, 140]), (2, 150, [20, 40, 60, 61, 100]), (3, 9, [4])):
        events = journal(seed, n)
        store.rebuild(events)
        whole = rows(store)
        store.drop()
        for batch in cut(events, places):
            store.apply(batch)
        assert rows(store) == whole
        store.drop()
        for batch in cut(events, places):
            with Store(place) as another:  # knows only what is stored
                another.apply(batch)
        assert rows(store) == whole


def test_both_databases_hold_the_same(tmp_path: Any, postgres: str, journal: Journal) -> None:
    events = journal(7, 800)
    with Store(tmp_path) as one, Store(new_schema(postgres, "same")) as two:
        one.apply(events)
        for batch in cut(events, [100, 577, 578]):
            two.apply(batch)
        ours, theirs = rows(one), rows(two)
    assert ours == theirs
    # Equal numbers of another type would pass the line above.
    assert repr(ours).replace("-0.0", "0.0") == repr(theirs).replace("-0.0", "0.0")


def test_events_that_are_stored_already_are_passed_over(store: Store, journal: Journal) -> None:
    events = journal(2, 200)
    store.apply(events[:120])
    before = rows(store)
    assert store.apply(events[:120]) == 0
    assert rows(store) == before
    assert store.apply(events[50:]) == 80
    with_repeats = rows(store)
    store.rebuild(events)
    assert rows(store) == with_repeats


def test_two_writers_take_turns(place: str, journal: Journal) -> None:
    events = journal(3, 300)
    with Store(place) as one, Store(place) as two:
        for i in range(0, 300, 30):
            (one if i % 60 else two).apply(events[max(0, i - 7) : i + 30])
        found = rows(one)
        one.rebuild(events)
        assert rows(one) == found


def test_a_batch_that_fails_leaves_no_trace(store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    events = journal(4, 200)
    store.apply(events[:100])
    before = rows(store)
    from fairlead.store import store as module

    real = module.write

    def broken(connection: Any, changes: Any) -> None:
        real(connection, changes)
        raise RuntimeError("cut short")

    monkeypatch.setattr(module, "write", broken)
    with pytest.raises(RuntimeError, match="cut short"):
        store.apply(events[100:])
    monkeypatch.undo()
    assert rows(store) == before
    store.apply(events[100:])
    found = rows(store)
    store.rebuild(events)
    assert rows(store) == found


def test_memory_that_was_let_go_is_read_back(store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairlead.store import performance, projection

    events = journal(5, 400)
    store.rebuild(events)
    whole = rows(store)
    monkeypatch.setattr(projection, "_TASKS", 1)
    monkeypatch.setattr(performance, "_KEPT", 1)
    store.drop()
    for batch in cut(events, list(range(0, 400, 29))):
        store.apply(batch)
    assert rows(store) == whole


def test_scores_are_those_of_a_fleet(store: Store) -> None:
    """The all-time sums of one model against the leaderboard of a Fleet that saw the same."""
    fleet = fl.Fleet(clock=lambda: 1)
    events = [Event(1, 0, "model", "a", None, {"name": "a"}), Event(2, 0, "model", "b", None, {"name": "b"})]
    for name in ("a", "b"):
        fleet.add(name)
    answers = [(0.3, 0.9, 1), (0.5, 0.5, 0), (1.0, 0.0, 1), (0.123456, 0.999, 0)]
    for number, (p, q, outcome) in enumerate(answers, start=1):
        task = fl.Task(f"q{number}")
        events.append(Event(len(events) + 1, 0, "task", None, None, {"task": number, "id": task.id, "kind": "binary"}))
        for name, share in (("a", p), ("b", q)):
            fleet.record(task, fl.Forecast(name, p=share))
            data = {"task": number, "kind": "binary", "p": share, "error": ""}
            events.append(Event(len(events) + 1, 0, "forecast", name, None, data))
        fleet.settle(task, outcome)
        events.append(
            Event(len(events) + 1, 0, "outcome", None, None, {"task": number, "kind": "binary", "value": outcome})
        )
    store.apply(events)
    for name in ("a", "b"):
        (found,) = store.query(
            select(model_performance).where(
                model_performance.c.model_name == name, model_performance.c.window_length == 3600 * 10**9
            )
        )
        row = fleet.leaderboard()[name]
        assert found["brier"] == row.brier
        assert found["log_loss"] == pytest.approx(row.log_loss, rel=1e-14)
        assert found["accuracy"] == row.accuracy
        assert found["calls"] == 4


def test_windows_add_up(store: Store, journal: Journal) -> None:
    """Counts and sums of a plain second computation, in another way: all events of a window at once."""
    events = journal(9, 800)
    store.apply(events)
    kinds = {event.data["task"]: event for event in events if event.type == "task"}
    expected: dict[Any, list[float]] = defaultdict(lambda: [0, 0, 0.0])
    day = 24 * 3600 * 10**9
    for event in events:
        if event.type == "forecast":
            task = kinds[event.data["task"]].data
            cell = expected[day, event.time // day * day, event.model, task["category"], task["kind"]]
            cell[0] += 1
            cell[1] += bool(event.data["error"])
            cell[2] += event.data["cost_usd"]
    found = {
        tuple(row[name] for name in ("window_length", "window_start", "model_name", "category", "kind")): row
        for row in store.query(model_performance)
    }
    for key, (calls, failed, cost) in expected.items():
        if key[3]:
            assert (found[key]["calls"], found[key]["failed"]) == (calls, failed)
            assert found[key]["cost_usd"] == pytest.approx(cost, rel=1e-12)
    per_window: dict[Any, int] = defaultdict(int)
    everything: dict[Any, int] = {}
    for key, row in found.items():
        if key[3]:
            per_window[key[0], key[1], key[2], key[4]] += row["scored"]
        else:
            everything[key[0], key[1], key[2], key[4]] = row["scored"]
    assert all(everything[key] >= scored for key, scored in per_window.items())
    assert sum(everything.values()) > 0


def test_the_outcome_reaches_every_decision(store: Store, journal: Journal) -> None:
    events = journal(11, 500)
    for batch in cut(events, list(range(0, 500, 13))):
        store.apply(batch)
    ends = {e.data["task"]: e for e in reversed(events) if e.type in ("outcome", "closed")}
    found = store.query("SELECT * FROM ensemble_decisions ORDER BY seq")
    assert len(found) == sum(e.type == "decision" for e in events)
    settled = 0
    for row in found:
        end = ends.get(row["task"])
        if end is None:
            assert (row["status"], row["outcome"]) == ("open", None)
        elif end.type == "outcome" and row["seq"] < end.seq:
            settled += 1
            assert (row["status"], row["outcome"], row["outcome_time"]) == ("settled", end.data["value"], end.time)
            assert row["profit_usd"] == end.data["profit_usd"]
            if row["kind"] == "categorical":
                assert row["outcome_label"] == ("up", "flat", "down")[int(end.data["value"])]
        elif row["seq"] < end.seq:
            assert (row["status"], row["outcome"]) == ("void", None)
    assert settled > 5


def test_open_tasks_are_those_without_an_end(store: Store, journal: Journal) -> None:
    events = journal(12, 300)
    events = [e for e in events if e.type != "outcome" or e.seq % 2]
    store.apply(events)
    ended = {e.data["task"]: e.seq for e in events if e.type in ("outcome", "closed")}
    tell = [e for e in events if "task" in e.data and e.type not in ("route", "called")]  # these two open no task
    about = {e.data["task"] for e in tell if e.seq > ended.get(e.data["task"], 0)}
    assert {row["task"] for row in store.query("SELECT task FROM open_tasks")} == about


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_databases_disagree_on(store: Store, bad: float) -> None:
    data = {"task": 1, "kind": "numeric", "value": bad, "latency_ms": bad, "cost_usd": 0.0, "error": ""}
    store.apply(
        [
            Event(1, -(2**63), "forecast", "m", None, data),
            Event(2, 2**63 - 1, "outcome", None, None, {"task": 1, "kind": "numeric", "value": bad}),
            Event(3, 0, "alert", "m", None, {"value": bad, "message": 3}),
        ]
    )
    first = rows(store)
    assert first["journal_entries"][0]["metadata"]["value"] is None
    assert first["alerts"][0]["message"] is None
    assert first["alerts"][0]["data"]["message"] == 3
    store.apply([Event(4, 0, "forecast", "m", None, data)])
    assert len(rows(store)["journal_entries"]) == 4


def test_versions_are_texts_however_they_are_counted(store: Store) -> None:
    said = [
        ("model_version", {"version": 7, "digest": "ab", "parent": 6}),
        ("model_version", {"version": "7", "status": "kept"}),
        ("deployment", {"version": 7, "previous_version": 6, "stage": "champion"}),
        ("training_run", {"run": "r", "version": 7}),
    ]
    store.apply([Event(n, n, kind, "clf", None, data) for n, (kind, data) in enumerate(said, 1)])
    found = rows(store)
    (version,) = found["model_versions"]
    assert [version[c] for c in ("version", "digest", "parent", "status")] == ["7", "ab", "6", "kept"]
    assert [found["deployments"][0][c] for c in ("version", "previous_version", "stage")] == ["7", "6", "champion"]
    assert found["training_runs"][0]["version"] == "7"


def test_names_that_databases_refuse(store: Store) -> None:
    names = ["nul \0", "half \ud800", "long " + "x" * 5000, "long " + "x" * 5001, "'; DROP TABLE alerts; --", ""]
    events = [Event(i, 0, "model", name, "c\0", {"name": name}) for i, name in enumerate(names, start=1)]
    store.apply(events)
    found = {row["model_name"] for row in store.query("SELECT model_name FROM model_health")}
    assert len(found) == len(names)
    assert "nul \ufffd" in found
    said = {row["said"] for row in store.query("SELECT metadata ->> 'name' AS said FROM journal_entries")}
    assert "half \ufffd" in said
    before = rows(store)
    store.rebuild(events)
    assert rows(store) == before


def test_fewer_entries_where_asked(place: str, journal: Journal) -> None:
    events = journal(14, 200)
    with Store(place) as store:
        store.apply(events)
        everything = rows(store)
        store.drop()
    with Store(place, entries=["outcome", "alert"], windows=["2h"]) as store:
        store.apply(events)
        less = rows(store)
        assert {row["event_type"] for row in less["journal_entries"]} <= {"outcome", "alert"}
        assert {row["window_length"] for row in less["model_performance"]} == {7200 * 10**9}
        for table in PROJECTED:
            if table.name not in ("journal_entries", "model_performance"):
                assert less[table.name] == everything[table.name]
    with Store(place) as store:  # goes on as it was
        store.apply([Event(201, 0, "note", None, None, {}), Event(202, 0, "alert", None, None, {})])
        assert [row["seq"] for row in store.query("SELECT seq FROM journal_entries WHERE seq > 200")] == [202]
        assert store.query(projection_state)[0]["settings"]["windows"] == [7200 * 10**9]
    with Store(place, windows=["1h"]) as store, pytest.raises(fl.FairleadError, match=r"windows is .* built with"):
        store.apply([Event(203, 0, "note", None, None, {})])
