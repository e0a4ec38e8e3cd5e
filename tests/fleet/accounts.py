"""What the compiled fleet has of money, small and in Python: for tests of what stands above it."""

from __future__ import annotations

import json
from typing import Any

from fairlead._core import Budgets, Calendar, Scoreboard, Spend
from fairlead.fleet.spending import AlertRow
from fairlead.measure.budget import LEVELS, ON_EXHAUSTED, SCOPES, TIERS
from fairlead.measure.calendar import PERIODS


class Accounts:
    """Budgets and spending as a fold over `log`: what changes them is an event there first."""

    def __init__(self, models: tuple[str, ...] = ("gpt-5", "gpt-5-mini", "local")) -> None:
        self.board, self.budgets, self.spend = Scoreboard(), Budgets(), Spend()
        for model in models:
            self.board.add(model)
        self.names: dict[str, list[str]] = {"category": [], "type": []}
        self.log: list[tuple[Any, ...]] = []

    def budget_event(self, record: str, time: int) -> int:
        return self._do(("budget", record, time))

    def alerts(self, time: int) -> list[AlertRow]:
        found = self.budgets.due()
        out = []
        for id, level, *numbers in found:
            out.append((self.budgets.view(id, time)["name"], LEVELS[level], *numbers))
            self._do(("alert", (id, level, numbers[0])))
        return out  # type: ignore[return-value]

    def spend_names(self, scope: str) -> list[str]:
        return self.names[scope]

    def estimate(self, kind: str, where: Any) -> list[tuple[str, float, float, float]]:
        return []

    # What fleet.route and fleet.called do.

    def route(self, bound: int, time: int, model: str, tier: str, category: str | None, type: str | None) -> int | None:
        where = self._where(model, tier, category, type)
        if (found := self.budgets.check(bound, time, *where)) is not None:
            self.refusal = (self.budgets.view(found[0], time)["name"], ON_EXHAUSTED[found[1]])
            self._do(("refused", bound, time, where))
            return None
        self._do(("route", bound, time, where))
        return self.call

    def called(self, call: int, cost: int, time: int, where: tuple[Any, ...], *tokens: int) -> None:
        self._do(("called", call, cost, time, self._where(*where), tokens))

    def charge(self, cost: int, time: int, *where: Any) -> None:
        self._do(("charged", cost, time, self._where(*where)))

    def release(self, call: int) -> None:
        self._do(("released", call))

    def _where(self, model: str, tier: str, category: str | None, type: str | None) -> tuple[int | None, ...]:
        return (
            self.board.find_model(model),
            TIERS.index(tier),
            None if category is None else self._id("category", category),
            None if type is None else self._id("type", type),
        )

    def _id(self, scope: str, name: str) -> int:
        names = self.names[scope]
        if name not in names:
            names.append(name)
        return names.index(name)

    def _do(self, event: tuple[Any, ...]) -> int:
        self.log.append(event)
        kind, *rest = event
        if kind == "budget":
            self._budget(json.loads(rest[0]), rest[1])
        elif kind == "alert":
            self.budgets.told(*rest[0])
        elif kind == "refused":
            self.budgets.refuse(rest[0], rest[1], *rest[2])
        elif kind == "route":
            self.call = self.budgets.take(rest[0], rest[1], *rest[2])
        elif kind == "released":
            self.budgets.cancel(rest[0])
        elif kind == "charged":
            self.budgets.charge(rest[0], rest[1], *rest[2])
            self.spend.add(rest[0], rest[1], *rest[2])
        else:
            call, cost, time, where, tokens = rest
            self.budgets.settle(call, cost, time)
            self.spend.add(cost, time, *where, *tokens)
        return 0

    def _budget(self, given: dict[str, Any], time: int) -> None:
        if "zone" in given:
            calendar = Calendar.from_runs([tuple(run) for run in given["runs"]])
            self.budgets.calendar = self.spend.calendar = calendar
        elif given.get("removed"):
            self.budgets.remove(given["name"])
        else:
            scope, of = given["scope"], given["of"]
            if scope == "all":
                id = 0
            elif scope == "model":
                id = self.board.find_model(of)
            else:
                id = TIERS.index(of) if scope == "tier" else self._id(scope, of)
            self.budgets.define(
                given["name"],
                given["limit"],
                period=PERIODS.index(given["period"]),
                scope=SCOPES.index(scope),
                of=id,
                warning=given["warning"],
                critical=given["critical"],
                on_exhausted=ON_EXHAUSTED.index(given["on_exhausted"]),
                now=time,
            )
