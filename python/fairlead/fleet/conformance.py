"""What every strategy must keep to, as a function that tries it: for strategies of one's own, and for those by name."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence

from fairlead.errors import FairleadError, InvalidRecordError
from fairlead.fleet.fleet import Fleet
from fairlead.policy.pooled import strategy_index
from fairlead.policy.strategy import Strategy
from fairlead.types import KINDS, Decision, Forecast, Kind, Task

_MODELS = ("ann", "bob", "twin", "dan", "eve")
_LABELS = ("up", "flat", "down")
_CLOSE = 1e-9


class StrategyFault(FairleadError):
    """What a strategy does that none may do."""


def check_strategy(strategy: Strategy | str, *, seed: int = 0) -> None:
    """Tries a strategy on fleets with a past and without, of all kinds of tasks, and raises StrategyFault with the
    first rule that it breaks. It returns where it keeps to all:

    - weights are finite, not negative, and sum to 1; one model alone has all the weight;
    - the order of the answers does not matter; two models that always say the same weigh the same;
    - models that failed or have left are as if they had not been asked;
    - asked again, it says the same; it changes nothing that it is given;
    - after the desk was closed and opened again it says the same, to the bit.

    seed: of the made-up answers. Raises InvalidRecordError for what is neither a Strategy nor the name of one.

    >>> check_strategy("auto")
    """
    if isinstance(strategy, str):
        strategy_index(strategy)
    elif not isinstance(strategy, Strategy):
        raise InvalidRecordError(f"strategy is {strategy!r}, must be a name or a Strategy")
    elif not isinstance(getattr(strategy, "name", None), str):
        raise StrategyFault(f'{type(strategy).__name__} has no name: give it one, `name = "..."`')
    chance = random.Random(seed)
    for kind in KINDS:
        for past in (0, 40):
            fleet = Fleet(clock=lambda: 1)
            for model in _MODELS:
                fleet.add(model)
            _live(fleet, kind, past, chance)
            for n in range(1, len(_MODELS) + 1):
                _check_weights(strategy, fleet, kind, _MODELS[:n], chance)
            _check_order(strategy, fleet, kind, chance)
            _check_absent(strategy, fleet, kind, chance)
        _check_reopened(strategy, kind, chance)


def _check_weights(
    strategy: Strategy | str, fleet: Fleet, kind: Kind, models: Sequence[str], chance: random.Random
) -> None:
    task = _ask(fleet, kind, models, chance)
    said = repr(fleet.answers(task))
    decision = _decide(strategy, fleet, task)
    where = f"{kind} task of {len(models)} models"
    if set(decision.weights) != set(models):
        raise StrategyFault(f"{where}: weights are of {sorted(decision.weights)}, the answers of {sorted(models)}")
    for model, weight in decision.weights.items():
        if not 0.0 <= weight <= 1.0 + _CLOSE:
            raise StrategyFault(f"{where}: {model!r} has the weight {weight!r}, outside [0, 1]")
    if abs(sum(decision.weights.values()) - 1.0) > _CLOSE:
        raise StrategyFault(f"{where}: weights sum to {sum(decision.weights.values())!r}, must sum to 1")
    if "ann" in models and "twin" in models and abs(decision.weights["ann"] - decision.weights["twin"]) > _CLOSE:
        raise StrategyFault(
            f"{where}: two models that always say the same weigh {decision.weights['ann']!r} and "
            f"{decision.weights['twin']!r}"
        )
    if _decide(strategy, fleet, task) != decision:
        raise StrategyFault(f"{where}: asked again about the same answers, it decides otherwise")
    if repr(fleet.answers(task)) != said:
        raise StrategyFault(f"{where}: it changed the answers")


def _check_order(strategy: Strategy | str, fleet: Fleet, kind: Kind, chance: random.Random) -> None:
    answers = _answers(kind, chance)
    shuffled = list(_MODELS)
    chance.shuffle(shuffled)
    decided = []
    for order in (list(_MODELS), shuffled):
        task = _task(fleet, kind)
        for model in order:
            fleet.record(task, answers[model])
        decided.append(_decide(strategy, fleet, task))
    for model in _MODELS:
        one, other = (decision.weights[model] for decision in decided)
        if abs(one - other) > _CLOSE:
            raise StrategyFault(
                f"{kind} task: {model!r} weighs {one!r}, and {other!r} where the answers come in another order"
            )


def _check_absent(strategy: Strategy | str, fleet: Fleet, kind: Kind, chance: random.Random) -> None:
    answers = _answers(kind, chance)
    few = _MODELS[:3]
    alone, beside = _task(fleet, kind), _task(fleet, kind)
    for model in few:
        fleet.record(alone, answers[model])
    for model in _MODELS[:4]:
        fleet.record(beside, answers[model])
    fleet.record(beside, Forecast("eve", error="timeout"))
    fleet.remove("dan")
    one, other = (_decide(strategy, fleet, task).weights for task in (alone, beside))
    fleet.add("dan")
    if set(other) != set(few) or any(abs(one[model] - other[model]) > _CLOSE for model in few):
        raise StrategyFault(
            f"{kind} task: beside one model that failed and one that left, weights {one} become {other}"
        )


def _check_reopened(strategy: Strategy | str, kind: Kind, chance: random.Random) -> None:
    with tempfile.TemporaryDirectory() as folder:
        with Fleet.open(folder, clock=lambda: 1) as desk:
            for model in _MODELS:
                desk.add(model)
            _live(desk, kind, 20, chance)
            task = _ask(desk, kind, _MODELS, chance)
            before = _decide(strategy, desk, task)
        with Fleet.open(folder, clock=lambda: 1) as desk:
            after = _decide(strategy, desk, task)
    if dict(before.weights) != dict(after.weights):
        raise StrategyFault(
            f"{kind} task: weights {before.weights} become {after.weights} where the desk is opened again"
        )


def _decide(strategy: Strategy | str, fleet: Fleet, task: Task) -> Decision:
    try:
        return fleet.decide(task, strategy=strategy)
    except Exception as error:
        raise StrategyFault(f"{task.kind} task: it raises {type(error).__name__}: {error}") from error


def _task(fleet: Fleet, kind: Kind) -> Task:
    return Task(
        f"task-{len(fleet.open_tasks)}-{len(fleet.audits())}",
        kind=kind,
        category="checks",
        labels=_LABELS if kind == "categorical" else (),
    )


def _answers(kind: Kind, chance: random.Random) -> dict[str, Forecast]:
    out: dict[str, Forecast] = {}
    for model in _MODELS:
        cost = chance.choice((0.0, 0.01, 0.5))
        if kind == "numeric":
            out[model] = Forecast(model, value=chance.gauss(100.0, 20.0), confidence=chance.random(), cost_usd=cost)
        elif kind == "binary":
            out[model] = Forecast(model, p=chance.choice((0.0, 1.0, chance.random(), chance.random())), cost_usd=cost)
        else:
            shares = [chance.random() + 1e-3 for _ in _LABELS]
            total = sum(shares)
            p = {label: share / total for label, share in zip(_LABELS, shares, strict=True)}
            out[model] = Forecast(model, p=p, cost_usd=cost)
    same = out["ann"]
    out["twin"] = Forecast("twin", p=same.p, value=same.value, confidence=same.confidence, cost_usd=same.cost_usd)
    return out


def _ask(fleet: Fleet, kind: Kind, models: Sequence[str], chance: random.Random) -> Task:
    task = _task(fleet, kind)
    answers = _answers(kind, chance)
    for model in models:
        fleet.record(task, answers[model])
    return task


def _live(fleet: Fleet, kind: Kind, tasks: int, chance: random.Random) -> None:
    for n in range(tasks):
        task = _ask(fleet, kind, _MODELS, chance)
        outcome = (
            chance.gauss(100.0, 20.0)
            if kind == "numeric"
            else float(chance.randrange(3 if kind == "categorical" else 2))
        )
        fleet.settle(task, outcome, time=n + 2)
