"""Streams of inputs, answers and labels for tests of the drift monitor."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.signals import DriftMonitor

SCHEMA = Schema("binary", ["price", "load", "wind"], missing=True)


def stream(
    n: int, seed: int, *, moved: int | None = None, wrong: int | None = None, memory: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs of shape (n, 3), the probability that a good model gives, and labels.

    moved: from where on the load is higher, which the label does not hang on. wrong: from where on the label is the
    other way round in a quarter of cases. memory: of inputs, from one to the next.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n + 500, 3))
    for i in range(1, n + 500):
        if not memory:
            break
        x[i] = memory * x[i - 1] + np.sqrt(1.0 - memory**2) * x[i]
    x = x[500:].copy()
    p = 1.0 / (1.0 + np.exp(-2.0 * x[:, 0]))
    y = (rng.random(n) < p).astype(int)
    if wrong is not None:
        turned = (rng.random(n) < 0.35) & (np.arange(n) >= wrong)
        y = np.where(turned, 1 - y, y)
    if moved is not None:
        x[moved:, 1] += 1.0
    return x, p, y


def feed(monitor: DriftMonitor, x: Any, p: Any, y: Any, start: int = 0, stop: int | None = None) -> None:
    """Inputs with their labels soon after them, the time being the place in the stream."""
    stop = len(p) if stop is None else stop
    for begin in range(start, stop, 50):
        end = min(begin + 50, stop)
        monitor.update_many(x[begin:end], p[begin:end].tolist(), range(begin, end))
        monitor.learn_many(p[begin:end].tolist(), y[begin:end].tolist(), range(begin, end))


def kinds(monitor: DriftMonitor, level: Any = "alarm") -> set[str]:
    return {signal.kind for signal in monitor.check().raised(level)}
