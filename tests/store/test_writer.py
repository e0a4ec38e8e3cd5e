"""The thread that keeps a store up to date: it loses nothing, doubles nothing, and says what is wrong."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from made_up import Shelf
from sqlalchemy import select

import fairlead as fl
from fairlead.events import Event
from fairlead.store import Store, StoreWriter
from fairlead.store.tables import metadata

Journal = Callable[..., list[Event]]


def rows(store: Store) -> Any:
    return {t.name: store.query(select(t).order_by(*t.primary_key)) for t in metadata.sorted_tables}


def until(condition: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as found:
        yield found


def test_it_follows_what_is_written(store: Store, journal: Journal) -> None:
    events = journal(21, 400)
    shelf = Shelf(events[:150])
    with StoreWriter(store, shelf.tail, poll="5ms", batch=40) as writer:
        assert writer.flush(30)
        assert store.state.last_seq == writer.applied == 150
        shelf.events = events[:151]
        assert until(lambda: store.state.last_seq == 151)  # without being asked
        shelf.events = events
    assert store.state.last_seq == 400  # leaving it writes the rest
    assert not writer.running
    assert writer.last_error is None
    assert shelf.open_tails == 0
    followed = rows(store)
    store.rebuild(events, journal="aa")
    assert rows(store) == followed


def test_it_goes_on_where_the_last_one_stopped(store: Store, journal: Journal) -> None:
    events = journal(22, 300)
    for end in (100, 100, 207, 300):
        with StoreWriter(store, Shelf(events[:end]).tail, batch=33):
            pass
        assert store.state.last_seq == end
    followed = rows(store)
    store.rebuild(events, journal="aa")
    assert rows(store) == followed


def test_what_goes_wrong_is_told_and_tried_again(
    store: Store, journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    events = journal(23, 200)
    real, broken = store.apply, threading.Event()

    def sometimes(*args: Any, **options: Any) -> int:
        if broken.is_set():
            raise fl.StoreError("the server is down")
        return real(*args, **options)

    monkeypatch.setattr(store, "apply", sometimes)
    shelf = Shelf(events[:50])
    with StoreWriter(store, shelf.tail, poll="5ms") as writer:
        assert writer.flush(30)
        broken.set()
        shelf.events = events
        assert until(lambda: writer.last_error is not None)
        assert not writer.flush(0.05)
        assert writer.lag > 0
        assert writer.applied == 50
        broken.clear()
        assert writer.flush(30)
        assert writer.last_error is None
        assert store.state.last_seq == 200
    assert [r.getMessage() for r in caplog.records if "the server is down" in r.getMessage()]
    assert shelf.open_tails == 0


def test_a_journal_that_lost_its_end_has_the_store_rebuilt(
    store: Store, journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    events = journal(24, 100)
    store.apply(events, journal="aa")
    other = journal(25, 160)
    again = events[:90] + [Event(e.seq, e.time, e.type, e.model, e.category, e.data) for e in other[90:]]
    for now in (again[:95], again, again[:40]):  # shorter, another at this number, shorter again
        with StoreWriter(store, Shelf(now).tail):
            pass
        followed = rows(store)
        store.rebuild(now, journal="aa")
        assert rows(store) == followed
    assert "rebuilding it" in caplog.text


def test_a_store_is_not_rebuilt_from_a_part(store: Store, journal: Journal) -> None:
    events = journal(26, 100)
    store.apply(events, journal="aa")
    before = rows(store)
    with StoreWriter(store, Shelf(events[50:90]).tail) as writer:
        assert until(lambda: writer.last_error is not None)
        assert "are gone" in str(writer.last_error)
        writer.stop(0.01)
    assert rows(store) == before


def test_a_journal_whose_beginning_is_archived_goes_on(store: Store, journal: Journal) -> None:
    events = journal(27, 100)
    store.apply(events[:60], journal="aa")
    with StoreWriter(store, Shelf(events[60:70]).tail):  # the store's last event is not there any more
        pass
    assert store.state.last_seq == 70
    with StoreWriter(store, Shelf(events[90:]).tail) as writer:
        assert until(lambda: writer.last_error is not None)
        assert "ends with event 70, and events 71 to 90 are gone" in str(writer.last_error)
        writer.stop(0.01)
    assert store.state.last_seq == 70
    with StoreWriter(store, Shelf(events[90:]).tail, partial=True):
        pass
    assert store.state.last_seq == 100
    assert store.state.missing == ((71, 90),)
    assert store.query("SELECT count(*) AS n FROM journal_entries")[0]["n"] == 80


def test_another_journal_is_refused(store: Store, journal: Journal) -> None:
    store.apply(journal(28, 50), journal="aa")
    before = rows(store)
    with StoreWriter(store, Shelf(journal(29, 90), "bb").tail) as writer:
        assert until(lambda: writer.last_error is not None)
        assert isinstance(writer.last_error, fl.StoreError)
        assert "journal aa" in str(writer.last_error)
        writer.stop(0.01)
    assert rows(store) == before


def test_it_can_be_started_and_stopped_again(store: Store, journal: Journal) -> None:
    shelf = Shelf(journal(30, 60))
    writer = StoreWriter(store, shelf.tail)
    assert not writer.flush(1)
    assert not writer.stop()
    writer.start()
    writer.start()
    assert writer.stop()
    shelf.events = journal(30, 90)
    writer.start()
    assert writer.stop()
    assert store.state.last_seq == 90


def test_processes_share_a_store(place: str) -> None:
    """Two processes start at once on an empty database, all with the same events: tables are made once, rows too."""
    code = """
