"""`fairlead journal archive|compact|quota|hold|release|holds|restore`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import fairlead.journal as journal
from fairlead.cli import main
from fairlead.journal import Journal

HOUR = 3600 * 10**9


@pytest.fixture
def desk(tmp_path: Path) -> str:
    with Journal(tmp_path / "desk", segment_bytes=8192) as log:
        for hour in range(500):
            log.note(f"hour {hour}", time=hour * HOUR)
    return str(tmp_path / "desk")


def run(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> str:
    assert main(["journal", *arguments]) == status
    out, err = capsys.readouterr()
    return out if status != 2 else err


def test_archive_and_its_check(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "500 events archived" in run(capsys, "archive", desk)
    assert json.loads(run(capsys, "archive", desk, "--json"))["rows"] == 0
    assert "500 events: whole" in run(capsys, "archive", desk, "--verify")
    (file,) = (Path(desk) / "archive").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:-1])
    assert "DAMAGED" in run(capsys, "archive", desk, "--verify", status=1)
    assert json.loads(run(capsys, "archive", desk, "--verify", "--json", status=1))["whole"] is False


def test_compact_and_restore(desk: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    report = json.loads(run(capsys, "compact", desk, "--keep", "2d", "--window", "6h", "--json"))
    assert report["segments"] > 0
    assert report["archived"] == 500
    assert journal.scan(desk).read_all().num_rows == 500
    assert "nothing to compact" in run(capsys, "compact", desk, "--keep", "2d")
    again = str(tmp_path / "again")
    assert run(capsys, "restore", desk, again) == f"500 events restored to {again}\n"
    assert [event.data for event in journal.read(again)] == [{"text": f"hour {hour}"} for hour in range(500)]
    assert "exists already" in run(capsys, "restore", desk, again, status=2)
    assert "keep is 'soon'" in run(capsys, "compact", desk, "--keep", "soon", status=2)


def err(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().err


def test_who_does_not_see_the_archive_says_so(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("query", "stats", "verify"):
        assert err(capsys, "journal", command, desk) == ""
    last = journal.compact(desk, keep="4d").last
    said = f"fairlead: events 1 to {last} are in the archive alone: `fairlead journal export` reads them too, "
    query = ("journal", "query", desk)
    assert err(capsys, *query).startswith(said)
    assert err(capsys, *query, "--start", "1970-01-02", "--end", "1970-01-03").startswith(said)
    assert "events 7 to 9 are in the archive alone" in err(capsys, *query, "--first", "7", "--last", "9")
    for elsewhere in (("--first", str(last + 1)), ("--type", "outcome"), ("--start", "1970-01-21")):
        assert err(capsys, *query, *elsewhere) == ""
    assert err(capsys, "journal", "stats", desk).startswith(said)
    assert "alone: `fairlead journal archive --verify` checks them" in err(capsys, "journal", "verify", desk)
    assert err(capsys, "journal", "tail", desk, "-n", "3", "--no-follow") == ""
    assert err(capsys, "journal", "tail", desk, "-n", "600", "--no-follow").startswith(said)
    assert main(["replay", desk]) == 2
    assert "alone: `fairlead journal restore` makes a journal of all, which can" in capsys.readouterr().err
    with Journal(desk, segment_bytes=8192) as log:
        for hour in range(500, 1000):
            log.note(f"hour {hour}", time=hour * HOUR)
    journal.compact(desk, keep="4d")
    journal.enforce_quota(desk, 1)
    assert "were dropped by a quota\n" in err(capsys, *query)


def test_a_part_of_a_journal_is_exported(desk: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    journal.compact(desk, keep="4d")
    out = tmp_path / "part.jsonl"
    assert run(capsys, "export", desk, str(out), "--first", "3", "--last", "5") == f"3 events written to {out}\n"
    assert [json.loads(line)["seq"] for line in out.read_text().splitlines()] == [3, 4, 5]


def test_quota_and_holds(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "compact", desk, "--keep", "1h")
    assert run(capsys, "hold", desk, "audit", "--start", "1970-01-02", "--end", "1970-01-03") == "held: audit\n"
    assert run(capsys, "holds", desk) == "audit  from 1970-01-02T00:00:00Z to before 1970-01-03T00:00:00Z\n"
    told = json.loads(run(capsys, "holds", desk, "--json"))
    assert (told["name"], told["start"], told["end"]) == ("audit", 86400 * 10**9, 172800 * 10**9)
    out = run(capsys, "quota", desk, "1KB", status=1)
    assert "in the way: hold 'audit' keeps 1 files" in out
    assert json.loads(run(capsys, "quota", desk, "1GiB", "--json"))["met"] is True
    assert run(capsys, "hold", desk, "again", "--start", "86400000000000", "--end", "172800000000000")
    (first, again) = (json.loads(line) for line in run(capsys, "holds", desk, "--json").splitlines()[::-1])
    assert (first["start"], first["end"]) == (again["start"], again["end"])
    assert run(capsys, "release", desk, "audit") == "released: audit\n"
    assert "no hold of this name" in run(capsys, "release", desk, "audit", status=2)
    with pytest.raises(SystemExit):
        main(["journal", "quota", desk, "much"])
    assert "must be like 1000000, 800MB or 2GiB" in capsys.readouterr().err


def test_a_plain_journal_is_no_fleets_afterwards(desk: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["compact", desk, "--keep", "10d", "--json"], ["quota", desk, "18kB", "--json"]):
        assert json.loads(run(capsys, *command))["segments" if command[0] == "compact" else "compacted"] > 0
        assert sorted(path.name for path in Path(desk).iterdir() if path.is_dir()) == ["archive", "segments"]
    with Journal(desk, segment_bytes=8192) as log:
        for hour in range(500, 1000):
            log.note(f"hour {hour}", time=hour * HOUR)
    assert journal.compact(desk, keep="10h").segments > 0
    # And what a version before this one made of it is none, either.
    (Path(desk) / "snapshots").mkdir()
    with Journal(desk) as log:
        log.note("one more", time=2000 * HOUR)
    assert journal.compact(desk, keep=0).segments > 0
