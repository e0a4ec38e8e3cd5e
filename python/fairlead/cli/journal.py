"""`fairlead journal tail|query|stats|export|verify|repair DESK`: looking into a journal from outside.

All but export look at the segments alone, and say so where what is asked for is archived.

All but repair only read: they take no lock, and may run while the journal is being written. What archives and compacts
is in `memory.py`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from fairlead.cli.memory import add_memory
from fairlead.cli.verbs import tell_elsewhere, tell_unknown, time_of, verb

if TYPE_CHECKING:
    from fairlead.cli import Commands
    from fairlead.events import Event

_DAY = 86400 * 10**9


def add_journal(commands: Commands) -> None:
    """`fairlead journal ...`."""
    journal = commands.add_parser("journal", help="look into a journal, archive it, compact it, repair it")
    verbs = journal.add_subparsers(required=True, metavar="COMMAND")

    tail = verb(verbs, "tail", _tail, "the newest events, and those to come")
    _filters(tail)
    tail.add_argument(
        "--lines", "-n", type=_count, default=10, metavar="N", help="so many old ones first (default: 10)"
    )
    tail.add_argument("--no-follow", action="store_true", help="do not wait for more")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")

    query = verb(verbs, "query", _query, "events by model, type, category and time")
    _filters(query)
    query.add_argument("--start", metavar="TIME", help="from this time of the event on: ISO, or integer nanoseconds")
    query.add_argument("--end", metavar="TIME", help="before this time")
    query.add_argument("--first", type=_count, metavar="SEQ", help="from this number on")
    query.add_argument("--last", type=_count, metavar="SEQ", help="up to this number")
    query.add_argument("--limit", type=_count, metavar="N", help="at most so many")
    query.add_argument("--offset", type=_count, default=0, metavar="N", help="pass over so many first")
    query.add_argument("--json", action="store_true", help="one JSON object a line")

    stats = verb(verbs, "stats", _stats, "how much of what, since when")
    stats.add_argument("--json", action="store_true", help="one JSON object")

    export = verb(verbs, "export", _export, "events into a file: .parquet or .jsonl")
    export.add_argument("out", metavar="FILE", help="what to write: events.parquet, events.jsonl")
    _filters(export)
    export.add_argument("--start", metavar="TIME")
    export.add_argument("--end", metavar="TIME")
    export.add_argument("--first", type=_count, metavar="SEQ", help="from this number on")
    export.add_argument("--last", type=_count, metavar="SEQ", help="up to this number")

    verify = verb(verbs, "verify", _verify, "check every record; exit status 1 where one is bad")
    verify.add_argument("--json", action="store_true", help="one JSON object")

    add_memory(verbs)

    repair = verb(verbs, "repair", _repair, "cut a torn end; what is cut is kept beside it")
    repair.add_argument(
        "--accept-loss", action="store_true", help="cut also at damage to what was durable: all after it is given up"
    )


def _filters(parser: argparse.ArgumentParser) -> None:
    for option, what in (("model", "about this model"), ("type", "of this type"), ("category", "in this category")):
        parser.add_argument(
            f"--{option}",
            action="append",
            metavar=option.upper(),
            help=f"only events {what}; may be repeated",
        )


def _count(text: str) -> int:
    """A number that is not negative. Raises ValueError, which argparse tells."""
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def _wanted(arguments: argparse.Namespace) -> dict[str, Any]:
    """The filters that were given."""
    given = {
        "models": arguments.model,
        "types": arguments.type,
        "categories": arguments.category,
        **{name: getattr(arguments, name, None) for name in ("first", "last", "limit")},
        **{name: time_of(getattr(arguments, name, None)) for name in ("start", "end")},
    }
    return {name: value for name, value in given.items() if value is not None}


def _tail(arguments: argparse.Namespace) -> int:
    from fairlead.journal import tail
    from fairlead.journal.query import query_of

    wanted = _wanted(arguments)
    follow = not arguments.no_follow
    n = _print(tail(arguments.desk, lines=arguments.lines, follow=follow, **wanted), arguments.json)
    if n == 0 < arguments.lines:
        tell_unknown(arguments.desk, arguments.model, arguments.category)
    if n < arguments.lines:
        tell_elsewhere(arguments.desk, query_of(**wanted))
    return 0


def _query(arguments: argparse.Namespace) -> int:
    from fairlead.journal import read
    from fairlead.journal.query import query_of

    wanted = _wanted(arguments)
    n = _print(read(arguments.desk, offset=arguments.offset, **wanted), arguments.json)
    wanted.pop("limit", None)
    tell_elsewhere(arguments.desk, query_of(**wanted))
    if n == 0:
        tell_unknown(arguments.desk, arguments.model, arguments.category)
    return 0


def _print(events: Iterable[Event], as_json: bool) -> int:
    """Returns how many."""
    from fairlead.journal import plain

    n = 0
    for n, event in enumerate(events, 1):  # noqa: B007 - the last is the count
        print(plain.as_json(event.to_dict()) if as_json else _line(event), flush=True)
    return n


def _line(event: Event) -> str:
    """One event in one line: number, time, type, model, category, the rest."""
    rest = " ".join(f"{name}={_short(value)}" for name, value in event.data.items() if not _nothing(name, value))
    what = [event.model, event.category and f"[{event.category}]"]
    about = " ".join(word for word in what if word)
    return f"{event.seq:>10}  {_moment(event.time)}  {event.type:<13}  {about}{'  ' if about else ''}{rest}"


_ZERO = (
    *("cost_usd", "stake_usd", "reserved_usd", "reserved_nanos"),
    *("tokens_in", "tokens_out", "tokens_cached", "tokens_written"),
)
"""What need not be said where it is 0."""


def _nothing(name: str, value: object) -> bool:
    return value is None or value in ("", (), {}, []) or (value == 0 and name in _ZERO)


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    text = json.dumps(value, default=str) if isinstance(value, (dict, list, tuple)) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _moment(time: int) -> str:
    """ISO to the microsecond; small numbers, which are no dates, as they are."""
    if time < _DAY:
        return f"{time:>27}"
    moment = datetime.fromtimestamp(time // 10**9, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{time % 10**9 // 1000:06d}Z"


def _stats(arguments: argparse.Namespace) -> int:
    from fairlead.journal import stats

    found = stats(arguments.desk)
    print(json.dumps(found.to_dict()) if arguments.json else found)
    tell_elsewhere(arguments.desk)
    return 0


def _export(arguments: argparse.Namespace) -> int:
    from fairlead.journal import export

    n = export(arguments.desk, arguments.out, **_wanted(arguments))
    if n == 0:
        tell_unknown(arguments.desk, arguments.model, arguments.category)
    print(f"{n:,} events written to {arguments.out}")
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    from fairlead.journal import verify

    report = verify(arguments.desk)
    print(json.dumps(report.to_dict()) if arguments.json else report)
    tell_elsewhere(arguments.desk, how="`fairlead journal archive --verify` checks them")
    return 0 if report.whole else 1


def _repair(arguments: argparse.Namespace) -> int:
    from fairlead.journal import repair

    print(repair(arguments.desk, accept_loss=arguments.accept_loss))
    return 0
