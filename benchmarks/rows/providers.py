"""What a provider adds to what it calls: to a coroutine that returns at once, and to the same SDK on a loopback server.

The rows of the SDKs say what remains when a call of the bare client, in the same turns, is taken off: medians, as a
difference of two fastest calls would be one of two lucky ones.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from harness import Row, Size, peer

from fairlead import Forecast, Model, Task
from fairlead.providers import PROMPTS, AnthropicProvider, CallableProvider, Deadline, OpenAIProvider, parse_reply

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
    if name == "openai":
        provider: Any = OpenAIProvider(server.url + "/v1", key="FAIRLEAD_BENCH_KEY", structured=False)
        client = sdk.AsyncOpenAI(api_key="x", base_url=server.url + "/v1", max_retries=0)
        request = [{"role": "system", "content": messages[0]}, {"role": "user", "content": messages[1]}]

        def bare() -> Awaitable[Any]:
            return client.chat.completions.create(model="m", messages=request)
    else:
        provider = AnthropicProvider(base_url=server.url, key="FAIRLEAD_BENCH_KEY", structured=False)
        client = sdk.AsyncAnthropic(api_key="x", base_url=server.url, max_retries=0)
        request = [{"role": "user", "content": messages[1]}]

        def bare() -> Awaitable[Any]:
            return client.messages.create(model="m", system=messages[0], messages=request, max_tokens=4096)

    def ours() -> Awaitable[Any]:
        return provider.call(MODEL, TASK, deadline=60.0)

    added = loop.run_until_complete(_added(ours, bare, n))
    error = abs(loop.run_until_complete(ours()).forecast.p - 0.7)
    row = Row(
        f"A call through the {name} SDK on loopback; median {added * 1e6:+.0f} us on the bare client",
        "ns/call",
        n,
        repeated(ours, n, loop),
        {f"the bare {name} client": repeated(bare, n, loop)},
        f"{error:.0e}",
        "<= 50 us more at first, 10 us the goal",
    )
    weakref.finalize(row, server.stop)
    yield row
    loop.run_until_complete(client.close())
    loop.run_until_complete(provider.aclose())


async def _added(ours: Callable[[], Awaitable[Any]], bare: Callable[[], Awaitable[Any]], n: int) -> float:
    taken: dict[int, list[float]] = {0: [], 1: []}
    for turn in range(-20, 4 * n):
        which = turn % 2
        start = time.perf_counter()
        await (ours if which else bare)()
        if turn >= 0:
            taken[which].append(time.perf_counter() - start)
    return sorted(taken[1])[2 * n // 2] - sorted(taken[0])[2 * n // 2]


def rows(size: Size) -> Iterator[Row]:
    loop = asyncio.new_event_loop()
    yield from callables(size.scaled(20_000), loop)
    yield from parts(size.scaled(20_000))
    for name in ("openai", "anthropic"):
        yield from around(name, size.scaled(500), loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
