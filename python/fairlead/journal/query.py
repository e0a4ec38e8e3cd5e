"""Which events one asks for: the same words, checked alike, whether the live journal is read or the archive, too."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.events import TYPES
from fairlead.times import as_time


@dataclass(frozen=True, slots=True)
class Query:
    """What events one wants; None: all."""

    models: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    categories: tuple[str, ...] | None = None
    start: int | None = None
    end: int | None = None
    first: int = 1
    last: int | None = None


def query_of(
    models: str | Iterable[str] | None = None,
    types: str | Iterable[str] | None = None,
    categories: str | Iterable[str] | None = None,
    start: int | str | date | None = None,
    end: int | str | date | None = None,
    first: int | None = None,
    last: int | None = None,
) -> Query:
    """Checks a query. models, types, categories: a name or several; none of none gives nothing. start, end: times, in
    [start, end). first, last: numbers of events, both included.

    Raises InvalidRecordError for an unknown type, what is no time, no name or no number.

    >>> query_of(types="forecast", start="1970-01-02").start
    86400000000000
    """
    least, most = _number(first, "first"), _number(last, "last")
    lists = (_names(models, "models"), _names(types, "types"), _names(categories, "categories"))
    for name in lists[1] or ():
        if name not in TYPES:
            raise InvalidRecordError(
                f"types has {name!r}, no type of event{did_you_mean(name, TYPES)}; known are {', '.join(TYPES)}"
            )
    return Query(
        *lists,
        None if start is None else as_time(start, "start"),
        None if end is None else as_time(end, "end"),
        least or 1,
        0 if any(wanted is not None and not wanted for wanted in lists) else most,
    )


def _names(given: Any, field: str) -> tuple[str, ...] | None:
    if given is None:
        return None
    one = not isinstance(given, Iterable) or isinstance(given, (str, bytes))
    names: tuple[Any, ...] = (given,) if one else tuple(given)
    for name in names:
        if not isinstance(name, str):
            raise InvalidRecordError(f"{field} has {name!r}, must have names")
    return names


def _number(given: Any, field: str) -> int | None:
    if given is None:
        return None
    try:
        number = -1 if isinstance(given, bool) else int(given.__index__())
    except (AttributeError, TypeError):
        number = -1
    if not 0 <= number < 2**64:
        raise InvalidRecordError(f"{field} is {given!r}, must be the number of an event: 1 or more")
    return number
