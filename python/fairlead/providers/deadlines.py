"""By when an answer is needed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from time import monotonic
from typing import TypeVar

from fairlead.errors import InvalidRecordError
from fairlead.providers.failure import ProviderError
from fairlead.times import as_seconds

_T = TypeVar("_T")


class Deadline:
    """A moment of the monotonic clock. One deadline spans all that is tried for a task, on whichever provider.

    >>> deadline = Deadline.after("2s")
    >>> 1.9 < deadline.left() <= 2.0
    True
    """

    __slots__ = ("at",)

    def __init__(self, at: float) -> None:
        self.at = at

    @classmethod
    def after(cls, span: float | str | timedelta) -> Deadline:
        """Seconds, `"500ms"` or a timedelta from now. Raises InvalidRecordError for what is no span, or negative."""
        seconds = as_seconds(span, "deadline")
        if not seconds >= 0.0:
            raise InvalidRecordError(f"deadline is {span!r}, must not be negative")
        return cls(monotonic() + seconds)

    def left(self) -> float:
        """Seconds until then; negative afterwards."""
        return self.at - monotonic()

    def __repr__(self) -> str:
        return f"Deadline({self.left():.3f} s left)"


Limit = Deadline | float | str | timedelta | None
"""A deadline, or what makes one from now: seconds, "500ms", a timedelta. None: none."""


def as_deadline(value: Limit) -> Deadline | None:
    """What a caller gave as a deadline."""
    return value if value is None or isinstance(value, Deadline) else Deadline.after(value)


async def within(work: Awaitable[_T], deadline: Deadline) -> _T:
    """Waits for the work, which is cancelled at the deadline: then it is ProviderError("timeout").

    Like asyncio.timeout, which Python 3.10 lacks, and lighter: no object and no second task. A cancellation from
    outside stays one. The error that is raised drags along no frame of the work.
    """
    left = deadline.left()
    if left <= 0.0:
        close = getattr(work, "close", None)
        if close is not None:
            close()  # a coroutine that is never awaited would warn
        raise ProviderError("timeout", "the deadline had passed")
    loop = asyncio.get_running_loop()
    task = asyncio.current_task(loop)
    assert task is not None  # we are in a coroutine that a loop runs
    pending = task.cancelling() if hasattr(task, "cancelling") else 0
    fired = False

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel()

    timer = loop.call_later(left, fire)
    try:
        result = await work
    except asyncio.CancelledError:
        if not fired or (hasattr(task, "uncancel") and task.uncancel() > pending):
            raise  # somebody else's
    else:
        if fired and hasattr(task, "uncancel"):
            task.uncancel()  # the work was done in the very moment
        return result
    finally:
        timer.cancel()
    raise ProviderError("timeout", "no answer before the deadline")
