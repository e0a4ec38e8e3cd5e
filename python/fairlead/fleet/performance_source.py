"""What the monitor looks at: the performance that the core keeps, by window, category and pane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from fairlead.measure.performance import (
    ALL_MODELS,
    WINDOWS,
    PerformancePane,
    PerformanceRow,
    pane_of,
    row_of,
)


class Recorded(Protocol):
    """What the compiled fleet has of performance."""

    def performance(
        self,
        runs: bool,
        model: str | None,
        category: str | None,
        regime: str | None,
        expiry: int,
        window: int,
        now: int,
        back: int = -1,
    ) -> dict[str, Any]: ...
    def performance_places(self, runs: bool, model: str | None = None) -> list[tuple[str, str, str]]: ...
    def model_names(self) -> list[str]: ...


class PerformanceSource:
    """Performance of the models that are in the fleet now. `together` also has what those did that have left."""

    def __init__(self, core: Recorded) -> None:
        self._core = core  # not the fleet, which holds what holds this

    def rows(self, window: str, now: int, category: str | None = None) -> Mapping[str, PerformanceRow]:
        """The record of each model."""
        return {name: self._row(name, window, now, category) for name in self._core.model_names()}

    def together(self, window: str, now: int, category: str | None = None) -> PerformanceRow:
        """The record of all of them."""
        return self._row(None, window, now, category)

    def panes(self, window: str, now: int, category: str | None = None) -> Mapping[str, Sequence[PerformancePane]]:
        """Of each model, the panes of a window in which something happened, oldest first."""
        return {name: self._panes(name, window, now, category) for name in self._core.model_names()}

    def panes_together(self, window: str, now: int, category: str | None = None) -> Sequence[PerformancePane]:
        """The panes of all of them."""
        return self._panes(None, window, now, category)

    def categories(self) -> Sequence[str]:
        """Those that a task was in."""
        return tuple(dict.fromkeys(place[0] for place in self._core.performance_places(False) if place[0]))

    def _row(self, model: str | None, window: str, now: int, category: str | None, back: int = -1) -> PerformanceRow:
        index = WINDOWS.index(window)
        told = self._core.performance(False, model, category, None, -1, index, now, back)
        return row_of(model or ALL_MODELS, category, None, None, index, told)

    def _panes(self, model: str | None, window: str, now: int, category: str | None) -> Sequence[PerformancePane]:
        width, number = pane_of(WINDOWS.index(window))
        newest = now // width
        found = []
        for back in range(number - 1, -1, -1):
            row = self._row(model, window, now, category, back)
            if row.calls or row.settled:
                found.append(PerformancePane((newest - back) * width, (newest - back + 1) * width, row))
        return tuple(found)
