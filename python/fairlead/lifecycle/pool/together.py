"""`Pooled`: a retraining pipeline whose newest versions answer together."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fairlead.errors import FairleadError, InvalidRecordError
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.pipeline import Event, Policy, Prediction, RetrainingPipeline, State, Step
from fairlead.lifecycle.pipeline.answers import Answer, answer_of, row_of
from fairlead.lifecycle.pool.growth import OnAnswers, OnGrowth
from fairlead.lifecycle.pool.pool import Pool
from fairlead.lifecycle.pool.windows import SINCE, Windows
from fairlead.lifecycle.proving import Plan
from fairlead.lifecycle.signals import Facts, RetrainTrigger
from fairlead.lifecycle.trainer import Trainer

_HARMFUL = (Failure.vetoed, Failure.guardrail, Failure.schema, Failure.hung, Failure.raised, Failure.out_of_memory)
"""Why a challenger may not answer in a pool either. One that is only no better than the champion may: it has its
weight."""
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
        self._lock = threading.RLock()
        self._models: dict[int, Any] = {}
        self._asked: dict[str, dict[int, Answer]] = {}
        self._length = 0  # of the run under way
        self._tried = 0  # the version that it gave
        self._overtaken = False  # its trial was ended, which is nothing against it
        self._labels = 0  # since it began
        self._newest: dict[int, int] = {}  # length -> its newest version
        pipeline.on_step(self._took)
        self._begin()

    def predict(self, x: Any, task: str, time: int = 0, slices: Mapping[str, str] | None = None) -> Prediction:
        """What the pool says to an input. `version` is the one that weighs most, `arm` is "pool".

        Raises as `RetrainingPipeline.predict` does, which is asked too: what it answers is in the journal.
        """
        with self._lock:
            own = self.pipeline.predict(x, task, time, slices)
            answers: dict[int, Answer] = {own.version: own.answer}
            row: Any = None
            for version in self.pool.versions:
                if version in answers:
                    continue
                if row is None:
                    row = row_of(self.pipeline.schema, x)
                try:
                    answers[version] = answer_of(self.pipeline.schema, self._models[version].predict(row))
                except Exception as error:
                    self._drop(version, f"version {version} raised {type(error).__name__}: {error}")
            if not any(version in self.pool for version in answers):
                return own
            self._asked[task] = answers
            if len(self._asked) > _PENDING:
                del self._asked[next(iter(self._asked))]
            weights = self.pool.weights()
            heaviest = max(weights, key=lambda version: weights[version])
            return own._replace(answer=self.pool.answer(answers), version=heaviest, arm="pool")

    def learn(self, task: str, y: Any, time: int = 0) -> None:
        """What a task came to; None: nobody will ever know. Raises as `RetrainingPipeline.learn` does."""
        with self._lock:
            self.pipeline.learn(task, y, time)
            answers = self._asked.pop(task, None)
            if y is None:
                return
            self._labels += 1
            if answers is None:
                return
            label = self.pipeline.schema.check_label(y)
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

    def step(self, now: Any = None) -> tuple[Step, ...]:
        """As `RetrainingPipeline.step`; new versions come into the pool. A trial that has not come to an end when the
        next run is due ends without promotion: its challenger stays in the pool."""
        pipeline = self.pipeline
        over: tuple[Step, ...] = ()
        if pipeline.state in _TRIAL and (why := self._next_due()):
            with self._lock:
                self._overtaken = True
            over = (pipeline.veto(by="the pool", reason=f"the next run is due; {why}"),)
        return over + pipeline.step(now)

    def choose(self, since_drift: int, at_hand: int) -> int:
        """What a `Policy` takes as its window."""
        assert self.windows is not None
        since = None if self.answers is None else self.answers.since
        if since is not None and self.answers is not None and since < self.answers.least:
            since = None
        self._length = self.windows.choose(at_hand, since)
        return since if self._length == SINCE and since is not None else self._length

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
                self._load(version)
            self._models = {v: model for v, model in self._models.items() if v in self.pool}

    def close(self) -> None:
        """Closes the pipeline."""
        self.pipeline.close()

    def __repr__(self) -> str:
        return f"Pooled({self.pipeline.name!r}, {self.pool!r})"

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

    # --- who is in it ---

    def _begin(self) -> None:
        """The champion, and the newest versions beside it."""
        champion = self.pipeline.version
        if champion is None:
            return
        numbers = [version.number for version in self.pipeline.registry.versions(self.pipeline.name)]
        others = [n for n in numbers if n != champion][-(self.pool.keep - 1) :] if self.pool.keep > 1 else []
        for number in sorted([*others, champion]):
            self._enter(number)

    def _took(self, step: Step) -> None:
        """Told by the pipeline, in the thread that moves it."""
        with self._lock:
            position = step.position
            if step.event is Event.RETRAIN:
                self._tried, self._labels = 0, 0
                if self.answers is not None:
                    self.answers.begun()
            if step.event is Event.FIRST and position.champion is not None:
                self._enter(position.champion)
            elif step.event is Event.TRAINED and position.challenger is not None:
                if self.windows is not None:
                    self._newest[self._length] = position.challenger
                self._tried = position.challenger
                self._enter(position.challenger)
            elif step.event in (Event.PROMOTED, Event.OVERRULED, Event.ROLLED_BACK) and position.champion is not None:
                self._enter(position.champion)
            overtaken, self._overtaken = self._overtaken, False
            if step.failure in _HARMFUL and self._tried and not overtaken:
                self._drop(self._tried, f"version {self._tried}: {step.reason}")

    def _enter(self, version: int) -> None:
        if version in self.pool or not self._load(version):
            return
        for gone in self.pool.enter(version):
            self._models.pop(gone, None)

    def _load(self, version: int) -> bool:
        if version in self._models:
            return True
        try:
            self._models[version] = self.pipeline.registry.load(self.pipeline.name, version, into=self._trainer.fresh())
        except (FairleadError, OSError) as error:
            self.problem = f"version {version} cannot be loaded: {error}"
            self.pool.leave(version)
            return False
        return True

    def _drop(self, version: int, why: str) -> None:
        if self.pool.leave(version):
            self.problem = why
        self._models.pop(version, None)


def pooled(
    name: str,
    trainer: Trainer,
    registry: Any,
    *,
    keep: int = 8,
    growth: float = 0.1,
    policy: Policy | None = None,
    plan: Plan | None = None,
    **more: Any,
) -> Pooled:
    """A pipeline for a stream that drifts, whose versions answer together.

    It retrains when there are new labels for a tenth of what is at hand (`growth`), or when its answers are found to
    have become worse; from as many of the newest examples as have served best lately (`Windows`), after a change from
    those since. keep: versions in the pool. policy, plan, more: as of `RetrainingPipeline`; the policy's window and the
    trigger are its own.

    There is no watch after a promotion, as the champion before stays in the pool.
    """
    windows, answers = Windows(), OnAnswers()
    made: list[Pooled] = []

    def window(since_drift: int, at_hand: int) -> int:
        return made[0].choose(since_drift, at_hand) if made else at_hand

    policy = policy if policy is not None else Policy(holdback=0.01, least_holdback=1)
    pipeline = RetrainingPipeline(
        name,
        trainer,
        registry,
        policy=replace(policy, window=window),
        trigger=RetrainTrigger(answers, OnGrowth(growth, answers=answers), cooldown=None, least=policy.needed),
        plan=plan,
        **{"watch": None, **more},
    )
    made.append(Pooled(pipeline, trainer, Pool(pipeline.schema.kind, keep=keep), windows=windows, answers=answers))
    return made[0]


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
