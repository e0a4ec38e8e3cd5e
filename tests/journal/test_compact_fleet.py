"""A fleet's desk through compaction: the state is the one it would have been, and all can still be read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import fairlead as fl
from fairlead._core import snapshot_desk
from fairlead.errors import JournalError
from fairlead.journal.quotas import usage

HOUR = 3600 * 10**9


def play(desk: Path, first: int, last: int) -> str:
    """Tasks first to last, settled at once but for each fifth; gives the leaderboard."""
    with fl.Fleet.open(desk, clock=lambda: 1, segment_bytes=1 << 14) as fleet:
        if first == 0:
            fleet.add(fl.Model("gpt"))
            fleet.add(fl.Model("llama"))
        for n in range(first, last):
            task = fl.Task(f"t{n}", category="crypto", time=n * HOUR)
            fleet.record(task, fl.Forecast("gpt", p=0.2 + 0.1 * (n % 7)))
            fleet.record(task, fl.Forecast("llama", p=0.9 - 0.1 * (n % 5)))
            if n % 5:
                fleet.settle(fl.Outcome(f"t{n}", n % 2, time=n * HOUR + 1))
        return str(fleet.leaderboard())


def test_the_state_is_the_same_as_without(tmp_path: Path) -> None:
    desk, twin = tmp_path / "desk", tmp_path / "twin"
    play(desk, 0, 200)
    play(twin, 0, 200)
    shutil.rmtree(desk / "snapshots", ignore_errors=True)
    (desk / "snapshots").mkdir()
    with pytest.raises(JournalError, match="is a fleet's, and its newest snapshot"):
        fl.journal.compact(desk, keep="10h")
    report = fl.journal.compact(desk, keep="10h", ensure_snapshot=lambda seq: snapshot_desk(str(desk)))
    assert report.segments > 2
    assert report.summaries > 0
    assert play(desk, 200, 260) == play(twin, 200, 260)
    again = tmp_path / "again"
    fl.journal.restore(desk, again)
    assert play(again, 260, 300) == play(twin, 260, 300)


def test_an_old_snapshot_goes_before_events_do(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    play(desk, 0, 200)
    snapshot_desk(str(desk))
    board = play(desk, 200, 260)
    snapshot_desk(str(desk))
    fl.journal.compact(desk, keep=0, ensure_snapshot=lambda seq: snapshot_desk(str(desk)))
    events = fl.journal.scan(desk).read_all().num_rows
    snapshots = sorted((desk / "snapshots").glob("*.fleet"))
    assert len(snapshots) > 1
    limit = sum(usage(desk).values()) - usage(desk)["segments"] - snapshots[0].stat().st_size // 2
    report = fl.journal.enforce_quota(desk, limit, ensure_snapshot=lambda seq: snapshot_desk(str(desk)))
    assert report.dropped == ()
    assert not report.in_the_way
    assert not snapshots[0].exists()
    assert len(list((desk / "snapshots").glob("*.fleet"))) == 1
    assert fl.journal.scan(desk).read_all().num_rows >= events
    assert play(desk, 260, 260) == board
