"""The weights of versions that answer together.

Two kinds, in equal parts. Exponential weights on the log loss of each version (Hedge), which forget, so that they go to
whoever is best now (Herbster and Warmuth 1998, "Tracking the best expert"). And exponentiated gradient on the log loss
of the pool (Kivinen and Warmuth 1997), which goes to the best mixture: versions that err on different rows are better
together than the best of them. The answer is the logarithmic opinion pool. All in float64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.proving.plan import whole
from fairlead.types import KINDS, Kind

Answer = tuple[float, ...] | float
FLOOR = 0.005
"""Probabilities are taken to be at least so much: one that was sure and wrong can recover."""
_LEAST = -30.0  # of a logarithm of a weight
_FORGET = 0.998  # per label, of the weights of the mixture: slower than those of the best, as there is less to it
_STEEPEST = 10.0


class Pool:
    """How much each version counts, by how good it was lately.

    A weight is the mean of two. One is multiplied by exp(-rate x loss) with each label, the loss being the log loss of
    the version (of numbers: half its squared error in units of the pool's own); before that, these weights are drawn
    together by `decay`, which forgets over some 1 / (1 - decay) labels. The other is multiplied by exp(-mix x slope),
    the slope being that of the pool's own loss by this weight; mix=0: there are only the first. The answer is the pool
    of log-odds (of numbers: the mean). keep: at most so many versions; the one that weighs least goes when another
    comes. entry: the share of all weight that a newcomer gets.

    Raises InvalidRecordError for what cannot be.

    >>> pool = Pool("binary")
    >>> for version in (1, 2):
    ...     pool.enter(version)
    ()
    ()
    >>> for _ in range(5):
    ...     pool.learn({1: (0.9, 0.1), 2: (0.2, 0.8)}, 1)
    >>> {version: round(weight, 4) for version, weight in pool.weights().items()}
    {1: 0.1427, 2: 0.8573}
    """

    def __init__(
        self,
        kind: Kind,
        *,
        keep: int = 8,
        rate: float = 1.0,
        decay: float = 0.99,
        mix: float = 0.1,
        entry: float = 0.5,
    ) -> None:
        if kind not in KINDS:
            raise InvalidRecordError(f"kind is {kind!r}, must be one of {', '.join(KINDS)}")
        whole(keep, "keep", 1)
        for name, value, least, most in (
            ("rate", rate, 1e-9, 1e9),
            ("decay", decay, 1e-9, 1.0),
            ("entry", entry, 1e-9, 1.0),
            ("mix", mix, 0.0, 1e9),
        ):
            if not least <= value <= most:
                raise InvalidRecordError(f"{name} is {value!r}, must be from {least:g} to {most:g}")
        self.kind, self.keep = kind, keep
        self.rate, self.decay, self.mix, self.entry = float(rate), float(decay), float(mix), float(entry)
        self._versions: list[int] = []
        self._log = np.zeros((2, 0))  # logarithms of the weights of both kinds
        self._square = math.nan  # of numbers: the usual squared error of the pool

    def __len__(self) -> int:
        return len(self._versions)

    def __contains__(self, version: object) -> bool:
        return version in self._versions

    @property
    def versions(self) -> tuple[int, ...]:
        """Those in it, in the order in which they came."""
        return tuple(self._versions)

    def weights(self) -> dict[int, float]:
        """Of each version; they sum to 1."""
        return dict(zip(self._versions, self._weights(self._log).tolist(), strict=True))

    def enter(self, version: int) -> tuple[int, ...]:
        """A version comes; gives those that had to go. One that is in it already is left as it is."""
        if version in self._versions:
            return ()
        gone = []
        while len(self._versions) >= self.keep:
            lightest = int(np.argmin(self._weights(self._log)))
            gone.append(self._versions[lightest])
            self._remove(lightest)
        if self._versions:
            left = _logs(_shares(self._log)) + (math.log1p(-self.entry) if self.entry < 1.0 else _LEAST)
            self._log = np.column_stack([np.maximum(left, _LEAST), np.full(2, math.log(self.entry))])
        else:
            self._log = np.zeros((2, 1))
        self._versions.append(version)
        return tuple(gone)

    def leave(self, version: int) -> bool:
        """A version goes; whether it was in it."""
        if version not in self._versions:
            return False
        self._remove(self._versions.index(version))
        return True

    def answer(self, answers: Mapping[int, Answer]) -> Answer:
        """The pool of what its versions say. Versions that say nothing count for nothing; others are not looked at.

        Raises InvalidRecordError where none of its versions answers.
        """
        said, weights = self._said(answers)
        if self.kind == "numeric":
            return float(weights @ said)
        logs = weights @ np.log(np.maximum(said, FLOOR))
        p = np.exp(logs - logs.max())
        return tuple((p / p.sum()).tolist())

    def learn(self, answers: Mapping[int, Answer], y: int | float) -> None:
        """The label has come. answers: of the versions, made without it; one that gave none is taken to have lost as
        much as the pool."""
        said, weights = self._said(answers)
        known = np.array([version in answers for version in self._versions])
        mixed = _shares(self._log[1][known])
        if self.kind == "numeric":
            square = (float(weights @ said) - float(y)) ** 2
            before = self._square
            self._square = square if math.isnan(before) else before + (1.0 - self.decay) * (square - before)
            scale = self._square if self._square > 0.0 else 1.0
            losses = np.minimum((said - float(y)) ** 2 / (2.0 * scale), -math.log(FLOOR))
            slopes = (float(mixed @ said) - float(y)) * said / scale
        else:
            logs = np.log(np.maximum(said, FLOOR))
            losses = -logs[:, int(y)]
            p = _shares(mixed @ logs)
            slopes = logs @ p - logs[:, int(y)]
        count = len(self._versions)
        all_losses, all_slopes = np.full(count, float(weights @ losses)), np.full(count, float(mixed @ slopes))
        all_losses[known], all_slopes[known] = losses, np.clip(slopes, -_STEEPEST, _STEEPEST)
        log = _logs(_shares(self._log))
        found = np.stack([self.decay * log[0] - self.rate * all_losses, _FORGET * log[1] - self.mix * all_slopes])
        self._log = np.maximum(found - found.max(axis=1, keepdims=True), _LEAST)

    def snapshot(self) -> dict[str, Any]:
        """All that it knows, as plain JSON types."""
        return {"versions": list(self._versions), "log": self._log.tolist(), "square": _plain(self._square)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """What `snapshot` gave. Raises InvalidRecordError for what is none, and has changed nothing then."""
        try:
            versions = [int(version) for version in state["versions"]]
            log = np.array(state["log"], dtype=np.float64).reshape(2, len(versions))
            square = math.nan if state["square"] is None else float(state["square"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidRecordError(f"state is no snapshot of a Pool: {error}") from error
        if len(versions) > self.keep or len(set(versions)) < len(versions) or not np.isfinite(log).all():
            raise InvalidRecordError("state is no snapshot of this Pool: too many versions, or weights that are none")
        self._versions, self._log, self._square = versions, log, square

    def __repr__(self) -> str:
        told = ", ".join(f"{version}: {weight:.3f}" for version, weight in self.weights().items())
        return f"Pool({self.kind!r}, {{{told}}})"

    def _said(self, answers: Mapping[int, Answer]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        at = [i for i, version in enumerate(self._versions) if version in answers]
        if not at:
            raise InvalidRecordError(f"answers has none of the versions {self._versions}")
        said = np.array([answers[self._versions[i]] for i in at], dtype=np.float64)
        return said, self._weights(self._log[:, at])

    def _weights(self, log: NDArray[np.float64]) -> NDArray[np.float64]:
        shares = _shares(log)
        found: NDArray[np.float64] = (shares[0] + shares[1]) / 2.0 if self.mix else shares[0]
        return found

    def _remove(self, at: int) -> None:
        del self._versions[at]
        self._log = np.delete(self._log, at, axis=1)


def _shares(log: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights that sum to 1 from logarithms, along the last axis."""
    if log.shape[-1] == 0:
        return log
    weights = np.exp(log - log.max(axis=-1, keepdims=True))
    found: NDArray[np.float64] = weights / weights.sum(axis=-1, keepdims=True)
    return found


def _logs(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.log(np.maximum(shares, math.exp(_LEAST)))
    return found


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else value
