"""What can be read of a fleet: windows, slices, tables and decisions; and that no record can be changed."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable

import pytest

import fairlead as fl


def test_recent_windows_are_folded_from_the_outcomes_inside_them() -> None:
    fleet = fl.Fleet()
    fleet.add("a")
    hour = 3600 * 10**9
    for i, (p, outcome) in enumerate([(0.9, 1), (0.6, 0), (0.2, 0), (0.7, 1)]):
        task = fl.Task(f"q-{i}", category="even" if i % 2 == 0 else "odd")
        fleet.record(task, fl.Forecast("a", p=p))
        fleet.settle(task, outcome, time=(i + 1) * hour)
    day = fleet.recent("a", "24h", now=4 * hour)
    assert day.count == 4
    assert day.mean == pytest.approx((0.01 + 0.36 + 0.04 + 0.09) / 4)
    assert (day.min, day.max) == (pytest.approx(0.01), pytest.approx(0.36))
    assert day.rate == pytest.approx(4 / 86400)
    last_two = fleet.recent("a", "2h", now=4 * hour)
    assert (last_two.count, last_two.mean) == (2, pytest.approx((0.04 + 0.09) / 2))
    assert fleet.recent("a", "24h", now=4 * hour, category="odd").mean == pytest.approx((0.36 + 0.09) / 2)
    empty = fleet.recent("a", "1h", now=30 * hour)
    assert empty.count == 0
    assert math.isnan(empty.mean)
    with pytest.raises(fl.UnknownModelError, match="nobody"):
        fleet.recent("nobody", "24h")
    with pytest.raises(fl.InvalidRecordError, match="category=none"):
        fleet.recent("a", "24h", category="none")
    with pytest.raises(fl.InvalidRecordError, match="span"):
        fleet.recent("a", "tomorrow")


def test_windows_of_different_kinds_are_not_mixed() -> None:
    fleet = fl.Fleet()
    fleet.add("a")
    binary, number = fl.Task("b"), fl.Task("n", kind="numeric")
    fleet.record(binary, fl.Forecast("a", p=0.9))
    fleet.record(number, fl.Forecast("a", value=100.0))
    fleet.settle(binary, 1, time=5)
    assert fleet.recent("a", "1s", now=10).mean == pytest.approx(0.01)
    fleet.settle(number, 90, time=6)
    with pytest.raises(fl.InvalidRecordError, match="binary and numeric"):
        fleet.recent("a", "1s", now=10)
    assert fleet.recent("a", "1s", now=10, kind="binary").mean == pytest.approx(0.01)
    assert fleet.recent("a", "1s", now=10, kind="numeric").mean == pytest.approx(100.0)
    with pytest.raises(fl.InvalidRecordError, match="span is 50"):
        fleet.recent("a", 50)  # type: ignore[arg-type]


def test_skill_at_probabilities_says_nothing_of_numbers() -> None:
    fleet = fl.Fleet()
    for name in ("sharp", "dull"):
        fleet.add(name)
    for i in range(30):
        task = fl.Task(f"b-{i}")
        fleet.record(task, fl.Forecast("sharp", p=0.9))
        fleet.record(task, fl.Forecast("dull", p=0.1))
        fleet.settle(task, 1, time=i + 1)
    number = fl.Task("n", kind="numeric")
    fleet.record(number, fl.Forecast("sharp", value=100.0))
    fleet.record(number, fl.Forecast("dull", value=101.0))
    decision = fleet.decide(number)
    assert decision.weights == {"sharp": 0.5, "dull": 0.5}
    assert decision.uncertainty == pytest.approx(0.5)  # the spread, as no error is known
    assert decision.position_scale == 0.0


def test_a_slice_has_its_own_cost_and_failures() -> None:
    fleet = fl.Fleet()
    fleet.add("a")
    for category, cost in (("dear", 1.0), ("cheap", 0.01)):
        task = fl.Task(category, category=category)
        fleet.record(task, fl.Forecast("a", p=0.5, cost_usd=cost))
    fleet.record("cheap", fl.Forecast("a", error="timeout", cost_usd=0.02))
    cheap, dear = fleet.leaderboard(category="cheap")["a"], fleet.leaderboard(category="dear")["a"]
    assert (cheap.cost_usd, cheap.failed, cheap.calls) == (pytest.approx(0.03), 1, 2)
    assert (dear.cost_usd, dear.failed, dear.calls) == (1.0, 0, 1)
    assert fleet.leaderboard()["a"].cost_usd == pytest.approx(1.03)


def test_a_column_of_zeros_is_shown_where_zero_means_something() -> None:
    fleet = fl.Fleet()
    fleet.add("wrong")
    task = fl.Task("q")
    fleet.record(task, fl.Forecast("wrong", p=0.0))
    fleet.settle(task, 1)
    header = str(fleet.leaderboard()).splitlines()[0]
    assert "accuracy" in header
    assert "cost" not in header
    fleet = fl.Fleet()
    fleet.add("right")
    fleet.record(task, fl.Forecast("right", p=1.0))
    fleet.settle(task, 1)
    assert "brier" in str(fleet.leaderboard())


def test_records_are_frozen_all_through() -> None:
    task = fl.Task("q", kind="categorical", labels=("up", "down"), slices={"desk": "rates"})
    forecast = fl.Forecast("a", p={"up": 0.4, "down": 0.6})
    for mapping in (task.slices, forecast.p):
        assert isinstance(mapping, dict)
        with pytest.raises(TypeError, match="cannot be changed"):
            mapping["up"] = 7  # type: ignore[assignment]
        with pytest.raises(TypeError, match="cannot be changed"):
            mapping.update(up=7)  # type: ignore[call-arg]
    assert hash(task) == hash(copy.deepcopy(task))
    assert pickle.loads(pickle.dumps(forecast)) == forecast


@pytest.mark.parametrize(
    "call", [lambda f: f.add(3), lambda f: f.record(5, fl.Forecast("a", p=0.5)), lambda f: f.decide(5)]
)
def test_what_is_no_record_is_named(call: Callable[[fl.Fleet], object]) -> None:
    fleet = fl.Fleet()
    fleet.add("a")
    with pytest.raises(fl.InvalidRecordError, match=r"is [35], must be a"):
        call(fleet)
    with pytest.raises(fl.InvalidRecordError, match="must be a Forecast"):
        fleet.record(fl.Task("q"), {"model": "a"})  # type: ignore[arg-type]
    assert fleet.open_tasks == ()


def test_a_decision_prints_in_one_line() -> None:
    fleet = fl.Fleet()
    fleet.add("a")
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.75))
    text = str(fleet.decide("q"))
    assert text == (
        "q: 0.75 (a 100%; uncertainty 0.75, disagreement 0, position scale 0.50): a is the only model that answered"
    )


def test_a_decision_from_outside_is_validated() -> None:
    fleet = fl.Fleet(clock=lambda: 7)
    fleet.add("a")
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.75))
    good = fleet.decide("q").to_dict()
    assert fl.Decision.from_dict(good) == fleet.decide("q")
    for field, value in {"task": 5, "disagreement": 99, "weights": {"a": 3.0}, "p": 5.0, "value": 1.0}.items():
        with pytest.raises(fl.InvalidRecordError, match=field):
            fl.Decision.from_dict(good | {field: value})
