"""What models cost and what that bought, by model and context."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from fairlead.measure.audit import Audit
from fairlead.measure.budget import table
from fairlead.measure.coalitions import Game, check_permutations, game, number_of_nobody, shapley
from fairlead.measure.contexts import By, by_context, checked
from fairlead.measure.money import nearest, usd_text

Attribute = Literal["contribution", "weights"]


@dataclass(frozen=True, slots=True)
class ReturnRow:
    """One model in a context, or all of them (`model` is "").

    tasks: that it answered or that cost something. cost_usd: of its calls, cost_share: of all. weight: mean over the
    tasks of the context. skill: how much of the loss of nobody's answer it took away (its Shapley value over that), a
    part of 1; skill_per_usd: over cost a task. usd_per_point: dollars a task for each hundredth of skill; infinite
    where skill is not positive, NaN where nothing was spent. profit_usd: attributed, None where no task had a profit.
    net_usd: less the cost; return_on_cost: net_usd over cost_usd, infinite or NaN where calls were free."""

    context: str
    model: str
    tasks: int
    cost_usd: float
    cost_share: float
    weight: float
    skill: float
    skill_per_usd: float
    usd_per_point: float
    profit_usd: float | None
    net_usd: float | None
    return_on_cost: float | None

    def to_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ReturnGroup:
    """One context: rows by skill a dollar, and the total of all models."""

    context: str
    tasks: int
    with_profit: int
    rows: tuple[ReturnRow, ...]
    total: ReturnRow

    def __iter__(self) -> Iterator[ReturnRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, model: str) -> ReturnRow:
        for row in self.rows:
            if row.model == model:
                return row
        raise KeyError(model)

    def __str__(self) -> str:
        money = self.with_profit > 0
        heading = ["model", "tasks", "cost", "of cost", "weight", "skill", "skill a dollar", "a point of skill costs"]
        cells = [tuple(heading + ["profit", "net", "return on cost"] * money)]
        for row in (*self.rows, self.total):
            line = [
                row.model or "all",
                f"{row.tasks:,}",
                _usd(row.cost_usd),
                _number(row.cost_share, ".1%"),
                f"{row.weight:.3f}",
                _number(row.skill, "+.2%"),
                _number(row.skill_per_usd, ",.4g"),
                _usd(row.usd_per_point),
            ]
            if money:
                line += [_usd(row.profit_usd), _usd(row.net_usd), _number(row.return_on_cost, "+,.1%")]
            cells.append(tuple(line))
        title = f"{self.context}: " if self.context else ""
        told = f", {self.with_profit:,} with a profit or loss" if money else ""
        return f"{title}{self.tasks:,} tasks{told}\n" + table(cells, left=(0,))


@dataclass(frozen=True, slots=True)
class Returns:
    """Cost and return, context by context. Prints as tables; `to_dicts` makes a DataFrame."""

    groups: tuple[ReturnGroup, ...]

    def __iter__(self) -> Iterator[ReturnGroup]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, context: str) -> ReturnGroup:
        for group in self.groups:
            if group.context == context:
                return group
        raise KeyError(context)

    def to_dicts(self) -> list[dict[str, Any]]:
        """All rows as plain dicts, the totals with an empty model."""
        return [row.to_dict() for group in self.groups for row in (*group.rows, group.total)]

    def __str__(self) -> str:
        return "\n\n".join(str(group) for group in self.groups)


def returns(
    audits: Iterable[Audit],
    by: By = None,
    *,
    attribute: Attribute = "contribution",
    baseline: float | None = None,
    permutations: int = 64,
    seed: int = 0,
) -> Returns:
    """What each model cost and what that bought: skill, and profit where outcomes have one.

    A task's profit or loss is dealt out among its models so that it sums to it: by "weights", those of the decision,
    or by "contribution", of a profit by how much each took away from the loss, of a loss by how much each added, as
    told by Shapley values; where none did, by weights. Skill is the part of the loss of nobody's answer (the uniform
    one; for numbers `baseline`, as of `contribution`) that a model took away, each kind of task by its own scale. A
    model that was paid but had no weight has cost and nothing else.

    audits: of settled tasks, as `fleet.audits()` gives them. by, permutations, seed: as of `contribution`. Costs are
    those of the tasks audited alone.

    Raises ValueError for no audits, an unknown `by` or `attribute`, TypeError for what is no Audit.

    >>> from fairlead.measure.audit import Audit
    >>> audits = [
    ...     Audit(task=f"q{i}", kind="binary", time=i, settled=i, outcome=1, profit_usd=1.0,
    ...           answers={"a": 0.9, "b": 0.6}, weights={"a": 0.75, "b": 0.25}, costs={"a": 0.04, "b": 0.01})
    ...     for i in range(10)
    ... ]
    >>> print(returns(audits, attribute="weights"))
    10 tasks, 10 with a profit or loss
    model  tasks   cost  of cost  weight    skill  skill a dollar  a point of skill costs  profit    net  return on cost
    a         10  $0.40    80.0%   0.750  +73.87%           18.47               $0.000541   $7.50  $7.10       +1,775.0%
    b         10  $0.10    20.0%   0.250  +13.87%           13.87               $0.000721   $2.50  $2.40       +2,400.0%
    all       10  $0.50   100.0%   1.000  +87.75%           17.55                $0.00057  $10.00  $9.50       +1,900.0%
    """
    audits = checked(audits)
    if attribute not in ("contribution", "weights"):
        raise ValueError(f"attribute is {attribute!r}, must be 'contribution' or 'weights'")
    check_permutations(permutations)
    random = np.random.default_rng(seed)
    nobody = number_of_nobody(audits, baseline)
    contexts: dict[str, list[_Played]] = {}
    for (_, context), found in by_context(audits, by).items():
        games = [game(a, baseline=nobody) for a in found]
        alone = float(np.mean([one.alone for one in games]))
        played = contexts.setdefault(context, [])
        for audit, one in zip(found, games, strict=True):
            took, _ = shapley(one, permutations, random)
            scale = 1.0 / alone if alone > 0 else 0.0  # no loss to take away
            gains = dict(zip(one.models, took.tolist(), strict=True))
            weights = dict(zip(one.models, (one.weights / max(one.weights.sum(), 1e-300)).tolist(), strict=True))
            played.append(_Played(audit, one, gains, weights, scale))
    return Returns(tuple(_group(context, found, attribute) for context, found in sorted(contexts.items())))


@dataclass(frozen=True, slots=True)
class _Played:
    audit: Audit
    game: Game
    took: dict[str, float]
    weights: dict[str, float]
    scale: float  # one over the mean loss of nobody's answer, of its kind


def _profit(one: _Played, attribute: Attribute) -> dict[str, float]:
    """A task's profit among its models."""
    profit = one.audit.profit_usd
    if not profit:
        return {}
    sign = math.copysign(1.0, profit)
    shares = {m: max(sign * took, 0.0) for m, took in one.took.items()} if attribute == "contribution" else one.weights
    if not sum(shares.values()) > 0:
        shares = one.weights
    total = sum(shares.values())
    return {m: profit * (share / total) for m, share in shares.items()} if total > 0 else {}


