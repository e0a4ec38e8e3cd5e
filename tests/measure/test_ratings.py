"""Elo: agrees with evalica, conserves points, and one call or many make no difference."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl

WIN, LOSS, DRAW = evalica.Winner.X, evalica.Winner.Y, evalica.Winner.Draw
SCORE = {WIN: 1.0, LOSS: 0.0, DRAW: 0.5}

TOLERANCE = 1e-11
"""Largest difference of a rating from evalica's; 3.2e-12 was seen. The project promises 1e-9."""

PLAYERS = 6
matches = st.lists(
    st.tuples(
        st.integers(0, PLAYERS - 1),
        st.integers(0, PLAYERS - 1),
        st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1)),
        st.floats(0, 4),
    ).filter(lambda match: match[0] != match[1]),
    max_size=60,
)


def furthest(elo: fl.Elo, expected: pd.Series) -> float:
    assert {name for name, _ in elo.items()} == set(expected.index)
    return max(abs(rating - expected[name]) for name, rating in elo.items())


def rated(first: Sequence[str], second: Sequence[str], winners: Sequence[evalica.Winner], **options: float) -> fl.Elo:
    elo = fl.Elo(**options)
    for i, j, winner in zip(first, second, winners, strict=True):
        elo.update(elo.id(i), elo.id(j), SCORE[winner])
    return elo


def newcomers() -> fl.Elo:
    elo = fl.Elo()
    for player in range(PLAYERS):
        elo.id(str(player))
    return elo


@pytest.mark.parametrize(("k", "scale", "start"), [(32.0, 400.0, 1500.0), (4.0, 400.0, 1000.0), (24.0, 173.7, 0.0)])
@pytest.mark.parametrize("players", [2, 10, 100])
def test_agrees_with_evalica_on_random_matches(players: int, k: float, scale: float, start: float) -> None:
    dice = random.Random(players)
    names = [f"player {i}" for i in range(players)]
    pairs = [dice.sample(names, 2) for _ in range(10_000)]
    first, second = zip(*pairs, strict=True)
    winners = dice.choices([WIN, LOSS, DRAW], [45, 45, 10], k=len(pairs))
    expected = evalica.elo(first, second, winners, initial=start, base=10.0, scale=scale, k=k).scores
    assert furthest(rated(first, second, winners, k=k, scale=scale, start=start), expected) < TOLERANCE


def test_agrees_with_evalica_on_every_league(shared_data: Path) -> None:
    games = pd.read_parquet(shared_data / "pairwise" / "sports538_dev.parquet")
    games = games.sort_values("date", kind="stable")
    games["winner"] = games.outcome.map({"team1": WIN, "team2": LOSS, "tie": DRAW})
    assert games.league.nunique() > 40
    for league, season in games.groupby("league"):
        table = list(season.team1), list(season.team2), list(season.winner)
        assert furthest(rated(*table), evalica.elo(*table, initial=1500, k=32).scores) < TOLERANCE, league


def test_agrees_with_evalica_on_language_models(shared_data: Path) -> None:
    votes = pd.read_parquet(shared_data / "pairwise" / "llmfao_dev.parquet")
    winners = list(votes.winner.map({"left": WIN, "right": LOSS, "tie": DRAW}))
    table = list(votes.model_a), list(votes.model_b), winners
    assert furthest(rated(*table), evalica.elo(*table, initial=1500, k=32).scores) < TOLERANCE


def test_defaults_are_those_of_the_documentation() -> None:
    elo = fl.Elo()
    assert (elo.k, elo.scale, elo.start) == (32.0, 400.0, 1500.0)
    i, j = elo.id("gpt-4o"), elo.id("local")
    elo["gpt-4o"] = 1900.0
    assert elo.expected(i, j) == pytest.approx(10 / 11, rel=1e-15)
    elo.update(j, i, 1.0)
    assert elo["local"] == pytest.approx(1500 + 32 * 10 / 11, rel=1e-15)


@given(matches)
def test_points_are_conserved(played: list[tuple[int, int, float, float]]) -> None:
    elo = newcomers()
    for i, j, score, weight in played:
        elo.update(i, j, score, weight)
    # A change of at most 128 points rounds by at most an ulp of the ratings, here below 2e-12 each.
    assert math.fsum(elo.ratings()) == pytest.approx(1500 * PLAYERS, abs=1e-12 * (1 + 2 * len(played)))


@given(matches)
def test_update_many_is_many_updates_bit_for_bit(played: list[tuple[int, int, float, float]]) -> None:
    one_by_one, at_once, unweighted, units = newcomers(), newcomers(), newcomers(), newcomers()
    for i, j, score, weight in played:
        one_by_one.update(i, j, score, weight)
        units.update(i, j, score)
    i, j = (np.array([match[side] for match in played], dtype=np.int32) for side in (0, 1))
    score, weight = (np.array([match[side] for match in played], dtype=np.float64) for side in (2, 3))
    at_once.update_many(i, j, score, weight)
    unweighted.update_many(i, j, score)
    assert at_once.items() == one_by_one.items()
    assert unweighted.items() == units.items()


