"""What a drift monitor says: signals, and the level of the gravest."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

Level = Literal["none", "warning", "alarm"]
LEVELS: tuple[Level, ...] = ("none", "warning", "alarm")
KINDS = (
    "inputs",
    "input_change",
    "predictions",
    "confidence",
    "accuracy",
    "error_rate",
    "calibration",
    "adwin",
    "change",
    "elo",
)


@dataclass(frozen=True, slots=True)
class Signal:
    """One thing that is watched.

    kind: 'inputs', 'predictions', 'confidence' (PSI), 'input_change' (ranks of inputs), 'accuracy', 'error_rate',
    'calibration', 'elo' (a number against a threshold), 'adwin', 'change' (detectors on the errors). name: of the
    column, for inputs. value: what is compared
    with `threshold`, both in the unit of the kind. since: the time of the event by which it was raised, or last
    changed its level. p_value: of such a value by chance alone, where one is known, corrected for nothing.
    """

    kind: str
    name: str
    value: float
    threshold: float
    level: Level
    since: int
    message: str
    p_value: float = math.nan

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types: None for NaN."""
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Record:
    """How good the model is now, and was when it came.

    now, before: the accuracy, or of a numeric kind the mean absolute error. n, n_before: of how many labels. p_value:
    of being so much worse by chance alone, one-sided.
    """

    now: float
    before: float
    n: int
    n_before: int
    p_value: float
    numeric: bool = False

    @property
    def drop(self) -> float:
        """By how much of what it was it is worse: .15 is from .80 to .68 (of an error: from 1 to 1.15)."""
        if not self.before > 0.0:
            return math.nan
        return self.now / self.before - 1.0 if self.numeric else 1.0 - self.now / self.before

    def as_dict(self) -> dict[str, Any]:
        """The fields and `drop`, as plain JSON types: None for NaN."""
        found = {**asdict(self), "drop": self.drop}
        return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in found.items()}

    def __str__(self) -> str:
        if self.numeric:
            return f"mean error {self.now:.4g} over {self.n} labels, it was {self.before:.4g}"
        return f"accuracy {self.now:.1%} over {self.n} labels, it was {self.before:.1%}"


@dataclass(frozen=True, slots=True)
class DriftStatus:
    """What is known of the drift of a model.

    level: of the gravest signal. signals: all that can be told yet, gravest first. inputs, labels: events since the
    model came. record: how good it is and was; None while too few labels are known.
    """

    level: Level
    signals: tuple[Signal, ...]
    inputs: int
    labels: int
    record: Record | None = None

    def raised(self, level: Level = "warning", kinds: Iterable[str] = ()) -> tuple[Signal, ...]:
        """The signals of this level at least, of these kinds only where any are given."""
        least, wanted = LEVELS.index(level), tuple(kinds)
        return tuple(s for s in self.signals if LEVELS.index(s.level) >= least and (not wanted or s.kind in wanted))

    def __getitem__(self, kind: str) -> tuple[Signal, ...]:
        return tuple(s for s in self.signals if s.kind == kind)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types."""
        return {
            "level": self.level,
            "signals": [s.as_dict() for s in self.signals],
            "inputs": self.inputs,
            "labels": self.labels,
            "record": None if self.record is None else self.record.as_dict(),
        }

    def __str__(self) -> str:
        raised = self.raised()
        if not raised:
            return f"no drift in {self.inputs} inputs and {self.labels} labels"
        return "\n".join(f"{s.level}: {s.message}" for s in raised)
