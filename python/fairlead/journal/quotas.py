"""A limit on the bytes of a journal: archive and compact first, then drop the oldest archived files that no hold
keeps. Summaries stay."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fairlead.errors import FairleadError
from fairlead.journal import manifest as manifests
from fairlead.journal.archiving import Step, _no_step, rewrite
from fairlead.journal.compaction import Snapshot, compact_locked, open_writer
from fairlead.journal.folder import Segment, archive_lock, filled, segments, sync_folder
from fairlead.journal.holding import Hold, holds, tell
from fairlead.journal.manifest import ArchivedFile, Manifest
from fairlead.journal.sizes import as_bytes
from fairlead.journal.writer import Journal
from fairlead.times import as_span

_INSTEAD = ".summaries.parquet"
"""The end of the name of what a dropped file leaves."""


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
    """Bytes of a journal by part: segments, archive, snapshots. The segment that is being written counts as it will be
    when it is closed: without the space that it takes in advance."""
    return {part: _bytes(Path(folder) / part) for part in ("segments", "archive", "snapshots")}


def _bytes(folder: Path) -> int:
    total = 0
    newest = max(folder.glob("*.seg"), default=None)
    for path in folder.glob("*"):
        try:
            if path == newest:
                total += filled(path)
            elif newest is None or path != newest.with_suffix(".idx"):
                total += path.stat().st_size
        except FileNotFoundError:  # gone meanwhile
            continue
    return total


def _used(folder: Path) -> int:
    return sum(usage(folder).values())


def enforce_quota(
    folder: str | os.PathLike[str] | Journal,
    max_bytes: int | str,
    *,
    window: int | str | timedelta | None = None,
    ensure_snapshot: Snapshot | None = None,
    step: Step = _no_step,
) -> QuotaReport:
    """Brings segments, archive and snapshots of a journal to at most `max_bytes`, as far as that may be: first the
    oldest segments are archived and compacted (see `compact`), no more than are needed; then all snapshots but the
    newest go, as they can be made again; then the oldest files of the archive are dropped one by one, but for those
    that a `hold` keeps, and for the `summary` events in them. What is not archived is never dropped, nor is the newest
    segment; and nothing is, where compacting failed, or would win nothing, as the summaries that it leaves take as much
    as the segments they stand for. What cannot be done is told by the report, not raised.

    folder, window, ensure_snapshot: as of `compact`. max_bytes: a number, or a size such as "10GB". Space that the
    newest segment takes in advance, up to 16 MiB while the journal is written, is not counted.
    Raises InvalidRecordError where max_bytes is no size, JournalLockedError where somebody else writes the journal or
    archives, JournalDamagedError where the manifest or the list of holds is damaged: nothing is dropped then.
    """
    limit = as_bytes(max_bytes, "max_bytes")
    width = None if window is None else as_span(window, "window")
    with open_writer(folder) as (where, writer):
        before = _used(where)
        in_the_way: list[str] = []
        archived = compacted = 0
        dropped: list[ArchivedFile] = []
        with archive_lock(where) as there:
            held = holds(where)
            _clear(there, manifests.load(where))
            failed = False
            while (excess := _used(where) - limit) > 0:
                through, unfinished = _oldest(segments(where), excess), _unfinished(where)
                if through == 0 and not unfinished:
                    break
                try:
                    report = compact_locked(
                        *(where, there, writer, _UpTo(through), width, ensure_snapshot, step),
                        through=through,
                        must_free=True,
                    )
                except FairleadError as error:
                    in_the_way.append(str(error))
                    failed = True
                    break
                archived += report.archived
                compacted += report.segments
                if not report.segments and not unfinished:
                    break
            manifest = manifests.load(where)
            _thin(where, limit)
            if manifest is not None and not failed:
                dropped = _drop(where, there, manifest, held, limit, step)
        tell(where, writer)
        after = _used(where)
        if after > limit:
            in_the_way += _in_the_way(where, held)
    return QuotaReport(
        limit,
        before,
        after,
        archived,
        compacted,
        tuple(file.file for file in dropped),
        sum(file.rows - file.types.get("summary", 0) for file in dropped),
        tuple(in_the_way),
    )


def _thin(folder: Path, limit: int) -> None:
    """Removes snapshots of a fleet, the oldest first and never the newest, while the limit asks for it."""
    for path in sorted((folder / "snapshots").glob("*.fleet"))[:-1]:
        if _used(folder) <= limit:
            return
        path.unlink(missing_ok=True)


def _oldest(found: Sequence[Segment], excess: int) -> int:
    """The last event of the oldest segments that hold so many bytes, no more of them than are needed; 0: there is
    none."""
    last = 0
    for segment in found[:-1]:
        if excess <= 0 or segment.last is None:
            break
        last = segment.last
        excess -= segment.bytes
    return last


class _UpTo:
    """The segments up to an event, as far as they are archived."""

    def __init__(self, last: int) -> None:
        self.last = last

    def __call__(self, manifest: Manifest, found: Sequence[Segment]) -> list[Segment]:
        last = min(self.last, manifest.archived_to())
        return [segment for segment in found[:-1] if segment.last is not None and segment.last <= last]


def _unfinished(folder: Path) -> bool:
    """Whether a compaction was cut short, which then needs the files that it is of."""
    manifest = manifests.load(folder)
    return manifest is not None and manifest.compacting is not None


def _clear(there: Path, manifest: Manifest | None) -> None:
    """Files that were dropped, or written instead, but for the crash that came between."""
    have = {file.file for file in manifest.readable} if manifest else set()
    old = [there / file.file for file in manifest.dropped] if manifest else []
    for path in [*old, *there.glob(f"*{_INSTEAD}")]:
        if path.name not in have:
            path.unlink(missing_ok=True)


def _instead(file: ArchivedFile) -> str:
    return f"{file.first:020}{_INSTEAD}"


def _may_go(folder: Path, file: ArchivedFile, held: Sequence[Hold]) -> bool:
    if file.rows == file.types.get("summary", 0):
        return False
    live = segments(folder)
    gone = not live or file.last < live[0].first
    return gone and not any(hold.keeps(file) for hold in held)


def _drop(
    folder: Path, there: Path, manifest: Manifest, held: Sequence[Hold], max_bytes: int, step: Step
) -> list[ArchivedFile]:
    """Drops the oldest files until the limit is met. The summaries in a file stay, in a file of their own."""
    out: list[ArchivedFile] = []
    for file in list(manifest.files):
        if _used(folder) <= max_bytes:
            break
        if not _may_go(folder, file, held):
            continue
        left = None
        if file.types.get("summary"):
            left = rewrite(there, file, _instead(file), ("summary",), step)
            if left.bytes >= file.bytes:  # nothing would be won
                (there / left.file).unlink()
                continue
            sync_folder(there)
            step("kept")
        manifest.files.remove(file)
        manifest.summaries += [left] if left is not None else []
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
        files = [file for file in manifest.files if hold.keeps(file)] if manifest else []
        if files:
            size = sum(file.bytes for file in files)
            out.append(f"hold {hold.name!r} keeps {len(files)} files of the archive, {size:,} bytes")
    parts = usage(folder)
    kept = [file for file in manifest.readable if file.rows == file.types.get("summary", 0)] if manifest else []
    if kept:
        out.append(f"{len(kept)} files of summaries, {sum(file.bytes for file in kept):,} bytes")
    live = segments(folder)
    if live:
        out.append(f"{len(live)} segments that are not archived or still needed, {parts['segments']:,} bytes")
    if parts["snapshots"]:
        out.append(f"snapshots, {parts['snapshots']:,} bytes")
    return out
