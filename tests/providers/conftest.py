"""What tests of providers share: the scripted server and a key that must never be seen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fairlead import Model, Task
from fairlead.providers import Answer, AnthropicProvider, LanguageModelProvider, OpenAIProvider, Retries
from fairlead.providers.waiting import wait_for

sys.path.insert(0, str(Path(__file__).resolve().parent))

from server import Reply, Server

KEY = "sk-test-Xq7vN2mKd81LpZr4"


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    """The key in the environment, and nothing else there that could change what the SDKs do."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL", "OPENAI_ORG_ID", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.delenv("FAIRLEAD_SECRETS", raising=False)
    monkeypatch.setenv("TEST_KEY", KEY)
    return KEY


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def server(running_server: Server) -> Server:
    """As if it had just been started."""
    running_server.reset()
    return running_server


@pytest.fixture(params=["openai", "anthropic"])
def wire(request: pytest.FixtureRequest) -> str:
    """Whose protocol is spoken; a test with it runs through both SDKs."""
    pytest.importorskip(request.param)
    pytest.importorskip("stamina")
    return str(request.param)


@pytest.fixture
def made(wire: str, server: Server, key: str) -> Callable[..., LanguageModelProvider]:
    """Makes a provider of the scripted server; its SDK is imported already, so that deadlines may be short."""

    def make(**options: Any) -> LanguageModelProvider:
        options = {"key": "TEST_KEY", "retries": Retries(wait=0.01), **options}
        made_before = f"{wire} {options}"  # a client takes 0.1 s to make
        if made_before not in _PROVIDERS:
            _PROVIDERS[made_before] = new(options)
        return _PROVIDERS[made_before]

    def new(options: dict[str, Any]) -> LanguageModelProvider:
        provider: LanguageModelProvider
        if wire == "openai":
            provider = OpenAIProvider(server.url + "/v1", **options)
        else:
            provider = AnthropicProvider(base_url=server.url, **options)
        provider.open()
        return provider

    return make


@pytest.fixture(scope="session", autouse=True)
def closed_at_the_end() -> Iterator[None]:
    yield
    for provider in _PROVIDERS.values():
        provider.close()


_PROVIDERS: dict[str, LanguageModelProvider] = {}
TASK = Task("q", text="Will it rain in Oslo tomorrow?")
MODEL = Model("m1", price_in=2.0, price_out=10.0, price_cached=0.5)


@pytest.fixture
def called(made: Callable[..., LanguageModelProvider], server: Server) -> Callable[..., Answer]:
    """One call of the scripted server, which does these things in turn."""

    def run(*replies: Reply, task: Task = TASK, deadline: float | None = 10.0, **options: Any) -> Answer:
        server.script(*replies)
        return wait_for(made(**options).call(MODEL, task, deadline=deadline))

    return run
