"""The façade: a fleet of models, their answers, one decision, and what came of it."""

from __future__ import annotations

import json
import os
import time as _time
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fairlead._core import Fleet as _CoreFleet
from fairlead._core import raise_status
from fairlead.errors import (
    InvalidRecordError,
    JournalError,
    JournalWarning,
    NoForecastError,
    TaskEndedError,
    UnknownModelError,
    UnknownTaskError,
    did_you_mean,
)
from fairlead.fleet import checks
from fairlead.fleet.asked import AskedFleet
from fairlead.fleet.audited import AuditedFleet
from fairlead.fleet.managing import ManagedFleet
from fairlead.fleet.monitoring import MonitoredFleet
from fairlead.fleet.performing import PerformedFleet
from fairlead.measure.scoreboard import Leaderboard, Window, leaderboard
from fairlead.policy import DEFAULT_STRATEGY, STRATEGIES, as_decision, strategy_index
from fairlead.policy.strategy import Strategy, checked_weights
from fairlead.settings import Settings
from fairlead.times import as_span, as_time
from fairlead.types import KINDS, Decision, Forecast, Kind, Model, Outcome, Task

if TYPE_CHECKING:
    from fairlead.fleet.snapshots import Snapshots
    from fairlead.journal import Journal
    from fairlead.reflection import Reflection
    from fairlead.store import Store, StoreWriter

_PLAIN = (int, float, bool, str)
_FEW = 10_000
"""Events that may be folded when a desk is opened; for more, closing it writes a snapshot."""
_PATIENCE = 10.0
"""Seconds that closing waits for the store. What it lacks then it gets when the desk is opened again."""


