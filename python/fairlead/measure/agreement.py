"""Who agrees with whom, and what disagreement says about the decision."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairlead.measure.audit import Audit
from fairlead.measure.budget import table
from fairlead.measure.coalitions import Floats, game
from fairlead.measure.contexts import By, by_context, checked
from fairlead.measure.student import t_quantile, t_tail
from fairlead.types import Kind

_BLOCKS = 40  # of rounds, for the jackknife
_PAIRS = 12  # that are printed


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on the tasks that both answered.

    same: share with the same most probable class (yes being p > 1/2), NaN for numbers. errors: correlation of their
    errors, answer minus outcome, over all classes; NaN where one has no variance. distance: root mean square of the
    difference of their answers."""

    kind: Kind
    context: str
    a: str
    b: str
    tasks: int
    same: float
    errors: float
    distance: float

    def to_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Bin:
    """Decisions with disagreement from low to high: mean disagreement, mean loss, share with the right class."""

    kind: Kind
    context: str
    low: float
    high: float
    tasks: int
    disagreement: float
    loss: float
    accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """The fields, as plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Relation:
    """Rank correlation (Spearman) of disagreement with loss: interval of 95 % and p-value by a jackknife over blocks of
    rounds, as tasks settled at the same time err together; NaN below four rounds, or where nothing varies."""

    correlation: float
    low: float
    high: float
    p_value: float
    tasks: int
    rounds: int

    def __str__(self) -> str:
        if math.isnan(self.correlation):
            return "disagreement and loss: too little to say"
        spread = "" if math.isnan(self.low) else f" ({self.low:+.2f} to {self.high:+.2f}, p = {self.p_value:.2g})"
        return f"disagreement and loss: rank correlation {self.correlation:+.2f}{spread}"


@dataclass(frozen=True, slots=True)
class AgreementGroup:
    """One context of one kind. `pairs` from the most alike in their errors; `bins` by disagreement, from low to
    high."""

    kind: Kind
    context: str
    tasks: int
    pairs: tuple[Pair, ...]
    bins: tuple[Bin, ...]
    relation: Relation

    @property
    def title(self) -> str:
        """The context in words."""
        return f"{self.kind}, {self.context}" if self.context else self.kind

    def pair(self, a: str, b: str) -> Pair:
        """Of two models, in any order. Raises KeyError if they never answered the same task."""
        for one in self.pairs:
            if {one.a, one.b} == {a, b}:
                return one
        raise KeyError((a, b))

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.tasks:,} tasks; {self.relation}"]
        if self.bins:
            cells: list[tuple[str, ...]] = [("disagreement", "tasks", "mean", "loss", "accuracy")]
            for b in self.bins:
                right = "-" if math.isnan(b.accuracy) else f"{b.accuracy:.1%}"
                cells.append(
                    (f"{b.low:.3g} to {b.high:.3g}", f"{b.tasks:,}", f"{b.disagreement:.4f}", f"{b.loss:.4f}", right)
                )
            lines.append(table(cells, left=(0,)))
        if self.pairs:
            cells = [("pair", "", "tasks", "same class", "errors correlate", "distance")]
            for p in self.pairs[:_PAIRS]:
                same = "-" if math.isnan(p.same) else f"{p.same:.1%}"
                together = "-" if math.isnan(p.errors) else f"{p.errors:+.2f}"
                cells.append((p.a, p.b, f"{p.tasks:,}", same, together, f"{p.distance:.3f}"))
            lines.append(table(cells, left=(0, 1)))
            if len(self.pairs) > _PAIRS:
                lines.append(f"and {len(self.pairs) - _PAIRS} pairs more")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How models agree, context by context. Prints as tables; `to_dicts` gives the pairs, `bins_to_dicts` the bins."""

    groups: tuple[AgreementGroup, ...]

    def __iter__(self) -> Iterator[AgreementGroup]:
        return iter(self.groups)

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, context: str) -> AgreementGroup:
        """The group of a context; of the kind with the most tasks, if there are several."""
        found = [group for group in self.groups if group.context == context]
        if not found:
            raise KeyError(context)
        return max(found, key=lambda group: group.tasks)

    def to_dicts(self) -> list[dict[str, Any]]:
        """All pairs as plain dicts."""
        return [pair.to_dict() for group in self.groups for pair in group.pairs]

    def bins_to_dicts(self) -> list[dict[str, Any]]:
        """All bins as plain dicts."""
        return [one.to_dict() for group in self.groups for one in group.bins]

    def __str__(self) -> str:
        return "\n\n".join(str(group) for group in self.groups)


