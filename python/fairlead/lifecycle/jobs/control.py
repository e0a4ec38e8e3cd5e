"""How a training is paused and stopped: between two epochs."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fairlead.lifecycle.failures import Failure, Stopped


class Orphaned(Stopped):
    """The end of a training whose parent is gone."""

    failure = Failure.orphaned


class Control:
    """What others ask of a training, and where it waits. Any thread may ask."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._paused = False
        self._stop: Stopped | None = None

    def pause(self) -> None:
        """Wait after this epoch."""
        with self._changed:
            self._paused = True

    def resume(self) -> None:
        """Go on."""
        with self._changed:
            self._paused = False
            self._changed.notify_all()

    def stop(self, why: Stopped) -> None:
        """End after this epoch. The first reason counts."""
        with self._changed:
            self._stop = self._stop or why
            self._changed.notify_all()

    @property
    def asked(self) -> bool:
        """Whether the training is to pause or to stop."""
        with self._changed:
            return self._paused or self._stop is not None

    def turn(self, paused: Callable[[bool], None]) -> None:
        """Called after each epoch: returns when the next one may begin. paused: told when a pause begins and ends.

        Raises Stopped where it is to end.
        """
        with self._changed:
            if not self._may_go_on():
                paused(True)
                self._changed.wait_for(self._may_go_on)
                paused(False)
            if self._stop is not None:
                raise self._stop

    def _may_go_on(self) -> bool:
        return not self._paused or self._stop is not None
