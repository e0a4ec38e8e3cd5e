"""Bradley-Terry: the fit, the fit with all standard errors, bootstraps, and many players."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer
from rows.ratings import matches

import fairlead as fl

SOME = 20_000
"""Matches for peers that would take minutes."""


def wins(i: Any, j: Any, score: Any, players: int) -> Any:
    """How often each player beat each other, a draw being half of one."""
    table = np.zeros((players, players))
    np.add.at(table, (i, j), score)
    np.add.at(table, (j, i), 1.0 - score)
    return table


def largest_residual(i: Any, j: Any, score: Any, strength: Any) -> float:
    """How far the likelihood equations are from 0, over single matches, as a part of the games of a player."""
    residual = score - 1.0 / (1.0 + np.exp(strength[j] - strength[i]))
    left = np.bincount(i, residual, len(strength)) - np.bincount(j, residual, len(strength))
    games = np.bincount(i, minlength=len(strength)) + np.bincount(j, minlength=len(strength))
    return float(np.abs(left / games).max())


def strengths(fit: fl.BradleyTerryRatings, players: int) -> Any:
    return np.array([fit.strengths[k] for k in range(players)])


def logistic(i: Any, j: Any, score: Any, players: int) -> Run | None:
    """What FastChat does: pairs summed in numpy, then a logistic regression of scipy."""
    optimize = peer("scipy.optimize")
    if optimize is None:
        return None

    def run() -> Any:
        low, high = np.minimum(i, j).astype(np.int64), np.maximum(i, j)
        points = np.where(i < j, score, 1.0 - score)
        pair, back = np.unique(low * players + high, return_inverse=True)
        games, won = np.bincount(back), np.bincount(back, points)
        a, b = pair // players, pair % players

        def loss(v: Any) -> tuple[float, Any]:
            eta = v[a] - v[b]
            residual = won - games / (1.0 + np.exp(-eta))
            gradient = np.bincount(b, residual, players) - np.bincount(a, residual, players)
            return float((games * np.logaddexp(0.0, eta) - won * eta).sum()), gradient

        return optimize.minimize(loss, np.zeros(players), jac=True, method="L-BFGS-B", options={"gtol": 1e-6}).x

    return run


def evalica_fit(i: Any, j: Any, score: Any) -> Run | None:
    evalica = peer("evalica")
    if evalica is None:
        return None
    outcome = {1.0: evalica.Winner.X, 0.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    winners = [outcome[s] for s in score.tolist()]
    first, second = i.tolist(), j.tolist()
    _, _, index = evalica.indexing(first, second)
    return lambda: evalica.bradley_terry(i, j, winners, index=index)


def one_fit(n: int) -> Row:
    players = 100
    i, j, score = matches(n, players)
    model = fl.BradleyTerry()
    peers: dict[str, Run] = {}
    if (theirs := evalica_fit(i, j, score)) is not None:
        peers["evalica, arrays"] = theirs
    choix = peer("choix")
    if choix is not None:
        peers["choix, dense I-LSR"] = lambda: choix.ilsr_pairwise_dense(wins(i, j, score, players))
    if (scipy := logistic(i, j, score, players)) is not None:
        peers["numpy and scipy L-BFGS"] = scipy
    error = largest_residual(i, j, score, strengths(model.fit(i, j, score), players))
    return Row(
        "Bradley-Terry, 100 players",
        "ns/match",
        n,
        lambda: model.fit(i, j, score),
        peers,
        f"{error:.0e} of a game",
        "1M matches in 2 ms",
    )


def with_errors(n: int) -> Row:
    players = 100
    i, j, score = matches(n, players)
    model = fl.BradleyTerry()

    def independent() -> Any:
        """The same numbers by numpy: both matrices, a pseudo-inverse, two products."""
        strength = strengths(model.fit(i, j, score), players)
        p = 1.0 / (1.0 + np.exp(strength[j] - strength[i]))
        matrices = []
        for value in (p * (1.0 - p), (score - p) ** 2):
            flat = np.bincount(i.astype(np.int64) * players + j, value, players * players).reshape(players, players)
            flat = flat + flat.T
            matrices.append(np.diag(flat.sum(0)) - flat)
        inverse = np.linalg.pinv(matrices[0])
        return np.sqrt(np.diag(inverse @ matrices[1] @ inverse)) * 400 / np.log(10)

    rows = {row.player: row.error for row in model.fit(i, j, score).rows()}
    theirs = independent()
    error = max(abs(rows[k] / theirs[k] - 1.0) for k in range(players))
    return Row(
        "Bradley-Terry, sandwich errors, intervals and rank sets of 100 players",
        "ns/match",
        n,
        lambda: model.fit(i, j, score).rows(),
        {"numpy pinv, given our fit": independent},
        f"{error:.0e} relative",
        "fit .66 + .33 ms, errors .36 ms of 1M",
    )


def bootstraps(n: int) -> Row:
    players, rounds = 100, 100
    i, j, score = matches(n, players)
    fit = fl.BradleyTerry().fit(i, j, score)
    peers: dict[str, Run] = {}
    rng = np.random.default_rng(1)
    rows = rng.integers(0, SOME, SOME)
    if (theirs := evalica_fit(i[rows], j[rows], score[rows])) is not None:
        peers["evalica, one round of 20,000 matches"] = theirs
    if (scipy := logistic(i[rows], j[rows], score[rows], players)) is not None:
        peers["numpy and scipy L-BFGS, one round of 20,000 matches"] = scipy
    spread = fit.bootstrap(400).std(axis=0)
    sandwich = np.array([{row.player: row.error for row in fit.rows()}[k] for k in range(players)])
    return Row(
        "Bradley-Terry, 100 bootstraps of 100 players",
        "ns/match drawn",
        n * rounds,
        lambda: fit.bootstrap(rounds),
        peers,
        f"spread {np.mean(spread / sandwich):.3f} of the sandwich",
        "1M matches, 100 rounds in 30 ms",
        dict.fromkeys(peers, SOME),
    )


def many_players(n: int) -> Row:
    players = 10_000
    i, j, score = matches(n, players)
    model = fl.BradleyTerry()
    fit = model.fit(i, j, score)
    peers: dict[str, Run] = {}
    if (scipy := logistic(i, j, score, players)) is not None:
        peers["numpy and scipy L-BFGS"] = scipy
    error = f"{largest_residual(i, j, score, strengths(fit, players)):.0e} of a game" if not fit.affected else "-"
    return Row(
        "Bradley-Terry, 10,000 players",
        "ns/match",
        n,
        lambda: model.fit(i, j, score),
        peers,
        error,
        "1M matches in 100 ms",
    )


def rows(size: Size) -> Iterator[Row]:
    yield one_fit(size.scaled(1_000_000))
    yield with_errors(size.scaled(1_000_000))
    yield bootstraps(size.scaled(1_000_000))
    yield many_players(size.scaled(1_000_000))
