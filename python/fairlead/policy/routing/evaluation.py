"""`evaluate_routers`: fits routers on some prompts of a table and judges them on others, as the papers do."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fairlead.policy.prompt_model import LinearPromptModel
from fairlead.policy.routing.agreement import Agreement, AgreementRow
from fairlead.policy.routing.routers import ROUTERS
from fairlead.policy.routing.scores import CallCurve, CostCurve, hull
from fairlead.policy.routing.table import RoutingTable

__all__ = ["AgreementScore", "RouterScore", "RoutingReport", "SingleModel", "evaluate_routers"]

_Array = np.ndarray[Any, np.dtype[np.float64]]
_Split = tuple[Any, Any]
_GRID = 101
_SINGLES = "single models"


@dataclass(frozen=True, slots=True)
class SingleModel:
    """One model for all prompts: its mean quality, and the mean cost of a call (NaN: not known)."""

    name: str
    quality: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class RouterScore:
    """One router. score: APGR or AIQ, the mean over the splits; low, high: 95 % of it over resampled prompts.

    half: two models: the share of calls to the strong one at which half the gap is recovered; more: its quality at half
    the cost of the best single model, in units of that model's quality.
    """

    name: str
    score: float
    low: float
    high: float
    half: float


@dataclass(frozen=True, slots=True)
class AgreementScore:
    """Agreement-else-escalate on prompts held out: quality and cost in units of the best single model's; what `chance`
    said on the prompts of the fit, and what came."""

    name: str
    quality: float
    cost: float
    rules: tuple[str, ...]
    said: tuple[float, float]
    came: tuple[AgreementRow, AgreementRow]


@dataclass(frozen=True)
class RoutingReport:
    """What `evaluate_routers` found. `metric` is "APGR" (two models) or "AIQ"; `curves` are for the picture: by router,
    shares of calls to the strong model, or USD a thousand calls, and the mean quality there."""

    metric: str
    prompts: int
    protocol: str
    singles: tuple[SingleModel, ...]
    routers: tuple[RouterScore, ...]
    agreement: tuple[AgreementScore, ...] = ()
    curves: dict[str, tuple[_Array, _Array]] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> RouterScore:
        for router in self.routers:
            if router.name == name:
                return router
        raise KeyError(f"there is no router {name!r}; there are {[router.name for router in self.routers]}")

    def as_dict(self) -> dict[str, Any]:
        """Everything but the curves, as plain Python."""
        return {
            "metric": self.metric,
            "prompts": self.prompts,
            "protocol": self.protocol,
            "singles": [asdict(model) for model in self.singles],
            "routers": [asdict(router) for router in self.routers],
            "agreement": [asdict(score) for score in self.agreement],
        }

    def __str__(self) -> str:
        last = "calls for half the gap" if self.metric == "APGR" else "quality at half the cost"
        out = [f"{self.prompts:,} prompts, {len(self.singles)} models; {self.protocol}", ""]
        out.append(f"{'router':16} {self.metric:>7}   95 %            {last}")
        out += [f"{r.name:16} {r.score:7.4f}   {r.low:.4f} - {r.high:.4f}   {_percent(r.half)}" for r in self.routers]
        out += ["", f"{'model':34} {'quality':>7}   USD a 1,000 calls"]
        for m in self.singles:
            out.append(
                f"{m.name:34} {m.quality:7.4f}   {'-' if math.isnan(m.cost_usd) else f'{1000 * m.cost_usd:.4f}'}"
            )
        for a in self.agreement:
            out += [
                "",
                f"{a.name}: {_percent(a.quality)} of the best model's quality at {_percent(a.cost)} of its cost",
            ]
            out.append(f"  {a.rules[0]}" + (f" (and {len(a.rules) - 1} like it)" if len(a.rules) > 1 else ""))
            out.append("  cheap models   prompts   chance said   came: first   second   strong")
            for said, row in zip(a.said, a.came, strict=True):
                if row.n:
                    came = f"{row.first:11.3f}   {row.second:6.3f}   {row.strong:6.3f}"
                    out.append(f"  {'agreed' if row.agreed else 'differed':12} {row.n:9,}   {said:11.3f}   {came}")
            if not a.came[0].n + a.came[1].n:
                out.append("  none: on no prompt was a second cheap model worth its cost")
        return "\n".join(out)


def evaluate_routers(
    table: RoutingTable,
    *,
    labels: int | None = None,
    folds: int = 5,
    repeats: int = 4,
    seed: int = 0,
    bootstrap: int = 200,
    budget: float = 0.45,
) -> RoutingReport:
    """Judges the routers of fairlead, the set mean, the length, chance and the oracle on prompts they were not fitted
    to.

    Two models: APGR over shares of calls to the better one, as in RouteLLM. More: AIQ over costs between those of the
    cheapest and the dearest model, as in RouterBench, with the hull of the single models; and agreement-else-escalate,
    its rule chosen on the prompts of the fit to cost at most `budget` of the best model.

    labels: fit on so many prompts drawn at random and judge on the rest, `repeats` times; without it, `folds`-fold
    cross-validation. seed: of what is drawn. bootstrap: how often prompts are drawn anew for the intervals, which hold
    for these prompts' like, the fits as they are.

    Raises ValueError for an option outside its range, TableError if there are more than two models and no costs.
    """
    from fairlead.errors import TableError

    n, pair = len(table), len(table.models) == 2
    for name, value, least, most in (
        ("labels", labels if labels is not None else 1, 1, n - 1),
        ("folds", folds, 2, n),
        ("repeats", repeats, 1, 1000),
        ("bootstrap", bootstrap, 0, 10_000),
    ):
        if not least <= value <= most:
            raise ValueError(f"{name} is {value!r}, outside [{least}, {most}]")
    if not pair and table.cost_usd is None:
        raise TableError("there are more than two models and no costs: give prices, or columns MODEL|total_cost")
    dice = np.random.default_rng(seed)
    splits: list[_Split] = []
    if labels is not None:
        for _ in range(repeats):
            order = dice.permutation(n)
            splits.append((order[:labels], order[labels:]))
        protocol = f"fitted on {labels:,}, judged on the rest, {repeats} times"
    else:
        order = dice.permutation(n)
        splits = [(np.delete(order, slice(k, None, folds)), order[k::folds]) for k in range(folds)]
        protocol = f"{folds}-fold cross-validation"
    drawn = dice.multinomial(n, np.full(n, 1.0 / n), size=bootstrap).astype(float)
    means = table.quality.mean(axis=0)
    costs = np.full(len(means), np.nan) if table.cost_usd is None else table.cost_usd.mean(axis=0)
    order = np.argsort(-means, kind="stable")
    singles = tuple(SingleModel(table.models[m], float(means[m]), float(costs[m])) for m in order)
    names = [name for name in ROUTERS if name != "set mean" or len(set(table.sets)) > 1]
    parts = [(table.take(train), table.take(test), test) for train, test in splits]
    expected = _Expectations()
    judge = _judge_pair if pair else _judge_many
    routers, curves = judge(parts, names, drawn, expected)
    agreement = () if pair or len(table.models) < 3 else _agreement(parts, budget, expected)
    metric = "APGR" if pair else "AIQ"
    return RoutingReport(metric, n, protocol, singles, tuple(routers), agreement, curves)


class _Expectations:
    """What routers expect of the prompts of a split; each is fitted once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], _Array] = {}

    def __call__(self, name: str, train: RoutingTable, test: RoutingTable) -> _Array:
        key = name, id(test)
        if key not in self._known:
            self._known[key] = ROUTERS[name](train, test)
        return self._known[key]


