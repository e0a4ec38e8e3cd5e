"""The store of a desk: what the command line calls, on real journals."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import fairlead as fl
from fairlead._core import SegmentLog
from fairlead.cli import main
from fairlead.store import Store, desk
from fairlead.store.tables import PROJECTED


def rows(store: Store) -> Any:
    return {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}


@pytest.fixture
def log(tmp_path: Path) -> Iterator[SegmentLog]:
    folder = tmp_path / "desk"
    folder.mkdir()
    found = SegmentLog(str(folder), 16384)
    yield found
    found.close()


def add(log: SegmentLog, n: int, start: int = 0) -> int:
    """So many cold events, through several segments; the number of the last event, names included."""
    last = 0
    for i in range(start, start + n):
        kind = ("note", "alert", "budget", "training_run", "model_version", "deployment", "health")[i % 7]
        data = {"text": f"é {i}", "run": f"r{i % 5}", "version": f"v{i % 3}", "name": "day", "value": i / 3}
        last = log.append(kind, i * 10**12, f"model-{i % 4}", None, json.dumps(data))
    return last


def test_update_rebuild_and_follow_agree(log: SegmentLog, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "desk"
    add(log, 100)
    assert desk.upgrade(folder, place)
    last = desk.update(folder, place)
    with Store(place) as store:
        assert store.state.last_seq == last
        assert len(store.state.journal) == 32
        assert len(rows(store)["journal_entries"]) == last
    last = add(log, 300, 100)
    assert desk.update(folder, place) == desk.update(folder, place) == last
    with Store(place) as store:
        updated = rows(store)
        with desk.follower(store, folder, poll="5ms") as writer:
            last = add(log, 50, 400)
            assert writer.flush(30)
            assert writer.applied == last
            followed = rows(store)
    assert len(followed["journal_entries"]) > len(updated["journal_entries"])
    assert desk.rebuild(folder, place) == last
    with Store(place) as store:
        assert rows(store) == followed


def test_the_default_place_is_in_the_desk(log: SegmentLog, tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    last = add(log, 20)
    assert desk.upgrade(folder) == str(folder / "store.sqlite")
    assert desk.update(folder) == last
    (folder / "store.sqlite").unlink()
    assert desk.update(folder) == last
    assert desk.rebuild(folder, entries=["alert"], windows=["2h"]) == last
    with Store(folder) as store:
        assert {row["event_type"] for row in rows(store)["journal_entries"]} == {"alert"}


def test_from_the_command_line(log: SegmentLog, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, place = str(tmp_path / "desk"), str(tmp_path / "other.sqlite")
    last = add(log, 30)
    assert main(["store", "upgrade", folder, "--url", place]) == 0
    assert main(["store", "update", folder, "--url", place]) == 0
    assert main(["store", "rebuild", folder, "--url", place, "--windows", "1h", "7d", "--entries", "note"]) == 0
    told = capsys.readouterr().out
    assert place in told
    assert f"up to event {last}" in told
    with Store(place) as store:
        assert store.state.last_seq == last
    assert main(["store", "update", folder, "--url", "mysql://host/x"]) == 2
    assert "a store is on sqlite:// or postgresql://" in capsys.readouterr().err


def test_a_rebuild_of_what_is_left(log: SegmentLog, tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    last = add(log, 400)
    sorted((folder / "segments").glob("*.seg"))[0].unlink()
    assert 0 < desk.rebuild(folder, partial=True) < last
    assert desk.update(folder) == last


def test_there_is_no_journal(tmp_path: Path) -> None:
    with pytest.raises(fl.JournalError):
        desk.update(tmp_path)
    with pytest.raises(fl.JournalError):
        desk.rebuild(tmp_path)


def test_rebuilding_needs_the_whole_journal(log: SegmentLog, tmp_path: Path) -> None:
    """Where the beginning of the journal is gone, what the store has of it must not be deleted."""
    folder = tmp_path / "desk"
    last = add(log, 400)
    desk.update(folder)
    with Store(folder) as store:
        before = rows(store)
    segments = sorted((folder / "segments").glob("*.seg"))
    assert len(segments) > 2
    segments[0].unlink()
    with pytest.raises(fl.StoreError, match="are gone"):
        desk.rebuild(folder)
    assert desk.update(folder) == last
    with Store(folder) as store:
        assert rows(store) == before


def test_another_journal_in_its_place_is_refused(log: SegmentLog, tmp_path: Path) -> None:
    add(log, 5)
    desk.update(tmp_path / "desk")
    other = tmp_path / "other"
    other.mkdir()
    log2 = SegmentLog(str(other))
    add(log2, 50)
    log2.close()
    with pytest.raises(fl.StoreError, match="the store is of journal"):
        desk.update(other, tmp_path / "desk" / "store.sqlite")


def test_follow_ends_when_told(log: SegmentLog, tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    last = add(log, 30)
    stop = threading.Event()
    thread = threading.Thread(target=desk.follow, args=(folder,), kwargs={"stop": stop, "poll": "5ms"})
    thread.start()
    stop.set()
    thread.join(30)
    assert not thread.is_alive()
    with Store(folder) as store:
        assert store.state.last_seq == last


def test_follow_in_a_process_of_its_own(log: SegmentLog, tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    last = add(log, 30)
    code = "import sys; from fairlead.store import desk; print('up', flush=True); desk.follow(sys.argv[1], poll='5ms')"
    with subprocess.Popen(
        [sys.executable, "-c", code, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        with Store(folder) as store:
            deadline = threading.Event()
            for _ in range(1000):
                if store.state.last_seq == last:
                    break
                deadline.wait(0.03)
            assert store.state.last_seq == last
        process.send_signal(2)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 0, error
