"""Settled forecasts as columns, checked, and what all parts of a reflection want to know of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fairlead.errors import UnknownModelError
from fairlead.reflection.inference import Floats, Ints

Kind = Literal["binary", "categorical", "numeric"]
KINDS: tuple[Kind, ...] = ("binary", "categorical", "numeric")

_NEEDED = ("time", "task", "model", "kind", "scored", "loss")
_WHOLE = ("seq", "asked", "category", "correct", "happened", "calls", "failed", "tokens_in", "tokens_out")
_REAL = ("value", "outcome", "log_loss", "shown", "confidence", "latency_ms", "cost_usd", "profit_usd", "stake_usd")
_EFFECTS = 100  # most passes over the rows to tell models from tasks


@dataclass(frozen=True, slots=True)
class Rows:
    """One row for each model and ended task: the columns of `ScoredRows`, as wide integers and doubles.

    columns: by name; what was not given is 0 (whole numbers) or NaN. A model whose costs are all 0 has none that were
    recorded: they are NaN. models, contexts: the names their numbers stand
    for. context_start, context: row i is in context[context_start[i] : context_start[i + 1]].
    """

    columns: Mapping[str, NDArray[Any]]
    models: tuple[str, ...]
    contexts: tuple[str, ...]
    context_start: Ints
    context: Ints

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.columns["task"])

    def number(self, model: str) -> int:
        """A model's number. Raises UnknownModelError."""
        try:
            return self.models.index(model)
        except ValueError:
            raise UnknownModelError(f"no model {model!r} in this journal") from None


def check(rows: Mapping[str, ArrayLike], models: Sequence[str], contexts: Sequence[str] = ()) -> Rows:
    """The columns, checked. Raises ValueError or TypeError that names the column."""
    given: Any = rows  # of callers without a type checker, too
    if not isinstance(given, Mapping):
        folder = isinstance(given, (str, os.PathLike))
        raise TypeError(
            f"rows is {given!r}, must be columns by name"
            + ("; reflect_folder and compare_folder read a desk's folder" if folder else "")
        )
    columns: dict[str, NDArray[Any]] = {}
    for name in _NEEDED:
        if name not in rows:
            raise ValueError(f"rows lack the column {name!r}")
    size = len(np.asarray(rows["task"]))
    for name in (*_NEEDED, *_WHOLE, *_REAL):
        real = name in _REAL or name == "loss"
        if name not in rows:
            columns[name] = np.full(size, np.nan) if real else np.zeros(size, dtype=np.int64)
            continue
        array = np.asarray(rows[name])
        if array.shape != (size,):
            raise ValueError(f"column {name!r} has shape {array.shape}, must be ({size},) as 'task'")
        if array.dtype.kind not in ("biuf" if real else "biu"):
            raise TypeError(
                f"column {name!r} has dtype {array.dtype}, must be {'numbers' if real else 'whole numbers'}"
            )
        columns[name] = array.astype(np.float64 if real else np.int64, copy=False)
    for name, least, most in (("model", 0, len(models)), ("kind", 0, len(KINDS))):
        bad = (columns[name] < least) | (columns[name] >= most)
        if bad.any():
            raise ValueError(f"column {name!r} holds {columns[name][bad][0]}, outside [{least}, {most - 1}]")
    cost = columns["cost_usd"]
    recorded = np.zeros(len(models), dtype=bool)
    recorded[columns["model"][np.isfinite(cost) & (cost != 0.0)]] = True
    columns["cost_usd"] = np.where(recorded[columns["model"]] & np.isfinite(cost), cost, np.nan)
    start = np.asarray(rows.get("context_start", np.zeros(size + 1, dtype=np.int64))).astype(np.int64)
    context = np.asarray(rows.get("context", np.empty(0, dtype=np.int64))).astype(np.int64)
    if start.shape != (size + 1,) or start[0] != 0 or bool((np.diff(start) < 0).any()) or start[-1] != len(context):
        raise ValueError(f"column 'context_start' must rise from 0 to the {len(context)} of 'context' in {size} steps")
    if len(context) and (context.min() < 0 or context.max() >= len(contexts)):
        raise ValueError(f"column 'context' holds {context.max()}, outside [0, {len(contexts) - 1}]")
    return Rows(columns, tuple(models), tuple(contexts), start, context)


