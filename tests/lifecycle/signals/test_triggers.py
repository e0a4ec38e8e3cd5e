"""When to train again: what each rule asks for, and what holds it back."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead import InvalidRecordError
from fairlead.lifecycle.signals import (
    Budget,
    DriftStatus,
    Facts,
    OnDrift,
    OnDrop,
    OnLabels,
    OnSchedule,
    QuietHours,
    Record,
    RetrainTrigger,
    Signal,
)
from fairlead.times import as_time

DAY = 86_400 * 10**9
HOUR = 3600 * 10**9
MANY = Facts(examples=1000, new=1000, since=0)


def drift(level: Any = "alarm", kind: str = "inputs") -> DriftStatus:
    signal = Signal(kind, "price", 0.4, 0.25, level, 7, f"{kind} moved")
    return DriftStatus(level, (signal,), 900, 800)


def dropped(now: float, before: float, p: float, numeric: bool = False) -> DriftStatus:
    return DriftStatus("none", (), 900, 800, Record(now, before, 400, 400, p, numeric))


def test_drift_asks_while_there_is_an_alarm() -> None:
    trigger = RetrainTrigger(OnDrift(), cooldown=None)
    verdict = trigger.consider(drift(), MANY, 5)
    assert verdict.retrain
    assert verdict
    assert (verdict.rule, verdict.reason, verdict.held_by) == ("drift", "drift: inputs moved", "")
    assert not trigger.consider(drift("warning"), MANY, 5)
    assert not trigger.consider(drift("none"), MANY, 5)
    assert not trigger.consider(None, MANY, 5)
    assert RetrainTrigger(OnDrift("warning")).consider(drift("warning"), MANY, 5)
    only = RetrainTrigger(OnDrift(kinds="change"))
    assert not only.consider(drift(), MANY, 5)
    assert only.consider(drift(kind="change"), MANY, 5)


def test_a_drop_must_be_large_and_proven() -> None:
    trigger = RetrainTrigger(OnDrop(0.15))
    assert trigger.consider(dropped(0.68, 0.8, 0.001), MANY, 5)
    assert not trigger.consider(dropped(0.69, 0.8, 0.001), MANY, 5)
    assert not trigger.consider(dropped(0.68, 0.8, 0.06), MANY, 5)
    assert RetrainTrigger(OnDrop(0.15, confidence=0)).consider(dropped(0.6, 0.8, 0.9), MANY, 5)
    verdict = trigger.consider(dropped(1.2, 1.0, 0.001, numeric=True), MANY, 5)
    assert verdict.retrain
    assert "mean error 1.2 over 400 labels, it was 1, a relative drop of 20.0%" in verdict.reason


def test_the_schedule_counts_from_the_last_retraining() -> None:
    trigger = RetrainTrigger(OnSchedule("30d"))
    assert not trigger.consider(None, MANY, 30 * DAY - 1)
    assert trigger.consider(None, MANY, 30 * DAY)
    after = Facts(examples=1000, new=1000, since=0, retrains=(20 * DAY,))
    assert not trigger.consider(None, after, 49 * DAY)
    assert (
        trigger.consider(None, after, 50 * DAY).reason == "schedule: 30 days since the last retraining, every 30 days"
    )
    assert not trigger.consider(None, Facts(examples=1000), 500 * DAY)


def test_what_holds_it_back_comes_in_order_and_says_until_when() -> None:
    night = QuietHours("22:00", "06:00")
    trigger = RetrainTrigger(OnLabels(50), cooldown="2h", budget=Budget(2, "7d"), least=100, least_new=60, quiet=night)
    at = as_time("2026-03-02T23:00:00Z")
    some = {"examples": 500, "new": 80}
    cases: list[tuple[Facts, str, int | None]] = [
        (Facts(**some, running=True), "running", None),
        (Facts(examples=90, new=80), "least", None),
        (Facts(examples=500, new=55), "least", None),
        (Facts(**some, retrains=(at - HOUR,)), "cooldown", at + HOUR),
        (Facts(**some, retrains=(at - 6 * DAY, at - 5 * DAY)), "budget", at + DAY),
        (Facts(**some, retrains=(at - 8 * DAY, at - 5 * DAY)), "quiet", as_time("2026-03-03T06:00:00Z")),
    ]
    for facts, held, until in cases:
        verdict = trigger.consider(None, facts, at)
        assert (verdict.retrain, verdict.rule, verdict.held_by, verdict.until) == (False, "labels", held, until)
        assert verdict.reason.startswith("labels: ")
        assert "; but " in verdict.reason
    assert trigger.consider(None, Facts(**some), as_time("2026-03-03T06:00:00Z")).retrain
    assert trigger.consider(None, Facts(examples=500, new=49), at).held_by == ""


def test_what_is_asked_by_hand_waits_for_data_and_a_run_alone() -> None:
    trigger = RetrainTrigger(OnSchedule("30d"), cooldown="30d", budget=1, least=100, quiet=QuietHours("00:00", "23:59"))
    asked = {"asked": "ada: the feed was repaired", "retrains": (4,)}
    verdict = trigger.consider(None, Facts(examples=100, **asked), 5)
    assert verdict.retrain
    assert (verdict.rule, verdict.reason) == ("hand", "by hand: ada: the feed was repaired")
    assert trigger.consider(None, Facts(examples=99, **asked), 5).held_by == "least"
    assert trigger.consider(None, Facts(examples=100, running=True, **asked), 5).held_by == "running"


def test_a_budget_of_seconds() -> None:
    budget = Budget(seconds=100.0, per="1d")
    facts = Facts(retrains=(0, HOUR, 2 * HOUR), seconds=(30.0, 40.0, 40.0))
    assert budget.exhausted(facts, 3 * HOUR) == DAY  # when the first has left, 80 are spent
    assert budget.exhausted(facts, DAY) is None
    assert str(Budget(2, "7d", 60)) == "2 runs and 60 s of training in 7 days"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 100 * 24), max_size=30), st.integers(1, 5), st.integers(1, 20))
def test_no_span_ever_holds_more_runs_than_the_budget(hours: list[int], runs: int, days: int) -> None:
    trigger = RetrainTrigger(OnLabels(1), cooldown=None, budget=Budget(runs, f"{days}d"), least=0)
    done: list[int] = []
    for hour in sorted(hours):
        verdict = trigger.consider(None, Facts(examples=1, new=1, retrains=tuple(done)), hour * HOUR)
        if verdict.retrain:
            done.append(hour * HOUR)
        else:
            assert verdict.until is not None
            assert trigger.consider(None, Facts(examples=1, new=1, retrains=tuple(done)), verdict.until).retrain
            assert not trigger.consider(None, Facts(examples=1, new=1, retrains=tuple(done)), verdict.until - 1).retrain
    for end in done:
        assert sum(end - days * DAY < t <= end for t in done) <= runs


def test_the_first_rule_in_order_gives_the_reason() -> None:
    trigger = RetrainTrigger(OnLabels(50), OnDrift())
    assert trigger.consider(drift(), MANY, 5).rule == "labels"
    assert RetrainTrigger().consider(drift(), MANY, 5).rule == "drift"
    assert RetrainTrigger().consider(None, MANY, 31 * DAY).rule == "schedule"
    verdict = RetrainTrigger().consider(None, MANY, 5)
    assert str(verdict) == "no: no rule asks for it"
    assert verdict.as_dict() == {
        "retrain": False,
        "reason": "no rule asks for it",
        "rule": "",
        "held_by": "",
        "until": None,
    }


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RetrainTrigger(5), "rule is 5"),
        (lambda: RetrainTrigger(OnDrift), "rule is <class"),
        (lambda: RetrainTrigger(least=-1), "least is -1"),
        (lambda: RetrainTrigger(budget=0), "budget is 0"),
        (lambda: RetrainTrigger(cooldown="soon"), "cooldown is 'soon'"),
        (lambda: RetrainTrigger(quiet=["22:00"]), "quiet holds '22:00'"),
        (lambda: OnDrift("loud"), "level is 'loud'"),
        (lambda: OnSchedule("30 moons"), "every is '30 moons'"),
        (lambda: OnLabels(0), "enough is 0"),
        (lambda: OnDrop(15), "drop is 15"),
        (lambda: Budget(), "runs and seconds are None"),
        (lambda: QuietHours("25:00", "06:00"), "start is '25:00'"),
        (lambda: QuietHours("22:00", "06:00", zone="Europe/Lodnon"), "did you mean 'Europe/London'"),
        (lambda: QuietHours("22:00", "06:00", days=("funday",)), "days holds 'funday'"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(make: Any, words: str) -> None:
    with pytest.raises(InvalidRecordError, match=words):
        make()


LONDON = QuietHours("22:00", "06:00", zone="Europe/London")


@pytest.mark.parametrize(
    ("hours", "now", "quiet", "until"),
    [
        (LONDON, "2026-01-10T22:00:00Z", True, "2026-01-11T06:00:00Z"),
        (LONDON, "2026-07-10T21:00:00Z", True, "2026-07-11T05:00:00Z"),
        (LONDON, "2026-07-10T20:59:59Z", False, "2026-07-10T20:59:59Z"),
        (LONDON, "2026-03-28T23:00:00Z", True, "2026-03-29T05:00:00Z"),  # the night is an hour shorter
        (QuietHours("09:00", "17:00", days=("sat",)), "2026-03-07T12:00:00Z", True, "2026-03-07T17:00:00Z"),
        (QuietHours("09:00", "17:00", days=("sat",)), "2026-03-08T12:00:00Z", False, "2026-03-08T12:00:00Z"),
        (QuietHours("22:00", "06:00", days=("sat",)), "2026-03-08T05:00:00Z", True, "2026-03-08T06:00:00Z"),
        (QuietHours("22:00", "06:00", days=("sat",)), "2026-03-08T23:00:00Z", False, "2026-03-08T23:00:00Z"),
        (QuietHours("00:00", "00:00", days=("sat", "sun")), "2026-03-07T12:00:00Z", True, "2026-03-09T00:00:00Z"),
        (QuietHours("22:00", "23:00", zone=timezone.utc), "2026-03-08T22:30:00Z", True, "2026-03-08T23:00:00Z"),
    ],
)
def test_quiet_hours_by_the_clock_on_the_wall(hours: QuietHours, now: str, quiet: bool, until: str) -> None:
    at = as_time(now)
    assert hours.holds(at) is quiet
    assert hours.until(at) == as_time(until)
    assert not hours.holds(hours.until(at))


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
    st.sampled_from([LONDON, QuietHours("01:30", "02:30", zone="America/New_York")]),
)
def test_the_end_of_quiet_hours_is_their_end(when: datetime, hours: QuietHours) -> None:
    at = as_time(when)
    end = hours.until(at)
    assert not hours.holds(end)
    assert end >= at
    if end > at:
        assert hours.holds(at)
        assert end - at <= 9 * HOUR
