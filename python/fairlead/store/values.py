"""Values as both databases can hold them, and alike.

PostgreSQL takes no NUL and no lone surrogate in text and limits what an index can hold, SQLite stores NaN as NULL and a
wrong type as it is: what they differ on is settled here, before either sees it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

MAX_NAME = 255
"""Characters of a text that is part of a key or an index; a longer one is cut and ends in its digest."""

_BIGINT = 2**63
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode


def text(value: object) -> str | None:
    """A string without what PostgreSQL refuses; None for what is no string.

    >>> text("a\\0b"), text(3)
    ('a\ufffdb', None)
    """
    if not isinstance(value, str):
        return None
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        value = "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
    return value


def name(value: object) -> str | None:
    """A text for a key: as it is where it is short, else its beginning and its digest.

    >>> name("gpt-4o"), len(name("x" * 1000))
    ('gpt-4o', 255)
    """
    found = text(value)
    if found is None or len(found) <= MAX_NAME:
        return found
    digest = hashlib.sha256(found.encode()).hexdigest()[:32]
    return f"{found[: MAX_NAME - 33]}~{digest}"


def number(value: object) -> float | None:
    """A float, infinity included; None for NaN and what is no number.

    >>> number(3), number(float("nan")), number("3"), number(True)
    (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return None if math.isnan(found) else found


def integer(value: object) -> int | None:
    """A whole number of 64 bits; None for anything else.

    >>> integer(3), integer(3.0), integer(3.5), integer(2**63)
    (3, 3, None, None)
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not -_BIGINT <= value < _BIGINT:
        return None
    return value


def plain(value: object) -> Any:
    """Whatever it is as JSON has it: NaN and infinities are null, bytes base64, anything else its text.

    >>> plain({"a": float("nan"), "b": (1, b"x")})
    {'a': None, 'b': [1, 'eA==']}
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return {str(text(str(k))): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode()
    return text(str(value))


def dumps(value: object) -> str:
    """JSON text of it, as short as it can be and readable by both databases.

    >>> dumps({"p": (0.25, 0.75)}), dumps({"error": "\\0"}) == dumps({"error": "\ufffd"})
    ('{"p":[0.25,0.75]}', True)
    """
    try:
        found = _encode(value)
    except (TypeError, ValueError):
        return _encode(plain(value))
    # An escaped NUL or half of a surrogate pair would fail whoever reads the row by ->>.
    if "\\u0000" in found or "\\ud" in found:
        return _encode(plain(value))
    return found
