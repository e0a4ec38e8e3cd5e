"""Batch rolling functions beside exact fractions: offsets, spikes, decay, constants; what left leaves no trace."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

import fairlead as fl

EPS = 2.0**-53


def sums(x: np.ndarray, window: int) -> list[tuple[Fraction, Fraction]]:
    """Exact sum and sum of squares of each full window."""
    exact = [Fraction(float(v)) for v in x]
    found, one, two = [], Fraction(0), Fraction(0)
    for i, v in enumerate(exact):
        one, two = one + v, two + v * v
        if i >= window:
            gone = exact[i - window]
            one, two = one - gone, two - gone * gone
        if i >= window - 1:
            found.append((one, two))
    return found


def off(found: float, right: Fraction, scale: Fraction) -> float:
    """The error as a share of `scale`."""
    return float(abs(Fraction(float(found)) - right) / scale) if scale else float(found != right)


def offset(rng: np.random.Generator) -> np.ndarray:
    return 1e9 + rng.normal(0, 1, 1500)


def spikes(rng: np.random.Generator) -> np.ndarray:
    x = rng.normal(0, 1, 1500)
    x[[0, 300, 301, 800, 1299]] = 1e12
    return x


def fading(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1, 1500) * np.geomspace(1e8, 1e-8, 1500)


def steps(rng: np.random.Generator) -> np.ndarray:
    return np.repeat([1e9, -1e-9, 3.0, 1e15, 0.0], 300) + rng.normal(0, 1e-3, 1500)


def tiny(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1e-120, 1500)


def walk(rng: np.random.Generator) -> np.ndarray:
    return np.cumsum(rng.normal(0, 1, 1500))


def calm_and_wild(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(0, 1, 1500) * np.tile(np.repeat([1.0, 1e4, 1e-3, 30.0], 75), 5)


SERIES = [offset, spikes, fading, steps, tiny, walk, calm_and_wild]


@pytest.mark.parametrize("window", [2, 8, 40, 100])
@pytest.mark.parametrize("series", SERIES)
def test_mean_and_variance(series: Callable[[np.random.Generator], np.ndarray], window: int) -> None:
    x = series(np.random.default_rng(1))
    times = np.arange(x.size)
    by_count = fl.rolling.many(x, window, ["sum", "mean", "var"])
    by_time = fl.rolling.many(x, f"{window}ns", ["sum", "mean", "var"], times=times, min_periods=window)
    alone = fl.rolling.var(x, window)
    for i, (one, two) in enumerate(sums(x, window), start=window - 1):
        if i % 5 > 0:
            continue
        inside = [abs(Fraction(float(v))) for v in x[i - window + 1 : i + 1]]
        mean, total = one / window, sum(inside)
        var = (two - one * one / window) / (window - 1)
        for found in (by_count, by_time):
            assert off(found["sum"][i], one, total) <= 3 * (1 + window) * EPS, i
            assert off(found["mean"][i], mean, total / window) <= 3 * (1 + window) * EPS, i
            assert off(found["var"][i], var, var) <= 8 * (1 + window) * EPS, i
        assert off(alone[i], var, var) <= 8 * (1 + window) * EPS, i


@pytest.mark.parametrize("series", SERIES)
def test_long_windows(series: Callable[[np.random.Generator], np.ndarray]) -> None:
    window = 2100
    x = np.concatenate([series(np.random.default_rng(seed)) for seed in range(6)])
    x[6000:8300] = x[6000]
    sums, means = fl.rolling.sum(x, window), fl.rolling.mean(x, window)
    variances = fl.rolling.var(x, window)
    for i in [*range(window - 1, x.size, 499), 8200, 8299, x.size - 1]:
        inside = x[i - window + 1 : i + 1]
        right, total = math.fsum(inside), math.fsum(abs(inside))
        assert abs(sums[i] - right) <= 1e-12 * total, i
        assert abs(means[i] - right / window) <= 1e-12 * total / window, i
        var = math.fsum((inside - right / window) ** 2) / (window - 1)
        assert variances[i] == pytest.approx(var, rel=1e-11), i
    assert means[8200] == x[6000]
    assert variances[8200] == 0.0


@pytest.mark.parametrize("series", [offset, spikes, fading, tiny])
def test_pairs(series: Callable[[np.random.Generator], np.ndarray]) -> None:
    window = 50
    x = series(np.random.default_rng(1))[:400]
    y = series(np.random.default_rng(2))[:400] + x
    cov, corr, beta = fl.rolling.many(x, window, ["cov", "corr", "beta"], y=y).values()
    a, b = [Fraction(float(v)) for v in x], [Fraction(float(v)) for v in y]
    for i in range(window - 1, x.size, 7):
        p, q = a[i - window + 1 : i + 1], b[i - window + 1 : i + 1]
        mp, mq = sum(p) / window, sum(q) / window
        both = sum((u - mp) * (v - mq) for u, v in zip(p, q, strict=True))
        pp, qq = sum((u - mp) ** 2 for u in p), sum((v - mq) ** 2 for v in q)
        product = pp * qq
        scale = Fraction(math.isqrt(product.numerator * product.denominator), product.denominator)
        assert off(cov[i], both / (window - 1), scale / (window - 1)) <= 100 * EPS
        assert off(corr[i], both / scale, Fraction(1)) <= 200 * EPS
        assert off(beta[i], both / pp, scale / pp) <= 200 * EPS


@pytest.mark.parametrize("window", [1, 2, 7, 8, 100, 1000])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e9 / 3, 1e300, 5e-324])
def test_a_constant_window(value: float, window: int) -> None:
    x = np.full(1200, value)
    x[:100] = np.linspace(-1, 1, 100)
    clean = slice(100 + window - 1, None)
    found = fl.rolling.many(x, window, ["mean", "var", "std", "min", "max", "median", "skew", "kurt"])
    assert (found["mean"][clean] == value).all()
    assert (found["min"][clean] == value).all()
    assert (found["max"][clean] == value).all()
    assert (found["median"][clean] == value).all()
    if window > 1:
        assert (found["var"][clean] == 0.0).all()
        assert (found["std"][clean] == 0.0).all()
    assert np.isnan(found["skew"][clean]).all()
    assert np.isnan(found["kurt"][clean]).all()
    assert np.isnan(fl.rolling.corr(x, np.arange(1200.0), window)[clean]).all()
    assert (fl.rolling.ewm_mean(np.full(1200, value), span=10) == value).all()
    by_time = fl.rolling.var(x, f"{window}ns", times=np.arange(1200), ddof=0)
    assert (by_time[clean] == 0.0).all()


def test_a_variance_is_never_negative() -> None:
    rng = np.random.default_rng(4)
    for _ in range(20):
        scale = 10.0 ** rng.integers(-12, 12, 800)
        x = np.where(rng.random(800) < 0.3, 1e9 / 3, rng.normal(0, 1, 800) * scale)
        for window in (2, 3, 10, 99):
            assert (fl.rolling.var(x, window)[window - 1 :] >= 0.0).all()
            assert (fl.rolling.var(x, f"{window}ns", times=np.arange(800), ddof=0) >= 0.0).all()


@pytest.mark.parametrize(
    "stat", ["sum", "mean", "var", "std", "skew", "kurt", "min", "max", "median", "argmax", "rank"]
)
@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e12, 1e300])
def test_what_left_leaves_no_trace(stat: str, poison: float) -> None:
    rng = np.random.default_rng(5)
    calm = rng.normal(0, 1, 2000)
    shaken = calm.copy()
    at = [0, 137, 138, 1000]
    shaken[at] = poison
    window = 25
    touched = np.zeros(2000, dtype=bool)
    for i in at:
        touched[i : i + window] = True
    run = getattr(fl.rolling, stat)
    with_nan: dict[str, object] = {"nan": "propagate"} if stat == "rank" else {}
    for options in ({"window": window}, {"window": f"{window}ns", "times": np.arange(2000), "min_periods": window}):
        before, after = run(calm, **options, **with_nan), run(shaken, **options, **with_nan)
        np.testing.assert_allclose(after[~touched], before[~touched], rtol=1e-9, atol=1e-12)
        if math.isnan(poison) and stat != "argmax":
            assert np.isnan(after[touched]).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_infinities_as_numpy() -> None:
    rng = np.random.default_rng(6)
    x = rng.normal(0, 1, 400)
    x[[3, 50, 200, 201]] = [math.inf, -math.inf, math.inf, -math.inf]
    window = 10
    views = np.lib.stride_tricks.sliding_window_view(x, window)
    for stat in ("sum", "mean", "var", "min", "max", "median"):
        ddof = {"ddof": 1} if stat == "var" else {}
        right = getattr(np, stat)(views, axis=1, **ddof)
        np.testing.assert_allclose(getattr(fl.rolling, stat)(x, window)[window - 1 :], right, rtol=1e-9, atol=1e-12)
        by_time = getattr(fl.rolling, stat)(x, "10ns", times=np.arange(400))[window - 1 :]
        np.testing.assert_allclose(by_time, right, rtol=1e-9, atol=1e-12)


def test_what_faded_leaves_no_trace_in_weighted_means() -> None:
    rng = np.random.default_rng(7)
    calm = rng.normal(0, 1, 4000)
    for poison in (1e12, -1e15):
        for adjust in (True, False):
            shaken = calm.copy()
            shaken[[0, 700]] = poison
            before = fl.rolling.ewm_mean(calm, alpha=0.1, adjust=adjust)
            after = fl.rolling.ewm_mean(shaken, alpha=0.1, adjust=adjust)
            np.testing.assert_allclose(after[2500:], before[2500:], rtol=1e-12, atol=1e-14)
            var = fl.rolling.ewm_var(shaken, alpha=0.1, adjust=adjust)
            np.testing.assert_allclose(var[2500:], fl.rolling.ewm_var(calm, alpha=0.1, adjust=adjust)[2500:], rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.7, 1.0])
@pytest.mark.parametrize("series", [offset, spikes, fading, steps])
def test_weighted_means_exactly(series: Callable[[np.random.Generator], np.ndarray], alpha: float) -> None:
    x = series(np.random.default_rng(8))[:400]
    keep = Fraction(1) - Fraction(alpha)
    total, size, weight = Fraction(0), Fraction(0), Fraction(0)
    found = fl.rolling.ewm_mean(x, alpha=alpha)
    for i, v in enumerate(x):
        total, weight = keep * total + Fraction(float(v)), keep * weight + 1
        size = keep * size + abs(Fraction(float(v)))
        assert off(found[i], total / weight, size / weight) <= 2e-13 if alpha < 1 else found[i] == v, i
