"""What the answers of several models say together, and what those that were not asked might still say.

Two Gaussians with one covariance (linear discriminant analysis: R. A. Fisher, 1936; B. L. Welch, 1939), learned one
task after the other. x is 2p - 1 of a yes-no answer. Given the outcome, the answers x have a mean for each model and
one covariance for all, so that the log-odds after any subset A of answers are linear in them,

    l = prior + delta_A' S_AA^-1 (x_A - middle_A),

and models that err together share one vote. What further answers B would add to l is Gaussian too, given the outcome:
mean +-d2/2 and variance d2 = D(A + B) - D(A), with D(A) = delta_A' S_AA^-1 delta_A. So three chances have closed forms:
that B turns the decision, that it corrects it, and that it spoils it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairlead.errors import InvalidRecordError

__all__ = ["Evidence", "Law", "corrects", "turns"]

_Array = np.ndarray[Any, np.dtype[np.float64]]

_OF_MEANS = 2.0  # results that the mean of both outcomes counts as, in the mean of each
_OF_SPREAD = 10.0  # results that the prior variance and the mean correlation count as
_VARIANCE = 0.5  # of x in [-1, 1], before anything is known
_OF_PRIOR = 4.0  # results, half of them yes, that are known before the first one
_LEAST = 1e-3  # eigenvalue of a correlation matrix


_ERFC = (0.17087277, -0.82215223, 1.48851587, -1.13520398, 0.27886807, -0.18628806, 0.09678418, 0.37409196, 1.00002368,
         -1.26551223)  # fmt: skip


def normal_cdf(x: _Array) -> _Array:
    """Of the standard normal distribution, with a relative error of 1.2e-7: W. Press et al., Numerical Recipes, erfcc.
    It needs no scipy."""
    z = np.abs(x) * math.sqrt(0.5)
    t = 1.0 / (1.0 + 0.5 * z)
    series = np.zeros_like(t)
    for term in _ERFC:
        series = series * t + term
    tail = 0.5 * t * np.exp(series - z * z)
    out: _Array = np.where(np.asarray(x) > 0, 1.0 - tail, tail)
    return out


def _parts(log_odds: Any, d2: Any) -> tuple[_Array, _Array]:
    """The chances that answers worth d2 turn the decision rightly, and wrongly; both of them broadcast."""
    far = np.abs(log_odds)
    worth = np.maximum(d2, 1e-12)
    spread = np.sqrt(worth)
    wrong = 1.0 / (1.0 + np.exp(far))  # that what is decided now is
    both = normal_cdf(np.stack([(worth / 2 - far) / spread, (-worth / 2 - far) / spread]))
    return wrong * both[0], (1.0 - wrong) * both[1]


def turns(log_odds: Any, d2: Any) -> _Array:
    """The chance that further answers change the decision, from its log-odds now and what they are worth.

    >>> float(turns(0.0, 1.0).round(2)), float(turns(2.0, 1.0).round(3)), float(turns(1.0, 0.0).round(9))
    (0.5, 0.013, 0.0)
    """
    corrected, spoiled = _parts(log_odds, d2)
    return corrected + spoiled


def corrects(log_odds: Any, d2: Any) -> _Array:
    """The chance that they correct it, less that they spoil it: what they add to the chance that it is right. Never
    negative.

    >>> bool(corrects(0.5, 1.0) > corrects(2.0, 1.0) > 0)
    True
    """
    corrected, spoiled = _parts(log_odds, d2)
    out: _Array = np.maximum(corrected - spoiled, 0.0)
    return out


class Law:
    """What `Evidence` knew at one moment. prior: log-odds of yes; means: (2, M), given no and given yes; covariance:
    (M, M). Sets of models are bits of an int."""

    def __init__(self, prior: float, means: _Array, covariance: _Array) -> None:
        self.prior = prior
        self.delta = means[1] - means[0]
        self.middle = (means[1] + means[0]) / 2
        self.covariance = covariance
        self._known: dict[int, tuple[float, list[int], _Array]] = {0: (0.0, [], np.zeros(0))}
        self.ahead: dict[Any, Any] = {}
        """What plans have worked out."""

    def _of(self, asked: int) -> tuple[float, list[int], _Array]:
        found = self._known.get(asked)
        if found is None:
            at = members(asked)
            weights = np.linalg.solve(self.covariance[np.ix_(at, at)], self.delta[at])
            found = self._known[asked] = float(self.delta[at] @ weights), at, weights
        return found

    def worth(self, asked: int, more: int) -> float:
        """d2 of the answers of `more`, after those of `asked`."""
        return max(self._of(asked | more)[0] - self._of(asked)[0], 0.0)

    def log_odds(self, x: _Array, asked: int) -> _Array:
        """Of yes, from the answers of `asked` in the rows of x, (n, M)."""
        _, at, weights = self._of(asked)
        out: _Array = self.prior + (x[..., at] - self.middle[at]) @ weights
        return out

    def weights(self, asked: int) -> _Array:
        """What each of `asked` adds to the log-odds, by its answer."""
        return self._of(asked)[2]


def members(models: int) -> list[int]:
    """The places of a set.

    >>> members(0b101)
    [0, 2]
    """
    return [m for m in range(models.bit_length()) if models >> m & 1]


class Evidence:
    """Learns from settled tasks how good answers are and how alike. Older tasks count less; absent answers are allowed.

    It keeps 6 M^2 sums and changes them by multiplications and additions alone: the same tasks give the same bits.

    half_life: in tasks; None: nothing fades.

    >>> evidence = Evidence(2)
    >>> for i in range(40):
    ...     evidence.add([0.9 if i % 2 else 0.2, 0.6 if i % 3 else 0.4], i % 2)
    >>> law = evidence.law()
    >>> bool(law.worth(0, 0b01) > law.worth(0, 0b10))
    True
    """

    def __init__(self, models: int, *, half_life: float | None = 500.0) -> None:
        if models < 1:
            raise InvalidRecordError(f"models is {models!r}, must be at least 1")
        if half_life is not None and not half_life > 0:
            raise InvalidRecordError(f"half_life is {half_life!r}, must be above 0")
        self._keep = 1.0 if half_life is None else 0.5 ** (1.0 / half_life)
        self._n = np.zeros((2, models, models))
        self._sum = np.zeros((2, models, models))  # [y, i, j]: of x_i where j answered too
        self._square = np.zeros((2, models, models))
        self._outcomes = np.zeros(2)

    def add(self, p: Sequence[float] | _Array, outcome: int) -> None:
        """A settled task: probabilities of yes, NaN where a model did not answer, and 0 or 1."""
        self.add_many(np.asarray(p, dtype=float)[None, :], np.array([outcome]))

    def add_many(self, p: _Array, outcome: Any) -> None:
        """Tasks in their order: p (n, M), outcome (n,)."""
        n = len(p)
        fade = self._keep ** np.arange(n - 1, -1, -1.0)
        there = ~np.isnan(p)
        x = np.where(there, 2.0 * p - 1.0, 0.0)
        here = there.astype(float)
        old = self._keep**n
        for y in (0, 1):
            at = np.asarray(outcome) == y
            w = fade[at][:, None]
            self._n[y] = self._n[y] * old + (here[at] * w).T @ here[at]
            self._sum[y] = self._sum[y] * old + (x[at] * w).T @ here[at]
            self._square[y] = self._square[y] * old + (x[at] * w).T @ x[at]
            self._outcomes[y] = self._outcomes[y] * old + float(w.sum())

    def with_others(self, others: Evidence, share: float) -> Evidence:
        """What this and `others`, which count for `share` of themselves, say together, where `others` has all of this
        one in it: what is in both counts once."""
        out = Evidence(self._n.shape[1])
        for name in ("_n", "_sum", "_square", "_outcomes"):
            own = getattr(self, name)
            setattr(out, name, own * (1.0 - share) + getattr(others, name) * share)
        return out

    @property
    def tasks(self) -> float:
        """How many tasks it rests on, older ones counting less."""
        return float(self._outcomes.sum())

    def law(self) -> Law:
        """What is known now."""
        own = np.diagonal(self._n, axis1=1, axis2=2)
        sums = np.diagonal(self._sum, axis1=1, axis2=2)
        together = sums.sum(axis=0) / np.maximum(own.sum(axis=0), 1e-12)
        means = (sums + _OF_MEANS * together) / (own + _OF_MEANS)
        # Around the means of each outcome, over pairs that both answered.
        m = means[:, :, None]
        other = means[:, None, :]
        cross = self._square - m * np.swapaxes(self._sum, 1, 2) - other * self._sum + m * other * self._n
        cross, pairs = cross.sum(axis=0), self._n.sum(axis=0)
        spread = np.diagonal(cross)
        variance = (spread + _OF_SPREAD * _VARIANCE) / (np.diagonal(pairs) + _OF_SPREAD)
        size = np.sqrt(np.outer(spread, spread))
        alike = np.clip(np.divide(cross, size, out=np.zeros_like(cross), where=size > 1e-12), -1.0, 1.0)
        off = ~np.eye(len(variance), dtype=bool)
        usual = float(alike[off].mean()) if off.any() else 0.0
        trust = pairs / (pairs + _OF_SPREAD)
        alike = np.where(off, trust * alike + (1.0 - trust) * usual, 1.0)
        values, vectors = np.linalg.eigh(alike)
        if values[0] < _LEAST:  # pairs that answered different tasks may contradict one another
            alike = (vectors * np.maximum(values, _LEAST)) @ vectors.T
            alike = alike / np.sqrt(np.outer(np.diagonal(alike), np.diagonal(alike)))
        yes = (self._outcomes[1] + _OF_PRIOR / 2) / (self._outcomes.sum() + _OF_PRIOR)
        return Law(math.log(yes / (1.0 - yes)), means, alike * np.sqrt(np.outer(variance, variance)))
