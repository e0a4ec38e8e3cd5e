"""Sealed segments as Parquet files in `archive/`, checked before anybody may rely on them, with a manifest."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead._core import JournalColumns, crc32c
from fairlead.errors import JournalDamagedError, JournalError
from fairlead.journal import columns, parquet
from fairlead.journal import manifest as manifests
from fairlead.journal.arrow import pa, pc
from fairlead.journal.columns import of_type, to_arrow
from fairlead.journal.folder import Segment, archive_lock, segments, sync_folder
from fairlead.journal.manifest import ArchivedFile, Manifest

FILE_BYTES = 64 << 20
"""Small segments are put together into one file, up to so many bytes of segments."""

_ROWS = 1 << 16  # read, compared and given back at once: they stay in the cache

Step = Callable[[str], None]
"""Called after every step that a crash could follow: for tests."""


def _no_step(step: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What was archived: files, events (`rows`), bytes of segments before and of Parquet after."""

    files: tuple[str, ...]
    rows: int
    segment_bytes: int
    bytes: int

    def __str__(self) -> str:
        if not self.files:
            return "nothing to archive: no sealed segment that is not archived yet"
        each = f", {self.bytes / self.rows:.1f} a piece" if self.rows else ""
        return f"{self.rows:,} events archived: {self.bytes:,} bytes{each}, of {self.segment_bytes:,} in segments"

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


def archive(folder: str | os.PathLike[str], *, through: int | None = None, step: Step = _no_step) -> ArchiveReport:
    """Writes every sealed segment that is not archived yet to `archive/`, as zstd Parquet, and checks what it wrote.

    Each file is read back before the manifest names it: the records made from it must equal those of the segments, byte
    for byte. Nothing is removed. Takes no lock of the journal: it may run beside the writer, in any process.
    through: up to the segment that holds this event; None: all that are sealed.
    Takes memory for the events of four files at most, each of 64 MiB of segments, or of one that is larger.
    Raises JournalError where there is no journal, JournalDamagedError where a segment or the manifest is damaged,
    JournalLockedError where somebody else is archiving.
    """
    with archive_lock(folder) as there:
        return archive_locked(Path(folder), there, through, step)


def archive_locked(folder: Path, there: Path, through: int | None, step: Step) -> ArchiveReport:
    """`archive` for who holds the lock."""
    for left in there.glob("*.tmp"):  # of a crash
        left.unlink()
    found = segments(folder)
    manifest = manifests.load(folder) or Manifest(found[0].journal if found else "")
    if found and manifest.journal != found[0].journal:
        raise JournalDamagedError(f"{manifests.manifest_path(folder)} is of another journal: {manifest.journal}")
    done = manifest.archived_to()
    todo = [s for s in found if s.last is not None and s.last > done and s.last >= s.first]
    if through is not None:
        todo = [s for s in todo if s.first <= through]
    if todo and todo[0].first > done + 1:
        raise JournalDamagedError(f"events {done + 1} to {todo[0].first - 1} are neither archived nor in {folder}")
    written: list[ArchivedFile] = []
    groups = list(_groups(todo))
    width = min(4, os.cpu_count() or 1)  # so few at a time, for the memory they take
    # The core and Arrow both leave the GIL alone.
    with ThreadPoolExecutor(max_workers=width) as pool:
        for at in range(0, len(groups), width):
            running = [pool.submit(_write, folder, there, group, done, step) for group in groups[at : at + width]]
            new: list[ArchivedFile] = []
            try:
                for one in running:
                    new.append(one.result())  # noqa: PERF401 - one by one
            finally:  # what came before a damaged segment is archived
                _record(folder, there, manifest, new, step)
            written += new
    rows, after = sum(file.rows for file in written), sum(file.bytes for file in written)
    return ArchiveReport(tuple(file.file for file in written), rows, sum(s.bytes for s in todo), after)


