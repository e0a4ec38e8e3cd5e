"""Whom a cascade asks, in which order, and when it stops: the rule, and what it does on many tasks at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairlead.policy.cascade.evidence import Law, corrects, members, turns

__all__ = ["Followed", "Plan", "follow", "walk"]

_Array = np.ndarray[Any, np.dtype[np.float64]]
_Ints = np.ndarray[Any, np.dtype[np.intp]]
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class Plan:
    """The rule on one task, or many.

    It stops once all who are left would change the decision with a probability below `stop`. Until then another model
    is asked while the chance that its answer corrects the decision, less that it spoils it, is at least `stop` times
    its price, in units of `unit_usd`; or while that holds of all who are left together. Of several, who corrects most
    per dollar is asked. The first is who, with the best that may follow, brings most: the rule, seen two steps ahead.

    law: what is known of the models. price: (M,), USD of a call. panel: who may be asked, as bits.
    """

    law: Law
    price: _Array
    panel: int
    stop: float
    unit_usd: float

    def first(self) -> int:
        """Who is asked first."""
        each = self.stop / self.unit_usd
        values = []
        for a in members(self.panel):
            rest = self.panel & ~(1 << a)
            after = [1 << m for m in members(rest)] + ([rest] if rest else [])
            weight, right, more = _ahead(self.law, a, tuple(after))
            value = right - each * self.price[a]
            if after:
                cost = np.array([self.price[members(b)].sum() for b in after])
                value += float(weight @ np.maximum(more - each * cost[:, None], 0.0).max(axis=0))
            values.append(value)
        return members(self.panel)[int(np.argmax(values))]

    def then(self, log_odds: _Array, asked: int, left: int) -> tuple[_Ints, _Array]:
        """Who is asked next, -1: nobody, for tasks with these log-odds; and the chance that all who are left would
        change the decision. asked: whose answers are there; left: who has not been asked."""
        if not left:
            return np.full(len(log_odds), -1), np.zeros(len(log_odds))
        at, law = members(left), self.law
        rest = law.worth(asked, left)
        worth = np.array([*(law.worth(asked, 1 << m) for m in at), rest])
        cost = np.array([*self.price[at], self.price[at].sum()])
        a_dollar = corrects(log_odds, worth[:, None]) / cost[:, None]
        chance = turns(log_odds, rest)
        go = (chance >= self.stop) & (a_dollar.max(axis=0) >= self.stop / self.unit_usd)
        return np.where(go, np.asarray(at)[a_dollar[:-1].argmax(axis=0)], -1), chance


def _ahead(law: Law, first: int, after: tuple[int, ...]) -> tuple[_Array, float, _Array]:
    """The distribution of the log-odds after one answer, as weights of points; the chance that the decision is right
    then; and how much each of `after` would add to it at each point."""
    known = law.ahead.get((first, after))
    if known is None:
        d2 = law.worth(0, 1 << first)
        yes = 1.0 / (1.0 + math.exp(-law.prior))
        shift = math.sqrt(d2) * _NODES
        log_odds = np.concatenate([law.prior + d2 / 2 + shift, law.prior - d2 / 2 + shift])
        weight = np.concatenate([yes * _WEIGHTS, (1.0 - yes) * _WEIGHTS])
        right = float(weight @ (1.0 / (1.0 + np.exp(-np.abs(log_odds)))))
        worth = np.array([law.worth(1 << first, b) for b in after])
        known = law.ahead[first, after] = weight, right, corrects(log_odds, worth[:, None])
    return known


@dataclass(frozen=True)
class Followed:
    """What became of n tasks: log-odds of yes, USD, how many were asked, the chance that was stated, when it stopped,
    that the others would have changed the decision, and whether they would have."""

    log_odds: _Array
    cost_usd: _Array
    asked: _Ints
    said: _Array
    came: np.ndarray[Any, np.dtype[np.bool_]]


def walk(plan: Plan, p: _Array, cost_usd: _Array) -> tuple[_Array, _Array, _Ints, _Array]:
    """The rule on n tasks whose answers are all known, p (n, M), NaN where a call failed or nobody asked: log-odds,
    USD, how many were asked, and the chance that is stated when it stops. A failed call is paid for, and tells nothing.
    """
    n = len(p)
    there = ~np.isnan(p)
    x = 2.0 * p - 1.0
    law = plan.law
    log_odds, paid, said, count = np.full(n, law.prior), np.zeros(n), np.zeros(n), np.zeros(n, int)
    todo = [(0, plan.panel, np.arange(n), np.full(n, plan.first()))]  # asked, left, whom, and whom next
    while todo:
        asked, left, rows, who = todo.pop()
        for m in members(left):
            at = rows[who == m]
            if not at.size:
                continue
            paid[at] += cost_usd[at, m]
            count[at] += 1
            answered = there[at, m]
            for now, some in ((asked | 1 << m, at[answered]), (asked, at[~answered])):
                if some.size:
                    log_odds[some] = law.log_odds(x[some], now)
                    following, said[some] = plan.then(log_odds[some], now, left & ~(1 << m))
                    todo.append((now, left & ~(1 << m), some, following))
    return log_odds, paid, count, said


def follow(plan: Plan, p: _Array, cost_usd: _Array) -> Followed:
    """As `walk`, and whether those who were left would have changed the decision."""
    log_odds, paid, count, said = walk(plan, p, cost_usd)
    places = np.arange(p.shape[1])
    answered = (~np.isnan(p) & (plan.panel >> places & 1).astype(bool)) @ (1 << places)
    full = np.empty(len(p))
    for asked in np.unique(answered):
        at = answered == asked
        full[at] = plan.law.log_odds(2.0 * p[at] - 1.0, int(asked))
    return Followed(log_odds, paid, count, said, (full > 0) != (log_odds > 0))
