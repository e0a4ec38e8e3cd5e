"""Two-sample statistics against scipy, their tails against scipy and mpmath."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core
from fairlead._core import SortedSample

stats = pytest.importorskip("scipy.stats")
LEVELS = ("scalar", "avx2", "avx512")
NUMBERS = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=80)
FEW = st.lists(st.sampled_from([-1.0, -0.0, 0.0, 0.5, 2.0, 1e300]), min_size=1, max_size=60)


def by_hand(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of the distribution functions, at every value there is."""
    every = np.concatenate([a, b])
    left = np.searchsorted(np.sort(a), every, side="right") * len(b)
    right = np.searchsorted(np.sort(b), every, side="right") * len(a)
    return int(np.abs(left - right).max()) / (len(a) * len(b))


def squares(a: np.ndarray, b: np.ndarray) -> float:
    """Anderson's statistic by its definition."""
    every = np.concatenate([a, b])
    left = np.searchsorted(np.sort(a), every, side="right") / len(a)
    right = np.searchsorted(np.sort(b), every, side="right") / len(b)
    return float(len(a) * len(b) / len(every) ** 2 * np.sum((left - right) ** 2))


def pairs() -> list[tuple[str, np.ndarray, np.ndarray]]:
    dice = np.random.default_rng(8)
    return [
        ("normal", dice.normal(size=5000), dice.normal(0.1, 1.2, 3100)),
        ("same", dice.normal(size=20_000), dice.normal(size=20_001)),
        ("ties", dice.integers(0, 9, 4000).astype(float), dice.integers(0, 8, 5000).astype(float)),
        ("heavy tails", dice.standard_cauchy(6000), dice.standard_cauchy(4000) * 1.1),
        ("many decades", np.exp(dice.normal(0, 30, 6000)), np.exp(dice.normal(1, 30, 6000))),
        ("apart", dice.normal(size=2500), dice.normal(100, 1, 2500)),
        ("constant", np.full(3000, 2.5), np.append(np.full(10, 2.5), 3.0)),
        ("negative", -dice.exponential(size=3000), dice.exponential(size=2100)),
        ("short", np.array([1.0]), np.array([1.0, 2.0])),
    ]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(("name", "a", "b"), pairs(), ids=[name for name, _, _ in pairs()])
def test_kolmogorov_smirnov_is_exact(name: str, a: np.ndarray, b: np.ndarray, level: str) -> None:
    if LEVELS.index(level) > LEVELS.index(_core.simd_best()):
        pytest.skip(f"this machine has no {level}")
    before = _core.simd_level()
    _core.set_simd_level(level)
    try:
        found = SortedSample(a).ks(b)
        assert _core.simd_ran() == level
    finally:
        _core.set_simd_level(before)
    assert found["ks"] == by_hand(a, b)
    whole = SortedSample(a).distances(b)
    assert {key: whole[key] for key in found} == found
    at = found["ks_at"]
    assert abs(np.mean(a <= at) - np.mean(b <= at)) == pytest.approx(found["ks"], abs=1e-15)
    assert found["ks"] == pytest.approx(stats.ks_2samp(a, b, method="asymp").statistic, abs=1e-15)


@pytest.mark.parametrize(("name", "a", "b"), pairs()[:-1], ids=[name for name, _, _ in pairs()[:-1]])
def test_the_other_distances_agree_with_scipy(name: str, a: np.ndarray, b: np.ndarray) -> None:
    found = SortedSample(a).distances(b)
    assert found["wasserstein"] == pytest.approx(stats.wasserstein_distance(a, b), rel=1e-11)
    assert found["cramer_von_mises"] == pytest.approx(squares(a, b), rel=1e-11)
    if len(np.unique(np.append(a, b))) < len(a) + len(b):
        return  # ties: theirs is another statistic
    theirs = stats.cramervonmises_2samp(a, b, method="asymptotic")
    assert found["cramer_von_mises"] == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)
    assert found["cramer_von_mises_p"] == pytest.approx(theirs.pvalue, abs=2e-7)  # where their series stops


