"""Elo's options against a few lines of Python: home advantage, K schedules, decay, names; and scores of predictions."""

from __future__ import annotations

import copy
import math
import pickle
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_systems import DAY, PLAYERS, Match, columns, matches, play

import fairlead as fl


def by_hand(
    played: list[Match],
    k: Any = lambda games, rating, topped: 32.0,
    home: float = 0.0,
    half_life: float = math.inf,
) -> dict[str, float]:
    """Ratings, their sums kept exactly enough to be an oracle."""
    rating: dict[str, float] = {}
    games: dict[str, int] = {}
    last: dict[str, int] = {}
    topped: set[str] = set()
    for i, j, score, weight, time in played:
        for name in (i, j):
            idle = time - last.get(name, time)
            rating[name] = 1500 + (rating.get(name, 1500.0) - 1500) * 2 ** (-idle / half_life)
            last[name] = time
        expected = 1 / (1 + 10 ** ((rating[j] - rating[i] - home) / 400))
        steps = [k(games.get(name, 0), rating[name], name in topped) for name in (i, j)]
        rating[i] += steps[0] * weight * (score - expected)
        rating[j] -= steps[1] * weight * (score - expected)
        for name in (i, j):
            games[name] = games.get(name, 0) + 1
            if rating[name] >= 1600:
                topped.add(name)
    return rating


def close(ratings: fl.Elo, expected: dict[str, float]) -> bool:
    return {name: pytest.approx(rating, abs=1e-9) for name, rating in expected.items()} == dict(ratings.items())


@given(matches(), st.floats(-200, 200))
def test_home_is_points_for_the_first_player(played: list[Match], home: float) -> None:
    assert close(play(fl.Elo(home=home), played), by_hand(played, home=home))


def test_home_stands_in_the_expectation() -> None:
    ratings = fl.Elo(home=100)
    i, j = ratings.id("host"), ratings.id("guest")
    assert ratings.expected(i, j) == pytest.approx(1 / (1 + 10 ** (-100 / 400)), rel=1e-15)
    assert ratings.expected(i, j) > 0.5 < ratings.expected(j, i)
    ratings.update(i, j, 1.0)
    assert ratings["host"] < 1516 < 1520


@given(matches())
def test_steps_of_k(played: list[Match]) -> None:
    schedule = fl.KSchedule.steps(first=60, games=3, settled=25, top_rating=1600, top=7)

    def k(games: int, rating: float, topped: bool) -> float:
        return 7 if topped else 60 if games < 3 else 25

    assert close(play(fl.Elo(k=schedule), played), by_hand(played, k))


@given(matches())
def test_decaying_k(played: list[Match]) -> None:
    schedule = fl.KSchedule.decay(first=60, games=4, settled=10)
    expected = by_hand(played, lambda games, rating, topped: 10 + 50 / (1 + games / 4))
    assert close(play(fl.Elo(k=schedule), played), expected)


def test_fide_schedule() -> None:
    assert fl.KSchedule.fide() == fl.KSchedule.steps(first=40, games=30, settled=20, top_rating=2400, top=10)
    ratings = fl.Elo(k=fl.KSchedule.fide())
    ratings["champion"], ratings["rival"] = 2395.0, 2395.0
    moved = []
    for _ in range(2):
        before = ratings["champion"]
        ratings.update("champion", "rival", 1.0)
        moved.append(ratings["champion"] - before)
    assert moved[0] == 20.0
    assert moved[1] < 5.0


@given(matches())
def test_an_idle_player_falls_half_of_the_way_in_a_half_life(played: list[Match]) -> None:
    assert close(play(fl.Elo(half_life="7d"), played), by_hand(played, half_life=7 * DAY))


