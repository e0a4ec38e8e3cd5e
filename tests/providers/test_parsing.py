"""The parser of replies takes what is clearly one answer, and nothing else."""

from __future__ import annotations

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead import Forecast, Task
from fairlead.providers import ProviderError, parse_reply
from fairlead.providers.parsing import MAX_REPLY, QUOTED

BINARY = Task("b", text="?")
NUMERIC = Task("n", "numeric", text="?")
LABELS = Task("c", "categorical", text="?", labels=("up", "flat", "down"))


def refused(task: Task, text: str) -> str:
    with pytest.raises(ProviderError) as caught:
        parse_reply(task, text)
    assert caught.value.kind == "unparsable"
    assert caught.value.__cause__ is None
    assert len(caught.value.message) < 4 * QUOTED + 200
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "p", "confidence"),
    [
        ('{"probability": 0.72, "confidence": 0.9}', 0.72, 0.9),
        ('{"probability": 1}', 1.0, None),
        ('{"probability": 0}', 0.0, None),
        ('{"probability": "0.72"}', 0.72, None),
        ('{"probability": "72 %"}', 0.72, None),
        ('{"probability": "72%", "confidence": "50 %"}', 0.72, 0.5),
        ('{"probability": 7.2e-1}', 0.72, None),
        ('{"probability": 0.72, "confidence": null}', 0.72, None),
        ('{"reason": "it {always} rains", "probability": 0.72}', 0.72, None),
        ('Here it is:\n```json\n{"probability": 0.72}\n```\nGood luck.', 0.72, None),
        ('{not json} and then {"probability": 0.72}', 0.72, None),
        ('{"note": 1} {"probability": 0.72}', 0.72, None),
        ('{"probability": 0.72} as I said: {"probability": 0.72}', 0.72, None),
        ('{"probability": 0.72, "probability": 0.72}', 0.72, None),
        ('<think>maybe {"probability": 0.3}</think>\n{"probability": 0.72}', 0.72, None),
        (" 0.72\n", 0.72, None),
        ("72 %", 0.72, None),
        ("72%", 0.72, None),
        (".5", 0.5, None),
    ],
)
def test_a_probability(text: str, p: float, confidence: float | None) -> None:
    answer = parse_reply(BINARY, text)
    assert answer.p == pytest.approx(p, rel=1e-15)
    assert (answer.value, answer.confidence) == (None, confidence)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"probability": 1.3}', "probability is 1.3, outside [0, 1]"),
        ('{"probability": -0.1}', "outside [0, 1]"),
        ('{"probability": 72}', "probability is 72, outside [0, 1]"),
        ('{"probability": "130 %"}', "probability is 1.3, outside [0, 1]"),
        ("72", "72, outside [0, 1]"),
        ("1.3", "outside [0, 1]"),
        ('{"probability": NaN}', "must be finite"),
        ('{"probability": Infinity}', "must be finite"),
        ('{"probability": -Infinity}', "must be finite"),
        ('{"probability": 1e999}', "must be finite"),
        ('{"probability": ' + "9" * 400 + "}", "must be finite"),
        ('{"probability": ' + "9" * 5000 + "}", "no 'probability'"),  # no integer, for Python
        ('{"probability": "NaN"}', "must be a number"),
        ('{"probability": true}', "must be a number"),
        ('{"probability": null}', "must be a number"),
        ('{"probability": [0.5]}', "must be a number"),
        ('{"probability": "likely"}', "must be a number"),
        ('{"probability": "0,72"}', "must be a number"),
        ('{"probability": "\u0660.\u0667"}', "must be a number"),
        ('{"probability": "0.7 or so"}', "must be a number"),
        ('{"probability": 0.2} {"probability": 0.9}', "contradicts itself"),
        ('{"probability": 0.2, "confidence": 0.1} {"probability": 0.2, "confidence": 0.9}', "contradicts itself"),
        ('{"probability": 0.2, "probability": 0.9}', "contradicts itself about 'probability'"),
        ('{"probability": 0.5, "confidence": 1.5}', "confidence is 1.5"),
        ('{"probability": 0.5, "confidence": "high"}', "confidence"),
        ('{"p": 0.5}', "no 'probability'"),
        ('{"answer": {"probability": 0.5}}', "no 'probability'"),
        ('{"value": 0.5}', "no 'probability'"),
        ("I think it is 72 % likely.", "no 'probability'"),
        ("0.2 or 0.9", "no 'probability'"),
        ("", "empty"),
        ("   ", "empty"),
        ("{", "no 'probability'"),
        ('{"probability": 0.', "no 'probability'"),
        ("<think>hm, 0.7", "while the model thinks"),
        ('["probability", 0.7]', "no 'probability'"),
        ("nan", "no 'probability'"),
        ("inf", "no 'probability'"),
        ("x" * (MAX_REPLY + 1), "characters, more than"),
    ],
)
def test_no_probability(text: str, why: str) -> None:
    assert why in refused(BINARY, text)


