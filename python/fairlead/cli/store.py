"""`fairlead store upgrade|update|rebuild|follow DESK`: the journal's events as tables for SQL."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from fairlead.cli.verbs import verb

if TYPE_CHECKING:
    from fairlead.cli import Commands


def add_store(commands: Commands) -> None:
    """`fairlead store ...`."""
    store = commands.add_parser("store", help="the journal as tables for SQL: follow, update, rebuild, upgrade")
    verbs = store.add_subparsers(required=True, metavar="COMMAND")
    follow = _verb(verbs, "follow", _follow, "keep the store up to date, until interrupted")
    follow.add_argument("--poll", default="200ms", metavar="SPAN", help="how often to look for news (default: 200ms)")
    update = _verb(verbs, "update", _update, "bring the store up to date, once")
    rebuild = _verb(verbs, "rebuild", _rebuild, "delete all rows, and make them again from the journal")
    rebuild.add_argument("--windows", nargs="+", metavar="SPAN", help="of model_performance (default: as it was)")
    entries = "types of event that get a row in journal_entries, or 'all' (default: as it was)"
    rebuild.add_argument("--entries", nargs="+", metavar="TYPE", help=entries)
    for command in (follow, update, rebuild):
        command.add_argument("--partial", action="store_true", help="also where events are gone for good, without them")
    _verb(verbs, "upgrade", _upgrade, "make the tables, or bring those of an older fairlead up to date")


def _verb(verbs: Commands, name: str, run: Any, about: str) -> argparse.ArgumentParser:
    parser = verb(verbs, name, run, about)
    parser.add_argument("--url", metavar="URL", help="of the database, or a file (default: DESK/store.sqlite)")
    return parser


def _follow(arguments: argparse.Namespace) -> int:
    from fairlead.store.desk import follow

    follow(arguments.desk, arguments.url, poll=arguments.poll, partial=arguments.partial)
    return 0


def _update(arguments: argparse.Namespace) -> int:
    from fairlead.store.desk import update

    print(f"up to event {update(arguments.desk, arguments.url, partial=arguments.partial):,}")
    return 0


def _rebuild(arguments: argparse.Namespace) -> int:
    from fairlead.events import TYPES
    from fairlead.store.desk import rebuild

    entries = TYPES if arguments.entries == ["all"] else arguments.entries
    chosen = {"windows": arguments.windows, "entries": entries, "partial": arguments.partial}
    n = rebuild(arguments.desk, arguments.url, **chosen)
    print(f"rebuilt from {n:,} events")
    return 0


def _upgrade(arguments: argparse.Namespace) -> int:
    from fairlead.store.desk import upgrade

    print(upgrade(arguments.desk, arguments.url))
    return 0
