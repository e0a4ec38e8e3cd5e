"""One fitted feature: bins, reference counts and, for numbers, the sorted reference sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead._core import Psi, SortedSample
from fairlead.measure.drift import distances
from fairlead.measure.drift.distances import Counts, How, fit_psi
from fairlead.measure.drift.report import FeatureDrift
from fairlead.measure.drift.tables import is_numeric, nothing_known, tally

OTHER, MISSING = "other", "missing"


@dataclass(frozen=True, slots=True)
class Numeric:
    """A feature of numbers. The last bin is that of NaN."""

    name: str
    psi: Psi
    sample: SortedSample

    @classmethod
    def fit(cls, name: str, values: NDArray[Any], bins: int | Sequence[float], how: How) -> Numeric:
        """From the reference's values."""
        sample = SortedSample(values)
        if not len(sample):
            raise ValueError(f"reference[{name!r}] holds no number")
        where = f"reference[{name!r}]"
        try:
            return cls(name, fit_psi(values, bins, how, where), sample)
        except (TypeError, ValueError) as error:
            said = str(error)
            raise type(error)(said if said.startswith(where) else f"bins of {name!r}: {said}") from None

    @property
    def labels(self) -> tuple[str, ...]:
        """What the bins hold, in words."""
        edges = edge_texts(self.psi.edges.tolist())
        inner = [f"{low} to {high}" for low, high in pairwise(edges)]
        return (f"up to {edges[0]}", *inner, f"above {edges[-1]}", MISSING)

    def check(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values, which must be numbers; a column of nothing but missing values is one of NaN."""
        if nothing_known(values):
            return np.full(len(values), np.nan)
        if not is_numeric(values):
            raise TypeError(f"live[{self.name!r}] has dtype {values.dtype}, the reference's are numbers")
        return values

    def compare(self, values: NDArray[Any]) -> FeatureDrift:
        """All statistics of a live sample."""
        found = {key: math.nan if math.isnan(x) else x for key, x in self.sample.distances(values).items()}
        return measured(self.name, "numeric", self.labels, self.psi.reference, self.psi.count(values), 1, **found)

    def head(self) -> dict[str, Any]:
        """What JSON can hold; the sorted sample is saved apart."""
        return {
            "name": self.name,
            "kind": "numeric",
            "edges": [edge.hex() for edge in self.psi.edges.tolist()],
            "counts": self.psi.reference.tolist(),
            "numbers": len(self.sample),
        }


@dataclass(frozen=True, slots=True)
class Categorical:
    """A feature of categories, the most frequent first; then those that are none of them, then what is missing."""

    name: str
    levels: tuple[str, ...]
    reference: Counts
    sets: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sets", frozenset(self.levels))

    @classmethod
    def fit(cls, name: str, values: NDArray[Any], most: int) -> Categorical:
        """From the reference's values; only the ``most`` frequent categories have a bin of their own."""
        found, _ = tally(values)
        levels = tuple(level for level, _ in sorted(found.items(), key=lambda item: (-item[1], item[0]))[:most])
        if not levels:
            raise ValueError(f"reference[{name!r}] holds no category")
        blank = cls(name, levels, np.zeros(len(levels) + 2, dtype=np.uint64))
        return cls(name, levels, blank.count(values))

    @property
    def labels(self) -> tuple[str, ...]:
        """The categories, 'other' and 'missing'."""
        return (*self.levels, OTHER, MISSING)

    def check(self, values: NDArray[Any]) -> NDArray[Any]:
        """The values: any can be compared with this."""
        return values

    def count(self, values: NDArray[Any]) -> Counts:
        """How many of a sample are in each bin."""
        found, missing = tally(values)
        other = sum(n for level, n in found.items() if level not in self.sets)
        return np.array([*(found[level] for level in self.levels), other, missing], dtype=np.uint64)

    def compare(self, values: NDArray[Any]) -> FeatureDrift:
        """All statistics of a live sample."""
        return measured(self.name, "categorical", self.labels, self.reference, self.count(values), 2)

    def head(self) -> dict[str, Any]:
        """What JSON can hold, which is all of it."""
        return {
            "name": self.name,
            "kind": "categorical",
            "levels": list(self.levels),
            "counts": self.reference.tolist(),
        }


def edge_text(edge: float, digits: int = 4) -> str:
    """An edge in four figures or more, large ones with their thousands marked.

    >>> edge_text(0.12345), edge_text(28691.2), edge_text(-3e9)
    ('0.1235', '28,691', '-3e+09')
    """
    return f"{edge:,.0f}" if 1e4 <= abs(edge) < 1e7 and digits < 8 else f"{edge:,.{digits}g}"


def edge_texts(edges: Sequence[float]) -> list[str]:
    """All edges of a feature, in as many figures as tell them apart; four where they are as good as equal.

    >>> edge_texts([1.5, 20.0]), edge_texts([1700000100.0, 1700000200.0])
    (['1.5', '20'], ['1,700,000,100', '1,700,000,200'])
    """
    for digits in (4, 5, 6, 7, 10, 13):
        # In fewer than ten, numbers that large would have exponents.
        texts = [edge_text(edge, digits if digits < 5 or abs(edge) < 1e4 else max(digits, 10)) for edge in edges]
        if len(set(texts)) == len(edges):
            return texts
    return [edge_text(edge) for edge in edges]


Feature = Numeric | Categorical


def restored(head: dict[str, Any], sample: NDArray[np.float64]) -> Feature:
    """The feature that gave this head. Raises ValueError, KeyError or TypeError where none can have."""
    counts = np.array(head["counts"], dtype=np.uint64)
    if head["kind"] == "numeric":
        psi = Psi.from_counts([float.fromhex(edge) for edge in head["edges"]], counts)
        return Numeric(head["name"], psi, SortedSample(sample))
    if head["kind"] != "categorical" or len(counts) != len(head["levels"]) + 2:
        raise ValueError("no such feature")
    return Categorical(head["name"], tuple(head["levels"]), counts)


def measured(
    name: str, kind: str, labels: tuple[str, ...], before: Counts, now: Counts, optional: int, **numeric: float
) -> FeatureDrift:
    """The statistics that need counts alone, beside those of the samples."""
    index = distances.from_binned(before, now, optional)
    if not (before.sum() and now.sum()):
        raise ValueError(f"live[{name!r}] is empty")
    chi2 = distances.chi_square(before, now)
    shown = before + now > 0 if optional else np.ones(len(before), dtype=bool)
    shown[: len(shown) - optional] = True
    pick = np.flatnonzero(shown).tolist()
    return FeatureDrift(
        feature=name,
        kind=kind,
        n_reference=index.n_reference,
        n_live=index.n_live,
        missing_reference=float(before[-1]) / index.n_reference,
        missing_live=float(now[-1]) / index.n_live,
        psi=index.psi,
        psi_corrected=index.corrected,
        psi_p=index.p_value,
        level=index.level,
        chi2=chi2.statistic,
        chi2_p=chi2.p_value,
        jensen_shannon=distances.jensen_shannon(before, now),
        hellinger=distances.hellinger(before, now),
        ks=numeric.get("ks", math.nan),
        ks_p=numeric.get("ks_p", math.nan),
        ks_at=numeric.get("ks_at", math.nan),
        wasserstein=numeric.get("wasserstein", math.nan),
        cramer_von_mises=numeric.get("cramer_von_mises", math.nan),
        cramer_von_mises_p=numeric.get("cramer_von_mises_p", math.nan),
        bins=tuple(labels[i] for i in pick),
        reference_counts=tuple(int(before[i]) for i in pick),
        live_counts=tuple(int(now[i]) for i in pick),
        contributions=tuple(index.contributions[i] for i in pick),
    )
