"""What a forecast table must be: `layout_of` checks its columns, `check` its rows.

Each rule for a row is one call of `refuse` or `reject` below, with the condition and the reason side by side.
The first rule that a row breaks is its reason; where rows contradict each other, the first one stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fairlead.errors import TableError, did_you_mean
from fairlead.replays.read import MISSING_WORDS, NO_TIME, Column, Names, RawTable
from fairlead.types import MAX_LABELS, MAX_SLICES, MAX_TOKENS, ROUNDING, SUM_TOLERANCE

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Times = NDArray[np.int64]
    Mask = NDArray[np.bool_]

_REQUIRED = ("time", "task", "model", "outcome")
_AMOUNTS = ("latency_ms", "cost_usd", "stake_usd")
_COUNTS = ("tokens_in", "tokens_out")
_OPTIONAL = ("category", "confidence", *_AMOUNTS, *_COUNTS, "error", "outcome_time")
_NO_ERROR = MISSING_WORDS | {"0", "false"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column of a table plays which part."""

    kind: str
    labels: tuple[str, ...]
    answers: tuple[str, ...]
    """The columns that hold the answer."""
    dimensions: tuple[str, ...]
    columns: frozenset[str]
    """Every column to read."""


def layout_of(columns: tuple[str, ...], slices: Sequence[str] = ()) -> Layout:
    """Find each part of the table among its columns; raises `TableError`, which tells all that is wrong.

    >>> layout_of(("time", "task", "model", "p_no", "p_yes", "outcome")).labels
    ('no', 'yes')
    """
    if isinstance(slices, str):
        raise TableError(f"slices is {slices!r}, must be a sequence of column names")
    vector = tuple(name for name in columns if name.startswith("p_") and name != "p_" and name not in slices)
    vector = vector if len(vector) > 1 else ()
    families = {
        "p": ("binary", ("0", "1"), ("p",)),
        "p_<label>": ("categorical", tuple(name.removeprefix("p_") for name in vector), vector),
        "value": ("numeric", (), ("value",)),
    }
    present = [name for name in ("p", "value") if name in columns] + ["p_<label>"] * bool(vector)
    spoken_for = {*_REQUIRED, *_OPTIONAL, "p", "value", *vector} - {"category"}
    wanted = {*spoken_for, "category", *slices}

    problems = [f"no column {name!r}{did_you_mean(name, columns)}" for name in _REQUIRED if name not in columns]
    problems += [
        f"no column {name!r} to slice by{did_you_mean(name, columns)}" for name in slices if name not in columns
    ]
    problems += [f"{name!r} cannot be a slice: it has a meaning" for name in slices if name in spoken_for]
    if len(set(slices) - {"category"}) > MAX_SLICES:
        problems.append(f"{len(slices)} columns to slice by, at most {MAX_SLICES}")
    if len(vector) > MAX_LABELS:
        problems.append(f"{len(vector)} columns p_<label>, at most {MAX_LABELS}")
    problems += [f"column {name!r} is there twice" for name in sorted(wanted) if columns.count(name) > 1]
    if not present:
        problems.append("no answer column: 'p', or two or more 'p_<label>', or 'value'")
    if len(present) > 1:
        problems.append(f"more than one kind of answer: {', '.join(map(repr, present))}")
    if problems:
        raise TableError(f"{'; '.join(problems)}; the table has the columns: {', '.join(columns) or 'none'}")

    kind, labels, answers = families[present[0]]
    category = ("category",) if "category" in columns else ()
    return Layout(kind, labels, answers, tuple(dict.fromkeys((*category, *slices))), frozenset(wanted))


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """All rows in the order of the source, which of them are good, and why the others are not."""

    good: Mask
    reasons: dict[int, str]
    time: Times
    task: Names
    model: Names
    failed: Mask
    answer: Floats
    """(rows, C); NaN where the model failed."""
    numbers: dict[str, Floats]
    """Each optional number; NaN where not given."""
    outcome: Floats
    outcome_time: Times
    dimensions: dict[str, Names]


