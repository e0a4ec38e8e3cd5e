"""Fleets whose truth is known: what follows from them, and what does not."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from streams import NUMERIC, Desk, chances, sigmoid

from fairlead.reflection import Reflection, compare, reflect
from fairlead.reflection.columns import Answers, check
from fairlead.reflection.trend import trend_of

SEED = 7


def actions(found: Reflection) -> set[str]:
    return {suggestion.action for suggestion in found.suggestions}


def noisy(rng: np.random.Generator, logit: np.ndarray, *noises: float) -> np.ndarray:
    """Models that see the log-odds with noise of their own, and know how much: so they are calibrated, nearly."""
    seen = [logit + rng.normal(0, noise, len(logit)) for noise in noises]
    return np.stack([sigmoid(x * 2.25 / (2.25 + noise**2)) for x, noise in zip(seen, noises, strict=True)], axis=1)


def test_two_whose_errors_differ_are_pooled_and_two_clones_are_not() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 3000)
    answers = noisy(rng, logit, 1.0, 1.0, 2.5)
    answers = np.column_stack([answers, answers[:, 0]])  # the last is a clone of the first
    desk = Desk(["one", "other", "noise", "clone"], answers, outcome)
    found = compare(**desk.arguments())
    pooled = {s.models for s in found.suggestions if s.action == "ensemble"}
    assert ("one", "other") in pooled
    assert ("one", "clone") not in pooled
    by_name = {(pair.a, pair.b): pair for pair in found["binary"].pairs}
    clones, two = by_name["one", "clone"], by_name["one", "other"]
    assert clones.correlation == pytest.approx(1.0)
    assert clones.gain.value == 0.0
    assert not clones.worthwhile
    # The numbers are what they say they are.
    mean = answers[:, :2].mean(axis=1)
    assert two.loss_mean == pytest.approx(np.mean((mean - outcome) ** 2))
    errors = answers[:, :2] - outcome[:, None]
    assert two.correlation == pytest.approx(np.corrcoef(errors.T)[0, 1])
    single = (errors**2).mean(axis=0)
    assert two.loss_better == pytest.approx(min(single))
    assert two.better == ("one", "other")[int(np.argmin(single))]
    assert two.gain.value == pytest.approx(min(single) - two.loss_mean)
    mine = reflect(model="other", **desk.arguments())
    assert next(s.models for s in mine.suggestions if s.action == "ensemble")[0] == "other"


def test_a_pair_that_only_looks_good_in_hindsight_is_not_suggested() -> None:
    """Twelve models that are the same but for chance: no pair of one and a copy with jitter is worth anything."""
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 300)
    base = sigmoid(logit)[:, None]
    alarms = 0
    for _ in range(20):
        sure = np.clip(base + rng.normal(0, 0.02, (300, 4)), 0.01, 0.99)
        sure[:, 1:] = np.clip(sure[:, :1] + rng.normal(0, 1e-6, (300, 3)), 0, 1)
        found = compare(**Desk(list("abcd"), sure, outcome).arguments())
        alarms += any(s.action == "ensemble" for s in found.suggestions)
    assert alarms <= stats.binom.ppf(0.999, 20, 0.05)


def test_a_hopeless_model_is_retired_and_a_good_one_is_not() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 1200)
    answers = np.column_stack([noisy(rng, logit, 0.8, 0.9, 1.0), rng.random(1200)])
    context = rng.integers(0, 4, 1200)
    names = [f"category={x}" for x in ("art", "law", "sport", "war")]
    desk = Desk(["a", "b", "c", "dice"], answers, outcome, contexts=names, context=context)
    hopeless = reflect(model="dice", **desk.arguments())
    assert "retire" in actions(hopeless)
    assert "recalibrate" not in actions(hopeless)
    (retire,) = (s for s in hopeless.suggestions if s.action == "retire")
    assert retire.numbers["contexts"] == 4
    assert retire.numbers["contribution"] <= 0
    assert retire.numbers["difference"] > 0.05
    found = compare(**desk.arguments())
    assert [s.models for s in found.suggestions if s.action == "retire"] == [("dice",)]
    assert found["binary"].standings[-1].model == "dice"
    for good in "abc":
        assert "retire" not in actions(reflect(model=good, **desk.arguments()))


def test_a_model_that_is_good_somewhere_is_not_retired() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 1600)
    context = rng.integers(0, 4, 1600)
    dice = np.where(context == 2, sigmoid(logit), rng.random(1600))
    answers = np.column_stack([noisy(rng, logit, 0.8, 0.8), dice])
    names = [f"category={x}" for x in ("art", "law", "sport", "war")]
    found = reflect(model="dice", **Desk(["a", "b", "dice"], answers, outcome, 5, 0, names, context).arguments())
    assert "retire" not in actions(found)
    assert any("not shown worse" in text and "category=sport" in text for text in found.missing)
    assert found["binary"].contexts.best[0] == "category=sport"


def drifting(rng: np.random.Generator, tasks: int, how: Callable[[np.ndarray], np.ndarray]) -> Desk:
    """Three steady models and one whose noise changes over time."""
    logit, outcome = chances(rng, tasks)
    noise = how(np.linspace(0, 1, tasks))
    late = sigmoid(logit + rng.normal(0, 1, tasks) * noise)
    return Desk(["a", "b", "c", "late"], np.column_stack([noisy(rng, logit, 1, 1, 1), late]), outcome)


def test_a_degrading_model_is_retrained_and_an_improving_one_is_not() -> None:
    rng = np.random.default_rng(SEED)
    found = reflect(model="late", **drifting(rng, 1500, lambda t: 4 * t).arguments())
    assert found["binary"].trend.state == "degrading"
    assert found["binary"].trend.chosen.low > 0
    assert "retrain" in actions(found)
    assert "retire" not in actions(found)
    found = reflect(model="late", **drifting(rng, 1500, lambda t: 4 * (1 - t)).arguments())
    assert found["binary"].trend.state == "improving"
    assert "retrain" not in actions(found)


def test_power_of_the_trend() -> None:
    rng = np.random.default_rng(SEED)
    hits = 0
    for _ in range(60):
        desk = drifting(rng, 800, lambda t: 3 * t)
        answers = Answers(check(desk.rows(), desk.models), "binary")
        hits += trend_of(answers, 3).state == "degrading"
    assert hits >= 54


def test_harder_tasks_are_not_read_as_degradation() -> None:
    """All models lose more and more, because the tasks get harder: raw losses rise, excess losses do not."""
    rng = np.random.default_rng(SEED)
    raw = alarms = tests = 0
    for _ in range(60):
        spread = np.linspace(4, 0.2, 600)
        logit = rng.normal(0, 1, 600) * spread
        outcome = (rng.random(600) < sigmoid(logit)).astype(float)
        answers = sigmoid(logit[:, None] + rng.normal(0, 0.7, (600, 3)))
        desk = Desk(["a", "b", "c"], answers, outcome)
        trend = trend_of(Answers(check(desk.rows(), desk.models), "binary"), 0)
        raw += trend.raw.p_value < 0.05
        alarms += trend.state != "stable"
        tests += 1
    assert raw > 0.9 * tests
    assert alarms <= stats.binom.ppf(0.999, tests, 0.08)


def test_a_bad_model_that_joins_does_not_make_the_rest_improve() -> None:
    rng = np.random.default_rng(SEED)
    alarms = 0
    for _ in range(60):
        logit, outcome = chances(rng, 600)
        answers = np.column_stack([noisy(rng, logit, 1, 1, 1), rng.random(600)])
        answers[:300, 3] = np.nan
        desk = Desk(["a", "b", "c", "dice"], answers, outcome)
        alarms += trend_of(Answers(check(desk.rows(), desk.models), "binary"), 0).state != "stable"
    assert alarms <= stats.binom.ppf(0.999, 60, 0.06)


def test_false_alarms_of_the_trend_of_steady_models() -> None:
    """Difficulty and each model's noise are autocorrelated over rounds of different sizes."""
    rng = np.random.default_rng(SEED)
    alarms = tests = 0
    for _ in range(100):
        sizes = rng.integers(1, 9, 60)
        rounds = np.repeat(np.arange(60), sizes)
        shock = np.zeros((60, 3))
        for r in range(1, 60):
            shock[r] = 0.6 * shock[r - 1] + rng.normal(0, 0.6, 3)
        logit, outcome = chances(rng, len(rounds))
        desk = Desk(
            ["a", "b", "c"], sigmoid(logit[:, None] + shock[rounds] + rng.normal(0, 0.5, (len(rounds), 3))), outcome
        )
        rows = desk.rows() | {"time": np.repeat(rounds, 3)}
        answers = Answers(check(rows, desk.models), "binary")
        for model in range(3):
            alarms += trend_of(answers, model).state != "stable"
            tests += 1
    assert alarms <= stats.binom.ppf(0.999, tests, 0.08)


