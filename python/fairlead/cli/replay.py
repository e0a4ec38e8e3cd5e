"""`fairlead replay TABLE`: a table of forecasts, streamed as if it were live."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from fairlead.cli.verbs import tell_elsewhere

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fairlead.cli import Commands
    from fairlead.replays import ReplayResult, Score

_BAD_ROWS_SHOWN = 10
_ROOMY, _WIDE = 115, 170  # columns from which on a terminal has room for noise, and for words
_SECOND = 10**9
_YEAR = 365 * 86400 * 10**9

_TABLE_HELP = """\
TABLE has one row for each forecast (CSV, or Parquet with pip install "fairlead[parquet]"):
  time           when it was made: ISO date or time, or integer nanoseconds
  task           what was asked, model: who answered
  p | p_<label> | value
                 the answer: P(1), one probability per label, or a number
  outcome        what happened: 0 or 1, a label or its index, a number; empty: unknown
  outcome_time   when that became known (default: the next distinct time)
  category, confidence, latency_ms, cost_usd, tokens_in, tokens_out, error, stake_usd
                 optional

Or TABLE is a folder with a journal: what its fleet lived is replayed, in the slices it had.

  fairlead replay forecasts.csv --slice horizon --warmup 2024-08-01 --report report.html
"""


def add_replay(commands: Commands) -> None:
    """`fairlead replay TABLE`."""
    replay = commands.add_parser(
        "replay",
        help="stream a table of forecasts as if it were live, and score every way to combine them",
        epilog=_TABLE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    replay.add_argument("table", metavar="TABLE", help="a .csv, .csv.gz or .parquet file, or a folder with a journal")
    replay.add_argument(
        "--slice",
        metavar="COLUMN",
        action="append",
        default=[],
        dest="slices",
        help="also keep score by this column; may be repeated",
    )
    replay.add_argument(
        "--warmup", metavar="UNTIL", help="learn from tasks decided at or before UNTIL, but do not score them"
    )
    replay.add_argument("--kind", help="which tasks to score, where a journal has several kinds")
    replay.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    replay.add_argument("--report", metavar="FILE.html", help="write a page with the pictures")
    replay.add_argument("--strict", action="store_true", help="stop at the first bad row")
    replay.set_defaults(run=_replay)


def _replay(arguments: argparse.Namespace) -> int:
    from rich.console import Console

    from fairlead.replays import replay

    if Path(arguments.table).is_dir():
        tell_elsewhere(arguments.table, how="`fairlead journal restore` makes a journal of all, which can be replayed")
    with _ProgressBar(Console(stderr=True), quiet=arguments.json) as advance:
        result = replay(
            arguments.table,
            slices=arguments.slices,
            warmup=_warmup(arguments.warmup),
            strict=arguments.strict,
            kind=arguments.kind,
            progress=advance,
        )
    if arguments.report:
        from fairlead.replays.report import write_report

        write_report(result, arguments.report, title=Path(arguments.table).name)
    for note in _notes(result, warmup=arguments.warmup is not None):
        print(f"fairlead: {note}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(result.to_dict(), allow_nan=False))
        return 0
    # What is not a terminal has no width to fit into.
    _show(result, Console() if sys.stdout.isatty() else Console(width=220), _place(arguments.table))
    if arguments.report:
        print(f"\nreport: {arguments.report}")
    return 0


def _place(table: str) -> str:
    """What a bad row is counted in."""
    return "row" if table.endswith(".parquet") else "line"


def _notes(result: ReplayResult, *, warmup: bool) -> Iterator[str]:
    """What looks like a mistake, though it is none of the table's rows."""
    first, last = result.history_time[0], result.history_time[-1]
    if first > _SECOND and last < _YEAR:
        yield "all times lie in 1970: integer times are nanoseconds, not seconds or milliseconds"
    if result.tasks == 0:
        reason = "no task was decided after the warm-up" if warmup else "every call failed"
        if result.unsettled:
            reason = "no outcome is known"
        yield f"nothing was scored: {reason}"


def _warmup(text: str | None) -> int | str | None:
    """An integer time or an ISO time, as it was typed."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return text


class _ProgressBar:
    """A progress bar over forecasts on a terminal, nothing elsewhere."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("replaying", total=None)

    def __enter__(self) -> Callable[[int, int], None]:
        self._bar.start()
        return lambda done, total: self._bar.update(self._task, completed=done, total=total)

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


def _show(result: ReplayResult, console: Console, place: str) -> None:
    numeric = result.kind == "numeric"
    console.print(_models_table(result, numeric=numeric))
    console.print()
    console.print(_strategies_table(result, numeric=numeric, width=console.width))
    if result.slices:
        console.print()
        console.print(_slices_table(result, numeric=numeric))
    unsettled = f", {result.unsettled:,} never settled" if result.unsettled else ""
    speed = f"{result.events_per_second:,.0f} events a second"
    counts = f"{result.forecasts:,} forecasts, {result.tasks:,} tasks scored{unsettled}"
    console.print(f"\n{counts}, {speed}", highlight=False)
    if result.state is not None:
        console.print(str(result.state), highlight=False)
    if result.bad_rows:
        rows = "row" if len(result.bad_rows) == 1 else "rows"
        console.print(f"{len(result.bad_rows):,} bad {rows} skipped:", highlight=False)
        for row in result.bad_rows[:_BAD_ROWS_SHOWN]:
            console.print(f"  {place} {row.line}: {row.reason}", highlight=False, markup=False)
        if len(result.bad_rows) > _BAD_ROWS_SHOWN:
            console.print(f"  and {len(result.bad_rows) - _BAD_ROWS_SHOWN:,} more", highlight=False)


