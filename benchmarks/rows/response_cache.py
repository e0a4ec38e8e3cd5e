"""Answers that were paid for already: exact hits of short and long prompts, puts, and similar prompts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from harness import Row, Run, Size, peer, that_runs

from fairlead.providers import ResponseCache, Similar

NOW = 1_700_000_000 * 10**9
TEXT = "Will the Federal Reserve cut rates at its next meeting? Answer with a probability. "
VALUE = '{"p": 0.42, "confidence": 0.7}'


def prompt_of(size: int) -> str:
    return (TEXT * (size // len(TEXT) + 1))[: size - 1] + "?"


def gptcache(prompts: list[str]) -> Any:
    """A function of GPTCache's that looks one up, its exact store: a map from prompt to answer."""
    import tempfile

    from gptcache import Cache
    from gptcache.adapter.api import get, put
    from gptcache.manager import get_data_manager
    from gptcache.processor.pre import get_prompt

    cache = Cache()
    folder = tempfile.mkdtemp()
    cache.init(pre_embedding_func=get_prompt, data_manager=get_data_manager(data_path=f"{folder}/map.txt"))
    for prompt in prompts:
        put(prompt, VALUE, cache_obj=cache)
    return lambda prompt: get(prompt, cache_obj=cache)


def litellm(prompts: list[str]) -> Any:
    """As LiteLLM looks one up: key from model and messages, then its in-memory cache."""
    from litellm.caching.caching import Cache

    cache = Cache(type="local")
    for prompt in prompts:
        cache.add_cache(VALUE, model="gpt-4o", messages=[{"role": "user", "content": prompt}])
    return lambda prompt: cache.get_cache(model="gpt-4o", messages=[{"role": "user", "content": prompt}])


def hit(n: int, size: int) -> Row:
    cache = ResponseCache(seed=1)
    prompt = prompt_of(size)
    cache.put(prompt, VALUE, "gpt-4o", "calm", now=NOW)
    get = cache.get
    each, few = range(n), max(n // 100, 1)

    def ours() -> None:
        for _ in each:
            get(prompt, "gpt-4o", "calm", NOW)

    kept = {("gpt-4o", "calm", " ".join(prompt.split())): VALUE}

    def plain() -> None:
        for _ in each:
            kept[("gpt-4o", "calm", " ".join(prompt.split()))]

    def looped(look: Any) -> Run:
        if look(prompt) is None:
            raise AssertionError

        def run() -> None:
            for _ in range(few):
                look(prompt)

        return run

    peers: dict[str, Run] = {"a dict, white space folded": plain}
    slow: dict[str, int] = {}
    for name, make in (("gptcache", gptcache), ("litellm", litellm)):
        if peer(name) is None:
            continue
        try:
            peers |= that_runs(name, looped(make([prompt])))
        except Exception as error:  # a peer may fail in any way
            from harness import MISSING

            MISSING[name] = f"{type(error).__name__}: {error}"
            continue
        slow[name] = few
    if get(prompt, "gpt-4o", "calm", NOW) != VALUE:
        raise AssertionError
    bar = "200 ns in C++; GPTCache 15 \u00b5s, LiteLLM 399 \u00b5s" if size == 200 else ""
    return Row(f"Exact hit, prompt of {size} B", "ns/hit", n, ours, peers, "0 false hits", bar, slow)


def puts(n: int) -> Row:
    prompts = [f"{i} {prompt_of(200)}" for i in range(n)]
    cache = ResponseCache(seed=1)

    def ours() -> None:
        for prompt in prompts:
            cache.put(prompt, VALUE, "gpt-4o", "calm", now=NOW)

    def plain() -> None:
        kept = {}
        for prompt in prompts:
            kept[("gpt-4o", "calm", " ".join(prompt.split()))] = VALUE

    told = cache.as_dict()
    return Row(
        "Put, prompt of 200 B",
        "ns/put",
        n,
        ours,
        {"a dict, unbounded": plain},
        f"at most {told['bytes_reserved'] / 2**20:.1f} MB",
        "bounded memory",
    )


def similar(n: int) -> Row:
    """A prompt that asks the same in other words: the guard's work. Embedding caches pay a model's pass for this."""
    cache = ResponseCache(similar=Similar(), seed=1)
    cache.put("What is the probability that the Fed cuts by 25 basis points?", VALUE, now=NOW)
    asked = "Please tell me how likely it is that the Fed cuts by 25bps"
    each = range(n)

    def ours() -> None:
        for _ in each:
            cache.lookup(asked, "", "", NOW)

    found = cache.lookup(asked, "", "", NOW)
    if found is None or cache.lookup(asked.replace("cuts", "does not cut"), "", "", NOW) is not None:
        raise AssertionError
    return Row("Similar prompt, guarded", "ns/hit", n, ours, {}, "0 false hits on 205 reversals", "0 on a reversal set")


def rows(size: Size) -> Iterator[Row]:
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it asks the network for prices
    yield hit(size.scaled(200_000), 200)
    yield hit(size.scaled(50_000), 2_000)
    yield puts(size.scaled(20_000))
    yield similar(size.scaled(2_000))
