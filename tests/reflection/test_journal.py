"""Reflections on journals that a fleet wrote: the same numbers as the fleet's own."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from streams import chances, sigmoid

import fairlead as fl
from fairlead.reflection import compare, compare_folder, reflect_folder

NAMES = ("good", "fair", "dice")


@pytest.fixture(scope="module")
def desk_and_board(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, fl.Leaderboard]:
    """400 questions, five known each hour: two models that know something, and one that does not."""
    folder = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(5)
    logit, outcome = chances(rng, 400)
    answers = np.column_stack([sigmoid(logit), sigmoid(logit + rng.normal(0, 1, 400)), rng.random(400)])
    now = 0
    with fl.Fleet.open(folder, clock=lambda: now) as fleet:
        for name in NAMES:
            fleet.add(name)
        for i in range(400):
            now = (1 + i // 5) * 3600 * 10**9
            task = fl.Task(f"q{i}", category=("art", "law")[i % 2], regime="calm")
            for name, p in zip(NAMES, answers[i], strict=True):
                if name == "fair" and i % 10 == 0:
                    fleet.record(task, fl.Forecast(name, error="timeout", cost_usd=0.001))
                else:
                    fleet.record(task, fl.Forecast(name, p=float(p), cost_usd=0.01, latency_ms=5.0, tokens_in=3))
            if i % 40 == 39:
                fleet.void(task)
            else:
                fleet.settle(task, int(outcome[i]))
        number = fl.Task("how many", kind="numeric")
        fleet.record(number, fl.Forecast("good", value=3.0))
        fleet.settle(number, 5.0)
        assert fleet.journal is not None
        fleet.journal.append("training_run", {"run": "r1", "loss": 0.2}, model="good", time=1)
        fleet.journal.append("training_run", {"run": "r2", "loss": 0.1}, model="good", time=2)
        board = fleet.leaderboard()
        # While it is being written: what is not written yet is not there, that is all.
        assert reflect_folder(folder, "good").model == "good"
    return folder, board


@pytest.fixture(scope="module")
def desk(desk_and_board: tuple[Path, fl.Leaderboard]) -> Path:
    return desk_and_board[0]


def test_the_scores_are_those_of_the_leaderboard(desk_and_board: tuple[Path, fl.Leaderboard]) -> None:
    folder, board = desk_and_board
    rows = {row.model: row for row in board.rows}
    for name in ("fair", "dice"):
        found = reflect_folder(folder, name)
        p = found["binary"].performance
        assert p.n == rows[name].n
        assert (p.brier, p.log_loss) == pytest.approx((rows[name].brier, rows[name].log_loss), rel=1e-12)
        assert p.accuracy == pytest.approx(rows[name].accuracy)
        assert found.summary.cost_usd == pytest.approx(rows[name].cost_usd, rel=1e-9)
        assert found.summary.failures == rows[name].failed


def test_what_the_fleet_was_told_is_there(desk: Path) -> None:
    good = reflect_folder(desk, "good")
    assert [one.kind for one in good.kinds] == ["binary", "numeric"]
    assert good["binary"].performance.n == 390
    assert good["binary"].performance.rounds == 80
    assert good["numeric"].performance.mae == 2.0
    assert good.summary.tasks == 401
    assert good.summary.tokens_in == 1200
    assert good.summary.latency_mean == 5.0
    assert good.training is not None
    assert good.training.data == {"run": "r2", "loss": 0.1}
    assert good.training.runs == 2
    fair = reflect_folder(desk, "fair")
    assert fair.summary.failures == 40
    assert fair.training is None
    contexts = {row.context for row in good["binary"].contexts.rows}
    assert contexts == {"category=art", "category=law", "regime=calm"}


def test_what_follows(desk: Path) -> None:
    found = compare_folder(desk)
    assert [row.model for row in found["binary"].standings] == ["good", "fair", "dice"]
    assert {s.models for s in found.suggestions if s.action == "retire"} == {("dice",)}
    assert "retire" in {s.action for s in reflect_folder(desk, "dice").suggestions}


def test_a_model_that_was_never_asked(desk: Path) -> None:
    with pytest.raises(fl.UnknownModelError, match="nobody"):
        reflect_folder(desk, "nobody")


def test_forecasts_of_unknown_tasks_are_told(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path) as fleet:
        fleet.add("good")
    with fl.Journal(tmp_path) as journal:  # past the fleet
        journal.forecast(7, journal.name("models", "good"), None, 10**9, 0.7)
    found = reflect_folder(tmp_path, "good")
    assert found.summary.tasks == 0
    assert any("1 forecasts or outcomes of tasks" in text for text in found.missing)
    assert any("1 forecasts or outcomes of tasks" in text for text in compare_folder(tmp_path).missing)


def test_a_folder_is_no_columns(desk: Path) -> None:
    assert repr(fl.reflect_folder(desk, "good")) == repr(reflect_folder(desk, "good"))
    assert repr(fl.compare_folder(desk)) == repr(compare_folder(desk))
    for call in (lambda: fl.reflect(desk, "good"), lambda: fl.reflect(str(desk), "good"), lambda: compare(desk)):
        with pytest.raises(TypeError, match=r"rows is .*, must be columns by name; reflect_folder and compare_folder"):
            call()
    with pytest.raises(TypeError, match=r"must be columns by name$"):
        fl.reflect([1, 2], "good")


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(fl.FairleadError):
        reflect_folder(tmp_path / "nothing", "good")


def test_a_fleet_that_has_done_nothing(tmp_path: Path) -> None:
    with fl.Fleet.open(tmp_path) as fleet:
        fleet.add("good")
    found = reflect_folder(tmp_path, "good")
    assert found.kinds == ()
    assert math.isnan(found.summary.cost_per_scored)
    assert compare_folder(tmp_path).kinds == ()
