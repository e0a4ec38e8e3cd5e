"""A second request to somebody else when the first takes long: the first answer wins, the other call is given up."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
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
"""Calls in a row that took far longer than their model's calls do and lost: from there on each counts as a timeout."""
FAR = 3.0
"""Times the 99th percentile of its model: a call that ran longer may hang. One that lost sooner was only slower than
another, which is what it always is beside a faster model."""
UNKNOWN = 10.0
"""Seconds: the same for a model that never answered."""


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
        latency: Callable[[str, float], float | None],
    ) -> Answer:
        """The first good answer of the two, or the failure of the last to fail. second: begins the other call, if there
        is somebody to ask. ended: told of each failure. latency: quantiles of a model. Whatever happens, no call stays
        open."""
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
                        self._lose(running.values(), latency)
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

    def _lose(self, losers: Iterable[Attempt], latency: Callable[[str, float], float | None]) -> None:
        for attempt in losers:
            name = attempt.model.name
            usual = latency(name, 0.99)
            if attempt.elapsed() < (UNKNOWN if usual is None else FAR * usual):
                continue
            lost = self._lost.get(name, 0) + 1
            self._lost[name] = lost
            if lost >= SUSPECT:
                attempt.give_up("timeout", "it took far longer than its calls do, again and again")


def _seen(task: asyncio.Task[Answer]) -> None:
    """Its exception is nobody's concern any more."""
    if not task.cancelled():
        task.exception()
