"""The suite that strategies must pass: ours do, so do good ones of somebody's own, and broken ones are told why not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead.errors import FairleadError, InvalidRecordError
from fairlead.policy.answered import Answered
from fairlead.policy.strategy import checked_weights


class Cheapest(fl.Strategy):
    """Those that cost least."""

    name = "cheapest"

    def weigh(self, task: fl.Task, answers: Sequence[Answered]) -> list[float]:
        least = min(answer.cost_usd for answer in answers)
        return [float(answer.cost_usd == least) for answer in answers]


class Sure(fl.Strategy):
    """By confidence."""

    name = "sure"

    def weigh(self, task: fl.Task, answers: Sequence[Answered]) -> list[float]:
        return [(answer.confidence or 0.0) ** 2 + 1e-3 for answer in answers]


class Typical(fl.Strategy):
    """By how near an answer is to the others."""

    name = "typical"

    def weigh(self, task: fl.Task, answers: Sequence[Answered]) -> list[float]:
        places = [_place(answer) for answer in answers]
        return [
            1 / (1 + sum(abs(a - b) for a, b in zip(one, other, strict=True)))
            for one in places
            for other in [_mean(places)]
        ]


def _place(answer: Answered) -> list[float]:
    if isinstance(answer.p, dict):
        return list(answer.p.values())
    return [answer.p if answer.p is not None else (answer.value or 0.0)]


def _mean(places: Sequence[Sequence[float]]) -> list[float]:
    return [sum(sorted(column)) / len(places) for column in zip(*places, strict=True)]


@pytest.mark.parametrize("strategy", fl.STRATEGIES)
@pytest.mark.parametrize("seed", [0, 7])
def test_those_that_come_with_it(strategy: str, seed: int) -> None:
    fl.check_strategy(strategy, seed=seed)


@pytest.mark.parametrize("strategy", [Cheapest(), Sure(), Typical()], ids=lambda strategy: strategy.name)
def test_good_ones_of_ones_own(strategy: fl.Strategy) -> None:
    fl.check_strategy(strategy)


def broken(name: str, weigh: Any) -> fl.Strategy:
    made = type("Broken", (fl.Strategy,), {"name": name, "weigh": lambda self, task, answers: weigh(answers)})
    return made()  # type: ignore[no-any-return]


_dice = random.Random(0)
_count = itertools.count()


def _spoil(answers: Sequence[Answered]) -> list[float]:
    for answer in answers:
        if isinstance(answer.p, dict):
            dict.__setitem__(answer.p, next(iter(answer.p)), 0.5)
        else:
            object.__setattr__(answer, "p", 0.5)
    return [1.0] * len(answers)


def _by_cost_of_all(answers: Sequence[Answered]) -> list[float]:
    return [float(next(_count))] * len(answers)


BROKEN = {
    "negative": (lambda answers: [-1.0] * len(answers), "the weight -1.0"),
    "nothing": (lambda answers: [0.0] * len(answers), "sum to 0.0"),
    "no number": (lambda answers: [float("nan")] * len(answers), "the weight nan"),
    "too few": (lambda answers: [1.0], "1 weights for"),
    "the first": (lambda answers: [1.0] + [0.0] * (len(answers) - 1), "weigh|order"),
    "by chance": (lambda answers: [0.1 + _dice.random() for _ in answers], "decides otherwise|always say the same"),
    "by place": (lambda answers: [float(i + 1) for i in range(len(answers))], "always say the same|another order"),
    "by name": (lambda answers: [float(len(answer.model)) for answer in answers], "always say the same"),
    "by a counter": (
        lambda answers: [1.0 + (next(_count) % 7) * (answer.model == "bob") for answer in answers],
        "decides otherwise|another order",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_ones_are_told_why_not(name: str) -> None:
    weigh, told = BROKEN[name]
    with pytest.raises(FairleadError, match=told):
        fl.check_strategy(broken(name, weigh))


def test_one_that_changes_what_it_is_given_harms_nobody() -> None:
    """It is given copies: the fleet's answers are what they were."""
    fleet = fl.Fleet()
    fleet.add("a")
    fleet.add("b")
    task = fl.Task("q")
    fleet.record(task, fl.Forecast("a", p=0.9))
    fleet.record(task, fl.Forecast("b", p=0.7))
    decision = fleet.decide(task, strategy=broken("spoils", _spoil))
    assert decision.p == pytest.approx(0.8)
    assert [answer.p for answer in fleet.answers(task)] == [0.9, 0.7]


def test_what_is_no_strategy() -> None:
    fleet = fl.Fleet()
    fleet.add("a")
    fleet.record(fl.Task("q"), fl.Forecast("a", p=0.9))
    with pytest.raises(InvalidRecordError, match="strategy is 3"):
        fleet.decide("q", strategy=3)  # type: ignore[arg-type]
    with pytest.raises(InvalidRecordError, match=r"strategy is 'meen'.*mean"):
        fl.check_strategy("meen")
    with pytest.raises(TypeError):
        type("Half", (fl.Strategy,), {"name": "half"})()


@settings(max_examples=60)
@given(st.lists(st.floats(0, 1e300), min_size=1, max_size=8))
def test_weights_are_scaled_to_the_simplex(weights: list[float]) -> None:
    answers = [Answered(f"m{i}", p=0.5) for i in range(len(weights))]
    if not 0 < sum(weights) < float("inf"):
        with pytest.raises(InvalidRecordError, match="sum to"):
            checked_weights(Cheapest(), weights, answers)
        return
    found = checked_weights(Cheapest(), weights, answers)
    assert list(found) == [answer.model for answer in answers]
    assert sum(found.values()) == pytest.approx(1.0)
    assert all(0 <= weight <= 1 + 1e-12 for weight in found.values())


@settings(max_examples=30)
@given(st.permutations(["a", "b", "c", "d"]), st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_a_linear_pool_of_the_weights_whatever_their_order(order: list[str], ps: list[float]) -> None:
    fleet = fl.Fleet()
    for name in "abcd":
        fleet.add(name)
    task = fl.Task("q")
    for name in order:
        fleet.record(task, fl.Forecast(name, p=ps["abcd".index(name)]))
    decision = fleet.decide(task, strategy=Typical())
    wanted = sum(decision.weights[name] * p for name, p in zip("abcd", ps, strict=True))
    assert decision.p == pytest.approx(wanted, abs=1e-12)
    assert decision.strategy == "typical"