def test_an_old_hero_falls() -> None:
    ratings = fl.Elo(half_life="365d", history=True)
    for day in range(100):
        ratings.update("hero", f"rival {day % 5}", 1.0, 1.0, day * DAY)
    peak = ratings["hero"]
    later = ratings.rating("hero", at=99 * DAY + 365 * DAY)
    assert later - 1500 == pytest.approx((peak - 1500) / 2, abs=1e-9)
    assert ratings["hero"] == peak  # to be asked changes nothing
    assert ratings.expected("hero", "rival 0", 2000 * DAY) < ratings.expected("hero", "rival 0")
    assert ratings.table(at=10**5 * DAY)["name"][0] == "hero"
    ratings.update("rival 1", "rival 2", 1.0, 1.0, 464 * DAY)
    assert ratings.rating("hero", at=464 * DAY) == later
    ratings.update("hero", "rival 1", 0.5, 1.0, 464 * DAY)
    assert abs(ratings["hero"] - later) < 32


@pytest.mark.parametrize("span", ["7d", timedelta(days=7), 7 * DAY])
def test_half_life_is_any_span(span: Any) -> None:
    assert fl.Elo(half_life=span).half_life == 7 * DAY
    assert fl.Elo().half_life is None


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fl.Elo(home=math.nan), "home is nan"),
        (lambda: fl.Elo(half_life=0), "half_life is 0"),
        (lambda: fl.Elo(half_life="a while"), "half_life is 'a while'"),
        (lambda: fl.Elo(k=-1), "k is -1.0"),
        (lambda: fl.KSchedule.steps(first=-1), "first is -1.0"),
        (lambda: fl.KSchedule.steps(games=0), "games is 0.0"),
        (lambda: fl.KSchedule.steps(top=math.inf), "top is inf"),
        (lambda: fl.KSchedule.steps(top_rating=math.nan), "top_rating is nan"),
        (lambda: fl.KSchedule.decay(settled=0), "settled is 0.0"),
    ],
)
def test_options_that_make_no_sense_are_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_schedules_are_values() -> None:
    schedule = fl.KSchedule.decay(first=60, games=4, settled=10)
    for same in (copy.copy(schedule), pickle.loads(pickle.dumps(schedule)), fl.Elo(k=schedule).k):
        assert same == schedule
        assert hash(same) == hash(schedule)
    assert schedule != fl.KSchedule.decay()
    assert schedule != "KSchedule"
    assert repr(schedule) == "KSchedule.decay(first=60.0, games=4.0, settled=10.0)"
    assert repr(fl.KSchedule.fide()).endswith("settled=20.0, top_rating=2400.0, top=10.0)")


@given(matches())
def test_names_and_ids_are_the_same(played: list[Match]) -> None:
    by_name, by_id, mixed = fl.Elo(), fl.Elo(), fl.Elo()
    for i, j, score, _, _ in played:
        by_name.update(i, j, score)
        by_id.update(by_id.id(i), by_id.id(j), score)
        mixed.update(mixed.id(i), j, score)
    assert by_name.snapshot() == by_id.snapshot() == mixed.snapshot()
    for i, j, *_ in played:
        assert by_name.expected(i, j) == by_id.expected(by_id.id(i), by_id.id(j))


def test_numbers_of_any_type_are_the_same() -> None:
    kinds = [(1.0, 2.0, 5), (1, 2, 5), (True, np.float32(2), np.int64(5)), (np.float64(1), np.int8(2), "1970-01-01")]
    fleets = [fl.Elo() for _ in kinds]
    for ratings, (score, weight, time) in zip(fleets, kinds, strict=True):
        i, j = np.int64(ratings.id("a")), ratings.id("b")
        ratings.update(i, j, score)
        ratings.update(i, j, score, weight)
        ratings.update(i, j, score, weight, time)
        ratings.update(i, j, score, weight, None)
        ratings.update(i, j, score, None, None)
    assert len({tuple(ratings.items()) for ratings in fleets}) == 1
    assert [ratings.events for ratings in fleets] == [5] * 4


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("x", "x", 1.0), ValueError, "a contest needs two players"),
        (("x", "a", 1.5), ValueError, "score is 1.5"),
        (("a", "x", 1.0, -1.0), ValueError, "weight is -1.0"),
        (("a", "x", 1.0, 1.0, 4), ValueError, "time is 4, before the latest event at 5"),
        (("a", "b", 1.0, 1.0, "soon"), ValueError, "time is 'soon'"),
        (("x", 9, 1.0), KeyError, "id 9"),
        (("x", 2, 1.0), KeyError, "id 2"),  # which is the id that x would get
        (("a", None, 1.0), TypeError, "j is None"),
        ((1.0, "a", 1.0), TypeError, "i is 1.0"),
        (("a", "b", None), TypeError, "real number"),
    ],
)
def test_a_rejected_update_by_name_adds_nobody(arguments: tuple, error: type[Exception], words: str) -> None:
    ratings = fl.Elo()
    ratings.update("a", "b", 1.0, 1.0, 5)
    before = ratings.snapshot()
    with pytest.raises(error, match=words):
        ratings.update(*arguments)
    assert ratings.snapshot() == before


