"""Where a journal is damaged, what of it can still be read."""

from __future__ import annotations

import os
from pathlib import Path

from fairlead.journal.check import verify


def whole_parts(folder: str | os.PathLike[str]) -> list[tuple[int, int | None]]:
    """The events that lie before, between and after damaged parts of the segments, as (first, last), last None: to the
    end. Empty where no segment is damaged. Reads all of the journal.

    >>> import tempfile
    >>> from fairlead.journal import Journal
    >>> desk = tempfile.TemporaryDirectory()
    >>> Journal(desk.name).close()
    >>> whole_parts(desk.name)
    []
    >>> desk.cleanup()
    """
    found = verify(folder).segments
    out: list[tuple[int, int | None]] = []
    first: int | None = 1
    bad = False
    for at, segment in enumerate(found):
        begin = int(Path(segment.file).stem)
        if first is None:
            first = begin
        if segment.problem and not segment.torn:
            last = segment.last if segment.events else begin - 1
            out += [(first, last)] if last >= first else []
            first = None
            bad = True
        elif bad and at == len(found) - 1:
            out.append((first, None))
    return out


def next_step(folder: str | os.PathLike[str]) -> str:
    """What to do about damage in the segments of a journal, in words; empty where there is none."""
    parts = [
        "".join(f" --{name} {seq}" for name, seq in (("first", first if first > 1 else None), ("last", last)) if seq)
        for first, last in whole_parts(folder)
    ]
    if not parts:
        return ""
    commands = " and ".join(f"`fairlead journal export {os.fspath(folder)} FILE{part}`" for part in parts)
    return f"take the damaged file from a backup, if there is one; what is whole can be saved: {commands}"
