"""A labelled stream: from arrays, or from a file with a column of labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.lifecycle.trainer import PathLike

_MOST_CLASSES = 200


@dataclass(frozen=True, slots=True)
class Stream:
    """Rows in the order of time.

    x: (n, columns), NaN where a value is missing. y: classes by number, (n,). names: of the columns. labels: of the
    classes."""

    x: NDArray[np.float64]
    y: NDArray[np.int64]
    names: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.y)

    @classmethod
    def of(cls, x: Any, y: Any, *, names: Sequence[str] | None = None) -> Stream:
        """Of arrays: x numbers, y labels of any type that can be compared. Raises InvalidRecordError."""
        try:
            rows = np.asarray(x, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidRecordError(f"x must be rows of numbers: {error}") from error
        if rows.ndim != 2 or rows.shape[1] == 0:
            raise InvalidRecordError(f"x has shape {rows.shape}, must be (rows, columns)")
        if np.isinf(rows).any():
            row, column = np.argwhere(np.isinf(rows))[0].tolist()
            raise InvalidRecordError(f"x[{row}, {column}] is {rows[row, column]}, must be finite or NaN")
        given = np.asarray(y) if y is not None else np.empty(0)
        if given.shape != (len(rows),):
            raise InvalidRecordError(f"y has shape {given.shape}, must be ({len(rows)},), one label for each row of x")
        classes, numbers = _classes(given, "y")
        told = tuple(names) if names is not None else tuple(f"x{i}" for i in range(rows.shape[1]))
        if len(told) != rows.shape[1]:
            raise InvalidRecordError(f"names has {len(told)} entries, x {rows.shape[1]} columns")
        return cls(rows, numbers, told, classes)


def read_stream(path: PathLike, *, target: str, time: str | None = None, leave_out: Sequence[str] = ()) -> Stream:
    """A Parquet or CSV file with a column of labels. Needs pyarrow.

    target: the column of labels. time: the column to sort by; if not given, the rows are in order as they stand, and a
    column that only counts them is no feature. leave_out: further columns that are none. Text becomes numbers, in the
    order in which each value first comes; times become seconds. Rows without a label are left out.

    Raises InvalidRecordError naming the column, ImportError without pyarrow.
    """
    table = _table(Path(path))
    for name in (target, *([time] if time is not None else ()), *leave_out):
        if name not in table:
            raise InvalidRecordError(f"{path} has no column {name!r}{did_you_mean(name, table)}: {', '.join(table)}")
    order: Any = None
    if time is not None:
        keys = _numbers(table[time])
        if np.isnan(keys).any():
            raise InvalidRecordError(f"column {time!r} of {path} lacks a time in row {int(np.argmax(np.isnan(keys)))}")
        order = np.argsort(keys, kind="stable")
        table = {name: column[order] for name, column in table.items()}
    labels = table[target]
    there = np.array([value is not None and value == value for value in labels.tolist()], dtype=np.bool_)
    if not there.all():
        table = {name: column[there] for name, column in table.items()}
    names, columns = [], []
    for name, column in table.items():
        if name in (target, time, *leave_out):
            continue
        values = _numbers(column)
        if np.isnan(values).all():
            continue  # nothing to learn from
        if time is None and len(values) > 2 and _counts(values):
            continue
        names.append(name)
        columns.append(values)
    if not columns:
        raise InvalidRecordError(f"{path} has no column beside {target!r} to learn from")
    stream_classes, y = _classes(table[target], f"column {target!r}")
    return Stream(np.column_stack(columns), y, tuple(names), stream_classes)


def _table(path: Path) -> dict[str, NDArray[Any]]:
    """Columns by name."""
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    if path.suffix.lower() == ".parquet":
        import pyarrow.parquet as pq

        table = pq.read_table(path)
    else:
        import pyarrow.csv as csv

        table = csv.read_csv(path)
    found = {}
    for name in table.column_names:
        column = table.column(name)
        found[name] = np.asarray(column.to_numpy() if column.null_count == 0 else column.to_pandas().to_numpy())
    return found


def _numbers(column: NDArray[Any]) -> NDArray[np.float64]:
    if column.dtype.kind in "M":
        seconds: NDArray[np.float64] = column.astype("datetime64[ns]").astype(np.int64) / 1e9
        return np.where(np.isnat(column), np.nan, seconds)
    if column.dtype.kind in "biuf":
        values = column.astype(np.float64)
        values[np.isinf(values)] = np.nan
        return values
    seen: dict[Any, int] = {}
    out = np.empty(len(column))
    for i, value in enumerate(column.tolist()):
        if value is None or value != value:
            out[i] = np.nan
        elif isinstance(value, (bool, int, float)):
            out[i] = float(value)
        else:
            out[i] = seen.setdefault(value, len(seen))
    return out


def _counts(values: NDArray[np.float64]) -> bool:
    """Whether a column only counts the rows, or is a time: equal steps up."""
    steps = np.diff(values)
    return bool(steps[0] > 0.0 and (steps == steps[0]).all())


def _classes(y: NDArray[Any], what: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    values = y.tolist()
    for i, value in enumerate(values):
        if value is None or value != value:
            raise InvalidRecordError(f"{what} lacks a label in row {i}")
    try:
        kinds = sorted(set(values))
    except TypeError as error:
        raise InvalidRecordError(f"{what} holds labels of several types: {error}") from error
    if len(kinds) < 2:
        raise InvalidRecordError(f"{what} holds one label alone, {kinds[0] if kinds else 'none'!r}")
    if len(kinds) > _MOST_CLASSES:
        raise InvalidRecordError(
            f"{what} holds {len(kinds):,} different labels: classes are wanted, at most {_MOST_CLASSES}"
        )
    number = {value: i for i, value in enumerate(kinds)}
    names = ("0", "1") if len(kinds) == 2 else tuple(str(value) for value in kinds)
    return names, np.array([number[value] for value in values], dtype=np.int64)
