"""A context may be a stretch of time, or scattered over it, and louder or calmer than the rest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from streams import BINARY, NUMERIC, Desk, chances, sigmoid

from fairlead.reflection import reflect
from fairlead.reflection.contexts import _Contrasts
from fairlead.reflection.inference import Implied

SEED = 41


def autoregressive(rng: np.random.Generator, rho: float, streams: int, rounds: int) -> np.ndarray:
    out = rng.normal(size=(streams, rounds))
    out[:, 0] /= math.sqrt(1 - rho * rho)
    for t in range(1, rounds):
        out[:, t] += rho * out[:, t - 1]
    return out


def members(rng: np.random.Generator, how: str, rounds: int, inside: int) -> np.ndarray:
    """The tasks of a context, two in each round."""
    if how == "piece":
        start = int(rng.integers(0, rounds - inside + 1))
        return np.arange(2 * start, 2 * (start + inside))
    if how == "end":
        return np.arange(2 * (rounds - inside), 2 * rounds)
    if how == "rounds":
        return np.flatnonzero(np.isin(np.repeat(np.arange(rounds), 2), rng.choice(rounds, inside, replace=False)))
    return np.sort(rng.choice(2 * rounds, 2 * inside, replace=False))


@pytest.mark.parametrize("rho", [0.0, 0.5])
@pytest.mark.parametrize(
    ("rounds", "inside", "how", "loud"),
    [
        (20, 10, "piece", 1.0),
        (20, 10, "tasks", 1.0),
        (100, 10, "piece", 1.0),
        (100, 10, "end", 0.25),
        (100, 30, "piece", 4.0),
        (300, 20, "rounds", 1.0),
        (300, 20, "piece", 0.25),
        (300, 30, "end", 1.0),
        (300, 90, "tasks", 1.0),
    ],
)
def test_false_alarms(rho: float, rounds: int, inside: int, how: str, loud: float) -> None:
    rng = np.random.default_rng(SEED)
    at = np.repeat(np.arange(rounds), 2)
    alarms = 0
    for stream in autoregressive(rng, rho, 200, rounds):
        value, context = np.repeat(stream, 2), members(rng, how, rounds, inside)
        value += rng.normal(size=2 * rounds)
        value[context] *= loud
        alarms += _Contrasts(value, at).of(context).p_value < 0.05
    assert alarms <= stats.binom.ppf(0.999, 200, 0.07)


@pytest.mark.parametrize("how", ["piece", "rounds", "tasks"])
def test_a_difference_is_found(how: str) -> None:
    rng = np.random.default_rng(SEED)
    at = np.repeat(np.arange(200), 2)
    hits = covered = 0
    for stream in autoregressive(rng, 0.0, 200, 200):
        value, context = np.repeat(stream, 2), members(rng, how, 200, 30)
        value[context] += 0.9  # nearly 5 errors
        draft = _Contrasts(value, at).of(context)
        hits += draft.p_value < 0.05
        covered += abs(draft.difference - 0.9) <= stats.t.isf(0.025, draft.freedom) * draft.error
    assert hits >= 180
    assert covered >= stats.binom.ppf(0.001, 200, 0.95)


def test_what_befalls_all_of_a_round_is_no_error_of_a_difference_within_rounds() -> None:
    rng = np.random.default_rng(SEED)
    shock = np.repeat(10 * autoregressive(rng, 0.7, 1, 60)[0], 2)
    value = shock + rng.normal(size=120)
    draft = _Contrasts(value, np.repeat(np.arange(60), 2)).of(np.arange(0, 120, 2))
    assert draft.error == pytest.approx(math.sqrt(2 / 60), rel=0.4)


def test_two_equal_models_and_a_crash() -> None:
    """No context of two models that are equally good everywhere is the best or the worst."""
    rng = np.random.default_rng(SEED)
    named = 0
    for _ in range(100):
        logit, outcome = chances(rng, 300)
        start = int(rng.integers(0, 270))
        crash = ((np.arange(300) >= start) & (np.arange(300) < start + 30)).astype(int)
        answers = sigmoid(logit[:, None] + rng.normal(0, 1, (300, 2)))
        desk = Desk(["a", "b"], answers, outcome, 1, BINARY, ["regime=calm", "regime=crash"], crash)
        contexts = reflect(model="a", **desk.arguments())["binary"].contexts
        assert contexts.tested == 2
        named += bool(contexts.best or contexts.worst)
    assert named <= stats.binom.ppf(0.999, 100, 0.06)


def test_a_context_without_an_event_is_not_better() -> None:
    """Events of 2 % that did not come in 40 tasks; nor is it certain that it is no worse elsewhere."""
    p = np.full(400, 0.02)
    outcome = np.zeros(400)
    outcome[[7, 19, 23, 31, 350, 355, 360, 390]] = 1
    context = ((np.arange(400) >= 100) & (np.arange(400) < 140)).astype(int)
    desk = Desk(["a"], p[:, None], outcome, 1, BINARY, ["c=rest", "c=quiet"], context)
    rows = reflect(model="a", **desk.arguments())["binary"].contexts.rows
    assert [row.verdict for row in rows] == ["same", "same"]
    assert all(row.high - row.low > 0.01 for row in rows)
    lone = _Contrasts((p - outcome) ** 2, np.arange(400), Implied(p, 1 - 2 * p)).of(np.flatnonzero(context))
    assert lone.error >= math.sqrt(0.02 * 0.98 * 0.96**2 / 40)


@pytest.mark.parametrize(("contexts", "apart"), [(3, 0.03), (3, 0.1), (6, 0.0), (6, 0.1)])
def test_intervals_hold_the_truth(contexts: int, apart: float) -> None:
    rng = np.random.default_rng(SEED)
    true = np.linspace(-apart, apart, contexts)
    covered = 0
    for _ in range(80):
        of = rng.integers(0, contexts, 100 * contexts)
        share = np.bincount(of)
        noise = rng.normal(0, 0.5, len(of))
        desk = Desk(
            ["a"], np.zeros((len(of), 1)), np.zeros(len(of)), 1, NUMERIC, [f"c={i}" for i in range(contexts)], of
        )
        desk.extra = {"loss": lambda task, model, of=of, noise=noise: 5 + noise[task] + true[of[task]]}
        rows = reflect(model="a", **desk.arguments())["numeric"].contexts.rows
        for row in rows:
            i = int(row.context[2:])
            rest = np.arange(contexts) != i
            covered += row.low <= true[i] - float(true[rest] @ share[rest]) / share[rest].sum() <= row.high
            assert row.high - row.low > 0.05
            assert row.low <= row.shrunk <= row.high
            assert abs(row.shrunk) <= abs(row.difference)
        if contexts == 3:
            assert all(row.shrunk == row.difference for row in rows)
    assert covered >= stats.binom.ppf(0.01, 80 * contexts, 0.95)


def test_constant_losses() -> None:
    value, rounds = np.full(100, 0.25), np.arange(100)
    same = _Contrasts(value, rounds).of(np.arange(30))
    assert (same.difference, same.p_value) == (0.0, 1.0)
    step = _Contrasts(np.where(np.arange(100) < 30, 0.0, 1.0), rounds).of(np.arange(30))
    assert step.difference == -1.0
    assert step.freedom == 0
    assert math.isnan(step.p_value)


def test_more_rounds_than_blocks() -> None:
    rng = np.random.default_rng(SEED)
    value = rng.normal(size=6000)
    for inside in (np.arange(1000, 3500), np.arange(0, 6000, 2), np.arange(200, 230)):
        draft = _Contrasts(value, np.arange(6000)).of(inside)
        error = math.sqrt(1 / len(inside) + 1 / (6000 - len(inside)))
        assert draft.error == pytest.approx(error, rel=0.6)
        assert draft.rounds == len(inside)
    numbers = Desk(["a"], value[:, None], np.zeros(6000), 1, NUMERIC, ["c=x", "c=y"], np.arange(6000) // 3000)
    assert reflect(model="a", **numbers.arguments())["numeric"].contexts.tested == 2
