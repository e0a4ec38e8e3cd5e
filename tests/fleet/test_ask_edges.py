"""Asking, on a desk that takes note of every call: each route ends exactly once, whatever happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fake_desk import FakeDesk

import fairlead as fl
from fairlead.errors import BudgetExhaustedError, InvalidRecordError
from fairlead.fleet import hedging
from fairlead.fleet.hedging import as_patience
from fairlead.providers import CallableProvider, Retries

Answers = Callable[[fl.Task], Awaitable[Any]]


def answering(p: float = 0.7, after: float = 0.0) -> Answers:
    async def answer(task: fl.Task) -> float:
        if after:
            await asyncio.sleep(after)
        return p

    return answer


async def broken(task: fl.Task) -> float:
    raise ConnectionResetError("gone")


async def hanging(task: fl.Task) -> float:
    await asyncio.sleep(3600)
    return 0.5


def task(number: int = 0, **fields: Any) -> fl.Task:
    return fl.Task(f"q{number}", text=f"Will it rain on day {number}?", **fields)


def ask(desk: FakeDesk, *tasks: fl.Task, **options: Any) -> list[Any]:
    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(desk.asking.ask(t, **options) for t in tasks), return_exceptions=True)

    found = asyncio.run(all_at_once())
    assert not desk.open, "a call was left open"
    assert not desk.asking.turns._lines, "somebody was left in line"
    return found


def test_one_after_the_other_until_one_answers() -> None:
    desk = FakeDesk()
    desk.add("a", broken)
    desk.add("b", lambda task: "I do not know.")
    desk.add("c", answering(0.9))
    (decision,) = ask(desk, task())
    assert decision.p == 0.9
    assert desk.log == [
        ("route", "a"),
        ("called", ("a", "network", 1)),
        ("record", ("a", "network")),
        ("route", "b"),
        ("called", ("b", "unparsable", 1)),
        ("record", ("b", "unparsable")),
        ("route", "c"),
        ("called", ("c", "answered", 1)),
        ("record", ("c", "")),
    ]


def test_a_repeat_is_a_call_of_its_own_and_asks_the_breaker() -> None:
    desk = FakeDesk()
    hits = []

    async def once_broken(task: fl.Task) -> float:
        hits.append(1)
        if len(hits) == 1:
            raise ConnectionResetError("gone")
        return 0.8

    desk.add("a", CallableProvider(once_broken, retries=Retries(wait=0.0)))
    (decision,) = ask(desk, task())
    assert decision.p == 0.8
    assert desk.kinds("called") == [("a", "network", 1), ("a", "answered", 1)]


def test_a_dead_model_is_hit_five_times_by_patient_callers_who_come_one_after_the_other() -> None:
    desk = FakeDesk()
    hits = []

    async def dead(task: fl.Task) -> float:
        hits.append(1)
        raise ConnectionResetError("gone")

    desk.add("a", CallableProvider(dead, retries=Retries(attempts=3, wait=0.0)))
    for i in range(5):
        (decision,) = ask(desk, task(i))
        assert decision.abstained
    assert len(hits) == 5
    assert desk.kinds("emergency") == [True]


def test_those_who_are_held_back_wait_and_come_in_turn() -> None:
    desk = FakeDesk()
    most = running = 0

    async def slow(task: fl.Task) -> float:
        nonlocal most, running
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return 0.7

    desk.add("a", slow)
    decisions = ask(desk, *map(task, range(200)))
    assert [d.p for d in decisions] == [0.7] * 200
    assert len(desk.kinds("route")) == 200
    assert len(desk.kinds("nobody")) < 200 + 60  # each end is one look, and not one of each who waits
    assert 5 < most < 200


def test_those_who_wait_for_a_dead_model_are_all_told() -> None:
    desk = FakeDesk()
    desk.add("a", broken)
    decisions = ask(desk, *map(task, range(200)))
    assert all(d.abstained and d.position_scale == 0.0 for d in decisions)
    assert len(desk.kinds("route")) == 5
    assert desk.kinds("emergency") == [True]


def test_waiting_ends_at_the_deadline() -> None:
    desk = FakeDesk()
    desk.add("a", hanging)
    decisions = ask(desk, *map(task, range(12)), deadline="50ms")
    assert all(d.abstained and "deadline" in d.reasons[0] for d in decisions)
    assert desk.kinds("called") == [("a", "timeout", 1)] * 5


def test_callers_on_other_loops_take_their_turn() -> None:
    desk = FakeDesk()
    desk.add("a", answering(after=0.001))
    found: list[float] = []

    def run(first: int) -> None:
        async def many() -> list[fl.Decision]:
            return await asyncio.gather(*(desk.asking.ask(task(i)) for i in range(first, first + 25)))

        found.extend(d.p for d in asyncio.run(many()))  # type: ignore[arg-type]

    threads = [threading.Thread(target=run, args=(1000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [0.7] * 200
    assert not desk.open


def test_cancelled_at_any_step_nothing_stays_open() -> None:
    async def cut(steps: int, **options: Any) -> bool:
        desk = FakeDesk(budgets=fl.Budgets([fl.Budget(100)], now=0))
        desk.add("a", broken)
        desk.add("b", answering(after=0.002))
        desk.add("c", answering(after=0.002))
        work = asyncio.ensure_future(desk.asking.ask(task(), **options))
        for _ in range(steps):
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        assert not desk.open
        assert sum(row.held_usd for row in desk.budgets.report(desk.clock())) == 0.0
        return work.cancelled()

    for options in ({}, {"deadline": 5.0}, {"hedge": 0.0}, {"hedge": 0.0005, "deadline": 5.0}):
        cuts = [asyncio.run(cut(steps, **options)) for steps in range(25)]
        assert cuts[0]
        assert any(cuts[2:])


def test_who_waits_may_be_cancelled() -> None:
    async def main() -> None:
        desk = FakeDesk()
        desk.add("a", answering(after=0.02))
        asked = [asyncio.ensure_future(desk.asking.ask(task(i))) for i in range(20)]
        await asyncio.sleep(0.005)
        for work in asked[5:15]:
            work.cancel()
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert sum(isinstance(f, asyncio.CancelledError) for f in found) == 10
        assert sum(isinstance(f, fl.Decision) and f.p == 0.7 for f in found) == 10
        assert not desk.open
        assert not desk.asking.turns._lines

    asyncio.run(main())


def test_a_cancelled_call_counts_neither_for_nor_against_the_model() -> None:
    async def main() -> FakeDesk:
        desk = FakeDesk()
        desk.add("a", hanging)
        for i in range(20):
            work = asyncio.ensure_future(desk.asking.ask(task(i)))
            await asyncio.sleep(0.001)
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
        return desk

    desk = asyncio.run(main())
    assert desk.gate("a") == "yes"
    assert desk.kinds("called") == [("a", "cancelled", 1)] * 20
    assert desk.kinds("record") == []


def test_a_provider_that_breaks_its_promises_is_a_failed_call() -> None:
    class Strange:
        async def ask(self, model: fl.Model, task: fl.Task, *, deadline: Any = None) -> fl.Forecast:
            return fl.Forecast(model.name, value=3.0)

    class Worse(CallableProvider):
        async def call(self, *_: Any, **__: Any) -> Any:
            raise TypeError("a bug")

    desk = FakeDesk()
    desk.add("a", Strange())
    desk.add("b", Worse(lambda task: 0.1))
    desk.add("c", answering())
    (decision,) = ask(desk, task())
    assert decision.p == 0.7
    assert [kind for _, kind, _ in desk.kinds("called")] == ["unparsable", "refused", "answered"]


def test_a_model_that_cannot_be_asked_this_is_passed_over() -> None:
    from fairlead.providers import OpenAIProvider

    pytest.importorskip("openai")
    desk = FakeDesk()
    desk.add("a", OpenAIProvider("http://127.0.0.1:9/v1", key="NONE"))
    desk.add("b", answering())
    (decision,) = ask(desk, fl.Task("no text"))
    assert decision.p == 0.7
    assert desk.log[:2] == [("route", "a"), ("released", "a")]
    only = FakeDesk()
    only.add("a", OpenAIProvider("http://127.0.0.1:9/v1", key="NONE"))
    (error,) = ask(only, fl.Task("no text"))
    assert isinstance(error, fl.InvalidRecordError)


# --- hedging ---


def test_the_second_request_wins_and_the_first_is_given_up() -> None:
    desk = FakeDesk()
    desk.add("a", answering(0.1, after=3600))
    desk.add("b", answering(0.9))
    (decision,) = ask(desk, task(), hedge="5ms")
    assert decision.p == 0.9
    assert desk.log == [
        ("route", "a"),
        ("route", "b"),
        ("called", ("b", "answered", 1)),
        ("called", ("a", "cancelled", 1)),
        ("record", ("b", "")),
    ]


def test_nobody_else_is_asked_when_the_first_is_quick() -> None:
    desk = FakeDesk()
    desk.add("a", answering(0.1))
    desk.add("b", answering(0.9))
    (decision,) = ask(desk, task(), hedge="1h")
    assert decision.p == 0.1
    assert desk.kinds("route") == ["a"]


def test_the_percentile_of_what_is_known_of_the_model() -> None:
    desk = FakeDesk()
    desk.add("a", answering(0.1))
    desk.add("b", answering(0.9))
    assert as_patience(True).of(lambda q: None) is None  # nothing is known: no hedge
    assert as_patience("p90").of(lambda q: q) == 0.9
    for wrong in ("p100", "soon", -1.0):
        with pytest.raises(fl.InvalidRecordError):
            ask(desk, task(), hedge=wrong)
    for number in range(1, 30):
        ask(desk, task(number), hedge=True)
    assert desk.latency("a", 0.95) is not None


def test_both_fail_and_the_third_is_asked() -> None:
    desk = FakeDesk()

    async def fails_late(task: fl.Task) -> float:
        await asyncio.sleep(0.01)
        raise ConnectionResetError("gone")

    desk.add("a", fails_late)
    desk.add("b", fails_late)
    desk.add("c", answering(0.9))
    (decision,) = ask(desk, task(), hedge=0.001)
    assert decision.p == 0.9
    assert sorted(desk.kinds("route")) == ["a", "b", "c"]


def test_a_model_that_hangs_behind_every_hedge_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hedging, "UNKNOWN", 0.0)  # not ten seconds a call
    desk = FakeDesk()
    desk.add("a", hanging)
    desk.add("b", answering(0.9))
    for number in range(10):
        ask(desk, task(number), hedge=0.001)
    kinds = [kind for model, kind, _ in desk.kinds("called") if model == "a"]
    assert kinds == ["cancelled"] * 2 + ["timeout"] * 5
    assert desk.gate("a") == "no"


def test_a_model_that_is_always_slower_than_another_is_not_taken_for_dead() -> None:
    desk = FakeDesk()
    desk.add("a", hanging)
    desk.add("b", answering(0.9))
    for number in range(10):
        ask(desk, task(number), hedge=0.001)
    kinds = [kind for model, kind, _ in desk.kinds("called") if model == "a"]
    assert set(kinds) == {"cancelled"}
    assert desk.gate("a") == "yes"


# --- money ---


def test_refused() -> None:
    desk = FakeDesk(budgets=fl.Budgets([fl.Budget(0.5)], now=0))
    desk.add("a", answering())
    (error,) = ask(desk, task())
    assert isinstance(error, BudgetExhaustedError)
    assert (error.budget, error.left_usd, error.until) == ("all", 0.5, None)
    assert str(error) == "task 'q0': budget 'all' has $0.50 left, too little for a call"


def test_queued_until_somebody_else_has_settled() -> None:
    desk = FakeDesk(budgets=fl.Budgets([fl.Budget(2.0, on_exhausted="queue")], now=0))
    desk.add("a", answering(after=0.002))
    decisions = ask(desk, *map(task, range(20)))  # each holds a dollar, and costs nothing
    assert [d.p for d in decisions] == [0.7] * 20


def test_queued_until_the_deadline() -> None:
    desk = FakeDesk(budgets=fl.Budgets([fl.Budget(0.5, on_exhausted="queue")], now=0))
    desk.add("a", answering())
    (error,) = ask(desk, task(), deadline="20ms")
    assert isinstance(error, BudgetExhaustedError)


def test_a_bound_for_one_task() -> None:
    desk = FakeDesk()
    desk.add("a", answering(), price_in=5.0)  # the desk takes it for the expected cost
    desk.add("b", answering(0.9), price_in=0.1)
    (decision,) = ask(desk, task(), max_cost_usd=1.0)
    assert decision.p == 0.9
    assert desk.log[:3] == [("route", "a"), ("released", "a"), ("route", "b")]
    (error,) = ask(desk, task(1), max_cost_usd=0.05)
    assert isinstance(error, BudgetExhaustedError)
    assert (error.budget, error.left_usd) == ("max_cost_usd", 0.05)


def test_a_ban_holds_for_each_call_whatever_gave_the_names() -> None:
    desk = FakeDesk()
    desk.add("a", broken)
    desk.add("b", answering())
    (decision,) = ask(desk, task(), wishes={"ban": iter(["b"])})
    assert not decision.weights
    assert ("route", "b") not in desk.log


@pytest.mark.parametrize("given", ["much", -1.0, float("nan")])
def test_a_cost_that_cannot_be_is_told_before_anybody_is_asked(given: Any) -> None:
    desk = FakeDesk()
    desk.add("a", answering())
    with pytest.raises(InvalidRecordError, match=f"max_cost_usd.* {given!r}"):
        desk.asking.ask(task(), max_cost_usd=given)
    assert not desk.log


def test_the_last_answer_of_a_banned_model_is_not_given_once_more() -> None:
    desk = FakeDesk()
    desk.add("a", answering(0.9))
    desk.add("b", broken)
    same = [fl.Task(f"q{i}", text="Will it rain?") for i in range(3)]
    ask(desk, same[0], wishes={"pin": "a"})
    for other, wishes in ((same[1], {"ban": ["a"]}), (same[2], {"pin": "b"})):
        (decision,) = ask(desk, other, wishes=wishes)
        assert not decision.weights
