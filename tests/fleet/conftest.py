"""A life of a fleet that depends on nothing but a seed, for tests of what it is logged to; and a scripted server with
two providers, for tests of asking."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fairlead as fl
from fairlead.policy.route import Rules
from fairlead.providers import AnthropicProvider, LanguageModelProvider, OpenAIProvider, Retries

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "providers"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lifecycle" / "pipeline"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from server import Server

MODELS = ("a", "b", "c", "Ünïcödé", "e")
LABELS = ("up", "flat", "down")


def life(seed: int) -> Callable[[fl.Fleet, int], object]:
    """A function that does step i of the life, always the same one, at time i + 1; a call may be refused."""

    def step(fleet: fl.Fleet, i: int) -> object:
        dice = random.Random(seed * 1_000_003 + i)
        now, what = i + 1, dice.random()
        name = dice.choice(MODELS)
        number = max(i // 6 - dice.randrange(4), 0)
        task_id = f"task {number}"
        if what < 0.05 or i < 5:
            return fleet.add(fl.Model(name, price_in=2.5, tags=("fast", name)))
        if what < 0.06:
            return fleet.remove(name)
        if what < 0.75:
            kind = "binary" if number % 3 == 0 else "categorical" if number % 2 else "numeric"
            task = fl.Task(
                task_id,
                kind=kind,
                category=("", "politics", "rates")[number % 3],
                text="will it?",
                labels=LABELS if kind == "categorical" else (),
                regime="calm" if number % 5 == 0 else "",
                expires_in_s=None if number % 2 else 3600.0,
                slices={"horizon": "1d"} if number % 4 else {},
                time=number * 6 + 1,
            )
            cut = sorted((dice.randrange(65), dice.randrange(65)))
            p = (cut[0] / 64, (cut[1] - cut[0]) / 64, (64 - cut[1]) / 64)
            given = {
                "binary": {"p": dice.random()},
                "categorical": {"p": dict(zip(LABELS, p, strict=True)) if number % 2 else p},
                "numeric": {"value": dice.gauss(100, 20)},
            }[kind]
            if dice.random() < 0.1:
                given = {"error": "timeout"}
            confidence = dice.random() if dice.random() < 0.5 else None
            forecast = fl.Forecast(name, **given, confidence=confidence, latency_ms=3.5, cost_usd=0.01, time=now)
            return fleet.record(task if dice.random() < 0.7 else task_id, forecast)
        if what < 0.8:
            return fleet.decide(task_id, strategy=dice.choice(fl.STRATEGIES))
        if what < 0.97:
            return fleet.settle(task_id, dice.randrange(2), time=now, profit_usd=1.5 if dice.random() < 0.5 else None)
        return fleet.void(task_id)

    def quiet(fleet: fl.Fleet, i: int) -> object:
        try:
            return step(fleet, i)
        except (fl.InvalidRecordError, LookupError, fl.TaskEndedError, fl.NoForecastError) as error:
            return f"{type(error).__name__}: {error}"

    return quiet


@pytest.fixture(scope="session")
def live() -> Callable[[int], Callable[[fl.Fleet, int], object]]:
    return life


KEY = "sk-test-Xq7vN2mKd81LpZr4"


@pytest.fixture(scope="session")
def running_server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def server(running_server: Server) -> Server:
    """As if it had just been started."""
    running_server.reset()
    return running_server


@pytest.fixture(scope="session")
def sdks(running_server: Server) -> Iterator[dict[str, LanguageModelProvider]]:
    """A provider of the server through each SDK, imported already, so that deadlines may be short."""
    pytest.importorskip("openai")
    pytest.importorskip("anthropic")
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "ALL_PROXY",
            "OPENAI_BASE_URL",
            "OPENAI_ORG_ID",
            "ANTHROPIC_BASE_URL",
        ):
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        patch.setenv("TEST_KEY", KEY)
        options = {"key": "TEST_KEY", "retries": Retries(wait=0.01), "max_tokens": 20}
        made = {
            "openai": OpenAIProvider(running_server.url + "/v1", **options),
            "anthropic": AnthropicProvider(base_url=running_server.url, **options),
            "streamed": OpenAIProvider(running_server.url + "/v1", stream=True, **options),
        }
        for provider in made.values():
            provider.open()
        yield made
        for provider in made.values():
            provider.close()


@pytest.fixture
def staff(sdks: dict[str, LanguageModelProvider], server: Server) -> Callable[[fl.Fleet], fl.Fleet]:
    """Adds "a", which is asked first where the cost counts, and "b", at another provider, to a fleet."""

    def hire(fleet: fl.Fleet, *names: str) -> fl.Fleet:
        models = {
            "a": fl.Model("a", provider="openai", price_in=1.0, price_out=4.0),
            "b": fl.Model("b", provider="anthropic", price_in=2.0, price_out=10.0),
        }
        for name in names or ("a", "b"):
            fleet.add(models[name], sdks[models[name].provider])
        fleet.rules = Rules("cost")
        return fleet

    return hire
