"""`RetrainingPipeline`: notices drift, retrains, proves the challenger, promotes it, watches it, and goes back.

What is where: `state` is the table of what can happen, `standing` is where it is now, `engine` goes through it,
`opening` goes on after a crash, `managed` answers, `memory` folds what came of the answers, `runs` does what a run
needs of jobs and registry, `proof` holds two versions against each other, `ledger` writes each step down, `refold`
reads them and what was seen between them.
"""

from __future__ import annotations

import time as _time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.pipeline import engine
from fairlead.lifecycle.pipeline.answers import Prediction
from fairlead.lifecycle.pipeline.ledger import PathLike, Step
from fairlead.lifecycle.pipeline.making import ledger_of, made_of
from fairlead.lifecycle.pipeline.managed import Managed
from fairlead.lifecycle.pipeline.memory import Memory
from fairlead.lifecycle.pipeline.opening import Opened, When
from fairlead.lifecycle.pipeline.policy import Mode, Policy, _count
from fairlead.lifecycle.pipeline.proof import PASSED, Proving
from fairlead.lifecycle.pipeline.refold import label_of
from fairlead.lifecycle.pipeline.runs import Runs
from fairlead.lifecycle.pipeline.standing import TRIAL, told
from fairlead.lifecycle.pipeline.state import Event, IllegalStepError, Position, State
from fairlead.lifecycle.pipeline.status import PipelineStatus
from fairlead.lifecycle.proving import WatchPlan
from fairlead.lifecycle.registry import Registry
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.signals import DriftStatus
from fairlead.lifecycle.trainer import Trainer

if TYPE_CHECKING:
    from fairlead.lifecycle.jobs import InlineJobs, TrainingJobs
    from fairlead.lifecycle.pipeline.ledger import Log
    from fairlead.lifecycle.proving import Guardrails, Plan
    from fairlead.lifecycle.signals import DriftMonitor, RetrainTrigger

WATCH = WatchPlan()
"""How a new champion is watched where nothing else is said."""


