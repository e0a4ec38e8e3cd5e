"""Contribution against the definition of the Shapley value, by brute force."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from audited import audits, pool_loss
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead.measure import coalitions
from fairlead.measure.audit import Audit


def by_definition(audit: Audit, baseline: float = 0.0, equal: bool = False) -> dict[str, float]:
    """The mean over all orders of what a model takes away when it joins those before it."""
    who = list(audit.answers)
    out = dict.fromkeys(who, 0.0)
    orders = list(itertools.permutations(who))
    for order in orders:
        for i, m in enumerate(order):
            before = pool_loss(audit, list(order[:i]), baseline, equal)
            out[m] += (before - pool_loss(audit, list(order[: i + 1]), baseline, equal)) / len(orders)
    return out


@pytest.mark.parametrize("equal", [False, True])
@pytest.mark.parametrize("kind", ["binary", "categorical", "numeric"])
def test_shapley_is_the_mean_over_all_orders(kind: str, equal: bool) -> None:
    found = audits(1, 9, (kind,))
    group = fl.contribution(found, weights="equal" if equal else "decided", baseline=0.4)[""]
    expected: dict[str, float] = {}
    for audit in found:
        for m, value in by_definition(audit, 0.4, equal).items():
            expected[m] = expected.get(m, 0.0) + value / len(found)
    assert {row.model for row in group} == set(expected)
    for row in group:
        assert row.shapley == pytest.approx(expected[row.model], abs=1e-12)
        assert row.sampling == 0.0
    assert [row.shapley for row in group] == sorted((row.shapley for row in group), reverse=True)


@given(st.integers(0, 10_000), st.integers(1, 14), st.sampled_from(["category", None, "horizon", ("category", "year")]))
def test_values_sum_to_what_all_took_away(seed: int, models: int, by: object) -> None:
    found = audits(seed, 12, models=models)
    for group in fl.contribution(found, by=by, permutations=6):  # type: ignore[arg-type]
        assert sum(row.shapley for row in group) == pytest.approx(group.gain, abs=1e-12)
        if group.gain > 0:
            assert sum(row.share for row in group) == pytest.approx(1.0)


def test_leave_one_out_and_losses() -> None:
    found = audits(2, 30)
    for group in fl.contribution(found, baseline=0.1):
        of = [audit for audit in found if audit.kind == group.kind]
        assert group.tasks == len(of)
        assert group.rounds == len({audit.settled for audit in of})
        assert group.loss == pytest.approx(np.mean([pool_loss(a, list(a.answers), 0.1) for a in of]))
        assert group.baseline == pytest.approx(np.mean([pool_loss(a, [], 0.1) for a in of]))
        for row in group:
            there = [a for a in of if a.weights.get(row.model, 0.0) > 0]
            more = [
                pool_loss(a, [m for m in a.answers if m != row.model], 0.1) - pool_loss(a, list(a.answers), 0.1)
                for a in there
            ]
            assert row.tasks == len(there)
            assert row.leave_one_out == pytest.approx(sum(more) / len(of), abs=1e-12)
            assert row.weight == pytest.approx(np.mean([a.weights[row.model] for a in there]))
            assert row.loss == pytest.approx(np.mean([pool_loss(a, [row.model], 0.1) for a in there]))


def test_sampled_orders_come_to_the_exact_value() -> None:
    found = audits(3, 8, ("categorical",), models=11, absent=0.0)
    exact = [coalitions.shapley(coalitions.game(a), 0, np.random.default_rng(0))[0] for a in found]
    games = [coalitions.game(a) for a in found]
    original = coalitions.EXACT
    coalitions.EXACT = 5
    try:
        for one, expected in zip(games, exact, strict=True):
            value, variance = coalitions.shapley(one, 4000, np.random.default_rng(1))
            assert value.sum() == pytest.approx(expected.sum(), abs=1e-12)
            z = (value - expected) / np.sqrt(variance)
            assert np.abs(z).max() < 4.5
            assert 0.3 < np.sqrt((z**2).mean()) < 2.0
    finally:
        coalitions.EXACT = original


def test_many_models_say_how_sure_the_sampling_is() -> None:
    found = audits(4, 20, ("binary",), models=20, absent=0.1)
    one, again = fl.contribution(found, seed=1), fl.contribution(found, seed=1)
    assert one == again
    other = fl.contribution(found, seed=2, permutations=400)[""]
    for row in one[""]:
        assert 0 < row.sampling < 0.05
        assert other[row.model].sampling < row.sampling
        both = math.hypot(row.sampling, other[row.model].sampling)
        assert abs(row.shapley - other[row.model].shapley) < 5 * both


def test_who_says_the_same_gets_the_same_and_who_has_no_weight_nothing() -> None:
    found = [
        Audit(
            task=f"t{i}",
            kind="binary",
            time=i,
            settled=i,
            outcome=i % 2,
            answers={"a": p, "b": p, "idle": 1.0},
            weights={"a": 0.5, "b": 0.5, "idle": 0.0},
        )
        for i, p in enumerate((0.2, 0.7, 0.4, 0.9))
    ]
    group = fl.contribution(found)[""]
    assert {row.model for row in group} == {"a", "b"}
    assert group["a"].shapley == pytest.approx(group["b"].shapley)
    assert group["a"].leave_one_out == pytest.approx(0.0, abs=1e-15)
    with pytest.raises(KeyError):
        group["idle"]


def test_intervals_are_over_rounds() -> None:
    audit = audits(5, 1, ("binary",), absent=0.0)[0]
    many = [Audit(**{f: getattr(audit, f) for f in audit.__slots__} | {"task": str(i)}) for i in range(50)]
    row = fl.contribution(many)[""].rows[0]
    assert math.isnan(row.low)  # one round says nothing of the next
    spread = audits(6, 60, ("binary",))
    group = fl.contribution(spread)[""]
    assert group.rounds == 20
    for row in group:
        assert row.low < row.shapley < row.high


def test_contexts() -> None:
    found = audits(7, 36)
    assert {g.context for g in fl.contribution(found, by="category")} == {"news", "sport"}
    assert {g.context for g in fl.contribution(found, by=("category", "horizon"))} >= {"news, 0", "sport, 2"}
    months = {g.context for g in fl.contribution(found, by="month")}
    assert min(months) == "1970-01"
    assert {g.context for g in fl.contribution(found, by="quarter")} >= {"1970-Q1", "1970-Q4"}
    assert {g.context for g in fl.contribution(found, by="week")} >= {"1970-W01"}
    assert {g.context for g in fl.contribution(found, by=lambda a: len(a.answers) > 3)} == {"True", "False"}
    assert {g.context for g in fl.contribution(found, by="strategy")} == {"hedge"}
    undecided = audits(7, 36, decided=False)
    assert {g.context for g in fl.contribution(undecided, by="strategy")} == {"(undecided)"}
    kinds = [g.kind for g in fl.contribution(found)]
    assert kinds == ["binary", "categorical", "numeric"]
    rows = fl.contribution(found, by="category").to_dicts()
    assert {row["kind"] for row in rows} == set(kinds)
    text = str(fl.contribution(found, by="category"))
    assert "binary, news: 6 tasks in 6 rounds" in text
    assert "leave one out" in text


def test_undecided_tasks_go_by_equal_weights() -> None:
    undecided = audits(8, 12, decided=False)
    assert fl.contribution(undecided) == fl.contribution(undecided, weights="equal")


@pytest.mark.parametrize("of", [fl.contribution, fl.agreement, fl.returns])
def test_what_is_refused(of: Callable[..., object]) -> None:
    found = audits(9, 6)
    with pytest.raises(ValueError, match="audits is empty"):
        of([])
    with pytest.raises(TypeError, match=r"audits\[0\] is int, must be an Audit"):
        of([3])
    with pytest.raises(TypeError, match="audits is Audit, must be Audit records"):
        of(found[0])
    with pytest.raises(ValueError, match=r"by is 'colour', must be category, .* or a dimension of the audits: horizon"):
        of(found, by="colour")
    with pytest.raises(TypeError, match="by holds 3"):
        of(found, by=(3,))
    for wrong in (
        ({"weights": "none"}, {"permutations": 3})
        if of is fl.contribution
        else ({"attribute": "x"}, {"permutations": 1})
        if of is fl.returns
        else ({"bins": 0},)
    ):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} is"):
            of(found, **wrong)
    odd = Audit(task="q", kind="categorical", time=0, settled=0, outcome="sideways", answers={"a": {"up": 1.0}})
    with pytest.raises(ValueError, match="outcome of task 'q' is 'sideways', none of the labels"):
        of([odd])


def test_a_task_that_nobody_answered() -> None:
    alone = Audit(task="q", kind="binary", time=0, settled=0, outcome=1)
    group = fl.contribution([alone])[""]
    assert (group.tasks, len(group), group.gain) == (1, 0, 0.0)
    assert fl.agreement([alone])[""].pairs == ()
    assert fl.returns([alone])[""].total.cost_usd == 0.0


def test_weights_of_any_size_leave_the_others_whole() -> None:
    """The sum of the others is not what is left of the sum of all: of a weight that is nearly all, nothing would be."""
    for small in (1e-15, 1e-20):
        audit = Audit(
            task="q",
            kind="binary",
            time=0,
            settled=1,
            outcome=1,
            weights={"a": 1.0, "b": small, "c": small / 100},
            answers={"a": 0.9, "b": 0.5, "c": 0.5},
            p=0.9,
            loss=0.01,
        )
        one = coalitions.game(audit)
        assert coalitions.leave_one_out(one)[0] == pytest.approx(0.25 - 0.01)


def test_labels_that_nobody_named_say_nothing_of_losses() -> None:
    """Without an answer the labels are not known, nor what the uniform answer would have lost."""
    asked = audits(5, 9, ("categorical",))
    unknown = [
        Audit(task=f"none {i}", kind="categorical", time=0, settled=i, outcome="up", costs={"m00": 0.5}, cost_usd=0.5)
        for i in range(5)
    ]
    group, alone = fl.contribution([*asked, *unknown])[""], fl.contribution(asked)[""]
    assert group.tasks == alone.tasks == 9
    assert (group.baseline, group.loss, group.rounds) == (alone.baseline, alone.loss, alone.rounds)
    assert group.rows == alone.rows
    assert len(fl.contribution(unknown)) == 0
    bought, of_asked = fl.returns([*asked, *unknown])[""], fl.returns(asked)[""]
    assert bought.tasks == 14  # they cost, though nothing came of it
    assert bought["m00"].cost_usd == pytest.approx(of_asked["m00"].cost_usd + 2.5)
    assert bought.total.skill == pytest.approx(of_asked.total.skill)
    assert fl.agreement([*asked, *unknown])[""].bins == fl.agreement(asked)[""].bins


@pytest.mark.parametrize("where", ["answer", "outcome", "baseline"])
def test_one_absurd_number_leaves_every_table_finite(where: str) -> None:
    """Misses are bounded as in the core: squares of squares of 1e300 would be infinities."""
    found = list(audits(3, 30, ("numeric",)))
    if where == "answer":
        found[4] = replace(found[4], answers={**found[4].answers, "m00": 1e300, "m01": -1.7e308}, profit_usd=1e200)
    if where == "outcome":
        found[4:6] = [replace(audit, outcome=1.7e308) for audit in found[4:6]]
    nobody = -1.7e308 if where == "baseline" else None
    group = fl.contribution(found, baseline=nobody)[""]
    assert math.isfinite(group.loss)
    assert math.isfinite(group.gain)
    for row in group:
        assert all(math.isfinite(x) for x in (row.shapley, row.low, row.high, row.leave_one_out, row.loss))
    for pair in fl.agreement(found)[""].pairs:
        assert math.isfinite(pair.errors)
        assert math.isfinite(pair.distance)
    for bought in fl.returns(found, baseline=nobody)[""]:
        assert math.isfinite(bought.skill)
        assert math.isfinite(bought.profit_usd or 0.0)
    assert len(fl.contribution(found, baseline=0.4)[""]) == 5
