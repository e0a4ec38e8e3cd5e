"""The rivals of a managed model: the same trainer, features and first rows, and another idea of when to train again."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead._core import ADWIN
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Trainer

_BLOCK = 512


@dataclass(frozen=True, slots=True)
class Track:
    """What a rival answered: the class by row from `start` on."""

    answers: NDArray[np.int64]
    retrains: int
    training_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Course:
    """The stream as everybody meets it. start: the first row that counts; the label of row t is known before row
    t + delay is answered. buffer: of how many of the newest examples anybody may learn."""

    examples: Examples
    start: int
    delay: int
    buffer: int
    trainer: Trainer
    seed: int

    @property
    def schema(self) -> Schema:
        return self.examples.schema

    def known(self, at: int) -> int:
        """How many rows have a label before row `at` is answered."""
        return max(0, at - self.delay + 1)

    def train(self, at: int, window: int, run: int) -> tuple[Trainer, float]:
        """A model trained before row `at` is answered, and the seconds it took."""
        begin = time.perf_counter()
        end = self.known(at)
        model = self.trainer.fresh()
        model.fit(self.examples[max(0, end - min(window, self.buffer)) : end], seed=self.seed + run)
        return model, time.perf_counter() - begin


def no_change(course: Course) -> Track:
    """Answers the newest label that is known."""
    begin = time.perf_counter()
    y: Any = course.examples.y
    answers = np.asarray(y[course.start - course.delay : len(y) - course.delay], dtype=np.int64)
    return Track(answers, 0, 0.0, time.perf_counter() - begin)


def on_schedule(course: Course, retrains: int, window: Callable[[int], int]) -> Track:
    """Trains again so many times, evenly spaced. window: of the newest examples, by the number of the run from 1."""
    begin = time.perf_counter()
    n, start = len(course.examples), course.start
    times = [start + round(k * (n - start) / (retrains + 1)) for k in range(1, retrains + 1)]
    model, spent = course.train(start, course.buffer, 0)
    parts, at = [], start
    for run, then in enumerate([*times, n], 1):
        if then > at:
            parts.append(_classes(model.predict(course.examples.x[at:then])))
        if then < n:
            model, took = course.train(then, window(run), run)
            spent += took
        at = then
    return Track(np.concatenate(parts), retrains, spent, time.perf_counter() - begin)


def never(course: Course) -> Track:
    """Trains once."""
    return on_schedule(course, 0, lambda run: course.buffer)


def on_adwin(course: Course, *, own_window: bool) -> Track:
    """Trains again as soon as River's ADWIN finds a change in its errors. own_window: from as many of the newest
    examples as ADWIN keeps, else from all of the buffer."""
    begin = time.perf_counter()
    x, y, start, n = course.examples.x, course.examples.y, course.start, len(course.examples)
    detector, retrains = adwin(), 0
    model, spent = course.train(start, course.buffer, 0)
    answers = np.empty(n - start, dtype=np.int64)
    block_at, block = start, np.empty(0, dtype=np.int64)
    for t in range(start, n):
        told = t - course.delay
        if told >= start and (width := detector(float(answers[told - start] != y[told]))):
            retrains += 1
            model, took = course.train(t, max(width, 2) if own_window else course.buffer, retrains)
            spent += took
            block = block[:0]
            detector = adwin()
        if not block_at <= t < block_at + len(block):
            block_at, block = t, _classes(model.predict(x[t : t + _BLOCK]))
        answers[t - start] = block[t - block_at]
    return Track(answers, retrains, spent, time.perf_counter() - begin)


def adwin() -> Callable[[float], int]:
    """A fresh ADWIN: told an error, it gives the width of its window where there is a change, else 0. River's where it
    is installed, else our own, which gives the same."""
    if find_spec("river") is not None:
        from river.drift import ADWIN as Theirs

        theirs: Any = Theirs()  # type: ignore[no-untyped-call, unused-ignore]

        def told(error: float) -> int:
            theirs.update(error)
            return int(theirs.width) if theirs.drift_detected else 0

        return told
    ours = ADWIN()
    return lambda error: ours.width if ours.update(error) else 0


def _classes(p: NDArray[np.float64]) -> NDArray[np.int64]:
    found: NDArray[np.int64] = np.asarray(p).argmax(axis=1).astype(np.int64)
    return found
