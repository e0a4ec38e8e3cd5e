"""A trainer for replays: what a frozen model says to the rows that come next is asked for in blocks, not one by one.

A model does not change once it is trained, and a row is what is known when it comes; so a block of answers is what the
answers one by one would be, at a hundredth of the cost.
"""

from __future__ import annotations

import copy
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import PathLike, Report, Trainer, parameters, quiet

BLOCK = 512
_MODELS = 20  # that are kept


@dataclass(slots=True)
class Feed:
    """The rows of a stream, and which is asked now. cache: file of a model -> where its block begins, and the block."""

    x: NDArray[np.float64]
    at: int = 0
    trained: list[float] = field(default_factory=list)
    """Seconds of each training."""
    models: dict[str, Trainer] = field(default_factory=dict)
    """The newest that were loaded, by their file."""
    cache: dict[str, tuple[int, NDArray[np.float64]]] = field(default_factory=dict)


class AheadTrainer:
    """A trainer whose answers to row `feed.at` come from a block."""

    def __init__(self, inner: Trainer, feed: Feed) -> None:
        self.inner, self.feed = inner, feed
        self.format = inner.format
        self._digest = ""

    @property
    def schema(self) -> Schema | None:
        return self.inner.schema

    def fresh(self) -> AheadTrainer:
        return AheadTrainer(self.inner.fresh(), self.feed)

    def params(self) -> dict[str, Any]:
        return parameters(self.inner)

    def fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        self.inner = self.inner.fresh()
        start = time.perf_counter()
        self.inner.fit(examples, seed=seed, report=report)
        self._digest = ""
        self.feed.trained.append(time.perf_counter() - start)

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        self.inner = copy.deepcopy(self.inner)
        start = time.perf_counter()
        self.inner.partial_fit(examples, seed=seed, report=report)
        self._digest = ""
        self.feed.trained.append(time.perf_counter() - start)

    def predict(self, x: Any) -> NDArray[np.float64]:
        feed = self.feed
        rows = np.asarray(x)
        if not self._digest or rows.shape != (1, feed.x.shape[1]) or not _same(rows[0], feed.x[feed.at]):
            return self.inner.predict(x)
        start, block = feed.cache.get(self._digest, (0, None))
        if block is None or not start <= feed.at < start + len(block):
            start = feed.at
            block = self.inner.predict(feed.x[start : start + BLOCK])
            feed.cache[self._digest] = (start, block)
        return block[feed.at - start : feed.at - start + 1]

    def save(self, path: PathLike) -> None:
        self.inner.save(path)

    def load(self, path: PathLike) -> None:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
        models = self.feed.models
        if digest not in models:
            self.inner = self.inner.fresh()
            self.inner.load(path)
            models[digest] = self.inner
            if len(models) > _MODELS:
                del models[next(iter(models))]
        self.inner, self._digest = models[digest], digest


def _same(a: NDArray[np.float64], b: NDArray[np.float64]) -> bool:
    return bool(((a == b) | ((a != a) & (b != b))).all())
