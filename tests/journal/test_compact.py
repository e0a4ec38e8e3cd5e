"""Compaction: what is old leaves its summaries and is archived; a crash after any step loses and doubles nothing."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
import record_bytes as made

import fairlead.journal as journal
from fairlead._core import SegmentWriter
from fairlead.errors import InvalidRecordError, JournalError, JournalLockedError
from fairlead.journal import Journal
from fairlead.journal import manifest as manifests
from fairlead.journal.folder import segments

HOUR = 3600 * 10**9
DAY = 24 * HOUR


class Stopped(Exception):
    """The crash that a test asked for."""


def fill(folder: Path, tasks: int = 120, segment_bytes: int = 8192) -> None:
    """Two models and two categories; a task every 20 minutes, settled 50 minutes later; each fifth one never."""
    log = SegmentWriter(str(folder), segment_bytes)
    names = [made.name(0, 0, "gpt"), made.name(0, 1, "llama"), made.name(1, 0, "crypto"), made.name(1, 1, "weather")]
    rows = [(0, "name", part, {}) for part in names]
    for n in range(1, tasks + 1):
        time, about = n * HOUR // 3, {"category": n % 2}
        rows.append((time, "task", made.task(n, f"t{n}", ("crypto", "weather")[n % 2]), about))
        for model in (0, 1):
            payload = made.forecast(n, 0.25 * (1 + (n + model) % 3), cost=0.5, latency=100.0 + model, tokens=(10, 2))
            rows.append((time, "forecast", payload, {**about, "model": model}))
        if n % 7 == 0:
            rows.append((time, "forecast", made.forecast(n, made.NAN, error="busy", cost=0.25), {**about, "model": 1}))
        if n % 5:
            rows.append((time + 50 * HOUR // 60, "outcome", made.outcome(n, n % 2), about))
        if n % 10 == 0:
            rows.append((time, "note", made.cold(n=n), {"model": 0}))
    rows.sort(key=lambda row: row[0])
    for seq, (time, kind, payload, about) in enumerate(rows, 1):
        log.append(made.array(made.record(kind, seq, time, payload, **about)))
    log.close()


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    fill(folder)
    return folder


def events(folder: Path) -> list[tuple[object, ...]]:
    """All there is, archived and live, but for what compaction adds itself."""
    rows = journal.scan(folder).read_all().to_pylist()
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    return [tuple(map(str, row.values())) for row in rows if row["type"] != "summary"]


def summaries(folder: Path) -> list[dict[str, object]]:
    rows = journal.scan(folder, types="summary", columns=["data"]).read_all()["data"].to_pylist()
    return [json.loads(row) for row in rows]


def test_what_is_old_goes_and_nothing_is_lost(desk: Path) -> None:
    before = events(desk)
    found = segments(desk)
    report = journal.compact(desk, keep="10h")
    assert report.first == 1
    assert report.segments >= 3
    assert segments(desk)[0].first == report.last + 1
    assert not found[0].path.exists()
    assert not found[0].path.with_suffix(".idx").exists()
    assert events(desk) == before
    newest = 120 * HOUR // 3 + 50 * HOUR // 60
    # Oldest first, and none that holds an event of the last ten hours.
    for row in journal.scan(desk, last=report.last, columns=["time"]).read_all()["time"].cast("int64").to_pylist():
        assert row < newest - 10 * HOUR
    assert journal.verify(desk).whole
    assert journal.verify_archive(desk).whole
    assert f"{report.segments} segments removed" in str(report)
    assert str(journal.compact(desk, keep="10h")).startswith("nothing to compact")


def test_the_summaries_add_up(desk: Path) -> None:
    whole = journal.scan(desk).read_all().to_pylist()
    journal.compact(desk, keep="15h", window="3h")
    first = len(summaries(desk))
    journal.compact(desk, keep="5h", window="3h")
    found = summaries(desk)
    assert 0 < first < len(found)
    last = max(row["last"] for row in found)

    # Counted by hand from the rows, task by task.
    calls: dict[tuple[int, str], list[dict[str, object]]] = {}
    expected: Counter[tuple[object, ...]] = Counter()
    for row in whole[:last]:
        if row["type"] == "forecast":
            calls.setdefault((row["task"], row["model"]), []).append(row)
        if row["type"] == "outcome":
            time = row["time"].value if hasattr(row["time"], "value") else int(row["time"].timestamp() * 1e9)
            for model in ("gpt", "llama"):
                made_calls = calls[row["task"], model]
                answer = next(call for call in reversed(made_calls) if call["error"] is None)
                key = (time // (3 * HOUR) * 3 * HOUR, model, row["category"])
                p = answer["value"]
                expected[(*key, "n")] += 1
                expected[(*key, "calls")] += len(made_calls)
                expected[(*key, "failed")] += sum(call["error"] is not None for call in made_calls)
                expected[(*key, "cost_usd")] += sum(call["cost_usd"] for call in made_calls)
                expected[(*key, "tokens_in")] += sum(call["tokens_in"] for call in made_calls)
                expected[(*key, "loss")] += (p - row["value"]) ** 2
                expected[(*key, "log_loss")] -= math.log(p if row["value"] else 1 - p)
    got: Counter[tuple[object, ...]] = Counter()
    for row in found:
        assert row["end"] - row["start"] == 3 * HOUR
        assert row["kind"] == "binary"
        for name in ("n", "calls", "failed", "cost_usd", "tokens_in", "loss", "log_loss"):
            got[row["start"], row["model"], row["category"], name] += row[name]
    assert set(got) == set(expected)
    for key, value in expected.items():
        assert got[key] == pytest.approx(value, rel=1e-12), key


def test_a_task_that_was_opened_before_the_last_compaction(desk: Path) -> None:
    report = journal.compact(desk, keep="15h")
    opened = journal.scan(desk, types="task", last=report.last, columns=["task"]).read_all()["task"].to_pylist()
    ended = journal.scan(desk, types="outcome", last=report.last, columns=["task"]).read_all()["task"].to_pylist()
    assert [task for task in set(opened) - set(ended) if task % 5]
    journal.compact(desk, keep=0, window="1000h")
    total = sum(row["n"] for row in summaries(desk))
    last = max(row["last"] for row in summaries(desk))
    outcomes = journal.scan(desk, types="outcome", last=last, columns=["seq"]).read_all()
    assert total == 2 * outcomes.num_rows


STEPS = ["written", "checked", "renamed", "files", "manifest"]
STEPS += ["snapshot", "begun", "summary", "summaries", "removed", "done"]


@pytest.mark.parametrize("where", STEPS)
@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.filterwarnings("ignore::fairlead.errors.JournalWarning")
def test_a_crash_after_each_step(desk: Path, tmp_path: Path, where: str, nth: int) -> None:
    before = events(desk)
    twin = tmp_path / "twin"
    fill(twin)
    journal.compact(twin, keep="10h")
    seen = Counter[str]()

    def step(name: str) -> None:
        seen[name] += 1
        if name == where and seen[name] == nth:
            raise Stopped

    if nth == 3 and where not in ("summary", "removed"):
        return
    with pytest.raises(Stopped):
        journal.compact(desk, keep="10h", step=step)
    assert events(desk) == before
    with Journal(desk) as log:  # it opens, and takes more
        log.note("after the crash", time=5)
    assert len(events(desk)) == len(before) + 1
    journal.compact(desk, keep="10h")
    assert events(desk)[: len(before)] == before
    assert manifests.load(desk).compacting is None
    assert summaries(desk) == summaries(twin)
    assert segments(desk)[0].first == segments(twin)[0].first
    assert journal.verify(desk).whole
    assert journal.verify_archive(desk).problems == ()


def test_within_the_process_that_writes(desk: Path) -> None:
    before = len(events(desk))
    with Journal(desk) as log:
        with pytest.raises(JournalLockedError):
            journal.compact(desk, keep="10h")
        for n in range(100):
            log.note(f"meanwhile {n}", time=41 * HOUR)
        report = journal.compact(log, keep="10h")
        assert report.segments > 0
        log.note("and afterwards", time=42 * HOUR)
        log.wait_durable()
        assert len(events(desk)) == before + 101
    assert len(events(desk)) == before + 101
    assert len(summaries(desk)) == report.summaries


def test_before_a_time(desk: Path) -> None:
    report = journal.compact(desk, before="1970-01-01T20:00:00")
    assert report.segments > 0
    times = journal.scan(desk, last=report.last, columns=["time"]).read_all()["time"].cast("int64").to_pylist()
    assert max(times) < 20 * HOUR
    for wrong, said in [
        ({"keep": "1d", "before": 5}, "keep and before are both given"),
        ({"window": 0}, "window is 0"),
        ({"keep": "long"}, "keep is 'long'"),
        ({"before": "soon"}, "before is 'soon'"),
    ]:
        with pytest.raises(InvalidRecordError, match=said):
            journal.compact(desk, **wrong)
    with pytest.raises(JournalError, match="there is no journal"):
        journal.compact(desk / "nothing")


def test_a_fleets_journal_needs_a_snapshot(tmp_path: Path) -> None:
    log = SegmentWriter(str(tmp_path), 8192)
    log.append(made.array(made.record("settings", 1, 0, made.cold())))
    for seq in range(2, 500):
        log.append(made.array(made.record("closed", seq, seq, made.closed(seq))))
    log.close()
    found = segments(tmp_path)
    with pytest.raises(JournalError, match="is a fleet's, and its newest snapshot is of event 0"):
        journal.compact(tmp_path, keep=0)
    with pytest.raises(JournalError, match="is a fleet's"):
        journal.compact(tmp_path, keep=0, ensure_snapshot=lambda seq: None)
    assert segments(tmp_path)[: len(found) - 1] == found[:-1]
    assert manifests.load(tmp_path).compacting is None
    asked = []

    def ensure(seq: int) -> None:
        asked.append(seq)
        (tmp_path / "snapshots" / f"{seq:020}.fleet").write_bytes(b"a snapshot")

    # One of an event that the journal has lost is of no use.
    (tmp_path / "snapshots").mkdir()
    ahead = tmp_path / "snapshots" / f"{10**9:020}.fleet"
    ahead.write_bytes(b"of a journal that was cut")
    with pytest.raises(JournalError, match="is a fleet's, and its newest snapshot is of event 0"):
        journal.compact(tmp_path, keep=0)
    report = journal.compact(tmp_path, keep=0, ensure_snapshot=ensure)
    assert asked == [report.last]
    assert report.segments > 0
    # One that is new enough is not written again.
    with Journal(tmp_path, segment_bytes=4096) as writer:
        for _ in range(200):
            writer.note("more", time=10**6)
        writer.wait_durable()
        end = writer.accepted
        (tmp_path / "snapshots" / f"{end:020}.fleet").write_bytes(b"a snapshot")
        assert journal.compact(writer, keep=0, ensure_snapshot=ensure).segments > 0
    assert asked == [report.last]


def test_restore_from_the_very_beginning(desk: Path, tmp_path: Path) -> None:
    before = events(desk)
    journal.compact(desk, keep="10h")
    n = journal.restore(desk, tmp_path / "again", segment_bytes=1 << 16)
    assert n == len(before) + len(summaries(desk))
    assert events(tmp_path / "again") == before
    assert journal.verify(tmp_path / "again").whole
    assert segments(tmp_path / "again")[0].journal == segments(desk)[0].journal
    assert list(journal.read(tmp_path / "again"))[: len(before)]
    with Journal(tmp_path / "again") as log:
        log.note("it goes on")
    with pytest.raises(JournalError, match="exists already"):
        journal.restore(desk, tmp_path / "again")
    (file,) = (desk / "archive").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(JournalError, match=file.name):
        journal.restore(desk, tmp_path / "third")
    assert not list(tmp_path.glob("third*"))
