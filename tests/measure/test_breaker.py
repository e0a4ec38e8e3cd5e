"""Breakers: against a naive model, what they refuse, snapshots, threads."""

from __future__ import annotations

import pickle
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import fairlead as fl

S = 10**9
START = 1_700_000_000 * S


@dataclass
class Call:
    phase: int
    ticket: int | None


@dataclass
class Naive:
    """The rules of breaker.hpp in words and lists. Calls are never forgotten here."""

    failures: int
    error_rate: float
    slow_after: int
    slow_rate: float
    window: int
    window_calls: int
    least_calls: int
    open_for: int
    backoff: float
    open_at_most: int
    retry_after_at_most: int
    successes: int
    state: str = "closed"
    cause: str = "never"
    phase: int = 0
    streak: int = 0
    proven: int = 0
    proven_at: int = 0
    flying: int = 0
    results: list[tuple[int, bool, bool]] = field(default_factory=list)
    opened: int = 0
    opened_at: int = 0
    closed_at: int = 0
    until: int = 0
    interval: int = 0
    probe_at: int | None = None
    good_probes: int = 0

    def gate(self, now: int) -> str:
        if self.state == "closed":
            known = self.proven if abs(now - self.proven_at) < self.window and self.streak == 0 else 0
            return "yes" if self.flying + self.streak < self.failures * (1 + known) else "wait"
        if self.state == "open":
            start, end = self.opened_at, self.until
        elif self.probe_at is None:
            return "yes"
        else:
            start, end = self.probe_at, self.probe_at + self.interval
        return "yes" if now >= end or start - now >= end - start else "no"

    def begin(self, now: int) -> None:
        if self.state == "closed":
            self.flying += 1
            return
        if self.state == "open":
            self.state, self.good_probes = "half_open", 0
        self.probe_at = now

    def fresh(self, call: Call | None, now: int, latency: int | None) -> bool:
        if call is not None:
            return call.phase == self.phase
        began = now - (latency or 0)
        return began >= (self.closed_at if self.state == "closed" else self.until) or self.opened == 0

    def end(self, call: Call | None, now: int, failed: bool, kind: str, wait: int | None, latency: int | None) -> None:
        wait = wait if kind in ("rate_limited", "server") and wait and wait > 0 else None
        slow = not failed and self.slow_after > 0 and latency is not None and latency >= self.slow_after
        if not self.fresh(call, now, latency):
            if failed and self.state == "open" and wait:
                self.until = max(self.until, now + min(wait, self.retry_after_at_most))
            return
        neutral = failed and kind == "cancelled"
        if self.state != "closed":
            if neutral:
                return
            if self.state == "open":
                self.state, self.good_probes = "half_open", 0
            self.probe_at = None
            if failed or slow:
                self.open(now, "retry_after" if wait else "probe", wait)
                return
            self.proven_at = now
            self.good_probes += 1
            if self.good_probes >= self.successes:
                self.close(now)
            return
        self.flying -= call is not None
        if neutral:
            return
        if failed:
            self.streak += 1
        else:
            self.proven = (self.proven if abs(now - self.proven_at) < self.window else 0) + 1
            self.proven_at, self.streak = now, 0
        newest = self.results[-1][0] if self.results else now
        if newest - now > self.window:
            self.results = []
        at = max(now, newest) if self.results else now
        self.results = [r for r in self.results if at - r[0] < self.window][
            -(self.window_calls - 1) or len(self.results) :
        ]
        if self.window_calls == 1:
            self.results = []
        self.results.append((at, failed, slow))
        if wait:
            self.open(now, "retry_after", wait)
        elif failed and self.streak >= self.failures:
            self.open(now, "failures", None)
        elif (n := len(self.results)) >= self.least_calls:
            bad, late = sum(r[1] for r in self.results), sum(r[2] for r in self.results)
            if bad and bad >= self.error_rate * n:
                self.open(now, "error_rate", None)
            elif late and late >= self.slow_rate * n:
                self.open(now, "slow_calls", None)

    def open(self, now: int, cause: str, wait: int | None) -> None:
        again = self.state != "closed" or (self.opened > 0 and now - self.closed_at < self.window)
        self.interval = min(int(self.interval * self.backoff), self.open_at_most) if again else self.open_for
        self.state, self.cause, self.opened_at = "open", cause, now
        self.until = now + (min(wait, self.retry_after_at_most) if wait else self.interval)
        self.opened += 1
        self.proven = 0
        self.turn()

    def close(self, now: int) -> None:
        self.state, self.closed_at, self.proven, self.proven_at = "closed", now, 1, now
        self.turn()

    def turn(self) -> None:
        self.phase += 1
        self.streak = self.flying = self.good_probes = 0
        self.results, self.probe_at = [], None


