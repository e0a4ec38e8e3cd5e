"""Prices to the cent, against genai-prices itself and against Decimal."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone
from decimal import ROUND_CEILING, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead.measure.money import as_nanos, cost_nanos, per_million, usd_text
from fairlead.providers.prices import Prices, PriceTable, load_prices

NANO = Decimal(10) ** 9
NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def genai() -> Any:
    return pytest.importorskip("genai_prices")


@pytest.fixture(scope="module")
def table(genai: Any) -> PriceTable:
    return load_prices()


TOKENS = st.integers(0, 2_000_000)
PRICE = st.decimals(0, 1000, places=6)


@given(
    prices=st.tuples(PRICE, PRICE, PRICE, PRICE),
    tokens_in=TOKENS,
    out=TOKENS,
    cut=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_a_cost_is_that_of_decimals_rounded_up(
    prices: tuple[Decimal, ...], tokens_in: int, out: int, cut: tuple[float, float]
) -> None:
    cached = int(tokens_in * cut[0])
    written = int((tokens_in - cached) * cut[1])
    mine = Prices.usd(prices[0], prices[1], cached=prices[2], written=prices[3])
    exact = (tokens_in - cached - written) * prices[0] + out * prices[1] + cached * prices[2] + written * prices[3]
    expected = (exact * NANO / 10**6).to_integral_value(ROUND_CEILING)
    assert mine.cost(tokens_in, out, cached=cached, written=written) == expected
    assert mine.cost(tokens_in, out, cached=cached, written=written) <= mine.bound(tokens_in, out)


@pytest.mark.parametrize(
    "provider", ["openai", "anthropic", "google", "x-ai", "deepseek", "mistral", "groq", "openrouter"]
)
def test_every_model_costs_what_genai_prices_says(genai: Any, table: PriceTable, provider: str) -> None:
    models = [model for of, model in table.models() if of == provider]
    assert models
    compared = 0
    moments = (NOW, NOW - timedelta(hours=9), NOW - timedelta(days=600))
    usages = ((1000, 500, 0, 0), (150_001, 777, 30_000, 0), (600_000, 12_345, 100_000, 50_000))
    for model in models[:150]:
        for at in moments:
            for tokens_in, out, cached, written in usages:
                usage = genai.Usage(
                    input_tokens=tokens_in, output_tokens=out, cache_read_tokens=cached, cache_write_tokens=written
                )
                try:
                    theirs = genai.calc_price(usage, model, provider_id=provider, genai_request_timestamp=at)
                except (ValueError, LookupError):
                    continue  # it asks for a finer account of the tokens (of audio, say), or does not know its own id
                if theirs.model.id != model:
                    continue  # its id is taken for another's
                prices = table.of(model, at, provider)
                if any(name.startswith(("output_reasoning", "output_citation")) for name in prices.uncounted):
                    continue
                mine = prices.cost(tokens_in, out, cached=cached, written=written)
                assert 0 <= mine - theirs.total_price * NANO <= 2, (model, at, usage)
                compared += 1
    assert compared > len(models[:150])


def test_long_prompts_and_hours_of_the_day(table: PriceTable) -> None:
    gemini = table.of("gemini-2.5-pro", NOW)
    assert gemini.cost(200_000) * 2 + 2 * 2500 == gemini.cost(200_002)
    noon, night = (table.of("deepseek-chat", f"2025-06-01T{hour}:00Z", "deepseek") for hour in ("12", "20"))
    assert noon.input != night.input


def test_cached_and_written_tokens(table: PriceTable) -> None:
    opus = table.of("claude-opus-4-5", NOW)
    assert opus.cached * 10 == opus.input
    assert opus.written * 4 == opus.input * 5
    assert opus.written_1h == opus.input * 2
    assert opus.cost(1000, cached=1000) == opus.cached // 1000


def test_ones_own_prices_win(table: PriceTable, genai: Any) -> None:
    own = load_prices({"gpt-5": Prices.usd(1, 2), "openai/gpt-4o": Prices.usd(3, 4), "local": Prices.usd(0, 0)})
    assert own.of("gpt-5", NOW).input == 10**9
    assert own.of("gpt-4o", NOW, "openai").output == 4 * 10**9
    assert own.of("gpt-4o", NOW) == table.of("gpt-4o", NOW)
    assert own.of("local", NOW).cost(10**6, 10**6) == 0
    assert own.of("openai/gpt-5-mini", NOW) == table.of("gpt-5-mini", NOW, "openai")


def test_an_unknown_model_is_never_free(table: PriceTable) -> None:
    for model, provider in (
        ("no-such-model", None),
        ("gpt-5", "no-such-provider"),
        ("", None),
        ("openai/nothing-of-it", None),
    ):
        assert table.find(model, provider) is None
        with pytest.raises(fl.UnknownPriceError, match="no price is known"):
            table.of(model, NOW, provider)
    with pytest.raises(fl.UnknownPriceError, match="did you mean 'gpt-4o-mini'"):
        table.of("gpt4o-mini", NOW, "openai")


def test_without_genai_prices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices.data_snapshot", None)
    table = load_prices({"mine": Prices.usd(1, 1)})
    assert table.models() == [("own", "mine")]
    with pytest.raises(fl.UnknownPriceError, match=r"genai-prices is not installed .*fairlead\[prices\]"):
        table.of("gpt-5", NOW)


def test_prices_that_are_none_are_refused() -> None:
    for bad in (-1, "x", None, float("nan")):
        with pytest.raises(fl.InvalidRecordError, match="output is"):
            Prices.usd(1, bad)  # type: ignore[arg-type]
    with pytest.raises(fl.InvalidRecordError, match="must be Prices"):
        load_prices({"a": (1, 2)})  # type: ignore[dict-item]
    for tokens in ({"tokens_in": -1}, {"tokens_in": 1, "cached": 2}, {"tokens_in": 5, "cached": 3, "written": 3}):
        with pytest.raises(fl.InvalidRecordError, match="tokens"):
            Prices.usd(1, 1).cost(**tokens)


@given(st.integers(0, 2 * 10**15))
def test_money_goes_there_and_back(nanos: int) -> None:
    assert as_nanos(nanos / 10**9) == nanos
    assert as_nanos(Decimal(nanos).scaleb(-9)) == nanos
    assert cost_nanos(nanos / 10**9) == nanos
    assert cost_nanos(Decimal(nanos).scaleb(-9) + Decimal("1e-12")) == nanos + 1
    assert usd_text(nanos).startswith("$")


def test_a_price_finer_than_a_nano_dollar_is_rounded_up() -> None:
    assert per_million("0.08333333333333334") == 83_333_334
    assert per_million("0.1") == 10**8
