"""Wrote the journal in this folder, once, with version 0.1.0: every later version must read it.

    python tests/data/journal-0.1.0/write.py FOLDER

writes such a journal, in the format of the version that runs it, and `events.jsonl`, what reading it gives. To keep the
format of another version, run its release's script and commit what it wrote beside this one.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

from fairlead._core import SegmentLog
from fairlead.journal import read

NAN = float("nan")
BINARY, CATEGORICAL, NUMERIC = 0, 1, 2


def text(value: str) -> bytes:
    return struct.pack("<I", len(value.encode())) + value.encode()


def task(number: int, kind: int, name: str, category: str, labels: tuple[str, ...] = ()) -> bytes:
    fixed = struct.pack("<QddBBHI", number, 250.0, 3600.0, kind, 0, 1, len(labels))
    strings = [name, category, "Will it?", "calm", *labels, "horizon", "2"]
    return fixed + b"".join(text(value) for value in strings)


def forecast(number: int, kind: int, value: float, p: tuple[float, ...] = (), error: str = "") -> bytes:
    fixed = struct.pack("<QdddqqdIHBB", number, 0.8, 120.5, 0.002, 900, 40, value, len(p), len(error), kind, 0)
    return fixed + struct.pack(f"<{len(p)}d", *p) + error.encode()


def decision(number: int, kind: int, value: float, weights: tuple[float, ...], models: tuple[int, ...]) -> bytes:
    fixed = struct.pack("<QdddddIIIBBH", number, value, 0.1, 0.2, 0.9, 0.004, 0, len(weights), 8, 4, kind, 0)
    return fixed + struct.pack(f"<{len(weights)}d{len(models)}i", *weights, *models)


def outcome(number: int, kind: int, value: float) -> bytes:
    return struct.pack("<QddB7x", number, value, 12.5, kind)


def write(folder: Path) -> None:
    log = SegmentLog(str(folder), 2000)
    second = 10**9
    log.append("settings", 0, None, None, json.dumps({"strategy": "hedge"}))
    for i, name in enumerate(("gpt-4o", "claude", "lokal-é")):
        log.append("model", i, name, None, json.dumps({"name": name, "tier": "standard"}))
    log.sync()
    for n in range(1, 13):
        time, kind = n * second, (BINARY, CATEGORICAL, NUMERIC)[n % 3]
        category = ("politics", "markets")[n % 2]
        labels = ("yes", "no", "never") if kind == CATEGORICAL else ()
        p = (0.5, 0.25, 0.25) if kind == CATEGORICAL else ()
        value = NAN if kind == CATEGORICAL else 0.25
        log.append("task", time, None, category, task(n, kind, f"task {n}", category, labels))
        log.append("forecast", time + 1, "gpt-4o", category, forecast(n, kind, value, p))
        log.append("forecast", time + 2, "lokal-é", category, forecast(n, kind, NAN, (), "timed out"))
        if kind == BINARY:
            log.append("decision", time + 3, None, category, decision(n, kind, 0.25, (0.75, 0.25), (0, 2)))
        if n % 4 == 0:
            log.append("closed", time + 4, None, category, struct.pack("<Q", n))
        else:
            log.append("outcome", time + 4, None, category, outcome(n, kind, 1.0))
        log.sync()
    log.append("note", 20 * second, "claude", None, json.dumps({"text": "a note"}))
    log.append("dropped", 20 * second, None, None, struct.pack("<Q", 3))
    log.append("gap", 20 * second, None, None, struct.pack("<Q", 5))
    log.append("model_removed", 21 * second, "claude", None, b"")
    log.append("custom", 22 * second, None, None, b"\x00\x01\xff")
    log.close()
    with (folder / "events.jsonl").open("w") as file:
        for event in read(folder):
            print(json.dumps(event.to_dict(), default=lambda value: {"bytes": list(value)}), file=file)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
