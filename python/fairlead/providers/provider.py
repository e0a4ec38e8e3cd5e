"""What a provider is, and what a call of one brings."""

from __future__ import annotations

import dataclasses
from time import perf_counter, time_ns
from typing import Any, NamedTuple, Protocol, runtime_checkable

from fairlead.errors import InvalidRecordError
from fairlead.providers.deadlines import Deadline, Limit, as_deadline, within
from fairlead.providers.failure import ProviderError, failure_of
from fairlead.providers.retries import MayRetry
from fairlead.providers.usage import NOTHING, Usage, cost_of
from fairlead.providers.waiting import wait_for
from fairlead.types import Forecast, Model, Task


@runtime_checkable
class Provider(Protocol):
    """Whoever answers tasks for models. One provider may serve many models.

    `ask` brings a Forecast, or raises ProviderError (any other exception is taken as a failure, too). It must bear to
    be cancelled: a deadline, or an answer from elsewhere that was faster, cancels it.
    """

    async def ask(self, model: Model, task: Task, *, deadline: Deadline | None = None) -> Forecast:
        """The model's answer to the task, no later than the deadline."""
        ...


class Answer(NamedTuple):
    """What a call brought. forecast: to be recorded; where the call failed, its `error` says how. failure: None where
    it did not. usage: what was billed, as far as the provider told. first_token_s: seconds to the first token, where
    the reply was streamed. calls: how often the provider was called, repeats included.
    """

    forecast: Forecast
    failure: ProviderError | None = None
    usage: Usage = NOTHING
    first_token_s: float | None = None
    calls: int = 1


class BaseProvider:
    """What all providers of fairlead share: `call` brings an Answer; `ask` and `ask_sync` a Forecast."""

    async def call(
        self, model: Model | str, task: Task, *, deadline: Limit = None, may_retry: MayRetry | None = None
    ) -> Answer:
        """The model's answer, or how the call failed: that raises nothing. deadline: a Deadline, or a span from now.
        may_retry: asked before the call is repeated, False ends it.

        Raises InvalidRecordError for a task that cannot be asked, and CancelledError when it is cancelled.
        """
        raise NotImplementedError

    async def ask(self, model: Model | str, task: Task, *, deadline: Limit = None) -> Forecast:
        """The model's answer. Raises ProviderError where there is none; otherwise as `call`."""
        return forecast_of(await self.call(model, task, deadline=deadline))

    def ask_sync(self, model: Model | str, task: Task, *, deadline: Limit = None) -> Forecast:
        """As `ask`, for code that is not async, inside a running event loop, too."""
        return forecast_of(wait_for(self.call(model, task, deadline=deadline)))

    async def aclose(self) -> None:
        """Closes what is open. A later call opens it again."""

    def close(self) -> None:
        """As `aclose`, for code that is not async."""
        wait_for(self.aclose())

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def forecast_of(answer: Answer) -> Forecast:
    """The forecast of an answer. Raises the failure of one that failed."""
    if answer.failure is not None:
        raise answer.failure
    return answer.forecast


async def call(
    provider: Provider, model: Model | str, task: Task, *, deadline: Limit = None, may_retry: MayRetry | None = None
) -> Answer:
    """A call of any provider, fairlead's or not: as `BaseProvider.call`, and held to the deadline.

    >>> from fairlead.providers import as_provider
    >>> from fairlead.providers.waiting import wait_for
    >>> wait_for(call(as_provider(lambda task: 0.7), "mine", Task("q"))).forecast.p
    0.7
    """
    if isinstance(provider, BaseProvider):
        return await provider.call(model, task, deadline=deadline, may_retry=may_retry)
    model, limit = as_model(model), as_deadline(deadline)
    start = perf_counter()
    try:
        work = provider.ask(model, task, deadline=limit)
        forecast = await (work if limit is None else within(work, limit))
        if not isinstance(forecast, Forecast):
            raise ProviderError("unparsable", f"the provider brought a {type(forecast).__name__}, no Forecast")
    except Exception as error:
        return failed(model, failure_of(error), start)
    return Answer(completed(forecast, model, start))


def ask_sync(provider: Provider, model: Model | str, task: Task, *, deadline: Limit = None) -> Forecast:
    """The answer of any provider, for code that is not async, inside a running event loop, too. Raises ProviderError
    where there is none."""
    if isinstance(provider, BaseProvider):
        return provider.ask_sync(model, task, deadline=deadline)
    return forecast_of(wait_for(call(provider, model, task, deadline=deadline)))


def as_model(model: Model | str) -> Model:
    """A Model, or one that has only this name."""
    if isinstance(model, Model):
        return model
    if isinstance(model, str):
        return Model(model)
    raise InvalidRecordError(f"model is {model!r}, must be a Model or a name")


def failed(
    model: Model, failure: ProviderError, start: float, *, calls: int = 1, first_token_s: float | None = None
) -> Answer:
    """The answer of a call that failed; what was billed counts."""
    failure.__traceback__ = failure.__cause__ = failure.__context__ = None
    usage = failure.usage
    forecast = Forecast(
        model.name,
        latency_ms=(perf_counter() - start) * 1e3,
        tokens_in=usage.input_tokens,
        tokens_out=usage.output_tokens,
        cost_usd=cost_of(model, usage),
        error=str(failure),
        time=time_ns(),
    )
    return Answer(forecast, failure, usage, first_token_s, calls)


def completed(forecast: Forecast, model: Model, start: float) -> Forecast:
    """A forecast made elsewhere, under the model's name and with time and latency where it has none."""
    changes: dict[str, Any] = {}
    if forecast.model != model.name:
        changes["model"] = model.name
    if forecast.latency_ms is None:
        changes["latency_ms"] = (perf_counter() - start) * 1e3
    if forecast.time == 0:
        changes["time"] = time_ns()
    return dataclasses.replace(forecast, **changes) if changes else forecast


_SLOTS = [vars(Forecast)[field.name].__set__ for field in dataclasses.fields(Forecast)]


def new_forecast(
    model: str,
    p: Any,
    value: float | None,
    confidence: float | None,
    latency_ms: float,
    usage: Usage,
    cost_usd: float,
) -> Forecast:
    """A Forecast of parts that are known to be valid: written into its slots, as validating them once more would cost
    more than all else here does."""
    forecast = object.__new__(Forecast)
    parts = (model, p, value, confidence, latency_ms, usage[0], usage[1], cost_usd, "", time_ns())
    for put, part in zip(_SLOTS, parts, strict=True):
        put(forecast, part)
    return forecast
