"""Named arrays as bytes in the safetensors format, with every check on the way in. Nothing is ever unpickled."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

_TYPES = {"F32": "<f4", "F64": "<f8", "U32": "<u4", "U8": "|u1"}
_MOST_HEADER = 1 << 20


def write_tensors(metadata: dict[str, str], arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """The bytes of a file with these arrays (float32, float64, uint32 or uint8) and strings."""
    names = {np.dtype(text): name for name, text in _TYPES.items()}
    header: dict[str, Any] = {"__metadata__": metadata}
    data = b""
    for name, array in sorted(arrays.items(), key=lambda item: -item[1].itemsize):  # wide types first: all are aligned
        kind = names[array.dtype]
        raw = np.ascontiguousarray(array, dtype=_TYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def read_tensors(data: bytes) -> tuple[dict[str, str], dict[str, np.ndarray[Any, Any]]]:
    """The strings and arrays of such bytes. Raises ValueError, saying what is wrong, for any others."""
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > min(len(data) - 8, _MOST_HEADER):
        raise ValueError(f"it has {len(data)} bytes, too few for its header, or a header beyond 1 MiB")
    try:
        header = json.loads(data[8 : 8 + size].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is no JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError("its metadata are no object of strings")
    body, arrays, spans = data[8 + size :], {}, []
    for name, entry in header.items():
        try:
            dtype, shape, (start, stop) = np.dtype(_TYPES[entry["dtype"]]), entry["shape"], entry["data_offsets"]
            if len(shape) > 4 or any(type(n) is not int or not 0 <= n < 2**40 for n in [*shape, start, stop]):
                raise ValueError
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"the entry of tensor {name!r} is not understood") from None
        if stop > len(body):
            raise ValueError(f"tensor {name!r} ends at byte {stop} of {len(body)}")
        count = 1
        for n in shape:
            count *= n
        if stop - start != count * dtype.itemsize:
            raise ValueError(f"tensor {name!r} has {stop - start} bytes, its shape needs {count * dtype.itemsize}")
        arrays[name] = np.frombuffer(body[start:stop], dtype).reshape(shape)
        spans.append((start, stop))
    end = 0
    for start, stop in sorted(spans):
        if start != end:
            raise ValueError("its tensors overlap or leave gaps")
        end = stop
    if end != len(body):
        raise ValueError(f"it has {len(body) - end} bytes that belong to no tensor")
    return metadata, arrays
