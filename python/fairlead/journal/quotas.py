"""A limit on the bytes of a journal: archive and compact first, then drop the oldest archived files that no hold
keeps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fairlead.errors import InvalidRecordError, JournalError
from fairlead.journal import manifest as manifests
from fairlead.journal.archiving import Step, _no_step
from fairlead.journal.compaction import Snapshot, compact_locked, open_writer
from fairlead.journal.folder import Segment, archive_lock, segments, sync_folder
from fairlead.journal.holding import Hold, holds, tell
from fairlead.journal.manifest import ArchivedFile, Manifest
from fairlead.journal.writer import Journal
from fairlead.times import as_span


@dataclass(frozen=True, slots=True)
class QuotaReport:
    """What was done to keep a journal within `max_bytes`: bytes `before` and `after`, `archived` events, `compacted`
    segments, `dropped` files of the archive with `dropped_events`. in_the_way: what keeps it from being met, if it is
    not."""

    max_bytes: int
    before: int
    after: int
    archived: int
    compacted: int
    dropped: tuple[str, ...]
    dropped_events: int
    in_the_way: tuple[str, ...]

    @property
    def met(self) -> bool:
        """The journal is within the limit."""
        return self.after <= self.max_bytes

    def __str__(self) -> str:
        text = f"{self.after:,} bytes of {self.max_bytes:,}"
        if self.before != self.after:
            text += (
                f", from {self.before:,}: {self.archived:,} events archived, {self.compacted} segments compacted, "
                f"{len(self.dropped)} archived files with {self.dropped_events:,} events dropped"
            )
        return "\n".join([text, *(f"  in the way: {what}" for what in self.in_the_way)])

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON."""
        return {**asdict(self), "met": self.met}


def usage(folder: str | os.PathLike[str]) -> dict[str, int]:
    """Bytes of a journal by part: segments, archive, snapshots."""
    return {part: _bytes(Path(folder) / part) for part in ("segments", "archive", "snapshots")}


def _bytes(folder: Path) -> int:
    total = 0
    for path in folder.glob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:  # gone meanwhile
            continue
    return total


def enforce_quota(
    folder: str | os.PathLike[str] | Journal,
    max_bytes: int,
    *,
    window: int | str | timedelta = "1h",
    ensure_snapshot: Snapshot | None = None,
    step: Step = _no_step,
) -> QuotaReport:
    """Brings segments, archive and snapshots of a journal to at most `max_bytes`, as far as that may be: first the
    oldest segments are archived and compacted (see `compact`), no more than are needed; then the oldest files of the
    archive are dropped, but for those that a `hold` keeps. What is not archived is never dropped, nor is the newest
    segment. What cannot be done is told by the report, not raised.

    folder, window, ensure_snapshot: as of `compact`.
    Raises InvalidRecordError where max_bytes is negative, JournalLockedError where somebody else writes the journal or
    archives, JournalDamagedError where the manifest or the list of holds is damaged: nothing is dropped then.
    """
    if isinstance(max_bytes, bool) or max_bytes < 0:
        raise InvalidRecordError(f"max_bytes is {max_bytes!r}, must not be negative")
    width = as_span(window, "window")
    with open_writer(folder) as (where, writer):
        before = sum(usage(where).values())
        in_the_way: list[str] = []
        archived = compacted = 0
        dropped: list[ArchivedFile] = []
        with archive_lock(where) as there:
            held = holds(where)
            _clear(there, manifests.load(where))
            while (excess := sum(usage(where).values()) - max_bytes) > 0 and len(segments(where)) > 1:
                try:
                    report = compact_locked(where, there, writer, _Oldest(excess), width, ensure_snapshot, step)
                except JournalError as error:
                    in_the_way.append(str(error))
                    break
                archived += report.archived
                compacted += report.segments
                if not report.segments:
                    break
            manifest = manifests.load(where)
            if manifest is not None:
                dropped = _drop(where, there, manifest, held, max_bytes, step)
        tell(where, writer)
        after = sum(usage(where).values())
        if after > max_bytes:
            in_the_way += _in_the_way(where, held)
    return QuotaReport(
        max_bytes,
        before,
        after,
        archived,
        compacted,
        tuple(file.file for file in dropped),
        sum(file.rows for file in dropped),
        tuple(in_the_way),
    )


class _Oldest:
    """As many of the oldest segments as free so many bytes."""

    def __init__(self, excess: int) -> None:
        self.excess = excess

    def __call__(self, manifest: Manifest, found: Sequence[Segment]) -> list[Segment]:
        done = manifest.archived_to()
        out: list[Segment] = []
        for segment in found[:-1]:
            if segment.last is None or segment.last > done or sum(s.bytes for s in out) >= self.excess:
                break
            out.append(segment)
        return out


def _clear(there: Path, manifest: Manifest | None) -> None:
    """Files that were dropped, but for the crash that came between."""
    have = {file.file for file in manifest.files} if manifest else set()
    for file in manifest.dropped if manifest else ():
        if file.file not in have:
            (there / file.file).unlink(missing_ok=True)


def _may_go(folder: Path, file: ArchivedFile, held: Sequence[Hold]) -> bool:
    live = segments(folder)
    gone = not live or file.last < live[0].first
    return gone and not any(hold.covers(file.start, file.end) for hold in held)


def _drop(
    folder: Path, there: Path, manifest: Manifest, held: Sequence[Hold], max_bytes: int, step: Step
) -> list[ArchivedFile]:
    out: list[ArchivedFile] = []
    for file in list(manifest.files):
        if sum(usage(folder).values()) <= max_bytes:
            break
        if not _may_go(folder, file, held):
            continue
        manifest.files.remove(file)
        manifest.dropped.append(file)
        manifests.save(folder, manifest)  # first, so that it never names a file that is not there
        step("told")
        (there / file.file).unlink(missing_ok=True)
        sync_folder(there)
        out.append(file)
        step("dropped")
    return out


def _in_the_way(folder: Path, held: Sequence[Hold]) -> list[str]:
    out = []
    manifest = manifests.load(folder)
    for hold in held:
        files = [file for file in manifest.files if hold.covers(file.start, file.end)] if manifest else []
        if files:
            size = sum(file.bytes for file in files)
            out.append(f"hold {hold.name!r} keeps {len(files)} files of the archive, {size:,} bytes")
    parts = usage(folder)
    live = segments(folder)
    if live:
        out.append(f"{len(live)} segments that are not archived or still needed, {parts['segments']:,} bytes")
    if parts["snapshots"]:
        out.append(f"snapshots, {parts['snapshots']:,} bytes")
    return out
