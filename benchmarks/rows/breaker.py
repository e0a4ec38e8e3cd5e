"""Circuit breakers: a call that goes well, one that is refused, and the latency that hedging waits for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness import Row, Run, Size, peer, that_runs

import fairlead as fl

NOW = 1_700_000_000 * 10**9


def answer() -> int:
    return 1


def calls(n: int) -> Row:
    """The gate, the beginning and the good end of a call; peers wrap a function that returns at once."""
    breakers = fl.Breakers()
    gpt = breakers.add("gpt", "openai")
    breakers.success(gpt, None, NOW, 500.0)
    begin, success = breakers.begin, breakers.success
    each = range(n)

    def ours() -> None:
        for _ in each:
            call = begin(gpt, NOW)
            answer()
            success(gpt, call, NOW, 500.0)

    peers: dict[str, Run] = {}
    if (pybreaker := peer("pybreaker")) is not None:
        theirs = pybreaker.CircuitBreaker(fail_max=5, reset_timeout=30)

        def with_pybreaker() -> None:
            for _ in each:
                theirs.call(answer)

        peers |= that_runs("pybreaker", with_pybreaker)
    if (circuitbreaker := peer("circuitbreaker")) is not None:
        wrapped = circuitbreaker.circuit(failure_threshold=5, recovery_timeout=30)(answer)

        def with_circuitbreaker() -> None:
            for _ in each:
                wrapped()

        peers |= that_runs("circuitbreaker", with_circuitbreaker)
    bar = "with cost and budget at most 1 \u00b5s; pybreaker .93 \u00b5s, circuitbreaker .40 \u00b5s"
    return Row("A call through model's and provider's breaker", "ns/call", n, ours, peers, "-", bar)


def refusals(n: int) -> Row:
    """An open breaker says no."""
    breaker = fl.Breaker(failures=1, open_for="1d", open_at_most="1d")
    breaker.failure(breaker.begin(NOW), NOW)
    allow = breaker.allow
    each = range(n)

    def ours() -> None:
        for _ in each:
            if allow(NOW):
                raise AssertionError

    peers: dict[str, Run] = {}
    if (pybreaker := peer("pybreaker")) is not None:
        theirs = pybreaker.CircuitBreaker(fail_max=1, reset_timeout=86_400)
        theirs.open()

        def with_pybreaker() -> None:
            for _ in each:
                try:
                    theirs.call(answer)
                except pybreaker.CircuitBreakerError:
                    continue
                raise AssertionError

        peers |= that_runs("pybreaker", with_pybreaker)
    if (circuitbreaker := peer("circuitbreaker")) is not None:

        def fails() -> None:
            raise ValueError

        wrapped = circuitbreaker.circuit(failure_threshold=1, recovery_timeout=86_400)(fails)

        def with_circuitbreaker() -> None:
            for _ in each:
                try:
                    wrapped()
                except (circuitbreaker.CircuitBreakerError, ValueError):
                    continue
                raise AssertionError

        peers |= that_runs("circuitbreaker", with_circuitbreaker)
    return Row("An open breaker refuses", "ns/call", n, ours, peers)


def quantile(n: int) -> Row:
    """The 95th percentile of the newest latencies; the peer sorts a ring of 1,000."""
    import collections
    import random
    import statistics

    rng = random.Random(1)
    breakers = fl.Breakers()
    gpt = breakers.add("gpt", "openai")
    ring: collections.deque[float] = collections.deque(maxlen=1_000)
    for _ in range(5_000):
        ms = rng.lognormvariate(6.0, 0.5)
        breakers.success(gpt, None, NOW, ms)
        ring.append(ms)
    latency_ms = breakers.latency_ms
    each, few = range(n), max(n // 1_000, 1)

    def ours() -> None:
        for _ in each:
            latency_ms(gpt, 0.95)

    def sorted_ring() -> None:
        for _ in range(few):
            ordered = sorted(ring)
            ordered[int(0.95 * len(ordered))]

    exact = statistics.quantiles(ring, n=20)[-1]
    error = f"{abs(latency_ms(gpt, 0.95) / exact - 1):.1%} of a ring's"
    peers: dict[str, Run] = {"sorted ring of 1,000": sorted_ring}
    return Row("95th percentile of latency", "ns/call", n, ours, peers, error, peer_work=dict.fromkeys(peers, few))


def hits(concurrent: int) -> int:
    """How many of so many calls at once reach a model that is dead: ours must be 5."""
    breakers = fl.Breakers()
    gpt = breakers.add("gpt", "openai")
    calls = [call for _ in range(concurrent) if (call := breakers.begin(gpt, NOW)) is not None]
    for call in calls:
        breakers.failure(gpt, call, NOW, "timeout")
    if breakers.allow(gpt, NOW):
        raise AssertionError
    return len(calls)


def dead_primary(rounds: int) -> Row:
    """200 calls at once to a dead model: all begin before the first has failed."""
    each = range(rounds)

    def ours() -> None:
        for _ in each:
            hits(200)

    return Row(
        "200 calls at once to a dead model",
        "ns/call",
        200 * rounds,
        ours,
        {},
        f"{hits(200)} hits",
        "5 hits; LiteLLM's Router 200",
    )


def rows(size: Size) -> Iterator[Any]:
    yield calls(size.scaled(200_000))
    yield refusals(size.scaled(200_000))
    yield quantile(size.scaled(200_000))
    yield dead_primary(size.scaled(1_000))
