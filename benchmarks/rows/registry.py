"""The registry of models: a version with its weights, an alias swapped by compare-and-set, what a reader pays.

Where it says so, what is on the disk is synced before a call returns: of ours and of SQLite (rollback journal,
synchronous=FULL). MLflow keeps rows in SQLite as it likes, and does not touch the weights.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from harness import Row, Run, Size, peer, that_runs

from fairlead.lifecycle.registry import Registry

WEIGHTS = 1000  # numbers of float64
CARD = {"accuracy": 0.81, "brier": 0.13}
LINEAGE = {"journal": "desk", "first": 1, "last": 10_000, "code": "0f3c", "seed": 7, "data": "9b1d", "mode": "full"}


def weights(n: int, numbers: int = WEIGHTS) -> bytes:
    """A safetensors file, another for each n."""
    size = 8 * numbers
    header = json.dumps({"w": {"dtype": "F64", "shape": [numbers], "data_offsets": [0, size]}}).encode()
    return struct.pack("<Q", len(header)) + header + struct.pack("<q", n) + bytes(size - 8)


def registering(registry: Registry, n: int, numbers: Callable[[], int]) -> Run:
    def run() -> None:
        for _ in range(n):
            registry.register("m", weights(numbers()), metrics=CARD, lineage=LINEAGE)

    return run


def promoting(registry: Registry, n: int) -> Run:
    def run() -> None:
        champion = registry.champion("m")
        at = 0 if champion is None else champion.generation
        for i in range(n):
            at = registry.promote("m", 1 + i % 2, expect=at).generation

    return run


class Plain:
    """What is written by hand where there is no registry: two tables and a file."""

    def __init__(self, folder: Path, durable: bool) -> None:
        self.folder = folder
        self.durable = durable
        self.base = sqlite3.connect(folder / "plain.sqlite", isolation_level=None)
        self.base.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
        self.base.execute("CREATE TABLE versions (number INTEGER PRIMARY KEY, digest TEXT, card TEXT, weights BLOB)")
        self.base.execute("CREATE TABLE aliases (alias TEXT PRIMARY KEY, version INTEGER, generation INTEGER)")
        self.base.execute("INSERT INTO aliases VALUES ('champion', 1, 0)")

    def register_blob(self, data: bytes) -> None:
        """In the row."""
        self.base.execute("INSERT INTO versions (card, weights) VALUES (?, ?)", (json.dumps(CARD | LINEAGE), data))

    def register_file(self, data: bytes, number: int) -> None:
        """In a file of its own, before the row."""
        with (self.folder / f"{number}.weights").open("wb") as file:
            file.write(data)
            file.flush()
            if self.durable:
                os.fsync(file.fileno())
        self.base.execute(
            "INSERT INTO versions (digest, card) VALUES (?, ?)", (str(number), json.dumps(CARD | LINEAGE))
        )

    def swap(self, version: int) -> None:
        (at,) = self.base.execute("SELECT generation FROM aliases WHERE alias = 'champion'").fetchone()
        done = self.base.execute(
            "UPDATE aliases SET version = ?, generation = ? WHERE alias = 'champion' AND generation = ?",
            (version, at + 1, at),
        )
        assert done.rowcount == 1

    def champion(self) -> Any:
        return self.base.execute(
            "SELECT number, card FROM versions JOIN aliases ON number = version WHERE alias = 'champion'"
        ).fetchone()


def repeated(n: int, call: Callable[[int], object]) -> Run:
    def run() -> None:
        for i in range(n):
            call(i)

    return run


def mlflow_client(mlflow: Any, folder: Path) -> Any:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.ERROR)
    uri = f"sqlite:///{folder}/mlflow.db"
    client = mlflow.tracking.MlflowClient(tracking_uri=uri, registry_uri=uri)
    client.create_registered_model("m")
    for n in (1, 2):
        client.create_model_version("m", f"file:///{folder}/{n}", tags={key: str(CARD[key]) for key in CARD})
    return client


def reading(model: Any, n: int) -> Run:
    """`.model`, written out so that the loop costs little beside it."""

    def run() -> None:
        for _ in range(n // 10):
            model.model, model.model, model.model, model.model, model.model  # noqa: B018
            model.model, model.model, model.model, model.model, model.model  # noqa: B018

    return run


class Guarded:
    """A model behind a lock, as one swaps it without thinking."""

    def __init__(self, model: object) -> None:
        self._lock = threading.Lock()
        self._model = model

    @property
    def model(self) -> object:
        with self._lock:
            return self._model


def rows(size: Size) -> Iterator[Row]:
    few, slow = size.scaled(200), max(size.scaled(20), 2)
    with tempfile.TemporaryDirectory() as name:
        yield from _rows(Path(name), "on disk, synced", few, slow, ("<= 500,000", "<= 300,000"))
    with tempfile.TemporaryDirectory() as name:
        yield from _rows(Path(name), "on disk, not synced", few, slow, ("", ""), durable=False)
    if os.access("/dev/shm", os.W_OK):
        with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
            yield from _rows(Path(name), "in /dev/shm", few, slow, ("", ""))
    with tempfile.TemporaryDirectory() as name:
        yield from _hot(Path(name), size.scaled(1_000_000))


def _rows(folder: Path, where: str, few: int, slow: int, bars: tuple[str, str], durable: bool = True) -> Iterator[Row]:
    numbers = count()
    registry = Registry(folder / "registry", durable=durable)
    registering(registry, 2, lambda: next(numbers))()
    plain = Plain(folder, durable)
    plain.register_blob(weights(0))
    peers: dict[str, Run] = {
        "SQLite, weights in the row": repeated(few, lambda i: plain.register_blob(weights(next(numbers)))),
        "SQLite, weights in a file": repeated(few, lambda i: plain.register_file(weights(0), next(numbers))),
    }
    swaps: dict[str, Run] = {"SQLite": repeated(few, lambda i: plain.swap(1))}
    reads: dict[str, Run] = {"SQLite": repeated(few, lambda i: plain.champion())}
    work = {}
    if mlflow := peer("mlflow"):
        client = mlflow_client(mlflow, folder)
        tags = {key: str(value) for key, value in (CARD | LINEAGE).items()}
        source = f"file:///{folder}/w"
        for table, key, call in (
            (peers, "MLflow, without the weights", lambda i: client.create_model_version("m", source, tags=tags)),
            (swaps, "MLflow, last write wins", lambda i: client.set_registered_model_alias("m", "champion", 1 + i % 2)),
            (reads, "MLflow", lambda i: client.get_model_version_by_alias("m", "champion")),
        ):
            table.update(that_runs(key, repeated(slow, call)))
            work[key] = slow
    what = f"{8 * WEIGHTS // 1000} kB of weights and a card, {where}"
    run = registering(registry, few, lambda: next(numbers))
    yield Row(f"Registry, register: {what}", "ns/version", few, run, peers, bar=bars[0], peer_work=work)
    run = promoting(registry, few)
    yield Row(f"Registry, alias compare-and-set, {where}", "ns/swap", few, run, swaps, bar=bars[1], peer_work=work)
    run = repeated(few, lambda i: registry.info("m"))
    yield Row(f"Registry, the champion's card as it is now, {where}", "ns/read", few, run, reads, peer_work=work)


def _hot(folder: Path, n: int) -> Iterator[Row]:
    registry = Registry(folder)
    registry.register("m", weights(1))
    registry.promote("m", 1)
    served = registry.serve("m")
    peers = {"behind a lock": reading(Guarded(served.model), n)}
    yield Row("Registry, the model that serves", "ns/read", n, reading(served, n), peers, bar="<= 50")
    refreshes = repeated(n // 1000, lambda i: served.refresh())
    yield Row("Registry, has the champion moved?", "ns/look", n // 1000, refreshes)
    large = weights(1, 131_072)
    path = folder / "large.safetensors"
    path.write_bytes(large)
    made = registry.register("large", path)
    loads: dict[str, Run] = {}
    if safetensors := peer("safetensors.numpy"):
        loads["safetensors, unchecked"] = lambda: safetensors.load_file(path)
    yield Row("Registry, load 1 MiB, checked", "ns/MiB", 1, lambda: registry.load("large", made), loads)