import sys
from fairlead.events import Event
from fairlead.store import Store
def event(n):
    return Event(n, n, "forecast", f"m{n % 3}", None, {"task": n % 7, "kind": "binary", "p": 0.5, "cost_usd": .1})
with Store(sys.argv[1]) as store:
    store.upgrade()
    for start in range(1, 400, 40):
        store.apply([event(n) for n in range(start, start + 60)])
"""
    running = [subprocess.Popen([sys.executable, "-c", code, place], stderr=subprocess.PIPE, text=True) for _ in "12"]
    for process in running:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    with Store(place) as store:
        assert store.query("SELECT count(*) AS n, max(seq) AS last FROM journal_entries") == [{"n": 420, "last": 420}]
        assert store.query("SELECT sum(calls) AS n FROM model_health") == [{"n": 420}]


def test_two_writers_begin_at_the_same_moment(place: str, journal: Journal) -> None:
    """Another process makes the row that says how far the store is, between our look for it and our own making."""
    state = metadata.tables["projection_state"]
    with Store(place) as store, Store(place) as other:
        store.upgrade()
        events = journal(1, 20)
        thread = threading.Thread(target=lambda: store.apply(events))
        with other.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                row = {"id": 1, "journal": "", "last_seq": 0, "last_digest": "", "settings": {}}
                connection.execute(state.insert(), row)
                thread.start()
                time.sleep(0.3)  # it has seen no row, and waits to make one
        thread.join(30)
        assert store.state.last_seq == events[-1].seq


def test_a_killed_process_leaves_whole_batches(place: str) -> None:
    code = """
import os, signal, sys, threading, time
from fairlead.events import Event
from fairlead.store import Store
def event(n):
    return Event(n, n, "forecast", f"m{n % 3}", None, {"task": n % 7, "kind": "binary", "p": 0.5, "cost_usd": .1})
with Store(sys.argv[1]) as store:
    start = store.state.last_seq + 1
    store.apply([event(n) for n in range(start, start + 50)])
    start += 50
    threading.Timer(float(sys.argv[2]), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    while True:
        store.apply([event(n) for n in range(start, start + 50)])
        start += 50
"""
    with Store(place) as store:
        store.upgrade()
    for delay in ("0.01", "0.05"):
        done = subprocess.run([sys.executable, "-c", code, place, delay], capture_output=True, check=False, timeout=60)
        assert done.returncode == -9, done.stderr
        with Store(place) as store:
            last = store.state.last_seq
            assert last % 50 == 0
            found = store.query("SELECT count(*) AS n, coalesce(max(seq), 0) AS last FROM journal_entries")
            assert found == [{"n": last, "last": last}]
            calls = store.query("SELECT coalesce(sum(calls), 0) AS n FROM model_health")
            assert calls == [{"n": last}]
    assert last > 0
