"""The journal of a desk: reading, checking, repairing, archiving, compacting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fairlead.journal.check import JournalStats, Recovery, SegmentCheck, VerifyReport, repair, stats, verify
from fairlead.journal.read import read, tail

if TYPE_CHECKING:
    from fairlead.journal.archiving import ArchiveCheck, ArchiveReport, archive, verify_archive
    from fairlead.journal.exporting import export
    from fairlead.journal.scanning import dataset, scan

# What needs pyarrow is imported when it is first asked for.
_LATER = {
    "ArchiveCheck": "archiving",
    "ArchiveReport": "archiving",
    "archive": "archiving",
    "verify_archive": "archiving",
    "dataset": "scanning",
    "export": "exporting",
    "scan": "scanning",
}

__all__ = [
    "ArchiveCheck",
    "ArchiveReport",
    "JournalStats",
    "Recovery",
    "SegmentCheck",
    "VerifyReport",
    "archive",
    "dataset",
    "export",
    "read",
    "repair",
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
