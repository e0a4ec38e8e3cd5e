"""Any Python callable as a provider."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from time import perf_counter
from typing import Any, cast

from fairlead.errors import FairleadError, InvalidRecordError
from fairlead.providers.deadlines import Limit, as_deadline, within
from fairlead.providers.failure import FAILURE_KINDS, ProviderError, failure_of
from fairlead.providers.keys import scrub
from fairlead.providers.parsing import parse_reply
from fairlead.providers.provider import Answer, BaseProvider, as_model, completed, failed, forecast_of, new_forecast
from fairlead.providers.retries import NO_RETRIES, MayRetry, Retries, again, at_least
from fairlead.providers.usage import NOTHING, cost_of
from fairlead.types import Forecast, Model, Task

_FIELDS = frozenset(field.name for field in fields(Forecast)) - {"model"}


class CallableProvider(BaseProvider):
    """A function of the task, or of the model and the task, that answers.

    It may be async or not. It returns a number (the probability of a binary task, the value of a numeric one), a
    mapping from labels to probabilities, a mapping of the fields of a Forecast (`{"p": 0.7, "confidence": 0.9}`), a
    Forecast, or a text, which is read as a language model's reply. Where it tells `tokens_in` and `tokens_out` and no
    `cost_usd`, they cost what the model's prices say. What it raises is a failure of the call; a ProviderError says
    which. A parameter named `deadline` is given the Deadline, or None.

    A function that is not async is called in a thread, one of `threads`, as it would hold up the event loop; at its
    deadline it is no longer waited for. threads=0 calls it where the caller is: for what takes microseconds.

    >>> CallableProvider(lambda task: {"p": 0.7, "confidence": 0.9}).ask_sync("mine", Task("q")).confidence
    0.9
    """

    def __init__(self, function: Callable[..., Any], *, threads: int = 64, retries: Retries = NO_RETRIES) -> None:
        if not callable(function):
            raise InvalidRecordError(f"function is {function!r}, must be callable")
        at_least(threads, "threads", 0)
        self._function = function
        self._threads = threads
        self._retries = retries
        self._pool: ThreadPoolExecutor | None = None
        self._awaits = _is_async(function)
        self._takes_model, self._takes_deadline = _parameters(function)

    def __repr__(self) -> str:
        return f"CallableProvider({getattr(self._function, '__qualname__', None) or type(self._function).__name__})"

    async def call(
        self, model: Model | str, task: Task, *, deadline: Limit = None, may_retry: MayRetry | None = None
    ) -> Answer:
        if not isinstance(model, Model):
            model = as_model(model)
        limit = None if deadline is None else as_deadline(deadline)
        start = perf_counter()
        calls = 1
        try:
            if self._takes_model or self._takes_deadline or not self._awaits:
                work = self._start(model, task, limit)
            else:
                work = self._function(task)
            result = await (work if limit is None else within(work, limit))
            return self._answer(model, task, result, start)
        except Exception as error:
            failure = _failure(error)
        if self._retries.delay(failure) is not None:
            chosen = model

            async def once_more() -> Answer:
                nonlocal calls
                calls += 1
                try:
                    result = await self._start(chosen, task, limit)
                    return self._answer(chosen, task, result, start)
                except Exception as error:
                    raise _failure(error) from error

            try:
                retried = again(failure, once_more, self._retries, limit, may_retry)
                answer = cast(Answer, await (retried if limit is None else within(retried, limit)))
                return answer._replace(calls=calls)
            except ProviderError as error:
                failure = error
        return _failed(model, failure, start, calls)

    def ask_sync(self, model: Model | str, task: Task, *, deadline: Limit = None) -> Forecast:
        """As `ask`. A function that is not async is called at once, if it needs no thread."""
        if self._awaits or self._threads or self._retries.attempts > 1:
            return super().ask_sync(model, task, deadline=deadline)
        model = as_model(model)
        limit = as_deadline(deadline)
        start = perf_counter()
        try:
            result = self._function(*self._positional(model, task), **self._named(limit))
            if not inspect.isawaitable(result):
                return self._answer(model, task, result, start).forecast
        except Exception as error:
            return forecast_of(_failed(model, _failure(error), start, 1))
        _dispose(result)
        raise FairleadError(f"{self!r} returned something to be awaited: give an async function, or threads")

    async def aclose(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False)

    def _positional(self, model: Model, task: Task) -> tuple[Any, ...]:
        return (model, task) if self._takes_model else (task,)

    def _named(self, limit: Any) -> dict[str, Any]:
        return {"deadline": limit} if self._takes_deadline else {}

    def _start(self, model: Model, task: Task, limit: Any) -> Awaitable[Any]:
        positional, named = self._positional(model, task), self._named(limit)
        if self._awaits:
            return cast(Awaitable[Any], self._function(*positional, **named))
        return self._in_thread(positional, named) if self._threads else self._at_once(positional, named)

    async def _at_once(self, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        result = self._function(*positional, **named)
        return await result if inspect.isawaitable(result) else result

    async def _in_thread(self, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="fairlead-callable")
        context = contextvars.copy_context()
        work = asyncio.get_running_loop().run_in_executor(
            self._pool, lambda: context.run(self._function, *positional, **named)
        )
        result = await work
        return await result if inspect.isawaitable(result) else result

    def _answer(self, model: Model, task: Task, result: Any, start: float) -> Answer:
        if type(result) is float and task.kind != "categorical":
            if task.kind == "binary":
                p, value = result, None
                fits = 0.0 <= result <= 1.0
            else:
                p, value = None, result
                fits = math.isfinite(result)
            if fits:
                latency_ms = (perf_counter() - start) * 1e3
                return Answer(new_forecast(model.name, p, value, None, latency_ms, NOTHING, 0.0))
        forecast = completed(_forecast(model, task, result), model, start)
        failure = _told(forecast.error) if forecast.error else None
        usage = NOTHING._replace(input_tokens=forecast.tokens_in, output_tokens=forecast.tokens_out)
        if not forecast.cost_usd and not (isinstance(result, Mapping) and result.get("cost_usd") is not None):
            cost = cost_of(model, usage)  # it told tokens, and no cost
            if cost:
                forecast = replace(forecast, cost_usd=cost)
        return Answer(forecast, failure, usage)


def _forecast(model: Model, task: Task, result: Any) -> Forecast:
    """What a callable returned as a Forecast. Raises ProviderError for what is none, or none for this kind of task."""
    try:
        if isinstance(result, Forecast):
            forecast = result
        elif isinstance(result, str):
            p, value, confidence = parse_reply(task, result)
            forecast = Forecast(model.name, p=p, value=value, confidence=confidence)
        elif isinstance(result, Mapping) and not (task.kind == "categorical" and set(result) == set(task.labels)):
            unknown = [key for key in result if key not in _FIELDS]
            if unknown:
                raise ProviderError("unparsable", f"the mapping has {unknown[0]!r:.40}, no field of a Forecast")
            told = {key: value for key, value in result.items() if value is not None}  # None: not told
            forecast = Forecast(model.name, **told)
        elif task.kind == "numeric":
            forecast = Forecast(model.name, value=result)
        else:
            forecast = Forecast(model.name, p=result)
    except (InvalidRecordError, TypeError) as error:
        why = str(error)
    else:
        return _fitting(task, forecast)
    raise ProviderError("unparsable", why)


def _told(error: str) -> ProviderError:
    """The failure that the error of a Forecast tells of: `kind: message`, else of the server."""
    kind, _, message = error.partition(": ")
    for known in FAILURE_KINDS:
        if kind == known:
            return ProviderError(known, message)
    return ProviderError("server", error)


def _fitting(task: Task, forecast: Forecast) -> Forecast:
    if forecast.error:
        return forecast
    many = not isinstance(forecast.p, (float, type(None)))
    if (forecast.value is None) != (task.kind != "numeric") or many != (task.kind == "categorical"):
        given = "a number" if forecast.p is None else "probabilities of labels" if many else "a probability"
        raise ProviderError("unparsable", f"{given} is no answer to a {task.kind} task")
    if isinstance(forecast.p, Mapping) and set(forecast.p) != set(task.labels):
        strange = sorted(set(forecast.p) ^ set(task.labels))[0]
        raise ProviderError("unparsable", f"the labels of p are not those of the task: {strange!r:.40}")
    if isinstance(forecast.p, tuple) and len(forecast.p) != len(task.labels):
        raise ProviderError("unparsable", f"p has {len(forecast.p)} entries, the task {len(task.labels)} labels")
    return forecast


def _failure(error: Exception) -> ProviderError:
    """Of a user's function. Its traceback stays, as it is for the user to read; an unknown exception is its
    server's."""
    failure = failure_of(error, scrub)
    if failure is error:
        return failure
    if failure.kind == "refused" and not isinstance(getattr(error, "status_code", None), int):
        failure = ProviderError("server", failure.message)
    failure.__cause__ = error
    return failure


def _failed(model: Model, failure: ProviderError, start: float, calls: int) -> Answer:
    cause = failure.__cause__
    answer = failed(model, failure, start, calls=calls)
    failure.__cause__ = cause
    return answer


def _is_async(function: Callable[..., Any]) -> bool:
    while hasattr(function, "func"):  # functools.partial
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _parameters(function: Callable[..., Any]) -> tuple[bool, bool]:
    """Whether it takes the model before the task, and a deadline."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some compiled functions do not tell
        return False, False
    plain = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "deadline"]
    needed = [p for p in plain if p.default is p.empty]
    if len(needed) > 2:
        raise InvalidRecordError(
            f"function needs {len(needed)} arguments, is given the task, or the model and the task"
        )
    return len(needed) == 2, any(p.name == "deadline" for p in parameters)


def _dispose(awaitable: Any) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()
