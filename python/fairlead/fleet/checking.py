"""Health checks in the background: whether a model that was given up is there again, before a task has to find out."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from types import TracebackType
from typing import Protocol

from fairlead.errors import InvalidRecordError
from fairlead.fleet.attempt import Attempt
from fairlead.policy.route import Route
from fairlead.providers.deadlines import Deadline
from fairlead.providers.provider import Answer, Provider
from fairlead.providers.waiting import in_background
from fairlead.times import as_seconds
from fairlead.types import Forecast, Model, Task

Probe = Task | Callable[[Model], Task]
"""What a model is asked to see whether it answers: a task, or what makes one for the model."""


class Patients(Protocol):
    """What health checks need of a fleet."""

    def resting(self) -> tuple[str, ...]: ...
    def gate(self, model: str) -> str: ...
    @property
    def route(self) -> Callable[..., Route]: ...
    def called(self, route: Route, answer: Answer) -> None: ...
    def release(self, route: Route) -> None: ...
    def record(self, task: Task | str, forecast: Forecast) -> None: ...
    def void(self, task: str) -> bool: ...
    def answerer(self, model: str) -> tuple[Model, Provider] | None: ...
    def now(self) -> int: ...
    @property
    def emergency(self) -> bool: ...
    def leave_emergency(self, reason: str) -> object: ...


class HealthChecks:
    """Asks each model whose breaker is open, once its interval is over: the half-open probe, which costs what a call
    costs. What it answers is not recorded, as nobody asked for it: the task of a check is void when it has ended.

    They run on the event loop they were started on, or from code that is not async on one in a thread, until `stop`,
    until the loop ends, or until the fleet is gone; they keep no process alive. Also a context manager.
    """

    def __init__(
        self,
        fleet: Patients,
        *,
        every: float | str | timedelta = "30s",
        task: Probe | None = None,
        deadline: float | str | timedelta = "20s",
    ) -> None:
        self._fleet = weakref.ref(fleet)
        self.every = as_seconds(every, "every")
        if not 0.0 < self.every < float("inf"):
            raise InvalidRecordError(f"every is {every!r}, must be positive")
        if task is not None and not isinstance(task, Task) and not callable(task):
            raise InvalidRecordError(f"task is {task!r}, must be a Task, or a function that makes one for a model")
        self._task = task
        self._deadline = as_seconds(deadline, "deadline")
        self._running: asyncio.Task[None] | Future[None] | None = None
        self.problem: BaseException | None = None
        """What ended them, if they were not told to stop: a journal that is lost, say."""

    def start(self) -> HealthChecks:
        """Begins, if they do not run already."""
        if not self.running:
            self.problem = None
            try:
                loop = asyncio.get_running_loop()
            except RuntimeError:
                self._running = in_background(self._rounds())
            else:
                self._running = loop.create_task(self._rounds(), name="fairlead-health-checks")
        return self

    def stop(self) -> None:
        """Ends them; a check that is under way is given up. From any thread, twice too."""
        running, self._running = self._running, None
        if running is None or running.done():
            return
        if isinstance(running, asyncio.Task):
            loop = running.get_loop()
            if not loop.is_closed():
                loop.call_soon_threadsafe(running.cancel)
        else:
            running.cancel()

    @property
    def running(self) -> bool:
        return self._running is not None and not self._running.done()

    def __enter__(self) -> HealthChecks:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __repr__(self) -> str:
        return f"<HealthChecks every {self.every:g} s, {'running' if self.running else 'stopped'}>"

    async def check(self) -> dict[str, bool]:
        """One round, now: the models that were asked, and whether they answered."""
        fleet = self._fleet()
        resting = [] if fleet is None else [name for name in fleet.resting() if fleet.gate(name) == "yes"]
        del fleet  # it may go while it waits
        found = await asyncio.gather(*(self._ask(model) for model in resting))
        return {model: well for model, well in zip(resting, found, strict=True) if well is not None}

    async def _rounds(self) -> None:
        try:
            while self._fleet() is not None:
                await self.check()
                await asyncio.sleep(self.every)
        except Exception as error:  # there is nobody to raise it to
            self.problem = error

    async def _ask(self, name: str) -> bool | None:
        """Whether a model answers; None where it may not be asked: no money, or another's probe is under way."""
        fleet = self._fleet()
        if fleet is None:
            return None
        who = fleet.answerer(name)
        if who is None:
            return None
        task = self._probe(who[0], fleet.now())
        route = fleet.route(task, pin=name)
        if not route:
            return None
        limit = Deadline.after(self._deadline)
        try:
            answer = await Attempt(fleet, route, who, task, limit, recorded=False).run()
        finally:
            fleet.void(task.id)
        if answer.failure is None and fleet.emergency:
            fleet.leave_emergency(f"{name} answers a health check")
        return answer.failure is None

    def _probe(self, model: Model, now: int) -> Task:
        if self._task is None:
            task = Task("health check", text="Does a fair coin land on heads?")
        else:
            task = self._task if isinstance(self._task, Task) else self._task(model)
        return replace(task, id=f"{task.id} of {model.name} at {now}")
