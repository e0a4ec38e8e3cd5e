"""The tables: migrated from each released version to what the code says, and refused if not ours."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, select, text

import fairlead as fl
from fairlead.events import Event
from fairlead.store import Store, schema
from fairlead.store.migrations import RELEASES
from fairlead.store.tables import PROJECTED, metadata

Journal = Callable[..., list[Event]]
RELEASED = Path(__file__).parent / "releases"
_EVENTS = 90
"""That the rows of a release are of, from `made_up.make_journal` as it was then."""
_FEWER = {"0.1.0.dev1": 60}
_NEW_SINCE = {"0.1.0.dev1": {"calls", "routes", "runs"}, "0.1.0.dev2": {"runs"}}
_SHAPED_FROM = {"0.1.0.dev1": 60, "0.1.0.dev2": _EVENTS}


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with Store(place) as found:
        yield found


def described(engine: Engine) -> Any:
    """Everything the database says about its tables."""
    found = inspect(engine)
    return {
        name: {
            "columns": [
                (c["name"], repr(c["type"]), c["nullable"], str(c["default"])) for c in found.get_columns(name)
            ],
            "key": found.get_pk_constraint(name),
            "indexes": sorted((i["name"], i["column_names"], i["unique"]) for i in found.get_indexes(name)),
        }
        for name in found.get_table_names()
        if name != schema.VERSION_TABLE
    }


def differences(connection: Connection) -> Any:
    options = {"version_table": schema.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
    return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)


@pytest.mark.parametrize("version", RELEASES)
def test_upgrade_from_a_release(place: str, store: Store, journal: Journal, version: str) -> None:
    """The rows that a release wrote are there after an upgrade, and new events go on from them."""
    with store._writing() as connection:
        schema.upgrade(connection, RELEASES[version])
        for table, rows in json.loads((RELEASED / f"{version}.json").read_text()).items():
            for row in rows:
                values = {k: json.dumps(v) if isinstance(v, (dict, list)) else v for k, v in row.items()}
                cast = {k: f"CAST(:{k} AS JSON)" if isinstance(v, (dict, list)) else f":{k}" for k, v in row.items()}
                if store.engine.name == "sqlite":
                    cast = {k: f":{k}" for k in row}
                names = ", ".join(f'"{k}"' for k in row)
                connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({', '.join(cast.values())})"), values)
    store.upgrade()
    store.upgrade()  # a second time does nothing
    with store.engine.connect() as connection:
        assert schema.revision(connection) == schema.head()
        assert differences(connection) == []
    upgraded = {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}
    assert {name for name, rows in upgraded.items() if not rows} == _NEW_SINCE.get(version, set())
    events = journal(32, 260, routed_from=_FEWER.get(version, 0), shaped_from=_SHAPED_FROM.get(version, 0))
    store.apply(events[_FEWER.get(version, _EVENTS) :])
    followed = {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}
    assert all(followed.values())
    store.rebuild(events)
    rebuilt = {table.name: store.query(select(table).order_by(*table.primary_key)) for table in PROJECTED}
    assert followed == rebuilt


def test_every_release_has_its_rows_here() -> None:
    """Rows of this version are made by `python tests/store/test_schema.py` once it is released."""
    assert sorted(path.stem for path in RELEASED.glob("*.json")) == sorted(RELEASES)
    assert list(RELEASES.values())[-1] == schema.head()


def test_migrations_make_what_the_code_says(store: Store) -> None:
    store.upgrade()
    migrated = described(store.engine)
    with store._writing() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert migrated == described(store.engine)


NEXT = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9999", "{head}", None, None
def upgrade():
    op.add_column("alerts", sa.Column("owner", sa.Text, nullable=False, server_default="nobody"))
    with op.batch_alter_table("budgets") as batch:
        batch.alter_column("limit_usd", new_column_name="ceiling_usd")
{more}
"""


@pytest.fixture
def later(tmp_path: Path) -> Path:
    """A folder with the migration of a version to come."""
    folder = tmp_path / "versions of 100% later"
    folder.mkdir()
    (folder / "later.py").write_text(NEXT.format(head=schema.head(), more=""))
    return folder


def test_a_later_migration_keeps_the_rows(store: Store, journal: Journal, later: Path) -> None:
    store.apply(journal(32, 300))
    alerts, budgets = store.query("SELECT * FROM alerts"), store.query("SELECT * FROM budgets")
    assert alerts
    assert budgets
    with store.engine.connect() as connection, pytest.raises(fl.StoreError, match=r"older fairlead .*store upgrade"):
        schema.check(connection, str(later))
    with store._writing() as connection:
        schema.upgrade(connection, versions=str(later))
        schema.check(connection, str(later))
    assert store.query("SELECT * FROM alerts") == [row | {"owner": "nobody"} for row in alerts]
    assert [row["ceiling_usd"] for row in store.query("SELECT * FROM budgets")] == [r["limit_usd"] for r in budgets]


def test_a_newer_database_is_refused(store: Store, place: str, later: Path) -> None:
    with store._writing() as connection:
        schema.upgrade(connection, versions=str(later))
    with Store(place) as older:
        for call in (older.upgrade, older.drop, lambda: older.apply([Event(1, 0, "note", None, None, {})])):
            with pytest.raises(fl.StoreError, match=r"newer fairlead \(revision 9999"):
                call()
        with pytest.raises(fl.StoreError, match="newer fairlead"):
            _ = older.state


def test_a_migration_that_fails_changes_nothing(store: Store, journal: Journal, later: Path) -> None:
    store.apply(journal(33, 100))
    before = described(store.engine)
    (later / "later.py").write_text(NEXT.format(head=schema.head(), more="    raise RuntimeError('power cut')"))
    with pytest.raises(RuntimeError, match="power cut"), store._writing() as connection:
        schema.upgrade(connection, versions=str(later))
    assert described(store.engine) == before
    with store.engine.connect() as connection:
        schema.check(connection)
    assert store.state.last_seq == 100


def test_tables_of_another_program_are_left_alone(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(text("CREATE TABLE alerts (id INTEGER)"))
    for call in (store.upgrade, store.drop, lambda: store.apply([Event(1, 0, "note", None, None, {})])):
        with pytest.raises(fl.StoreError, match=r"another program \(alembic_version, alerts\)"):
            call()
    assert set(inspect(store.engine).get_table_names()) == {"alembic_version", "alerts"}


def test_an_empty_database_has_no_state(store: Store) -> None:
    assert store.state.last_seq == 0
    store.upgrade()
    assert store.state.last_seq == 0
    with store.engine.connect() as connection:
        schema.check(connection)


if __name__ == "__main__":  # writes the rows of this version, for RELEASED
    import tempfile

    from made_up import make_journal

    with tempfile.TemporaryDirectory() as folder, Store(folder) as made:
        made.apply(make_journal(32, 260)[:_EVENTS])
        rows = {table.name: made.query(table) for table in metadata.sorted_tables}
    RELEASED.mkdir(exist_ok=True)
    (RELEASED / f"{fl.__version__}.json").write_text(
        "{\n"
        + ",\n".join(f"{json.dumps(t)}: [\n" + ",\n".join(map(json.dumps, r)) + "\n]" for t, r in rows.items())
        + "\n}\n"
    )