def agreement(audits: Iterable[Audit], by: By = None, *, bins: int = 5) -> Agreement:
    """How models agree with each other, and whether decisions are worse where they do not.

    Disagreement is that of the audits, else (where one lacks it) the root mean square distance of the answers from
    their mean. The loss is that of the decision, else of the equal-weight mean of the answers. Tasks that fewer than
    two models answered say nothing of disagreement.

    audits: of settled tasks, as `fleet.audits()` gives them. by: as of `contribution`. bins: how many, with about as
    many tasks in each. Kinds of tasks are told apart.

    Raises ValueError for no audits, an unknown `by`, or bins below 1, TypeError for what is no Audit.

    >>> from fairlead.measure.audit import Audit
    >>> audits = [
    ...     Audit(task=f"q{i}", kind="binary", time=i, settled=i, outcome=int(i % 3 == 0),
    ...           answers={"a": 0.9 if i % 3 else 0.6, "b": 0.8 if i % 3 else 0.2})
    ...     for i in range(30)
    ... ]
    >>> print(agreement(audits, bins=2))
    binary: 30 tasks; disagreement and loss: rank correlation -1.00 (-1.00 to -1.00, p = 0)
    disagreement  tasks    mean    loss  accuracy
    0.05 to 0.05     20  0.0500  0.7225      0.0%
    0.2 to 0.2       10  0.2000  0.3600      0.0%
    pair     tasks  same class  errors correlate  distance
    a     b     30       66.7%             +1.00     0.245
    """
    audits = checked(audits)
    if bins < 1:
        raise ValueError(f"bins is {bins!r}, must be at least 1")
    return Agreement(
        tuple(_group(kind, context, found, bins) for (kind, context), found in by_context(audits, by).items())
    )


def _group(kind: Kind, context: str, audits: list[Audit], bins: int) -> AgreementGroup:
    pairs = _Pairs(kind)
    rows: list[tuple[float, float, float, int]] = []  # disagreement, loss, right, round
    told = all(audit.disagreement is not None for audit in audits)
    for audit in audits:
        one = game(audit, equal=True)
        pairs.add(one.models, one.errors, audit)
        if len(one.models) < 2:
            continue
        mean = one.errors.mean(0)
        spread = math.sqrt(float(((one.errors - mean) ** 2).sum(1).mean()))
        loss = float(mean @ mean) if audit.loss is None else audit.loss
        told_of = audit.disagreement if told and audit.disagreement is not None else spread
        rows.append((told_of, loss, _right(audit), audit.settled))
    values = np.array(rows, np.float64).reshape(len(rows), 4)
    rounds = np.unique([row[3] for row in rows], return_inverse=True)[1]
    return AgreementGroup(
        kind=kind,
        context=context,
        tasks=len(audits),
        pairs=pairs.found(context),
        bins=_bins(kind, context, values, bins),
        relation=_relation(values[:, 0], values[:, 1], rounds),
    )


def _top(answer: Any, kind: Kind) -> Any:
    return answer > 0.5 if kind == "binary" else max(answer, key=answer.__getitem__)


def _right(audit: Audit) -> float:
    """Whether the class that was decided came true; that of the equal-weight mean where nothing was decided."""
    if audit.kind == "numeric":
        return math.nan
    decided: Any = audit.p
    if decided is None:
        answers: list[Any] = list(audit.answers.values())
        if audit.kind == "binary":
            decided = sum(answers) / len(answers)
        else:
            labels = dict.fromkeys(label for answer in answers for label in answer)
            decided = {label: sum(answer.get(label, 0.0) for answer in answers) for label in labels}
    return float(_top(decided, audit.kind) == audit.outcome)


