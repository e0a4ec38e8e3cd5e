"""The tests behind a reflection: against scipy, against brute force, and how often they cry wolf."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fairlead.reflection import inference

SEED = 20240501


def autoregressive(rng: np.random.Generator, rho: float, shape: tuple[int, int]) -> np.ndarray:
    """Stationary streams, one a row."""
    noise = rng.normal(size=shape)
    out = np.empty(shape)
    out[:, 0] = noise[:, 0] / math.sqrt(1 - rho * rho)
    for t in range(1, shape[1]):
        out[:, t] = rho * out[:, t - 1] + noise[:, t]
    return out


def test_the_normal_tail() -> None:
    for z in (-3.0, 0.0, 1.96, 12.0):
        assert inference.normal_tail(z) == pytest.approx(stats.norm.sf(z), rel=1e-12)


@given(st.lists(st.one_of(st.floats(0, 1), st.just(math.nan)), max_size=12))
def test_holm_by_its_definition(p: list[float]) -> None:
    adjusted = inference.holm(p)
    known = sorted(x for x in p if not math.isnan(x))
    for x, y in zip(p, adjusted, strict=True):
        if math.isnan(x):
            assert math.isnan(y)
            continue
        steps = [(len(known) - i) * q for i, q in enumerate(known) if q <= x]
        # Of equal p-values, the first in line decides for all of them.
        assert y == pytest.approx(min(1.0, max(steps)))


def brute(values: np.ndarray, rounds: np.ndarray, trend: bool) -> tuple[float, float, int]:
    """Estimate, error and degrees of freedom, straight from the definition, with LAPACK's QR."""
    kept = np.unique(rounds)
    counts = np.array([(rounds == r).sum() for r in kept], dtype=float)
    sums = np.array([values[rounds == r].sum() for r in kept])
    at = (np.cumsum(counts) - counts / 2) / counts.sum()
    even = counts.sum() ** 2 / np.sum(counts**2)
    freedom = max(4, int((0.4 if trend else 0.8) * even ** (2 / 3)))
    if not trend:
        rest = (sums - values.mean() * counts) / np.sqrt(counts)
        rho = rest[1:] @ rest[:-1] / (rest @ rest) + even**-0.5
        if rho > 0.01:
            freedom = min(freedom, max(4, int(even * math.sqrt(0.3 / np.pi**2 * (1 - rho) ** 2 / (2 * rho)))))
    columns = [np.ones(len(kept)), *([at] if trend else []), *[np.cos(np.pi * j * at) for j in range(1, freedom + 1)]]
    q, _ = np.linalg.qr(np.stack(columns, axis=1) * np.sqrt(counts)[:, None])
    z = q.T @ (sums / np.sqrt(counts))
    first = 1 + trend
    spread = float(np.mean(z[first:] ** 2))
    if not trend:
        return float(values.mean()), math.sqrt(spread / len(values)), freedom
    tasks = at * counts.sum()
    centred = tasks - np.average(tasks, weights=counts)
    scale = float(np.sum(counts * centred**2))
    slope = float(np.sum(centred * sums)) / scale
    return 100 * slope, 100 * math.sqrt(spread / scale), freedom


@pytest.mark.parametrize("trend", [False, True])
def test_estimates_by_brute_force(trend: bool) -> None:
    rng = np.random.default_rng(SEED)
    for rounds_seen in (20, 57, 300):
        rounds = np.sort(rng.choice(rounds_seen * 2, rounds_seen * 4))
        values = rng.normal(0.3, 1, len(rounds)) + 0.01 * rounds
        found = inference.slope(values, rounds, least=20) if trend else inference.mean(values, rounds)
        value, error, freedom = brute(values, rounds, trend)
        assert found.value == pytest.approx(value, rel=1e-9)
        assert found.statistic == pytest.approx(value / error, rel=1e-9)
        assert found.freedom == freedom
        assert found.p_value == pytest.approx(2 * stats.t.sf(abs(value / error), freedom), rel=1e-8)
        assert found.high - found.value == pytest.approx(stats.t.isf(0.025, freedom) * error, rel=1e-8)
        assert found.value - found.low == pytest.approx(found.high - found.value, rel=1e-9)
        assert (found.n, found.rounds) == (len(rounds), len(np.unique(rounds)))


def test_a_long_series_is_summed_over_neighbouring_rounds() -> None:
    rng = np.random.default_rng(SEED)
    values = rng.normal(size=50_000)
    rounds = np.arange(50_000)
    sums, counts, size = inference.by_round(values, rounds)
    assert (len(sums), size) == (1024, 50_000)
    assert sums.sum() == pytest.approx(values.sum())
    assert set(counts.tolist()) <= {48.0, 49.0}
    found = inference.mean(values, rounds)
    assert (found.high - found.low) / 2 == pytest.approx(1.98 / math.sqrt(50_000), rel=0.3)


@pytest.mark.parametrize("which", ["mean", "slope"])
def test_p_values_of_white_noise_are_uniform(which: str) -> None:
    rng = np.random.default_rng(SEED)
    rounds = np.repeat(np.arange(30), rng.integers(1, 5, 30))
    streams = rng.normal(size=(1500, len(rounds)))
    p = [p_of(which, x, rounds) for x in streams]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def p_of(which: str, values: np.ndarray, rounds: np.ndarray) -> float:
    found = inference.mean(values, rounds) if which == "mean" else inference.slope(values, rounds, least=20)
    return found.p_value


