"""Which models drove good decisions: how much of the loss each took away, by context."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from fairlead.measure.audit import Audit
from fairlead.measure.budget import table
from fairlead.measure.coalitions import Floats, check_permutations, game, leave_one_out, number_of_nobody, shapley
from fairlead.measure.contexts import By, by_context, checked
from fairlead.measure.student import t_quantile
from fairlead.types import Kind

Weights = Literal["decided", "equal"]


@dataclass(frozen=True, slots=True)
class ContributionRow:
    """One model in a context. All losses are per task of the context, its own or not.

    tasks: in which it had weight; weight: its mean there. shapley: how much of the loss it took away, with an interval
    of 95 % over rounds (tasks settled at the same time), low to high; sampling: the standard error from going through
    a sample of orders, 0 if through all. share: of what all took away, NaN if that is nothing. leave_one_out: how much
    more the others would have lost without it. loss: of its own answers, on its own tasks."""

    kind: Kind
    context: str
    model: str
    tasks: int
    weight: float
    shapley: float
    low: float
    high: float
    sampling: float
    share: float
    leave_one_out: float
    loss: float

    def to_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class ContributionGroup:
    """One context of one kind: tasks in so many rounds, loss of the pool and of nobody's answer, rows by Shapley value.

    The Shapley values sum to `gain`, which is baseline - loss.
    """

    kind: Kind
    context: str
    tasks: int
    rounds: int
    loss: float
    baseline: float
    rows: tuple[ContributionRow, ...]

    @property
    def gain(self) -> float:
        """What all models together took away from the loss of nobody's answer, per task."""
        return self.baseline - self.loss

    @property
    def title(self) -> str:
        """The context in words."""
        return f"{self.kind}, {self.context}" if self.context else self.kind

    def __iter__(self) -> Iterator[ContributionRow]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, model: str) -> ContributionRow:
        for row in self.rows:
            if row.model == model:
                return row
        raise KeyError(model)

    def __str__(self) -> str:
        cells: list[tuple[str, ...]] = [
            ("model", "tasks", "weight", "Shapley", "95 %", "share", "leave one out", "own loss")
        ]
        cells += [
            (
                row.model,
                f"{row.tasks:,}",
                f"{row.weight:.3f}",
                f"{row.shapley:+.4f}",
                "-" if math.isnan(row.low) else f"{row.low:+.4f} to {row.high:+.4f}",
                "-" if math.isnan(row.share) else f"{row.share:.1%}",
                f"{row.leave_one_out:+.4f}",
                f"{row.loss:.4f}",
            )
            for row in self.rows
        ]
        return (
            f"{self.title}: {self.tasks:,} tasks in {self.rounds:,} rounds; loss {self.loss:.4f}, "
            f"of nobody {self.baseline:.4f}\n" + table(cells, left=(0,))
        )


@dataclass(frozen=True, slots=True)
class Contribution:
    """Who drove the decisions, context by context. Prints as tables; `to_dicts` makes a DataFrame."""

    groups: tuple[ContributionGroup, ...]

    def __iter__(self) -> Iterator[ContributionGroup]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, context: str) -> ContributionGroup:
        """The group of a context; of the kind with the most tasks, if there are several."""
        found = [group for group in self.groups if group.context == context]
        if not found:
            raise KeyError(context)
        return max(found, key=lambda group: group.tasks)

    def to_dicts(self) -> list[dict[str, Any]]:
        """All rows as plain dicts."""
        return [row.to_dict() for group in self.groups for row in group]

    def __str__(self) -> str:
        return "\n\n".join(str(group) for group in self.groups)


