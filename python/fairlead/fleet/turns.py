"""Those who wait for a call of somebody else to end: for a slot of a model that is not proven yet, or for money."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from collections import deque
from collections.abc import Hashable

_LOOK_AGAIN = 1.0
"""Seconds after which the first in a line looks again, though nobody rang: a call may have been lost."""


class Turns:
    """Lines of waiting tasks, on any event loops and in any threads: one for each wish, since only those who want the
    same stand in each other's way.

    When a call ends, the first of each line looks whether there is something for it; it goes, and wakes the next, or
    goes on waiting, and so do all behind it. So an end costs one look, however many wait.
    """

    def __init__(self) -> None:
        self.ended = 0
        """Another number whenever a call has ended: read it before you look, and nothing is missed."""
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._lines: dict[Hashable, deque[Turn]] = {}

    def ring(self) -> None:
        """A call has ended."""
        self.ended = next(self._numbers)
        if self._lines:
            with self._lock:
                first = [line[0] for line in self._lines.values()]
            for turn in first:
                turn.wake()

    def join(self, wish: Hashable) -> Turn:
        """A place at the end of the line. It must be left."""
        turn = Turn(self, wish)
        with self._lock:
            self._lines.setdefault(wish, deque()).append(turn)
        return turn

    def is_first(self, turn: Turn) -> bool:
        line = self._lines.get(turn.wish)
        return line is not None and line[0] is turn

    def leave(self, turn: Turn) -> None:
        """The next one is woken where the first leaves."""
        with self._lock:
            line = self._lines[turn.wish]
            was_first = line[0] is turn
            line.remove(turn)
            if not line:
                del self._lines[turn.wish]
                return
            following = line[0]
        if was_first:
            following.wake()


class Turn:
    """A place in a line, on the event loop it was joined from."""

    __slots__ = ("_future", "_loop", "_turns", "_woken", "wish")

    def __init__(self, turns: Turns, wish: Hashable) -> None:
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._future: asyncio.Future[None] | None = None
        self._woken = False
        self.wish = wish

    async def come(self, seen: int, seconds: float) -> bool:
        """Waits until it is worth while to look again, at most so long. False where the time is over and others are
        before it. seen: `Turns.ended` before the last look."""
        if self._turns.is_first(self):
            if self._turns.ended != seen:
                return True
            seconds = min(seconds, _LOOK_AGAIN)
        self._future = self._loop.create_future()
        if self._woken or (self._turns.is_first(self) and self._turns.ended != seen):  # in the meantime, by a thread
            self._rise()
        timer = self._loop.call_later(max(seconds, 0.0), self._rise)
        try:
            await self._future
        finally:
            timer.cancel()
            self._future = None
            self._woken = False
        return self._turns.is_first(self)

    def wake(self) -> None:
        """From any thread."""
        self._woken = True
        try:
            if asyncio.get_running_loop() is self._loop:
                return self._rise()
        except RuntimeError:
            pass
        with contextlib.suppress(RuntimeError):  # its loop was closed: it has gone
            self._loop.call_soon_threadsafe(self._rise)

    def _rise(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def leave(self) -> None:
        self._turns.leave(self)
