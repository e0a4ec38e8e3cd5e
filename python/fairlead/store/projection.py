"""From events to rows: a state machine without a database, a clock or chance.

`Projection.apply` takes a batch and gives the rows that change. However a journal is cut into batches, and whether the
machine starts anew between two of them, the rows come out the same: all that it knows is in the rows, and it reads what
it has forgotten back through a `Source`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fairlead.events import TYPES, Event
from fairlead.store import cold, values
from fairlead.store.performance import Performance, Row

HOUR, DAY = 3_600_000_000_000, 86_400_000_000_000
_TASKS = 50_000  # open tasks that stay in memory from one batch to the next; more are read again when they are needed
_TURN = 32  # events from one pause to the next: a third of a millisecond
_ENTRY = tuple[int, str | None, str, int, str | None, str]
_ABOUT_TASKS = frozenset({"forecast", "decision", "outcome", "closed", "route"})


class Source(Protocol):
    """What the rows already say."""

    def health(self) -> Iterable[Row]:
        """All rows of model_health."""

    def window(self, length: int, start: int) -> Iterable[Row]:
        """The rows of model_performance of one window."""

    def tasks(self, numbers: Sequence[int]) -> Iterable[Row]:
        """Those of these tasks that are in open_tasks."""

    def thing(self, kind: str, key: Mapping[str, Any]) -> Row | None:
        """The row of a budget, a training run or a version."""


class Nothing:
    """The source of an empty store."""

    def health(self) -> Iterable[Row]:
        return ()

    def window(self, length: int, start: int) -> Iterable[Row]:
        return ()

    def tasks(self, numbers: Sequence[int]) -> Iterable[Row]:
        return ()

    def thing(self, kind: str, key: Mapping[str, Any]) -> Row | None:
        return None


@dataclass(slots=True)
class Changes:
    """What one batch does to the tables."""

    events: int = 0
    last: Event | None = None
    entries: list[_ENTRY] = field(default_factory=list)
    """Rows of journal_entries, in the order of its columns; metadata is JSON text."""
    inserted: dict[str, list[Row]] = field(default_factory=dict)
    upserted: dict[str, list[Row]] = field(default_factory=dict)
    ended: list[Row] = field(default_factory=list)
    """What became known about decisions that are stored already, by their task."""
    closed: list[int] = field(default_factory=list)
    """Tasks that leave open_tasks."""

    @property
    def digest(self) -> str:
        """Of the last event."""
        return "" if self.last is None else digest(self.last)


def digest(event: Event) -> str:
    """What tells an event from another one of its number: half of a SHA-256 of its content."""
    content = values.dumps([event.seq, event.time, event.type, event.model, event.category, values.plain(event.data)])
    return hashlib.sha256(content.encode()).hexdigest()[:32]


class Projection:
    """Folds events into rows.

    windows: lengths of the windows of model_performance, in nanoseconds. entries: the types of event that get a row in
    journal_entries, None for all of them; on the other tables it has no effect. source: what is stored already.

    >>> model = Event(1, 0, "model", "a", None, {"name": "a", "tier": "fast"})
    >>> changes = Projection().apply([model])
    >>> changes.entries
    [(1, 'a', 'model', 0, None, '{"name":"a","tier":"fast"}')]
    >>> changes.upserted["model_health"][0]["tier"]
    'fast'
    """

    def __init__(
        self,
        *,
        windows: Iterable[int] = (HOUR, DAY),
        entries: Collection[str] | None = None,
        source: Source | None = None,
    ) -> None:
        self._source = source or Nothing()
        self._kept = frozenset(TYPES if entries is None else entries)
        self._all = entries is None
        self._performance = Performance(windows, lambda window: self._source.window(*window))
        self._health = {row["model_name"]: dict(row) for row in self._source.health()}
        self._tasks: dict[int, Row] = {}
        self._names: dict[str, str] = {}
        # Of the batch in hand.
        self._changes = Changes()
        self._seen: set[str] = set()
        self._touched: dict[int, Row] = {}
        self._decided: dict[int, list[Row]] = {}
        self._things: dict[tuple[str, tuple[str, ...]], Row] = {}

    def apply(self, events: Iterable[Event], pause: Callable[[], object] | None = None) -> Changes:
        """The changes that these events make. Their numbers must rise; what is stored already must not be among them.
        pause: called after every few events, where other threads are to have their turn.

        The projection is ahead of its source until the changes are stored. Where they could not be, make a new one.
        """
        batch = list(events)
        self._forget()
        self._fetch(batch)
        changes = self._changes
        for i, event in enumerate(batch):
            if pause is not None and not i % _TURN:
                pause()
            model, category = self._name(event.model), self._name(event.category)
            if self._all or event.type in self._kept:
                metadata = values.dumps(event.data)
                changes.entries.append((event.seq, model, event.type, event.time, category, metadata))
            handle = _HANDLERS.get(event.type)
            if handle is not None:
                handle(self, event, model, category)
        changes.events = len(batch)
        changes.last = batch[-1] if batch else None
        self._collect()
        return changes

    # --- batches ---

    def _forget(self) -> None:
        self._changes = Changes()
        self._seen, self._touched, self._decided, self._things = set(), {}, {}, {}
        for number in list(self._tasks)[: max(0, len(self._tasks) - _TASKS)]:
            del self._tasks[number]

    def _fetch(self, batch: list[Event]) -> None:
        """The open tasks that the batch tells of and that are not in memory."""
        wanted = {event.data["task"] for event in batch if event.type in _ABOUT_TASKS}
        missing = sorted(number for number in wanted.difference(self._tasks) if values.integer(number) is not None)
        if missing:
            for row in self._source.tasks(missing):
                self._tasks[row["task"]] = dict(row)

    def _collect(self) -> None:
        changes = self._changes
        upserted = {
            "model_performance": self._performance.take(),
            "model_health": [self._health[name] for name in self._seen_in_order()],
            "open_tasks": list(self._touched.values()),
        }
        for (kind, _), row in self._things.items():
            upserted.setdefault(cold.THINGS[kind].name, []).append(row)
        changes.upserted = {table: rows for table, rows in upserted.items() if rows}

    def _seen_in_order(self) -> list[str]:
        return [name for name in self._health if name in self._seen]

    def _name(self, name: str | None) -> str | None:
        if name is None:
            return None
        found = self._names.get(name)
        if found is None:
            if len(self._names) > 100_000:
                self._names.clear()
            found = self._names[name] = values.name(name) or ""
        return found

    # --- models ---

    def _model_row(self, model: str) -> Row:
        self._seen.add(model)
        row = self._health.get(model)
        if row is None:
            row = self._health[model] = {
                "model_name": model,
                "active": False,
                **dict.fromkeys(("provider", "tier", "added", "removed", "last_seen"), None),
                **dict.fromkeys(("calls", "failures", "consecutive_failures", "latency_n"), 0),
                **dict.fromkeys(("latency_ms_sum", "cost_usd"), 0.0),
                **dict.fromkeys(("last_latency_ms", "last_error", "last_error_time", "status", "status_time"), None),
                "data": {},
            }
        return row

    def _model(self, event: Event, model: str | None, category: str | None) -> None:
        name = model if model is not None else values.name(event.data.get("name"))
        if name is not None:
            row = self._model_row(name)
            row.update(
                active=True,
                provider=values.text(event.data.get("provider")),
                tier=values.text(event.data.get("tier")),
                added=event.time,
            )

    def _model_removed(self, event: Event, model: str | None, category: str | None) -> None:
        if model is not None:
            self._model_row(model).update(active=False, removed=event.time)

    def _health_event(self, event: Event, model: str | None, category: str | None) -> None:
        if model is not None:
            rest = {k: values.plain(v) for k, v in event.data.items() if k != "status"}
            status = values.text(event.data.get("status"))
            self._model_row(model).update(status=status, status_time=event.time, data=rest)

    # --- the life of a task ---

    def _task_row(self, event: Event, category: str | None) -> Row:
        """The open task of an event; one whose `task` event is not in the journal any more is opened by this one."""
        number = event.data["task"]
        row = self._tasks.get(number)
        if row is None:
            row = self._tasks[number] = {
                "task": number,
                "task_id": None,
                "category": category or "",
                "kind": event.data.get("kind") or "binary",
                "opened": event.time,
                "stake_usd": None,
                "expires_in_s": None,
                "labels": [],
                "answers": {},
                "decisions": 0,
            }
        self._touched[number] = row
        return row

    def _task(self, event: Event, model: str | None, category: str | None) -> None:
        data = event.data
        row = self._task_row(event, category if category is not None else self._name(data.get("category")))
        row.update(
            task_id=values.text(data.get("id")),
            stake_usd=values.number(data.get("stake_usd")),
            expires_in_s=values.number(data.get("expires_in_s")),
            labels=values.plain(list(data.get("labels") or ())),
        )

    def _forecast(self, event: Event, model: str | None, category: str | None) -> None:
        data = event.data
        if model is None:
            return
        task = self._task_row(event, category)
        health = self._model_row(model)
        latency, cost = values.number(data.get("latency_ms")), values.number(data.get("cost_usd")) or 0.0
        error = data.get("error")
        health["last_seen"] = event.time
        health["calls"] += 1
        health["cost_usd"] += cost
        if latency is not None:
            health["latency_n"] += 1
            health["latency_ms_sum"] += latency
            health["last_latency_ms"] = latency
        if error:
            health["failures"] += 1
            health["consecutive_failures"] += 1
            health["last_error"], health["last_error_time"] = values.text(error), event.time
        else:
            health["consecutive_failures"] = 0
            answer = data.get("p")
            answer = data.get("value") if answer is None else answer
            task["answers"][model] = values.plain(answer)
        self._performance.call(model, task["category"], task["kind"], event.time, latency, cost, data)

    def _decision(self, event: Event, model: str | None, category: str | None) -> None:
        data = event.data
        task = self._task_row(event, category)
        task["decisions"] += 1
        p = data.get("p")
        answer = data.get("value") if p is None else p
        row: Row = {
            "seq": event.seq,
            "timestamp": event.time,
            "task": task["task"],
            "task_id": task["task_id"],
            "category": task["category"],
            "kind": task["kind"],
            "strategy": values.text(data.get("strategy")),
            "answer": values.number(answer),
            "answers": _by_label(task["labels"], answer),
            "weights": values.plain(data.get("weights")),
            **{name: values.number(data.get(name)) for name in _MEASURES},
            "reasons": values.integer(data.get("reasons")),
            "status": "open",
            **dict.fromkeys(("outcome", "outcome_label", "outcome_time", "profit_usd"), None),
            "chosen": values.text(data.get("chosen")),
            **{name: values.number(data.get(name)) for name in _SHAPE},
        }
        self._changes.inserted.setdefault("ensemble_decisions", []).append(row)
        self._decided.setdefault(task["task"], []).append(row)

    def _outcome(self, event: Event, model: str | None, category: str | None) -> None:
        data = event.data
        task = self._task_row(event, category)
        outcome = values.number(data.get("value"))
        if outcome is not None:
            for name, answer in task["answers"].items():
                self._performance.score(name, task["category"], task["kind"], event.time, answer, outcome)
        labels = task["labels"]
        known = outcome is not None and labels and outcome in range(len(labels))
        self._end(
            task,
            status="settled",
            outcome=outcome,
            outcome_label=labels[int(outcome)] if known and outcome is not None else None,
            outcome_time=event.time,
            profit_usd=values.number(data.get("profit_usd")),
        )

    def _closed(self, event: Event, model: str | None, category: str | None) -> None:
        ended = {"outcome": None, "outcome_label": None, "outcome_time": event.time, "profit_usd": None}
        self._end(self._task_row(event, category), status="void", **ended)

    # A route or a call opens no task: a call may end after its task did.

    def _route(self, event: Event, model: str | None, category: str | None) -> None:
        data = event.data
        task = self._tasks.get(data["task"])
        row: Row = {
            **_call_row(event, model, category),
            "task_id": task["task_id"] if task is not None else None,
            "task_type": values.text(data.get("type")) or "",
            "goal": values.text(data.get("goal")),
            **{name: values.number(data.get(name)) for name in _EXPECTED},
            "reserved_nanos": values.integer(data.get("reserved_nanos")),
            "reasons": values.plain(list(data.get("reasons") or ())),
            "runners_up": values.plain(list(data.get("runners_up") or ())),
        }
        self._changes.inserted.setdefault("routes", []).append(row)

    def _called(self, event: Event, model: str | None, category: str | None) -> None:
        data = event.data
        row: Row = {
            **_call_row(event, model, category),
            "ended": values.text(data.get("end")) or "",
            "failure": values.text(data.get("failure")),
            **{name: values.number(data.get(name)) for name in _TIMED},
            **{name: values.integer(data.get(name)) for name in _COUNTED},
        }
        self._changes.inserted.setdefault("calls", []).append(row)

    def _run(self, event: Event, model: str | None, category: str | None) -> None:
        data = event.data
        row: Row = {
            "seq": event.seq,
            "timestamp": event.time,
            "agent": model,
            "category": category or "",
            "status": values.text(data.get("status")) or "",
            **{name: values.number(data.get(name)) for name in ("duration_ms", "cost_usd", "compute_s", "memory_mb")},
            **{name: values.integer(data.get(name)) for name in ("cost_nanos", "tokens", "api_calls")},
            "error": values.text(data.get("error")) or None,
        }
        self._changes.inserted.setdefault("runs", []).append(row)

    def _end(self, task: Row, **known: Any) -> None:
        number = task["task"]
        in_hand = self._decided.pop(number, [])
        for row in in_hand:
            row.update(known)
        if task["decisions"] > len(in_hand):
            self._changes.ended.append({"of_task": number, **known})
        self._changes.closed.append(number)
        del self._tasks[number]
        self._touched.pop(number, None)

    # --- cold events ---

    def _log(self, event: Event, model: str | None, category: str | None) -> None:
        table = cold.LOGS[event.type].name
        self._changes.inserted.setdefault(table, []).append(cold.log_row(event, model, category))

    def _thing(self, event: Event, model: str | None, category: str | None) -> None:
        if not cold.is_thing(event):
            return
        key = cold.identity(event, model, category)
        place = (event.type, tuple(key.values()))
        old = self._things.get(place) or self._source.thing(event.type, key)
        self._things[place] = cold.merged(old, event, key, model, category)


_MEASURES = ("disagreement", "uncertainty", "position_scale", "cost_usd")
_SHAPE = ("spread", "entropy", "divergence", "pairwise", "low", "high")
_EXPECTED = ("propensity", "quality", "spread", "cost_usd", "latency_ms", "reserved_usd")
_TIMED = ("cost_usd", "latency_ms", "first_token_ms", "retry_after_ms")
_COUNTED = ("cost_nanos", "tokens_in", "tokens_out", "tokens_cached", "tokens_written", "calls")
_HANDLERS = {
    "model": Projection._model,
    "model_removed": Projection._model_removed,
    "health": Projection._health_event,
    "task": Projection._task,
    "forecast": Projection._forecast,
    "decision": Projection._decision,
    "outcome": Projection._outcome,
    "closed": Projection._closed,
    "route": Projection._route,
    "called": Projection._called,
    "run": Projection._run,
    **dict.fromkeys(cold.LOGS, Projection._log),
    **dict.fromkeys(cold.THINGS, Projection._thing),
}


def _call_row(event: Event, model: str | None, category: str | None) -> Row:
    return {
        "seq": event.seq,
        "timestamp": event.time,
        "task": values.integer(event.data.get("task")),
        "attempt": values.integer(event.data.get("attempt")),
        "model_name": model,
        "category": category or "",
    }


def _by_label(labels: list[str], answer: Any) -> dict[str, float] | None:
    if not isinstance(answer, (list, tuple)):
        return None
    names = labels if len(labels) == len(answer) else [str(k) for k in range(len(answer))]
    return dict(zip(names, values.plain(list(answer)), strict=True))
