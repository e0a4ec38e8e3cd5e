"""What a call used, as its provider reports it, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from fairlead.measure.money import as_usd
from fairlead.providers.prices import Prices
from fairlead.types import Model


class Usage(NamedTuple):
    """Tokens of one call, in one convention for all providers: parts are counted in their whole.

    input_tokens: all that was read, `cached_tokens` (from a cache) and `cache_write_tokens` (into one) among them.
    output_tokens: all that was written and is billed, `reasoning_tokens` among them. 0 = none, or not reported.

    >>> Usage(1200, 80, cached_tokens=1000).cached_tokens
    1000
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


NOTHING = Usage()
_MOST = 2**36
"""Tokens that a call may have; three such counts together are fewer than the core takes."""


def cost_of(model: Model, usage: Usage) -> float:
    """USD, to the nano-dollar, rounded up once, by the prices of the model per million tokens. Tokens read from a cache
    are charged at `price_cached`, tokens written to one at `price_written`; where that is 0, which is to say not given,
    as all other input.

    Raises InvalidRecordError for numbers of tokens that cannot be.

    >>> model = Model("gpt-4o", price_in=2.5, price_out=10, price_cached=1.25)
    >>> cost_of(model, Usage(1_000_000, 100_000, cached_tokens=400_000))
    3.0
    """
    if not (model.price_in or model.price_out or model.price_cached or model.price_written):
        return 0.0
    prices = _prices(model.price_in, model.price_out, model.price_cached, model.price_written)
    return as_usd(prices.cost_of(usage))


def bound_of(model: Model, usage: Usage) -> int:
    """The most that a call can cost whose prompt has `usage.input_tokens` and whose answer at most
    `usage.output_tokens`, in nano-dollars: nothing of it cached, or all of it, whichever is dearer.

    >>> bound_of(Model("gpt-4o", price_in=2.5, price_out=10, price_cached=1.25), Usage(1000, 100))
    3500000
    """
    prices = _prices(model.price_in, model.price_out, model.price_cached, model.price_written)
    return prices.bound(usage.input_tokens, usage.output_tokens)


@lru_cache(maxsize=1024)
def _prices(price_in: float, price_out: float, cached: float, written: float) -> Prices:
    return Prices.usd(price_in, price_out, cached=cached or None, written=written or None)


def openai_usage(reported: Any) -> Usage:
    """From the `usage` of a chat completion: an object of the SDK or a mapping. None: nothing was reported.

    Most servers count reasoning in `completion_tokens`; those that do not (xAI) show it by their total.

    >>> openai_usage({"prompt_tokens": 90, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 64}})
    Usage(input_tokens=90, output_tokens=7, cached_tokens=64, cache_write_tokens=0, reasoning_tokens=0)
    """
    if reported is None:
        return NOTHING
    read, written = _count(reported, "prompt_tokens"), _count(reported, "completion_tokens")
    about_read, about_written = _part(reported, "prompt_tokens_details"), _part(reported, "completion_tokens_details")
    cached, kept, reasoning = 0, 0, 0
    if about_read is not None:
        cached, kept = _count(about_read, "cached_tokens"), _count(about_read, "cache_write_tokens")
    if about_written is not None:
        reasoning = _count(about_written, "reasoning_tokens")
        if reasoning and _count(reported, "total_tokens") >= read + written + reasoning:
            written += reasoning
    cached = min(cached, read)
    return Usage(read, written, cached, min(kept, read - cached), min(reasoning, written))


def anthropic_usage(reported: Any, before: Usage = NOTHING) -> Usage:
    """From the `usage` of a message, which counts cached tokens beside the input and not in it.

    before: what an earlier event of the same stream said; a later one says again what it changes.

    >>> anthropic_usage({"input_tokens": 10, "cache_read_input_tokens": 90, "output_tokens": 7})
    Usage(input_tokens=100, output_tokens=7, cached_tokens=90, cache_write_tokens=0, reasoning_tokens=0)
    """
    if reported is None:
        return before
    plain = _count(reported, "input_tokens", before.input_tokens - before.cached_tokens - before.cache_write_tokens)
    cached = _count(reported, "cache_read_input_tokens", before.cached_tokens)
    kept = _count(reported, "cache_creation_input_tokens", before.cache_write_tokens)
    written = _count(reported, "output_tokens", before.output_tokens)
    about = _part(reported, "output_tokens_details")
    reasoning = before.reasoning_tokens if about is None else _count(about, "thinking_tokens")
    return Usage(plain + cached + kept, written, cached, kept, min(reasoning, written))


def _part(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _count(thing: Any, name: str, absent: int = 0) -> int:
    """A count of tokens; what is no such number (the SDKs check nothing) is taken as not reported."""
    value = thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)
    if type(value) is int and 0 <= value <= _MOST:
        return value
    return absent
