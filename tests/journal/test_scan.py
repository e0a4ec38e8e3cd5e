"""Archive and live journal as one table: each event once, in order, also while segments are archived and removed."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
import record_bytes as made

import fairlead.journal as journal
from fairlead._core import SegmentWriter
from fairlead.errors import FairleadError, InvalidRecordError, JournalDamagedError, JournalError
from fairlead.journal.columns import SCHEMA

duckdb = pytest.importorskip("duckdb")


def fill(folder: Path, first: int, last: int, *, close: bool = True, segment_bytes: int = 8192) -> SegmentWriter:
    """Events first to last: three names, then forecasts and outcomes in turn, one each microsecond."""
    log = SegmentWriter(str(folder), segment_bytes)
    names = [made.name(0, 0, "gpt"), made.name(0, 1, "llama"), made.name(1, 0, "crypto")]
    for seq in range(first, last + 1):
        if seq <= 3:
            log.append(made.array(made.record("name", seq, 0, names[seq - 1])))
        elif seq % 3 == 0:
            log.append(made.array(made.record("outcome", seq, 1000 * seq, made.outcome(seq, profit=seq), category=0)))
        else:
            payload = made.forecast(seq, 1 / seq, cost=0.5)
            log.append(made.array(made.record("forecast", seq, 1000 * seq, payload, model=seq % 3 - 1)))
    log.close() if close else log.sync()
    return log


def seqs(folder: Path, **query: object) -> list[int]:
    return journal.scan(folder, columns=["seq"], **query).read_all()["seq"].to_pylist()


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """1 to 400 archived, and live to 600."""
    folder = tmp_path / "desk"
    fill(folder, 1, 400)
    journal.archive(folder)
    fill(folder, 401, 600)
    return folder


def remove_archived(folder: Path) -> int:
    """What compaction does last: the archived segments go."""
    from fairlead.journal import manifest
    from fairlead.journal.folder import segments

    done = manifest.load(folder).archived_to()
    gone = [s for s in segments(folder)[:-1] if s.last <= done]
    for segment in gone:
        segment.path.unlink()
        segment.path.with_suffix(".idx").unlink(missing_ok=True)
    return len(gone)


def test_each_event_once_where_both_have_it(desk: Path) -> None:
    assert seqs(desk) == list(range(1, 601))
    table = journal.scan(desk).read_all()
    assert table.schema == SCHEMA
    fill(desk.parent / "other", 1, 600)
    assert table.to_pylist() == journal.scan(desk.parent / "other").read_all().to_pylist()
    assert remove_archived(desk) > 2
    assert seqs(desk) == list(range(1, 601))
    assert journal.scan(desk).read_all().to_pylist() == table.to_pylist()


@pytest.mark.parametrize("removed", [False, True])
def test_queries_mean_the_same_in_both(desk: Path, removed: bool) -> None:
    if removed:
        remove_archived(desk)
    every = range(4, 601)
    assert seqs(desk, types="outcome") == [n for n in every if n % 3 == 0]
    assert seqs(desk, types=["outcome", "name"]) == [1, 2, 3] + [n for n in every if n % 3 == 0]
    assert seqs(desk, models="llama") == [n for n in every if n % 3 == 2]
    assert seqs(desk, models=["llama", "nobody"]) == [n for n in every if n % 3 == 2]
    assert seqs(desk, models=[]) == seqs(desk, models="nobody") == []
    assert seqs(desk, categories="crypto", start=300_000, end=450_000) == list(range(300, 450, 3))
    assert seqs(desk, start="1970-01-01T00:00:00.000590Z") == list(range(590, 601))
    assert seqs(desk, first=390, last=410) == list(range(390, 411))
    assert seqs(desk, first=601) == seqs(desk, first=10, last=9) == []
    assert seqs(desk, types="note") == []


def test_duckdb_and_polars_read_it(desk: Path) -> None:
    stream = journal.scan(desk)  # noqa: F841 - DuckDB finds it by its name
    rows = duckdb.sql("select type, count(*), sum(profit_usd) from stream group by 1 order by 1").fetchall()
    total = float(sum(range(6, 601, 3)))
    assert rows == [("forecast", 398, None), ("name", 3, None), ("outcome", 199, total)]
    frame = pl.DataFrame(journal.scan(desk, types="outcome"))
    assert frame["profit_usd"].sum() == total
    whole = journal.dataset(desk)
    assert duckdb.sql("select count(*) from whole where seq > 395 and model = 'gpt'").fetchall() == [(68,)]
    lazy = pl.scan_pyarrow_dataset(whole).filter(pl.col("seq") > 595).select("seq", "cost_usd")
    assert lazy.collect()["seq"].to_list() == [596, 597, 598, 599, 600]


def test_the_tail_that_is_being_written(tmp_path: Path) -> None:
    log = fill(tmp_path, 1, 50, close=False)
    assert seqs(tmp_path) == list(range(1, 51))
    log.append(made.array(made.record("closed", 51, 0, made.closed(1))))
    assert seqs(tmp_path) == list(range(1, 52))
    assert len(journal.dataset(tmp_path).to_table()) == 51
    assert journal.archive(tmp_path).rows == 0


def test_segments_that_go_while_they_are_read(tmp_path: Path) -> None:
    fill(tmp_path, 1, 2000)
    stream = journal.scan(tmp_path, columns=["seq"])
    from fairlead.journal import scanning

    found = scanning.batches(tmp_path, scanning.Query(), ["seq"], rows=100)
    first = next(found)["seq"].to_pylist()
    journal.archive(tmp_path)
    assert remove_archived(tmp_path) > 5
    assert first + [n for batch in found for n in batch["seq"].to_pylist()] == list(range(1, 2001))
    assert stream.read_all()["seq"].to_pylist() == list(range(1, 2001))


def test_while_another_thread_archives_and_removes(tmp_path: Path) -> None:
    fill(tmp_path, 1, 1000)
    stop = threading.Event()
    bad: list[object] = []

    def look() -> None:
        while not stop.is_set():
            try:
                found = seqs(tmp_path)
            except FairleadError as error:
                bad.append(error)
                return
            if found != list(range(1, len(found) + 1)) or len(found) < 1000:
                bad.append(found)
                return

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for step in range(8):
        journal.archive(tmp_path)
        remove_archived(tmp_path)
        fill(tmp_path, 1001 + 300 * step, 1300 + 300 * step)
    stop.set()
    for thread in threads:
        thread.join()
    assert bad == []
    assert seqs(tmp_path) == list(range(1, 3401))


def test_what_is_missing_is_said(desk: Path, tmp_path: Path) -> None:
    segments = sorted((desk / "segments").glob("*.seg"))
    hole = next(path for path in segments if int(path.stem) > 401)
    hole.unlink()
    with pytest.raises(JournalError, match=r"event \d+ is neither|\.seg"):
        seqs(desk)
    with pytest.raises(JournalError, match="there is no journal"):
        seqs(tmp_path / "nothing")
    with pytest.raises(InvalidRecordError, match="'modle', no column; did you mean 'model'"):
        journal.scan(desk, columns=["modle"])
    with pytest.raises(InvalidRecordError, match="'outcom', no type of event; did you mean 'outcome'"):
        journal.scan(desk, types="outcom")
    with pytest.raises(InvalidRecordError, match="start is 'soon'"):
        journal.scan(desk, start="soon")


def test_a_file_of_the_archive_that_is_missing_or_damaged_is_said(desk: Path, tmp_path: Path) -> None:
    remove_archived(desk)
    (file,) = (desk / "archive").glob("*.parquet")
    for name, change in [
        ("missing", lambda path: path.unlink()),
        ("truncated", lambda path: path.write_bytes(path.read_bytes()[:-100])),
        ("foreign", lambda path: path.write_bytes(b"PAR1 and no more")),
    ]:
        copy = tmp_path / name
        shutil.copytree(desk, copy)
        change(copy / "archive" / file.name)
        with pytest.raises(JournalError, match=file.name):
            seqs(copy)
        with pytest.raises(JournalError, match=file.name):
            journal.dataset(copy)


def test_an_archive_alone_can_be_read(desk: Path) -> None:
    shutil.rmtree(desk / "segments")
    assert seqs(desk) == list(range(1, 401))
    assert isinstance(journal.scan(desk), pa.RecordBatchReader)
    (desk / "archive" / "manifest.json").write_text("{}")
    with pytest.raises(JournalDamagedError, match="manifest"):
        seqs(desk)
