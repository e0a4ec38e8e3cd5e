"""When a call is made once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module

from fairlead.errors import InvalidRecordError
from fairlead.providers.deadlines import Deadline
from fairlead.providers.failure import ProviderError
from fairlead.providers.usage import NOTHING
from fairlead.times import as_seconds

MayRetry = Callable[[ProviderError], bool]
"""Asked before a call is repeated: False ends it. Whoever counts the hits of a provider counts one for each."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Which failures are tried again on the same provider: those of the network, up to `attempts` calls in all, after
    `wait`, twice that, and so on up to `wait_max`, plus a random part of the same size; never past the deadline.

    patience: a provider that is overloaded (429, 503) and says when to come back (Retry-After) is waited for that long
    at most. 0, the default, never waits: the error tells the time, and another provider is asked.

    What the provider refused, answered badly or was paid for is never tried again here.

    Raises InvalidRecordError for fewer than one attempt and spans that are none.

    >>> Retries(attempts=5, patience="2s").patience
    2.0
    """

    attempts: int = 3
    wait: float | str | timedelta = 0.1
    wait_max: float | str | timedelta = 5.0
    patience: float | str | timedelta = 0.0

    def __post_init__(self) -> None:
        at_least(self.attempts, "attempts", 1)
        for name in ("wait", "wait_max", "patience"):
            seconds = as_seconds(getattr(self, name), name)
            if not 0.0 <= seconds < float("inf"):
                raise InvalidRecordError(f"{name} is {getattr(self, name)!r}, must not be negative")
            object.__setattr__(self, name, seconds)

    def delay(self, error: ProviderError) -> float | None:
        """Seconds that the provider asked for before this may be tried again; 0 = it named none; None = never."""
        if self.attempts == 1 or error.usage != NOTHING:
            return None  # the latter was paid for
        if error.kind == "network":
            return error.retry_after_s or 0.0
        asked, patience = error.retry_after_s, as_seconds(self.patience)
        overloaded = error.kind in ("rate_limited", "server")
        return asked if overloaded and asked is not None and patience > 0.0 and asked <= patience else None


def at_least(value: object, name: str, least: int) -> None:
    """Raises InvalidRecordError for what is no integer, or a smaller one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidRecordError(f"{name} is {value!r}, must be {least} or more")


NO_RETRIES = Retries(attempts=1)


async def again(
    first: ProviderError,
    call: Callable[[], Awaitable[object]],
    retries: Retries,
    deadline: Deadline | None,
    may_retry: MayRetry | None,
) -> object:
    """After a first failure that `retries` does not give up: the call once more, by stamina. Raises the last failure.

    stamina comes in here and not around the first call, as most calls do not fail and it costs 10 us.
    """

    def wait(error: Exception) -> bool | float:
        delay = retries.delay(error) if isinstance(error, ProviderError) else None
        if delay is None or not isinstance(error, ProviderError):
            return False
        least = delay or attempt.next_wait
        if deadline is not None and least >= deadline.left():
            return False  # it would be in vain
        if attempt.num == retries.attempts:
            return False  # stamina would ask all the same
        if may_retry is not None and not may_retry(error):
            return False
        return delay or True

    stamina = import_module("stamina")
    failure: ProviderError | None = first
    async for attempt in stamina.retry_context(
        on=wait,
        attempts=retries.attempts,
        timeout=None,
        wait_initial=as_seconds(retries.wait),
        wait_max=as_seconds(retries.wait_max),
        wait_jitter=as_seconds(retries.wait),
    ):
        with attempt:
            if failure is not None:  # the call that was made already
                error, failure = failure, None
                raise error
            return await call()
    raise first  # stamina raises before
