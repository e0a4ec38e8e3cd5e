"""The drift detectors beside river's, which follow the same rules, on random and on real streams."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import fairlead as fl

pytest.importorskip("river", minversion="0.26")  # the last for Python 3.10, 0.22, has other names and rules
river = pytest.importorskip("river.drift")
binary = pytest.importorskip("river.drift.binary")


def random_stream(seed: int, errors: bool) -> np.ndarray:
    """Stretches of some hundred events, each with a mean and a spread of its own."""
    dice = np.random.default_rng(seed)
    parts: list[np.ndarray] = []
    for _ in range(dice.integers(2, 7)):
        n = int(dice.integers(50, 2500))
        if errors:
            parts.append((dice.random(n) < dice.random()).astype(float))
        elif seed % 2:
            parts.append(dice.normal(dice.normal(0, 2), dice.exponential(1) + 0.1, n))
        else:
            parts.append(dice.integers(0, dice.integers(2, 20), n).astype(float))
    return np.concatenate(parts)


def real_streams(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    for file in sorted((folder / "drift").glob("*.parquet")):
        table = pd.read_parquet(file).sort_values("t")
        for name in table.columns:
            if name.startswith("feat_"):
                yield f"{file.stem} {name}", table[name].to_numpy(float)


def real_errors(folder: Path) -> Iterator[np.ndarray]:
    """The errors of a forecast that says what came last."""
    for file in sorted((folder / "drift").glob("*.parquet")):
        target = pd.read_parquet(file).sort_values("t")["target"].to_numpy()
        yield (target[1:] != target[:-1]).astype(float)


def theirs(detector: Any, stream: np.ndarray) -> tuple[list[int], list[int]]:
    drifts, warnings = [], []
    for i, x in enumerate(stream.tolist()):
        detector.update(x)
        if detector.drift_detected:
            drifts.append(i)
        elif getattr(detector, "warning_detected", False):
            warnings.append(i)
    return drifts, warnings


def ours(detector: Any, stream: np.ndarray) -> tuple[list[int], list[int]]:
    drifts, warnings = detector.update_many(stream)
    return drifts.tolist(), warnings.tolist()


ADWIN_OPTIONS: list[dict[str, Any]] = [
    {},
    {"delta": 0.05, "clock": 1},
    {"delta": 0.3, "clock": 7, "max_buckets": 3, "min_window_length": 10, "grace_period": 50},
    {"max_buckets": 12, "min_window_length": 1, "grace_period": 0, "clock": 50},
]


def check_adwin(stream: np.ndarray, options: dict[str, Any]) -> int:
    """Ours keeps its window after a drift, as river's core and MOA do; river.drift.ADWIN makes a new core."""
    core = importlib.import_module("river._river_rust.drift").AdaptiveWindowing(
        **{"delta": 0.002, "clock": 32, "max_buckets": 5, "min_window_length": 5, "grace_period": 10, **options}
    )
    expected = [i for i, x in enumerate(stream.tolist()) if core.update(x)]
    adwin = fl.ADWIN(**options)
    assert ours(adwin, stream)[0] == expected
    assert adwin.width == core.get_width()
    assert adwin.total == pytest.approx(core.get_total(), rel=1e-9, abs=1e-9 * np.abs(stream).sum())

    adwin = fl.ADWIN(**options)
    forgetful = []
    for i, x in enumerate(stream.tolist()):
        if adwin.update(x):
            forgetful.append(i)
            adwin.reset()
    assert forgetful == theirs(river.ADWIN(**options), stream)[0]
    return len(expected)


@pytest.mark.parametrize("options", ADWIN_OPTIONS)
def test_adwin_finds_what_river_finds(options: dict[str, Any]) -> None:
    assert sum(check_adwin(random_stream(seed, seed % 3 == 0), options) for seed in range(16)) > 40


PAGE_HINKLEY_OPTIONS: list[dict[str, Any]] = [
    {},
    {"threshold": 5, "delta": 0.1},
    {"threshold": 2, "mode": "up", "alpha": 1.0},
    {"threshold": 2, "mode": "down", "min_instances": 1},
]


