"""The drift monitor: what it sees, how soon, and how rarely it is wrong."""

from __future__ import annotations

import json

import numpy as np
import pytest
from signal_streams import SCHEMA, feed, kinds, stream

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.signals import DriftMonitor


def test_without_drift_it_is_as_quiet_as_stated() -> None:
    alarms = 0
    for seed in range(24):
        monitor = DriftMonitor(SCHEMA)
        x, p, y = stream(5000, seed)
        for start in range(0, 5000, 500):
            feed(monitor, x, p, y, start, start + 500)
            if monitor.check().level == "alarm":
                alarms += 1
                break
    assert alarms <= 12  # one in 10,000 events is the most, on average


def test_many_features_and_small_windows_alarm_by_chance_only_where_the_index_is_taken_as_it_is() -> None:
    schema = Schema("binary", [f"x{i}" for i in range(60)])
    monitor = DriftMonitor(schema, window=60, reference=120)
    rng = np.random.default_rng(3)
    monitor.update_many(rng.normal(size=(1000, 60)), rng.random(1000).tolist())
    status = monitor.check()
    assert status.level == "none"
    assert len(status["inputs"]) == 60
    raw = [float(s.message.split("in all ")[1][:4]) for s in status["inputs"]]
    assert sum(value > 0.25 for value in raw) > 10


@pytest.mark.parametrize("memory", [0.8, 0.95])
def test_inputs_whose_neighbours_are_alike_do_not_alarm(memory: float) -> None:
    alarms = 0
    for seed in range(8):
        monitor = DriftMonitor(SCHEMA)
        feed(monitor, *stream(4000, seed, memory=memory))
        alarms += bool(kinds(monitor) & {"inputs", "predictions", "confidence"})
    assert alarms <= 2


def test_an_input_that_moves_is_named_and_nothing_else() -> None:
    monitor = DriftMonitor(SCHEMA)
    feed(monitor, *stream(3000, 1, moved=2400))
    raised = monitor.check().raised("alarm")
    assert [(s.kind, s.name) for s in raised] == [("inputs", "load"), ("input_change", "load")]
    assert "its mean rank was 0.4" in raised[1].message or "its mean rank was 0.5" in raised[1].message
    assert raised[1].since <= raised[0].since
    assert 2400 <= raised[0].since < 2800
    assert raised[0].value > raised[0].threshold == 0.25
    assert raised[0].p_value < 1e-4
    assert abs(monitor.change_point() - 600) <= 60


def test_values_that_go_missing_are_drift() -> None:
    x, p, y = stream(2500, 2)
    x[:, 2] = np.nan  # never there: nothing to say of it
    x[2000:, 1] = np.where(np.random.default_rng(0).random(500) < 0.4, np.nan, x[2000:, 1])
    monitor = DriftMonitor(SCHEMA)
    feed(monitor, x, p, y)
    assert [(s.kind, s.name) for s in monitor.check().raised("alarm")] == [("inputs", "load")]
    x[2400:, 2] = 1.0
    feed(monitor, x, p, y, 2000)
    assert {s.name for s in monitor.check().raised("alarm")} == {"load", "wind"}


def test_a_constant_column_that_moves_is_drift() -> None:
    x, p, y = stream(2500, 3)
    x[:, 1] = 7.0
    monitor = DriftMonitor(SCHEMA)
    feed(monitor, x, p, y)
    assert kinds(monitor) == set()
    x[:, 1] = 7.5
    feed(monitor, x, p, y, 0, 500)
    assert [(s.kind, s.name) for s in monitor.check().raised("alarm")] == [("inputs", "load"), ("input_change", "load")]


def test_a_changed_concept_is_seen_in_the_errors_with_where_it_began() -> None:
    found = []
    for seed in range(10):
        monitor = DriftMonitor(SCHEMA)
        x, p, y = stream(3000, seed, wrong=2000)
        for n in range(2000, 3000, 20):
            feed(monitor, x, p, y, 0 if n == 2000 else n, n + 20)
            if "change" in kinds(monitor):
                break
        assert "inputs" not in kinds(monitor)
        found.append((n + 20 - 2000, monitor.change_point() - (n + 20 - 2000)))
    late, off = np.array(found).T
    assert np.median(late) <= 120
    assert np.median(np.abs(off)) <= 60


def test_what_passes_is_let_go() -> None:
    x, p, y = stream(9000, 5, wrong=3000)
    good = stream(9000, 6)
    monitor = DriftMonitor(SCHEMA)
    feed(monitor, x, p, y, 0, 4000)
    assert monitor.check().level == "alarm"
    feed(monitor, *good, 0, 3000)
    assert kinds(monitor) == set()


def test_inputs_that_come_back_are_let_go() -> None:
    x, p, y = stream(4000, 12, moved=1500)
    x[2000:, 1] -= 1.0
    monitor = DriftMonitor(SCHEMA, psi=9.0)
    feed(monitor, x, p, y, 0, 2000)
    assert kinds(monitor) == {"input_change"}
    feed(monitor, x, p, y, 2000, 2600)
    assert kinds(monitor) == set()


def test_warnings_come_before_alarms_where_drift_is_slow() -> None:
    first: dict[str, int] = {}
    x, p, y = stream(8000, 8)
    x[:, 1] += np.clip((np.arange(8000) - 2000) / 4000, 0.0, 1.0) * 1.2
    monitor = DriftMonitor(SCHEMA)
    for start in range(0, 8000, 50):
        feed(monitor, x, p, y, start, start + 50)
        for signal in monitor.check()["inputs"]:
            if signal.name == "load":
                first.setdefault(signal.level, start)
    assert first["warning"] < first["alarm"]