def _group(context: str, played: list[_Played], attribute: Attribute) -> ReturnGroup:
    n = len(played)
    sums: dict[str, list[float]] = {}  # tasks, cost, weight, skill, profit
    for one in played:
        profit = _profit(one, attribute)
        for m in {**dict.fromkeys(one.audit.answers), **dict.fromkeys(one.audit.costs)}:
            row = sums.setdefault(m, [0.0] * 5)
            row[0] += 1
            row[1] += one.audit.costs.get(m, 0.0)
            row[2] += one.weights.get(m, 0.0)
            row[3] += one.took.get(m, 0.0) * one.scale
            row[4] += profit.get(m, 0.0)
    with_profit = sum(one.audit.profit_usd is not None for one in played)
    # Costs that no model is named for count in the total alone.
    cost = sum(max(one.audit.cost_usd, sum(one.audit.costs.values())) for one in played)
    earned = sum(one.audit.profit_usd or 0.0 for one in played)
    rows = [_row(context, m, n, cost, values, with_profit) for m, values in sums.items()]
    rows.sort(key=lambda row: (math.isnan(row.skill_per_usd), -row.skill_per_usd, -row.skill, row.model))
    all_of = [float(n), cost, float(sum(v[2] for v in sums.values())), sum(v[3] for v in sums.values()), earned]
    return ReturnGroup(context, n, with_profit, tuple(rows), _row(context, "", n, cost, all_of, with_profit))


def _row(context: str, model: str, n: int, all_cost: float, values: list[float], with_profit: int) -> ReturnRow:
    tasks, cost, weight, skill, profit = values
    skill, weight = skill / n, weight / n
    net = profit - cost
    return ReturnRow(
        context=context,
        model=model,
        tasks=int(tasks),
        cost_usd=cost,
        cost_share=_over(cost, all_cost),
        weight=weight,
        skill=skill,
        skill_per_usd=_over(skill, cost / n),
        usd_per_point=math.nan if cost == 0 else cost / n / (100.0 * skill) if skill > 0 else math.inf,
        profit_usd=profit if with_profit else None,
        net_usd=net if with_profit else None,
        return_on_cost=_over(net, cost) if with_profit else None,
    )


def _over(value: float, cost: float) -> float:
    if cost > 0:
        return value / cost
    return math.nan if value == 0 or math.isnan(value) else math.copysign(math.inf, value)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None or math.isnan(value) else format(value, form)


def _usd(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "-"
    return usd_text(nearest(value)) if math.isfinite(value) else "inf"