@pytest.mark.parametrize("options", PAGE_HINKLEY_OPTIONS)
def test_page_hinkley_finds_what_river_finds(options: dict[str, Any]) -> None:
    found = 0
    for seed in range(16):
        stream = random_stream(seed, seed % 3 == 0)
        drifts, _ = ours(fl.PageHinkley(**options), stream)
        assert drifts == theirs(river.PageHinkley(**options), stream)[0]
        found += len(drifts)
    assert found > 20


BINARY: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
    ("DDM", "DDM", {}, {}),
    ("DDM", "DDM", *[{"warm_start": 5, "warning_threshold": 1.5, "drift_threshold": 2.5}] * 2),
    ("HDDM_A", "HDDMA", {}, {}),
    ("HDDM_A", "HDDMA", *[{"drift_confidence": 0.05, "warning_confidence": 0.2}] * 2),
    ("HDDM_A", "HDDMA", {"mode": "both"}, {"two_sided_test": True}),
]


def check_binary(
    stream: np.ndarray, name: str, their_name: str, options: dict[str, Any], their_options: dict[str, Any]
) -> int:
    drifts, warnings = ours(getattr(fl, name)(**options), stream)
    assert (drifts, warnings) == theirs(getattr(binary, their_name)(**their_options), stream)
    return len(drifts)


@pytest.mark.parametrize("case", BINARY)
def test_ddm_and_hddm_a_find_what_river_finds(case: Any) -> None:
    assert sum(check_binary(random_stream(seed, True), *case) for seed in range(12)) > 10


def test_real_streams_drift_where_river_says(shared_data: Path) -> None:
    found = 0
    for name, stream in real_streams(shared_data):
        part = stream[:8000]
        found += check_adwin(part, {})
        threshold = 20 * float(part.std()) or 1.0
        drifts, _ = ours(fl.PageHinkley(threshold=threshold), part)
        assert drifts == theirs(river.PageHinkley(threshold=threshold), part)[0], name
        found += len(drifts)
    assert found > 50


@pytest.mark.parametrize("case", BINARY)
def test_real_errors_drift_where_river_says(case: Any, shared_data: Path) -> None:
    assert sum(check_binary(stream[:15_000], *case) for stream in real_errors(shared_data)) > 0


def test_kswin_finds_about_what_river_finds() -> None:
    """Both draw at random, so only their habits can be compared: false alarms on noise, and delays after a change."""
    dice = np.random.default_rng(3)
    alarms, delays, their_alarms, their_delays = 0, [], 0, []
    for seed in range(12):
        stream = np.concatenate([dice.normal(0, 1, 400), dice.normal(1.5, 1, 100)])
        drifts, _ = ours(fl.KSWIN(seed=seed), stream)
        their_drifts, _ = theirs(river.KSWIN(seed=seed), stream)
        alarms += sum(i < 400 for i in drifts)
        their_alarms += sum(i < 400 for i in their_drifts)
        delays += [next((i - 400 for i in drifts if i >= 400), 100)]
        their_delays += [next((i - 400 for i in their_drifts if i >= 400), 100)]
    assert abs(np.mean(delays) - np.mean(their_delays)) < 8
    assert abs(alarms - their_alarms) < 10


def test_kswin_has_scipys_p_value() -> None:
    stats = pytest.importorskip("scipy.stats")
    dice = np.random.default_rng(1)
    for r in (3, 10, 37):
        kswin = fl.KSWIN(window_size=2 * r, stat_size=r, alpha=1e-15)
        stream = dice.normal(0, 1, 2 * r + 40)
        for i, x in enumerate(stream, start=1):
            kswin.update(x)
            if i >= 2 * r:  # all of the older half is drawn
                expected = stats.ks_2samp(stream[i - 2 * r : i - r], stream[i - r : i], method="exact")
                assert kswin.statistic == pytest.approx(expected.statistic, rel=1e-12)
                assert kswin.p_value == pytest.approx(expected.pvalue, rel=1e-9)
