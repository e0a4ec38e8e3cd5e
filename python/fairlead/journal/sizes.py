"""Sizes in bytes: a number, or text such as "10GB"."""

from __future__ import annotations

import re
from typing import Any

from fairlead.errors import InvalidRecordError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
_SIZE = re.compile(r"(\d+)\s*([kmgt]i?)?b?", re.IGNORECASE | re.ASCII)


def as_bytes(value: int | str, field: str = "size") -> int:
    """A number of bytes: an integer, or text: kB, MB, GB, TB are powers of 1000, KiB, MiB, GiB, TiB of 1024.

    Raises InvalidRecordError for anything else: a fraction, a negative number, no number.

    >>> as_bytes("10GB"), as_bytes("2 KiB"), as_bytes(5)
    (10000000000, 2048, 5)
    """
    given: Any = value  # of callers without a type checker, too
    if isinstance(given, str):
        found = _SIZE.fullmatch(given.strip())
        if found:
            return int(found[1]) * _UNITS[(found[2] or "").lower()]
    elif not isinstance(given, bool):
        try:
            size = int(given.__index__())
        except (AttributeError, TypeError):
            size = -1
        if size >= 0:
            return size
    raise InvalidRecordError(f"{field} is {given!r}, must be like 1000000, 800MB or 2GiB")
