"""The five records: the same names everywhere, JSON there and back, and every value that is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from datetime import datetime, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fairlead as fl
from fairlead import _core

RECORDS = [fl.Model, fl.Task, fl.Forecast, fl.Decision, fl.Outcome]
EXAMPLES = [
    fl.Model("gpt-4o", "openai", "reasoning", 2.5, 10, 1.25, ("big", "slow"), price_written=3.125),
    fl.Model("local"),
    fl.Task(
        "q-17",
        kind="categorical",
        category="rates",
        text="Which way?",
        labels=("up", "flat", "down"),
        stake_usd=40,
        regime="calm",
        expires_in_s=3600,
        slices={"horizon": "2", "desk": "FX"},
        time="2024-05-01T12:00:00Z",
    ),
    fl.Task("q-18"),
    fl.Task("q-19", kind="numeric"),
    fl.Forecast("gpt-4o", p=0.72, confidence=0.8, latency_ms=900, tokens_in=812, tokens_out=5, cost_usd=0.004),
    fl.Forecast("gpt-4o", p=[0.25, 0.5, 0.25], time=7),
    fl.Forecast("gpt-4o", p={"up": 0.2, "flat": 0.5, "down": 0.3}),
    fl.Forecast("gpt-4o", value=-3.5),
    fl.Forecast("gpt-4o", error="timeout", latency_ms=30_000),
    fl.Decision("q", {"a": 0.25, "b": 0.75}, 0.6, None, 0.1, 0.9, 0.2, 0.01, "hedge", ("because",), 7),
    fl.Decision("q", {"a": 1.0}, {"up": 0.5, "down": 0.5}, None, 0.0, 1.0, 0.0, 0.0, "mean", ()),
    fl.Decision("q", {"a": 1.0}, None, 4.5, 0.0, 1.0, 0.0, 0.0, "mean", ()),
    fl.Decision("q", {}, None, None, 0.0, 1.0, 0.0, 0.01, "hedge", ("nobody is there: no decision",)),
    fl.Decision("q", {"a": 1}, 0.6, None, 0.2, 0.9, 0.1, 0.0, "auto", (), 7, 0.25, 0.97, 0.1, 0.5, 0.4, 0.75, "log"),
    fl.Decision("q", {"a": 1}, None, -4.5, 0.1, 2.0, 0.9, 0.0, "mine", (), 7, 3.0, None, None, 2.0, -8.0, -1.0),
    fl.Outcome("q-17", "up", time=9, profit_usd=-2.5),
    fl.Outcome("q-18", 1),
    fl.Outcome("q-18", None),
]

names = st.text(min_size=1, max_size=8)
probabilities = st.floats(0, 1)
amounts = st.floats(0, 1e12)
tokens = st.integers(0, 2**53)


def distributions() -> st.SearchStrategy[list[float]]:
    weights = st.lists(st.floats(0.01, 1), min_size=2, max_size=8)
    return weights.map(lambda values: [value / sum(values) for value in values])


@pytest.mark.parametrize("record", RECORDS)
def test_field_names_are_those_of_the_core(record: type) -> None:
    assert tuple(f.name for f in dataclasses.fields(record)) == _core.RECORD_FIELDS[record.__name__]


def test_there_are_five_records() -> None:
    assert list(_core.RECORD_FIELDS) == [record.__name__ for record in RECORDS]


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_json_there_and_back(record: fl.Task) -> None:
    text = record.to_json()
    assert type(record).from_json(text) == record
    fields = _core.RECORD_FIELDS[type(record).__name__]
    if isinstance(record, fl.Model) and not record.price_written:
        fields = fields[:-1]  # as in journals from before it was there
    assert tuple(json.loads(text)) == fields
    assert type(record).from_dict(record.to_dict()) == record


@pytest.mark.parametrize("record", EXAMPLES, ids=lambda record: type(record).__name__)
def test_records_are_frozen(record: fl.Task) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(record)[0].name, "other")


@given(
    st.builds(
        fl.Model,
        name=names,
        provider=st.text(max_size=5),
        tier=st.sampled_from(["reasoning", "standard", "fast"]),
        price_in=amounts,
        price_out=amounts,
        price_written=st.just(0.0) | amounts,
        tags=st.lists(names, unique=True, max_size=3),
    )
)
def test_any_model_survives_json(model: fl.Model) -> None:
    assert fl.Model.from_json(model.to_json()) == model


@given(
    st.builds(
        fl.Task,
        id=names,
        kind=st.sampled_from(["binary", "numeric"]),
        category=st.text(max_size=5),
        stake_usd=amounts,
        expires_in_s=st.none() | amounts,
        slices=st.dictionaries(names.map(lambda name: "d-" + name.replace("=", "")), names, max_size=3),
        time=st.integers(-(2**63), 2**63 - 1),
    )
)
def test_any_task_survives_json(task: fl.Task) -> None:
    assert fl.Task.from_json(task.to_json()) == task


@given(
    st.builds(
        fl.Forecast,
        model=names,
        p=probabilities | distributions(),
        confidence=st.none() | probabilities,
        latency_ms=st.none() | amounts,
        tokens_in=tokens,
        cost_usd=amounts,
    )
)
def test_any_forecast_survives_json(forecast: fl.Forecast) -> None:
    back = fl.Forecast.from_json(forecast.to_json())
    # A vector is renormalised again, which may move its last digit.
    assert back.p == pytest.approx(forecast.p, rel=1e-15)
    assert dataclasses.replace(back, p=0.5) == dataclasses.replace(forecast, p=0.5)


@given(distributions(), st.floats(-9.9e-4, 9.9e-4))
def test_probabilities_are_renormalised(p: list[float], off: float) -> None:
    given_p = [x * (1 + off) for x in p]
    if max(given_p) > 1:
        return
    forecast = fl.Forecast("m", p=given_p)
    # What sums to 1 within 1e-12 counts as normalised and stays as it is, so that JSON gives back the same record.
    normalised = abs(math.fsum(given_p) - 1) <= 1e-12
    assert math.fsum(forecast.p) == pytest.approx(1, abs=1e-12 if normalised else 1e-15)
    assert forecast.p == pytest.approx(p, rel=1e-12)


def test_numbers_are_read_from_what_python_and_numpy_have() -> None:
    assert fl.Forecast("m", p=np.float32(0.5)) == fl.Forecast("m", p=0.5)
    assert fl.Forecast("m", p=np.array([0.5, 0.5])) == fl.Forecast("m", p=(0.5, 0.5))
    assert fl.Forecast("m", p=1).p == 1.0
    assert fl.Forecast("m", value=np.int64(3)).value == 3.0
    assert fl.Forecast("m", p=0.5, tokens_in=np.int64(3)).tokens_in == 3
    assert fl.Outcome("q", True).value == 1
    assert fl.Outcome("q", np.float64(0.0)).value == 0
    assert fl.Outcome("q", 2.5).value == 2.5
    moment = datetime(2024, 5, 1, tzinfo=timezone.utc)
    assert fl.Task("q", time=moment).time == fl.Task("q", time="2024-05-01").time == 1_714_521_600 * 10**9


@pytest.mark.parametrize("p", [(0.333, 0.333, 0.333), (0.3335, 0.3335, 0.334), (0.1 + 1e-3, 0.9)])
def test_a_sum_within_a_thousandth_is_a_sum_of_one(p: tuple[float, ...]) -> None:
    assert math.fsum(fl.Forecast("m", p=p).p) == pytest.approx(1, abs=1e-15)


def model(**fields: object) -> fl.Model:
    return fl.Model(**{"name": "m", **fields})


def task(**fields: object) -> fl.Task:
    return fl.Task(**{"id": "q", **fields})


def forecast(**fields: object) -> fl.Forecast:
    answer = {} if {"p", "value", "error"} & set(fields) else {"p": 0.5}
    return fl.Forecast(**{"model": "m", **answer, **fields})


def outcome(**fields: object) -> fl.Outcome:
    return fl.Outcome(**{"task": "q", "value": 1, **fields})


@pytest.mark.parametrize(
    ("make", "fields", "words"),
    [
        (model, {"name": ""}, "name is ''"),
        (model, {"name": 5}, "name is 5"),
        (model, {"provider": None}, "provider is None"),
        (model, {"tier": "huge"}, "tier is 'huge', must be one of reasoning, standard, fast"),
        (model, {"price_in": -1}, "price_in is -1, below 0"),
        (model, {"price_out": math.nan}, "price_out is nan, must be finite"),
        (model, {"price_cached": "free"}, "price_cached is 'free', must be a number"),
        (model, {"price_written": -2}, "price_written is -2, below 0"),
        (model, {"tags": "fast"}, "tags is 'fast', must be a sequence"),
        (model, {"tags": ["a", "a"]}, "tags holds 'a' twice"),
        (model, {"tags": ["a", 3]}, "tags[1] is 3"),
        (model, {"tags": 3}, "tags is 3"),
        (task, {"id": ""}, "id is ''"),
        (task, {"kind": "yes-no"}, "kind is 'yes-no', must be one of binary, categorical, numeric"),
        (task, {"category": 3}, "category is 3"),
        (task, {"text": None}, "text is None"),
        (task, {"kind": "categorical"}, "labels is (), a categorical task needs two or more"),
        (task, {"kind": "categorical", "labels": ["a"]}, "labels is ('a',)"),
        (task, {"kind": "categorical", "labels": ["a", "a"]}, "labels holds 'a' twice"),
        (task, {"kind": "categorical", "labels": ["a", ""]}, "labels[1] is ''"),
        (task, {"kind": "categorical", "labels": None}, "labels is None"),
        (task, {"labels": ["a", "b"]}, "labels is ('a', 'b'), but the kind is binary"),
        (task, {"stake_usd": -0.5}, "stake_usd is -0.5, below 0"),
        (task, {"stake_usd": math.inf}, "stake_usd is inf"),
        (task, {"expires_in_s": -1}, "expires_in_s is -1, below 0"),
        (task, {"slices": ["horizon"]}, "slices is ['horizon']"),
        (task, {"slices": {"horizon": 2}}, "slices['horizon'] is 2"),
        (task, {"slices": {"": "2"}}, "slices is ''"),
        (task, {"slices": {"category": "x"}}, "slices has the dimension 'category', which is reserved: give"),
        (task, {"slices": {"regime": "x"}}, "the dimension 'regime', which is reserved: give Task(regime='x')"),
        (task, {"slices": {"overall": "x"}}, "slices has the dimension 'overall', which is reserved for the score"),
        (task, {"slices": dict.fromkeys("jklmnop", "1")}, "slices has 7 dimensions, may have 6"),
        (task, {"time": 1.5}, "time is 1.5"),
        (task, {"time": "tomorrow"}, "time is 'tomorrow', not an ISO date or time"),
        (task, {"time": 2**63}, f"time is {2**63}"),
        (task, {"time": datetime(3000, 1, 1)}, "time is"),
        (forecast, {"model": ""}, "model is ''"),
        (forecast, {"p": 1.3}, "p is 1.3, outside [0, 1]"),
        (forecast, {"p": -0.1}, "p is -0.1, outside [0, 1]"),
        (forecast, {"p": math.nan}, "p is nan"),
        (forecast, {"p": 10**400}, "p is 1"),
        (forecast, {"p": "0.5"}, "p is '0.5', must be a number"),
        (forecast, {"p": [0.5, 0.6]}, "p sums to 1.1, must sum to 1 within 0.001"),
        (forecast, {"p": [0.5, 0.498]}, "p sums to 0.998"),
        (forecast, {"p": {"up": 0.5, "down": 0.6}}, "p sums to 1.1"),
        (forecast, {"p": [0.5, math.nan]}, "p[1] is nan"),
        (forecast, {"p": [1.5, -0.5]}, "p[0] is 1.5, outside [0, 1]"),
        (forecast, {"p": {"up": 1.5, "down": -0.5}}, "p['up'] is 1.5, outside [0, 1]"),
        (forecast, {"p": [1.0]}, "p has 1 entries"),
        (forecast, {"p": []}, "p has 0 entries"),
        (forecast, {"p": {"up": 0.5, "down": "half"}}, "p['down'] is 'half', must be a number"),
        (forecast, {"value": math.inf}, "value is inf, must be finite"),
        (forecast, {"value": math.nan}, "value is nan, must be finite"),
        (forecast, {"p": 0.5, "value": 1.0}, "p is 0.5 and value is 1.0: give exactly one"),
        (forecast, {"p": None}, "p is None and value is None"),
        (forecast, {"p": 0.5, "error": "timeout"}, "p is 0.5, but error says the call failed: 'timeout'"),
        (forecast, {"error": None}, "error is None"),
        (forecast, {"confidence": 1.01}, "confidence is 1.01, outside [0, 1]"),
        (forecast, {"confidence": math.nan}, "confidence is nan"),
        (forecast, {"latency_ms": -1}, "latency_ms is -1, below 0"),
        (forecast, {"cost_usd": -0.01}, "cost_usd is -0.01, below 0"),
        (forecast, {"cost_usd": None}, "cost_usd is None"),
        (forecast, {"tokens_in": -5}, "tokens_in is -5, below 0"),
        (forecast, {"tokens_out": 1.5}, "tokens_out is 1.5, must be an integer"),
        (forecast, {"time": True}, "time is True"),
        (outcome, {"task": ""}, "task is ''"),
        (outcome, {"value": math.nan}, "is nan, must be finite"),
        (outcome, {"value": [1]}, "is [1], must be a number"),
        (outcome, {"profit_usd": math.inf}, "profit_usd is inf"),
        (outcome, {"time": None}, "time is None"),
    ],
)
def test_a_value_that_cannot_be_is_named(make: object, fields: dict[str, object], words: str) -> None:
    with pytest.raises(fl.InvalidRecordError) as caught:
        make(**fields)
    assert words in str(caught.value)


@pytest.mark.parametrize("record", RECORDS)
def test_a_field_that_is_none_is_named(record: type) -> None:
    with pytest.raises(fl.InvalidRecordError, match=f"{record.__name__} has no field 'colour'"):
        record.from_dict({"colour": "red"})


def test_errors_are_ordinary_python_errors_too() -> None:
    assert issubclass(fl.InvalidRecordError, ValueError)
    assert issubclass(fl.TaskEndedError, ValueError)
    assert issubclass(fl.NoForecastError, ValueError)
    assert issubclass(fl.TableError, ValueError)
    assert issubclass(fl.UnknownModelError, LookupError)
    assert issubclass(fl.UnknownTaskError, LookupError)
    for error in (fl.InvalidRecordError, fl.TaskEndedError, fl.NoForecastError, fl.TableError):
        assert issubclass(error, fl.FairleadError)


@pytest.mark.parametrize(
    ("decision", "answer"),
    [(EXAMPLES[10], 0.6), (EXAMPLES[11], {"up": 0.5, "down": 0.5}), (EXAMPLES[12], 4.5)],
)
def test_the_answer_of_a_decision(decision: fl.Decision, answer: object) -> None:
    assert decision.answer == answer


def test_an_abstention_has_no_answer() -> None:
    decision = EXAMPLES[13]
    assert decision.abstained
    assert not EXAMPLES[10].abstained
    assert str(decision) == "q: abstains (position scale 0): nobody is there: no decision"
    with pytest.raises(fl.NoForecastError, match="task 'q' is to abstain"):
        _ = decision.answer


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"p": 0.5}, "p is 0.5, but weights is empty"),
        ({"value": 2.0}, "value is 2.0, but weights is empty"),
        ({"position_scale": 0.5}, "position_scale is 0.5, must be 0"),
    ],
)
def test_what_nobody_answered_is_nothing_to_act_on(fields: dict[str, object], words: str) -> None:
    with pytest.raises(fl.InvalidRecordError) as caught:
        fl.Decision.from_dict({**EXAMPLES[13].to_dict(), **fields})
    assert words in str(caught.value)


def test_the_shape_of_a_decision() -> None:
    whole, number, old = EXAMPLES[14], EXAMPLES[15], EXAMPLES[10]
    assert (whole.interval, number.interval, old.interval) == ((0.4, 0.75), (-8.0, -1.0), None)
    assert (whole.between, whole.within) == (0.2, 0.7)
    assert (number.between, number.within) == (3.0, 2.0)  # in the answer's unit
    assert (whole.chosen, number.chosen, old.chosen) == ("log", "mine", "hedge")
    assert fl.Decision("q", {"a": 1.0}, 0.5, None, 0.3, 0.2, 0.0, 0.0, "median", ()).within == 0.0
    assert (old.spread, old.entropy, old.divergence, old.pairwise) == (None,) * 4


def test_a_decision_from_before_it_told_its_shape() -> None:
    values = {name: value for name, value in EXAMPLES[10].to_dict().items() if name not in SHAPE}
    assert fl.Decision.from_dict(values) == EXAMPLES[10]


SHAPE = ("spread", "entropy", "divergence", "pairwise", "low", "high", "chosen")


@pytest.mark.parametrize(
    ("example", "fields", "words"),
    [
        (14, {"spread": -0.1}, "spread is -0.1, below 0|spread is -0.1, outside"),
        (14, {"spread": 1.5}, "spread is 1.5, outside"),
        (14, {"entropy": 1.1}, "entropy is 1.1, outside"),
        (14, {"divergence": float("nan")}, "divergence is nan, must be finite"),
        (14, {"pairwise": "much"}, "pairwise is 'much', must be a number"),
        (14, {"low": None}, "low is None and high is 0.75: an interval has both"),
        (14, {"low": 0.8}, "low is 0.8 and high is 0.75"),
        (14, {"high": 1.5}, "high is 1.5, outside"),
        (14, {"chosen": 3}, "chosen is 3, must be a non-empty string"),
        (15, {"spread": -1.0}, "spread is -1, below 0"),
        (15, {"low": float("-inf")}, "low is -inf, must be finite"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(example: int, fields: dict[str, object], words: str) -> None:
    with pytest.raises(fl.InvalidRecordError, match=words):
        fl.Decision.from_dict({**EXAMPLES[example].to_dict(), **fields})
