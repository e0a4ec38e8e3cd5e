"""Export: archived and live events in one file, Parquet or lines of JSON."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import record_bytes as made

import fairlead.journal as journal
from fairlead._core import SegmentWriter
from fairlead.cli import main
from fairlead.errors import InvalidRecordError, JournalError
from fairlead.journal import Journal, exporting, restoring


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    folder = tmp_path / "desk"
    parts = [
        made.record("name", 1, 0, made.name(0, 0, "gpt")),
        made.record("name", 2, 0, made.name(0, 1, "llama")),
        made.record("name", 3, 0, made.name(1, 0, "crypto")),
        made.record("task", 4, 10, made.task(1, "t1", "crypto", slices=[("symbol", "BTC")]), category=0),
        made.record("forecast", 5, 20, made.forecast(1, 0.25, latency=3.5), model=1, category=0),
        made.record("decision", 6, 30, made.decision(1, 0.3, weights=[1.0, 0.5], voters=[1, 0]), category=0),
        made.record("outcome", 7, 40, made.outcome(1, 1.0), category=0),
        made.record("note", 8, 50, made.cold(text="ü"), model=0),
        made.record("custom", 9, 60, b"\x00\xff"),
        made.record(1500, 10, 70, b"x"),
    ]
    for part in parts[:5], parts[5:]:
        log = SegmentWriter(str(folder), 4096)
        log.append(made.array(*part))
        log.close()
        if part is parts[:5]:
            journal.archive(folder)
    return folder


def test_lines_are_the_events_as_they_are_read(desk: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    expected = [event.to_dict() for event in journal.read(desk)]
    for _ in range(2):  # live, then from the archive
        assert journal.export(desk, out) == 10
        found = [json.loads(line) for line in out.read_text().splitlines()]
        assert found[-1]["data"] == {"payload": "78"}
        assert found[:8] == json.loads(json.dumps(expected[:8]))
        assert [event.to_dict() for event in journal.history(desk)] == expected
        journal.archive(desk)
    assert found[5]["data"]["weights"] == {"llama": 1.0, "gpt": 0.5}


def test_parquet_is_the_table(desk: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.parquet"
    assert journal.export(desk, out) == 10
    assert pq.read_table(out).to_pylist() == journal.scan(desk).read_all().to_pylist()
    assert pq.ParquetFile(out).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_query(desk: Path, tmp_path: Path) -> None:
    out = tmp_path / "some.parquet"
    assert journal.export(desk, out, models=["llama"], types=["forecast"], categories=["crypto"], start=20, end=21) == 1
    assert pq.read_table(out)["value"].to_pylist() == [0.25]
    assert journal.export(desk, out, models=["nobody"]) == 0
    assert pq.read_table(out).num_rows == 0
    lines = tmp_path / "none.jsonl"
    assert journal.export(desk, lines, start="2030-01-01") == 0
    assert lines.read_text() == ""


def test_what_fails_leaves_nothing_and_harms_nothing(desk: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    out.write_text("what was there before")
    with pytest.raises(InvalidRecordError, match=r"must end in .parquet or .jsonl"):
        journal.export(desk, tmp_path / "events.csv")
    with pytest.raises(InvalidRecordError, match="no type of event"):
        journal.export(desk, out, types="forecats")
    with pytest.raises(JournalError):
        journal.export(tmp_path / "nothing", out)
    path = sorted((desk / "segments").glob("*.seg"))[-1]
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(JournalError, match=path.name):
        journal.export(desk, out)
    assert out.read_text() == "what was there before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["desk", "events.jsonl"]


def test_lines_are_strict_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = tmp_path / "desk"
    with journal.Journal(desk) as log:
        gpt = log.name("models", "gpt")
        for n, cost in enumerate((math.inf, -math.inf, math.nan, 0.5), 1):
            log.forecast(n, gpt, None, n, 0.5, None, cost, cost)

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    assert journal.export(desk, tmp_path / "out.jsonl", types="forecast") == 4
    assert main(["journal", "query", str(desk), "--type", "forecast", "--json"]) == 0
    for text in ((tmp_path / "out.jsonl").read_text(), capsys.readouterr().out):
        found = [json.loads(line, parse_constant=refuse)["data"] for line in text.splitlines()]
        assert [data["cost_usd"] for data in found] == ["Infinity", "-Infinity", None, 0.5]
        assert [data["latency_ms"] for data in found] == ["Infinity", "-Infinity", None, 0.5]
        assert list(map(float, ("Infinity", "-Infinity"))) == [math.inf, -math.inf]


def test_what_lies_beside_is_left_alone(desk: Path, tmp_path: Path) -> None:
    mine = [tmp_path / "events.jsonl.tmp", tmp_path / "again.restoring" / "mine.txt"]
    mine[1].parent.mkdir()
    for path in mine:
        path.write_text("precious")
    journal.export(desk, tmp_path / "events.jsonl")
    journal.restore(desk, tmp_path / "again")
    assert [path.read_text() for path in mine] == ["precious", "precious"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["desk", "events.jsonl", "events.jsonl.tmp", "again", "again.restoring"]
    )


def test_two_at_once_do_not_take_each_others_files(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run while the first one writes: each ends as if it were alone, the later one to end is there."""
    out = tmp_path / "events.jsonl"
    events_of, asked = exporting.events_of, []

    def late(found: object) -> object:
        for event in events_of(found):
            if not asked:
                asked.append(True)
                assert journal.export(desk, out, types="note") == 1
                assert len(out.read_text().splitlines()) == 1
            yield event

    monkeypatch.setattr(exporting, "events_of", late)
    assert journal.export(desk, out) == 10
    assert len(out.read_text().splitlines()) == 10

    records, began = restoring._records, []

    def beside(*given: object) -> object:
        for part in records(*given):
            if not began:
                began.append(True)
                assert journal.restore(desk, tmp_path / "again") == 10
            yield part

    monkeypatch.setattr(restoring, "_records", beside)
    with pytest.raises(JournalError, match="is there by now"):
        journal.restore(desk, tmp_path / "again")
    assert journal.verify(tmp_path / "again").events == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "desk", "events.jsonl"]


def test_lines_of_what_is_not_archived_need_no_pyarrow(tmp_path: Path) -> None:
    with Journal(tmp_path / "desk") as log:
        for n in range(9):
            log.note(f"note {n}", time=n, model="gpt")
    script = (
        "import sys\n"
        "sys.modules['pyarrow'] = None\n"
        "import fairlead.journal as j\n"
        f"print(j.export({str(tmp_path / 'desk')!r}, {str(tmp_path / 'without.jsonl')!r}, start=3, models='gpt'))\n"
        f"j.export({str(tmp_path / 'desk')!r}, {str(tmp_path / 'x.parquet')!r})\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "6\n", done.stderr
    assert "need pyarrow: pip install 'fairlead[archive]'" in done.stderr
    assert journal.export(tmp_path / "desk", tmp_path / "with.jsonl", start=3, models="gpt") == 6
    assert (tmp_path / "with.jsonl").read_text() == (tmp_path / "without.jsonl").read_text()
