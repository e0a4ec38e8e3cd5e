"""The quota counts what is there, not the space a segment takes in advance, and takes no more than that asks for."""

from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import record_bytes as made

import fairlead.journal as journal
from fairlead.errors import InvalidRecordError
from fairlead.journal import Journal
from fairlead.journal.folder import segments
from fairlead.journal.quotas import usage
from fairlead.journal.sizes import as_bytes

HOUR = 3600 * 10**9


def total(folder: Path) -> int:
    return sum(usage(folder).values())


def on_disk(folder: Path) -> int:
    """Of a closed journal, every byte."""
    return sum(path.stat().st_size for part in usage(folder) for path in (folder / part).glob("*"))


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Some files in the archive whose segments are gone, and more in segments."""
    folder = tmp_path / "desk"
    for part in range(4):
        with Journal(folder, segment_bytes=1 << 16) as log:
            for n in range(1200):
                log.append("custom", bytes([n % 251, n // 251]) * 100, time=(part * 1200 + n) * HOUR)
        journal.archive(folder)
        if part == 2:
            journal.compact(folder, keep=0)
    return folder


def test_usage_is_that_of_the_journal_when_it_is_closed(desk: Path) -> None:
    assert total(desk) == on_disk(desk)
    with Journal(desk, segment_bytes=1 << 20) as log:
        for n in range(3000):
            log.note(f"one more {n}", time=0)
        log.wait_durable()
        assert on_disk(desk) > total(desk) + 500_000  # the space taken in advance
        open_size = total(desk)
    assert 0 <= open_size - total(desk) <= 200
    assert total(desk) == on_disk(desk)


def test_nothing_is_dropped_where_compacting_is_enough(tmp_path: Path) -> None:
    """Compaction writes summaries: the space that the newest segment takes for them is no reason to drop anything."""
    for part in range(4):
        with Journal(tmp_path, segment_bytes=1 << 14) as log:
            gpt = log.name("models", "gpt")
            for n in range(part * 400 + 1, part * 400 + 401):
                log.append_bytes("task", n * HOUR, None, None, made.task(n, f"t{n}"))
                log.forecast(n, gpt, None, n * HOUR, 0.5)
                log.append_bytes("outcome", n * HOUR, None, None, made.outcome(n))
        journal.archive(tmp_path)
        if part == 2:
            journal.compact(tmp_path, keep=0)
    size = total(tmp_path)
    before = journal.scan(tmp_path, types="forecast").read_all().num_rows
    report = journal.enforce_quota(tmp_path, size - 5_000, window="30d")
    assert (report.met, report.dropped) == (True, ())
    assert 1 <= report.compacted <= 2  # the oldest is a small one
    assert report.before == size
    assert on_disk(tmp_path) <= size - 5_000
    assert journal.scan(tmp_path, types="forecast").read_all().num_rows == before


def test_only_what_must_go_is_archived(tmp_path: Path) -> None:
    with Journal(tmp_path, segment_bytes=1 << 16) as log:
        for n in range(6000):
            log.append("custom", bytes([n % 251, n // 251]) * 100, time=n * HOUR)
        log.wait_durable()
        live = segments(tmp_path)
        report = journal.enforce_quota(log, total(tmp_path) - 30_000)
        assert report.met
        assert 1 <= report.compacted <= 3 < len(live)  # how much is in a segment depends on when it was written
        assert report.archived == live[report.compacted - 1].last
    assert on_disk(tmp_path) <= report.max_bytes


def test_one_file_is_dropped_where_one_is_enough(desk: Path) -> None:
    journal.compact(desk, keep=0)
    files = sorted((desk / "archive").glob("*.parquet"))
    assert len(files) >= 3
    size = total(desk)
    report = journal.enforce_quota(desk, size - 100)
    assert report.dropped == (files[0].name,)
    assert report.after <= size - 100
    assert [path.name for path in sorted((desk / "archive").glob("*.parquet"))] == [path.name for path in files[1:]]


@pytest.mark.parametrize("size", [math.nan, math.inf, 1e9, -1, True, None, "much", "", "-5", "1.5GB", b"1", "5ib", "٣"])
def test_what_is_no_size(desk: Path, size: object) -> None:
    before = sorted(path.name for path in desk.glob("*/*"))
    with pytest.raises(InvalidRecordError, match=r"max_bytes is .*must be like 1000000, 800MB or 2GiB"):
        journal.enforce_quota(desk, size)
    assert sorted(path.name for path in desk.glob("*/*")) == before


def test_sizes_as_text(desk: Path) -> None:
    assert [as_bytes(text) for text in ("0", "12", "12B", " 3 kB", "3KiB", "2mb", "2M", "10GB", "1tib")] == [
        *(0, 12, 12, 3000, 3072, 2_000_000, 2_000_000, 10**10, 2**40)
    ]
    assert journal.enforce_quota(desk, "10GB").max_bytes == 10**10
    assert journal.enforce_quota(desk, "1 GiB").met


@pytest.mark.parametrize("keep", [0, np.int64(0), timedelta(0)])
def test_to_keep_nothing(desk: Path, keep: object) -> None:
    assert journal.compact(desk, keep=keep).segments > 0


@pytest.mark.parametrize("keep", [False, True, 0.0, math.nan, "0", -1])
def test_what_is_no_span(desk: Path, keep: object) -> None:
    live = segments(desk)
    with pytest.raises(InvalidRecordError, match="keep is"):
        journal.compact(desk, keep=keep)
    assert segments(desk) == live
