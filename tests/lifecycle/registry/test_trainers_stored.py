"""Trainers through the registry: what was saved comes back into a fresh one, and predicts the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fairlead as fl
from fairlead.lifecycle import LifecycleError, Registry
from fairlead.lifecycle import trainers as kinds

SCHEMA = fl.lifecycle.Schema("binary", ["a", "b"])


def examples(n: int = 60) -> fl.lifecycle.Examples:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n, 2))
    buffer = fl.lifecycle.ExampleBuffer(SCHEMA, capacity=n)
    for i, row in enumerate(x):
        buffer.append(row, int(row[0] > 0), time=i)
    return buffer.examples()


def _sklearn() -> Any:
    linear_model = pytest.importorskip("sklearn.linear_model")
    pytest.importorskip("skops")
    return kinds.SklearnTrainer(linear_model.LogisticRegression())


def _torch() -> Any:
    pytest.importorskip("torch")
    return kinds.TorchTrainer(epochs=2)


def _river() -> Any:
    river = pytest.importorskip("river.linear_model")
    return kinds.RiverTrainer(river.LogisticRegression())


@pytest.mark.parametrize("make", [_sklearn, _torch, _river])
def test_a_trainer_comes_back_as_it_was(registry: Registry, tmp_path: Path, make: Callable[[], Any]) -> None:
    trainer = make()
    seen = examples()
    trainer.fit(seen, seed=5)
    path = tmp_path / "artifact"
    trainer.save(path)
    made = registry.register("elec", path, schema=trainer.schema, params=fl.lifecycle.parameters(trainer))
    registry.promote("elec", made)
    assert made.format == trainer.format
    again = registry.load("elec", into=trainer)
    assert again is not trainer
    np.testing.assert_array_equal(again.predict(seen.x), trainer.predict(seen.x))
    served = registry.serve("elec", trainer)
    np.testing.assert_array_equal(served.model.predict(seen.x), trainer.predict(seen.x))
    trainer.save(path)
    assert registry.register("elec", path).digest == made.digest


def test_a_file_of_another_trainer_is_told(registry: Registry, tmp_path: Path) -> None:
    trainer = _sklearn()
    trainer.fit(examples(), seed=1)
    trainer.save(tmp_path / "artifact")
    registry.register("elec", tmp_path / "artifact")
    with pytest.raises(LifecycleError, match="'elec' version 1 is skops, but TorchTrainer loads safetensors"):
        registry.load("elec", 1, into=_torch())
