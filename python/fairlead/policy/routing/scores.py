"""What a router is worth: APGR and the curve of calls (RouteLLM), AIQ and the curve of cost (RouterBench).

Both take weights of prompts, so that a bootstrap costs no new decision.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["CallCurve", "CostCurve", "hull"]

_Array = np.ndarray[Any, np.dtype[np.float64]]


def hull(points: _Array) -> _Array:
    """The upper convex hull of points (x, y) that does not fall: what mixing them at random reaches.

    >>> hull(np.array([[0, 0.2], [1, 0.8], [2, 0.5], [3, 0.7], [1, 0.3]])).tolist()
    [[0.0, 0.2], [1.0, 0.8]]
    """
    out: list[tuple[float, float]] = []
    for x, y in sorted((float(x), float(y)) for x, y in points):
        if out and y <= out[-1][1]:
            continue
        while out and (out[-1][0] == x or (len(out) > 1 and _turns_up(out[-2], out[-1], (x, y)))):
            out.pop()
        out.append((x, y))
    return np.array(out)


def _turns_up(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> bool:
    return (b[1] - a[1]) * (c[0] - b[0]) <= (c[1] - b[1]) * (b[0] - a[0])


@dataclass(frozen=True)
class CallCurve:
    """A router between a weak and a strong model: prompts go to the strong one in the order of `score`, high first.

    PGR is the share of the gap between both that is recovered, APGR its mean over shares of calls to the strong model
    from 0 to 1 (I. Ong et al., "RouteLLM", 2024). Equal scores are taken at random, in the mean: a router that knows
    nothing has exactly 0.5. RouteLLM's script reads the curve at ten thresholds, this at every prompt.

    >>> curve = CallCurve(np.array([3.0, 2.0, 1.0, 0.0]), np.array([0.0, 1, 0, 1]), np.array([1.0, 1, 1, 1]))
    >>> curve.apgr(), curve.calls_for(0.5)
    (0.625, 0.25)
    """

    score: _Array
    weak: _Array
    strong: _Array
    _order: np.ndarray[Any, np.dtype[np.intp]] = field(init=False, repr=False)
    _ends: np.ndarray[Any, np.dtype[np.intp]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.argsort(-self.score, kind="stable")
        ends = np.flatnonzero(np.diff(self.score[order], append=np.nan) != 0)
        object.__setattr__(self, "_order", order)
        object.__setattr__(self, "_ends", ends)

    def curve(self, weights: _Array | None = None) -> tuple[_Array, _Array]:
        """Shares of calls to the strong model, from 0 to 1, and the mean quality at each."""
        w = np.ones(len(self.score)) if weights is None else weights
        w = w[self._order] / w.sum()
        gain = (self.strong - self.weak)[self._order] * w
        share = np.concatenate([[0.0], np.cumsum(w)[self._ends]])
        quality = np.concatenate([[0.0], np.cumsum(gain)[self._ends]]) + float(self.weak[self._order] @ w)
        return share, quality

    def apgr(self, weights: _Array | None = None) -> float:
        """The mean of the recovered share of the gap; NaN where both models are equally good."""
        share, quality = self.curve(weights)
        gap = quality[-1] - quality[0]
        if gap == 0:
            return float("nan")
        recovered = (quality - quality[0]) / gap
        return float(((recovered[1:] + recovered[:-1]) / 2 * np.diff(share)).sum())

    def calls_for(self, recovered: float, weights: _Array | None = None) -> float:
        """The least share of calls to the strong model at which that share of the gap is recovered."""
        share, quality = self.curve(weights)
        gap = quality[-1] - quality[0]
        enough = np.flatnonzero((quality - quality[0]) * np.sign(gap) >= recovered * abs(gap))
        if gap == 0 or not enough.size:
            return float("nan")
        i = int(enough[0])
        if i == 0:
            return 0.0
        wanted = quality[0] + recovered * gap
        part = (wanted - quality[i - 1]) / (quality[i] - quality[i - 1])
        return float(share[i - 1] + part * (share[i] - share[i - 1]))


@dataclass(frozen=True)
class CostCurve:
    """A router among many models, at several weights of cost: cost and quality of each choice, (choices, prompts).

    AIQ is the mean height of its non-decreasing convex hull over costs from that of the cheapest single model to that
    of the dearest (Q. J. Hu et al., "RouterBench", 2024).
    """

    cost: _Array
    quality: _Array

    @classmethod
    def sweep(cls, expected: _Array, cost: _Array, quality: _Array, assumed_cost: _Array) -> CostCurve:
        """What the largest of ``expected - weight x assumed_cost`` brings, for weights from 0 to infinity.

        All (prompts, models) but `assumed_cost`, the mean cost of each model (models,): what a router knows before the
        call. Equal ones: the cheaper model."""
        scale = assumed_cost.max() or 1.0
        rows = np.arange(len(expected))
        by_price = np.argsort(assumed_cost, kind="stable")
        weights = [0.0, *np.geomspace(1e-3, 30.0, 60)]
        picked = [by_price[(expected - w * assumed_cost / scale)[:, by_price].argmax(axis=1)] for w in weights]
        picked.append(np.full(len(expected), by_price[0]))
        return cls(np.array([cost[rows, p] for p in picked]), np.array([quality[rows, p] for p in picked]))

    @classmethod
    def singles(cls, cost: _Array, quality: _Array) -> CostCurve:
        """The single models: their hull is what a router that knows nothing reaches by mixing them."""
        return cls(cost.T.copy(), quality.T.copy())

    def points(self, weights: _Array | None = None) -> _Array:
        """Mean cost and mean quality of each choice: (choices, 2)."""
        w = np.full(self.cost.shape[1], 1.0) if weights is None else weights
        w = w / w.sum()
        return np.column_stack([self.cost @ w, self.quality @ w])

    def aiq(self, low: float, high: float, weights: _Array | None = None) -> float:
        """The mean height of the hull from cost `low` to `high`."""
        return mean_height(hull(self.points(weights)), low, high)

    def quality_at(self, cost: float, weights: _Array | None = None) -> float:
        """The height of the hull at a cost; NaN below its first point."""
        line = hull(self.points(weights))
        return float(np.interp(cost, line[:, 0], line[:, 1], left=np.nan))


def mean_height(line: _Array, low: float, high: float) -> float:
    """Of a hull, from `low` to `high`; to the left of its first point it counts as that point, to the right as the
    last.

    >>> mean_height(np.array([[0, 0.0], [1, 1.0]]), 0, 2)
    0.75
    """
    if not high > low:
        return float(line[-1, 1])
    x = np.unique(np.clip(np.concatenate([[low, high], line[:, 0]]), low, high))
    y = np.interp(x, line[:, 0], line[:, 1])
    return float(((y[1:] + y[:-1]) / 2 * np.diff(x)).sum() / (high - low))