@pytest.mark.parametrize("which", ["mean", "slope"])
@pytest.mark.parametrize(
    ("size", "rho", "level"), [(20, 0.7, 0.12), (40, 0.3, 0.08), (40, 0.7, 0.08), (150, 0.7, 0.08)]
)
def test_false_alarms_of_autocorrelated_streams(which: str, size: int, rho: float, level: float) -> None:
    streams = autoregressive(np.random.default_rng(SEED), rho, (1000, size))
    alarms = sum(p_of(which, x, np.arange(size)) < 0.05 for x in streams)
    assert alarms <= stats.binom.ppf(0.999, 1000, level)
    assert alarms >= stats.binom.ppf(0.001, 1000, 0.03)  # and it is no test that never finds anything


def test_a_test_that_takes_tasks_for_independent_would_cry_wolf() -> None:
    """Why rounds: 20 tasks that share a shock are one piece of news."""
    rng = np.random.default_rng(SEED)
    rounds = np.repeat(np.arange(40), 20)
    alarms = naive = 0
    for _ in range(300):
        values = np.repeat(rng.normal(size=40), 20) + rng.normal(size=800)
        alarms += p_of("mean", values, rounds) < 0.05
        naive += stats.ttest_1samp(values, 0).pvalue < 0.05
    assert alarms <= stats.binom.ppf(0.999, 300, 0.06)
    assert naive > 150


def test_a_trend_is_found() -> None:
    rng = np.random.default_rng(SEED)
    rounds = np.arange(100)
    found = [inference.slope(0.02 * rounds + rng.normal(size=100), rounds, least=20) for _ in range(200)]
    assert np.mean([e.p_value < 0.05 for e in found]) > 0.9
    covered = sum(e.low <= 2.0 <= e.high for e in found)
    assert covered >= stats.binom.ppf(0.001, 200, 0.95)


@pytest.mark.parametrize("constant", [0.0, 0.25, -1e9, 1e140])
def test_a_constant_series(constant: float) -> None:
    values, rounds = np.full(60, constant), np.arange(60) // 2
    mean = inference.mean(values, rounds)
    assert mean.value == pytest.approx(constant)
    if constant == 0.0:
        assert (mean.low, mean.high, mean.p_value) == (0.0, 0.0, 1.0)
    else:  # how it would vary is not known
        assert np.isnan([mean.low, mean.high, mean.p_value]).all()
    impossible = inference.mean(values, rounds, inference.Implied(np.zeros(60), np.ones(60)))
    assert (impossible.low, impossible.high) == pytest.approx((constant,) * 2)
    assert impossible.p_value == (1.0 if constant == 0.0 else 0.0)
    slope = inference.slope(values, rounds, least=20)
    assert slope.p_value == 1.0
    assert slope.value == pytest.approx(0.0, abs=abs(constant) * 1e-9)


def test_too_few_rounds_are_no_evidence() -> None:
    few = inference.mean(np.arange(900.0), np.arange(900) // 100)
    assert few.rounds == 9
    assert few.value == 449.5
    assert math.isnan(few.p_value)
    assert math.isnan(few.low)
    none = inference.mean(np.empty(0), np.empty(0, dtype=np.int64))
    assert (none.n, none.rounds) == (0, 0)
    assert math.isnan(none.value)


def test_nan_is_left_out() -> None:
    rng = np.random.default_rng(SEED)
    values, rounds = rng.normal(size=200), np.arange(200) // 4
    holed = values.copy()
    holed[::3] = np.nan
    kept = ~np.isnan(holed)
    assert inference.mean(holed, rounds) == inference.mean(values[kept], rounds[kept])
    assert inference.slope(holed, rounds, least=20) == inference.slope(values[kept], rounds[kept], least=20)


def test_one_round_with_nearly_all_tasks_is_no_evidence() -> None:
    rounds = np.concatenate([np.zeros(5000, dtype=np.int64), np.arange(1, 30)])
    values = np.random.default_rng(SEED).normal(size=30)[rounds]
    assert math.isnan(inference.mean(values, rounds).p_value)
    assert math.isnan(inference.slope(values, rounds, least=20).p_value)


@pytest.mark.parametrize("which", ["mean", "slope"])
def test_false_alarms_of_rounds_of_uneven_size(which: str) -> None:
    """All tasks of a round share a shock, and some rounds have a hundred times as many as others."""
    rng = np.random.default_rng(SEED)
    alarms = tests = 0
    for _ in range(400):
        counts = np.maximum(1, np.exp(rng.normal(3, 1, 50))).astype(np.int64)
        p = p_of(which, np.repeat(rng.normal(size=50), counts), np.repeat(np.arange(50), counts))
        tests += not math.isnan(p)
        alarms += p < 0.05
    assert tests > 300
    assert alarms <= stats.binom.ppf(0.999, tests, 0.08)


@given(st.integers(0, 2**32 - 1), st.floats(-5, 5), st.floats(0.01, 100))
def test_scale_and_sign(seed: int, shift: float, scale: float) -> None:
    rng = np.random.default_rng(seed)
    values, rounds = rng.normal(shift, 1, 80), np.arange(80) // 2
    one, other = inference.mean(values, rounds), inference.mean(-scale * values, rounds)
    assert other.value == pytest.approx(-scale * one.value, rel=1e-9, abs=1e-12)
    assert other.p_value == pytest.approx(one.p_value, rel=1e-6)
