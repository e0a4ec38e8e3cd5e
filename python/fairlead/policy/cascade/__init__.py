"""Cascades: models are asked in the order of what they bring for their price, until another answer would hardly change
the decision. See docs/ensembles.md."""

from __future__ import annotations

from fairlead.policy.cascade.curve import CascadeCurve, CurvePoint, FixedChoice, cascade_curve
from fairlead.policy.cascade.evidence import Evidence
from fairlead.policy.cascade.graded import graded_curve
from fairlead.policy.cascade.reading import Reading
from fairlead.policy.cascade.rule import Cascade

__all__ = [
    "Cascade",
    "CascadeCurve",
    "CurvePoint",
    "Evidence",
    "FixedChoice",
    "Reading",
    "cascade_curve",
    "graded_curve",
]
