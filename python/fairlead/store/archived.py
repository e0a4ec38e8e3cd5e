"""Events out of an archive, as a journal's reader gives them: for a rebuild after compaction."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from fairlead.events import COLD, Event
from fairlead.journal.scanning import scan

_HOT = {
    "task": ("task", "id", "kind", "category", "text", "labels", "stake_usd", "regime", "expires_in_s", "slices"),
    "forecast": (
        *("task", "kind", "p", "value", "confidence", "latency_ms", "tokens_in", "tokens_out", "cost_usd", "error"),
    ),
    "decision": (
        *("task", "kind", "weights", "p", "value", "disagreement", "uncertainty", "position_scale", "cost_usd"),
        *("strategy", "reasons"),
    ),
    "outcome": ("task", "kind", "value", "profit_usd"),
    "closed": ("task",),
}
_ROWS = 4096  # made into Python objects at a time
_JSON = frozenset({*COLD, "settings", "model"})


def archived(folder: str | os.PathLike[str], first: int, last: int) -> Iterator[Event]:
    """The events of a desk between two numbers, both included; out of its archive what the journal has no more."""
    for batch in scan(folder, first=first, last=last):
        for start in range(0, len(batch), _ROWS):
            few = batch.slice(start, _ROWS)
            few = few.set_column(1, "time", few.column(1).cast("int64"))
            for row in few.to_pylist():
                yield Event(row["seq"], row["time"], row["type"], row["model"], row["category"], _data(row))


def _data(row: Mapping[str, Any]) -> Any:
    kind = row["type"]
    if kind in _JSON and row["data"] is not None:
        return json.loads(row["data"])
    if kind in _HOT:
        return {name: value for name in _HOT[kind] for value in [_field(row, name)] if value is not _ABSENT}
    payload = row["payload"] or b""
    if kind in ("gap", "dropped"):
        return {"n": struct.unpack("<Q", payload)[0]}
    if kind == "name":
        table, number, _ = struct.unpack_from("<BII", payload)
        return {"table": ("models", "categories")[table], "id": number, "name": payload[9:].decode("utf-8", "replace")}
    return {} if kind == "model_removed" else {"payload": payload}


_ABSENT = object()


def _field(row: Mapping[str, Any], name: str) -> Any:
    """A field of a hot event, or `_ABSENT` where its data has none of that name."""
    if name in ("p", "value") and row["type"] in ("forecast", "decision"):
        if row["type"] == "forecast" and row["error"]:
            return _ABSENT
        if (name == "value") != (row["kind"] == "numeric"):
            return _ABSENT
        if name == "p" and row["kind"] == "categorical":
            return tuple(row["p"] or ())
        return row["value"]
    if name == "category":
        return row["category"] or ""
    if name == "weights":
        return dict(zip(row["voters"] or (), row["weights"] or (), strict=True))
    if name == "labels":
        return tuple(row["labels"] or ())
    if name == "slices":
        return dict(text.split("=", 1) for text in row["slices"] or ())
    if name == "error":
        return row["error"] or ""
    return row[name]
