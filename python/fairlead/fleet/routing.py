"""Whom to ask: routes, how their calls ended, health and rules. The part of the façade that `Fleet` inherits."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from fairlead._core import CALL_ENDS, CALL_FAILURES, Breaker, Route
from fairlead.errors import FairleadError, InvalidRecordError, did_you_mean
from fairlead.fleet import checks
from fairlead.fleet.bounds import Bounds
from fairlead.policy.route import Objective, Rules, as_objective, tier_index
from fairlead.times import as_span
from fairlead.types import Model, Task

if TYPE_CHECKING:
    from fairlead._core import Fleet as CoreFleet
    from fairlead.fleet.spending import FleetBudgets, FleetCosts
    from fairlead.policy import TaskClassifier
    from fairlead.policy.prompt_model import PromptModel
    from fairlead.providers import Answer, Provider, ProviderError

_MAYBE_BILLED = frozenset({"timeout", "truncated", "cancelled"})
"""Failures of calls that a provider may bill without telling."""
_ANSWERED, _FAILED, _RELEASED = (CALL_ENDS.index(end) for end in ("answered", "failed", "released"))
_first = threading.Lock()
_SPANS = ("slow_after", "window", "open_for", "open_at_most", "retry_after_at_most", "call_timeout")


class RoutedFleet:
    """Routes, and what follows from them."""

    _core: CoreFleet
    _clock: Callable[[], int]
    _providers: dict[str, Provider]
    _bounds: Bounds
    _priced: dict[str, bool]
    _classifier: TaskClassifier | None
    _classifier_known: bool
    _prompt_model: PromptModel | None
    _budgets: FleetBudgets | None
    _ring: Callable[[], None] | None

    def _start_routing(self) -> None:
        self._providers = {}
        self._bounds = Bounds()
        self._priced = {}  # by model, once it was asked for
        self._classifier = None
        self._classifier_known = False
        self._prompt_model = None
        self._budgets = None
        self._ring = None  # tells those who wait that a call has ended

    # --- money ---

    @property
    def budgets(self) -> FleetBudgets:
        """How much may be spent, and who is told when it is: `fleet.budgets.define(Budget(25, "daily"))`."""
        if self._budgets is None:
            from fairlead.fleet.spending import FleetBudgets

            with _first:  # of several threads one makes it, as it knows who listens
                if self._budgets is None:
                    self._budgets = FleetBudgets(self._core, self._clock)
        return self._budgets

    @property
    def costs(self) -> FleetCosts:
        """What was spent: `fleet.costs("model", "monthly")`, `fleet.costs.forecast()`."""
        from fairlead.fleet.spending import FleetCosts

        return FleetCosts(self._core, self._clock)

    # --- who answers ---

    def connect(self, model: str, provider: Any) -> None:
        """Who answers for a model of the fleet: a provider, a callable, or the name of a provider, as `as_provider`
        takes it. The journal does not keep it; connect again after `Fleet.open`.

        Raises UnknownModelError, and InvalidRecordError for what is no provider.
        """
        from fairlead.providers import as_provider

        self._model_id(model)
        self._providers[model] = as_provider(provider)
        self._bounds.connect(Model.from_json(self._core.model(model) or ""), self._providers[model])

    def provider(self, model: str) -> Provider | None:
        """Who answers for a model; None where it was not connected."""
        return self._providers.get(model)

    @property
    def classifier(self) -> TaskClassifier | None:
        """What tells the type of a task from its text: at first the one that comes with fairlead. None: types are what
        `route` is told."""
        if not self._classifier_known:
            from fairlead.policy import TaskClassifier

            self.classifier = TaskClassifier()
        return self._classifier

    @classifier.setter
    def classifier(self, classifier: TaskClassifier | None) -> None:
        self._core.use_classifier(classifier)
        self._classifier = classifier
        self._classifier_known = True

    @property
    def prompt_model(self) -> PromptModel | None:
        """What expects the quality of each model from the text of a task, beside what outcomes have told; it counts as
        many results as its `weight` says. None at first: fit one where there are labels."""
        return self._prompt_model

    @prompt_model.setter
    def prompt_model(self, model: PromptModel | None) -> None:
        from fairlead.policy.prompt_model import PromptModel

        given: object = model
        if given is not None and not isinstance(given, PromptModel):
            raise InvalidRecordError(
                f"prompt_model is {given!r}, must be a LinearPromptModel, or what predicts like one"
            )
        self._prompt_model = model

    # --- routes ---

    def route(
        self,
        task: Task | str,
        *,
        type: str | None = None,
        objective: str | Objective | None = None,
        at_least: str | None = None,
        pin: str | None = None,
        ban: Iterable[str] | None = None,
        without: Iterable[str] | None = None,
        bounds: Mapping[str, float] | None = None,
    ) -> Route:
        """Whom to ask a task, in a few microseconds, and why; a task that is new is opened.

        Among the models that are healthy, allowed and within their budgets it is the one that serves the objective
        best, by a draw from what is known of each in this task's category, type, regime, time to expiry and slices
        (Thompson sampling, so that what is little known is tried). The call begins with its route: the most that it
        may cost is held by its budgets, until `called`, `record` of the answer, or `release`. On a journal the route
        is an event, with its reasons and its propensity.

        type: of the task; None: what the classifier says of its text. objective: see `Objective`; at_least, pin, ban:
        see `Rules`, which this goes before. without: models that were tried before. bounds: USD that a call of each
        model costs at most; of others what their provider says (`at_most`, which needs `max_tokens`), else 4 times
        what is expected, or twice once some of its calls are known.

        A route is false where nobody is asked: a budget refuses (`refused_by`, `then`, `until`), nobody is healthy
        (`unhealthy` among the reasons), or those who are may have no more calls in flight for now (`held_back`).

        Raises UnknownTaskError, TaskEndedError and InvalidRecordError; nothing has changed then.

        >>> from fairlead import Fleet, Model
        >>> fleet = Fleet()
        >>> fleet.add(Model("gpt-5", tier="reasoning", price_in=1.25, price_out=10))
        >>> fleet.add(Model("gpt-5-mini", tier="fast", price_in=0.25, price_out=2))
        >>> route = fleet.route(Task("q-1", text="What is 2 + 2?"), objective="cost")
        >>> route.model, route.type, route.reasons
        ('gpt-5-mini', 'reasoning', ('best_expected',))
        """
        if not self._classifier_known:
            _ = self.classifier
        limits = None if bounds is None else {name: _nanos(usd, name) for name, usd in bounds.items()}
        if self._bounds and (whole := self._whole(task)) is not None:
            limits = self._bounds.of(whole, limits)
        predicted, worth = (None, None) if self._prompt_model is None else self._predicted(task)
        banned = None if ban is None else _names(ban, "ban")
        tried = None if without is None else _names(without, "without")
        try:
            found = self._core.route(
                task, self._clock, type, None if objective is None else as_objective(objective),
                None if at_least is None else tier_index(at_least), pin, banned, tried, limits, predicted, worth,
            )  # fmt: skip
        except (TypeError, UnicodeEncodeError):  # one of these is no text; else it is told as it is
            for where, names in (("type", (type,)), ("pin", (pin,)), ("ban", banned), ("without", tried)):
                for name in names or ():
                    if name is not None:
                        checks.name(name, where)
            raise
        if isinstance(found, int):
            self._explain_route(task, found, (*(() if pin is None else (pin,)), *(banned or ()), *(tried or ())))
        if self._core.any_alert:
            self.budgets.tell()
        return found  # type: ignore[return-value]

    def called(self, route: Route, answer: Answer) -> None:
        """How the call of a route ended, as `providers.call` brings it: money, tokens and health. Record its forecast
        after it; that counts no money again.

        An answer of a model with prices that tells neither a cost nor tokens counts as the most that it could cost,
        and in `costs` as unpriced. What a failed call cost is taken to be nothing, but for those that ran out of time,
        were cut off or cancelled: a provider may bill them without telling, so they count likewise.

        Raises FairleadError where the call has ended before.
        """
        forecast, failure, usage, first_token_s, calls = answer
        tokens_in, tokens_out, cached, written, _ = usage
        end, kind, cost, retry_ms = _ANSWERED, 0, forecast.cost_usd, math.nan
        if failure is not None:
            end, kind = _FAILED, CALL_FAILURES.index(failure.kind)
            if failure.retry_after_s is not None:
                retry_ms = 1e3 * failure.retry_after_s
        if not cost and not tokens_in + tokens_out and self._may_be_billed(route, failure):
            cost = None  # type: ignore[assignment]
        latency_ms = forecast.latency_ms
        status = self._core.called(
            route, self._clock, end, cost, kind, math.nan if latency_ms is None else latency_ms,
            math.nan if first_token_s is None else 1e3 * first_token_s, retry_ms,
            tokens_in, tokens_out, cached, written, calls,
        )  # fmt: skip
        self._ended(route, status)

    def cancel(self, route: Route) -> None:
        """The call of a route was cancelled after it was sent: nothing is known of its model's health, and it may be
        billed, so it counts as the most that it could cost. Raises FairleadError where it has ended before."""
        self._ended(route, self._core.called(route, self._clock, _FAILED, None, CALL_FAILURES.index("cancelled")))

    def release(self, route: Route) -> None:
        """The call of a route was never made; its money is free again. Raises FairleadError where it has ended."""
        self._ended(route, self._core.called(route, self._clock, _RELEASED))

    # --- health ---

    def gate(self, model: str) -> Literal["yes", "wait", "no"]:
        """Whether a model may be called now, by its own breaker and its provider's; `wait`: when a call in flight has
        ended. Raises UnknownModelError."""
        self._model_id(model)
        return self._core.breakers.gate(model, checks.moment(self._clock))

    def latency(self, model: str, q: float = 0.5) -> float | None:
        """The time that a share q of a model's answers took at most, in seconds, the newest counting most; None before
        the first. Raises UnknownModelError."""
        self._model_id(model)
        found = self._core.breakers.latency_ms(model, q)
        return None if math.isnan(found) else found / 1e3

    def close_breaker(self, model: str) -> None:
        """A model is well again, and its provider: somebody knows. Raises UnknownModelError."""
        self._model_id(model)
        self._log_cold(self._core.health_event, {"closed": model}, "model")

    @property
    def emergency(self) -> bool:
        """Whether nobody healthy was left: until that is over, position scales of decisions are a quarter."""
        return self._core.emergency

    # --- rules ---

    @property
    def rules(self) -> Rules:
        """What holds for all routes. Set it to change it; the journal keeps it."""
        text = self._core.rules_json
        return Rules.from_dict(json.loads(text)["rules"]) if text else Rules()

    @rules.setter
    def rules(self, rules: Rules) -> None:
        if not isinstance(rules, Rules):
            raise InvalidRecordError(f"rules is {rules!r}, must be Rules")
        for rule in (rules, *rules.types.values()):
            for name in (*rule.ban, *(() if rule.pin is None else (rule.pin,))):
                self._model_id(name)
        self._log_cold(self._core.routing_event, {"rules": rules.to_dict()}, "rules")

    def _set_breaker(self, model: str, options: Any) -> None:
        """The options of the breaker of a model that is not there yet."""
        if not isinstance(options, Mapping):
            raise InvalidRecordError(f"breaker is {options!r}, must be a mapping of options")
        try:
            Breaker(**options)
        except (TypeError, ValueError) as error:
            raise InvalidRecordError(f"breaker: {error}") from error
        plain = {
            name: as_span(given) if name in _SPANS and given is not None else given for name, given in options.items()
        }
        plain = {name: 0 if given is None else given for name, given in plain.items()}
        self._log_cold(self._core.routing_event, {"breaker": plain, "model": model}, "breaker")

    # --- inside ---

    def _may_be_billed(self, route: Route, failure: ProviderError | None) -> bool:
        """A call of which nothing is known but how it ended."""
        if not route.reserved_usd:
            return False
        if failure is not None:
            return failure.kind in _MAYBE_BILLED
        name = route.wanted or ""
        known = self._priced.get(name)
        if known is None:
            record = self._core.model(name)
            model = None if record is None else Model.from_json(record)
            known = self._priced[name] = model is not None and bool(model.price_in or model.price_out)
        return known

    def _whole(self, task: Task | str) -> Task | None:
        """The record of a task; None where there is none of this id."""
        if isinstance(task, Task):
            return task
        found = self._core.task(checks.task_id(task))
        return None if found is None else Task(*found[0])

    def _predicted(self, task: Task | str) -> tuple[dict[str, float] | None, dict[str, float] | None]:
        """What the prompt model expects of each model, and what that is worth."""
        model, whole = self._prompt_model, self._whole(task)
        if model is None or whole is None or not whole.text:
            return None, None
        said = model.predict(whole.text).tolist()
        return dict(zip(model.models, said, strict=True)), dict(zip(model.models, model.weight, strict=True))

    def _ended(self, route: Route, status: int) -> None:
        """What follows when the core was told that a call has ended."""
        if status:
            if not route:
                raise FairleadError(f"route is {route!r}, which asks nobody")
            try:
                self._check(status, f"route is {route!r}, attempt {route.attempt}")
            except KeyError as error:
                raise FairleadError(f"route is {route!r}, attempt {route.attempt}, which has ended before") from error
        if self._core.any_alert:
            self.budgets.tell()
        if self._ring is not None:
            self._ring()

    def _log_cold(self, log: Callable[[str, int], int], what: dict[str, Any], argument: str) -> None:
        text = checks.utf8(json.dumps(what, allow_nan=False, ensure_ascii=False), argument)
        self._check(log(text, checks.moment(self._clock)), argument)

    def _explain_route(self, task: Task | str, status: int, models: tuple[str, ...]) -> None:
        task_id = checks.task_id(task)
        for name in models:
            self._model_id(name)
        found = self._core.task(task_id)
        if isinstance(task, Task) and found is not None and not found[1]:
            checks.same(Task(*found[0]), task)
        if found is None and isinstance(task, str):
            from fairlead.errors import UnknownTaskError

            raise UnknownTaskError(f"task is {task!r}, which is not open{did_you_mean(task, self._core.open_ids())}")
        self._refuse_ended(task_id)
        self._check(status, f"task {task_id!r}")

    # Of Fleet.
    def _model_id(self, name: str) -> int:
        raise NotImplementedError

    def _check(self, status: int, what: str) -> None:
        raise NotImplementedError

    def _refuse_ended(self, task_id: str) -> None:
        raise NotImplementedError


def _names(given: Iterable[str], where: str) -> tuple[str, ...]:
    if isinstance(given, str):
        raise InvalidRecordError(f"{where} is {given!r}, must be names of models")
    return tuple(given)


def _nanos(usd: Any, model: str) -> int:
    from fairlead.measure.money import cost_nanos

    return cost_nanos(usd, f"bounds[{model!r}]")  # not usd * 1e9: 0.57 would be a nano-dollar more than 0.57