KINDS = ["server", "timeout", "network", "rate_limited", "unparsable", "truncated", "refused", "cancelled"]


class Machine(RuleBasedStateMachine):
    @initialize(data=st.data())
    def make(self, data: Any) -> None:
        draw = data.draw
        calls = draw(st.integers(1, 12), label="window_calls")
        first = draw(st.integers(1, 20), label="open_for")
        options = {
            "failures": draw(st.integers(1, 6), label="failures"),
            "error_rate": draw(st.sampled_from([0.25, 0.5, 0.75, 1.0]), label="error_rate"),
            "slow_after": draw(st.sampled_from([0, 2 * S]), label="slow_after"),
            "slow_rate": draw(st.sampled_from([0.5, 1.0]), label="slow_rate"),
            "window": draw(st.integers(2, 60), label="window") * S,
            "window_calls": calls,
            "least_calls": draw(st.integers(1, calls), label="least_calls"),
            "open_for": first * S,
            "backoff": draw(st.sampled_from([1.0, 2.0, 3.0]), label="backoff"),
            "open_at_most": draw(st.integers(first, 100), label="open_at_most") * S,
            "retry_after_at_most": 50 * S,
            "successes": draw(st.integers(1, 3), label="successes"),
        }
        self.naive = Naive(**options)
        given = {**options, "slow_after": options["slow_after"] or None}
        self.breaker = fl.Breaker(**given, call_timeout="300d")
        self.now = START
        self.calls: list[Call] = []

    @rule(seconds=st.sampled_from([0, 1, 1, 5, 20, 100, -1, -5, -100, -5000]))
    def wait(self, seconds: int) -> None:
        self.now += seconds * S

    @rule()
    def begin(self) -> None:
        gate = self.naive.gate(self.now)
        ticket = self.breaker.begin(self.now)
        assert (ticket is not None) == (gate == "yes")
        if gate == "yes":
            self.naive.begin(self.now)
            self.calls.append(Call(self.naive.phase, ticket))

    def taken(self, data: Any) -> Call | None:
        # The newest more often; sometimes nobody's.
        i = data.draw(st.integers(-1, len(self.calls) - 1), label="call")
        return None if i < 0 else self.calls.pop(i)

    @rule(data=st.data(), latency=st.sampled_from([None, 0, 500, 3_000, 40_000]))
    def success(self, data: Any, latency: int | None) -> None:
        call = self.taken(data)
        self.naive.end(call, self.now, False, "", None, None if latency is None else latency * S // 1000)
        self.breaker.success(call and call.ticket, self.now, latency)

    @rule(
        data=st.data(),
        kind=st.sampled_from(KINDS),
        wait=st.sampled_from([None, None, 0, 3, 30, 1000]),
        latency=st.sampled_from([None, 500]),
    )
    def failure(self, data: Any, kind: str, wait: int | None, latency: int | None) -> None:
        call = self.taken(data)
        ns = None if latency is None else latency * S // 1000
        self.naive.end(call, self.now, True, kind, None if wait is None else wait * S, ns)
        self.breaker.failure(call and call.ticket, self.now, kind, wait, latency)

    @precondition(lambda self: hasattr(self, "breaker"))
    @rule()
    def restart(self) -> None:
        data = self.breaker.snapshot()
        self.breaker = pickle.loads(pickle.dumps(self.breaker))
        assert self.breaker.snapshot() == data

    @invariant()
    def agree(self) -> None:
        if not hasattr(self, "breaker"):
            return
        naive, breaker = self.naive, self.breaker
        told = (breaker.state, breaker.cause, breaker.opened, breaker.streak, breaker.gate(self.now))
        assert told == (naive.state, naive.cause, naive.opened, naive.streak, naive.gate(self.now))
        if naive.state == "closed":
            assert breaker.in_flight(self.now) == naive.flying
            assert breaker.until is None
        elif naive.state == "open":
            assert breaker.until == naive.until


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_a_dead_sole_primary_gets_five_hits_from_200_threads() -> None:
    """Every thread asks until it is refused or told to fail; the model hangs, then fails."""
    breakers = fl.Breakers()
    gpt = breakers.add("gpt", "openai")
    hits, refused = [], []
    started, dead = threading.Barrier(200), threading.Event()

    def caller() -> None:
        started.wait()
        for attempt in range(3):
            call = breakers.begin(gpt, START + attempt)
            if call is None:
                refused.append(attempt)
                continue
            hits.append(call)
            dead.wait(10)
            breakers.failure(gpt, call, START + S, "timeout")

    threads = [threading.Thread(target=caller) for _ in range(200)]
    for thread in threads:
        thread.start()
    for _ in range(10_000):
        if len(refused) >= 3 * 195 or len(hits) > 5:
            break
        time.sleep(0.001)
    dead.set()
    for thread in threads:
        thread.join()
    assert (len(hits), len(refused)) == (5, 3 * 195 + 10)
    assert breakers.gate(gpt, START + S) == "no"
    assert breakers.breaker(gpt)["opened"] == 1


def test_threads_that_share_breakers_lose_nothing() -> None:
    breakers = fl.Breakers(failures=1000)
    breakers.add("a", "p")
    breakers.success("a", breakers.begin("a", START), START, 1.0)

    def work() -> None:
        for _ in range(2_000):
            breakers.success("a", breakers.begin("a", START), START, 5.0)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = breakers.breaker("a")
    assert (told["successes"], told["failures"], told["state"]) == (16_001, 0, "closed")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"failures": 0}, "failures is 0"),
        ({"failures": -1}, "failures is -1"),
        ({"error_rate": 1.5}, r"error_rate is 1.5, must be in \(0, 1\]"),
        ({"error_rate": float("nan")}, "error_rate is nan"),
        ({"window": "0s"}, "window"),
        ({"window_calls": 129}, "window_calls is 129"),
        ({"least_calls": 101}, "least_calls is 101"),
        ({"open_for": "20min"}, "open_at_most is 600"),
        ({"backoff": 0.9}, "backoff is 0.9"),
        ({"successes": 0}, "successes is 0"),
        ({"call_timeout": -5}, "call_timeout"),
    ],
)
def test_options_out_of_range_are_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.Breaker(**options)
    with pytest.raises(ValueError, match=words):
        fl.Breakers(providers=options)
    breakers = fl.Breakers()
    with pytest.raises(ValueError, match=words):
        breakers.add("a", "p", **options)
    assert len(breakers) == 0


