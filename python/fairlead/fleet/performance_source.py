"""What the monitor looks at: the performance that the core keeps, by window, category and pane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from fairlead.measure.performance import ALL_MODELS, WINDOWS, pane_of


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


class Told:
    """A record as the core tells it: the numbers of a `PerformanceRow`, which takes several times as long to make."""

    __slots__ = ("_told", "model")

    def __init__(self, model: str, told: dict[str, Any]) -> None:
        self.model = model
        self._told = told

    @property
    def calls(self) -> int:
        return int(self._told["calls"])

    @property
    def succeeded(self) -> int:
        return int(self._told["succeeded"])

    @property
    def settled(self) -> int:
        return int(self._told["settled"])

    @property
    def cost_usd(self) -> float:
        return float(self._told["cost_usd"])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # of one that is not made yet
            raise AttributeError(name)
        try:
            return self._told[name]
        except KeyError:
            raise AttributeError(name) from None


class ToldPane(NamedTuple):
    """A stretch of time [start, end), nanoseconds, and what happened in it alone."""

    start: int
    end: int
    row: Told


class PerformanceSource:
    """Performance of the models that are in the fleet now. `together` also has what those did that have left."""

    def __init__(self, core: Recorded) -> None:
        self._core = core  # not the fleet, which holds what holds this

    def rows(self, window: str, now: int, category: str | None = None) -> Mapping[str, Told]:
        """The record of each model."""
        return {name: self._row(name, window, now, category) for name in self._core.model_names()}

    def together(self, window: str, now: int, category: str | None = None) -> Told:
        """The record of all of them."""
        return self._row(None, window, now, category)

    def panes(self, window: str, now: int, category: str | None = None) -> Mapping[str, Sequence[ToldPane]]:
        """Of each model, the panes of a window in which something happened, oldest first."""
        return {name: self._panes(name, window, now, category) for name in self._core.model_names()}

    def panes_together(self, window: str, now: int, category: str | None = None) -> Sequence[ToldPane]:
        """The panes of all of them."""
        return self._panes(None, window, now, category)

    def categories(self) -> Sequence[str]:
        """Those that a task was in."""
        return tuple(dict.fromkeys(place[0] for place in self._core.performance_places(False) if place[0]))

    def _row(self, model: str | None, window: str, now: int, category: str | None, back: int = -1) -> Told:
        index = WINDOWS.index(window)
        told = self._core.performance(False, model, category, None, -1, index, now, back)
        return Told(model or ALL_MODELS, told)

    def _panes(self, model: str | None, window: str, now: int, category: str | None) -> Sequence[ToldPane]:
        width, number = pane_of(WINDOWS.index(window))
        newest = now // width
        found = []
        for back in range(number - 1, -1, -1):
            row = self._row(model, window, now, category, back)
            if row.calls or row.settled:
                found.append(ToldPane((newest - back) * width, (newest - back + 1) * width, row))
        return tuple(found)
