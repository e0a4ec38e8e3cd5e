"""Decisions of both layouts and runs, as records, as columns and as bytes again."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import record_bytes as made
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead import journal
from fairlead._core import (
    EVENT_TYPES,
    RUN_STATUSES,
    STRATEGIES,
    JournalColumns,
    SegmentWriter,
    journal_columns,
    journal_events,
    journal_rebuild,
)
from fairlead.errors import JournalDamagedError
from fairlead.events import COLD, HOT, TYPES, Event
from fairlead.journal import columns
from fairlead.journal.plain import as_json
from fairlead.policy.answered import Answered
from fairlead.policy.strategy import Strategy

MODELS = ["gpt", "llama"]
SHAPE = (0.1, 0.9, 0.05, 0.25, 0.4, 0.8)
MEASURES = ("spread", "entropy", "divergence", "pairwise", "low", "high")
NONE = (made.NAN,) * 6
VOTES: dict[str, Any] = {"weights": (0.75, 0.25), "voters": (0, 1)}


def decided(seq: int, *, version: int = 2, model: int = -1, flags: int = 0, **said: Any) -> bytes:
    shape = said.pop("shape", SHAPE if version == 2 else None)
    payload = made.decision(7, 0.6, **{**VOTES, **said}, shape=shape)
    return made.record("decision", seq, seq, payload, version=version, model=model, flags=flags)


def event_of(record: bytes) -> Event:
    return Event(*journal_events(made.array(record), MODELS, [])[0])


def there_and_back(*records: bytes) -> list[dict[str, Any]]:
    """The rows, after it was checked that they are the bytes."""
    batch = columns.from_records(made.array(*records), MODELS, [])
    batch.validate(full=True)
    found = np.concatenate([*columns.records(batch, MODELS, []), np.zeros(0, np.uint8)])
    assert found.tobytes() == b"".join(records)
    rows: list[dict[str, Any]] = batch.to_pylist()
    return rows


def test_both_layouts_of_a_decision() -> None:
    old, new, mine = (
        decided(1, version=1, strategy=3),
        decided(2, strategy=10, chosen=8),
        decided(3, strategy=255, chosen=255, name="größte"),
    )
    said = [event_of(record).data for record in (old, new, mine)]
    assert list(said[0])[-1] == "reasons"  # as it always was
    assert [data["strategy"] for data in said] == ["weighted", "auto", "größte"]
    assert [data.get("chosen") for data in said] == [None, "stacked", "größte"]
    assert [said[1][name] for name in MEASURES] == list(SHAPE)
    assert said[1]["weights"] == said[0]["weights"] == {"gpt": 0.75, "llama": 0.25}
    rows = there_and_back(old, new, mine)
    assert [row["strategy"] for row in rows] == ["weighted", "auto", "größte"]
    assert [row["chosen"] for row in rows] == [None, "stacked", "größte"]
    assert [[row[name] for name in MEASURES] for row in rows] == [[None] * 6, list(SHAPE), list(SHAPE)]
    assert {row[name] for row in rows for name in ("payload", "header")} == {None}


def test_what_is_not_known_of_a_shape() -> None:
    record = decided(1, shape=NONE, weights=(), voters=())
    assert [event_of(record).data[name] for name in MEASURES] == [None] * 6
    (row,) = there_and_back(record)
    assert (row["chosen"], row["spread"], row["payload"]) == ("hedge", None, None)


@pytest.mark.parametrize(
    "said",
    [
        {"strategy": 11},
        {"chosen": 11},
        {"chosen": 255},  # whose name would be that?
        {"name": "hedge"},  # of a strategy that has none of its own
        {"strategy": 255, "name": "hedge"},  # it would be taken for the other
        {"strategy": 255, "name": b"\xff"},
        {"reserved": b"\0\0\0\0\0\0\1"},
        {"shape": None},
        {"voters": (0, 9)},
        {"version": 1, "name": "x"},
        {"version": 1, "strategy": 255},
        {"version": 1, "shape": SHAPE},
        {"version": 3},
        {"version": 0},
        {"flags": 64},
    ],
)
def test_a_decision_that_the_columns_cannot_tell_is_kept_as_bytes(said: dict[str, Any]) -> None:
    good = decided(1), decided(2, version=1), decided(3, strategy=255, chosen=3, name="own")
    rows = there_and_back(*good, decided(4, **said), *good)
    assert rows[3]["payload"] is not None or rows[3]["header"] is not None
    assert [row["strategy"] for row in rows if row["seq"] != 4] == ["hedge", "hedge", "own"] * 2


DOUBLES = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])
NUMBERS = st.one_of(DOUBLES, st.just(made.NAN), st.floats(0, 1))
STRATEGY = st.one_of(st.integers(0, 10), st.just(255), st.integers(0, 255))
DECISIONS = st.builds(
    made.decision,
    st.integers(0, 2**64 - 1),
    NUMBERS,
    p=st.lists(NUMBERS, max_size=3),
    weights=st.just((0.5, 0.5)),
    voters=st.sampled_from([(0, 1), (1, 0), (0, 2)]),
    strategy=STRATEGY,
    chosen=STRATEGY,
    shape=st.none() | st.lists(NUMBERS, min_size=6, max_size=6),
    name=st.one_of(st.just(""), st.text(max_size=4), st.sampled_from(STRATEGIES), st.binary(max_size=3)),
    reserved=st.sampled_from([0, 0, 0, 1]).map(lambda last: bytes([0] * 6 + [last])),
)
RUNS = st.builds(
    made.run,
    cost=st.integers(-(2**63), 2**63 - 1) | st.sampled_from([-1, 0]),
    measures=st.lists(NUMBERS, min_size=3, max_size=3),
    tokens=st.integers(-(2**63), 2**63 - 1),
    api_calls=st.integers(-(2**63), 2**63 - 1),
    status=st.integers(0, 5) | st.just(255),
    error=st.one_of(st.text(max_size=4), st.binary(max_size=3)),
    padding=st.sampled_from([0, 0, 0, 1]).map(lambda last: bytes([0, 0, 0, 0, last])),
)


@given(
    st.lists(
        st.tuples(st.just("decision"), DECISIONS, st.integers(-2, 3), st.sampled_from([2, 2, 2, 1, 1, 0, 3]))
        | st.tuples(st.just("run"), RUNS, st.integers(-2, 3), st.sampled_from([1, 1, 1, 2])),
        max_size=12,
    )
)
def test_any_decisions_and_runs_come_back(rows: list[tuple[str, bytes, int, int]]) -> None:
    made_of = [made.record(kind, i, -i, data, model=model, version=v) for i, (kind, data, model, v) in enumerate(rows)]
    for record, row in zip(made_of, there_and_back(*made_of), strict=True):
        try:
            said = event_of(record).data
        except ValueError:  # nothing that this version knows
            assert row["payload"] is not None
            continue
        json.loads(as_json(said))
        if row["payload"] is None and row["type"] == "decision":
            assert (row["strategy"], row["chosen"]) == (said["strategy"], said.get("chosen"))
        if row["payload"] is None and row["type"] == "run":
            assert (row["status"], row["cost_nanos"]) == (said["status"], said["cost_nanos"])


def test_a_run() -> None:
    payload = made.run(cost=2_500_001, measures=(812.5, 0.25, 64.0), tokens=900, api_calls=3, status=1, error="zu spät")
    full = made.record("run", 1, 5, payload, model=1)
    bare = made.record("run", 2, 5, made.run(), model=0)
    event = event_of(full)
    assert (event.type, event.model) == ("run", "llama")
    assert event.data == {
        "status": "error",
        "duration_ms": 812.5,
        "tokens": 900,
        "api_calls": 3,
        "cost_usd": 0.002500001,
        "cost_nanos": 2_500_001,
        "compute_s": 0.25,
        "memory_mb": 64.0,
        "error": "zu spät",
    }
    unknown = ("duration_ms", "cost_usd", "cost_nanos", "compute_s", "memory_mb")
    assert [event_of(bare).data[name] for name in unknown] == [None] * 5
    row, other = there_and_back(full, bare)
    assert {name: row[name] for name in event.data if name != "cost_usd"} == {
        name: value for name, value in event.data.items() if name != "cost_usd"
    }
    assert (row["model"], row["payload"], row["header"]) == ("llama", None, None)
    assert (other["status"], other["error"], other["cost_nanos"], other["tokens"]) == ("ok", None, None, 0)


@pytest.mark.parametrize(
    "payload",
    [
        made.run(status=4),
        made.run(error="x")[:-1],
        made.run() + b"x",
        made.run(error=b"\xff"),
        made.run(padding=b"\0\0\0\0\1"),
        b"",
    ],
)
def test_a_run_that_the_columns_cannot_tell_is_kept_as_bytes(payload: bytes) -> None:
    rows = there_and_back(made.record("run", 1, 0, payload), made.record("run", 2, 0, made.run()))
    assert [row["payload"] is None for row in rows] == [False, True]


def test_the_words_are_those_of_the_core() -> None:
    known = [event_of(decided(1, strategy=i, chosen=i)).data["strategy"] for i in range(len(STRATEGIES))]
    assert tuple(known) == STRATEGIES
    rows = there_and_back(*(decided(i, strategy=i, chosen=i) for i in range(len(STRATEGIES))))
    assert tuple(row["strategy"] for row in rows) == tuple(row["chosen"] for row in rows) == STRATEGIES
    statuses = [event_of(made.record("run", 1, 0, made.run(status=i))).data["status"] for i in range(4)]
    assert tuple(statuses) == RUN_STATUSES
    assert tuple(EVENT_TYPES) == TYPES
    assert EVENT_TYPES["run"] == 26
    assert (HOT[-1], COLD[0], COLD[-1]) == ("run", "note", "summary")


def test_a_table_from_before_there_were_shapes() -> None:
    """Its strategies are few, and their numbers 8 bits wide."""
    records = [decided(1, version=1), decided(2, version=1, strategy=0)]
    batch = columns.from_records(made.array(*records), MODELS, [])
    place = batch.schema.get_field_index("strategy")
    short = batch["strategy"].dictionary_decode().dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string()))
    batch = batch.set_column(place, "strategy", short).drop_columns(sorted(columns.LATER))
    assert b"".join(part.tobytes() for part in columns.records(batch, MODELS, [])) == b"".join(records)


def test_many_names_of_strategies() -> None:
    records = [decided(i, strategy=255, chosen=255, name=f"own {i}") for i in range(1, 301)]
    rows = there_and_back(*records)
    assert [row["strategy"] for row in rows] == [f"own {i}" for i in range(1, 301)]
    batch = columns.from_records(made.array(*records), MODELS, [])
    table = pa.Table.from_batches([batch.slice(0, 100), batch.slice(100)]).unify_dictionaries()
    assert b"".join(part.tobytes() for part in columns.records(table, MODELS, [])) == b"".join(records)


def test_the_core_trusts_no_name() -> None:
    found = journal_columns(made.array(decided(1, strategy=255, chosen=255, name="own")), MODELS, [])
    assert found["given"] == ["own"]
    for bad in (
        {"given": []},
        {"chosen": None, "header": None},  # it would be of the first layout, which has no names
        {"chosen": (None, np.array([12], np.int32)), "given": ["own", "other"]},
        {"strategy": (None, np.array([-1], np.int32))},
        {"strategy": (None, np.array([4], np.int32))},  # chosen is given, but this is not
        {"given": ["x" * 70_000]},
    ):
        with pytest.raises(JournalDamagedError):
            journal_rebuild(1, {**found, **bad}, [])


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Decisions of both layouts and runs, in several segments."""
    writer = SegmentWriter(str(tmp_path / "desk"), 4096)
    for i, name in enumerate((*MODELS, "scout")):
        writer.append(made.array(made.record("name", i + 1, 0, made.name(0, i, name))))
    for n in range(1, 61):
        said = {"strategy": 255, "chosen": 255, "name": f"own {n % 2}"} if n % 3 else {"strategy": 10}
        run = made.record("run", 2 * n + 3, n, made.run(cost=n, status=n % 4, tokens=n), model=2)
        writer.append(made.array(decided(2 * n + 2, version=1 if n > 50 else 2, **(said if n <= 50 else {})), run))
    writer.close()
    return tmp_path / "desk"


