"""The log of a model: what became of it, one line an entry. A line on disk is the commit; the rest follows from it.

    <CRC-32C of the rest, 8 hexadecimal digits> <JSON>\\n

Each entry has `seq`, dense from 0; entry 0 says whose log it is. The file is longer than what is in it, filled up with
empty lines: an entry overwrites some of them, so its sync need not change the size of the file (which halves what it
costs on ext4), and a promotion or a rollback finds room on a full disk.

Appending: under flock, one write, one fdatasync. A crash may leave the last line torn: readers pass it over, for it was
never acknowledged, and the next writer puts it aside and clears its place. A line that is wrong before others that are
right is damage, which is told and never passed over.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairlead._core import crc32c
from fairlead.lifecycle.registry import disk
from fairlead.lifecycle.registry.card import as_json
from fairlead.lifecycle.registry.errors import DamagedRegistryError, RegistryWarning, storage_error
from fairlead.lifecycle.registry.state import State

LAYOUT = 1
ROOM = 1 << 14
"""Bytes that a log grows by; it does where less than a quarter of them is left."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a log that is not what was written. line: from 1; start, end: in bytes."""

    path: str
    line: int
    start: int
    end: int
    why: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line} (bytes {self.start} to {self.end}): {self.why}"


@dataclass(slots=True)
class Scan:
    """What a part of a log holds. entries: those that are whole; end: where they end; last: the last one's line; torn:
    what is after them."""

    entries: list[dict[str, Any]]
    end: int
    last: bytes
    torn: bytes
    damage: list[Damage]


_ENTRY = re.compile(rb'[0-9a-f]{8} \{"seq":')


def line_of(text: bytes) -> bytes:
    """An entry, as JSON, as a line."""
    return b"%08x %s\n" % (crc32c(text), text)


def scan(path: str, data: bytes, offset: int, seq: int) -> Scan:
    """Reads a part of a log that begins at `offset` with entry `seq`."""
    found = Scan([], offset, b"", b"", [])
    bad: list[Damage] = []
    place, number = offset, seq
    filled = _filled(data)
    for line in filled.removesuffix(b"\n").split(b"\n") if filled else ():
        end = place + len(line) + 1
        entry, why = _entry(line) if end <= offset + len(filled) else (None, "its end is missing")
        if entry is None and (within := _ENTRY.search(line, 1)):  # what ended the line before was overwritten
            entry, _ = _entry(line[within.start() :])
            if entry is not None:
                bad.append(Damage(path, number + 1, place, place + within.start(), why))
                line, number = line[within.start() :], entry["seq"]
        if entry is None:
            bad.append(Damage(path, number + 1, place, end, why))
        else:
            if entry["seq"] != number:
                gap = f"entry {entry['seq']} stands where entry {number} belongs"
                bad = bad or [Damage(path, number + 1, place, end, gap)]
            found.damage += bad
            bad = []
            found.entries.append(entry)
            found.end, found.last, number = end, line + b"\n", entry["seq"]
        place, number = end, number + 1
    found.torn = filled[found.end - offset :]
    return found


def _filled(data: bytes) -> bytes:
    """Without the empty lines at the end."""
    last = 0 if data.startswith(b"\n") else data.find(b"\n\n") + 1
    rest = len(data) - last
    if (last or data.startswith(b"\n")) and data[last:] == b"\n" * rest:  # as nearly always; rstrip takes 50 us
        return data[:last]
    return data.rstrip(b"\n") + data[-1:] if data else data


def _entry(line: bytes) -> tuple[dict[str, Any] | None, str]:
    if not line:
        return None, "it is empty"
    try:
        if line[8:9] != b" " or int(line[:8], 16) != crc32c(line[9:]):
            return None, "its checksum does not fit"
        entry = json.loads(line[9:])
        if not isinstance(entry["seq"], int):
            raise TypeError
        return entry, ""
    except (ValueError, TypeError, KeyError):
        return None, "it is no entry of a log"


class Follower:
    """The state of a model as of the newest entry in its log; reads only what is new. One thread at a time."""

    __slots__ = ("_identity", "_last", "damage", "entries", "name", "offset", "path", "state")

    def __init__(self, path: str, name: str) -> None:
        self.path = path
        self.name = name
        self._reset(None)

    def _reset(self, identity: tuple[int, int] | None) -> None:
        self._identity = identity
        self._last = b""
        self.offset = 0
        self.entries = 0
        self.damage: list[Damage] = []
        self.state = State(self.name)

    def refresh(self, handle: int | None = None) -> bytes:
        """Takes in what was appended, and gives what stands torn after it. handle: of the log, where it is open: then
        all of the rest is read, else only if it begins with something.

        Raises FileNotFoundError where there is no log, DamagedRegistryError where a line of it is damaged.
        """
        if handle is None:
            own = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return self._refresh(own, whole=False)
            finally:
                os.close(own)
        return self._refresh(handle, whole=True)

    def _refresh(self, handle: int, *, whole: bool) -> bytes:
        status = os.fstat(handle)
        if self._identity != (status.st_dev, status.st_ino):
            self._reset((status.st_dev, status.st_ino))
        there = os.pread(handle, len(self._last) + 1, self.offset - len(self._last))
        if there[: len(self._last)] != self._last:  # taken back: its sync failed
            self._reset(self._identity)
        elif not whole and there[len(self._last) :] in (b"", b"\n") and self.entries:
            self._check()
            return b""
        found = scan(self.path, _read(handle, self.offset, status.st_size), self.offset, self.entries)
        if found.damage and not whole:  # or was it read while it was being written?
            with disk.Lock(handle, self.path, shared=True):
                size = os.fstat(handle).st_size
                found = scan(self.path, _read(handle, self.offset, size), self.offset, self.entries)
        self._take(found)
        return found.torn

    def _take(self, found: Scan) -> None:
        self.damage += found.damage
        for entry in found.entries:
            if entry["seq"] == 0:
                self._check_header(entry)
            try:
                self.state.apply(entry)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                where = f"entry {entry['seq']} of {self.path}"
                if not self.damage:  # else it may be about what was lost
                    self._reset(None)
                    raise DamagedRegistryError(f"{where} cannot be taken: {error}") from error
            self.entries = entry["seq"] + 1
        self.offset, self._last = found.end, found.last or self._last
        self._check()

    def _check(self) -> None:
        if self.damage:
            raise DamagedRegistryError(
                f"the log of {self.name!r} is damaged: {'; '.join(map(str, self.damage))}. Nothing was passed over; "
                f"`fairlead models repair` keeps what is whole, and says what is lost"
            )

    def _check_header(self, entry: Mapping[str, Any]) -> None:
        told = entry.get("log")
        if not isinstance(told, Mapping) or told.get("format") != "fairlead-model-log":
            raise DamagedRegistryError(f"{self.path} is no log of a model")
        if told.get("layout") != LAYOUT:
            raise DamagedRegistryError(f"{self.path} has layout {told.get('layout')!r}, this fairlead reads {LAYOUT}")
        if told.get("name") != self.name:
            raise DamagedRegistryError(f"{self.path} is the log of {told.get('name')!r}, not of {self.name!r}")


