"""A fleet's money under a clock of the test's own: one call at a time, to the model and at the price of the test."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import fairlead as fl
from fairlead.journal import read
from fairlead.measure.money import Money, as_nanos, as_usd
from fairlead.providers import Answer, Usage
from fairlead.providers.usage import NOTHING
from fairlead.times import as_time


class Desk:
    """In memory, or with journal=True on one, so that `reopen` is another process."""

    def __init__(self, models: tuple[fl.Model, ...], now: datetime, *, journal: bool = False) -> None:
        self.now = now
        self.folder = tempfile.TemporaryDirectory() if journal else None
        self.n = 0
        self.open()
        for model in models:
            self.fleet.add(model)

    def open(self) -> None:
        if self.folder is None:
            self.fleet = fl.Fleet(clock=self.clock)
        else:
            self.fleet = fl.Fleet.open(Path(self.folder.name) / "desk", clock=self.clock)
        self.fleet.classifier = None  # types are what the tests say
        self.budgets, self.costs = self.fleet.budgets, self.fleet.costs

    def clock(self) -> int:
        return as_time(self.now)

    def logged(self) -> int:
        """How many events of budgets the journal has."""
        assert self.fleet.journal is not None
        self.fleet.sync()
        return sum(event.type == "budget" for event in read(self.fleet.journal.folder))

    def listen(self, alerts: list[Any]) -> None:
        self.budgets.on_alert(alerts.append)

    def reopen(self) -> None:
        self.fleet.close()
        self.open()

    def close(self) -> None:
        self.fleet.close()
        if self.folder is not None:
            self.folder.cleanup()

    def route(
        self, model: str, bound: Money, category: str | None = None, type: str | None = None
    ) -> tuple[fl.Route | None, str, str]:
        """A call to one model, which may cost so much: its route, or None, who refuses it and what to do then."""
        self.n += 1
        task = fl.Task(f"task {self.n} {self.now}", category=category or "")
        route = self.fleet.route(task, pin=model, type=type, bounds={model: as_usd(as_nanos(bound))})
        assert bool(route) == (route.model == model)
        assert as_nanos(route.reserved_usd) == as_nanos(bound) or "held_back" in route.reasons
        return route if route else None, route.refused_by, route.then

    def called(self, route: fl.Route, usd: Money, usage: Usage = NOTHING) -> None:
        assert route.model is not None
        forecast = fl.Forecast(route.model, p=0.5, cost_usd=as_usd(as_nanos(usd)))
        self.fleet.called(route, Answer(forecast, usage=usage))

    def release(self, route: fl.Route) -> None:
        self.fleet.release(route)

    def record(self, model: str, usd: Money, category: str) -> None:
        self.n += 1
        task = fl.Task(f"told {self.n} {self.now}", category=category)
        self.fleet.record(task, fl.Forecast(model, p=0.5, cost_usd=as_usd(as_nanos(usd)), time=self.clock()))

    def call(
        self, model: str, usd: Money, *, category: str | None = None, type: str | None = None, usage: Usage = NOTHING
    ) -> bool:
        """A call that costs what was reserved for it; whether it was granted."""
        route, _, _ = self.route(model, usd, category, type)
        if route is not None:
            self.called(route, usd, usage)
        return route is not None
