"""The façade: a fleet of models, their answers, one decision, and what came of it."""

from __future__ import annotations

import json
import time as _time
from collections.abc import Callable
from dataclasses import asdict, fields
from datetime import datetime, timedelta

from fairlead._core import Fleet as _CoreFleet
from fairlead._core import raise_status
from fairlead.errors import (
    InvalidRecordError,
    NoForecastError,
    TaskEndedError,
    UnknownModelError,
    UnknownTaskError,
    did_you_mean,
)
from fairlead.measure.scoreboard import Leaderboard, Window, leaderboard
from fairlead.policy import DEFAULT_STRATEGY, as_decision, strategy_index
from fairlead.settings import Settings
from fairlead.times import as_span, as_time
from fairlead.types import KINDS, Decision, Forecast, Kind, Model, Outcome, Task

class Fleet:
    """Models that answer the same tasks, and what is known of them. In memory.

    settings: the numbers it is built with. clock: what stamps events that come without a time; it returns integer
    nanoseconds since the epoch. Every other state follows from the events alone. Use one thread at a time.

    >>> fleet = Fleet()
    >>> fleet.add(Model("gpt-4o", provider="openai", tier="reasoning"))
    >>> fleet.add(Model("local-logit"))
    >>> task = Task("q-17", kind="binary", category="politics", stake_usd=40.0)
    >>> fleet.record(task, Forecast("gpt-4o", p=0.72, confidence=0.8, latency_ms=900, cost_usd=0.004))
    >>> fleet.record(task, Forecast("local-logit", p=0.55))
    >>> round(fleet.decide(task).answer, 3)
    0.635
    >>> fleet.settle("q-17", outcome=1)
    True
    >>> [(row.model, round(row.elo)) for row in fleet.leaderboard()]
    [('gpt-4o', 1516), ('local-logit', 1484)]
    """

    def __init__(self, *, settings: Settings | None = None, clock: Callable[[], int] = _time.time_ns) -> None:
        self._build(_core_fleet(settings or Settings()), clock)

    def _build(self, core: _CoreFleet, clock: Callable[[], int]) -> None:
        self._core = core
        self._board = core.board
        self._clock = clock
        self._stamp: Callable[[], int] | None = None  # what times the events of a journal that come without a time

    # --- the models ---

    @property
    def settings(self) -> Settings:
        """The numbers the fleet is built with."""
        return Settings(**self._core.settings)

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that are in the fleet now, in the order in which they came."""
        return tuple(Model.from_json(record) for record in self._core.models())

    def add(self, model: Model | str) -> None:
        """Adds a model, at any time. One that comes back after `remove` keeps its record.

        Raises InvalidRecordError where another model has this name already.
        """
        model = Model(model) if isinstance(model, str) else model
        if not isinstance(model, Model):
            raise InvalidRecordError(f"model is {model!r}, must be a Model or a name")
        present = next((known for known in self.models if known.name == model.name), None)
        if present is not None:
            if present != model:
                raise InvalidRecordError(f"name is {model.name!r}, which the fleet has already as {present}")
            return
        record = _utf8(json.dumps(model.to_dict(), allow_nan=False, ensure_ascii=False), "model")
        self._check(self._core.add(model.name, record, self._now()), f"model {model.name!r}")

    def remove(self, model: str) -> None:
        """Lets a model leave.

        Its record stays on the leaderboard and its open answers are still scored, but they no longer count in
        decisions, and new ones are refused. Raises UnknownModelError where the fleet does not have it.
        """
        self._model_id(model)
        self._check(self._core.remove(model, self._now()), f"model {model!r}")

    # --- the life of a task ---

    def record(self, task: Task | str, forecast: Forecast) -> None:
        """A model's answer to a task, which is opened by its first forecast. Afterwards its id will do.

        A second answer of the same model replaces the first; what they cost adds up. A forecast with an error counts
        as a failed call.

        Raises UnknownModelError, UnknownTaskError (an id that no task came with), TaskEndedError (settled or voided)
        and InvalidRecordError (the answer does not fit the kind or the labels of the task, or the task differs from
        the one of that id); nothing has changed then. On a journal it raises JournalError too: where the journal takes
        the task but not the answer, as it is full, the task is open without one.
        """
        try:
            status = self._core.record(task, forecast, self._stamp)
        except UnicodeEncodeError as error:
            raise InvalidRecordError(f"{error.object!r} is no text: {error.reason}") from error
        if status:
            self._explain_record(task, forecast, status)

    def decide(self, task: Task | str, *, strategy: str = DEFAULT_STRATEGY) -> Decision:
        """One decision from the answers so far; it changes nothing, so ask as often as you like.

        On a journal it is logged. One that the journal does not take is given all the same, since deciding must not
        fail because of the log; `unlogged` counts them.

        Raises UnknownTaskError, TaskEndedError, NoForecastError where no active model has answered, and
        InvalidRecordError for an unknown strategy.
        """
        number = strategy_index(strategy)  # so that a misspelt strategy is told first
        task_id = _task_id(task)
        found = self._core.decide(task_id, number, self._clock)
        if isinstance(found, int):
            self._find(task_id)
            raise NoForecastError(f"task {task_id!r}: no active model has answered")
        return as_decision(task_id, strategy, found)

    def settle(
        self,
        task: Task | str | Outcome,
        outcome: float | str | None = None,
        *,
        time: int | str | datetime = 0,
        profit_usd: float | None = None,
    ) -> bool:
        """What happened: every model that answered is scored. Pass the task or its id and the outcome, or an `Outcome`.

        outcome: 0 or 1, a label or its index, or a number. time: when it became known; 0 = the clock's time.
        Give outcomes that became known together the same time: they are then one piece of news, not many. Returns
        whether this was news: the same outcome again returns False.

        Raises UnknownTaskError, TaskEndedError where the task ended with another outcome, and InvalidRecordError
        where the outcome does not fit the task; nothing has changed then.
        """
        if isinstance(task, Outcome):
            known = task
        else:
            if outcome is None:
                raise InvalidRecordError("outcome is None; use void(task) where it will never be known")
            known = Outcome(_task_id(task), outcome, time=time, profit_usd=profit_usd)
        clock = self._clock if known.value is not None else self._stamp
        status = self._core.settle(known.task, known.value, known.time, known.profit_usd, clock)
        if status > 0:
            self._explain_settle(known, status)
        return status == 0

    def void(self, task: Task | str) -> bool:
        """Ends a task whose outcome will never be known; nobody is scored. Returns False where it was void already.

        Raises UnknownTaskError, and TaskEndedError where it was settled.
        """
        return self.settle(Outcome(_task_id(task), None))

    # --- reading ---

    @property
    def open_tasks(self) -> tuple[Task, ...]:
        """Tasks that have a forecast and no outcome yet, oldest first."""
        return tuple(Task(*fields) for fields in self._core.open_tasks())

    def leaderboard(self, **slice: str) -> Leaderboard:
        """Models by rating, overall or in one slice: `fleet.leaderboard(category="politics")`.

        Raises InvalidRecordError for more than one dimension, or a slice that no task was in.
        """
        return leaderboard(self._board, *self._slice(slice))

    def recent(
        self,
        model: str,
        span: str | timedelta,
        *,
        kind: Kind | None = None,
        now: int | str | datetime | None = None,
        **slice: str,
    ) -> Window:
        """A model's losses over a window of time: `fleet.recent("gpt-4o", "24h", category="politics")`.

        The loss is the Brier score, or the squared error of a number; the window holds the outcomes with time in
        (now - span, now], at most the newest `settings.history` of them. kind: of the tasks; it may be left out where
        the model was scored on one kind only, as losses of different kinds cannot be averaged. now: the fleet's clock
        if not given.

        Raises UnknownModelError, and InvalidRecordError for a span, kind or slice that makes no sense.
        """
        found = self._board.find_model(model)
        if found < 0:
            raise UnknownModelError(
                f"model is {model!r}, which was never in the fleet{did_you_mean(model, self._names())}"
            )
        if not isinstance(span, (str, timedelta)):
            raise InvalidRecordError(f"span is {span!r}, must have a unit, such as '24h'")
        length = as_span(span)
        place = self._slice(slice)[0]
        scored = [KINDS[number] for number in self._board.kinds(found, place)]
        if kind is None and len(scored) > 1:
            raise InvalidRecordError(f"kind is None, but {model!r} was scored on {' and '.join(scored)} tasks: give it")
        kind = kind or (scored[0] if scored else "binary")
        if kind not in KINDS:
            raise InvalidRecordError(f"kind is {kind!r}, must be one of {', '.join(KINDS)}")
        moment = self._clock() if now is None else as_time(now, "now")
        return Window(**self._board.recent(found, place, KINDS.index(kind), length, moment))

    def __repr__(self) -> str:
        return f"<Fleet of {self._core.n_models} models, {self._core.n_open} open tasks>"

    # --- inside ---

    def _slice(self, slice: dict[str, str]) -> tuple[int, str]:
        """The id and name of a slice given as a keyword argument; overall if there is none."""
        if not slice:
            return 0, "overall"
        if len(slice) > 1:
            raise InvalidRecordError(f"slice is {slice!r}, must be one dimension and its value")
        ((dimension, value),) = slice.items()
        found = self._board.find_slice(dimension, value)
        if found < 0:
            known = ", ".join(f"{d}={v}" for d, v in self._board.slices()) or "none"
            raise InvalidRecordError(f"slice is {dimension}={value}, which no task was in; there are: {known}")
        return found, f"{dimension}={value}"

    def _names(self) -> list[str]:
        return [model.name for model in self.models]

    def _now(self) -> int:
        """The time of an event that has none of its own; in memory nobody asks."""
        return self._stamp() if self._stamp is not None else 0

    def _model_id(self, name: str) -> int:
        if not self._core.has_model(name):
            left = self._board.find_model(name) >= 0
            reason = (
                "which has left the fleet; add it again"
                if left
                else f"which is not in the fleet{did_you_mean(name, self._names())}"
            )
            raise UnknownModelError(f"model is {name!r}, {reason}")
        return self._board.find_model(name)

    # What the core refused, in words. Nothing has changed.

    def _explain_record(self, task: Task | str, forecast: Forecast, status: int) -> None:
        if not isinstance(forecast, Forecast):
            raise InvalidRecordError(f"forecast is {forecast!r}, must be a Forecast")
        task_id = _task_id(task)
        self._refuse_ended(task_id)
        found = self._core.task(task_id)
        known = Task(*found[0]) if found is not None else None
        if known is not None and isinstance(task, Task):
            _same(known, task)
        whole = known if known is not None else task
        if isinstance(whole, str):
            hint = did_you_mean(task_id, self._core.open_ids())
            raise UnknownTaskError(f"task is {task_id!r}, which is not open{hint}; record it with a Task first")
        self._model_id(forecast.model)
        _answer(whole, forecast)
        if known is not None and isinstance(task, Task):  # the same in other words: slices in another order, say
            status = self._core.record(task_id, forecast, self._stamp)
        self._check(status, f"task {task_id!r}")

    def _explain_settle(self, known: Outcome, status: int) -> None:
        found = self._core.task(known.task)
        if found is not None and found[1]:
            task = Task(*found[0])
            _number(task, known.value)
            raise TaskEndedError(
                f"outcome is {known.value!r}, but task {known.task!r} ended with {_outcome(task, found[2])!r}"
            )
        _number(self._find(known.task), known.value)
        self._check(status, f"task {known.task!r}")

    def _check(self, status: int, what: str) -> None:
        if status:
            raise_status(status, what)

    def _find(self, task_id: str) -> Task:
        found = self._core.task(task_id)
        if found is None:
            hint = did_you_mean(task_id, self._core.open_ids())
            raise UnknownTaskError(f"task is {task_id!r}, which no model has answered{hint}")
        self._refuse_ended(task_id)
        return Task(*found[0])

    def _refuse_ended(self, task_id: str) -> None:
        found = self._core.task(task_id)
        if found is not None and found[1]:
            raise TaskEndedError(f"task {task_id!r} has ended with {_outcome(Task(*found[0]), found[2])!r}")


def _core_fleet(settings: Settings) -> _CoreFleet:
    return _CoreFleet(**asdict(settings))


def _utf8(text: str, where: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRecordError(f"{where} is {text!r}, which is no text: {error.reason}") from error
    return text


def _outcome(task: Task, number: float | None) -> float | str | None:
    """The outcome that the core holds, as a user would give it."""
    if number is None:
        return None
    if task.kind == "categorical":
        return task.labels[int(number)]
    return int(number) if number.is_integer() else number


def _task_id(task: Task | str) -> str:
    if isinstance(task, Task):
        return task.id
    if isinstance(task, str):
        return task
    raise InvalidRecordError(f"task is {task!r}, must be a Task or the id of one")


def _same(known: Task, task: Task) -> None:
    """Refuses a task that differs from the open one of its id. The time may differ: it is when the task was shown."""
    for f in fields(Task):
        if f.name != "time" and getattr(known, f.name) != getattr(task, f.name):
            raise InvalidRecordError(
                f"{f.name} is {getattr(task, f.name)!r}, but task {task.id!r} is open with {getattr(known, f.name)!r}"
            )


def _answer(task: Task, forecast: Forecast) -> float | tuple[float, ...] | None:
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


def _number(task: Task, outcome: float | str | None) -> float | None:
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
