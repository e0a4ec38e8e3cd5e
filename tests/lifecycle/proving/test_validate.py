"""Both models on held-back examples: the first stage of a trial."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import ExampleBuffer
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.proving import Guardrails, Plan, validate
from fairlead.lifecycle.schema import Schema

BINARY = Schema("binary", ("a", "b"))
NUMERIC = Schema("numeric", ("a", "b"))


class Fixed:
    """Predicts by its first column, right with a probability that is its own."""

    def __init__(self, schema: Schema | None, right: float = 1.0, seed: int = 0) -> None:
        self.schema, self.right, self.seed = schema, right, seed
        self.asked = 0

    def predict(self, x: Any) -> np.ndarray:
        assert self.schema is not None
        self.asked += len(x)
        rng = np.random.default_rng(self.seed)
        if self.schema.kind == "numeric":
            return x[:, 0] + rng.normal(size=len(x)) * (1.0 - self.right)
        truth = np.where(rng.random(len(x)) < self.right, x[:, 0], 1.0 - x[:, 0])
        return np.stack([1.0 - truth, truth], axis=1)


def examples(schema: Schema, n: int = 200) -> Any:
    buffer, rng = ExampleBuffer(schema), np.random.default_rng(1)
    for i in range(n):
        y = float(rng.random() < 0.5) if schema.kind == "binary" else float(rng.normal())
        buffer.append([y, 0.0], y, i)
    return buffer.examples()


@pytest.mark.parametrize(("schema", "loss"), [(BINARY, "zero_one"), (NUMERIC, "absolute")])
def test_the_better_one_goes_on_and_the_worse_is_refused(schema: Schema, loss: str) -> None:
    good, bad, data = Fixed(schema, 0.95, 1), Fixed(schema, 0.6, 2), examples(schema)
    trial = validate(good, bad, data, name="run-1")  # type: ignore[arg-type]
    assert (trial.name, trial.stage, trial.plan.loss) == ("run-1", "shadow", loss)
    assert trial.test.better
    other = validate(bad, good, data)  # type: ignore[arg-type]
    assert other.verdict.failure in (Failure.worse, Failure.guardrail)
    same = validate(good, good, data, plan=Plan(loss=loss), guardrails=Guardrails(alpha=0.05))  # type: ignore[arg-type]
    assert same.test.e_value == 1.0
    assert same.stage == "shadow"


def test_slices_and_schemas_are_looked_at() -> None:
    good, data = Fixed(BINARY, 0.95), examples(BINARY)
    trial = validate(good, good, data, slices=[{"part": str(i % 2)} for i in range(200)])  # type: ignore[arg-type]
    assert next(check.n for check in trial.checks() if check.guardrail == "worst_slice") == 100
    other = Fixed(NUMERIC)
    refused = validate(other, good, data)  # type: ignore[arg-type]
    assert refused.verdict.failure is Failure.schema
    assert other.asked == 0
    with pytest.raises(InvalidRecordError, match="the challenger is not fitted"):
        validate(Fixed(None), good, data)  # type: ignore[arg-type]
    with pytest.raises(InvalidRecordError, match="the champion is not fitted"):
        validate(good, Fixed(None), data)  # type: ignore[arg-type]
