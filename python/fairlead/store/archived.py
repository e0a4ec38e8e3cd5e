"""Events out of an archive, as a journal's reader gives them: for a rebuild after compaction."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fairlead._core import journal_events
from fairlead.errors import JournalDamagedError
from fairlead.events import Event
from fairlead.journal import columns
from fairlead.journal import manifest as manifests
from fairlead.journal.parquet import EventFile

_ROWS = 4096  # made into Python objects at a time


def archived(folder: str | os.PathLike[str], first: int, last: int) -> Iterator[Event]:
    """The events in the archive of a desk between two numbers, both included. Their records are made again, bit for
    bit, and read by what reads those of a journal. What a quota dropped is left out."""
    manifest = manifests.load(folder)
    for file in manifest.files if manifest is not None else ():
        if file.last < first or file.first > last:
            continue
        events = EventFile(Path(folder) / "archive" / file.file)
        for batch in events.batches(_ROWS):
            if batch["seq"][-1].as_py() < first:
                continue
            try:
                for records in columns.records(batch, events.models, events.categories):
                    for event in journal_events(records, events.models, events.categories):
                        if first <= event[0] <= last:
                            yield Event(*event)
            except JournalDamagedError as error:
                raise JournalDamagedError(f"{events.path}: {error}") from error