def check(raw: RawTable, layout: Layout) -> Checked:
    """Read the columns and judge every row."""
    rows = _Rows(raw)
    time = rows.times("time")
    task, model = rows.column("task").names(), rows.column("model").names()
    rows.reject(time == NO_TIME, lambda row: "time is missing")
    rows.reject(task.codes < 0, lambda row: "task is missing")
    rows.reject(model.codes < 0, lambda row: "model is missing")

    failed = _failed(rows.column("error").names())
    answer = _answers(rows, layout, failed)
    numbers = _optional_numbers(rows)
    outcome = _outcomes(rows, layout)
    outcome_time = rows.times("outcome_time")
    dimensions = {name: rows.column(name).names() for name in layout.dimensions}

    for name, names in dimensions.items():
        rows.agree(name, task, names.codes, names.codes < 0)
    rows.agree("stake_usd", task, numbers["stake_usd"], np.isnan(numbers["stake_usd"]))
    rows.agree("outcome", task, outcome, np.isnan(outcome))
    rows.agree("outcome_time", task, outcome_time, outcome_time == NO_TIME)
    _reject_late(rows, time, task, outcome_time)
    _reject_repeated(rows, time, task, model)
    return Checked(
        rows.good, rows.reasons, time, task, model, failed, answer, numbers, outcome, outcome_time, dimensions
    )


class _Rows:
    """Which rows are still good, and the first reason against each of the others."""

    def __init__(self, raw: RawTable) -> None:
        self.raw = raw
        self.reasons = dict(raw.malformed)
        self.good: Mask = np.ones(len(raw.lines), dtype=np.bool_)
        self.good[list(raw.malformed)] = False

    def reject(self, bad: Mask, reason: Callable[[int], str]) -> None:
        """Take the rows of the mask that are still good out; `reason` says why, given the index of a row."""
        for row in np.flatnonzero(bad & self.good).tolist():
            self.reasons[row] = reason(row)
        self.good &= ~bad

    def refuse(self, bad: Mask, name: str, complaint: str) -> None:
        """Reject for the value of one column: ``"p is 1.3, outside [0, 1]"``."""
        column = self.column(name)
        self.reject(bad, lambda row: f"{column.say(row)}, {complaint}")

    def agree(self, name: str, task: Names, values: NDArray[Any], missing: Mask) -> None:
        """A task has one category, one outcome, …: the first good row that gives it stands."""
        given = np.flatnonzero(self.good & ~missing)
        first = _first_rows(task, given)
        differs = np.zeros(len(values), dtype=np.bool_)
        differs[given] = values[given] != values[first[given]]
        column = self.column(name)

        def reason(row: int) -> str:
            earlier = first[row]
            return f"{column.say(row)}, but {column.show(earlier)} for the same task on {self.place(earlier)}"

        self.reject(differs, reason)

    def column(self, name: str) -> Column:
        """The column; one without any value if the table lacks it."""
        return self.raw.columns.get(name) or Column(name, np.full(len(self.good), np.nan))

    def numbers(self, name: str, unless: Mask | None = None) -> Floats:
        """A column of numbers, NaN where missing; anything else makes the row bad, unless the mask holds."""
        values, unreadable = self.column(name).numbers()
        self.refuse(unreadable if unless is None else unreadable & ~unless, name, "not a number")
        return values

    def times(self, name: str) -> Times:
        """A column of times, `NO_TIME` where missing; anything else makes the row bad."""
        values, unreadable = self.column(name).times()
        self.refuse(unreadable, name, "not an ISO date or time (such as 2024-05-03) between 1678 and 2262")
        return values

    def place(self, row: int) -> str:
        """Where a row is in the source."""
        return f"{self.raw.place} {self.raw.lines[row]}"


def _failed(error: Names) -> Mask:
    """A model failed where `error` says anything at all, except that there was none."""
    return np.array([*(text.lower() not in _NO_ERROR for text in error.values), False])[error.codes]


