"""The demo keeps what it promises: ratings move, drift rises where the fault hurts, the combined decision wins."""

from __future__ import annotations

import builtins
import io
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("sklearn")

from fairlead import demo

HURT = {"neighbours", "discriminant", "logistic", "svm"}
ROBUST = {"network", "forest"}


@pytest.fixture(scope="module")
def result() -> demo.DemoResult:
    return demo.run()


def told(**options: Any) -> tuple[str, demo.DemoResult]:
    page = io.StringIO()
    result = demo.show(Console(file=page, **options))
    return page.getvalue(), result


def test_the_fault_hurts_four_models_and_spares_two(result: demo.DemoResult) -> None:
    harm = {model.name: model.score.brier_after - model.score.brier_before for model in result.models}
    assert {name for name, worse in harm.items() if worse > 0.5} == HURT
    assert {name for name, worse in harm.items() if worse < 0.15} == ROBUST


def test_hurt_models_fall_and_robust_models_rise(result: demo.DemoResult) -> None:
    change = {model.name: model.elo_after - model.elo_before for model in result.models}
    assert max(change[name] for name in HURT) < 0 < min(change[name] for name in ROBUST)
    assert min(change[name] for name in ROBUST) - max(change[name] for name in HURT) > 150
    assert {model.name for model in result.models[:2]} == ROBUST
    assert 10 * len(result.models[0].elo) == 2 * demo.FAULT_AT


def test_drift_rises_on_hurt_models_only(result: demo.DemoResult) -> None:
    for model in result.models:
        assert model.drift_before < 0.2
        assert (model.drift_after > demo.ALARM) == (model.name in HURT)
        assert (model.alarm is not None) == (model.name in HURT)
        assert model.alarm is None or model.alarm > 0  # no alarm before there is a fault
    drift = {model.name: model.drift_after for model in result.models}
    assert min(drift[name] for name in HURT) > max(drift[name] for name in ROBUST)


def test_the_combined_decision_beats_the_best_single_model_and_the_mean(result: demo.DemoResult) -> None:
    assert result.best_single.score.brier == min(model.score.brier for model in result.models)
    assert result.combined.brier < 0.97 * result.best_single.score.brier
    assert result.combined.brier < result.mean.brier
    assert result.combined.log_loss < min(model.score.log_loss for model in result.models)
    assert result.combined.accuracy > max(model.score.accuracy for model in result.models)


def test_scores_agree_with_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    digits = [0, 3, 9, 9] * 300
    answers = [[0.1] * 10, [0.0] * 3 + [1.0] + [0.0] * 6, [0.3, 0.7] + [0.0] * 8, [0.02] * 9 + [0.82]] * 300
    score = demo._score(answers, digits)
    assert score.brier == pytest.approx((0.9 + 0.0 + 1.58 + 0.036) / 4)
    assert score.brier_before == pytest.approx(score.brier)
    assert score.brier_after == pytest.approx(score.brier)
    assert score.log_loss == pytest.approx(metrics.log_loss(digits, answers, labels=list(range(10))))
    assert score.accuracy == 0.75


def test_another_seed_tells_the_same_story() -> None:
    other = demo.run(seed=1)
    assert {model.name for model in other.models if model.elo_after > model.elo_before} == ROBUST
    assert {model.name for model in other.models if model.drift_after > demo.ALARM} == HURT
    assert other.combined.brier < 0.97 * other.best_single.score.brier


def test_what_is_printed(result: demo.DemoResult) -> None:
    page, shown = told(width=80)
    assert shown == result  # the same seed, to the last digit
    assert "\x1b" not in page
    assert "\r" not in page
    assert max(map(len, page.splitlines())) <= 80
    for model in result.models:
        assert f"{model.elo_before:.0f}" in page
        assert f"{model.elo_after:.0f}" in page
        assert f"{model.drift_after:.2f}" in page
    for score in (result.combined, result.mean, result.best_single.score):
        assert f"{score.brier:.3f}" in page
        assert f"{score.log_loss:.3f}" in page
        assert f"{score.accuracy:.1%}" in page
    assert "below that of network" in " ".join(page.split())
    assert "fairlead replay your_table.csv --report report.html" in page
    assert "…" not in page  # nothing was cut


def test_the_closing_code_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(demo.NEXT, {})
    assert "local-logit" in capsys.readouterr().out


def test_without_unicode() -> None:
    class Ascii(io.StringIO):
        encoding = "ascii"

    page = Ascii()
    demo.show(Console(file=page, width=80))
    assert page.getvalue().isascii()


def test_scikit_learn_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_sklearn(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "sklearn":
            raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_sklearn)
    with pytest.raises(ImportError, match=r'pip install "fairlead\[demo\]"'):
        demo.run()
