"""Many forecasts into one: pools of 8 models, batch and per event, and mixtures that learn."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from harness import Row, Run, Size, peer

import fairlead as fl

EVENT = [0.62, 0.71, 0.55, 0.8, 0.66, 0.49, 0.74, 0.69]


def worst(ours: Any, oracle: Any) -> str:
    return f"{np.abs(np.asarray(ours) - np.asarray(oracle)).max():.0e}"


def events(n: int, weighted: bool) -> Row:
    """The log pool of 8 probabilities of one event: the logistic function of the (weighted) mean log-odds."""
    rng = np.random.default_rng(7)
    p = rng.uniform(0.01, 0.99, (n, 8))
    w = rng.random(8) if weighted else None
    share = np.full(8, 1 / 8) if w is None else w / w.sum()

    def ours() -> Any:
        return fl.pool_binary(p, "log", weights=w)

    def with_numpy() -> Any:
        return 1 / (1 + np.exp(-(np.log(p / (1 - p)) @ share)))

    peers: dict[str, Run] = {"numpy": with_numpy}
    if (special := peer("scipy.special")) is not None:
        peers["scipy logit/expit"] = lambda: special.expit(special.logit(p) @ share)
        peers["scipy logsumexp"] = lambda: np.exp(np.log(p) @ share - special.logsumexp(both(p, share), axis=0))
    if w is None and (stats := peer("scipy.stats")) is not None:
        peers["scipy gmean"] = lambda: 1 / (1 + 1 / stats.gmean(p / (1 - p), axis=1))
    name = "Log pool of 8 probabilities" + (", weighted" if weighted else "")
    return Row(name, "ns/task", n, ours, peers, worst(ours(), with_numpy()), "9 ns on a Zen 5 core")


def both(p: Any, share: Any) -> Any:
    return np.stack([np.log(p) @ share, np.log(1 - p) @ share])


def classes(n: int) -> Row:
    p = np.random.default_rng(7).dirichlet(np.ones(3), (n, 8))

    def ours() -> Any:
        return fl.pool(p, "log")

    def with_numpy() -> Any:
        z = np.exp(np.log(np.maximum(p, 1e-3)).mean(axis=1))
        return z / z.sum(axis=1, keepdims=True)

    peers: dict[str, Run] = {"numpy": with_numpy}
    if (special := peer("scipy.special")) is not None:
        peers["scipy softmax"] = lambda: special.softmax(np.log(np.maximum(p, 1e-3)).mean(axis=1), axis=1)
    return Row("Log pool of 8 models, 3 classes", "ns/task", n, ours, peers, worst(ours(), with_numpy()))


def middles(n: int, method: str) -> Row:
    p = np.random.default_rng(8).random((n, 8))

    options = {"trim": 0.125} if method == "trimmed" else {}

    def ours() -> Any:
        return fl.pool_binary(p, method, **options)

    def with_numpy() -> Any:
        return np.median(p, axis=1) if method == "median" else np.sort(p, axis=1)[:, 1:7].mean(axis=1)

    peers: dict[str, Run] = {"numpy": with_numpy}
    if method == "trimmed":
        if (stats := peer("scipy.stats")) is not None:
            peers["scipy trim_mean"] = lambda: stats.trim_mean(p, 0.125, axis=1)
    elif (bottleneck := peer("bottleneck")) is not None:
        peers["bottleneck"] = lambda: bottleneck.median(p, axis=1)
    return Row(f"{method.capitalize()} of 8 probabilities", "ns/task", n, ours, peers, worst(ours(), with_numpy()))


def votes(n: int) -> Row:
    """One label a model: the winner by majority."""
    labels = np.random.default_rng(9).integers(0, 2, (n, 8))
    p = labels.astype(float)

    def ours() -> Any:
        return fl.pool_binary(p, "vote")

    peers: dict[str, Run] = {"numpy": lambda: p.mean(axis=1)}
    crowd, pandas = peer("crowdkit.aggregation"), peer("pandas")
    few = min(n, 2_000)
    if crowd is not None and pandas is not None:
        answers = pandas.DataFrame(
            {"task": np.repeat(np.arange(few), 8), "worker": np.tile(np.arange(8), few), "label": labels[:few].ravel()}
        )
        peers["crowd-kit"] = lambda: crowd.MajorityVote().fit_predict_proba(answers)
    error = worst(ours(), p.mean(axis=1))
    return Row("Vote of 8 models", "ns/task", n, ours, peers, error, peer_work={"crowd-kit": few})


def one_event(calls: int) -> Row:
    """A call an event, from a list of 8 floats."""
    each = range(calls)
    pool = fl.pool_binary
    as_array = np.array(EVENT)

    def ours() -> None:
        for _ in each:
            pool(EVENT, "log")

    def plain() -> None:
        for _ in each:
            by_hand()

    def with_numpy() -> None:
        for _ in each:
            1 / (1 + np.exp(-np.log(as_array / (1 - as_array)).mean()))

    peers: dict[str, Run] = {"plain Python": plain, "numpy": with_numpy}
    few = min(calls, 1_000)
    if (squigglepy := peer("squigglepy")) is not None:

        def theirs() -> None:
            for _ in range(few):
                squigglepy.geomean_odds(EVENT)

        peers["squigglepy"] = theirs
    name, bar = "Log pool of 8, a call an event", "90 ns on a Zen 5 core"
    return Row(name, "ns/call", calls, ours, peers, worst(pool(EVENT, "log"), by_hand()), bar, {"squigglepy": few})


def by_hand() -> float:
    log, odds = math.log, 0.0
    for p in EVENT:
        odds += log(p / (1.0 - p))
    return 1.0 / (1.0 + math.exp(-odds / 8))


def mixture(rounds: int, rule: str) -> Row:
    """Rounds of 8 experts, square loss by its gradient: forecast, then learn. The peers are this rule in numpy and, for
    exponential weights of a given rate, river's."""
    rng = np.random.default_rng(10)
    y = rng.random(rounds)
    x = np.clip(y[:, None] + rng.normal(0, 1, (rounds, 8)) * np.linspace(0.1, 0.8, 8), 0, 1)
    options = {"eta": 0.5} if rule == "Hedge" else {}

    def ours() -> Any:
        return getattr(fl, rule)(8, **options).run(x, y)[0]

    few = min(rounds, 2_000)

    def with_numpy() -> Any:
        gain, variance, reach = np.zeros(8), np.zeros(8), np.zeros(8)
        w, out = np.full(8, 1 / 8), np.empty(few)
        for t in range(few):
            row = x[t]
            out[t] = forecast = w @ row
            r = 2 * (forecast - y[t]) * (forecast - row)
            if rule == "Hedge":
                gain += r
                z = 0.5 * gain
            elif rule == "BOA":
                variance += r * r
                reach = np.maximum(reach, np.abs(r))
                power = 2.0 ** np.ceil(np.log2(reach))
                eta = np.minimum(1 / power, np.sqrt(np.log(8) / variance))
                gain += (r - eta * r * r + power * (eta * r > 0.5)) / 2
                z = np.log(eta) + eta * gain
            else:
                gain += r
                variance += r * r
                reach[:] = max(reach[0], np.abs(r).max())
                w = np.maximum(gain, 0) / (reach**2 + variance)
                w = w / w.sum() if w.any() else np.full(8, 1 / 8)
                continue
            w = np.exp(z - z.max())
            w /= w.sum()
        return out

    peers: dict[str, Run] = {"numpy": with_numpy}
    if rule == "Hedge" and peer("river.ensemble") is not None:
        peers["river"] = with_river(x[:few], y[:few])
    error = worst(ours()[:few], with_numpy())
    name = f"{rule} of 8 experts, in a batch"
    return Row(name, "ns/round", rounds, ours, peers, error, peer_work=dict.fromkeys(peers, few))


