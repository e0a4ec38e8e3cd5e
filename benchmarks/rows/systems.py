"""Glicko-2, Weng-Lin and TrueSkill beside their peers, and sweeps of Elo parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer, that_runs
from rows.ratings import matches

import fairlead as fl

PLAYERS = 100


def known(make: Callable[[], Any]) -> Any:
    ratings = make()
    for player in range(PLAYERS):
        ratings.id(str(player))
    return ratings


def riix(cls: str, module: str, events: list[Any], **options: Any) -> dict[str, Run]:
    """One of riix's systems, which rates arrays of matches one by one."""
    models = peer(f"riix.models.{module}")
    if models is None:
        return {}
    pairs = np.array([(a, b) for a, b, _ in events])
    scores = np.array([s for _, _, s in events])

    def run() -> Any:
        ratings = getattr(models, cls)([str(p) for p in range(PLAYERS)], update_method="iterative", **options)
        ratings.iterative_update(pairs, scores, time_step=0)
        return ratings

    return that_runs("riix", run, f"riix {cls}")


def both(
    name: str,
    n: int,
    make: Callable[[], Any],
    peers: Callable[[list[Any]], dict[str, Run]],
    slow: int,
    error: str,
    bar: str,
) -> Iterator[Row]:
    """A batch, and one event after the other from Python, beside peers that rate `slow` of the matches."""
    i, j, score = matches(n, PLAYERS)
    events = list(zip(i.tolist(), j.tolist(), score.tolist(), strict=True))
    their_runs = peers(events[:slow])
    fewer = dict.fromkeys(their_runs, slow)

    def batch() -> Any:
        ratings = known(make)
        ratings.update_many(i, j, score)
        return ratings

    def one_by_one() -> Any:
        update = known(make).update
        for a, b, s in events[: n // 5]:
            update(a, b, s)

    yield Row(f"{name}, batch of int32 arrays", "ns/match", n, batch, their_runs, error, bar, peer_work=fewer)
    yield Row(f"{name}, one event from Python", "ns/match", n // 5, one_by_one, their_runs, error, peer_work=fewer)


def glicko2(n: int) -> Iterator[Row]:
    def peers(events: list[Any]) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        package = peer("glicko2")
        if package is not None:

            def pairs() -> Any:
                players = [package.Player() for _ in range(PLAYERS)]
                for a, b, s in events:
                    first, second = players[a], players[b]
                    before = [first.getRating()], [first.getRd()]
                    first.update_player([second.getRating()], [second.getRd()], [s])
                    second.update_player(*before, [1 - s])
                return players

            runs["glicko2"] = pairs
        elote = peer("elote")
        if elote is not None:

            def competitors() -> Any:
                players = [elote.Glicko2Competitor() for _ in range(PLAYERS)]
                for a, b, s in events:
                    if s == 0.5:
                        players[a].tied(players[b])
                    else:
                        (players[a] if s == 1 else players[b]).beat(players[b] if s == 1 else players[a])
                return players

            runs["elote"] = competitors
        return {**runs, **riix("Glicko2", "glicko2", events, tau=0.5)}

    ratings = fl.Glicko2()
    ratings.set_state("player", rating=1500, deviation=200)
    for name, rating, deviation in [("a", 1400, 30), ("b", 1550, 100), ("c", 1700, 300)]:
        ratings.set_state(name, rating=rating, deviation=deviation)
    ratings.update_period(["player"] * 3, ["a", "b", "c"], [1.0, 0.0, 0.0])
    exact = {"rating": 1464.0506705391, "deviation": 151.5165241243, "volatility": 0.0599959844}
    error = max(abs(ratings.state("player")[name] - x) for name, x in exact.items())
    yield from both(
        "Glicko-2", n, fl.Glicko2, peers, max(n // 500, 1), f"{error:.0e} of the exact example", "120 ns/match in C++"
    )


def glicko2_periods(n: int) -> Row:
    """Periods of 1,000 games each."""
    i, j, score = matches(n, PLAYERS)
    games = 1_000
    peers: dict[str, Run] = {}
    error = "-"
    fewer = max(n // 10, games)

    def ours() -> Any:
        ratings = known(fl.Glicko2)
        for start in range(0, n, games):
            part = slice(start, start + games)
            ratings.update_period(i[part], j[part], score[part])
        return ratings

    models = peer("riix.models.glicko2")
    if models is not None:
        pairs = np.stack([i, j], axis=1)[:fewer]

        def batched() -> Any:
            ratings = models.Glicko2([str(p) for p in range(PLAYERS)], update_method="batched", tau=0.5)
            for step, start in enumerate(range(0, fewer, games)):
                part = slice(start, start + games)
                ratings.batched_update(pairs[part], score[:fewer][part], time_step=step)
            return ratings

        peers |= that_runs("riix, batched", batched, "riix Glicko2, batched")
    return Row(
        "Glicko-2, periods of 1,000 games", "ns/match", n, ours, peers, error, peer_work=dict.fromkeys(peers, fewer)
    )


def weng_lin(n: int) -> Iterator[Row]:
    models = peer("openskill.models")

    def peers(events: list[Any]) -> dict[str, Run]:
        theirs_too = riix("WengLin", "weng_lin", events, model="bt")
        if models is None:
            return theirs_too
        model = models.BradleyTerryFull()

        def theirs() -> Any:
            players = [model.rating() for _ in range(PLAYERS)]
            for a, b, s in events:
                ranks = [1, 1] if s == 0.5 else [2 - s, 1 + s]
                (players[a],), (players[b],) = model.rate([[players[a]], [players[b]]], ranks=ranks)
            return players

        return {"openskill": theirs, **theirs_too}

    few = max(n // 500, 1)
    error = "-"
    i, j, score = matches(n, PLAYERS)
    runs = peers(list(zip(i[:few].tolist(), j[:few].tolist(), score[:few].tolist(), strict=True)))
    if "openskill" in runs:
        mine = known(fl.WengLin)
        mine.update_many(i[:few], j[:few], score[:few])
        theirs = runs["openskill"]()
        error = f"{max(abs(mine[str(p)] - theirs[p].mu) for p in range(PLAYERS)):.0e} of openskill"
    yield from both("Weng-Lin", n, fl.WengLin, peers, few, error, "12 ns/match in C++")

    m, contests = 8, max(n // 100, 1)
    rng = np.random.default_rng(3)
    groups = [rng.permutation(PLAYERS)[:m].astype(np.int32) for _ in range(contests)]
    ranks = [rng.integers(0, m, m).astype(float) for _ in range(contests)]

    def contest() -> Any:
        ratings = known(lambda: fl.WengLin(rule="plackett_luce"))
        for players, rank in zip(groups, ranks, strict=True):
            ratings.contest(players, rank)
        return ratings

    contest_peers: dict[str, Run] = {}
    their_contests = max(contests // 20, 1)
    if models is not None:
        model = models.PlackettLuce()

        def their_contest() -> Any:
            players = [model.rating() for _ in range(PLAYERS)]
            for group, rank in zip(groups[:their_contests], ranks, strict=False):
                after = model.rate([[players[p]] for p in group], ranks=rank.tolist())
                for p, team in zip(group, after, strict=True):
                    players[p] = team[0]
            return players

        contest_peers["openskill"] = their_contest
    yield Row(
        "Plackett-Luce, contest of 8 from Python",
        "ns/contest",
        contests,
        contest,
        contest_peers,
        peer_work=dict.fromkeys(contest_peers, their_contests),
    )


def true_skill(n: int) -> Iterator[Row]:
    package = peer("trueskill")

    def peers(events: list[Any]) -> dict[str, Run]:
        theirs_too = riix("TrueSkill", "trueskill", events, draw_probability=0.1)
        if package is None:
            return theirs_too
        env = package.TrueSkill()

        def theirs() -> Any:
            players = [env.create_rating() for _ in range(PLAYERS)]
            for a, b, s in events:
                if s == 0:
                    players[b], players[a] = package.rate_1vs1(players[b], players[a], env=env)
                else:
                    players[a], players[b] = package.rate_1vs1(players[a], players[b], drawn=s == 0.5, env=env)
            return players

        return {"trueskill": theirs, **theirs_too}

    few = max(n // 2_000, 1)
    error = "-"
    i, j, score = matches(n, PLAYERS)
    runs = peers(list(zip(i[:few].tolist(), j[:few].tolist(), score[:few].tolist(), strict=True)))
    if "trueskill" in runs:
        mine = known(fl.TrueSkill)
        mine.update_many(i[:few], j[:few], score[:few])
        theirs = runs["trueskill"]()
        gap = max(abs(mine[str(p)] - theirs[p].mu) for p in range(PLAYERS))
        error = f"{gap:.0e} of trueskill, whose erfc is good to 1e-7"
    yield from both("TrueSkill", n, fl.TrueSkill, peers, few, error, "22 ns/match in C++")


def sweep(n: int, sets: int) -> Row:
    """Unit: one match of one set. Log-loss and Brier score are part of our work, but not of that of the peers."""
    i, j, score = matches(n, PLAYERS)
    k = np.linspace(8, 64, sets)
    few = min(sets, 4)

    def ours() -> Any:
        return fl.sweep(i, j, score, k=k, players=PLAYERS)

    def one_at_a_time() -> Any:
        out = []
        for value in k[:few]:
            ratings = fl.Elo(k=value)
            for player in range(PLAYERS):
                ratings.id(str(player))
            ratings.update_many(i, j, score)
            out.append(ratings.ratings())
        return out

    error = f"{np.abs(ours().ratings[:few] - one_at_a_time()).max():.0e} points of Elo"
    peers: dict[str, Run] = {"fairlead.Elo, one set at a time": one_at_a_time}
    work = {"fairlead.Elo, one set at a time": n * few}
    evalica = peer("evalica")
    if evalica is not None:
        winners = [(evalica.Winner.Y, evalica.Winner.Draw, evalica.Winner.X)[round(2 * s)] for s in score.tolist()]
        _, _, index = evalica.indexing(i.tolist(), j.tolist())

        def theirs() -> Any:
            return evalica.elo(i, j, winners, index=index, initial=1500.0, k=float(k[0]))

        peers["evalica, one set at a time"] = theirs
        work["evalica, one set at a time"] = n
    name = f"sweep, {sets} sets of Elo parameters"
    return Row(name, "ns/update", n * sets, ours, peers, error, "0.67 (1.5 G updates/s)", peer_work=work)


def rows(size: Size) -> Iterator[Row]:
    n = size.scaled(1_000_000)
    yield from glicko2(n // 2)
    yield glicko2_periods(n // 2)
    yield from weng_lin(n // 2)
    yield from true_skill(n // 2)
    for sets in (8, 64):
        yield sweep(n // 10, sets)
