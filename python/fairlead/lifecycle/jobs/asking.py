"""What all who run jobs share: checking what is asked, the folders of jobs, history, and what a restart finds."""

from __future__ import annotations

import os
import shutil
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.lifecycle.examples import Examples
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.jobs.checks import check_parts, check_same, limits_of, order_of
from fairlead.lifecycle.jobs.faults import JobError, JobsLockedError, UnknownJobError, failure_of, warn
from fairlead.lifecycle.jobs.folder import JobFolder, digest_of, lock
from fairlead.lifecycle.jobs.folder import replace as write
from fairlead.lifecycle.jobs.job import Job
from fairlead.lifecycle.jobs.ledger import Ledger, Log
from fairlead.lifecycle.jobs.orders import EarlyStopping, Limits, Order, id_of, is_id, whole_number
from fairlead.lifecycle.jobs.process import kill_orphan
from fairlead.lifecycle.jobs.status import FINAL, JobStatus, read_status
from fairlead.lifecycle.trainer import PathLike, Trainer

_BEGUN = {"base", "status", "status.new", "job.json.new"}
"""Files of a job before its order is written."""


_Own = TypeVar("_Own", bound="JobsOfFolder")


class Jobs(Protocol):
    """Those who run training jobs: `TrainingJobs`, each in a process of its own, and `InlineJobs`, in this one."""

    def start(
        self,
        trainer: Trainer,
        examples: Examples,
        *,
        name: str,
        seed: int = 0,
        mode: str = "full",
        base: PathLike | None = None,
        validation: Examples | None = None,
        early_stopping: EarlyStopping | None = None,
        limits: Limits | None = None,
        checkpoint_every: int | None = None,
        reason: str = "",
    ) -> Job:
        """Starts a job."""
        ...

    def resume(
        self,
        id: str,
        trainer: Trainer,
        examples: Examples,
        *,
        validation: Examples | None = None,
        limits: Limits | None = None,
        from_start: bool = False,
    ) -> Job:
        """Lets a job that failed or was stopped go on."""
        ...

    def get(self, id: str) -> Job:
        """A job by its id."""
        ...

    def history(self, name: str | None = None) -> tuple[JobStatus, ...]:
        """How every job stands, the oldest first."""
        ...

    def recover(self) -> tuple[Job, ...]:
        """After a restart: marks jobs whose parent is gone."""
        ...

    def close(self) -> None:
        """Ends those that run."""
        ...


