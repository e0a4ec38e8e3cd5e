"""Windows and rolling statistics."""

from __future__ import annotations

import importlib
import math
import statistics
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

import fairlead as fl


def rolling(n: int) -> Row:
    x = np.random.default_rng(7).normal(0, 1, n).tolist()

    def ours() -> fl.RollingWindow:
        window = fl.RollingWindow(100)
        push = window.push
        for value in x:
            push(value)
            _ = window.mean
            _ = window.variance()
        return window

    peers: dict[str, Run] = {}
    river = peer("river.stats")
    if river is not None:
        utils = importlib.import_module("river.utils")

        def theirs() -> Any:
            variance = utils.Rolling(river.Var, window_size=100)
            mean = utils.Rolling(river.Mean, window_size=100)
            for value in x:
                variance.update(value)
                mean.update(value)
                variance.get()
                mean.get()
            return variance

        peers["river"] = theirs
    exact = float(np.var(np.array(x[-100:], dtype=np.longdouble), ddof=1))
    return Row(
        "Window of 100: push, read mean and variance",
        "ns/sample",
        n,
        ours,
        peers,
        f"{abs(ours().variance() / exact - 1):.0e} relative",
    )


def exact(x: Any, window: int, i: int, stat: str, y: Any = None) -> float:
    """A statistic of the window that ends at i, from exact fractions (of the sums, where it has a root)."""
    inside = [Fraction(float(v)) for v in x[i - window + 1 : i + 1]]
    if stat in ("min", "max"):
        return float({"min": min, "max": max}[stat](inside))
    if stat == "argmin":
        return float(i - window + 1 + inside.index(min(inside)))
    if stat == "median":
        return statistics.median(float(v) for v in inside)
    mean = sum(inside) / window
    if stat == "mean":
        return float(mean)
    squares = sum((v - mean) ** 2 for v in inside)
    if stat == "var":
        return float(squares / (window - 1))
    if stat == "skew":
        scaled = float(sum((v - mean) ** 3 for v in inside) / window) / float(squares / window) ** 1.5
        return scaled * math.sqrt(window * (window - 1)) / (window - 2)
    if stat == "kurt":
        scaled_4 = (window + 1) * sum((v - mean) ** 4 for v in inside) * window / squares**2 - 3 * (window - 1)
        return float(scaled_4 * (window - 1) / ((window - 2) * (window - 3)))
    others = [Fraction(float(v)) for v in y[i - window + 1 : i + 1]]
    middle = sum(others) / window
    both = sum((v - mean) * (u - middle) for v, u in zip(inside, others, strict=True))
    if stat in ("cov", "beta"):
        return float(both / (window - 1 if stat == "cov" else squares))
    product = squares * sum((u - middle) ** 2 for u in others)
    return float(both / Fraction(math.isqrt(product.numerator * product.denominator), product.denominator))


def worst(found: Any, x: Any, window: int, stat: str, y: Any = None) -> str:
    """The largest relative error at some forty places (of a mean, relative to the deviation of the data)."""
    last = len(x) - 1
    places = sorted({window - 1, last, *np.linspace(window - 1, last, 40 if window <= 100 else 4).astype(int).tolist()})
    errors = []
    for i in places:
        right = exact(x, window, i, stat, y)
        errors.append(abs(float(found[i]) - right) / (float(np.std(x)) if stat == "mean" else abs(right) or 1.0))
    return f"{max(errors):.0e} relative"


PAIRS = ("cov", "corr", "beta")
TALIB = {"mean": "SMA", "var": "VAR", "min": "MIN", "max": "MAX", "corr": "CORREL", "argmin": "MININDEX"}


