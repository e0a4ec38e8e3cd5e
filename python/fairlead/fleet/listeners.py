"""Who is told when something happens: functions and coroutine functions. What goes wrong in one stops nobody."""

from __future__ import annotations

import asyncio
import atexit
import inspect
import os
import warnings
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from concurrent.futures import wait as wait_all
from typing import Any, Generic, TypeVar

from fairlead.errors import InvalidRecordError

T = TypeVar("T")
Listener = Callable[[T], Awaitable[object] | object]

_PATIENCE = 5.0
"""Seconds that leaving Python waits for coroutines that are still being told."""


class Listeners(Generic[T]):
    """Functions that are called with what happened, in the order in which they came.

    A coroutine function runs on the event loop of the caller, after the caller, or where there is none on one in a
    thread of its own. An exception becomes a RuntimeWarning.

    >>> heard = []
    >>> listeners = Listeners("budget alert")
    >>> listeners.add(heard.append)
    >>> listeners.tell("warning")
    >>> heard
    ['warning']
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._listeners: tuple[Listener[T], ...] = ()
        self._tasks: set[asyncio.Task[None]] = set()  # an event loop alone does not keep them alive
        self._elsewhere: set[Future[None]] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, listener: Listener[T]) -> None:
        """One more. Raises InvalidRecordError for what cannot be called."""
        if not callable(listener):
            raise InvalidRecordError(f"callback is {listener!r}, must be a function of one argument")
        self._listeners = (*self._listeners, listener)

    def remove(self, listener: Listener[T]) -> None:
        """One less. Raises InvalidRecordError where it is not among them."""
        if listener not in self._listeners:
            raise InvalidRecordError(f"callback is {listener!r}, which was not told of a {self._what}")
        at = self._listeners.index(listener)
        self._listeners = self._listeners[:at] + self._listeners[at + 1 :]

    def tell(self, news: T) -> None:
        """Calls them all."""
        problems: list[tuple[Listener[T], Exception]] = []
        for listener in self._listeners:
            try:
                found = listener(news)
                if inspect.isawaitable(found):
                    self._start(listener, found)
            except Exception as error:
                problems.append((listener, error))
        for listener, problem in problems:  # once all have been told: a warning may be turned into an error
            self._warn(listener, problem)

    def finish(self, timeout: float = _PATIENCE) -> bool:
        """Waits for coroutines on the loop of their own; whether they have ended. On a caller's loop they run there."""
        return not wait_all(tuple(self._elsewhere), timeout).not_done

    def _start(self, listener: Listener[T], work: Awaitable[object]) -> None:
        whole = self._run(listener, work)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            future = _own_loop(self, whole)
            self._elsewhere.add(future)
            future.add_done_callback(lambda done: self._ended(listener, done, self._elsewhere))
            return
        task = loop.create_task(whole)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(listener, done, self._tasks))

    async def _run(self, listener: Listener[T], work: Awaitable[object]) -> None:
        try:
            await work
        except Exception as error:
            self._warn(listener, error)

    def _ended(self, listener: Listener[T], done: Any, among: set[Any]) -> None:
        among.discard(done)
        if done.cancelled():
            self._warn(listener, asyncio.CancelledError("its event loop ended first"))

    def _warn(self, listener: Listener[T], error: BaseException) -> None:
        name = getattr(listener, "__qualname__", None) or repr(listener)
        told = f": {error}" if str(error) else ""
        warnings.warn(
            f"the callback {name} failed on a {self._what} with {type(error).__name__}{told}",
            RuntimeWarning,
            stacklevel=3,
        )


_waiting: weakref.WeakSet[Listeners[Any]] = weakref.WeakSet()


def _own_loop(listeners: Listeners[Any], work: Coroutine[Any, Any, None]) -> Future[None]:
    from fairlead.providers.waiting import in_background  # which ends its loop at exit

    if not _waiting:
        atexit.unregister(_finish_all)
        atexit.register(_finish_all)  # after the loop's, so that it comes before it
    _waiting.add(listeners)
    return in_background(work)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)  # what they wait for runs in the parent


def _finish_all() -> None:
    for listeners in tuple(_waiting):
        listeners.finish()
