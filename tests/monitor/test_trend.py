"""Trends: the test against scipy and brute force, its false alarms on noise, and what it sees."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import DAY, HOUR, NAN, Row, answers, calls, panes

from fairlead.measure.rounds import benjamini_hochberg
from fairlead.monitor import Point, Trend, mann_kendall, series_of, trend_of
from fairlead.monitor.trend import adjusted

SERIES = 1000


def noise(rng: np.random.Generator, size: int, rho: float, heavy: bool) -> list[list[float]]:
    """Series with this autocorrelation."""
    shocks = rng.standard_normal((SERIES, size + 60))
    shocks = np.exp(1.2 * shocks) if heavy else shocks
    out = np.zeros_like(shocks)
    for i in range(1, size + 60):
        out[:, i] = rho * out[:, i - 1] + shocks[:, i]
    return out[:, 60:].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("heavy", [False, True])
@pytest.mark.parametrize(
    ("size", "rho", "most"), [(12, 0.0, 0.05), (12, 0.3, 0.08), (12, 0.6, 0.13), (30, 0.0, 0.05), (30, 0.6, 0.10)]
)
def test_noise_has_no_trend(size: int, rho: float, most: float, heavy: bool) -> None:
    rng = np.random.default_rng(7)
    alarms = sum(mann_kendall(range(size), row).p_value < 0.05 for row in noise(rng, size, rho, heavy))
    assert alarms <= (most + 2.5 * math.sqrt(most / SERIES)) * SERIES
    assert alarms > 0  # a test that never fires is none


@pytest.mark.parametrize(("size", "rho", "least"), [(15, 0.0, 0.6), (30, 0.0, 0.95), (30, 0.3, 0.75), (60, 0.3, 0.95)])
def test_a_planted_change_is_seen(size: int, rho: float, least: float) -> None:
    rng, seen = np.random.default_rng(8), 0
    for row in noise(rng, size, rho, False):
        found = mann_kendall(range(size), [value + 3.0 * i / (size - 1) for i, value in enumerate(row)])
        seen += found.p_value < 0.05 and found.s > 0
    assert seen >= least * SERIES


@given(st.lists(st.integers(-4, 4), min_size=10, max_size=25))
def test_tau_is_scipys_and_the_slope_is_the_median_of_all(values: list[int]) -> None:
    stats = pytest.importorskip("scipy.stats")
    times, floats = list(range(len(values))), [float(value) for value in values]
    found = mann_kendall(times, floats)
    if len(set(values)) == 1:
        assert (found.s, found.p_value) == (0, 1.0)
        return
    assert found.tau == pytest.approx(stats.kendalltau(times, floats).statistic, abs=1e-12)
    assert found.slope == pytest.approx(stats.theilslopes(floats, times).slope, abs=1e-12)
    # Without autocorrelation the variance is that of S with ties: no p-value is smaller than its normal one.
    assert found.p_value >= stats.kendalltau(times, floats, method="asymptotic").pvalue - 1e-9


@given(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=20), st.floats(0.1, 10.0), st.floats(-5.0, 5.0))
def test_a_series_turned_around_has_the_opposite_trend(values: list[float], scale: float, shift: float) -> None:
    found, back = mann_kendall(range(len(values)), values), mann_kendall(range(len(values)), [-v for v in values])
    assert back.s == -found.s
    assert back.p_value == pytest.approx(found.p_value, abs=1e-9)
    assert 0.0 <= found.p_value <= 1.0
    assert 0.0 <= found.rho <= 0.95
    assert -1.0 - 1e-12 <= found.tau <= 1.0 + 1e-12


@given(st.lists(st.floats(0.0, 1.0), max_size=12))
def test_adjusted_p_values_are_scipys(p_values: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    expected = stats.false_discovery_control(p_values).tolist() if p_values else []
    assert benjamini_hochberg(p_values) == pytest.approx(expected)
    with_none = benjamini_hochberg([NAN, *p_values, NAN])
    assert with_none[1:-1] == pytest.approx(expected)
    assert math.isnan(with_none[0])


def points(values: list[float], n: int = 50) -> tuple[Point, ...]:
    return tuple(Point(i * DAY, (i + 1) * DAY, n, value) for i, value in enumerate(values))


def test_what_is_better_depends_on_the_metric() -> None:
    up = [0.1 + 0.01 * i + 0.003 * (i % 3) for i in range(20)]
    states = {metric: trend_of("a", metric, points(up)).state for metric in ("accuracy", "error_rate", "confidence")}
    assert states == {"accuracy": "improving", "error_rate": "degrading", "confidence": "rising"}
    down = trend_of("a", "accuracy", points(up[::-1]))
    assert down.state == "degrading"
    assert down.per_day == pytest.approx(-0.01, abs=0.001)
    assert down.change == pytest.approx(19 * down.per_day)
    assert down.first - down.last == pytest.approx(-down.change)
    assert "degrading" in str(down)
    assert down.as_dict()["metric"] == "accuracy"


def test_few_panes_are_unknown_and_a_constant_is_stable() -> None:
    few = trend_of("a", "accuracy", points([0.9] * 9))
    assert few.state == "unknown"
    assert few.as_dict()["p_value"] is None
    assert "9 panes of 10" in str(few)
    constant = trend_of("a", "accuracy", points([0.9] * 10))
    assert constant.state == "stable"
    assert math.isnan(constant.p_value)  # no chance of a false alarm, and so none that is allowed for
    one = trend_of("b", "accuracy", points([0.1 * (i % 4) + 0.05 * i for i in range(15)]))
    assert adjusted([constant] * 20 + [one])[-1].adjusted == one.p_value
    assert trend_of("a", "accuracy", ()).state == "unknown"


def test_one_outage_is_no_trend() -> None:
    rng = np.random.default_rng(3)
    latency = (400 + 20 * rng.standard_normal(20)).tolist()
    latency[-2] = 90_000.0
    assert trend_of("a", "latency_p95_ms", points(latency)).state == "stable"


def test_many_looked_for_together_cost_their_number() -> None:
    rng = np.random.default_rng(11)
    alone: list[Trend] = [
        trend_of(f"model {i}", "accuracy", points(row)) for i, row in enumerate(noise(rng, 30, 0.0, False)[:400])
    ]
    assert sum(trend.state != "stable" for trend in alone) > 5
    together = adjusted(alone, 0.05)
    assert sum(trend.state != "stable" for trend in together) <= 1
    real = trend_of("real", "accuracy", points([i + 0.1 * (i % 4) for i in range(30)]))
    states = {trend.model: trend.state for trend in adjusted([*alone, real, trend_of("new", "accuracy", ())])}
    assert states["real"] == "improving"
    assert states["new"] == "unknown"


def test_a_series_leaves_out_what_stands_for_too_little() -> None:
    rows = [answers("a", n, 0.5) for n in (0, 4, 5, 60)] + [calls("a", 9), Row("a")]
    found = series_of(panes(rows), "accuracy", 5)
    assert [(point.n, point.start) for point in found] == [(5, 4 * HOUR), (60, 6 * HOUR)]
    assert all(a.end <= b.start for a, b in pairwise(found))
