"""`fleet.ask`: route, ask, record, decide.

Here is what lasts from one task to the next; `errand` sees one task through, `attempt` one call. `turns` are for those
who wait, `hedging` is the second request, `reuse` the cache, `emergency` what is left when nobody is healthy.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from fairlead.errors import FairleadError, InvalidRecordError
from fairlead.fleet.emergency import LastResort
from fairlead.fleet.errand import Errand
from fairlead.fleet.hedging import Hedge, Hedging, as_patience
from fairlead.fleet.reuse import Cached
from fairlead.fleet.turns import Turns
from fairlead.measure.money import as_usd, cost_nanos
from fairlead.policy.pooled import DEFAULT_STRATEGY, strategy_index
from fairlead.policy.route import Route
from fairlead.providers.deadlines import Limit, as_deadline
from fairlead.providers.provider import Answer, Provider
from fairlead.types import Decision, Forecast, Model, Task


class Desk(Protocol):
    """What asking needs of a fleet."""

    @property
    def models(self) -> tuple[Model, ...]: ...
    @property
    def emergency(self) -> bool: ...
    @property
    def route(self) -> Callable[..., Route]: ...
    def called(self, route: Route, answer: Answer) -> None: ...
    def release(self, route: Route) -> None: ...
    def record(self, task: Task | str, forecast: Forecast) -> None: ...
    def decide(self, task: Task | str, *, strategy: str) -> Decision: ...
    def gate(self, model: str) -> str: ...
    def latency(self, model: str, q: float) -> float | None: ...
    def enter_emergency(self, reason: str) -> object: ...
    def leave_emergency(self, reason: str) -> object: ...
    def answerer(self, model: str) -> tuple[Model, Provider] | None: ...
    def now(self) -> int: ...


_NONE: dict[str, Any] = {}  # never changed


class Asking:
    """Asks the models of a fleet. It is a part of the fleet, which it knows by what a `Desk` has."""

    def __init__(self, desk: Desk) -> None:
        self._desk = weakref.ref(desk)  # it must not keep the fleet, which keeps it
        self.turns = Turns()
        self.hedging = Hedging()
        self.last_resort = LastResort()
        self.cached: Cached | None = None
        self.left_out: tuple[str, ...] = ()
        """Models that are never asked: those without a provider, and a local one that is for emergencies alone."""

    def ask(
        self,
        task: Task,
        *,
        deadline: Limit = None,
        hedge: Hedge | None = None,
        state: str = "",
        max_cost_usd: float | None = None,
        strategy: str = DEFAULT_STRATEGY,
        wishes: dict[str, Any] = _NONE,
    ) -> Coroutine[Any, Any, Decision]:
        """One decision on a task, to be awaited. See `Fleet.ask`."""
        if not isinstance(task, Task):
            raise InvalidRecordError(f"task is {task!r}, must be a Task")
        if strategy != DEFAULT_STRATEGY:
            strategy_index(strategy)  # so that a misspelt one is told before anything is paid
        ban = wishes.get("ban")
        if ban is not None and not isinstance(ban, (str, tuple)):
            wishes = {**wishes, "ban": tuple(ban)}  # it is read at each route
        errand = Errand(self, self._fleet(), task, state, strategy, wishes)
        if deadline is not None:
            errand.limit = as_deadline(deadline)
        if hedge is not None and hedge is not False:
            errand.hedge = as_patience(hedge)
        if max_cost_usd is not None:
            errand.allowance_usd = as_usd(cost_nanos(max_cost_usd, "max_cost_usd"))
        return errand.run()

    def _fleet(self) -> Desk:
        fleet = self._desk()
        if fleet is None:
            raise FairleadError("the fleet is gone")
        return fleet
