"""A journal from its beginning again: segments made from the archive and from those that are left."""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fairlead._core import JournalColumns, SegmentWriter, crc32c
from fairlead.errors import JournalDamagedError, JournalError
from fairlead.journal import manifest as manifests
from fairlead.journal.folder import beside, segments, sync_folder
from fairlead.journal.manifest import Manifest
from fairlead.journal.parquet import EventFile


def restore(folder: str | os.PathLike[str], to: str | os.PathLike[str], *, segment_bytes: int = 64 << 20) -> int:
    """Makes a journal in `to` that holds all events of `folder`, archived and live, each as it was and with its number:
    so that a fold from the very beginning is possible again. It is the same journal by its id. Returns how many events.

    The archive's files are checked as they are read. `to` must not exist, and does so only once all is written, to a
    folder `.fairlead-*.restoring` beside it.
    Raises JournalError where there is no journal, `to` exists, or events were dropped by a quota; JournalDamagedError
    where the archive is damaged or events are missing.
    """
    target = Path(to)
    if target.exists():
        raise JournalError(f"to is {str(target)!r}, which exists already")
    manifest = manifests.load(folder)
    if manifest is not None and manifest.dropped:
        ranges = ", ".join(f"{file.first} to {file.last}" for file in manifest.dropped)
        raise JournalError(f"{folder} cannot be restored: events {ranges} were dropped by a quota")
    if manifest is None:
        found = segments(folder)
        if not found:
            raise JournalError(f"there is no journal: {folder} has no segment")
        journal = found[0].journal
    else:
        journal = manifest.journal
    fresh = beside(target, ".restoring")
    fresh.mkdir(parents=True)
    try:
        _begin(fresh / "segments", bytes.fromhex(journal))
        writer = SegmentWriter(str(fresh), segment_bytes)
        n = 0
        for rows, records in _records(folder, manifest):
            writer.append(records)
            n += rows
        writer.close()
        try:
            fresh.rename(target)
        except OSError as error:
            raise JournalError(f"to is {str(target)!r}, which is there by now: {error}") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    sync_folder(target.parent)
    return n


def _records(folder: str | os.PathLike[str], manifest: Manifest | None) -> Iterator[tuple[int, npt.NDArray[np.uint8]]]:
    seq = 1
    for entry in manifest.files if manifest is not None else ():
        if entry.first != seq:
            raise JournalDamagedError(f"events {seq} to {entry.first - 1} are missing in the archive of {folder}")
        file = EventFile(Path(folder) / "archive" / entry.file)
        crc = 0
        for records in file.records():
            crc = crc32c(records, crc)
            yield 0, records
        if crc != entry.events_crc32c:
            raise JournalDamagedError(f"{file.path} does not hold the events that were archived")
        yield entry.rows, np.zeros(0, np.uint8)
        seq = entry.last + 1
    if manifest is not None and not (Path(folder) / "segments").is_dir():
        return  # an archive alone
    reader = JournalColumns(str(folder), first=seq)
    while (found := reader.read(1 << 16, keep_records=True)) is not None:
        if found[2] is not None:  # as asked for
            yield found[0], found[2]
    if reader.gap:
        raise JournalDamagedError(f"event {reader.position + 1} is neither in the archive nor in {folder}")


def _begin(folder: Path, journal: bytes) -> None:
    """An empty first segment with the id of the journal that is restored."""
    folder.mkdir()
    header = struct.pack("<QII16sQqIII", 0x544E454D474C461A, 1, 64, journal, 1, 0, 0, 0, 0)
    (folder / f"{1:020}.seg").write_bytes(header + struct.pack("<I", crc32c(header)))
