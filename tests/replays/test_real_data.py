"""The default strategy, as it ships, on real forecasts. Nothing is tuned here: a failure means the rule got worse."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import fairlead as fl
from fairlead.replays import ForecastTable, read_table


@pytest.fixture(scope="module")
def flusight(shared_data: Path) -> ForecastTable:
    """Both seasons of FluSight without the hub's own ensembles."""
    frame = pd.read_parquet(shared_data / "flusight_cat" / "flusight_cat_dev.parquet")
    frame = frame[~frame.model.str.startswith("FluSight-")]
    dates = frame.reference_date.astype(str)
    table = frame[["model", "horizon", "outcome", *(c for c in frame.columns if c.startswith("p_"))]].assign(
        time=frame.reference_date,
        task=dates + "|" + frame.location + "|" + frame.horizon.astype(str),
        outcome_time=pd.to_datetime(frame.target_end_date) + pd.Timedelta(days=7),
    )
    return read_table(table, slices=["horizon"])


def test_flusight_is_read_whole(flusight: ForecastTable) -> None:
    assert flusight.bad_rows == ()
    assert len(flusight.time) == 196_456
    assert len(flusight.models) == 29
    assert len(flusight.labels) == 5
    assert (flusight.outcome_time > flusight.decide_time).all()


def test_the_default_strategy_on_the_second_season(flusight: ForecastTable) -> None:
    result = fl.replay(flusight, warmup="2024-08-01")
    assert result.default == fl.DEFAULT_STRATEGY
    assert result.forecasts == 196_456
    assert result.strategies["mean"].brier == pytest.approx(0.5425, abs=2e-4)
    assert result.strategies[result.default].brier <= 0.525
    # And beside what it is measured against.
    assert result.strategies[result.default].brier < result.strategies["mean"].brier
    assert result.strategies[result.default].log_loss < result.strategies["mean"].log_loss


def language_models(shared_data: Path) -> pd.DataFrame:
    frame = pd.read_parquet(shared_data / "llm_consistency" / "llm_consistency_dev.parquet")
    frame = frame[~frame.forecaster.str.startswith("search:") & (frame.question_set == "real_market")]
    return frame.rename(
        columns={
            "created": "time",
            "question_id": "task",
            "forecaster": "model",
            "resolution_date": "outcome_time",
            "source": "category",
        }
    )


def no_worse_than_the_mean(result: fl.ReplayResult) -> None:
    default, mean = result.strategies[result.default], result.strategies["mean"]
    assert default.n == mean.n > 100
    assert default.brier <= mean.brier


@pytest.mark.parametrize(("methods", "models"), [(None, 33), (["basic", "cot"], 15)], ids=["all", "basic and cot"])
def test_no_worse_than_the_mean_of_language_models(shared_data: Path, methods: list[str] | None, models: int) -> None:
    frame = language_models(shared_data)
    frame = frame if methods is None else frame[frame.method.isin(methods)]
    result = fl.replay(frame)
    assert len(result.models) == models
    assert result.tasks == 169
    assert result.bad_rows == ()
    no_worse_than_the_mean(result)
    if methods:
        assert result.strategies["mean"].brier == pytest.approx(0.1730, abs=1e-4)


def test_no_worse_than_the_mean_of_tools(shared_data: Path) -> None:
    frame = pd.read_parquet(shared_data / "olas_predict" / "olas_predict_dev.parquet")
    frame["task"] = frame.question_id.astype(str)
    frame["time"] = pd.factorize(frame.question_id)[0]  # no dates: one question after the other
    frame = frame.rename(columns={"tool": "model", "input_tokens": "tokens_in", "output_tokens": "tokens_out"})
    result = fl.replay(frame)
    assert len(result.models) == 7
    assert sum(m.failed for m in result.models) == frame.p.isna().sum() == 28
    assert sum(m.cost_usd for m in result.models) > 0
    no_worse_than_the_mean(result)
