"""TrueSkill: the same numbers as the package trueskill, computed with mpmath as its own are off by 1e-7."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

import fairlead as fl

NAMES = ("a", "b", "c", "d", "e", "f")


def environment(**options: float) -> Any:
    pytest.importorskip("mpmath")
    return pytest.importorskip("trueskill").TrueSkill(backend="mpmath", **options)


@pytest.mark.parametrize(
    "options", [{}, {"mu": 1200.0, "sigma": 300.0, "beta": 150.0, "tau": 5.0, "draw_probability": 0.3}]
)
def test_pairs_agree_with_trueskill_through_a_season(options: dict[str, float]) -> None:
    env = environment(**options)
    rate: Any = pytest.importorskip("trueskill").rate_1vs1
    ratings = fl.TrueSkill(**options)
    theirs = {name: env.create_rating() for name in NAMES}
    dice = random.Random(1)
    for _ in range(150):
        i, j = dice.sample(NAMES, 2)
        score = dice.choice([0.0, 0.5, 1.0, 1.0])
        ratings.update(i, j, score)
        if score == 0.0:
            theirs[j], theirs[i] = rate(theirs[j], theirs[i], env=env)
        else:
            theirs[i], theirs[j] = rate(theirs[i], theirs[j], drawn=score == 0.5, env=env)
    for name in NAMES:
        got = ratings.state(name)
        assert got["mu"] == pytest.approx(float(theirs[name].mu), rel=1e-11), name
        assert got["sigma"] == pytest.approx(float(theirs[name].sigma), rel=1e-11), name


@pytest.mark.parametrize("alone", [True, False])
def test_contests_and_teams_agree_with_trueskill(alone: bool) -> None:
    env = environment()
    dice = random.Random(2)
    for _ in range(12):
        ratings = fl.TrueSkill()
        for name in NAMES:
            ratings.set_state(name, mu=dice.uniform(20, 30), sigma=dice.uniform(2, 8))
        players = sorted(dice.sample(NAMES, dice.randint(3, 6)))
        teams = [[name] for name in players] if alone else [players[:2], players[2:3], players[3:]]
        teams = [team for team in teams if team]
        ranks = [dice.randint(1, 3) for _ in teams]
        groups = [[env.create_rating(*ratings.state(name).values()) for name in team] for team in teams]
        after = env.rate(groups, ranks=ranks, min_delta=1e-12)
        if alone:
            ratings.contest(players, ranks)
        else:
            ratings.contest_teams(teams, ranks)
        for team, theirs in zip(teams, after, strict=True):
            for name, rating in zip(team, theirs, strict=True):
                # The package ends after ten sweeps, wherever it is then.
                assert ratings.state(name)["mu"] == pytest.approx(float(rating.mu), abs=1e-4)
                assert ratings.state(name)["sigma"] == pytest.approx(float(rating.sigma), abs=1e-4)


def test_expected_counts_a_draw_as_half() -> None:
    ratings = fl.TrueSkill(tau=0, draw_probability=0.25)
    ratings.set_state("a", mu=30, sigma=3)
    ratings.set_state("b", mu=25, sigma=6)
    c = math.sqrt(9 + 36 + 2 * (25 / 6) ** 2)
    margin = 0.3186393639643752 * math.sqrt(2) * 25 / 6  # P(|z| < 0.3186) = 0.25

    def cdf(x: float) -> float:
        return 0.5 * math.erfc(-x / math.sqrt(2))

    win, loss = cdf((5 - margin) / c), cdf((-5 - margin) / c)
    assert ratings.expected("a", "b") == pytest.approx(win + (1 - win - loss) / 2, rel=1e-13)
    assert ratings.expected("a", "b") + ratings.expected("b", "a") == pytest.approx(1, rel=1e-15)


def test_only_wins_losses_and_draws_mean_something() -> None:
    ratings = fl.TrueSkill()
    ratings.update("a", "b", 1.0)
    before = ratings.items()
    for score in (0.3, 0.75, math.nan, 2.0):
        with pytest.raises(ValueError, match="score is"):
            ratings.update("a", "b", score)
        with pytest.raises(ValueError, match=r"score is .* \(match 1\)"):
            ratings.update_many(["a", "a", "c"], ["b", "b", "a"], [1.0, score, 1.0])
    assert ratings.items() == before


def test_teams_that_cannot_be_rated_change_nothing() -> None:
    ratings = fl.TrueSkill(undo=5)
    ratings.contest_teams([["a", "b"], ["c", "d"]], [1, 1])
    before = ratings.items()
    for teams, losses, error, words in [
        ([["a"], []], [1, 2], ValueError, r"teams\[1\] is empty"),
        ([["a"], ["a", "b"]], [1, 2], ValueError, "twice"),
        ([["a"], ["b"]], [1], ValueError, "losses has length 1, teams has 2"),
        ([["a"], ["new"]], [1, math.nan], ValueError, r"losses\[1\] is NaN"),
        ([[0], [9]], [1, 2], KeyError, "9"),
        (["ab", "cd"], [1, 2], TypeError, "lists of players"),
    ]:
        with pytest.raises(error, match=words):
            ratings.contest_teams(teams, losses)
    assert ratings.items() == before
    ratings.contest_teams([[0, 2], ["new"]], [2, 1], weight=0.5)
    assert ratings["new"] > 25
    ratings.undo()
    assert ratings.items()[:4] == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draw_probability": 1.0}, "draw_probability is 1.0"),
        ({"beta": -1.0}, "beta is -1.0"),
        ({"sigma": 0.0}, "sigma is 0.0"),
        ({"tau": math.nan}, "tau is nan"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.TrueSkill(**options)
