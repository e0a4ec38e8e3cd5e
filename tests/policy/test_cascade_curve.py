"""The evidence of several answers, the stopping rule and its chances, the cost curve; and the public data, if there."""

from __future__ import annotations

import json
import math
from itertools import permutations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.errors import InvalidRecordError, TableError
from fairlead.policy.cascade import CascadeCurve, Evidence, cascade_curve, graded_curve
from fairlead.policy.cascade.evidence import Law, corrects, normal_cdf, turns
from fairlead.policy.cascade.plan import Plan, follow
from fairlead.policy.routing import RoutingTable, read_prices, read_routing_table

Floats = np.ndarray[Any, np.dtype[np.float64]]


def made(n: int, seed: int = 0, skill: tuple[float, ...] = (0.5, 0.3, 0.3, 0.1)) -> tuple[Floats, Any, Any]:
    """Answers as the rule takes them to be: Gaussian around the outcome; two of them err together."""
    dice = np.random.default_rng(seed)
    y = (dice.random(n) < 0.4).astype(int)
    noise = dice.normal(size=(n, len(skill))) * 0.3
    noise[:, 2] = 0.9 * noise[:, 1] + 0.4 * noise[:, 2]
    p = np.clip(0.5 + (y[:, None] - 0.5) * np.array(skill) + noise * 0.6, 0.0, 1.0)
    p[dice.random(p.shape) < 0.03] = np.nan
    cost = np.broadcast_to([8.0, 1.0, 1.0, 0.5], p.shape) * 1e-3
    return p, cost.copy(), y


def test_normal_cdf_against_scipy() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-30, 9, 4001)
    assert np.abs(normal_cdf(x) / special.ndtr(x) - 1).max() < 1.3e-7


@given(st.floats(-8, 8), st.floats(0.01, 20))
def test_chances_are_those_of_the_two_gaussians(log_odds: float, d2: float) -> None:
    """Against a numeric integral of what further answers add to the log-odds."""
    far = abs(log_odds)
    q = 1 / (1 + math.exp(-far))
    z = np.linspace(-9, 9, 20001)
    w = np.exp(-z * z / 2)
    w /= w.sum()
    agreeing = far + d2 / 2 + math.sqrt(d2) * z
    against = far - d2 / 2 + math.sqrt(d2) * z
    spoil, mend = q * w[agreeing < 0].sum(), (1 - q) * w[against < 0].sum()
    assert float(turns(log_odds, d2)) == pytest.approx(spoil + mend, abs=1e-3)
    assert float(corrects(log_odds, d2)) == pytest.approx(max(mend - spoil, 0), abs=1e-3)
    assert 0 <= float(corrects(log_odds, d2)) <= float(turns(log_odds, d2)) <= 1


@given(st.integers(0, 5), st.floats(0.05, 3.0))
def test_more_answers_are_worth_more(seed: int, scale: float) -> None:
    dice = np.random.default_rng(seed)
    root = dice.normal(size=(4, 4)) * scale
    law = Law(0.3, dice.normal(size=(2, 4)), root @ root.T + 0.05 * np.eye(4))
    for a, b, c, d in permutations(range(4)):
        worths = [law.worth(0, sum(1 << m for m in some)) for some in ((a,), (a, b), (a, b, c), (a, b, c, d))]
        assert worths == sorted(worths)
        del d
    assert law.worth(0b11, 0b11) == pytest.approx(0.0, abs=1e-9)


def test_those_who_err_together_share_a_vote() -> None:
    p, _, y = made(4000)
    twice = np.column_stack([p[:, 1], p[:, 1], p[:, 0]])
    evidence = Evidence(3, half_life=None)
    evidence.add_many(twice, y)
    law = evidence.law()
    assert law.worth(0b001, 0b010) < 0.02 * law.worth(0, 0b010)
    first, second, _ = law.weights(0b111)
    assert first == pytest.approx(second)
    assert first + second == pytest.approx(law.weights(0b101)[0], rel=0.05)


def test_evidence_recovers_the_law_it_was_drawn_from() -> None:
    dice = np.random.default_rng(3)
    n, means = 60_000, np.array([[-0.3, -0.1, 0.0], [0.2, 0.3, 0.4]])
    root = np.array([[0.30, 0, 0], [0.20, 0.20, 0], [0.05, 0.05, 0.25]])
    y = (dice.random(n) < 0.3).astype(int)
    x = means[y] + dice.normal(size=(n, 3)) @ root.T
    evidence = Evidence(3, half_life=None)
    evidence.add_many((x + 1) / 2, y)
    law = evidence.law()
    assert law.prior == pytest.approx(math.log(3 / 7), abs=0.05)
    assert np.abs(law.delta - (means[1] - means[0])).max() < 0.01
    assert np.abs(law.covariance - root @ root.T).max() < 0.003
    # And then what it says is calibrated.
    said = 1 / (1 + np.exp(-law.log_odds(x, 0b111)))
    for low in np.arange(0, 1, 0.2):
        at = (said >= low) & (said < low + 0.2)
        assert y[at].mean() == pytest.approx(said[at].mean(), abs=0.03)


