"""Windows: keyed streams of events, and the same object over arrays."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer
from numpy.typing import NDArray

import fairlead as fl

STATS = ["mean", "var", "min", "max"]
COUNTS = [20, 100, 1000]
SPANS = ["24h", "7d", "30d"]
Floats = NDArray[np.float64]


def events(n: int, keys: int = 1) -> tuple[NDArray[np.int64], Floats, list[str]]:
    """Times a minute apart on average, samples, and their keys."""
    dice = np.random.default_rng(11)
    times = 1_700_000_000 * 10**9 + np.cumsum(dice.exponential(60e9, n)).astype(np.int64)
    return times, dice.normal(0, 1, n), [f"key-{k}" for k in dice.integers(0, keys, n)]


def variance_error(found: Floats, times: NDArray[np.int64], x: Floats, span: int) -> float:
    """The largest relative error of these variances, one a sample, over (t - span, t], in exact arithmetic."""
    exact = [Fraction(float(v)) for v in x]
    total, squares, low, worst = Fraction(0), Fraction(0), 0, 0.0
    for i, v in enumerate(exact):
        total, squares = total + v, squares + v * v
        while times[i] - times[low] >= span:
            total, squares, low = total - exact[low], squares - exact[low] ** 2, low + 1
        n = i + 1 - low
        true = (squares - total * total / n) / (n - 1) if n > 1 else Fraction(0)
        if true > 0:
            worst = max(worst, float(abs(Fraction(float(found[i])) - true) / true))
    return worst


def hard_cases() -> str:
    """Errors of the variance of the last 100 on an offset of 1e9, spikes of 1e12, and a decay from 1e8 to 1e-8."""
    n = 2000
    noise = np.random.default_rng(5).normal(0, 1, n)
    spikes = np.where(np.arange(n) % 270 == 40, 1e12, noise)
    index = np.arange(n)
    worst = []
    for x in (1e9 + noise, spikes, 1e8 * 10.0 ** (-16 * index / (n - 1))):
        found = fl.Windows(100, stats="var").roll("a", index, x)[:, 0, 0]
        worst.append(f"{variance_error(found, index, x, 100):.0e}")
    return "var " + ", ".join(worst)


def stream(lengths: list[Any], n: int, keys: int, unit: str, bar: str) -> Row:
    times, x, names = events(n, keys)
    named = list(zip(names, times.tolist(), x.tolist(), strict=True))
    order = {name: h for h, name in enumerate(dict.fromkeys(names))}  # handles count up from 0
    with_handles = [(order[name], t, v) for name, t, v in named]

    def ours() -> Floats:
        windows = fl.Windows(lengths, stats=STATS)
        for name in order:
            windows.handle(name)
        update = windows.update
        out = np.empty((len(lengths), len(STATS)))
        for h, t, v in with_handles:
            update(h, t, v, out)
        return out

    peers: dict[str, Run] = {}
    peer_work: dict[str, int] = {}
    few = n // 4
    river = peer("river.stats")
    if river is not None:
        utils = importlib.import_module("river.utils")

        def by_count() -> list[tuple[Any, Any, Any]]:
            return [
                (utils.Rolling(river.Var, window_size=w), river.RollingMin(w), river.RollingMax(w)) for w in lengths
            ]

        def by_time() -> list[tuple[Any]]:
            spans = (timedelta(days=1), timedelta(days=7), timedelta(days=30))
            return [(utils.TimeRolling(river.Var, period=span),) for span in spans]

        new: Callable[[], Any] = by_time if isinstance(lengths[0], str) else by_count
        when = [datetime.fromtimestamp(t / 1e9, timezone.utc).replace(tzinfo=None) for t in times[:few].tolist()]

        def theirs() -> Any:
            trackers: dict[str, Any] = {}
            for (name, _, v), t in zip(named[:few], when, strict=True):
                tracker = trackers.get(name) or trackers.setdefault(name, new())
                for one in tracker:
                    for part in one:
                        if new is by_time:
                            part.update(v, t=t)
                        else:
                            part.update(v)
                        part.get()
                    _ = one[0].mean.get()
            return trackers

        label = "river" if new is by_count else "river (mean and var only)"
        peers[label], peer_work[label] = theirs, few
    screamer = peer("screamer") if not isinstance(lengths[0], str) else None
    if screamer is not None:
        kinds = (screamer.RollingMean, screamer.RollingVar, screamer.RollingMin, screamer.RollingMax)

        made = {name: [kind(w) for w in lengths for kind in kinds] for name in order}  # not timed: it takes long

        def screams() -> Any:
            for name, _, v in named[:few]:
                for one in made[name]:
                    one(v)
            return made

        peers["screamer"], peer_work["screamer"] = screams, few
    return Row(
        f"Windows {', '.join(map(str, lengths))} x mean, var, min, max, {unit}: update and read all twelve",
        "ns/event",
        n,
        ours,
        peers,
        error=hard_cases(),
        bar=bar,
        peer_work=peer_work,
    )


def day(n: int) -> Row:
    times, x, _ = events(n)
    out = np.empty((n, 1, len(STATS)))

    def ours() -> Floats:
        return fl.Windows("24h", stats=STATS).roll("a", times, x, out=out)

    peers: dict[str, Run] = {}
    peer_work: dict[str, int] = {}
    pd = peer("pandas")
    if pd is not None:
        series = pd.Series(x, index=pd.to_datetime(times))

        def pandas() -> Any:
            rolling = series.rolling("24h")
            return [rolling.mean(), rolling.var(), rolling.min(), rolling.max()]

        peers["pandas"] = pandas
    pl = peer("polars")
    if pl is not None:
        frame = pl.DataFrame({"t": times, "x": x}).with_columns(pl.col("t").cast(pl.Datetime("ns")).set_sorted())
        column = pl.col("x")

        def polars() -> Any:
            by = {"by": "t", "window_size": "24h"}
            return frame.select(
                column.rolling_mean_by(**by).alias("mean"),
                column.rolling_var_by(**by).alias("var"),
                column.rolling_min_by(**by).alias("min"),
                column.rolling_max_by(**by).alias("max"),
            )

        peers["polars"] = polars
    duckdb = peer("duckdb")
    if duckdb is not None and pl is not None:
        few = min(n, 5_000)
        connection = duckdb.connect()
        connection.register("s", frame.head(few).to_arrow())

        def ducks() -> Any:
            return connection.execute(
                "select avg(x) over w, var_samp(x) over w, min(x) over w, max(x) over w from s"
                " window w as (order by t range between interval '24 hours' preceding and current row)"
            ).fetchnumpy()

        peers["duckdb"], peer_work["duckdb"] = ducks, few
    head = min(n, 5_000)
    error = variance_error(ours()[:head, 0, 1], times[:head], x[:head], 86_400 * 10**9)
    return Row(
        "24h over irregular times, mean, var, min, max of an array",
        "ns/sample",
        n,
        ours,
        peers,
        error=f"var {error:.0e}",
        bar="25 ns",
        peer_work=peer_work,
    )


def keyed(n: int) -> Row:
    times, x, names = events(n, 1000)

    order = {name: h for h, name in enumerate(dict.fromkeys(names))}  # handles count up from 0
    handles = np.array([order[name] for name in names], dtype=np.int32)

    def ours() -> Floats:
        windows = fl.Windows("24h", stats="mean")
        for name in order:
            windows.handle(name)
        return windows.roll(handles, times, x)

    peers: dict[str, Run] = {}
    pd = peer("pandas")
    if pd is not None:
        frame = pd.DataFrame({"key": pd.Categorical(names), "x": x}, index=pd.to_datetime(times))
        peers["pandas"] = lambda: frame.groupby("key", observed=True)["x"].rolling("24h").mean()
    pl = peer("polars")
    if pl is not None:
        table = pl.DataFrame({"key": names, "t": times, "x": x}).with_columns(
            pl.col("t").cast(pl.Datetime("ns")).set_sorted(), pl.col("key").cast(pl.Categorical)
        )
        peers["polars"] = lambda: table.select(pl.col("x").rolling_mean_by("t", window_size="24h").over("key"))
    return Row("24h mean, 1,000 keys interleaved in an array", "ns/sample", n, ours, peers)


def rows(size: Size) -> Iterator[Row]:
    n = size.scaled(500_000)
    yield stream(COUNTS, n // 5, 1, "one key", "120 ns")
    yield stream(COUNTS, n // 5, 200, "200 keys", "120 ns")
    yield stream(SPANS, n // 5, 200, "200 keys", "120 ns")
    yield day(2 * n)
    yield keyed(2 * n)
