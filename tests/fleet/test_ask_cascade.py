"""Several models through the real SDKs and on a journal; and a cascade that is opened again."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from server import Reply, Server
from test_ask_wire import COST, ask, task

import fairlead as fl
from fairlead.journal import read
from fairlead.policy.cascade import Reading

Staff = Callable[..., fl.Fleet]


def test_two_models_are_two_routed_calls(staff: Staff, server: Server, tmp_path: Path) -> None:
    for name, text in (("a", '{"probability": 0.6}'), ("b", '{"probability": 0.8}')):
        server.model(name, Reply(text=text, latency_s=0.1))
    with staff(fl.Fleet.open(tmp_path)) as fleet:
        (decision,) = ask(fleet, task(), models=["a", "b"], strategy="mean")
        assert decision.p == pytest.approx(0.7)
        assert server.most_at_once == 2
        assert decision.cost_usd == pytest.approx(COST["a"] + COST["b"])
        assert sum(row.cost_usd for row in fleet.costs("model", "none")) == pytest.approx(COST["a"] + COST["b"])
    events = Counter(event.type for event in read(tmp_path))
    assert (events["route"], events["called"], events["forecast"], events["decision"]) == (2, 2, 2, 1)


def test_samples_are_paid_for_each_and_counted_once(staff: Staff, server: Server) -> None:
    server.script(Reply(text='{"probability": 0.6}'), Reply(text='{"probability": 0.8}'), model="a")
    server.model("b", Reply(text='{"probability": 0.9}'))
    fleet = staff(fl.Fleet())
    rule = fl.Cascade(samples=2)
    (decision,) = ask(fleet, task(stake_usd=100), cascade=rule, strategy="mean")
    assert decision.p == pytest.approx((0.7 + 0.9) / 2)
    assert decision.cost_usd == pytest.approx(2 * (COST["a"] + COST["b"]))
    assert len(server.of("a")) == len(server.of("b")) == 2


def test_the_record_of_samples_has_as_many_calls_as_were_made_and_what_was_paid(staff: Staff, server: Server) -> None:
    server.script(*(Reply(text=f'{{"probability": {p}}}') for p in (0.6, 0.8, 0.4)), model="a")
    server.model("b", Reply(text='{"probability": 0.9}'))
    fleet = staff(fl.Fleet())
    asked = task(stake_usd=100)
    ask(fleet, asked, cascade=fl.Cascade(samples=3, agreement=0.0), strategy="mean")
    fleet.settle(asked, 1)
    audit = fleet.audit(asked)
    assert audit.answers["a"] == pytest.approx((0.6 + 0.8 + 0.4) / 3)
    for name in ("a", "b"):
        row = fleet.performance(name)
        made = len(server.of(name))
        assert (row.calls, row.succeeded, made) == (3, 3, 3)
        assert row.cost_per_call_usd == pytest.approx(COST[name])
        calls = fleet._board.calls(fleet._board.find_model(name))
        assert (calls["answered"], calls["failed"]) == (3, 0)
        assert calls["cost_usd"] == pytest.approx(3 * COST[name])
        assert audit.costs[name] == pytest.approx(3 * COST[name])
    assert audit.cost_usd == pytest.approx(3 * (COST["a"] + COST["b"]))


def test_who_hangs_is_not_waited_for(staff: Staff, server: Server) -> None:
    server.model("a", Reply(text='{"probability": 0.6}'))
    server.model("b", Reply(hang=True))
    fleet = staff(fl.Fleet())
    begun = time.perf_counter()
    (decision,) = ask(fleet, task(), models=2, deadline=0.5)
    assert time.perf_counter() - begun < 5
    assert set(decision.weights) == {"a"}
    assert any("deadline" in reason for reason in decision.reasons)


def test_a_model_that_fails_opens_its_breaker_here_too(staff: Staff, server: Server) -> None:
    server.model("a", Reply(status=500))
    server.model("b", Reply(text='{"probability": 0.8}'))
    fleet = staff(fl.Fleet())
    for i in range(12):
        (decision,) = ask(fleet, task(i), models=["a", "b"])
        assert set(decision.weights) == {"b"}
    assert fleet.gate("a") == "no"
    before = len(server.of("a"))
    (decision,) = ask(fleet, task(99), models=["a", "b"])
    assert len(server.of("a")) == before


def desk(fleet: fl.Fleet) -> fl.Fleet:
    def saying(name: str, skill: float) -> Any:
        async def answer(task: fl.Task) -> float:
            dice = random.Random(task.id + name)
            side = int(task.id[1:]) % 2 - 0.5
            return min(max(0.5 + skill * side + dice.gauss(0, 0.15), 0.01), 0.99)

        return answer

    for name, skill in (("good", 0.8), ("fair", 0.5), ("weak", 0.2)):
        if name not in [model.name for model in fleet.models]:
            fleet.add(fl.Model(name))
        fleet.connect(name, saying(name, skill))
    return fleet


def test_a_cascade_learns_to_ask_less_and_reads_the_same_when_it_is_opened_again(tmp_path: Path) -> None:
    asked: list[int] = []
    rule = fl.Cascade()
    with desk(fl.Fleet.open(tmp_path)) as fleet:

        async def live() -> None:
            for i in range(100):
                t = fl.Task(f"q{i}", text=f"Is it {i}?", stake_usd=20)
                decision = await fleet.ask(t, cascade=rule)
                asked.append(len(decision.weights))
                assert (decision.p > 0.5) == (i % 2) or i < 30 or len(decision.weights) < 3  # type: ignore[operator]
                fleet.settle(t, i % 2)

        asyncio.run(live())
        before = Reading(fleet.audits())
    assert asked[:20] == [3] * 20
    assert sum(asked[40:]) / 60 < 2.0
    assert 3 in asked[40:]  # now and then nobody is left out
    with desk(fl.Fleet.open(tmp_path)) as fleet:
        after = Reading(fleet.audits())
    t = fl.Task("q1000", stake_usd=20)
    lines = [reading.line(t, ["good", "fair", "weak"], {}, 0.05) for reading in (before, after)]
    told: list[list[tuple[str | None, float]]] = [[], []]
    for line, out in zip(lines, told, strict=True):
        assert line is not None
        out.append((line.next({}), line.chance))
        out.append((line.next({"good": 0.55}), line.chance))
    assert told[0] == told[1]


def test_little_at_stake_asks_the_best_value_unless_something_else_is_said() -> None:
    fleet = fl.Fleet()
    for name, usd in (("dear", 0.03), ("cheap", 0.001)):
        fleet.add(name, lambda task, name=name: fl.Forecast(name, p=0.7))
        for i in range(200):
            past = fl.Task(f"{name} {i}")
            fleet.record(past, fl.Forecast(name, p=0.8 if name == "dear" else 0.7, cost_usd=usd))
            fleet.settle(past, 1)

    def asked(i: int, rule: fl.Cascade, **more: Any) -> str:
        return next(iter(fleet.ask_sync(fl.Task(f"q{i}", stake_usd=1), cascade=rule, **more).weights))

    assert {asked(i, fl.Cascade()) for i in range(20)} == {"cheap"}
    careful = fl.Objective(explore=0.0)
    assert asked(50, fl.Cascade(), objective=careful) == "dear"
    assert asked(51, fl.Cascade(objective=careful)) == "dear"
    fleet.rules = fl.Rules(careful)
    assert asked(52, fl.Cascade(objective=None)) == "dear"