def contribution(
    audits: Iterable[Audit],
    by: By = None,
    *,
    weights: Weights = "decided",
    baseline: float | None = None,
    permutations: int = 64,
    seed: int = 0,
) -> Contribution:
    """How much each model took away from the loss of the decisions, by context.

    A set of models is worth minus the loss of the linear pool of its answers, its weights made to sum to 1; of no
    model at all, of the uniform answer, or for numbers of `baseline`, the mean outcome of the tasks of the context if
    None. The loss is the Brier score, over all labels of a categorical task, or the squared error. From that follow
    the Shapley values (exact for up to 12 models a task, else by `permutations` orders and their reverses, drawn with
    `seed`), which sum to what all models took away, and what leaving each out would have cost. A model without weight
    took away nothing. Kinds of tasks are told apart, as their losses have different scales.

    audits: of settled tasks, as `fleet.audits()` gives them. by: "category", "kind", "strategy", a period ("year",
    "quarter", "month", "week", "day", of the decision, UTC), a dimension of slices, several of these, or a function of
    an audit. weights: "decided", those of the last decision, or "equal", the same for all who answered; a task that
    nobody decided goes by equal ones. Intervals are over rounds, so they are wide where few outcomes became known
    apart.

    Raises ValueError for no audits, an unknown `by`, `weights` or outcome, TypeError for what is no Audit.

    >>> from fairlead.measure.audit import Audit
    >>> audits = [
    ...     Audit(task=f"q{i}", kind="binary", time=i, settled=i + 9, outcome=i % 2, weights={"a": 0.5, "b": 0.5},
    ...           answers={"a": 0.1 + 0.8 * (i % 2), "b": 0.5})
    ...     for i in range(20)
    ... ]
    >>> found = contribution(audits)
    >>> print(found)
    binary: 20 tasks in 20 rounds; loss 0.0900, of nobody 0.2500
    model  tasks  weight  Shapley                95 %   share  leave one out  own loss
    a         20   0.500  +0.2000  +0.2000 to +0.2000  125.0%        +0.1600    0.0100
    b         20   0.500  -0.0400  -0.0400 to -0.0400  -25.0%        -0.0800    0.2500
    """
    audits = checked(audits)
    if weights not in ("decided", "equal"):
        raise ValueError(f"weights is {weights!r}, must be 'decided' or 'equal'")
    check_permutations(permutations)
    random = np.random.default_rng(seed)
    nobody = number_of_nobody(audits, baseline)
    contexts = {
        where: [audit for audit in found if audit.answers or audit.kind != "categorical"]
        for where, found in by_context(audits, by).items()
    }
    return Contribution(
        tuple(
            _group(kind, context, found, weights == "equal", nobody, permutations, random)
            for (kind, context), found in contexts.items()
            if found
        )
    )


def _group(
    kind: Kind,
    context: str,
    audits: list[Audit],
    equal: bool,
    baseline: float,
    permutations: int,
    random: np.random.Generator,
) -> ContributionGroup:
    games = [game(audit, equal=equal, baseline=baseline) for audit in audits]
    models = sorted({m for one in games for m in one.models})
    place = {m: i for i, m in enumerate(models)}
    n = len(games)
    took, left, weight, own = (np.zeros((n, len(models))) for _ in range(4))
    there = np.zeros((n, len(models)), bool)
    noise = np.zeros(len(models))
    for t, one in enumerate(games):
        at = [place[m] for m in one.models]
        took[t, at], variance = shapley(one, permutations, random)
        noise[at] += variance
        left[t, at] = leave_one_out(one) if at else 0.0
        weight[t, at] = one.weights / one.weights.sum() if at else 0.0
        own[t, at] = (one.errors**2).sum(1)
        there[t, at] = True
    rounds = np.unique([a.settled for a in audits], return_inverse=True)[1]
    half = _half_width(took, rounds)
    value = took.mean(0)
    alone = float(np.mean([one.alone for one in games]))
    loss = float(np.mean([one.loss() for one in games]))
    gain = alone - loss
    tasks = there.sum(0)
    rows = [
        ContributionRow(
            kind=kind,
            context=context,
            model=model,
            tasks=int(tasks[i]),
            weight=float(weight[:, i].sum() / tasks[i]),
            shapley=float(value[i]),
            low=float(value[i] - half[i]),
            high=float(value[i] + half[i]),
            sampling=float(np.sqrt(noise[i]) / n),
            share=float(value[i] / gain) if gain > 0 else math.nan,
            leave_one_out=float(left[:, i].mean()),
            loss=float(own[:, i].sum() / tasks[i]),
        )
        for i, model in enumerate(models)
    ]
    rows.sort(key=lambda row: (-row.shapley, row.model))
    return ContributionGroup(kind, context, n, int(rounds.max()) + 1, loss, alone, tuple(rows))


def _half_width(values: Floats, rounds: NDArray[np.int64]) -> Floats:
    """Of the interval of the mean of each column, rows of one round going together; NaN for a single round."""
    k = int(rounds.max()) + 1
    if k < 2:
        return np.full(values.shape[1], math.nan)
    sums = np.zeros((k, values.shape[1]))
    np.add.at(sums, rounds, values - values.mean(0))
    return np.asarray(t_quantile(k - 1) * np.sqrt((sums**2).sum(0) * k / (k - 1)) / len(values), np.float64)
