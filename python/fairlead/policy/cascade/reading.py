"""What the settled tasks of a fleet say of its models: how their answers go together, and what they cost."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from fairlead.policy.cascade.evidence import Evidence
from fairlead.policy.cascade.plan import Plan
from fairlead.types import Kind, Probabilities, Task

if TYPE_CHECKING:
    from fairlead.measure.audit import Audit
    from fairlead.policy.cascade.past import Settled

__all__ = ["ENOUGH", "Line", "Reading"]

ENOUGH = 20
"""Settled tasks of a kind, and settled answers of a model, before it is left out of an ensemble."""
_OF_ALL = 20.0  # results of a category from which on it counts as much as all others together do


class Reading:
    """Of the newest settled tasks of a fleet: a pure function of them, so that a desk that was opened again reads the
    same.

    Yes-no answers are learned as they are. Of labels, the two that the answers' mean favours are set against each
    other: a third that would overtake both is left out. Numbers are not learned from.
    """

    def __init__(self, audits: Sequence[Audit | Settled]) -> None:
        self._names: dict[str, int] = {}
        for audit in audits:
            for model in audit.answers:
                self._names.setdefault(model, len(self._names))
        self._count = np.zeros(len(self._names), int)
        cost, calls = np.zeros(len(self._names)), np.zeros(len(self._names))
        rows: dict[Kind, list[tuple[str, list[float], int]]] = {"binary": [], "categorical": []}
        nobody = [math.nan] * len(self._names)
        for audit in audits:
            for model, usd in audit.costs.items():
                if model in self._names:
                    cost[self._names[model]] += usd
                    calls[self._names[model]] += 1
            if audit.kind == "numeric":
                continue
            found = _sided(audit.kind, audit.answers)
            if found is None:
                continue
            sides, yes, no = found
            if audit.outcome not in (yes, no):
                continue
            p = nobody.copy()
            for model, side in sides.items():
                p[self._names[model]] = side
                self._count[self._names[model]] += 1
            outcome = int(audit.outcome == yes)
            rows[audit.kind].append((audit.category, p, outcome))
            if audit.kind == "categorical":  # which of the two is called yes means nothing
                rows[audit.kind].append((audit.category, [1.0 - side for side in p], 1 - outcome))
        self.price = np.divide(cost, calls, out=np.full(len(cost), np.nan), where=calls > 0)
        self._all = {kind: self._learned(some) for kind, some in rows.items()}
        self._rows: dict[tuple[Kind, str], list[tuple[str, list[float], int]]] = {}
        for kind, some in rows.items():
            for row in some:
                self._rows.setdefault((kind, row[0]), []).append(row)
        self._own: dict[tuple[Kind, str], Evidence] = {}

    def _of(self, kind: Kind, category: str) -> Evidence | None:
        """What the tasks of a category say, worked out when it is first needed."""
        found = self._own.get((kind, category))
        if found is None and (rows := self._rows.pop((kind, category), None)) is not None:
            found = self._own[kind, category] = self._learned(rows)
        return found

    def _learned(self, rows: Sequence[tuple[str, list[float], int]]) -> Evidence:
        evidence = Evidence(max(len(self._names), 1))
        if rows:
            evidence.add_many(np.array([p for _, p, _ in rows]), np.array([outcome for _, _, outcome in rows]))
        return evidence

    def line(self, task: Task, models: Sequence[str], prices: Mapping[str, float], stop: float) -> Line | None:
        """Who is asked for a task, and when it stops; None where too little is known to leave anybody out.

        models: who may be asked. prices: USD of a call, of those whose price the record does not say."""
        everything = self._all.get(task.kind)
        if everything is None or everything.tasks < ENOUGH:
            return None
        own = self._of(task.kind, task.category)
        if own is not None:
            everything = own.with_others(everything, _OF_ALL / (own.tasks + _OF_ALL))
        known = [name for name in models if name in self._names and self._count[self._names[name]] >= ENOUGH]
        if not known or len(self._names) > 62:
            return None
        usd = np.array([self._usd(name, prices) for name in self._names])
        at = [self._names[name] for name in known]
        if not usd[at].any():  # all are free: only the chance of a change counts
            usd = np.ones(len(usd))
        law = everything.law()
        unit = float(usd[max(at, key=lambda m: law.worth(0, 1 << m))]) or float(usd[at].max())
        panel = sum(1 << m for m in at)
        plan = Plan(law, np.maximum(usd, 1e-9 * unit), panel, stop, unit)
        return Line(task, plan, {name: self._names[name] for name in known}, [n for n in models if n not in known])

    def _usd(self, name: str, prices: Mapping[str, float]) -> float:
        told = float(self.price[self._names[name]])
        return prices.get(name, 0.0) if math.isnan(told) else told


class Line:
    """One task of an ensemble: who is next, and why it stops.

    newcomers: models of which too little is known; they are asked in any case, first."""

    def __init__(self, task: Task, plan: Plan, places: Mapping[str, int], newcomers: Sequence[str]) -> None:
        self._task = task
        self._plan = plan
        self._places = dict(places)
        self._left = plan.panel
        self.newcomers = list(newcomers)
        self.chance = 1.0
        """That all who are left would change the decision."""

    @property
    def left(self) -> int:
        """How many have not been asked."""
        return len(self.newcomers) + self._left.bit_count()

    def next(self, answers: Mapping[str, Any]) -> str | None:
        """Who is asked now, given the answers so far by model; None: it stops. Each is named once."""
        if self.newcomers:
            return self.newcomers.pop(0)
        found = _sided(self._task.kind, answers) if answers else None
        if found is None:
            who = (
                -1
                if not self._left
                else Plan(self._plan.law, self._plan.price, self._left, self._plan.stop, self._plan.unit_usd).first()
            )
        else:
            x = np.full((1, len(self._plan.price)), np.nan)
            asked = 0
            for model, side in found[0].items():
                if model in self._places:
                    asked |= 1 << self._places[model]
                    x[0, self._places[model]] = 2.0 * side - 1.0
            log_odds = self._plan.law.log_odds(x, asked)
            whom, chance = self._plan.then(log_odds, asked, self._left & ~asked)
            who, self.chance = int(whom[0]), float(chance[0])
        if who < 0:
            return None
        self._left &= ~(1 << who)
        return next(name for name, place in self._places.items() if place == who)


def _sided(kind: Kind, answers: Mapping[str, Any]) -> tuple[dict[str, float], Any, Any] | None:
    """Answers as probabilities of one thing against another: of yes, or of the likelier of the two labels that their
    mean favours; and the two."""
    if kind == "binary":
        return {model: float(p) for model, p in answers.items()}, 1, 0
    if kind == "numeric" or not answers:
        return None
    mean: dict[str, float] = {}
    for p in answers.values():
        for label, share in p.items():
            mean[label] = mean.get(label, 0.0) + share
    first, second = sorted(mean, key=lambda label: (-mean[label], label))[:2]
    sides = {}
    for model, p in answers.items():
        both = p[first] + p[second]
        sides[model] = p[first] / both if both > 0.0 else 0.5
    return sides, first, second


def by_label(task: Task, p: Probabilities | None) -> Any:
    """An answer as audits have it: P(yes), or a probability by label."""
    return dict(zip(task.labels, p, strict=True)) if isinstance(p, tuple) else p
