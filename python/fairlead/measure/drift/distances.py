"""Single comparisons of two samples, of counts or of codes; corrections for many tests.

The kernels: `cpp/src/drift.cpp`, `cpp/src/sample.cpp` and `cpp/src/tails.cpp`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead._core import Psi, SortedSample, chi2_tail, psi_terms
from fairlead.measure.drift.tables import column

Counts = NDArray[np.uint64]
How = Literal["quantile", "width"]
Level = Literal["stable", "moderate", "major"]

_MOST = 2**53  # of a count: beyond, doubles skip whole numbers, and sums of some bins would not fit
MODERATE, MAJOR = 0.1, 0.25  # the usual reading of PSI (Siddiqi 2006)


@dataclass(frozen=True, slots=True)
class Test:
    """A statistic and the probability of one as large if both samples came from the same distribution."""

    __test__ = False  # not a class of tests, though pytest would think so
    statistic: float
    p_value: float

    def as_dict(self) -> dict[str, float]:
        """Statistic and p-value by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class PsiResult:
    """A population stability index with what chance alone would give, and each bin's part of it.

    psi: the index. corrected: less its expectation without drift, (1/N + 1/M)(B - 1) for N and M values in B bins that
    hold any; may be negative. p_value: of psi / (1/N + 1/M) as chi-square of B - 1 degrees of freedom; an approximation
    that wants some five values a bin. level: 'stable' below .1, 'moderate' below .25, else 'major', whatever the sizes.
    contributions: each bin's part. n_reference, n_live: the sizes.

    >>> from fairlead import drift
    >>> print(drift.psi_from_counts([50, 30, 20], [40, 30, 30]))
    PSI 0.061, corrected 0.021, p = 0.2183, stable
    """

    psi: float
    corrected: float
    p_value: float
    level: Level
    contributions: tuple[float, ...]
    n_reference: int
    n_live: int

    def __str__(self) -> str:
        p = p_text(self.p_value)
        said = f"p {p}" if p.startswith("<") else f"p = {p}"
        return f"PSI {self.psi:.3f}, corrected {self.corrected:.3f}, {said}, {self.level}"

    def as_dict(self) -> dict[str, Any]:
        """All of it by name."""
        return asdict(self)


def level_of(psi: float) -> Level:
    """What the fixed thresholds .1 and .25 call an index.

    >>> level_of(0.05), level_of(0.1), level_of(0.3)
    ('stable', 'moderate', 'major')
    """
    return "stable" if psi < MODERATE else "moderate" if psi < MAJOR else "major"


def p_text(p: float) -> str:
    """A p-value in four places, or how small it is.

    >>> p_text(0.0312), p_text(3.2e-9), p_text(float("nan"))
    ('0.0312', '3e-09', '-')
    """
    return "-" if math.isnan(p) else f"{p:.4f}" if p >= 5e-4 else "<1e-99" if p < 1e-99 else f"{p:.0e}"


def numbers(values: ArrayLike, name: str) -> NDArray[Any]:
    """A one-dimensional array of numbers: float32 as it is, all else as float64; None is NaN."""
    array = np.asarray(values)
    if array.ndim == 1 and array.dtype.kind == "O":
        array = column(array, name)
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, must have 1 dimension")
    if array.size and array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, must be real numbers")
    return np.ascontiguousarray(array, dtype=None if array.dtype == np.float32 else np.float64)


def counts(values: ArrayLike, name: str) -> Counts:
    """Counts: whole numbers of at least 0."""
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"{name} has shape {array.shape}, must have 1 dimension and a bin at least")
    if array.dtype.kind == "f" and not bool(np.all(array == np.floor(array))):
        raise ValueError(f"{name} holds {array[array != np.floor(array)][0]}, must be whole numbers")
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}, must be whole numbers")
    if bool(np.any(array < 0)):
        raise ValueError(f"{name} holds {array.min()}, must be at least 0")
    if bool(np.any(array > _MOST)):
        raise ValueError(f"{name} holds {array.max()}, must be at most {_MOST}")
    return array.astype(np.uint64)


