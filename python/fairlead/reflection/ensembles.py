"""Which models are worth pooling, because their errors differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from fairlead.reflection import implied
from fairlead.reflection.columns import Answers
from fairlead.reflection.inference import ALPHA, Estimate, Floats, holm, mean
from fairlead.reflection.paired import average


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models and their plain mean, on the tasks that both answered.

    correlation: of their signed errors. score: what the losses are: the Brier score, the squared error, or the log-loss
    of classes (which alone follows from what is known of them). loss_mean: of the mean of the two, which has nothing
    fitted to it. better, loss_better: the better of the two, in hindsight. gain: that loss less that of the mean.
    gain_later: the same on the later half of the rounds alone. p_adjusted: of the mean being no better than each of the
    two, the larger of both tests (an intersection-union test, so it matters not which one is better), among all pairs
    looked at (Holm).
    """

    a: str
    b: str
    score: str
    correlation: float
    loss_mean: float
    better: str
    loss_better: float
    gain: Estimate
    gain_later: float
    p_adjusted: float

    @property
    def worthwhile(self) -> bool:
        """Pooling the two is significantly better than either of them, and was so lately."""
        return self.p_adjusted < ALPHA and self.gain.value > 0 and self.gain_later > 0


def pairs_of(answers: Answers, pairs: list[tuple[int, int]]) -> list[Pair]:
    """Each pair that met, with p-values adjusted for all of them; the least loss of the mean first."""
    names = answers.rows.models
    found, p_values = [], []
    for a, b in pairs:
        ours, theirs = answers.common(a, b)
        known = ~np.isnan(answers.error[ours] + answers.error[theirs])
        ours, theirs = ours[known], theirs[known]
        if not len(ours):
            continue
        outcome, rounds = answers.column("outcome")[ours], answers.round[ours]
        both = 0.5 * (answers.opinion[ours] + answers.opinion[theirs])
        pooled = answers.pooled_loss(both, outcome)
        single = [answers.pooled_loss(answers.opinion[places], outcome) for places in (ours, theirs)]
        losses = [average(loss) for loss in single]
        chances = [implied.of_pooled(answers, answers.opinion[places], both) for places in (ours, theirs)]
        gains = [mean(loss - pooled, rounds, chance) for loss, chance in zip(single, chances, strict=True)]
        best = int(losses[1] < losses[0])
        late = rounds > rounds[(len(rounds) - 1) // 2]
        two_sided = float(np.max([gain.p_value for gain in gains]))  # NaN, if either is
        p_values.append(1.0 if gains[best].value <= 0 and not math.isnan(two_sided) else two_sided)
        found.append(
            Pair(
                names[a],
                names[b],
                answers.pooled_score,
                correlation(answers.error[ours], answers.error[theirs]),
                average(pooled),
                names[(a, b)[best]],
                losses[best],
                gains[best],
                average((single[best] - pooled)[late]),
                math.nan,
            )
        )
    adjusted = holm(p_values).tolist()
    found = [replace(pair, p_adjusted=p) for pair, p in zip(found, adjusted, strict=True)]
    return sorted(found, key=lambda pair: (pair.loss_mean, pair.a, pair.b))


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
        rest, all_ = (total - own) / others, total / (others + 1)
        more = answers.pooled_loss(rest, outcome) - answers.pooled_loss(all_, outcome)
        chance = implied.of_pooled(answers, rest, all_)
    return mean(more, answers.round[places], chance)
