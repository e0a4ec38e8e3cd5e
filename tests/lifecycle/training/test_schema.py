import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle import ExampleBuffer, Examples, Schema, SchemaError

SCHEMA = Schema("categorical", ["open", "close"], ["down", "up"])
TEXT = Schema("binary", text=True)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"kind": "ordinal", "features": ["a"]}, "kind is 'ordinal'"),
        ({"kind": "binary"}, "features is empty"),
        ({"kind": "binary", "features": "ab"}, "features is 'ab'"),
        ({"kind": "binary", "features": ["a", ""]}, "features[1] is ''"),
        ({"kind": "binary", "features": ["a", "b", "a"]}, "features holds 'a' twice"),
        ({"kind": "categorical", "features": ["a"], "labels": ["x"]}, "needs two or more"),
        ({"kind": "numeric", "features": ["a"], "labels": ["x", "y"]}, "labels is ('x', 'y'), but the kind"),
        ({"kind": "binary", "features": ["a"], "labels": ["no", "yes"]}, "labels is ('no', 'yes')"),
        ({"kind": "binary", "features": ["a"], "text": True}, "text is True"),
        ({"kind": "binary", "features": ["a"], "missing": 1}, "missing is 1"),
    ],
)
def test_a_schema_that_cannot_be_is_refused(given, named):
    with pytest.raises(InvalidRecordError) as error:
        Schema(**given)
    assert named in str(error.value)


def test_a_schema_is_the_same_after_json():
    for schema in (SCHEMA, TEXT, Schema("numeric", ["a"], missing=True)):
        assert Schema.from_json(schema.to_json()) == schema
    assert str(SCHEMA) == "2 columns (open, close) -> one of down, up"
    assert str(TEXT) == "a text -> one of 0, 1"


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 2], [3, 4]],
        ((1, 2), (3, 4)),
        np.array([[1, 2], [3, 4]], dtype=np.float32),
        [{"close": 2, "open": 1}, {"open": 3, "close": 4}],
        pd.DataFrame({"close": [2, 4], "volume": [9, 9], "open": [1, 3]}),
        pl.DataFrame({"close": [2, 4], "open": [1, 3]}),
    ],
)
def test_rows_of_all_kinds_become_the_same_columns(rows):
    found = SCHEMA.check_x(rows)
    assert found.dtype == np.float64
    assert found.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ([1.0, 2.0], "one example is [[...]]"),
        ([[1.0]], "x has shape (1, 1), must be (n, 2): open, close"),
        ([[1.0, 2.0], [1.0]], "x[1] has 1 columns, must have 2"),
        ([[1.0, "high"]], "column 'close' is 'high', must be a number"),
        ([[1.0, float("inf")]], "column 'close' is inf, must be finite"),
        ([[1.0, 10**400]], "column 'close' is 1000"),
        ([[float("nan"), 1.0]], "column 'open' is nan, but missing values are not allowed"),
        ([[None, 1.0]], "column 'open' is nan, but missing values are not allowed"),
        ([{"open": 1.0}], "x[0] lacks the column 'close'"),
        ([{"open": 1.0, "closed": 2.0}], "did you mean 'close'?"),
        (pd.DataFrame({"open": [1.0], "closing": [2.0]}), "x lacks the column 'close'"),
        ("text", "x is 'text'"),
        ([5, 6, 7], "x has shape (3,)"),
        ([[1.0, [2.0]]], "column 'close' is [2.0]"),
        ([["1", "2"]], "column 'open' is '1'"),
        ([[None, "2"]], "column 'close' is '2'"),
        (np.array([["1", "2"]]), "column 'open' is"),
    ],
)
def test_bad_rows_are_named(rows, named):
    with pytest.raises(InvalidRecordError) as error:
        SCHEMA.check_x(rows)
    assert named in str(error.value)


def test_missing_values_where_they_are_allowed():
    schema = Schema("binary", ["a", "b"], missing=True)
    found = schema.check_x([[None, 1.0], {"b": 2.0}])
    assert np.isnan(found[:, 0]).all()
    assert found[:, 1].tolist() == [1.0, 2.0]
    with pytest.raises(InvalidRecordError, match="'b' is inf"):
        schema.check_x([[1.0, float("inf")]])


def test_texts():
    assert TEXT.check_x(("a", "b")) == ["a", "b"]
    for bad, named in (("a", "x is 'a'"), ([["a"]], "x[0] is"), ([1.0], "x[0] is 1.0"), (3, "x is 3")):
        with pytest.raises(InvalidRecordError) as error:
            TEXT.check_x(bad)
        assert named in str(error.value)


def test_labels_by_name_and_number():
    assert SCHEMA.check_y(["up", "down", 1, 0.0, True]).tolist() == [1, 0, 1, 0, 1]
    assert SCHEMA.check_y(np.array([1, 0])).dtype == np.int64
    assert TEXT.check_y(["1", 0, False]).tolist() == [1, 0, 0]
    numeric = Schema("numeric", ["a"])
    assert numeric.check_y([1, 2.5]).tolist() == [1.0, 2.5]
    for schema, bad, named in (
        (SCHEMA, ["sideways"], "y[0] is 'sideways'"),
        (SCHEMA, [0, 2], "y[1] is 2"),
        (SCHEMA, [0.5], "y[0] is 0.5"),
        (SCHEMA, np.array([0.0, np.nan]), "y[1] is nan"),
        (SCHEMA, "up", "y is 'up'"),
        (SCHEMA, [None], "y[0] is None"),
        (numeric, [float("inf")], "y[0] is inf"),
        (numeric, ["1.5"], "y[0] is '1.5', must be a finite number"),
    ):
        with pytest.raises(InvalidRecordError) as error:
            schema.check_y(bad)
        assert named in str(error.value)
    for bad in (2, float("nan"), "sideways", None):
        with pytest.raises(InvalidRecordError):
            SCHEMA.check_label(bad)


