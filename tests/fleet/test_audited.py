"""What is told of settled tasks: who said what, who was believed, and what everybody would have lost."""

from __future__ import annotations

from pathlib import Path

import pytest

import fairlead as fl


def ask(fleet: fl.Fleet, name: str, answers: dict[str, float], outcome: int | None = None, **task: object) -> fl.Task:
    asked = fl.Task(name, **task)  # type: ignore[arg-type]
    for model, p in answers.items():
        fleet.record(asked, fl.Forecast(model, p=p, cost_usd=0.25))
    if outcome is not None:
        fleet.decide(asked)
        fleet.settle(asked, outcome, profit_usd=2.0 * outcome - 1.0)
    return asked


@pytest.fixture
def fleet() -> fl.Fleet:
    made = fl.Fleet(clock=lambda: 7)
    for model in ("a", "b", "c"):
        made.add(model)
    return made


def test_an_audit_holds_the_task_and_what_became_of_it(fleet: fl.Fleet) -> None:
    ask(
        fleet,
        "q",
        {"a": 0.9, "b": 0.5},
        1,
        category="rates",
        stake_usd=20.0,
        expires_in_s=1800.0,
        regime="calm",
        slices={"h": "1"},
    )
    audit = fleet.audit("q")
    assert (audit.task, audit.kind, audit.category, audit.stake_usd) == ("q", "binary", "rates", 20.0)
    assert dict(audit.slices) == {"h": "1", "regime": "calm"}
    assert dict(audit.answers) == {"a": 0.9, "b": 0.5}
    assert (audit.p, audit.strategy, audit.outcome, audit.profit_usd) == (pytest.approx(0.7), "auto", 1, 1.0)
    assert audit.loss == pytest.approx(0.09)
    assert dict(audit.losses) == pytest.approx({"a": 0.01, "b": 0.25})
    assert set(audit.strategies) == set(fl.STRATEGIES)
    assert audit.strategies["mean"] == pytest.approx(0.09)
    assert audit.strategies["confidence"] == pytest.approx(0.01)
    assert (audit.cost_usd, dict(audit.costs)) == (0.5, {"a": 0.25, "b": 0.25})
    assert audit.reasons == ("no_history", "models_disagree")


def test_what_is_not_settled_or_unknown_is_told(fleet: fl.Fleet) -> None:
    ask(fleet, "open", {"a": 0.9})
    with pytest.raises(fl.UnknownTaskError, match="not settled yet"):
        fleet.audit("open")
    with pytest.raises(fl.UnknownTaskError, match="not among the newest"):
        fleet.audit("never")
    fleet.void("open")
    with pytest.raises(fl.UnknownTaskError, match="not among the newest"):
        fleet.audit("open")


def test_answers_are_those_of_models_in_the_fleet(fleet: fl.Fleet) -> None:
    ask(fleet, "q", {"a": 0.9, "b": 0.2, "c": 0.5})
    fleet.remove("b")
    assert [(a.model, a.p, a.cost_usd) for a in fleet.answers("q")] == [("a", 0.9, 0.25), ("c", 0.5, 0.25)]
    assert fleet.answers("q")[0].confidence == 0.9
    fleet.settle("q", 1)
    with pytest.raises(fl.TaskEndedError):
        fleet.answers("q")
    with pytest.raises(fl.UnknownTaskError, match="not open"):
        fleet.answers("nobody asked")


def test_audits_are_the_same_after_reopening(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path, clock=lambda: 7) as desk:
        for model in ("a", "b"):
            desk.add(model)
        for i in range(30):
            ask(desk, f"q{i}", {"a": 0.1 + 0.02 * i, "b": 0.6}, i % 2, category="xy"[i % 2])
        lived = desk.audits()
    with fl.Fleet.open(tmp_path, clock=lambda: 7) as desk:
        assert desk.audits() == lived
        assert len(desk.audits(category="x")) == 15
        assert desk.audits(since=8) == ()


def test_a_strategy_of_ones_own_decides_and_is_named(tmp_path: Path) -> None:
    class Last(fl.Strategy):
        name = "the last by name"

        def weigh(self, task: fl.Task, answers: object) -> list[float]:
            names = [answer.model for answer in answers]  # type: ignore[attr-defined]
            return [2.0 if name == max(names) else 0.0 for name in names]

    class Wrong(Last):
        name = "mean"

    with fl.Fleet.open(tmp_path, clock=lambda: 7) as desk:
        for model in ("a", "b"):
            desk.add(model)
        task = ask(desk, "q", {"a": 0.9, "b": 0.2})
        decision = desk.decide(task, strategy=Last())
        assert (decision.p, decision.strategy, decision.chosen) == (0.2, "the last by name", "the last by name")
        assert dict(decision.weights) == {"a": 0.0, "b": 1.0}
        with pytest.raises(fl.InvalidRecordError, match=r"strategy\.name is 'mean'"):
            desk.decide(task, strategy=Wrong())
        with pytest.raises(fl.InvalidRecordError, match="must be a name or a Strategy"):
            desk.decide(task, strategy=3)  # type: ignore[arg-type]
        desk.settle(task, 0)
    with fl.Fleet.open(tmp_path, clock=lambda: 7) as desk:
        assert desk.audit("q").strategy == "the last by name"


