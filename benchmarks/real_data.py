"""How good the decisions are on real forecasts: one configuration for all sets, nothing tuned to any of them.

    python benchmarks/real_data.py FOLDER

FOLDER holds the sets (`flusight_cat`, `llm_consistency`, `olas_predict`), which are not part of the project.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

import fairlead as fl


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


def results(folder: Path) -> Iterator[tuple[str, fl.ReplayResult]]:
    """Each set's name and its replay."""
    runs: list[tuple[str, Callable[[], fl.ReplayResult]]] = [
        (
            "FluSight 2024/25, after 2023/24",
            lambda: fl.replay(flusight(folder), slices=["horizon"], warmup="2024-08-01"),
        ),
        ("language models, 33", lambda: fl.replay(language_models(folder))),
        (
            "language models, 15",
            lambda: fl.replay(language_models(folder).query("method in ('basic', 'cot')")),
        ),
        ("language-model tools", lambda: fl.replay(tools(folder))),
    ]
    for name, run in runs:
        yield name, run()


def table(folder: Path) -> list[str]:
    """The results as lines of Markdown."""
    names = [*fl.STRATEGIES, "best_single"]
    lines = [
        "| Brier score, lower is better | tasks | "
        + " | ".join(f"{name} (default)" if name == fl.DEFAULT_STRATEGY else name.replace("_", " ") for name in names)
        + " |",
        "|---|--:|" + "--:|" * len(names),
    ]
    for name, result in results(folder):
        scores = " | ".join(f"{result.strategies[strategy].brier:.4f}" for strategy in names)
        lines.append(f"| {name} | {result.tasks:,} | {scores} |")
    return lines


def sensitivity(folder: Path) -> list[str]:
    """What the one constant of the default strategy that matters, the half-life, does to the first set."""
    frame = flusight(folder)
    half_lives = (50, 100, 200, 400, 1000)
    scores = [
        fl.replay(frame, slices=["horizon"], warmup="2024-08-01", settings=fl.Settings(half_life=half_life))
        .strategies["hedge"]
        .brier
        for half_life in half_lives
    ]
    return [
        "| half-life in tasks | " + " | ".join(f"{h} (default)" if h == 200 else str(h) for h in half_lives) + " |",
        "|---|" + "--:|" * len(half_lives),
        "| FluSight 2024/25, hedge | " + " | ".join(f"{score:.4f}" for score in scores) + " |",
    ]


if __name__ == "__main__":
    print("\n".join([*table(Path(sys.argv[1])), "", *sensitivity(Path(sys.argv[1]))]))
