"""The journal of a desk: writing, reading, checking, repairing."""

from __future__ import annotations

from fairlead.journal.check import JournalStats, Recovery, SegmentCheck, VerifyReport, repair, stats, verify
from fairlead.journal.read import read, tail
from fairlead.journal.writer import Journal

__all__ = [
    "Journal",
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
