"""Hedge, BOA and ML-Poly against plain numpy written from the papers' formulas, and against their guarantees."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core

NAN = float("nan")
RULES: dict[str, Callable[..., Any]] = {"hedge": fl.Hedge, "boa": fl.BOA, "ml_poly": fl.MLPoly}


class Reference:
    """The three rules as their papers have them: sums over all rounds, no state beyond them."""

    def __init__(self, rule: str, m: int, eta: float | None = None, share: float = 0.0, keep: float = 1.0) -> None:
        self.rule, self.m, self.eta, self.share, self.keep = rule, m, eta, share, keep
        self.gain, self.variance, self.reach = np.zeros(m), np.zeros(m), np.zeros(m)
        self.gap, self.largest = 0.0, 0.0

    def rates(self) -> np.ndarray:
        if self.eta is not None:
            return np.full(self.m, self.eta)
        if self.rule == "hedge":
            return np.full(self.m, math.log(self.m) / self.gap if self.gap > 0 else np.inf)
        with np.errstate(divide="ignore"):
            if self.rule == "boa":
                power = 2.0 ** np.ceil(np.log2(self.reach))
                return np.minimum(1 / power, np.sqrt(math.log(self.m) / self.variance))
            return 1 / (self.largest**2 + self.variance)

    def weights(self) -> np.ndarray:
        if not np.any(self.gain):
            return np.full(self.m, 1 / self.m)
        eta = self.rates()
        if self.rule == "ml_poly":
            w = eta * np.maximum(self.gain, 0)
            return w / w.sum() if w.sum() > 0 else np.full(self.m, 1 / self.m)
        z = eta * self.gain
        if self.rule == "boa" and self.eta is None:
            z = z + np.log(eta)
        w = np.exp(z - z.max())
        return w / w.sum()

    def learn(self, r: np.ndarray, played: np.ndarray) -> None:
        eta = self.rates() if self.rule == "hedge" else np.zeros(0)  # that the weights were made with
        self.gain, self.variance, self.gap = self.keep * self.gain, self.keep * self.variance, self.keep * self.gap
        self.largest = max(self.largest, np.abs(r).max())
        self.reach = np.maximum(self.reach, np.abs(r))
        self.variance = self.variance + r**2
        if self.rule == "boa" and self.eta is None:
            rate = self.rates()
            power = 2.0 ** np.ceil(np.log2(self.reach))
            self.gain = self.gain + (r - rate * r**2 + power * (rate * r > 0.5)) / 2
        elif self.rule == "boa":
            self.gain = self.gain + r - self.eta * r**2
        else:
            self.gain = self.gain + r
        if self.rule == "hedge":
            finite = np.isfinite(eta[0])
            gap = math.log((played * np.exp(eta[0] * r)).sum()) / eta[0] if finite else r[played > 0].max()
            self.gap += max(gap, 0.0)
        if self.share:
            self.deal()

    def deal(self) -> None:
        """Gains for which the weights are (1 - a) v + a / m, their unnormalised sum as before."""
        v = (1 - self.share) * self.weights() + self.share / self.m
        eta = self.rates()
        if self.rule == "ml_poly":
            self.gain = (eta * np.maximum(self.gain, 0)).sum() * v / eta
            return
        own = np.log(eta) if self.rule == "boa" and self.eta is None else 0.0
        total = np.logaddexp.reduce(own + eta * self.gain)
        self.gain = (total + np.log(v) - own) / eta


def loss_of(kind: str, x: np.ndarray, y: float) -> np.ndarray:
    if kind == "square":
        return (x - y) ** 2
    if kind == "absolute":
        return np.abs(x - y)
    p = np.clip(x, 1e-3, 1 - 1e-3)
    return -(y * np.log(p) + (1 - y) * np.log(1 - p))


def slope(kind: str, x: float, y: float) -> float:
    if kind == "square":
        return 2 * (x - y)
    return float(np.sign(x - y)) if kind == "absolute" else float((x - y) / (x * (1 - x)))


def reference_run(
    rule: str, x: np.ndarray, y: np.ndarray, kind: str = "square", gradient: bool | None = None, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    gradient = kind != "log" if gradient is None else gradient
    reference = Reference(rule, x.shape[1], **options)
    forecasts, weights = np.empty(len(y)), np.empty(x.shape)
    for t, (row, outcome) in enumerate(zip(x, y, strict=True)):
        here = ~np.isnan(row)
        w = np.where(here, reference.weights(), 0)
        w = w / w.sum() if w.sum() > 0 else here / here.sum()
        row = np.where(here, row, 0)
        forecasts[t], weights[t] = w @ row, w
        if gradient:
            r = slope(kind, forecasts[t], outcome) * (forecasts[t] - row)
        else:
            r = loss_of(kind, forecasts[t], outcome) - loss_of(kind, row, outcome)
        reference.learn(np.where(here, r, 0), w)
    return forecasts, weights


def stream(seed: int, n: int = 300, m: int = 6, absent: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of uneven skill and outcomes 0 or 1; nobody is absent from the first round."""
    rng = np.random.default_rng(seed)
    truth = rng.random(n)
    x = np.clip(truth[:, None] + rng.normal(0, 1, (n, m)) * np.linspace(0.05, 0.6, m), 0.01, 0.99)
    gone = rng.random((n, m)) < absent
    gone[0] = False
    gone[:, 0] = False
    x[gone] = NAN
    return x, (rng.random(n) < truth).astype(float)