def test_expected_many_is_expected() -> None:
    ratings = fl.Elo(half_life="7d")
    ratings.update_many(PLAYERS[:5], PLAYERS[1:], [1.0, 0.0, 1.0, 1.0, 0.5], time=range(5))
    i, j = PLAYERS[:3], PLAYERS[3:]
    out = np.empty(3)
    assert ratings.expected_many(i, j, "2020-01-01", out=out) is out
    assert out.tolist() == [ratings.expected(a, b, "2020-01-01") for a, b in zip(i, j, strict=True)]
    for bad in (["nobody"], [99], [-1]):
        with pytest.raises(KeyError, match="no player"):
            ratings.expected_many(bad, ["player 0"])
    with pytest.raises(ValueError, match="out has shape"):
        ratings.expected_many(i, j, out=np.empty(2))


def test_extreme_expectations_stay_probabilities() -> None:
    ratings = fl.Elo()
    ratings["best"], ratings["worst"] = 1e9, -1e9
    assert ratings.expected("best", "worst") == 1.0
    assert ratings.expected("worst", "best") == 0.0
    ratings["best"], ratings["worst"] = 4000.0, -4000.0
    assert ratings.expected("worst", "best") == pytest.approx(1e-20, rel=1e-13)


@given(matches())
def test_scores_of_predictions(played: list[Match]) -> None:
    i, j, score, weight, time = columns(played)
    if not played:
        with pytest.raises(ValueError, match="skip is 0"):
            fl.evaluate_ratings(fl.Elo(), i, j, score)
        return
    ratings, same = fl.Elo(), fl.Elo()
    found = fl.evaluate_ratings(ratings, i, j, score, weight, time, skip=len(played) // 3)
    p = same.rate(i, j, score, weight, time)[len(played) // 3 :]
    s = np.array(score[len(played) // 3 :])
    assert ratings.snapshot() == same.snapshot()
    assert found.matches == len(s)
    assert found.brier == pytest.approx(((p - s) ** 2).mean())
    assert found.log_loss == pytest.approx(-(s * np.log(p) + (1 - s) * np.log(1 - p)).mean())
    assert set(found.as_dict()) == {"matches", "log_loss", "brier", "accuracy"}
    assert "log-loss" in str(found)


def test_a_bad_skip_rates_nothing() -> None:
    ratings = fl.Elo()
    for skip in (-1, 1):
        with pytest.raises(ValueError, match=f"skip is {skip}"):
            fl.evaluate_ratings(ratings, ["a"], ["b"], [1.0], skip=skip)
    assert len(ratings) == 0


def test_a_contest_of_two_is_a_match_on_neutral_ground() -> None:
    ratings, neutral = fl.Elo(home=100, k=24), fl.Elo(k=24)
    ratings["a"] = neutral["a"] = 1650
    ratings.contest(["a", "b"], [0, 1], 0.5)
    neutral.update("a", "b", 1.0, 0.5)
    for name, rating in neutral.items():
        assert ratings[name] == pytest.approx(rating, abs=1e-10)


def test_an_old_hero_loses_the_top_of_the_table() -> None:
    ratings = fl.Elo(half_life="90d")
    for day in range(400):
        if day < 60:
            ratings.update("hero", f"rival {day % 5}", 1.0, 1.0, day * DAY)
        ratings.update("steady", f"rival {day % 5}", 1.0, 1.0, day * DAY)
    assert ratings.table(at=399 * DAY)["name"].index("hero") > 0
    assert ratings.rating("hero", at=399 * DAY) < ratings["hero"] - 50
