"""The default strategy, as it ships, on real forecasts. Nothing is tuned here: a failure means the rule got worse."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

import fairlead as fl
from fairlead.replays import ForecastTable, read_table

_spec = importlib.util.spec_from_file_location("real_data", Path(__file__).parents[2] / "benchmarks" / "real_data.py")
assert _spec is not None
assert _spec.loader is not None
real_data = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = real_data  # where its dataclasses look for themselves
_spec.loader.exec_module(real_data)


@pytest.fixture(scope="module")
def flusight(shared_data: Path) -> ForecastTable:
    """Both seasons of FluSight without the hub's own ensembles."""
    return read_table(real_data.flusight(shared_data), slices=["horizon"])


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
    assert result.strategies[result.default].brier <= 0.515
    # And beside what it is measured against.
    assert result.strategies[result.default].brier < result.strategies["mean"].brier
    assert result.strategies[result.default].brier < result.strategies["hedge"].brier
    assert result.strategies[result.default].log_loss < result.strategies["mean"].log_loss


def no_worse_than_the_mean(result: fl.ReplayResult) -> None:
    default, mean = result.strategies[result.default], result.strategies["mean"]
    assert default.n == mean.n > 100
    assert default.brier <= mean.brier


@pytest.mark.parametrize(("methods", "models"), [(None, 33), (["basic", "cot"], 15)], ids=["all", "basic and cot"])
def test_no_worse_than_the_mean_of_language_models(shared_data: Path, methods: list[str] | None, models: int) -> None:
    frame = real_data.language_models(shared_data)
    frame = frame if methods is None else frame[frame.method.isin(methods)]
    result = fl.replay(frame)
    assert len(result.models) == models
    assert result.tasks == 169
    assert result.bad_rows == ()
    no_worse_than_the_mean(result)
    if methods:
        assert result.strategies["mean"].brier == pytest.approx(0.1730, abs=1e-4)


def test_no_worse_than_the_mean_of_tools(shared_data: Path) -> None:
    frame = real_data.tools(shared_data)
    result = fl.replay(frame)
    assert len(result.models) == 7
    assert sum(m.failed for m in result.models) == frame.p.isna().sum() == 28
    assert sum(m.cost_usd for m in result.models) > 0
    no_worse_than_the_mean(result)


def test_the_default_strategy_is_as_good_as_the_better_of_mean_and_hedge(shared_data: Path) -> None:
    """By one configuration on every set, give or take the standard error of the difference; and the same tasks decided
    through the Fleet, one by one, are what the replay says of all of them."""
    for each in real_data.sets(shared_data):
        result, losses = each.replay(), each.losses()
        assert result.default == "auto"
        for strategy in fl.STRATEGIES:
            assert losses.mean(strategy) == pytest.approx(result.strategies[strategy].brier, abs=1e-12)
        better = min(("mean", "hedge"), key=losses.mean)
        difference, error = losses.difference("auto", better)
        assert error > 0
        assert difference <= error, (each.name, better)
