"""What a route is to be good at, the rules that hold for routes, and a route in words.

The choice itself stands in `cpp/src/fleet/choose.cpp` and `cpp/include/fairlead/router.hpp`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from fairlead._core import GOALS, ROUTE_REASONS, Route
from fairlead.errors import InvalidRecordError, did_you_mean
from fairlead.types import TIERS

__all__ = ["GOALS", "ROUTE_REASONS", "Objective", "Route", "Rules", "RunnerUp", "as_objective", "tier_index"]


class RunnerUp(NamedTuple):
    """Whom a route would ask next, and what is expected of it: quality in [0, 1], USD, milliseconds (None: unknown)."""

    model: str
    quality: float
    cost_usd: float
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Objective:
    """What a route is to be good at.

    goal: `quality` (of the answer, in [0, 1]), `cost` (the cheapest), `latency` (the fastest), `value` (quality per
    dollar), or `mix`: quality x q - cost x c / (the dearest candidate's) - latency x l / (the slowest one's).
    quality, cost, latency: the weights of a mix. min_quality: candidates that are expected to be worse are taken only
    where nobody is better. explore: how many standard deviations of what is known are sampled (Thompson sampling); 0
    takes what is best so far.

    Raises InvalidRecordError for another goal, and weights that are negative or not finite.

    >>> Objective("cost", min_quality=0.8)
    Objective(goal='cost', quality=1.0, cost=0.0, latency=0.0, min_quality=0.8, explore=1.0)
    """

    goal: str = "quality"
    quality: float = 1.0
    cost: float = 0.0
    latency: float = 0.0
    min_quality: float = 0.0
    explore: float = 1.0

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            hint = did_you_mean(str(self.goal), GOALS)
            raise InvalidRecordError(f"goal is {self.goal!r}, must be one of {', '.join(GOALS)}{hint}")
        for f in fields(self)[1:]:
            given = getattr(self, f.name)
            if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0.0 <= given < math.inf:
                raise InvalidRecordError(f"{f.name} is {given!r}, must be a finite number, at least 0")

    def as_tuple(self) -> tuple[int, float, float, float, float, float]:
        """As the core takes it."""
        return GOALS.index(self.goal), self.quality, self.cost, self.latency, self.min_quality, self.explore


_PLAIN = {goal: Objective(goal).as_tuple() for goal in GOALS}


def as_objective(given: str | Objective | None) -> tuple[int, float, float, float, float, float] | None:
    """An objective, or a goal by its name, as the core takes it.

    >>> as_objective("value")
    (3, 1.0, 0.0, 0.0, 0.0, 1.0)
    """
    if given is None:
        return None
    if isinstance(given, Objective):
        return given.as_tuple()
    if isinstance(given, str):
        return _PLAIN.get(given) or Objective(given).as_tuple()
    raise InvalidRecordError(f"objective is {given!r}, must be an Objective or one of {', '.join(GOALS)}")


def tier_index(tier: str | None, where: str = "at_least") -> int | None:
    """The number of a tier, as the core takes it."""
    if tier is None:
        return None
    if tier not in TIERS:
        hint = did_you_mean(str(tier), TIERS)
        raise InvalidRecordError(f"{where} is {tier!r}, must be one of {', '.join(TIERS)}{hint}")
    return TIERS.index(tier)


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for all routes of a fleet, and for tasks of a type; a fleet's journal keeps them.

    objective: of routes that are given none. at_least: the lowest tier that may be asked. pin: the one model that may.
    ban: models that may not. types: rules of their own for types of tasks; what they say goes before, and bans add up.
    What a call of `Fleet.route` says goes before both.

    Raises InvalidRecordError for what cannot be.

    >>> Rules(ban=["gpt-4o"], types={"reasoning": Rules(at_least="reasoning")}).to_dict()
    {'all': {'ban': ['gpt-4o']}, 'types': {'reasoning': {'at_least': 'reasoning'}}}
    """

    objective: Objective | str | None = None
    at_least: str | None = None
    pin: str | None = None
    ban: Sequence[str] = ()
    types: Mapping[str, Rules] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.objective, str):
            object.__setattr__(self, "objective", Objective(self.objective))
        as_objective(self.objective)
        tier_index(self.at_least)
        given: Any = self.pin
        if given is not None and not (isinstance(given, str) and given):
            raise InvalidRecordError(f"pin is {given!r}, must be the name of a model")
        given = self.ban
        if isinstance(given, str) or not all(isinstance(name, str) for name in given):
            raise InvalidRecordError(f"ban is {given!r}, must be names of models")
        object.__setattr__(self, "ban", tuple(given))
        for name, rules in dict[str, Any](self.types).items():
            if not isinstance(rules, Rules) or rules.types:
                raise InvalidRecordError(f"types[{name!r}] is {rules!r}, must be Rules without types")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON types, for the journal."""
        out: dict[str, Any] = {"all": self._rule()}
        if self.types:
            out["types"] = {name: rules._rule() for name, rules in self.types.items()}
        return out

    def _rule(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        if isinstance(self.objective, Objective):
            out["objective"] = {f.name: getattr(self.objective, f.name) for f in fields(self.objective)}
        for name in ("at_least", "pin"):
            if getattr(self, name) is not None:
                out[name] = getattr(self, name)
        if self.ban:
            out["ban"] = list(self.ban)
        return out

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Rules:
        """From what `to_dict` gives.

        >>> rules = Rules("cost", pin="mine")
        >>> Rules.from_dict(rules.to_dict()) == rules
        True
        """

        def rule(one: Mapping[str, Any], types: Mapping[str, Rules]) -> Rules:
            objective = one.get("objective")
            return cls(
                None if objective is None else Objective(**objective),
                one.get("at_least"),
                one.get("pin"),
                one.get("ban", ()),
                types,
            )

        types = {name: rule(one, {}) for name, one in given.get("types", {}).items()}
        return rule(given.get("all", {}), types)


def as_dict(route: Route) -> dict[str, Any]:
    """A route as plain JSON types."""
    names = ("task", "model", "provider", "attempt", "type", "goal", "quality", "spread", "cost_usd", "latency_ms")
    out = {name: getattr(route, name) for name in names}
    out |= {"propensity": route.propensity, "reserved_usd": route.reserved_usd, "reasons": list(route.reasons)}
    out["runners_up"] = [other._asdict() for other in route.runners_up]
    return out | {"refused_by": route.refused_by, "then": route.then, "until": route.until}


def in_words(route: Route) -> str:
    """A route as a sentence."""
    why = ", ".join(reason.replace("_", " ") for reason in route.reasons) or "-"
    if not route:
        if route.refused_by:
            return f"{route.task}: not asked: budget {route.refused_by!r} has ${route.left_usd:.6g} left ({why})"
        return f"{route.task}: nobody to ask ({why})"
    latency = "" if route.latency_ms is None else f", {route.latency_ms:.0f} ms"
    of = f" ({route.type})" if route.type else ""
    return (
        f"{route.task}{of} -> {route.model}: expected quality {route.quality:.3f} +- {route.spread:.3f}, "
        f"${route.cost_usd:.6g}{latency}; chosen with propensity {route.propensity:.2f}: {why}"
    )
