"""Archive and live journal as one table: each event once, in the order of the numbers, whatever is archived
meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path

from fairlead._core import EVENT_TYPES, JournalColumns
from fairlead.errors import InvalidRecordError, JournalDamagedError, JournalError, did_you_mean
from fairlead.journal import manifest as manifests
from fairlead.journal.arrow import pa, pc
from fairlead.journal.columns import SCHEMA, to_arrow
from fairlead.journal.folder import segments
from fairlead.journal.manifest import ArchivedFile
from fairlead.journal.parquet import EventFile
from fairlead.journal.query import Query, query_of


def scan(
    folder: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    models: str | Iterable[str] | None = None,
    types: str | Iterable[str] | None = None,
    categories: str | Iterable[str] | None = None,
    start: int | str | date | None = None,
    end: int | str | date | None = None,
    first: int | None = None,
    last: int | None = None,
) -> pa.RecordBatchReader:
    """All events, archived and live, as a stream of Arrow batches: for DuckDB, polars, pandas, whatever reads Arrow.

    Each event comes once, in the order of the numbers, up to what is written when the stream gets there; also while
    segments are archived and removed. The columns are those of `fairlead.journal.columns`. A stream is read once.

    columns: only these. models, types, categories: only events about these (one name, or several). start, end: of the
    event's own time, from `start` to before `end` (ISO, datetime or integer nanoseconds). first, last: of the number.
    Raises JournalError where there is no journal; while it is read, JournalDamagedError where events are missing.

    >>> import tempfile
    >>> from fairlead.journal import Journal
    >>> desk = tempfile.TemporaryDirectory()
    >>> with Journal(desk.name) as journal:
    ...     seq = journal.note("hello", time=1)
    >>> scan(desk.name, columns=["seq", "type", "data"]).read_all().to_pylist()
    [{'seq': 1, 'type': 'note', 'data': '{"text":"hello"}'}]
    >>> desk.cleanup()
    """
    query = query_of(models, types, categories, start, end, first, last)
    schema = schema_of(columns)
    if not (Path(folder) / "segments").is_dir() and manifests.load(folder) is None:
        raise JournalError(f"there is no journal: {folder} has neither segments nor an archive")
    return pa.RecordBatchReader.from_batches(schema, batches(folder, query, schema.names))


def schema_of(columns: Sequence[str] | None) -> pa.Schema:
    """The columns by name. Raises InvalidRecordError for one that there is not."""
    for name in columns or ():
        if name not in SCHEMA.names:
            raise InvalidRecordError(f"columns has {name!r}, no column{did_you_mean(name, SCHEMA.names)}")
    return SCHEMA if columns is None else pa.schema([SCHEMA.field(name) for name in columns])


def batches(
    folder: str | os.PathLike[str], query: Query, columns: Sequence[str] = SCHEMA.names, rows: int = 1 << 17
) -> Iterator[pa.RecordBatch]:
    """The batches of `scan`."""
    seq = query.first
    last = (1 << 64) - 1 if query.last is None else query.last
    tried = stuck = 0
    while seq <= last:
        manifest = manifests.load(folder)
        if manifest is not None:
            if file := manifest.covering(seq):
                try:
                    events = EventFile(Path(folder) / "archive" / file.file)
                except JournalError:
                    if tried == seq:  # not taken away by a quota while we looked: missing, or damaged
                        raise
                    tried = seq
                    continue
                yield from _archived(events, file, query, seq, last, columns, rows)
                seq = file.last + 1
                continue
            if dropped := manifest.dropped_to(seq):
                seq = dropped + 1
                continue
        reader = None
        problem: JournalError | None = None
        try:
            reader = _open(folder, query, seq, last)
            size = min(rows, 4096)  # memory is taken for so many: little for little
            while (found := reader.read(size)) is not None:
                size = min(rows, 8 * size)
                batch = to_arrow(found[0], found[1], reader.models, reader.categories)
                yield batch.select(columns)
                seq = reader.position + 1
            seq = max(seq, reader.position + 1)
            if not reader.gap:
                bad = _stopped_short(folder, reader.position)
                if bad is None:
                    return
                if stuck == seq:
                    raise JournalDamagedError(f"{bad} is damaged at event {seq}: see `fairlead journal verify`")
                stuck = seq  # or it was sealed just now: once more
                continue
        except JournalError as error:  # a segment that was removed under our feet, or damage
            seq = seq if reader is None else max(seq, reader.position + 1)
            problem = error
        # What is missing here was archived and removed meanwhile, or it is lost.
        manifest = manifests.load(folder)
        if manifest is not None and (manifest.covering(seq) or manifest.dropped_to(seq)):
            continue
        if problem is not None:
            if manifest is not None and not (Path(folder) / "segments").is_dir():
                return  # an archive alone
            raise problem
        raise JournalDamagedError(f"event {seq} is neither in the archive nor in the segments of {folder}")


def _stopped_short(folder: str | os.PathLike[str], position: int) -> Path | None:
    """A reader takes what is bad at the end of the newest segment for a tail that is being written. But a segment that
    is sealed says what its last event is."""
    newest = segments(folder)[-1:]
    short = newest and newest[0].last is not None and newest[0].first <= position + 1 <= newest[0].last
    return newest[0].path if short else None


def _open(folder: str | os.PathLike[str], query: Query, first: int, last: int) -> JournalColumns:
    return JournalColumns(
        str(folder),
        first=first,
        last=last,
        start=query.start,
        end=query.end,
        types=[EVENT_TYPES[kind] for kind in query.types or ()],
        models=list(query.models or ()),
        categories=list(query.categories or ()),
    )


def _archived(
    events: EventFile, file: ArchivedFile, query: Query, first: int, last: int, columns: Sequence[str], rows: int
) -> Iterator[pa.RecordBatch]:
    if query.start is not None and file.end < query.start:
        return
    if query.end is not None and file.start >= query.end:
        return
    if query.types is not None and not any(file.types.get(kind) for kind in query.types):
        return
    needed = list(dict.fromkeys([*columns, *_filters(query), "seq"]))
    for batch in events.batches(rows, needed):
        kept = batch
        mask = _mask(batch, query, first, last)
        if mask is not None:
            kept = batch.filter(mask)
        if len(kept):
            yield kept.select(columns)


def _filters(query: Query) -> list[str]:
    pairs = (("type", query.types), ("model", query.models), ("category", query.categories))
    names = [name for name, wanted in pairs if wanted is not None]
    return [*names, *(["time"] if query.start is not None or query.end is not None else [])]


def _mask(batch: pa.RecordBatch, query: Query, first: int, last: int) -> pa.Array | None:
    masks = []
    seq = batch["seq"]
    if len(seq) and (seq[0].as_py() < first or seq[-1].as_py() > last):
        seq = seq.cast(pa.uint64())
        masks.append(pc.and_(pc.greater_equal(seq, _uint(first)), pc.less_equal(seq, _uint(last))))
    if query.start is not None or query.end is not None:
        time = batch["time"].cast(pa.int64())
        if query.start is not None:
            masks.append(pc.greater_equal(time, query.start))
        if query.end is not None:
            masks.append(pc.less(time, query.end))
    for name, wanted in (("type", query.types), ("model", query.models), ("category", query.categories)):
        if wanted is not None:
            array = batch[name]
            known = pc.is_in(array.dictionary, value_set=pa.array(wanted, pa.string()))
            masks.append(pc.fill_null(known.take(array.indices), False))
    if not masks:
        return None
    out = masks[0]
    for mask in masks[1:]:
        out = pc.and_(out, mask)
    return out


def _uint(value: int) -> pa.Scalar:
    return pa.scalar(value, pa.uint64())


def dataset(folder: str | os.PathLike[str]) -> pa.Table:
    """Archive and live journal as a `pyarrow.dataset.Dataset`, of which a query reads only what it needs: for
    `polars.scan_pyarrow_dataset` and DuckDB. What is not archived is read into memory, as of this call; the files are
    read when the query runs, so none must be dropped by a quota before.

    Raises JournalError where there is no journal, JournalDamagedError where events are missing.
    """
    import pyarrow.dataset as ds

    manifest = manifests.load(folder)
    done = manifest.archived_to() if manifest is not None else 0
    live = pa.Table.from_batches(list(batches(folder, Query(first=done + 1))), SCHEMA)
    memory = ds.dataset(live)
    if manifest is None or not manifest.readable:
        return memory
    paths = [str(Path(folder) / "archive" / file.file) for file in manifest.readable]
    for path in paths:
        EventFile(Path(path))  # says which one is missing or damaged
    return ds.dataset([ds.dataset(paths, schema=SCHEMA, format="parquet"), memory])
