"""Well-known models as `Model` records: their tier by a stated rule, their prices from genai-prices of the moment.

The rule. A maker sells each generation in sizes, and says what each is for. What is for the hardest work, or thinks
before it answers, is `reasoning`; what is between is `standard`; what is for volume and speed is `fast`. A model that
is sold as one that does not think is `standard` at most. `WELL_KNOWN` says it for models of today by name; any other is
taken by the words of its name (opus, pro, ...: reasoning; nano, lite, flash, ...: fast), else it is `standard`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from fairlead.errors import InvalidRecordError, UnknownPriceError, did_you_mean
from fairlead.measure.budget import table
from fairlead.measure.money import as_usd, usd_text
from fairlead.providers.prices import Prices, PriceTable, load_prices
from fairlead.times import as_time
from fairlead.types import TIERS, Model, Tier

WELL_KNOWN: dict[str, dict[Tier, tuple[str, ...]]] = {
    "openai": {
        "reasoning": (
            *("gpt-6-astra", "gpt-6.1-sol", "gpt-6-sol", "gpt-5.6-sol", "gpt-5.5", "gpt-5.5-pro", "gpt-5.4"),
            *("gpt-5.4-pro", "gpt-5.2", "gpt-5.2-pro", "gpt-5.1", "gpt-5", "gpt-5-pro", "o3", "o3-pro", "o4-mini"),
        ),
        "standard": ("gpt-6.1-terra", "gpt-5.6-terra", "gpt-5.4-mini", "gpt-5-mini", "gpt-4.1", "gpt-4o"),
        "fast": (
            *("gpt-6-luna", "gpt-5.6-luna", "gpt-5.4-nano", "gpt-5-nano"),
            *("gpt-4.1-mini", "gpt-4.1-nano", "gpt-4o-mini"),
        ),
    },
    "anthropic": {
        "reasoning": (
            *("claude-fable-5-2", "claude-fable-5-1", "claude-opus-5-5", "claude-opus-5", "claude-opus-4-8"),
            *("claude-opus-4-7", "claude-opus-4-6", "claude-opus-4-5", "claude-opus-4-1"),
        ),
        "standard": (
            *("claude-sonnet-5-5", "claude-sonnet-5", "claude-sonnet-4-6", "claude-sonnet-4-5", "claude-sonnet-4-0"),
        ),
        "fast": ("claude-haiku-5-5", "claude-haiku-4-5", "claude-3-5-haiku-latest"),
    },
    "google": {
        "reasoning": ("gemini-4-argon", "gemini-3.1-pro-preview", "gemini-2.5-pro"),
        "standard": ("gemini-3.8-flash", "gemini-3.7-flash", "gemini-3.5-flash", "gemini-2.5-flash"),
        "fast": ("gemini-3.5-flash-lite", "gemini-3.1-flash-lite", "gemini-2.5-flash-lite"),
    },
    "xai": {
        "reasoning": (
            *("grok-4.7", "grok-4.6", "grok-4.5", "grok-4.3", "grok-4-0709"),
            *("grok-4-1-fast-reasoning", "grok-4-fast-reasoning"),
        ),
        "standard": ("grok-3", "grok-4-1-fast-non-reasoning", "grok-4-fast-non-reasoning"),
        "fast": ("grok-3-mini",),
    },
    "deepseek": {
        "reasoning": ("deepseek-v4-pro", "deepseek-reasoner"),
        "standard": ("deepseek-chat",),
        "fast": ("deepseek-flash", "deepseek-v4-flash"),
    },
    "mistral": {
        "reasoning": ("magistral-medium",),
        "standard": ("mistral-large-4", "mistral-large-2512", "mistral-medium-latest"),
        "fast": ("mistral-small-latest", "ministral-8b-latest"),
    },
    "moonshotai": {
        "reasoning": ("kimi-k3.1-pro", "kimi-k3"),
        "standard": ("kimi-k2.6",),
        "fast": (),
    },
    "zai": {
        "reasoning": ("GLM-5.3", "GLM-5.2"),
        "standard": (),
        "fast": ("GLM-5.3-Flash",),
    },
}
"""Models that are known well, by provider and tier, newest first."""

_PRICED_AS = {"xai": "x-ai"}
"""Providers that genai-prices has another name for."""
_OF = {name: provider for provider, tiers in WELL_KNOWN.items() for names in tiers.values() for name in names}
_TIER: dict[str, Tier] = {
    name.lower(): tier for tiers in WELL_KNOWN.values() for tier, names in tiers.items() for name in names
}
_WORDS: tuple[tuple[Tier, re.Pattern[str]], ...] = (
    ("standard", re.compile(r"non-reasoning|non-thinking")),
    (
        "reasoning",
        re.compile(r"\b(reason\w*|think\w*|astra|sol|opus|fable|pro|r1|o[134]|qwq|magistral|deep-research)\b"),
    ),
    ("fast", re.compile(r"\b(nano|luna|lite|mini|haiku|flash|small|tiny|instant|fast|ministral|[1-9]b)\b")),
)


def tier_of(model: str) -> Tier:
    """The tier of a model: that of the table of well-known ones, else by the words of its name, else `standard`.

    >>> tier_of("gpt-5-nano"), tier_of("claude-opus-9"), tier_of("openai/gpt-4o"), tier_of("my-model")
    ('fast', 'reasoning', 'standard', 'standard')
    """
    name = model.lower().rpartition("/")[2]
    dated = re.sub(r"[-@]20\d{2}-?\d{2}-?\d{2}$", "", name)
    for known in (name, dated):
        if known in _TIER:
            return _TIER[known]
    for tier, words in _WORDS:
        if words.search(name):
            return tier
    return "standard"


@dataclass(frozen=True, slots=True)
class KnownModels:
    """Models with their tiers and prices, best tier first. Prints as a table; iterates over Models."""

    models: tuple[Model, ...]

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    def __len__(self) -> int:
        return len(self.models)

    def __getitem__(self, name: str) -> Model:
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(name)

    def as_dict(self) -> dict[str, Any]:
        """The models as plain types."""
        return {"models": [model.to_dict() for model in self.models]}

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [("model", "provider", "tier", "in", "cached", "out")]
        for model in self.models:
            prices = (model.price_in, model.price_cached or model.price_in, model.price_out)
            cells.append((model.name, model.provider, model.tier, *(usd_text(round(usd * 1e9)) for usd in prices)))
        return table(cells, left=(0, 1, 2))


def known_model(
    name: str,
    *,
    provider: str | None = None,
    prices: Mapping[str, Prices] | PriceTable | None = None,
    at: int | str | date | None = None,
) -> Model:
    """A well-known model, or any other that genai-prices has a price for, with its tier and its prices in dollars a
    million tokens: `fleet.add(known_model("gpt-5-mini"))`.

    provider: who serves it, for a model that several do; None: its maker. prices: one's own, which win, as for
    `load_prices`, or a table of prices. at: the time whose prices are taken, now if not given; a later list is taken
    by asking again. A Model has one price for each kind of token: of prices that rise with the length of the prompt or
    change with the hour, those of short prompts at that time.

    Raises UnknownPriceError where nobody knows its price, with the closest name, or with what to install.

    >>> known = known_model("gpt-5-mini", prices={"gpt-5-mini": Prices.usd(0.2, 1.5, cached=0.02)})
    >>> known.provider, known.tier, known.price_in, known.price_out, known.price_cached
    ('openai', 'standard', 0.2, 1.5, 0.02)
    """
    if not name:
        raise InvalidRecordError("name is '', must be a name such as 'gpt-5-mini'")
    listed = prices if isinstance(prices, PriceTable) else load_prices(prices)
    maker = provider or _OF.get(name)
    moment = time.time_ns() if at is None else as_time(at, "at")
    found = listed.find(name, _PRICED_AS.get(maker, maker) if maker else None)
    if found is None:
        raise UnknownPriceError(_unknown(name, provider, maker, listed, moment))
    if maker is None:  # as genai-prices says: "genai-prices groq/llama-3.1-8b-instant"
        source = found.source.partition(" ")[2]
        maker = source.partition("/")[0] if "/" in source and not found.source.startswith("own ") else ""
        maker = next((ours for ours, theirs in _PRICED_AS.items() if theirs == maker), maker)
    now = found.at(moment)
    return Model(
        name,
        provider=maker,
        tier=tier_of(name),
        price_in=as_usd(now.input),
        price_out=as_usd(now.output),
        price_cached=as_usd(now.cached),
        price_written=as_usd(now.written) if now.written != now.input else 0.0,
    )


def known_models(
    *,
    provider: str | None = None,
    tier: Tier | None = None,
    prices: Mapping[str, Prices] | PriceTable | None = None,
    at: int | str | date | None = None,
) -> KnownModels:
    """The table of well-known models, all or those of one provider or tier. prices, at: as for `known_model`.

    Raises InvalidRecordError for an unknown provider or tier, UnknownPriceError without genai-prices (extra `prices`).
    Models that the installed edition of genai-prices does not know are left out.
    """
    asked: tuple[tuple[str, str | None, tuple[str, ...]], ...] = (
        ("provider", provider, tuple(WELL_KNOWN)),
        ("tier", tier, TIERS),
    )
    for field, value, among in asked:
        if value is not None and value not in among:
            raise InvalidRecordError(
                f"{field} is {value!r}, must be one of {', '.join(among)}{did_you_mean(value, among)}"
            )
    listed = prices if isinstance(prices, PriceTable) else load_prices(prices)
    moment = time.time_ns() if at is None else as_time(at, "at")
    found, missing = [], None
    for level in TIERS:
        for of, tiers in WELL_KNOWN.items():
            if tier in (None, level) and provider in (None, of):
                for name in tiers[level]:
                    try:
                        found.append(known_model(name, provider=of, prices=listed, at=moment))
                    except UnknownPriceError as error:
                        missing = missing or error
    if missing is not None and not found:
        raise missing
    return KnownModels(tuple(found))


def _unknown(name: str, provider: str | None, maker: str | None, listed: PriceTable, moment: int) -> str:
    """What to do about a model whose price is not known."""
    if provider is None and name not in _OF:
        serving = sorted({of for of, model in listed.models() if model == name})
        if serving:
            return f"name is {name!r}, which has a price of each provider: give one of {', '.join(serving)}"
        if close := did_you_mean(name, _OF):
            return f"name is {name!r}, a model that has no known price{close}"
    try:
        listed.of(name, moment, _PRICED_AS.get(maker, maker) if maker else None)
    except UnknownPriceError as error:
        return str(error)
    raise AssertionError("a price was found after all")


__all__ = ["WELL_KNOWN", "KnownModels", "known_model", "known_models", "tier_of"]
