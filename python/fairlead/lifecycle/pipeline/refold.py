"""A pipeline again as it was, from the journal: its steps, inputs and labels, each where it happened."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.events import Event
from fairlead.journal import read
from fairlead.lifecycle.examples import _relevant
from fairlead.lifecycle.pipeline.ledger import Step, is_step
from fairlead.lifecycle.pipeline.memory import Asked, Told
from fairlead.lifecycle.pipeline.wire import asked_of
from fairlead.lifecycle.schema import Schema


def steps(folder: str | os.PathLike[str], model: str) -> deque[Step]:
    """The steps of a model, oldest first. Raises LifecycleError for one that cannot be read."""
    return deque(
        Step.from_dict(event.data, seq=event.seq, time=event.time)
        for event in read(folder, types="deployment", models=model)
        if is_step(event.data)
    )


def told(folder: str | os.PathLike[str], model: str, schema: Schema) -> Iterator[Asked | Told]:
    """Inputs and labels, in order. What does not fit the schema is passed over: it was refused, or is another's."""
    tasks: dict[int, Event] = {}
    for event in _relevant(folder, model, None):
        try:
            found = _told(event, tasks, schema)
        except (InvalidRecordError, KeyError, TypeError):
            continue
        if found is not None:
            yield found


def label_of(schema: Schema, kind: str, labels: Sequence[str], outcome: Any) -> int | float:
    """The outcome of a fleet's task as a label of the schema: its class by name, as a task has its own order of labels.

    Raises InvalidRecordError where the task is of another kind, or its label is none of the schema's.
    """
    if kind != schema.kind:
        raise InvalidRecordError(f"kind is {kind!r} of a task, {schema.kind!r} of the schema")
    if kind == "categorical" and not isinstance(outcome, str):
        outcome = labels[int(outcome)]
    return schema.check_label(outcome, "outcome")


def _told(event: Event, tasks: dict[int, Event], schema: Schema) -> Asked | Told | None:
    data = event.data
    if event.type == "input":
        return asked_of(schema, event.seq, event.time, data)
    if event.type == "label":
        y = data.get("y")
        return Told(event.seq, event.time, data["task"], None if y is None else schema.check_label(y))
    if event.type == "task":
        tasks[data["task"]] = event
        return None
    task = tasks.pop(data["task"], None)  # an outcome of the fleet, or the end of a task without one
    if task is None:
        return None
    value = data.get("value") if event.type == "outcome" else None
    label = None if value is None else label_of(schema, task.data["kind"], task.data["labels"], value)
    return Told(event.seq, event.time, task.data["id"], label)
