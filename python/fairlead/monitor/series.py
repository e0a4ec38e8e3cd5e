"""A metric over time: one point for each pane of a performance record."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from fairlead.monitor.metrics import Measured, reading


@dataclass(frozen=True, slots=True)
class Point:
    """A metric over [start, end), in nanoseconds, and how many calls or answers it was counted over."""

    start: int
    end: int
    n: int
    value: float


class Pane(Protocol):
    """A stretch of time and the performance in it alone."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def row(self) -> Measured: ...


def series_of(panes: Iterable[Pane], metric: str, min_n: int = 1) -> tuple[Point, ...]:
    """The points of a metric, oldest first, without those that stand for less than min_n."""
    found = []
    for pane in panes:
        value, n = reading(pane.row, metric)
        if n >= min_n and value == value:
            found.append(Point(pane.start, pane.end, n, value))
    return tuple(found)
