"""Any Python callable is a provider."""

from __future__ import annotations

import asyncio
import functools
import threading
import time
from typing import Any

import pytest

from fairlead import Forecast, InvalidRecordError, Model, Task
from fairlead.providers import CallableProvider, Deadline, ProviderError, Retries, as_provider, call

BINARY = Task("b", text="Rain?")
NUMERIC = Task("n", "numeric", text="How much?")
LABELS = Task("c", "categorical", text="Which?", labels=("up", "down"))


class Predictor:
    def __call__(self, task: Task) -> float:
        return 0.25


class AsyncPredictor:
    async def __call__(self, model: Model, task: Task) -> float:
        return 0.25


async def asynchronous(task: Task) -> float:
    await asyncio.sleep(0)
    return 0.25


async def with_deadline(task: Task, deadline: Deadline | None = None) -> float:
    return 0.25 if deadline is not None and deadline.left() > 0 else 0.75


def of_model(model: Model, task: Task) -> float:
    return 0.25 if model.name == "m" else 0.75


@pytest.mark.parametrize("threads", [0, 4])
@pytest.mark.parametrize(
    "function",
    [
        asynchronous,
        with_deadline,
        of_model,
        Predictor(),
        AsyncPredictor(),
        lambda task: 0.25,
        lambda task: asynchronous(task),
        functools.partial(of_model, Model("m")),
        functools.partial(asynchronous),
        Predictor().__call__,
    ],
)
def test_whatever_is_callable(function: Any, threads: int) -> None:
    provider = CallableProvider(function, threads=threads)
    forecast = asyncio.run(provider.ask("m", BINARY, deadline=5))
    assert (forecast.p, forecast.model) == (0.25, "m")
    assert forecast.latency_ms is not None
    assert forecast.time > 0
    asyncio.run(provider.aclose())


def test_sync_ask() -> None:
    assert CallableProvider(lambda task: 0.25).ask_sync("m", BINARY).p == 0.25
    assert CallableProvider(lambda task: 0.25, threads=0).ask_sync("m", BINARY, deadline=1).p == 0.25
    assert CallableProvider(asynchronous).ask_sync("m", BINARY, deadline=1).p == 0.25
    assert CallableProvider(with_deadline).ask_sync("m", BINARY, deadline="1s").p == 0.25


def test_sync_ask_inside_a_loop_and_of_each_other() -> None:
    inner = CallableProvider(asynchronous)
    outer = CallableProvider(lambda task: inner.ask_sync("inner", task))

    async def inside() -> Any:
        return outer.ask_sync("m", BINARY, deadline=5).p

    assert asyncio.run(inside()) == 0.25


@pytest.mark.parametrize(
    ("task", "result", "p", "value", "confidence"),
    [
        (BINARY, 1, 1.0, None, None),
        (BINARY, True, 1.0, None, None),
        (BINARY, {"p": 0.3, "confidence": 0.5}, 0.3, None, 0.5),
        (BINARY, Forecast("other", p=0.3, confidence=0.5), 0.3, None, 0.5),
        (BINARY, '{"probability": 0.3, "confidence": 0.5}', 0.3, None, 0.5),
        (BINARY, "30 %", 0.3, None, None),
        (NUMERIC, 12.5, None, 12.5, None),
        (NUMERIC, -3, None, -3.0, None),
        (NUMERIC, {"value": 1e9}, None, 1e9, None),
        (LABELS, {"up": 0.25, "down": 0.75}, {"up": 0.25, "down": 0.75}, None, None),
        (LABELS, [0.25, 0.75], (0.25, 0.75), None, None),
        (LABELS, {"p": [0.25, 0.75], "confidence": 0.5}, (0.25, 0.75), None, 0.5),
        (LABELS, {"p": {"down": 0.75, "up": 0.25}}, {"up": 0.25, "down": 0.75}, None, None),
    ],
)
def test_whatever_it_returns(task: Task, result: Any, p: Any, value: Any, confidence: Any) -> None:
    forecast = CallableProvider(lambda task: result, threads=0).ask_sync("m", task)
    assert (forecast.model, forecast.p, forecast.value, forecast.confidence) == ("m", p, value, confidence)
    assert Forecast(**forecast.to_dict()) == forecast


def test_numpy_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert CallableProvider(lambda task: np.float32(0.25)).ask_sync("m", BINARY).p == 0.25
    assert CallableProvider(lambda task: np.array([0.25, 0.75])).ask_sync("m", LABELS).p == (0.25, 0.75)


@pytest.mark.parametrize(
    ("task", "result", "why"),
    [
        (BINARY, 1.5, "outside [0, 1]"),
        (BINARY, float("nan"), "finite"),
        (NUMERIC, float("inf"), "finite"),
        (BINARY, None, "give exactly one"),
        (BINARY, {"probability": 0.5}, "'probability', no field"),
        (BINARY, {"value": 3.0}, "a number is no answer to a binary task"),
        (BINARY, [0.5, 0.5], "probabilities of labels is no answer"),
        (NUMERIC, {"p": 0.5}, "a probability is no answer to a numeric task"),
        (LABELS, 0.5, "a probability is no answer to a categorical task"),
        (LABELS, {"up": 0.5, "sideways": 0.5}, "'up', no field"),
        (LABELS, {"p": {"up": 0.5, "sideways": 0.5}}, "labels of p"),
        (LABELS, [0.5, 0.25, 0.25], "3 entries, the task 2 labels"),
        (BINARY, "no idea", "no 'probability'"),
        (BINARY, object(), "must be a number"),
    ],
)
def test_what_is_no_answer(task: Task, result: Any, why: str) -> None:
    for threads in (0, 2):
        answer = asyncio.run(CallableProvider(lambda task: result, threads=threads).call("m", task))
        assert answer.failure is not None
        assert answer.failure.kind == "unparsable"
        assert why in answer.failure.message
        assert answer.forecast.error.startswith("unparsable: ")


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ConnectionResetError("gone"), "network", "gone"),
        (OSError("disk"), "network", "disk"),
        (TimeoutError("late"), "timeout", "late"),
        (ValueError("oops"), "server", "ValueError: oops"),
        (ProviderError("rate_limited", "slow down", retry_after_s=3.0), "rate_limited", "slow down"),
    ],
)
def test_what_it_raises(error: Exception, kind: str, message: str) -> None:
    def fails(task: Task) -> float:
        raise error

    answer = asyncio.run(CallableProvider(fails).call("m", BINARY))
    assert answer.failure is not None
    assert answer.failure.kind == kind
    assert message in answer.failure.message
    if answer.failure is not error:
        assert type(answer.failure.__cause__) is type(error)  # its traceback is for the user to read
    with pytest.raises(ProviderError) as caught:
        CallableProvider(fails, threads=0).ask_sync("m", BINARY)
    assert caught.value.kind == kind


