"""What cascades read of settled tasks, kept up to date: the same as reading all of them."""

from __future__ import annotations

import random
from typing import Any

import fairlead as fl
from fairlead.policy.cascade import Reading
from fairlead.policy.cascade.past import Past, Settled


def told(reading: Reading) -> Any:
    line = reading.line(fl.Task("now", category="c1", stake_usd=20), list("abc"), {}, 0.05)
    if line is None:
        return None
    first = line.next({})
    return first, line.next({first or "": 0.6}), line.chance, reading.price.tolist()


def lived(fleet: fl.Fleet, begin: int, n: int, models: str = "abc") -> None:
    dice = random.Random(begin)
    for i in range(begin, begin + n):
        y = dice.randrange(2)
        task = fl.Task(f"q{i}", category=f"c{i % 3}")
        for model in models:
            p = min(max(0.5 + 0.3 * (y - 0.5) + dice.gauss(0, 0.2), 0), 1)
            fleet.record(task, fl.Forecast(model, p=p, cost_usd=0.01))
        if i % 11 == 0:
            fleet.void(task)
        else:
            fleet.settle(task, y)


def test_only_what_is_new_is_fetched_and_it_is_the_same_as_all() -> None:
    fleet = fl.Fleet()
    for name in "abc":
        fleet.add(name)
    asked: list[str | None] = []

    def audits(task: str | None = None) -> list[dict[str, Any]]:
        asked.append(task)
        return fleet._core.audits(task)

    past = fleet._past = Past(audits)
    lived(fleet, 0, 60)
    past.settled()
    assert asked == [None]
    for begin in range(60, 3700, 40):  # until the oldest are forgotten
        lived(fleet, begin, 40)
        past.settled()
    assert asked.count(None) == 1
    lived(fleet, 3700, 600)  # too many to be fetched one by one
    past.settled()
    assert asked.count(None) == 2
    lived(fleet, 4300, 40)
    all_of_them = fleet.audits()
    assert all_of_them[0].task not in ("q1", "q2")  # those are forgotten
    kept = past.settled()
    assert [one.task for one in kept] == [audit.task for audit in all_of_them]
    assert kept == [Settled(*(getattr(audit, name) for name in Settled._fields)) for audit in all_of_them]
    assert asked.count(None) == 2
    assert told(past.reading()) == told(Reading(all_of_them)) is not None


def test_what_was_noted_before_all_were_fetched_counts_once() -> None:
    fleet = fl.Fleet()
    for name in "abc":
        fleet.add(name)
    past = fleet.past()
    lived(fleet, 0, 30)
    past.settled()
    past.note("q29")
    past.note("nobody knows it")
    assert [one.task for one in past.settled()] == [audit.task for audit in fleet.audits()]
