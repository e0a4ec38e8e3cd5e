"""What all drift detectors share as seen from Python: events, batches, errors, snapshots."""

from __future__ import annotations

import copy
import math
import pickle
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl

ERRORS = [fl.DDM, fl.EDDM]
SHARES = [fl.HDDM_A, fl.HDDM_W, fl.CutScan]
NUMBERS = [fl.ADWIN, fl.PageHinkley, fl.CUSUM, fl.KSWIN]
ALL: list[Any] = [*NUMBERS, *ERRORS, *SHARES]


def stream(n: int = 3000, seed: int = 1) -> np.ndarray:
    """Zeros and ones, few and many of them in turns: every detector takes them."""
    dice = np.random.default_rng(seed)
    return (dice.random(n) < np.where(np.arange(n) // 500 % 2 == 1, 0.7, 0.1)).astype(float)


@pytest.mark.parametrize("cls", ALL)
def test_a_batch_is_as_many_updates(cls: Any) -> None:
    one_by_one, batch = cls(), cls()
    drifts, warnings = [], []
    for i, x in enumerate(stream()):
        answer = one_by_one.update(x)
        assert answer is one_by_one.drift
        if answer:
            drifts.append(i)
        if one_by_one.warning:
            warnings.append(i)
    found = batch.update_many(stream())
    assert [array.dtype for array in found] == [np.int64, np.int64]
    assert [array.tolist() for array in found] == [drifts, warnings]
    assert drifts
    assert warnings
    assert batch.snapshot() == one_by_one.snapshot()
    assert (batch.n, batch.drifts) == (3000, len(drifts))


@settings(max_examples=25, deadline=None)
@given(st.data(), st.sampled_from(ALL))
def test_batches_of_any_length(data: st.DataObject, cls: Any) -> None:
    x = stream(data.draw(st.integers(0, 1200)), 5)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(x)), max_size=4)))
    whole, parts = cls(), cls()
    expected = whole.update_many(x)[0].tolist()
    found: list[int] = []
    for start, stop in zip([0, *cuts], [*cuts, len(x)], strict=True):
        found += [int(i) + start for i in parts.update_many(x[start:stop])[0]]
        parts = cls.restore(parts.snapshot())
    assert found == expected
    assert parts.snapshot() == whole.snapshot()


@pytest.mark.parametrize("cls", ALL)
def test_a_copy_goes_on_by_itself(cls: Any) -> None:
    x = stream()
    whole = cls()
    whole.update_many(x[:700])
    before = whole.snapshot()
    copies = [pickle.loads(pickle.dumps(whole)), copy.deepcopy(whole), cls.restore(before)]
    expected = whole.update_many(x[700:])
    for other in copies:
        assert other.snapshot() == before
        assert repr(other).startswith(f"{cls.__name__}(n=700, drifts=")
        for a, b in zip(other.update_many(x[700:]), expected, strict=True):
            np.testing.assert_array_equal(a, b)
        assert other.snapshot() == whole.snapshot()


@pytest.mark.parametrize("cls", ALL)
def test_a_value_that_is_refused_changes_nothing(cls: Any) -> None:
    detector = cls()
    detector.update_many(stream(900))
    before = detector.snapshot()
    outside = 0.5 if cls in ERRORS else 1.5 if cls in SHARES else 1e101
    for bad, words in ((math.nan, "nan, must be finite"), (-math.inf, "-inf, must be finite"), (outside, str(outside))):
        with pytest.raises(ValueError, match=f"^x is {words}".replace("+", r"\+")):
            detector.update(bad)
        with pytest.raises(ValueError, match=f"^x.2. is {words}".replace("+", r"\+")):
            detector.update_many([1.0, 0.0, bad])
    for wrong in ("a", None, [1.0]):
        with pytest.raises(TypeError):
            detector.update(wrong)
    with pytest.raises(TypeError):
        detector.update()
    with pytest.raises(TypeError, match="x has dtype"):
        detector.update_many(["a", "b"])
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\)"):
        detector.update_many(np.zeros((2, 2)))
    assert detector.snapshot() == before


@pytest.mark.parametrize("cls", ALL)
def test_what_is_no_snapshot_is_refused(cls: Any) -> None:
    detector = cls()
    detector.update_many(stream(100))
    data = detector.snapshot()
    other = fl.DDM if cls is not fl.DDM else fl.EDDM
    for bad in (b"", data[:-1], data + b"x", bytes([data[0] ^ 1]) + data[1:], other().snapshot()):
        with pytest.raises(ValueError, match="snapshot"):
            cls.restore(bad)


def crc32c(data: bytes) -> bytes:
    c = 0xFFFFFFFF
    for byte in data:
        c ^= byte
        for _ in range(8):
            c = (c >> 1) ^ 0x82F63B78 if c & 1 else c >> 1
    return (c ^ 0xFFFFFFFF).to_bytes(4, "little")


