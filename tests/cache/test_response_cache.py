"""The response cache: against a model, odd prompts, memory, threads, counters, what drops entries."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead.errors import InvalidRecordError
from fairlead.providers import ResponseCache

S = 10**9
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2003\u200a\u2028\u2029\u202f\u205f\u3000"
TEXT = st.text(st.one_of(st.characters(codec="utf-8"), st.sampled_from(SPACES + "ab\0")), max_size=40)


def folded(text: str) -> str:
    """What is compared, the plain way. Python's split() takes \\x1c to \\x1f for white space, too; Unicode does not."""
    out, gap = "", False
    for char in text:
        if char in SPACES or "\u2000" <= char <= "\u200a":
            gap = True
        else:
            out += " " * (gap and out != "") + char
            gap = False
    return out


@given(TEXT)
def test_prompts_are_normalised_as_said(text: str) -> None:
    assert ResponseCache.normalised(text).decode() == folded(text)


KEYS = st.tuples(TEXT, st.sampled_from(["", "gpt", "gpt-mini"]), st.sampled_from(["", "calm", "wild"]))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), KEYS, st.one_of(st.text(max_size=300), st.binary(max_size=300)), st.integers(1, 20)),
        st.tuples(st.just("get"), KEYS),
        st.tuples(st.just("erase"), KEYS),
        st.tuples(st.just("wait"), st.integers(0, 15)),
        st.tuples(st.just("model"), st.sampled_from(["gpt", "gpt-mini"])),
        st.tuples(st.just("symbol"), st.sampled_from(["AAPL", "MSFT"])),
        st.tuples(st.just("clear")),
    ),
    max_size=60,
)


@settings(max_examples=200)
@given(STEPS)
def test_as_a_dict_that_forgets(steps: list[Any]) -> None:
    cache = ResponseCache(1 << 20, seed=1)
    model: dict[tuple[str, str, str], tuple[str | bytes, int, str]] = {}
    now = 0
    for what, *rest in steps:
        if what == "put":
            (prompt, name, state), value, ttl = rest
            symbol = "AAPL" if ttl % 2 else "MSFT"
            assert cache.put(prompt, value, name, state, now=now, ttl=ttl * S, symbols=symbol)
            model[folded(prompt), name, state] = (value, now + ttl * S, symbol)
        elif what == "get":
            (prompt, name, state) = rest[0]
            known = model.get((folded(prompt), name, state))
            expected = known[0] if known and now < known[1] else None
            assert cache.holds(prompt, name, state, now) == (expected is not None)
            found = cache.get(prompt, name, state, now)
            assert found == expected
            assert type(found) is type(expected)
        elif what == "erase":
            (prompt, name, state) = rest[0]
            assert cache.erase(prompt, name, state) or (folded(prompt), name, state) not in model or now > 0
            model.pop((folded(prompt), name, state), None)
        elif what == "wait":
            now += rest[0] * S
        elif what == "model":
            cache.invalidate(model=rest[0])
            model = {key: kept for key, kept in model.items() if key[1] != rest[0]}
        elif what == "symbol":
            cache.invalidate(symbol=rest[0])
            model = {key: kept for key, kept in model.items() if kept[2] != rest[0]}
        else:
            cache.clear()
            model = {}
    told = cache.as_dict()
    assert told["bytes_used"] <= told["bytes_reserved"] <= 1 << 20
    assert told["evicted"] == 0


@pytest.mark.parametrize(
    "prompt", ["", "\0", "a\0b", "\0\0", "\U0001f600", "x" * 1_000_000, " \u3000 ", "\u200b", b"\xff\xfe"]
)
@pytest.mark.parametrize("value", ["", "a", "\u00e9", "yes\0no", b"", b"\xff", "v" * 200_000, "\U0001f600" * 50_000])
def test_odd_prompts_and_values_come_back_as_they_were(prompt: str | bytes, value: str | bytes) -> None:
    cache = ResponseCache(16 << 20)
    assert cache.put(prompt, value, "m", now=0)
    found = cache.get(prompt, "m", "", 1)
    assert found == value
    assert type(found) is type(value)
    assert cache.get(prompt + ("!" if isinstance(prompt, str) else b"!"), "m", "", 1) is None  # type: ignore[operator]


