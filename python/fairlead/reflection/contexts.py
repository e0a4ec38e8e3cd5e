"""Where a model is better and where worse than it usually is: "category=politics", "regime=calm", ..."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairlead.measure.drift.distances import adjust
from fairlead.measure.student import t_quantile, t_tail
from fairlead.reflection.columns import Answers
from fairlead.reflection.implied import of_excess, of_loss
from fairlead.reflection.inference import (
    ALPHA,
    MIN_ROUNDS,
    MOST_BLOCKS,
    Floats,
    Implied,
    Ints,
    autocorrelation,
    believed,
    directions_for,
    evenly,
)

Verdict = Literal["better", "worse", "same", "unknown"]

MIN_TASKS = 20
_SHARED = 0.9  # of the tasks of a context and of the others, in rounds that hold both


@dataclass(frozen=True, slots=True)
class Context:
    """A model in one context, against itself in all the others. Negative is good.

    loss: its mean loss there. difference: how much more it loses against the others who answered the same tasks than it
    does elsewhere (against itself alone, where hardly anyone else answered). shrunk: the same, drawn to 0 as far as the
    contexts of its dimension, if there are four or more, differ by no more than chance (empirical Bayes). low, high:
    its 95 % interval, which holds the truth of 93 to 99 % of the contexts of a dimension, but less often (77 to 90 %)
    that of one which alone differs.
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
    value, implied = answers.adjusted[places], of_excess
    basis: Literal["excess", "raw"] = "excess"
    if 2 * int((~np.isnan(value)).sum()) < len(places):
        value, implied, basis = answers.loss[places], of_loss, "raw"
    known = ~np.isnan(value)
    places, value = places[known], value[known]
    if not len(places):
        return Contexts((), (), (), 0, basis)
    contrasts = _Contrasts(value, answers.round[places], implied(answers, places))
    names, losses, drafts = [], [], []
    for context, inside in answers.contexts_of(places):
        names.append(answers.rows.contexts[context])
        losses.append(float(answers.loss[places[inside]].mean()))
        drafts.append(contrasts.of(inside))
    p_adjusted = adjust([draft.p_value for draft in drafts])
    drawn = _shrunk(names, drafts)
    rows = []
    for name, loss, draft, p, (shrunk, error) in zip(names, losses, drafts, p_adjusted.tolist(), drawn, strict=True):
        half = t_quantile(draft.freedom) * error if draft.freedom else math.nan
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
    freedom: float = 0.0  # 0: not tested
    p_value: float = math.nan


class _Contrasts:
    """A series of values in rounds, and any part of it against the rest: two means, and the error of their difference.

    Each mean has the error that `inference` gives a mean, from its own rounds in their own order, so that a stretch of
    time is a series like any other; degrees of freedom are B. Welch's (Biometrika 34, 1947). Only where nearly all
    rounds hold both are they one series of differences, which is free of what befell both.

    A few rounds do not show how autocorrelated they are, but the whole series does. In an autoregression of order 1 the
    smooth directions of a short series see less than the variance of its mean, and the error is made larger by that
    ratio: prewhitening by the whole (D. Andrews, J. Monahan, Econometrica 60, 1992).

    Where 5 % are asked for, false alarms are 4 to 7 % for contexts of 10 rounds or more, in one piece or here and
    there, of white noise as of an autocorrelation of .5, four times as loud as the rest or as calm; but up to 11 % of
    10 rounds so loud or calm among 20 so autocorrelated. Fewer where rounds are shared, but not nearly all of them.
    """

    def __init__(self, value: Floats, rounds: Ints, implied: Implied | None = None) -> None:
        self.value = value
        _, self.rounds = np.unique(rounds, return_inverse=True)
        self.noise = 1e-13 * float(np.abs(value).max())
        self.sums = np.bincount(self.rounds, value)
        self.counts = np.bincount(self.rounds).astype(np.float64)
        self.root = np.sqrt(self.counts)
        self.implied = np.stack(implied.moments()) if implied is not None else np.zeros((2, len(value)))
        self.implied_in_all = self.implied.sum(axis=1)

    def of(self, inside: Ints) -> _Draft:
        rounds, place = np.unique(self.rounds[inside], return_inverse=True)
        number, here = np.zeros(len(self.counts)), np.zeros(len(self.counts))
        number[rounds], here[rounds] = np.bincount(place), np.bincount(place, self.value[inside])
        others, away = self.counts - number, self.sums - here
        n, rest = len(inside), len(self.value) - len(inside)
        if min(n, rest) < MIN_TASKS or min(len(rounds), int(np.count_nonzero(others))) < MIN_ROUNDS:
            return _Draft(n, len(rounds))
        if min(evenly(number), evenly(others)) < 0.5 * MIN_ROUNDS:
            return _Draft(n, len(rounds))
        mean_here, mean_away = float(here.sum()) / n, float(away.sum()) / rest
        here, away = here - mean_here * number, away - mean_away * others
        rho = autocorrelation((here + away) / self.root, evenly(self.counts))
        floor_here, floor_away = self._floors(inside)
        both = number * others > 0
        if min(float(number[both].sum()) / n, float(others[both].sum()) / rest) >= _SHARED:
            variance, freedom = _variance(here / n - away / rest, [number, others], rho)
            variance = max(variance, floor_here + floor_away)
        else:
            one, freedom_here = _variance(here / n, [number], rho)
            other, freedom_away = _variance(away / rest, [others], rho)
            one, other = max(one, floor_here), max(other, floor_away)
            variance = one + other
            freedom = variance**2 / (one**2 / freedom_here + other**2 / freedom_away) if variance > 0 else 1.0
        difference, error = mean_here - mean_away, math.sqrt(variance)
        if error > self.noise:
            p = min(1.0, 2.0 * t_tail(abs(difference) / error, freedom))
        elif abs(difference) <= self.noise:
            error, p = 0.0, 1.0
        else:  # it never varied: how it would is not known
            return _Draft(n, len(rounds), difference)
        return _Draft(n, len(rounds), difference, error, freedom, p)

    def _floors(self, inside: Ints) -> tuple[float, float]:
        """What the forecasts imply of the variance of both means."""
        here = self.implied[:, inside].sum(axis=1)
        away = self.implied_in_all - here
        n = len(inside)
        floors = [
            float(variance) * believed(float(variance), float(fourth)) / size**2
            for (variance, fourth), size in ((here, n), (np.maximum(away, 0.0), len(self.value) - n))
        ]
        return floors[0], floors[1]


