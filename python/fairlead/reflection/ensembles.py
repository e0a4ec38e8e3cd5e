"""Which models are worth pooling, because their errors differ."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fairlead.reflection.columns import Answers
from fairlead.reflection.inference import ALPHA, Estimate, Floats, Ints, holm, mean
from fairlead.reflection.paired import average


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models and their plain mean, on the tasks that both answered.

    correlation: of their signed errors. score: what the losses are: the Brier score, the squared error, or the log-loss
    of classes (which alone follows from what is known of them). loss_mean: of the mean of the two. loss_better: of the
    better of the two, which is chosen on the other half of the tasks, in time, so it is no hindsight.
    gain: the second less the first, with its interval; p_adjusted: of none, among all pairs looked at (Holm).
    """

    a: str
    b: str
    score: str
    correlation: float
    loss_mean: float
    loss_better: float
    gain: Estimate
    p_adjusted: float

    @property
    def worthwhile(self) -> bool:
        """Pooling the two is significantly better than the better of them."""
        return self.p_adjusted < ALPHA and self.gain.value > 0


def pairs_of(answers: Answers, pairs: list[tuple[int, int]]) -> list[Pair]:
    """Each pair that met, with p-values adjusted for all of them; the least loss of the mean first."""
    drafts = []
    for a, b in pairs:
        ours, theirs = answers.common(a, b)
        known = ~np.isnan(answers.error[ours] + answers.error[theirs])
        ours, theirs = ours[known], theirs[known]
        if not len(ours):
            continue
        outcome, rounds = answers.column("outcome")[ours], answers.round[ours]
        first, second = answers.opinion[ours], answers.opinion[theirs]
        pooled = answers.pooled_loss(0.5 * (first + second), outcome)
        single = np.stack([answers.pooled_loss(first, outcome), answers.pooled_loss(second, outcome)])
        better = _chosen_on_the_other_half(single, rounds)
        drafts.append(
            (
                answers.rows.models[a],
                answers.rows.models[b],
                correlation(answers.error[ours], answers.error[theirs]),
                average(pooled),
                average(better),
                mean(better - pooled, rounds),
            )
        )
    adjusted = holm([draft[5].p_value for draft in drafts]).tolist()
    found = [
        Pair(a, b, answers.pooled_score, r, pooled, better, gain, p)
        for (a, b, r, pooled, better, gain), p in zip(drafts, adjusted, strict=True)
    ]
    return sorted(found, key=lambda pair: (pair.loss_mean, pair.a, pair.b))


def _chosen_on_the_other_half(single: Floats, rounds: Ints) -> Floats:
    cut = rounds[(len(rounds) - 1) // 2]
    early: NDArray[np.bool_] = rounds <= cut
    out = np.empty(len(rounds))
    for half in (early, ~early):
        seen = single[:, ~half]
        # With everything in one round there is no other half: then the better one is hindsight, the harder comparison.
        out[half] = single[int(np.argmin((seen if seen.shape[1] else single).sum(axis=1)))][half]
    return out


def correlation(x: Floats, y: Floats) -> float:
    """Pearson's; NaN of a constant."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        x, y = x - x.mean(), y - y.mean()
        xx, yy, xy = (float(np.einsum("i,i->", a, b)) for a, b in ((x, x), (y, y), (x, y)))
        scale = math.sqrt(xx) * math.sqrt(yy)
        return float(np.clip(xy / scale, -1.0, 1.0)) if 0.0 < scale < math.inf else math.nan


def contribution_of(answers: Answers, model: int) -> Estimate | None:
    """What the plain mean of all who answered would lose more without the model, a task; positive: it helps.

    On the tasks that others answered too, by the loss that `Pair.score` names; None if there are none.
    """
    places = answers.of(model)
    task = answers.task[places]
    others = answers.answers_of_task[task] - 1
    total = np.bincount(answers.task, answers.opinion, answers.tasks)[task]
    met = others > 0
    if not met.any():
        return None
    places, total, others = places[met], total[met], others[met]
    own = answers.opinion[places]
    outcome = answers.column("outcome")[places]
    with np.errstate(invalid="ignore"):
        without = answers.pooled_loss((total - own) / others, outcome)
        more = without - answers.pooled_loss(total / (others + 1), outcome)
    return mean(more, answers.round[places])
