"""Columns of whatever table a user has: arrays, mappings of arrays, data frames of any kind that narwhals knows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
"""Numbers as float64 or float32 with NaN for missing; anything else as objects with None for missing."""


def matrix(data: Any) -> NDArray[np.float64] | None:
    """The data itself, uncopied, where they are a two-dimensional array of float64."""
    good = isinstance(data, np.ndarray) and data.ndim == 2 and data.dtype == np.float64
    return data if good else None


def columns_of(
    data: Any, argument: str, names: Sequence[str] | None = None, wanted: Sequence[str] | None = None
) -> Columns:
    """The columns by name. An array of shape (n,) or (n, features) has those of ``names``, else x0, x1, ...

    wanted: the columns to take, from tables that may have more.

    Raises:
        TypeError: What is given is no table.
        ValueError: A column is missing, empty, or shorter than another.
    """
    found = (
        _mapping(data, argument, wanted)
        if is_frame(data) or isinstance(data, Mapping)
        else _array(data, argument, names)
    )
    if wanted is not None:
        found = {name: found[name] for name in wanted}
    if not found:
        raise ValueError(f"{argument} has no columns")
    first = next(iter(found))
    for name, column in found.items():
        if len(column) != len(found[first]):
            raise ValueError(
                f"{argument}[{name!r}] has length {len(column)}, {argument}[{first!r}] has {len(found[first])}"
            )
        if len(column) == 0:
            raise ValueError(f"{argument} is empty")
    return found


def is_frame(data: Any) -> bool:
    """Whether this has columns as a data frame has."""
    return not isinstance(data, (np.ndarray, Mapping, Sequence)) and hasattr(data, "columns")


def _array(data: Any, argument: str, names: Sequence[str] | None) -> Columns:
    array = np.asarray(data)
    if array.ndim not in (1, 2) or array.dtype.kind not in "biufUSO":
        raise TypeError(
            f"{argument} is {type(data).__name__} of shape {array.shape} and dtype {array.dtype}, must be a data "
            "frame, a mapping of columns, or an array of shape (n,) or (n, features)"
        )
    if array.ndim == 1:
        array = array[:, None]
    given = [f"x{i}" for i in range(array.shape[1])] if names is None else list(names)
    if len(given) != array.shape[1] or len(set(given)) != len(given):
        raise ValueError(
            f"names is {given}, must be {array.shape[1]} different names, one for each column of {argument}"
        )
    return {name: column(array[:, i], f"{argument}[:, {i}]") for i, name in enumerate(given)}


def _mapping(data: Any, argument: str, wanted: Sequence[str] | None) -> Columns:
    if isinstance(data, Mapping):
        names = _names(list(data), argument, wanted)
        return {text: column(data[name], f"{argument}[{text!r}]") for text, name in names.items()}
    import narwhals as nw

    try:
        frame = nw.from_native(data, eager_only=True)
    except nw.exceptions.DuplicateError:
        given = [str(name) for name in getattr(data, "column_names", data.columns)]
        twice = next(name for name in given if given.count(name) > 1)
        raise ValueError(f"{argument} has two columns named {twice!r}") from None
    except TypeError as error:
        raise TypeError(
            f"{argument} is {type(data).__name__}, which is no data frame that narwhals knows: {error}"
        ) from None
    names = _names(list(frame.columns), argument, wanted)
    return {text: _series(frame.get_column(name), f"{argument}[{text!r}]") for text, name in names.items()}


def _names(given: list[Any], argument: str, wanted: Sequence[str] | None) -> dict[str, Any]:
    """The columns' names as text, which is what features go by: a data frame may have numbers for names."""
    chosen = None if wanted is None else set(wanted)
    names: dict[str, Any] = {}
    for name in given:
        if chosen is not None and str(name) not in chosen:
            continue
        if str(name) in names:
            raise ValueError(f"{argument} has two columns named {str(name)!r}")
        names[str(name)] = name
    for name in wanted or ():
        if name not in names:
            there = [repr(str(other)) for other in given[:20]] + (["…"] if len(given) > 20 else [])
            raise ValueError(f"{argument} has no column {name!r}; it has {', '.join(there) or 'none'}")
    return names


def _series(series: Any, where: str) -> NDArray[Any]:
    if series.dtype.is_numeric():
        if series.null_count():
            import narwhals as nw

            series = series.cast(nw.Float64).fill_null(float("nan"))
        return column(series.to_numpy(), where)
    if series.dtype.is_temporal():
        raise TypeError(
            f"{where} has dtype {series.dtype}, must be numbers or categories; leave it out with columns=[...]"
        )
    return np.array(series.to_list(), dtype=object)


def column(values: Any, where: str) -> NDArray[Any]:
    """One column: numbers stay numbers, all else becomes objects."""
    array = (
        values
        if isinstance(values, np.ndarray)
        else np.asarray(list(values) if not hasattr(values, "__array__") else values)
    )
    if array.ndim != 1:
        raise ValueError(f"{where} has shape {array.shape}, must have 1 dimension")
    if array.dtype.kind in "iu":
        return array.astype(np.float64)
    if array.dtype.kind == "f":
        return array if array.dtype in (np.float32, np.float64) else array.astype(np.float64)
    if array.dtype.kind in "bUS":
        return array
    if array.dtype.kind != "O":
        raise TypeError(
            f"{where} has dtype {array.dtype}, must be numbers or categories; leave it out with columns=[...]"
        )
    some = [x for x in array.tolist() if x is not None]
    if some and all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in some):
        return np.array([np.nan if x is None else x for x in array.tolist()], dtype=np.float64)
    return array


def nothing_known(values: NDArray[Any]) -> bool:
    """Whether a column holds missing values alone, so that it may stand for one of numbers."""
    return values.dtype.kind == "O" and all(_is_missing(x) for x in values.tolist())


def is_numeric(values: NDArray[Any]) -> bool:
    """Whether a column is one of numbers."""
    return bool(values.dtype.kind == "f")


def tally(values: NDArray[Any]) -> tuple[Counter[str], int]:
    """How often each category came, as text, and how many are missing (None, NaN and their like)."""
    if values.dtype.kind in "bUS":
        kinds, times = np.unique(values, return_counts=True)
        return Counter(dict(zip((text(kind) for kind in kinds.tolist()), times.tolist(), strict=True))), 0
    found: Counter[str] = Counter()
    missing = 0
    for kind, n in Counter(values.tolist()).items():
        if _is_missing(kind):
            missing += n
        else:
            found[text(kind)] += n
    return found, missing


def text(kind: Any) -> str:
    """A category as text: 3.0 and 3 are the same one."""
    if isinstance(kind, bytes):
        return kind.decode(errors="replace")
    if isinstance(kind, float) and kind.is_integer():
        return str(int(kind))
    return str(kind)


def _is_missing(kind: Any) -> bool:
    try:
        return kind is None or bool(kind != kind)
    except (TypeError, ValueError):  # pandas.NA is neither true nor false
        return True