def test_labels() -> None:
    answer = parse_reply(LABELS, '{"probabilities": {"down": 0.2, "up": 0.5, "flat": "30 %"}, "confidence": 0.4}')
    assert answer.p == {"up": 0.5, "flat": 0.3, "down": 0.2}
    assert isinstance(answer.p, dict)
    assert list(answer.p) == ["up", "flat", "down"]  # in the order of the task
    assert Forecast("m", p=answer.p).p == answer.p


def test_rounding_of_labels_is_made_good() -> None:
    answer = parse_reply(LABELS, '{"probabilities": {"up": 0.33, "flat": 0.33, "down": 0.33}}')
    assert isinstance(answer.p, dict)
    assert math.fsum(answer.p.values()) == pytest.approx(1.0, abs=1e-15)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"up": 0.5, "flat": 0.5}, "lacks the label 'down'"),
        ({"up": 0.5, "flat": 0.3, "down": 0.1, "sideways": 0.1}, "'sideways', which is no label"),
        ({"Up": 0.5, "flat": 0.3, "down": 0.2}, "'Up', which is no label"),
        ({"up": 0.5, "flat": 0.3, "down": 0.1}, "sum to 0.9"),
        ({"up": 0.6, "flat": 0.3, "down": 0.2}, "sum to 1.1"),
        ({"up": 1.5, "flat": -0.3, "down": -0.2}, "outside [0, 1]"),
        ({"up": 50, "flat": 30, "down": 20}, "outside [0, 1]"),
        ([0.5, 0.3, 0.2], "must map labels"),
        ("up", "must map labels"),
        ({}, "lacks the label 'up'"),
    ],
)
def test_no_labels(said: object, why: str) -> None:
    assert why in refused(LABELS, json.dumps({"probabilities": said}))


@pytest.mark.parametrize(("text", "value"), [('{"value": -3.5e2}', -350.0), ('{"value": "12"}', 12.0), ("7", 7.0)])
def test_a_number(text: str, value: float) -> None:
    assert parse_reply(NUMERIC, text) == (None, value, None)


@pytest.mark.parametrize(
    "text", ["72 %", '{"value": "72 %"}', '{"value": "3 USD"}', '{"value": NaN}', '{"probability": 0.5}', "about 7"]
)
def test_no_number(text: str) -> None:
    refused(NUMERIC, text)


def test_an_error_quotes_a_short_part_on_one_line() -> None:
    message = refused(BINARY, "first line\n\x1b[31msecond " + "x" * 5000)
    assert r"first line\n\x1b[31msecond xxx" in message
    assert message.endswith("...'")
    assert "\n" not in message
    assert "\x1b" not in message


def test_what_is_no_text() -> None:
    with pytest.raises(ProviderError, match="NoneType"):
        parse_reply(BINARY, None)


@pytest.mark.parametrize(
    "text", ["{" * 60000, '{"a":' * 12000, "[" * 60000, '{"a":[' * 10000, '{"' * 30000, '{"probability": 0.1} ' * 3000]
)
def test_no_reply_takes_long(text: str) -> None:
    """A bound far above what it takes, to tell quadratic time from linear."""
    start = time.perf_counter()
    refused(BINARY, text)
    assert time.perf_counter() - start < 5.0


fractions = st.floats(0, 1)
words = st.text(alphabet=st.characters(exclude_characters="{}[]<>%0123456789", exclude_categories=["Cs"]), max_size=40)


@given(fractions, st.none() | fractions, words, words)
def test_whatever_stands_around_the_json(p: float, confidence: float | None, before: str, after: str) -> None:
    text = f"{before} {json.dumps({'probability': p, 'confidence': confidence})} {after}"
    assert parse_reply(BINARY, text) == (p, None, confidence)


@given(st.text(max_size=200))
def test_any_text_is_an_answer_or_an_error(text: str) -> None:
    for task in (BINARY, NUMERIC, LABELS):
        try:
            p, value, confidence = parse_reply(task, text)
        except ProviderError:
            continue
        Forecast("m", p=p, value=value, confidence=confidence)  # valid, or it raises


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@given(json_values, json_values)
def test_any_json_is_an_answer_or_an_error(said: object, confidence: object) -> None:
    for task, key in ((BINARY, "probability"), (NUMERIC, "value"), (LABELS, "probabilities")):
        try:
            answer = parse_reply(task, json.dumps({key: said, "confidence": confidence}))
        except ProviderError:
            continue
        Forecast("m", p=answer.p, value=answer.value, confidence=answer.confidence)