def test_evidence_fades_and_does_not_mind_in_what_pieces_it_comes() -> None:
    p, _, y = made(200)
    whole, pieces, one = Evidence(4), Evidence(4), Evidence(4)
    whole.add_many(p, y)
    for part in np.array_split(np.arange(200), 7):
        pieces.add_many(p[part], y[part])
    for row, outcome in zip(p, y, strict=True):
        one.add(row, outcome)
    for other in (pieces, one):
        assert other.tasks == pytest.approx(whole.tasks)
        assert other.law().covariance == pytest.approx(whole.law().covariance, rel=1e-9)
        assert other.law().delta == pytest.approx(whole.law().delta, rel=1e-9)
    turned = Evidence(4, half_life=20)
    turned.add_many(p, y)
    turned.add_many(1 - p, y)  # from now on they say the opposite
    assert (turned.law().delta[:2] < 0).all()


def test_a_law_of_pairs_that_contradict_one_another_is_still_one() -> None:
    """Three models of which each two answered other tasks, correlated as no three can be."""
    dice = np.random.default_rng(0)
    rows, y = [], []
    for a, b, sign in ((0, 1, 1), (1, 2, 1), (0, 2, -1)):
        for i in range(200):
            z = dice.normal() * 0.2
            row = np.full(3, np.nan)
            row[a], row[b] = np.clip(0.5 + z, 0, 1), np.clip(0.5 + sign * z, 0, 1)
            rows.append(row)
            y.append(i % 2)
    evidence = Evidence(3, half_life=None)
    evidence.add_many(np.array(rows), np.array(y))
    assert np.linalg.eigvalsh(evidence.law().covariance).min() > 0


def test_stated_chances_of_a_change_come_true() -> None:
    """On other tasks than those that were learned from, with answers that are clipped and sometimes absent."""
    p, cost, y = made(12_000)
    evidence = Evidence(4, half_life=None)
    evidence.add_many(p[:4000], y[:4000])
    for stop in (0.01, 0.05, 0.3):
        plan = Plan(evidence.law(), np.array([8.0, 1.0, 1.0, 0.5]) * 1e-3, 0b1111, stop, 8e-3)
        out = follow(plan, p[4000:], cost[4000:])
        open_ones = out.said > 0
        order = np.argsort(out.said)
        order = order[open_ones[order]]
        for at in np.array_split(order, 4):
            assert out.came[at].mean() == pytest.approx(out.said[at].mean(), abs=0.035)


def test_a_higher_stop_asks_less_and_costs_less() -> None:
    p, cost, y = made(800)
    curve = cascade_curve(p, cost, y, ["dear", "a", "b", "c"], folds=4)
    costs = [point.cost_usd for point in curve.points]
    assert costs == sorted(costs, reverse=True)
    assert curve.points[0].asked > curve.points[-1].asked >= 1
    assert curve.points[0].accuracy > curve.points[-1].accuracy
    assert curve.singles[0].name == "dear"
    assert curve.cheapest.name == "c"
    assert curve.chosen.accuracy > max(c.accuracy for c in curve.singles[1:])
    assert curve.chosen.cost_usd <= 0.55 * curve.singles[0].cost_usd
    assert curve.oracle.accuracy > curve.points[0].accuracy
    again = cascade_curve(p, cost, y, ["dear", "a", "b", "c"], folds=4)
    assert str(again) == str(curve)
    assert json.loads(json.dumps(curve.as_dict()))["best"]["name"] == curve.best.name
    root = ElementTree.fromstring(curve.picture())
    assert root.tag.endswith("svg")
    assert "cascade" in "".join(root.itertext())


def test_what_comes_later_changes_nothing_before_it() -> None:
    p, cost, y = made(400)
    options: dict[str, Any] = {"models": ["dear", "a", "b", "c"], "folds": 4, "prequential": True}
    curve = cascade_curve(p, cost, y, **options)
    assert curve.tasks == 300
    other = y.copy()
    other[300:] = 1 - other[300:]  # the last part is learned from by nobody
    changed = cascade_curve(p, cost, other, **options)
    for a, b in zip(curve.points, changed.points, strict=True):
        assert (a.cost_usd, a.asked, a.said, a.came) == (b.cost_usd, b.asked, b.said, b.came)


