"""Events into SQL: the whole projection, beside what writing bare rows costs."""

from __future__ import annotations

import json
import random
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from harness import MISSING, Row, Size, peer

from fairlead.events import Event

FORECASTS = 20  # of each task


def journal(n: int) -> list[Event]:
    """Tasks of five categories, each with twenty forecasts, a decision and an outcome."""
    rng = random.Random(1)
    names = [f"model-{i}" for i in range(FORECASTS)]
    out: list[Event] = []

    def emit(kind: str, model: str | None, category: str | None, data: dict[str, Any]) -> None:
        out.append(Event(len(out) + 1, 1_700_000_000 * 10**9 + len(out) * 10**6, kind, model, category, data))

    for name in names:
        emit("model", name, None, {"name": name, "provider": "lab", "tier": "fast"})
    for task in count(1):
        if len(out) >= n:
            return out[:n]
        category, about = f"c{task % 5}", {"task": task, "kind": "binary"}
        emit("task", None, category, about | {"id": f"q-{task}", "labels": (), "stake_usd": 0.0, "expires_in_s": None})
        rest = {
            "confidence": 0.7,
            "latency_ms": 900.0,
            "tokens_in": 100,
            "tokens_out": 30,
            "cost_usd": 0.001,
            "error": "",
        }
        for name in names:
            emit("forecast", name, category, about | {"p": rng.random()} | rest)
        measures = {"disagreement": 0.1, "uncertainty": 0.2, "position_scale": 0.3, "cost_usd": 0.02, "reasons": 3}
        weights = dict.fromkeys(names, 1 / FORECASTS)
        emit("decision", None, category, about | {"p": 0.5, "weights": weights, "strategy": "hedge"} | measures)
        emit("outcome", None, category, about | {"value": 1.0, "profit_usd": None})
    raise AssertionError


def entry(event: Event) -> tuple[Any, ...]:
    return event.seq, event.model, event.type, event.time, event.category, json.dumps(event.data)


_COLUMNS = "seq INTEGER PRIMARY KEY, model_name TEXT, event_type TEXT, timestamp BIGINT, category TEXT, metadata TEXT"


def plain_sqlite(folder: Path, events: list[Event]) -> Callable[[], None]:
    """The entries alone, as rows of bare tuples: no other table, no state, no number that is checked."""
    numbers = count()

    def run() -> None:
        connection = sqlite3.connect(folder / f"plain{next(numbers)}.sqlite")
        connection.execute(f"CREATE TABLE entries ({_COLUMNS})")
        for name in ("model_name", "event_type", "timestamp"):
            connection.execute(f"CREATE INDEX by_{name} ON entries ({name})")
        for start in range(0, len(events), 5000):
            rows = [entry(event) for event in events[start : start + 5000]]
            connection.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?)", rows)
            connection.commit()
        connection.close()

    return run


def one_by_one(url: Callable[[], str], events: list[Event]) -> Callable[[], None]:
    """SQLAlchemy's ORM, an object and a commit for each event."""
    orm = peer("sqlalchemy.orm")
    sql = peer("sqlalchemy")

    class Base(orm.DeclarativeBase):  # type: ignore[misc, name-defined]
        pass

    class Entry(Base):
        __tablename__ = "entries"
        seq = sql.Column(sql.BigInteger, primary_key=True, autoincrement=False)
        model_name = sql.Column(sql.Text, index=True)
        event_type = sql.Column(sql.Text, index=True)
        timestamp = sql.Column(sql.BigInteger, index=True)
        category = sql.Column(sql.Text)
        data = sql.Column("metadata", sql.JSON)

    def run() -> None:
        engine = sql.create_engine(url().replace("postgresql:", "postgresql+psycopg:"))
        Base.metadata.create_all(engine)
        with orm.Session(engine) as session:
            for event in events:
                session.add(
                    Entry(
                        seq=event.seq,
                        model_name=event.model,
                        event_type=event.type,
                        timestamp=event.time,
                        category=event.category,
                        data=dict(event.data),
                    )
                )
                session.commit()
        engine.dispose()

    return run


def projected(url: Callable[[], str], events: list[Event], **options: Any) -> Callable[[], None]:
    from fairlead.store import Store

    def run() -> None:
        with Store(url(), **options) as store:
            store.apply(events)
            assert store.state.last_seq == len(events)

    return run


def rows(size: Size) -> Iterator[Row]:
    if peer("sqlalchemy") is None:
        return
    n = size.scaled(50_000)
    few = size.scaled(2_000)
    events = journal(n)
    numbers = count()
    what = f"{n:,} events into nine tables"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def new_file() -> str:
            return f"sqlite:///{folder}/{next(numbers)}.sqlite"

        yield Row(
            f"Store, SQLite: {what}",
            "ns/event",
            n,
            projected(new_file, events),
            {
                "sqlite3 executemany, entries alone": plain_sqlite(folder, events),
                "SQLAlchemy ORM one by one, entries alone": one_by_one(new_file, events[:few]),
            },
            peer_work={"SQLAlchemy ORM one by one, entries alone": few},
        )
        less = ("decision", "outcome", "alert", "deployment")
        yield Row(
            f"Store, SQLite: {what}, entries of decisions and outcomes only",
            "ns/event",
            n,
            projected(new_file, events, entries=less),
        )
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "store"))
    from postgres_server import NotHereError, new_database, server

    try:
        running = server()
        address = running.__enter__()
    except NotHereError as error:
        MISSING["PostgreSQL"] = str(error)
        return
    try:

        def database() -> str:
            return new_database(address, f"bench{next(numbers)}")

        yield Row(
            f"Store, PostgreSQL on loopback without fsync: {what}",
            "ns/event",
            n,
            projected(database, events),
            {"SQLAlchemy ORM one by one, entries alone": one_by_one(database, events[:few])},
            peer_work={"SQLAlchemy ORM one by one, entries alone": few},
        )
    finally:
        running.__exit__(None, None, None)
