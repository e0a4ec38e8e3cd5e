"""What holds for every rating system beside its batches and its memory: contests, order, no NaN on any input."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_systems import DAY, SYSTEMS, make

every_system = pytest.mark.parametrize("system", SYSTEMS)


@every_system
def test_a_contest_of_two_is_a_match(system: str) -> None:
    if "home" in SYSTEMS[system][1]:
        pytest.skip("nobody is at home in a contest")
    match, contest = make(system), make(system)
    for ratings in (match, contest):
        ratings.update("a", "b", 1.0)
        ratings.update("b", "c", 1.0)
    for losses, score in (([1, 2], 1.0), ([2, 1], 0.0), ([3, 3], 0.5)):
        match.update("a", "c", score)
        contest.contest(["a", "c"], losses)
    for name in "abc":
        assert list(contest.state(name).values()) == pytest.approx(list(match.state(name).values()), rel=1e-12)


@every_system
def test_the_better_player_comes_to_be_known_as_such(system: str) -> None:
    dice = random.Random(7)
    ratings = make(system)
    names = [f"p{i}" for i in range(8)]
    for _ in range(300):
        players = dice.sample(range(8), 4)
        ratings.contest([names[p] for p in players], [p + dice.gauss(0, 1.5) for p in players])
    assert ratings.table()["name"][0] in names[:3]
    assert ratings["p0"] > ratings["p4"] > ratings["p7"]
    assert 0.5 < ratings.expected("p0", "p7") <= 1


@every_system
def test_a_rejected_batch_changes_nothing(system: str) -> None:
    ratings = make(system)
    ratings.update_many(["p0", "p1", "p2"], ["p1", "p2", "p0"], [1.0, 0.5, 1.0], time=[0, DAY, 399 * DAY])
    before = ratings.snapshot()
    good = {"i": ["p0", "p1"], "j": ["p1", "p2"], "score": [1.0, 0.5], "weight": [1.0, 1.0], "time": [400 * DAY] * 2}
    for name, wrong in [
        ("score", [1.0, 1.5]),
        ("score", [math.nan, 1.0]),
        ("score", [1.0]),
        ("weight", [1.0, -1.0]),
        ("weight", [math.inf, 1.0]),
        ("time", [400 * DAY, 398 * DAY]),
        ("j", ["p1", "p1"]),
    ]:
        with pytest.raises(ValueError, match=f"{name} |both"):
            ratings.update_many(**{**good, name: wrong})
        assert ratings.snapshot() == before


extreme = st.one_of(st.sampled_from([-1e9, 1e9, 0.0, 1500.0]), st.floats(-1e9, 1e9))
events = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(1, 3),
        st.sampled_from([0.0, 0.5, 1.0]),
        st.one_of(st.sampled_from([0.0, 1.0, 1e6, 1e-300]), st.floats(0, 10)),
        st.integers(0, 10**17),
    ),
    max_size=40,
)


@every_system
@given(start=st.lists(extreme, min_size=4, max_size=4), played=events)
def test_no_input_makes_a_number_that_is_none(system: str, start: list[float], played: list[Any]) -> None:
    ratings = make(system)
    for player, rating in enumerate(start):
        ratings[f"p{player}"] = rating
    now = 0
    for i, step, score, weight, pause in played:
        now += pause
        j = (i + step) % 4
        ratings.update(i, j, score, weight, now)
        if step == 3:
            ratings.contest([0, 1, 2, 3], [i, step, score, j], weight)
        assert 0 <= ratings.expected(i, j, now + pause) <= 1
    for name in ratings.names():
        state = ratings.state(name, at=now + 10**15)
        assert all(math.isfinite(number) for number in state.values()), state
        assert all(number >= 0 for column, number in state.items() if column not in ("rating", "mu")), state


@pytest.mark.parametrize("system", ["Glicko2", "WengLin", "TrueSkill"])
def test_thousands_of_games_of_extremes_stay_finite(system: str) -> None:
    rng = np.random.default_rng(9)
    ratings = make(system)
    for player, rating in enumerate([-1e9, -3000.0, 0.0, 25.0, 1500.0, 1e9]):
        ratings[f"p{player}"] = rating
    n = 20_000
    i = rng.integers(0, 6, n)
    j = (i + rng.integers(1, 6, n)) % 6
    ratings.update_many(i, j, rng.integers(0, 3, n) / 2, rng.choice([0, 1e-9, 1, 100, 1e6], n))
    columns = ratings.table()
    del columns["name"]
    for name, column in columns.items():
        assert np.isfinite(column).all(), name
        assert name in ("rating", "mu") or (column >= 0).all(), name
