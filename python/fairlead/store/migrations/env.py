"""What Alembic runs to migrate: on the connection that `schema.upgrade` hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from fairlead.store.tables import metadata


def run() -> None:
    """Migrates the database of the configuration's connection."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=metadata,
        version_table=context.config.attributes["version_table"],
        compare_type=True,
        render_as_batch=True,  # SQLite alters a table by copying it
    )
    with context.begin_transaction():
        context.run_migrations()


if __name__ == "env_py":  # Alembic's name for it; it must not run where it is merely imported
    run()
