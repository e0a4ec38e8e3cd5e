"""Counts by bin are exact and the same at every level, in every layout; the index against exact arithmetic."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core
from fairlead._core import PsiTable

LEVELS = ("scalar", "avx2", "avx512")


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    before = _core.simd_level()
    if LEVELS.index(request.param) > LEVELS.index(_core.simd_best()):
        pytest.skip(f"this machine has no {request.param}")
    _core.set_simd_level(request.param)
    yield request.param
    _core.set_simd_level(before)


def counts(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    numbers = values[~np.isnan(values)]
    inside = np.bincount(np.searchsorted(edges, numbers, side="left"), minlength=len(edges) + 1)
    return np.append(inside, np.isnan(values).sum())


def awkward(n: int, seed: int, edges: np.ndarray) -> np.ndarray:
    """Numbers with many on an edge, next to one, infinite or NaN."""
    dice = np.random.default_rng(seed)
    x = dice.normal(size=n) * 2
    on = dice.choice(edges, n)
    kind = dice.integers(0, 12, n)
    x = np.where(kind == 0, on, x)
    x = np.where(kind == 1, np.nextafter(on, np.inf), x)
    x = np.where(kind == 2, np.nextafter(on, -np.inf), x)
    x = np.where(kind == 3, np.nan, x)
    x = np.where(kind == 4, np.inf, x)
    x = np.where(kind == 5, -np.inf, x)
    return np.where(kind == 6, -0.0, x)


@pytest.mark.parametrize("n", [1, 2, 7, 8, 9, 31, 1000, 4097])
@pytest.mark.parametrize("n_edges", [1, 2, 8, 9, 12, 13, 14, 26, 27, 32, 33, 64, 254])
def test_counts_are_exact_at_every_level(level: str, n: int, n_edges: int) -> None:
    edges = np.sort(np.random.default_rng(n_edges).normal(size=n_edges))
    x = awkward(n, n + n_edges, edges)
    psi = fl.Psi.from_edges(edges, [0.0])
    np.testing.assert_array_equal(psi.count(x), counts(x, edges))
    assert _core.simd_ran() == level
    narrow = x.astype(np.float32)
    np.testing.assert_array_equal(psi.count(narrow), counts(narrow, edges))
    np.testing.assert_array_equal(psi.count(x[::-1]), counts(x, edges))


@pytest.mark.parametrize(
    "edges",
    [
        np.concatenate([np.linspace(0, 1e-9, 60), np.linspace(1, 1e6, 20)]),  # nearly all in one cell of the search
        np.concatenate([[-np.inf], np.linspace(-1.0, 1.0, 50), [np.inf]]),
        np.concatenate([[-1e308], np.linspace(-1.0, 1.0, 50), [1e308]]),  # wider than a double can tell
        np.arange(40) * 5e-324,
        np.exp(np.linspace(-700, 700, 200)),
    ],
    ids=["skewed", "infinite", "huge", "tiny", "exponential"],
)
def test_many_edges_in_awkward_places(level: str, edges: np.ndarray) -> None:
    x = np.concatenate([awkward(2000, 5, edges), edges * 0.999, edges])
    np.testing.assert_array_equal(fl.Psi.from_edges(edges, [0.0]).count(x), counts(x, edges))


@pytest.mark.parametrize("columns", [1, 3, 8, 9, 17, 24])
@pytest.mark.parametrize("bins", [3, 10, 20, 50])
def test_a_table_is_its_columns_however_it_lies(level: str, columns: int, bins: int) -> None:
    dice = np.random.default_rng(columns)
    table = dice.normal(size=(1501, columns))
    table[dice.random(table.shape) < 0.05] = np.nan
    table[:, 0] = dice.integers(0, 3, len(table))  # merged edges: fewer than its neighbours
    fitted = [fl.Psi(np.ascontiguousarray(column), bins=bins) for column in table[:400].T]
    of = PsiTable(fitted)
    expected = [psi.count(np.ascontiguousarray(column)) for psi, column in zip(fitted, table.T, strict=True)]
    views = {
        "rows": np.ascontiguousarray(table),
        "columns": np.asfortranarray(table),
        "every second row": np.repeat(table, 2, axis=0)[::2],
        "backwards": np.ascontiguousarray(table[::-1])[::-1],
        "within a wider one": np.hstack([table, table])[:, :columns],
        "objects": table.tolist(),
    }
    for name, view in views.items():
        for mine, own in zip(of.count(view), expected, strict=True):
            np.testing.assert_array_equal(mine, own, err_msg=name)
        assert of.psi(view).tolist() == [
            psi.compare(np.ascontiguousarray(column)) for psi, column in zip(fitted, table.T, strict=True)
        ]


def test_tall_tables_pass_over_several_blocks(level: str) -> None:
    table = np.random.default_rng(1).normal(size=(9000, 16))
    fitted = [fl.Psi(table[:100, i].copy()) for i in range(16)]
    for mine, psi, column in zip(PsiTable(fitted).count(table), fitted, table.T, strict=True):
        np.testing.assert_array_equal(mine, counts(column, psi.edges))


@given(
    st.lists(st.integers(0, 10**6), min_size=2, max_size=30).flatmap(
        lambda before: st.tuples(
            st.just(before), st.lists(st.integers(0, 10**6), min_size=len(before), max_size=len(before))
        )
    )
)
def test_the_index_of_counts_in_exact_arithmetic(sides: tuple[list[int], list[int]]) -> None:
    mpmath = pytest.importorskip("mpmath")
    before, now = sides
    if not sum(before) or not sum(now):
        return
    with mpmath.workdps(50):
        expected = mpmath.mpf(0)
        for a, b in zip(before, now, strict=True):
            p = Fraction(2 * a + 1, 2 * sum(before) + len(before))
            q = Fraction(2 * b + 1, 2 * sum(now) + len(now))
            ratio = mpmath.mpf(q.numerator) * p.denominator / (mpmath.mpf(q.denominator) * p.numerator)
            expected += (mpmath.mpf((q - p).numerator) / (q - p).denominator) * mpmath.log(ratio)
        found = fl.drift.psi_from_counts(before, now)
        assert found.psi == pytest.approx(float(expected), rel=1e-12, abs=1e-17)
    assert math.fsum(found.contributions) == pytest.approx(found.psi, rel=1e-14)
    assert min(found.contributions) >= 0.0


def test_raw_counts_and_codes_give_one_answer() -> None:
    dice = np.random.default_rng(4)
    before, now = dice.normal(size=3000), dice.normal(0.1, 1, 700)
    edges = [-1.0, 0.0, 1.0]
    raw = fl.drift.psi(before, now, bins=edges)
    binned = [np.searchsorted(edges, side, side="left") for side in (before, now)]
    assert fl.drift.psi_from_codes(*binned) == fl.drift.psi_from_codes(*binned, bins=4)
    assert fl.drift.psi_from_counts(*(np.bincount(side) for side in binned)).psi == raw.psi
    assert fl.drift.psi_from_codes(*binned).psi == raw.psi
    holes = fl.drift.psi_from_codes(np.append(binned[0], -1), binned[1])
    before_holes = np.append(before, np.nan)
    assert holes.psi == fl.drift.psi(before_holes, now, bins=edges).psi != raw.psi


def test_equal_width_bins_span_the_finite_extremes() -> None:
    reference = np.concatenate([np.linspace(0, 8, 100), [np.inf, -np.inf, np.nan]])
    fitted = fl.drift.fit(reference, bins=4, how="width")
    np.testing.assert_allclose(fitted.edges("x0"), [2, 4, 6])
    constant = fl.drift.fit(np.full(50, 3.0), bins=4, how="width")
    assert constant.compare(np.full(50, 3.0))["x0"].psi == 0.0
    assert constant.compare(np.full(50, 3.1))["x0"].level == "major"


def test_one_outlier_hides_nothing() -> None:
    dice = np.random.default_rng(5)
    before, now = dice.normal(size=5000), dice.normal(1.0, 1, 5000)
    plain = fl.drift.psi(before, now, bins=10, how="width").psi
    assert fl.drift.psi(before, np.append(now, 1e9), bins=10, how="width").psi == pytest.approx(plain, rel=0.01)


@pytest.mark.parametrize(("n", "m"), [(500, 200), (2000, 2000), (5000, 300)])
def test_without_drift_the_p_values_are_level_and_the_corrected_index_is_about_zero(n: int, m: int) -> None:
    dice = np.random.default_rng(n + m)
    results = [fl.drift.psi(dice.normal(size=n), dice.normal(size=m)) for _ in range(600)]
    p = np.array([result.p_value for result in results])
    for alpha in (0.05, 0.2, 0.5, 0.8):
        assert np.mean(p < alpha) == pytest.approx(alpha, abs=4 * math.sqrt(alpha * (1 - alpha) / len(p)) + 0.015)
    corrected = np.array([result.corrected for result in results])
    assert abs(corrected.mean()) < 0.1 * np.mean([result.psi for result in results])


def test_fitted_bins_survive_pickling_and_given_counts() -> None:
    psi = fl.Psi([0.1, 0.2, 0.2, 0.7, math.nan, math.inf], bins=4)
    again = pickle.loads(pickle.dumps(psi))
    np.testing.assert_array_equal(again.edges, psi.edges)
    np.testing.assert_array_equal(again.reference, psi.reference)
    assert fl.Psi.from_counts([1.0, 1.0, 2.0], [1, 2, 3, 0]).edges.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: fl.Psi.from_edges([], [1.0]), ValueError, "edges must be from 1 to 254"),
        (lambda: fl.Psi.from_edges([2.0, 1.0], [1.0]), ValueError, "ascending"),
        (lambda: fl.Psi.from_edges([math.nan], [1.0]), ValueError, "NaN"),
        (lambda: fl.Psi.from_edges(np.arange(255.0), [1.0]), ValueError, "1 to 254"),
        (lambda: fl.Psi.from_counts([1.0], [1, 2]), ValueError, "counts has length 2"),
        (lambda: fl.Psi.from_counts([1.0], [1, -2, 0]), ValueError, "counts holds -2"),
        (lambda: fl.Psi(["a", "b"]), TypeError, "reference has dtype"),
        (lambda: fl.Psi([1.0]).compare([[1.0]]), ValueError, "live has shape"),
        (lambda: PsiTable([fl.Psi([1.0])]).count([[1.0, 2.0]]), ValueError, "live has 2 columns, the reference has 1"),
        (lambda: PsiTable([fl.Psi([1.0])]).count([1.0]), ValueError, "live has shape"),
        (lambda: PsiTable([fl.Psi([1.0])]).count(np.empty((0, 1))), ValueError, "live is empty"),
        (lambda: fl.drift.psi_from_counts([1, 2], [1]), ValueError, "live has length 1, reference has 2"),
        (lambda: fl.drift.psi_from_counts([0, 0], [1, 2]), ValueError, "reference counts nothing"),
        (lambda: fl.drift.psi_from_counts([1, -1], [1, 2]), ValueError, "reference holds -1"),
        (lambda: fl.drift.psi_from_counts([1, 0.5], [1, 2]), ValueError, r"reference holds 0\.5"),
        (
            lambda: fl.drift.psi_from_codes([0, 1], [0, 5], bins=3),
            ValueError,
            r"live holds the code 5, outside \[-1, 2\]",
        ),
        (lambda: fl.drift.psi_from_codes([0, -2], [0]), ValueError, "reference holds the code -2"),
        (lambda: fl.drift.psi_from_codes([0.5], [0]), ValueError, "must be integers"),
        (lambda: fl.drift.psi([1.0, 2.0], [1.0], how="depth"), ValueError, "how is 'depth'"),
        (lambda: fl.drift.psi([1.0, 2.0], [1.0], bins=1, how="width"), ValueError, "bins is 1"),
    ],
)
def test_what_makes_no_sense_is_refused(call: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call()


def test_counts_that_no_whole_number_holds_are_refused() -> None:
    for bad in (math.inf, 1e30, 2.0**54):
        with pytest.raises(ValueError, match="must be at most 9007199254740992"):
            fl.drift.psi_from_counts([bad, 1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="too far apart"):
        fl.drift.psi([-1e308, 0.0, 1e308], [0.0], how="width")
