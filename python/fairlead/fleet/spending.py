"""A fleet's money: budgets and their alerts, and reports of what was spent.

The core holds both as a fold over the journal's events (`cpp/include/fairlead/budget.hpp`, `spend.hpp`); the words and
tables are those of `fairlead.measure.budget` and `fairlead.measure.spend`.
"""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal, Protocol, TypeVar

from fairlead._core import Budgets, Scoreboard, Spend, raise_status
from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.fleet import checks
from fairlead.fleet.listeners import Listeners
from fairlead.measure.budget import (
    LEVELS,
    ON_EXHAUSTED,
    SCOPES,
    Alert,
    Budget,
    BudgetReport,
    Names,
    When,
    alert,
    budget_report,
    one_of_scope,
    scope_text,
)
from fairlead.measure.calendar import PERIODS, Zone, calendar_of
from fairlead.measure.money import as_usd
from fairlead.measure.spend import (
    CallCost,
    SpendForecast,
    SpendReport,
    one_of,
    spend_call_cost,
    spend_forecast,
    spend_history,
    spend_report,
)
from fairlead.measure.value import ENOUGH_CALLS, ValueReport, value_report, value_row
from fairlead.times import as_time

AlertRow = tuple[str, str, int, int, int, int, int, int]
EstimateRow = tuple[str, float, float, float]
OnAlert = TypeVar("OnAlert", bound=Callable[[Alert], Awaitable[object] | object])

BY_TIME = {"day": "daily", "week": "weekly", "month": "monthly"}
MOST_AT_ONCE = 16
"""Budgets that one call may fall under (`Budgets::max_matching`)."""
_KEPT = 100
"""Alerts that `recent` holds."""


class Accounts(Protocol):
    """What the compiled fleet has of money. Only `budget_event` and `alerts` change it: by events of the journal."""

    @property
    def board(self) -> Scoreboard: ...
    @property
    def budgets(self) -> Budgets: ...
    @property
    def spend(self) -> Spend: ...
    def budget_event(self, record: str, time: int) -> int: ...
    def alerts(self, time: int) -> list[AlertRow]: ...
    def spend_names(self, scope: str) -> list[str]: ...
    def estimate(self, kind: str, where: Sequence[tuple[str, str]]) -> list[EstimateRow]: ...