def test_contexts_that_differ_are_named_and_no_others() -> None:
    rng = np.random.default_rng(SEED)
    named = wrong = 0
    for _ in range(30):
        logit, outcome = chances(rng, 2500)
        context = rng.integers(0, 10, 2500)
        noise = np.where(context == 3, 4.0, 1.0)
        own = sigmoid(logit + rng.normal(0, 1, 2500) * noise)
        answers = np.column_stack([own, noisy(rng, logit, 1, 1)])
        names = [f"category={i}" for i in range(10)]
        desk = Desk(["own", "b", "c"], answers, outcome, 5, 0, names, context)
        contexts = reflect(model="own", **desk.arguments())["binary"].contexts
        assert contexts.tested == 10
        named += contexts.worst[:1] == ("category=3",)
        # All others are truly a little better than their rest, which holds category=3: only `worst` can be wrong.
        wrong += len(set(contexts.worst) - {"category=3"}) > 0
        row = contexts.rows[-1]
        assert row.low <= row.shrunk <= row.high
    assert named >= 26
    assert wrong <= 3


def test_contexts_of_a_model_that_is_the_same_everywhere() -> None:
    rng = np.random.default_rng(SEED)
    wrong = 0
    for _ in range(60):
        logit, outcome = chances(rng, 600)
        desk = Desk(
            ["a", "b"], noisy(rng, logit, 1, 1), outcome, 5, 0, [f"c={i}" for i in range(6)], rng.integers(0, 6, 600)
        )
        contexts = reflect(model="a", **desk.arguments())["binary"].contexts
        wrong += bool(contexts.best or contexts.worst)
    assert wrong <= stats.binom.ppf(0.999, 60, 0.08)


