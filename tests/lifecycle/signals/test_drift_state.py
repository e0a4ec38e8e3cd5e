"""The drift monitor as a fold: batches, snapshots, errors that change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from signal_streams import SCHEMA, feed, stream

from fairlead import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.signals import DriftMonitor
from fairlead.lifecycle.signals.chance import block_inflation, f_tail, inflation

SMALL: dict[str, Any] = {"window": 60, "reference": 80, "baseline": 40}
TEXT = Schema("categorical", labels=["a", "b", "c"], text=True)
NUMERIC = Schema("numeric", ["a"])


def event(schema: Schema, n: int) -> tuple[Any, Any, Any]:
    """The nth input, answer and label of a stream that changes after 300."""
    rng = np.random.default_rng(n)
    late = n >= 300
    if schema == TEXT:
        words = rng.integers(200 if late else 0, 400, size=int(rng.integers(0, 6)))
        return " ".join(f"w{i}" for i in words), [0.2, 0.5, 0.3], int(rng.integers(0, 3))
    if schema == NUMERIC:
        value = float(rng.normal())
        return [value], value, value + float(rng.normal()) * (3.0 if late else 1.0)
    x = rng.normal(size=3) + late
    x[2] = np.nan if rng.random() < 0.1 else x[2]
    p = float(rng.random())
    return x, p, int(rng.random() < (1.0 - p if late else p))


def one(monitor: DriftMonitor, n: int) -> None:
    x, answer, y = event(monitor.schema, n)
    monitor.update(x, answer, time=n)
    if n >= 20:  # labels come later
        _, answer, y = event(monitor.schema, n - 20)
        monitor.learn(answer, y, time=n)
    if n % 7 == 0:
        monitor.rated(1500.0 - n, time=n)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from([SCHEMA, TEXT, NUMERIC]), st.integers(0, 600))
def test_restored_it_goes_on_as_if_it_had_never_stopped(schema: Schema, at: int) -> None:
    whole = DriftMonitor(schema, **SMALL)
    for n in range(at):
        one(whole, n)
    other = DriftMonitor.restore(whole.snapshot())
    assert other.snapshot() == whole.snapshot()
    for n in range(at, at + 150):
        one(whole, n)
        one(other, n)
    assert other.check() == whole.check() or str(other.check().as_dict()) == str(whole.check().as_dict())
    assert other.change_point() == whole.change_point()
    assert other.snapshot() == whole.snapshot()


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 150), max_size=8))
def test_batches_of_any_length_are_as_many_events(sizes: list[int]) -> None:
    single, batch = DriftMonitor(SCHEMA, **SMALL), DriftMonitor(SCHEMA, **SMALL)
    at = 0
    for size in sizes:
        rows = [event(SCHEMA, n) for n in range(at, at + size)]
        times = range(at, at + size)
        for (x, p, _), time in zip(rows, times, strict=True):
            single.update(x, p, time=time)
        for (_, p, y), time in zip(rows, times, strict=True):
            single.learn(p, y, time=time)
        x = np.array([row[0] for row in rows]).reshape(size, 3)
        batch.update_many(x, [row[1] for row in rows], times)
        batch.learn_many([row[1] for row in rows], [row[2] for row in rows], times)
        at += size
    assert batch.snapshot() == single.snapshot()


def test_asking_changes_nothing_and_labels_may_come_when_they_like() -> None:
    x, p, y = stream(2000, 1, wrong=1500)
    silent, asked = DriftMonitor(SCHEMA), DriftMonitor(SCHEMA)
    feed(silent, x, p, y)
    for n in range(0, 2000, 50):
        feed(asked, x, p, y, n, n + 50)
        asked.check()
        asked.change_point()
        repr(asked)
    assert asked.snapshot() == silent.snapshot()
    late = DriftMonitor(SCHEMA)
    late.update_many(x, p.tolist(), range(2000))
    late.learn_many(p.tolist(), y.tolist(), range(2000))
    assert [s.as_dict() for s in late.check().signals] == [s.as_dict() for s in silent.check().signals]


def test_what_is_no_snapshot_is_refused() -> None:
    monitor = DriftMonitor(SCHEMA, **SMALL)
    for n in range(200):
        one(monitor, n)
    data = monitor.snapshot()
    for bad in (b"", data[:-1], data + b"x", data[:40] + bytes([data[40] ^ 4]) + data[41:], b"fairlead"):
        with pytest.raises(ValueError, match="no snapshot of a drift monitor"):
            DriftMonitor.restore(bad)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.update([1.0, 2.0], 0.5), "3"),
        (lambda m: m.update(["a", 2.0, 3.0], 0.5), "'price' is 'a'"),
        (lambda m: m.update(None, 0.5), "x"),
        (lambda m: m.update([1.0, 2.0, 3.0], 1.5), "answer is 1.5"),
        (lambda m: m.update([1.0, 2.0, 3.0], [0.5, 0.6]), "answer is .0.5, 0.6."),
        (lambda m: m.update([1.0, 2.0, 3.0], [float("nan"), 0.5]), "answer is"),
        (lambda m: m.update([1.0, 2.0, 3.0], "high"), "answer is 'high'"),
        (lambda m: m.learn(0.5, 2), "y is 2"),
        (lambda m: m.learn(0.5, None), "y is None"),
        (lambda m: m.rated(float("nan")), "elo is nan"),
        (lambda m: m.update_many(np.ones((3, 3)), [0.5, 0.5]), "x has 3 rows, answers 2"),
        (lambda m: m.update_many(np.ones((2, 3)), [0.5, 7.0]), "answer is 7"),
        (lambda m: m.learn_many([0.5, 0.5], [0, 5]), "y is 5"),
        (lambda m: m.rebase(answers=[0.5]), "answers is given without examples"),
        (lambda m: m.rebase(Examples(NUMERIC, [[1.0]] * 30, [1.0] * 30)), "kind: binary became numeric"),
        (lambda m: m.rebase(Examples(SCHEMA, [[1.0] * 3] * 5, [1] * 5)), "reference has 5 examples"),
    ],
)
def test_what_is_refused_has_changed_nothing(call: Any, words: str) -> None:
    monitor = DriftMonitor(SCHEMA, **SMALL)
    for n in range(50):
        one(monitor, n)
    before = monitor.snapshot()
    with pytest.raises(InvalidRecordError, match=words):
        call(monitor)
    one(monitor, 50)
    other = DriftMonitor.restore(before)
    one(other, 50)
    assert monitor.snapshot() == other.snapshot()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"window": 0}, "window is 0"),
        ({"reference": 5}, "reference is 5"),
        ({"reference": "all"}, "reference is 'all'"),
        ({"psi": 0.0}, "psi is 0.0"),
        ({"psi": 0.1, "psi_warning": 0.2}, "psi_warning is 0.2"),
        ({"accuracy": 70}, "accuracy is 70"),
        ({"arl": 1}, "arl is 1"),
        ({"bins": 1}, "bins is 1"),
        ({"every": 0}, "every is 0"),
        ({"answers": [0.5]}, "answers is given without examples"),
    ],
)
def test_options_that_cannot_be_honoured(options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRecordError, match=words):
        DriftMonitor(SCHEMA, **options)
    with pytest.raises(InvalidRecordError, match="numeric kind has none"):
        DriftMonitor(NUMERIC, accuracy=0.7)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 50), st.floats(0.5, 60), st.floats(0.5, 500))
def test_the_tail_of_f(x: float, above: float, below: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert f_tail(x, above, below) == pytest.approx(float(stats.f.sf(x, above, below)), rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.8])
def test_how_much_neighbours_are_alike(memory: float) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=20_000)
    for i in range(1, len(x)):
        x[i] += memory * x[i - 1]
    truth = (1 + memory) / (1 - memory)
    assert inflation(x) == pytest.approx(truth, rel=0.25)
    means = x[: len(x) // 32 * 32].reshape(-1, 32).mean(axis=1)
    found = block_inflation(means, 32, float(x.var()))
    assert 0.65 * truth <= found <= 1.2 * truth
    means[300:] += 0.5  # a change of level is no likeness
    assert block_inflation(means, 32, float(x.var())) < 2.0 * truth
