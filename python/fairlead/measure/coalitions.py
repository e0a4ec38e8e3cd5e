"""What a set of models would have decided, and what each of them adds to it: losses of linear pools, Shapley values.

Sources: L. Shapley, "A Value for n-Person Games" (1953); J. Castro, D. Gómez, J. Tejada, "Polynomial calculation of the
Shapley value based on sampling" (2009), here with each order followed by its reverse (R. Mitchell, J. Cooper, E. Frank,
G. Holmes, "Sampling Permutations for Shapley Value Estimation", JMLR 23, 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import comb

import numpy as np
from numpy.typing import NDArray

from fairlead.measure.audit import Audit

Floats = NDArray[np.float64]

EXACT = 12
"""Models up to which all sets of them are gone through."""
MOST = 1e70
"""Beyond it no number is taken, as in the core: squares of squares would be infinities, and one absurd answer would be
all that a table tells."""


@dataclass(frozen=True, slots=True)
class Game:
    """One decision: who had weight in it, with what weight and error (answer minus outcome, a column a class), and the
    loss of nobody's answer. A set of models loses the squared error of the pool of its answers, its weights made to sum
    to 1."""

    models: tuple[str, ...]
    weights: Floats  # (m,)
    errors: Floats  # (m, classes)
    alone: float

    def loss(self) -> float:
        """Of all of them."""
        if not self.models:
            return self.alone
        pool = self.weights @ self.errors / self.weights.sum()
        return float(pool @ pool)


def game(audit: Audit, *, equal: bool = False, baseline: float = 0.0) -> Game:
    """The game of an audit: by the weights of its decision, or with equal ones (also if nobody decided).

    Without any model the answer is the uniform one, or the number `baseline`. Raises ValueError for an outcome that is

    >>> audit = Audit(
    ...     task="q", kind="binary", time=0, settled=1, outcome=1,
    ...     weights={"a": 0.75, "b": 0.25}, answers={"a": 0.9, "b": 0.5},
    ... )
    >>> one = game(audit)
    >>> one.models, round(one.loss(), 4), one.alone
    (('a', 'b'), 0.04, 0.25)
    """
    given = audit.answers
    weights = dict.fromkeys(given, 1.0) if equal or not audit.weights else audit.weights
    models = tuple(m for m in given if weights.get(m, 0.0) > 0.0)
    w = np.array([weights[m] for m in models], np.float64)
    if audit.kind == "categorical":
        labels = list(dict.fromkeys(label for answer in given.values() for label in answer))  # type: ignore[union-attr]
        if labels and audit.outcome not in labels:
            raise ValueError(f"outcome of task {audit.task!r} is {audit.outcome!r}, none of the labels {labels}")
        target = np.array([label == audit.outcome for label in labels], np.float64)
        p = np.array([[given[m].get(k, 0.0) for k in labels] for m in models], np.float64)  # type: ignore[union-attr]
        miss = 1.0 / len(labels) - target if labels else np.zeros(0)
        return Game(models, w, p.reshape(len(models), len(labels)) - target, float(miss @ miss))
    y = float(audit.outcome)
    values = [_bounded(float(given[m]) - y) for m in models]  # type: ignore[arg-type]
    alone = _bounded((0.5 if audit.kind == "binary" else baseline) - y)
    return Game(models, w, np.array(values, np.float64).reshape(len(models), 1), alone**2)


def _bounded(number: float) -> float:
    return max(-MOST, min(number, MOST))


def check_permutations(permutations: int) -> None:
    """Raises ValueError below 4."""
    if permutations < 4:
        raise ValueError(f"permutations is {permutations!r}, must be at least 4")


def number_of_nobody(audits: Sequence[Audit], baseline: float | None) -> float:
    """What stands for the answer of no model to numeric tasks: `baseline`, else the mean of their outcomes."""
    if baseline is not None:
        return float(baseline)
    outcomes = [_bounded(float(audit.outcome)) for audit in audits if audit.kind == "numeric"]
    return float(np.mean(outcomes)) if outcomes else 0.0


def losses_of_sets(one: Game) -> Floats:
    """What each set of its models would have lost, shape (2^m,): model i is in set s where bit i of s is set."""
    m, classes = one.errors.shape
    sums, total = np.zeros((1 << m, classes)), np.zeros(1 << m)
    for i in range(m):
        half = 1 << i
        sums[half : 2 * half] = sums[:half] + one.weights[i] * one.errors[i]
        total[half : 2 * half] = total[:half] + one.weights[i]
    losses = np.empty(1 << m)
    losses[0] = one.alone
    losses[1:] = ((sums[1:] / total[1:, None]) ** 2).sum(1)
    return losses


@lru_cache(maxsize=EXACT + 1)
def _shares(m: int) -> Floats:
    """What every set's loss counts in every model's Shapley value, shape (2^m, m)."""
    sets = np.arange(1 << m)
    member = (sets[:, None] >> np.arange(m)) & 1
    size = member.sum(1)
    joined = np.array([1.0 / (m * comb(m - 1, s - 1)) if s else 0.0 for s in range(m + 1)])
    left = np.array([1.0 / (m * comb(m - 1, s)) if s < m else 0.0 for s in range(m + 1)])
    shares: Floats = np.where(member == 1, -joined[size][:, None], left[size][:, None])
    return shares


def shapley(one: Game, permutations: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """How much of the loss each model took away, shape (m,), and the variance that sampling leaves in that: 0 where all
    sets were gone through. They sum to the loss of nobody minus that of all."""
    m = len(one.models)
    if m == 0:
        return np.zeros(0), np.zeros(0)
    if m <= EXACT:
        return np.asarray(losses_of_sets(one) @ _shares(m), np.float64), np.zeros(m)
    pairs = max(permutations // 2, 2)
    orders = random.permuted(np.tile(np.arange(m), (pairs, 1)), axis=1)
    gains = (_gains(one, orders) + _gains(one, orders[:, ::-1])) / 2.0
    return gains.mean(0), gains.var(0, ddof=1) / pairs


def _gains(one: Game, orders: NDArray[np.int64]) -> Floats:
    """What each model took away when it joined those before it, an order a row: shape (orders, m), by model."""
    total = one.weights[orders].cumsum(1)
    sums = (one.weights[:, None] * one.errors)[orders].cumsum(1)
    losses = ((sums / total[:, :, None]) ** 2).sum(2)
    before = np.concatenate([np.full((len(orders), 1), one.alone), losses[:, :-1]], axis=1)
    gains: Floats = np.empty(losses.shape)
    np.put_along_axis(gains, orders, before - losses, axis=1)
    return gains


def leave_one_out(one: Game) -> Floats:
    """How much more the others would have lost without each model, shape (m,)."""
    m = len(one.models)
    if m == 1:
        return np.asarray([one.alone - one.loss()], np.float64)
    # Sums of the others, and not the sum of all less one's own: of a weight that is nearly all, nothing would be left.
    others = 1.0 - np.eye(m)
    rest = others @ one.weights
    pools = others @ (one.weights[:, None] * one.errors)
    return np.asarray(((pools / rest[:, None]) ** 2).sum(1) - one.loss(), np.float64)