def test_one_model_and_models_that_never_answer() -> None:
    p, cost, y = made(80)
    alone = cascade_curve(p[:, :1], cost[:, :1], y, ["only"], folds=4)
    assert alone.chosen.asked == 1
    assert alone.of_cost == pytest.approx(1.0)
    absent = np.column_stack([p, np.full(80, np.nan)])
    paid = np.column_stack([cost, np.zeros(80)])
    curve = cascade_curve(absent, paid, y, ["dear", "a", "b", "c", "never"], folds=4)
    assert curve.chosen.accuracy > 0.5
    free = cascade_curve(p, np.zeros_like(cost), y, ["dear", "a", "b", "c"], folds=4)
    assert free.chosen.cost_usd == 0
    assert math.isnan(free.of_cost)


def test_bad_input_is_named() -> None:
    p, cost, y = made(80)
    names = ["dear", "a", "b", "c"]
    for bad, told in (
        ((p[:, :2], cost, y, names), "p has shape"),
        ((p, cost[:3], y, names), "cost_usd has shape"),
        ((p, cost, y[:3], names), "outcome has shape"),
        ((p + 2, cost, y, names), r"outside \[0, 1\]"),
        ((p, -cost, y, names), "cost_usd has a number"),
        ((p, cost, y + 1, names), "neither 0 nor 1"),
        ((p[:9], cost[:9], y[:9], names), "too few"),
    ):
        with pytest.raises(TableError, match=told):
            cascade_curve(*bad)
    with pytest.raises(TableError, match="budget"):
        cascade_curve(p, cost, y, names, budget=0)
    with pytest.raises(InvalidRecordError, match="models is 0"):
        Evidence(0)
    with pytest.raises(InvalidRecordError, match="half_life"):
        Evidence(2, half_life=0)


def graded(n: int = 300) -> RoutingTable:
    dice = np.random.default_rng(0)
    sets = [("sum", "prove")[i] for i in dice.integers(0, 2, n)]
    p = np.array([(0.9, 0.92) if kind == "sum" else (0.2, 0.9) for kind in sets])
    quality = (dice.random((n, 2)) < p).astype(float)
    cost = np.broadcast_to([1e-4, 1e-3], (n, 2)).copy()
    return RoutingTable(("small", "large"), [f"{kind} number {i}" for i, kind in enumerate(sets)], sets, quality, cost)


def test_prompts_without_answers_are_sent_where_they_are_worth_it() -> None:
    for expected in ("sets", "linear", "linear + sets"):
        curve = graded_curve(graded(), expected=expected, budget=0.7)
        assert curve.best.name == "large"
        assert curve.of_accuracy > 0.96
        assert curve.of_cost < 0.7
        assert math.isnan(curve.chosen.came)
        ElementTree.fromstring(curve.picture())
    with pytest.raises(ValueError, match="expected is 'x'"):
        graded_curve(graded(), expected="x")
    with pytest.raises(ValueError, match="expected has shape"):
        graded_curve(graded(), expected=np.zeros((3, 2)))
    table = graded()
    with pytest.raises(TableError, match="no costs"):
        graded_curve(RoutingTable(table.models, table.texts, table.sets, table.quality))


# --- the public data ---


def tools(folder: Path) -> CascadeCurve:
    import pandas as pd

    frame = pd.read_parquet(folder / "olas_predict" / "olas_predict_dev.parquet")
    frame = frame.drop_duplicates(["question_id", "tool"])
    p = frame.pivot(index="question_id", columns="tool", values="p")
    cost = frame.pivot(index="question_id", columns="tool", values="cost_usd")[p.columns].fillna(0.0)
    outcome = frame.groupby("question_id").outcome.first()[p.index]
    return cascade_curve(p.to_numpy(), cost.to_numpy(), outcome.to_numpy(), list(p.columns))


def test_tools_on_questions(shared_data: Path) -> None:
    """98.4 % of the best fixed choice at half its cost, each question judged by what was learned from the others."""
    curve = tools(shared_data)
    assert curve.best.name == "claude-prediction-offline"
    assert curve.of_accuracy >= 0.984
    assert curve.of_cost <= 0.5
    for said, came, n in curve.calibration:
        assert n > 200
        assert came <= said + 0.06


def test_nine_models_on_prompts(shared_data: Path) -> None:
    folder = shared_data / "routing"
    prices = read_prices(folder / "llmrouter_9model_prices.csv")
    table = read_routing_table(folder / "llmrouter_9model_dev.parquet", prices=prices)
    curve = graded_curve(table, expected="sets")
    assert curve.best.name == "llama-3.1-nemotron-51b-instruct"
    assert curve.of_accuracy >= 0.984
    assert curve.of_cost <= 0.5
