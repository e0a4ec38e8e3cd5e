"""Events as Arrow, and back: a row an event, the same columns for all types, none where a type has no such field.

    seq           uint64         its number
    time          timestamp[ns]  its own, UTC
    type          dictionary     task, forecast, decision, outcome, closed, route, called, note, ...
    model         dictionary
    category      dictionary
    task          uint64         number of the task
    kind          dictionary     of the task: binary, categorical, numeric
    value         double         the number, or P(1); of an outcome: 0 or 1, the place of a label, or the number
    p             list<double>   categorical: a probability for each label
    confidence, latency_ms, cost_usd (double), tokens_in, tokens_out (int64), error (string): forecast
    profit_usd    double         outcome
    disagreement, uncertainty, position_scale (double), strategy (dictionary: the names of fairlead's own, or of one
    that a program brought), reasons (uint32, bits), weights, voters: decision
    spread, entropy, divergence, pairwise, low, high (double), chosen (dictionary, as strategy): decision, from its
    second layout on; those of the first have no `chosen`
    id, text, regime (string), labels, slices (list<string>, "dimension=value"), stake_usd, expires_in_s: task
    attempt       uint16         route, called: the n-th call for the task, from 1; 0: nobody is asked
    task_type (string), goal (dictionary), propensity, quality, spread (double), reserved_nanos (int64), runners_up
    (list<string>) with runners_up_quality, _cost_usd and _latency_ms (list<double>): route, whose cost_usd and
    latency_ms are what is expected, and whose reasons are bits, from the lowest on those of
    `fairlead.policy.route.ROUTE_REASONS`
    ended, failure (dictionary), cost_nanos, tokens_cached, tokens_written (int64), first_token_ms, retry_after_ms
    (double), calls (uint16): called, which has latency_ms, tokens_in and tokens_out, too. cost_nanos: none if not known
    status (dictionary), duration_ms, compute_s, memory_mb (double), tokens, api_calls (int64): run, which has error and
    cost_nanos, too; its model is the name of what ran
    data          string         JSON: cold events, settings, models, summaries
    payload       binary         of a program's own events, and whatever the columns above cannot tell in full
    header        binary         where the header cannot be told by the columns: another version, an unknown type

The columns lose nothing: `records` makes the events' bytes again. NaN is none. What an older version has written lacks
the columns that came later, which are none then.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fairlead._core import (
    CALL_ENDS,
    CALL_FAILURES,
    GOALS,
    RUN_STATUSES,
    STRATEGIES,
    journal_columns,
    journal_rebuild,
)
from fairlead.errors import JournalDamagedError
from fairlead.events import TYPES
from fairlead.journal.arrow import pa, pc
from fairlead.types import KINDS

_NAMED = {
    "type": TYPES,
    "kind": KINDS,
    "goal": GOALS,
    "ended": CALL_ENDS,
    "failure": CALL_FAILURES,
    "status": RUN_STATUSES,
}
_POOLED = ("strategy", "chosen")
"""Columns of names of strategies: those of the core, then what others a batch has."""
LISTED = ("voters", "runners_up")
"""Columns that are lists of models' names."""

_name = pa.dictionary(pa.int32(), pa.string())
_word = pa.dictionary(pa.int8(), pa.string())

