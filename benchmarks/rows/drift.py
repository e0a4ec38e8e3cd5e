"""Drift between two samples, and detectors on a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

import fairlead as fl
from fairlead._core import PsiTable, SortedSample


def index(before: Any, now: Any) -> float:
    """The index as the oracle has it: half a count in every bin."""
    p, q = ((side + 0.5) / (side + 0.5).sum() for side in (before, now))
    return float(((q - p) * np.log(q / p)).sum())


def searched(values: Any, edges: Any) -> Any:
    return np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)


def compared(values: Any, edges: Any) -> Any:
    above = np.array([len(values), *(np.count_nonzero(values > edge) for edge in edges), 0])
    return above[:-1] - above[1:]


def psi_peers(reference: Any, live: Any) -> tuple[dict[str, Run], dict[str, int]]:
    """Those that can be had; the slow ones get less of the data."""
    peers: dict[str, Run] = {}
    work: dict[str, int] = {}
    few = 100_000
    if frouros := peer("frouros.detectors.data_drift"):
        detector = frouros.PSI()
        detector.fit(X=reference[:few])
        peers["frouros"] = lambda: detector.compare(X=live[:few])
    if polars_ds := peer("polars_ds"):
        import polars as pl

        frame = pl.DataFrame({"live": live[:few]})
        known = pl.Series(reference[:few])
        peers["polars-ds"] = lambda: frame.select(polars_ds.psi("live", known, n_bins=10))
    if selection := peer("feature_engine.selection"):
        import pandas as pd

        both = pd.DataFrame({"x": np.concatenate([reference[: few // 2], live[: few // 2]]), "y": 0.0})
        both["side"] = np.arange(len(both)) // (len(both) // 2)

        def drop() -> Any:
            return selection.DropHighPSIFeatures(split_col="side", bins=10, variables=["x"]).fit(both)

        peers["feature-engine"] = drop
    if evidently := peer("evidently.legacy.calculations.stattests"):
        import pandas as pd
        from evidently.legacy.core import ColumnType

        a, b = pd.Series(reference[:few]), pd.Series(live[:few])
        number = ColumnType.Numerical  # for anything else it counts each value as a category of its own
        peers["evidently"] = lambda: evidently.psi_stat_test.func(a, b, number, 0.1)
    for name in peers:
        work[name] = min(few, len(live))
    return peers, work


def psi(n: int, dtype: type, bins: int) -> Row:
    rng = np.random.default_rng(7)
    reference, live = rng.normal(0, 1, n), rng.normal(0.2, 1.1, n).astype(dtype)
    fitted = fl.Psi(reference, bins=bins)
    edges = fitted.edges
    before = searched(reference, edges)

    def ours() -> float:
        return fitted.compare(live)

    numpys: dict[str, Run] = {"numpy searchsorted": lambda: index(before, searched(live, edges))}
    if bins <= 32:
        numpys["numpy count_nonzero"] = lambda: index(before, compared(live, edges))
    others, work = psi_peers(reference, live) if bins == 10 and dtype is np.float64 else ({}, {})
    exact = index(before, searched(live.astype(float), edges))
    bar = {"float64": "0.3", "float32": "0.15"}[np.dtype(dtype).name] if bins == 10 else ""
    return Row(
        f"PSI, {bins} bins, {np.dtype(dtype).name}",
        "ns/value",
        n,
        ours,
        numpys | others,
        f"{abs(ours() - exact):.0e}",
        bar,
        work,
    )


def table(rows: int, layout: str) -> Row:
    rng = np.random.default_rng(8)
    values = rng.normal(size=(rows, 100))
    live = np.asfortranarray(values) if layout == "columns" else values
    fitted = PsiTable([fl.Psi(rng.normal(size=2000)) for _ in range(100)])
    edges = [fl.Psi(rng.normal(size=2000)).edges for _ in range(100)]

    def theirs(count: Callable[[Any, Any], Any]) -> Run:
        return lambda: [count(live[:, i], edges[i]) for i in range(100)]

    wrong = max(
        int(np.abs(mine[:-1].astype(int) - compared(values[:, i], fl.Psi.from_edges(e, [0.0]).edges)).max())
        for i, (mine, e) in enumerate(
            zip(PsiTable([fl.Psi.from_edges(e, [0.0]) for e in edges]).count(live), edges, strict=True)
        )
    )
    return Row(
        f"PSI of 100 features, {layout} contiguous",
        "ns/value",
        live.size,
        lambda: fitted.psi(live),
        {"numpy count_nonzero": theirs(compared), "numpy searchsorted": theirs(searched)},
        f"counts off by {wrong}",
        {"columns": "0.3 (3 ms)", "rows": "0.7 (7 ms)"}[layout],
    )


def samples(n: int) -> Iterator[Row]:
    rng = np.random.default_rng(9)
    stats = peer("scipy.stats")
    reference = rng.normal(size=n)
    fitted = SortedSample(reference)
    for name, live in (("drifted", rng.normal(0.05, 1, n)), ("same", rng.normal(size=n))):
        ours = fitted.ks(live)["ks"]
        yield Row(
            f"KS against a sorted reference, {name}",
            "ns/value",
            n,
            lambda live=live: fitted.ks(live),
            {"scipy": lambda live=live: stats.ks_2samp(reference, live, method="asymp")} if stats else {},
            f"{abs(ours - stats.ks_2samp(reference, live, method='asymp').statistic):.0e}" if stats else "-",
            "9 (9 ms at 1e6)",
        )
    live = rng.normal(0.05, 1, n)
    found = fitted.distances(live)
    both: dict[str, Run] = {}
    if stats:

        def three() -> None:
            stats.ks_2samp(reference, live, method="asymp")
            stats.wasserstein_distance(reference, live)
            stats.cramervonmises_2samp(reference, live, method="asymptotic")

        both["scipy"] = three
    yield Row(
        "KS, Wasserstein and Cramer-von Mises at once",
        "ns/value",
        n,
        lambda: fitted.distances(live),
        both,
        f"W1 {abs(found['wasserstein'] / stats.wasserstein_distance(reference, live) - 1):.0e}" if stats else "-",
    )


def report(rows: int) -> Row:
    rng = np.random.default_rng(10)
    before, now = rng.normal(size=(rows, 20)), rng.normal(size=(rows, 20))
    fitted = fl.drift.fit(before)
    return Row("whole report, 20 features", "ns/value", now.size, lambda: fitted.compare(now))


def keyed(n: int) -> Iterator[Row]:
    rng = np.random.default_rng(11)
    values = rng.normal(size=n).tolist()
    psi = fl.KeyedPsi(fl.Psi(rng.normal(size=1000)), window=500)
    keys = [psi.id(f"k{i}") for i in range(200)]
    order = [keys[i] for i in rng.integers(0, 200, n)]

    def update() -> None:
        add = psi.update
        for key, x in zip(order, values, strict=True):
            add(key, x)

    yield Row("windowed PSI, 200 keys, one event from Python", "ns/event", n, update)
    ids, x = np.array(order, dtype=np.int32), np.array(values)
    yield Row("windowed PSI, 200 keys, arrays", "ns/event", n, lambda: psi.update_many(ids, x))
    one = fl.KeyedPsi(fl.Psi(rng.normal(size=1000)), window=500)
    key = one.id("k")

    def update_and_read() -> None:
        add, read = one.update, one.index
        for x in values:
            add(key, x)
            read(key)

    yield Row("windowed PSI, update and index from Python", "ns/event", n, update_and_read)


def rows(size: Size) -> Iterator[Row]:
    n = size.scaled(1_000_000)
    yield psi(n, np.float64, 10)
    yield psi(n, np.float32, 10)
    yield psi(n, np.float64, 100)
    yield table(size.scaled(100_000), "columns")
    yield table(size.scaled(100_000), "rows")
    yield from samples(n)
    yield report(size.scaled(100_000))
    yield from keyed(size.scaled(200_000))
