"""Calibration adjusted online, on real forecasts: it lowers the expected calibration error and does not raise the Brier
score, on every set with one configuration. Nothing is tuned here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import fairlead as fl

Rows = NDArray[np.float64]
Stream = tuple[str, Rows, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]  # model, p, outcome, asked, known


def seconds(values: pd.Series) -> NDArray[np.int64]:
    return pd.to_datetime(values).to_numpy("datetime64[s]").astype(np.int64)


def by_model(frame: pd.DataFrame, p: Rows, outcome: Rows, asked: Rows, known: Rows) -> Iterator[Stream]:
    for model, at in frame.groupby("model", sort=False).indices.items():
        yield str(model), p[at], outcome[at].astype(np.int64), asked[at], known[at]


def flusight(folder: Path) -> Iterator[Stream]:
    frame = pd.read_parquet(folder / "flusight_cat" / "flusight_cat_dev.parquet")
    frame = frame[~frame.model.str.startswith("FluSight-")].reset_index(drop=True)
    p = frame[[c for c in frame.columns if c.startswith("p_")]].to_numpy(float)
    known = seconds(frame.target_end_date) + 7 * 86400
    return by_model(frame, p / p.sum(1, keepdims=True), frame.outcome.to_numpy(), seconds(frame.reference_date), known)


def questions(folder: Path, dates: bool) -> Iterator[Stream]:
    frame = pd.read_parquet(folder / "llm_consistency" / "llm_consistency_dev.parquet")
    frame = frame[~frame.forecaster.str.startswith("search:") & frame.p.notna()]
    frame = frame[frame.question_set == "real_market"].sort_values("created", kind="stable").reset_index(drop=True)
    asked, known = seconds(frame.created), seconds(frame.resolution_date)
    if not dates:  # one question after the other
        asked = pd.factorize(frame.question_id)[0].astype(np.int64) * 2
        known = asked + 1
    return by_model(
        frame.rename(columns={"forecaster": "model"}), frame.p.to_numpy(), frame.outcome.to_numpy(), asked, known
    )


def tools(folder: Path) -> Iterator[Stream]:
    frame = pd.read_parquet(folder / "olas_predict" / "olas_predict_dev.parquet")
    frame = frame[frame.p.notna()].reset_index(drop=True)
    asked = pd.factorize(frame.question_id)[0].astype(np.int64) * 2
    return by_model(
        frame.rename(columns={"tool": "model"}), frame.p.to_numpy(), frame.outcome.to_numpy(), asked, asked + 1
    )


def sports(folder: Path) -> Iterator[Stream]:
    frame = pd.read_parquet(folder / "pairwise" / "sports538_dev.parquet")
    frame = frame[frame.outcome.isin(["team1", "team2"]) & (frame.family != "soccer")]
    frame = frame.sort_values("date", kind="stable").reset_index(drop=True)
    p = (frame.prob1 / (frame.prob1 + frame.prob2)).to_numpy(float)
    day = seconds(frame.date)
    outcome = (frame.outcome == "team1").to_numpy(float)
    return by_model(frame.rename(columns={"family": "model"}), p, outcome, day, day + 43200)


def soccer(folder: Path) -> Iterator[Stream]:
    frame = pd.read_parquet(folder / "pairwise" / "sports538_dev.parquet")
    frame = frame[frame.family == "soccer"].sort_values("date", kind="stable").reset_index(drop=True)
    p = frame[["prob1", "probtie", "prob2"]].to_numpy(float)
    outcome = frame.outcome.map({"team1": 0, "tie": 1, "team2": 2}).to_numpy(float)
    day = seconds(frame.date)
    return by_model(frame.rename(columns={"family": "model"}), p / p.sum(1, keepdims=True), outcome, day, day + 43200)


def lived(stream: Stream) -> Rows:
    """Every answer as it would have been adjusted when it was given."""
    _, p, outcome, asked, known = stream
    calibrator = fl.Calibrator()
    out = np.empty_like(p)
    events = [(t, 1, i) for i, t in enumerate(asked.tolist())] + [(t, 0, i) for i, t in enumerate(known.tolist())]
    for time, giving, i in sorted(events):
        if giving:
            out[i] = calibrator.adjust(p[i] if p.ndim == 2 else float(p[i]))
        else:
            calibrator.update(p[i] if p.ndim == 2 else float(p[i]), int(outcome[i]), time)
    return out


def brier(p: Rows, outcome: NDArray[np.int64]) -> float:
    target = np.eye(p.shape[1])[outcome] if p.ndim == 2 else outcome
    squares = (p - target) ** 2
    return float(squares.sum(1).mean() if p.ndim == 2 else squares.mean())


def calibration_error(p: Rows, outcome: NDArray[np.int64]) -> float:
    calibration = fl.Calibration()
    shown = np.minimum(p.max(1), 1.0) if p.ndim == 2 else p
    calibration.add_many(shown, (p.argmax(1) if p.ndim == 2 else 1) == outcome)
    return calibration.error


SETS = {
    "flusight_cat": (flusight, 0.05, -0.02),
    "llm_consistency, by date": (lambda folder: questions(folder, dates=True), 0.001, -0.0003),
    "llm_consistency, in order": (lambda folder: questions(folder, dates=False), 0.01, -0.001),
    "olas_predict": (tools, 0.04, -0.01),
    "sports538, two sides": (sports, 0.001, 0.0),
    "sports538, soccer": (soccer, 0.0, 2e-5),
}


@pytest.mark.parametrize("name", SETS)
def test_better_calibrated_and_no_worse(shared_data: Path, name: str) -> None:
    read, falls_by, brier_changes_by = SETS[name]
    streams = list(read(shared_data))
    adjusted = [lived(stream) for stream in streams]
    p, outcome = np.concatenate([s[1] for s in streams]), np.concatenate([s[2] for s in streams])
    q = np.concatenate(adjusted)
    # All models together, and one by one.
    assert calibration_error(q, outcome) < calibration_error(p, outcome) - falls_by
    assert brier(q, outcome) <= brier(p, outcome) + brier_changes_by
    errors = [
        calibration_error(a, s[2]) - calibration_error(s[1], s[2]) for a, s in zip(adjusted, streams, strict=True)
    ]
    scores = [brier(a, s[2]) - brier(s[1], s[2]) for a, s in zip(adjusted, streams, strict=True)]
    assert np.mean(errors) < 0
    assert np.mean(scores) <= max(brier_changes_by, 0.0)
