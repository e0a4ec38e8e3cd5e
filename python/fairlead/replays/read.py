"""From a file or a data frame to raw columns: how a value is read. What it must be is decided in `rules`.

A `Source` tells its column names before anything else is read, so that a table of the wrong structure fails
early. `Source.load` then reads the wanted columns, and a `Column` is read as numbers, times or names.
"""

from __future__ import annotations

import csv
import gzip
import importlib
import os
import pathlib
import re
import zlib
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import accumulate, compress, islice
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

import numpy as np

from fairlead.errors import TableError
from fairlead.times import datetime_ns, iso_ns

if TYPE_CHECKING:
    from narwhals.typing import IntoDataFrame
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Times = NDArray[np.int64]
    Mask = NDArray[np.bool_]
    Codes = NDArray[np.int32]

NEVER = np.iinfo(np.int64).max
"""The last instant there is: an outcome that nobody may use."""
NO_TIME = np.iinfo(np.int64).min
"""Stands for a time that is missing or cannot be read (numpy's NaT)."""
MISSING_WORDS = frozenset({"", "na", "nan", "none", "null"})
"""What spreadsheets, R, pandas and SQL write into a cell without a value (compared in lower case)."""

_CHUNK = 256  # CSV records held at a time: few enough not to wake the garbage collector
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_NS_PER_UNIT = {"D": 86_400 * 10**9, "s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True, slots=True, eq=False)
class Names:
    """Text per row, stored once per distinct value."""

    values: tuple[str, ...]
    codes: Codes
    """Each row's index into `values`; -1 = none."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """One column as it was read: an array where the source has types, else a list of text or objects."""

    name: str
    values: list[Any] | NDArray[Any]

    def show(self, row: int) -> str:
        """The value of one row as text, shortened to what fits a message."""
        text = str(self.values[row])
        return text if len(text) <= 60 else f"{text[:59]}…"

    def say(self, row: int) -> str:
        """``"p is 1.3"``, or ``"p is missing"``.

        >>> Column("p", ["0.5", ""]).say(1)
        'p is missing'
        """
        return f"{self.name} is {'missing' if _is_missing(self.values[row]) else self.show(row)}"

    def numbers(self) -> tuple[Floats, Mask]:
        """Every value as a float, NaN where there is none, and a mask of the values that are no number.

        >>> Column("p", ["0.5", "", "high"]).numbers()
        (array([0.5, nan, nan]), array([False, False,  True]))
        """
        try:
            return _floats(self.values), np.zeros(len(self.values), dtype=np.bool_)
        except (TypeError, ValueError, OverflowError):
            return _read_each(self.values, float, np.full(len(self.values), np.nan))

    def times(self) -> tuple[Times, Mask]:
        """Every value as ns since the epoch, `NO_TIME` where there is none, and a mask of what is no time.

        A time is an ISO 8601 date or datetime (UTC unless it names a zone), a date or datetime object, or a
        whole number of ns.

        >>> Column("time", ["1970-01-02", "1970-01-01T00:00:01Z", "5", "soon"]).times()[0][:3]
        array([86400000000000,     1000000000,              5])
        """
        if isinstance(self.values, np.ndarray):
            return _array_times(self.values)
        distinct, position = _distinct(self.values)
        unreadable: Mask = np.zeros(len(distinct), dtype=np.bool_)
        try:
            times = _plain_times(distinct)
        except (AttributeError, ValueError):
            times, unreadable = _read_each(distinct, _nanoseconds, np.full(len(distinct), NO_TIME))
        return times[position], unreadable[position]

    def names(self) -> Names:
        """Every value as text without surrounding blanks.

        >>> Column("model", ["b", "a", " b", ""]).names()
        Names(values=('b', 'a'), codes=array([ 0,  1,  0, -1], dtype=int32))
        """
        distinct, position = _distinct(self.values)
        texts = ["" if value is None or value != value else str(value).strip() for value in distinct]
        index = {text: code for code, text in enumerate(dict.fromkeys(filter(None, texts)))}
        codes = np.array([index.get(text, -1) for text in texts], dtype=np.int32)
        return Names(tuple(index), codes[position])


@dataclass(frozen=True, slots=True, eq=False)
class RawTable:
    """Columns of equal length, where each row is in the source, and the rows whose shape is wrong."""

    columns: dict[str, Column]
    lines: NDArray[np.int64]
    place: str
    """What `lines` counts: ``"line"`` (of a CSV file) or ``"row"``."""
    malformed: dict[int, str] = field(default_factory=dict)
    """Row index -> what is wrong with it; such a row holds empty values."""


class Source(Protocol):
    """Something with named columns that may be loaded."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All column names, in order."""

    def load(self, wanted: Collection[str]) -> RawTable:
        """Read the wanted columns."""


def open_source(source: str | os.PathLike[str] | IntoDataFrame) -> Source:
    """Open a .csv, .csv.gz or .parquet file, or a pandas, polars or pyarrow frame.

    Raises `TableError` for a file that is missing, unreadable or of another kind, `TypeError` for any other
    object, and `ImportError` for Parquet without pyarrow.
    """
    if not isinstance(source, (str, os.PathLike)):
        return _FrameSource(source)
    path = pathlib.Path(source)
    if not path.is_file():
        raise TableError(f"{path}: no such file")
    if path.name.lower().endswith((".csv", ".csv.gz")):
        return _CsvSource(path)
    if path.name.lower().endswith(".parquet"):
        return _parquet(path)
    raise TableError(f"{path}: unknown kind of file; a table is a .csv, .csv.gz or .parquet file")


class _CsvSource:
    """A CSV file in UTF-8 with a header, read by the standard library."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        with self._reader() as reader:
            self.columns = tuple(name.strip() for name in next(filter(None, reader), []))

    def load(self, wanted: Collection[str]) -> RawTable:
        width = len(self.columns)
        columns: dict[str, list[str]] = {name: [] for name in self.columns if name in wanted}
        lines: list[int] = []
        malformed: dict[int, str] = {}
        with self._reader() as reader:
            next(filter(None, reader), None)
            before = reader.line_num
            while chunk := list(islice(reader, _CHUNK)):
                lines.extend(compress(_starts(chunk, before, reader.line_num), chunk))
                before = reader.line_num
                records = list(filter(None, chunk))  # a blank line is no record
                row = len(lines) - len(records)
                for i, fields in enumerate(map(len, records)):
                    if fields != width:
                        malformed[row + i] = f"the row has {fields} fields, the header has {width}"
                        records[i] = [""] * width
                for name, values in zip(self.columns, zip(*records, strict=True), strict=False):
                    if name in columns:
                        columns[name].extend(values)
        found = {name: Column(name, values) for name, values in columns.items()}
        return RawTable(found, np.array(lines, dtype=np.int64), "line", malformed)

    @contextmanager
    def _reader(self) -> Iterator[Any]:
        """The csv reader; what is wrong with the file becomes a `TableError`."""
        with self._open() as file:
            reader = csv.reader(file)
            try:
                yield reader
            except (csv.Error, UnicodeError, EOFError, zlib.error, gzip.BadGzipFile) as error:
                raise TableError(f"{self.path}: after line {reader.line_num}: {error}") from error

    def _open(self) -> TextIO:
        if self.path.suffix.lower() == ".gz":
            return cast("TextIO", gzip.open(self.path, "rt", encoding="utf-8-sig", newline=""))
        return self.path.open(encoding="utf-8-sig", newline="")


class _FrameSource:
    """A pandas, polars or pyarrow frame, through narwhals."""

    def __init__(self, frame: IntoDataFrame) -> None:
        import narwhals as nw

        try:
            self.frame = nw.from_native(frame, eager_only=True)
            self.columns = tuple(map(str, self.frame.columns))
        except TypeError:
            kind = type(frame).__name__
            raise TypeError(f"a table is a path or a pandas, polars or pyarrow frame, not {kind}") from None
        except nw.exceptions.DuplicateError as error:
            raise TableError(str(error)) from error

    def load(self, wanted: Collection[str]) -> RawTable:
        columns = {name: Column(name, _values(self.frame[name])) for name in self.columns if name in wanted}
        return RawTable(columns, np.arange(1, len(self.frame) + 1, dtype=np.int64), "row")


class _ParquetSource:
    """A Parquet file, of which only the wanted columns are read."""

    def __init__(self, file: Any) -> None:
        self.file = file
        self.columns = tuple(file.schema_arrow.names)

    def load(self, wanted: Collection[str]) -> RawTable:
        names = [name for name in self.columns if name in wanted]
        return _FrameSource(self.file.read(columns=names)).load(wanted)


def _starts(records: list[list[str]], before: int, after: int) -> Iterable[int]:
    """The line on which each record starts, if it all lies after line `before`, up to line `after`."""
    if after - before == len(records):
        return range(before + 1, after + 1)
    heights = (1 + sum(len(_LINE_BREAK.findall(field)) for field in record) for record in records)
    return accumulate(heights, initial=before + 1)


def _parquet(path: pathlib.Path) -> _ParquetSource:
    try:
        pyarrow, parquet = map(importlib.import_module, ("pyarrow", "pyarrow.parquet"))
    except ImportError as error:
        raise ImportError(f'{path}: Parquet needs pyarrow: pip install "fairlead[parquet]"') from error
    try:
        return _ParquetSource(parquet.ParquetFile(path))
    except pyarrow.ArrowInvalid as error:
        raise TableError(f"{path}: not a Parquet file: {error}") from error


def _values(series: Any) -> list[Any] | NDArray[Any]:
    """A narwhals series as an array if numpy has its type (missing: NaN, NaT), else as a list (None)."""
    import narwhals as nw

    dtype = series.dtype
    if dtype == nw.Datetime and dtype.time_zone is not None:
        series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    missing = series.is_null().to_numpy()
    whole = dtype.is_integer() or dtype == nw.Boolean
    if dtype.is_float() or dtype.is_temporal() or (whole and not missing.any()):
        array = np.asarray(series.to_numpy())
        if array.dtype.kind in "biufM":
            return array
    values = [None if gone else value for value, gone in zip(series.to_list(), missing, strict=True)]
    if dtype.is_nested() or dtype == nw.Object:
        return [value if isinstance(value, Hashable) else str(value) for value in values]
    return values


def _distinct(values: list[Any] | NDArray[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """The distinct values, and each row's index into them."""
    if isinstance(values, np.ndarray):
        distinct, position = np.unique(values, return_inverse=True)
        return list(distinct), position.reshape(-1)
    index = {value: code for code, value in enumerate(dict.fromkeys(values))}
    position = np.fromiter(map(index.__getitem__, values), dtype=np.intp, count=len(values))
    return list(index), position


def _read_each(
    values: list[Any] | NDArray[Any], read: Callable[[Any], float], into: NDArray[Any]
) -> tuple[NDArray[Any], Mask]:
    """Read value by value what is not plain throughout; where one is missing, `into` keeps what it holds."""
    unreadable = np.zeros(len(values), dtype=np.bool_)
    for row, value in enumerate(values):
        if not _is_missing(value):
            try:
                into[row] = read(value)
            except (TypeError, ValueError, OverflowError):
                unreadable[row] = True
    return into, unreadable


def _is_missing(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in MISSING_WORDS
    return value is None or bool(value != value)


def _floats(values: list[Any] | NDArray[Any]) -> Floats:
    """A whole column at once; raises TypeError, ValueError or OverflowError if any value is no number."""
    if isinstance(values, list):
        with suppress(ValueError):
            return np.array(values, dtype=np.float64)
        return np.array(["nan" if value == "" else value for value in values], dtype=np.float64)
    if values.dtype.kind == "M":
        raise TypeError("a time is no number")
    return values.astype(np.float64)


def _array_times(values: NDArray[Any]) -> tuple[Times, Mask]:
    """Times of a typed array: datetimes of any unit, or whole numbers of ns (floats if some are missing)."""
    missing = values != values
    if values.dtype.kind == "M":
        scale = _NS_PER_UNIT[np.datetime_data(values.dtype)[0]]
        ticks = values.astype(np.int64)
        unreadable = np.abs(ticks) >= NEVER // scale
        times = np.where(missing | unreadable, 0, ticks) * scale
    elif values.dtype.kind == "b":
        times, unreadable = np.zeros(len(values), dtype=np.int64), ~missing
    else:
        unreadable = ~((values >= NO_TIME + 1) & (values < NEVER) & (values % 1 == 0))
        times = np.where(unreadable, 0, values)
    unreadable &= ~missing
    return np.where(missing | unreadable, NO_TIME, times.astype(np.int64)), unreadable


def _plain_times(values: list[Any]) -> Times:
    """Text at once, if all of it is empty or ``YYYY-MM-DD[Thh:mm[:ss[.ffffff]]][Z]``; else raises
    AttributeError or ValueError, and the values must be read one by one."""
    plain = ["1970-01-01" if value == "" else value.removesuffix("Z") for value in values]
    if {text[4:8:3] for text in plain} != {"--"} or max(map(len, plain)) > len("1970-01-01T00:00:00.000000"):
        raise ValueError("not plain")
    if any(moment.tzinfo for moment in map(datetime.fromisoformat, plain)):
        raise ValueError("not all in UTC")
    microseconds = np.array(plain, dtype="datetime64[us]").astype(np.int64)
    if np.abs(microseconds).max() >= NEVER // 1_000:
        raise ValueError("beyond 64 bits")
    return np.where([value == "" for value in values], NO_TIME, microseconds * 1_000)


def _nanoseconds(value: Any) -> int:
    """Nanoseconds since the epoch; raises ValueError for what is no time, or one that 64 bits cannot hold."""
    ns = _parse_time(value.strip()) if isinstance(value, str) else _object_time(value)
    if not NO_TIME < ns < NEVER:
        raise ValueError("before 1678 or after 2262")
    return ns


def _object_time(value: Any) -> int:
    if isinstance(value, date):
        return datetime_ns(value)
    if isinstance(value, np.datetime64):
        return _object_time(value.astype("datetime64[us]").item())
    if isinstance(value, bool) or value % 1:
        raise ValueError("not a time")
    return int(value)


def _parse_time(text: str) -> int:
    """Digits are nanoseconds, anything else ISO 8601."""
    return int(text) if text.lstrip("+-").isdecimal() else iso_ns(text)
