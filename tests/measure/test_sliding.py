"""Batch rolling functions beside pandas and plain loops: which samples a window holds, and what is made of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core

CLOSED = ["right", "left", "both", "neither"]
LEVELS = ["scalar", "avx2", "avx512"]
ONE = ["count", "sum", "mean", "var", "std", "skew", "kurt", "min", "max", "median", "rank"]
PAIRS = ["cov", "corr", "beta"]


def windows(n: int, window: int, closed: str, times: list[int] | None) -> list[range]:
    """The places that each window holds, by the words of the documentation."""
    found = []
    for i in range(n):
        if times is None:
            first = i - window + (0 if closed in ("left", "both") else 1)
            found.append(range(max(first, 0), i + (closed in ("right", "both"))))
            continue
        inside = [
            j
            for j in range(i + 1)
            if (times[j] > times[i] - window or (closed in ("left", "both") and times[j] == times[i] - window))
            and (closed in ("right", "both") or times[j] < times[i])
        ]
        found.append(range(inside[0], inside[-1] + 1) if inside else range(0))
    return found


def spread(v: np.ndarray) -> float:
    return float(np.ptp(v)) if v.size else 0.0


def expected(stat: str, v: np.ndarray, ddof: float = 1.0) -> float:
    """One window without NaN, slowly."""
    n = v.size
    if stat == "count":
        return n
    if stat == "sum":
        return math.fsum(v)
    if n == 0:
        return math.nan
    if stat in ("var", "std"):
        if n <= ddof:
            return math.nan
        var = math.fsum((v - np.mean(v)) ** 2) / (n - ddof)
        return var if stat == "var" else math.sqrt(var)
    if stat in ("skew", "kurt"):
        if n < (3 if stat == "skew" else 4) or spread(v) == 0.0:
            return math.nan
        return float(getattr(pd.Series(v - v.mean()), stat)())
    if stat == "rank":
        return float(np.sum(v < v[-1]) + (np.sum(v == v[-1]) + 1) / 2)
    return float(getattr(np, stat)(v))


def same(found: float, right: float, tolerance: float = 1e-9) -> bool:
    if math.isnan(right) or math.isnan(found):
        return math.isnan(right) and math.isnan(found)
    return found == pytest.approx(right, rel=tolerance, abs=tolerance)


numbers = st.one_of(st.integers(-9, 9).map(float), st.floats(-100, 100), st.just(math.nan))
series = st.lists(numbers, max_size=60)
two_series = st.lists(st.tuples(numbers, numbers), max_size=50)
closings = st.sampled_from(CLOSED)
gaps = st.lists(st.sampled_from([0, 0, 1, 1, 2, 3, 10, 50]), min_size=60, max_size=60)


@settings(max_examples=150, deadline=None)
@given(series, st.integers(1, 70), closings, st.none() | st.integers(0, 5), st.booleans(), gaps, st.sampled_from(ONE))
def test_any_window(
    values: list[float], window: int, closed: Any, least: int | None, timed: bool, steps: list[int], stat: str
) -> None:
    times = np.cumsum(steps)[: len(values)].tolist() if timed else None
    if least is not None and not timed and least > window:
        least = window
    full = window + (closed == "both") - (closed == "neither")
    needed = least
    if least is None:
        needed = 0 if stat == "count" else 1 if timed else max(min(window, full), 1)
    run: Callable[..., Any] = getattr(fl.rolling, stat)
    span: Any = timedelta(microseconds=window) if timed else window
    stamps = None if times is None else [t * 1000 for t in times]
    found = run(values, span, times=stamps, closed=closed, min_periods=least)
    marked = run(values, span, times=stamps, closed=closed, min_periods=least, nan="propagate")
    assert found.shape == (len(values),)
    for i, places in enumerate(windows(len(values), window, closed, times)):
        raw = np.array([values[j] for j in places])
        v = raw[~np.isnan(raw)]
        right = expected(stat, v) if v.size >= needed else math.nan
        if stat == "rank" and raw.size and math.isnan(raw[-1]):
            right = math.nan
        tolerance = 1e-6 if stat in ("skew", "kurt") else 1e-9
        if stat in ("skew", "kurt") and 0 < spread(v) < 1e-3 * (abs(v).max() + 1):
            continue  # pandas itself has no digits left
        assert same(found[i], right, tolerance), (i, raw)
        assert same(marked[i], math.nan if v.size < raw.size else right, tolerance), (i, raw)


@settings(max_examples=60, deadline=None)
@given(series, st.integers(1, 70), st.sampled_from(CLOSED), st.booleans(), gaps, st.integers(1, 4))
def test_where_the_extremes_stand(
    values: list[float], window: int, closed: Any, timed: bool, steps: list[int], least: int
) -> None:
    times = np.cumsum(steps)[: len(values)].tolist() if timed else None
    least = min(least, window)
    span: Any = timedelta(microseconds=window) if timed else window
    stamps = None if times is None else [t * 1000 for t in times]
    low = fl.rolling.argmin(values, span, times=stamps, closed=closed, min_periods=least)
    high = fl.rolling.argmax(values, span, times=stamps, closed=closed, min_periods=least)
    assert low.dtype == high.dtype == np.int64
    for i, places in enumerate(windows(len(values), window, closed, times)):
        inside = [j for j in places if not math.isnan(values[j])]
        if len(inside) < least:
            assert low[i] == high[i] == -1
            continue
        assert low[i] == min(inside, key=lambda j: values[j])
        assert high[i] == max(inside, key=lambda j: values[j])


@settings(max_examples=60, deadline=None)
@given(two_series, st.integers(1, 60), closings, st.booleans(), gaps, st.sampled_from(PAIRS), st.integers(1, 4))
def test_pairs(
    values: list[tuple[float, float]], window: int, closed: Any, timed: bool, steps: list[int], stat: str, least: int
) -> None:
    x, y = [a for a, _ in values], [b for _, b in values]
    times = np.cumsum(steps)[: len(values)].tolist() if timed else None
    least = min(least, window)
    span: Any = timedelta(microseconds=window) if timed else window
    stamps = None if times is None else [t * 1000 for t in times]
    found = getattr(fl.rolling, stat)(x, y, span, times=stamps, closed=closed, min_periods=least)
    for i, places in enumerate(windows(len(values), window, closed, times)):
        both = np.array([values[j] for j in places if not any(map(math.isnan, values[j]))]).reshape(-1, 2)
        if 0 < spread(both[:, 0]) < 1e-5 or 0 < spread(both[:, 1]) < 1e-5:
            continue  # the plain formula has no digits left
        right = math.nan
        if len(both) >= least and len(both) > 1:
            a, b = both[:, 0] - both[:, 0].mean(), both[:, 1] - both[:, 1].mean()
            if stat == "cov":
                right = float(a @ b) / (len(both) - 1)
            elif spread(both[:, 0]) > 0 and (stat == "beta" or spread(both[:, 1]) > 0):
                right = float(a @ b) / float(a @ a if stat == "beta" else math.sqrt(float(a @ a) * float(b @ b)))
        assert same(found[i], right, 1e-6), (i, both)


@pytest.mark.parametrize("closed", CLOSED)
@pytest.mark.parametrize("stat", ["sum", "mean", "var", "std", "skew", "kurt", "min", "max", "median", "rank"])
def test_long_series_as_pandas(stat: str, closed: Any) -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, 5000)
    x[rng.random(5000) < 0.02] = np.nan
    times = np.sort(rng.integers(0, 20_000, 5000))
    frame = pd.Series(x, index=pd.to_datetime(times))
    for window in (7, 100, 1000):
        if closed != "right" and stat == "rank":
            continue  # pandas ranks the sample that is not in the window
        ours = getattr(fl.rolling, stat)(x, window, min_periods=5, closed=closed)
        theirs = getattr(frame.reset_index(drop=True).rolling(window, min_periods=5, closed=closed), stat)()
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)
        ours = getattr(fl.rolling, stat)(x, f"{window}ns", times=frame.index, min_periods=5, closed=closed)
        theirs = getattr(frame.rolling(f"{window}ns", min_periods=5, closed=closed), stat)()
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("window", [1, 2, 7, 8, 9, 64, 100, 3000, 9000])
@pytest.mark.parametrize("q", [0.0, 0.1, 0.25, 0.5, 0.99, 1.0])
def test_quantiles(q: float, window: int) -> None:
    rng = np.random.default_rng(5)
    x = np.where(rng.random(9500) < 0.3, rng.integers(0, 5, 9500), rng.normal(0, 1e6, 9500))
    found = fl.rolling.quantile(x, window, q)
    assert np.isnan(found[: window - 1]).all()
    for i in [*range(window - 1, 9500, 97), 9499]:
        assert found[i] == pytest.approx(np.quantile(x[i - window + 1 : i + 1], q), rel=1e-14, abs=1e-12)


def test_quantiles_of_numbers_that_differ_in_their_last_bits_only() -> None:
    rng = np.random.default_rng(6)
    x = 1e9 + rng.normal(0, 1e-5, 3000)
    x[1000], x[2000] = 0.0, -1e300
    found = fl.rolling.median(x, 51)
    for i in range(50, 3000):
        assert found[i] == np.median(x[i - 50 : i + 1])


@pytest.mark.parametrize("adjust", [True, False])
@pytest.mark.parametrize("ignore", [True, False])
@pytest.mark.parametrize("stat", ["mean", "var", "std"])
def test_exponential_weights_as_pandas(stat: str, adjust: bool, ignore: bool) -> None:
    rng = np.random.default_rng(8)
    for n in (0, 1, 7, 8, 9, 1000):
        x = rng.normal(5, 1, n)
        for holes in (0.0, 0.2):
            x[rng.random(n) < holes] = np.nan
            for alpha in (1e-3, 0.3, 0.99, 1.0):
                ours = getattr(fl.rolling, f"ewm_{stat}")(x, alpha=alpha, adjust=adjust, ignore_nan=ignore)
                theirs = getattr(pd.Series(x).ewm(alpha=alpha, adjust=adjust, ignore_na=ignore), stat)()
                # pandas subtracts the sum of squared weights, which are nearly all at 0.99
                np.testing.assert_allclose(ours, theirs, rtol=1e-10 if stat == "mean" else 1e-5, atol=1e-12)


def test_exponential_weights_by_other_names_and_by_the_clock() -> None:
    rng = np.random.default_rng(9)
    x = rng.normal(5, 1, 500)
    times = pd.to_datetime(np.sort(rng.integers(0, 10**15, 500)))
    np.testing.assert_allclose(fl.rolling.ewm_mean(x, span=20), pd.Series(x).ewm(span=20).mean(), rtol=1e-12)
    np.testing.assert_allclose(fl.rolling.ewm_mean(x, half_life=20), pd.Series(x).ewm(halflife=20).mean(), rtol=1e-12)
    theirs = pd.Series(x).ewm(halflife="1h", times=times).mean()
    np.testing.assert_allclose(fl.rolling.ewm_mean(x, half_life="1h", times=times), theirs, rtol=1e-12)
    np.testing.assert_allclose(
        fl.rolling.ewm_mean(x, alpha=0.1, min_periods=3)[:4], pd.Series(x).ewm(alpha=0.1, min_periods=3).mean()[:4]
    )


def test_rows_are_series_of_their_own() -> None:
    rng = np.random.default_rng(10)
    x, y = rng.normal(0, 1, (3, 200)), rng.normal(0, 1, (3, 200))
    x[1, 50] = np.nan
    times = np.sort(rng.integers(0, 1000, 200))
    for window, stamps in ((10, None), ("40ns", times)):
        many = fl.rolling.many(x, window, ["mean", "var", "median", "argmax", "count"], times=stamps, min_periods=1)
        pairs = fl.rolling.corr(x, y, window, times=stamps)
        for r in range(3):
            one = fl.rolling.many(
                x[r], window, ["mean", "var", "median", "argmax", "count"], times=stamps, min_periods=1
            )
            for stat, values in many.items():
                np.testing.assert_array_equal(values[r], one[stat])
            np.testing.assert_array_equal(pairs[r], fl.rolling.corr(x[r], y[r], window, times=stamps))
    np.testing.assert_array_equal(fl.rolling.ewm_mean(x, span=9)[2], fl.rolling.ewm_mean(x[2], span=9))


def test_together_as_alone() -> None:
    rng = np.random.default_rng(11)
    x = rng.normal(0, 1, 3000)
    times = np.sort(rng.integers(0, 100_000, 3000))
    names = ["sum", "mean", "var", "std", "min", "max", "argmin", "median", "rank", "count"]
    for window, stamps in ((20, None), ("500ns", times)):
        together = fl.rolling.many(x, window, names, times=stamps, min_periods=1)
        assert list(together) == names
        for name in names:
            alone = getattr(fl.rolling, name)(x, window, times=stamps, min_periods=1)
            np.testing.assert_allclose(together[name], alone, rtol=1e-13, atol=1e-13)
    rate = fl.rolling.rate(x, "500ns", times=times)
    np.testing.assert_array_equal(rate, together["count"] * 1e9 / 500)


def test_times_in_any_notation() -> None:
    x = [1.0, 2.0, 3.0, 5.0]
    day = timedelta(hours=12)
    stamps = [datetime(2024, 1, 1, tzinfo=timezone.utc) + i * day for i in range(4)]
    right = [1.0, 1.5, 2.5, 4.0]
    forms = [
        stamps,
        [t.isoformat() for t in stamps],
        pd.DatetimeIndex(stamps),
        pd.DatetimeIndex(stamps).tz_localize(None),
        pd.DatetimeIndex(stamps).tz_localize(None).to_numpy().astype("datetime64[s]"),
        [int(t.timestamp()) * 10**9 for t in stamps],
    ]
    for times in forms:
        assert fl.rolling.mean(x, "24h", times=times).tolist() == right
        assert fl.rolling.mean(x, np.timedelta64(24, "h"), times=times).tolist() == right  # type: ignore[arg-type]
    assert fl.rolling.mean(x, "24h", times=[-(2**63), -(2**63), 2**63 - 1, 2**63 - 1]).tolist() == [1.0, 1.5, 3.0, 4.0]


def every_stat(x: np.ndarray, times: np.ndarray) -> list[np.ndarray]:
    names = ["sum", "mean", "var", "std", "skew", "kurt", "min", "max", "argmin", "argmax", "median", "rank", "count"]
    y = x[::-1].copy()
    found: list[np.ndarray] = []
    for window in (1, 3, 8, 50, 131, 5000):
        for least in (1, window):
            found += fl.rolling.many(x, window, names, min_periods=least).values()
            found += fl.rolling.many(x, f"{window}ns", names, times=times[: len(x)]).values()
            found += fl.rolling.many(x, window, ["cov", "corr", "beta"], y=y, min_periods=least).values()
            found += [
                getattr(fl.rolling, name)(x, window, min_periods=least)
                for name in ("sum", "mean", "var", "std", "min", "max")
            ]
    long = np.tile(x, 6)[:6000]
    found += [getattr(fl.rolling, name)(long, 2100) for name in ("sum", "mean", "var", "max")]
    found += [fl.rolling.ewm_mean(x, alpha=a, adjust=b) for a in (1e-4, 0.1, 0.9, 1.0) for b in (True, False)]
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_every_instruction_set_gives_the_same_bits(level: str) -> None:
    before = _core.simd_level()
    rng = np.random.default_rng(12)
    wild = np.where(rng.random(1003) < 0.1, 1e12, rng.normal(0, 1, 1003))
    holed = np.where(rng.random(1003) < 0.05, np.nan, np.where(rng.random(1003) < 0.01, np.inf, wild))
    times = np.sort(rng.integers(0, 3000, 1003))
    try:
        _core.set_simd_level("scalar")
        right = [every_stat(x, times) for x in (wild, holed, wild[:5], holed.round(0))]
        try:
            _core.set_simd_level(level)
        except ValueError:
            pytest.skip(f"this machine has no {level}")
        found = [every_stat(x, times) for x in (wild, holed, wild[:5], holed.round(0))]
        fl.rolling.mean(wild, 10)
        assert _core.simd_ran() == level
    finally:
        _core.set_simd_level(before)
    for ours, theirs in zip(found, right, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(np.isnan(a), np.isnan(b))
            known = ~np.isnan(a)
            assert a[known].tobytes() == b[known].tobytes()
