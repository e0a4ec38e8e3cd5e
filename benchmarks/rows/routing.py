"""Whom to ask: the decision beside LiteLLM's Router, what `fleet.ask` adds to the client that it asks, what the end of
a call costs, and what importing costs.

Ours and LiteLLM's Router have 16 models. Ours knows them from outcomes and decides under three budgets; each route is
released, so that it holds no slot and no money. A task that is new is classified by its text, afterwards its type is
known; so tasks are made beforehand, outside what is timed, and left open.
"""

from __future__ import annotations

import asyncio
import collections
import gc
import itertools
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from harness import Row, Run, Size, peer, that_runs

import fairlead as fl
from fairlead.providers import PROMPTS, Answer, OpenAIProvider, Usage

Loop = asyncio.AbstractEventLoop
MODELS = 16
TEXT = "Will the Federal Reserve cut rates at its next meeting? Answer with a probability. "
BEST = ("model 7", "model 15")
COST = 0.0009
IN_STORE = 30
"""Runs that things are made for beforehand; a timed row has at most 26."""


def text_of(size: int) -> str:
    return (TEXT * (size // len(TEXT) + 1))[: size - 1] + "?"


def fleet_of(provider: Any = None, tasks: int = 200, models: int = MODELS) -> fl.Fleet:
    """A fleet under three budgets, whose models are known from outcomes, and whose calls went well."""
    fleet = fl.Fleet()
    names = [f"model {m}" for m in range(models)]
    for m, name in enumerate(names):
        known = fl.Model(
            name,
            provider=f"provider {m % 4}",
            tier=("reasoning", "standard", "fast")[m % 3],  # type: ignore[arg-type]
            price_in=0.5 + m,
            price_out=2.0 + m,
        )
        fleet.add(known, provider)
    fleet.budgets.define(
        fl.Budget(1e6, "monthly", name="all"),
        fl.Budget(1e6, "daily", "tier=fast"),
        fl.Budget(1e6, "daily", f"model={names[-1]}"),
    )
    for t in range(tasks):
        task = fl.Task(f"before {t}", category="rates")
        for m, name in enumerate(names):
            route = fleet.route(task, pin=name)
            answer = fl.Forecast(name, p=0.5 + 0.4 * (m % 8) / 16, latency_ms=300.0 + m, cost_usd=COST)
            fleet.called(route, Answer(answer, usage=Usage(120, 15)))
            fleet.record(task, answer)
        fleet.settle(task, int(t % 5 > 0))
    return fleet


def in_store(make: Callable[[int], list[Any]]) -> Callable[[], list[Any]]:
    """Lots of what is used up, one for each run; made anew, within what is timed, only where many runs were made."""
    lots: list[list[Any]] = []
    count = itertools.count()

    def take() -> list[Any]:
        if not lots:
            lots.extend(make(next(count)) for _ in range(IN_STORE))
        return lots.pop()

    lots.extend(make(next(count)) for _ in range(IN_STORE))
    gc.freeze()  # what lies in store is no user's: the collector need not look at it
    return take


def new_tasks(n: int, text: str, prefix: str = "") -> Callable[[], list[fl.Task]]:
    return in_store(lambda lot: [fl.Task(f"{prefix}{lot} {i}", text=text, category="rates") for i in range(n)])


# --- the decision ---


def litellm_peer() -> Any:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # or it waits for the network
    litellm = peer("litellm")
    if litellm is not None:
        litellm.suppress_debug_info = True
        logging.getLogger("LiteLLM").setLevel(logging.ERROR)  # it warns of each price that it was given
        logging.getLogger("LiteLLM Router").setLevel(logging.ERROR)
    return litellm


def router_of(litellm: Any, strategy: str, url: str = "http://127.0.0.1:9/v1", models: int = MODELS) -> Any:
    deployments = [
        {
            "model_name": "desk",
            "litellm_params": {
                "model": f"openai/m{m}",
                "api_key": "x",
                "api_base": url,
                "input_cost_per_token": (0.5 + m) * 1e-6,
                "output_cost_per_token": (2.0 + m) * 1e-6,
            },
        }
        for m in range(models)
    ]
    return litellm.Router(model_list=deployments, routing_strategy=strategy, num_retries=0, max_fallbacks=0)


def litellm_decisions(text: str, n: int, loop: Loop) -> dict[str, Run]:
    """What its Router decides with, without a call."""
    litellm = litellm_peer()
    if litellm is None:
        return {}
    messages = [{"role": "user", "content": text}]
    peers: dict[str, Run] = {}
    for word in ("shuffle", "usage", "latency", "cost"):
        strategy = {"shuffle": "simple-shuffle", "usage": "usage-based-routing-v2"}.get(word, f"{word}-based-routing")
        router = router_of(litellm, strategy)

        def sync(router: Any = router) -> None:
            for _ in range(n):
                router.get_available_deployment("desk", messages=messages)

        def asynchronous(router: Any = router) -> None:
            async def all_of_them() -> None:
                for _ in range(n):
                    await router.async_get_available_deployment("desk", request_kwargs={}, messages=messages)

            loop.run_until_complete(all_of_them())

        run = asynchronous if word == "cost" else sync  # the cheapest one is found by the async one alone
        peers |= that_runs(f"LiteLLM {word}", run)
    return peers


def decisions(n: int, loop: Loop) -> Iterator[Row]:
    few = max(1, n // 50)
    error = ""
    for size, bar in ((200, "1.5 us without release"), (2000, "6 us without release")):
        text = text_of(size)
        fleet = fleet_of()
        peers = litellm_decisions(text, few, loop)
        error = checked_route(fleet, text) if not error else "as above"
        name = f"Route and release of a new task of {size} B: opened, its type, masks, budgets, pick of {MODELS}"
        ours = routing(fleet, new_tasks(n, text))
        yield Row(name, "ns/route", n, ours, peers, error, f"{bar}, of an open task", dict.fromkeys(peers, few))
        name = f"Route and release of an open task of {size} B, classified anew"
        yield Row(name, "ns/route", n, typed(fleet, open_tasks(fleet, "a", text, n), text), {}, "as above", bar)
    name = "Route and release of an open task, its type known"
    yield Row(name, "ns/route", n, routing(fleet, open_tasks(fleet, "b", text, n)), {}, "as above")


def open_tasks(fleet: fl.Fleet, what: str, text: str, n: int) -> Callable[[], list[fl.Task]]:
    """One task, which was routed before, for each lot: a task has 65,535 calls at most."""

    def made(lot: int) -> list[fl.Task]:
        task = fl.Task(f"open {what} {lot}", text=text, category="rates")
        fleet.release(fleet.route(task))
        return [task] * n

    return in_store(made)


def routing(fleet: fl.Fleet, take: Callable[[], list[fl.Task]]) -> Run:
    route, release = fleet.route, fleet.release

    def run() -> None:
        for task in take():
            release(route(task))

    return run


def typed(fleet: fl.Fleet, take: Callable[[], list[fl.Task]], text: str) -> Run:
    route, release, classifier = fleet.route, fleet.release, fleet.classifier
    assert classifier is not None
    classify = classifier.classify

    def run() -> None:
        for task in take():
            release(route(task, type=classify(text).name))

    return run


def checked_route(fleet: fl.Fleet, text: str) -> str:
    """One more task: a type, money held and given back; and who is asked most of those that were tried most."""
    task = fl.Task("checked", text=text, category="rates")
    route = fleet.route(task)
    assert route, route
    assert route.type == fleet.classifier.classify(text), route  # type: ignore[union-attr]
    assert fleet.budgets.state()["all"].held_usd == route.reserved_usd > 0.0, fleet.budgets.state()
    fleet.release(route)
    assert fleet.budgets.state()["all"].held_usd == 0.0, fleet.budgets.state()
    asked = collections.Counter()
    for _ in range(1_000):
        asked[(route := fleet.route(task)).model] += 1
        fleet.release(route)
    best = {row.model for row in fleet.leaderboard() if row.model in BEST}
    return f"{sum(asked[name] for name in best) / asked.total():.0%} of routes to the best 2 of {MODELS}"


# --- the end of a call ---


def ends(n: int) -> Iterator[Row]:
    """Routes are made beforehand, no more than may be in flight. Then `called` alone, and `called` and `record`, as
    `ask` has them."""
    few = max(1, n // 10)
    for recorded in (False, True):
        fleet = fleet_of()
        before = fleet.budgets.state()["all"]

        def made(lot: int, fleet: fl.Fleet = fleet, recorded: bool = recorded) -> list[Any]:
            out = []
            for i in range(n):
                task = fl.Task(f"{recorded} {lot} {i}", category="rates")
                route = fleet.route(task, type="simple")
                assert route, route
                answer = fl.Forecast(str(route.model), p=0.6, latency_ms=400.0, tokens_in=300, cost_usd=COST, time=1)
                out.append((task, route, Answer(answer, usage=Usage(300, 20))))
            return out

        take, called, record = in_store(made), fleet.called, fleet.record

        def ours(take: Any = take, called: Any = called, record: Any = record, recorded: bool = recorded) -> None:
            if recorded:
                for task, route, answer in take():
                    called(route, answer)
                    record(task, answer.forecast)
            else:
                for _, route, answer in take():
                    called(route, answer)

        ours()
        after = fleet.budgets.state()["all"]
        assert after.settled - before.settled == n, after
        error = f"{abs(after.spent_usd - before.spent_usd - n * COST) * 1e9:.0f} nano-dollars"
        peers = {} if recorded else peers_end(few)
        name = "The end of a call: called" + (" and record" if recorded else "") + ", with cost, 3 budgets, breakers"
        yield Row(name, "ns/call", n, ours, peers, error, "1 us", dict.fromkeys(peers, few))


def peers_end(n: int) -> dict[str, Run]:
    """A call that returns at once, through a breaker, and what LiteLLM finds that it cost."""
    litellm, pybreaker = litellm_peer(), peer("pybreaker")
    if litellm is None or pybreaker is None:
        return {}
    breaker = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)

    def theirs() -> None:
        for _ in range(n):
            breaker.call(int)
            litellm.cost_per_token(model="gpt-4o-mini", prompt_tokens=300, completion_tokens=20)

    return that_runs("pybreaker and LiteLLM's cost, no budget", theirs)


# --- what asking adds ---


def repeated(make: Callable[[Any], Awaitable[Any]], take: Callable[[], list[Any]], loop: Loop) -> Run:
    async def all_of_them() -> None:
        for task in take():
            await make(task)

    return lambda: loop.run_until_complete(all_of_them())


def in_memory(n: int, loop: Loop) -> Iterator[Row]:
    """Around a coroutine that returns at once. LiteLLM's Router is asked for a reply that it makes up itself."""
    few = max(1, n // 10)
    text = text_of(200)

    async def answer(task: fl.Task) -> float:
        return 0.7

    peers = {"the coroutine alone": repeated(answer, new_tasks(n, text), loop)}
    litellm = litellm_peer()
    if litellm is not None:
        router = router_of(litellm, "simple-shuffle")
        messages = [{"role": "user", "content": text}]

        def theirs(_: Any) -> Awaitable[Any]:
            return router.acompletion("desk", messages, mock_response="0.7")

        peers |= that_runs("LiteLLM's Router, mock_response", repeated(theirs, lambda: [None] * few, loop))
    slow = {name: few for name in peers if name.startswith("LiteLLM")}
    for models in (3, MODELS):
        fleet = fleet_of(answer, models=models)
        calls = fleet.budgets.state()["all"].settled
        ours = repeated(fleet.ask, new_tasks(n, text), loop)
        ours()
        assert fleet.budgets.state()["all"].settled == calls + n
        error = f"{abs(loop.run_until_complete(fleet.ask(fl.Task('one'))).p - 0.7):.0e}"
        name = f"fleet.ask around a coroutine, new tasks of 200 B, {models} models, 3 budgets"
        yield Row(name, "ns/task", n, ours, peers if models == 3 else {}, error, "10 us", slow)
    folder = tempfile.TemporaryDirectory()
    desk = fl.Fleet.open(folder.name, sync="never", ring_bytes=1 << 28)
    weakref.finalize(desk, folder.cleanup)
    for name in "abc":
        desk.add(name, answer)
    ours = repeated(desk.ask, new_tasks(n, text), loop)
    yield Row("fleet.ask around a coroutine, on a journal, 3 models", "ns/task", n, ours, {}, "as above", "10 us")


def on_loopback(n: int, loop: Loop) -> Iterator[Row]:
    """Around the openai SDK: the same request by the bare client, by ours, and by LiteLLM's Router."""
    openai = peer("openai")
    if openai is None or peer("stamina") is None:
        return
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "providers"))
    from server import Server

    os.environ["FAIRLEAD_BENCH_KEY"] = "none-is-needed"
    server = Server().start()
    url = server.url + "/v1"
    provider = OpenAIProvider(url, key="FAIRLEAD_BENCH_KEY", structured=False)
    client = openai.AsyncOpenAI(api_key="x", base_url=url, max_retries=0)
    text = text_of(200)
    system, user = PROMPTS["binary"].render(fl.Task("q", text=text))
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    fleet = fleet_of(provider)

    def bare(_: Any) -> Awaitable[Any]:
        return client.chat.completions.create(model="m", messages=messages)

    def nothing() -> list[Any]:
        return [None] * n

    peers = {"the bare openai client": repeated(bare, nothing, loop)}
    known = fl.Model("m", price_in=0.5, price_out=2.0)
    peers["OpenAIProvider.call"] = repeated(lambda task: provider.call(known, task), new_tasks(n, text), loop)
    litellm = litellm_peer()
    if litellm is not None:
        for word, strategy in (("shuffle", "simple-shuffle"), ("latency", "latency-based-routing")):
            router = router_of(litellm, strategy, url)

            def theirs(_: Any, router: Any = router) -> Awaitable[Any]:
                return router.acompletion("desk", messages)

            peers |= that_runs(f"LiteLLM's Router, {word}", repeated(theirs, nothing, loop))
    seen = len(server.requests)
    calls = fleet.budgets.state()["all"].settled
    ours = repeated(fleet.ask, new_tasks(n, text), loop)
    ours()
    assert len(server.requests) == seen + n
    assert fleet.budgets.state()["all"].settled == calls + n
    error = f"{abs(loop.run_until_complete(fleet.ask(fl.Task('one', text=text))).p - 0.7):.0e}"
    error += f"; {added_us(bare, new_tasks(n, text)(), loop):.0f} us more than the bare client within it takes (median)"
    name = f"fleet.ask around the openai SDK, server on loopback, {MODELS} models, 3 budgets"
    row = Row(name, "ns/task", n, ours, peers, error, "bare + 50 us at first, 10 us the goal")
    weakref.finalize(row, server.stop)
    yield row
    loop.run_until_complete(client.close())
    loop.run_until_complete(provider.aclose())


def added_us(client: Callable[[Any], Awaitable[Any]], tasks: list[fl.Task], loop: Loop) -> float:
    """What `ask` takes beside the client that it calls: of calls so long that the caches are cold after each."""
    within: list[float] = []

    async def answer(task: fl.Task) -> float:
        start = time.perf_counter()
        await client(task)
        within.append(time.perf_counter() - start)
        return 0.7

    async def all_of_them() -> list[float]:
        fleet = fleet_of(answer)
        added = []
        for task in tasks:
            start = time.perf_counter()
            await fleet.ask(task)
            added.append(time.perf_counter() - start - within[-1])
        return added

    return 1e6 * statistics.median(loop.run_until_complete(all_of_them()))


# --- importing ---

TELL = """
import time
def resident():
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0
before, start = resident(), time.perf_counter()
import {module}
print(time.perf_counter() - start, (resident() - before) / 1e6)
"""


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def imports() -> Row:
    """A whole process, and in the error column what the import adds to a bare one."""

    def added(module: str, times: int) -> str:
        found = [[float(word) for word in python(TELL.format(module=module)).split()] for _ in range(times)]
        return f"{module} {min(f[0] for f in found) * 1e3:.0f} ms, {min(f[1] for f in found):.0f} MB"

    peers: dict[str, Run] = {}
    told = [added("fairlead", 7)]
    for module, found in (("litellm", litellm_peer()), ("openai", peer("openai"))):
        if found is not None:
            peers |= that_runs(f"import {module}", lambda module=module: python(f"import {module}"))
            told.append(added(module, 2))
    peers["no import"] = lambda: python("pass")
    return Row(
        "A process of Python that imports fairlead",
        "ns/process",
        1,
        lambda: python("import fairlead"),
        peers,
        "; ".join(told),
        "100 ms",
    )


def rows(size: Size) -> Iterator[Row]:
    yield imports()  # before this process holds much memory
    loop = asyncio.new_event_loop()
    yield from decisions(size.scaled(1_000), loop)
    yield from ends(size.scaled(200))
    yield from in_memory(size.scaled(1_000), loop)
    yield from on_loopback(size.scaled(200), loop)
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
