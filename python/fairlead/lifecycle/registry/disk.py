"""Every call that changes a registry's folder, in one place: what a crash can fall between is what stands here.

Paths are text here: pathlib would take a fifth of what a registration costs beside its syncs.
"""

# ruff: noqa: PTH102, PTH104, PTH108, PTH112, PTH120

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from fairlead.lifecycle.registry.errors import RegistryLockedError

PATIENCE_S = 60.0
"""How long a lock is waited for; none is held for longer than a write and its sync, but that of the objects."""


def create(path: str, mode: int = 0o644) -> int:
    """An empty file; one that is there is emptied: a writer that died left it."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)


def create_new(path: str, mode: int = 0o644) -> int:
    """The same, but raises FileExistsError where there is one."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


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


def rename(old: str, new: str) -> None:
    os.rename(old, new)


def link(old: str, new: str) -> None:
    """A second name for a file. Raises FileExistsError where the name is taken."""
    os.link(old, new)


def unlink(path: str) -> None:
    os.unlink(path)


def mkdir(path: str) -> None:
    os.mkdir(path)


def sync_folder(path: str) -> None:
    """Makes the names in a folder durable."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync(handle)
    finally:
        os.close(handle)


def beside(path: str) -> str:
    """Where a file is written before it gets its name."""
    folder, name = os.path.split(path)
    return f"{folder}/.{name}.tmp"


def replace(path: str, data: bytes, durable: bool = True) -> None:
    """A whole file, or the one before; durable when it returns. One caller at a time."""
    new = beside(path)
    handle = create(new)
    try:
        write(handle, data)
        if durable:
            sync(handle)
        rename(new, path)
        if durable:
            sync_folder(os.path.dirname(path))
    finally:
        os.close(handle)


def make_folder(path: str) -> None:
    """The folder, durably, and those above it; nothing where it is there."""
    if os.path.isdir(path or "."):
        return
    above = os.path.dirname(path)
    make_folder(above)
    with contextlib.suppress(FileExistsError):
        mkdir(path)
    sync_folder(above or ".")


class Lock:
    """flock on a handle that nobody else shares, while it is entered. A process that dies gives it back.

    Entering raises RegistryLockedError after `PATIENCE_S`.
    """

    __slots__ = ("_handle", "_kind", "_what")

    def __init__(self, handle: int, what: str, *, shared: bool = False) -> None:
        self._handle = handle
        self._what = what
        self._kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX

    def __enter__(self) -> None:
        pause, until = 1e-4, 0.0
        while True:
            try:
                fcntl.flock(self._handle, self._kind | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                now = time.monotonic()
                until = until or now + PATIENCE_S
                if now >= until:
                    raise RegistryLockedError(f"another process holds {self._what}; is one of them stopped?") from None
                time.sleep(pause)
                pause = min(2 * pause, 5e-3)

    def __exit__(self, *_: object) -> None:
        fcntl.flock(self._handle, fcntl.LOCK_UN)  # a child that was forked meanwhile has this handle too


class LockFile(Lock):
    """The same on a file that is there for this alone. Raises FileNotFoundError where its folder is not there."""

    __slots__ = ()

    def __init__(self, path: str, *, shared: bool = False) -> None:
        super().__init__(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), path, shared=shared)

    def __enter__(self) -> None:
        try:
            super().__enter__()
        except BaseException:
            os.close(self._handle)
            raise

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        os.close(self._handle)
