"""How many of the newest examples the next run learns from, by how the last ones did."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.plan import whole

WINDOWS = (10_000, 3_162, 1_000)
"""Half decades: what is stable is learnt from the longest, what moves from the shortest."""


SINCE = 0
"""Stands for all examples since the newest change, while these are fewer than the shortest length."""
_KEPT = 0.02  # of what is known of the losses, over a change
_TRIED = 0.03  # mass of some 30 labels


class Windows:
    """Takes the length whose newest version has done best lately, and each `explore`-th time another one in turn.

    lengths: longest first; each is tried once first. After a change, what came since is one more length while it is the
    shortest, and taken first. decay: of the mean loss of a length, per label: it looks back over some
    1 / (1 - decay) labels, but hardly beyond a change. A pure function of what it was told.

    >>> windows = Windows((1000, 100))
    >>> [windows.choose(at_hand=5000) for _ in range(2)]
    [1000, 100]
    >>> for _ in range(50):
    ...     windows.learn({1000: 0.9, 100: 0.3})
    >>> [windows.choose(at_hand=5000) for _ in range(4)]
    [100, 1000, 100, 100]
    """

    def __init__(self, lengths: Iterable[int] = WINDOWS, *, explore: int = 4, decay: float = 0.999) -> None:
        self.lengths = tuple(lengths)
        if not self.lengths or not all(self.lengths):
            raise InvalidRecordError(f"lengths is {self.lengths!r}, must be whole numbers from 2")
        for n in self.lengths:
            whole(n, "a length", 2)
        if len(set(self.lengths)) < len(self.lengths):
            raise InvalidRecordError(f"lengths holds one twice: {self.lengths!r}")
        whole(explore, "explore", 2)
        if not 0.0 < decay < 1.0:
            raise InvalidRecordError(f"decay is {decay!r}, outside (0, 1)")
        self.explore, self.decay = explore, decay
        self._runs = 0
        self._explored = 0
        self._changed = False
        self._loss = dict.fromkeys((*self.lengths, SINCE), 0.0)
        self._mass = dict.fromkeys((*self.lengths, SINCE), 0.0)

    def changed(self) -> None:
        """There was a change: what was before tells little."""
        self._changed = True
        for n in self._loss:
            self._loss[n] *= _KEPT
            self._mass[n] *= _KEPT
        self._loss[SINCE] = self._mass[SINCE] = 0.0

    def choose(self, at_hand: int, since: int | None = None) -> int:
        """The length of the next run, one of `lengths`, or `SINCE`. at_hand: examples that there are; lengths beyond
        that are as good as one. since: examples since the newest change, where these are enough to learn from."""
        longer = [n for n in self.lengths if n >= at_hand]
        able = [n for n in self.lengths if n < at_hand]
        if longer:
            able.insert(0, min(longer))
        if since is not None and since < min(able):
            able.append(SINCE)
        self._runs += 1
        if self._changed and since is not None:
            self._changed = False
            if SINCE in able:
                return SINCE
        unknown = [n for n in able if not self._mass[n]]
        if unknown:
            self._mass[unknown[0]] = math.ulp(0.0)  # tried
            return unknown[0]
        best = min(able, key=self.loss)
        if self._runs % self.explore == 0 and len(able) > 1:
            others = [n for n in able if n != best]
            self._explored += 1
            return others[self._explored % len(others)]
        return best

    def since_pays(self) -> bool:
        """Whether what came since the newest change is best to learn from; True as long as that is not known."""
        if self._mass[SINCE] < _TRIED:
            return True
        return all(self.loss(SINCE) <= self.loss(n) for n in self.lengths if self._mass[n] >= _TRIED * _KEPT)

    def learn(self, losses: Mapping[int, float]) -> None:
        """What the newest versions of some lengths lost by a label."""
        for n, loss in losses.items():
            self._loss[n] = self.decay * self._loss[n] + (1.0 - self.decay) * loss
            self._mass[n] = self.decay * self._mass[n] + (1.0 - self.decay)

    def loss(self, length: int) -> float:
        """The mean loss lately of the newest versions of a length; 0 where nothing is known."""
        mass = self._mass[length]
        return self._loss[length] / mass if mass > 1e-12 else 0.0

    def snapshot(self) -> dict[str, Any]:
        """All that it knows, as plain JSON types."""
        return {
            "runs": self._runs,
            "explored": self._explored,
            "changed": self._changed,
            "loss": list(self._loss.values()),
            "mass": list(self._mass.values()),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """What `snapshot` gave. Raises InvalidRecordError for what is none, and has changed nothing then."""
        try:
            runs, explored, changed = int(state["runs"]), int(state["explored"]), bool(state["changed"])
            loss = dict(zip(self._loss, map(float, state["loss"]), strict=True))
            mass = dict(zip(self._mass, map(float, state["mass"]), strict=True))
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRecordError(f"state is no snapshot of Windows: {error}") from error
        self._runs, self._explored, self._changed, self._loss, self._mass = runs, explored, changed, loss, mass

    def __repr__(self) -> str:
        return f"Windows({self.lengths!r})"
