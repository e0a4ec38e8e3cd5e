"""Snapshots of a desk, written in the background from a reader of its journal: the loop never waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fairlead._core import snapshot_desk

_POLL = 0.5  # seconds between two looks at how far the journal has come


class Snapshots:
    """Writes a snapshot whenever `every` events have come since the last one, in a thread of its own.

    written: how far the journal has come, None once there is nobody left to write for. last: the event of the newest
    snapshot. What cannot be written is tried again after `every` more events; `problem` says what it was, until then.
    """

    def __init__(self, folder: str, written: Callable[[], int | None], every: int, last: int) -> None:
        self._folder = folder
        self._written = written
        self._every = every
        self._last = last
        self._stop = threading.Event()
        self._busy = threading.Lock()
        self.problem: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="fairlead snapshots", daemon=True)
        self._thread.start()

    def take(self) -> int:
        """Writes one now, where there are newer events than the last one's; returns its event."""
        with self._busy:
            self._last = snapshot_desk(self._folder)
            self.problem = None
            return self._last

    def behind(self) -> int:
        """Events written since the newest snapshot."""
        return (self._written() or 0) - self._last

    def stop(self) -> None:
        """Ends the thread, after the snapshot that it may be writing."""
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_POLL):
            written = self._written()
            if written is None:
                return
            if written - self._last < self._every:
                continue
            try:
                self.take()
            except Exception as error:
                self.problem = error
                self._last = written
