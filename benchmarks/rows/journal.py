"""Capture and replay of events, beside what one would otherwise write them to.

Everything is written into one temporary folder of the same disk. Ours has a thread of its own that writes, so the rows
about the disk may use all cores, and those about the caller leave it a core; the same holds for the peers. What each
peer promises when its call returns is said in the name: `sync` = on the disk, `OS` = with the operating system, `RAM` =
lost with the process. Ours: shared memory, which outlives it.
"""

from __future__ import annotations

import importlib
import itertools
import json
import logging
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, Run, Size, all_cores, own_core, peer, share_out, that_runs

import fairlead as fl

_T0 = 1_700_000_000_000_000_000
_SQL = "insert into events values (?, ?, ?, ?, ?, ?, ?, ?)"
_TABLE = (
    "create table events (time integer, model integer, category integer, task integer, p real, confidence real,"
    " latency_ms real, cost_usd real)"
)


def _event(i: int) -> tuple[int, int, int, int, float, float, float, float]:
    """Time, model, category, task, p, confidence, latency, cost: what a forecast holds."""
    return _T0 + i * 1000, i % 8, i % 4, i // 8, 0.25 + (i % 50) / 100, 0.8, 900.0, 0.004


def _columns(n: int) -> dict[str, Any]:
    i = np.arange(n)
    return {
        "time": _T0 + i * 1000,
        "model": (i % 8).astype(np.int32),
        "category": (i % 4).astype(np.int32),
        "task": (i // 8).astype(np.uint64),
        "value": 0.25 + (i % 50) / 100,
        "confidence": np.full(n, 0.8),
        "latency_ms": np.full(n, 900.0),
        "cost_usd": np.full(n, 0.004),
    }


_open: list[Any] = []  # journals of the row that is measured: what they still write must not weigh on the next


def _journal(folder: Path, **options: Any) -> Any:
    journal = fl.Journal(folder, overflow="spill", **options)
    _open.append(journal)
    for i in range(8):
        journal.name("models", f"model-{i}")
    for i in range(4):
        journal.name("categories", f"category-{i}")
    return journal


def _sqlite(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("pragma journal_mode = wal")
    connection.execute(f"pragma synchronous = {synchronous}")
    connection.execute(_TABLE)
    return connection


def one_by_one(folder: Path, n: int, slow: int) -> Row:
    """One event a call."""
    journal = _journal(folder / "one")
    share_out()
    record = journal.forecast
    events = [_event(i) for i in range(n)]
    flat = [(t, m, c, k, p, conf, ms, usd) for t, m, c, k, p, conf, ms, usd in events]

    def ours() -> None:
        for time, model, category, task, p, confidence, latency, cost in flat:
            record(task, model, category, time, p, confidence, latency, cost)

    peers: dict[str, Run] = {}
    peer_work: dict[str, int] = {}

    def add(name: str, run: Run, work: int = slow) -> None:
        if found := that_runs(name, run):
            peers.update(found)
            peer_work[name] = work

    few = flat[:slow]
    handler = logging.FileHandler(folder / "log.txt")
    log = logging.Logger("peer")
    log.addHandler(handler)

    def logged() -> None:
        for event in few:
            log.info("%d %d %d %d %g %g %g %g", *event)

    add("logging.FileHandler (OS)", logged)
    names = ("time", "model", "category", "task", "p", "confidence", "latency_ms", "cost_usd")
    text = (folder / "json.txt").open("a")

    def dumped() -> None:
        for event in few:
            text.write(json.dumps(dict(zip(names, event, strict=True))) + "\n")
        text.flush()

    add("json append (RAM)", dumped)
    if orjson := peer("orjson"):
        raw = (folder / "orjson.txt").open("ab")

        def appended() -> None:
            for event in few:
                raw.write(orjson.dumps(dict(zip(names, event, strict=True))) + b"\n")
            raw.flush()

        add("orjson append (RAM)", appended)
    for level, promise in (("normal", "OS"), ("full", "sync")):
        connection = _sqlite(folder / f"row-{level}.db", level)
        rows = few[: max(slow // (1 if level == "normal" else 20), 1)]

        def inserted(connection: sqlite3.Connection = connection, rows: list[Any] = rows) -> None:
            for event in rows:
                connection.execute(_SQL, event)

        add(f"sqlite row ({promise})", inserted, len(rows))
    if lmdb := peer("lmdb"):
        # The map is sparse; the keys go on from call to call, so that nothing is written over.
        environment = lmdb.open(str(folder / "lmdb"), map_size=1 << 32)
        keys = itertools.count()

        def put() -> None:
            for event in few[: max(slow // 20, 1)]:
                with environment.begin(write=True) as transaction:
                    transaction.put(next(keys).to_bytes(8, "big"), repr(event).encode())

        add("LMDB transaction (sync)", put, max(slow // 20, 1))
    if duckdb := peer("duckdb"):
        database = duckdb.connect(str(folder / "row.duckdb"))
        database.execute(_TABLE)

        def duck() -> None:
            for event in few[: max(slow // 20, 1)]:
                database.execute(_SQL, event)

        add("DuckDB row (sync)", duck, max(slow // 20, 1))
    if mlflow := peer("mlflow"):
        add("MLflow log_metric", *_mlflow(mlflow, folder, max(slow // 100, 1)))
    return Row(
        "One event from Python, accepted: survives the process",
        "ns/event",
        n,
        ours,
        peers,
        _read_back(journal, folder / "one"),
        "<= 60 ns",
        peer_work,
    )


def _mlflow(mlflow: Any, folder: Path, n: int) -> tuple[Run, int]:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db")
    run = client.create_run(client.create_experiment("bench")).info.run_id

    def logged() -> None:
        for i in range(n):
            client.log_metric(run, "p", 0.5, timestamp=i, step=i)

    return logged, n


def _read_back(journal: Any, folder: Path) -> str:
    """That what was accepted can be read, in words."""
    accepted = journal.append("note", {"last": True})
    journal.wait_durable(accepted)
    *_, last = fl.journal.read(folder, first=accepted - 1)
    return "read back" if last.seq == accepted and last.data == {"last": True} else f"LOST: {last}"


def in_batches(folder: Path, n: int, batch: int) -> Row:
    """A thousand events a call, from columns."""
    # Room for all calls of a run, as this is about the caller: the disk is the next row's.
    journal = _journal(folder / "batch", ring_bytes=1 << 29)
    share_out()
    columns = _columns(n)
    cuts = [{k: v[i : i + batch] for k, v in columns.items()} for i in range(0, n, batch)]

    def ours() -> None:
        for cut in cuts:
            journal.forecasts(**cut)

    peers: dict[str, Run] = {}
    rows = [[_event(i) for i in range(start, start + batch)] for start in range(0, n, batch)]
    connection = _sqlite(folder / "many.db", "normal")

    def many() -> None:
        for part in rows:
            with connection:
                connection.execute("begin")
                connection.executemany(_SQL, part)

    peers |= that_runs("sqlite executemany (OS)", many)
    peer_work: dict[str, int] = {}
    if duckdb := peer("duckdb"):
        pyarrow = importlib.import_module("pyarrow")
        database = duckdb.connect(str(folder / "arrow.duckdb"))
        tables = [pyarrow.table(cut) for cut in cuts]
        database.register("first", tables[0])
        database.execute("create table events as select * from first limit 0")

        def arrow() -> None:
            for table in tables:
                database.register("part", table)
                database.execute("insert into events select * from part")

        peers |= that_runs("DuckDB Arrow (sync)", arrow)
    if mlflow := peer("mlflow"):
        metric = importlib.import_module("mlflow.entities").Metric
        client = mlflow.tracking.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow2.db")
        run = client.create_run(client.create_experiment("bench")).info.run_id
        steps = itertools.count()

        def log_batch() -> None:
            client.log_batch(run, [metric("p", 0.5, 0, next(steps)) for _ in range(batch)])

        if found := that_runs("MLflow log_batch", log_batch):
            peers |= found
            peer_work["MLflow log_batch"] = batch
    return Row(
        f"Batches of {batch:,} events from Python, accepted",
        "ns/event",
        n,
        ours,
        peers,
        _read_back(journal, folder / "batch"),
        "<= 20 ns",
        peer_work,
    )


def durable(folder: Path, n: int) -> Row:
    """Columns of events until all of them are on the disk."""
    journal = _journal(folder / "durable")
    columns = _columns(n)

    def ours() -> None:
        for start in range(0, n, 50_000):  # a part of what the ring holds; then the disk must keep up
            journal.forecasts(**{k: v[start : start + 50_000] for k, v in columns.items()})
            if start % 100_000 == 50_000:
                journal.wait_durable()
        journal.wait_durable()

    peers: dict[str, Run] = {}
    connection = _sqlite(folder / "durable.db", "full")
    rows = [_event(i) for i in range(n)]

    def many() -> None:
        with connection:
            connection.execute("begin")
            connection.executemany(_SQL, rows)

    peers |= that_runs("sqlite, one transaction", many)
    if duckdb := peer("duckdb"):
        pyarrow = importlib.import_module("pyarrow")
        database = duckdb.connect(str(folder / "durable.duckdb"))
        database.register("part", pyarrow.table(columns))
        database.execute("create table events as select * from part limit 0")
        peers |= that_runs("DuckDB, one Arrow table", lambda: database.execute("insert into events select * from part"))
    return Row(
        f"{n:,} events from columns, until durable",
        "ns/event",
        n,
        ours,
        peers,
        _read_back(journal, folder / "durable"),
        "<= 667 ns (1.5 M/s)",
    )


def replayed(folder: Path, n: int) -> Row:
    """All events of a journal read, warm: the sum of what they hold."""
    columns = _columns(n)
    with _journal(folder / "replay") as journal:
        for start in range(0, n, 50_000):
            journal.forecasts(**{k: v[start : start + 50_000] for k, v in columns.items()})
            journal.wait_durable()
    segments = sorted((folder / "replay" / "segments").glob("*.seg"))
    size = sum(path.stat().st_size for path in segments)

    def ours() -> Any:
        return fl.journal.verify(folder / "replay")

    peers: dict[str, Run] = {}
    connection = _sqlite(folder / "replay.db", "off")
    with connection:
        connection.execute("begin")
        connection.executemany(_SQL, (_event(i) for i in range(n)))
    peers |= that_runs("sqlite (no checksum)", lambda: connection.execute("select sum(p) from events").fetchone())
    pyarrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    path = folder / "replay.parquet"
    parquet.write_table(pyarrow.table(columns), path, compression="zstd")
    peers |= that_runs("Parquet, pyarrow (no checksum)", lambda: parquet.read_table(path, use_threads=False))
    if duckdb := peer("duckdb"):
        database = duckdb.connect(str(folder / "replay.duckdb"), config={"threads": 1})
        database.execute(f"create table events as select * from '{path}'")
        peers |= that_runs(
            "DuckDB, all columns (no checksum)",
            lambda: database.execute(
                "select sum(time), sum(model), sum(category), sum(task), sum(value), sum(confidence), sum(latency_ms),"
                " sum(cost_usd) from events"
            ).fetchall(),
        )
    dtype = np.dtype([(name, column.dtype) for name, column in columns.items()])
    rows = np.zeros(n, dtype)
    for name, column in columns.items():
        rows[name] = column
    rows.tofile(folder / "replay.npy")
    peers |= that_runs(
        "numpy.memmap (no checksum)",
        lambda: [np.memmap(folder / "replay.npy", dtype)[name].sum() for name in dtype.names or ()],
    )
    events = ours().events
    return Row(
        f"Replay of {n:,} events, every record's checksum verified",
        "ns/event",
        n,
        ours,
        peers,
        f"{events - n:,} names besides; {size / events:.0f} B/event",
        "<= 10 ns (100 M/s)",
    )


def _made(make: Callable[..., Row], *arguments: Any, cores: Any = all_cores) -> Iterator[Row]:
    folder = Path(tempfile.mkdtemp(prefix="fairlead-bench-", dir=os.environ.get("FAIRLEAD_BENCH_FOLDER")))
    try:
        with cores():
            yield make(folder, *arguments)
    finally:
        while _open:
            _open.pop().close()
        shutil.rmtree(folder, ignore_errors=True)


def rows(size: Size) -> Iterator[Row]:
    yield from _made(one_by_one, size.scaled(200_000), size.scaled(10_000), cores=own_core)
    yield from _made(in_batches, 100_000, 1000, cores=own_core)
    yield from _made(durable, size.scaled(2_000_000))
    yield from _made(replayed, size.scaled(10_000_000))
