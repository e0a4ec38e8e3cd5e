"""What a provider adds to what it calls: to a coroutine that returns at once, and to the same SDK on a loopback server.

What it does itself is timed without an SDK, too: a call of one takes so long that the difference drowns in its noise.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from harness import Row, Size, peer, that_runs

from fairlead import Forecast, Model, Task
from fairlead.providers import (
    PROMPTS,
    AnthropicProvider,
    CallableProvider,
    Deadline,
    OpenAIProvider,
    Usage,
    parse_reply,
)
from fairlead.providers.language_model import Reply

TASK = Task("q", text="Will the central bank raise its rate at the next meeting? Answer from what you know. " * 2)
MODEL = Model("m", price_in=2.5, price_out=10.0)
REPLY = '{"probability": 0.7, "confidence": 0.8}'


def repeated(make: Callable[[], Awaitable[Any]], n: int, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
    async def run() -> None:
        for _ in range(n):
            await make()

    return lambda: loop.run_until_complete(run())


def callables(n: int, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    async def answer(task: Task) -> float:
        return 0.7

    async def recorded() -> Forecast:
        return Forecast("m", p=await answer(TASK), latency_ms=1.0, time=1)

    asynchronous = CallableProvider(answer)
    plain = CallableProvider(lambda task: 0.7, threads=0)
    deadline = Deadline.after(86400)
    by_hand = {"the coroutine and a Forecast by hand": repeated(recorded, n, loop)}
    bar = "few us"
    work = repeated(lambda: asynchronous.call(MODEL, TASK), n, loop)
    yield Row("A call around a coroutine", "ns/call", n, work, by_hand, "0", bar)
    work = repeated(lambda: asynchronous.call(MODEL, TASK, deadline=deadline), n, loop)
    waited = {"asyncio.wait_for": repeated(lambda: asyncio.wait_for(answer(TASK), 86400), n, loop)}
    yield Row("A call around a coroutine, with a deadline", "ns/call", n, work, waited, "0", bar)

    def sync() -> None:
        for _ in range(n):
            plain.ask_sync(MODEL, TASK)

    yield Row("ask_sync of a function, threads=0", "ns/call", n, sync, {}, "0", bar)


def parts(n: int) -> Iterator[Row]:
    prompt = PROMPTS["binary"]

    def render() -> None:
        for _ in range(n):
            prompt.render(TASK)

    def parse() -> None:
        for _ in range(n):
            parse_reply(TASK, REPLY)

    error = abs(float(parse_reply(TASK, REPLY).p or 0.0) - 0.7)  # type: ignore[arg-type]
    yield Row("Prompt of a task, escaped", "ns/call", n, render, {}, "0")
    yield Row("Reply of a language model, parsed", "ns/call", n, parse, {}, f"{error:.0e}")


class AtOnce(OpenAIProvider):
    """All that a provider of language models does, but the SDK."""

    def _client(self, sdk: Any, secret: Any) -> Any:
        return self

    async def _send(self, *_: Any) -> Reply:
        return Reply(REPLY, Usage(120, 15))

    async def _close_client(self, client: Any) -> None:
        pass


def alone(n: int, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    if peer("openai") is None or peer("stamina") is None:
        return
    provider = AtOnce("ollama")
    error = abs(loop.run_until_complete(provider.ask(MODEL, TASK)).p - 0.7)
    work = repeated(lambda: provider.call(MODEL, TASK, deadline=60.0), n, loop)
    name = "What a language model's provider does itself: prompt, deadline, parsing, cost, Forecast"
    yield Row(name, "ns/call", n, work, {}, f"{error:.0e}", "<= 10 us")


def around(name: str, n: int, loop: asyncio.AbstractEventLoop) -> Iterator[Row]:
    """One call of the provider, and one of the bare client with the same request, on the same server."""
    sdk = peer(name)
    if sdk is None or peer("stamina") is None:
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "providers"))
    from server import Server

    os.environ["FAIRLEAD_BENCH_KEY"] = "none-is-needed"
    server = Server().start()
    messages = PROMPTS["binary"].render(TASK)
    others: dict[str, Callable[[], None]] = {}
    if name == "openai":
        provider: Any = OpenAIProvider(server.url + "/v1", key="FAIRLEAD_BENCH_KEY", structured=False)
        client = sdk.AsyncOpenAI(api_key="x", base_url=server.url + "/v1", max_retries=0)
        request = [{"role": "system", "content": messages[0]}, {"role": "user", "content": messages[1]}]

        def bare() -> Awaitable[Any]:
            return client.chat.completions.create(model="m", messages=request)

        others = litellm_call(server.url + "/v1", loop, n)
    else:
        provider = AnthropicProvider(base_url=server.url, key="FAIRLEAD_BENCH_KEY", structured=False)
        client = sdk.AsyncAnthropic(api_key="x", base_url=server.url, max_retries=0)
        request = [{"role": "user", "content": messages[1]}]

        def bare() -> Awaitable[Any]:
            return client.messages.create(model="m", system=messages[0], messages=request, max_tokens=4096)

    def ours() -> Awaitable[Any]:
        return provider.call(MODEL, TASK, deadline=60.0)

    error = abs(loop.run_until_complete(ours()).forecast.p - 0.7)
    row = Row(
        f"A call through the {name} SDK, server on loopback",
        "ns/call",
        n,
        repeated(ours, n, loop),
        {f"the bare {name} client": repeated(bare, n, loop), **others},
        f"{error:.0e}",
        "bare + 50 us at first, 10 us the goal",
    )
    weakref.finalize(row, server.stop)
    yield row
    loop.run_until_complete(client.close())
    loop.run_until_complete(provider.aclose())


def litellm_call(url: str, loop: asyncio.AbstractEventLoop, n: int) -> dict[str, Callable[[], None]]:
    """LiteLLM's plain completion call of the same server."""
    litellm = peer("litellm")
    if litellm is None:
        return {}
    request = [{"role": "user", "content": PROMPTS["binary"].render(TASK)[1]}]

    def theirs() -> Awaitable[Any]:
        return litellm.acompletion("openai/m", request, api_base=url, api_key="x", num_retries=0, max_retries=0)

    return that_runs("LiteLLM, acompletion", repeated(theirs, n, loop), "litellm")


def rows(size: Size) -> Iterator[Row]:
    loop = asyncio.new_event_loop()
    yield from callables(size.scaled(20_000), loop)
    yield from parts(size.scaled(20_000))
    yield from alone(size.scaled(20_000), loop)
    for name in ("openai", "anthropic"):
        yield from around(name, size.scaled(500), loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
