"""Reading a journal from Python: filters, following, threads, other processes."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead import InvalidRecordError, JournalDamagedError, JournalError
from fairlead._core import JournalReader, SegmentLog
from fairlead.events import TYPES, Event
from fairlead.journal import Journal, read, repair, stats, tail, verify

MODELS = ("gpt", "claude", "local")
CATEGORIES = ("politics", "markets")


def write(desk: Path, n: int, segment_bytes: int = 2500) -> SegmentLog:
    """n notes and alerts about three models in two categories, one a second."""
    log = SegmentLog(str(desk), segment_bytes)
    for i in range(n):
        kind = "alert" if i % 7 == 0 else "note"
        log.append(kind, i * 10**9, MODELS[i % 3], CATEGORIES[i % 2], json.dumps({"i": i}))
    return log


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    write(tmp_path, 100)
    return tmp_path


def test_events_are_what_was_written(desk: Path) -> None:
    events = list(read(desk))
    assert [event.seq for event in events] == list(range(1, 106))
    notes = [event for event in events if event.type != "name"]
    assert [event.data["i"] for event in notes] == list(range(100))
    assert notes[8] == Event(14, 8 * 10**9, "note", "local", "politics", {"i": 8})
    names = [event for event in events if event.type == "name"]
    assert [event.data["name"] for event in names] == ["gpt", "politics", "claude", "markets", "local"]


WISHES: list[tuple[dict[str, Any], Callable[[Event], bool]]] = [
    ({"first": 50}, lambda e: e.seq >= 50),
    ({"last": 7}, lambda e: e.seq <= 7),
    ({"first": 20, "last": 30}, lambda e: 20 <= e.seq <= 30),
    ({"start": "1970-01-01T00:00:10Z", "end": 20 * 10**9}, lambda e: 10**10 <= e.time < 2 * 10**10),
    ({"types": "alert"}, lambda e: e.type == "alert"),
    ({"types": ["alert", "name"]}, lambda e: e.type in ("alert", "name")),
    ({"models": "gpt"}, lambda e: e.model == "gpt"),
    (
        {"models": ["gpt", "local"], "categories": "markets"},
        lambda e: e.model in ("gpt", "local") and e.category == "markets",
    ),
    ({"models": "nobody"}, lambda e: False),
    ({"models": []}, lambda e: False),
    ({"first": 1000}, lambda e: False),
]


@pytest.mark.parametrize(("wish", "wanted"), WISHES, ids=[str(wish) for wish, _ in WISHES])
@pytest.mark.parametrize(("limit", "offset"), [(None, 0), (5, 0), (None, 3), (4, 2), (0, 0), (3, 10_000)])
def test_a_query_is_a_filter(
    desk: Path, wish: dict[str, Any], wanted: Callable[[Event], bool], limit: int | None, offset: int
) -> None:
    expected = [event for event in read(desk) if wanted(event)][offset:]
    found = list(read(desk, limit=limit, offset=offset, **wish))
    assert found == (expected if limit is None else expected[:limit])


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"types": "forcast"}, "did you mean 'forecast'"),
        ({"types": ["note", "x"]}, ", ".join(TYPES)),
        ({"limit": -1}, "limit is -1"),
        ({"offset": -2}, "offset is -2"),
        ({"first": -1}, "first is -1"),
        ({"last": 2**64}, "last is 18446744073709551616"),
        ({"start": "yesterday"}, "start is 'yesterday'"),
        ({"end": True}, "end is True"),
    ],
)
def test_what_cannot_be_asked_is_refused_at_once(desk: Path, wish: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidRecordError, match=says.replace("(", r"\(")):
        read(desk, **wish)


def test_a_folder_without_a_journal(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(JournalError, match="there is no journal"):
            read(folder)
    with pytest.raises(ValueError, match="types holds 'nothing'"):
        JournalReader(str(tmp_path), types=["nothing"])


def test_events_before_damage_are_given(desk: Path) -> None:
    segments = sorted((desk / "segments").glob("*.seg"))
    assert len(segments) > 2
    segments[1].chmod(0o644)
    bad = bytearray(segments[1].read_bytes())
    bad[len(bad) // 2] ^= 1
    segments[1].write_bytes(bad)
    found: list[Event] = []
    with pytest.raises(JournalDamagedError, match=segments[1].name):
        found.extend(read(desk))
    found = []
    events = read(desk)
    with pytest.raises(JournalDamagedError, match=r"damaged at byte \d+"):
        found.extend(events)
    second = int(segments[1].name[:20])
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    assert len(found) >= second - 1
    reader = JournalReader(str(desk))
    given = reader.read(10_000)
    assert [event[0] for event in given] == [event.seq for event in found]
    for _ in range(2):
        with pytest.raises(JournalDamagedError):
            reader.read(10)


def test_a_payload_that_is_no_json_stops_there_and_can_be_passed(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path))
    for payload in ("{}", "no json", "{}"):
        log.append("note", 0, None, None, payload)
    reader = JournalReader(str(tmp_path))
    assert [event[0] for event in reader.read(10)] == [1]
    with pytest.raises(ValueError, match="event 2"):
        reader.read(10)
    assert [event[0] for event in reader.read(10)] == [3]


def test_a_program_s_own_events_keep_their_bytes(tmp_path: Path) -> None:
    SegmentLog(str(tmp_path)).append("custom", -5, None, None, b"\x00\xff")
    assert list(read(tmp_path)) == [Event(1, -5, "custom", None, None, {"payload": b"\x00\xff"})]


def test_tail_gives_the_newest_then_those_to_come(desk: Path) -> None:
    log = SegmentLog(str(desk))
    events = tail(desk, lines=3, poll="1ms")
    assert [event.seq for event in itertools.islice(events, 3)] == [103, 104, 105]
    log.append("note", 0, None, None, '{"late": 1}')
    assert next(events).data == {"late": 1}
    for _ in range(200):  # rolls over
        log.append("note", 0, "gpt", None, "{}")
    assert [event.seq for event in itertools.islice(events, 200)] == list(range(107, 307))


@pytest.mark.parametrize("lines", [0, 1, 4, 15, 1000])
def test_tail_filters(desk: Path, lines: int) -> None:
    alerts = [event for event in read(desk) if event.type == "alert"]
    assert list(tail(desk, lines=lines, follow=False, types="alert")) == alerts[len(alerts) - min(lines, len(alerts)) :]
    assert list(tail(desk, lines=2, follow=False, models="nobody")) == []


def test_tail_refuses(desk: Path) -> None:
    with pytest.raises(InvalidRecordError, match=r"lines is -1"):
        tail(desk, lines=-1)
    with pytest.raises(InvalidRecordError, match="poll is '1 parsec'"):
        tail(desk, poll="1 parsec")


WRITER = """
import sys
from fairlead._core import SegmentLog
log = SegmentLog(sys.argv[1], 3000)
for n in range(int(sys.argv[2])):
    log.append("note", n, f"model {n // 50}", None, '{"n": %d}' % n)
    if n % 40 == 0:
        log.sync()
