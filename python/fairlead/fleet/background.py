"""What is done again and again in the background: on the event loop that runs, or on one in a thread."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from concurrent.futures import Future
from datetime import timedelta
from types import TracebackType
from typing import TypeVar

from fairlead.errors import InvalidRecordError
from fairlead.times import as_seconds

_Rounds = TypeVar("_Rounds", bound="Background")


class Background(ABC):
    """Rounds until `stop`, until the loop ends, or until the fleet is gone; they keep no process alive. Also a context
    manager.

    every: seconds, a span such as "30s", or a timedelta. Raises InvalidRecordError where it is not positive.
    """

    name: str

    def __init__(self, every: float | str | timedelta) -> None:
        self.every = as_seconds(every, "every")
        if not 0.0 < self.every < float("inf"):
            raise InvalidRecordError(f"every is {every!r}, must be positive")
        self._running: asyncio.Task[None] | Future[None] | None = None
        self.problem: BaseException | None = None
        """What a round raised, if one did: a journal that is full, say."""

    @abstractmethod
    async def _rounds(self) -> None:
        """All of them; it is cancelled by `stop`."""

    def start(self: _Rounds) -> _Rounds:
        """Begins, if they do not run already."""
        from fairlead.providers.waiting import in_background

        if not self.running:
            self.problem = None
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._running = in_background(self._rounds())
            else:
                self._running = loop.create_task(self._rounds(), name=self.name)
        return self

    def stop(self) -> None:
        """Ends them; what is under way is given up. From any thread, twice too."""
        running, self._running = self._running, None
        if running is None or running.done():
            return
        if isinstance(running, asyncio.Task):
            loop = running.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(running.cancel)
        else:
            running.cancel()

    @property
    def running(self) -> bool:
        """Whether they do."""
        return self._running is not None and not self._running.done()

    def __enter__(self: _Rounds) -> _Rounds:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} every {self.every:g} s, {'running' if self.running else 'stopped'}>"
