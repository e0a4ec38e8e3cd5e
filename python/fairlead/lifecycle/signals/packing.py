"""Plain values and arrays as bytes: magic, length, JSON, arrays, CRC-32 of all before it."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

_MAGIC = b"fairlead drift 1"
_DTYPES = ("<f8", "<i8", "<u8", "|u1")


def pack(header: dict[str, Any], arrays: Sequence[NDArray[Any]]) -> bytes:
    """Bytes for `unpack`."""
    shapes = [[_DTYPES.index(np.asarray(a).dtype.str), *a.shape] for a in arrays]
    text = json.dumps({"header": header, "arrays": shapes}).encode()
    body = _MAGIC + struct.pack("<Q", len(text)) + text + b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)
    return body + struct.pack("<I", crc32(body))


def unpack(data: bytes) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """What was packed. Raises ValueError for bytes that are no such snapshot, or damaged."""
    body = data[:-4]
    start = len(_MAGIC) + 8
    if len(data) < start + 4 or not body.startswith(_MAGIC) or struct.unpack("<I", data[-4:])[0] != crc32(body):
        raise ValueError("state is no snapshot of a drift monitor, or damaged")
    end = start + struct.unpack("<Q", body[len(_MAGIC) : start])[0]
    read = json.loads(body[start:end])
    arrays = []
    for code, *shape in read["arrays"]:
        dtype = np.dtype(_DTYPES[code])
        size = int(np.prod(shape)) * dtype.itemsize
        arrays.append(np.frombuffer(body[end : end + size], dtype=dtype).reshape(shape))
        end += size
    return read["header"], arrays
