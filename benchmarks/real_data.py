"""How good the decisions are on real forecasts: one configuration for all sets, nothing tuned to any of them.

    python benchmarks/real_data.py FOLDER

FOLDER holds the sets (`flusight_cat`, `llm_consistency`, `olas_predict`), which are not part of the project.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import fairlead as fl
from fairlead.replays import ForecastTable, read_table


def flusight(folder: Path) -> pd.DataFrame:
    """Flu hospital admissions: 29 models, five classes, two seasons, without the hub's own ensembles."""
    frame = pd.read_parquet(folder / "flusight_cat" / "flusight_cat_dev.parquet")
    frame = frame[~frame.model.str.startswith("FluSight-")]
    dates = frame.reference_date.astype(str)
    return frame[["model", "horizon", "outcome", *(c for c in frame.columns if c.startswith("p_"))]].assign(
        time=frame.reference_date,
        task=dates + "|" + frame.location + "|" + frame.horizon.astype(str),
        outcome_time=pd.to_datetime(frame.target_end_date) + pd.Timedelta(days=7),
    )


def language_models(folder: Path) -> pd.DataFrame:
    """Language models on real yes-no questions, without the forecasters that could look the answer up."""
    frame = pd.read_parquet(folder / "llm_consistency" / "llm_consistency_dev.parquet")
    frame = frame[~frame.forecaster.str.startswith("search:") & (frame.question_set == "real_market")]
    names = {
        "created": "time",
        "question_id": "task",
        "forecaster": "model",
        "resolution_date": "outcome_time",
        "source": "category",
    }
    return frame.rename(columns=names)


def tools(folder: Path) -> pd.DataFrame:
    """Language-model tools on yes-no questions, with tokens, cost and failed calls; one question after the other."""
    frame = pd.read_parquet(folder / "olas_predict" / "olas_predict_dev.parquet")
    frame["task"] = frame.question_id.astype(str)
    frame["time"] = pd.factorize(frame.question_id)[0]
    return frame.rename(columns={"tool": "model", "input_tokens": "tokens_in", "output_tokens": "tokens_out"})


@dataclass(frozen=True)
class Set:
    """A set of forecasts, and how it is replayed. by_time: tasks of one time share their luck, so that standard errors
    are of times; else they are of tasks."""

    name: str
    table: ForecastTable
    by_time: bool = False
    warmup: str | None = None

    def replay(self) -> fl.ReplayResult:
        return fl.replay(self.table, warmup=self.warmup)

    def losses(self) -> Losses:
        return losses(self.table, by_time=self.by_time, warmup=self.warmup)


