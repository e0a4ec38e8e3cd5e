"""Replaying a table: the same as driving a fleet by hand, never wiser than it could be, and scored as others score."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    log_loss,
    mean_absolute_error,
    root_mean_squared_error,
)
from tables import KINDS, LABELS, a_table, by_hand, vector

import fairlead as fl


def assert_score(score: fl.replays.Score, answers: np.ndarray, outcomes: np.ndarray, kind: str) -> None:
    """The score is what scikit-learn makes of these answers, one row a task."""
    answers = np.minimum(answers, 1.0) if kind != "numeric" else answers  # a pool may round to a hair above
    assert score.n == len(outcomes)
    if kind == "numeric":
        assert score.mae == pytest.approx(mean_absolute_error(outcomes, answers[:, 0]), rel=1e-12)
        assert score.rmse == pytest.approx(root_mean_squared_error(outcomes, answers[:, 0]), rel=1e-12)
        assert math.isnan(score.brier)
        assert score.curve == ()
        return
    classes = outcomes.astype(int)
    if kind == "binary":
        shown, happened = answers[:, 1], classes
        brier, right = brier_score_loss(classes, shown), classes == (shown > 0.5)
    else:
        right = answers.argmax(axis=1) == classes
        shown, happened = answers.max(axis=1), right
        brier = ((answers - np.eye(3)[classes]) ** 2).sum(axis=1).mean()
    assert score.brier == pytest.approx(brier, rel=1e-12)
    assert score.log_loss == pytest.approx(log_loss(classes, answers, labels=range(answers.shape[1])), rel=1e-12)
    assert score.accuracy == pytest.approx(accuracy_score(right, np.ones_like(right)), rel=1e-15)
    observed, predicted = calibration_curve(happened, np.minimum(shown, 1), n_bins=10)
    counts = np.array([count for _, _, count in score.curve])
    if not np.isclose((shown * 10) % 1, 0).any():  # scikit-learn puts an edge in the bin below
        np.testing.assert_allclose([x for x, _, _ in score.curve], predicted, rtol=1e-12)
        np.testing.assert_allclose([y for _, y, _ in score.curve], observed, rtol=1e-12, atol=1e-15)
        assert score.calibration_error == pytest.approx(np.abs(predicted - observed) @ counts / len(classes), rel=1e-9)
    assert counts.sum() == len(classes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_is_a_fleet_driven_by_hand(kind: str, seed: int) -> None:
    frame = a_table(kind, seed)
    result = fl.replay(frame, slices=["horizon"])
    fleet, settled = by_hand(frame, kind)
    assert result.bad_rows == ()
    assert result.forecasts == len(frame)
    assert result.tasks == len(settled)
    board = fleet.leaderboard()
    assert {m.model: m.elo for m in result.models} == {row.model: row.elo for row in board}
    assert [m.model for m in result.models] == [row.model for row in board]
    for m in result.models:
        row = board[m.model]
        assert (m.failed, m.cost_usd) == (row.failed, row.cost_usd)
    outcomes = np.array([outcome for outcome, _ in settled.values()])
    for strategy in fl.STRATEGIES:
        answers = np.array([vector(decisions[strategy], kind) for _, decisions in settled.values()])
        assert_score(result.strategies[strategy], answers, outcomes, kind)
        # Bit for bit, where Python adds in the same order.
        if kind == "binary":
            losses = [0.5 * ((a[0] - (1 - y)) ** 2 + (a[1] - y) ** 2) for a, y in zip(answers, outcomes, strict=True)]
            total = 0.0
            for loss in losses:
                total += loss
            assert result.strategies[strategy].brier == total / len(losses)


@pytest.mark.parametrize("kind", KINDS)
def test_models_are_scored_on_their_own_answers(kind: str) -> None:
    frame = a_table(kind, 11)
    _, settled = by_hand(frame, kind)
    columns = {"binary": ["p"], "categorical": [f"p_{label}" for label in LABELS], "numeric": ["value"]}[kind]
    good = frame[frame.error.isna() & frame.task.isin(list(settled))]
    final = good.drop_duplicates(["task", "model"], keep="last")
    for m in fl.replay(frame).models:
        own = final[final.model == m.model]
        answers = own[columns].to_numpy(float)
        answers = np.column_stack([1 - answers, answers]) if kind == "binary" else answers
        assert_score(m.score, answers, own.outcome.to_numpy(), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_the_median_and_the_best_single(kind: str) -> None:
    frame = a_table(kind, 12)
    result = fl.replay(frame)
    _, settled = by_hand(frame, kind)
    columns = {"binary": ["p"], "categorical": [f"p_{label}" for label in LABELS], "numeric": ["value"]}[kind]
    good = frame[frame.error.isna() & frame.task.isin(list(settled))]
    final = good.drop_duplicates(["task", "model"], keep="last").groupby("task")
    outcomes = final.outcome.first().to_numpy()
    for strategy in ("mean", "median"):
        answers = getattr(final[columns], strategy)().to_numpy()
        answers = np.column_stack([1 - answers, answers]) if kind == "binary" else answers
        answers = answers if kind == "numeric" else answers / answers.sum(axis=1, keepdims=True)
        assert_score(result.strategies[strategy], answers, outcomes, kind)
    loss = {m.model: m.score.mae if kind == "numeric" else m.score.brier for m in result.models}
    assert result.best_single == min(loss, key=loss.__getitem__)
    best = next(m for m in result.models if m.model == result.best_single)
    assert result.strategies["best_single"] == best.score


# --- nothing is known before its time ---


def only_decision(frame: pd.DataFrame, task: str, after: int) -> dict[str, float]:
    """What every strategy decided on one task, seen through its score, with all else unscored."""
    blank = (frame.time > after) & (frame.task != task)
    blind = frame.assign(outcome=frame.outcome.mask(frame.task.isin(frame.task[blank])))
    result = fl.replay(blind, slices=["horizon"], warmup=after)
    assert result.tasks == 1
    return {s: (result.strategies[s].log_loss, result.strategies[s].brier) for s in fl.STRATEGIES}


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.data())
def test_what_becomes_known_later_changes_no_decision(seed: int, data: st.DataObject) -> None:
    dice = np.random.default_rng(seed)
    frame = a_table("binary", seed % 50).dropna(subset="outcome_time")
    last = frame.groupby("task").time.transform("max")
    candidates = frame[frame.error.isna() & (frame.time == last)].task.unique()
    target = str(data.draw(st.sampled_from(sorted(candidates))))
    now = int(frame[frame.task == target].time.max())
    frame.loc[frame.task == target, ["outcome", "outcome_time"]] = [1.0, 10**6]
    # Of the tasks that are decided now the target alone shall have an outcome.
    others = (last >= now) & (frame.task != target) & (frame.outcome_time > now)
    frame.loc[others, "outcome"] = np.nan

    later = frame.copy()
    unknown = (later.outcome_time > now) & (later.task != target)
    flipped = {task: float(dice.integers(0, 2)) for task in later.task.unique()}
    shuffled = later.task.map(flipped)
    later.loc[unknown & later.outcome.notna(), "outcome"] = shuffled
    later.loc[later.time > now, "p"] = dice.random((later.time > now).sum())
    assert only_decision(later, target, now - 1) == only_decision(frame, target, now - 1)

    # The future cut off altogether.
    cut = frame[frame.time <= now]
    cut = cut.assign(outcome=cut.outcome.where((cut.outcome_time <= now) | (cut.task == target)))
    assert only_decision(cut, target, now - 1) == only_decision(frame, target, now - 1)


def two_models(known_at: int) -> pd.DataFrame:
    """One task settled at `known_at`, and one decided at time 10."""
    return pd.DataFrame(
        {
            "time": [1, 1, 10, 10],
            "task": ["before", "before", "now", "now"],
            "model": ["a", "b"] * 2,
            "p": [1.0, 0.0, 0.9, 0.1],
            "outcome": [1, 1, 1, 1],
            "outcome_time": [known_at, known_at, 99, 99],
        }
    )


@pytest.mark.parametrize(("known_at", "informed"), [(9, True), (10, True), (11, False), (98, False)])
def test_an_outcome_counts_from_the_time_it_is_known(known_at: int, informed: bool) -> None:
    hedge = fl.replay(two_models(known_at), warmup=1).strategies["hedge"]
    assert hedge.n == 1
    assert (hedge.brier < 0.2) == informed
    if not informed:
        assert hedge.brier == pytest.approx(0.25)


def test_without_outcome_time_an_outcome_is_known_at_the_next_time() -> None:
    table = two_models(0).drop(columns="outcome_time")
    assert fl.replay(table, warmup=1).strategies["hedge"].brier < 0.2
    same_time = table.assign(time=[10] * 4)
    assert fl.replay(same_time).strategies["hedge"].brier == pytest.approx(0.25)


# --- sources, options, the result ---


def test_every_source_gives_the_same(tmp_path: Path) -> None:
    frame = a_table("binary", 3)
    frame.to_csv(tmp_path / "table.csv", index=False)
    frame.to_csv(tmp_path / "table.csv.gz", index=False)
    frame.to_parquet(tmp_path / "table.parquet")
    sources = [
        frame,
        pl.from_pandas(frame),
        pa.Table.from_pandas(frame),
        tmp_path / "table.csv",
        str(tmp_path / "table.csv.gz"),
        tmp_path / "table.parquet",
        frame.sample(frac=1, random_state=1).sort_values("time", kind="stable"),
    ]
    found = [fl.replay(source, slices=["horizon"]).to_dict() for source in sources]
    for each in found:
        del each["events_per_second"]
    assert all(each == found[0] for each in found[:-1])
    # Shuffled within a time the ratings agree up to rounding.
    ratings = [{m["model"]: m["elo"] for m in each["models"]} for each in (found[0], found[-1])]
    assert ratings[1] == pytest.approx(ratings[0], abs=1e-9)


def test_the_json_object() -> None:
    result = fl.replay(a_table("binary", 4))
    found = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert found["default"] == fl.DEFAULT_STRATEGY
    assert found["events_per_second"] > 0
    assert found["tasks"] == result.tasks
    assert {"model", "elo", "brier", "n"} <= set(found["models"][0])
    assert set(found["strategies"]) == {*fl.STRATEGIES, "best_single"}
    for score in found["strategies"].values():
        assert {"brier", "log_loss", "accuracy", "n"} <= set(score)
    assert [m["elo"] for m in found["models"]] == sorted((m["elo"] for m in found["models"]), reverse=True)


def test_warmup_is_learned_from_but_not_scored() -> None:
    frame = a_table("binary", 5)
    whole, after = fl.replay(frame), fl.replay(frame, warmup=15)
    last = frame.groupby("task").time.max()
    _, settled = by_hand(frame, "binary")
    assert after.tasks == after.strategies["mean"].n == sum(last[task] > 15 for task in settled)
    assert 0 < after.tasks < whole.tasks == len(settled)
    assert [(m.model, m.elo) for m in after.models] == [(m.model, m.elo) for m in whole.models]
    assert fl.replay(frame, warmup=10**6).tasks == 0


def test_what_never_comes_true_is_counted() -> None:
    frame = a_table("binary", 6)
    unknown = frame[frame.outcome.isna() & frame.error.isna()].task.nunique()
    assert fl.replay(frame).unsettled == unknown > 0


def test_slices_change_what_is_learned() -> None:
    frame = a_table("binary", 7, tasks=200)
    plain = fl.replay(frame.drop(columns="category"))
    sliced = fl.replay(frame.drop(columns="category"), slices=["horizon"])
    assert sliced.strategies["mean"].brier == plain.strategies["mean"].brier
    assert sliced.strategies["hedge"].brier != plain.strategies["hedge"].brier
    assert {m.model: m.elo for m in sliced.models} == {m.model: m.elo for m in plain.models}


@pytest.mark.parametrize("strict", [False, True])
def test_a_bad_row_is_reported_and_skipped(strict: bool) -> None:
    frame = a_table("binary", 8)
    frame.loc[6, ["p", "error"]] = [1.3, None]
    if strict:
        with pytest.raises(fl.TableError, match=r"row 7: p is 1\.3, outside \[0, 1\]"):
            fl.replay(frame, strict=True)
        return
    result = fl.replay(frame)
    assert [(bad.line, bad.reason) for bad in result.bad_rows] == [(7, "p is 1.3, outside [0, 1]")]
    assert result.forecasts == len(frame) - 1
    without = fl.replay(frame.drop(index=6))
    assert [(m.model, m.elo) for m in result.models] == [(m.model, m.elo) for m in without.models]


def test_progress_is_told_to_the_end() -> None:
    frame = a_table("binary", 9)
    seen: list[tuple[int, int]] = []
    fl.replay(frame, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(frame), len(frame))
    assert seen == sorted(seen)


def test_settings_reach_the_ratings() -> None:
    frame = two_models(5)
    elo = {k: fl.replay(frame, settings=fl.Settings(k=k)).models[0].elo for k in (16.0, 32.0)}
    assert elo[16.0] - 1500 == pytest.approx((elo[32.0] - 1500) / 2, rel=0.1)
    assert fl.replay(frame, settings=fl.Settings(start=1000)).models[0].elo > 1000


def test_the_history_ends_where_the_result_does() -> None:
    frame = a_table("binary", 10, tasks=1500)
    result = fl.replay(frame)
    assert 2 <= len(result.history_time) <= 400
    assert (np.diff(result.history_time) >= 0).all()
    assert result.history_elo.shape == (len(result.history_time), len(result.models))
    np.testing.assert_array_equal(result.history_elo[-1], [m.elo for m in result.models])
    assert np.isnan(result.history_elo[0]).all()
    assert set(result.history_excess) == set(fl.STRATEGIES)
    assert (result.history_excess["mean"] == 0).all()
    for name, excess in result.history_excess.items():
        gap = result.strategies[name].brier - result.strategies["mean"].brier
        assert excess[-1] == pytest.approx(gap, abs=1e-12)


def test_an_absurd_number_does_not_poison_the_replay() -> None:
    frame = a_table("numeric", 13)
    row = frame.index[frame.error.isna()][5]
    frame.loc[row, "value"] = 1e200
    result = fl.replay(frame)
    good = [m for m in result.models if m.model != frame.model[row]]
    assert all(math.isfinite(m.score.rmse) for m in good)
    assert all(math.isfinite(m.elo) for m in result.models)
    for strategy in ("hedge", "median"):
        assert math.isfinite(result.strategies[strategy].mae)


def test_a_table_whose_calls_all_failed_has_nothing_to_score() -> None:
    frame = two_models(5).assign(error="timeout")
    result = fl.replay(frame)
    assert (result.tasks, result.unsettled, result.best_single) == (0, 0, "")
    assert all(m.failed == 2 and m.elo == 1500.0 for m in result.models)
    assert "best_single" not in result.strategies


@pytest.mark.parametrize("bad", ["soon", 1.5, True])
def test_a_warmup_that_is_no_time_is_refused(bad: object) -> None:
    with pytest.raises(fl.InvalidRecordError, match="warmup is"):
        fl.replay(two_models(5), warmup=bad)


def test_a_model_that_comes_later_changes_no_earlier_decision() -> None:
    rng = np.random.default_rng(3)
    rows = [(t, f"q{t}", f"m{m}", rng.random(), int(rng.random() < 0.5)) for t in range(120) for m in range(3)]
    outcomes = {task: outcome for _, task, _, _, outcome in rows}
    rows = [(t, task, model, p, outcomes[task]) for t, task, model, p, _ in rows]
    late = [(200 + t, f"late{t}", f"new{m}", rng.random(), 1) for t in range(5) for m in range(40)]
    names = ["time", "task", "model", "p", "outcome"]
    before = fl.replay(pd.DataFrame(rows, columns=names))
    after = fl.replay(pd.DataFrame(rows + late, columns=names))
    # Row i is taken at time i, before its forecasts; the last row is what all came to.
    for name in fl.STRATEGIES:
        np.testing.assert_array_equal(before.history_excess[name][:119], after.history_excess[name][:119])
