"""How a pipeline gets from one state to the next. One thread at a time; whoever predicts does not wait for it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any

from fairlead.errors import FairleadError
from fairlead.lifecycle.failures import Failure, LifecycleError
from fairlead.lifecycle.pipeline.ledger import FileLedger, LogLedger, Step
from fairlead.lifecycle.pipeline.managed import Arms, Managed
from fairlead.lifecycle.pipeline.memory import Labelled, Memory
from fairlead.lifecycle.pipeline.policy import Policy
from fairlead.lifecycle.pipeline.proof import CONTINUE, PASSED, Proof, Proving
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.pipeline.runs import GOING, Runs
from fairlead.lifecycle.pipeline.state import Event, Position, State, advance
from fairlead.lifecycle.registry import Alias, AliasMovedError, Registry, UnknownVersionError

TRIAL = (State.VALIDATING, State.SHADOW, State.CANARY)
PIPELINE = "pipeline"
LEAST_REFERENCE = 20
"""Examples that the drift monitor needs to compare with."""
_AT_ONCE = 8  # steps that one call takes at most
_RECONCILE_S = 0.02
"""Seconds in which the registry is looked at once, where there is something else to do."""
_LOOK_S = 60 * 10**9  # of the stream's time, after which a model that nobody asks is looked at


class Engine:
    """What `RetrainingPipeline` is made of. Its parts are set where that is made."""

    name: str
    registry: Registry
    policy: Policy
    monitor: Any
    trigger: Any
    _clock: Callable[[], int]
    _runs: Runs
    _memory: Memory
    _managed: Managed
    _ledger: FileLedger | LogLedger
    _proving: Proving

    def _start_engine(self) -> None:
        self._lock = threading.RLock()
        self._position = Position()
        self._reason = ""
        self._level = "none"
        self._held = ("", "")  # which rule asked last, and what held it back
        self._waits = ""
        self._problem = ""
        self._served: Any = None
        self._proof: Proof | None = None
        self._fresh: list[Labelled] = []
        self._steps: deque[Step] = deque(maxlen=200)
        self._news: list[Step] = []
        self._reconciled = 0.0
        self._looked = (0, 0, 0)  # labels, inputs and time of the last look at the drift
        self._runs_at: list[tuple[str, int]] = []  # the runs, and when each began
        self._labels_at_run = 0
        self._begun: set[str] = set()  # runs of this process; others ended with theirs

    # --- the rounds ---

    def _round(self, now: int) -> None:
        """All that can be done now."""
        known, clock = self._memory.seen, monotonic()
        self._fold()
        if clock - self._reconciled > _RECONCILE_S or self._memory.seen == known:
            self._reconcile(now)
            self._reconciled = clock
        for _ in range(_AT_ONCE):
            if not self._next(now):
                return

    def _next(self, now: int) -> bool:
        """At most one step; whether there was one."""
        state = self._position.state
        if state is State.SERVING:
            return self._due(now) and self._consider(now)
        if state is State.TRAINING:
            return self._look_at_job(now)
        return self._prove(now) if state in TRIAL else self._watch(now)

    def _fold(self) -> None:
        """Takes in what came since. What completes an example is kept for whoever is on trial."""
        on_trial = self._position.state in TRIAL or self._position.state is State.WATCHING
        for labelled in self._memory.fold():
            if on_trial:
                self._fresh.append(labelled)

    # --- who is champion ---

    def _reconcile(self, now: int) -> None:
        """What the registry says is so: after a crash between the alias and the word of it, or where a person moved
        it."""
        alias = self._champion()
        position = self._position
        if alias is None:
            return  # nobody answers yet, or the alias was taken away: who answers goes on
        found = alias.version
        if found != position.champion:
            why = f"{alias.by or 'somebody'}: {alias.reason or 'moved the champion'}"
            if position.champion is None:
                self._write(Event.FIRST, f"version {found} is the first champion; {why}", alias.by, now, version=found)
            elif position.state in TRIAL and found == position.challenger:
                self._write(Event.PROMOTED, why, alias.by, now)
            elif position.state is State.WATCHING and found == position.previous:
                self._write(Event.ROLLED_BACK, why, alias.by, now, version=found)
            else:
                self._write(Event.OVERRULED, f"version {found} is champion now; {why}", alias.by, now, version=found)
        elif position.state in TRIAL:
            challenger = self.registry.alias(self.name, "challenger")
            if challenger is None or challenger.version != position.challenger:
                self._write(Event.VETOED, "the alias `challenger` was taken away", "", now, failure=Failure.vetoed)
        self._serve()

    def _champion(self) -> Alias | None:
        """Where the alias points; None: to nothing, or there is no such model yet."""
        try:
            return self.registry.champion(self.name)
        except UnknownVersionError:
            return None

    def _serve(self) -> None:
        """Puts the champion of the registry where answers come from, and the rival of a canary beside it."""
        if self._position.champion is None:
            return
        if self._served is None:
            self._served = self.registry.serve(self.name, self._runs.trainer)
        elif self._served.version != self._position.champion:
            self._served.refresh()
        self._set_arms()

    def _set_arms(self) -> None:
        if self._served is None:
            return
        rival: Rival | None = None
        share, salt = 0.0, ""
        proof = self._proof
        if self._position.state is State.CANARY and proof is not None and proof.rival.failure is None:
            rival, (share, salt) = proof.rival, proof.canary
        model, version, _ = self._served.current
        now = Arms(model, version, rival, share, salt)
        if now != self._managed.arms:
            self._managed.arms = now

    # --- each state ---

    def _due(self, now: int) -> bool:
        """Whether it is time for a look at the drift."""
        labels, inputs, time = self._looked
        every = self.policy.check_every
        memory = self._memory
        if memory.labels - labels >= every or memory.inputs - inputs >= 8 * every:
            return True
        return memory.labels == labels and memory.inputs == inputs and now - time >= _LOOK_S

    def _consider(self, now: int) -> bool:
        memory = self._memory
        self._looked = (memory.labels, memory.inputs, now)
        if self._position.champion is None:
            if memory.labels - self._labels_at_run < self.policy.least:
                return False
            self._begin(now, "there is no champion yet", PIPELINE, rule="first")
            return True
        status = self.monitor.check()
        self._say_level(status, now)
        verdict = self.trigger.consider(status, self._facts(now), now)
        if not verdict.retrain:
            self._say_held(verdict.rule, verdict.held_by, verdict.reason, now)
            return False
        if len(memory.buffer) < self.policy.needed:
            few = f"{len(memory.buffer)} examples are at hand, {self.policy.needed} are needed"
            self._say_held(verdict.rule, "least", f"{verdict.reason}; but {few}", now)
            return False
        drifted = status.level != "none" and verdict.rule in ("drift", "drop")
        if drifted and (since := self.monitor.change_point()) < self.policy.fresh_enough:
            few = f"{since} examples have come since, {self.policy.fresh_enough} are waited for"
            self._say_held(verdict.rule, "fresh", f"{verdict.reason}; but {few}", now)
            return False
        self._say_held("", "", "", now)
        self._begin(now, verdict.reason, PIPELINE, rule=verdict.rule)
        return True

    def _facts(self, now: int) -> Any:
        raise NotImplementedError

    def _say_level(self, status: Any, now: int) -> None:
        """An alert where the level of the drift is another."""
        level, before = str(status.level), self._level
        self._level = level
        if level == before:
            return
        severity = {"warning": "warning", "alarm": "critical"}.get(level, "info")
        told = {"name": "drift", "severity": severity, "status": "cleared" if level == "none" else "raised"}
        self._say("alert", {"kind": "drift", **told, "message": str(status)}, now)

    def _say_held(self, rule: str, held_by: str, reason: str, now: int) -> None:
        """A note where something else holds a run back than before."""
        before, self._held = self._held, (rule, held_by) if held_by else ("", "")
        self._waits = reason if held_by else ""
        if held_by and before != self._held:
            self._say("note", {"text": reason, "pipeline": "held", "rule": rule, "held_by": held_by}, now)

    def _say(self, type: str, data: dict[str, Any], now: int) -> None:
        raise NotImplementedError

    def _begin(
        self,
        now: int,
        reason: str,
        by: str,
        *,
        window: int | None = None,
        mode: str | None = None,
        rule: str = "hand",
    ) -> None:
        """Starts a run. Raises TooFewExamplesError where nothing could be learnt."""
        position, memory = self._position, self._memory
        examples = memory.buffer.examples()
        drift = self.monitor.change_point() if self.monitor.check().level != "none" else 0
        learn, held = self._runs.choose(examples, drift, position.champion is None, window)
        seed = self.policy.seed + position.runs
        mode = mode or self.policy.mode
        text = f"{reason}; learns from {len(learn):,} examples, {len(held):,} newer ones are held back"
        job = self._runs.begin(learn, mode=mode, seed=seed, champion=position.champion, reason=reason)
        self._begun.add(job.id)
        trained, kept = memory.range_of(len(learn), len(held)), memory.range_of(len(held))
        more = {"run": job.id, "trained": trained, "held": kept, "seed": seed, "mode": mode, "rule": rule}
        self._write(Event.RETRAIN, text, by, now, **more)

    def _look_at_job(self, now: int) -> bool:
        position = self._position
        job = self._runs.find(position.run)
        if job is None:
            return self._fail(now, Failure.orphaned, f"run {position.run!r} went with the process that had begun it")
        status = job.status()
        state = str(getattr(status.state, "value", status.state))
        if state in GOING:
            return False
        if state == "done":
            return self._take_result(job, now)
        failure = Failure(status.failure) if status.failure else Failure.stopped
        mine = position.run in self._begun
        if (failure is Failure.orphaned or (failure is Failure.stopped and not mine)) and self._resume(
            position.run, now
        ):
            return True
        return self._fail(now, failure, status.message or failure.words)

    def _resume(self, run: str, now: int) -> bool:
        """Goes on with a run whose process died, from its checkpoint; whether that could be done."""
        trained = self._position.trained
        if not self.policy.retry or trained is None:
            return False
        examples = self._memory.between(*trained)
        try:
            job = self._runs.resume(run, examples)
        except (FairleadError, OSError) as error:
            self._problem = f"run {run!r} could not go on: {error}"
            return False
        if job is None:
            return False
        self._begun.add(job.id)
        self._write(Event.RESUMED, f"run {run!r} goes on, as its process had ended", PIPELINE, now, run=job.id)
        return True

    def _take_result(self, job: Any, now: int) -> bool:
        position = self._position
        held = self._memory.after(position.trained[1]) if position.trained else self._memory.after(self._memory.seen)
        try:
            version = self._runs.register(job, position, held, self._reason)
        except Exception as error:
            return self._fail(now, failure_of(error), told(error))
        number = version.number
        if position.champion is None:
            try:
                self.registry.promote(self.name, number, expect=0, by=PIPELINE, reason="the first version")
            except AliasMovedError:
                return True  # a person was faster: the next look at the registry finds it
            self._write(Event.FIRST, f"version {number} is the first champion", PIPELINE, now, version=number)
            self._say("training_run", {"run": job.id, "status": "done", "version": str(number)}, now)
            self._serve()
            return True
        reason = f"run {job.id}"
        self.registry.promote(self.name, number, alias="challenger", by=PIPELINE, reason=reason)
        self._write(Event.TRAINED, f"{reason} gave version {number}", PIPELINE, now, version=number)
        self._say("training_run", {"run": job.id, "status": "done", "version": str(number)}, now)
        return True

    def _prove(self, now: int, *, promote: bool = True) -> bool:
        proof = self._ready()
        if proof is None:
            return self._fail(now, *self._lost)
        verdict = self._feed(proof)
        position = self._position
        if proof.rival.failure is not None:
            return self._fail(now, proof.rival.failure, proof.rival.message)
        if verdict == PASSED:
            return promote and not self.policy.approval and self._promote(now, proof.reason, PIPELINE)
        if verdict != CONTINUE:
            return self._end(Event.REFUSED, proof.reason, PIPELINE, now, proof.failure)
        stage = proof.stage
        if stage is None or stage is position.state:
            return False
        event = Event.ADVANCED if TRIAL.index(stage) > TRIAL.index(position.state) else Event.RETURNED
        self._write(event, f"on trial in {stage.value} now: {proof.reason}", PIPELINE, now, to=stage)
        self._set_arms()
        return True

    def _watch(self, now: int) -> bool:
        proof = self._ready()
        if proof is None:
            return self._end(
                Event.KEPT, f"the version before cannot be watched against: {self._lost[1]}", PIPELINE, now
            )
        verdict = self._feed(proof)
        if proof.rival.failure is not None:
            return self._end(Event.KEPT, f"the watch ends: {proof.rival.message}", PIPELINE, now)
        if verdict == CONTINUE:
            return False
        if verdict == PASSED:
            return self._end(Event.KEPT, proof.reason, PIPELINE, now)
        previous = self._position.previous
        assert previous is not None
        return self._go_back(previous, now, proof.reason, PIPELINE, proof.failure or Failure.worse)

    # --- proof ---

    def _ready(self) -> Proof | None:
        """The proof of this state, made where there is none. What training never saw comes first; what has come since
        the trial began is in `_fresh`, after a crash too."""
        position = self._position
        against = position.previous if position.state is State.WATCHING else position.challenger
        assert against is not None
        watch = position.state is State.WATCHING
        if self._proof is not None and self._proof.of == (watch, position.champion, against):
            return self._proof
        if self._proof is not None:
            self._proof.close()
            self._proof = None
        try:
            model = self._runs.load(against)
        except Exception as error:
            self._lost = (failure_of(error), f"version {against} cannot be loaded: {told(error)}")
            return None
        served = self._served
        sides = (served.model, served.version, model, against)
        proof: Proof | None
        if watch:
            proof = self._proving.watch_of(position.run, *sides)
        else:
            proof = self._proving.trial(position.run, *sides, rule=position.rule)
        if proof is None:
            self._lost = (Failure.stopped, "nobody watches")
            return None
        if not watch and position.trained is not None:
            proof.begin(self._memory.between(position.trained[1] + 1, position.tried))
        self._proof = proof
        return proof

    _lost: tuple[Failure, str] = (Failure.raised, "")

    def _feed(self, proof: Proof) -> str:
        fresh, self._fresh = self._fresh, []
        return proof.feed(fresh)

    def _drop_proof(self) -> None:
        if self._proof is not None:
            self._proof.close()
            self._proof = None
        self._fresh.clear()

    # --- steps that several states have ---

    def _promote(self, now: int, reason: str, by: str) -> bool:
        """Moves the alias, if nobody else has meanwhile."""
        position = self._position
        alias = self._champion()
        if alias is None or alias.version != position.champion or position.challenger is None:
            self._reconcile(now)
            return True
        try:
            self.registry.promote(self.name, position.challenger, expect=alias.generation, by=by, reason=reason)
        except AliasMovedError:
            self._reconcile(now)
            return True
        except Exception as error:
            return self._fail(now, failure_of(error), told(error))
        return self._end(Event.PROMOTED, reason, by, now)

    def _go_back(self, version: int, now: int, reason: str, by: str, failure: Failure | None = None) -> bool:
        alias = self._champion()
        if alias is None or alias.version != self._position.champion:
            self._reconcile(now)
            return True
        try:
            self.registry.promote(self.name, version, expect=alias.generation, by=by, reason=reason)
        except AliasMovedError:
            self._reconcile(now)
            return True
        return self._end(Event.ROLLED_BACK, reason, by, now, failure, version=version)

    def _fail(self, now: int, failure: Failure, message: str) -> bool:
        return self._end(Event.FAILED, f"{failure.words}: {message}", PIPELINE, now, failure)

    def _end(
        self, event: Event, reason: str, by: str, now: int, failure: Failure | None = None, **changes: Any
    ) -> bool:
        """A step after which the challenger is none any more."""
        tried = self._position.challenger is not None
        self._write(event, reason, by, now, failure=failure, **changes)
        if tried:
            self._forget_challenger()
        self._serve()
        return True

    def _forget_challenger(self) -> None:
        """Takes the alias away. What is left over after a crash is taken away by the next run."""
        try:
            if self.registry.alias(self.name, "challenger") is not None:
                self.registry.unalias(self.name, "challenger", by=PIPELINE)
        except (LifecycleError, OSError) as error:
            self._problem = f"the alias `challenger` could not be taken away: {error}"

    def _write(
        self, event: Event, reason: str, by: str, now: int, *, failure: Failure | None = None, **changes: Any
    ) -> None:
        """One step: checked against the table, written down, then taken."""
        position = advance(self._position, event, time=now, at=self._memory.seen, **changes)
        step = Step(0, now, event, position, reason, by or "unknown", "" if failure is None else failure.value)
        step = step._replace(seq=self._ledger.write(step))
        self._take(step)
        self._news.append(step)

    def _take(self, step: Step, *, rebase: bool = True) -> None:
        """What a step changes, live and when it is read again. rebase: whether the monitor starts anew with a new
        champion."""
        before, position = self._position, step.position
        self._position = position
        self._reason = step.reason
        self._steps.append(step)
        memory = self._memory
        if step.event is Event.RETRAIN:
            self._runs_at.append((position.run, step.time))
            self._labels_at_run = memory.labels
        if position.champion != before.champion:
            memory.champion = position.champion
            if rebase:
                self._rebase(step)
        if position.state not in TRIAL and position.state is not State.WATCHING:
            self._drop_proof()

    def _rebase(self, step: Step) -> None:
        """The monitor starts anew: it compares with what the new champion learnt from, and with its answers to what
        came after that."""
        position, memory = step.position, self._memory
        assert position.champion is not None
        try:
            lineage = self.registry.info(self.name, position.champion).lineage
            if lineage.first is None or lineage.last is None:
                if step.event is not Event.FIRST:  # of that the monitor may know more than we do
                    self.monitor.rebase()
                return
            examples = memory.between(lineage.first, memory.seen)
            if len(examples) < LEAST_REFERENCE:
                self.monitor.rebase()
                return
            unseen = memory.between(lineage.last + 1, memory.seen)
            model = self._runs.load(position.champion)
            answers = self._runs.answers(model, unseen, f"version {position.champion}") if len(unseen) else None
            self.monitor.rebase(examples, answers)
        except (FairleadError, OSError) as error:
            self.monitor.rebase()
            self._problem = f"the drift monitor has no reference: {told(error)}"


def failure_of(error: BaseException) -> Failure:
    """The name of what an exception is."""
    from fairlead.lifecycle.jobs.faults import failure_of as name

    return name(error)


def told(error: BaseException) -> str:
    """An exception in a line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, LifecycleError) and text else f"{type(error).__name__}: {text}"
