"""Labelled examples: what a model is trained on. Put together from a journal, or gathered as labels come."""

from __future__ import annotations

import hashlib
import heapq
import os
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import index
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fairlead.errors import InvalidRecordError, JournalError
from fairlead.events import Event
from fairlead.journal import read
from fairlead.journal.elsewhere import elsewhere
from fairlead.journal.query import query_of
from fairlead.lifecycle.failures import SchemaError
from fairlead.lifecycle.schema import Schema

CAPACITY = 10_000
"""How many of the newest examples a buffer keeps, unless told otherwise."""

_KINDS = ("task", "outcome", "closed")


@dataclass(frozen=True, slots=True)
class Joined:
    """How inputs found their labels. inputs: of the model. labelled: those that are examples now. waiting: no label
    yet, or none ever. voided: it was said that there will be none. repeated: further inputs or labels of a task that
    had its own, which count for nothing."""

    inputs: int = 0
    labelled: int = 0
    waiting: int = 0
    voided: int = 0
    repeated: int = 0

    def __str__(self) -> str:
        return (
            f"{self.labelled:,} examples of {self.inputs:,} inputs: {self.waiting:,} wait for their label, "
            f"{self.voided:,} were voided; {self.repeated:,} repeats left out"
        )


class Examples:
    """Labelled examples as columns, in the order in which their labels came; none of it can be changed.

    x, y: as of `Schema.check_x` and `check_y`. times: of the inputs, int64 nanoseconds, 0: not known. seqs: the events
    of a journal by which each was complete, int64, 0: of none. Raises InvalidRecordError naming the column and value.

    >>> examples = Examples(Schema("binary", ["a"]), [[1.0], [2.0], [3.0]], [0, 1, 1])
    >>> len(examples), examples.last(2).y.tolist(), examples[:1].x.tolist()
    (3, [1, 1], [[1.0]])
    """

    __slots__ = ("_fingerprint", "joined", "schema", "seqs", "times", "x", "y")

    schema: Schema
    x: NDArray[np.float64] | tuple[str, ...]
    y: NDArray[np.int64] | NDArray[np.float64]
    times: NDArray[np.int64]
    seqs: NDArray[np.int64]
    joined: Joined | None
    _fingerprint: str

    def __init__(
        self, schema: Schema, x: Any, y: Any, times: Any = None, seqs: Any = None, *, joined: Joined | None = None
    ) -> None:
        if not isinstance(schema, Schema):
            raise InvalidRecordError(f"schema is {schema!r}, must be a Schema")
        checked, labels = schema.check_x(x), schema.check_y(y)
        if len(checked) != len(labels):
            raise InvalidRecordError(f"x has {len(checked)} examples, y has {len(labels)}")
        inputs = tuple(checked) if isinstance(checked, list) else checked
        self._set(schema, inputs, labels, _column(times, "times", len(labels)), _column(seqs, "seqs", len(labels)))
        object.__setattr__(self, "joined", joined)

    def _set(self, schema: Schema, x: Any, y: Any, times: Any, seqs: Any) -> None:
        for name, value in (("schema", schema), ("x", x), ("y", y), ("times", times), ("seqs", seqs)):
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_fingerprint", "")
        object.__setattr__(self, "joined", None)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{name}: examples cannot be changed; make new ones")

    def __len__(self) -> int:
        return len(self.y)

    @overload
    def __getitem__(self, which: slice) -> Examples: ...
    @overload
    def __getitem__(self, which: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Examples: ...

    def __getitem__(self, which: Any) -> Examples:
        """Some of them: by a slice, or an array of places or of True and False."""
        if not isinstance(which, (slice, np.ndarray)):
            raise TypeError(f"examples[{which!r}]: must be a slice or an array of places")
        if isinstance(self.x, tuple):
            x: Any = self.x[which] if isinstance(which, slice) else tuple(self.x[i] for i in _places(which))
        else:
            x = self.x[which]
        part = Examples.__new__(Examples)
        part._set(self.schema, x, self.y[which], self.times[which], self.seqs[which])
        return part

    def last(self, n: int) -> Examples:
        """The newest n, or all where there are fewer."""
        if n < 0:
            raise InvalidRecordError(f"n is {n}, must not be negative")
        return self[max(0, len(self) - n) :]

    def __add__(self, other: Examples) -> Examples:
        """These, and then the others. Raises SchemaError where their schema is another."""
        if differ := self.schema.differences(other.schema):
            raise SchemaError(f"the examples differ: {'; '.join(differ)}")
        x = self.x + other.x if isinstance(self.x, tuple) else np.concatenate([self.x, other.x])  # type: ignore[operator]
        both = Examples.__new__(Examples)
        columns = [np.concatenate([getattr(self, name), getattr(other, name)]) for name in ("y", "times", "seqs")]
        both._set(self.schema, x, *columns)
        return both

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the schema and of every x and y, as hexadecimal: the same data has the same one, wherever it
        comes from."""
        if not self._fingerprint:
            digest = hashlib.sha256(self.schema.to_json().encode())
            digest.update(f"\n{len(self)}\n".encode())
            if isinstance(self.x, tuple):
                for text in self.x:
                    raw = text.encode("utf-8", "surrogatepass")
                    digest.update(len(raw).to_bytes(8, "little") + raw)
            else:
                digest.update(np.ascontiguousarray(self.x, dtype="<f8").tobytes())
            digest.update(self.y.astype("<f8" if self.schema.kind == "numeric" else "<i8").tobytes())
            object.__setattr__(self, "_fingerprint", digest.hexdigest())
        return self._fingerprint

    def __repr__(self) -> str:
        return f"Examples({len(self):,}: {self.schema})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.schema, self.x, self.y, self.times, self.seqs, self.joined)


def _again(schema: Schema, x: Any, y: Any, times: Any, seqs: Any, joined: Joined | None) -> Examples:
    return Examples(schema, x, y, times, seqs, joined=joined)


class ExampleBuffer:
    """The newest examples, up to `capacity`.

    >>> buffer = ExampleBuffer(Schema("binary", ["a"]), capacity=2)
    >>> for n in range(3):
    ...     buffer.append([n], n % 2, time=n)
    >>> len(buffer), buffer.seen, buffer.examples().x.tolist()
    (2, 3, [[1.0], [2.0]])
    """

    def __init__(self, schema: Schema, capacity: int = CAPACITY) -> None:
        if not isinstance(schema, Schema):
            raise InvalidRecordError(f"schema is {schema!r}, must be a Schema")
        if not _whole(capacity, 1):
            raise InvalidRecordError(f"capacity is {capacity!r}, must be a whole number from 1")
        self.schema = schema
        self.capacity = capacity
        self.seen = 0
        """How many there ever were."""
        self._rows: deque[tuple[Any, int | float, int, int]] = deque(maxlen=capacity)
        self._held: Examples | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def append(self, x: Any, y: Any, time: int = 0, seq: int = 0) -> None:
        """One example: a row of numbers (or a mapping by name, or a text), and its label. time, seq: as of `Examples`.
        Raises InvalidRecordError as `Schema.check_x` and `check_y`, and for a time or a number of more than 64 bits;
        nothing has changed then."""
        row = self.schema.check_x([x])[0]
        label = self.schema.check_label(y)
        self._rows.append((row, label, _int64(time, "time"), _int64(seq, "seq")))
        self.seen += 1
        self._held = None

    def extend(self, examples: Examples) -> None:
        """All of these, one after the other. Raises SchemaError where their schema is another."""
        if differ := self.schema.differences(examples.schema):
            raise SchemaError(f"the examples are not of this buffer: {'; '.join(differ)}")
        columns = (list(examples.x), examples.y.tolist(), examples.times.tolist(), examples.seqs.tolist())
        self._rows.extend(zip(*columns, strict=True))
        self.seen += len(examples)
        self._held = None

    def clear(self) -> None:
        """Forgets all of them."""
        self._rows.clear()
        self._held = None

    def examples(self) -> Examples:
        """Those that it holds now."""
        if self._held is None:
            x, y, times, seqs = zip(*self._rows, strict=True) if self._rows else ((), (), (), ())
            self._held = Examples(self.schema, list(x), list(y), times, seqs)
        return self._held


def read_examples(
    folder: str | os.PathLike[str],
    model: str,
    *,
    schema: Schema,
    first: int | None = None,
    last: int | None = None,
) -> Examples:
    """The examples of a model from a journal: each `input` event with the label of its task.

    The label is a `label` event of the model, or, on the desk of a fleet, the `outcome` of the task. An example belongs
    to the event by which it was complete (mostly that of the label), and comes in the order of these; so what an event
    made known is the same, whatever is written later. first, last: of these events, both included: an input may be
    older than `first`. The same range always gives the same examples.

    The first input of a task counts and the first label: repeats are left out, as are inputs that have no label (yet),
    whose label is null, or whose task was voided. How many there were of each stands in `joined`. A name that a fleet
    uses again is another task from its `task` event on. Archived events are read too (with pyarrow, as of
    `fairlead.journal.history`).

    Raises InvalidRecordError naming the event where an input or a label is not of the schema, JournalError where there
    is no journal, or a part of the range was dropped.

    >>> import tempfile
    >>> from fairlead.journal import Journal
    >>> desk = tempfile.TemporaryDirectory()
    >>> with Journal(desk.name) as journal:
    ...     for n in range(3):
    ...         seq = journal.append("input", {"task": f"t{n}", "x": [n, 1.5]}, model="m", time=n)
    ...     seq = journal.append("label", {"task": "t1", "y": 1}, model="m", time=9)
    >>> found = read_examples(desk.name, "m", schema=Schema("binary", ["a", "b"]))
    >>> found.x.tolist(), found.y.tolist(), found.times.tolist()
    ([[1.0, 1.5]], [1], [1])
    >>> print(found.joined)
    1 examples of 3 inputs: 2 wait for their label, 0 were voided; 0 repeats left out
    >>> desk.cleanup()
    """
    begin, end = _range(first, last)
    join = _Join(schema, begin)
    for event in _relevant(folder, model, end):
        join.take(event)
    return join.examples()


class _Join:
    """A fold over input, label, task, outcome and closed events, in order."""

    def __init__(self, schema: Schema, begin: int) -> None:
        self.schema = schema
        self.begin = begin
        self.inputs: dict[str, tuple[Any, int]] = {}  # by task, without their label: x, time
        self.labels: dict[str, int | float | None] = {}  # by task, known before the input; None: there will be none
        self.ended: set[str] = set()
        self.tasks: dict[int, tuple[str, Mapping[str, Any]]] = {}  # of the fleet, by number
        self.counts = dict.fromkeys(("inputs", "labelled", "voided", "repeated"), 0)
        self.rows: list[tuple[Any, int | float, int, int]] = []

    def take(self, event: Event) -> None:
        data = event.data
        if event.type == "task":
            name = data["id"]
            self.tasks[data["task"]] = (name, data)
            self.ended.discard(name)  # it is used again, for another task
            self.labels.pop(name, None)
        elif event.type == "input":
            self._input(event, _task(event))
        elif event.type == "label":
            y = data.get("y")
            self._known(event, _task(event), None if y is None else self.schema.check_label(y, _where(event, "y")))
        elif (found := self.tasks.pop(data["task"], None)) is not None:
            name, task = found
            value = data.get("value") if event.type == "outcome" else None
            self._known(event, name, None if value is None else self._of_fleet(event, task, value))

    def _input(self, event: Event, task: str) -> None:
        if task in self.ended or task in self.inputs:
            self.counts["repeated"] += 1
            return
        if "x" not in event.data:
            raise InvalidRecordError(f"{_where(event, 'x')} is missing")
        try:
            row = self.schema.check_x([event.data["x"]])[0]
        except InvalidRecordError as error:
            raise InvalidRecordError(
                f"event {event.seq}, an input of {event.model!r}: {error} (first= leaves out what is older)"
            ) from error
        self.counts["inputs"] += 1
        if task not in self.labels:
            self.inputs[task] = (row, event.time)
        else:
            self._end(event, task, row, event.time, self.labels.pop(task))

    def _known(self, event: Event, task: str, label: int | float | None) -> None:
        waiting = self.inputs.pop(task, None)
        if waiting is not None:
            self._end(event, task, *waiting, label)
        elif task in self.ended or task in self.labels:
            self.counts["repeated"] += event.type == "label"
        else:
            self.labels[task] = label

    def _end(self, event: Event, task: str, row: Any, time: int, label: int | float | None) -> None:
        self.ended.add(task)
        self.counts["voided" if label is None else "labelled"] += 1
        if label is not None and event.seq >= self.begin:
            self.rows.append((row, label, time, event.seq))

    def _of_fleet(self, event: Event, task: Mapping[str, Any], value: float) -> int | float:
        """An outcome of a fleet as a label: its class by name, as a task has its own order of labels."""
        if task["kind"] != self.schema.kind:
            raise InvalidRecordError(
                f"event {event.seq}: the task {task['id']!r} is {task['kind']}, the schema is {self.schema.kind}"
            )
        y: Any = task["labels"][int(value)] if task["kind"] == "categorical" else value
        return self.schema.check_label(y, f"event {event.seq}: the outcome of {task['id']!r}")

    def examples(self) -> Examples:
        x, y, times, seqs = zip(*self.rows, strict=True) if self.rows else ((), (), (), ())
        joined = Joined(waiting=len(self.inputs), **self.counts)
        return Examples(self.schema, list(x), list(y), times, seqs, joined=joined)


def _relevant(folder: str | os.PathLike[str], model: str, end: int | None) -> Iterator[Event]:
    """What the join needs of the journal, in order. Of a fleet's events those of tasks with an input alone."""
    own = list(_events(folder, ("input", "label"), [model], end))
    waiting = {_task(event) for event in own if event.type == "input"}
    return heapq.merge(own, _of_tasks(folder, waiting, end), key=lambda event: event.seq)


def _of_tasks(folder: str | os.PathLike[str], wanted: set[str], end: int | None) -> Iterator[Event]:
    numbers: set[int] = set()
    for event in _events(folder, _KINDS, None, end):
        if event.type == "task":
            if event.data["id"] in wanted:
                numbers.add(event.data["task"])
                yield event
        elif event.data["task"] in numbers:
            yield event


def _events(
    folder: str | os.PathLike[str], types: tuple[str, ...], models: list[str] | None, end: int | None
) -> Iterator[Event]:
    if end is not None and end < 1:
        return iter(())
    if gone := elsewhere(folder, query_of(models, types, None, None, None, 1, end)):
        if any("dropped" in line for line in gone):
            raise JournalError(f"{os.fspath(folder)}: {'; '.join(gone)}")
        from fairlead.journal import history

        return history(folder, types=types, models=models, last=end)
    return read(folder, types=types, models=models, last=end)


def _task(event: Event) -> str:
    task = event.data.get("task")
    if not isinstance(task, str) or not task:
        raise InvalidRecordError(f"{_where(event, 'task')} is {task!r}, must be the id of a task")
    return task


def _where(event: Event, field: str) -> str:
    return f"event {event.seq}, {event.type} of {event.model!r}: {field}"


def _range(first: int | None, last: int | None) -> tuple[int, int | None]:
    for name, value in (("first", first), ("last", last)):
        if value is not None and not _whole(value, 0):
            raise InvalidRecordError(f"{name} is {value!r}, must be the number of an event")
    if first is not None and last is not None and first > last:
        raise InvalidRecordError(f"first is {first}, after last, {last}")
    return first or 1, last


def _whole(given: object, least: int) -> bool:
    return isinstance(given, int) and not isinstance(given, bool) and given >= least


def _int64(given: Any, name: str) -> int:
    try:
        found = index(given)
    except TypeError:
        found = 2**63
    if not -(2**63) <= found < 2**63:
        raise InvalidRecordError(f"{name} is {given!r:.80}, must be a whole number of at most 64 bits")
    return found


def _column(values: Any, name: str, size: int) -> NDArray[np.int64]:
    if values is None:
        return np.zeros(size, dtype=np.int64)
    array = np.asarray(values)
    large = array.dtype == np.uint64 and size and (array > np.uint64(2**63 - 1)).any()
    if array.shape != (size,) or (size and array.dtype.kind not in "iu") or large:
        raise InvalidRecordError(f"{name} must be {size} whole numbers, not {array.dtype} of shape {array.shape}")
    return array.astype(np.int64)


def _places(which: NDArray[Any]) -> list[int]:
    return [int(i) for i in (np.flatnonzero(which) if which.dtype == bool else which)]
