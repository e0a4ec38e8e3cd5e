"""What a fleet refuses: named, with its value, and before anything is made or changed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fairlead as fl
from fairlead import _core

BAD = "\ud800"


@pytest.fixture
def fleet() -> fl.Fleet:
    fleet = fl.Fleet()
    fleet.add("m")
    fleet.record(fl.Task("t"), fl.Forecast("m", p=0.5))
    return fleet


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda f: f.decide(BAD), r"task is '\\ud800', which is no text"),
        (lambda f: f.settle(BAD, 1), r"task is '\\ud800', which is no text"),
        (lambda f: f.settle(BAD, 1, time="2026-01-01"), r"task is '\\ud800', which is no text"),
        (lambda f: f.void(BAD), r"task is '\\ud800', which is no text"),
        (lambda f: f.remove(BAD), r"model is '\\ud800', which is no text"),
        (lambda f: f.remove(3), "model is 3, must be a string"),
        (lambda f: f.recent(BAD, "1h"), r"model is '\\ud800', which is no text"),
        (lambda f: f.recent(None, "1h"), "model is None, must be a string"),
        (lambda f: f.leaderboard(category=BAD), r"category is '\\ud800', which is no text"),
        (lambda f: f.leaderboard(category=3), "category is 3, must be a string"),
        (lambda f: f.leaderboard(**{BAD: "x"}), r"slice is '\\ud800', which is no text"),
        (lambda f: f.recent("m", "1h", category=3), "category is 3, must be a string"),
    ],
)
def test_what_is_no_text(fleet: fl.Fleet, call: Callable[[fl.Fleet], object], said: str) -> None:
    before = fleet._core.state()
    with pytest.raises(fl.InvalidRecordError, match=said):
        call(fleet)
    assert fleet._core.state() == before


@pytest.mark.parametrize("now", [1.5, None, "12:00", 2**70])
def test_a_clock_that_gives_no_time(tmp_path: Path, now: Any) -> None:
    ticks: list[Any] = []
    with fl.Fleet.open(tmp_path, clock=lambda: ticks.pop() if ticks else 7) as fleet:
        fleet.add("m")
        fleet.record(fl.Task("t"), fl.Forecast("m", p=0.5))
        before, accepted = fleet._core.state(), fleet.journal.accepted
        for call in (
            lambda: fleet.add("n"),
            lambda: fleet.remove("m"),
            lambda: fleet.record("t", fl.Forecast("m", p=0.5)),
            lambda: fleet.decide("t"),
            lambda: fleet.settle("t", 1),
            lambda: fleet.void("t"),
            lambda: fleet.recent("m", "1h"),
        ):
            ticks.append(now)
            with pytest.raises(fl.InvalidRecordError, match="clock"):
                call()
            assert ticks == []
        assert (fleet._core.state(), fleet.journal.accepted) == (before, accepted)
    with pytest.raises(fl.InvalidRecordError, match="clock is 3, must be a function"):
        fl.Fleet(clock=3)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"settings": {"k": 10}}, fl.InvalidRecordError, r"settings is \{'k': 10\}, must be Settings"),
        ({"snapshot_every": "a"}, fl.InvalidRecordError, "snapshot_every is 'a', must be an integer"),
        ({"snapshot_every": 1.5}, fl.InvalidRecordError, r"snapshot_every is 1\.5, must be an integer"),
        ({"clock": 3}, fl.InvalidRecordError, "clock is 3, must be a function"),
        ({"store": "mysql://x"}, fl.StoreError, "a store is on sqlite:// or postgresql://"),
        ({"store": "/no/such/folder/x.sqlite"}, fl.StoreError, "there is no folder"),
        ({"store": 3}, fl.StoreError, "place is 3, must be a URL, a file or a folder"),
    ],
)
def test_arguments_are_checked_before_a_desk_is_made(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    desk = tmp_path / "desk"
    with pytest.raises(error, match=said):
        fl.Fleet.open(desk, **({"settings": fl.Settings(k=10)} | options))
    assert not desk.exists()
    with pytest.raises(fl.InvalidRecordError, match="settings is"):
        fl.Fleet(settings={"k": 10})
    with fl.Fleet.open(desk, settings=fl.Settings(k=20)) as fleet:  # whatever was asked for before
        assert fleet.settings.k == 20


def test_a_store_in_a_desk_that_is_not_there_yet(tmp_path: Path) -> None:
    for place in (tmp_path / "a", tmp_path / "b" / "mine.sqlite"):
        folder = tmp_path / place.relative_to(tmp_path).parts[0]
        with fl.Fleet.open(folder, store=place) as fleet:
            fleet.add("m")
        with fl.Store(place) as store:
            assert store.state.last_seq > 0


def test_answers_do_not_go_past_the_fleet(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path) as fleet:
        fleet.add("m")
        fleet.record(fl.Task("t"), fl.Forecast("m", p=0.6))
        model = fleet.journal.name("models", "m")
        before, accepted = fleet._core.state(), fleet.journal.accepted
        for call in (
            lambda: fleet.journal.forecast(1, model, None, 5, 0.01),
            lambda: fleet.journal.forecasts([1], model, None, 5, 0.01),
            lambda: fleet.journal.append("forecast", {}),
            lambda: fleet.journal.append_bytes("outcome", 5, None, None, b""),
            lambda: fleet.journal.append_bytes(20, 5, None, None, b""),
            lambda: fleet.journal.append_many("task", 5, None, None, np.zeros((1, 8), np.uint8)),
        ):
            with pytest.raises(fl.InvalidRecordError, match="type is"):
                call()
        assert fleet.journal.accepted == accepted
        fleet.journal.note("other events are welcome")
        fleet.journal.append(2000, b"\xff")
        fleet.journal.append_many("custom", 5, None, None, np.zeros((2, 8), np.uint8))
        assert fleet._core.state() == before
        assert fleet.decide("t").answer == 0.6
        after = fleet._core.state()
    assert _core.fold_desk(str(tmp_path))[0].state() == after


# --- closing ---


def test_closing_ends_the_store_where_the_journal_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = fl.Fleet.open(tmp_path, store=tmp_path)
    fleet.add("m")
    fleet.sync()
    journal, store = fleet.journal, fleet.store
    assert journal is not None
    assert store is not None
    real = journal.close

    def refuse() -> None:
        real()
        raise fl.JournalError("the disk refuses")

    monkeypatch.setattr(journal, "close", refuse)
    assert fleet._snapshots is not None
    fleet._snapshots.problem = OSError("no room")
    with (
        pytest.raises(fl.JournalError, match="the disk refuses"),
        pytest.warns(fl.JournalWarning, match="no snapshot could be written: no room"),
    ):
        fleet.close()
    assert not store.running
    assert fleet.store is None
    assert "fairlead-store" not in [thread.name for thread in threading.enumerate()]
    fleet.close()


def test_a_snapshot_that_was_made_good_is_not_told(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    fleet = fl.Fleet.open(tmp_path)
    fleet.add("m")
    fleet.sync()
    snapshots = fleet._snapshots
    assert snapshots is not None
    (tmp_path / "snapshots").write_text("in the way")
    with pytest.raises(fl.JournalError) as told:
        snapshots.take()
    snapshots.problem = told.value  # as its thread does
    (tmp_path / "snapshots").unlink()
    assert snapshots.take() > 0
    fleet.close()
    assert [str(w.message) for w in recwarn.list] == []
