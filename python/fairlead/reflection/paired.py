"""Models against each other, on the tasks that both answered."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.reflection import implied
from fairlead.reflection.columns import KINDS, Answers
from fairlead.reflection.inference import ALPHA, MIN_ROUNDS, Estimate, Floats, Ints, holm, mean


@dataclass(frozen=True, slots=True)
class Paired:
    """A model against another, on the tasks that both answered.

    loss, loss_other: mean losses on those. difference: loss less the other's, with its 95 % interval and the p-value of
    none (the test of F. Diebold and R. Mariano 1995, with the variance of `inference`, of probabilities no less than
    the two forecasts imply, see `implied`); negative: the model is better. p_adjusted: among all comparisons made
    (Holm); NaN with fewer than 10 common rounds, and of numbers whose losses always differ by the same.
    """

    model: str
    other: str
    loss: float
    loss_other: float
    difference: Estimate
    p_adjusted: float

    @property
    def n(self) -> int:
        """Tasks that both answered."""
        return self.difference.n

    @property
    def better(self) -> bool:
        """The model is significantly better."""
        return self.p_adjusted < ALPHA and self.difference.value < 0

    @property
    def worse(self) -> bool:
        """The model is significantly worse."""
        return self.p_adjusted < ALPHA and self.difference.value > 0


def compare_pairs(answers: Answers, pairs: list[tuple[int, int]]) -> list[Paired]:
    """Each pair, with p-values adjusted for all of them. Models that never met are compared on nothing."""
    drafts = []
    for a, b in pairs:
        ours, theirs = answers.common(a, b)
        difference = mean(
            answers.loss[ours] - answers.loss[theirs], answers.round[ours], implied.of_pair(answers, ours, theirs)
        )
        drafts.append((a, b, average(answers.loss[ours]), average(answers.loss[theirs]), difference))
    adjusted = holm([draft[4].p_value for draft in drafts]).tolist()
    names = answers.rows.models
    return [
        Paired(names[a], names[b], loss, other, difference, p)
        for (a, b, loss, other, difference), p in zip(drafts, adjusted, strict=True)
    ]


def average(values: Floats) -> float:
    """The mean; NaN of nothing."""
    return float(values.mean()) if len(values) else math.nan


@dataclass(frozen=True, slots=True)
class Regret:
    """What a model lost more than others did on the same tasks: in all, and per 100 of them. Negative: it lost less.

    best: the model with the least loss in hindsight, among those that answered at least half of the model's tasks, by
    the difference on common tasks; the model itself, if none lost less. n: common tasks.
    peers_total, peers_per_100, peers_n: against the mean of the others who answered the same task.
    """

    best: str
    n: int
    total: float
    per_100: float
    peers_n: int
    peers_total: float
    peers_per_100: float


def regret_of(answers: Answers, model: int, against: list[Paired]) -> Regret | None:
    """The regret of a model, given its comparisons; None where nobody else answered its tasks."""
    places = answers.of(model)
    excess = answers.excess[places]
    excess = excess[~np.isnan(excess)]
    if not len(excess):
        return None
    best, n, per_task = answers.rows.models[model], len(places), 0.0
    for paired in against:
        if 2 * paired.n >= len(places) and paired.difference.value > per_task:
            best, n, per_task = paired.other, paired.n, paired.difference.value
    total = float(excess.sum())
    return Regret(best, n, per_task * n, 100.0 * per_task, len(excess), total, 100.0 * total / len(excess))


@dataclass(frozen=True, slots=True)
class Cost:
    """What its answers cost. What is not known is NaN, and not nothing: costs that were not given, and those of a model
    that are all 0, which none was recorded of.

    n: answers. known: of how many tasks the cost is known; all that follows is of those. total: USD.
    per_answer: USD for each scored answer, calls that failed included. per_improvement: USD for each unit of loss that
    it lost less than the others who answered the same task, at that price for each answer; None if it lost no less.
    cheaper: the cheapest model that costs less for each scored answer, on the tasks where both costs are known, at
    least half of those that both answered, and is not significantly worse on common tasks, and what it costs there;
    None if there is none that could be compared. cheaper_difference: its loss less the model's, with its interval.
    """

    n: int
    known: int
    total: float
    per_answer: float
    per_improvement: float | None
    cheaper: str | None
    cheaper_per_answer: float | None
    cheaper_difference: Estimate | None


def cost_of(answers: Answers, model: int, against: list[Paired]) -> Cost:
    """The cost of a model in tasks of this kind, scored or not."""
    n = int(answers.counts[model])
    tasks, costs, scored = _costs(answers, model)
    total = float(costs.sum()) if len(costs) else math.nan
    each = total / float(scored.sum()) if scored.any() else math.nan
    excess = answers.excess[answers.of(model)]
    excess = excess[~np.isnan(excess)]
    gained = -float(excess.sum())
    cheaper: Paired | None = None
    least = math.inf
    for paired in against:
        if math.isnan(paired.p_adjusted) or paired.better:
            continue
        other, prices, answered = _costs(answers, answers.rows.models.index(paired.other))
        both, here, there = np.intersect1d(tasks, other, return_indices=True)
        if 2 * len(both) < paired.n or not scored[here].any() or not answered[there].any():
            continue
        price = float(prices[there].sum()) / float(answered[there].sum())
        if price < float(costs[here].sum()) / float(scored[here].sum()) and price < least:
            cheaper, least = paired, price
    return Cost(
        n,
        len(tasks),
        total,
        each,
        each * len(excess) / gained if gained > 0 and not math.isnan(each) else None,
        cheaper.other if cheaper else None,
        least if cheaper else None,
        opposite(cheaper.difference) if cheaper else None,
    )


def _costs(answers: Answers, model: int) -> tuple[Ints, Floats, NDArray[np.bool_]]:
    """The tasks of this kind of which it is known what the model cost, that, and whether it was scored."""
    rows = answers.rows
    cost = rows["cost_usd"]
    mine = np.flatnonzero((rows["model"] == model) & (rows["kind"] == KINDS.index(answers.kind)) & ~np.isnan(cost))
    scored = (rows["scored"][mine] != 0) & np.isfinite(rows["loss"][mine])
    return rows["task"][mine], cost[mine], scored


def opposite(e: Estimate) -> Estimate:
    """The same difference, seen from the other side."""
    return Estimate(-e.value, -e.high, -e.low, e.p_value, e.n, e.rounds, -e.statistic, e.freedom)


def worse_everywhere(answers: Answers, model: int, other: int, least: int) -> tuple[list[str], list[str], list[str]]:
    """The contexts where a model is significantly worse than another, where not, and those with too little to tell.

    Each at 5 %, not adjusted: who asks for all of them at once needs no adjustment (intersection-union test).
    """
    ours, theirs = answers.common(model, other)
    difference, rounds = answers.loss[ours] - answers.loss[theirs], answers.round[ours]
    chance = implied.of_pair(answers, ours, theirs)
    worse, rest, untested = [], [], []
    for context, inside in answers.contexts_of(ours):
        name = answers.rows.contexts[context]
        found = mean(difference[inside], rounds[inside], None if chance is None else chance[inside])
        if found.n < least or found.rounds < MIN_ROUNDS:
            untested.append(name)
        elif found.p_value < ALPHA and found.value > 0:
            worse.append(name)
        else:
            rest.append(name)
    return worse, rest, untested
