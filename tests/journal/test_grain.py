"""How fine summaries are where nobody says so: never so fine that they take what they are to save."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairlead as fl
import fairlead.journal as journal
from fairlead._core import snapshot_desk
from fairlead.journal.elsewhere import names
from fairlead.journal.folder import segments
from fairlead.journal.quotas import usage

pytest.importorskip("pyarrow")

HOUR = 3600 * 10**9
DAY = 24 * HOUR
START = 20_000 * DAY


def slow(desk: Path, days: int, models: int = 3, categories: int = 1, gap: int = HOUR) -> None:
    """A task an hour, for days, of which all models say something."""
    now = START
    with fl.Fleet.open(desk, clock=lambda: now, segment_bytes=1 << 16) as fleet:
        for model in range(models):
            fleet.add(f"m{model}")
        for n in range(days * DAY // gap):
            now = START + n * gap
            task = fl.Task(f"q{n}", category=f"c{n % categories}")
            for model in range(models):
                fleet.record(task, fl.Forecast(f"m{model}", p=0.3 + 0.1 * (model % 4), latency_ms=5, cost_usd=0.01))
            fleet.decide(task)
            fleet.settle(task, n % 2)


def snapshot(desk: Path) -> object:
    return lambda seq: snapshot_desk(str(desk))


def live(desk: Path) -> int:
    return usage(desk)["segments"]


def test_compaction_makes_a_slow_desk_smaller(tmp_path: Path) -> None:
    slow(tmp_path, 90)
    before = live(tmp_path)
    report = journal.compact(tmp_path, keep="30d", ensure_snapshot=snapshot(tmp_path))
    assert report.window in (6 * HOUR, DAY, 7 * DAY)
    assert report.categories
    assert 0 < live(tmp_path) - (before - report.freed) <= report.freed // 9
    found = list(journal.read(tmp_path, types="summary"))
    assert {event.data["end"] - event.data["start"] for event in found} == {report.window}
    whole = journal.scan(tmp_path, types="outcome", last=report.last).read_all().num_rows
    assert sum(event.data["n"] for event in found) == 3 * whole
    assert f"{len(found)} summaries, every " in str(report)
    assert names(tmp_path) == (["m0", "m1", "m2"], ["c0"])  # though the segments that began with them are gone


def test_where_much_happens_in_an_hour_it_is_an_hour(tmp_path: Path) -> None:
    slow(tmp_path, 1, gap=HOUR // 60)
    report = journal.compact(tmp_path, keep=0, ensure_snapshot=snapshot(tmp_path))
    assert (report.window, report.categories) == (HOUR, True)


def test_one_for_all_the_time_and_then_for_all_categories(tmp_path: Path) -> None:
    slow(tmp_path / "a", 800, categories=30, gap=DAY // 2)
    report = journal.compact(tmp_path / "a", keep=0, ensure_snapshot=snapshot(tmp_path / "a"))
    assert (report.window, report.categories) == (0, True)
    found = list(journal.read(tmp_path / "a", types="summary"))
    assert len(found) == report.summaries == 90
    assert {(event.data["start"], event.data["n"] > 10) for event in found} == {(START, True)}
    assert len({event.data["end"] for event in found}) == 1
    assert "one for all the time" in str(report)

    slow(tmp_path / "b", 500, categories=500, gap=DAY)
    report = journal.compact(tmp_path / "b", keep=0, ensure_snapshot=snapshot(tmp_path / "b"))
    assert (report.window, report.categories, report.summaries) == (0, False, 3)
    found = list(journal.read(tmp_path / "b", types="summary"))
    assert {event.category for event in found} == {None}
    last = max(event.time for event in journal.history(tmp_path / "b", types="outcome", last=report.last))
    assert {(event.data["start"], event.data["end"]) for event in found} == {(START, last + 1)}


def test_a_quota_that_compaction_alone_can_meet_drops_nothing(tmp_path: Path) -> None:
    slow(tmp_path, 300)
    parts = usage(tmp_path)
    # Two snapshots, with what is remembered of settled tasks, take some 1.3 MB.
    report = journal.enforce_quota(tmp_path, parts["segments"] // 2 + 1_500_000, ensure_snapshot=snapshot(tmp_path))
    assert report.met, str(report)
    assert report.dropped == ()
    assert report.compacted > 0


def test_nothing_is_dropped_for_summaries_that_take_more_than_what_they_stand_for(tmp_path: Path) -> None:
    slow(tmp_path, 60)
    journal.archive(tmp_path)
    found, before = segments(tmp_path), usage(tmp_path)
    report = journal.enforce_quota(tmp_path, before["segments"] // 2, window="1h", ensure_snapshot=snapshot(tmp_path))
    assert (report.met, report.compacted, report.dropped) == (False, 0, ())
    assert "nothing would be won, a wider window takes less" in report.in_the_way[0]
    assert segments(tmp_path)[: len(found) - 1] == found[:-1]
    # What the user asks for is done where it is not for room.
    assert journal.compact(tmp_path, keep=0, window="1h", ensure_snapshot=snapshot(tmp_path)).window == HOUR


def test_a_crash_goes_on_with_the_grain_it_began_with(tmp_path: Path) -> None:
    slow(tmp_path, 500, categories=500, gap=DAY)

    def step(name: str) -> None:
        if name == "summary":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.compact(tmp_path, keep=0, ensure_snapshot=snapshot(tmp_path), step=step)
    report = journal.compact(tmp_path, keep=0, window="1d")
    assert (report.window, report.categories, report.summaries) == (0, False, 3)
    assert len(list(journal.read(tmp_path, types="summary"))) == 3
