"""From code that is not async: one event loop in a thread of its own, for all who wait."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

_T = TypeVar("_T")


class _Background:
    """An event loop that runs in a daemon thread, from the first call on. All callers share it, and so do the
    connections that its clients keep open."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.thread: threading.Thread | None = None
        self.lock = threading.Lock()

    def start(self) -> asyncio.AbstractEventLoop:
        with self.lock:
            if self.loop is None:
                self.loop = asyncio.new_event_loop()
                self.thread = threading.Thread(target=self.loop.run_forever, name="fairlead-providers", daemon=True)
                self.thread.start()
            return self.loop

    def stop(self) -> None:
        """What still runs is cancelled, and what its clients hold is closed."""
        with self.lock:
            loop, thread = self.loop, self.thread
            self.loop = self.thread = None
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(_wind_up(), loop).result(timeout=5)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(timeout=5)
        if not thread.is_alive():
            loop.close()


async def _wind_up() -> None:
    mine = asyncio.current_task()
    others = [task for task in asyncio.all_tasks() if task is not mine]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.get_running_loop().shutdown_asyncgens()


_background = _Background()


def _after_fork() -> None:
    global _background
    _background = _Background()  # the thread stayed with the parent


atexit.register(lambda: _background.stop())
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def in_background(work: Coroutine[Any, Any, _T]) -> Future[_T]:
    """Starts a coroutine on the background loop, for a caller that does not wait for it."""
    return asyncio.run_coroutine_threadsafe(work, _background.start())


def wait_for(work: Coroutine[Any, Any, _T]) -> _T:
    """The result of a coroutine, for a caller that is not async: in a plain program, in a thread, in a notebook, and in
    a function that some event loop is just running (which then stands still, as with any call that blocks).

    Raises RuntimeError on the background loop itself, where waiting would never end.
    """
    background = _background
    if background.thread is not None and background.thread.ident == threading.get_ident():
        work.close()
        raise RuntimeError("called on the event loop that would have to answer: await the async method instead")
    future = asyncio.run_coroutine_threadsafe(work, background.start())
    try:
        return future.result()
    except BaseException:
        future.cancel()  # on Ctrl-C the call is given up; otherwise it is over already
        raise