class RetrainingPipeline(Opened):
    """A managed model: it answers, and is retrained when it should be, proved, promoted, watched, and taken back.

    name: of the model in the registry. trainer: what learns; where the registry has no champion, one that was fitted
    becomes version 1. registry: an `fl.Registry`, or its folder. jobs: `TrainingJobs`, which train in processes of
    their own, or `InlineJobs`, which train within the call to `step`; these if none are given. monitor: a
    `DriftMonitor`, trigger: a `RetrainTrigger`. plan, guardrails: of trials; watch: of the time after a promotion,
    None: there is none. policy: the other numbers. schema: of a model that was never fitted. log: where events go; on
    an `fl.Journal` a pipeline that is made again is as it was, whatever the last process died of. log_labels: False
    where the log has the labels already, as a fleet's has outcomes. folder: where the state stands that no journal has.
    clock: nanoseconds, of what comes without a time.

    It moves by `step`, again and again: by hand, by `fleet.watch()`, or in a replay. Any thread may `predict` and
    `learn` meanwhile; they never wait for a step. Whatever goes wrong, the champion answers.

    Raises InvalidRecordError for what cannot be, SchemaError where trainer and champion are not of one schema.

    >>> import tempfile
    >>> import numpy as np
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairlead.lifecycle import Examples, Policy, RetrainTrigger, OnLabels, Schema
    >>> from fairlead.lifecycle.trainers import SklearnTrainer
    >>> rng = np.random.default_rng(1)
    >>> schema, x = Schema("binary", ["load", "price"]), rng.normal(size=(2000, 2))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> y[800:] = 1 - y[800:]  # the rule turns round
    >>> trainer = SklearnTrainer(LogisticRegression())
    >>> trainer.fit(Examples(schema, x[:300], y[:300]))
    >>> folder = tempfile.TemporaryDirectory()
    >>> pipeline = RetrainingPipeline("demand", trainer, folder.name)
    >>> for n in range(300, 2000):
    ...     now = n * 60 * 10**9
    ...     prediction = pipeline.predict(x[n], f"task {n}", now)
    ...     pipeline.learn(f"task {n}", y[n], now)
    ...     for step in pipeline.step(now):
    ...         print(n, step.event.value, "->", step.position.state.value)
    1049 retrain -> training
    1049 trained -> validating
    1049 advanced -> shadow
    1059 advanced -> canary
    1085 promoted -> watching
    1285 kept -> serving
    >>> pipeline.version, pipeline.state.value
    (2, 'serving')
    >>> pipeline.close()
    >>> folder.cleanup()
    """

    def __init__(
        self,
        name: str,
        trainer: Trainer,
        registry: Registry | PathLike,
        *,
        jobs: TrainingJobs | InlineJobs | None = None,
        monitor: DriftMonitor | None = None,
        trigger: RetrainTrigger | None = None,
        plan: Plan | None = None,
        watch: WatchPlan | None = WATCH,
        guardrails: Guardrails | None = None,
        policy: Policy | None = None,
        schema: Schema | None = None,
        log: Log | None = None,
        folder: PathLike | None = None,
        clock: Callable[[], int] = _time.time_ns,
    ) -> None:
        parts = made_of(name, trainer, registry, jobs, monitor, trigger, policy, schema, clock)
        self.name, self.registry, self.policy, self.schema = name, parts.registry, parts.policy, parts.schema
        self.monitor, self.trigger, self.jobs = parts.monitor, parts.trigger, parts.jobs
        self._clock = clock
        self._log = log
        self._proving = Proving(self.schema, plan, watch, guardrails, self.policy.patience_s)
        self._ledger = ledger_of(name, log, folder, self.registry)
        where = None if (found := getattr(log, "folder", None)) is None else str(found)
        self._runs = Runs(name, trainer, self.schema, self.registry, self.jobs, self.policy, where)
        self._memory = Memory(self.schema, self.monitor, capacity=self.policy.capacity, pending=self.policy.pending)
        self._managed = Managed(name, self.schema, self._memory.queue, log=log, clock=clock)
        self._listeners: tuple[Callable[[Step], object], ...] = ()
        self._start()
        with self._lock:
            self._go_on(trainer)

    # --- answering ---

    def predict(self, x: Any, task: str, time: int = 0, slices: Mapping[str, str] | None = None) -> Prediction:
        """What the champion says to an input, or for its share of the tasks in a canary the challenger.

        x: a row of numbers (or a mapping by name), or a text. task: what its label will be told by. time: nanoseconds,
        0: the clock's. slices: what its worst slice is looked for in, such as {"category": "rates"}.

        It costs some microseconds more than the model itself. A challenger that fails or takes too long is not waited
        for: the champion answers. Raises InvalidRecordError for an input that is not of the schema, or a time or
        slices that are none, NoChampionError before the first version, and what the champion raises.
        """
        try:
            return self._managed.predict(x, task, time, slices)
        finally:
            if len(self._memory.queue) > engine.QUEUED:
                self._relieve()

    def learn(self, task: str, y: Any, time: int = 0) -> None:
        """What a task came to: a label, by number or name, or a number; None: nobody will ever know.

        Raises InvalidRecordError for what is no label, JournalError where the log does not take it: nothing was
        learnt then.
        """
        self._managed.learn(task, y, time)
        if len(self._memory.queue) > engine.QUEUED:
            self._relieve()

    def settled(self, task: str, kind: str, labels: Sequence[str], outcome: Any, time: int, seq: int) -> None:
        """A label that the log has already, as event `seq`: the outcome of a fleet's task, None where it is void. One
        that is none of the schema's counts as void."""
        try:
            label = None if outcome is None else label_of(self.schema, kind, labels, outcome)
        except InvalidRecordError:
            label = None
        self._managed.settled(task, label, time or self._clock(), seq)
        if len(self._memory.queue) > engine.QUEUED:
            self._relieve()

    def waiting(self) -> tuple[str, ...]:
        """Tasks of inputs that have no label yet."""
        with self._lock:
            self._fold()
            return self._memory.waiting_tasks()

    def waiting_rows(self) -> dict[str, Any]:
        """The inputs that have no label yet, by task: an array of (1, features) each, or a list of one text."""
        with self._lock:
            self._fold()
            return self._memory.waiting_rows()

    # --- moving ---

    def step(self, now: When | None = None) -> tuple[Step, ...]:
        """Does all that can be done now, without waiting for anything, and gives the steps that were taken.

        now: the clock's time if not given. Raises what the registry or the log refuses (a disk that is full); the
        champion goes on answering, and the next step begins where this one ended.
        """
        with self._lock:
            try:
                self._round(self._moment(now))
                self._problem = ""
            except BaseException as error:
                self._problem = told(error)
                raise
            finally:
                news = self._told()
            return news

    def check_drift(self) -> DriftStatus:
        """What the monitor sees in all that came so far; it decides nothing."""
        with self._lock:
            self._fold()
            status: DriftStatus = self.monitor.check()
            self._level = str(status.level)
            return status

    def retrain(
        self, *, by: str = "a person", reason: str = "by hand", window: int | None = None, mode: Mode | None = None
    ) -> Step:
        """Begins a run now, whatever the trigger says. window: so many of the newest examples, held-back ones among
        them; None: the policy's.

        Raises IllegalStepError where a run, a trial or a watch is under way, TooFewExamplesError, and
        InvalidRecordError for a window or a mode that cannot be.
        """
        if window is not None:
            _count(window, "window", 2)
        if mode not in (None, "full", "incremental"):
            raise InvalidRecordError(f"mode is {mode!r}, must be 'full', 'incremental' or None")
        with self._lock:
            now = self._moment(None)
            self._fold()
            self._reconcile(now)
            if self._position.state is not State.SERVING:
                raise IllegalStepError(f"{self.name!r} is {self._position.state.value}: veto that first")
            self._begin(now, f"{by}: {reason}", by, window=window, mode=mode)
            return self._done()

    def validate(self, timeout: float | None = None) -> PipelineStatus:
        """Waits for the run, if one is under way, and holds the challenger against the champion on all that is at
        hand; moves nothing but the trial. timeout: seconds.

        Raises IllegalStepError where there is no run and no trial, TimeoutError.
        """
        state = self._position.state
        if state is State.TRAINING and (job := self._runs.find(self._position.run)) is not None:
            job.wait(timeout)
        with self._lock:
            now = self._moment(None)
            self._fold()
            self._reconcile(now)
            if self._position.state is State.TRAINING:
                self._look_at_job(now)
            elif self._position.state not in TRIAL:
                raise IllegalStepError(f"{self.name!r} is {self._position.state.value}: there is nothing to validate")
            while self._position.state in TRIAL and self._prove(now, promote=False):
                pass
            self._told()
            return self.status()

    def deploy(self, *, by: str = "a person", reason: str = "") -> Step:
        """Promotes a challenger that has passed its trial. Raises IllegalStepError for one that has not, or where there
        is none: `force` promotes it all the same."""
        with self._lock:
            now = self._moment(None)
            self._fold()
            self._reconcile(now)
            proof = self._ready() if self._position.state in TRIAL else None
            if proof is None:
                raise IllegalStepError(f"{self.name!r} is {self._position.state.value}: there is no challenger")
            if self._feed(proof) != PASSED:
                raise IllegalStepError(
                    f"the challenger has not passed: {proof.reason}; `force` promotes it all the same"
                )
            self._promote(now, f"{proof.reason}; {by}{f': {reason}' if reason else ''}", by)
            return self._done()

    def force(self, *, by: str, reason: str) -> Step:
        """Promotes the challenger, whatever was found. Raises IllegalStepError where there is none, LifecycleError
        where it cannot be loaded."""
        with self._lock:
            now = self._moment(None)
            self._fold()
            self._reconcile(now)
            if self._position.state not in TRIAL or self._position.challenger is None:
                raise IllegalStepError(f"{self.name!r} is {self._position.state.value}: there is no challenger")
            self._runs.load(self._position.challenger)  # before it is champion
            self._promote(now, f"forced by {by}: {reason}", by)
            return self._done()

    def veto(self, *, by: str, reason: str) -> Step:
        """Ends the run or the trial that is under way, and, in the watch, takes the new champion back. Raises
        IllegalStepError where there is nothing to refuse."""
        with self._lock:
            now = self._moment(None)
            self._fold()
            self._reconcile(now)
            position = self._position
            why = f"vetoed by {by}: {reason}"
            if position.state is State.WATCHING:
                assert position.previous is not None
                self._go_back(position.previous, now, why, by, Failure.vetoed)
            elif position.state is State.SERVING:
                raise IllegalStepError(f"{self.name!r} is serving: there is nothing to refuse")
            else:
                if position.state is State.TRAINING and (job := self._runs.find(position.run)) is not None:
                    job.stop()
                self._end(Event.VETOED, why, by, now, Failure.vetoed)
            return self._done()

    def rollback(self, *, by: str = "a person", reason: str = "by hand") -> Step:
        """Makes the champion before the champion again, in any state. A trial against the present one ends.

        Raises UnknownVersionError where there is none before.
        """
        with self._lock:
            now = self._moment(None)
            self._fold()
            self._reconcile(now)
            alias = self._champion()
            if alias is None:
                raise IllegalStepError(f"{self.name!r} has no champion")
            back = self.registry.rollback(self.name, expect=alias.generation, by=by, reason=reason)
            self._end(Event.ROLLED_BACK, f"{by}: {reason}", by, now, version=back.version)
            return self._done()

    # --- looking ---

    @property
    def position(self) -> Position:
        """Where it is, as data."""
        return self._position

    @property
    def state(self) -> State:
        """What it is doing beside answering."""
        return self._position.state

    @property
    def version(self) -> int | None:
        """Of the champion that answers; None before the first."""
        return self._managed.arms.version

    @property
    def steps(self) -> tuple[Step, ...]:
        """The newest steps, oldest first."""
        return tuple(self._steps)

    def examples(self) -> Examples:
        """The examples at hand, oldest first."""
        with self._lock:
            self._fold()
            return self._memory.buffer.examples()

    def status(self) -> PipelineStatus:
        """How it is, at a glance."""
        with self._lock:
            position, memory = self._position, self._memory
            return PipelineStatus(
                name=self.name,
                state=position.state.value,
                champion=position.champion,
                challenger=position.challenger,
                previous=position.previous,
                run=position.run,
                since=position.since,
                reason=self._reason,
                level=self._level,
                progress=self._progress(),
                examples=len(memory.buffer),
                labels=memory.labels,
                waiting=memory.waiting,
                runs=position.runs,
                unlogged=self._managed.unlogged,
                problem=self._problem,
            )

    def on_step(self, callback: Callable[[Step], object]) -> Callable[[Step], object]:
        """Calls a function with each `Step` from now on, once it is taken; what it raises becomes a RuntimeWarning.
        Returns the function, so it may be used as a decorator."""
        if not callable(callback):
            raise InvalidRecordError(f"callback is {callback!r}, must be a function of one argument")
        self._listeners = (*self._listeners, callback)
        return callback

    def close(self) -> None:
        """Lets go of what is loaded beside the champion. A job that runs goes on; made again, it goes on from here."""
        with self._lock:
            if self._proof is not None:
                self._proof.close()
                self._proof = None

    def __repr__(self) -> str:
        position = self._position
        return f"<RetrainingPipeline {self.name!r}: {position.state.value}, champion {position.champion}>"

    # --- inside ---

    def _progress(self) -> str:
        position = self._position
        if position.state is State.TRAINING:
            job = self._runs.find(position.run)
            return "" if job is None else str(job.status())
        return self._waits if self._proof is None else str(self._proof)
