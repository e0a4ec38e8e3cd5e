"""Summaries: numbers that JSON lacks, in no more memory than a part takes, and still there when the archive is not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import record_bytes as made

import fairlead.journal as journal
from fairlead._core import SegmentWriter
from fairlead.errors import InvalidRecordError, JournalError
from fairlead.journal import Journal
from fairlead.journal import manifest as manifests
from fairlead.journal.folder import segments
from fairlead.journal.parquet import EventFile
from fairlead.journal.quotas import usage

HOUR = 3600 * 10**9
INF = math.inf


class Stopped(Exception):
    """The crash that a test asked for."""


def fill(folder: Path, tasks: int, first: int = 1, costs: dict[int, list[float]] | None = None, bulk: int = 0) -> None:
    """A task an hour, settled at once; the calls of task n cost what `costs` says, or 0.5. bulk: bytes beside it."""
    log = SegmentWriter(str(folder), 4096)
    rows = [] if log.written else [(0, "name", made.name(0, 0, "gpt"), {})]
    for n in range(first, first + tasks):
        rows.append((n * HOUR, "task", made.task(n, f"t{n}"), {}))
        rows += [
            (n * HOUR, "forecast", made.forecast(n, 0.75, cost=cost, latency=2.0), {"model": 0})
            for cost in (costs or {}).get(n, [0.5])
        ]
        rows.append((n * HOUR + 1, "outcome", made.outcome(n, 1.0), {}))
        rows += [(n * HOUR + 1, "custom", bytes(bulk), {})] * (bulk > 0)
    start = log.written + 1
    records = [
        made.record(kind, seq, time, payload, **about) for seq, (time, kind, payload, about) in enumerate(rows, start)
    ]
    for at in range(0, len(records), 20):
        log.append(made.array(*records[at : at + 20]))
    log.close()


def summaries(folder: Path) -> list[dict[str, object]]:
    """All of them, archived and live."""
    return [dict(event.data) for event in journal.history(folder, types="summary")]


@pytest.mark.parametrize("how", ["compact", "quota"])
def test_costs_that_are_no_numbers(tmp_path: Path, how: str) -> None:
    strange = {3: [math.nan], 4: [math.nan, 0.25], 5: [INF], 6: [-INF], 7: [1e308, 1e308], 8: [INF, -INF]}
    fill(tmp_path, 60, costs=strange, bulk=400)
    before = journal.scan(tmp_path, types="forecast", columns=["cost_usd"]).read_all()["cost_usd"].to_pylist()
    if how == "compact":
        assert journal.compact(tmp_path, keep=0, window="1h").segments > 0
    else:
        report = journal.enforce_quota(tmp_path, 1, window="1h")
        assert report.compacted > 0
    found = {row["start"] // HOUR: row for row in summaries(tmp_path)}
    told = {n: (found[n]["cost_usd"], found[n]["unpriced"], found[n]["calls"]) for n in range(2, 9)}
    assert told == {
        2: (0.5, 0, 1),
        3: (0.0, 1, 1),
        4: (0.25, 1, 2),
        5: ("Infinity", 0, 1),
        6: ("-Infinity", 0, 1),
        7: ("Infinity", 0, 2),
        8: (None, 0, 2),
    }
    if how == "compact":
        after = journal.scan(tmp_path, types="forecast", columns=["cost_usd"]).read_all()["cost_usd"].to_pylist()
        assert list(map(str, after)) == list(map(str, before))


def test_a_quota_tells_what_it_could_not_do(tmp_path: Path) -> None:
    fill(tmp_path, 60)
    assert journal.archive(tmp_path, through=50).rows
    assert journal.compact(tmp_path, keep=0).segments > 0
    fill(tmp_path, 60, 61)
    log = SegmentWriter(str(tmp_path), 4096)
    log.append(made.array(made.record("settings", log.written + 1, 0, made.cold())))
    log.close()

    def ensure(seq: int) -> None:
        raise InvalidRecordError("no snapshot today")

    assert journal.archive(tmp_path).rows
    report = journal.enforce_quota(tmp_path, 1, ensure_snapshot=ensure)
    assert not report.met
    assert report.in_the_way[0] == "no snapshot today"
    assert report.dropped == ()  # what compacting might have spared


def test_a_compaction_that_was_cut_short_keeps_what_it_is_of(tmp_path: Path) -> None:
    """Its segments are gone, the files are all there is: they stay until it is ended."""
    with Journal(tmp_path, segment_bytes=4096) as log:
        for n in range(200):
            log.note(f"note {n}", time=n)
    journal.archive(tmp_path, through=100)
    gone = len(segments(tmp_path)) - 1

    def step(name: str) -> None:
        nonlocal gone
        gone -= name == "removed"
        if gone == 0:
            raise Stopped

    with pytest.raises(Stopped):
        journal.compact(tmp_path, keep=0, step=step)
    assert len(segments(tmp_path)) == 1
    report = journal.enforce_quota(tmp_path, 0)
    assert report.dropped
    assert manifests.load(tmp_path).compacting is None
    with Journal(tmp_path, segment_bytes=4096) as log:
        for n in range(200):
            log.note(f"note {n}", time=10**6)
    assert journal.compact(tmp_path, keep=0).segments > 0


def test_memory_is_that_of_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many events are folded, few of them are there at a time."""
    fill(tmp_path, 4000)
    journal.archive(tmp_path)
    rows, seen = 500, []
    monkeypatch.setattr("fairlead.journal.summaries._ROWS", rows)
    batches = EventFile.batches

    def counted(self: EventFile, *how: object, **named: object) -> Iterator[pa.RecordBatch]:
        for batch in batches(self, *how, **named):
            seen.append((batch.num_rows, pa.total_allocated_bytes()))
            yield batch

    monkeypatch.setattr(EventFile, "batches", counted)
    manifest = manifests.load(tmp_path)
    found = journal_summaries(tmp_path, manifest, manifest.archived_to())
    assert sum(row["n"] for row in found) > 3900
    assert max(n for n, _ in seen) == rows
    taken = [bytes - seen[0][1] for _, bytes in seen]
    one = max(taken[:6])
    assert max(taken) < one + 12_000 * 8 + 400_000, taken


