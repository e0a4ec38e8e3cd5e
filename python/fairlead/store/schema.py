"""The tables in a database: made, migrated, and refused where they are another program's or a newer fairlead's."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, inspect, text

from fairlead._core import __version__
from fairlead.errors import StoreError
from fairlead.store.tables import PROJECTED

VERSION_TABLE = "fairlead_version"
"""Not Alembic's usual name, so that another program's migrations are not taken for ours."""
_LOCK = 0x666C73746F7265  # "flstore": for PostgreSQL's advisory lock


def config(connection: Connection | None = None, versions: str | None = None) -> Config:
    """Alembic's configuration, without a file. versions: further folders of migrations, for tests."""
    found = Config()
    folder = Path(__file__).parent / "migrations"
    found.set_main_option("script_location", str(folder).replace("%", "%%"))
    found.set_main_option("path_separator", "newline")
    if versions is not None:
        found.set_main_option("version_locations", f"{folder / 'versions'}\n{versions}".replace("%", "%%"))
    found.attributes.update(connection=connection, version_table=VERSION_TABLE)
    return found


@cache
def head(versions: str | None = None) -> str:
    """The revision that this fairlead has."""
    found = ScriptDirectory.from_config(config(versions=versions)).get_current_head()
    assert found is not None
    return found


def revision(connection: Connection) -> str | None:
    """The revision of the database, None where it is empty. Raises StoreError where it is another program's."""
    tables = set(inspect(connection).get_table_names())
    if VERSION_TABLE not in tables:
        if tables:
            some = ", ".join(sorted(tables)[:3]) + (", …" if len(tables) > 3 else "")
            raise StoreError(
                f"the database holds tables of another program ({some}); give the store a database or schema of its own"
            )
        return None
    opts = {"version_table": VERSION_TABLE}
    return MigrationContext.configure(connection, opts=opts).get_current_revision()


def check(connection: Connection, versions: str | None = None) -> None:
    """Raises StoreError unless the tables are those that this fairlead reads and writes."""
    found = revision(connection)
    if found == head(versions):
        return
    if found is None:
        raise StoreError("the database is empty; make its tables with Store.upgrade() or `fairlead store upgrade`")
    _refuse_newer(found, versions)
    raise StoreError(
        f"the store has the tables of an older fairlead (revision {found}, needed {head(versions)}); migrate it with "
        "Store.upgrade() or `fairlead store upgrade`"
    )


def upgrade(connection: Connection, to: str = "head", versions: str | None = None) -> None:
    """Brings the tables to a revision, forward, in the connection's transaction; several processes may try at once.

    Raises StoreError where the database is another program's, or newer than this fairlead.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    found = revision(connection)
    if found is not None:
        _refuse_newer(found, versions)
    command.upgrade(config(connection, versions), to)


def empty(connection: Connection) -> None:
    """Deletes every row that follows from the journal, not the tables."""
    for table in reversed(PROJECTED):
        connection.execute(table.delete())


def _refuse_newer(found: str, versions: str | None) -> None:
    try:
        known = ScriptDirectory.from_config(config(versions=versions)).get_revision(found)
    except CommandError:
        known = None
    if known is None:
        raise StoreError(
            f"the store has the tables of a newer fairlead (revision {found}, which {__version__} does not know); use "
            "that one, or rebuild into another database"
        )
