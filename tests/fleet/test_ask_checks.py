"""Health checks in the background: one probe an interval, through the same breaker; they start and stop cleanly."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_desk import FakeDesk

import fairlead as fl
from fairlead.fleet.checking import HealthChecks


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


class Sick:
    """Answers once it is well."""

    def __init__(self) -> None:
        self.hits = 0
        self.well = False

    async def __call__(self, task: fl.Task) -> float:
        self.hits += 1
        if not self.well:
            raise ConnectionResetError("gone")
        return 0.7


def sick_desk(clock: Any) -> tuple[FakeDesk, Sick]:
    desk, sick = FakeDesk(clock=clock, open_for="30s"), Sick()
    desk.add("a", sick)

    async def die() -> None:
        for number in range(5):
            await desk.asking.ask(fl.Task(f"q{number}"))

    asyncio.run(die())
    assert desk.gate("a") == "no"
    assert desk.emergency
    return desk, sick


def test_one_probe_an_interval_until_it_answers() -> None:
    clock = Clock()
    desk, sick = sick_desk(clock)
    checks = HealthChecks(desk)

    def rounds(n: int) -> list[dict[str, bool]]:
        async def run() -> list[dict[str, bool]]:
            return [await checks.check() for _ in range(n)]

        return asyncio.run(run())

    assert rounds(3) == [{}, {}, {}]
    clock.pass_(30)
    assert rounds(3) == [{"a": False}, {}, {}]
    clock.pass_(59)
    assert rounds(3) == [{}, {}, {}]  # twice as long
    clock.pass_(1)
    sick.well = True
    assert rounds(3) == [{"a": True}, {}, {}]
    assert sick.hits == 7
    assert desk.kinds("emergency") == [True, False]
    assert [task.id for task in desk.fleet.open_tasks] == [f"q{n}" for n in range(5)], "a check is no task"
    assert len(desk.kinds("void")) == 2
    assert not desk.open


def until(true: Callable[[], Any]) -> None:
    for _ in range(500):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come")


def test_in_a_thread_for_code_that_is_not_async() -> None:
    clock = Clock()
    desk, sick = sick_desk(clock)
    clock.pass_(31)
    sick.well = True
    with HealthChecks(desk, every=0.01) as checks:
        until(lambda: desk.gate("a") == "yes" and not desk.emergency)
        assert checks.running
    until(lambda: not checks.running)
    assert checks.problem is None
    assert sick.hits == 6


def test_on_the_loop_of_the_caller() -> None:
    async def main() -> None:
        checks = HealthChecks(desk, every=0.005).start()
        assert checks.start() is checks  # twice is once
        await asyncio.sleep(0.05)
        assert sick.hits == 6
        checks.stop()
        checks.stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not checks.running

    clock = Clock()
    desk, sick = sick_desk(clock)
    clock.pass_(31)
    sick.well = True
    asyncio.run(main())


def test_a_check_that_is_stopped_in_the_middle_leaves_nothing_open() -> None:
    clock = Clock()
    desk, _ = sick_desk(clock)
    clock.pass_(31)

    async def hang(task: fl.Task) -> float:
        await asyncio.sleep(3600)
        return 0.5

    desk._who["a"] = desk._who["a"][0], fl.providers.as_provider(hang)

    async def main() -> None:
        checks = HealthChecks(desk, every=1.0).start()
        await asyncio.sleep(0.02)
        assert desk.open
        checks.stop()
        await asyncio.sleep(0.02)
        assert not desk.open

    asyncio.run(main())
    assert desk.kinds("called")[-1] == ("a", "cancelled", 1)


def test_they_end_with_the_fleet() -> None:
    clock = Clock()
    desk, _ = sick_desk(clock)
    checks = HealthChecks(desk, every=0.01).start()
    until(lambda: checks.running)
    del desk
    gc.collect()
    until(lambda: not checks.running)
    assert checks.problem is None


def test_what_ends_them_is_told() -> None:
    clock = Clock()
    desk, _ = sick_desk(clock)
    clock.pass_(31)
    desk.route = lambda *_, **__: 1 / 0  # type: ignore[method-assign,assignment]
    checks = HealthChecks(desk, every=0.01).start()
    until(lambda: not checks.running)
    assert isinstance(checks.problem, ZeroDivisionError)


def test_what_cannot_be() -> None:
    desk = FakeDesk()
    for wrong in ({"every": 0}, {"every": "soon"}, {"task": 3}, {"every": float("inf")}):
        with pytest.raises(fl.InvalidRecordError, match=next(iter(wrong))):
            HealthChecks(desk, **wrong)


def test_a_task_of_ones_own() -> None:
    clock = Clock()
    desk, _ = sick_desk(clock)
    clock.pass_(31)
    asked: list[fl.Task] = []

    async def note(task: fl.Task) -> float:
        asked.append(task)
        return 0.5

    desk._who["a"] = desk._who["a"][0], fl.providers.as_provider(note)
    checks = HealthChecks(desk, task=lambda model: fl.Task("mine", text=f"Are you there, {model.name}?"))
    asyncio.run(checks.check())
    assert asked[0].text == "Are you there, a?"
    assert asked[0].id.startswith("mine of a at ")


def test_no_process_is_kept_alive() -> None:
    here = Path(__file__).resolve().parent
    code = f"""
import sys
sys.path.insert(0, {str(here)!r})
from fake_desk import FakeDesk
from fairlead.fleet.checking import HealthChecks
desk = FakeDesk()
HealthChecks(desk, every=0.01).start()
print("left")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "left\n", "")
