"""The numbers of a retraining pipeline."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.jobs import EarlyStopping, Limits

Mode = Literal["full", "incremental"]
Window = Callable[[int, int], int]
"""How many of the newest examples a run looks at, from how many came after the drift (0: none was found) and how many
there are."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How a pipeline retrains and what it asks of a challenger. What raises an alarm is the trigger's, what proves a
    challenger is the trial's.

    least: examples to learn from, at least: a window that is shorter is widened. most: and at most. fresh: examples
    since the drift that a run waits for where a drift asks for it, as there is little to learn of the new before; None:
    `least` and `least_holdback` together. window: how many of the newest examples a run looks at: a number, a function
    of (examples since the drift, examples at hand), or None, which takes those since the drift, or all where no drift
    is seen. holdback: the share of them, the newest, that training never sees and that the challenger is first proved
    on; least_holdback: at least so many. validation: the share of the rest, the newest again, that decides when
    training stops early, by `early_stopping`; 0: none. limits: of a job's time and memory.

    mode: "full" learns anew, "incremental" goes on from the champion. seed: of the first run; each next has one more.
    check_every: labels between two looks at the drift. patience_s: seconds that a challenger may take for an answer
    that counts, before the champion gives it; None: it is called where the caller is, and waited for. approval: nothing
    is promoted but by `force` or `deploy`. retry: whether a run whose process died goes on from its checkpoint.
    capacity: examples that are kept. pending: inputs that wait for their label, at most; the oldest are given up.

    Raises InvalidRecordError naming the field and the value.

    >>> Policy(holdback=0.3).split(1_000)
    (700, 300)
    >>> Policy(holdback=1.5)
    Traceback (most recent call last):
    fairlead.errors.InvalidRecordError: holdback is 1.5, outside (0, 1)
    """

    least: int = 200
    most: int = 10_000
    fresh: int | None = None
    window: int | Window | None = None
    holdback: float = 0.2
    least_holdback: int = 50
    validation: float = 0.0
    early_stopping: EarlyStopping | None = None
    limits: Limits | None = None
    mode: Mode = "full"
    seed: int = 0
    check_every: int = 25
    patience_s: float | None = 1.0
    approval: bool = False
    retry: bool = True
    capacity: int = 10_000
    pending: int = 100_000

    def __post_init__(self) -> None:
        for name, least in (
            ("least", 1),
            ("most", 1),
            ("least_holdback", 1),
            ("seed", 0),
            ("check_every", 1),
            ("capacity", 2),
            ("pending", 1),
        ):
            _count(getattr(self, name), name, least)
        if self.most < self.least:
            raise InvalidRecordError(f"most is {self.most}, below least, {self.least}")
        if self.fresh is not None:
            _count(self.fresh, "fresh", 0)
        if self.window is not None and not callable(self.window):
            _count(self.window, "window", 2)
        if not 0.0 < _number(self.holdback, "holdback") < 1.0:
            raise InvalidRecordError(f"holdback is {self.holdback!r}, outside (0, 1)")
        if not 0.0 <= _number(self.validation, "validation") < 1.0:
            raise InvalidRecordError(f"validation is {self.validation!r}, outside [0, 1)")
        if self.mode not in ("full", "incremental"):
            raise InvalidRecordError(f"mode is {self.mode!r}, must be 'full' or 'incremental'")
        if self.patience_s is not None and not 0.0 < _number(self.patience_s, "patience_s") < float("inf"):
            raise InvalidRecordError(f"patience_s is {self.patience_s!r}, must be positive, or None")
        for name in ("approval", "retry"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidRecordError(f"{name} is {getattr(self, name)!r}, must be True or False")

    @property
    def fresh_enough(self) -> int:
        """Examples since the drift that a run waits for."""
        return self.needed if self.fresh is None else self.fresh

    @property
    def needed(self) -> int:
        """Examples that there must be before a run begins."""
        n = self.least + self.least_holdback
        while self.split(n)[0] < self.least:
            n += 1
        return n

    def look(self, since_drift: int, at_hand: int) -> int:
        """How many of the newest examples a run looks at."""
        if callable(self.window):
            wanted = int(self.window(since_drift, at_hand))
        elif self.window is not None:
            wanted = self.window
        else:
            wanted = since_drift or at_hand
        return min(max(wanted, self.needed), self.most, at_hand)

    def split(self, n: int) -> tuple[int, int]:
        """Of n examples, how many are learnt from, and how many held back."""
        held = min(max(round(n * self.holdback), self.least_holdback), n)
        return n - held, held


def _count(value: object, name: str, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidRecordError(f"{name} is {value!r}, must be a whole number")
    if value < least:
        raise InvalidRecordError(f"{name} is {value}, below {least}")


def _number(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidRecordError(f"{name} is {value!r}, must be a number")
    return float(value)
