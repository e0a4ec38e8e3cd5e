"""Asking several models: at once, in turn until it is clear, and what they have to agree on."""

from __future__ import annotations

import asyncio
import random
from time import time_ns
from typing import Any

import pytest
from fake_desk import FakeDesk
from hypothesis import given, settings
from hypothesis import strategies as st
from test_ask_edges import answering, ask, broken, hanging, task

import fairlead as fl
from fairlead.errors import BudgetExhaustedError, InvalidRecordError, NoForecastError, TaskEndedError, UnknownModelError
from fairlead.fleet.reuse import Cached
from fairlead.fleet.several import agreement


def desk_of(*answers: Any, **options: Any) -> FakeDesk:
    """Models a, b, c, ... that answer so: a probability, or who answers."""
    desk = FakeDesk(**options)
    for name, answer in zip("abcdefgh", answers, strict=False):
        desk.add(name, answering(answer) if isinstance(answer, float) else answer)
    return desk


def called(desk: FakeDesk) -> list[str]:
    return [model for model, _, _ in desk.kinds("called")]


def taught(desk: FakeDesk, n: int = 120, *, seed: int = 0) -> FakeDesk:
    """A record: "a" is good and dear, "b" is fair and cheap, "c" says what "b" says, for ten times the price."""
    dice = random.Random(seed)
    for i in range(n):
        y = int(dice.random() < 0.5)
        good = min(max(0.5 + 0.4 * (y - 0.5) + dice.gauss(0, 0.1), 0), 1)
        fair = min(max(0.5 + 0.3 * (y - 0.5) + dice.gauss(0, 0.1), 0), 1)
        t = fl.Task(f"past {i}", category=f"c{i % 2}")
        for name, p, usd in (("a", good, 0.1), ("b", fair, 0.01), ("c", fair, 0.1)):
            desk.fleet.record(t, fl.Forecast(name, p=p, cost_usd=usd))
        desk.fleet.settle(t, y, time=i + 1)
    return desk


# --- all at once ---


def test_so_many_are_asked_by_the_order_of_routes() -> None:
    desk = desk_of(0.6, 0.8, 0.9)
    (decision,) = ask(desk, task(), models=2, strategy="mean")
    assert sorted(called(desk)) == ["a", "b"]
    assert decision.p == pytest.approx(0.7)
    assert set(decision.weights) == {"a", "b"}


def test_they_are_asked_at_once() -> None:
    together: list[str] = []
    most = 0

    def counting(name: str) -> Any:
        async def answer(task: fl.Task) -> float:
            nonlocal most
            together.append(name)
            most = max(most, len(together))
            await asyncio.sleep(0.02)
            together.remove(name)
            return 0.7

        return answer

    desk = desk_of(*(counting(name) for name in "abc"))
    (decision,) = ask(desk, task(), models=["a", "b", "c"])
    assert most == 3
    assert len(decision.weights) == 3


def test_the_next_one_is_asked_for_one_that_fails_but_not_for_one_that_was_named() -> None:
    desk = desk_of(broken, 0.8, 0.9)
    (decision,) = ask(desk, task(), models=2, strategy="mean")
    assert set(decision.weights) == {"b", "c"}
    assert decision.reasons[0] == "asked in vain: a"
    assert len(called(desk)) == 3
    desk = desk_of(broken, 0.8, 0.9)
    (decision,) = ask(desk, task(), models=["a", "b"], strategy="mean")
    assert set(decision.weights) == {"b"}
    assert decision.reasons[0] == "asked in vain: a"


def test_more_than_there_are() -> None:
    desk = desk_of(0.6, 0.8)
    (decision,) = ask(desk, task(), models=9)
    assert set(decision.weights) == {"a", "b"}


def test_nobody_answers() -> None:
    desk = desk_of(broken, broken)
    (decision,) = ask(desk, task(), models=2)
    assert decision.abstained
    assert "nobody" in decision.reasons[0]
    assert sorted(called(desk)) == ["a", "b"]
    (error,) = ask(FakeDesk(), task(), models=2)
    assert isinstance(error, NoForecastError)


