"""CutScan against its rule written down plainly, its rate of false alarms, and its delays beside ADWIN's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl

Buckets = list[list[list[float]]]  # by size 2**i: its buckets, oldest first, each the numbers in it


def parts(buckets: Buckets) -> list[list[float]]:
    return [bucket for row in reversed(buckets) for bucket in row]


def best_cut(buckets: Buckets, c: float, shortest: int) -> tuple[float, int, float, float]:
    """The largest statistic, how many are newer, and the means before and after."""
    held = parts(buckets)
    x = np.array([value for bucket in held for value in bucket])
    n, variance = len(x), float(np.var(x)) if len(x) else 0.0
    best = (-math.inf, 0, math.nan, math.nan)
    ends = np.cumsum([len(bucket) for bucket in held])
    for a in reversed(ends[:-1].tolist()):
        b = n - a
        if min(a, b) < shortest or variance <= 0.0:
            continue
        before, after = float(np.mean(x[:a])), float(np.mean(x[a:]))
        m = c * (1 / a + 1 / b)
        # 2/3 m r^2 + sqrt(2 m V) r - |after - before| = 0
        root = max(np.roots([2 / 3 * m, math.sqrt(2 * m * variance), -abs(after - before)]).real)
        found = root**2 - 0.6 * math.log(n / min(a, b))
        if found > best[0]:
            best = (found, b, before, after)
    return best


def plain(x: list[float], mode: str, c: float, clock: int, most: int, arl: float) -> list[int]:
    """The rule: buckets, tests, drops."""
    threshold = -2.8 + 0.6 * math.log(arl * (2 if mode == "both" else 1))
    buckets: Buckets = []
    drifts = []
    for i, value in enumerate(x):
        carry, row = [value], 0
        while True:
            if row == len(buckets):
                buckets.append([])
            buckets[row].append(carry)
            if len(buckets[row]) <= most:
                break
            carry = buckets[row].pop(0) + buckets[row].pop(0)
            row += 1
        if (i + 1) % clock:
            continue
        found, _, before, after = best_cut(buckets, c, 5)
        if found <= threshold:
            continue
        if mode == "both" or (after > before) == (mode == "up"):
            drifts.append(i)
        while found > threshold:
            buckets[-1].pop(0)
            while buckets and not buckets[-1]:
                buckets.pop()
            found = best_cut(buckets, c, 5)[0]
    return drifts


@pytest.mark.parametrize("mode", ["up", "down", "both"])
@pytest.mark.parametrize(
    ("c", "clock", "most", "arl"), [(1.0, 16, 8, 10_000.0), (2.5, 7, 2, 300.0), (1.0, 1, 5, 100.0)]
)
def test_it_is_the_rule(mode: str, c: float, clock: int, most: int, arl: float) -> None:
    rng = np.random.default_rng(clock)
    level = np.repeat([0.2, 0.6, 0.1, 0.5, 0.45], 160)
    for x in ((rng.random(800) < level).astype(float), np.clip(level + 0.2 * rng.normal(size=800), 0, 1)):
        scan = fl.CutScan(mode=mode, inflation=c, clock=clock, max_buckets=most, arl=arl)
        drifts = scan.update_many(x)[0].tolist()
        assert drifts == plain(x.tolist(), mode, c, clock, most, arl)
        assert drifts


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0, 1, width=16), min_size=12, max_size=40))
def test_the_likeliest_cut_is_that_of_all_cuts(x: list[float]) -> None:
    scan = fl.CutScan(max_buckets=64, clock=1_000_000)
    for value in x:
        scan.update(value)
    found, newer, before, after = best_cut([[[value] for value in x]], 1.0, 5)
    cut = scan.likeliest()
    if math.isinf(found) or np.var(x) < 1e-9:
        return
    assert cut["statistic"] == pytest.approx(found, rel=1e-6, abs=1e-6)
    if cut["newer"] == newer:  # there may be two as good
        assert (cut["before"], cut["after"]) == (pytest.approx(before), pytest.approx(after))


@pytest.mark.parametrize("mean", [0.02, 0.1, 0.35, 0.5, 0.8, 0.98])
@pytest.mark.parametrize("mode", ["up", "both"])
def test_false_alarms_are_as_rare_as_stated(mean: float, mode: str) -> None:
    rng = np.random.default_rng(1)
    for arl, streams in ((1000, 300), (10_000, 60)):
        x = (rng.random((streams, arl)) < mean).astype(float)
        alarms = sum(len(fl.CutScan(arl=arl, mode=mode).update_many(row)[0]) for row in x)
        assert alarms / streams <= 1.0 + 3.0 / math.sqrt(streams)


def test_numbers_in_between_and_neighbours_that_are_alike() -> None:
    rng = np.random.default_rng(2)
    beta = rng.beta(2.0, 5.0, size=(60, 10_000))
    assert sum(len(fl.CutScan().update_many(row)[0]) for row in beta) <= 60
    alike = np.repeat((rng.random((40, 2500)) < 0.3).astype(float), 4, axis=1)
    plainly = sum(len(fl.CutScan().update_many(row)[0]) for row in alike)
    allowed = sum(len(fl.CutScan(inflation=4.0).update_many(row)[0]) for row in alike)
    assert plainly > 200
    assert allowed <= 40


def test_inflation_may_be_set_later() -> None:
    scan = fl.CutScan()
    scan.inflation = 3.0
    assert scan.inflation == 3.0
    for bad in (0.5, math.nan):
        with pytest.raises(ValueError, match="inflation is"):
            scan.inflation = bad
    assert fl.CutScan.restore(scan.snapshot()).inflation == 3.0


def test_it_finds_small_changes_sooner_than_adwin_at_the_same_false_alarms() -> None:
    """ADWIN's delta is set to as many false alarms."""

    def alarms(make: object, x: np.ndarray) -> int:
        return sum(len(make().update_many(row)[0]) for row in x)  # type: ignore[operator]

    def late(make: object, x: np.ndarray, start: int) -> float:
        out = []
        for row in x:
            found = [i - start for i in make().update_many(row)[0] if i >= start]  # type: ignore[operator]
            out.append(found[0] if found else len(row) - start)
        return float(np.mean(out))

    rng = np.random.default_rng(3)
    calm = (rng.random((60, 10_000)) < 0.2).astype(float)
    changed = (rng.random((150, 4000)) < np.where(np.arange(4000) < 2000, 0.2, 0.25)).astype(float)
    allowed = alarms(fl.CutScan, calm)
    delta = next(
        d for d in (0.3, 0.2, 0.1, 0.05, 0.01) if alarms(lambda d=d: fl.ADWIN(delta=d, mode="up"), calm) <= allowed
    )
    ours, theirs = late(fl.CutScan, changed, 2000), late(lambda: fl.ADWIN(delta=delta, mode="up"), changed, 2000)
    assert ours < 0.97 * theirs
