"""All methods of `pool` and `pool_binary` against numpy, scipy and long arithmetic; absence, abstention, `out`."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit, logit

import fairlead as fl
from fairlead import _core

NAN = float("nan")
LEVELS = ("scalar", "avx2", "avx512")
PLAIN = ("linear", "log", "trimmed", "median", "vote", "extremized")


@pytest.fixture
def any_level() -> Iterator[None]:
    before = _core.simd_level()
    yield
    _core.set_simd_level(before)


def binary(seed: int, tasks: int = 200, models: int = 8, absent: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p = rng.beta(0.5, 0.5, (tasks, models))
    p[rng.random((tasks, models)) < absent] = NAN
    return p


def classes(seed: int, tasks: int = 100, models: int = 8, n: int = 3, absent: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(n, 0.5), (tasks, models))
    p[rng.random((tasks, models)) < absent] = NAN
    return p


def factor(n: int) -> float:
    return n * (math.sqrt(3 * n * n - 3 * n + 1) - 2) / (n * n - n - 1)


def by_hand(p: np.ndarray, method: str, w: np.ndarray | None = None, clip: float = 1e-3) -> float:
    """One event, one formula a method, present models only."""
    here = ~np.isnan(p)
    w = np.ones(len(p)) if w is None else w
    p, w = p[here], w[here]
    if len(p) == 0 or w.sum() == 0:
        return NAN
    if method == "linear":
        return float(np.average(p, weights=w))
    if method == "trimmed":
        return float(stats.trim_mean(p, 0.1))
    if method == "median":
        return float(np.median(p))
    if method == "vote":
        return float(np.average((np.sign(p - 0.5) + 1) / 2, weights=w))
    odds = np.average(np.log(np.maximum(p, clip)) - np.log(np.maximum(1 - p, clip)), weights=w)
    return float(expit(odds * (factor(len(p)) if method == "extremized" else 1.0)))


@pytest.mark.parametrize("absent", [0.0, 0.3])
@pytest.mark.parametrize("models", [1, 2, 5, 8, 20, 64, 70, 400])
@pytest.mark.parametrize("method", PLAIN)
def test_events_by_hand(method: str, models: int, absent: float) -> None:
    p = binary(models, 40, models, absent)
    expected = [by_hand(row, method) for row in p]
    np.testing.assert_allclose(fl.pool_binary(p, method), expected, rtol=3e-14, atol=0)
    if method not in ("trimmed", "median"):
        w = np.random.default_rng(1).random((40, models))
        w[3] = 0.0
        expected = [by_hand(row, method, weights) for row, weights in zip(p, w, strict=True)]
        np.testing.assert_allclose(fl.pool_binary(p, method, weights=w), expected, rtol=3e-14, atol=0)
        np.testing.assert_allclose(
            fl.pool_binary(p, method, weights=w[0]), [by_hand(row, method, w[0]) for row in p], rtol=3e-14, atol=0
        )


@pytest.mark.parametrize("method", PLAIN)
def test_a_class_and_its_opposite_are_an_event(method: str) -> None:
    p = binary(5, absent=0.2)
    both = fl.pool(np.stack([1 - p, p], axis=2), method)
    pooled = fl.pool_binary(p, method)
    if method in ("trimmed", "median", "extremized", "log", "linear", "vote"):
        np.testing.assert_allclose(both[:, 1], pooled, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(both.sum(axis=1), 1, rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 40])
def test_classes_by_hand(n: int) -> None:
    p = classes(n, n=n)
    logs = np.log(np.maximum(p, 1e-3)).mean(axis=1)
    for method, power in (("log", 1.0), ("extremized", factor(8))):
        z = np.exp(power * (logs - logs.max(axis=1, keepdims=True)))
        np.testing.assert_allclose(fl.pool(p, method), z / z.sum(axis=1, keepdims=True), rtol=1e-13)
    trimmed = stats.trim_mean(p, 0.25, axis=1)
    expected = trimmed / trimmed.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fl.pool(p, "trimmed", trim=0.25), expected, rtol=1e-13)
    votes = np.stack([np.bincount(row.argmax(axis=1), minlength=n) / 8 for row in p])
    np.testing.assert_allclose(fl.pool(p, "vote"), votes, rtol=1e-15)


def test_accuracy_weighted_votes_are_bayes_rule() -> None:
    accuracy = np.array([0.9, 0.7, 0.55, 0.3])
    p = binary(3, 50, 4)
    # P(votes | yes) against P(votes | no), both equally likely before.
    yes = np.prod(np.where(p > 0.5, accuracy, 1 - accuracy), axis=1)
    no = np.prod(np.where(p > 0.5, 1 - accuracy, accuracy), axis=1)
    np.testing.assert_allclose(fl.pool_binary(p, "log_odds", accuracy=accuracy), yes / (yes + no), rtol=1e-13)
    q = classes(4, 50, 4, 5)
    vote = q.argmax(axis=2)
    likelihood = np.stack(
        [np.prod(np.where(vote == k, accuracy, (1 - accuracy) / 4), axis=1) for k in range(5)], axis=1
    )
    expected = likelihood / likelihood.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(fl.pool(q, "log_odds", accuracy=accuracy), expected, rtol=1e-12)
    # Nobody is believed without bound, and no opinion counts nothing.
    assert fl.pool_binary([0.9], "log_odds", accuracy=[1.0]) == pytest.approx(1 - 1e-3, rel=1e-12)
    assert fl.pool_binary([0.5, NAN], "log_odds", accuracy=[0.9, 0.9]) == 0.5


def test_ties_are_shared_out() -> None:
    assert fl.pool([[0.4, 0.4, 0.2], [0.0, 0.0, 1.0]], "vote").tolist() == [0.25, 0.25, 0.5]
    assert fl.pool_binary([0.5, 0.8], "vote") == 0.75


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("method", PLAIN)
def test_every_level_and_one_event_give_the_same_bits(any_level: None, method: str, level: str) -> None:
    if LEVELS.index(level) > LEVELS.index(_core.simd_best()):
        pytest.skip(f"this machine has no {level}")
    cases = [(binary(7, 77, 8, 0.0), None), (binary(8, 77, 9, 0.2), None), (binary(9, 13, 5), np.arange(5.0))]
    many = [(classes(7, 45, 6, 3), None), (classes(8, 45, 6, 40, 0.3), None), (classes(9, 13, 5, 4), np.arange(5.0))]
    for function, inputs in ((fl.pool_binary, cases), (fl.pool, many)):
        for p, weights in inputs:
            if weights is not None and method in ("trimmed", "median"):
                continue
            _core.set_simd_level("scalar")
            expected = function(p, method, weights=weights)
            _core.set_simd_level(level)
            np.testing.assert_array_equal(function(p, method, weights=weights), expected)
            assert _core.simd_ran() == level
            for row, pooled in zip(p, expected, strict=True):
                np.testing.assert_array_equal(function(row, method, weights=weights), pooled)


@pytest.mark.parametrize("clip", [1e-3, 1e-12, 1e-100])
@pytest.mark.parametrize("weighted", [False, True])
def test_log_pool_against_long_arithmetic(weighted: bool, clip: float) -> None:
    mp = pytest.importorskip("mpmath")
    p = binary(11, 200, 8)
    p[:40] = 10.0 ** -np.random.default_rng(0).uniform(0, 20, (40, 8))
    w = np.random.default_rng(2).random(8) if weighted else np.ones(8)
    pooled = fl.pool_binary(p, "log", weights=w if weighted else None, clip=clip)
    with mp.workdps(40):
        for row, ours in zip(p, pooled, strict=True):
            odds = [mp.log(max(mp.mpf(a), clip) / max(mp.mpf(1.0 - a), clip)) for a in row]
            exact = mp.fsum(mp.mpf(v) * x for v, x in zip(w, odds, strict=True)) / mp.fsum(map(mp.mpf, w))
            exact = 1 / (1 + mp.exp(-exact))
            # 6 ulp of the answer, and what a sum of 8 log-odds of this size loses.
            assert abs(ours - exact) / exact < (6 + 4 * max(map(abs, odds))) * 2**-53


def test_present_models_are_all_that_counts() -> None:
    p = binary(13, 60, 8)
    accuracy = np.random.default_rng(5).uniform(0.2, 0.9, 8)
    with_absent = np.insert(p, [0, 4, 8], NAN, axis=1)
    for method in PLAIN:
        np.testing.assert_array_equal(fl.pool_binary(with_absent, method), fl.pool_binary(p, method))
    np.testing.assert_array_equal(
        fl.pool_binary(with_absent, "log_odds", accuracy=np.insert(accuracy, [0, 4, 8], 0.5)),
        fl.pool_binary(p, "log_odds", accuracy=accuracy),
    )
    for method in PLAIN:
        assert math.isnan(fl.pool_binary([NAN, None], method))
        assert np.isnan(fl.pool(np.full((3, 4), NAN), method)).all()
    assert math.isnan(fl.pool_binary([NAN, 0.3], weights=[1.0, 0.0]))


@given(st.data())
def test_order_duplicates_and_unanimity(data: st.DataObject) -> None:
    p = np.array(data.draw(st.lists(st.floats(0.002, 0.998), min_size=1, max_size=12)))
    order = np.array(data.draw(st.permutations(range(len(p)))))
    for method in PLAIN:
        pooled = fl.pool_binary(p, method)
        assert fl.pool_binary(p[order], method) == pytest.approx(pooled, rel=1e-12)
        if method not in ("extremized", "trimmed"):
            assert fl.pool_binary(np.repeat(p, 2), method) == pytest.approx(pooled, rel=1e-12)
        if method not in ("extremized", "vote"):
            assert fl.pool_binary(np.full(len(p), p[0]), method) == pytest.approx(p[0], rel=1e-12)
            assert p.min() - 1e-12 <= pooled <= p.max() + 1e-12


def test_extremizing_pushes_away_from_one_half() -> None:
    p = np.array([0.6, 0.7, 0.8])
    mean = logit(p).mean()
    assert fl.pool_binary(p, "extremized") == pytest.approx(expit(factor(3) * mean), rel=1e-14)
    assert fl.pool_binary(p, "extremized", factor=2.5) == pytest.approx(expit(2.5 * mean), rel=1e-14)
    assert fl.pool_binary([0.7], "extremized") == pytest.approx(0.7, rel=1e-15)
    assert factor(1) == 1
    assert factor(10**6) == pytest.approx(math.sqrt(3), rel=1e-5)


def test_abstention() -> None:
    p = np.array([[0.5, 0.6], [0.9, 0.8], [0.2, 0.1]])
    np.testing.assert_allclose(fl.pool_binary(p, abstain_below=0.8), [NAN, 0.85, 0.15], rtol=1e-15)
    assert math.isnan(fl.pool_binary([0.5, 0.6], abstain_below=0.8))
    assert np.isnan(fl.pool([[0.4, 0.3, 0.3]], abstain_below=0.5)).all()
    assert not np.isnan(fl.pool([[0.4, 0.3, 0.3]], abstain_below=0.4)).any()
    assert np.isnan(fl.pool([[1, 0, 0], [0, 1, 0], [0, 0, 1]], "vote", abstain_below=0.5)).all()


def test_out_is_filled_and_returned() -> None:
    p = binary(1)
    out = np.empty(200)
    assert fl.pool_binary(p, "log", out=out) is out
    np.testing.assert_array_equal(out, fl.pool_binary(p, "log"))
    room = np.empty((100, 3))
    assert fl.pool(classes(1), out=room) is room


def test_what_an_event_may_be() -> None:
    p = [0.25, 0.5, 0.75]
    for given_as in (
        p,
        tuple(p),
        np.array(p),
        np.array(p, dtype=np.float32),
        np.repeat(p, 2)[::2],
        [0.25, 0.5, np.float64(0.75)],
    ):
        assert fl.pool_binary(given_as) == 0.5
    assert fl.pool_binary(np.array(p, dtype=">f8")) == 0.5
    assert fl.pool_binary([0, 1]) == 0.5
    assert fl.pool_binary([0.25] * 100 + [0.75] * 100, "median") == 0.5
    assert fl.pool_binary(np.empty((0, 3))).shape == (0,)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fl.pool_binary([]), "p is empty"),
        (lambda: fl.pool_binary([0.2, 1.3]), "p holds 1.3"),
        (lambda: fl.pool_binary([0.2, -0.1]), "p holds -0.1"),
        (lambda: fl.pool_binary([[0.2, math.inf]]), "p holds inf"),
        (lambda: fl.pool_binary(np.zeros((2, 2, 2))), "p has shape"),
        (lambda: fl.pool_binary([0.2], "mode"), "method is 'mode'"),
        (lambda: fl.pool_binary([0.2], weights=[1, 2]), "weights has length 2, p has 1"),
        (lambda: fl.pool_binary([0.2], weights=[NAN]), "weights holds nan"),
        (lambda: fl.pool_binary([[0.2, 0.3]], weights=np.ones((2, 2))), "weights has 2 rows, p has 1"),
        (lambda: fl.pool_binary([0.2], "trimmed", trim=0.5), r"trim is 0.5, outside"),
        (lambda: fl.pool_binary([0.2], "log", trim=0.1), "trim is given, but only 'trimmed'"),
        (lambda: fl.pool_binary([0.2], "log", clip=0.0), "clip is 0.0"),
        (lambda: fl.pool_binary([0.2], "extremized", factor=-1), "factor is -1.0"),
        (lambda: fl.pool_binary([0.2], "log_odds"), "accuracy is not given"),
        (lambda: fl.pool_binary([0.2], "log", accuracy=[0.5]), "accuracy is given"),
        (lambda: fl.pool_binary([0.2], "log_odds", accuracy=[1.5]), "accuracy holds 1.5"),
        (lambda: fl.pool_binary([0.2], "trimmed", weights=[1.0]), "weights are given"),
        (lambda: fl.pool_binary([0.2], abstain_below=1.5), "abstain_below is 1.5"),
        (lambda: fl.pool_binary([0.2], out=np.empty(1)), "out is given"),
        (lambda: fl.pool_binary([[0.2]], out=np.empty(2)), r"out has shape \(2,\)"),
        (lambda: fl.pool([[0.2]], "log"), "pool_binary"),
        (lambda: fl.pool([[0.2, 0.8], [-0.1, 1.1]]), "p holds -0.1"),
        (lambda: fl.pool([[0.2, 0.8], [3.0, 4.0]], "median"), "p holds 3.0"),
    ],
)
def test_what_makes_no_sense_is_refused(call: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()  # type: ignore[operator]


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="p has dtype"):
        fl.pool_binary(["a", "b"])
    with pytest.raises(TypeError, match="clip is 'x'"):
        fl.pool_binary([0.2], "log", clip="x")
    with pytest.raises(TypeError, match="unexpected keyword argument 'wieghts'"):
        fl.pool_binary([0.2], wieghts=[1.0])
    with pytest.raises(TypeError, match="positional"):
        fl.pool_binary([0.2], "log", [1.0])
    shared = binary(1)
    with pytest.raises(ValueError, match="out overlaps p"):
        fl.pool_binary(shared[:8], out=shared.reshape(-1)[:8])
    weights = np.array([0.3, 0.7])
    with pytest.raises(ValueError, match="out overlaps weights"):
        fl.pool([[0.2, 0.8], [0.4, 0.6]], weights=weights, out=weights)
    assert weights.tolist() == [0.3, 0.7]
    accuracy = np.array([0.9, 0.7])
    with pytest.raises(ValueError, match="out overlaps accuracy"):
        fl.pool([[0.2, 0.8], [0.4, 0.6]], "log_odds", accuracy=accuracy, out=accuracy)


@pytest.mark.parametrize("method", ["linear", "log", "vote", "extremized"])
@pytest.mark.parametrize("scale", [2.0**1020, 2.0**-1060, 2.0**-400])
def test_weights_have_no_unit(method: str, scale: float) -> None:
    p, w = binary(5)[:9, :3], np.array([[1.0, 2.0, 4.0]] * 9)
    expected = fl.pool_binary(p, method, weights=w)
    np.testing.assert_array_equal(fl.pool_binary(p, method, weights=w * scale), expected)
    np.testing.assert_array_equal(fl.pool_binary(p, method, weights=w[0] * scale), expected)
    mixed = w * np.where(np.arange(9) % 2, 1.0, scale)[:, None]
    mixed[4] = 0.0
    expected[4] = NAN
    np.testing.assert_array_equal(fl.pool_binary(p, method, weights=mixed), expected)
