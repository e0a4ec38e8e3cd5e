"""Events that are gone, from the archive too: nothing is deleted for them, and nobody jumps over them unasked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from made_up import Shelf
from sqlalchemy import select

import fairlead as fl
from fairlead.cli import main
from fairlead.events import Event
from fairlead.journal import read
from fairlead.store import Store, StoreWriter, desk
from fairlead.store.tables import PROJECTED

Journal = Callable[..., list[Event]]


def rows(store: Store) -> Any:
    return {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}


def numbers(folder: Path) -> list[int]:
    with Store(folder) as store:
        return [row["seq"] for row in store.query("SELECT seq FROM journal_entries ORDER BY seq")]


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as found:
        yield found


def test_a_hole_in_the_middle(store: Store, journal: Journal) -> None:
    events = journal(61, 200)
    store.apply(events, journal="aa")
    before = rows(store)
    holed = Shelf(events[:60] + events[80:120] + events[121:])
    with pytest.raises(fl.StoreError, match="cannot be rebuilt: events 61 to 80, 121 to 121 are gone"):
        StoreWriter(store, holed.tail, batch=50).rebuild()
    assert rows(store) == before
    assert StoreWriter(store, holed.tail, batch=50, partial=True).rebuild() == 179
    assert store.state.missing == ((61, 80), (121, 121))
    assert holed.open_tails == 0
    partial = rows(store)
    for batch in (1, 17):
        StoreWriter(store, holed.tail, batch=batch, partial=True).rebuild()
        assert rows(store) == partial


def test_a_store_that_must_start_over_is_not_emptied_for_a_journal_with_a_hole(store: Store, journal: Journal) -> None:
    events = journal(62, 100)
    store.apply(events, journal="aa")
    before = rows(store)
    for partial in (False, True):
        writer = StoreWriter(store, Shelf(events[:40] + events[50:90]).tail, partial=partial)
        with pytest.raises(fl.StoreError, match="events 41 to 50 are gone"):
            writer.catch_up()
    assert rows(store) == before


def test_a_store_that_is_behind_stops_at_a_hole(store: Store, journal: Journal) -> None:
    events = journal(63, 100)
    shelf = Shelf(events[:30] + events[40:])
    with pytest.raises(fl.StoreError, match="ends with event 30, and events 31 to 40 are gone"):
        StoreWriter(store, shelf.tail).catch_up()
    assert store.state.last_seq == 30  # all before it is there
    with pytest.raises(fl.StoreError, match="events 31 to 40 are gone"):
        StoreWriter(store, shelf.tail).catch_up()
    assert StoreWriter(store, shelf.tail, partial=True).catch_up() == 100
    assert store.state.missing == ((31, 40),)
    assert StoreWriter(store, shelf.tail).catch_up() == 100


@pytest.mark.parametrize("batch", [1, 2, 50])
def test_numbers_that_a_crash_left_unused_are_not_missing(store: Store, batch: int) -> None:
    gap = Event(3, 0, "gap", None, None, {"n": 5})
    events = [Event(n, n, "note", None, None, {}) for n in (1, 2)]
    after = [Event(n, n, "note", None, None, {}) for n in (8, 9)]
    for now in ([*events, gap], [*events, gap, *after]):
        StoreWriter(store, Shelf(now).tail, batch=batch).catch_up()
    assert StoreWriter(store, Shelf([*events, gap, *after]).tail, batch=batch).rebuild() == 5
    assert store.state.last_seq == 9
    assert store.state.missing == ()


# --- of a desk ---

HOUR = 3600 * 10**9


def write(folder: Path, n: int, *, first: int = 0) -> None:
    with fl.Journal(folder, segment_bytes=4096) as journal:
        for i in range(first, first + n):
            journal.note(f"{i * 2654435761 % 2**32:x}", time=(1 + i) * HOUR)


def archive_all(folder: Path) -> None:
    from fairlead.journal.compaction import compact

    with fl.Journal(folder, segment_bytes=4096) as journal:
        compact(journal, keep="1d")


def drop_file(folder: Path, which: int) -> tuple[int, int]:
    """What a quota does to one file of the archive."""
    from fairlead.journal import manifest as manifests

    found = manifests.load(folder)
    assert found is not None
    file = found.files.pop(which)
    found.dropped.append(file)
    manifests.save(folder, found)
    (folder / "archive" / file.file).unlink()
    return file.first, file.last


@pytest.fixture
def archived(tmp_path: Path) -> Path:
    """A desk with several files in its archive."""
    pytest.importorskip("pyarrow")
    for k in range(4):
        write(tmp_path, 200, first=200 * k)
        archive_all(tmp_path)
    return tmp_path


def test_a_rebuild_where_a_quota_took_the_middle(archived: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = desk.update(archived)
    first, to = drop_file(archived, 1)
    with pytest.raises(fl.StoreError, match=f"events {first} to {to} are gone"):
        desk.rebuild(archived)
    assert numbers(archived) == list(range(1, last + 1))
    assert desk.rebuild(archived, partial=True) == last - (to - first + 1)
    with Store(archived) as store:
        assert store.state.missing == ((first, to),)
    write(archived, 5, first=800)
    assert desk.update(archived) == last + 5 == numbers(archived)[-1]
    assert main(["store", "rebuild", str(archived)]) == 2
    assert f"{first} to {to} are gone" in capsys.readouterr().err


def test_an_update_where_a_quota_took_what_comes_next(archived: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(archived)
    last = desk.update(archived)
    first, to = drop_file(archived, 1)
    (archived / "store.sqlite").unlink()
    assert main(["store", "update", folder]) == 2
    assert f"events {first} to {to} are gone" in capsys.readouterr().err
    assert numbers(archived) == list(range(1, first))
    assert main(["store", "update", folder, "--partial"]) == 0
    assert numbers(archived) == [*range(1, first), *range(to + 1, last + 1)]


def test_an_archive_that_is_elsewhere(archived: Path) -> None:
    last = desk.update(archived)
    shutil.move(archived / "archive", archived / "elsewhere")
    assert desk.update(archived) == last  # needs nothing of it
    (archived / "store.sqlite").unlink()
    with pytest.raises(fl.StoreError, match=r"events 1 to \d+ are gone"):
        desk.update(archived)
    shutil.move(archived / "elsewhere", archived / "archive")
    assert desk.update(archived) == last
    sorted((archived / "archive").rglob("*.parquet"))[1].rename(archived / "elsewhere")
    with pytest.raises(fl.JournalError, match="missing"):  # before a row is deleted
        desk.rebuild(archived)
    assert len(numbers(archived)) == last


def test_what_the_columns_of_an_archive_cannot_tell(tmp_path: Path) -> None:
    """Records that the archive keeps as bytes come out as a reader of the journal gives them."""
    pytest.importorskip("pyarrow")
    from fairlead.journal.compaction import compact

    with fl.Fleet.open(tmp_path, segment_bytes=4096) as fleet:
        fleet.add("m")
        for i in range(60):
            task = fl.Task(f"t{i}", slices={"model=size": "big", "horizon": "1d"} if i % 2 else {"horizon": "2d"})
            fleet.record(task, fl.Forecast("m", p=0.5))
            fleet.decide(task)
            fleet.settle(task, 1)
        fleet.journal.append(2000, b"\x00\xff")
        fleet.journal.append("note", {"text": "é"}, model="m")
    events = list(read(tmp_path))
    desk.update(tmp_path)
    with Store(tmp_path) as store:
        before = rows(store)
    with fl.Fleet.open(tmp_path, segment_bytes=4096) as fleet:
        fleet._snapshots.take()
        compact(fleet.journal, keep=0)
    tail = desk.JournalTail(tmp_path)
    again = list(tail.take(100))
    while len(again) < len(events):
        again += tail.take(min(100, len(events) - len(again)))
    tail.close()
    assert again == events
    assert [list(event.data) for event in again] == [list(event.data) for event in events]
    desk.rebuild(tmp_path)
    with Store(tmp_path) as store:
        after = rows(store)
    kept = {event.seq for event in events}
    assert [row for row in after["journal_entries"] if row["seq"] in kept] == before["journal_entries"]