@pytest.mark.parametrize(
    ("weights", "told"), [([1.0], "1 weights for 2"), ([-1.0, 2.0], "must be 0 or more"), ([0.0, 0.0], "above 0")]
)
def test_weights_that_are_none_are_refused(fleet: fl.Fleet, weights: list[float], told: str) -> None:
    class Given(fl.Strategy):
        name = "given"

        def weigh(self, task: fl.Task, answers: object) -> list[float]:
            return weights

    task = ask(fleet, "q", {"a": 0.9, "b": 0.2})
    with pytest.raises(fl.InvalidRecordError, match=told):
        fleet.decide(task, strategy=Given())


def test_the_interval_follows_the_likeliest_label_of_two_as_of_three() -> None:
    fleet = fl.Fleet()
    fleet.add("sure")
    for i in range(300):
        task = fl.Task(f"q{i}", kind="categorical", labels=("x", "y"))
        fleet.record(task, fl.Forecast("sure", p={"x": 0.875, "y": 0.125}))
        fleet.decide(task)
        fleet.settle(task, "xy"[i % 2])
    task = fl.Task("next", kind="categorical", labels=("x", "y"))
    fleet.record(task, fl.Forecast("sure", p={"x": 0.875, "y": 0.125}))
    decision = fleet.decide(task, strategy="mean")
    assert decision.low is not None
    assert decision.low < 0.5  # x happened half the time when it was given .875
    assert decision.high == pytest.approx(0.875)


def test_half_kelly_and_a_drawdown() -> None:
    fleet = fl.Fleet(settings=fl.Settings(kelly=0.5, capital_usd=100.0, drawdown_limit=0.2))
    fleet.add("a")
    first = ask(fleet, "q0", {"a": 0.9})
    assert fleet.decide(first).position_scale == pytest.approx(0.4)
    fleet.settle(first, 0, profit_usd=-10.0)
    assert fleet.drawdown == pytest.approx(0.1)
    second = ask(fleet, "q1", {"a": 0.9})
    decision = fleet.decide(second)
    assert decision.position_scale == pytest.approx(0.2)
    assert "profits have fallen from their peak: the position scale is cut" in decision.reasons
    for wrong in ({"kelly": 1.5}, {"capital_usd": -1.0}, {"drawdown_limit": 0.0}):
        with pytest.raises(fl.InvalidRecordError, match=next(iter(wrong))):
            fl.Settings(**wrong)


def test_where_little_is_remembered_it_is_said_what_audits_need() -> None:
    made = fl.Fleet(settings=fl.Settings(remember=1), clock=lambda: 7)
    made.add("a")
    for name in ("q1", "q2"):
        ask(made, name, {"a": 0.9}, 1)
    assert [audit.task for audit in made.audits()] == ["q2"]
    with pytest.raises(fl.UnknownTaskError, match=r"'q1', .*newest.*Settings\.remember is 1"):
        made.audit("q1")
    assert "remember" in (fl.Fleet.audit.__doc__ or "")
    assert "remember" in (fl.Fleet.audits.__doc__ or "")
    none = fl.Fleet(settings=fl.Settings(remember=0), clock=lambda: 7)
    none.add("a")
    ask(none, "q", {"a": 0.9}, 1)
    with pytest.raises(ValueError, match=r"audits is empty: no task has been settled, or .*remember"):
        fl.contribution(none.audits())


def test_a_position_is_cut_by_kelly_drawdown_and_emergency() -> None:
    """As the docstring of `Decision` says."""
    made = fl.Fleet(settings=fl.Settings(kelly=0.5, capital_usd=100.0, drawdown_limit=0.2), clock=lambda: 7)
    made.add("a")
    full = abs(2 * 0.9 - 1)
    made.record(fl.Task("q"), fl.Forecast("a", p=0.9))
    assert made.decide("q", strategy="mean").position_scale == pytest.approx(full * 0.5)
    made.settle("q", 0, profit_usd=-10.0)
    made.record(fl.Task("r"), fl.Forecast("a", p=0.9))
    assert made.drawdown == pytest.approx(0.1)
    assert made.decide("r", strategy="mean").position_scale == pytest.approx(full * 0.5 * (1 - 0.1 / 0.2))
    made.enter_emergency("a test")
    assert made.decide("r", strategy="mean").position_scale == pytest.approx(full * 0.5 * (1 - 0.1 / 0.2) * 0.25)
    told = fl.Decision.__doc__ or ""
    assert all(word in told for word in ("Settings.kelly", "drawdown_limit", "emergency", "consensus"))
