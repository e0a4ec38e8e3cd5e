"""The life of a fleet's money against a plain model: calls, refusals, clocks that jump, processes that end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from desks import Desk
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

import fairlead as fl
from fairlead._core import fold_desk
from fairlead.journal import read

MODELS = (fl.Model("a", "one", "reasoning"), fl.Model("b", "two", "fast"))
TIER = {model.name: model.tier for model in MODELS}
CATEGORIES = ["politics", "sport"]
BUDGETS = (
    fl.Budget(1, "daily"),
    fl.Budget(3, "weekly", "model=a", on_exhausted="degrade"),
    fl.Budget(5, "monthly", "category=politics", on_exhausted="queue"),
    fl.Budget(2, "daily", "tier=fast"),
    fl.Budget(20),
)
LEVELS = ("warning", "critical", "exhausted")
CENT = Decimal("0.01")
Key = tuple[int, ...]


@dataclass(eq=False)
class Plain:
    """One budget: what is spent and held by period, in dollars."""

    budget: fl.Budget
    zone: ZoneInfo
    newest: Key = ()
    spent: dict[Key, Decimal] = field(default_factory=dict)
    held: dict[Key, Decimal] = field(default_factory=dict)
    told: set[tuple[Key, str]] = field(default_factory=set)

    def covers(self, model: str, category: str | None) -> bool:
        return self.budget.scope in ("all", f"model={model}", f"tier={TIER[model]}", f"category={category}")

    def key(self, now: datetime) -> Key:
        local = now.astimezone(self.zone)
        here = {
            "none": (),
            "daily": (local.toordinal(),),
            "weekly": tuple(local.isocalendar()[:2]),
            "monthly": (local.year, local.month),
        }[self.budget.period]
        return max(self.newest, here)  # none is left for an earlier one

    def left(self, now: datetime) -> Decimal:
        key = self.key(now)
        return Decimal(str(self.budget.limit_usd)) - self.spent.get(key, Decimal(0)) - self.held.get(key, Decimal(0))

    def hold(self, key: Key, usd: Decimal) -> None:
        self.held[key] = self.held.get(key, Decimal(0)) + usd

    def spend(self, key: Key, usd: Decimal) -> None:
        self.spent[key] = self.spent.get(key, Decimal(0)) + usd
        limit = Decimal(str(self.budget.limit_usd))
        for level, share in zip(LEVELS, (Decimal("0.8"), Decimal("0.95"), Decimal(1)), strict=True):
            if usd and self.spent[key] >= limit * share:
                self.told.add((key, level))


@dataclass(frozen=True, eq=False)
class Call:
    ticket: Any
    model: str
    category: str
    bound: Decimal
    held: tuple[tuple[Plain, Key], ...]


class Life(RuleBasedStateMachine):
    calls = Bundle("calls")

    @initialize(zone=st.sampled_from(["Europe/London", "America/New_York", "Pacific/Apia"]), start=st.integers(0, 2000))
    def begin(self, zone: str, start: int) -> None:
        self.zone = ZoneInfo(zone)
        self.desk = Desk(MODELS, datetime(2020, 1, 1, tzinfo=timezone.utc) + timedelta(days=start), journal=True)
        self.desk.budgets.set_zone(zone)
        self.plain: dict[str, Plain] = {}
        self.gone: list[Plain] = []
        self.cost: dict[tuple[str, str], Decimal] = {}
        self.n_calls = 0
        self.alerts: list[fl.Alert] = []
        self.open: list[Call] = []
        self.desk.listen(self.alerts)
        for budget in BUDGETS[:3]:
            self.define(budget)

    @rule(budget=st.sampled_from(BUDGETS))
    def define(self, budget: fl.Budget) -> None:
        self.desk.budgets.define(budget)
        if budget.name not in self.plain:
            self.plain[budget.name] = made = Plain(budget, self.zone)
            made.newest = made.key(self.desk.now)

    @rule(budget=st.sampled_from(BUDGETS))
    def remove(self, budget: fl.Budget) -> None:
        if budget.name in self.plain:
            self.desk.budgets.remove(budget.name)
            self.gone.append(self.plain.pop(budget.name))

    @rule(
        target=calls,
        cents=st.integers(0, 60),
        model=st.sampled_from(["a", "b"]),
        category=st.sampled_from(CATEGORIES),
    )
    def route(self, cents: int, model: str, category: str) -> object:
        now, bound = self.desk.now, cents * CENT
        touched = [one for one in self.plain.values() if one.covers(model, category)]
        short = [one for one in touched if bound > 0 and bound > one.left(now)]
        ticket, refused_by, then = self.desk.route(model, bound, category)
        if ticket is None and not refused_by:  # by its breaker, as long as none of its calls has succeeded
            assert sum(call.model == model for call in self.open) >= 5
            return multiple()
        if short:
            assert ticket is None
            order = ("degrade", "queue", "refuse")
            assert then == max((one.budget.on_exhausted for one in short), key=order.index)
            assert refused_by in {one.budget.name for one in short}
            for one in short:
                one.newest = one.key(now)
                if bound > one.left(now) + one.held.get(one.newest, Decimal(0)):  # what is held may come back
                    one.told.add((one.newest, "exhausted"))
            return multiple()
        assert ticket is not None
        held = []
        for one in touched:
            one.newest = one.key(now)
            one.hold(one.newest, bound)
            held.append((one, one.newest))
        call = Call(ticket, model, category, bound, tuple(held))
        self.open.append(call)
        return call

    @rule(call=consumes(calls), cents=st.integers(0, 70))
    def called(self, call: Call, cents: int) -> None:
        if call in self.open:
            self.desk.called(call.ticket, cents * CENT)
            self.pay(call, cents * CENT)
        else:  # it was lost with the process that made it
            with pytest.raises((fl.FairleadError, ValueError)):
                self.desk.called(call.ticket, cents * CENT)

    def pay(self, call: Call, usd: Decimal) -> None:
        self.open.remove(call)
        for one, key in call.held:
            if one not in self.gone:
                one.hold(key, -call.bound)
                one.spend(key, usd)
        self.count(call.model, call.category, usd)

    @rule(call=consumes(calls))
    def release(self, call: Call) -> None:
        if call in self.open:
            self.desk.release(call.ticket)
            self.open.remove(call)
            for one, key in call.held:
                one.hold(key, -call.bound)

    @rule(cents=st.integers(1, 30), model=st.sampled_from(["a", "b"]), category=st.sampled_from(CATEGORIES))
    def record(self, cents: int, model: str, category: str) -> None:
        """An answer that nobody routed, and that says what it cost."""
        self.desk.record(model, cents * CENT, category)
        for one in self.plain.values():
            if one.covers(model, category):
                one.newest = one.key(self.desk.now)
                one.spend(one.newest, cents * CENT)
        self.count(model, category, cents * CENT)

    def count(self, model: str, category: str, usd: Decimal) -> None:
        self.n_calls += 1
        for by, name in (("model", model), ("tier", TIER[model]), ("category", category)):
            self.cost[by, name] = self.cost.get((by, name), Decimal(0)) + usd

    @rule(minutes=st.integers(0, 60 * 30))
    def time_passes(self, minutes: int) -> None:
        self.desk.now += timedelta(minutes=minutes)

    @rule()
    def to_the_end_of_the_month(self) -> None:
        local = self.desk.now.astimezone(self.zone)
        first = datetime(local.year + local.month // 12, local.month % 12 + 1, 1, tzinfo=self.zone)
        self.desk.now = first.astimezone(timezone.utc) - timedelta(microseconds=1)

    @rule(hours=st.integers(1, 24 * 40))
    def the_clock_jumps_back(self, hours: int) -> None:
        self.desk.now -= timedelta(hours=hours)

    @rule()
    def reopen(self) -> None:
        """Another process: it knows what the journal says, and counts calls that never ended at what was held."""
        self.desk.reopen()
        self.desk.listen(self.alerts)
        for call in tuple(self.open):
            self.pay(call, call.bound)

    @invariant()
    def the_same_as_the_plain_model(self) -> None:
        state = self.desk.budgets.state()
        assert {row.budget for row in state} == set(self.plain)
        for row in state:
            one = self.plain[row.budget]
            key = one.key(self.desk.now)
            assert Decimal(str(row.spent_usd)) == one.spent.get(key, 0)
            assert Decimal(str(row.held_usd)) == one.held.get(key, 0)
        for by in ("model", "tier", "category"):
            report = self.desk.costs(by)
            assert {row.name: Decimal(str(row.cost_usd)) for row in report} == {
                name: usd for (kind, name), usd in self.cost.items() if kind == by
            }
            assert report.total.calls == self.n_calls
        told = sum(len(one.told) for one in (*self.plain.values(), *self.gone))
        if not any(len(one.spent) + len(one.held) > 8 for one in (*self.plain.values(), *self.gone)):
            assert len(self.alerts) == told  # each at once; of periods that are one sum none comes up

    def teardown(self) -> None:
        if not hasattr(self, "desk"):
            return
        assert self.desk.folder is not None
        self.desk.fleet.close()
        replayed, found = fold_desk(f"{self.desk.folder.name}/desk", snapshots=False)
        assert replayed.state() == self.desk.fleet._core.state()
        assert found["warnings"] == []
        assert replayed.passed_over == (0, 0)
        logged = Counter(
            (e.data["budget"], e.data["level"]) for e in read(f"{self.desk.folder.name}/desk", types="alert")
        )
        assert logged == Counter((alert.budget, alert.level) for alert in self.alerts)
        self.desk.close()


Life.TestCase.settings = settings(
    max_examples=25, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLife = Life.TestCase
