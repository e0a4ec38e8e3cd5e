"""Spending against sums written out, and the forecast against what is known of it."""

from __future__ import annotations

import math
import pickle
import random
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from statistics import mean
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead.measure.spend import Spend

UTC = timezone.utc
CALLS = st.lists(
    st.tuples(
        st.integers(0, 90 * 24 * 60),  # minutes
        st.sampled_from(["a", "b", None]),
        st.sampled_from(["reasoning", "fast"]),
        st.sampled_from(["politics", "sport", None]),
        st.one_of(st.none(), st.integers(0, 10**10)),
        st.integers(0, 10_000),
    ),
    max_size=40,
)


@given(calls=CALLS, zone=st.sampled_from(["Europe/London", "America/New_York", "Asia/Kolkata"]))
def test_reports_are_the_sums(calls: list[tuple[int, str | None, str, str | None, int | None, int]], zone: str) -> None:
    spend = Spend(zone)
    start = datetime(2026, 2, 20, tzinfo=UTC)
    for minutes, model, tier, category, nanos, tokens in calls:
        cost = None if nanos is None else Decimal(nanos).scaleb(-9)
        spend.add(cost, start + timedelta(minutes=minutes), model=model, tier=tier, category=category, tokens_in=tokens)
    spend = pickle.loads(pickle.dumps(spend))

    def month(minutes: int) -> str:
        return (start + timedelta(minutes=minutes)).astimezone(ZoneInfo(zone)).strftime("%Y-%m")

    at = datetime(2026, 4, 15, tzinfo=UTC)
    for by, column in (("model", 1), ("tier", 2), ("category", 3)):
        report = spend.report(by, "monthly", at)
        mine = [call for call in calls if month(call[0]) == "2026-04" and call[column] is not None]
        assert {row.name for row in report} == {call[column] for call in mine}
        for row in report:
            of = [call for call in mine if call[column] == row.name]
            assert row.calls == len(of)
            assert row.unpriced == sum(call[4] is None for call in of)
            assert round(row.cost_usd * 1e9) == sum(call[4] or 0 for call in of)
            assert row.tokens_in == sum(call[5] for call in of)
    history = spend.history("monthly")
    assert {row.name: row.calls for row in history} == {
        name: sum(month(call[0]) == name for call in calls) for name in {month(call[0]) for call in calls}
    }
    assert history.total.calls == len(calls)


def test_the_month_of_steady_days() -> None:
    spend = Spend()
    for day in range(1, 16):
        for hour in (0, 12):
            spend.add(1, datetime(2026, 4, day, hour, tzinfo=UTC), model="a")
    forecast = spend.forecast(datetime(2026, 4, 16, tzinfo=UTC))
    assert forecast.month == "2026-04"
    assert forecast.spent_usd == 30
    assert forecast.expected_usd == pytest.approx(60)
    assert forecast.low_usd == pytest.approx(60)  # no day differs from another
    assert forecast.high_usd == pytest.approx(60)
    assert "weekly" not in forecast.method
    half = spend.forecast(datetime(2026, 4, 16, 12, tzinfo=UTC))
    assert half.expected_usd == pytest.approx(59)  # half of today has gone by with nothing spent
    assert "expected at its end" in str(half)
    assert half.as_dict()["days"] == 14


def test_weekdays_are_told_apart_once_there_are_enough() -> None:
    def month(days: int) -> tuple[float, float]:
        spend = Spend()
        end = datetime(2026, 4, 17, tzinfo=UTC)  # a Friday; 14 days to come, 4 of a weekend
        for back in range(1, days + 1):
            day = end - timedelta(days=back)
            spend.add(1 if day.weekday() >= 5 else 10, day)
        forecast = spend.forecast(end)
        return forecast.expected_usd - forecast.spent_usd, 104.0

    rest, true = month(60)
    assert abs(rest - true) < 8
    flat, _ = month(6)
    assert flat != pytest.approx(rest)


def test_the_interval_holds_as_often_as_it_says() -> None:
    dice = random.Random(4)
    held = 0
    for _ in range(300):
        spend, days = Spend(), [dice.gauss(10, 3) for _ in range(30)]
        for i, cost in enumerate(days[:20]):
            spend.add(max(cost, 0), datetime(2026, 4, i + 1, tzinfo=UTC))
        forecast = spend.forecast(datetime(2026, 4, 21, tzinfo=UTC), confidence=0.8)
        assert forecast.low_usd is not None
        assert forecast.high_usd is not None
        held += forecast.low_usd <= sum(max(cost, 0) for cost in days) <= forecast.high_usd
    assert 0.72 < held / 300 < 0.88


def test_a_forecast_with_next_to_nothing() -> None:
    spend = Spend()
    at = datetime(2026, 4, 10, 6, tzinfo=UTC)
    nothing = spend.forecast(at)
    assert (nothing.expected_usd, nothing.low_usd) == (0, None)
    assert "no day to go by" in nothing.method
    spend.add(1, at)
    today = spend.forecast(at)
    assert today.expected_usd == pytest.approx(1 + 4 * 20.75)
    assert today.low_usd is None
    for bad in (0, True, "x"):
        with pytest.raises(fl.InvalidRecordError, match="days is"):
            spend.forecast(at, days=bad)  # type: ignore[arg-type]
    with pytest.raises(fl.InvalidRecordError, match="confidence"):
        spend.forecast(at, confidence=1)


def test_call_cost_in_context() -> None:
    spend = Spend()
    costs = [random.Random(1).uniform(0, 1) for _ in range(50)]
    for i, cost in enumerate(costs):
        spend.add(cost, 0, model="a", category="x" if i % 2 else "y", type="reasoning", tokens_out=i)
    spend.add(None, 0, model="a", category="x")
    found = spend.call_cost("a")
    assert found.calls == 50
    assert found.mean_usd == pytest.approx(mean(costs))
    assert found.lately_usd == pytest.approx(mean(costs))  # so far the same
    assert spend.call_cost("a", category="x").mean_usd == pytest.approx(mean(costs[1::2]))
    assert spend.call_cost("a", type="reasoning").tokens_out == pytest.approx(24.5)
    assert math.isnan(spend.call_cost("nobody").mean_usd)
    assert spend.call_cost("a", category="z").calls == 0


def test_bounded_names_and_days() -> None:
    spend = Spend(days=3, max_ids=2)
    for i in range(10):
        spend.add("0.01", datetime(2026, 4, i + 1, tzinfo=UTC), model=f"m{i}")
    report = spend.report("model")
    assert [row.name for row in report] == ["(other)", "m0", "m1"]
    assert report["(other)"].calls == 8
    assert [row.name for row in spend.history()] == ["(before)", "2026-04-08", "2026-04-09", "2026-04-10"]
    assert spend.history().total.cost_usd == 0.1


def test_bad_calls_change_nothing() -> None:
    spend = Spend()
    spend.add(1, 0, model="a")
    before = spend.core.snapshot()
    for bad in ({"tokens_in": -1}, {"tokens_cached": 1}, {"tokens_in": 5, "tokens_written": 6}):
        with pytest.raises(ValueError, match="tokens"):
            spend.add(1, 0, **bad)  # type: ignore[arg-type]
    with pytest.raises(fl.InvalidRecordError, match="cost_usd is -1"):
        spend.add(-1, 0)
    with pytest.raises(fl.InvalidRecordError, match="did you mean 'model'"):
        spend.report("modle")
    with pytest.raises(fl.InvalidRecordError, match="which was never seen"):
        spend.history("daily", "model", "b")
    assert spend.core.snapshot() == before
