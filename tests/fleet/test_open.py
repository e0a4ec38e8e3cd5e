"""A fleet on a journal: what is opened is what was left, and every event is what happened."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core
from fairlead.journal import read

Life = Callable[[int], Callable[[fl.Fleet, int], object]]
NARROW = fl.Settings(k=24, history=16, psi_reference=20, psi_window=20, remember=5)


def state(fleet: fl.Fleet) -> bytes:
    return fleet._core.state()


def events(desk: Path, *types: str) -> list[Any]:
    return list(read(desk, types=types or None))


def snapshots(desk: Path) -> list[Path]:
    return sorted((desk / "snapshots").glob("*.fleet"))


def decisions(fleet: fl.Fleet) -> list[str]:
    said = []
    for task in fleet.open_tasks:
        for strategy in fl.STRATEGIES:
            try:
                said.append(repr(fleet.decide(task, strategy=strategy)))
            except fl.NoForecastError as error:
                said.append(str(error))
    return said


@settings(max_examples=15)
@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(0, 150), min_size=1, max_size=4), snap=st.booleans())
def test_opened_at_any_place_it_is_the_fleet_in_memory(
    tmp_path_factory: pytest.TempPathFactory, live: Life, seed: int, lengths: list[int], snap: bool
) -> None:
    desk = tmp_path_factory.mktemp("desk")
    memory = fl.Fleet(settings=NARROW, clock=lambda: 7)
    step, i = live(seed), 0
    for length in lengths:
        with fl.Fleet.open(desk, settings=NARROW, clock=lambda: 7, sync="never") as fleet:
            assert state(fleet) == state(memory)
            assert decisions(fleet) == decisions(memory)
            for i in range(i, i + length):  # noqa: B020
                assert repr(step(fleet, i)) == repr(step(memory, i))
            i += 1
            assert state(fleet) == state(memory)
        if snap:
            _core.snapshot_desk(str(desk))
    with fl.Fleet.open(desk) as fleet:
        assert fleet.settings == NARROW
        assert (fleet.models, fleet.open_tasks) == (memory.models, memory.open_tasks)
        assert repr(fleet.leaderboard()) == repr(memory.leaderboard())
    folded, found = _core.fold_desk(str(desk), snapshots=False)
    assert folded.state() == state(memory)
    assert found["snapshot"] == 0


def test_events_say_what_happened(tmp_path: Path) -> None:
    times = iter(range(100, 200))
    with fl.Fleet.open(tmp_path / "desk", clock=times.__next__) as fleet:
        fleet.add(fl.Model("gpt", price_in=2.5))
        fleet.add("local")
        task = fl.Task("q", category="politics", slices={"horizon": "1d"})
        fleet.record(task, fl.Forecast("gpt", p=0.75, confidence=0.5, tokens_in=7))
        fleet.record("q", fl.Forecast("local", error="timeout", time=3))
        decision = fleet.decide("q")
        fleet.settle("q", 1, time=9, profit_usd=2.5)
        fleet.record(
            fl.Task("r", kind="categorical", labels=("up", "down"), time=4), fl.Forecast("gpt", p={"down": 1, "up": 0})
        )
        fleet.void("r")
        fleet.remove("local")
        assert fleet.open_tasks == ()
        fleet.sync()
    log = [event for event in events(tmp_path / "desk") if event.type != "name"]
    assert [event.type for event in log] == [
        *("settings", "model", "model", "task", "forecast", "forecast", "decision", "outcome"),
        *("task", "forecast", "closed", "model_removed"),
    ]
    by = {event.type: event for event in log[:8]}
    assert all(event.time > 0 for event in log)
    assert by["settings"].data["remember"] == 100_000
    assert log[1].data["price_in"] == 2.5
    assert log[1].model == "gpt"
    assert (by["task"].data["id"], by["task"].data["slices"], by["task"].data["task"]) == ("q", {"horizon": "1d"}, 1)
    assert by["task"].time == log[4].time  # one call, one time
    assert (log[4].data["p"], log[4].data["confidence"], log[4].data["tokens_in"]) == (0.75, 0.5, 7)
    assert (log[5].data["error"], log[5].time, log[5].model, log[5].category) == ("timeout", 3, "local", "politics")
    assert by["decision"].data["p"] == decision.p
    assert by["decision"].data["weights"] == {"gpt": 1.0}
    assert by["decision"].time == decision.time
    assert (by["outcome"].data["value"], by["outcome"].data["profit_usd"], by["outcome"].time) == (1.0, 2.5, 9)
    assert log[8].time == 4
    assert log[9].data["p"] == (0.0, 1.0)


def test_a_model_is_written_as_cpp_writes_it() -> None:
    """cpp/tests/test_fleet.cpp has C++ write the same: a model that was added from there is the same one here."""
    fleet = fl.Fleet()
    fleet.add(fl.Model("é", "lab", price_out=2.5, price_cached=1e-05, tags=("a/b\tc\n\b\f\r\x01\x7f", '"\\')))
    assert fleet._core.model("é") == (
        '{"name": "é", "provider": "lab", "tier": "standard", "price_in": 0.0, "price_out": 2.5, '
        r'"price_cached": 1e-05, "tags": ["a/b\tc\n\b\f\r\u0001'
        "\x7f"
        r'", "\"\\"]}'
    )
    fleet.add(fl.Model("w", price_cached=1e-05, price_written=3.75))
    assert '"tags": [], "price_written": 3.75}' in str(fleet._core.model("w"))
    for price in (
        *("100000.0", "0.0001", "0.00012345", "9.999e-05", "1000000000000000.0", "1e+16", "1.5e+300"),
        *("0.30000000000000004", "5e-324", "123456789.125"),
    ):
        fleet.add(fl.Model(price, price_in=float(price)))
        assert f'"price_in": {price},' in fleet._core.model(price)


def test_a_refused_call_is_no_event(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path / "desk") as fleet:
        fleet.add("a")
        fleet.record(fl.Task("q", category="x"), fl.Forecast("a", p=0.5))
        before, accepted = state(fleet), fleet.journal.accepted
        refused: list[Callable[[], object]] = [
            lambda: fleet.record("nope", fl.Forecast("a", p=0.5)),
            lambda: fleet.record(fl.Task("new"), fl.Forecast("nobody", p=0.5)),
            lambda: fleet.record(fl.Task("new"), fl.Forecast("a", value=0.5)),
            lambda: fleet.record(fl.Task("q", category="y"), fl.Forecast("a", p=0.5)),
            lambda: fleet.record("q", fl.Forecast("a", value=3.0)),
            lambda: fleet.record(fl.Task("new", text="\ud800"), fl.Forecast("a", p=0.5)),
            lambda: fleet.add("\ud800"),
            lambda: fleet.add(fl.Model("a", tier="fast")),
            lambda: fleet.remove("nobody"),
            lambda: fleet.settle("q", 2),
            lambda: fleet.settle("nope", 1),
            lambda: fleet.decide("nope"),
        ]
        for call in refused:
            with pytest.raises(fl.FairleadError):
                call()
        fleet.add("a")  # as it is already
        assert (state(fleet), fleet.journal.accepted) == (before, accepted)
        assert fleet.settle("q", 1)
        after = fleet.journal.accepted
        assert not fleet.settle("q", 1)
        assert fleet.journal.accepted == after


def test_settings_belong_to_the_journal(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path, settings=NARROW):
        pass
    with pytest.raises(fl.InvalidRecordError, match=r"k is 32\.0, but the journal is of a fleet with 24\.0"):
        fl.Fleet.open(tmp_path, settings=fl.Settings(history=16))
    with fl.Fleet.open(tmp_path, settings=NARROW) as fleet:  # the lock was given back
        assert fleet.settings == NARROW
    assert len(events(tmp_path, "settings")) == 1


def test_one_writer(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path), pytest.raises(fl.JournalLockedError):
        fl.Fleet.open(tmp_path)


def test_a_closed_fleet_can_be_read_and_not_changed(tmp_path: Path) -> None:
    fleet = fl.Fleet.open(tmp_path)
    fleet.add("a")
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.5))
    fleet.close()
    fleet.close()
    before = state(fleet)
    late = fl.Forecast("a", p=1.0)
    for call in (lambda: fleet.settle("q", 1), lambda: fleet.add("b"), lambda: fleet.record("q", late)):
        with pytest.raises(fl.JournalError, match="closed"):
            call()
    assert state(fleet) == before
    assert fleet.decide("q").p == 0.5
    assert fleet.unlogged == 1
    assert [task.id for task in fleet.open_tasks] == ["q"]


def test_in_memory_there_are_no_files_and_no_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    threads = threading.active_count()
    with fl.Fleet() as fleet:
        fleet.add("a")
        fleet.record(fl.Task("q"), fl.Forecast("a", p=0.5))
        assert fleet.journal is None
        fleet.sync()
        assert threading.active_count() == threads
    assert fleet.settle("q", 1)  # closing it changes nothing
    assert list(tmp_path.iterdir()) == []


def test_other_events_go_into_the_same_journal(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path) as fleet:
        fleet.journal.note("before any model", model="later", category="odd")
        fleet.add("a")
        fleet.journal.note("between", model="between")
        fleet.add("later")
        fleet.record(fl.Task("q", category="new"), fl.Forecast("later", p=0.25, time=5))
        fleet.journal.note("after", category="new")
        before = state(fleet)
    with fl.Fleet.open(tmp_path) as fleet:
        assert state(fleet) == before
        fleet.record(fl.Task("r", category="odd"), fl.Forecast("a", p=0.25, time=5))
        fleet.decide("r")
    said = [(event.model, event.category) for event in events(tmp_path, "forecast")]
    assert said == [("later", "new"), ("a", "odd")]
    assert events(tmp_path, "decision")[0].data["weights"] == {"a": 1.0}


def test_a_damaged_snapshot_is_rebuilt(tmp_path: Path, live: Life) -> None:
    step = live(3)
    with fl.Fleet.open(tmp_path) as fleet:
        for i in range(300):
            step(fleet, i)
        before = state(fleet)
    seq = _core.snapshot_desk(str(tmp_path))
    (file,) = snapshots(tmp_path)
    assert file.name == f"{seq:020}.fleet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.warns(fl.JournalWarning, match="passed over"):
        fleet = fl.Fleet.open(tmp_path)
    assert state(fleet) == before
    fleet.close()
    file.unlink()
    with fl.Fleet.open(tmp_path) as fleet:
        assert state(fleet) == before


def test_snapshots_are_written_in_the_background(tmp_path: Path, live: Life) -> None:
    step = live(4)
    with fl.Fleet.open(tmp_path, snapshot_every=50) as fleet:
        i, end = 0, time.monotonic() + 30
        while len(snapshots(tmp_path)) < 2 and time.monotonic() < end:
            for i in range(i, i + 100):  # noqa: B020
                step(fleet, i)
            i += 1
            time.sleep(0.05)
        before = state(fleet)
    assert len(snapshots(tmp_path)) == 2
    core, found = _core.fold_desk(str(tmp_path))
    assert core.state() == before
    assert found["snapshot"] > 50
    assert found["warnings"] == []


def test_closing_writes_one_where_much_is_new(tmp_path: Path, live: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    step = live(5)
    with fl.Fleet.open(tmp_path) as fleet:
        for i in range(100):
            step(fleet, i)
    assert snapshots(tmp_path) == []  # 100 events are folded in no time
    monkeypatch.setattr("fairlead.fleet.fleet._FEW", 10)
    with fl.Fleet.open(tmp_path) as fleet:
        for i in range(100, 200):
            step(fleet, i)
        fleet.sync()
    assert len(snapshots(tmp_path)) == 1


def test_a_snapshot_that_cannot_be_written_is_told(tmp_path: Path, live: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fairlead.fleet.fleet._FEW", 10)
    fleet = fl.Fleet.open(tmp_path)
    for i in range(100):
        live(6)(fleet, i)
    fleet.sync()
    (tmp_path / "snapshots").write_text("in the way")
    before = state(fleet)
    with pytest.warns(fl.JournalWarning, match="no snapshot could be written"):
        fleet.close()
    (tmp_path / "snapshots").unlink()
    with fl.Fleet.open(tmp_path) as fleet:
        assert state(fleet) == before


def test_arguments_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(fl.InvalidRecordError, match="snapshot_every is 0"):
        fl.Fleet.open(tmp_path / "x", snapshot_every=0)
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="overflow"):
        fl.Fleet.open(tmp_path / "x", overflow="sleep")
    (tmp_path / "file").write_text("")
    with pytest.raises(fl.JournalError, match=r"cannot make \S+/file: Not a directory"):
        fl.Fleet.open(tmp_path / "file")
    with pytest.raises(fl.JournalError, match=r"cannot make \S+/nowhere/desk: No such file or directory"):
        fl.Fleet.open(tmp_path / "nowhere" / "desk")
