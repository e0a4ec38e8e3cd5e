"""What is decided when nobody can be asked, what is reused when somebody could, and who is told."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import fairlead as fl
from fairlead import _core
from fairlead.journal import read
from fairlead.policy.route import Rules
from fairlead.providers import Similar


class Model:
    """Answers, or not, as the test says, and counts."""

    def __init__(self, p: float = 0.8, cost_usd: float = 0.0) -> None:
        self.p, self.cost_usd, self.hits, self.well = p, cost_usd, 0, True

    async def __call__(self, task: fl.Task) -> dict[str, float]:
        self.hits += 1
        if not self.well:
            raise ConnectionResetError("gone")
        return {"p": self.p, "cost_usd": self.cost_usd}


def task(name: str, **fields: Any) -> fl.Task:
    return fl.Task(name, **{"text": "Will it rain tomorrow?", "regime": "calm", **fields})


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000 * 10**9

    def __call__(self) -> int:
        self.now += 1
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += int(seconds * 1e9)


def fleet_of(model: Any, clock: Any = time.time_ns) -> fl.Fleet:
    fleet = fl.Fleet(clock=clock)
    fleet.add("a", model)
    return fleet


def kill(fleet: fl.Fleet, model: Model) -> None:
    model.well = False
    for n in range(5):
        fleet.ask_sync(fl.Task(f"kill {n} {model.hits}"))
    assert fleet.gate("a") == "no"


# --- emergencies ---


def test_the_last_answer_while_it_is_fresh_and_the_market_the_same() -> None:
    clock, model = Clock(), Model()
    fleet = fleet_of(model, clock)
    fleet.fresh_for = "1min"
    assert fleet.ask_sync(task("q1"), state="flat").p == 0.8
    kill(fleet, model)
    clock.pass_(20)
    again = fleet.ask_sync(task("q2"), state="flat")
    assert (again.p, again.cost_usd) == (0.8, 0.0)
    assert again.position_scale == pytest.approx(0.6 * 0.25)
    assert "the answer of a, 20 s ago, is given once more" in again.reasons[0]
    for other in ({"regime": "wild"}, {"text": "Will it snow?"}, {"slices": {"city": "Oslo"}}, {"expires_in_s": 60.0}):
        assert fleet.ask_sync(task(f"q {other}", **other), state="flat").abstained, other
    assert fleet.ask_sync(task("q3"), state="trending").abstained
    assert fleet.emergency
    assert fleet.gate("a") == "no", "an answer that is given once more says nothing of health"
    clock.pass_(60)
    late = fleet.ask_sync(task("q4"), state="flat")
    assert late.abstained
    assert model.hits == 1 + 5 + 1  # the interval was over: a probe


def test_else_the_local_model_answers() -> None:
    model = Model()
    fleet = fleet_of(model)
    fleet.fallback = lambda task: 0.3
    assert fleet.ask_sync(task("q1")).weights == {"a": 1.0}  # it is not asked otherwise
    kill(fleet, model)
    decision = fleet.ask_sync(task("q2", text="Something else?"))
    assert (decision.p, decision.weights) == (0.3, {"fallback": 1.0})
    assert decision.position_scale == pytest.approx(0.4 * 0.25)
    assert "fallback answers" in decision.reasons[0]
    assert fleet.fallback == "fallback"


def test_a_local_model_that_fails_too() -> None:
    model = Model()
    fleet = fleet_of(model)
    fleet.fallback = lambda task: 1 / 0
    kill(fleet, model)
    decision = fleet.ask_sync(task("q2"))
    assert decision.abstained
    assert "and fallback failed" in decision.reasons[0]


def test_a_member_of_the_fleet_as_the_local_model() -> None:
    model, local = Model(), Model(0.4)
    fleet = fleet_of(model)
    with pytest.raises(fl.InvalidRecordError, match="'local', which has no provider"):
        fleet.fallback = "local"
    fleet.add("local", local)
    fleet.fallback = "local"
    fleet.rules = Rules(pin="a")
    kill(fleet, model)
    assert fleet.ask_sync(task("q")).p == 0.4
    fleet.fallback = None
    assert fleet.ask_sync(task("r", text="Or snow?")).abstained


def test_entered_and_left_once_and_everybody_is_told(tmp_path: Path) -> None:
    clock, model = Clock(), Model()
    heard: list[str] = []

    async def main() -> None:
        @fleet.on_health
        async def listen(news: Any) -> None:
            heard.append(str(news))

        fleet.on_health(lambda news: heard.append(f"at once: {news.emergency}"))
        model.well = False
        await asyncio.gather(*(fleet.ask(fl.Task(f"q{n}", text="Rain?")) for n in range(100)))
        model.well = True
        clock.pass_(31)
        await asyncio.gather(*(fleet.ask(fl.Task(f"r{n}", text="Rain?")) for n in range(100)))
        await asyncio.sleep(0.01)

    with fl.Fleet.open(tmp_path, clock=clock, sync="never") as fleet:
        fleet.add("a", model)
        asyncio.run(main())
    assert [line for line in heard if line.startswith("at once")] == ["at once: True", "at once: False"]
    assert [line.partition(":")[0] for line in heard if not line.startswith("at once")] == [
        "emergency entered",
        "emergency left",
    ]
    assert [event.data["emergency"] for event in read(tmp_path, types=("health",))] == [True, False]


def test_no_emergency_where_the_caller_left_the_healthy_out() -> None:
    model = Model()
    fleet = fleet_of(model)
    fleet.add("b", Model(0.6))
    model.well = False
    for n in range(7):
        assert fleet.ask_sync(fl.Task(f"q{n}"), pin="a").abstained
    assert fleet.gate("a") == "no"
    assert not fleet.emergency
    assert fleet.ask_sync(fl.Task("r")).p == 0.6


def test_an_operator_may_declare_an_emergency() -> None:
    heard: list[bool] = []
    fleet = fleet_of(Model())
    fleet.on_health(lambda news: heard.append(news.emergency))
    fleet.enter_emergency("the exchange is closed")
    fleet.enter_emergency("again")
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.9))
    assert fleet.decide("q").position_scale == pytest.approx(0.8 * 0.25)
    fleet.leave_emergency("it is open")
    assert heard == [True, False]


def test_who_cannot_be_asked() -> None:
    fleet = fl.Fleet()
    with pytest.raises(fl.NoForecastError, match="no model with a provider can be asked"):
        fleet.ask_sync(task("q"))
    fleet.add("mute")
    with pytest.raises(fl.NoForecastError):
        fleet.ask_sync(task("q"))
    fleet.connect("mute", Model(0.9))
    assert fleet.ask_sync(task("q")).p == 0.9
    fleet.settle("q", 1)
    with pytest.raises(fl.TaskEndedError):
        fleet.ask_sync(task("q"))
    with pytest.raises(fl.InvalidRecordError, match="must be a Task"):
        fleet.ask_sync("q")  # type: ignore[arg-type]
    with pytest.raises(fl.InvalidRecordError, match="strategy"):
        fleet.ask_sync(task("r"), strategy="best")


def test_health_checks_find_out_that_a_model_is_there_again(tmp_path: Path) -> None:
    clock, model = Clock(), Model()
    with fl.Fleet.open(tmp_path, clock=clock, sync="never") as fleet:
        fleet.add("a", model)
        kill(fleet, model)
        open_before = fleet.open_tasks
        model.well = True
        with fleet.check_health(every=0.01) as checks:
            time.sleep(0.05)
            assert model.hits == 5, "the interval is not over"
            clock.pass_(31)
            for _ in range(500):
                if not fleet.emergency:
                    break
                time.sleep(0.01)
        assert checks.problem is None
        assert fleet.gate("a") == "yes"
        assert not fleet.emergency
        assert model.hits == 6
        assert fleet.open_tasks == open_before
        state = fleet._core.state()
    assert _core.fold_desk(str(tmp_path), snapshots=False)[0].state() == state
    assert [event.data["emergency"] for event in read(tmp_path, types=("health",))] == [True, False]


# --- what happens meanwhile ---


class Meanwhile:
    """Does something before it answers."""

    def __init__(self, act: Any = None) -> None:
        self.act = act

    async def __call__(self, task: fl.Task) -> float:
        await asyncio.sleep(0)
        if self.act is not None:
            self.act()
        return 0.8


def test_a_model_that_leaves_while_it_is_asked_is_followed_by_the_next() -> None:
    first = Meanwhile()
    fleet = fleet_of(first)
    first.act = lambda: (fleet.add("b", Model(0.6)), fleet.remove("a"))
    assert fleet.ask_sync(task("q")).weights == {"b": 1.0}
    second = Meanwhile(lambda: (fleet.remove("c"), 1 / 0))
    fleet.add("c", second)
    fleet.rules = Rules(pin="c")
    assert fleet.ask_sync(task("r", text="?"), strategy="mean").abstained
    assert not fleet.emergency
    assert not [call for call in fleet._core.open_calls() if not call[3]]


def test_a_task_that_ends_while_it_is_asked() -> None:
    model = Meanwhile()
    fleet = fleet_of(model)
    model.act = lambda: fleet.void("q")
    with pytest.raises(fl.TaskEndedError):
        fleet.ask_sync(task("q"))
    assert not [call for call in fleet._core.open_calls() if not call[3]]


def test_the_same_task_many_times_at_once() -> None:
    async def main() -> list[fl.Decision]:
        return await asyncio.gather(*(fleet.ask(task("q")) for _ in range(30)))

    fleet = fleet_of(Model())
    assert {decision.p for decision in asyncio.run(main())} == {0.8}
    assert fleet._core.open_calls() == []


def test_an_answer_that_somebody_records_by_hand_meanwhile() -> None:
    model = Meanwhile()
    fleet = fleet_of(model)
    model.act = lambda: fleet.record("q", fl.Forecast("a", p=0.4, latency_ms=1.0))
    assert fleet.ask_sync(task("q")).p == 0.8


# --- the response cache ---


def test_a_hit_costs_nothing_and_asks_nobody() -> None:
    model = Model(cost_usd=0.5)
    fleet = fleet_of(model)
    fleet.cache = fl.ResponseCache(seed=1)
    assert fleet.ask_sync(task("q1"), state="s").cost_usd == 0.5
    hit = fleet.ask_sync(task("q2", text="Will it  rain tomorrow? "), state="s")
    assert (hit.p, hit.cost_usd, hit.weights) == (0.8, 0.0, {"a": 1.0})
    assert hit.reasons[0] == "cached: a has answered this before"
    assert model.hits == 1
    assert fleet.costs().total.cost_usd == 0.5
    assert not [call for call in fleet._core.open_calls() if not call[3]]
    for number, (state, fields) in enumerate(
        [("t", {}), ("s", {"regime": "wild"}), ("s", {"text": "Or not?"}), ("s", {"category": "rain"})]
    ):
        fleet.ask_sync(task(f"miss {number}", **fields), state=state)
        assert model.hits == 2 + number


def test_a_new_version_of_a_model_is_asked_itself() -> None:
    one, two = fleet_of(Model()), fl.Fleet()
    one.cache = two.cache = fl.ResponseCache(seed=1)
    one.ask_sync(task("q"))
    newer = Model(0.4)
    two.add(fl.Model("a", tags=("v2",)), newer)
    assert two.ask_sync(task("q")).p == 0.4
    assert newer.hits == 1
    one.cache.invalidate(tag="v2")
    two.ask_sync(task("r"))
    assert newer.hits == 2


def test_a_price_that_moves_drops_what_was_said_of_it() -> None:
    model = Model()
    fleet = fleet_of(model)
    fleet.cache = cache = fl.ResponseCache(seed=1, price_move=0.01)
    cache.price("AAPL", 200.0)
    fleet.ask_sync(task("q1", slices={"symbol": "AAPL"}))
    cache.price("AAPL", 200.1)
    fleet.ask_sync(task("q2", slices={"symbol": "AAPL"}))
    assert model.hits == 1
    cache.price("AAPL", 205.0)
    fleet.ask_sync(task("q3", slices={"symbol": "AAPL"}))
    assert model.hits == 2


def test_what_is_cached_is_free_when_the_money_is_gone_and_when_all_are_dead() -> None:
    model = Model(cost_usd=0.5)
    fleet = fleet_of(model)
    fleet.cache = fl.ResponseCache(seed=1)
    fleet.budgets.define(fl.Budget(0.6))
    fleet.ask_sync(task("q1"))
    with pytest.raises(fl.BudgetExhaustedError):
        fleet.ask_sync(task("q2", text="Or snow?"))
    assert fleet.ask_sync(task("q3")).p == 0.8
    fleet.budgets.remove("all")
    kill(fleet, model)
    assert fleet.ask_sync(task("q4")).p == 0.8


def test_prompts_that_ask_the_same_if_that_is_wanted() -> None:
    model = Model()
    fleet = fleet_of(model)
    fleet.cache = fl.ResponseCache(similar=Similar())
    fleet.ask_sync(task("q1", text="What is the probability that the Fed cuts by 25 basis points?"))
    fleet.ask_sync(task("q2", text="Please tell me the likelihood that the Fed cuts by 25bps"))
    assert model.hits == 1
    fleet.ask_sync(task("q3", text="What is the probability that the Fed doesn't cut by 25 basis points?"))
    assert model.hits == 2


@pytest.mark.parametrize(
    ("kind", "fields", "answer"),
    [
        ("categorical", {"labels": ("up", "down")}, {"up": 0.25, "down": 0.75}),
        ("numeric", {}, 4.5),
    ],
)
def test_answers_of_every_kind_come_back_as_they_were(kind: Any, fields: dict[str, Any], answer: Any) -> None:
    async def say(task: fl.Task) -> Any:
        return answer

    fleet = fleet_of(say)
    fleet.cache = fl.ResponseCache(seed=1)
    first = fleet.ask_sync(task("q1", kind=kind, **fields))
    second = fleet.ask_sync(task("q2", kind=kind, **fields))
    assert first.answer == second.answer == answer
    assert second.reasons[0].startswith("cached")
    with pytest.raises(fl.InvalidRecordError):
        fleet.cache = {}  # type: ignore[assignment]


# --- from code that is not async ---


def test_inside_a_running_loop_and_from_many_threads_at_once() -> None:
    fleet = fleet_of(Model())

    async def main() -> float | None:
        return fleet.ask_sync(fl.Task("inside", text="?")).p  # type: ignore[return-value]

    assert asyncio.run(main()) == 0.8
    found: list[Any] = []

    def run(n: int) -> None:
        found.append(fleet.ask_sync(fl.Task(f"thread {n}", text="?")).p)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [0.8] * 32


def test_a_fleet_that_is_dropped_is_gone() -> None:
    import weakref

    fleet = fleet_of(Model())
    fleet.ask_sync(task("q"))
    gone = weakref.ref(fleet)
    del fleet
    for _ in range(100):  # the background loop lets go of the last call
        if gone() is None:
            return
        time.sleep(0.01)
    raise AssertionError("something keeps it")
