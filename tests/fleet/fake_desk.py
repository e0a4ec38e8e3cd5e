"""A desk of the smallest kind, for tests of asking itself: real breakers and budgets, the first candidate is asked.

It takes note of every call of it, so that a test can say that each route has exactly one end.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import time_ns
from typing import Any

import fairlead as fl
from fairlead.fleet.asking import Asking
from fairlead.providers import Answer, as_provider
from fairlead.types import TIERS


@dataclass(frozen=True)
class Route:
    """As the core's."""

    task: str
    model: str | None
    attempt: int = 0
    cost_usd: float = 0.0
    reserved_usd: float = 0.0
    reasons: tuple[str, ...] = ()
    refused_by: str = ""
    then: str = ""
    until: int | None = None
    left_usd: float = 0.0

    def __bool__(self) -> bool:
        return self.model is not None


class FakeDesk:
    def __init__(self, *, budgets: fl.Budgets | None = None, clock: Any = time_ns, **breakers: Any) -> None:
        self.fleet = fl.Fleet(clock=clock)
        self.breakers = fl.Breakers(**breakers)
        self.budgets = budgets
        self.clock = clock
        self.reserves_usd = 1.0
        self.emergency = False
        self.log: list[tuple[str, Any]] = []
        self.open: dict[int, tuple[int, Any, Any]] = {}  # attempt -> model, ticket, reservation
        self._who: dict[str, tuple[fl.Model, Any]] = {}
        self._ids: dict[str, int] = {}
        self.asking = Asking(self)

    def add(self, name: str, provider: Any, **fields: Any) -> None:
        model = fl.Model(name, **fields)
        self.fleet.add(model)
        self._ids[name] = self.breakers.add(name, name)
        self._who[name] = model, as_provider(provider)

    # --- what asking needs ---

    @property
    def models(self) -> tuple[fl.Model, ...]:
        return self.fleet.models

    def route(
        self,
        task: fl.Task,
        *,
        type: Any = None,
        pin: str | None = None,
        ban: Any = (),
        without: Any = (),
        at_least: str | None = None,
        objective: Any = None,
    ) -> Route:
        now = self.clock()
        reasons, refusal = set(), None
        for name, id in self._ids.items():
            if (pin is not None and name != pin) or name in ban or name in without:
                continue
            if at_least is not None and TIERS.index(self._who[name][0].tier) > TIERS.index(at_least):
                continue
            gate = self.breakers.gate(id, now)
            if gate != "yes":
                reasons.add("held_back" if gate == "wait" else "unhealthy")
                continue
            held = None
            if self.budgets is not None:
                held = self.budgets.reserve(self.reserves_usd, now, model=name)
                if not held:
                    refusal = held
                    continue
            ticket = self.breakers.begin(id, now)
            attempt = len(self.log) + 1
            self.open[attempt] = id, ticket, held
            self.log.append(("route", name))
            reserved = self.reserves_usd if held else 0.0
            return Route(task.id, name, attempt=attempt, reserved_usd=reserved, cost_usd=self._who[name][0].price_in)
        self.log.append(("nobody", tuple(sorted(reasons))))
        if refusal is not None:
            return Route(
                task.id,
                None,
                reasons=(*sorted(reasons), "over_budget"),
                refused_by=refusal.budget,
                then=refusal.on_exhausted,
                until=refusal.until,
                left_usd=refusal.left_usd,
            )
        return Route(task.id, None, reasons=tuple(sorted(reasons)))

    def called(self, route: Route, answer: Answer) -> None:
        id, ticket, held = self.open.pop(route.attempt)
        now = self.clock()
        failure = answer.failure
        if failure is None:
            self.breakers.success(id, ticket, now, answer.forecast.latency_ms or 0.0)
        else:
            self.breakers.failure(id, ticket, now, failure.kind, failure.retry_after_s)
        if held:
            self.budgets.settle(held, answer.forecast.cost_usd, now)
        self.log.append(("called", (route.model, failure.kind if failure else "answered", answer.calls)))
        self.asking.turns.ring()

    def release(self, route: Route) -> None:
        id, ticket, held = self.open.pop(route.attempt)
        self.breakers.failure(id, ticket, self.clock(), "cancelled")
        if held:
            self.budgets.cancel(held)
        self.log.append(("released", route.model))
        self.asking.turns.ring()

    def record(self, task: fl.Task, forecast: fl.Forecast) -> None:
        self.fleet.record(task, forecast)
        self.log.append(("record", (forecast.model, forecast.error.partition(":")[0])))

    def decide(self, task: fl.Task, *, strategy: str | fl.Strategy = fl.DEFAULT_STRATEGY) -> fl.Decision:
        return self.fleet.decide(task, strategy=strategy)

    def past(self) -> Any:
        return self.fleet.past()

    def gate(self, model: str) -> str:
        return self.breakers.gate(self._ids[model], self.clock())

    def latency(self, model: str, q: float) -> float | None:
        ms = self.breakers.latency_ms(self._ids[model], q)
        return None if ms is None or ms != ms else ms / 1e3

    def enter_emergency(self, reason: str) -> None:
        self.emergency = True
        self.log.append(("emergency", True))

    def leave_emergency(self, reason: str) -> None:
        self.emergency = False
        self.log.append(("emergency", False))

    def answerer(self, model: str) -> tuple[fl.Model, Any]:
        return self._who[model]

    def resting(self) -> tuple[str, ...]:
        return tuple(name for name, id in self._ids.items() if self.breakers.as_dict()["state"][id] != "closed")

    def void(self, task: str) -> bool:
        self.log.append(("void", task))
        return True

    def now(self) -> int:
        return int(self.clock())

    # --- what tests read ---

    def kinds(self, what: str) -> list[Any]:
        return [value for kind, value in self.log if kind == what]
