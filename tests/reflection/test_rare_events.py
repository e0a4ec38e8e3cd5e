"""What has not happened yet may still: no certainty from outcomes that were all the same so far."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats
from streams import CATEGORICAL, NUMERIC, Desk

from fairlead.reflection import Reflection, implied, reflect
from fairlead.reflection.columns import Answers, check
from fairlead.reflection.inference import Implied, mean

SEED = 31


def alone(p: np.ndarray, outcome: np.ndarray) -> Reflection:
    return reflect(model="a", **Desk(["a"], p[:, None], outcome, 1).arguments())


def actions(found: Reflection) -> set[str]:
    return {suggestion.action for suggestion in found.suggestions}


def test_twenty_of_twenty_at_99_percent() -> None:
    found = alone(np.full(20, 0.99), np.ones(20))
    calibration = found["binary"].calibration
    assert calibration is not None
    assert calibration.bias.value == pytest.approx(-0.01)
    assert calibration.bias.low < -0.05
    assert calibration.bias.high > 0.03
    assert calibration.bias.p_value > 0.5
    assert calibration.state == "calibrated"
    assert actions(found) == set()


@pytest.mark.parametrize(("low", "high", "tasks"), [(0.95, 0.99, 40), (0.97, 0.995, 60), (0.002, 0.02, 100)])
def test_true_probabilities_of_rare_events_are_not_recalibrated(low: float, high: float, tasks: int) -> None:
    rng = np.random.default_rng(SEED)
    off = advised = 0
    for _ in range(100):
        p = rng.uniform(low, high, tasks)
        found = alone(p, (rng.random(tasks) < p).astype(float))
        assert found["binary"].calibration is not None
        off += found["binary"].calibration.state != "calibrated"
        advised += bool(actions(found))
    assert off <= stats.binom.ppf(0.999, 100, 0.05)
    assert advised <= stats.binom.ppf(0.999, 100, 0.05)


@pytest.mark.parametrize("tasks", [10, 20, 40, 150])
@pytest.mark.parametrize("kind", ["same", "varied", "classes"])
def test_the_honest_is_not_worse_for_want_of_events(tasks: int, kind: str) -> None:
    """Events have 3 %. One says so; the other says 1 % and loses less until one happens, and more in the end."""
    rng = np.random.default_rng(SEED)
    worse = retired = 0
    for _ in range(60):
        outcome = (rng.random(tasks) < 0.03).astype(float)
        answers = np.column_stack([np.full(tasks, 0.03), np.full(tasks, 0.01)])
        if kind == "varied":
            answers *= rng.uniform(0.8, 1.2, answers.shape)
        desk = Desk(["honest", "timid"], answers, outcome, 1)
        arguments = desk.arguments()
        if kind == "classes":
            rows = arguments["rows"]
            rows |= {"kind": np.full(2 * tasks, CATEGORICAL), "loss": 2 * rows["loss"], "shown": 1 - rows["value"]}
            rows |= {"value": rows["shown"], "happened": 1 - rows["happened"]}
        found = reflect(model="honest", **arguments)
        worse += found.kinds[0].comparisons[0].worse
        retired += "retire" in actions(found)
    assert worse <= stats.binom.ppf(0.999, 60, 0.05)
    assert retired <= stats.binom.ppf(0.999, 60, 0.05)


def test_it_is_told_once_events_have_come() -> None:
    rng = np.random.default_rng(SEED)
    outcome = (rng.random(1500) < 0.06).astype(float)
    desk = Desk(["honest", "timid"], np.tile([0.06, 0.01], (1500, 1)), outcome, 1)
    assert reflect(model="honest", **desk.arguments())["binary"].comparisons[0].better
    timid = reflect(model="timid", **desk.arguments())
    assert timid["binary"].calibration is not None
    assert timid["binary"].calibration.bias.p_value < 0.001
    assert timid["binary"].calibration.bias.value < 0


def test_two_that_are_equally_wrong_are_not_told_apart() -> None:
    """Events have 2 %, and they say 1 % and 3 %: from so few that the forecasts decide to so many that they do not."""
    rng = np.random.default_rng(SEED)
    for tasks in (100, 500, 2400, 2600, 5000):
        answers = np.tile([0.03, 0.01], (tasks, 1))
        alarms = 0
        for _ in range(60):
            outcome = (rng.random(tasks) < 0.02).astype(float)
            answered = Answers(check(Desk(["a", "b"], answers, outcome, 1).rows(), ["a", "b"]), "binary")
            ours, theirs = answered.common(0, 1)
            chance = implied.of_pair(answered, ours, theirs)
            found = mean(answered.loss[ours] - answered.loss[theirs], answered.round[ours], chance)
            alarms += found.p_value < 0.05
        assert alarms <= stats.binom.ppf(0.999, 60, 0.06)


def test_a_probability_that_rises_before_any_event_is_no_trend() -> None:
    found = alone(np.linspace(0.005, 0.03, 60), np.zeros(60))
    assert found["binary"].trend.state == "stable"
    assert "retrain" not in actions(found)
    two = np.column_stack([np.linspace(0.005, 0.03, 60), np.full(60, 0.01)])
    found = reflect(model="a", **Desk(["a", "b"], two, np.zeros(60), 1).arguments())
    assert found["binary"].trend.basis == "excess"
    assert found["binary"].trend.state == "stable"
    assert "retrain" not in actions(found)


def test_numbers_that_differ_by_the_same_each_time() -> None:
    """Nothing is implied by a number, so nothing is known of what has not been seen."""
    desk = Desk(["a", "b"], np.tile([0.03, 0.01], (200, 1)), np.zeros(200), 1, NUMERIC)
    found = reflect(model="a", **desk.arguments())
    (paired,) = found["numeric"].comparisons
    assert paired.difference.value == pytest.approx(0.0008)
    assert math.isnan(paired.p_adjusted)
    assert not paired.worse
    assert actions(found) == set()


def test_a_pair_is_not_pooled_on_the_test_of_one_of_them() -> None:
    """Against one, the mean of the two gains the same each time, of which nothing is known."""
    rng = np.random.default_rng(SEED)
    pooled = rng.normal(0, 1, 200)
    own = np.sqrt(2 + pooled**2)
    desk = Desk(["a", "b"], np.column_stack([own, 2 * pooled - own]), np.zeros(200), 1, NUMERIC)
    found = reflect(model="a", **desk.arguments())
    (pair,) = found["numeric"].pairs
    assert pair.gain.value == pytest.approx(2.0)
    assert math.isnan(pair.p_adjusted)
    assert "ensemble" not in actions(found)
    (turned,) = reflect(model="b", **desk.arguments())["numeric"].pairs
    assert math.isnan(turned.p_adjusted)


def brier(happens: bool, p: np.ndarray) -> np.ndarray:
    return (p - happens) ** 2


def log_loss(happens: bool, p: np.ndarray) -> np.ndarray:
    return -np.log(p if happens else 1 - p)


@pytest.mark.parametrize(("kind", "loss", "scale"), [(0, brier, 1.0), (1, brier, 2.0), (1, log_loss, 1.0)])
def test_implied_is_the_law_of_the_difference_of_two_that_are_equally_good(
    kind: int, loss: Callable[[bool, np.ndarray], np.ndarray], scale: float
) -> None:
    p, q = np.array([0.1, 0.7, 0.99, 0.4]), np.array([0.3, 0.2, 0.999, 0.4])
    rows = {name: np.zeros(1, dtype=np.int64) for name in ("time", "task", "model", "scored", "loss")}
    answers = Answers(check(rows | {"kind": np.array([kind])}, ["a"]), ("binary", "categorical")[kind])
    found = (implied.of_pooled if loss is log_loss else implied.of_difference)(answers, p, q)
    assert found is not None
    if_so, if_not = (scale * (loss(happens, p) - loss(happens, q)) for happens in (True, False))
    assert np.abs(found.apart) == pytest.approx(np.abs(if_so - if_not))
    assert found.chance * if_so + (1 - found.chance) * if_not == pytest.approx(np.zeros(4))
    variance = found.chance * if_so**2 + (1 - found.chance) * if_not**2
    assert found.variance() == pytest.approx(variance)


def test_an_implied_variance_is_a_bound() -> None:
    rng = np.random.default_rng(SEED)
    values, rounds = rng.normal(0, 1, 200), np.arange(200)
    free = mean(values, rounds)
    small, large = (mean(values, rounds, Implied(np.full(200, 0.01), np.full(200, x))) for x in (0.1, 100.0))
    assert small == free
    assert large.value == free.value
    assert large.value / large.statistic == pytest.approx(100 * math.sqrt(0.01 * 0.99 / 200))
    unknown = mean(values, rounds, Implied(np.full(200, math.nan), np.full(200, math.nan)))
    assert unknown == free
