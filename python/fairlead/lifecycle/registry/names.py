"""Names of models and aliases: they become parts of paths, so there are few that are allowed."""

from __future__ import annotations

import re

from fairlead.errors import InvalidRecordError

MOST = 128
"""Characters of a name."""

CHAMPION = "champion"
CHALLENGER = "challenger"
NEWEST = "newest"
"""Stands for the version registered last, wherever a version is asked for; no alias can have this name."""

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_-])?")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)


def check_name(name: object, what: str = "name") -> str:
    """The name, if it is one: 1 to 128 ASCII letters, digits and `._-`, without a dot or a dash at the start nor a dot
    at the end, and none that Windows reserves.

    Raises InvalidRecordError naming what is wrong.

    >>> check_name("elec-2024.hourly")
    'elec-2024.hourly'
    >>> check_name("../champion")
    Traceback (most recent call last):
        ...
    fairlead.errors.InvalidRecordError: name is '../champion': a name cannot begin with '.'
    """
    if not isinstance(name, str):
        raise InvalidRecordError(f"{what} is {name!r}, must be text")
    if len(name) > MOST:
        raise InvalidRecordError(f"{what} has {len(name):,} characters, at most {MOST} are allowed: {name[:32]!r}...")
    if not _NAME.fullmatch(name):
        raise InvalidRecordError(f"{what} is {name!r}: {_wrong(name)}")
    if _DEVICE.fullmatch(name):
        raise InvalidRecordError(f"{what} is {name!r}: Windows keeps this name for a device")
    return name


def check_alias(alias: object) -> str:
    """The name of an alias: as of a model, but no number, and not `newest`."""
    found = check_name(alias, "alias")
    if found.isdigit() or found == NEWEST:
        raise InvalidRecordError(f"alias is {found!r}, which stands for a version")
    return found


def proposed(text: str) -> str:
    """A name made of any text.

    >>> proposed(" Bert (tiny)/v2.")
    'Bert-tiny-v2'
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip(".-")
    name = re.sub(r"-{2,}", "-", name)[:MOST].strip(".-") or "model"
    return f"{name}-model" if _DEVICE.fullmatch(name) else name


def _wrong(name: str) -> str:
    if not name:
        return "a name has at least one character"
    if name[0] in ".-":
        return f"a name cannot begin with {name[0]!r}"
    for character in name:
        if not (character.isascii() and (character.isalnum() or character in "._-")):
            return f"{character!r} is not allowed in a name: use ASCII letters, digits, '.', '_' and '-'"
    return f"a name cannot end with {name[-1]!r}"