def test_accuracy_below_what_is_asked_for() -> None:
    x, p, y = stream(2000, 9)
    monitor = DriftMonitor(SCHEMA, accuracy=0.95)
    feed(monitor, x, p, y)
    (signal,) = monitor.check()["accuracy"]
    assert (signal.level, signal.threshold) == ("alarm", 0.95)
    assert "the threshold is 95.0%" in signal.message
    monitor = DriftMonitor(SCHEMA, accuracy=signal.value + 0.005)
    feed(monitor, x, p, y)
    assert monitor.check()["accuracy"][0].level == "warning"  # below, but that may be chance
    monitor = DriftMonitor(SCHEMA, accuracy=0.5)
    feed(monitor, x, p, y)
    assert monitor.check()["accuracy"][0].level == "none"


def test_confidence_that_is_not_kept_any_more() -> None:
    rng = np.random.default_rng(1)
    monitor = DriftMonitor(SCHEMA, rise=5.0)
    p = np.full(3000, 0.9)
    y = (rng.random(3000) < np.where(np.arange(3000) < 1500, 0.9, 0.7)).astype(int)
    monitor.learn_many(p.tolist(), y.tolist(), range(3000))
    (signal,) = monitor.check()["calibration"]
    assert signal.level == "alarm"
    assert 0.1 < signal.value < 0.3
    record = monitor.check().record
    assert record is not None
    assert 0.15 < record.drop < 0.3
    assert record.p_value < 1e-6


def test_a_slide_of_the_rating() -> None:
    monitor = DriftMonitor(SCHEMA, window=100)
    for n in range(300):
        monitor.rated(1500.0 - max(0, n - 100), time=n)
    (signal,) = monitor.check()["elo"]
    assert (signal.level, signal.threshold) == ("alarm", 100.0)
    assert 200 <= signal.since < 220
    assert signal.value == pytest.approx(200 - 5.5, abs=2)


def test_numbers_are_watched_by_their_errors() -> None:
    schema = Schema("numeric", ["a"])
    rng = np.random.default_rng(4)
    monitor = DriftMonitor(schema)
    for n in range(2000):
        value = float(rng.normal())
        monitor.update([value], (value, 0.5), time=n)
        monitor.learn(value, value + rng.normal() * (1.0 if n < 1500 else 2.0), time=n)
    assert kinds(monitor) == {"change", "adwin", "error_rate"}
    assert abs(monitor.change_point() - 500) < 60
    record = monitor.check().record
    assert record is not None
    assert record.numeric
    assert record.drop == pytest.approx(1.0, abs=0.25)


def test_texts_are_watched_by_their_words() -> None:
    schema = Schema("categorical", labels=["a", "b"], text=True)
    rng = np.random.default_rng(5)
    words = [f"w{i}" for i in range(2000)]
    share = 1.0 / np.arange(1, 2001)
    share /= share.sum()

    def texts(n: int, shift: int = 0) -> list[str]:
        return [" ".join(words[(i + shift) % 2000] for i in rng.choice(2000, 9, p=share)) for _ in range(n)]

    monitor = DriftMonitor(schema)
    for text in texts(3000):
        monitor.update(text, [0.7, 0.3])
    assert monitor.check().level == "none"
    for text in texts(500, 1000):  # the same words, others among them are common
        monitor.update(text, [0.7, 0.3])
    assert {s.name for s in monitor.check().raised("alarm")} >= {"word, drawn", "another word, drawn"}


def test_a_reference_that_is_given_makes_it_ready_at_once() -> None:
    x, p, y = stream(4000, 11, wrong=3000)
    examples = Examples(SCHEMA, x[:2000], y[:2000])
    monitor = DriftMonitor(SCHEMA, reference=examples, answers=p[1000:2000].tolist())
    assert monitor.change_point() == 1000
    feed(monitor, x, p, y, 2000, 3000)
    status = monitor.check()
    assert (status.level, status.inputs, status.labels) == ("none", 1000, 1000)
    feed(monitor, x, p, y, 3000, 3200)
    assert "change" in kinds(monitor)
    assert abs(monitor.change_point() - 200) < 60
    monitor.rebase(examples, p[1000:2000].tolist())
    fresh = DriftMonitor(SCHEMA, reference=examples, answers=p[1000:2000].tolist())
    assert monitor.snapshot() == fresh.snapshot()
    monitor.rebase()
    assert monitor.check().level == "none"
    assert monitor.check().signals == ()
    assert monitor.snapshot() == DriftMonitor(SCHEMA).snapshot()


def test_errors_where_there_were_none_are_told_in_numbers() -> None:
    monitor = DriftMonitor(Schema("binary", ["a"]))
    rng = np.random.default_rng(1)
    for n in range(1500):
        x = float(rng.normal())
        monitor.update([x], float(x > 0), time=n)
        monitor.learn(float(x > 0), int((x > 0) == (n < 1000)), time=n)
    status = monitor.check()
    (told,) = [signal for signal in status.raised("alarm") if signal.kind == "error_rate"]
    assert "it was 0 (p" in told.message
    assert not any(word in signal.message for signal in status.signals for word in ("nan", "inf%"))
    json.dumps(status.as_dict(), allow_nan=False)
