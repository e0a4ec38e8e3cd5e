"""`fairlead demo`: a fleet at work, and a model that is retrained when it should be; no file needed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead.cli import Commands


def add_demo(commands: Commands) -> None:
    """`fairlead demo`."""
    about = "a fleet whose sensor breaks: see fairlead decide, notice, retrain, prove, roll back; no file needed"
    demo = commands.add_parser("demo", help=about, description=about)
    demo.add_argument("--report", metavar="FILE.html", help="draw the whole story on one page")
    demo.set_defaults(run=_demo)


def _demo(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from fairlead import demo

    demo.play(Console(), report=arguments.report)
    return 0