class Answers:
    """Scored answers of one kind, in the order in which their rounds came: who lost how much on what.

    A round is all that became known at the same time. task and round are numbered from 0, in the order of time.
    """

    def __init__(self, rows: Rows, kind: Kind) -> None:
        self.rows = rows
        self.kind: Kind = kind
        self._columns: dict[str, NDArray[Any]] = {}
        good = (rows["kind"] == KINDS.index(kind)) & (rows["scored"] != 0) & np.isfinite(rows["loss"])
        order = np.flatnonzero(good)
        order = order[np.lexsort((rows["seq"][order], rows["time"][order]))]
        self.row: Ints = order
        self.model: Ints = rows["model"][order]
        self.loss: Floats = rows["loss"][order]
        times, self.round = np.unique(rows["time"][order], return_inverse=True)
        self.rounds = len(times)
        _, first, code = np.unique(rows["task"][order], return_index=True, return_inverse=True)
        rank = np.empty(len(first), dtype=np.int64)
        rank[np.argsort(first, kind="stable")] = np.arange(len(first))
        self.task: Ints = rank[code]
        self.tasks = len(first)

    def __len__(self) -> int:
        return len(self.row)

    def column(self, name: str) -> NDArray[Any]:
        """A column of the rows, of these answers."""
        if name not in self._columns:
            self._columns[name] = self.rows[name][self.row]
        return self._columns[name]

    @cached_property
    def counts(self) -> Ints:
        """How many answers each model has."""
        return np.bincount(self.model, minlength=len(self.rows.models))

    @cached_property
    def present(self) -> tuple[int, ...]:
        """Models with an answer at least, by number."""
        return tuple(np.flatnonzero(self.counts).tolist())

    @cached_property
    def _by_model(self) -> dict[int, Ints]:
        order = np.argsort(self.model, kind="stable")
        ends = np.cumsum(self.counts)
        return {m: order[ends[m] - self.counts[m] : ends[m]] for m in self.present}

    def of(self, model: int) -> Ints:
        """The places of a model's answers, in order of time."""
        return self._by_model.get(model, np.empty(0, dtype=np.int64))

    def common(self, a: int, b: int) -> tuple[Ints, Ints]:
        """The places of the answers of two models to the tasks that both answered, task by task."""
        ours, theirs = self.of(a), self.of(b)
        where = np.full(self.tasks, -1, dtype=np.int64)
        where[self.task[theirs]] = theirs
        found = where[self.task[ours]]
        both = found >= 0
        return ours[both], found[both]

    @cached_property
    def answers_of_task(self) -> Ints:
        """How many models answered each task."""
        return np.bincount(self.task, minlength=self.tasks)

    @cached_property
    def excess(self) -> Floats:
        """Loss less the mean loss of the others who answered the same task; NaN where there were none."""
        return self._less_others(self.loss)

    @cached_property
    def adjusted(self) -> Floats:
        """The same, where every loss is first freed of how good its model is on the whole, 0 on average.

        So a bad model that joins or leaves does not make the rest look better or worse. The levels of models and tasks
        are told apart by least squares (two-way analysis of variance, by alternating means). NaN where nobody else
        answered.
        """
        return self._adjust(self.loss)

    @cached_property
    def adjusted_absolute(self) -> Floats:
        """The same of absolute errors, for numbers: of squared ones, a few would be all there is."""
        return self._adjust(np.sqrt(self.loss))

    def _adjust(self, loss: Floats) -> Floats:
        return self._less_others(loss - self._levels(loss)[self.model])

    def _levels(self, loss: Floats) -> Floats:
        """The mean loss of each model, had all answered the same tasks; known up to one number for all."""
        shared = np.flatnonzero((self.answers_of_task > 1)[self.task])
        model, task, loss = self.model[shared], self.task[shared], loss[shared]
        n_model = np.maximum(np.bincount(model, minlength=len(self.rows.models)), 1)
        n_task = np.maximum(self.answers_of_task, 1)
        level = np.zeros(len(self.rows.models))
        scale = float(np.abs(loss).max(initial=0.0))
        for _ in range(_EFFECTS):
            of_task = np.bincount(task, loss - level[model], self.tasks) / n_task
            new = np.bincount(model, loss - of_task[task], len(level)) / n_model
            moved = float(np.abs(new - level).max(initial=0.0))
            level = new
            if moved <= 1e-6 * scale:
                break
        return level

    def _less_others(self, loss: Floats) -> Floats:
        others = self.answers_of_task[self.task] - 1
        total = np.bincount(self.task, loss, self.tasks)
        with np.errstate(invalid="ignore", divide="ignore"):
            rest: Floats = loss - np.where(others > 0, (total[self.task] - loss) / others, np.nan)
        return rest

    @cached_property
    def opinion(self) -> Floats:
        """What is averaged where models are pooled: P(1), the number, or the probability of the class that happened."""
        if self.kind == "categorical":
            opinion: Floats = np.exp(-self.column("log_loss"))
            return opinion
        return self.column("value")

    def pooled_loss(self, opinion: Floats, outcome: Floats) -> Floats:
        """The loss of an averaged opinion: Brier score, squared error, or of classes the log-loss, which alone follows
        from the probability of what happened."""
        if self.kind == "categorical":
            loss: Floats = -np.log(np.maximum(opinion, np.finfo(float).eps))
            return loss
        with np.errstate(over="ignore"):
            return np.minimum((opinion - outcome) ** 2, 1e140)

    @property
    def pooled_score(self) -> str:
        """What `pooled_loss` is called."""
        return {"binary": "Brier score", "categorical": "log-loss", "numeric": "squared error"}[self.kind]

    @cached_property
    def error(self) -> Floats:
        """The signed error: opinion less what happened, so -(1 - p) of classes."""
        return self.opinion - (1.0 if self.kind == "categorical" else self.column("outcome"))

    def contexts_of(self, places: Ints) -> Iterator[tuple[int, Ints]]:
        """Each context with any of these answers, and which of them (by their place in ``places``) it holds."""
        rows = self.row[places]
        start, length = self.rows.context_start[rows], self.rows.context_start[rows + 1] - self.rows.context_start[rows]
        total = int(length.sum())
        if not total:
            return
        owner = np.repeat(np.arange(len(rows)), length)
        entry = np.arange(total) - np.repeat(np.cumsum(length) - length, length) + np.repeat(start, length)
        context = self.rows.context[entry]
        order = np.argsort(context, kind="stable")
        context, owner = context[order], owner[order]
        cuts = np.flatnonzero(np.diff(context)) + 1
        for part, members in zip(np.split(context, cuts), np.split(owner, cuts), strict=True):
            yield int(part[0]), np.unique(members)
