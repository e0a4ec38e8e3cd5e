"""Judging routers on tables of prompts: which model was how good, and what it cost. See docs/routing.md."""

from __future__ import annotations

from fairlead.policy.routing.agreement import Agreement
from fairlead.policy.routing.evaluation import RoutingReport, evaluate_routers
from fairlead.policy.routing.picture import draw
from fairlead.policy.routing.scores import CallCurve, CostCurve, hull
from fairlead.policy.routing.table import RoutingTable, read_prices, read_routing_table

__all__ = [
    "Agreement",
    "CallCurve",
    "CostCurve",
    "RoutingReport",
    "RoutingTable",
    "draw",
    "evaluate_routers",
    "hull",
    "read_prices",
    "read_routing_table",
]