def test_a_forecast_that_says_it_failed() -> None:
    for said, kind in (("rate_limited: later", "rate_limited"), ("whatever", "server")):
        told = Forecast("x", error=said, cost_usd=0.5, tokens_in=7)
        answer = asyncio.run(CallableProvider(lambda task, told=told: told).call("m", BINARY))
        assert answer.failure is not None
        assert answer.failure.kind == kind
        assert (answer.forecast.error, answer.forecast.cost_usd, answer.usage.input_tokens) == (said, 0.5, 7)


def test_a_blocking_function_stops_neither_loop_nor_deadline() -> None:
    release = threading.Event()

    def blocks(task: Task) -> float:
        release.wait(30)
        return 0.5

    provider = CallableProvider(blocks)

    async def main() -> tuple[str, float]:
        start = time.monotonic()
        answer = await provider.call("m", BINARY, deadline=0.2)
        assert answer.failure is not None
        return answer.failure.kind, time.monotonic() - start

    try:
        kind, took = asyncio.run(main())
    finally:
        release.set()
    assert kind == "timeout"
    assert took < 10


def test_many_blocking_functions_at_once() -> None:
    together = threading.Barrier(32, timeout=20)
    provider = CallableProvider(lambda task: 0.5 if together.wait() >= 0 else 0.0)

    async def main() -> list[Any]:
        return await asyncio.gather(*(provider.ask(str(n), BINARY, deadline=30) for n in range(32)))

    assert [forecast.model for forecast in asyncio.run(main())] == [str(n) for n in range(32)]


def test_retries_if_asked_for() -> None:
    calls = []

    async def flaky(task: Task) -> float:
        calls.append(task)
        if len(calls) < 3:
            raise ConnectionError("gone")
        return 0.5

    pytest.importorskip("stamina")
    answer = asyncio.run(CallableProvider(flaky, retries=Retries(wait=0.001)).call("m", BINARY))
    assert (answer.forecast.p, answer.calls) == (0.5, 3)
    calls.clear()
    assert asyncio.run(CallableProvider(flaky).call("m", BINARY)).calls == 1


def test_as_provider() -> None:
    provider = CallableProvider(asynchronous)
    assert as_provider(provider) is provider
    assert isinstance(as_provider(asynchronous), CallableProvider)
    assert repr(as_provider("ollama")) == "OpenAIProvider(http://localhost:11434/v1)"
    assert repr(as_provider("anthropic")) == "AnthropicProvider(https://api.anthropic.com)"
    assert repr(as_provider("litellm")) == "LiteLLMProvider()"
    with pytest.raises(InvalidRecordError, match="did you mean 'openai'"):
        as_provider("opanai")
    for bad in (None, 3, 0.5):
        with pytest.raises(InvalidRecordError, match="must be a provider, a callable or the name"):
            as_provider(bad)


@pytest.mark.parametrize("bad", [-1, 1.5, True, None])
def test_threads_that_are_none(bad: Any) -> None:
    with pytest.raises(InvalidRecordError, match="threads is"):
        CallableProvider(asynchronous, threads=bad)


def test_functions_that_need_too_much() -> None:
    with pytest.raises(InvalidRecordError, match="needs 3 arguments"):
        CallableProvider(lambda a, b, c: 0.5)
    with pytest.raises(InvalidRecordError, match="must be callable"):
        CallableProvider(0.5)  # type: ignore[arg-type]


def test_a_provider_that_brings_no_forecast() -> None:
    class Odd:
        async def ask(self, model: Model, task: Task, *, deadline: Any = None) -> Any:
            return 0.5

    answer = asyncio.run(call(Odd(), "m", BINARY))
    assert answer.forecast.error == "unparsable: the provider brought a float, no Forecast"


def test_a_model_that_is_none() -> None:
    with pytest.raises(InvalidRecordError, match="model is 3"):
        CallableProvider(asynchronous).ask_sync(3, BINARY)  # type: ignore[arg-type]


def test_cancelling_from_outside_stays_a_cancellation() -> None:
    async def forever(task: Task) -> float:
        await asyncio.sleep(60)
        return 0.5

    async def main() -> None:
        running = asyncio.ensure_future(CallableProvider(forever).call("m", BINARY, deadline=30))
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(main())


def test_a_function_that_swallows_its_cancellation() -> None:
    async def stubborn(task: Task) -> float:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return 0.5
        return 0.1

    async def main() -> Any:
        answer = await CallableProvider(stubborn).call("m", BINARY, deadline=0.05)
        await asyncio.sleep(0)  # nothing of the cancellation is left
        return answer

    assert asyncio.run(main()).forecast.p == 0.5
