"""Deadlines, cancellation, retries, many callers at once, code that is not async: through the real SDKs."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from server import Reply, Request, Server

from fairlead import InvalidRecordError, Task
from fairlead.providers import (
    Answer,
    Deadline,
    LanguageModelProvider,
    OpenAIProvider,
    ProviderError,
    Retries,
    ask_sync,
    call,
)

Called = Callable[..., Answer]
Made = Callable[..., LanguageModelProvider]
TASK = Task("q", text="Will it rain?")
RESET = Reply(reset=True)


def kind(answer: Answer) -> str:
    return answer.failure.kind if answer.failure is not None else "none"


# --- deadlines and cancellation -------------------------------------------------------------------------------------


def test_a_hanging_server_is_given_up_at_the_deadline(called: Called, server: Server) -> None:
    called(Reply())  # so that the connection is there
    start = time.monotonic()
    answer = called(Reply(hang=True), deadline=0.3)
    took = time.monotonic() - start
    assert kind(answer) == "timeout"
    assert answer.forecast.error == "timeout: no answer before the deadline"
    assert 0.3 <= took < 5.0
    assert answer.forecast.latency_ms == pytest.approx(took * 1e3, abs=took * 500)
    for _ in range(100):  # the connection is closed, so the server need not go on
        if server.gave_up:
            break
        time.sleep(0.02)
    assert server.gave_up == 1


def test_a_stream_that_stalls_is_given_up_and_its_usage_kept(called: Called, wire: str) -> None:
    answer = called(Reply(chunk_s=0.4), deadline=1.0, stream=True)
    assert kind(answer) == "timeout"
    assert answer.usage.input_tokens == (120 if wire == "anthropic" else 0)  # OpenAI tells it at the end only


def test_a_deadline_that_has_passed_asks_nobody(called: Called, server: Server) -> None:
    answer = called(deadline=0)
    assert (kind(answer), answer.calls) == ("timeout", 0)
    assert server.requests == []


def test_one_deadline_spans_several_calls(made: Made, server: Server) -> None:
    provider = made()
    server.always = Reply(hang=True)

    async def both() -> list[str]:
        deadline = Deadline.after("400ms")
        return [kind(await provider.call("m", TASK, deadline=deadline)) for _ in range(2)]

    assert asyncio.run(both()) == ["timeout", "timeout"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("bad", [-1, float("nan"), "soon", "-2s"])
def test_a_deadline_that_is_none(called: Called, bad: float) -> None:
    with pytest.raises(InvalidRecordError, match="deadline is"):
        called(deadline=bad)


def test_a_timeout_holds_where_no_deadline_is_given(called: Called) -> None:
    assert kind(called(Reply(hang=True), deadline=None, timeout=0.3)) == "timeout"


def test_cancelling_is_not_a_failure(made: Made, server: Server) -> None:
    provider = made()
    server.always = Reply(hang=True)

    async def cancelled() -> None:
        task = asyncio.ensure_future(provider.call("m", TASK, deadline=30))
        while not server.requests:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.always = Reply()
        assert (await provider.ask("m", TASK)).p == 0.7  # it is of use as before

    asyncio.run(cancelled())


def test_a_hedged_second_call_wins(made: Made, server: Server) -> None:
    """What the fleet does with a slow call: the first that answers counts, and the other is cancelled."""
    provider = made()
    server.model("slow", Reply(hang=True))

    async def hedged() -> Answer:
        calls = [asyncio.ensure_future(provider.call(name, TASK, deadline=30)) for name in ("slow", "fast")]
        done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for slow in pending:
            slow.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return done.pop().result()

    assert asyncio.run(hedged()).forecast.model == "fast"


# --- retries --------------------------------------------------------------------------------------------------------


def test_a_broken_connection_is_tried_again(called: Called, server: Server) -> None:
    answer = called(RESET, RESET, Reply())
    assert (kind(answer), answer.calls, len(server.requests)) == ("none", 3, 3)


def test_not_for_ever(called: Called, server: Server) -> None:
    answer = called(*[RESET] * 9)
    assert (kind(answer), answer.calls, len(server.requests)) == ("network", 3, 3)
    assert answer.failure is not None
    assert answer.failure.__cause__ is answer.failure.__context__ is answer.failure.__traceback__ is None


def test_nobody_listens(wire: str, key: str) -> None:
    provider = OpenAIProvider("http://127.0.0.1:9/v1", retries=Retries(attempts=2, wait=0.001))
    answer = asyncio.run(provider.call("m", TASK, deadline=30))
    assert (kind(answer), answer.calls) == ("network", 2)


@pytest.mark.parametrize(
    "reply", [Reply(status=500), Reply(status=429, headers={"Retry-After": "0.05"}), Reply(text="?")]
)
def test_answers_are_not_tried_again(called: Called, server: Server, reply: Reply) -> None:
    assert called(reply).calls == len(server.requests) == 1


def test_patience_waits_as_long_as_the_server_asks(called: Called, server: Server) -> None:
    busy = Reply(status=429, headers={"Retry-After": "0.3"})
    answer = called(busy, Reply(), retries=Retries(patience="1s"))
    assert (kind(answer), answer.calls) == ("none", 2)
    first, second = server.requests
    assert second.at - first.at >= 0.3


def test_patience_has_an_end(called: Called) -> None:
    busy = Reply(status=503, headers={"Retry-After": "2"})
    assert called(busy, retries=Retries(patience="1s")).calls == 1


def test_a_wait_that_ends_after_the_deadline_is_not_begun(called: Called) -> None:
    busy = Reply(status=429, headers={"Retry-After": "5"})
    start = time.monotonic()
    answer = called(busy, retries=Retries(patience="1min"), deadline=3.0)
    assert (kind(answer), answer.calls) == ("rate_limited", 1)
    assert time.monotonic() - start < 2.5


def test_whoever_counts_hits_can_end_it(made: Made, server: Server) -> None:
    """As a circuit breaker does: a dead provider gets no more hits than it allows, whatever the retries are."""
    provider = made(retries=Retries(attempts=9, wait=0.001))
    server.always = RESET
    seen: list[str] = []

    def may_retry(failure: ProviderError) -> bool:
        seen.append(failure.kind)
        return len(seen) < 5

    answer = asyncio.run(provider.call("m", TASK, may_retry=may_retry))
    assert answer.calls == len(server.requests) == len(seen) == 5


def test_nobody_is_asked_for_a_repetition_that_will_not_be(made: Made, server: Server) -> None:
    provider = made(retries=Retries(attempts=3, wait=0.001))
    server.always = RESET
    seen: list[str] = []
    answer = asyncio.run(provider.call("m", TASK, may_retry=lambda failure: seen.append(failure.kind) is None))
    assert (answer.calls, len(seen)) == (3, 2)


@pytest.mark.parametrize(
    "bad", [{"attempts": 0}, {"attempts": True}, {"wait": -1}, {"patience": "soon"}, {"wait_max": "x"}]
)
def test_retries_that_are_none(bad: dict[str, object]) -> None:
    with pytest.raises(InvalidRecordError, match=next(iter(bad))):
        Retries(**bad)  # type: ignore[arg-type]


# --- many at once ---------------------------------------------------------------------------------------------------


def mixed(request: Request) -> Reply:
    n = int(request.model)
    return [Reply(latency_s=0.02), Reply(status=429), Reply(status=500), Reply(text="?")][n % 4]


def test_sixty_four_tasks_on_one_loop(made: Made, server: Server) -> None:
    provider = made()
    server.always = mixed

    async def all_at_once() -> list[Answer]:
        return await asyncio.gather(*(provider.call(str(n), TASK, deadline=30) for n in range(64)))

    answers = asyncio.run(all_at_once())
    kinds = ["none", "rate_limited", "server", "unparsable"]
    assert [kind(answer) for answer in answers] == [kinds[n % 4] for n in range(64)]
    assert [answer.forecast.model for answer in answers] == [str(n) for n in range(64)]
    assert len(server.requests) == 64


def test_sixty_four_threads(made: Made, server: Server) -> None:
    provider = made()
    server.always = Reply(latency_s=0.3)
    with ThreadPoolExecutor(64) as pool:
        forecasts = list(pool.map(lambda n: provider.ask_sync(str(n), TASK, deadline=60), range(64)))
    assert [forecast.model for forecast in forecasts] == [str(n) for n in range(64)]
    assert server.most_at_once > 8  # they did not wait for one another


def test_connections_are_used_again(made: Made, server: Server) -> None:
    provider = made()
    for _ in range(5):
        provider.ask_sync("m", TASK)
    assert server.connections == 1


# --- loops ----------------------------------------------------------------------------------------------------------


def test_each_event_loop_has_its_own_connections(made: Made, server: Server) -> None:
    """A client that outlived its loop would fail with "Event loop is closed"."""
    provider = made()
    for _ in range(3):
        assert asyncio.run(provider.ask("m", TASK)).p == 0.7
    assert server.connections == 3
    assert len(provider._clients) <= 1  # that of ask_sync, if any: those of loops that ended are gone


def test_closing_and_going_on(made: Made, server: Server) -> None:
    provider = made()

    async def twice() -> None:
        async with provider:
            await provider.ask("m", TASK)
        await provider.ask("m", TASK)
        await provider.aclose()
        await provider.aclose()

    asyncio.run(twice())
    assert server.connections == 2
    provider.close()
    assert provider.ask_sync("m", TASK).p == 0.7
    provider.close()


def test_sync_inside_a_running_loop(made: Made, server: Server) -> None:
    provider = made()

    async def inside() -> float:
        return provider.ask_sync("m", TASK).p  # type: ignore[return-value]

    assert asyncio.run(inside()) == 0.7


def test_sync_where_it_could_never_end(made: Made, server: Server) -> None:
    provider = made()

    class Nested:
        async def ask(self, model: object, task: Task, *, deadline: object = None) -> object:
            return provider.ask_sync("m", task)

    with pytest.raises(ProviderError, match="await the async method instead"):
        ask_sync(Nested(), "m", TASK)  # type: ignore[arg-type]


def test_sync_calls_are_cancelled_with_their_deadline(made: Made, server: Server) -> None:
    server.always = Reply(hang=True)
    with pytest.raises(ProviderError, match="timeout"):
        made().ask_sync("m", TASK, deadline="300ms")
    assert threading.active_count() < 80


def test_any_protocol_implementation_can_be_called(server: Server) -> None:
    class Mine:
        async def ask(self, model: object, task: Task, *, deadline: object = None) -> object:
            await asyncio.sleep(60)
            return None

    answer = asyncio.run(call(Mine(), "m", TASK, deadline=0.1))  # type: ignore[arg-type]
    assert kind(answer) == "timeout"