class FleetBudgets:
    """The budgets of a fleet, as `fleet.budgets`: part of its state, so that a journal brings them back.

    Money is reserved by `fleet.route` and settled by `fleet.called`. Iterates over the budgets, in the order in which
    they were defined; `str` is their state now.
    """

    def __init__(self, core: Accounts, clock: Callable[[], int]) -> None:
        self._core = core
        self._clock = clock
        self._listeners: Listeners[Alert] = Listeners("budget alert")
        self._recent: deque[Alert] = deque(maxlen=_KEPT)

    def define(self, *budgets: Budget) -> None:
        """Budgets, new or changed. The same again is no news, so that a program may define its own each time it starts.

        One of the same name, scope and period goes on with what is spent and held, under the new limit, thresholds and
        action; with another scope or period it starts anew. A model must have been in the fleet; a tier, category or
        type may be one that no task had yet.

        Raises InvalidRecordError for what is no Budget, an unknown model, and where one call could fall under more
        than 16 budgets.
        """
        for budget in budgets:
            if not isinstance(budget, Budget):
                raise InvalidRecordError(f"budget is {budget!r}, must be a Budget: Budget(25, 'daily')")
            scope, name = one_of_scope(budget.scope)
            checks.utf8(budget.name, "name")
            checks.utf8(name, scope)
            if scope == "model" and self._core.board.find_model(name) < 0:
                known = names_of(self._core).of["model"]
                raise InvalidRecordError(
                    f"scope is {budget.scope!r}, but no model {name!r} was ever in the fleet{did_you_mean(name, known)}"
                )
        for budget in budgets:
            if budget in self:
                continue
            others = [one for one in self if one.name != budget.name]
            if _most_at_once([*others, budget]) > MOST_AT_ONCE:
                raise InvalidRecordError(
                    f"budget is {budget.name!r}, with which one call could fall under more than {MOST_AT_ONCE}"
                )
            self._log(_record(budget), f"budget {budget.name!r}")

    def remove(self, budget: Budget | str) -> None:
        """Removes a budget, by its name or itself; what is held in it is let go.

        Raises InvalidRecordError where there is none of this name.
        """
        name = budget.name if isinstance(budget, Budget) else checks.name(budget, "name")
        self._known(name)
        self._log({"name": name, "removed": True}, f"budget {name!r}")

    def set_zone(self, zone: Zone) -> None:
        """The time zone whose days, weeks and months count, for budgets and costs; UTC until it is set. Periods that
        have begun keep their start.

        Raises InvalidRecordError for a zone that is not known.

        The journal gets the days on which the clocks change, not the name alone: a replay does not depend on which
        edition of the time zone database is installed. A newer edition counts once the zone is set again.
        """
        calendar = calendar_of(zone)
        if calendar.runs == self._core.budgets.calendar.runs:
            return
        self._log({"zone": zone if isinstance(zone, str) else str(zone), "runs": calendar.runs}, f"zone {zone!r}")

    def state(self, at: When | None = None) -> BudgetReport:
        """What is spent, held and left in each budget, now or at a time."""
        return budget_report(self._core.budgets, names_of(self._core), _moment(at, self._clock))

    def on_alert(self, callback: OnAlert) -> OnAlert:
        """Calls a function with each `Alert` from now on: `warning`, `critical` and `exhausted`, each once a period.

        A coroutine function runs on the caller's event loop, after the call that raised the alert; where there is no
        loop, on one in a thread of its own. What it raises becomes a RuntimeWarning and stops nobody. Returns the
        function, so it may be used as a decorator.

        An alert is an event of the journal before anybody is told, so nobody is told twice. A process that dies
        between the two has told nobody: at most once, and the journal has it. One that dies after the spending and
        before that event leaves the alert due: it is told when the fleet is open again, at the latest here.
        """
        self._listeners.add(callback)
        self.tell()
        return callback

    def forget(self, callback: Callable[[Alert], object]) -> None:
        """Calls it no more. Raises InvalidRecordError for one that was not given to `on_alert`."""
        self._listeners.remove(callback)

    def tell(self) -> tuple[Alert, ...]:
        """Tells of the alerts that are due, and returns them. The fleet does it after every call that may raise one."""
        told = []
        while found := self._core.alerts(checks.moment(self._clock)):
            told += [_alert(self._core.budgets, one) for one in found]
        for one in told:
            self._recent.append(one)
        for one in told:
            self._listeners.tell(one)
        return tuple(told)

    def finish(self, timeout: float = 5.0) -> bool:
        """Waits for coroutines that are told on a loop of their own; whether they have ended."""
        return self._listeners.finish(timeout)

    @property
    def recent(self) -> tuple[Alert, ...]:
        """The last alerts of this process, oldest first; those before are in the journal."""
        return tuple(self._recent)

    def __iter__(self) -> Iterator[Budget]:
        names = names_of(self._core)
        for id in self._core.budgets.budgets():
            yield _budget(self._core.budgets, names, id)

    def __len__(self) -> int:
        return len(self._core.budgets.budgets())

    def __contains__(self, budget: object) -> bool:
        if isinstance(budget, str):
            return self._core.budgets.find(budget) >= 0
        return isinstance(budget, Budget) and _record(budget) in map(_record, self)

    def __getitem__(self, name: str) -> Budget:
        return _budget(self._core.budgets, names_of(self._core), self._known(name))

    def __str__(self) -> str:
        return str(self.state())

    def __repr__(self) -> str:
        return f"<budgets: {', '.join(repr(budget.name) for budget in self) or 'none'}>"

    def _known(self, name: str) -> int:
        found = self._core.budgets.find(name)
        if found < 0:
            known = [budget.name for budget in self]
            raise InvalidRecordError(f"name is {name!r}, no budget of the fleet{did_you_mean(name, known)}")
        return found

    def _log(self, record: dict[str, object], what: str) -> None:
        self.tell()  # of what is due while its budget is as it was
        status = self._core.budget_event(json.dumps(record, ensure_ascii=False), checks.moment(self._clock))
        if status:
            raise_status(status, what)
        self.tell()  # a lower limit may have been reached already


