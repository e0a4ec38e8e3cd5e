"""The fleet's budgets and costs, in words and in sums."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from desks import Desk

import fairlead as fl
from fairlead.measure.calendar import calendar_of
from fairlead.measure.student import t_quantile
from fairlead.providers import Usage, cost_of

NOON = datetime(2026, 3, 28, 12, tzinfo=timezone.utc)
MODELS = (
    fl.Model("gpt-5", "openai", "reasoning", price_in=1.25, price_out=10, price_cached=0.125),
    fl.Model("gpt-5-mini", "openai", "standard", price_in=0.25, price_out=2, price_cached=0.025),
    fl.Model("haiku", "anthropic", "fast", price_in=1, price_out=5, price_cached=0.1, price_written=1.25),
)


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk(MODELS, NOON, journal=True)
    yield desk
    desk.close()


# --- budgets ----------------------------------------------------------------------------------------------------------


def test_budgets_are_defined_changed_and_removed(desk: Desk) -> None:
    budgets = desk.budgets
    assert (len(budgets), list(budgets), str(budgets)) == (0, [], "no budgets")
    daily = fl.Budget(10, "daily", on_exhausted="queue")
    model = fl.Budget(4, "weekly", "model=gpt-5", name="dear")
    third = fl.Budget(1, "monthly", "category=politics", warning=1 / 3)
    budgets.define(daily, model, third)
    assert list(budgets)[:2] == [daily, model]
    assert budgets["dear"] == model
    assert daily in budgets
    assert third in budgets  # though a third is kept as parts per million
    assert "dear" in budgets
    assert fl.Budget(5, "weekly", "model=gpt-5", name="dear") not in budgets
    assert 3 not in budgets
    assert repr(budgets) == "<budgets: 'all daily', 'dear', 'category=politics monthly'>"
    assert [row.budget for row in budgets.state()] == ["all daily", "dear", "category=politics monthly"]

    before = desk.logged()
    budgets.define(daily, third)  # the same again, as when a program starts
    assert desk.logged() == before
    desk.call("gpt-5", 2)
    budgets.define(fl.Budget(5, "weekly", "model=gpt-5", name="dear"))  # goes on with what is spent
    assert desk.logged() == before + 1
    assert (budgets.state()["dear"].spent_usd, budgets.state()["dear"].left_usd) == (2, 3)
    budgets.define(fl.Budget(5, "daily", "model=gpt-5", name="dear"))  # another period: anew
    assert budgets.state()["dear"].spent_usd == 0
    budgets.remove("dear")
    budgets.remove(daily)
    assert [budget.name for budget in budgets] == [third.name]


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda b: b.define(fl.Budget(1, scope="model=gpt5")), "no model 'gpt5' .*did you mean 'gpt-5'"),
        (lambda b: b.define(25), "budget is 25, must be a Budget"),
        (lambda b: b.define(fl.Budget(1), "x"), "budget is 'x'"),
        (lambda b: b.define(fl.Budget(1, name="\ud800")), "name is .*no text"),
        (lambda b: b.define(fl.Budget(1, scope="category=\ud800", name="x")), "category is .*no text"),
        (lambda b: b.remove("all dayly"), "no budget of the fleet; did you mean 'all daily'"),
        (lambda b: b.remove(3), "name is 3, must be a string"),
        (lambda b: b["x"], "name is 'x', no budget"),
        (lambda b: b.set_zone("Europe/Londn"), "did you mean 'Europe/London'"),
        (lambda b: b.state("yesterday"), "at is 'yesterday'"),
        (lambda b: b.on_alert(3), "callback is 3"),
        (lambda b: b.forget(print), "was not told"),
    ],
)
def test_what_cannot_be_is_told_and_changes_nothing(desk: Desk, what: Callable[[Any], object], words: str) -> None:
    desk.budgets.define(fl.Budget(10, "daily"))
    before, events = str(desk.budgets), desk.logged()
    with pytest.raises(fl.InvalidRecordError, match=words):
        what(desk.budgets)
    assert (str(desk.budgets), desk.logged()) == (before, events)


def test_a_call_falls_under_16_budgets_at_most(desk: Desk) -> None:
    scopes = ("all", "model=gpt-5", "model=haiku", "tier=fast", "category=politics")
    for scope in scopes:
        desk.budgets.define(*(fl.Budget(1, scope=scope, name=f"{scope} {i}") for i in range(4)))
    before = desk.logged()
    for scope in scopes:
        with pytest.raises(fl.InvalidRecordError, match="'more', with which one call could fall under more than 16"):
            desk.budgets.define(fl.Budget(1, scope=scope, name="more"))
    assert desk.logged() == before
    desk.budgets.define(fl.Budget(1, scope="model=gpt-5-mini"))
    desk.budgets.remove("all 0")
    desk.budgets.define(fl.Budget(1, scope="category=politics", name="more"))


def test_what_does_not_fit_is_refused_and_counted(desk: Desk) -> None:
    desk.budgets.define(fl.Budget(3, "daily"), fl.Budget(1, "daily", "category=politics"))
    assert desk.call("gpt-5", 1, category="politics")
    assert not desk.call("gpt-5", 1, category="politics")
    assert desk.call("gpt-5", 2, category="sport")
    assert not desk.call("gpt-5-mini", 0.001)
    state = desk.budgets.state()
    assert [(row.spent_usd, row.refused, row.alerts) for row in state] == [
        (3, 1, ("warning", "critical", "exhausted")),
        (1, 1, ("warning", "critical", "exhausted")),
    ]


@pytest.mark.parametrize("zone", ["Europe/London", "America/New_York", "Asia/Kolkata", "UTC"])
def test_days_and_months_are_those_of_the_zone(zone: str) -> None:
    """Across both changes of the clock and the ends of two months, each hour: what the wall clock says."""
    for start in (datetime(2026, 3, 27, tzinfo=timezone.utc), datetime(2026, 10, 24, tzinfo=timezone.utc)):
        desk = Desk(MODELS, start)
        desk.budgets.set_zone(zone)
        desk.budgets.define(fl.Budget(1000, "daily"), fl.Budget(1000, "weekly"), fl.Budget(1000, "monthly"))
        sums: dict[str, dict[str, int]] = {"day": {}, "week": {}, "month": {}}
        for hour in range(24 * 9):
            desk.now = start + timedelta(hours=hour, minutes=30)
            assert desk.call("gpt-5", 1)
            wall = desk.now.astimezone(ZoneInfo(zone))
            year, week, _ = wall.isocalendar()
            names = {"day": wall.strftime("%Y-%m-%d"), "week": f"{year}-W{week:02d}", "month": wall.strftime("%Y-%m")}
            for by, name in names.items():
                sums[by][name] = sums[by].get(name, 0) + 1
            state = desk.budgets.state()
            for row, (by, name) in zip(state, names.items(), strict=True):
                assert (row.number, row.spent_usd) == (name, sums[by][name]), (by, desk.now)
        for by, expected in sums.items():
            assert {row.name: row.cost_usd for row in desk.costs(by)} == expected
        month = desk.now.astimezone(ZoneInfo(zone)).strftime("%Y-%m")
        assert desk.costs("model", "monthly").total.cost_usd == sums["month"][month]
        days = desk.costs("day", "monthly")
        assert {row.name: row.cost_usd for row in days} == {
            name: cost for name, cost in sums["day"].items() if name.startswith(month)
        }
        assert days.total.cost_usd == sums["month"][month]


def test_setting_the_zone_again_is_no_news(desk: Desk) -> None:
    desk.budgets.set_zone("UTC")
    assert desk.logged() == 0
    desk.budgets.set_zone("Europe/London")
    desk.budgets.set_zone("Europe/London")
    desk.budgets.set_zone(calendar_of("Europe/London"))
    assert desk.logged() == 1


# --- costs ------------------------------------------------------------------------------------------------------------


def test_costs_to_the_nano_dollar(desk: Desk) -> None:
    """Random calls with cached and written tokens; every table against sums in Decimal of list prices."""
    dice, calls = random.Random(7), []
    for _ in range(200):
        model = dice.choice(MODELS)
        read = dice.randrange(5000)
        cached = dice.randrange(read + 1)
        usage = Usage(read, dice.randrange(900), cached, dice.randrange(read - cached + 1))
        where = {"category": dice.choice(["politics", "sport"]), "type": dice.choice(["reasoning", "simple"])}
        desk.now += timedelta(hours=dice.randrange(9))
        assert desk.call(model.name, cost_of(model, usage), usage=usage, **where)
        plain = read - usage.cached_tokens - usage.cache_write_tokens
        dollars = (
            plain * Decimal(str(model.price_in))
            + usage.cached_tokens * Decimal(str(model.price_cached))
            + usage.cache_write_tokens * Decimal(str(model.price_written or model.price_in))
            + usage.output_tokens * Decimal(str(model.price_out))
        )
        nanos = math.ceil(dollars * 1000)  # a millionth of dollars, in nano-dollars; rounded up once, a call
        calls.append((model, where, desk.now, usage, nanos))

    def check(report: fl.SpendReport, key: Callable[[Any], str], mine: list[Any]) -> None:
        assert {row.name for row in report} == {key(call) for call in mine}
        for row in (*report, report.total):
            of = [call for call in mine if row.name in ("(all)", key(call))]
            assert round(row.cost_usd * 1e9) == sum(call[4] for call in of)
            assert row.calls == len(of)
            assert row.tokens_in == sum(call[3].input_tokens for call in of)
            assert row.tokens_out == sum(call[3].output_tokens for call in of)
            assert row.tokens_cached == sum(call[3].cached_tokens for call in of)
            assert row.tokens_written == sum(call[3].cache_write_tokens for call in of)

    costs = desk.costs
    keys: dict[str, Callable[[Any], str]] = {
        "model": lambda call: str(call[0].name),
        "tier": lambda call: str(call[0].tier),
        "category": lambda call: str(call[1]["category"]),
        "type": lambda call: str(call[1]["type"]),
        "day": lambda call: str(call[2].strftime("%Y-%m-%d")),
        "month": lambda call: str(call[2].strftime("%Y-%m")),
    }
    month = [call for call in calls if call[2].strftime("%Y-%m") == desk.now.strftime("%Y-%m")]
    for by, key in keys.items():
        check(costs(by), key, calls)
        check(costs(by, "monthly"), key, month)
        check(costs(by, "monthly", at=calls[0][2]), key, [c for c in calls if c[2].month == calls[0][2].month])
    check(costs("day", category="sport"), keys["day"], [call for call in calls if call[1]["category"] == "sport"])
    check(
        costs("week", "none", tier="fast"),
        lambda call: call[2].strftime("%G-W%V"),
        [c for c in calls if c[0].tier == "fast"],
    )
    total = sum(call[4] for call in calls)
    assert sum(round(row.cost_usd * 1e9) for row in costs("model")) == total
    mini = [call[4] for call in calls if call[0].name == "gpt-5-mini" and call[1]["type"] == "simple"]
    assert costs.per_call("gpt-5-mini", type="simple").calls == len(mini)
    assert costs.per_call("gpt-5-mini", type="simple").mean_usd == pytest.approx(sum(mini) / len(mini) / 1e9)
    assert repr(costs) == "<costs of 200 calls>"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (lambda c: c("daay"), "by is 'daay', .*did you mean 'day'"),
        (lambda c: c("all"), "by is 'all'"),
        (lambda c: c("model", "dayly"), "period is 'dayly', .*did you mean 'daily'"),
        (lambda c: c("model", model="gpt-5"), "which by='model' does not take: use by='day'"),
        (lambda c: c("day", model="gpt5"), "which was never seen; did you mean 'gpt-5'"),
        (lambda c: c("day", model="gpt-5", tier="fast"), "are given: costs are added up by one"),
        (lambda c: c("day", at="x"), "at is 'x'"),
        (lambda c: c.forecast(model="x"), "model is 'x', which was never seen"),
        (lambda c: c.forecast(days=0), "days is 0"),
        (lambda c: c.value(category="x"), "category is 'x', which was never seen"),
        (lambda c: c.value(kind="categorical"), "kind is 'categorical', must be one of binary, numeric"),
    ],
)
def test_questions_that_make_no_sense(desk: Desk, what: Callable[[Any], object], words: str) -> None:
    desk.call("gpt-5", 1)
    with pytest.raises(fl.InvalidRecordError, match=words):
        what(desk.costs)


def test_the_forecast_is_what_is_computed_directly() -> None:
    """With fewer than 14 days: what is spent, and the mean day for each that is left; Student's interval."""
    dice = random.Random(3)
    desk = Desk(MODELS, datetime(2026, 4, 1, 9, tzinfo=timezone.utc))
    days = [[round(dice.uniform(0, 3), 6) for _ in range(3)] for _ in range(11)]
    for number, costs in enumerate(days, start=1):
        for hour, usd in zip((1, 9, 17), costs, strict=True):
            desk.now = datetime(2026, 4, number, hour, tzinfo=timezone.utc)
            assert desk.call("gpt-5" if hour == 1 else "haiku", usd)
    desk.now = datetime(2026, 4, 11, 18, tzinfo=timezone.utc)
    found = desk.costs.forecast(confidence=0.8)
    # The first day may have begun in the middle of it: it is no whole one.
    whole = [sum(costs) for costs in days[1:10]]
    left, mean = 19.25, sum(whole) / 9
    spent = sum(map(sum, days))
    deviation = math.sqrt(sum((day - mean) ** 2 for day in whole) / 8)
    half = t_quantile(8, 0.1) * deviation * math.sqrt(19 + 0.25**2 + left**2 / 9)
    assert found.spent_usd == pytest.approx(spent)
    assert found.expected_usd == pytest.approx(spent + left * mean)
    assert found.high_usd == pytest.approx(spent + left * mean + half)
    assert found.low_usd == pytest.approx(spent + max(0, left * mean - half))
    assert (found.month, found.days) == ("2026-04", 9)
    assert found.end == int(datetime(2026, 5, 1, tzinfo=timezone.utc).timestamp()) * 10**9
    early = [costs[0] for costs in days]
    alone = desk.costs.forecast(model="gpt-5")
    assert alone.expected_usd == pytest.approx(sum(early) + left * sum(early[1:10]) / 9)
    assert desk.costs.forecast(tier="fast").spent_usd == pytest.approx(spent - sum(early))