@pytest.mark.parametrize("cls", ALL)
def test_bytes_made_up_with_a_good_checksum_do_no_harm(cls: Any) -> None:
    detector = cls()
    detector.update_many(stream(700))
    data = detector.snapshot()[:-4]
    assert data + crc32c(data) == detector.snapshot()
    dice = np.random.default_rng(3)
    for _ in range(60):
        made_up = bytearray(data)
        for at in dice.integers(12, len(data), dice.integers(1, 4)):
            made_up[at] = dice.choice([0, 1, 2, 255, int(dice.integers(256))])
        try:
            found = cls.restore(bytes(made_up) + crc32c(made_up))
        except ValueError:
            continue
        for _ in range(3):
            found.update_many(stream(300))


def test_adwin_takes_no_snapshot_with_an_empty_row_of_buckets() -> None:
    """Dropping the oldest bucket would go on with a row that has none."""
    adwin = fl.ADWIN(delta=0.9, clock=1, min_window_length=1, grace_period=0, max_buckets=64)
    adwin.update_many([0.0, 1.0] * 60)
    data = adwin.snapshot()[:-4]
    # The number of rows, how many buckets each has, and those.
    at = next(i for i in range(len(data)) if data[i : i + 8] == (2).to_bytes(8, "little") and data[i + 8] in (63, 64))
    head = data[:at] + (3).to_bytes(8, "little")
    rows = b"".join(n.to_bytes(4, "little") for n in (64, 0, 1))
    newest = np.repeat([0.0, 1e6], 32)
    buckets = b"".join(
        len(row).to_bytes(8, "little") + row.tobytes() + len(row).to_bytes(8, "little") + bytes(8 * len(row))
        for row in (newest, np.empty(0), np.array([-1e9]))
    )
    made_up = head + rows + buckets + (0).to_bytes(8, "little")
    with pytest.raises(ValueError, match="snapshot"):
        fl.ADWIN.restore(made_up + crc32c(made_up))


@pytest.mark.parametrize("cls", ALL)
def test_bools_and_integers_are_numbers(cls: Any) -> None:
    x = stream(1200)
    expected = cls().update_many(x)[0].tolist()
    for values in (
        x.astype(bool),
        x.astype(int),
        x.astype(np.float32),
        x.astype(bool).tolist(),
        x.astype(int).tolist(),
    ):
        assert cls().update_many(values)[0].tolist() == expected
        detector = cls()
        assert [i for i, value in enumerate(values) if detector.update(value)] == expected


@pytest.mark.parametrize("cls", ALL)
def test_reset_is_a_new_start(cls: Any) -> None:
    detector = cls()
    detector.update_many(stream())
    detector.reset()
    assert detector.snapshot() == cls().snapshot()
    assert (detector.n, detector.drifts, detector.drift, detector.warning) == (0, 0, False, False)


@pytest.mark.parametrize("cls", ALL)
def test_no_event_at_all(cls: Any) -> None:
    detector = cls()
    drifts, warnings = detector.update_many([])
    assert (len(drifts), len(warnings), detector.n) == (0, 0, 0)
    assert math.isnan(getattr(detector, "estimation", math.nan))
    assert repr(detector) == f"{cls.__name__}(n=0, drifts=0, stable)"


@pytest.mark.parametrize("cls", [fl.ADWIN, fl.PageHinkley, fl.CUSUM, fl.HDDM_A, fl.HDDM_W, fl.CutScan])
def test_a_mode_sees_its_changes_only(cls: Any) -> None:
    x = np.concatenate([np.zeros(600), np.ones(600), np.zeros(600)])
    up, down = (cls(mode=mode).update_many(x)[0] for mode in ("up", "down"))
    assert np.any((up >= 600) & (up < 1200))
    assert np.all((up >= 600) & (up < 1200))
    assert np.any(down >= 1200)
    assert np.all(down >= 1200)


