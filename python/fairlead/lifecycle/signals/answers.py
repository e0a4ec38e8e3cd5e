"""What a model answered, as the few numbers that are watched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.schema import Schema

NAN = float("nan")

Read = Callable[[Any], tuple[float, float]]
"""An answer as what was predicted (the number of a class, or a number) and the confidence in it (NaN: none)."""

Judge = Callable[[Any, Any], tuple[float, float]]
"""An answer and its label as error (0 or 1, or the absolute error) and confidence."""


def reader(schema: Schema) -> Read:
    """How answers of this schema are read: a probability for each class, of which the sum is 1 (of a binary kind that
    of class 1 alone will do); a number of a numeric kind, or (number, confidence).

    >>> reader(Schema("categorical", ["a"], ["x", "y", "z"]))([0.1, 0.7, 0.2])
    (1.0, 0.7)
    """
    if schema.kind == "numeric":
        return _number
    classes = schema.classes

    def read(answer: Any) -> tuple[float, float]:
        p = answer.tolist() if hasattr(answer, "tolist") else answer
        if isinstance(p, (list, tuple)):
            try:
                good = len(p) == classes and abs(sum(p) - 1.0) <= 1e-5 and min(p) >= -1e-9
            except TypeError:
                good = False
            if not good:
                raise InvalidRecordError(f"answer is {answer!r}, must be {classes} probabilities whose sum is 1")
            best = max(p)
            return float(p.index(best)), float(best)
        if classes == 2 and isinstance(p, (int, float)) and 0.0 <= p <= 1.0:
            return (1.0, float(p)) if p > 0.5 else (0.0, 1.0 - p)
        raise InvalidRecordError(f"answer is {answer!r}, must be {classes} probabilities whose sum is 1")

    return read


def judge(schema: Schema) -> Judge:
    """How an answer is judged by its label."""
    read, check = reader(schema), schema.check_label
    if schema.kind == "numeric":

        def apart(answer: Any, y: Any) -> tuple[float, float]:
            value, confidence = read(answer)
            return abs(value - check(y)), confidence

        return apart

    classes = schema.classes

    def wrong(answer: Any, y: Any) -> tuple[float, float]:
        best, confidence = read(answer)
        label = y if type(y) is int and 0 <= y < classes else check(y)
        return (0.0 if best == label else 1.0), confidence

    return wrong


def _number(answer: Any) -> tuple[float, float]:
    confidence = NAN
    value = answer
    if isinstance(answer, tuple) and len(answer) == 2:
        value, confidence = answer
    try:
        number, confidence = float(value), float(confidence)
    except (TypeError, ValueError) as error:
        raise InvalidRecordError(f"answer is {answer!r}, must be a number, or (number, confidence)") from error
    if number - number != 0.0:
        raise InvalidRecordError(f"answer is {answer!r}, must be finite")
    return number, confidence
