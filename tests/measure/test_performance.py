"""How every model is doing, against scikit-learn, numpy and the events themselves."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

import fairlead as fl
from fairlead.errors import InvalidRecordError, UnknownModelError
from fairlead.measure.performance import WINDOWS, pane_of, window_index

HOUR = 3600 * 10**9
START = 1_772_000_000 * 10**9
SKETCH = 1.0 / 129.0


class Desk:
    """A fleet whose clock is set by hand, and all that it was told."""

    def __init__(self, *models: str) -> None:
        self.now = START
        self.fleet = fl.Fleet(clock=lambda: self.now)
        self.models = models
        for model in models:
            self.fleet.add(model)
        self.n = 0

    def task(self, answers: dict[str, float], outcome: int | None, later: int = 0, **fields: Any) -> None:
        self.n += 1
        task = fl.Task(f"q{self.n}", **fields)
        for model, p in answers.items():
            self.fleet.record(task, fl.Forecast(model, p=p))
        if outcome is not None:
            self.fleet.settle(task, outcome, time=self.now + later)


P = st.floats(0.0, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(P, P, st.booleans()), min_size=1, max_size=60))
def test_scores_are_those_of_scikit_learn(answers: list[tuple[float, float, bool]]) -> None:
    desk = Desk("a", "b")
    for p, q, y in answers:
        desk.task({"a": p, "b": q}, int(y))
    row = desk.fleet.performance("a", window="all")
    p, q, y = (np.array(column, float) for column in zip(*answers, strict=True))
    assert row.settled == len(answers)
    assert row.brier == pytest.approx(brier_score_loss(y, p, pos_label=1), abs=1e-9)
    eps = np.finfo(float).eps
    assert row.log_loss == pytest.approx(log_loss(y, np.clip(p, eps, 1 - eps), labels=[0, 1]), abs=1e-8)
    assert row.accuracy == pytest.approx(accuracy_score(y, p > 0.5))
    assert row.quality == pytest.approx(np.mean(1 - (p - y) ** 2 / 0.25), abs=1e-9)
    skill = ((p - y) ** 2 + (q - y) ** 2) / 2 - (p - y) ** 2
    assert row.skill == pytest.approx(skill.mean(), abs=1e-9)
    if len(answers) > 1:
        assert row.skill_deviation == pytest.approx(skill.std(ddof=1), abs=1e-4)
    bins = np.minimum((p * 10).astype(int), 9)
    bins = np.array([int(k) - (x < k / 10) + (k < 9 and x >= (k + 1) / 10) for k, x in zip(bins, p, strict=True)])
    gap = sum(abs(p[bins == k].sum() - y[bins == k].sum()) for k in range(10)) / len(answers)
    assert row.calibration_error == pytest.approx(gap, abs=1e-9)
    for k, bin in enumerate(row.calibration):
        assert bin.n == (bins == k).sum()
        if bin.n:
            assert bin.mean_p == pytest.approx(p[bins == k].mean(), abs=1e-9)
            assert bin.frequency == pytest.approx(y[bins == k].mean())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.0011, 4e6), min_size=1, max_size=200), st.integers(0, 3))
def test_percentiles_are_within_their_bound(latencies: list[float], repeats: int) -> None:
    desk = Desk("a")
    latencies = latencies * (1 + repeats)
    for n, ms in enumerate(latencies):
        desk.fleet.record(fl.Task(f"q{n}"), fl.Forecast("a", p=0.5, latency_ms=ms))
    row = desk.fleet.performance("a")
    for q, found in ((50, row.latency_p50_ms), (95, row.latency_p95_ms), (99, row.latency_p99_ms)):
        exact = np.percentile(latencies, q, method="inverted_cdf")
        assert abs(found - exact) <= SKETCH * exact + 1e-6
    assert row.latency_mean_ms == pytest.approx(np.mean(latencies), rel=1e-3, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**9))
def test_windows_hold_what_their_panes_hold(seed: int) -> None:
    dice = random.Random(seed)
    desk = Desk("a", "b")
    lived: list[tuple[int, str, str, str]] = []
    for n in range(120):
        desk.now += int(dice.expovariate(1.0) * dice.choice([60e9, 1800e9, HOUR * 8]))
        category, regime = dice.choice(["crypto", "rates"]), dice.choice(["calm", "wild"])
        seconds = dice.choice([None, 60.0, 4000.0, 90_000.0])
        expiry = "unknown" if seconds is None else "1h" if seconds < 3600 else "1d" if seconds < 86_400 else "7d"
        desk.fleet.record(
            fl.Task(f"q{n}", category=category, regime=regime, expires_in_s=seconds), fl.Forecast("a", p=0.5)
        )
        lived.append((desk.now, category, regime, expiry))
    now = desk.now + dice.randrange(2) * 5 * HOUR
    for index, window in enumerate(WINDOWS):
        for cell in (
            {},
            {"category": "crypto"},
            {"regime": "wild", "expiry": "1d"},
            {"category": "rates", "regime": "calm"},
        ):
            wanted = 0
            for time, category, regime, expiry in lived:
                place = {"category": category, "regime": regime, "expiry": expiry}
                if any(place[name] != value for name, value in cell.items()):
                    continue
                if window != "all":
                    width, panes = pane_of(index)
                    if not now // width - panes < time // width <= now // width:
                        continue
                wanted += 1
            assert desk.fleet.performance("a", window=window, now=now, **cell).calls == wanted
            if window != "all" and not cell:
                rows = desk.fleet.performance_panes("a", window=window, now=now)
                assert sum(pane.row.calls for pane in rows) == wanted
                assert [pane.row.calls for pane in rows] == [
                    sum(pane.start <= time < pane.end for time, *_ in lived) for pane in rows
                ]


def test_a_window_reaches_back_eleven_twelfths_at_least_and_its_span_at_most() -> None:
    for index, window in enumerate(WINDOWS[:-1]):
        width, panes = pane_of(index)
        span = width * panes
        for offset in (0, 1, width // 2, width - 1):
            now = (START // width) * width + offset
            reach = span - width + offset
            for age, held in ((0, 1), (span - width, 1), (reach, 1), (reach + 1, 0), (span, 0)):
                desk = Desk("a")
                desk.now = now - age
                desk.fleet.record(fl.Task("q"), fl.Forecast("a", p=0.5))
                assert desk.fleet.performance("a", window=window, now=now).calls == held


def test_calls_count_when_they_are_made_and_answers_when_they_are_settled() -> None:
    desk = Desk("a", "b")
    task = fl.Task("q", category="crypto")
    desk.fleet.record(
        task, fl.Forecast("a", p=0.9, confidence=0.7, latency_ms=100, tokens_in=9, tokens_out=3, cost_usd=0.25)
    )
    desk.fleet.record(task, fl.Forecast("b", error="timeout: no answer in 5 s", latency_ms=5000))
    desk.fleet.record(task, fl.Forecast("b", error="server: 500"))
    desk.now += 30 * HOUR
    desk.fleet.settle("q", 1)
    day, week = (desk.fleet.performance("a", window=window) for window in ("24h", "7d"))
    assert (day.calls, day.settled, week.calls, week.settled) == (0, 1, 1, 1)
    assert (week.tokens_in, week.tokens_out, week.cost_usd, week.cost_per_call_usd) == (9, 3, 0.25, 0.25)
    assert week.confidence == pytest.approx(0.7)
    assert math.isnan(week.skill)  # b did not answer
    b = desk.fleet.performance("b")
    assert (b.calls, b.succeeded, b.failed, b.timeouts, b.settled) == (2, 0, 2, 1, 0)
    assert (b.success_rate, b.error_rate, b.timeout_rate) == (0.0, 1.0, 0.5)
    assert math.isnan(b.brier)
    both = desk.fleet.performance(window="7d")
    assert (both.model, both.calls, both.failed) == ("all models", 3, 2)


def test_what_nobody_has_met_is_empty_and_what_cannot_be_is_refused() -> None:
    desk = Desk("a")
    row = desk.fleet.performance("a", category="weather")
    assert row.calls == row.settled == 0
    assert math.isnan(row.success_rate)
    assert math.isnan(row.latency_p95_ms)
    for refused, words in (
        (lambda: desk.fleet.performance("a", window="2h"), "window is '2h', must be one of 1h, 6h, 24h"),
        (lambda: desk.fleet.performance("a", window=True), "window is True"),
        (lambda: desk.fleet.performance("a", expiry="2d"), "expiry is '2d', must be one of 1h, 1d"),
        (lambda: desk.fleet.performance("a", category=3), "category is 3"),
        (lambda: desk.fleet.performance("a", now="soon"), "now is 'soon'"),
        (lambda: desk.fleet.performances(by="place"), "by is 'place'"),
        (lambda: desk.fleet.performances(by="category", category="x"), "by is 'category'"),
        (lambda: desk.fleet.performance_panes("a", window="all"), "window is 'all', which has no panes"),
        (lambda: desk.fleet.performances().ranking("luck"), "by is 'luck', must be one of skill"),
        (lambda: desk.fleet.performances().ranking(confidence=1.0), r"confidence is 1.0, outside \[0.5, 1\)"),
    ):
        call: Callable[[], object] = refused
        with pytest.raises(InvalidRecordError, match=words):
            call()
    with pytest.raises(UnknownModelError, match="model is 'b'"):
        desk.fleet.performance("b")
    assert [window_index(name) for name in (24 * HOUR, "1d", "30d", "all")] == [2, 2, 4, 5]


def test_rows_by_a_dimension_and_tables() -> None:
    desk = Desk("a", "b")
    for category, expires in (("crypto", 60.0), ("rates", None), ("rates", 60.0)):
        desk.task({"a": 0.8, "b": 0.3}, 1, category=category, expires_in_s=expires)
    table = desk.fleet.performances(by="category")
    assert [(row.model, row.category, row.settled) for row in table] == [
        ("a", "crypto", 1),
        ("a", "rates", 2),
        ("b", "crypto", 1),
        ("b", "rates", 2),
    ]
    assert [row.expiry for row in desk.fleet.performances(by="expiry")] == ["1h", "unknown"] * 2
    assert table["a [crypto]"].settled == 1
    with pytest.raises(KeyError, match="a has 2 rows"):
        table["a"]
    with pytest.raises(KeyError):
        table["c"]
    whole = desk.fleet.performances()
    assert whole["b"].settled == 3
    text = str(whole)
    assert text.splitlines()[0].split() == (
        [
            "model",
            "calls",
            "success",
            "settled",
            "accuracy",
            "brier",
            "log",
            "loss",
            "quality",
            "skill",
            "cal.",
            "error",
        ]
    )
    assert "-0." in text
    assert str(whole["a"]).splitlines()[1].startswith("a")
    plain = whole.to_dicts()[0]
    assert plain["model"] == "a"
    assert plain["calibration"][8]["n"] == 3
    assert "rounds" not in plain


def told_apart(seed: int, gap: float, correlated: bool) -> bool:
    """Whether a model that is better by a gap is told apart, of 200 tasks in 50 rounds."""
    dice = np.random.default_rng(seed)
    desk = Desk("a", "b", "c")
    for _ in range(50):
        desk.now += HOUR
        news = dice.normal(0, 0.2, 3) if correlated else np.zeros(3)  # what a round brings to each of the models
        for _ in range(4):
            y = int(dice.random() < 0.5)
            edges = 0.15 + np.array([gap, 0.0, 0.0]) + news
            p = np.clip(0.5 + (edges if y else -edges) + dice.normal(0, 0.1, 3), 0.0, 1.0)
            desk.task(dict(zip("abc", p.tolist(), strict=True)), y)
    return desk.fleet.performances(window="all").ranking().told_apart("a", "b")


def test_ranks_of_models_that_are_alike_are_not_told_apart() -> None:
    wrong = sum(told_apart(seed, 0.0, True) for seed in range(60))
    assert wrong <= 9  # 5 % of 60 are 3; more than 9 have probability 2e-3
    assert all(told_apart(seed, 0.15, False) for seed in range(5))


def test_a_ranking_says_what_is_sure() -> None:
    desk = Desk("good", "same", "also", "bad", "silent")
    dice = random.Random(4)
    for _ in range(400):
        desk.now += HOUR
        y = dice.randrange(2)
        answers = {}
        for model, edge in (("good", 0.4), ("same", 0.2), ("also", 0.2), ("bad", 0.0)):
            answers[model] = min(max(0.5 + (edge if y else -edge) + dice.gauss(0, 0.1), 0.0), 1.0)
        desk.task(answers, y)
    ranking = desk.fleet.performances(window="all").ranking()
    assert next(iter(ranking)).model == "good"
    assert [row.model for row in ranking][-2:] == ["bad", "silent"]
    assert (ranking["good"].best_rank, ranking["good"].worst_rank) == (1, 1 + 1)  # of silent nothing is known
    assert (ranking["same"].best_rank, ranking["same"].worst_rank) == (2, 4)
    assert ranking.told_apart("bad", "good")
    assert not ranking.told_apart("same", "also")
    assert ranking["good"].low < ranking["good"].value < ranking["good"].high
    assert 16 <= ranking["good"].rounds <= 32
    assert math.isnan(ranking["silent"].value)
    text = str(ranking).splitlines()
    assert text[0].split() == ["model", "skill", "95%", "interval", "n", "ranks"]
    assert text[1].startswith("1  good")
    assert ranking.to_dicts()[0]["rank"] == 1
    # Less is better; and a share of calls.
    assert next(iter(desk.fleet.performances(window="all").ranking("brier"))).model == "good"
    assert not desk.fleet.performances(window="all").ranking("success_rate").told_apart("good", "bad")


def test_numbers_are_scored_by_their_own_scale() -> None:
    desk = Desk("near", "far")
    for n in range(50):
        desk.now += HOUR
        task = fl.Task(f"n{n}", kind="numeric", category="rates")
        desk.fleet.record(task, fl.Forecast("near", value=100.0 + n % 3))
        desk.fleet.record(task, fl.Forecast("far", value=140.0 - n % 5))
        desk.fleet.settle(task, 100.0)
    near, far = (desk.fleet.performance(model, window="all") for model in ("near", "far"))
    assert near.settled == far.settled == 50
    assert math.isnan(near.brier)
    assert math.isnan(near.calibration_error)
    assert near.quality > 0.9 > 0.0 > far.quality > -1.0
    assert near.skill == pytest.approx(-far.skill, abs=1e-8)
    assert desk.fleet.performances(window="all").ranking("quality").told_apart("near", "far")
