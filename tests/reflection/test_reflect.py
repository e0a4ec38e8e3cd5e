"""The numbers of a reflection against brute force, and what is odd about real journals."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize
from streams import CATEGORICAL, NUMERIC, Desk, chances, joined, sigmoid

import fairlead as fl
from fairlead.events import Event
from fairlead.reflection import compare, reflect
from fairlead.reflection.calibration import expected_error
from fairlead.reflection.columns import Answers, check

SEED = 11


def desk(rng: np.random.Generator, tasks: int = 400, models: int = 3, holes: float = 0.2) -> Desk:
    logit, outcome = chances(rng, tasks)
    answers = sigmoid(logit[:, None] + rng.normal(0, 1, (tasks, models)) * np.linspace(0.5, 2, models))
    answers[rng.random(answers.shape) < holes] = np.nan
    names = ["category=a", "category=b", "category=c"]
    return Desk([f"m{i}" for i in range(models)], answers, outcome, 5, 0, names, rng.integers(0, 3, tasks))


@pytest.fixture(scope="module")
def some() -> Desk:
    return desk(np.random.default_rng(SEED))


def test_performance_and_regret_by_brute_force(some: Desk) -> None:
    found = reflect(model="m1", **some.arguments())["binary"]
    loss = (some.answers - some.outcome[:, None]) ** 2
    mine = ~np.isnan(loss[:, 1])
    p = found.performance
    assert p.n == mine.sum()
    assert p.brier == pytest.approx(loss[mine, 1].mean())
    chosen = np.where(some.outcome == 1, some.answers[:, 1], 1 - some.answers[:, 1])[mine]
    assert p.log_loss == pytest.approx(-np.log(chosen).mean())
    assert p.accuracy == pytest.approx((chosen > 0.5).mean())
    assert p.rounds == 80
    assert math.isnan(p.mae)
    rest = np.delete(loss, 1, axis=1)
    met = mine & ~np.isnan(rest).all(axis=1)
    excess = loss[met, 1] - np.nanmean(rest[met], axis=1)
    assert (p.excess_n, p.excess) == (met.sum(), pytest.approx(excess.mean()))
    assert found.regret is not None
    assert found.regret.peers_total == pytest.approx(excess.sum())
    assert found.regret.peers_per_100 == pytest.approx(100 * excess.mean())
    both = mine & ~np.isnan(loss[:, 0])
    assert found.regret.best == "m0"
    assert found.regret.n == both.sum()
    assert found.regret.total == pytest.approx((loss[both, 1] - loss[both, 0]).sum())
    # What the mean of all would lose more without it.
    total, count = np.nansum(some.answers[met], axis=1), (~np.isnan(some.answers[met])).sum(axis=1)
    without = ((total - some.answers[met, 1]) / (count - 1) - some.outcome[met]) ** 2
    gain = without - (total / count - some.outcome[met]) ** 2
    assert found.contribution is not None
    assert found.contribution.value == pytest.approx(gain.mean())


def test_comparisons_by_brute_force(some: Desk) -> None:
    found = compare(**some.arguments())["binary"]
    loss = (some.answers - some.outcome[:, None]) ** 2
    assert len(found.paired) == 3
    for paired in found.paired:
        a, b = int(paired.model[1]), int(paired.other[1])
        both = ~np.isnan(loss[:, a] + loss[:, b])
        assert paired.n == both.sum()
        assert paired.loss == pytest.approx(loss[both, a].mean())
        assert paired.loss_other == pytest.approx(loss[both, b].mean())
        assert paired.difference.value == pytest.approx((loss[both, a] - loss[both, b]).mean())
        turned = found.against(paired.other, paired.model)
        assert turned.difference.value == -paired.difference.value
        assert (turned.difference.low, turned.difference.high) == (-paired.difference.high, -paired.difference.low)
    table = found.table()
    assert len(table["model"]) == 6
    assert {len(column) for column in table.values()} == {6}
    assert [row.model for row in found.standings] == ["m0", "m1", "m2"]
    with pytest.raises(KeyError):
        found.against("m0", "nobody")


def test_models_and_tasks_are_told_apart_by_least_squares(some: Desk) -> None:
    answers = Answers(check(some.rows(), some.models, some.contexts), "binary")
    shared = answers.answers_of_task[answers.task] > 1
    task, model, loss = answers.task[shared], answers.model[shared], answers.loss[shared]
    design = np.zeros((len(loss), answers.tasks + 3))
    design[np.arange(len(loss)), task] = 1
    design[np.arange(len(loss)), answers.tasks + model] = 1
    fitted = np.linalg.lstsq(design, loss, rcond=None)[0][answers.tasks :]
    level = answers._levels(answers.loss)
    assert level - level[0] == pytest.approx(fitted - fitted[0], abs=1e-5)


def test_spiegelhalters_z_and_the_calibration_error(some: Desk) -> None:
    calibration = reflect(model="m2", **some.arguments())["binary"].calibration
    assert calibration is not None
    known = ~np.isnan(some.answers[:, 2])
    p, y = some.answers[known, 2], some.outcome[known]
    z = np.sum((y - p) * (1 - 2 * p)) / math.sqrt(np.sum((1 - 2 * p) ** 2 * p * (1 - p)))
    assert calibration.z == pytest.approx(z)
    assert calibration.z_p == pytest.approx(2 * stats.norm.sf(abs(z)))
    assert calibration.p_value >= calibration.z_p
    assert calibration.bias.value == pytest.approx((p - y).mean())
    assert sum(n for _, _, n in calibration.bins) == known.sum() == calibration.n
    gap = sum(n * abs(said - seen) for said, seen, n in calibration.bins) / calibration.n
    assert calibration.error == pytest.approx(gap)


@pytest.mark.parametrize("spread", ["wide", "narrow", "rare"])
def test_the_expected_calibration_error_by_simulation(spread: str) -> None:
    rng = np.random.default_rng(SEED)
    p = {"wide": rng.random(60), "narrow": rng.uniform(0.4, 0.6, 200), "rare": rng.uniform(0, 0.01, 300)}[spread]
    which = np.minimum((p * 10).astype(int), 9)
    gaps = (rng.random((4000, len(p))) < p) - p
    sums = np.stack([gaps[:, which == b].sum(axis=1) for b in range(10)])
    simulated = np.abs(sums).sum(axis=0) / len(p)
    assert expected_error(p) == pytest.approx(simulated.mean(), rel=0.05)
    assert expected_error(np.array([0.0, 1.0])) == 0.0


def test_cost_latency_calls_and_tokens() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 300)
    answers = sigmoid(logit[:, None] + rng.normal(0, 1, (300, 2))[:, [0, 0]])
    answers = np.column_stack([answers, rng.random(300)])
    extra = {
        "cost_usd": lambda task, model: np.array([0.02, 0.01, 0.001])[model],
        "latency_ms": lambda task, model: np.where(task % 2, 100.0, np.nan) * (1 + task / 300),
        "calls": lambda task, model: np.full(len(task), 2),
        "failed": lambda task, model: (task % 3 == 0).astype(int),
        "tokens_in": lambda task, model: np.full(len(task), 100),
        "tokens_out": lambda task, model: task,
    }
    found = reflect(model="dear", **Desk(["dear", "clone", "coin"], answers, outcome, extra=extra).arguments())
    s, cost = found.summary, found["binary"].cost
    assert (s.tasks, s.scored, s.calls, s.failures) == (300, 300, 600, 100)
    assert (s.tokens_in, s.tokens_out) == (30_000, 299 * 150)
    times = 100 * (1 + np.arange(1, 300, 2) / 300)
    assert s.latency_n == 150
    assert (s.latency_mean, s.latency_median) == pytest.approx((times.mean(), np.median(times)))
    assert s.latency_p95 == pytest.approx(np.quantile(times, 0.95))
    assert s.cost_usd == pytest.approx(6.0)
    assert cost.per_answer == pytest.approx(0.02)
    assert (cost.cheaper, cost.cheaper_per_answer) == ("clone", pytest.approx(0.01))
    assert cost.cheaper_difference is not None
    assert cost.cheaper_difference.value == 0.0
    regret = found["binary"].regret
    assert regret is not None
    assert cost.per_improvement == pytest.approx(6.0 / -regret.peers_total)
    assert "a scored answer" in str(found)


def test_kinds_are_never_mixed() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 200)
    binary = Desk(["a", "b"], sigmoid(logit[:, None] + rng.normal(0, 1, (200, 2))), outcome)
    number = rng.normal(1000, 100, 150)
    numeric = Desk(["a", "b"], number[:, None] + rng.normal(0, 30, (150, 2)), number, kind=NUMERIC)
    found = reflect(joined(binary.rows(), numeric.rows()), "a", models=["a", "b"])
    assert [one.kind for one in found.kinds] == ["binary", "numeric"]
    alone = reflect(model="a", **binary.arguments())
    assert found["binary"].performance == alone["binary"].performance
    p = found["numeric"].performance
    error = numeric.answers[:, 0] - number
    assert (p.mae, p.rmse) == pytest.approx((np.abs(error).mean(), math.sqrt((error**2).mean())))
    assert math.isnan(p.brier)
    assert found["numeric"].calibration is None
    assert found.main is found["binary"]
    assert found.summary.scored == 350
    with pytest.raises(KeyError):
        found["categorical"]


def test_classes_are_pooled_by_what_is_known_of_them() -> None:
    rng = np.random.default_rng(SEED)
    p = rng.dirichlet([2, 2, 2], (1200, 2))
    outcome = np.array([rng.choice(3, p=row.mean(axis=0)) for row in p])
    right = p[np.arange(1200)[:, None], [0, 1], outcome[:, None]]
    one_hot = np.eye(3)[outcome][:, None, :]
    rows: dict[str, Any] = {
        "time": np.repeat(np.arange(1200) // 4, 2),
        "task": np.repeat(np.arange(1200), 2),
        "model": np.tile([0, 1], 1200),
        "kind": np.full(2400, CATEGORICAL),
        "scored": np.ones(2400, dtype=np.uint8),
        "loss": ((p - one_hot) ** 2).sum(axis=2).ravel(),
        "log_loss": -np.log(right).ravel(),
        "shown": p.max(axis=2).ravel(),
        "happened": (p.argmax(axis=2) == outcome[:, None]).ravel(),
    }
    found = compare(rows, models=["a", "b"])
    (pair,) = found["categorical"].pairs
    assert pair.score == "log-loss"
    assert pair.loss_mean == pytest.approx(-np.log(right.mean(axis=1)).mean())
    assert {s.models for s in found.suggestions if s.action == "ensemble"} == {("a", "b")}


def run_event(seq: int, model: str | None, **data: Any) -> Event:
    return Event(seq, seq * 10**9, "training_run", model, None, data)


def test_training(some: Desk) -> None:
    events = [
        run_event(1, "m0", run="r1", status="started"),
        run_event(2, "m0", run="r1", status="done", loss=0.5),
        run_event(3, "m1", run="r2", status="started"),
        run_event(4, "m0", run="r3", loss=0.4, metrics={"auc": 0.8}),
        run_event(6, "m0", run="r3", status="done"),
        Event(5, 5 * 10**9, "training_run", None, None, {"model": "m0", "loss": 0.45}),
        Event(7, 7 * 10**9, "note", "m0", None, {"text": "hello"}),
    ]
    training = reflect(model="m0", events=iter(events), **some.arguments()).training
    assert training is not None
    assert (training.runs, training.last) == (3, 6 * 10**9)
    assert training.data == {"run": "r3", "loss": 0.4, "metrics": {"auc": 0.8}, "status": "done"}
    found = reflect(model="m2", events=events, **some.arguments())
    assert found.training is None
    assert any("training_run" in text for text in found.missing)


def test_it_prints_and_goes_to_json(some: Desk) -> None:
    for name in some.models:
        found = reflect(model=name, events=[run_event(1, name, loss=math.nan)], **some.arguments())
        assert len(str(found).splitlines()) <= 40
        text = json.dumps(found.to_dict(), allow_nan=False)
        assert json.loads(text)["model"] == name
        assert all(line["rule"] for line in found.to_dict()["suggestions"])
    found = compare(**some.arguments())
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(str(found).splitlines()) <= 40


def test_the_same_rows_in_any_order_give_the_same_reflection(some: Desk) -> None:
    rows = some.rows()
    order = np.random.default_rng(3).permutation(len(rows["task"]))
    context = rows["context"][order]
    shuffled = {k: v[order] for k, v in rows.items() if k not in ("context", "context_start")}
    shuffled |= {"context": context, "context_start": rows["context_start"]}
    for name in some.models:
        one = reflect(rows, name, models=some.models, contexts=some.contexts)
        other = reflect(shuffled, name, models=some.models, contexts=some.contexts)
        assert one.kinds == other.kinds
        assert one.suggestions == other.suggestions


def test_nothing_scored() -> None:
    rows = Desk(["a", "b"], np.full((3, 2), 0.5), np.ones(3)).rows() | {"scored": np.zeros(6, dtype=np.uint8)}
    found = reflect(rows, "a", models=["a", "b"])
    assert (found.kinds, found.suggestions, found.main) == ((), (), None)
    assert found.summary.tasks == 3
    assert math.isnan(found.summary.cost_per_scored)
    assert any("no answer" in text for text in found.missing)
    json.dumps(found.to_dict(), allow_nan=False)
    assert compare(rows, models=["a", "b"]).kinds == ()
    empty = {name: column[:0] for name, column in rows.items()} | {"context_start": np.zeros(1, dtype=np.int64)}
    assert reflect(empty, "a", models=["a", "b"]).summary.tasks == 0
    assert "0 tasks" in str(reflect(empty, "a", models=["a"]))


def test_one_model_alone() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 300)
    found = reflect(model="a", **Desk(["a"], sigmoid(logit)[:, None], outcome).arguments())
    one = found["binary"]
    assert one.trend.basis == "raw"
    assert one.trend.state in ("stable", "improving", "degrading")
    assert (one.regret, one.contribution, one.comparisons, one.pairs) == (None, None, (), ())
    assert any("no other model" in text for text in found.missing)
    assert "for want of others" in str(found)


def test_models_that_never_met() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 400)
    answers = np.column_stack([sigmoid(logit)] * 2)
    answers[:200, 0] = answers[200:, 1] = np.nan
    found = compare(**Desk(["a", "b"], answers, outcome).arguments())["binary"]
    (paired,) = found.paired
    assert paired.n == 0
    assert math.isnan(paired.p_adjusted)
    assert found.pairs == ()
    assert "?" in str(found)
    mine = reflect(model="a", **Desk(["a", "b"], answers, outcome).arguments())
    assert any("too few rounds in common" in text for text in mine.missing)


@pytest.mark.parametrize("p", [0.0, 0.5, 1.0])
def test_constant_losses_and_ties(p: float) -> None:
    answers = np.full((200, 2), p)
    outcome = np.ones(200)
    found = compare(**Desk(["a", "b"], answers, outcome).arguments())
    (paired,) = found["binary"].paired
    assert (paired.difference.value, paired.p_adjusted) == (0.0, 1.0)
    assert all(row.trend == "stable" for row in found["binary"].standings)
    assert not [s for s in found.suggestions if s.action != "recalibrate"]
    calibration = reflect(model="a", **Desk(["a", "b"], answers, outcome).arguments())["binary"].calibration
    assert calibration is not None
    assert calibration.state == ("calibrated" if p == 1.0 else "too low" if p == 0.5 else "overconfident")


def test_few_rounds_are_no_evidence_for_anything() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 900)
    answers = np.column_stack([sigmoid(logit), rng.random(900), sigmoid(3 * logit)])
    found = compare(**Desk(["good", "dice", "loud"], answers, outcome, 300).arguments())
    assert found.suggestions == ()
    mine = reflect(model="dice", **Desk(["good", "dice", "loud"], answers, outcome, 300).arguments())
    assert mine.suggestions == ()
    assert len(mine.missing) >= 3
    assert mine["binary"].trend.state == "unknown"
    assert mine["binary"].calibration is not None
    assert mine["binary"].calibration.state == "unknown"


def test_columns_of_nan_are_not_given(some: Desk) -> None:
    rows = some.rows()
    hollow = rows | {name: np.full(len(rows["task"]), np.nan) for name in ("cost_usd", "shown", "value", "log_loss")}
    found = reflect(hollow, "m0", models=some.models, contexts=some.contexts)
    assert found["binary"].calibration is None
    assert found["binary"].pairs == ()
    assert math.isnan(found.summary.cost_usd)
    assert "cost not known" in str(found)
    assert found["binary"].performance.brier == reflect(model="m0", **some.arguments())["binary"].performance.brier
    lost = rows | {"loss": np.where(rows["model"] == 0, np.nan, rows["loss"])}
    assert reflect(lost, "m0", models=some.models, contexts=some.contexts).kinds == ()


def test_absurd_numbers_break_nothing() -> None:
    rng = np.random.default_rng(SEED)
    outcome = rng.normal(0, 1, 300)
    answers = outcome[:, None] + rng.normal(0, 1, (300, 3))
    answers[100, 0], answers[200, 1] = 1e300, -1e300
    wild = Desk(["a", "b", "c"], answers, outcome, kind=NUMERIC)
    with np.errstate(over="ignore"):
        rows = wild.rows()
    rows["loss"] = np.minimum(rows["loss"], 1e140)
    for name in wild.models:
        json.dumps(reflect(rows, name, models=wild.models).to_dict(), allow_nan=False)
    assert not [s for s in compare(rows, models=wild.models).suggestions if s.action in ("retire", "retrain")]


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"task": None}, ValueError, "lack the column 'task'"),
        ({"loss": np.zeros(3)}, ValueError, "column 'loss' has shape"),
        ({"loss": np.array(["x"] * 6)}, TypeError, "column 'loss' has dtype"),
        ({"time": np.zeros(6)}, TypeError, "column 'time' has dtype float64"),
        ({"model": np.full(6, 7)}, ValueError, "column 'model' holds 7"),
        ({"kind": np.full(6, 3)}, ValueError, "column 'kind' holds 3"),
        ({"context_start": np.arange(7)}, ValueError, "context_start"),
        ({"context_start": np.arange(7), "context": np.full(6, 9)}, ValueError, "column 'context' holds 9"),
    ],
)
def test_bad_columns_are_named(change: dict[str, Any], error: type[Exception], words: str) -> None:
    rows = Desk(["a", "b"], np.full((3, 2), 0.5), np.ones(3)).rows() | change
    rows = {name: column for name, column in rows.items() if column is not None}
    with pytest.raises(error, match=words):
        reflect(rows, "a", models=["a", "b"])


def test_an_unknown_model() -> None:
    with pytest.raises(fl.UnknownModelError, match="nobody"):
        reflect(Desk(["a"], np.full((3, 1), 0.5), np.ones(3)).rows(), "nobody", models=["a"])


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    tasks=st.integers(1, 120),
    models=st.integers(1, 4),
    per_round=st.integers(1, 30),
    holes=st.floats(0, 0.95),
    kind=st.sampled_from([0, 2]),
)
def test_whatever_comes(seed: int, tasks: int, models: int, per_round: int, holes: float, kind: int) -> None:
    rng = np.random.default_rng(seed)
    any_desk = desk(rng, tasks, models, holes)
    any_desk.per_round, any_desk.kind = per_round, kind
    any_desk.answers = np.round(any_desk.answers, 1)
    found = compare(**any_desk.arguments())
    json.dumps(found.to_dict(), allow_nan=False)
    assert len(str(found).splitlines()) <= 40
    for name in any_desk.models:
        one = reflect(model=name, **any_desk.arguments())
        assert one.to_dict() == reflect(model=name, **any_desk.arguments()).to_dict()
        assert len(str(one).splitlines()) <= 40
        json.dumps(one.to_dict(), allow_nan=False)


def test_it_is_not_imported_with_fairlead() -> None:
    code = """
