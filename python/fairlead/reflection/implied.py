"""How much losses must vary, if forecasts are worth anything: what the outcomes seen so far may not show.

Forecasts of rare events differ by the same little from each other, task after task, until an event comes. So the
variance of such a difference is not only taken from what was seen, but from the forecasts too, as it is where the event
has a probability between the two (T. Lai, S. Gross, D. Shen, "Evaluating probability forecasts", Annals of Statistics
39, 2011): that for which the expected difference is zero. Of classes, "the event" is the one that happened, against all
others, as if there were two; that is exact where there are, and too much rather than too little where there are more.
A forecast of a number implies nothing: there a rare jump that never came is not allowed for.
"""

from __future__ import annotations

import numpy as np

from fairlead.reflection.columns import Answers
from fairlead.reflection.inference import Floats, Implied, Ints


def of_difference(answers: Answers, p: Floats, q: Floats) -> Implied | None:
    """Of what an opinion p loses more than an opinion q of the same task, were both equally good, in Brier score.

    None of numbers; NaN where an opinion is not known.
    """
    if answers.kind == "numeric":
        return None
    return Implied(0.5 * (p + q), 2.0 * (p - q) * _scale(answers))


def of_pooled(answers: Answers, p: Floats, q: Floats) -> Implied | None:
    """The same by `Answers.pooled_loss`."""
    if answers.kind != "categorical":
        return of_difference(answers, p, q)
    p, q = (np.clip(x, 1e-12, 1.0 - 1e-12) for x in (p, q))
    if_so, if_not = np.log(q / p), np.log((1.0 - p) / (1.0 - q))
    apart = if_so + if_not
    with np.errstate(invalid="ignore", divide="ignore"):
        chance = np.where(apart == 0.0, 0.5, if_not / apart)
    return Implied(np.clip(chance, 0.0, 1.0), apart)


def of_pair(answers: Answers, ours: Ints, theirs: Ints) -> Implied | None:
    """Of the losses of two models' answers, by place, to the same tasks."""
    return of_difference(answers, answers.opinion[ours], answers.opinion[theirs])


def of_loss(answers: Answers, places: Ints) -> Implied | None:
    """Of the losses of answers, if their probabilities are true."""
    if answers.kind == "numeric":
        return None
    p = answers.opinion[places]
    return Implied(p, (1.0 - 2.0 * p) * _scale(answers))


def of_excess(answers: Answers, places: Ints) -> Implied | None:
    """Of what answers lose more than those of the others to the same task, on average. NaN: there are no others.

    A difference of quadratic losses is linear in the outcome, so the others count as their mean.
    """
    if answers.kind == "numeric":
        return None
    task = answers.task[places]
    others = answers.answers_of_task[task] - 1
    own = answers.opinion[places]
    with np.errstate(invalid="ignore", divide="ignore"):
        rest = (np.bincount(answers.task, answers.opinion, answers.tasks)[task] - own) / others
    return of_difference(answers, own, rest)


def _scale(answers: Answers) -> float:
    """Of classes the Brier score is summed over all of them: twice that of one of two."""
    return 2.0 if answers.kind == "categorical" else 1.0
