"""Ratings: one event from Python, batches, fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

import fairlead as fl


def matches(n: int, players: int) -> tuple[Any, Any, Any]:
    """n matches between players of different strength, a tenth of them draws."""
    rng = np.random.default_rng(7)
    i = rng.integers(0, players, n).astype(np.int32)
    j = ((i + rng.integers(1, players, n)) % players).astype(np.int32)
    strength = rng.normal(0, 1, players)
    win = rng.random(n) < 1 / (1 + np.exp(strength[j] - strength[i]))
    score = np.where(rng.random(n) < 0.1, 0.5, win.astype(float))
    return i, j, score


def elo_one_event(n: int) -> Row:
    i, j, score = matches(n, 100)
    events = list(zip(i.tolist(), j.tolist(), score.tolist(), strict=True))

    def ours() -> fl.Elo:
        ratings = fl.Elo(k=32)
        for p in range(100):
            ratings.id(str(p))
        update = ratings.update
        for a, b, s in events:
            update(a, b, s)
        return ratings

    def plain() -> list[float]:
        ratings = [1500.0] * 100
        for a, b, s in events:
            change = 32.0 * (s - 1.0 / (1.0 + 10.0 ** ((ratings[b] - ratings[a]) / 400.0)))
            ratings[a] += change
            ratings[b] -= change
        return ratings

    error = np.abs(ours().ratings() - np.array(plain())).max()
    return Row(
        "Elo, one event from Python",
        "ns/match",
        n,
        ours,
        {"plain Python": plain},
        f"{error:.1e} points",
    )


def elo_batch(n: int) -> Row:
    i, j, score = matches(n, 100)

    def ours() -> fl.Elo:
        ratings = fl.Elo(k=32)
        for p in range(100):
            ratings.id(str(p))
        ratings.update_many(i, j, score)
        return ratings

    peers: dict[str, Run] = {}
    error = "-"
    evalica = peer("evalica")
    if evalica is not None:
        winners = np.where(score == 1.0, 1, np.where(score == 0.0, 2, 0))
        outcome = [(evalica.Winner.Draw, evalica.Winner.X, evalica.Winner.Y)[w] for w in winners.tolist()]
        xs, ys, index = evalica.indexing(i.tolist(), j.tolist())
        rules = {"initial": 1500.0, "base": 10.0, "scale": 400.0, "k": 32.0}

        def theirs() -> Any:
            return evalica.elo(i, j, outcome, index=index, **rules)

        def their_core() -> Any:
            # What the public function calls once the names are turned into numbers.
            weights = np.ones(n)
            return evalica._brzo.elo(
                xs=xs,
                ys=ys,
                winners=outcome,
                weights=weights,
                total=len(index),
                win_weight=1.0,
                tie_weight=0.5,
                **rules,
            )

        peers["evalica, arrays"] = theirs
        peers["evalica, its Rust core alone"] = their_core
        scores = theirs().scores
        mine = ours()
        error = f"{max(abs(scores[p] - mine[str(p)]) for p in range(100)):.1e} points"
    return Row("Elo, batch of int32 arrays", "ns/match", n, ours, peers, error)


def rows(size: Size) -> Iterator[Row]:
    yield elo_one_event(size.scaled(200_000))
    yield elo_batch(size.scaled(1_000_000))
