"""What a pair of answers counts: the loss of each, and their difference in [-1, 1].

- `zero_one`: 1 unless the likeliest class (of equals the first) is the label.
- `brier`: half the sum of squared differences between the probabilities and the label, in [0, 1]; of two classes that
  is (p - y) ** 2.
- `log`: -log p(label), at least p = `FLOOR`, divided by -log(FLOOR): in [0, 1].
- `absolute`, `squared`: of a number, in its own units. Their difference is divided by `CUT` times the median of the
  differences (that were any) of the newest `MEMORY` pairs before this one, and cut to [-1, 1]: so an outlier counts as
  `CUT` usual differences. The first difference only sets the scale and counts nothing, unless `scale` was given: a
  usual difference, such as a tenth of the usual error. What is tested is thus the mean of cut differences: under heavy
  tails another thing than the mean, and the one that can be known.

A call that failed, or gave NaN, counts as the worst that there is: 1, or a difference of 1.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fairlead.errors import InvalidRecordError

LossName = Literal["zero_one", "brier", "log", "absolute", "squared"]
Answer = float | Sequence[float] | None
"""Probabilities of the classes, or a number; None: the call failed."""

LOSSES: tuple[LossName, ...] = ("zero_one", "brier", "log", "absolute", "squared")
NUMERIC = ("absolute", "squared")
FLOOR = 0.01
CUT = 6.0
MEMORY = 255


class Scale:
    """The median of what is usual, by the newest values: a number that is known before the next value."""

    __slots__ = ("_newest", "_sorted", "start")

    def __init__(self, start: float | None = None) -> None:
        self.start = start
        self._newest: deque[float] = deque()
        self._sorted: list[float] = []

    @property
    def n(self) -> int:
        """How many values it knows."""
        return len(self._sorted)

    def quantile(self, share: float) -> float:
        """The smallest value that so many are at most; NaN without values."""
        n = len(self._sorted)
        return self._sorted[min(max(math.ceil(share * n) - 1, 0), n - 1)] if n else math.nan

    @property
    def value(self) -> float | None:
        """The median so far, else what was given; None: nothing is known."""
        n = len(self._sorted)
        if n >= 8 or (n and self.start is None):
            return 0.5 * (self._sorted[n // 2] + self._sorted[(n - 1) // 2])
        return self.start

    def learn(self, size: float) -> None:
        """One more size; 0 and what is not finite teach nothing."""
        if not 0.0 < size < math.inf:
            return
        if len(self._newest) == MEMORY:
            del self._sorted[bisect_left(self._sorted, self._newest.popleft())]
        self._newest.append(size)
        insort(self._sorted, size)

    def as_dict(self) -> dict[str, Any]:
        """All of it, as plain JSON types."""
        return {"start": self.start, "newest": list(self._newest)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Scale:
        """Back from `as_dict`."""
        scale = cls(None if values["start"] is None else float(values["start"]))
        scale._newest = deque(float(size) for size in values["newest"])
        scale._sorted = sorted(scale._newest)
        return scale


def check_loss(name: str, numeric: bool | None = None) -> LossName:
    """The loss's name, or InvalidRecordError. numeric: what the answers are, where that is known."""
    if name not in LOSSES:
        raise InvalidRecordError(f"loss is {name!r}, must be one of {', '.join(LOSSES)}")
    if numeric is not None and numeric != (name in NUMERIC):
        fitting = [loss for loss in LOSSES if (loss in NUMERIC) == numeric]
        raise InvalidRecordError(f"loss is {name!r}, which does not fit: must be one of {', '.join(fitting)}")
    return name


def loss_of(name: LossName, answer: Answer, y: float) -> float:
    """What an answer loses; NaN for a number that was not given or is none, 1 for a failed call otherwise.

    >>> loss_of("zero_one", [0.2, 0.8], 1), round(loss_of("brier", [0.2, 0.8], 1), 3), loss_of("absolute", 3.0, 1.0)
    (0.0, 0.04, 2.0)
    """
    label_of(y)
    if name in NUMERIC:
        if answer is None:
            return math.nan
        error = abs(_number(answer) - y)
        return error if name == "absolute" else error * error
    if answer is None:
        return 1.0
    p = _probabilities(answer, y)
    if p is None:
        return 1.0
    label = int(y)
    if name == "zero_one":
        return 0.0 if max(range(len(p)), key=p.__getitem__) == label else 1.0
    if name == "brier":
        return min(0.5 * math.fsum((q - (i == label)) ** 2 for i, q in enumerate(p)), 1.0)
    return math.log(min(max(p[label], FLOOR), 1.0)) / math.log(FLOOR)  # of 1.0000001 there is no gain past 1


def label_of(y: Any) -> float:
    """A label, as a finite number, or InvalidRecordError."""
    try:
        label = float(y)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidRecordError(f"y is {y!r}, must be a number") from error
    if not math.isfinite(label):
        raise InvalidRecordError(f"y is {y!r}, must be finite")
    return label


def gain_of(name: LossName, champion: float, challenger: float, scale: Scale) -> float:
    """How much the challenger gains by losses from `loss_of`, in [-1, 1]; teaches the scale, after using it."""
    gain = champion - challenger
    if name not in NUMERIC:
        return gain
    lost = [not math.isfinite(loss) for loss in (champion, challenger)]
    if any(lost):
        return float(lost[0]) - float(lost[1])
    usual = scale.value
    scale.learn(abs(gain))
    if usual is None or gain == 0.0:
        return 0.0
    return min(max(gain / (CUT * usual), -1.0), 1.0)


def _number(answer: Any) -> float:
    try:
        return float(answer)
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"answer is {answer!r}, must be a number") from error


def _probabilities(answer: Any, y: float) -> list[float] | None:
    """The probabilities; None if one is NaN."""
    if isinstance(answer, (int, float)) or not hasattr(answer, "__len__"):
        raise InvalidRecordError(f"answer is {answer!r}, must be the probabilities of all classes")
    try:
        p = [float(q) for q in answer]
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"answer is {answer!r}, must be the probabilities of all classes") from error
    if not y == int(y) or not 0 <= y < len(p):
        raise InvalidRecordError(f"y is {y!r}, must be the number of one of {len(p)} classes")
    total = sum(p)
    if total != total:
        return None
    if len(p) < 2 or min(p) < -1e-6 or abs(total - 1.0) > 1e-3:
        raise InvalidRecordError(f"answer is {p!r}, must be two or more probabilities that sum to 1")
    return p
