"""Rows into the database and back, in batches.

Journal entries, of which there are as many as events, go to the driver itself: `executemany` of tuples on SQLite, COPY
on PostgreSQL. Everything else is one row for many events, and goes through SQLAlchemy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert, Table, Update, and_, bindparam, select
from sqlalchemy.dialects import postgresql, sqlite

from fairlead.store import cold
from fairlead.store.projection import Changes
from fairlead.store.tables import (
    ensemble_decisions,
    journal_entries,
    metadata,
    model_health,
    model_performance,
    open_tasks,
)

Row = dict[str, Any]
_MANY = 500  # values in one IN (...)


class Stored:
    """What the rows of a database say: a `Source` of a projection. `connection` is that of the transaction in hand."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def health(self) -> Iterable[Row]:
        return self._rows(model_health)

    def window(self, length: int, start: int) -> Iterable[Row]:
        return self._rows(model_performance, {"window_length": length, "window_start": start})

    def tasks(self, numbers: Sequence[int]) -> Iterable[Row]:
        found: list[Row] = []
        for start in range(0, len(numbers), _MANY):
            wanted = select(open_tasks).where(open_tasks.c.task.in_(numbers[start : start + _MANY]))
            found += [dict(row) for row in self.connection.execute(wanted).mappings()]
        return found

    def thing(self, kind: str, key: Mapping[str, Any]) -> Row | None:
        return next(iter(self._rows(cold.THINGS[kind], key)), None)

    def _rows(self, table: Table, key: Mapping[str, Any] | None = None) -> list[Row]:
        condition = [table.c[name] == value for name, value in (key or {}).items()]
        found = self.connection.execute(select(table).where(*condition).order_by(*table.primary_key))
        return [dict(row) for row in found.mappings()]


def write(connection: Connection, changes: Changes) -> None:
    """All changes of a batch, in the transaction of the connection."""
    if changes.entries:
        _append(connection, journal_entries, changes.entries)
    if changes.ended:  # first: a decision of this batch that came after the end of its task is not what it is about
        connection.execute(_ENDED, changes.ended)
    for name, rows in changes.inserted.items():
        connection.execute(metadata.tables[name].insert(), rows)
    if changes.closed:
        connection.execute(_CLOSED, [{"number": number} for number in changes.closed])
    for name, rows in changes.upserted.items():
        connection.execute(_upsert(connection.dialect.name, name), rows)


_ENDED: Update = (
    ensemble_decisions.update()
    .where(and_(ensemble_decisions.c.task == bindparam("of_task"), ensemble_decisions.c.status == "open"))
    .values({name: bindparam(name) for name in ("status", "outcome", "outcome_label", "outcome_time", "profit_usd")})
)
_CLOSED = open_tasks.delete().where(open_tasks.c.task == bindparam("number"))


@cache
def _upsert(dialect: str, name: str) -> Insert:
    table = metadata.tables[name]
    statement = (postgresql.insert if dialect == "postgresql" else sqlite.insert)(table)
    rest = {column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key}
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)


def _append(connection: Connection, table: Table, rows: list[tuple[Any, ...]]) -> None:
    names = [column.name for column in table.columns]
    if connection.dialect.name == "postgresql":
        driver: Any = connection.connection
        into = f"COPY {table.name} ({', '.join(names)}) FROM STDIN"
        with driver.cursor() as cursor, cursor.copy(into) as copy:
            for row in rows:
                copy.write_row(row)
        return
    marks = ", ".join("?" for _ in names)
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})", rows)
