"""APGR, AIQ and agreement on small tables whose answers are known by hand, and against slow definitions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.policy.routing import Agreement, CallCurve, CostCurve, hull
from fairlead.policy.routing.scores import mean_height


def test_apgr_by_hand() -> None:
    weak, strong = np.array([0.0, 1.0, 0.0, 1.0]), np.ones(4)
    perfect = CallCurve(np.array([2.0, 0.0, 2.0, 0.0]), weak, strong)
    share, quality = perfect.curve()
    assert share.tolist() == [0, 0.5, 1]
    assert quality.tolist() == [0.5, 1, 1]
    assert perfect.apgr() == 0.75  # a triangle, then a rectangle
    assert (perfect.calls_for(0.5), perfect.calls_for(1.0), perfect.calls_for(0.0)) == (0.25, 0.5, 0.0)
    worst = CallCurve(-perfect.score, weak, strong)
    assert (worst.apgr(), worst.calls_for(0.5)) == (0.25, 0.75)
    nothing = CallCurve(np.zeros(4), weak, strong)
    assert (nothing.apgr(), nothing.calls_for(0.8)) == (0.5, pytest.approx(0.8))
    same = CallCurve(np.arange(4.0), weak, weak)
    assert math.isnan(same.apgr())
    assert math.isnan(same.calls_for(0.5))


def test_a_router_may_recover_more_than_the_gap() -> None:
    curve = CallCurve(np.array([3.0, 2, 1]), np.array([0.0, 0, 1]), np.array([1.0, 1, 0]))
    assert curve.curve()[1].tolist() == pytest.approx([1 / 3, 2 / 3, 1, 2 / 3])
    assert curve.apgr() == pytest.approx((0.5 + 1.5 + 1.5) / 3)


rows = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 1.0])), min_size=2, max_size=25
)


@given(rows, st.integers(0, 10**6))
def test_weights_are_repeated_prompts_and_ties_are_their_mean(table: list[tuple[int, float, float]], seed: int) -> None:
    score, weak, strong = (np.array(column, float) for column in zip(*table, strict=True))
    dice = np.random.default_rng(seed)
    times = dice.integers(0, 3, size=len(table))
    curve = CallCurve(score, weak, strong)
    if times.sum() > 0:
        repeated = CallCurve(*(np.repeat(x, times) for x in (score, weak, strong)))
        assert curve.apgr(times.astype(float)) == pytest.approx(repeated.apgr(), nan_ok=True)
    if weak.mean() != strong.mean():
        broken = [CallCurve(score + 1e-3 * dice.permutation(len(score)) / len(score), weak, strong) for _ in range(300)]
        apgr = [one.apgr() for one in broken]
        assert curve.apgr() == pytest.approx(np.mean(apgr), abs=5 * np.std(apgr) / math.sqrt(300) + 1e-9)


points = st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=15)


@given(points)
def test_hull_is_the_least_concave_line_above(given_points: list[tuple[int, int]]) -> None:
    xy = np.array(given_points, float)
    line = hull(xy)
    assert (np.diff(line[:, 0]) > 0).all()
    assert (np.diff(line[:, 1]) > 0).all()
    slopes = np.diff(line[:, 1]) / np.diff(line[:, 0])
    assert (np.diff(slopes) < 0).all()
    assert line[0, 0] == xy[:, 0].min()
    heights = np.interp(xy[:, 0], line[:, 0], line[:, 1])
    assert (heights >= xy[:, 1] - 1e-9).all()
    assert all((xy == corner).all(axis=1).any() for corner in line)


def test_aiq_by_hand() -> None:
    cost, quality = np.array([[1.0, 3.0]] * 4), np.array([[0.0, 1.0], [1, 1], [0, 1], [1, 1]])
    singles = CostCurve.singles(cost, quality)
    assert singles.points().tolist() == [[1, 0.5], [3, 1]]
    assert singles.aiq(1, 3) == 0.75
    assert (singles.quality_at(2), singles.quality_at(99)) == (0.75, 1.0)
    assert math.isnan(singles.quality_at(0.5))
    oracle = CostCurve.sweep(quality, cost, quality, cost.mean(axis=0))
    assert oracle.points()[-1].tolist() == [1, 0.5]  # at an infinite weight of cost
    assert hull(oracle.points()).tolist() == [[1, 0.5], [2, 1]]
    assert oracle.aiq(1, 3) == 0.875
    assert mean_height(np.array([[2.0, 0.4]]), 1, 3) == 0.4
    assert mean_height(np.array([[2.0, 0.4]]), 2, 2) == 0.4


def test_a_sweep_takes_the_cheaper_of_equals() -> None:
    cost = np.array([[5.0, 1.0, 3.0]] * 2)
    curve = CostCurve.sweep(np.zeros((2, 3)), cost, np.ones((2, 3)), cost.mean(axis=0))
    assert (curve.cost == 1.0).all()


# --- agreement -------------------------------------------------------------------------------------------------------


def table(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two cheap models and a dear one, prompts easy or hard, and what a model of the prompt would expect."""
    dice = np.random.default_rng(seed)
    hard = dice.random(n)
    p = np.column_stack([1 - hard, 0.95 - hard, np.full(n, 0.9)]).clip(0.02, 0.98)
    return (dice.random(p.shape) < p).astype(float), np.array([1.0, 2.0, 10.0]), p