def _pair(reference: ArrayLike, live: ArrayLike) -> tuple[Counts, Counts]:
    before, now = counts(reference, "reference"), counts(live, "live")
    if before.shape != now.shape:
        raise ValueError(f"live has length {len(now)}, reference has {len(before)}")
    for name, side in (("reference", before), ("live", now)):
        if not side.sum():
            raise ValueError(f"{name} counts nothing")
    return before, now


def fit_psi(values: NDArray[Any], bins: int | ArrayLike, how: How, name: str) -> Psi:
    """Bins and reference counts of one numeric feature."""
    if not isinstance(bins, (int, np.integer)) or isinstance(bins, bool):
        return Psi.from_edges(bins, values)
    if how == "quantile":
        return Psi(values, int(bins))
    if how != "width":
        raise ValueError(f"how is {how!r}, must be 'quantile' or 'width'")
    if not 2 <= bins <= 255:
        raise ValueError(f"bins is {bins}, outside [2, 255]")
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise ValueError(f"{name} holds no finite number to fit bins to")
    low, high = float(finite.min()), float(finite.max())
    if not math.isfinite(high - low):
        raise ValueError(f"{name} holds {low} and {high}, too far apart for bins of equal width")
    edges = np.linspace(low, high, int(bins) + 1)[1:-1] if high > low else np.array([np.nextafter(low, -np.inf), low])
    return Psi.from_edges(np.unique(edges), values)


def psi(reference: ArrayLike, live: ArrayLike, *, bins: int | ArrayLike = 10, how: How = "quantile") -> PsiResult:
    """Population stability index of two samples of numbers, of shapes (n,) and (m,).

    Args:
        reference: What is expected. The bins are fitted to it alone, so no outlier of the live sample widens them.
        live: What came.
        bins: How many (2 to 255), or inner edges in ascending order. Bin i holds edge[i-1] < x <= edge[i], the outer
            edges are infinite, equal edges are merged, and NaN or None has a bin of its own, which counts where either
            side has any.
        how: 'quantile' for bins of equal count, 'width' for bins of equal width between the finite extremes.

    Half a count is added to every bin (Krichevsky-Trofimov), so an empty bin costs much but not infinitely.

    Raises:
        ValueError: bins or how out of range, edges not ascending, nothing to compare.
        TypeError: not numbers.

    >>> from fairlead import drift
    >>> result = drift.psi(range(1000), range(200, 1200))
    >>> round(result.psi, 2), result.level, result.p_value < 1e-9
    (1.27, 'major', True)
    """
    fitted = fit_psi(numbers(reference, "reference"), bins, how, "reference")
    return from_binned(fitted.reference, fitted.count(numbers(live, "live")), optional=1)


def psi_from_counts(reference: ArrayLike, live: ArrayLike) -> PsiResult:
    """The index from how many of each side are in each bin, both of shape (bins,); see `psi`. Every bin counts.

    >>> from fairlead import drift
    >>> round(drift.psi_from_counts([50, 30, 20], [20, 30, 50]).psi, 3)
    0.533
    """
    return from_binned(*_pair(reference, live))


