"""`fleet.watch()`: the thread in which managed models go on by themselves."""

from __future__ import annotations

import threading
import weakref
from datetime import timedelta
from types import TracebackType
from typing import Protocol

from fairlead.errors import InvalidRecordError
from fairlead.times import as_seconds


class Rounded(Protocol):
    """What is gone through again and again: the managed models of a fleet."""

    @property
    def gone(self) -> bool:
        """Whether the fleet is."""
        ...

    def step(self) -> object:
        """One round."""
        ...


class Watching:
    """Rounds of the managed models in a thread, until `stop`. It keeps no process alive, and no fleet. Also a context
    manager."""

    def __init__(self, managing: Rounded, every: float | str | timedelta) -> None:
        self.every = as_seconds(every, "every")
        if not 0.0 < self.every < float("inf"):
            raise InvalidRecordError(f"every is {every!r}, must be positive")
        self._managing = weakref.ref(managing)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None
        self.problem: BaseException | None = None
        """What a round raised, if one did, that is no model's own."""

    def start(self) -> Watching:
        """Begins, if it does not run already."""
        if not self.running:
            self._end = threading.Event()  # its own: one that was stopped and hangs in a round is not to go on
            self._thread = threading.Thread(target=self._rounds, args=(self._end,), name="fairlead-watch", daemon=True)
            self._thread.start()
        return self

    def stop(self, timeout: float | None = 10.0) -> bool:
        """Ends it, after the round that it is in. Whether that has ended within `timeout` seconds. Twice is fine."""
        self._end.set()
        thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return True
        thread.join(timeout)
        return not thread.is_alive()

    @property
    def running(self) -> bool:
        """Whether it does."""
        return self._thread is not None and self._thread.is_alive()

    def _rounds(self, end: threading.Event) -> None:
        while not end.is_set():
            managing = self._managing()
            if managing is None or managing.gone:
                return
            try:
                managing.step()
                self.problem = None
            except Exception as error:  # there is nobody to raise it to, and the next round may succeed
                self.problem = error
            del managing  # it may go while it waits
            end.wait(self.every)

    def __enter__(self) -> Watching:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<Watching every {self.every:g} s, {'running' if self.running else 'stopped'}>"