def _table(
    title: str, columns: list[str], rows: list[list[str]], *, bold: str = "", left: tuple[str, ...] = ()
) -> Table:
    """Names on the left, which a narrow terminal may cut, and numbers on the right, which it may not. left: columns of
    words, cut first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
    shown = [i for i in range(len(columns)) if i == 0 or any(row[i] != "-" for row in rows)]
    for i in shown:
        width = max(len(cell) for cell in [columns[i], *(row[i] for row in rows)])
        if i == 0:
            worded = any(columns[j] in left for j in shown)  # then these give way, and the names do not
            table.add_column(columns[i], no_wrap=True, overflow="ellipsis", min_width=width if worded else None)
        elif columns[i] in left:
            table.add_column(columns[i], no_wrap=True, overflow="ellipsis")
        else:
            table.add_column(columns[i], justify="right", no_wrap=True, min_width=width)
    for row in rows:
        # Text, because a name such as gpt[beta] would be read as markup.
        table.add_row(*(Text(row[i]) for i in shown), style="bold" if row[0] == bold else None)
    return table


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def _score_cells(score: Score, *, numeric: bool) -> list[str]:
    if numeric:
        return ["-" if math.isnan(x) else f"{x:.4g}" for x in (score.mae, score.rmse)] + [f"{score.n:,}"]
    accuracy = "-" if math.isnan(score.accuracy) else f"{score.accuracy:.1%}"
    return [
        _number(score.brier, 4),
        _number(score.log_loss, 4),
        accuracy,
        _number(score.calibration_error, 3),
        f"{score.n:,}",
    ]


def _score_columns(*, numeric: bool) -> list[str]:
    return ["mae", "rmse", "n"] if numeric else ["brier", "log loss", "accuracy", "cal. error", "n"]


def _models_table(result: ReplayResult, *, numeric: bool) -> Table:
    rows = [
        [
            m.model,
            _number(m.elo, 0),
            *_score_cells(m.score, numeric=numeric),
            str(m.failed or "-"),
            _number(m.cost_usd or math.nan, 4),
            _number(m.drift, 2),
        ]
        for m in result.models
    ]
    return _table(
        "Models, by rating",
        ["model", "elo", *_score_columns(numeric=numeric), "failed", "cost $", "drift"],
        rows,
    )


def _strategies_table(result: ReplayResult, *, numeric: bool, width: int) -> Table:
    """Best first; beside the default with two standard errors; what each does where the terminal is wide enough."""
    from fairlead.replays.words import WHAT_IT_DOES

    labels = {
        result.default: f"{result.default} (default)",
        "mean": "mean (equal weights)",
        "best_single": f"best in hindsight: {result.best_single}",
    }
    words, brief = width >= _WIDE, width < _ROOMY
    left_out = "cal. error" if brief else ""
    scores = [i for i, name in enumerate(_score_columns(numeric=numeric)) if name != left_out]
    rows = [
        [
            labels.get(name, name),
            *(_score_cells(score, numeric=numeric)[i] for i in scores),
            *_beside(result, name, numeric=numeric, brief=brief),
            WHAT_IT_DOES.get(name, "-") if words else "-",
        ]
        for name, score in result.ranked
    ]
    return _table(
        "Ways to combine them, best first" + (" (*: beyond noise)" if brief else ""),
        [
            "strategy",
            *(_score_columns(numeric=numeric)[i] for i in scores),
            f"beside {result.default}",
            "",
            "what it does",
        ],
        rows,
        bold=labels[result.default],
        left=("what it does",) if words else (),
    )


def _beside(result: ReplayResult, name: str, *, numeric: bool, brief: bool) -> list[str]:
    """How much more was lost than by the default on the same tasks, and whether chance may explain it. brief: the first
    alone, with a star where chance may not."""
    from fairlead.replays.result import FEWEST_ROUNDS

    against = result.against.get(name)
    if name == result.default or against is None or math.isnan(against.difference):
        return ["-", "-"]
    told = f"{against.difference:+.3g}" if numeric else f"{round(against.difference, 4) + 0.0:+.4f}"
    if brief:
        return [f"{told} *" if against.verdict else f"{told}  ", "-"]
    known = against.rounds >= FEWEST_ROUNDS and math.isfinite(against.standard_error)
    error = 2 * against.standard_error
    spread = "" if math.isnan(error) else f" ± {error:.2g}" if numeric else f" ± {error:.4f}"
    return [told + spread, against.verdict or ("within noise" if known else "too little to say")]


def _slices_table(result: ReplayResult, *, numeric: bool) -> Table:
    """The default, the mean, hedge and the best strategy in each slice, largest slices first."""
    names = [name for name in dict.fromkeys((result.default, "mean", "hedge")) if name in result.strategies]
    largest = result.largest_slices()

    def loss(score: Score) -> float:
        return score.mae if numeric else score.brier

    rows = []
    for name, scores in largest:
        known = {s: loss(score) for s, score in scores.items() if not math.isnan(loss(score))}
        best = min(known, key=lambda s: known[s], default="-")
        cells = [_number(loss(scores[s]), 4) for s in names]
        rows.append([name, *cells, f"{known[best]:,.4f} {best}" if known else "-", f"{scores['mean'].n:,}"])
    left_out = f", the largest {len(largest)} of {len(result.slices)}" if len(result.slices) > len(largest) else ""
    return _table(
        f"{'Mean absolute error' if numeric else 'Brier score'} by slice{left_out}",
        ["slice", *names, "best strategy there", "n"],
        rows,
    )