@given(NUMBERS, NUMBERS)
def test_anything_that_is_a_number_is_compared(a: list[float], b: list[float]) -> None:
    left, right = np.array(a)[~np.isnan(a)], np.array(b)[~np.isnan(b)]
    found, whole = SortedSample(a).ks(b), SortedSample(a).distances(b)
    np.testing.assert_array_equal(SortedSample(a).values, np.sort(left))
    if not (len(left) and len(right)):
        assert math.isnan(found["ks"])
        assert math.isnan(whole["wasserstein"])
        return
    assert found["ks"] == whole["ks"] == by_hand(left, right)
    if np.isfinite(left).all() and np.isfinite(right).all() and max(np.abs(left).max(), np.abs(right).max()) < 1e150:
        assert whole["wasserstein"] == pytest.approx(stats.wasserstein_distance(left, right), rel=1e-9, abs=1e-300)


@given(FEW, FEW)
def test_ties_are_compared_after_all_of_them(a: list[float], b: list[float]) -> None:
    found = SortedSample(a).distances(b)
    assert found["cramer_von_mises"] == pytest.approx(squares(np.array(a), np.array(b)), rel=1e-12, abs=1e-300)
    assert found["ks"] == by_hand(np.array(a), np.array(b))
    assert SortedSample(b).distances(a)["wasserstein"] == pytest.approx(found["wasserstein"], rel=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2047, 2048, 30_000])
def test_sorting_by_digits_sorts(n: int) -> None:
    dice = np.random.default_rng(n)
    x = dice.normal(size=n) * 10.0 ** dice.integers(-300, 300, n)
    x[: n // 10] = -np.inf
    x[n // 10 : n // 5] = 0.0
    x[n // 5 : n // 4] = -0.0
    sample = SortedSample(x)
    np.testing.assert_array_equal(sample.values, np.sort(x))
    assert len(pickle.loads(pickle.dumps(sample))) == n


@pytest.mark.parametrize("freedom", [1, 2, 3, 9, 10, 50, 254, 1000])
def test_the_chi_square_tail(freedom: int) -> None:
    mpmath = pytest.importorskip("mpmath")
    for x in freedom * np.array([0.01, 0.3, 0.9, 1.0, 1.1, 2.0, 5.0]):
        with mpmath.workdps(40):
            expected = float(
                mpmath.gammainc(mpmath.mpf(freedom) / 2, mpmath.mpf(float(x)) / 2, mpmath.inf, regularized=True)
            )
        if expected > 1e-290:
            assert _core.chi2_tail(x, freedom) == pytest.approx(expected, rel=2e-12)
    assert _core.chi2_tail(0.0, freedom) == _core.chi2_tail(-1.0, freedom) == 1.0
    assert math.isnan(_core.chi2_tail(math.nan, freedom))
    assert _core.chi2_tail(math.inf, freedom) == 0.0


def test_the_other_tails() -> None:
    distributions = pytest.importorskip("scipy.stats.distributions")
    for x in (0.01, 0.1, 0.3, 0.5, 0.8, 0.81, 0.83, 1.0, 1.5, 3.0, 8.0, 15.0):
        assert _core.kolmogorov_tail(x) == pytest.approx(distributions.kstwobign.sf(x), rel=1e-11)
    mpmath = pytest.importorskip("mpmath")
    for x in (1.0, 4.0, 30.0, 120.0):
        with mpmath.workdps(30):
            inner = [mpmath.pi, mpmath.pi * 1.01, mpmath.pi * 1.2, mpmath.pi * 1.5, 2 * mpmath.pi]
            far = mpmath.quad(
                lambda t, x=x: mpmath.sqrt(-t / mpmath.sin(t)) * mpmath.exp(-x * t * t / 2) * 2 / t, inner
            )
        assert _core.cramer_von_mises_tail(x) == pytest.approx(float(far / mpmath.pi), rel=1e-8)
    cdf = pytest.importorskip("scipy.stats._hypotests")._cdf_cvm_inf
    for x in (0.02, 0.05, 0.1, 0.1667, 0.3, 0.46, 1.0, 2.0, 5.0):
        assert _core.cramer_von_mises_tail(x) == pytest.approx(1.0 - float(cdf(x)), abs=1e-10)
    assert _core.cramer_von_mises_tail(0.8) == pytest.approx(_core.cramer_von_mises_tail(0.8 + 1e-15), rel=1e-11)
    assert _core.cramer_von_mises_tail(0.46136) == pytest.approx(0.05, abs=1e-5)  # Anderson and Darling's table
    assert _core.cramer_von_mises_tail(0.74346) == pytest.approx(0.01, abs=1e-5)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (3, 5), (7, 7), (10, 40), (100, 37), (500, 500)])
def test_small_samples_have_an_exact_p_value(n: int, m: int) -> None:
    dice = np.random.default_rng(n * m)
    for shift in (0.0, 0.5, 2.0):
        a, b = dice.normal(size=n), dice.normal(shift, 1, m)
        found = fl.drift.kolmogorov_smirnov(a, b)
        assert found.p_value == pytest.approx(stats.ks_2samp(a, b, method="exact").pvalue, rel=1e-9)


def test_large_samples_have_a_close_p_value() -> None:
    dice = np.random.default_rng(1)
    for shift in (0.0, 0.02, 0.05):
        a, b = dice.normal(size=4000), dice.normal(shift, 1, 3000)
        found = fl.drift.kolmogorov_smirnov(a, b)
        assert found.p_value == pytest.approx(stats.ks_2samp(a, b, method="exact").pvalue, rel=0.05, abs=0.003)


def test_counts_agree_with_scipy() -> None:
    spatial = pytest.importorskip("scipy.spatial.distance")
    dice = np.random.default_rng(2)
    for bins in (2, 5, 30):
        a, b = dice.integers(0, 50, bins) + 1, dice.integers(0, 80, bins)
        assert fl.drift.jensen_shannon(a, b) == pytest.approx(spatial.jensenshannon(a, b, base=2), rel=1e-12)
        root = np.sqrt(a / a.sum()) - np.sqrt(b / b.sum())
        assert fl.drift.hellinger(a, b) == pytest.approx(np.linalg.norm(root) / math.sqrt(2), rel=1e-12)
        theirs = stats.chi2_contingency(np.array([a, b]), correction=False)
        found = fl.drift.chi_square(np.append(a, 0), np.append(b, 0))
        assert found.statistic == pytest.approx(theirs.statistic, rel=1e-12)
        assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-10)


