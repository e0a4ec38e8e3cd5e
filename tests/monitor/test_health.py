"""Health: every score is its parts, and the parts are what they say."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import Keeper, Made, Row, answers, calls

import fairlead as fl
from fairlead.fleet.watching import FleetMonitor
from fairlead.monitor import health_of
from fairlead.monitor.health import WEIGHTS, fleet_health


def whole(model: str = "a", n: int = 100, skill: float = 0.04) -> Row:
    row = calls(model, n, failed=n // 10, p95=5000.0, usd=0.9)
    return replace(row, settled=n, accuracy=0.8, skill=skill, calibration_error=0.05)


def test_a_score_is_the_weighted_mean_of_its_parts() -> None:
    found = health_of(whole(), "24h")
    assert {part.name: round(part.score, 9) for part in found.parts} == {
        "answers": 0.9,
        "accuracy": 0.8,
        "skill": 0.6,
        "calibration": 0.8,
        "speed": 0.5,
        "cost": 0.5,
    }
    assert sum(part.weight for part in found.parts) == pytest.approx(1.0)
    assert sum(WEIGHTS.values()) == pytest.approx(1.0)
    assert found.score == pytest.approx(0.25 * 0.9 + 0.25 * 0.8 + 0.2 * 0.6 + 0.1 * 0.8 + 0.1 * 0.5 + 0.1 * 0.5)
    assert found.formula.startswith("0.25 x 0.90 (answers: 90.0 %) + 0.25 x 0.80 (accuracy: 80.0 %)")
    assert found.formula.endswith(f"= {found.score:.2f}")
    assert "cost: $1.00" in str(found)
    assert found.as_dict()["formula"] == found.formula
    assert found.as_dict()["parts"][0]["name"] == "answers"


def test_what_is_not_known_is_left_out() -> None:
    found = health_of(calls("a", 100, failed=20, p95=math.nan), "24h")
    assert [part.name for part in found.parts] == ["answers", "cost"]
    assert sum(part.weight for part in found.parts) == pytest.approx(1.0)
    assert found.score == pytest.approx((0.25 * 0.8 + 0.1 * 1.0) / 0.35)
    nothing = health_of(whole(n=9), "24h")
    assert math.isnan(nothing.score)
    assert nothing.as_dict()["score"] is None
    assert "nothing is known" in str(nothing)


@given(
    st.integers(0, 500),
    st.floats(0, 1),
    st.floats(-2, 2),
    st.floats(0, 1),
    st.floats(0, 1e9),
    st.floats(0, 1e6),
)
def test_a_score_lies_between_0_and_1(
    n: int, accuracy: float, skill: float, calibration: float, p95: float, usd: float
) -> None:
    row = replace(
        calls("a", n, failed=n // 3, p95=p95, usd=usd),
        settled=n,
        accuracy=accuracy,
        skill=skill,
        calibration_error=calibration,
    )
    found = health_of(row, "24h")
    assert math.isnan(found.score) == (n < 10)
    if n >= 10:
        assert -1e-12 <= found.score <= 1.0 + 1e-12


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (whole(skill=0.1), whole(skill=0.0)),
        (replace(whole(), accuracy=0.9), whole()),
        (replace(whole(), latency_p95_ms=500.0), whole()),
        (replace(whole(), cost_usd=1.0), whole()),
        (replace(whole(), calibration_error=0.01), whole()),
    ],
)
def test_better_is_healthier(better: Row, worse: Row) -> None:
    assert health_of(better, "24h").score > health_of(worse, "24h").score


def test_the_fleet_is_its_models_by_their_calls() -> None:
    good, bad = replace(whole("good", 300), accuracy=0.95), replace(whole("bad", 100), accuracy=0.2)
    found = fleet_health([good, bad, whole("new", 1)], "7d")
    assert [score.model for score in found] == ["bad", "good", "new"]
    assert found.fleet.score == pytest.approx(0.75 * found["good"].score + 0.25 * found["bad"].score)
    assert found.fleet.lowest == "bad"
    assert len(found) == 3
    with pytest.raises(KeyError):
        found["who"]
    assert "0.75 x" in found.fleet.formula
    assert str(found).startswith("fleet: ")
    assert found.as_dict()["fleet"]["lowest"] == "bad"
    empty = fleet_health([], "24h")
    assert math.isnan(empty.fleet.score)
    assert empty.fleet.lowest is None
    assert str(empty)


def test_weights_are_the_users() -> None:
    source = Made({"a": whole()})
    monitor = FleetMonitor(Keeper(), source, lambda: 0)
    monitor.weights = {"accuracy": 3, "answers": 1}
    assert monitor.health()["a"].score == pytest.approx(0.75 * 0.8 + 0.25 * 0.9)
    assert dict(monitor.weights) == {"accuracy": 3.0, "answers": 1.0}
    with pytest.raises(fl.InvalidRecordError):
        monitor.weights = {}


def test_only_answers() -> None:
    assert health_of(answers("a", 50, 0.7), "all").score == pytest.approx(0.7)


def test_answers_of_calls_before_the_window_are_known_all_the_same() -> None:
    late = replace(whole(), calls=0, succeeded=0, failed=0)
    found = fleet_health([late, replace(late, model="b", accuracy=0.4)], "1h").fleet
    assert [part.weight for part in found.parts] == [0.5, 0.5]
    assert 0.0 < found.score < 1.0
