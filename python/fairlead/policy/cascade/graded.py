"""The cost curve on prompts whose answers nobody has, only how good each of them was."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fairlead.errors import TableError
from fairlead.policy.cascade.curve import STOPS, CascadeCurve, CurvePoint, FixedChoice
from fairlead.policy.routing.table import RoutingTable

__all__ = ["graded_curve"]

_Array = np.ndarray[Any, np.dtype[np.float64]]
_SHRINK = 10.0  # prompts that the overall mean counts as, in the mean of a set
_MARGIN = 0.95


def graded_curve(
    table: RoutingTable,
    *,
    expected: Any = "linear",
    budget: float = 0.5,
    folds: int = 5,
    stops: Sequence[float] = STOPS,
    seed: int = 0,
) -> CascadeCurve:
    """What a cascade would have reached on a table of prompts, where the quality of each answer is known and its words
    are not.

    Whether two answers agree cannot be told. The worst is assumed: right ones agree, and so do wrong ones, so that two
    answers that differ leave it open which is right, and the one that was expected to be better is taken. Then a
    second answer adds nothing that asking its model at once would not have, for less; so the first one is the last, and
    the cascade is the choice of whom to ask: whose expected quality, less `stop` times its price in units of the best
    model's, is highest. Where wrong answers do differ, agreement is evidence, and more could be had.

    expected: "linear" (`LinearPromptModel`), "sets" (means of the table's sets, shrunk towards those of all), or
    "linear + sets", the mean of both; or an array (prompts, models) of qualities, expected without knowing these
    prompts. Each part is judged by what was learned on the others, and by a stop probability that was chosen there.

    What others would have said is not known either, so no chance of a change is stated.

    Raises TableError where the table has no costs, and ValueError for another `expected`.
    """
    if table.cost_usd is None:
        raise TableError("there are no costs: give prices, or columns MODEL|total_cost")
    n = len(table)
    if not 2 <= folds <= n // 4:
        raise TableError(f"there are {n} prompts, too few for {folds} parts: 4 a part are needed")
    q, cost = table.quality, table.cost_usd
    order = np.random.default_rng(seed).permutation(n)
    tests = [np.sort(order[k::folds]) for k in range(folds)]
    e = _expected(table, expected, tests)
    chosen, swept, asked = [], [], []
    rows = np.arange(n)
    for test in tests:
        train = np.delete(rows, test)
        price = cost[train].mean(axis=0)
        best = int(q[train].mean(axis=0).argmax())
        unit = float(price[best]) or float(price.max()) or 1.0
        who = [(e - stop * price / unit).argmax(axis=1) for stop in stops]
        most = _MARGIN * budget * float(cost[train, best].sum())
        paid = [float(cost[train, w[train]].sum()) for w in who]
        inside = [k for k, usd in enumerate(paid) if usd <= most]
        good = [float(q[train, w[train]].sum()) for w in who]
        pick = max(inside, key=lambda k: good[k]) if inside else int(np.argmin(paid))
        chosen.append((stops[pick], who[pick][test]))
        swept.append([w[test] for w in who])
        asked.append(test)
    at = np.concatenate(asked)

    def point(stop: float, who: Any) -> CurvePoint:
        good, usd = float(q[at, who].mean()), float(cost[at, who].mean())
        return CurvePoint(stop, good, usd, 1.0, math.nan, math.nan)

    points = [point(stop, np.concatenate([part[k] for part in swept])) for k, stop in enumerate(stops)]
    own = point(float(np.mean([stop for stop, _ in chosen])), np.concatenate([who for _, who in chosen]))
    singles = [
        FixedChoice(name, float(q[:, m].mean()), float(q[:, m].mean()), float(cost[:, m].mean()))
        for m, name in enumerate(table.models)
    ]
    top = q.max(axis=1)
    paid_most = float(np.where(q >= top[:, None], cost, np.inf).min(axis=1).mean())
    oracle = FixedChoice("oracle", float(top.mean()), float(top.mean()), paid_most)
    told = expected if isinstance(expected, str) else "the caller"
    return CascadeCurve(
        n,
        f"{folds}-fold cross-validation; expected by: {told}; answers unknown",
        budget,
        tuple(sorted(points, key=lambda point: -point.cost_usd)),
        own,
        ("one of all",),
        tuple(sorted(singles, key=lambda c: (-c.accuracy, c.cost_usd))),
        (),
        oracle,
    )


def _expected(table: RoutingTable, expected: Any, tests: Sequence[Any]) -> _Array:
    """What is expected of each prompt by what was learned on the other parts."""
    shape = table.quality.shape
    if not isinstance(expected, str):
        given = np.asarray(expected, dtype=float)
        if given.shape != shape:
            raise ValueError(f"expected has shape {given.shape}, must be {shape}")
        return given
    made = []
    for name in expected.split(" + "):
        out = np.empty(shape)
        for test in tests:
            train = table.take(np.delete(np.arange(len(table)), test))
            if name == "linear":
                from fairlead.policy.prompt_model import LinearPromptModel

                fitted = LinearPromptModel.fit(train.texts, train.quality, train.models)
                out[test] = fitted.predict_many([table.texts[i] for i in test])
            elif name == "sets":
                overall, known = train.quality.mean(axis=0), np.array(train.sets)
                for kind in {table.sets[i] for i in test}:
                    own = train.quality[known == kind]
                    rows = [i for i in test if table.sets[i] == kind]
                    out[rows] = (own.sum(axis=0) + _SHRINK * overall) / (len(own) + _SHRINK)
            else:
                raise ValueError(f"expected is {expected!r}, must be 'linear', 'sets', 'linear + sets' or an array")
        made.append(out)
    mean: _Array = np.mean(made, axis=0)
    return mean