@pytest.mark.parametrize("absent", [0.0, 0.3])
@pytest.mark.parametrize("gradient", [True, False])
@pytest.mark.parametrize("loss", ["square", "absolute", "log"])
@pytest.mark.parametrize("rule", RULES)
def test_agrees_with_the_formulas(rule: str, loss: str, gradient: bool, absent: float) -> None:
    x, y = stream(1, absent=absent)
    ours = RULES[rule](6, loss=loss, gradient=gradient)
    forecasts, weights = ours.run(x, y)
    expected, expected_weights = reference_run(rule, x, y, loss, gradient)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(forecasts, expected, rtol=1e-9)


@pytest.mark.parametrize("options", [{"share": 0.02}, {"keep": 0.98}, {"eta": 0.7}, {"eta": 0.7, "share": 0.1}])
@pytest.mark.parametrize("rule", RULES)
def test_options_agree_with_the_formulas(rule: str, options: dict[str, float]) -> None:
    if rule == "ml_poly" and "eta" in options:
        pytest.skip("ML-Poly has no rate to set")
    x, y = stream(2, absent=0.2)
    given_as = {"share": "fixed_share", "keep": "half_life", "eta": "eta"}
    named = {given_as[k]: math.log(0.5) / math.log(v) if k == "keep" else v for k, v in options.items()}
    forecasts, weights = RULES[rule](6, **named).run(x, y)
    expected, expected_weights = reference_run(rule, x, y, **options)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(forecasts, expected, rtol=1e-8)


@pytest.mark.parametrize("options", [{}, {"fixed_share": 0.05, "floor": 0.02, "cap": 0.6, "half_life": 50.0}])
@pytest.mark.parametrize("rule", RULES)
def test_batch_is_streaming_and_a_snapshot_goes_on(rule: str, options: dict[str, float]) -> None:
    x, y = stream(3, absent=0.3)
    one, batch = RULES[rule](6, **options), RULES[rule](6, **options)
    forecasts, weights = batch.run(x, y)
    for t in range(len(y)):
        assert one.predict(x[t]) == forecasts[t]
        if t == 100:
            one = type(one).restore(one.snapshot())
        if t == 150:
            one = pickle.loads(pickle.dumps(one))
        if t == 200:
            one = copy.deepcopy(one)
        np.testing.assert_array_equal(one.weights(~np.isnan(x[t])), weights[t])
        assert one.update(list(x[t]), y[t]) == forecasts[t]
    assert one.snapshot() == batch.snapshot()
    assert one.as_dict() == batch.as_dict()


@pytest.mark.parametrize("rule", RULES)
def test_a_mask_is_nan(rule: str) -> None:
    x, y = stream(4, absent=0.3)
    here = ~np.isnan(x)
    masked, with_nan = RULES[rule](6), RULES[rule](6)
    filled = np.where(here, x, 0.123)
    for a, b in zip(masked.run(filled, y, awake=here), with_nan.run(x, y), strict=True):
        np.testing.assert_array_equal(a, b)
    assert masked.predict([0.1] * 6, [True] + [False] * 5) == 0.1
    assert masked.predict([0.1, None, None, None, None, None]) == 0.1
    assert math.isnan(masked.predict([0.1] * 6, np.zeros(6, bool)))
    before = masked.snapshot()
    assert math.isnan(masked.update([None] * 6, 1.0))
    assert masked.snapshot() == before


