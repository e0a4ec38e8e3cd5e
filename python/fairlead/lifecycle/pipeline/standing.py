"""Where a pipeline stands: who is champion, what answers, and how a step is written down and taken."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from fairlead.errors import FairleadError
from fairlead.lifecycle.failures import Failure, LifecycleError
from fairlead.lifecycle.pipeline.ledger import FileLedger, LogLedger, Step
from fairlead.lifecycle.pipeline.managed import Arms, Managed
from fairlead.lifecycle.pipeline.memory import Labelled, Memory
from fairlead.lifecycle.pipeline.policy import Policy
from fairlead.lifecycle.pipeline.proof import Proof, Proving
from fairlead.lifecycle.pipeline.rival import Rival
from fairlead.lifecycle.pipeline.runs import Runs
from fairlead.lifecycle.pipeline.state import Event, Position, State, advance
from fairlead.lifecycle.registry import Alias, AliasMovedError, Registry, UnknownVersionError
from fairlead.lifecycle.schema import Schema

TRIAL = (State.VALIDATING, State.SHADOW, State.CANARY)
PIPELINE = "pipeline"
LEAST_REFERENCE = 20
"""Examples that the drift monitor needs to compare with."""


class Standing:
    """What a pipeline has: its parts, which are set where it is made, and its position."""

    name: str
    schema: Schema
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

    def _start(self) -> None:
        self._lock = threading.RLock()
        self._position = Position()
        self._reason = ""
        self._level = "none"
        self._held = ("", "")  # which rule asked last, and what held it back
        self._waits = ""
        self._doubted: tuple[str, int] | None = None  # the trial that was last looked at for drift, and when
        self._dropped: int | None = None  # labels that there were when a drop, but no change, was first seen
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
            if (challenger is None or challenger.version != position.challenger) and self._by_a_person():
                self._write(Event.VETOED, "the alias `challenger` was taken away", "", now, failure=Failure.vetoed)
        self._serve()

    def _by_a_person(self) -> bool:
        """Whether the alias `challenger` was last moved by somebody. A pipeline of another process, on the same
        registry, has trials of its own: that of the two which is over first moves the champion."""
        moves = self.registry.history(self.name, alias="challenger")
        return not moves or moves[-1].by != PIPELINE

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

    # --- a step ---

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
        tried = self._position.challenger
        self._write(event, reason, by, now, failure=failure, **changes)
        if tried is not None:
            self._forget_challenger(tried)
        self._serve()
        return True

    def _forget_challenger(self, version: int) -> None:
        """Takes the alias away, if it is not another's by now. What is left over after a crash is taken away by the
        next run."""
        try:
            alias = self.registry.alias(self.name, "challenger")
            if alias is not None and alias.version == version:
                self.registry.unalias(self.name, "challenger", expect=alias.generation, by=PIPELINE)
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
            answers = self._runs.answers(model, unseen, f"version {position.champion}") if len(unseen) else []
            # Only the oldest of what it has not learnt from say how good it was: the newer may be of another world.
            old = min(len(unseen), self.monitor.baseline)
            new = unseen[old:]
            if len(examples) - len(new) < LEAST_REFERENCE:
                old, new = len(unseen), unseen[len(unseen) :]
            self.monitor.rebase(examples[: len(examples) - len(new)], answers[:old] or None)
            self.monitor.update_many(new.x, answers[old:], new.times)
            self.monitor.learn_many(answers[old:], new.y.tolist(), new.times)
        except (FairleadError, OSError) as error:
            self.monitor.rebase()
            self._problem = f"the drift monitor has no reference: {told(error)}"

    def _drop_proof(self) -> None:
        if self._proof is not None:
            self._proof.close()
            self._proof = None
        self._fresh.clear()

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


def failure_of(error: BaseException) -> Failure:
    """The name of what an exception is."""
    from fairlead.lifecycle.jobs.faults import failure_of as name

    return name(error)


def told(error: BaseException) -> str:
    """An exception in a line."""
    text = " ".join(str(error).split())
    return text if isinstance(error, LifecycleError) and text else f"{type(error).__name__}: {text}"
