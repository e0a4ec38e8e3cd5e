"""Where a model is better and where worse than it usually is: "category=politics", "regime=calm", ..."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairlead.measure.drift.distances import adjust
from fairlead.reflection.columns import Answers
from fairlead.reflection.inference import (
    ALPHA,
    MIN_ROUNDS,
    Floats,
    Ints,
    blocks,
    directions_for,
    most_directions,
    t_quantile,
    t_tail,
)

Verdict = Literal["better", "worse", "same", "unknown"]

MIN_TASKS = 20


@dataclass(frozen=True, slots=True)
class Context:
    """A model in one context, against itself in all the others. Negative is good.

    loss: its mean loss there. difference: how much more it loses against the others who answered the same tasks than it
    does elsewhere (against itself alone, where hardly anyone else answered). shrunk: the same, drawn to 0 as far as the
    contexts of its dimension differ by no more than chance (empirical Bayes); low, high: its 95 % interval.
    p_value: of no difference; p_adjusted: among all contexts tested (Benjamini-Hochberg). verdict: 'better' or 'worse'
    where that is below 5 %, 'unknown' with too few tasks or rounds here or elsewhere.
    """

    context: str
    n: int
    rounds: int
    loss: float
    difference: float
    shrunk: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Contexts:
    """All contexts of a model, the best first; those that could not be tested come last.

    best, worst: those that differ from the rest, most first. basis: 'excess' over the others, or 'raw' losses.
    """

    rows: tuple[Context, ...]
    best: tuple[str, ...]
    worst: tuple[str, ...]
    tested: int
    basis: Literal["excess", "raw"]


def contexts_of(answers: Answers, model: int) -> Contexts:
    """The contexts of one model."""
    places = answers.of(model)
    value = answers.adjusted[places]
    basis: Literal["excess", "raw"] = "excess"
    if 2 * int((~np.isnan(value)).sum()) < len(places):
        value, basis = answers.loss[places], "raw"
    known = ~np.isnan(value)
    places, value = places[known], value[known]
    if not len(places):
        return Contexts((), (), (), 0, basis)
    contrasts = _Contrasts(value, answers.round[places])
    names, losses, drafts = [], [], []
    for context, inside in answers.contexts_of(places):
        names.append(answers.rows.contexts[context])
        losses.append(float(answers.loss[places[inside]].mean()))
        drafts.append(contrasts.of(inside))
    p_adjusted = adjust([draft.p_value for draft in drafts])
    shares = _shares(names, drafts)
    rows = []
    for name, loss, draft, p, share in zip(names, losses, drafts, p_adjusted.tolist(), shares, strict=True):
        half = t_quantile(draft.freedom) * draft.error * math.sqrt(share) if draft.freedom else math.nan
        shrunk = share * draft.difference
        verdict: Verdict = "unknown" if math.isnan(p) else "same" if p >= ALPHA else "worse"
        if verdict == "worse" and draft.difference < 0:
            verdict = "better"
        rows.append(
            Context(
                name,
                draft.n,
                draft.rounds,
                loss,
                draft.difference,
                shrunk,
                shrunk - half,
                shrunk + half,
                draft.p_value,
                p,
                verdict,
            )
        )
    rows.sort(key=lambda row: (row.verdict == "unknown", row.shrunk if row.verdict != "unknown" else 0.0, row.context))
    return Contexts(
        tuple(rows),
        tuple(row.context for row in rows if row.verdict == "better"),
        tuple(row.context for row in reversed(rows) if row.verdict == "worse"),
        sum(row.verdict != "unknown" for row in rows),
        basis,
    )


@dataclass(frozen=True, slots=True)
class _Draft:
    n: int
    rounds: int
    difference: float = math.nan
    error: float = math.nan
    freedom: int = 0  # 0: not tested
    p_value: float = math.nan


class _Contrasts:
    """One series of values in rounds, and any part of it against the rest."""

    def __init__(self, value: Floats, rounds: Ints) -> None:
        self.value = value
        self.rounds = rounds
        self.total = float(value.sum())
        self.noise = 1e-13 * float(np.abs(value).max())
        self.in_round = np.bincount(rounds)
        self.block, self.blocks = blocks(rounds)
        self.sums = np.bincount(self.block, value, self.blocks)
        self.counts = np.bincount(self.block, minlength=self.blocks)
        at = (np.arange(self.blocks) + 0.5) / self.blocks
        orders = np.arange(1, most_directions(self.blocks) + 1)
        self.cosines = math.sqrt(2.0 / self.blocks) * np.cos(math.pi * np.outer(orders, at))

    def of(self, inside: Ints) -> _Draft:
        n, rest = len(inside), len(self.value) - len(inside)
        rounds, counts = np.unique(self.rounds[inside], return_counts=True)
        seen = len(rounds)
        elsewhere = int(np.count_nonzero(self.in_round)) - int((counts == self.in_round[rounds]).sum())
        if min(n, rest) < MIN_TASKS or min(seen, elsewhere) < MIN_ROUNDS:
            return _Draft(n, seen)
        value = self.value[inside]
        here = float(value.mean())
        away = (self.total - float(value.sum())) / rest
        # What each round adds to the difference of the two means: the series whose sum is its error.
        sums = np.bincount(self.block[inside], value, self.blocks)
        number = np.bincount(self.block[inside], minlength=self.blocks)
        series = (sums - here * number) / n - (self.sums - sums - away * (self.counts - number)) / rest
        freedom = min(directions_for(series, min(seen, elsewhere)), len(self.cosines))
        error = math.sqrt(self.blocks * float(np.mean(np.einsum("ij,j->i", self.cosines[:freedom], series) ** 2)))
        if error <= self.noise:
            p = 1.0 if abs(here - away) <= self.noise else 0.0
        else:
            p = min(1.0, 2.0 * t_tail(abs(here - away) / error, freedom))
        return _Draft(n, seen, here - away, error, freedom, p)


def _shares(names: list[str], drafts: list[_Draft]) -> list[float]:
    """By how much each difference is kept: the variance between the contexts of its dimension over that and its own.

    The variance between is the method of moments' (R. DerSimonian, N. Laird 1986), about zero. NaN: not tested.
    """
    between: dict[str, float] = {}
    dimensions = [name.partition("=")[0] for name in names]
    for dimension in set(dimensions):
        tested = [d for d, of in zip(drafts, dimensions, strict=True) if of == dimension and d.freedom and d.error > 0]
        weights = [d.error**-2 for d in tested]
        spread = sum(w * d.difference**2 for w, d in zip(weights, tested, strict=True))
        between[dimension] = max(0.0, (spread - len(tested)) / sum(weights)) if tested else 0.0
    return [
        math.nan if not d.freedom else 1.0 if d.error == 0 else between[of] / (between[of] + d.error**2)
        for d, of in zip(drafts, dimensions, strict=True)
    ]