BAD: list[tuple[Any, dict[str, Any], str]] = [
    (fl.ADWIN, {"delta": 0}, r"delta is 0, must be in \(0, 1\)"),
    (fl.ADWIN, {"delta": math.nan}, "delta is nan"),
    (fl.ADWIN, {"clock": 0}, "clock is 0"),
    (fl.ADWIN, {"max_buckets": 1}, "max_buckets is 1"),
    (fl.ADWIN, {"min_window_length": 0}, "min_window_length is 0"),
    (fl.ADWIN, {"grace_period": -1}, "grace_period is -1"),
    (fl.ADWIN, {"warning_delta": 0.001}, "warning_delta is 0.001, must be in .delta, 1."),
    (fl.ADWIN, {"warning_delta": math.nan}, "warning_delta is nan"),
    (fl.ADWIN, {"mode": "left"}, "mode is 'left'"),
    (fl.PageHinkley, {"min_instances": 0}, "min_instances is 0"),
    (fl.PageHinkley, {"delta": -0.5}, "delta is -0.5"),
    (fl.PageHinkley, {"threshold": 0}, "threshold is 0"),
    (fl.PageHinkley, {"alpha": 1.5}, "alpha is 1.5"),
    (fl.PageHinkley, {"warning_threshold": 51}, "warning_threshold is 51"),
    (fl.CUSUM, {"delta": math.inf}, "delta is inf"),
    (fl.CUSUM, {"threshold": -1}, "threshold is -1"),
    (fl.CUSUM, {"target": math.inf}, "target is inf"),
    (fl.CUSUM, {"target": math.nan}, "target is nan"),
    (fl.KSWIN, {"alpha": 1.0}, "alpha is 1"),
    (fl.KSWIN, {"window_size": 1}, "window_size is 1"),
    (fl.KSWIN, {"stat_size": 51}, "stat_size is 51, must be in .1, window_size / 2."),
    (fl.KSWIN, {"stat_size": 0}, "stat_size is 0"),
    (fl.KSWIN, {"warning_alpha": 0.001}, "warning_alpha is 0.001"),
    (fl.DDM, {"warm_start": -1}, "warm_start is -1"),
    (fl.DDM, {"warning_threshold": 4.0}, "warning_threshold is 4"),
    (fl.DDM, {"drift_threshold": 0.0}, "drift_threshold is 0"),
    (fl.EDDM, {"alpha": 0.8}, "beta is 0.9, must be in .0, alpha., and alpha is 0.8"),
    (fl.HDDM_A, {"drift_confidence": 0.0}, "drift_confidence is 0"),
    (fl.HDDM_A, {"warning_confidence": 0.0001}, "warning_confidence is 0.0001"),
    (fl.HDDM_A, {"drift_confidence": 0.5}, "warning_confidence is 0.005, must be .*, and drift_confidence is 0.5"),
    (fl.KSWIN, {"seed": -1}, "seed is -1, must be from 0"),
    (fl.KSWIN, {"seed": 2**64}, "seed is 18446744073709551616, must be from 0"),
    (fl.HDDM_W, {"lambda_val": 0.0}, "lambda_val is 0"),
    (fl.HDDM_W, {"mode": ""}, "mode is ''"),
    (fl.CutScan, {"arl": 99}, "arl is 99, must be in .100, 1e12."),
    (fl.CutScan, {"warning_arl": 10_001}, "warning_arl is 10001, must be in .100, arl., and arl is 10000"),
    (fl.CutScan, {"inflation": 0.5}, "inflation is 0.5"),
    (fl.CutScan, {"clock": 0}, "clock is 0"),
    (fl.CutScan, {"max_buckets": 65}, "max_buckets is 65"),
    (fl.CutScan, {"min_length": 0}, "min_length is 0"),
]


def test_options_of_another_type_are_named() -> None:
    with pytest.raises(TypeError, match="mode is 1, must be 'up', 'down' or 'both'"):
        fl.HDDM_A(mode=1)
    with pytest.raises(TypeError, match=r"seed is 1\.5, must be a whole number"):
        fl.KSWIN(seed=1.5)


@pytest.mark.parametrize(("cls", "options", "words"), BAD)
def test_options_that_cannot_be_honoured_are_named(cls: Any, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        cls(**options)


def test_the_statistics_show_what_fired_until_the_next_event() -> None:
    test = fl.PageHinkley(threshold=5.0, min_instances=1)
    while not test.update(0.0 if test.n < 50 else 3.0):
        pass
    assert test.drift
    assert test.statistic > 5.0
    assert test.estimation > 0.0
    test.update(2.0)
    assert not test.drift
    assert (test.estimation, test.drifts, test.n) == (2.0, 1, test.n)


def test_kswin_depends_on_its_seed_alone() -> None:
    x = np.random.default_rng(1).normal(size=3000)
    runs = [fl.KSWIN(alpha=0.05, seed=seed).update_many(x)[0].tolist() for seed in (1, 1, 2**64 - 1)]
    assert runs[0] == runs[1] != runs[2]


@pytest.mark.parametrize("cls", NUMBERS)
def test_numbers_that_are_hard_to_sum(cls: Any) -> None:
    """An offset of 1e9 and a spike of 1e12 leave a detector that still works. (A window that holds the spike
    sees little else, whatever the arithmetic; with 32 buckets of a size ADWIN drops it.)"""
    dice = np.random.default_rng(2)
    x = dice.normal(1e9, 1, 30_000)
    x[5000] = 1e12
    x[20_000:] += 30
    detector = cls(max_buckets=32) if cls is fl.ADWIN else cls()
    drifts, _ = detector.update_many(x)
    assert np.any((drifts >= 20_000) & (drifts < 20_500))
    assert getattr(detector, "estimation", 1e9) == pytest.approx(1e9, rel=1e-3)


def test_threads_on_one_detector() -> None:
    detectors = [cls() for cls in ALL]
    x = stream(20_000)

    def feed() -> None:
        for detector in detectors:
            detector.update_many(x)
            for value in x[:2000]:
                detector.update(value)

    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [detector.n for detector in detectors] == [88_000] * len(ALL)
