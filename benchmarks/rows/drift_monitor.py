"""The drift monitor of one model: an input with its answer, a label, and asking for the status."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Size

FEATURES = 8


def rows(size: Size) -> Iterator[Row]:
    from fairlead.lifecycle.schema import Schema
    from fairlead.lifecycle.signals import DriftMonitor

    n = size.scaled(20_000)
    rng = np.random.default_rng(1)
    x, p = rng.normal(size=(n, FEATURES)), rng.random(n)
    y = (rng.random(n) < p).astype(int).tolist()
    inputs, answers = x.tolist(), p.tolist()
    schema = Schema("binary", [f"x{i}" for i in range(FEATURES)])

    def updated(monitor: Any) -> Any:
        update = monitor.update
        for row, answer in zip(inputs, answers, strict=True):
            update(row, answer)
        return monitor

    def learned(monitor: Any) -> Any:
        learn = monitor.learn
        for answer, label in zip(answers, y, strict=True):
            learn(answer, label)
        return monitor

    def batch() -> Any:
        monitor = DriftMonitor(schema)
        monitor.update_many(x, answers)
        monitor.learn_many(answers, y)
        return monitor

    full = learned(updated(DriftMonitor(schema)))
    same = "a batch is the same bit for bit" if batch().snapshot() == full.snapshot() else "A BATCH DIFFERS"
    yield Row(
        f"DriftMonitor: update, {FEATURES} features", "ns/event", n, lambda: updated(DriftMonitor(schema)), {}, same
    )
    yield Row("DriftMonitor: learn", "ns/label", n, lambda: learned(DriftMonitor(schema)), {}, same)
    yield Row("DriftMonitor: check", "ns/call", 100, lambda: [full.check() for _ in range(100)])
    yield Row("DriftMonitor: snapshot and restore", "ns/call", 1, lambda: DriftMonitor.restore(full.snapshot()))
