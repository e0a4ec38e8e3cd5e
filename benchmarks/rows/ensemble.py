"""Deciding together: 20 models in the Fleet, and whole replays against the same rules in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

import fairlead as fl
from fairlead import _core

MODELS = 20
# No peer that we know decides for sleeping models, by slices, with late outcomes and rounds of them. Beside ours is the
# rule of hedge alone, for models that always answer, in numpy.


def answers(n: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(7)
    z = 1.5 * rng.normal(size=n)
    p = 1 / (1 + np.exp(-(z[:, None] + 0.1 * np.arange(1, MODELS + 1) * rng.normal(size=(n, MODELS)))))
    return p, (rng.random(n) < 1 / (1 + np.exp(-z))).astype(float)


class Rule:
    """Hedge as it ships, for models that always answer, one task a round."""

    def __init__(self) -> None:
        self.excess, self.variance = np.zeros(MODELS), np.zeros(MODELS)
        self.keep, self.log_models = 2 ** (-1 / 200), np.log(MODELS)

    def decide(self, p: Any) -> tuple[Any, Any]:
        z = -np.minimum(0.5, np.sqrt(self.log_models / np.maximum(self.variance, 1e-12))) * self.excess
        w = np.exp(z - z.max())
        w /= w.sum()
        return w @ p, w

    def settle(self, p: Any, y: float) -> None:
        x = 2 * (p - y) ** 2
        x -= x.mean()
        self.excess = self.keep * (self.excess + x / self.keep)
        self.variance = self.keep * self.variance + x**2


def known_fleet(n: int) -> tuple[fl.Fleet, fl.Task, Rule, Any]:
    """A fleet that has seen n tasks, and an open one; the rule beside it that has seen the same."""
    p, y = answers(n + 1)
    fleet, rule = fl.Fleet(clock=lambda: 1), Rule()
    names = [f"m{i}" for i in range(MODELS)]
    for name in names:
        fleet.add(name)
    for t in range(n + 1):
        task = fl.Task(str(t), category="rates", slices={"horizon": "1"})
        for name, q in zip(names, p[t].tolist(), strict=True):
            fleet.record(task, fl.Forecast(name, p=q))
        if t < n:
            fleet.settle(task, int(y[t]), time=t + 1)
            rule.settle(p[t], y[t])
    return fleet, task, rule, p[n]


def decided(n: int) -> Iterator[Row]:
    fleet, task, rule, p = known_fleet(500)
    core, board = fleet._core, _core.Scoreboard()
    for i in range(MODELS):
        board.add(str(i))
    handle = board.open(0, 2, [board.slice("category", "rates"), board.slice("horizon", "1")])
    for i in range(MODELS):
        board.record(handle, i, float(p[i]))

    def by(strategy: str) -> Run:
        def run() -> None:
            for _ in range(n):
                fleet.decide(task, strategy=strategy)

        return run

    def by_board() -> None:
        number = fl.STRATEGIES.index("hedge")
        for _ in range(n):
            board.decide(handle, number)

    def by_core() -> None:
        number, clock = fl.STRATEGIES.index("hedge"), fleet._clock
        for _ in range(n):
            core.decide(task.id, number, clock)

    def with_numpy() -> None:
        for _ in range(n):
            rule.decide(p)

    # One slice has seen all tasks, as has overall: the same standing.
    weights = fleet.decide(task, strategy="hedge").weights
    error = f"{np.abs(rule.decide(p)[1] - [weights[f'm{i}'] for i in range(MODELS)]).max():.0e}"
    bar = "<= 2,000 ns"
    beside: dict[str, Run] = {"numpy": with_numpy}
    yield Row("Fleet.decide by hedge, 20 models, from Python", "ns/call", n, by("hedge"), beside, error, bar)
    yield Row("Fleet.decide by auto, 20 models, from Python", "ns/call", n, by("auto"), {})
    yield Row("the compiled Fleet's decide by hedge, without a Decision", "ns/call", n, by_core, {})
    yield Row("the compiled Scoreboard's decide by hedge, without a Decision", "ns/call", n, by_board, {}, "-", bar)


def whole(n: int) -> Row:
    """n tasks recorded, decided by all strategies, settled, scored; the rule in numpy does hedge alone."""
    pandas = peer("pandas")
    p, y = answers(n)
    frame = pandas.DataFrame(
        {
            "time": np.repeat(np.arange(n), MODELS),
            "task": np.repeat(np.arange(n), MODELS),
            "model": np.tile([f"m{i:02}" for i in range(MODELS)], n),
            "p": p.ravel(),
            "outcome": np.repeat(y, MODELS),
        }
    )
    from fairlead.replays import read_table

    table = read_table(frame)

    def hedge_alone() -> float:
        rule, loss = Rule(), 0.0
        for row, outcome in zip(p, y, strict=True):
            loss += (rule.decide(row)[0] - outcome) ** 2
            rule.settle(row, outcome)
        return float(loss) / n

    error = f"{abs(hedge_alone() - fl.replay(table).strategies['hedge'].brier):.0e}"
    name = f"Replay of 20 models by all {len(fl.STRATEGIES)} strategies; numpy: hedge alone"
    return Row(name, "ns/task", n, lambda: fl.replay(table), {"numpy": hedge_alone}, error)


def rows(size: Size) -> Iterator[Row]:
    yield from decided(size.scaled(20_000))
    yield whole(size.scaled(5_000))
