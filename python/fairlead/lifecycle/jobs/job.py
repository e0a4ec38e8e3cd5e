"""One job, as its owner holds it."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol, TextIO

from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.jobs.faults import JobFailedError
from fairlead.lifecycle.jobs.folder import JobFolder
from fairlead.lifecycle.jobs.orders import Order
from fairlead.lifecycle.jobs.status import JobResult, JobStatus


class Runner(Protocol):
    """What a job needs of those who run it."""

    def status_of(self, place: JobFolder, order: Order) -> JobStatus:
        """How it stands."""
        ...

    def ask(self, id: str, what: str, grace_s: float = 0.0) -> None:
        """To "pause", "resume" or "stop"."""
        ...

    def wait_for(self, id: str, timeout: float | None) -> None:
        """Until it has ended."""
        ...


class Job:
    """A training job. Made by `start`, `get` and `resume` of those who run jobs.

    id: of the job, and the name of its folder. name: of the model. order: all that was asked. folder: where its files
    are.
    """

    def __init__(self, runner: Runner, place: JobFolder, order: Order) -> None:
        self._runner, self._place = runner, place
        self.order = order

    @property
    def id(self) -> str:
        """The id of the job."""
        return self.order.id

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.order.name

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self._place.path

    @property
    def log(self) -> str:
        """What it printed, and the traceback where it failed."""
        path = self._place.log
        return path.read_text(errors="replace") if path.exists() else ""

    def status(self) -> JobStatus:
        """How it stands now."""
        return self._runner.status_of(self._place, self.order)

    def stop(self, grace_s: float = 30.0) -> None:
        """Asks it to end after the epoch that it is in, with a checkpoint; it is killed after `grace_s` seconds. Of a
        job that has ended, nothing happens."""
        self._runner.ask(self.id, "stop", grace_s)

    def pause(self) -> None:
        """Asks it to wait after the epoch that it is in: its state is "paused" from then on."""
        self._runner.ask(self.id, "pause")

    def resume(self) -> None:
        """Lets a paused one go on. One that has failed or was stopped is resumed by those who run the jobs."""
        self._runner.ask(self.id, "resume")

    def wait(self, timeout: float | None = None) -> JobStatus:
        """Waits until it has ended, and gives how. timeout: seconds; raises TimeoutError when they have passed."""
        self._runner.wait_for(self.id, timeout)
        return self.status()

    def result(self, timeout: float | None = None) -> JobResult:
        """Waits until it is done, and gives what came out of it. Raises JobFailedError where nothing did: its `failure`
        says how, its message why; TimeoutError when `timeout` seconds have passed."""
        status = self.wait(timeout)
        if status.state != "done":
            failure = status.failure or Failure.raised
            words = "was stopped" if status.state == "stopped" else f"failed ({failure})"
            raise JobFailedError(f"job {self.id} {words}: {status.message}", failure, self.id)
        said, order = self._place.status(), self.order
        return JobResult(
            id=self.id,
            name=self.name,
            artifact=self.folder / said["artifact"],
            digest=said["digest"],
            format=order.format,
            bytes=said["bytes"],
            seconds=status.seconds,
            losses=status.losses,
            validation_losses=status.validation_losses,
            best=said["best"],
            mode=order.mode,
            seed=order.seed,
            examples=order.examples,
            base_digest=order.base_digest,
        )

    def show(self, file: TextIO | None = None) -> JobStatus:
        """Shows a progress bar until it has ended: on a terminal one that moves, elsewhere a line for each epoch."""
        from fairlead.lifecycle.jobs.picture import follow

        return follow(self, file)

    def __repr__(self) -> str:
        return f"Job({str(self.status())!r})"