def test_what_came_in_time_is_decided_on() -> None:
    desk = desk_of(0.9, hanging, answering(0.8, after=0.01))
    (decision,) = ask(desk, task(), models=3, deadline=0.3, strategy="mean")
    assert set(decision.weights) == {"a", "c"}
    assert any("deadline" in reason for reason in decision.reasons)
    desk = desk_of(hanging, hanging)
    (decision,) = ask(desk, task(), models=2, deadline=0.1)
    assert decision.abstained
    assert "no answer before the deadline" in decision.reasons[0]


def test_where_one_raises_the_others_are_cut_off_before_that_is_told() -> None:
    """The task is settled while three are asked: who answers next cannot be recorded, and nobody waits for the rest."""
    cut: list[str] = []

    def slow(name: str) -> Any:
        async def answer(task: fl.Task) -> float:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                await asyncio.sleep(0)  # an end of its own, which is waited for
                cut.append(name)
                raise
            return 0.5

        return answer

    async def settling(task: fl.Task) -> float:
        await asyncio.sleep(0.01)
        desk.fleet.record(task, fl.Forecast("a", p=0.5))
        desk.fleet.settle(task, 1)
        return 0.7

    desk = desk_of(settling, slow("b"), slow("c"))

    async def run() -> None:
        with pytest.raises(TaskEndedError):
            await desk.asking.ask(task(), models=3)
        assert sorted(cut) == ["b", "c"]
        assert len(asyncio.all_tasks()) == 1
        assert not desk.open

    asyncio.run(run())
    assert sorted(called(desk)) == ["a", "b", "c"]
    assert sorted(how for _, how, _ in desk.kinds("called")) == ["answered", "cancelled", "cancelled"]


def test_who_cancels_waits_for_all_that_were_asked() -> None:
    desk = desk_of(hanging, hanging)

    async def run() -> None:
        asked = asyncio.ensure_future(desk.asking.ask(task(), models=2))
        await asyncio.sleep(0.01)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert len(asyncio.all_tasks()) == 1
        assert not desk.open

    asyncio.run(run())


def test_budgets_hold_for_all_together() -> None:
    budgets = fl.Budgets()
    budgets.define(fl.Budget(2.5, "daily"), time_ns())
    desk = desk_of(*(answering(p, after=0.02) for p in (0.6, 0.7, 0.8)), budgets=budgets)
    desk.reserves_usd = 1.0
    (decision,) = ask(desk, task(), models=3, strategy="mean")
    assert len(decision.weights) == 2
    budgets = fl.Budgets()
    budgets.define(fl.Budget(0.5, "daily"), time_ns())
    desk = desk_of(0.6, 0.7, budgets=budgets)
    (error,) = ask(desk, task(), models=2)
    assert isinstance(error, BudgetExhaustedError)


def test_the_allowance_of_a_task_is_of_all_calls_for_it() -> None:
    budgets = fl.Budgets()
    budgets.define(fl.Budget(100, "daily"), time_ns())
    desk = desk_of(*(answering(p, after=0.02) for p in (0.6, 0.7, 0.8, 0.9)), budgets=budgets)
    (decision,) = ask(desk, task(), models=4, max_cost_usd=2.0)
    assert len(decision.weights) == 2
    desk = desk_of(0.6, 0.7, budgets=budgets)
    (error,) = ask(desk, task(), models=2, max_cost_usd=0.1)
    assert isinstance(error, BudgetExhaustedError)


def costing(usd: float, then: float, after: float = 0.02) -> Any:
    """The first answer costs `usd`, the next ones `then`."""
    price = [usd]

    async def answer(task: fl.Task) -> fl.Forecast:
        await asyncio.sleep(after)
        paid, price[0] = price[0], then
        return fl.Forecast("x", p=0.7, cost_usd=paid)

    return answer


def test_the_allowance_of_a_task_is_of_samples_under_way_too() -> None:
    budgets = fl.Budgets()
    budgets.define(fl.Budget(100, "daily"), time_ns())
    desk = desk_of(*(costing(0.5, 1.0) for _ in range(3)), budgets=budgets)
    (decision,) = ask(desk, task(stake_usd=100), cascade=rule(samples=2), max_cost_usd=3.0)
    assert len(called(desk)) == 4  # three for $.50 each, and one more, for which $1 is held
    assert decision.cost_usd == pytest.approx(2.5)


