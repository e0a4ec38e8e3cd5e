"""A stream through a managed model beside its rivals: the table tells the truth, and nobody looks ahead."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from prequential_streams import drifting, fit, predict, trainer

from fairlead import InvalidRecordError
from fairlead.lifecycle import CAPACITY, Prequential, Registry, Schema, Stream, prequential, with_history
from fairlead.lifecycle.streamed.rivals import adwin

WARM = 120


def run(stream: Stream, **more: Any) -> Prequential:
    return prequential(stream, trainer=trainer(), **{"warm": WARM, "history": False, **more})


@pytest.fixture(scope="module")
def stream() -> Stream:
    return drifting()


@pytest.fixture(scope="module")
def result(stream: Stream) -> Prequential:
    return run(stream)


def answers(stream: Stream, begin: int, end: int, at: slice) -> NDArray[np.int64]:
    """What a model says that was trained on some rows."""
    schema = Schema("binary", stream.names)
    state = fit(stream.x[begin:end], stream.y[begin:end], 0, schema)
    return predict(state, stream.x[at]).argmax(axis=1)


def test_no_change_says_the_label_before(stream: Stream, result: Prequential) -> None:
    assert np.array_equal(result["no change"].answers, stream.y[WARM - 1 : -1])
    assert result["no change"].retrains == 0


def test_never_retrained_knows_the_first_rows_alone(stream: Stream, result: Prequential) -> None:
    assert np.array_equal(result["never retrained"].answers, answers(stream, 0, WARM, slice(WARM, None)))
    assert result["never retrained"].retrains == 0


def test_the_schedule_trains_as_often_and_evenly(stream: Stream, result: Prequential) -> None:
    retrains = result.managed.retrains
    assert retrains > 3
    fixed = result["fixed schedule"]
    assert fixed.retrains == retrains
    n = len(stream)
    times = [WARM, *(WARM + round(k * (n - WARM) / (retrains + 1)) for k in range(1, retrains + 1)), n]
    parts = [answers(stream, max(0, a - CAPACITY), a, slice(a, b)) for a, b in pairwise(times)]
    assert np.array_equal(fixed.answers, np.concatenate(parts))


@pytest.mark.parametrize("own", [False, True])
def test_adwin_trains_when_it_finds_a_change_in_its_own_errors(stream: Stream, result: Prequential, own: bool) -> None:
    rival = result["ADWIN, its window" if own else "ADWIN-triggered"]
    n, begin, end, retrains, detector = len(stream), 0, WARM, 0, adwin()
    expected = []
    for t in range(WARM, n):
        if expected:
            width = detector(float(expected[-1] != stream.y[t - 1]))
            if width:
                retrains, begin, end, detector = retrains + 1, max(0, t - (width if own else CAPACITY)), t, adwin()
        expected.append(int(answers(stream, begin, end, slice(t, t + 1))[0]))
    assert retrains >= 1
    assert rival.retrains == retrains
    assert rival.answers.tolist() == expected


def test_the_first_version_is_the_one_never_retrained(stream: Stream, result: Prequential) -> None:
    until = 40  # before the first retraining
    assert np.array_equal(result.managed.answers[:until], result["never retrained"].answers[:until])


def test_accuracies_are_of_the_answers(stream: Stream, result: Prequential) -> None:
    truth = stream.y[WARM:]
    for c in result.contenders:
        right = c.answers == truth
        assert c.accuracy == pytest.approx(right.mean())
        assert c.later == pytest.approx(right[len(right) // 2 :].mean())
        assert c.behind == pytest.approx(result.managed.accuracy - c.accuracy)
        assert np.mean(c.curve) == pytest.approx(c.accuracy, abs=1e-3)
        assert c.seconds >= c.training_s >= 0.0


def test_managed_beats_all_where_concepts_come_and_go(result: Prequential) -> None:
    for c in result.contenders[1:]:
        assert result.managed.accuracy > c.accuracy + 0.02, c.name


def test_it_is_the_same_again(stream: Stream, result: Prequential) -> None:
    again = run(stream, rivals=[])
    assert np.array_equal(again.managed.answers, result.managed.answers)
    assert again.events == result.events


@pytest.mark.parametrize("delay", [1, 7])
@pytest.mark.parametrize("history", [False, True])
def test_a_label_changes_no_answer_before_it_is_known(stream: Stream, delay: int, history: bool) -> None:
    at = 350
    y = stream.y.copy()
    y[at] = 1 - y[at]
    y[at + 1 :] = 1 - y[at + 1 :]  # and nothing that comes later
    n = 480
    one = Stream(stream.x[:n], stream.y[:n], stream.names, stream.labels)
    other = replace(one, y=y[:n])
    first, second = (run(s, delay=delay, history=history) for s in (one, other))
    start = first.warm
    assert start == WARM + delay - 1
    seen = at + delay - start
    fixed = "fixed schedule"  # how often it trains is only known at the end
    for c in first.contenders:
        if c.name != fixed or first.managed.retrains == second.managed.retrains:
            assert np.array_equal(c.answers[:seen], second[c.name].answers[:seen]), c.name
    assert not np.array_equal(first["no change"].answers[seen:], second["no change"].answers[seen:])
    assert not np.array_equal(first.managed.answers[seen:], second.managed.answers[seen:])


@pytest.mark.parametrize("delay", [1, 5])
def test_history_tells_nothing_that_is_not_known(stream: Stream, delay: int) -> None:
    at = 50
    wide, names = with_history(stream.x, stream.y, classes=2, names=stream.names, delay=delay)
    assert wide.shape == (len(stream), len(names))
    assert len(set(names)) == len(names)
    y, x = stream.y.copy(), stream.x.copy()
    y[at] = 1 - y[at]
    other, _ = with_history(x, y, classes=2, names=stream.names, delay=delay)
    assert np.array_equal(wide[: at + delay], other[: at + delay], equal_nan=True)
    assert not np.array_equal(wide[at + delay], other[at + delay], equal_nan=True)
    x[at] += 1.0
    other, _ = with_history(x, stream.y, classes=2, names=stream.names, delay=delay)
    assert np.array_equal(wide[:at], other[:at], equal_nan=True)


def test_history_is_what_it_says() -> None:
    x, y = np.array([[1.0], [3.0], [2.0], [np.nan], [5.0]]), np.array([1, 0, 1, 1, 0])
    wide, names = with_history(x, y, classes=2, names=["a"])
    column = {name: wide[:, i] for i, name in enumerate(names)}
    assert column["label 1 before"].tolist()[1:] == [1.0, 0.0, 1.0, 1.0]
    assert column["label 3 before"].tolist()[3:] == [1.0, 0.0]
    assert column["a change"][1:3].tolist() == [2.0, -1.0]
    step = 1.0 - 0.5**0.25
    assert column["a beside lately (4)"][0] == 0.0
    assert column["a beside lately (4)"][1] == pytest.approx(2.0)
    assert column["a beside lately (4)"][2] == pytest.approx(2.0 - (1.0 + step * 2.0))
    share = 0.5 + step * (1.0 - 0.5)
    assert column["share of label 1 lately (4)"][1] == pytest.approx(share)
    assert column["share of label 1 lately (4)"][2] == pytest.approx(share + step * (0.0 - share))
    assert column["share of label 1 lately (4)"][0] == 0.5
    assert column["label 1 before"][0] == 0.5
    assert np.isfinite(column["a beside lately (4)"][4])  # what was missing is left out


def test_several_classes() -> None:
    stream = drifting(700, classes=3, every=350)
    found = run(stream, history=True)
    assert found.classes == ("0", "1", "2")
    assert found.managed.accuracy > found["no change"].accuracy + 0.2


def test_the_registry_is_kept_where_asked(stream: Stream, tmp_path: Path) -> None:
    short = Stream(stream.x[:400], stream.y[:400], stream.names, stream.labels)
    found = run(short, folder=tmp_path, rivals=[])
    versions = Registry(tmp_path).versions("stream")
    assert len(versions) == found.managed.retrains + 1
    assert set(found.weights) <= {version.number for version in versions}
    assert sum(found.weights.values()) == pytest.approx(1.0)


def test_the_table_shows_everybody(result: Prequential) -> None:
    lines = str(result).splitlines()
    assert len(lines) == len(result.contenders) + 2
    assert [line.split("  ")[0] for line in lines[2:]] == [c.name for c in result.contenders]
    assert f"{result.managed.accuracy:.4f}" in lines[2]
    found = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert found["contenders"][0]["retrains"] == result.managed.retrains
    with pytest.raises(KeyError, match="there are managed, never retrained"):
        result["nobody"]


@pytest.mark.parametrize(
    ("more", "match"),
    [
        ({"warm": 5}, "warm is 5"),
        ({"warm": 1195}, "the stream has 1200 rows"),
        ({"delay": 0}, "delay is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"rivals": ["ADWIN"]}, "rivals holds 'ADWIN'"),
    ],
)
def test_what_cannot_be_is_refused(stream: Stream, more: dict[str, Any], match: str) -> None:
    with pytest.raises(InvalidRecordError, match=match):
        run(stream, **more)


def test_one_label_to_begin_with_is_refused() -> None:
    y = np.r_[np.zeros(200), np.ones(200)]
    with pytest.raises(InvalidRecordError, match="one label alone"):
        run(Stream.of(np.zeros((400, 1)), y))
