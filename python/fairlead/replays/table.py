"""The forecast table: one row per forecast, validated once, as columns the replay can stream.

`read_table` takes a CSV or Parquet file or a data frame. A table of the wrong structure raises `TableError`;
a bad row is left out and reported with its place and the reason. `read` knows how a value is read, `rules`
what it must be.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.errors import TableError
from fairlead.replays.read import NEVER, NO_TIME, open_source
from fairlead.replays.rules import Checked, Layout, check, layout_of

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Times = NDArray[np.int64]
    Mask = NDArray[np.bool_]
    Codes = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out."""

    line: int
    """Line of the CSV file on which the record starts (the header is on line 1), else the row, from 1."""
    reason: str
    """Names the column and the value: ``"p is 1.3, outside [0, 1]"``."""


@dataclass(frozen=True, slots=True, eq=False)
class Dimension:
    """A property of tasks to keep score by."""

    name: str
    values: tuple[str, ...]
    """The distinct values, by first appearance in time order."""
    codes: Codes
    """(T,) index into `values`; -1 where the task has none."""


@dataclass(frozen=True, slots=True, eq=False)
class ForecastTable:
    """N forecasts of M models on T tasks, sorted by time (stable); times in ns since the epoch, UTC."""

    kind: str
    """``"binary"``, ``"categorical"`` or ``"numeric"``."""
    labels: tuple[str, ...]
    """Binary: ``("0", "1")``; categorical: from the p_<label> columns, in their order; numeric: none."""
    models: tuple[str, ...]
    """By first appearance in time order, as are the tasks."""
    tasks: tuple[str, ...]

    time: Times
    """(N,) when the forecast was made."""
    task: Codes
    """(N,) index into `tasks`."""
    model: Codes
    """(N,) index into `models`."""
    answer: Floats
    """(N, C), C-contiguous; NaN where the model failed. Binary: P(1), C = 1; categorical: a column per label,
    with sum 1; numeric: C = 1."""
    failed: Mask
    """(N,) whether the model answered with an error."""
    confidence: Floats
    """(N,) in [0, 1]; NaN where not given, as is `latency_ms`."""
    latency_ms: Floats
    cost_usd: Floats
    """(N,) 0 where not given."""
    tokens_in: NDArray[np.int64]
    """(N,) 0 where not given, as is `tokens_out`."""
    tokens_out: NDArray[np.int64]

    outcome: Floats
    """(T,) 0 or 1, the index of a label, or a number; NaN where it never became known."""
    outcome_time: Times
    """(T,) when it became known, after `decide_time`: if not given, the next time in the table, or the last
    instant of int64."""
    decide_time: Times
    """(T,) time of the task's last forecast."""
    stake_usd: Floats
    """(T,) 0 where not given."""
    dimensions: tuple[Dimension, ...]
    """The category first if there is one, then each slice."""

    bad_rows: tuple[BadRow, ...]
    """What was left out, sorted by line."""


def read_table(
    source: str | os.PathLike[str] | IntoDataFrame, *, slices: Sequence[str] = (), strict: bool = False
) -> ForecastTable:
    """Read forecasts from a .csv, .csv.gz or .parquet file, or from a pandas, polars or pyarrow frame.

    `slices` names further columns to keep score by. With `strict` the first bad row raises.

    Raises `TableError` if columns are missing or contradict each other, if no good row is left, and for a
    file that is missing or unreadable; `ImportError` for Parquet without pyarrow; `TypeError` for any other
    object.

    >>> import polars
    >>> frame = polars.DataFrame({"time": ["2024-05-01", "2024-05-01"], "task": ["q-17", "q-17"],
    ...                           "model": ["gpt-4o", "local-logit"], "p": [0.72, 1.3], "outcome": [1, 1]})
    >>> table = read_table(frame)
    >>> table.models, table.answer.tolist(), table.bad_rows
    (('gpt-4o',), [[0.72]], (BadRow(line=2, reason='p is 1.3, outside [0, 1]'),))
    """
    opened = open_source(source)
    layout = layout_of(opened.columns, slices)
    raw = opened.load(layout.columns)
    if not len(raw.lines):
        raise TableError("the table has no rows")
    checked = check(raw, layout)
    bad_rows = tuple(BadRow(int(raw.lines[row]), reason) for row, reason in sorted(checked.reasons.items()))
    if bad_rows and (strict or not checked.good.any()):
        first = f"{raw.place} {bad_rows[0].line}: {bad_rows[0].reason}"
        raise TableError(first if strict else f"all {len(bad_rows)} rows are bad; {first}")
    return _assemble(checked, layout, bad_rows)


def _assemble(checked: Checked, layout: Layout, bad_rows: tuple[BadRow, ...]) -> ForecastTable:
    """The good rows in time order, and what they say about each task."""
    rows = np.flatnonzero(checked.good)
    rows = rows[np.argsort(checked.time[rows], kind="stable")]
    time = checked.time[rows]
    tasks, task = _by_appearance(checked.task.values, checked.task.codes[rows])
    models, model = _by_appearance(checked.model.values, checked.model.codes[rows])
    number = {name: values[rows] for name, values in checked.numbers.items()}

    def per_task(values: NDArray[Any], missing: Mask, default: float) -> NDArray[Any]:
        """One value per task: the rows that give one agree."""
        result = np.full(len(tasks), default, dtype=values.dtype)
        given = ~missing[rows]
        result[task[given]] = values[rows][given]
        return result

    decide_time = np.empty(len(tasks), dtype=np.int64)
    decide_time[task] = time  # in time order, so the last one stays
    stake = checked.numbers["stake_usd"]
    outcome_time = per_task(checked.outcome_time, checked.outcome_time == NO_TIME, NO_TIME)
    return ForecastTable(
        kind=layout.kind,
        labels=layout.labels,
        models=models,
        tasks=tasks,
        time=time,
        task=task,
        model=model,
        answer=np.ascontiguousarray(checked.answer[rows]),
        failed=checked.failed[rows],
        confidence=number["confidence"],
        latency_ms=number["latency_ms"],
        cost_usd=np.nan_to_num(number["cost_usd"]),
        tokens_in=np.nan_to_num(number["tokens_in"]).astype(np.int64),
        tokens_out=np.nan_to_num(number["tokens_out"]).astype(np.int64),
        outcome=per_task(checked.outcome, np.isnan(checked.outcome), np.nan),
        outcome_time=np.where(outcome_time == NO_TIME, _next_time(time, decide_time), outcome_time),
        decide_time=decide_time,
        stake_usd=per_task(stake, np.isnan(stake), 0.0),
        dimensions=tuple(
            _dimension(name, names.values, per_task(names.codes, names.codes < 0, -1))
            for name, names in checked.dimensions.items()
        ),
        bad_rows=bad_rows,
    )


def _by_appearance(values: tuple[str, ...], codes: Codes) -> tuple[tuple[str, ...], Codes]:
    """The values that occur, in the order of their first row, and the codes that index them."""
    used, first, position = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(used), dtype=np.int32)
    rank[order] = np.arange(len(used), dtype=np.int32)
    return tuple(values[code] for code in used[order]), rank[position.reshape(-1)]


def _dimension(name: str, values: tuple[str, ...], codes: Codes) -> Dimension:
    given = codes >= 0
    occurring, codes[given] = _by_appearance(values, codes[given])
    return Dimension(name, occurring, codes)


def _next_time(time: Times, decide_time: Times) -> Times:
    """The first time of the table after each of the given ones, `NEVER` where there is none."""
    later = np.append(np.unique(time), NEVER)
    return later[np.searchsorted(later, decide_time, side="right")]
