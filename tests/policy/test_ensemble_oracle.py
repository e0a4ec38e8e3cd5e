"""Every strategy of the core against numpy from the definitions (ensemble_oracle.py), on random streams of tasks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from ensemble_oracle import CORE, MIXED, STRATEGIES, Oracle
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import fairlead as fl

CLOSE = 1e-10
LABELS = ("a", "b", "c", "d", "e")
WHERE: list[dict[str, str]] = [
    {},
    {"place": "x"},
    {"place": "y"},
    {"place": "x", "horizon": "1"},
    {"place": "y", "horizon": "1", "season": "wet"},
]


@dataclass(frozen=True)
class World:
    """What the models of a stream are like."""

    kinds: tuple[str, ...] = ("binary", "categorical", "numeric")
    models: int = 7
    asleep: float = 0.3  # the chance that a model does not answer
    late: int = 12  # how many tasks an outcome may wait for others
    together: float = 0.7  # the chance that an outcome comes at the time of the one before it
    sharpness: float = 1.0  # what log-odds are multiplied by: below 1 the models are too timid
    lean: float = 0.0  # what is added to all log-odds of the last class
    wild: float = 0.0  # the chance of an absurd answer
    common: float = 0.5  # the size of the error that all share


class Stream:
    """Tells a fleet and the oracle the same, and compares."""

    def __init__(self, seed: int, world: World) -> None:
        self.rng = np.random.default_rng(seed)
        self.world = world
        self.fleet = fl.Fleet(clock=lambda: 1)
        self.oracle = Oracle(world.models)
        self.present = 0
        self.join(max(world.models - 2, 1))
        self.truth: dict[str, float] = {}  # of open tasks
        self.time = 1
        self.compared = 0

    def join(self, n: int) -> None:
        for _ in range(n):
            if self.present < self.world.models:
                self.fleet.add(f"m{self.present}")
                self.present += 1

    def leave(self, model: int) -> None:
        self.fleet.remove(f"m{model}")
        self.oracle.removed.add(model)

    def ask(self, task: str) -> None:
        """Opens a task; those who are awake answer it, and between two answers an older task may be settled."""
        rng, world = self.rng, self.world
        kind = world.kinds[rng.integers(len(world.kinds))]
        where = WHERE[rng.integers(len(WHERE))]
        classes = {"binary": 2, "categorical": int(rng.integers(2, 6)), "numeric": 1}[kind]
        labels = LABELS[:classes] if kind == "categorical" else ()
        asked = fl.Task(task, kind=kind, labels=labels, slices=where)
        self.oracle.open(task, kind, classes, [f"{dimension}={value}" for dimension, value in where.items()])
        signal = rng.normal(0, 1.5, classes)
        chance = np.exp(signal) / np.exp(signal).sum()
        self.truth[task] = 1e3 * rng.normal() if kind == "numeric" else int(rng.choice(classes, p=chance))
        common = world.common * rng.normal(size=classes)
        for model in rng.permutation(self.present):
            if model in self.oracle.removed or rng.random() < world.asleep:
                continue
            error = common + rng.normal(0, 0.1 + 0.3 * model, classes)
            if kind == "numeric":
                row = np.array([self.truth[task] + 300 * float(error[0])])
                if rng.random() < world.wild:
                    row *= 1e4
            else:
                z = world.sharpness * (signal + error)
                z[-1] += world.lean
                if rng.random() < world.wild:
                    z = np.where(np.arange(classes) == rng.integers(classes), 60.0, 0.0)
                row = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
            self.record(asked, int(model), row)
            if rng.random() < 0.1:
                self.settle_one()
            if rng.random() < 0.05:
                self.record(asked, int(model), row[::-1])  # it thinks again

    def record(self, task: fl.Task, model: int, row: npt.NDArray[np.float64]) -> None:
        name = f"m{model}"
        if task.kind == "binary":
            row = np.array([1.0 - row[1], row[1]])  # the core is told only the second
            forecast = fl.Forecast(name, p=float(row[1]))
        elif task.kind == "categorical":
            row = row * (1.0 / sum(row.tolist()))
            forecast = fl.Forecast(name, p=dict(zip(task.labels, row.tolist(), strict=True)))
        else:
            forecast = fl.Forecast(name, value=float(row[0]))
        self.fleet.record(task, forecast)
        # How a model's word is adjusted is Calibrator's, which has tests of its own.
        [sure] = [a.confidence for a in self.fleet.answers(task) if a.model == name]
        self.oracle.record(task.id, model, row, float("nan") if sure is None else sure)

    def compare(self, task: str) -> None:
        """What is decided by what is known now."""
        t = self.oracle.tasks[task]
        if not set(t.models) - self.oracle.removed:
            return
        scale = max(1.0, *(float(np.abs(row).max()) for row in t.rows))
        for name in STRATEGIES:
            decision = self.fleet.decide(task, strategy=name)
            weights, expected = self.oracle.decide(task, name)
            assert decision.weights == pytest.approx({f"m{i}": w for i, w in weights.items()}, rel=0, abs=CLOSE), name
            if t.kind == "numeric":
                assert decision.value is not None
                answer = np.array([decision.value])
            elif t.kind == "binary":
                assert isinstance(decision.p, float)
                answer = np.array([1.0 - decision.p, decision.p])
            else:
                assert isinstance(decision.p, dict)
                answer = np.array(list(decision.p.values()))
            np.testing.assert_allclose(answer, expected, rtol=0, atol=CLOSE * scale, err_msg=f"{name} of {t}")
            self.compared += 1

    def settle_one(self) -> None:
        """One of the oldest, but not the newest; and what each strategy would have lost, had it decided."""
        rest = list(self.truth)[:-1]
        if not rest:
            return
        task = rest[self.rng.integers(min(len(rest), self.world.late))]
        self.time += int(self.rng.random() > self.world.together)
        outcome = self.truth.pop(task)
        kind = self.oracle.tasks[task].kind
        if not self.oracle.tasks[task].models:
            return  # nobody answered, so the fleet has never heard of it
        self.fleet.settle(task, LABELS[int(outcome)] if kind == "categorical" else outcome, time=self.time)
        expected = self.oracle.settle(task, outcome, self.time)
        found = self.fleet.audit(task).strategies
        assert found.keys() == expected.keys()
        for name, loss in expected.items():
            assert found[name] == pytest.approx(loss, rel=1e-9, abs=CLOSE), (task, kind, name)

    def run(self, tasks: int, every: int = 1, name: str = "") -> None:
        for i in range(tasks):
            if i in (tasks // 3, tasks // 2):
                self.join(1)
            self.ask(f"{name}{i}")
            if i % every == 0:
                self.compare(f"{name}{i}")
                self.compare(list(self.truth)[self.rng.integers(len(self.truth))])
            while len(self.truth) > self.world.late:
                self.settle_one()


WORLDS = {
    "all kinds": World(),
    "two classes": World(("binary",)),
    "classes": World(("categorical",)),
    "numbers": World(("numeric",)),
    "timid": World(("binary", "categorical"), sharpness=0.3, common=0.2),
    "leaning": World(("binary",), lean=1.5),
    "outliers": World(wild=0.05, models=9),
    "noise": World(("binary", "numeric"), common=0.0, models=12, asleep=0.0, together=0.3),
}


@pytest.mark.parametrize("name", WORLDS)
def test_every_strategy_agrees_with_its_definition(name: str) -> None:
    stream = Stream(7, WORLDS[name])
    stream.run(400, every=4)
    assert stream.compared > 1500
    if name in ("timid", "leaning"):
        assert stream.oracle.moved > 0.02  # so the recalibration was at work
    if name in ("noise", "timid"):
        assert stream.oracle.let_in > 0.0  # so auto was not the core alone


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([("binary",), ("categorical",), ("numeric",), ("binary", "categorical", "numeric")]),
    st.integers(1, 9),
    st.sampled_from([0.0, 0.3, 0.8]),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.5, 0.95]),
    st.sampled_from([0.0, 0.1]),
)
@hypothesis_settings(max_examples=25)
def test_short_streams_agree(
    seed: int, kinds: tuple[str, ...], models: int, asleep: float, late: int, together: float, wild: float
) -> None:
    stream = Stream(seed, World(kinds, models, asleep, late, together, wild=wild))
    stream.run(30, every=2)


def test_who_left_counts_no_more_in_decisions_but_is_scored() -> None:
    stream = Stream(3, World(asleep=0.1))
    stream.run(100, every=10)
    stream.leave(1)
    with_both = [task for task in stream.truth if {1, 2} <= set(stream.oracle.tasks[task].models)]
    assert with_both
    for task in list(stream.truth):
        stream.compare(task)
    stream.run(40, every=5, name="after ")


def test_copies_of_a_model_share_its_vote() -> None:
    """Of four models that err on their own, and a fifth that comes once or four times."""
    share: dict[tuple[str, int], float] = {}
    for copies in (1, 4):
        rng = np.random.default_rng(5)
        fleet = fl.Fleet(clock=lambda: 1)
        names = [f"m{i}" for i in range(4 + copies)]
        for name in names:
            fleet.add(name)
        for i in range(400):
            task = fl.Task(str(i))
            z = rng.normal()
            p = 1 / (1 + np.exp(-(z + rng.normal(0, 1, 5))))
            for model, name in enumerate(names):
                fleet.record(task, fl.Forecast(name, p=float(p[min(model, 4)])))
            if i == 399:
                for strategy in ("hedge", "weighted"):
                    weights = fleet.decide(task, strategy=strategy).weights
                    share[strategy, copies] = sum(weights[name] for name in names[4:])
            fleet.settle(task, int(rng.random() < 1 / (1 + np.exp(-z))), time=i + 1)
    assert share["weighted", 4] < 1.5 * share["weighted", 1]
    assert share["hedge", 4] > 2 * share["hedge", 1]


def test_what_auto_is_made_of_is_all_but_what_is_asked_for_by_name() -> None:
    assert set(STRATEGIES) == set(fl.STRATEGIES)
    assert set(CORE) < set(MIXED)
