"""The store: the journal's events as tables for SQL, in SQLite or PostgreSQL.

`projection` turns events into rows, `tables` says what the rows are, `rows` writes them, `schema` and `migrations` make
the tables, `store` puts it together, `writer` follows a journal, `desk` is what
the command line calls. Needs `pip install "fairlead[store]"`, PostgreSQL also
`[postgres]`.
"""

from __future__ import annotations

try:
    import alembic as _alembic  # noqa: F401
    import sqlalchemy as _sqlalchemy  # noqa: F401
except ImportError as error:
    raise ImportError(f"the store needs SQLAlchemy and Alembic: pip install 'fairlead[store]' ({error})") from error

from fairlead.store.projection import Projection
from fairlead.store.store import State, Store
from fairlead.store.tables import metadata
from fairlead.store.writer import StoreWriter, Tail

__all__ = ["Projection", "State", "Store", "StoreWriter", "Tail", "metadata"]