def _record(folder: Path, there: Path, manifest: Manifest, new: Sequence[ArchivedFile], step: Step) -> None:
    if not new:
        return
    sync_folder(there)
    step("files")
    manifest.files += new
    manifests.save(folder, manifest)
    step("manifest")


def _groups(todo: Sequence[Segment]) -> Iterator[list[Segment]]:
    group: list[Segment] = []
    for segment in todo:
        if group and sum(s.bytes for s in group) + segment.bytes > FILE_BYTES:
            yield group
            group = []
        group.append(segment)
    if group:
        yield group


def _write(folder: Path, there: Path, group: Sequence[Segment], done: int, step: Step) -> ArchivedFile:
    first, last = max(group[0].first, done + 1), group[-1].last
    if last is None:
        raise JournalError(f"{group[-1].path} is not sealed")
    reader = JournalColumns(str(folder), first=first, last=last)
    batches, kept = [], []
    while (found := reader.read(_ROWS, keep_records=True)) is not None:
        rows, buffers, records = found
        batches.append(to_arrow(rows, buffers, reader.models, reader.categories))
        if records is not None:  # as asked for
            kept.append(records)
    if reader.gap or reader.position != last:
        raise JournalDamagedError(f"event {reader.position + 1} is missing in {group[0].path.parent}")
    table = pa.Table.from_batches(batches).unify_dictionaries()
    beside, path = there / f"{first:020}.parquet.tmp", there / f"{first:020}.parquet"
    parquet.write(beside, table, reader.models, reader.categories, group[0].journal)
    step("written")
    parts = [{**segment.to_dict(), **_span(table, segment)} for segment in group]
    entry = _entry(beside, path.name, table, first, last, parts)
    entry = _checked(beside, entry, kept)
    step("checked")
    beside.replace(path)
    step("renamed")
    return entry


def rewrite(there: Path, entry: ArchivedFile, name: str, types: Sequence[str], step: Step) -> ArchivedFile:
    """Writes the events of these types that an archived file holds to a file `name` of the archive, checked as ever,
    and gives what the manifest is to say of it. Raises JournalDamagedError where the file is damaged."""
    file = parquet.EventFile(there / entry.file)
    batches, kept = [], []
    for batch in file.batches():
        batch = batch.filter(of_type(batch, types))
        batches.append(batch)
        kept += list(columns.records(batch, file.models, file.categories))
    table = pa.Table.from_batches(batches).unify_dictionaries()
    beside = there / f"{name}.tmp"
    parquet.write(beside, table, file.models, file.categories, file.journal)
    step("written")
    made = _entry(beside, name, table, entry.first, entry.last, [])
    made = _checked(beside, made, kept)
    step("checked")
    beside.replace(there / name)
    return made


def _entry(path: Path, name: str, table: pa.Table, first: int, last: int, parts: list[dict[str, Any]]) -> ArchivedFile:
    own = pc.is_in(table["type"].cast(pa.string()), value_set=pa.array(["name", "gap", "dropped"]))
    timed = table["time"].filter(pc.invert(own))  # the journal's own events have no time of their own
    times = pc.min_max((timed if len(timed) else table["time"]).cast(pa.int64())).as_py()
    span = (times["min"], times["max"])
    return ArchivedFile(
        name, first, last, len(table), _types(table), *span, path.stat().st_size, _sha256(path), 0, parts
    )


def _types(table: pa.Table) -> dict[str, int]:
    counted: Counter[str] = Counter()
    for pair in table["type"].value_counts().to_pylist():
        counted[pair["values"] or ""] += pair["counts"]
    return dict(counted)


