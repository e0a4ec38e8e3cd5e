"""How a pipeline begins, or goes on where the last process was; who is told of its steps."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable
from datetime import date
from typing import Any

from fairlead.errors import JournalError
from fairlead.lifecycle.failures import LifecycleError
from fairlead.lifecycle.pipeline.engine import Engine
from fairlead.lifecycle.pipeline.ledger import Log, LogLedger, Step
from fairlead.lifecycle.pipeline.refold import steps
from fairlead.lifecycle.pipeline.refold import told as told_before
from fairlead.lifecycle.pipeline.standing import PIPELINE, TRIAL, told
from fairlead.lifecycle.pipeline.state import Position, State
from fairlead.lifecycle.signals import Facts
from fairlead.lifecycle.trainer import Trainer
from fairlead.times import as_time

When = int | str | date


class Opened(Engine):
    """An engine that was there before."""

    _log: Log | None
    _listeners: tuple[Callable[[Step], object], ...]

    def _go_on(self, trainer: Trainer) -> None:
        """Where the last process was, or from the beginning; then what the registry says."""
        now = self._moment(None)
        if isinstance(self._ledger, LogLedger):
            self._refold()
        else:
            newest = self._ledger.newest()
            if newest is not None:
                self._position, self._reason = newest.position, newest.reason
                self._steps.append(newest)
                self._memory.champion = newest.position.champion
                self._managed.seq = self._memory.seen = newest.position.at
        if trainer.schema is not None and self._position == Position() and self._champion() is None:
            version = self._runs.adopt("the model that was given")
            self.registry.promote(self.name, version.number, by=PIPELINE, reason="the model that was given")
        self._reconcile(now)
        self._told()

    def _refold(self) -> None:
        """From the journal: the steps, and what was seen between them."""
        log: Any = self._log
        log.wait_durable()
        before = steps(log.folder, self.name)
        last = before[-1].position if before else Position()
        on_trial = last.state in TRIAL or last.state is State.WATCHING
        newest = _last_change(before)
        self._memory.watched = newest is None
        for event in told_before(log.folder, self.name, self.schema):
            while before and before[0].position.at < event.seq:
                self._take_again(before.popleft(), newest)
            labelled = self._memory.take(event)
            if on_trial and labelled is not None and event.seq > last.tried:
                self._fresh.append(labelled)
        fresh = self._fresh
        for step in before:
            self._take_again(step, newest)
        self._fresh = fresh if on_trial else []
        self._level = str(self.monitor.check().level)

    def _take_again(self, step: Step, newest: int | None) -> None:
        """A step that was taken before. Of the changes of the champion only the newest concerns the monitor, which
        starts anew with each."""
        if step.seq == newest:
            self._memory.watched = True
        self._take(step, rebase=step.seq == newest)

    def _facts(self, now: int) -> Facts:
        memory = self._memory
        return Facts(
            examples=len(memory.buffer),
            new=memory.labels - self._labels_at_run,
            retrains=tuple(time for _, time in self._runs_at),
            seconds=self._seconds(),
            since=memory.since,
        )

    def _say(self, type: str, data: dict[str, Any], now: int) -> None:
        """A word to those who read the log; what it does not take is not said."""
        if self._log is not None:
            with contextlib.suppress(JournalError):
                self._log.append(type, data, model=self.name, time=now)

    def _seconds(self) -> tuple[float, ...]:
        """How long each run took, where a budget asks for that."""
        budget = getattr(self.trigger, "budget", None)
        if budget is None or budget.seconds is None:
            return ()
        jobs = [self._runs.find(run) for run, _ in self._runs_at]
        return tuple(0.0 if job is None else job.status().seconds for job in jobs)

    def _moment(self, now: When | None) -> int:
        return self._clock() if now is None else as_time(now, "now")

    def _done(self) -> Step:
        """The step that was taken last, after all who listen were told."""
        news = self._told()
        if not news:
            raise LifecycleError(f"nothing was done: {self._reason}")
        return news[-1]

    def _told(self) -> tuple[Step, ...]:
        """The steps that nobody was told of yet, after all who listen were told."""
        news, self._news = tuple(self._news), []
        self._tell(news)
        return news

    def _tell(self, news: tuple[Step, ...]) -> None:
        for step in news:
            for listener in self._listeners:
                try:
                    listener(step)
                except Exception as error:
                    warnings.warn(f"a listener of {self.name!r} failed: {told(error)}", RuntimeWarning, stacklevel=3)


def _last_change(steps: Iterable[Step]) -> int | None:
    """The newest step by which there was another champion."""
    champion, found = None, None
    for step in steps:
        if step.position.champion != champion:
            champion, found = step.position.champion, step.seq
    return found