def test_what_is_none_is_refused_and_changes_nothing() -> None:
    breaker, breakers = fl.Breaker(), fl.Breakers()
    breakers.add("a", "p")
    before = breaker.snapshot(), breakers.snapshot()
    for call in (
        lambda: breaker.failure(None, START, "error"),  # type: ignore[arg-type]
        lambda: breaker.success(-1, START),
        lambda: breaker.success(2**40, START),
        lambda: breaker.success(None, START, -1.0),
        lambda: breakers.failure("a", None, START, "bad"),  # type: ignore[arg-type]
        lambda: breakers.latency_ms("a", 1.5),
        lambda: breakers.add("a", "q"),
    ):
        with pytest.raises(ValueError, match=r"kind|call|latency_ms|q is|provider"):
            call()
    for call in (lambda: breakers.begin("b", START), lambda: breakers.allow(7, START), lambda: breakers.provider("x")):
        with pytest.raises(KeyError):
            call()
    with pytest.raises(TypeError, match="no option 'fails'"):
        fl.Breaker(fails=3)  # type: ignore[call-arg]
    for args in ((), (None,), (None, START, "server", None, None, None)):
        with pytest.raises(TypeError):
            breaker.failure(*args)  # type: ignore[call-overload, arg-type]
    assert (breaker.snapshot(), breakers.snapshot()) == before


def test_a_damaged_snapshot_is_refused() -> None:
    breakers = fl.Breakers()
    breakers.add("a", "p")
    breakers.failure("a", breakers.begin("a", START), START)
    data = breakers.snapshot()
    for bad in (b"", data[:-1], data + b"x", data[:40] + bytes([data[40] ^ 1]) + data[41:], fl.Breaker().snapshot()):
        with pytest.raises(ValueError, match="data"):
            fl.Breakers.restore(bad)
    assert fl.Breakers.restore(data).snapshot() == data


def test_an_operator_closes() -> None:
    breakers = fl.Breakers(failures=1)
    breakers.add("a", "p")
    breakers.failure("a", breakers.begin("a", START), START, "network")
    assert breakers.gate("a", START) == "no"
    assert breakers.until("a") == START + 30 * S
    assert "not_closed=1" in repr(breakers)
    breakers.close("a", START)
    assert breakers.gate("a", START) == "yes"
    assert breakers.until("a") is None


def test_latencies_are_told() -> None:
    breakers = fl.Breakers()
    breakers.add("a", "p")
    assert breakers.latency_ms("a") != breakers.latency_ms("a")  # nan
    for ms in [100.0] * 90 + [900.0] * 10:
        breakers.success("a", None, START, ms)
    assert breakers.latency_ms("a") == pytest.approx(100, rel=1 / 16)
    assert breakers.latency_ms("a", 0.99) == pytest.approx(900, rel=1 / 16)
    assert breakers.as_dict()["p99_ms"] == [breakers.latency_ms("a", 0.99)]
