"""Compaction: old segments go, once their events are archived and what they amounted to is in the journal.

The order, which no crash can break: the archive durable and read back; a snapshot of the fleet that covers the range;
the summaries appended and durable; then the segments, oldest first. The manifest says what range is being compacted, so
that whoever comes next ends it, and no summary is written twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from numbers import Integral
from pathlib import Path
from typing import Any

from fairlead._core import JournalColumns
from fairlead.errors import InvalidRecordError, JournalError
from fairlead.journal import manifest as manifests
from fairlead.journal.archiving import Step, _no_step, archive_locked
from fairlead.journal.folder import Segment, archive_lock, segments, sync_folder
from fairlead.journal.holding import tell
from fairlead.journal.manifest import Manifest
from fairlead.journal.read import read
from fairlead.journal.summaries import Grain, grain_of, key, summarise
from fairlead.journal.writer import Journal
from fairlead.times import as_span, as_time

Snapshot = Callable[[int], object]
"""Makes sure that there is a snapshot in `snapshots/` of the state after this event, or a later one."""


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What compaction did: events `first` to `last` (0: none) are in the archive only; `summaries` were written for
    them, `segments` removed, `freed` bytes; `archived` events were written to the archive. window: of the summaries, in
    nanoseconds; 0: one for all the time of these events. categories: each has its own."""

    first: int
    last: int
    summaries: int
    segments: int
    freed: int
    archived: int
    window: int = 0
    categories: bool = True

    def __str__(self) -> str:
        if not self.segments:
            return f"nothing to compact ({self.archived:,} events archived)"
        return (
            f"events {self.first:,} to {self.last:,} are in the archive now: {self.segments} segments removed, "
            f"{self.freed:,} bytes; {self.summaries:,} summaries, {self._each()}"
        )

    def _each(self) -> str:
        hours = self.window / (3600 * 10**9)
        span = f"every {hours / 24:g}d" if hours >= 24 else f"every {hours:g}h"
        about = "each category" if self.categories else "no category"
        return f"{span if self.window else 'one for all the time'}, {about}"

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return asdict(self)


def compact(
    folder: str | os.PathLike[str] | Journal,
    *,
    keep: int | str | timedelta | None = None,
    before: int | str | date | None = None,
    window: int | str | timedelta | None = None,
    ensure_snapshot: Snapshot | None = None,
    step: Step = _no_step,
) -> CompactReport:
    """Archives all sealed segments, and removes those whose events are all old; what was settled in them is appended as
    `summary` events, one for each model, category, kind and `window`. These grow old and are archived like any event,
    but no quota drops them: `history(folder, types="summary")` gives all of them, each once. The events that go stay
    readable with `scan`; a fold over the live segments begins with a snapshot from then on, or with `restore`.

    Takes memory for the archive's part (see `archive`) and for the summaries', which is bounded but for tasks that are
    open: some 100 bytes an answer, and 8 bytes for each task of the range.

    folder: the desk, which is then opened for writing meanwhile, or its open Journal. keep: events stay that are at
    most so much older than the newest one ("30d", the default; 0: all may go that can); before: or those from this time
    on. window: the time that a summary is of; None: the finest of 1h, 6h, 1d, 7d, 30d and all the time of the events
    that go, with which summaries take at most a tenth of the bytes of their segments; where none is wide enough, one
    summary for all the time and all categories of a model and kind. ensure_snapshot: called with the number of the last
    event that goes, where the journal is a fleet's, which needs a snapshot that is as new, and has none.

    Raises JournalLockedError where somebody else writes the journal or archives, JournalError where a fleet has no such
    snapshot, JournalDamagedError where something is damaged: nothing was removed then. A crash at any point loses
    nothing; the next call goes on where it was.

    >>> import tempfile
    >>> desk = tempfile.TemporaryDirectory()
    >>> with Journal(desk.name, segment_bytes=4096) as journal:
    ...     for hour in range(100):
    ...         seq = journal.note("all is well", time=hour * 3600 * 10**9)
    >>> report = compact(desk.name, keep="1d")
    >>> report.segments > 0 and report.archived == 100
    True
    >>> from fairlead.journal.scanning import scan
    >>> scan(desk.name).read_all().num_rows
    100
    >>> desk.cleanup()
    """
    if keep is not None and before is not None:
        raise InvalidRecordError("keep and before are both given, must be one of them")
    span = 0 if _is_none(keep) else as_span("30d" if keep is None else keep, "keep")
    width = None if window is None else as_span(window, "window")
    until = None if before is None else as_time(before, "before")
    with open_writer(folder) as (where, writer):
        with archive_lock(where) as there:
            report = compact_locked(where, there, writer, _Old(where, span, until), width, ensure_snapshot, step)
        tell(where, writer)
    return report


@contextmanager
def open_writer(folder: str | os.PathLike[str] | Journal) -> Iterator[tuple[Path, Journal]]:
    if isinstance(folder, Journal):
        yield Path(folder.folder), folder
        return
    if not (Path(folder) / "segments").is_dir():
        raise JournalError(f"there is no journal: {folder} has no segments")
    with Journal(folder) as opened:
        yield Path(folder), opened


def _is_none(keep: Any) -> bool:
    """A span of 0, which is no False of callers without a type checker."""
    return not isinstance(keep, bool) and isinstance(keep, (Integral, timedelta)) and not keep