def test_a_surrogate_alone_and_other_types_are_refused() -> None:
    cache = ResponseCache()
    for bad, error in (("\ud800", UnicodeEncodeError), (7, TypeError), (None, TypeError)):
        for call in (cache.get, lambda prompt: cache.put(prompt, "v"), lambda value: cache.put("p", value)):
            with pytest.raises(error):
                call(bad)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="17, at most 16"):
        cache.put("p", "v", tags=[str(i) for i in range(17)])
    with pytest.raises(InvalidRecordError, match="ttl"):
        cache.put("p", "v", ttl="soon")
    with pytest.raises(TypeError, match="needs a tag"):
        cache.invalidate()
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(cache)
    assert len(cache) == 0


@pytest.mark.parametrize("limit", [0, -1, 128 * 1024 - 1, 2**60])
def test_a_limit_out_of_range_is_named(limit: int) -> None:
    with pytest.raises(ValueError, match=f"limit_bytes is {limit}"):
        ResponseCache(limit)


def test_a_value_too_big_is_not_kept() -> None:
    cache = ResponseCache(1 << 20)
    assert cache.put("p", "small", now=0)
    assert not cache.put("p", "x" * 400_000, now=0)
    assert cache.get("p", "", "", 0) is None
    assert cache.as_dict()["too_big"] == 1


def test_a_million_inserts_stay_within_the_limit() -> None:
    """Measured from outside: the memory of the process, in which nothing else grows."""
    code = """
import resource
from fairlead.providers import ResponseCache
cache = ResponseCache(32 << 20, seed=1)
prompt = "What is the probability that the price of number %d closes above its mean?"
for i in range(1000): cache.put(prompt % i, "0.5", "gpt", now=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for i in range(1_000_000): cache.put(prompt % i, "0.5", "gpt", now=0)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
told = cache.as_dict()
assert told["inserted"] == 1_001_000 and told["evicted"] > 800_000, told
print((after - before) * 1024 <= 33 << 20, told["bytes_reserved"] <= 32 << 20)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["True", "True"], done.stdout + done.stderr


def test_threads_share_a_cache() -> None:
    cache = ResponseCache(1 << 20)
    wrong: list[Any] = []

    def work(who: int) -> None:
        for i in range(3_000):
            prompt = f"prompt  {i % 500}"
            cache.put(prompt, f"value {i % 500}", now=0)
            found = cache.get(f"prompt {(i * 7 + who) % 500}", "", "", 0)
            if found not in (None, f"value {(i * 7 + who) % 500}"):
                wrong.append(found)
            if i % 100 == 0:
                cache.invalidate(tag="x")
                cache.price("AAPL", 100.0 + who)

    threads = [threading.Thread(target=work, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    told = cache.as_dict()
    assert told["hits"] + told["misses"] == 24_000


def test_the_clock_is_asked_where_no_time_is_given() -> None:
    cache = ResponseCache(ttl="1h")
    cache.put("p", "v")
    assert cache.get("p") == "v"
    assert cache.get("p", "", "", 0) is None  # 1970: the clock was set back


def test_counters() -> None:
    cache = fl.ResponseCache(ttl="10s", seed=3)
    cache.put("a", "1", now=0, symbols=["AAPL"])
    cache.put("a", "2", now=0, symbols=["AAPL"])
    cache.put("b", "3", now=0)
    assert cache.get("a", "", "", 1) == "2"
    assert cache.get("b", "", "", 10 * S) is None
    assert cache.get("c", "", "", 1) is None
    cache.invalidate(symbol="AAPL")
    assert cache.get("a", "", "", 1) is None
    cache.report_false_hit()
    told = cache.as_dict()
    assert {
        key: told[key] for key in ("hits", "misses", "inserted", "replaced", "expired", "invalidated", "false_hits")
    } == {
        "hits": 1,
        "misses": 3,
        "inserted": 3,
        "replaced": 1,
        "expired": 1,
        "invalidated": 1,
        "false_hits": 1,
    }
    assert told["entries"] == 0
    assert told["bytes_used"] == 0
    assert "misses=3" in repr(cache)


@given(st.lists(st.floats(90, 110), min_size=1, max_size=60))
def test_no_answer_outlives_a_move_of_the_price(prices: list[float]) -> None:
    cache = ResponseCache(price_move=0.02, seed=1)
    put_at: float | None = None
    for price in prices:
        cache.price("AAPL", price)
        if cache.get("p", "", "", 0) is not None:
            assert put_at is not None
            assert abs(price - put_at) <= 0.0202 * min(price, put_at)
        else:
            cache.put("p", "v", now=0, symbols="AAPL")
            put_at = price


def test_prices_that_are_none_are_refused() -> None:
    cache = ResponseCache()
    for bad in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidRecordError, match="price is"):
            cache.price("AAPL", bad)
        with pytest.raises(InvalidRecordError, match="price_move is"):
            ResponseCache(price_move=bad)
