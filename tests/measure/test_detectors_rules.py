"""The drift detectors against their rules written down plainly, where river differs or has none; and how often they are
wrong, and how late."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl

Found = tuple[list[int], list[int]]


def cusum(x: list[float], target: float | None, delta: float, threshold: float, min_instances: int, mode: str) -> Found:
    drifts, warnings, seen, up, down = [], [], [], 0.0, 0.0
    for i, value in enumerate(x):
        seen.append(value)
        deviation = value - (math.fsum(seen) / len(seen) if target is None else target)
        up = max(0.0, up + deviation - delta)
        down = max(0.0, down - deviation - delta)
        most = max(up if mode != "down" else 0.0, down if mode != "up" else 0.0)
        if len(seen) < min_instances:
            continue
        if most > threshold:
            drifts.append(i)
            seen, up, down = [], 0.0, 0.0
        elif most > threshold / 2:
            warnings.append(i)
    return drifts, warnings


def eddm(x: list[float], ddof: int, warning_ends: bool) -> Found:
    """MOA: ddof 0, and a new maximum ends a warning. river: ddof 1, and it does not."""
    drifts, warnings = [], []
    n, last, distances, most, warning = 0, 0, [], -1.0, False
    for i, value in enumerate(x):
        n += 1
        drift = False
        if value == 1:
            distances.append(n - last)
            last = n
            if n > 30:
                s = float(np.std(distances, ddof=ddof)) if len(distances) > ddof else 0.0
                reach = float(np.mean(distances)) + 2 * s
                if reach > most:
                    most = reach
                    warning = warning and not warning_ends
                elif len(distances) > 30:
                    drift = reach / most < 0.9
                    warning = reach / most < 0.95
        if drift:
            drifts.append(i)
            n, last, distances, most, warning = 0, 0, [], -1.0, False
        elif warning:
            warnings.append(i)
    return drifts, warnings


def hddm_w(x: list[float], two_sided: bool, first_weight: float) -> Found:
    """The paper and MOA: the sum of squared weights starts with 1. river: with lambda^2 + (1 - lambda)^2."""
    drifts, warnings, state = [], [], {}
    lam, empty = 0.05, (0.0, 0.0)

    def add(sample: tuple[float, float], value: float) -> tuple[float, float]:
        if sample == empty:
            return value, first_weight
        return lam * value + (1 - lam) * sample[0], lam**2 + (1 - lam) ** 2 * sample[1]

    def above(first: tuple[float, float], second: tuple[float, float], confidence: float) -> bool:
        if empty in (first, second):
            return False
        return second[0] - first[0] > math.sqrt((first[1] + second[1]) * math.log(1 / confidence) / 2)

    for i, value in enumerate(x):
        if not state:
            state = {"total": empty, "low": math.inf, "high": -math.inf}
            state |= {"low1": empty, "low2": empty, "high1": empty, "high2": empty}
        total = state["total"] = add(state["total"], value)
        bound = math.sqrt(total[1] * math.log(1 / 0.001) / 2)
        if total[0] + bound < state["low"]:
            state |= {"low": total[0] + bound, "low1": total, "low2": empty}
        else:
            state["low2"] = add(state["low2"], value)
        if total[0] - bound > state["high"]:
            state |= {"high": total[0] - bound, "high1": total, "high2": empty}
        else:
            state["high2"] = add(state["high2"], value)
        pairs = [(state["low1"], state["low2"])] + [(state["high2"], state["high1"])] * two_sided
        if any(above(*pair, 0.001) for pair in pairs):
            drifts.append(i)
            state = {}
        elif any(above(*pair, 0.005) for pair in pairs):
            warnings.append(i)
    return drifts, warnings


def found(detector: fl.CUSUM | fl.EDDM | fl.HDDM_W, x: list[float]) -> Found:
    drifts, warnings = detector.update_many(x)
    return drifts.tolist(), warnings.tolist()


def errors(seed: int) -> list[float]:
    dice = np.random.default_rng(seed)
    parts = [dice.random(int(dice.integers(100, 1500))) < dice.random() for _ in range(4)]
    return np.concatenate(parts).astype(float).tolist()


def normals(seed: int) -> list[float]:
    dice = np.random.default_rng(seed)
    return np.concatenate([dice.normal(dice.normal(), 1, int(dice.integers(50, 400))) for _ in range(4)]).tolist()


@pytest.mark.parametrize("target", [None, 0.0, 0.7])
@pytest.mark.parametrize("mode", ["up", "down", "both"])
def test_cusum_is_its_recurrence(target: float | None, mode: str) -> None:
    total = 0
    for seed in range(6):
        x = normals(seed)
        for delta, threshold, least in ((0.005, 50.0, 30), (0.25, 5.0, 1)):
            chart = fl.CUSUM(target=target, delta=delta, threshold=threshold, min_instances=least, mode=mode)
            expected = cusum(x, target, delta, threshold, least, mode)
            assert found(chart, x) == expected
            total += len(expected[0])
    assert total > 10


def test_eddm_is_moas_rule_and_river_has_two_changes_to_it() -> None:
    pytest.importorskip("river", minversion="0.26")
    binary = pytest.importorskip("river.drift.binary")
    total, different = 0, 0
    for seed in range(8):
        x = errors(seed)
        expected = eddm(x, ddof=0, warning_ends=True)
        assert found(fl.EDDM(), x) == expected
        theirs, drifts, warnings = binary.EDDM(), [], []
        for i, value in enumerate(x):
            theirs.update(value)
            if theirs.drift_detected:
                drifts.append(i)
            elif theirs.warning_detected:
                warnings.append(i)
        assert (drifts, warnings) == eddm(x, ddof=1, warning_ends=False)
        total += len(expected[0])
        different += drifts != expected[0]
    assert total > 20
    assert different > 0


@pytest.mark.parametrize("two_sided", [False, True])
def test_hddm_w_is_moas_rule_and_river_has_one_change_to_it(two_sided: bool) -> None:
    pytest.importorskip("river", minversion="0.26")
    binary = pytest.importorskip("river.drift.binary")
    total = 0
    for seed in range(8):
        x = errors(seed)
        expected = hddm_w(x, two_sided, 1.0)
        assert found(fl.HDDM_W(mode="both" if two_sided else "up"), x) == expected
        theirs, drifts = binary.HDDMW(two_sided_test=two_sided), []
        for i, value in enumerate(x):
            theirs.update(value)
            if theirs.drift_detected:
                drifts.append(i)
        assert drifts == hddm_w(x, two_sided, 0.05**2 + 0.95**2)[0]
        total += len(expected[0])
    assert total > 5


# Of 100 streams: how many have a false alarm within 2,000 events of noise, at most; and within how many events a change
# is found in three of four of them.
HABITS: list[tuple[Callable[[], fl.ADWIN], str, int, int]] = [
    (lambda: fl.ADWIN(), "normal", 1, 64),
    (lambda: fl.ADWIN(), "errors", 1, 128),
    (lambda: fl.PageHinkley(threshold=30, delta=0.25, alpha=1.0), "normal", 1, 32),
    (lambda: fl.CUSUM(target=0, threshold=10, delta=0.5), "normal", 6, 15),
    (lambda: fl.KSWIN(alpha=1e-4, window_size=300), "normal", 16, 32),
    (lambda: fl.DDM(), "errors", 30, 260),
    (lambda: fl.HDDM_A(), "errors", 9, 100),
    (lambda: fl.HDDM_W(), "errors", 10, 50),
]


@pytest.mark.parametrize(("make", "kind", "alarms", "delay"), HABITS)
def test_false_alarms_are_rare_and_changes_are_found(
    make: Callable[[], fl.ADWIN], kind: str, alarms: int, delay: int
) -> None:
    false, late = 0, []
    for seed in range(100):
        dice = np.random.default_rng(seed)
        if kind == "normal":
            x = np.concatenate([dice.normal(0, 1, 2000), dice.normal(1.5, 1, 500)])
        else:
            x = np.concatenate([dice.random(2000) < 0.2, dice.random(500) < 0.5]).astype(float)
        detector = make()
        if len(detector.update_many(x[:2000])[0]):
            false += 1
            detector.reset()
            detector.update_many(x[1500:2000])
        after = detector.update_many(x[2000:])[0]
        late.append(after[0] if len(after) else 500)
    assert false <= alarms
    assert np.quantile(late, 0.75) <= delay


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=300),
    st.sampled_from([1, 3, 32]),
    st.integers(2, 6),
)
def test_adwins_window_is_the_newest_events(x: list[float], clock: int, max_buckets: int) -> None:
    adwin = fl.ADWIN(clock=clock, max_buckets=max_buckets, delta=0.5, grace_period=0)
    for i, value in enumerate(x, start=1):
        adwin.update(value)
        window = x[i - adwin.width : i]
        assert 0 < adwin.width <= i
        assert adwin.estimation == pytest.approx(math.fsum(window) / len(window), rel=1e-12, abs=1e-6)
        assert adwin.variance == pytest.approx(np.var(window), rel=1e-9, abs=1e-6)
        assert adwin.drift or adwin.width == len(window)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1000, 1000), min_size=40, max_size=400), st.sampled_from([2**30, -(2**33)]))
def test_an_offset_changes_no_decision(x: list[int], offset: int) -> None:
    shifted = [value + offset for value in x]
    for make in (
        lambda: fl.ADWIN(clock=4, delta=0.3),
        lambda: fl.PageHinkley(threshold=500),
        lambda: fl.CUSUM(threshold=500),
        lambda: fl.KSWIN(window_size=30, stat_size=10, alpha=0.2),
    ):
        assert [a.tolist() for a in make().update_many(x)] == [a.tolist() for a in make().update_many(shifted)]
