"""Keys of providers: where they come from, and that they are never seen.

From the environment, else from a file of `NAME=value` lines. A key lives in a `Secret`, which no repr, pickle, JSON,
log record or traceback shows; it is taken out in one place, where a client is made.
"""

from __future__ import annotations

import os
import re
import stat
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import NoReturn

from fairlead.errors import FairleadError
from fairlead.providers.failure import ProviderError

SECRETS_VARIABLE = "FAIRLEAD_SECRETS"
"""Names the secrets file where none is given."""

_HIDDEN = "***"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_KEY = re.compile(r"[!-~]+")  # what a header can carry, without spaces
# What looks like a key of some provider, whoever's it is.
_LOOKS_LIKE_A_KEY = re.compile(
    r"\b(?:sk|pk|rk|xai|gsk|fw|hf|pplx|r8|nvapi|AIza)[-_][A-Za-z0-9_*\-]{6,}|(?<=[Bb]earer )[^\s'\",)]+"
)


class SecretsWarning(UserWarning):
    """A secrets file that others than its owner can read."""


class Secret:
    """A key that shows itself to nobody who does not call `reveal()`.

    >>> key = Secret("sk-123")
    >>> key, str(key), f"{key}", [key]
    (Secret(***), '***', '***', [Secret(***)])
    """

    __slots__ = ("_reveal",)

    def __init__(self, value: str) -> None:
        # In a closure, so that a debugger's list of attributes does not hold it either.
        def reveal() -> str:
            return value

        self._reveal = reveal

    def reveal(self) -> str:
        """The key itself. Keep it in no variable that an exception could pass."""
        return self._reveal()

    def scrub(self, text: str) -> str:
        """The text without this key, and without anything that looks like one."""
        return scrub(text, (self,))

    def __bool__(self) -> bool:
        return bool(self._reveal())

    def __repr__(self) -> str:
        return f"Secret({_HIDDEN})"

    def __str__(self) -> str:
        return _HIDDEN

    def __format__(self, spec: str) -> str:
        return _HIDDEN

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled: the other process reads it from its own environment")


def scrub(text: str, secrets: Iterable[Secret] = ()) -> str:
    """The text without these keys, and without anything that looks like one.

    >>> scrub("401: no such key sk-proj-abcdef123 (sent as Bearer hunter2)")
    '401: no such key *** (sent as Bearer ***)'
    """
    for secret in secrets:
        text = text.replace(secret.reveal(), _HIDDEN)
    return _LOOKS_LIKE_A_KEY.sub(_HIDDEN, text)


def checked_name(name: object) -> str | None:
    """The name of a variable. Raises FairleadError for anything else, without quoting it: it could be a key."""
    if name is not None and (not isinstance(name, str) or not _NAME.fullmatch(name)):
        raise FairleadError(
            "key must be the name of an environment variable, such as 'OPENAI_API_KEY', and not the key itself"
        )
    return name


def find_key(name: str, file: str | os.PathLike[str] | None = None) -> Secret:
    """The key that the environment variable holds, else the line `name=...` of the file; `file`, else what
    FAIRLEAD_SECRETS names.

    Raises ProviderError("refused") where there is none. A file that others can read is used, with a SecretsWarning.
    """
    secret = Secret(os.environ.get(name, "").strip())  # nowhere a bare string that a traceback could show
    where = f"the environment variable {name}"
    path = None if secret else file or os.environ.get(SECRETS_VARIABLE)
    if path:
        path = Path(path).expanduser()
        where += f" or the line {name}= of {path}"
        secret = _read(path).get(name, secret)
    if not secret:
        raise ProviderError("refused", f"no key: give it in {where}")
    if not _KEY.fullmatch(secret.reveal()):
        raise ProviderError("refused", f"the key {name} holds a space or a character that no key has")
    return secret


def _read(path: Path) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    reason: str | None = None
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        found = dict(_lines(path))
    except OSError as error:
        mode, reason = 0, error.strerror
    except UnicodeDecodeError:  # which holds the bytes of the file: raised from where it is gone
        mode, reason = 0, "not UTF-8"
    if reason is not None:
        raise ProviderError("refused", f"the secrets file {path} cannot be read: {reason}")
    if mode & 0o077:
        message = f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}"
        warnings.warn(message, SecretsWarning, stacklevel=4)
    return found


def _lines(path: Path) -> Iterable[tuple[str, Secret]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            name, equals, value = line.strip().removeprefix("export ").partition("=")
            if equals and not name.startswith("#"):
                value = value.strip()
                if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
                    value = value[1:-1]
                yield name.strip(), Secret(value)
