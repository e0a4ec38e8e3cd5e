"""Records of a journal made by hand, byte by byte as cpp/include/fairlead/journal/{format,events}.hpp have them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Sequence

import numpy as np

CODES = {
    "name": 4,
    "gap": 5,
    "dropped": 6,
    "settings": 16,
    "model": 17,
    "model_removed": 18,
    "task": 19,
    "forecast": 20,
    "decision": 21,
    "outcome": 22,
    "closed": 23,
    "route": 24,
    "called": 25,
    "run": 26,
    "note": 32,
    "alert": 33,
    "training_run": 34,
    "model_version": 35,
    "deployment": 36,
    "budget": 37,
    "health": 38,
    "routing": 39,
    "input": 40,
    "label": 41,
    "summary": 48,
    "custom": 1024,
}
KINDS = {"binary": 0, "categorical": 1, "numeric": 2}
NAN = math.nan


def record(
    kind: str | int,
    seq: int,
    time: int = 0,
    payload: bytes = b"",
    *,
    model: int = -1,
    category: int = -1,
    version: int = 1,
    flags: int = 0,
) -> bytes:
    code = CODES[kind] if isinstance(kind, str) else kind
    length = 40 + len(payload)
    header = struct.pack("<IIIHBBQqii", 0, length, 0, code, version, flags, seq, time, model, category)
    return (header + payload).ljust((length + 7) // 8 * 8, b"\0")


def text(value: str | bytes) -> bytes:
    raw = value if isinstance(value, bytes) else value.encode()
    return struct.pack("<I", len(raw)) + raw


def name(table: int, number: int, value: str) -> bytes:
    return struct.pack("<BI", table, number) + text(value)


def task(
    number: int,
    id: str | bytes = "t",
    category: str | bytes = "",
    *,
    kind: str = "binary",
    labels: Sequence[str] = (),
    slices: Sequence[tuple[str, str]] = (),
    words: str | bytes = "",
    regime: str = "",
    stake: float = 0.0,
    expires: float = NAN,
    reserved: int = 0,
) -> bytes:
    fixed = struct.pack("<QddBBHI", number, stake, expires, KINDS[kind], reserved, len(slices), len(labels))
    parts = [text(id), text(category), text(words), text(regime), *(text(label) for label in labels)]
    parts += [text(part) for pair in slices for part in pair]
    return fixed + b"".join(parts)


def forecast(
    number: int,
    value: float = 0.5,
    *,
    kind: str = "binary",
    p: Sequence[float] = (),
    error: str | bytes = "",
    confidence: float = NAN,
    latency: float = NAN,
    cost: float = 0.0,
    tokens: tuple[int, int] = (0, 0),
    reserved: int = 0,
) -> bytes:
    raw = error if isinstance(error, bytes) else error.encode()
    fixed = struct.pack(
        "<QdddqqdIHBB", number, confidence, latency, cost, *tokens, value, len(p), len(raw), KINDS[kind], reserved
    )
    return fixed + struct.pack(f"<{len(p)}d", *p) + raw


def decision(
    number: int,
    value: float = 0.5,
    *,
    kind: str = "binary",
    p: Sequence[float] = (),
    weights: Sequence[float] = (),
    voters: Sequence[int] = (),
    strategy: int = 4,
    reasons: int = 0,
    cost: float = 0.0,
    shape: Sequence[float] | None = None,
    chosen: int = 4,
    name: str | bytes = "",
    reserved: bytes = bytes(7),
) -> bytes:
    """Of layout 1; of layout 2 (the record's version says which) with a shape: spread, entropy, divergence, pairwise,
    low, high. name: of a strategy 255."""
    raw = name if isinstance(name, bytes) else name.encode()
    counts = (len(p), len(weights), reasons, strategy, KINDS[kind], len(raw))
    fixed = struct.pack("<QdddddIIIBBH", number, value, 0.1, 0.2, 1.0, cost, *counts)
    if shape is not None:
        fixed += struct.pack("<6dB7s", *shape, chosen, reserved)
    numbers = struct.pack(f"<{len(p) + len(weights)}d", *p, *weights)
    return fixed + numbers + struct.pack(f"<{len(voters)}i", *voters) + raw


def outcome(number: int, value: float = 1.0, *, kind: str = "binary", profit: float = NAN) -> bytes:
    return struct.pack("<QddB7x", number, value, profit, KINDS[kind])


def closed(number: int) -> bytes:
    return struct.pack("<Q", number)


def route(
    number: int,
    *,
    attempt: int = 1,
    goal: int = 0,
    reserved: int = 0,
    expected: Sequence[float] = (0.5, 0.7, 0.1, 0.002, 900.0),
    reasons: int = 1,
    others: Sequence[tuple[int, float, float, float]] = (),
    type: str | bytes = "",
    padding: bytes = bytes(5),
) -> bytes:
    """expected: propensity, quality, spread, cost and latency. others: model, quality, cost, latency."""
    raw = type if isinstance(type, bytes) else type.encode()
    fixed = struct.pack(
        "<Qq5dIHHHB5s", number, reserved, *expected, reasons, attempt, len(others), len(raw), goal, padding
    )
    columns = [struct.pack("<d", other[i]) for i in (1, 2, 3) for other in others]
    return fixed + b"".join(columns) + struct.pack(f"<{len(others)}i", *(other[0] for other in others)) + raw


def called(
    number: int,
    *,
    attempt: int = 1,
    cost: int = -1,
    times: Sequence[float] = (NAN, NAN, NAN),
    tokens: Sequence[int] = (0, 0, 0, 0),
    calls: int = 1,
    end: int = 0,
    failure: int = 0,
    padding: bytes = bytes(2),
) -> bytes:
    """times: latency, first token, retry after. tokens: in, out, cached, written."""
    return struct.pack("<Qq3d4qHHBB2s", number, cost, *times, *tokens, attempt, calls, end, failure, padding)


def run(
    *,
    cost: int = -1,
    measures: Sequence[float] = (NAN, NAN, NAN),
    tokens: int = 0,
    api_calls: int = 0,
    status: int = 0,
    error: str | bytes = "",
    padding: bytes = bytes(5),
) -> bytes:
    """measures: duration in ms, compute in s, memory in MB."""
    raw = error if isinstance(error, bytes) else error.encode()
    return struct.pack("<q3dqqHB5s", cost, *measures, tokens, api_calls, len(raw), status, padding) + raw


def cold(**data: object) -> bytes:
    return json.dumps(data).encode()


def array(*records: bytes) -> np.ndarray:
    """As the core takes them: at a multiple of 8 bytes."""
    return np.frombuffer(bytearray(b"".join(records)), np.uint8)


def first_layout(decided: bytes) -> bytes:
    """The record of a decision of layout 2 as it was before decisions told their shape."""
    length, _, code, version, flags, seq, time, model, category = struct.unpack_from("<IIHBBQqii", decided, 4)
    assert (code, version) == (CODES["decision"], 2)
    payload = decided[40:104] + decided[160:length]
    return record(code, seq, time, payload, model=model, category=category, flags=flags)


def split(records: np.ndarray) -> list[bytes]:
    """Records that lie one after the other."""
    raw, out, at = records.tobytes(), [], 0
    while at < len(raw):
        length = (struct.unpack_from("<I", raw, at + 4)[0] + 7) // 8 * 8
        out.append(raw[at : at + length])
        at += length
    return out
