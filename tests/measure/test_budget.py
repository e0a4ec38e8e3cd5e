"""Budgets against a naive model in Decimal: reserve, settle, cancel, crash, clock jumps, days that are no 24 hours."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

import fairlead as fl
from fairlead.measure.budget import Budget, Budgets, Refusal, Reservation

ZONES = ["Europe/London", "America/New_York", "Asia/Kolkata", "Pacific/Apia"]
MODELS = ["a", "b"]
CATEGORIES = ["politics", "sport"]
CENT = Decimal("0.01")
LEVELS = ("warning", "critical", "exhausted")


def period_key(period: str, zone: ZoneInfo, now: datetime) -> tuple[int, ...]:
    """The period a moment lies in, from the wall clock of the zone alone."""
    local = now.astimezone(zone)
    if period == "daily":
        return (local.toordinal(),)
    if period == "weekly":
        return tuple(local.isocalendar()[:2])
    return (local.year, local.month) if period == "monthly" else ()


@dataclass
class Naive:
    """One budget: what is spent and held by period, in dollars."""

    budget: Budget
    zone: ZoneInfo
    newest: tuple[int, ...] = ()
    spent: dict[tuple[int, ...], Decimal] = field(default_factory=dict)
    held: dict[tuple[int, ...], Decimal] = field(default_factory=dict)
    told: set[tuple[tuple[int, ...], str]] = field(default_factory=set)

    def covers(self, model: str, category: str) -> bool:
        return self.budget.scope in ("all", f"model={model}", f"category={category}")

    def key(self, now: datetime) -> tuple[int, ...]:
        """The period that counts at a time: none is left for an earlier one."""
        return max(self.newest, period_key(self.budget.period, self.zone, now))

    def left(self, now: datetime) -> Decimal:
        key = self.key(now)
        return Decimal(str(self.budget.limit_usd)) - self.spent.get(key, Decimal(0)) - self.held.get(key, Decimal(0))

    def spend(self, key: tuple[int, ...], usd: Decimal) -> None:
        self.spent[key] = self.spent.get(key, Decimal(0)) + usd
        limit = Decimal(str(self.budget.limit_usd))
        for level, share in zip(LEVELS, (Decimal("0.8"), Decimal("0.95"), Decimal(1)), strict=True):
            if usd and self.spent[key] >= limit * share:
                self.told.add((key, level))


@dataclass(frozen=True)
class Call:
    reservation: Reservation
    bound: Decimal
    keys: tuple[tuple[int, tuple[int, ...]], ...]


class BudgetMachine(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize(zone=st.sampled_from(ZONES), start=st.integers(0, 6 * 365))
    def begin(self, zone: str, start: int) -> None:
        self.zone = ZoneInfo(zone)
        self.now = datetime(2010, 1, 1, tzinfo=timezone.utc) + timedelta(days=start)
        self.naive = [
            Naive(Budget(1, "daily"), self.zone),
            Naive(Budget(3, "weekly", "model=a", on_exhausted="degrade"), self.zone),
            Naive(Budget(5, "monthly", "category=politics", on_exhausted="queue"), self.zone),
            Naive(Budget(20), self.zone),
        ]
        self.budgets = Budgets([n.budget for n in self.naive], zone=zone, now=self.now)
        for one in self.naive:
            one.newest = one.key(self.now)
        self.alerts: list[tuple[str, int, str]] = []

    @rule(
        target=calls,
        cents=st.integers(0, 60),
        model=st.sampled_from(MODELS),
        category=st.sampled_from(CATEGORIES),
    )
    def reserve(self, cents: int, model: str, category: str) -> object:
        bound = cents * CENT
        touched = [(i, one) for i, one in enumerate(self.naive) if one.covers(model, category)]
        short = [one for _, one in touched if bound > 0 and bound > one.left(self.now)]
        got = self.budgets.reserve(bound, self.now, model=model, category=category)
        if short:
            assert isinstance(got, Refusal)
            order = ("degrade", "queue", "refuse")
            assert got.on_exhausted == max((one.budget.on_exhausted for one in short), key=order.index)
            assert got.budget in {one.budget.name for one in short}
            for one in short:
                one.newest = one.key(self.now)
                if bound > one.left(self.now) + one.held.get(one.newest, Decimal(0)):
                    one.told.add((one.newest, "exhausted"))
            return multiple()
        assert isinstance(got, Reservation)
        for _, one in touched:
            one.newest = one.key(self.now)
            one.held[one.newest] = one.held.get(one.newest, Decimal(0)) + bound
        return Call(got, bound, tuple((i, one.newest) for i, one in touched))

    @rule(call=consumes(calls), cents=st.integers(0, 70))
    def settle(self, call: Call, cents: int) -> None:
        actual = cents * CENT
        over = self.budgets.settle(call.reservation, actual, self.now)
        assert Decimal(str(over)) == max(Decimal(0), actual - call.bound)
        for i, key in call.keys:
            self.naive[i].held[key] -= call.bound
            self.naive[i].spend(key, actual)
        with pytest.raises(KeyError, match="no reservation"):
            self.budgets.settle(call.reservation, actual, self.now)

    @rule(call=consumes(calls))
    def cancel(self, call: Call) -> None:
        self.budgets.cancel(call.reservation)
        for i, key in call.keys:
            self.naive[i].held[key] -= call.bound

    @rule(cents=st.integers(0, 30), model=st.sampled_from(MODELS))
    def charge(self, cents: int, model: str) -> None:
        self.budgets.charge(cents * CENT, self.now, model=model)
        for one in self.naive:
            if one.covers(model, ""):
                one.newest = one.key(self.now)
                one.spend(one.newest, cents * CENT)

    @rule(minutes=st.integers(0, 60 * 30))
    def time_passes(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @rule()
    def to_the_end_of_the_month(self) -> None:
        local = self.now.astimezone(self.zone)
        first = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=self.zone)
        self.now = first.astimezone(timezone.utc) - timedelta(microseconds=1)

    @rule(hours=st.integers(1, 24 * 40))
    def clock_jumps_back(self, hours: int) -> None:
        self.now -= timedelta(hours=hours)

    @rule()
    def crash(self) -> None:
        self.budgets = pickle.loads(pickle.dumps(self.budgets))

    @rule()
    def take_alerts(self) -> None:
        self.alerts += [(a.budget, a.period_start, a.level) for a in self.budgets.alerts()]

    @invariant()
    def the_same_as_the_model(self) -> None:
        report = self.budgets.report(self.now)
        for one in self.naive:
            row = report[one.budget.name]
            key = one.key(self.now)
            assert Decimal(str(row.spent_usd)) == one.spent.get(key, 0)
            assert Decimal(str(row.held_usd)) == one.held.get(key, 0)
            if one.budget.period != "none":
                local = datetime.fromtimestamp(row.start / 1e9, self.zone)
                assert period_key(one.budget.period, self.zone, local) == key

    def teardown(self) -> None:
        if not hasattr(self, "budgets"):
            return
        self.take_alerts()
        assert len(set(self.alerts)) == len(self.alerts)  # once in a period, for each budget and level
        expected = sum(len(one.told) for one in self.naive)
        if not self.too_old():
            assert len(self.alerts) + self.budgets.core.dropped == expected

    def too_old(self) -> int:
        """Thresholds that were reached in periods so long ago that they are one sum, where none comes up any more."""
        return sum(len(one.told) for one in self.naive if len(one.spent) + len(one.held) > 8)


BudgetMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestBudgets = BudgetMachine.TestCase


def test_alerts_are_said_for_people() -> None:
    budgets = Budgets([Budget(10, period="monthly")], zone="Europe/London", now="2026-04-02")
    budgets.charge("8.1", "2026-04-02", model="a")
    (alert,) = budgets.alerts()
    assert str(alert) == "warning: budget 'all monthly' has spent $8.10 of $10.00 (81 %) in 2026-04"
    assert alert.as_dict()["level"] == "warning"
    assert budgets.alerts() == []


def test_report_as_dict_is_json() -> None:
    import json

    budgets = Budgets([Budget(10, period="weekly", scope="tier=fast")], now="2026-04-02")
    budgets.charge(1, "2026-03-31", tier="fast")
    budgets.charge(2, "2026-04-08", tier="fast")
    report = budgets.report("2026-04-08")
    assert json.loads(json.dumps(report.as_dict()))["rows"][0]["scope"] == "tier=fast"
    assert [row.spent_usd for row in report.past] == [1.0]
    assert report["tier=fast weekly"].number == "2026-W15"
    with pytest.raises(KeyError):
        report["nobody"]


def test_a_queue_is_told_until_when() -> None:
    budgets = Budgets([Budget(1, "daily", on_exhausted="queue")], zone="America/New_York", now="2026-03-08T12:00Z")
    got = budgets.reserve(2, "2026-03-08T12:00Z")
    assert isinstance(got, Refusal)
    assert not got
    assert got.on_exhausted == "queue"
    assert got.until == fl.times.as_time("2026-03-09T04:00Z")  # midnight, an hour earlier than the day before
    assert "has $1.00 left, the call may cost $2.00, until 2026-03-09 04:00:00Z" in str(got)


def test_expire_settles_what_a_crash_left_open() -> None:
    budgets = Budgets([Budget(10)], now=0)
    budgets.reserve(3, "2026-01-01T00:00Z")
    kept = budgets.reserve(2, "2026-01-01T00:09Z")
    assert [r.bound_usd for r in budgets.held("2026-01-01T00:05Z")] == [3.0]
    assert budgets.expire("5min", "2026-01-01T00:10Z") == 1
    assert budgets.report("2026-01-01T00:10Z")["all"].spent_usd == 3
    assert budgets.held() == [kept]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"limit_usd": -1}, "limit_usd is -1"),
        ({"limit_usd": float("nan")}, "limit_usd is nan"),
        ({"limit_usd": "ten"}, "limit_usd is 'ten'"),
        ({"limit_usd": "0.0000000001"}, "finer than a nano-dollar"),
        ({"limit_usd": 1, "period": "dayly"}, "did you mean 'daily'"),
        ({"limit_usd": 1, "scope": "model"}, "must say which model"),
        ({"limit_usd": 1, "scope": "modle=x"}, "did you mean 'model'"),
        ({"limit_usd": 1, "scope": "tier=quick"}, "a tier is one of"),
        ({"limit_usd": 1, "warning": 1.2}, "warning is 1.2"),
        ({"limit_usd": 1, "warning": 0.99}, "above critical"),
        ({"limit_usd": 1, "on_exhausted": "stop"}, "on_exhausted is 'stop'"),
    ],
)
def test_what_is_no_budget_is_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(fl.InvalidRecordError, match=words):
        Budget(**arguments)  # type: ignore[arg-type]


def test_bad_calls_change_nothing() -> None:
    budgets = Budgets([Budget(10)], now=0)
    before = budgets.core.snapshot()
    for bad in (-1, "x", None, float("inf"), 2e9):
        with pytest.raises(fl.InvalidRecordError):
            budgets.reserve(bad, 0)  # type: ignore[arg-type]
    with pytest.raises(fl.InvalidRecordError, match="tier is 'quick'"):
        budgets.reserve(1, 0, tier="quick")
    with pytest.raises(KeyError):
        budgets.remove("nobody")
    with pytest.raises(TypeError):
        budgets.core.reserve("1", 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="outside"):
        budgets.core.reserve(-1, 0)
    assert budgets.core.snapshot() == before
    with pytest.raises(ValueError, match="no snapshot"):
        type(budgets.core).restore(before[:-1])
