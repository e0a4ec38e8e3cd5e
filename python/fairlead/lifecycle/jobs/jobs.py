"""Training jobs, each in a process of its own."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.jobs import child
from fairlead.lifecycle.jobs.asking import JobsOfFolder
from fairlead.lifecycle.jobs.crossing import pack, surroundings, write_message
from fairlead.lifecycle.jobs.faults import JobError, failure_of, one_line, warn
from fairlead.lifecycle.jobs.folder import JobFolder
from fairlead.lifecycle.jobs.job import Job
from fairlead.lifecycle.jobs.ledger import Log
from fairlead.lifecycle.jobs.orders import Order, whole_number
from fairlead.lifecycle.jobs.process import Process, readable
from fairlead.lifecycle.jobs.status import JobStatus
from fairlead.lifecycle.trainer import PathLike, Trainer

_RETRY_S = 1.0
_BLIND_S = 0.1  # without a descriptor that tells of a death


@dataclass
class _Waiting:
    """A job that was not begun yet."""

    job: Job
    message: int
    attempt: int
    paused: bool = False


class TrainingJobs(JobsOfFolder):
    """Training jobs in a folder, each in a process of its own that shares nothing with this one.

    folder: where jobs are kept; one process at a time owns it. log: where each epoch becomes a `training_run` event: a
    `fairlead.Journal`. parallel: how many run at once; the others wait. clock: nanoseconds since the epoch.

    When this process ends, however it does, its jobs end with it, after their epoch: `recover()` marks them after the
    restart, and `resume(...)` lets them go on from their checkpoint. A script that starts jobs whose trainer is of a
    class of that script begins what it does with `if __name__ == "__main__":`.

    One thread watches the processes. Any thread may call.

    >>> import tempfile
    >>> from fairlead.lifecycle import Schema
    >>> from fairlead.lifecycle.trainers import TorchTrainer
    >>> examples = Examples(Schema("binary", ["a"]), [[n / 50] for n in range(50)], [n // 25 for n in range(50)])
    >>> folder = tempfile.TemporaryDirectory()
    >>> with TrainingJobs(folder.name) as jobs:
    ...     job = jobs.start(TorchTrainer(epochs=3), examples, name="trend", seed=7)
    ...     result = job.result(timeout=120)
    >>> result.id, len(result.losses), job.status().state, result.artifact.name
    ('trend-00001', 3, 'done', 'artifact.safetensors')
    >>> folder.cleanup()
    """

    def __init__(
        self,
        folder: PathLike,
        log: Log | None = None,
        *,
        parallel: int = 2,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        super().__init__(folder, log, clock)
        self._parallel = whole_number(parallel, "parallel", 1)
        self._changed = threading.Condition(self._mutex)
        self._queue: deque[_Waiting] = deque()
        self._running: dict[str, tuple[Job, Process, int]] = {}  # with its attempt
        self._stopping: set[str] = set()
        self._owed: dict[str, Job] = {}  # the journal refused an event of these
        self._thread: threading.Thread | None = None
        self._closing = False
        self._bell: tuple[int, int] | None = None

    def close(self, grace_s: float = 5.0) -> None:
        """Ends what runs, each after its epoch, or by force after `grace_s` seconds; those that wait are not begun.
        Gives the folder free for another owner. Closing twice is fine."""
        with self._mutex:
            self._closing = True
            ids = [*self._running, *(waiting.job.id for waiting in self._queue)]
        for id in ids:
            self.ask(id, "stop", grace_s)
        for id in ids:
            self.wait_for(id, None)
        with self._mutex:
            thread = self._thread
            self._ring()
        if thread is not None:
            thread.join()
        with self._mutex:
            for job in list(self._owed.values()):
                self._tell_journal(job)
            if self._bell is not None:
                for end in self._bell:
                    os.close(end)
                self._bell = None
            self._disown()

    def __repr__(self) -> str:
        with self._mutex:
            return f"TrainingJobs({str(self.folder)!r}, running={len(self._running)}, queued={len(self._queue)})"

    # A job.

    def ask(self, id: str, what: str, grace_s: float = 0.0) -> None:
        """Asks a job to "pause", "resume" or "stop"; one that has ended takes no notice."""
        with self._mutex:
            if id in self._running:
                process = self._running[id][1]
                if what == "stop":
                    self._stopping.add(id)
                    process.stop(grace_s)
                else:
                    process.send(child.PAUSE if what == "pause" else child.RESUME)
            else:
                for waiting in [w for w in self._queue if w.job.id == id]:
                    waiting.paused = what == "pause"
                    if what == "stop":
                        self._queue.remove(waiting)
                        os.close(waiting.message)
                        self._end(waiting.job, waiting.attempt, "stopped", Failure.stopped, "stopped before it began")
            self._ring()

    def wait_for(self, id: str, timeout: float | None) -> None:
        """Waits until a job has ended. Raises TimeoutError when `timeout` seconds have passed."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._lives(id), timeout):
                raise TimeoutError(f"job {id} has not ended within {timeout:g} s")

    def status_of(self, place: JobFolder, order: Order) -> JobStatus:
        """How a job stands."""
        status = super().status_of(place, order)
        with self._mutex:
            stopping = place.id in self._stopping
        if stopping and not status.ended:
            return replace(status, state="stopping")
        return status

    def _lives(self, id: str) -> bool:
        with self._mutex:
            return id in self._running or any(waiting.job.id == id for waiting in self._queue)

    # How one begins.

    def _ready(
        self, trainer: Trainer, examples: Examples, validation: Examples | None
    ) -> tuple[bytes, dict[str, object]]:
        self._check_open()
        packed = pack(trainer, examples, validation)
        return packed, surroundings(packed)

    def _run(self, job: Job, ready: tuple[bytes, dict[str, object]], attempt: int, resumed: bool) -> Job:
        packed, around = ready
        head = {
            "folder": str(job.folder),
            "attempt": attempt,
            "resumed": resumed,
            "started": self._place(job.id).status().get("started"),
            "surroundings": around,
        }
        with self._mutex:
            try:
                self._check_open()
                self._begin_to_watch()
                self._queue.append(_Waiting(job, write_message(head, packed), attempt))
            except Exception as error:
                self._end(job, attempt, "failed", failure_of(error), f"it was not begun: {one_line(error)}")
                raise
            self._ring()
        return job

    def _check_open(self) -> None:
        with self._mutex:
            if self._closing:
                raise JobError("these jobs were closed")

    def _begin_to_watch(self) -> None:
        if self._thread is None:
            self._bell = self._bell or os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            thread = threading.Thread(target=self._watch, name="fairlead-jobs", daemon=True)
            thread.start()
            self._thread = thread

    def _launch(self, waiting: _Waiting) -> None:
        job, place = waiting.job, self._place(waiting.job.id)
        try:
            now = self._clock()
            began = {"attempt": waiting.attempt, "started": place.status().get("started") or now, "began": now}
            place.write_status({"state": "running"} | began)
            process = Process(place, job.order, waiting.message)
        except Exception as error:
            words = f"its process cannot be started: {one_line(error)}"
            self._end(job, waiting.attempt, "failed", failure_of(error), words)
        else:
            self._running[job.id] = (job, process, waiting.attempt)
            if waiting.paused:
                process.send(child.PAUSE)
            self._tell_journal(job)
        finally:
            os.close(waiting.message)

    # The thread that watches.

    def _ring(self) -> None:
        if self._bell is not None:
            with suppress(BlockingIOError):
                os.write(self._bell[1], b"!")

    def _watch(self) -> None:
        assert self._bell is not None
        bell = self._bell[0]
        while True:
            with self._mutex:
                if self._closing and not self._running:
                    return
                while self._queue and len(self._running) < self._parallel:
                    self._launch(self._queue.popleft())
                listened, wait = self._look()
            ready = readable([bell, *listened], wait)
            if bell in ready:
                with suppress(BlockingIOError):
                    os.read(bell, 4096)
            with self._mutex:
                for job, process, attempt in list(self._running.values()):
                    if process.told in ready and process.heard():
                        self._tell_journal(job)
                    if process.dead():
                        try:
                            self._bury(job, process, attempt)
                        except Exception as error:
                            self._let_go(job, error)
                for job in list(self._owed.values()):
                    self._tell_journal(job)

    def _look(self) -> tuple[list[int], float | None]:
        """What to listen to, and for how long."""
        listened, waits = [], [_RETRY_S] if self._owed else []
        for _, process, _ in self._running.values():
            if not process.mute:
                listened.append(process.told)
            if process.death is not None:
                listened.append(process.death)
            else:
                waits.append(_BLIND_S)
            if (soon := process.look()) is not None:
                waits.append(soon)
        return listened, min(waits, default=None)

    def _bury(self, job: Job, process: Process, attempt: int) -> None:
        place = self._place(job.id)
        ended = process.bury()
        if ended is None and process.ended is not None:
            if place.status()["state"] != process.ended["state"]:  # it had no room to write it
                place.insist_status(self._said(place, attempt) | process.ended)
            self._end(job, attempt)
        elif ended is not None:
            self._end(job, attempt, *ended)

    def _end(self, job: Job, attempt: int, state: str = "", failure: Failure | None = None, message: str = "") -> None:
        error: Exception | None = None
        try:
            place = self._place(job.id)
            if failure is not None:
                place.drop_unfinished()
                told = {"state": state, "failure": failure.value, "message": message, "finished": self._clock()}
                place.insist_status(self._said(place, attempt) | told)
            self._tell_journal(job)
        except Exception as found:
            error = found
        self._let_go(job, error)

    def _let_go(self, job: Job, error: Exception | None) -> None:
        """Whoever waits for it goes on. error: somebody has taken the folder away."""
        self._running.pop(job.id, None)
        self._stopping.discard(job.id)
        self._changed.notify_all()
        if error is not None:
            warn(f"what became of job {job.id} cannot be written: {one_line(error)}")

    def _said(self, place: JobFolder, attempt: int) -> dict[str, object]:
        return {"attempt": attempt} | {name: place.status().get(name) for name in ("started", "began")}

    def _tell_journal(self, job: Job) -> None:
        try:
            self._ledger.catch_up(self._place(job.id), job.order)
            self._owed.pop(job.id, None)
        except Exception as error:  # a full journal: told again later
            if job.id not in self._owed:
                self._owed[job.id] = job
                warn(f"the journal did not take yet what job {job.id} told: {one_line(error)}")

    # A process that was forked off.

    def _forked(self) -> None:
        super()._forked()
        self._changed = threading.Condition(self._mutex)
        for _, process, _ in self._running.values():
            process.forget()
        for end in (*(waiting.message for waiting in self._queue), *(self._bell or ())):
            os.close(end)
        self._running, self._queue, self._stopping, self._owed = {}, deque(), set(), {}
        self._thread = self._bell = None