def journal_summaries(folder: Path, manifest: manifests.Manifest, last: int) -> list[dict[str, object]]:
    from fairlead.journal.summaries import summarise

    return summarise(folder, manifest, 1, last, HOUR)


def test_the_pieces_make_no_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 300)
    journal.archive(tmp_path)
    manifest = manifests.load(tmp_path)
    whole = journal_summaries(tmp_path, manifest, manifest.archived_to())
    monkeypatch.setattr("fairlead.journal.summaries._ROWS", 7)
    assert journal_summaries(tmp_path, manifest, manifest.archived_to()) == whole


def grown(folder: Path) -> list[dict[str, object]]:
    """A journal compacted three times, so that the first summaries are archived themselves."""
    for part in range(3):
        fill(folder, 120, 1 + 120 * part)
        journal.compact(folder, keep=0)
    return summaries(folder)


def test_summaries_stay_when_the_quota_drops_what_they_are_of(tmp_path: Path) -> None:
    before = grown(tmp_path)
    ranges = sorted({(row["first"], row["last"]) for row in before})
    assert len(ranges) == 3
    live = {event.seq for event in journal.read(tmp_path, types="summary")}
    assert {event.seq for event in journal.history(tmp_path, types="summary")} > live  # some are archived
    numbers = [event.seq for event in journal.history(tmp_path, types="summary")]
    report = journal.enforce_quota(tmp_path, 0)
    after = summaries(tmp_path)
    assert after[: len(before)] == before
    assert len({json.dumps(row) for row in after}) == len(after)
    assert [event.seq for event in journal.history(tmp_path, types="summary")][: len(numbers)] == numbers
    assert report.dropped
    assert any("files of summaries" in what for what in report.in_the_way)
    assert manifests.load(tmp_path).summaries
    with pytest.raises(JournalError, match=r"events 1 to .* dropped"):  # summaries are not the events
        journal.restore(tmp_path, tmp_path / "again")
    assert not journal.scan(tmp_path, types="forecast", last=segments(tmp_path)[0].first - 1).read_all().num_rows
    check = journal.verify_archive(tmp_path)
    assert (check.problems, check.strays) == ((), ())
    # Once more changes nothing.
    again = journal.enforce_quota(tmp_path, 0)
    assert again.dropped == ()
    assert summaries(tmp_path) == after


STEPS = ["written", "checked", "kept", "told", "dropped"]


@pytest.mark.parametrize("where", STEPS)
@pytest.mark.parametrize("nth", [1, 2])
def test_a_crash_while_summaries_are_kept(tmp_path: Path, where: str, nth: int) -> None:
    grown(tmp_path)
    journal.enforce_quota(
        tmp_path, usage(tmp_path)["segments"] // 3 + usage(tmp_path)["archive"]
    )  # no step of archiving
    before = summaries(tmp_path)
    archive = {path.name for path in (tmp_path / "archive").glob("*.parquet")}
    seen = 0

    def step(name: str) -> None:
        nonlocal seen
        seen += name == where
        if name == where and seen == nth:
            raise Stopped

    with pytest.raises(Stopped):
        journal.enforce_quota(tmp_path, 0, step=step)
    assert summaries(tmp_path)[: len(before)] == before
    assert journal.verify_archive(tmp_path).problems == ()
    with Journal(tmp_path) as log:
        log.note("it goes on", time=5)
    journal.enforce_quota(tmp_path, "1GB")
    assert journal.verify_archive(tmp_path).strays == ()  # what the crash left is cleared away
    assert summaries(tmp_path)[: len(before)] == before
    journal.enforce_quota(tmp_path, 0)
    assert summaries(tmp_path)[: len(before)] == before
    check = journal.verify_archive(tmp_path)
    assert (check.problems, check.strays) == ((), ())
    assert not list((tmp_path / "archive").glob("*.tmp"))
    assert {path.name for path in (tmp_path / "archive").glob("*.parquet")} != archive
