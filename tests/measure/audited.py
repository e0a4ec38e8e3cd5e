"""Audits made up for tests."""

from __future__ import annotations

import numpy as np

from fairlead.measure.audit import Audit

DAY = 86_400_000_000_000


def audits(
    seed: int,
    n: int = 40,
    kinds: tuple[str, ...] = ("binary", "categorical", "numeric"),
    models: int = 5,
    absent: float = 0.2,
    decided: bool = True,
) -> tuple[Audit, ...]:
    """Tasks of all kinds, some models absent or without weight, with costs and sometimes a profit."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        kind = kinds[i % len(kinds)]
        who = [f"m{k:02d}" for k in range(models) if rng.random() >= absent] or ["m00"]
        labels = ("up", "flat", "down")
        outcome: int | float | str
        if kind == "binary":
            outcome = int(rng.integers(2))
            answers = {m: float(rng.random()) for m in who}
        elif kind == "categorical":
            outcome = labels[int(rng.integers(3))]
            answers = {m: dict(zip(labels, rng.dirichlet(np.ones(3)).tolist(), strict=True)) for m in who}
        else:
            outcome = float(rng.normal())
            answers = {m: outcome + float(rng.normal(0.3)) for m in who}
        weights = rng.dirichlet(np.ones(len(who)))
        if len(who) > 2 and i % 5 == 0:
            weights[0] = 0.0
            weights /= weights.sum()
        costs = {m: float(rng.integers(0, 5)) / 100 for m in who}
        out.append(
            Audit(
                task=f"t{i}",
                kind=kind,
                category="news" if i % 2 else "sport",
                time=i * 20 * DAY,
                settled=(i // 3) * 60 * DAY,
                outcome=outcome,
                profit_usd=float(rng.normal(0.2)) if i % 4 else None,
                strategy="hedge" if decided else None,
                weights=dict(zip(who, weights.tolist(), strict=True)) if decided else {},
                answers=answers,
                cost_usd=sum(costs.values()),
                costs=costs,
                slices={"horizon": str(i % 3)},
            )
        )
    return tuple(out)


def pool_loss(audit: Audit, who: list[str], baseline: float = 0.0, equal: bool = False) -> float:
    """What a set of models would have lost, by hand."""
    given = {m: 1.0 if equal or not audit.weights else audit.weights[m] for m in who}
    who = [m for m in who if given[m] > 0]
    total = sum(given[m] for m in who)
    if audit.kind == "categorical":
        labels = list(next(iter(audit.answers.values())))
        p = {k: sum(given[m] * audit.answers[m][k] for m in who) / total if who else 1 / 3 for k in labels}
        return sum((p[k] - (k == audit.outcome)) ** 2 for k in labels)
    nobody = 0.5 if audit.kind == "binary" else baseline
    value = sum(given[m] * audit.answers[m] for m in who) / total if who else nobody
    return (value - audit.outcome) ** 2
