"""Calibration bins against scikit-learn, and the expected calibration error against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

import fairlead as fl


def forecasts(seed: int, n: int = 2000) -> tuple[np.ndarray, np.ndarray]:
    dice = np.random.default_rng(seed)
    p = dice.beta(0.7, 1.3, n)
    return p, (dice.random(n) < p**1.4).astype(float)


@pytest.mark.parametrize("bins", [1, 5, 10, 37])
@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_scikit_learn(seed: int, bins: int) -> None:
    p, happened = forecasts(seed)
    calibration = fl.Calibration(bins)
    calibration.add_many(p, happened)
    predicted, observed, count = map(np.array, zip(*calibration.curve(), strict=True))
    expected_observed, expected_predicted = calibration_curve(happened, p, n_bins=bins)
    np.testing.assert_allclose(predicted, expected_predicted, rtol=1e-13)
    np.testing.assert_allclose(observed, expected_observed, rtol=1e-13)
    gap = np.abs(expected_predicted - expected_observed) @ count / len(p)
    assert calibration.error == pytest.approx(gap, rel=1e-12)
    assert len(calibration) == count.sum() == len(p)


def test_one_by_one_is_all_at_once() -> None:
    p, happened = forecasts(3)
    one_by_one, at_once = fl.Calibration(), fl.Calibration()
    for x, y in zip(p, happened, strict=True):
        one_by_one.add(x, bool(y))
    at_once.add_many(p, happened)
    assert one_by_one.curve() == at_once.curve()
    assert one_by_one.error == at_once.error


@pytest.mark.parametrize("tenths", range(11))
def test_a_bin_holds_its_lower_edge(tenths: int) -> None:
    calibration = fl.Calibration()
    calibration.add(tenths / 10, True)
    calibration.add((min(tenths, 9) + 0.5) / 10, True)  # surely in the bin that starts here
    assert [count for _, _, count in calibration.curve()] == [2]


@given(st.integers(1, 200), st.floats(0, 1))
def test_a_bin_holds_what_lies_between_its_edges(bins: int, p: float) -> None:
    alone = fl.Calibration(bins)
    alone.add(p, True)
    assert alone.curve() == [(p, 1.0, 1)]
    edge = min(int(p * bins), bins - 1)
    calibration = fl.Calibration(bins)
    for i in range(bins):
        calibration.add((i + 0.5) / bins, False)
    calibration.add(p, True)
    count = [n for _, _, n in calibration.curve()]
    assert sum(count) == bins + 1
    # Within an ulp of an edge either neighbour will do.
    owner = count.index(2)
    assert abs(owner - edge) <= 1
    assert owner / bins * (1 - 2**-52) <= p <= (owner + 1) / bins * (1 + 2**-52)


def test_no_forecast_no_error() -> None:
    calibration = fl.Calibration()
    assert calibration.curve() == []
    assert math.isnan(calibration.error)
    assert len(calibration) == 0


@pytest.mark.parametrize("bad", [-0.1, 1.0000001, math.nan])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    calibration = fl.Calibration()
    calibration.add(0.3, True)
    with pytest.raises(ValueError, match=f"p is {bad}"):
        calibration.add(bad, True)
    with pytest.raises(ValueError, match=rf"p\[1\] is {bad}"):
        calibration.add_many([0.5, bad], [1, 1])
    assert calibration.curve() == [(0.3, 1.0, 1)]


def test_what_neither_happened_nor_not_is_refused() -> None:
    calibration = fl.Calibration()
    with pytest.raises(ValueError, match=r"happened\[1\] is 0\.5, must be 0 or 1"):
        calibration.add_many([0.5, 0.5], [1, 0.5])
    with pytest.raises(ValueError, match="happened has length 1, p has 2"):
        calibration.add_many([0.5, 0.5], [1])
    assert len(calibration) == 0


@pytest.mark.parametrize("bins", [0, -1, 10_001])
def test_bins_that_make_no_sense_are_refused(bins: int) -> None:
    with pytest.raises(ValueError, match=f"bins is {bins}"):
        fl.Calibration(bins)
