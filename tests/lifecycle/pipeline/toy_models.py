"""A model that is quickly trained and asked, its ways of going wrong, and a stream whose rule turns round."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fairlead.lifecycle import Epoch, Examples, Schema, TooFewExamplesError
from fairlead.lifecycle.pipeline import Policy, RetrainingPipeline
from fairlead.lifecycle.proving import Plan, WatchPlan
from fairlead.lifecycle.signals import DriftMonitor, OnDrift, RetrainTrigger

SCHEMA = Schema("binary", ["a", "b"])
SECOND = 10**9


class Toy:
    """Least squares on the labels. fault: what goes wrong when it is trained; answers: when it answers afterwards."""

    format = "json"

    def __init__(self, fault: str = "", answers: str = "", schema: Schema | None = None) -> None:
        self.fault = fault
        self.answers = answers
        self.fitted = ""  # how this one answers
        self.after = ""  # and how, once it was saved and loaded
        self.gives = schema
        self.schema: Schema | None = None
        self.w: np.ndarray[Any, Any] = np.zeros(3)

    def params(self) -> dict[str, Any]:
        return {}

    def fresh(self) -> Toy:
        return Toy(self.fault, self.answers, self.gives)

    def fit(self, examples: Examples, *, seed: int = 0, report: Any = lambda epoch: None) -> None:
        if self.fault == "raises":
            raise RuntimeError("the data are not to my liking")
        if self.fault == "hangs":
            time.sleep(600)
        if self.fault == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.fault == "memory":
            raise MemoryError
        if self.fault == "disk":
            raise OSError(28, "No space left on device")
        if len(examples) < 2:
            raise TooFewExamplesError("two are needed")
        x = np.c_[examples.x, np.ones(len(examples))]
        self.w = np.linalg.solve(x.T @ x + np.eye(3), x.T @ (2.0 * examples.y - 1.0))
        if self.fault == "worse":
            self.w = -self.w
        self.schema = self.gives or examples.schema
        self.after = self.answers
        report(Epoch(1, 2, float("nan") if self.fault == "nan" else 0.5))
        if self.fault == "slow":
            time.sleep(0.3)
        report(Epoch(2, 2, 0.25))

    def partial_fit(self, examples: Examples, *, seed: int = 0, report: Any = lambda epoch: None) -> None:
        self.fit(examples, seed=seed, report=report)

    def predict(self, x: Any) -> Any:
        if self.fitted == "raise":
            raise ValueError("no answer today")
        if self.fitted == "hang":
            time.sleep(600)
        if self.fitted == "nan":
            return np.full((len(x), 2), np.nan)
        p = 1.0 / (1.0 + np.exp(-3.0 * (x @ self.w[:2] + self.w[2])))
        return np.stack([1.0 - p, p], axis=1)

    def save(self, path: Any) -> None:
        assert self.schema is not None
        data = {"w": self.w.tolist(), "answers": self.after, "schema": self.schema.to_dict()}
        Path(path).write_text(json.dumps(data))

    def load(self, path: Any) -> None:
        data = json.loads(Path(path).read_text())
        self.w, self.fitted, self.after = np.array(data["w"]), data["answers"], data["answers"]
        self.schema = Schema.from_dict(data["schema"])


class World:
    """A stream whose rule turns round after `turn` events, and with again=True every so many: what was likely is
    unlikely then."""

    def __init__(self, n: int = 2000, turn: int = 600, seed: int = 3, *, again: bool = False) -> None:
        rng = np.random.default_rng(seed)
        self.x = rng.normal(size=(n, 2))
        turns = np.arange(n) // max(turn, 1) if again else np.arange(n) >= turn
        sign = 1.0 - 2.0 * (turns % 2)
        self.y = (rng.random(n) < 1.0 / (1.0 + np.exp(-4.0 * sign * self.x[:, 0]))).astype(int)

    def first(self, n: int = 300) -> Examples:
        rng = np.random.default_rng(99)
        x = rng.normal(size=(n, 2))
        return Examples(SCHEMA, x, (rng.random(n) < 1.0 / (1.0 + np.exp(-4.0 * x[:, 0]))).astype(int))


def fitted(**faults: Any) -> Toy:
    """One that knows the rule before it turned, and goes wrong when it is trained again."""
    toy = Toy()
    toy.fit(World().first())
    toy.fault, toy.answers, toy.gives = faults.get("fault", ""), faults.get("answers", ""), faults.get("schema")
    return toy


def options() -> dict[str, Any]:
    """What makes a pipeline quick to decide."""
    return {
        "monitor": DriftMonitor(SCHEMA, window=100, baseline=100, reference=200),
        "trigger": RetrainTrigger(OnDrift(kinds=("adwin", "change", "error_rate")), cooldown="10min"),
        "plan": Plan(held_back=20, shadow=10, canary=3, share=0.3, at_most=200),
        "watch": WatchPlan(labels=50),
        "policy": Policy(least=60, least_holdback=20, check_every=10, patience_s=0.5),
    }


def made(folder: Path, trainer: Any = None, **given: Any) -> RetrainingPipeline:
    """A pipeline that is quick to decide."""
    return RetrainingPipeline("toy", trainer or fitted(), folder / "registry", **(options() | given))


def live(
    pipeline: RetrainingPipeline, world: World, first: int, last: int, *, delay: int = 0, until: Any = None
) -> int:
    """Events first..last-1, one a minute: asked, told `delay` events later, and a step. Gives the event at which
    `until(pipeline)` held."""
    for n in range(first, last):
        now = (n + 1) * 60 * SECOND
        pipeline.predict(world.x[n], f"t{n}", now)
        if n >= delay:
            pipeline.learn(f"t{n - delay}", int(world.y[n - delay]), now)
        pipeline.step(now)
        if until is not None and until(pipeline):
            return n + 1
    return last


class Death(BaseException):
    """The process is gone."""


def die() -> None:
    raise Death


class Mortal:
    """A registry, a ledger, or jobs, whose n-th writing call of all kills: before it is done, or after."""

    def __init__(self, inner: Any, fate: dict[str, int], kill: Callable[[], None]) -> None:
        self.__dict__.update(inner=inner, fate=fate, kill=kill)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.inner, name)
        if name not in ("register", "promote", "unalias", "rollback", "write", "start"):
            return found

        def call(*given: Any, **options: Any) -> Any:
            self.fate["left"] -= 1
            if self.fate["left"] == 0 and not self.fate["after"]:
                self.kill()
            result = found(*given, **options)
            if self.fate["left"] == 0:
                self.kill()
            return result

        return call


def make_mortal(pipeline: Any, fate: dict[str, int], kill: Callable[[], None]) -> None:
    """fate: which call is the last one (0: none), and whether it is done."""
    runs = pipeline._runs
    runs.registry, runs.jobs = Mortal(runs.registry, fate, kill), Mortal(runs.jobs, fate, kill)
    pipeline.registry = Mortal(pipeline.registry, fate, kill)
    pipeline._ledger = Mortal(pipeline._ledger, fate, kill)