class _Pairs:
    """Sums over tasks, for every two models that answered one."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.place: dict[str, int] = {}
        self.sums = np.zeros((7, 0, 0))  # tasks, same, values, x, xx, xy, squared distance; x of the row's model

    def add(self, models: tuple[str, ...], errors: Floats, audit: Audit) -> None:
        for model in models:
            self.place.setdefault(model, len(self.place))
        more = len(self.place) - self.sums.shape[1]
        if more > 0:
            self.sums = np.pad(
                self.sums, ((0, 0), (0, max(more, self.sums.shape[1])), (0, max(more, self.sums.shape[1])))
            )
        at = np.ix_([self.place[m] for m in models], [self.place[m] for m in models])
        m, classes = errors.shape
        tops = [_top(audit.answers[name], self.kind) if self.kind != "numeric" else None for name in models]
        ones = np.ones((m, 1))
        square = (errors**2).sum(1)
        cross = errors @ errors.T
        same = np.array([[a == b for b in tops] for a in tops], np.float64).reshape(m, m)
        distance = np.maximum(square[:, None] + square - 2 * cross, 0.0)
        terms = (1.0, same, classes, errors.sum(1)[:, None] * ones.T, square[:, None] * ones.T, cross, distance)
        for sum_, term in zip(self.sums, terms, strict=True):
            sum_[at] += term

    def found(self, context: str) -> tuple[Pair, ...]:
        out = []
        names = list(self.place)
        for i, a in enumerate(names):
            for j in range(i + 1, len(names)):
                tasks, same, n, x, xx, xy, distance = (float(s) for s in self.sums[:, i, j])
                if tasks == 0:
                    continue
                y, yy = float(self.sums[3, j, i]), float(self.sums[4, j, i])
                variance_x, variance_y = xx / n - (x / n) ** 2, yy / n - (y / n) ** 2
                flat = variance_x <= 1e-12 * xx / n or variance_y <= 1e-12 * yy / n  # but for rounding
                together = math.nan if flat else (xy / n - x / n * y / n) / math.sqrt(variance_x * variance_y)
                out.append(
                    Pair(
                        kind=self.kind,
                        context=context,
                        a=min(a, names[j]),
                        b=max(a, names[j]),
                        tasks=int(tasks),
                        same=math.nan if self.kind == "numeric" else same / tasks,
                        errors=min(max(together, -1.0), 1.0) if not math.isnan(together) else together,
                        distance=math.sqrt(distance / tasks),
                    )
                )
        return tuple(sorted(out, key=lambda p: (-math.inf if math.isnan(p.errors) else -p.errors, p.a, p.b)))


def _bins(kind: Kind, context: str, values: Floats, bins: int) -> tuple[Bin, ...]:
    if len(values) == 0:
        return ()
    edges = np.unique(np.quantile(values[:, 0], np.linspace(0.0, 1.0, bins + 1)[1:-1], method="lower"))
    which = np.searchsorted(edges, values[:, 0], side="left")
    out = []
    for b in range(len(edges) + 1):
        held = values[which == b]
        if len(held) == 0:
            continue
        low, high = float(held[:, 0].min()), float(held[:, 0].max())
        means = held.mean(0)
        out.append(Bin(kind, context, low, high, len(held), float(means[0]), float(means[1]), float(means[2])))
    return tuple(out)


def _ranks(x: Floats) -> Floats:
    """1 to n, ties sharing their mean."""
    _, where, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = counts.cumsum()
    return np.asarray((ends - (counts - 1) / 2.0)[where], np.float64)


def _correlation(x: Floats, y: Floats) -> float:
    if len(x) < 2:
        return math.nan
    a, b = _ranks(x), _ranks(y)
    a, b = a - a.mean(), b - b.mean()
    scale = float(a @ a) * float(b @ b)
    return float(a @ b) / math.sqrt(scale) if scale > 0 else math.nan


def _relation(x: Floats, y: Floats, rounds: NDArray[np.int64]) -> Relation:
    k = int(rounds.max()) + 1 if len(rounds) else 0
    r = _correlation(x, y)
    blocks = min(k, _BLOCKS)
    if blocks < 4 or math.isnan(r):
        return Relation(r, math.nan, math.nan, math.nan, len(x), k)
    block = rounds * blocks // k
    without = np.array([_correlation(x[block != b], y[block != b]) for b in range(blocks)])
    if np.isnan(without).any():
        return Relation(r, math.nan, math.nan, math.nan, len(x), k)
    error = math.sqrt((blocks - 1) / blocks * float(((without - without.mean()) ** 2).sum()))
    half = t_quantile(blocks - 1) * error
    p_value = 2.0 * t_tail(abs(r) / error, blocks - 1) if error > 0 else 0.0
    return Relation(r, max(r - half, -1.0), min(r + half, 1.0), p_value, len(x), k)
