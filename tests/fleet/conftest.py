"""A life of a fleet that depends on nothing but a seed, for tests of what it is logged to."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import fairlead as fl

sys.path.insert(0, str(Path(__file__).resolve().parent))  # what several files of tests share

MODELS = ("a", "b", "c", "Ünïcödé", "e")
LABELS = ("up", "flat", "down")


def life(seed: int) -> Callable[[fl.Fleet, int], object]:
    """A function that does step i of the life, always the same one, at time i + 1; a call may be refused."""

    def step(fleet: fl.Fleet, i: int) -> object:
        dice = random.Random(seed * 1_000_003 + i)
        now, what = i + 1, dice.random()
        name = dice.choice(MODELS)
        number = max(i // 6 - dice.randrange(4), 0)
        task_id = f"task {number}"
        if what < 0.05 or i < 5:
            return fleet.add(fl.Model(name, price_in=2.5, tags=("fast", name)))
        if what < 0.06:
            return fleet.remove(name)
        if what < 0.75:
            kind = "binary" if number % 3 == 0 else "categorical" if number % 2 else "numeric"
            task = fl.Task(
                task_id,
                kind=kind,
                category=("", "politics", "rates")[number % 3],
                text="will it?",
                labels=LABELS if kind == "categorical" else (),
                regime="calm" if number % 5 == 0 else "",
                expires_in_s=None if number % 2 else 3600.0,
                slices={"horizon": "1d"} if number % 4 else {},
                time=number * 6 + 1,
            )
            cut = sorted((dice.randrange(65), dice.randrange(65)))
            p = (cut[0] / 64, (cut[1] - cut[0]) / 64, (64 - cut[1]) / 64)
            given = {
                "binary": {"p": dice.random()},
                "categorical": {"p": dict(zip(LABELS, p, strict=True)) if number % 2 else p},
                "numeric": {"value": dice.gauss(100, 20)},
            }[kind]
            if dice.random() < 0.1:
                given = {"error": "timeout"}
            confidence = dice.random() if dice.random() < 0.5 else None
            forecast = fl.Forecast(name, **given, confidence=confidence, latency_ms=3.5, cost_usd=0.01, time=now)
            return fleet.record(task if dice.random() < 0.7 else task_id, forecast)
        if what < 0.8:
            return fleet.decide(task_id, strategy=dice.choice(fl.STRATEGIES))
        if what < 0.97:
            return fleet.settle(task_id, dice.randrange(2), time=now, profit_usd=1.5 if dice.random() < 0.5 else None)
        return fleet.void(task_id)

    def quiet(fleet: fl.Fleet, i: int) -> object:
        try:
            return step(fleet, i)
        except (fl.InvalidRecordError, LookupError, fl.TaskEndedError, fl.NoForecastError) as error:
            return f"{type(error).__name__}: {error}"

    return quiet


@pytest.fixture(scope="session")
def live() -> Callable[[int], Callable[[fl.Fleet, int], object]]:
    return life
