"""A reference fitted once: bins, counts and sorted samples of all features; saved, loaded, compared with many."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from fairlead._core import PsiTable
from fairlead.measure.drift import tables
from fairlead.measure.drift.distances import How, adjust, from_binned
from fairlead.measure.drift.features import Categorical, Feature, Numeric, restored
from fairlead.measure.drift.report import Correction, DriftReport, TestName

_MAGIC, _VERSION = b"FLDRIFT\n", 1
_HEAD = struct.Struct("<8sIQ")
_CHECK = struct.Struct("<I")

Bins = int | Sequence[float] | str


class Reference:
    """What live data are compared with. Made by `fit` or `load`; never changes.

    >>> from fairlead import drift
    >>> reference = drift.fit({"age": range(1000), "plan": ["basic", "plus"] * 500})
    >>> reference.features
    ('age', 'plan')
    >>> print(reference.compare({"age": range(1000), "plan": ["plus"] * 1000}).headline())
    1 of 2 features drifted (p-values of psi, Benjamini-Hochberg, alpha 0.05).
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._features = tuple(features)
        numeric = [f for f in self._features if isinstance(f, Numeric)]
        self._table = PsiTable([f.psi for f in numeric]) if len(numeric) == len(self._features) else None

    @property
    def features(self) -> tuple[str, ...]:
        """The names of the features."""
        return tuple(f.name for f in self._features)

    def __repr__(self) -> str:
        names = [*self.features[:5], *(["…"] if len(self._features) > 5 else [])]
        return f"Reference({len(self._features)} features: {', '.join(names)})"

    def bins(self, feature: str) -> tuple[str, ...]:
        """What the bins of a feature hold, in words; the last is that of missing values. Raises KeyError."""
        return self._feature(feature).labels

    def edges(self, feature: str) -> NDArray[np.float64]:
        """Inner edges of a numeric feature; bin i holds edge[i-1] < x <= edge[i]. Raises KeyError for another."""
        found = self._feature(feature)
        if not isinstance(found, Numeric):
            raise KeyError(f"{feature!r} is a feature of categories, which have no edges")
        return found.psi.edges

    def _feature(self, name: str) -> Feature:
        for feature in self._features:
            if feature.name == name:
                return feature
        raise KeyError(name)

    def psi(self, live: Any) -> dict[str, float]:
        """The index of each feature and nothing else: the quick answer, counted in one pass over an array.

        live: as for `compare`.

        >>> from fairlead import drift
        >>> drift.fit([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]], bins=2).psi([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]])
        {'x0': 0.0, 'x1': 0.0}
        """
        whole = tables.matrix(live)
        if whole is not None and self._table is not None:
            self._same_width(whole)
            return dict(zip(self.features, self._table.psi(whole).tolist(), strict=True))
        out = {}
        for feature, values in self._pairs(live):
            if isinstance(feature, Numeric):
                out[feature.name] = feature.psi.compare(values)
            else:
                out[feature.name] = from_binned(feature.reference, feature.count(values), optional=2).psi
        return out

    def compare(
        self, live: Any, *, test: TestName = "psi", correction: Correction = "bh", alpha: float = 0.05
    ) -> DriftReport:
        """Every statistic of every feature, and which features drifted.

        Args:
            live: A data frame, a mapping of columns, or an array of shape (n,) or (n, features). Columns that the
                reference does not have are left out.
            test: Whose p-value decides: 'psi', 'chi2', 'ks' or 'cramer_von_mises'; the last two fall back to chi-square
                for categories, and for a column of nothing but missing values.
            correction: For the number of features: 'bh', 'by' or 'none'; see `adjust`.
            alpha: The false discovery rate to put up with, in (0, 1).

        Raises:
            ValueError: A feature is missing, empty or of another length; an argument out of range.
            TypeError: What is given is no table; a numeric feature holds no numbers.
        """
        if test not in get_args(TestName):
            raise ValueError(f"test is {test!r}, must be one of {', '.join(get_args(TestName))}")
        if correction not in get_args(Correction):
            raise ValueError(f"correction is {correction!r}, must be one of {', '.join(get_args(Correction))}")
        if not 0.0 < alpha < 1.0:
            raise ValueError(f"alpha is {alpha!r}, outside (0, 1)")
        rows = [feature.compare(values) for feature, values in self._pairs(live)]
        p_values = [row.p_of(test) for row in rows]
        adjusted = adjust(p_values, correction).tolist()
        return DriftReport(
            tuple(
                replace(row, p_value=p, p_adjusted=q, drifted=bool(q < alpha))
                for row, p, q in zip(rows, p_values, adjusted, strict=True)
            ),
            test,
            correction,
            alpha,
        )

    def compare_many(
        self,
        live: Iterable[Any] | Mapping[str, Any],
        *,
        test: TestName = "psi",
        correction: Correction = "bh",
        alpha: float = 0.05,
    ) -> dict[Any, DriftReport]:
        """A report for each of several tables, by its key in a mapping or its place in a list, each corrected alone.

        >>> from fairlead import drift
        >>> reports = drift.fit(range(1000)).compare_many({"mon": range(1000), "tue": range(500, 1500)})
        >>> {day: report.drifted for day, report in reports.items()}
        {'mon': (), 'tue': ('x0',)}
        """
        if tables.is_frame(live):
            raise TypeError(
                f"live is one {type(live).__name__}, must be a list or a mapping of tables; for one there is compare"
            )
        pairs = live.items() if isinstance(live, Mapping) else enumerate(live)
        return {key: self.compare(data, test=test, correction=correction, alpha=alpha) for key, data in pairs}

    def _pairs(self, live: Any) -> list[tuple[Feature, NDArray[Any]]]:
        named = isinstance(live, Mapping) or hasattr(live, "columns")
        if not named:
            array = np.asarray(live)
            if array.ndim in (1, 2):
                self._same_width(array if array.ndim == 2 else array[:, None])
        found = tables.columns_of(live, "live", names=self.features, wanted=self.features)
        return [(feature, feature.check(found[feature.name])) for feature in self._features]

    def _same_width(self, array: NDArray[Any]) -> None:
        if array.shape[1] != len(self._features):
            raise ValueError(f"live has {array.shape[1]} columns, the reference has {len(self._features)}")

    def to_bytes(self) -> bytes:
        """All of it as bytes: a version, a header of JSON, the sorted samples as float64, a checksum."""
        head = json.dumps([f.head() for f in self._features], ensure_ascii=False).encode()
        samples = [f.sample.values.astype("<f8").tobytes() for f in self._features if isinstance(f, Numeric)]
        body = b"".join([_HEAD.pack(_MAGIC, _VERSION, len(head)), head, *samples])
        return body + _CHECK.pack(zlib.crc32(body))

    @classmethod
    def from_bytes(cls, data: bytes) -> Reference:
        """The reference that `to_bytes` gave. Raises ValueError for bytes that are none, or were damaged."""
        refused = ValueError("these bytes are no saved drift reference of this version, or were damaged")
        if len(data) < _HEAD.size + _CHECK.size or _CHECK.unpack(data[-_CHECK.size :])[0] != zlib.crc32(
            data[: -_CHECK.size]
        ):
            raise refused
        magic, version, length = _HEAD.unpack_from(data)
        if magic != _MAGIC or version != _VERSION:
            raise refused
        place, end, features = _HEAD.size + length, len(data) - _CHECK.size, []
        try:
            for head in json.loads(data[_HEAD.size : place]):
                size = 8 * int(head.get("numbers", 0))
                if not 0 <= size <= end - place:
                    raise refused
                features.append(restored(head, np.frombuffer(data[place : place + size], dtype="<f8")))
                place += size
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError, RecursionError) as error:
            raise refused from error
        if place != end:
            raise refused
        return cls(features)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_bytes` to a file. Raises OSError where it cannot be written."""
        Path(path).write_bytes(self.to_bytes())

    def __reduce__(self) -> tuple[Any, ...]:
        return Reference.from_bytes, (self.to_bytes(),)


def fit(
    reference: Any,
    *,
    bins: Bins | Mapping[str, Bins] = 10,
    how: How = "quantile",
    columns: Sequence[str] | None = None,
    max_categories: int = 50,
) -> Reference:
    """Fit bins to the data that are expected, once.

    Args:
        reference: A data frame (pandas, polars, pyarrow, ...), a mapping of columns, or an array of shape (n,) or (n,
            features). Numbers are binned; booleans and anything else are categories.
        bins: For numbers: how many bins (2 to 255), or inner edges in ascending order; 'categories' takes each number
            for a category. A mapping says so by feature; those it does not name have 10, and it may name features of
            numbers only.
        how: 'quantile' for bins of equal count, 'width' for bins of equal width between the finite extremes. Outer
            edges are infinite, equal edges are merged, bin i holds edge[i-1] < x <= edge[i], NaN has a bin of its own.
        columns: The features to take from a table; of an array, their names.
        max_categories: The most frequent categories have a bin each; the others, and those that only live data have,
            share the bin 'other'; None and NaN have the bin 'missing'.

    Raises:
        ValueError: An argument out of range, a column that is missing, empty, or without a number or category.
        TypeError: What is given is no table.

    >>> from fairlead import drift
    >>> reference = drift.fit({"age": [30, 40, 50, 60], "plan": ["a", "b", "b", None]}, bins={"age": [40]})
    >>> reference.bins("age"), reference.bins("plan")
    (('up to 40', 'above 40', 'missing'), ('b', 'a', 'other', 'missing'))
    """
    if how not in get_args(How):
        raise ValueError(f"how is {how!r}, must be 'quantile' or 'width'")
    if not 1 <= max_categories <= 10_000:
        raise ValueError(f"max_categories is {max_categories}, outside [1, 10000]")
    named = isinstance(reference, Mapping) or hasattr(reference, "columns")
    found = tables.columns_of(reference, "reference", names=None if named else columns, wanted=columns)
    for name in bins if isinstance(bins, Mapping) else ():
        if name not in found:
            raise ValueError(f"bins names {name!r}, which is no feature; there are {', '.join(map(repr, found))}")
    features: list[Feature] = []
    for name, values in found.items():
        own = bins.get(name, 10) if isinstance(bins, Mapping) else bins
        if isinstance(own, str) and own != "categories":
            raise ValueError(f"bins of {name!r} is {own!r}, must be a number of bins, edges or 'categories'")
        if isinstance(bins, Mapping) and name in bins and own != "categories" and not tables.is_numeric(values):
            raise ValueError(
                f"bins of {name!r} is {own!r}, but reference[{name!r}] holds categories (dtype {values.dtype}), which "
                "have a bin each; see max_categories"
            )
        if isinstance(own, str) or not tables.is_numeric(values):
            features.append(Categorical.fit(name, values, max_categories))
        else:
            features.append(Numeric.fit(name, values, own, how))
    return Reference(features)


def load(path: str | os.PathLike[str]) -> Reference:
    """A reference that `Reference.save` wrote. Raises OSError, or ValueError for a file that is none or was damaged.

    >>> import tempfile
    >>> from fairlead import drift
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     drift.fit({"age": range(1000)}).save(f"{folder}/reference.drift")
    ...     drift.load(f"{folder}/reference.drift")
    Reference(1 features: age)
    """
    return Reference.from_bytes(Path(path).read_bytes())


def compare(reference: Any, live: Any, **options: Any) -> DriftReport:
    """`fit(reference).compare(live)` for those who compare but once; options are those of both.

    >>> from fairlead import drift
    >>> drift.compare(range(1000), range(1000)).drifted
    ()
    """
    fitting = {key: options.pop(key) for key in ("bins", "how", "columns", "max_categories") if key in options}
    return fit(reference, **fitting).compare(live, **options)
