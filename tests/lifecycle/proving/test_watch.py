"""The watch after a promotion: it rolls back what is worse, and keeps the rest."""

import json
import random

import pytest

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import Failure
from fairlead.lifecycle.proving import NO_GUARDRAILS, Reply, Watch, WatchPlan

RIGHT, WRONG = [0.1, 0.9], [0.9, 0.1]


def watched(plan: WatchPlan, promoted: float, before: float, seed: int) -> Watch:
    """Both are right with these probabilities."""
    rng, watch = random.Random(seed), Watch("run-1", plan, NO_GUARDRAILS)
    while watch.verdict.decision == "continue":
        answers = [Reply(RIGHT if rng.random() < right else WRONG) for right in (promoted, before)]
        watch.observe(1, promoted=answers[0], before=answers[1])
    return watch


def test_what_is_worse_is_rolled_back_and_what_is_not_is_kept() -> None:
    plan = WatchPlan(labels=200)
    worse = [watched(plan, 0.5, 0.8, seed) for seed in range(40)]
    assert sum(watch.verdict.decision == "rollback" for watch in worse) >= 38
    assert all(watch.verdict.failure is Failure.worse for watch in worse if watch.verdict.decision == "rollback")
    assert sum(watch.labels for watch in worse) / 40 < 100
    alike = [watched(plan, 0.7, 0.7, seed).verdict.decision for seed in range(100)]
    assert alike.count("rollback") <= 11  # of 100 at .05: 5, and three standard deviations
    better = [watched(plan, 0.8, 0.7, seed).verdict.decision for seed in range(40)]
    assert better.count("rollback") <= 1


def test_a_margin_tolerates_a_little() -> None:
    strict = [watched(WatchPlan(labels=300), 0.6, 0.75, seed).verdict.decision for seed in range(30)]
    lenient = [watched(WatchPlan(labels=300, margin=0.15), 0.6, 0.75, seed).verdict.decision for seed in range(30)]
    assert strict.count("rollback") > 15
    assert lenient.count("rollback") <= 4


def test_the_first_labels_roll_nothing_back() -> None:
    watch = Watch("run-1", WatchPlan(least=20))
    for _ in range(19):
        verdict = watch.observe(1, promoted=Reply(WRONG), before=Reply(RIGHT))
    assert (verdict.decision, watch.test.better) == ("continue", True)
    verdict = watch.observe(1, promoted=Reply(WRONG), before=Reply(RIGHT))
    assert (verdict.decision, verdict.stage) == ("rollback", "watch")
    before = watch.as_dict()
    assert watch.observe(1, promoted=Reply(RIGHT), before=Reply(RIGHT)) is verdict
    assert watch.as_dict() == before


def test_guardrails_hold_after_the_promotion() -> None:
    watch = Watch("run-1")
    while watch.verdict.decision == "continue":
        watch.observe(1, promoted=Reply(RIGHT, latency_ms=90.0), before=Reply(RIGHT, latency_ms=10.0))
    assert (watch.verdict.decision, watch.verdict.failure) == ("rollback", Failure.guardrail)
    assert watch.verdict.reason.startswith("latency: ")
    assert "TRIPPED" in str(watch)
    failing = Watch("run-2")
    while failing.verdict.decision == "continue":
        failing.observe(1, promoted=Reply(None), before=Reply(WRONG))  # no worse by its loss
    assert failing.verdict.reason.startswith("errors: ")
    quiet = Watch("run-3", WatchPlan(labels=50), NO_GUARDRAILS)
    while quiet.verdict.decision == "continue":
        quiet.observe(1, promoted=Reply(RIGHT, latency_ms=90.0), before=Reply(RIGHT, latency_ms=10.0))
    assert quiet.verdict.decision == "keep"


def test_it_ends_by_labels_or_by_time() -> None:
    watch = Watch("run-1", WatchPlan(labels=30, until=1_000))
    for _ in range(20):
        watch.observe(1, promoted=Reply(RIGHT), before=Reply(RIGHT))
    assert watch.check(999).decision == "continue"
    assert watch.check(1_000).decision == "keep"
    assert "after 20 labels" in watch.verdict.reason
    other = Watch("run-1", WatchPlan(labels=30))
    assert other.check(2**62).decision == "continue"
    for _ in range(30):
        verdict = other.observe(1, promoted=Reply(RIGHT), before=Reply(RIGHT))
    assert (verdict.decision, verdict.failure, other.labels) == ("keep", None, 30)


def test_a_person_has_the_last_word() -> None:
    watch = Watch("run-1")
    kept = watch.keep("ann", "checked by hand")
    back = watch.rollback("bob", "customers complain")
    assert (kept.decision, kept.by, back.decision, back.failure) == ("keep", "ann", "rollback", Failure.vetoed)
    assert watch.verdicts == (kept, back)
    with pytest.raises(InvalidRecordError, match="both must be given"):
        watch.rollback("", "")


def test_what_was_stored_goes_on_to_the_bit() -> None:
    rng = random.Random(4)
    plan = WatchPlan(loss="absolute", scale=0.3, labels=80, until=5)
    watch = Watch("run-1", plan)
    for i in range(60):
        if i == 30:
            again = Watch.from_dict(json.loads(json.dumps(watch.as_dict(), allow_nan=False)))
        for each in (watch,) if i < 30 else (watch, again):
            rng.seed(i)
            each.observe(1.0, Reply(rng.random(), rng.random()), Reply(rng.random(), rng.random()), slices={"a": "b"})
    assert again.as_dict() == watch.as_dict()
    assert str(again) == str(watch)
    assert "absolute" in str(watch)
    assert again.keep("ann", "fine") == Watch.from_dict(again.as_dict()).verdict


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"alpha": 1.0}, "alpha"),
        ({"margin": -0.1}, "margin"),
        ({"loss": "mse"}, "loss"),
        ({"scale": -1.0}, "scale"),
        ({"least": 0}, "least"),
        ({"labels": 5}, "labels"),
        ({"margin": "x"}, "margin is 'x'"),
        ({"scale": "x"}, "scale is 'x'"),
        ({"until": "tomorrow"}, "until is 'tomorrow'"),
    ],
)
def test_plans_that_cannot_be_are_named(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRecordError, match=named):
        WatchPlan(**arguments)  # type: ignore[arg-type]
