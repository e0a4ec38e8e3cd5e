"""What lies in the folder of a journal, as the archive needs to know it, and how its files are made durable."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from fairlead.errors import JournalDamagedError, JournalError, JournalLockedError

_HEADER = struct.Struct("<QII16sQqIIII")  # SegmentHeader of format.hpp
_SEAL = struct.Struct("<IIIHBBQqiiQQ")  # a record of type seal
_MAGIC = 0x544E454D474C461A
_INDEX_BYTES, _INDEX_BLOCK_BYTES, _INDEXED_BYTES = 64, 112, 1 << 16  # index.hpp: its header, a block, what one is of


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment: events `first` to `last` (None: not sealed, so more may come). chain, after: checksums of the record
    before it and of its last one."""

    path: Path
    first: int
    last: int | None
    bytes: int
    chain: int
    after: int | None
    journal: str

    def to_dict(self) -> dict[str, object]:
        """As the manifest of an archive names it."""
        return {
            "file": self.path.name,
            "first": self.first,
            "last": self.last,
            "bytes": self.bytes,
            "chain": self.chain,
            "after": self.after,
        }


def segments(folder: str | os.PathLike[str]) -> list[Segment]:
    """All segments, oldest first. Reads the first and last bytes of each, not the records.

    Raises JournalError where there is no journal, or a file is no segment.
    """
    there = Path(folder) / "segments"
    while True:
        paths = sorted(there.glob("*.seg"))
        try:
            found = [_segment(path) for path in paths]
        except FileNotFoundError:  # compaction took it away meanwhile
            continue
        if not found and not there.is_dir():
            raise JournalError(f"there is no journal: {there} is no folder")
        whole = [
            Segment(s.path, s.first, after.first - 1, s.bytes, s.chain, after.chain, s.journal)
            for s, after in pairwise(found)
        ]
        return [*whole, *found[-1:]]


def _segment(path: Path) -> Segment:
    with path.open("rb") as file:
        start = file.read(_HEADER.size)
        size = file.seek(0, os.SEEK_END)
        if len(start) < _HEADER.size or _HEADER.unpack(start)[0] != _MAGIC:
            raise JournalDamagedError(f"{path} is no segment of a journal")
        file.seek(max(size - _SEAL.size, _HEADER.size))
        end = file.read(_SEAL.size)
    _, _, _, journal, first, _, chain, _, _, _ = _HEADER.unpack(start)
    last = after = None
    if _is_seal(end):
        after, _, _, _, _, _, seq, *_ = _SEAL.unpack(end)
        last = seq - 1
    return Segment(path, first, last, size, chain, after, journal.hex())


def _is_seal(end: bytes) -> bool:
    if len(end) != _SEAL.size:
        return False
    _, length, _, kind, _, flags, *_ = _SEAL.unpack(end)
    return (length, kind, flags) == (_SEAL.size, 2, 1)


def filled(path: Path) -> int:
    """Bytes of a segment and its index as they are once it is sealed: without the zeros of space taken in advance, with
    the seal and the index that are still to come."""
    index = path.with_suffix(".idx")
    with path.open("rb") as file:
        size = end = file.seek(0, os.SEEK_END)
        file.seek(max(size - _SEAL.size, 0))
        if _is_seal(file.read()):
            return size + (index.stat().st_size if index.exists() else 0)
        while end > 0:
            start = max(end - (1 << 16), 0)
            file.seek(start)
            if rest := file.read(end - start).rstrip(b"\0"):
                end = start + (len(rest) + 7) // 8 * 8
                break
            end = start
    return end + _SEAL.size + _INDEX_BYTES + _INDEX_BLOCK_BYTES * (end // _INDEXED_BYTES + 1)


def beside(path: Path, suffix: str) -> Path:
    """A name next to `path` that nobody else has: to write to, and then to rename."""
    return path.with_name(f".fairlead-{secrets.token_hex(8)}{suffix}")


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_durably(path: Path, data: bytes) -> None:
    """The whole file or the one before, whatever happens: written beside it, synced, then renamed."""
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def archive_lock(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """The folder of the archive, made where it is not there, while nobody else archives, compacts or drops.

    Raises JournalLockedError where somebody does, JournalError where there is no journal.
    """
    archive = Path(folder) / "archive"
    if not (Path(folder) / "segments").is_dir() and not archive.is_dir():
        raise JournalError(f"there is no journal: {folder} has no segments")
    if not archive.is_dir():
        archive.mkdir(parents=True, exist_ok=True)
        sync_folder(archive.parent)
    handle = os.open(archive / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalLockedError(f"another process archives or compacts {folder}") from None
        yield archive
    finally:
        os.close(handle)
