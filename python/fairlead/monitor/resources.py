"""What models and runners used: calls, tokens, time, memory, money."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from fairlead.monitor.metrics import Measured
from fairlead.monitor.rules import plain


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What a model or a runner used over a window.

    api_calls, tokens, cost_usd: of all its calls. compute_s: of a model, how long its calls took in all, which is time
    spent waiting where it runs elsewhere; of a runner, what its runs told. memory_mb, memory_most_mb: the mean and the
    most that runs told. NaN: nobody told.
    """

    name: str
    kind: str
    window: str
    api_calls: int
    tokens_in: int
    tokens_out: int
    compute_s: float
    memory_mb: float
    memory_most_mb: float
    cost_usd: float

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types; None for NaN."""
        return plain(self)


def use_of_model(row: Measured, window: str) -> ResourceUse:
    """Of a model, by its calls."""
    mean = _number(row, "latency_mean_ms")
    compute = mean * row.calls / 1e3 if row.calls else math.nan
    return _use(row, "model", window, row.calls, compute)


def use_of_runner(row: Measured, window: str) -> ResourceUse:
    """Of a runner, by its runs."""
    calls, compute = _number(row, "api_calls"), _number(row, "compute_s")
    if math.isnan(compute) and row.calls:
        compute = _number(row, "latency_mean_ms") * row.calls / 1e3  # how long they took, where they told no more
    return _use(row, "runner", window, int(calls) if calls == calls else 0, compute)


def _use(row: Measured, kind: str, window: str, api_calls: int, compute: float) -> ResourceUse:
    tokens_in, tokens_out = (_number(row, name) for name in ("tokens_in", "tokens_out"))
    return ResourceUse(
        name=row.model,
        kind=kind,
        window=window,
        api_calls=api_calls,
        tokens_in=int(tokens_in) if tokens_in == tokens_in else 0,
        tokens_out=int(tokens_out) if tokens_out == tokens_out else 0,
        compute_s=compute,
        memory_mb=_number(row, "memory_mb"),
        memory_most_mb=_number(row, "memory_most_mb"),
        cost_usd=row.cost_usd,
    )


def _number(row: Measured, name: str) -> float:
    found: Any = getattr(row, name, math.nan)
    return float(found)
