"""Opinion pools against numpy and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gmean

import fairlead as fl

FLOOR = 1e-3
"""The log pool raises probabilities to at least this."""


def answers(seed: int, tasks: int = 50, models: int = 7, classes: int = 4) -> np.ndarray:
    p = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), (tasks, models))
    assert (p < FLOOR).any()
    return p


def geometric(p: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """scipy's weighted geometric mean over the models, normalised over the classes."""
    weights = None if weights is None else np.broadcast_to(weights[:, None], p.shape[-2:])
    pooled = np.stack([gmean(np.maximum(task, FLOOR), axis=0, weights=weights) for task in p])
    return pooled / pooled.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("models", [1, 2, 7, 8])
def test_agrees_with_numpy_and_scipy(models: int, seed: int) -> None:
    p = answers(seed, models=models)
    weights = np.random.default_rng(seed).random(models)
    median = np.median(p, axis=1)
    expected = {
        "linear": p.mean(axis=1),
        "log": geometric(p),
        "median": median / median.sum(axis=1, keepdims=True),
    }
    for method, pooled in expected.items():
        np.testing.assert_allclose(fl.pool(p, method), pooled, rtol=1e-13, atol=1e-16)
    linear = np.average(p, axis=1, weights=weights)
    np.testing.assert_allclose(fl.pool(p, weights=weights), linear, rtol=1e-13, atol=1e-16)
    np.testing.assert_allclose(fl.pool(p, "log", weights=weights), geometric(p, weights), rtol=1e-12)


@pytest.mark.parametrize("method", ["linear", "log", "median"])
def test_one_task_is_many_tasks(method: str) -> None:
    p = answers(4)
    together = fl.pool(p, method)
    assert together.shape == (50, 4)
    for task, pooled in zip(p, together, strict=True):
        np.testing.assert_array_equal(fl.pool(task, method), pooled)


@given(st.data())
def test_pools_are_distributions_between_the_models(data: st.DataObject) -> None:
    models, classes = data.draw(st.integers(1, 6)), data.draw(st.integers(2, 5))
    cell = st.floats(FLOOR, 1)
    raw = data.draw(st.lists(st.lists(cell, min_size=classes, max_size=classes), min_size=models, max_size=models))
    p = np.array(raw) / np.array(raw).sum(axis=1, keepdims=True)
    for method in ("linear", "log", "median"):
        pooled = fl.pool(p, method)
        assert pooled.sum() == pytest.approx(1, abs=1e-14)
        assert (pooled >= 0).all()
        np.testing.assert_allclose(fl.pool(p[::-1], method), pooled, rtol=1e-12)
    linear = fl.pool(p)
    assert (linear <= p.max(axis=0) + 1e-15).all()
    assert (linear >= p.min(axis=0) - 1e-15).all()


def test_all_weight_on_one_model_is_that_model() -> None:
    p = np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    for method in ("linear", "log"):
        np.testing.assert_allclose(fl.pool(p, method, weights=[0, 2]), p[1], rtol=1e-15)


def test_one_zero_is_no_veto_in_a_log_pool() -> None:
    pooled = fl.pool([[0.0, 1.0], [0.9, 0.1]], "log")
    expected = np.sqrt(np.array([FLOOR * 0.9, 1.0 * 0.1]))
    np.testing.assert_allclose(pooled, expected / expected.sum(), rtol=1e-14)


def test_numbers_are_pooled_too() -> None:
    assert fl.pool([[10.0], [20.0], [60.0]], "linear").tolist() == [30.0]
    assert fl.pool([[10.0], [20.0], [60.0]], "median").tolist() == [20.0]


@pytest.mark.parametrize(
    ("p", "arguments", "words"),
    [
        ([0.2, 0.8], {}, "p has 1 dimensions"),
        (np.empty((0, 2)), {}, "p is empty"),
        ([[0.2, math.nan]], {}, "p holds nan"),
        ([[0.2, 1.3]], {"method": "log"}, "p holds 1.3"),
        ([[0.2, 0.8]], {"method": "mode"}, "method is 'mode'"),
        ([[0.2, 0.8]], {"weights": [1, 1]}, "weights has length 2, p has 1"),
        ([[0.2, 0.8]], {"weights": [-1]}, "weights holds -1.0"),
        ([[0.2, 0.8]], {"weights": [0]}, "weights sum to 0.0"),
        ([[0.2, 0.8]], {"method": "median", "weights": [1]}, "weights are given"),
    ],
)
def test_what_makes_no_sense_is_refused(p: object, arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.pool(p, **arguments)