def test_what_a_call_held_that_failed_may_be_spent_on_another() -> None:
    async def failing(task: fl.Task) -> float:
        await asyncio.sleep(0.01)
        raise ConnectionResetError("gone")

    budgets = fl.Budgets()
    budgets.define(fl.Budget(100, "daily"), time_ns())
    desk = desk_of(failing, failing, costing(0.5, 0.5), costing(0.5, 0.5), budgets=budgets)
    (decision,) = ask(desk, task(), models=2, max_cost_usd=2.0)
    assert set(decision.weights) == {"c", "d"}


def test_a_second_request_never_goes_to_who_is_asked_already() -> None:
    desk = desk_of(answering(0.6, after=0.5), answering(0.7, after=0.5), 0.8)
    (decision,) = ask(desk, task(), models=2, hedge=0.01, strategy="mean")
    assert len(set(desk.kinds("route"))) == len(desk.kinds("route"))
    assert "c" in decision.weights


def test_answers_of_the_cache_count_each() -> None:
    desk = desk_of(0.6, 0.8)
    desk.asking.cached = Cached(fl.ResponseCache())
    first = fl.Task("q1", text="Will it rain tomorrow in Hamburg?")
    ask(desk, first, models=2)
    (decision,) = ask(desk, fl.Task("q2", text=first.text), models=2, strategy="mean")
    assert len(called(desk)) == 2
    assert decision.p == pytest.approx(0.7)
    assert decision.reasons[0].startswith("cached: ")


def test_what_cannot_be_asked_is_told_before_anything_is_paid() -> None:
    desk = desk_of(0.6, 0.8)
    for options, kind, told in (
        ({"models": 0}, InvalidRecordError, "models is 0"),
        ({"models": True}, InvalidRecordError, "models is True"),
        ({"models": "a"}, InvalidRecordError, "models is 'a'"),
        ({"models": []}, InvalidRecordError, "models is"),
        ({"models": ["a", "a"]}, InvalidRecordError, "twice"),
        ({"models": ["a", "x"]}, UnknownModelError, "model is 'x'"),
        ({"models": ["a"], "wishes": {"pin": "b"}}, InvalidRecordError, "pin is 'b'"),
        ({"cascade": 3}, InvalidRecordError, "cascade is 3"),
        ({"models": 2, "strategy": "moan"}, InvalidRecordError, "strategy is 'moan'"),
    ):
        with pytest.raises(kind, match=told):
            desk.asking.ask(task(), **options)
    assert not desk.log


# --- strategies ---


class First(fl.Strategy):
    name = "first by name"

    def weigh(self, task: fl.Task, answers: Any) -> list[float]:
        least = min(answer.model for answer in answers)
        return [float(answer.model == least) for answer in answers]


def test_a_strategy_of_ones_own_decides() -> None:
    desk = desk_of(0.6, 0.8)
    (decision,) = ask(desk, task(), models=2, strategy=First())
    assert decision.strategy == "first by name"
    assert decision.p == pytest.approx(0.6)
    desk = desk_of(broken)
    (decision,) = ask(desk, task(), strategy=First())
    assert decision.strategy == "first by name"


def test_without_a_consensus_the_reasoning_tier_is_asked() -> None:
    desk = desk_of(0.9, 0.1, 0.2)
    desk.add("d", answering(0.15), tier="reasoning")
    (decision,) = ask(desk, task(), models=["a", "b"], strategy="consensus")
    assert decision.reasons[0].startswith("only ")
    assert "d" in called(desk)


# --- cascades ---


def rule(**options: Any) -> fl.Cascade:
    return fl.Cascade(**{"thresholds_usd": (10, 50), "explore": 0.0, **options})


def test_little_at_stake_asks_one() -> None:
    desk = desk_of(0.6, 0.8, 0.9)
    (decision,) = ask(desk, task(stake_usd=9.99), cascade=rule())
    assert called(desk) == ["a"]
    assert decision.reasons[0] == "cascade: $9.99 at stake, one model is asked"
    desk = desk_of(0.6, 0.8, 0.9)
    (decision,) = ask(desk, task(stake_usd=1), cascade=rule(), models=["b", "c"])
    assert called(desk) == ["b"]