log.close()
"""


def test_a_reader_follows_a_writer_in_another_process(tmp_path: Path) -> None:
    SegmentLog(str(tmp_path)).close()
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), "400"])
    try:
        seen = []
        events: Iterator[Event] = tail(tmp_path, lines=1000, poll="1ms", types="note")
        for event in events:
            assert event.model == f"model {event.data['n'] // 50}"
            seen.append(event.data["n"])
            if len(seen) == 400:
                break
        assert seen == list(range(400))
    finally:
        assert writer.wait(60) == 0


def test_two_threads_in_one_reader_get_an_error_not_a_crash(desk: Path) -> None:
    reader = JournalReader(str(desk))
    errors: list[Exception] = []
    seqs: list[int] = []

    def work() -> None:
        while True:
            try:
                events = reader.read(5)
            except RuntimeError as error:
                errors.append(error)
                continue
            if not events:
                return
            seqs.extend(event[0] for event in events)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seqs) == list(range(1, 106))
    assert all("another thread" in str(error) for error in errors)


def test_names_id_position(desk: Path) -> None:
    reader = JournalReader(str(desk))
    assert (reader.position, reader.names("models")) == (0, [])
    assert reader.next() == (1, 0, "name", None, None, {"table": "models", "id": 0, "name": "gpt"})
    assert reader.position == 1
    reader.read(10**6)
    assert reader.position == 105
    assert reader.next() is None
    assert reader.names("models") == list(MODELS)
    assert reader.names("categories") == list(CATEGORIES)
    assert len(reader.id) == 16
    assert JournalReader(str(desk)).id == reader.id
    with pytest.raises(ValueError, match="table is 'x'"):
        reader.names("x")


@pytest.mark.parametrize("field", ["limit", "offset"])
@pytest.mark.parametrize("given", ["3", 1.5, True, b"1", math.nan])
def test_what_is_no_count(tmp_path: Path, field: str, given: object) -> None:
    Journal(tmp_path).close()
    with pytest.raises(InvalidRecordError, match=rf"{field} is .*, must be a whole number"):
        read(tmp_path, **{field: given})
    with pytest.raises(InvalidRecordError, match=r"lines is .*, must be a whole number"):
        tail(tmp_path, lines=given, follow=False)
    assert [event.seq for event in read(tmp_path, **{field: np.int64(0)})] == []


@pytest.mark.parametrize("call", [read, verify, stats, repair, lambda folder: tail(folder, follow=False)])
def test_a_folder_without_a_name(call: Callable[[str], object]) -> None:
    with pytest.raises(InvalidRecordError, match="folder is '', must be the folder of a journal"):
        call("")


def test_repair_of_what_is_no_folder_or_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a file"
    file.write_text("x")
    for what in (file, tmp_path / "nowhere"):
        with pytest.raises(JournalError, match="there is no journal"):
            repair(what)
    Journal(tmp_path / "desk").close()

    def refuse(path: object, *how: object) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(JournalError, match=r"desk cannot be repaired: its lock cannot be opened: .*Permission denied"):
        repair(tmp_path / "desk")