def psi_from_codes(reference: ArrayLike, live: ArrayLike, *, bins: int | None = None) -> PsiResult:
    """The index of two samples of bin numbers 0 .. bins - 1; -1 is missing, and has a bin where there is any.

    bins: how many there are; by default up to the largest number in either sample. Raises ValueError for a code
    outside.

    >>> from fairlead import drift
    >>> drift.psi_from_codes([0, 1, 1, 2], [0, 1, 1, 2]).psi
    0.0
    """
    codes = []
    for name, values in (("reference", reference), ("live", live)):
        array = np.asarray(values)
        if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
            raise ValueError(f"{name} has shape {array.shape} and dtype {array.dtype}, must be integers of shape (n,)")
        codes.append(array.astype(np.int64))
    size = max(int(side.max()) for side in codes) + 1 if bins is None else bins
    for name, side in zip(("reference", "live"), codes, strict=True):
        if side.min() < -1 or side.max() >= size:
            wrong = side.min() if side.min() < -1 else side.max()
            raise ValueError(f"{name} holds the code {wrong}, outside [-1, {size - 1}]")
    before, now = (np.bincount(np.where(side < 0, size, side), minlength=size + 1) for side in codes)
    return from_binned(before.astype(np.uint64), now.astype(np.uint64), optional=1)


def from_binned(before: Counts, now: Counts, optional: int = 0) -> PsiResult:
    """The index from counts, the last ``optional`` bins of which count only where either side has any."""
    kept = np.ones(len(before), dtype=bool)
    if optional:
        kept[-optional:] = (before[-optional:] + now[-optional:]) > 0
    terms = np.zeros(len(before))
    index, terms[kept] = psi_terms(before[kept], now[kept])
    n, m = int(before.sum()), int(now.sum())
    freedom = int(np.count_nonzero(before + now)) - 1
    scale = 1.0 / n + 1.0 / m if n and m else math.nan
    corrected, p = index - scale * freedom, chi2_tail(index / scale, freedom)
    return PsiResult(index, corrected, p, level_of(index), tuple(terms.tolist()), n, m)


