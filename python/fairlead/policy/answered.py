"""An answer that a strategy weighs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answered:
    """One model's answer to an open task.

    p: of a binary task P(1), of a categorical one {label: probability}; value: the number of a numeric one.
    confidence: how likely its most probable class is, as far as its record bears its word out; of a number what the
    model itself said, or None. cost_usd: of this model's calls for the task.
    """

    model: str
    p: float | dict[str, float] | None = None
    value: float | None = None
    confidence: float | None = None
    cost_usd: float = 0.0