class _Old:
    """The oldest segments, as long as all their events are before a time."""

    def __init__(self, folder: Path, keep: int, until: int | None) -> None:
        self.folder, self.keep, self.until = folder, keep, until

    def __call__(self, manifest: Manifest, found: Sequence[Segment]) -> list[Segment]:
        until = self.until
        if until is None:
            newest = max((file.end for file in manifest.files), default=None)
            live = _newest(self.folder, manifest.archived_to() + 1)
            times = [time for time in (newest, live) if time is not None]
            if not times:
                return []
            until = max(times) - self.keep
        ends: dict[int, int] = {}  # a segment that was sealed, then written on, is in two files
        for file in manifest.files:
            for part in file.segments:
                ends[part["first"]] = max(part["end"], ends.get(part["first"], part["end"]))
        done = manifest.archived_to()
        out = []
        for segment in found[:-1]:
            if segment.last is None or segment.last > done or ends.get(segment.first, until) >= until:
                break
            out.append(segment)
        return out


def _newest(folder: Path, first: int) -> int | None:
    """The latest time of the events that are not archived."""
    reader = JournalColumns(str(folder), first=first)
    latest: int | None = None
    while (found := reader.read(1 << 15)) is not None:
        time = int(found[1]["time"][1].max())
        latest = time if latest is None else max(latest, time)
    return latest


Choice = Callable[[Manifest, Sequence[Segment]], list[Segment]]


def compact_locked(
    folder: Path,
    there: Path,
    writer: Journal,
    choose: Choice,
    window: int | None,
    ensure_snapshot: Snapshot | None,
    step: Step,
    *,
    through: int | None = None,
    must_free: bool = False,
) -> CompactReport:
    """`compact` for who holds the lock of the archive and writes the journal. through: archives up to the segment that
    holds this event, None: all that are sealed. must_free: raises JournalError, with the segments as they were, where
    the summaries would take as much as the segments they stand for."""
    writer.wait_durable()
    archived = archive_locked(folder, there, through, step).rows
    manifest = manifests.load(folder)
    if manifest is None:
        return CompactReport(0, 0, 0, 0, 0, archived)
    if manifest.compacting is None:
        chosen = choose(manifest, segments(folder))
        if not chosen:
            return CompactReport(0, 0, 0, 0, 0, archived)
        first, last = chosen[0].first, chosen[-1].last or 0
        size = sum(segment.bytes for segment in chosen)
        if window is None or must_free:
            grain = grain_of(folder, manifest, first, last, window, size)
        else:
            grain = Grain(window, True, 0)
        if must_free and grain.bytes >= size:
            raise JournalError(
                f"the summaries of events {first} to {last} would take {grain.bytes:,} bytes, their segments take "
                f"{size:,}: nothing would be won"
                + (", a wider window takes less (or none given, which chooses one)" if window is not None else "")
            )
        _check_snapshot(folder, manifest, last, writer.accepted, ensure_snapshot)
        step("snapshot")
        manifest.compacting = {
            **{"first": first, "last": last, "window": grain.window, "categories": grain.categories},
            "after": writer.accepted,
        }
        manifests.save(folder, manifest)
        step("begun")
    now = manifest.compacting
    summaries = _summaries(folder, writer, manifest, now, step)
    removed, freed = _remove(folder, now["last"], step)
    manifest.compactions.append({name: now[name] for name in ("first", "last", "window", "categories") if name in now})
    manifest.compacting = None
    manifests.save(folder, manifest)
    step("done")
    grain_told = (now["window"], now.get("categories", True))
    return CompactReport(now["first"], now["last"], summaries, removed, freed, archived, *grain_told)


def _check_snapshot(folder: Path, manifest: Manifest, last: int, end: int, ensure_snapshot: Snapshot | None) -> None:
    if not _is_fleet(folder, manifest):
        return
    newest = _newest_snapshot(folder, end)
    if newest < last and ensure_snapshot is not None:
        ensure_snapshot(last)
        newest = _newest_snapshot(folder, end)
    if newest < last:
        raise JournalError(
            f"{folder} is a fleet's, and its newest snapshot is of event {newest}, but events up to {last} are to go: "
            "without a snapshot its state could not be had from what is left. Open the fleet and let it write one"
        )


def _newest_snapshot(folder: Path, end: int) -> int:
    """The event that the newest one is of; 0: none. One of an event that the journal does not have is of no use."""
    of = [int(path.stem) for path in (folder / "snapshots").glob("*.fleet") if path.stem.isdigit()]
    return max((seq for seq in of if seq <= end), default=0)


def _is_fleet(folder: Path, manifest: Manifest) -> bool:
    """Whether a fleet writes the journal: its settings are in it."""
    files = [*manifest.files, *manifest.dropped]
    return any(file.types.get("settings") for file in files) or any(read(folder, types="settings", limit=1))


def _summaries(folder: Path, writer: Journal, manifest: Manifest, now: dict[str, Any], step: Step) -> int:
    """Appends what is not there yet, and waits until all are durable."""
    made = summarise(folder, manifest, now["first"], now["last"], now["window"], categories=now.get("categories", True))
    writer.wait_durable()
    have = {key(dict(event.data)) for event in read(folder, types="summary", first=now["after"] + 1)}
    for summary in made:
        if key(summary) not in have:
            writer.append(
                "summary", summary, time=summary["start"], model=summary["model"], category=summary["category"]
            )
            step("summary")
    writer.wait_durable()
    step("summaries")
    return len(made)


def _remove(folder: Path, last: int, step: Step) -> tuple[int, int]:
    """The segments up to event `last`, oldest first; never the newest one."""
    gone = [s for s in segments(folder)[:-1] if s.last is not None and s.last <= last]
    for segment in gone:
        segment.path.unlink()
        segment.path.with_suffix(".idx").unlink(missing_ok=True)
        sync_folder(segment.path.parent)
        step("removed")
    return len(gone), sum(s.bytes for s in gone)