class Fleet(PerformedFleet, MonitoredFleet, AskedFleet, AuditedFleet, ManagedFleet):
    """Models that answer the same tasks, and what is known of them. In memory; on a journal with `Fleet.open(folder)`.

    settings: the numbers it is built with. clock: what stamps decisions, and events that come without a time; it gives
    integer nanoseconds since the epoch. That a forecast comes before the outcome is checked by the order of the calls,
    not by their times. Every other state follows from the events alone. Each call is
    done as a whole, so that threads and tasks of an event loop may share one.

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
        _check_clock(clock)
        self._build(_core_fleet(settings), clock)

    def _build(self, core: _CoreFleet, clock: Callable[[], int]) -> None:
        self._core = core
        self._board = core.board
        self._clock = clock
        self._stamp: Callable[[], int] | None = None  # what times the events of a journal that come without a time
        self._journal: Journal | None = None
        self._snapshots: Snapshots | None = None
        self._store: StoreWriter | None = None
        self._start_routing()
        self._start_asking()
        self._start_managing()

    @classmethod
    def open(
        cls,
        folder: str | os.PathLike[str],
        *,
        settings: Settings | None = None,
        clock: Callable[[], int] = _time.time_ns,
        snapshot_every: int = 1_000_000,
        store: str | os.PathLike[str] | None = None,
        **journal: Any,
    ) -> Fleet:
        """A fleet on the journal in a folder, which is made where there is none: it goes on where it was left.

        Its state is the newest snapshot and the events that came after; it is the same, bit for bit, whether the last
        process closed it or was killed. Every call that changes it is an event of the journal first: when the call
        returns, the event survives the death of the process, and after `sync` a power cut too.

        settings: of a new desk; an old one has its own. clock: as in `Fleet`; it times all decisions, and all events
        that come without a time: give it where times are simulated. snapshot_every: events between two snapshots, which
        a thread of its own writes to `snapshots/`. store: where SQL tables of the journal are kept up to date, by a
        thread of its own, as in `fl.Store`: a URL, a file, or the folder itself for its `store.sqlite`. journal: what
        `fl.Journal` takes besides the folder, such as `sync`, `overflow` and `ring_bytes`.

        Raises InvalidRecordError and StoreError for an argument that cannot be, before anything is made,
        JournalLockedError where another process has the folder, JournalDamagedError, JournalError, and
        InvalidRecordError for settings that differ from the journal's. Warns with JournalWarning of what it could help:
        a torn end, a snapshot that is of no use, events that do not fit.

        >>> import tempfile
        >>> desk = tempfile.TemporaryDirectory()
        >>> with Fleet.open(desk.name) as fleet:
        ...     fleet.add("gpt-4o")
        ...     fleet.record(Task("q-17"), Forecast("gpt-4o", p=0.72))
        >>> with Fleet.open(desk.name) as fleet:
        ...     fleet.decide("q-17").answer
        0.72
        >>> desk.cleanup()
        """
        from fairlead._core import attach_journal, fold_desk  # not everywhere: the journal is POSIX
        from fairlead.fleet.journal import FleetJournal
        from fairlead.fleet.snapshots import Snapshots

        checks.count(snapshot_every, "snapshot_every")
        _check_clock(clock)
        wanted = _core_fleet(settings)
        tables = None if store is None else _tables(store, folder)
        log = FleetJournal(folder, **journal)
        try:
            fleet = cls.__new__(cls)
            core, found = fold_desk(os.fspath(folder))
            for warning in found["warnings"]:
                warnings.warn(warning, JournalWarning, stacklevel=2)
            fleet._build(core, clock)
            attach_journal(core, log)
            fleet._stamp = clock
            fleet._journal = log
            fleet._settle_settings(settings, wanted)
            fleet._check(core.lose_calls(checks.moment(clock)), "calls that never ended")
        except BaseException:
            log.close()
            raise
        here = weakref.ref(fleet)
        fleet._snapshots = Snapshots(os.fspath(folder), lambda: _written(here), snapshot_every, found["snapshot"])
        weakref.finalize(fleet, fleet._snapshots.stop)  # at exit too, before the interpreter goes
        if tables is not None:
            try:
                fleet._follow(folder, tables())
            except BaseException:
                fleet.close()
                raise
        return fleet

    def _follow(self, folder: str | os.PathLike[str], store: Store) -> None:
        """Starts the thread that keeps a store up to date."""
        from fairlead.store.desk import follower

        self._store = follower(store, folder)
        self._store.start()
        weakref.finalize(self, self._store.stop)

    def close(self) -> None:
        """Ends the journal: all events are written and synced, and the folder is free for another process.

        What the fleet knows can still be read; what would change it raises JournalError. In memory nothing happens.
        """
        self._end_managing()
        if self._journal is None or self._snapshots is None:
            return
        snapshots, self._snapshots = self._snapshots, None
        snapshots.stop()
        try:
            if snapshots.behind() > _FEW:
                snapshots.take()
        except (JournalError, OSError) as error:
            snapshots.problem = error
        finally:
            try:
                self._journal.close()
            finally:
                if snapshots.problem is not None:
                    warnings.warn(f"no snapshot could be written: {snapshots.problem}", JournalWarning, stacklevel=2)
                self._end_store()

    def _end_store(self) -> None:
        """Lets the store come up to date, if its database is there, and ends its thread."""
        if self._store is None:
            return
        writer, self._store = self._store, None
        if not writer.stop(_PATIENCE):
            warnings.warn(f"the store is behind: {writer.last_error}", JournalWarning, stacklevel=3)
        writer.store.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def journal(self) -> Journal | None:
        """The journal it is on, for events of other kinds and for reading; None in memory. What the fleet logs itself,
        forecasts among it, it takes from the fleet alone."""
        return self._journal

    @property
    def store(self) -> StoreWriter | None:
        """What keeps the SQL tables up to date, where `open` was told to; `fleet.store.flush()` waits for it."""
        return self._store

    @property
    def unlogged(self) -> int:
        """Decisions that the journal did not take, as its ring was full or its disk refused. They were given."""
        return self._core.unlogged

    def sync(self, timeout: float | str | timedelta | None = None) -> None:
        """Waits until all that happened so far survives a power cut; in memory there is nothing to wait for.

        timeout: seconds, a span such as "500ms" or a timedelta; None waits for ever. Raises TimeoutError, and
        JournalError where the disk is lost.
        """
        if self._journal is not None:
            self._journal.wait_durable(timeout=timeout)

    # --- the models ---

    @property
    def settings(self) -> Settings:
        """The numbers the fleet is built with."""
        return Settings(**self._core.settings)

    @property
    def models(self) -> tuple[Model, ...]:
        """The models that are in the fleet now, in the order in which they came."""
        return tuple(Model.from_json(record) for record in self._core.models())

    def add(self, model: Model | str, provider: Any = None, *, breaker: Mapping[str, Any] | None = None) -> None:
        """Adds a model, at any time. One that comes back after `remove` keeps its record.

        provider: who answers for it, as in `connect`. breaker: options of its circuit breaker, as `fl.Breaker` has
        them, where those of all others do not fit; only for a model that is new.

        Raises InvalidRecordError where another model has this name already, or the provider or an option cannot be.
        """
        model = Model(model) if isinstance(model, str) else model
        if not isinstance(model, Model):
            raise InvalidRecordError(f"model is {model!r}, must be a Model or a name")
        known = self._core.model(checks.utf8(model.name, "name"))
        if known is not None:
            present = Model.from_json(known)
            if present != model:
                raise InvalidRecordError(f"name is {model.name!r}, which the fleet has already as {present}")
            if provider is not None:
                self.connect(model.name, provider)
            return
        if provider is not None:
            from fairlead.providers import as_provider

            provider = as_provider(provider)
        if breaker is not None and self._board.find_model(model.name) < 0:
            self._set_breaker(model.name, breaker)
        record = checks.utf8(json.dumps(model.to_dict(), allow_nan=False, ensure_ascii=False), "provider or tags")
        self._check(self._core.add(model.name, record, self._now()), f"model {model.name!r}")
        self._priced.pop(model.name, None)
        if provider is not None:
            self.connect(model.name, provider)
        self._look_around()

    def remove(self, model: str) -> None:
        """Lets a model leave.

        Its record stays on the leaderboard and its open answers are still scored, but they no longer count in
        decisions, and new ones are refused. Raises UnknownModelError where the fleet does not have it.
        """
        self._model_id(model)
        self._check(self._core.remove(model, self._now()), f"model {model!r}")
        self._look_around()

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
            status = self._core.record(task, forecast, self._clock)
        except UnicodeEncodeError as error:
            raise InvalidRecordError(f"{error.object!r} is no text: {error.reason}") from error
        if status:
            self._explain_record(task, forecast, status)
        if self._core.any_alert:
            self.budgets.tell()

    def decide(self, task: Task | str, *, strategy: str | Strategy = DEFAULT_STRATEGY) -> Decision:
        """One decision from the answers so far; it changes nothing, so ask as often as you like.

        strategy: a name, or a Strategy of your own. On a journal the decision is logged. One that the journal does not
        take is given all the same, since deciding must not fail because of the log; `unlogged` counts them.

        Raises UnknownTaskError, TaskEndedError, NoForecastError where no active model has answered, and
        InvalidRecordError for an unknown strategy, or weights of a Strategy that are none.
        """
        if not isinstance(strategy, str):
            return self._decide_by(task, strategy)
        number = strategy_index(strategy)  # so that a misspelt strategy is told first
        task_id = task.id if isinstance(task, Task) else checks.task_id(task)
        try:
            found = self._core.decide(task_id, number, self._clock)
        except UnicodeEncodeError as error:
            raise checks.no_text("task", error) from error
        if isinstance(found, int):
            self._find(task_id)
            raise NoForecastError(f"task {task_id!r}: no active model has answered")
        return as_decision(task_id, strategy, found)

    def _decide_by(self, task: Task | str, strategy: Strategy) -> Decision:
        """By the weights that a strategy of the caller's gives."""
        if not isinstance(strategy, Strategy):
            raise InvalidRecordError(f"strategy is {strategy!r}, must be a name or a Strategy")
        if len(checks.name(getattr(strategy, "name", None), "strategy.name")) > 200:
            raise InvalidRecordError(f"strategy.name has {len(strategy.name)} characters, at most 200 may be")
        if strategy.name in STRATEGIES:
            raise InvalidRecordError(
                f"strategy.name is {strategy.name!r}, which is the name of one that is there already"
            )
        task_id = checks.task_id(task)
        whole = self._find(task_id)
        answers = self.answers(task_id)
        if not answers:
            raise NoForecastError(f"task {task_id!r}: no active model has answered")
        weights = checked_weights(strategy, strategy.weigh(whole, answers), answers)
        found = self._core.decide_by(task_id, strategy.name, weights, self._clock)
        if isinstance(found, int):
            self._find(task_id)
            self._check(found, f"task {task_id!r}")
            raise NoForecastError(f"task {task_id!r}: no active model has answered")
        return as_decision(task_id, strategy.name, found)

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
            if type(outcome) in _PLAIN and type(time) is int and profit_usd is None:
                try:  # what is in order needs no Outcome; all else is told below
                    status = self._settle_core(checks.task_id(task), outcome, time, None, self._clock)
                    if status <= 0:
                        if self._past is not None and status == 0:
                            self._past.note(checks.task_id(task))
                        return status == 0
                except OverflowError:
                    pass
                except UnicodeEncodeError as error:
                    raise checks.no_text("task", error) from error
            if outcome is None:
                raise InvalidRecordError("outcome is None; use void(task) where it will never be known")
            known = Outcome(checks.task_id(task), outcome, time=time, profit_usd=profit_usd)
        clock = self._clock if known.value is not None else self._stamp
        try:
            status = self._settle_core(known.task, known.value, known.time, known.profit_usd, clock)
        except UnicodeEncodeError as error:
            raise checks.no_text("task", error) from error
        if status > 0:
            self._explain_settle(known, status)
        if self._past is not None and status == 0:
            self._past.note(known.task)
        return status == 0

    def void(self, task: Task | str) -> bool:
        """Ends a task whose outcome will never be known; nobody is scored. Returns False where it was void already.

        Raises UnknownTaskError, and TaskEndedError where it was settled.
        """
        return self.settle(Outcome(checks.task_id(task), None))

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
        found = self._board.find_model(checks.name(model, "model"))
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
        moment = checks.moment(self._clock) if now is None else as_time(now, "now")
        return Window(**self._board.recent(found, place, KINDS.index(kind), length, moment))

    def reflect(self, model: str) -> Reflection:
        """What the record says of a model: how good it was, whether it improves or degrades, where it is best and
        worst, how calibrated, what it costs, and what follows from that. It reads the whole journal, archived and live
        (the archive needs pyarrow): not for the loop. Events that a quota dropped are told in `missing`.

        Raises UnknownModelError, and JournalError for a fleet that is in memory, which keeps no record.
        """
        if self._journal is None:
            raise JournalError("a fleet in memory keeps no record to reflect on; use Fleet.open(folder)")
        if self._board.find_model(checks.name(model, "model")) < 0:
            raise UnknownModelError(
                f"model is {model!r}, which was never in the fleet{did_you_mean(model, self._names())}"
            )
        from fairlead.reflection import reflect_folder

        self.sync()
        return reflect_folder(self._journal.folder, model)

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
        found = self._board.find_slice(checks.name(dimension, "slice"), checks.name(value, dimension))
        if found < 0:
            known = ", ".join(f"{d}={v}" for d, v in self._board.slices()) or "none"
            raise InvalidRecordError(f"slice is {dimension}={value}, which no task was in; there are: {known}")
        return found, f"{dimension}={value}"

    def _names(self) -> list[str]:
        return [model.name for model in self.models]

    def _now(self) -> int:
        """The time of an event that has none of its own; in memory nobody asks."""
        return checks.moment(self._stamp) if self._stamp is not None else 0

    def _model_id(self, name: str) -> int:
        if not self._core.has_model(checks.name(name, "model")):
            left = self._board.find_model(name) >= 0
            reason = (
                "which has left the fleet; add it again"
                if left
                else f"which is not in the fleet{did_you_mean(name, self._names())}"
            )
            raise UnknownModelError(f"model is {name!r}, {reason}")
        return self._board.find_model(name)

    def _settle_settings(self, settings: Settings | None, wanted: _CoreFleet) -> None:
        """Those of a new journal are its first event; an old one has its own."""
        if not self._core.configured and self._core.configure(wanted, checks.moment(self._clock)) == 0:
            return
        for f in fields(Settings):
            given, has = getattr(settings or Settings(), f.name), getattr(self.settings, f.name)
            if given != has and settings is not None:
                raise InvalidRecordError(f"{f.name} is {given!r}, but the journal is of a fleet with {has!r}")
        if not self._core.configured:
            raise JournalError("the settings could not be logged")

    # What the core refused, in words. Nothing has changed.

    def _explain_record(self, task: Task | str, forecast: Forecast, status: int) -> None:
        if not isinstance(forecast, Forecast):
            raise InvalidRecordError(f"forecast is {forecast!r}, must be a Forecast")
        task_id = checks.task_id(task)
        self._refuse_ended(task_id)
        found = self._core.task(task_id)
        known = Task(*found[0]) if found is not None else None
        if known is not None and isinstance(task, Task):
            checks.same(known, task)
        whole = known if known is not None else task
        if isinstance(whole, str):
            hint = did_you_mean(task_id, self._core.open_ids())
            raise UnknownTaskError(f"task is {task_id!r}, which is not open{hint}; record it with a Task first")
        self._model_id(forecast.model)
        checks.answer(whole, forecast)
        if known is not None and isinstance(task, Task):  # the same in other words: slices in another order, say
            status = self._core.record(task_id, forecast, self._clock)
        self._check(status, f"task {task_id!r}")

    def _explain_settle(self, known: Outcome, status: int) -> None:
        found = self._core.task(known.task)
        if found is not None and found[1]:
            task = Task(*found[0])
            checks.number(task, known.value)
            raise TaskEndedError(
                f"outcome is {known.value!r}, but task {known.task!r} ended with {checks.outcome(task, found[2])!r}"
            )
        checks.number(self._find(known.task), known.value)
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
            raise TaskEndedError(f"task {task_id!r} has ended with {checks.outcome(Task(*found[0]), found[2])!r}")


def _core_fleet(settings: Settings | None) -> _CoreFleet:
    if settings is not None and not isinstance(settings, Settings):
        raise InvalidRecordError(f"settings is {settings!r}, must be Settings")
    return _CoreFleet(**asdict(settings or Settings()))


def _check_clock(clock: object) -> None:
    if not callable(clock):
        raise InvalidRecordError(f"clock is {clock!r}, must be a function that gives integer nanoseconds")


def _tables(place: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Callable[[], Store]:
    """What gives the store at a place once the folder of the desk is there. Raises StoreError where it cannot be."""
    from fairlead.store import Store
    from fairlead.store.engine import locate

    url = locate(place)
    desk = Path(folder)
    if url.drivername == "sqlite" and Path(url.database or "").parent.resolve() == desk.resolve() and not desk.is_dir():
        return lambda: Store(place)
    store = Store(place)
    return lambda: store


def _written(fleet: weakref.ref[Fleet]) -> int | None:
    """How far the journal of a fleet has come, None once the fleet is gone."""
    here = fleet()
    return None if here is None or here._journal is None else here._journal.written