def _answers(rows: _Rows, layout: Layout, failed: Mask) -> Floats:
    """The answers, (rows, C); whatever a failed model answered does not count."""
    answer = np.column_stack([rows.numbers(name, unless=failed) for name in layout.answers])
    answer[failed] = np.nan
    for name, value in zip(layout.answers, answer.T, strict=True):
        rows.refuse(np.isnan(value) & ~failed, name, "and error is empty")
        if layout.kind == "numeric":
            rows.refuse(np.isinf(value), name, "not finite")
        elif layout.kind == "binary":
            rows.refuse((value < 0) | (value > 1), name, "outside [0, 1]")
        else:
            rows.refuse(value < 0, name, "below 0")
    if layout.kind == "categorical":
        with np.errstate(over="ignore"):
            total = answer.sum(axis=1)
        off = np.abs(total - 1) > SUM_TOLERANCE + ROUNDING
        rows.reject(off, lambda row: f"{', '.join(layout.answers)} sum to {total[row]:.6g}, not 1")
        answer[rows.good] /= total[rows.good, None]
    return answer


def _optional_numbers(rows: _Rows) -> dict[str, Floats]:
    """Each optional number per row, NaN where not given."""
    numbers = {name: rows.numbers(name) for name in ("confidence", *_AMOUNTS, *_COUNTS)}
    confidence = numbers["confidence"]
    rows.refuse((confidence < 0) | (confidence > 1), "confidence", "outside [0, 1]")
    for name in (*_AMOUNTS, *_COUNTS):
        rows.refuse(numbers[name] < 0, name, "below 0")
        rows.refuse(np.isinf(numbers[name]), name, "not finite")
    for name in _COUNTS:
        count = numbers[name]
        rows.refuse((count != np.floor(count)) & ~np.isnan(count), name, "not a whole number")
        rows.refuse(count > MAX_TOKENS, name, "too many to count")
    return numbers


def _outcomes(rows: _Rows, layout: Layout) -> Floats:
    """0 or 1, the index of a label, or a number; NaN where unknown."""
    if layout.kind == "numeric":
        outcome = rows.numbers("outcome")
        rows.refuse(np.isinf(outcome), "outcome", "not finite")
        return outcome
    names = rows.column("outcome").names()
    outcome = np.array([*(_class_index(text, layout) for text in names.values), np.nan])[names.codes]
    expected = "0, 1, true or false"
    if layout.kind == "categorical":
        expected = f"one of {', '.join(layout.labels)}, or an index from 0 to {len(layout.labels) - 1}"
    rows.refuse(np.isinf(outcome), "outcome", f"not {expected}")
    return outcome


def _class_index(text: str, layout: Layout) -> float:
    """The index of the label that an outcome means, by name before index; NaN: unknown, infinity: none."""
    lower = text.lower()
    if text in layout.labels:
        return layout.labels.index(text)
    if layout.kind == "binary" and lower in ("false", "true"):
        return float(lower == "true")
    if lower in MISSING_WORDS:
        return np.nan
    try:
        whole = str(int(text.removesuffix(".0")))  # whole numbers with gaps are often stored as floats
    except ValueError:
        return np.inf
    if whole in layout.labels:
        return layout.labels.index(whole)
    return int(whole) if 0 <= int(whole) < len(layout.labels) else np.inf


def _first_rows(task: Names, rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """For every row, the first of the given rows (increasing) with the same task; -1 where there is none."""
    first = np.full(len(task.values) + 1, -1, dtype=np.intp)  # the last place is for rows without a task
    first[task.codes[rows[::-1]]] = rows[::-1]  # of equal indices the last assignment stays
    return first[task.codes]


def _reject_late(rows: _Rows, time: Times, task: Names, outcome_time: Times) -> None:
    """A forecast must be older than the knowledge of its task's outcome."""
    known = _first_rows(task, np.flatnonzero(rows.good & (outcome_time != NO_TIME)))
    late = (known >= 0) & (time >= outcome_time[known])
    when, settled = rows.column("time"), rows.column("outcome_time")
    rows.reject(late, lambda row: f"{when.say(row)}, not before outcome_time {settled.show(known[row])}")


def _reject_repeated(rows: _Rows, time: Times, task: Names, model: Names) -> None:
    """A model may revise its forecast later, not give two at the same time."""
    order = np.flatnonzero(rows.good)
    order = order[np.lexsort((time[order], model.codes[order], task.codes[order]))]  # equals keep their order
    key = np.stack((time, model.codes, task.codes))[:, order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (key[:, 1:] != key[:, :-1]).any(axis=0)
    original = np.arange(len(time))
    original[order] = order[np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))]
    again = original != np.arange(len(time))
    rows.reject(again, lambda row: f"model, task and time are those of {rows.place(original[row])}")