SCHEMA = pa.schema(
    [
        pa.field("seq", pa.uint64(), nullable=False),
        pa.field("time", pa.timestamp("ns", "UTC"), nullable=False),
        ("type", _word),
        ("model", _name),
        ("category", _name),
        ("task", pa.uint64()),
        ("kind", _word),
        ("value", pa.float64()),
        ("p", pa.list_(pa.float64())),
        ("confidence", pa.float64()),
        ("latency_ms", pa.float64()),
        ("cost_usd", pa.float64()),
        ("tokens_in", pa.int64()),
        ("tokens_out", pa.int64()),
        ("error", pa.string()),
        ("profit_usd", pa.float64()),
        ("disagreement", pa.float64()),
        ("uncertainty", pa.float64()),
        ("position_scale", pa.float64()),
        ("strategy", _name),
        ("reasons", pa.uint32()),
        ("weights", pa.list_(pa.float64())),
        ("voters", pa.list_(pa.string())),
        ("id", pa.string()),
        ("text", pa.string()),
        ("regime", pa.string()),
        ("labels", pa.list_(pa.string())),
        ("slices", pa.list_(pa.string())),
        ("stake_usd", pa.float64()),
        ("expires_in_s", pa.float64()),
        ("task_type", pa.string()),
        ("goal", _word),
        ("attempt", pa.uint16()),
        ("propensity", pa.float64()),
        ("quality", pa.float64()),
        ("spread", pa.float64()),
        ("reserved_nanos", pa.int64()),
        ("runners_up", pa.list_(pa.string())),
        ("runners_up_quality", pa.list_(pa.float64())),
        ("runners_up_cost_usd", pa.list_(pa.float64())),
        ("runners_up_latency_ms", pa.list_(pa.float64())),
        ("ended", _word),
        ("failure", _word),
        ("cost_nanos", pa.int64()),
        ("first_token_ms", pa.float64()),
        ("retry_after_ms", pa.float64()),
        ("tokens_cached", pa.int64()),
        ("tokens_written", pa.int64()),
        ("calls", pa.uint16()),
        ("chosen", _name),
        ("entropy", pa.float64()),
        ("divergence", pa.float64()),
        ("pairwise", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("status", _word),
        ("duration_ms", pa.float64()),
        ("compute_s", pa.float64()),
        ("memory_mb", pa.float64()),
        ("tokens", pa.int64()),
        ("api_calls", pa.int64()),
        ("data", pa.string()),
        ("payload", pa.binary()),
        ("header", pa.binary()),
    ]
)

LATER = frozenset(SCHEMA.names[SCHEMA.names.index("task_type") : SCHEMA.names.index("data")])
"""Columns that tables of older versions do not have."""

Buffers = dict[str, Any]
Nothing = dict[pa.DataType, pa.Array]


def nothing(known: Nothing, kind: pa.DataType, rows: int) -> pa.Array:
    """A column with nothing in it; all of a type share their memory."""
    if kind not in known or len(known[kind]) < rows:
        known[kind] = pa.nulls(rows, kind)
    return known[kind].slice(0, rows)


def to_arrow(rows: int, columns: Buffers, models: Sequence[str], categories: Sequence[str]) -> pa.RecordBatch:
    """Buffers of the core as an Arrow batch of `SCHEMA`; nothing is copied but names in lists."""
    names = {"model": pa.array(models, pa.string()), "category": pa.array(categories, pa.string())}
    names.update({column: pa.array(words, pa.string()) for column, words in _NAMED.items()})
    names.update(dict.fromkeys(_POOLED, pa.array([*STRATEGIES, *columns["given"]], pa.string())))
    arrays, none = [], Nothing()
    for field in SCHEMA:
        found = columns[field.name]
        if found is None:
            arrays.append(nothing(none, field.type, rows))
            continue
        valid, *rest = (None if part is None else pa.py_buffer(part) for part in found)
        if pa.types.is_dictionary(field.type):
            places = pa.Array.from_buffers(field.type.index_type, rows, [valid, *rest])
            arrays.append(pa.DictionaryArray.from_arrays(places, names[field.name], safe=False))
        elif field.name in LISTED:
            ids = pa.Array.from_buffers(pa.int32(), len(found[2]), [None, rest[1]])
            who = pa.DictionaryArray.from_arrays(ids, names["model"], safe=False).dictionary_decode()
            arrays.append(pa.Array.from_buffers(field.type, rows, [valid, rest[0]], children=[who]))
        elif pa.types.is_list(field.type):
            child = field.type.value_type
            n = len(found[2]) - (1 if child == pa.string() else 0)
            items = pa.Array.from_buffers(child, n, [None, *rest[1:]])
            arrays.append(pa.Array.from_buffers(field.type, rows, [valid, rest[0]], children=[items]))
        else:
            arrays.append(pa.Array.from_buffers(field.type, rows, [valid, *rest]))
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def from_records(
    records: npt.NDArray[np.uint8], models: Sequence[str] = (), categories: Sequence[str] = ()
) -> pa.RecordBatch:
    """Whole records in memory, each padded to 8 bytes, as an Arrow batch. Own records of the journal are left out."""
    columns = journal_columns(records, list(models), list(categories))
    return to_arrow(len(columns["seq"][1]) if columns["seq"] else 0, columns, models, categories)


def records(
    table: pa.Table | pa.RecordBatch, models: Sequence[str], categories: Sequence[str]
) -> Iterator[npt.NDArray[np.uint8]]:
    """The events' bytes, a piece for each batch of the table: each padded to 8 bytes, `crc` and `prev` 0.

    models, categories: the names of the journal, in the order of their numbers.
    Raises JournalDamagedError where the table is none of events, or a row is no event.
    """
    for batch in table.to_batches() if isinstance(table, pa.Table) else [table]:
        if batch.num_rows:
            yield journal_rebuild(batch.num_rows, _buffers(batch, models, categories), list(categories))


def of_type(batch: pa.RecordBatch, types: Sequence[str]) -> pa.Array:
    """Which rows are events of these types."""
    array = batch["type"]
    known = pc.is_in(array.dictionary, value_set=pa.array(types, pa.string()))
    return pc.fill_null(known.take(array.indices), False)


def _buffers(batch: pa.RecordBatch, models: Sequence[str], categories: Sequence[str]) -> Buffers:
    given = _given(batch)
    strategies = (*STRATEGIES, *given)
    numbers = {"model": models, "category": categories, **_NAMED, **dict.fromkeys(_POOLED, strategies)}
    out: Buffers = {"given": given}
    for field in SCHEMA:
        place = batch.schema.get_field_index(field.name)
        if place < 0 and field.name in LATER:
            out[field.name] = None
            continue
        if place < 0:
            raise JournalDamagedError(f"no table of events: column {field.name!r} is missing")
        array = batch.column(place)
        if array.null_count == len(array):
            out[field.name] = None
            continue
        try:
            if field.name in numbers:
                index = field.type.index_type
                out[field.name] = _number(_places(array, numbers[field.name], index), _dtype(index))
            elif field.name in LISTED:
                array = array.cast(pa.list_(pa.string()))
                ids = _places(array.values, models, pa.int32())
                out[field.name] = (_bits(array), _whole(array.offsets), _number(ids, np.dtype(np.int32))[1])
            else:
                out[field.name] = _column(array.cast(field.type))
        except (pa.ArrowException, UnicodeDecodeError) as error:
            raise JournalDamagedError(f"no table of events: column {field.name!r}: {error}") from error
    return out


def _given(batch: pa.RecordBatch) -> list[str]:
    """The names of strategies that are none of the core's."""
    found: dict[str, None] = {}
    for name in _POOLED:
        place = batch.schema.get_field_index(name)
        if place >= 0:
            array = batch.column(place)
            words = array.dictionary if pa.types.is_dictionary(array.type) else array.unique()
            found.update(dict.fromkeys(word for word in words.to_pylist() if word is not None))
    return [str(word) for word in found if word not in STRATEGIES]


def _column(array: pa.Array) -> tuple[Any, ...]:
    if not pa.types.is_list(array.type):
        return _text(array) if array.type in (pa.string(), pa.binary()) else _number(array, _dtype(array.type))
    if array.values.null_count:
        raise pa.ArrowInvalid("none within a list")
    items = array.values
    rest = _text(items)[1:] if items.type == pa.string() else _number(items, _dtype(items.type))[1:]
    return (_bits(array), _whole(array.offsets), *rest)


def _dtype(kind: pa.DataType) -> np.dtype[Any]:
    return np.dtype(np.int64) if pa.types.is_timestamp(kind) else np.dtype(kind.to_pandas_dtype())


def _number(array: pa.Array, dtype: np.dtype[Any]) -> tuple[Any, Any]:
    data = array.buffers()[1]
    values = np.frombuffer(data if data is not None else b"", dtype)[array.offset : array.offset + len(array)]
    return _bits(array), values


def _whole(offsets: pa.Array) -> npt.NDArray[np.int32]:
    return np.asarray(_number(offsets, np.dtype(np.int32))[1])


def _text(array: pa.Array) -> tuple[Any, Any, Any]:
    _, offsets, data = array.buffers()
    ends = np.frombuffer(offsets, np.int32)[array.offset : array.offset + len(array) + 1] if offsets else _NO_TEXT
    return _bits(array), ends, np.frombuffer(data if data is not None else b"", np.uint8)


_NO_TEXT = np.zeros(1, np.int32)


def _bits(array: pa.Array) -> npt.NDArray[np.uint8] | None:
    if array.null_count == 0:
        return None
    if array.offset % 8 == 0:
        return np.frombuffer(array.buffers()[0], np.uint8)[array.offset // 8 :]
    return np.packbits(pc.is_valid(array).to_numpy(zero_copy_only=False), bitorder="little")


def _places(array: pa.Array, names: Sequence[str], index: pa.DataType) -> pa.Array:
    """The number of each name."""
    known = pa.array(names, pa.string())
    if pa.types.is_dictionary(array.type):
        of_word = pc.index_in(array.dictionary.cast(pa.string()), value_set=known)
        found = of_word.take(array.indices)
    else:
        found = pc.index_in(array.cast(pa.string()), value_set=known)
        found = pc.if_else(pc.is_valid(array), found, pa.scalar(None, pa.int32()))
    if found.null_count != array.null_count:
        raise pa.ArrowInvalid("a name that the journal does not have")
    return found.cast(index)
