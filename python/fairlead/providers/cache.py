"""Answers that were paid for already: exact reuse in the core, and reuse of prompts that ask the same, if asked for."""

from __future__ import annotations

import math
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from fairlead._core import ResponseCache as _ResponseCache
from fairlead.errors import InvalidRecordError
from fairlead.providers.same_question import signature
from fairlead.times import as_span

__all__ = ["CacheHit", "ResponseCache", "Similar"]

Text: TypeAlias = "str | bytes"
Span: TypeAlias = "int | str | timedelta"


@dataclass(frozen=True, slots=True)
class CacheHit:
    """What was found: the value, the prompt that it was put under, how similar that is (1 where it is the same), exact
    or not."""

    value: Text
    prompt: Text
    similarity: float
    exact: bool
    model: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similar:
    """How a prompt may be answered by what another one brought.

    Two locks, both of which must open. The guard: both prompts have the same signature (`same_question.signature`), so
    that they differ in nothing but spelling, courtesies and a short list of synonyms: never in a negation, a number, a
    ticker, a date, a comparative, a side, a unit, a name, the order of words, or any word that is not known to mean the
    same. The threshold: character trigrams have at least this Jaccard similarity, or the vectors of `embed`, a callable
    from prompt to numbers, this cosine.

    most: prompts that are remembered, the newest; longest: characters of a prompt beyond which it is not looked at.
    synonyms: words of your own that mean another, e.g. {"Fed": "FOMC"}.
    Raises InvalidRecordError for a threshold outside [0, 1], or a most or longest below 1.
    """

    threshold: float = 0.2
    embed: Callable[[str], Sequence[float]] | None = None
    most: int = 10_000
    longest: int = 4_000
    synonyms: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold <= 1.0:
            raise InvalidRecordError(f"threshold is {self.threshold!r}, outside [0, 1]")
        for name in ("most", "longest"):
            if getattr(self, name) < 1:
                raise InvalidRecordError(f"{name} is {getattr(self, name)!r}, must be at least 1")