@given(st.data())
def test_a_contest_does_not_depend_on_the_order_of_players(data: st.DataObject) -> None:
    ratings = data.draw(st.lists(st.floats(0, 3000), min_size=2, max_size=12))
    losses = data.draw(st.lists(st.floats(0, 2), min_size=len(ratings), max_size=len(ratings)))
    order = data.draw(st.permutations(range(len(ratings))))
    one, other = fl.Elo(), fl.Elo()
    for elo in (one, other):
        for name, rating in enumerate(ratings):
            elo[str(name)] = rating
    one.contest(range(len(ratings)), losses)
    other.contest(order, [losses[player] for player in order])
    np.testing.assert_allclose(other.ratings(), one.ratings(), rtol=0, atol=1e-11)


@given(st.lists(st.tuples(st.floats(0, 3000), st.sampled_from([0.0, 0.1, 0.2, 0.5])), min_size=2, max_size=12))
def test_a_contest_is_all_pairs_at_once(field: list[tuple[float, float]]) -> None:
    elo = fl.Elo(k=24)
    for name, (rating, _) in enumerate(field):
        elo[str(name)] = rating
    elo.contest(range(len(field)), [loss for _, loss in field])
    for name, (rating, loss) in enumerate(field):
        rivals = [field[other] for other in range(len(field)) if other != name]
        points = sum((loss < theirs) + 0.5 * (loss == theirs) for _, theirs in rivals)
        expected = sum(1 / (1 + 10 ** ((theirs - rating) / 400)) for theirs, _ in rivals)
        change = 24 * (points - expected) / len(rivals)
        assert elo[str(name)] == pytest.approx(rating + change, abs=1e-10)


def test_a_contest_of_two_is_an_update() -> None:
    contest, update = fl.Elo(), fl.Elo()
    for elo in (contest, update):
        elo["a"], elo["b"] = 1400.0, 1650.0
    contest.contest([0, 1], [0.3, 0.1])
    update.update(0, 1, 0.0)
    np.testing.assert_allclose(contest.ratings(), update.ratings(), rtol=0, atol=1e-12)


def test_a_contest_of_one_changes_nothing() -> None:
    elo = fl.Elo()
    elo.contest([elo.id("alone")], [0.7])
    assert elo.items() == [("alone", 1500.0)]


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((0, 9, 1.0), KeyError, "id 9"),
        ((-1, 0, 1.0), KeyError, "id -1"),
        ((1, 1, 1.0), ValueError, "both 1"),
        ((0, 1, 1.5), ValueError, "score is 1.5"),
        ((0, 1, math.nan), ValueError, "score is nan"),
        ((0, 1, 1.0, -2.0), ValueError, "weight is -2.0"),
        ((0, 1, 1.0, math.inf), ValueError, "weight is inf"),
        ((0, 1, "won"), TypeError, "real number"),
        ((0, 1), TypeError, "2 given"),
    ],
)
def test_a_rejected_update_changes_nothing(arguments: tuple, error: type[Exception], words: str) -> None:
    elo = newcomers()
    elo.update(0, 1, 1.0)
    before = elo.items()
    with pytest.raises(error, match=words):
        elo.update(*arguments)
    assert elo.items() == before


@pytest.mark.parametrize(
    ("i", "j", "score", "error", "words"),
    [
        ([0, 1], [1, 9], [1, 1], KeyError, "id 9"),
        ([0, 1], [1, 1], [1, 1], ValueError, "both 1"),
        ([0, 1], [1, 0], [1, math.nan], ValueError, "score is nan"),
        ([0, 1], [1, 0], [1], ValueError, "score has length 1"),
    ],
)
def test_a_rejected_batch_changes_nothing(
    i: list[int], j: list[int], score: list[float], error: type[Exception], words: str
) -> None:
    elo = newcomers()
    before = elo.items()
    with pytest.raises(error, match=words):
        elo.update_many(i, j, score)
    assert elo.items() == before


@pytest.mark.parametrize(
    ("players", "losses", "error", "words"),
    [
        ([0, 0], [0.1, 0.2], ValueError, "id 0 twice"),
        ([0, 9], [0.1, 0.2], KeyError, "id 9"),
        ([0, 1], [0.1], ValueError, "1 values, 2 players"),
        ([0, 1], [0.1, math.nan], ValueError, "NaN"),
    ],
)
def test_a_rejected_contest_changes_nothing(
    players: list[int], losses: list[float], error: type[Exception], words: str
) -> None:
    elo = newcomers()
    before = elo.items()
    with pytest.raises(error, match=words):
        elo.contest(players, losses)
    assert elo.items() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0.0}, "k is 0.0"),
        ({"k": math.inf}, "k is inf"),
        ({"scale": -400.0}, "scale is -400.0"),
        ({"start": math.nan}, "start is nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.Elo(**options)


def test_names_are_looked_up() -> None:
    elo = fl.Elo()
    elo["gpt-4o"] = 1700.0
    assert "gpt-4o" in elo
    assert "gpt-5" not in elo
    assert len(elo) == 1
    with pytest.raises(KeyError, match="gpt-5"):
        elo["gpt-5"]
    with pytest.raises(ValueError, match="rating is nan"):
        elo["gpt-4o"] = math.nan
    assert elo.items() == [("gpt-4o", 1700.0)]


def test_ratings_are_a_copy() -> None:
    elo = fl.Elo()
    elo.id("a")
    elo.ratings()[0] = 9.0
    assert elo["a"] == 1500.0