def _shares(reference: ArrayLike, live: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    before, now = _pair(reference, live)
    return before / before.sum(), now / now.sum()


def jensen_shannon(reference: ArrayLike, live: ArrayLike) -> float:
    """Jensen-Shannon distance of two lists of counts, of shape (bins,): from 0 to 1.

    The root of the divergence to base 2 (J. Lin 1991; D. Endres, J. Schindelin 2003). Counts are not smoothed.

    >>> from fairlead import drift
    >>> drift.jensen_shannon([1, 0], [0, 1]), drift.jensen_shannon([1, 1], [5, 5])
    (1.0, 0.0)
    """
    p, q = _shares(reference, live)
    middle = 0.5 * (p + q)
    total = 0.0
    for side in (p, q):
        some = side > 0
        total += float(np.sum(side[some] * np.log2(side[some] / middle[some])))
    return math.sqrt(min(max(0.5 * total, 0.0), 1.0))


def hellinger(reference: ArrayLike, live: ArrayLike) -> float:
    """Hellinger distance of two lists of counts, of shape (bins,): from 0 to 1 (E. Hellinger 1909). Not smoothed.

    >>> from fairlead import drift
    >>> drift.hellinger([1, 0], [0, 1]), drift.hellinger([2, 2], [3, 3])
    (1.0, 0.0)
    """
    p, q = _shares(reference, live)
    return min(math.sqrt(0.5 * float(np.sum((np.sqrt(p) - np.sqrt(q)) ** 2))), 1.0)


def chi_square(reference: ArrayLike, live: ArrayLike) -> Test:
    """Pearson's test that two lists of counts, of shape (bins,), come from the same distribution (K. Pearson 1911).

    Bins that are empty on both sides do not count. No continuity correction.

    >>> from fairlead import drift
    >>> test = drift.chi_square([50, 50], [30, 70])
    >>> round(test.statistic, 3), round(test.p_value, 4)
    (8.333, 0.0039)
    """
    before, now = _pair(reference, live)
    used = before + now > 0
    a, b = before[used].astype(float), now[used].astype(float)
    n, m = float(a.sum()), float(b.sum())
    expected = (a + b) / (n + m)
    statistic = float(np.sum((a - n * expected) ** 2 / (n * expected) + (b - m * expected) ** 2 / (m * expected)))
    return Test(statistic, chi2_tail(statistic, len(a) - 1) if len(a) > 1 else 1.0)


def kolmogorov_smirnov(reference: ArrayLike, live: ArrayLike) -> Test:
    """Largest difference of two empirical distribution functions, for numbers of shapes (n,) and (m,). NaN is left out.

    The statistic is exact. So is the p-value for n m <= 1e6 (lattice paths, J. L. Hodges 1958; with ties it is an upper
    bound); above it is Kolmogorov's tail at (r + .12 + .11 / r) D with r = sqrt(nm / (n + m)) (M. A. Stephens 1970).

    >>> from fairlead import drift
    >>> test = drift.kolmogorov_smirnov([1, 2, 3, 4], [3.5, 5, 6, 7])
    >>> test.statistic, round(test.p_value, 4)
    (0.75, 0.2286)
    """
    found = SortedSample(_some(reference, "reference")).ks(_some(live, "live"))
    return Test(found["ks"], found["ks_p"])


def wasserstein(reference: ArrayLike, live: ArrayLike) -> float:
    """Wasserstein distance of order 1 (earth mover's) of two samples of numbers, in their unit. NaN is left out.

    >>> from fairlead import drift
    >>> drift.wasserstein([0, 1, 3], [5, 6, 8])
    5.0
    """
    return SortedSample(_some(reference, "reference")).distances(_some(live, "live"))["wasserstein"]


def cramer_von_mises(reference: ArrayLike, live: ArrayLike) -> Test:
    """Mean squared difference of two empirical distribution functions (T. W. Anderson 1962). NaN is left out.

    The functions are compared after all of a group of equal values; mean ranks, which others use, see drift in any
    samples of unequal size that have ties. The p-value is that of the limit, at the statistic brought to the limit's
    mean and variance.

    >>> from fairlead import drift
    >>> test = drift.cramer_von_mises(range(20), range(10, 30))
    >>> round(test.statistic, 3), test.p_value < 0.01
    (1.669, True)
    """
    found = SortedSample(_some(reference, "reference")).distances(_some(live, "live"))
    return Test(found["cramer_von_mises"], found["cramer_von_mises_p"])


def _some(values: ArrayLike, name: str) -> NDArray[Any]:
    array = numbers(values, name)
    if array.size == 0 or bool(np.isnan(array).all()):
        raise ValueError(f"{name} holds no number")
    return array


def adjust(p_values: ArrayLike, method: Literal["bh", "by", "none"] = "bh") -> NDArray[np.float64]:
    """P-values of many tests, adjusted so that calling those below alpha keeps the false discovery rate below alpha.

    'bh': Benjamini and Hochberg (1995), for independent or positively dependent tests. 'by': Benjamini and Yekutieli
    (2001), under any dependence. NaN stays NaN and is no test. Shape (n,). Raises ValueError for a p outside [0, 1] or
    another method.

    >>> from fairlead import drift
    >>> drift.adjust([0.01, 0.04, 0.03, 0.5]).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    p = np.array(p_values, dtype=float)
    if p.ndim != 1:
        raise ValueError(f"p_values has shape {p.shape}, must have 1 dimension")
    known = ~np.isnan(p)
    if bool(np.any((p[known] < 0) | (p[known] > 1))):
        raise ValueError(f"p_values holds {p[known][(p[known] < 0) | (p[known] > 1)][0]}, outside [0, 1]")
    if method not in ("bh", "by", "none"):
        raise ValueError(f"method is {method!r}, must be 'bh', 'by' or 'none'")
    tests = int(known.sum())
    if method == "none" or tests == 0:
        return p
    order = np.argsort(p[known], kind="stable")
    rank = np.arange(1, tests + 1)
    factor = tests * (float(np.sum(1.0 / rank)) if method == "by" else 1.0)
    stepped = np.minimum.accumulate((p[known][order] * factor / rank)[::-1])[::-1]
    adjusted = np.empty(tests)
    adjusted[order] = np.minimum(stepped, 1.0)
    p[known] = adjusted
    return p
