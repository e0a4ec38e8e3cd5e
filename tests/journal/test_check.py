"""verify, repair and stats: what they find, what they cut, what they say."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path

import pytest

from fairlead import JournalDamagedError, JournalError, JournalLockedError
from fairlead._core import SegmentLog
from fairlead.journal import Recovery, read, repair, stats, verify


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Three segments, the last one open, with marks of what is durable."""
    log = SegmentLog(str(tmp_path), 2500)
    for n in range(60):
        log.append("note", n * 10**9, f"model {n % 2}", None, json.dumps({"n": n}))
        if n % 5 == 0:
            log.sync()
    return tmp_path


def newest(desk: Path) -> Path:
    return max((desk / "segments").glob("*.seg"))


def tear(desk: Path) -> int:
    """Bytes after the last record, as a power cut may leave them. Gives where."""
    path = newest(desk)
    content = path.read_bytes()
    used = (len(content.rstrip(b"\0")) + 7) // 8 * 8
    with path.open("r+b") as file:
        file.seek(used)
        file.write(b"torn by a power cut")
    return used


def damage(desk: Path) -> None:
    """A wrong bit in what a later mark proves to have been durable."""
    path = newest(desk)
    content = bytearray(path.read_bytes())
    content[250] ^= 1
    path.write_bytes(content)


def test_a_whole_journal(desk: Path) -> None:
    report = verify(desk)
    assert report.whole
    assert report.events == 62
    assert [segment.sealed for segment in report.segments] == [True] * (len(report.segments) - 1) + [False]
    assert report.segments[0].first == 1
    assert report.segments[-1].last == 62
    assert report.segments[-1].latest == 59 * 10**9
    assert "62 events checked: all is whole" in str(report)
    assert json.loads(json.dumps(report.to_dict()))["events"] == 62
    assert repair(desk) == Recovery(report.segments[-1].events, 0, "", "")
    assert str(repair(desk)) == "nothing to repair"


def test_a_torn_end_is_told_and_cut_and_kept(desk: Path) -> None:
    used = tear(desk)
    report = verify(desk)
    assert not report.whole
    assert report.segments[-1].torn
    assert report.segments[-1].problem_at == used
    assert f"torn at byte {used:,}" in str(report)
    assert len(list(read(desk))) == 62  # a reader waits there
    found = repair(desk)
    assert found.cut_bytes == 19
    assert found.cut_from == str(newest(desk))
    assert Path(found.kept_in).read_bytes() == b"torn by a power cut"
    assert "cut 19 bytes" in str(found)
    assert (found.given_up, found.given_up_known) == (0, True)  # none of it was durable
    assert "gave up" not in str(found)
    assert verify(desk).whole
    assert found.to_dict()["cut_bytes"] == 19


def test_opening_for_writing_cuts_a_torn_end(desk: Path) -> None:
    tear(desk)
    log = SegmentLog(str(desk))
    assert log.recovery["cut_bytes"] == 19
    assert log.append("note", 0, "model 1", None, "{}") == 63
    assert verify(desk).whole


def test_damage_to_what_was_durable_is_cut_only_where_loss_is_accepted(desk: Path) -> None:
    damage(desk)
    before = newest(desk).read_bytes()
    assert "DAMAGED" in str(verify(desk))
    with pytest.raises(JournalDamagedError, match=r"\.seg is damaged at byte \d+.*repair --accept-loss"):
        SegmentLog(str(desk))
    with pytest.raises(JournalDamagedError, match="--accept-loss"):
        repair(desk)
    assert newest(desk).read_bytes() == before
    found = repair(desk, accept_loss=True)
    assert found.cut_bytes > 100
    assert verify(desk).whole
    left = len(list(read(desk)))
    assert 0 < left < 62
    assert (found.given_up, found.given_up_known) == (62 - left, True)
    assert str(found).endswith(f", and gave up {62 - left} events that were in them")
    assert SegmentLog(str(desk)).append("note", 0, None, None, "{}") == left + 1


def test_where_the_end_cannot_be_read_repair_says_that_it_may_be_more(desk: Path) -> None:
    damage(desk)
    used = tear(desk)
    found = repair(desk, accept_loss=True)
    left = len(list(read(desk)))
    assert (found.given_up, found.given_up_known) == (62 - left, False)
    assert str(found).endswith(f", and gave up {62 - left} events or more that were in them")
    assert Path(found.kept_in).stat().st_size == used + 19 - int(Path(found.kept_in).name.rsplit("-", 1)[1])