class JobsOfFolder(ABC):
    """A folder of jobs, of which one process at a time is the owner; any may read."""

    def __init__(self, folder: PathLike, log: Log | None, clock: Callable[[], int]) -> None:
        if os.fspath(folder) == "":
            raise InvalidRecordError("folder is '', must be the folder that jobs are kept in")
        self.folder = Path(folder).absolute()
        self._ledger = Ledger(log)
        self._clock = clock
        self._mutex = threading.RLock()
        self._owned: int | None = None
        self._beginning: set[str] = set()  # written, but not yet handed to those who train
        self._number = 0
        self._places: dict[str, JobFolder] = {}
        _ALL.add(self)

    # What those who run jobs do.

    def start(
        self,
        trainer: Trainer,
        examples: Examples,
        *,
        name: str,
        seed: int = 0,
        mode: str = "full",
        base: PathLike | None = None,
        validation: Examples | None = None,
        early_stopping: EarlyStopping | None = None,
        limits: Limits | None = None,
        checkpoint_every: int | None = None,
        reason: str = "",
    ) -> Job:
        """Starts to train a model.

        Args:
            trainer: An untrained one of the same parameters is trained; this one is not changed.
            examples: What it learns from.
            name: Of the model.
            seed: Of all that is random.
            mode: "full" forgets what the model knew; "incremental" goes on from `base`.
            base: The file of the weights to go on from; of an incremental job without it, what `trainer` knows.
            validation: Examples that each epoch's validation loss is taken on: the mean log-loss, or the mean squared
                error of numbers.
            early_stopping: Ends the training when the validation loss does not improve any more; the best epoch's
                weights are kept.
            limits: What it may use at most.
            checkpoint_every: After so many epochs, where the trainer can go on from a checkpoint; None: as often as it
                takes less than a twentieth of the time.
            reason: Why, for the journal.

        Returns:
            The job.

        Raises InvalidRecordError naming the argument that cannot be, NotSendableError where the trainer cannot cross to
        the job's process, JobsLockedError where another process owns the folder, JobError where the folder cannot be
        written: nothing was started then.
        """
        order = order_of(
            trainer,
            examples,
            name=name,
            created=self._clock(),
            seed=seed,
            mode=mode,
            base=base,
            validation=validation,
            early_stopping=early_stopping,
            limits=limits,
            checkpoint_every=checkpoint_every,
            reason=reason,
        )
        ready = self._ready(trainer, examples, validation)
        with self._mutex:
            self._own()
            try:
                place, order = self._begin(order, trainer)
            except OSError as error:
                failed = JobError(f"the job of {name!r} cannot be written to {self.folder}: {error}")
                failed.failure = failure_of(error)
                raise failed from error
            self._beginning.add(place.id)
        return self._hand_over(Job(self, place, order), ready, 1, False)

    def resume(
        self,
        id: str,
        trainer: Trainer,
        examples: Examples,
        *,
        validation: Examples | None = None,
        limits: Limits | None = None,
        from_start: bool = False,
    ) -> Job:
        """Lets a job that failed or was stopped go on: from its newest checkpoint where it has one, else anew.

        trainer, examples, validation: the same as at its start. limits: other ones, None: the same. from_start: the
        checkpoint does not count. What comes out is the same, to the byte, as if it had never been interrupted.

        Raises UnknownJobError; JobError where the job runs or is done, or something is not the same as at its start;
        and as `start`.
        """
        job = self.get(id)
        check_parts(trainer, examples, validation)
        ready = self._ready(trainer, examples, validation)
        with self._mutex:
            self._own()
            self._settle(job)
            status = job.status()
            if status.state not in ("failed", "stopped"):
                raise JobError(f"job {id} is {status.state}: only a job that failed or was stopped can be resumed")
            check_same(job.order, trainer, examples, validation)
            order = job.order if limits is None else replace(job.order, limits=limits_of(limits))
            place = self._place(id)
            said = place.status()
            attempt = said.get("attempt", 1) + 1
            place.write_order(order)
            place.write_status({"state": "queued", "attempt": attempt, "started": said.get("started")})
            self._beginning.add(id)
        return self._hand_over(Job(self, place, order), ready, attempt, not from_start)

    def get(self, id: str) -> Job:
        """A job by its id. Raises UnknownJobError."""
        place = self._place(id)
        return Job(self, place, place.order())

    def history(self, name: str | None = None) -> tuple[JobStatus, ...]:
        """How every job stands, the oldest first. name: those of one model alone. A job whose files cannot be read is
        left out, with a warning."""
        found = []
        for job in self._all():
            if name is None or job.name == name:
                try:
                    found.append(job.status())
                except JobError as error:
                    warn(f"job {job.id} is left out: {error}")
        return tuple(found)

    def recover(self) -> tuple[Job, ...]:
        """After a restart: what has no parent any more is ended and marked failed (`Failure.orphaned`), and the journal
        is told what it does not know yet. Gives the jobs that are orphans: `resume` lets them go on.

        Asked twice, it gives the same. Whatever makes this process the owner of the folder (`start`, `resume`) marks
        them too.

        Raises JobsLockedError where another process owns the folder.
        """
        with self._mutex:
            self._own()
            return tuple(job for job in self._all() if job.status().failure is Failure.orphaned)

    def delete(self, id: str) -> None:
        """Removes the folder of a job that has ended. Raises UnknownJobError, JobError where it runs."""
        with self._mutex:
            job = self.get(id)
            self._own()
            if not job.status().ended or self._lives(id):
                raise JobError(f"job {id} runs: stop it first")
            self._number = self._number or self._highest()
            write(self.folder / "last", str(self._number).encode())  # no id is used twice: the journal has them
            shutil.rmtree(job.folder)
            self._places.pop(id, None)

    def prune(self, keep: int = 20) -> int:
        """Removes the oldest jobs that have ended, of each model all but the newest `keep`; gives how many. What
        matters is in the registry by then."""
        whole_number(keep, "keep", 0)
        with self._mutex:
            self._own()
            ended: dict[str, list[str]] = {}
            for status in self.history():
                if status.ended and not self._lives(status.id):
                    ended.setdefault(status.name, []).append(status.id)
            old = [id for ids in ended.values() for id in ids[: max(0, len(ids) - keep)]]
            for id in old:
                self.delete(id)
            return len(old)

    @abstractmethod
    def close(self) -> None:
        """Ends those that run, and gives the folder free."""

    def __enter__(self: _Own) -> _Own:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What each kind does in its own way.

    @abstractmethod
    def _ready(self, trainer: Trainer, examples: Examples, validation: Examples | None) -> Any:
        """Whatever is needed to train; raises where it cannot be."""

    @abstractmethod
    def _run(self, job: Job, ready: Any, attempt: int, resumed: bool) -> Job:
        """Trains, or has it trained."""

    @abstractmethod
    def _lives(self, id: str) -> bool:
        """Whether it is being trained from here."""

    @abstractmethod
    def ask(self, id: str, what: str, grace_s: float = 0.0) -> None:
        """Asks a job to pause, resume or stop."""

    @abstractmethod
    def wait_for(self, id: str, timeout: float | None) -> None:
        """Waits until a job has ended."""

    def status_of(self, place: JobFolder, order: Order) -> JobStatus:
        """How a job stands."""
        alive = place.id in self._beginning or self._lives(place.id) or self._owned_elsewhere()
        return read_status(place, order, self._clock(), True if alive else None)

    def _hand_over(self, job: Job, ready: Any, attempt: int, resumed: bool) -> Job:
        try:
            return self._run(job, ready, attempt, resumed)
        finally:
            with self._mutex:
                self._beginning.discard(job.id)

    # The folder.

    def _own(self) -> None:
        """Becomes the owner of the folder, and sees to what the owner before has left. Raises JobsLockedError where
        another process is."""
        if self._owned is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        if not lock(file, patient=True):
            holder = os.pread(file, 64, 0).decode(errors="replace").strip()
            os.close(file)
            raise JobsLockedError(f"the jobs in {self.folder} are run by process {holder or 'unknown'}")
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        self._owned = file
        try:
            for path in self.folder.iterdir():  # a death before the order was written: there is no job
                if is_id(path.name) and path.is_dir() and {part.name for part in path.iterdir()} <= _BEGUN:
                    shutil.rmtree(path, ignore_errors=True)
            for job in self._all():
                self._settle(job)
        except BaseException:  # such as a full journal: the next call begins anew
            self._disown()
            raise

    def _owned_elsewhere(self) -> bool:
        if self._owned is not None:
            return False
        try:
            file = os.open(self.folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            return not lock(file, shared=True)
        finally:
            os.close(file)

    def _disown(self) -> None:
        if self._owned is not None:
            os.close(self._owned)
            self._owned = None

    def _place(self, id: str) -> JobFolder:
        with self._mutex:
            if id not in self._places:
                if not (Path(str(id)).name == id and (self.folder / id / "job.json").exists()):
                    hint = did_you_mean(str(id), self._ids())
                    raise UnknownJobError(f"there is no job {id!r} in {self.folder}{hint}")
                self._places[id] = JobFolder(self.folder / id)
            return self._places[id]

    def _ids(self) -> list[str]:
        if not self.folder.is_dir():
            return []
        return [path.name for path in self.folder.iterdir() if (path / "job.json").exists()]

    def _highest(self) -> int:
        """The highest number that a job ever had."""
        numbers = [int(name.rpartition("-")[2]) for name in self._ids() if is_id(name)]
        with suppress(OSError, ValueError):
            numbers.append(int((self.folder / "last").read_text()))
        return max(numbers, default=0)

    def _all(self) -> list[Job]:
        jobs = []
        for id in self._ids():
            if (self.folder / id / "status").exists():
                try:
                    jobs.append(self.get(id))
                except JobError as error:  # after a power cut: the others are there
                    warn(f"job {id} is left out: {error}")
        return sorted(jobs, key=lambda job: (job.order.created, job.id))

    def _settle(self, job: Job) -> None:
        """Marks a job that has no parent any more, and tells the journal what it does not know."""
        if job.id in self._beginning or self._lives(job.id):
            return
        place = self._place(job.id)
        try:
            state = place.status()["state"]
        except JobError as error:  # after a power cut
            kill_orphan(place)
            lost = {"state": "failed", "failure": Failure.orphaned.value, "message": f"its state was lost: {error}"}
            place.insist_status(lost | {"attempt": max(1, place.journaled()["begun"]), "finished": self._clock()})
            state = "failed"
        if state not in FINAL:
            kill_orphan(place)
            said = place.status()
            if said["state"] not in FINAL:
                status = read_status(place, job.order, self._clock(), False)
                place.drop_unfinished()
                ended = {"state": "failed", "failure": Failure.orphaned.value, "message": status.message}
                place.insist_status(said | ended | {"finished": self._clock()})
        self._ledger.catch_up(place, job.order, recovering=True)

    def _begin(self, order: Order, trainer: Trainer) -> tuple[JobFolder, Order]:
        """Makes the folder of a job, and writes what is asked into it."""
        if self._number == 0:  # after that, nobody else makes any
            self._number = self._highest()
        self._number += 1
        while True:
            path = self.folder / id_of(order.name, self._number)
            try:
                path.mkdir()
                break
            except FileExistsError:  # a folder that a death left without its order
                self._number += 1
        place = JobFolder(path)
        try:
            known: dict[str, Any] = {"id": path.name}
            if order.mode == "incremental" and order.base is None and trainer.schema is not None:
                trainer.save(path / "base")
                known |= {"base": str(path / "base"), "base_digest": digest_of(path / "base")}
            order = Order.from_dict(order.as_dict() | known)
            place.write_status({"state": "queued", "attempt": 1})
            place.write_order(order)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        self._places[path.name] = place
        return place, order

    # A process that was forked off.

    def _forked(self) -> None:
        """Nothing of it is this process's: neither the folder, whose lock would outlive the owner, nor any job."""
        self._mutex = threading.RLock()  # another thread may have held the one that was
        self._beginning, self._places, self._number = set(), {}, 0
        self._disown()


_ALL: weakref.WeakSet[JobsOfFolder] = weakref.WeakSet()


def _forked() -> None:
    for jobs in _ALL:
        jobs._forked()


os.register_at_fork(after_in_child=_forked)
