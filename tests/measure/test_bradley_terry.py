"""Bradley-Terry agrees with a maximum and a covariance from single matches, and with evalica and choix."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import evalica
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import fairlead as fl
from fairlead import _core

LEVELS = ("scalar", "avx2", "avx512")
ELO = 400 / math.log(10)


@pytest.fixture(params=LEVELS)
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    if LEVELS.index(request.param) > LEVELS.index(_core.simd_best()):
        pytest.skip(f"this machine has no {request.param}")
    before = _core.simd_level()
    _core.set_simd_level(request.param)
    yield request.param
    _core.set_simd_level(before)


def matches(n: int, players: int, seed: int, draws: float = 0.15, spread: float = 1.0) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    i = rng.integers(0, players, n).astype(np.int32)
    j = ((i + rng.integers(1, players, n)) % players).astype(np.int32)
    strength = rng.normal(0, spread, players)
    score = (rng.random(n) < 1 / (1 + np.exp(strength[j] - strength[i]))).astype(float)
    score[rng.random(n) < draws] = 0.5
    return i, j, score


class Oracle:
    """The likelihood of single matches, maximised by scipy and then by plain Newton steps; the sandwich from the scores
    of single matches. Nothing is summed by pair, nothing is shared with the core."""

    def __init__(self, i: Any, j: Any, s: Any, w: Any, x: Any, players: int, davidson: bool) -> None:
        self.s, self.davidson, self.n = s, davidson, players
        self.w = np.ones(len(i)) if w is None else w
        self.x = np.zeros((len(i), players))
        self.x[np.arange(len(i)), i] += 1
        self.x[np.arange(len(i)), j] -= 1
        if x is not None:
            self.x = np.hstack([self.x, x])
        start = np.zeros(self.x.shape[1] + davidson)
        found = minimize(lambda v: (-self.likelihood(v), -self.gradient(v)), start, jac=True, method="BFGS")
        v = found.x
        for _ in range(8):
            v = v + np.linalg.pinv(self.information(v), rcond=1e-12) @ self.gradient(v)
        v[:players] -= v[:players].mean()
        centre = np.eye(len(v))
        centre[:players, :players] -= 1 / players
        inverse = centre @ np.linalg.pinv(self.information(v), rcond=1e-12) @ centre.T
        scores = self.w[:, None] * self.scores(v)
        self.v = v
        self.model = np.sqrt(np.diag(inverse))
        self.covariance = inverse @ (scores.T @ scores) @ inverse
        self.sandwich = np.sqrt(np.diag(self.covariance))

    def terms(self, v: Any) -> tuple[Any, Any, Any, Any]:
        """log of the normaliser, probabilities of a win, a draw and a loss."""
        if not self.davidson:
            eta = self.x @ v
            return np.logaddexp(eta / 2, -eta / 2), 1 / (1 + np.exp(-eta)), np.zeros_like(eta), 1 / (1 + np.exp(eta))
        eta = self.x @ v[:-1]
        log = np.logaddexp(np.logaddexp(eta / 2, -eta / 2), v[-1])
        return log, np.exp(eta / 2 - log), np.exp(v[-1] - log), np.exp(-eta / 2 - log)

    def likelihood(self, v: Any) -> float:
        eta = self.x @ (v[:-1] if self.davidson else v)
        log = (self.s - 0.5) * eta - self.terms(v)[0]
        return float((self.w * (log + (v[-1] * (self.s == 0.5) if self.davidson else 0))).sum())

    def scores(self, v: Any) -> Any:
        _, win, draw, loss = self.terms(v)
        of_eta = self.x * (self.s - 0.5 - (win - loss) / 2)[:, None]
        return np.column_stack([of_eta, (self.s == 0.5) - draw]) if self.davidson else of_eta

    def gradient(self, v: Any) -> Any:
        return self.w @ self.scores(v)

    def information(self, v: Any) -> Any:
        _, win, draw, loss = self.terms(v)
        eta = self.x.T @ (self.x * (self.w * ((win + loss) - (win - loss) ** 2) / 4)[:, None])
        if not self.davidson:
            return eta
        cross = -self.x.T @ (self.w * draw * (win - loss) / 2)
        nu = (self.w * draw * (1 - draw)).sum()
        return np.block([[eta, cross[:, None]], [cross[None], np.array([[nu]])]])


@pytest.mark.parametrize("davidson", [False, True], ids=["half", "davidson"])
@pytest.mark.parametrize("columns", [0, 1, 3])
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
def test_maximum_and_errors_are_those_of_single_matches(
    davidson: bool, columns: int, weighted: bool, level: str
) -> None:
    players, n = 17, 1500
    i, j, score = matches(n, players, seed=columns)
    rng = np.random.default_rng(9)
    x = None
    if columns:
        x = np.column_stack([np.ones(n), rng.normal(0, 1, n), rng.integers(-1, 2, n)])[:, :columns]
    weight = rng.random(n) * 3 if weighted else None
    if not davidson and weighted:
        score = rng.random(n)  # any score is allowed
    oracle = Oracle(i, j, score, weight, x, players, davidson)
    fit = fl.BradleyTerry(ties="davidson" if davidson else "half").fit(i, j, score, weight, covariates=x)
    assert fit.affected == {}
    mine = np.array([fit.strengths[k] for k in range(players)])
    np.testing.assert_allclose(mine, oracle.v[:players], rtol=0, atol=2e-11)
    rows = {row.player: row for row in fit.rows()}
    np.testing.assert_allclose([rows[k].error / ELO for k in range(players)], oracle.sandwich[:players], rtol=1e-9)
    np.testing.assert_allclose([rows[k].model_error / ELO for k in range(players)], oracle.model[:players], rtol=1e-9)
    for k, coefficient in enumerate(fit.coefficients):
        assert coefficient.value == pytest.approx(oracle.v[players + k], abs=2e-11)
        assert coefficient.error == pytest.approx(oracle.sandwich[players + k], rel=1e-9)
        assert coefficient.model_error == pytest.approx(oracle.model[players + k], rel=1e-9)
    if davidson:
        assert math.log(fit.tie_strength) == pytest.approx(oracle.v[-1], abs=2e-11)
    assert fit.log_likelihood == pytest.approx(oracle.likelihood(oracle.v), rel=1e-12)
    unit = np.zeros(len(oracle.v))
    unit[[3, 5]] = 1, -1
    contrast = fit.contrast(3, 5)
    assert contrast.error / ELO == pytest.approx(math.sqrt(unit @ oracle.covariance @ unit), rel=1e-9)
    assert contrast.difference == pytest.approx(fit[3] - fit[5], abs=1e-9)


def test_agrees_with_evalica() -> None:
    i, j, score = matches(20_000, 30, seed=1)
    winners = [evalica.Winner.X if s == 1 else evalica.Winner.Y if s == 0 else evalica.Winner.Draw for s in score]
    theirs = evalica.bradley_terry(i.tolist(), j.tolist(), winners, tolerance=1e-13, limit=10_000).scores
    logs = np.log([theirs[k] for k in range(30)])
    fit = fl.BradleyTerry().fit(i, j, score)
    np.testing.assert_allclose([fit.strengths[k] for k in range(30)], logs - logs.mean(), rtol=0, atol=1e-9)


def test_agrees_with_choix() -> None:
    choix = pytest.importorskip("choix")
    i, j, score = matches(3000, 12, seed=2, draws=0.0)
    wins = np.zeros((12, 12))
    np.add.at(wins, (np.where(score == 1, i, j), np.where(score == 1, j, i)), 1)
    fit = fl.BradleyTerry().fit(i, j, score)
    theirs = choix.ilsr_pairwise_dense(wins, tol=1e-12)
    np.testing.assert_allclose([fit.strengths[k] for k in range(12)], theirs - theirs.mean(), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("players", "n"), [(300, 40_000), (900, 30_000)], ids=["Cholesky", "conjugate gradients"])
def test_many_players_solve_the_likelihood_equations(players: int, n: int) -> None:
    i, j, score = matches(n, players, seed=3)
    fit = fl.BradleyTerry().fit(i, j, score)
    strength = np.array([fit.strengths[k] for k in range(players)])
    residual = score - 1 / (1 + np.exp(strength[j] - strength[i]))
    left = np.bincount(i, residual, players) - np.bincount(j, residual, players)
    assert np.abs(left).max() < 1e-8
    assert fit.affected == {}


def test_conjugate_gradients_agree_with_the_oracle_with_everything_on() -> None:
    players, n = 405, 9000  # more parameters than are factored
    i, j, score = matches(n, players, seed=4)
    rng = np.random.default_rng(5)
    x, weight = np.column_stack([np.ones(n), rng.normal(0, 1, n)]), rng.random(n) + 0.5
    fit = fl.BradleyTerry(ties="davidson").fit(i, j, score, weight, covariates=x)
    strength = np.array([fit.strengths[k] for k in range(players)])
    v = np.r_[strength, [c.value for c in fit.coefficients], math.log(fit.tie_strength)]
    single = object.__new__(Oracle)
    single.s, single.davidson, single.n, single.w = score, True, players, weight
    single.x = np.zeros((n, players + 2))
    single.x[np.arange(n), i] += 1
    single.x[np.arange(n), j] -= 1
    single.x[:, players:] = x
    assert np.abs(single.gradient(v)).max() < 1e-7


def test_above_the_dense_limit_contrasts_are_exact_and_errors_close() -> None:
    players, n = 2100, 60_000
    i, j, score = matches(n, players, seed=6)
    fit = fl.BradleyTerry().fit(i, j, score)
    strength = np.array([fit.strengths.get(k, 0.0) for k in range(players)])
    p = 1 / (1 + np.exp(strength[j] - strength[i]))
    assert not fit.exact_errors
    information, squares = np.full((players, players), 1 / players), np.zeros((players, players))
    for matrix, value in ((information, p * (1 - p)), (squares, (score - p) ** 2)):
        for a, b, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
            np.add.at(matrix, (a, b), sign * value)
    inverse = np.linalg.inv(information) - 1 / players
    covariance = inverse @ squares @ inverse
    contrast = fit.contrast(7, 8)
    assert contrast.error / ELO == pytest.approx(
        math.sqrt(covariance[7, 7] + covariance[8, 8] - 2 * covariance[7, 8]), rel=1e-6
    )
    assert contrast.model_error / ELO == pytest.approx(
        math.sqrt(inverse[7, 7] + inverse[8, 8] - 2 * inverse[7, 8]), rel=1e-6
    )
    rows = fit.rows()
    off = np.array([row.error / ELO / math.sqrt(covariance[row.player, row.player]) for row in rows]) - 1
    assert np.sqrt((off**2).mean()) < 0.05
    off = np.array([row.model_error / ELO / math.sqrt(inverse[row.player, row.player]) for row in rows]) - 1
    assert np.sqrt((off**2).mean()) < 0.05


# --- what any matches must give ---------------------------------------------------------------------------------------

few = st.lists(
    st.tuples(st.integers(0, 6), st.integers(0, 6), st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.0])).filter(
        lambda match: match[0] != match[1]
    ),
    min_size=1,
    max_size=40,
)


def fitted(played: list[tuple[int, int, float]], **settings: Any) -> fl.BradleyTerryRatings:
    i, j, score = (list(column) for column in zip(*played, strict=True))
    return fl.BradleyTerry(**settings).fit(i, j, score)


@given(few, st.sampled_from(["half", "davidson"]))
def test_anything_gets_an_answer_without_nan(played: list[tuple[int, int, float]], ties: Any) -> None:
    fit = fitted(played, ties=ties)
    who = {k for i, j, _ in played for k in (i, j)}
    assert set(fit) == who
    for row in fit.rows():
        assert math.isfinite(row.rating)
        assert 0 < row.error < math.inf
        assert row.lower < row.rating < row.upper
        assert 1 <= row.best_rank <= row.rank <= row.worst_rank <= len(who)
    for interval in ("model", "bootstrap"):
        for row in fit.rows(interval):
            assert not math.isnan(row.lower)
            assert not math.isnan(row.upper)


@given(few)
def test_players_are_affected_just_where_the_maximum_is_infinite(played: list[tuple[int, int, float]]) -> None:
    fit = fitted(played)
    beats = np.eye(7, dtype=bool)  # reaches by "won or drew against"
    for i, j, score in played:
        beats[i, j] |= score > 0
        beats[j, i] |= score < 1
    for _ in range(7):
        beats = beats | ((beats.astype(int) @ beats.astype(int)) > 0)
    mutual = beats & beats.T
    either = beats | beats.T
    for _ in range(7):
        either = either | ((either.astype(int) @ either.astype(int)) > 0)
    assert {frozenset(c) for c in fit.components} == {frozenset(np.flatnonzero(either[k]).tolist()) for k in set(fit)}
    for component in fit.components:
        ok = [k for k in component if k not in fit.affected]
        largest = max(int(mutual[k].sum()) for k in component)
        assert len(ok) == (largest if largest > 1 else 0)
        for k in component:
            assert (k in fit.affected) == (not (ok and mutual[k, ok[0]]))
        centre = ok or component
        assert np.mean([fit[k] for k in centre]) == pytest.approx(1500, abs=1e-6)
    for k, status in fit.affected.items():
        points = [score if i == k else 1 - score for i, j, score in played if k in (i, j)]
        assert (status == "undefeated") == (min(points) == 1)
        assert (status == "winless") == (max(points) == 0)


@given(few, st.randoms(use_true_random=False))
def test_order_and_sides_do_not_matter(played: list[tuple[int, int, float]], random: Any) -> None:
    other = [(j, i, 1 - score) if random.random() < 0.5 else (i, j, score) for i, j, score in played]
    random.shuffle(other)
    one, two = fitted(played), fitted(other)
    assert dict(one) == pytest.approx(dict(two), abs=1e-7)


@given(few)
def test_a_match_twice_is_a_weight_of_two(played: list[tuple[int, int, float]]) -> None:
    i, j, score = (list(column) for column in zip(*played, strict=True))
    twice = fl.BradleyTerry().fit(i * 2, j * 2, score * 2)
    weighted = fl.BradleyTerry().fit(i, j, score, [2.0] * len(i))
    assert dict(twice) == pytest.approx(dict(weighted), abs=1e-7)
    assert twice.log_likelihood == pytest.approx(weighted.log_likelihood, rel=1e-9, abs=1e-9)


def test_every_level_gives_the_same(level: str) -> None:
    i, j, score = matches(3000, 45, seed=8)
    fit = fl.BradleyTerry().fit(i, j, score)
    assert _core.simd_ran() == level
    rounds, rows = fit.bootstrap(16, seed=3), fit.rows()
    _core.set_simd_level("scalar")
    reference = fl.BradleyTerry().fit(i, j, score)
    assert dict(fit) == pytest.approx(dict(reference), abs=1e-9)
    np.testing.assert_allclose(rounds, reference.bootstrap(16, seed=3), rtol=0, atol=1e-5)
    for mine, theirs in zip(rows, reference.rows(), strict=True):
        assert mine.error == pytest.approx(theirs.error, rel=1e-10)


def test_real_votes_and_leagues(shared_data: Path) -> None:
    votes = pd.read_parquet(shared_data / "pairwise" / "llmfao_dev.parquet")
    score = votes.winner.map({"left": 1.0, "right": 0.0, "tie": 0.5})
    fit = fl.BradleyTerry().fit(votes.model_a, votes.model_b, score)
    winner = {"left": evalica.Winner.X, "right": evalica.Winner.Y, "tie": evalica.Winner.Draw}
    theirs = evalica.bradley_terry(
        list(votes.model_a), list(votes.model_b), [winner[w] for w in votes.winner], tolerance=1e-13, limit=10_000
    ).scores
    logs = np.log(theirs)
    for model, value in (logs - logs.mean()).items():
        assert fit.strengths[model] == pytest.approx(value, abs=1e-8)
    games = pd.read_parquet(shared_data / "pairwise" / "sports538_dev.parquet")
    score = games.outcome.map({"team1": 1.0, "team2": 0.0, "tie": 0.5})
    for league, season in games.groupby("league"):
        fit = fl.BradleyTerry().fit(
            season.team1, season.team2, score[season.index], covariates={"home": np.ones(len(season))}
        )
        assert len(fit) == len({*season.team1, *season.team2}), league
        assert all(math.isfinite(row.error) for row in fit.rows()), league
