"""What came of a stream: accuracies side by side, with what they cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_BLOCKS = 30  # of which the noise of a difference is told
CURVE = 40
"""Points of a curve."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to answer the stream.

    accuracy: over all rows that count; later: over the second half of them. retrains: trainings after the first.
    training_s: seconds of all trainings, the first too; seconds: of everything. behind: by how much the managed model
    was right more often, on the same rows, and error: two standard errors of that (from blocks of the stream; NaN where
    too few). answers: the class by number, of each row that counts; correct: whether that was right.
    """

    name: str
    accuracy: float
    later: float
    retrains: int
    training_s: float
    seconds: float
    behind: float
    error: float
    answers: NDArray[np.int64]
    correct: NDArray[np.bool_]

    @property
    def curve(self) -> NDArray[np.float64]:
        """Accuracy along the stream, in up to 40 equal parts."""
        parts = np.array_split(self.correct, min(CURVE, max(len(self.correct), 1)))
        return np.array([part.mean() if len(part) else math.nan for part in parts])

    def as_dict(self) -> dict[str, Any]:
        """The numbers, as plain JSON types."""
        return {
            "name": self.name,
            "accuracy": self.accuracy,
            "later": self.later,
            "retrains": self.retrains,
            "training_s": round(self.training_s, 3),
            "seconds": round(self.seconds, 3),
            "behind": self.behind,
            "error": None if math.isnan(self.error) else self.error,
            "curve": [round(float(value), 5) for value in self.curve],
        }


@dataclass(frozen=True, slots=True)
class Prequential:
    """A stream, answered row by row by a managed model and its rivals; `contenders` has the managed one first.

    rows: of the stream; warm: those at its begin that the first version learnt from, and that do not count. promoted:
    how often the champion changed. weights: of the versions in the pool at the end. events: what the pipeline did, in
    words.
    """

    contenders: tuple[Contender, ...]
    rows: int
    warm: int
    delay: int
    classes: tuple[str, ...]
    features: tuple[str, ...]
    promoted: int
    weights: dict[int, float]
    events: tuple[str, ...]

    @property
    def managed(self) -> Contender:
        """The managed model."""
        return self.contenders[0]

    def __getitem__(self, name: str) -> Contender:
        for contender in self.contenders:
            if contender.name == name:
                return contender
        raise KeyError(f"{name!r}, there are {', '.join(c.name for c in self.contenders)}")

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types."""
        return {
            "rows": self.rows,
            "warm": self.warm,
            "delay": self.delay,
            "classes": list(self.classes),
            "features": len(self.features),
            "promoted": self.promoted,
            "weights": {str(version): weight for version, weight in self.weights.items()},
            "contenders": [contender.as_dict() for contender in self.contenders],
        }

    def __str__(self) -> str:
        head = ("", "accuracy", "second half", "retrains", "training s", "all s", "managed is ahead by")
        rows = [head, *(_cells(c, first=c is self.managed) for c in self.contenders)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        ]
        counted = self.rows - self.warm
        about = (
            f"{counted:,} rows answered one by one, after {self.warm:,} to begin with; {len(self.features)} features"
        )
        return "\n".join([about, *(line.rstrip() for line in lines)])


def contender(
    name: str,
    answers: NDArray[np.int64],
    truth: NDArray[np.int64],
    managed: NDArray[np.int64],
    *,
    retrains: int = 0,
    training_s: float = 0.0,
    seconds: float = 0.0,
) -> Contender:
    """From what it answered, what was true, and what the managed model answered."""
    n = len(truth)
    correct = answers == truth
    gaps = (managed == truth).astype(np.float64) - correct
    error = math.nan
    if n >= 2 * _BLOCKS:
        means = np.array([part.mean() for part in np.array_split(gaps, _BLOCKS)])
        error = 2.0 * float(means.std(ddof=1)) / math.sqrt(_BLOCKS)
    return Contender(
        name=name,
        accuracy=float(correct.mean()),
        later=float(correct[n // 2 :].mean()),
        retrains=retrains,
        training_s=training_s,
        seconds=seconds,
        behind=float(gaps.mean()),
        error=error,
        answers=answers,
        correct=correct,
    )


def _cells(c: Contender, *, first: bool) -> tuple[str, ...]:
    noise = "" if math.isnan(c.error) else f" ± {c.error:.4f}"
    return (
        c.name,
        f"{c.accuracy:.4f}",
        f"{c.later:.4f}",
        str(c.retrains),
        f"{c.training_s:.1f}",
        f"{c.seconds:.1f}",
        "-" if first else f"{c.behind + 0.0:+.4f}{noise}",
    )
