"""The quota: whatever is written, compacted, held and dropped, what is not archived or is held is never lost."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
import record_bytes as made
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead.journal as journal
from fairlead._core import SegmentWriter
from fairlead.errors import InvalidRecordError, JournalDamagedError
from fairlead.journal import Journal
from fairlead.journal import manifest as manifests
from fairlead.journal.folder import segments
from fairlead.journal.quotas import usage

HOUR = 3600 * 10**9


def fill(folder: Path, first: int, n: int, segment_bytes: int = 8192) -> None:
    log = SegmentWriter(str(folder), segment_bytes)
    for seq in range(first, first + n):
        log.append(made.array(made.record("custom", seq, seq * HOUR, bytes([seq * 7 % 251, seq * 31 % 256]) * 40)))
    log.close()


def seqs(folder: Path) -> set[int]:
    return set(journal.scan(folder, columns=["seq"], types=["custom"]).read_all()["seq"].to_pylist())


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Five files in the archive, and what is live."""
    folder = tmp_path / "desk"
    for part in range(5):
        fill(folder, 1 + 200 * part, 200)
        journal.archive(folder)
    fill(folder, 1001, 200)
    return folder


def total(folder: Path) -> int:
    return sum(usage(folder).values())


def test_no_more_than_is_needed(desk: Path) -> None:
    before = total(desk)
    report = journal.enforce_quota(desk, before + 5000)
    assert (report.met, report.archived, report.compacted, report.dropped) == (True, 0, 0, ())
    report = journal.enforce_quota(desk, total(desk) - 10_000)
    assert report.met
    assert report.compacted > 0
    assert report.dropped == ()
    assert seqs(desk) >= set(range(1, 1201))
    archived_first = len(segments(desk))
    report = journal.enforce_quota(desk, total(desk) * 9 // 10)
    assert report.met
    assert len(segments(desk)) < archived_first


def test_the_oldest_files_go_when_nothing_else_helps(desk: Path) -> None:
    journal.compact(desk, keep=0)
    size = total(desk)
    report = journal.enforce_quota(desk, size - 100)
    assert report.met
    assert report.dropped == ("00000000000000000001.parquet",)
    assert report.dropped_events == 200
    assert seqs(desk) == set(range(201, 1201))
    assert journal.verify_archive(desk).whole
    assert "1 archived files with 200 events dropped" in str(report)
    with pytest.raises(journal_error(), match="events 1 to 200 were dropped by a quota"):
        journal.restore(desk, desk.parent / "again")


def journal_error() -> type[Exception]:
    from fairlead.errors import JournalError

    return JournalError


def test_what_is_held_stays_and_is_told(desk: Path) -> None:
    journal.compact(desk, keep=0)
    journal.hold(desk, "audit", 100 * HOUR, 150 * HOUR, "asked for")
    journal.hold(desk, "other", 450 * HOUR, 451 * HOUR)
    report = journal.enforce_quota(desk, 0)
    assert not report.met
    assert {f.first for f in manifests.load(desk).files} >= {1, 401}
    assert seqs(desk) >= set(range(1, 201)) | set(range(401, 601))
    assert not seqs(desk) & set(range(201, 401))
    assert "hold 'audit' keeps 2 files of the archive" in str(report)  # its note is in the second
    assert any("segments that are not archived or still needed" in what for what in report.in_the_way)
    assert report.to_dict()["met"] is False
    journal.release(desk, "audit")
    journal.enforce_quota(desk, 0)
    assert not seqs(desk) & set(range(1, 201))
    assert seqs(desk) >= set(range(401, 601))


def test_a_hold_keeps_its_own_note(tmp_path: Path) -> None:
    fill(tmp_path, 1, 200)
    journal.archive(tmp_path)
    assert journal.hold(tmp_path, "early", 0, 201 * HOUR, "asked for").note == 201
    journal.hold(tmp_path, "ended", 5, 6)
    journal.release(tmp_path, "ended")
    fill(tmp_path, 204, 200)
    journal.archive(tmp_path)
    fill(tmp_path, 404, 200)
    journal.compact(tmp_path, keep=0)
    report = journal.enforce_quota(tmp_path, 1)
    assert report.dropped == ()
    assert not report.met
    assert any("hold 'early' keeps 2 files" in what for what in report.in_the_way)
    assert [event.seq for event in journal.history(tmp_path, types="note")] == [201, 202, 203]
    journal.restore(tmp_path, tmp_path.parent / f"{tmp_path.name}-again")
    # One that was made before its note was written, or by an older version, knows of none: it holds its time alone.
    path = tmp_path / "archive" / "holds.json"
    path.write_text(path.read_text().replace(',\n   "note": 201', ""))
    assert journal.holds(tmp_path)[0].note is None
    assert len(journal.enforce_quota(tmp_path, 1).dropped) == 1


def test_the_holds(desk: Path) -> None:
    with Journal(desk) as log:
        made_hold = journal.hold(log, "a", "1970-01-02", None, "why")
        assert (made_hold.start, made_hold.end) == (24 * HOUR, None)
        # Beside a writer in another process the hold is there at once, and its note when the writer compacts.
        journal.hold(desk, "b", end=5)
        assert [hold.name for hold in journal.holds(desk)] == ["a", "b"]
        assert len(list(journal.read(desk, types="note"))) == 1
        journal.compact(log)
        log.wait_durable()
    notes = [event.data for event in journal.read(desk, types="note")]
    assert [note["hold"]["name"] for note in notes] == ["a", "b"]
    journal.release(desk, "a")
    assert [event.data for event in journal.read(desk, types="note")][-1] == {"release": "a"}
    for call, said in [
        (lambda: journal.hold(desk, "b"), "there is a hold of this name already"),
        (lambda: journal.hold(desk, ""), "name is empty"),
        (lambda: journal.hold(desk, 5), "name is 5, must be text"),
        (lambda: journal.hold(desk, "\ud800"), "name is '.ud800', must be text"),
        (lambda: journal.hold(desk, "c", reason=7), "reason is 7, must be text"),
        (lambda: journal.hold(desk, "c", reason="\udfff"), "reason is '.udfff', must be text"),
        (lambda: journal.hold(desk, "c", reason="x" * (1 << 20)), "more than a note takes"),
        (lambda: journal.release(desk, 5), "name is 5: there is no hold of this name"),
        (lambda: journal.hold(desk, "c", 5, 5), "end is 5, must be after start, 5"),
        (lambda: journal.hold(desk, "c", "soon"), "start is 'soon'"),
        (lambda: journal.release(desk, "a"), "there is no hold of this name"),
        (lambda: journal.enforce_quota(desk, -1), "max_bytes is -1"),
        (lambda: journal.enforce_quota(desk, 1, window=0), "window is 0"),
    ]:
        with pytest.raises(InvalidRecordError, match=said):
            call()
    assert [hold.name for hold in journal.holds(desk)] == ["b"]
    # What may just be held can be told.
    journal.hold(desk, "c", reason='\u00fc"' * 250_000)
    assert len(list(journal.read(desk, types="note"))) == 4


def test_nothing_is_dropped_while_the_holds_are_damaged(desk: Path) -> None:
    journal.hold(desk, "a", 0, 10)
    path = desk / "archive" / "holds.json"
    for bad in ("{", "[]", '{"format": "fairlead-holds", "version": 2}', path.read_text().replace("start", "begin")):
        path.write_text(bad)
        with pytest.raises(JournalDamagedError, match=r"holds.json is no list of holds"):
            journal.enforce_quota(desk, 0)
    assert seqs(desk) == set(range(1, 1201))


@pytest.mark.parametrize("where", ["told", "dropped"])
def test_a_crash_while_files_are_dropped(desk: Path, where: str) -> None:
    journal.compact(desk, keep=0)

    def step(name: str) -> None:
        if name == where:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.enforce_quota(desk, total(desk) - 10, step=step)
    assert journal.verify_archive(desk).whole
    assert seqs(desk) == set(range(201, 1201))
    journal.enforce_quota(desk, total(desk) + 100_000)
    assert journal.verify_archive(desk).strays == ()


STEP = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 150)),
    st.tuples(st.just("archive"), st.none()),
    st.tuples(st.just("compact"), st.integers(0, 300)),
    st.tuples(st.just("quota"), st.integers(0, 60_000)),
    st.tuples(st.just("hold"), st.tuples(st.integers(0, 600), st.integers(1, 100))),
    st.tuples(st.just("release"), st.none()),
)


