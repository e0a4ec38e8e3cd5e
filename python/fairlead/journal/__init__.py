"""The journal of a desk: writing, reading, checking, repairing, archiving."""

from __future__ import annotations

from fairlead.journal.check import JournalStats, Recovery, SegmentCheck, VerifyReport, repair, stats, verify
from fairlead.journal.read import read, tail

__all__ = [
    "JournalStats",
    "Recovery",
    "SegmentCheck",
    "VerifyReport",
    "read",
    "repair",
    "stats",
    "tail",
    "verify",
]
