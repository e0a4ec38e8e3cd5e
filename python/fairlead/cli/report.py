"""`fairlead report DESK`: how every model of a fleet is doing."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fairlead.cli.verbs import time_of, verb

if TYPE_CHECKING:
    from fairlead.cli import Commands


def add_report(commands: Commands) -> None:
    """`fairlead report DESK`."""
    report = verb(commands, "report", _report, "how every model of a fleet is doing: health, alerts, trends, costs")
    report.add_argument("--html", metavar="FILE", help="write it as a page of HTML, too")
    report.add_argument(
        "--json", metavar="FILE", help="write it as JSON, too; - to standard output, instead of the text"
    )
    report.add_argument("--at", metavar="TIME", help="as of this time: ISO, or integer nanoseconds (default: now)")


def _report(arguments: argparse.Namespace) -> int:
    from fairlead.fleet.reporting import report_folder

    report = report_folder(arguments.desk, now=time_of(arguments.at))
    if arguments.html:
        _write(arguments.html, report.to_html())
    if arguments.json == "-":
        print(report.to_json())
        return 0
    if arguments.json:
        _write(arguments.json, report.to_json())
    print(report)
    return 0


def _write(path: str, text: str) -> None:
    from pathlib import Path

    Path(path).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8", newline="\n")
