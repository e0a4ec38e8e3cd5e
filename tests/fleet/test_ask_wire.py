"""`fleet.ask` through the real SDKs, against a server on loopback that does as it is told."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server import Reply, Server

import fairlead as fl
from fairlead import _core
from fairlead.journal import read

Staff = Callable[..., fl.Fleet]
COST = {"a": (120 * 1.0 + 15 * 4.0) / 1e6, "b": (120 * 2.0 + 15 * 10.0) / 1e6}  # of a good answer


class Clock:
    """Goes on by itself, and as the test says."""

    def __init__(self) -> None:
        self.ahead = 0

    def __call__(self) -> int:
        return time.time_ns() + self.ahead

    def pass_(self, seconds: float) -> None:
        self.ahead += int(seconds * 1e9)


def task(number: int = 0, **fields: Any) -> fl.Task:
    return fl.Task(f"q{number}", text=f"Will it rain on day {number}?", **fields)


def ask(fleet: fl.Fleet, *tasks: fl.Task, **options: Any) -> list[Any]:
    """All at once."""

    async def together() -> list[Any]:
        return await asyncio.gather(*(fleet.ask(t, **options) for t in tasks), return_exceptions=True)

    found = asyncio.run(together())
    assert not [call for call in fleet._core.open_calls() if not call[3]], "a call was left open"
    return found


class Watched(fl.Fleet):
    """Takes note of its calls."""

    def route(self, *args: Any, **options: Any) -> Any:
        found = super().route(*args, **options)
        if found:
            self.__dict__.setdefault("held", {})[found.model] = found.reserved_usd
        return found

    def called(self, route: Any, answer: Any) -> None:
        super().called(route, answer)
        end = "answered" if answer.failure is None else answer.failure.kind
        self.__dict__.setdefault("ends", []).append((route.model, end))


FAILURES = {
    "server": Reply(status=500),
    "rate_limited": Reply(status=429, headers={"Retry-After": "7"}),
    "unparsable": Reply(text="It may well rain."),
    "refused": Reply(status=401),
    "truncated": Reply(end="length"),
    "timeout": Reply(hang=True),
}


@pytest.mark.parametrize("kind", FAILURES)
def test_the_next_provider_is_asked(staff: Staff, server: Server, tmp_path: Path, kind: str) -> None:
    server.model("a", FAILURES[kind])
    clock = Clock()
    with Watched.open(tmp_path, clock=clock, sync="never") as fleet:
        staff(fleet)
        hedged = {"hedge": 0.05} if kind == "timeout" else {}
        (decision,) = ask(fleet, task(), **hedged)
        assert (decision.p, decision.weights) == (0.7, {"b": 1.0})
        assert len(server.of("a")) == len(server.of("b")) == 1
        assert fleet.gate("a") == ("no" if kind == "rate_limited" else "yes")
        clock.pass_(7.5)
        assert fleet.gate("a") == "yes"
        assert not fleet.emergency
        told = "cancelled" if kind == "timeout" else kind
        assert sorted(fleet.ends) == [("a", told), ("b", "answered")]


def test_a_stream_that_breaks_off(sdks: dict[str, Any], staff: Staff, server: Server) -> None:
    server.model("a", Reply(cut_after=2))
    fleet = staff(fl.Fleet(), "b")
    fleet.add(fl.Model("a", provider="streamed"), sdks["streamed"])
    (decision,) = ask(fleet, task())
    assert decision.weights == {"b": 1.0}


def test_a_dead_sole_primary(staff: Staff, server: Server, tmp_path: Path) -> None:
    server.model("a", Reply(reset=True))
    clock, heard = Clock(), []
    with fl.Fleet.open(tmp_path, clock=clock, sync="never") as fleet:
        staff(fleet, "a")
        fleet.on_health(lambda news: heard.append(news.emergency))
        decisions = ask(fleet, *map(task, range(200)))
        assert all(d.abstained and d.position_scale == 0.0 for d in decisions)
        assert len(server.requests) <= 5
        assert fleet.emergency
        hits = len(server.requests)
        for seconds in (29, 2, 59, 2):  # an interval, then one that is twice as long
            clock.pass_(seconds)
            ask(fleet, *map(task, range(1000 * seconds, 1000 * seconds + 50)))
        assert len(server.requests) == hits + 2
        server.model("a", Reply())
        clock.pass_(121)
        (decision,) = ask(fleet, task(9999))
        assert decision.p == 0.7
        assert decision.position_scale == pytest.approx(0.4)  # in full again
        assert not fleet.emergency
        assert heard == [True, False]
    told = [event.data["emergency"] for event in read(tmp_path, types=("health",))]
    assert told == [True, False]


def test_a_healthy_sole_primary_answers_all_who_wait(staff: Staff, server: Server) -> None:
    server.model("a", Reply(latency_s=0.002))
    fleet = staff(fl.Fleet(), "a")
    decisions = ask(fleet, *map(task, range(200)))
    assert [d.p for d in decisions] == [0.7] * 200
    assert not fleet.emergency


def test_the_deadline_is_for_all_that_is_tried(staff: Staff, server: Server, tmp_path: Path) -> None:
    server.model("a", Reply(status=500, latency_s=0.15))
    server.model("b", Reply(hang=True))
    with Watched.open(tmp_path, sync="never") as fleet:
        staff(fleet)
        start = time.monotonic()
        (decision,) = ask(fleet, task(), deadline="400ms")
        assert 0.3 < time.monotonic() - start < 3.0
        assert decision.abstained
        assert decision.reasons == ("no answer before the deadline: no decision",)
        assert not fleet.emergency
        assert fleet.ends == [("a", "server"), ("b", "timeout")]


def test_a_hedge_wins_and_both_are_paid(staff: Staff, server: Server, tmp_path: Path) -> None:
    with Watched.open(tmp_path, sync="never") as fleet:
        staff(fleet)
        fleet.budgets.define(fl.Budget(1.0))
        ask(fleet, task(1))
        server.model("a", Reply(latency_s=20.0))
        start = time.monotonic()
        (decision,) = ask(fleet, task(), hedge="100ms")
        assert time.monotonic() - start < 5.0
        assert decision.weights == {"b": 1.0}
        assert server.gave_up == 1
        (row,) = fleet.budgets.state()
        assert row.held_usd == 0.0
        assert fleet.held["a"] > COST["a"]
        assert row.spent_usd == pytest.approx(COST["a"] + COST["b"] + fleet.held["a"], abs=1e-9)
        assert fleet.ends == [("a", "answered"), ("b", "answered"), ("a", "cancelled")]
        assert fleet.gate("a") == "yes"


def test_64_callers_on_a_budget_for_10(staff: Staff, server: Server) -> None:
    server.model("a", Reply(latency_s=0.01))
    fleet = staff(fl.Fleet(), "a")
    fleet.budgets.define(fl.Budget(10.5 * COST["a"], on_exhausted="refuse"))
    found = ask(fleet, *map(task, range(64)), bounds={"a": COST["a"]})
    counts = Counter(type(one).__name__ for one in found)
    assert counts == {"Decision": 10, "BudgetExhaustedError": 54}
    assert len(server.requests) == 10
    (row,) = fleet.budgets.state()
    assert row.spent_usd == pytest.approx(10 * COST["a"], abs=1e-12)
    assert (row.held_usd, row.overruns) == (0.0, 0)
    error = next(one for one in found if isinstance(one, fl.BudgetExhaustedError))
    assert error.budget == "all"
    assert error.left_usd < COST["a"]


def test_64_threads_on_a_budget_for_10(staff: Staff, server: Server) -> None:
    server.model("a", Reply(latency_s=0.01))
    fleet = staff(fl.Fleet(), "a")
    fleet.budgets.define(fl.Budget(10.5 * COST["a"]))
    counts: Counter[str] = Counter()

    def run(number: int) -> None:
        try:
            found: object = fleet.ask_sync(task(number), bounds={"a": COST["a"]})
        except fl.BudgetExhaustedError as error:
            found = error
        counts[type(found).__name__] += 1

    threads = [threading.Thread(target=run, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counts == {"Decision": 10, "BudgetExhaustedError": 54}
    assert len(server.requests) == 10
    (row,) = fleet.budgets.state()
    assert row.spent_usd == pytest.approx(10 * COST["a"], abs=1e-12)


def test_those_who_queue_for_money_are_never_too_many(staff: Staff, server: Server) -> None:
    server.model("a", Reply(latency_s=0.002))
    fleet = staff(fl.Fleet(), "a")
    fleet.budgets.define(fl.Budget(20.5 * COST["a"], on_exhausted="queue"))
    bounds = {"a": 10 * COST["a"]}  # ten times what it costs: two at once, and less when the money runs out
    found = ask(fleet, *map(task, range(30)), bounds=bounds, deadline=1.0)
    counts = Counter(type(one).__name__ for one in found)
    assert counts == {"Decision": 11, "BudgetExhaustedError": 19}  # the 12th could pass the limit
    assert server.most_at_once <= 2


def test_cost_to_the_nano_dollar(staff: Staff, server: Server) -> None:
    dice = iter(range(100))

    def reply(request: Any) -> Reply:
        n = next(dice)
        tokens = {"input": 100 + 7 * n, "output": 3 + n, "cached": n}
        return Reply(status=500) if n % 9 == 4 else Reply(tokens=tokens, text="?" if n % 9 == 7 else Reply().text)

    server.always = reply
    fleet = staff(fl.Fleet())
    fleet.budgets.define(fl.Budget(1.0))
    for number in range(40):
        ask(fleet, task(number))
    nanos = 0
    for n, request in enumerate(server.requests):
        price_in, price_out = (1000, 4000) if request.model == "a" else (2000, 10_000)
        if n % 9 != 4:
            nanos += (100 + 7 * n) * price_in + (3 + n) * price_out
    (row,) = fleet.budgets.state()
    assert round(row.spent_usd * 1e9) == nanos
    assert round(fleet.costs().total.cost_usd * 1e9) == nanos


def test_the_desk_folded_again_is_the_same_after_a_storm(staff: Staff, server: Server, tmp_path: Path) -> None:
    replies = [*FAILURES.values(), Reply(reset=True), Reply(cut_after=10)]
    calm = [Reply(), Reply(latency_s=0.03), Reply(latency_s=0.01)]

    def stormy(request: Any) -> Reply:
        n = len(server.requests)
        return replies[n // 4 % len(replies)] if n % 4 == 0 else calm[n % 3]

    server.always = stormy

    async def storm(fleet: fl.Fleet) -> None:
        asked = [
            asyncio.ensure_future(fleet.ask(task(n), deadline=0.3, hedge=0.05 if n % 3 else None)) for n in range(120)
        ]
        await asyncio.sleep(0.05)
        for work in asked[::7]:
            work.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

    with fl.Fleet.open(tmp_path, sync="never") as fleet:
        staff(fleet)
        fleet.budgets.define(fl.Budget(0.01, on_exhausted="degrade"), fl.Budget(5.0, "daily"))
        asyncio.run(storm(fleet))
        assert not [call for call in fleet._core.open_calls() if not call[3]]
        assert all(row.held_usd == 0.0 for row in fleet.budgets.state())
        state = fleet._core.state()
    folded, _ = _core.fold_desk(str(tmp_path), snapshots=False)
    assert folded.state() == state
