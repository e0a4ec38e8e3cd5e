"""Calibrator against its definition, scikit-learn, and what it promises; on real forecasts: test_calibrator_real.py."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from calibrator_oracle import BINS, Oracle
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import fairlead as fl

Rows = NDArray[np.float64]
METHODS = ("scaling", "isotonic", "temperature")


def answers(seed: int, n: int, classes: int) -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """Overconfident answers in rounds of up to nine, some of them sure."""
    rng = np.random.default_rng(seed)
    truth = rng.dirichlet(np.full(classes, 0.8), n)
    outcomes = (rng.random(n)[:, None] > truth.cumsum(1)[:, :-1]).sum(1)
    p = truth**2.5 * np.linspace(1.0, 2.0, classes)
    p[rng.random(n) < 0.05] = np.eye(classes)[0]
    return p / p.sum(1, keepdims=True), outcomes, np.sort(rng.integers(0, n // 4, n))


@pytest.mark.parametrize("half_life", [1000.0, 60.0])
@pytest.mark.parametrize("classes", [2, 3, 5, 8, 11])
def test_the_definition(classes: int, half_life: float) -> None:
    p, outcomes, times = answers(classes, 700, classes)
    calibrator, oracle = fl.Calibrator(half_life=half_life), Oracle(half_life)
    for i in range(len(p)):
        if i % 11 == 0:
            expected = oracle.adjust(p[i])
            np.testing.assert_allclose(calibrator.adjust(p[i]), expected, rtol=1e-5, atol=1e-6)
            for m in oracle.methods(p[i]):
                if m == 0 and oracle.classes is None:
                    continue
                alone = calibrator.adjust(p[i], METHODS[m])
                np.testing.assert_allclose(alone, oracle.by(m, p[i]), rtol=1e-5, atol=1e-6)
        calibrator.update(p[i], int(outcomes[i]), int(times[i]))
        oracle.update(p[i], int(outcomes[i]), int(times[i]))
    assert calibrator.helps
    assert calibrator.spread == pytest.approx(oracle.spread, rel=1e-9)
    assert calibrator.slope == pytest.approx(float(oracle.maps["slope"]), rel=1e-9)
    weights = calibrator.weights
    assert sum(weights.values()) == pytest.approx(1.0)
    for m, name in enumerate(METHODS):
        gate = oracle.saved[m] / math.sqrt(oracle.square[m] + oracle.round[m] ** 2 + 1e-9)
        assert calibrator.evidence(name) == pytest.approx(gate, rel=1e-4, abs=1e-9)
        if m in oracle.methods(p[0]):
            assert weights[name] / weights["as_given"] == pytest.approx(oracle.weight[m], rel=1e-4)


def test_another_number_of_classes_in_between() -> None:
    p, outcomes, _ = answers(3, 600, 5)
    calibrator, oracle = fl.Calibrator(), Oracle()
    for i in range(len(p)):
        row = p[i] if i % 3 == 0 else p[i, :3] / p[i, :3].sum() if p[i, :3].sum() > 0 else np.array([1.0, 0.0, 0.0])
        outcome = int(outcomes[i]) if i % 3 == 0 else int(outcomes[i] % 3)
        np.testing.assert_allclose(calibrator.adjust(row), oracle.adjust(row), rtol=1e-5, atol=1e-6)
        calibrator.update(row, outcome, i)
        oracle.update(row, outcome, i)
    assert calibrator.as_dict()["classes"] == 5
    assert len(calibrator.biases) == 5


def test_isotonic_is_that_of_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.isotonic")
    p, outcomes, _ = answers(5, 1024, 2)
    calibrator, oracle = fl.Calibrator(), Oracle()
    for i in range(len(p)):
        calibrator.update(float(p[i, 1]), int(outcomes[i]), i)
        oracle.update(p[i], int(outcomes[i]), i)
    mean, value, weight = oracle.table()
    fitted = sklearn.IsotonicRegression().fit(np.arange(BINS), value, sample_weight=weight).predict(np.arange(BINS))
    move = oracle.kept_monotone(fitted - mean)
    for i in range(BINS):
        middle = (i + 0.5) / BINS
        expected = float(np.clip(middle + move[i], 1e-4, 1 - 1e-4))
        assert calibrator.adjust(middle, "isotonic") == pytest.approx(expected, abs=2e-6)


def test_nothing_is_learned_before_it_is_known() -> None:
    """Each answer depends on the rounds before its own alone."""
    p, outcomes, times = answers(6, 400, 3)
    adjusted = fl.Calibrator().run(p, outcomes, times)
    for at in (50, 222, 390):
        changed = outcomes.copy()
        later = times >= times[at]
        changed[later] = (changed[later] + 1) % 3
        again = fl.Calibrator().run(p, changed, times)
        np.testing.assert_array_equal(again[~later], adjusted[~later])
        same_round = times == times[at]
        np.testing.assert_array_equal(again[same_round], adjusted[same_round])
    np.testing.assert_allclose(adjusted.sum(1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("classes", [2, 4])
def test_run_is_update_after_update(classes: int) -> None:
    p, outcomes, _ = answers(7, 500, classes)
    given = p[:, 1] if classes == 2 else p
    batch, single = fl.Calibrator(), fl.Calibrator()
    adjusted = batch.run(given, outcomes)
    assert adjusted.shape == given.shape
    for i in range(len(p)):
        assert np.array_equal(single.adjust(float(p[i, 1]) if classes == 2 else p[i]), adjusted[i])
        single.update(given[i] if classes > 2 else float(given[i]), int(outcomes[i]))
    assert batch.snapshot() == single.snapshot()


@given(st.integers(0, 10_000), st.sampled_from([2, 3, 5, 9]), st.integers(0, 120))
def test_a_snapshot_goes_on(seed: int, classes: int, at: int) -> None:
    p, outcomes, times = answers(seed, 160, classes)
    whole, part = fl.Calibrator(half_life=77), fl.Calibrator(half_life=77)
    expected = whole.run(p, outcomes, times)
    part.run(p[:at], outcomes[:at], times[:at])
    for restored in (fl.Calibrator.restore(part.snapshot()), pickle.loads(pickle.dumps(part))):
        assert restored.half_life == 77
        assert len(restored) == at
        at_new_round = at == 0 or times[at] != times[at - 1]
        rest = restored.run(p[at:], outcomes[at:], times[at:])
        if at_new_round:
            np.testing.assert_array_equal(rest, expected[at:])
        assert restored.snapshot() == whole.snapshot()


def truths() -> Iterator[tuple[str, Callable[[Rows], Rows], bool]]:
    yield "overconfident", lambda p: 1 / (1 + ((1 - p) / p) ** 0.5), True
    yield "too low", lambda p: 1 / (1 + (1 - p) / p * 0.4), True
    yield "a staircase", lambda p: np.where(p < 0.4, 0.1, 0.6), True
    yield "right", lambda p: p, False


@pytest.mark.parametrize(("name", "truth", "wrong"), list(truths()), ids=[t[0] for t in truths()])
def test_brier_is_not_raised_and_calibration_gets_better(name: str, truth: Callable[[Rows], Rows], wrong: bool) -> None:
    before, after, error_before, error_after = [], [], [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        p = rng.uniform(0.02, 0.98, 2000)
        y = (rng.random(2000) < truth(p)).astype(int)
        q = fl.Calibrator().run(p, y)
        before.append(float(((p - y) ** 2).mean()))
        after.append(float(((q - y) ** 2).mean()))
        for into, x in ((error_before, p), (error_after, q)):
            calibration = fl.Calibration()
            calibration.add_many(x, y)
            into.append(calibration.error)
    if wrong:
        assert np.mean(after) < np.mean(before) - 0.005
        assert np.mean(error_after) < 0.65 * np.mean(error_before)
    else:
        assert np.mean(after) < np.mean(before) + 2e-4
        assert np.mean(error_after) < np.mean(error_before) + 1e-3


def test_one_big_round_is_no_more_than_one_surprise() -> None:
    calibrator = fl.Calibrator()
    rng = np.random.default_rng(1)
    worst = 0.0
    for week in range(200):
        worst = max(worst, abs(calibrator.adjust(0.5) - 0.5))
        outcome = int(rng.integers(2))
        for _ in range(100):
            calibrator.update(0.5, outcome, week)
    assert calibrator.spread > 50
    assert worst < 0.35


def test_what_it_refuses() -> None:
    calibrator = fl.Calibrator()
    calibrator.update(0.5, True, 10)
    before = calibrator.snapshot()
    for call, error, text in (
        (lambda: calibrator.adjust(1.5), ValueError, "p is 1.5, outside"),
        (lambda: calibrator.adjust(math.nan), ValueError, "p is nan, outside"),
        (lambda: calibrator.adjust("a"), TypeError, "p has dtype <U1"),
        (lambda: calibrator.adjust([0.5]), ValueError, "p has length 1"),
        (lambda: calibrator.adjust([0.5, 0.2]), ValueError, "p sums to 0.7, must sum to 1"),
        (lambda: calibrator.adjust([-0.5, 1.5]), ValueError, "p holds -0.5, outside"),
        (lambda: calibrator.adjust(0.5, "platt"), ValueError, "method is 'platt', must be"),
        (lambda: calibrator.update(0.5, 2), ValueError, "outcome is 2.0, must be 0 or 1"),
        (lambda: calibrator.update(0.5, 0.3), ValueError, "outcome is 0.3"),
        (lambda: calibrator.update([0.2, 0.3, 0.5], 3), ValueError, "outcome is 3.0, must be the number of a class"),
        (lambda: calibrator.update(0.5, 1, 9), ValueError, "time is 9, earlier than 10"),
        (lambda: calibrator.run([0.5, 2.0], [1, 1]), ValueError, r"p\[1\] is 2.0, outside"),
        (lambda: calibrator.run([0.5, 0.2], [1, 7]), ValueError, r"outcomes\[1\] is 7.0"),
        (lambda: calibrator.run([0.5, 0.2], [1]), ValueError, "outcomes has length 1, p has 2"),
        (lambda: calibrator.run([0.5, 0.2], [1, 1], [12, 11]), ValueError, r"times\[1\] is 11, earlier than 12"),
        (lambda: calibrator.run([0.5], [1], [3]), ValueError, r"times\[0\] is 3, earlier than 10"),
        (lambda: calibrator.run([[0.5, 0.2]], [1]), ValueError, r"p\[0\] sums to 0.7"),
        (lambda: calibrator.evidence("platt"), ValueError, "method is 'platt'"),
        (lambda: fl.Calibrator(half_life=0.5), ValueError, "half_life is 0.5, outside"),
        (lambda: fl.Calibrator.restore(before[:-1]), ValueError, "data"),
    ):
        with pytest.raises(error, match=text):
            call()  # type: ignore[no-untyped-call]
    assert calibrator.snapshot() == before


def test_what_it_says() -> None:
    calibrator = fl.Calibrator()
    assert not calibrator.helps
    assert calibrator.method == "as_given"
    assert calibrator.weights == {"as_given": 1.0, "scaling": 0.0, "isotonic": 0.0, "temperature": 0.0}
    assert calibrator.biases == []
    assert calibrator.adjust(0.123) == 0.123
    assert calibrator.adjust([0.1, 0.9]) == [0.1, 0.9]
    assert repr(calibrator) == "Calibrator(outcomes=0, method='as_given')"
    p, outcomes, times = answers(9, 300, 3)
    calibrator.run(p, outcomes, times)
    said = calibrator.as_dict()
    assert said["outcomes"] == len(calibrator) == 300
    assert said["weights"] == calibrator.weights
    assert said["temperature"] == calibrator.temperature < 1
