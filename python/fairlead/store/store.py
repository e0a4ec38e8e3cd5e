"""The store: tables for SQL, projected from a journal."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from types import ModuleType, TracebackType
from typing import Any

from sqlalchemy import URL, Connection, Executable, Table, select, text
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect

from fairlead.errors import InvalidRecordError, StoreError, did_you_mean
from fairlead.events import TYPES, Event
from fairlead.store import schema
from fairlead.store.engine import file_of, identity, locate, make_engine, shown, told
from fairlead.store.projection import DAY, HOUR, Projection, digest
from fairlead.store.rows import Stored, write
from fairlead.store.tables import projection_state
from fairlead.times import as_span

BATCH = 5000
"""Events in one transaction."""
DEFAULTS: dict[str, Any] = {"windows": [HOUR, DAY], "entries": None}
"""What a store is built with where nothing else is asked for."""


class MovedError(StoreError):
    """The events before those that were to be stored are not in the store: somebody else emptied it, say."""


@dataclass(frozen=True, slots=True)
class State:
    """How far a store is: the journal it follows, and the last event that is in it. last_seq 0 = none. missing: ranges
    of events before it that were gone when it was built, first and last."""

    journal: str = ""
    last_seq: int = 0
    last_time: int | None = None
    last_digest: str = ""
    missing: tuple[tuple[int, int], ...] = ()

    def ends_with(self, event: Event) -> bool:
        """Whether this is the event that the store had last, and not another one that took its number."""
        return self.last_seq == event.seq and self.last_digest == digest(event)


class Store:
    """Tables of a journal's events for SQL: `model_performance`, `model_health`, `ensemble_decisions`,
    `journal_entries`, `alerts` and others, stated in `fairlead.store.tables`.

    place: the folder of a desk (SQLite in `store.sqlite` there), a file ending in .sqlite, .sqlite3 or .db, or the URL
    of a PostgreSQL database. windows: lengths of the windows of model_performance, "1h" and "24h" if not given.
    entries: types of event that get a row in journal_entries, all if not given; leave out "forecast" where volume
    matters. Both are remembered in the store, through a rebuild too, where they are not given; another choice needs a
    rebuild.

    An event is projected once, by its number: rows and the number of the last event are written in one transaction.
    Several threads and processes may use one store.

    Raises StoreError where the place is none; nothing is opened before it is used.

    >>> import tempfile
    >>> from fairlead.events import Event
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Store(folder.name) as store:
    ...     store.apply([Event(1, 0, "note", None, None, {"text": "opened"})])
    ...     store.query("SELECT seq, event_type, metadata ->> 'text' AS said FROM journal_entries")
    1
    [{'seq': 1, 'event_type': 'note', 'said': 'opened'}]
    >>> folder.cleanup()
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        windows: Iterable[str | int | timedelta] | None = None,
        entries: Collection[str] | None = None,
        sqlite: ModuleType = sqlite3,
    ) -> None:
        self.url = locate(place)
        self.engine = make_engine(self.url, sqlite)
        self._asked: dict[str, Any] = {}
        if windows is not None:
            self._asked["windows"] = sorted({as_span(length, "windows") for length in windows})
            if not self._asked["windows"]:
                raise InvalidRecordError("windows is empty, must hold one length or more")
        if entries is not None:
            for kind in entries:
                if kind not in TYPES:
                    raise InvalidRecordError(f"entries holds {kind!r}, which is no event{did_you_mean(kind, TYPES)}")
            self._asked["entries"] = None if set(entries) == set(TYPES) else sorted(set(entries))
        self._lock = threading.Lock()
        self._stored: Stored | None = None
        self._projection: Projection | None = None
        self._of: tuple[object, ...] = ()  # what the projection is of: the last event, and how it was built
        self._path = file_of(self.url)
        self._file: tuple[int, int] | None = None  # which file was written last
        self._checked = False

    # --- the tables ---

    def upgrade(self) -> None:
        """Makes the tables, or brings those of an older fairlead up to date; what they hold stays.

        Raises StoreError where the database is another program's or a newer fairlead's.
        """
        with self._writing() as connection, self._named():
            schema.upgrade(connection)

    def drop(self, *, journal: str = "", only: State | None = None) -> None:
        """Deletes every row, not what the store was built with. The journal has them all: `rebuild` brings them back.

        journal: the id of the one that it will be of. only: unless the store has moved on from there.
        """
        with self._lock, self._writing() as connection:
            self._ready(connection)
            row = self._locked_state(connection)
            if only is None or (row["last_seq"], row["last_digest"]) == (only.last_seq, only.last_digest):
                settings = DEFAULTS | row["settings"] | self._asked
                settings.pop("missing", None)
                schema.empty(connection)
                row.update(journal=journal, last_seq=0, last_time=None, last_digest="", settings=settings)
                connection.execute(projection_state.update(), row)
                self._projection = None

    # --- writing ---

    def apply(
        self,
        events: Iterable[Event],
        *,
        journal: str = "",
        after: int | None = None,
        partial: bool = False,
        pause: Callable[[], object] | None = None,
    ) -> int:
        """Projects events, in batches, and returns how many were new. Those that are in the store already are passed
        over, so it does no harm to repeat some.

        journal: the id of the journal they are from. after: the number of the event before the first one, which must be
        in the store; the number before its own if not given. partial: the events before the first one may be gone; what
        is missing then is remembered (`state.missing`). pause: called after every few events, for the sake of other
        threads.

        Raises StoreError where the store is another journal's, lacks events before these, as when somebody else emptied
        it meanwhile, or cannot be written; the batches before are stored then, and the next call goes on from there.
        """
        done = 0
        upcoming = iter(events)
        while batch := list(islice(upcoming, BATCH)):
            if after is None:
                after = 0 if partial else batch[0].seq - 1
            done += self._apply(batch, journal, after, partial, pause)
            after, partial = batch[-1].seq, False
        return done

    def rebuild(self, events: Iterable[Event], *, journal: str = "") -> int:
        """Deletes every row and projects all events of a journal anew: the rows will be the same. If it is cut short,
        `apply` goes on from where it was."""
        self.drop(journal=journal)
        return self.apply(events, journal=journal)

    def _apply(
        self, batch: list[Event], journal: str, after: int, partial: bool, pause: Callable[[], object] | None
    ) -> int:
        with self._lock:
            try:
                with self._writing() as connection:
                    return self._project(connection, batch, journal, after, partial, pause)
            except BaseException:
                self._projection = None  # it may be ahead of the rows
                self._checked = False
                raise

    def _project(
        self,
        connection: Connection,
        batch: list[Event],
        journal: str,
        after: int,
        partial: bool,
        pause: Callable[[], object] | None,
    ) -> int:
        self._ready(connection)
        row = self._locked_state(connection)
        check_journal(self.url, row["journal"], journal)
        settings = self._settings(row)
        last = row["last_seq"]
        if last < after:
            raise MovedError(
                f"{shown(self.url)}: the store ends with event {last}, so event {batch[0].seq} cannot follow: it needs "
                f"those up to {after} first"
            )
        fresh = _new(batch, last)
        if self._projection is None or self._stored is None or self._of != (last, row["last_digest"], settings):
            self._stored = Stored(connection)
            self._projection = Projection(windows=settings["windows"], entries=settings["entries"], source=self._stored)
        self._stored.connection = connection
        if partial and fresh and fresh[0].seq > last + 1:
            settings = settings | {"missing": [*settings.get("missing", ()), [last + 1, fresh[0].seq - 1]]}
        changes = self._projection.apply(fresh, pause)
        if changes.last is not None:
            write(connection, changes)
            row.update(last_seq=changes.last.seq, last_time=changes.last.time, last_digest=changes.digest)
        row.update(journal=journal or row["journal"], settings=settings)
        connection.execute(projection_state.update(), row)
        self._of = (row["last_seq"], row["last_digest"], settings)
        return len(fresh)

    def _locked_state(self, connection: Connection) -> dict[str, Any]:
        wanted = select(projection_state).with_for_update()
        row = connection.execute(wanted).mappings().first()
        if row is None:
            fresh = {"id": 1, "journal": "", "last_seq": 0, "last_digest": "", "settings": {}}
            # Another process may do the same now: one of the two makes the row, the other waits for it.
            insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite_dialect.insert
            connection.execute(insert(projection_state).values(fresh).on_conflict_do_nothing())
            row = connection.execute(wanted).mappings().one()
        return dict(row)

    def _settings(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """What the projection is built with: as it was, or as it was asked for where the store is new."""
        stored: dict[str, Any] = row["settings"]
        settings = DEFAULTS | stored | self._asked
        if row["last_seq"] and settings != stored:
            changed = next(name for name in settings if settings[name] != stored.get(name))
            raise StoreError(
                f"{shown(self.url)}: {changed} is {settings[changed]!r}, but the store was built with "
                f"{stored.get(changed)!r}; leave it out, or rebuild the store"
            )
        return settings

    # --- reading ---

    @property
    def state(self) -> State:
        """How far the store is. Raises StoreError where it cannot be read, or is not this fairlead's."""
        with self._reading() as connection:
            if schema.revision(connection) is None:
                return State()
            schema.check(connection)
            row = connection.execute(select(projection_state)).mappings().first()
        if row is None:
            return State()
        missing = tuple((first, last) for first, last in row["settings"].get("missing", ()))
        return State(row["journal"], row["last_seq"], row["last_time"], row["last_digest"], missing)

    def query(self, sql: str | Executable | Table, /, **parameters: Any) -> list[dict[str, Any]]:
        """The rows of a SELECT as dictionaries: text with `:name` parameters, or a SQLAlchemy statement or table.

        A JSON column is a string in SQLite where the SELECT is text; a statement of SQLAlchemy knows its type. For more
        than a few rows, give `store.engine` to pandas, polars or SQLAlchemy.
        """
        statement = text(sql) if isinstance(sql, str) else select(sql) if isinstance(sql, Table) else sql
        with self._reading() as connection:
            return [dict(row) for row in connection.execute(statement, parameters).mappings()]

    def close(self) -> None:
        """Closes its connections. It may be used again."""
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Store at {shown(self.url)}>"

    # --- inside ---

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        if self._file is not None and self._file != identity(self._path):
            self.engine.dispose()  # the file was deleted or replaced: what is open is no store any more
            self._projection, self._checked = None, False
        with told(self.url), self.engine.connect() as plain:
            connection = plain.execution_options(writes=True)
            with connection.begin():
                yield connection
            self._file = identity(self._path)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with told(self.url), self._named(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _named(self) -> Iterator[None]:
        """A StoreError about the tables, with the place."""
        try:
            yield
        except StoreError as error:
            here = shown(self.url)
            if str(error).startswith(here):
                raise
            raise StoreError(f"{here}: {error}") from error

    def _ready(self, connection: Connection) -> None:
        """Makes the tables in an empty database; refuses any but ours."""
        if self._checked:
            return
        with self._named():
            if schema.revision(connection) is None:
                schema.upgrade(connection)
            schema.check(connection)
        self._checked = True


def check_journal(url: URL, has: str, journal: str) -> None:
    """Raises StoreError where a store is of another journal than this; '' is not told."""
    if journal and has and has != journal:
        raise StoreError(
            f"{shown(url)}: the store is of journal {has}, the events are of {journal}; give each journal a store of "
            "its own, or rebuild this one"
        )


def _new(batch: Sequence[Event], last: int) -> list[Event]:
    """The events after the last one, each once."""
    fresh: list[Event] = []
    for event in batch:
        if event.seq > last:
            fresh.append(event)
            last = event.seq
    return fresh
