"""The weights, under the name of their own sha256: `objects/<sha256>.<format>`. What is there never changes.

A file is made under its name, written, and synced once: on ext4, XFS and btrfs that makes the name durable with the
bytes. Only after that an entry of a log may speak of it. Until then a crash may leave the name with other bytes: so a
file that is there already is read and compared before it is used again, and replaced where it is not what its name
says. The folder is flat: a registry has thousands of files, and each folder more would be one more sync.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from fairlead.lifecycle.registry import disk
from fairlead.lifecycle.registry.errors import DamagedWeightsError

SMALL = 1 << 26
"""Bytes up to which a file is read into memory whole."""

_BLOCK = 1 << 20


class Objects:
    """The folder of the weights. Registering holds it shared, taking away holds it alone."""

    __slots__ = ("_durable", "_lock", "_place", "folder")

    def __init__(self, folder: Path, durable: bool = True) -> None:
        self.folder = folder
        self._place = os.fspath(folder)
        self._lock = f"{self._place}/.lock"
        self._durable = durable

    def path(self, file: str) -> Path:
        """Of a file that is there, or would be."""
        return self.folder / file

    def kept(self) -> disk.LockFile:
        """Nothing is taken away meanwhile."""
        return disk.LockFile(self._lock, shared=True)

    def alone(self) -> disk.LockFile:
        """Nobody is registering meanwhile."""
        return disk.LockFile(self._lock)

    def put(self, data: bytes | memoryview, format: str) -> str:
        """Bytes, durable when it returns; gives their digest. Under `kept`."""
        name = hashlib.sha256(data).hexdigest()
        target = f"{self._place}/{name}.{format}"
        try:
            handle = disk.create_new(target, 0o444)
        except FileExistsError:
            if not self._there(target, name):
                with self._new() as (handle, path):
                    disk.write(handle, data)
                    self._publish(handle, path, target, name)
            return name
        try:
            with _or_none(handle, target):
                disk.write(handle, data)
                if self._durable:
                    disk.sync(handle)
        finally:
            os.close(handle)
        return name

    def put_file(self, source: int, format: str) -> tuple[str, int]:
        """The same for an open file that is too large for memory: digest and size."""
        with self._new() as (handle, path):
            found = hashlib.sha256()
            size = 0
            while block := os.pread(source, _BLOCK, size):
                found.update(block)
                disk.write(handle, block)
                size += len(block)
            name = found.hexdigest()
            target = f"{self._place}/{name}.{format}"
            if not self._there(target, name):
                self._publish(handle, path, target, name)
        return name, size

    def read(self, file: str, size: int) -> bytes:
        """The bytes of a file, checked. Raises DamagedWeightsError."""
        path = self.path(file)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise DamagedWeightsError(f"the weights are gone: there is no {path}") from None
        if len(data) != size:
            raise DamagedWeightsError(f"{path} has {len(data):,} bytes, {size:,} were registered")
        if hashlib.sha256(data).hexdigest() != file.partition(".")[0]:
            raise DamagedWeightsError(f"{path} was changed: its sha256 is not its name")
        return data

    def check(self, file: str, size: int) -> Path:
        """The path of a file, its bytes checked. Raises DamagedWeightsError."""
        path = self.path(file)
        try:
            there = path.stat().st_size
            if there != size:
                raise DamagedWeightsError(f"{path} has {there:,} bytes, {size:,} were registered")
            if digest(path) != file.partition(".")[0]:
                raise DamagedWeightsError(f"{path} was changed: its sha256 is not its name")
        except FileNotFoundError:
            raise DamagedWeightsError(f"the weights are gone: there is no {path}") from None
        return path

    def files(self) -> Iterator[Path]:
        """All weights, and what writers that died left behind."""
        if self.folder.is_dir():
            yield from sorted(path for path in self.folder.iterdir() if path.name != ".lock")

    def _there(self, target: str, name: str) -> bool:
        """Whether the bytes are there already; they are durable then."""
        try:
            if digest(target) != name:
                return False
        except FileNotFoundError:
            return False
        if self._durable:
            handle = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
            try:
                disk.sync(handle)
            finally:
                os.close(handle)
        return True

    def _publish(self, handle: int, path: str, target: str, name: str) -> None:
        """Gives the bytes their name, for good."""
        try:
            disk.link(path, target)  # a rename could put these, not yet synced, in the place of another's that are
        except FileExistsError:
            if self._there(target, name):  # somebody was quicker
                return
            if self._durable:
                disk.sync(handle)
            disk.rename(path, target)  # it is not what its name says
        if self._durable:
            with _or_none(handle, target):
                disk.sync(handle)

    @contextlib.contextmanager
    def _new(self) -> Iterator[tuple[int, str]]:
        path = f"{self._place}/.{secrets.token_hex(8)}.tmp"
        handle = disk.create(path, 0o444)
        try:
            yield handle, path
        finally:
            with contextlib.suppress(OSError):
                disk.unlink(path)
            os.close(handle)


@contextlib.contextmanager
def _or_none(handle: int, target: str) -> Iterator[None]:
    """A file that cannot be written or synced is taken away: it would be found, in memory, and taken for durable."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            if os.fstat(handle).st_ino == Path(target).stat().st_ino:  # else another has put a whole one there
                disk.unlink(target)
        raise


def digest(path: str | os.PathLike[str]) -> str:
    """The sha256 of a file, hexadecimal."""
    found = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
