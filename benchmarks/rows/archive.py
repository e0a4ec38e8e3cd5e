"""Archiving: sealed segments as checked Parquet, beside whoever else could keep the same events, and how many bytes a
piece that takes. Ours reads the segments (checksums verified), writes, reads back, compares; the peers only write."""

from __future__ import annotations

import importlib
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import Row, Run, Size, all_cores, peer, that_runs
from numpy.typing import NDArray

import fairlead as fl
from fairlead._core import SegmentWriter

_FORECAST = np.dtype(
    [
        ("crc", "<u4"), ("length", "<u4"), ("prev", "<u4"), ("type", "<u2"), ("version", "u1"), ("flags", "u1"),
        ("seq", "<u8"), ("time", "<i8"), ("model", "<i4"), ("category", "<i4"), ("task", "<u8"), ("confidence", "<f8"),
        ("latency_ms", "<f8"), ("cost_usd", "<f8"), ("tokens_in", "<i8"), ("tokens_out", "<i8"), ("value", "<f8"),
        ("n_p", "<u4"), ("n_error", "<u2"), ("kind", "u1"), ("reserved", "u1"),
    ]
)  # fmt: skip


def forecasts(n: int, rounded: bool) -> NDArray[np.uint8]:
    """Records of 104 bytes as models give them: six models a task; to three digits, or with all their bits."""
    dice = np.random.default_rng(3)
    rows = np.zeros(n, _FORECAST)
    rows["length"], rows["type"], rows["version"] = 104, 20, 1
    rows["seq"] = np.arange(7, n + 7)
    rows["time"] = 1_700_000_000 * 10**9 + np.cumsum(dice.exponential(2000, n)).astype(np.int64)
    rows["model"], rows["category"], rows["task"] = np.arange(n) % 6, -1, np.arange(n) // 6 + 1
    digits = 3 if rounded else 16
    rows["value"] = np.round(dice.uniform(0, 1, n), digits)
    rows["confidence"] = np.round(dice.beta(8, 2, n), 2)
    rows["latency_ms"] = np.round(dice.lognormal(6, 0.5, n), 1 if rounded else 9)
    rows["tokens_in"], rows["tokens_out"] = dice.integers(200, 3000, n), dice.integers(10, 500, n)
    rows["cost_usd"] = rows["tokens_in"] * 2.5e-6 + rows["tokens_out"] * 1e-5
    return rows.view(np.uint8)


def name(number: int) -> NDArray[np.uint8]:
    """The record of a model's name, `m0` to `m5`."""
    payload = struct.pack("<BII2s", 0, number, 2, b"m%d" % number)
    header = struct.pack("<IIIHBBQqii", 0, 40 + len(payload), 0, 4, 1, 0, number + 1, 0, -1, -1)
    return np.frombuffer((header + payload).ljust(56, b"\0"), np.uint8)


def archived(folder: Path, n: int, rounded: bool) -> Row:
    desk = folder / "desk"
    log = SegmentWriter(str(desk), 64 << 20)
    for number in range(6):
        log.append(name(number))
    records = forecasts(n, rounded)
    for at in range(0, len(records), 104 << 13):
        log.append(records[at : at + (104 << 13)])
    log.close()

    def ours() -> Any:
        shutil.rmtree(desk / "archive", ignore_errors=True)
        return fl.journal.archive(desk)

    report = ours()
    check = fl.journal.verify_archive(desk)
    table = fl.journal.scan(desk, types="forecast").read_all()
    table = table.select([name for name in table.column_names if table[name].null_count < n])
    sizes = {"segments": sum(path.stat().st_size for path in (desk / "segments").glob("*.seg"))}
    peers: dict[str, Run] = {}
    parquet = importlib.import_module("pyarrow.parquet")
    path = folder / "peer.parquet"
    peers |= that_runs(
        "pyarrow, zstd, its defaults, unchecked", lambda: parquet.write_table(table, path, compression="zstd")
    )
    sizes["pyarrow"] = path.stat().st_size
    if duckdb := peer("duckdb"):
        copy, kept = folder / "duck.parquet", folder / "duck.db"

        def to_parquet() -> None:
            with duckdb.connect() as database:
                database.register("events", table)
                database.execute(f"copy events to '{copy}' (format parquet, compression zstd)")

        def to_table() -> None:
            kept.unlink(missing_ok=True)
            with duckdb.connect(str(kept)) as database:
                database.register("given", table)
                database.execute("create table events as select * from given")

        peers |= that_runs("DuckDB, Parquet, unchecked", to_parquet)
        peers |= that_runs("DuckDB, a table of its own", to_table)
        sizes |= {"DuckDB Parquet": copy.stat().st_size, "DuckDB table": kept.stat().st_size}
    few = table.slice(0, n // 10).drop_columns(["type", "kind"])
    few = few.set_column(1, "time", few["time"].cast("int64"))
    values = list(zip(*(column.to_pylist() for column in few.columns), strict=True))

    def to_sqlite() -> None:
        (folder / "peer.sqlite").unlink(missing_ok=True)
        connection = sqlite3.connect(folder / "peer.sqlite")
        with connection:
            connection.execute(f"create table events ({', '.join(few.column_names)})")
            connection.executemany(f"insert into events values ({', '.join('?' * few.num_columns)})", values)
        connection.close()

    peers |= that_runs("sqlite, rows", to_sqlite)
    sizes["sqlite"] = 10 * (folder / "peer.sqlite").stat().st_size
    each = ", ".join(f"{name} {size / n:.1f}" for name, size in sizes.items())
    return Row(
        f"Archive of {n:,} forecasts, {'rounded' if rounded else 'all bits random'}; read back and compared",
        "ns/event",
        n,
        ours,
        peers,
        f"records equal, {'whole' if check.whole else 'DAMAGED'}; {report.bytes / n:.1f} B/event ({each})",
        "<= 200 ns (5 M/s) at <= 30 B/event",
        {"sqlite, rows": n // 10},
    )


def rows(size: Size) -> Iterator[Row]:
    for rounded in (True, False):
        folder = Path(tempfile.mkdtemp(prefix="fairlead-bench-", dir=os.environ.get("FAIRLEAD_BENCH_FOLDER")))
        try:
            with all_cores():
                yield archived(folder, size.scaled(2_000_000), rounded)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
