"""What can go wrong with a registry. Each names the model and the file; nothing has changed when one is raised."""

from __future__ import annotations

import errno
import os

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import Failure, LifecycleError


class RegistryError(LifecycleError):
    """Base of what can go wrong with a registry of models."""


class UnknownVersionError(RegistryError, LookupError):
    """A model, a version or an alias that the registry does not have."""


class AliasMovedError(RegistryError):
    """The alias is not where the caller thought: somebody else moved it. expected, found: the generations."""

    def __init__(self, message: str, expected: int = 0, found: int = 0) -> None:
        super().__init__(message)
        self.expected = expected
        self.found = found


class VersionInUseError(RegistryError):
    """A version that an alias points to cannot be deleted."""


class RefusedWeightsError(RegistryError, InvalidRecordError):
    """A file that is none of the formats that a registry takes; a pickle above all, which runs code when it is read."""


class UntrustedTypeError(RegistryError):
    """An estimator made of types that nobody has said to trust. types: their names."""

    def __init__(self, message: str, types: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.types = types


class DamagedWeightsError(RegistryError):
    """Weights that are not those that were registered, or are gone."""


class DamagedRegistryError(RegistryError):
    """A log with lines that are not what was written: the message names the file and the line, and what helps."""


class RegistryLockedError(RegistryError):
    """Another process holds a lock of the registry for too long."""


class RegistryStorageError(RegistryError, OSError):
    """The disk is full, the folder may not be written to, or the disk fails. errno: the system's."""

    def __str__(self) -> str:  # an OSError would say its number alone
        return str(self.args[0]) if self.args else ""


class RegistryWarning(UserWarning):
    """What a registry found and could help: the end of a log that was torn by a crash."""


_FULL = (errno.ENOSPC, errno.EDQUOT)
_DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)


class told:
    """Turns what the system refuses meanwhile into an error that says what was being done."""

    __slots__ = ("_what", "_where")

    def __init__(self, what: str, where: str | os.PathLike[str]) -> None:
        self._what = what
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, OSError) or isinstance(error, RegistryError):
            return
        what, where, why = self._what, os.fspath(self._where), error.strerror or str(error)
        if error.errno in _FULL:
            text = f"the disk is full: cannot {what} in {where} ({why}); nothing was changed"
        elif error.errno in _DENIED:
            text = f"cannot {what}: {error.filename or where} may not be written to ({why})"
        else:
            text = f"cannot {what} in {where}: {error}"
        raise storage_error(error, text) from error


def storage_error(error: BaseException, text: str) -> RegistryStorageError:
    """With the number that the system gave."""
    raised = RegistryStorageError(text)
    if isinstance(error, OSError):
        raised.errno, raised.strerror, raised.filename = error.errno, error.strerror, error.filename
        if error.errno in _FULL:
            raised.failure = Failure.disk_full
    return raised
