"""A fleet's money under a clock of the test's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from accounts import Accounts

import fairlead as fl
from fairlead.fleet.spending import FleetBudgets, FleetCosts
from fairlead.measure.money import Money, as_nanos
from fairlead.providers import Usage
from fairlead.providers.usage import NOTHING
from fairlead.times import as_time


class Desk:
    def __init__(self, models: tuple[fl.Model, ...], now: datetime) -> None:
        self.now, self.models = now, {model.name: model for model in models}
        self.core = Accounts(tuple(self.models))
        self.budgets = FleetBudgets(self.core, self.clock)
        self.costs = FleetCosts(self.core, self.clock)
        self.events_at_first = self.events()

    def clock(self) -> int:
        return as_time(self.now)

    def events(self) -> int:
        return len(self.core.log)

    def listen(self, alerts: list[Any]) -> None:
        self.budgets.on_alert(alerts.append)

    def state(self) -> object:
        return self.core.budgets.snapshot(), self.core.spend.snapshot()

    def reopen(self) -> None:
        """Another process, which has nothing but the events."""
        log, names = self.core.log, self.core.names
        self.core = Accounts(tuple(self.models))
        self.core.names = names
        for event in log:
            self.core._do(event)
        self.budgets = FleetBudgets(self.core, self.clock)
        self.costs = FleetCosts(self.core, self.clock)

    def close(self) -> None:
        pass

    def route(
        self, model: str, bound: Money, category: str | None = None, type: str | None = None
    ) -> tuple[Any, str, str]:
        """A call to one model, which may cost so much: its ticket, or None, who refuses it and what to do then."""
        where = (model, self.models[model].tier, category, type)
        call = self.core.route(as_nanos(bound), self.clock(), *where)
        refused = ("", "") if call is not None else self.core.refusal
        self.budgets.tell()
        return None if call is None else (call, where), *refused

    def called(self, ticket: Any, usd: Money, usage: Usage = NOTHING) -> None:
        tokens = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, usage.cache_write_tokens)
        self.core.called(ticket[0], as_nanos(usd), self.clock(), ticket[1], *tokens)
        self.budgets.tell()

    def release(self, ticket: Any) -> None:
        self.core.release(ticket[0])

    def record(self, model: str, usd: Money, category: str) -> None:
        self.core.charge(as_nanos(usd), self.clock(), model, self.models[model].tier, category, None)
        self.budgets.tell()

    def call(
        self, model: str, usd: Money, *, category: str | None = None, type: str | None = None, usage: Usage = NOTHING
    ) -> bool:
        """A call that costs what was reserved for it; whether it was granted."""
        ticket, _, _ = self.route(model, usd, category, type)
        if ticket is not None:
            self.called(ticket, usd, usage)
        return ticket is not None
