"""A small journal of every released version stays readable, and can be written on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from fairlead._core import SegmentLog
from fairlead.journal import read, verify

DATA = Path(__file__).resolve().parents[1] / "data"
JOURNALS = sorted(DATA.glob("journal-*"))


def test_there_is_one() -> None:
    assert [path.name for path in JOURNALS][:1] == ["journal-0.1.0"]


@pytest.mark.parametrize("journal", JOURNALS, ids=lambda path: path.name)
def test_an_old_journal_reads_as_it_was_written(journal: Path, tmp_path: Path) -> None:
    expected = [json.loads(line) for line in (journal / "events.jsonl").read_text().splitlines()]
    assert len(expected) > 50
    found = [json.dumps(event.to_dict(), default=lambda value: {"bytes": list(value)}) for event in read(journal)]
    assert [json.loads(line) for line in found] == expected
    assert len({event["type"] for event in expected}) >= 13
    report = verify(journal)
    assert report.whole
    assert len(report.segments) > 2

    desk = tmp_path / "desk"
    shutil.copytree(journal / "segments", desk / "segments")
    log = SegmentLog(str(desk))
    seq = log.append("note", 0, "claude", "markets", "{}")  # its names are known
    assert seq == report.segments[-1].last + 1
    log.close()
    assert verify(desk).whole
    assert len(list(read(desk))) == len(expected) + 1
    by_model = [event["seq"] for event in expected if event["model"] == "gpt-4o"]
    assert [event.seq for event in read(desk, models="gpt-4o")] == by_model
