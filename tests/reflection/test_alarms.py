"""What a reflection must not say where nothing is wrong, and what it says of probabilities that drift."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from streams import Desk, chances, sigmoid

from fairlead.reflection import compare, reflect
from fairlead.reflection.suggestions import RULES

SEED = 23


def calibrated(rng: np.random.Generator, logit: np.ndarray, models: int) -> np.ndarray:
    """Models that see the log-odds through noise of their own, and say what follows from it: equally good."""
    grid = np.linspace(-9, 9, 400)
    weight = stats.norm.pdf(grid[:, None], grid[None, :], 1) * stats.norm.pdf(grid, 0, 1.5)
    said = weight @ sigmoid(grid) / weight.sum(axis=1)
    seen = logit[:, None] + rng.normal(0, 1, (len(logit), models))
    return np.interp(seen, grid, said)


def test_a_fleet_in_which_nothing_is_wrong() -> None:
    rng = np.random.default_rng(SEED)
    alarms = {"retire": 0, "retrain": 0, "recalibrate": 0}
    better = 0
    for _ in range(25):
        logit, outcome = chances(rng, 400)
        found = compare(**Desk(list("abcde"), calibrated(rng, logit, 5), outcome).arguments())
        for action in alarms:
            alarms[action] += any(s.action == action for s in found.suggestions)
        better += any(p.better or p.worse for p in found["binary"].paired)
    # Each is a family of tests at 5 % (of trends and of the drift of probabilities, two).
    assert alarms["retire"] <= stats.binom.ppf(0.999, 25, 0.05)
    assert alarms["retrain"] <= stats.binom.ppf(0.999, 25, 0.08)
    assert alarms["recalibrate"] <= stats.binom.ppf(0.999, 25, 0.06)
    assert better <= stats.binom.ppf(0.999, 25, 0.06)


def test_probabilities_that_drift_are_retrained() -> None:
    """It starts too low and ends too high, as far from the truth: losses do not move, what is wrong does."""
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 2000)
    answers = np.column_stack([sigmoid(logit + np.linspace(-1.2, 1.2, 2000)), *calibrated(rng, logit, 2).T])
    found = reflect(model="drifts", **Desk(["drifts", "b", "c"], answers, outcome).arguments())
    (retrain,) = (s for s in found.suggestions if s.action == "retrain")
    assert retrain.numbers["drift"] > 0
    assert retrain.numbers["p_value"] < 0.01
    assert "what it says less what happens" in str(retrain)
    assert found["binary"].trend.state == "stable"


def test_a_suggestion_tells_its_numbers_and_its_rule() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 1500)
    answers = np.column_stack([sigmoid(logit), sigmoid(3 * logit + 1), rng.random(1500)])
    found = compare(**Desk(["good", "loud", "dice"], answers, outcome).arguments())
    assert {s.action for s in found.suggestions} >= {"retire", "recalibrate"}
    for suggestion in found.suggestions:
        assert suggestion.rule == RULES[suggestion.action]
        assert suggestion.numbers["n"] >= 20
        assert all(math.isfinite(x) for x in suggestion.numbers.values())
        assert str(suggestion).startswith(suggestion.action)


def test_recalibration_that_would_not_help_is_not_suggested() -> None:
    """Too low in the first half, too high in the second: what one half teaches is wrong in the other."""
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 2000)
    shift = np.where(np.arange(2000) < 1000, -1.5, 1.5)
    found = reflect(model="a", **Desk(["a"], sigmoid(logit + shift)[:, None], outcome).arguments())
    calibration = found["binary"].calibration
    assert calibration is not None
    assert calibration.z_p < 1e-6
    assert calibration.gain is not None
    assert calibration.gain.value < 0
    assert "recalibrate" not in {s.action for s in found.suggestions}


@pytest.mark.parametrize("models", [2, 5])
def test_equal_contributions_of_equal_models(models: int) -> None:
    """Each model of a fleet of equals helps its mean, the less the more there are: chance can hide that, no more."""
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 1500)
    desk = Desk([f"m{i}" for i in range(models)], calibrated(rng, logit, models), outcome)
    found = [row.contribution for row in compare(**desk.arguments())["binary"].standings]
    assert all(one is not None and one.high > 0 for one in found)
    assert sum(one.value for one in found if one is not None) > 0
