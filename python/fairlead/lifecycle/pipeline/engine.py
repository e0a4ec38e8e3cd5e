"""How a pipeline gets from one state to the next. One thread at a time; whoever predicts does not wait for it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any

from fairlead.errors import FairleadError
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.pipeline.proof import CONTINUE, PASSED, Proof
from fairlead.lifecycle.pipeline.runs import GOING
from fairlead.lifecycle.pipeline.standing import PIPELINE, TRIAL, Standing, failure_of, told
from fairlead.lifecycle.pipeline.state import Event, State
from fairlead.lifecycle.registry import AliasMovedError

if TYPE_CHECKING:
    from fairlead.lifecycle.signals import DriftStatus

_AT_ONCE = 8  # steps that one call takes at most
_RECONCILE_S = 0.02
"""Seconds in which the registry is looked at once, where there is something else to do."""
QUEUED = 10_000
"""Events that wait for a step, above which they do not."""
_RELIEF = 4  # of them at each further one
_LOOK_S = 60 * 10**9  # of the stream's time, after which a model that nobody asks is looked at


class Engine(Standing):
    """What each state does."""

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

    def _fold(self, most: int | None = None) -> None:
        """Takes in what came since. What completes an example is kept for whoever is on trial."""
        on_trial = self._position.state in TRIAL or self._position.state is State.WATCHING
        for labelled in self._memory.fold(most):
            if on_trial:
                self._fresh.append(labelled)

    def _relieve(self) -> None:
        """Where nobody takes a step, whoever asks or tells takes in some of it, so that it does not grow for ever. What
        nobody proves with is given up then but for the newest. It waits for nobody."""
        if self._lock.acquire(blocking=False):
            try:
                self._fold(_RELIEF)
                if len(self._fresh) > 2 * self.policy.capacity:
                    del self._fresh[: -self.policy.capacity]
            finally:
                self._lock.release()

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
            if (new := memory.labels - self._labels_at_run) < self.policy.least:
                self._waits = f"waits for examples to train the first version: {new} of {self.policy.least}"
                return False
            self._waits = ""
            self._begin(now, "there is no champion yet", PIPELINE, rule="first")
            return True
        status = self.monitor.check()
        self._say_level(status, now)
        verdict = self.trigger.consider(status, self._facts(now), now)
        if not verdict.retrain:
            self._dropped = None
            self._say_held(verdict.rule, verdict.held_by, verdict.reason, now)
            if not verdict.held_by and status.level == "alarm":
                self._waits = f"the alarm of the drift monitor alone is no reason to retrain here: {verdict.reason}"
            return False
        if len(memory.buffer) < self.policy.needed:
            few = f"{len(memory.buffer)} examples are at hand, {self.policy.needed} are needed"
            self._say_held(verdict.rule, "least", f"{verdict.reason}; but {few}", now)
            return False
        if verdict.rule in ("drift", "drop") and (since := self._since(status)) < self.policy.fresh_enough:
            few = f"{since} examples have come since, {self.policy.fresh_enough} are waited for"
            self._say_held(verdict.rule, "fresh", f"{verdict.reason}; but {few}", now)
            return False
        self._dropped = None
        self._say_held("", "", "", now)
        self._begin(now, verdict.reason, PIPELINE, rule=verdict.rule)
        return True

    def _since(self, status: DriftStatus) -> int:
        """How many examples have come since what asks for a run: since the change, where the monitor knows when that
        was; else since the drop was first seen, as those before may be of the world before."""
        if status.level != "none":
            return int(self.monitor.change_point())
        if self._dropped is None:
            self._dropped = self._memory.labels
        return self._memory.labels - self._dropped

    def _facts(self, now: int) -> Any:
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
        status = self.monitor.check()
        if status.level != "none":
            drift = self.monitor.change_point()
        else:
            drift = self.policy.fresh_enough if rule == "drop" else 0
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
        if self._overtaken(proof, now):
            why = "the inputs or errors have changed since it learnt, and nothing speaks for it"
            return self._end(Event.REFUSED, f"{why}: {proof.reason}", PIPELINE, now, Failure.worse)
        stage = proof.stage
        if stage is None or stage is position.state:
            return False
        event = Event.ADVANCED if TRIAL.index(stage) > TRIAL.index(position.state) else Event.RETURNED
        self._write(event, f"on trial in {stage.value} now: {proof.reason}", PIPELINE, now, to=stage)
        self._set_arms()
        return True

    def _overtaken(self, proof: Proof, now: int) -> bool:
        """Whether the champion has drifted after the challenger had learnt, which is no better in what came then: a run
        on what is new should not wait for the end of the trial."""
        trained, run = self._position.trained, self._position.run
        turn = self._memory.labels // self.policy.check_every
        before, self._doubted = self._doubted, (run, turn)
        if trained is None or before in ((run, turn), None) or before[0] != run:
            return False
        status = self.monitor.check()
        self._say_level(status, now)
        if status.level != "alarm" or not proof.doubtful:
            return False
        since = self.monitor.change_point()
        return bool(self.policy.fresh_enough <= since < len(self._memory.after(trained[1])))

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
