"""`fleet.ask`: route, ask, record, decide.

Here is what lasts from one task to the next; `errand` sees one task through, `several` one for which several models are
asked, `attempt` one call. `turns` are for those who wait, `hedging` is the second request, `reuse` the cache,
`emergency` what is left when nobody is healthy.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from fairlead.errors import FairleadError, InvalidRecordError
from fairlead.fleet.emergency import LastResort
from fairlead.fleet.errand import Alone
from fairlead.fleet.hedging import Hedge, Hedging, as_patience
from fairlead.fleet.reuse import Cached
from fairlead.fleet.turns import Turns
from fairlead.measure.money import as_usd, cost_nanos
from fairlead.policy.pooled import DEFAULT_STRATEGY, strategy_index
from fairlead.policy.route import Route
from fairlead.policy.strategy import Strategy
from fairlead.providers.deadlines import Limit, as_deadline
from fairlead.providers.provider import Answer, Provider
from fairlead.types import Decision, Forecast, Model, Task

if TYPE_CHECKING:
    from fairlead.fleet.several import Council
    from fairlead.policy.cascade import Cascade, Reading
    from fairlead.policy.cascade.past import Past

_LOOK_AGAIN = 16
"""Tasks that a reading of the record serves."""


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
    def decide(self, task: Task | str, *, strategy: str | Strategy) -> Decision: ...
    def past(self) -> Past: ...
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
        self._reading: Reading | None = None
        self._readings = 0

    def ask(
        self,
        task: Task,
        *,
        deadline: Limit = None,
        hedge: Hedge | None = None,
        state: str = "",
        max_cost_usd: float | None = None,
        strategy: str | Strategy = DEFAULT_STRATEGY,
        models: int | Iterable[str] | None = None,
        cascade: Cascade | None = None,
        wishes: dict[str, Any] = _NONE,
    ) -> Coroutine[Any, Any, Decision]:
        """One decision on a task, to be awaited. See `Fleet.ask`."""
        if not isinstance(task, Task):
            raise InvalidRecordError(f"task is {task!r}, must be a Task")
        if strategy is not DEFAULT_STRATEGY and not isinstance(strategy, Strategy):
            strategy_index(strategy)  # so that a misspelt one is told before anything is paid
        ban = wishes.get("ban")
        if isinstance(ban, str):
            raise InvalidRecordError(f"ban is {ban!r}, must be names of models")
        if ban is not None and not isinstance(ban, tuple):
            wishes = {**wishes, "ban": tuple(ban)}  # it is read at each route
        errand: Alone | Council
        if models is None and cascade is None and strategy != "consensus":
            errand = Alone(self, self._fleet(), task, state, strategy, wishes)
        else:
            from fairlead.fleet.several import Council

            errand = Council(self, self._fleet(), task, state, strategy, wishes)
            errand.seat(models, cascade)
        if deadline is not None:
            errand.limit = as_deadline(deadline)
        if hedge is not None and hedge is not False:
            errand.hedge = as_patience(hedge)
        if max_cost_usd is not None:
            errand.allowance_usd = as_usd(cost_nanos(max_cost_usd, "max_cost_usd"))
        return errand.run()

    def reading(self) -> Reading:
        """What the settled tasks say of the models, for cascades. It is read anew now and then: the first time,
        all that is remembered (some tens of milliseconds where that is full), then what is new since (a few)."""
        if self._reading is None or self._readings % _LOOK_AGAIN == 0:
            self._reading = self._fleet().past().reading()
        self._readings += 1
        return self._reading

    def _fleet(self) -> Desk:
        fleet = self._desk()
        if fleet is None:
            raise FairleadError("the fleet is gone")
        return fleet
