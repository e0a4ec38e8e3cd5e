"""What holds for every rating system: batch equals streaming, snapshots, undo, merging, and no NaN on any input."""

from __future__ import annotations

import copy
import math
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl

SYSTEMS: dict[str, Callable[..., Any]] = {
    "elo": fl.Elo,
    "glicko2": fl.Glicko2,
    "glicko2 in time": lambda **options: fl.Glicko2(idle="7d", tau=1.2, **options),
    "weng_lin": fl.WengLin,
    "weng_lin in time": lambda **options: fl.WengLin(rule="plackett_luce", idle="1d", **options),
    "true_skill": fl.TrueSkill,
    "true_skill in time": lambda **options: fl.TrueSkill(draw_probability=0.3, idle="1d", **options),
}
every_system = pytest.mark.parametrize("system", SYSTEMS)
DAY = 86_400_000_000_000
PLAYERS = 6


def season(n: int, seed: int, first: int = 0) -> list[tuple[str, str, float, float, int]]:
    dice = random.Random(seed)
    days = sorted(dice.randrange(0, 400 * DAY) for _ in range(n))
    out = []
    for day in days:
        i, j = dice.sample(range(first, first + PLAYERS), 2)
        out.append((f"p{i}", f"p{j}", dice.choice([0.0, 0.5, 1.0]), dice.choice([1.0, 0.5, 2.0]), day))
    return out


def table(ratings: Any) -> dict[str, dict[str, float]]:
    return {name: ratings.state(name) for name in ratings.names()}


@every_system
def test_a_batch_is_the_same_bits_as_one_by_one(system: str) -> None:
    matches = season(500, 1)
    one, many = SYSTEMS[system](), SYSTEMS[system]()
    expected = []
    for i, j, score, weight, time in matches:
        one.id(i), one.id(j)
        expected.append(one.expected(i, j, time))
        one.update(i, j, score, weight, time)
    i, j, score, weight, time = (list(column) for column in zip(*matches, strict=True))
    got = many.rate(i, j, score, weight, np.array(time))
    assert table(one) == table(many)
    assert got.tolist() == expected
    assert one.snapshot() == many.snapshot()


@every_system
def test_a_snapshot_is_as_if_never_stopped(system: str) -> None:
    matches = season(200, 2)
    whole = SYSTEMS[system](history=True, undo=3)
    for match in matches:
        whole.update(*match)
    part = SYSTEMS[system](history=True, undo=3)
    for match in matches[:100]:
        part.update(*match)
    for again in (type(part).restore(part.snapshot()), pickle.loads(pickle.dumps(part)), copy.deepcopy(part)):
        for match in matches[100:]:
            again.update(*match)
        assert again.snapshot() == whole.snapshot()
    bytes_ = part.snapshot()
    for broken in (b"", bytes_[:-1], bytes_[:30] + b"\x00" + bytes_[31:], bytes_ + b"x"):
        with pytest.raises(ValueError, match="snapshot"):
            type(part).restore(broken)


@every_system
def test_undo_gives_back_every_bit(system: str) -> None:
    ratings = SYSTEMS[system](undo=50)
    for match in season(30, 3):
        ratings.update(*match)
    before = table(ratings)
    for match in season(20, 4):
        ratings.update(*match[:4], 400 * DAY)
    ratings.contest([f"p{i}" for i in range(5)], [1, 2, 2, 3, 0])
    ratings.undo(21)
    assert table(ratings) == before


@every_system
def test_merged_fleets_are_as_if_they_had_been_one(system: str) -> None:
    east, west, both = SYSTEMS[system](), SYSTEMS[system](), SYSTEMS[system]()
    for match in season(100, 5):
        east.update(*match)
        both.update(*match)
    for match in season(100, 6, first=PLAYERS):
        west.update(*match[:4], 400 * DAY)
        both.update(*match[:4], 400 * DAY)
    east.merge(west)
    assert table(east) == table(both)


@every_system
def test_a_contest_of_two_is_a_match(system: str) -> None:
    match, contest = SYSTEMS[system](), SYSTEMS[system]()
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
    ratings = SYSTEMS[system]()
    names = [f"p{i}" for i in range(8)]
    for _ in range(300):
        players = dice.sample(range(8), 4)
        ratings.contest([names[p] for p in players], [p + dice.gauss(0, 1.5) for p in players])
    assert ratings.table()["name"][0] in names[:3]
    assert ratings["p0"] > ratings["p4"] > ratings["p7"]
    assert 0.5 < ratings.expected("p0", "p7") <= 1


@every_system
def test_a_rejected_batch_changes_nothing(system: str) -> None:
    ratings = SYSTEMS[system]()
    for match in season(50, 8):
        ratings.update(*match)
    before = ratings.snapshot()
    good = {"i": ["p0", "p1"], "j": ["p1", "p2"], "score": [1.0, 0.5], "weight": [1.0, 1.0], "time": [400 * DAY] * 2}
    for name, wrong in [
        ("score", [1.0, 1.5]),
        ("score", [math.nan, 1.0]),
        ("score", [1.0]),
        ("weight", [1.0, -1.0]),
        ("weight", [math.inf, 1.0]),
        ("time", [400 * DAY, 399 * DAY]),
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
    ratings = SYSTEMS[system]()
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


@pytest.mark.parametrize("system", ["glicko2", "weng_lin", "true_skill"])
def test_thousands_of_games_of_extremes_stay_finite(system: str) -> None:
    rng = np.random.default_rng(9)
    ratings = SYSTEMS[system]()
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