@settings(max_examples=25)
@given(steps=st.lists(STEP, min_size=3, max_size=14))
def test_nothing_unarchived_or_held_is_ever_lost(steps: list[tuple[str, object]]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        there: set[int] = set()  # a program's own events, by their numbers
        dropped: set[int] = set()
        held: dict[str, tuple[int, int]] = {}
        with Journal(folder, segment_bytes=8192) as log:
            for n, (what, value) in enumerate(steps):
                if what == "write":
                    for _ in range(value):
                        seq = log.append("custom", b"x" * 80, time=(len(there) + len(dropped) + 1) * HOUR)
                        there.add(seq)
                    log.wait_durable()
                elif what == "archive":
                    journal.archive(folder)
                elif what == "compact":
                    journal.compact(log, keep=value * HOUR)
                elif what == "hold":
                    held[f"h{n}"] = (value[0] * HOUR, sum(value) * HOUR)
                    journal.hold(log, f"h{n}", *held[f"h{n}"])
                elif what == "release" and held:
                    name, _ = held.popitem()
                    journal.release(log, name)
                elif what == "quota":
                    live = segments(folder)[0].first if segments(folder) else 1
                    times = dict(
                        zip(
                            *(
                                journal.scan(folder, types="custom").read_all()[c].cast("int64").to_pylist()
                                for c in ("seq", "time")
                            ),
                            strict=True,
                        )
                    )
                    report = journal.enforce_quota(log, value)
                    lost = there - seqs(folder)
                    assert report.met or report.in_the_way
                    if lost:
                        gone = manifests.load(folder).dropped
                        assert all(any(file.first <= seq <= file.last for file in gone) for seq in lost)
                        assert max(lost) < segments(folder)[0].first
                        for start, end in held.values():
                            assert not any(start <= times[seq] < end for seq in lost)
                    assert segments(folder)[0].first >= live
                    there -= lost
                    dropped |= lost
                assert seqs(folder) == there
                assert journal.verify_archive(folder).whole
        assert seqs(folder) == there
    finally:
        shutil.rmtree(folder)
