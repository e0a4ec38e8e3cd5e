"""The command line: `fairlead demo`, `replay`, `journal`, `models`, `store`, `reflect`, `route`. One file a command."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Sequence
from typing import TypeAlias

from fairlead import __version__
from fairlead.cli.demo import add_demo
from fairlead.cli.journal import add_journal
from fairlead.cli.models import add_models
from fairlead.cli.prequential import add_prequential
from fairlead.cli.reflect import add_reflect
from fairlead.cli.replay import add_replay
from fairlead.cli.report import add_report
from fairlead.cli.route import add_route
from fairlead.cli.store import add_store
from fairlead.errors import FairleadError, JournalDamagedError

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status: 0, 1 where a check found something wrong, or 2 where the input or the
    call was wrong."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            status: int = arguments.run(arguments)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        return 0
    except (FairleadError, ImportError, OSError) as error:
        print(f"fairlead: {error}", file=sys.stderr)
        if isinstance(error, JournalDamagedError):
            _tell_next_step(getattr(arguments, "desk", None))
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _tell_next_step(desk: str | None) -> None:
    """What can be done about damage in the segments of a desk."""
    from fairlead.journal.damage import next_step

    with contextlib.suppress(FairleadError, OSError):  # there is more wrong than that
        if desk is not None and (told := next_step(desk)):
            print(f"fairlead: {told}", file=sys.stderr)


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"fairlead: {message}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fairlead", description="Whom to trust now, out of a fleet of models.")
    parser.add_argument("--version", action="version", version=f"fairlead {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_demo(commands)
    add_replay(commands)
    add_prequential(commands)
    add_journal(commands)
    add_models(commands)
    add_store(commands)
    add_reflect(commands)
    add_report(commands)
    add_route(commands)
    return parser
