"""Budgets where much happens at once: threads, tasks of an event loop, and a process that is killed."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

import fairlead as fl
from fairlead import _core
from fairlead.journal import read
from fairlead.providers import Answer

START = int(datetime(2026, 3, 28, tzinfo=timezone.utc).timestamp()) * 10**9
CENT = 10**7


def opened(folder: Path | None, clock: Any) -> fl.Fleet:
    fleet = fl.Fleet(clock=clock) if folder is None else fl.Fleet.open(folder, clock=clock)
    fleet.classifier = None
    for model in ("a", "b"):
        if model not in {known.name for known in fleet.models}:
            fleet.add(model)
            for i in range(50):  # after that many successes, its breaker lets 255 calls be in flight
                route = fleet.route(fl.Task(f"first of {model} {i}"), pin=model, bounds={model: 0})
                fleet.called(route, answer(model, 0))
    return fleet


def answer(model: str, usd: float) -> Answer:
    return Answer(fl.Forecast(model, p=0.5, cost_usd=usd))


@pytest.mark.parametrize("journal", [False, True])
def test_64_threads_never_overspend(tmp_path: Path, journal: bool) -> None:
    """Of 64 x 12 calls that may cost 2 cents and cost 1 or 2, a dollar a day is for some; nobody gets more."""
    fleet = opened(tmp_path / "desk" if journal else None, lambda: START)
    fleet.budgets.define(fl.Budget(1, "daily"), fl.Budget("0.3", "monthly", "model=b"))  # type: ignore[arg-type]
    alerts: list[fl.Alert] = []
    fleet.budgets.on_alert(alerts.append)
    start, most, paid = threading.Barrier(64), [0.0, 0], [0] * 64

    def work(me: int) -> None:
        dice = random.Random(me)
        start.wait()
        for i in range(12):
            model = dice.choice("ab")
            route = fleet.route(fl.Task(f"{me} {i}"), pin=model, bounds={model: 0.02})
            state = fleet.budgets.state()["all daily"]
            most[0] = max(most[0], state.spent_usd + state.held_usd)
            most[1] = max(most[1], round(state.held_usd / 0.02))
            if not route:
                assert route.refused_by in ("all daily", "model=b monthly")
                continue
            time.sleep(1e-4)  # others go on
            if dice.random() < 0.1:
                fleet.release(route)
                continue
            cents = dice.choice((1, 2))
            paid[me] += cents
            fleet.called(route, answer(model, cents / 100))

    threads = [threading.Thread(target=work, args=(me,)) for me in range(64)]
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that they take turns within a call of the façade
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(usual)
    assert most[1] > 4  # calls of several were under way at once
    state = fleet.budgets.state()
    assert most[0] <= 1
    assert round(state["all daily"].spent_usd * 100) == sum(paid)
    assert state["all daily"].held_usd == 0
    assert 0.9 < state["all daily"].spent_usd <= 1
    assert 0.2 < state["model=b monthly"].spent_usd <= 0.3
    assert fleet.costs().total.cost_usd == pytest.approx(sum(paid) / 100, abs=1e-12)
    said = Counter((alert.budget, alert.level) for alert in alerts)
    assert set(said.values()) == {1}
    assert set(said) == {(row.budget, level) for row in state for level in row.alerts}
    fleet.close()
    if journal:
        core, found = _core.fold_desk(str(tmp_path / "desk"), snapshots=False)
        assert core.state() == fleet._core.state()
        assert found["warnings"] == []


def test_several_threads_find_the_same_budgets() -> None:
    for _ in range(20):
        fleet, found, start = fl.Fleet(), [], threading.Barrier(8)

        def look(fleet: fl.Fleet = fleet, found: list[Any] = found, start: threading.Barrier = start) -> None:
            start.wait()
            found.append(fleet.budgets)

        threads = [threading.Thread(target=look) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(one is fleet.budgets for one in found)
        assert len(fleet.budgets) == 0


def test_many_tasks_of_one_loop_and_a_callback_that_waits() -> None:
    fleet = opened(None, lambda: START)
    fleet.budgets.define(fl.Budget(1, "daily"))
    told: list[str] = []

    @fleet.budgets.on_alert
    async def later(alert: fl.Alert) -> None:
        await asyncio.sleep(0)
        told.append(alert.level)

    async def one(i: int) -> bool:
        route = fleet.route(fl.Task(str(i)), pin="a", bounds={"a": 0.01})
        await asyncio.sleep(0)
        if route:
            fleet.called(route, answer("a", 0.01))
        return bool(route)

    async def main() -> None:
        assert sum(await asyncio.gather(*(one(i) for i in range(200)))) == 100
        await asyncio.sleep(0.01)

    asyncio.run(main())
    assert sorted(told) == ["critical", "exhausted", "warning"]
    assert fleet.budgets.state()["all daily"].spent_usd == 1
    assert [alert.level for alert in fleet.budgets.recent] == told


def test_a_callback_that_fails_breaks_no_call() -> None:
    fleet = opened(None, lambda: START)
    fleet.budgets.define(fl.Budget(1, "daily"))

    @fleet.budgets.on_alert
    def bad(alert: fl.Alert) -> None:
        raise ValueError("no")

    route = fleet.route(fl.Task("q"), pin="a", bounds={"a": 0.9})
    with pytest.warns(RuntimeWarning, match="bad failed on a budget alert with ValueError: no"):
        fleet.called(route, answer("a", 0.9))
    assert fleet.budgets.state()["all daily"].spent_usd == 0.9


def test_an_alert_that_nobody_heard_is_told_when_the_fleet_is_open_again(tmp_path: Path) -> None:
    """The process died between the spending and its alert: that is still due. After the alert's event it is told."""
    desk = tmp_path / "desk"
    fleet = opened(desk, lambda: START)
    fleet.budgets.define(fl.Budget(1, "daily"))
    route = fleet.route(fl.Task("q"), pin="a", bounds={"a": 0.9})
    fleet._core.called(route, lambda: START, 0, 0.9)  # as `called` does, but for the alerts
    fleet.close()
    assert [event for event in read(desk) if event.type == "alert"] == []
    for told in (["warning"], []):
        heard: list[fl.Alert] = []
        fleet = opened(desk, lambda: START)
        fleet.budgets.on_alert(heard.append)
        assert [alert.level for alert in heard] == told
        fleet.close()
    (event,) = [event for event in read(desk) if event.type == "alert"]
    assert (event.data["kind"], event.data["budget"], event.data["level"]) == ("budget", "all daily", "warning")


