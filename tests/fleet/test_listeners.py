"""Who is told: functions and coroutine functions, on the caller's loop or one of their own; failures stop nobody."""

from __future__ import annotations

import asyncio
import functools
import os
import subprocess
import sys
import threading
import warnings

import pytest

import fairlead as fl
from fairlead.fleet.listeners import Listeners


def test_all_are_told_in_order_whatever_one_of_them_does() -> None:
    heard: list[str] = []
    listeners: Listeners[str] = Listeners("budget alert")

    def bad(news: str) -> None:
        raise ValueError(f"no {news}")

    for listener in (lambda news: heard.append(f"first {news}"), bad, lambda news: heard.append(f"last {news}")):
        listeners.add(listener)
    with pytest.warns(RuntimeWarning, match=r"bad failed on a budget alert with ValueError: no news"):
        listeners.tell("news")
    assert heard == ["first news", "last news"]
    with warnings.catch_warnings():  # also where warnings are errors, all have been told first
        warnings.simplefilter("error")
        with pytest.raises(RuntimeWarning, match="bad failed"):
            listeners.tell("more")
    assert heard[2:] == ["first more", "last more"]
    listeners.remove(bad)
    listeners.tell("again")
    assert len(heard) == 6


def test_a_coroutine_runs_on_the_loop_of_the_caller() -> None:
    heard: list[tuple[str, bool]] = []

    async def later(news: str) -> None:
        await asyncio.sleep(0)
        heard.append((news, threading.current_thread() is threading.main_thread()))

    async def main() -> None:
        listeners: Listeners[str] = Listeners("test")
        listeners.add(later)
        listeners.add(functools.partial(later))  # which inspect does not take for a coroutine function
        listeners.tell("news")
        assert heard == []  # after the caller
        await asyncio.sleep(0.01)
        assert listeners.finish(0)

    asyncio.run(main())
    assert heard == [("news", True)] * 2


def test_without_a_loop_it_runs_on_one_of_its_own() -> None:
    heard: list[bool] = []

    async def later(news: str) -> None:
        await asyncio.sleep(0.02)
        heard.append(threading.current_thread() is threading.main_thread())

    listeners: Listeners[str] = Listeners("test")
    listeners.add(later)
    listeners.tell("news")
    assert not listeners.finish(0)
    assert listeners.finish(5)
    assert heard == [False]


def test_what_a_coroutine_raises_is_a_warning() -> None:
    async def bad(news: str) -> None:
        raise ValueError("no")

    async def main() -> None:
        listeners.tell("news")
        await asyncio.sleep(0.01)

    listeners: Listeners[str] = Listeners("test")
    listeners.add(bad)
    with pytest.warns(RuntimeWarning, match=r"bad failed on a test with ValueError: no"):
        asyncio.run(main())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        listeners.tell("news")
        assert listeners.finish()
    assert [str(one.message) for one in caught] == [
        "the callback " + bad.__qualname__ + " failed on a test with ValueError: no"
    ]


def test_a_loop_that_ends_first_is_told() -> None:
    async def slow(news: str) -> None:
        await asyncio.sleep(60)

    async def main() -> None:
        listeners.tell("news")
        await asyncio.sleep(0)

    listeners: Listeners[str] = Listeners("test")
    listeners.add(slow)
    with pytest.warns(RuntimeWarning, match=r"slow failed on a test with CancelledError: its event loop ended first"):
        asyncio.run(main())


def test_leaving_python_waits_for_coroutines() -> None:
    code = """
import asyncio
from fairlead.fleet.listeners import Listeners
async def later(news):
    await asyncio.sleep(0.2)
    print(news)
listeners = Listeners("test")
listeners.add(later)
listeners.tell("news")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "news\n"
    assert run.stderr == ""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_does_not_wait_for_what_runs_in_its_parent() -> None:
    code = """
import asyncio, os, sys, time, warnings
from fairlead.fleet.listeners import Listeners
async def later(news):
    await asyncio.sleep(1)
listeners = Listeners("test")
listeners.add(later)
listeners.tell("news")
warnings.simplefilter("ignore", DeprecationWarning)  # of threads and fork
began = time.monotonic()
if os.fork() == 0:
    sys.exit(0)  # with all that runs at exit
os.wait()
print(time.monotonic() - began < 0.9)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "True\n"


def test_one_may_leave_while_being_told() -> None:
    heard: list[str] = []
    listeners: Listeners[str] = Listeners("test")

    def once(news: str) -> None:
        listeners.remove(once)
        heard.append(news)

    listeners.add(once)
    listeners.add(heard.append)
    listeners.tell("a")
    listeners.tell("b")
    assert heard == ["a", "a", "b"]
    assert len(listeners) == 1


def test_what_is_no_callback_is_refused() -> None:
    listeners: Listeners[str] = Listeners("test")
    with pytest.raises(fl.InvalidRecordError, match="callback is 3, must be a function"):
        listeners.add(3)  # type: ignore[arg-type]
    with pytest.raises(fl.InvalidRecordError, match="was not told of a test"):
        listeners.remove(print)
