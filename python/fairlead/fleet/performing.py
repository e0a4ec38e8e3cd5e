"""How every model is doing, runs, and patterns, as methods. The part of the façade that `Fleet` inherits."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, Literal

from fairlead._core import EXPIRIES, RUN_STATUSES
from fairlead._core import PERFORMANCE_WINDOWS as WINDOWS
from fairlead._core import Fleet as CoreFleet
from fairlead.errors import InvalidRecordError, UnknownModelError, did_you_mean
from fairlead.fleet import checks
from fairlead.times import as_time

if TYPE_CHECKING:
    from fairlead.measure.patterns import PatternReport
    from fairlead.measure.performance import Performance, PerformancePane, PerformanceRow
    from fairlead.measure.runs import Runs

    When = int | str | date
    Span = str | int | timedelta
    Dimension = Literal["category", "regime", "expiry"]
    RunStatus = Literal["ok", "error", "timeout", "cancelled"]

_PLACE = {"category": 0, "regime": 1, "expiry": 2}


class PerformedFleet:
    """What the calls, the settled answers and the runs amounted to."""

    _core: CoreFleet
    _clock: Callable[[], int]

    def performance(
        self,
        model: str | None = None,
        *,
        category: str | None = None,
        regime: str | None = None,
        expiry: str | None = None,
        window: Span = "7d",
        now: When | None = None,
    ) -> PerformanceRow:
        """How a model is doing; None: all of them taken together.

        category, regime, expiry ("1h": less than an hour from when the task was shown to its expiry, "1d", "7d", "30d",
        "later", "unknown"): in these alone. window: "1h", "6h", "24h", "7d", "30d" or "all". It ends at `now`, by the
        fleet's clock where none is given, and holds all of its last 11/12 and at most its whole span: panes of time lie
        on a fixed grid. A `now` before the newest events finds what their panes still hold.

        Raises UnknownModelError, and InvalidRecordError for a window or an expiry that there is none of.

        >>> from fairlead import Fleet, Forecast, Model, Task
        >>> fleet = Fleet(clock=lambda: 10**18)
        >>> for name, p in (("gpt-5", 0.8), ("local", 0.4)):
        ...     fleet.add(name)
        ...     fleet.record(Task("q-1", category="crypto"), Forecast(name, p=p, latency_ms=900))
        >>> fleet.settle("q-1", 1)
        True
        >>> row = fleet.performance("gpt-5", category="crypto", window="24h")
        >>> row.calls, row.settled, round(row.brier, 3), round(row.skill, 3)
        (1, 1, 0.04, 0.16)
        """
        from fairlead.measure.performance import window_index

        if model is not None:
            self._known_model(model)
        return self._row(model, category, regime, expiry, window_index(window), self._moment(now))

    def performances(
        self,
        *,
        category: str | None = None,
        regime: str | None = None,
        expiry: str | None = None,
        by: Dimension | None = None,
        window: Span = "7d",
        now: When | None = None,
    ) -> Performance:
        """How all models of the fleet are doing, in the order in which they came; `.ranking()` orders them. Otherwise
        as `performance`.

        by: a row for each model and each value of this dimension that it has met.
        """
        from fairlead.measure.performance import Performance, window_index

        index, moment = window_index(window), self._moment(now)
        given = {"category": category, "regime": regime, "expiry": expiry}
        if by is not None and (by not in _PLACE or given[by] is not None):
            raise InvalidRecordError(f"by is {by!r}, must be one of {', '.join(_PLACE)} that is not fixed itself")
        rows = []
        for model in self._core.model_names():
            if by is None:
                rows.append(self._row(model, category, regime, expiry, index, moment))
                continue
            met = {place[_PLACE[by]] for place in self._core.performance_places(False, model)}
            for value in sorted(met, key=EXPIRIES.index) if by == "expiry" else sorted(met):
                cell = {**given, by: value}
                rows.append(self._row(model, cell["category"], cell["regime"], cell["expiry"], index, moment))
        return Performance(WINDOWS[index], moment, tuple(row for row in rows if by is None or row.calls or row.settled))

    def performance_panes(
        self,
        model: str | None = None,
        *,
        category: str | None = None,
        regime: str | None = None,
        expiry: str | None = None,
        window: Span = "7d",
        now: When | None = None,
    ) -> tuple[PerformancePane, ...]:
        """The panes of a window one by one, oldest first: 12 of five minutes for "1h", of half an hour for "6h", of two
        hours for "24h", 14 of half a day for "7d", 15 of two days for "30d". Otherwise as `performance`."""
        from fairlead.measure.performance import PerformancePane, pane_of, window_index

        if model is not None:
            self._known_model(model)
        index, moment = window_index(window), self._moment(now)
        if WINDOWS[index] == "all":
            raise InvalidRecordError(f"window is {window!r}, which has no panes")
        width, n = pane_of(index)
        out = []
        for back in reversed(range(n)):
            start = (moment // width - back) * width
            row = self._row(model, category, regime, expiry, index, moment, back)
            out.append(PerformancePane(start, start + width, row))
        return tuple(out)

    def patterns(
        self,
        *,
        window: Span = "all",
        now: When | None = None,
        min_n: int = 30,
        fdr: float = 0.05,
        against: Literal["others", "itself"] = "others",
    ) -> PatternReport:
        """Where models are strong and weak: in which categories, regimes, times to expiry and combinations of these
        their skill is not chance, of at least min_n answers that others gave too.

        Of the patterns that are called found, about a share `fdr` at most is false (Benjamini and Hochberg, over all
        models and places that were tested). against: skill beside "others", or beside what the model "itself" shows
        elsewhere. Tests are by rounds (`fairlead.measure.rounds`): outcomes that came together are no independent news.

        Raises InvalidRecordError for an argument that cannot be.
        """
        from fairlead.measure.patterns import find_patterns
        from fairlead.measure.performance import window_index

        index, moment = window_index(window), self._moment(now)
        places = {model: self._core.performance_places(False, model) for model in self._core.model_names()}
        return find_patterns(
            places,
            lambda model, category, regime, expiry: self._row(model, category, regime, expiry, index, moment),
            window=WINDOWS[index], min_n=min_n, fdr=fdr, against=against,
        )  # fmt: skip

    def record_run(
        self,
        agent: str,
        status: RunStatus = "ok",
        *,
        duration_ms: float | None = None,
        tokens: int = 0,
        cost_usd: float | None = None,
        memory_mb: float | None = None,
        api_calls: int = 0,
        compute_s: float | None = None,
        category: str = "",
        error: str = "",
        time: When | None = None,
    ) -> None:
        """What a program did that is no forecast: a crawler, a tool, an agent's errand. `agent` need be no model.

        status: "ok", "error", "timeout" or "cancelled". duration_ms: how long it took. tokens, cost_usd, api_calls,
        compute_s: what it used, of which memory_mb is the most at once. None: not known. category: what it ran for.
        error: what went wrong. On a journal it is an event. `runs` tells what they amount to.

        Raises InvalidRecordError for a value that cannot be.

        >>> from fairlead import Fleet
        >>> fleet = Fleet(clock=lambda: 10**18)
        >>> fleet.record_run("crawler", "ok", duration_ms=1200, tokens=900, memory_mb=256)
        >>> fleet.record_run("crawler", "timeout", duration_ms=30_000, error="no answer")
        >>> fleet.runs()["crawler"].timeout_rate
        0.5
        """
        if not checks.name(agent, "agent"):
            raise InvalidRecordError("agent is '', must be a name")
        if status not in RUN_STATUSES:
            close = did_you_mean(str(status), RUN_STATUSES)
            raise InvalidRecordError(f"status is {status!r}, must be one of {', '.join(RUN_STATUSES)}{close}")
        numbers = {
            "duration_ms": duration_ms, "memory_mb": memory_mb, "compute_s": compute_s, "cost_usd": cost_usd
        }  # fmt: skip
        known = {name: _amount(given, name) for name, given in numbers.items()}
        cost = known.pop("cost_usd")
        if cost == cost and cost > 1e9:
            raise InvalidRecordError(f"cost_usd is {cost_usd!r}, more than a run may cost")
        self._log_run(
            self._core.run(
                agent, checks.name(category, "category"), RUN_STATUSES.index(status), tokens=_count(tokens, "tokens"),
                cost_usd=None if cost_usd is None else cost, api_calls=_count(api_calls, "api_calls"),
                error=checks.name(error, "error"), time=self._moment(time), **known,
            ),
            f"run of {agent!r}",
        )  # fmt: skip

    def runs(
        self,
        agent: str | None = None,
        *,
        category: str | None = None,
        window: Span = "7d",
        now: When | None = None,
    ) -> Runs:
        """What runs amounted to: a row for each agent, or for this one alone. window, now: as in `performance`."""
        from fairlead.measure.performance import window_index
        from fairlead.measure.runs import Runs, run_row_of

        index, moment = window_index(window), self._moment(now)
        names = self._core.runners() if agent is None else [checks.name(agent, "agent")]
        rows = tuple(
            run_row_of(name, category, index, self._core.performance(True, name, category, None, -1, index, moment))
            for name in names
        )
        return Runs(WINDOWS[index], moment, rows)

    # --- inside ---

    def _row(
        self,
        model: str | None,
        category: str | None,
        regime: str | None,
        expiry: str | None,
        window: int,
        now: int,
        back: int = -1,
    ) -> PerformanceRow:
        from fairlead.measure.performance import ALL_MODELS, expiry_index, row_of

        for given, where in ((category, "category"), (regime, "regime")):
            if given is not None:
                checks.name(given, where)
        told = self._core.performance(False, model, category, regime, expiry_index(expiry), window, now, back)
        return row_of(ALL_MODELS if model is None else model, category, regime, expiry, window, told)

    def _moment(self, now: When | None) -> int:
        return checks.moment(self._clock) if now is None else as_time(now, "now")

    def _known_model(self, model: str) -> None:
        checks.name(model, "model")
        if self._core.board.find_model(model) < 0:
            known = self._core.model_names()
            raise UnknownModelError(f"model is {model!r}, which the fleet never had{did_you_mean(model, known)}")

    def _log_run(self, status: int, what: str) -> None:
        if status:
            self._check(status, what)

    # Of Fleet.
    def _check(self, status: int, what: str) -> None:
        raise NotImplementedError


def _amount(given: Any, where: str) -> float:
    if given is None:
        return math.nan
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0.0 <= given < math.inf:
        raise InvalidRecordError(f"{where} is {given!r}, must be a number, at least 0, or None")
    return float(given)


def _count(given: Any, where: str) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__") or not 0 <= given.__index__() < 2**53:
        raise InvalidRecordError(f"{where} is {given!r}, must be an integer, at least 0")
    return int(given.__index__())
