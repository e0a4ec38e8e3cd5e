"""Student's distribution against scipy."""

from __future__ import annotations

import math

import pytest
from scipy import stats

from fairlead.measure.student import t_quantile, t_tail


@pytest.mark.parametrize("freedom", [1, 2, 4, 7, 13.4, 30, 101, 5000])
def test_students_t(freedom: float) -> None:
    for t in (-30.0, -2.5, -0.1, 0.0, 1e-9, 0.3, 1.0, 2.2, 9.0, 80.0):
        assert t_tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), rel=1e-8)
    for tail in (0.4, 0.025, 1e-4):
        assert t_quantile(freedom, tail) == pytest.approx(stats.t.isf(tail, freedom), rel=1e-9)
    assert t_tail(math.inf, freedom) == 0.0
    assert math.isnan(t_tail(math.nan, freedom))