def test_without_a_record_an_ensemble_asks_all() -> None:
    desk = desk_of(0.6, 0.8, 0.9)
    (decision,) = ask(desk, task(stake_usd=20), cascade=rule())
    assert sorted(called(desk)) == ["a", "b", "c"]
    assert decision.reasons[0] == "cascade: $20 at stake, 3 models were asked: the record is too short to stop early"


def test_an_ensemble_stops_when_another_answer_would_hardly_change_it() -> None:
    desk = taught(desk_of(0.95, 0.97, 0.97))
    (decision,) = ask(desk, task(stake_usd=20, category="c0"), cascade=rule())
    assert called(desk) == ["b"]
    assert "1 model was asked of 3: the others would change the decision with a probability of" in decision.reasons[0]
    desk = taught(desk_of(0.95, 0.51, 0.51))
    (decision,) = ask(desk, task(stake_usd=20, category="c0"), cascade=rule(stop=0.01))
    assert called(desk) == ["b", "a"]  # "c" says what "b" says: it is worth next to nothing


def test_a_failure_in_an_ensemble_asks_the_next() -> None:
    desk = taught(desk_of(0.95, broken, 0.97))
    (decision,) = ask(desk, task(stake_usd=20, category="c0"), cascade=rule())
    assert called(desk)[0] == "b"
    assert len(called(desk)) >= 2
    assert "asked in vain: b" in decision.reasons


def test_newcomers_are_asked_until_they_are_known() -> None:
    desk = taught(desk_of(0.95, 0.97, 0.97, 0.9))
    (decision,) = ask(desk, task(stake_usd=20, category="c0"), cascade=rule())
    assert called(desk)[0] == "d"
    assert "d" in decision.weights


def test_now_and_then_nobody_is_left_out() -> None:
    desk = taught(desk_of(0.95, 0.97, 0.97))
    (decision,) = ask(desk, task(stake_usd=20), cascade=rule(explore=1.0))
    assert len(called(desk)) == 3
    assert "now and then" in decision.reasons[0]
    shares = [fl.Cascade(explore=0.2).explores(fl.Task(f"q{i}")) for i in range(4000)]
    assert sum(shares) / 4000 == pytest.approx(0.2, abs=0.03)


def test_the_same_record_asks_the_same() -> None:
    desks = [taught(desk_of(0.8, 0.6, 0.6)) for _ in range(2)]
    found = [ask(desk, task(stake_usd=20, category="c1"), cascade=rule())[0] for desk in desks]
    assert called(desks[0]) == called(desks[1])
    assert found[0].reasons == found[1].reasons
    assert found[0].p == found[1].p


def test_numbers_are_asked_of_all() -> None:
    desk = FakeDesk()
    for name, value in (("a", 99.0), ("b", 101.0)):
        desk.add(name, lambda task, value=value: value)
    (decision,) = ask(desk, task(kind="numeric", stake_usd=20), cascade=rule(), strategy="mean")
    assert decision.value == pytest.approx(100.0)
    assert "too short" in decision.reasons[0]


def test_labels_stop_early_too() -> None:
    labels = ("up", "flat", "down")
    desk = FakeDesk()
    for name in "abc":
        desk.add(name, lambda task: {"up": 0.9, "flat": 0.05, "down": 0.05})
    dice = random.Random(1)
    for i in range(120):
        y = dice.randrange(3)
        t = fl.Task(f"past {i}", kind="categorical", labels=labels)
        for name, usd in (("a", 0.1), ("b", 0.01), ("c", 0.05)):
            raw = [0.2 + 0.6 * (k == y) + 0.3 * dice.random() for k in range(3)]
            p = {label: x / sum(raw) for label, x in zip(labels, raw, strict=True)}
            desk.fleet.record(t, fl.Forecast(name, p=p, cost_usd=usd))
        desk.fleet.settle(t, labels[y], time=i + 1)
    t = fl.Task("now", kind="categorical", labels=labels, text="Which way?", stake_usd=20)
    (decision,) = ask(desk, t, cascade=rule())
    assert len(called(desk)) == 1
    assert decision.p["up"] > 0.8


