"""What a cascade would have reached on a record: accuracy against cost, judged on tasks it has not learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from typing import Any

import numpy as np

from fairlead.errors import TableError
from fairlead.policy.cascade.evidence import Evidence
from fairlead.policy.cascade.plan import Followed, Plan, follow, walk

__all__ = ["STOPS", "CascadeCurve", "CurvePoint", "FixedChoice", "cascade_curve"]

_Array = np.ndarray[Any, np.dtype[np.float64]]
_Ints = np.ndarray[Any, np.dtype[np.intp]]

STOPS = (0.005, 0.01, 0.02, 0.03, 0.035, 0.04, 0.045, 0.05, 0.06, 0.07, 0.08, 0.1, 0.15, 0.2, 0.3)
"""Stop probabilities of a curve."""
_TRIED = STOPS[2:10]  # of those that are chosen from
_INNER = 5  # parts of the tasks that are learned from, on which panel and stop are chosen
_MARGIN = 0.94  # of the budget, as what was cheap enough on some tasks costs more on others
_BEST = 8  # models that pairs are made of
_NEWEST = 2000  # tasks that are chosen on


@dataclass(frozen=True, slots=True)
class FixedChoice:
    """One that is made for all tasks: a model, or a pool of all. accuracy: on all tasks; where nobody answers, a task
    counts as wrong. answered: the accuracy where there was an answer."""

    name: str
    accuracy: float
    answered: float
    cost_usd: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """A stop probability: accuracy, mean USD and models a task; said and came: the mean chance, as stated when it
    stopped, that all who were left would have changed the decision, and how often they would; NaN: nobody knows."""

    stop: float
    accuracy: float
    cost_usd: float
    asked: float
    said: float
    came: float


@dataclass(frozen=True)
class CascadeCurve:
    """Accuracy against cost. Prints as a table; `picture()` is an SVG.

    points: for each stop probability, by falling cost, with everybody in the panel. chosen: the cascade whose panel and
    stop probability were chosen on other tasks than it is judged on, to cost at most `budget` of the best single model.
    singles and pools: fixed choices, the best first. oracle: who knows the right model, at the price of the cheapest.
    """

    tasks: int
    protocol: str
    budget: float
    points: tuple[CurvePoint, ...]
    chosen: CurvePoint
    panels: tuple[str, ...]
    singles: tuple[FixedChoice, ...]
    pools: tuple[FixedChoice, ...]
    oracle: FixedChoice
    calibration: tuple[tuple[float, float, int], ...] = field(default=())
    """Stated chance of a change, how often it came, and tasks, by bins."""

    @property
    def best(self) -> FixedChoice:
        """The most accurate fixed choice; of equal ones the cheapest."""
        return min((*self.singles, *self.pools), key=lambda c: (-c.accuracy, c.cost_usd))

    @property
    def cheapest(self) -> FixedChoice:
        """The cheapest model."""
        return min(self.singles, key=lambda c: c.cost_usd)

    @property
    def of_accuracy(self) -> float:
        """The chosen cascade's accuracy, in units of the best fixed choice's."""
        return self.chosen.accuracy / self.best.accuracy if self.best.accuracy else math.nan

    @property
    def of_cost(self) -> float:
        """Its cost, likewise."""
        return self.chosen.cost_usd / self.best.cost_usd if self.best.cost_usd else math.nan

    def picture(self) -> str:
        """The curve as one SVG file that stands on its own."""
        from fairlead.policy.cascade.picture import draw

        return draw(self)

    def as_dict(self) -> dict[str, Any]:
        """Everything, as plain Python; NaN where nothing is known."""
        return {
            **asdict(self),
            "best": asdict(self.best),
            "of_accuracy": self.of_accuracy,
            "of_cost": self.of_cost,
        }

    def __str__(self) -> str:
        best = self.best
        out = [
            f"{self.tasks:,} tasks, {len(self.singles)} models; {self.protocol}",
            "",
            f"cascade: {100 * self.of_accuracy:.1f} % of the accuracy of {best.name} at {100 * self.of_cost:.1f} % of "
            f"its cost ({', '.join(self.panels)})",
            "",
            f"{'':32} {'accuracy':>8}   USD a 1,000 tasks   asked   change said   came",
        ]

        def line(name: str, accuracy: float, cost: float, more: str = "") -> str:
            return f"{name:32} {accuracy:8.4f}   {1000 * cost:17.4f}{more}"

        def point(name: str, p: CurvePoint) -> str:
            said, came = ("-" if math.isnan(x) else f"{x:.3f}" for x in (p.said, p.came))
            return line(name, p.accuracy, p.cost_usd, f"   {p.asked:5.2f}   {said:>11}   {came:>5}")

        out.append(point(f"chosen (stop {self.chosen.stop:.3g})", self.chosen))
        out += [point(f"stop {p.stop:g}", p) for p in self.points]
        out += [line(c.name, c.accuracy, c.cost_usd) for c in (*self.singles, *self.pools, self.oracle)]
        return "\n".join(out)


def cascade_curve(
    p: Any,
    cost_usd: Any,
    outcome: Any,
    models: Sequence[str],
    *,
    budget: float = 0.5,
    folds: int = 10,
    prequential: bool = False,
    pools: Mapping[str, Any] | None = None,
    stops: Sequence[float] = STOPS,
    seed: int = 0,
) -> CascadeCurve:
    """What a cascade would have reached on n yes-no tasks whose answers and outcomes are known.

    p: (n, M), the probability of yes, NaN where a call failed or nobody asked. cost_usd: (n, M), of each call, 0 where
    there was none. outcome: (n,) of 0 and 1. models: M names. pools: further fixed choices, as probabilities (n,) that
    cost what all answers do; the mean of all is one of them anyway. budget: what the chosen cascade may cost, in units
    of the best single model. folds: parts of the tasks: each is judged by what was learned from the others
    (cross-validated), or, with `prequential`, from those before it, of tasks that are then given in the order of time;
    of these the first part is only learned from. seed: of the draw of the parts.

    A decision is yes where its probability is above 1/2. Deterministic.

    Raises TableError for shapes that differ, numbers outside their range, and too few tasks.
    """
    answers, cost, y = np.asarray(p, dtype=float), np.asarray(cost_usd, dtype=float), np.asarray(outcome, dtype=float)
    n = len(answers)
    if answers.ndim != 2 or answers.shape[1] != len(models) or not len(models):
        raise TableError(f"p has shape {answers.shape}, must be (tasks, {len(models)})")
    for name, value, shape in (("cost_usd", cost, answers.shape), ("outcome", y, (n,))):
        if value.shape != shape:
            raise TableError(f"{name} has shape {value.shape}, must be {shape}")
    if len(models) > 62:
        raise TableError(f"models has {len(models)} entries, may have 62")
    if not ((answers >= 0) & (answers <= 1) | np.isnan(answers)).all():
        raise TableError("p has a number outside [0, 1]")
    if not ((cost >= 0) & (cost < np.inf)).all():
        raise TableError("cost_usd has a number that is negative, infinite or NaN")
    if not np.isin(y, (0.0, 1.0)).all():
        raise TableError("outcome has a number that is neither 0 nor 1")
    if not 2 <= folds <= n // 4:
        raise TableError(f"there are {n} tasks, too few for {folds} parts: 4 a part are needed")
    if not budget > 0:
        raise TableError(f"budget is {budget!r}, must be above 0")
    yes = y == 1
    if prequential:
        blocks = np.array_split(np.arange(n), folds)
        parts = [(np.arange(block[0]), block) for block in blocks[1:]]
        protocol = f"each of {folds - 1} parts judged by what was learned from the tasks before it"
    else:
        order = np.random.default_rng(seed).permutation(n)
        parts = [(np.sort(np.delete(order, slice(k, None, folds))), np.sort(order[k::folds])) for k in range(folds)]
        protocol = f"{folds}-fold cross-validation"
    everybody = (1 << len(models)) - 1
    swept: list[list[Followed]] = [[] for _ in stops]
    chosen: list[Followed] = []
    picked: list[tuple[int, float]] = []
    for train, test in parts:
        known = _Known(answers[train], cost[train], yes[train])
        for out, stop in zip(swept, stops, strict=True):
            out.append(follow(known.plan(everybody, stop), answers[test], cost[test]))
        picked.append(_pick(known, _TRIED, budget * _MARGIN))
        chosen.append(follow(known.plan(*picked[-1]), answers[test], cost[test]))
    at = np.concatenate([test for _, test in parts])
    points = [_point(stop, out, yes[at]) for stop, out in zip(stops, swept, strict=True)]
    own = _point(float(np.mean([stop for _, stop in picked])), chosen, yes[at])
    panels = dict.fromkeys(" + ".join(models[m] for m in range(len(models)) if panel >> m & 1) for panel, _ in picked)
    fixed = _fixed(answers[at], cost[at], yes[at], models, {k: np.asarray(v)[at] for k, v in (pools or {}).items()})
    return CascadeCurve(
        len(at),
        protocol,
        budget,
        tuple(sorted(points, key=lambda point: -point.cost_usd)),
        own,
        tuple(panels),
        *fixed,
        calibration=_calibration([part for out in swept for part in out]),
    )


class _Known:
    """What is learned from some tasks."""

    def __init__(self, p: _Array, cost: _Array, yes: Any) -> None:
        self.p, self.cost, self.yes = p, cost, yes
        evidence = Evidence(p.shape[1], half_life=None)
        evidence.add_many(p, yes)
        self.law = evidence.law()
        right = ((p > 0.5) == yes[:, None]) & ~np.isnan(p)
        self.best = int(right.mean(axis=0).argmax())
        self.order = [int(m) for m in np.argsort(-right.mean(axis=0), kind="stable")]
        calls = np.maximum((cost > 0).sum(axis=0), 1)
        price = cost.sum(axis=0) / calls
        self.unit = float(price[self.best]) or float(price.max()) or 1.0
        self.price = np.maximum(price, 1e-9 * self.unit)

    def plan(self, panel: int, stop: float) -> Plan:
        return Plan(self.law, self.price, panel, stop, self.unit)


def _pick(known: _Known, stops: Sequence[float], budget: float) -> tuple[int, float]:
    """The panel and the stop probability that were best within the budget on the tasks that are learned from, each part
    judged by the others: by log-loss, which tells more than hits do. Of panels: everybody, and pairs; small ones are
    cheap, and have little to get wrong. The cheapest, where nothing is within the budget."""
    n, models = known.p.shape
    if n > _NEWEST:
        return _pick(_Known(known.p[-_NEWEST:], known.cost[-_NEWEST:], known.yes[-_NEWEST:]), stops, budget)
    everybody = (1 << models) - 1
    panels = [everybody]
    if models > 2:
        panels += [1 << a | 1 << b for a, b in combinations(sorted(known.order[:_BEST]), 2)]
    fits = []
    for k in range(min(_INNER, n)):
        test = np.arange(k, n, _INNER)
        train = np.delete(np.arange(n), test)
        fits.append((_Known(known.p[train], known.cost[train], known.yes[train]), test))
    most = budget * float(known.cost[:, known.best].sum())
    found: list[tuple[bool, float, int, float]] = []
    for panel in panels:
        for stop in stops:
            paid = loss = 0.0
            for part, test in fits:
                log_odds, cost, _, _ = walk(part.plan(panel, stop), known.p[test], known.cost[test])
                paid += float(cost.sum())
                loss += float(np.logaddexp(0.0, -np.where(known.yes[test], log_odds, -log_odds)).sum())
            found.append((paid <= most, -loss if paid <= most else -paid, panel, stop))
    _, _, panel, stop = max(found, key=lambda item: item[:2])
    return panel, stop


def _point(stop: float, parts: Sequence[Followed], yes: Any) -> CurvePoint:
    log_odds, cost, asked, said, came = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("log_odds", "cost_usd", "asked", "said", "came")
    )
    right = (log_odds > 0) == yes
    return CurvePoint(stop, *(float(x.mean()) for x in (right, cost, asked, said, came)))


def _fixed(
    p: _Array, cost: _Array, yes: Any, models: Sequence[str], pools: Mapping[str, _Array]
) -> tuple[tuple[FixedChoice, ...], tuple[FixedChoice, ...], FixedChoice]:
    there = ~np.isnan(p)
    right = ((p > 0.5) == yes[:, None]) & there
    singles = [
        FixedChoice(
            name,
            float(right[:, m].mean()),
            float(right[there[:, m], m].mean()) if there[:, m].any() else math.nan,
            float(cost[:, m].mean()),
        )
        for m, name in enumerate(models)
    ]
    count = there.sum(axis=1)
    mean = np.where(there, p, 0.0).sum(axis=1) / np.maximum(count, 1)
    everything = float(cost.sum(axis=1).mean())
    pooled = []
    for name, q in {"mean of all": np.where(count > 0, mean, np.nan), **pools}.items():
        known = ~np.isnan(q)
        hit = ((q > 0.5) == yes) & known
        pooled.append(
            FixedChoice(name, float(hit.mean()), float(hit[known].mean()) if known.any() else math.nan, everything)
        )
    knows = right.any(axis=1)
    paid = np.where(knows, np.where(right, cost, np.inf).min(axis=1), cost.min(axis=1))
    oracle = FixedChoice("oracle", float(knows.mean()), float(knows.mean()), float(paid.mean()))
    best_first = [tuple(sorted(group, key=lambda c: (-c.accuracy, c.cost_usd))) for group in (singles, pooled)]
    return best_first[0], best_first[1], oracle


def _calibration(parts: Sequence[Followed], bins: int = 5) -> tuple[tuple[float, float, int], ...]:
    said = np.concatenate([part.said for part in parts])
    came = np.concatenate([part.came for part in parts])
    order = np.argsort(said, kind="stable")
    return tuple(
        (float(said[at].mean()), float(came[at].mean()), len(at)) for at in np.array_split(order, bins) if len(at)
    )
