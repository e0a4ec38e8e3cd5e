"""The journal of a desk: writing, reading, checking, repairing, archiving, compacting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairlead.journal.check import JournalStats, Recovery, SegmentCheck, VerifyReport, repair, stats, verify
from fairlead.journal.read import read, tail
from fairlead.journal.writer import Journal

if TYPE_CHECKING:
    from fairlead.journal.archiving import ArchiveCheck, ArchiveReport, archive, verify_archive
    from fairlead.journal.compaction import CompactReport, compact
    from fairlead.journal.exporting import export, history
    from fairlead.journal.holding import Hold, hold, holds, release
    from fairlead.journal.quotas import QuotaReport, enforce_quota
    from fairlead.journal.restoring import restore
    from fairlead.journal.scanning import dataset, scan

# What needs pyarrow is imported when it is first asked for.
_LATER = {
    "ArchiveCheck": "archiving",
    "ArchiveReport": "archiving",
    "archive": "archiving",
    "verify_archive": "archiving",
    "CompactReport": "compaction",
    "compact": "compaction",
    "dataset": "scanning",
    "export": "exporting",
    "history": "exporting",
    "Hold": "holding",
    "hold": "holding",
    "holds": "holding",
    "release": "holding",
    "QuotaReport": "quotas",
    "enforce_quota": "quotas",
    "restore": "restoring",
    "scan": "scanning",
}

__all__ = [
    "ArchiveCheck",
    "ArchiveReport",
    "CompactReport",
    "Hold",
    "Journal",
    "JournalStats",
    "QuotaReport",
    "Recovery",
    "SegmentCheck",
    "VerifyReport",
    "archive",
    "compact",
    "dataset",
    "enforce_quota",
    "export",
    "history",
    "hold",
    "holds",
    "read",
    "release",
    "repair",
    "restore",
    "scan",
    "stats",
    "tail",
    "verify",
    "verify_archive",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    globals()[name] = found
    return found
