"""`fairlead journal`, `store` and `reflect` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fairlead as fl
from fairlead.cli import main


@pytest.fixture
def desk(tmp_path: Path) -> str:
    with fl.Fleet.open(tmp_path / "desk", clock=lambda: 1_700_000_000_000_000_000) as fleet:
        for name in ("good", "bad"):
            fleet.add(name)
        for n in range(12):
            task = fl.Task(f"q-{n}", category="odd" if n % 2 else "even")
            fleet.record(task, fl.Forecast("good", p=0.8 if n % 2 else 0.2))
            fleet.record(task, fl.Forecast("bad", p=0.5))
            fleet.settle(task, n % 2, time=n + 1)
    return str(tmp_path / "desk")


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_query_filters_and_pages(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    query = ["journal", "query", desk, "--model", "good", "--type", "forecast", "--category", "odd", "--json"]
    assert main(query) == 0
    found = lines(capsys)
    assert len(found) == 6
    assert {(e["model"], e["type"], e["category"]) for e in found} == {("good", "forecast", "odd")}
    assert main([*query, "--limit", "2", "--offset", "3"]) == 0
    assert [e["seq"] for e in lines(capsys)] == [e["seq"] for e in found[3:5]]
    assert main(["journal", "query", desk, "--start", "5", "--end", "8", "--json"]) == 0
    assert [e["time"] for e in lines(capsys)] == [5, 6, 7]


def test_a_line_for_people(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "query", desk, "--type", "forecast", "--limit", "1"]) == 0
    out = capsys.readouterr().out
    assert "forecast       good [even]" in out
    assert "p=0.2" in out


def test_an_outcome_of_0_is_shown(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "query", desk, "--type", "outcome", "--limit", "1"]) == 0
    assert "value=0" in capsys.readouterr().out


def test_tail_without_waiting(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "tail", desk, "-n", "3", "--no-follow", "--json"]) == 0
    found = lines(capsys)
    assert len(found) == 3
    assert found[-1]["type"] == "outcome"


def test_verify_tells_with_its_exit_status(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "verify", desk]) == 0
    (segment,) = Path(desk, "segments").glob("*.seg")
    segment.chmod(0o644)
    bad = bytearray(segment.read_bytes())
    bad[len(bad) // 2] ^= 1
    segment.write_bytes(bad)
    capsys.readouterr()
    assert main(["journal", "verify", desk]) == 1
    assert segment.name in capsys.readouterr().out
    assert main(["journal", "query", desk]) == 2
    assert "damaged" in capsys.readouterr().err


def test_damage_in_an_older_segment_and_what_can_be_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    desk = str(tmp_path / "desk")
    with fl.Journal(desk, segment_bytes=4096) as journal:
        for n in range(300):
            journal.note(f"note {n}", time=n)
    segments = sorted(Path(desk, "segments").glob("*.seg"))
    assert len(segments) > 4
    for place in (1, 3):
        segments[place].chmod(0o644)
        bad = bytearray(segments[place].read_bytes())
        bad[len(bad) // 2] ^= 1
        segments[place].write_bytes(bad)
    for command in (["export", desk, str(tmp_path / "all.jsonl")], ["query", desk], ["stats", desk], ["repair", desk]):
        assert main(["journal", *command]) == 2
        err = capsys.readouterr().err
        assert f"{segments[1].name} is damaged at byte" in err
        assert "what is whole can be saved: `fairlead journal export" in err
    parts = [part.split("`")[0].split() for part in err.split(" FILE")[1:]]
    assert [part[::2] for part in parts] == [["--last"], ["--first", "--last"], ["--first"]]
    seqs: list[object] = []
    for n, part in enumerate(parts):
        out = tmp_path / f"{n}.jsonl"
        assert main(["journal", "export", desk, str(out), *part]) == 0
        seqs += [json.loads(line)["seq"] for line in out.read_text().splitlines()]
    firsts = [int(path.stem) for path in segments]
    lost = [seq for seq in range(1, 301) if seq not in seqs]
    assert seqs == sorted(seqs)
    assert 0 < len(lost) < 100
    assert all(firsts[1] <= seq < firsts[2] or firsts[3] <= seq < firsts[4] for seq in lost)
    assert {firsts[2] - 1, firsts[4] - 1} <= set(lost)


def test_stats_and_export(desk: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "stats", desk, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["events"] > 40
    for name in ("events.parquet", "events.jsonl"):
        assert main(["journal", "export", desk, str(tmp_path / name), "--type", "outcome"]) == 0
        assert "12 events written" in capsys.readouterr().out


def test_store_and_reflect(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "update", desk]) == 0
    assert main(["store", "rebuild", desk]) == 0
    with fl.Store(desk) as store:
        assert store.query("SELECT count(*) AS n FROM journal_entries WHERE event_type = 'outcome'") == [{"n": 12}]
    capsys.readouterr()
    assert main(["reflect", desk, "good", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "good"


@pytest.mark.parametrize(
    "command", [["journal", "stats"], ["journal", "query"], ["journal", "verify"], ["store", "update"]]
)
def test_where_there_is_no_journal(command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, str(tmp_path / "nowhere")]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_an_unknown_type_is_told(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["journal", "query", desk, "--type", "forcast"]) == 2
    assert "forecast" in capsys.readouterr().err