def follow(rule: Agreement, quality: np.ndarray, cost: np.ndarray, expected: np.ndarray | None) -> tuple[Any, Any]:
    """One prompt at a time, as a caller would."""
    models = ["a", "b", "s"]
    found = []
    for i, row in enumerate(quality):
        answers: dict[str, float] = {}
        said = None if expected is None else dict(zip(models, expected[i], strict=True))
        while (name := rule.ask_next(answers, said)) is not None:
            assert name not in answers
            answers[name] = row[models.index(name)]
        paid = sum(cost[models.index(name)] for name in answers)
        found.append((row[models.index(rule.chosen(answers))], paid))
    return tuple(np.array(found).T)


@pytest.mark.parametrize("with_model", [False, True])
@pytest.mark.parametrize("budget", [0.3, 0.6, 0.95])
def test_one_by_one_is_all_at_once(with_model: bool, budget: float) -> None:
    quality, cost, p = table()
    expected = p if with_model else None
    rule = Agreement.fit(quality, cost, ["a", "b", "s"], expected=expected, budget=budget)
    q, paid, agreed, differed = rule.run(quality, cost, ["a", "b", "s"], expected=expected)
    slow_q, slow_paid = follow(rule, quality, cost, expected)
    assert np.array_equal(q, slow_q)
    assert np.allclose(paid, slow_paid)
    assert rule.calibration == (agreed, differed) or math.isnan(agreed.first) or math.isnan(differed.first)
    if with_model:
        assert paid.mean() <= 10 * budget
        assert agreed.n + differed.n <= len(quality)
    else:
        assert agreed.n + differed.n == len(quality)
        assert agreed.first == agreed.second  # the same quality is what is taken for the same answer
        assert rule.chance(True) == pytest.approx((agreed.first * agreed.n + 0.5) / (agreed.n + 1))


def test_a_model_of_the_prompt_helps_and_holds_out() -> None:
    quality, cost, p = table(2000)
    fresh, _, fresh_p = table(2000, seed=1)
    plain = Agreement.fit(quality, cost, ["a", "b", "s"], budget=0.6).run(fresh, cost, ["a", "b", "s"])
    told = Agreement.fit(quality, cost, ["a", "b", "s"], expected=p, budget=0.6)
    q, paid, _, _ = told.run(fresh, cost, ["a", "b", "s"], expected=fresh_p)
    assert q.mean() > plain[0].mean()
    assert paid.mean() < 6.3
    assert paid.mean() < plain[1].mean()


def test_answers_tell_more_than_qualities() -> None:
    """Two wrong answers that differ are sent on; by qualities alone they would count as agreed."""
    quality = np.array([[0, 0, 1], [1, 1, 1]] * 50, float)
    agree = np.repeat((quality[:, :1] == 1)[:, :, None], 3, axis=1) | np.eye(3, dtype=bool)
    agree = np.broadcast_to(agree, (100, 3, 3))
    rule = Agreement.fit(quality, [1.0, 1.0, 10.0], ["a", "b", "s"], agree=agree, budget=0.9)
    assert rule.run(quality, [1.0, 1.0, 10.0], ["a", "b", "s"], agree=agree)[0].mean() == 1.0
    blind = Agreement.fit(quality, [1.0, 1.0, 10.0], ["a", "b", "s"], budget=0.9)
    assert blind.run(quality, [1.0, 1.0, 10.0], ["a", "b", "s"])[0].mean() == 0.5
    assert rule.chance(True) > 0.98


def test_wrong_input_is_named() -> None:
    quality, cost, p = table(20)
    names = ["a", "b", "s"]
    for call, words in (
        (lambda: Agreement.fit(quality, cost, names[:2]), r"quality has shape \(20, 3\)"),
        (lambda: Agreement.fit(quality, cost[:2], names), r"cost_usd has shape \(2,\)"),
        (lambda: Agreement.fit(quality, cost, names, expected=p[:3]), r"expected has shape \(3, 3\)"),
        (lambda: Agreement.fit(quality, cost, names, agree=p), r"agree has shape \(20, 3\)"),
        (lambda: Agreement.fit(quality, cost, names, budget=0), "budget is 0"),
        (lambda: Agreement.fit(quality, [1.0, 9.0, 10.0], names), "less than two models cost at most half"),
        (lambda: Agreement.fit(quality, cost, names).chosen({}), "answers is empty"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    assert Agreement.fit(quality, cost, names).as_dict()["strong"] == ("s",)
