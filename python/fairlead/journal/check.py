"""Looking after a journal: checking every record, cutting a torn end, counting what it holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fairlead._core import journal_repair, journal_stats, journal_verify
from fairlead.errors import InvalidRecordError, JournalError, JournalLockedError


@dataclass(frozen=True, slots=True)
class SegmentCheck:
    """What `verify` found in one segment.

    first, last: numbers of its events, 0 where it has none. earliest, latest: their times. sealed: it is finished; of a
    damaged one its seal, its index or a segment after it tells. problem: what is wrong, at byte `problem_at`, empty
    where nothing is. torn: the problem is an end that a crash tore and that was never durable: opening the journal for
    writing, or `repair`, cuts it. Where records of a segment that was sealed are missing, that is damage.
    """

    file: str
    bytes: int
    events: int
    first: int
    last: int
    earliest: int
    latest: int
    sealed: bool
    problem: str
    problem_at: int
    torn: bool

    def __str__(self) -> str:
        state = "sealed" if self.sealed else "open"
        text = f"{Path(self.file).name}  {self.events:>10,} events  {self.bytes:>13,} bytes  {state}"
        if not self.problem:
            return f"{text}  whole"
        return f"{text}  {'torn' if self.torn else 'DAMAGED'} at byte {self.problem_at:,}: {self.problem}"


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What `verify` found: its segments, how many events are good, and whether all is."""

    segments: tuple[SegmentCheck, ...]
    events: int
    whole: bool

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types."""
        return {**asdict(self), "segments": [asdict(segment) for segment in self.segments]}

    def __str__(self) -> str:
        lines = [str(segment) for segment in self.segments]
        bad = sum(bool(segment.problem) for segment in self.segments)
        verdict = "all is whole" if self.whole else f"{bad} of {len(lines)} segments not whole"
        return "\n".join([*lines, f"{self.events:,} events checked: {verdict}"])


@dataclass(frozen=True, slots=True)
class Recovery:
    """What `repair` found and did.

    events: in the newest segment, after the repair. cut_bytes: taken from the end of `cut_from` and kept in `kept_in`;
    0 where nothing was torn. given_up: how many events that had been durable `accept_loss` gave up, as the index of the
    segment and the records behind the damage tell; where `given_up_known` is False there may have been more.
    """

    events: int
    cut_bytes: int
    cut_from: str
    kept_in: str
    given_up: int = 0
    given_up_known: bool = True

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types."""
        return asdict(self)

    def __str__(self) -> str:
        loss = f"gave up {self.given_up:,} events{'' if self.given_up_known else ' or more'}"
        lost = self.given_up > 0 or not self.given_up_known
        if self.cut_bytes == 0:
            return f"nothing to cut; {loss} that are not there" if lost else "nothing to repair"
        cut = f"cut {self.cut_bytes:,} bytes from the end of {self.cut_from}, kept in {self.kept_in}"
        return f"{cut}, and {loss} that were in them" if lost else cut


