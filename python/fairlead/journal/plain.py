"""Events and numbers as strict JSON, the same wherever a journal gives some: an export, a query, a summary.

JSON has no number that is not finite: NaN, which is none, is null; the infinities are the strings "Infinity" and
"-Infinity", from which `float` makes them again. Bytes are hexadecimal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def as_json(value: Any) -> str:
    """Strict JSON, in one line.

    >>> as_json({"cost_usd": float("inf"), "p": [0.5, float("nan")], "payload": b"x"})
    '{"cost_usd": "Infinity", "p": [0.5, null], "payload": "78"}'
    """
    try:
        return json.dumps(value, default=_hex, allow_nan=False)
    except ValueError:  # rare
        return json.dumps(plain(value), default=_hex, allow_nan=False)


def plain(value: Any) -> Any:
    """The same with no number that is not finite.

    >>> plain([1.0, float("-inf"), float("nan")])
    [1.0, '-Infinity', None]
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


def _hex(value: object) -> object:
    if isinstance(value, (bytes, bytearray)):
        return value.hex()
    raise TypeError(f"{value!r} has no place in JSON")
