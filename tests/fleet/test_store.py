"""What a fleet on a journal is wired to: SQL tables, and reflection."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairlead as fl


def live(desk: Path, **options: object) -> fl.Fleet:
    fleet = fl.Fleet.open(desk, clock=lambda: 1_700_000_000_000_000_000, **options)
    for name in ("good", "bad"):
        fleet.add(name)
    for n in range(30):
        task = fl.Task(f"q-{n}", category="even" if n % 2 == 0 else "odd")
        fleet.record(task, fl.Forecast("good", p=0.9 if n % 2 == 0 else 0.1, cost_usd=0.01))
        fleet.record(task, fl.Forecast("bad", p=0.4))
        fleet.decide(task)
        fleet.settle(task, 1 - n % 2, time=n + 1)
    return fleet


def test_a_store_is_kept_up_to_date(tmp_path: Path) -> None:
    desk = tmp_path / "desk"
    with live(desk, store=desk) as fleet:
        assert fleet.store is not None
        fleet.sync()
        assert fleet.store.flush(30)
        decided = fleet.store.store.query("SELECT count(*) AS n FROM ensemble_decisions WHERE status = 'settled'")
        assert decided == [{"n": 30}]
        brier = fleet.leaderboard()["good"].brier
    assert fleet.store is None
    with fl.Store(desk) as store:
        (row,) = store.query(
            "SELECT sum(brier_sum) / sum(scored) AS brier, sum(cost_usd) AS cost FROM model_performance"
            " WHERE window_length = 3600000000000 AND category = '' AND model_name = 'good'"
        )
        assert row["brier"] == pytest.approx(brier)
        assert row["cost"] == pytest.approx(0.3)
        last = store.query("SELECT max(seq) AS seq FROM journal_entries")[0]["seq"]
    assert last == max(event.seq for event in fl.journal.read(desk))


def test_without_a_store_there_is_none(tmp_path: Path) -> None:
    with live(tmp_path / "desk") as fleet:
        assert fleet.store is None
    assert not (tmp_path / "desk" / "store.sqlite").exists()


def test_a_store_that_cannot_be_leaves_the_desk_free(tmp_path: Path) -> None:
    with pytest.raises(fl.StoreError):
        fl.Fleet.open(tmp_path / "desk", store="nosuch://host/db")
    fl.Fleet.open(tmp_path / "desk").close()  # nobody holds it


def test_a_reflection_is_of_all_that_happened(tmp_path: Path) -> None:
    with live(tmp_path / "desk") as fleet:
        found = fleet.reflect("good")
        assert found.kinds
        assert found["binary"].performance.brier == pytest.approx(fleet.leaderboard()["good"].brier)
        with pytest.raises(fl.UnknownModelError, match="gud"):
            fleet.reflect("gud")


def test_a_fleet_in_memory_has_no_record() -> None:
    fleet = fl.Fleet()
    fleet.add("a")
    with pytest.raises(fl.JournalError, match="in memory"):
        fleet.reflect("a")