@dataclass(frozen=True, slots=True)
class JournalStats:
    """How much a journal holds.

    bytes: of all segments, without space taken in advance. by_type: events of each type. first, last: their numbers, 0
    where there is none. earliest, latest: their times. models, categories: all names.
    """

    segments: int
    bytes: int
    events: int
    by_type: Mapping[str, int]
    first: int
    last: int
    earliest: int
    latest: int
    models: tuple[str, ...]
    categories: tuple[str, ...]

    @property
    def bytes_per_event(self) -> float:
        """Of all segments, over all events; 0 where there is none."""
        return self.bytes / self.events if self.events else 0.0

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON types."""
        return {**asdict(self), "bytes_per_event": self.bytes_per_event}

    def __str__(self) -> str:
        if not self.events:
            return f"no events in {self.segments} segments"
        width = max(len(name) for name in self.by_type)
        types = sorted(self.by_type.items(), key=lambda item: (-item[1], item[0]))
        return "\n".join(
            [
                f"{self.events:,} events, numbers {self.first:,} to {self.last:,}",
                f"{_moment(self.earliest)} to {_moment(self.latest)}",
                f"{self.bytes:,} bytes in {self.segments:,} segments, {self.bytes_per_event:.1f} an event",
                f"{len(self.models):,} models, {len(self.categories):,} categories",
                *(f"  {name:<{width}} {n:>12,}" for name, n in types),
            ]
        )


def _moment(time: int) -> str:
    return f"{datetime.fromtimestamp(time // 10**9, timezone.utc):%Y-%m-%dT%H:%M:%S}.{time % 10**9:09d}Z"


def _named(folder: str | os.PathLike[str]) -> str:
    if os.fspath(folder) == "":
        raise InvalidRecordError("folder is '', must be the folder of a journal")
    return os.fspath(folder)


def verify(folder: str | os.PathLike[str]) -> VerifyReport:
    """Checks every record of every segment: checksums, that each follows the one before it, numbers, names, seals.

    Only reads; may run while the journal is written. Raises JournalError where the folder holds no journal.

    >>> import tempfile
    >>> from fairlead._core import SegmentLog
    >>> with tempfile.TemporaryDirectory() as desk:
    ...     log = SegmentLog(desk)
    ...     n = log.append("note", 0, None, None, "{}")
    ...     print(verify(desk))
    00000000000000000001.seg           1 events            112 bytes  open  whole
    1 events checked: all is whole
    """
    found = journal_verify(_named(folder))
    segments = tuple(SegmentCheck(**segment) for segment in found["segments"])
    return VerifyReport(segments, found["events"], found["whole"])


def repair(folder: str | os.PathLike[str], accept_loss: bool = False) -> Recovery:
    """Cuts the torn end of a journal that nobody writes, and keeps what is cut in a file beside the segment.

    Opening a journal for writing does so by itself. accept_loss: cut also at damage to what was durable once, in the
    newest segment: all events from there on are given up, and the answer says how many. Raises JournalLockedError while
    there is a writer, JournalDamagedError where something is damaged that may not, or cannot, be cut; then nothing has
    changed.

    >>> import tempfile
    >>> from fairlead._core import SegmentLog
    >>> with tempfile.TemporaryDirectory() as desk:
    ...     log = SegmentLog(desk)
    ...     n = log.append("note", 0, None, None, "{}")
    ...     log.close()
    ...     print(repair(desk))
    nothing to repair
    """
    import fcntl

    if not Path(_named(folder)).is_dir():
        raise JournalError(f"there is no journal: {os.fspath(folder)!r} is no folder")
    try:
        lock = os.open(Path(folder) / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return Recovery(**journal_repair(os.fspath(folder), accept_loss))
    except OSError as error:
        raise JournalError(f"{os.fspath(folder)} cannot be repaired: its lock cannot be opened: {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Recovery(**journal_repair(os.fspath(folder), accept_loss))
    except BlockingIOError:
        holder = os.pread(lock, 4096, 0).decode(errors="replace").strip()
        raise JournalLockedError(f"{os.fspath(folder)} cannot be repaired while it is written: {holder}") from None
    finally:
        os.close(lock)


def stats(folder: str | os.PathLike[str]) -> JournalStats:
    """Counts the events of a journal. Reads all of it. Raises as `fairlead.journal.read`.

    >>> import tempfile
    >>> from fairlead._core import SegmentLog
    >>> with tempfile.TemporaryDirectory() as desk:
    ...     log = SegmentLog(desk)
    ...     for n in range(3):
    ...         seq = log.append("note", n * 10**9, "gpt", None, "{}")
    ...     print(stats(desk))
    4 events, numbers 1 to 4
    1970-01-01T00:00:00.000000000Z to 1970-01-01T00:00:02.000000000Z
    264 bytes in 1 segments, 66.0 an event
    1 models, 0 categories
      note            3
      name            1
    """
    found = journal_stats(_named(folder))
    segments = [path for path in (Path(folder) / "segments").iterdir() if path.suffix == ".seg"]
    return JournalStats(
        segments=len(segments),
        bytes=found["bytes"] + 64 * len(segments),
        events=found["events"],
        by_type=found["by_type"],
        first=found["first"],
        last=found["last"],
        earliest=found["earliest"],
        latest=found["latest"],
        models=tuple(found["models"]),
        categories=tuple(found["categories"]),
    )
