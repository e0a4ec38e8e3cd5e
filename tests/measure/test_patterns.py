"""Patterns: what is there is found, and of noise no more than was asked for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import fairlead as fl
from fairlead.errors import InvalidRecordError
from fairlead.measure.rounds import benjamini_hochberg, difference, mean

HOUR = 3600 * 10**9
PLACES = [(category, regime) for category in ("crypto", "rates", "sport") for regime in ("calm", "wild")]


def lived(seed: int, rounds: int, each: int, edges: dict[tuple[str, str, str], float], shared: float = 0.0) -> fl.Fleet:
    """Models a, b, c, d that answer alike, but for the edge of some in some places; `shared`: what all tasks of a round
    have in common, for each model."""
    dice = np.random.default_rng(seed)
    now = [10**18]
    fleet = fl.Fleet(clock=lambda: now[0])
    for model in "abcd":
        fleet.add(model)
    n = 0
    for _ in range(rounds):
        now[0] += 24 * HOUR
        news = dice.normal(0, shared, 4) if shared else np.zeros(4)
        for _ in range(each):
            n += 1
            category, regime = PLACES[dice.integers(6)]
            y = int(dice.random() < 0.5)
            task = fl.Task(f"q{n}", category=category, regime=regime, expires_in_s=float(dice.choice([60.0, 1e5])))
            for model, noise, of_round in zip("abcd", dice.normal(0, 0.15, 4), news, strict=True):
                edge = 0.15 + edges.get((model, category, regime), 0.0) + of_round
                p = 0.5 + (edge if y else -edge) + noise
                fleet.record(task, fl.Forecast(model, p=float(np.clip(p, 0.0, 1.0))))
            fleet.settle(task, y)
    return fleet


@pytest.mark.parametrize("against", ["others", "itself"])
@pytest.mark.parametrize("shared", [0.0, 0.1])
def test_noise_gives_no_more_than_was_asked_for(against: str, shared: float) -> None:
    lives = 24
    false, tested = 0, 0
    for seed in range(lives):
        report = lived(seed, 40, 9, {}, shared).patterns(min_n=20, against=against)  # type: ignore[arg-type]
        tested += report.tested
        false += len(report) > 0
    assert tested > 60 * lives
    # Where nothing is there, any discovery is false, so that their rate is how often there is one. 5 % of 24 are 1.2.
    assert false <= stats.binom.ppf(0.999, lives, 0.05)


def test_what_is_there_is_found_and_told() -> None:
    fleet = lived(5, 120, 12, {("a", "crypto", "wild"): 0.15, ("b", "rates", "calm"): -0.12})
    report = fleet.patterns()
    first, second = report.patterns[:2]
    told = {(p.model, p.category, p.regime, p.expiry): p for p in report}
    assert {("a", "crypto", "wild", None), ("b", "rates", "calm", None)} <= set(told)
    assert first.model == "a"
    assert first.strong
    strong, weak = told["a", "crypto", "wild", None], told["b", "rates", "calm", None]
    assert strong.beyond
    assert strong.skill > 0.04
    assert not weak.strong
    assert strong.low < strong.skill < strong.high
    assert strong.p_value <= strong.q_value <= report.fdr
    assert 150 < strong.n < 350
    assert f"a strong in crypto under wild: +{strong.skill:.2g} Brier skill, n={strong.n}" in str(report)
    assert "b weak in rates under calm" in str(report)
    assert not any(
        p.model == "a" and p.category in ("crypto", "sport") and p.regime == "calm" and p.strong for p in report
    )
    assert report.of("a")[0] in report.patterns
    assert report.to_dicts()[0]["model"] == first.model
    assert second.p_value >= first.p_value
    beside_itself = {(p.model, p.category, p.regime) for p in fleet.patterns(against="itself")}
    assert {("a", "crypto", "wild"), ("b", "rates", "calm")} <= beside_itself


def test_what_came_at_once_proves_nothing() -> None:
    fleet = lived(3, 2, 300, {("a", category, regime): 0.3 for category, regime in PLACES})
    report = fleet.patterns()
    assert report.tested == 0
    assert str(report).startswith("Nothing to test")


def test_arguments_that_cannot_be() -> None:
    fleet = fl.Fleet()
    for fault in ({"min_n": 1}, {"min_n": True}, {"fdr": 0.0}, {"fdr": 1.0}, {"against": "chance"}, {"window": "9d"}):
        with pytest.raises(InvalidRecordError, match=f"{next(iter(fault))} is"):
            fleet.patterns(**fault)  # type: ignore[arg-type]


def test_adjusted_p_values_are_those_of_scipy() -> None:
    dice = np.random.default_rng(1)
    for n in (1, 2, 7, 40):
        p = dice.random(n) ** 2
        p[n // 2] = p[0]
        assert benjamini_hochberg(p.tolist()) == pytest.approx(stats.false_discovery_control(p))
    assert benjamini_hochberg([]) == []


def test_a_mean_of_even_rounds_is_a_t_test_of_their_means() -> None:
    dice = np.random.default_rng(2)
    marks = dice.normal(0.1, 1.0, (12, 5))
    found = mean({k: (float(row.sum()), 5) for k, row in enumerate(marks)})
    wanted = stats.ttest_1samp(marks.mean(axis=1), 0.0)
    assert found.value == pytest.approx(marks.mean())
    assert found.p_value == pytest.approx(wanted.pvalue)
    assert found.interval() == pytest.approx(tuple(wanted.confidence_interval()))
    other = marks + dice.normal(0.0, 0.1, (12, 5))
    gap = difference(*({k: (float(row.sum()), 5) for k, row in enumerate(rows)} for rows in (marks, other)))
    paired = stats.ttest_rel(marks.mean(axis=1), other.mean(axis=1))
    assert gap.p_value == pytest.approx(paired.pvalue)
    assert gap.interval() == pytest.approx(tuple(paired.confidence_interval()))


def test_few_or_uneven_rounds_say_nothing_and_alike_ones_no_more_than_their_marks() -> None:
    assert math.isnan(mean({1: (3.0, 5), 2: (3.0, 5), 3: (3.0, 5)}).p_value)
    assert math.isnan(mean(dict.fromkeys(range(50), (1.0, 1)) | {99: (900.0, 1000)}).error)
    assert math.isnan(mean({}).value)
    alike = dict.fromkeys(range(10), (1.0, 10))
    # The same in every round: that ten signs agree is all that is known of chance, and nothing of an error.
    assert math.isnan(mean(alike).error)
    assert mean(alike).p_value == 2.0**-9
    assert mean(alike, deviation=2.0).error == pytest.approx(0.2)
    assert math.isnan(difference(alike, {1: (1.0, 3)}).p_value)
