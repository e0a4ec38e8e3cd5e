"""Anomalies: false alarms on noise of several kinds, power, and what an earlier outage does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from fairlead.monitor import Point, anomaly_of
from fairlead.monitor.anomaly import MIN_BEFORE

TRIES = 1500


def points(values: list[float], n: list[int] | int) -> list[Point]:
    counts = n if isinstance(n, list) else [n] * len(values)
    return [Point(i, i + 1, k, value) for i, (k, value) in enumerate(zip(counts, values, strict=True))]


def alarms(metric: str, draws: Any, n: list[int] | int, alpha: float) -> float:
    found = [anomaly_of("a", metric, points(row, n), alpha=alpha).state for row in draws.tolist()]
    return sum(state != "usual" for state in found) / len(found)


@pytest.mark.parametrize("before", [8, 11, 14, 29])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_false_alarms_of_gaussian_panes_are_no_more_than_was_asked_for(before: int, alpha: float) -> None:
    rng = np.random.default_rng(1)
    found = alarms("quality", rng.normal(0.3, 0.1, (TRIES, before + 1)), 40, alpha)
    assert found <= alpha + 2.5 * math.sqrt(alpha / TRIES)
    assert found > 0


@pytest.mark.parametrize("share", [0.02, 0.3, 0.85])
def test_false_alarms_of_shares_whose_panes_differ_in_size(share: float) -> None:
    rng = np.random.default_rng(2)
    n = [20, 200, 35, 500, 60, 90, 30, 150, 80, 40, 300, 50]
    draws = rng.binomial(n, share, (TRIES, len(n))) / np.array(n)
    assert alarms("error_rate", draws, n, 0.01) <= 0.015


def test_false_alarms_where_calls_fail_together() -> None:
    rng = np.random.default_rng(3)
    share = rng.beta(4, 16, (TRIES, 15))  # between panes, far more than chance
    draws = rng.binomial(200, share) / 200
    assert alarms("error_rate", draws, 200, 0.01) <= 0.02


@pytest.mark.parametrize("draw", ["t", "laplace", "log-normal"])
def test_false_alarms_of_heavy_tails_are_as_stated(draw: str) -> None:
    rng = np.random.default_rng(4)
    shape = (TRIES, 30)
    if draw == "log-normal":
        assert alarms("latency_p95_ms", np.exp(6 + 0.8 * rng.standard_normal(shape)), 50, 0.01) <= 0.012
        return
    values = rng.standard_t(5, shape) if draw == "t" else rng.laplace(size=shape)
    assert alarms("quality", values, 50, 0.01) <= {"t": 0.035, "laplace": 0.055}[draw]


def test_a_planted_change_is_seen() -> None:
    rng = np.random.default_rng(5)
    errors = rng.binomial(100, 0.05, (500, 12)) / 100
    errors[:, -1] = rng.binomial(100, 0.5, 500) / 100
    found = [anomaly_of("a", "error_rate", points(row, 100)) for row in errors.tolist()]
    assert sum(one.state == "worse" for one in found) >= 450
    assert all(one.value > one.high for one in found if one.state == "worse")
    slow = np.exp(6 + 0.1 * rng.standard_normal((500, 15)))
    slow[:, -1] *= 3.0
    assert alarms("latency_p95_ms", slow, 50, 0.001) >= 0.95


def test_earlier_outages_do_not_hide_a_new_one() -> None:
    usual = [0.04, 0.05, 0.06, 0.05, 0.04, 0.06, 0.05, 0.05, 0.04, 0.06, 0.05, 0.05]
    broken = [0.9, 0.95, *usual]
    found = anomaly_of("a", "error_rate", points([*broken, 0.9], 100))
    assert found.state == "worse"
    assert found.usual == pytest.approx(0.05, abs=0.01)
    assert anomaly_of("a", "error_rate", points([*broken, 0.05], 100)).state == "usual"


def test_which_way_is_told() -> None:
    record = [0.80, 0.82, 0.79, 0.81, 0.80, 0.78, 0.82, 0.80, 0.81, 0.79]
    for metric, value, state in (
        ("accuracy", 0.2, "worse"),
        ("accuracy", 0.99, "better"),
        ("brier", 0.2, "better"),
        ("brier", 1.4, "worse"),
        ("confidence", 0.2, "different"),
        ("accuracy", 0.8, "usual"),
    ):
        found = anomaly_of("a", metric, points([*record, value], 400))
        assert (metric, value, found.state) == (metric, value, state)
        assert found.low <= found.usual <= found.high
        assert (found.state == "usual") == (found.low <= value <= found.high)
        assert str(found)


def test_little_is_unknown() -> None:
    for size in (0, 1, MIN_BEFORE):
        found = anomaly_of("a", "accuracy", points([0.8] * size, 10))
        assert found.state == "unknown"
        assert found.as_dict()["p_value"] is None
        assert "unknown" in str(found)


def test_what_never_varied_says_nothing_of_how_it_would() -> None:
    record = [0.002] * 10
    assert anomaly_of("a", "cost_per_call_usd", points([*record, 0.002], 10)).state == "usual"
    assert anomaly_of("a", "cost_per_call_usd", points([*record, 0.2], 10)).state == "unknown"
    # Of shares it is known how they vary by chance, whether they have varied or not.
    assert anomaly_of("a", "error_rate", points([0.0] * 10 + [0.5], 50)).state == "worse"
    assert anomaly_of("a", "error_rate", points([0.0] * 10 + [0.02], 50)).state == "usual"
    assert anomaly_of("a", "latency_p95_ms", points([0.0] * 10 + [0.0], 50)).state == "usual"
