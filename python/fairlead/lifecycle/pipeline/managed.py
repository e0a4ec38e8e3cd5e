"""What predicts: the champion, or for its share of the tasks a challenger. The hot path of a managed model."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from operator import index
from time import perf_counter
from typing import Any, NamedTuple

from fairlead.errors import InvalidRecordError, JournalError
from fairlead.lifecycle.failures import LifecycleError
from fairlead.lifecycle.pipeline.answers import Answer, Prediction, answer_of, row_of
from fairlead.lifecycle.pipeline.ledger import Log
from fairlead.lifecycle.pipeline.memory import Asked, Told
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.pipeline.wire import Writer
from fairlead.lifecycle.proving import served_by
from fairlead.lifecycle.schema import Schema

_FAR = 2**63


class NoChampionError(LifecycleError):
    """A model that has no version yet is asked. The input is remembered, so that the first one can learn from it."""


class Arms(NamedTuple):
    """Who answers, swapped as a whole. rival: who answers for `share` of the tasks; None: nobody."""

    model: Any = None
    version: int | None = None
    rival: Rival | None = None
    share: float = 0.0
    salt: str = ""


class Managed:
    """Answers with what `arms` holds, and puts what happened into a queue and a log, in one order.

    A log that does not take an event (its ring is full, its disk refuses) does not keep anybody from an answer: such an
    input is not learnt from, and `unlogged` counts it.
    """

    def __init__(
        self,
        name: str,
        schema: Schema,
        queue: deque[Asked | Told],
        *,
        log: Log | None,
        clock: Callable[[], int],
    ) -> None:
        self.name = name
        self.schema = schema
        self.arms = Arms()
        self.unlogged = 0
        self.seq = 0
        """The newest event, where there is no log to number them."""
        self._queue = queue
        self._writer = None if log is None else Writer(log, name, schema)
        self._clock = clock
        self._order = threading.Lock()

    def predict(self, x: Any, task: str, time: int = 0, slices: Mapping[str, str] | None = None) -> Prediction:
        """See `RetrainingPipeline.predict`."""
        schema = self.schema
        row = row_of(schema, x)
        _check_task(task)
        time = _moment(time)
        if slices is not None:
            _check_slices(slices)
        model, version, rival, share, salt = self.arms
        if model is None:
            self._remember(row, task, time, None, None, "champion", 0.0, slices, "no champion yet")
            raise NoChampionError(f"{self.name!r} has no champion yet: the first one learns from what is asked now")
        if rival is not None and served_by(task, share, salt=salt) == "challenger":
            alone = rival.one(row)
            if alone is not None:
                answer, latency = alone
                self._remember(row, task, time, answer, rival.version, "challenger", latency, slices)
                return Prediction(answer, rival.version, "challenger", task, latency, schema.kind)
        start = perf_counter()
        try:
            found = model.predict(row)
            latency = (perf_counter() - start) * 1e3
            answer = answer_of(schema, found)
        except Exception as error:
            self._remember(row, task, time, None, version, "champion", 0.0, slices, f"{type(error).__name__}: {error}")
            raise
        self._remember(row, task, time, answer, version, "champion", latency, slices)
        return Prediction(answer, version, "champion", task, latency, schema.kind)  # type: ignore[arg-type]

    def learn(self, task: str, y: Any, time: int = 0) -> None:
        """See `RetrainingPipeline.learn`."""
        _check_task(task)
        label = None if y is None else self.schema.check_label(y)
        when = _moment(time) or self._clock()
        with self._order:
            writer = self._writer
            seq = self._next() if writer is None else writer.label(when, task, label)
            self._queue.append(Told(seq, when, task, label))

    def settled(self, task: str, label: int | float | None, time: int, seq: int) -> None:
        """A label that stands in the log already, as event `seq`: the outcome of a fleet's task."""
        with self._order:
            if self._writer is None:
                seq = self._next()
            self._queue.append(Told(seq, time, task, label))

    def _remember(
        self,
        row: Any,
        task: str,
        time: int,
        answer: Answer | None,
        version: int | None,
        arm: str,
        latency: float,
        slices: Mapping[str, str] | None,
        error: str = "",
    ) -> None:
        when = time or self._clock()
        writer = self._writer
        try:
            with self._order:
                if writer is None:
                    seq = self._next()
                else:
                    seq = writer.input(when, task, row, answer, version, arm, latency, slices, error)
                self._queue.append(Asked(seq, when, task, row, answer, version or 0, arm, latency, slices))
        except JournalError:
            self.unlogged += 1

    def _next(self) -> int:
        self.seq += 1
        return self.seq


def _check_task(task: object) -> None:
    if not isinstance(task, str) or not task:
        raise InvalidRecordError(f"task is {task!r}, must be the id of a task")


def _moment(time: Any) -> int:
    """Nanoseconds: numpy's too, but neither a text nor a fraction."""
    try:
        when = index(time)
    except TypeError:
        raise InvalidRecordError(f"time is {time!r}, must be a whole number of nanoseconds") from None
    if -_FAR <= when < _FAR:
        return when
    raise InvalidRecordError(f"time is {time!r}, must be nanoseconds that fit into 64 bits")


def _check_slices(slices: object) -> None:
    if not isinstance(slices, Mapping):
        raise InvalidRecordError(f"slices is {slices!r}, must be a mapping such as {{'category': 'rates'}}")
    for dimension, value in slices.items():
        if not isinstance(dimension, str) or not isinstance(value, str):
            raise InvalidRecordError(f"slices has {dimension!r}: {value!r}, must be texts")
