"""The weights of versions that answer together, and what the next run learns from."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import InvalidRecordError
from fairlead.lifecycle import OnAnswers, OnGrowth, Pool, Windows
from fairlead.lifecycle.pool.pool import FLOOR
from fairlead.lifecycle.pool.windows import SINCE
from fairlead.lifecycle.signals import Facts


def oracle(rounds: list[tuple[list[float], int]], *, rate: float, decay: float) -> tuple[list[float], list[float]]:
    """The pooled P(1) before each label, and the last weights: as it is in the books, one number after the other."""
    n = len(rounds[0][0])
    weights = [1.0 / n] * n
    answers = []
    for ps, y in rounds:
        odds = [
            sum(w * math.log(max(q, FLOOR)) for w, q in zip(weights, side, strict=True))
            for side in (ps, [1 - p for p in ps])
        ]
        answers.append(1.0 / (1.0 + math.exp(odds[1] - odds[0])))
        losses = [-math.log(max(p if y else 1 - p, FLOOR)) for p in ps]
        raw = [w**decay * math.exp(-rate * loss) for w, loss in zip(weights, losses, strict=True)]
        weights = [w / sum(raw) for w in raw]
    return answers, weights


probability = st.floats(0.02, 0.98)


@given(
    st.lists(st.tuples(st.lists(probability, min_size=3, max_size=3), st.integers(0, 1)), min_size=1, max_size=20),
    st.sampled_from([0.3, 1.0]),
    st.sampled_from([0.9, 0.99, 1.0]),
)
def test_it_is_hedge_on_the_log_loss(rounds: list[tuple[list[float], int]], rate: float, decay: float) -> None:
    pool = Pool("binary", rate=rate, decay=decay, mix=0.0)
    pool.restore({"versions": [1, 2, 3], "log": [[0.0] * 3] * 2, "square": None})
    answers, weights = oracle(rounds, rate=rate, decay=decay)
    for (ps, y), expected in zip(rounds, answers, strict=True):
        said = {k + 1: (1.0 - p, p) for k, p in enumerate(ps)}
        answer: Any = pool.answer(said)
        assert answer[1] == pytest.approx(expected, rel=1e-9)
        assert sum(answer) == pytest.approx(1.0)
        pool.learn(said, y)
    assert list(pool.weights().values()) == pytest.approx(weights, rel=1e-6, abs=1e-12)


def test_a_newcomer_gets_its_share_and_the_lightest_goes() -> None:
    pool = Pool("binary", keep=2, entry=0.25)
    assert pool.enter(1) == ()
    assert pool.weights() == {1: 1.0}
    assert pool.enter(2) == ()
    assert pool.weights() == pytest.approx({1: 0.75, 2: 0.25})
    assert pool.enter(2) == ()  # it is in already
    assert pool.enter(3) == (2,)
    assert pool.weights() == pytest.approx({1: 0.75, 3: 0.25})
    assert pool.leave(1)
    assert not pool.leave(1)
    assert pool.weights() == {3: 1.0}


def test_what_was_right_before_takes_over_again_within_some_labels() -> None:
    pool = Pool("categorical")
    pool.enter(1)
    pool.enter(2)
    first, second = (0.8, 0.1, 0.1), (0.1, 0.8, 0.1)
    for label, rightly in ((0, 1), (1, 2), (0, 1)):
        for _ in range(300):
            pool.learn({1: first, 2: second}, label)
        assert pool.weights()[rightly] > 0.95
    needed = 0
    while pool.weights()[2] < 0.5:
        pool.learn({1: first, 2: second}, 1)
        needed += 1
    assert 0 < needed < 150  # it does not have to make up for all that was before


def test_what_errs_on_different_rows_is_better_together() -> None:
    rng = np.random.default_rng(2)
    pool = Pool("binary")
    for version in (1, 2):
        pool.enter(version)
    losses: dict[str, list[float]] = {"pool": [], "first": [], "second": []}
    for _ in range(3000):
        signals = rng.normal(0.0, 1.0, 2)
        y = int(rng.random() < 1.0 / (1.0 + np.exp(-2.0 * signals.sum())))
        p = 1.0 / (1.0 + np.exp(-2.0 * signals))  # each sees one of two
        said = {k + 1: (1.0 - q, q) for k, q in enumerate(p.tolist())}
        answer: Any = pool.answer(said)
        for name, one in (("pool", answer), ("first", said[1]), ("second", said[2])):
            losses[name].append(-math.log(one[y]))
        pool.learn(said, y)
    means = {name: float(np.mean(values[500:])) for name, values in losses.items()}
    assert means["pool"] < 0.9 * min(means["first"], means["second"])
    assert 0.02 < pool.weights()[1] < 0.98


def test_the_slope_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(7)
    log = rng.normal(0.0, 1.0, (2, 3))
    said = {k: tuple(rng.dirichlet(np.ones(4)).tolist()) for k in (1, 2, 3)}
    pool = Pool("categorical", mix=0.05)
    pool.restore({"versions": [1, 2, 3], "log": log.tolist(), "square": None})
    pool.learn(said, 2)

    def loss(weights: Any) -> float:
        logs = weights @ np.log(np.maximum(np.array(list(said.values())), FLOOR))
        return float(np.log(np.exp(logs).sum()) - logs[2])

    w = np.exp(log[1]) / np.exp(log[1]).sum()
    slopes = np.array([(loss(w + h) - loss(w - h)) / 2e-6 for h in 1e-6 * np.eye(3)])
    expected = 0.998 * np.log(w) - 0.05 * slopes
    found = np.array(pool.snapshot()["log"][1])
    assert found == pytest.approx(expected - expected.max(), abs=1e-6)


def test_numbers_are_averaged() -> None:
    pool = Pool("numeric")
    pool.enter(1)
    pool.enter(2)
    assert pool.answer({1: 1.0, 2: 3.0}) == pytest.approx(2.0)
    for y in range(30):
        pool.learn({1: y + 0.1, 2: y + 5.0}, float(y))
    assert pool.weights()[1] > 0.9
    assert pool.answer({1: 1.0, 2: 3.0}) == pytest.approx(1.0, abs=0.2)


def test_a_version_that_says_nothing_counts_for_nothing() -> None:
    pool = Pool("binary")
    pool.enter(1)
    pool.enter(2)
    assert pool.answer({2: (0.3, 0.7)}) == pytest.approx((0.3, 0.7))
    before = pool.weights()
    pool.learn({2: (0.3, 0.7)}, 1)
    assert pool.weights() == pytest.approx(before)  # the other lost as much as the pool
    with pytest.raises(InvalidRecordError, match="none of the versions"):
        pool.answer({7: (0.5, 0.5)})


def test_a_snapshot_is_as_if_it_had_never_stopped() -> None:
    rng = np.random.default_rng(3)
    pool, windows = Pool("binary", keep=3), Windows((1000, 300, 100))
    for t in range(200):
        if t % 40 == 0:
            pool.enter(t)
            windows.choose(500)
        said = {v: (1 - p, p) for v, p in zip(pool.versions, rng.random(3).tolist(), strict=False)}
        pool.learn(said, int(rng.integers(2)))
        windows.learn({1000: rng.random(), 100: rng.random()})
        if t == 100:
            other, others = Pool("binary", keep=3), Windows((1000, 300, 100))
            other.restore(pool.snapshot())
            others.restore(windows.snapshot())
            state = rng.bit_generator.state
    rng.bit_generator.state = state
    for t in range(101, 200):
        if t % 40 == 0:
            other.enter(t)
            others.choose(500)
        said = {v: (1 - p, p) for v, p in zip(other.versions, rng.random(3).tolist(), strict=False)}
        other.learn(said, int(rng.integers(2)))
        others.learn({1000: rng.random(), 100: rng.random()})
    assert other.snapshot() == pool.snapshot()
    assert others.snapshot() == windows.snapshot()


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ({"kind": "ranks"}, "kind is 'ranks'"),
        ({"keep": 0}, "keep is 0"),
        ({"rate": 0.0}, "rate is 0.0"),
        ({"decay": 1.5}, "decay is 1.5"),
        ({"entry": math.nan}, "entry is nan"),
    ],
)
def test_a_pool_refuses_what_cannot_be(what: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidRecordError, match=match):
        Pool(**{"kind": "binary", **what})


def test_a_broken_snapshot_changes_nothing() -> None:
    pool = Pool("binary")
    pool.enter(4)
    for state in (
        {},
        {"versions": [1], "log": [0.0, 1.0, 2.0], "square": None},
        {"versions": [1, 1], "log": [[0, 0]] * 2, "square": None},
    ):
        with pytest.raises(InvalidRecordError, match="no snapshot"):
            pool.restore(state)
    assert pool.versions == (4,)


def test_windows_try_each_then_take_the_best_and_explore() -> None:
    windows = Windows((1000, 300, 100), explore=4)
    assert [windows.choose(5000) for _ in range(3)] == [1000, 300, 100]
    for _ in range(20):
        windows.learn({1000: 0.5, 300: 0.2, 100: 0.4})
    chosen = [windows.choose(5000) for _ in range(40)]
    assert chosen.count(300) == 30
    assert {1000, 100} <= set(chosen)
    for _ in range(5000):
        windows.learn({1000: 0.1, 300: 0.2})  # what was, is forgotten
    chosen = [windows.choose(5000) for _ in range(40)]
    assert chosen.count(1000) == 30


def test_lengths_beyond_what_is_at_hand_are_one() -> None:
    windows = Windows((1000, 300, 100))
    assert [windows.choose(50) for _ in range(3)] == [100, 100, 100]
    assert [windows.choose(200) for _ in range(3)] == [300, 300, 100] or windows.choose(200) in (300, 100)
    with pytest.raises(InvalidRecordError, match="holds one twice"):
        Windows((5, 5))


def test_growth_is_relative_and_at_least() -> None:
    rule = OnGrowth(0.1, least=50)
    assert not rule.due(None, Facts(examples=200, new=49), 0)
    assert rule.due(None, Facts(examples=200, new=50), 0)
    assert not rule.due(None, Facts(examples=10_000, new=999), 0)
    assert rule.due(None, Facts(examples=10_000, new=1000), 0)
    with pytest.raises(InvalidRecordError, match="share is 0"):
        OnGrowth(0)


def test_answers_that_become_worse_ask_for_a_run_once() -> None:
    rule, rng = OnAnswers(least=30), np.random.default_rng(6)
    facts = Facts(examples=1000, new=1000)
    for error in rng.random(1000) < 0.3:
        rule.learn(float(error))
    assert not rule.due(None, facts, 0)
    assert rule.since is None
    for error in rng.random(300) < 0.05:  # better is no reason
        rule.learn(float(error))
    assert not rule.due(None, facts, 0)
    worse = rng.random(200) < 0.6
    for error in worse:
        rule.learn(float(error))
        since = rule.since
        if rule.alarm and since is not None:
            assert bool(rule.due(None, facts, 0)) == (since >= 30)
    assert abs((rule.since or 0) - len(worse)) < 25
    assert "more errors" in rule.due(None, facts, 0)
    grown = OnGrowth(answers=rule)
    assert grown.due(None, Facts(examples=1500, new=50), 0)  # of those since the change, not of all
    rule.begun()
    assert not rule.due(None, facts, 0)
    assert rule.since is not None


def test_what_came_since_a_change_is_the_shortest_window() -> None:
    windows = Windows((1000, 300))
    assert [windows.choose(5000), windows.choose(5000)] == [1000, 300]
    for _ in range(500):
        windows.learn({1000: 0.1, 300: 0.2})
    windows.changed()
    assert windows.choose(5000, since=40) == SINCE
    for _ in range(60):
        windows.learn({1000: 0.9, 300: 0.8, SINCE: 0.3})
    chosen = [windows.choose(5000, since=100) for _ in range(8)]
    assert chosen.count(SINCE) == 6
    assert SINCE not in [windows.choose(5000, since=300) for _ in range(8)]  # as good as 300 now
