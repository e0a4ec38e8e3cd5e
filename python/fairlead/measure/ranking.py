"""Models ranked by a metric, and which ranks are sure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.measure.budget import table
from fairlead.measure.performance import LESS, SUMS, PerformanceRow, check_metric, number, sums_of
from fairlead.measure.rounds import Estimate, difference


@dataclass(frozen=True, slots=True)
class Ranked:
    """A place in a ranking. value, error, low, high: the metric, its standard error and interval; n: what it rests on,
    which is worth `rounds` evenly filled rounds. From best_rank to worst_rank: where it may stand, given those that are
    told apart from it."""

    rank: int
    model: str
    value: float
    error: float
    low: float
    high: float
    n: int
    rounds: float
    best_rank: int
    worst_rank: int


@dataclass(frozen=True, slots=True)
class Ranking:
    """Models by a metric, best first, and which of them are told apart. Prints as a table; iterates over places."""

    by: str
    window: str
    confidence: float
    rows: tuple[Ranked, ...]
    apart: frozenset[tuple[str, str]]

    def told_apart(self, one: str, other: str) -> bool:
        """Whether the one is better or worse than the other beyond doubt, at the confidence of the ranking: their
        difference, round by round, by itself, without regard to how many others there are."""
        return (one, other) in self.apart or (other, one) in self.apart

    def __iter__(self) -> Iterator[Ranked]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, model: str) -> Ranked:
        for row in self.rows:
            if row.model == model:
                return row
        raise KeyError(model)

    def to_dicts(self) -> list[dict[str, Any]]:
        """A list of dictionaries, ready for a data frame."""
        return [asdict(row) for row in self.rows]

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [("", "model", self.by, f"{self.confidence:.0%} interval", "n", "ranks")]
        for row in self.rows:
            low, high = number(row.low, 4), number(row.high, 4)
            ranks = str(row.best_rank) if row.best_rank == row.worst_rank else f"{row.best_rank} to {row.worst_rank}"
            interval = "-" if row.low != row.low else f"{low} to {high}"
            cells.append((str(row.rank), row.model, number(row.value, 4), interval, str(row.n), ranks))
        return table(cells, left=(1,))


def ranked(given: Sequence[PerformanceRow], by: str, window: str, confidence: float) -> Ranking:
    """Rows ranked by a metric: `Performance.ranking`."""
    check_metric(by)
    if not 0.5 <= confidence < 1.0:
        raise InvalidRecordError(f"confidence is {confidence!r}, outside [0.5, 1)")
    sign = -1.0 if by in LESS else 1.0
    found = [(row, row.estimate(by)) for row in given]
    found.sort(key=lambda pair: (pair[1].value != pair[1].value, -sign * pair[1].value))
    apart = set()
    for i, (one, first) in enumerate(found):
        for other, second in found[i + 1 :]:
            if _differ(one, first, other, second, by, confidence):
                apart.add((one.name, other.name))
    rows = []
    for rank, (row, at) in enumerate(found, 1):
        above = sum((other.name, row.name) in apart for other, _ in found[: rank - 1])
        below = sum((row.name, other.name) in apart for other, _ in found[rank:])
        rows.append(
            Ranked(
                rank,
                row.name,
                at.value,
                at.error,
                *at.interval(confidence),
                at.n,
                at.rounds,
                1 + above,
                len(found) - below,
            )
        )
    return Ranking(by, window, confidence, tuple(rows), frozenset(apart))


def _differ(
    one: PerformanceRow,
    first: Estimate,
    other: PerformanceRow,
    second: Estimate,
    by: str,
    confidence: float,
) -> bool:
    if by in SUMS:
        width = max(one.round_width, other.round_width)
        gap = difference(sums_of(one, by, width), sums_of(other, by, width))
        return bool(gap.p_value < 1.0 - confidence)  # False where it is not known
    if not one.calls or not other.calls:
        return False
    # Newcombe's interval of a difference of shares, from those of both (Statistics in Medicine 17, 1998, method 10).
    apart = first.value - second.value
    (low, high), (least, most) = first.interval(confidence), second.interval(confidence)
    return apart > math.hypot(first.value - low, most - second.value) or -apart > math.hypot(
        high - first.value, second.value - least
    )