import sys, fairlead as fl
print('fairlead.reflection' in sys.modules, fl.reflect.__name__, fl.Reflection.__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "reflect", "Reflection"]


def test_what_recalibration_would_gain() -> None:
    rng = np.random.default_rng(SEED)
    logit, outcome = chances(rng, 1000)
    p = sigmoid(2 * logit + 0.3)
    calibration = reflect(model="a", **Desk(["a"], p[:, None], outcome).arguments())["binary"].calibration
    better = np.empty(1000)
    q = np.log(p) - np.log1p(-p)
    for use, fit in ((slice(0, 500), slice(500, 1000)), (slice(500, 1000), slice(0, 500))):

        def loss(ab: np.ndarray, q: np.ndarray = q[fit], y: np.ndarray = outcome[fit]) -> float:
            x = ab[0] + ab[1] * q
            return float(np.sum(np.logaddexp(0, x) - y * x) + 0.5 * (ab[0] ** 2 + (ab[1] - 1) ** 2))

        a, b = minimize(loss, [0.0, 1.0]).x
        better[use] = sigmoid(a + b * q[use])
    assert calibration is not None
    assert calibration.gain is not None
    assert calibration.gain.value == pytest.approx(np.mean((p - outcome) ** 2 - (better - outcome) ** 2), rel=1e-4)
    assert calibration.gain.low > 0
