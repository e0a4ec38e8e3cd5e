"""Columns of player names, in any of the forms in which people have them, as int32 ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]


def _refuse_nulls(name: str, rows: Any) -> None:
    """`rows`: where the column is null."""
    at = np.flatnonzero(np.asarray(rows))
    if len(at):
        raise ValueError(f"{name} is null at row {at[0]}: every match needs two players")


def _dictionary(column: Any, name: str) -> tuple[Any, list[Any]] | None:
    """Codes and categories of a dictionary-encoded column (pandas, polars, pyarrow), None for anything else."""
    library = type(column).__module__.partition(".")[0]
    if library == "pandas":
        values = getattr(column, "array", column)  # of a Series or an Index; a Categorical is its own
        if not hasattr(values, "categories"):
            return None
        codes = np.asarray(values.codes)
        _refuse_nulls(name, codes < 0)
        return codes, list(values.categories)
    if library == "polars" and str(column.dtype).startswith(("Categorical", "Enum")):
        _refuse_nulls(name, column.is_null().to_numpy())
        # Physical codes may be of a dictionary that all columns share: only those that occur count.
        distinct = column.unique().drop_nulls()
        physical = distinct.to_physical().to_numpy()
        order = np.argsort(physical)
        names = distinct.to_list()
        return np.searchsorted(physical[order], column.to_physical().to_numpy()), [names[k] for k in order]
    if library == "pyarrow":
        if hasattr(column, "combine_chunks") and hasattr(column, "chunks"):
            column = column.unify_dictionaries() if hasattr(column.type, "value_type") else column
            column = column.combine_chunks()
        if not hasattr(column, "dictionary"):
            if column.type not in ("string", "large_string", "string_view"):
                return None
            column = column.dictionary_encode()
        _refuse_nulls(name, column.is_null().to_numpy(zero_copy_only=False))
        return column.indices.to_numpy(zero_copy_only=False), column.dictionary.to_pylist()
    return None


def _objects(column: Any, name: str) -> list[Any]:
    """A column as a list, where it is one of names; raises TypeError where it is neither names nor numbers."""
    if isinstance(column, str):
        raise TypeError(f"{name} is one str, must be a column of names or ids")
    if hasattr(column, "to_list"):  # pandas, polars
        return list(column.to_list())
    return list(column.tolist() if hasattr(column, "tolist") else column)


_NAMES = ("categor", "enum", "str", "large_string", "object", "<u", "dictionary")


def _numeric(column: Any) -> NDArray[Any] | None:
    """The column as an array of integers, or None where it holds names."""
    if isinstance(column, (list, tuple)):
        numbers = len(column) == 0 or (isinstance(column[0], (int, np.integer)) and not isinstance(column[0], bool))
        return np.asarray(column) if numbers else None
    dtype = getattr(column, "dtype", None) or getattr(column, "type", None)  # pyarrow says type
    if dtype is None or not hasattr(column, "__array__") or str(dtype).lower().startswith(_NAMES):
        return None
    return np.asarray(column)


def players(i: Any, j: Any) -> tuple[Any, Any, list[Any] | None]:
    """Two columns of players as ids, and the name of each id (None where the columns hold ids themselves).

    Names may come as lists, numpy arrays, or columns of pandas, polars or pyarrow, dictionary-encoded or not. Ids are
    given in the order of the categories, else of first appearance in i, then in j. Raises ValueError for a null,
    TypeError for a column of something else.

    >>> players(["a", "b"], ["c", "a"])
    (array([0, 1], dtype=int32), array([2, 0], dtype=int32), ['a', 'b', 'c'])
    """
    encoded = [_dictionary(column, name) for column, name in ((i, "i"), (j, "j"))]
    if all(side is None for side in encoded):
        first, second = _numeric(i), _numeric(j)
        if first is not None and second is not None:
            return first, second, None
    index: dict[Any, int] = {}
    out = []
    for column, name, side in zip((i, j), ("i", "j"), encoded, strict=True):
        if side is not None:
            codes, categories = side
            place = [index.setdefault(category, len(index)) for category in categories]
            same = place == list(range(len(place)))
            out.append(codes.astype(np.int32) if same else np.array(place, dtype=np.int32)[codes])
            continue
        names = _objects(column, name)
        for label in dict.fromkeys(names):
            if not isinstance(label, str):
                raise TypeError(f"{name} holds {label!r}, must be names (str) or ids (int), the same in i and j")
            index.setdefault(label, len(index))
        out.append(np.fromiter(map(index.__getitem__, names), np.int32, len(names)))
    return out[0], out[1], list(index)
