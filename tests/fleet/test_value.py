"""Quality for money: what the fleet says a dollar buys is its estimate over the cost of calls lately."""

from __future__ import annotations

import math
import random
from datetime import datetime, timezone

import pytest

import fairlead as fl
from fairlead.measure.spend import CallCost
from fairlead.measure.value import value_report, value_row
from fairlead.policy.route import Objective
from fairlead.providers import Answer

NOW = int(datetime(2026, 3, 28, tzinfo=timezone.utc).timestamp()) * 10**9
USD = {"good": 0.01, "cheap": 0.001, "home": 0.0}
RIGHT = {"good": 0.95, "cheap": 0.7, "home": 0.6}


@pytest.fixture
def fleet() -> fl.Fleet:
    """Three models that answered 60 tasks, and one that was never asked; in `sport` good has been called 4 times."""
    fleet, dice = fl.Fleet(clock=lambda: NOW), random.Random(2)
    fleet.classifier = None
    for name in (*USD, "new"):
        fleet.add(name)
    for i in range(60):
        task = fl.Task(f"q-{i}", category="sport" if i < 4 else "politics")
        outcome = dice.randrange(2)
        for name, usd in USD.items():
            usd = 3 * usd if task.category == "sport" else usd
            right = dice.random() < RIGHT[name]
            forecast = fl.Forecast(name, p=0.9 if (outcome == 1) == right else 0.1, cost_usd=usd)
            route = fleet.route(task, pin=name, type="reasoning", bounds={name: usd})
            assert route
            fleet.called(route, Answer(forecast))
            fleet.record(task, forecast)
        fleet.settle(task, outcome)
    return fleet


def test_what_a_dollar_buys(fleet: fl.Fleet) -> None:
    report = fleet.costs.value()
    assert [row.model for row in report] == ["home", "cheap", "good", "new"]  # free, ..., not known
    for row in report:
        quality, spread, n = next(rest for name, *rest in fleet._core.estimate("binary", ()) if name == row.model)
        cost = fleet.costs.per_call(row.model)
        assert (row.quality, row.spread, row.results) == (quality, spread, n)
        assert row.calls == cost.calls == (60 if row.model in USD else 0)
        if row.model in ("cheap", "good"):
            assert row.usd_per_call == cost.lately_usd == pytest.approx((56 * 1 + 4 * 3) / 60 * USD[row.model])
            assert row.per_usd == pytest.approx(row.quality / row.usd_per_call)
    assert report["good"].quality > report["cheap"].quality > report["home"].quality
    assert (report["home"].per_usd, report["home"].usd_per_call) == (math.inf, 0)
    assert math.isnan(report["new"].per_usd)
    assert report["new"].spread > 3 * report["good"].spread
    with pytest.raises(KeyError):
        report["nobody"]
    lines = str(report).splitlines()
    assert lines[0].split() == ["overall", "quality", "+-", "results", "a", "call", "calls", "quality", "a", "dollar"]
    assert lines[1].split()[-1] == "free"
    assert lines[4].split()[-3:] == ["-", "0", "-"]
    assert report.as_dict()["rows"][1]["model"] == "cheap"


def test_in_a_context(fleet: fl.Fleet) -> None:
    politics = fleet.costs.value(category="politics")
    assert (politics.context, politics["good"].calls) == ("category=politics", 56)
    assert politics["good"].usd_per_call == pytest.approx(0.01)
    # Four calls are too few to believe their cost; the quality is of that context all the same.
    sport = fleet.costs.value(category="sport")
    assert sport["good"].usd_per_call == fleet.costs.value()["good"].usd_per_call
    assert sport["good"].quality != politics["good"].quality
    assert fleet.costs.value(type="reasoning")["good"].calls == 60
    assert fleet.costs.value(kind="numeric")["good"].results == 0


def test_the_router_goes_by_it(fleet: fl.Fleet) -> None:
    """Among models that cost something, `value` without exploration takes the one that the table has first."""
    fleet.remove("home")
    fleet.remove("new")
    best = fleet.costs.value(category="politics").rows[0].model
    route = fleet.route(fl.Task("next", category="politics"), objective=Objective("value", explore=0))
    assert route.model == best == "cheap"


def test_rows_in_their_order() -> None:
    rows = [
        value_row("unknown", math.nan, math.nan, 0, CallCost(9, 0.1, 0.1, 5)),
        value_row("b", 0.8, 0.1, 9, CallCost(9, 0.1, 0.1, 5)),
        value_row("a", 0.8, 0.1, 9, CallCost(9, 0.1, 0.1, 5)),
        value_row("free, worse", 0.6, 0.1, 9, CallCost(9, 0, 0, 5)),
        value_row("free, better", 0.9, 0.1, 9, CallCost(9, 0, 0, 5)),
        value_row("never called", 0.9, 0.1, 9, CallCost(0, math.nan, math.nan, math.nan)),
    ]
    report = value_report("overall", rows)
    assert [row.model for row in report] == ["free, better", "free, worse", "a", "b", "never called", "unknown"]
    assert len(report) == 6
