"""The stages of a trial, what ends it, and who may overrule it."""

import json
import math
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.errors import InvalidRecordError
from fairlead.lifecycle.failures import Failure, LifecycleError, SchemaError
from fairlead.lifecycle.proving import NO_GUARDRAILS, Guardrails, Plan, Reply, Trial, Verdict
from fairlead.lifecycle.schema import Schema

RIGHT, WRONG = Reply([0.1, 0.9]), Reply([0.9, 0.1])
SCHEMA = Schema("binary", ("a", "b"))


def fed(trial: Trial, gains: Sequence[int], arm: str | None = None) -> Verdict:
    """Live examples: 1: the challenger alone is right, -1: the champion alone, 0: both."""
    verdict = trial.verdict
    for i, gain in enumerate(gains):
        served = arm if arm is not None else trial.arm(f"task-{i}")
        verdict = trial.observe(
            1,
            WRONG if gain > 0 else RIGHT,
            WRONG if gain < 0 else RIGHT,
            arm=served,  # type: ignore[arg-type]
        )
    return verdict


def held_back(trial: Trial, gains: Sequence[int]) -> Verdict:
    return trial.compare(
        [1] * len(gains),
        [[0.9, 0.1] if gain > 0 else [0.1, 0.9] for gain in gains],
        [[0.9, 0.1] if gain < 0 else [0.1, 0.9] for gain in gains],
    )


def test_a_good_challenger_walks_through_all_stages() -> None:
    trial = Trial("run-1", Plan(held_back=30, shadow=10, canary=5))
    assert held_back(trial, [1, 0, 1] * 10).decision == "continue"
    assert (trial.stage, trial.test.better) == ("shadow", True)  # sure already, but the stages are walked
    assert trial.arm("any") == "champion"
    assert fed(trial, [1, 0] * 5).stage == "canary"
    assert {trial.arm(f"task-{i}") for i in range(50)} == {"champion", "challenger"}
    assert fed(trial, [0] * 40, arm="champion").decision == "continue"  # the challenger has served nothing
    assert "0 of 5 labels" in trial.verdict.reason
    assert fed(trial, [0] * 4, arm="challenger").decision == "continue"
    verdict = fed(trial, [0], arm="challenger")
    assert (verdict.decision, verdict.stage, verdict.failure) == ("promote", "canary", None)
    assert trial.stage == "done"
    assert trial.arm("any") == "champion"
    assert trial.pairs == {"prequential": 30, "shadow": 10, "canary": 45}
    before = trial.as_dict()
    assert fed(trial, [-1] * 50) is verdict
    assert trial.as_dict() == before


def test_one_test_runs_through_all_stages() -> None:
    trial = Trial("run-1", Plan(held_back=30, shadow=10, canary=5))
    gains = [1, 0, 0, 1, -1] * 6
    held_back(trial, gains)
    fed(trial, gains)
    assert trial.test.n == sum(trial.pairs.values())
    assert trial.test.gain == pytest.approx(0.2)


def test_what_held_back_data_lack_the_shadow_must_give() -> None:
    trial = Trial("run-1", Plan(held_back=30, shadow=10, canary=0))
    held_back(trial, [1] * 20)
    fed(trial, [1] * 19)
    assert (trial.stage, trial.verdict.reason) == ("shadow", "19 of 20 labels in shadow")
    assert fed(trial, [1]).decision == "promote"
    none = Trial("run-2", Plan(held_back=30, shadow=10, canary=0))
    assert fed(none, [1] * 39).decision == "continue"
    assert fed(none, [1]).decision == "promote"


def test_held_back_data_may_come_in_parts_but_first() -> None:
    parts, whole = Trial("run-1"), Trial("run-1")
    gains = [1, 0, -1, 1, 0] * 8
    for i in range(0, 40, 10):
        parts.compare(
            [1] * 10,
            [[0.9, 0.1] if gain > 0 else [0.1, 0.9] for gain in gains[i : i + 10]],
            [[0.9, 0.1] if gain < 0 else [0.1, 0.9] for gain in gains[i : i + 10]],
            more=i < 30,
        )
    held_back(whole, gains)
    assert parts.as_dict() == whole.as_dict()
    with pytest.raises(LifecycleError, match="in its shadow stage"):
        held_back(parts, gains)


