"""Asking, cache, emergencies and health checks as methods. The part of the façade that `Fleet` inherits."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from fairlead.errors import InvalidRecordError
from fairlead.fleet import checks
from fairlead.fleet.routing import RoutedFleet
from fairlead.policy import DEFAULT_STRATEGY
from fairlead.types import Decision, Forecast, Model, Task

if TYPE_CHECKING:
    from fairlead._core import Fleet as _CoreFleet
    from fairlead.fleet.asking import Asking
    from fairlead.fleet.checking import HealthChecks, Probe
    from fairlead.fleet.emergency import Health
    from fairlead.fleet.hedging import Hedge
    from fairlead.fleet.listeners import Listeners
    from fairlead.policy.cascade import Cascade
    from fairlead.policy.cascade.past import Past
    from fairlead.policy.strategy import Strategy
    from fairlead.providers import Provider, ResponseCache
    from fairlead.providers.deadlines import Limit

    OnHealth = TypeVar("OnHealth", bound=Callable[[Health], Awaitable[object] | object])


class AskedFleet(RoutedFleet):
    """What stands on routes: whole tasks, from the question to the decision."""

    _asking: Asking | None
    _health: Listeners[Health] | None
    _health_lock: threading.Lock
    _answerers: dict[str, tuple[Model, Provider]]
    _past: Past | None
    _core: _CoreFleet

    def _start_asking(self) -> None:
        self._asking = None
        self._health = None
        self._health_lock = threading.Lock()
        self._answerers = {}
        self._past = None

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
        **routing: Any,
    ) -> Coroutine[Any, Any, Decision]:
        """Routes a task, asks the model, records what it answers, and decides: `await fleet.ask(task)`.

        Where a call fails the next candidate is asked, until one answers, the deadline passes or nobody is left. Each
        call is a route and its end, each failure a forecast with its error, and each answer a forecast. Those who are
        only held back, since others ask the same unproven model, wait for their turn, and those whose budget says
        `queue` for money.

        deadline: for all of it: seconds, "2s", a timedelta or a Deadline. hedge: a second request to the next
        candidate, if the first takes longer than its model's 95th percentile (True), another one ("p90") or a span
        (.3, "300ms"); the first answer wins, and both are paid for. state: of the market, for the cache and for
        emergencies, besides the task's regime. max_cost_usd: what all calls for this task may cost. strategy: as in
        `decide`; where "consensus" finds none, a model of the reasoning tier is asked too, and without one the decision
        is to abstain. routing: as in `route`: type, objective, at_least, pin, ban, bounds.

        models: how many are asked, all at once, in the order of routes; or which, by name. cascade: how many are asked,
        by what is at stake, and when it stops (`Cascade`); models are then those that may be asked. Each is a routed
        call of its own, with all that belongs to one, and each answer is recorded; the decision rests on those that
        came in time.

        Where nobody answers, the decision rests on the last answer to the same question in the same state, if it is
        fresh (`fresh_for`), else on the local model (`fallback`); else it is an abstention: no answer, position scale
        0. If that is because nobody healthy is left, the fleet is in an emergency until a call succeeds again.

        Raises BudgetExhaustedError where a budget refuses, NoForecastError where there is nobody who could be asked at
        all, TaskEndedError, and InvalidRecordError for what cannot be asked.

        >>> import asyncio
        >>> from fairlead import Fleet
        >>> async def oracle(task):
        ...     return 0.8
        >>> fleet = Fleet()
        >>> fleet.add("oracle", oracle)
        >>> asyncio.run(fleet.ask(Task("q-17", text="Will it rain?"))).answer
        0.8
        """
        asking = self._asking or self._ready()
        return asking.ask(
            task,
            deadline=deadline,
            hedge=hedge,
            state=state,
            max_cost_usd=max_cost_usd,
            strategy=strategy,
            models=models,
            cascade=cascade,
            wishes=routing,
        )

    def ask_sync(self, task: Task, **options: Any) -> Decision:
        """As `ask`, for code that is not async: in any thread, and inside a running event loop, too."""
        from fairlead.providers.waiting import wait_for

        return wait_for(self.ask(task, **options))

    # --- what is there already ---

    @property
    def cache(self) -> ResponseCache | None:
        """Answers that are used again: set it to a `ResponseCache`. The key is the text of the task, the model and all
        else that is asked: kind, labels, category, regime, slices, time to expiry, `state` and the model's tags. A hit
        is recorded as a forecast that cost nothing. Not journaled; None at first."""
        cached = self._ready().cached
        return None if cached is None else cached.cache

    @cache.setter
    def cache(self, cache: ResponseCache | None) -> None:
        from fairlead.fleet.reuse import Cached
        from fairlead.providers import ResponseCache

        if cache is not None and not isinstance(cache, ResponseCache):
            raise InvalidRecordError(f"cache is {cache!r}, must be a ResponseCache")
        self._ready().cached = None if cache is None else Cached(cache)

    @property
    def fresh_for(self) -> timedelta:
        """How long an answer is given once more when nobody can be asked; 5 minutes at first. Set to a span: "30s"."""
        return timedelta(microseconds=self._ready().last_resort.memory.max_age / 1e3)

    @fresh_for.setter
    def fresh_for(self, span: str | timedelta) -> None:
        from fairlead.times import as_span

        self._ready().last_resort.memory.max_age = as_span(span, "fresh_for")

    @property
    def fallback(self) -> str | None:
        """The local model that answers when nobody else can be asked. Set it to the name of a model that is connected,
        or to a function, which becomes the model "fallback" that is asked for nothing else."""
        return self._ready().last_resort.model

    @fallback.setter
    def fallback(self, model: str | Callable[..., Any] | None) -> None:
        from fairlead.fleet.emergency import FALLBACK

        apart = callable(model)
        if callable(model):
            self.add(Model(FALLBACK, tier="fast"), model)
            model = FALLBACK
        elif model is not None and self.provider(checks.name(model, "fallback")) is None:
            raise InvalidRecordError(f"fallback is {model!r}, which has no provider: connect it first")
        last_resort = self._ready().last_resort
        last_resort.model, last_resort.is_apart = model, apart
        self._look_around()

    # --- health ---

    def on_health(self, callback: OnHealth) -> OnHealth:
        """Calls a function with each `Health`: an emergency was entered or left. As in `budgets.on_alert` it may be a
        coroutine function. Returns it, so it may be used as a decorator."""
        from fairlead.fleet.listeners import Listeners

        with self._health_lock:
            if self._health is None:
                self._health = Listeners("change of health")
        self._health.add(callback)
        return callback

    def enter_emergency(self, reason: str = "") -> None:
        """Nobody healthy is left; nothing happens where that is so already."""
        self._change_health(True, reason)

    def leave_emergency(self, reason: str = "") -> None:
        """The emergency is over; nothing happens where there is none."""
        self._change_health(False, reason)

    def _change_health(self, emergency: bool, reason: str) -> None:
        with self._health_lock:  # two threads find it out at once
            if self.emergency == emergency:
                return
            self._log_cold(self._core.health_event, {"emergency": emergency, "reason": reason}, "reason")
        if self._health is not None:
            from fairlead.fleet.emergency import Health

            self._health.tell(Health(emergency, reason, checks.moment(self._clock)))

    def check_health(
        self,
        *,
        every: float | str | timedelta = "30s",
        task: Probe | None = None,
        deadline: float | str | timedelta = "20s",
    ) -> HealthChecks:
        """Begins to ask models whose breaker is open, in the background, each when its interval is over, so that no
        task has to find out that one is there again. A call costs what it costs; its task is void.

        every: how often to look. task: what is asked, or a function that makes it for a Model. deadline: of a call.
        They run on the event loop that runs here, else on one in a thread, until `stop()` of what this returns, or
        until the fleet is gone; also with `with`.
        """
        from fairlead.fleet.checking import HealthChecks

        return HealthChecks(self, every=every, task=task, deadline=deadline).start()

    # --- what asking needs ---

    def connect(self, model: str, provider: Any) -> None:
        super().connect(model, provider)
        self._answerers[model] = Model.from_json(self._core.model(model) or ""), self._providers[model]
        self._look_around()

    def answerer(self, model: str) -> tuple[Model, Provider] | None:
        """A model and who answers for it; None where it is not connected."""
        return self._answerers.get(model)

    def resting(self) -> tuple[str, ...]:
        """Connected models whose breaker, or whose provider's, is not closed."""
        breakers = self._core.breakers
        return tuple(name for name in self._answerers if breakers.until(name) is not None)

    def past(self) -> Past:
        """The settled tasks, as cascades read them; `settle` notes them from now on."""
        if self._past is None:
            from fairlead.policy.cascade.past import Past

            self._past = Past(self._core.audits)
        return self._past

    def now(self) -> int:
        """The time by the fleet's clock."""
        return checks.moment(self._clock)

    def _ready(self) -> Asking:
        """Made when it is first needed: it imports asyncio."""
        if self._asking is None:
            from fairlead.fleet.asking import Asking

            self._asking = Asking(self)
            self._ring = self._asking.turns.ring
            self._look_around()
        return self._asking

    def _look_around(self) -> None:
        """Models came, left or were connected."""
        asking = self._asking
        if asking is not None:
            last = asking.last_resort
            apart = last.model if last.is_apart else None
            names = (model.name for model in self.models)
            asking.left_out = tuple(name for name in names if name not in self._answerers or name == apart)

    # Of Fleet.
    @property
    def models(self) -> tuple[Model, ...]:
        raise NotImplementedError

    def add(self, model: Model | str, provider: Any = None) -> None:
        raise NotImplementedError

    def record(self, task: Task | str, forecast: Forecast) -> None:
        raise NotImplementedError

    def decide(self, task: Task | str, *, strategy: str | Strategy = DEFAULT_STRATEGY) -> Decision:
        raise NotImplementedError

    def void(self, task: Task | str) -> bool:
        raise NotImplementedError
