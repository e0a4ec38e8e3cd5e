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


def rate_all(ratings: Any, events: list[tuple[Any, Any, float]]) -> Any:
    update = ratings.update
    for a, b, s in events:
        update(a, b, s)
    return ratings


def newcomers(names: list[str]) -> fl.Elo:
    ratings = fl.Elo(k=32)
    for name in names:
        ratings.id(name)
    return ratings


def elo_one_event(n: int) -> Iterator[Row]:
    """One match after the other from a Python loop, whose own time is in all numbers alike."""
    i, j, score = matches(n, 100)
    names = [f"player {p}" for p in range(100)]
    by_id = list(zip(i.tolist(), j.tolist(), score.tolist(), strict=True))
    by_name = [(names[a], names[b], s) for a, b, s in by_id]
    few = max(n // 20, 1)

    def plain() -> list[float]:
        ratings = [1500.0] * 100
        for a, b, s in by_id:
            change = 32.0 * (s - 1.0 / (1.0 + 10.0 ** ((ratings[b] - ratings[a]) / 400.0)))
            ratings[a] += change
            ratings[b] -= change
        return ratings

    def plain_names() -> dict[str, float]:
        ratings = dict.fromkeys(names, 1500.0)
        for a, b, s in by_name:
            change = 32.0 * (s - 1.0 / (1.0 + 10.0 ** ((ratings[b] - ratings[a]) / 400.0)))
            ratings[a] += change
            ratings[b] -= change
        return ratings

    peers: dict[str, Run] = {"plain Python": plain}
    few_work: dict[str, int] = {}
    numba = peer("numba")
    if numba is not None:

        @numba.njit
        def step(ratings: Any, a: int, b: int, s: float) -> None:
            change = 32.0 * (s - 1.0 / (1.0 + 10.0 ** ((ratings[b] - ratings[a]) / 400.0)))
            ratings[a] += change
            ratings[b] -= change

        def compiled_step() -> None:
            ratings = np.full(100, 1500.0)
            for a, b, s in by_id[: n // 4]:
                step(ratings, a, b, s)

        peers["numba, one call a match"] = compiled_step
        few_work["numba, one call a match"] = n // 4
    riix = peer("riix.models.elo")
    if riix is not None:
        pairs, outcome = np.stack([i, j], axis=1)[:few], score[:few]

        def riix_events() -> None:
            system = riix.Elo(competitors=names)
            for k in range(few):
                system.iterative_update(pairs[k : k + 1], outcome[k : k + 1])

        peers["riix"] = riix_events
        few_work["riix"] = few
    elote = peer("elote")
    if elote is not None:

        def elote_events() -> None:
            players = [elote.EloCompetitor(initial_rating=1500, k_factor=32) for _ in range(100)]
            for a, b, s in by_id[:few]:
                if s == 0.5:
                    players[a].tied(players[b])
                else:
                    players[a if s else b].beat(players[b if s else a])

        peers["elote"] = elote_events
        few_work["elote"] = few
    skelo = peer("skelo.model.elo")
    if skelo is not None:

        def skelo_events() -> None:
            model = skelo.EloModel(default_k=32).build(names)
            for k, (a, b, s) in enumerate(by_name[:few]):
                model.update(a if s else b, b if s else a, k)  # it knows no draws

        peers["skelo"] = skelo_events
        few_work["skelo"] = few

    by_hand = plain_names()
    named = rate_all(fl.Elo(k=32), by_name)
    named_error = max(abs(named[name] - rating) for name, rating in by_hand.items())
    error = np.abs(rate_all(newcomers(names), by_id).ratings() - np.array(plain())).max()
    yield Row(
        "Elo, one event from Python, by id",
        "ns/match",
        n,
        lambda: rate_all(newcomers(names), by_id),
        peers,
        f"{error:.1e} points (plain Python)",
        "<= 30 ns",
        few_work,
    )
    yield Row(
        "Elo, one event from Python, by name",
        "ns/match",
        n,
        lambda: rate_all(fl.Elo(k=32), by_name),
        {"plain Python, dict": plain_names},
        f"{named_error:.1e} points (plain Python)",
        "<= 40 ns",
    )


def elo_batch(n: int, players: int) -> Iterator[Row]:
    i, j, score = matches(n, players)
    names = [f"player {p}" for p in range(players)]
    listed = [names[p] for p in i.tolist()], [names[p] for p in j.tolist()]
    rules = {"initial": 1500.0, "base": 10.0, "scale": 400.0, "k": 32.0}
    part = n // 10
    arrays: dict[str, Run] = {}
    lists: dict[str, Run] = {}
    work = {"evalica, lists of str": part, "evalica, lists of int": part, "evalica, arrays": part}
    error = "-"

    rated = newcomers(names)

    def ours() -> None:
        rated.update_many(i, j, score)  # on and on: as much work each time

    def ours_listed() -> fl.Elo:
        ratings = fl.Elo(k=32)
        ratings.update_many(*listed, score)
        return ratings

    evalica = peer("evalica")
    if evalica is not None:
        kinds = (evalica.Winner.Draw, evalica.Winner.X, evalica.Winner.Y)
        outcome = [kinds[w] for w in np.where(score == 1.0, 1, np.where(score == 0.0, 2, 0)).tolist()]
        some = outcome[:part]
        xs, ys, index = evalica.indexing(i.tolist(), j.tolist())
        some_index = evalica.indexing(i[:part].tolist(), j[:part].tolist())[2]
        ints = i[:part].tolist(), j[:part].tolist()
        texts = listed[0][:part], listed[1][:part]
        weights = np.ones(n)

        def core() -> Any:
            # What the public function calls once the names are turned into numbers.
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

        arrays["evalica, its Rust core alone"] = core
        arrays["evalica, arrays"] = lambda: evalica.elo(i[:part], j[:part], some, index=some_index, **rules)
        lists["evalica, lists of int"] = lambda: evalica.elo(*ints, some, **rules)
        lists["evalica, lists of str"] = lambda: evalica.elo(*texts, some, **rules)
        scores = evalica.elo(i, j, outcome, index=index, **rules).scores
        mine = newcomers(names)
        mine.update_many(i, j, score)
        error = f"{max(abs(scores[p] - mine[names[p]]) for p in scores.index):.1e} points (evalica)"
    numba = peer("numba")
    if numba is not None:

        @numba.njit
        def loop(i: Any, j: Any, score: Any, players: int) -> Any:
            ratings = np.full(players, 1500.0)
            for k in range(len(i)):
                a, b = i[k], j[k]
                change = 32.0 * (score[k] - 1.0 / (1.0 + 10.0 ** ((ratings[b] - ratings[a]) / 400.0)))
                ratings[a] += change
                ratings[b] -= change
            return ratings

        arrays["numba loop"] = lambda: loop(i, j, score, players)
    riix = peer("riix.models.elo")
    if riix is not None:
        few = n // 50
        pairs = np.stack([i, j], axis=1)[:few]
        arrays["riix"] = lambda: riix.Elo(competitors=names).iterative_update(pairs, score[:few])
        work["riix"] = few

    yield Row(f"Elo, batch of int32 arrays, {players:,} players", "ns/match", n, ours, arrays, error, "<= 4 ns", work)
    bar = "<= 60 ns" if players <= 100 else "<= 120 ns"
    yield Row(f"Elo, batch of lists of str, {players:,} players", "ns/match", n, ours_listed, lists, error, bar, work)


def elo_columns(n: int) -> Iterator[Row]:
    """The same matches as dictionary-encoded columns, and with the probabilities that were expected."""
    i, j, score = matches(n, 100)
    names = [f"player {p}" for p in range(100)]
    polars = peer("polars")
    if polars is not None:
        kind = polars.Enum(names)
        first, second = (polars.Series([names[p] for p in side.tolist()], dtype=kind) for side in (i, j))
        yield Row(
            "Elo, batch of polars Enum columns",
            "ns/match",
            n,
            lambda: fl.Elo(k=32).update_many(first, second, score),
        )
    ratings = newcomers(names)
    out = np.empty(n)

    def predict_then_rate() -> Any:
        expected = np.empty(part)
        values = np.full(100, 1500.0)
        for k, (a, b, s) in enumerate(zip(*some, strict=True)):
            expected[k] = p = 1.0 / (1.0 + 10.0 ** ((values[b] - values[a]) / 400.0))
            values[a] += 32.0 * (s - p)
            values[b] -= 32.0 * (s - p)
        return expected

    part = n // 20
    some = i[:part].tolist(), j[:part].tolist(), score[:part].tolist()
    yield Row(
        "Elo, batch with the expected scores",
        "ns/match",
        n,
        lambda: ratings.rate(i, j, score, out=out),
        {"plain Python": predict_then_rate},
        peer_work={"plain Python": part},
    )


def rows(size: Size) -> Iterator[Row]:
    yield from elo_one_event(size.scaled(200_000))
    yield from elo_batch(size.scaled(1_000_000), 100)
    yield from elo_batch(size.scaled(1_000_000), 10_000)
    yield from elo_columns(size.scaled(1_000_000))
