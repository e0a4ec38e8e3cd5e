"""Sweeps: each set of parameters is an Elo of its own, whatever the instruction set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core

LEVELS = ("scalar", "avx2", "avx512")


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    if LEVELS.index(request.param) > LEVELS.index(_core.simd_best()):
        pytest.skip(f"this machine has no {request.param}")
    before = _core.simd_level()
    _core.set_simd_level(request.param)
    yield request.param
    _core.set_simd_level(before)


def matches(n: int, players: int, seed: int = 1) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    i = rng.integers(0, players, n)
    j = (i + rng.integers(1, players, n)) % players
    strength = rng.normal(0, 1, players)
    win = rng.random(n) < 1 / (1 + np.exp(strength[j] - strength[i]))
    return i.astype(np.int32), j.astype(np.int32), np.where(rng.random(n) < 0.1, 0.5, win.astype(float))


def one(i: Any, j: Any, score: Any, players: int, weight: Any = None, **options: float) -> tuple[Any, Any]:
    elo = fl.Elo(**options)
    for player in range(players):
        elo.id(str(player))
    return elo.rate(i, j, score, weight), elo.ratings()


def test_each_set_is_an_elo_of_its_own(level: str) -> None:
    i, j, score = matches(3_000, 20)
    weight = np.linspace(0, 2, 3_000)
    grid = {
        "k": np.array([[4.0], [24.0], [90.0]]),
        "scale": np.array([150.0, 400.0, 900.0]),
        "home": 35.0,
        "start": 1000.0,
    }
    found = fl.sweep(i, j, score, weight=weight, skip=100, **grid)
    assert _core.simd_ran() == level
    assert found.ratings.shape == (3, 3, 20)
    for a in range(3):
        for b in range(3):
            options = {name: float(getattr(found, name)[a, b]) for name in grid}
            p, ratings = one(i, j, score, 20, weight, **options)
            assert np.abs(found.ratings[a, b] - ratings).max() < 1e-9
            p, s = p[100:], score[100:]
            assert found.log_loss[a, b] == pytest.approx(-np.mean(s * np.log(p) + (1 - s) * np.log(1 - p)), rel=1e-12)
            assert found.brier[a, b] == pytest.approx(np.mean((s - p) ** 2), rel=1e-12)
    smallest = np.unravel_index(found.log_loss.argmin(), (3, 3))
    assert found.best == {name: float(getattr(found, name)[smallest]) for name in grid}


def test_many_fleets_that_play_the_same_pairs(level: str) -> None:
    i, j, _ = matches(800, 10)
    scores = np.random.default_rng(2).integers(0, 3, (800, 11)) / 2
    found = fl.sweep(i, j, scores, k=20.0)
    assert _core.simd_ran() == level
    for fleet in range(11):
        assert np.abs(found.ratings[fleet] - one(i, j, scores[:, fleet], 10, k=20.0)[1]).max() < 1e-9
    both = fl.sweep(i, j, scores, k=[[10.0], [20.0]])
    assert both.ratings.shape == (2, 11, 10)
    assert (both.ratings[1] == found.ratings).all()


@given(
    sets=st.lists(
        st.tuples(st.floats(1e-3, 1e6), st.floats(1e-3, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
        min_size=1,
        max_size=18,
    ),
    n=st.integers(0, 70),
    skip=st.integers(0, 9),
)
# 1 + odds just below 2, whose reciprocal is the hardest to round.
@example(sets=[(1.0, 494476384.0, 5.960464477539063e-08, 2.0)], n=1, skip=0)
def test_every_level_gives_the_same_bits(sets: list[tuple[float, ...]], n: int, skip: int) -> None:
    i, j, score = matches(n, 4, seed=n)
    k, scale, home, start = (np.array(column) for column in zip(*sets, strict=True))
    before = _core.simd_level()
    found = []
    for level in LEVELS[: LEVELS.index(_core.simd_best()) + 1]:
        _core.set_simd_level(level)
        found.append(fl.sweep(i, j, score, k=k, scale=scale, home=home, start=start, players=4, skip=skip))
    _core.set_simd_level(before)
    for other in found:
        assert other.ratings.tobytes() == found[0].ratings.tobytes()
        assert other.log_loss.tobytes() == found[0].log_loss.tobytes()
        assert other.brier.tobytes() == found[0].brier.tobytes()
    assert np.isfinite(found[0].ratings).all()
    # Sums are conserved, up to rounding at the size of what is summed.
    size = np.abs(found[0].ratings).max(axis=1) + np.abs(start) + k
    assert (np.abs(found[0].ratings.sum(axis=1) - 4 * start) <= 1e-12 * size * (n + 1)).all()


def test_names_are_ids_in_order_of_appearance() -> None:
    found = fl.sweep(["x", "y", "x"], ["y", "z", "z"], [1, 0, 0.5], k=[16, 32])
    assert found.names == ["x", "y", "z"]
    elo = fl.Elo(k=32)
    elo.update_many(["x", "y", "x"], ["y", "z", "z"], [1, 0, 0.5])
    assert np.abs(found.ratings[1] - elo.ratings()).max() < 1e-9


def test_one_set_is_a_scalar_and_nothing_scored_is_nan() -> None:
    found = fl.sweep([0], [1], [1], skip=1)
    assert found.log_loss.shape == ()
    assert math.isnan(found.log_loss)
    assert math.isnan(found.brier)
    assert found.ratings.tolist() == [1516.0, 1484.0]
    with pytest.raises(ValueError, match="no match was scored"):
        _ = found.best
    assert fl.sweep([], [], [], players=3).ratings.tolist() == [1500.0] * 3
    assert fl.sweep([0], [1], [1], k=np.zeros((0, 2))).ratings.shape == (0, 2, 2)


def test_results_read_well() -> None:
    found = fl.sweep(*matches(200, 5), k=np.arange(1.0, 13.0))
    assert list(found.as_dict()) == ["k", "scale", "home", "start", "log_loss", "brier"]
    assert all(column.shape == (12,) for column in found.as_dict().values())
    lines = str(found).splitlines()
    assert lines[0].split() == ["k", "scale", "home", "start", "log_loss", "brier"]
    assert float(lines[1].split()[0]) == found.best["k"]
    assert lines[-1] == "... and 2 more"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"k": [-1.0]}, ValueError, "k is -1.0"),
        ({"scale": 0.0}, ValueError, "scale is 0.0"),
        ({"home": math.nan}, ValueError, "home is nan"),
        ({"start": 1e10}, ValueError, "start is 1"),
        ({"k": "32"}, TypeError, "k has dtype"),
        ({"k": [1, 2], "scale": [1, 2, 3]}, ValueError, "do not broadcast"),
        ({"score": [1.0, math.nan, 0.0]}, ValueError, r"score is nan, outside \[0, 1\] \(match 1\)"),
        ({"score": [[1.0, 0.0]] * 2 + [[0.0, 2.0]]}, ValueError, r"score is 2.0, .*match 2"),
        ({"score": [1.0]}, ValueError, "score has length 1, i has 3"),
        ({"score": [[1.0, 0.0]] * 3, "k": [1, 2, 3]}, ValueError, "do not broadcast|score has shape"),
        ({"weight": [1.0, -1.0, 1.0]}, ValueError, r"weight is -1.0, .*match 1"),
        ({"weight": [1.0]}, ValueError, "weight has length 1"),
        ({"i": [0, 1, -1]}, ValueError, "i is no id"),
        ({"j": [1, 1, 2]}, ValueError, "i is 1, the same as j"),
        ({"i": [0.5, 1.0, 2.0]}, TypeError, "i"),
        ({"players": 2}, ValueError, "j is 2, not below players"),
        ({"players": -1}, ValueError, "players is -1"),
        ({"skip": -1}, ValueError, "skip is -1"),
        ({"i": ["a", "b", "a"], "j": ["b", "c", "c"], "players": 3}, ValueError, "players is given"),
    ],
)
def test_bad_input_is_named(change: dict[str, Any], error: type[Exception], words: str) -> None:
    good: dict[str, Any] = {"i": [0, 1, 0], "j": [1, 2, 2], "score": [1.0, 0.5, 0.0]}
    with pytest.raises(error, match=words):
        fl.sweep(**{**good, **change})


def test_names_come_in_the_order_of_play_as_in_elo() -> None:
    i, j, score = ["a", "b", "a"], ["c", "d", "b"], [1.0, 0.0, 0.5]
    ratings = fl.Elo()
    ratings.update_many(i, j, score)
    found = fl.sweep(i, j, score)
    assert found.names == ratings.names()
    np.testing.assert_allclose(found.ratings, ratings.ratings(), rtol=0, atol=1e-9)
    with pytest.raises(TypeError, match="names and ids"):
        fl.sweep(["a", "b"], [1, 0], [1.0, 1.0])
