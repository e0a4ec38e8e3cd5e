"""The health of a model and of a fleet, in [0, 1]: a weighted mean of parts, each of which is told with its weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.monitor.metrics import Measured, in_words, reading
from fairlead.monitor.rules import plain

ENOUGH = 10
"""Calls, or settled answers, that a part needs; with fewer it is left out."""
SLOW_MS, DEAR_USD = 5000.0, 1.0
"""A 95th percentile, and a cost of a task, that count one half: the thresholds of the default rules."""
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"answers": 0.25, "accuracy": 0.25, "skill": 0.20, "calibration": 0.10, "speed": 0.10, "cost": 0.10}
)
FORMULAS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "answers": ("success_rate", "share of calls that succeeded"),
        "accuracy": ("accuracy", "share of answers that were right"),
        "skill": ("skill", "1/2 + 5/2 skill, from 0 to 1: .2 Brier points better than the others is 1"),
        "calibration": ("calibration_error", "1 - 4 calibration error, not below 0"),
        "speed": ("latency_p95_ms", "1 / (1 + p95 latency / 5 s)"),
        "cost": ("cost_per_task_usd", "1 / (1 + cost per task / $1)"),
    }
)
"""Of each part: the metric it comes from, and how."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a health score. weight: as it counted; those of the parts that are known sum to 1."""

    name: str
    score: float
    weight: float
    metric: str
    value: float
    n: int
    formula: str


@dataclass(frozen=True, slots=True)
class HealthScore:
    """How well a model, or the fleet (model None), is doing over a window; 1 is best. NaN: too little is known.

    score: the sum of weight times score over the parts. A part that is not known, as fewer than 10 calls or settled
    answers stand behind it, is left out, and the weights of the others grow in proportion. Of the fleet: the mean of
    its models' scores, each by its share of the calls; lowest: the worst of them.
    """

    model: str | None
    score: float
    window: str
    parts: tuple[Part, ...]
    calls: int = 0
    lowest: str | None = None

    @property
    def formula(self) -> str:
        """The score, worked out."""
        if self.model is None:
            terms = [f"{part.weight:.2f} x {part.score:.2f} ({part.name})" for part in self.parts]
        else:
            terms = [f"{part.weight:.2f} x {part.score:.2f} ({_said(part)})" for part in self.parts]
        return f"{' + '.join(terms)} = {self.score:.2f}" if terms else "nothing is known"

    def as_dict(self) -> dict[str, Any]:
        """The fields and the formula, as plain JSON types; None for NaN."""
        return plain(self) | {"formula": self.formula}

    def __str__(self) -> str:
        score = "-" if math.isnan(self.score) else f"{self.score:.2f}"
        formula = self.formula.rpartition(" = ")[0] or self.formula
        return f"{self.model or 'fleet'}: {score} over {self.window} = {formula}"


@dataclass(frozen=True, slots=True)
class FleetHealth:
    """The health of the fleet and of each of its models. Iterates over the models, worst first."""

    fleet: HealthScore
    models: tuple[HealthScore, ...]

    def __iter__(self) -> Any:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, model: str) -> HealthScore:
        for score in self.models:
            if score.model == model:
                return score
        raise KeyError(model)

    def as_dict(self) -> dict[str, Any]:
        """Both, as plain JSON types."""
        return {"fleet": self.fleet.as_dict(), "models": [score.as_dict() for score in self.models]}

    def __str__(self) -> str:
        return "\n".join(str(score) for score in (self.fleet, *self.models))


def health_of(row: Measured, window: str, weights: Mapping[str, float] = WEIGHTS) -> HealthScore:
    """The health of one model, from its record over a window."""
    found: list[Part] = []
    for name, (metric, formula) in FORMULAS.items():
        value, n = reading(row, metric)
        if value == value and n >= ENOUGH and weights.get(name, 0.0) > 0.0:
            found.append(Part(name, _score(name, value), weights[name], metric, value, n, formula))
    total = sum(part.weight for part in found)
    parts = tuple(replace(part, weight=part.weight / total) for part in found)
    score = sum(part.weight * part.score for part in parts) if parts else math.nan
    return HealthScore(row.model, score, window, parts, row.calls)


def fleet_health(rows: Sequence[Measured], window: str, weights: Mapping[str, float] = WEIGHTS) -> FleetHealth:
    """The health of all."""
    models = sorted((health_of(row, window, weights) for row in rows), key=_place)
    known = [score for score in models if score.score == score.score]
    calls = sum(score.calls for score in known)
    # Where all answers that were settled come from calls before the window, every model counts alike.
    parts = tuple(
        Part(
            score.model or "",
            score.score,
            score.calls / calls if calls else 1.0 / len(known),
            "",
            math.nan,
            score.calls,
            "share of calls" if calls else "alike",
        )
        for score in known
    )
    score = sum(part.weight * part.score for part in parts) if parts else math.nan
    lowest = known[0].model if known else None
    return FleetHealth(HealthScore(None, score, window, parts, calls, lowest), tuple(models))


def check_weights(weights: object) -> dict[str, float]:
    """Weights of the parts. Raises InvalidRecordError for a part that is unknown and what is no weight."""
    if not isinstance(weights, Mapping):
        raise InvalidRecordError(f"weights is {weights!r}, must be a mapping of {', '.join(WEIGHTS)} to numbers")
    for name, weight in weights.items():
        if name not in WEIGHTS:
            hint = did_you_mean(name, list(WEIGHTS)) if isinstance(name, str) else ""
            raise InvalidRecordError(f"weights has {name!r}, must be of {', '.join(WEIGHTS)}{hint}")
        if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0.0 <= weight < math.inf:
            raise InvalidRecordError(f"weights[{name!r}] is {weight!r}, must be a number, at least 0")
    if not any(weights.values()):
        raise InvalidRecordError(f"weights is {weights!r}, of which none is positive")
    return {name: float(weight) for name, weight in weights.items()}


def _score(name: str, value: float) -> float:
    if name in ("answers", "accuracy"):
        return value
    if name == "skill":
        return min(max(0.5 + 2.5 * value, 0.0), 1.0)
    if name == "calibration":
        return max(1.0 - 4.0 * value, 0.0)
    return 1.0 / (1.0 + value / (SLOW_MS if name == "speed" else DEAR_USD))


def _said(part: Part) -> str:
    return f"{part.name}: {in_words(part.metric, part.value)}"


def _place(score: HealthScore) -> tuple[float, str]:
    return (score.score if score.score == score.score else math.inf, score.model or "")
