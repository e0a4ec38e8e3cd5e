"""Windows against exact arithmetic: what is inside a window, and each of its statistics."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl

EPS = 2.0**-52
SECOND = 10**9
ALL = [
    "count", "sum", "mean", "var", "std", "skew", "kurt", "min", "max", "range", "argmin", "argmax", "min_age",
    "max_age", "first", "last", "rate", "median", "q0.9", "quantile(0.25)",
]  # fmt: skip
PAIRS = ["cov", "corr", "beta"]
Sample = tuple[int, float]


def inside(samples: list[Sample], now: int, window: int | str, closed: str = "right") -> list[Sample]:
    """What a window holds; "9s" is a span of nine seconds, an int a count. Samples in order of time."""
    if isinstance(window, int):
        end = len(samples) - (closed in ("left", "neither"))
        keep = window + {"right": 0, "left": 0, "both": 1, "neither": -1}[closed]
        return samples[max(0, end - keep) : max(end, 0)]
    span = int(window[:-1]) * SECOND
    return [
        (t, x)
        for t, x in samples
        if (t <= now if closed in ("right", "both") else t < now)
        and (t >= now - span if closed in ("left", "both") else t > now - span)
    ]


def expected(stat: str, held: list[Sample], now: int, window: int | str) -> float:
    """One statistic of these samples in exact arithmetic, rounded at the end."""
    xs = [x for _, x in held]
    n = len(xs)
    if stat == "count":
        return n
    if stat == "rate":
        if isinstance(window, str):
            return n / int(window[:-1])
        took = held[-1][0] - held[0][0] if n > 1 else 0
        return (n - 1) * SECOND / took if took else math.nan
    if n == 0:
        return math.nan
    exact = [Fraction(x) for x in xs]
    mean = sum(exact) / n
    powers = {k: sum((x - mean) ** k for x in exact) / n for k in (2, 3, 4)}
    simple: dict[str, Callable[[], Any]] = {
        "sum": lambda: sum(exact),
        "mean": lambda: mean,
        "var": lambda: powers[2] * n / (n - 1) if n > 1 else math.nan,
        "std": lambda: math.sqrt(powers[2] * n / (n - 1)) if n > 1 else math.nan,
        "min": lambda: min(xs),
        "max": lambda: max(xs),
        "range": lambda: max(xs) - min(xs),
        "argmin": lambda: xs.index(min(xs)),
        "argmax": lambda: xs.index(max(xs)),
        "min_age": lambda: (now - held[xs.index(min(xs))][0]) / SECOND,
        "max_age": lambda: (now - held[xs.index(max(xs))][0]) / SECOND,
        "first": lambda: xs[0],
        "last": lambda: xs[-1],
        "median": lambda: np.quantile(xs, 0.5),
        "q0.9": lambda: np.quantile(xs, 0.9),
        "quantile(0.25)": lambda: np.quantile(xs, 0.25),
    }
    if stat in simple:
        return float(simple[stat]())
    if stat == "skew":
        if n < 3 or powers[2] == 0:
            return math.nan
        return math.sqrt(n * (n - 1)) / (n - 2) * float(powers[3]) / float(powers[2]) ** 1.5
    assert stat == "kurt"
    if n < 4 or powers[2] == 0:
        return math.nan
    return float(Fraction(n - 1, (n - 2) * (n - 3)) * ((n + 1) * powers[4] / powers[2] ** 2 - 3 * (n - 1)))


def check(found: np.ndarray, stats: list[str], held: list[Sample], now: int, window: int | str) -> None:
    big = max((abs(x) for _, x in held), default=0.0)
    for value, stat in zip(found.tolist(), stats, strict=True):
        wanted = expected(stat, held, now, window)
        slack = {"sum": 4 * EPS * big * len(held), "mean": 4 * EPS * big, "skew": 1e-9, "kurt": 1e-9}.get(stat, 1e-300)
        if stat in ("median", "q0.9", "quantile(0.25)"):
            slack = 4 * EPS * big
        if stat in ("var", "std"):
            assert math.isnan(value) or value >= 0.0
            if wanted == 0.0:
                assert value == 0.0
        assert value == pytest.approx(wanted, rel=1e-12, abs=slack, nan_ok=True), (stat, window)


def stream(name: str, n: int) -> list[float]:
    dice = random.Random(name)
    if name == "steps":
        return [float(dice.randint(-3, 3)) for _ in range(n)]
    if name == "far from zero":
        return [1e9 + dice.gauss(0, 1) for _ in range(n)]
    if name == "spikes":
        return [1e12 if i % 97 == 40 else dice.gauss(0, 1) for i in range(n)]
    if name == "decay":
        return [1e8 * 10 ** (-16 * i / (n - 1)) for i in range(n)]
    if name == "bursts":
        return [dice.gauss(0, 1) if i % 60 < 15 else 0.1 for i in range(n)]
    return [dice.gauss(0, 1) for _ in range(n)]


STREAMS = ["gauss", "steps", "far from zero", "spikes", "decay", "bursts"]
WINDOWS: list[int | str] = [1, 2, 3, 17, "9s", "40s", 64]


@pytest.mark.parametrize("closed", ["right", "left", "both", "neither"])
@pytest.mark.parametrize("name", STREAMS)
def test_every_statistic_of_every_window(name: str, closed: str) -> None:
    # A fourth moment about 1e12 leaves nothing of what is beside it.
    stats = [stat for stat in ALL if name != "spikes" or stat not in ("skew", "kurt")]
    W = fl.Windows(WINDOWS, stats=stats, closed=closed)
    h = W.handle("a")
    dice = random.Random(closed)
    now, seen = 1_700_000_000 * SECOND, []
    for i, x in enumerate(stream(name, 250)):
        now += dice.choice([0, 1, SECOND // 2, SECOND, SECOND, 3 * SECOND, 9 * SECOND])
        W.update(h, now, x)
        seen.append((now, x))
        if i > 9 and i % 23 != 0:  # exact arithmetic is slow
            continue
        for found, window in zip(W.read(h), WINDOWS, strict=True):
            check(found, stats, inside(seen, now, window, closed), now, window)


def var_error(name: str, x: list[float], n: int = 100) -> float:
    """The largest relative error of the variance of the last n of x, in exact arithmetic."""
    W = fl.Windows(n, stats="var", min_periods=n)
    found = W.roll("a", np.arange(len(x)), x)[n - 1 :, 0, 0]
    exact = [Fraction(v) for v in x]
    s, ss, worst = Fraction(0), Fraction(0), Fraction(0)
    for i, v in enumerate(exact):
        s, ss = s + v, ss + v * v
        if i >= n:
            s, ss = s - exact[i - n], ss - exact[i - n] ** 2
        if i >= n - 1:
            true = (ss - s * s / n) / (n - 1)
            worst = max(worst, abs(Fraction(float(found[i - n + 1])) - true) / true)
    return float(worst)


@pytest.mark.parametrize(
    ("name", "bound"), [("far from zero", 1e-15), ("spikes", 1e-15), ("decay", 1e-14), ("gauss", 1e-15)]
)
def test_variance_survives_offsets_spikes_and_decay(name: str, bound: float) -> None:
    assert var_error(name, stream(name, 1000)) < bound


@pytest.mark.parametrize("value", [0.1, 1e9 / 3, -1e-300, 1e150])
def test_a_constant_window_has_variance_exactly_zero(value: float) -> None:
    W = fl.Windows([13, "5s"], stats=["var", "mean", "min", "max", "ewm_var"])
    for i, x in enumerate([*stream("gauss", 40), *[value] * 50]):
        W.update("a", i * SECOND, x)
    for row in W["a"].values():
        assert row["var"] == 0.0
        assert row["mean"] == row["min"] == row["max"] == value
        assert row["ewm_var"] >= 0.0


@given(
    st.lists(
        st.tuples(st.sampled_from([0, 1, 4, 5, 6, 30]), st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, -0.0, 7.5])),
        max_size=60,
    ),
    st.sampled_from(["right", "left", "both", "neither"]),
    st.lists(st.integers(1, 12) | st.sampled_from(["5s", "12s", "1s"]), min_size=1, max_size=3, unique=True),
)
def test_any_stream(steps: list[tuple[int, float]], closed: str, windows: list[int | str]) -> None:
    stats = ["count", "sum", "mean", "var", "min", "max", "argmin", "argmax", "first", "last", "median", "rate"]
    W = fl.Windows(windows, stats=stats, closed=closed)
    now, seen = 0, []
    for step, x in steps:
        now += step * SECOND
        if step == 30:
            W.advance(now, W.handle("a"))
        W.update("a", now, x)
        seen.append((now, x))
        for found, window in zip(W.read("a"), windows, strict=True):
            held = inside(seen, now, window, closed)
            slack = max((x * x for _, x in held), default=0.0) * 1e-15 + 1e-300
            for value, stat in zip(found, stats, strict=True):
                wanted = expected(stat, held, now, window)
                assert value == pytest.approx(wanted, rel=1e-9, abs=slack if stat == "var" else 1e-9, nan_ok=True), stat


def test_time_drains_windows_without_a_sample() -> None:
    W = fl.Windows(["10s", 2], stats=["count", "sum", "rate", "min", "median"])
    W.update("a", 0, 1.0)
    W.update("a", 5 * SECOND, 2.0)
    W.advance(11 * SECOND)
    assert W["a"]["10s"] == {"count": 1.0, "sum": 2.0, "rate": 0.1, "min": 2.0, "median": 2.0}
    W.advance(3 * SECOND)  # backwards changes nothing
    assert W.newest("a") == 11 * SECOND
    W.advance(100 * SECOND, "a")
    assert W["a"]["10s"] == pytest.approx(
        {"count": 0, "sum": math.nan, "rate": 0, "min": math.nan, "median": math.nan}, nan_ok=True
    )
    assert W["a"]["2"]["sum"] == 3.0
    W.update("a", 101 * SECOND, 4.0)
    assert W["a"]["10s"]["sum"] == 4.0


@pytest.mark.parametrize("name", ["gauss", "far from zero", "decay"])
def test_pairs(name: str) -> None:
    stats = [*PAIRS, "mean", "count"]
    W = fl.Windows([5, 30, "9s"], stats=stats)
    x = stream(name, 300)
    y = [2.0 * a + b * max(abs(a), 1e-6) for a, b in zip(x, stream("other", 300), strict=True)]
    for i, (a, b) in enumerate(zip(x, y, strict=True)):
        W.update("p", i * SECOND, a, b)
        for row, n in zip(W.read("p"), (5, 30, 9), strict=True):
            xs, ys = [[Fraction(v) for v in s[max(0, i + 1 - n) : i + 1]] for s in (x, y)]
            k = len(xs)
            mx, my = sum(xs) / k, sum(ys) / k
            c = sum((u - mx) * (v - my) for u, v in zip(xs, ys, strict=True))
            vx, vy = sum((u - mx) ** 2 for u in xs), sum((v - my) ** 2 for v in ys)
            if k < 2:
                assert np.isnan(row[:3]).all()
                continue
            scale = math.sqrt(vx * vy)
            assert abs(row[0] - float(c / (k - 1))) <= 1e-13 * scale
            assert abs(row[1] - float(c) / scale) <= 1e-13
            assert row[2] == pytest.approx(float(c / vx), rel=1e-12, abs=1e-13 * scale / float(vx))
            assert -1.0 <= row[1] <= 1.0


def test_correlation_with_a_constant_is_nan() -> None:
    W = fl.Windows(5, stats=PAIRS)
    for i in range(6):
        W.update("a", i, 0.1, float(i))
    assert W["a"]["5"] == pytest.approx({"cov": 0.0, "corr": math.nan, "beta": math.nan}, nan_ok=True)


def test_a_value_beyond_squares_leaves_no_trace() -> None:
    W = fl.Windows(5, stats=["mean", "var", "skew", "max"])
    for i, x in enumerate([1.0, 1e200, -1e308, *[1.0, 2.0, 4.0, 7.0, 7.5]]):
        W.update("a", i, x)
    assert W["a"]["5"]["mean"] == 4.3
    assert W["a"]["5"]["var"] == pytest.approx(np.var([1.0, 2.0, 4.0, 7.0, 7.5], ddof=1), rel=1e-15)
    assert W["a"]["5"]["max"] == 7.5
