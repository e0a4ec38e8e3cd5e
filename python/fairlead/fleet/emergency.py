"""What is done when nobody healthy is left: an answer that was just given, the local model, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from fairlead.errors import UnknownModelError
from fairlead.fleet.reuse import Memory, Question
from fairlead.policy.strategy import Strategy
from fairlead.providers.provider import Provider, call
from fairlead.types import Decision, Forecast, Model, Task

FALLBACK = "fallback"
"""The name in the fleet of a local model that was given as a function."""
MAX_AGE = "5min"
"""How old an answer may be that is given once more."""
PATIENCE = 1.0
"""Seconds that the local model may take, whatever the deadline was."""


@dataclass(frozen=True, slots=True)
class Health:
    """An emergency was entered or left. time: nanoseconds, by the fleet's clock."""

    emergency: bool
    reason: str
    time: int

    def __str__(self) -> str:
        return f"emergency {'entered' if self.emergency else 'left'}: {self.reason}"


class Bench(Protocol):
    """What a last resort needs of a fleet."""

    def record(self, task: Task | str, forecast: Forecast) -> None: ...
    def decide(self, task: Task | str, *, strategy: str | Strategy) -> Decision: ...
    def answerer(self, model: str) -> tuple[Model, Provider] | None: ...
    def now(self) -> int: ...


class LastResort:
    """A decision that needs nobody outside: the last answer to the same question in the same state of the market, if
    it is fresh; else the local model's; else none at all.

    Where there is an answer it is recorded, under the name of the model that gave it and free of charge, and decided
    on by the fleet like any other, so that it is logged, and the position is cut while the emergency lasts.
    """

    def __init__(self, max_age: str | timedelta = MAX_AGE) -> None:
        self.memory = Memory(max_age)
        self.model: str | None = None
        """The local model's name in the fleet."""
        self.is_apart = False
        """It is asked for nothing else."""

    async def decide(
        self,
        bench: Bench,
        task: Task,
        asked: Question,
        strategy: str | Strategy,
        why: str,
        spent_usd: float,
        may_speak: Callable[[str], bool],
    ) -> Decision:
        """Why: in words, for the decision's reasons. spent_usd: what the calls cost that failed. may_speak: whether the
        answer that a model gave before is wanted."""
        found = self.memory.find(asked, bench.now())
        if found is not None and may_speak(found[1].model):
            age, known = found
            try:
                bench.record(task, again(known))
            except UnknownModelError:
                pass  # it has left the fleet
            else:
                told = f"{why}: the answer of {known.model}, {age / 1e9:.0f} s ago, is given once more"
                return told_of(bench.decide(task, strategy=strategy), told)
        if self.model is not None:
            who = bench.answerer(self.model)
            if who is not None:
                model, provider = who
                answer = await call(provider, model, task, deadline=PATIENCE)
                bench.record(task, answer.forecast)
                if answer.failure is None:
                    return told_of(bench.decide(task, strategy=strategy), f"{why}: {model.name} answers")
                why += f", and {model.name} failed"
        return abstention(task, strategy, why, spent_usd, bench.now())


def again(known: Forecast, **changes: Any) -> Forecast:
    """An answer once more: it costs nothing and took no time."""
    return replace(known, latency_ms=None, tokens_in=0, tokens_out=0, cost_usd=0.0, time=0, **changes)


def told_of(decision: Decision, reason: str) -> Decision:
    """A decision with one more reason, before the others."""
    return replace(decision, reasons=(reason, *decision.reasons))


def abstention(task: Task, strategy: str | Strategy, why: str, spent_usd: float, now: int) -> Decision:
    """The decision not to decide: no answer, no position."""
    return Decision(
        task=task.id,
        weights={},
        p=None,
        value=None,
        disagreement=0.0,
        uncertainty=1.0,
        position_scale=0.0,
        cost_usd=spent_usd,
        strategy=strategy if isinstance(strategy, str) else strategy.name,
        reasons=(f"{why}: no decision",),
        time=now,
    )
