"""Legal holds: events of these times are never dropped from the archive, whatever the quota."""

from __future__ import annotations

import json
import os
import time as clock
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from fairlead.errors import InvalidRecordError, JournalDamagedError, JournalError, JournalLockedError
from fairlead.journal.folder import archive_lock, write_durably
from fairlead.journal.manifest import ArchivedFile
from fairlead.journal.writer import Journal
from fairlead.times import as_time

_FORMAT = "fairlead-holds"
_NOTE_BYTES = 1 << 20  # max_payload of format.hpp


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing from `start` to before `end` (of the events' own times, nanoseconds; None: without bound) may be
    dropped, nor may the `note` that tells of it, an event of this number (None: not written yet)."""

    name: str
    start: int | None
    end: int | None
    reason: str
    note: int | None = None

    def keeps(self, file: ArchivedFile) -> bool:
        """Whether a file of the archive may not be dropped."""
        noted = self.note is not None and file.first <= self.note <= file.last
        return noted or self.covers(file.start, file.end)

    def covers(self, start: int, end: int) -> bool:
        """Whether any time from `start` to `end` (inclusive) is held."""
        return (self.end is None or start < self.end) and (self.start is None or end >= self.start)


def holds(folder: str | os.PathLike[str]) -> list[Hold]:
    """The holds that are in force, by name.

    Raises JournalDamagedError where `archive/holds.json` is damaged: nothing is dropped then.
    """
    return _load(folder)[0]


def hold(
    folder: str | os.PathLike[str] | Journal,
    name: str,
    start: int | str | date | None = None,
    end: int | str | date | None = None,
    reason: str = "",
) -> Hold:
    """Holds the events from `start` to before `end` (None: without bound) until `release`. It holds at once when this
    returns, also beside a running writer; the `note` that tells of it is written by whoever may write the journal: now,
    or by the next `compact`. folder: the desk, or its open Journal.

    Raises InvalidRecordError where there is a hold of this name, the name or the reason is no text, the name is empty,
    the times are in the wrong order, or it is all more than a `note` takes (1 MiB).

    >>> import tempfile, fairlead as fl
    >>> desk = tempfile.TemporaryDirectory()
    >>> fl.Journal(desk.name).close()
    >>> fl.journal.hold(desk.name, "audit", "2026-01-01", "2026-04-01", "asked for by the auditor").name
    'audit'
    >>> [hold.name for hold in fl.journal.holds(desk.name)]
    ['audit']
    >>> fl.journal.release(desk.name, "audit")
    >>> fl.journal.holds(desk.name)
    []
    >>> desk.cleanup()
    """
    if not _is_text(name):
        raise InvalidRecordError(f"name is {name!r}, must be text")
    if not name:
        raise InvalidRecordError("name is empty")
    if not _is_text(reason):
        raise InvalidRecordError(f"reason is {reason!r}, must be text")
    made = Hold(
        name,
        None if start is None else as_time(start, "start"),
        None if end is None else as_time(end, "end"),
        reason,
    )
    if made.start is not None and made.end is not None and made.end <= made.start:
        raise InvalidRecordError(f"end is {end!r}, must be after start, {start!r}")
    note = {"hold": {field: getattr(made, field) for field in ("name", "start", "end", "reason")}}
    if (size := len(json.dumps(note, ensure_ascii=False).encode())) > _NOTE_BYTES:
        raise InvalidRecordError(f"name and reason have {size:,} bytes, more than a note takes: {_NOTE_BYTES:,}")
    where, writer = _place(folder)
    with archive_lock(where):
        there, notes = _load(where)
        if any(known.name == name for known in there):
            raise InvalidRecordError(f"name is {name!r}: there is a hold of this name already")
        _save(where, [*there, made], [*notes, {"time": clock.time_ns(), "data": note}])
    tell(where, writer)
    return next((known for known in holds(where) if known.name == name), made)


def release(folder: str | os.PathLike[str] | Journal, name: str) -> None:
    """Ends a hold. Raises InvalidRecordError where there is none of this name."""
    where, writer = _place(folder)
    with archive_lock(where):
        there, notes = _load(where)
        left = [known for known in there if known.name != name]
        if len(left) == len(there):
            raise InvalidRecordError(f"name is {name!r}: there is no hold of this name")
        _save(where, left, [*notes, {"time": clock.time_ns(), "data": {"release": name}}])
    tell(where, writer)


def tell(folder: Path, writer: Journal | None) -> None:
    """Writes the notes that are still to be written, if nobody else has the journal."""
    if writer is None:
        try:
            with Journal(folder) as opened:
                tell(folder, opened)
        except JournalLockedError:
            pass  # the process that writes it will, when it compacts
        return
    with archive_lock(folder):
        there, notes = _load(folder)
        if not notes:
            return
        told: dict[str, int] = {}
        for note in notes:
            seq = writer.append("note", note["data"], time=note["time"])
            if "hold" in note["data"]:
                told[note["data"]["hold"]["name"]] = seq
        writer.wait_durable()
        _save(folder, [replace(known, note=told.get(known.name, known.note)) for known in there], [])


def _is_text(given: object) -> bool:
    """Text that UTF-8, and so a journal, can hold: callers without a type checker may give anything."""
    try:
        return isinstance(given, str) and given.encode() is not None
    except UnicodeEncodeError:
        return False


def _place(folder: str | os.PathLike[str] | Journal) -> tuple[Path, Journal | None]:
    if isinstance(folder, Journal):
        return Path(folder.folder), folder
    if not (Path(folder) / "segments").is_dir():
        raise JournalError(f"there is no journal: {folder} has no segments")
    return Path(folder), None


def _path(folder: str | os.PathLike[str]) -> Path:
    return Path(folder) / "archive" / "holds.json"


def _load(folder: str | os.PathLike[str]) -> tuple[list[Hold], list[dict[str, Any]]]:
    path = _path(folder)
    try:
        body = json.loads(path.read_bytes())
        if body["format"] != _FORMAT or body["version"] != 1:
            raise ValueError("another format or version")
        return [Hold(**known) for known in body["holds"]], list(body["notes"])
    except FileNotFoundError:
        return [], []
    except (ValueError, KeyError, TypeError) as error:
        raise JournalDamagedError(f"{path} is no list of holds: {error!r}; nothing is dropped until it is") from error


def _save(folder: Path, there: list[Hold], notes: list[dict[str, Any]]) -> None:
    there = sorted(there, key=lambda known: str(known.name))
    body = {"format": _FORMAT, "version": 1, "holds": [asdict(known) for known in there], "notes": notes}
    write_durably(_path(folder), json.dumps(body, indent=1).encode())
