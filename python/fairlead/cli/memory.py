"""`fairlead journal archive|compact|hold|release|holds|quota|restore DESK`: what a journal keeps, and where."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from fairlead.cli.verbs import iso, time_of, verb
from fairlead.errors import InvalidRecordError

if TYPE_CHECKING:
    from fairlead.cli import Commands

_WINDOW = "of a summary (default: the finest of 1h, 6h, 1d, 7d, 30d whose summaries take little of what they stand for)"


def add_memory(verbs: Commands) -> None:
    """The verbs of `fairlead journal` that archive, compact and drop."""
    archive = verb(verbs, "archive", _archive, "sealed segments to archive/, as checked Parquet")
    archive.add_argument("--verify", action="store_true", help="check what is archived instead; status 1: bad")
    archive.add_argument("--json", action="store_true", help="one JSON object")

    compact = verb(verbs, "compact", _compact, "archive, then leave summaries in place of what is old")
    compact.add_argument("--keep", default="30d", metavar="SPAN", help="before the newest event (default: 30d)")
    compact.add_argument("--window", metavar="SPAN", help=_WINDOW)
    compact.add_argument("--json", action="store_true", help="one JSON object")

    quota = verb(verbs, "quota", _quota, "archive, compact, then drop the oldest archived files; status 1: not met")
    quota.add_argument("max_bytes", metavar="SIZE", type=_size, help="of segments, archive and snapshots: 800MB, 2GiB")
    quota.add_argument("--window", metavar="SPAN", help=_WINDOW)
    quota.add_argument("--json", action="store_true", help="one JSON object")

    hold = verb(verbs, "hold", _hold, "keep events of a time in the archive, whatever the quota")
    hold.add_argument("name", metavar="NAME")
    hold.add_argument("--start", metavar="TIME", help="from this time of the event on: ISO, or integer nanoseconds")
    hold.add_argument("--end", metavar="TIME", help="before this time (default: for ever)")
    hold.add_argument("--reason", default="", metavar="TEXT")

    release = verb(verbs, "release", _release, "end a hold")
    release.add_argument("name", metavar="NAME")

    listed = verb(verbs, "holds", _holds, "the holds that are in force")
    listed.add_argument("--json", action="store_true", help="one JSON object a line")

    restore = verb(verbs, "restore", _restore, "a journal of all events, archived and live, in another folder")
    restore.add_argument("to", metavar="FOLDER", help="made by this command")


def _size(text: str) -> int:
    """Bytes, for argparse."""
    from fairlead.journal.sizes import as_bytes

    try:
        return as_bytes(text)
    except InvalidRecordError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _show(report: Any, as_json: bool) -> None:
    print(json.dumps(report.to_dict()) if as_json else report)


def _archive(arguments: argparse.Namespace) -> int:
    from fairlead.journal import archive, verify_archive

    if arguments.verify:
        check = verify_archive(arguments.desk)
        _show(check, arguments.json)
        return 0 if check.whole else 1
    _show(archive(arguments.desk), arguments.json)
    return 0


def _snapshot(desk: str) -> Any:
    """Writes the snapshot that the compaction of a fleet's desk may need."""
    from fairlead import _core

    def ensure(seq: int) -> None:
        write = getattr(_core, "snapshot_desk", None)
        if write is not None:
            write(desk)

    return ensure


def _compact(arguments: argparse.Namespace) -> int:
    from fairlead.journal import compact

    report = compact(
        arguments.desk, keep=arguments.keep, window=arguments.window, ensure_snapshot=_snapshot(arguments.desk)
    )
    _show(report, arguments.json)
    return 0


def _quota(arguments: argparse.Namespace) -> int:
    from fairlead.journal import enforce_quota

    report = enforce_quota(
        arguments.desk, arguments.max_bytes, window=arguments.window, ensure_snapshot=_snapshot(arguments.desk)
    )
    _show(report, arguments.json)
    return 0 if report.met else 1


def _hold(arguments: argparse.Namespace) -> int:
    from fairlead.journal import hold

    hold(arguments.desk, arguments.name, time_of(arguments.start), time_of(arguments.end), arguments.reason)
    print(f"held: {arguments.name}")
    return 0


def _release(arguments: argparse.Namespace) -> int:
    from fairlead.journal import release

    release(arguments.desk, arguments.name)
    print(f"released: {arguments.name}")
    return 0


def _holds(arguments: argparse.Namespace) -> int:
    from dataclasses import asdict

    from fairlead.journal import holds

    for hold in holds(arguments.desk):
        if arguments.json:
            print(json.dumps(asdict(hold)))
        else:
            print(f"{hold.name}  {_span(hold.start, hold.end)}  {hold.reason}".rstrip())
    return 0


def _span(start: int | None, end: int | None) -> str:
    """A hold's time, for people."""
    if start is None and end is None:
        return "all the time"
    parts = [f"from {iso(start)}" if start is not None else "", f"to before {iso(end)}" if end is not None else ""]
    return " ".join(part for part in parts if part)


def _restore(arguments: argparse.Namespace) -> int:
    from fairlead.journal import restore

    print(f"{restore(arguments.desk, arguments.to):,} events restored to {arguments.to}")
    return 0
