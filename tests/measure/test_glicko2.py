"""Glicko-2: the exact worked examples, an oracle written out with mpmath or from the peers, and its place in time."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

import fairlead as fl

OPPONENTS = [("a", 1400, 30, 1.0), ("b", 1550, 100, 0.0), ("c", 1700, 300, 0.0)]
"""The example of Glickman's paper: rating, deviation and the score against each."""

EXACT = [
    ((1500, 200, 0.06), (1464.0506705391, 151.5165241243, 0.0599959844)),
    ((1800, 80, 0.07), (1761.3108440192, 77.9734207878, 0.0700155314520)),
]
"""To all digits given, by mpmath with 40. The paper's own 1464.06 is rounded on the way."""


@pytest.mark.parametrize(("before", "after"), EXACT)
def test_the_worked_example_to_ten_digits(
    before: tuple[float, float, float], after: tuple[float, float, float]
) -> None:
    ratings = fl.Glicko2(tau=0.5)
    ratings.set_state("player", rating=before[0], deviation=before[1], volatility=before[2])
    for name, rating, deviation, _ in OPPONENTS:
        ratings.set_state(name, rating=rating, deviation=deviation)
    with ratings.period() as period:
        for name, _, _, score in OPPONENTS:
            period.update("player", name, score)
    assert tuple(ratings.state("player").values()) == pytest.approx(after, rel=0, abs=6e-11)


def by_mpmath(player: tuple[float, float, float], games: list[tuple[float, float, float]], tau: float) -> list[float]:
    """Glickman's steps with 40 digits, by the Illinois algorithm of the paper taken to the end."""
    mp: Any = pytest.importorskip("mpmath")
    with mp.workdps(40):
        scale = mp.mpf("173.7178")
        mu, phi, sigma = (mp.mpf(player[0]) - 1500) / scale, mp.mpf(player[1]) / scale, mp.mpf(player[2])
        information = surprise = mp.mpf(0)
        for rating, deviation, score in games:
            g = 1 / mp.sqrt(1 + 3 * (deviation / scale) ** 2 / mp.pi**2)
            expected = 1 / (1 + mp.exp(-g * (mu - (rating - 1500) / scale)))
            information += g * g * expected * (1 - expected)
            surprise += g * (score - expected)
        v, a = 1 / information, mp.log(sigma**2)
        square = (surprise * v) ** 2

        def f(x: Any) -> Any:
            e = mp.exp(x)
            return e * (square - phi**2 - v - e) / (2 * (phi**2 + v + e) ** 2) - (x - a) / mp.mpf(tau) ** 2

        x, y = a, mp.log(square - phi**2 - v) if square > phi**2 + v else a - tau
        while square <= phi**2 + v and f(y) < 0:
            y -= tau
        at_x, at_y = f(x), f(y)
        while abs(y - x) > mp.mpf("1e-30"):
            z = x + (x - y) * at_x / (at_y - at_x)
            at_z = f(z)
            x, at_x = (y, at_y) if at_z * at_y <= 0 else (x, at_x / 2)
            y, at_y = z, at_z
        sigma = mp.exp(x / 2)
        variance = 1 / (1 / (phi**2 + sigma**2) + information)
        return [float((mu + variance * surprise) * scale + 1500), float(mp.sqrt(variance) * scale), float(sigma)]


@pytest.mark.parametrize("tau", [0.2, 0.5, 1.2])
def test_periods_agree_with_forty_digits(tau: float) -> None:
    dice = random.Random(int(10 * tau))
    for _ in range(40):
        players = [(dice.uniform(900, 2300), dice.uniform(25, 350), dice.uniform(0.02, 0.15)) for _ in range(5)]
        ratings = fl.Glicko2(tau=tau)
        for i, (rating, deviation, volatility) in enumerate(players):
            ratings.set_state(str(i), rating=rating, deviation=deviation, volatility=volatility)
        games = [(*dice.sample(range(5), 2), dice.choice([0.0, 0.5, 1.0])) for _ in range(8)]
        ratings.update_period(*(np.array(column) for column in zip(*games, strict=True)))
        for i, player in enumerate(players):
            mine = [(*players[b][:2], s) for a, b, s in games if a == i]
            mine += [(*players[a][:2], 1 - s) for a, b, s in games if b == i]
            if mine:
                expected = by_mpmath(player, mine, tau)
            else:
                expected = [player[0], min(350.0, math.hypot(player[1], player[2] * 173.7178)), player[2]]
            got = list(ratings.state(i).values())
            assert got == pytest.approx(expected, rel=1e-12), (i, games)


