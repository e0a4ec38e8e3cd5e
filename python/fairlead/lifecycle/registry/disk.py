"""Every call that changes a registry's folder, in one place: what a crash can fall between is what stands here."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from fairlead.lifecycle.registry.errors import RegistryLockedError

PATIENCE_S = 60.0
"""How long a lock is waited for; none is held for longer than a write and its sync, but that of the objects."""


def create(path: Path, mode: int = 0o644) -> int:
    """An empty file; one that is there is emptied: a writer that died left it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)


def write(handle: int, data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(handle, rest) :]


def pwrite(handle: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        n = os.pwrite(handle, rest, offset)
        rest, offset = rest[n:], offset + n


def truncate(handle: int, size: int) -> None:
    os.ftruncate(handle, size)


def sync(handle: int) -> None:
    os.fsync(handle)


def datasync(handle: int) -> None:
    os.fdatasync(handle)


def rename(old: Path, new: Path) -> None:
    old.rename(new)


def link(old: Path, new: Path) -> None:
    """A second name for a file. Raises FileExistsError where the name is taken."""
    os.link(old, new)


def unlink(path: Path) -> None:
    path.unlink()


def mkdir(path: Path) -> None:
    path.mkdir()


def sync_folder(path: Path) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(handle)
    finally:
        os.close(handle)


def replace(path: Path, data: bytes) -> None:
    """A whole file, or the one before; durable when it returns. One caller at a time."""
    new = path.with_name(f".{path.name}.tmp")
    handle = create(new)
    try:
        write(handle, data)
        sync(handle)
        rename(new, path)
        sync_folder(path.parent)
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """The folder, durably, and those above it; nothing where it is there."""
    if path.is_dir():
        return
    make_folder(path.parent)
    with contextlib.suppress(FileExistsError):
        mkdir(path)
    sync_folder(path.parent)


@contextlib.contextmanager
def locked(handle: int, what: Path, *, shared: bool = False, patience_s: float | None = None) -> Iterator[None]:
    """flock on a handle that nobody else shares. A process that dies gives it back.

    Raises RegistryLockedError after `patience_s`.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    pause, until = 1e-4, None
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            now = time.monotonic()
            until = now + (PATIENCE_S if patience_s is None else patience_s) if until is None else until
            if now >= until:
                raise RegistryLockedError(f"another process holds {what}; is one of them stopped?") from None
            time.sleep(pause)
            pause = min(2 * pause, 5e-3)
    try:
        yield
    finally:
        fcntl.flock(handle, fcntl.LOCK_UN)  # a child that was forked meanwhile has this handle too


@contextlib.contextmanager
def lock_file(path: Path, *, shared: bool = False) -> Iterator[None]:
    """As `locked`, on a file that is there for this alone."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with locked(handle, path, shared=shared):
            yield
    finally:
        os.close(handle)
