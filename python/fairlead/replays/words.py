"""What each strategy does, in half a sentence: for people who read a replay."""

from __future__ import annotations

WHAT_IT_DOES = {
    "auto": "mixes hedge, weighted and stacked by their record, and the simpler pools once theirs is better",
    "hedge": "trusts each model by how it has done beside the others, most in the slices of the task",
    "weighted": "the same, but models that err together share one vote",
    "stacked": "hedge and weighted together, made bolder or more careful as outcomes demand",
    "mean": "every model has one vote",
    "median": "the middle answer",
    "trimmed": "the mean without the fifth of the models at each end",
    "log": "the geometric mean, in which a firm no counts for much",
    "confidence": "follows the model that is surest, by what its word has been worth",
    "consensus": "the mean of the models that name what most name",
    "vote": "each model votes for what it thinks likeliest, as loudly as its confidence is worth",
    "best_single": "the model that turned out best, which nobody could know beforehand",
}
