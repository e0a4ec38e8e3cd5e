"""Quality for money: what a dollar buys from each model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fairlead.measure.budget import table
from fairlead.measure.money import nearest, usd_text
from fairlead.measure.spend import CallCost

ENOUGH_CALLS = 5
"""Calls in a context from which on their cost there is believed, as by the core (`cpp/src/fleet/choose.cpp`)."""


@dataclass(frozen=True, slots=True)
class ValueRow:
    """One model: quality in [0, 1] as expected, with the standard deviation of that; results: how many it rests
    on, older ones counting less; usd_per_call lately, over so many calls, NaN before the first; per_usd: quality a
    dollar buys, infinite where calls cost nothing, NaN where it is not known."""

    model: str
    quality: float
    spread: float
    results: float
    usd_per_call: float
    calls: int
    per_usd: float

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ValueReport:
    """Models by the quality that a dollar buys, in a context. Prints as a table; iterates over rows."""

    context: str
    rows: tuple[ValueRow, ...]

    def __iter__(self) -> Iterator[ValueRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, model: str) -> ValueRow:
        for row in self.rows:
            if row.model == model:
                return row
        raise KeyError(model)

    def as_dict(self) -> dict[str, Any]:
        """context and rows as plain types."""
        return {"context": self.context, "rows": [row.as_dict() for row in self.rows]}

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [
            (self.context, "quality", "+-", "results", "a call", "calls", "quality a dollar")
        ]
        for row in self.rows:
            known = not math.isnan(row.usd_per_call)
            cells.append(
                (
                    row.model,
                    _number(row.quality, ".3f"),
                    _number(row.spread, ".3f"),
                    _number(row.results, ".1f"),
                    usd_text(nearest(row.usd_per_call)) if known else "-",
                    f"{row.calls:,}",
                    "free" if math.isinf(row.per_usd) else _number(row.per_usd, ",.4g"),
                )
            )
        return table(cells, left=(0,))


def value_row(model: str, quality: float, spread: float, results: float, cost: CallCost) -> ValueRow:
    """One row, from what is expected of a model and what its calls cost.

    >>> round(value_row("a", 0.9, 0.05, 20.0, CallCost(10, 0.004, 0.003, 120.0)).per_usd)
    300
    """
    usd = cost.lately_usd
    per_usd = math.nan if math.isnan(usd) or math.isnan(quality) else quality / usd if usd else math.inf
    return ValueRow(model, quality, spread, results, usd, cost.calls, per_usd)


def value_report(context: str, rows: Iterable[ValueRow]) -> ValueReport:
    """Rows in their order: what a dollar buys, then quality, then the name; what is not known is last."""

    def place(row: ValueRow) -> tuple[float, float, str]:
        quality = -math.inf if math.isnan(row.quality) else row.quality
        return (math.inf if math.isnan(row.per_usd) else -row.per_usd, -quality, row.model)

    return ValueReport(context, tuple(sorted(rows, key=place)))


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)
