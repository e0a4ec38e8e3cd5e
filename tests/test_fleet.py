"""The fleet as its users see it: what a story of events leads to, and that a rejected call leads to nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    root_mean_squared_error,
)

import fairlead as fl

LABELS = ("up", "flat", "down")
MODELS = ("a", "b", "c", "d")
SLICES: list[dict[str, str]] = [{}, {"category": "x"}, {"category": "y"}, {"horizon": "1"}]


def a_fleet(*models: str) -> fl.Fleet:
    fleet = fl.Fleet(clock=lambda: 7)
    for model in models or MODELS:
        fleet.add(model)
    return fleet


def state(fleet: fl.Fleet) -> dict[str, Any]:
    """All that can be seen of a fleet, NaN equal to NaN."""
    boards = {}
    for where in SLICES:
        try:
            boards[str(where)] = repr(fleet.leaderboard(**where))
        except fl.InvalidRecordError as error:
            boards[str(where)] = str(error)
    decisions = {}
    for task in fleet.open_tasks:
        for strategy in fl.STRATEGIES:
            try:
                decisions[task.id, strategy] = repr(fleet.decide(task, strategy=strategy))
            except fl.NoForecastError as error:
                decisions[task.id, strategy] = str(error)
    return {"models": fleet.models, "open": fleet.open_tasks, "boards": boards, "decisions": decisions}


# --- stories: tasks of every kind, with answers, failures, revisions and outcomes that come late or never ---


@dataclass(frozen=True)
class Story:
    """Tasks in the order in which they open; each is settled once `lag` more have opened, or never."""

    tasks: list[tuple[fl.Task, list[fl.Forecast], float | None, int]]


def exact(n: int) -> st.SearchStrategy[tuple[float, ...]]:
    """Distributions over n labels that sum to 1 without rounding."""
    cuts = st.lists(st.integers(0, 64), min_size=n - 1, max_size=n - 1).map(sorted)
    return cuts.map(lambda at: tuple((b - a) / 64 for a, b in zip([0, *at], [*at, 64], strict=True)))


@st.composite
def stories(draw: st.DrawFn, kinds: tuple[str, ...] = ("binary", "categorical", "numeric")) -> Story:
    tasks = []
    for i in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(kinds))
        task = fl.Task(
            f"task {i}",
            kind=kind,
            labels=LABELS if kind == "categorical" else (),
            category=draw(st.sampled_from(["", "x", "y"])),
            slices=draw(st.sampled_from([{}, {"horizon": "1"}])),
        )
        answer = {
            "binary": st.builds(lambda p: {"p": p}, st.floats(0, 1)),
            "categorical": st.builds(lambda p: {"p": p}, exact(3)),
            "numeric": st.builds(lambda value: {"value": value}, st.floats(-100, 100)),
        }[kind] | st.just({"error": "timeout"})
        who = draw(st.lists(st.sampled_from(MODELS), min_size=1, max_size=6))
        forecasts = [fl.Forecast(model, cost_usd=0.25, **draw(answer)) for model in who]
        outcome = {
            "binary": st.integers(0, 1),
            "categorical": st.integers(0, 2),
            "numeric": st.floats(-100, 100),
        }[kind]
        tasks.append((task, forecasts, draw(st.none() | outcome), draw(st.integers(0, 3))))
    return Story(tasks)


def play(fleet: fl.Fleet, story: Story) -> list[list[fl.Decision]]:
    """Runs a story; for each task the decision of every strategy, none where every call failed."""
    decisions = []
    for now, (task, forecasts, _, _) in enumerate(story.tasks):
        for forecast in forecasts:
            fleet.record(task, forecast)
        answered = any(not forecast.error for forecast in forecasts)
        decisions.append([fleet.decide(task, strategy=s) for s in fl.STRATEGIES] if answered else [])
        for i, (earlier, _, outcome, lag) in enumerate(story.tasks[: now + 1]):
            if outcome is not None and i + lag == now:
                fleet.settle(earlier, outcome, time=now + 1)
    return decisions


@given(stories())
def test_the_same_events_lead_to_the_same_state_bit_for_bit(story: Story) -> None:
    one, other = a_fleet(), a_fleet()
    assert repr(play(one, story)) == repr(play(other, story))
    assert state(one) == state(other)


@given(stories())
def test_deciding_changes_nothing(story: Story) -> None:
    asked, silent = a_fleet(), a_fleet()
    play(asked, story)
    for now, (task, forecasts, _, _) in enumerate(story.tasks):
        for forecast in forecasts:
            silent.record(task, forecast)
        for i, (earlier, _, outcome, lag) in enumerate(story.tasks[: now + 1]):
            if outcome is not None and i + lag == now:
                silent.settle(earlier, outcome, time=now + 1)
    assert state(asked) == state(silent)


@given(st.data(), stories())
def test_the_order_of_recording_does_not_matter(data: st.DataObject, story: Story) -> None:
    once = Story([(t, list({f.model: f for f in answers}.values()), y, lag) for t, answers, y, lag in story.tasks])
    shuffled = Story([(t, data.draw(st.permutations(answers)), y, lag) for t, answers, y, lag in once.tasks])
    one, other = a_fleet(), a_fleet()
    for before, after in zip(play(one, once), play(other, shuffled), strict=True):
        for x, y in zip(before, after, strict=True):
            assert y.weights == pytest.approx(x.weights, abs=1e-9)
            assert y.answer == pytest.approx(x.answer, abs=1e-9)
            numbers = (x.disagreement, x.uncertainty, x.position_scale, x.cost_usd)
            assert (y.disagreement, y.uncertainty, y.position_scale, y.cost_usd) == pytest.approx(numbers, abs=1e-6)
    for model in MODELS:
        x, y = (f.leaderboard()[model] for f in (one, other))
        assert y.elo == pytest.approx(x.elo, abs=1e-9)
        scores = (x.n, x.brier, x.log_loss, x.accuracy, x.calibration_error, x.mae, x.rmse, x.calls, x.failed)
        assert (
            y.n,
            y.brier,
            y.log_loss,
            y.accuracy,
            y.calibration_error,
            y.mae,
            y.rmse,
            y.calls,
            y.failed,
        ) == (pytest.approx(scores, nan_ok=True))


@given(stories())
def test_ratings_conserve_their_sum_in_every_slice(story: Story) -> None:
    fleet = a_fleet()
    play(fleet, story)
    for where in SLICES:
        try:
            board = fleet.leaderboard(**where)
        except fl.InvalidRecordError:
            continue
        assert math.fsum(row.elo for row in board) == pytest.approx(1500 * len(MODELS), abs=1e-9)


@given(stories())
def test_decisions_are_sound(story: Story) -> None:
    for (task, forecasts, _, _), decisions in zip(story.tasks, play(a_fleet(), story), strict=True):
        answers = {f.model: f for f in forecasts if not f.error}
        for decision, strategy in zip(decisions, fl.STRATEGIES, strict=False):
            assert decision.strategy == strategy
            assert decision.weights.keys() == answers.keys()
            assert math.fsum(decision.weights.values()) == pytest.approx(1, abs=1e-12)
            assert 0 <= decision.disagreement <= 1
            assert 0 <= decision.position_scale <= 1
            assert decision.uncertainty >= 0
            assert decision.cost_usd == 0.25 * len(forecasts)
            assert decision.reasons
            if task.kind == "numeric":
                values = [f.value for f in answers.values()]
                assert min(values) - 1e-9 <= decision.value <= max(values) + 1e-9
            elif task.kind == "binary":
                assert -1e-12 <= decision.p <= 1 + 1e-12
            else:
                assert tuple(decision.p) == task.labels
                assert math.fsum(decision.p.values()) == pytest.approx(1, abs=1e-12)
            assert fl.Decision.from_json(decision.to_json()) == decision


# --- scores against scikit-learn ---


def test_binary_scores_agree_with_scikit_learn() -> None:
    dice = np.random.default_rng(1)
    p, y = dice.random(400).round(2), dice.integers(0, 2, 400)
    p[:4] = [0.0, 1.0, 0.0, 1.0]
    fleet = a_fleet("m")
    for i in range(len(y)):
        fleet.record(fl.Task(str(i)), fl.Forecast("m", p=p[i]))
        fleet.settle(str(i), y[i])
    row = fleet.leaderboard()["m"]
    assert row.n == 400
    assert row.brier == pytest.approx(brier_score_loss(y, p), rel=1e-13)
    assert row.log_loss == pytest.approx(log_loss(y, p, labels=[0, 1]), rel=1e-12)
    assert row.accuracy == accuracy_score(y, p > 0.5)
    tenth = np.minimum((p * 10).astype(int), 9)
    gaps = [abs((p - y)[tenth == i].sum()) for i in range(10)]
    assert row.calibration_error == pytest.approx(sum(gaps) / 400, rel=1e-12)
    assert math.isnan(row.mae)


def test_categorical_scores_agree_with_scikit_learn() -> None:
    dice = np.random.default_rng(2)
    p, y = dice.dirichlet([1, 0.5, 0.7], 300), dice.integers(0, 3, 300)
    fleet = a_fleet("m")
    for i in range(len(y)):
        task = fl.Task(str(i), kind="categorical", labels=LABELS)
        fleet.record(task, fl.Forecast("m", p=dict(zip(LABELS, p[i], strict=True))))
        fleet.settle(task, LABELS[y[i]])
    row = fleet.leaderboard()["m"]
    assert row.brier == pytest.approx(((p - np.eye(3)[y]) ** 2).sum(axis=1).mean(), rel=1e-13)
    assert row.log_loss == pytest.approx(log_loss(y, p, labels=[0, 1, 2]), rel=1e-12)
    assert row.accuracy == accuracy_score(y, p.argmax(axis=1))
    top, right = p.max(axis=1), p.argmax(axis=1) == y
    tenth = np.minimum((top * 10).astype(int), 9)
    gaps = [abs((top - right)[tenth == i].sum()) for i in range(10)]
    assert row.calibration_error == pytest.approx(sum(gaps) / 300, rel=1e-12)


def test_numeric_scores_agree_with_scikit_learn() -> None:
    dice = np.random.default_rng(3)
    value, y = dice.normal(100, 20, (2, 300))
    fleet = a_fleet("m")
    for i in range(len(y)):
        task = fl.Task(str(i), kind="numeric")
        fleet.record(task, fl.Forecast("m", value=value[i]))
        fleet.settle(task, y[i])
    row = fleet.leaderboard()["m"]
    assert row.mae == pytest.approx(mean_absolute_error(y, value), rel=1e-13)
    assert row.rmse == pytest.approx(root_mean_squared_error(y, value), rel=1e-13)
    assert math.isnan(row.brier)


def test_slices_keep_score_of_their_own_tasks() -> None:
    fleet = a_fleet("m", "n")
    for i, (category, p) in enumerate([("x", 0.9), ("x", 0.6), ("y", 0.2), ("", 0.5)]):
        task = fl.Task(str(i), category=category, regime="calm", slices={"horizon": str(i % 2)})
        fleet.record(task, fl.Forecast("m", p=p))
        fleet.record(task, fl.Forecast("n", p=0.5))
        fleet.settle(task, 1)
    read = {
        str(where): (fleet.leaderboard(**where)["m"].n, fleet.leaderboard(**where)["m"].brier)
        for where in [*SLICES, {"regime": "calm"}]
    }
    assert read == {
        "{}": (4, pytest.approx((0.01 + 0.16 + 0.64 + 0.25) / 4)),
        "{'category': 'x'}": (2, pytest.approx((0.01 + 0.16) / 2)),
        "{'category': 'y'}": (1, pytest.approx(0.64)),
        "{'horizon': '1'}": (2, pytest.approx((0.16 + 0.25) / 2)),
        "{'regime': 'calm'}": (4, pytest.approx((0.01 + 0.16 + 0.64 + 0.25) / 4)),
    }
    assert fleet.leaderboard(category="x").rows[0].model == "m"
    assert fleet.leaderboard(category="y").rows[0].model == "n"


# --- strategies in words ---


def learned(strategy: str = "hedge") -> fl.Decision:
    fleet = a_fleet("good", "bad")
    for i in range(60):
        task = fl.Task(str(i))
        fleet.record(task, fl.Forecast("good", p=0.8))
        fleet.record(task, fl.Forecast("bad", p=0.3))
        fleet.settle(task, 1, time=i + 1)
    fleet.record(fl.Task("now"), fl.Forecast("good", p=0.9))
    fleet.record("now", fl.Forecast("bad", p=0.2))
    return fleet.decide("now", strategy=strategy)


def test_a_model_that_was_right_gets_the_weight() -> None:
    for strategy in ("hedge", "weighted"):
        decision = learned(strategy)
        assert decision.weights["good"] > 0.6
        assert decision.p == pytest.approx(0.2 + 0.7 * decision.weights["good"])
        assert any("favour good" in reason for reason in decision.reasons)


def test_one_vote_each() -> None:
    for strategy in ("mean", "median", "log"):
        decision = learned(strategy)
        assert decision.weights == {"good": 0.5, "bad": 0.5}
        assert "this strategy gives every model one vote" in decision.reasons
    assert any("contradict one another" in reason for reason in learned("mean").reasons)
    assert learned("mean").p == learned("median").p == pytest.approx(0.55)
    odds = math.sqrt(0.9 / 0.1 * 0.2 / 0.8)
    assert learned("log").p == pytest.approx(odds / (1 + odds))


def test_without_history_all_are_equal() -> None:
    fleet = a_fleet("a", "b")
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.6))
    assert fleet.decide("q").reasons == ("a is the only model that answered",)
    fleet.record("q", fl.Forecast("b", p=0.7))
    decision = fleet.decide("q")
    assert decision.strategy == fl.DEFAULT_STRATEGY == "auto"
    assert decision.weights == {"a": 0.5, "b": 0.5}
    assert decision.reasons == ("no outcome has told these models apart yet: equal weights",)


# --- the ordinary misfortunes ---


def test_a_revision_replaces_the_answer_and_its_cost_adds_up() -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.2, cost_usd=0.5))
    fleet.record("q", fl.Forecast("a", p=0.9, cost_usd=0.25))
    decision = fleet.decide("q")
    assert (decision.p, decision.cost_usd) == (0.9, 0.75)
    fleet.settle("q", 1)
    row = fleet.leaderboard()["a"]
    assert (row.n, row.calls, row.cost_usd) == (1, 2, 0.75)
    assert row.brier == pytest.approx(0.01)


def test_a_model_that_failed_is_left_out() -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q"), fl.Forecast("a", error="timeout", cost_usd=0.5, latency_ms=30_000))
    with pytest.raises(fl.NoForecastError, match="'q'"):
        fleet.decide("q")
    fleet.record("q", fl.Forecast("b", p=0.7))
    decision = fleet.decide("q")
    assert decision.weights == {"b": 1.0}
    assert decision.cost_usd == 0.5
    assert "some calls failed and were left out" in decision.reasons
    fleet.settle("q", 1)
    row = fleet.leaderboard()["a"]
    assert (row.n, row.calls, row.failed, row.elo, row.latency_ms) == (0, 1, 1, 1500.0, 30_000.0)


def test_a_failure_leaves_an_earlier_answer_standing() -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.2))
    fleet.record("q", fl.Forecast("a", error="timeout"))
    assert fleet.decide("q").p == 0.2


def test_a_late_joiner_starts_where_everyone_started() -> None:
    fleet = a_fleet("a", "b")
    for i in range(30):
        fleet.record(fl.Task(str(i), category="x"), fl.Forecast("a", p=0.9))
        fleet.record(str(i), fl.Forecast("b", p=0.3))
        fleet.settle(str(i), 1)
    fleet.add("late")
    assert fleet.leaderboard()["late"].elo == fleet.leaderboard(category="x")["late"].elo == 1500.0
    for model, p in (("a", 0.9), ("b", 0.3), ("late", 0.8)):
        fleet.record(fl.Task("now", category="x"), fl.Forecast(model, p=p))
    weights = fleet.decide("now").weights
    assert weights["b"] < weights["late"] < weights["a"]


def test_a_model_may_leave_and_come_back() -> None:
    fleet = a_fleet("a", "b")
    for model, p in (("a", 0.9), ("b", 0.2)):
        fleet.record(fl.Task("q"), fl.Forecast(model, p=p))
    fleet.remove("a")
    assert [model.name for model in fleet.models] == ["b"]
    decision = fleet.decide("q")
    assert decision.weights == {"b": 1.0}
    assert "answers of models that have left were ignored" in decision.reasons
    with pytest.raises(fl.UnknownModelError, match="'a', which has left the fleet"):
        fleet.record("q", fl.Forecast("a", p=0.5))
    fleet.settle("q", 1)  # what it said is still scored
    row = fleet.leaderboard()["a"]
    assert (row.n, row.active) == (1, False)
    assert row.elo > 1500
    assert "a (left)" in str(fleet.leaderboard())
    fleet.add("a")
    assert fleet.leaderboard()["a"].active
    assert fleet.leaderboard()["a"].elo == row.elo


def test_the_same_outcome_twice_is_no_news() -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.9))
    fleet.record("q", fl.Forecast("b", p=0.4))
    assert fleet.settle("q", outcome=True)
    before = state(fleet)
    assert not fleet.settle("q", outcome=1)
    assert not fleet.settle(fl.Outcome("q", 1.0, profit_usd=3.0))
    assert state(fleet) == before


def test_an_outcome_that_never_comes() -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.9))
    fleet.record("q", fl.Forecast("b", p=0.4))
    assert fleet.void("q")
    assert not fleet.void("q")
    assert fleet.open_tasks == ()
    assert all(row.n == 0 and row.elo == 1500.0 for row in fleet.leaderboard())
    assert fleet.leaderboard()["a"].calls == 1
    with pytest.raises(fl.TaskEndedError, match="outcome is 1, but task 'q' ended with None"):
        fleet.settle("q", 1)


@pytest.mark.parametrize("outcome", ["flat", 1, 1.0])
def test_an_outcome_is_a_label_or_its_index(outcome: str | float) -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q", kind="categorical", labels=LABELS), fl.Forecast("a", p={"flat": 0.9, "up": 0.1}))
    assert fleet.settle("q", outcome)
    assert fleet.leaderboard()["a"].brier == pytest.approx(0.02)
    assert not fleet.settle("q", "flat")


def test_ended_tasks_are_forgotten_in_the_end() -> None:
    fleet = fl.Fleet(settings=fl.Settings(remember=2))
    fleet.add("a")
    for i in range(3):
        fleet.record(fl.Task(str(i)), fl.Forecast("a", p=0.5))
        fleet.settle(str(i), 1)
    assert not fleet.settle("2", 1)
    with pytest.raises(fl.UnknownTaskError, match="'0'"):
        fleet.settle("0", 1)


def test_a_task_may_be_passed_again_or_named() -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q", category="x", time=5), fl.Forecast("a", p=0.5))
    fleet.record(fl.Task("q", category="x", time=9), fl.Forecast("b", p=0.7))
    assert fleet.decide(fl.Task("q")).p == pytest.approx(0.6)
    assert len(fleet.open_tasks) == 1


def test_the_clock_stamps_what_comes_without_a_time() -> None:
    fleet = a_fleet()
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.5))
    assert fleet.decide("q").time == 7


def test_drift_is_on_the_leaderboard() -> None:
    fleet = fl.Fleet(settings=fl.Settings(psi_reference=200, psi_window=200))
    fleet.add("a")
    dice = np.random.default_rng(5)
    confidences = np.concatenate([dice.uniform(0.5, 0.8, 400), dice.uniform(0.7, 1, 200)])
    for i, confidence in enumerate(confidences):
        fleet.record(fl.Task(str(i)), fl.Forecast("a", p=0.5, confidence=confidence))
        if i == 398:
            assert math.isnan(fleet.leaderboard()["a"].drift)
        if i == 399:
            assert fleet.leaderboard()["a"].drift < 0.2
    drift = fl.Psi(confidences[:200]).compare(confidences[400:])
    assert fleet.leaderboard()["a"].drift == pytest.approx(drift, rel=1e-12)
    assert drift > 0.25


def test_the_leaderboard_prints_and_turns_into_rows() -> None:
    fleet = a_fleet("a", "b")
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.9, cost_usd=0.5))
    fleet.record("q", fl.Forecast("b", p=0.4))
    fleet.settle("q", 1)
    board = fleet.leaderboard()
    assert [row.model for row in board] == ["a", "b"]
    assert [row["elo"] for row in board.to_dicts()] == [1516.0, 1484.0]
    header, first, second = str(board).splitlines()
    assert header.split()[:4] == ["model", "elo", "n", "brier"]
    assert first.split()[:4] == ["a", "1516", "1", "0.0100"]
    assert "mae" not in header
    assert len(board) == 2
    assert second.startswith("b")
    with pytest.raises(KeyError, match="zz"):
        board["zz"]


# --- rejected calls: the error names the field and the value, and nothing has changed ---


def in_the_middle() -> fl.Fleet:
    """Two open tasks of each kind and one ended, some history, a model that has left."""
    fleet = a_fleet()
    for i in range(25):
        task = fl.Task(f"old {i}", category="x" if i % 2 else "y")
        for model, p in (("a", 0.9), ("b", 0.4), ("c", 0.6), ("d", 0.1)):
            fleet.record(task, fl.Forecast(model, p=p))
        fleet.settle(task, 1 if i % 3 else 0, time=i + 1)
    fleet.record(fl.Task("yes-no", category="x"), fl.Forecast("a", p=0.7))
    fleet.record("yes-no", fl.Forecast("b", p=0.2))
    direction = fl.Task("direction", kind="categorical", labels=LABELS)
    fleet.record(direction, fl.Forecast("a", p=(0.5, 0.25, 0.25)))
    fleet.record(direction, fl.Forecast("c", p={"up": 1.0, "down": 0.0}))
    fleet.record(fl.Task("level", kind="numeric"), fl.Forecast("a", value=3.0))
    fleet.record("level", fl.Forecast("b", value=5.0))
    fleet.record(fl.Task("silent"), fl.Forecast("a", error="timeout"))
    fleet.record(fl.Task("gone"), fl.Forecast("a", p=0.5))
    fleet.void("gone")
    fleet.remove("d")
    return fleet


INVALID = fl.InvalidRecordError
ANSWER = {"model": "a", "p": 0.5}
REJECTED = {
    # forecasts
    "forecast after settling": (
        lambda f: f.record("old 3", fl.Forecast(**ANSWER)),
        fl.TaskEndedError,
        "'old 3' has ended with 0",
    ),
    "forecast after voiding": (
        lambda f: f.record("gone", fl.Forecast(**ANSWER)),
        fl.TaskEndedError,
        "'gone' has ended with None",
    ),
    "unknown model": (
        lambda f: f.record("yes-no", fl.Forecast("aa", p=0.5)),
        fl.UnknownModelError,
        "model is 'aa'",
    ),
    "unknown model opens no task": (
        lambda f: f.record(fl.Task("new"), fl.Forecast("zz", p=0.5)),
        fl.UnknownModelError,
        "model is 'zz'",
    ),
    "model that has left": (
        lambda f: f.record("yes-no", fl.Forecast("d", p=0.5)),
        fl.UnknownModelError,
        "'d', which has left",
    ),
    "unknown task": (
        lambda f: f.record("yes-on", fl.Forecast(**ANSWER)),
        fl.UnknownTaskError,
        "did you mean 'yes-no'?",
    ),
    "p above 1": (lambda f: f.record("yes-no", fl.Forecast("a", p=1.5)), INVALID, "p is 1.5, outside [0, 1]"),
    "p below 0": (
        lambda f: f.record("yes-no", fl.Forecast("a", p=-0.5)),
        INVALID,
        "p is -0.5, outside [0, 1]",
    ),
    "p is NaN": (lambda f: f.record("yes-no", fl.Forecast("a", p=math.nan)), INVALID, "p is nan"),
    "value is NaN": (lambda f: f.record("level", fl.Forecast("a", value=math.nan)), INVALID, "value is nan"),
    "sum is not 1": (
        lambda f: f.record("direction", fl.Forecast("a", p=(0.5, 0.5, 0.5))),
        INVALID,
        "p sums to 1.5",
    ),
    "label unknown": (
        lambda f: f.record("direction", fl.Forecast("a", p={"up": 0.5, "dwn": 0.5})),
        INVALID,
        "label 'dwn'",
    ),
    "too few probabilities": (
        lambda f: f.record("direction", fl.Forecast("a", p=(0.5, 0.5))),
        INVALID,
        "p has 2 entries",
    ),
    "number for a yes-no": (
        lambda f: f.record("yes-no", fl.Forecast("a", value=1.0)),
        INVALID,
        "value is 1.0",
    ),
    "vector for a yes-no": (
        lambda f: f.record("yes-no", fl.Forecast("a", p=(0.5, 0.5))),
        INVALID,
        "p is (0.5, 0.5)",
    ),
    "one number for a vector": (
        lambda f: f.record("direction", fl.Forecast("a", p=0.5)),
        INVALID,
        "p is 0.5",
    ),
    "p for a number": (lambda f: f.record("level", fl.Forecast(**ANSWER)), INVALID, "p is 0.5"),
    "wrong kind opens no task": (
        lambda f: f.record(fl.Task("new", kind="numeric"), fl.Forecast(**ANSWER)),
        INVALID,
        "p is 0.5",
    ),
    "another task of that id": (
        lambda f: f.record(fl.Task("yes-no", category="z"), fl.Forecast(**ANSWER)),
        INVALID,
        "category is 'z', but task 'yes-no' is open with 'x'",
    ),
    "more tokens than there are": (
        lambda f: f.record(fl.Task("new"), fl.Forecast("a", p=0.5, tokens_in=2**70)),
        INVALID,
        f"tokens_in is {2**70}",
    ),
    "too many slices": (
        lambda f: f.record(
            fl.Task("new", slices=dict.fromkeys("jklmnopqrs", "1") | {"horizon": "1"}), fl.Forecast(**ANSWER)
        ),
        INVALID,
        "slices",
    ),
    "too many labels": (
        lambda f: f.record(
            fl.Task("new", kind="categorical", labels=tuple(map(str, range(4097))), slices={"horizon": "1"}),
            fl.Forecast("a", p=[1 / 4097] * 4097),
        ),
        INVALID,
        "labels",
    ),
    # decisions
    "decide an unknown task": (lambda f: f.decide("level2"), fl.UnknownTaskError, "did you mean 'level'?"),
    "decide an ended task": (lambda f: f.decide("old 3"), fl.TaskEndedError, "'old 3'"),
    "decide without an answer": (lambda f: f.decide("silent"), fl.NoForecastError, "'silent'"),
    "unknown strategy": (lambda f: f.decide("yes-no", strategy="hegde"), INVALID, "strategy is 'hegde'"),
    # outcomes
    "settle an unknown task": (lambda f: f.settle("nope", 1), fl.UnknownTaskError, "'nope'"),
    "settle twice": (
        lambda f: f.settle("old 3", 1),
        fl.TaskEndedError,
        "outcome is 1, but task 'old 3' ended with 0",
    ),
    "settle after voiding": (
        lambda f: f.settle("gone", 1),
        fl.TaskEndedError,
        "outcome is 1, but task 'gone' ended with None",
    ),
    "void after settling": (lambda f: f.void("old 3"), fl.TaskEndedError, "'old 3' ended with 0"),
    "neither 0 nor 1": (lambda f: f.settle("yes-no", 0.5), INVALID, "outcome is 0.5"),
    "two of a yes-no": (lambda f: f.settle("yes-no", 2), INVALID, "outcome is 2"),
    "label of a yes-no": (lambda f: f.settle("yes-no", "yes"), INVALID, "outcome is 'yes'"),
    "unknown label": (lambda f: f.settle("direction", "upp"), INVALID, "did you mean 'up'?"),
    "index too large": (lambda f: f.settle("direction", 3), INVALID, "outcome is 3"),
    "index below 0": (lambda f: f.settle("direction", -1), INVALID, "outcome is -1"),
    "index between": (lambda f: f.settle("direction", 1.5), INVALID, "outcome is 1.5"),
    "word for a number": (lambda f: f.settle("level", "high"), INVALID, "outcome is 'high'"),
    "NaN": (lambda f: f.settle("level", math.nan), INVALID, "outcome is nan"),
    "infinity": (lambda f: f.settle("level", math.inf), INVALID, "outcome is inf"),
    "no outcome": (lambda f: f.settle("level"), INVALID, "outcome is None"),
    "a time that is none": (lambda f: f.settle("level", 3, time="soon"), INVALID, "time is 'soon'"),
    "a time beyond 64 bits": (lambda f: f.settle("level", 3, time="3000-01-01"), INVALID, "time is"),
    "a misfit for an ended task": (lambda f: f.settle("old 3", "yes"), INVALID, "outcome is 'yes'"),
    # models and slices
    "remove an unknown model": (lambda f: f.remove("zz"), fl.UnknownModelError, "model is 'zz'"),
    "remove twice": (lambda f: f.remove("d"), fl.UnknownModelError, "'d', which has left"),
    "add another of that name": (lambda f: f.add(fl.Model("a", tier="fast")), INVALID, "name is 'a'"),
    "unknown slice": (lambda f: f.leaderboard(category="zz"), INVALID, "category=zz"),
    "two slices": (lambda f: f.leaderboard(category="x", regime="y"), INVALID, "one dimension"),
}


@pytest.mark.parametrize(("call", "error", "words"), REJECTED.values(), ids=REJECTED)
def test_a_rejected_call_changes_nothing(call: Any, error: type[Exception], words: str) -> None:
    fleet = in_the_middle()
    before = state(fleet)
    with pytest.raises(error) as caught:
        call(fleet)
    assert words in str(caught.value)
    assert state(fleet) == before
    # Nor is there anything that only shows later.
    for each in (fleet, untouched := in_the_middle()):
        for task, outcome in (("yes-no", 1), ("direction", "up"), ("level", 4.0), ("silent", 0)):
            each.settle(task, outcome, time=100)
        each.record(fl.Task("next", category="x"), fl.Forecast("a", p=0.5))
        each.record("next", fl.Forecast("b", p=0.75))
    assert state(fleet) == state(untouched)


# --- extremes ---


@pytest.mark.parametrize("absurd", [1e155, 1e200, -1e308])
@pytest.mark.parametrize("where", ["answer", "outcome"])
def test_an_absurd_number_does_not_poison_the_fleet(where: str, absurd: float) -> None:
    """It is refused by name, or it does no harm: never a NaN that stays."""
    fleet = a_fleet("sane", "mad")
    fleet.record(fl.Task("q", kind="numeric"), fl.Forecast("sane", value=1.0))
    fleet.record("q", fl.Forecast("mad", value=7.0))
    refusal = f"is {absurd:g}"
    try:
        if where == "answer":
            fleet.record("q", fl.Forecast("mad", value=absurd))
        fl.Decision.from_json(fleet.decide("q").to_json())  # strict JSON: there is no NaN in it
        fleet.settle("q", absurd if where == "outcome" else 1.5)
    except fl.InvalidRecordError as error:
        refusal = str(error)
    assert f"is {absurd:g}" in refusal
    fleet.record(fl.Task("next", kind="numeric"), fl.Forecast("sane", value=1.0))
    fleet.record("next", fl.Forecast("mad", value=2.0))
    decision = fleet.decide("next")
    assert math.fsum(decision.weights.values()) == pytest.approx(1)
    assert 1.0 <= decision.value <= 2.0
    fl.Decision.from_json(decision.to_json())


def test_slices_do_not_run_together() -> None:
    """Dimension `a=b` with value `c` is not dimension `a` with value `b=c`: told apart, or refused by name."""
    fleet = a_fleet()
    refusal = "'a=b'"
    try:
        fleet.record(fl.Task("q", slices={"a=b": "c"}), fl.Forecast("a", p=0.5))
        fleet.settle("q", 1)
    except fl.InvalidRecordError as error:
        refusal = str(error)
    assert "'a=b'" in refusal
    fleet.record(fl.Task("r", slices={"a": "b=c"}), fl.Forecast("a", p=0.5))
    fleet.settle("r", 1)
    assert fleet.leaderboard(a="b=c")["a"].n == 1


def test_certainty_that_was_wrong_is_finite() -> None:
    fleet = a_fleet("a", "b")
    for i in range(50):
        fleet.record(fl.Task(str(i)), fl.Forecast("a", p=1.0))
        fleet.record(str(i), fl.Forecast("b", p=0.0))
        fleet.settle(str(i), i % 2)
    for row in fleet.leaderboard():
        assert row.log_loss == pytest.approx(-math.log(2**-52) / 2)
        assert math.isfinite(row.elo)
