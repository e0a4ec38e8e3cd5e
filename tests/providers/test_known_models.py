"""The table of well-known models: it is what genai-prices has, at its prices, in tiers by the stated rule."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import fairlead as fl
from fairlead.providers.known_models import WELL_KNOWN, known_model, known_models, tier_of
from fairlead.providers.prices import Prices, PriceTable

NOW = "2026-11-20T12:00Z"
OURS = {"xai": "x-ai"}


@pytest.fixture(scope="module")
def genai() -> Any:
    return pytest.importorskip("genai_prices")


def test_all_are_there_with_tier_provider_and_price(genai: Any) -> None:
    found = known_models(at=NOW)
    names = [(of, tier, name) for of, tiers in WELL_KNOWN.items() for tier, names in tiers.items() for name in names]
    assert sorted((m.provider, m.tier, m.name) for m in found) == sorted(names)  # none is unknown to genai-prices
    assert [m.tier for m in found] == sorted((m.tier for m in found), key=["reasoning", "standard", "fast"].index)
    for model in found:
        usage = genai.Usage(input_tokens=1000, output_tokens=1000)
        theirs = genai.calc_price(usage, model.name, provider_id=OURS.get(model.provider, model.provider))
        if theirs.model.id == model.name and known_model(model.name) == model:  # its price does not change with the day
            assert float(theirs.total_price) == pytest.approx((model.price_in + model.price_out) / 1000)
        assert model.price_in > 0
        assert model.price_out > 0
        assert tier_of(model.name) == model.tier
        assert tier_of(f"{model.provider}/{model.name}-20260102") == model.tier


def test_tiers_of_others_go_by_the_words_of_their_names() -> None:
    for name, tier in {
        "claude-opus-9": "reasoning",
        "gpt-9-sol": "reasoning",
        "qwen-9-thinking": "reasoning",
        "gpt-9-luna": "fast",
        "gemini-9-flash": "fast",
        "gemini-9-flash-lite": "fast",
        "llama-9-8b": "fast",
        "grok-9-fast-non-reasoning": "standard",
        "claude-sonnet-9": "standard",
        "consolation": "standard",  # sol is a word, not a part of one
        "mine": "standard",
    }.items():
        assert tier_of(name) == tier, name


def test_ones_own_prices_win(genai: Any) -> None:
    own = {
        "gpt-5-mini": Prices.usd("0.2", "1.5", cached="0.02"),
        "mine": Prices.usd(0, 0),
        "mine-too": Prices.usd(1, 2),
    }
    cheap = known_model("gpt-5-mini", prices=own)
    assert (cheap.price_in, cheap.price_out, cheap.price_cached) == (0.2, 1.5, 0.02)
    assert known_models(prices=own)["gpt-5-mini"] == cheap
    assert known_model("gpt-5", prices=own) == known_model("gpt-5")
    mine = known_model("mine", prices=own)
    assert (mine.provider, mine.tier, mine.price_in) == ("", "standard", 0.0)
    assert known_model("mine", provider="home", prices=PriceTable(own)).provider == "home"
    with pytest.raises(fl.UnknownPriceError, match="did you mean 'mine-too'"):
        known_model("mine-to", prices=own)


def test_who_serves_it(genai: Any) -> None:
    assert known_model("llama-3.1-8b-instant", provider="groq").provider == "groq"
    assert known_model("grok-4.7").provider == "xai"
    assert known_model("gpt-3.5-turbo").provider == "openai"  # not in the table, but genai-prices knows its maker
    with pytest.raises(fl.UnknownPriceError, match=r"one of .*groq"):
        known_model("llama-3.1-8b-instant")


def test_a_fleet_takes_them(genai: Any) -> None:
    fleet = fl.Fleet()
    for model in fl.known_models(tier="fast", provider="openai"):
        fleet.add(model)
    assert fleet.models == fl.known_models(tier="fast", provider="openai").models


def test_what_is_not_known_is_told(genai: Any) -> None:
    with pytest.raises(fl.UnknownPriceError, match="did you mean 'gpt-5-mini'"):
        known_model("gpt5-mini")
    with pytest.raises(fl.UnknownPriceError, match=r"of provider 'groq'.*Prices.usd"):
        known_model("claude-opus-5-5", provider="groq")
    with pytest.raises(fl.InvalidRecordError, match="name is ''"):
        known_model("")
    with pytest.raises(fl.InvalidRecordError, match=r"tier is 'fats', .*did you mean 'fast'"):
        known_models(tier="fats")  # type: ignore[arg-type]
    with pytest.raises(fl.InvalidRecordError, match=r"provider is 'x-ai', .*did you mean 'xai'"):
        known_models(provider="x-ai")
    with pytest.raises(KeyError):
        known_models(provider="xai")["gpt-5"]


def test_without_genai_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    own = {"gpt-5-mini": Prices.usd(1, 1)}  # the rest is not to be had
    for ask in (lambda: known_model("gpt-5"), known_models):
        with pytest.raises(fl.UnknownPriceError, match=r"genai-prices is not installed .*fairlead\[prices\]"):
            ask()
    with pytest.raises(fl.UnknownPriceError, match=r"genai-prices is not installed"):
        known_model("gpt-5", prices=own)
    assert [model.name for model in known_models(prices=own)] == ["gpt-5-mini"]


def test_it_prints_as_a_table_and_gives_plain_types(genai: Any) -> None:
    found = known_models(provider="deepseek", at=NOW)
    lines = str(found).splitlines()
    assert lines[0].split() == ["model", "provider", "tier", "in", "cached", "out"]
    assert len(lines) == len(found) + 1
    assert found.as_dict()["models"][0] == found.models[0].to_dict()
