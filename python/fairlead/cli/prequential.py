"""`fairlead prequential FILE --target COLUMN`: a labelled stream through a managed model, beside its rivals."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fairlead.cli import Commands

_HELP = """\
FILE has one row for each example, in the order of time: columns of numbers or text, and one of labels (Parquet or CSV,
with pip install "fairlead[lifecycle,parquet]"). Each row is answered first and learnt from when its label has come, by
a model that is watched, retrained, proved and promoted, and by the same model without that:

  never retrained     trained on the first rows alone
  fixed schedule      retrained as often as the managed model was, evenly spaced, from the whole buffer
  ADWIN-triggered     retrained when River's ADWIN finds a change in its errors, from the whole buffer
  ADWIN, its window   the same, from the examples that ADWIN keeps
  no change           answers the newest label that is known
  one at a time       with --one-at-a-time: managed too, but its champion answers alone, not versions together

  fairlead prequential elec.parquet --target target
"""


def add_prequential(commands: Commands) -> None:
    """`fairlead prequential FILE`."""
    about = "stream a table of labelled examples through a managed model, beside the same model without management"
    command = commands.add_parser(
        "prequential", help=about, epilog=_HELP, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_argument("file", metavar="FILE", help="a .parquet or .csv file")
    command.add_argument("--target", metavar="COLUMN", required=True, help="the column of labels")
    command.add_argument("--time", metavar="COLUMN", help="sort by this column (default: in order as they stand)")
    command.add_argument(
        "--leave-out", metavar="COLUMN", action="append", default=[], help="no feature; may be repeated"
    )
    command.add_argument("--warm", metavar="ROWS", type=int, help="rows to begin with, which do not count")
    command.add_argument(
        "--delay", metavar="ROWS", type=int, default=1, help="rows after which a label is known (default: 1)"
    )
    command.add_argument("--no-history", action="store_true", help="tell nobody what came before a row")
    command.add_argument("--seed", metavar="N", type=int, default=0, help="of all trainings (default: 0)")
    command.add_argument("--one-at-a-time", action="store_true", help="one more rival, which takes its time")
    command.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    command.add_argument("--events", action="store_true", help="print what the managed model did, too")
    command.set_defaults(run=_prequential)


def _prequential(arguments: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from fairlead.lifecycle.streamed import RIVALS, prequential, read_stream

    stream = read_stream(arguments.file, target=arguments.target, time=arguments.time, leave_out=arguments.leave_out)
    console = Console(stderr=True)
    columns = (TextColumn("streaming"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=arguments.json or not console.is_terminal) as bar:
        task = bar.add_task("streaming", total=len(stream))
        result = prequential(
            stream,
            history=not arguments.no_history,
            warm=arguments.warm,
            delay=arguments.delay,
            seed=arguments.seed,
            rivals=list(RIVALS) if arguments.one_at_a_time else None,
            progress=lambda done, total: bar.update(task, completed=done),
        )
    if arguments.json:
        print(json.dumps({"file": Path(arguments.file).name, **result.as_dict()}, allow_nan=False))
        return 0
    if arguments.events:
        for event in result.events:
            print(event)
        print()
    print(result)
    if result.weights:
        told = ", ".join(f"{version}: {weight:.2f}" for version, weight in result.weights.items() if weight >= 0.005)
        print(f"\nversions that answer at the end, with their weight: {told}")
    sys.stdout.flush()
    return 0