def test_read_archived_restored_and_exported(desk: Path, tmp_path: Path) -> None:
    before = list(journal.read(desk))
    assert len(list(journal.read(desk, types="run", models="scout"))) == 60
    assert journal.stats(desk).by_type["run"] == 60
    journal.archive(desk)
    assert list(journal.history(desk)) == before
    found = journal.scan(desk, types=["decision", "run"], columns=["strategy", "chosen", "low", "status", "tokens"])
    rows = found.read_all().to_pylist()
    assert len(rows) == 120
    assert {row["strategy"] for row in rows} == {None, "auto", "hedge", "own 0", "own 1"}
    assert sum(row["tokens"] or 0 for row in rows) == 60 * 61 // 2
    kept = journal.dataset(desk).to_table(columns=["chosen", "status"])
    assert kept["chosen"].drop_null().to_pylist().count("own 0") == 17
    assert journal.restore(desk, tmp_path / "again") == len(before)
    assert list(journal.read(tmp_path / "again")) == before
    assert journal.export(desk, tmp_path / "events.jsonl", types=["decision", "run"]) == 120
    lines = [json.loads(line)["data"] for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert (lines[0]["strategy"], lines[0]["high"], lines[1]["status"]) == ("own 1", 0.8, "error")
    assert not math.isnan(lines[1]["cost_usd"])


def test_a_desk_from_before_decisions_told_their_shape(tmp_path: Path) -> None:
    """The fleet that is opened there is the same."""
    new, old = tmp_path / "new", tmp_path / "old"
    hours = count(0, 3600 * 10**9)
    with fl.Fleet.open(new, clock=lambda: next(hours)) as fleet:
        for name in MODELS:
            fleet.add(name)
        for n in range(30):
            task = fl.Task(f"t{n}", category="sums", time=n)
            for k, name in enumerate(MODELS):
                fleet.record(task, fl.Forecast(name, p=(0.2 + 0.02 * n + 0.3 * k) % 1))
            fleet.decide(task, strategy=STRATEGIES[n % 5])  # those that there were
            if n % 4:
                fleet.settle(fl.Outcome(f"t{n}", n % 2, time=n))
        fleet.sync()
        _, _, records = JournalColumns(str(new)).read(keep_records=True)
    writer = SegmentWriter(str(old), 1 << 20)
    for record in made.split(records):
        older = made.first_layout(record) if record[12] == made.CODES["decision"] else record
        writer.append(made.array(older))
    writer.close()
    assert [event.type for event in journal.read(old)] == [event.type for event in journal.read(new)]
    assert all("chosen" not in event.data for event in journal.read(old, types="decision"))
    assert len(list(journal.read(old, types="decision"))) == 30

    def told(folder: Path) -> Any:
        with fl.Fleet.open(folder, clock=lambda: 10**18) as fleet:
            decisions = [fleet.decide(f"t{n}") for n in (0, 4, 8, 28)]
            return repr(fleet.leaderboard()), decisions

    assert told(old) == told(new)


class First(Strategy):
    name = "the first ✂"

    def weigh(self, task: fl.Task, answers: Sequence[Answered]) -> list[float]:
        return [float(i == 0) for i in range(len(answers))]


def test_what_a_fleet_decides_is_what_stands_in_its_journal(tmp_path: Path) -> None:
    tasks = [
        (fl.Task("b"), [{"p": 0.2}, {"p": 0.9}]),
        (fl.Task("c", kind="categorical", labels=("x", "y", "z")), [{"p": (0.2, 0.3, 0.5)}, {"p": (0.6, 0.2, 0.2)}]),
        (fl.Task("n", kind="numeric"), [{"value": -3.0}, {"value": 4.5}]),
    ]
    with fl.Fleet.open(tmp_path) as fleet:
        for name in MODELS:
            fleet.add(name)
        for task, answers in tasks:
            for name, answer in zip(MODELS, answers, strict=True):
                fleet.record(task, fl.Forecast(name, **answer))
        decisions = [fleet.decide(task, strategy=s) for task, _ in tasks for s in (*STRATEGIES, First())]
    events = list(journal.read(tmp_path, types="decision"))
    for decision, event in zip(decisions, events, strict=True):
        assert fl.Decision.from_dict(decision.to_dict()) == decision
        assert (event.data["strategy"], event.data["chosen"]) == (decision.strategy, decision.chosen)
        assert [event.data[name] for name in MEASURES] == [getattr(decision, name) for name in MEASURES]
        assert decision.within >= 0.0
        assert decision.interval is not None
    assert {decision.strategy for decision in decisions} == {*STRATEGIES, "the first ✂"}
    assert {decision.chosen for decision in decisions if decision.strategy == "auto"} < set(STRATEGIES)
    batch = columns.from_records(JournalColumns(str(tmp_path)).read(keep_records=True)[2], MODELS)
    assert batch.filter(columns.of_type(batch, ["decision"]))["payload"].null_count == len(events)