def _span(table: pa.Table, segment: Segment) -> dict[str, int]:
    """The earliest and latest time of the events of a segment."""
    seq = table["seq"].to_numpy()
    last = segment.first if segment.last is None else segment.last
    inside = (
        table["time"]
        .cast(pa.int64())
        .to_numpy()[np.searchsorted(seq, segment.first) : np.searchsorted(seq, last, "right")]
    )
    return {"start": int(inside.min()), "end": int(inside.max())} if len(inside) else {"start": 0, "end": 0}


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _checked(path: Path, entry: ArchivedFile, kept: list[npt.NDArray[np.uint8]]) -> ArchivedFile:
    """Reads the file back: raises JournalDamagedError unless it gives the very records again."""
    file = parquet.EventFile(path)
    crc, left = 0, sum(len(piece) for piece in kept)
    kept.reverse()  # taken from the end, as they are compared: their memory goes
    for records in file.records():
        crc = crc32c(records, crc)
        left -= len(records)
        for at, piece in _pieces(kept, len(records)):
            if not np.array_equal(records[at : at + len(piece)], piece):
                raise JournalDamagedError(f"{path} does not give again what was written to it: nothing was archived")
    if left or file.rows != entry.rows:
        raise JournalDamagedError(f"{path} holds {file.rows} events of {entry.rows}: nothing was archived")
    return replace(entry, events_crc32c=crc)


def _pieces(kept: list[npt.NDArray[np.uint8]], n: int) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    """The next n bytes of what was kept, with their places in those n; fewer where there are no more."""
    at = 0
    while at < n and kept:
        piece = kept.pop()
        if len(piece) > n - at:
            kept.append(piece[n - at :])
            piece = piece[: n - at]
        yield at, piece
        at += len(piece)


@dataclass(frozen=True, slots=True)
class ArchiveCheck:
    """What `verify_archive` found. problems: one line for each file that is not as the manifest says; strays: files
    that the manifest lacks, as a crash may leave them (they hold nothing that is not in a segment or another file)."""

    files: int
    rows: int
    problems: tuple[str, ...]
    strays: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def __str__(self) -> str:
        lines = [f"{self.files} files, {self.rows:,} events: {'whole' if self.whole else 'DAMAGED'}"]
        lines += [f"  {problem}" for problem in self.problems]
        return "\n".join([*lines, *(f"  {stray} is not in the manifest" for stray in self.strays)])

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {**asdict(self), "whole": self.whole}


def verify_archive(folder: str | os.PathLike[str]) -> ArchiveCheck:
    """Reads every archived file: its checksum, its rows, and the records that it gives, against the manifest.

    Raises JournalDamagedError where the manifest itself is damaged, or there are files but no manifest.
    """
    there = Path(folder) / "archive"
    manifest = manifests.load(folder)
    have = {path.name for path in there.glob("*.parquet")} if there.is_dir() else set()
    if manifest is None:
        if have:
            raise JournalDamagedError(f"{manifests.manifest_path(folder)} is missing, but there are {len(have)} files")
        return ArchiveCheck(0, 0, (), ())
    found = manifest.readable
    problems = [problem for file in found if (problem := _problem(there / file.file, file, manifest.journal))]
    known = sorted([*manifest.files, *manifest.dropped], key=lambda file: file.first)
    for before, after in pairwise(known):
        if after.first != before.last + 1:
            problems.append(f"{after.file} begins with event {after.first}, must begin with {before.last + 1}")
    strays = sorted(have - {file.file for file in found})
    return ArchiveCheck(len(found), sum(file.rows for file in found), tuple(problems), tuple(strays))


def _problem(path: Path, entry: ArchivedFile, journal: str) -> str | None:
    if not path.is_file():
        return f"{path} is missing"
    if path.stat().st_size != entry.bytes:
        return f"{path} has {path.stat().st_size} bytes, must have {entry.bytes}"
    if _sha256(path) != entry.sha256:
        return f"{path} was changed: its checksum does not fit"
    try:
        file = parquet.EventFile(path)
        crc = 0
        for records in file.records():
            crc = crc32c(records, crc)
    except JournalError as error:
        return str(error)
    if file.journal != journal:
        return f"{path} is of another journal"
    if file.rows != entry.rows or crc != entry.events_crc32c:
        return f"{path} does not hold the events that were archived"
    return None
