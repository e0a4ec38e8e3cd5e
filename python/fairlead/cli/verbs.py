"""What all commands on a desk share."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.cli import Commands
    from fairlead.journal.query import Query


def verb(commands: Commands, name: str, run: Any, about: str) -> argparse.ArgumentParser:
    """A command whose first argument is the folder of a desk."""
    parser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("desk", metavar="DESK", help="the folder of the journal")
    parser.set_defaults(run=run)
    return parser


_ARCHIVED = "`fairlead journal export` reads them too, `restore` makes a journal of all"


def tell_elsewhere(desk: str, query: Query | None = None, how: str = _ARCHIVED) -> None:
    """Says on stderr where events that are asked for are in no segment; how: to get at those that are archived."""
    from fairlead.journal.elsewhere import elsewhere

    for line in elsewhere(desk, query):
        print(f"fairlead: {line}{f': {how}' if 'archive' in line else ''}", file=sys.stderr)


def iso(time: int) -> str:
    """Nanoseconds as ISO, as short as they allow; it gives them again."""
    seconds, nanoseconds = divmod(time, 10**9)
    text = (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()
    return text + (f".{nanoseconds:09}".rstrip("0") if nanoseconds else "") + "Z"


def time_of(text: str | None) -> int | str | None:
    """A time as it was typed: integer nanoseconds as a number, anything else for `fairlead.times`."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text
