"""Where a store can be, how SQLite keeps its journal, and what is said where it cannot be opened."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import fairlead as fl
from fairlead.events import Event
from fairlead.store import Store, engine
from fairlead.store.engine import SAFE_WAL, locate, shown

NOTE = [Event(1, 0, "note", None, None, {"text": "a"})]


@pytest.mark.parametrize(
    ("place", "url"),
    [
        ("desk", "sqlite:///desk/store.sqlite"),
        ("desk/mine.db", "sqlite:///desk/mine.db"),
        (Path("desk") / "x.sqlite3", "sqlite:///desk/x.sqlite3"),
        ("sqlite:///here.sqlite", "sqlite:///here.sqlite"),
        ("postgres://host/fleet", "postgresql+psycopg://host/fleet"),
        ("postgresql://me@host:5433/fleet?sslmode=require", "postgresql+psycopg://me@host:5433/fleet?sslmode=require"),
        ("postgresql+psycopg://host/fleet", "postgresql+psycopg://host/fleet"),
    ],
)
def test_where_it_is(place: str | Path, url: str) -> None:
    assert locate(place).render_as_string() == url


def test_a_folder_is_a_desk_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "desk.db").mkdir()
    assert locate(tmp_path / "desk.db").database == str(tmp_path / "desk.db" / "store.sqlite")


@pytest.mark.parametrize("url", ["mysql://host/x", "postgresql+asyncpg://host/x", "oracle://me:secret@host/x"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(fl.StoreError, match=r"a store is on sqlite:// or postgresql://") as told:
        Store(url)
    assert "secret" not in str(told.value)


def test_what_is_no_url(tmp_path: Path) -> None:
    with pytest.raises(fl.StoreError, match="no database URL") as told:
        Store("post gres://me:secret@host:port/x")
    assert "secret" not in str(told.value)
    with pytest.raises(fl.StoreError, match="there is no folder"):
        Store(tmp_path / "no" / "store.sqlite")
    with pytest.raises(fl.StoreError, match="place is '', must be a URL, a file or a folder"):
        Store("")


def test_a_password_is_not_shown() -> None:
    assert shown(locate("postgresql://me:secret@host/x")) == "postgresql+psycopg://me:***@host/x"


def test_settings_that_make_no_sense(tmp_path: Path) -> None:
    with pytest.raises(fl.InvalidRecordError, match="windows"):
        Store(tmp_path, windows=["soon"])
    with pytest.raises(fl.InvalidRecordError, match="windows is empty"):
        Store(tmp_path, windows=[])
    with pytest.raises(fl.InvalidRecordError, match="did you mean 'forecast'"):
        Store(tmp_path, entries=["forcast"])


# --- SQLite ---


def mode(store: Store) -> str:
    with store.engine.connect() as connection:
        return str(connection.execute(text("PRAGMA journal_mode")).scalar())


def as_version(version: tuple[int, ...]) -> Any:
    """Python's sqlite3 that says it is another version."""
    module = types.ModuleType("sqlite3")
    module.__dict__.update(vars(sqlite3))
    module.__dict__["sqlite_version_info"] = version
    return module


@pytest.mark.parametrize(
    ("version", "expected"),
    [((3, 40, 1), "truncate"), ((3, 51, 2), "truncate"), ((3, 51, 3), "wal"), ((4, 0, 0), "wal")],
)
def test_wal_only_where_it_cannot_corrupt(tmp_path: Path, version: tuple[int, ...], expected: str) -> None:
    with Store(tmp_path, sqlite=as_version(version)) as store:
        assert store.apply(NOTE) == 1
        assert mode(store) == expected
    # Whoever comes with an older one afterwards takes it back to the safe mode.
    with Store(tmp_path, sqlite=as_version((3, 40, 1))) as store:
        assert store.apply(NOTE) == 0
        assert mode(store) == "truncate"


