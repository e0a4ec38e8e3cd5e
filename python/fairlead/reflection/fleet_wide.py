"""All models against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from fairlead.measure.drift.distances import adjust
from fairlead.reflection.calibration import calibration_of
from fairlead.reflection.columns import Answers, Kind
from fairlead.reflection.ensembles import Pair, contribution_of
from fairlead.reflection.inference import ALPHA, Estimate
from fairlead.reflection.paired import Paired, average, opposite
from fairlead.reflection.plain import plain
from fairlead.reflection.suggestions import Evidence, Suggestion
from fairlead.reflection.trend import State, trend_of

_SHOWN = 12  # models in a printed table


@dataclass(frozen=True, slots=True)
class Standing:
    """A model among the others, in one kind of task.

    loss: the mean of its own n answers. better_than, worse_than: of how many others it is, significantly. trend: with
    its p-value adjusted for all models. contribution: see `KindReflection`.
    """

    model: str
    n: int
    loss: float
    better_than: int
    worse_than: int
    trend: State
    trend_p: float
    contribution: Estimate | None


@dataclass(frozen=True, slots=True)
class KindComparison:
    """All models in one kind of task: the best first (wins less losses, then mean loss). paired: each pair once."""

    kind: Kind
    standings: tuple[Standing, ...]
    paired: tuple[Paired, ...]
    pairs: tuple[Pair, ...]

    def against(self, model: str, other: str) -> Paired:
        """The comparison of two models, from the side of the first. Raises KeyError."""
        for one in self.paired:
            if (one.model, one.other) == (model, other):
                return one
            if (one.model, one.other) == (other, model):
                return Paired(model, other, one.loss_other, one.loss, opposite(one.difference), one.p_adjusted)
        raise KeyError((model, other))

    def difference(self, model: str, other: str) -> Estimate:
        """What the first loses more than the second, on common tasks."""
        return self.against(model, other).difference

    def table(self) -> dict[str, list[Any]]:
        """Columns of a data frame: a row for each ordered pair of models."""
        names = [row.model for row in self.standings]
        rows = [self.against(a, b) for a in names for b in names if a != b]
        return {
            "model": [p.model for p in rows],
            "other": [p.other for p in rows],
            "n": [p.n for p in rows],
            "rounds": [p.difference.rounds for p in rows],
            "difference": [p.difference.value for p in rows],
            "low": [p.difference.low for p in rows],
            "high": [p.difference.high for p in rows],
            "p_value": [p.difference.p_value for p in rows],
            "p_adjusted": [p.p_adjusted for p in rows],
        }

    def __str__(self) -> str:
        shown = self.standings[:_SHOWN]
        width = max(len(row.model) for row in shown)
        lines = [f"{self.kind}: + better, - worse than the model of the column, . not told apart"]
        for row in shown:
            marks = "".join(" " if row is other else self._mark(row.model, other.model) for other in shown)
            lines.append(
                f"  {row.model:{width}}  {marks}  loss {row.loss:.4f}, n = {row.n}, better than {row.better_than}, "
                f"worse than {row.worse_than}, {row.trend}"
            )
        if len(self.standings) > _SHOWN:
            lines.append(f"  and {len(self.standings) - _SHOWN} more")
        return "\n".join(lines)

    def _mark(self, model: str, other: str) -> str:
        paired = self.against(model, other)
        return "+" if paired.better else "-" if paired.worse else "." if paired.n else "?"


@dataclass(frozen=True, slots=True)
class Comparison:
    """All models against each other, by kind of task, and what follows for the fleet."""

    kinds: tuple[KindComparison, ...]
    suggestions: tuple[Suggestion, ...]
    missing: tuple[str, ...] = ()

    def __getitem__(self, kind: str) -> KindComparison:
        for one in self.kinds:
            if one.kind == kind:
                return one
        raise KeyError(kind)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON types; a number that is not known is None."""
        out: dict[str, Any] = plain(self)
        for suggestion, line in zip(self.suggestions, out["suggestions"], strict=True):
            line["rule"] = suggestion.rule
        return out

    def __str__(self) -> str:
        lines = [str(kind) for kind in self.kinds]
        for title, texts, most in (("suggestions", self.suggestions, 8), ("missing", self.missing, 3)):
            if texts:
                lines += [f"{title}:", *(f"  {text}" for text in texts[:most])]
                lines += [f"  and {len(texts) - most} more"] if len(texts) > most else []
        return "\n".join(lines)


def all_evidence(answers: Answers, against: list[Paired], pairs: list[Pair]) -> list[Evidence]:
    """What is known of each model, p-values adjusted for all models."""
    names = answers.rows.models
    sides: dict[str, list[Paired]] = {names[m]: [] for m in answers.present}
    for one in against:
        sides[one.model].append(one)
        sides[one.other].append(
            Paired(one.other, one.model, one.loss_other, one.loss, opposite(one.difference), one.p_adjusted)
        )
    partners: dict[str, list[Pair]] = {names[m]: [] for m in answers.present}
    for pair in pairs:
        partners[pair.a].append(pair)
        partners[pair.b].append(pair)
    found = []
    for m in answers.present:
        trend, calibration = trend_of(answers, m), calibration_of(answers, m)
        off, drift = (calibration.smaller_p, calibration.drift.p_value) if calibration else (math.nan, math.nan)
        contribution = contribution_of(answers, m)
        found.append(
            Evidence(
                m, trend, trend.p_value, calibration, off, drift, contribution, sides[names[m]], partners[names[m]]
            )
        )
    trends = adjust([e.trend_p for e in found]).tolist()
    offs = adjust([e.calibration_p for e in found]).tolist()
    drifts = adjust([e.drift_p for e in found]).tolist()
    return [
        replace(e, trend_p=trend, calibration_p=off, drift_p=drift)
        for e, trend, off, drift in zip(found, trends, offs, drifts, strict=True)
    ]


def compare_kind(
    answers: Answers, against: list[Paired], pairs: list[Pair], evidence: list[Evidence]
) -> KindComparison:
    """The comparison in one kind of task."""
    standings = []
    for e in evidence:
        places = answers.of(e.model)
        state: State = e.trend.state if e.trend.state == "unknown" or e.trend_p < ALPHA else "stable"
        standings.append(
            Standing(
                answers.rows.models[e.model],
                len(places),
                average(answers.loss[places]),
                sum(p.better for p in e.against),
                sum(p.worse for p in e.against),
                state,
                e.trend_p,
                e.contribution,
            )
        )
    standings.sort(key=lambda row: (row.worse_than - row.better_than, row.loss, row.model))
    return KindComparison(answers.kind, tuple(standings), tuple(against), tuple(pairs))
