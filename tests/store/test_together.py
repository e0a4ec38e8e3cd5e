"""Several at one store: a rebuild while others follow, an emptied store, other settings, another file in its place."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import Shelf
from sqlalchemy import select

import fairlead as fl
from fairlead._core import SegmentLog
from fairlead.events import Event
from fairlead.store import Store, StoreWriter, desk
from fairlead.store import store as module
from fairlead.store.tables import metadata

Journal = Callable[..., list[Event]]


def rows(store: Store) -> Any:
    return {t.name: store.query(select(t).order_by(*t.primary_key)) for t in metadata.sorted_tables}


def notes(n: int, *, first: int = 1, text: str = "a") -> list[Event]:
    return [Event(i, i, "note", "m", None, {"text": text}) for i in range(first, first + n)]


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as found:
        yield found


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 100)


def whole(store: Store, events: list[Event]) -> bool:
    """Whether the rows are those of all these events."""
    found = rows(store)
    store.rebuild(events, journal="aa")
    return bool(found == rows(store))


def test_a_rebuild_while_another_follows(store: Store, place: str, journal: Journal) -> None:
    events = journal(51, 400)
    shelf = Shelf(events[:350])
    with Store(place) as other, StoreWriter(store, shelf.tail, poll="5ms") as writer:
        assert writer.flush(30)

        def meanwhile() -> Iterator[Event]:
            yield from events[:100]
            shelf.events = events  # the first batch is written: now the other one has news
            assert writer.flush(30)
            yield from events[100:350]

        other.rebuild(meanwhile(), journal="aa")
        assert writer.flush(30)
        assert writer.last_error is None
    assert whole(store, events)


def test_a_store_that_is_emptied_is_filled_by_who_follows(store: Store, place: str, journal: Journal) -> None:
    events = journal(52, 300)
    shelf = Shelf(events[:250])
    with Store(place) as other, StoreWriter(store, shelf.tail, poll="5ms") as writer:
        assert writer.flush(30)
        other.drop()
        shelf.events = events
        assert writer.flush(30)
    assert whole(store, events)


def test_events_that_do_not_follow_are_refused(store: Store) -> None:
    with pytest.raises(fl.StoreError, match="ends with event 0, so event 5 cannot follow"):
        store.apply(notes(3, first=5))
    store.apply(notes(10))
    with pytest.raises(fl.StoreError, match="ends with event 10, so event 12 cannot follow"):
        store.apply(notes(3, first=12))
    assert store.state.last_seq == 10
    assert store.apply(notes(3, first=12), partial=True) == 3
    assert store.state.missing == ((11, 11),)
    assert store.apply(notes(20, first=8)) == 13
    store.rebuild(notes(30))
    assert store.state.missing == ()


def test_a_rebuild_that_is_emptied_meanwhile_says_so(store: Store, place: str) -> None:
    def meanwhile() -> Iterator[Event]:
        yield from notes(100)
        with Store(place) as other:
            other.drop()
        yield from notes(50, first=101)

    with pytest.raises(fl.StoreError, match="ends with event 0, so event 101 cannot follow"):
        store.rebuild(meanwhile())
    assert store.apply(notes(150)) == 150


def test_two_find_that_the_journal_lost_its_end(store: Store, place: str) -> None:
    shelf = Shelf(notes(200) + notes(150, first=201, text="another course"))
    store.apply(notes(300), journal="aa")
    with Store(place) as other:
        one, two = StoreWriter(store, shelf.tail, batch=40), StoreWriter(other, shelf.tail, batch=40)
        seen = other.state
        tail = one._begin()
        one._write(one._take(tail), "aa")
        two._start_over(seen)  # it looked before the first one emptied the store
        assert store.state.last_seq == 40
        tail.close()
        other.drop()
        one.catch_up()
        two.catch_up()
    assert whole(store, shelf.events)


def test_many_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Followers, updates and rebuilds of a journal that grows."""
    monkeypatch.setattr(module, "BATCH", 1000)
    folder = tmp_path / "desk"
    folder.mkdir()
    log = SegmentLog(str(folder))

    def add(n: int) -> int:
        last = 0
        for i in range(n):
            last = log.append("note", i, f"m{i % 3}", None, '{"text": "x"}')
        return last

    add(2500)
    problems: list[BaseException] = []

    def again(call: Callable[[], object]) -> None:
        try:
            for _ in range(2):
                call()
        except BaseException as error:
            problems.append(error)

    with (
        Store(folder) as first,
        Store(folder) as second,
        desk.follower(first, folder, poll="2ms") as one,
        desk.follower(second, folder, poll="2ms") as two,
    ):
        calls = (lambda: desk.rebuild(folder), lambda: desk.update(folder), lambda: desk.rebuild(folder))
        threads = [threading.Thread(target=again, args=(call,)) for call in calls]
        for thread in threads:
            thread.start()
        for _ in range(30):
            add(3)
            threads[0].join(0.01)
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        last = add(1)
        assert one.flush(30)
        assert two.flush(30)
        assert (one.applied, two.applied) == (last, last)
    assert problems == []
    with Store(folder) as store:
        found = rows(store)
        assert [row["seq"] for row in found["journal_entries"]] == list(range(1, last + 1))
        desk.rebuild(folder)
        assert rows(store) == found
    log.close()