def batch_peers(stat: str, x: Any, y: Any, window: int) -> dict[str, Run]:
    """Those that have the statistic. argmin: some count from the newest sample."""
    data = (x, y) if stat in PAIRS else (x,)
    bottleneck, talib, numbagg, screamer = (peer(name) for name in ("bottleneck", "talib", "numbagg", "screamer"))
    found: dict[str, Run] = {}
    move = getattr(bottleneck, f"move_{stat}", None)
    if move is not None:
        found["bottleneck"] = lambda: move(x, window, ddof=1) if stat == "var" else move(x, window)
    function = getattr(talib, TALIB.get(stat, "-"), None)
    if function is not None:
        found["TA-Lib"] = lambda: function(*data, window)
    moving = getattr(numbagg, f"move_{stat}", None)
    if moving is not None:
        found["numbagg"] = lambda: moving(*data, window=window)
    kind = getattr(screamer, f"Rolling{stat.title()}", None)
    if kind is not None:
        found["screamer"] = lambda: kind(window)(*data)
    pandas, polars = peer("pandas"), peer("polars")
    if pandas is not None and hasattr(pandas.Series(x).rolling(window), stat):
        series, others = pandas.Series(x), [pandas.Series(v) for v in data[1:]]
        found["pandas"] = lambda: getattr(series.rolling(window), stat)(*others)
    if polars is not None:
        column, frame = polars.Series(x), polars.DataFrame({"x": x, "y": y})
        name = "rolling_kurtosis" if stat == "kurt" else f"rolling_{stat}"
        if stat in ("skew", "kurt"):
            found["polars"] = lambda: getattr(column, name)(window, bias=False)
        elif stat in PAIRS and hasattr(polars, name):
            found["polars"] = lambda: frame.select(getattr(polars, name)("x", "y", window_size=window))
        elif hasattr(column, name):
            found["polars"] = lambda: getattr(column, name)(window)
    return found


BARS = {
    ("mean", 100): 0.8, ("mean", 10_000): 0.8, ("var", 100): 1.0, ("var", 10_000): 1.0, ("min", 100): 0.9,
    ("min", 10_000): 0.9, ("max", 100): 0.9, ("corr", 100): 2.0, ("corr", 10_000): 2.0, ("median", 100): 40.0,
    ("median", 10_000): 25.0,
}  # fmt: skip
WITHOUT_BAR = [("skew", 100), ("kurt", 100), ("cov", 100), ("beta", 100), ("argmin", 100)]


def batch(stat: str, window: int, n: int) -> Row:
    """One statistic of all windows of an array, into a new array as with all the peers."""
    rng = np.random.default_rng(8)
    x = rng.normal(0, 1, n)
    y = x + rng.normal(0, 1, n)
    function: Any = getattr(fl.rolling, stat)

    def ours() -> Any:
        return function(x, y, window) if stat in PAIRS else function(x, window)

    return Row(
        f"rolling.{stat}, window {window:,}",
        "ns/element",
        n,
        ours,
        batch_peers(stat, x, y, window),
        worst(ours(), x, window, stat, y),
        f"{BARS[stat, window]:g} ns" if (stat, window) in BARS else "",
    )