def test_an_older_segment_cannot_be_mended(desk: Path) -> None:
    oldest = min((desk / "segments").glob("*.seg"))
    oldest.chmod(0o644)
    content = bytearray(oldest.read_bytes())
    content[300] ^= 8
    oldest.write_bytes(content)
    with pytest.raises(JournalDamagedError, match="cannot be mended"):
        repair(desk, accept_loss=True)
    report = verify(desk)
    assert [bool(segment.problem) for segment in report.segments] == [True] + [False] * (len(report.segments) - 1)
    assert f"1 of {len(report.segments)} segments not whole" in str(report)
    assert report.segments[0].sealed
    assert "sealed  DAMAGED at byte" in str(report.segments[0])
    oldest.write_bytes(content[:500])
    short = verify(desk).segments[0]
    assert short.sealed
    assert not short.torn
    oldest.write_bytes(b"not a segment")
    assert verify(desk).segments[0].sealed


# Between two records, within one, and where what is left is zeros.
@pytest.mark.parametrize(("kept", "zeros", "cut"), [(240, 0, 0), (250, 0, 10), (250, 300, 10), (240, 300, 0)])
def test_a_sealed_segment_that_was_cut_short_is_damage(tmp_path: Path, kept: int, zeros: int, cut: int) -> None:
    log = SegmentLog(str(tmp_path))
    for _ in range(10):
        log.append("note", 0, None, None, "{}")
    log.close()
    path = newest(tmp_path)
    size = path.stat().st_size
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[: 64 + kept] + bytes(zeros))
    report = verify(tmp_path)
    assert not report.whole
    segment = report.segments[0]
    assert (segment.sealed, segment.torn, segment.problem_at) == (True, False, 304)
    assert "sealed  DAMAGED at byte 304" in str(report)
    assert segment.problem.endswith(f"the segment was sealed with {size} bytes")
    for refuse in (SegmentLog, repair):
        with pytest.raises(JournalDamagedError, match="was sealed"):
            refuse(str(tmp_path))
    found = repair(tmp_path, accept_loss=True)
    assert (found.cut_bytes, found.given_up, found.given_up_known) == (cut, 5, True)
    assert str(found).endswith("gave up 5 events that were in them" if cut else "gave up 5 events that are not there")
    assert len(list(read(tmp_path))) == 5
    assert verify(tmp_path).whole


def test_a_sealed_segment_with_a_wrong_bit_was_sealed(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path))
    for _ in range(10):
        log.append("note", 0, None, None, "{}")
    log.close()
    newest(tmp_path).chmod(0o644)
    damage(tmp_path)
    assert "sealed  DAMAGED at byte" in str(verify(tmp_path))
    newest(tmp_path).with_suffix(".idx").unlink()  # then its seal tells
    assert "sealed  DAMAGED at byte" in str(verify(tmp_path))
    found = repair(tmp_path, accept_loss=True)
    assert (found.given_up, found.given_up_known) == (10 - len(list(read(tmp_path))), True)
    assert verify(tmp_path).whole


def test_repair_waits_for_no_writer(desk: Path) -> None:
    with (desk / "lock").open("w+") as lock:
        lock.write("process 12 of host a")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalLockedError, match="process 12 of host a"):
            repair(desk)
    assert repair(desk).cut_bytes == 0


def test_no_journal(tmp_path: Path) -> None:
    for check in (verify, repair, stats):
        with pytest.raises(JournalError, match="there is no journal"):
            check(tmp_path)


def test_stats(desk: Path) -> None:
    found = stats(desk)
    assert found.events == 62
    assert found.by_type == {"name": 2, "note": 60}
    assert (found.first, found.last) == (1, 62)
    assert (found.earliest, found.latest) == (0, 59 * 10**9)
    assert found.models == ("model 0", "model 1")
    assert found.categories == ()
    assert found.segments == len(verify(desk).segments)
    assert found.bytes == sum(segment.bytes for segment in verify(desk).segments)
    assert found.bytes_per_event == found.bytes / 62
    assert "62 events, numbers 1 to 62" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["by_type"]["note"] == 60
    empty = desk / "empty"
    SegmentLog(str(empty)).close()
    assert str(stats(empty)) == "no events in 1 segments"
    assert stats(empty).bytes_per_event == 0.0