def test_this_python(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.upgrade()
        assert mode(store) == ("wal" if sqlite3.sqlite_version_info >= SAFE_WAL else "truncate")


def test_a_newer_sqlite_runs_in_wal_mode(tmp_path: Path, journal: Callable[..., list[Event]]) -> None:
    module = pytest.importorskip("pysqlite3.dbapi2")
    assert module.sqlite_version_info >= SAFE_WAL
    events = journal(41, 200)
    with Store(tmp_path, sqlite=module) as store:
        assert store.apply(events) == 200
        assert mode(store) == "wal"
        newer = store.query("SELECT * FROM model_performance")
    with Store(tmp_path) as store:  # the other copy of SQLite, once the first has closed the file
        assert store.query("SELECT * FROM model_performance") == newer


def test_a_file_in_use_is_waited_for_and_then_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path) as store:
        store.upgrade()
    monkeypatch.setattr(engine, "BUSY_SECONDS", 0.05)
    other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
    try:
        other.execute("BEGIN IMMEDIATE")
        with Store(tmp_path) as store:
            with pytest.raises(fl.StoreError, match=r"store\.sqlite: database is locked; another program"):
                store.apply(NOTE)
            other.execute("COMMIT")
            assert store.apply(NOTE) == 1
    finally:
        other.close()


def test_what_is_not_a_database(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"not a database, but long enough to look like one" * 100)
    with Store(tmp_path) as store:
        for call in (store.upgrade, lambda: store.apply(NOTE), lambda: store.state, lambda: store.query("SELECT 1")):
            with pytest.raises(fl.StoreError, match=r"store\.sqlite: file is not a database; it is another kind"):
                call()


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    with Store(tmp_path) as store:
        store.apply(NOTE)
    code = """
import os, sys
import sqlalchemy.dialects.sqlite, alembic.command
from fairlead.events import Event
from fairlead.store import Store
import fairlead as fl
if os.geteuid() == 0:  # nothing is forbidden to root
    os.setgid(65534); os.setuid(65534)
with Store(sys.argv[1]) as store:
    print(store.state.last_seq)
    try:
        store.apply([Event(2, 0, "note", None, None, {})])
    except fl.StoreError as error:
        print(error)
"""
    (tmp_path / "store.sqlite").chmod(0o444)
    tmp_path.chmod(0o555)
    parents = [p for p in tmp_path.parents if p.stat().st_uid == os.geteuid() and p != Path("/")]
    modes = [p.stat().st_mode for p in parents]
    try:
        for parent in parents[:3]:
            parent.chmod(0o755)
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False, timeout=60
        )
    finally:
        for parent, before in zip(parents, modes, strict=True):
            parent.chmod(before)
        tmp_path.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1\n")
    assert "attempt to write a readonly database; the file or its folder cannot be written" in done.stdout


# --- PostgreSQL ---


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    import psycopg

    with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
        connection.execute("CREATE DATABASE errors")
        yield f"{postgres}/errors"
        connection.execute("DROP DATABASE errors WITH (FORCE)")


def test_a_server_that_is_not_there() -> None:
    pytest.importorskip("psycopg")
    with Store("postgresql://me:secret@127.0.0.1:1/x") as store:
        with pytest.raises(fl.StoreError, match="is the server running") as told:
            store.apply(NOTE)
        assert "secret" not in str(told.value)


def test_a_database_that_is_not_there(postgres: str) -> None:
    with Store(f"{postgres}/nowhere") as store, pytest.raises(fl.StoreError, match='database "nowhere" does not exist'):
        store.apply(NOTE)


def test_a_connection_that_is_cut_is_made_anew(database: str) -> None:
    import psycopg

    with Store(database) as store:
        store.apply(NOTE)
        with psycopg.connect(database, autocommit=True) as admin:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            admin.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        assert store.apply([Event(2, 0, "note", None, None, {})]) == 1
        assert store.state.last_seq == 2


def test_a_schema_of_its_own(database: str) -> None:
    import psycopg

    with psycopg.connect(database, autocommit=True) as admin:
        admin.execute("CREATE TABLE alerts (of_another_program INTEGER)")
        admin.execute("CREATE SCHEMA fairlead")
    with Store(database) as store, pytest.raises(fl.StoreError, match="another program"):
        store.apply(NOTE)
    with Store(f"{database}?options=-csearch_path%3Dfairlead") as store:
        assert store.apply(NOTE) == 1
        assert store.query("SELECT count(*) AS n FROM fairlead.journal_entries") == [{"n": 1}]


def test_psycopg_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(fl.StoreError, match=r"pip install 'fairlead\[store,postgres\]'"):
        Store("postgresql://host/x")


def test_sqlalchemy_is_asked_for() -> None:
    code = """
import sys
sys.modules["sqlalchemy"] = None
import fairlead as fl
try:
    fl.Store
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "pip install 'fairlead[store]'" in done.stdout
