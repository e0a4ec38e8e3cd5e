"""Following a journal: a thread, or a process of its own, that keeps a store up to date.

It reads the journal as any reader does and never touches the loop that writes it. In the loop's process it shares
Python's interpreter lock, so it pauses every few events; where the loop counts microseconds, run
`fairlead store follow` as a process of its own.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from types import TracebackType
from typing import Protocol

from fairlead.errors import StoreError
from fairlead.events import Event
from fairlead.store.store import BATCH, MovedError, State, Store, check_journal
from fairlead.times import as_span

_LOG = logging.getLogger("fairlead.store")
_PAUSE_SECONDS = 2e-5
_TURN = 256  # events read at a time: a third of a millisecond
_FIRST_RETRY, _LAST_RETRY = 0.1, 5.0


class Tail(Protocol):
    """A reader that goes along the end of a journal."""

    @property
    def journal(self) -> str:
        """The id of the journal, hexadecimal."""

    def take(self, n: int) -> list[Event]:
        """The next events, at most n; none where there are no more yet."""

    def close(self) -> None:
        """Lets go of its files."""


class StoreWriter:
    """Keeps a store up to date with a journal, in a background thread.

    open: gives a `Tail` that begins at the event of a number. poll: how often to look for new events, where there were
    none. Events are written at most 5000 at a time. What goes wrong, a database that is down or a journal that cannot
    be read, is tried again, after .1 s at first and 5 s at last: nothing is lost meanwhile, as the journal has it.
    gentle: let other threads have their turn every few events; a process that does nothing else needs none of it.
    partial: go on where the next events are gone, from the archive too, without them; else that is an error.

    Where the journal has another event than the store had last, as after a power cut that took the end of it, the store
    is rebuilt from the journal, with a warning in the log `fairlead.store`, once the journal was found whole. Where
    somebody else empties the store, it begins anew.

    Use it as a context, or call `start` and `stop`.
    """

    def __init__(
        self,
        store: Store,
        open: Callable[[int], Tail],
        *,
        poll: str | timedelta = "200ms",
        batch: int = BATCH,
        gentle: bool = True,
        partial: bool = False,
    ) -> None:
        self.store = store
        self._open = open
        self._poll = as_span(poll, "poll") / 1e9
        self._batch = batch
        self._pause = _pause if gentle else None
        self._partial = partial
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._asked = self._flushed = 0  # how many times a flush was asked for, and up to which of them it is done
        self._caught_up = time.monotonic()
        self._applied = 0
        self._next = 1  # number of the event that must come next
        self._error: Exception | None = None

    # --- what it is doing ---

    @property
    def applied(self) -> int:
        """Number of the last event that is in the store, as far as this writer knows."""
        return self._applied

    @property
    def lag(self) -> float:
        """Seconds since all that the journal had was in the store."""
        return time.monotonic() - self._caught_up

    @property
    def last_error(self) -> Exception | None:
        """What is wrong, while it is; None once it works again."""
        return self._error

    @property
    def running(self) -> bool:
        """Whether the thread is there."""
        return self._thread is not None and self._thread.is_alive()

    # --- its life ---

    def start(self) -> None:
        """Starts the thread, where there is none."""
        if not self.running:
            self._stopping = False
            self._thread = threading.Thread(target=self.run, name="fairlead-store", daemon=True)
            self._thread.start()

    def flush(self, timeout: float | None = None) -> bool:
        """Waits until all that the journal holds now is in the store; False where that took more than `timeout` seconds
        or the writer was stopped."""
        with self._condition:
            self._asked += 1
            asked = self._asked
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._flushed >= asked or not self.running, timeout)
            return self._flushed >= asked

    def stop(self, timeout: float | None = 10.0) -> bool:
        """Writes what the journal holds, ends the thread and returns whether all of it came into the store. timeout:
        seconds for that, None without end; a batch that is being written is always finished."""
        thread = self._thread
        if thread is None:
            return False
        done = self.flush(timeout)
        with self._condition:
            self._stopping = True
            self._condition.notify_all()
        thread.join()
        self._thread = None
        return done

    def __enter__(self) -> StoreWriter:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- the thread ---

    def run(self) -> None:
        """What the thread does, until `stop`: for a process that does nothing else."""
        tail: Tail | None = None
        retry = _FIRST_RETRY
        try:
            while not self._stopping:
                asked = self._asked
                try:
                    if tail is None:
                        tail = self._begin()
                    events = self._take(tail)
                    self._write(events, tail.journal)
                except MovedError as error:
                    _close(tail)
                    tail = None
                    _LOG.info("%s: beginning anew", error)
                    continue
                except Exception as error:
                    _close(tail)
                    tail = None
                    self._failed(error)
                    self._wait(retry, asked)
                    retry = min(2 * retry, _LAST_RETRY)
                    continue
                retry = _FIRST_RETRY
                self._error = None
                if not events:
                    self._reached(asked)
                    self._wait(self._poll, asked)
        finally:
            _close(tail)
            with self._condition:
                self._condition.notify_all()

    def catch_up(self) -> int:
        """What the thread does, once and in the caller's: brings the store to the end of the journal. Returns the
        number of the last event that is in it. Raises StoreError and JournalError, rather than to try again."""
        while True:
            with suppress(MovedError), closing(self._begin()) as tail:
                while events := self._take(tail):
                    self._write(events, tail.journal)
                return self._applied

    def rebuild(self) -> int:
        """Deletes every row and projects the whole journal anew, once it was found whole. Returns how many events the
        journal had. Raises as `catch_up`, and StoreError where events are gone, unless it may be partial."""
        journal, events, gone = self._look_over()
        if gone and not self._partial:
            raise StoreError(
                f"{self.store!r} cannot be rebuilt: {_ranges(gone)} are gone, from the archive too; rebuilt without "
                "them (partial), the store would not have what it has of them now"
            )
        self.store.drop(journal=journal)
        self.catch_up()
        return events

    def _take(self, tail: Tail) -> list[Event]:
        """Up to a batch of events, a few at a time: making them holds Python's lock."""
        events: list[Event] = []
        while len(events) < self._batch:
            few = tail.take(min(_TURN, self._batch - len(events)))
            events += few
            if not few:
                break
            if self._pause is not None:
                self._pause()
        return events

    def _write(self, events: list[Event], journal: str) -> None:
        for part in _runs(events, self._next):
            first = part[0].seq
            if hole := first != self._next:
                if not self._partial:
                    raise StoreError(
                        f"{self.store!r} ends with event {self._applied}, and {_ranges([(self._next, first - 1)])} are "
                        "gone, from the archive too; `fairlead store update --partial` goes on without them"
                    )
                _LOG.warning("%r goes on without %s, which are gone", self.store, _ranges([(self._next, first - 1)]))
            self.store.apply(part, journal=journal, after=self._applied, partial=hole, pause=self._pause)
            self._applied, self._next = part[-1].seq, _following(part[-1])

    def _begin(self) -> Tail:
        """A tail that goes on where the store ends."""
        while True:
            state = self.store.state
            if state.last_seq == 0:
                self._applied, self._next = 0, 1
                return self._open(1)
            with closing(self._open(state.last_seq)) as tail:
                check_journal(self.store.url, state.journal, tail.journal)
                found = tail.take(1)
            # The store's last event, or the first after it where that one is gone: archived, then dropped.
            if found and (found[0].seq > state.last_seq or state.ends_with(found[0])):
                self._applied = state.last_seq
                self._next = _following(found[0]) if found[0].seq == state.last_seq else state.last_seq + 1
                return self._open(state.last_seq + 1)
            self._start_over(state)

    def _start_over(self, state: State) -> None:
        journal, _, gone = self._look_over()
        if gone:
            raise StoreError(
                f"{self.store!r} has an event {state.last_seq} that its journal does not have, and cannot be rebuilt "
                f"from it: {_ranges(gone)} are gone, from its archive too"
            )
        _LOG.warning("%r has an event %d that its journal does not have: rebuilding it", self.store, state.last_seq)
        self.store.drop(journal=journal, only=state)  # not what somebody else has rebuilt meanwhile

    def _look_over(self) -> tuple[str, int, list[tuple[int, int]]]:
        """Reads the whole journal: its id, how many events it has, and the ranges of those that are gone."""
        count, upcoming, gone = 0, 1, []
        with closing(self._open(1)) as tail:
            while events := self._take(tail):
                for part in _runs(events, upcoming):
                    if part[0].seq != upcoming:
                        gone.append((upcoming, part[0].seq - 1))
                    count, upcoming = count + len(part), _following(part[-1])
            return tail.journal, count, gone

    def _failed(self, error: Exception) -> None:
        if str(error) != str(self._error):
            _LOG.warning("%r is not up to date, trying again: %s", self.store, error)
        self.store.close()  # what it has open may be what is wrong
        self._error = error

    def _reached(self, asked: int) -> None:
        """The end of the journal, which was read after so many flushes had been asked for."""
        with self._condition:
            self._caught_up = time.monotonic()
            self._flushed = max(self._flushed, asked)
            self._condition.notify_all()

    def _wait(self, seconds: float, asked: int) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping or self._asked > asked, seconds)


def _following(event: Event) -> int:
    """The number of the next event. One number or more were taken by calls that a crash cut short: a gap."""
    return event.seq + (int(event.data["n"]) if event.type == "gap" else 1)


def _runs(events: list[Event], upcoming: int) -> Iterator[list[Event]]:
    """Cuts events where numbers are missing between them; upcoming: the number that the first should have."""
    start = 0
    for i, event in enumerate(events):
        if event.seq != upcoming and i > start:
            yield events[start:i]
            start = i
        upcoming = _following(event)
    if events:
        yield events[start:]


def _ranges(ranges: list[tuple[int, int]]) -> str:
    """Ranges of events for people: the first few."""
    some = [f"{first} to {last}" for first, last in ranges[:3]] + ["…"] * (len(ranges) > 3)
    return f"events {', '.join(some)}"


def _close(tail: Tail | None) -> None:
    if tail is not None:
        tail.close()


def _pause() -> None:
    time.sleep(_PAUSE_SECONDS)