def test_the_order_of_a_period_does_not_matter_and_that_of_single_games_does() -> None:
    games = [("a", "b", 1.0), ("b", "c", 1.0), ("c", "a", 0.5), ("a", "b", 0.0)]
    forwards, backwards, one_by_one = fl.Glicko2(), fl.Glicko2(), fl.Glicko2()
    for ratings in (forwards, backwards, one_by_one):
        for name in "abc":
            ratings.id(name)
    forwards.update_period(*map(list, zip(*games, strict=True)))
    backwards.update_period(*map(list, zip(*games[::-1], strict=True)))
    one_by_one.update_many(*map(list, zip(*games, strict=True)))
    for name in "abc":
        assert list(forwards.state(name).values()) == pytest.approx(list(backwards.state(name).values()), rel=1e-14)
    assert abs(forwards["a"] - one_by_one["a"]) > 1


def test_one_game_is_a_period_of_one_game() -> None:
    single, period = fl.Glicko2(), fl.Glicko2()
    single.update("a", "b", 1.0)
    period.update_period(["a"], ["b"], [1.0])
    assert single.table()["rating"] == pytest.approx(period.table()["rating"], rel=1e-15)
    assert single.table()["deviation"] == pytest.approx(period.table()["deviation"], rel=1e-15)


def test_idle_players_become_uncertain_but_never_more_than_newcomers() -> None:
    ratings = fl.Glicko2(idle="7d", volatility=0.1)
    ratings.update("a", "b", 1.0, 1.0, "2026-01-01")
    before = ratings.state("a")
    later = ratings.state("a", at="2026-01-15")
    assert later["deviation"] == pytest.approx(
        math.sqrt(before["deviation"] ** 2 + 2 * (0.1 * 173.7178) ** 2), rel=1e-6
    )
    assert later["rating"] == before["rating"]
    assert ratings.state("a", at="2126-01-01")["deviation"] == 350
    assert ratings.state("a") == before
    # The more uncertain, the less is expected.
    assert 0.5 < ratings.expected("a", "b", "2027-01-01") < ratings.expected("a", "b")


def test_expected_is_symmetric_and_shrinks_with_either_deviation() -> None:
    ratings = fl.Glicko2()
    ratings.set_state("sure", rating=1700, deviation=30)
    ratings.set_state("sure too", rating=1500, deviation=30)
    ratings.set_state("unsure", rating=1500, deviation=300)
    assert ratings.expected("sure", "unsure") + ratings.expected("unsure", "sure") == pytest.approx(1, rel=1e-15)
    assert ratings.expected("sure", "sure too") > ratings.expected("sure", "unsure") > 0.5


def test_weights_count_games() -> None:
    once, twice, weighted = fl.Glicko2(), fl.Glicko2(), fl.Glicko2()
    once.update_period(["a"], ["b"], [1.0])
    twice.update_period(["a", "a"], ["b", "b"], [1.0, 1.0])
    weighted.update_period(["a"], ["b"], [1.0], weight=[2.0])
    assert weighted.table()["rating"] == pytest.approx(twice.table()["rating"], rel=1e-14)
    assert weighted["a"] > once["a"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tau": -0.1}, "tau is -0.1"),
        ({"deviation": 0.0}, "deviation is 0.0"),
        ({"volatility": 2.0}, "volatility is 2.0"),
        ({"start": math.inf}, "start is inf"),
        ({"idle": 0}, "idle"),
        ({"undo": -1}, "undo is -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.Glicko2(**options)


def test_what_cannot_be_set_changes_nothing() -> None:
    ratings = fl.Glicko2()
    ratings.id("a")
    before = ratings.state("a")
    for wrong in ({"rating": math.nan}, {"deviation": -1.0}, {"volatility": 0.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ratings.set_state("a", **wrong)
        with pytest.raises(ValueError, match=next(iter(wrong))):
            ratings.set_state("new", **wrong)
    with pytest.raises(KeyError, match="7"):
        ratings.set_state(7, rating=1600)
    assert ratings.state("a") == before
    assert ratings.names() == ["a"]
    ratings["a"] = 1600
    assert ratings.state("a") == {**before, "rating": 1600.0}
    assert (ratings.tau, ratings.start, ratings.deviation, ratings.volatility, ratings.idle) == (
        0.5,
        1500,
        350,
        0.06,
        None,
    )
