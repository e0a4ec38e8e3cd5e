"""What was spent on what, and what the month will come to. The core: `cpp/include/fairlead/spend.hpp`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from fairlead._core import Calendar
from fairlead._core import Spend as Core
from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.measure.budget import SCOPES, Names, When, table
from fairlead.measure.calendar import PERIODS, Zone, calendar_of, period_name
from fairlead.measure.money import Money, as_usd, cost_nanos, nearest, usd_text
from fairlead.measure.student import t_quantile
from fairlead.times import as_time

Row = tuple[int, int, int, int, int, int, int, int, int]
ANY_DAY = 10**6


@dataclass(frozen=True, slots=True)
class SpendRow:
    """Calls, tokens and dollars of one name or one period. Of calls, `failed` failed, and what `unpriced` cost is not
    known: they count as nothing. tokens_cached and tokens_written (read from a cache, written to one) are part of
    tokens_in. usd_per_call is over the calls with a price, NaN where there is none."""

    name: str
    calls: int
    failed: int
    unpriced: int
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_written: int
    cost_usd: float
    usd_per_call: float

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SpendReport:
    """What was spent in a period: a row for each model, tier, category or task type (`by`), dearest first, or for each
    day, week or month, in order. Prints as a table; iterates over rows."""

    by: str
    period: str
    rows: tuple[SpendRow, ...]
    total: SpendRow

    def __iter__(self) -> Iterator[SpendRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> SpendRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """by, period, rows and total as plain types."""
        return {
            "by": self.by,
            "period": self.period,
            "rows": [row.as_dict() for row in self.rows],
            "total": self.total.as_dict(),
        }

    def __str__(self) -> str:
        cells = [
            (
                f"{self.by}, {self.period}",
                "cost",
                "share",
                "calls",
                "a call",
                "in",
                "cached",
                "out",
                "failed",
                "unpriced",
            )
        ]
        all_of_it = nearest(self.total.cost_usd)
        for row in (*self.rows, self.total):
            cost = nearest(row.cost_usd)
            share = f"{100 * cost / all_of_it:.0f} %" if all_of_it else "-"
            each = "-" if math.isnan(row.usd_per_call) else usd_text(nearest(row.usd_per_call))
            tokens = (f"{row.tokens_in:,}", f"{row.tokens_cached:,}", f"{row.tokens_out:,}")
            calls = (f"{row.failed:,}", f"{row.unpriced:,}")
            cells.append((row.name, usd_text(cost), share, f"{row.calls:,}", each, *tokens, *calls))
        return table(cells, left=(0,))


@dataclass(frozen=True, slots=True)
class SpendForecast:
    """What the month will have cost at its end, and the interval that holds it with the given confidence.

    What is spent is known; each day to come is expected to cost what such days cost lately (`method`), and today its
    share of the day that is left. The interval is Student's, of the sum of days that vary as the last ones did about
    what was expected of them, whose mean is itself uncertain; it is None with fewer than 3 whole days.
    """

    month: str
    end: int
    spent_usd: float
    expected_usd: float
    low_usd: float | None
    high_usd: float | None
    confidence: float
    daily_usd: float
    days: int
    method: str

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        spent, expected = nearest(self.spent_usd), nearest(self.expected_usd)
        text = f"{self.month}: {usd_text(spent)} spent, {usd_text(expected)} expected at its end"
        if self.low_usd is not None and self.high_usd is not None:
            low, high = usd_text(nearest(self.low_usd)), usd_text(nearest(self.high_usd))
            text += f" ({low} to {high} with {100 * self.confidence:.4g} % confidence)"
        return f"{text}, by {self.method}"


@dataclass(frozen=True, slots=True)
class CallCost:
    """What a call of a model costs, overall or in a context: the mean of all, and of the last ones (a half-life of 200
    calls); output tokens likewise. NaN before the first."""

    calls: int
    mean_usd: float
    lately_usd: float
    tokens_out: float


class Spend:
    """Calls, tokens and dollars of each model, tier, category and task type, by the days of a time zone.

    days: active days of each name that are kept apart, what is older is one sum; beyond max_ids names of a kind, the
    rest is one, `(other)`. A call counts on the day of its own time, whenever it comes.

    >>> spend = Spend()
    >>> spend.add(0.25, "2026-03-02T09:00Z", model="gpt-5", category="politics", tokens_in=1000, tokens_out=200)
    >>> spend.add(0.05, "2026-03-02T10:00Z", model="local", category="politics", tokens_in=900, tokens_cached=500)
    >>> print(spend.report("model", "monthly", "2026-03-02T12:00Z"))
    model, 2026-03   cost   share  calls  a call     in  cached  out  failed  unpriced
    gpt-5           $0.25    83 %      1   $0.25  1,000       0  200       0         0
    local           $0.05    17 %      1   $0.05    900     500    0       0         0
    (all)           $0.30   100 %      2   $0.15  1,900     500  200       0         0
    """

    def __init__(self, zone: Zone = "UTC", *, days: int = 400, max_ids: int = 1024, names: Names | None = None) -> None:
        whole_number("days", days, 100_000)
        whole_number("max_ids", max_ids, 100_000)
        self.core = Core(calendar_of(zone), days=days, max_ids=max_ids)
        self.names = Names() if names is None else names

    def add(
        self,
        cost_usd: Money | None,
        time: When,
        *,
        model: str | None = None,
        tier: str | None = None,
        category: str | None = None,
        type: str | None = None,
        tokens_in: int = 0,
        tokens_out: int = 0,
        tokens_cached: int = 0,
        tokens_written: int = 0,
        failed: bool = False,
    ) -> None:
        """A call. cost_usd: None where it is not known, which is counted, and is no zero."""
        cost = None if cost_usd is None else cost_nanos(cost_usd)
        where = self.names.where(model, tier, category, type)
        tokens = (tokens_in, tokens_out, tokens_cached, tokens_written)
        self.core.add(cost, as_time(time), *where, *tokens, failed)

    def report(self, by: str = "model", period: str = "none", at: When = 0) -> SpendReport:
        """A row for each name of a kind (`by`: model, tier, category, type, all) over the day, week or month that `at`
        lies in (`period`: daily, weekly, monthly), or over all time (none)."""
        return spend_report(self.core, self.names, by, period, as_time(at, "at"))

    def history(self, period: str = "daily", by: str = "all", name: str = "all") -> SpendReport:
        """A row for each day, week or month in which there were calls: of all, or of one model, tier, category or
        type."""
        return spend_history(self.core, self.names, period, by, name)

    def forecast(self, at: When, *, days: int = 28, confidence: float = 0.9) -> SpendForecast:
        """What the month that `at` lies in will have cost at its end, from its days so far and the last `days` whole
        ones."""
        return spend_forecast(self.core, as_time(at, "at"), days=days, confidence=confidence)

    def call_cost(self, model: str, *, category: str | None = None, type: str | None = None) -> CallCost:
        """What a call of a model costs, overall or in one category or task type: what quality per dollar needs."""
        if category is not None and type is not None:
            raise InvalidRecordError("category and type are both given: a context is one of them")
        context, name = ("category", category) if category is not None else ("type", type)
        return spend_call_cost(self.core, self.names, model, *(("all", "all") if name is None else (context, name)))


def spend_report(core: Core, names: Names, by: str, period: str, at: int) -> SpendReport:
    """See Spend.report; for any core."""
    scope = one_of("by", by, SCOPES)
    kind = one_of("period", period, PERIODS)
    number = core.calendar.number(kind, at)
    first, end = (core.calendar.first_day(kind, number + i) for i in (0, 1))
    rows = []
    for id in range(core.ids(scope)):
        found = core.sum(scope, id, first, end) if kind else core.total(scope, id)
        if found[1]:
            rows.append(_row("(other)" if id == core.other and by != "tier" else names.name(by, id), found))
    rows.sort(key=lambda row: (-row.cost_usd, -row.calls, row.name))
    total = core.sum(0, 0, first, end) if kind else core.total(0)
    return SpendReport(by, period_name(period, number), tuple(rows), _row("(all)", total))


def spend_history(
    core: Core,
    names: Names,
    period: str,
    by: str = "all",
    name: str = "all",
    within: tuple[str, int] | None = None,
) -> SpendReport:
    """See Spend.history; for any core. within: only days of the day, week or month that a time lies in."""
    scope, kind = one_of("by", by, SCOPES), one_of("period", period, PERIODS[1:]) + 1
    id = names.known(by, name)
    first, end, label = -ANY_DAY, ANY_DAY, "all" if by == "all" else f"{by}={name}"
    if within is not None:
        longer = one_of("period", within[0], PERIODS)
        number = core.calendar.number(longer, within[1])
        first, end = (core.calendar.first_day(longer, number + i) for i in (0, 1))
        label = f"{label} in {period_name(within[0], number)}"
    sums: dict[int, list[int]] = {}
    for row in core.days(scope, id):
        if not first <= row[0] < end:
            continue
        number = Calendar.number_of_day(kind, row[0])
        of_it = sums.setdefault(number, [0] * 9)
        for i, value in enumerate(row):
            of_it[i] += value
    rows = [_row(period_name(period, number), tuple(of_it)) for number, of_it in sums.items()]  # type: ignore[arg-type]
    older = core.older(scope, id)
    if older[1] and within is None:
        rows.insert(0, _row("(before)", older))
    total = core.total(scope, id) if within is None else core.sum(scope, id, first, end)
    return SpendReport(label, period, tuple(rows), _row("(all)", total))


def spend_call_cost(core: Core, names: Names, model: str, context: str = "all", name: str = "all") -> CallCost:
    """See Spend.call_cost; for any core."""
    id, place = names.of["model"].get(model), names.of[context].get(name)
    if id is None or place is None:
        return CallCost(0, math.nan, math.nan, math.nan)
    calls, cost, lately, out = core.call_cost(id, SCOPES.index(context), place)
    if not calls:
        return CallCost(0, math.nan, math.nan, math.nan)
    return CallCost(calls, as_usd(cost) / calls, lately / 1e9, out)


def spend_forecast(
    core: Core, at: int, *, days: int = 28, confidence: float = 0.9, scope: int = 0, id: int = 0
) -> SpendForecast:
    """See Spend.forecast; for any core, and any scope and id."""
    whole_number("days", days, 100_000)
    if not 0 < confidence < 1:
        raise InvalidRecordError(f"confidence is {confidence!r}, outside (0, 1)")
    calendar = core.calendar
    monthly = PERIODS.index("monthly")
    month, today = calendar.number(monthly, at), calendar.day(at)
    first, end = calendar.first_day(monthly, month), calendar.first_day(monthly, month + 1)
    spent = core.sum(scope, id, first, today + 1)[8]
    rows = core.days(scope, id)
    known = {row[0]: row[8] for row in rows}
    since = -ANY_DAY if core.older(scope, id)[1] else rows[0][0] if rows else today
    # The first day may have begun in the middle of it, so it is no whole day, unless nothing else is there.
    whole = [day for day in range(max(today - days, since), today) if day > since or since < today - days]
    whole = whole or [day for day in (since,) if day < today]
    start, tomorrow = calendar.start_of_day(today), calendar.start_of_day(today + 1)
    left = max(0.0, min(1.0, (tomorrow - at) / max(1, tomorrow - start)))
    to_come = [(today, left)] + [(day, 1.0) for day in range(today + 1, end)]
    name = period_name("monthly", month)
    costs = [known.get(day, 0) for day in whole]
    n = len(costs)
    if n == 0:
        passed = 1 - left
        rate = known.get(today, 0) / passed if passed > 0 else 0.0
        expected = spent + rate * sum(share for _, share in to_come)
        method = "the pace of today, the only day there is" if rate else "nothing: there is no day to go by"
        return SpendForecast(
            name,
            calendar.start_of_day(end),
            as_usd(spent),
            expected / 1e9,
            None,
            None,
            confidence,
            rate / 1e9,
            0,
            method,
        )
    mean = sum(costs) / n
    means = [mean] * 7
    fitted = 1.0
    if n >= 14:  # each day of the week twice; each drawn to the mean of all by two days' worth of it
        method = f"the mean of each day of the week in the last {n} days, drawn to that of all"
        fitted = 0.0
        for weekday in range(7):
            of = [cost for day, cost in zip(whole, costs, strict=True) if day % 7 == weekday]
            means[weekday] = (sum(of) + 2 * mean) / (len(of) + 2)
            fitted += len(of) / (len(of) + 2)
    else:
        method = f"the mean of the last {n} whole day{'s' if n > 1 else ''}"
    rest = sum(means[day % 7] * share for day, share in to_come)
    low = high = None
    if n >= 3:
        freedom = n - fitted
        residual = sum((cost - means[day % 7]) ** 2 for day, cost in zip(whole, costs, strict=True)) / freedom
        length = sum(share for _, share in to_come)
        squares = sum(share**2 for _, share in to_come)
        spread = t_quantile(freedom, 0.5 - confidence / 2) * math.sqrt(residual * (squares + length**2 / n))
        low, high = (spent + max(0.0, rest - spread)) / 1e9, (spent + rest + spread) / 1e9
    return SpendForecast(
        name,
        calendar.start_of_day(end),
        as_usd(spent),
        (spent + rest) / 1e9,
        low,
        high,
        confidence,
        mean / 1e9,
        n,
        method,
    )


def _row(name: str, found: Row) -> SpendRow:
    _, calls, unpriced, failed, tokens_in, tokens_out, cached, written, cost = found
    each = as_usd(cost) / (calls - unpriced) if calls > unpriced else math.nan
    return SpendRow(name, calls, failed, unpriced, tokens_in, tokens_out, cached, written, as_usd(cost), each)


def whole_number(field: str, value: object, most: int) -> None:
    """Raises InvalidRecordError for what is no integer in [1, most]."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise InvalidRecordError(f"{field} is {value!r}, must be an integer in [1, {most}]")


def one_of(field: str, value: object, known: tuple[str, ...]) -> int:
    if value not in known:
        close = did_you_mean(value, known) if isinstance(value, str) else ""
        raise InvalidRecordError(f"{field} is {value!r}, must be one of {', '.join(known)}{close}")
    return known.index(value)


__all__ = ["CallCost", "Spend", "SpendForecast", "SpendReport", "SpendRow"]
