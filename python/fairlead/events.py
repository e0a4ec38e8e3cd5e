"""An event of a journal, as Python sees it. The bytes stand in `cpp/include/fairlead/journal/format.hpp`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TYPES = (
    "name",
    "gap",
    "dropped",
    "settings",
    "model",
    "model_removed",
    "task",
    "forecast",
    "decision",
    "outcome",
    "closed",
    "route",
    "called",
    "note",
    "alert",
    "training_run",
    "model_version",
    "deployment",
    "budget",
    "health",
    "routing",
    "summary",
    "custom",
)
"""What can happen, by the core's names."""

COLD = ("note", "alert", "training_run", "model_version", "deployment", "budget", "health", "routing", "summary")
"""Events whose data is whatever JSON object they were given."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, once it is in a journal.

    seq: its number, dense from 1. time: its own, integer nanoseconds since the epoch, UTC. type: one of `TYPES`. model,
    category: what it is about, None where that makes no sense. data: the rest, by field; of a forecast for instance the
    number of its `task`, `p` or `value`, `confidence`, `latency_ms`, `cost_usd`, `tokens_in`, `tokens_out`, `error`;
    of a program's own event its `payload`, bytes.
    """

    seq: int
    time: int
    type: str
    model: str | None
    category: str | None
    data: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types."""
        return {
            "seq": self.seq,
            "time": self.time,
            "type": self.type,
            "model": self.model,
            "category": self.category,
            "data": dict(self.data),
        }
