"""fl.Journal: what goes in comes out, its numbers and marks, and the errors of its arguments."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
import threading
import warnings
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead.errors import InvalidRecordError
from fairlead.journal import read


def open_journal(folder: Path, **options: Any) -> fl.Journal:
    return fl.Journal(folder, ring_bytes=1 << 18, **options)


def test_cold_events_notes_and_a_programs_own(tmp_path: Path) -> None:
    with open_journal(tmp_path / "desk") as journal:
        assert journal.note("hällo", model="gpt", category="politics", time="2026-01-02", score=0.5) == 3
        assert journal.append("deployment", {"version": 7}, time=datetime(2026, 1, 1, tzinfo=timezone.utc)) == 4
        assert journal.append("custom", b"\0\xff", model="gpt", time=1) == 5
        assert journal.append(2000, {"a": [1, None]}, time=2) == 6
        journal.wait_durable(6, timeout=30)
        assert journal.accepted == journal.written == journal.durable == 6
        assert journal.dropped == 0
        assert repr(journal) == f"Journal('{tmp_path / 'desk'}', accepted=6, written=6, durable=6)"
        assert len(journal.id) == 32
        assert journal.folder == str(tmp_path / "desk")
    events = list(read(tmp_path / "desk"))
    assert [event.type for event in events] == ["name", "name", "note", "deployment", "custom", "custom"]
    note, deployment, custom, own = events[2:]
    assert (note.model, note.category, dict(note.data)) == ("gpt", "politics", {"text": "hällo", "score": 0.5})
    assert (note.time, deployment.time) == (1767312000000000000, 1767225600000000000)
    assert (deployment.model, deployment.category) == (None, None)
    assert (custom.model, custom.data["payload"]) == ("gpt", b"\0\xff")
    assert own.data["payload"] == b'{"a":[1,null]}'


def test_a_forecast_and_a_batch_are_the_same_events(tmp_path: Path) -> None:
    n = 50
    rng = np.random.default_rng(3)
    task, time = np.arange(n), rng.integers(0, 10**18, n)
    value, confidence, latency, cost = rng.random((4, n))
    tokens = rng.integers(0, 10**6, (2, n))
    desks = [tmp_path / "one", tmp_path / "many"]
    for desk in desks:
        with open_journal(desk) as journal:
            models = [journal.name("models", name) for name in ("a", "b")]
            model = np.array(models, dtype=np.int32)[task % 2]
            category = journal.name("categories", "c")
            columns = (task, model, np.full(n, category), time, value, confidence, latency, cost, *tokens)
            if desk == desks[0]:
                for row in zip(*columns, strict=True):
                    journal.forecast(*(x.item() for x in row))
            else:
                assert journal.forecasts(*columns) == (4, 53)
                assert journal.forecasts([], 0, None, 0, 0.5) == (0, 0)
    one, many = ([event.to_dict() for event in read(desk)] for desk in desks)
    assert one == many
    assert len(one) == n + 3
    assert one[10]["model"] == "b"
    assert one[10]["data"]["task"] == 7
    assert one[10]["data"]["latency_ms"] == latency[7]


def test_the_defaults_of_a_forecast(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        gpt = journal.name("models", "gpt")
        journal.forecast(7, gpt, None, 5, 0.25)
        journal.forecasts([7], gpt, None, 5, 0.25)
    first, second = list(read(tmp_path))[1:]
    assert first.data == second.data
    assert first.category is None
    assert first.data["confidence"] is None
    assert first.data["tokens_in"] == 0


def test_rows_of_raw_bytes(tmp_path: Path) -> None:
    rows = np.arange(60, dtype=np.uint8).reshape(20, 3)
    with open_journal(tmp_path) as journal:
        assert journal.append_many("custom", np.arange(20), None, None, rows) == (1, 20)
        assert journal.append_many(1500, 7, None, None, rows[:, :0]) == (21, 40)
    events = list(read(tmp_path))
    assert [event.data["payload"] for event in events[:20]] == [bytes(row) for row in rows]
    assert [event.time for event in events[:20]] == list(range(20))
    assert {event.time for event in events[20:]} == {7}


SCALARS = st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)


@given(
    text=st.text(max_size=200),
    data=st.dictionaries(
        st.text(max_size=5), st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    ),
    time=st.integers(-(2**63), 2**63 - 2),
)
def test_any_mapping_comes_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, data: dict[str, Any], time: int
) -> None:
    desk = tmp_path_factory.mktemp("desk")
    with open_journal(desk, sync="never") as journal:
        journal.append("note", {**data, "text": text}, time=time)
    (event,) = read(desk)
    assert event.time == time
    assert dict(event.data) == {**data, "text": text}


def test_several_threads_write_at_once(tmp_path: Path) -> None:
    each, threads = 500, 4
    numbers: list[list[int]] = [[] for _ in range(threads)]
    with open_journal(tmp_path) as journal:

        def write(thread: int) -> None:
            for n in range(each):
                numbers[thread].append(journal.append("note", {"thread": thread, "n": n}, model=f"m{n % 7}"))
            journal.wait_durable(numbers[thread][-1], timeout=30)

        workers = [threading.Thread(target=write, args=(thread,)) for thread in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    events = {event.seq: event for event in read(tmp_path)}
    assert sorted(events) == list(range(1, each * threads + 7 + 1))
    for thread, seqs in enumerate(numbers):
        assert seqs == sorted(seqs)
        assert [events[seq].data["n"] for seq in seqs] == list(range(each))
        assert {events[seq].data["thread"] for seq in seqs} == {thread}
        assert all(events[seq].model == f"m{n % 7}" for n, seq in enumerate(seqs))


def test_a_journal_that_was_left_open_is_drained_with_a_warning(tmp_path: Path) -> None:
    code = """
        import os, sys
        import fairlead as fl
        journal = fl.Journal(sys.argv[1])
        for n in range(1000):
            journal.append("note", {"n": n})
        os._exit(0)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], check=True, timeout=60)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with open_journal(tmp_path) as journal:
            assert journal.accepted == 1000
            recovery = journal.recovery
    assert [str(warning.message) for warning in told if warning.category is fl.JournalWarning] == (
        [f"{tmp_path}: {recovery['drained']} events that a dead process had left in shared memory were written"]
        if recovery["drained"]
        else []
    )
    assert (recovery["gaps"], recovery["lost"], recovery["cut_bytes"]) == (0, 0, 0)
    assert [event.data["n"] for event in read(tmp_path)] == list(range(1000))


