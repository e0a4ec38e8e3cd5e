"""Agreement of models against direct sums and scipy; returns against accounts that must balance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from audited import DAY, audits, pool_loss

import fairlead as fl
from fairlead.measure.agreement import _correlation
from fairlead.measure.audit import Audit


def test_pairs_by_direct_sums() -> None:
    found = audits(1, 60)
    for group in fl.agreement(found):
        of = [a for a in found if a.kind == group.kind]
        for pair in group.pairs:
            both = [a for a in of if pair.a in a.answers and pair.b in a.answers]
            assert pair.tasks == len(both)
            x, y, same = [], [], []
            for a in both:
                p, q = a.answers[pair.a], a.answers[pair.b]
                if a.kind == "categorical":
                    x += [p[k] - (k == a.outcome) for k in p]
                    y += [q[k] - (k == a.outcome) for k in p]
                    same.append(max(p, key=p.get) == max(q, key=q.get))
                else:
                    x.append(p - a.outcome)
                    y.append(q - a.outcome)
                    same.append((p > 0.5) == (q > 0.5))
            assert pair.errors == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-9)
            distance = np.sqrt(((np.array(x) - np.array(y)) ** 2).sum() / len(both))
            assert pair.distance == pytest.approx(distance, abs=1e-9)
            if group.kind == "numeric":
                assert math.isnan(pair.same)
            else:
                assert pair.same == pytest.approx(np.mean(same))
        assert group.pair(pair.b, pair.a) is pair
        with pytest.raises(KeyError):
            group.pair("m00", "nobody")


def test_rank_correlation_is_scipys() -> None:
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(2)
    for n in (2, 5, 50):
        x, y = rng.integers(0, 7, n).astype(float), rng.integers(0, 7, n).astype(float)
        assert _correlation(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, nan_ok=True)


def worse_where_they_disagree(n: int, strength: float, seed: int = 3, together: int = 1) -> list[Audit]:
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        apart = float(rng.uniform(0, 0.4))
        right = 0.9 - strength * apart
        # All outcomes of a round are alike, if `together` is above 1.
        chance = np.random.default_rng(i // together).random() if together > 1 else rng.random()
        outcome = int(chance < right)
        out.append(
            Audit(
                task=str(i),
                kind="binary",
                time=i * DAY,
                settled=(i // together) * DAY,
                outcome=outcome,
                answers={"a": 0.7 - apart / 2, "b": 0.7 + apart / 2},
                p=0.7,
                loss=(0.7 - outcome) ** 2,
                disagreement=apart,
            )
        )
    return out


def test_disagreement_that_matters_is_found_and_other_is_not() -> None:
    matters = fl.agreement(worse_where_they_disagree(600, 1.5), bins=4)[""]
    assert matters.relation.correlation > 0.2
    assert matters.relation.low > 0
    assert matters.relation.p_value < 1e-4
    assert [b.tasks for b in matters.bins] == [150] * 4
    assert matters.bins[0].loss < matters.bins[-1].loss
    assert matters.bins[0].accuracy > matters.bins[-1].accuracy
    found = [fl.agreement(worse_where_they_disagree(300, 0.0, seed))[""].relation for seed in range(100, 140)]
    assert sum(r.p_value < 0.05 for r in found) <= 6
    assert np.mean([abs(r.correlation) for r in found]) < 0.1


def test_rounds_that_err_together_are_no_more_evidence() -> None:
    apart = fl.agreement(worse_where_they_disagree(400, 1.0, 5))[""].relation
    together = fl.agreement(worse_where_they_disagree(400, 1.0, 5, together=100))[""].relation
    assert together.rounds == 4
    assert together.high - together.low > apart.high - apart.low
    assert math.isnan(fl.agreement(worse_where_they_disagree(40, 1.0, 5, together=40))[""].relation.p_value)


def test_bins_hold_all_tasks_once() -> None:
    found = audits(4, 90)
    whole = fl.agreement(found, bins=3)
    for group in whole:
        answered = [a for a in found if a.kind == group.kind and len(a.answers) > 1]
        assert sum(b.tasks for b in group.bins) == len(answered) == group.relation.tasks
        for lower, higher in zip(group.bins, group.bins[1:], strict=False):
            assert lower.high < higher.low
        loss = sum(b.tasks * b.loss for b in group.bins) / len(answered)
        assert loss == pytest.approx(np.mean([pool_loss(a, list(a.answers), equal=True) for a in answered]))
    assert len(whole.to_dicts()) == sum(len(g.pairs) for g in whole)
    assert len(whole.bins_to_dicts()) == sum(len(g.bins) for g in whole)
    assert "errors correlate" in str(whole)


@pytest.mark.parametrize("attribute", ["contribution", "weights"])
def test_the_accounts_balance(attribute: str) -> None:
    found = audits(5, 60)
    for by in (None, "category", "month"):
        result = fl.returns(found, by=by, attribute=attribute)  # type: ignore[arg-type]
        assert sum(g.tasks for g in result) == len(found)
        assert sum(g.total.cost_usd for g in result) == pytest.approx(sum(a.cost_usd for a in found))
        profits = [a.profit_usd for a in found if a.profit_usd is not None]
        assert sum(g.total.profit_usd or 0.0 for g in result) == pytest.approx(sum(profits))
        for group in result:
            assert sum(row.cost_usd for row in group) == pytest.approx(group.total.cost_usd)
            assert sum(row.cost_share for row in group) == pytest.approx(1.0)
            assert sum(row.weight for row in group) == pytest.approx(group.total.weight)
            assert sum(row.skill for row in group) == pytest.approx(group.total.skill)
            if group.with_profit:
                assert sum(row.profit_usd for row in group) == pytest.approx(group.total.profit_usd)
                for row in (*group, group.total):
                    assert row.net_usd == pytest.approx(row.profit_usd - row.cost_usd)
    assert fl.returns(found).to_dicts()[-1]["model"] == ""


def test_skill_is_that_of_contribution() -> None:
    found = audits(6, 60, ("binary",))
    group, shares = fl.returns(found)[""], fl.contribution(found)[""]
    for row in shares:
        assert group[row.model].skill == pytest.approx(row.shapley / shares.baseline)
        cost = group[row.model].cost_usd / len(found)
        assert group[row.model].skill_per_usd == pytest.approx(row.shapley / shares.baseline / cost)
        if row.shapley > 0:
            assert group[row.model].usd_per_point == pytest.approx(cost / (100 * row.shapley / shares.baseline))
        else:
            assert group[row.model].usd_per_point == math.inf
    assert group.total.skill == pytest.approx(1 - shares.loss / shares.baseline)


def one(profit: float | None, **more: object) -> Audit:
    fields: dict[str, object] = {
        "task": "q", "kind": "binary", "time": 0, "settled": 0, "outcome": 1, "weights": {"good": 0.5, "bad": 0.5},
        "answers": {"good": 0.9, "bad": 0.2}, "profit_usd": profit,
    } | more  # fmt: skip
    return Audit(**fields)  # type: ignore[arg-type]


def test_profit_goes_to_who_made_it_and_loss_to_who_brought_it() -> None:
    gained, lost = fl.returns([one(10.0)])[""], fl.returns([one(-10.0)])[""]
    assert (gained["good"].profit_usd, gained["bad"].profit_usd) == (10.0, 0.0)
    assert (lost["good"].profit_usd, lost["bad"].profit_usd) == (0.0, -10.0)
    weighed = fl.returns([one(10.0)], attribute="weights")[""]
    assert (weighed["good"].profit_usd, weighed["bad"].profit_usd) == (5.0, 5.0)


def test_costs_that_bought_nothing_and_calls_that_were_free() -> None:
    paid = fl.returns([one(None, costs={"good": 0.01, "failed": 0.03}, cost_usd=0.05)])[""]
    assert paid["failed"].skill == 0.0
    assert paid["failed"].usd_per_point == math.inf
    assert paid["good"].profit_usd is None
    assert paid.total.cost_usd == 0.05  # a cent that no model is named for
    assert paid["bad"].cost_usd == 0.0
    assert paid["bad"].skill_per_usd == -math.inf
    assert math.isnan(paid["bad"].usd_per_point)
    assert "profit" not in str(paid)
    assert "failed" in str(paid)
