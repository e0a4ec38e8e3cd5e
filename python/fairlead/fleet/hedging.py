"""A second request to somebody else when the first takes long: the first answer wins, the other call is given up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from fairlead.errors import InvalidRecordError
from fairlead.fleet.attempt import Attempt
from fairlead.providers.provider import Answer
from fairlead.times import as_seconds

Hedge = bool | float | str | timedelta
"""True: after the model's 95th percentile; "p90": after that; seconds, "300ms", a timedelta: after so long."""


class Patience(NamedTuple):
    """How long the first request has: seconds, or a quantile of its model's latencies."""

    seconds: float = 0.0
    quantile: float | None = None

    def of(self, latency: Callable[[float], float | None]) -> float | None:
        """Seconds. None where the quantile is not known yet: then nobody else is asked."""
        return self.seconds if self.quantile is None else latency(self.quantile)


def as_patience(hedge: Hedge) -> Patience:
    """What a caller gave as `hedge`. Raises InvalidRecordError for what is no span and no percentile.

    >>> as_patience("p90"), as_patience("250ms")
    (Patience(seconds=0.0, quantile=0.9), Patience(seconds=0.25, quantile=None))
    """
    if hedge is True:
        return Patience(quantile=0.95)
    if isinstance(hedge, str) and (percentile := re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)", hedge)):
        return Patience(quantile=float(percentile[1]) / 100.0)
    seconds = as_seconds(hedge, "hedge")
    if not seconds >= 0.0:
        raise InvalidRecordError(f"hedge is {hedge!r}, must not be negative")
    return Patience(seconds)


SUSPECT = 3
"""Calls in a row that were slower than their hedge: from there on each counts as a timeout. One in twenty calls is
slower than the 95th percentile; three in a row are hardly ever, but for a model that hangs."""


class Hedging:
    """The race of two calls, and what is told of the one that lost.

    A call that was given up says nothing of its model's health: it was only slower than another. But a model that
    hangs would never be found out so; hence the suspicion.
    """

    def __init__(self) -> None:
        self._lost: dict[str, int] = {}  # in a row, by model

    async def race(
        self,
        first: Attempt,
        delay: float,
        second: Callable[[], Attempt | None],
        ended: Callable[[Attempt, Answer], None],
    ) -> Answer:
        """The first good answer of the two, or the failure of the last to fail. second: begins the other call, if there
        is somebody to ask. ended: told of each failure. Whatever happens, no call stays open."""
        running: dict[asyncio.Task[Answer], Attempt] = {}

        def start(attempt: Attempt) -> None:
            running[asyncio.ensure_future(attempt.run())] = attempt

        start(first)
        hedged = False
        try:
            while True:
                done, _ = await asyncio.wait(
                    running, timeout=None if hedged else delay, return_when=asyncio.FIRST_COMPLETED
                )
                if not done:
                    hedged = True
                    other = second()
                    if other is not None:
                        start(other)
                    continue
                answers = [(running.pop(task), task.result()) for task in done]
                for attempt, answer in answers:
                    if answer.failure is None:
                        self._lost.pop(attempt.model.name, None)
                        self._lose(running)
                        return answer
                for attempt, answer in answers:
                    ended(attempt, answer)
                if not running:
                    return answers[-1][1]
        finally:
            for task, attempt in running.items():
                attempt.give_up()
                task.cancel()
                task.add_done_callback(_seen)

    def _lose(self, running: dict[asyncio.Task[Answer], Attempt]) -> None:
        for attempt in running.values():
            lost = self._lost.get(attempt.model.name, 0) + 1
            self._lost[attempt.model.name] = lost
            if lost >= SUSPECT:
                attempt.give_up("timeout", "it was slower than another again and again")


def _seen(task: asyncio.Task[Answer]) -> None:
    """Its exception is nobody's concern any more."""
    if not task.cancelled():
        task.exception()
