"""What goes into a model and comes out of it, checked by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.types import KINDS, Kind, Record

_MOST_FEATURES = 1 << 20
_MOST_LABELS = 1 << 16


@dataclass(frozen=True, slots=True)
class Schema(Record):
    """What goes into a model, and what comes out of it.

    kind: `binary` (labels 0 and 1), `categorical` (one of `labels`) or `numeric`. features: the names of the columns,
    in order. text: the input is a text, and there are no features. missing: whether a column may lack a value (NaN;
    null in the journal). Raises InvalidRecordError naming the field and the value.

    >>> schema = Schema("categorical", features=("open", "close"), labels=("down", "flat", "up"))
    >>> schema.check_x([[1.0, 2.0]])
    array([[1., 2.]])
    >>> schema.check_y(["up", 0])
    array([2, 0])
    >>> Schema.from_json(schema.to_json()) == schema
    True
    """

    kind: Kind
    features: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    text: bool = False
    missing: bool = False

    if TYPE_CHECKING:

        def __init__(
            self,
            kind: Kind,
            features: Iterable[str] = (),
            labels: Iterable[str] = (),
            text: bool = False,
            missing: bool = False,
        ) -> None: ...

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InvalidRecordError(f"kind is {self.kind!r}, must be one of {', '.join(KINDS)}")
        self._set("features", _names(self.features, "features", _MOST_FEATURES))
        self._set("labels", _names(self.labels, "labels", _MOST_LABELS))
        for name in ("text", "missing"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidRecordError(f"{name} is {getattr(self, name)!r}, must be True or False")
        if self.text and (self.features or self.missing):
            raise InvalidRecordError(f"text is True, but features is {self.features!r} and missing is {self.missing}")
        if not self.text and not self.features:
            raise InvalidRecordError("features is empty: name the columns, or give text=True")
        if self.kind == "binary":
            if self.labels not in ((), ("0", "1")):
                raise InvalidRecordError(f'labels is {self.labels!r}, of a binary kind they are ("0", "1")')
            self._set("labels", ("0", "1"))
        elif self.kind == "categorical" and len(self.labels) < 2:
            raise InvalidRecordError(f"labels is {self.labels!r}, a categorical kind needs two or more")
        elif self.kind == "numeric" and self.labels:
            raise InvalidRecordError(f"labels is {self.labels!r}, but the kind is numeric")

    @property
    def classes(self) -> int:
        """How many there are; 0 of a numeric kind."""
        return len(self.labels)

    @property
    def width(self) -> int:
        """How many columns there are; 0 of texts."""
        return len(self.features)

    def check_x(self, x: Any) -> NDArray[np.float64] | list[str]:
        """Inputs as float64 of shape (n, features), or as a list of texts.

        x: rows of numbers (an array, sequences, mappings by name), a data frame that has these columns, or texts; None
        is a missing value. Raises InvalidRecordError naming the column and the value: for another width, an infinite
        value, a missing one unless `missing`.

        >>> Schema("binary", ["a", "b"]).check_x([[1, 2], {"b": 4, "a": 3}])
        array([[1., 2.],
               [3., 4.]])
        """
        if self.text:
            return _texts(x)
        array = self._rows(x)
        if array.ndim != 2 or array.shape[1] != self.width:
            hint = ": one example is [[...]]" if array.shape == (self.width,) else ""
            raise InvalidRecordError(
                f"x has shape {array.shape}, must be (n, {self.width}): {_some(self.features)}{hint}"
            )
        if not np.isfinite(array).all():
            bad = np.isinf(array) if self.missing else ~np.isfinite(array)
            if bad.any():
                row, column = np.argwhere(bad)[0].tolist()
                value = array[row, column]
                why = "must be finite" if np.isinf(value) else "but missing values are not allowed by the schema"
                raise InvalidRecordError(f"x[{row}], column {self.features[column]!r} is {value}, {why}")
        return array

    def check_y(self, y: Any) -> NDArray[np.int64] | NDArray[np.float64]:
        """Labels as int64 numbers of classes of shape (n,), or as float64 of a numeric kind.

        y: numbers of classes, or their names. Raises InvalidRecordError naming the place and the value.
        """
        if isinstance(y, np.ndarray) and y.ndim == 1 and y.dtype.kind in "iuf":
            values = y.astype(np.float64)
        else:
            if isinstance(y, (str, bytes)) or not isinstance(y, Iterable):
                raise InvalidRecordError(f"y is {y!r}, must be a sequence of labels")
            values = np.array([self._label(value, f"y[{i}]") for i, value in enumerate(y)], dtype=np.float64)
        good = np.isfinite(values)
        if self.kind != "numeric":
            good &= (values == np.floor(values)) & (values >= 0) & (values < self.classes)
        if not good.all():
            at = int(np.flatnonzero(~good)[0])
            raise InvalidRecordError(self._refusal(values[at], f"y[{at}]"))
        return values if self.kind == "numeric" else values.astype(np.int64)

    def check_label(self, y: Any, where: str = "y") -> int | float:
        """One label: the number of its class, or a float of a numeric kind. Raises InvalidRecordError."""
        value = self._label(y, where)
        if value - value != 0.0 or (self.kind != "numeric" and not (value == int(value) and 0 <= value < self.classes)):
            raise InvalidRecordError(self._refusal(value, where))
        return value if self.kind == "numeric" else int(value)

    def differences(self, other: Schema) -> tuple[str, ...]:
        """In which ways another schema is not this one, in words; empty: it is the same.

        >>> Schema("binary", ["a", "b"]).differences(Schema("binary", ["a", "c"]))
        ("features: 'b' is missing, 'c' is new",)
        """
        out = []
        if self.kind != other.kind:
            out.append(f"kind: {self.kind} became {other.kind}")
        if self.text != other.text:
            out.append("input: " + ("a text became columns" if self.text else "columns became a text"))
        elif self.features != other.features:
            out.append(f"features: {_changes(self.features, other.features)}")
        if self.kind == other.kind and self.labels != other.labels:
            out.append(f"labels: {_changes(self.labels, other.labels)}")
        if self.missing and not other.missing and not other.text:
            out.append("missing: values may be missing, but not in the other")
        elif other.missing and not self.missing and not self.text:
            out.append("missing: values may be missing in the other alone")
        return tuple(out)

    def __str__(self) -> str:
        comes = "a number" if self.kind == "numeric" else f"one of {_some(self.labels)}"
        goes = "a text" if self.text else f"{self.width} columns ({_some(self.features)})"
        return f"{goes} -> {comes}"

    def _rows(self, x: Any) -> NDArray[np.float64]:
        columns = getattr(x, "columns", None)
        if columns is not None and hasattr(x, "__getitem__"):  # pandas, polars
            lacking = [name for name in self.features if name not in list(columns)]
            if lacking:
                raise InvalidRecordError(
                    f"x lacks the column {lacking[0]!r}{did_you_mean(lacking[0], map(str, columns))}"
                )
            x = np.column_stack([np.asarray(x[name], dtype=np.float64) for name in self.features])
        if isinstance(x, (str, bytes, Mapping)) or not (hasattr(x, "__array__") or isinstance(x, Sequence)):
            raise InvalidRecordError(f"x is {_short(x)}, must be rows of {self.width} numbers: {_some(self.features)}")
        if not isinstance(x, np.ndarray):
            if not hasattr(x, "__array__"):
                x = [self._by_name(row, i) if isinstance(row, Mapping) else row for i, row in enumerate(x)]
            if len(x) == 0:
                return np.empty((0, self.width))
        try:
            array = np.array(x)
            if array.dtype.kind == "O" and any(isinstance(value, (str, bytes)) for value in array.flat):
                raise ValueError("there is a text in it")
            if array.dtype.kind not in "biufO":
                raise ValueError(f"it holds {array.dtype}")
            return array if array.dtype == np.float64 else array.astype(np.float64)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidRecordError(self._culprit(x, error)) from error

    def _by_name(self, row: Mapping[str, Any], at: int) -> list[Any]:
        for name in row:
            if name not in self.features:
                raise InvalidRecordError(f"x[{at}] has no column {name!r} here{did_you_mean(str(name), self.features)}")
        lacking = [name for name in self.features if name not in row]
        if lacking and not self.missing:
            raise InvalidRecordError(f"x[{at}] lacks the column {lacking[0]!r}")
        return [row.get(name) for name in self.features]

    def _culprit(self, x: Any, error: Exception) -> str:
        for i, row in enumerate(x):
            try:
                values = list(row)
            except TypeError:
                return f"x[{i}] is {_short(row)}, must be a row of {self.width} numbers"
            if len(values) != self.width:
                return f"x[{i}] has {len(values)} columns, must have {self.width}: {_some(self.features)}"
            for name, value in zip(self.features, values, strict=True):
                try:
                    good = value is None or (not isinstance(value, str) and isinstance(float(value), float))
                except (TypeError, ValueError, OverflowError):
                    good = False
                if not good:
                    return f"x[{i}], column {name!r} is {_short(value)}, must be a number"
        return f"x is {_short(x)}, must be rows of {self.width} numbers: {error}"

    def _label(self, y: Any, where: str) -> float:
        if isinstance(y, str):
            if self.kind == "numeric" or y not in self.labels:
                hint = did_you_mean(y, self.labels)
                raise InvalidRecordError(f"{where} is {y!r}, must be {self._wanted()}{hint}")
            return float(self.labels.index(y))
        try:
            return float(y)
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidRecordError(f"{where} is {_short(y)}, must be {self._wanted()}") from error

    def _wanted(self) -> str:
        return "a finite number" if self.kind == "numeric" else f"one of {_some(self.labels)}, or its number from 0"

    def _refusal(self, value: float, where: str) -> str:
        return f"{where} is {value:g}, must be {self._wanted()}"


def _texts(x: Any) -> list[str]:
    if isinstance(x, (str, bytes)) or not isinstance(x, Iterable):
        raise InvalidRecordError(f"x is {_short(x)}, must be a sequence of texts")
    texts = list(x)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InvalidRecordError(f"x[{i}] is {_short(text)}, must be a text")
    return [str(text) for text in texts]


def _names(given: Any, field: str, most: int) -> tuple[str, ...]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise InvalidRecordError(f"{field} is {given!r}, must be a sequence of strings")
    names = tuple(given)
    for i, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise InvalidRecordError(f"{field}[{i}] is {name!r}, must be a non-empty string")
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InvalidRecordError(f"{field} holds {twice!r} twice")
    if len(names) > most:
        raise InvalidRecordError(f"{field} has {len(names)} entries, may have {most}")
    return names


def _changes(before: tuple[str, ...], after: tuple[str, ...]) -> str:
    gone = [name for name in before if name not in set(after)]
    new = [name for name in after if name not in set(before)]
    if not gone and not new:
        return f"{_some(before)} are in another order: {_some(after)}"
    parts = []
    if gone:
        parts.append(f"{_quoted(gone)} {'is' if len(gone) == 1 else 'are'} missing")
    if new:
        parts.append(f"{_quoted(new)} {'is' if len(new) == 1 else 'are'} new")
    return ", ".join(parts)


def _quoted(names: Sequence[str], most: int = 5) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + rest


def _some(names: Sequence[str], most: int = 8) -> str:
    rest = f", ... ({len(names)})" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
