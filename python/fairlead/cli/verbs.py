"""What all commands on a desk share."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairlead.cli import Commands


def verb(commands: Commands, name: str, run: Any, about: str) -> argparse.ArgumentParser:
    """A command whose first argument is the folder of a desk."""
    parser = commands.add_parser(name, help=about, description=about)
    parser.add_argument("desk", metavar="DESK", help="the folder of the journal")
    parser.set_defaults(run=run)
    return parser


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