def hedge_bound(spread: float, n: int, m: int) -> float:
    """De Rooij et al. 2014, theorem 8 and V <= S^2 T / 4."""
    return spread * math.sqrt(n * math.log(m)) + spread * (4 / 3 * math.log(m) + 2)


@given(st.integers(0, 10**6), st.integers(2, 12), st.sampled_from(["random", "one good", "alternating", "switching"]))
@hypothesis_settings(max_examples=60)
def test_regret_on_adversarial_losses_is_within_the_bound(seed: int, m: int, kind: str) -> None:
    rng, n = np.random.default_rng(seed), 400
    losses = rng.random((n, m)) if kind != "alternating" else np.tile([[0.0, 1.0], [1.0, 0.0]], (n // 2, 1))[:, :2]
    if kind == "one good":
        losses[:, 0] *= 0.5
    if kind == "switching":
        losses = np.where(np.arange(n)[:, None] // 50 % m == np.arange(m), 0.0, 1.0)
    if kind == "alternating":
        losses = np.hstack([losses, np.ones((n, m - 2))])
    scale = 10.0 ** rng.integers(-6, 6)  # the rules know no range
    slack = {"hedge": 1.0, "boa": 3.0, "ml_poly": math.sqrt(m)}
    for rule, make in RULES.items():
        mixture = make(m)
        for row in losses * scale:
            mixture.update_losses(row)
        assert mixture.loss == pytest.approx(mixture.regret + (losses * scale).sum(axis=0).min())
        assert mixture.regret <= slack[rule] * hedge_bound(scale, n, m), rule


@pytest.mark.parametrize("rule", RULES)
def test_regret_counts_only_rounds_awake(rule: str) -> None:
    x, y = stream(5, absent=0.4)
    mixture = RULES[rule](6)
    forecasts, _ = mixture.run(x, y)
    found = mixture.as_dict()
    for k in range(6):
        row = {name: column[k] for name, column in found.items()}
        here = ~np.isnan(x[:, k])
        assert row["rounds"] == here.sum()
        assert row["loss"] == pytest.approx(((x[here, k] - y[here]) ** 2).sum())
        assert row["mixture_loss"] == pytest.approx(((forecasts[here] - y[here]) ** 2).sum())
        assert row["regret"] == pytest.approx(row["mixture_loss"] - row["loss"])
    assert mixture.regret == max(found["regret"])
    assert mixture.loss == pytest.approx(((forecasts - y) ** 2).sum())


def test_bayes_rule_is_hedge_with_log_loss_and_rate_one() -> None:
    x, y = stream(6)
    forecasts, _ = fl.Hedge(6, loss="log", eta=1.0).run(x, y)
    likelihood = np.where(y[:, None] == 1, x, 1 - x)
    posterior = np.cumprod(np.vstack([np.ones(6), likelihood[:-1]]), axis=0)
    posterior /= posterior.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(forecasts, (posterior * x).sum(axis=1), rtol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_fixed_share_follows_a_change(rule: str) -> None:
    """The best expert changes half way: with a share the mixture follows it, and sooner than without."""
    n = 1000
    losses = np.random.default_rng(0).random((n, 4))
    losses[: n // 2, 0] *= 0.3
    losses[n // 2 :, 1] *= 0.3
    plain, shared = RULES[rule](4), RULES[rule](4, fixed_share=0.01)
    for mixture in (plain, shared):
        for t, row in enumerate(losses):
            mixture.update_losses(row)
            if t == n // 2 + 100:
                weight = mixture.weights()[1]
    assert weight > 0.5
    assert shared.loss < plain.loss - 20


@given(st.data())
def test_floor_and_cap_hold_and_weights_sum_to_one(data: st.DataObject) -> None:
    m = data.draw(st.integers(1, 9))
    floor = data.draw(st.floats(0, 0.5))
    cap = data.draw(st.floats(max(floor, 1e-3), 1))
    rule = data.draw(st.sampled_from(list(RULES)))
    x, y = stream(data.draw(st.integers(0, 1000)), 60, m, 0.3)
    mixture = RULES[rule](m, floor=floor, cap=cap, fixed_share=data.draw(st.sampled_from([0.0, 0.1])))
    for row, w in zip(x, mixture.run(x * data.draw(st.sampled_from([1.0, 1e6])), y)[1], strict=True):
        here = ~np.isnan(row)
        even = 1 / here.sum()
        assert w.sum() == pytest.approx(1, abs=1e-12)
        assert (w[~here] == 0).all()
        assert (w[here] >= min(floor, even) - 1e-12).all()
        assert (w[here] <= max(cap, even) + 1e-12).all()


def test_bounds_are_the_nearest_weights_in_relative_entropy() -> None:
    free, bounded = fl.Hedge(5, eta=1.0), fl.Hedge(5, eta=1.0, floor=0.1, cap=0.4)
    losses = [0.0, 0.3, 0.5, 3.0, 4.0]
    free.update_losses(losses)
    bounded.update_losses(losses)
    v, w = free.weights(), bounded.weights()
    inside = (w > 0.1 + 1e-9) & (w < 0.4 - 1e-9)
    assert inside.sum() >= 2
    ratio = (w / v)[inside]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)  # one multiple z of all that are within
    np.testing.assert_allclose(w, np.clip(ratio[0] * v, 0.1, 0.4), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_a_data_frame_must_have_the_columns_of_the_experts(rule: str) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    columns, y = {"a": [0.1, 0.2, 0.4], "b": [0.9, 0.7, 0.8]}, [0.0, 0.0, 1.0]
    expected = RULES[rule](["a", "b"]).run(np.column_stack(list(columns.values())), y)
    swapped, other = {"b": columns["b"], "a": columns["a"]}, {"a": columns["a"], "c": columns["b"]}
    for frame in (pandas.DataFrame, polars.DataFrame):
        for experts in (["a", "b"], 2):  # the numbered ones have no names to differ from
            for got, want in zip(RULES[rule](experts).run(frame(columns), y), expected, strict=True):
                np.testing.assert_array_equal(got, want)
        mixture = RULES[rule](["a", "b"])
        for wrong in (swapped, other, {"a": columns["a"]}):
            with pytest.raises(ValueError, match=r"x has the columns \[.*their order: \['a', 'b'\]"):
                mixture.run(frame(wrong), y)
        with pytest.raises(ValueError, match=r"awake has the columns \['b', 'a'\]"):
            mixture.run(frame(columns), y, awake=frame({"b": [True] * 3, "a": [True] * 3}))
        assert mixture.rounds == 0
    with pytest.raises(ValueError, match=r"x has the columns \['1', '0'\]"):
        RULES[rule](2).run(pandas.DataFrame({1: columns["b"], 0: columns["a"]}), y)


def test_the_columns_of_as_dict_are_a_data_frame() -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    mixture = fl.Hedge(["a", "b"])
    mixture.run([[0.0, 1.0]] * 3, [1.0] * 3)
    names = ["expert", "weight", "loss", "mixture_loss", "regret", "rounds"]
    for frame in (pandas.DataFrame(mixture.as_dict()), polars.DataFrame(mixture.as_dict())):
        assert list(frame.columns) == names
        assert list(frame["expert"]) == ["a", "b"]
        assert list(frame["rounds"]) == [3, 3]
        np.testing.assert_array_equal(frame["weight"], mixture.weights())


@pytest.mark.parametrize("rule", RULES)
def test_experts_come_and_go(rule: str) -> None:
    x, y = stream(7, m=3)
    mixture = RULES[rule](["a", "b", "c"])
    mixture.run(x, y)
    assert mixture.add("d") == 3
    assert mixture.names == ["a", "b", "c", "d"]
    weight = mixture.weights()
    assert weight[3] <= weight.max()
    mixture.remove("a")
    assert mixture.weights()[0] == 0
    assert mixture.as_dict()["expert"] == ["b", "c", "d"]
    assert mixture.predict([5.0, 0.5, 0.5, 0.5]) == pytest.approx(0.5)  # what a removed expert says is not looked at
    mixture.update([NAN, 0.1, 0.2, 0.3], 0.0)
    assert mixture.add("a") == 0
    assert mixture.as_dict()["rounds"][0] == 0
    assert mixture.weights().sum() == pytest.approx(1)
    assert type(mixture).restore(mixture.snapshot()).as_dict() == mixture.as_dict()
    with pytest.raises(KeyError, match="no expert is called 'z'"):
        mixture.remove("z")
    with pytest.raises(ValueError, match="name is 'a'"):
        mixture.add("a")


@pytest.mark.parametrize("rule", RULES)
def test_one_expert_equal_experts_and_order(rule: str) -> None:
    x, y = stream(8)
    forecasts, weights = RULES[rule](1).run(x[:, :1], y)
    np.testing.assert_allclose(forecasts, x[:, 0], rtol=1e-15)
    assert (weights == 1).all()
    _, weights = RULES[rule](4).run(np.repeat(x[:, :1], 4, axis=1), y)
    np.testing.assert_allclose(weights, 0.25, rtol=1e-12)
    np.testing.assert_allclose(RULES[rule](6).run(x[:, ::-1], y)[0], RULES[rule](6).run(x, y)[0], rtol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_weights_know_no_unit(rule: str) -> None:
    x, y = stream(9)
    expected = RULES[rule](6).run(x, y)[1]
    np.testing.assert_allclose(RULES[rule](6).run(x * 2**20, y * 2**20)[1], expected, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(RULES[rule](6).run(x * 2**-30, y * 2**-30)[1], expected, rtol=1e-7, atol=1e-12)


def test_what_cannot_be_honoured_changes_nothing() -> None:
    mixture = fl.BOA(2, loss="log")
    mixture.update([0.3, 0.6], 1)
    before = mixture.snapshot()
    for call, words in (
        (lambda: mixture.update([0.1, 1.2], 1), "x holds 1.2"),
        (lambda: mixture.update([0.1, math.inf], 1), "x holds inf"),
        (lambda: mixture.update([0.1], 1), "x has length 1, there are 2 experts"),
        (lambda: mixture.update([0.1, 0.2], 2), "y is 2.0"),
        (lambda: mixture.update([0.1, 0.2], NAN), "y is nan"),
        (lambda: mixture.update([0.1, 0.2], 1, [True]), "awake has length 1"),
        (lambda: mixture.update_losses([0.1, 1e80]), r"losses holds 1e\+80"),
        (lambda: mixture.run([[0.1, 0.2], [0.1, 1.2]], [1, 1]), "x holds 1.2"),
        (lambda: mixture.run([[0.1, 0.2], [0.1, 0.2]], [1, NAN]), "y is nan"),
        (lambda: mixture.run([[0.1, 0.2]], [1, 1]), "y has length 2, x has 1"),
        (lambda: mixture.run([[0.1, 0.2]], [1], awake=[[True]]), "awake has shape"),
        (lambda: fl.BOA.restore(before[:-1]), "data"),
        (lambda: fl.Hedge.restore(before), "data"),
        (lambda: fl.BOA(0), "experts is 0"),
        (lambda: fl.BOA([]), "experts is empty"),
        (lambda: fl.BOA(["a", "a"]), "name is 'a'"),
        (lambda: fl.BOA(2, loss="hinge"), "loss is 'hinge'"),
        (lambda: fl.BOA(2, eta=-1), "eta is -1.0"),
        (lambda: fl.BOA(2, fixed_share=1), "fixed_share is 1.0"),
        (lambda: fl.BOA(2, half_life=0), "half_life is 0.0"),
        (lambda: fl.BOA(2, floor=NAN), "floor is nan"),
        (lambda: fl.BOA(2, floor=0.5, cap=0.4), "cap is 0.4"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    assert mixture.snapshot() == before
    with pytest.raises(TypeError, match="x has dtype"):
        mixture.predict(["a", "b"])
    with pytest.raises(TypeError):
        _core.Experts()
    assert repr(mixture).startswith("BOA(experts=2, rounds=1, best='1', regret=")


def test_a_list_that_empties_itself_while_it_is_read() -> None:
    class Emptying:
        def __bool__(self) -> bool:
            awake.clear()
            return True

    awake: list[object] = []
    awake.extend(Emptying() for _ in range(50))
    assert fl.BOA(50).weights(awake).sum() == pytest.approx(1)
    with pytest.raises(TypeError, match="awake is <class 'int'>"):
        fl.BOA(2).predict([0.1, 0.2], 5)
