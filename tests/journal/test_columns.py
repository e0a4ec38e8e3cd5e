"""Events as columns and back: every record is made again bit for bit, whatever its bytes."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import record_bytes as made
from hypothesis import given
from hypothesis import strategies as st

from fairlead._core import (
    CALL_ENDS,
    CALL_FAILURES,
    GOALS,
    ROUTE_REASONS,
    JournalColumns,
    SegmentWriter,
    journal_columns,
    journal_events,
    journal_rebuild,
)
from fairlead.errors import JournalDamagedError
from fairlead.events import TYPES, Event
from fairlead.journal import columns
from fairlead.journal.plain import as_json

MODELS = ["gpt", "llama", "größe"]
CATEGORIES = ["crypto", "weather"]


def again(records: np.ndarray, models: list[str] = MODELS, categories: list[str] = CATEGORIES) -> np.ndarray:
    """Through Arrow and back."""
    batch = columns.from_records(records, models, categories)
    batch.validate(full=True)
    return np.concatenate([*columns.records(batch, models, categories), np.zeros(0, np.uint8)])


def every_type() -> list[bytes]:
    rows = [
        made.record("name", 1, 5, made.name(0, 0, "gpt")),
        made.record("gap", 2, 5, struct.pack("<Q", 1)),
        made.record("dropped", 3, 5, struct.pack("<Q", 7)),
        made.record("settings", 4, 5, made.cold(k=1)),
        made.record("model", 5, 5, made.cold(name="gpt"), model=0),
        made.record("model_removed", 6, 5, model=0),
        made.record(
            "task",
            7,
            6,
            made.task(
                1,
                "t1",
                "crypto",
                kind="categorical",
                labels=["up", "", "ünder"],
                slices=[("symbol", "BTC=X"), ("", "")],
                words="which way?",
                regime="calm",
                stake=2.5,
                expires=60.0,
            ),
            category=0,
        ),
        made.record(
            "forecast",
            8,
            7,
            made.forecast(1, made.NAN, kind="categorical", p=[0.2, 0.3, 0.5], latency=12.5, tokens=(10, -3)),
            model=2,
            category=0,
        ),
        made.record("forecast", 9, 7, made.forecast(1, made.NAN, error="timed out ✂"), model=1),
        made.record(
            "decision", 10, 8, made.decision(1, 0.7, weights=[0.25, 0.75], voters=[2, 0], reasons=9), category=0
        ),
        made.record("outcome", 11, 9, made.outcome(1, 2.0, kind="categorical", profit=-1.5), category=0),
        made.record("closed", 12, 9, made.closed(2)),
        made.record(
            "route",
            13,
            10,
            made.route(
                1,
                attempt=2,
                goal=3,
                reserved=3_000_000,
                expected=(0.5, 0.7, made.NAN, 0.002, 900.0),
                reasons=0b101,
                others=[(2, 0.6, 0.001, made.NAN), (1, 0.5, 0.0, 20.0)],
                type="tool_use ✂",
            ),
            model=0,
            category=0,
        ),
        made.record(
            "called",
            14,
            11,
            made.called(
                1,
                attempt=2,
                cost=2_500_001,
                times=(812.5, 90.0, made.NAN),
                tokens=(10, 20, 5, 3),
                calls=2,
                end=1,
                failure=3,
            ),
            model=0,
            category=0,
        ),
        made.record("called", 15, 11, made.called(1, end=2), model=0),
        made.record("run", 16, 12, made.run(tokens=900, api_calls=3, status=2, error="zu spät"), model=2),
    ]
    cold = [kind for kind in made.CODES if 32 <= made.CODES[kind] < 1024]
    rows += [made.record(kind, 17 + i, -10, made.cold(said=kind)) for i, kind in enumerate(cold)]
    after = 17 + len(cold)
    return [*rows, made.record("custom", after, 11, b"\xff\x00any"), made.record(2000, after + 1, 11, b"")]


def test_every_type_comes_back_and_can_be_read() -> None:
    records = made.array(*every_type())
    assert again(records).tobytes() == records.tobytes()
    rows = columns.from_records(records, MODELS, CATEGORIES).to_pylist()
    assert tuple(dict.fromkeys(row["type"] for row in rows)) == TYPES
    task, forecast, failed, decision, outcome = rows[6:11]
    assert (task["id"], task["category"], task["labels"]) == ("t1", "crypto", ["up", "", "ünder"])
    assert (task["slices"], task["stake_usd"], task["regime"]) == (["symbol=BTC=X", "="], 2.5, "calm")
    assert (forecast["model"], forecast["p"], forecast["value"]) == ("größe", [0.2, 0.3, 0.5], None)
    assert (forecast["tokens_in"], forecast["tokens_out"], forecast["confidence"]) == (10, -3, None)
    assert failed["error"] == "timed out ✂"
    assert dict(zip(decision["voters"], decision["weights"], strict=True)) == {"größe": 0.25, "gpt": 0.75}
    assert decision["strategy"] == "hedge"
    assert (outcome["value"], outcome["profit_usd"], outcome["kind"]) == (2.0, -1.5, "categorical")
    route, failed, released = rows[12:15]
    assert (route["model"], route["attempt"], route["goal"], route["task_type"]) == ("gpt", 2, "value", "tool_use ✂")
    expected = ("propensity", "quality", "spread", "cost_usd", "latency_ms", "reserved_nanos", "reasons")
    assert [route[name] for name in expected] == [0.5, 0.7, None, 0.002, 900.0, 3_000_000, 5]
    assert route["runners_up"] == ["größe", "llama"]
    assert route["runners_up_quality"] == [0.6, 0.5]
    assert route["runners_up_cost_usd"] == [0.001, 0.0]
    assert route["runners_up_latency_ms"][1] == 20.0
    assert math.isnan(route["runners_up_latency_ms"][0])
    assert (failed["ended"], failed["failure"], failed["cost_nanos"]) == ("failed", "rate_limited", 2_500_001)
    assert [failed[f"tokens_{what}"] for what in ("in", "out", "cached", "written")] == [10, 20, 5, 3]
    assert [failed[name] for name in ("latency_ms", "first_token_ms", "retry_after_ms")] == [812.5, 90.0, None]
    assert (failed["attempt"], failed["calls"]) == (2, 2)
    assert (released["ended"], released["failure"], released["cost_nanos"]) == ("released", None, None)
    # Only what the columns cannot tell is kept as bytes.
    raw = {row["type"] for row in rows if row["payload"] is not None}
    assert raw == {"name", "gap", "dropped", "custom"}
    assert [row["seq"] for row in rows if row["header"] is not None] == [rows[-1]["seq"]]


@pytest.mark.parametrize(
    ("kind", "payload", "header"),
    [
        ("forecast", made.forecast(1, reserved=1), {}),
        ("forecast", made.forecast(1) + b"more", {}),
        ("forecast", made.forecast(1)[:-1], {}),
        ("forecast", b"", {}),
        ("forecast", made.forecast(1, error=b"\xc3\x28"), {}),
        ("forecast", made.forecast(1), {"version": 2}),
        ("forecast", made.forecast(1), {"flags": 64}),
        ("forecast", made.forecast(1), {"model": 3}),
        ("forecast", made.forecast(1), {"model": -2, "category": 99}),
        ("decision", made.decision(1, weights=[1.0], voters=[3]), {}),
        ("decision", made.decision(1, strategy=11), {}),
        ("task", made.task(1, category="other"), {"category": 0}),
        ("task", made.task(1, category="crypto"), {}),
        ("task", made.task(1, id=b"\xed\xa0\x80"), {}),
        ("task", made.task(1, slices=[("a=b", "c")], labels=["x"]), {}),
        ("task", made.task(1, labels=["x"], slices=[("a", "b")])[:-1], {}),
        ("task", made.task(1, reserved=7), {}),
        ("outcome", made.outcome(1)[:-1] + b"\x01", {}),
        ("closed", made.closed(1) + b"x", {}),
        ("route", made.route(1, goal=5), {}),
        ("route", made.route(1, type=b"\xff"), {}),
        ("route", made.route(1, type="x")[:-1], {}),
        ("route", made.route(1) + b"x", {}),
        ("route", made.route(1, padding=b"\0\0\0\0\1"), {}),
        ("route", made.route(1, others=[(3, 0.5, 0.5, 0.5)], type="x"), {}),
        ("route", made.route(1, others=[(-1, 0.5, 0.5, 0.5), (0, 0.5, 0.5, 0.5)]), {}),
        ("route", made.route(1), {"version": 2}),
        ("called", made.called(1, end=4), {}),
        ("called", made.called(1, end=1, failure=8), {}),
        ("called", made.called(1, failure=1), {}),
        ("called", made.called(1, padding=b"\0\1"), {}),
        ("called", made.called(1)[:-1], {}),
        ("model_removed", b"x", {}),
        ("note", b"\xf5\x80\x80\x80 no text", {}),
        (99, b"a type of the future", {}),
        (3, b"own, without its flag", {}),
    ],
)
def test_what_is_not_as_it_should_be_is_kept_as_bytes(kind: str | int, payload: bytes, header: dict[str, int]) -> None:
    good = [made.record("outcome", 1, 0, made.outcome(1)), made.record("task", 2, 0, made.task(1, labels=["a"]))]
    records = made.array(*good, made.record(kind, 3, 1, payload, **header), *good)
    assert again(records).tobytes() == records.tobytes()
    row = columns.from_records(records, MODELS, CATEGORIES).slice(2, 1).to_pylist()[0]
    assert row["payload"] is not None or row["header"] is not None


NANS = st.integers(0, 2**52 - 1).flatmap(
    lambda low: st.sampled_from([0x7FF0000000000000, 0xFFF0000000000000]).map(lambda high: high | low)
)
BITS = st.one_of(
    st.integers(0, 2**64 - 1), NANS, st.sampled_from([0x7FF8000000000000, 0x8000000000000000, 0, 0x7FF0000000000000])
)
DOUBLES = BITS.map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])


WHOLE = st.integers(-(2**63), 2**63 - 1)
COUNTS = st.integers(0, 0xFFFF)
FEW = st.sampled_from([0, 0, 0, 0, 1, 255])
ROUTES = st.builds(
    made.route,
    st.integers(0, 2**64 - 1),
    attempt=COUNTS,
    goal=st.one_of(st.integers(0, 4), st.integers(0, 255)),
    reserved=WHOLE,
    expected=st.lists(DOUBLES, min_size=5, max_size=5),
    reasons=st.integers(0, 2**32 - 1),
    others=st.lists(st.tuples(st.sampled_from([0, 1, 2, 2, 3, -1, 2**31 - 1]), DOUBLES, DOUBLES, DOUBLES), max_size=4),
    type=st.one_of(st.text(max_size=5), st.sampled_from(["", "x" * 65535]), st.binary(max_size=3)),
    padding=FEW.map(lambda last: bytes([0, 0, 0, 0, last])),
)
CALLED = st.builds(
    made.called,
    st.integers(0, 2**64 - 1),
    attempt=COUNTS,
    cost=st.one_of(WHOLE, st.sampled_from([-1, 0, -2])),
    times=st.lists(DOUBLES, min_size=3, max_size=3),
    tokens=st.lists(WHOLE, min_size=4, max_size=4),
    calls=COUNTS,
    end=st.one_of(st.integers(0, 3), st.integers(0, 255)),
    failure=st.one_of(st.just(0), st.integers(0, 9), st.integers(0, 255)),
    padding=FEW.map(lambda last: bytes([0, last])),
)


def raw(value: float) -> bytes:
    return struct.pack("<d", value)


@given(values=st.lists(BITS, min_size=5, max_size=5), p=st.lists(BITS, max_size=4))
def test_every_bit_of_every_number_comes_back(values: list[int], p: list[int]) -> None:
    five = struct.pack("<5Q", *values)
    forecast = struct.pack("<Q", 3) + five[:24] + struct.pack("<qq", 1, 2) + five[24:32]
    forecast += struct.pack("<IHBB", len(p), 0, 1, 0) + struct.pack(f"<{len(p)}Q", *p)
    decision = struct.pack("<Q", 3) + five + struct.pack("<IIIBBxx", len(p), len(p), 3, 1, 1)
    decision += struct.pack(f"<{2 * len(p)}Q", *p, *p[::-1]) + struct.pack(
        f"<{len(p)}i", *(i % 3 for i in range(len(p)))
    )
    outcome = struct.pack("<Q", 3) + five[:16] + struct.pack("<B7x", 1)
    records = made.array(
        made.record("forecast", 1, 0, forecast),
        made.record("decision", 2, 0, decision),
        made.record("outcome", 3, 0, outcome),
    )
    assert again(records).tobytes() == records.tobytes()


@given(
    rows=st.lists(
        st.tuples(
            st.one_of(st.sampled_from(sorted(made.CODES.values())), st.integers(0, 65535)),
            st.integers(-(2**63), 2**63 - 1),
            st.one_of(
                st.binary(max_size=200),
                st.builds(made.forecast, st.integers(0, 2**64 - 1), DOUBLES, error=st.text(max_size=5)),
                st.builds(
                    made.task,
                    st.integers(0, 2**64 - 1),
                    st.text(max_size=5),
                    st.sampled_from(["", *CATEGORIES]),
                    labels=st.lists(st.text(max_size=3), max_size=3),
                    slices=st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=2),
                ),
                st.builds(made.outcome, st.integers(0, 9), DOUBLES),
                st.builds(made.cold, said=st.text()),
                ROUTES,
                CALLED,
            ),
            st.integers(-3, 4),
            st.integers(-3, 4),
            st.sampled_from([1, 1, 1, 0, 2, 255]),
        ),
        max_size=40,
    )
)
def test_any_records_come_back(rows: list[tuple[int, int, bytes, int, int, int]]) -> None:
    records = made.array(
        *(
            made.record(code, i, time, payload, model=model, category=category, version=version)
            for i, (code, time, payload, model, category, version) in enumerate(rows)
        )
    )
    assert again(records).tobytes() == records.tobytes()


@given(
    rows=st.lists(
        st.one_of(
            st.tuples(st.just("route"), ROUTES, st.integers(-2, 3)),
            st.tuples(st.just("called"), CALLED, st.integers(-2, 3)),
        ),
        max_size=8,
    )
)
def test_routes_and_calls_come_back_and_can_be_read(rows: list[tuple[str, bytes, int]]) -> None:
    made_of = [made.record(kind, i, i, payload, model=model) for i, (kind, payload, model) in enumerate(rows, 1)]
    records = made.array(*made_of)
    assert again(records).tobytes() == records.tobytes()
    for record, (kind, payload, _) in zip(made_of, rows, strict=True):
        if payload[66 if kind == "route" else 76] > (4 if kind == "route" else 3):  # no such goal, no such end
            with pytest.raises(ValueError, match=f"of type {kind}"):
                journal_events(made.array(record), MODELS, CATEGORIES)
            continue
        event = Event(*journal_events(made.array(record), MODELS, CATEGORIES)[0])
        said = json.loads(as_json(event.to_dict()))["data"]
        assert said["task"] == struct.unpack_from("<Q", payload)[0]
        if kind == "route":
            bits = struct.unpack_from("<I", payload, 56)[0]
            assert len(said["reasons"]) == bits.bit_count()
            assert len(said["runners_up"]) == struct.unpack_from("<H", payload, 62)[0]
        else:
            assert ("failure" in said) == (said["end"] == "failed")
            cost = struct.unpack_from("<q", payload, 8)[0]
            assert said["cost_nanos"] == (None if cost == -1 else cost)


def test_a_table_of_an_older_version_is_read() -> None:
    """It has none of the columns that came later, and its dictionary of types is another one."""
    older = [record for record in every_type() if struct.unpack_from("<H", record, 12)[0] not in (24, 25, 26, 39)]
    batch = columns.from_records(made.array(*older), MODELS, CATEGORIES)
    words = pa.array(batch["type"].to_pylist()[::-1], pa.string()).dictionary_encode()  # in another order
    batch = batch.set_column(2, "type", words.take(pa.array(range(len(batch) - 1, -1, -1))))
    batch = batch.drop_columns(sorted(columns.LATER))
    assert len(batch.schema) == 33
    assert b"".join(part.tobytes() for part in columns.records(batch, MODELS, CATEGORIES)) == b"".join(older)
    with pytest.raises(JournalDamagedError, match="column 'data' is missing"):
        list(columns.records(batch.drop_columns(["data"]), MODELS, CATEGORIES))


def test_the_words_are_those_of_the_core() -> None:
    records = made.array(
        *(made.record("route", 1 + i, 0, made.route(1, goal=i, reasons=2**32 - 1)) for i in range(5)),
        *(made.record("called", 6 + i, 0, made.called(1, end=i)) for i in range(4)),
        *(made.record("called", 10 + i, 0, made.called(1, end=1, failure=i)) for i in range(9)),
    )
    said = [event[5] for event in journal_events(records, MODELS, CATEGORIES)]
    assert tuple(data["goal"] for data in said[:5]) == GOALS
    assert tuple(data["end"] for data in said[5:9]) == CALL_ENDS
    assert tuple(data["failure"] for data in said[9:]) == (*CALL_FAILURES, "failure_8")
    known = len(ROUTE_REASONS)
    assert said[0]["reasons"] == (*ROUTE_REASONS, *(f"reason_{bit}" for bit in range(known, 32)))
    rows = columns.from_records(records, MODELS, CATEGORIES).to_pylist()
    assert [row["goal"] for row in rows[:5]] == list(GOALS)
    assert [row["ended"] for row in rows[5:9]] == list(CALL_ENDS)
    assert [row["failure"] for row in rows[9:]] == [*CALL_FAILURES, None]


def test_a_slice_of_a_table_comes_back() -> None:
    parts = every_type()
    batch = columns.from_records(made.array(*parts), MODELS, CATEGORIES)
    for start in range(len(parts)):
        found = b"".join(part.tobytes() for part in columns.records(batch.slice(start, 5), MODELS, CATEGORIES))
        assert found == b"".join(parts[start : start + 5])


def test_nothing_at_all() -> None:
    batch = columns.from_records(made.array())
    assert batch.num_rows == 0
    assert batch.schema == columns.SCHEMA
    assert list(columns.records(batch, [], [])) == []


def test_a_table_that_is_none_of_events_is_refused() -> None:
    batch = columns.from_records(made.array(*every_type()), MODELS, CATEGORIES)
    for bad, said in [
        (pa.table({"x": [1]}), "column 'seq' is missing"),
        (batch.set_column(1, "time", pa.array(["x"] * len(batch))), "column 'time'"),
        (batch.set_column(2, "type", pa.array(["nonsense"] * len(batch))), "a name that the journal does not have"),
        (batch.set_column(2, "type", pa.nulls(len(batch), pa.string())), "row 0 of the columns"),
        (batch.set_column(8, "p", pa.array([[None, 1.0]] * len(batch))), "none within a list"),
        (batch.set_column(len(columns.SCHEMA) - 3, "data", pa.nulls(len(batch), pa.string())), "row 3 of the columns"),
    ]:
        with pytest.raises(JournalDamagedError, match=said):
            list(columns.records(bad, MODELS, CATEGORIES))
    with pytest.raises(JournalDamagedError, match="a name that the journal does not have"):
        list(columns.records(batch, MODELS[:1], CATEGORIES))


def test_the_core_trusts_no_buffer() -> None:
    records = made.array(*every_type())
    found = journal_columns(records, MODELS, CATEGORIES)
    rows = len(found["seq"][1])
    bits, offsets, items = found["p"]
    for bad in (offsets + 100, -offsets - 1):
        with pytest.raises(JournalDamagedError):
            journal_rebuild(rows, {**found, "p": (bits, bad, items)}, CATEGORIES)
    with pytest.raises(ValueError, match="p has 3 values"):
        journal_rebuild(rows, {**found, "p": (bits, offsets[:3].copy(), items)}, CATEGORIES)
    with pytest.raises(TypeError, match="seq must have contiguous"):
        journal_rebuild(rows, {**found, "seq": (None, found["seq"][1][::2])}, CATEGORIES)
    with pytest.raises(KeyError, match="there is no column seq"):
        journal_rebuild(rows, {}, CATEGORIES)
    with pytest.raises(ValueError, match="no whole record at byte 0"):
        journal_columns(records[8:].copy()[:40], MODELS, CATEGORIES)
    with pytest.raises(ValueError, match="multiple of 8"):
        journal_columns(records[1:], MODELS, CATEGORIES)
    with pytest.raises(TypeError, match="uint8"):
        journal_columns(b"x", MODELS, CATEGORIES)  # type: ignore[arg-type]


def write(folder: Path, *records: bytes, segment_bytes: int = 4096) -> None:
    log = SegmentWriter(str(folder), segment_bytes)
    for part in records:
        log.append(made.array(part))
    log.close()


def outcomes(n: int, first: int = 1) -> list[bytes]:
    return [made.record("outcome", i, 10 * i, made.outcome(i)) for i in range(first, first + n)]


def test_a_journal_in_batches(tmp_path: Path) -> None:
    write(tmp_path, *outcomes(500))
    reader = JournalColumns(str(tmp_path))
    seqs, records = [], []
    while (batch := reader.read(64, keep_records=True)) is not None:
        rows, found, kept = batch
        assert rows <= 64
        seqs += found["seq"][1].tolist()
        records.append(kept.tobytes())
    assert seqs == list(range(1, 501))
    assert b"".join(records) == b"".join(outcomes(500))
    assert (reader.position, reader.gap, len(reader.id)) == (500, False, 16)


def test_what_a_query_leaves_out(tmp_path: Path) -> None:
    names = [
        made.record("name", 1, 0, made.name(0, 0, "a")),
        made.record("name", 2, 0, made.name(0, 1, "b")),
        made.record("name", 3, 0, made.name(1, 0, "c")),
    ]
    rows = [
        made.record("forecast", i, i, made.forecast(i), model=i % 2, category=i % 3 - 1 if i % 3 < 2 else -1)
        for i in range(4, 200)
    ]
    write(tmp_path, *names, *rows, *outcomes(10, 200))

    def seqs(**query: object) -> list[int]:
        found = JournalColumns(str(tmp_path), **query).read(1000)
        return [] if found is None else found[1]["seq"][1].tolist()

    assert seqs(first=100, last=120) == list(range(100, 121))
    assert seqs(start=50, end=53) == [50, 51, 52]
    assert seqs(types=[22, 23]) == list(range(200, 210))
    assert seqs(models=["b"]) == list(range(5, 200, 2))
    assert seqs(models=["b", "nobody"], categories=["c"]) == [i for i in range(4, 200) if i % 6 == 1]
    assert seqs(models=["nobody"]) == []


def test_missing_numbers_are_noticed(tmp_path: Path) -> None:
    write(tmp_path, *outcomes(500))
    segments = sorted((tmp_path / "segments").glob("*.seg"))
    assert len(segments) > 3
    for segment in segments[:2]:
        segment.unlink()
    first = int(segments[2].stem)
    reader = JournalColumns(str(tmp_path))
    assert reader.read() is None
    assert (reader.gap, reader.position) == (True, 0)
    rows, _, _ = JournalColumns(str(tmp_path), first=first).read()
    assert rows == 501 - first


def test_numbers_that_a_crash_cut_short_are_not_missing(tmp_path: Path) -> None:
    write(tmp_path, *outcomes(2), made.record("gap", 3, 0, struct.pack("<Q", 5)), *outcomes(2, 8))
    reader = JournalColumns(str(tmp_path))
    rows, found, _ = reader.read()
    assert (rows, found["seq"][1].tolist(), reader.position) == (5, [1, 2, 3, 8, 9], 9)
