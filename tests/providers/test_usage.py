"""Tokens as providers report them, and what they cost."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import InvalidRecordError, Model
from fairlead.providers import Usage, cost_of
from fairlead.providers.usage import NOTHING, anthropic_usage, openai_usage


def test_reasoning_beside_the_completion_is_seen_by_the_total() -> None:
    """As xAI reports it: what was thought is billed, but not counted in completion_tokens."""
    details = {"completion_tokens_details": {"reasoning_tokens": 300}}
    beside = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 315, **details}
    within = {"prompt_tokens": 10, "completion_tokens": 305, "total_tokens": 315, **details}
    assert openai_usage(beside) == openai_usage(within) == Usage(10, 305, reasoning_tokens=300)


def test_anthropic_counts_the_cache_beside_the_input() -> None:
    reported = SimpleNamespace(
        input_tokens=7, output_tokens=3, cache_read_input_tokens=100, cache_creation_input_tokens=20
    )
    assert anthropic_usage(reported) == Usage(127, 3, cached_tokens=100, cache_write_tokens=20)


def test_a_later_event_changes_only_what_it_says() -> None:
    first = anthropic_usage({"input_tokens": 7, "cache_read_input_tokens": 100, "output_tokens": 1})
    assert anthropic_usage({"output_tokens": 42}, first) == Usage(107, 42, cached_tokens=100)
    assert anthropic_usage(None, first) == first


@pytest.mark.parametrize("read", [openai_usage, anthropic_usage])
@pytest.mark.parametrize("bad", [None, "12", -5, 1.5, True, 2**60, [], {}])
def test_what_is_no_count_is_not_counted(read: Any, bad: Any) -> None:
    names = ("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens")
    details = ("prompt_tokens_details", "completion_tokens_details", "output_tokens_details", "cache_read_input_tokens")
    assert read(dict.fromkeys(names + details, bad)) == NOTHING
    assert read(None) == NOTHING


def test_parts_never_exceed_their_whole() -> None:
    reported = {"prompt_tokens": 10, "completion_tokens": 5}
    reported |= {"prompt_tokens_details": {"cached_tokens": 99}, "completion_tokens_details": {"reasoning_tokens": 99}}
    assert openai_usage(reported) == Usage(10, 5, cached_tokens=10, reasoning_tokens=5)
    reported["prompt_tokens_details"] = {"cached_tokens": 7, "cache_write_tokens": 7}  # type: ignore[assignment]
    assert openai_usage(reported) == Usage(10, 5, cached_tokens=7, cache_write_tokens=3, reasoning_tokens=5)


def test_cached_tokens_cost_as_others_where_no_price_is_given() -> None:
    usage = Usage(1_000_000, 0, cached_tokens=1_000_000)
    assert cost_of(Model("m", price_in=3.0), usage) == 3.0
    assert cost_of(Model("m", price_in=3.0, price_cached=0.3), usage) == 0.3


counts = st.integers(0, 10**9)


@given(counts, counts, counts, st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1e3))
def test_cost_is_what_the_prices_say(plain: int, cached: int, out: int, a: float, b: float, c: float) -> None:
    model = Model("m", price_in=a, price_out=b, price_cached=c)
    nanos = plain * Fraction(a) + cached * Fraction(c or a) + out * Fraction(b)
    cost = cost_of(model, Usage(plain + cached, out, cached_tokens=cached))
    # Prices are taken to the nano-dollar a million tokens; then it is exact, and rounded up once.
    assert abs(Fraction(cost) - nanos / 10**6) <= Fraction(1, 10**9) * (1 + (plain + cached + out) / 10**6)


@given(st.tuples(*[counts] * 4), st.tuples(*[st.integers(0, 10**10)] * 4))
def test_cost_is_exact_to_the_nano_dollar(tokens: tuple[int, ...], prices: tuple[int, ...]) -> None:
    """Prices of up to 1e4 dollars a million tokens, with 6 digits behind the point."""
    plain, cached, kept, out = tokens
    a, b, c, d = (Decimal(price).scaleb(-6) for price in prices)
    model = Model("m", price_in=float(a), price_out=float(b), price_cached=float(c), price_written=float(d))
    usage = Usage(plain + cached + kept, out, cached_tokens=cached, cache_write_tokens=kept)
    exact = (plain * a + cached * (c or a) + kept * (d or a) + out * b) * 1000
    assert Decimal(cost_of(model, usage)) == Decimal(int(exact.to_integral_value(ROUND_CEILING)) / 10**9)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(InvalidRecordError, match="tokens"):
        cost_of(Model("m", price_in=1), Usage(10, 0, cached_tokens=11))
