"""A slide of a rating."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.lifecycle.signals.status import LEVELS, Signal


class EloSlide:
    """How far a rating is below what it was: the mean of the newest tenth of a window against that of the first half
    window. Ratings go up and down by themselves, by some 40 points at K = 32, which no p-value knows of."""

    def __init__(self, slide: float, window: int) -> None:
        self.slide = slide
        self.base, self.recent = max(window // 2, 1), max(window // 10, 1)
        self.forget()

    def forget(self) -> None:
        """The first ratings to come are what it was."""
        self.seen, self.before = 0, 0.0
        self.newest = np.zeros(self.recent)
        self.level, self.since = 0, 0

    def add(self, elo: float, time: int) -> None:
        """The rating after one more contest."""
        self.seen += 1
        if self.seen <= self.base:
            self.before += (elo - self.before) / self.seen
        self.newest[self.seen % self.recent] = elo
        if self.seen < self.base + self.recent:
            return
        value = self.value()
        level = 2 if value >= self.slide else 1 if value >= 0.5 * self.slide else 0
        if level != self.level:
            self.level, self.since = level, time

    def value(self) -> float:
        """Points below what it was; NaN before both means are there."""
        return math.nan if self.seen < self.base + self.recent else self.before - float(self.newest.mean())

    def signals(self) -> list[Signal]:
        """The slide, once it can be told."""
        value = self.value()
        if math.isnan(value):
            return []
        message = f"Elo is {value:.0f} points below the {self.before:.0f} that it was, the threshold is {self.slide:g}"
        return [Signal("elo", "", value, self.slide, LEVELS[self.level], self.since, message)]

    def state(self) -> tuple[dict[str, Any], list[NDArray[Any]]]:
        """The state as plain numbers and arrays; `restore` takes them."""
        return {n: getattr(self, n) for n in ("seen", "before", "level", "since")}, [self.newest]

    def restore(self, header: dict[str, Any], arrays: list[NDArray[Any]]) -> None:
        """Goes on from a state that `state` gave."""
        for name, value in header.items():
            setattr(self, name, value)
        self.newest = arrays[0].copy()
