"""Health checks in the background: whether a model that was given up is there again, before a task has to find out."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from fairlead.errors import InvalidRecordError
from fairlead.fleet.attempt import Attempt
from fairlead.fleet.background import Background
from fairlead.policy.route import Route
from fairlead.providers.deadlines import Deadline
from fairlead.providers.provider import Answer, Provider
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


class HealthChecks(Background):
    """Asks each model whose breaker is open, once its interval is over: the half-open probe, which costs what a call
    costs. What it answers is not recorded, as nobody asked for it: the task of a check is void when it has ended.

    What ends them, if they were not told to stop, is kept as `problem`: a journal that is lost, say.
    """

    name = "fairlead-health-checks"

    def __init__(
        self,
        fleet: Patients,
        *,
        every: float | str | timedelta = "30s",
        task: Probe | None = None,
        deadline: float | str | timedelta = "20s",
    ) -> None:
        super().__init__(every)
        self._fleet = weakref.ref(fleet)
        if task is not None and not isinstance(task, Task) and not callable(task):
            raise InvalidRecordError(f"task is {task!r}, must be a Task, or a function that makes one for a model")
        self._task = task
        self._deadline = as_seconds(deadline, "deadline")

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
