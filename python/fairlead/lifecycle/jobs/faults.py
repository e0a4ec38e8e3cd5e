"""What went wrong in a training: from an exception to its name and one line that says it."""

from __future__ import annotations

import contextlib
import errno
import os
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path

from fairlead.errors import JournalWarning
from fairlead.lifecycle.failures import Failure, LifecycleError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FULL_WORDS = ("no space left on device", "disk quota exceeded", "os error 28", "os error 122", "file too large")
_MEMORY_WORDS = ("can't allocate memory", "cannot allocate memory", "out of memory", "bad_alloc")
_ROOM = 1 << 20  # with less than this free, a file that could not be written had no room
_LONGEST = 500


class JobError(LifecycleError):
    """A job that cannot do what it is asked for; the message says why."""


class JobFailedError(JobError):
    """The result of a job that has none: it failed or was stopped. failure: how; id: which."""

    def __init__(self, message: str, failure: Failure, id: str) -> None:
        super().__init__(message)
        self.failure = failure
        self.id = id


class UnknownJobError(JobError, LookupError):
    """A job that the folder does not have."""


class JobsLockedError(JobError):
    """Another process runs the jobs of this folder; the message says which."""


class NotSendableError(JobError, TypeError):
    """A trainer that cannot cross to the process of its job: the message names what cannot."""


class LimitError(JobError):
    """A limit of the job that was broken between two epochs."""

    def __init__(self, message: str, failure: Failure) -> None:
        super().__init__(message)
        self.failure = failure


def failure_of(error: BaseException, folder: Path | None = None) -> Failure:
    """The name of what an exception is. folder: where the file lies that was being written when it was raised."""
    chain = list(_chain(error))
    for found in chain:
        if isinstance(found, LifecycleError):
            return found.failure
    for found in chain:
        if isinstance(found, MemoryError) or any(words in str(found).lower() for words in _MEMORY_WORDS):
            return Failure.out_of_memory
        number = found.errno if isinstance(found, OSError) else None
        if number in _FULL or any(words in str(found).lower() for words in _FULL_WORDS):
            return Failure.disk_full
    if folder is not None and isinstance(error, Exception):
        try:
            room = os.statvfs(folder)
        except OSError:
            return Failure.raised
        if room.f_bavail * room.f_frsize < _ROOM:  # writers in other languages hide the reason
            return Failure.disk_full
    return Failure.raised


def one_line(error: BaseException) -> str:
    """An exception in a line: its type, what it says, and where it was raised.

    >>> try:
    ...     raise ValueError("no such column")
    ... except ValueError as error:
    ...     one_line(error).partition(" (")[0]
    'ValueError: no such column'
    """
    text = " ".join(str(error).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    if len(text) > _LONGEST:
        text = text[: _LONGEST - 1] + "…"
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return text
    last = frames[-1]
    return f"{text} ({Path(last.filename).name}:{last.lineno}, in {last.name})"


def full_text(error: BaseException) -> str:
    """An exception with its traceback."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def warn(words: str) -> None:
    """A warning, which ends no thread where warnings are errors."""
    with contextlib.suppress(JournalWarning):
        warnings.warn(words, JournalWarning, stacklevel=2)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        seen.add(id(at))
        yield at
        at = at.__cause__ or (None if at.__suppress_context__ else at.__context__)
