"""An event of a journal, as Python sees it. The bytes stand in `cpp/include/fairlead/journal/format.hpp`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fairlead._core import EVENT_TYPES

TYPES = tuple(EVENT_TYPES)
"""What can happen, by the core's names."""

HOT = tuple(name for name, number in EVENT_TYPES.items() if 16 <= number < 32)
"""Events of a fleet."""

COLD = tuple(name for name, number in EVENT_TYPES.items() if 32 <= number < 1024)
"""Events whose data is whatever JSON object they were given."""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, once it is in a journal.

    seq: its number, dense from 1. time: its own, integer nanoseconds since the epoch, UTC. type: one of `TYPES`. model,
    category: what it is about, None where that makes no sense. data: the rest, by field; of a forecast for instance the
    number of its `task`, `p` or `value`, `confidence`, `latency_ms`, `cost_usd`, `tokens_in`, `tokens_out`, `error`;
    of a program's own event its `payload`, bytes.

    route: whom a task is asked of, and why. model: who is asked, or was wanted where a budget refused; None: nobody
    is there. `task`, `attempt` (the n-th call for the task, from 1; 0: nobody is asked), `type` (of the task, "" for
    none), `goal`; `propensity`, how likely this choice was; what is expected of the answer: `quality` in [0, 1],
    `spread` (its standard deviation), `cost_usd`, `latency_ms`; `reserved_usd`, the most that the call may cost, and
    `reserved_nanos`, the same in nano-dollars; `reasons`, words; `runners_up`, the next best first: `model`,
    `quality`, `cost_usd`, `latency_ms`.

    called: how such a call ended. `task`, `attempt`, `end` ("answered", "failed", "released": it was never made,
    "lost": nobody knows), `failure` (its kind, of one that failed), `cost_usd` and `cost_nanos` (None: not known),
    `latency_ms`, `first_token_ms`, `retry_after_ms` (the server's wish), `tokens_in`, and how many of them were
    `tokens_cached` and `tokens_written` (read from the provider's cache, written to it), `tokens_out`, `calls`
    (requests sent).

    decision: the answers combined. `task`, `kind`, `p` or `value`, `weights` by model, `disagreement`, `uncertainty`,
    `position_scale`, `cost_usd`, `strategy`, `reasons` (bits), `spread`, `entropy`, `divergence`, `pairwise`, `low`,
    `high` and `chosen`, as of `fairlead.Decision`; those of the first layout end with `reasons`.

    run: what a program did that is no forecast; model: the name of what ran. `status` ("ok", "error", "timeout",
    "cancelled"), `duration_ms`, `tokens`, `api_calls`, `cost_usd` and `cost_nanos` (None: not known), `compute_s` (of
    processors or accelerators), `memory_mb` (the most at once), `error`.

    Numbers that are not known are None. Words that this version does not know are a number: "reason_20", "failure_9".
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
