"""One task that is asked for, until it is answered: whom to ask, whom next, and what if there is nobody.

`Errand` gets one answer; `Alone` decides on it. `several` gets more, with one errand for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from fairlead.errors import BudgetExhaustedError, InvalidRecordError, NoForecastError, UnknownModelError
from fairlead.fleet.attempt import Attempt
from fairlead.fleet.emergency import told_of
from fairlead.fleet.hedging import Patience
from fairlead.fleet.reuse import question
from fairlead.measure.calendar import time_text
from fairlead.measure.money import nearest, usd_text
from fairlead.policy.route import Route
from fairlead.policy.strategy import Strategy
from fairlead.providers.deadlines import Deadline
from fairlead.providers.provider import Answer
from fairlead.types import Decision, Forecast, Task

if TYPE_CHECKING:
    from fairlead.fleet.asking import Asking, Desk

_A_DAY = 86_400.0
_A_LITTLE = 1e-3
"""Seconds that a clock may be behind: then there would be no money yet."""
_NARROWING = frozenset(("pin", "ban", "at_least"))
"""Wishes that leave models out: if none of the others is healthy, that is no emergency of the fleet."""


R = TypeVar("R")


class Errand(Generic[R]):
    """One answer to one task: whom it was tried with, what that cost, and what becomes of it."""

    __slots__ = (
        "_asked",
        "_asking",
        "_desk",
        "_over_allowance",
        "_spent_usd",
        "_strategy",
        "_task",
        "_told",
        "_tried",
        "_unfit",
        "_wishes",
        "allowance_usd",
        "hedge",
        "limit",
    )

    def __init__(
        self, asking: Asking, desk: Desk, task: Task, state: str, strategy: str | Strategy, wishes: dict[str, Any]
    ) -> None:
        self._asking = asking
        self._desk = desk
        self._task = task
        self._strategy = strategy
        self._wishes = wishes
        self._asked = question(task, state)
        self._tried: tuple[str, ...] = ()
        self._told = ""  # how the last call failed
        self._spent_usd = 0.0
        self._unfit: InvalidRecordError | None = None
        self._over_allowance = False
        self.limit: Deadline | None = None
        self.hedge: Patience | None = None
        self.allowance_usd: float | None = None

    async def run(self) -> R:
        """Asks one after the other, until one has answered, the time is over or nobody is left."""
        cached, turns = self._asking.cached, self._asking.turns
        while True:
            seen = turns.ended
            route = self._route()
            if not route:
                if cached is not None and (known := self._find_any()) is not None:
                    return self._reuse(known)
                route = await self._wait(route, seen)
                if not route:
                    return await self._without(route)
            if cached is not None and (known := self._find(cast(str, route.model))) is not None:
                self._desk.release(route)
                return self._reuse(known)
            attempt = self._attempt(route)
            if attempt is None:
                continue
            answer = await (attempt.run() if self.hedge is None else self._race(attempt, self.hedge))
            if answer.failure is None:
                try:
                    return self._done(answer)
                except UnknownModelError:  # it has left the fleet meanwhile, and is not routed to any more
                    self._told = f" ({answer.forecast.model} has left the fleet)"
                    continue
            if attempt.model.name not in self._tried:
                self._failed(attempt, answer)
            if self._late():
                return await self._give_in("no answer before the deadline")

    # --- whom to ask ---

    def _route(self, *also: str) -> Route:
        """Somebody who was not tried yet, and does not cost more than the task may."""
        without = self._asking.left_out + self._tried + self._taken() + also
        while True:
            if self._wishes:
                route = self._desk.route(self._task, without=without, **self._wishes)
            else:  # a call without a mapping to be unpacked is a quarter of a microsecond faster
                route = self._desk.route(self._task, without=without)
            if self.allowance_usd is None or not route:
                return route
            if self._committed() + max(route.reserved_usd, route.cost_usd) <= self.allowance_usd:
                return route
            self._over_allowance = True
            self._desk.release(route)
            without = (*without, cast(str, route.model))

    def _taken(self) -> tuple[str, ...]:
        """Models that others ask for the same task, or have asked."""
        return ()

    def _committed(self) -> float:
        """USD that the task has cost."""
        return self._spent_usd

    def _attempt(self, route: Route) -> Attempt | None:
        """The call that a route stands for; None where nobody answers for the model, which has just come."""
        model: str = route.model  # type: ignore[assignment]
        who = self._desk.answerer(model)
        if who is None:
            self._desk.release(route)
            self._tried = (*self._tried, model)
            return None
        return Attempt(self._desk, route, who, self._task, self.limit, self._wishes)

    async def _race(self, first: Attempt, patience: Patience) -> Answer:
        """The answer of two, if the first takes long."""
        name = first.model.name
        hedging = self._asking.hedging
        delay = patience.of(lambda q: self._desk.latency(name, q))
        if delay is None:
            return await first.run()

        def second() -> Attempt | None:
            route = self._route(name)
            return self._attempt(route) if route else None

        return await hedging.race(first, delay, second, self._failed, self._desk.latency)

    async def _wait(self, route: Route, seen: int) -> Route:
        """Somebody to ask as soon as there is one: where models are only held back, since others ask them, or their
        budget gets money again. Nobody, where that takes too long or will not be."""
        if not _may_come(route) or self._late():
            return route
        turns = self._asking.turns
        turn = turns.join((route.refused_by, self._tried, repr(self._wishes)))
        try:
            while _may_come(route) and not self._late():
                if await turn.come(seen, self._patience(route)):
                    seen = turns.ended
                    route = self._route()
            return route
        finally:
            turn.leave()

    def _patience(self, route: Route) -> float:
        """Seconds until there is money again, or it is too late."""
        left = inf if self.limit is None else self.limit.left()
        if route.then == "queue" and route.until is not None:
            left = min(left, max(route.until - self._desk.now(), 0) / 1e9 + _A_LITTLE)
        return min(left, _A_DAY)

    def _late(self) -> bool:
        return self.limit is not None and self.limit.left() <= 0.0

    # --- what became of it ---

    def _done(self, answer: Answer) -> R:
        """There is an answer."""
        raise NotImplementedError

    def _reuse(self, known: Forecast) -> R:
        """There is one in the response cache."""
        raise NotImplementedError

    async def _without(self, route: Route) -> R:
        """Nobody can be asked."""
        raise NotImplementedError

    async def _give_in(self, why: str) -> R:
        """There will be none."""
        raise NotImplementedError

    def _recorded(self, forecast: Forecast) -> None:
        desk = self._desk
        desk.record(self._task, forecast)
        if desk.emergency:
            desk.leave_emergency(f"{forecast.model} answers again")

    def _keep(self, forecast: Forecast, now: int) -> None:
        """For those who ask the same soon."""
        asking = self._asking
        asking.last_resort.memory.keep(self._asked, forecast, now)
        if asking.cached is not None:
            who = self._desk.answerer(forecast.model)
            if who is not None:
                asking.cached.keep(who[0], self._task, self._asked, forecast, now)

    def _failed(self, attempt: Attempt, answer: Answer) -> None:
        self._tried = (*self._tried, attempt.model.name)
        self._spent_usd += answer.forecast.cost_usd
        if attempt.unfit is None:
            self._told = f" ({attempt.model.name}: {answer.forecast.error})"
        else:
            self._unfit = attempt.unfit

    # --- the response cache ---

    def _find(self, model: str) -> Forecast | None:
        cached, who = self._asking.cached, self._desk.answerer(model)
        if cached is None or who is None:
            return None
        return cached.find(who[0], self._task, self._asked, self._desk.now())

    def _find_any(self) -> Forecast | None:
        """Of anybody who might have been asked: where nobody can be, an answer that is there is free all the same."""
        wishes: Mapping[str, Any] = self._wishes
        if wishes.get("at_least") is not None:
            return None
        pin, ban = wishes.get("pin"), (*(wishes.get("ban") or ()), *self._asking.left_out, *self._taken())
        for model in self._desk.models:
            name = model.name
            if name in ban or (pin is not None and name != pin):
                continue
            if (known := self._find(name)) is not None:
                return known
        return None


class Alone(Errand[Decision]):
    """A task that one answer is enough for: it is decided on that, or on what is left where there is none."""

    __slots__ = ()

    def _done(self, answer: Answer) -> Decision:
        forecast = answer.forecast
        self._recorded(forecast)
        decision = self._desk.decide(self._task, strategy=self._strategy)
        self._keep(forecast, decision.time)
        return decision

    def _reuse(self, known: Forecast) -> Decision:
        self._desk.record(self._task, known)
        decision = self._desk.decide(self._task, strategy=self._strategy)
        return told_of(decision, f"cached: {known.model} has answered this before")

    async def _without(self, route: Route) -> Decision:
        """What is decided, or raised, where nobody can be asked."""
        if route.refused_by or self._over_allowance:
            raise self._exhausted(route)
        if self._late():
            return await self._give_in("no answer before the deadline")
        desk = self._desk
        gates = {self._gate(model) for model in self._tried}
        if ("unhealthy" in route.reasons or "no" in gates) and gates.isdisjoint(("yes", "wait")):
            if not desk.emergency and _NARROWING.isdisjoint(self._wishes):
                desk.enter_emergency(f"nobody healthy is left{self._told}")
            return await self._give_in(f"nobody healthy is left{self._told}")
        if self._told:
            return await self._give_in(f"nobody has answered{self._told}")
        if self._unfit is not None:
            raise self._unfit
        if desk.models and all(desk.answerer(model.name) is None for model in desk.models):
            names = ", ".join(repr(model.name) for model in desk.models[:3])
            raise NoForecastError(
                f"task {self._task.id!r}: no model has a provider ({names}); providers are not journaled: "
                "fleet.connect(model, provider)"
            )
        why = ", ".join(route.reasons) or "there is none"
        raise NoForecastError(f"task {self._task.id!r}: no model with a provider can be asked: {why}")

    def _gate(self, model: str) -> str:
        try:
            return self._desk.gate(model)
        except UnknownModelError:
            return "left"

    async def _give_in(self, why: str) -> Decision:
        return await self._asking.last_resort.decide(
            self._desk, self._task, self._asked, self._strategy, why, self._spent_usd, self._may_speak
        )

    def _may_speak(self, model: str) -> bool:
        """Whether a model's answer is wanted, by `pin` and `ban`."""
        pin = self._wishes.get("pin")
        return model not in (self._wishes.get("ban") or ()) and (pin is None or model == pin)

    def _exhausted(self, route: Route) -> BudgetExhaustedError:
        if route.refused_by:
            budget, left, until = route.refused_by, route.left_usd, route.until
        else:
            budget, left, until = "max_cost_usd", max((self.allowance_usd or 0.0) - self._spent_usd, 0.0), None
        has, ends = usd_text(nearest(left)), "" if until is None else f", until {time_text(until)}"
        told = f"task {self._task.id!r}: budget {budget!r} has {has} left, too little for a call{ends}{self._told}"
        return BudgetExhaustedError(told, budget, left, until)


def _may_come(route: Route) -> bool:
    """Nobody can be asked now, but that may change within the call."""
    return route.model is None and (route.then == "queue" or "held_back" in route.reasons)
