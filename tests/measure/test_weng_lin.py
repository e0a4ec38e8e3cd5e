"""Weng-Lin: the same numbers as openskill."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

import fairlead as fl

RULES = {"bradley_terry": "BradleyTerryFull", "plackett_luce": "PlackettLuce"}
NAMES = ("a", "b", "c", "d", "e")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("options", [{}, {"mu": 1500.0, "sigma": 200.0, "beta": 90.0, "tau": 2.0, "kappa": 0.3}])
def test_agrees_with_openskill_through_a_season(rule: str, options: dict[str, float]) -> None:
    models: Any = pytest.importorskip("openskill.models")
    model = getattr(models, RULES[rule])(**options)
    ratings = fl.WengLin(rule=rule, **options)
    theirs = {name: model.rating() for name in NAMES}
    dice = random.Random(3)
    for _ in range(200):
        players = dice.sample(NAMES, dice.randint(2, 5))
        ranks = [dice.randint(1, 4) for _ in players]
        if len(players) == 2 and dice.random() < 0.5:
            ratings.update(*players, 1.0 if ranks[0] < ranks[1] else 0.0 if ranks[0] > ranks[1] else 0.5)
        else:
            ratings.contest(players, ranks)
        after = model.rate([[theirs[name]] for name in players], ranks=ranks)
        theirs.update({name: team[0] for name, team in zip(players, after, strict=True)})
    for name in NAMES:
        got = ratings.state(name)
        assert got["mu"] == pytest.approx(theirs[name].mu, rel=1e-11), name
        assert got["sigma"] == pytest.approx(theirs[name].sigma, rel=1e-11), name


def test_expected_is_what_the_score_is_compared_with() -> None:
    ratings = fl.WengLin()
    ratings.set_state("a", mu=30, sigma=3)
    ratings.set_state("b", mu=22, sigma=6)
    p = ratings.expected("a", "b")
    assert p + ratings.expected("b", "a") == pytest.approx(1, rel=1e-15)
    ratings.update("a", "b", p)
    assert ratings["a"] == 30
    assert ratings["b"] == 22
    assert ratings.rate(["a"], ["b"], [1.0])[0] == pytest.approx(p, rel=1e-2)


@pytest.mark.parametrize("rule", RULES)
def test_without_drift_precision_weighted_changes_cancel(rule: str) -> None:
    """mu moves by the variance times a surprise; surprises are antisymmetric, so they sum to zero over a contest."""
    ratings = fl.WengLin(rule=rule, tau=0)
    before = {}
    for n, name in enumerate(NAMES):
        before[name] = (20.0 + 3 * n, 2.0 + n)
        ratings.set_state(name, mu=before[name][0], sigma=before[name][1])
    ratings.contest(list(NAMES), [3, 1, 1, 2, 5])
    assert sum((ratings[name] - mu) / sigma**2 for name, (mu, sigma) in before.items()) == pytest.approx(0, abs=1e-14)


def test_idle_players_become_uncertain_but_never_more_than_newcomers() -> None:
    ratings = fl.WengLin(idle="1d", tau=0.5)
    ratings.update("a", "b", 1.0, 1.0, "2026-01-01")
    before = ratings.state("a")["sigma"]
    assert ratings.state("a", at="2026-01-05")["sigma"] == pytest.approx(math.sqrt(before**2 + 4 * 0.25), rel=1e-14)
    assert ratings.state("a", at="2126-01-01")["sigma"] == 25 / 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rule": "thurstone"}, "rule is 'thurstone'"),
        ({"beta": 0.0}, "beta is 0.0"),
        ({"sigma": math.nan}, "sigma is nan"),
        ({"tau": -1.0}, "tau is -1.0"),
        ({"kappa": 0.0}, "kappa is 0.0"),
        ({"mu": math.inf}, "mu is inf"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fl.WengLin(**options)


def test_options_and_states_can_be_read_and_set() -> None:
    ratings = fl.WengLin(rule="plackett_luce", kappa=0.01)
    assert (ratings.rule, ratings.mu, ratings.beta, ratings.kappa, ratings.idle) == (
        "plackett_luce",
        25,
        25 / 6,
        0.01,
        None,
    )
    ratings["a"] = 30
    assert ratings.state("a") == {"mu": 30, "sigma": 25 / 3}
    with pytest.raises(ValueError, match=r"sigma is -1.0"):
        ratings.set_state("b", sigma=-1)
    assert ratings.names() == ["a"]