def test_screened_data_can_refuse_but_not_promote() -> None:
    trial = Trial("run-1", Plan(held_back=30, shadow=5, canary=0, evidence="screen"))
    held_back(trial, [1] * 100)
    assert (trial.test.n, trial.stage, trial.pairs["prequential"]) == (0, "shadow", 100)
    assert fed(trial, [0] * 5).decision == "continue"
    assert fed(trial, [1] * 10).decision == "promote"
    worse = Trial("run-2", Plan(evidence="screen"))
    verdict = held_back(worse, [-1] * 100)
    assert (verdict.decision, verdict.stage, verdict.failure) == ("refuse", "prequential", Failure.worse)


def test_a_worse_challenger_is_refused_while_it_is_compared() -> None:
    trial = Trial("run-1")
    verdict = held_back(trial, [-1, 0, -1] * 20)
    assert (verdict.decision, verdict.stage, verdict.failure) == ("refuse", "prequential", Failure.worse)
    assert "no better by 0.01" in verdict.reason
    assert trial.pairs["prequential"] < 60


def test_a_challenger_that_is_no_better_is_refused_in_time() -> None:
    trial = Trial("run-1", Plan(at_most=50))
    verdict = fed(trial, [0] * 60)
    assert (verdict.decision, verdict.failure) == ("refuse", Failure.worse)
    assert "not found better in time" in verdict.reason
    assert trial.pairs["shadow"] == 50


def test_one_that_is_found_better_waits_for_late_labels_of_what_it_served() -> None:
    trial = Trial("run-1", Plan(held_back=0, at_most=50))
    verdict = fed(trial, [1] * 300, arm="champion")  # all of them asked before the canary began
    assert (verdict.decision, trial.stage) == ("continue", "canary")
    lied_to = Trial.from_dict(trial.as_dict())
    assert fed(trial, [1] * 5, arm="challenger").decision == "promote"
    assert fed(lied_to, [-1] * 400, arm="champion").decision == "refuse"


def test_the_canary_goes_back_when_nothing_speaks_for_it_any_more() -> None:
    trial = Trial("run-1", Plan(held_back=0, shadow=5, canary=50, least=0.0))
    fed(trial, [1] * 5)
    while trial.stage == "shadow":
        fed(trial, [1])
    assert trial.stage == "canary"
    fed(trial, [-1] * 4)
    assert trial.stage == "shadow"
    assert trial.arm("any") == "champion"


def test_what_was_proven_is_not_promoted_once_it_is_given_the_lie() -> None:
    trial = Trial("run-1", Plan(held_back=0, shadow=30, canary=0, least=0.0))
    fed(trial, [1] * 9 + [-1] * 6)
    assert trial.test.better
    assert trial.test.e_value < 1.0
    assert fed(trial, [0] * 40).decision == "continue"


def test_a_guardrail_ends_it_with_its_numbers() -> None:
    trial = Trial("run-1", Plan(held_back=0))
    verdict = trial.verdict
    for i in range(60):
        verdict = trial.observe(1, Reply([0.9, 0.1]), Reply(None if i % 2 else [0.1, 0.9]))
    assert (verdict.decision, verdict.failure) == ("refuse", Failure.guardrail)
    assert verdict.reason.startswith("errors: ")
    assert "TRIPPED" in str(trial)


def test_a_slice_is_guarded_on_held_back_data_too() -> None:
    trial = Trial("run-1")
    gains = [1, 1, 1, -1] * 60
    verdict = trial.compare(
        [1] * 240,
        [[0.9, 0.1] if gain > 0 else [0.1, 0.9] for gain in gains],
        [[0.9, 0.1] if gain < 0 else [0.1, 0.9] for gain in gains],
        slices=[{"kind": "rare" if gain < 0 else "usual"} for gain in gains],
    )
    assert verdict.failure is Failure.guardrail
    assert "kind=rare" in verdict.reason
    without = Trial("run-1", guardrails=NO_GUARDRAILS)
    assert held_back(without, gains).decision == "continue"


def test_another_schema_is_refused_before_anything_runs() -> None:
    trial = Trial("run-1", schemas=(SCHEMA, Schema("binary", ("a", "c"))))
    assert (trial.verdict.decision, trial.verdict.failure) == ("refuse", Failure.schema)
    assert "'b' is missing, 'c' is new" in trial.verdict.reason
    assert held_back(trial, [1] * 50) == trial.verdict
    assert sum(trial.pairs.values()) == 0
    trial = Trial.from_dict(json.loads(json.dumps(trial.as_dict())))
    assert trial.verdict.failure is Failure.schema
    with pytest.raises(SchemaError, match="cannot be forced"):
        trial.force("ann", "we need it")
    assert Trial("run-2", schemas=(SCHEMA, Schema("binary", ("a", "b")))).stage == "prequential"
    with pytest.raises(InvalidRecordError, match="loss is 'zero_one', which does not fit"):
        Trial("run-3", schemas=(Schema("numeric", ("a",)), Schema("numeric", ("a",))))


