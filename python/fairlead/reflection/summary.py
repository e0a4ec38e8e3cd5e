"""What a model did, what that cost, and how it was trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fairlead.events import Event
from fairlead.reflection.columns import Answers, Rows
from fairlead.reflection.inference import Floats


@dataclass(frozen=True, slots=True)
class Summary:
    """All rows of a model, of whatever kind.

    tasks: how many it was asked about. scored: how many of those it answered and have an outcome. calls, failures: in
    all. cost_usd: in all of the tasks whose cost is known, of which there are cost_n; cost_per_scored: for each scored
    answer among those. A cost that was never given, or is 0 in all tasks of a model, is not known. latency_*:
    milliseconds, of the latency_n tasks that have one. tokens_in, tokens_out: in all. first, last: times of the first
    and the last outcome, in nanoseconds since the epoch. NaN and None: not known.
    """

    tasks: int
    scored: int
    calls: int
    failures: int
    cost_n: int
    cost_usd: float
    cost_per_scored: float
    latency_n: int
    latency_mean: float
    latency_median: float
    latency_p95: float
    tokens_in: int
    tokens_out: int
    first: int | None
    last: int | None


def summary_of(rows: Rows, model: int) -> Summary:
    """The summary of one model."""
    mine = np.flatnonzero(rows["model"] == model)
    scored = (rows["scored"][mine] != 0) & np.isfinite(rows["loss"][mine])
    cost = rows["cost_usd"][mine]
    known = ~np.isnan(cost)
    priced = int(scored[known].sum())
    total = float(cost[known].sum()) if known.any() else math.nan
    latency = rows["latency_ms"][mine]
    latency = latency[~np.isnan(latency)]
    some = len(latency) > 0
    time = rows["time"][mine]
    return Summary(
        tasks=len(mine),
        scored=int(scored.sum()),
        calls=int(rows["calls"][mine].sum()),
        failures=int(rows["failed"][mine].sum()),
        cost_n=int(known.sum()),
        cost_usd=total,
        cost_per_scored=total / priced if priced else math.nan,
        latency_n=len(latency),
        latency_mean=float(latency.mean()) if some else math.nan,
        latency_median=float(np.median(latency)) if some else math.nan,
        latency_p95=float(np.quantile(latency, 0.95)) if some else math.nan,
        tokens_in=int(rows["tokens_in"][mine].sum()),
        tokens_out=int(rows["tokens_out"][mine].sum()),
        first=int(time.min()) if len(time) else None,
        last=int(time.max()) if len(time) else None,
    )


@dataclass(frozen=True, slots=True)
class Performance:
    """How good the scored answers of one kind were; what does not apply to the kind is NaN.

    n: answers. tasks, rounds: how many different tasks, and moments at which outcomes became known. brier, log_loss,
    accuracy: of probabilities. mae, rmse: of numbers. excess: mean loss less that of the others on the same tasks, of
    which there are excess_n.
    """

    n: int
    rounds: int
    brier: float
    log_loss: float
    accuracy: float
    mae: float
    rmse: float
    excess_n: int
    excess: float


def performance_of(answers: Answers, model: int) -> Performance:
    """The performance of a model in one kind of task."""
    places = answers.of(model)
    loss = answers.loss[places]
    excess = answers.excess[places]
    excess = excess[~np.isnan(excess)]
    numeric = answers.kind == "numeric"
    log_loss = answers.column("log_loss")[places]
    log_loss = log_loss[~np.isnan(log_loss)]
    return Performance(
        n=len(places),
        rounds=len(np.unique(answers.round[places])),
        brier=math.nan if numeric else _mean(loss),
        log_loss=math.nan if numeric else _mean(log_loss),
        accuracy=math.nan if numeric else _mean(answers.column("correct")[places]),
        mae=_mean(np.sqrt(loss)) if numeric else math.nan,
        rmse=math.sqrt(_mean(loss)) if numeric else math.nan,
        excess_n=len(excess),
        excess=_mean(excess),
    )


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


@dataclass(frozen=True, slots=True)
class Training:
    """The training runs of a model, as the journal tells of them.

    runs: how many; events with the same `run` in their data are one. last: the time of the newest event. data: what the
    events of that run said, the newest word of each field: status, loss, metrics, whatever was recorded.
    """

    runs: int
    last: int
    data: Mapping[str, Any] = field(default_factory=dict)


def training_of(events: Iterable[Event], model: str) -> Training | None:
    """The summary of a model's `training_run` events; None if there are none."""
    runs: dict[object, dict[str, Any]] = {}
    last: tuple[int, int, object] | None = None
    for event in sorted((e for e in events if e.type == "training_run"), key=lambda e: (e.time, e.seq)):
        if (event.data.get("model") if event.model is None else event.model) != model:
            continue
        run = event.data.get("run")
        key = run if isinstance(run, str) else ("#", event.seq)
        runs.setdefault(key, {}).update(event.data)
        last = (event.time, event.seq, key)
    return Training(len(runs), last[0], runs[last[2]]) if last else None