_Parts = list[tuple[RoutingTable, RoutingTable, Any]]
_Judged = tuple[list[RouterScore], dict[str, tuple[_Array, _Array]]]


def _judge_pair(parts: _Parts, names: list[str], drawn: _Array, expected: _Expectations) -> _Judged:
    grid = np.linspace(0.0, 1.0, _GRID)
    routers, curves = [], {}
    for name in names:
        found = []
        for train, test, _ in parts:
            weak, strong = np.argsort(train.quality.mean(axis=0), kind="stable")
            said = expected(name, train, test)
            better = said[:, strong] - said[:, weak]
            found.append(CallCurve(better, test.quality[:, weak], test.quality[:, strong]))
        score = float(np.mean([curve.apgr() for curve in found]))
        half = float(np.mean([curve.calls_for(0.5) for curve in found]))
        again = [
            np.mean([curve.apgr(w[test]) for curve, (_, _, test) in zip(found, parts, strict=True)]) for w in drawn
        ]
        routers.append(RouterScore(name, score, *_interval(again, score), half))
        heights = [np.interp(grid, *curve.curve()) for curve in found]
        curves[name] = (grid, np.mean(heights, axis=0))
    return routers, curves


def _judge_many(parts: _Parts, names: list[str], drawn: _Array, expected: _Expectations) -> _Judged:
    routers, curves = [], {}
    tests = [test for _, test, _ in parts]
    ends = [_ends(test, None) for test in tests]
    low, high = np.mean(ends, axis=0)
    grid = np.linspace(low, high, _GRID)
    for name in [*names, _SINGLES]:
        found = [_cost_curve(name, train, test, expected) for train, test, _ in parts]
        scores = [curve.aiq(*end) for curve, end in zip(found, ends, strict=True)]
        half = [_at_half(curve, train, test) for curve, (train, test, _) in zip(found, parts, strict=True)]
        again = [
            np.mean([curve.aiq(*_ends(test, w[at]), w[at]) for curve, (_, test, at) in zip(found, parts, strict=True)])
            for w in drawn
        ]
        score = float(np.mean(scores))
        routers.append(RouterScore(name, score, *_interval(again, score), float(np.mean(half))))
        lines = [hull(curve.points()) for curve in found]
        curves[name] = (1000 * grid, np.mean([np.interp(grid, line[:, 0], line[:, 1]) for line in lines], axis=0))
    return routers, curves


