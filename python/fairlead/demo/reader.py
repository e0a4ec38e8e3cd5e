"""The model that is managed: a small neural network with a trainer of its own, to show how little that takes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError, TrainingError
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.trainer import Epoch, PathLike, Report, quiet

DIGITS = tuple("0123456789")
PIXELS = tuple(f"pixel_{row}{column}" for row in range(8) for column in range(8))
SCHEMA = Schema("categorical", PIXELS, DIGITS)

Array = NDArray[np.float64]


class Reader:
    """A network of one hidden layer (tanh), trained by Adam on the cross-entropy: a `Trainer`, and the model itself.

    slip: by how many rows the labels slip against the images, which is a mistake. pace: seconds to rest after each
    epoch, so that an eye can follow.
    """

    format = "json"

    def __init__(self, *, hidden: int = 48, epochs: int = 40, slip: int = 0, pace: float = 0.0) -> None:
        self.hidden, self.epochs, self.slip, self.pace = hidden, epochs, slip, pace
        self.schema: Schema | None = None
        self.weights: list[Array] = []

    def fresh(self) -> Reader:
        """An untrained one with the same parameters."""
        return Reader(hidden=self.hidden, epochs=self.epochs, slip=self.slip, pace=self.pace)

    def params(self) -> dict[str, Any]:
        """For the card."""
        return {"hidden": self.hidden, "epochs": self.epochs, "slip": self.slip}

    def fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Learns from these examples alone."""
        rng = np.random.default_rng(seed)
        inputs, classes = examples.schema.width, examples.schema.classes
        self.weights = [
            rng.normal(0.0, inputs**-0.5, (inputs, self.hidden)),
            np.zeros(self.hidden),
            rng.normal(0.0, self.hidden**-0.5, (self.hidden, classes)),
            np.zeros(classes),
        ]
        self.schema = examples.schema
        self._descend(examples, rng, report)

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Report = quiet) -> None:
        """Goes on from the weights that it has."""
        if self.schema is None:
            return self.fit(examples, seed=seed, report=report)
        if differ := self.schema.differences(examples.schema):
            raise SchemaError(f"the examples have another schema than the model: {'; '.join(differ)}")
        self._descend(examples, np.random.default_rng(seed), report)

    def predict(self, x: Any) -> Array:
        """Probabilities of shape (n, 10)."""
        if self.schema is None:
            raise TrainingError("the reader was never fitted")
        return self._forward(np.asarray(self.schema.check_x(x)))[1]

    def save(self, path: PathLike) -> None:
        """As JSON, every weight to the bit."""
        if self.schema is None:
            raise TrainingError("the reader was never fitted")
        state = {"schema": self.schema.to_dict(), "weights": [weight.tolist() for weight in self.weights]}
        Path(path).write_text(json.dumps(state), encoding="utf-8")

    def load(self, path: PathLike) -> None:
        """The state that `save` wrote."""
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
            schema, weights = Schema.from_dict(state["schema"]), [np.array(weight) for weight in state["weights"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise TrainingError(f"{path} holds no reader: {error}") from error
        self.schema, self.weights = schema, weights

    def _forward(self, x: Array) -> tuple[Array, Array]:
        first, first_bias, second, second_bias = self.weights
        inner = np.tanh(x @ first + first_bias)
        logits = inner @ second + second_bias
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return inner, raised / raised.sum(axis=1, keepdims=True)

    def _descend(self, examples: Examples, rng: np.random.Generator, report: Report) -> None:
        x, y = np.asarray(examples.x), np.roll(examples.y, self.slip)
        truth = np.eye(examples.schema.classes)[y]
        moments = [(np.zeros_like(weight), np.zeros_like(weight)) for weight in self.weights]
        steps = 0
        with _one_thread():
            for epoch in range(1, self.epochs + 1):
                total = 0.0
                for batch in np.array_split(rng.permutation(len(x)), max(len(x) // 16, 1)):
                    inner, p = self._forward(x[batch])
                    total -= float(np.log(np.maximum((p * truth[batch]).sum(axis=1), 1e-12)).sum())
                    steps += 1
                    self._step(x[batch], inner, (p - truth[batch]) / len(batch), moments, steps)
                time.sleep(self.pace)
                report(Epoch(epoch, self.epochs, total / len(x)))

    def _step(self, x: Array, inner: Array, off: Array, moments: list[tuple[Array, Array]], steps: int) -> None:
        """One step of Adam (Kingma and Ba, 2015), with weights that decay a little."""
        back = (off @ self.weights[2].T) * (1.0 - inner**2)
        gradients = (x.T @ back, back.sum(axis=0), inner.T @ off, off.sum(axis=0))
        for weight, gradient, (mean, square) in zip(self.weights, gradients, moments, strict=True):
            mean *= 0.9
            mean += 0.1 * gradient
            square *= 0.999
            square += 0.001 * gradient**2
            root = np.sqrt(square / (1.0 - 0.999**steps)) + 1e-8
            weight -= 0.005 * (mean / (1.0 - 0.9**steps) / root + 0.02 * weight)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The matrices are so small that threads would only wait for one another, and sum in another order."""
    from threadpoolctl import threadpool_limits  # scikit-learn brings it

    with threadpool_limits(1):
        yield
