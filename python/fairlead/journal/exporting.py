"""Events of a journal, archived and live, into one file that other programs read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead._core import journal_events
from fairlead.errors import InvalidRecordError
from fairlead.events import Event
from fairlead.journal import manifest as manifests
from fairlead.journal.folder import beside, sync_folder
from fairlead.journal.plain import as_json
from fairlead.journal.query import Query, query_of
from fairlead.journal.read import read_query

# pyarrow is imported where it is needed: for Parquet, and for what is archived.
if TYPE_CHECKING:
    from fairlead.journal.arrow import pa, pq


def export(
    folder: str | os.PathLike[str],
    path: str | os.PathLike[str],
    *,
    models: str | Iterable[str] | None = None,
    types: str | Iterable[str] | None = None,
    categories: str | Iterable[str] | None = None,
    start: int | str | date | None = None,
    end: int | str | date | None = None,
    first: int | None = None,
    last: int | None = None,
) -> int:
    """Writes the events that match to `path`: zstd Parquet where it ends in .parquet, one JSON object a line where it
    ends in .jsonl: strict JSON, NaN as null, the infinities as "Infinity" and "-Infinity", bytes as hexadecimal.
    Returns how many. Archived events are in it too. The file is there when it is whole, not before; until then it is
    `.fairlead-*.tmp` beside it. Needs pyarrow, but for .jsonl of a journal of which nothing is archived.

    models, types, categories, start, end, first, last: as `scan`.
    Raises InvalidRecordError for another ending, an unknown type or what is no time; JournalError where there is no
    journal, JournalDamagedError where events are damaged or missing.

    >>> import tempfile
    >>> from fairlead.journal import Journal
    >>> desk = tempfile.TemporaryDirectory()
    >>> with Journal(desk.name) as journal:
    ...     seq = journal.note("hello", time=1)
    >>> out = Path(desk.name) / "events.jsonl"
    >>> export(desk.name, out)
    1
    >>> print(out.read_text().strip())
    {"seq": 1, "time": 1, "type": "note", "model": null, "category": null, "data": {"text": "hello"}}
    >>> desk.cleanup()
    """
    path = Path(path)
    if path.suffix not in (".parquet", ".jsonl"):
        raise InvalidRecordError(f"path is {str(path)!r}, must end in .parquet or .jsonl")
    query = query_of(models, types, categories, start, end, first, last)
    fresh = beside(path, ".tmp")
    try:
        n = _parquet(fresh, _found(folder, query)) if path.suffix == ".parquet" else _lines(fresh, _all(folder, query))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)
    return n


def _found(folder: str | os.PathLike[str], query: Query) -> Iterator[pa.RecordBatch]:
    from fairlead.journal.scanning import batches

    return batches(folder, query)


def _all(folder: str | os.PathLike[str], query: Query) -> Iterator[Event]:
    """The events, of a journal without an archive also where there is no pyarrow."""
    if find_spec("pyarrow") is None and manifests.load(folder) is None:
        return read_query(folder, query)
    return events_of(_found(folder, query))


def _parquet(path: Path, found: Iterable[pa.RecordBatch]) -> int:
    from fairlead.journal.arrow import pa, pq
    from fairlead.journal.columns import SCHEMA
    from fairlead.journal.parquet import encodings

    n = 0
    writer: pq.ParquetWriter | None = None
    with path.open("xb") as file:
        try:
            for batch in found:
                table = pa.Table.from_batches([batch])
                if writer is None:  # by the first batch; all columns are there, as later ones may have them
                    writer = pq.ParquetWriter(file, SCHEMA, **encodings(table))
                writer.write_table(table)
                n += len(batch)
            if writer is None:
                writer = pq.ParquetWriter(file, SCHEMA)
        finally:
            if writer is not None:
                writer.close()
        file.flush()
        os.fsync(file.fileno())
    return n


def _lines(path: Path, found: Iterable[Event]) -> int:
    n = 0
    with path.open("x", encoding="utf-8") as file:
        for event in found:
            file.write(as_json(event.to_dict()) + "\n")
            n += 1
        file.flush()
        os.fsync(file.fileno())
    return n


def history(
    folder: str | os.PathLike[str],
    *,
    models: str | Iterable[str] | None = None,
    types: str | Iterable[str] | None = None,
    categories: str | Iterable[str] | None = None,
    start: int | str | date | None = None,
    end: int | str | date | None = None,
    first: int | None = None,
    last: int | None = None,
) -> Iterator[Event]:
    """The events that match, archived and live, one by one as `fairlead.journal.read` gives them, which knows the live
    ones alone. Arguments and errors: as `scan`.

    >>> import tempfile
    >>> from fairlead.journal import Journal
    >>> desk = tempfile.TemporaryDirectory()
    >>> with Journal(desk.name) as journal:
    ...     seq = journal.note("hello", time=1)
    >>> [event.data for event in history(desk.name)]
    [{'text': 'hello'}]
    >>> desk.cleanup()
    """
    return events_of(_found(folder, query_of(models, types, categories, start, end, first, last)))


def events_of(found: Iterable[pa.RecordBatch]) -> Iterator[Event]:
    """The rows of whole batches as events, as `fairlead.journal.read` gives them."""
    from fairlead.journal import columns

    for batch in found:
        models, categories = names_of(batch, "model"), names_of(batch, "category")
        for listed in (batch[column] for column in columns.LISTED):
            if listed.null_count < len(listed):
                models += [name for name in listed.flatten().unique().to_pylist() if name not in models]
        for records in columns.records(batch, models, categories):
            for event in journal_events(records, models, categories):
                yield Event(*event)


def names_of(batch: pa.RecordBatch, column: str) -> list[str]:
    """The names in a column, in the order of its dictionary."""
    array = batch[column]
    return [name for name in array.dictionary.to_pylist() if name is not None] if len(array) else []
