"""Drift between two samples: `fit` a reference once, `compare` live data with it, or call a single statistic.

>>> import fairlead as fl
>>> reference = fl.drift.fit({"age": range(1000), "plan": ["basic", "plus"] * 500})
>>> report = reference.compare({"age": range(200, 1200), "plan": ["basic", "plus"] * 500})
>>> report.drifted
('age',)
"""

from __future__ import annotations

from fairlead.measure.drift.distances import (
    PsiResult,
    Test,
    adjust,
    chi_square,
    cramer_von_mises,
    hellinger,
    jensen_shannon,
    kolmogorov_smirnov,
    psi,
    psi_from_codes,
    psi_from_counts,
    wasserstein,
)
from fairlead.measure.drift.reference import Reference, compare, fit, load
from fairlead.measure.drift.report import DriftReport, FeatureDrift

__all__ = [
    "DriftReport",
    "FeatureDrift",
    "PsiResult",
    "Reference",
    "Test",
    "adjust",
    "chi_square",
    "compare",
    "cramer_von_mises",
    "fit",
    "hellinger",
    "jensen_shannon",
    "kolmogorov_smirnov",
    "load",
    "psi",
    "psi_from_codes",
    "psi_from_counts",
    "wasserstein",
]


def __dir__() -> list[str]:
    return sorted(__all__)
