"""Writing a journal: what is accepted survives the death of the process, and the loop never waits."""

from __future__ import annotations

import json
import os
import time as clock
import warnings
from collections.abc import Mapping
from datetime import date, timedelta
from types import TracebackType
from typing import Any, Literal

from fairlead._core import Journal as _CoreJournal
from fairlead.errors import InvalidRecordError, JournalWarning, did_you_mean
from fairlead.events import COLD
from fairlead.times import as_seconds, as_span, as_time

Sync = Literal["interval", "never", "always"]
Overflow = Literal["fail", "drop", "spill"]
_FIRST_CUSTOM, _LAST_CUSTOM = 1024, 65535
_LEAST_SPAN = 1000


class Journal(_CoreJournal):
    """The one writer of a journal: an append-only log of events in a folder, which is made where it is not there.

    An event goes into a ring in shared memory, and from there one background thread writes it to the disk. So it is
    *accepted* when the call returns, and then outlives this process, kill -9 included: the next `Journal` of the folder
    finds it and says so with a JournalWarning. It is *written* once readers see it, and *durable* once it survives a
    power cut.

    folder: the desk. Only one writer may have it; reading (`fairlead.journal.read`) is free to all.
    sync: when written events are made durable: "interval", every `sync_interval` (a power cut costs at most that, and
    the time of one fsync), "always", after each batch of the writer, or "never", when the system does it, a segment
    ends, or `wait_durable` asks. sync_interval: "10ms", a timedelta, or integer nanoseconds, 1 us at least.
    overflow: what happens to an event where the ring is full, as the disk does not keep up: "fail" raises
    JournalFullError; "drop" raises it too, counts the event, and an event of type `dropped` tells of it later; "spill"
    moves events into `spill_bytes` of further shared memory first.
    ring_bytes, spill_bytes: of shared memory (/dev/shm), powers of two from 4096; a forecast takes 128. segment_bytes,
    segment_age (as sync_interval): when a new file is begun.

    Raises JournalLockedError where another writer has the folder (it says who), JournalDamagedError where it holds what
    no crash leaves behind, JournalError where the system refuses, InvalidRecordError or ValueError for an argument.

    Any number of threads may use it at once. In a child process made by `os.fork` it is closed.

    It checks the form of an event, not what it says. On the desk of a fleet, a forecast that is written here goes past
    the fleet, whether it makes sense or not (a p of 7, a task that nobody knows): the fleet that opens the desk next
    passes over what does not fit, with a JournalWarning. Tasks, forecasts, decisions and outcomes are for
    `fairlead.Fleet.open`; notes and a program's own events go well beside them, while a fleet is open by its `journal`.

    >>> import tempfile
    >>> desk = tempfile.TemporaryDirectory()
    >>> with Journal(desk.name) as journal:
    ...     journal.note("tuned the prompt", model="gpt", time="2026-01-01")
    ...     gpt = journal.name("models", "gpt")
    ...     journal.forecast(1, gpt, None, 1767225600000000000, 0.7)
    ...     journal.wait_durable()
    2
    3
    >>> journal.durable
    3
    >>> from fairlead.journal import read
    >>> for event in read(desk.name):
    ...     print(event.seq, event.type, event.model)
    1 name None
    2 note gpt
    3 forecast gpt
    >>> desk.cleanup()
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        sync: Sync = "interval",
        sync_interval: int | str | timedelta = "10ms",
        overflow: Overflow = "fail",
        ring_bytes: int = 1 << 24,
        spill_bytes: int = 1 << 28,
        segment_bytes: int = 1 << 26,
        segment_age: int | str | timedelta = "24h",
    ) -> None:
        for field, size in (
            ("ring_bytes", ring_bytes),
            ("spill_bytes", spill_bytes),
            ("segment_bytes", segment_bytes),
        ):
            if not _is_number(size, 1, 2**63 - 1):
                raise InvalidRecordError(f"{field} is {size!r}, must be a positive number of bytes")
        self._recovery: dict[str, Any] = {}
        super().__init__(
            os.fspath(folder),
            sync=sync,
            sync_interval=_span(sync_interval, "sync_interval"),
            overflow=overflow,
            ring_bytes=ring_bytes,
            spill_bytes=spill_bytes,
            segment_bytes=segment_bytes,
            segment_age=_span(segment_age, "segment_age"),
            memory="/dev/shm",
            recovered=self._recovery,
        )
        if told := _told(self._recovery):
            warnings.warn(f"{self.folder}: {told}", JournalWarning, stacklevel=2)

    @property
    def accepted(self) -> int:
        """Number of the newest event up to which all survive the death of this process."""
        return self.watermarks()[0]

    @property
    def written(self) -> int:
        """Number of the newest event that readers see."""
        return self.watermarks()[1]

    @property
    def durable(self) -> int:
        """Number of the newest event that survives a power cut."""
        return self.watermarks()[2]

    @property
    def dropped(self) -> int:
        """How many events were refused since this journal was opened, under overflow="drop"."""
        return self.watermarks()[3]

    @property
    def recovery(self) -> dict[str, Any]:
        """What opening found: `events` in the newest segment; `drained`, events that a dead process had left in shared
        memory; `gaps`, numbers whose calls its death cut short, `lost` of them once written; `cut_bytes` of a torn end
        of the file `cut_from`, kept in the file `kept_in`."""
        return dict(self._recovery)

    def name(self, table: str, name: str) -> int:
        """The number of a name in the table "models" or "categories"; a new one is written.

        Raises InvalidRecordError for what is no name, and as `append`.
        """
        return super().name(table, _name(name, "name"))

    def append(
        self,
        type: str | int,
        data: Mapping[str, Any] | bytes,
        *,
        time: int | str | date | None = None,
        model: str | None = None,
        category: str | None = None,
    ) -> int:
        """One event, and gives its number.

        type: one of the cold types ("note", "alert", "training_run", "model_version", "deployment", "budget", "health",
        "routing", "input", "label", "summary"), whose data is a mapping that JSON can hold; or "custom", or a number
        from 1024 to 65535, for a program's own events, whose data is bytes or a mapping. time: of the event: integer
        nanoseconds, an ISO date, a datetime; now by default. model, category: names.

        Raises JournalFullError where the ring is full, InvalidRecordError for what cannot be an event, JournalError
        once the disk is lost or the journal closed. No event was accepted then, but perhaps a name.

        >>> import tempfile
        >>> desk = tempfile.TemporaryDirectory()
        >>> with Journal(desk.name) as journal:
        ...     journal.append("deployment", {"version": 7}, model="gpt", time=0)
        2
        >>> desk.cleanup()
        """
        when = clock.time_ns() if time is None else as_time(time)
        number = _type(type)
        if isinstance(data, bytes):
            if isinstance(type, str) and type in COLD:
                raise InvalidRecordError(f"data is bytes, must be a mapping for an event of type {type!r}")
            payload = data
        elif isinstance(data, Mapping):
            try:
                payload = json.dumps(dict(data), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            except (TypeError, ValueError) as error:
                raise InvalidRecordError(f"data is {data!r}, which JSON cannot hold: {error}") from error
        else:
            raise InvalidRecordError(f"data is {data!r}, must be a mapping or bytes")
        return self.append_bytes(
            number, when, self._id("models", "model", model), self._id("categories", "category", category), payload
        )

    def note(
        self,
        text: str,
        *,
        time: int | str | date | None = None,
        model: str | None = None,
        category: str | None = None,
        **data: Any,
    ) -> int:
        """A remark for those who read the journal later; further fields as keywords. Gives its number; raises as
        `append`."""
        if not _is_text(text):
            raise InvalidRecordError(f"text is {text!r}, must be a string")
        return self.append("note", {"text": text, **data}, time=time, model=model, category=category)

    def wait_durable(self, seq: int | None = None, timeout: float | str | timedelta | None = None) -> None:
        """Returns once event `seq`, or all that is accepted now, survives a power cut: it asks for a sync at once.

        timeout: a number of seconds, a span such as "500ms" or a timedelta; None waits for ever. Raises TimeoutError
        when it has passed, JournalError where the disk is lost. Other threads run meanwhile, and Ctrl-C is heard.
        """
        if seq is not None and not _is_number(seq, 1, 2**64 - 1):
            raise InvalidRecordError(f"seq is {seq!r}, must be the number of an event, from 1")
        self._wait_durable(seq or 0, None if timeout is None else as_seconds(timeout))

    def close(self) -> None:
        """Writes and syncs all that was accepted, and gives the journal free for another writer. Closing twice is fine.

        Raises JournalError where the disk refuses; what it has not taken then stays in shared memory for the next open.
        """
        self._close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        error: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        accepted, written, durable, _ = self.watermarks()
        return f"Journal({self.folder!r}, accepted={accepted}, written={written}, durable={durable})"

    def _id(self, table: str, field: str, name: str | None) -> int | None:
        return None if name is None else super().name(table, _name(name, field))


# What callers without a type checker may give: `object`, so that the checker takes the checks for what they are.
def _is_number(given: object, least: int, most: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and least <= given <= most


def _is_text(given: object) -> bool:
    return isinstance(given, str)


def _name(given: object, field: str) -> str:
    if not isinstance(given, str) or given == "":
        raise InvalidRecordError(f"{field} is {given!r}, must be a name")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise InvalidRecordError(f"{field} is {given!r}, which is no text: {error.reason}") from error
    return given


def _span(given: int | str | timedelta, field: str) -> int:
    """Nanoseconds. Less than a microsecond is no time that a disk could keep, but a number meant in another unit."""
    span = as_span(given, field)
    if span < _LEAST_SPAN:
        raise InvalidRecordError(
            f"{field} is {given!r}, must be at least 1 us: integers are nanoseconds, '10ms' is ten milliseconds"
        )
    return span


def _type(given: str | int) -> str | int:
    known = (*COLD, "custom")
    if isinstance(given, str):
        if given not in known:
            raise InvalidRecordError(
                f"type is {given!r}, must be one of {', '.join(known)}, or a number from {_FIRST_CUSTOM}"
                + did_you_mean(given, known)
            )
    elif not _is_number(given, _FIRST_CUSTOM, _LAST_CUSTOM):
        raise InvalidRecordError(
            f"type is {given!r}, must be a name, or a number from {_FIRST_CUSTOM} to {_LAST_CUSTOM}"
        )
    return given


def _told(recovery: Mapping[str, Any]) -> str:
    """What a recovery did, in words; empty where there was nothing to do."""
    parts = []
    if recovery["cut_bytes"]:
        parts.append(
            f"the torn end of {recovery['cut_from']} was cut off, {recovery['cut_bytes']} bytes that had not become "
            f"durable; they are kept in {recovery['kept_in']}"
        )
    if recovery["drained"]:
        parts.append(f"{recovery['drained']} events that a dead process had left in shared memory were written")
    if gaps := recovery["gaps"] - recovery["lost"]:
        parts.append(f"{gaps} numbers are unused, as its death cut short the calls that had taken them")
    if recovery["lost"]:
        parts.append(f"{recovery['lost']} events that it had written are no longer in the segments")
    return "; ".join(parts)