def test_a_person_has_the_last_word() -> None:
    trial = Trial("run-1")
    verdict = trial.veto("ann", "it was trained on the wrong year")
    assert (verdict.decision, verdict.failure, verdict.by, verdict.stage) == (
        "refuse",
        Failure.vetoed,
        "ann",
        "prequential",
    )
    assert fed(trial, [1] * 100) is verdict
    forced = trial.force("bob", "it was not")
    assert (forced.decision, forced.failure, forced.by) == ("promote", None, "bob")
    assert trial.verdicts == (verdict, forced)
    assert str(forced) == "promote (by bob): it was not"
    again = Trial.from_dict(json.loads(json.dumps(trial.as_dict())))
    assert again.verdicts == trial.verdicts
    refused = Trial("run-2")
    held_back(refused, [-1] * 50)
    assert refused.force("ann", "for the new market").decision == "promote"
    promoted = Trial("run-3", Plan(held_back=0, canary=0))
    fed(promoted, [1] * 20)
    assert promoted.verdict.decision == "promote"
    assert promoted.veto("ann", "not on a friday").failure is Failure.vetoed
    for by, reason in (("", "why"), ("ann", "")):
        with pytest.raises(InvalidRecordError, match="both must be given"):
            trial.force(by, reason)


@given(
    st.lists(st.sampled_from([-1, 0, 1]), max_size=50),
    st.lists(st.tuples(st.sampled_from([-1, 0, 1]), st.booleans(), st.integers(0, 3)), max_size=60),
    st.integers(0, 60),
    st.sampled_from(["evidence", "screen"]),
)
@settings(max_examples=40, deadline=None)
def test_what_was_stored_goes_on_to_the_bit(
    first: list[int], live: list[tuple[int, bool, int]], at: int, evidence: str
) -> None:
    plan = Plan(held_back=10, shadow=5, canary=2, loss="brier", least=0.0, evidence=evidence)  # type: ignore[arg-type]
    trial = Trial("run-1", plan, Guardrails(alpha=0.1))
    held_back(trial, first)
    again = trial
    for i, (gain, served, kind) in enumerate(live):
        if i == at:
            again = Trial.from_dict(json.loads(json.dumps(trial.as_dict(), allow_nan=False)))
        for each in {id(trial): trial, id(again): again}.values():
            each.observe(
                1,
                Reply(WRONG.answer if gain > 0 else RIGHT.answer, 10.0 + i, 0.01),
                Reply(WRONG.answer if gain < 0 else RIGHT.answer, 11.0 + 9 * kind, 0.02),
                slices={"kind": str(kind)},
                arm="challenger" if served else "champion",
            )
    assert again.as_dict() == trial.as_dict()
    assert str(again) == str(trial)


@given(st.lists(st.sampled_from([-1, 0, 1]), max_size=200))
@settings(max_examples=40, deadline=None)
def test_no_way_leads_round_the_least_of_each_stage(gains: list[int]) -> None:
    trial = Trial("run-1", Plan(held_back=8, shadow=6, canary=2, share=0.5, least=0.0), NO_GUARDRAILS)
    seen = [trial.stage]
    for i, gain in enumerate(gains):
        stage = trial.stage
        fed(trial, [gain], arm=trial.arm(f"t{i}"))
        if trial.stage == "canary" and stage == "shadow":
            assert trial.test.e_value >= trial.plan.canary_at
        seen.append(trial.stage)
    if trial.verdict.decision == "promote":
        assert trial.test.better
        assert trial.pairs["shadow"] >= 14  # six, and eight that were not held back
        assert trial.pairs["canary"] >= 2
        assert "canary" in seen
    steps = {(a, b) for a, b in pairwise(seen) if a != b}
    ways = {("prequential", "shadow"), ("shadow", "canary"), ("canary", "shadow"), ("shadow", "done")}
    assert steps <= ways | {("canary", "done"), ("prequential", "done")}