@dataclass(frozen=True)
class Losses:
    """Brier scores of tasks, by strategy, in the order in which they were decided."""

    cluster: npt.NDArray[np.int64]
    by_strategy: dict[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def mean(self, strategy: str) -> float:
        return float(self.by_strategy[strategy].mean())

    def difference(self, one: str, other: str) -> tuple[float, float]:
        """How much more `one` lost than `other`, and the standard error of that: of the clusters' sums."""
        return self._error(self.by_strategy[one] - self.by_strategy[other])

    def error(self, strategy: str) -> float:
        return self._error(self.by_strategy[strategy])[1]

    def _error(self, x: npt.NDArray[np.float64]) -> tuple[float, float]:
        sums = np.bincount(np.unique(self.cluster, return_inverse=True)[1], weights=x - x.mean())
        g = len(sums)
        return float(x.mean()), float(np.sqrt(g / (g - 1) * (sums**2).sum()) / len(x))


def losses(table: ForecastTable, *, by_time: bool = False, warmup: str | None = None) -> Losses:
    """What every strategy lost on each task, decided when its last forecast came by what was known then: the same as
    `fairlead.replay`, but through the Fleet, one task at a time."""
    after = -(2**63) if warmup is None else pd.Timestamp(warmup).value
    fleet = fl.Fleet(clock=lambda: 1)
    for model in table.models:
        fleet.add(model)
    where = [
        {d.name: d.values[d.codes[t]] for d in table.dimensions if d.codes[t] >= 0} for t in range(len(table.tasks))
    ]
    kind = "binary" if table.kind == "binary" else "categorical"
    labels = table.labels if kind == "categorical" else ()
    tasks = [
        fl.Task(name, kind=kind, labels=labels, category=s.pop("category", ""), slices=s)
        for name, s in zip(table.tasks, where, strict=True)
    ]
    classes = 2 if kind == "binary" else len(labels)
    due, settled = np.argsort(table.outcome_time, kind="stable"), 0
    known: dict[int, dict[str, npt.NDArray[np.float64]]] = {}
    kept: list[int] = []
    row = 0
    while row < len(table.time):
        now = table.time[row]
        while settled < len(due) and table.outcome_time[due[settled]] <= now:
            t = due[settled]
            settled += 1
            if t in known and not np.isnan(table.outcome[t]):
                outcome = labels[int(table.outcome[t])] if labels else int(table.outcome[t])
                fleet.settle(tasks[t], outcome, time=int(table.outcome_time[t]))
        ready = []
        while row < len(table.time) and table.time[row] == now:
            t, model = table.task[row], table.models[table.model[row]]
            if table.failed[row]:
                fleet.record(tasks[t], fl.Forecast(model, error="failed"))
            else:
                p = table.answer[row].tolist()
                fleet.record(tasks[t], fl.Forecast(model, p=dict(zip(labels, p, strict=True)) if labels else p[0]))
            if table.decide_time[t] == now and t not in known:
                known[t] = {}
                ready.append(t)
            row += 1
        for t in ready:
            if not fleet.answers(tasks[t]) or np.isnan(table.outcome[t]):
                continue
            for strategy in fl.STRATEGIES:
                p = fleet.decide(tasks[t], strategy=strategy).p
                known[t][strategy] = np.array(list(p.values())) if isinstance(p, dict) else np.array([1.0 - p, p])
            if now > after:
                kept.append(t)
    truth = np.eye(classes)
    half = 0.5 if kind == "binary" else 1.0  # a binary task's Brier score is of one class
    return Losses(
        np.array([table.decide_time[t] if by_time else t for t in kept]),
        {
            s: np.array([half * ((known[t][s] - truth[int(table.outcome[t])]) ** 2).sum() for t in kept])
            for s in fl.STRATEGIES
        },
    )


def sets(folder: Path) -> Iterator[Set]:
    yield Set("FluSight 2024/25, after 2023/24", read_table(flusight(folder), slices=["horizon"]), True, "2024-08-01")
    yield Set("language models, 33", read_table(language_models(folder)))
    yield Set("language models, 15", read_table(language_models(folder).query("method in ('basic', 'cot')")))
    yield Set("language-model tools", read_table(tools(folder)))


def table(folder: Path) -> list[str]:
    """The results as lines of Markdown: what each strategy scored, and how much better the default is, give or take."""
    names = [*fl.STRATEGIES, "best_single"]
    scores = ["| Brier score, lower is better | tasks | " + " | ".join(map(_title, names)) + " |"]
    scores.append("|---|--:|" + "--:|" * len(names))
    beside = [name for name in fl.STRATEGIES if name != fl.DEFAULT_STRATEGY]
    gains = [
        f"| {fl.DEFAULT_STRATEGY} minus ..., ± its standard error | of {fl.DEFAULT_STRATEGY} alone | "
        + " | ".join(beside)
        + " |"
    ]
    gains.append("|---|--:|" + "--:|" * len(beside))
    for each in sets(folder):
        result, found = each.replay(), each.losses()
        figures = " | ".join(f"{result.strategies[strategy].brier:.4f}" for strategy in names)
        scores.append(f"| {each.name} | {result.tasks:,} | {figures} |")
        differences = (found.difference(fl.DEFAULT_STRATEGY, name) for name in beside)
        figures = " | ".join(f"{mean:+.4f} ± {error:.4f}" for mean, error in differences)
        gains.append(f"| {each.name} | {found.error(fl.DEFAULT_STRATEGY):.4f} | {figures} |")
    return [*scores, "", *gains]


def _title(strategy: str) -> str:
    return f"{strategy} (default)" if strategy == fl.DEFAULT_STRATEGY else strategy.replace("_", " ")


def sensitivity(folder: Path) -> list[str]:
    """What the one constant of the learned strategies that matters, the half-life, does to the first set."""
    frame = flusight(folder)
    half_lives = (50, 100, 200, 400, 1000)
    lines = [
        "| half-life in tasks | " + " | ".join(f"{h} (default)" if h == 200 else str(h) for h in half_lives) + " |",
        "|---|" + "--:|" * len(half_lives),
    ]
    results = [
        fl.replay(frame, slices=["horizon"], warmup="2024-08-01", settings=fl.Settings(half_life=half_life)).strategies
        for half_life in half_lives
    ]
    for name in ("hedge", "weighted", "auto"):
        scores = [f"{found[name].brier:.4f}" for found in results]
        lines += [f"| FluSight 2024/25, {name} | " + " | ".join(scores) + " |"]
    return lines


if __name__ == "__main__":
    print("\n".join([*table(Path(sys.argv[1])), "", *sensitivity(Path(sys.argv[1]))]))
