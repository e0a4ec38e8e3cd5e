"""What follows from the numbers, and by which rule. No suggestion without evidence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fairlead.measure.drift.distances import p_text
from fairlead.reflection.calibration import Calibrated
from fairlead.reflection.columns import Answers
from fairlead.reflection.contexts import MIN_TASKS
from fairlead.reflection.ensembles import Pair
from fairlead.reflection.inference import ALPHA, Estimate
from fairlead.reflection.paired import Paired, worse_everywhere
from fairlead.reflection.trend import Trend

Action = Literal["ensemble", "retire", "retrain", "recalibrate"]

_DRIFT_ALPHA = 0.01  # a second look at the same answers

RULES: Mapping[Action, str] = {
    "ensemble": "the mean of the two is significantly better than each of them, among all pairs looked at (Holm, 5 %), "
    "and was better than the better one on the later half of the rounds too",
    "retire": "significantly worse than one other model on common tasks (Holm, 5 %) and in every context with "
    "enough of them (each at 5 %), not degrading (then retrain), no worthwhile pair, "
    "and the mean of all is no worse without it",
    "retrain": "its losses rise over its tasks (5 %), or what it says less what happens changes (1 %)",
    "recalibrate": "its probabilities are significantly off (5 %), recalibrating each half of its binary tasks by the "
    "other half would have helped, and retiring it does not follow",
}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Something to do. models: to whom; kind: in which kind of task; because: in words; numbers: by name; rule: why."""

    action: Action
    models: tuple[str, ...]
    kind: str
    because: str
    numbers: Mapping[str, float]

    @property
    def rule(self) -> str:
        """What must hold for it."""
        return RULES[self.action]

    def __str__(self) -> str:
        return f"{self.action} {' + '.join(self.models)} ({self.kind}): {self.because}"


def said(p: float) -> str:
    """A p-value as words say it: "p = 0.03", "p <1e-99"."""
    text = p_text(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def span(e: Estimate) -> str:
    """An estimate with its interval."""
    return f"{e.value:+.3g}" + ("" if math.isnan(e.low) else f" [{e.low:+.3g}, {e.high:+.3g}]")


def ensemble(pair: Pair, kind: str) -> Suggestion:
    """To pool two models."""
    return Suggestion(
        "ensemble",
        (pair.a, pair.b),
        kind,
        f"their mean has {pair.score} {pair.loss_mean:.4f}, {pair.better} alone {pair.loss_better:.4f}; their errors "
        f"correlate {pair.correlation:.2f}; gain {span(pair.gain)}, {said(pair.p_adjusted)}, n = {pair.gain.n}",
        {
            "loss_mean": pair.loss_mean,
            "loss_better": pair.loss_better,
            "gain": pair.gain.value,
            "low": pair.gain.low,
            "high": pair.gain.high,
            "gain_later": pair.gain_later,
            "p_adjusted": pair.p_adjusted,
            "correlation": pair.correlation,
            "n": pair.gain.n,
        },
    )


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of one model in one kind of task. trend_p: adjusted, where many models are asked at once."""

    model: int
    trend: Trend
    trend_p: float
    calibration: Calibrated | None
    calibration_p: float
    drift_p: float
    contribution: Estimate | None
    against: list[Paired]
    pairs: list[Pair]


def advice(answers: Answers, known: Evidence) -> tuple[list[Suggestion], list[str]]:
    """What to do with one model, and what evidence is missing to say more. To pool it is not among it."""
    name, kind = answers.rows.models[known.model], answers.kind
    found, missing = [], []
    degrading = known.trend.state == "degrading" and known.trend_p < ALPHA
    drift = known.calibration.drift if known.calibration else None
    if degrading:
        slope = known.trend.chosen
        found.append(
            Suggestion(
                "retrain",
                (name,),
                kind,
                f"its loss changes by {span(slope)} per 100 tasks ({known.trend.basis}), {said(known.trend_p)}, "
                f"n = {slope.n} in {slope.rounds} rounds",
                {
                    "slope": slope.value,
                    "low": slope.low,
                    "high": slope.high,
                    "p_value": known.trend_p,
                    "n": slope.n,
                    "rounds": slope.rounds,
                },
            )
        )
    elif drift is not None and known.drift_p < _DRIFT_ALPHA:
        found.append(
            Suggestion(
                "retrain",
                (name,),
                kind,
                f"what it says less what happens changes by {span(drift)} per 100 tasks, {said(known.drift_p)}, "
                f"n = {drift.n} in {drift.rounds} rounds",
                {"drift": drift.value, "low": drift.low, "high": drift.high, "p_value": known.drift_p, "n": drift.n},
            )
        )
    if not degrading:
        retire, why_not = _retire(answers, known)
        found += retire
        missing += why_not
    off = known.calibration
    helps = off is None or off.gain is None or off.gain.value > 0
    if (
        off
        and helps
        and known.calibration_p < ALPHA
        and off.state not in ("calibrated", "unknown")
        and not any(s.action == "retire" for s in found)
    ):
        found.append(
            Suggestion(
                "recalibrate",
                (name,),
                kind,
                f"it is {off.state}: calibration error {off.error:.4f}, {off.error_expected:.4f} if it were right; "
                f"z = {off.z:+.1f}, bias {span(off.bias)}, {said(known.calibration_p)}, n = {off.n}"
                + (f"; recalibrated by the other half of the tasks it would gain {span(off.gain)}" if off.gain else ""),
                {
                    "error": off.error,
                    "error_expected": off.error_expected,
                    "z": off.z,
                    "bias": off.bias.value,
                    "p_value": known.calibration_p,
                    "gain": off.gain.value if off.gain else math.nan,
                    "n": off.n,
                },
            )
        )
    return found, missing


def _retire(answers: Answers, known: Evidence) -> tuple[list[Suggestion], list[str]]:
    name = answers.rows.models[known.model]
    worse = sorted((p for p in known.against if p.worse), key=lambda p: -p.difference.value)
    help_ = known.contribution
    if not worse or help_ is None or not help_.value <= 0 or any(pair.worthwhile for pair in known.pairs):
        return [], []
    missing = []
    for paired in worse:
        other = answers.rows.models.index(paired.other)
        everywhere, rest, untested = worse_everywhere(answers, known.model, other, MIN_TASKS)
        if rest:
            missing.append(f"to retire {name}: not shown worse than {paired.other} in {_some(rest)}")
            continue
        return [
            Suggestion(
                "retire",
                (name,),
                answers.kind,
                f"worse than {paired.other} by {span(paired.difference)}, {said(paired.p_adjusted)}, n = {paired.n}"
                + (f", in all {len(everywhere)} contexts that could be tested" if everywhere else "")
                + (f" ({len(untested)} could not)" if untested else "")
                + f"; its contribution to the mean of all is {span(help_)}",
                {
                    "difference": paired.difference.value,
                    "low": paired.difference.low,
                    "high": paired.difference.high,
                    "p_adjusted": paired.p_adjusted,
                    "n": paired.n,
                    "contribution": help_.value,
                    "contexts": len(everywhere),
                    "contexts_untested": len(untested),
                },
            )
        ], []
    return [], missing[:1]


def _some(names: list[str], most: int = 3) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
