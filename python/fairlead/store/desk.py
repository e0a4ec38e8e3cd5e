"""The store of a desk: what `fairlead store upgrade|update|rebuild|follow` do.

`desk` is the folder of a journal. `place` is where its store is, as in `Store`; None = `store.sqlite` in that folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from itertools import chain

from fairlead._core import JournalReader
from fairlead.errors import StoreError
from fairlead.events import Event
from fairlead.store.engine import shown
from fairlead.store.store import BATCH, Store
from fairlead.store.writer import StoreWriter

Place = str | os.PathLike[str]


class JournalTail:
    """The journal of a desk from an event on, and along its end. Raises JournalError where there is none."""

    def __init__(self, desk: Place, first: int = 1) -> None:
        self._reader: JournalReader | None = JournalReader(os.fspath(desk), first=first)
        self._journal = self._reader.id.hex()

    @property
    def journal(self) -> str:
        """The id of the journal, hexadecimal."""
        return self._journal

    def take(self, n: int) -> list[Event]:
        """The next events, at most n; none where there are no more yet."""
        return [] if self._reader is None else [Event(*event) for event in self._reader.read(n)]

    def close(self) -> None:
        """Lets go of its files."""
        self._reader = None


def follower(store: Store, desk: Place, *, poll: str | timedelta = "200ms") -> StoreWriter:
    """A `StoreWriter` that keeps a store up to date with the journal of a desk; start it, or use it as a context."""
    return StoreWriter(store, lambda first: JournalTail(desk, first), poll=poll)


def upgrade(desk: Place, place: Place | None = None) -> str:
    """Makes the tables of a store, or migrates them. Returns the place, for people."""
    with Store(desk if place is None else place) as store:
        store.upgrade()
        return shown(store.url)


def update(desk: Place, place: Place | None = None) -> int:
    """Brings a store up to date with the journal, once. Returns the number of the last event that is in it.

    Where the journal lost events that the store has, as after a power cut, the store is rebuilt.
    """
    with Store(desk if place is None else place) as store:
        writer = follower(store, desk)
        return writer.catch_up()


def rebuild(
    desk: Place,
    place: Place | None = None,
    *,
    windows: Iterable[str | int | timedelta] | None = None,
    entries: Collection[str] | None = None,
) -> int:
    """Deletes all rows and projects the whole journal anew; the rows will be the same. Returns how many events it had.

    windows, entries: as in `Store`; this is how to change them. Readers see the store fill up meanwhile. If it is cut
    short, `update` goes on. Raises StoreError where the journal does not have its first events any more.
    """
    with (
        Store(desk if place is None else place, windows=windows, entries=entries) as store,
        closing(JournalTail(desk)) as tail,
    ):
        first = tail.take(1)
        if first and first[0].seq > 1:
            raise StoreError(
                f"{os.fspath(desk)}: the events before {first[0].seq} are archived, and the store cannot be rebuilt "
                "without them"
            )
        return store.rebuild(chain(first, _all(tail)), journal=tail.journal)


def follow(
    desk: Place,
    place: Place | None = None,
    *,
    poll: str | timedelta = "200ms",
    stop: threading.Event | None = None,
) -> None:
    """Keeps a store up to date until `stop` is set or the user interrupts: in a process of its own, out of the loop's
    way.

    What goes wrong is logged (`fairlead.store`) and tried again.
    """
    stop = stop or threading.Event()
    with Store(desk if place is None else place) as store:
        writer = StoreWriter(store, lambda first: JournalTail(desk, first), poll=poll, gentle=False)
        with writer, suppress(KeyboardInterrupt):
            while not stop.wait(1.0):  # in turns, so that an interrupt is heard
                pass


def _all(tail: JournalTail) -> Iterator[Event]:
    while events := tail.take(BATCH):
        yield from events