def test_the_functions_are_the_samples() -> None:
    dice = np.random.default_rng(3)
    a, b = dice.normal(size=300), dice.normal(size=200)
    whole = SortedSample(a).distances(b)
    assert fl.drift.wasserstein(a, b) == whole["wasserstein"]
    assert fl.drift.cramer_von_mises(a, b).as_dict() == {
        "statistic": whole["cramer_von_mises"],
        "p_value": whole["cramer_von_mises_p"],
    }


def test_adjusted_p_values() -> None:
    dice = np.random.default_rng(6)
    p = dice.random(40) ** 2
    for method in ("bh", "by"):
        np.testing.assert_allclose(
            fl.drift.adjust(p, method), stats.false_discovery_control(p, method=method), rtol=1e-12
        )
    holes = np.insert(p, 3, math.nan)
    adjusted = fl.drift.adjust(holes)
    assert math.isnan(adjusted[3])
    np.testing.assert_array_equal(np.delete(adjusted, 3), fl.drift.adjust(p))
    np.testing.assert_array_equal(fl.drift.adjust(p, "none"), p)
    assert fl.drift.adjust([]).shape == (0,)
    for wrong, words in (([1.5], "holds 1.5"), ([[0.1]], "shape")):
        with pytest.raises(ValueError, match=words):
            fl.drift.adjust(wrong)
    with pytest.raises(ValueError, match="method is 'holm'"):
        fl.drift.adjust([0.1], "holm")


@pytest.mark.parametrize("function", ["kolmogorov_smirnov", "wasserstein", "cramer_von_mises"])
def test_nothing_is_not_compared(function: str) -> None:
    call = getattr(fl.drift, function)
    for a, b, words in (([], [1.0], "reference holds no number"), ([1.0], [math.nan], "live holds no number")):
        with pytest.raises(ValueError, match=words):
            call(a, b)
    with pytest.raises(TypeError, match="reference has dtype"):
        call(["a"], [1.0])
