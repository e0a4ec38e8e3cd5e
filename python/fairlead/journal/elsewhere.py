"""What a reader of the segments does not see: events that are in the archive alone, or were dropped."""

from __future__ import annotations

import os
from typing import Any

from fairlead.journal import manifest as manifests
from fairlead.journal.folder import segments
from fairlead.journal.manifest import ArchivedFile
from fairlead.journal.query import Query


def elsewhere(folder: str | os.PathLike[str], query: Query | None = None) -> list[str]:
    """Which of the events that one asks for, as far as their files tell, are in no segment any more: a line for those
    that are archived, and one for those that a quota dropped. Needs no pyarrow.

    >>> import tempfile
    >>> from fairlead.journal import Journal
    >>> desk = tempfile.TemporaryDirectory()
    >>> Journal(desk.name).close()
    >>> elsewhere(desk.name)
    []
    >>> desk.cleanup()
    """
    manifest = manifests.load(folder)
    if manifest is None:
        return []
    live = segments(folder)
    query = query or Query()
    begin = live[0].first if live else manifest.archived_to() + 1
    out = []
    for files, what in ((manifest.files, "are in the archive alone"), (manifest.dropped, "were dropped by a quota")):
        found = [file for file in files if file.first < begin and _asked_for(file, query, begin)]
        if found:
            first = max(found[0].first, query.first)
            last = min(found[-1].last, begin - 1, begin if query.last is None else query.last)
            out.append(f"events {first:,} to {last:,} {what}")
    return out


def _at(part: dict[str, Any], query: Query) -> bool:
    """Whether a segment held events of the time that is asked for."""
    return (query.start is None or part["end"] >= query.start) and (query.end is None or part["start"] < query.end)


def _asked_for(file: ArchivedFile, query: Query, begin: int) -> bool:
    return (
        query.first <= min(file.last, begin - 1)
        and (query.last is None or query.last >= file.first)
        and any(_at(part, query) for part in file.segments if part["first"] < begin)
        and (query.types is None or any(file.types.get(kind) for kind in query.types))
    )