def many_series(n: int) -> Row:
    """The means of many series at once, a series to a row."""
    count, window = 100, 100
    x = np.random.default_rng(12).normal(0, 1, (count, n // count))
    found: dict[str, Run] = {}
    bottleneck, numbagg, pandas = (peer(name) for name in ("bottleneck", "numbagg", "pandas"))
    if bottleneck is not None:
        found["bottleneck"] = lambda: bottleneck.move_mean(x, window, axis=1)
    if numbagg is not None:
        found["numbagg"] = lambda: numbagg.move_mean(x, window=window, axis=1)
    if pandas is not None:
        frame = pandas.DataFrame(x.T.copy())
        found["pandas"] = lambda: frame.rolling(window).mean()

    def ours() -> Any:
        return fl.rolling.mean(x, window)

    result = ours()
    error = max(float(worst(result[k], x[k], window, "mean").split()[0]) for k in (0, count // 2, count - 1))
    return Row("rolling.mean, window 100, 100 series", "ns/element", n, ours, found, f"{error:.0e} relative")


def weighted(n: int) -> Row:
    x = np.random.default_rng(9).normal(0, 1, n)
    found: dict[str, Run] = {}
    talib, numbagg, screamer, pandas, polars = (
        peer(name) for name in ("talib", "numbagg", "screamer", "pandas", "polars")
    )
    if talib is not None:
        found["TA-Lib"] = lambda: talib.EMA(x, 100)
    if numbagg is not None:
        found["numbagg"] = lambda: numbagg.move_exp_nanmean(x, alpha=2 / 101)
    if screamer is not None:
        found["screamer"] = lambda: screamer.EwMean(span=100)(x)
    if pandas is not None:
        series = pandas.Series(x)
        found["pandas"] = lambda: series.ewm(span=100).mean()
    if polars is not None:
        column = polars.Series(x)
        found["polars"] = lambda: column.ewm_mean(span=100)

    def ours() -> Any:
        return fl.rolling.ewm_mean(x, span=100)

    keep, total, weight = Fraction(1) - Fraction(2 / 101), Fraction(0), Fraction(0)
    for value in x[:300]:
        total, weight = keep * total + Fraction(float(value)), keep * weight + 1
    error = abs(float(ours()[299]) / float(total / weight) - 1)
    return Row("rolling.ewm_mean, span 100", "ns/element", n, ours, found, f"{error:.0e} relative", "0.5 ns")


def weighted_var(n: int) -> Row:
    x = np.random.default_rng(9).normal(0, 1, n)
    found: dict[str, Run] = {}
    numbagg, screamer, pandas, polars = (peer(name) for name in ("numbagg", "screamer", "pandas", "polars"))
    if numbagg is not None:
        found["numbagg"] = lambda: numbagg.move_exp_nanvar(x, alpha=2 / 101)
    if screamer is not None:
        found["screamer"] = lambda: screamer.EwVar(span=100)(x)
    if pandas is not None:
        series = pandas.Series(x)
        found["pandas"] = lambda: series.ewm(span=100).var()
    if polars is not None:
        column = polars.Series(x)
        found["polars"] = lambda: column.ewm_var(span=100)

    def ours() -> Any:
        return fl.rolling.ewm_var(x, span=100)

    values = [Fraction(float(v)) for v in x[:300]]
    weights = [(1 - Fraction(2 / 101)) ** (299 - i) for i in range(300)]
    total = sum(weights)
    mean = sum(w * v for w, v in zip(weights, values, strict=True)) / total
    squares = sum(w * (v - mean) ** 2 for w, v in zip(weights, values, strict=True))
    right = squares * total / (total**2 - sum(w * w for w in weights))
    error = abs(float(ours()[299]) / float(right) - 1)
    return Row("rolling.ewm_var, span 100", "ns/element", n, ours, found, f"{error:.0e} relative")


def by_time(n: int) -> Row:
    """Four statistics of the last 24 hours over irregular times, some 1,440 samples to a window."""
    rng = np.random.default_rng(10)
    x = rng.normal(0, 1, n)
    times = np.cumsum(rng.exponential(60e9, n)).astype(np.int64) + 10**18
    stats = ["mean", "var", "min", "max"]

    def ours() -> Any:
        return fl.rolling.many(x, "24h", stats, times=times)

    found: dict[str, Run] = {}
    pandas, polars = peer("pandas"), peer("polars")
    if pandas is not None:
        windows = pandas.Series(x, index=pandas.to_datetime(times)).rolling("24h")
        found["pandas"] = lambda: [getattr(windows, stat)() for stat in stats]
    if polars is not None:
        frame = polars.DataFrame({"t": times, "x": x}).with_columns(polars.col("t").cast(polars.Datetime("ns")))
        columns = [getattr(polars.col("x"), f"rolling_{stat}_by")("t", window_size="24h") for stat in stats]
        found["polars"] = lambda: frame.select(
            *[column.alias(stat) for column, stat in zip(columns, stats, strict=True)]
        )
    result = ours()
    last = int(np.searchsorted(times, times[-1] - 86400 * 10**9, side="right"))
    error = abs(float(result["var"][-1]) / exact(x, n - last, n - 1, "var") - 1)
    return Row("rolling.many, 24h, 4 statistics", "ns/element", n, ours, found, f"{error:.0e} relative", "25 ns")


def hard(n: int) -> Row:
    """A variance where running sums fail: an offset of 1e9, spikes of 1e12, a decay from 1e8 to 1e-8."""
    rng = np.random.default_rng(11)
    spiked = rng.normal(0, 1, n)
    spiked[:: n // 7] = 1e12
    kinds = {
        "offset": 1e9 + rng.normal(0, 1, n),
        "spikes": spiked,
        "decay": rng.normal(0, 1, n) * np.geomspace(1e8, 1e-8, n),
    }
    errors = [f"{name} {worst(fl.rolling.var(x, 100), x, 100, 'var').split()[0]}" for name, x in kinds.items()]
    x = kinds["decay"]
    return Row(
        "rolling.var, window 100, hard data",
        "ns/element",
        n,
        lambda: fl.rolling.var(x, 100),
        batch_peers("var", x, x, 100),
        ", ".join(errors),
        "1 ns",
    )


def rows(size: Size) -> Iterator[Row]:
    yield rolling(size.scaled(100_000))
    n = size.scaled(1_000_000)
    for stat, window in [*BARS, *WITHOUT_BAR]:
        yield batch(stat, window, n)
    yield many_series(n)
    yield weighted(n)
    yield weighted_var(n)
    yield by_time(n)
    yield hard(n)
