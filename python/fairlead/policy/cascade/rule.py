"""What a cascade does: how many are asked for which stake, and when it stops."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal
from zlib import crc32

from fairlead.errors import InvalidRecordError
from fairlead.policy.route import Objective, as_objective
from fairlead.types import Task

__all__ = ["Cascade", "Stage"]

Stage = Literal["one", "ensemble", "consensus"]


@dataclass(frozen=True, slots=True)
class Cascade:
    """Asks more models, and more carefully, where more is at stake: `await fleet.ask(task, cascade=Cascade())`.

    thresholds_usd: for a task with a stake below the first, one model is asked, by `objective`. From the first to the
    second, models are asked one after the other, in the order of what they bring for their price, until another answer
    would hardly change the decision. Above the second, all are asked at once, `samples` times each, and must agree;
    where they do not, models of the reasoning tier are asked too, and where those do not bring agreement, the decision
    is to abstain.

    stop: it stops once all who are left would change the decision with a probability below this one. Until then another
    model is asked while the chance that its answer corrects the decision, less that it spoils it, is at least `stop`
    times its price, in units of the best model's. explore: the share of tasks for which nobody is left out, so that
    the record says how models answer that would seldom be asked; which tasks those are follows from their ids. samples:
    answers of each model above the second threshold; their mean counts. agreement: the share of the models that must
    give the same answer there. escalate: how many models of the reasoning tier are asked besides.
    objective: of the route to the one model below the first threshold, where `ask` is given none: "value" is the best
    for its price, "cost" the cheapest; None: what the fleet's rules say.

    Raises InvalidRecordError naming the field and the value.

    >>> rule = Cascade(thresholds_usd=(10, 50))
    >>> [rule.stage(Task("q", stake_usd=usd)) for usd in (5, 10, 50, 50.01)]
    ['one', 'ensemble', 'ensemble', 'consensus']
    """

    thresholds_usd: tuple[float, float] = (10.0, 50.0)
    stop: float = 0.05
    explore: float = 0.05
    samples: int = 2
    agreement: float = 2 / 3
    escalate: int = 1
    objective: str | Objective | None = "value"

    def __post_init__(self) -> None:
        given: Any = self.thresholds_usd
        try:
            low, high = (float(usd) for usd in given)
        except (TypeError, ValueError):
            low = high = math.nan
        if not 0.0 <= low <= high:  # either may be infinite
            raise InvalidRecordError(
                f"thresholds_usd is {given!r}, must be two amounts, the second not below the first"
            )
        object.__setattr__(self, "thresholds_usd", (low, high))
        for name, most in (("stop", 1.0), ("explore", 1.0), ("agreement", 1.0)):
            share = getattr(self, name)
            if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0.0 <= share <= most:
                raise InvalidRecordError(f"{name} is {share!r}, outside [0, 1]")
        for name, least, limit in (("samples", 1, 16), ("escalate", 0, 16)):
            count = getattr(self, name)
            if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= limit:
                raise InvalidRecordError(f"{name} is {count!r}, must be a whole number from {least} to {limit}")

        as_objective(self.objective)

    def stage(self, task: Task) -> Stage:
        """What is done for a task, by its stake."""
        low, high = self.thresholds_usd
        return "one" if task.stake_usd < low else "ensemble" if task.stake_usd <= high else "consensus"

    def explores(self, task: Task) -> bool:
        """Whether nobody is left out for this task."""
        return crc32(task.id.encode("utf-8", "surrogatepass")) < self.explore * 2**32
