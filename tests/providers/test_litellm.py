"""LiteLLM as an adapter, through LiteLLM itself where it is installed (it is no dependency of the tests)."""

from __future__ import annotations

import asyncio

import pytest
from server import Reply, Server

from fairlead import Model, Task
from fairlead.providers import Answer, LiteLLMProvider, Retries, Usage

TASK = Task("q", text="Will it rain?")


@pytest.fixture
def called(server: Server, key: str, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    pytest.importorskip("litellm", exc_type=ImportError)

    def run(*replies: Reply, deadline: float = 20.0, stream: bool = False) -> Answer:
        server.script(*replies)
        names = {"m": "openai/m1"}
        provider = LiteLLMProvider(
            key="TEST_KEY", base_url=server.url + "/v1", names=names, stream=stream, retries=Retries(wait=0.01)
        )
        provider.open()
        return asyncio.run(provider.call(Model("m", price_in=2.0, price_out=10.0), TASK, deadline=deadline))

    return run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer(called: object, server: Server, key: str, stream: bool) -> None:
    answer = called(Reply(tokens={"input": 1000, "output": 100, "cached": 10}), stream=stream)  # type: ignore[operator]
    assert answer.forecast.error == ""
    assert answer.forecast.p == 0.7
    assert answer.usage[:3] == Usage(1000, 100, cached_tokens=10)[:3]
    assert server.requests[0].key == key
    assert server.requests[0].model == "m1"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(status=429), "rate_limited"),
        (Reply(status=401, message="bad key {key}"), "refused"),
        (Reply(status=500), "server"),
        (Reply(hang=True), "timeout"),
        (Reply(text="?"), "unparsable"),
    ],
)
def test_failures(called: object, server: Server, key: str, reply: Reply, kind: str) -> None:
    answer = called(reply, deadline=3.0)  # type: ignore[operator]
    assert answer.failure is not None
    assert (answer.failure.kind, len(server.requests)) == (kind, 1)
    assert key not in answer.forecast.error
