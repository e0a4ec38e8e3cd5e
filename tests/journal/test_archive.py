"""Archiving: what is written is read back and compared before the manifest names it; damage is found and named."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import record_bytes as made

import fairlead.journal as journal
from fairlead._core import JournalColumns, SegmentWriter
from fairlead.errors import JournalDamagedError, JournalError, JournalLockedError
from fairlead.journal import manifest as manifests
from fairlead.journal.folder import archive_lock, segments
from fairlead.journal.parquet import EventFile


class Stopped(Exception):
    """The crash that a test asked for."""


def fill(folder: Path, first: int = 1, last: int = 300, segment_bytes: int = 8192) -> None:
    log = SegmentWriter(str(folder), segment_bytes)
    for seq in range(first, last + 1):
        if seq <= 2:
            log.append(made.array(made.record("name", seq, 0, made.name(0, seq - 1, f"m{seq}"))))
        elif seq % 10 == 0:
            log.append(made.array(made.record("note", seq, -seq, made.cold(n=seq))))
        else:
            log.append(
                made.array(made.record("forecast", seq, seq, made.forecast(seq, p=[0.1] * (seq % 3)), model=seq % 2))
            )
    log.close()


def live_records(folder: Path, first: int = 1) -> bytes:
    reader = JournalColumns(str(folder), first=first)
    out = []
    while (found := reader.read(keep_records=True)) is not None:
        out.append(found[2].tobytes())
    return b"".join(out)


def archived_records(folder: Path) -> bytes:
    parts = []
    for entry in manifests.load(folder).files:
        parts += [records.tobytes() for records in EventFile(folder / "archive" / entry.file).records()]
    return b"".join(parts)


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    fill(folder)
    return folder


def test_what_the_manifest_says(desk: Path) -> None:
    before = segments(desk)
    report = journal.archive(desk)
    assert report.rows == 300
    assert report.bytes == sum(path.stat().st_size for path in (desk / "archive").glob("*.parquet"))
    assert "300 events archived" in str(report)
    manifest = manifests.load(desk)
    assert manifest.journal == before[0].journal
    (file,) = manifest.files
    assert (file.first, file.last, file.rows) == (1, 300, 300)
    assert file.types == {"name": 2, "note": 30, "forecast": 268}
    assert (file.start, file.end) == (-300, 299)
    assert [s["file"] for s in file.segments] == [s.path.name for s in before]
    assert [s["chain"] for s in file.segments[1:]] == [s["after"] for s in file.segments[:-1]]
    assert archived_records(desk) == live_records(desk)
    assert str(journal.verify_archive(desk)) == "1 files, 300 events: whole"


def test_what_is_archived_already_is_left_alone(desk: Path) -> None:
    journal.archive(desk)
    again = journal.archive(desk)
    assert (again.rows, again.files) == (0, ())
    assert str(again).startswith("nothing to archive")
    fill(desk, 301, 500)
    assert journal.archive(desk).rows == 200
    assert [(f.first, f.last) for f in manifests.load(desk).files] == [(1, 300), (301, 500)]
    assert archived_records(desk) == live_records(desk)
    assert journal.verify_archive(desk).whole


def test_up_to_an_event(desk: Path) -> None:
    some = segments(desk)
    assert journal.archive(desk, through=some[1].last).rows == some[1].last
    assert journal.archive(desk).rows == 300 - some[1].last


def test_the_segment_that_is_written_to_is_not_archived(tmp_path: Path) -> None:
    log = SegmentWriter(str(tmp_path), 8192)
    for seq in range(1, 200):
        log.append(made.array(made.record("closed", seq, 0, made.closed(seq))))
    log.sync()
    done = journal.archive(tmp_path).rows
    assert 0 < done == segments(tmp_path)[-1].first - 1
    log.close()
    journal.archive(tmp_path)
    assert archived_records(tmp_path) == live_records(tmp_path)


@pytest.mark.parametrize("stop", ["written", "checked", "renamed", "files", "manifest"])
def test_a_crash_after_each_step(desk: Path, stop: str) -> None:
    whole = live_records(desk)

    def step(name: str) -> None:
        if name == stop:
            raise Stopped

    with pytest.raises(Stopped):
        journal.archive(desk, step=step)
    assert live_records(desk) == whole
    assert journal.scan(desk).read_all().num_rows == 300
    assert journal.archive(desk).rows == (0 if stop == "manifest" else 300)
    check = journal.verify_archive(desk)
    assert (check.whole, check.strays) == (True, ())
    assert archived_records(desk) == whole
    assert not list((desk / "archive").glob("*.tmp"))


def test_nothing_is_archived_that_does_not_come_back(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fairlead.journal import parquet

    write = parquet.write

    def wrong(path: Path, table: pa.Table, *names: object) -> None:
        value = table["value"].to_numpy().copy()
        value[17] = np.nextafter(value[17], 1.0)
        place = table.schema.get_field_index("value")
        write(path, table.set_column(place, "value", pa.array(value, from_pandas=True)), *names)

    monkeypatch.setattr(parquet, "write", wrong)
    with pytest.raises(JournalDamagedError, match="does not give again what was written"):
        journal.archive(desk)
    assert manifests.load(desk) is None


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)


def test_damage_is_found_and_named(desk: Path, tmp_path: Path) -> None:
    journal.archive(desk)
    fill(desk, 301, 600)
    journal.archive(desk)
    first, second = sorted((desk / "archive").glob("*.parquet"))
    size = first.stat().st_size

    def foreign(path: Path) -> None:
        pq.write_table(pa.table({"x": [1]}), path)

    for n, (change, said) in enumerate(
        [
            (lambda path: path.unlink(), "is missing"),
            (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes, must have"),
            (lambda path: flip(path, size // 2), "its checksum does not fit"),
            (lambda path: flip(path, size - 6), "its checksum does not fit"),
            (foreign, "bytes, must have"),
            (lambda path: shutil.copy(second, path), "bytes, must have|checksum"),
        ]
    ):
        copy = tmp_path / f"copy{n}"
        shutil.copytree(desk, copy)
        change(copy / "archive" / first.name)
        check = journal.verify_archive(copy)
        assert not check.whole
        (problem,) = check.problems
        assert first.name in problem
        assert re.search(said, problem)
        assert "DAMAGED" in str(check)


def test_every_flipped_bit_of_a_file_is_found(desk: Path) -> None:
    journal.archive(desk)
    (path,) = (desk / "archive").glob("*.parquet")
    whole = path.read_bytes()
    for at in range(0, len(whole), 97):
        flip(path, at)
        assert not journal.verify_archive(desk).whole
        with contextlib.suppress(JournalError):  # whoever reads it anyway gets an error, or events; never a crash
            for _ in EventFile(path).records():
                pass
        path.write_bytes(whole)
    assert journal.verify_archive(desk).whole


def test_files_that_the_manifest_lacks_are_told_and_hurt_nobody(desk: Path) -> None:
    journal.archive(desk)
    (path,) = (desk / "archive").glob("*.parquet")
    shutil.copy(path, path.with_name("00000000000000000777.parquet"))
    check = journal.verify_archive(desk)
    assert (check.whole, check.strays) == (True, ("00000000000000000777.parquet",))
    assert "is not in the manifest" in str(check)
    assert journal.scan(desk).read_all().num_rows == 300
    (desk / "archive" / "manifest.json").unlink()
    with pytest.raises(JournalDamagedError, match=r"manifest.json is missing, but there are 2 files"):
        journal.verify_archive(desk)


def test_a_manifest_that_was_changed(desk: Path) -> None:
    journal.archive(desk)
    path = desk / "archive" / "manifest.json"
    whole = path.read_text()
    body = json.loads(whole)
    for bad, said in [
        (whole.replace('"rows": 300', '"rows": 299'), "its checksum does not fit"),
        (whole[:-20], "is no manifest"),
        ("[]", "is no manifest"),
        ("\x00", "is no manifest"),
        (json.dumps({**body, "version": 2}), "has version 2"),
        (json.dumps({**body, "format": "other"}), "is no manifest"),
    ]:
        path.write_text(bad)
        for use in (journal.verify_archive, journal.archive, lambda folder: journal.scan(folder).read_all()):
            with pytest.raises(JournalError, match=f"manifest.json.*{said}"):
                use(desk)
    path.write_text(whole)
    assert journal.verify_archive(desk).whole


def test_an_archive_of_another_journal_is_refused(desk: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    fill(other)
    journal.archive(other)
    shutil.copytree(other / "archive", desk / "archive")
    with pytest.raises(JournalDamagedError, match="is of another journal"):
        journal.archive(desk)


def test_one_at_a_time(desk: Path) -> None:
    with archive_lock(desk), pytest.raises(JournalLockedError, match="another process archives or compacts"):
        journal.archive(desk)
    assert journal.archive(desk).rows == 300


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        journal.archive(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()
    (tmp_path / "segments").mkdir()
    (tmp_path / "segments" / "00000000000000000001.seg").write_bytes(b"no segment")
    with pytest.raises(JournalDamagedError, match="is no segment"):
        journal.archive(tmp_path)


def test_a_damaged_segment_is_not_archived(desk: Path) -> None:
    path = segments(desk)[1].path
    path.chmod(0o644)
    flip(path, 500)
    with pytest.raises(JournalDamagedError, match=path.name):
        journal.archive(desk)
    assert manifests.load(desk) is None


def test_pieces_of_other_sizes_are_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.journal.archiving._ROWS", 7)
    fill(tmp_path)
    report = journal.archive(tmp_path)
    assert report.rows > 100
    assert journal.verify_archive(tmp_path).whole


def test_names_have_no_time_of_their_own(tmp_path: Path) -> None:
    at = 1_767_225_600 * 10**9
    with journal.Journal(tmp_path) as writer:
        writer.name("models", "a")
        writer.append("note", {"text": "b"}, time=at)
    stats = journal.stats(tmp_path)
    assert (stats.events, stats.earliest, stats.latest) == (2, at, at)
    (segment,) = journal.verify(tmp_path).segments
    assert (segment.earliest, segment.latest) == (at, at)
    journal.archive(tmp_path)
    (file,) = manifests.load(tmp_path).files
    assert (file.start, file.end) == (at, at)