def _variance(series: Floats, sides: list[Floats], rho: float) -> tuple[float, float]:
    """The variance of the sum of what each round adds to a mean, or to a difference of means, and degrees of freedom.

    sides: how many tasks each round has, of each mean, which was taken out. rho: the autocorrelation of all rounds.
    """
    kept = np.flatnonzero(sum(sides[1:], sides[0]))
    if len(kept) > MOST_BLOCKS:
        starts = np.arange(MOST_BLOCKS) * len(kept) // MOST_BLOCKS
        series, *sides = (np.add.reduceat(x[kept], starts) for x in (series, *sides))
        kept = kept[starts]
    else:
        series, *sides = (x[kept] for x in (series, *sides))
    # What each round adds to the variance, if tasks are independent; time is how much of that was there so far.
    shares = [side / side.sum() ** 2 for side in sides]
    weight = sum(shares[1:], shares[0])
    total, even = float(weight.sum()), evenly(weight)
    near = float(np.mean(min(max(rho, 0.0), 0.95) ** np.diff(kept)))
    size = min(directions_for(near, even), len(kept) - len(sides))
    orders = np.arange(1, size + 1)
    cosines = np.cos(math.pi * np.outer(orders, (np.cumsum(weight) - 0.5 * weight) / total))
    expected = np.einsum("ij,ij,j->i", cosines, cosines, weight)
    for side in sides:
        expected -= np.einsum("ij,j->i", cosines, side) ** 2 / side.sum() ** 3
    seen = float(np.mean(np.einsum("ij,j->i", cosines, series) ** 2 / expected))
    mean = (1 + near) / (1 - near) - 2 * near * (1 - near**even) / (even * (1 - near) ** 2)
    smooth = float(np.mean((1 - near**2) / (1 + near**2 - 2 * near * np.cos(math.pi * orders / even))))
    return total * seen * max(1.0, mean / smooth), float(size)


def _shrunk(names: list[str], drafts: list[_Draft]) -> list[tuple[float, float]]:
    """Each difference drawn to 0, and the error of that (C. Morris, "Parametric empirical Bayes inference", JASA 78,
    1983); NaN: not tested.

    The variance between the contexts of a dimension is the method of moments' (R. DerSimonian, N. Laird 1986), about
    zero. That it is only estimated, from differences that sum to nothing, counts: it takes four of them to draw any to
    0, and the error is never none because they happened to be close to each other.
    """
    found = [(draft.difference if draft.freedom else math.nan, draft.error) for draft in drafts]
    dimensions = [name.partition("=")[0] for name in names]
    for dimension in set(dimensions):
        places = [i for i, of in enumerate(dimensions) if of == dimension and drafts[i].freedom and drafts[i].error > 0]
        free = len(places) - 1
        if free <= 2:
            continue
        weights = [drafts[i].error ** -2 for i in places]
        spread = sum(w * drafts[i].difference ** 2 for i, w in zip(places, weights, strict=True))
        between = max(0.0, (spread - len(places)) / sum(weights))
        typical = len(places) / sum(weights)
        for i in places:
            difference, own = drafts[i].difference, drafts[i].error ** 2
            pull = (free - 2) / free * own / (own + between)
            doubt = 2.0 / (free - 2) * pull**2 * (typical + between) / (own + between)
            found[i] = ((1.0 - pull) * difference, math.sqrt(own * (1.0 - pull) + doubt * difference**2))
    return found