class FleetCosts:
    """What the fleet's calls have cost, as `fleet.costs`.

    Counted are calls that ended by `fleet.called`, and answers that were recorded with a cost and had no route.
    """

    def __init__(self, core: Accounts, clock: Callable[[], int]) -> None:
        self._core = core
        self._clock = clock

    def __call__(
        self,
        by: Literal["model", "tier", "category", "type", "day", "week", "month"] = "model",
        period: Literal["none", "daily", "weekly", "monthly"] = "none",
        *,
        at: When | None = None,
        model: str | None = None,
        tier: str | None = None,
        category: str | None = None,
        type: str | None = None,
    ) -> SpendReport:
        """A table: a row for each model, tier, category or task type, dearest first, or for each day, week or month.

        period: `"daily"`, `"weekly"` or `"monthly"`: only what was spent in the day, week or month that `at` (now) lies
        in; `"none"`: ever. Rows of days, weeks and months may be those of one model, tier, category or type.

        Raises InvalidRecordError for a name that was never seen, for more than one, and for one where the rows are no
        times.
        """
        moment = _moment(at, self._clock)
        scope, name = _one({"model": model, "tier": tier, "category": category, "type": type})
        names = names_of(self._core)
        if by in BY_TIME:
            within = (period, moment) if one_of("period", period, PERIODS) else None
            return spend_history(self._core.spend, names, BY_TIME[by], scope, name, within)
        one_of("by", by, (*SCOPES[1:], *BY_TIME))
        if scope != "all":
            raise InvalidRecordError(f"{scope} is {name!r}, which by={by!r} does not take: use by='day'")
        return spend_report(self._core.spend, names, by, period, moment)

    def forecast(
        self,
        at: When | None = None,
        *,
        days: int = 28,
        confidence: float = 0.9,
        model: str | None = None,
        tier: str | None = None,
        category: str | None = None,
        type: str | None = None,
    ) -> SpendForecast:
        """What the month that `at` (now) lies in will have cost at its end, of all calls or those of one model, tier,
        category or type; see `SpendForecast`."""
        scope, name = _one({"model": model, "tier": tier, "category": category, "type": type})
        id = names_of(self._core).known(scope, name)
        moment = _moment(at, self._clock)
        return spend_forecast(
            self._core.spend, moment, days=days, confidence=confidence, scope=SCOPES.index(scope), id=id
        )

    def per_call(self, model: str, *, category: str | None = None, type: str | None = None) -> CallCost:
        """What a call of a model costs, overall or in one category or task type: of all calls, and lately."""
        scope, name = _one({"category": category, "type": type})
        return spend_call_cost(self._core.spend, names_of(self._core), model, scope, name)

    def value(
        self, *, category: str | None = None, type: str | None = None, kind: Literal["binary", "numeric"] = "binary"
    ) -> ValueReport:
        """Quality for money: of each model in the fleet, what its answers are expected to be worth, what a call of it
        costs lately, and how much quality a dollar buys. Overall, or in one category or task type; best first.

        Both are those by which `objective="value"` routes: quality in [0, 1] (of probabilities 1 - loss / 2) of tasks
        of this kind, drawn to the mean of all models where there are few results; the cost of calls there once there
        were 5, else of all. kind: `"binary"` for probabilities, categorical ones too.
        """
        scope, name = _one({"category": category, "type": type})
        one_of("kind", kind, ("binary", "numeric"))
        names = names_of(self._core)
        names.known(scope, name)
        found = self._core.estimate(kind, () if scope == "all" else ((scope, name),))
        rows = []
        for model, quality, spread, results in found:
            cost = spend_call_cost(self._core.spend, names, model, scope, name)
            if cost.calls < ENOUGH_CALLS:
                cost = spend_call_cost(self._core.spend, names, model)
            rows.append(value_row(model, quality, spread, results, cost))
        return value_report("overall" if scope == "all" else f"{scope}={name}", rows)

    def __repr__(self) -> str:
        return f"<costs of {self._core.spend.total(0)[1]} calls>"


def names_of(core: Accounts) -> Names:
    """The names of the ids that budgets and spending count by."""
    names = Names()
    names.of["model"] = {core.board.model_name(id): id for id in range(core.board.n_models)}
    for scope in ("category", "type"):
        names.of[scope] = {name: id for id, name in enumerate(core.spend_names(scope))}
    return names


def _most_at_once(budgets: Iterable[Budget]) -> int:
    """How many of some budgets the unluckiest call could fall under."""
    of_each = Counter(budget.scope for budget in budgets)
    return sum(max((n for scope, n in of_each.items() if scope.split("=")[0] == kind), default=0) for kind in SCOPES)


def _alert(core: Budgets, found: AlertRow) -> Alert:
    name, level, *numbers = found
    known = alert(core, (core.find(name), LEVELS.index(level), *numbers))  # type: ignore[arg-type]
    return replace(known, budget=name)


def _record(budget: Budget) -> dict[str, object]:
    """A budget as the journal's event has it."""
    scope, name = one_of_scope(budget.scope)
    return {
        "name": budget.name,
        "limit": budget.limit,
        "period": budget.period,
        "scope": scope,
        "of": "" if scope == "all" else name,
        "warning": round(budget.warning * 1_000_000),
        "critical": round(budget.critical * 1_000_000),
        "on_exhausted": budget.on_exhausted,
    }


def _budget(core: Budgets, names: Names, id: int) -> Budget:
    view = core.view(id, 0)
    return Budget(
        as_usd(view["limit"]),
        PERIODS[view["period"]],  # type: ignore[arg-type]
        scope_text(names, view["scope"], view["of"]),
        view["name"],
        view["warning"] / 1_000_000,
        view["critical"] / 1_000_000,
        ON_EXHAUSTED[view["on_exhausted"]],  # type: ignore[arg-type]
    )


def _moment(at: When | None, clock: Callable[[], int]) -> int:
    return checks.moment(clock) if at is None else as_time(at, "at")


def _one(given: dict[str, str | None]) -> tuple[str, str]:
    """The one kind and name that is given; all where there is none."""
    chosen = [(scope, name) for scope, name in given.items() if name is not None]
    if len(chosen) > 1:
        words = " and ".join(f"{scope}={name!r}" for scope, name in chosen)
        raise InvalidRecordError(f"{words} are given: costs are added up by one of them at a time")
    return chosen[0] if chosen else ("all", "all")
