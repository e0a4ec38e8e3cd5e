"""What can go wrong, as exceptions. Each names the field and the value; nothing has changed when one is raised."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FairleadError(Exception):
    """Base of every error that fairlead raises on purpose."""


class InvalidRecordError(FairleadError, ValueError):
    """A field of a record holds a value that it cannot hold."""


class UnknownModelError(FairleadError, LookupError):
    """A model that the fleet does not have, or that has left it."""


class UnknownPriceError(FairleadError, LookupError):
    """A model whose price is not known: the message says how to give one."""


class UnknownTaskError(FairleadError, LookupError):
    """A task that the fleet has not seen."""


class TaskEndedError(FairleadError, ValueError):
    """A task that was settled or voided already."""


class NoForecastError(FairleadError, ValueError):
    """A decision is asked for, but no active model has answered."""


class BudgetExhaustedError(FairleadError):
    """Too little money is left for a call. budget: its name, or `max_cost_usd`. left_usd: in it. until: when its period
    ends, in nanoseconds; None: never."""

    def __init__(self, message: str, budget: str = "", left_usd: float = 0.0, until: int | None = None) -> None:
        super().__init__(message)
        self.budget = budget
        self.left_usd = left_usd
        self.until = until


class TableError(FairleadError, ValueError):
    """A table of forecasts that cannot be read as one, or a bad row in strict mode."""


class JournalError(FairleadError):
    """A journal that cannot be opened, read or written: the message names the file, the place and what to do."""


class JournalLockedError(JournalError):
    """Another writer holds the journal; the message says who."""


class JournalFullError(JournalError):
    """The journal's ring is full, as the disk does not keep up or refuses; the event was not accepted."""


class JournalDamagedError(JournalError):
    """A journal with bytes that are not what was written, or a file that is no journal's."""


class JournalWarning(UserWarning):
    """What opening a journal found and could help: a torn end that was cut, a snapshot that was of no use."""


class StoreError(FairleadError):
    """A store that cannot be opened, read or written, or that holds what this fairlead does not know."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` where a known name is close, else nothing.

    >>> did_you_mean("gpt4o", ["gpt-4o", "local"])
    "; did you mean 'gpt-4o'?"
    >>> did_you_mean("zebra", ["gpt-4o", "local"])
    ''
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
