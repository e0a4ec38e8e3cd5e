"""Small streams, and a trainer that learns them within microseconds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.lifecycle import Stream
from fairlead.lifecycle.trainers import FunctionTrainer


def fit(x: NDArray[np.float64], y: NDArray[np.int64], seed: int, schema: Any) -> dict[str, Any]:
    """The mean of each class."""
    means = [x[y == k].mean(axis=0) if (y == k).any() else np.full(x.shape[1], 1e3) for k in range(schema.classes)]
    return {"means": np.array(means)}


def predict(state: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """By distance."""
    squares = ((x[:, None, :] - state["means"][None]) ** 2).sum(axis=2)
    p = np.exp(-0.5 * (squares - squares.min(axis=1, keepdims=True)))
    found: NDArray[np.float64] = p / p.sum(axis=1, keepdims=True)
    return found


def trainer() -> FunctionTrainer:
    return FunctionTrainer(fit, predict, partial_fit=None, replay=0)


def drifting(n: int = 1200, *, seed: int = 0, every: int = 400, classes: int = 2) -> Stream:
    """The classes stand on a circle, which turns by a third with each change, and back."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    turn = (np.arange(n) // every) % 2 * 2.1
    angle = 2 * np.pi * y / classes + turn
    x = 1.5 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(0.0, 0.8, (n, 2))
    return Stream.of(x, y)
