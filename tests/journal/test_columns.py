"""Events as columns and back: every record is made again bit for bit, whatever its bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import record_bytes as made
from hypothesis import given
from hypothesis import strategies as st

from fairlead._core import JournalColumns, SegmentWriter, journal_columns, journal_rebuild
from fairlead.errors import JournalDamagedError
from fairlead.events import TYPES
from fairlead.journal import columns

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
    ]
    cold = ("note", "alert", "training_run", "model_version", "deployment", "budget", "health", "summary")
    rows += [made.record(kind, 13 + i, -10, made.cold(said=kind)) for i, kind in enumerate(cold)]
    return [*rows, made.record("custom", 21, 11, b"\xff\x00any"), made.record(2000, 22, 11, b"")]


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
    # Only what the columns cannot tell is kept as bytes.
    raw = {row["type"] for row in rows if row["payload"] is not None}
    assert raw == {"name", "gap", "dropped", "custom"}
    assert [row["seq"] for row in rows if row["header"] is not None] == [22]


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
        ("decision", made.decision(1, strategy=5), {}),
        ("task", made.task(1, category="other"), {"category": 0}),
        ("task", made.task(1, category="crypto"), {}),
        ("task", made.task(1, id=b"\xed\xa0\x80"), {}),
        ("task", made.task(1, slices=[("a=b", "c")], labels=["x"]), {}),
        ("task", made.task(1, labels=["x"], slices=[("a", "b")])[:-1], {}),
        ("task", made.task(1, reserved=7), {}),
        ("outcome", made.outcome(1)[:-1] + b"\x01", {}),
        ("closed", made.closed(1) + b"x", {}),
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
        (batch.set_column(30, "data", pa.nulls(len(batch), pa.string())), "row 3 of the columns"),
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