def test_bad_data_change_nothing() -> None:
    trial = Trial("run-1")
    held_back(trial, [1] * 5)
    before = trial.as_dict()
    with pytest.raises(InvalidRecordError, match="y is 2"):
        trial.observe(2, RIGHT, RIGHT)
    with pytest.raises(InvalidRecordError, match="sum to 1"):
        trial.observe(1, RIGHT, Reply([0.5, 0.2]))
    for bad, named in (
        ({"slices": ["a"]}, r"slices is \['a'\]"),
        ({"slices": {"a": ["b"]}}, r"slices has 'a': \['b'\]"),
        ({"arm": "chalenger"}, "arm is 'chalenger'"),
        ({"y": "up"}, "y is 'up'"),
        ({"y": None}, "y is None"),
        ({"champion": [0.5, 0.5]}, "must be a Reply"),
        ({"challenger": Reply("ab")}, "answer is 'ab'"),  # type: ignore[arg-type]
    ):
        with pytest.raises(InvalidRecordError, match=named):
            trial.observe(**{"y": 1, "champion": RIGHT, "challenger": RIGHT, **bad})  # type: ignore[arg-type]
    assert trial.as_dict() == before
    new = Trial("run-2")
    with pytest.raises(InvalidRecordError, match="slices is 3"):
        new.compare([1, 1], [[0.1, 0.9]] * 2, [[0.1, 0.9]] * 2, slices=[{}, 3])  # type: ignore[list-item]
    with pytest.raises(InvalidRecordError, match="challenger has 1 entries, y has 2"):
        new.compare([1, 1], [[0.1, 0.9]] * 2, [[0.1, 0.9]])
    with pytest.raises(InvalidRecordError, match="slices has 1 entries"):
        new.compare([1, 1], [[0.1, 0.9]] * 2, [[0.1, 0.9]] * 2, slices=[{}])
    with pytest.raises(InvalidRecordError, match="sum to 1"):
        new.compare([1, 1], [[0.1, 0.9]] * 2, [[0.1, 0.9], [0.1, 0.8]])
    assert new.as_dict() == Trial("run-2").as_dict()


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"beta": 2.0}, "beta"),
        ({"loss": "mse"}, "loss"),
        ({"least": -0.1}, "least"),
        ({"scale": 0.0}, "scale"),
        ({"scale": True}, "scale is True"),
        ({"least": "x"}, "least is 'x'"),
        ({"share": None}, "share is None"),
        ({"canary_at": "5"}, "canary_at is '5'"),
        ({"shadow": -1}, "shadow"),
        ({"canary": 1.5}, "canary"),
        ({"held_back": True}, "held_back"),
        ({"at_most": 5}, "at_most"),
        ({"share": 0.0}, "share"),
        ({"canary_at": 21.0}, "canary_at"),
        ({"canary_at": math.nan}, "canary_at"),
        ({"evidence": "yes"}, "evidence"),
        ({"spending": "all"}, "spending"),
    ],
)
def test_plans_that_cannot_be_are_named(arguments: dict[str, object], named: str) -> None:
    with pytest.raises(InvalidRecordError, match=named):
        Plan(**arguments)  # type: ignore[arg-type]


def test_a_plan_is_plain_json_and_spends_its_alpha() -> None:
    plan = Plan(loss="absolute", scale=0.5, spending="family")
    assert Plan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    assert sum(plan.after(k).alpha for k in range(10_000)) == pytest.approx(plan.alpha, abs=1e-5)
    assert sum(plan.after(k).alpha for k in range(10_000)) < plan.alpha
    assert Plan().after(3) == Plan()
    with pytest.raises(InvalidRecordError, match="refused is -1"):
        plan.after(-1)


def test_the_report_says_what_was_seen() -> None:
    rng = random.Random(1)
    trial = Trial("run-9", Plan(loss="brier"))
    trial.compare([1] * 40, [[0.4, 0.6]] * 40, [[0.2, 0.8]] * 40)
    for _ in range(20):
        trial.observe(1, Reply([0.4, 0.6], 5.0 + rng.random(), 0.01), Reply([0.2, 0.8], 5.0, 0.01), slices={"a": "b"})
    text = str(trial)
    for expected in ("trial run-9", "40 held back", "brier", "e-value", "latency: ", "cost: ", "worst_slice: in a=b"):
        assert expected in text
    assert trial.losses == (pytest.approx(0.16), pytest.approx(0.04))
    assert [check.guardrail for check in trial.checks()] == [
        "errors", "latency", "cost", "calibration", "worst_slice"
    ]  # fmt: skip
    assert str(Trial("run-0")) == "trial run-0, prequential: continue: held-back data to compare on"