def _read(handle: int, start: int, end: int) -> bytes:
    parts = []
    while start < end and (part := os.pread(handle, end - start, start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)


class Appender:
    """The log of a model while nobody else may write it."""

    __slots__ = ("_durable", "_handle", "_name", "_offset", "_path", "_size", "seq")

    def __init__(self, follower: Follower, handle: int, durable: bool) -> None:
        self._path = follower.path
        self._name = follower.name
        self._handle = handle
        self._durable = durable
        self._offset = follower.offset
        self._size = os.fstat(handle).st_size
        self.seq = follower.entries

    def clear(self, torn: bytes) -> None:
        """Puts aside what a crash left at the end, and clears its place."""
        aside = f"{self._path}.torn-{self._offset}"
        with contextlib.suppress(OSError):  # it was never acknowledged: the copy is a courtesy
            Path(aside).write_bytes(torn)
        disk.pwrite(self._handle, b"\n" * (self._size - self._offset), self._offset)
        disk.datasync(self._handle)
        warnings.warn(
            f"the log of {self._name!r} ended in {len(torn)} bytes of an entry that was never acknowledged: "
            f"they were moved to {aside}",
            RegistryWarning,
            stacklevel=2,
        )

    def append(self, what: str, entry: bytes) -> None:
        """An entry, as JSON without its `seq`: durable when it returns. what: the entry in words, for an error. An
        error leaves the log as it was, unless it says that nobody knows."""
        line = line_of(b'{"seq":%d,%s' % (self.seq, entry[1:]))
        end = self._offset + len(line)
        if end + ROOM // 4 > self._size:
            self._grow(end)
        written = False
        try:
            disk.pwrite(self._handle, line, self._offset)
            written = True
            if self._durable:
                disk.datasync(self._handle)
        except BaseException as error:
            if not self._take_back(len(line)) and written:
                raise storage_error(
                    error,
                    f"{self._path} was written to, but the disk then failed ({error}): it is not known whether "
                    f"{what} of {self._name!r} holds; look again once the disk works",
                ) from error
            raise
        self._offset, self.seq = end, self.seq + 1

    def _grow(self, end: int) -> None:
        room = (end // ROOM + 1) * ROOM + ROOM - self._size
        try:
            disk.pwrite(self._handle, b"\n" * room, self._size)
        except OSError:
            with contextlib.suppress(OSError):
                disk.truncate(self._handle, self._size)
            if end > self._size:
                raise
        else:
            self._size += room

    def _take_back(self, length: int) -> bool:
        """So that nobody reads an entry whose writer was told that it failed. False: the disk does not let us."""
        try:
            disk.pwrite(self._handle, b"\n" * length, self._offset)
            disk.datasync(self._handle)
        except OSError:
            return False
        return True


@contextlib.contextmanager
def appending(
    follower: Follower, guard: contextlib.AbstractContextManager[Any], durable: bool = True
) -> Iterator[Appender]:
    """The log, locked against all other writers, with the follower at its end. guard: held while the follower reads.

    Raises FileNotFoundError where there is no log; RegistryLockedError; DamagedRegistryError.
    """
    while True:
        handle = os.open(follower.path, os.O_RDWR | os.O_CLOEXEC)  # of its own: who shares a handle shares the lock
        try:
            with disk.Lock(handle, follower.path):
                if os.fstat(handle).st_nlink == 0:  # a repair put another in its place
                    continue
                with guard:
                    torn = follower.refresh(handle)
                    appender = Appender(follower, handle, durable)
                if torn:
                    appender.clear(torn)
                yield appender
                return
        finally:
            os.close(handle)


def new_log(name: str, entries: Sequence[Mapping[str, Any]], time: int) -> bytes:
    """A log as it is first written, with room for more."""
    head = {"time": time, "op": "log", "log": {"format": "fairlead-model-log", "layout": LAYOUT, "name": name}}
    data = b"".join(line_of(as_json({"seq": seq, **entry})) for seq, entry in enumerate([head, *entries]))
    return data.ljust((len(data) // ROOM + 1) * ROOM + ROOM, b"\n")