# Goes on where the last one was killed, a minute of its own clock a call, and says which alerts it was told of.
CHILD = """
import json, os, sys, warnings
from datetime import datetime, timedelta, timezone
import fairlead as fl
from fairlead.providers import Answer
desk, start, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
warnings.simplefilter("ignore", fl.JournalWarning)
now = [start]
fleet = fl.Fleet.open(desk, clock=lambda: now[0], snapshot_every=300, segment_bytes=1 << 16)
fleet.classifier = None
if not fleet.models:
    fleet.add("a")
fleet.budgets.set_zone("Europe/London")
fleet.budgets.define(fl.Budget(1, "daily"), fl.Budget(5, "weekly"))
fleet.budgets.on_alert(lambda a: os.write(1, (json.dumps([a.budget, a.level, a.period]) + "\\n").encode()))
os.write(1, b"open\\n")
i = n
while True:
    now[0] = start + (i - n) * 60 * 10**9
    route = fleet.route(fl.Task(f"q {i}"), pin="a", bounds={"a": 0.003})
    if route:
        fleet.called(route, Answer(fl.Forecast("a", p=0.5, cost_usd=0.002 if i % 3 else 0.003)))
    i += 1
    os.write(1, b"%d\\n" % now[0])
"""


@pytest.mark.skipif(os.name != "posix", reason="the journal is POSIX")
def test_killed_at_any_moment_each_alert_is_told_at_most_once_and_logged_exactly_once(tmp_path: Path) -> None:
    desk, dice = tmp_path / "desk", random.Random(5)
    told: Counter[tuple[str, ...]] = Counter()
    now, n = START, 0
    for _ in range(8):
        command = [sys.executable, "-c", CHILD, str(desk), str(now), str(n)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stderr is not None
            lines = [child.stdout.readline()]
            assert lines[0] in (b"open\n",) or lines[0].startswith(b"["), child.stderr.read().decode()
            end = time.monotonic() + 0.05 + dice.random() * 0.25
            os.set_blocking(child.stdout.fileno(), False)
            rest = b""
            while time.monotonic() < end:  # so that the pipe does not hold it up
                rest += child.stdout.read() or b""
                time.sleep(0.0005)
            child.send_signal(signal.SIGKILL)
            os.set_blocking(child.stdout.fileno(), True)
            rest += child.stdout.read()
        assert child.returncode == -signal.SIGKILL
        for line in lines + rest.split(b"\n")[:-1]:
            if line.startswith(b"["):
                told[tuple(json.loads(line))] += 1
            elif line.strip() and line != b"open\n" and line != b"open":
                now, n = int(line) + 60 * 10**9, n + 1
        n += 1_000_000  # tasks of its own
    assert n > 8_000_000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fl.JournalWarning)  # of what the last one left in shared memory
        fleet = fl.Fleet.open(desk, clock=lambda: now)
    with fleet:
        late: list[Any] = []
        fleet.budgets.on_alert(lambda a: late.append((a.budget, a.level, a.period)))
        told.update(late)
        state = fleet.budgets.state()
        core = fleet._core
        logged = Counter((e.data["budget"], e.data["level"], e.data["number"]) for e in read(desk) if e.type == "alert")
        assert len(logged) > 10
        assert set(logged.values()) == {1}
        assert set(told.values()) == {1}
        assert sum(told.values()) <= sum(logged.values())
        reached = Counter(row.budget for row in (*state.rows, *state.past) for _ in row.alerts)
        kept = {row.budget for row in state if row.budget == "all weekly"}  # whose periods are all kept apart
        for budget in kept:
            assert sum(1 for one in logged if one[0] == budget) == reached[budget]
        for row in (*state.rows, *state.past):
            assert row.spent_usd <= row.limit_usd
        assert sum(told.values()) >= sum(logged.values()) - 8  # a kill may come between the two, once a life
        expected = core.state()
    again, found = _core.fold_desk(str(desk), snapshots=False)
    assert again.state() == expected
    assert found["warnings"] == []
