"""Rules: what they say of a number, and what they refuse to be."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_records import NAN, Row, answers, calls

import fairlead as fl
from fairlead.monitor import DEFAULT_RULES, METRICS, AnomalyRule, MetricRule, TrendRule
from fairlead.monitor.metrics import in_words, reading
from fairlead.monitor.rules import check_rules, wilson


def test_the_defaults_are_those_of_the_documents() -> None:
    assert [
        (rule.metric, rule.comparison, rule.threshold) for rule in DEFAULT_RULES if isinstance(rule, MetricRule)
    ] == [
        ("accuracy", "<", 0.70),
        ("success_rate", "<", 0.80),
        ("error_rate", ">", 0.15),
        ("latency_p95_ms", ">", 5000.0),
        ("cost_per_task_usd", ">", 1.0),
    ]
    assert all(rule.min_n == 20 and rule.window == "24h" for rule in DEFAULT_RULES)
    check_rules(DEFAULT_RULES)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"metric": "acuracy"}, "metric is 'acuracy'.*accuracy"),
        ({"metric": 3}, "metric is 3"),
        ({"comparison": "=="}, "comparison is '=='"),
        ({"threshold": NAN}, "threshold is nan"),
        ({"threshold": True}, "threshold is True"),
        ({"threshold": "0.7"}, "threshold is '0.7'"),
        ({"window": "2h"}, "window is '2h', must be one of 1h, 6h"),
        ({"min_n": 0}, "min_n is 0"),
        ({"min_n": 2.0}, r"min_n is 2\.0"),
        ({"severity": "bad"}, "severity is 'bad'"),
        ({"scope": "models"}, "scope is 'models'.*model"),
        ({"models": 4}, "models is 4"),
        ({"models": [""]}, "models is"),
        ({"scope": "fleet", "models": "a"}, "models is .*all models together"),
        ({"clear": 0.6}, r"clear is 0\.6, where the rule"),
        ({"clear": math.inf}, "clear is inf"),
        ({"quiet": 0}, "quiet is 0"),
        ({"confidence": 1.0}, r"confidence is 1\.0"),
        ({"confidence": 0.3}, r"confidence is 0\.3"),
        ({"name": 3}, "name is 3"),
        ({"recommendation": None}, "recommendation is None"),
    ],
)
def test_what_cannot_be_a_rule_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(fl.InvalidRecordError, match=told):
        MetricRule(**({"metric": "accuracy", "comparison": "<", "threshold": 0.7} | given))


@pytest.mark.parametrize("kind", [AnomalyRule, TrendRule])
@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"alpha": 0.0}, r"alpha is 0\.0"),
        ({"alpha": 1.0}, r"alpha is 1\.0"),
        ({"alpha": "x"}, "alpha is 'x'"),
        ({"alpha": 0.01, "clear": 0.001}, r"clear is 0\.001, below alpha"),
        ({"window": "all"}, "window is 'all'"),
        ({"metric": "confidence"}, "neither more nor less is worse"),
    ],
)
def test_what_cannot_be_a_rule_of_a_test_is_told(kind: Any, given: dict[str, Any], told: str) -> None:
    with pytest.raises(fl.InvalidRecordError, match=told):
        kind(**({"metric": "accuracy"} | given))


def test_a_bound_is_of_shares_only() -> None:
    with pytest.raises(fl.InvalidRecordError, match="latency_p95_ms is no share"):
        MetricRule("latency_p95_ms", ">", 5000.0, confidence=0.95)


def test_two_rules_of_one_name_and_what_is_no_rule() -> None:
    with pytest.raises(fl.InvalidRecordError, match="which two rules have"):
        check_rules([MetricRule("accuracy", "<", 0.7), MetricRule("accuracy", "<", 0.7, severity="critical")])
    with pytest.raises(fl.InvalidRecordError, match="rule is 'accuracy'"):
        check_rules(["accuracy"])
    with pytest.raises(fl.InvalidRecordError, match="rules is 3"):
        check_rules(3)
    assert check_rules(iter([MetricRule("accuracy", "<", 0.7)])) == (MetricRule("accuracy", "<", 0.7),)


@given(
    st.sampled_from(sorted(METRICS)),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.floats(0.0, 1.0, allow_nan=False),
)
def test_by_default_no_value_both_raises_and_clears(metric: str, comparison: Any, part: float) -> None:
    least, most = METRICS[metric].bounds
    threshold = least + part * (min(most, 1e6) - least)
    rule = MetricRule(metric, comparison, threshold)
    assert rule.clear is not None
    for value in (rule.clear, threshold, math.nextafter(threshold, math.inf), math.nextafter(threshold, -math.inf)):
        assert not (rule.fires(value) and rule.clears(value))
    assert rule.clears(rule.clear)
    assert rule.fires(threshold + (-1.0 if rule.below else 1.0) * (1.0 + abs(threshold)))
    assert not rule.fires(NAN)
    assert not rule.clears(NAN)


def test_a_threshold_at_the_end_of_a_share_can_clear() -> None:
    assert MetricRule("error_rate", ">", 0.0).clears(0.0)
    assert MetricRule("accuracy", "<", 1.0).clears(1.0)


@pytest.mark.parametrize("n", [5, 30, 400])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.66, 1.0])
def test_the_bound_is_where_a_test_of_the_share_would_be_at_the_level(n: int, share: float) -> None:
    low, high = wilson(share, n, 0.95)
    for bound in (low, high):
        if 1e-9 < bound < 1.0 - 1e-9:  # the score test of the bound itself
            assert abs(share - bound) / math.sqrt(bound * (1 - bound) / n) == pytest.approx(1.6448536, rel=1e-6)


def test_with_a_confidence_few_answers_are_no_proof() -> None:
    plain, sure = MetricRule("accuracy", "<", 0.7, min_n=5), MetricRule("accuracy", "<", 0.7, min_n=5, confidence=0.95)
    assert plain.proven(0.66, 30)
    assert not sure.proven(0.66, 30)
    assert sure.proven(0.66, 3000)
    assert not sure.proven(0.71, 3000)


def test_readings() -> None:
    row = calls("a", 10, failed=2, usd=0.4)
    assert reading(row, "error_rate") == (0.2, 10)
    assert reading(row, "cost_per_task_usd") == (pytest.approx(0.5), 8)  # the failed ones were paid for, too
    assert reading(answers("a", 7, 0.5), "accuracy") == (0.5, 7)
    assert reading(None, "accuracy")[1] == 0
    value, n = reading(Row(), "cost_per_task_usd")
    assert math.isnan(value)
    assert n == 0
    for metric in METRICS:
        assert in_words(metric, 0.5)
        assert in_words(metric, NAN) == "-"
    assert in_words("cost_per_call_usd", 0.00123) == "$0.0012"
    assert in_words("latency_p50_ms", 17.2) == "17 ms"


def test_rules_say_themselves() -> None:
    assert str(MetricRule("latency_p95_ms", ">", 5000, quiet=3)) == (
        "latency_p95_ms > 5.00 s over 24h: warning, clears at 4.50 s or after 3 quiet checks"
    )
    assert MetricRule("accuracy", "<", 0.7, scope="category", models=["a", "b"]).name == (
        "accuracy < 70.0 % over 24h (a, b; each category)"
    )
    assert MetricRule("accuracy", "<", 0.7, categories="x").as_dict()["categories"] == ["x"]
    assert MetricRule("accuracy", "<", 0.7, scope="fleet").name.endswith("(the fleet)")


@pytest.mark.parametrize(
    ("metric", "comparison", "threshold", "told"),
    [
        ("accuracy", "<", 70, r"threshold is 70, but accuracy is between 0 and 1: did you mean 0\.7"),
        ("error_rate", ">", 15.0, r"threshold is 15\.0, but error_rate is between 0 and 1: did you mean 0\.15"),
        ("success_rate", "<", -0.1, r"threshold is -0\.1, but success_rate is between 0 and 1$"),
        ("accuracy", "<", 700, r"threshold is 700, but accuracy is between 0 and 1$"),
        ("confidence", ">", 90, r"threshold is 90, but confidence is between 0 and 1: did you mean 0\.9"),
        ("calibration_error", ">", 5, r"threshold is 5, but calibration_error is between 0 and 1: did you mean 0\.05"),
        ("brier", ">", 2.5, r"threshold is 2\.5, but brier is between 0 and 2$"),
        ("quality", "<", 80, r"threshold is 80, but quality is between -3 and 1: did you mean 0\.8"),
        ("log_loss", ">", -1, r"threshold is -1, but log_loss is at least 0$"),
        ("latency_p95_ms", ">", -5, r"threshold is -5, but latency_p95_ms is at least 0$"),
    ],
)
def test_thresholds_that_cannot_be(metric: str, comparison: str, threshold: float, told: str) -> None:
    with pytest.raises(fl.InvalidRecordError, match=told):
        MetricRule(metric, comparison, threshold)  # type: ignore[arg-type]


def test_a_rule_that_could_never_clear() -> None:
    with pytest.raises(fl.InvalidRecordError, match=r"clear is 72, but accuracy is .* did you mean 0\.72"):
        MetricRule("accuracy", "<", 0.7, clear=72)
    assert MetricRule("accuracy", "<=", 0.0).fires(0.0)
    assert MetricRule("cost_usd", ">=", 0.0).fires(0.0)
