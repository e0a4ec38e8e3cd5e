"""What the tests of jobs share: examples, a log, and trainers that the process of a job can import."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fairlead.lifecycle import Examples, Schema
from fairlead.lifecycle.jobs import InlineJobs, TrainingJobs


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def append(self, type: str, data: Any, *, model: str | None = None, time: int | None = None) -> int:
        assert type == "training_run"
        self.events.append({**data, "model": model, "time": time})
        return len(self.events)

    def epochs(self, run: str | None = None) -> list[int]:
        return [e["epoch"] for e in self.events if "epoch" in e and run in (None, e["run"])]


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module of the tiny trainers, by a name that other processes find too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    import tiny_trainers

    return tiny_trainers


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def jobs(tmp_path: Path, told: Told) -> Iterator[TrainingJobs]:
    with TrainingJobs(tmp_path / "jobs", told) as running:
        yield running


@pytest.fixture
def inline(tmp_path: Path) -> Iterator[InlineJobs]:
    with InlineJobs(tmp_path / "inline") as running:
        yield running


def drawn(n: int = 60, seed: int = 1) -> Examples:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    return Examples(Schema("binary", ["a", "b", "c"]), x, (x @ [1.0, -2.0, 0.5] > 0).astype(int))


@pytest.fixture
def examples() -> Examples:
    return drawn()


@pytest.fixture
def validation() -> Examples:
    return drawn(40, seed=2)
