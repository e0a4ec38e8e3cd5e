"""Answers as plain Python: a tuple of the probabilities of the classes, or a number."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError, TrainingError
from fairlead.lifecycle.schema import Schema
from fairlead.types import Kind

Answer = tuple[float, ...] | float


class Prediction(NamedTuple):
    """What a managed model answered. answer: the probabilities of the classes in the order of the schema (two for a
    binary kind), or the number. version: who answered. arm: "champion" or "challenger"."""

    answer: Answer
    version: int
    arm: str
    task: str
    latency_ms: float
    kind: Kind

    @property
    def p(self) -> float | tuple[float, ...] | None:
        """As a Forecast has it: P(1) of a binary kind, the probabilities of the classes, None of a number."""
        if isinstance(self.answer, tuple):
            return self.answer[1] if self.kind == "binary" else self.answer
        return None

    @property
    def value(self) -> float | None:
        """The number of a numeric kind, else None."""
        return None if isinstance(self.answer, tuple) else self.answer


def row_of(schema: Schema, x: Any) -> Any:
    """One input, checked, as its own row: an array of (1, features), or a list of one text."""
    if (
        type(x) is np.ndarray
        and x.dtype == np.float64
        and x.shape == (len(schema.features),)
        and isfinite(x.dot(x))  # neither NaN nor infinite, unless too large: the schema tells
    ):
        return np.array(x, ndmin=2)
    return schema.check_x([x])


def rows_in(examples: Examples) -> list[Any]:
    """The inputs of examples, each as of `row_of`."""
    x = examples.x
    return [[text] for text in x] if isinstance(x, tuple) else [row.reshape(1, -1) for row in x]


def rows_of(schema: Schema, rows: Sequence[Any]) -> Any:
    """Rows of `row_of` as one input."""
    return [row[0] for row in rows] if schema.text else np.concatenate(rows)


def answer_of(schema: Schema, found: Any) -> Answer:
    """The answer to one input from what a model gave for it. Raises TrainingError for one that is none."""
    if schema.kind == "numeric":
        value = float(found[0])
        if isfinite(value):
            return value
        raise TrainingError(f"the answer is {value}")
    p = found[0].tolist()
    if len(p) != len(schema.labels):
        raise SchemaError(f"the answer has {len(p)} probabilities, the schema {schema.classes} labels")
    if not abs(sum(p) - 1.0) <= 1e-3:  # NaN too
        raise TrainingError(f"the answer is {p}, which sums to {sum(p):g}")
    return tuple(p)


def answers_of(schema: Schema, found: Any, n: int) -> list[Answer]:
    """The answers to n inputs. Raises TrainingError for what is none."""
    array = np.asarray(found, dtype=np.float64)
    shape = (n,) if schema.kind == "numeric" else (n, schema.classes)
    if array.shape != shape:
        raise SchemaError(f"the answers have shape {array.shape}, must have {shape}")
    if schema.kind == "numeric":
        if not np.isfinite(array).all():
            raise TrainingError(f"an answer is {array[~np.isfinite(array)][0]}")
        return [float(value) for value in array]
    off = np.abs(array.sum(axis=1) - 1.0)
    if not (off <= 1e-3).all():
        at = int(np.flatnonzero(~(off <= 1e-3))[0])
        raise TrainingError(f"an answer is {array[at].tolist()}, which does not sum to 1")
    return [tuple(row) for row in array.tolist()]
