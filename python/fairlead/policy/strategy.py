"""A strategy of one's own: a way to weigh the models' answers to one task."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

from fairlead.errors import InvalidRecordError
from fairlead.policy.answered import Answered
from fairlead.types import Task


class Strategy(ABC):
    """Subclass it, name it, and give a weight to each answer; `fleet.decide(task, strategy=Mine())` does the rest.

    The decision is the answers' weighted mean (a linear pool). `weigh` must be a function of what it is given: the same
    answers have the same weights, whatever their order. `fl.check_strategy(Mine())` tries that and more.

    >>> class Cheapest(Strategy):
    ...     name = "cheapest"
    ...     def weigh(self, task, answers):
    ...         least = min(answer.cost_usd for answer in answers)
    ...         return [float(answer.cost_usd == least) for answer in answers]
    """

    name: str

    @abstractmethod
    def weigh(self, task: Task, answers: Sequence[Answered]) -> Sequence[float]:
        """A weight for each answer, in their order: not negative, and not all 0. They are scaled to sum to 1."""


def checked_weights(strategy: Strategy, weights: Sequence[float], answers: Sequence[Answered]) -> dict[str, float]:
    """The weights by model. Raises InvalidRecordError where they are none."""
    given = [float(w) for w in weights]
    if len(given) != len(answers):
        raise InvalidRecordError(f"strategy {strategy.name!r} gave {len(given)} weights for {len(answers)} answers")
    for answer, weight in zip(answers, given, strict=True):
        if not (weight >= 0.0 and math.isfinite(weight)):
            raise InvalidRecordError(
                f"strategy {strategy.name!r} gave {answer.model!r} the weight {weight!r}, must be 0 or more and finite"
            )
    total = math.fsum(given)
    if not 0.0 < total < math.inf:
        raise InvalidRecordError(f"strategy {strategy.name!r} gave weights that sum to {total!r}, must be above 0")
    return {answer.model: weight / total for answer, weight in zip(answers, given, strict=True)}
