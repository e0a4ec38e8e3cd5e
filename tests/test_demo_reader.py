"""The demo's reader is a trainer as any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("sklearn")

from fairlead.demo.reader import SCHEMA, Reader
from fairlead.demo.sensor import TRAINED, load
from fairlead.lifecycle import Epoch, Examples, Schema, SchemaError, Trainer, TrainingError


@pytest.fixture(scope="module")
def examples() -> Examples:
    images, digits = load()
    return Examples(SCHEMA, images[:TRAINED].reshape(TRAINED, -1), digits[:TRAINED])


def reads(reader: Reader) -> float:
    images, digits = load()
    said = reader.predict(images[TRAINED:].reshape(-1, 64))
    assert said.sum(axis=1) == pytest.approx(np.ones(len(said)))
    return float((said.argmax(axis=1) == digits[TRAINED:]).mean())


def test_it_is_a_trainer(examples: Examples, tmp_path: Path) -> None:
    reader = Reader(epochs=5)
    assert isinstance(reader, Trainer)
    epochs: list[Epoch] = []
    reader.fit(examples, seed=3, report=epochs.append)
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5]
    assert reads(reader) > 0.8
    reader.save(tmp_path / "one")
    again = reader.fresh()
    assert again.schema is None
    again.load(tmp_path / "one")
    assert (again.predict(examples.x) == reader.predict(examples.x)).all()
    again = reader.fresh()
    again.fit(examples, seed=3)
    again.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    again.partial_fit(examples, seed=3)
    assert reads(again) > reads(reader) - 0.02
    again.save(tmp_path / "three")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


def test_labels_that_slip_teach_nothing(examples: Examples) -> None:
    reader = Reader(epochs=5, slip=1)
    reader.fit(examples, seed=3)
    assert reads(reader) < 0.3
    assert reader.fresh().params() == reader.params() == {"hidden": 48, "epochs": 5, "slip": 1}


def test_what_it_refuses(examples: Examples, tmp_path: Path) -> None:
    reader = Reader(epochs=1)
    for call in (lambda: reader.predict(examples.x), lambda: reader.save(tmp_path / "none")):
        with pytest.raises(TrainingError, match="never fitted"):
            call()
    (tmp_path / "bad").write_text("{}")
    for name in ("bad", "missing"):
        with pytest.raises(TrainingError, match="holds no reader"):
            reader.load(tmp_path / name)
    reader.partial_fit(examples)  # of one that was never fitted, it is `fit`
    other = Examples(Schema("categorical", ["a"], ["0", "1"]), [[0.0], [1.0]], [0, 1])
    with pytest.raises(SchemaError, match="another schema"):
        reader.partial_fit(other)