# --- what a store was built with ---


def test_a_rebuild_keeps_what_the_store_was_built_with(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path))
    log.append("note", 1, "m", None, "{}")
    last = log.append("alert", 2, "m", None, "{}")
    with Store(tmp_path, windows=["2h", "7d"], entries=["alert"]) as store:
        desk.follower(store, tmp_path).catch_up()
        built, before = store.query("SELECT settings FROM projection_state"), rows(store)
    desk.rebuild(tmp_path)
    with Store(tmp_path) as store:
        assert store.query("SELECT settings FROM projection_state") == built
        assert rows(store) == before
        store.drop()
        assert store.query("SELECT settings FROM projection_state") == built
    assert desk.update(tmp_path) == last
    with Store(tmp_path, windows=["2h", "7d"], entries=["alert"]) as store:
        desk.follower(store, tmp_path).catch_up()  # not refused: they are those of the store
        assert rows(store) == before
    log.close()


def test_a_rebuild_that_is_cut_short_keeps_what_was_asked_for(store: Store, place: str) -> None:
    def broken() -> Iterator[Event]:
        raise RuntimeError("cut short")
        yield

    store.apply(notes(10))
    with Store(place, entries=["alert"]) as other, pytest.raises(RuntimeError, match="cut short"):
        other.rebuild(broken())
    store.apply(notes(10))
    assert rows(store)["journal_entries"] == []


def test_all_types_again(tmp_path: Path) -> None:
    from fairlead.cli import main

    log = SegmentLog(str(tmp_path))
    log.append("note", 1, None, None, "{}")
    desk.rebuild(tmp_path, entries=["alert"])
    assert main(["store", "rebuild", str(tmp_path), "--entries", "all"]) == 0
    with Store(tmp_path) as store:
        assert len(rows(store)["journal_entries"]) == 1
        assert store.query(metadata.tables["projection_state"])[0]["settings"]["entries"] is None
    log.close()


def test_an_automatic_rebuild_keeps_them_too(store: Store, place: str) -> None:
    with Store(place, windows=["2h"], entries=["alert"]) as first:
        first.apply(notes(50), journal="aa")
    with StoreWriter(store, Shelf(notes(40)).tail):
        pass
    assert store.state.last_seq == 40
    assert store.query(metadata.tables["projection_state"])[0]["settings"] == {
        "windows": [7200 * 10**9],
        "entries": ["alert"],
    }


@pytest.mark.parametrize("partial", [False, True])
def test_who_follows_sees_that_another_has_rebuilt_it(store: Store, place: str, partial: bool) -> None:
    """Up to the very same event, but otherwise: with other settings, or of fewer events."""
    forecasts = [
        Event(i, i, "forecast", "m", None, {"task": 1, "kind": "binary", "p": 0.5, "cost_usd": 1.0})
        for i in range(1, 12)
    ]
    shelf = Shelf(forecasts[:10])
    with StoreWriter(store, shelf.tail, poll="5ms") as writer:
        assert writer.flush(30)
        with Store(place, windows=["2h"], entries=["alert"]) as other:
            if partial:
                other.drop()
                other.apply(forecasts[5:10], journal="aa", partial=True)
            else:
                other.rebuild(forecasts[:10], journal="aa")
        shelf.events = forecasts
        assert writer.flush(30)
        assert writer.last_error is None
    found = rows(store)
    assert {row["window_length"] for row in found["model_performance"]} == {7200 * 10**9}
    assert found["journal_entries"] == []
    assert found["model_health"][0]["calls"] == (6 if partial else 11)
    assert store.state.missing == (((1, 5),) if partial else ())


# --- the file ---


@pytest.mark.parametrize("by", ["nobody", "another"])
def test_a_file_that_was_deleted_is_made_anew(tmp_path: Path, by: str) -> None:
    events = notes(30)
    shelf = Shelf(events[:20])
    with Store(tmp_path) as store, StoreWriter(store, shelf.tail, poll="5ms") as writer:
        assert writer.flush(30)
        (tmp_path / "store.sqlite").unlink()
        if by == "another":
            with Store(tmp_path) as other:
                other.apply(events[:7], journal="aa")
        shelf.events = events
        assert writer.flush(30)
        assert writer.last_error is None
    with Store(tmp_path) as store:
        assert [row["seq"] for row in rows(store)["journal_entries"]] == list(range(1, 31))


def test_a_relative_place_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with Store("desk.sqlite") as store:
        store.apply(notes(5))
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert store.apply(notes(7)) == 2
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_that_was_deleted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path) as store:
        store.apply(notes(5))
        monkeypatch.setattr(module, "identity", lambda file: (1, 1))  # deleted just after it was looked at
        store.apply(notes(6))
        (tmp_path / "store.sqlite").unlink()
        if store.engine.dialect.dbapi.sqlite_version_info < (3, 51, 3):  # type: ignore[union-attr]
            with pytest.raises(fl.StoreError, match="the file was deleted or moved away"):
                store.apply(notes(7))
