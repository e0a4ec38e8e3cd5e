"""The store of a desk: what `fairlead store upgrade|update|rebuild|follow` do.

`desk` is the folder of a journal. `place` is where its store is, as in `Store`; None = `store.sqlite` in that folder.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import islice

from fairlead._core import JournalReader
from fairlead.errors import JournalError
from fairlead.events import Event
from fairlead.journal import manifest as manifests
from fairlead.journal.folder import segments
from fairlead.store.engine import shown
from fairlead.store.store import Store
from fairlead.store.writer import StoreWriter

Place = str | os.PathLike[str]


class JournalTail:
    """The journal of a desk from an event on, and along its end. What was archived and is not in the journal any more
    comes out of the archive. Raises JournalError where there is no journal."""

    def __init__(self, desk: Place, first: int = 1) -> None:
        self._desk = desk
        self._reader: JournalReader | None = JournalReader(os.fspath(desk), first=first)
        self._journal = self._reader.id.hex()
        self._begins = _first(desk)
        self._past: Iterator[Event] | None = None
        if first < self._begins and manifests.load(desk) is not None:
            from fairlead.store.archived import archived  # needs pyarrow

            self._past = archived(desk, first, self._begins - 1)

    @property
    def journal(self) -> str:
        """The id of the journal, hexadecimal."""
        return self._journal

    def take(self, n: int) -> list[Event]:
        """The next events, at most n; none where there are no more yet."""
        if self._reader is None:
            return []
        if self._past is not None:
            if found := list(islice(self._past, n)):
                return found
            self._past = None
            if _first(self._desk) != self._begins:
                raise JournalError(f"{os.fspath(self._desk)}: events were archived while they were read; try again")
        return [Event(*event) for event in self._reader.read(n)]

    def close(self) -> None:
        """Lets go of its files."""
        self._reader = self._past = None


def follower(
    store: Store, desk: Place, *, poll: str | timedelta = "200ms", gentle: bool = True, partial: bool = False
) -> StoreWriter:
    """A `StoreWriter` that keeps a store up to date with the journal of a desk; start it, or use it as a context.
    partial: also where the next events are neither in the journal nor in its archive any more."""
    return StoreWriter(store, lambda first: JournalTail(desk, first), poll=poll, gentle=gentle, partial=partial)


def upgrade(desk: Place, place: Place | None = None) -> str:
    """Makes the tables of a store, or migrates them. Returns the place, for people."""
    with Store(desk if place is None else place) as store:
        store.upgrade()
        return shown(store.url)


def update(desk: Place, place: Place | None = None, *, partial: bool = False) -> int:
    """Brings a store up to date with the journal, once. Returns the number of the last event that is in it.

    partial: also where the next events are gone, from the archive too: without them; else that is a StoreError. Where
    the journal lost events that the store has, as after a power cut, the store is rebuilt.
    """
    with Store(desk if place is None else place) as store:
        return follower(store, desk, partial=partial).catch_up()


def rebuild(
    desk: Place,
    place: Place | None = None,
    *,
    windows: Iterable[str | int | timedelta] | None = None,
    entries: Collection[str] | None = None,
    partial: bool = False,
) -> int:
    """Deletes all rows and projects the whole journal anew; the rows will be the same. Returns how many events it had.

    windows, entries: as in `Store`; this is how to change them, and they stay as they are where they are not given.
    partial: also where events are neither in the journal nor in its archive any more, so that what the store has of
    them is lost; else that is a StoreError. The journal is read twice, so that nothing is deleted before all of it was
    found whole. Readers see the store fill up meanwhile. If it is cut short, `update` goes on.
    """
    with Store(desk if place is None else place, windows=windows, entries=entries) as store:
        return follower(store, desk, gentle=False, partial=partial).rebuild()


def follow(
    desk: Place,
    place: Place | None = None,
    *,
    poll: str | timedelta = "200ms",
    stop: threading.Event | None = None,
    partial: bool = False,
) -> None:
    """Keeps a store up to date until `stop` is set or the user interrupts: in a process of its own, out of the loop's
    way. partial: as in `update`.

    What goes wrong is logged (`fairlead.store`) and tried again.
    """
    stop = stop or threading.Event()
    with Store(desk if place is None else place) as store:
        writer = follower(store, desk, poll=poll, gentle=False, partial=partial)
        with writer, suppress(KeyboardInterrupt):
            while not stop.wait(1.0):  # in turns, so that an interrupt is heard
                pass


def _first(desk: Place) -> int:
    """Number of the first event that is in the journal itself."""
    return next((segment.first for segment in segments(desk)), 1)