def _cost(table: RoutingTable) -> _Array:
    assert table.cost_usd is not None
    return table.cost_usd


def _cost_curve(name: str, train: RoutingTable, test: RoutingTable, expected: _Expectations) -> CostCurve:
    assumed = _cost(train).mean(axis=0)
    if name == _SINGLES:
        return CostCurve.singles(_cost(test), test.quality)
    if name == "random":  # between the cheapest and the best model
        two = [int(assumed.argmin()), int(train.quality.mean(axis=0).argmax())]
        return CostCurve.singles(_cost(test)[:, two], test.quality[:, two])
    return CostCurve.sweep(expected(name, train, test), _cost(test), test.quality, assumed)


def _ends(table: RoutingTable, weights: _Array | None) -> tuple[float, float]:
    costs = np.average(_cost(table), axis=0, weights=weights)
    return float(costs.min()), float(costs.max())


def _at_half(curve: CostCurve, train: RoutingTable, test: RoutingTable) -> float:
    best = int(train.quality.mean(axis=0).argmax())
    return curve.quality_at(float(_cost(test)[:, best].mean()) / 2) / float(test.quality[:, best].mean())


def _interval(scores: Any, score: float) -> tuple[float, float]:
    known = [x for x in scores if not math.isnan(x)]  # where both models were equally good, there is no gap to recover
    if not known:
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _agreement(parts: _Parts, budget: float, expected: _Expectations) -> tuple[AgreementScore, ...]:
    out = []
    for name in ("agreement", "agreement + linear"):
        quality, cost, best_quality, best_cost = [], [], [], []
        rules, rows, said = [], [], []
        for train, test, _ in parts:
            inside = outside = None
            if name != "agreement":
                inside, outside = _inside(train), expected("linear", train, test)
            try:
                rule = Agreement.fit(
                    train.quality, _cost(train), train.models, expected=inside, agree=_agree(train), budget=budget
                )
            except ValueError:  # no two models are that much cheaper than the best one
                return ()
            q, c, *told = rule.run(test.quality, _cost(test), test.models, expected=outside, agree=_agree(test))
            best = int(train.quality.mean(axis=0).argmax())
            quality.append(q.mean())
            cost.append(c.mean())
            best_quality.append(test.quality[:, best].mean())
            best_cost.append(_cost(test)[:, best].mean())
            rules.append(str(rule))
            rows.append(told)
            said.append((rule.chance(True), rule.chance(False)))
        came = [_pooled([told[k] for told in rows]) for k in range(2)]
        ratio = float(np.sum(quality) / np.sum(best_quality)), float(np.sum(cost) / np.sum(best_cost))
        mean_said = (float(np.mean([s[0] for s in said])), float(np.mean([s[1] for s in said])))
        out.append(AgreementScore(name, *ratio, tuple(dict.fromkeys(rules)), mean_said, (came[0], came[1])))
    return tuple(out)


def _inside(train: RoutingTable) -> _Array:
    """What the linear model expects of the prompts of the fit, by models that did not see them."""
    out = np.empty(train.quality.shape)
    for k in range(3):
        rest = train.take(np.delete(np.arange(len(train)), slice(k, None, 3)))
        part = LinearPromptModel.fit(rest.texts, rest.quality, rest.models, penalty=2.0, folds=0)
        out[k::3] = part.predict_many(train.texts[k::3])
    return out


def _agree(table: RoutingTable) -> Any:
    return None if table.answers is None else table.answers[:, :, None] == table.answers[:, None, :]


def _pooled(rows: list[AgreementRow]) -> AgreementRow:
    n = sum(row.n for row in rows)
    means = [
        sum(getattr(row, which) * row.n for row in rows if row.n) / n if n else math.nan
        for which in ("first", "second", "strong")
    ]
    return AgreementRow(rows[0].agreed, n, *means)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.1f} %"
