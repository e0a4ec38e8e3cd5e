"""What a replay tells task by task, and what differs from the default strategy by more than noise."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pytest
from tables import KINDS, a_table, by_hand, vector

import fairlead as fl
from fairlead.replays import Against

# --- of a table ---


@pytest.mark.parametrize("kind", KINDS)
def test_a_replay_audits_what_a_fleet_driven_by_hand_does(kind: str) -> None:
    frame = a_table(kind, 21)
    result = fl.replay(frame, slices=["horizon"])
    fleet, settled = by_hand(frame, kind)
    lived = {audit.task: audit for audit in fleet.audits()}
    assert [audit.task for audit in result.audits] == list(settled)
    for audit in result.audits:
        same = lived[audit.task]
        for name in ("kind", "category", "outcome", "settled", "answers", "losses", "costs", "cost_usd", "slices"):
            assert getattr(audit, name) == getattr(same, name), name
        decided = settled[audit.task][1][fl.DEFAULT_STRATEGY]
        assert (audit.value if kind == "numeric" else audit.p) == decided
        assert audit.strategy == fl.DEFAULT_STRATEGY
        assert sum(audit.weights.values()) == pytest.approx(1.0)
        assert audit.time <= audit.settled
        assert audit.reasons
        assert audit.loss is not None
        assert audit.loss == pytest.approx(audit.strategies[fl.DEFAULT_STRATEGY], abs=1e-12)


@pytest.mark.parametrize("kind", ["binary", "categorical"])
def test_the_audits_add_up_to_the_scores(kind: str) -> None:
    result = fl.replay(a_table(kind, 22))
    assert len(result.audits) == result.tasks
    for strategy in fl.STRATEGIES:
        losses = [audit.strategies[strategy] for audit in result.audits]
        assert np.mean(losses) == pytest.approx(result.strategies[strategy].brier, rel=1e-12)
    for m in result.models:
        losses = [audit.losses[m.model] for audit in result.audits if m.model in audit.losses]
        assert (len(losses), np.mean(losses)) == (m.score.n, pytest.approx(m.score.brier, rel=1e-12))


def test_warmup_tasks_are_not_audited_and_a_result_can_be_sent() -> None:
    frame = a_table("binary", 23)
    result = fl.replay(frame, warmup=15)
    assert len(result.audits) == result.tasks < fl.replay(frame).tasks
    assert result.audits is result.audits
    sent = pickle.loads(pickle.dumps(result))
    assert sent.audits == result.audits
    assert sent.to_dict() == result.to_dict()


# --- differences from the default ---


def clustered(differences: list[float], rounds: list[int]) -> float:
    """The standard error of a mean, by statsmodels' formula for clusters."""
    d, r = np.array(differences), np.array(rounds)
    sums = np.array([(d - d.mean())[r == each].sum() for each in np.unique(r)])
    return float(math.sqrt((sums**2).sum() * len(sums) / (len(sums) - 1)) / len(d))


def test_differences_are_of_the_same_tasks_with_errors_by_round() -> None:
    frame = a_table("binary", 24, tasks=150)
    # Outcomes that become known together.
    frame["outcome_time"] = (frame.groupby("task").time.transform("max") // 10 + 2) * 10
    result = fl.replay(frame)
    own = {audit.task: audit.strategies[fl.DEFAULT_STRATEGY] for audit in result.audits}
    for strategy in fl.STRATEGIES:
        d = [audit.strategies[strategy] - own[audit.task] for audit in result.audits]
        against = result.against[strategy]
        rounds = [audit.settled for audit in result.audits]
        assert against.rounds == len(set(rounds)) < result.tasks
        assert against.difference == pytest.approx(np.mean(d), abs=1e-12)
        assert against.standard_error == pytest.approx(clustered(d, rounds), abs=1e-12)
    for m in result.models:
        mine = [audit for audit in result.audits if m.model in audit.losses]
        d = [audit.losses[m.model] - own[audit.task] for audit in mine]
        assert m.against.difference == pytest.approx(np.mean(d), abs=1e-12)
        assert m.against.standard_error == pytest.approx(clustered(d, [a.settled for a in mine]), abs=1e-12)
    assert result.against["best_single"] == next(m for m in result.models if m.model == result.best_single).against
    assert result.against[fl.DEFAULT_STRATEGY].difference == 0.0


def test_without_outcome_times_those_decided_together_are_a_round() -> None:
    frame = a_table("binary", 25).drop(columns="outcome_time").assign(time=7)
    frame.loc[frame.index >= len(frame) // 2, "time"] = 8
    result = fl.replay(frame)
    assert {m.against.rounds for m in result.models} <= {1, 2}
    one = fl.replay(frame.assign(time=7))
    assert {m.against.rounds for m in one.models} == {1}
    assert all(math.isnan(against.standard_error) for against in one.against.values())


@pytest.mark.parametrize(
    ("difference", "error", "said"),
    [(0.1, 0.04, "worse"), (-0.1, 0.04, "better"), (0.1, 0.06, ""), (0.1, math.nan, ""), (math.nan, 0.1, "")],
)
def test_a_verdict_takes_two_standard_errors(difference: float, error: float, said: str) -> None:
    assert Against(difference, error, 30).verdict == said
    assert Against(difference, error, 9).verdict == ""


def test_the_history_of_the_best_single_model_ends_where_it_does() -> None:
    frame = a_table("binary", 26, tasks=400)
    result = fl.replay(frame)
    best = result.best_single
    gaps = [audit.losses[best] - audit.strategies["mean"] for audit in result.audits if best in audit.losses]
    assert len(result.history_best) == len(result.history_time)
    assert result.history_best[-1] == pytest.approx(np.mean(gaps), abs=1e-12)


# --- adjusted probabilities ---


def test_what_adjusting_would_have_made_of_the_models() -> None:
    """Against a calibrator a model, asked when the task was decided and told in the order in which outcomes came."""
    rng = np.random.default_rng(3)
    rows = []
    for i in range(600):
        chance = float(rng.random())
        outcome = int(rng.random() < chance)
        for model, bold in (("plain", 1.0), ("bold", 3.0)):
            odds = (chance / (1 - chance)) ** bold
            rows.append((i, f"q{i}", model, odds / (1 + odds), outcome))
    frame = pd.DataFrame(rows, columns=["time", "task", "model", "p", "outcome"])
    result = fl.replay(frame)
    for name in ("plain", "bold"):
        calibrator, losses = fl.Calibrator(), []
        for _, task in frame[frame.model == name].iterrows():  # known at the next time: before the next is decided
            losses.append((calibrator.adjust(task.p) - task.outcome) ** 2)
            calibrator.update(task.p, task.outcome, task.time + 1)
        m = next(m for m in result.models if m.model == name)
        assert m.adjusted is not None
        assert m.adjusted.n == m.score.n == 600
        assert m.adjusted.brier == pytest.approx(np.mean(losses), rel=1e-9)
    bold = next(m for m in result.models if m.model == "bold")
    assert bold.adjusted is not None
    assert bold.adjusted.calibration_error < bold.score.calibration_error / 2
    assert bold.adjusted.brier < bold.score.brier


def test_numbers_are_not_adjusted() -> None:
    assert all(m.adjusted is None for m in fl.replay(a_table("numeric", 27)).models)


def test_binary_answers_are_what_was_given() -> None:
    frame = a_table("binary", 28)
    final = frame[frame.error.isna()].drop_duplicates(["task", "model"], keep="last").set_index(["task", "model"])
    for audit in fl.replay(frame).audits:
        for model, p in audit.answers.items():
            assert p == final.p[audit.task, model]
            assert vector(p, "binary")[1] == p
