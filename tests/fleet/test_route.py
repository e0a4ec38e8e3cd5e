"""Whom a fleet asks: the façade of routes, calls, health and rules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead.errors import FairleadError, InvalidRecordError, TaskEndedError, UnknownModelError, UnknownTaskError
from fairlead.journal import read
from fairlead.policy.prompt_model import LinearPromptModel
from fairlead.policy.route import GOALS, Objective, Rules
from fairlead.providers import Answer, OpenAIProvider, ProviderError, Usage

SECOND = 10**9


class Clock:
    now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


def fleet_of(clock: Clock, folder: Path | None = None) -> fl.Fleet:
    fleet = fl.Fleet(clock=clock) if folder is None else fl.Fleet.open(folder, clock=clock)
    fleet.add(fl.Model("big", provider="a", tier="reasoning", price_in=10, price_out=30))
    fleet.add(fl.Model("mid", provider="b", tier="standard", price_in=1, price_out=3))
    fleet.add(fl.Model("small", provider="c", tier="fast", price_in=0.1, price_out=0.3))
    return fleet


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(clock: Clock) -> fl.Fleet:
    return fleet_of(clock)


def answered(model: str, p: float = 0.7, usd: float = 0.0, latency_ms: float = 100.0, **usage: int) -> Answer:
    return Answer(fl.Forecast(model, p=p, cost_usd=usd, latency_ms=latency_ms), usage=Usage(**usage))


def spent_of(fleet: fl.Fleet) -> float:
    return fleet.budgets.state()["all"].spent_usd


def failed(model: str, kind: str, usd: float = 0.0) -> Answer:
    error = ProviderError(kind, "it did")  # type: ignore[arg-type]
    return Answer(fl.Forecast(model, error=str(error), cost_usd=usd, latency_ms=5.0), error)


def test_each_objective_picks_what_it_says(fleet: fl.Fleet) -> None:
    for i, (model, p, ms) in enumerate([("big", 0.95, 900), ("mid", 0.9, 50), ("small", 0.7, 300)] * 30):
        task = fl.Task(f"t{i}")
        fleet.record(
            task, fl.Forecast(model, p=p, latency_ms=ms, cost_usd={"big": 0.02, "mid": 0.002}.get(model, 0.001))
        )
        fleet.settle(task, outcome=1)

    def best(goal: str, **weights: float) -> str | None:
        route = fleet.route(fl.Task("now"), objective=Objective(goal, explore=0.0, **weights))
        fleet.release(route)
        return route.model

    assert best("quality") == "big"
    assert best("cost") == "small"
    assert best("latency") == "mid"
    assert best("value") == "small"
    assert best("mix", quality=1.0, cost=0.2) == "mid"
    assert best("cost", min_quality=0.98) == "mid"
    route = fleet.route(fl.Task("now"), objective=Objective("cost", min_quality=0.9999, explore=0.0))
    assert "below_quality" in route.reasons


def test_a_route_says_why(fleet: fl.Fleet) -> None:
    route = fleet.route(
        fl.Task("q", text="Prove that there are infinitely many primes."), objective="cost", ban=["small"]
    )
    assert (route.model, route.provider, route.attempt, route.goal) == ("mid", "b", 1, "cost")
    assert route.type in ("reasoning", "simple", "tool_use")
    assert route.reasons == ("best_expected", "banned")
    assert [other.model for other in route.runners_up] == ["big"]
    assert route.propensity == 1.0
    assert route.reserved_usd == pytest.approx(4 * route.cost_usd)
    assert route
    assert "mid" in str(route)
    assert repr(route) == "<Route of 'q' to 'mid'>"
    as_dict = route.as_dict()
    assert as_dict["runners_up"][0]["model"] == "big"
    assert as_dict["reasons"] == ["best_expected", "banned"]


def test_wishes_are_checked(fleet: fl.Fleet) -> None:
    task = fl.Task("q")
    for wishes, words in (
        ({"objective": "qality"}, "goal is 'qality', must be one of"),
        ({"objective": 3}, "objective is 3"),
        ({"at_least": "best"}, "at_least is 'best'"),
        ({"ban": "small"}, "ban is 'small', must be names"),
        ({"bounds": {"small": -1.0}}, "bounds"),
        ({"type": 3}, "type is 3, must be a string"),
        ({"type": "\ud800"}, "type is '\\\\ud800', which is no text"),
        ({"pin": 3}, "pin is 3"),
        ({"ban": [3]}, "ban is 3"),
        ({"without": ["\ud800"]}, "without is"),
    ):
        with pytest.raises(InvalidRecordError, match=words):
            fleet.route(task, **wishes)  # type: ignore[arg-type]
    for wishes in ({"ban": ["smal"]}, {"pin": "smal"}, {"without": ["smal"]}, {"ban": iter(["smal"])}):
        with pytest.raises(UnknownModelError, match="smal"):
            fleet.route(task, **wishes)  # type: ignore[arg-type]
    with pytest.raises(UnknownTaskError, match="nobody"):
        fleet.route("nobody")
    fleet.record(task, fl.Forecast("mid", p=0.5))
    fleet.settle(task, outcome=1)
    with pytest.raises(TaskEndedError):
        fleet.route(task)
    for kwargs in ({"goal": "x"}, {"cost": -1.0}, {"explore": float("inf")}, {"min_quality": True}):
        with pytest.raises(InvalidRecordError):
            Objective(**kwargs)  # type: ignore[arg-type]


def test_a_call_ends_once(fleet: fl.Fleet) -> None:
    route = fleet.route(fl.Task("q"), pin="mid")
    fleet.called(route, answered("mid", usd=0.001, input_tokens=100, output_tokens=5))
    for again in (fleet.release, fleet.cancel, lambda r: fleet.called(r, answered("mid"))):
        with pytest.raises(FairleadError, match="has ended before"):
            again(route)
    nobody = fleet.route(fl.Task("q"), ban=["big", "mid", "small"])
    assert not nobody
    assert nobody.model is None
    with pytest.raises(FairleadError, match="asks nobody"):
        fleet.release(nobody)
    with pytest.raises(ValueError, match="another fleet"):
        fleet_of(Clock()).release(route)


def test_rules_hold_for_all_and_for_types(fleet: fl.Fleet) -> None:
    fleet.rules = Rules("cost", ban=["small"], types={"hard": Rules(at_least="reasoning")})
    assert fleet.rules == Rules("cost", ban=("small",), types={"hard": Rules(at_least="reasoning")})
    assert fleet.route(fl.Task("q")).model == "mid"
    assert fleet.route(fl.Task("r"), type="hard").model == "big"
    assert fleet.route(fl.Task("s"), at_least="fast", pin="mid").model == "mid"
    with pytest.raises(UnknownModelError, match="smal"):
        fleet.rules = Rules(ban=["smal"])
    for wrong in ({"pin": ""}, {"ban": "small"}, {"at_least": "x"}, {"types": {"a": Rules(types={"b": Rules()})}}):
        with pytest.raises(InvalidRecordError):
            Rules(**wrong)  # type: ignore[arg-type]


def test_health_is_learned_from_calls(fleet: fl.Fleet, clock: Clock) -> None:
    assert fleet.latency("mid") is None
    for _ in range(5):
        route = fleet.route(fl.Task("q"), pin="mid")
        fleet.called(route, failed("mid", "network"))
    assert fleet.gate("mid") == "no"
    assert "unhealthy" in fleet.route(fl.Task("q"), pin="mid").reasons
    clock.now += 31 * SECOND
    probe = fleet.route(fl.Task("q"), pin="mid")
    assert probe
    assert not fleet.route(fl.Task("q"), pin="mid")
    fleet.called(probe, answered("mid", latency_ms=250.0))
    assert fleet.gate("mid") == "yes"
    assert fleet.latency("mid") == pytest.approx(0.25, rel=0.07)
    for _ in range(5):
        fleet.called(fleet.route(fl.Task("q"), pin="big"), failed("big", "server"))
    assert fleet.gate("big") == "no"
    fleet.close_breaker("big")
    assert fleet.gate("big") == "yes"
    with pytest.raises(UnknownModelError):
        fleet.gate("nobody")


def test_a_breaker_of_its_own(clock: Clock) -> None:
    fleet = fl.Fleet(clock=clock)
    fleet.add("frail", breaker={"failures": 1, "open_for": "1h", "open_at_most": "1d"})
    fleet.called(fleet.route(fl.Task("q")), failed("frail", "timeout"))
    assert fleet.gate("frail") == "no"
    clock.now += 3599 * SECOND
    assert fleet.gate("frail") == "no"
    clock.now += 2 * SECOND
    assert fleet.gate("frail") == "yes"
    for wrong in ({"failures": 0}, {"faillures": 3}, 3):
        with pytest.raises(InvalidRecordError, match="breaker"):
            fleet.add("other", breaker=wrong)  # type: ignore[arg-type]
    assert "other" not in [model.name for model in fleet.models]


def test_what_a_failed_call_costs(fleet: fl.Fleet) -> None:
    """Those that may have been billed without a word count as the most that they could cost."""
    fleet.budgets.define(fl.Budget(1.0))
    for kind, usd, spent in (
        ("network", 0.0, 0.0),
        ("timeout", 0.0, 0.25),
        ("timeout", 0.1, 0.1),
        ("refused", 0.0, 0.0),
        ("truncated", 0.0, 0.25),
    ):
        before = spent_of(fleet)
        route = fleet.route(fl.Task(f"q{kind}{usd}"), pin="mid", bounds={"mid": 0.25})
        fleet.called(route, failed("mid", kind, usd))
        assert spent_of(fleet) - before == pytest.approx(spent)
        fleet.close_breaker("mid")


def test_what_an_answer_costs_that_tells_nothing(clock: Clock) -> None:
    fleet = fl.Fleet(clock=clock)
    fleet.add(
        fl.Model("tells", price_in=1000, price_out=4000), lambda task: {"p": 0.7, "tokens_in": 1000, "tokens_out": 500}
    )
    fleet.add(fl.Model("silent", price_in=1000, price_out=4000), lambda task: {"p": 0.7, "cost_usd": None})
    fleet.add(fl.Model("free"), lambda task: 0.7)
    fleet.budgets.define(fl.Budget(100.0))
    fleet.ask_sync(fl.Task("a"), pin="tells")
    assert spent_of(fleet) == 3.0
    fleet.ask_sync(fl.Task("b"), pin="silent", bounds={"silent": 0.5})
    assert spent_of(fleet) == 3.5
    assert fleet.costs("model")["silent"].unpriced == 1
    fleet.ask_sync(fl.Task("c"), pin="free", bounds={"free": 0.5})
    assert spent_of(fleet) == 3.5
    fleet.remove("free")
    fleet.add(fl.Model("free", price_in=1, price_out=1), lambda task: 0.7)
    fleet.ask_sync(fl.Task("d"), pin="free", bounds={"free": 0.5})
    assert spent_of(fleet) == 4.0


def test_a_desk_remembers_rules_health_and_open_calls(tmp_path: Path, clock: Clock) -> None:
    with fleet_of(clock, tmp_path) as fleet:
        fleet.rules = Rules(ban=["big"])
        fleet.budgets.define(fl.Budget(1.0))
        for _ in range(5):
            fleet.called(fleet.route(fl.Task("q"), pin="mid"), failed("mid", "network"))
        fleet.enter_emergency("a test")
        lost = fleet.route(fl.Task("q"), pin="small", bounds={"small": 0.25})
        assert lost
        state = fleet._core.state()
    with fl.Fleet.open(tmp_path, clock=clock) as fleet:
        assert fleet.rules == Rules(ban=("big",))
        assert fleet.gate("mid") == "no"
        assert fleet.emergency
        assert spent_of(fleet) == 0.25  # nobody knows what became of the call: it counts as made
        assert [call for call in fleet._core.open_calls() if not call[3]] == []  # those of `mid` have ended
        assert fleet._core.state() != state
    events = list(read(tmp_path, types=("route", "called")))
    assert [event.type for event in events[-2:]] == ["route", "called"]
    assert events[-1].data["end"] == "lost"
    assert events[-2].data["propensity"] == 1.0
    assert events[-2].data["reasons"] == ("only_candidate", "pinned")


def test_a_prompt_model_tells_apart_what_outcomes_do_not(fleet: fl.Fleet) -> None:
    words = [f"prove lemma {i}" for i in range(40)] + [f"who wrote book {i}" for i in range(40)]
    quality = np.array([[1.0, 0.5, 0.0]] * 40 + [[0.2, 0.5, 1.0]] * 40)
    fleet.prompt_model = LinearPromptModel.fit(words, quality, models=("big", "mid", "small"))
    greedy = Objective(explore=0.0)
    assert fleet.route(fl.Task("a", text="prove lemma 7"), objective=greedy).model == "big"
    assert fleet.route(fl.Task("b", text="who wrote book 7"), objective=greedy).model == "small"
    fleet.record(fl.Task("c", text="prove lemma 9"), fl.Forecast("mid", p=0.5))
    assert fleet.route("c", objective=greedy).model == "big"
    fleet.prompt_model = None
    assert fleet.route(fl.Task("d", text="prove lemma 7"), objective=greedy).quality == 0.5
    with pytest.raises(InvalidRecordError, match="prompt_model"):
        fleet.prompt_model = 3  # type: ignore[assignment]


def test_types_come_from_the_classifier_or_from_whoever_asks(fleet: fl.Fleet) -> None:
    text = "Book a table for two in Lisbon tonight and send the invitation to Ana."
    assert fleet.classifier is not None
    assert fleet.route(fl.Task("a", text=text)).type == fleet.classifier.classify(text).name
    assert fleet.route(fl.Task("b", text=text), type="mine").type == "mine"
    assert fleet.route("b").type == "mine"
    fleet.classifier = None
    assert fleet.route(fl.Task("c", text=text)).type == ""


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(GOALS), st.floats(0, 2), st.sets(st.sampled_from(["big", "mid", "small"])))),
    st.integers(0, 3),
)
def test_who_is_asked_is_allowed(wishes: list[tuple[str, float, set[str]]], tier: int) -> None:
    fleet = fleet_of(Clock())
    lowest = ("reasoning", "standard", "fast", None)[tier]
    allowed = (
        {"big", "mid", "small"} if lowest in ("fast", None) else {"big", "mid"} if lowest == "standard" else {"big"}
    )
    for i, (goal, explore, ban) in enumerate(wishes):
        task = fl.Task(f"q{i}", text="x" * i)
        route = fleet.route(task, objective=Objective(goal, explore=explore), ban=sorted(ban), at_least=lowest)
        if not route:
            assert not allowed - ban
            continue
        assert route.model in allowed - ban
        assert {other.model for other in route.runners_up} == allowed - ban - {route.model}
        assert 0.0 < route.propensity <= 1.0  # type: ignore[operator]
        fleet.called(route, answered(route.model, p=0.9))  # type: ignore[arg-type]
        fleet.record(task, fl.Forecast(route.model, p=0.9))  # type: ignore[arg-type]
        fleet.settle(task, outcome=1)
    assert fleet._core.open_calls() == []


def test_a_provider_that_knows_its_most_bounds_the_call(clock: Clock) -> None:
    fleet = fl.Fleet(clock=clock)
    fleet.add(fl.Model("a", provider="openai", price_in=2.0, price_out=10.0), OpenAIProvider(max_tokens=1000))
    fleet.add(fl.Model("b", provider="openai", price_in=2.0, price_out=10.0), OpenAIProvider())
    task = fl.Task("q", text="x" * 1000)
    route = fleet.route(task, pin="a")
    # A byte is at least a token: 1,000 of the text, what the prompt and the server add, and 1,000 of the answer.
    assert 0.01 + 0.002 < route.reserved_usd < 0.01 + 0.002 + 0.004
    assert fleet.route("q", pin="a").reserved_usd == route.reserved_usd
    assert fleet.route(task, pin="a", bounds={"a": 0.5}).reserved_usd == 0.5
    assert fleet.route(task, pin="b").reserved_usd == pytest.approx(4 * fleet.route(task, pin="b").cost_usd)
    fleet.connect("a", lambda task: 0.5)
    assert fleet.route(task, pin="a").reserved_usd == pytest.approx(4 * fleet.route(task, pin="a").cost_usd)
