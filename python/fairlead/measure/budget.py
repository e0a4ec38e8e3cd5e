"""Budgets: so much money a day, a week or a month, reserved before a call and settled after it.

The core (`cpp/include/fairlead/budget.hpp`) counts nano-dollars of ids; here are names and dollars.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from fairlead._core import Budgets as Core
from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.measure.calendar import PERIODS, Zone, calendar_of, period_name, time_text
from fairlead.measure.money import Money, as_nanos, as_usd, cost_nanos, nearest, usd_text
from fairlead.times import as_span, as_time
from fairlead.types import TIERS

When = int | str | date

SCOPES = ("all", "model", "tier", "category", "type")
ON_EXHAUSTED = ("degrade", "queue", "refuse")
LEVELS = ("warning", "critical", "exhausted")
_FOREVER = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Budget:
    """How much may be spent in a period, on what.

    limit_usd: dollars. period: `"none"` (once and for all), `"daily"`, `"weekly"` or `"monthly"`, by the calendar of
    the time zone. scope: `"all"`, `"model=gpt-5"`, `"tier=fast"`, `"category=politics"` or `"type=reasoning"`.

    warning, critical: of the limit; an alert when so much is spent, each once a period. on_exhausted, for a call that
    could cost more than is left: `"degrade"` to a cheaper tier, `"queue"` until there is money again, or `"refuse"`.
    name: by which it is known and changed; else its scope and period.

    Raises InvalidRecordError for what cannot be honoured.

    >>> print(Budget(25, period="daily", scope="tier=fast"))
    tier=fast daily: $25.00, warning at 80 %, critical at 95 %, then refuse
    """

    limit_usd: float
    period: Literal["none", "daily", "weekly", "monthly"] = "none"
    scope: str = "all"
    name: str = ""
    warning: float = 0.8
    critical: float = 0.95
    on_exhausted: Literal["degrade", "queue", "refuse"] = "refuse"

    def __post_init__(self) -> None:
        nanos = as_nanos(self.limit_usd, "limit_usd")
        object.__setattr__(self, "limit_usd", as_usd(nanos))
        for field, known in (("period", PERIODS), ("on_exhausted", ON_EXHAUSTED)):
            if (value := getattr(self, field)) not in known:
                raise InvalidRecordError(
                    f"{field} is {value!r}, must be one of {', '.join(known)}{_close(value, known)}"
                )
        one_of_scope(self.scope)
        for field in ("warning", "critical"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 1e-6 <= value <= 1:
                raise InvalidRecordError(f"{field} is {value!r}, outside [0.000001, 1]")
        if self.warning > self.critical:
            raise InvalidRecordError(f"warning is {self.warning!r}, above critical ({self.critical!r})")
        if not isinstance(self.name, str):
            raise InvalidRecordError(f"name is {self.name!r}, must be a string")
        if not self.name:
            object.__setattr__(self, "name", self.scope if self.period == "none" else f"{self.scope} {self.period}")

    @property
    def limit(self) -> int:
        """The limit in nano-dollars."""
        return nearest(self.limit_usd)

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"{self.name}: {usd_text(self.limit)}, warning at {100 * self.warning:.4g} %, "
            f"critical at {100 * self.critical:.4g} %, then {self.on_exhausted}"
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """Money that is held until `settle` or `cancel`."""

    id: int
    bound_usd: float


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that no money is left for. False in a condition.

    budget: that which refused, the strictest of several. until: when its period ends, in nanoseconds; None: never.
    """

    budget: str
    on_exhausted: str
    bound_usd: float
    left_usd: float
    until: int | None

    def __bool__(self) -> bool:
        return False

    def __str__(self) -> str:
        ends = "" if self.until is None else f", until {time_text(self.until)}"
        left, bound = nearest(self.left_usd), nearest(self.bound_usd)
        return f"budget {self.budget!r} has {usd_text(left)} left, the call may cost {usd_text(bound)}{ends}"


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that was reached: once for a budget, a level and a period. Times are nanoseconds."""

    budget: str
    level: Literal["warning", "critical", "exhausted"]
    period: str
    period_start: int
    time: int
    limit_usd: float
    spent_usd: float
    held_usd: float

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        spent, limit, held = nearest(self.spent_usd), nearest(self.limit_usd), nearest(self.held_usd)
        share = f" ({100 * spent / limit:.0f} %)" if limit else ""
        also = f", {usd_text(held)} held" if held else ""
        text = f"{self.level}: budget {self.budget!r} has spent {usd_text(spent)} of {usd_text(limit)}{share}"
        return f"{text} in {self.period}{also}"


@dataclass(frozen=True, slots=True)
class BudgetRow:
    """One budget in one period. Calls: settled, cancelled, refused; over_usd: of what is spent, by how much `overruns`
    calls went above their bounds. start and end are nanoseconds."""

    budget: str
    scope: str
    period: str
    number: str
    start: int
    end: int
    limit_usd: float
    spent_usd: float
    held_usd: float
    left_usd: float
    settled: int
    cancelled: int
    refused: int
    overruns: int
    over_usd: float
    alerts: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self) | {"alerts": list(self.alerts)}


@dataclass(frozen=True, slots=True)
class BudgetReport:
    """All budgets at a time. Prints as a table; iterates over rows of the present periods."""

    time: int
    rows: tuple[BudgetRow, ...]
    past: tuple[BudgetRow, ...]

    def __iter__(self) -> Iterator[BudgetRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, budget: str) -> BudgetRow:
        for row in self.rows:
            if row.budget == budget:
                return row
        raise KeyError(budget)

    def as_dict(self) -> dict[str, Any]:
        """time, rows and past rows as plain JSON types."""
        return {
            "time": self.time,
            "rows": [row.as_dict() for row in self.rows],
            "past": [row.as_dict() for row in self.past],
        }

    def __str__(self) -> str:
        if not self.rows:
            return "no budgets"
        cells = [("budget", "period", "limit", "spent", "held", "left", "used", "refused", "alerts")]
        for row in self.rows:
            limit, spent, left = nearest(row.limit_usd), nearest(row.spent_usd), nearest(row.left_usd)
            used = f"{100 * spent / limit:.0f} %" if limit else "-"
            money = (usd_text(limit), usd_text(spent), usd_text(nearest(row.held_usd)), usd_text(left))
            cells.append((row.budget, row.number, *money, used, str(row.refused), " ".join(row.alerts)))
        return table(cells, left=(0, 1, 8))


class Budgets:
    """Budgets that any number of callers share without overspending: money is reserved before a call, settled after it.

    A call is granted if, in each budget it falls under, spent + held + bound is at most the limit; so as long as no
    call costs more than its bound, nothing is overspent, whatever the number of threads. zone: the IANA time zone
    whose days, weeks and months count. Times (`now`) are arguments; a clock that jumps back never gives money twice,
    as a period that has begun is not left for an earlier one. A call that ends after its period is charged to the
    period it was reserved in. The state is a function of the calls alone; pickle carries all of it, with what is held.

    >>> budgets = Budgets([Budget(10, period="daily"), Budget(4, "daily", "model=gpt-5")], now="2026-03-28T09:00Z")
    >>> call = budgets.reserve(3, "2026-03-28T09:00Z", model="gpt-5")
    >>> print(budgets.reserve(3, "2026-03-28T09:00Z", model="gpt-5"))
    budget 'model=gpt-5 daily' has $1.00 left, the call may cost $3.00, until 2026-03-29 00:00:00Z
    >>> budgets.settle(call, 2.5, "2026-03-28T09:01Z")
    0.0
    >>> print(budgets.report("2026-03-28T10:00Z"))
    budget             period       limit  spent   held   left  used  refused  alerts
    all daily          2026-03-28  $10.00  $2.50  $0.00  $7.50  25 %        0
    model=gpt-5 daily  2026-03-28   $4.00  $2.50  $0.00  $1.50  62 %        1
    """

    def __init__(self, budgets: Iterable[Budget] = (), *, zone: Zone = "UTC", now: When = 0) -> None:
        self.core = Core(calendar_of(zone))
        self.names = Names()
        for budget in budgets:
            self.define(budget, now)

    def define(self, budget: Budget, now: When, *, spent_usd: Money = 0) -> None:
        """A budget, new or changed. One of this name with the same scope and period goes on with what is spent and
        held, and the new limit, thresholds and action; else it starts anew, with `spent_usd`.

        Raises InvalidRecordError where a call could fall under more than 16 budgets.
        """
        define(self.core, self.names, budget, as_time(now, "now"), as_nanos(spent_usd, "spent_usd"))

    def remove(self, name: str) -> None:
        """Removes a budget; what is held in it is let go. Raises KeyError where there is none of this name."""
        self.core.remove(name)

    def reserve(
        self,
        bound_usd: Money,
        now: When,
        *,
        model: str | None = None,
        tier: str | None = None,
        category: str | None = None,
        type: str | None = None,
    ) -> Reservation | Refusal:
        """Holds the most that a call can cost in every budget it falls under, or says which of them has too little."""
        bound, time = as_nanos(bound_usd, "bound_usd"), as_time(now, "now")
        got = self.core.reserve(bound, time, *self.names.where(model, tier, category, type))
        return Reservation(got, as_usd(bound)) if isinstance(got, int) else refusal(self.core, got, bound)

    def settle(self, reservation: Reservation, actual_usd: Money, now: When) -> float:
        """What the call cost. Returns by how much that is above its bound, in dollars: it is counted all the same.

        Raises KeyError for a reservation that was settled or cancelled.
        """
        return as_usd(self.core.settle(reservation.id, cost_nanos(actual_usd, "actual_usd"), as_time(now, "now")))

    def cancel(self, reservation: Reservation) -> None:
        """The call never happened. Raises KeyError for a reservation that was settled or cancelled."""
        self.core.cancel(reservation.id)

    def charge(
        self,
        actual_usd: Money,
        now: When,
        *,
        model: str | None = None,
        tier: str | None = None,
        category: str | None = None,
        type: str | None = None,
    ) -> None:
        """Money spent without a reservation."""
        where = self.names.where(model, tier, category, type)
        self.core.charge(cost_nanos(actual_usd, "actual_usd"), as_time(now, "now"), *where)

    def held(self, older_than: When | None = None) -> list[Reservation]:
        """Reservations that are neither settled nor cancelled, oldest first; only those made before `older_than`."""
        before = _FOREVER if older_than is None else as_time(older_than, "older_than")
        return [Reservation(found[0], as_usd(found[1])) for found in self.core.held(before)]

    def expire(self, age: int | str, now: When) -> int:
        """Settles at their bounds all reservations older than `age` (`"10min"`), as nobody knows whether their calls
        were made: after a crash, say. Returns how many. Those known not to have been made, `cancel`."""
        time = as_time(now, "now")
        return self.core.expire(time - as_span(age, "age"), time)

    def alerts(self) -> list[Alert]:
        """The alerts that came up since the last call, oldest first: each is handed out once."""
        found: list[Alert] = []
        while more := self.core.take_alerts():
            found += [alert(self.core, one) for one in more]
        return found

    def report(self, now: When) -> BudgetReport:
        """The state of all budgets at a time."""
        return budget_report(self.core, self.names, as_time(now, "now"))


# --- what a fleet shares with Budgets ---------------------------------------------------------------------------------


class Names:
    """Ids of models, categories and task types, and back; those of tiers are fixed."""

    __slots__ = ("of",)

    def __init__(self) -> None:
        self.of: dict[str, dict[str, int]] = {scope: {} for scope in SCOPES}
        self.of["tier"] = {name: i for i, name in enumerate(TIERS)}
        self.of["all"] = {"all": 0}

    def id(self, scope: str, name: str) -> int:
        """The id of a name, which is added if new. Raises InvalidRecordError for an unknown tier."""
        known = self.of[scope]
        if name not in known:
            if scope == "tier":
                raise InvalidRecordError(f"tier is {name!r}, must be one of {', '.join(TIERS)}{_close(name, TIERS)}")
            known[name] = len(known)
        return known[name]

    def known(self, scope: str, name: str) -> int:
        """The id of a name that is there. Raises InvalidRecordError where it is not."""
        found = self.of[scope]
        if name not in found:
            raise InvalidRecordError(f"{scope} is {name!r}, which was never seen{_close(name, found)}")
        return found[name]

    def where(
        self, model: str | None, tier: str | None, category: str | None, type: str | None
    ) -> tuple[int | None, int | None, int | None, int | None]:
        """The four ids of a call."""
        return (
            None if model is None else self.id("model", model),
            None if tier is None else self.id("tier", tier),
            None if category is None else self.id("category", category),
            None if type is None else self.id("type", type),
        )

    def name(self, scope: str, id: int) -> str:
        """The name of an id, or the id in words."""
        for name, known in self.of[scope].items():
            if known == id:
                return name
        return f"{scope} {id}"


def define(core: Core, names: Names, budget: Budget, now: int, spent: int = 0) -> int:
    """Tells the core of a budget; returns its id there."""
    scope, name = one_of_scope(budget.scope)
    try:
        return core.define(
            budget.name,
            budget.limit,
            period=PERIODS.index(budget.period),
            scope=SCOPES.index(scope),
            of=names.id(scope, name),
            warning=round(budget.warning * 1_000_000),
            critical=round(budget.critical * 1_000_000),
            on_exhausted=ON_EXHAUSTED.index(budget.on_exhausted),
            now=now,
            spent=spent,
        )
    except ValueError as error:
        raise InvalidRecordError(f"budget {budget.name!r}: {error}") from error


def refusal(core: Core, found: tuple[int, int, int, int], bound: int) -> Refusal:
    """What the core says of a call that it refused."""
    id, then, until, left = found
    name = core.view(id, 0)["name"]
    return Refusal(name, ON_EXHAUSTED[then], as_usd(bound), as_usd(left), None if until == _FOREVER else until)


def alert(core: Core, found: tuple[int, int, int, int, int, int, int, int]) -> Alert:
    """What the core says of a threshold that was reached."""
    id, level, number, start, time, limit, spent, held = found
    try:
        view = core.view(id, time)
        name, period = view["name"], period_name(PERIODS[view["period"]], number)
    except KeyError:
        name, period = "(removed)", time_text(start)
    return Alert(name, LEVELS[level], period, start, time, as_usd(limit), as_usd(spent), as_usd(held))  # type: ignore[arg-type]


def budget_report(core: Core, names: Names, now: int) -> BudgetReport:
    """The state of all budgets of a core."""
    rows: list[BudgetRow] = []
    past: list[BudgetRow] = []
    for id in core.budgets():
        view = core.view(id, now)
        of, period = scope_text(names, view["scope"], view["of"]), PERIODS[view["period"]]
        for tally in (*view["closed"], view["now"]):
            left = max(0, tally["limit"] - tally["spent"] - tally["held"])
            row = BudgetRow(
                view["name"],
                of,
                period,
                period_name(period, tally["number"]),
                tally["start"],
                tally["end"],
                as_usd(tally["limit"]),
                as_usd(tally["spent"]),
                as_usd(tally["held"]),
                as_usd(left),
                tally["settled"],
                tally["cancelled"],
                tally["refused"],
                tally["overruns"],
                as_usd(tally["over"]),
                tuple(level for i, level in enumerate(LEVELS) if tally["raised"] >> i & 1),
            )
            (rows if tally is view["now"] else past).append(row)
    return BudgetReport(now, tuple(rows), tuple(past))


def table(cells: Sequence[tuple[str, ...]], left: tuple[int, ...]) -> str:
    """Rows under a heading in aligned columns; those in `left` start at the left.

    >>> print(table([("a", "b"), ("one", "2")], left=(0,)))
    a    b
    one  2
    """
    widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
    lines = (
        "  ".join(cell.ljust(widths[i]) if i in left else cell.rjust(widths[i]) for i, cell in enumerate(row))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def scope_text(names: Names, scope: int, of: int) -> str:
    """What a budget is of, as it is written: the other way round than `one_of_scope`."""
    return "all" if scope == 0 else f"{SCOPES[scope]}={names.name(SCOPES[scope], of)}"


def one_of_scope(text: object) -> tuple[str, str]:
    """`model=gpt-5` as ("model", "gpt-5"), `all` as ("all", "all")."""
    if not isinstance(text, str):
        raise InvalidRecordError(f"scope is {text!r}, must be a string such as 'all' or 'model=gpt-5'")
    if text == "all":
        return "all", "all"
    scope, equals, name = text.partition("=")
    if scope not in SCOPES[1:]:
        raise InvalidRecordError(
            f"scope is {text!r}, must be 'all', or one of {', '.join(SCOPES[1:])} and its name: 'model=gpt-5'"
            f"{_close(scope, SCOPES)}"
        )
    if not equals or not name:
        raise InvalidRecordError(f"scope is {text!r}, must say which {scope}: '{scope}=...'")
    if scope == "tier" and name not in TIERS:
        raise InvalidRecordError(f"scope is {text!r}, a tier is one of {', '.join(TIERS)}{_close(name, TIERS)}")
    return scope, name


def _close(name: object, known: Iterable[str]) -> str:
    return did_you_mean(name, known) if isinstance(name, str) else ""


__all__ = ["Alert", "Budget", "BudgetReport", "BudgetRow", "Budgets", "Refusal", "Reservation"]