def with_river(x: Any, y: Any) -> Run:
    """EWARegressor over models that give one expert's forecast each: this rule on the loss itself, not its gradient."""
    from river import base, ensemble

    class Column(base.Regressor):  # type: ignore[misc]
        def __init__(self, k: int = 0) -> None:
            self.k = k

        def predict_one(self, x: Any) -> float:
            return float(x[self.k])

        def learn_one(self, x: Any, y: Any) -> None:
            pass

    given = [(dict(enumerate(row)), outcome) for row, outcome in zip(x.tolist(), y.tolist(), strict=True)]

    def run() -> None:
        regressor = ensemble.EWARegressor([Column(k) for k in range(8)], learning_rate=0.5)
        for row, outcome in given:
            regressor.learn_predict_one(row, outcome)

    return run


def rows(size: Size) -> Iterator[Row]:
    yield events(size.scaled(100_000), weighted=False)
    yield events(size.scaled(100_000), weighted=True)
    yield classes(size.scaled(100_000))
    yield middles(size.scaled(100_000), "median")
    yield middles(size.scaled(100_000), "trimmed")
    yield votes(size.scaled(100_000))
    yield one_event(size.scaled(20_000))
    for rule in ("Hedge", "BOA", "MLPoly"):
        yield mixture(size.scaled(50_000), rule)
