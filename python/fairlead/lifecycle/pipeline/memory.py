"""What a managed model has seen: inputs that wait for their label, the newest examples, and the drift monitor's fold.

A call to `predict` or `learn` only puts what happened into a queue; `fold` takes it from there, in the order in which
it happened, which is that of the journal. So a memory that is folded again from the journal is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fairlead.lifecycle.examples import ExampleBuffer, Examples
from fairlead.lifecycle.pipeline.answers import Answer
from fairlead.lifecycle.schema import Schema


class Asked(NamedTuple):
    """An input that was answered. row: as of `row_of`. answer: None where the model failed."""

    seq: int
    time: int
    task: str
    row: Any
    answer: Answer | None
    version: int
    arm: str
    latency_ms: float
    slices: Mapping[str, str] | None = None


class Told(NamedTuple):
    """What a task came to. y: None where that will never be known."""

    seq: int
    time: int
    task: str
    y: int | float | None


class Labelled(NamedTuple):
    """An input with its label, which came as event `seq`."""

    asked: Asked
    y: int | float
    seq: int
    time: int


class _Buffer(ExampleBuffer):
    def add(self, row: Any, label: int | float, time: int, seq: int) -> None:
        """As `append`, of what was checked when it came."""
        self._rows.append((row, label, time, seq))
        self.seen += 1
        self._held = None


class Memory:
    """All that a pipeline knows of the stream. Its `queue` may be filled by any thread; one at a time folds."""

    def __init__(self, schema: Schema, monitor: Any, *, capacity: int, pending: int) -> None:
        self.schema = schema
        self.monitor = monitor
        self.buffer = _Buffer(schema, capacity)
        self.queue: deque[Asked | Told] = deque()
        self.inputs = 0
        self.labels = 0
        self.seen = 0
        """The newest event that was folded."""
        self.since: int | None = None
        """The time of the first."""
        self.watched = True
        """Whether the monitor is told."""
        self.champion: int | None = None
        """Whose answers the monitor looks at."""
        self.dropped = 0
        """The event that completed the newest example which the buffer has dropped."""
        self._most = pending
        self._seqs: deque[int] = deque()
        self._waiting: dict[str, Asked] = {}
        self._early: dict[str, Told] = {}  # labels that came before their input
        self._ended: dict[str, None] = {}

    @property
    def waiting(self) -> int:
        """Inputs that have no label yet."""
        return len(self._waiting)

    def waiting_tasks(self) -> tuple[str, ...]:
        """Their tasks, as far as they are folded."""
        return tuple(self._waiting)

    def waiting_rows(self) -> dict[str, Any]:
        """Their inputs, by task, as of `row_of`."""
        return {task: asked.row for task, asked in self._waiting.items()}

    def fold(self, most: int | None = None) -> Iterator[Labelled]:
        """Takes what is queued, at most so many events, and gives each example as it is complete."""
        queue = self.queue
        left = -1 if most is None else most
        while queue and left:
            left -= 1
            event = queue.popleft()
            found = self.take(event)
            if found is not None:
                yield found

    def take(self, event: Asked | Told) -> Labelled | None:
        """One event. As in `read_examples`, the first input of a task counts, and the first label."""
        if event.seq > self.seen:
            self.seen = event.seq
        return self._asked(event) if isinstance(event, Asked) else self._told(event)

    def _asked(self, event: Asked) -> Labelled | None:
        self.inputs += 1
        if self.since is None:
            self.since = event.time
        if self.watched and event.answer is not None and event.version == self.champion:
            self.monitor.update(event.row[0], event.answer, time=event.time)
        task = event.task
        if task in self._ended or task in self._waiting:
            return None
        early = self._early.pop(task, None)
        if early is not None:
            return self._complete(event, early, event.seq)
        self._waiting[task] = event
        if len(self._waiting) > self._most:
            del self._waiting[next(iter(self._waiting))]
        return None

    def _told(self, event: Told) -> Labelled | None:
        asked = self._waiting.pop(event.task, None)
        if asked is None:
            if event.y is not None and event.task not in self._ended and event.task not in self._early:
                self._early[event.task] = event
                if len(self._early) > self._most:
                    del self._early[next(iter(self._early))]
            return None
        if event.y is None:
            self._end(event.task)
            return None
        return self._complete(asked, event, event.seq)

    def _complete(self, asked: Asked, told: Told, seq: int) -> Labelled:
        assert told.y is not None
        self._end(asked.task)
        self.labels += 1
        buffer = self.buffer
        if len(buffer) == buffer.capacity:
            self.dropped = self._seqs.popleft()
        buffer.add(asked.row[0], told.y, asked.time, seq)
        self._seqs.append(seq)
        if self.watched and asked.answer is not None and asked.version == self.champion:
            self.monitor.learn(asked.answer, told.y, time=told.time)
        return Labelled(asked, told.y, seq, told.time)

    def _end(self, task: str) -> None:
        self._ended[task] = None
        if len(self._ended) > self._most:
            del self._ended[next(iter(self._ended))]

    def range_of(self, n: int, newest: int = 0) -> tuple[int, int] | None:
        """The events that complete n examples, after which `newest` more have come: from the first after the example
        before them to the last of their own. None for no examples."""
        seqs = self._seqs
        end = len(seqs) - newest
        if n == 0:
            return None
        before = seqs[end - n - 1] if end - n > 0 else self.dropped
        return before + 1, seqs[end - 1]

    def after(self, seq: int) -> Examples:
        """The examples that were complete after an event."""
        examples = self.buffer.examples()
        return examples[int(examples.seqs.searchsorted(seq, side="right")) :]

    def between(self, first: int, last: int) -> Examples:
        """Those that were complete by events from first to last, both included; as far as they are still here."""
        examples = self.buffer.examples()
        begin, end = examples.seqs.searchsorted([first, last + 1])
        return examples[int(begin) : int(end)]
