"""Training jobs in this process, at once: for replays, and where a process of its own is not worth it."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from fairlead.errors import JournalError
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import Stopped
from fairlead.lifecycle.jobs.asking import JobsOfFolder
from fairlead.lifecycle.jobs.control import Control
from fairlead.lifecycle.jobs.faults import JobError
from fairlead.lifecycle.jobs.job import Job
from fairlead.lifecycle.jobs.ledger import Log
from fairlead.lifecycle.jobs.training import Training
from fairlead.lifecycle.trainer import PathLike, Trainer


class InlineJobs(JobsOfFolder):
    """Training jobs that this process trains itself: `start` returns when the job has ended.

    They give what `TrainingJobs` give, to the byte, and fail by the same names; but a trainer that takes this process
    with it, or never comes back, does so. Limits hold between epochs alone. folder: None keeps the jobs in a temporary
    folder, until `close`. clock: the time of the events, nanoseconds since the epoch: that of a replay, in a replay.

    >>> from fairlead.lifecycle import Schema
    >>> from fairlead.lifecycle.trainers import FunctionTrainer
    >>> trainer = FunctionTrainer(lambda x, y, seed: {"p": float(y.mean())}, lambda state, x: [state["p"]] * len(x))
    >>> with InlineJobs() as jobs:
    ...     job = jobs.start(trainer, Examples(Schema("binary", ["a"]), [[1.0], [2.0]], [0, 1]), name="constant")
    ...     job.id, job.status().state, round(job.status().loss, 4)
    ('constant-00001', 'done', 0.6931)
    """

    def __init__(
        self,
        folder: PathLike | None = None,
        log: Log | None = None,
        *,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self._remove: weakref.finalize[..., InlineJobs] | None = None  # the folder, where it is a temporary one
        if folder is None:
            folder = tempfile.mkdtemp(prefix="fairlead-jobs-")
            self._remove = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        super().__init__(folder, log, clock)
        self._training: dict[str, Control] = {}
        self._closed = False

    def close(self) -> None:
        """Gives the folder free; a temporary one is removed. Closing twice is fine."""
        self._closed = True
        self._disown()
        if self._remove is not None:
            self._remove()

    def __repr__(self) -> str:
        return f"InlineJobs({str(self.folder)!r})"

    def ask(self, id: str, what: str, grace_s: float = 0.0) -> None:
        """Asks the job that trains, in another thread, to "pause", "resume" or "stop"."""
        control = self._training.get(id)
        if control is not None:
            if what == "stop":
                control.stop(Stopped("stopped"))
            else:
                (control.pause if what == "pause" else control.resume)()

    def wait_for(self, id: str, timeout: float | None) -> None:
        """Jobs here have ended when they are started; only another thread has to wait."""
        until = None if timeout is None else time.monotonic() + timeout
        while self._lives(id):
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"job {id} has not ended within {timeout:g} s")
            time.sleep(0.005)

    def _lives(self, id: str) -> bool:
        return id in self._training

    def _ready(
        self, trainer: Trainer, examples: Examples, validation: Examples | None
    ) -> tuple[Trainer, Examples, Examples | None]:
        if self._closed:
            raise JobError("these jobs were closed")
        return trainer, examples, validation

    def _run(self, job: Job, ready: tuple[Trainer, Examples, Examples | None], attempt: int, resumed: bool) -> Job:
        place = self._place(job.id)
        lease = place.lease()
        control = self._training[job.id] = Control()

        def tell(what: Mapping[str, Any]) -> None:
            with suppress(JournalError):  # told again at the end
                self._ledger.catch_up(place, job.order)

        try:
            Training(
                place,
                job.order,
                *ready,
                control=control,
                tell=tell,
                attempt=attempt,
                resumed=resumed,
                started=place.status().get("started"),
                clock=self._clock,
                lasting=self._remove is None,
            ).run()
        finally:
            os.close(lease)
            del self._training[job.id]
            self._ledger.catch_up(place, job.order)
        return job

    def _forked(self) -> None:
        super()._forked()
        self._training = {}
        if self._remove is not None:
            self._remove.detach()  # the folder is not this process's
