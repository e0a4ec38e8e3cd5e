"""Reading a journal: what happened, in order, and what happens next. No reader takes a lock, or disturbs the writer."""

from __future__ import annotations

import os
import time as clock
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date, timedelta

from fairlead._core import JournalReader
from fairlead.errors import InvalidRecordError
from fairlead.events import Event
from fairlead.journal.query import Query, query_of
from fairlead.times import as_span

_When = int | str | date
_AT_ONCE = 4096


def read(
    folder: str | os.PathLike[str],
    *,
    first: int = 1,
    last: int | None = None,
    start: _When | None = None,
    end: _When | None = None,
    types: str | Iterable[str] | None = None,
    models: str | Iterable[str] | None = None,
    categories: str | Iterable[str] | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> Iterator[Event]:
    """The events of a journal in order, up to what is written now. Of those in its segments: `history` gives the
    archived ones too.

    folder: the desk. first, last: numbers of events, both included. start, end: times of the events, in [start, end):
    integer nanoseconds, ISO dates, datetimes. types, models, categories: names, one or several; what the journal has
    no such model for gives nothing. limit, offset: at most so many of those that match, without so many first ones.

    Every record is checked as it is read; parts that the index rules out are not read. Raises JournalError where the
    folder holds no journal and InvalidRecordError for an argument that cannot be, at once; JournalDamagedError when the
    damage is reached.

    >>> import tempfile
    >>> from fairlead._core import SegmentLog
    >>> desk = tempfile.TemporaryDirectory()
    >>> log = SegmentLog(desk.name)
    >>> for day in (1, 2, 3):
    ...     n = log.append("note", day * 86400 * 10**9, "gpt", None, f'{{"text": "day {day}"}}')
    >>> for event in read(desk.name, types="note", start="1970-01-03"):
    ...     print(event.seq, event.model, event.data["text"])
    3 gpt day 2
    4 gpt day 3
    >>> desk.cleanup()
    """
    reader = _reader(folder, query_of(models, types, categories, start, end, first, last))
    for field, value in (("limit", limit), ("offset", offset)):
        if value is not None and value < 0:
            raise InvalidRecordError(f"{field} is {value}, must not be negative")
    return _events(reader, limit, offset)


def tail(
    folder: str | os.PathLike[str],
    *,
    lines: int = 10,
    follow: bool = True,
    poll: int | str | timedelta = "50ms",
    types: str | Iterable[str] | None = None,
    models: str | Iterable[str] | None = None,
    categories: str | Iterable[str] | None = None,
) -> Iterator[Event]:
    """The newest `lines` events that match, then, with `follow`, those to come, for ever.

    poll: how often to look for more: a span such as "50ms". The writer may be another process. Raises as `read`.

    >>> import tempfile
    >>> from fairlead._core import SegmentLog
    >>> desk = tempfile.TemporaryDirectory()
    >>> log = SegmentLog(desk.name)
    >>> for n in range(5):
    ...     seq = log.append("note", n, None, None, "{}")
    >>> [event.seq for event in tail(desk.name, lines=2, follow=False)]
    [4, 5]
    >>> desk.cleanup()
    """
    if lines < 0:
        raise InvalidRecordError(f"lines is {lines}, must not be negative")
    pause = as_span(poll, "poll") / 1e9
    wanted = query_of(models, types, categories)
    newest = _reader(folder, replace(wanted, first=2**63))
    newest.read(1)
    end = newest.position
    # Back from the end in steps that grow, until enough match.
    span = 4 * lines
    while True:
        first = max(1, end - span + 1)
        reader = _reader(folder, replace(wanted, first=first))
        found = deque(_events(reader, None, 0), maxlen=lines)
        if len(found) == lines or first == 1:
            break
        span *= 8
    return _follow(reader, found, pause if follow else None)


def _follow(reader: JournalReader, found: Iterable[Event], pause: float | None) -> Iterator[Event]:
    yield from found
    while pause is not None:
        yield from _events(reader, None, 0)
        clock.sleep(pause)


def _events(reader: JournalReader, limit: int | None, offset: int) -> Iterator[Event]:
    """What a reader gives up to its end."""
    while limit is None or limit > 0:
        size = _AT_ONCE if limit is None else min(_AT_ONCE, limit + offset)
        found = reader.read(size)
        kept = found[offset:]
        offset -= min(offset, len(found))
        if limit is not None:
            limit -= len(kept)
        for event in kept:
            yield Event(*event)
        if len(found) == 0:
            return


def _reader(folder: str | os.PathLike[str], query: Query) -> JournalReader:
    lists = [None if wanted is None else list(wanted) for wanted in (query.types, query.models, query.categories)]
    return JournalReader(os.fspath(folder), query.first, query.last, query.start, query.end, *lists)
