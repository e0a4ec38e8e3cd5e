"""Where a store is, and a SQLAlchemy engine for it.

SQLite: versions before 3.51.3 can corrupt a database in WAL mode when two connections write and reset the log at the
same moment, and they are what most systems have. So the journal mode follows the library that the program runs with: a
rollback journal (TRUNCATE, synchronous=FULL) before 3.51.3, WAL (synchronous=NORMAL) from there on. The library is
Python's own, not a bundled newer one: two copies of SQLite in one process undo each other's file locks, and people
open the store with Python's, with pandas or with the `sqlite3` shell, which have the old one. Whoever wants WAL brings
a Python with a newer library. Both modes keep the file whole.

PostgreSQL: by URL, through psycopg 3.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import URL, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from fairlead.errors import StoreError
from fairlead.store.values import dumps

FILE = "store.sqlite"
"""The store's name in the folder of a desk."""
SAFE_WAL = (3, 51, 3)
"""The first SQLite whose WAL mode cannot corrupt the file."""
BUSY_SECONDS = 10.0
"""How long a connection to SQLite waits for another one's lock."""

_SCHEMES = {"postgres": "postgresql+psycopg", "postgresql": "postgresql+psycopg", "sqlite": "sqlite"}


def locate(place: str | os.PathLike[str]) -> URL:
    """The URL of a store: a URL as it is, a file, or `store.sqlite` in a folder.

    >>> locate("postgresql://localhost/fleet").drivername
    'postgresql+psycopg'
    >>> locate("desk/store.sqlite").database
    'desk/store.sqlite'
    """
    if not isinstance(place, (str, os.PathLike)):
        raise StoreError(f"place is {place!r}, must be a URL, a file or a folder")
    if place == "":  # not the working directory, which is "."
        raise StoreError("place is '', must be a URL, a file or a folder")
    if isinstance(place, str) and "://" in place:
        try:
            url = make_url(place)
        except ArgumentError as error:
            raise StoreError(f"url is {_without_password(place)!r}, which is no database URL") from error
        url = url.set(drivername=_SCHEMES.get(url.drivername, url.drivername))
        if url.drivername not in _SCHEMES.values():
            raise StoreError(f"url is {shown(url)!r}: a store is on sqlite:// or postgresql://")
        return url
    path = Path(place)
    if path.is_dir() or path.suffix not in (".sqlite", ".sqlite3", ".db"):
        path = path / FILE
    return URL.create("sqlite", database=os.fspath(path))


def shown(url: URL) -> str:
    """The URL for people, without its password; of a file its path."""
    if url.drivername == "sqlite":
        return url.database or ":memory:"
    return url.render_as_string(hide_password=True)


def make_engine(url: URL, sqlite: ModuleType = sqlite3) -> Engine:
    """An engine for `locate`'s URL. Nothing is opened yet. sqlite: the module to use for SQLite."""
    if url.drivername == "sqlite":
        return _sqlite_engine(url, sqlite)
    try:
        return create_engine(url, pool_pre_ping=True, json_serializer=dumps, connect_args=_patience(url))
    except ImportError as error:
        raise StoreError(
            f"a store on PostgreSQL needs psycopg: pip install 'fairlead[store,postgres]' ({error})"
        ) from error


def _patience(url: URL) -> dict[str, Any]:
    return {} if "connect_timeout" in url.query else {"connect_timeout": 10}


def _sqlite_engine(url: URL, sqlite: ModuleType) -> Engine:
    if url.database not in (None, "", ":memory:") and not Path(str(url.database)).parent.is_dir():
        raise StoreError(f"{shown(url)}: there is no folder {Path(str(url.database)).parent}")
    engine = create_engine(url, module=sqlite, json_serializer=dumps, connect_args={"timeout": BUSY_SECONDS})
    wal = sqlite.sqlite_version_info >= SAFE_WAL

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # this engine says BEGIN itself: Python's driver would not before a DDL
        # Another mode needs the file for itself. While it is in use it keeps the mode that it has.
        with suppress(sqlite.OperationalError):
            connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'TRUNCATE'}")
        connection.execute(f"PRAGMA synchronous={'NORMAL' if wal else 'FULL'}")

    @event.listens_for(engine, "begin")
    def begun(connection: Any) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def file_of(url: URL) -> Path | None:
    """The file of a store on SQLite, wherever the process goes; None on PostgreSQL, and in memory."""
    if url.drivername != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database)).absolute()


def identity(file: Path | None) -> tuple[int, int] | None:
    """What tells a file from another one in its place; None where there is none."""
    try:
        found = file.stat() if file is not None else None
    except OSError:
        return None
    return (found.st_dev, found.st_ino) if found is not None else None


@contextmanager
def told(url: URL) -> Iterator[None]:
    """What goes wrong in the database, as a StoreError that says where and what to do."""
    try:
        yield
    except DBAPIError as error:
        reason = str(error.orig).strip() or type(error.orig).__name__
        file = file_of(url)
        gone = "readonly database" in reason and file is not None and not file.exists()
        advice = "; the file was deleted or moved away" if gone else _advice(reason)
        raise StoreError(f"{shown(url)}: {reason}{advice}") from error
    except SQLAlchemyError as error:
        raise StoreError(f"{shown(url)}: {error}") from error


_ADVICE = {
    "unable to open database file": "is the folder there, and may you write to it?",
    "readonly database": "the file or its folder cannot be written",
    "database is locked": f"another program has held it for {BUSY_SECONDS:g} s",
    "file is not a database": "it is another kind of file; delete it, and rebuild the store from the journal",
    "malformed": "delete the file and rebuild the store from the journal",
    "could not connect": "is the server running, and is the address right?",
    "connection failed": "is the server running, and is the address right?",
    "password authentication failed": "user or password is wrong",
    "permission denied": "the user may not do that",
}


def _advice(reason: str) -> str:
    return next((f"; {advice}" for sign, advice in _ADVICE.items() if sign in reason), "")


def _without_password(text: str) -> str:
    head, at, rest = text.rpartition("@")
    return f"***@{rest}" if at and head else text
