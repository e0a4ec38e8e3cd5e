"""What a trial asks for, and where it stands."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.proving.losses import LossName, check_loss
from fairlead.lifecycle.proving.paired import level, number

Stage = Literal["prequential", "shadow", "canary", "done", "watch"]
Decision = Literal["continue", "promote", "refuse", "rollback", "keep"]
HeldBack = Literal["evidence", "screen"]
Spending = Literal["each", "family"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a trial asks for.

    alpha: of challengers no better than the champion at most this share is promoted. least, beta: a challenger is given
    up once a gain of `least` is refuted at level beta, where a loss is between 0 and 1 (of numbers: where `losses.CUT`
    usual differences are 1). loss: see `fairlead.lifecycle.proving.losses`; scale: of numeric
    ones, a usual difference, where known.

    held_back, shadow, canary: the least number of labelled pairs of a stage, of the canary those that the challenger
    served; what is missing of held-back data is asked of the shadow. 0 leaves a stage out, but for held-back data,
    which count as long as there are any. share: of tasks that the challenger serves in the canary. canary_at: the
    e-value at which it may begin: 1 / canary_at is the chance that a challenger no better than the champion ever
    serves. at_most: after so many pairs in shadow and canary without a verdict the challenger is refused,
    unless it is found better and only labels of what it served are lacking, as where labels come late or many at once.

    evidence: `"evidence"`: held-back data count as any. `"screen"`: they can refuse a challenger, but not promote it:
    right where retraining was decided by the champion's errors on these very data, since a champion that was only
    unlucky there looks worse than it is, and any challenger beside it better.

    spending: how alpha is meant when one challenger after the other is tried. `"each"`: of each, so that of all trials
    of challengers that are no better one in twenty ends in a promotion. `"family"`: of all that are tried against one
    champion, together: the k-th gets 6 / (pi k) ** 2 of it (`after`); a tenth challenger then needs some 2.7 times the
    labels.

    >>> round(Plan(spending="family").after(1).alpha, 4), Plan().after(9).alpha
    (0.0076, 0.05)
    """

    alpha: float = 0.05
    least: float = 0.01
    beta: float = 0.05
    loss: LossName = "zero_one"
    scale: float | None = None
    held_back: int = 30
    shadow: int = 10
    canary: int = 5
    share: float = 0.2
    canary_at: float = 5.0
    at_most: int = 1000
    evidence: HeldBack = "evidence"
    spending: Spending = "each"

    def __post_init__(self) -> None:
        level(self.alpha, "alpha")
        level(self.beta, "beta")
        check_loss(self.loss)
        for name in ("least", "scale", "share", "canary_at"):
            if not (name == "scale" and self.scale is None):
                number(getattr(self, name), name)
        if not 0.0 <= self.least < 1.0:
            raise InvalidRecordError(f"least is {self.least!r}, must be at least 0 and below 1")
        if self.scale is not None and not 0.0 < self.scale < float("inf"):
            raise InvalidRecordError(f"scale is {self.scale!r}, must be positive and finite, or None")
        for name in ("held_back", "shadow", "canary"):
            whole(getattr(self, name), name, 0)
        whole(self.at_most, "at_most", 1)
        if self.at_most < self.shadow + self.canary:
            raise InvalidRecordError(
                f"at_most is {self.at_most}, below shadow and canary together, {self.shadow + self.canary}"
            )
        if not 0.0 < self.share <= 1.0:
            raise InvalidRecordError(f"share is {self.share!r}, must be above 0 and at most 1")
        if not 1.0 <= self.canary_at <= 1.0 / self.alpha:
            raise InvalidRecordError(f"canary_at is {self.canary_at!r}, must be from 1 to 1 / alpha")
        if self.evidence not in ("evidence", "screen"):
            raise InvalidRecordError(f"evidence is {self.evidence!r}, must be evidence or screen")
        if self.spending not in ("each", "family"):
            raise InvalidRecordError(f"spending is {self.spending!r}, must be each or family")

    def after(self, refused: int) -> Plan:
        """The plan of the next trial, where so many were refused against the same champion already."""
        whole(refused, "refused", 0)
        if self.spending == "each":
            return self
        return replace(self, alpha=self.alpha * 6.0 / (math.pi * (refused + 1)) ** 2)

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Plan:
        """Back from `as_dict`."""
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a trial or a watch stands. decision: `continue`; of a trial then `promote` or `refuse`, of a watch `keep`
    or `rollback`. stage: in which it was made. failure: why it was refused or rolled back, by name. by: who decided,
    where it was a person."""

    decision: Decision
    stage: Stage
    reason: str
    failure: Failure | None = None
    by: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The fields, as plain JSON types."""
        return asdict(self) | {"failure": None if self.failure is None else self.failure.value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Verdict:
        """Back from `as_dict`."""
        failure = values["failure"]
        return cls(**{**values, "failure": None if failure is None else Failure(failure)})

    def __str__(self) -> str:
        who = f" (by {self.by})" if self.by else ""
        return f"{self.decision}{who}: {self.reason}"


def whole(value: Any, name: str, least: int) -> None:
    """Refuses what is no whole number from `least`: InvalidRecordError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidRecordError(f"{name} is {value!r}, must be a whole number from {least}")
