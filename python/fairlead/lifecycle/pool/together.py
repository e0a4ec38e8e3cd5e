"""`Pooled`: a retraining pipeline whose newest versions answer together."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from typing import Any

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import SchemaError
from fairlead.lifecycle.pipeline import (
    Event,
    IllegalStepError,
    NoChampionError,
    PipelineStatus,
    Position,
    Prediction,
    RetrainingPipeline,
    State,
    Step,
)
from fairlead.lifecycle.pipeline.answers import Answer, row_of
from fairlead.lifecycle.pipeline.opening import When
from fairlead.lifecycle.pipeline.policy import Mode
from fairlead.lifecycle.pipeline.refold import label_of
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.pool.growth import OnAnswers, OnGrowth
from fairlead.lifecycle.pool.pool import Pool
from fairlead.lifecycle.pool.reopening import HARMFUL, OWN, Said, brought, lived, said_to
from fairlead.lifecycle.pool.windows import SINCE, Windows
from fairlead.lifecycle.registry import Registry
from fairlead.lifecycle.schema import Schema
from fairlead.lifecycle.signals import DriftStatus, Facts
from fairlead.lifecycle.trainer import Trainer

_PENDING = 100_000
_TRIAL = (State.VALIDATING, State.SHADOW, State.CANARY)


class Pooled:
    """A managed model that answers with its newest versions together, each by its weight.

    pipeline: what retrains, proves and promotes, as ever; its champion is one of the versions, and answers alone where
    the rest fails. trainer: the pipeline's, which loads versions. pool: the weights. windows: what the policy of the
    pipeline asks for the length of a run (`choose`). answers: a rule of its trigger, told the errors of the pool.

    A version comes in when it is trained: its weight is its canary, and falls within some labels if it is bad. The
    versions before stay until better ones displace them, and take over again where they are right again, as after a
    season. A version that was vetoed, broke a guardrail, or fails, goes. `pooled` puts all of this together.

    Made again on its journal, it goes once more through the steps and the labels of the newest 2,000 examples: who came
    and went, and how each version did on what came after its training. While there have been no more examples than
    that, the pool, its weights and its windows are as they were, but for rounding; after that, what lies before them
    is told only by who was there. Not known again is which version failed while it answered (it fails again, or may
    stay), and what a version that came between a question and its label would not have been asked. Without a journal
    the newest versions begin anew with weights by their age.
    """

    def __init__(
        self,
        pipeline: RetrainingPipeline,
        trainer: Trainer,
        pool: Pool | None = None,
        *,
        windows: Windows | None = None,
        answers: OnAnswers | None = None,
    ) -> None:
        if not isinstance(pipeline, RetrainingPipeline):
            raise InvalidRecordError(f"pipeline is {pipeline!r}, must be a RetrainingPipeline")
        self.pipeline = pipeline
        self._trainer = trainer
        self.pool = pool if pool is not None else Pool(pipeline.schema.kind)
        if self.pool.kind != pipeline.schema.kind:
            raise InvalidRecordError(f"the pool is {self.pool.kind}, the pipeline {pipeline.schema.kind}")
        self.windows, self.answers = windows, answers
        self.problem = ""
        """Why a version is not in the pool that could be; empty: none."""
        self._lock = threading.RLock()  # who has the pipeline's may take it, not the other way round
        self._models: dict[int, Rival] = {}
        self._asked: dict[str, dict[int, Answer]] = {}
        self._length = 0  # of the run under way
        self._tried = 0  # the version that it gave
        self._labels = 0  # since it began
        self._newest: dict[int, int] = {}  # length -> its newest version
        self._live_again()
        pipeline.on_step(self._took)

    # --- answering ---

    def predict(self, x: Any, task: str, time: int = 0, slices: Mapping[str, str] | None = None) -> Prediction:
        """What the pool says to an input. `version` is the one that weighs most, `arm` is "pool".

        The champion is asked as ever, and what it says is in the journal. Where it fails, the others answer; one of
        them that fails, or takes longer than the policy's patience, goes. Raises as `RetrainingPipeline.predict` does.
        """
        start = perf_counter()
        row = row_of(self.schema, x)
        own: Prediction | None = None
        failed: Exception | None = None
        try:
            own = self.pipeline.predict(x, task, time, slices)
        except NoChampionError:
            raise
        except Exception as error:
            if isinstance(error, InvalidRecordError) and not isinstance(error, SchemaError):
                raise
            failed = error
        answers: dict[int, Answer] = {} if own is None else {own.version: own.answer}
        asked = self.pipeline.version if own is None else own.version
        with self._lock:
            beside = [(version, self._models[version]) for version in self.pool.versions if version != asked]
        for version, rival in beside:
            alone = rival.one(row)
            if alone is None:
                with self._lock:
                    self._drop(version, rival.message or f"version {version} failed")
            else:
                answers[version] = alone[0]
        with self._lock:
            said = {version: answer for version, answer in answers.items() if version in self.pool}
            if not said:
                if own is None:
                    raise failed if failed is not None else NoChampionError(f"{self.name!r} has no champion yet")
                return own
            if failed is not None:
                self.problem = f"version {asked}, the champion, raised {type(failed).__name__}: {failed}"
            if task not in self._asked:
                self._asked[task] = said
                if len(self._asked) > _PENDING:
                    del self._asked[next(iter(self._asked))]
            weights = self.pool.weights()
            heaviest = max(said, key=lambda version: weights[version])
            answer = self.pool.answer(said)
        latency = (perf_counter() - start) * 1e3
        return Prediction(answer, heaviest, "pool", task, latency, self.schema.kind)

    def learn(self, task: str, y: Any, time: int = 0) -> None:
        """What a task came to; None: nobody will ever know. Raises as `RetrainingPipeline.learn` does."""
        with self._lock:
            self.pipeline.learn(task, y, time)
            self._told(task, None if y is None else self.schema.check_label(y))

    def settled(self, task: str, kind: str, labels: Sequence[str], outcome: Any, time: int, seq: int) -> None:
        """As `RetrainingPipeline.settled`: a label that the log has already."""
        try:
            label = None if outcome is None else label_of(self.schema, kind, labels, outcome)
        except InvalidRecordError:
            label = None
        with self._lock:
            self.pipeline.settled(task, kind, labels, outcome, time, seq)
            self._told(task, label)

    def waiting(self) -> tuple[str, ...]:
        """Tasks of inputs that have no label yet."""
        return self.pipeline.waiting()

    # --- moving ---

    def step(self, now: When | None = None) -> tuple[Step, ...]:
        """As `RetrainingPipeline.step`; new versions come into the pool. A trial that has not come to an end when the
        next run is due ends without promotion: its challenger stays in the pool."""
        pipeline = self.pipeline
        over: tuple[Step, ...] = ()
        if pipeline.state in _TRIAL and (why := self._next_due()):
            with contextlib.suppress(IllegalStepError):  # it has just ended
                over = (pipeline.veto(by=OWN, reason=f"the next run is due; {why}"),)
        return over + pipeline.step(now)

    def choose(self, since_drift: int, at_hand: int) -> int:
        """What a `Policy` takes as its window."""
        assert self.windows is not None
        with self._lock:
            since = None if self.answers is None else self.answers.since
            if since is not None and self.answers is not None and since < self.answers.least:
                since = None
            self._length = self.windows.choose(at_hand, since)
            return since if self._length == SINCE and since is not None else self._length

    def check_drift(self) -> DriftStatus:
        """As `RetrainingPipeline.check_drift`: what its monitor sees, which looks at the champion."""
        return self.pipeline.check_drift()

    def retrain(
        self, *, by: str = "a person", reason: str = "by hand", window: int | None = None, mode: Mode | None = None
    ) -> Step:
        """As `RetrainingPipeline.retrain`."""
        return self.pipeline.retrain(by=by, reason=reason, window=window, mode=mode)

    def validate(self, timeout: float | None = None) -> PipelineStatus:
        """As `RetrainingPipeline.validate`."""
        self.pipeline.validate(timeout)
        return self.status()

    def deploy(self, *, by: str = "a person", reason: str = "") -> Step:
        """As `RetrainingPipeline.deploy`: another champion, and the same pool."""
        return self.pipeline.deploy(by=by, reason=reason)

    def force(self, *, by: str, reason: str) -> Step:
        """As `RetrainingPipeline.force`: another champion, and the same pool."""
        return self.pipeline.force(by=by, reason=reason)

    def veto(self, *, by: str, reason: str) -> Step:
        """As `RetrainingPipeline.veto`; the challenger leaves the pool, too."""
        return self.pipeline.veto(by=by, reason=reason)

    def rollback(self, *, by: str = "a person", reason: str = "by hand") -> Step:
        """As `RetrainingPipeline.rollback`: another champion, and the same pool."""
        return self.pipeline.rollback(by=by, reason=reason)

    # --- looking ---

    @property
    def name(self) -> str:
        """Of the model."""
        return self.pipeline.name

    @property
    def schema(self) -> Schema:
        """What goes in and comes out."""
        return self.pipeline.schema

    @property
    def registry(self) -> Registry:
        """Where the versions are."""
        return self.pipeline.registry

    @property
    def position(self) -> Position:
        """Where the pipeline is, as data."""
        return self.pipeline.position

    @property
    def state(self) -> State:
        """What it is doing beside answering."""
        return self.pipeline.state

    @property
    def version(self) -> int | None:
        """Of the champion; None before the first."""
        return self.pipeline.version

    @property
    def steps(self) -> tuple[Step, ...]:
        """The newest steps, oldest first."""
        return self.pipeline.steps

    def examples(self) -> Examples:
        """The examples at hand, oldest first."""
        return self.pipeline.examples()

    def status(self) -> PipelineStatus:
        """How it is, at a glance; with the weights."""
        status = self.pipeline.status()
        with self._lock:
            return replace(status, together=self.pool.weights(), problem=status.problem or self.problem)

    def on_step(self, callback: Callable[[Step], object]) -> Callable[[Step], object]:
        """As `RetrainingPipeline.on_step`."""
        return self.pipeline.on_step(callback)

    def weights(self) -> dict[int, float]:
        """Of each version in the pool."""
        with self._lock:
            return self.pool.weights()

    def snapshot(self) -> dict[str, Any]:
        """What the pool has learnt, as plain JSON types; the versions themselves are in the registry."""
        with self._lock:
            return {
                "pool": self.pool.snapshot(),
                "windows": None if self.windows is None else self.windows.snapshot(),
                "newest": [[n, v] for n, v in self._newest.items()],
            }

    def restore(self, state: Mapping[str, Any]) -> None:
        """What `snapshot` gave; versions that the registry has no more are left out. Raises InvalidRecordError."""
        with self._lock:
            self.pool.restore(state["pool"])
            if self.windows is not None and state.get("windows") is not None:
                self.windows.restore(state["windows"])
            self._newest = {int(n): int(v) for n, v in state["newest"]}
            for version in self.pool.versions:
                if (rival := self._ready(version)) is not None:
                    self._models[version] = rival
                else:
                    self.pool.leave(version)
            self._forget_models()

    def close(self) -> None:
        """Closes the pipeline, and lets go of the threads in which versions answer."""
        self.pipeline.close()
        with self._lock:
            for rival in self._models.values():
                rival.close()

    def __repr__(self) -> str:
        return f"Pooled({self.pipeline.name!r}, {self.pool!r})"

    # --- inside ---

    def _next_due(self) -> str:
        """Why the next run should begin, if it should."""
        held = len(self.pipeline.examples()) if self._labels >= 25 else 0  # a copy: not for nothing
        facts = Facts(examples=held, new=self._labels)
        rules = (
            ()
            if not held
            else [rule for rule in self.pipeline.trigger.rules if isinstance(rule, (OnAnswers, OnGrowth))]
        )
        return next((why for rule in rules if (why := rule.due(None, facts, 0))), "")

    def _told(self, task: str, label: int | float | None) -> None:
        answers = self._asked.pop(task, None)
        if answers is not None and label is not None:
            self._weigh(answers, label)

    def _weigh(self, answers: Mapping[int, Answer], label: int | float) -> None:
        """A label has come."""
        self._labels += 1
        here = {version: answer for version, answer in answers.items() if version in self.pool}
        if not here:
            return
        answer = self.pool.answer(here)
        if self.answers is not None:
            before = self.answers.alarm
            self.answers.learn(_error(answer, label))
            if self.windows is not None and self.answers.alarm and not before:
                self.windows.changed()
        if self.windows is not None:
            known = {n: _loss(here[v], label) for n, v in self._newest.items() if v in here}
            self.windows.learn(known)
            if self.answers is not None and self.answers.since is not None and not self.windows.since_pays():
                self.answers.dismiss()
        self.pool.learn(here, label)

    # --- who is in it ---

    def _live_again(self) -> None:
        """As it was before, from what the pipeline knows again."""
        past = lived(self.pipeline, self.pool.keep)
        said = Said(self.pipeline)
        for version in past.members:
            self._come(version, said, 0)
        for step, at, at_hand in past.moments:
            if step is None:
                if answers := {v: answer for v, answer in said.answers(at).items() if v in self.pool}:
                    self._weigh(answers, past.labels[at])
                continue
            if step.event is Event.RETRAIN and step.position.champion is not None and self.windows is not None:
                self.choose(0, at_hand)
            if (comes := brought(step)) is not None:
                self._come(comes, said, at)
            self._note(step)
        if rows := self.pipeline.waiting_rows():
            self._asked = {task: found for task, found in said_to(lambda: self._models, rows).items() if found}

    def _come(self, version: int, said: Said, at: int) -> None:
        if version not in self.pool and (rival := self._ready(version)) is not None:
            said.ask(version, rival, at)
            if rival.failure is None:
                self._enter(version, rival)

    def _took(self, step: Step) -> None:
        """Told by the pipeline, in the thread that moves it."""
        version = brought(step)
        rival = None if version is None or version in self.pool else self._ready(version)  # nobody waits for it
        with self._lock:
            if rival is not None:
                self._enter(rival.version, rival)
            self._note(step)

    def _note(self, step: Step) -> None:
        if step.event is Event.RETRAIN:
            self._tried, self._labels = 0, 0
            if self.answers is not None:
                self.answers.begun()
        elif step.event is Event.TRAINED:
            self._tried = step.position.challenger or 0
            if self.windows is not None:
                self._newest[self._length] = self._tried
        if step.failure in HARMFUL and self._tried and step.by != OWN:
            self._drop(self._tried, f"version {self._tried}: {step.reason}")

    def _enter(self, version: int, rival: Rival) -> None:
        self._models[version] = rival
        self.pool.enter(version)
        self._forget_models()

    def _ready(self, version: int) -> Rival | None:
        """The model of a version; None where it cannot be loaded."""
        if (known := self._models.get(version)) is not None:
            return known
        try:
            model = self.registry.load(self.name, version, into=self._trainer.fresh())
        except Exception as error:
            self.problem = f"version {version} cannot be loaded: {error}"
            return None
        return Rival(model, version, self.schema, self.pipeline.policy.patience_s)

    def _drop(self, version: int, why: str) -> None:
        if self.pool.leave(version):
            self.problem = why
        self._forget_models()

    def _forget_models(self) -> None:
        for version in [version for version in self._models if version not in self.pool]:
            self._models.pop(version).close()


def _error(answer: Answer, y: int | float) -> float:
    """0 to 1."""
    if isinstance(answer, tuple):
        return float(max(range(len(answer)), key=answer.__getitem__) != y)
    off = abs(answer - y)
    return off / (1.0 + off)


def _loss(answer: Answer, y: int | float) -> float:
    if isinstance(answer, tuple):
        return -math.log(max(answer[int(y)], 0.005))
    return (answer - y) ** 2
