"""What does not fit, in words that name the field and the value: an answer to its task, an outcome, another task."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from datetime import date

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.times import as_time
from fairlead.types import Forecast, Task


def utf8(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise no_text(where, error) from error
    return text


def no_text(where: str, error: UnicodeEncodeError) -> InvalidRecordError:
    return InvalidRecordError(f"{where} is {error.object!r}, which is no text: {error.reason}")


def count(given: object, where: str) -> None:
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise InvalidRecordError(f"{where} is {given!r}, must be an integer, at least 1")


def name(given: object, where: str) -> str:
    """A name that a caller without a type checker gave."""
    if not isinstance(given, str):
        raise InvalidRecordError(f"{where} is {given!r}, must be a string")
    return utf8(given, where)


def moment(clock: Callable[[], int]) -> int:
    """The time by a clock."""
    now: object = clock()
    if isinstance(now, (str, date)):
        raise InvalidRecordError(f"clock gave {now!r}, must give integer nanoseconds since the epoch")
    return as_time(now, "clock")  # type: ignore[arg-type]


def outcome(task: Task, number: float | None) -> float | str | None:
    """The outcome that the core holds, as a user would give it."""
    if number is None:
        return None
    if task.kind == "categorical":
        return task.labels[int(number)]
    return int(number) if number.is_integer() else number


def task_id(task: Task | str) -> str:
    if isinstance(task, Task):
        return task.id
    if isinstance(task, str):
        return task
    raise InvalidRecordError(f"task is {task!r}, must be a Task or the id of one")


def same(known: Task, task: Task) -> None:
    """Refuses a task that differs from the open one of its id. The time may differ: it is when the task was shown."""
    for f in fields(Task):
        if f.name != "time" and getattr(known, f.name) != getattr(task, f.name):
            raise InvalidRecordError(
                f"{f.name} is {getattr(task, f.name)!r}, but task {task.id!r} is open with {getattr(known, f.name)!r}"
            )


def answer(task: Task, forecast: Forecast) -> float | tuple[float, ...] | None:
    """The probabilities in the order of the task's labels, once they are known to fit the task."""
    if forecast.error:
        return None
    p = forecast.p
    if task.kind == "numeric":
        if p is not None:
            raise InvalidRecordError(f"p is {p!r}, but task {task.id!r} is numeric: give value")
        return None
    if p is None:
        raise InvalidRecordError(f"value is {forecast.value!r}, but task {task.id!r} is {task.kind}: give p")
    if task.kind == "binary":
        if not isinstance(p, float):
            raise InvalidRecordError(f"p is {p!r}, but task {task.id!r} is binary: give one probability")
        return p
    if isinstance(p, float):
        raise InvalidRecordError(f"p is {p!r}, but task {task.id!r} needs one for each of {task.labels!r}")
    if isinstance(p, dict):
        for label in p:
            if label not in task.labels:
                raise InvalidRecordError(
                    f"p has the label {label!r}; task {task.id!r} has {task.labels!r}{did_you_mean(label, task.labels)}"
                )
        return tuple(p.get(label, 0.0) for label in task.labels)
    if len(p) != len(task.labels):
        raise InvalidRecordError(f"p has {len(p)} entries, task {task.id!r} has {len(task.labels)} labels")
    return p


def number(task: Task, outcome: float | str | None) -> float | None:
    """The outcome as the core takes it: 0 or 1, the index of a label, or a number; None stays None."""
    if outcome is None:
        return None
    if isinstance(outcome, str):
        if outcome not in task.labels:
            needs = {"binary": "is binary: give 0 or 1", "numeric": "is numeric: give a number"}
            fits = needs.get(task.kind, f"has {task.labels!r}{did_you_mean(outcome, task.labels)}")
            raise InvalidRecordError(f"outcome is {outcome!r}; task {task.id!r} {fits}")
        return float(task.labels.index(outcome))
    if task.kind == "binary" and outcome not in (0, 1):
        raise InvalidRecordError(f"outcome is {outcome!r}, but task {task.id!r} is binary: it must be 0 or 1")
    if task.kind == "categorical" and outcome not in range(len(task.labels)):
        raise InvalidRecordError(
            f"outcome is {outcome!r}; task {task.id!r} has the indices 0 to {len(task.labels) - 1}"
        )
    return outcome