def test_dropped_events_are_counted_and_told(tmp_path: Path) -> None:
    with fl.Journal(tmp_path, ring_bytes=1 << 13, overflow="drop") as journal:
        taken, refusals = 0, []
        while len(refusals) < 100:
            try:
                journal.append_bytes("custom", 0, None, None, bytes(1000))
                taken += 1
            except fl.JournalFullError as error:
                refusals.append(str(error))
        refused = len(refusals)
        assert set(refusals) == {"the journal's ring is full: the event was dropped, and counted"}
        assert journal.dropped == refused
        journal.wait_durable()
    events = list(read(tmp_path))
    assert sum(event.type == "custom" for event in events) == taken
    assert sum(event.data["n"] for event in events if event.type == "dropped") <= refused


def test_after_close_nothing_is_taken(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    journal.note("x")
    journal.close()
    journal.close()
    assert journal.durable == 1
    for call in (lambda: journal.note("y"), lambda: journal.name("models", "new"), lambda: journal.wait_durable(2)):
        with pytest.raises(fl.JournalError, match="closed"):
            call()
    journal.wait_durable(1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"sync": "sometimes"}, "sync is 'sometimes', must be 'never', 'interval' or 'always'"),
        ({"overflow": "wait"}, "overflow is 'wait', must be 'fail', 'drop' or 'spill'"),
        ({"sync_interval": 0}, "sync_interval is 0, must be positive"),
        ({"sync_interval": "soon"}, "sync_interval is 'soon'"),
        ({"sync_interval": 0.01}, "sync_interval is 0.01, must be a span such as '10ms'"),
        ({"sync_interval": 5}, "sync_interval is 5, must be at least 1 us: integers are nanoseconds"),
        ({"sync_interval": "999ns"}, "sync_interval is '999ns', must be at least 1 us"),
        ({"segment_age": -1}, "segment_age is -1"),
        ({"segment_age": 24}, "segment_age is 24, must be at least 1 us"),
        ({"ring_bytes": 5000}, "ring_bytes is 5000, must be a power of two from 4096"),
        ({"ring_bytes": -1}, "ring_bytes is -1, must be a positive number of bytes"),
        ({"spill_bytes": 5000, "overflow": "spill"}, "spill_bytes is 5000, must be a power of two"),
        ({"segment_bytes": "x"}, "segment_bytes is 'x'"),
    ],
)
def test_options_are_checked(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.Journal(tmp_path, **options)
    assert not list(tmp_path.glob("lock")) or (tmp_path / "lock").read_text() == ""
    fl.Journal(tmp_path).close()


def test_arguments_are_checked_and_nothing_is_written(tmp_path: Path) -> None:
    with open_journal(tmp_path) as journal:
        gpt = journal.name("models", "gpt")
        rows = np.zeros((2, 1), np.uint8)
        bad: list[tuple[Any, type[Exception], str]] = [
            (lambda: journal.append("notes", {}), InvalidRecordError, "type is 'notes'.*did you mean 'note'"),
            (lambda: journal.append("forecast", {}), InvalidRecordError, "type is 'forecast'"),
            (lambda: journal.append(7, {}), InvalidRecordError, "type is 7, must be a name, or a number from 1024"),
            (lambda: journal.append("note", b"x"), InvalidRecordError, "data is bytes, must be a mapping"),
            (lambda: journal.append("note", [1]), InvalidRecordError, r"data is \[1\], must be a mapping"),
            (lambda: journal.append("note", {"x": math.nan}), InvalidRecordError, "which JSON cannot hold"),
            (lambda: journal.append("note", {"x": object()}), InvalidRecordError, "which JSON cannot hold"),
            (lambda: journal.append("note", {}, time="x"), InvalidRecordError, "time is 'x'"),
            (lambda: journal.append("note", {}, model=""), InvalidRecordError, "model is '', must be a name"),
            (lambda: journal.append("note", {}, model="\udc80"), InvalidRecordError, r"model is '\\udc80', .* no text"),
            (lambda: journal.append("note", {}, category=7), InvalidRecordError, "category is 7, must be a name"),
            (lambda: journal.note("x", category="\udc80"), InvalidRecordError, r"category is '\\udc80', .* no text"),
            (lambda: journal.name("models", "\udc80"), InvalidRecordError, r"name is '\\udc80', which is no text"),
            (lambda: journal.name("models", 7), InvalidRecordError, "name is 7, must be a name"),
            (lambda: journal.note(3), InvalidRecordError, "text is 3"),
            (lambda: journal.note("\udc80"), InvalidRecordError, "which JSON cannot hold"),
            (lambda: journal.name("model", "x"), ValueError, "table is 'model', must be 'models' or 'categories'"),
            (lambda: journal.wait_durable(0), InvalidRecordError, "seq is 0"),
            (lambda: journal.wait_durable(1, timeout=-1.0), ValueError, "timeout is -1.0"),
            (lambda: journal.wait_durable(99, timeout=0.001), TimeoutError, "event 99 is not durable"),
            (lambda: journal.wait_durable(99, timeout="1ms"), TimeoutError, "event 99 is not durable"),
            (lambda: journal.wait_durable(99, timeout=timedelta(milliseconds=1)), TimeoutError, "event 99 is not"),
            (lambda: journal.wait_durable(99, timeout="soon"), InvalidRecordError, "timeout is 'soon', must look like"),
            (lambda: journal.wait_durable(99, timeout=[1]), InvalidRecordError, r"timeout is \[1\], must be seconds"),
            (lambda: journal.wait_durable(99, timeout=True), InvalidRecordError, "timeout is True, must be seconds"),
            (lambda: journal.wait_durable(99, timeout=math.nan), ValueError, "timeout is nan"),
            (lambda: journal.append_bytes("mark", 0, None, None, b""), ValueError, "only the journal itself"),
            (lambda: journal.append_bytes(200, 0, None, None, b""), ValueError, "type is 200"),
            (lambda: journal.append_bytes("custom", 0, None, None, "x"), TypeError, "payload is <class 'str'>"),
            (lambda: journal.append_bytes("custom", 0, None, None, b"", 256), ValueError, "version is 256"),
            (lambda: journal.append_bytes("custom", 0, 1, None, b""), ValueError, "model is 1, must be a number"),
            (lambda: journal.append_bytes("custom", 0, None, None, bytes(2**20 + 1)), ValueError, "at most 1 MiB"),
            (lambda: journal.forecast(-1, gpt, None, 0, 0.5), ValueError, "task is -1"),
            (lambda: journal.forecast(0, None, None, 0, 0.5), TypeError, "integer"),
            (lambda: journal.forecast(0, 5, None, 0, 0.5), ValueError, "model is 5"),
            (lambda: journal.forecast(0, gpt, 0, 0, 0.5), ValueError, "category is 0"),
            (lambda: journal.forecast(0, gpt, None, 0), TypeError, "from 5 to 10 positional"),
            (lambda: journal.forecasts([1, -2], gpt, None, 0, 0.5), ValueError, r"task\[1\] is -2"),
            (lambda: journal.forecasts([1, 2], [gpt], None, 0, 0.5), ValueError, "model has length 1, task has 2"),
            (lambda: journal.forecasts([1, 2], [gpt, 4], None, 0, 0.5), ValueError, r"model\[1\] is 4"),
            (lambda: journal.forecasts([1.5], gpt, None, 0, 0.5), TypeError, "task has dtype float64"),
            (lambda: journal.forecasts(range(5000), gpt, None, 0, 0.5), ValueError, "more than half the ring"),
            (lambda: journal.append_many("custom", 0, None, None, np.zeros(3)), TypeError, "array of uint8"),
            (
                lambda: journal.append_many("custom", [0], None, None, rows),
                ValueError,
                "time has length 1, payload has 2",
            ),
        ]
        for call, error, words in bad:
            with pytest.raises(error, match=words):
                call()
        assert journal.accepted == 1


def test_ctrl_c_is_heard_while_waiting(tmp_path: Path) -> None:
    code = """
        import _thread, sys, threading
        import fairlead as fl
        with fl.Journal(sys.argv[1]) as journal:
            threading.Timer(0.1, _thread.interrupt_main).start()
            try:
                journal.wait_durable(99)
            except KeyboardInterrupt:
                print("heard")
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == "heard\n", done.stderr


def test_a_class_that_skips_init_is_no_crash() -> None:
    bare = fl.Journal.__new__(fl.Journal)
    with pytest.raises(TypeError, match="__init__"):
        bare.forecast(0, 0, None, 0, 0.5)