@pytest.mark.parametrize(
    ("distort", "state"),
    [
        (lambda x: 2.5 * x, "overconfident"),
        (lambda x: 0.3 * x, "underconfident"),
        (lambda x: x + 0.7, "too high"),
        (lambda x: x - 0.7, "too low"),
    ],
    ids=["over", "under", "high", "low"],
)
def test_miscalibration_is_told_and_recalibration_suggested(
    distort: Callable[[np.ndarray], np.ndarray], state: str
) -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 3000, 1.0)
    found = reflect(model="a", **Desk(["a"], sigmoid(distort(logit))[:, None], outcome).arguments())
    calibration = found["binary"].calibration
    assert calibration is not None
    assert calibration.state == state or {calibration.state, state} <= {"too high", "too low", "overconfident"}
    assert calibration.error > 3 * calibration.error_expected
    assert "recalibrate" in actions(found)


def test_false_alarms_of_calibration() -> None:
    rng = np.random.default_rng(SEED)
    alarms = 0
    for _ in range(150):
        logit, outcome = chances(rng, 300)
        found = reflect(model="a", **Desk(["a"], sigmoid(logit)[:, None], outcome).arguments())
        calibration = found["binary"].calibration
        assert calibration is not None
        alarms += calibration.state != "calibrated"
    assert alarms <= stats.binom.ppf(0.999, 150, 0.06)


def test_numbers_are_compared_and_pooled() -> None:
    rng = np.random.default_rng(SEED)
    outcome = rng.normal(100, 20, 900)
    answers = outcome[:, None] + rng.normal(0, 1, (900, 3)) * [3, 3, 30]
    found = compare(**Desk(["a", "b", "wild"], answers, outcome, kind=NUMERIC).arguments())
    assert {s.models for s in found.suggestions if s.action == "ensemble"} == {("a", "b")}
    assert [s.models for s in found.suggestions if s.action == "retire"] == [("wild",)]
    pair = found["numeric"].pairs[0]
    assert pair.loss_mean == pytest.approx(np.mean((answers[:, :2].mean(axis=1) - outcome) ** 2))


def test_dependent_outcomes_are_no_discovery() -> None:
    """Fifty tasks a round hang together: what looks like 1000 pieces of evidence is twenty."""
    rng = np.random.default_rng(SEED)
    alarms = 0
    for _ in range(60):
        shock = np.repeat(rng.normal(0, 1, 20), 50)
        outcome = (rng.random(1000) < sigmoid(shock)).astype(float)
        high, low = np.full(1000, 0.6), np.full(1000, 0.4)
        found = compare(**Desk(["high", "low"], np.column_stack([high, low]), outcome, 50).arguments())
        alarms += found["binary"].paired[0].p_adjusted < 0.05
    assert alarms <= stats.binom.ppf(0.999, 60, 0.07)
