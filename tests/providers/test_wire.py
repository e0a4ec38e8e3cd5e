"""Language models through the real SDKs, plain and streamed: what comes back, and what precisely went wrong."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Callable
from typing import Any

import pytest
from server import Reply, Server

from fairlead import Forecast, Model, Task
from fairlead.providers import Answer, Prompt, Usage, answer_schema

Called = Callable[..., Answer]

stream_too = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@stream_too
def test_an_answer(called: Called, server: Server, key: str, wire: str, stream: bool) -> None:
    before = time.time_ns()
    answer = called(Reply(), stream=stream)
    forecast = answer.forecast
    assert (forecast.model, forecast.p, forecast.confidence, forecast.error) == ("m1", 0.7, 0.8, "")
    assert answer.failure is None
    assert answer.calls == 1
    assert before <= forecast.time <= time.time_ns()
    assert forecast.latency_ms is not None
    assert (answer.first_token_s is not None) == stream
    if answer.first_token_s is not None:
        assert 0 < answer.first_token_s * 1e3 <= forecast.latency_ms
    assert Forecast(**forecast.to_dict()) == forecast  # it would pass validation
    (request,) = server.requests
    assert request.model == "m1"
    assert request.key == key
    assert bool(request.body.get("stream")) == stream
    assert "Will it rain in Oslo" in str(request.body["messages"])


@stream_too
def test_usage_and_cost(called: Called, wire: str, stream: bool) -> None:
    tokens = {"input": 1000, "output": 200, "cached": 600, "cache_write": 100, "reasoning": 150}
    answer = called(Reply(tokens=tokens), stream=stream)
    reasoning = 0 if stream and wire == "anthropic" else 150  # told at the start only, before there was any
    if stream and wire == "anthropic":
        answer = answer._replace(usage=answer.usage._replace(reasoning_tokens=0))
    assert answer.usage == Usage(1000, 200, 600, 100, reasoning)
    assert (answer.forecast.tokens_in, answer.forecast.tokens_out) == (1000, 200)
    assert answer.forecast.cost_usd == pytest.approx((400 * 2.0 + 600 * 0.5 + 200 * 10.0) / 1e6, rel=1e-12)


@stream_too
def test_no_usage_is_no_error(called: Called, stream: bool, wire: str) -> None:
    answer = called(Reply(tokens=None), stream=stream)
    assert answer.failure is None
    assert answer.usage.input_tokens == 0


@stream_too
@pytest.mark.parametrize(
    ("task", "text", "expected"),
    [
        (Task("c", "categorical", text="Up or down?", labels=("up", "down <1%")), None, {"up": 0.25, "down <1%": 0.75}),
        (Task("n", "numeric", text="How many?"), '{"value": -12.5, "confidence": 0.5}', -12.5),
    ],
)
def test_other_kinds(called: Called, stream: bool, task: Task, text: str | None, expected: Any, server: Server) -> None:
    text = text or '{"probabilities": {"up": 0.25, "down <1%": 0.75}, "confidence": 0.5}'
    forecast = called(Reply(text=text), task=task, stream=stream).forecast
    assert (forecast.p if task.kind == "categorical" else forecast.value) == expected
    assert forecast.confidence == 0.5


def test_a_schema_is_asked_for(called: Called, server: Server, wire: str) -> None:
    called(Reply())
    called(Reply(), structured=False)
    with_schema, without = (request.body for request in server.requests)
    if wire == "openai":
        asked = with_schema["response_format"]
        assert asked["type"] == "json_schema"
        assert asked["json_schema"] == {"name": "answer", "strict": True, "schema": answer_schema("binary")}
        assert "response_format" not in without
    else:
        assert with_schema["output_config"] == {"format": {"type": "json_schema", "schema": answer_schema("binary")}}
        assert "output_config" not in without


def test_options_names_and_prompts_arrive(called: Called, server: Server) -> None:
    prompts = {"binary": Prompt("Terse.", "<q>{question}</q>")}
    called(Reply(), max_tokens=77, options={"temperature": 0.5}, names={"m1": "vendor/m1-2026"}, prompts=prompts)
    body = server.requests[0].body
    assert body["model"] == "vendor/m1-2026"
    assert body["max_tokens"] == 77
    assert "extra_body" not in body
    assert body["temperature"] == 0.5
    assert body["messages"][-1]["content"] == "<q>Will it rain in Oslo tomorrow?</q>"


BAD = [
    # what the server does, kind, status
    (Reply(status=429), "rate_limited", 429),
    (Reply(status=429, error_type="insufficient_quota"), "refused", 429),
    (Reply(status=402), "refused", 402),
    (Reply(status=500), "server", 500),
    (Reply(status=503), "server", 503),
    (Reply(status=529, error_type="overloaded_error"), "server", 529),
    (Reply(status=400), "refused", 400),
    (Reply(status=401), "refused", 401),
    (Reply(status=403), "refused", 403),
    (Reply(status=404), "refused", 404),
    (Reply(status=422), "refused", 422),
    (Reply(status=408), "timeout", 408),
]


@stream_too
@pytest.mark.parametrize(("reply", "kind", "status"), BAD, ids=[f"{b[2]}-{b[1]}" for b in BAD])
def test_a_status_is_told_as_what_it_means(
    called: Called, server: Server, reply: Reply, kind: str, status: int, stream: bool
) -> None:
    answer = called(reply, stream=stream)
    assert answer.failure is not None
    assert (answer.failure.kind, answer.failure.status, answer.calls) == (kind, status, 1)
    assert answer.forecast.error == f"{kind}: {status}: as scripted"
    assert answer.forecast.p is None
    assert len(server.requests) == 1  # neither the SDK nor we try it again


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "1.25"}, 1.25),
        ({"retry-after-ms": "40", "Retry-After": "1"}, 0.04),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "-3"}, 0.0),
        ({}, None),
    ],
)
def test_retry_after_is_told(called: Called, headers: dict[str, str], expected: float | None) -> None:
    failure = called(Reply(status=429, headers=headers)).failure
    assert failure is not None
    assert failure.retry_after_s == expected


def test_retry_after_may_be_a_date(called: Called) -> None:
    date = email.utils.formatdate(time.time() + 90, usegmt=True)
    failure = called(Reply(status=503, headers={"Retry-After": date})).failure
    assert failure is not None
    assert failure.retry_after_s is not None
    assert 60 < failure.retry_after_s <= 90


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(body=b'{"id": "x", "choi'), "not what the API promises"),
        (Reply(body=b'{"ok": true}'), "'ok': True"),
        (Reply(body=b"[]"), "no"),
        (Reply(body=b"null"), "no"),
        (Reply(body=b'{"choices": [], "content": 3}'), "no"),
        (Reply(body=b"<html>Bad gateway</html>", content_type="text/html"), "Bad gateway"),
        (Reply(text="I would rather not say."), "I would rather not say."),
        (Reply(text='{"probability": 1.3}'), "1.3, outside [0, 1]"),
        (Reply(text=""), "no text"),
    ],
)
def test_nonsense_is_unparsable_and_quoted(called: Called, reply: Reply, said: str) -> None:
    failure = called(reply).failure
    assert failure is not None
    assert failure.kind == "unparsable"
    assert said in failure.message
    assert len(failure.message) < 400


def test_what_cannot_be_parsed_was_paid_for(called: Called) -> None:
    answer = called(Reply(text="maybe", tokens={"input": 1000, "output": 100}))
    assert answer.failure is not None
    assert answer.usage == answer.failure.usage == Usage(1000, 100)
    assert answer.forecast.cost_usd == pytest.approx(0.003)
    assert (answer.forecast.tokens_in, answer.forecast.tokens_out) == (1000, 100)


@stream_too
def test_a_reply_that_was_too_long(called: Called, wire: str, stream: bool) -> None:
    end = "length" if wire == "openai" else "max_tokens"
    answer = called(Reply(text='{"probability": 0.', end=end), stream=stream)
    assert answer.failure is not None
    assert answer.failure.kind == "truncated"
    assert answer.usage.output_tokens == 15


@stream_too
def test_a_model_that_refuses(called: Called, wire: str, stream: bool) -> None:
    reply = Reply(refusal="I cannot help with that.", text="") if wire == "openai" else Reply(end="refusal")
    answer = called(reply, stream=stream)
    assert answer.failure is not None
    assert answer.failure.kind == "refused"
    assert answer.usage.input_tokens == 120  # it was paid for


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_stream_that_ends_too_early(called: Called, server: Server, cut: int) -> None:
    answer = called(Reply(cut_after=cut), stream=True)
    assert answer.failure is not None
    assert answer.failure.kind == "truncated"
    assert len(server.requests) == 1


def test_a_stream_that_breaks_is_not_bought_twice(called: Called, server: Server) -> None:
    answer = called(Reply(cut_after=4, reset_cut=True, chunk_s=0.01), stream=True)
    assert answer.failure is not None
    assert answer.failure.kind == "truncated"
    assert len(server.requests) == 1


def test_a_body_that_ends_too_early(called: Called) -> None:
    failure = called(Reply(cut_after=30)).failure
    assert failure is not None
    assert failure.kind == "truncated"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"type": "overloaded_error", "message": "busy"}, "server"),
        ({"type": "rate_limit_error", "message": "slow down"}, "rate_limited"),
        ({"type": "authentication_error", "message": "who are you"}, "refused"),
    ],
)
def test_an_error_in_the_middle_of_a_stream(called: Called, error: dict[str, str], kind: str) -> None:
    failure = called(Reply(stream_error=error), stream=True).failure
    assert failure is not None
    assert (failure.kind, failure.message) == (kind, error["message"])


def test_no_stream_where_one_was_asked_for(called: Called) -> None:
    failure = called(Reply(body=b'{"a": 1}'), stream=True).failure
    assert failure is not None
    assert failure.kind == "unparsable"


def test_an_error_told_with_status_200(called: Called, wire: str) -> None:
    if wire != "openai":
        pytest.skip("only gateways that speak OpenAI's protocol do that")
    failure = called(Reply(body=b'{"error": {"message": "upstream is gone", "code": 502}}')).failure
    assert failure is not None
    assert (failure.kind, failure.message) == ("server", "upstream is gone")


def test_thoughts_are_no_answer(called: Called) -> None:
    forecast = called(Reply(text='<think>perhaps {"probability": 0.1}</think>{"probability": 0.9}')).forecast
    assert forecast.p == 0.9


def test_a_model_without_prices_costs_nothing(made: Callable[..., Any], server: Server) -> None:
    forecast = made().ask_sync(Model("free"), Task("q", text="Rain?"))
    assert forecast.cost_usd == 0.0
    assert forecast.tokens_in == 120