class ResponseCache(_ResponseCache):
    """A cache of answers, in a fixed piece of memory: what a prompt brought from the same model in that state.

    The key is the model, the state (whatever the answer hangs on besides, e.g. the market's as you sum it up) and the
    prompt, of which runs of Unicode white space are one space, and none at the ends; case counts. It is compared byte
    by byte. An entry lives for `ttl`; who is evicted from `limit_bytes` is decided by S3-FIFO, which prompts that come
    but once cannot flush. Not kept over a restart.

    Entries go at once by `invalidate(tag=...)`, `invalidate(symbol=...)` (its price has moved, news about it came) and
    `invalidate(model=...)` (a new version came); `price` does it for symbols whose price has moved by `price_move`, a
    share of it, since the entry was put. `similar`: reuse for prompts that ask the same in other words, by `lookup`;
    off unless given. seed: of the hash, drawn if not given.

    `now` is an argument everywhere, integer nanoseconds, and the clock's if not given. Raises ValueError for a limit
    below 128 KiB, InvalidRecordError for a span that is none.

    >>> cache = ResponseCache(ttl="10min")
    >>> cache.put("Will AAPL rise?", '{"p": 0.6}', "gpt-4o", "calm", symbols=["AAPL"], now=0)
    True
    >>> cache.get("Will  AAPL rise? ", "gpt-4o", "calm", 1), cache.get("Will AAPL rise?", "gpt-4o", "wild", 1)
    ('{"p": 0.6}', None)
    >>> cache.invalidate(symbol="AAPL")
    >>> cache.get("Will AAPL rise?", "gpt-4o", "calm", 1)
    """

    def __init__(
        self,
        limit_bytes: int = 64 << 20,
        *,
        ttl: Span = "5min",
        similar: Similar | None = None,
        price_move: float = 0.005,
        seed: int | None = None,
    ) -> None:
        if not (math.isfinite(price_move) and price_move > 0.0):
            raise InvalidRecordError(f"price_move is {price_move!r}, must be positive: 0.005 is half a percent")
        super().__init__(limit_bytes, as_span(ttl, "ttl"), secrets.randbits(64) if seed is None else seed)
        self._similar = similar
        self._price_move = price_move
        self._prices: OrderedDict[str, float] = OrderedDict()
        self._asked: OrderedDict[tuple[str, str, tuple[str, ...]], str] = OrderedDict()
        self._similar_hits = 0
        self._lock = threading.Lock()

    def put(
        self,
        prompt: Text,
        value: Text,
        model: str = "",
        state: str = "",
        *,
        now: int | None = None,
        ttl: Span | None = None,
        tags: str | Iterable[str] = (),
        symbols: str | Iterable[str] = (),
    ) -> bool:
        """Keeps a value instead of what is there. False where it takes more than a quarter of the memory: not kept.

        ttl: the cache's if not given. tags, symbols: what `invalidate` and `price` find it by, at most 16 together.
        Raises ValueError for more, InvalidRecordError for a ttl that is none, TypeError for what is no str or bytes.
        """
        kept = super().put(prompt, value, model, state, now=now, ttl=ttl, tags=tags, symbols=symbols)
        similar = self._similar
        if kept and similar is not None and isinstance(prompt, str) and len(prompt) <= similar.longest:
            key = (model, state, signature(prompt, similar.synonyms))
            with self._lock:
                if len(key[2]) < 2:  # nothing but articles and marks
                    return kept
                self._asked[key] = prompt
                self._asked.move_to_end(key)
                while len(self._asked) > similar.most:
                    self._asked.popitem(last=False)
        return kept

    def lookup(self, prompt: Text, model: str = "", state: str = "", now: int | None = None) -> CacheHit | None:
        """As `get`, and where that finds nothing, what a prompt brought that asks the same, if `similar` was given.

        >>> cache = ResponseCache(similar=Similar())
        >>> cache.put("What is the probability that the Fed cuts by 25 basis points?", "0.4")
        True
        >>> cache.lookup("Please tell me the likelihood that the Fed cuts by 25bps").value
        '0.4'
        >>> cache.lookup("What is the probability that the Fed doesn't cut by 25 basis points?")
        """
        value = self.get(prompt, model, state, now)
        if value is not None:
            return CacheHit(value, prompt, 1.0, True, model, state)
        similar = self._similar
        if similar is None or not isinstance(prompt, str) or len(prompt) > similar.longest:
            return None
        key = (model, state, signature(prompt, similar.synonyms))
        with self._lock:
            known = self._asked.get(key)
        if known is None:
            return None
        likeness = _likeness(prompt, known, similar.embed)
        if not likeness >= similar.threshold:  # nan is no likeness
            return None
        value = self.get(known, model, state, now)
        with self._lock:
            if value is None:  # too old, invalidated or evicted
                self._asked.pop(key, None)
                return None
            self._similar_hits += 1
        return CacheHit(value, known, likeness, False, model, state)

    def price(self, symbol: str, price: float) -> bool:
        """The price of a symbol now. Where entries may have been put at one that differs by more than `price_move`,
        they are dropped, and True is returned. Raises InvalidRecordError for a price that is not positive.

        The band is half of `price_move` to either side, so that no two prices in it are further apart. A symbol's first
        price drops its entries, as nobody knows theirs. The newest 100,000 symbols are remembered.

        >>> cache = ResponseCache(price_move=0.01)
        >>> [cache.price("AAPL", p) for p in (200.0, 200.9, 199.1, 201.1)]
        [True, False, False, True]
        """
        if not (math.isfinite(price) and price > 0.0):
            raise InvalidRecordError(f"price is {price!r}, must be positive and finite")
        with self._lock:
            reference = self._prices.get(symbol)
            if reference is not None and abs(price - reference) * 2.0 <= self._price_move * min(price, reference):
                self._prices.move_to_end(symbol)
                return False
            self._prices[symbol] = price
            self._prices.move_to_end(symbol)
            while len(self._prices) > 100_000:
                self._prices.popitem(last=False)
        self.invalidate(symbol=symbol)
        return True

    def clear(self) -> None:
        """Drops everything. Counters stay."""
        with self._lock:
            self._asked.clear()
        super().clear()

    def report_false_hit(self, hit: CacheHit | None = None) -> None:
        """Counts a hit that should have been none. Where it is given its value is dropped, and so not given again."""
        super().report_false_hit()
        if hit is None:
            return
        self.erase(hit.prompt, hit.model, hit.state)
        if self._similar is not None and isinstance(hit.prompt, str):
            with self._lock:
                self._asked.pop((hit.model, hit.state, signature(hit.prompt, self._similar.synonyms)), None)

    def as_dict(self) -> dict[str, int]:
        """Counters: those of the core (see there), and similar_hits. A similar hit is a miss of its own prompt and a
        hit of the other one, too."""
        return {**super().as_dict(), "similar_hits": self._similar_hits}

    def __repr__(self) -> str:
        told = self.as_dict()
        return (
            f"ResponseCache(entries={told['entries']}, hits={told['hits']}, misses={told['misses']}, "
            f"bytes_used={told['bytes_used']}, bytes_reserved={told['bytes_reserved']})"
        )

    def __reduce__(self) -> Any:
        raise TypeError("a ResponseCache is not pickled: it is only a cache")


def _likeness(one: str, other: str, embed: Callable[[str], Sequence[float]] | None) -> float:
    if embed is None:
        a, b = _trigrams(one), _trigrams(other)
        return len(a & b) / len(a | b) if a or b else 1.0
    u, v = [float(x) for x in embed(one)], [float(x) for x in embed(other)]
    if len(u) != len(v):
        raise ValueError(f"embed gave {len(u)} numbers and {len(v)}")
    norm = math.sqrt(sum(x * x for x in u) * sum(x * x for x in v))
    return sum(x * y for x, y in zip(u, v, strict=True)) / norm if norm > 0.0 else math.nan


def _trigrams(text: str) -> set[str]:
    words = f"  {' '.join(text.casefold().split())}  "
    return {words[i : i + 3] for i in range(len(words) - 2)}
