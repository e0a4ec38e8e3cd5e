"""`fairlead replay desk/`: what a fleet lived, once more."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fairlead as fl
from fairlead import _core
from fairlead.cli import main


def trade(desk: Path, tasks: int = 200, kind: str = "binary") -> fl.Fleet:
    """Two models, one better than the other; outcomes come three tasks late."""
    dice = np.random.default_rng(1)
    with fl.Fleet.open(desk) as fleet:
        fleet.add("good")
        fleet.add("bad")
        truth = dice.integers(0, 2, tasks)
        for i in range(tasks):
            now = (i + 1) * 10**9
            task = fl.Task(f"q{i}", kind=kind, category="xy"[i % 2], time=now)
            for model, noise in (("good", 0.2), ("bad", 0.6)):
                p = float(abs(truth[i] - noise * dice.random()))
                answer = {"p": p} if kind == "binary" else {"value": p}
                fleet.record(task, fl.Forecast(model, **answer, cost_usd=0.5, time=now))
            if i >= 3:
                fleet.settle(f"q{i - 3}", int(truth[i - 3]), time=now + 1)
    return fleet


def test_it_is_what_a_table_of_the_same_would_be(tmp_path: Path) -> None:
    import pandas as pd

    from fairlead.journal import read

    fleet = trade(tmp_path)
    tasks = {e.data["task"]: e for e in read(tmp_path, types="task")}
    outcomes = {e.data["task"]: e for e in read(tmp_path, types="outcome")}
    rows = [
        {
            "time": e.time,
            "task": tasks[e.data["task"]].data["id"],
            "model": e.model,
            "p": e.data["p"],
            "category": e.category,
            "cost_usd": e.data["cost_usd"],
            "outcome": outcomes[e.data["task"]].data["value"] if e.data["task"] in outcomes else None,
            "outcome_time": outcomes[e.data["task"]].time if e.data["task"] in outcomes else None,
        }
        for e in read(tmp_path, types="forecast")
    ]
    frame = pd.DataFrame(rows)
    frame["outcome_time"] = frame["outcome_time"].astype("Int64")
    table, lived = fl.replay(frame), fl.replay(tmp_path)
    assert repr(lived.strategies) == repr(table.strategies)
    assert (lived.tasks, lived.unsettled, lived.forecasts) == (197, 3, 400)
    assert repr(lived.slices) == repr(table.slices)
    assert [m.to_dict() for m in lived.models] == [m.to_dict() for m in table.models]
    assert lived.best_single == "good"
    board = fleet.leaderboard()
    assert [(m.model, m.elo, m.cost_usd) for m in lived.models] == [(r.model, r.elo, r.cost_usd) for r in board]
    assert np.array_equal(lived.history_time, table.history_time)
    np.testing.assert_array_equal(lived.history_elo, table.history_elo)


def test_the_state_is_the_one_that_opening_ends_in(tmp_path: Path) -> None:
    trade(tmp_path, 50)
    first = fl.replay(str(tmp_path)).state
    assert first is not None
    assert first.snapshot is None
    seq = _core.snapshot_desk(str(tmp_path))
    trade_more = fl.Fleet.open(tmp_path)
    trade_more.settle("q49", 1, time=10**12)
    trade_more.close()
    after = fl.replay(tmp_path).state
    assert after is not None
    assert (after.snapshot, after.agrees, after.event) == (seq, True, first.event + 1)
    assert after.crc != first.crc
    core, _ = _core.fold_desk(str(tmp_path))
    assert core.last == after.event
    assert str(after).startswith(f"state at event {after.event}: {after.crc:08x}; the snapshot of event {seq} agrees")


def test_a_warmup_is_learned_from_and_not_scored(tmp_path: Path) -> None:
    trade(tmp_path)
    whole, late = fl.replay(tmp_path), fl.replay(tmp_path, warmup=100 * 10**9)
    assert late.tasks == whole.tasks - 100
    assert [m.elo for m in late.models] == [m.elo for m in whole.models]


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    trade(tmp_path, 30)
    with fl.Fleet.open(tmp_path) as fleet:
        for i, labels in enumerate([("up", "down"), ("up", "down"), ("a", "b", "c")]):
            task = fl.Task(f"c{i}", kind="categorical", labels=labels, time=10**12 + i)
            fleet.record(task, fl.Forecast("good", p=dict.fromkeys(labels, 1 / len(labels))))
            fleet.add(f"late {i}")
            fleet.settle(task, labels[0], time=10**12 + i)
    with pytest.raises(fl.TableError, match="binary and categorical forecasts: say which"):
        fl.replay(tmp_path)
    with pytest.raises(fl.TableError, match="kind is 'numeric'; there are binary and categorical"):
        fl.replay(tmp_path, kind="numeric")
    result = fl.replay(tmp_path, kind="categorical")
    assert (result.tasks, result.labels, result.kind) == (3, (), "categorical")  # no one set of labels
    assert fl.replay(tmp_path, kind="binary").tasks == 27
    assert len(result.models) == 5
    assert result.history_elo.shape == (len(result.history_time), 5)


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trade(tmp_path, 40)
    _core.snapshot_desk(str(tmp_path))
    assert main(["replay", str(tmp_path), "--report", str(tmp_path / "r.html")]) == 0
    out = capsys.readouterr().out
    assert "state at event" in out
    assert "agrees" in out
    assert "hedge" in out
    assert main(["replay", str(tmp_path), "--json", "--kind", "binary"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["state"]["agrees"] is True
    assert told["tasks"] == 37


def complain(tmp_path: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["replay", str(tmp_path), *words]) == 2
    return capsys.readouterr().err


def test_what_cannot_be_replayed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no journal" in complain(tmp_path, capsys)
    with fl.Fleet.open(tmp_path / "empty"):
        pass
    assert "no forecasts in 1 events" in complain(tmp_path / "empty", capsys)
    trade(tmp_path / "desk", 20)
    assert "slices is ['horizon']" in complain(tmp_path / "desk", capsys, "--slice", "horizon")
    call: Callable[[], object] = lambda: fl.replay(tmp_path / "desk", settings=fl.Settings(k=8))  # noqa: E731
    with pytest.raises(fl.InvalidRecordError, match="settings"):
        call()


def test_a_snapshot_of_another_course_is_not_compared_with(tmp_path: Path) -> None:
    """A power cut took the end of the journal, which went on differently and further; a snapshot of the lost end is
    left."""

    def play(desk: Path, first: int, last: int, p: float) -> None:
        ticks = iter(range(1, 10**6))
        with fl.Fleet.open(desk, clock=lambda: next(ticks)) as fleet:
            fleet.add("m")
            for i in range(first, last):
                fleet.record(fl.Task(f"t{i}"), fl.Forecast("m", p=p))
                fleet.settle(f"t{i}", 1)

    cut, lost = tmp_path / "desk", tmp_path / "lost"
    play(cut, 0, 10, 0.9)
    older = _core.snapshot_desk(str(cut))
    shutil.copytree(cut, lost)
    play(lost, 10, 20, 0.9)
    seq = _core.snapshot_desk(str(lost))
    play(cut, 10, 30, 0.2)
    shutil.copy(lost / "snapshots" / f"{seq:020}.fleet", cut / "snapshots")
    state = fl.replay(cut).state
    assert state is not None
    assert state.event > seq > older
    assert (state.snapshot, state.agrees) == (older, True)
    (cut / "snapshots" / f"{older:020}.fleet").unlink()
    state = fl.replay(cut).state
    assert state is not None
    assert state.snapshot is None


def test_the_history_has_no_more_rows_than_it_may(tmp_path: Path) -> None:
    """Outcomes come between the answers of one time; each time counts once."""
    with fl.Fleet.open(tmp_path, sync="never") as fleet:
        fleet.add("m")
        for day in range(1000):
            now = 10**18 + day * 100
            for k in range(3):
                task = fl.Task(f"{day}-{k}", time=now)
                fleet.record(task, fl.Forecast("m", p=0.6, time=now))
                fleet.settle(task, k % 2, time=now + 50)
    times = fl.replay(tmp_path).history_time
    assert 300 <= len(times) <= 400
    assert (times[0], times[-1]) == (10**18, 10**18 + 99_950)


def test_it_tells_how_far_it_is(tmp_path: Path) -> None:
    trade(tmp_path, 40)
    with fl.Fleet.open(tmp_path) as fleet:
        for _ in range(2):
            fleet.journal.append_many("custom", 5, None, None, np.zeros((60_000, 8), np.uint8))
    seen: list[tuple[int, int]] = []
    whole = fl.replay(tmp_path, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(80, 80)] * 3  # twice on the way
    assert repr(whole.strategies) == repr(fl.replay(tmp_path).strategies)

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fl.replay(tmp_path, progress=stop)


def test_what_was_not_scored_has_its_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with fl.Fleet.open(tmp_path) as fleet:
        fleet.add("m")
        fleet.record(fl.Task("t", time=10**18), fl.Forecast("m", error="timeout", time=10**18))
        fleet.settle("t", 1, time=10**18 + 1)
    assert main(["replay", str(tmp_path)]) == 0
    told = capsys.readouterr().err
    assert "nothing was scored" in told
    assert "warm-up" not in told
