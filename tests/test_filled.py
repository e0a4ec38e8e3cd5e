"""`_core.filled`: a record made without its __init__."""

from __future__ import annotations

import dataclasses
import gc
import sys

import pytest

import fairlead as fl
from fairlead._core import filled

VALUES = tuple(f"{field.name}-value" for field in dataclasses.fields(fl.Outcome))


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    first: object
    second: object = 3


def test_the_fields_are_what_was_given() -> None:
    record = filled(fl.Outcome, VALUES)
    assert type(record) is fl.Outcome
    assert tuple(getattr(record, field.name) for field in dataclasses.fields(record)) == VALUES
    assert filled(Pair, (1, 2)) == Pair(1, 2)  # another class
    assert filled(fl.Outcome, VALUES) == record  # and the one before


def test_references_are_counted() -> None:
    value = object()
    before = sys.getrefcount(value)
    pair = filled(Pair, (value, value))
    assert sys.getrefcount(value) == before + 2
    assert gc.is_tracked(pair)
    del pair
    assert sys.getrefcount(value) == before


@pytest.mark.parametrize(
    ("cls", "values", "words"),
    [
        (Pair, (1,), "a value for each field"),
        (Pair, (1, 2, 3), "a value for each field"),
        (Pair, [1, 2], "a class and a tuple"),
        (3, (1, 2), "a class and a tuple"),
        (int, (), "must be a dataclass with slots"),
        (dataclasses.make_dataclass("Open", ["x"]), (1,), "must be a dataclass with slots"),
    ],
)
def test_what_cannot_be_filled(cls: type, values: tuple[object, ...], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        filled(cls, values)
    with pytest.raises(TypeError, match="a class and a tuple"):
        filled(Pair)  # type: ignore[call-arg]
    assert filled(Pair, (1, 2)).second == 2