def test_much_at_stake_asks_all_and_again() -> None:
    given = iter([0.6, 0.8])
    desk = desk_of(lambda task: next(given), 0.9, 0.7)
    (decision,) = ask(desk, task(stake_usd=51), cascade=rule(), strategy="mean")
    assert sorted(called(desk)) == ["a", "a", "b", "b", "c", "c"]
    assert decision.p == pytest.approx((0.7 + 0.9 + 0.7) / 3)  # of "a", the mean of both samples
    assert decision.reasons[0] == "cascade: $51 at stake, 3 models were asked at once, 2 times each"
    assert decision.reasons[1] == "100% agree, 67% are needed"


def test_those_who_do_not_agree_are_not_followed() -> None:
    desk = desk_of(0.9, 0.1, 0.9, 0.2)
    (decision,) = ask(desk, task(stake_usd=51), cascade=rule(samples=1), strategy="mean")
    assert decision.abstained
    assert decision.position_scale == 0
    assert decision.disagreement > 0.1
    assert any("the reasoning tier is asked" in reason for reason in decision.reasons)
    assert any("nobody there could be asked" in reason for reason in decision.reasons)


def test_the_reasoning_tier_may_bring_agreement() -> None:
    for judge, abstains in ((0.95, False), (0.1, True)):
        desk = FakeDesk()
        for name, p in (("a", 0.9), ("b", 0.2), ("c", 0.9)):
            desk.add(name, answering(p), tier="fast")
        desk.add("judge", answering(judge), tier="reasoning")
        (decision,) = ask(
            desk, task(stake_usd=51), cascade=rule(samples=1, agreement=0.7), models=["a", "b", "c"], strategy="mean"
        )
        assert called(desk)[-1] == "judge"
        assert decision.abstained == abstains
        if not abstains:
            assert "now 75% agree" in decision.reasons


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"thresholds_usd": (50, 10)}, "thresholds_usd"),
        ({"thresholds_usd": 3}, "thresholds_usd"),
        ({"thresholds_usd": (float("nan"), 1)}, "thresholds_usd"),
        ({"stop": 1.5}, "stop is 1.5"),
        ({"explore": -1}, "explore is -1"),
        ({"agreement": "all"}, "agreement is 'all'"),
        ({"samples": 0}, "samples is 0"),
        ({"escalate": True}, "escalate is True"),
        ({"objective": "cheap"}, "objective is|goal is"),
    ],
)
def test_a_rule_that_cannot_be(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRecordError, match=told):
        fl.Cascade(**options)


@settings(max_examples=25)
@given(st.lists(st.sampled_from([0.1, 0.5, 0.8, "broken", "slow"]), min_size=1, max_size=5), st.integers(1, 60))
def test_every_call_ends_and_every_answer_is_recorded(kinds: list[Any], stake: int) -> None:
    """Whatever they do; `ask` asserts that no call is left open."""
    who = {"broken": broken, "slow": answering(0.7, after=0.002)}
    desk = desk_of(*(who.get(kind, kind) for kind in kinds))
    (decision,) = ask(desk, task(stake_usd=float(stake)), cascade=rule(samples=1))
    assert isinstance(decision, fl.Decision)
    good = [name for name, kind in zip("abcde", kinds, strict=False) if kind != "broken"]
    assert set(decision.weights) <= set(good)
    answered = {model for model, how, _ in desk.kinds("called") if how == "answered"}
    assert answered == {model for model, error in desk.kinds("record") if not error}


def test_agreement_by_hand() -> None:
    def said(*ps: Any) -> dict[str, fl.Forecast]:
        return {f"m{i}": fl.Forecast(f"m{i}", p=p) for i, p in enumerate(ps)}

    fleet = fl.Fleet()
    fleet.add("m0")
    t = fl.Task("q")
    fleet.record(t, fl.Forecast("m0", p=0.8))
    decision = fleet.decide(t)
    assert agreement(decision, said(0.9, 0.6, 0.2, 0.5)) == pytest.approx(2.5 / 4)
    t = fl.Task("w", kind="categorical", labels=("x", "y"))
    fleet.record(t, fl.Forecast("m0", p={"x": 0.3, "y": 0.7}))
    assert agreement(fleet.decide(t), said((0.2, 0.8), {"x": 0.9, "y": 0.1})) == 0.5