def test_differences_are_named_each():
    def differs(other):
        return "; ".join(SCHEMA.differences(other))

    assert differs(SCHEMA) == ""
    assert (
        differs(Schema("categorical", ["open", "high"], ["down", "up"]))
        == "features: 'close' is missing, 'high' is new"
    )
    assert "another order" in differs(Schema("categorical", ["close", "open"], ["down", "up"]))
    assert differs(Schema("categorical", ["open", "close"], ["up", "down"])).startswith(
        "labels: down, up are in another"
    )
    assert differs(Schema("numeric", ["open", "close"])) == "kind: categorical became numeric"
    assert "columns became a text" in differs(Schema("categorical", labels=["down", "up"], text=True))
    assert "missing" in differs(Schema("categorical", ["open", "close"], ["down", "up"], missing=True))


def test_examples_cannot_be_changed():
    x = np.ones((3, 2))
    examples = Examples(SCHEMA, x, ["up", "down", "up"])
    x[0, 0] = 5.0
    assert examples.x[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        examples.x[0, 0] = 2.0
    with pytest.raises(ValueError, match="read-only"):
        examples.y[0] = 0
    with pytest.raises(AttributeError, match="cannot be changed"):
        examples.y = examples.y[::-1]
    with pytest.raises(InvalidRecordError, match="x has 3 examples, y has 2"):
        Examples(SCHEMA, x, [0, 1])
    with pytest.raises(InvalidRecordError, match="times must be 3 whole numbers"):
        Examples(SCHEMA, x, [0, 1, 1], times=[1.5, 2.0, 3.0])


def test_the_fingerprint_is_of_the_data_alone():
    examples = Examples(SCHEMA, [[1, 2], [3, 4]], [0, 1], times=[5, 6], seqs=[7, 8])
    assert examples.fingerprint == Examples(SCHEMA, [[1, 2], [3, 4]], [0, 1]).fingerprint
    others = [
        Examples(SCHEMA, [[1, 2], [3, 5]], [0, 1]),
        Examples(SCHEMA, [[1, 2], [3, 4]], [0, 0]),
        Examples(SCHEMA, [[3, 4], [1, 2]], [1, 0]),
        Examples(Schema("categorical", ["open", "low"], ["down", "up"]), [[1, 2], [3, 4]], [0, 1]),
        examples[:1],
    ]
    assert len({examples.fingerprint, *(other.fingerprint for other in others)}) == 6
    texts = [Examples(TEXT, given, [0, 1]).fingerprint for given in (["ab", "c"], ["a", "bc"])]
    assert texts[0] != texts[1]


def test_parts_and_sums_of_examples():
    examples = Examples(TEXT, ["a", "b", "c"], [0, 1, 1], times=[1, 2, 3])
    assert examples.last(2).x == ("b", "c")
    assert examples.last(9).x == ("a", "b", "c")
    assert examples[np.array([2, 0])].x == ("c", "a")
    assert examples[examples.y == 1].times.tolist() == [2, 3]
    assert (examples[:1] + examples[1:]).fingerprint == examples.fingerprint
    with pytest.raises(SchemaError, match="a text became columns"):
        examples + Examples(Schema("binary", ["a"]), [[1.0]], [1])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.lists(st.tuples(st.floats(-9, 9), st.integers(0, 1)), max_size=20), st.integers(0, 20))
def test_a_buffer_is_the_newest_of_all(capacity, rows, split):
    schema = Schema("binary", ["a"])
    everything = Examples(schema, [[x] for x, _ in rows], [y for _, y in rows], range(len(rows)), range(len(rows)))
    buffer = ExampleBuffer(schema, capacity)
    buffer.extend(everything[:split])
    for place, (x, y) in enumerate(rows[split:], min(split, len(rows))):
        buffer.append([x], y, place, place)
    found = buffer.examples()
    assert buffer.seen == len(rows)
    assert found.fingerprint == everything.last(capacity).fingerprint
    assert found.seqs.tolist() == everything.last(capacity).seqs.tolist()


def test_a_buffer_takes_nothing_that_is_not_of_its_schema():
    buffer = ExampleBuffer(SCHEMA)
    buffer.append({"open": 1.0, "close": 2.0}, "up")
    held = buffer.examples()
    for x, y in (([1.0], "up"), ([1.0, float("nan")], "up"), ([1.0, 2.0], "sideways")):
        with pytest.raises(InvalidRecordError):
            buffer.append(x, y)
    with pytest.raises(SchemaError):
        buffer.extend(Examples(TEXT, ["a"], [1]))
    for times, named in (
        ({"time": 2**63}, "time is 9223372036854775808"),
        ({"seq": -(2**63) - 1}, "seq is -9223372036854775809"),
        ({"time": 1.5}, r"time is 1\.5"),
        ({"time": "2024-01-01"}, "time is '2024-01-01'"),
    ):
        with pytest.raises(InvalidRecordError, match=named):
            buffer.append([1.0, 2.0], "up", **times)
    with pytest.raises(InvalidRecordError, match="seqs must be 1 whole numbers"):
        Examples(TEXT, ["a"], [1], seqs=np.array([2**63], dtype=np.uint64))
    assert buffer.examples() is held
    assert len(buffer) == 1
    buffer.clear()
    assert len(buffer.examples()) == 0
    for bad in (0, True, 2.5):
        with pytest.raises(InvalidRecordError, match="capacity is"):
            ExampleBuffer(SCHEMA, bad)
